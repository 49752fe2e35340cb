"""What a slot holds of submodules, as its file `pins` says: for whoever looks, and for git's eyes.

The files themselves stand in the slot's tree and in its index like all others. Loaded where there are any.
"""

from __future__ import annotations

from saltbranch.git.mirror import FORMULAS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from saltbranch.git.pinned_tree import Change, TreeWithPins
    from saltbranch.git.program import Git

_FIRST = "saltbranch pins 3"
# In the form before, a file ended with its submodules, and its first two lines were all that came before them.
_FORMER = "saltbranch pins 1"
_HEX = frozenset("0123456789abcdef")


class Placed:
    """A submodule in a slot. commit: full hash. mirror: the name of its mirror's folder. url: as it may be shown."""

    __slots__ = ("commit", "mirror", "url")

    def __init__(self, commit: str, mirror: str, url: str) -> None:
        self.commit = commit
        self.mirror = mirror
        self.url = url

    @property
    def key(self) -> tuple[str, str]:
        """What is the same as long as its files are, and where they come from."""
        return self.commit, self.mirror


class Pins:
    """tree: the hash of the tree with all files of the slot. placed: by path, its submodules.

    made, commit: that tree with its folders, and the commit that it was made of; None and empty where they were not
    kept. allowed: the list of places that let all of them in.
    """

    __slots__ = ("allowed", "commit", "made", "placed", "tree")

    def __init__(
        self,
        tree: str,
        placed: Mapping[str, Placed],
        made: TreeWithPins | None,
        commit: str,
        allowed: str,
    ) -> None:
        self.tree = tree
        self.placed = placed
        self.made = made
        self.commit = commit
        self.allowed = allowed

    def seen_by(self, git: Git, root: str) -> Git:
        """`git`, seeing the objects of the submodules."""
        from saltbranch.git.pinned_tree import with_objects

        return with_objects(git, (f"{root}/{FORMULAS}/{p.mirror}" for p in self.placed.values()))

    def dumps(self) -> str:
        """The text of the file."""
        lines = [f"{path}\t{p.commit}\t{p.mirror}\t{p.url}" for path, p in self.placed.items()]
        folders = self.made.folders if self.made else {}
        lines += [f"{folder}\t{data.hex()}" for folder, data in folders.items()]
        return "\n".join([_FIRST, self.tree, self.commit, self.allowed, *lines, "end\n"])


class Source:
    """What is to be served of `commit`. tree: of all its files; git: sees all of them. pins: what is in there of
    submodules, None where nothing is. missing: paths of those that were not fetched; odd: what is to be said.
    changes: as Slots.bring takes them.
    """

    __slots__ = ("changes", "commit", "git", "missing", "odd", "pins", "tree")

    def __init__(self, git: Git, commit: str, pins: Pins | None = None) -> None:
        self.commit = commit
        self.git = git
        self.pins = pins
        self.tree = pins.tree if pins else commit
        self.missing: list[str] = []
        self.odd = ""
        self.changes: tuple[str, list[Change]] | None = None


def loads(data: bytes) -> Pins | None:
    """What `dumps` wrote; None where that is torn."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    if lines[0] == _FORMER:
        lines[2:2] = ["", ""]
    elif lines[0] != _FIRST:
        return None
    if lines[-2:] != ["end", ""] or len(lines) < 6:
        return None
    placed, folders = {}, {}
    for line in lines[4:-2]:
        words = line.split("\t")
        if len(words) == 4 and "/" not in words[2]:
            placed[words[0]] = Placed(*words[1:])
        elif len(words) == 2 and not set(words[1]) - _HEX:
            folders[words[0]] = bytes.fromhex(words[1])
        else:
            return None
    if not folders:
        return Pins(lines[1], placed, None, "", "")
    from saltbranch.git.pinned_tree import TreeWithPins

    return Pins(lines[1], placed, TreeWithPins(lines[1], folders), lines[2], lines[3])
