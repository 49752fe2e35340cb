"""Gather what lies below the root: who may read it, what git says of it, how the last sync went."""

from __future__ import annotations

import glob
import os
import pwd
import stat
import time
from collections.abc import Iterator

from saltbranch.base import files
from saltbranch.base.errors import RefusedError, SaltbranchError, SaltError
from saltbranch.base.text import printable
from saltbranch.config.lab_places import FOLDER as LABS
from saltbranch.config.lab_places import lab_saltenvs
from saltbranch.config.model import Config, Saltenv
from saltbranch.config.roots import KINDS
from saltbranch.doctor.finding import Finding
from saltbranch.doctor.gather import notifications, timers
from saltbranch.doctor.rules import disk, setup
from saltbranch.doctor.rules.disk import Account, Dated, Entry
from saltbranch.doctor.rules.setup import ServedSlot
from saltbranch.git.mirror import Mirror
from saltbranch.journal import accepted
from saltbranch.journal.tips import Push
from saltbranch.repository import prepared, servable
from saltbranch.repository.composition import OnDisk, compose
from saltbranch.salt_master.options import MasterOptions
from saltbranch.serve import compose as composing
from saltbranch.serve import decide, prepare, verify
from saltbranch.serve.formulas import is_let_in
from saltbranch.serve.slots import NAMES, Slots

_MOST_ENTRIES = 3000  # of each slot: a mistake in modes or times is hardly ever made in one file
_TELLING = 200  # characters by which a line of ours is known again
_READ_BY_MASTER = ("tops", "checkouts", "slots", LABS)


def look(config: Config, master: MasterOptions) -> Iterator[Finding]:
    """Everything below the root of `config`."""
    root = config.root
    yield from look_outside(root, master)
    if not os.path.isdir(root):
        return
    files.refuse_newer(root, os.listdir(root))
    mine = os.stat(root).st_uid == os.geteuid()
    yield from setup.served([_slot(config, saltenv, mine=mine) for saltenv in config.saltenvs])
    yield from disk.times([dated for s in config.saltenvs for dated in _dates(config, s)])
    yield from setup.lfs_pointers([path for s in config.saltenvs for path in _pointers(config, s)])
    yield from setup.unlisted_submodules(
        [found for s in config.saltenvs for found in _unlisted(config, s)]
    )
    yield from setup.orphans(sorted(_orphans(config)))
    yield from setup.damaged_mirrors(sorted(glob.glob(f"{glob.escape(root)}/mirror.git.damaged-*")))
    pushed = _pushed(config)
    yield from setup.syncs(
        failure=_failure(config, pushed),
        last_good=_mtime_or_none(f"{root}/state/seen"),
        now=time.time(),
        timers=timers.find(master.opts),
    )
    yield from setup.unread(prepared.load_unread(root))
    yield from setup.clock(_clock(root))
    yield from setup.pushed_by_hand(pushed)
    yield from notifications.look(config)


def _failure(config: Config, pushed: dict[str, Push]) -> str | None:
    """Why the last sync failed, without what other findings tell: pushes by hand, top files that do not render."""
    told = [printable(push.told()) for push in pushed.values() if push.is_refused]
    for saltenv in config.saltenvs:
        verdict = verify.load(config.root, saltenv.name)
        if verdict and verdict.outcome == verify.REFUSED:
            told.append(verdict.told())
    lines = (prepare.last_failure(config) or "").split("\n")
    left = [line for line in lines if not any(text[:_TELLING] in line for text in told)]
    return "\n".join(left) or None


def _clock(root: str) -> str:
    """What the journal says against this machine's clock; nothing where it cannot be read, which others tell."""
    mirror = Mirror(root)
    try:
        state = accepted.state_of(root, mirror.git, mirror.refs()) if mirror.exists() else None
    except SaltbranchError:
        return ""
    return state.clock_problem(time.time()) if state else ""


