"""``saltbranch check`` on real commits."""

from __future__ import annotations

import json
import os
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from saltbranch.actions.check import check
from saltbranch.base.errors import ConfigError, GitError, UsageError
from saltbranch.check.checked_repository import open_place
from saltbranch.check.commit import cache_folder
from saltbranch.git import tree
from saltbranch.git.program import Git
from tests.support import own_cache
from tests.support.remote import Link, Remote, Submodule
from tests.support.site import Site, build_template

BAD = "app:\n  file.manage: []\n"
PACKAGE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Remote:
    return build_template(tmp_path_factory.mktemp("template") / "remote.git")


@pytest.fixture
def site(tmp_path: Path, template: Remote, monkeypatch: pytest.MonkeyPatch) -> Site:
    """With its mirror, and caches of its own."""
    own_cache.use(monkeypatch, tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    made = Site(tmp_path, template.copy(tmp_path / "remote.git"))
    made.sync_well()
    return made


def json_of(site: Site, *words: str) -> tuple[int, list[dict[str, Any]]]:
    ran = site.run_here("check", "--config", str(site.config), "--json", *words)
    assert ran.err == ""
    refs: list[dict[str, Any]] = json.loads(ran.out)["refs"]
    return ran.code, refs


def rules_of(ref: dict[str, Any]) -> set[tuple[str, int, str]]:
    return {(f["file"], f["line"], f["rule"]) for f in ref["findings"] if f["severity"] != "note"}


def push(site: Site, branch: str, files: dict[str, Any]) -> str:
    commit = site.remote.commit(branch, files)
    subprocess.run(
        ["git", f"--git-dir={site.root}/mirror.git", "fetch", "-q", str(site.remote.path), f"+{branch}:{branch}"],
        check=True,
    )  # fmt: skip
    return commit


def test_clean_branches_end_with_0(site: Site) -> None:
    code, refs = json_of(site, "--all")
    assert code == 0 and [ref["ref"] for ref in refs] == ["test", "stage", "prod"]
    assert [ref["commit"] for ref in refs] == [
        site.remote.head(b) for b in ("develop", "stage", "master")
    ]
    assert not any(rules_of(ref) for ref in refs)


def test_a_mistake_is_told_with_its_place(site: Site) -> None:
    commit = push(site, "develop", {"salt/app/init.sls": BAD})
    for name in ("test", "develop", commit, commit[:10]):
        code, (ref,) = json_of(site, name)
        assert (code, ref["commit"]) == (3, commit)
        assert rules_of(ref) == {("salt/app/init.sls", 2, "unknown-state-function")}
    ran = site.run_here("check", "--config", str(site.config), "develop")
    assert (
        "salt/app/init.sls:2: error unknown-state-function file has no function 'manage'" in ran.out
    )
    assert "-> did you mean 'managed'?" in ran.out and ran.code == 3


def test_since_leaves_out_what_was_there(site: Site) -> None:
    push(
        site,
        "stage",
        {"salt/app/init.sls": f"include: [other]\n{BAD}", "salt/other.sls": "o: {test.nop: []}"},
    )
    head = push(
        site,
        "stage",
        {
            "salt/app/init.sls": f"# more\ninclude: [other]\n{BAD}",
            "salt/other.sls": "o: {test.nix: []}",
        },
    )
    code, (ref,) = json_of(site, "stage", "--since", f"{head}~1")
    assert code == 3 and rules_of(ref) == {("salt/other.sls", 1, "unknown-state-function")}
    assert ref["since"] == site.remote.git("rev-parse", f"{head}~1")
    code, (ref,) = json_of(site, "stage", "--since", "stage")
    assert code == 0 and ref["findings"] == []


def test_reports_are_what_their_readers_parse(site: Site) -> None:
    push(site, "develop", {"salt/app/init.sls": BAD})
    out = {
        name: site.run_here("check", "-c", str(site.config), "develop", f"--{name}")
        for name in ("sarif", "junit", "github")
    }
    assert {ran.code for ran in out.values()} == {3}
    results = json.loads(out["sarif"].out)["runs"][0]["results"]
    assert [r["ruleId"] for r in results if r["level"] == "error"] == ["unknown-state-function"]
    assert ET.fromstring(out["junit"].out.encode())[0].get("failures") == "1"
    assert (
        "::error file=salt/app/init.sls,line=2,title=unknown-state-function::" in out["github"].out
    )


def test_no_output_holds_a_secret(site: Site) -> None:
    markers = ["hunter2hunter2", "AKIA" + "QWERTYUIOPASDFGH", "gh" + "p_" + "a1B2" * 9]
    text = "".join(f"k{n}_password: {marker}\n" for n, marker in enumerate(markers))
    push(site, "develop", {"pillar/app.sls": text, "salt/x.ini": f"secret = {markers[0]}\n"})
    for form in ([], ["--json"], ["--sarif"], ["--junit"], ["--github"]):
        ran = site.run_here("check", "-c", str(site.config), "develop", *form)
        assert ran.code == 3 and "plaintext-secret" in ran.out
        assert not [m for m in markers if m in ran.out + ran.err]


def test_names_and_links_that_bite(site: Site) -> None:
    push(
        site,
        "develop",
        {
            "salt/top.sls": "base:\n  '*': [app, user, '*red*']\n",
            "salt/\x1b[31mred\n.sls": BAD,
            b"salt/\xff.sls".decode("utf-8", "surrogateescape"): "{{",
            "salt/shadow.sls": Link("/etc/shadow"),
            "salt/gone": Link("nowhere"),
            "salt/fine.sls": Link("app/init.sls"),
            "salt/module": Submodule(),
            "salt/user.sls": "include: [module.x]\n",
            "salt/huge.sls": "a" * (tree.LARGEST + 1),
            "salt/binary.bin": b"\0\xff" * 100,
        },
    )
    code, (ref,) = json_of(site, "develop")
    found = rules_of(ref)
    assert code == 3
    assert ("salt/shadow.sls", 0, "symlink") in found and ("salt/gone", 0, "symlink") in found
    assert ("salt/huge.sls", 0, "not-checked") in found
    assert ("salt/\x1b[31mred\n.sls", 2, "unknown-state-function") in found
    assert {
        f for f in found if f[0] in ("salt/fine.sls", "salt/user.sls", "salt/binary.bin")
    } == set()
    ran = site.run_here("check", "-c", str(site.config), "develop")
    assert ran.code == 3 and "\x1b" not in ran.out and "root:" not in ran.out


def test_nothing_of_a_branch_is_executed(site: Site, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    touch = f"open({str(mark)!r}, 'w')"
    push(
        site,
        "develop",
        {
            "salt/_states/mine.py": f"{touch}\ndef x(name): pass\n",
            "salt/_modules/mine.py": f"{touch}\n",
            "salt/py.sls": f"#!py\n{touch}\ndef run():\n    {touch}\n",
            "salt/jinja.sls": f"{{{{ salt['cmd.run']('touch {mark}') }}}}",
            ".salt-lint": "rulesdir: [salt]\nuse_default_rules: true\n",
            "salt/EvilRule.py": f"{touch}\n",
        },
    )
    code, (ref,) = json_of(site, "develop")
    assert code == 3 and ("salt/jinja.sls", 1, "render-time-call") in rules_of(ref)
    assert not mark.exists()


def test_allowed_findings_do_not_count(site: Site) -> None:
    push(site, "develop", {
        "pillar/app.sls": "password: hunter2hunter2\n",
        ".saltbranch-check.yaml": "allow:\n- {rule: plaintext-secret, file: pillar/app.sls, reason: sample}\n",
    })  # fmt: skip
    code, (ref,) = json_of(site, "develop")
    assert code == 0 and ref["allowed"] == 1


def test_files_of_state_tests_are_read_wherever_nothing_is_compiled(site: Site) -> None:
    push(site, "develop", {
        "tests/app.yaml": "app is there:\n  must: [test.nop]\n",
        "tests/bad.yaml": "a: b",
        "tests/x.py": "x = (",
    })  # fmt: skip
    (result,) = check(str(site.config), ["develop"], cache=cache_folder()).refs
    assert result.tests == 1
    assert ("tests/bad.yaml", 1, "test-file") in {(f.file, f.line, f.rule) for f in result.findings}


def test_in_a_clone_the_work_tree_is_checked_unless_a_ref_is_named(
    tmp_path: Path, template: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(template.path), clone], check=True)
    monkeypatch.chdir(clone / "salt")
    (clone / "salt" / "app" / "init.sls").write_text(f"include: [new]\n{BAD}")
    (clone / "salt" / "new.sls").write_text("{{ a")
    (clone / ".gitignore").write_text("ignored.sls\n")
    (clone / "salt" / "ignored.sls").write_text("{{ a")
    (clone / "pillar" / "app.sls").unlink()
    os.mkfifo(clone / "salt" / "pipe")
    rules = {
        (f.file, f.rule)
        for f in check(None, cache=cache_folder()).refs[0].findings
        if f.severity == "error"
    }
    assert rules == {
        ("salt/app/init.sls", "unknown-state-function"),
        ("salt/new.sls", "jinja-syntax"),
        ("pillar/top.sls", "top-missing-sls"),
    }
    assert check(None, ["develop"], cache=cache_folder()).exit_code == 0
    assert check(None, ["HEAD"], cache=cache_folder()).exit_code == 0


def test_in_a_clone_a_named_file_that_is_wrong_is_refused(
    tmp_path: Path, template: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(template.path), clone], check=True)
    monkeypatch.chdir(clone)
    own = tmp_path / "own.yaml"
    saltenvs = "saltenvs: {base: {branch: master, minions: ['*']}}\n"
    own.write_text(f"remote: {template.path}\nroot: {tmp_path}/no-root\nstates_dir: .\n{saltenvs}")
    # Once the model of the remote is gone, the file that was named is all that there is.
    subprocess.run(["git", "update-ref", "-d", "refs/remotes/origin/master"], check=True)
    with pytest.raises(ConfigError) as refused:
        open_place(str(own))
    assert "own.yaml: states_dir: '.'" in refused.value.message
    assert "[{.: ['*']}]" in refused.value.hint
    own.write_text(own.read_text().replace("states_dir: .", "states_dir: salt"))
    assert open_place(str(own)).states_dir == "salt"


