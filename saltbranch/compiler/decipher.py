"""Deciphers the PGP messages of a tree with the master's keys, outside of the sandbox.

The keys never enter the sandbox, and nothing in there can ask for more: what a job gets is what the
messages hold that stand in the files of its tree. gpg works in a folder of its own that links to the
keys. So it leaves no lock, socket or agent of another user in the folder that the master uses.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from saltbranch.base import proc, scratch
from saltbranch.base.errors import SaltbranchError
from saltbranch.compiler import pgp
from saltbranch.git.program import Git, failed

_MOST = 5000
"""Messages in one tree; the others stay as they are."""
_LARGEST = 1 << 20
_SECONDS = 20.0
_ALL_SECONDS = 300.0
# What an agent of somebody else, a lock or a trust database would be; gpg makes its own.
_NOT_LINKED = ("S.", ".#", "trustdb", "random_seed")


def messages_in(
    git: Git, tree: str, searched: Sequence[str], oid_at: Callable[[str], str | None]
) -> set[str]:
    """The PGP messages in the files of `tree` that `oid_at` has a blob for. searched: pathspecs. Raises GitError."""
    done = git.run("grep", "-l", "-z", "-a", "-F", "-e", pgp.MARK, tree, "--", *searched)
    if done.code not in (0, 1):
        raise failed(done, git.directory)
    paths = [item.partition(":")[2] for item in done.text.split("\0")]
    blobs = sorted({oid for path in paths if (oid := oid_at(path))})
    if not blobs:
        return set()
    # The names of blobs in between part one file from the next.
    return set(pgp.messages(git.out("cat-file", "--batch", stdin="\n".join(blobs).encode())))


@dataclass(slots=True)
class Keys:
    """The keys in GnuPG's folder `folder`, None for none; what was deciphered once is remembered.

    trouble: why nothing can be deciphered at all.
    """

    folder: str | None
    trouble: str | None = None
    _known: dict[str, bytes | None] = field(default_factory=dict)

    def decipher(self, messages: Iterable[str]) -> dict[str, bytes]:
        """What each of `messages`, normalised ones, holds, by its name; less those without a key."""
        if self.folder is None:
            return {}
        wanted = {pgp.name_of(m): m for m in messages}
        new = {name: m for name, m in wanted.items() if name not in self._known}
        self._known.update(self._asked(dict([*new.items()][:_MOST])))
        found = {name: self._known.get(name) for name in wanted}
        return {name: text for name, text in found.items() if text is not None}

    def _asked(self, messages: Mapping[str, str]) -> dict[str, bytes | None]:
        if not messages or self.folder is None or self.trouble:
            return {}
        try:
            with _home(self.folder) as home:
                return _all(home, messages)
        except OSError as err:
            self.trouble = f"gpg_keys: {self.folder} cannot be used: {err.strerror or err}"
        except SaltbranchError as err:
            self.trouble = f"gpg_keys: {err.message}; {err.hint}"
        return {}


def _all(home: str, messages: Mapping[str, str]) -> dict[str, bytes | None]:
    end = time.monotonic() + _ALL_SECONDS
    found: dict[str, bytes | None] = {}
    for name, message in messages.items():
        if time.monotonic() > end:
            break
        found[name] = _one(home, message)
    return found


def _one(home: str, message: str) -> bytes | None:
    argv = [
        "gpg", "--homedir", home, "--batch", "--no-tty", "--quiet", "--trust-model", "always",
        "--pinentry-mode", "cancel", "--no-auto-key-retrieve", "--no-auto-key-locate",
        "--max-output", str(_LARGEST), "--decrypt",
    ]  # fmt: skip
    done = proc.run(
        argv, _environment(home), timeout=_SECONDS, stdin=f"{message}\n".encode("utf-8", "replace")
    )
    # As Salt does: what comes out counts, also if only a signature could not be verified.
    whole = done.code >= 0 and not done.timed_out and len(done.out) < _LARGEST
    return done.out if done.out and whole else None


@contextlib.contextmanager
def _home(keys: str) -> Iterator[str]:
    """A private folder for gpg with links to what is in `keys`; its agent ends with it."""
    names = os.listdir(keys)
    # A short path: an agent listens at a socket in there (unix(7), sun_path).
    with scratch.folder(f"sb-keys-{os.getpid()}-", "/tmp") as made:
        home = made.path
        for name in names:
            if not name.startswith(_NOT_LINKED) and not name.endswith((".lock", "~")):
                os.symlink(f"{keys}/{name}", f"{home}/{name}")
        try:
            yield home
        finally:
            argv = ["gpgconf", "--homedir", home, "--kill", "gpg-agent"]
            with contextlib.suppress(SaltbranchError):
                proc.run(argv, _environment(home), timeout=_SECONDS)


def _environment(home: str) -> dict[str, str]:
    path = os.environ.get("PATH", os.defpath)
    return {"PATH": path, "LANG": "C.UTF-8", "HOME": home, "GNUPGHOME": home}
