"""A configuration that was checked: values that never change."""

from __future__ import annotations

import re

import msgspec

from saltbranch.base.errors import ConfigError
from saltbranch.base.text import nearest
from saltbranch.config import drain as drain_policy
from saltbranch.config import labs as lab_words
from saltbranch.config.batch_hooks import Hook
from saltbranch.config.direct_pushes import ALLOW
from saltbranch.config.gates import Gate
from saltbranch.config.keys import VERIFY_OFF, FlowModel, HooksModel, IgnoreModel
from saltbranch.config.minions import Matcher
from saltbranch.config.notify import NotifyModel
from saltbranch.config.roots import PILLAR, STATES, Roots
from saltbranch.config.signers import Signers
from saltbranch.config.verify import Check


class Saltenv(msgspec.Struct, frozen=True):
    """One saltenv: its branch, the folder of that branch, its minions by id, and how it is promoted to.

    follow: a regular expression of tags, None for the branch's head. owned: paths that no promotion
    changes. overridable: names of gates. verify_switch: one of VERIFY_TOP, VERIFY_FLEET and VERIFY_OFF.
    direct_pushes: what becomes of what is pushed to the branch by hand, one of direct_pushes.POLICIES;
    allow where nothing is promoted to it. drain: how many seconds a switch waits for state runs, 0 for none;
    drain_then: what happens after these, one of drain.POLICIES. lend: whether a lab may have its minions.
    first_highstate: new minions apply theirs. verify: how it is proven that its servers work. auto_promote:
    promotions to it move by themselves. require_signed: who vouches for its commits, None where nobody has to.
    """

    name: str
    branch: str
    dirname: str
    minions: tuple[Matcher, ...]
    promote_from: str | None
    protected: bool
    follow: str | None = None
    mode: str = "merge"
    owned: tuple[str, ...] = ()
    back_merge: bool = True
    gates: tuple[Gate, ...] = ()
    overridable: tuple[str, ...] = ()
    verify_switch: str = VERIFY_OFF
    direct_pushes: str = ALLOW
    drain: float = 0.0
    drain_then: str = drain_policy.SWITCH
    lend: bool = False
    first_highstate: bool = False
    verify: tuple[Check, ...] = ()
    before_batch: tuple[Hook, ...] = ()
    after_batch: tuple[Hook, ...] = ()
    auto_promote: bool = False
    require_signed: Signers | None = None


class Source(msgspec.Struct, frozen=True):
    """Which model decided. place: what messages call it.

    branch, commit, blob: where it stands in the repository; None for a machine's own. problem: why a newer one
    does not count. ignored: keys of it that only a machine's file can set. differs: in what the saltenvs of the
    machine's own file, by which it serves, are others. signed: commits of the branch have to be vouched for.
    """

    place: str
    branch: str | None = None
    commit: str | None = None
    blob: str | None = None
    problem: str = ""
    ignored: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()
    signed: bool = False

    def shown(self) -> str:
        """In one line, for people."""
        return f"{self.place} at {self.commit[:12]}" if self.commit else self.place

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "place": self.place,
            "branch": self.branch,
            "commit": self.commit,
            "problem": self.problem or None,
            "ignored": list(self.ignored),
            "differs": list(self.differs),
        }


