"""Promotions by trailers: what counts as one, and how they join those of the journal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from saltbranch.config.check import build_config
from saltbranch.config.model import Config
from saltbranch.config.read import parse_file
from saltbranch.history import trailers
from saltbranch.history.graph import Graph
from saltbranch.history.trailers import Told
from saltbranch.journal import events
from saltbranch.journal import state as journal_state
from saltbranch.journal.facts import Promotion

TEXT = """\
Promotion-Id: 20260101T000000Z-1a2b3c4d
Promotion-Kind: release
Promoted-From: release/1.2 {source}
Promoted-To: stage
Promoted-By: Ann <ann@example.com>
Tickets: KEY-1, KEY-2
Plan-Digest: 5f3c2a81b0d94e67
Served-Before: {before}
"""


def name(letter: str) -> str:
    """A hash for a commit that is called by one letter."""
    return f"{ord(letter):02x}" * 20


def letter(commit: str) -> str:
    """What `name` made a hash of."""
    return chr(int(commit[:2], 16))


def graph(*rows: str) -> Graph:
    """`c a b`: the commit c with the parents a and b; the oldest first, a minute apart."""
    lines = []
    for number, row in enumerate(rows):
        lines.append(" ".join([str(60 * number), *(name(x) for x in row.split())]))
    return Graph(reversed(lines))


def told(commit: str, source: str, target: str = "stage", id_: str = "p-1") -> Told:
    return Told(name(commit), 0, id_, "promotion", "test", name(source), target, "Ann")


@pytest.fixture
def config() -> Config:
    text = """
remote: /srv/git
saltenvs:
  test: {branch: develop, minions: test*}
  stage: {branch: stage, minions: stage*, promote_from: test}
  prod: {branch: master, minions: prod*, promote_from: stage}
