"""Histories as lines, checked against what git says in test_where.py; here what is hard to make there."""

from __future__ import annotations

import random

from saltbranch.history.graph import Graph
from saltbranch.history.reverts import Fate, Links, read_links
from tests.history.test_trailers import graph, name


def ancestors(graph_: Graph, commit: str) -> set[str]:
    found, todo = set(), [commit]
    while todo:
        commit = todo.pop()
        if commit not in found:
            found.add(commit)
            todo += graph_.parents[commit]
    return found


def random_graph(seed: int, size: int = 40) -> Graph:
    rng = random.Random(seed)
    rows: list[str] = []
    for number in range(size):
        known = [f"{n:040x}" for n in range(max(0, number - 8), number)]
        parents = rng.sample(known, min(len(known), rng.choice((1, 1, 2, 2, 3))))
        rows.append(" ".join([str(number), f"{number:040x}", *parents]))
    return Graph(reversed(rows))


def test_containment_and_merge_bases_are_those_of_the_graph() -> None:
    for seed in range(30):
        history = random_graph(seed)
        commits = history.ordered
        below = {c: ancestors(history, c) for c in commits}
        line = history.line(commits[-1])
        for one in commits[::3]:
            for other in commits[::3]:
                expected = {one, other} <= below[commits[-1]] and other in below[one]
                assert line.has(one, other) == expected
                shared = below[one] & below[other]
                best = {c for c in shared if not any(c in below[s] - {s} for s in shared)}
                found = history.merge_bases(one, other)
                assert set(found) == best and len(found) == len(best)


def test_parents_come_before_children_and_sides_before_their_merge() -> None:
    for seed in range(30):
        history = random_graph(seed)
        line = history.line(history.ordered[-1])
        for commit in ancestors(history, history.ordered[-1]):
            for parent in history.parents[commit]:
                assert line.position(parent) < line.position(commit)
            by = line.brought_by(commit)
            place = line.spine.index(by)
            assert commit in ancestors(history, by)
            assert place == 0 or commit not in ancestors(history, line.spine[place - 1])


def test_messages_that_name_each_other_in_a_circle_end() -> None:
    history = graph("a", "b a", "c b")
    links = Links(reverts={name("b"): (name("c"),), name("c"): (name("b"),)})
    fate = Fate(history, links, frozenset({name("a")}))
    assert fate.is_there(name("c"))


def test_short_hashes_in_messages_and_such_of_nobody() -> None:
    history = graph("a", "b a")
    text = "B\n\nThis reverts commit 6161616.\nThis reverts commit 1234567.\n"
    links = read_links({name("b"): text}, history)
    assert links.reverts == {name("b"): (name("a"), "1234567")}


def test_a_family_is_everything_picked_from_one_another() -> None:
    links = Links(picks={name("b"): (name("a"),), name("c"): (name("a"),), name("d"): ("x",)})
    assert links.family([name("b")]) == {name("a"), name("b"), name("c")}
    assert links.family([name("e")]) == {name("e")}
