"""What git-flow's verbs do in the clone a person works in: branches, and the work tree when it is clean."""

from __future__ import annotations

from dataclasses import dataclass

from saltbranch.base.errors import RefusedError, UsageError
from saltbranch.git.program import Git, branch_name_problem, failed
from saltbranch.repository.workplace import Workplace


def clone_of(work: Workplace) -> Git:
    """git in the clone. Raises RefusedError on a master."""
    if work.repo.clone is None:
        raise RefusedError(
            "this verb works on branches of a clone, and here is only a master's mirror",
            hint="run it in a clone of the control repository",
        )
    return Git(work.repo.clone, work_tree=True)


def writable_clone(work: Workplace) -> Git:
    """The same, to make branches in. Raises RefusedError in somebody else's clone, too."""
    if work.repo.place:
        work.repo.place.refuse_writing()
    return clone_of(work)


def current_branch(clone: Git) -> str | None:
    """The branch that is checked out; None when HEAD is detached."""
    done = clone.run("symbolic-ref", "--quiet", "--short", "HEAD")
    return done.text.strip() if done.code == 0 else None


def is_dirty(clone: Git) -> bool:
    """Whether tracked files differ from HEAD, or a merge or rebase is under way."""
    return bool(clone.out("status", "--porcelain", "--untracked-files=no", "--ignore-submodules"))


def refuse_dirty(clone: Git, what: str) -> None:
    """Raise RefusedError when there are changes that would not be part of `what`."""
    if is_dirty(clone):
        raise RefusedError(
            f"{clone.directory} has changes that are not committed: {what}",
            hint="commit them, or git stash",
        )


def local_branch(clone: Git, branch: str) -> str | None:
    """The head of a branch of the clone."""
    return clone.commit_or_none(f"refs/heads/{branch}")


def topic_name(prefix: str, name: str) -> str:
    """The full name of a topic branch, given with or without its prefix. Raises UsageError."""
    branch = name if name.startswith(prefix) else f"{prefix}{name}"
    if problem := branch_name_problem(branch):
        raise UsageError(
            f"{branch!r} is not a branch: {problem}", hint=f"for example {prefix}key-123-ntp"
        )
    return branch


def create_and_switch(clone: Git, branch: str, start: str) -> None:
    """Make `branch` at the commit `start` and check it out. Raises RefusedError, GitError."""
    if local_branch(clone, branch):
        raise RefusedError(
            f"there is a branch {branch} in this clone already",
            hint=f"git switch {branch}, or choose another name",
        )
    refuse_dirty(clone, f"they would end up on {branch}")
    _refuse_to_lose_head(clone)
    done = clone.run("switch", "--quiet", "--no-track", "--create", branch, start)
    if done.code != 0:
        raise failed(done, clone.directory)


def follow_remote(work: Workplace, clone: Git, branch: str) -> None:
    """Let a local branch follow the remote's of that name, unless it follows something: `git pull` works then."""
    key = f"branch.{branch}"
    if local_branch(clone, branch) is None or clone.run("config", "--get", f"{key}.merge").out:
        return
    place, remote = work.repo.place, work.repo.remote
    if place and place.has_remote(remote):
        clone.run("config", f"{key}.remote", place.name_of(remote))
        clone.run("config", f"{key}.merge", f"refs/heads/{branch}")


def open_topics(work: Workplace, prefix: str, head: str) -> list[str]:
    """The branches below `prefix`, here and on the remote, that have something which the commit `head` lacks."""
    found = {b: h for b, h in work.refs.branches.items() if b.startswith(prefix)}
    if work.repo.clone:
        clone = clone_of(work)
        text = clone.out(
            "for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads/"
        )
        pairs = (line.partition(" ") for line in text.splitlines())
        found |= {branch: oid for oid, _, branch in pairs if branch.startswith(prefix)}
    return sorted(b for b, h in found.items() if not work.git.is_ancestor(h, head))


