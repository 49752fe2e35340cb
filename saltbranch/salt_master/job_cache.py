"""State runs in a master's job cache: which were published, and who has not returned them.

Salt's default cache is read as it lies on the disk, since it is looked at many times a second; any other one through
Salt's returner of that name.
"""

from __future__ import annotations

import calendar
import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from saltbranch.base.errors import SaltError

_DAY = 86400  # seconds after which nothing is looked for any more; Salt forgets jobs by then
_UNSETTLED = 0.3  # seconds that a job may take between its folder and its content
_MOST = 50_000  # minions of one job that are looked at

# Functions of the module `state` that neither read states nor run any.
_OTHERS = frozenset(
    "running pause resume soft_kill get_pauses rm_pause check_request clear_request clear_cache disable enable"
    " list_disabled event test".split()
)


@dataclass(frozen=True, slots=True)
class Job:
    """A published job. minions: whom it was meant for and who has not returned."""

    jid: str
    function: str
    since: float
    minions: tuple[str, ...]
    saltenvs: tuple[str, ...] = ()


def state_function(fun: object) -> str:
    """The function of a job that runs states or reads them; empty for another job."""
    names = [str(name) for name in fun] if isinstance(fun, list) else [str(fun)]
    for name in names:
        module, _, function = name.partition(".")
        if module == "state" and function not in _OTHERS:
            return name
    return ""


def named_saltenvs(arguments: object) -> set[str]:
    """The saltenvs and pillarenvs that a job's arguments name, as Salt's clients write them."""
    found: set[str] = set()
    for item in arguments if isinstance(arguments, (list, tuple)) else ():
        if isinstance(item, Mapping):
            found |= {str(v) for k, v in item.items() if k in ("saltenv", "pillarenv") and v}
        elif isinstance(item, str):
            key, _, value = item.partition("=")
            if key in ("saltenv", "pillarenv") and value:
                found.add(value)
        else:
            found |= named_saltenvs(item)
    return found


class LocalJobs:
    """The job cache on disk (salt/returners/local_cache.py).

    ``jobs/<2 digits>/<the rest>/``: ``.load.p``, ``.minions.p``, and a folder for each minion that returned.
    """

    def __init__(self, folder: str, loads: Any) -> None:
        """loads: reads Salt's own serialisation, and raises ValueError where it is none."""
        self._folder = folder
        self._loads = loads
        self._others: set[str] = set()  # jobs that are no state runs
        self._tops: dict[str, tuple[int, list[str]]] = {}  # by folder: its time, and what is in it
        self._known: dict[str, tuple[int, Job]] = {}  # by folder: its time, and the job

    def open(self) -> list[Job]:
        """State runs of the last day that somebody has not returned. Raises OSError."""
        deadline = time.monotonic() + _UNSETTLED
        while True:
            found, unsettled = self._scan()
            if not unsettled or time.monotonic() > deadline:
                return found
            time.sleep(0.02)

    def _scan(self) -> tuple[list[Job], bool]:
        found, unsettled = [], False
        known, self._known = self._known, {}
        oldest = time.time() - _DAY
        for path in self._folders():
            try:
                changed = os.stat(path).st_mtime_ns
                at, job = known.get(path, (0, None))
                if at != changed or job is None:
                    at, job = _settled(changed), self._read(path)
            except FileNotFoundError:
                unsettled = unsettled or _is_new(path)
                continue
            except (NotADirectoryError, ValueError, TypeError, KeyError, AttributeError):
                self._others.add(path)  # no job of a master
                continue
            if job is None or job.since < oldest:
                self._others.add(path)
                continue
            self._known[path] = at, job
            if job.minions:
                found.append(job)
        return found, unsettled

    def _folders(self) -> Iterator[str]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as tops:
            for top in tops:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    yield from self._inside(top)

    def _inside(self, top: os.DirEntry[str]) -> list[str]:
        """The jobs of one of the 256 folders that may be state runs; listed anew only where one came or went."""
        changed = os.stat(top.path).st_mtime_ns
        at, paths = self._tops.get(top.path, (0, []))
        if at != changed:
            at = _settled(changed)
            paths = [f"{top.path}/{name}" for name in os.listdir(top.path)]
        paths = [path for path in paths if path not in self._others]
        self._tops[top.path] = at, paths
        return paths

    def _read(self, path: str) -> Job | None:
        """The job and who has not returned; None for another one. A batch adds minions to a job that is there."""
        since = os.stat(f"{path}/.load.p").st_mtime
        with open(f"{path}/.load.p", "rb") as file:
            data = self._loads(file.read())
        function = state_function(data["fun"])
        # A return that came without a job (`salt-call`, or made up) is stored as if it were one.
        if not function or "return" in data:
            return None
        with open(f"{path}/.minions.p", "rb") as file:
            ids = self._loads(file.read())
        returned = set(os.listdir(path))
        left = tuple(str(minion) for minion in ids[:_MOST] if str(minion) not in returned)
        saltenvs = tuple(sorted(named_saltenvs(data.get("arg"))))
        return Job(str(data["jid"]), function, since, left, saltenvs)


def _settled(changed: int) -> int:
    """The time of a folder by which it is known again; 0 while more may come in the same tick of that clock."""
    return changed if time.time_ns() - changed > 1_000_000_000 else 0


def _is_new(path: str) -> bool:
    try:
        return time.time() - os.stat(path).st_mtime < 2 * _UNSETTLED
    except OSError:
        return False


class OtherJobs:
    """A job cache elsewhere, read through Salt's returner of that name."""

    def __init__(self, name: str, returners: Any, *, utc: bool = False) -> None:
        """utc: whether the ids of jobs are in UTC, not in local time."""
        self._name = name
        self._returners = returners
        self._utc = utc

    def open(self) -> list[Job]:
        """State runs of the last day that somebody has not returned. Raises SaltError."""
        oldest = time.time() - _DAY
        try:
            jids = self._returners[f"{self._name}.get_jids"]()
            return [job for jid, told in jids.items() if (job := self._job(str(jid), told, oldest))]
        except Exception as err:  # whatever a returner makes of its database
            raise SaltError(f"the job cache {self._name} cannot be read: {err}") from err

    def _job(self, jid: str, told: Mapping[str, Any], oldest: float) -> Job | None:
        function = state_function(told.get("Function"))
        if not function:
            return None
        load = self._returners[f"{self._name}.get_load"](jid) or {}
        since = _time_of(jid, utc=self._utc)
        if since < oldest or "return" in load:
            return None
        returned = self._returners[f"{self._name}.get_jid"](jid) or {}
        ids = load.get("Minions") or told.get("Minions") or []
        left = tuple(str(m) for m in ids if m not in returned)
        saltenvs = tuple(sorted(named_saltenvs(load.get("arg"))))
        return Job(jid, function, since, left, saltenvs) if left else None


def _time_of(jid: str, *, utc: bool) -> float:
    """When a job was published, to the second: its id says so (salt/utils/jid.py)."""
    try:
        parsed = time.strptime(jid[:14], "%Y%m%d%H%M%S")
        return float(calendar.timegm(parsed)) if utc else time.mktime(parsed)
    except ValueError:
        return 0.0
