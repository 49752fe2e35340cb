"""What people should know beside a plan: holds, tags, pushes by hand, the model, paths that are kept."""

from __future__ import annotations

import re
from collections.abc import Sequence

from saltbranch.base import versions
from saltbranch.config.model import Saltenv, owned_paths
from saltbranch.git import merge
from saltbranch.git.merge import CONFLICT, MERGE
from saltbranch.git.program import mask, quoted
from saltbranch.promote import conflict, gates_by_verb
from saltbranch.promote.plan import BACK_MERGE, Plan, Step
from saltbranch.promote.request import Request
from saltbranch.repository.workplace import Workplace, tags_on


def notes(work: Workplace, request: Request, found: Plan) -> list[str]:
    """What is to be said beside the plan `found`, a line each."""
    said = _about_model(work)
    saltenv, target = request.saltenv, found.target
    said += _about_pushes(work, request, target)
    if found.hold and found.is_empty:
        said.append(
            f"{found.saltenv} is held at {found.hold.commit[:12]} ({found.hold.reason}):"
            f" saltbranch unhold {'--all' if found.hold.all else found.saltenv} lets it follow again"
        )
    if found.hold_moves_to and found.hold:
        said.append(
            f"{found.saltenv} stays held: it serves the hotfix on top of {found.hold.commit[:12]}; what was held back"
            f" ({found.hold.reason}) stays held back"
        )
    if found.lifts_hold and found.hold:
        said.append(f"this lifts the hold on {found.saltenv} ({found.hold.reason})")
    if saltenv and saltenv.follow and (target.moves or found.tag):
        said += _about_tags(work, saltenv, found)
    if found.is_conflict and (open_one := conflict.find_or_none(work, request.verb)):
        said.append(f"it is being resolved in {open_one.folder}: --continue, or --abort")
    for step in found.steps[1:]:
        other = work.config.of_branch(step.branch)
        if step.role == BACK_MERGE and other and other.follow:
            said.append(f"{other.name} follows tags: it serves the back-merge with its next tag")
    said += [line for step in found.steps for line in step.said]
    said += [line for change in found.changes.formulas for line in change.warnings]
    kept = _kept(work, request, target)
    if kept:
        said.append(f"kept as {target.branch} has them: {', '.join(kept)}")
    said += _local_tag(work, found)
    said += [] if found.is_empty else gates_by_verb.unasked(request.kind, request.gates)
    said += [
        f"{d.branch} gets no back-merge now, since it cannot be read: recorded as a debt"
        for d in found.debts
        if work.is_unread(d.branch)
    ]
    for path in _owned_in_vain(work, request, target):
        said.append(
            f"saltenv_owned of {found.saltenv}: {target.branch} has no {path!r}, and gets none"
        )
    said += [f"not read of the remote: {ref} ({why})" for ref, why in work.repo.unread.items()]
    return said


def _about_pushes(work: Workplace, request: Request, target: Step) -> list[str]:
    """What was pushed to the target's branch by hand counts as promoted from then on."""
    if not target.moves or not request.saltenv or request.kind == "back-merge":
        return []
    push = work.state.open_push(target.branch)
    found = [f"this takes up: {push.told()}"] if push else []
    source = request.source_saltenv.branch if request.source_saltenv else ""
    for branch in (source, target.branch):
        if branch in work.unknown and _has_own(work, branch):
            found.append(
                f"the journal does not say up to where {branch!r} was promoted, and it is seen here for the first time:"
                " what was pushed to it by hand before now counts as promoted"
            )
    return found


def _has_own(work: Workplace, branch: str) -> bool:
    """Whether the branch has commits that the one before it lacks, so that some may have been pushed to it by hand."""
    saltenv = work.config.of_branch(branch)
    before = work.config.saltenv(saltenv.promote_from) if saltenv and saltenv.promote_from else None
    head = work.refs.branches.get(before.branch) if before else None
    args = ("rev-list", "-n1", "--no-merges", "--end-of-options", work.branch_head(branch))
    return head is None or bool(work.git.out(*args, f"^{head}"))


def _about_model(work: Workplace) -> list[str]:
    source, notes = work.config.source, []
    if source.problem:
        notes.append(f"{source.problem}; the gates are those of {source.shown()}")
    if source.differs:
        what = ", ".join(source.differs[:10])
        notes.append(
            f"the saltenvs of {work.config_path}, by which this machine serves, differ: {what}"
        )
    if work.repo.place and work.repo.place.foreign:
        notes.append(
            f"the remote was not read, and nothing can be pushed: {work.repo.place.foreign}"
        )
    return notes


def _about_tags(work: Workplace, saltenv: Saltenv, found: Plan) -> list[str]:
    """Whether a saltenv that follows tags will serve what the plan makes."""
    follow = saltenv.follow or ""
    if found.hold and not found.lifts_hold:
        return []
    if not found.tag:
        return [
            f"{saltenv.name} follows tags ({follow}): it serves this only once it is tagged (--tag auto)"
        ]
    if not re.search(follow, found.tag):
        return [
            f"{saltenv.name} follows the tags {follow}, and {found.tag} is none of them: it does not serve this"
        ]
    there = tags_on(work.repo, found.target.old)
    highest = versions.highest([t for t in (*there, found.tag) if re.search(follow, t)])
    if highest != found.tag:
        return [f"{saltenv.name} goes on serving {highest}, the highest tag: {found.tag} is lower"]
    return []


def _local_tag(work: Workplace, found: Plan) -> list[str]:
    """A tag of that name which only this clone has: no ordinary fetch would ever fix it (git-fetch(1))."""
    here = (
        work.git.commit_or_none(f"refs/tags/{found.tag}") if found.tag and work.repo.clone else None
    )
    if here is None:
        return []
    return [
        f"a tag {found.tag} is here already, at {here[:12]}, which the remote does not have: afterwards"
        f" git fetch --force {quoted(mask(work.repo.remote))} tag {found.tag} brings the one that is made now"
    ]


def _owned_in_vain(work: Workplace, request: Request, target: Step) -> list[str]:
    """Paths that the target owns and does not have: a wrong spelling, most likely."""
    if target.kind not in (MERGE, CONFLICT) or not request.saltenv:
        return []
    return [p for p in request.saltenv.owned if not merge.listed(work.git, target.old, [p])]


def _kept(work: Workplace, request: Request, target: Step) -> Sequence[str]:
    """The owned paths in which source and target differ."""
    if target.kind not in (MERGE, CONFLICT):
        return ()
    owned = owned_paths(request.saltenv, request.source_saltenv)
    return [
        p
        for p in owned
        if work.git.run("diff", "--quiet", "--no-ext-diff", target.old, target.source, "--", f":(literal,top){p}",
                        config=("core.bare=true",)).code == 1
    ]  # fmt: skip
