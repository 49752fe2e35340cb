"""
Serve the branches of one Salt repository as saltenvs: sync, status, explain and doctor for the master.

The same actions as the command line's, with their results as plain data. An expected failure
comes back as ``{"retcode": N, "error": ..., "hint": ...}`` and makes ``salt-run`` end with N; the
exit codes are those of the command ``saltbranch``.

The configuration is the file ``config``, else what the master's option ``saltbranch_config`` names, else
``/etc/salt/saltbranch.yaml``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from saltbranch import locate, notify, saltmaster
from saltbranch.errors import SaltbranchError, UsageError

if TYPE_CHECKING:
    from saltbranch.actions.outcome import SaltenvResult
    from saltbranch.prepared import Prepared

    __opts__: dict[str, Any]
    __context__: dict[str, Any]

__virtualname__ = "saltbranch"
__func_alias__ = {"sync_": "sync"}

Result = dict[str, Any]
_Function = TypeVar("_Function", bound=Callable[..., Result])


def __virtual__() -> str:
    """The name Salt loads it under."""
    return __virtualname__


def _plain(function: _Function) -> _Function:
    """Turn expected failures into data, and give every result its exit status.

    ``salt-run`` ends with the ``retcode`` of the result (salt/cli/run.py); whether the job counts as a success
    comes from ``__context__`` (salt/client/mixins.py).
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Result:
        try:
            result = function(*args, **kwargs)
        except SaltbranchError as err:
            result = {"retcode": err.exit_code, "error": err.message, "hint": err.hint}
        __context__["retcode"] = result["retcode"]
        return result

    return wrapper  # type: ignore[return-value]


def _config(config: str | None) -> str:
    return str(config or __opts__.get("saltbranch_config") or locate.SYSTEM_FILE)


def _seconds(name: str, value: object) -> float:
    """A number of seconds. Raises UsageError: whoever calls a runner can give anything."""
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"{name}={value!r} is no number of seconds")
    return seconds


def _notify(_ready: Prepared, results: list[SaltenvResult]) -> str | None:
    for result in results:
        data = notify.data(result.saltenv, result.branch, result.old or "", result.new or "")
        if not saltmaster.fire(__opts__, notify.tag(result.saltenv), data):
            return "no event: the master did not take it"
    return None


@_plain
def sync_(
    saltenvs: str | list[str] | None = None,
    plan: bool = False,  # noqa: FBT001, FBT002 - Salt calls by name
    config: str | None = None,
    wait: float = 0,
    expect: str | None = None,
    expect_timeout: float = 60,
    verify: bool = False,  # noqa: FBT001, FBT002
) -> Result:
    """
    Make what every saltenv serves equal to its branch on the remote.

    saltenvs
        A name, a comma-separated text or a list of names; all saltenvs when not given.
    plan
        Only say what would change; retcode 3 if that is anything.
    config
        The saltbranch.yaml to use.
    wait
        Seconds to wait for another saltbranch to finish.
    expect
        A commit that one of the branches must contain, for webhooks.
    expect_timeout
        How many seconds to ask the remote for it.
    verify
        Look at every served file, too.

    Each switched saltenv fires the event ``saltbranch/sync/<saltenv>`` with ``old`` and ``new`` commit.

    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.sync
        salt-run saltbranch.sync test plan=True
    """
    from saltbranch.actions.sync import sync

    # Salt makes numbers of words that look like one: a saltenv 2024, a commit 1234567.
    names = saltenvs if isinstance(saltenvs, list) else str(saltenvs or "").split(",")
    result = sync(
        _config(config),
        only=[str(name).strip() for name in names if name],
        plan=plan,
        wait=_seconds("wait", wait),
        expect=None if expect is None else str(expect),
        expect_timeout=_seconds("expect_timeout", expect_timeout),
        verify=verify,
        notify=_notify,
    )
    return {**result.as_dict(), "retcode": result.exit_code}


@_plain
def status(config: str | None = None) -> Result:
    """
    Say what every saltenv serves, what waits for it, and how the last sync went.

    config
        The saltbranch.yaml to use.

    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.status
    """
    from saltbranch.actions.status import status as action

    return {**action(_config(config)).as_dict(), "retcode": 0}


@_plain
def explain(minion: str, config: str | None = None) -> Result:
    """
    Say which saltenv a minion belongs to and why, and which top entries apply to it.

    minion
        The minion id.
    config
        The saltbranch.yaml to use.

    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.explain web1
    """
    from saltbranch.actions.explain import explain as action

    result = action(_config(config), str(minion))
    return {**result.as_dict(), "retcode": result.exit_code}


@_plain
def doctor(config: str | None = None) -> Result:
    """
    Look for the settings that let saltenvs reach into one another, and say how to mend each.

    config
        The saltbranch.yaml to use.

    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.doctor
    """
    from saltbranch.actions.doctor import doctor as action

    result = action(_config(config))
    return {**result.as_dict(), "retcode": result.exit_code}
