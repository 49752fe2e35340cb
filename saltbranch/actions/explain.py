"""explain: which saltenv a minion belongs to and why, what of it applies, and what would change
that.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from saltbranch.actions.shared.lent_to import LentTo, lent_to
from saltbranch.base.errors import (
    ConfigError,
    RefusedError,
    SaltbranchError,
    SaltError,
    UsageError,
)
from saltbranch.config import minions as targets
from saltbranch.config.lab_places import LENT_FILE
from saltbranch.config.labs import number_of
from saltbranch.config.model import Config, Saltenv
from saltbranch.doctor.finding import Finding, in_order
from saltbranch.doctor.gather import master as gather_master
from saltbranch.doctor.gather import minion as gather_minion
from saltbranch.doctor.gather import tops
from saltbranch.doctor.rules import master as master_rules
from saltbranch.doctor.rules import minion as minion_rules
from saltbranch.git import describe as commit_info
from saltbranch.git.describe import CommitInfo
from saltbranch.git.mirror import Mirror
from saltbranch.labs.lab import Lab
from saltbranch.repository import clone_or_mirror
from saltbranch.repository.machine import load_config
from saltbranch.repository.root import root_of
from saltbranch.salt_master import (
    config_file,
    top_view,
)
from saltbranch.salt_master import (
    options as master_options,
)
from saltbranch.salt_master.options import MasterOptions
from saltbranch.salt_master.top_view import Question, TopView
from saltbranch.serve.slots import Slots

# Findings that are about the master as a whole and change nothing for one minion.
_ELSEWHERE = frozenset({"key-acceptance", "gitfs-remotes", "literal-env", "pillar-as-files"})


@dataclass(frozen=True, slots=True)
class Claim:
    """A saltenv that claims the minion, and the matcher by which it does."""

    saltenv: str
    matcher: str


@dataclass(frozen=True, slots=True)
class Place:
    """What the minion's saltenv serves. folder: the symlink that Salt follows; slot: where it
    leads.
    """

    saltenv: str
    branch: str
    folder: str
    slot: str | None
    commit: str | None
    described: CommitInfo | None
    states_roots: tuple[str, ...]
    pillar_roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """All about one minion. place, states and pillar are None unless exactly one saltenv claims it.

    lent: where it is in a lab; place, states and pillar are then those of the lab.
    model: where the saltenvs stand that claim minions, in one line for people.

    accepted: the master has accepted a key with this id; None in a clone. grains_from: where its grains come from,
    None when none are known. findings: what in the configuration changes the picture. notes: what
    always holds.
    """

    minion: str
    config: str
    accepted: bool | None
    claims: tuple[Claim, ...]
    place: Place | None
    grains_from: str | None
    states: TopView | None
    pillar: TopView | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    snippet: str | None
    lent: LentTo | None = None
    model: str = ""

    @property
    def exit_code(self) -> int:
        """0 explained, 1 no saltenv claims it, 4 two do and a person must decide."""
        if len(self.claims) > 1:
            return RefusedError.exit_code
        return 0 if self.claims else 1

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        place = self.place
        return {
            "version": 1,
            "minion": self.minion,
            "config": self.config,
            "accepted": self.accepted,
            "claims": [{"saltenv": c.saltenv, "matcher": c.matcher} for c in self.claims],
            "saltenv": place.saltenv if place else None,
            "lent": self.lent.as_dict() if self.lent else None,
            "branch": place.branch if place else None,
            "folder": place.folder if place else None,
            "slot": place.slot if place else None,
            "commit": place.commit if place else None,
            "subject": place.described.subject if place and place.described else None,
            "pillarenv": place.saltenv if place else None,
            "states_roots": list(place.states_roots) if place else [],
            "pillar_roots": list(place.pillar_roots) if place else [],
            "grains_from": self.grains_from,
            "states": self.states.as_dict() if self.states else None,
            "pillar": self.pillar.as_dict() if self.pillar else None,
            "findings": [finding.as_dict() for finding in self.findings],
            "notes": list(self.notes),
            "snippet": self.snippet,
        }


def explain(
    config: clone_or_mirror.Given,
    minion: str,
    *,
    grains: str | None = None,
    minion_config: str | None = None,
) -> Explanation:
    """Explain what the minion with the id `minion` gets; in a clone, where nothing is served, which saltenv it is in.

    config: --config. grains: a YAML file to take them from instead of the master's cache. minion_config: the minion's
    own main file. Raises ConfigError, SaltError, GitError, UsageError.
    """
    _check_id(minion)
    place = clone_or_mirror.find(config)
    place.require()
    if place.clone:
        return replace(_in_clone(place, minion), lent=lent_to(place, minion))
    return _on_master(place.path, minion, grains, minion_config, lent_to(place, minion))


def _in_clone(place: clone_or_mirror.CloneOrMirror, minion: str) -> Explanation:
    """By the model alone."""
    config = place.last_config()
    found = targets.claimed_by(minion, config.groups, {})
    notes = ["This is a clone: what is served, and what the tops say, a master can tell."]
    if len(found) == 1:
        saltenv = config.saltenv(found[0][0])
        head = place.known_heads().get(saltenv.branch)
        at = f"{head[:12]} as last read" if head else "not known here"
        notes.insert(0, f"It gets the branch {saltenv.branch} ({at}).")
    return Explanation(
        minion=minion,
        config=config.source.shown(),
        model=config.source.shown(),
        accepted=None,
        claims=tuple(Claim(saltenv, str(matcher)) for saltenv, matcher in found),
        place=None,
        grains_from=None,
        states=None,
        pillar=None,
        findings=(),
        notes=tuple(notes),
        snippet=None,
    )


def _on_master(
    config_path: str,
    minion: str,
    grains: str | None,
    minion_config: str | None,
    lent: LentTo | None,
) -> Explanation:
    root = root_of(config_path)
    mirror = Mirror(root)
    config = load_config(config_path, mirror, mirror.branches() if mirror.exists() else {})
    master = master_options.read(config.salt_config)
    groups = config.groups
    found = targets.claimed_by(minion, groups, master.nodegroups)
    here = [s.name for s in config.saltenvs]
    known_here = len(found) == 1 and found[0][0] in here
    home = config.saltenv(found[0][0]) if known_here else None
    place = _place(config, mirror, _given(config, home, lent)) if home else None
    known, remembered, source = _facts(master, minion, place, grains)
    states, pillar = _tops(config, minion, place, known, remembered)
    return Explanation(
        minion=minion,
        config=config.path,
        model=config.source.shown(),
        accepted=minion in master.accepted_minions(),
        claims=tuple(Claim(saltenv, str(matcher)) for saltenv, matcher in found),
        place=place,
        grains_from=source,
        states=states,
        pillar=pillar,
        findings=_findings(config, master, minion, home, minion_config),
        notes=_notes(place, [s.name for s in config.saltenvs]),
        snippet=f"saltenv: {home.name}\nlock_saltenv: True\n" if home and not lent else None,
        lent=lent,
    )


def _given(config: Config, home: Saltenv, lent: LentTo | None) -> Saltenv:
    """What a minion of `home` really gets: the lab that it is lent to, as a saltenv."""
    if lent is None or lent.is_moving or lent.lab not in config_file.file_roots(config):
        return home
    lab = Lab(number_of(lent.lab) or 0)
    return Saltenv(lab.name, lent.branch, lab.dirname, (), promote_from=None, protected=False)


def _check_id(minion: str) -> None:
    """Salt's own measure for an id (salt/utils/verify.py, valid_id)."""
    if not minion or "/" in minion or "\\" in minion or "\0" in minion or minion in (".", ".."):
        raise UsageError(
            f"{minion!r} is not a minion id", hint="saltbranch explain web1.example.com"
        )


