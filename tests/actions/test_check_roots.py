"""What `check` and `diff` see of several roots: all of them, in Salt's order, at the files' own places."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from saltbranch.actions.check import check
from saltbranch.check.highstates import Compiling
from saltbranch.preview import compare
from saltbranch.preview.repository_and_master import open_place
from tests.support import own_cache

MODEL = """\
states_dir: {states}
pillar_dir: {pillar}
fleet: fleet
saltenvs:
  test: {{branch: develop, minions: ["w*"]}}
  prod: {{branch: master, promote_from: test, minions: ["p*"]}}
"""
FILES = {
    "salt/top.sls": "base:\n  '*': [web, nginx, none]\n",
    "salt/web/init.sls": "web:\n  file.managed:\n    - name: /x\n    - source: salt://nginx/files/a\n",
    "more/web/init.sls": "hidden:\n  file.mangaed: []\n",
    "more/web/two.sls": "two:\n  file.mangaed: []\n",
    "formulas/n-formula/nginx/init.sls": "include: [web.two, .lost]\nnginx:\n  pkg.instaled: []\n",
    "formulas/n-formula/nginx/files/a": "a\n",
    "formulas/n-formula/test/x.sls": "x:\n  y.z: []\n",
    "pillar/top.sls": "base:\n  '*': [a, b, c]\n",
    "pillar/a.sls": "a: 1\n",
    "shared/b.sls": "b: {% if %}\n",
    "fleet/w1.yaml": "grains: {os: Debian}\n",
}


def run(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control repository with three roots of states, two of pillar."""
    own_cache.use(monkeypatch, tmp_path / "cache")
    made = tmp_path / "clone"
    model = MODEL.format(states="[salt, more, 'formulas/*']", pillar="[pillar, shared]")
    for path, text in {**FILES, "saltbranch.yaml": model}.items():
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).write_text(text)
    run(made, "init", "-q", "-b", "master")
    run(made, "add", "-A")
    run(made, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "x")
    monkeypatch.chdir(made)
    return made


def places(*refs: str) -> set[tuple[str, str]]:
    (ref,) = check(None, refs).refs
    return {(f.file, f.rule) for f in ref.findings if f.severity == "error" and f.rule != "model"}


@pytest.mark.parametrize("refs", [(), ("master",)])
def test_findings_stand_at_the_files_themselves(clone: Path, refs: tuple[str, ...]) -> None:
    assert places(*refs) == {
        ("salt/top.sls", "top-missing-sls"),
        ("more/web/two.sls", "unknown-state-function"),
        ("formulas/n-formula/nginx/init.sls", "unknown-state-function"),
        ("formulas/n-formula/nginx/init.sls", "include-missing"),
        ("pillar/top.sls", "top-missing-sls"),
        ("shared/b.sls", "jinja-syntax"),
    }


def test_two_owners_are_a_finding(clone: Path) -> None:
    (clone / "formulas" / "other" / "nginx").mkdir(parents=True)
    (clone / "formulas" / "other" / "nginx" / "init.sls").write_text("x: {test.nop: []}\n")
    (ref,) = check(None, ()).refs
    told = [f.message for f in ref.findings if "neither comes first" in f.message]
    assert len(told) == 1 and "formulas/other/nginx/init.sls" in told[0]


def test_what_a_submodule_may_hold_is_not_called_missing(clone: Path) -> None:
    run(clone, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},formulas/sub")
    os.makedirs(clone / "formulas" / "sub", exist_ok=True)
    assert ("salt/top.sls", "top-missing-sls") not in places()


def test_a_glob_that_stands_for_nothing_yet_is_a_warning(clone: Path) -> None:
    model = (clone / "saltbranch.yaml").read_text()
    (clone / "saltbranch.yaml").write_text(model.replace("'formulas/*'", "'formulas/*', 'new/*'"))
    run(clone, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qam", "y")
    (ref,) = check(None, ("master",)).refs
    told = [(f.severity, f.line, f.message) for f in ref.findings if "no folder" in f.message]
    assert told == [("warning", 1, "states_dir: no folder with files is one of 'new/*'")]


@pytest.mark.parametrize("states", ["salt", "[salt, more]"])
def test_a_function_that_a_macro_makes_wrong_is_found(clone: Path, states: str) -> None:
    macro = "{% macro bad(n) %}\n{{ n }}:\n  file.mangaed: []\n{% endmacro %}\n"
    used = "{% from 'made/m.jinja' import bad %}\n{{ bad('x') }}\n"
    (clone / "salt" / "made").mkdir()
    (clone / "salt" / "made" / "m.jinja").write_text(macro)
    (clone / "salt" / "made" / "init.sls").write_text(used)
    (clone / "salt" / "top.sls").write_text("base:\n  '*': [made]\n")
    (clone / "pillar" / "top.sls").write_text("base:\n  '*': [a]\n")
    grains = "{os: Debian, os_family: Debian, kernel: Linux}"
    (clone / "fleet" / "p1.yaml").write_text(f"grains: {grains}\n")
    (clone / "saltbranch.yaml").write_text(MODEL.format(states=states, pillar="pillar"))
    run(clone, "add", "-A")
    run(clone, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "y")
    (ref,) = check(None, ("master",), compiling=Compiling()).refs
    found = {(f.rule, f.file) for f in ref.findings if "mangaed" in f.message}
    assert ("unknown-state-function", "salt/made/init.sls") in found


def test_other_roots_in_the_file_of_a_commit_are_said(clone: Path) -> None:
    model = MODEL.format(states="[salt, more, 'formulas/*']", pillar="[pillar, shared]")
    (clone / "saltbranch.yaml").write_text(model.replace("[salt, more, 'formulas/*']", "more"))
    run(clone, "checkout", "-qb", "develop")
    run(clone, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qam", "roots")
    (ref,) = check(None, ("develop",)).refs
    told = [
        f for f in ref.findings if "counts once this file is on the production branch" in f.message
    ]
    assert [(f.file, f.line, f.severity) for f in told] == [("saltbranch.yaml", 1, "warning")]
    assert told[0].message.startswith("states_dir: more counts once")
    assert "in force: salt, more, formulas/*" in told[0].message
    (ref,) = check(None, ("master",)).refs
    assert not [f for f in ref.findings if "counts once" in f.message]

    opened = open_place(None)
    sides = [opened.repository.side(opened.config, name) for name in ("master", "develop")]
    found = compare.compare(opened, *sides, [], cache=False)
    said = [w for w in found.warnings if "counts once" in w]
    assert len(said) == 1 and said[0].startswith(
        "develop: its saltbranch.yaml has states_dir: more"
    )
