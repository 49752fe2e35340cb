"""
Apply what a saltenv serves to its minions, in batches, with the same results and exit codes as the command
``saltbranch apply``.

They are functions of the runner ``saltbranch``, too, as those in ``saltbranch_promotions.py``: to call one is to
agree, and ``plan=True`` only shows what would be done. Nobody sits at a terminal: with ``pause=ask`` it stops after
each batch, and ``apply_resume`` goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saltbranch.ext import contract

if TYPE_CHECKING:
    from saltbranch.actions.apply import Applied, ApplyPlanned
    from saltbranch.apply.make_plan import ApplyPlan
    from saltbranch.ext.caller import Runner

    __opts__: dict[str, Any]

__virtualname__ = "saltbranch"
__func_alias__ = {"apply_": "apply"}


def __virtual__() -> str:
    """The name Salt loads it under."""
    return __virtualname__


@contract.plain
def apply_(
    saltenv: str,
    canary: str | None = None,
    batch: str | None = None,
    pause: str | None = None,
    timeout: str = "30m",
    max_failures: str = "0",
    max_failures_per_batch: str | None = None,
    only: str | None = None,
    on_failure: str = "stop",
    plan: bool = False,  # noqa: FBT001, FBT002 - Salt calls by name
    claimed_by: str | None = None,
) -> contract.Result:
    """
    Apply what ``saltenv`` serves to its minions: first a test run, then ``state.apply`` in batches.

    saltenv
        Which.
    canary
        The minion that goes first, or how many do.
    batch
        How many at a time: ``4``, ``10%``; all at once when not given.
    pause
        How long to wait after each batch: ``2m``. With ``ask`` it stops there, and ``apply_resume`` goes on.
    timeout
        How long a minion may take.
    max_failures
        How many minions may go wrong before it stops: ``2``, ``10%``.
    max_failures_per_batch
        The same for each batch.
    only
        ``changed`` leaves out minions for which the test run found nothing.
    on_failure
        ``stop``, or ``rollback``: serve what was served before, and apply that where it was applied. ``ask`` stops,
        since there is nobody to ask.
    plan
        Only say what would be done; retcode 3 if that is anything.
    claimed_by
        For whom, as in ``promote``.

    It returns when it has ended: from a reactor or an orchestration give it the time. Its progress is told by the
    event ``saltbranch/apply/<saltenv>``. After a kill the same call goes on.
    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.apply prod canary=1 batch=10% plan=True
        salt-run saltbranch.apply prod canary=1 batch=10% on_failure=rollback
    """
    from saltbranch.actions import apply as action
    from saltbranch.actions.shared.applying import Watching
    from saltbranch.apply.options import Options

    options = Options(
        canary=contract.word(canary),
        batch=contract.word(batch),
        pause=contract.word(pause),
        timeout=contract.word(timeout),
        max_failures=contract.word(max_failures),
        max_failures_per_batch=contract.word(max_failures_per_batch),
        only=contract.word(only),
        on_failure=contract.word(on_failure),
    )
    caller = _runner(claimed_by)
    return _told(action.apply(caller, contract.word(saltenv), options, Watching(), plan=bool(plan)))


@contract.plain
def apply_resume(
    id: str,  # noqa: A002
    rollback: bool = False,  # noqa: FBT001, FBT002 - Salt calls by name
    claimed_by: str | None = None,
) -> contract.Result:
    """
    Go on with an apply that was stopped or killed; nobody is applied to twice.

    id
        Its id, as ``apply_status`` tells it.
    rollback
        Take it back instead.
    claimed_by
        For whom, as in ``promote``.
    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.apply_resume 20261129T180000Z-0a1b2c3d
    """
    from saltbranch.actions import apply as action
    from saltbranch.actions.shared.applying import Watching

    caller, back = _runner(claimed_by), bool(rollback)
    return _told(action.resume(caller, contract.word(id), Watching(), back=back))


@contract.plain
def apply_abort(id: str, claimed_by: str | None = None) -> contract.Result:  # noqa: A002
    """
    End an apply for good. One that runs ends after the batch under way, and ``ends`` is true.

    id
        Its id.
    claimed_by
        For whom, as in ``promote``.
    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.apply_abort 20261129T180000Z-0a1b2c3d
    """
    from saltbranch.actions import apply as action

    return {**action.abort(_runner(claimed_by), contract.word(id)).as_dict(), "retcode": 0}


@contract.plain
def apply_status(saltenv: str | None = None) -> contract.Result:
    """
    Say how the last apply of each saltenv went, or goes.

    saltenv
        Only this one.
    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.apply_status prod
    """
    from saltbranch.actions import apply as action

    return {**action.status(_runner(None), contract.text(saltenv)).as_dict(), "retcode": 0}


def _runner(claimed_by: object) -> Runner[ApplyPlan]:
    from saltbranch.ext.caller import Runner

    return Runner(__opts__, contract.asked(claimed_by))


def _told(done: Applied | ApplyPlanned) -> contract.Result:
    return {**done.as_dict(), "retcode": done.exit_code}
