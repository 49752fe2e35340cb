"""A remote, a repository and a configuration that wish us ill: nothing runs, nothing leaves the root."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from saltbranch.base.errors import ConfigError
from tests.support.remote import Content, Link, Remote, Script, Submodule
from tests.support.site import BRANCHES, Site, result_of

# Git takes these as branches; some only as plumbing, which is what a hostile remote uses.
ODD_BRANCHES = [
    "feature/login",
    "x'y\"z",
    "$(touch${IFS}canary)",
    "`touch${IFS}canary`",
    "a;touch${IFS}canary",
    "a&b|c>d<e",
    "über-ärger",
    "日本語/ブランチ",
    "n" * 200,
    "a/" * 60 + "z",
    "%2e%2e%2f",
    "develop.saltbranch-new",
    "HEAD",
]
REFUSED_BRANCHES = {
    "--upload-pack=touch canary": "starts with '-'",
    "-x": "starts with '-'",
    "..": r"holds '\.\.'",
    "../../etc": r"holds '\.\.'",
    "a..b": r"holds '\.\.'",
    "a\nb": "control character",
    "a b": "a space",
    "a\tb": "a space, a control character",
    ".hidden": r"starts with '\.'",
    "a/.b": r"starts with '\.'",
    "a.lock": r"ends in '\.lock'",
    "a.": r"ends in '\.'",
    "/a": "a part of it is empty",
    "a//b": "'//'",
    "a~1": "one of",
    "@": "'@'",
    "a@{1}": "'@{'",
    "": "is empty",
    "\ud800": "surrogates not allowed",
    "n" * 251: "longer than a file name",
    "n" * 5000: "longer than a file name",
}


@pytest.fixture(autouse=True)
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that only executed code would make, and a folder that only a way out would touch."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret\n")
    monkeypatch.chdir(outside)
    path = outside / "canary"
    before = snapshot(tmp_path)
    yield path
    assert not path.exists()
    assert snapshot(tmp_path) == before


def snapshot(folder: Path) -> dict[str, object]:
    """Everything in `folder` that saltbranch has no business to change."""
    ours = {"root", "master.d", "saltbranch.yaml", "remote.git"}
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.parts[0] not in ours:
            st = path.lstat()
            found[str(name)] = (st.st_mode, st.st_mtime_ns, st.st_size)
    return found


# Branch names


@pytest.mark.parametrize("branch", ODD_BRANCHES, ids=lambda name: name[:20])
def test_odd_branch_is_served_whole_and_stays_in_the_root(
    site: Site, remote: Remote, branch: str
) -> None:
    remote.commit(branch, {"salt/x": "1\n"})
    site.configure(saltenvs={"test": {"branch": branch, "minions": ["test*"]}})
    ran = site.sync()
    assert ran.code == 0, ran
    (checkout,) = (site.root / "checkouts").iterdir()
    assert (checkout / "salt" / "x").read_text() == "1\n"
    remote.commit(branch, {"salt/x": "2\n"})
    assert site.sync("--verify").code == 0
    assert (checkout / "salt" / "x").read_text() == "2\n"
    assert sorted(p.name for p in (site.root / "checkouts").iterdir()) == [checkout.name]


@pytest.mark.parametrize("branch", REFUSED_BRANCHES, ids=lambda name: repr(name[:20]))
def test_branch_that_git_refuses_is_a_configuration_error(site: Site, branch: str) -> None:
    site.configure(saltenvs={"test": {"branch": branch, "minions": ["test*"]}})
    assert site.sync().code == 1
    with pytest.raises(ConfigError, match=REFUSED_BRANCHES[branch]) as caught:
        site.sync_here()
    place = f"{site.config}:5:" if branch == "\ud800" else f"{site.config}: saltenvs.test.branch: "
    assert caught.value.message.startswith(place)
    assert caught.value.hint
    assert len(caught.value.message) < 1000


def test_deploy_25_two_branches_that_fold_to_one_folder_are_both_named(
    site: Site, remote: Remote
) -> None:
    for branch in ("a/b", "a_b"):
        remote.commit(branch, {"salt/x": "1\n"})
    site.configure(
        saltenvs={
            "test": {"branch": "a/b", "minions": ["test*"]},
            "prod": {"branch": "a_b", "minions": ["prod*"]},
        }
    )
    ran = site.sync()
    assert ran.code == 1
    assert "'a/b' and 'a_b' (saltenvs test and prod) would share the folder 'a_b'" in ran.err
    assert not (site.root / "checkouts").exists()


def test_branch_named_like_our_unfinished_files_keeps_its_checkout(
    site: Site, remote: Remote
) -> None:
    """The link that is renamed into place must not be the checkout of another branch."""
    for suffix in (".saltbranch-new", "_.saltbranch-new"):
        remote.commit(f"develop{suffix}", {"salt/x": "1\n"})
        site.settings["saltenvs"][f"lab{len(suffix)}"] = {
            "branch": f"develop{suffix}",
            "minions": [f"lab{len(suffix)}"],
        }
    site.configure()
    for number in range(3):
        remote.commit("develop", {"salt/x": f"{number}\n"})
        site.sync_well()


def test_hostile_refs_on_the_remote_do_nothing(served: Site, remote: Remote) -> None:
    for name in (
        "--upload-pack=touch canary;",
        "--exec=touch canary",
        "-",
        "-c",
        "--",
        "$(touch canary)",
    ):
        remote.git("update-ref", f"refs/heads/{name.replace(' ', '${IFS}')}", remote.head("master"))
    remote.git("update-ref", "refs/heads/refs/heads/develop", remote.head("master"))
    remote.git("update-ref", "refs/tags/develop", remote.head("master"))
    remote.commit("develop", {"salt/x": "1\n"})
    served.sync_well()
    assert not served.sync_here(verify=True).changed


@pytest.mark.parametrize("name", ["develop", "refs/heads/develop", "HEAD", "a" * 40])
def test_ambiguous_names_are_never_resolved_to_the_wrong_commit(
    served: Site, remote: Remote, name: str
) -> None:
    mirror = served.root / "mirror.git"
    wrong = remote.head("master")
    for ref in (f"refs/tags/{name}", f"refs/remotes/{name}/HEAD", f"refs/{name}"):
        path = mirror / ref
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_dir():
            path.write_text(f"{wrong}\n")
    remote.commit("develop", {"salt/x": "1\n"})
    served.sync_well()


# Symlinks

LEADS_OUT: dict[str, dict[str, Content]] = {
    "absolute": {"salt/l": Link("/etc/shadow")},
    "double slash": {"salt/l": Link("//etc/shadow")},
    "up and out": {"salt/l": Link("../../outside/secret")},
    "up and out, deep": {"salt/a/b/c/l": Link("../../../../../x")},
    "down and up": {"salt/l": Link("app/../../../x")},
    "down through a link": {"salt/d": Link("app"), "salt/l": Link("d/../../../x")},
    "chain, each harmless alone": {"salt/d": Link(".."), "salt/l": Link("d/pillar")},
    "pillar as a file": {"salt/l": Link("../pillar/app.sls")},
    "pillar as a folder": {"salt/l": Link("../pillar")},
    "whole checkout": {"salt/l": Link("..")},
    "whole checkout from outside states": {"other/l": Link("..")},
    "git's files": {"salt/l": Link("../.git")},
    "git's files from pillar": {"pillar/l": Link("../.git")},
    "out from pillar": {"pillar/l": Link("../../../../mirror.git/config")},
    "states folder is a link": {"salt": Link("pillar")},
    "states folder is the checkout": {"salt": Link(".")},
    "top file": {"salt/top.sls": Link("/etc/salt/minion")},
    "dots": {"salt/l": Link("./.././../x")},
    "newline in it": {"salt/l\n": Link("/etc/\nshadow")},
}


@pytest.mark.parametrize("case", LEADS_OUT)
def test_symlink_that_leads_out_is_refused(served: Site, remote: Remote, case: str) -> None:
    old, other = remote.head("develop"), remote.commit("stage", {"salt/x": "1\n"})
    remote.commit("develop", without_folders(remote, LEADS_OUT[case]))
    assert served.sync("--plan").code == 4
    result = served.sync_here()
    refused = result_of(result, "test")
    assert (result.exit_code, refused.state) == (4, "refused"), refused.message
    assert "symlink" in refused.message and "remove the link" in refused.message
    served.assert_serves("develop", old)
    served.assert_serves("stage", other)
    remote.commit("develop", {"README.md": "on top of it\n"})
    assert result_of(served.sync_here(), "test").state == "refused"
    served.assert_serves("develop", old)


def without_folders(remote: Remote, files: dict[str, Content]) -> dict[str, Content]:
    """`files`, with what stands in their way removed first."""
    gone: dict[str, Content] = {
        path: None
        for path in remote.tree(remote.head("develop"))
        if any(path.startswith(f"{name}/") for name in files)
    }
    return {**gone, **files}


def test_symlinks_inside_the_tree_are_served(served: Site, remote: Remote) -> None:
    remote.commit(
        "develop",
        {
            "salt/l": Link("app/init.sls"),
            "salt/app/up": Link("../top.sls"),
            "salt/dangling": Link("nowhere"),
            "salt/folder": Link("app"),
            "salt/readme": Link("../README.md"),
            "pillar/shared": Link("app.sls"),
            "pillar/states": Link("../salt/app"),
            "other/l": Link("../salt"),
        },
    )
    served.sync_well()


def test_symlink_from_the_first_commit_on_is_refused(site: Site, remote: Remote) -> None:
    remote.commit("develop", {"salt/l": Link("/etc/passwd")})
    result = site.sync_here()
    assert result_of(result, "test").state == "refused"
    assert site.shown("develop") is None


def test_symlink_proven_under_another_pillar_dir_is_looked_at_again(
    served: Site, remote: Remote
) -> None:
    remote.commit("develop", {"secrets/top.sls": "{}\n", "salt/l": Link("../secrets/top.sls")})
    served.sync_well()
    served.configure(pillar_dir="secrets")
    remote.commit("develop", {"README.md": "next\n"})
    assert result_of(served.sync_here(), "test").state == "refused"


# What git would run, if it were let


EVIL = "touch canary; cat"


def test_nothing_in_a_repository_is_executed(served: Site, remote: Remote) -> None:
    config = f"""\
        [filter "evil"]
            clean = {EVIL}
            smudge = {EVIL}
            process = {EVIL}
            required = true
        [diff "evil"]
            textconv = {EVIL}
        [merge "evil"]
            driver = {EVIL}
        [core]
            fsmonitor = {EVIL}
            hooksPath = hooks
            sshCommand = {EVIL}
        [alias]
            checkout = !{EVIL}
        """
    hooks = (
        "post-checkout",
        "post-index-change",
        "post-merge",
        "pre-receive",
        "reference-transaction",
    )
    remote.commit(
        "develop",
        {
            ".gitattributes": "* filter=evil diff=evil merge=evil\n",
            ".gitconfig": textwrap.dedent(config),
            "config": textwrap.dedent(config),
            ".lfsconfig": "[lfs]\n\turl = file:///x\n",
            ".gitmodules": '[submodule "m"]\n\tpath = m\n\turl = https://git.example.com/m.git\n',
            "m": Submodule(),
            **{f"hooks/{hook}": Script("#!/bin/sh\ntouch canary\n") for hook in hooks},
        },
    )
    (remote.path / "hooks").mkdir()
    for hook in ("post-checkout", "post-update", "upload-pack"):
        (remote.path / "hooks" / hook).write_text(
            f"#!/bin/sh\ntouch {served.folder}/outside/canary\n"
        )
        (remote.path / "hooks" / hook).chmod(0o755)
    served.sync_well()
    assert not served.sync_here(verify=True).changed


def test_hooks_of_a_template_and_of_the_mirror_are_not_run(
    site: Site, remote: Remote, tmp_path: Path, canary: Path
) -> None:
    template = tmp_path / "remote.git" / "template" / "hooks"
    template.mkdir(parents=True)
    script = f"#!/bin/sh\ntouch {canary}\n"
    config = tmp_path / "remote.git" / "global"
    config.write_text(
        f"[init]\n\ttemplateDir = {template.parent}\n[core]\n\thooksPath = {template}\n"
    )
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        (template / hook).write_text(script)
        (template / hook).chmod(0o755)
    env = {"GIT_CONFIG_GLOBAL": str(config), "GIT_TEMPLATE_DIR": str(template.parent)}
    assert site.run("sync", env=env).code == 0
    assert not canary.exists()
    hooks = site.root / "mirror.git" / "hooks"
    assert not hooks.exists()
    hooks.mkdir()
    (hooks / "post-checkout").write_text(script)
    (hooks / "post-checkout").chmod(0o755)
    remote.commit("develop", {"salt/x": "1\n"})
    assert site.run("sync", env=env).code == 0
    site.assert_serves("develop", remote.head("develop"))


@pytest.mark.parametrize(
    "remote_url",
    [
        "ext::sh -c 'touch canary'",
        "ext::touch canary",
        "fd::17",
        "foo-bar::x",
        "git-remote.x::y",
        "--upload-pack=touch canary",
        "-oProxyCommand=touch canary",
        "-u",
        "x\ny",
        "\ud800",
    ],
)
def test_remote_that_is_a_command_is_refused(site: Site, remote_url: str) -> None:
    site.configure(remote=remote_url)
    for options in ([], ["--plan"]):
        ran = site.sync(*options)
        assert ran.code == 1
        assert str(site.config) in ran.err and "remote" in ran.err and "->" in ran.err
    assert not (site.root / "mirror.git").exists()


@pytest.mark.parametrize(
    "remote_url",
    [
        "ssh://-oProxyCommand=touch${IFS}canary/x",
        "-oProxyCommand=x:y",
        "ssh://x;touch canary/y",
        "ext://x",
    ],
)
def test_remote_that_ssh_would_take_for_an_option_runs_nothing(site: Site, remote_url: str) -> None:
    site.configure(remote=remote_url, fetch_timeout=5)
    assert site.sync().code == 1


# File names and contents


def test_odd_file_names_come_out_right(served: Site, remote: Remote) -> None:
    names = [
        "new\nline", "quo'te", 'dou"ble', "back\\slash", "tab\there", "--option", "-rf", "über",
        "日本", "sp ace ", "$(touch canary)", ";touch canary", "*", "[a]", ":(top)x", "!x", "#x",
        "\x1b[2J", "a" * 255, os.fsdecode(b"latin\xe41"), "~", "con", "x.lock", "index",
    ]  # fmt: skip
    for round_ in ("1\n", "2\n"):
        files: dict[str, Content] = {f"salt/{name}": round_ for name in names}
        files |= {f"salt/d{n}/{name}/x": round_ for n, name in enumerate(names)}
        remote.commit("develop", files)
        served.sync_well()
        assert not served.sync_here(verify=True).changed
    remote.commit("develop", {f"salt/{name}": None for name in names})
    served.sync_well()


def test_names_that_differ_in_case_only_are_two_files(served: Site, remote: Remote) -> None:
    remote.commit("develop", {"salt/README": "1\n", "salt/readme": "2\n", "salt/App/x": "3\n"})
    served.sync_well()


@pytest.mark.parametrize(
    "name", [".git/config", "salt/.git/hooks/post-checkout", "salt/.GIT/x", ".", ".."]
)
def test_tree_that_git_must_not_check_out_is_refused(
    served: Site, remote: Remote, name: str
) -> None:
    """Made with plumbing: such a tree is damaged or meant to harm (git-fsck(1), hasDotgit)."""
    old = remote.head("develop")
    tree = remote.head("develop") + "^{tree}"
    blob = remote.git("hash-object", "-w", "--stdin", stdin=b"[core]\n")
    first, *rest = name.split("/")
    entry = f"100644 blob {blob}\t{rest[-1] if rest else first}\n"
    inner = remote.git(
        "hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=raw(entry)
    )
    for part in reversed(name.split("/")[:-1]):
        line = f"040000 tree {inner}\t{part}\n"
        inner = remote.git(
            "hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=raw(line)
        )
    commit = remote.git("commit-tree", "-p", tree[:40], "-m", "x", inner)
    remote.set_branch("develop", commit)
    ran = served.sync()
    assert ran.code in (1, 20), ran
    assert "-> " in ran.err or "(" in ran.err
    served.assert_serves("develop", old)
    remote.set_branch("develop", old)
    remote.commit("develop", {"salt/x": "1\n"})
    served.sync_well()


def raw(lines: str) -> bytes:
    """Lines of ``git ls-tree`` as a tree object holds them."""
    data = b""
    for line in lines.splitlines():
        meta, name = line.split("\t")
        mode, _, oid = meta.split()
        data += mode.lstrip("0").encode() + b" " + name.encode() + b"\0" + bytes.fromhex(oid)
    return data


@pytest.mark.parametrize(
    "attributes", ["* text=auto\n", "*.txt text\n", "*.txt text eol=lf\n", "*.txt eol=crlf\n"]
)
def test_line_ends_that_git_would_normalise_are_no_obstacle(
    served: Site, remote: Remote, attributes: str
) -> None:
    """Real repositories hold such files: git shows them as changed for ever, right after a checkout."""
    for number in range(3):
        remote.commit(
            "develop",
            {
                ".gitattributes": attributes,
                "salt/dos.txt": f"one\r\n{number}\r\n",
                "salt/mixed.txt": f"one\n{number}\r\n",
                "salt/unix.txt": f"one\n{number}\n",
            },
        )
        result = served.sync_here()
        assert result.exit_code == 0, result_of(result, "test").message
        assert b"\n%d" % number in (served.checkout("develop") / "salt" / "dos.txt").read_bytes()
    assert not served.sync_here(verify=True).changed


def test_filter_that_the_administrator_configured_is_honoured(
    served: Site, remote: Remote, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As git-crypt and LFS are: what git makes of a file is what is served."""
    config = tmp_path / "remote.git" / "global"
    config.write_text('[filter "rot13"]\n\tclean = tr a-z n-za-m\n\tsmudge = tr a-z n-za-m\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    for number, text in enumerate(("uryyb", "jbeyq")):
        remote.commit(
            "develop", {".gitattributes": "*.rot filter=rot13\n", "salt/x.rot": f"{text}\n"}
        )
        assert served.sync_here().exit_code == 0
        shown = (served.checkout("develop") / "salt" / "x.rot").read_text()
        assert shown == ("hello\n", "world\n")[number]
    assert not served.sync_here(verify=True).changed


# saltbranch.yaml

BAD_CONFIGURATIONS = {
    "broken YAML": ("saltenvs: [", ":3:", "not valid YAML"),
    "tab": ("saltenvs:\n\ttest: x", ":2:", "not valid YAML"),
    "unknown key": ("saltenv: {}", ":1: unknown key saltenv", "did you mean 'saltenvs'?"),
    "unknown key below": (
        "saltenvs:\n  test:\n    brunch: x\n    minions: [a]",
        ":3: unknown key saltenvs.test.brunch",
        "did you mean 'branch'?",
    ),
    "duplicate key": ("root: /a\nroot: /b", ":2:", "'root' appears twice (also on line 1)"),
    "duplicate saltenv": (
        "saltenvs:\n  test: {branch: a, minions: [a]}\n  test: {branch: b, minions: [b]}",
        ":3:",
        "'test' appears twice (also on line 2)",
    ),
    "merge key": ("a: &a {x: 1}\n<<: *a", "unknown key", "known ones"),
    "not a mapping": ("- a", "holds a list", "start with"),
    "type of a key": ("root: [a]", ": root: expected `str`", "shows an example"),
    "type below": (
        "saltenvs:\n  test: {branch: a, minions: [a], protected: maybe}",
        ": saltenvs.test.protected: expected `bool`",
        "shows an example",
    ),
    "missing branch": (
        "saltenvs:\n  test: {minions: [a]}",
        "saltenvs.test: object missing",
        "`branch`",
    ),
    "saltenv is not a mapping": (
        "saltenvs: {test: develop}",
        "saltenvs.test: expected `object`",
        "an example",
    ),
    "saltenv name": (
        "saltenvs: {'../x': {branch: a, minions: [a]}}",
        "saltenvs.../x: not a usable name",
        "letters, digits",
    ),
    "saltenv __env__": (
        "saltenvs: {__env__: {branch: a, minions: [a]}}",
        "saltenvs.__env__",
        "letters",
    ),
    "no saltenvs": ("saltenvs: {}", "no saltenvs", "add `saltenvs:`"),
    "overlap, same": (
        "saltenvs: {a: {branch: a, minions: ['web*']}, b: {branch: b, minions: ['web*']}}",
        "the saltenvs a and b both claim 'web'",
        "narrow one of the two",
    ),
    "overlap, contained": (
        "saltenvs: {a: {branch: a, minions: ['*']}, b: {branch: b, minions: ['web*']}}",
        "both claim 'web'",
        "narrow",
    ),
    "overlap, literal": (
        "saltenvs: {a: {branch: a, minions: ['web*']}, b: {branch: b, minions: {list: [db1, web1]}}}",
        "both claim 'web1'",
        "narrow",
    ),
    "overlap, nodegroup": (
        "saltenvs: {a: {branch: a, minions: {nodegroup: x}}, b: {branch: b, minions: {nodegroup: x}}}",
        "both claim 'nodegroup x'",
        "narrow",
    ),
    "grains": (
        "saltenvs: {a: {branch: a, minions: {grain: 'role:web'}}}",
        "saltenvs.a.minions: minions cannot be assigned by grain: a minion may claim any grain",
        "name them by id",
    ),
    "compound": (
        "saltenvs: {a: {branch: a, minions: 'G@role:web'}}",
        "looks like a compound target",
        "grains cannot be used",
    ),
    "branch twice": (
        "saltenvs: {a: {branch: x, minions: [a]}, b: {branch: x, minions: [b]}}",
        "saltenvs a and b both name the branch x",
        "its own branch",
    ),
    "promote_from": (
        "saltenvs: {test: {branch: x, minions: [a], promote_from: tset}}",
        "saltenvs.test.promote_from: there is no saltenv 'tset'",
        "did you mean 'test'?",
    ),
    "circle": (
        "saltenvs: {a: {branch: x, minions: [a], promote_from: b},"
        " b: {branch: y, minions: [b], promote_from: a}}",
        "promote_from runs in a circle",
        "no promote_from",
    ),
    "pillar inside states": ("pillar_dir: salt/pillar", "contain one another", "side by side"),
    "states_dir leads out": (
        "states_dir: ../x",
        "states_dir: '../x' is not a folder inside",
        "for example",
    ),
    "states_dir is all": ("states_dir: .", "is not a folder inside", "for example"),
    "root is relative": ("root: x", "root: 'x' is not an absolute path", "in full"),
    "root is /": ("root: /", "root cannot be /", "a folder below"),
    "root with ..": ("root: /srv/../etc", "root: '/srv/../etc' is not", "in full"),
    "time-out": ("fetch_timeout: 0", "fetch_timeout: 0 is not", "seconds"),
    "nested deeply": ("saltenvs: " + "[" * 20_000, "nested too deeply", "not a configuration"),
    "alias bomb": (
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n"
            for a, b in zip("abcdefghi", "bcdefghij", strict=True)
        )
        + "saltenvs: {t: {branch: x, minions: *j}}",
        "aliases make more than 100000 values of it",
        "fix that line",
    ),
    "alias bomb as minions": (
        "saltenvs: {t: {branch: x, minions: [&a [x,x,x,x,x,x,x,x,x], "
        + ", ".join(
            f"&{b} [{','.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        )
        + "]}}",
        "aliases make more than 100000 values of it",
        "fix that line",
    ),
    "python object": (
        "root: !!python/object/apply:os.system ['touch canary']",
        ":1:",
        "not valid YAML",
    ),
    "no date": ("root: 2026-13-45", ":1:7: not valid YAML: month must be", "quotes"),
    "no number": ("fetch_timeout: 0x_", ":1:16: not valid YAML", "quotes"),
    "huge number": ("fetch_timeout: " + "9" * 5000, ":1:16: not valid YAML", "quotes"),
    "number out of range": ("fetch_timeout: 99999999999999999999", "fetch_timeout: ", "to 86400"),
    "control character": ('master_config: "/a\\nb"', "master_config", "in full"),
    "NUL": ('salt_config: "/a\\0b"', "salt_config", "in full"),
    "half a character": ('master_config: "/a\\ud800"', ":1:16: not valid YAML", "surrogates"),
    "not UTF-8": ("root: \udcff", "not UTF-8", "save it as UTF-8"),
}


@pytest.mark.parametrize("case", BAD_CONFIGURATIONS)
def test_bad_configuration_names_file_key_and_fix(site: Site, case: str) -> None:
    text, *expected = BAD_CONFIGURATIONS[case]
    keys = {"remote", "root", "master_config", "salt_config", "saltenvs"}
    lines = [f"{key}: {value!r}" for key, value in site.settings.items() if isinstance(value, str)]
    given = {line.split(":")[0] for line in text.splitlines()}
    rest = [line for line in lines if line.split(":")[0] in keys - given]
    if "saltenvs" not in given:
        rest.append("saltenvs: {test: {branch: develop, minions: [test1]}}")
    whole = text if text == "- a" else "\n".join([text, *rest, ""])
    site.config.write_bytes(os.fsencode(whole))
    ran = site.sync()
    assert ran.code == 1, ran
    for part in (str(site.config), "  -> ", *expected):
        assert part in ran.err
    assert len(ran.err) < 2000
    assert site.shown("develop") is None and not site.master_config.exists()


def test_bad_configuration_leaves_what_is_served(served: Site, remote: Remote) -> None:
    old = {branch: remote.head(branch) for branch in BRANCHES.values()}
    remote.commit("develop", {"salt/x": "1\n"})
    served.config.write_text(f"{served.config.read_text()}}}\n")
    assert served.sync().code == 1
    for branch, commit in old.items():
        served.assert_serves(branch, commit)
    served.configure()
    served.sync_well()
