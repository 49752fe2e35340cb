"""Formulas as a clone or a master knows them: their pins in a commit, their objects here, and what lies between pins.

Nothing is fetched but by `fetched`, which only verbs call that are asked to: a branch may name any URL.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from saltbranch.base import scratch
from saltbranch.base.errors import RefusedError, RemoteError
from saltbranch.config.model import Config
from saltbranch.git import address as addresses
from saltbranch.git import merge, pinned_tree, submodules
from saltbranch.git.address import Address, BadAddress
from saltbranch.git.mirror import Mirror
from saltbranch.git.program import Git, mask
from saltbranch.git.submodules import LINK_MODE, Pin, Submodules
from saltbranch.history import pins
from saltbranch.history.pins import FormulaChange, Pinned
from saltbranch.repository import pinned
from saltbranch.repository.commit_source import CommitSource
from saltbranch.repository.pin_conflicts import Objects
from saltbranch.repository.pinned import Formula, Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from saltbranch.repository.workplace import Say, Workplace

_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Composed:
    """A tree with the files of its formulas in it. git: sees all objects. name: its hash, that of a commit where
    there are no formulas. paths: of those whose files are in it. gaps: path to why they are not. refused: those of them
    for which a master that lists `submodules:` refuses the whole commit, wherever they are.
    """

    git: Git
    name: str
    paths: tuple[str, ...] = ()
    gaps: Mapping[str, str] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()


class Formulas:
    """What is known here of the formulas of one control repository.

    listed: where a master lets them come from; None in a clone, whose user decides.
    """

    def __init__(
        self, source: CommitSource, store: Store, listed: tuple[str, ...] | None, timeout: float,
        url: str = "",
    ) -> None:  # fmt: skip
        """store: the mirrors. timeout: seconds for a fetch. url: of the control repository, on a master."""
        self.git, self.source, self.store = source.git, source, store
        self.listed, self.timeout, self.url = listed, timeout, url
        self._scratch = ""

    @functools.cached_property
    def clone(self) -> str | None:
        """The git folder of a clone; None on a master."""
        if self.listed is not None:
            return None
        args = ("rev-parse", "--path-format=absolute", "--git-common-dir")
        return self.source.objects.out(*args).rstrip("\n")

    @functools.cached_property
    def remote(self) -> str:
        """The URL of the control repository, which others may be relative to."""
        if self.url:
            return self.url
        name = self.source.remote or "origin"
        return self.git.run("config", "--get", f"remote.{name}.url").text.strip() or name

    # Pins

    def pins(self, name: str) -> dict[str, Pin]:
        """Path to pin of the formulas in the commit or tree `name`. Raises GitError."""
        return self._read(self.git, name).pins

    def _read(self, git: Git, name: str) -> Submodules:
        if git.blob_or_none(name, submodules.FILE) is None:
            return Submodules({}, {}, {})
        oid = git.out("rev-parse", "--verify", "--end-of-options", name).strip()
        return submodules.read(git, oid, self.remote, whole=False)

    def free_name(self, path: str, url: str) -> str:
        """A name for a new submodule at `path`: what no other has, here or in .git/modules for another URL."""
        found = self._read(self.git, "HEAD")
        taken = {pin.name for pin in found.pins.values()} | set(found.absent.values())
        number = 1
        while True:
            name = path if number == 1 else f"{path}-{number}"
            folder = f"{self.clone}/modules/{name}"
            known = Git(folder).run("config", "--get", "remote.origin.url").text.strip()
            if name not in taken and (not os.path.lexists(folder) or known == url):
                return name
            number += 1

    def address(self, url: str) -> Address:
        """Where `url`, as in .gitmodules, is; refused where nothing is fetched from there. Raises RefusedError."""
        try:
            address = addresses.parse(addresses.resolve(url, self.remote))
        except BadAddress as err:
            raise RefusedError(
                f"{mask(url)[:200]!r} is no URL of a formula: {err}",
                hint="for example https://git.example.com/formulas/nginx.git",
            ) from err
        if address.password:
            raise RefusedError(
                f"{address.shown} holds a password, which everybody could read in .gitmodules",
                hint="leave it out, and let git's credential helper know it",
            )
        if self.listed is not None and not addresses.is_allowed(address, self.listed):
            raise RefusedError(
                f"{address.shown} is not among the submodules: of this machine's saltbranch.yaml",
                hint="add it there if its state code is to be served",
            )
        if address.scheme == "file" and not self._allows_files():
            raise RefusedError(
                f"{address.shown} is a folder of this machine: a colleague's git would refuse it",
                hint="name a URL of a server; git config --global protocol.file.allow always lets git take folders",
            )
        return address

    def _allows_files(self) -> bool:
        if self.listed is not None:
            return True  # it was listed
        if "file" in self.git.env.get("GIT_ALLOW_PROTOCOL", "").split(":"):
            return True
        return self.git.run("config", "--get", "protocol.file.allow").text.strip() == "always"

    # Objects

    def objects(self, pin: Pin, *commits: str) -> Objects:
        """The repository of `pin` that has all of `commits` here."""
        wanted = commits or (pin.commit,)
        command = (
            "saltbranch formula list fetches it" if self.clone else "saltbranch sync fetches it"
        )
        if pin.address is not None:
            mirror = self._mirror(pin)
            if mirror.exists() and all(mirror.git.commit_or_none(c) for c in wanted):
                return Objects(mirror.git, ("refs/heads/", "refs/tags/"))
        folders = [pinned.module_of(self.clone, pin.name, c) for c in wanted] if self.clone else []
        if folders and all(folders):
            return Objects(Git(str(folders[0])), ("refs/remotes/",))
        return Objects(None, fetch=command)

    def find(self, commit: str, path: str, wanted: tuple[str, ...]) -> Objects:
        """The same of the formula at `path` of `commit`."""
        pin = self.pins(commit).get(path)
        if pin is None:
            return Objects(None, fetch=f"{path} has no entry in .gitmodules")
        return self.objects(pin, *wanted)

    def _mirror(self, pin: Pin) -> Formula:
        assert pin.address is not None
        return self.store.of(pin.address)

    def missing(self, pin: Pin) -> str:
        """Why the files of `pin` are not here, with what brings them; empty where they are."""
        if pin.problem:
            return pin.problem
        if pinned.git_folder_of(pin, (self.store,), self.clone):
            return ""
        if self.listed is not None and not self._serves(pin):
            return self._unlisted(pin)
        command = "saltbranch formula list" if self.clone else "saltbranch sync"
        return f"its commit {pin.commit[:12]} of {pin.where} is not here: {command} fetches it"

    def fetched(self, pin: Pin, say: Say | None = None, *, optional: bool = False) -> Pinned:
        """Fetch what is missing of `pin`, branches and tags with it.

        optional: it is fine where that fails. Raises RefusedError, RemoteError.
        """
        address = self.address(pin.url)
        pin = pin.at(address)
        mirror = self._mirror(pin)
        if mirror.has(pin.commit):
            mirror.refresh(timeout=self.timeout, say=say)  # for its tags
        why = mirror.bring_in([pin.commit], timeout=self.timeout, say=say)
        if why and not optional:
            raise RemoteError(
                f"the formula {pin.path} cannot be fetched: {why[pin.commit]}",
                hint="nothing was changed",
            )
        return self.look(pin)

    def tags(self, pin: Pin) -> list[str]:
        """The tags of its repository that are here."""
        git = self.objects(pin).git
        text = git.out("for-each-ref", "--format=%(refname:lstrip=2)", "refs/tags/") if git else ""
        return [tag for tag in text.split("\n") if tag]

    # What pins are called, and what lies between them

    def look(self, pin: Pin) -> Pinned:
        """What `pin` is called, as far as its repository is here. Raises GitError."""
        found = self.objects(pin)
        if found.git is None:
            return pins.unknown(pin.commit)
        return pins.look(found.git, pin.commit, found.branches)

    def change(self, old: Pin, new: Pin) -> FormulaChange:
        """From one pin of a path to another. Raises GitError."""
        sides = (self.look(old), self.look(new))
        if _place(old) != _place(new):
            return FormulaChange(
                new.path,
                new.where,
                *sides,
                pins.MOVED,
                old_url=old.where,
                missing=self.missing(new),
            )
        found = self.objects(new, old.commit, new.commit)
        if found.git is None:
            gone = next((pin for pin in (new, old) if self.missing(pin)), new)
            why = self.missing(gone) or f"its commits are not here together: {found.fetch}"
            return FormulaChange(new.path, new.where, *sides, pins.UNKNOWN, missing=why)
        told = pins.between(found.git, old.commit, new.commit)
        return FormulaChange(
            new.path,
            new.where,
            *sides,
            told.move,
            commits=told.commits,
            count=told.count,
            lost=told.lost,
        )

    def changes(self, old: str, new: str) -> tuple[FormulaChange, ...]:
        """The pins that differ between two commits or trees. Raises GitError."""
        moved = self._moved(old, new)
        if not moved:
            return ()
        before, after = self.pins(old), self.pins(new)
        found = []
        for path in moved:
            one, other = before.get(path), after.get(path)
            if one and other:
                found.append(self.change(one, other))
            elif other:
                found.append(
                    FormulaChange(
                        path,
                        other.where,
                        None,
                        self.look(other),
                        pins.ADDED,
                        missing=self.missing(other),
                    )
                )
            elif one:
                lost = self._lost(new, path)
                found.append(
                    FormulaChange(path, one.where, self.look(one), None, pins.REMOVED, missing=lost)
                )
        return tuple(found)

    def _moved(self, old: str, new: str) -> list[str]:
        """The paths where a pin came, went or moved; those whose URL alone changed, too."""
        pairs = merge.changes(self.git, old, new)
        found = [path for meta, path in pairs if LINK_MODE in meta[:2]]
        if any(path == submodules.FILE for _, path in pairs):
            one, other = self.pins(old), self.pins(new)
            found += [p for p in one.keys() & other.keys() if _place(one[p]) != _place(other[p])]
            found += submodules.gitlinks(self.git, new, [p for p in one if p not in other])
        return sorted(set(found))

    def _lost(self, name: str, path: str) -> str:
        """Why a pin counts for nothing that `name` still has; empty where it has none."""
        if not submodules.gitlinks(self.git, name, [path]):
            return ""
        why = (
            self._read(self.git, name).problem or f"{submodules.FILE} has no entry for it any more"
        )
        return f"{why}; masters that serve it refuse that: put it back, or remove the formula"

    # Files

    def composed(self, git: Git, name: str) -> Composed:
        """The commit or tree `name` with the files of its formulas in it, as a master serves it. Raises GitError."""
        found = self._read(git, name)
        folders: dict[str, str] = {}
        gaps: dict[str, str] = {}
        refused = set()
        for path, pin in found.pins.items():
            if self.listed is not None and not self._serves(pin):
                if self.listed:
                    gaps[path] = pin.problem or self._unlisted(pin)
                    refused.add(path)
                continue
            stores = () if pin.address is None else (self.store,)
            folder = None if pin.problem else pinned.git_folder_of(pin, stores, self.clone)
            if folder is None:
                gaps[path] = self._gap(pin, name)
                refused |= {path} if pin.problem else set()
            else:
                folders[path] = folder
        if not folders:
            return Composed(git, name, (), gaps, frozenset(refused))
        seeing = pinned_tree.with_objects(self.writing(git), folders.values())
        wanted = {path: found.pins[path].commit for path in folders}
        made = pinned_tree.compose(seeing, name, wanted)
        return Composed(seeing, made.tree, tuple(folders), gaps, frozenset(refused))

    def _serves(self, pin: Pin) -> bool:
        return pin.address is not None and addresses.is_allowed(pin.address, self.listed or ())

    def _unlisted(self, pin: Pin) -> str:
        return f"{pin.where} is not among the submodules: of this machine"

    def _gap(self, pin: Pin, name: str) -> str:
        why = self.missing(pin)
        if not self.clone or self.git.commit_or_none(name) is None:
            return why  # the tree of a merge has no name
        return why.replace("formula list fetches", f"formula list {name[:12]} fetches")

    def writing(self, git: Git) -> Git:
        """`git` that writes new objects into a folder that goes with this process."""
        if "GIT_OBJECT_DIRECTORY" in git.env:
            return git  # it does so already
        if not self._scratch:
            self._scratch = scratch.kept("saltbranch-scratch-tree-formulas-")
            os.mkdir(f"{self._scratch}/objects")
        own = git.out("rev-parse", "--path-format=absolute", "--git-path", "objects").rstrip("\n")
        # git takes the object folder that it is given for its own.
        aside = pinned_tree.with_objects(git, [os.path.dirname(own)])
        aside.env = {**aside.env, "GIT_OBJECT_DIRECTORY": f"{self._scratch}/objects"}
        return aside


def formulas_in(source: CommitSource, config: Config | None) -> Formulas:
    """The formulas of the repository of `source`; config: of the machine."""
    timeout = config.fetch_timeout if config else _SECONDS
    root = os.path.normpath(config.root) if config else ""
    if config and os.path.normpath(source.objects.directory) == Mirror(root).path:
        store = pinned.of_root(root)
        return Formulas(source, store, config.submodules, timeout, config.remote)
    return Formulas(source, pinned.of_user(), None, timeout)


def formulas_of(work: Workplace) -> Formulas:
    """The same where a verb works. Raises ConfigError."""
    return formulas_in(work.place.source(), work.config)


def _place(pin: Pin) -> str:
    return pin.address.identity if pin.address else pin.url
