"""What is composed of several roots, made beside the branch's files in a slot: links, and no content.

    slots/<dirname>/a/roots/states, pillar    links to files and folders of slots/<dirname>/a/tree

Made in the idle slot after its files are there, so it is served by the same rename as these. Loaded by a sync that
has something to switch.
"""

from __future__ import annotations

import os

from saltbranch.base import files
from saltbranch.base.errors import RefusedError
from saltbranch.config.roots import KINDS
from saltbranch.repository.composition import Composed, OnDisk, compose
from saltbranch.serve.slots import ROOTS, TREE, Slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from saltbranch.config.roots import Roots

# Nanoseconds. Steps of file times are shorter.
_LATER = 10_000_000
_NEW = ".new"


def lay(slots: Slots, name: str, roots: Roots) -> None:
    """Compose `roots` in the slot `name`, an idle one whose files are all there.

    Whatever was composed there is removed. Raises RefusedError where two folders own one name, OSError.
    """
    folder = slots.folder_of(name)
    _remove(f"{folder}/{ROOTS}")
    for kind in roots.composed:
        found = compose(roots, kind, OnDisk(f"{folder}/{TREE}"))
        _part_times(f"{folder}/{TREE}", found)
        _write(f"{folder}/{ROOTS}/{kind}", found)
    served = slots.served()
    if served is None:
        return
    for kind in KINDS:
        # A master that was not restarted since a word took the place of a list still reads there.
        if roots.word(kind) and os.path.lexists(f"{slots.folder_of(served)}/{ROOTS}/{kind}"):
            os.makedirs(f"{folder}/{ROOTS}", exist_ok=True)
            os.symlink(f"../{TREE}/{roots.word(kind)}", f"{folder}/{ROOTS}/{kind}")


def lay_first(slots: Slots, roots: Roots, former: dict[str, str]) -> None:
    """Where a list takes the place of a word, let what is served have what Salt is told from now on.

    Nothing is looked for there yet. former: the folder of each kind until now, which stays in force as long as the
    served commit cannot be composed. Raises OSError.
    """
    served = slots.served()
    if served is None or slots.flat():
        return
    folder = slots.folder_of(served)
    for kind in roots.composed:
        place = f"{folder}/{ROOTS}/{kind}"
        if os.path.lexists(place):
            continue
        _remove(f"{place}{_NEW}")
        try:
            found = compose(roots, kind, OnDisk(f"{folder}/{TREE}"))
        except RefusedError:
            found = Composed()
        if found.entries or kind not in former:
            _write(f"{place}{_NEW}", found)
        else:
            os.makedirs(f"{folder}/{ROOTS}", exist_ok=True)
            os.symlink(f"../{TREE}/{former[kind]}", f"{place}{_NEW}")
        os.rename(f"{place}{_NEW}", place)


def has_files(slots: Slots, name: str, kind: str, apart: Collection[str] = ()) -> bool:
    """Whether what is composed of `kind` in the slot `name` holds a file. apart: as for `servable.has_files`."""
    top = f"{slots.folder_of(name)}/{ROOTS}/{kind}"
    tree = os.path.realpath(slots.path(name))
    pinned = tuple(f"{tree}/{path}/" for path in apart)
    for place, _, names in os.walk(top, followlinks=True):
        if any(not os.path.realpath(f"{place}/{n}").startswith(pinned) for n in names):
            return True
    return False


def differences(slots: Slots, name: str, roots: Roots) -> list[str]:
    """What of the composed roots of the slot `name` is not as it should be, as paths below the branch's files."""
    folder, odd = slots.folder_of(name), []
    for kind in roots.composed:
        top = f"{folder}/{ROOTS}/{kind}"
        try:
            wanted = _links(compose(roots, kind, OnDisk(f"{folder}/{TREE}")))
        except RefusedError:
            wanted = {}
        there = dict(_read(top))
        wrong = (n for n in {**wanted, **there} if wanted.get(n) != there.get(n))
        odd += [f"../{ROOTS}/{kind}/{n}" for n in sorted(wrong)]
    return odd


def _links(found: Composed) -> dict[str, str]:
    return {
        name: f"{'../' * (2 + name.count('/'))}{TREE}/{path}"
        for name, path in found.entries.items()
    }


def _write(top: str, found: Composed) -> None:
    os.makedirs(top)
    made = {top}
    for name, target in _links(found).items():
        place = f"{top}/{name}"
        above = os.path.dirname(place)
        if above not in made:
            os.makedirs(above, exist_ok=True)
            made.add(above)
        os.symlink(target, place)


def _remove(path: str) -> None:
    """Remove what was composed, following no link; fine when there is nothing. Raises OSError."""
    if os.path.islink(path):
        os.unlink(path)
        return
    try:
        with os.scandir(path) as entries:
            inner = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except FileNotFoundError:
        return
    for name, is_folder in inner:
        if is_folder:
            _remove(name)
        else:
            os.unlink(name)
    os.rmdir(path)


def _read(top: str) -> Iterator[tuple[str, str | None]]:
    """Every link below `top` with its target; what is none with None."""
    for folder, folders, names in os.walk(top):
        for name in (*names, *folders):
            path = f"{folder}/{name}"
            if os.path.islink(path):
                yield path[len(top) + 1 :], os.readlink(path)
            elif name in names:
                yield path[len(top) + 1 :], None


def _part_times(tree: str, found: Composed) -> None:
    """Give a file that another one hides a time of its own.

    Salt's hash cache goes by name and trusts equal times (salt/fileserver/roots.py, file_hash). git writes many files
    in one step of the clock, so the day that the hidden one shows under the name, it would have the other's hash.
    """
    for _, shown, hidden in found.hidden:
        try:
            path = os.path.realpath(f"{tree}/{hidden}")
            time = os.stat(f"{tree}/{shown}").st_mtime_ns
            if abs(os.stat(path).st_mtime_ns - time) >= 1000:  # Salt compares microseconds
                continue
        except OSError:
            continue  # one of them is a link that leads nowhere
        import shutil  # rarely needed

        # Not the file itself: the other slot, which is served, may share it.
        made = f"{path}{files.ASIDE}"
        shutil.copy(path, made)
        os.utime(made, ns=(time + _LATER, time + _LATER))
        os.replace(made, path)