def test_what_is_no_ref_is_refused(site: Site) -> None:
    place = open_place(str(site.config))
    for name in ("nope", "--all", "-h", ":/change", "", "develop:salt", "develop..stage"):
        with pytest.raises(UsageError):
            place.commit(name)
    ran = site.run_here("check", "-c", str(site.config), "nope")
    assert ran.code == 2 and "'nope' is not a saltenv, branch, tag, promotion or commit" in ran.err
    ran = site.run_here("check", "-c", str(site.config), "--all", "develop")
    assert ran.code == 2


def test_before_the_first_sync_it_says_what_to_do(
    tmp_path: Path, template: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fresh = Site(tmp_path, template.copy(tmp_path / "remote.git"))
    ran = fresh.run_here("check", "-c", str(fresh.config))
    assert ran.code == 1 and "make it with: saltbranch sync" in ran.err


def test_a_missing_object_is_an_error_and_not_an_empty_file(
    tmp_path: Path, template: Remote
) -> None:
    remote = template.copy(tmp_path / "r.git")
    oid = remote.tree(remote.head("master"))["salt/app/init.sls"][1]
    listed = remote.git("rev-list", "--objects", "--all").split()
    assert oid in listed
    for packed in (remote.path / "objects" / "pack").glob("*.pack"):
        data = packed.read_bytes()
        for file in packed.parent.glob(f"{packed.stem}.*"):
            file.unlink()
        subprocess.run(
            ["git", f"--git-dir={remote.path}", "unpack-objects", "-q"], input=data, check=True
        )
    (remote.path / "objects" / oid[:2] / oid[2:]).unlink()
    with pytest.raises(GitError):
        tree.read_commit(Git(str(remote.path)), remote.head("master"), lambda _path: True)


def test_the_sample_control_repository_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PACKAGE)
    if not (PACKAGE / ".git").exists():
        pytest.skip("no clone")
    result = check(None, cache=cache_folder())
    assert [f for f in result.refs[0].findings if not f.file.startswith("tests/")] == []
    assert result.refs[0].files > 30
