"""``saltbranch check`` with compiled highstates: the fleet, state tests, what cannot be, and no secret."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import salt.cache
import salt.config
import salt.loader
import yaml

from saltbranch.actions.check import check
from saltbranch.actions.sync import sync
from saltbranch.base.errors import ConfigError, SaltError, UsageError
from saltbranch.check.commit import cache_folder, check_commit
from saltbranch.check.finding import Finding
from saltbranch.check.highstates import NO_MASTER, NO_SALTENVS, Compiling
from saltbranch.check.result import RefResult
from saltbranch.compiler import sandbox
from saltbranch.compiler.sandbox import SandboxError
from saltbranch.config.check import build_config
from saltbranch.config.model import Config
from saltbranch.config.read import read_file
from saltbranch.git.program import Git
from tests.actions.test_diff import GRAINS, Clone
from tests.support import own_cache
from tests.support.remote import Content
from tests.support.site import run

TOP = "base:\n  '*':\n    - app\n"
APP = "app:\n  test.nop:\n    - name: {{ pillar['name'] }}\n"
FILES: dict[str, Content] = {
    "salt/top.sls": TOP,
    "salt/app.sls": APP,
    "salt/common.sls": None,
    "salt/web.sls": None,
    "salt/files/motd.j2": None,
    "salt/files/lib.jinja": None,
    "salt/_modules/own.py": None,
    "pillar/top.sls": TOP,
    "pillar/app.sls": "name: Good1\n",
    "pillar/common.sls": None,
    "pillar/web.sls": None,
}
MACRO = "{% macro m(n) %}\n/etc/{{ n }}:\n  FUN\n{% endmacro %}\n{{ m('x') }}\n{{ m('y') }}\n"
Told = set[tuple[str, int, str, str]]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """Minions prod-db1, prod-web1, prod-web2 and test-web1; `develop` and `master` are the same."""
    own_cache.use(monkeypatch, tmp_path / "cache")
    made = Clone(tmp_path)
    made.commit(FILES, "master")
    made.remote.set_branch("develop", made.remote.head("master"))
    git = ["git", "-C", str(made.folder)]
    subprocess.run([*git, "pull", "-q"], check=True)
    monkeypatch.chdir(made.folder)
    return made


def look(clone: Clone, *refs: str, since: str | None = None, **how: Any) -> RefResult:
    compiling = Compiling(**{"jobs": 1, **how})
    (found,) = check(clone.path, refs, since=since, compiling=compiling, cache=cache_folder()).refs
    return found


def told(found: RefResult) -> Told:
    return {(f.file, f.line, f.rule, f.message) for f in found.findings}


def messages(found: RefResult, rule: str) -> list[str]:
    return [f.message for f in found.findings if f.rule == rule]


# The fleet


def test_a_ref_is_compiled_for_the_minions_that_get_it(clone: Clone) -> None:
    for ref, number in (("prod", 3), ("master", 3), ("test", 1), ("develop", 1), ("HEAD", 4)):
        found = look(clone, ref)
        assert (ref, found.compiled.minions, found.findings) == (ref, number, ())
    assert look(clone).compiled.minions == 4
    assert look(clone, "prod").compiled.cached == 3
    assert look(clone, "prod", cache=False).compiled.cached == 0
    assert look(clone, "HEAD", saltenv="test").compiled.minions == 1
    assert look(clone, "prod", minions=["*web*"]).compiled.minions == 2
    with pytest.raises(UsageError, match="no minion"):
        look(clone, "prod", minions=["nope*"])
    with pytest.raises(ConfigError, match="no saltenv 'nope'"):
        look(clone, "prod", saltenv="nope")


CASES: dict[str, tuple[dict[str, Content], Told]] = {
    "undefined": (
        {"salt/app.sls": "\n" + APP.replace("name']", "nix']")},
        {("salt/app.sls", 4, "compile", "test-web1: Jinja variable 'salt.utils.optsdict.DictProxy"
          " object' has no attribute 'nix'")},
    ),
    "imported": (
        {"salt/app.sls": "{% from 'lib/map.jinja' import x %}\nx: {test.nop: []}\n",
         "salt/common.sls": "{% include 'lib/map.jinja' %}\n", "salt/top.sls": TOP + "    - common\n",
         "salt/lib/map.jinja": "\n{% set x = grains.oss.x %}\n"},
        {("salt/lib/map.jinja", 2, "compile", "test-web1: Jinja variable 'dict object' has no attribute 'oss'")},
    ),
    "requisite": (
        {"salt/app.sls": "{% set x = 'no' ~ 'pe' %}\nb:\n  test.nop:\n    - require: [{test: {{ x }}}]\n"},
        {("salt/app.sls", 2, "compile", "test-web1: Referenced state does not exist for requisite"
          " [require: (test: nope)] in state [b] in SLS [app]")},
    ),
    "include": (
        {"salt/app.sls": "include:\n  - {{ 'go' ~ 'ne' }}\n"},
        {("salt/top.sls", 0, "compile", "test-web1: there is no states file for 'gone'")},
    ),
    "pillar-sls": (
        {"pillar/top.sls": "base:\n  '*':\n    - app\n    - {{ 'go' ~ 'ne' }}\n"},
        {("pillar/top.sls", 0, "compile", "test-web1: there is no pillar file for '***'")},
    ),
    "pillar-error": (
        {"pillar/app.sls": "name: {{ nix.x }}\n"},
        {("pillar/app.sls", 1, "compile", "test-web1: Jinja: something is undefined"),
         ("pillar/top.sls", 0, "compile", "test-web1: not judged without the pillar that did not come out"
          " in plain text: salt/app.sls")},
    ),
    "top": (
        {"salt/top.sls": "base:\n  {{ nix.x }}: [app]\n"},
        {("salt/top.sls", 2, "compile",
          "test-web1: the top file does not render: Jinja variable 'nix' is undefined")},
    ),
    "pillar-top": (
        {"pillar/top.sls": "base:\n  {{ nix.x }}: [app]\n", "salt/app.sls": "a: {test.nop: []}\n"},
        {("pillar/top.sls", 2, "compile",
          "test-web1: the pillar top file does not render: Jinja: something is undefined")},
    ),
    "unmatched": (
        {"salt/top.sls": "base:\n  'other':\n    - app\n"},
        {("salt/top.sls", 0, "unmatched-minion",
          "test-web1: no target in the top file matches this minion")},
    ),
    "unmatched-pillar": (
        {"pillar/top.sls": "base:\n  'other':\n    - app\n", "salt/app.sls": "a: {test.nop: []}\n"},
        {("pillar/top.sls", 0, "unmatched-minion",
          "test-web1: no target in the pillar top file matches this minion")},
    ),
    "empty-top": (
        {"salt/top.sls": "{}\n"},
        {("salt/top.sls", 0, "empty-top",
          "test-web1: the top file names no states for any minion of this saltenv"),
         ("salt", 0, "not-reached",
          "no top file or include names salt/app.sls: not judged as what a minion gets")},
    ),
    "empty": (
        {"salt/app.sls": "{% if grains.nope is defined %}\na: {test.nop: []}\n{% endif %}\n"},
        {("salt/top.sls", 0, "empty-highstate", "test-web1: the highstate is empty")},
    ),
    "escape": (
        {"salt/app.sls": "{{ salt['own.f']() }}: {test.nop: []}\n",
         "salt/_modules/own.py": "import os\ndef f():\n    return os.popen('id').read()[:0] + 'x'\n"},
        {("salt", 0, "escape-attempt", "test-web1: code of the branch tried to start a program")},
    ),
    "function-in-a-macro": (
        {"salt/app.sls": MACRO.replace("FUN", "file.manged: []")},
        {("salt/app.sls", 2, "unknown-state-function", "file has no function 'manged'")},
    ),
    "argument-in-a-macro": (
        {"salt/app.sls": MACRO.replace("FUN", "cmd.run: [{user: x}]")},
        {("salt/app.sls", 2, "unknown-argument", "cmd.run has no argument 'user'")},
    ),
    "missing-argument-in-a-macro": (
        {"salt/app.sls": MACRO.replace("FUN", "file.symlink: []")},
        {("salt/app.sls", 2, "missing-argument", "file.symlink needs the argument 'target'")},
    ),
    "no-list-in-a-loop": (
        {"salt/app.sls": "{% for n in ['x'] %}\n{{ n }}:\n  file.managed: /etc/xyt\n{% endfor %}\n"},
        {("salt/app.sls", 0, "compile", "test-web1: State 'x' in SLS 'app' is not formed as a list")},
    ),
    "told-by-reading": (
        {"salt/app.sls": "a:\n  file.manged: []\n"},
        {("salt/app.sls", 2, "unknown-state-function", "file has no function 'manged'")},
    ),
    "neutral": (
        {"salt/app.sls": "a:\n  test.nop:\n    - name: {{ salt['network.ip_addrs']('eth0') | length }}\n"},
        {("salt/app.sls", 3, "neutral-answer", "test-web1: network.ip_addrs answered neutrally")},
    ),
    "misspelt": (
        {"salt/app.sls": "a:\n  test.nop:\n    - name: {{ salt['network.ip_adrs']() }}\n"},
        {("salt/app.sls", 3, "compile", "test-web1: Jinja variable 'salt.utils.templates.AliasedLoader object'"
          " has no attribute 'network.ip_adrs'")},
    ),
    "module": (
        {"salt/app.sls": "a:\n  test.nop:\n    - name: {{ salt['own.f']() }}\n",
         "salt/_modules/own.py": "import nothing_of_this_name\n"},
        {("salt/app.sls", 3, "compile", "test-web1: Jinja variable 'salt.utils.templates.AliasedLoader object'"
          " has no attribute 'own.f'"),
         ("salt/_modules/own.py", 0, "compile", "test-web1: own, a module of the branch, does not load:"
          " ModuleNotFoundError: No module named 'nothing_of_this_name'")},
    ),
    "nothing": (
        # Salt looks for programs and libraries when it loads its own modules; no branch did that.
        {"salt/app.sls": "a:\n  test.nop:\n    - name: {{ salt['nix.x'] is defined }}\n"},
        set(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_only_compiling_finds_has_a_place(clone: Clone, case: str) -> None:
    files, expected = CASES[case]
    clone.commit(files)
    assert told(look(clone, "test")) == expected
    assert look(clone, "prod").findings == ()


@pytest.mark.parametrize(
    ("files", "rules"),
    [
        ({"salt/app.sls": "#!nix\na: {}\n"}, ["unknown-renderer"]),
        ({"salt/app.sls": "{% if %}\n"}, ["jinja-syntax"]),
        ({"salt/app.sls": "a:\n  test.nop: [\n"}, ["yaml-syntax"]),
        ({"salt/top.sls": f"{TOP}    - gone\n"}, ["top-missing-sls"]),
        ({"salt/app.sls": "include: [gone]\na: {test.nop: []}\n"}, ["include-missing"]),
        ({"pillar/top.sls": f"{TOP}    - gone\n"}, ["top-missing-sls"]),
        ({"salt/app.sls": "a: text\n"}, ["sls-shape"]),
    ],
)
def test_what_the_static_rules_told_is_not_told_again(
    clone: Clone, files: dict[str, Content], rules: list[str]
) -> None:
    clone.commit(files)
    found = look(clone, "test")
    assert found.compiled.minions == 1
    assert [f.rule for f in found.findings if f.severity == "error"] == rules


def test_minions_with_the_same_error_are_one_finding(clone: Clone) -> None:
    clone.minion("prod-more")
    for number in range(3):
        clone.minion(f"prod-x{number}", grains={**GRAINS, "os_family": "Suse"})
    clone.commit({"salt/app.sls": "{{ raise('no ' ~ grains.os_family) }}\n"}, "master")
    assert messages(look(clone, "prod"), "compile") == [
        "prod-db1, prod-more, prod-web1 and 1 more: Jinja error: no Debian",
        "prod-x0, prod-x1, prod-x2: Jinja error: no Suse",
    ]


def test_one_mistake_is_one_finding_in_all_saltenvs(clone: Clone) -> None:
    double = "{{ 'dou' ~ 'ble' }}:\n  test.nop: []\n"
    commit = clone.commit({"salt/app.sls": f"include: [more]\n{double}", "salt/more.sls": double})
    assert told(look(clone, commit)) == {
        ("salt/app.sls", 0, "compile", "prod-db1, prod-web1, prod-web2 and 1 more: Detected conflicting IDs,"
         " SLS IDs need to be globally unique. The conflicting ID is 'double' and is found in SLS 'app' and"
         " SLS 'more'")
    }  # fmt: skip


def test_an_error_that_is_allowed_hides_no_other(clone: Clone) -> None:
    allow = "allow:\n- {rule: sls-shape, file: salt/app.sls, reason: x}\n"
    clone.commit({"salt/app.sls": "a: text\n", ".saltbranch-check.yaml": allow})
    assert messages(look(clone, "test"), "compile") == [
        "test-web1: ID a in SLS app is not a dictionary"
    ]


def test_since_tells_only_what_is_new(clone: Clone) -> None:
    clone.commit({"salt/app.sls": "{{ raise('old') }}\n"})
    clone.commit({"salt/new.sls": "{{ raise('new') }}\n", "salt/top.sls": f"{TOP}    - new\n"})
    head = clone.remote.head("develop")
    found = look(clone, "test", since=f"{head}~1")
    assert messages(found, "compile") == ["test-web1: Jinja error: new"]
    assert look(clone, "test", since="test").findings == ()


def test_since_an_old_mistake_in_a_file_does_not_hide_a_new_one(clone: Clone) -> None:
    bad = "a:\n  test.nop: []\n  test.nix: []\n"
    clone.commit({"salt/app.sls": bad})
    clone.commit({"salt/app.sls": f"{bad}\n{{{{ raise('new') }}}}\n"})
    found = look(clone, "test", since=f"{clone.remote.head('develop')}~1")
    assert messages(found, "compile") == ["test-web1: Jinja error: new"]


# The work tree


def test_the_work_tree_is_compiled_and_left_alone(clone: Clone) -> None:
    (clone.folder / "salt" / "app.sls").write_text("include: [more]\n")
    (clone.folder / "salt" / "more.sls").write_text("{{ raise('from disk') }}\n")
    (clone.folder / ".gitignore").write_text("ignored*\n")
    (clone.folder / "salt" / "ignored.sls").write_text("{{ raise('ignored') }}\n")
    git = ["git", "-C", str(clone.folder)]
    subprocess.run([*git, "add", "--intent-to-add", "salt/more.sls"], check=True)

    def state() -> tuple[bytes, set[Path], str]:
        index = (clone.folder / ".git" / "index").read_bytes()
        status = subprocess.check_output([*git, "status", "--porcelain"], text=True)
        return index, set((clone.folder / ".git" / "objects").rglob("*")), status

    before = state()
    found = look(clone)
    assert {f.message.partition(": ")[2] for f in found.findings} == {"Jinja error: from disk"}
    assert found.findings[0].file == "salt/more.sls"
    assert state() == before
    assert look(clone).compiled.cached == 4


def test_a_filter_that_only_the_work_tree_names_runs_nothing(clone: Clone, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (clone.folder / ".gitattributes").write_text("* filter=evil diff=evil\n")
    (clone.folder / ".gitconfig").write_text(f'[filter "evil"]\nclean = touch {mark}\n')
    assert look(clone).findings == () and not mark.exists()


# State tests

TESTS = """\
a web server:
  grains: {id: test-web9, os_family: Debian}
  must:
    - app | test.nop
    - {id: app, name: Good1}
  must_not: [pkg.installed]
