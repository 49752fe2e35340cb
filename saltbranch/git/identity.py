"""Who runs this, as git knows them, and what lets git write where it does not."""

from __future__ import annotations

import functools
import os

from saltbranch.base.errors import RefusedError
from saltbranch.git.program import Git, indent


def who(git: Git) -> str:
    """The person who runs this, as git knows them: `Ann <ann@example.com>`; else user and host."""
    return _who(git.directory, tuple(sorted(git.env.items())))[0]


def check_person(git: Git) -> None:
    """Refuse to write in the name of somebody whom git may not guess (user.useConfigOnly). Raises RefusedError."""
    complaint = _who(git.directory, tuple(sorted(git.env.items())))[1]
    if "auto-detection is disabled" in complaint:
        raise RefusedError(
            "git does not know who you are, and user.useConfigOnly forbids to guess; nothing was changed:\n"
            f"{indent(complaint.splitlines()[-1])}",
            hint="git config user.name 'Your Name' && git config user.email you@example.com",
        )


@functools.lru_cache(maxsize=8)
def _who(directory: str, environment: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """The person, and what git complains of where it does not know."""
    git = Git(directory)
    git.env = dict(environment)
    done = git.run("var", "GIT_COMMITTER_IDENT")
    words = done.text.strip().rsplit(" ", 2)
    if done.code == 0 and len(words) == 3 and not words[0].startswith("<"):
        return words[0], ""
    return f"{_user()} <{_user()}@{os.uname().nodename}>", done.complaint


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid{os.geteuid()}"


def identity(git: Git) -> tuple[str, ...]:
    """Configuration that lets git write a commit where it does not know the person."""
    name, _, mail = who(git).partition(" <")
    return (f"user.name={name}", f"user.email={mail.rstrip('>')}")
