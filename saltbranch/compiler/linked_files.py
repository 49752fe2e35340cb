"""What links lead to beyond their own folder, put in the place of these links: in the sandbox they lead astray."""

from __future__ import annotations

import os
from collections.abc import Iterable

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
            os.unlink(on_disk)
            bringing.copy(real, on_disk, ())


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


class _Bringing:
    """Copies by hard links, with what links lead to in their place."""

    def __init__(self, top: str) -> None:
        self.top, self.left = top, _MOST_LINKED

    def is_inside(self, real: str) -> bool:
        """Whether `real` is a file or folder of the tree."""
        return real.startswith(f"{self.top}/") and os.path.exists(real)

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
