"""The files of one commit or tree as composed roots show them: several folders as one for states, one for pillar."""

from __future__ import annotations

import functools
import os
import posixpath
import shutil

from saltbranch.compiler import stand_ins
from saltbranch.compiler.checkout_settings import has_below
from saltbranch.compiler.decipher import Keys
from saltbranch.compiler.linked_files import add
from saltbranch.compiler.tree import ATTRIBUTES, LINK, SUBMODULE, Tree
from saltbranch.config.roots import KINDS, Roots
from saltbranch.git import links as symlinks
from saltbranch.git.program import Git
from saltbranch.git.tree import contents
from saltbranch.repository.composition import InCommit, names


class ComposedTree(Tree):
    """A tree whose files have the names that Salt has for them: below `Roots.prefix`, whatever folder they are in.

    No link is in it: there is what links lead to. `real` says where a file is in the repository.
    """

    def __init__(
        self,
        git: Git,
        name: str,
        roots: Roots,
        keys: Keys | None = None,
        offer: stand_ins.Offer | None = None,
    ) -> None:
        """Read the names. Raises GitError; RefusedError where two folders own one name."""
        self.git, self.keys, self.name, self.roots = git, keys, name, roots
        self.folders = tuple(roots.prefix(kind) for kind in KINDS)
        self.linked = ()
        self.entries, self.outer, self.stand_ins, self.sealed, self.outside = {}, {}, {}, {}, {}
        self.left_out = ()
        for item in git.out("ls-tree", "-r", "-z", "--full-tree", name).split("\0"):
            if item:
                meta, _, path = item.partition("\t")
                mode, _, oid = meta.split(" ")
                self.entries[path] = (mode, oid)
        offered = offer.files(git, name) if offer else {}
        fitting = {p: oid for p, oid in offered.items() if self._may_be_served(p)}
        if fitting:
            self._let_in(fitting, list(fitting))
        self.outer = {
            path: entry
            for path, entry in self.entries.items()
            if posixpath.basename(path) == ATTRIBUTES and entry[0] != SUBMODULE
        }
        self.real = self._placed()
        self.oids = {path: self.entries[path][1] for path in self.real.values()}
        self.entries = {name: self.entries[path] for name, path in self.real.items()}

    def _may_be_served(self, path: str) -> bool:
        return any(self.roots.name_of(kind, path) is not None for kind in KINDS)

    def _placed(self) -> dict[str, str]:
        """The name of each file, and where it is."""
        links = {path: oid for path, (mode, oid) in self.entries.items() if mode == LINK}
        held = contents(self.git, links.values()) if links else {}
        files = [p for p, (mode, _) in self.entries.items() if mode not in (LINK, SUBMODULE)]
        led = {path: os.fsdecode(held[oid]) for path, oid in links.items()}
        self.ends = self._ends(led)
        shown = symlinks.names(files, led)
        listing = InCommit([*files, *links, *shown])
        found = {}
        for kind in KINDS:
            for name, path in names(self.roots, kind, listing).items():
                path = shown.get(path, path)
                if path not in links:  # one that leads nowhere
                    found[f"{self.roots.prefix(kind)}/{name}"] = path
        return found

    def _ends(self, led: dict[str, str]) -> frozenset[str]:
        """Where links lead to that Salt comes to, those over other links, too."""
        found: set[str] = set()
        todo = [path for path in led if self.roots.reaches(path)]
        while todo:
            path = todo.pop()
            end = symlinks.target(path, led[path])
            if end is not None and end not in found:
                found.add(end)
                todo += [
                    other for other in led if has_below([other], end) or has_below([end], other)
                ]
        return frozenset(found)

    def _is_seen(self, path: str) -> bool:
        led_to = (has_below([end], path) or has_below([path], end) for end in self.ends)
        return self.roots.reaches(path) or any(led_to)

    def place_of(self, path: str) -> str:
        """Where in the repository a file is that `entries` name; one that is not there is where it could be."""
        return self.real.get(path) or super().place_of(path)

    @functools.cached_property
    def attributes(self) -> dict[str, str]:
        """As in `Tree`, of the whole repository."""
        return {posixpath.dirname(path): " ".join(entry) for path, entry in self.outer.items()}

    def _regular(self) -> list[str]:
        return sorted(self.oids)

    def _oid_at(self, path: str) -> str | None:
        return self.oids.get(path)

    def _searched(self) -> list[str]:
        return []

    @functools.cache  # noqa: B019 - a tree lives as long as one run
    def content(self, path: str) -> str | None:
        """As in `Tree`."""
        if path in self.entries:
            place = self.real.get(path, path)
            written = self._written_by(posixpath.dirname(place))
            if place in self.filtered:
                written += f" {self.filtered[place]}"
            return f"{' '.join(self.entries[path])}{written}"
        return "folder" if path in self.directories else None

    def size(self) -> int:
        """Bytes of all files."""
        text = self.git.out("ls-tree", "-r", "-l", "-z", "--full-tree", self.name)
        found = 0
        for meta, _, path in (item.partition("\t") for item in text.split("\0")):
            if path in self.oids and (size := meta.split()[-1]).isdigit():
                found += int(size)
        return found

    def write(self, folder: str) -> None:
        """Write the files under their names into `folder`, an empty one. Raises GitError."""
        aside, index = f"{folder}.files", f"{folder}.index"
        os.makedirs(f"{aside}/tree")
        self._checked_out(aside, index)
        stand_ins.write(self.git, self.stand_ins, f"{aside}/tree")
        for wanted in self.folders:
            os.makedirs(f"{folder}/{wanted}", exist_ok=True)
        for name, path in self.real.items():
            os.makedirs(posixpath.dirname(f"{folder}/{name}"), exist_ok=True)
            os.link(f"{aside}/tree/{path}", f"{folder}/{name}")
        add(folder, {path: copy for path, (_, _, copy) in self.outside.items()})
        shutil.rmtree(aside)

    def _checked_out(self, aside: str, index: str) -> None:
        own = {*self.oids} - {*self.stand_ins} | {*self.sealed}
        git = self.git.with_index(index)
        git.out("read-tree", self.name)
        # Those that say how files are written come first, for git reads them as it goes.
        for paths in (self.outer, own):
            listed = os.fsencode("".join(f"{path}\0" for path in sorted(paths)))
            if listed:
                argv = [f"--work-tree={aside}/tree", "-c", "core.bare=false", "checkout-index"]
                git.out(*argv, "--force", "--quiet", "-z", "--stdin", stdin=listed)
        os.unlink(index)
