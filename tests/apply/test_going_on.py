"""What going on without, or trying again, makes of the batches of an apply that has stopped."""

from __future__ import annotations

from saltbranch.apply.going_on import (
    AGAIN,
    BACK,
    END,
    GO_ON,
    Trouble,
    failed_of,
    go_on_without,
    try_again,
)
from saltbranch.apply.outcome import (
    APPLIED,
    FAILED,
    PENDING,
    SKIPPED,
    TIMED_OUT,
    Outcome,
)
from saltbranch.apply.run_state import Pass
from saltbranch.apply.stays import Stays

GOOD, BAD = Outcome(APPLIED, "", 2, 3), Outcome(FAILED, "it returned nothing")


def stopped(**outcomes: Outcome) -> Pass:
    """After the second of three batches."""
    batches = [["web1"], ["web2", "web3"], ["web4", "web5"]]
    return Pass("apply", "a" * 40, batches, {"web1": GOOD, **outcomes}, at=2)


def test_going_on_forgives_what_went_wrong_and_nothing_later() -> None:
    run = stopped(web2=BAD, web3=GOOD)
    assert failed_of(run) == ["web2"]
    go_on_without(run, "why")
    assert (run.at, run.step, run.forgiven, failed_of(run)) == (2, "", 1, [])
    run.outcomes["web5"] = Outcome(TIMED_OUT)
    assert failed_of(run) == ["web5"] and run.wrong() == ["web2", "web5"]


def test_those_that_failed_are_the_next_batch() -> None:
    run = stopped(web2=BAD, web3=GOOD)
    try_again(run)
    assert run.batches == [["web1"], ["web3"], ["web2"], ["web4", "web5"]] and run.at == 2
    assert run.of("web2").state == PENDING and run.of("web3") == GOOD
    # It was touched, though nothing is known of it now.
    assert run.touched() == ["web1", "web3", "web2"] and run.retried == ["web2"]
    assert sorted(run.minions) == ["web1", "web2", "web3", "web4", "web5"]


def test_a_batch_of_which_all_failed_is_not_left_empty() -> None:
    run = stopped(web2=BAD, web3=BAD)
    try_again(run)
    assert run.batches == [["web1"], ["web2", "web3"], ["web4", "web5"]] and run.at == 1


def test_only_what_nobody_went_on_after_is_tried_again() -> None:
    run = stopped(web1=BAD, web2=BAD, web3=GOOD)
    run.forgiven = 1
    try_again(run)
    assert run.batches == [["web1"], ["web3"], ["web2"], ["web4", "web5"]]
    assert run.of("web1") == BAD and run.forgiven == 1 and failed_of(run) == []
    run.outcomes["web2"], run.at = BAD, 3
    assert failed_of(run) == ["web2"]


def test_a_hook_that_failed_before_its_batch() -> None:
    run = stopped(web2=GOOD, web3=GOOD)
    run.step = "before"
    try_again(run)
    assert (run.at, run.step) == (2, "before")  # the hook is what comes next
    go_on_without(run, "before_batch: lb: it answered false")
    assert run.is_over and run.step == "" and run.forgiven == 0
    left = Outcome(SKIPPED, "left out: before_batch: lb: it answered false")
    assert run.of("web4") == run.of("web5") == left
    assert run.touched() == ["web1", "web2", "web3"]


def test_a_hook_that_failed_after_its_batch() -> None:
    run = stopped(web2=GOOD, web3=GOOD, web4=GOOD, web5=BAD)
    run.step = "after"
    go_on_without(run, "after_batch: lb: it answered false")
    assert run.of("web4") == Outcome(FAILED, "after_batch: lb: it answered false", 2, 3)
    assert run.of("web5") == BAD and run.forgiven == 2


def test_who_is_tried_again_is_not_skipped_as_if_untouched() -> None:
    run = stopped(web2=BAD, web3=GOOD)
    try_again(run)
    run.step = "before"
    go_on_without(run, "lb")
    assert run.of("web2").state == FAILED and "web2" in run.touched()


def trouble(touched: int, stays: Stays | None) -> Trouble:
    return Trouble(
        apply="x", saltenv="prod", why="y", number=1, of=1, step="", batch=("web1",),
        failed={"web1": BAD}, counts={"failed": 1}, touched=touched, stays=stays,
    )  # fmt: skip


def test_a_rollback_is_offered_where_there_is_one() -> None:
    assert trouble(1, Stays("b" * 40)).choices == (END, GO_ON, AGAIN, BACK)
    assert trouble(0, Stays("b" * 40)).choices == (END, GO_ON, AGAIN)
    assert trouble(1, None).choices == (END, GO_ON, AGAIN)