def _pushed(config: Config) -> dict[str, Push]:
    """Saltenv to what was pushed to its branch by hand, as the last sync saw it."""
    root, mirror = config.root, Mirror(config.root)
    if not mirror.exists():
        return {}
    refs, served = mirror.refs(tags=True), prepared.load_served(root)
    facts = prepare.last_facts(config, mirror, refs, served, now=time.time())
    return decide.open_pushes(facts, decide.choose(facts))


def look_outside(root: str, master: MasterOptions) -> Iterator[Finding]:
    """Owners, modes and room: what can be seen without knowing the saltenvs."""
    if not os.path.isdir(root):
        yield Finding(
            "not-served",
            "error",
            f"nothing is served: the root {root} does not exist",
            "No minion gets anything from saltbranch.",
            "run saltbranch sync",
        )
        return
    entries = list(_entries(root))
    yield from disk.owners(entries, os.geteuid())
    yield from disk.modes(entries)
    if master.exists:
        account = _account(master)
        places = tuple(f"{root}/{name}" for name in _READ_BY_MASTER)
        shown = [e for e in entries if e.path == root or e.path.startswith(places)]
        yield from disk.parents(list(_parents(root)), account)
        yield from disk.master_access(shown, account)
    room = os.statvfs(root)
    inodes = room.f_favail if room.f_files else None
    yield from disk.space(room.f_bavail * room.f_frsize, inodes, root)


def _account(master: MasterOptions) -> Account:
    try:
        user = pwd.getpwnam(master.user)
    except KeyError as err:
        raise SaltError(
            f"{master.path}: user: there is no user {master.user!r} on this machine",
            hint="fix user: in the master's configuration",
        ) from err
    return Account(master.user, user.pw_uid, frozenset(os.getgrouplist(master.user, user.pw_gid)))


def _parents(root: str) -> Iterator[Entry]:
    folder = os.path.dirname(os.path.realpath(root))
    while folder != "/":
        yield _entry(folder, reachable=True)
        folder = os.path.dirname(folder)


def _entry(path: str, *, reachable: bool) -> Entry:
    st = os.lstat(path)
    return Entry(path, st.st_mode, st.st_uid, st.st_gid, reachable)


def _entries(root: str) -> Iterator[Entry]:
    """The root first; then what is in it, of each slot a part."""
    top = _entry(root, reachable=True)
    yield top
    passable = bool(top.mode & 0o001)
    for name in sorted(os.listdir(root)):
        path = f"{root}/{name}"
        if name in ("tops", "checkouts"):
            yield from _walk(path, reachable=passable)
        elif name == "slots":
            for folder in (path, *sorted(glob.glob(f"{glob.escape(path)}/*"))):
                inner = _entry(folder, reachable=passable)
                yield inner
            for slot in sorted(glob.glob(f"{glob.escape(path)}/*/[ab]")):
                open_above = all(os.stat(f).st_mode & 0o001 for f in (path, os.path.dirname(slot)))
                yield from _walk(slot, reachable=passable and open_above)
        elif not name.endswith(".saltbranch-new"):
            yield _entry(path, reachable=passable)


def _walk(top: str, *, reachable: bool) -> Iterator[Entry]:
    """`top` and what is below it, up to a limit; folders before what they hold."""
    queue = [(top, reachable)]
    for count, (path, open_above) in enumerate(queue):
        if count >= _MOST_ENTRIES:
            return
        entry = _entry(path, reachable=open_above)
        yield entry
        if stat.S_ISDIR(entry.mode) and len(queue) < _MOST_ENTRIES:
            names = sorted(os.listdir(path))
            queue += [(f"{path}/{name}", open_above and bool(entry.mode & 0o001)) for name in names]


def _slot(config: Config, saltenv: Saltenv, *, mine: bool) -> ServedSlot:
    slots = Slots(config.root, saltenv.dirname, Mirror(config.root))
    name = slots.served()
    known = name is not None and slots.head(name) is not None
    return ServedSlot(
        saltenv=saltenv.name,
        branch=saltenv.branch,
        checkout=slots.checkout,
        exists=os.path.lexists(slots.checkout),
        link=files.readlink_or_none(slots.checkout),
        slot=slots.path(name) if name else None,
        known=known,
        differences=_differences(config, slots, name) if name and known and mine else None,
    )