def _place(config: Config, mirror: Mirror, saltenv: Saltenv) -> Place:
    slots = Slots(config.root, saltenv.dirname, mirror)
    slot = slots.served()
    commit = slots.head(slot) if slot else None
    return Place(
        saltenv=saltenv.name,
        branch=saltenv.branch,
        folder=config.checkout(saltenv),
        slot=slots.path(slot) if slot else None,
        commit=commit,
        described=_described_or_none(mirror, commit),
        states_roots=tuple(config_file.file_roots(config)[saltenv.name]),
        pillar_roots=tuple(config_file.pillar_roots(config)[saltenv.name]),
    )


def _described_or_none(mirror: Mirror, commit: str | None) -> CommitInfo | None:
    try:
        return commit_info.describe(mirror.path, commit) if commit else None
    except SaltbranchError:
        return None


Facts = tuple[Mapping[str, Any] | None, Mapping[str, Any] | None, str | None]


def _facts(master: MasterOptions, minion: str, place: Place | None, path: str | None) -> Facts:
    """Grains and pillar as far as they are known, and where the grains come from."""
    if place is None:
        return None, None, None
    remembered: tuple[Any, Any] = (None, None)
    if master.exists:
        remembered = master_options.cached(master.opts, minion, place.saltenv)
    if path is not None:
        return {**_grains_file(path, minion), "id": minion}, remembered[1], path
    if remembered[0]:
        return {**remembered[0], "id": minion}, remembered[1], "the master's cache"
    return None, remembered[1], None


