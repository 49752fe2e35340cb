"""Jobs for minions of the running salt-master, published and followed through a process that has Salt imported.

    with Jobs("/etc/salt/master") as jobs:
        jid = jobs.publish(["web1", "web2"], "state.apply", kwargs={"test": True})
        answers = jobs.wait(jid, ["web1", "web2"], timeout=600)

What minions return is taken from the master's job cache only.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saltbranch.base import proc
from saltbranch.base.errors import SaltbranchError, SaltError

_START = 90.0  # seconds in which Salt is imported and the first order answered
_ANSWER = 120.0
_LOOK = 1.0  # seconds after which the job cache is read though nothing was heard
_JID = re.compile(r"[0-9]{8,32}(_[0-9]+)?")
_NONE: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Return:
    """What a minion returned. value: as JSON has it, long texts cut. success: as the minion says.

    problem: why `value` is None though something was returned; empty otherwise.
    """

    minion: str
    value: Any
    retcode: int = 0
    success: bool = True
    problem: str = ""


class Jobs:
    """The running master that `salt_config` configures. Every method raises SaltError; a context manager."""

    def __init__(self, salt_config: str) -> None:
        """Start the process, which imports Salt while others go on; `salt_config` is the master's file."""
        self._salt_config = salt_config
        self._child: proc.Companion | None = None
        self._started = False
        self._options: Mapping[str, float] = {}
        self._begin()

    def __enter__(self) -> Jobs:
        """Itself."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """End the process."""
        self.close()

    def close(self) -> None:
        """End the process; what was published goes on. May be called again."""
        if self._child:
            self._child.close()
            self._child = None

    def _begin(self) -> proc.Companion:
        # Locks are kept by whatever inherits them, and this must not keep one.
        code = (
            "import os; os.closerange(3, 1 << 20);"
            " from saltbranch.salt_master import jobs_child; jobs_child.main()"
        )
        argv = proc.python(code, self._salt_config)
        self._child, self._started = proc.Companion(argv, os.environ), False
        return self._child

    def _ask(self, do: str, timeout: float = _ANSWER, **arguments: object) -> dict[str, Any]:
        child = self._child or self._begin()
        timeout = timeout if self._started else timeout + _START
        try:
            answer = json.loads(child.ask(json.dumps({"do": do, **arguments}), timeout))
        except (SaltbranchError, ValueError) as err:
            self.close()
            raise SaltError(
                f"cannot ask the salt-master: {err}",
                hint="is it running? systemctl status salt-master",
            ) from err
        except BaseException:
            self.close()  # an answer that nobody reads would be taken for that to the next order
            raise
        self._started = True
        if "error" in answer:
            raise SaltError(str(answer["error"]), hint=str(answer.get("hint", "")))
        return dict(answer)

    @property
    def patience(self) -> float:
        """How many seconds a minion that is up takes at the most to answer, as the master has it."""
        return self.seconds("timeout") + self.seconds("gather_job_timeout")

    def seconds(self, option: str) -> float:
        """The master's option `timeout`, `gather_job_timeout` or `keep_jobs_seconds`."""
        self._options = self._options or self._ask("options")
        return self._options[option]

    def accepted(self) -> list[str]:
        """The ids of minions with accepted keys."""
        return list(self._ask("accepted")["minions"])

    def new_jid(self) -> str:
        """An id for a job, to be written down before it is published."""
        return str(self._ask("new_jid")["jid"])

    def is_published(self, jid: str) -> bool:
        """Whether the master has published that job."""
        return bool(self._ask("is_published", jid=_checked(jid))["published"])

    def publish(
        self,
        minions: Iterable[str],
        function: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = _NONE,
        *,
        jid: str = "",
    ) -> str:
        """Publish a job for just these minions, by their ids; its id. jid: one of `new_jid`.

        A job that is published twice under one id runs once: minions take an id only once.
        """
        ids = sorted(set(minions))
        if not ids:
            raise SaltError("a job for nobody is not published")
        told = self._ask(
            "publish",
            minions=ids,
            function=function,
            args=list(args),
            kwargs=dict(kwargs),
            jid=_checked(jid) if jid else "",
        )
        return str(told["jid"])

    def returns(self, jid: str, but: Collection[str] = ()) -> dict[str, Return]:
        """What minions have returned of a job so far. but: those that are not wanted any more.

        Whoever is not meant by the job may be among them: any minion may return what it likes under its own id.
        """
        found: dict[str, Return] = {}
        while True:
            known = sorted({*but, *found})
            told = self._ask("returns", jid=_checked(jid), but=known)
            found |= {name: Return(name, **one) for name, one in told["returns"].items()}
            if not told["more"]:
                return found

    def wait(
        self,
        jid: str,
        minions: Iterable[str],
        *,
        timeout: float,
        known: Collection[str] = (),
        on_return: Callable[[Return], None] | None = None,
        go_on: Callable[[], bool] = lambda: True,
    ) -> dict[str, Return]:
        """The returns of those `minions` that come within `timeout` seconds. on_return: told each as it comes.

        known: who has returned before, which need not be read again. go_on: asked each second; False ends it
        before the time.
        """
        wanted, found, others = set(minions), dict[str, Return](), set(known)
        end = time.monotonic() + timeout
        while True:
            for name, one in self.returns(jid, {*found, *others}).items():
                if name not in wanted:
                    others.add(name)
                    continue
                found[name] = one
                if on_return:
                    on_return(one)
            left = end - time.monotonic()
            if len(found) == len(wanted) or left <= 0 or not go_on():
                return found
            self._ask("wait", jid=jid, have=len(found) + len(others), seconds=min(left, _LOOK))

    def run_and_wait(
        self,
        minions: Iterable[str],
        function: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = _NONE,
        *,
        timeout: float,
    ) -> dict[str, Return | None]:
        """Publish a job; what each of `minions` returns within `timeout` seconds, None where that is nothing."""
        ids = sorted(set(minions))
        if not ids:
            return {}
        found = self.wait(self.publish(ids, function, args, kwargs), ids, timeout=timeout)
        return {name: found.get(name) for name in ids}

    def up(self, minions: Iterable[str]) -> set[str]:
        """Who of `minions` answers a ping in the time that the master gives (timeout and gather_job_timeout)."""
        answers = self.run_and_wait(minions, "test.ping", timeout=self.patience)
        return {name for name, one in answers.items() if one}

    def find_job(self, jid: str, minions: Iterable[str]) -> dict[str, bool]:
        """Whether each of `minions` still runs a job or has it in its queue; who does not answer is not there."""
        patience = self.seconds("gather_job_timeout")
        answers = self.run_and_wait(minions, "saltutil.find_job", [_checked(jid)], timeout=patience)
        return {
            name: isinstance(one.value, Mapping) and str(one.value.get("jid")) == jid
            for name, one in answers.items()
            if one
        }

    def still_running(self, jid: str, minions: Iterable[str]) -> set[str]:
        """Who of `minions` says that the job still runs there."""
        return {name for name, runs in self.find_job(jid, minions).items() if runs}

    def fire(self, tag: str, data: Mapping[str, Any]) -> None:
        """Put an event on the master's bus."""
        self._ask("fire", tag=tag, data=dict(data))

    def runner(
        self,
        function: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = _NONE,
        *,
        timeout: float = 300.0,
    ) -> object:
        """What a runner on the master returns; one that takes longer than `timeout` seconds is ended."""
        told = self._ask("runner", timeout, function=function, args=list(args), kwargs=dict(kwargs))
        return told["value"]


def _checked(jid: str) -> str:
    """`jid`, which names a folder."""
    if not _JID.fullmatch(jid):
        raise SaltError(f"{jid[:50]!r} is not the id of a job")
    return jid
