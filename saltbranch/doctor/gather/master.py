"""Gather what the salt-master's configuration says, and where."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from saltbranch.base import files
from saltbranch.config.model import Config
from saltbranch.config.roots import is_composed
from saltbranch.doctor.finding import Finding
from saltbranch.doctor.rules import master as rules
from saltbranch.doctor.rules import master_roots, setup
from saltbranch.doctor.rules.seen_master import Master
from saltbranch.salt_master import (
    config_file,
    option_file,
    option_files,
    process,
    top_file,
)
from saltbranch.salt_master import (
    options as master_options,
)
from saltbranch.salt_master.option_files import ConfFile
from saltbranch.salt_master.options import MasterOptions

_MOST_FILES = 20_000


class Salt:
    """Salt's configuration files for the master, read when first asked for."""

    def __init__(self, salt_config: str) -> None:
        """Take the path of the main file."""
        self.path = salt_config
        self._files: list[ConfFile] | None = None
        self._known: frozenset[str] | None = None

    @property
    def files(self) -> list[ConfFile]:
        """The main file and those it includes."""
        if self._files is None:
            self._files = option_files.read(self.path, option_files.MASTER_INCLUDE)
        return self._files

    @property
    def known(self) -> frozenset[str]:
        """Every option that Salt knows."""
        if self._known is None:
            self._known = master_options.known_options()
        return self._known


def look(config: Config | None, master: MasterOptions, salt: Salt) -> Iterator[Finding]:
    """The master's options, and what other programs left."""
    yield from unreadable(salt.files)
    yield from rules.check(described(config, master, salt))
    backends = [str(name) for name in master.opts.get("fileserver_backend") or ()]
    git_pillar = any("git" in entry for entry in master.opts.get("ext_pillar") or ())
    yield from master_roots.gitfs_locks(
        _gitfs_locks(master.cachedir), used="gitfs" in backends or git_pillar
    )


def described(config: Config | None, master: MasterOptions, salt: Salt) -> Master:
    """The options with all that the rules need to judge them."""
    if config and config.master_config.endswith(process.ASIDE):
        config = None  # the master is to serve what it served before
    file_roots = config_file.file_roots(config) if config else {}
    pillar_roots = config_file.pillar_roots(config) if config else {}
    return Master(
        opts=master.opts,
        places=option_files.places(salt.files),
        known=salt.known,
        file_roots=file_roots,
        pillar_roots=pillar_roots,
        groups={s.name: s.minions for s in config.saltenvs} if config else {},
        with_top=frozenset(_with_top(master.opts)),
        served=tuple(_served(file_roots)),
        config=config.path if config else "",
        master_config=config.master_config if config else "",
    )


def own_file(config: Config, master: MasterOptions, salt: Salt) -> Iterator[Finding]:
    """The file that saltbranch writes: there, ours, current, included, and known to the running
    master.
    """
    if config.master_config.endswith(process.ASIDE):
        yield setup.not_switched(config.path)
        return
    data = files.read_or_none(config.master_config)
    text = data.decode("utf-8", "replace") if data is not None else None
    included = [os.path.realpath(file.path) for file in salt.files]
    yield from setup.master_file(
        config.master_config,
        text=text,
        wanted=option_file.wanted(config),
        ours=text is not None and config_file.is_ours(text),
        included=not master.exists or os.path.realpath(config.master_config) in included,
        master=config.salt_config,
    )
    if master.exists:
        yield from setup.restart(process.restart_reason(master.pidfile, config.master_config))


def unreadable(found: Iterable[ConfFile]) -> Iterator[Finding]:
    """The files that Salt cannot read."""
    for file in found:
        if file.problem:
            yield Finding(
                "salt-config",
                "error",
                f"{file.path}: {file.problem}",
                "The salt-master does not start with it, or runs without what it says.",
                "fix that file, and see that the salt-master's user can read it",
            )


def _with_top(opts: Mapping[str, Any]) -> Iterator[str]:
    for option in ("file_roots", "pillar_roots"):
        for folders in (opts.get(option) or {}).values():
            for folder in folders or ():
                if os.path.exists(f"{folder}/top.sls"):
                    yield str(folder)


def _served(file_roots: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    """What the file server must not hide: sls files, and the links to the branches' top files."""
    for folders in file_roots.values():
        left = _MOST_FILES
        for folder in folders:
            # What is composed of several roots are links to folders.
            for where, _, names in os.walk(folder, followlinks=is_composed(folder)):
                for name in names:
                    if name.endswith(".sls") or name in (top_file.BRANCH_TOP, top_file.LENT):
                        path = f"{where}/{name}"
                        yield path, os.path.relpath(path, folder)
                left -= len(names)
                if left < 0:
                    return


def _gitfs_locks(cachedir: str) -> Iterator[tuple[str, bool]]:
    """Lock files of gitfs and git_pillar, and whether their process runs (utils/gitfs.py,
    ``__lock``).
    """
    for role in ("gitfs", "git_pillar", "winrepo"):
        pattern = f"{glob.escape(cachedir)}/{role}/**/*.lk"
        for path in glob.glob(pattern, recursive=True, include_hidden=True):
            pid = (files.read_or_none(path) or b"").split(b"\n")[0].strip()
            yield path, pid.isdigit() and os.path.exists(f"/proc/{int(pid)}")
