"""prune: remove what was made for branches and saltenvs that the configuration no longer names.

Only what is laid out as saltbranch lays it out is touched; everything else is shown and left alone.
What goes is first renamed into a folder `GONE` beside it: no reader sees half of it, and what a
killed run left there is removed by the next one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

from saltbranch.actions.shared import unused_formulas
from saltbranch.base import files
from saltbranch.base.errors import EXIT_PENDING, RefusedError, os_error
from saltbranch.config.lab_places import FOLDER as LABS
from saltbranch.config.lab_places import lab_saltenvs
from saltbranch.config.model import Config
from saltbranch.git import mirror as mirrors
from saltbranch.git.collect import link_of
from saltbranch.git.mirror import FORMULAS, Mirror, remove_tree
from saltbranch.repository import prepared
from saltbranch.repository.machine import load_config
from saltbranch.repository.root import root_of
from saltbranch.salt_master import option_file, process
from saltbranch.salt_master import options as master_options
from saltbranch.serve.lab_rules import still_needed
from saltbranch.serve.own_files import content_of, entries_of, gitdir_of, is_own_tops
from saltbranch.serve.slots import NAMES, PARTS, SERVED, TREE

GONE = ".saltbranch-gone"

# What an item's `kind` can be, in the order in which items are removed: first what names, then what
# is named, so that a run which was killed leaves nothing that leads nowhere.
Kind = Literal["tops", "checkout", "slots", "worktree", "mirror", "leftover"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TOPS: Final = "tops"
CHECKOUT: Final = "checkout"
SLOTS: Final = "slots"
WORKTREE: Final = "worktree"
MIRROR: Final = "mirror"
LEFTOVER: Final = "leftover"

_KNOWN = {
    files.MARKER, files.FIRST_MARKER, FORMULAS, LABS, "lock", "state", "adopt", "journal", "mirror.git", "checkouts",
    "slots", "tops",
}  # fmt: skip
_REGISTRATIONS = (mirrors.WORKTREES, mirrors.LABS)
_UNFINISHED = ".saltbranch-new"
_ASIDE = re.compile(r"mirror\.git\.damaged-[0-9]{8}T[0-9]{6}")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to remove. `path` is absolute."""

    kind: Kind
    path: str
    why: str


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What prune would remove from `root`.

    foreign: paths that are not ours. doubts: reasons to stop that only a person can put aside.
    """

    root: str
    items: tuple[Item, ...]
    foreign: tuple[str, ...]
    doubts: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """3 when there is something to remove."""
        return EXIT_PENDING if self.items else 0

    def check(self, *, force: bool) -> None:
        """Stop where there is doubt that this is meant. Raises RefusedError."""
        if self.doubts and not force:
            raise RefusedError(
                "nothing was removed, there is doubt that this is meant:\n"
                + "\n".join(f"  {doubt}" for doubt in self.doubts),
                hint="if it is meant: saltbranch prune --force",
            )

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return _as_dict(self, removed=False)


@dataclass(frozen=True, slots=True)
class PruneResult:
    """What was removed: all that the plan says."""

    plan: PrunePlan

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return _as_dict(self.plan, removed=True)


def _as_dict(plan: PrunePlan, *, removed: bool) -> dict[str, object]:
    items = [{"kind": i.kind, "path": i.path, "why": i.why, "removed": removed} for i in plan.items]
    return {
        "version": 1,
        "plan": not removed,
        "root": plan.root,
        "items": items,
        "foreign": list(plan.foreign),
        "doubts": list(plan.doubts),
    }


def plan_prune(
    config_path: str, *, wait: float = 0, waiting: Callable[[str], None] | None = None
) -> PrunePlan:
    """What no longer belongs to the configuration, without the network and without touching it.

    wait: seconds to wait for the lock.
    Raises ConfigError, RootError, GitError, SaltError, LockedError.
    """
    root = root_of(config_path)
    with files.Lock(f"{root}/lock", wait=wait, waiting=waiting):
        return _plan(config_path, root)


def apply_prune(
    config_path: str,
    plan: PrunePlan,
    *,
    force: bool = False,
    wait: float = 0,
    waiting: Callable[[str], None] | None = None,
) -> PruneResult:
    """Remove what `plan` says, provided that it is still what a new plan would say.

    force: also where the plan has doubts. Raises what plan_prune raises, and RefusedError.
    """
    root = root_of(config_path)
    with files.Lock(f"{root}/lock", wait=wait, waiting=waiting):
        now = _plan(config_path, root)
        if now != plan:
            raise RefusedError(
                f"nothing was removed: {root} or its configuration changed since the plan was made",
                hint="look at it again: saltbranch prune --plan",
            )
        plan.check(force=force)
        try:
            with unused_formulas.locked(root, [item.path for item in plan.items]):
                _remove(plan)
        except OSError as err:
            raise os_error(err) from err
    return PruneResult(plan)


# Looking


class _Look:
    """What stands below a root, sorted into what goes and what is not ours."""

    def __init__(self, config: Config) -> None:
        self.root = config.root
        self.config = config
        self.origin = config.path
        all_of_them = (*config.saltenvs, *lab_saltenvs(still_needed(config)))
        self.branch_folders = {s.dirname for s in all_of_them}
        self.names = {s.name for s in all_of_them}
        self.items: list[Item] = []
        self.foreign: list[str] = []

    def goes(self, kind: Kind, path: str, why: str) -> None:
        self.items.append(Item(kind, path, why))

    def gone(self, kind: Kind) -> set[str]:
        """The names of what goes of one kind."""
        return {os.path.basename(item.path) for item in self.items if item.kind == kind}


def _plan(config_path: str, root: str) -> PrunePlan:
    mirror = Mirror(root)
    config = load_config(config_path, mirror, mirror.branches() if mirror.exists() else {})
    look = _Look(config)
    try:
        _look_at_root(look)
        for folder, judge in (("tops", _tops), ("checkouts", _checkout), ("slots", _slots)):
            for entry in _own_folder(look, f"{root}/{folder}"):
                judge(look, entry)
        for folder in _REGISTRATIONS:
            for entry in _own_folder(look, f"{root}/mirror.git/{folder}"):
                _worktree(look, entry)
        _formulas(look, mirror)
    except OSError as err:
        raise os_error(err) from err
    items = sorted(look.items, key=lambda item: (KINDS.index(item.kind), item.path))
    doubts = _doubts(look) if any(i.kind in (TOPS, CHECKOUT, SLOTS) for i in items) else []
    return PrunePlan(root, tuple(items), tuple(sorted(look.foreign)), tuple(doubts))


def _own_folder(look: _Look, folder: str) -> Iterator[os.DirEntry[str]]:
    """What is in a folder of ours; nothing when somebody put a symlink or a file in its place."""
    if os.path.islink(folder) or (os.path.exists(folder) and not os.path.isdir(folder)):
        look.foreign.append(folder)
        return
    for entry in entries_of(folder):
        if entry.name == GONE and entry.is_dir(follow_symlinks=False):
            look.goes(LEFTOVER, entry.path, "left by a prune that was stopped")
        else:
            yield entry


def _look_at_root(look: _Look) -> None:
    for entry in _own_folder(look, look.root):
        folder = entry.is_dir(follow_symlinks=False)
        if entry.name in _KNOWN:
            continue
        if folder and _ASIDE.fullmatch(entry.name):
            look.goes(MIRROR, entry.path, "put aside when the mirror was rebuilt")
        elif folder and entry.name == f"mirror.git{_UNFINISHED}":
            look.goes(LEFTOVER, entry.path, "a mirror whose making was stopped")
        else:
            look.foreign.append(entry.path)


def _tops(look: _Look, entry: os.DirEntry[str]) -> None:
    if entry.name in look.names:
        return
    if is_own_tops(entry):
        look.goes(TOPS, entry.path, f"{look.origin} names no saltenv {entry.name!r}")
    else:
        look.foreign.append(entry.path)


def _checkout(look: _Look, entry: os.DirEntry[str]) -> None:
    if entry.name in look.branch_folders:
        return
    target = files.readlink_or_none(entry.path) or ""
    found = re.fullmatch(rf"\.\./slots/([^/]+)/(?:{SERVED}/{TREE}|[ab])", target)
    if found and found[1] == entry.name:
        look.goes(CHECKOUT, entry.path, _no_branch(look, entry.name))
    elif found and entry.name == found[1] + _UNFINISHED:
        look.goes(LEFTOVER, entry.path, "left by a sync that was stopped")
    else:
        look.foreign.append(entry.path)


def _no_branch(look: _Look, dirname: str) -> str:
    return f"{look.origin} names no branch with the folder {dirname!r}"


def _slots(look: _Look, entry: os.DirEntry[str]) -> None:
    if entry.name in look.branch_folders:
        if entry.is_dir(follow_symlinks=False):
            look.foreign += [child.path for child in entries_of(entry.path) if not _is_own(child)]
    elif _are_slots(look, entry):
        look.goes(SLOTS, entry.path, _no_branch(look, entry.name))
    else:
        look.foreign.append(entry.path)


def _is_own(entry: os.DirEntry[str]) -> bool:
    """Whether it is a slot, the link to the served one, or either of them unfinished."""
    name = entry.name.removesuffix(f"~{_UNFINISHED}")
    if name == SERVED:
        return files.readlink_or_none(entry.path) in NAMES
    return name in NAMES and entry.is_dir(follow_symlinks=False)


def _are_slots(look: _Look, entry: os.DirEntry[str]) -> bool:
    """Whether it holds worktrees of our mirror and nothing else.

    One of the two may lack its `.git`, where a run was killed while it made that slot anew.
    """
    if not entry.is_dir(follow_symlinks=False):
        return False
    children = entries_of(entry.path)
    if not all(map(_is_own, children)):
        return False
    folders = [child.path for child in children if not child.is_symlink()]
    empty = not any(map(entries_of, folders))
    return empty or any(_is_worktree(look, folder) for folder in folders)


def _is_worktree(look: _Look, slot: str) -> bool:
    """Whether it is a slot as slots.py lays it out, or a worktree itself as the layout before had it."""
    if _points_to_mirror(look, f"{slot}/.git"):
        return True
    parts = {entry.name for entry in entries_of(slot)}
    return parts <= set(PARTS) and _points_to_mirror(look, f"{slot}/{TREE}/.git")


def _points_to_mirror(look: _Look, path: str) -> bool:
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    ours = [os.path.realpath(f"{look.root}/mirror.git/{folder}") for folder in _REGISTRATIONS]
    return os.path.dirname(gitdir_of(path) or "") in ours


def _worktree(look: _Look, entry: os.DirEntry[str]) -> None:
    """Judge what git knows of a worktree (gitrepository-layout(5), worktrees/<id>/gitdir)."""
    if files.readlink_or_none(entry.path) == link_of(entry.name):
        return  # of a gc; the next one takes it away
    if not entry.is_dir(follow_symlinks=False):
        look.foreign.append(entry.path)
        return
    link = content_of(f"{entry.path}/gitdir")
    slot = os.path.dirname(os.path.join(entry.path, link))
    if os.path.basename(slot) == TREE:
        slot = os.path.dirname(slot)
    branch = os.path.dirname(slot)
    if link and os.path.realpath(os.path.dirname(branch)) != os.path.realpath(f"{look.root}/slots"):
        look.foreign.append(entry.path)
    elif link and os.path.basename(branch) in look.gone(SLOTS):
        look.goes(WORKTREE, entry.path, "its slot goes")
    elif not link or gitdir_of(os.path.join(entry.path, link)) != os.path.realpath(entry.path):
        look.goes(WORKTREE, entry.path, "no slot uses it")


def _formulas(look: _Look, mirror: Mirror) -> None:
    entries = _own_folder(look, f"{look.root}/{FORMULAS}")
    for entry, verdict in unused_formulas.judged(look.root, look.config.remote, mirror, entries):
        if verdict == "foreign":
            look.foreign.append(entry.path)
        elif verdict != "kept":
            look.goes(
                LEFTOVER if verdict == "unfinished" else MIRROR,
                entry.path,
                unused_formulas.WHY[verdict],
            )


# Judging


def _doubts(look: _Look) -> list[str]:
    """Why this plan may be a mistake."""
    config = look.config
    doubts = []
    gone = max(len(look.gone(TOPS)), len(look.gone(CHECKOUT)), len(look.gone(SLOTS)))
    kept = [s for s in config.saltenvs if os.path.exists(config.checkout(s))]
    if not kept:
        doubts.append("nothing of what is served now would remain")
    elif len(kept) < len(config.saltenvs):
        names = ", ".join(s.name for s in config.saltenvs if s not in kept)
        doubts.append(f"not served yet: {names}; do this first: saltbranch sync")
    if gone > 1:
        doubts.append(f"{gone} saltenvs would go at once")
    written = files.read_or_none(config.master_config)
    if written is not None and written != option_file.wanted(config).encode():
        doubts.append(f"{config.master_config} is out of date; do this first: saltbranch sync")
    master = master_options.read(config.salt_config)
    if reason := process.restart_reason(master.pidfile, config.master_config):
        doubts.append(f"the salt-master may still serve it, restart it first: {reason}")
    return doubts


# Removing


def _remove(plan: PrunePlan) -> None:
    for item in plan.items:
        if os.path.basename(item.path) == GONE:
            remove_tree(item.path)
    folders: dict[str, None] = {}
    for number, item in enumerate(plan.items):
        if os.path.islink(item.path):
            files.unlink(item.path)
        elif os.path.basename(item.path) != GONE:
            folder = f"{_beside(plan.root, item)}/{GONE}"
            os.makedirs(folder, mode=0o700, exist_ok=True)
            os.rename(item.path, f"{folder}/{number}")
            folders[folder] = None
    _forget(plan)
    for folder in folders:
        remove_tree(folder)


def _beside(root: str, item: Item) -> str:
    """A folder on the same disk: git would take what lies beside a registration for another one."""
    return root if item.kind == WORKTREE else os.path.dirname(item.path)


def _forget(plan: PrunePlan) -> None:
    """Take what went out of the record of what is served."""
    gone = {os.path.basename(i.path) for i in plan.items if i.kind in (CHECKOUT, SLOTS)}
    served = prepared.load_served(plan.root)
    kept = {dirname: what for dirname, what in served.items() if dirname not in gone}
    if kept != served:
        prepared.save_served(plan.root, kept)
