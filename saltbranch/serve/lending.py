"""Bring the labs in step: whose they are, whose pillar they have, which minions; one step of it (labs/lent.py).

In this order, so that who is killed in between leaves what the next sync goes on with, and no minion two saltenvs:
what a lab serves, the link to its pillar while nobody is in it, the file that says who is. On the way back the other
way round. Loaded by a sync whose labs are not as they should be.
"""

from __future__ import annotations

import os
import time

from saltbranch.base import files
from saltbranch.base.text import one_line
from saltbranch.config.lab_places import pillar_link
from saltbranch.labs import lent
from saltbranch.repository import prepared
from saltbranch.salt_master.file_list import clear_file_list
from saltbranch.serve.run import WAITING, SaltenvResult
from saltbranch.serve.slots import SERVED, Slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from saltbranch.labs.lent import Lent, Step
    from saltbranch.repository.prepared import ServedSaltenv
    from saltbranch.serve.run import Run

# Nanoseconds between the times of two versions of the file: Salt's hash cache goes by them. A clock's step is shorter.
_LATER = 10_000_000


class Lending:
    """One step of it, in two parts: before the labs are served, and after that."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._root = run.ready.root
        self._path = files.lent_path(self._root)
        self._wanted = lent.wanted_of(run.choices.labs)
        self._old = lent.loads(files.read_or_none(self._path))
        for minion, name in run.told.items():
            if self._old.tell.get(minion) == name:
                del self._old.tell[minion]

    def begin(self) -> None:
        """Leave nothing of a branch before in a lab that nobody has. Raises OSError."""
        for name in self._run.ready.lab_names():
            if name not in self._old.labs and os.path.lexists(self._served(name)):
                self._empty(name)

    def holds_up(self, saltenv: ServedSaltenv) -> SaltenvResult | None:
        """What is said of a lab that has to be emptied first."""
        place = self._old.labs.get(saltenv.name)
        if place is None or (place.closing is None and place.is_of(self._wanted.get(saltenv.name))):
            return None
        result = SaltenvResult(saltenv.name, saltenv.branch, None, None)
        result.state = WAITING
        result.message = f"it is emptied first: {place.branch} had it"
        return result

    def step(self, *, plan: bool, restart: str | None) -> tuple[float | None, dict[str, str]]:
        """Do what may be done now, and note it.

        restart: why the running master does not know its configuration. Returns in how many seconds there is more to
        do, None for never, and minion to the saltenv that it has now and is to be told of. Raises OSError.
        """
        at = lent.Moment(time.monotonic(), files.boot_id())  # whatever was checked out took time
        mirror, served = self._run.mirror, set(self._wanted)
        if not plan:
            served = {
                n for n in served if Slots(self._root, prepared.lab_folder(n), mirror).served()
            }
        step = lent.advance(
            self._old,
            self._wanted,
            at,
            served=served,
            busy=self._run.busy,
            may_lend=restart is None,
        )
        self._note(step, plan=plan)
        if plan:
            return None, {}
        for name in step.empty:
            self._empty(name)
        for name, target in step.links.items():
            link = pillar_link(self._root, name)
            os.makedirs(os.path.dirname(link), exist_ok=True)
            if files.readlink_or_none(link) != target:
                files.replace_symlink(target, link)
        _write(self._path, lent.dumps(step.lent))
        new = step.lent
        more = new.is_moving or bool(step.empty)
        waited = new.wait(at) if new.is_moving else 0.0
        return (waited if more else None), dict(new.tell)

    def _served(self, name: str) -> str:
        return f"{self._root}/slots/{prepared.lab_folder(name)}/{SERVED}"

    def _empty(self, name: str) -> None:
        files.unlink(self._served(name))
        if self._run.served.pop(prepared.lab_folder(name), None):
            prepared.save_served(self._root, self._run.served)
        clear_file_list(self._run.ready.cachedir, name)

    def _note(self, step: Step, *, plan: bool) -> None:
        said, old, new = self._run.notes, self._old, step.lent
        would = "would be " if plan else "is being "
        for minion in sorted(new.moving.keys() - old.moving.keys()):
            source = new.moving[minion].source
            where = f"taken back from {source}" if source else f"lent to {self._home(minion)}"
            said.append(one_line(f"{minion} {would}{where}: until that is done it gets nothing"))
        for minion in sorted(old.moving.keys() - new.moving.keys()):
            has = new.lent.get(minion)
            text = f"{minion} has {has} now" if has else f"{minion} has its own saltenv again"
            said.append(one_line(text))
        said += [f"{name} is empty" for name in step.empty]

    def _home(self, minion: str) -> str:
        return next((n for n, w in self._wanted.items() if minion in w.minions), "")


def _write(path: str, text: str) -> None:
    """Replace the file by one rename(2), with a time of its own. Raises OSError."""
    if files.read_or_none(path) == text.encode():
        return
    temporary = path + files.ASIDE
    files.unlink(temporary)
    try:
        files.write_atomic(temporary, text)
        os.utime(temporary, ns=(times := _time_after(path), times))
        os.replace(temporary, path)
    except BaseException:
        files.unlink(temporary)
        raise


def _time_after(path: str) -> int:
    try:
        return max(time.time_ns(), os.stat(path).st_mtime_ns + _LATER)
    except OSError:
        return time.time_ns()


def said(root: str) -> Lent:
    """What the file says now."""
    return lent.loads(files.read_or_none(files.lent_path(root)))
