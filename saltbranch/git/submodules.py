"""The submodules of a commit: what its tree pins, and what its .gitmodules says of where that comes from.

All of it was written by strangers. It is read from the objects of that commit, never from a work tree, by git's own
parser; of each entry only name, path and URL count, so nothing in it makes anybody run a program.
"""

from __future__ import annotations

from saltbranch.git import address as addresses
from saltbranch.git.address import Address, BadAddress
from saltbranch.git.program import Git, mask

FILE = ".gitmodules"
LINK_MODE = "160000"
_LARGEST = 1 << 20  # bytes of a .gitmodules
_MOST = 1000  # entries


class Pin:
    """A submodule: the `commit` that the tree pins at `path`, and its entry in .gitmodules.

    url: as written. address: where that is; None where `problem` says why it cannot be fetched from.
    """

    __slots__ = ("address", "commit", "name", "path", "problem", "url")

    def __init__(
        self,
        path: str,
        commit: str,
        name: str,
        url: str,
        address: Address | None,
        *,
        problem: str = "",
    ) -> None:
        self.path = path
        self.commit = commit
        self.name = name
        self.url = url
        self.address = address
        self.problem = problem

    def moved(self, commit: str) -> Pin:
        """The same at another commit."""
        return Pin(
            path=self.path,
            commit=commit,
            name=self.name,
            url=self.url,
            address=self.address,
            problem=self.problem,
        )

    def at(self, address: Address) -> Pin:
        """The same, fetched from `address`."""
        return Pin(
            path=self.path,
            commit=self.commit,
            name=self.name,
            url=self.url,
            address=address,
            problem=self.problem,
        )

    @property
    def where(self) -> str:
        """The URL as it may be shown."""
        return self.address.shown if self.address else _printable(mask(self.url))


class Submodules:
    """What a commit says of submodules.

    pins: by path, those with an entry. unnamed: paths of pins without one (only where the whole tree was asked for).
    absent: path to name of entries without a pin. problem: why .gitmodules counts for nothing.
    """

    __slots__ = ("absent", "pins", "problem", "unnamed")

    def __init__(
        self,
        pins: dict[str, Pin],
        unnamed: dict[str, str],
        absent: dict[str, str],
        problem: str = "",
    ) -> None:
        self.pins = pins
        self.unnamed = unnamed
        self.absent = absent
        self.problem = problem


class _Entry:
    __slots__ = ("name", "path", "url")

    def __init__(self, name: str, path: str, url: str) -> None:
        self.name = name
        self.path = path
        self.url = url


def read(git: Git, commit: str, remote: str, *, whole: bool = True) -> Submodules:
    """The submodules of `commit`, a full hash of a commit or tree.

    remote: the URL of the repository, which relative URLs are relative to. whole: look for pins without an entry,
    too, which lists the whole tree. Raises GitError.
    """
    entries, problem = _entries(git, commit)
    paths = list(dict.fromkeys(entry.path for entry in entries))
    links = gitlinks(git, commit, None if whole else paths)
    pins = {}
    for entry in entries:
        if entry.path in links:
            twice = sum(e.path == entry.path for e in entries) > 1
            pins[entry.path] = _pin(entry, links[entry.path], remote, twice=twice)
    unnamed = {path: oid for path, oid in links.items() if path not in pins}
    absent = {entry.path: entry.name for entry in entries if entry.path not in links}
    return Submodules(pins, unnamed, absent, problem)


def addresses_in(git: Git, blob: str, remote: str) -> list[Address]:
    """Where the entries of a .gitmodules, the blob `blob`, can be fetched from. Raises GitError."""
    found: list[Address] = []
    for entry in _parsed(git, blob)[0]:
        pin = _pin(entry, "", remote, twice=False)
        found += [pin.address] if pin.address else []
    return found


def gitlinks(git: Git, commit: str, paths: list[str] | None = None) -> dict[str, str]:
    """Path to commit of what the tree of `commit` pins; of `paths` only, where they are given. Raises GitError."""
    if paths is not None:
        paths = [path for path in paths if not path_problem(path)]
        if not paths:
            return {}
    literal = git.with_env(GIT_LITERAL_PATHSPECS="1")
    args = ("ls-tree", *(("-r",) if paths is None else ()), "-z", "--full-tree", commit, "--")
    found = {}
    for line in literal.out(*args, *(paths or ())).split("\0"):
        meta, _, path = line.partition("\t")
        if meta.startswith(f"{LINK_MODE} "):
            found[path] = meta.split(" ")[2]
    return found