another name:
  pillar: {name: other}
  must:
    - {state: test.nop, name: other}
what a function answers:
  returns: {cmd.run: answered}
  must:
    - {id: answered}
nobody's:
  saltenv: prod
  grains: {id: plain}
  must: [{sls: nothing}]
no kernel:
  grains: {bad: true}
  fails: "it is bad"
"""
TESTED = (
    APP + "{% if grains.bad is defined %}{{ raise('it is bad') }}{% endif %}\n"
    "{% if salt['cmd.run']('x') %}\n{{ salt['cmd.run']('x') }}:\n  test.nop: []\n{% endif %}\n"
)


def test_state_tests_are_compiled_and_judged(clone: Clone) -> None:
    clone.commit({"salt/app.sls": TESTED, "tests/app.yaml": TESTS})
    found = look(clone, "test")
    assert found.tests == 5
    assert messages(found, "state-test") == ['"nobody\'s": not there, and must be: sls nothing']


def test_a_state_test_finds_its_saltenv(clone: Clone) -> None:
    text = "{0}:\n  grains: {{id: {1}}}\n  must: [{{id: env-{2}}}]\n"
    tests = [("claimed", "prod-web1", "prod"), ("checked", "x", "test"), ("given", "x", "prod")]
    body = "".join(text.format(*test) for test in tests)
    clone.commit(
        {
            "salt/app.sls": "env-{{ saltenv }}: {test.nop: []}\n",
            "tests/a.yaml": body + "  saltenv: prod\nno such:\n  saltenv: lost\n  must: [a.b]\n",
        }
    )
    assert told(look(clone, "test")) == {
        ("tests/a.yaml", 11, "test-file", "'no such': there is no saltenv 'lost' (prod, test)")
    }
    # Of a commit that is not a saltenv's, a minion that nobody claims is in the first one.
    head = clone.remote.head("develop")
    assert messages(look(clone, head), "state-test") == []


def test_a_failing_state_test_names_its_line(clone: Clone) -> None:
    clone.commit(
        {"tests/a.yaml": "t:\n  must:\n    - app | test.nop\n    - {id: app, name: bad}\n"}
    )
    assert told(look(clone, "test")) == {
        ("tests/a.yaml", 4, "state-test", "'t': not there, and must be: app | name bad")
    }


# Where nothing can be compiled


def test_without_master_and_folder_the_result_says_so(clone: Clone) -> None:
    clone.configure(fleet="cache")
    clone.commit({"tests/a.yaml": "t: {must: [pkg.removed]}\n"})
    found = look(clone, "test")
    assert (found.compiled.minions, found.compiled.missing) == (0, NO_MASTER)
    with pytest.raises(ConfigError, match="no saltenv 'nope'"):
        look(clone, "test", saltenv="nope")
    assert messages(found, "state-test") == ["'t': not there, and must be: pkg.removed"]
    ran = run_check(clone, "test")
    assert ran.code == 3 and f"  not compiled: {NO_MASTER}\n" in ran.out


def test_on_a_master_the_fleet_is_what_it_remembers(clone: Clone, tmp_path: Path) -> None:
    master = tmp_path / "master"
    places = {"root_dir": str(tmp_path / "root"), "cachedir": str(tmp_path / "mc")}
    master.write_text(yaml.safe_dump(places))
    clone.configure(fleet="cache", salt_config=str(master))
    assert look(clone, "test").compiled.missing == "the fleet has no minion of saltenv test"
    cache = salt.cache.factory(salt.config.master_config(str(master)))
    cache.store("grains", "test-known", {**GRAINS, "id": "test-known"})
    clone.commit({"salt/app.sls": "{{ raise(grains.id) }}\n"})
    found = look(clone, "test")
    assert found.compiled.minions == 1
    assert messages(found, "compile") == ["test-known: Jinja error: test-known"]


def test_a_fleet_without_a_minion_is_told(clone: Clone) -> None:
    (clone.folder / "fleet" / "test-web1.yaml").unlink()
    found = look(clone, "test")
    assert found.compiled.missing == "the fleet has no minion of saltenv test"


def test_without_a_configuration_the_files_are_checked_and_the_result_says_so(clone: Clone) -> None:
    (found,) = check(None, compiling=Compiling(), cache=cache_folder()).refs
    assert found.findings == () and found.compiled.missing == NO_SALTENVS


def test_what_cannot_be_compiled_though_it_should_is_an_error(
    clone: Clone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran = run_check(clone, "--static", "test")
    assert ran.code == 0 and "compiled" not in ran.out
    (clone.folder / "fleet" / "test-web1.yaml").write_text("grains: [")
    ran = run_check(clone, "test")
    assert ran.code == 1 and "test-web1.yaml" in ran.err and "--static" in ran.err
    clone.configure(fleet="nowhere")
    ran = run_check(clone, "test")
    assert ran.code == 1 and "has no folder" in ran.err and "--static" in ran.err
    clone.configure(fleet="fleet")
    clone.minion("test-web1")
    monkeypatch.setenv("PATH", str(only_git(tmp_path)))
    monkeypatch.setattr(sandbox, "is_root", lambda: False)
    sandbox.find.cache_clear()
    with pytest.raises(SandboxError) as raised:
        look(clone, "test")
    sandbox.find.cache_clear()
    assert raised.value.exit_code == 1 and "--static" in (raised.value.hint or "")


def only_git(folder: Path) -> Path:
    """A folder of programs in which there is no bubblewrap."""
    made = folder / "bin"
    made.mkdir()
    git = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout
    (made / "git").symlink_to(git.strip())
    return made


def run_check(clone: Clone, *words: str) -> Any:

    return run([sys.executable, "-m", "saltbranch", "check", "--config", clone.path, *words])


# For a gate


def config_of(clone: Clone, **more: Any) -> Config:
    clone.configure(remote=str(clone.remote.path), **more)
    return build_config(read_file(clone.path), clone.path)


def test_a_gate_asks_for_what_a_commit_brings(clone: Clone) -> None:
    base = clone.commit({"salt/app.sls": "{{ raise('old') }}\n"})
    head = clone.commit({"salt/more.sls": "b: {test.nix: []}\n", "salt/top.sls": f"{TOP}    - more\n"})  # fmt: skip
    git = Git(str(clone.folder), work_tree=True)

    def ask(**how: Any) -> list[Finding]:
        found = check_commit(git, config_of(clone), head, **{"since": base, **how})
        return list(found.findings)

    assert [f.rule for f in ask(compiled=False)] == ["unknown-state-function"]
    assert [f.rule for f in ask(compiled=True)] == ["unknown-state-function"]
    start = clone.remote.git("rev-parse", f"{base}~1")
    assert {f.message for f in ask(compiled=True, since=start) if f.rule == "compile"} == {
        "prod-db1, prod-web1, prod-web2 and 1 more: Jinja error: old"
    }
    found = ask(compiled=True, since=start, saltenv="test")
    assert "test-web1: Jinja error: old" in {f.message for f in found}
    with pytest.raises(ConfigError, match="no salt-master here"):
        check_commit(git, config_of(clone, fleet="cache"), head, since=base, compiled=True)


# Secrets

MARKERS = {n: f"{n}5ecretMarker" for n in ("plain", "standin", "tested", "broken", "quoted")}


@pytest.mark.parametrize("form", ["", "--json", "--sarif", "--junit", "--github"])
def test_no_output_holds_a_value_of_the_pillar(clone: Clone, form: str) -> None:
    clone.minion("test-web1", pillar={"standin": MARKERS["standin"]})
    files: Mapping[str, Content] = {
        "pillar/top.sls": f"{TOP}    - broken\n",
        "pillar/app.sls": f"name: Good1\nmotto: {MARKERS['plain']}\n",
        "pillar/broken.sls": f"{{% set x = '{MARKERS['broken']}' %}}\n"
        f"token: {MARKERS['quoted']}\n{{{{ raise(x ~ ' {MARKERS['quoted']}') }}}}\n",
        "salt/app.sls": "app:\n  test.nop:\n    - name: {{ pillar.motto }}\n",
        "salt/bad.sls": "{{ raise(pillar.motto ~ pillar.standin ~ pillar.get('tested', '')) }}\n",
        "salt/top.sls": f"{TOP}    - bad\n",
        "tests/a.yaml": yaml.safe_dump(
            {
                "compiles not": {"must": ["a.b"], "pillar": {"tested": MARKERS["tested"]}},
                "password": {
                    "pillar": {"password": MARKERS["tested"]},
                    "must": [{"id": MARKERS["tested"]}],
                },
                "argument": {"must": [{"id": "app", "arguments": {"name": MARKERS["plain"]}}]},
            }
        ),
    }
    clone.commit(files)
    ran = run_check(clone, "test", "--no-cache", *filter(None, [form]))
    assert ran.code == 3 and "state-test" in ran.out and "***" in ran.out
    assert [m for m in MARKERS.values() if m in ran.out + ran.err] == []
    # Nor where results are kept.
    assert run_check(clone, "test").code == 3
    cache = Path(os.environ["XDG_CACHE_HOME"])
    kept = b"".join(path.read_bytes() for path in cache.rglob("*") if path.is_file())
    assert kept and [m for m in MARKERS.values() if m.encode() in kept] == []


def test_what_a_branch_prints_before_it_breaks_the_compiler_is_not_told(clone: Clone) -> None:
    code = "import os, signal, sys\ndef f(x):\n    print(x, file=sys.stderr, flush=True)\n"
    code += "    print(x, flush=True)\n    os.kill(os.getppid(), signal.SIGKILL)\n"
    clone.commit(
        {
            "pillar/app.sls": f"motto: {MARKERS['plain']}\n",
            "salt/app.sls": "{{ salt['own.f'](pillar.motto) }}\n",
            "salt/_modules/own.py": code,
        }
    )
    ran = run_check(clone, "test")
    assert ran.code == 3 and " error compile test-web1: " in ran.out
    assert MARKERS["plain"] not in ran.out + ran.err


def test_json_says_how_far_it_went(clone: Clone) -> None:
    ran = run_check(clone, "--json", "prod", "test")
    refs = json.loads(ran.out)["refs"]
    assert ran.code == 0 and [r["compiled"] for r in refs] == [
        {"minions": 3, "cached": 0, "missing": None, "warnings": [], "other": None},
        {"minions": 1, "cached": 0, "missing": None, "warnings": [], "other": None},
    ]
    ran = run_check(clone, "--json", "--static", "prod")
    assert json.loads(ran.out)["refs"][0]["compiled"]["missing"] == "--static leaves it out"
    ran = run_check(clone, "prod")
    assert ran.code == 0 and "nothing found in 4 files, 3 minions" in ran.out


def test_static_needs_no_salt_at_work(clone: Clone) -> None:
    code = "from saltbranch.entry import main; main()"
    argv = [sys.executable, "-X", "importtime", "-c", code, "check", "--config", clone.path]
    for _ in range(2):  # the first one reads what Salt has, and keeps it
        done = subprocess.run(
            [*argv, "--static", "prod"], capture_output=True, text=True, check=True
        )
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "saltbranch.actions.check" in names
    assert not names & {
        "salt.state",
        "salt.pillar",
        "salt.minion",
        "saltbranch.compiler.inside.highstate",
    }


# Another Salt


@pytest.fixture(scope="module")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtualenv with the packages of this one, but with a jinja2 of its own that knows no `abs`."""
    folder = tmp_path_factory.mktemp("next") / "venv"
    for parent in (folder.parent, *folder.parent.parents):  # every user has to get there
        if parent.is_relative_to(tempfile.gettempdir()) and parent != Path(tempfile.gettempdir()):
            parent.chmod(0o755)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    packages = Path(yaml.__file__).parents[1]
    (site / "first.pth").write_text(f"{packages}\n")
    shutil.copytree(packages / "jinja2", site / "jinja2")
    filters = site / "jinja2" / "filters.py"
    with filters.open("a") as file:
        file.write("\ndel FILTERS['abs']\nFILTERS['upper'] = lambda s: str(s).title()\n")
    return folder / "bin" / "python"


