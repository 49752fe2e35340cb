"""What `check` sees of a work tree: links as Salt follows them, sparse clones, line ends."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from saltbranch import tree
from saltbranch.actions.check import check
from saltbranch.compiler.tree import Tree
from saltbranch.git import Git


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control repository that links a formula in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = tmp_path / "clone"
    for path, text in {
        "salt/top.sls": "base:\n  '*': [apache]\n",
        "formulas/apache-formula/apache/init.sls": "include: [apache.mods]\n",
        "formulas/apache-formula/apache/mods.sls": "ap:\n  file.mangaed: []\n",
        "pillar/top.sls": "base: {}\n",
    }.items():
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).write_text(text)
    os.symlink("../formulas/apache-formula/apache", made / "salt" / "apache")
    os.symlink("/etc", made / "formulas" / "out")
    os.symlink("../formulas/out", made / "salt" / "out")
    run(made, "init", "-q", "-b", "master")
    run(made, "add", "-A")
    run(made, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "x")
    monkeypatch.chdir(made)
    return made


def run(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True)


def places(*refs: str) -> set[tuple[str, str]]:
    (ref,) = check(None, refs).refs
    return {(f.file, f.rule) for f in ref.findings if f.severity == "error" and f.rule != "symlink"}


@pytest.mark.parametrize("refs", [(), ("master",)])
def test_linked_formula_is_there_and_judged(clone: Path, refs: tuple[str, ...]) -> None:
    assert places(*refs) == {("salt/apache/mods.sls", "unknown-state-function")}


def test_compiled_tree_holds_what_links_lead_to_and_nothing_from_outside(
    clone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    Tree(Git(str(clone / ".git")), "HEAD", ("salt", "pillar")).write(str(out))
    assert (out / "salt/apache/init.sls").read_text() == "include: [apache.mods]\n"
    assert not (out / "salt/apache").is_symlink()
    assert not (out / "salt/out").is_dir() or (out / "salt/out").is_symlink()


def test_sparse_clone_is_whole(clone: Path) -> None:
    run(clone, "rm", "-q", "salt/out", "formulas/out")
    run(clone, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "y")
    run(clone, "sparse-checkout", "set", "--no-cone", "/salt")
    assert not (clone / "formulas").exists()
    assert places() == {("salt/apache/mods.sls", "unknown-state-function")}
    with tree.of_work_tree(Git(str(clone), work_tree=True), str(clone)) as (git, oid):
        assert "formulas/apache-formula/apache/mods.sls" in git.out(
            "ls-tree", "-r", "--name-only", oid
        )


def test_safecrlf_does_not_stop_the_work_tree(clone: Path) -> None:
    run(clone, "config", "core.autocrlf", "true")
    run(clone, "config", "core.safecrlf", "true")
    (clone / "salt" / "new.sls").write_text("q:\n  test.nop: []\n")
    with tree.of_work_tree(Git(str(clone), work_tree=True), str(clone)) as (git, oid):
        assert "salt/new.sls" in git.out("ls-tree", "-r", "--name-only", oid)
