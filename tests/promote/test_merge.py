"""Merges in the object database against what git itself makes of the same."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saltbranch.base.errors import RefusedError
from saltbranch.base.tickets import DEFAULT_PATTERN
from saltbranch.git import merge as git_merge
from saltbranch.git.merge import CONFLICT, FAST_FORWARD, MERGE, UP_TO_DATE
from saltbranch.git.program import Git
from saltbranch.promote import commits as merging
from tests.support.remote import Content, Link, Remote, Script

pytestmark = pytest.mark.core

PATTERN = re.compile(DEFAULT_PATTERN)
BASE: dict[str, Content] = {
    "a.sls": "".join(f"line {n}\n" for n in range(20)),
    "own/x.sls": "x\n",
    "own/y.sls": "y\n",
    "link": Link("a.sls"),
    "run.sh": Script("#!/bin/sh\n"),
}


class Pair:
    """Two branches from one commit."""

    def __init__(self, folder: Path) -> None:
        self.remote = Remote(folder / "pair.git")
        self.base = self.remote.commit("ours", BASE)
        self.remote.set_branch("theirs", self.base)
        self.git = Git(str(self.remote.path))

    def merge(self, *keep: str) -> git_merge.Merged:
        return git_merge.merge(self.git, self.remote.head("ours"), self.remote.head("theirs"), keep)

    def paths(self, tree: str) -> dict[str, tuple[str, str]]:
        return self.remote.tree(tree)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_kinds(pair: Pair) -> None:
    assert pair.merge().kind == UP_TO_DATE
    pair.remote.commit("theirs", {"new": "1\n"})
    assert pair.merge().kind == FAST_FORWARD
    pair.remote.commit("ours", {"other": "1\n"})
    merged = pair.merge()
    assert merged.kind == MERGE
    assert set(pair.paths(merged.tree)) == {*BASE, "new", "other"}
    pair.remote.commit("theirs", {"other": "2\n"})
    assert (pair.merge().kind, pair.merge().conflicts) == (CONFLICT, ("other",))


def test_unrelated_histories_are_refused(pair: Pair) -> None:
    pair.remote.commit("theirs", {"a": "b\n"}, parents=())
    with pytest.raises(RefusedError, match="no common history"):
        pair.merge()
    with pytest.raises(RefusedError, match="no common history"):
        git_merge.merge_trees(pair.git, pair.remote.head("ours"), pair.remote.head("theirs"))


def test_conflicts_name_odd_paths_and_both_sides(pair: Pair) -> None:
    path = 'odd "name\n*.sls'
    ours = pair.remote.commit("ours", {path: "1\n", "own/x.sls": "1\n"}, message="KEY-1 Ours")
    theirs = pair.remote.commit("theirs", {path: "2\n"}, message="KEY-2 Theirs")
    merged = pair.merge()
    assert merged.conflicts == (path,)
    (conflict,) = merging.conflicts(pair.git, ours, theirs, merged.conflicts, PATTERN)
    assert [c.subject for c in conflict.ours] == ["KEY-1 Ours"]
    assert [c.subject for c in conflict.theirs] == ["KEY-2 Theirs"]


def test_a_file_against_a_folder_is_a_conflict(pair: Pair) -> None:
    pair.remote.commit("ours", {"thing": "file\n"})
    pair.remote.commit("theirs", {"thing/x": "folder\n"})
    assert pair.merge().kind == CONFLICT


CHANGES: list[dict[str, Content]] = [
    {"own/x.sls": "changed\n"},
    {"own/x.sls": None},
    {"own/z.sls": "new\n"},
    {"own/x.sls": None, "own/y.sls": None},
    {"own/x.sls": None, "own/y.sls": None, "own": "a file\n"},
    {"own/x.sls": None, "own/x.sls/deep": "folder\n"},
    {"own/x.sls": Link("y.sls")},
    {"own/x.sls": Script("x\n")},
    {"a.sls": "other\n"},
    {"plain": "p\n"},
    {},
]


def inside(paths: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    return {p: v for p, v in paths.items() if p == "own" or p.startswith("own/")}


@pytest.mark.parametrize("ours", range(len(CHANGES)))
def test_kept_paths_are_those_of_the_target_in_every_combination(pair: Pair, ours: int) -> None:
    for change in CHANGES:
        pair.remote.set_branch("ours", pair.base)
        pair.remote.set_branch("theirs", pair.base)
        pair.remote.commit("ours", CHANGES[ours])
        pair.remote.commit("theirs", change)
        merged = pair.merge("own")
        if merged.kind == CONFLICT:
            assert merged.conflicts == ("a.sls",), (ours, change)
            continue
        expected = inside(pair.paths(pair.remote.head("ours")))
        assert inside(pair.paths(merged.tree)) == expected, (ours, change)


def test_kept_paths_are_no_patterns(pair: Pair) -> None:
    pair.remote.commit("theirs", {"own/x.sls": "theirs\n", "own/*": "star\n", "o": "o\n"})
    tree = pair.paths(pair.merge("own/*").tree)
    assert "own/*" not in tree
    assert tree["own/x.sls"] == pair.paths(pair.remote.head("theirs"))["own/x.sls"]
    tree = pair.paths(pair.merge(":(glob)**", "ow", "own/x").tree)
    assert tree == pair.paths(pair.remote.head("theirs"))


CONTENT = st.sampled_from(["1\n", "2\n", "3\n", None])
FILES = st.dictionaries(st.sampled_from(["p", "q", "d/r", "d/s", "own/x.sls"]), CONTENT, max_size=4)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(FILES, FILES)
def test_it_comes_out_as_with_git_merge(
    tmp_path_factory: pytest.TempPathFactory,
    ours: dict[str, Content],
    theirs: dict[str, Content],
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    pair = Pair(folder)
    for branch, files in (("ours", ours), ("theirs", theirs)):
        there = pair.paths(pair.base)
        wanted = {p: c for p, c in files.items() if c is not None or p in there}
        pair.remote.commit(branch, wanted)
    merged = pair.merge()

    work = folder / "work"
    argv = ["git", "-C", str(work)]
    subprocess.run(["git", "clone", "-q", "-b", "ours", pair.remote.path, work], check=True)
    done = subprocess.run([*argv, "merge", "-q", "--no-edit", "--no-ff", "origin/theirs"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    if merged.kind == CONFLICT:
        assert done.returncode == 1
        names = subprocess.check_output(
            [*argv, "diff", "--name-only", "--diff-filter=U"], text=True
        )
        assert sorted(names.split()) == sorted(merged.conflicts)
    else:
        assert done.returncode == 0, done
        tree = subprocess.check_output([*argv, "rev-parse", "HEAD^{tree}"], text=True).strip()
        assert tree == merged.tree


def test_left_behind_counts_neither_merges_nor_cherry_picks_nor_owned_paths(pair: Pair) -> None:
    picked: dict[str, Content] = {"fix.sls": "fix\n"}
    pair.remote.commit("ours", picked, message="KEY-1 Fix")
    pair.remote.commit("theirs", picked, message="KEY-1 Fix, picked")
    pair.remote.commit("ours", {"own/x.sls": "ours\n"}, message="KEY-2 Own")
    lost = pair.remote.commit("ours", {"lost.sls": "1\n"}, message="KEY-3 Lost")
    ours, theirs = pair.remote.head("ours"), pair.remote.head("theirs")
    beyond, brought = merging.both_sides(pair.git, ours, theirs, PATTERN)
    assert [c.subject for c in brought] == ["KEY-1 Fix, picked"]
    left = merging.left_behind(pair.git, theirs, ours, beyond, ["own"])
    assert [c.commit for c in left] == [lost]
    left = merging.left_behind(pair.git, theirs, ours, beyond, [])
    assert [c.subject for c in left] == ["KEY-3 Lost", "KEY-2 Own"]


def test_a_tag_is_annotated_and_carries_the_time_and_the_person(pair: Pair) -> None:
    tag = git_merge.write_tag(pair.git, "v1", pair.base, "v1: text", now=1_800_000_000.9)
    assert pair.remote.git("cat-file", "tag", tag) == (
        f"object {pair.base}\ntype commit\ntag v1\ntagger Ann <ann@example.com> 1800000000 +0000\n\nv1: text"
    )
    pair.remote.git("fsck", "--strict")