def _refuse_to_lose_head(clone: Git) -> None:
    """Raise RefusedError when HEAD is detached at a commit that nobody would find again after a switch."""
    if current_branch(clone) is not None or clone.commit_or_none("HEAD") is None:
        return
    if not clone.out("for-each-ref", "--count=1", "--contains", "HEAD"):
        raise RefusedError(
            f"HEAD is detached in {clone.directory}, at a commit that no branch has",
            hint="git branch NAME keeps it",
        )


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic branch: its heads here and on the remote, and the one that counts."""

    branch: str
    local: str | None
    remote: str | None

    @property
    def tip(self) -> str:
        """The newer of the two; see `topic`."""
        return self.local or self.remote or ""


def topic(work: Workplace, branch: str) -> Topic:
    """The branch here and on the remote, one of them containing the other. Raises RefusedError, UsageError."""
    clone = Git(work.repo.clone, work_tree=True) if work.repo.clone else None
    local = local_branch(clone, branch) if clone else None
    remote = work.refs.branches.get(branch)
    if local is None and remote is None:
        raise UsageError(
            f"there is no branch {branch}, neither here nor on the remote",
            hint=_others(work, branch),
        )
    if local and remote and local != remote:
        if work.git.is_ancestor(local, remote):
            return Topic(branch, remote, remote)
        if not work.git.is_ancestor(remote, local):
            raise RefusedError(
                f"{branch} here ({local[:12]}) and on the remote ({remote[:12]}) have both moved on",
                hint=f"git switch {branch} && git pull --rebase",
            )
    return Topic(branch, local, remote)


def _others(work: Workplace, branch: str) -> str:
    flow = work.config.flow
    prefix = next(p for p in (flow.feature, flow.release, flow.hotfix, "") if branch.startswith(p))
    there = sorted(b for b in work.refs.branches if prefix and b.startswith(prefix))
    return (
        f"on the remote: {', '.join(there[:10])}" if there else f"the remote has no {prefix} branch"
    )


def chosen(clone: Git, prefix: str, name: str | None, verb: str) -> str:
    """The topic branch that `name` stands for, or the one that is checked out. Raises UsageError."""
    if name:
        return topic_name(prefix, name)
    branch = current_branch(clone)
    if branch is None or not branch.startswith(prefix):
        where = f"on {branch}" if branch else "on no branch (HEAD is detached)"
        raise UsageError(
            f"{verb}: which one? You are {where}, which is no {prefix} branch",
            hint=f"saltbranch {verb} NAME",
        )
    return branch


def leave(work: Workplace, branch: str, merged: str, back_to: str) -> list[str]:
    """After a finish: the local branch goes when all of it was merged, the person lands on `back_to`; what was done."""
    if work.repo.clone is None:
        return []
    clone = Git(work.repo.clone, work_tree=True)
    notes = []
    if current_branch(clone) == branch:
        if is_dirty(clone):
            return [f"{branch} is kept here: the work tree has changes that are not committed"]
        notes += _switch(work, clone, back_to)
    local = local_branch(clone, branch)
    if local is None or current_branch(clone) == branch:
        return notes
    if not work.git.is_ancestor(local, merged):
        return [*notes, f"{branch} is kept here: it has commits that were not merged"]
    gone = clone.run("branch", "--quiet", "-D", "--", branch)
    return [*notes, f"{branch} here: removed" if gone.code == 0 else f"{branch} here is kept"]


def _switch(work: Workplace, clone: Git, branch: str) -> list[str]:
    """Check out `branch` as the remote now has it, as far as that loses nothing."""
    head = work.refs.branches.get(branch)
    local = local_branch(clone, branch)
    if head is None:
        return []
    if local is None:
        done = clone.run("switch", "--quiet", "--no-track", "--create", branch, head)
        follow_remote(work, clone, branch)
        return [f"checked out {branch}"] if done.code == 0 else []
    if clone.run("switch", "--quiet", branch).code != 0:
        return []
    follow_remote(work, clone, branch)
    if work.git.is_ancestor(local, head):
        clone.run("merge", "--quiet", "--ff-only", head)
        return [f"checked out {branch}, up to date"]
    return [f"checked out {branch}; it has commits that the remote lacks"]
