"""What `check` sees of a work tree: links as Salt follows them, sparse clones, line ends."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from saltbranch.actions.check import check
from saltbranch.compiler.tree import Tree
from saltbranch.config.roots import plain
from saltbranch.git import tree
from saltbranch.git.program import Git
from saltbranch.repository import servable
from tests.support.remote import Content, Link, Remote, Submodule


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


# What a sync refuses


def made_of(remote: Remote, tree: dict[str, Content], folder: Path) -> tuple[Path, str]:
    """A commit of `tree` on top of one with states and pillar, checked out in a clone of `folder`."""
    first = {"salt/top.sls": "base: {}\n", "salt/a.sls": "", "pillar/top.sls": "base: {}\n"}
    base = remote.commit("master", {**first, "other/x.sls": "", "formulas/f.sls": ""})
    remote.commit("master", tree, message="change")
    clone = folder / "clone"
    subprocess.run(["git", "clone", "-q", "-b", "master", remote.path, clone], check=True)
    return clone, base


REFUSED: dict[str, dict[str, Content]] = {
    "states, a link": {"salt/top.sls": None, "salt/a.sls": None, "salt": Link("other")},
    "states, a submodule": {"salt/top.sls": None, "salt/a.sls": None, "salt": Submodule()},
    "states, submodules only": {"salt/top.sls": None, "salt/a.sls": None, "salt/f": Submodule()},
    "pillar, a link": {"pillar/top.sls": None, "pillar": Link("other")},
    "pillar, a submodule": {"pillar/top.sls": None, "pillar": Submodule()},
    "pillar, submodules only": {"pillar/top.sls": None, "pillar/f": Submodule()},
    "pillar, gone": {"pillar/top.sls": None},
    "a link out": {"salt/out": Link("/etc/shadow")},
    "a link out, beside the states": {"docs/out": Link("../../etc/shadow")},
    "a link to the pillar": {"salt/p.sls": Link("../pillar/top.sls")},
    "a link to the pillar, beside the states": {"docs/p": Link("../pillar")},
}
SERVED: dict[str, dict[str, Content]] = {
    "a link inside": {"salt/f.sls": Link("../formulas/f.sls")},
    "a submodule beside states": {"salt/f": Submodule()},
    "a link from the pillar": {"pillar/o.sls": Link("../other/x.sls")},
    "a link to nothing": {"salt/n": Link("nothing")},
}


@pytest.mark.parametrize("where", ["work tree", "commit"])
@pytest.mark.parametrize("name", [*REFUSED, *SERVED])
def test_check_and_sync_refuse_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, where: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    clone, base = made_of(Remote(tmp_path / "r.git"), {**REFUSED, **SERVED}[name], tmp_path)
    git, head = Git(str(clone / ".git")), "refs/heads/master"
    refusal = servable.refusal(git, head, None, plain("salt", "pillar"), had_pillar=True)
    monkeypatch.chdir(clone)
    (ref,) = check(None, ["master"] if where == "commit" else [], since=base).refs
    rules = {"symlink", "no-states", "no-pillar"}
    found = [f for f in ref.findings if f.severity == "error" and f.rule in rules]
    assert (refusal is not None) == bool(found) == (name in REFUSED), (refusal, found)
    assert len(found) == len({f.rule for f in found}), "each is told once"
