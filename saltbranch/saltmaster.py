"""What the salt-master of this machine has configured and knows: read through Salt itself.

Salt is imported inside the functions: that takes a third of a second.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from saltbranch.errors import SaltError


@dataclass(frozen=True, slots=True)
class MasterOptions:
    """The master's options that saltbranch uses; `path` is its configuration file.

    `opts` is everything Salt makes of it, empty where there is no such file.
    """

    path: str
    exists: bool
    cachedir: str = "/var/cache/salt/master"
    sock_dir: str = "/var/run/salt/master"
    pki_dir: str = "/etc/salt/pki/master"
    pidfile: str = "/var/run/salt-master.pid"
    user: str = "root"
    nodegroups: Mapping[str, object] = field(default_factory=dict)
    opts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def event_socket(self) -> str:
        """Where the master takes events from programs on its machine."""
        return f"{self.sock_dir}/master_event_pull.ipc"

    def accepted_minions(self) -> list[str]:
        """The ids of the minions whose key the master accepted; empty when it has none or hides them."""
        try:
            return sorted(n for n in os.listdir(f"{self.pki_dir}/minions") if not n.startswith("."))
        except OSError:
            return []


def read(path: str) -> MasterOptions:
    """The options in `path` and the files it includes. Raises SaltError when Salt refuses them."""
    if not os.path.exists(path):
        return MasterOptions(path=path, exists=False)
    try:
        import salt.config
        import salt.exceptions
    except ImportError as err:
        raise SaltError(
            f"cannot import Salt: {err}", hint="install saltbranch into the Python that runs Salt"
        ) from err
    try:
        opts = salt.config.master_config(path, exit_on_config_errors=True)
    except (salt.exceptions.SaltException, SystemExit, OSError) as err:
        raise SaltError(f"Salt cannot read {path}: {err}", hint="mend that file") from err
    return MasterOptions(
        path=path,
        exists=True,
        cachedir=str(opts["cachedir"]),
        sock_dir=str(opts["sock_dir"]),
        pki_dir=str(opts["pki_dir"]),
        pidfile=str(opts["pidfile"]),
        user=str(opts["user"]),
        nodegroups=opts.get("nodegroups") or {},
        opts=opts,
    )


def source_files(path: str) -> list[str]:
    """The files and folders that decide what `read` returns, for noticing a change."""
    folder = os.path.dirname(path)
    include = f"{folder}/master.d"
    try:
        names = sorted(n for n in os.listdir(include) if n.endswith(".conf"))
    except OSError:
        names = []
    return [path, include, *(f"{include}/{name}" for name in names)]


def fire(opts: Mapping[str, Any], tag: str, data: Mapping[str, object]) -> bool:
    """Put an event on the running master's bus; False when no master took it."""
    import logging

    import salt.utils.event

    logging.getLogger("salt").setLevel(logging.CRITICAL)
    with salt.utils.event.get_master_event(opts, opts["sock_dir"], listen=False) as bus:
        return bool(bus.fire_event(dict(data), tag, timeout=2000))
