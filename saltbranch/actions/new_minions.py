"""new_minions, of the runner: bring minions that come up for the first time to where their ids belong."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from saltbranch.base import files
from saltbranch.base.errors import os_error
from saltbranch.base.text import printable
from saltbranch.config import minions as targets
from saltbranch.config.minions import Nodegroups
from saltbranch.git.mirror import Mirror
from saltbranch.new_minions import known
from saltbranch.new_minions import place as placing
from saltbranch.new_minions.known import Known
from saltbranch.new_minions.place import Home, Master, Outcome
from saltbranch.repository import prepared
from saltbranch.repository.machine import load_config
from saltbranch.repository.root import root_of

_log = logging.getLogger(__name__)

# A long-living process is asked again and again, mostly for minions that are known: by file, its signature and content.
_ROOTS: dict[str, tuple[str, str]] = {}
_KNOWN: dict[str, tuple[str, Known | None]] = {}


def new_minions(
    config_path: str, master: Master, nodegroups: Nodegroups | None, minion: str | None = None
) -> Outcome:
    """Bring on who is new; with `minion`, where that is one, as it is said to have started.

    Raises ConfigError, GitError, SaltError, SaltbranchError.
    """
    root = _root(config_path)
    try:
        if minion is not None:
            if not _may_be_new(root, master, minion):
                return Outcome()
            known.note_started(root, minion)
        outcome = placing.place(
            root, master, _homes(config_path, root, nodegroups), _configuration(root)
        )
    except OSError as err:
        raise os_error(err) from err
    _tell(outcome)
    return outcome


def _root(config_path: str) -> str:
    signature = files.signature(config_path)
    if _ROOTS.get(config_path, ("", ""))[0] != signature:
        _ROOTS[config_path] = signature, root_of(config_path)
    return _ROOTS[config_path][1]


def _may_be_new(root: str, master: Master, minion: str) -> bool:
    """Whether there is anything to do for a start of `minion`, as quickly as possible."""
    key = master.key_of(minion)
    if key is None:
        return False  # whoever said so has no key under that name
    signature = files.signature(known.path(root))
    if _KNOWN.get(root, ("", None))[0] != signature:
        _KNOWN[root] = signature, known.load(root)
    found = _KNOWN[root][1]
    entry = found.minions.get(minion) if found else None
    if entry is None or entry.key != key:
        return True
    if entry.stage == known.UNPLACED:
        return entry.seen != _configuration(root)
    return entry.stage != known.KNOWN


def _configuration(root: str) -> str:
    """Stands for the configuration that the last sync made ready."""
    return files.signature(prepared.path(root))


def _homes(config_path: str, root: str, nodegroups: Nodegroups | None) -> Callable[[str], Home]:
    """Where ids belong, by the configuration that counts; it is read when it is needed."""
    read: list[Callable[[str], Home]] = []

    def home_of(minion: str) -> Home:
        if not read:
            read.append(_reader(config_path, root, nodegroups))
        return read[0](minion)

    return home_of


def _reader(config_path: str, root: str, nodegroups: Nodegroups | None) -> Callable[[str], Home]:
    mirror = Mirror(root)
    config = load_config(config_path, mirror, mirror.branches() if mirror.exists() else {})
    here = {saltenv.name: saltenv for saltenv in config.saltenvs}

    def home_of(minion: str) -> Home:
        claims = targets.claimed_by(minion, config.groups, nodegroups or {})
        names = tuple(name for name, _ in claims)
        if not names:
            return Home((), problem="no saltenv claims it")
        if len(names) > 1:
            return Home(names, problem=f"{len(names)} saltenvs claim it")
        saltenv = here.get(names[0])
        if saltenv is None:
            return Home(names, problem=f"{names[0]} is not served by this master")
        served = prepared.load_served(root).get(saltenv.dirname)
        if served is None:
            return Home(names, problem=f"{names[0]} serves nothing yet")
        return Home(names, saltenv.branch, served.commit, wants_highstate=saltenv.first_highstate)

    return home_of


def _tell(outcome: Outcome) -> None:
    """Say it in the log, too."""
    if outcome.begun is not None:
        _log.warning(
            "saltbranch: which minions are new was not recorded; the %d that are accepted now count"
            " as known",
            outcome.begun,
        )
    for new in outcome.placed:
        said = f"saltbranch: new minion {printable(new['minion'])} in {new['saltenv']}"
        (_log.warning if new["problem"] else _log.info)("%s: %s", said, _result(new))
    for lost in outcome.unplaced:
        _log.warning(
            "saltbranch: nothing is applied to the new minion %s: %s (%s); saltbranch explain says why",
            printable(lost["minion"]),
            lost["reason"],
            ", ".join(lost["saltenvs"]) or "none",
        )


def _result(new: Mapping[str, object]) -> str:
    if new["problem"]:
        return str(new["problem"])
    return f"first highstate by job {new['highstate']}" if new["highstate"] else "ready"
