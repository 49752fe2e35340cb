"""Who has a lab, step by step, whatever is wanted in between: nobody has two, and nothing changes below anybody."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from saltbranch.labs import lent
from saltbranch.labs.lent import GAP, LONGEST, Lent, Moment, Step, Wanted, advance, settled

ONE = Wanted("a", "feature/x", "test", "p/test", ("test1", "test2"))
OPEN = Wanted("b", "feature/y", "test", "p/test", (), is_open=True)


def _step(
    said: Lent,
    wanted: dict[str, Wanted],
    now: float,
    *,
    served: tuple[str, ...] = ("lab1", "lab2"),
    busy: frozenset[str] | None = frozenset(),
    boot: str = "one",
    may_lend: bool = True,
) -> Step:
    at = Moment(now, boot)
    return advance(said, wanted, at, served=served, busy=busy, may_lend=may_lend)


def test_a_minion_waits_between_two_saltenvs() -> None:
    said = _step(Lent(), {"lab1": ONE}, 100).lent
    assert set(said.moving) == {"test1", "test2"} and said.lent == {}
    early = _step(said, {"lab1": ONE}, 100 + GAP - 1).lent
    assert early == said
    late = _step(said, {"lab1": ONE}, 100 + GAP).lent
    assert late.lent == {"test1": "lab1", "test2": "lab1"} == late.tell
    assert settled({"lab1": ONE}).lent == late.lent


def test_state_runs_are_waited_for_but_not_for_ever() -> None:
    said = _step(Lent(), {"lab1": ONE}, 100).lent
    later = _step(said, {"lab1": ONE}, 100 + GAP, busy=frozenset({"test1"})).lent
    assert later.lent == {"test2": "lab1"} and set(later.moving) == {"test1"}
    assert _step(later, {"lab1": ONE}, 100 + LONGEST - 1, busy=None).lent == later
    assert "test1" in _step(later, {"lab1": ONE}, 100 + LONGEST, busy=None).lent.lent


def test_a_restart_of_the_machine_begins_the_wait_anew() -> None:
    said = _step(Lent(), {"lab1": ONE}, 5000).lent
    after = _step(said, {"lab1": ONE}, 20, boot="two").lent
    assert after.lent == {} and after.moving["test1"].since == 20


def test_a_lab_is_emptied_only_when_nobody_can_have_it() -> None:
    said = Lent(settled({"lab1": ONE}).labs, {"test1": "lab1", "test2": "lab1"})
    step = _step(said, {}, 100)
    assert step.empty == () and step.lent.labs["lab1"].closing == 100
    step = _step(step.lent, {}, 100 + GAP, busy=frozenset({"test2"}))
    assert step.empty == () and step.lent.tell == {"test1": "test"}
    step = _step(step.lent, {}, 101 + GAP)
    assert step.empty == ("lab1",) and step.lent.tell == {"test1": "test", "test2": "test"}


def test_the_link_changes_below_nobody() -> None:
    other = Wanted("c", "feature/x", "stage", "p/stage")
    said = settled({"lab2": OPEN})
    step = _step(said, {"lab2": other}, 100)
    assert step.links == {} and not step.lent.labs["lab2"].open
    step = _step(step.lent, {"lab2": other}, 100 + GAP)
    assert step.links == {"lab2": "p/stage"} and step.empty == ("lab2",)


def test_nobody_is_lent_where_the_lab_is_not_served_or_the_master_does_not_know_it() -> None:
    assert _step(Lent(), {"lab1": ONE}, 100, served=()).lent.moving == {}
    assert _step(Lent(), {"lab1": ONE}, 100, may_lend=False).lent.moving == {}


WANTED = st.dictionaries(
    st.sampled_from(("lab1", "lab2")),
    st.builds(
        Wanted,
        st.sampled_from("ab"),
        st.just("feature/x"),
        st.sampled_from(("test", "stage")),
        st.sampled_from(("p1", "p2")),
        st.lists(st.sampled_from(("m1", "m2")), unique=True, max_size=2).map(tuple),
        st.booleans(),
    ),
).filter(
    lambda w: (
        len([m for x in w.values() for m in x.minions])
        == len({m for x in w.values() for m in x.minions})
    )
)
MOVES = st.lists(
    st.tuples(
        WANTED, st.floats(0.1, 2 * GAP), st.sets(st.sampled_from(("lab1", "lab2", "m1", "m2")))
    )
)


def _homes(said: Lent) -> dict[str, str]:
    return {m: said.lent.get(m, "moving" if m in said.moving else "own") for m in ("m1", "m2")}


@settings(max_examples=300, deadline=None)
@given(MOVES)
def test_whatever_is_wanted_in_between(
    moves: list[tuple[dict[str, Wanted], float, set[str]]],
) -> None:
    said, now, since = Lent(), 1.0, {"m1": 0.0, "m2": 0.0}
    changed: dict[str, float] = {}
    for wanted, seconds, served in moves:
        now += seconds
        before, had = _homes(said), dict(said.labs)
        step = _step(said, wanted, now, served=tuple(served & wanted.keys()))
        said = lent.loads(lent.dumps(step.lent))
        for minion, home in _homes(said).items():
            if home == before[minion]:
                continue
            assert "moving" in (home, before[minion])  # never from one to the other
            if home != "moving":
                assert now - since[minion] >= GAP
            since[minion] = now
        for name in {*step.links, *step.empty}:
            assert not step.lent.of_lab(name)
            if name in had:  # it was closed, for long enough
                assert not had[name].open and had[name].closing is not None
                assert now - had[name].closing >= GAP
        assert all(said.labs[name].closing is None for name in said.lent.values())
        changed.update(dict.fromkeys(step.links, now))
    for _ in range(4):
        now += GAP
        step = _step(said, wanted if moves else {}, now)
        said = step.lent
    said.tell = {}
    assert said == settled(wanted if moves else {})
