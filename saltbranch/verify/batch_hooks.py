"""What the model wants done before and after a batch of minions is changed: out of the load balancer, and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saltbranch.base.errors import SaltError
from saltbranch.config.batch_hooks import Hook, ProgramHook, RunnerHook, SaltHook, Which
from saltbranch.config.entries import Call, fits
from saltbranch.notify import hooks
from saltbranch.verify import judge
from saltbranch.verify.judge import Judged
from saltbranch.verify.salt import Salt


@dataclass(frozen=True, slots=True)
class Batch:
    """The minions that are changed together. number: from 1 on. programs: those of the model that may run here."""

    saltenv: str
    commit: str
    number: int
    minions: tuple[str, ...]
    programs: frozenset[tuple[str, ...]] = frozenset()
    why_not: Callable[[tuple[str, ...]], str] = lambda argv: f"{argv[0]} may not run here"

    def told(self, which: Which) -> dict[str, object]:
        """What a program reads as JSON."""
        return {
            "version": 1,
            "hook": which,
            "saltenv": self.saltenv,
            "commit": self.commit,
            "batch": self.number,
            "minions": list(self.minions),
        }


@dataclass(frozen=True, slots=True)
class HookDone:
    """What came of one hook. reason: why it failed, in one line. seconds: how long it took."""

    which: Which
    hook: str
    passed: bool
    reason: str
    seconds: float

    @property
    def said(self) -> str:
        """For people."""
        return f"{self.which}: {self.hook}: {self.reason or 'done'}"

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "which": self.which,
            "hook": self.hook,
            "passed": self.passed,
            "reason": self.reason or None,
            "seconds": round(self.seconds, 1),
        }


def run_hooks(which: Which, batch: Batch, given: Sequence[Hook], salt: Salt) -> list[HookDone]:
    """Run `given` in their order, up to the first that fails: then the last of what is returned did not pass.

    Raises nothing that is expected: a master that cannot be asked is a hook that failed.
    """
    done: list[HookDone] = []
    for hook in given:
        begin = time.monotonic()
        try:
            judged = _run(which, batch, hook, salt)
        except SaltError as err:
            judged = judge.failed(err.message)
        spent = time.monotonic() - begin
        done.append(HookDone(which, hook.shown, judged.passed, judged.reason, spent))
        if not judged.passed:
            break
    return done


def _run(which: Which, batch: Batch, hook: Hook, salt: Salt) -> Judged:
    match hook:
        case SaltHook():
            return _each(batch, hook.call, lambda args, kwargs: _call(hook, salt, args, kwargs))
        case RunnerHook():
            if hook.argv not in batch.programs:
                return judge.failed(batch.why_not(hook.argv))
            return _each(batch, hook.call, lambda args, kwargs: _runner(hook, salt, args, kwargs))
        case ProgramHook():
            if hook.argv not in batch.programs:
                return judge.failed(batch.why_not(hook.argv))
            passed, said = hooks.run(hook.argv, batch.told(which), timeout=hook.timeout)
            return judge.PASSED if passed else judge.failed(said.split("\n")[0])


def _each(batch: Batch, call: Call, do: Callable[[list[Any], dict[str, Any]], Judged]) -> Judged:
    """Once or, where `{minion}` stands in the call, once for each minion, up to the first that fails."""
    if not call.names_minion:
        return do(*call.arguments())
    for minion in batch.minions:
        if not fits(minion):
            return judge.failed(f"{minion}: its id cannot stand in an argument")
        judged = do(*call.arguments(minion))
        if not judged.passed:
            return judge.failed(f"{minion}: {judged.reason}")
    return judge.PASSED


def _call(hook: SaltHook, salt: Salt, args: list[Any], kwargs: dict[str, Any]) -> Judged:
    answers = salt.run_and_wait([hook.on], hook.call.function, args, kwargs, timeout=hook.timeout)
    return judge.of_call(answers.get(hook.on))


def _runner(hook: RunnerHook, salt: Salt, args: list[Any], kwargs: dict[str, Any]) -> Judged:
    value = salt.runner(hook.call.function, args, kwargs, timeout=hook.timeout)
    if value is False:
        return judge.failed("it returned false")
    code = value.get("retcode") if isinstance(value, Mapping) else 0
    return judge.failed(f"it returned retcode {judge.told(code)}") if code else judge.PASSED
