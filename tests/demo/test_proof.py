"""The demo's proofs: what speaks against a change being where it belongs, and nowhere else, is found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from saltbranch.actions.init_text import DEFAULT_BRANCHES
from saltbranch.demo import minions
from saltbranch.demo.proof import (
    Expected,
    Given,
    Moment,
    Seen,
    Switch,
    find_problems,
    find_wrong,
)
from saltbranch.demo.repository import Change

CHANGE = Change("c" * 40, "subject", "develop", ("salt/x.sls",), {"etc/x": "new", "etc/y": "new"})
SWITCH = Switch(("test",), ("test",))


def seen(saltenv: str, **files: str) -> Seen:
    """What a minion should have, with more files: their names stand for those in /etc."""
    motd = {"etc/motd": f"{saltenv}1 - saltenv {saltenv}\n"}
    return Seen(
        minion=f"{saltenv}1",
        saltenv=saltenv,
        files=motd | {f"etc/{name}": text for name, text in files.items()},
        pillar={"app": {"token": f"fake-token-of-{saltenv}"}},
        changed=(),
        failed=(),
    )


BEFORE = tuple(seen(saltenv, y="old") for saltenv in DEFAULT_BRANCHES)
TEST, STAGE, PROD = (
    dataclasses.replace(
        seen("test", x="new", y="new"),
        pillar={"app": {"token": "fake-token-of-test"}, "new": True},
        changed=("x", "y"),
    ),
    *BEFORE[1:],
)
GIVEN: Given = {
    f"{own}1": {saltenv: ("app",) if saltenv == own else () for saltenv in DEFAULT_BRANCHES}
    for own in DEFAULT_BRANCHES
}


def problems_of(
    *after: Seen, before: tuple[Seen, ...] = BEFORE, switch: Switch = SWITCH, given: Given = GIVEN
) -> tuple[str, ...]:
    return find_problems(before, after, change=CHANGE, switch=switch, given=given, target="test")


def test_there_is_no_problem_where_all_is_well() -> None:
    assert problems_of(TEST, STAGE, PROD) == ()


def with_text(one: Seen, text: str) -> Seen:
    return dataclasses.replace(one, files={**one.files, "etc/y": text})


LEAKS: dict[str, tuple[Callable[[], tuple[str, ...]], str]] = {
    "a file that changed": (
        lambda: problems_of(TEST, with_text(STAGE, "new"), PROD),
        "LEAK: commit cccccccccccc of develop changed /etc/y on stage1",
    ),
    "a file that is new": (
        lambda: problems_of(TEST, STAGE, dataclasses.replace(PROD, files={**PROD.files, "a": ""})),
        "LEAK: commit cccccccccccc of develop changed /a on prod1",
    ),
    "a file that is gone": (
        lambda: problems_of(TEST, dataclasses.replace(STAGE, files=seen("stage").files), PROD),
        "LEAK: commit cccccccccccc of develop changed /etc/y on stage1",
    ),
    "a state that did something": (
        lambda: problems_of(TEST, STAGE, dataclasses.replace(PROD, changed=("x",))),
        "LEAK: commit cccccccccccc of develop changed x on prod1",
    ),
    "pillar that is new": (
        lambda: problems_of(
            TEST, STAGE, dataclasses.replace(PROD, pillar={**PROD.pillar, "new": True})
        ),
        "LEAK: commit cccccccccccc of develop changed the pillar of prod1",
    ),
    "a value of another saltenv in a file from the start": (
        lambda: problems_of(
            TEST,
            with_text(STAGE, "fake-token-of-prod"),
            PROD,
            before=(BEFORE[0], with_text(STAGE, "fake-token-of-prod"), PROD),
        ),
        "LEAK: stage1 has the token of another saltenv in its /etc/y",
    ),
    "a value of another saltenv in the pillar from the start": (
        lambda: problems_of(
            dataclasses.replace(TEST, pillar={**TEST.pillar, "b": "fake-token-of-stage"}),
            STAGE,
            PROD,
        ),
        "LEAK: test1 has the token of another saltenv in its pillar",
    ),
    "pillar that is given to whoever asks": (
        lambda: problems_of(
            TEST, STAGE, PROD, given={**GIVEN, "test1": {**GIVEN["test1"], "prod": ("app",)}}
        ),
        "LEAK: test1 asked for the pillar of prod and got app",
    ),
}


@pytest.mark.parametrize(("problems", "expected"), LEAKS.values(), ids=LEAKS)
def test_a_leak_is_noticed(problems: Callable[[], tuple[str, ...]], expected: str) -> None:
    assert expected in problems()


NO_PROOF: dict[str, tuple[Callable[[], tuple[str, ...]], str]] = {
    "the change did not arrive": (
        lambda: problems_of(BEFORE[0], STAGE, PROD),
        "test1: nothing changed instead of etc/x, etc/y",
    ),
    "the change arrived with another content": (
        lambda: problems_of(with_text(TEST, "other"), STAGE, PROD),
        "test1: /etc/y does not say 'new'",
    ),
    "the old pillar": (
        lambda: problems_of(dataclasses.replace(TEST, pillar=BEFORE[0].pillar), STAGE, PROD),
        "test1: its pillar is the old one",
    ),
    "a state that failed": (
        lambda: problems_of(TEST, dataclasses.replace(STAGE, failed=("state x: no",)), PROD),
        "stage1: state x: no",
    ),
    "no pillar": (
        lambda: problems_of(TEST, dataclasses.replace(STAGE, pillar={}), PROD),
        "stage1 lacks the pillar of stage",
    ),
    "the wrong saltenv": (
        lambda: problems_of(
            TEST, dataclasses.replace(STAGE, files={"etc/motd": "saltenv prod\n"}), PROD
        ),
        "stage1: its /etc/motd is not that of stage",
    ),
    "a sync that did too much": (
        lambda: problems_of(TEST, STAGE, PROD, switch=Switch(("prod", "test"), ("test",))),
        "the sync switched prod, test instead of test",
    ),
    "no event": (
        lambda: problems_of(TEST, STAGE, PROD, switch=Switch(("test",), ())),
        "events came for nothing instead of test",
    ),
    "asking gives nothing at all": (
        lambda: problems_of(
            TEST, STAGE, PROD, given={**GIVEN, "prod1": dict.fromkeys(GIVEN["prod1"], ())}
        ),
        "prod1 asked for the pillar of prod, its own, and got nothing",
    ),
}


@pytest.mark.parametrize(("problems", "expected"), NO_PROOF.values(), ids=NO_PROOF)
def test_a_proof_needs_more_than_no_leak(
    problems: Callable[[], tuple[str, ...]], expected: str
) -> None:
    assert expected in problems()


def test_one_pillar_for_two_minions_is_noticed() -> None:
    twin = dataclasses.replace(PROD, minion="stage1", saltenv="prod")
    found = find_problems(
        (BEFORE[0], twin, PROD),
        (TEST, twin, PROD),
        change=CHANGE,
        switch=SWITCH,
        given=GIVEN,
        target="test",
    )
    assert "stage1 and prod1 have the same pillar" in found


@pytest.mark.parametrize(
    "run",
    [["Rendering failed"], {"x": {"__id__": "x", "result": False, "comment": "no", "changes": {}}}],
)
def test_a_run_that_failed_is_seen(run: Any) -> None:
    assert minions._failed(run) in (("Rendering failed",), ("state x: no",))
    assert minions._changed(run) == ()


# A step from one moment to the next


HEADS = {"develop": "d1", "stage": "s1", "master": "m1"}
SERVED = {"test": "d1", "stage": "s1", "prod": "m1"}
OLD = Moment(HEADS, SERVED, BEFORE)
EXPECTED = Expected(
    branches=("develop",), saltenvs=("test",), changed=("x", "y"), texts=CHANGE.files
)


def step(seen: tuple[Seen, ...] = (TEST, STAGE, PROD), **moved: str) -> Moment:
    """What develop's step to d2 leaves; `moved` says more of branches and saltenvs."""
    given: dict[str, str] = {"develop": "d2", "test": "d2", **moved}
    heads = HEADS | {name: commit for name, commit in given.items() if name in HEADS}
    served = SERVED | {name: commit for name, commit in given.items() if name in SERVED}
    return Moment(heads, served, seen)


