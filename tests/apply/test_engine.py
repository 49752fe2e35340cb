"""The batches of an apply up to where a hook or the checks fail: no minion is asked for that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from saltbranch.apply import run_state
from saltbranch.apply.batches import Share
from saltbranch.apply.engine import Engine, Stop, Stopped
from saltbranch.apply.going_on import go_on_without
from saltbranch.apply.limits import Limits
from saltbranch.apply.outcome import APPLIED, FAILED, GONE, SKIPPED, TIMED_OUT, Outcome
from saltbranch.apply.run_state import Pass, Record
from saltbranch.apply.seams import Batch
from saltbranch.base.errors import RefusedError, SaltError
from saltbranch.salt_master.jobs import Jobs, Return

NAME = "20260101T000000Z-0a1b2c3d"


class Around:
    """Seams of which the steps in `fails` fail; `asked` says of whom checks were asked."""

    def __init__(self, *fails: str) -> None:
        self.fails = fails
        self.asked: list[tuple[list[str], list[str]]] = []
        self.back: list[tuple[int, list[str]]] = []

    def before(self, batch: Batch) -> None:
        if "before" in self.fails:
            raise RefusedError("before_batch: lb: it answered false")

    def verify(self, batch: Batch, good: Sequence[str], changed: Sequence[str]) -> dict[str, str]:
        self.asked.append(([*good], [*changed]))
        if "verify" in self.fails:
            raise SaltError("cannot ask the salt-master")
        return {m: "app: it answered false" for m in good if m in self.fails}

    def after(self, batch: Batch, good: Sequence[str]) -> None:
        self.back.append((batch.number, list(good)))
        if "after" in self.fails:
            raise RefusedError("after_batch: lb: it answered false")


class Cache:
    """What a job cache has by now of each job."""

    def __init__(self, **jobs: list[Return]) -> None:
        self._jobs = jobs

    def returns(self, jid: str) -> dict[str, Return]:
        return {r.minion: r for r in self._jobs[jid]}


def engine(
    root: Path, around: Around, run: Pass, events: list[Any], cache: Cache | None = None
) -> Engine:
    record = Record(
        id=NAME, saltenv="prod", dirname="master", by="Ann", since=1.0, options={}, skipped={},
        passes=[run],
    )  # fmt: skip
    return Engine(
        cast(Jobs, cache), record, str(root), seams=around, tell=events.append,
        renew=lambda: None, stop=Stop(str(root), NAME),
    )  # fmt: skip


def go(root: Path, around: Around, run: Pass) -> Stopped:
    with pytest.raises(Stopped) as err:
        engine(root, around, run, []).run(
            run, Limits(Share(0)), timeout=9, pause=lambda batch: None
        )
    assert err.value.is_failure
    return err.value


def applied() -> Pass:
    """The only batch has been applied to; what comes next is its verification."""
    outcomes = {
        "web1": Outcome(APPLIED, "", 2, 3),
        "web2": Outcome(APPLIED, "", 0, 3),
        "web3": Outcome(APPLIED, "", 0, 3),
    }
    run = Pass("apply", "a" * 40, [["web1", "web2", "web3"]], outcomes, step="verify")
    run.retried = ["web3"]
    return run


def test_a_hook_is_named_once_and_written_down(tmp_path: Path) -> None:
    run = Pass("apply", "a" * 40, [["web1"], ["web2"]], {})
    stopped = go(tmp_path, Around("before"), run)
    assert stopped.message == "before_batch: lb: it answered false"
    assert run_state.load(str(tmp_path), NAME).first.step == "before"
    go_on_without(run, stopped.message)
    assert run.of("web1").state == SKIPPED and (run.at, run.step) == (1, "")
    run = applied()
    assert go(tmp_path, Around("after"), run).message == "after_batch: lb: it answered false"
    assert run.step == "after"
    run = applied()
    assert go(tmp_path, Around("verify"), run).message == "verify: cannot ask the salt-master"


def test_checks_know_who_was_changed_and_leave_word_of_who_passed(tmp_path: Path) -> None:
    run, around = applied(), Around("web2")
    stopped = go(tmp_path, around, run)
    assert stopped.message == "1 of 3 went wrong, and --max-failures is 0"
    # Who was tried again was changed, whatever its last run says.
    assert around.asked == [(["web1", "web2", "web3"], ["web1", "web3"])]
    kept = run_state.load(str(tmp_path), NAME).first
    assert kept.verified == ["web1", "web3"] and kept.checked > 0
    assert kept.of("web2").state == FAILED
    assert kept.of("web2").reason == "it did not pass verify: app: it answered false"


def returned(minion: str, *, result: bool = True) -> Return:
    state = {"result": result, "changes": {"new": "x"}, "__sls__": "app", "__id__": "motd"}
    return Return(minion, {"file_|-motd_|-/etc/motd_|-managed": state}, retcode=int(not result))


def given_up() -> Pass:
    """All batches are over; three minions were given up by then, and are still out of the load balancer."""
    outcomes = {m: Outcome(TIMED_OUT, "after 9s", jid="j1") for m in ("web1", "web2")}
    outcomes |= {"web3": Outcome(GONE, "no answer", jid="j2"), "web4": Outcome(APPLIED, jid="j2")}
    return Pass("apply", "a" * 40, [["web1", "web2"], ["web3", "web4"]], outcomes, at=2)


def test_who_returns_late_is_verified_and_put_back(tmp_path: Path) -> None:
    run, around = given_up(), Around("web3")
    cache = Cache(j1=[returned("web1"), returned("web2", result=False)], j2=[returned("web3")])
    limits = Limits(Share(100, is_percent=True))
    engine(tmp_path, around, run, [], cache).run(run, limits, timeout=9, pause=lambda batch: None)
    assert around.asked == [(["web1"], ["web1"]), (["web3"], ["web3"])]
    assert around.back == [(1, ["web1"]), (2, [])]
    assert [run.of(m).state for m in run.minions] == [APPLIED, FAILED, FAILED, APPLIED]
    assert run.of("web1").reason == "late: after 9s" and run.verified == ["web1"]
    assert "did not pass verify: app: it answered false" in run.of("web3").reason


def test_who_returned_late_is_put_back_again_after_a_kill(tmp_path: Path) -> None:
    run, around = given_up(), Around("after")
    cache = Cache(j1=[returned("web1")], j2=[])
    eng, limits = engine(tmp_path, around, run, [], cache), Limits(Share(100, is_percent=True))
    with pytest.raises(Stopped):
        eng.run(run, limits, timeout=9, pause=lambda batch: None)
    assert run.of("web1").state == TIMED_OUT
    around.fails = ()
    eng.run(run, limits, timeout=9, pause=lambda batch: None)
    assert run.of("web1").state == APPLIED and around.back == [(1, ["web1"])] * 2
