"""Hooks before and after a batch: in their order, up to the first that fails."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from saltbranch.base.errors import SaltError
from saltbranch.config.batch_hooks import AFTER, BEFORE, parse_hooks
from saltbranch.salt_master.jobs import Return
from saltbranch.verify.batch_hooks import Batch, HookDone, run_hooks
from tests.verify.test_run import program


class Master:
    """Takes calls, and answers with `value`."""

    def __init__(self, value: Any = True, answer: Return | None = None) -> None:
        self.value = value
        self.answer = answer or Return("lb1", True)
        self.calls: list[tuple[Any, ...]] = []

    def run_and_wait(
        self,
        minions: Sequence[str],
        function: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        timeout: float,
    ) -> dict[str, Return | None]:
        self.calls.append((list(minions), function, args, kwargs, timeout))
        return {m: self.answer for m in minions}

    def runner(
        self,
        function: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        timeout: float,
    ) -> object:
        self.calls.append((function, args, kwargs, timeout))
        if isinstance(self.value, SaltError):
            raise self.value
        return self.value


OUT = {"salt": "haproxy.disable_server", "args": ["{minion}", "web"], "on": "lb1", "timeout": "20s"}
RUNNER = {"runner": "balancer.drain", "args": ["web", 3], "kwargs": {"who": "{minion}"}}
LISTED = ("salt-run", "balancer.drain", "web", "3", "who={minion}")


def hooks(master: Master, *entries: Any, **more: Any) -> list[HookDone]:
    batch = Batch("prod", "c" * 40, 2, more.pop("minions", ("web1", "web2")), **more)
    return run_hooks(BEFORE, batch, parse_hooks(entries, "M"), master)


def test_a_function_is_run_for_each_minion_where_that_stands_in_it() -> None:
    master = Master()
    (done,) = hooks(master, OUT)
    assert (
        done.passed
        and done.said == "before_batch: haproxy.disable_server {minion} web on lb1: done"
    )
    assert master.calls == [
        (["lb1"], "haproxy.disable_server", [minion, "web"], {}, 20) for minion in ("web1", "web2")
    ]


def test_and_otherwise_once() -> None:
    master = Master()
    hooks(master, {"salt": "haproxy.drain", "on": "lb1"})
    assert master.calls == [(["lb1"], "haproxy.drain", [], {}, 60)]


def test_the_first_that_fails_ends_it() -> None:
    for answer, why in (
        (Return("lb1", False), "web1: it answered false"),
        (Return("lb1", "hunter2", retcode=1), "web1: the function failed (1), and returned a text"),
        (None, "web1: no answer"),
    ):
        master = Master()
        master.answer = answer  # type: ignore[assignment]
        done = hooks(master, OUT, {"salt": "other.function", "on": "lb1"})
        assert [one.passed for one in done] == [False]
        assert done[0].reason.startswith(why) and len(master.calls) == 1


def test_an_id_that_may_not_stand_in_an_argument() -> None:
    master = Master()
    (done,) = hooks(master, OUT, minions=("x=y\x1b",))
    assert not done.passed and done.reason == "x=y\ufffd: its id cannot stand in an argument"
    assert master.calls == []


def test_a_runner_has_to_be_listed_by_the_machine() -> None:
    master = Master()
    (done,) = hooks(master, RUNNER)
    assert not done.passed and master.calls == []
    (done,) = hooks(master, RUNNER, programs=frozenset({LISTED}))
    assert done.passed
    assert [call[2] for call in master.calls] == [{"who": "web1"}, {"who": "web2"}]
    changed = {**RUNNER, "args": ["web", 4]}
    (done,) = hooks(master, changed, programs=frozenset({LISTED}))
    assert not done.passed


def test_a_runner_that_fails() -> None:
    for value, why in (
        (False, "web1: it returned false"),
        ({"retcode": 4}, "web1: it returned retcode 4"),
        (SaltError("there is no runner 'balancer.drain' here"), "there is no runner"),
    ):
        (done,) = hooks(Master(value), RUNNER, programs=frozenset({LISTED}))
        assert not done.passed and done.reason.startswith(why)
    (done,) = hooks(Master({"retcode": 0}), RUNNER, programs=frozenset({LISTED}))
    assert done.passed


def test_a_program_is_told_the_batch(tmp_path: Path) -> None:
    back = program(tmp_path, f"cat > {tmp_path}/told; echo hunter2; test ! -e {tmp_path}/bad")
    batch = Batch("prod", "c" * 40, 2, ("web1", "x y"), programs=frozenset({(back,)}))
    given = parse_hooks([{"command": [back]}], "M")
    (done,) = run_hooks(AFTER, batch, given, Master())
    assert done.passed and done.as_dict()["which"] == "after_batch"
    assert json.loads((tmp_path / "told").read_text()) == {
        "version": 1,
        "hook": "after_batch",
        "saltenv": "prod",
        "commit": "c" * 40,
        "batch": 2,
        "minions": ["web1", "x y"],
    }
    (tmp_path / "bad").touch()
    (done,) = run_hooks(AFTER, batch, given, Master())
    assert done.reason == "it ended with 1"
    (done,) = run_hooks(AFTER, Batch("prod", "c", 1, ("web1",)), given, Master())
    assert done.reason == f"{back} may not run here"
