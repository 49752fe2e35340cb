"""A saltenv that is being applied to its minions is not switched meanwhile.

The apply says so in a file of this master, with an end that it moves on while it lives: it needs no remote, and one
that dies keeps nobody waiting for longer than that. Whoever applies may switch to the commit that the file names.

Looked at by a sync that has something to switch.
"""

from __future__ import annotations

import json
import os
import time

from saltbranch.base import files
from saltbranch.base.durations import iso, shown_duration
from saltbranch.serve.run import WAITING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from saltbranch.serve.run import Job, Run

SECONDS = 300.0
"""How long a lease lasts unless it is renewed."""
FOLDER = "state/applies"


class Lease:
    """The apply `apply` of `by` runs since `since` with `commit`; `until`: its end. Times in seconds since 1970."""

    __slots__ = ("apply", "by", "commit", "since", "until")

    def __init__(self, apply: str, commit: str, by: str, since: float, until: float) -> None:
        self.apply = apply
        self.commit = commit
        self.by = by
        self.since = since
        self.until = until

    def told(self, saltenv: str) -> str:
        """For people: who applies since when, and how that is ended."""
        left = shown_duration(self.until - time.time())
        return (
            f"{saltenv} is being applied at {self.commit[:12]} by {self.by} since {iso(self.since)}; it goes on"
            f" afterwards, or in {left} if that apply was killed (saltbranch apply --abort {self.apply} ends it)"
        )


def _path(root: str, dirname: str) -> str:
    return f"{root}/{FOLDER}/lease-{dirname}"


def read(root: str, dirname: str, now: float) -> Lease | None:
    """The lease on the saltenv with that folder name; None where there is none, or it is over."""
    data = files.read_or_none(_path(root, dirname))
    if data is None:
        return None
    try:
        lease = Lease(**json.loads(data))
        # More is left only where the clock went back.
        return lease if 0 < lease.until - now <= SECONDS else None
    except (ValueError, TypeError):
        return None


def write(root: str, dirname: str, lease: Lease) -> None:
    """Hold the saltenv until the lease ends. Raises OSError."""
    path = _path(root, dirname)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.write_atomic(path, json.dumps({key: getattr(lease, key) for key in Lease.__slots__}))


def drop(root: str, dirname: str) -> None:
    """Let the saltenv be switched again. Raises OSError."""
    files.unlink(_path(root, dirname))


def without_leased(run: Run, jobs: list[Job]) -> list[Job]:
    """Those of `jobs` that may be switched now; the results of the others say why they wait."""
    kept, now = [], time.time()
    for job in jobs:
        result = job.result
        lease = None
        if result.old and result.old != result.new:
            lease = read(run.ready.root, job.saltenv.dirname, now)
        if lease is None or lease.commit == result.new:
            kept.append(job)
            continue
        result.changed, result.state = False, WAITING
        result.message = "; ".join(filter(None, [result.message, lease.told(result.saltenv)]))
    return kept