def _entries(git: Git, commit: str) -> tuple[list[_Entry], str]:
    """What stands in the .gitmodules of `commit`, and why it counts for nothing."""
    line = git.out("ls-tree", "-z", "-l", "--full-tree", commit, "--", FILE).strip("\0")
    if not line:
        return [], ""
    mode, kind, oid, size = line.partition("\t")[0].split()
    if kind != "blob" or mode not in ("100644", "100755"):
        what = {"120000": "a symlink", LINK_MODE: "a submodule"}.get(mode, "a folder")
        return [], f"{FILE} is {what} and not a file"
    return _parsed(git, oid, int(size))


def _parsed(git: Git, blob: str, size: int | None = None) -> tuple[list[_Entry], str]:
    named, problem = keys_in(git, blob, size)
    found = {name: dict(keys) for name, keys in named.items()}
    entries = [_Entry(n, e["path"], e.get("url", "")) for n, e in found.items() if "path" in e]
    return entries, problem


def keys_in(
    git: Git, blob: str, size: int | None = None
) -> tuple[dict[str, list[tuple[str, str]]], str]:
    """Name to keys and values, as they stand, of each entry of a .gitmodules; and why it counts for nothing.

    size: of the blob in bytes, where it is known. Raises GitError.
    """
    size = int(git.out("cat-file", "-s", blob)) if size is None else size
    if size > _LARGEST:
        return {}, f"{FILE} has {size} bytes, at most {_LARGEST} are read"
    done = git.run("config", "--no-includes", f"--blob={blob}", "-z", "--list")
    if done.code != 0:
        complaint = " ".join(done.complaint.split())[:200].replace(f"blob {blob}", FILE)
        return {}, f"git cannot read {FILE}: {_printable(complaint)}"
    named: dict[str, list[tuple[str, str]]] = {}
    for item in done.text.split("\0"):
        key, _, value = item.partition("\n")
        if key.startswith("submodule.") and key.count(".") > 1:
            name, _, what = key[len("submodule.") :].rpartition(".")
            named.setdefault(name, []).append((what, value))
    if len(named) > _MOST:
        return {}, f"{FILE} has {len(named)} entries, at most {_MOST} are read"
    return named, ""


def _pin(entry: _Entry, commit: str, remote: str, *, twice: bool) -> Pin:
    address, problem = None, name_problem(entry.name) or path_problem(entry.path)
    if twice:
        problem = f"two entries of {FILE} have its path"
    elif not entry.url:
        problem = f"its entry in {FILE} has no url"
    elif not problem:
        try:
            address = addresses.parse(addresses.resolve(entry.url, remote))
        except BadAddress as err:
            problem = f"its URL {_printable(mask(entry.url))!r} is refused: {err}"
    return Pin(
        path=entry.path,
        commit=commit,
        name=entry.name,
        url=entry.url,
        address=address,
        problem=problem,
    )


def name_problem(name: str) -> str:
    """Why nothing is done with a submodule of this name, which is a path below .git/modules; empty when it is fine.

    As git refuses it (CVE-2018-11235), and what would be an option or leave a line.
    """
    parts = name.replace("\\", "/").split("/")
    if len(name) > 250 or name.startswith("-") or any(ord(c) < 32 or ord(c) == 127 for c in name):
        return f"its name {name[:250]!r} is none"
    if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
        return f"its name {name!r} leads elsewhere"
    return ""


def path_problem(path: str) -> str:
    """Why nothing is put at the path `path` of a tree; empty when it is fine."""
    if len(path) > 1000 or path.startswith("-") or any(ord(c) < 32 or ord(c) == 127 for c in path):
        return f"its path {path[:250]!r} is none"
    if any(0xD800 <= ord(c) <= 0xDFFF for c in path):
        return "its path is not UTF-8"
    parts = path.split("/")
    if any(p in ("", ".", "..") or p.lower().rstrip(". ") in (".git", "git~1") for p in parts):
        return f"its path {path!r} leads elsewhere"
    return ""


def _printable(text: str) -> str:
    from saltbranch.base.text import printable  # only where something is shown

    return printable(text)
