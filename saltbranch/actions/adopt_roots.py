"""Which states_dir, pillar_dir, extra_roots and submodules give a saltenv what its sources give it now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from saltbranch.base.errors import RemoteError
from saltbranch.git import address, submodules
from saltbranch.git.address import BadAddress
from saltbranch.git.mirror import Mirror
from saltbranch.git.program import quoted
from saltbranch.git.submodules import Pin
from saltbranch.preview.plain_side import Served
from saltbranch.salt_master.served_now import Found, Source
from saltbranch.serve.first_sync import remote_heads

_PATIENCE = 120  # seconds for asking a formula's remote which branches it has
_DOCUMENTS = ("readme", "license", "licence", "changelog", "contributing", "authors")


@dataclass(frozen=True, slots=True)
class Entry:
    """One root: a folder of the repository with the names that count in it, or one outside of it."""

    folder: str
    names: tuple[str, ...] = ()
    is_outside: bool = False

    def written(self) -> object:
        """As it stands in a list of roots."""
        return {self.folder: list(self.names)} if self.names else self.folder


@dataclass(slots=True)
class Layout:
    """The keys of saltbranch.yaml. problems: what cannot be expressed."""

    states: object = "salt"
    pillar: object = "pillar"
    extra_roots: tuple[str, ...] = ()
    submodules: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)


class Layouter:
    """Finds it for the branches of one control repository."""

    def __init__(
        self, remote: str, mirror: Mirror, branches: Mapping[str, str], base: str, now: Served
    ) -> None:
        """mirror: of `remote`. branches: saltenv to branch. base: what gitfs calls `base`. now: what is served."""
        self._remote, self._now, self._branches, self._base = remote, now, branches, base
        heads = mirror.branches()
        self._pins: dict[str, Mapping[str, Pin]] = {
            branch: submodules.read(mirror.git, heads[branch], remote, whole=False).pins
            for branch in branches.values()
            if branch in heads
        }
        self._heads: dict[str, Mapping[str, str]] = {}
        self.layout = Layout()

    def lay_out(self, found: Found) -> Layout:
        """The keys for everything that was found. Raises GitError."""
        states = self._same("states", found.states)
        outside = [e for e in states if e.is_outside]
        if outside and states[-len(outside) :] != outside:
            names = ", ".join(e.folder for e in outside)
            self._problem(
                f"{names} is in no clone, and comes before folders of the repository: put it last, or"
            )
        self.layout.extra_roots = tuple(e.folder for e in outside)
        inside = [e for e in states if not e.is_outside]
        if states and not inside:
            names = ", ".join(self.layout.extra_roots)
            self._problem(
                f"no folder of states is in a clone ({names}): name the repository with --remote URL, or"
            )
        pillar = self._same("pillar", found.pillar)
        for entry in pillar:
            if entry.is_outside:
                self._problem(f"pillar folder {entry.folder} is in no clone:")
        self.layout.states = _written(inside, "salt")
        self.layout.pillar = _written([e for e in pillar if not e.is_outside], "pillar")
        self._submodules_in(inside)
        return self.layout

    def _problem(self, text: str) -> None:
        """Of files that have to get into the repository; `text` is to be gone on with."""
        self.layout.problems.append(f"{text} commit its files to the repository")

    def _same(self, what: str, sources: Sequence[Source]) -> list[Entry]:
        """The roots of every saltenv, which have to be the same ones."""
        lists = {s: self._entries(s, sources) for s in self._branches}
        first = next(iter(lists.values()), [])
        for entries in lists.values():
            if (
                entries
                and first
                and entries != first
                and what == "states"
                or (entries and first and [e for e in entries if e not in first])
            ):
                told = "; ".join(
                    f"{s}: {', '.join(e.folder for e in es)}" for s, es in lists.items()
                )
                self.layout.problems.append(
                    f"the saltenvs have {what} in different folders of the repository ({told}): move them in their"
                    " branches"
                )
                break
        return first or next((entries for entries in lists.values() if entries), [])

    def _entries(self, saltenv: str, sources: Sequence[Source]) -> list[Entry]:
        found: list[Entry] = []
        for source in sources:
            if source.kind == "folder" and source.saltenv != saltenv:
                continue
            entry = self._entry(saltenv, source)
            if entry and entry not in found:
                found.append(entry)
        return found

    def _entry(self, saltenv: str, source: Source) -> Entry | None:
        if not source.url:
            return Entry(source.place, is_outside=True)
        if is_same(source.url, self._remote):
            entry = _mounted(source.root, source.mountpoint)
            if entry is None:
                self.layout.problems.append(
                    f"{source.name} is served below {source.mountpoint}: move its files into a folder of that name"
                )
            elif entry.folder == "." and not entry.names:
                return Entry(".", self._names())
            return entry
        return self._submodule(saltenv, source)

    def _names(self) -> tuple[str, ...]:
        """What is served of the top of the repository; never pillar and the like (config/roots.py)."""
        served = {
            path for files in self._now.saltenvs.values() for path in files if "/" not in path
        }
        plain = sorted(
            name
            for name in served
            if not name.startswith(".")
            and not name.endswith(".sls")
            and not name.lower().startswith(_DOCUMENTS)
            and name != "saltbranch.yaml"
        )
        return ("*", *plain)

    def _submodule(self, saltenv: str, source: Source) -> Entry | None:
        """The root in the submodule that stands for another repository; a problem where a branch lacks it."""
        try:
            wanted = address.parse(source.url)
        except BadAddress as err:
            self.layout.problems.append(f"{source.name}: its URL is not fetched from: {err}")
            return None
        entry: Entry | None = None
        for name, branch in self._branches.items():
            pins = [
                pin
                for pin in self._pins.get(branch, {}).values()
                if pin.address and pin.address.identity == wanted.identity
            ]
            fitting = [
                e
                for pin in pins
                if (e := _mounted(_joined(pin.path, source.root), source.mountpoint))
            ]
            if fitting:
                entry = entry or fitting[0]
                self.layout.submodules = tuple(
                    dict.fromkeys((*self.layout.submodules, wanted.identity))
                )
            elif name == saltenv:
                self._lacks(source, name, branch)
        return entry

    def _lacks(self, source: Source, saltenv: str, branch: str) -> None:
        """Say how `branch` gets what `source` gives to `saltenv`, if it gives anything."""
        commit = source.commit or self._commit(source, saltenv)
        if commit is None:
            return
        inner = source.root if source.root != "." else ""
        path = f"formulas/{address.parse(source.url).name}"
        if source.mountpoint and not f"/{inner}".endswith(f"/{source.mountpoint}"):
            if inner:
                self.layout.problems.append(
                    f"{source.name} is served below {source.mountpoint}, and has no folder of that name"
                )
                return
            path += f"/{source.mountpoint}"
        # What the command writes is for everybody, so no password and no name of a user gets into it.
        url = quoted(address.parse(source.url).without_credentials)
        place, name = quoted(path), quoted(branch)
        steps = [f"git checkout {name}", f"git submodule add --force -- {url} {place}"]
        steps += [f"git -C {place} checkout --quiet --detach {commit}"] if commit else []
        steps += [f"git add -- {place}", f"git commit -m {quoted(f'Formula {path}')}"]
        self.layout.problems.append(
            f"{source.name} is another repository; on branch {branch}, make it a submodule of the control repository,"
            f" in a clone of that: {' && '.join([*steps, f'git push origin {name}'])}"
        )

    def _commit(self, source: Source, saltenv: str) -> str | None:
        """What `source` serves for `saltenv` now; None for nothing, empty where that cannot be found out."""
        if source.url not in self._heads:
            try:
                self._heads[source.url] = remote_heads(source.url, _PATIENCE)
            except RemoteError:
                return ""
        heads = self._heads[source.url]
        if source.kind == "git_pillar":
            return heads.get(source.branch or saltenv)
        own = source.refs.get(saltenv) or (self._base if saltenv == "base" else saltenv)
        return heads.get(own) or heads.get(source.fallback)

    def _submodules_in(self, entries: Sequence[Entry]) -> None:
        """List what is in submodules of a clone now, and served."""
        for saltenv, branch in self._branches.items():
            served = self._now.saltenvs.get(saltenv, {})
            for pin in self._pins.get(branch, {}).values():
                inner = [
                    pin.path.removeprefix(f"{e.folder}/")
                    for e in entries
                    if pin.path.startswith(f"{e.folder}/")
                ]
                if pin.address and any(p.startswith(f"{i}/") for i in inner for p in served):
                    listed = (*self.layout.submodules, pin.address.identity)
                    self.layout.submodules = tuple(dict.fromkeys(listed))


def is_same(one: str, other: str) -> bool:
    """Whether two URLs are spelled ways of one."""
    try:
        return address.parse(one).identity == address.parse(other).identity
    except BadAddress:
        return one == other


def _joined(path: str, root: str) -> str:
    return path if root == "." else f"{path}/{root}"


def _mounted(folder: str, mountpoint: str) -> Entry | None:
    """The root that gives the files of `folder` below `mountpoint`; None where that takes another name."""
    if not mountpoint:
        return Entry(folder)
    if f"/{folder}" == f"/{mountpoint}":
        return Entry(".", (mountpoint.split("/")[0],))
    if not folder.endswith(f"/{mountpoint}"):
        return None
    return Entry(folder.removesuffix(f"/{mountpoint}"), (mountpoint.split("/")[0],))


def _written(entries: Sequence[Entry], default: str) -> object:
    if not entries:
        return default
    if len(entries) == 1 and not entries[0].names:
        return entries[0].folder
    return [entry.written() for entry in entries]
