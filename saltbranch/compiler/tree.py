"""The files of one commit or tree: what is in it, by content, and a copy of it on disk."""

from __future__ import annotations

import fnmatch
import functools
import os
import posixpath
from collections.abc import Mapping, Sequence

from saltbranch.base import scratch
from saltbranch.base.errors import RefusedError
from saltbranch.compiler import stand_ins
from saltbranch.compiler.checkout_settings import (
    Machine,
    digest_of,
    folders_above,
    has_below,
    machine_of,
)
from saltbranch.compiler.decipher import Keys, messages_in
from saltbranch.compiler.linked_files import add, bring_in
from saltbranch.compiler.model import Reads, digest
from saltbranch.git import links as symlinks
from saltbranch.git.links import target
from saltbranch.git.program import Git
from saltbranch.git.tree import contents

LINK, SUBMODULE = "120000", "160000"
# Links that lead to links.
_LINKS_DEEP = 8
ATTRIBUTES = ".gitattributes"


class Tree:
    """States and pillar of `name`, a commit's or tree's full hash, in the repository of `git`."""

    def __init__(
        self,
        git: Git,
        name: str,
        folders: tuple[str, ...],
        keys: Keys | None = None,
        offer: stand_ins.Offer | None = None,
    ) -> None:
        """Read the names. folders: states_dir and pillar_dir. offer: what may stand in. Raises GitError."""
        self.git = git
        self.keys = keys
        self.name = name
        self.folders = folders
        self.entries: dict[str, tuple[str, str]] = {}
        # .gitattributes above the folders: they say how the files below them are written.
        self.outer: dict[str, tuple[str, str]] = {}
        # What links lead to elsewhere in the repository: formulas beside the states, for example.
        self.linked: tuple[str, ...] = ()
        # Path to blob of what is not the tree's own.
        self.stand_ins: dict[str, str] = {}
        # Path to blob, to where the file is on this machine, and to a copy of it: of no repository.
        self.outside: dict[str, tuple[str, str, str]] = {}
        self.left_out: tuple[str, ...] = ()  # what of there has no place beside its own
        offered = offer.files(git, name) if offer else {}
        # What they stand for that the tree has encrypted.
        self.sealed: dict[str, str] = {}
        wanted = list(folders)
        for _ in range(_LINKS_DEEP):
            self._list(wanted)
            if offered:
                self._let_in(offered, wanted)
            wanted = sorted(self._led_to() - {*folders, *self.linked})
            if not wanted:
                break
            self.linked += tuple(wanted)

    def refuse_gaps(self, gaps: Mapping[str, str]) -> None:
        """Raise RefusedError where files that Salt would see are not here. gaps: path of a formula to the reason."""
        for path, why in gaps.items():
            if self._is_seen(path) and not has_below(self.stand_ins, path):
                raise RefusedError(
                    f"the files of the formula {path} are missing: {why}",
                    hint="saltbranch formula list fetches it; a master does at its next sync, from places under"
                    " submodules: in its file",
                )

    def _is_seen(self, path: str) -> bool:
        """Whether Salt would see files below `path`, which is a folder in the repository."""
        known = (*self.folders, *self.linked)
        return has_below(known, path) or any(has_below([path], folder) for folder in known)

    def _list(self, paths: Sequence[str]) -> None:
        above = dict.fromkeys(
            posixpath.join(folder, ATTRIBUTES) for path in paths for folder in folders_above(path)
        )
        text = self.git.out("ls-tree", "-r", "-z", "--full-tree", self.name, "--", *paths, *above)
        inner = tuple(f"{path}/" for path in paths)
        for item in text.split("\0"):
            if item:
                meta, _, path = item.partition("\t")
                mode, _, oid = meta.split(" ")
                if path in paths or path.startswith(inner):
                    self.entries[path] = (mode, oid)
                elif path in above and mode != SUBMODULE:  # no folder of that name
                    self.outer[path] = (mode, oid)

    def _let_in(self, offered: Mapping[str, str], paths: Sequence[str]) -> None:
        inner = tuple(f"{path}/" for path in paths)
        fitting = {
            path: oid
            for path, oid in offered.items()
            if (path in paths or path.startswith(inner))
            and not posixpath.basename(path).startswith(".git")
        }
        sealed = {p: self.entries[p][1] for p in fitting if p in self.entries}
        used = stand_ins.let_in(self.git, fitting, self.entries)
        self.stand_ins.update(used)
        self.sealed.update({p: oid for p, oid in sealed.items() if p in used})

    def _led_to(self) -> set[str]:
        """The paths outside of all that is listed to which links lead."""
        links = {path: oid for path, (mode, oid) in self.entries.items() if mode == LINK}
        held = contents(self.git, links.values()) if links else {}
        known = tuple(f"{folder}/" for folder in (*self.folders, *self.linked))
        found = set()
        for path, oid in links.items():
            end = target(path, os.fsdecode(held[oid]))
            if end is not None and end != "." and not f"{end}/".startswith(known):
                found.add(end)
        return found

    def place_of(self, path: str) -> str:
        """Where in the repository a file is that `entries` name."""
        return self.outside[path][1] if path in self.outside else path

    def take_in(self, git: Git, outside: Mapping[str, tuple[str, str, str]]) -> None:
        """Take in files that are in no repository, before anything was asked. git: has their blobs, too."""
        self.git = git
        self.outside.update(outside)
        self.entries.update({path: ("100644", oid) for path, (oid, _, _) in outside.items()})
        for told in ("directories", "links", "shown"):
            self.__dict__.pop(told, None)

    @functools.cached_property
    def directories(self) -> frozenset[str]:
        """Every folder that holds something."""
        found: set[str] = set()
        for path in self.entries:
            while (path := posixpath.dirname(path)) and path not in found:
                found.add(path)
        return frozenset(found)

    @functools.cached_property
    def links(self) -> tuple[str, ...]:
        """Every symlink, with a slash at the end."""
        return tuple(f"{p}/" for p, (mode, _) in self.entries.items() if mode == LINK)

    @functools.cached_property
    def shown(self) -> dict[str, str]:
        """Path of each file as links show it, and where it really is; not by links in circles."""
        links = {path: oid for path, (mode, oid) in self.entries.items() if mode == LINK}
        held = contents(self.git, links.values()) if links else {}
        kept = {*self.entries} - {*self.outside}
        files = [p for p in kept if self.entries[p][0] not in (LINK, SUBMODULE)]
        led = {path: os.fsdecode(held[oid]) for path, oid in links.items()}
        return symlinks.names(files, led, self.folders)

    @functools.cached_property
    def digest(self) -> str:
        """Stands for all of it."""
        return digest(
            [
                sorted(self.entries.items()),
                sorted(self.attributes.items()),
                self.machine.meaning if self.attributes or self.machine.always else "",
                sorted(self.filtered.items()),
            ]
        )

    @functools.cached_property
    def attributes(self) -> dict[str, str]:
        """The folders with a .gitattributes, the repository's own being "", and its content each."""
        found = {**self.outer, **self.entries}
        return {
            posixpath.dirname(path): " ".join(entry)
            for path, entry in found.items()
            if posixpath.basename(path) == ATTRIBUTES
        }

    @functools.cached_property
    def machine(self) -> Machine:
        """What this machine adds to all that."""
        return machine_of(self.git)

    def beside(self, other: Tree) -> None:
        """Take over from `other`, of the same repository, what the machine adds: both see the same of it."""
        if self.git.directory == other.git.directory:
            self.machine = other.machine

    @functools.cached_property
    def filtered(self) -> dict[str, str]:
        """Path to a digest of what a filter program of this machine makes of the file.

        The bytes count, for they depend on more than can be looked at: the program, its own settings, its keys.
        """
        if not self.machine.has_filters or not (self.attributes or self.machine.always):
            return {}
        with scratch.folder("saltbranch-scratch-tree-", scratch.in_memory(self.size())) as made:
            with made.lent():
                paths = self._filtered_into(made.path)
            return {path: digest_of(f"{made.path}/tree/{path}") for path in paths}

    def _filtered_into(self, folder: str) -> list[str]:
        """Write the files that have a filter to `folder`/tree; their paths. Raises GitError."""
        git = self.git.with_index(f"{folder}/index")
        git.out("read-tree", self.name)
        known = "".join(f"{path}\0" for path in self._regular() if path not in self.stand_ins)
        told = git.out(
            "check-attr", "--cached", "--stdin", "-z", "filter", stdin=os.fsencode(known)
        )
        parts = told.split("\0")
        named = zip(parts[::3], parts[2::3], strict=False)
        paths = [path for path, value in named if value not in ("unspecified", "unset", "")]
        if paths:
            listed = os.fsencode("".join(f"{path}\0" for path in paths))
            os.mkdir(f"{folder}/tree")
            argv = [f"--work-tree={folder}/tree", "-c", "core.bare=false", "checkout-index"]
            git.out(*argv, "--force", "--quiet", "-z", "--stdin", stdin=listed)
        return paths

    def _regular(self) -> list[str]:
        """Where in the repository its regular files are."""
        known = self.entries.items()
        return [p for p, (mode, _) in known if mode[:3] == "100" and p not in self.outside]

    def _oid_at(self, path: str) -> str | None:
        """The blob of the file that is there in the repository; None of one that does not count."""
        return self.entries[path][1] if path in self.entries else None

    def _searched(self) -> list[str]:
        """Where in the repository its files are, as pathspecs; none for anywhere."""
        return [f":(literal){folder}" for folder in (*self.folders, *self.linked)]

    @functools.cache  # noqa: B019 - a tree lives as long as one run
    def _written_by(self, folder: str) -> str:
        """Stands for all that git minds, beside the blob, as it writes a file of `folder`."""
        own = [self.attributes.get(above) for above in (*folders_above(folder), folder)]
        if not any(own) and not self.machine.always:
            return ""
        return f" {digest([own, self.machine.meaning])}"

    @functools.cached_property
    def deciphered(self) -> dict[str, bytes]:
        """What the PGP messages in the files hold, by their names; those aside that no key opens."""
        if self.keys is None or self.keys.folder is None:
            return {}
        found = messages_in(self.git, self.name, self._searched(), self._oid_at)
        return self.keys.decipher(found)

    @functools.cached_property
    def public_blobs(self) -> frozenset[str]:
        """The blobs of its states: what stands in them, and not in the pillar only, nobody has to hide."""
        states, pillar = (f"{folder}/" for folder in self.folders)
        return frozenset(
            oid
            for path, (mode, oid) in self.entries.items()
            if path.startswith(states)
            and mode[:3] == "100"
            and (states.startswith(pillar) or not path.startswith(pillar))
        )

    @functools.cache  # noqa: B019 - asked for by each minion's entry
    def content(self, path: str) -> str | None:
        """What is at `path`, as a token that changes when it does; None when there is nothing.

        It is what git writes there: of the blob, and of each .gitattributes from the root to the file's folder
        (gitattributes(5)).
        """
        if self.links and path not in self.outside and f"{path}/".startswith(self.links):
            if path not in self.shown:
                return f"link {self.digest}"  # a folder, or nothing; any other link may decide it
            path = self.shown[path]
        if path in self.entries:
            written = self._written_by(posixpath.dirname(path))
            if path in self.filtered:
                written += f" {self.filtered[path]}"
            return f"{' '.join(self.entries[path])}{written}"
        return "folder" if path in self.directories else None

    def below(self, folder: str) -> list[str]:
        """The paths of all files below `folder`, as links show them, too."""
        prefix = f"{folder.rstrip('/')}/"
        shown = self.shown if self.links else {}
        return [path for path in {**self.entries, **shown} if path.startswith(prefix)]

    @functools.cache  # noqa: B019 - a tree lives as long as one run
    def source(self, path: str) -> str | None:
        """Stands for the content of a file, or of a folder when `path` ends with a slash."""
        if not path.endswith("/"):
            return self.content(path)
        inner = sorted((p, self._content_or_link(p)) for p in self.below(path))
        return digest(inner) if inner else None

    def _content_or_link(self, path: str) -> str | None:
        """`content`; of a link to a folder, whose files count for themselves, the link."""
        mode, oid = self.entries.get(path, ("", ""))
        return f"{mode} {oid}" if mode == LINK and path not in self.shown else self.content(path)

    @functools.cache  # noqa: B019
    def listing(self, folder: str) -> str:
        """Stands for the names below `folder`."""
        place = f"{folder}/"
        # A link on the way to it or below it may lead anywhere; one beside it does not matter.
        linked = any(link.startswith(place) or place.startswith(link) for link in self.links)
        return digest([linked and self.digest, sorted(self.below(folder))])

    @functools.cache  # noqa: B019
    def sls_names(self, folder: str) -> frozenset[str]:
        """Salt's names of the sls files below `folder` (salt/fileclient.py, list_states)."""
        names = set()
        for path in self.below(folder):
            if path.endswith(".sls"):
                inner = path[len(folder) + 1 :]
                end = "/init.sls" if inner.endswith("/init.sls") else ".sls"
                names.add(inner.replace("/", ".")[: -len(end)])
        return frozenset(names)

    @functools.cache  # noqa: B019
    def matching(self, folder: str, pattern: str) -> str:
        """Stands for the sls files below `folder` whose names match `pattern`."""
        names = self.sls_names(folder)
        if self.links:
            return self.digest
        if not any(c in pattern for c in "*?["):
            return str(pattern in names)
        return digest(sorted(fnmatch.filter(names, pattern)))

    def state_of(self, reads: Reads) -> dict[str, str | None]:
        """All that `reads` names, as it is in this tree."""
        found: dict[str, str | None] = {f"f {p}": self.content(p) for p in reads.files}
        found.update({f"g {k}\0{p}": self.matching(k, p) for k, p in reads.globs})
        found.update({f"l {folder}": self.listing(folder) for folder in reads.listings})
        found.update({f"c {name}": self._opens(name) for name in reads.ciphers})
        if reads.whole:
            found["w "] = self.digest
        return found

    def _opens(self, message: str) -> str | None:
        """Whether a message was deciphered; what it holds can be one thing only."""
        return "open" if message in self.deciphered else None

    def holds(self, state: Mapping[str, str | None]) -> bool:
        """Whether all that `state_of` said of another tree is the same in this one."""
        return all(self._of(key) == value for key, value in state.items())

    @functools.cache  # noqa: B019 - most minions of a fleet read the same files
    def _of(self, key: str) -> str | None:
        """What `state_of` says under `key` of this tree."""
        kind, _, rest = key.partition(" ")
        if kind == "f":
            return self.content(rest)
        if kind == "g":
            folder, _, pattern = rest.partition("\0")
            return self.matching(folder, pattern)
        if kind == "c":
            return self._opens(rest)
        return self.digest if kind == "w" else self.listing(rest)

    def size(self) -> int:
        """Bytes of all files."""
        text = self.git.out(
            "ls-tree", "-r", "-l", "-z", "--full-tree", self.name, "--", *self.folders
        )
        sizes = (item.partition("\t")[0].split()[-1] for item in text.split("\0") if item)
        return sum(int(size) for size in sizes if size.isdigit())

    def write(self, folder: str) -> None:
        """Check the files out into `folder`, an empty one. Raises GitError.

        By git itself, which honours .gitattributes, as it does for what a master serves; the index is one of
        our own, where those above the folders have to be, too.
        """
        git = self.git.with_index(f"{folder}.index")
        own = {*self.entries} - {*self.stand_ins, *self.outside} | {*self.sealed}
        tops = [p for p in (*self.folders, *self.linked) if has_below(own, p)]
        if tops:
            git.out(
                f"--work-tree={folder}", "-c", "core.bare=false",
                "checkout", "--force", "--quiet", self.name, "--", *tops, *self.outer,
            )  # fmt: skip
        for path in {*self.outer} - {*self.entries} if tops else ():
            os.unlink(f"{folder}/{path}")
        for wanted in self.folders:
            os.makedirs(f"{folder}/{wanted}", exist_ok=True)
        stand_ins.write(self.git, self.stand_ins, folder)
        if self.links:
            bring_in(folder, self.links, self.folders)
        add(folder, {path: copy for path, (_, _, copy) in self.outside.items()}, self.links)
        if os.path.exists(f"{folder}.index"):
            os.unlink(f"{folder}.index")
