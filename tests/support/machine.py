"""A site on a machine with a salt-master that knows some minions."""

from __future__ import annotations

from typing import Any

import salt.cache
import salt.config
import yaml

from saltbranch.actions.doctor import doctor
from saltbranch.actions.status import SaltenvStatus, status
from saltbranch.doctor.finding import Finding
from saltbranch.serve import verify
from saltbranch.serve.run import SaltenvResult
from tests.support.remote import Content
from tests.support.site import Site, result_of

GRAINS = {"kernel": "Linux", "os": "Debian", "os_family": "Debian", "osmajorrelease": 12}
TOP = "base:\n  '*':\n    - app\n"
BROKEN = f"{TOP}{{% if %}}\n"


class Machine:
    """A site with a salt-master's configuration, whose cache knows two minions of prod and one of test."""

    def __init__(self, site: Site) -> None:
        self.site, self.remote = site, site.remote
        site.keep_only("test", "prod")
        self.options: dict[str, Any] = {
            "root_dir": str(site.folder),
            "pki_dir": "/pki",
            "cachedir": "/cache",
            "pidfile": "/master.pid",
            "user": "root",
            "default_include": "master.d/*.conf",
        }
        self.configure()
        for name in ("prod1", "prod2", "test1"):
            self.meet(name)
        self.commit({"salt/top.sls": TOP}, "develop")

    def configure(self, **options: Any) -> None:
        """Write the master's configuration."""
        self.options |= options
        self.site.salt_config.write_text(yaml.safe_dump(self.options))

    def set(self, saltenv: str, **keys: Any) -> None:
        """Change keys of a saltenv."""
        self.site.settings["saltenvs"][saltenv].update(keys)
        self.site.configure()

    def meet(self, minion: str, **grains: Any) -> None:
        """Let the master remember grains."""
        opts = salt.config.master_config(str(self.site.salt_config))
        salt.cache.factory(opts).store("grains", minion, {**GRAINS, **grains})

    def commit(self, files: dict[str, Content], branch: str = "master") -> str:
        """Push a commit."""
        return self.remote.commit(branch, files)

    def sync(self, saltenv: str = "prod", **options: Any) -> SaltenvResult:
        """Sync all; the part of the result that is about `saltenv`."""
        return result_of(self.site.sync_here(**options), saltenv)

    def verdict(self) -> verify.Verdict:
        """What was kept about prod."""
        found = verify.load(str(self.site.root), "prod")
        assert found
        return found

    def status(self, saltenv: str = "prod") -> SaltenvStatus:
        """Its row."""
        return next(s for s in status(str(self.site.config)).saltenvs if s.saltenv == saltenv)

    def findings(self, *ids: str) -> list[Finding]:
        """Those of `ids` that doctor has."""
        return [f for f in doctor(str(self.site.config)).findings if f.id in ids]
