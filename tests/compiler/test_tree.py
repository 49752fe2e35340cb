"""What a tree holds is what git writes: blobs, and every .gitattributes that says how."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from saltbranch.compiler.model import Reads
from saltbranch.compiler.tree import Tree
from saltbranch.git.program import Git
from tests.support.remote import Content, Link, Remote, Submodule

pytestmark = pytest.mark.core

FILES: dict[str, Content] = {
    "salt/a.sls": "# $Id$\na: {test.nop: []}\n",
    "salt/web/init.sls": "# $Id$\nb: {test.nop: []}\n",
    "pillar/a.sls": "x: 1\n",
    "README": "x\n",
}
APPLIED = {
    "encoding": {"salt/.gitattributes": "*.sls text working-tree-encoding=UTF-16\n"},
    "ident": {"salt/.gitattributes": "* ident\n"},
    "line ends": {"salt/.gitattributes": "*.sls text eol=crlf\n"},
    "at the root": {".gitattributes": "salt/*.sls text eol=crlf\n"},
    "by a macro": {".gitattributes": "[attr]odd text eol=crlf\n", "salt/.gitattributes": "* odd\n"},
    "a filter": {".gitattributes": "* filter=rot13\n"},
}


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    made = Remote(tmp_path / "repo.git")
    made.commit("master", FILES)
    made.git("config", "filter.rot13.smudge", "tr a-z n-za-m")
    return made


def tree_of(remote: Remote, ref: str, folders: tuple[str, ...] = ("salt", "pillar")) -> Tree:
    return Tree(Git(str(remote.path)), remote.git("rev-parse", ref), folders)


def written(tree: Tree, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    tree.write(str(folder))
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("kind", APPLIED)
def test_it_is_written_as_a_master_serves_it_and_counts_as_that(
    remote: Remote, tmp_path: Path, kind: str
) -> None:
    before = tree_of(remote, "master")
    remote.commit("other", {**FILES, **APPLIED[kind]})
    after = tree_of(remote, "other")
    ours = written(after, tmp_path / "ours")
    git = ["git", f"--git-dir={remote.path}"]
    subprocess.run([*git, "worktree", "add", "-q", tmp_path / "served", "other"], check=True)
    assert ours.keys() == {p for p in {**FILES, **APPLIED[kind]} if "/" in p}
    assert ours == {path: (tmp_path / "served" / path).read_bytes() for path in ours}
    plain = written(before, tmp_path / "plain")
    assert plain["salt/a.sls"] != ours["salt/a.sls"]
    for path in ("salt/a.sls", "salt/web/", "salt/"):
        if plain.get(path) != ours.get(path):
            assert before.source(path) != after.source(path), path
    state = before.state_of(Reads(files=("salt/a.sls",)))
    assert before.holds(state) and not after.holds(state)


def test_attributes_of_other_folders_change_nothing(remote: Remote) -> None:
    before = tree_of(remote, "master")
    remote.commit("other", {**FILES, "salt/web/.gitattributes": "* text eol=crlf\n"})
    after = tree_of(remote, "other")
    assert before.content("salt/a.sls") == after.content("salt/a.sls")
    assert before.content("pillar/a.sls") == after.content("pillar/a.sls")
    assert before.content("salt/web/init.sls") != after.content("salt/web/init.sls")


def test_what_the_machine_makes_of_attributes_counts_too(remote: Remote) -> None:
    remote.commit("master", APPLIED["a filter"])
    before = tree_of(remote, "master").content("salt/a.sls")
    remote.git("config", "filter.rot13.smudge", "cat")
    assert tree_of(remote, "master").content("salt/a.sls") != before


def test_attributes_above_a_deep_folder_and_of_odd_kinds(remote: Remote, tmp_path: Path) -> None:
    remote.commit(
        "deep",
        {
            "x/[s]/salt/a.sls": "a\n", "x/pillar/b.sls": "b\n", "x/[s]/.gitattributes": "* eol=crlf\n",
            "x/.gitattributes": Link("[s]/.gitattributes"), "x/pillar/link": Link("../../.gitattributes/x"),
            ".gitattributes/x": "* -text\n",
        },
    )  # fmt: skip
    tree = tree_of(remote, "deep", ("x/[s]/salt", "x/pillar"))
    found = written(tree, tmp_path / "out")
    assert found["x/[s]/salt/a.sls"] == b"a\r\n" and found["x/pillar/link"] == b"* -text\n"
    remote.commit("module", {**FILES, ".gitattributes": Submodule()})
    assert written(tree_of(remote, "module"), tmp_path / "module")["salt/a.sls"]


LINKED: dict[str, Content] = {
    **FILES,
    "formulas/f/files/a.txt": "a\n",
    "formulas/f/b.txt": "b\n",
    "salt/f": Link("../formulas/f"),
    "salt/b.txt": Link("../formulas/f/b.txt"),
    "salt/more/g": Link("../f"),
}


@pytest.mark.parametrize(
    ("change", "sources"),
    [
        ({"salt/a.sls": "other\n"}, set()),
        ({"formulas/f/files/a.txt": "c\n"}, {"salt/f/files/a.txt", "salt/f/files/", "salt/more/"}),
        ({"formulas/f/files/new": "c\n"}, {"salt/f/files/", "salt/more/"}),
        ({"formulas/f/b.txt": "c\n"}, {"salt/b.txt", "salt/more/"}),
        ({"salt/more/g": Link("nowhere")}, {"salt/more/"}),
    ],
)
def test_what_a_link_shows_changes_with_what_is_there_and_nothing_else(
    remote: Remote, change: dict[str, Content], sources: set[str]
) -> None:
    remote.commit("linked", LINKED)
    before = tree_of(remote, "linked")
    remote.commit("linked", change)
    after = tree_of(remote, "linked")
    looked = ("salt/f/files/a.txt", "salt/f/files/", "salt/b.txt", "salt/more/")
    assert all(before.source(path) for path in looked)
    assert {path for path in looked if before.source(path) != after.source(path)} == sources
    state = before.state_of(Reads(files=("salt/f/files/a.txt",)))
    assert before.holds(state) and after.holds(state) == ("salt/f/files/a.txt" not in sources)


def test_a_filter_program_that_changed_counts_and_its_files_only(
    remote: Remote, tmp_path: Path
) -> None:
    program = tmp_path / "smudge"
    program.write_text("#!/bin/sh\ntr a-z n-za-m\n")
    program.chmod(0o755)
    remote.git("config", "filter.rot13.smudge", str(program))
    remote.commit("master", {"salt/.gitattributes": "a.sls filter=rot13\n"})
    before = tree_of(remote, "master")
    state = before.state_of(Reads(files=("salt/a.sls",)))
    other = before.state_of(Reads(files=("pillar/a.sls", "salt/web/init.sls")))
    whole = before.state_of(Reads(whole=True))
    assert tree_of(remote, "master").holds({**state, **other, **whole})
    program.write_text("#!/bin/sh\ncat\n")  # of another length, but no setting differs
    after = tree_of(remote, "master")
    assert after.holds(other) and not after.holds(state) and not after.holds(whole)
    assert before.source("salt/") != after.source("salt/")


@pytest.mark.parametrize("kind", ["autocrlf", "info/attributes", "core.attributesFile"])
def test_what_the_machine_does_without_attributes_of_the_tree_counts(
    remote: Remote, tmp_path: Path, kind: str
) -> None:
    before = tree_of(remote, "master")
    plain = written(before, tmp_path / "before")
    states = [before.state_of(r) for r in (Reads(files=("salt/a.sls",)), Reads(whole=True))]
    text = "*.sls text eol=crlf\n"
    if kind == "autocrlf":
        remote.git("config", "core.autocrlf", "true")
    elif kind == "info/attributes":
        (remote.path / "info").mkdir(exist_ok=True)
        (remote.path / "info/attributes").write_text(text)
    else:
        (tmp_path / "own").write_text(text)
        remote.git("config", "core.attributesFile", str(tmp_path / "own"))
    after = tree_of(remote, "master")
    assert written(after, tmp_path / "after")["salt/a.sls"] != plain["salt/a.sls"]
    assert not any(map(after.holds, states))
