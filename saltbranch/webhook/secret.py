"""The secrets that git servers sign with: lines of a file that only the salt-master's user may read."""

from __future__ import annotations

import os
import secrets
import stat

from saltbranch.base import files
from saltbranch.base.errors import ConfigError, os_error
from saltbranch.base.ownership import owner_name

FILE = "saltbranch-webhook.secret"
_HEAD = "# Written by saltbranch (install webhook). Each line is a secret that counts: while one is replaced, both.\n"
_SHORTEST = 16  # characters


def path_of(config_path: str) -> str:
    """Where the secrets of the machine with that configuration are."""
    return f"{os.path.dirname(os.path.abspath(config_path))}/{FILE}"


def load(path: str) -> list[str]:
    """The secrets in `path`. Raises ConfigError where somebody else may read or write it, and for one that is short."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with open(fd, encoding="utf-8") as file:
            found = os.fstat(file.fileno())
            lines = file.read(10_000).splitlines()
    except (OSError, UnicodeDecodeError) as err:
        what = err.strerror if isinstance(err, OSError) else "it is not text"
        raise ConfigError(
            f"the webhook's secret in {path} cannot be read: {what}",
            hint="make it with: saltbranch install webhook",
        ) from err
    if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigError(
            f"{path} may be read by others", hint=f"chmod 600 {path}, and use a new secret"
        )
    if found.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"{path} belongs to {owner_name(found.st_uid)}",
            hint=f"chown it to user id {os.geteuid()}",
        )
    kept = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not kept or any(len(secret) < _SHORTEST for secret in kept):
        raise ConfigError(
            f"{path} holds {'a secret that is too short' if kept else 'no secret'}",
            hint=f"each line is one, of {_SHORTEST} characters at least",
        )
    return kept


def make(path: str, *, uid: int) -> None:
    """Write a new secret to `path`, for the user `uid` alone. Raises SaltbranchError, also where there is a file."""
    text = f"{_HEAD}{secrets.token_hex(32)}\n"
    temporary = path + files.ASIDE
    try:
        files.unlink(temporary)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "w", encoding="utf-8") as file:
                if uid != os.geteuid():
                    os.fchown(file.fileno(), uid, -1)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)  # of two that install at once, one makes it
        finally:
            files.unlink(temporary)
    except OSError as err:
        raise os_error(err) from err


def is_ours(path: str) -> bool:
    """Whether `path` is a file that `make` wrote."""
    try:
        return (files.read_or_none(path) or b"").startswith(_HEAD.encode())
    except OSError:
        return False
