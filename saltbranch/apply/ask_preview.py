"""What the preview says of minions between two commits, asked within a limit of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from saltbranch.apply.stays import Stays, what_stays
from saltbranch.base.durations import shown_duration
from saltbranch.base.errors import SaltbranchError
from saltbranch.compiler.model import Chunk, Minion
from saltbranch.compiler.pool import compile_fleet
from saltbranch.preview import known_fleet
from saltbranch.preview.compare import cache_of, compare, frame_of
from saltbranch.preview.difference import MinionDiff
from saltbranch.preview.repository_and_master import RepositoryAndMaster, place_of
from saltbranch.repository.clone_or_mirror import CloneOrMirror
from saltbranch.repository.commit_source import Side

SECONDS = 60.0
"""For all questions of a plan: what is compiled is kept, so the next plan gets further."""
_SLICE = 20  # minions that are compared at once; the time is looked at in between
_NO_RECORD = "the fleet has no record of it"


@dataclass(frozen=True, slots=True)
class Compared:
    """diffs: by minion. unknown: minions that have none, and why."""

    diffs: Mapping[str, MinionDiff] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)


class Preview:
    """The preview of a saltenv's minions; it raises nothing that is expected, but says why something is not known."""

    def __init__(
        self,
        where: CloneOrMirror,
        saltenv: str,
        *,
        seconds: float = SECONDS,
        tell: Callable[[int, int], None] = lambda done, of: None,
    ) -> None:
        """seconds: for all questions together. tell: how many minions of a question are done."""
        self._where = where
        self._saltenv = saltenv
        self._seconds = seconds
        self._left = seconds
        self._tell = tell
        self._place: RepositoryAndMaster | None = None
        self._fleet: dict[str, Minion] = {}

    def compare(self, before: str, after: str, minions: Iterable[str]) -> Compared:
        """What `after` changes for `minions` that have `before`, both commits."""
        ids = sorted(set(minions))
        begin, diffs = time.monotonic(), dict[str, MinionDiff]()
        try:
            place = self._open()
            known = [m for m in ids if m in self._fleet]
            sides = Side(before[:12], before, self._saltenv), Side(after[:12], after, self._saltenv)
            for at in range(0, len(known), _SLICE):
                if time.monotonic() - begin >= self._left:
                    break
                slice_ = [self._fleet[m] for m in known[at : at + _SLICE]]
                diffs |= {d.minion: d for d in compare(place, *sides, slice_).minions}
                self._tell(len(diffs), len(known))
        except SaltbranchError as err:
            return Compared(diffs, {m: err.message.split("\n")[0] for m in ids if m not in diffs})
        finally:
            self._left -= time.monotonic() - begin
        late = f"comparing took longer than {shown_duration(self._seconds)}"
        lacking = {m: late if m in self._fleet else _NO_RECORD for m in ids if m not in diffs}
        return Compared(diffs, lacking)

    def stays(self, commit: str, former: str, minions: Iterable[str]) -> Stays:
        """What stays on `minions` that go back from `commit` to `former`."""
        found = self.compare(commit, former, minions)
        return what_stays(former, found.diffs.values(), found.unknown)

    def minions(self) -> list[str]:
        """The ids of those that the fleet has of the saltenv; none where there is no fleet here."""
        try:
            self._open()
        except SaltbranchError:
            return []
        return sorted(self._fleet)

    def chunks(self, commit: str, minions: Iterable[str]) -> dict[str, Sequence[Chunk]]:
        """The states of `minions` with `commit`, of those where they are known: after `compare`, from the cache."""
        known = [self._fleet[m] for m in minions if m in self._fleet]
        if not known or self._left <= 0:
            return {}
        try:
            place = self._open()
            frame = frame_of(place)
            tree = frame.tree(place.repository.git, commit)
            cache = cache_of(place.config, enabled=True)
            found = compile_fleet(frame, tree, known, jobs=1, cache=cache)
        except SaltbranchError:
            return {}
        return {minion: compiled.chunks for minion, compiled in found.items()}

    def _open(self) -> RepositoryAndMaster:
        if self._place is None:
            place = place_of(self._where)
            loaded = known_fleet.load(place, [self._saltenv])
            self._fleet = {m.id: m for m in loaded.minions if m.saltenv == self._saltenv}
            self._place = place
        return self._place
