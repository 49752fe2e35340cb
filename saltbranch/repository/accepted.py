"""Which commit of the production branch counts for the model: the last one that a master would serve.

A rewritten protected branch, a link out of the tree, a commit without states, a push by hand that is refused change
no gate anywhere. Only git is asked, so all machines get one answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from saltbranch.base.errors import RefusedError
from saltbranch.config.check import roots_of
from saltbranch.config.direct_pushes import ALLOW, REFUSE, REPORT
from saltbranch.config.keys import FileModel
from saltbranch.config.locate import FILE_NAME
from saltbranch.config.roots import PILLAR, Roots
from saltbranch.git.mirror import PRODUCTION, ref_name
from saltbranch.git.program import Git
from saltbranch.journal import cache as journal_cache
from saltbranch.journal import events, tips
from saltbranch.journal import store as journal
from saltbranch.repository import direct_pushes, servable
from saltbranch.repository.model_file import FAR, Nothing, newest_valid
from saltbranch.repository.production_signers import ProductionRule

# Below it, in a mirror and in a clone, the last accepted commit of production, by the name of the branch.
IN_MIRROR, IN_CLONE = PRODUCTION, "refs/saltbranch-kept/production/"
# So many of the journal's newest events are looked at for it.
_RECENT = 500


@dataclass(frozen=True, slots=True)
class ModelRefs:
    """The refs that decide which model counts. heads: branch to commit, of the remote. memory: IN_MIRROR or IN_CLONE.

    journal: the head of the journal that is believed. write: remember what was accepted.
    """

    git: Git
    heads: Mapping[str, str]
    memory: str
    journal: str | None = None
    write: bool = False


def accepted(refs: ModelRefs, branch: str) -> tuple[str | None, str]:
    """The newest commit of `branch` that a master would serve, and why the head is none."""
    git, head, last = refs.git, refs.heads.get(branch), _last(refs, branch)
    known = last
    if head is None:
        return last, "the remote does not have the branch any more" if last else ""
    counted = _counted_head(refs, branch, head, last)
    refusal = "" if counted == head else "it was pushed by hand, which is refused (direct_pushes)"
    if counted == last or (refusal and last and git.is_ancestor(counted, last)):
        return last, refusal
    head = counted
    if last and git.is_ancestor(last, head):
        chain = _first_parents(git, head, last)
    elif last and _is_protected(git, branch, last):
        how = f"git --git-dir={git.directory} update-ref {refs.memory}{ref_name(branch)} {head}"
        return last, (
            f"the branch was rewritten: {head[:12]} does not contain {last[:12]}, and its saltenv is protected"
            f" (push the branch back or, if it is meant: {how})"
        )
    else:
        chain, last = _first_parents(git, head, None), None
    chain, unvouched = _vouched(git, branch, chain, known)
    if unvouched and known != last:
        return known, unvouched
    refusal = refusal or unvouched
    parents = [*chain[1:], last][: len(chain)]
    for commit, parent in zip(chain, parents, strict=True):
        problem = _refused(git, commit, last, parent)
        if problem is None:
            return commit, refusal
        refusal = refusal or problem
    return last, refusal


def _vouched(git: Git, branch: str, chain: list[str], last: str | None) -> tuple[list[str], str]:
    """Those of `chain`, the newest first, that nobody's missing signature stands before, and why not the others.

    last: the commit accepted last, whose model says whether that matters.
    """
    if not chain:
        return chain, ""
    rule = ProductionRule(git, branch, chain[0])
    if not rule.is_needed(last or chain[0]):
        return chain, ""
    from saltbranch.repository.vouched import Judge  # only where it is asked for

    found = Judge(git, rule, rule.keeps(last)).judge(chain[0], last)
    if not found.refusal:
        return chain, ""
    why = f"{found.refusal} ({found.hint})"
    if last is None or found.refused not in chain:
        return [], why
    return chain[chain.index(found.refused) + 1 :], why


def _counted_head(refs: ModelRefs, branch: str, head: str, last: str | None) -> str:
    """The commit up to which the branch counts, by the model of `last`, which was accepted before, and the journal."""
    if last is None or last == head:
        return head
    state = journal_cache.state(refs.git, refs.journal, write=False)
    tip = state.tips.get(branch)
    if tip is None or not tip.head:
        # Nobody says up to where it was promoted: what was accepted here is the beginning.
        tip = tips.Tip(last, last)
    if tip.head == head:
        return tip.good
    before = tip.promoted if refs.git.commit_or_none(tip.promoted) else last
    name, policy = "", ALLOW
    for commit in dict.fromkeys((before, last, head)):
        found = newest_valid(refs.git, commit, branch)
        saltenvs = {} if isinstance(found, Nothing) else found.model.saltenvs or {}
        for mine, saltenv in saltenvs.items():
            if saltenv.branch == branch and saltenv.promote_from:
                name = name or mine
                policy = direct_pushes.stricter(policy, saltenv.direct_pushes or REPORT)
    if policy != REFUSE and not tip.is_refused:
        return head
    watched = direct_pushes.Watched(name, branch, policy)
    now, _ = direct_pushes.Finder(refs.git, lambda: list(state.events), 0).look(watched, tip, head)
    return direct_pushes.served_head(refs.git, now, head)


def _last(refs: ModelRefs, branch: str) -> str | None:
    """The commit accepted last: as remembered here or, if that is newer, as the journal tells.

    The journal has promotions and, where masters record it, what they switched to: so a clone that was away, or one
    that is new, does not take a branch for whole that all masters refuse.
    """
    git = refs.git
    kept = git.commit_or_none(f"{refs.memory}{ref_name(branch)}")
    head = refs.heads.get(branch)
    told = _told(git, refs.journal, branch, head, kept) if refs.journal else None
    if kept and told and told != kept:
        told = told if git.is_ancestor(kept, told) else kept
    if told and told != kept:
        # The journal is written by whoever may push.
        _, unvouched = _vouched(git, branch, [told], kept)
        told = None if unvouched else told
    return told or kept


def _told(git: Git, head: str, branch: str, now_at: str | None, kept: str | None) -> str | None:
    names: set[str] = set()
    found = journal.read(git, head, limit=_RECENT)
    served = {_switched(event, branch) for event in found if event.kind == events.SYNC}
    for event in reversed(found):
        if event.kind == events.PROMOTION and event.text("branch") == branch:
            new = event.commit_of("new")
            if new != kept and new not in served and now_at and now_at == event.commit_of("old"):
                continue  # the server put the branch back: no master has ever served it
        elif event.kind == events.SYNC:
            new = _switched(event, branch)
        else:
            continue
        if new and new not in names:
            names.add(new)
            if commit := git.commit_or_none(new):
                return commit
    return None


def _switched(event: events.Event, branch: str) -> str | None:
    """What a master that records its switches has come to serve of `branch`."""
    rows = event.details.get("saltenvs")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, Mapping) and row.get("branch") == branch:
            new = row.get("new")
            return new if isinstance(new, str) and events.is_hash(new) else None
    return None


def _first_parents(git: Git, head: str, since: str | None) -> list[str]:
    args = ["rev-list", "--first-parent", f"--max-count={FAR}", "--end-of-options", head]
    return git.out(*args, *([f"^{since}"] if since else [])).split()


def _is_protected(git: Git, branch: str, last: str) -> bool:
    """By the model alone, as every machine reads it."""
    found = newest_valid(git, last, branch)
    if isinstance(found, Nothing):
        return False
    return any(s.protected for s in (found.model.saltenvs or {}).values() if s.branch == branch)


def _refused(git: Git, commit: str, proven: str | None, parent: str | None) -> str | None:
    """Why no master serves `commit`; None where one would.

    proven: a commit accepted before. parent: what it came after; whether its pillar is gone is asked by the folder
    that it had there.
    """
    before = newest_valid(git, parent) if parent else Nothing("")
    model = FileModel() if isinstance(before, Nothing) else before.model
    found = newest_valid(git, commit)
    now = model if isinstance(found, Nothing) else found.model
    had_pillar = parent is not None and _had_pillar(git, parent, roots_of(model, FILE_NAME))
    return servable.refusal(git, commit, proven, roots_of(now, FILE_NAME), had_pillar=had_pillar)


def _had_pillar(git: Git, commit: str, roots: Roots) -> bool:
    try:
        return servable.commit_has(git, commit, roots, PILLAR)
    except RefusedError:  # two folders owned one name: nothing of it was served
        return False


def remember(refs: ModelRefs, branch: str, commit: str) -> None:
    """Keep `commit` as the one accepted last, where it can be."""
    ref = f"{refs.memory}{ref_name(branch)}"
    if refs.git.commit_or_none(ref) != commit:
        # Not remembering stops nothing: the journal, or the head, is the beginning then.
        refs.git.run("update-ref", ref, commit)