def test_another_salt_is_told_of_where_it_differs(clone: Clone, other_python: Path) -> None:
    how = {"python": str(other_python)}
    found = look(clone, "test", **how)
    assert found.findings == () and str(other_python) in (found.compiled.other or "")
    label = found.compiled.other
    clone.minion("test-web2")
    clone.commit(
        {
            "salt/app.sls": "app:\n  test.nop:\n    - name: {{ 'x' | upper }}{{ 'yz' | upper }}\n",
            "salt/bad.sls": "n{{ -1 | abs }}:\n  test.nop: []\n",
            "salt/top.sls": f"{TOP}  'test-web2':\n    - bad\n",
            "tests/a.yaml": "t: {grains: {id: x}, must: [{name: XYZ}]}\n",
        }
    )
    assert [f for f in look(clone, "test").findings if f.rule == "state-test"] == []
    found = look(clone, "test", **how)
    newer = [f for f in found.findings if f.rule == "newer-salt"]
    assert [(f.file, f.line, f.severity) for f in newer] == [
        ("salt/app.sls", 1, "warning"),
        ("salt/bad.sls", 1, "error"),
        ("tests/a.yaml", 1, "error"),
    ]
    assert newer[0].message == f"with {label}: test-web1: other states: app | test.nop (name)"
    assert newer[1].message.startswith(f"with {label}: test-web2: Jinja syntax error: No filter")
    assert look(clone, "test", since="test", **how).findings == ()


