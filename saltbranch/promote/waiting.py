"""What lies between each saltenv and its next promotion: what waits, debts, holds, gates."""

from __future__ import annotations

from dataclasses import dataclass

from saltbranch.base.durations import iso
from saltbranch.base.errors import SaltbranchError
from saltbranch.config.model import Saltenv
from saltbranch.git import describe as commit_info
from saltbranch.git.describe import CommitInfo
from saltbranch.journal.facts import Debt, Hold
from saltbranch.journal.tips import Push
from saltbranch.promote import make_plan, promotion, proposed
from saltbranch.promote.proposed import Proposal
from saltbranch.promote.why_not import WhyNot
from saltbranch.repository.served_commit import Wanted
from saltbranch.repository.workplace import Workplace


@dataclass(frozen=True, slots=True)
class ServedBy:
    """What a master said last that it serves; `since`: seconds since 1970."""

    master: str
    commit: str
    since: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """One saltenv as the remote and the journal have it.

    waiting: commits of the saltenv before it that it lacks; lacking: its own that the one before lacks; merges
    aside. next: the next promotion, None where nothing is promoted to it; trouble: why that cannot be told.
    proposed: promotions that wait as branches. pushed: what was pushed by hand since the last one.
    """

    saltenv: str
    branch: str
    promote_from: str | None
    wanted: Wanted
    commit: CommitInfo | None
    hold: Hold | None
    waiting: int | None
    lacking: int | None
    debts: tuple[Debt, ...]
    served_by: tuple[ServedBy, ...]
    next: WhyNot | None
    trouble: str = ""
    proposed: tuple[Proposal, ...] = ()
    pushed: Push | None = None

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "saltenv": self.saltenv,
            "branch": self.branch,
            "promote_from": self.promote_from,
            "wanted": self.wanted.commit,
            "why": self.wanted.why,
            "tag": self.wanted.tag or None,
            "commit": self.commit.as_dict() if self.commit else None,
            "hold": self.hold.as_dict() if self.hold else None,
            "waiting": self.waiting,
            "lacking": self.lacking,
            "served_by": [
                {"master": s.master, "commit": s.commit, "since": iso(s.since)}
                for s in self.served_by
            ],
            "pushed": self.pushed.as_dict() if self.pushed else None,
            **self.promotion(),
        }

    def promotion(self) -> dict[str, object]:
        """Debts and the next promotion, as plain data."""
        return {
            "debts": [d.as_dict() for d in self.debts],
            "next": self.next.as_dict() if self.next else None,
            "trouble": self.trouble or None,
            "proposed": [p.as_dict() for p in self.proposed],
        }


def outlook(work: Workplace) -> tuple[Outlook, ...]:
    """Of every saltenv, in the order of the configuration. Raises GitError."""
    debts = work.open_debts()
    return tuple(_one(work, saltenv, debts) for saltenv in work.config.saltenvs)


def _one(work: Workplace, saltenv: Saltenv, debts: list[Debt]) -> Outlook:
    wanted = work.wanted(saltenv)
    head = work.refs.branches.get(saltenv.branch)
    before = work.config.saltenv(saltenv.promote_from) if saltenv.promote_from else None
    source = work.refs.branches.get(before.branch) if before else None
    waiting = lacking = None
    if head is not None and source is not None:
        waiting, lacking = commit_info.count_apart(work.git, source, head)
    following, trouble = _next(work, saltenv)
    return Outlook(
        saltenv=saltenv.name,
        branch=saltenv.branch,
        promote_from=saltenv.promote_from,
        wanted=wanted,
        commit=commit_info.describe(work.git.directory, wanted.commit) if wanted.commit else None,
        hold=work.hold(saltenv),
        waiting=waiting,
        lacking=lacking,
        debts=tuple(d for d in debts if d.branch == saltenv.branch),
        served_by=tuple(
            ServedBy(master, r.commit, r.since)
            for master, r in sorted(work.state.serving(saltenv.name).items())
        ),
        next=following,
        trouble=trouble,
        proposed=proposed.waiting(work, saltenv.name, head),
        pushed=None if work.is_unread(saltenv.branch) else work.state.open_push(saltenv.branch),
    )


def _next(work: Workplace, saltenv: Saltenv) -> tuple[WhyNot | None, str]:
    if saltenv.promote_from is None:
        return None, ""
    try:
        request = promotion.request(work, saltenv.name)
        return WhyNot.of(make_plan.plan(work, request, commands=False)), ""
    except SaltbranchError as err:
        return None, err.message
