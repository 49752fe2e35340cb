"""feature: a branch of its own from develop, and back by a merge commit (git-flow)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from saltbranch import merging
from saltbranch.actions import clonework
from saltbranch.actions.request import Request
from saltbranch.config.model import Saltenv
from saltbranch.errors import RefusedError
from saltbranch.repository.remote import RefUpdate
from saltbranch.repository.workplace import Workplace


@dataclass(frozen=True, slots=True)
class Started:
    """A topic branch that was made or pushed: `old` -> `commit`."""

    branch: str
    commit: str
    base: str
    old: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {"version": 1, **asdict(self)}


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """A feature branch. ahead: its commits that develop lacks; behind: the other way round; merges aside."""

    branch: str
    here: bool
    published: bool
    ahead: int
    behind: int
    subject: str
    author: str


def first_saltenv(work: Workplace) -> Saltenv:
    """Where the chain to production begins: features come from its branch. Raises ConfigError."""
    return work.config.chain(work.config.production())[-1]


def start(work: Workplace, name: str) -> Started:
    """Make feature/NAME from the head of develop, and check it out. Raises RefusedError, UsageError."""
    return start_topic(work, work.config.flow.feature, name, work.head(first_saltenv(work)))


def start_topic(work: Workplace, prefix: str, name: str, base: str) -> Started:
    """Make the branch `prefix`NAME at `base` in the clone, and check it out. Raises RefusedError, UsageError."""
    branch = clonework.topic_name(prefix, name)
    if branch in work.refs.heads:
        raise RefusedError(
            f"the remote has a branch {branch} already",
            hint=f"git switch {branch}, or choose another name",
        )
    clonework.create_and_switch(clonework.writable_clone(work), branch, base)
    return Started(branch, base, base)


def publish_topic(work: Workplace, prefix: str, name: str | None, verb: str) -> Started:
    """Push a topic branch, never over what somebody else pushed. Raises RefusedError, UsageError."""
    clone = clonework.writable_clone(work)
    branch = clonework.chosen(clone, prefix, name, verb)
    topic = clonework.topic(work, branch)
    if topic.tip == topic.remote:
        clonework.follow_remote(work, clone, branch)
        return Started(branch, topic.tip, topic.tip, topic.remote)
    work.repo.push([RefUpdate(f"refs/heads/{branch}", topic.remote, topic.tip)])
    clonework.follow_remote(work, clone, branch)
    return Started(branch, topic.tip, topic.remote or "", topic.remote)


def finish_request(
    work: Workplace, branch: str, resolved: str | None, *, overrides: dict[str, str] | None = None
) -> Request:
    """What ``feature finish`` asks for: the branch into develop, and the branch gone.

    overrides: gates to pass over, each with its reason.
    """
    saltenv = first_saltenv(work)
    topic = clonework.topic(work, branch)
    return Request(
        verb=f"feature finish {branch}",
        kind="feature",
        branch=saltenv.branch,
        saltenv=saltenv,
        source=resolved or topic.tip,
        source_name=branch,
        delete=(branch,) if topic.remote else (),
        overrides=overrides or {},
    )


def listed(work: Workplace) -> list[FeatureRow]:
    """All feature branches, here and on the remote."""
    prefix = work.config.flow.feature
    names = {b for b in work.refs.heads if b.startswith(prefix)}
    if work.repo.clone:
        clone = clonework.clone_of(work)
        found = clone.out("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/")
        names |= {b for b in found.splitlines() if b.startswith(prefix)}
    develop = work.head(first_saltenv(work))
    return [_row(work, branch, develop) for branch in sorted(names)]


def _row(work: Workplace, branch: str, develop: str) -> FeatureRow:
    remote = work.refs.heads.get(branch)
    local = work.git.commit_or_none(f"refs/heads/{branch}") if work.repo.clone else None
    tip = local or remote or develop
    ahead = merging.log(work.git, [tip], [develop], work.pattern, "--no-merges")
    behind = work.git.out(
        "rev-list", "--count", "--no-merges", "--end-of-options", f"{tip}..{develop}"
    )
    last = ahead[0] if ahead else None
    return FeatureRow(
        branch, local is not None, remote is not None, len(ahead), int(behind),
        last.subject if last else "", last.author if last else "",
    )  # fmt: skip
