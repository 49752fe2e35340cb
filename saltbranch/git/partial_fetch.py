"""Fetch what can be fetched where one fetch for everything failed, so that a bad ref stops only itself.

Loaded only then. What is still to come is fetched at once, halved where that fails, until what is bad stands
alone. Each try is a connection, so for refs that nobody serves there are only so many of them: where a remote has
hundreds of bad refs the next run continues. The journal comes first, so that no branch is read before the hold on it
is: a hold that was lifted while this goes on counts until it is known that it was.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence

from saltbranch.base import proc
from saltbranch.git.program import Git, failed, mask

_MOST_TRIES = 40  # fetches for what no saltenv serves
_GIVEN_UP = (
    "not fetched: too much of the remote cannot be read to single it out; the next run continues"
)
_LONGEST = 300  # characters of a reason: git repeats names that may be as long as a path


class PartFetch:
    """One remote, read in parts. below: where its `refs/` are kept here; kinds: which of them are.

    before_all: the full name of the ref that comes before all others. seconds: for all of it.
    fetch: runs `git fetch` with these refspecs, for so many seconds.
    """

    def __init__(
        self,
        git: Git,
        remote: str,
        *,
        fetch: Callable[[list[str], float], proc.Finished],
        below: str,
        kinds: Sequence[str],
        before_all: str,
        seconds: float,
    ) -> None:
        self.git = git
        self.remote = remote
        self.fetch = fetch
        self.below = below
        self.kinds = kinds
        self.before_all = before_all
        self.deadline = time.monotonic() + seconds
        self.there: dict[str, str] = {}
        self.unread: dict[str, str] = {}

    def run(self, first: Sequence[str]) -> dict[str, str] | None:
        """What could not be read: full ref to reason. None where the remote does not even list its refs.

        first: branches that come before others. Raises GitError when the repository here cannot be changed.
        """
        names = [f"refs/{kind}/*" for kind in self.kinds]
        seconds = min(30, max(1, self.deadline - time.monotonic()))
        done = self.git.run("ls-remote", "--quiet", "--", self.remote, *names, timeout=seconds)
        if done.code != 0:
            return None
        prefixes = tuple(name[:-1] for name in names)
        for line in done.text.split("\n"):
            oid, _, ref = line.partition("\t")
            if ref.startswith(prefixes) and not ref.endswith("^{}"):
                self.there[ref] = oid
        self._forget_gone()
        branches = {f"refs/heads/{name}" for name in first}
        early = [r for r in self.there if r in branches or r == self.before_all]
        early.sort(key=lambda ref: ref != self.before_all)
        self._take(self._missing(early))
        chosen = set(early)
        self._take_some(self._missing([ref for ref in self.there if ref not in chosen]))
        return self.unread

    def _take(self, refs: list[str]) -> None:
        """Fetch `refs`, the first ones before the others."""
        for part in self._try(refs):
            self._take(part)

    def _take_some(self, refs: list[str]) -> None:
        """Fetch `refs` as far as _MOST_TRIES goes: first many at once, then one by one.

        In another order each time, so that what is good among hundreds of bad ones comes in the end.
        """
        random.shuffle(refs)
        waiting = [refs] if refs else []
        for number in range(_MOST_TRIES):
            if not waiting:
                return
            waiting.sort(key=len)
            waiting += self._try(waiting.pop(-1 if number < _MOST_TRIES // 2 else 0))
        self.unread.update(dict.fromkeys((ref for part in waiting for ref in part), _GIVEN_UP))

    def _try(self, refs: list[str]) -> list[list[str]]:
        """Fetch `refs`; in which parts to go on."""
        if not refs:
            return []
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            self.unread.update(dict.fromkeys(refs, "there was no time left to fetch it"))
            return []
        done = self.fetch([f"+{ref}:{self._place(ref)}" for ref in refs], seconds)
        if done.code == 0:
            return []
        if len(refs) == 1:
            self.unread[refs[0]] = _reason(done)
            return []
        # A ref that cannot be written here stops no other, an object that is refused stops them all.
        refs = self._missing(refs)
        half = (len(refs) + 1) // 2
        return [part for part in (refs[:half], refs[half:]) if part]

    def _place(self, ref: str) -> str:
        return f"{self.below}/{ref[5:]}"

    def _here(self) -> dict[str, str]:
        """The remote's refs as they are kept here."""
        places = [f"{self.below}/{kind}" for kind in self.kinds]
        text = self.git.out("for-each-ref", "--format=%(objectname) %(refname)", *places)
        pairs = (line.partition(" ") for line in text.split("\n") if line)
        return {f"refs{ref[len(self.below) :]}": oid for oid, _, ref in pairs}

    def _missing(self, refs: Sequence[str]) -> list[str]:
        here = self._here()
        return [ref for ref in refs if here.get(ref) != self.there[ref]]

    def _forget_gone(self) -> None:
        """Remove what the remote does not have any more, as --prune does; it may be in the way, too."""
        gone = [self._place(ref) for ref in self._here() if ref not in self.there]
        if not gone:
            return
        text = "".join(f"delete {ref}\0\0" for ref in gone)
        done = self.git.run("update-ref", "-z", "--stdin", stdin=os.fsencode(text))
        if done.code != 0:
            raise failed(done, self.git.directory)


def _reason(done: proc.Finished) -> str:
    """What git says about one ref, on one line."""
    if done.timed_out:
        return "it was not here in time (fetch_timeout: in saltbranch.yaml gives it longer)"
    lines = mask(done.complaint).split("\n")
    errors = [line for line in lines if line.startswith(("error: ", "fatal: "))]
    text = (errors or lines)[0].removeprefix("error: ").removeprefix("fatal: ")
    text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def remove_cut_off(git_dir: str, *, since: float = 0) -> None:
    """Remove the packs that fetches which were cut off left; a fetch that still writes one keeps it.

    since: only those written after that time, in seconds since 1970.
    """
    folder = os.path.realpath(f"{git_dir}/objects/pack")
    left = [f"{folder}/{name}" for name in os.listdir(folder) if is_cut_off(name)]
    if not left:
        return
    busy = _open_files()
    for path in left:
        try:
            if path not in busy and os.stat(path).st_mtime >= since:
                os.unlink(path)
        except FileNotFoundError:
            pass


def is_cut_off(name: str) -> bool:
    """Whether git calls a file that becomes a pack so, before it is one (index-pack, pack-objects)."""
    return name.startswith(("tmp_pack_", "tmp_idx_", "tmp_rev_"))


def _open_files() -> set[str]:
    """What the processes of this user have open (proc(5))."""
    found = set()
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                links = [f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd")]
            except OSError:
                continue
            for link in links:
                try:
                    found.add(os.readlink(link))
                except OSError:
                    pass
    return found
