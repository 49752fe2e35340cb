"""What links lead to beyond their own folder, put in the place of these links: in the sandbox they lead astray."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping

# A few links to large folders could fill a disk with folders.
_MOST_LINKED = 100_000
_FOLDERS_DEEP = 100
_NOWHERE = "nothing-is-here"


def bring_in(folder: str, links: Iterable[str], own_folders: Iterable[str]) -> None:
    """Replace the links below `folder` that lead out of their own folder (states or pillar) by what is there.

    links: their paths, each with a slash at its end. Nothing outside of `folder` is followed, and a file is the same
    on disk wherever it is seen.
    """
    bringing = _Bringing(os.path.realpath(folder))
    for link in links:
        path = link[:-1]
        own = next((f for f in own_folders if path.startswith(f"{f}/")), None)
        on_disk = f"{folder}/{path}"
        if own is None or not os.path.islink(on_disk) or _stays(own, path, on_disk):
            continue
        real = os.path.realpath(on_disk)
        if bringing.is_inside(real):
            bringing.replace(on_disk, real)


def _stays(own: str, path: str, on_disk: str) -> bool:
    """Whether a link is the same where its folder `own` stands alone: it leads nowhere else, nor over elsewhere."""
    at = path.split("/")[:-1]
    for part in os.readlink(on_disk).split("/"):
        if part == "..":
            at = at[:-1]
        elif part not in ("", "."):
            at.append(part)
        if not f"{'/'.join(at)}/".startswith(f"{own}/"):
            return False
    return True


def add(folder: str, files: Mapping[str, str], links: Iterable[str] = ()) -> None:
    """Put `files`, path below `folder` to a copy of each, beside what is there, which stays as it is.

    links: as for `bring_in`. What is added is seen by its own name only: links that lead over it, and around none of
    it, are replaced by what was there.
    """
    bringing = _Bringing(os.path.realpath(folder))
    above = {f"{bringing.top}/{os.path.dirname(path)}/" for path in files}
    for link in links if files else ():
        place = f"{bringing.top}/{link[:-1]}"
        real = os.path.realpath(place)
        if not os.path.islink(place) or place.startswith(f"{real}/"):
            continue
        if any(way.startswith((f"{place}/", f"{real}/")) for way in above):
            bringing.replace(place, real)
    for path, copy in files.items():
        place = f"{bringing.top}/{path}"
        if not os.path.exists(place):
            for at in reversed([place, *_parents_below(bringing.top, place)]):
                if os.path.islink(at):  # leads nowhere, and nothing may be written through it
                    os.unlink(at)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.copyfile(copy, place)


def _parents_below(top: str, place: str) -> Iterator[str]:
    while (place := os.path.dirname(place)) != top:
        yield place


class _Bringing:
    """Copies by hard links, with what links lead to in their place."""

    def __init__(self, top: str) -> None:
        self.top, self.left = top, _MOST_LINKED

    def is_inside(self, real: str) -> bool:
        """Whether `real` is a file or folder of the tree."""
        return real.startswith(f"{self.top}/") and os.path.exists(real)

    def replace(self, link: str, real: str) -> None:
        """Put what is at `real`, if anything is, in the place of a link."""
        os.unlink(link)
        if self.is_inside(real):
            self.copy(real, link, ())

    def copy(self, real: str, place: str, way: tuple[str, ...]) -> None:
        """way: the folders that it was come by; one of them again is a circle."""
        self.left -= 1
        if self.left < 0 or real in way or len(way) > _FOLDERS_DEEP:
            return
        if not os.path.isdir(real):
            os.link(real, place)
            return
        os.mkdir(place)
        for entry in sorted(os.listdir(real)):
            inner = f"{real}/{entry}"
            end = os.path.realpath(inner) if os.path.islink(inner) else inner
            if self.is_inside(end):
                self.copy(end, f"{place}/{entry}", (*way, real))
            elif os.path.islink(inner):
                # Salt lists what leads nowhere, too.
                os.symlink(_NOWHERE, f"{place}/{entry}")