def test_what_another_salt_makes_of_a_secret_is_hidden(clone: Clone, other_python: Path) -> None:
    clone.commit(
        {
            "pillar/app.sls": "name: kuhlmann\n",
            "salt/app.sls": "new {{ pillar['name'] | upper }}:\n  test.nop: []\n",
        }
    )
    (told,) = messages(look(clone, "test", python=str(other_python)), "newer-salt")
    assert "kuhlmann" not in told.lower() and told.isprintable()
    assert told.count("new *** ~") == 2 and "| test.nop" in told  # one goes, one comes


def test_what_is_kept_of_another_salt_is_its_own(clone: Clone, other_python: Path) -> None:
    clone.commit({"salt/app.sls": "app:\n  test.nop:\n    - name: {{ 'xyz' | upper }}\n"})
    for _ in range(2):
        assert len(messages(look(clone, "test", python=str(other_python)), "newer-salt")) == 1
        assert look(clone, "test").findings == ()


def test_what_is_no_python_with_salt_is_refused(clone: Clone, tmp_path: Path) -> None:
    for name in ("python3", "/nonexistent/python3", "/etc/passwd"):
        with pytest.raises(UsageError, match="not an absolute path of a program"):
            look(clone, "test", python=name)
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    with pytest.raises(SaltError, match="has no usable Salt: ModuleNotFoundError"):
        look(clone, "test", python=f"{bare}/bin/python")
    assert run_check(clone, "--static", "--python", sys.executable).code == 2


