"""The process that publishes jobs for jobs.py: it has Salt imported, which takes a second, only once.

It reads orders from stdin and answers each with a line, both JSON, and ends with its stdin. An order is
``{"do": NAME, ...}`` with the arguments of the method of that name below; what that returns is the answer, or
``{"error": TEXT, "hint": TEXT}``.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from saltbranch.base.errors import SaltbranchError, SaltError
from saltbranch.salt_master import options as master_options
from saltbranch.salt_master.job_client import TOO_LARGE, JobClient

_LONGEST = (
    20_000  # characters of a text in a return; the rest of a long comment tells nobody anything
)
_MOST = 20_000  # entries of a list or a table in it
_DEEPEST = 30
_LARGEST = 2 << 20  # characters of one return as JSON
_ANSWER = 4 << 20  # after as many characters the rest is asked for anew


class Child:
    """Answers orders for the master that `path` configures."""

    def __init__(self, path: str) -> None:
        """Raises SaltError."""
        master = master_options.read(path)
        if not master.exists:
            raise SaltError(
                f"there is no salt-master here ({path})",
                hint="run it on the master, or set salt_config:",
            )
        self._opts = master.opts
        if not self._opts.get("job_cache") or self._opts.get("ext_job_cache"):
            raise SaltError(
                f"the master of {path} keeps no returns of minions",
                hint="set job_cache: True and no ext_job_cache there, and restart it",
            )
        self._client = JobClient(self._opts)

    def options(self) -> dict[str, Any]:
        """The options of the master that jobs.py goes by, in seconds."""
        return {
            name: float(self._opts.get(name) or default)
            for name, default in (
                ("timeout", 5),
                ("gather_job_timeout", 10),
                ("keep_jobs_seconds", 86400),
            )
        }

    def accepted(self) -> dict[str, Any]:
        """The ids with accepted keys."""
        return {"minions": self._client.accepted()}

    def new_jid(self) -> dict[str, Any]:
        """A new id for a job."""
        return {"jid": self._client.new_jid()}

    def is_published(self, jid: str) -> dict[str, Any]:
        """Whether a job is in the cache."""
        return {"published": self._client.is_published(jid)}

    def publish(
        self,
        minions: Sequence[str],
        function: str,
        *,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        jid: str,
    ) -> dict[str, Any]:
        """Publish a job."""
        return {"jid": self._client.publish_calls(minions, [(function, args, kwargs)], jid)}

    def returns(self, jid: str, but: Sequence[str]) -> dict[str, Any]:
        """Returns of those that are not in `but`; ``more``: not all of them."""
        found: dict[str, Any] = {}
        left = _ANSWER
        for name, one in self._client.returns(jid, set(but)).items():
            text = json.dumps(_return(one))
            found[name] = json.loads(text)
            left -= len(text)
            if left < 0:
                return {"returns": found, "more": True}
        return {"returns": found, "more": False}

    def wait(self, jid: str, have: int, seconds: float) -> dict[str, Any]:
        """Wait for a return."""
        self._client.wait(jid, have, seconds)
        return {}

    def fire(self, tag: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Put an event on the bus."""
        self._client.fire(tag, data)
        return {}

    def runner(
        self, function: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What a runner on the master returns."""
        return {"value": _bounded(self._client.runner(function, args, kwargs))[0]}


def _return(one: Mapping[str, Any]) -> dict[str, Any]:
    value, problem = _bounded(one.get("return"))
    retcode, success = one.get("retcode"), one.get("success")
    return {
        "value": value,
        "retcode": retcode if isinstance(retcode, int) else 0,
        "success": success if isinstance(success, bool) else True,
        "problem": one.get("problem") or problem,
    }


def _bounded(value: Any) -> tuple[Any, str]:
    """`value` as JSON has it, and why it is not there, where it is too large."""
    try:
        plain = _plain(value, _DEEPEST)
        return (plain, "") if len(json.dumps(plain)) <= _LARGEST else (None, TOO_LARGE)
    except RecursionError:
        return None, TOO_LARGE


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if depth <= 0:
        raise RecursionError
    if isinstance(value, Mapping):
        items = list(value.items())[:_MOST]
        return {str(key)[:_LONGEST]: _plain(one, depth - 1) for key, one in items}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one, depth - 1) for one in list(value)[:_MOST]]
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


_ORDERS = (
    "options", "accepted", "new_jid", "is_published", "publish", "returns", "wait", "runner", "fire",
)  # fmt: skip


def main() -> None:
    """Answer orders; `sys.argv`: the master's configuration file."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # what Salt and runners print is no answer
    logging.disable(logging.CRITICAL)
    child: Child | None = None
    for line in sys.stdin:
        order = json.loads(line)
        name = order.pop("do")
        try:
            child = child or Child(sys.argv[1])
            answer = getattr(child, name)(**order) if name in _ORDERS else {}
        except SaltbranchError as err:
            answer = {"error": err.message, "hint": err.hint}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
