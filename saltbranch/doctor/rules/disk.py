"""Who may read and write what is served, whether its times are honest, and whether there is
room.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from saltbranch.base.text import many, some
from saltbranch.doctor.finding import Finding
from saltbranch.git.program import quoted

_CLOCK_STEP = 60 * 10**9  # nanoseconds; a clock that was set in between is not a sign of old files
_LEAST_BYTES = 512 << 20
_LEAST_INODES = 20_000


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine, with every group it is in."""

    name: str
    uid: int
    gids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or folder: mode, owner and group as in stat(2); `reachable` by users of neither."""

    path: str
    mode: int
    uid: int
    gid: int
    reachable: bool = False

    def allows(self, account: Account, bits: int) -> bool:
        """Whether `account` has the permission `bits` (4 read, 2 write, 1 pass) here
        (path_resolution(7)).
        """
        if account.uid == 0:
            return True
        shift = 6 if account.uid == self.uid else 3 if self.gid in account.gids else 0
        return (self.mode >> shift) & bits == bits


@dataclass(frozen=True, slots=True)
class Dated:
    """When a served file was written. Times in nanoseconds since 1970.

    slot_made: when git began to write that branch's slots. copied: the file of the same name in the
    other slot differs and has the same time.
    """

    path: str
    written: int
    slot_made: int
    copied: bool = False


def modes(entries: Sequence[Entry]) -> Iterator[Finding]:
    """Pillar is for the owner and the master's group, and only the owner changes what is served."""
    open_to_all = tuple(
        e.path for e in entries if e.reachable and e.mode & 0o004 and stat.S_ISREG(e.mode)
    )
    if open_to_all:
        yield Finding(
            "readable-by-others",
            "error",
            "every user of this machine can read what is served, for example"
            f" {some(open_to_all, 2)}",
            why="Checkouts hold pillar, and pillar holds secrets.",
            fix=f"chmod -R o= {quoted(entries[0].path)}",
            items=open_to_all,
        )
    writable = tuple(e.path for e in entries if e.mode & 0o022 and not stat.S_ISLNK(e.mode))
    if writable:
        yield Finding(
            "writable-by-others",
            "warning",
            f"not only their owner can change {some(writable, 3)}",
            why="Whoever can write there runs commands as root on the minions.",
            fix=f"chmod -R g-w,o-w {quoted(entries[0].path)}",
            items=writable,
        )


def owners(entries: Sequence[Entry], uid: int) -> Iterator[Finding]:
    """git refuses a repository of somebody else, and cannot replace files of somebody else.

    uid: who runs saltbranch here. The first entry is the root.
    """
    root = entries[0]
    if root.uid != uid:
        yield Finding(
            "root-owner",
            "warning",
            f"{root.path} belongs to user id {root.uid}, this is user id {uid}",
            "Only its owner can sync it; what git knows was not looked at.",
            f"run saltbranch as the owner: sudo -u '#{root.uid}' saltbranch doctor",
        )
    strange = tuple(entry.path for entry in entries if entry.uid != root.uid)
    if strange:
        yield Finding(
            "wrong-owner",
            "warning",
            f"{many(len(strange), 'file')} below {root.path} not owned by the root's owner (user id"
            f" {root.uid}): {some(strange, 2)}",
            why="A sync may be unable to replace them.",
            fix=f"chown -R --no-dereference {root.uid} {quoted(root.path)}",
            items=strange,
        )


def master_access(entries: Sequence[Entry], master: Account | None) -> Iterator[Finding]:
    """The master opens the files as its own user."""
    if master is None:
        return
    shut = tuple(
        e.path
        for e in entries
        if not stat.S_ISLNK(e.mode) and not e.allows(master, 5 if stat.S_ISDIR(e.mode) else 4)
    )
    if shut:
        yield Finding(
            "master-cannot-read",
            "error",
            f"the salt-master runs as {master.name}, who cannot read {some(shut, 3)}",
            why="To the master these files do not exist, so highstates and pillar are empty.",
            fix=f"write group: with a group of {master.name} in saltbranch.yaml and run saltbranch"
            " sync",
            items=shut,
        )


def parents(folders: Sequence[Entry], master: Account | None) -> Iterator[Finding]:
    """The folders above the root must let the master's user pass."""
    shut = tuple(e.path for e in folders if master is not None and not e.allows(master, 1))
    if shut and master is not None:
        yield Finding(
            "master-cannot-read",
            "error",
            f"the salt-master runs as {master.name}, who cannot pass {some(shut)}",
            why="To the master nothing below it exists, so highstates and pillar are empty.",
            fix=f"chmod o+x {' '.join(map(quoted, shut))}",
            items=shut,
        )


def times(files: Sequence[Dated]) -> Iterator[Finding]:
    """fileserver/roots.py, file_hash: a cached hash is trusted while the mtime is equal, nothing
    else.
    """
    kept = tuple(f.path for f in files if f.copied or f.written < f.slot_made - _CLOCK_STEP)
    if kept:
        yield Finding(
            "preserved-mtime",
            "warning",
            f"{len(kept)} of {len(files)} served files looked at carry a time from before they were"
            f" written here, for example {some(kept, 2)}",
            why="Salt knows a changed file by its time alone, so minions may keep an old revision for"
            " ever.",
            fix="touch these files, and let no cp -a, rsync -a, tar or touch -d work in the checkouts",
            items=kept,
        )


def space(free_bytes: int, free_inodes: int | None, folder: str) -> Iterator[Finding]:
    """Room for a fetch and for a checkout. free_inodes: None on a file system that does not count
    them.
    """
    short = [f"{free_bytes >> 20} MiB"] if free_bytes < _LEAST_BYTES else []
    if free_inodes is not None and free_inodes < _LEAST_INODES:
        short.append(f"{free_inodes} inodes")
    if short:
        yield Finding(
            "disk-space",
            "warning",
            f"only {' and '.join(short)} are free where {folder} lies",
            "A sync that runs out of room serves nothing new.",
            "free some space, or move the root: to a larger file system",
        )
