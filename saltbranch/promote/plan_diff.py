"""The compiled diff of a plan: what it changes for the minions of its saltenv.

Imports neither Salt nor the compiler before it is known that there is a fleet to compile for.
"""

from __future__ import annotations

from dataclasses import replace

from saltbranch.base.errors import Interrupted, SaltbranchError
from saltbranch.config.gates import DiffGate
from saltbranch.config.model import Saltenv
from saltbranch.git.merge import UP_TO_DATE
from saltbranch.promote import gates_by_verb
from saltbranch.promote.plan import Plan, Step
from saltbranch.promote.request import Request
from saltbranch.repository.workplace import Workplace
from saltbranch.salt_master import options as master_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from saltbranch.preview.fleet_diff import FleetDiff
    from saltbranch.preview.repository_and_master import RepositoryAndMaster

KINDS = ("promotion", "release", "hotfix")


def added(work: Workplace, request: Request, found: Plan) -> Plan:
    """`found` with its compiled diff, or with the reason why there is none; never with an empty diff instead."""
    saltenv = request.saltenv
    if saltenv is None or found.target.kind == UP_TO_DATE or not _is_compiled(request):
        return found
    found = replace(found, diff_counts=request.asks_for_diff)
    if found.is_conflict:
        return replace(found, diff_missing="the merge conflicts")
    if not request.diff.wanted:
        return replace(found, diff_missing="--no-diff leaves it out")
    config = work.config
    if missing := master_options.no_fleet(config.fleet, config.salt_config):
        return replace(found, diff_missing=missing)
    try:
        diff = _compare(work, request, saltenv, found.target)
    except Interrupted:
        raise
    except SaltbranchError as err:
        return _without(found, err.message, err.hint)
    except OSError as err:
        return _without(found, f"cannot compile: {err}", "")
    return _with(found, diff)


def _is_compiled(request: Request) -> bool:
    """A promotion shows its diff; a feature, of which there are many, where a gate or a person asks for it."""
    asked = any(isinstance(g, DiffGate) for g in request.gates)
    return request.kind in KINDS or (asked and not gates_by_verb.why_not(request.kind, "diff"))


def place_of(work: Workplace) -> RepositoryAndMaster:
    """Where to compile what `work` plans. Raises SaltError."""
    from saltbranch.preview.repository_and_master import RepositoryAndMaster

    repository = work.place.source()
    return RepositoryAndMaster(
        work.config, repository, master_options.read(work.config.salt_config)
    )


def _compare(work: Workplace, request: Request, saltenv: Saltenv, target: Step) -> FleetDiff:
    """The head of the target's branch, and exactly the tree of the plan. Raises SaltbranchError."""
    from saltbranch.preview import compare, known_fleet
    from saltbranch.repository.commit_source import Side

    place = place_of(work)
    minions = known_fleet.choose(place, (), saltenv.name)
    after = f"{saltenv.name} with {target.source_name} merged in"
    return compare.compare(
        place,
        Side(saltenv.name, target.old, saltenv.name),
        Side(after, target.tree, saltenv.name),
        minions,
        progress=request.diff.progress,
    )


def _without(found: Plan, why: str, hint: str) -> Plan:
    note = f"no diff: {why}" + (f" ({hint})" if hint else "")
    return replace(found, diff_missing=why, notes=(*found.notes, note))


def _with(found: Plan, diff: FleetDiff) -> Plan:
    notes = found.notes
    served = found.served_before
    if served and served != found.target.old:
        notes = (
            *notes,
            f"the diff is against {found.target.branch} {found.target.old[:12]}; {found.saltenv} serves {served[:12]}",
        )
    return replace(found, diff=diff, diff_digest=diff.digest, notes=notes)
