"""The submodules of what is to be served: fetched where they are missing, and put into the tree of the commit.

Loaded by a sync that switches something where `submodules:` lists something. Whatever is wrong
with one submodule stays with the saltenvs that would serve it: they keep what they serve.
"""

from __future__ import annotations

import _thread

from saltbranch.base.errors import GitError, SaltbranchError
from saltbranch.git import address as addresses
from saltbranch.git import collect, pinned_tree, submodules
from saltbranch.git.address import BadAddress
from saltbranch.git.mirror import FORMULAS
from saltbranch.git.program import HINTS, hint_for
from saltbranch.git.submodules import Pin, Submodules
from saltbranch.repository import pinned
from saltbranch.repository.pinned import Formula
from saltbranch.serve.pins import Pins, Placed, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from saltbranch.git.pinned_tree import Change
    from saltbranch.serve.run import Run
    from saltbranch.serve.slots import Slots


class Formulas:
    """The mirrors of submodules, as one sync uses them from several threads."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.allowed = run.ready.submodules.split()
        self.store = pinned.of_root(run.ready.root)
        self._lock = _thread.allocate_lock()
        self._locks: dict[str, _thread.LockType] = {}
        # Mirror to what came of the last try, so that a server that is down is waited for once in a run.
        self._failed: dict[str, dict[str, str]] = {}
        self._fetched: dict[str, Formula] = {}
        self._silent: set[str] = set()
        self._healed: set[str] = set()
        self._failing: set[str] = (
            set()
        )  # commits that are looked at as if nothing was known of them

    def source(self, slots: Slots, commit: str, *, fetch: bool = True) -> Source:
        """What is to be served of `commit`, its submodules fetched. Raises SaltbranchError, GitError."""
        git = self.run.mirror.git
        found = submodules.read(git, commit, self.run.ready.remote, whole=False)
        self._refuse_lost(slots, commit, found)
        mirrors = {path: self._mirror(commit, pin) for path, pin in found.pins.items()}
        missing = self._missing(found.pins, mirrors, fetch=fetch)
        if missing and fetch:
            from saltbranch.base.text import some

            told = [f"{path!r}: {why}" for path, why in missing.items()]
            raise SaltbranchError(f"submodules of commit {commit[:12]}: {some(told, 3)}")
        placed = {p: m for p, m in mirrors.items() if p not in missing}
        made = self._composed(commit, found.pins, placed) if placed else Source(git, commit)
        made.missing = list(missing)
        made.odd = f"submodules stay empty: {found.problem}" if found.problem else ""
        return made

    def unchanged(
        self, served: Pins, before: str, commit: str, changes: list[Change] | None
    ) -> Source | None:
        """What is to be served of `commit`, which pins what the commit `before` pins, served as `served`.

        changes: all that differs between the two. None where a closer look is needed.
        """
        if served.commit != before or served.made is None or changes is None:
            return None
        if commit in self._failing:
            return None
        git, root = self.run.mirror.git, self.run.ready.root
        listed = self.run.ready.submodules
        is_judged = before == commit or served.allowed == listed
        if not is_judged and not all(is_let_in(p, self.allowed) for p in served.placed.values()):
            return None
        if not all(
            pinned.is_kept(f"{root}/{FORMULAS}/{p.mirror}", p.commit)
            for p in served.placed.values()
        ):
            return None
        try:
            made = pinned_tree.moved_on(git, served.made, served.placed, changes)
        except GitError:
            return None  # what was composed is torn, or gone with a mirror that was made anew
        if made is None:
            return None
        pins = Pins(made.tree, served.placed, made, commit, listed)
        return Source(pins.seen_by(git, root), commit, pins)

    def _composed(
        self, commit: str, pins: Mapping[str, Pin], placed: Mapping[str, Formula]
    ) -> Source:
        git = pinned_tree.with_objects(self.run.mirror.git, (m.path for m in placed.values()))
        made = pinned_tree.compose(git, commit, {path: pins[path].commit for path in placed})
        record = {
            path: Placed(pins[path].commit, mirror.path.rpartition("/")[2], pins[path].where)
            for path, mirror in placed.items()
        }
        return Source(git, commit, Pins(made.tree, record, made, commit, self.run.ready.submodules))

    def _refuse_lost(self, slots: Slots, commit: str, found: Submodules) -> None:
        """Refuse a commit whose .gitmodules lost the entry of what is served. Raises SaltbranchError."""
        served = slots.served()
        before = slots.pins(served) if served else None
        if before is None:
            return
        gone = [path for path in before.placed if path not in found.pins]
        left = submodules.gitlinks(self.run.mirror.git, commit, gone) if gone else {}
        if left:
            why = found.problem or f"{submodules.FILE} has no entry for it"
            raise SaltbranchError(
                f"commit {commit[:12]} would empty the submodule {next(iter(left))!r}, whose files are served: {why}",
                hint="push a commit with that entry, or one without the submodule",
            )

    def _mirror(self, commit: str, pin: Pin) -> Formula:
        what = f"the submodule {pin.path!r} of commit {commit[:12]}"
        if pin.address is None:
            raise SaltbranchError(
                f"{what} is refused: {pin.problem}",
                hint=f"push a commit that fixes {submodules.FILE}",
            )
        if not addresses.is_allowed(pin.address, self.allowed):
            raise SaltbranchError(
                f"{what} comes from {pin.where}, which {self.run.ready.config_path} does not let in",
                hint="list that place under submodules: there, or push a commit that pins it from elsewhere",
            )
        return self.store.of(pin.address)

    def _missing(
        self, pins: Mapping[str, Pin], mirrors: Mapping[str, Formula], *, fetch: bool
    ) -> dict[str, str]:
        """Path to why its commit is not here."""
        lacking = {p: m for p, m in mirrors.items() if not m.has(pins[p].commit)}
        if not fetch:
            return dict.fromkeys(lacking, "not fetched")
        wanted: dict[str, list[str]] = {}
        for path, mirror in lacking.items():
            wanted.setdefault(mirror.path, []).append(pins[path].commit)
        why = {m.path: self._bring_in(m, wanted[m.path]) for m in lacking.values()}
        found = {}
        for path, mirror in lacking.items():
            commit = pins[path].commit
            if commit in why[mirror.path]:
                found[path] = why[mirror.path][commit]
        return found

    def _bring_in(self, mirror: Formula, commits: list[str]) -> dict[str, str]:
        with self._lock_of(mirror):
            # Another saltenv may have fetched them meanwhile, or put back what it had put aside.
            commits = [commit for commit in commits if not mirror.has(commit)]
            known = self._failed.get(mirror.path, {})
            untried = [commit for commit in commits if commit not in known]
            address = mirror.address
            server = f"{address.scheme}://{address.host}:{address.port}" if address.host else ""
            if server in self._silent:
                return dict.fromkeys(
                    commits, f"{address.shown}: its server did not answer ({server})"
                )
            if "" in known:
                known |= dict.fromkeys(untried, known[""])
            elif untried:
                if self.run.say:
                    self.run.say(f"fetching {mirror.address.shown}")
                timeout = self.run.ready.fetch_timeout
                known = known | mirror.bring_in(untried, timeout=timeout, say=self.run.say)
                if mirror.silent and server:
                    self._silent.add(server)
                if not mirror.reached:
                    known[""] = next(iter(known.values()), "")
                if mirror.path in self._healed:
                    mirror.decide_aside(put_back=any(commit in known for commit in untried))
                    for commit in untried:  # it was put aside because of another one
                        if mirror.has(commit) and mirror.is_whole(commit):
                            known.pop(commit, None)
                self._failed[mirror.path] = known
                self._fetched[mirror.path] = mirror
            return {commit: known[commit] for commit in commits if commit in known}

    def _lock_of(self, mirror: Formula) -> _thread.LockType:
        with self._lock:
            return self._locks.setdefault(mirror.path, _thread.allocate_lock())

    def heal(self, slots: Slots, commit: str, err: GitError) -> bool:
        """Drop the mirrors of submodules of `commit` that turned out to be damaged, or compose again what is gone;
        whether it is worth another try.
        """
        if hint_for(err.message, HINTS):  # on a full disk nothing else is wrong
            return False
        self._failing.add(commit)
        found = submodules.read(self.run.mirror.git, commit, self.run.ready.remote, whole=False)
        healed = False
        for pin in found.pins.values():
            if pin.address:
                mirror = self.store.of(pin.address)
                with self._lock_of(mirror):
                    healed = self._heal(mirror, pin.commit) or healed
        return healed or self.is_whole(slots, commit)

    def _heal(self, mirror: Formula, commit: str) -> bool:
        if mirror.path in self._healed:
            return True  # for another saltenv
        if not mirror.has(commit) or mirror.is_whole(commit):
            return False
        mirror.drop()
        self._healed.add(mirror.path)
        self._failed.pop(mirror.path, None)
        self.run.notes.append(f"the mirror of {mirror.address.shown} is damaged: it is made anew")
        return True

    def is_whole(self, slots: Slots, commit: str) -> bool:
        """Whether what is composed for `commit` can be read: git does not write a torn object again."""
        try:
            made = self.source(slots, commit, fetch=False)
        except SaltbranchError:
            return (
                True  # it is told already, and a new mirror of the control repository fixes nothing
            )
        if made.pins is None:
            return True
        return made.git.run("archive", "--output=/dev/null", made.tree).code == 0

    def tidy(self) -> None:
        """Pack what many fetches left."""
        for mirror in self._fetched.values():
            collect.tidy(mirror)


def is_let_in(placed: Placed, allowed: Iterable[str]) -> bool:
    """Whether the list has the place that what is served came from."""
    try:
        return addresses.is_allowed(addresses.parse(placed.url.replace(":***@", "@")), allowed)
    except BadAddress:
        return False


def is_outdated(run: Run, slots: Slots, slot: str, commit: str) -> bool:
    """Whether the slot does not hold the submodules of its commit that the list lets in.

    What is refused now, and was let in when it was brought, is left alone: doctor tells of it. Raises GitError.
    """
    allowed = run.ready.submodules.split()
    held = slots.pins(slot)
    if not allowed:
        return held is not None
    store = pinned.of_root(run.ready.root)
    found = submodules.read(run.mirror.git, commit, run.ready.remote, whole=False)
    wanted = {}
    for path, pin in found.pins.items():
        if pin.address is None or not addresses.is_allowed(pin.address, allowed):
            return held is None
        wanted[path] = (pin.commit, store.of(pin.address).path.rpartition("/")[2])
    return wanted != ({path: p.key for path, p in held.placed.items()} if held else {})