"""
    return build_config(parse_file(text, "x"), "x")


# Reading


def test_all_trailers_of_a_promotion() -> None:
    text = TEXT.format(source=name("a"), before=name("b"))
    found = trailers.parse(name("c"), 5.0, text)
    assert found == Told(
        name("c"), 5.0, "20260101T000000Z-1a2b3c4d", "release", "release/1.2", name("a"), "stage",
        "Ann <ann@example.com>", ("KEY-1", "KEY-2"), "5f3c2a81b0d94e67", name("b"),
    )  # fmt: skip


def test_what_is_optional_may_be_missing() -> None:
    text = f"promotion-id: a-1\nPROMOTED-FROM: {name('a')}\nPromoted-To: stage\n"
    found = trailers.parse(name("c"), 5.0, text)
    assert found and (found.kind, found.source, found.by, found.tickets, found.served_before) == (
        "promotion", "", "", (), None,
    )  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [
        "Promotion-Id: ",
        "Promotion-Id: ../../x",
        "Promotion-Id: a b",
        "Promotion-Kind: feature",
        "Promoted-From: test 1a2b3c",
        "Promoted-From: ",
        "Promoted-To: ",
    ],
)
def test_what_has_not_the_right_shape_is_none(row: str) -> None:
    key = row.partition(":")[0]
    rows = [r for r in TEXT.format(source=name("a"), before="").splitlines() if key not in r]
    assert trailers.parse(name("c"), 5.0, "\n".join([*rows, row])) is None


def test_the_first_of_two_equal_keys_counts() -> None:
    text = TEXT.format(source=name("a"), before="") + "Promoted-To: prod\n"
    found = trailers.parse(name("c"), 5.0, text)
    assert found and found.target == "stage"


# Which merges count


def found_on(graph_: Graph, head: str, *items: Told, config: Config) -> list[tuple[str, str, str]]:
    """(id, old, new) of the promotions to stage, by letters."""
    line = graph_.line(name(head))
    found = trailers.promotions(items, graph_, line, config.saltenv("stage"))
    return [(p.id, letter(p.old), letter(p.new)) for p in found]


def test_a_merge_on_the_line_of_first_parents_counts(config: Config) -> None:
    history = graph("a", "b a", "c a b", "d b", "e c d")
    assert found_on(
        history, "e", told("e", "d", id_="p-2"), told("c", "b", id_="p-1"), config=config
    ) == [("p-1", "a", "c"), ("p-2", "c", "e")]


def test_a_merge_of_a_pull_request_counts_as_the_promotion_it_merged(config: Config) -> None:
    history = graph("a", "b a", "c a b", "d a", "e d c")
    assert found_on(history, "e", told("c", "b"), config=config) == [("p-1", "d", "e")]


def test_a_pull_request_that_was_brought_up_to_date_first(config: Config) -> None:
    history = graph("a", "b a", "c a b", "d a", "e c d", "f d e")
    assert found_on(history, "f", told("c", "b"), config=config) == [("p-1", "d", "f")]


def test_a_merge_inside_a_feature_does_not_count(config: Config) -> None:
    """c stands behind b, which a merge brought: below the second parent, and not on its line."""
    history = graph("a", "s a", "f a", "c f s", "b a c", "e a b", "g a e")
    items = [told("c", "s")]
    assert found_on(history, "e", *items, config=config) == []
    assert found_on(history, "g", *items, config=config) == []


def test_a_merge_that_did_not_bring_what_it_names_does_not_count(config: Config) -> None:
    history = graph("a", "b a", "x a", "c a b")
    assert found_on(history, "c", told("c", "x"), config=config) == []
    assert found_on(history, "c", told("c", "a"), config=config) == []
    assert found_on(history, "c", told("c", "9"), config=config) == []


def test_a_promotion_to_another_saltenv_does_not_count(config: Config) -> None:
    history = graph("a", "b a", "c a b")
    assert found_on(history, "c", told("c", "b", target="prod"), config=config) == []
    assert found_on(history, "c", told("c", "b", target="stage"), config=config) != []


def test_one_id_twice_is_one_promotion(config: Config) -> None:
    history = graph("a", "b a", "c a b", "d b", "e c d")
    items = [told("c", "b"), told("e", "d")]
    assert found_on(history, "e", *items, config=config) == [("p-1", "a", "c")]


def test_all_saltenvs_by_their_branches(config: Config) -> None:
    # s: promoted to stage; m: that to master
    history = graph("a", "d a", "s a d", "m a s")
    items = [told("s", "d", id_="p-1"), told("m", "s", target="prod", id_="p-2")]
    heads = {"develop": name("d"), "stage": name("s"), "master": name("m")}
    found = trailers.all_promotions(items, history, config, heads)
    assert [(p.id, p.saltenv, p.branch, p.via) for p in found] == [
        ("p-1", "stage", "stage", "trailers"), ("p-2", "prod", "master", "trailers"),
    ]  # fmt: skip
    assert [p.time for p in found] == [120, 180]


def test_the_line_of_a_branch_that_was_moved_to_a_promotion(config: Config) -> None:
    history = graph("a", "d a", "s a d", "m a s")
    items = [told("s", "d"), told("m", "s", target="prod")]
    test = trailers.detours(items, history, config, config.saltenv("test"))
    assert history.line(name("m"), test).spine == [name(x) for x in "adsm"]
    stage = trailers.detours(items, history, config, config.saltenv("stage"))
    assert history.line(name("m"), stage).spine == [name(x) for x in "asm"]
    assert trailers.detours(items, history, config, config.saltenv("prod")) == {}


# Journal and trailers together


def promotion(id_: str, time: float, via: str = "journal") -> Promotion:
    return Promotion(
        id_, "promotion", time, "Ann", "stage", "stage", "test", name("d"), name("a"), name("s"),
        name("b"), "v1.0", ("KEY-1",), "5f3c", via,
    )  # fmt: skip


def test_each_promotion_once_and_the_journal_has_the_word() -> None:
    journal = [promotion("one", 10), promotion("three", 30)]
    others = [promotion("one", 11, "trailers"), promotion("two", 20, "trailers"),
              promotion("four", 40, "trailers"), promotion("two", 21, "trailers")]  # fmt: skip
    found = trailers.merge(journal, others, {}, 100)
    assert [(p.id, p.via) for p in found] == [
        ("one", "journal"), ("two", "trailers"), ("three", "journal"), ("four", "trailers"),
    ]  # fmt: skip
    assert trailers.merge([], others[1:2], {}, 100) == others[1:2]


def made(id_: str, new: str, time: float, saltenv: str = "stage") -> Promotion:
    return replace(promotion(id_, time), new=name(new), saltenv=saltenv)


@pytest.mark.parametrize("time", [5, 15, 25, 99, 10**9])
def test_the_history_orders_promotions_of_a_saltenv_and_no_clock_does(time: float) -> None:
    """The one in the middle came by pull request, from a machine with any clock."""
    numbers = {name(c): n for n, c in enumerate("abc")}
    journal = [made("one", "a", 10), made("other", "x", 15, "prod"), made("three", "c", 20)]

    found = trailers.merge(journal, [made("two", "b", time)], numbers, now=100)

    assert [p.id for p in found if p.saltenv == "stage"] == ["one", "two", "three"]


def test_a_time_that_lies_ahead_makes_nothing_newer() -> None:
    numbers = {name(c): n for n, c in enumerate("abc")}
    journal = [made("one", "a", 10), made("other", "x", 15, "prod"), made("last", "y", 30, "prod")]
    told_ = [made("two", "b", 10**9), made("three", "c", 20)]

    found = trailers.merge(journal, told_, numbers, now=100)

    assert [p.id for p in found] == ["one", "two", "other", "three", "last"]


def test_those_of_one_saltenv_keep_the_order_of_its_branch(config: Config) -> None:
    rows = ["0 a", "60 d a", "9999 s a d", "180 e d", "240 t s e", "300 m a t"]
    lines = [" ".join([r.split()[0], *map(name, r.split()[1:])]) for r in rows]
    history = Graph(reversed(lines))
    items = [told("s", "d", id_="p-1"), told("t", "e", id_="p-2"),
             told("m", "t", target="prod", id_="p-3")]  # fmt: skip
    heads = {"stage": name("t"), "master": name("m")}

    found = trailers.all_promotions(items, history, config, heads)

    assert [p.id for p in found if p.saltenv == "stage"] == ["p-1", "p-2"]


def test_events_made_from_trailers_give_the_same_promotions() -> None:
    told_ = [promotion("one", 10, "trailers"), promotion("two", 20, "trailers")]
    made = trailers.as_events(told_)
    read = [events.parse_message(name("j"), e.message()) for e in made]
    state = journal_state.replay(e for e in read if e)
    assert state.promotions == [replace(p, via="journal") for p in told_]
    assert all(e and e.details["rebuilt"] is True for e in read)
