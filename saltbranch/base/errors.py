"""Expected failures and their exit codes.

Imported by every sync that finds nothing to do, so it imports nothing itself.
"""

from __future__ import annotations


class SaltbranchError(Exception):
    """An expected failure: what failed, on what; ``hint`` says what to do about it."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(SaltbranchError):
    """saltbranch.yaml, or what it names, cannot be used."""


class TooOldError(ConfigError):
    """A saltbranch.yaml asks for a newer saltbranch than this one."""


class NoSaltenvsError(ConfigError):
    """A saltbranch.yaml that is valid, but no model."""


class UnknownProductionError(ConfigError):
    """Which branch is production cannot be told. candidates: branches that say so of themselves."""

    def __init__(self, message: str, *, hint: str, candidates: tuple[str, ...]) -> None:
        super().__init__(message, hint=hint)
        self.candidates = candidates


class UsageError(SaltbranchError):
    """The command line asks for something that does not exist."""

    exit_code = 2


class GitError(SaltbranchError):
    """git failed on our own repository."""


class DamagedMirrorError(GitError):
    """The copy of the remote lacks what it should have; a new one can take its place."""


class RemoteError(GitError):
    """The remote could not be read; nothing was changed because of it."""


class RootError(SaltbranchError):
    """The folder that holds mirror, slots and checkouts cannot be used as it is."""


class RefusedError(SaltbranchError):
    """Possible, but a person must decide."""

    exit_code = 4


class LockedError(SaltbranchError):
    """Another saltbranch works on the same root (sysexits.h: EX_TEMPFAIL)."""

    exit_code = 75


class SaltError(SaltbranchError):
    """Salt's own configuration or data cannot be read."""


class Interrupted(SaltbranchError):
    """Stopped by the person or the service manager that started it."""

    exit_code = 130


EXIT_PENDING = 3
EXIT_PARTIAL = 20
EXIT_BUG = 70


def os_error(err: OSError) -> SaltbranchError:
    """What the system refused, as one of our errors."""
    import errno

    hints = {
        errno.EACCES: "run saltbranch as the owner of the root",
        errno.EEXIST: "something else is where a folder should be: move it away",
        errno.ENOTDIR: "something else is where a folder should be: move it away",
        errno.ENOSPC: "free some space below the root",
        errno.EROFS: "mount it for writing",
    }
    what = f"{err.filename}: " if err.filename else ""
    return SaltbranchError(f"{what}{err.strerror}", hint=hints.get(err.errno or 0, ""))


def lines_of_ours(text: str) -> str:
    """A message for the terminal: what strangers wrote in it does not steer that, and makes no line of its own.

    Our own messages go on in lines that are indented (git.indent).
    """
    first, *rest = harmless(text).split("\n")
    return first + "".join(f"\n{t}" if t.startswith("  ") else f"\ufffd{t}" for t in rest)


def harmless(text: str) -> str:
    """`text` without what would steer a terminal, its line breaks aside."""
    shown = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)
    return shown.encode("utf-8", "replace").decode()


EXIT_CODES: dict[int, str] = {
    0: "done, or nothing to do",
    1: "failed: the message says what, on what, and what to do",
    2: "wrong usage",
    3: "`--plan`: something would change; `diff`, `adopt`: there are differences; `check`: findings; "
    "`formula outdated`: there are newer versions",
    4: "refused, or with `--plan` about to be: a person must decide (merge conflict, closed gate, moved "
    "refs, rewritten protected branch or journal, a commit whose top files fail, a push by hand that "
    "is refused, moved or deleted tag on a protected saltenv, a file of somebody else, a link that "
    "leaves the tree)",
    20: "some saltenvs failed, the others are done; the newest model is broken and the last good one "
    "counts; `diff`, `adopt`: some minion could not be compiled, or not wholly; "
    "`formula list`, `formula outdated`: a formula could not be read; `apply`: some minions were not applied to",
    70: "a bug: one line for you, the traceback in a file",
    75: "another saltbranch holds the lock or applies the saltenv, or a saltenv is not switched yet because of state "
    "runs or an apply",
    130: "interrupted (^C or SIGTERM); what was served is still served",
}
"""What each exit code means, in the words of docs/reference/exit-codes.md."""
