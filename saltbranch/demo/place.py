"""The demo's folder: where its parts are, how it is made, and how it goes away with its processes."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from saltbranch.base.errors import RefusedError, SaltbranchError, os_error
from saltbranch.demo.processes import processes_of

MARKER: Final = ".saltbranch-demo"
_STOP_SECONDS: Final = 3
_ROUNDS: Final = 3  # for what a daemon starts while it is being stopped


@dataclass(frozen=True, slots=True)
class Place:
    """Where the parts of the demo are."""

    folder: Path

    @property
    def remote(self) -> Path:
        """The bare control repository."""
        return self.folder / "remote.git"

    @property
    def clone(self) -> Path:
        """A clone of it, with develop checked out."""
        return self.folder / "clone"

    @property
    def formula(self) -> Path:
        """The repository of a formula that the control repository pins."""
        return self.folder / "formulas" / "banner-formula"

    @property
    def cache(self) -> Path:
        """For what a person's saltbranch keeps in the clone."""
        return self.folder / "cache"

    @property
    def config(self) -> Path:
        """saltbranch.yaml."""
        return self.folder / "saltbranch.yaml"

    @property
    def root(self) -> Path:
        """Mirror, slots and checkouts."""
        return self.folder / "root"

    @property
    def salt(self) -> Path:
        """The master and the minions."""
        return self.folder / "salt"

    @property
    def salt_config(self) -> Path:
        """For ``-c`` of Salt's programs."""
        return self.salt / "etc"

    def server(self, minion: str) -> Path:
        """What stands for the file system of a minion's machine."""
        return self.folder / "servers" / minion


def make_place(folder: Path | None) -> Place:
    """The folder of the demo, marked as such. Raises RefusedError, SaltbranchError."""
    try:
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="saltbranch-demo-"))
        else:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise RefusedError(
                    f"{folder} is not empty", hint="name a new or an empty folder with --folder"
                )
        (folder / MARKER).touch()
    except OSError as err:
        raise os_error(err) from err
    return Place(folder.resolve())


def stop(folder: Path) -> int:
    """End the daemons of a kept demo, and remove its folder; how many processes there were.

    Raises RefusedError for a folder that no demo made, SaltbranchError when something is left.
    """
    place = Place(folder.resolve())
    if not (place.folder / MARKER).is_file():
        raise RefusedError(
            f"{folder} is not a folder of a demo: there is no {MARKER} in it",
            hint="saltbranch demo --keep says which one it is",
        )
    ended = 0
    for _ in range(_ROUNDS):
        processes = processes_of(place.salt)
        if not processes:
            remove(place)
            return ended
        _end(processes)
        ended += len(processes)
    raise SaltbranchError(
        f"processes of {folder} do not end: {', '.join(map(str, processes))}",
        hint="try again, or look at them with ps",
    )


def _end(processes: Sequence[int]) -> None:
    """TERM to all at once, KILL to what is left after _STOP_SECONDS, and wait for their end."""
    with contextlib.ExitStack() as handles:
        running = set()
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                handle = os.pidfd_open(process)
                handles.callback(os.close, handle)
                running.add(handle)
        for signum in (signal.SIGTERM, signal.SIGKILL):
            for handle in running:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, signum)
            running -= _wait(running)


def _wait(handles: set[int]) -> set[int]:
    """Those of the processes behind `handles` that end within _STOP_SECONDS."""
    ended: set[int] = set()
    deadline = time.monotonic() + _STOP_SECONDS
    while (left := handles - ended) and (seconds := deadline - time.monotonic()) > 0:
        ended |= set(select.select(left, [], [], seconds)[0])
    return ended


def remove(place: Place) -> None:
    """Remove the folder and the short names of its parts. Raises SaltbranchError."""
    try:
        _remove_aliases(place)
        shutil.rmtree(place.folder)
    except OSError as err:
        raise os_error(err) from err


def _remove_aliases(place: Place) -> None:
    """Remove the folder in /tmp with the symlinks that the cluster makes for long paths."""
    homes = {place.salt_config / "master": place.salt / "master"}
    homes |= {folder / "minion": folder for folder in (place.salt / "minions").glob("*")}
    for config, home in homes.items():
        if config.exists():
            options = yaml.safe_load(config.read_bytes()) or {}
            alias = Path(options.get("root_dir", home))
            if alias.is_symlink() and alias.resolve() == home:
                shutil.rmtree(alias.parent)
