"""Salt-masters that serve without saltbranch, as people have set them up: files only, no daemon."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import salt.cache
import yaml

from saltbranch.salt_master import options as master_options
from tests.support.remote import Remote

GRAINS: dict[str, Any] = {"os": "Debian", "os_family": "Debian", "kernel": "Linux"}


class FormerMaster:
    """The configuration, the accepted keys and the caches of a master in a folder."""

    def __init__(self, folder: Path, options: Mapping[str, Any], minions: tuple[str, ...]) -> None:
        self.folder = folder
        self.salt_config = folder / "etc" / "master"
        self.config = folder / "saltbranch.yaml"
        self.root = folder / "root"
        (folder / "etc" / "master.d").mkdir(parents=True)
        home = folder / "master"
        self.options = {
            "user": pwd.getpwuid(os.getuid()).pw_name,
            "root_dir": str(home),
            "pki_dir": str(home / "pki"),
            "cachedir": str(home / "cache"),
            "extension_modules": str(home / "cache" / "extmods"),
            "sock_dir": str(home / "run"),
            "pidfile": str(home / "pid"),
            "log_file": str(home / "log"),
            **options,
        }
        self.salt_config.write_text(
            f"# The master of this site.\n\n{yaml.safe_dump(self.options, sort_keys=False)}\n# The end.\n"
        )
        (home / "pki" / "minions").mkdir(parents=True)
        for minion in minions:
            self.accept(minion)

    def accept(self, minion: str, pillarenv: str = "", **grains: object) -> None:
        """Accept a key, and remember grains and pillar as a master does."""
        (self.folder / "master" / "pki" / "minions" / minion).write_text("a public key\n")
        cache = salt.cache.factory(master_options.read(str(self.salt_config)).opts)
        cache.store("grains", minion, {**GRAINS, "id": minion, **grains})
        cache.store("pillar", f"{minion}:{pillarenv}" if pillarenv else minion, {})

    def adopt_arguments(self, *arguments: str) -> list[str]:
        """The words after the program's name."""
        places = ["--salt-config", str(self.salt_config), "--root", str(self.root)]
        if {"--switch", "--back"} & set(arguments):
            places = []
        return ["adopt", "--config", str(self.config), *places, *arguments]

    def everything(self) -> dict[str, tuple[bytes, int, int, int, int]]:
        """Every file that the master reads, with mode, owner, group and time."""
        found = {}
        for path in sorted((self.folder / "etc").rglob("*")):
            st = path.stat()
            data = path.read_bytes() if path.is_file() else b""
            found[str(path)] = (data, st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns)
        return found

    def served(self) -> dict[str, dict[str, str]]:
        """Saltenv to path to hash, by Salt's own file server with the configuration as it is now."""
        code = (
            "import json, sys, salt.config, salt.fileserver\n"
            "opts = salt.config.master_config(sys.argv[1])\n"
            "opts.update(cachedir=sys.argv[2], fileserver_events=False)\n"
            "opts['__role'] = 'master'\n"
            "server = salt.fileserver.Fileserver(opts)\n"
            "server.update()\n"
            "print(json.dumps({e: {p: server.file_hash({'path': p, 'saltenv': e})['hsum']\n"
            "    for p in server.file_list({'saltenv': e})} for e in server.envs()}))\n"
        )
        cache = self.folder / f"cache{len(list(self.folder.iterdir()))}"
        cache.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", code, str(self.salt_config), str(cache)],
            stdout=subprocess.PIPE,
            check=True,
        )
        return dict(json.loads(done.stdout.splitlines()[-1]))


def clone(remote: Remote, folder: Path, branch: str) -> Path:
    """What a person has put there with git clone, to be pulled by cron."""
    subprocess.run(["git", "clone", "-q", "-b", branch, remote.path, folder], check=True)
    return folder