def _tops(
    config: Config,
    minion: str,
    place: Place | None,
    grains: Mapping[str, Any] | None,
    pillar: Mapping[str, Any] | None,
) -> tuple[TopView | None, TopView | None]:
    """Both top files; where they could not be asked about, each says so."""
    if place is None:
        return None, None
    question = Question(
        salt_config=config.salt_config,
        minion_id=minion,
        saltenv=place.saltenv,
        states_roots=place.states_roots,
        pillar_roots=place.pillar_roots,
        grains=grains,
        pillar=pillar,
        lent_file=f"{config.root}/{LENT_FILE}",
    )
    try:
        return top_view.ask(question)
    except SaltError as err:
        roots = (place.states_roots[0], place.pillar_roots[0])
        views = [TopView(f"{root}/top.sls", problem=err.message) for root in roots]
        return views[0], views[1]


def _grains_file(path: str, minion: str) -> dict[str, Any]:
    """Grains as a plain mapping, or as ``salt MINION grains.items --out=yaml`` writes them."""
    try:
        with open(path, encoding="utf-8") as file:
            data = yaml.safe_load(file)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as err:
        raise ConfigError(f"cannot read the grains in {path}: {err}") from err
    if not isinstance(data, dict):
        raise ConfigError(f"{path} holds no mapping of grains", hint="for example: {os: Debian}")
    inner = data.get(minion, data.get("local"))
    return dict(inner) if len(data) == 1 and isinstance(inner, dict) else data


def _findings(
    config: Config,
    master: MasterOptions,
    minion: str,
    home: Saltenv | None,
    minion_config: str | None,
) -> tuple[Finding, ...]:
    """What the doctor would say, as far as it changes what this minion gets."""
    salt = gather_master.Salt(config.salt_config)
    found: list[Finding] = []
    if master.exists:
        found += master_rules.check(gather_master.described(config, master, salt))
        found += gather_master.own_file(config, master, salt)
    if home:
        found += tops.look_generated(config, [home])
        found += tops.look_branch(config, home)
    path = minion_config or gather_minion.default_path(master)
    if minion_config or (os.path.isfile(path) and os.access(path, os.R_OK)):
        own = gather_minion.described(path, config, master, salt.known)
        if minion_config or own.id == minion:
            found += minion_rules.check(own)
    return in_order(finding for finding in found if finding.id not in _ELSEWHERE)


def _notes(place: Place | None, saltenvs: list[str]) -> tuple[str, ...]:
    if place is None:
        return (
            "A minion that is not in exactly one saltenv gets an empty highstate and no pillar.",
        )
    other = next((name for name in saltenvs if name != place.saltenv), "OTHER")
    return (
        f"A run with saltenv={other} takes its sls files from {other}, but no pillar of {other};"
        " a highstate"
        f" of {other} is empty for this minion.",
        "lock_saltenv in the minion's configuration refuses such runs; only the minion itself"
        " enforces it.",
    )