def _differences(config: Config, slots: Slots, name: str) -> tuple[str, ...]:
    return (*slots.differences(name), *composing.differences(slots, name, config.roots))


def _dates(config: Config, saltenv: Saltenv) -> Iterator[Dated]:
    """Times of a part of what the saltenv serves, against when git began to write the slots."""
    slots = Slots(config.root, saltenv.dirname, Mirror(config.root))
    served = slots.served()
    made = [when for name in NAMES if (when := _made_or_none(slots.path(name))) is not None]
    if served is None or not made:
        return
    twin = slots.path("b" if served == "a" else "a")
    for entry in _walk(slots.path(served), reachable=False):
        if stat.S_ISREG(entry.mode):
            below = entry.path[len(slots.path(served)) :]
            written = os.stat(entry.path).st_mtime_ns
            copied = _is_copy(entry.path, f"{twin}{below}")
            yield Dated(entry.path, written, min(made), copied=copied)


def _pointers(config: Config, saltenv: Saltenv) -> Iterator[str]:
    """Git LFS pointers in a part of what the saltenv serves."""
    slots = Slots(config.root, saltenv.dirname, Mirror(config.root))
    served = slots.served()
    tree = slots.path(served) if served else ""
    for top in _tops(config, tree) if served else ():
        for entry in _walk(top, reachable=False) if os.path.isdir(top) else ():
            if stat.S_ISREG(entry.mode) and servable.is_lfs_pointer(entry.path):
                yield f"{slots.checkout}{entry.path[len(tree) :]}"


def _tops(config: Config, tree: str) -> Iterator[str]:
    """The folders in `tree` that states and pillar are made of."""
    for kind in KINDS:
        if word := config.roots.word(kind):
            yield f"{tree}/{word}"
            continue
        try:
            found = compose(config.roots, kind, OnDisk(tree))
        except RefusedError:
            continue
        yield from (f"{tree}/{path}" for path in found.entries.values())


def _unlisted(config: Config, saltenv: Saltenv) -> Iterator[tuple[str, str, str]]:
    """Saltenv, path and URL of each submodule that is served from where none may come from now."""
    slots = Slots(config.root, saltenv.dirname, Mirror(config.root))
    served = slots.served()
    pins = slots.pins(served) if served else None
    for path, placed in pins.placed.items() if pins else ():
        if not is_let_in(placed, config.submodules):
            yield saltenv.name, printable(path), placed.url


def _made_or_none(slot: str) -> int | None:
    """When git made the worktree: it writes `commondir` then and never again
    (gitrepository-layout(5)).
    """
    text = files.read_or_none(f"{slot}/.git") or b""
    try:
        return os.stat(f"{os.fsdecode(text[8:].strip())}/commondir").st_mtime_ns
    except (OSError, ValueError):
        return None


def _is_copy(path: str, twin: str) -> bool:
    """Whether both have one time but not one content, which git never leaves behind."""
    try:
        one, two = os.stat(path), os.lstat(twin)
    except OSError:
        return False
    if (
        one.st_ino == two.st_ino
        or one.st_mtime_ns != two.st_mtime_ns
        or not stat.S_ISREG(two.st_mode)
    ):
        return False
    return files.read_or_none(path) != files.read_or_none(twin)


def _orphans(config: Config) -> Iterator[str]:
    ours = (*config.saltenvs, *lab_saltenvs(config))
    branches, names = {s.dirname for s in ours}, {s.name for s in ours}
    for folder, known in (("slots", branches), ("checkouts", branches), ("tops", names)):
        for path in glob.glob(f"{glob.escape(config.root)}/{folder}/*"):
            name = os.path.basename(path)
            if name not in known and not name.endswith(".saltbranch-new"):
                yield path


def _mtime_or_none(path: str) -> float | None:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None
