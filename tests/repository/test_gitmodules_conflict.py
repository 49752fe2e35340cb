"""A .gitmodules that both sides of a merge changed, merged by its entries."""

from __future__ import annotations

from pathlib import Path

import pytest

from saltbranch.git import merge, submodules
from saltbranch.git.program import Git
from saltbranch.repository import gitmodules_conflict, pin_conflicts
from saltbranch.repository.pin_conflicts import Objects
from tests.support.remote import Remote, Submodule


def entry(name: str, path: str = "", url: str = "", more: str = "") -> str:
    where = path or f"formulas/{name}"
    return f'[submodule "{name}"]\n\tpath = {where}\n\turl = {url or f"https://h/{name}"}\n{more}'


BASE = entry("base")


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path / "remote.git")


def sides(remote: Remote, base: str | None, mine: str | None, other: str | None) -> tuple[str, str]:
    """The commits of two branches that went apart at `base`."""
    start = remote.commit("master", {".gitmodules": base, "x": ""})
    ours = remote.commit("ours", {".gitmodules": mine, "y": ""}, parents=(start,), tree=start)
    theirs = remote.commit("theirs", {".gitmodules": other, "z": ""}, parents=(start,), tree=start)
    return ours, theirs


def merged(remote: Remote, base: str | None, mine: str | None, other: str | None) -> str | None:
    """The text of the merged file; None where it is left to a person."""
    git = Git(str(remote.path))
    found = gitmodules_conflict.settled(git, *sides(remote, base, mine, other))
    return found and git.out("cat-file", "blob", found[0])


def test_two_entries_that_were_added_are_both_there(remote: Remote) -> None:
    one, two = entry("nginx"), entry("redis")
    assert merged(remote, BASE, BASE + one, BASE + two) == BASE + one + two
    assert merged(remote, None, one, two) == one + two
    assert merged(remote, BASE, BASE + one, BASE + two.rstrip()) == BASE + one + two
    commented = "# ours\n" + BASE
    assert merged(remote, commented, commented + one, commented + two) == commented + one + two


def test_each_entry_counts_as_the_side_has_it_that_changed_it(remote: Remote) -> None:
    moved, one, two = entry("base", url="https://h/new"), entry("nginx"), entry("redis")
    assert merged(remote, BASE, moved + one, BASE + two) == moved + one + two
    assert merged(remote, BASE, one, BASE + two) == one + two
    assert merged(remote, BASE + one, one + two, BASE) == two
    assert merged(remote, BASE, BASE + one, BASE + one + two) == BASE + one + two


@pytest.mark.parametrize(
    ("mine", "other"),
    [
        (BASE + entry("a", url="https://h/1"), BASE + entry("a", url="https://h/2")),
        (entry("base", url="https://h/1"), entry("base", url="https://h/2")),
        (entry("base", url="https://h/1"), entry("new")),  # changed here, removed there
        (BASE + entry("a", "formulas/x"), BASE + entry("b", "formulas/x")),
        (BASE + entry("a"), BASE + entry("b", more="\tbranch = x\\\n[y]\n")),
        (BASE + entry("a"), BASE + entry("b") + "[include]\n\tpath = /etc/passwd\n"),
        (BASE + entry("a"), BASE + entry("b") + "[core]\n\tsshCommand = touch x\n"),
        (BASE + entry("a"), BASE + entry("b") + entry("b", "c")),
        (BASE + entry("a"), BASE + '[submodule "b"] path = p\n\turl = https://h/b\n'),
        (BASE + entry("a"), BASE + '[Submodule "base"]\n\tpath = formulas/other\n'),
        (BASE + entry("a"), BASE + entry("b").replace("\n", "\r\n")),
        (BASE + entry("a"), BASE + entry("b") + "\0"),
        (BASE + entry("a"), BASE + entry("b", more='\tno = "unclosed\n')),
        (BASE + entry("a"), BASE + entry("b") + "# " + "x" * (1 << 20)),
        (BASE + entry("a"), None),
    ],
    ids=lambda _: "side",  # not the text: it is in the environment of git
)
def test_what_a_person_has_to_look_at_stays_a_conflict(
    remote: Remote, mine: str, other: str | None
) -> None:
    assert merged(remote, BASE, mine, other) is None
    assert merged(remote, BASE, other, mine) is None


def test_settled_merge_has_both_pins_and_says_so(remote: Remote, tmp_path: Path) -> None:
    start = remote.commit("master", {".gitmodules": BASE, "x": ""})
    pins = {"nginx": "1" * 40, "redis": "2" * 40}
    ours, theirs = (
        remote.commit(
            name,
            {".gitmodules": BASE + entry(name), f"formulas/{name}": Submodule(commit)},
            parents=(start,),
            tree=start,
        )
        for name, commit in pins.items()
    )

    def nothing(*_: object) -> Objects:
        raise AssertionError("no formula has to be looked at")

    remote.git("clone", "--quiet", "--no-checkout", str(remote.path), str(tmp_path / "clone"))
    trees = set()
    for place in (remote.path, tmp_path / "clone" / ".git"):
        git = Git(str(place))
        plain = merge.merge_trees(git, ours, theirs)
        assert plain.conflicts == (".gitmodules",)
        done = pin_conflicts.settled(git, ours, plain, nothing)
        assert done.kind == merge.MERGE
        assert done.said == (
            "both sides changed .gitmodules, but no entry of it: nginx of the target and redis of"
            " what is merged are taken",
        )
        found = submodules.read(git, done.tree, "https://h/r")
        assert {path: p.commit for path, p in found.pins.items()} == {
            f"formulas/{name}": commit for name, commit in pins.items()
        }
        trees.add(done.tree)
    assert len(trees) == 1, "the same on a laptop and on a master"


def test_another_conflict_leaves_all_to_the_person(remote: Remote) -> None:
    start = remote.commit("master", {".gitmodules": BASE, "x": "0"})
    ours, theirs = (
        remote.commit(n, {".gitmodules": BASE + entry(n), "x": n}, parents=(start,), tree=start)
        for n in ("one", "two")
    )
    git = Git(str(remote.path))
    done = pin_conflicts.settled(
        git, ours, merge.merge_trees(git, ours, theirs), lambda *_: Objects(None)
    )
    assert done.kind == merge.CONFLICT and done.conflicts == (".gitmodules", "x")
    assert any("both sides changed .gitmodules" in line for line in done.said)


def test_no_more_is_merged_than_is_read(remote: Remote) -> None:
    """Each side is served as it is; both together would leave every formula empty."""
    many = [entry(f"n{number}") for number in range(1200)]
    assert merged(remote, BASE, BASE + "".join(many[:600]), BASE + "".join(many[600:])) is None
    large = [entry(name, more=f"\t# {'x' * 600_000}\n") for name in ("one", "two")]
    assert merged(remote, BASE, BASE + large[0], BASE + large[1]) is None
