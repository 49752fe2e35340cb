"""
Bring minions that come up for the first time to where their ids belong. The reactor that ``saltbranch install
reactor`` writes calls it at each start of a minion.

It is a function of the runner ``saltbranch``, too, as ``saltbranch_promotions.py`` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saltbranch.ext import contract

if TYPE_CHECKING:
    __opts__: dict[str, Any]

__virtualname__ = "saltbranch"


def __virtual__() -> str:
    """The name Salt loads it under."""
    return __virtualname__


@contract.plain
def new_minions(minion: str | None = None) -> contract.Result:
    """
    Sync the modules and refresh the pillar of minions that this master did not know, and tell of each by an event.

    minion
        The id of a minion that is said to have started; without it only those are gone on with that were left.

    A minion is known by its id and its key. Where its saltenv has ``first_highstate: true``, it applies its highstate,
    once. Each fires ``saltbranch/minion/new/<saltenv>``, and one that is in no saltenv or in two
    ``saltbranch/minion/unplaced``; nothing is done to that one.

    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.new_minions
    """
    from saltbranch.actions.new_minions import new_minions as action
    from saltbranch.ext.minion_jobs import SaltMaster

    master = SaltMaster(__opts__)
    try:
        found = action(
            contract.config_path(__opts__),
            master,
            __opts__.get("nodegroups") or {},
            contract.text(minion),
        )
    finally:
        master.close()
    return {**found.as_dict(), "retcode": 0}