# The runner


def test_the_runner_checks_all_saltenvs(clone: Clone) -> None:
    clone.configure(
        root=str(clone.folder.parent / "root"), master_config=str(clone.folder.parent / "m.conf")
    )
    sync(clone.path)
    opts = dict(salt.config.DEFAULT_MASTER_OPTS, saltbranch_config=clone.path)
    runner = salt.loader.runner(opts)
    clone.commit({"salt/app.sls": "{{ raise('broken') }}\n"})
    sync(clone.path)
    said = runner["saltbranch.check"]()
    assert said["retcode"] == 3 and [r["ref"] for r in said["refs"]] == ["prod", "test"]
    assert [f["rule"] for f in said["refs"][1]["findings"]] == ["compile"]
    assert runner["saltbranch.check"]("prod")["retcode"] == 0
    assert runner["saltbranch.check"](static=True)["retcode"] == 0
    assert "not a saltenv" in runner["saltbranch.check"]("nope")["error"]
    assert runner["saltbranch.check"](fail_on="most")["retcode"] == 2
    assert "CLI Example:" in runner["saltbranch.check"].__doc__


def test_what_is_known_to_be_missing_is_no_finding_and_a_new_gap_is(clone: Clone) -> None:
    # Named by a template, so that only compiling finds out; told because a comment names it in so many words.
    gap = "{{ 'secrets.' ~ 'db' }}  # - secrets.db"
    clone.commit({"pillar/top.sls": f"{TOP}    - {gap}\n"})
    assert any("secrets.db" in f.message for f in look(clone, "develop").findings)
    clone.configure(missing=["secrets.*"])
    assert not look(clone, "develop").findings
    clone.commit({"pillar/top.sls": f"{TOP}    - {gap}\n    - {{{{ 'oth' ~ 'er' }}}}  # - other\n"})
    assert any("'other'" in f.message for f in look(clone, "develop").findings)
