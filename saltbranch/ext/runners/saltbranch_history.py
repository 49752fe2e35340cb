"""
What went where, when, why, and what the next promotion would change and is stopped by: history, where, diff and
why_not.

They are functions of the runner ``saltbranch``, too: Salt puts all modules of one virtual name together
(salt/loader/lazy.py). The results are those of ``saltbranch VERB --json``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from saltbranch.ext import contract

if TYPE_CHECKING:
    __opts__: dict[str, Any]

__virtualname__ = "saltbranch"


def __virtual__() -> str:
    """The name Salt loads it under."""
    return __virtualname__


@contract.plain
def why_not(
    saltenv: str,
    commit: str | None = None,
) -> contract.Result:
    """
    Say what stands in the way of the next promotion to ``saltenv``, and when it will pass.

    saltenv
        The saltenv to promote to.
    commit
        An earlier commit of the source.
    The retcode is 4 when something does, 0 when nothing does or nothing is to be promoted.

    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.why_not prod
    """
    from saltbranch.actions.why_not import why_not as action
    from saltbranch.ext.caller import Runner

    _, found = action(Runner(__opts__), contract.word(saltenv), commit=contract.text(commit))
    return {**found.as_dict(), "retcode": found.exit_code}


@contract.plain
def diff(
    before: str,
    after: str | None = None,
    minions: str | list[str] | None = None,
    saltenv: str | None = None,
    jobs: int | None = None,
    cache: bool = True,  # noqa: FBT001, FBT002 - Salt calls by name
) -> contract.Result:
    """
    Compile pillar and highstate of the fleet on two commits, in a sandbox, and compare them.

    before
        A saltenv, branch, tag or commit. A saltenv alone is compared with what a promotion would make of it.
    after
        What it is compared with.
    minions
        Only these: globs of ids, in a comma-separated text or a list.
    saltenv
        Only the minions of this saltenv.
    jobs
        How many processes; one for each core when not given.
    cache
        Use results of earlier runs.
    The retcode is 0 for the same, 3 for different, 20 when some minion could not be compiled wholly, 1 when none could.

    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.diff prod
        salt-run saltbranch.diff v1.4 develop minions='web*'
    """
    from saltbranch.actions.diff import diff as action

    found = action(
        contract.place(__opts__),
        [
            contract.word(before),
            *([contract.word(after)] if after is not None else []),
        ],
        minions=contract.globs("minions", minions),
        saltenv=contract.text(saltenv),
        jobs=contract.jobs(jobs),
        cache=cache,
    )
    return {**found.as_dict(), "retcode": found.exit_code}


@contract.plain
def history(
    saltenv: str | None = None,
    limit: int = 50,
    since: str | None = None,
    syncs: bool = False,  # noqa: FBT001, FBT002 - Salt calls by name
    fetch: bool = True,  # noqa: FBT001, FBT002
) -> contract.Result:
    """
    List what was done: promotions, hotfixes, holds, rollbacks, overrides; the newest first.

    saltenv
        Only this one; all saltenvs when not given.
    limit
        How many entries; 0 for all.
    since
        Not what is older: ``7d``, ``2026-03-01``.
    syncs
        What the masters switched, too, where they record it.
    fetch
        Read the remote first; otherwise what was last read counts.
    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.history prod since=7d
    """
    from saltbranch.actions import history as action
    from saltbranch.base.durations import parse_since
    from saltbranch.ext.caller import Runner

    begin = parse_since(contract.word(since), time.time()) if since is not None else None
    most = contract.count("limit", limit)
    work, found = action.tell(
        Runner(__opts__), contract.text(saltenv), limit=most, since=begin, syncs=syncs, fetch=fetch
    )
    return {**found.as_dict(), "problems": work.problems, "retcode": 0}


@contract.plain
def where(
    what: str,
    kind: str | None = None,
    fetch: bool = True,  # noqa: FBT001, FBT002
) -> contract.Result:
    """
    Say in which saltenvs a commit, a ticket or the last change of a path is, since when, and how it came.

    what
        A hash, tag, branch, promotion, ticket, or a path of the repository.
    kind
        Take it for a ``commit``, a ``ticket`` or a ``path``, where it could be more than one of them.
    fetch
        Read the remote first; otherwise what was last read counts.
    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.where KEY-12
    """
    from saltbranch.actions import where as action
    from saltbranch.base.errors import UsageError
    from saltbranch.ext.caller import Runner
    from saltbranch.history.presence import COMMIT, PATH, TICKET, Kind

    kinds: tuple[Kind, ...] = (COMMIT, TICKET, PATH)
    only = next((known for known in kinds if known == kind), None)
    if kind is not None and only is None:
        raise UsageError(f"kind={contract.word(kind)}: unknown", hint=f"known: {', '.join(kinds)}")
    work, found = action.tell(Runner(__opts__), contract.word(what), only=only, fetch=fetch)
    return {**found.as_dict(), "problems": work.problems, "retcode": 0}


@contract.plain
def changelog(
    saltenv: str,
    old: str | None = None,
    new: str | None = None,
    fetch: bool = True,  # noqa: FBT001, FBT002
) -> contract.Result:
    """
    Say what a saltenv got by its last promotion, or between two commits, grouped by ticket or feature.

    saltenv
        The saltenv.
    old
        Where to begin: a commit, branch, tag or promotion.
    new
        Where to end; with this alone, what the promotion brought that it came by.
    fetch
        Read the remote first; otherwise what was last read counts.
    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.changelog prod
        salt-run saltbranch.changelog prod old=v1.3 new=v1.4
    """
    from saltbranch.actions import changelog as action
    from saltbranch.ext.caller import Runner

    work, found = action.tell(
        Runner(__opts__),
        contract.word(saltenv),
        old=contract.text(old),
        new=contract.text(new),
        fetch=fetch,
    )
    return {**found.as_dict(), "problems": work.problems, "retcode": 0}
