"""doctor: look for the settings that break saltenvs, and say how to fix each.

Gathers what is on this machine and hands it to the rules in ``saltbranch/findings``. Changes
nothing, and goes on where something cannot be read: each part that had to be left out is a finding
itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypedDict

from saltbranch.actions.lab_status import labs_of
from saltbranch.base.asked_by import ITSELF
from saltbranch.base.errors import ConfigError, SaltbranchError
from saltbranch.compiler import sandbox
from saltbranch.config import locate
from saltbranch.config.keys import FileModel
from saltbranch.config.labs import PILLAR_OF_BRANCH
from saltbranch.config.model import Config
from saltbranch.doctor.finding import SEVERITIES, Finding, FindingData, Severity, in_order
from saltbranch.doctor.gather import (
    master as gather_master,
)
from saltbranch.doctor.gather import (
    minion,
    renders,
    tops,
    webhook,
)
from saltbranch.doctor.gather import (
    root as look_root,
)
from saltbranch.doctor.rules import compiling, fleet, labs, models, promotions, setup
from saltbranch.git import program as git
from saltbranch.git.mirror import Mirror
from saltbranch.git.program import mask
from saltbranch.repository import workplace
from saltbranch.repository.machine import load_config, read_machine_file
from saltbranch.salt_master import options as master_options
from saltbranch.salt_master.options import MasterOptions


class DoctorData(TypedDict):
    """What `doctor --json` writes. count: severity to how many findings."""

    version: Literal[1]
    config: str | None
    model: str | None
    findings: list[FindingData]
    count: dict[Severity, int]


@dataclass(frozen=True, slots=True)
class DoctorResult:
    """What is wrong, worst first. model: where the saltenvs stand, None when they could not be
    read.
    """

    config: str | None
    model: str | None
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """1 when there is an error or a warning; notes do not count."""
        return int(any(finding.severity != "note" for finding in self.findings))

    def as_dict(self) -> DoctorData:
        """Plain data, the shape of `--json`."""
        severities = [finding.severity for finding in self.findings]
        return {
            "version": 1,
            "config": self.config,
            "model": self.model,
            "findings": [finding.as_dict() for finding in self.findings],
            "count": {severity: severities.count(severity) for severity in SEVERITIES},
        }


@dataclass(frozen=True, slots=True)
class _Known:
    """As much of the configuration as could be read; root and salt_config are paths."""

    path: str | None
    root: str
    salt_config: str
    config: Config | None


def doctor(config: str | None = None, *, minion_config: str | None = None) -> DoctorResult:
    """Look at everything on this machine that decides what minions get.

    config: saltbranch.yaml, looked for in the usual places when None. minion_config: a minion's
    main file, otherwise the one beside the master's. Raises nothing that is expected.
    """
    found: list[Finding] = []
    attempt = _Attempts(found)
    attempt("the version of git", lambda: setup.git_version(_git_version()))
    known = _load(config, found)
    places = gather_master.Salt(known.salt_config)
    master = _master(places, found)
    # On the laptop of somebody who only promotes, nothing is served and nothing should be.
    here = os.path.exists(known.salt_config) or os.path.isdir(known.root)
    ours = known.config if here else None
    if master.exists:
        attempt("Salt's configuration", lambda: gather_master.look(ours, master, places))
    if ours:
        attempt("what is served", lambda: look_root.look(ours, master))
        attempt("the master's file", lambda: gather_master.own_file(ours, master, places))
        attempt("the branches' top files", lambda: tops.look(ours))
        attempt("whether they render", lambda: renders.look(ours, master))
        attempt("the minions", lambda: _fleet(ours, master))
        attempt("the labs", lambda: _labs(ours, master))
        attempt("promotions that move by themselves", lambda: _promotions(ours))
        attempt("the webhook", lambda: webhook.look(ours, master))
    elif known.path and here:
        attempt("the root", lambda: look_root.look_outside(known.root, master))
    if known.config or known.path is None:
        attempt("the sandbox", _sandbox)
    if known.config:
        found += models.check(known.config.source, known.config.path)
    attempt(
        "the minion's configuration",
        lambda: minion.look(ours, master, places.known, minion_config),
    )
    model = known.config.source.shown() if known.config else None
    return DoctorResult(known.path, model, in_order(found))


def _labs(config: Config, master: MasterOptions) -> Iterator[Finding]:
    if not config.labs:
        return
    if config.lab_pillar == PILLAR_OF_BRANCH:
        yield labs.pillar_of_branch()
    rows = labs_of(workplace.open_mirror(config.path))
    yield from labs.refused({row.lab: row.refused for row in rows if row.refused})
    pinned = {minion: why for row in rows for minion, why in row.pinned.items()}
    lent = [minion for row in rows for minion in row.minions]
    yield from labs.minions(lent, pinned, master.accepted_minions())


def _promotions(config: Config) -> Iterator[Finding]:
    wanted = [s.name for s in config.saltenvs if s.auto_promote and s.promote_from]
    if not wanted or config.promotes:
        return
    made = workplace.open_mirror(config.path).state.promotions
    seen = {p.saltenv for p in made if p.claimed_by == ITSELF}
    yield from promotions.nobody_promotes(wanted, sorted(seen), config.path)


class _Attempts:
    """Runs each part of the examination, whatever another one ran into."""

    def __init__(self, found: list[Finding]) -> None:
        self.found = found

    def __call__(self, what: str, part: Callable[[], Iterable[Finding]]) -> None:
        try:
            self.found += part()
        except (SaltbranchError, OSError) as err:
            text = err.message if isinstance(err, SaltbranchError) else str(err)
            hint = err.hint if isinstance(err, SaltbranchError) else ""
            self.found.append(
                Finding(
                    "not-checked",
                    "warning",
                    f"{what} could not be looked at: {mask(text)}",
                    "What is wrong there remains unknown.",
                    hint or "run saltbranch doctor as the user who runs the sync",
                )
            )


def _git_version() -> tuple[int, ...]:
    try:
        return git.version()
    except SaltbranchError:
        return ()


def _load(explicit: str | None, found: list[Finding]) -> _Known:
    """Read the configuration; what is wrong with it is a finding."""
    path, machine = None, FileModel()
    try:
        path = locate.machine_file(explicit, os.environ)
        machine = read_machine_file(path)
        root = os.path.normpath(machine.root)
        mirror = Mirror(root)
        config = load_config(path, mirror, mirror.branches() if mirror.exists() else {})
    except SaltbranchError as err:
        no_master = path is None and not os.path.exists(machine.salt_config)
        found.append(_NOTHING_HERE if no_master else _broken(err))
        return _Known(path, os.path.normpath(machine.root), machine.salt_config, None)
    return _Known(path, root, config.salt_config, config)


# The laptop of somebody who only promotes.
_NOTHING_HERE = Finding(
    "no-configuration",
    "note",
    "this machine has neither its own saltbranch.yaml nor a salt-master",
    "saltbranch serves nothing here, so there is nothing to look at.",
    "on a salt-master: saltbranch init --remote URL",
)


def _broken(err: SaltbranchError) -> Finding:
    return Finding(
        "configuration" if isinstance(err, ConfigError) else "mirror",
        "error",
        mask(err.message),
        "No sync works with it; only what does not depend on it was looked at.",
        err.hint or "fix it",
    )


def _master(salt: gather_master.Salt, found: list[Finding]) -> MasterOptions:
    """The master's options; without a readable master there are none."""
    salt_config = salt.path
    nothing = MasterOptions(path=salt_config, exists=False)
    if not os.path.exists(salt_config):
        found.append(
            Finding(
                "no-master",
                "note",
                f"{salt_config} does not exist",
                "Without a salt-master here nothing about its options can be said.",
                "run saltbranch doctor on the salt-master, or name its file as salt_config:",
            )
        )
        return nothing
    if not os.access(salt_config, os.R_OK):
        found.append(
            Finding(
                "salt-config",
                "error",
                f"{salt_config} cannot be read by user id {os.geteuid()}",
                "For this user, Salt would use its defaults instead of the master's options.",
                "run saltbranch as a user who may read it",
            )
        )
        return nothing
    try:
        return master_options.read(salt_config)
    except SaltbranchError as err:
        named = list(gather_master.unreadable(salt.files))
        why = "The salt-master cannot start with it."
        found += named or [Finding("salt-config", "error", err.message, why, err.hint)]
        return nothing


def _fleet(config: Config, master: MasterOptions) -> Iterable[Finding]:
    where = config.source.place
    return fleet.check(master.accepted_minions(), config.groups, master.nodegroups, where)


def _sandbox() -> Iterable[Finding]:
    try:
        found = sandbox.find()
    except sandbox.SandboxError as err:
        return compiling.check(err.message, sandbox.INSTALL, fallback=False)
    return compiling.check(found.warning, sandbox.INSTALL, fallback=True)
