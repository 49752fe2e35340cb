"""
Serve the branches of one Salt repository as saltenvs: sync, status, explain and doctor for the master.

What moves state code between the branches stands in ``saltbranch_promotions.py``, what looks back in
``saltbranch_history.py``.

The same actions as the command line's, with their results as plain data. An expected failure
comes back as ``{"retcode": N, "error": ..., "hint": ...}`` and makes ``salt-run`` end with N; the
exit codes are those of the command ``saltbranch``.

The configuration is the file that the master's option ``saltbranch_config`` names, else
``/etc/salt/saltbranch.yaml``. It is not an argument: whoever may call a runner may not for that reason choose a remote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saltbranch.ext import contract

if TYPE_CHECKING:
    __opts__: dict[str, Any]

__virtualname__ = "saltbranch"
__func_alias__ = {"sync_": "sync"}


def __virtual__() -> str:
    """The name Salt loads it under."""
    return __virtualname__


@contract.plain
def sync_(
    saltenvs: str | list[str] | None = None,
    plan: bool = False,  # noqa: FBT001, FBT002 - Salt calls by name
    wait: float = 0,
    expect: str | None = None,
    expect_timeout: float = 60,
    verify: bool = False,  # noqa: FBT001, FBT002
    drain: str | None = None,
) -> contract.Result:
    """
    Make what every saltenv serves equal to its branch on the remote.

    saltenvs
        A name, a comma-separated text or a list of names; all saltenvs when not given.
    plan
        Only say what would change; retcode 3 if that is anything.
    wait
        Seconds to wait for another saltbranch to finish.
    expect
        A commit that one of the branches must contain, for webhooks.
    expect_timeout
        How many seconds to ask the remote for it.
    verify
        Look at every served file, too.
    drain
        How long to wait for state runs before a saltenv is switched (``120s``), instead of what is configured.

    Each switched saltenv fires the event ``saltbranch/sync/<saltenv>`` with ``old`` and ``new`` commit, and each one
    that waits for state runs ``saltbranch/waiting/<saltenv>`` with the ``runs``.

    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.sync
        salt-run saltbranch.sync test plan=True
    """
    from saltbranch.actions.sync import sync

    result = sync(
        contract.config_path(__opts__),
        only=contract.words(saltenvs),
        plan=plan,
        wait=contract.seconds("wait", wait),
        expect=contract.text(expect),
        expect_timeout=contract.seconds("expect_timeout", expect_timeout),
        verify=verify,
        drain=contract.drain(drain),
        notify=contract.notifier(__opts__),
    )
    return {**result.as_dict(), "retcode": result.exit_code}


@contract.plain
def webhook(ref: str, commit: str = "") -> contract.Result:
    """
    Serve what a git server said was pushed: what the reactor file of ``saltbranch install webhook`` calls.

    Several pushes in a row make one sync: while one call serves, one more waits and serves for all the others, which
    return at once with ``coalesced``.

    ref
        What was pushed, in full: ``refs/heads/develop``.
    commit
        Where it is now; the remote is asked again until it shows that, for half a minute.

    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.webhook refs/heads/develop
    """
    from saltbranch.actions.webhook import webhook as action

    result = action(
        contract.config_path(__opts__),
        contract.word(ref),
        contract.word(commit),
        notify=contract.notifier(__opts__),
    )
    return {**result.as_dict(), "retcode": result.exit_code}


@contract.plain
def status() -> contract.Result:
    """
    Say what every saltenv serves, what waits for it, and how the last sync went.

    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.status
    """
    from saltbranch.actions.status import status as action

    return {**action(contract.config_path(__opts__)).as_dict(), "retcode": 0}


@contract.plain
def masters() -> contract.Result:
    """
    Say what each master serves by the journal, when it recorded that last, and which lags. This master asks no other
    one: it tells what its last sync has read.

    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.masters
    """
    from saltbranch.actions.masters import masters as action
    from saltbranch.repository.workplace import open_mirror

    return {**action(open_mirror(contract.config_path(__opts__))).as_dict(), "retcode": 0}


@contract.plain
def explain(minion: str) -> contract.Result:
    """
    Say which saltenv a minion belongs to and why, and which top entries apply to it.

    minion
        The minion id.
    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.explain web1
    """
    from saltbranch.actions.explain import explain as action

    result = action(contract.place(__opts__), contract.word(minion))
    return {**result.as_dict(), "retcode": result.exit_code}


@contract.plain
def verify(
    saltenv: str,
    minions: str | list[str] | None = None,
    plan: bool = False,  # noqa: FBT001, FBT002 - Salt calls by name
    claimed_by: str | None = None,
) -> contract.Result:
    """
    Prove that the servers of a saltenv work: run the checks that the model has for it.

    saltenv
        Which.
    minions
        Only these: globs of ids, as text or list. The gate ``verified`` wants all of them.
    plan
        Only say what would be run, and on whom; retcode 3.
    claimed_by
        For whom, as in ``promote``.

    What came of it is recorded in the journal with the commit that is served, and told by the event
    ``saltbranch/verify/<saltenv>``; retcode 1 where a check did not pass.
    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.verify stage
        salt-run saltbranch.verify prod minions='web*'
    """
    from saltbranch.actions.verify import verify as action

    def fire(_salt_config: str, tag: str, data: dict[str, object]) -> str:
        return contract.tell_verified(__opts__, tag, data)

    result = action(
        contract.config_path(__opts__),
        contract.word(saltenv),
        minions=contract.globs("minions", minions),
        plan=plan,
        fire=fire,
        asked=contract.asked(claimed_by),
    )
    return {**result.as_dict(), "retcode": result.exit_code}


@contract.plain
def doctor() -> contract.Result:
    """
    Look for the settings that let saltenvs reach into one another, and say how to fix each.

    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.doctor
    """
    from saltbranch.actions.doctor import doctor as action

    result = action(contract.config_path(__opts__))
    return {**result.as_dict(), "retcode": result.exit_code}


@contract.plain
def check(
    refs: str | list[str] | None = None,
    since: str | None = None,
    fail_on: str = "warning",
    static: bool = False,  # noqa: FBT001, FBT002 - Salt calls by name
    minions: str | list[str] | None = None,
    saltenv: str | None = None,
) -> contract.Result:
    """
    Look for mistakes, dangers and secrets in what the branches hold, and compile it for the fleet.

    Where the master's option ``saltbranch_check_python`` names a Python with another Salt, that compiles,
    too. It is not an argument: whoever may call this runner may not for that reason start any program.

    refs
        Saltenvs, branches, tags or commits: a name, a comma-separated text or a list; the branches of
        all saltenvs when not given.
    since
        Only what is new against this ref.
    fail_on
        The least severity that makes the retcode 3: ``error``, ``warning`` or ``note``.
    static
        Look at the files alone, compile nothing.
    minions
        Only these minions: globs of ids, as text or list.
    saltenv
        Only the minions of this saltenv.
    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.check
        salt-run saltbranch.check stage since=prod
    """
    from saltbranch.actions.check import check as action
    from saltbranch.base.errors import UsageError
    from saltbranch.check.commit import cache_folder
    from saltbranch.check.finding import SEVERITIES
    from saltbranch.check.highstates import Compiling
    from saltbranch.schedule.nightly import PYTHON_OPTION

    level = next((s for s in SEVERITIES if s == fail_on), None)
    if level is None:
        raise UsageError(f"fail_on={fail_on!r} is none of {', '.join(SEVERITIES)}")
    wanted = contract.words(refs)
    python = contract.text(__opts__.get(PYTHON_OPTION))
    compiling = Compiling(contract.globs("minions", minions), contract.text(saltenv), python=python)
    result = action(
        contract.place(__opts__),
        wanted,
        every_branch=not wanted,
        since=contract.text(since),
        fail_on=level,
        compiling=None if static else compiling,
        cache=cache_folder(),
    )
    return {**result.as_dict(), "retcode": result.exit_code}
