"""The configuration of the demo's salt-master and minions: folders, options and keys, all below one folder."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import yaml

MASTER: Final = ""
"""The master's name among the daemons; no minion can be called so."""
_SUN_PATH: Final = 107  # unix(7), less the closing NUL
_LONGEST_SOCKET: Final = len("/run/minion_event_0123456789_publish_pull.ipc")

# What a small machine can do without while it starts; nothing here changes what is served.
_QUICK_MASTER: Final[Mapping[str, object]] = {
    "worker_threads": 3,
    "enable_fqdns_grains": False,
    "enable_gpu_grains": False,
    "timeout": 30,
    "gather_job_timeout": 20,
}
_QUICK_MINION: Final[Mapping[str, object]] = {
    "multiprocessing": False,
    "enable_fqdns_grains": False,
    "enable_gpu_grains": False,
    "mine_enabled": False,
    "master_alive_interval": 0,
    "random_reauth_delay": 1,
    "acceptance_wait_time": 1,
    "auth_timeout": 5,
    "auth_tries": 20,
    "recon_default": 100,
    "recon_max": 500,
    "recon_randomize": False,
}


class ClusterConfig:
    """What the daemons of one cluster read. Nothing is written before `write`."""

    def __init__(
        self,
        root: Path,
        *,
        minions: Mapping[str, Mapping[str, object]],
        master_options: Mapping[str, object],
        minion_options: Mapping[str, Mapping[str, object]],
        later: Collection[str] = (),
    ) -> None:
        """root: an absolute path. minions: minion id -> grains. minion_options: minion id -> more options. later: who
        gets no key yet.
        """
        self.root = root
        self._minions = minions
        self._master_options = dict(master_options)
        self._minion_options = dict(minion_options)
        self._later = later
        self._aliases: Path | None = None

    @property
    def folder(self) -> Path:
        """Folder of the master's configuration, for ``-c`` of Salt's programs."""
        return self.root / "etc"

    @property
    def master_file(self) -> Path:
        """The master's main file; it includes ``master.d/*.conf`` beside it."""
        return self.folder / "master"

    def write(self, ports: tuple[int, int]) -> None:
        """Write keys and the configuration of all daemons. ports: for publishing, and for requests."""
        (self.folder / "master.d").mkdir(parents=True, exist_ok=True)
        for name in ("salt", "pillar"):
            (self.root / "srv" / name).mkdir(parents=True, exist_ok=True)
        _write_yaml(self.master_file, self._master_config(ports))
        for minion in self._minions:
            _write_yaml(self.folder_of(minion) / "minion", self._minion_config(minion, ports))
            if minion not in self._later:
                self.seed_keys(minion)

    def remove_aliases(self) -> None:
        """Remove the short symlinks to folders with long paths."""
        if self._aliases:
            shutil.rmtree(self._aliases, ignore_errors=True)
            self._aliases = None

    def folder_of(self, name: str) -> Path:
        """Where the daemon `name` has its own files; the master has no name."""
        return self.root / "master" if name == MASTER else self.root / "minions" / name

    def _home(self, name: str) -> Path:
        """A daemon's folder by a name short enough for the sockets in it.

        Salt puts every path that is not below ``root_dir`` there (``prepend_root_dir`` in
        salt/config), the sockets too, so a long folder gets a short symlink for all of it.
        """
        folder = self.folder_of(name)
        folder.mkdir(parents=True, exist_ok=True)
        if len(os.fsencode(folder)) + _LONGEST_SOCKET <= _SUN_PATH:
            return folder
        self._aliases = self._aliases or Path(tempfile.mkdtemp(prefix="sb-", dir="/tmp"))
        alias = self._aliases / str([MASTER, *self._minions].index(name))
        if not alias.is_symlink():
            alias.symlink_to(folder)
        return alias

    def _common(self, home: Path) -> dict[str, object]:
        """Every path that Salt would otherwise look for in /etc, /var or /srv."""
        return {
            "user": pwd.getpwuid(os.getuid()).pw_name,
            "root_dir": str(home),
            "pki_dir": str(home / "pki"),
            "cachedir": str(home / "cache"),
            "extension_modules": str(home / "cache" / "extmods"),
            "sock_dir": str(home / "run"),
            "pidfile": str(home / "pid"),
            "log_file": str(home / "log"),
            "log_level": "critical",
            "log_level_logfile": "warning",
            "file_roots": {"base": [str(self.root / "srv" / "salt")]},
            "pillar_roots": {"base": [str(self.root / "srv" / "pillar")]},
        }

    def _master_config(self, ports: tuple[int, int]) -> dict[str, object]:
        return {
            **self._common(self._home(MASTER)),
            **_QUICK_MASTER,
            "id": "master",
            "interface": "127.0.0.1",
            "publish_port": ports[0],
            "ret_port": ports[1],
            "default_include": "master.d/*.conf",
            **self._master_options,
        }

    def _minion_config(self, minion: str, ports: tuple[int, int]) -> dict[str, object]:
        return {
            **self._common(self._home(minion)),
            **_QUICK_MINION,
            "id": minion,
            "master": "127.0.0.1",
            "publish_port": ports[0],
            "master_port": ports[1],
            "grains": dict(self._minions[minion]),
            **self._minion_options.get(minion, {}),
        }

    def seed_keys(self, minion: str) -> None:
        """Give a minion its key, and the master the other half: nobody else is let in."""
        own = self.folder_of(minion) / "pki"
        accepted = self.root / "master" / "pki" / "minions" / minion
        if accepted.exists():
            return
        private, public = _key_pair()
        own.mkdir(parents=True, mode=0o700)
        accepted.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        (own / "minion.pem").touch(mode=0o600)
        (own / "minion.pem").write_bytes(private)
        (own / "minion.pub").write_bytes(public)
        accepted.write_bytes(public)


def _key_pair() -> tuple[bytes, bytes]:
    """What ``salt.crypt.gen_keys`` makes, whose arguments differ from release to release."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public


def _write_yaml(path: Path, value: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(value), sort_keys=False))
