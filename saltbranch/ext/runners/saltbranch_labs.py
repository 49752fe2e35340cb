"""
Labs: spare saltenvs for branches that are not merged yet, with the same results and exit codes as the command
``saltbranch lab``.

They are functions of the runner ``saltbranch``, too, as those in ``saltbranch_promotions.py``: to call one is to
agree, and ``plan=True`` only shows what would be done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from saltbranch.ext import contract

if TYPE_CHECKING:
    from saltbranch.actions.shared.lab_plan import LabPlan
    from saltbranch.base.asked_by import Asked
    from saltbranch.repository.workplace import Workplace

    __opts__: dict[str, Any]

__virtualname__ = "saltbranch"


def __virtual__() -> str:
    """The name Salt loads it under."""
    return __virtualname__


@contract.plain
def lab_claim(
    branch: str,
    minions: str | list[str] | None = None,
    length: str | None = None,
    lab: str | None = None,
    plan: bool = False,  # noqa: FBT001, FBT002 - Salt calls by name
    claimed_by: str | None = None,
) -> contract.Result:
    """
    Give a branch a lab, which this master serves at once and others from their next sync on.

    branch
        A feature, hotfix or release branch, with or without its prefix.
    minions
        Ids that get the lab instead of their own saltenv: a text with commas, or a list.
    length
        How long: ``8h``, ``3d``; three days when not given, 30 at most.
    lab
        Which one, such as ``lab2``; the lowest free one when not given.
    plan
        Only say what would be recorded; retcode 3.
    claimed_by
        For whom, as in ``promote``.
    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.lab_claim feature/key-123-ntp minions=test1 length=8h
    """
    from saltbranch.actions import lab as action

    def build(work: Workplace) -> LabPlan:
        return action.plan_claim(
            work,
            contract.word(branch),
            minions=contract.words(minions),
            seconds=action.seconds_of(contract.text(length), "length"),
            number=action.number_of_lab(contract.text(lab), "lab"),
        )

    return _record(build, plan=plan, asked=contract.asked(claimed_by))


@contract.plain
def lab_extend(
    having: str,
    length: str | None = None,
    plan: bool = False,  # noqa: FBT001, FBT002
    claimed_by: str | None = None,
) -> contract.Result:
    """
    Let a branch keep its lab, for so long from now.

    having
        The branch, or the lab.
    length
        As in ``lab_claim``.
    plan
        Only say what would be recorded; retcode 3.
    claimed_by
        For whom, as in ``promote``.
    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.lab_extend lab2 length=1d
    """
    from saltbranch.actions import lab as action

    def build(work: Workplace) -> LabPlan:
        seconds = action.seconds_of(contract.text(length), "length")
        return action.plan_extend(work, contract.word(having), seconds=seconds)

    return _record(build, plan=plan, asked=contract.asked(claimed_by))


@contract.plain
def lab_release(
    having: str,
    plan: bool = False,  # noqa: FBT001, FBT002
    claimed_by: str | None = None,
) -> contract.Result:
    """
    Give a lab back; its minions are in their own saltenv again.

    having
        The branch, or the lab.
    plan
        Only say what would be recorded; retcode 3.
    claimed_by
        For whom, as in ``promote``.
    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.lab_release feature/key-123-ntp
    """
    from saltbranch.actions import lab as action

    def build(work: Workplace) -> LabPlan:
        return action.plan_release(work, contract.word(having))

    return _record(build, plan=plan, asked=contract.asked(claimed_by))


@contract.plain
def lab_list() -> contract.Result:
    """
    Say which branch has which lab, with whose minions, until when, and what is free.

    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.lab_list
    """
    from saltbranch.actions import lab as action
    from saltbranch.ext.caller import Runner

    caller: Runner[LabPlan] = Runner(__opts__)
    return {**action.listed(caller.open()).as_dict(), "retcode": 0}


def _record(build: Callable[[Workplace], LabPlan], *, plan: bool, asked: Asked) -> contract.Result:
    from saltbranch.actions.shared import recording
    from saltbranch.actions.shared.recording import Recorded
    from saltbranch.ext.caller import Runner

    done = recording.run(Runner(__opts__, asked), build, plan=plan)
    found = done if isinstance(done, Recorded) else done.plan
    return {**found.as_dict(), "retcode": done.exit_code}
