"""What a remote said to a push, as an error: how servers say no."""

from __future__ import annotations

from typing import Literal

from saltbranch.base import proc
from saltbranch.base.errors import RefusedError
from saltbranch.git.program import indent, mask

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


class PushRefused(RefusedError):
    """The remote took none of the refs. `kind`: why."""

    def __init__(self, message: str, *, kind: Kind, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.kind: Kind = kind


def refused(remote: str, done: proc.Finished) -> PushRefused | None:
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
