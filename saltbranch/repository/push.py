"""The one push that moves what is shared: all of its refs, each from where it was seen, or none (git-push(1))."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from saltbranch.base import proc
from saltbranch.base.errors import GitError, RefusedError, RemoteError
from saltbranch.git.mirror import JOURNAL_REF, remote_error
from saltbranch.git.program import indent, mask
from saltbranch.repository.remote import Repository

Kind = Literal["race", "protected", "declined", "rights"]
# How servers say no. The first sign found in the reason of a ref decides.
_REASONS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("protected", ("GH006", "GH013", "protected branch", "protected ref", "is protected", "repository rule",
                   "not allowed to push code to protected", "TF402455")),
    ("declined", ("exists; cannot create",)),  # `v1` is in the way of `v1/x`
    ("race", ("stale info", "non-fast-forward", "fetch first", "cannot lock ref", "incorrect old value",
              "reference already exists", "failed to update ref", "remote ref updated since checkout",
              "is at ", "expected ", "already exists")),
    ("declined", ("hook declined", "pre-receive", "update hook", "declined", "denying", "deny")),
)  # fmt: skip
_NO_RIGHTS = (
    "Permission denied", "permission denied", "403", "not allowed", "denied to", "read-only", "Read-only",
    "read only", "insufficient permission", "DENIED", "access denied", "Write access", "service not enabled",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """`ref` (in full) is to move from `old` to `new`; None: is not there, is to go."""

    ref: str
    old: str | None
    new: str | None


class PushRefused(RefusedError):
    """The remote took none of the refs. `kind`: why."""

    def __init__(self, message: str, *, kind: Kind, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.kind: Kind = kind


def push_refs(
    repository: Repository,
    updates: Sequence[RefUpdate],
    progress: Callable[[str], None] | None = None,
) -> None:
    """Move all refs of `updates` on the remote, or none. Ancestry is the caller's business.

    Raises RefusedError when the journal of the remote was rewritten, PushRefused when the remote said no,
    RemoteError when it could not be reached, or the connection broke before it answered and nothing moved.
    """
    if repository.problem:
        raise repository.problem
    if repository.place:
        repository.place.refuse_writing()
    if not repository.remote:
        raise RefusedError(
            f"the clone {repository.clone} has no remote, so there is nowhere to push to",
            hint="git remote add origin URL",
        )
    leases = [f"--force-with-lease={u.ref}:{u.old or ''}" for u in updates]
    specs = [f"{u.new or ''}:{u.ref}" for u in updates]
    talk = "--progress" if progress else "--quiet"
    done = repository.git.run(
        "push", "--atomic", "--porcelain", talk, "--no-verify", "--no-follow-tags",
        "--recurse-submodules=no", *leases, "--", repository.remote, *specs,
        config=("push.gpgSign=false", "push.pushOption="), timeout=repository.timeout, progress=progress,
    )  # fmt: skip
    if done.code == 0:
        return
    refused = refused_by(repository.remote, done)
    if refused is not None and refused.kind != "race":
        raise refused
    # The answer may have been lost on its way: look what is there.
    if _has_all(repository, updates):
        return
    if refused is not None:
        raise refused
    error = remote_error(repository.remote, done, repository.timeout)
    raise RemoteError(f"nothing was pushed: {error.message}", hint=error.hint)


def _has_all(repository: Repository, updates: Sequence[RefUpdate]) -> bool:
    try:
        repository.fetch()
    except GitError as err:
        raise RemoteError(
            f"the connection broke during the push, and the remote cannot be read: {err.message}",
            hint="run the same command again: it finds out whether all of it arrived, or none",
        ) from err
    return all(_has(repository, u) for u in updates)


def _has(repository: Repository, update: RefUpdate) -> bool:
    """Whether the ref is as it was pushed, or has gone on from there."""
    now = _current(repository, update.ref)
    if now == update.new:
        return True
    if now in (None, update.old) or update.new is None or update.ref.startswith("refs/tags/"):
        return False
    return repository.git.is_ancestor(update.new, str(now))


def _current(repository: Repository, ref: str) -> str | None:
    if ref == JOURNAL_REF:
        return repository.refs.journal
    if ref.startswith("refs/tags/"):
        return repository.refs.tags.get(ref[10:])
    return repository.refs.branches.get(ref.removeprefix("refs/heads/"))


def refused_by(remote: str, done: proc.Finished) -> PushRefused | None:
    """What the remote said, as an error; None when it did not get so far."""
    reasons, stopped = [], False
    for line in done.text.splitlines():
        if line.startswith("!\t"):
            _, refs, reason = (line.split("\t", 2) + ["", ""])[:3]
            ref = refs.partition(":")[2]
            stopped = True
            if "atomic" not in reason:
                reasons.append(f"{ref}: {reason}")
    said = [line for line in done.complaint.splitlines() if line.startswith("remote:")]
    if stopped and not reasons:
        # "atomic transaction failed" for every ref; what was in the way stands in `remote: error:`
        # (execute_commands_atomic in builtin/receive-pack.c), where no hook has written anything.
        reasons, said = said or ["atomic transaction failed"], []
    text = mask("\n".join([*reasons, *said]))
    if "does not support --atomic" in done.complaint:
        return PushRefused(
            f"the server of {mask(remote)} cannot push several refs as one",
            kind="declined", hint="use a git server of version 2.4 or newer",
        )  # fmt: skip
    # Two pushes at once: the refs change between check and lock, and only stderr says so (receive-pack.c).
    torn = "(atomic transaction failed)" in done.text
    for kind, signs in _REASONS:
        # What a hook writes is for people; only a protected branch is known by that text alone.
        where = text if kind == "protected" or torn else "\n".join(reasons)
        if any(sign in where for sign in signs):
            return _error(kind, remote, text)
    if any(sign in done.complaint for sign in _NO_RIGHTS):
        return _error("rights", remote, mask(done.complaint))
    return _error("declined", remote, text) if reasons else None


def _error(kind: Kind, remote: str, text: str) -> PushRefused:
    what, hint = {
        "race": ("another push came first", "run it again"),
        "protected": ("the branch is protected there", "--via branch pushes a branch for a pull request"),
        "declined": ("it declined", "see its message above; nothing was changed"),
        "rights": ("this user may not push there", "push as a user with write access to the repository"),
    }[kind]  # fmt: skip
    where = mask(remote)
    return PushRefused(f"{where} took nothing, {what}:\n{indent(text)}", kind=kind, hint=hint)