def test_a_step_that_did_what_it_should_has_no_problem() -> None:
    assert find_wrong(OLD, step(), EXPECTED) == ()


def test_a_step_back_to_what_was_before_has_no_problem() -> None:
    new = step()
    back = Moment(new.heads, {**new.served, "test": "d1"}, (undone(TEST), STAGE, PROD))
    texts = {"etc/x": "", "etc/y": "old"}
    expected = Expected((), ("test",), ("x", "y"), texts, like=BEFORE)

    assert find_wrong(new, back, expected) == ("test1: /etc/x is not what it was before",)
    files = {path: text for path, text in undone(TEST).files.items() if path != "etc/x"}
    gone = dataclasses.replace(undone(TEST), files=files)
    assert find_wrong(new, dataclasses.replace(back, seen=(gone, STAGE, PROD)), expected) == ()


def undone(one: Seen) -> Seen:
    """`one` with the old text in y, an empty x and the old pillar."""
    files = {**one.files, "etc/x": "", "etc/y": "old"}
    return dataclasses.replace(one, files=files, pillar=BEFORE[0].pillar)


WRONG: dict[str, tuple[Moment, str]] = {
    "another branch moved, too": (
        step(stage="s2"),
        "moved on the remote: develop, stage instead of develop",
    ),
    "no branch moved": (step(develop="d1"), "moved on the remote: nothing instead of develop"),
    "another saltenv was switched, too": (
        step(prod="m2"),
        "switched on the master: prod, test instead of test",
    ),
    "nothing was switched": (step(test="d1"), "switched on the master: nothing instead of test"),
    "the minion did nothing": (
        step((BEFORE[0], STAGE, PROD)),
        "test1: the highstate reports changes of nothing instead of x, y",
    ),
    "the minion changed another file": (
        step((dataclasses.replace(TEST, files={**TEST.files, "etc/z": ""}), STAGE, PROD)),
        "test1: etc/x, etc/y, etc/z changed instead of etc/x, etc/y",
    ),
    "another text": (
        step((with_text(TEST, "other"), STAGE, PROD)),
        "test1: /etc/y does not say 'new'",
    ),
    "the old pillar": (
        step((dataclasses.replace(TEST, pillar=BEFORE[0].pillar), STAGE, PROD)),
        "test1: its pillar is the old one",
    ),
    "a state that failed": (
        step((TEST, STAGE, dataclasses.replace(PROD, failed=("state x: no",)))),
        "prod1: state x: no",
    ),
    "a leak": (
        step((TEST, with_text(STAGE, "new"), PROD)),
        "LEAK: the step changed /etc/y on stage1",
    ),
}


@pytest.mark.parametrize(("new", "expected"), WRONG.values(), ids=WRONG)
def test_a_step_that_did_something_else_is_noticed(new: Moment, expected: str) -> None:
    assert expected in find_wrong(OLD, new, EXPECTED)
