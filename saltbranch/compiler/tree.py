"""The files of one commit or tree: what is in it, by content, and a copy of it on disk."""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import os
import posixpath
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence

from saltbranch import scratch
from saltbranch.checks.links import target
from saltbranch.compiler import ciphertext
from saltbranch.compiler.checkout import Machine, machine_of
from saltbranch.compiler.deciphering import Keys
from saltbranch.compiler.hiding import words_of
from saltbranch.compiler.model import Reads, digest
from saltbranch.git import Git, failed
from saltbranch.tree import contents

_LINK, _SUBMODULE = "120000", "160000"
# Links that lead to links.
_LINKS_DEEP = 8
# A few links to large folders could fill a disk with folders.
_MOST_LINKED = 100_000
_ATTRIBUTES = ".gitattributes"


class Tree:
    """States and pillar of `name`, a commit's or tree's full hash, in the repository of `git`."""

    def __init__(
        self, git: Git, name: str, folders: tuple[str, ...], keys: Keys | None = None
    ) -> None:
        """Read the names. folders: states_dir and pillar_dir. Raises GitError."""
        self.git = git
        self.keys = keys
        self.name = name
        self.folders = folders
        self.entries: dict[str, tuple[str, str]] = {}
        # .gitattributes above the folders: they say how the files below them are written.
        self.outer: dict[str, tuple[str, str]] = {}
        # What links lead to elsewhere in the repository: formulas beside the states, for example.
        self.linked: tuple[str, ...] = ()
        wanted = list(folders)
        for _ in range(_LINKS_DEEP):
            self._list(wanted)
            wanted = sorted(self._led_to() - {*folders, *self.linked})
            if not wanted:
                break
            self.linked += tuple(wanted)

    def _list(self, paths: Sequence[str]) -> None:
        above = dict.fromkeys(
            posixpath.join(folder, _ATTRIBUTES) for path in paths for folder in _above(path)
        )
        text = self.git.out("ls-tree", "-r", "-z", "--full-tree", self.name, "--", *paths, *above)
        inner = tuple(f"{path}/" for path in paths)
        for item in text.split("\0"):
            if item:
                meta, _, path = item.partition("\t")
                mode, _, oid = meta.split(" ")
                if path in paths or path.startswith(inner):
                    self.entries[path] = (mode, oid)
                elif path in above and mode != _SUBMODULE:  # no folder of that name
                    self.outer[path] = (mode, oid)

    def _led_to(self) -> set[str]:
        """The paths outside of all that is listed to which links lead."""
        links = {path: oid for path, (mode, oid) in self.entries.items() if mode == _LINK}
        held = contents(self.git, links.values()) if links else {}
        known = tuple(f"{folder}/" for folder in (*self.folders, *self.linked))
        found = set()
        for path, oid in links.items():
            end = target(path, os.fsdecode(held[oid]))
            if end is not None and end != "." and not f"{end}/".startswith(known):
                found.add(end)
        return found

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
        return tuple(f"{p}/" for p, (mode, _) in self.entries.items() if mode == _LINK)

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
            if posixpath.basename(path) == _ATTRIBUTES
        }

    @functools.cached_property
    def machine(self) -> Machine:
        """What this machine adds to all that."""
        return machine_of(self.git)

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
            return {path: _digest_of(f"{made.path}/tree/{path}") for path in paths}

    def _filtered_into(self, folder: str) -> list[str]:
        """Write the files that have a filter to `folder`/tree; their paths. Raises GitError."""
        git = self._with_index(f"{folder}/index")
        git.out("read-tree", self.name)
        known = "".join(f"{p}\0" for p, (mode, _) in self.entries.items() if mode[:3] == "100")
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

    def _with_index(self, index: str) -> Git:
        """The repository with an index of our own."""
        git = Git(self.git.directory)
        git._prefix = [*self.git._prefix]
        git.env = {**self.git.env, "GIT_INDEX_FILE": index, "GIT_LITERAL_PATHSPECS": "1"}
        return git

    @functools.cache  # noqa: B019 - a tree lives as long as one run
    def _written_by(self, folder: str) -> str:
        """Stands for all that git minds, beside the blob, as it writes a file of `folder`."""
        own = [self.attributes.get(above) for above in (*_above(folder), folder)]
        if not any(own) and not self.machine.always:
            return ""
        return f" {digest([own, self.machine.meaning])}"

    @functools.cached_property
    def deciphered(self) -> dict[str, bytes]:
        """What the PGP messages in the files hold, by their names; those aside that no key opens."""
        if self.keys is None or self.keys.folder is None:
            return {}
        return self.keys.decipher(self._messages())

    def _messages(self) -> set[str]:
        folders = [f":(literal){folder}" for folder in (*self.folders, *self.linked)]
        argv = ["grep", "-l", "-z", "-a", "-F", "-e", ciphertext.MARK, self.name, "--", *folders]
        done = self.git.run(*argv)
        if done.code not in (0, 1):
            raise failed(done, self.git.directory)
        paths = [item.partition(":")[2] for item in done.text.split("\0")]
        blobs = sorted({self.entries[path][1] for path in paths if path in self.entries})
        if not blobs:
            return set()
        # The names of blobs in between part one file from the next.
        text = self.git.out("cat-file", "--batch", stdin="\n".join(blobs).encode())
        return set(ciphertext.messages(text))

    @functools.cached_property
    def public_words(self) -> frozenset[str]:
        """The words that stand in its states, and in the names of all its files: nobody has to hide them.

        What stands in the pillar only is not among them.
        """
        states, pillar = self.folders
        prefixes = (f"{states}/", f"{pillar}/")
        oids = {
            oid
            for path, (mode, oid) in self.entries.items()
            if path.startswith(prefixes[0])
            and mode[:3] == "100"
            and (states.startswith(prefixes[1]) or not path.startswith(prefixes[1]))
        }
        text = "\n".join(self.entries)
        if oids:
            text += self.git.out("cat-file", "--batch", stdin="\n".join(sorted(oids)).encode())
        return frozenset(words_of(text))

    def content(self, path: str) -> str | None:
        """What is at `path`, as a token that changes when it does; None when there is nothing.

        It is what git writes there: of the blob, and of each .gitattributes from the root to the file's folder
        (gitattributes(5)).
        """
        if self.links and f"{path}/".startswith(self.links):
            return f"link {self.digest}"  # where it leads may depend on any other link
        if path in self.entries:
            written = self._written_by(posixpath.dirname(path))
            if path in self.filtered:
                written += f" {self.filtered[path]}"
            return f"{' '.join(self.entries[path])}{written}"
        return "folder" if path in self.directories else None

    def below(self, folder: str) -> list[str]:
        """The paths of all files below `folder`."""
        prefix = f"{folder.rstrip('/')}/"
        return [path for path in self.entries if path.startswith(prefix)]

    @functools.cache  # noqa: B019 - a tree lives as long as one run
    def source(self, path: str) -> str | None:
        """Stands for the content of a file, or of a folder when `path` ends with a slash."""
        if not path.endswith("/"):
            return self.content(path)
        inner = sorted((p, self.content(p)) for p in self.below(path))
        return digest(inner) if inner else None

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
        for key, value in state.items():
            kind, _, rest = key.partition(" ")
            if kind == "f":
                now = self.content(rest)
            elif kind == "g":
                folder, _, pattern = rest.partition("\0")
                now = self.matching(folder, pattern)
            elif kind == "c":
                now = self._opens(rest)
            elif kind == "w":
                now = self.digest
            else:
                now = self.listing(rest)
            if now != value:
                return False
        return True

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
        git = self._with_index(f"{folder}.index")
        tops = [f for f in self.folders if f in self.directories]
        tops += [p for p in self.linked if p in self.directories or p in self.entries]
        if tops:
            git.out(
                f"--work-tree={folder}", "-c", "core.bare=false",
                "checkout", "--force", "--quiet", self.name, "--", *tops, *self.outer,
            )  # fmt: skip
        for path in {*self.outer} - {*self.entries} if tops else ():
            os.unlink(f"{folder}/{path}")
        for wanted in self.folders:
            os.makedirs(f"{folder}/{wanted}", exist_ok=True)
        if self.linked:
            self._bring_in(folder)
        if os.path.exists(f"{folder}.index"):
            os.unlink(f"{folder}.index")

    def _bring_in(self, folder: str) -> None:
        """Put what links lead to elsewhere in the repository in the place of these links.

        In the sandbox the folders stand where their own links lead astray. Nothing outside of `folder`
        is followed, and a file is the same on disk wherever it is seen.
        """
        top, left = os.path.realpath(folder), _MOST_LINKED
        elsewhere = tuple(f"{path}/" for path in self.linked)
        for link in self.links:
            path = f"{folder}/{link[:-1]}"
            end = target(link[:-1], os.readlink(path)) if os.path.islink(path) else None
            if end is None or not f"{end}/".startswith(elsewhere):
                continue
            real = os.path.realpath(f"{folder}/{end}")
            left -= len(self.below(end)) + 1
            if left < 0 or not real.startswith(f"{top}/") or not os.path.exists(real):
                continue
            os.unlink(path)
            if os.path.isdir(real):
                shutil.copytree(real, path, symlinks=True, copy_function=os.link)
            else:
                os.link(real, path)


def _digest_of(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return "missing"


def _above(path: str) -> Iterator[str]:
    """The folders that `path` is in, from the repository's own, which is ""."""
    yield ""
    for at, sign in enumerate(path):
        if sign == "/":
            yield path[:at]


def custom_code(tree: Tree, states_dir: str) -> dict[str, str]:
    """Path to content of what Salt syncs to minions: ``_modules/x.py`` and the like."""
    prefix = f"{states_dir}/_"
    return {
        path: tree.content(path) or ""
        for path in tree.entries
        if path.startswith(prefix) and "/" in path[len(prefix) :]
    }


def changed(one: Mapping[str, str], other: Mapping[str, str]) -> Iterable[str]:
    """The keys whose values differ, or that only one has."""
    return sorted(k for k in {*one, *other} if one.get(k) != other.get(k))
