"""What all of our runner functions keep to: the shape of a result, and what Salt makes of the caller's words.

Salt exposes every public function that a runner module imports, so the modules import this one whole.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from saltbranch import locate, notify, saltmaster
from saltbranch.errors import SaltbranchError, UsageError

if TYPE_CHECKING:
    from saltbranch.actions.outcome import SaltenvResult
    from saltbranch.actions.publish import Published
    from saltbranch.prepared import Prepared

Result = dict[str, Any]
Notify = Callable[["Prepared", "list[SaltenvResult]"], "str | None"]
_Function = TypeVar("_Function", bound=Callable[..., Result])

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
            result = {"retcode": err.exit_code, "error": err.message, "hint": err.hint}
        function.__globals__["__context__"]["retcode"] = result["retcode"]
        return result

    return wrapper  # type: ignore[return-value]


def config_path(opts: Mapping[str, Any], config: object) -> str:
    """The configuration file: `config`, else that of the master's option, else the system's."""
    return str(config or opts.get("saltbranch_config") or locate.SYSTEM_FILE)


def text(value: object) -> str | None:
    """A word of the caller: Salt makes numbers of those that look like one (a commit 1234567)."""
    return None if value is None else str(value)


def words(value: object) -> list[str]:
    """Words of the caller: one text with commas, or a list."""
    found = value if isinstance(value, list) else str("" if value is None else value).split(",")
    return [word for word in (str(one).strip() for one in found) if word]


def seconds(name: str, value: object) -> float:
    """A number of seconds. Raises UsageError: whoever calls a runner can give anything."""
    return _number(name, value, "number of seconds")


def count(name: str, value: object) -> int:
    """A number of things. Raises UsageError."""
    return int(_number(name, value, "number"))


def _number(name: str, value: object, what: str) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise UsageError(f"{name}={value!r} is no {what}")
    return number


def notifier(opts: Mapping[str, Any]) -> Notify:
    """What a sync calls after its switches; Salt is at hand, so this process fires the events itself."""

    def tell(_ready: Prepared, results: list[SaltenvResult]) -> str | None:
        for result in results:
            data = notify.data(result.saltenv, result.branch, result.old or "", result.new or "")
            if not saltmaster.fire(opts, notify.tag(result.saltenv), data):
                return _NOT_TAKEN
        return None

    return tell


def tell_promotion(opts: Mapping[str, Any], done: Published) -> str | None:
    """Fire the event of a promotion; why that failed."""
    tag = notify.promotion_tag(done.plan.saltenv)
    return None if saltmaster.fire(opts, tag, notify.promotion_data(done)) else _NOT_TAKEN
