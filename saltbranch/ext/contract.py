"""What all of our runner functions keep to: the shape of a result, and what Salt makes of the caller's words.

Salt exposes every public function that a runner module imports, so the modules import this one whole.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from saltbranch.base import asked_by
from saltbranch.base.asked_by import Asked
from saltbranch.base.errors import SaltbranchError, UsageError
from saltbranch.config import locate
from saltbranch.config.saltenvs import drain_seconds
from saltbranch.git.program import let_go
from saltbranch.promote import bus_event
from saltbranch.repository import clone_or_mirror
from saltbranch.repository.clone_or_mirror import CloneOrMirror
from saltbranch.salt_master import options as master_options
from saltbranch.schedule.texts import CONFIG_OPTION
from saltbranch.serve import bus_event as sync_event

if TYPE_CHECKING:
    from saltbranch.promote.apply_plan import Published
    from saltbranch.promote.hold_all_plan import HoldAllPlan
    from saltbranch.promote.hold_plan import HoldPlan
    from saltbranch.repository.prepared import Prepared
    from saltbranch.serve.run import SaltenvResult

Result = dict[str, Any]
Notify = Callable[["Prepared", "list[SaltenvResult]"], "str | None"]
_Function = TypeVar("_Function", bound=Callable[..., Result])

_LONGEST_WORD = 10_000
_LONGEST_MESSAGE = 2_000
_LONGEST = 3600  # seconds that a caller may ask to wait
_NOT_TAKEN = "no event: the master did not take it"


def plain(function: _Function) -> _Function:
    """Turn expected failures into data, and give every result its exit status.

    ``salt-run`` ends with the ``retcode`` of the result (salt/cli/run.py); whether the job counts as a success
    comes from ``__context__`` (salt/client/mixins.py), which the loader puts into the runner's module.
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Result:
        try:
            result = function(*args, **kwargs)
        except SaltbranchError as err:
            said = _cut(err.message)
            result = {"retcode": err.exit_code, "error": said, "hint": _cut(err.hint)}
        finally:
            let_go()
        function.__globals__["__context__"]["retcode"] = result["retcode"]
        return result

    return wrapper  # type: ignore[return-value]


def asked(claimed_by: object) -> Asked:
    """Who called this function, as Salt tells it, and for whom that one says it is.

    `RunnerClient.low` (salt/client/mixins.py) puts ``__user__`` into the globals of the first function that it finds
    under our name. All of them are wrapped here, so these globals are this module's. It is not an argument: `low` sets
    it after the arguments came in, from what the master authenticated (salt/master.py, ``runner``). Raises UsageError
    for the name that stands for nobody.
    """
    claim = asked_by.name(text(claimed_by))
    if claim == asked_by.ITSELF:
        raise UsageError(
            f"claimed_by={claim}: this name is for what no one asked for", hint="name who asks"
        )
    return Asked(asked_by.name(globals().get("__user__")), claim)


def config_path(opts: Mapping[str, Any]) -> str:
    """The configuration file: that of the master's option, else the system's; never one that the caller names."""
    return os.path.abspath(str(opts.get(CONFIG_OPTION) or locate.SYSTEM_FILE))


def place(opts: Mapping[str, Any]) -> CloneOrMirror:
    """The mirror of this machine, whatever folder the master was started in. Raises ConfigError, RefusedError."""
    return clone_or_mirror.of_machine(config_path(opts))


def text(value: object) -> str | None:
    """A word of the caller: Salt makes numbers of those that look like one (a commit 1234567).

    Raises UsageError for what no word is: callers can give anything.
    """
    if value is None:
        return None
    try:
        found = str(value)
    except (ValueError, RecursionError) as err:  # a number of thousands of digits
        raise UsageError(f"a {type(value).__name__} is not a word") from err
    if "\0" in found:
        raise UsageError(f"{found[:40]!r}... is not a word: it holds a NUL")
    if len(found) > _LONGEST_WORD:
        most = f"it has {len(found):,} characters, and {_LONGEST_WORD:,} is the most"
        raise UsageError(f"{found[:40]!r}... is not a word: {most}")
    return found


def reason(value: object) -> str:
    """Why the caller wants it; empty where none is given. Raises UsageError, also where it is too long."""
    return asked_by.reason(value, "reason") if isinstance(value, str) else word(value)


def _cut(said: str) -> str:
    """A message with the caller's words in it, short enough to be read."""
    return said if len(said) <= _LONGEST_MESSAGE else f"{said[:_LONGEST_MESSAGE]}..."


def word(value: object) -> str:
    """The same where one has to be given; empty where it is not."""
    return text(value) or ""


def words(value: object) -> list[str]:
    """Words of the caller: one text with commas, or a list."""
    found = value if isinstance(value, list) else (text(value) or "").split(",")
    return [word for word in ((text(one) or "").strip() for one in found) if word]


def globs(name: str, value: object) -> list[str]:
    """Ids of minions, or globs of them. Raises UsageError for ``@FILE``: no caller chooses a file of the master."""
    found = words(value)
    for word in found:
        if word.startswith("@"):
            raise UsageError(
                f"{name}={word!r}: a runner reads no file", hint="give the ids themselves"
            )
    return found


def seconds(name: str, value: object) -> float:
    """A number of seconds. Raises UsageError: whoever calls a runner can give anything."""
    number = _number(name, value, "number of seconds")
    if number > _LONGEST:
        raise UsageError(f"{name}={value!r} is more than {_LONGEST}, and a runner must terminate")
    return number


def drain(value: object) -> float | None:
    """How many seconds a switch waits for state runs; None where the caller says nothing. Raises UsageError."""
    found = text(value)
    return None if found is None else drain_seconds(found, "drain")


def jobs(value: object) -> int | None:
    """How many processes: at most one for each core. Raises UsageError."""
    return None if value is None else min(count("jobs", value), os.cpu_count() or 1) or None


def count(name: str, value: object) -> int:
    """A number of things. Raises UsageError."""
    return int(_number(name, value, "number"))


def _number(name: str, value: object, what: str) -> float:
    try:
        number = float(text(value) or "")
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise UsageError(f"{name}={text(value)!r} is not a {what}")
    return number


def notifier(opts: Mapping[str, Any]) -> Notify:
    """What a sync calls after its switches; Salt is at hand, so this process fires the events itself."""

    def tell(_ready: Prepared, results: list[SaltenvResult]) -> str | None:
        for result in results:
            data = sync_event.data(
                result.saltenv, result.branch, result.old or "", result.new or ""
            )
            if not master_options.fire(opts, sync_event.tag(result.saltenv), data):
                return _NOT_TAKEN
        return None

    return tell


def tell_promotion(opts: Mapping[str, Any], done: Published) -> str | None:
    """Fire the event of a promotion; why that failed."""
    tag = bus_event.promotion_tag(done.plan.saltenv)
    return None if master_options.fire(opts, tag, bus_event.promotion_data(done)) else _NOT_TAKEN


def tell_recorded(
    opts: Mapping[str, Any], plan: HoldPlan | HoldAllPlan, *, local: bool
) -> str | None:
    """Fire the event of a hold, unhold, rollback or accept, one for each saltenv; why that failed."""
    for tag, data in bus_event.recorded(plan, local=local):
        if not master_options.fire(opts, tag, data):
            return _NOT_TAKEN
    return None


def tell_verified(opts: Mapping[str, Any], tag: str, data: Mapping[str, object]) -> str:
    """Fire the event of a verification; why that failed."""
    return "" if master_options.fire(opts, tag, data) else _NOT_TAKEN