class Config(msgspec.Struct, frozen=True):
    """A checked configuration. Paths are absolute; `fetch_timeout` is in seconds.

    gpg_keys: GnuPG's folder with the keys of encrypted pillar. ext_pillar: names of the external
    pillars that are compiled, too. submodules: URLs that they may come from. programs: those of a model that may
    run unasked. source: which model it is. roots: of which folders those of Salt are made. extra_roots: folders of
    the machine that come after them.
    elsewhere: saltenvs of the model that other machines serve. labs: how many; lab_auto: a glob of branches;
    lab_pillar: one of labs.PILLARS. notify_targets: names; where they lead only the machine's file says.
    """

    path: str
    remote: str
    root: str
    roots: Roots
    master_config: str
    salt_config: str
    group: str | None
    fetch_timeout: int
    model_branch: str
    source: Source
    saltenvs: tuple[Saltenv, ...]
    elsewhere: tuple[Saltenv, ...] = ()
    programs: tuple[tuple[str, ...], ...] = ()
    record_syncs: bool = False
    promotes: bool = False
    tickets: str | None = None
    flow: FlowModel = FlowModel()
    hooks: HooksModel = HooksModel()
    notify: tuple[NotifyModel, ...] = ()
    notify_targets: tuple[str, ...] = ()
    fleet: str = "cache"
    submodules: tuple[str, ...] = ()
    gpg_keys: str | None = None
    ext_pillar: tuple[str, ...] = ()
    ignore: tuple[IgnoreModel, ...] = ()
    shown_pillar: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    stand_in: str | None = None
    extra_roots: tuple[str, ...] = ()
    labs: int = 0
    lab_open: bool = False
    lab_auto: str | None = None
    lab_pillar: str = lab_words.PILLAR_OF_SALTENV

    @property
    def states_dir(self) -> str:
        """The folder below which compiling and checking have the states."""
        return self.roots.prefix(STATES)

    @property
    def pillar_dir(self) -> str:
        """The folder below which compiling and checking have the pillar."""
        return self.roots.prefix(PILLAR)

    def saltenv(self, name: str) -> Saltenv:
        """The saltenv called `name`. Raises ConfigError naming the nearest match."""
        for saltenv in self.saltenvs:
            if saltenv.name == name:
                return saltenv
        known = [s.name for s in self.saltenvs]
        raise ConfigError(
            f"there is no saltenv {name!r} in {self.path}",
            hint=nearest(name, known) or f"known ones: {', '.join(known)}",
        )

    @property
    def groups(self) -> dict[str, tuple[Matcher, ...]]:
        """Saltenv to its minions, also of those that other machines serve: a minion belongs to one."""
        return {s.name: s.minions for s in (*self.saltenvs, *self.elsewhere)}

    def production(self) -> Saltenv:
        """The end of the chain: the last saltenv that is promoted to and that nothing is promoted from.

        Raises ConfigError when there is none, or more than one.
        """
        before = {s.promote_from for s in self.saltenvs}
        last = [s for s in self.saltenvs if s.promote_from and s.name not in before]
        own = self.of_branch(self.source.branch) if self.source.branch else None
        if own is not None and own.name not in before:
            return own  # the model stands on its branch, so that is production whatever else ends there
        if len(last) == 1:
            return last[0]
        names = ", ".join(s.name for s in last) or "none"
        raise ConfigError(
            f"{self.path}: the promote_from: of the saltenvs do not end in one saltenv (ends: {names})",
            hint="for example stage: {promote_from: test}, prod: {promote_from: stage}",
        )

    def chain(self, saltenv: Saltenv) -> list[Saltenv]:
        """`saltenv` and those that its code came through, down to the first."""
        found = [saltenv]
        while found[-1].promote_from:
            found.append(self.saltenv(found[-1].promote_from))
        return found

    def of_branch(self, branch: str) -> Saltenv | None:
        """The saltenv of a branch."""
        return next((s for s in self.saltenvs if s.branch == branch), None)

    def checkout(self, saltenv: Saltenv) -> str:
        """The symlink that Salt follows for `saltenv`."""
        return f"{self.root}/checkouts/{saltenv.dirname}"

    def salt_root(self, saltenv: Saltenv, kind: str) -> str:
        """The folder of the branch's states or pillar that Salt is told for `saltenv`; see serve/slots.py."""
        if word := self.roots.word(kind):
            return f"{self.checkout(saltenv)}/{word}"
        return f"{self.root}/slots/{saltenv.dirname}/served/roots/{kind}"


def end_branches(config: Config) -> set[str]:
    """The branches of the saltenvs that nothing is promoted from: one of them is production."""
    before = {s.promote_from for s in config.saltenvs}
    return {s.branch for s in config.saltenvs if s.name not in before}


def dirname(branch: str) -> str:
    """The folder for `branch`: letters, digits and '._-' kept, everything else an underscore."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", branch)[:200]
    return f"_{safe}" if safe[:1] in ("", ".", "-") else safe


def owned_paths(*saltenvs: Saltenv | None) -> tuple[str, ...]:
    """The paths that belong to any of `saltenvs`: neither does one get the other's, nor does it lose its own."""
    return tuple(dict.fromkeys(path for s in saltenvs if s for path in s.owned))
