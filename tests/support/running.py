"""A running salt-master that serves a site, and what is asked of it."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import salt.utils.event
import yaml

from saltbranch.demo.cluster import Answer, Cluster
from saltbranch.salt_master import options as master_options
from tests.support.site import Site, build_template

HOOK = "salt/netapi/hook/push"  # what rest_cherrypy makes of a POST to /hook/push
REACTION = """\
saltbranch_sync:
  runner.saltbranch.sync:
    - args:
      - expect: {{ data['post']['after'] | json }}
      - wait: 60
"""
HOLD_HOOK = "salt/netapi/hook/hold"
HOLD_REACTION = """\
saltbranch_hold:
  runner.saltbranch.hold:
    - args:
      - saltenv: {{ data['post']['saltenv'] | json }}
      - reason: the pipeline is red
      - claimed_by: {{ data['post']['user'] | json }}
"""
SECRET = "a shared secret"  # with it anybody here is any user of external_auth
EVENT_SECONDS = 30


def short_names_of(folder: Path) -> list[str]:
    """The links in /tmp by which daemons find `folder`, or one below it, for their sockets.

    Others have folders with such names there that come and go: decrypting makes one for its keys.
    """
    found = []
    for link in glob.glob("/tmp/sb-*/*"):  # noqa: S108 - looked at, and nothing more
        with suppress(OSError):
            if Path(os.readlink(link)).is_relative_to(folder):
                found.append(link)
    return found


@dataclass(frozen=True, slots=True)
class Master:
    """A running master that serves `site`."""

    site: Site
    cluster: Cluster

    def runner(self, function: str, *args: str, site: Site | None = None) -> Answer:
        """``salt-run saltbranch.<function>``; `site` names another configuration."""
        with self.configured(site.config) if site else nullcontext():
            answer = self.cluster.run("salt-run", f"saltbranch.{function}", *args)
        assert "Traceback" not in answer.out + answer.err
        assert answer.value is not None, answer
        return answer

    @contextmanager
    def configured(self, config: Path) -> Iterator[None]:
        """Let the master's option name another configuration for a while: salt-run reads it anew each time."""
        path = self.cluster.config_dir / "master.d" / "zz-configuration.conf"
        path.write_text(yaml.safe_dump({"saltbranch_config": str(config)}))
        try:
            yield
        finally:
            path.unlink()

    @property
    def opts(self) -> dict[str, Any]:
        """The master's options."""
        return dict(master_options.read(str(self.cluster.master_config_file)).opts)

    def promoting_site(self, folder: Path) -> Site:
        """The same with a chain from test to prod."""
        site = self.another_site(folder)
        for saltenv, before in (("stage", "test"), ("prod", "stage")):
            site.settings["saltenvs"][saltenv]["promote_from"] = before
        site.configure()
        site.sync_well()
        return site

    def another_site(self, folder: Path) -> Site:
        """A site that this master does not serve, but whose events it gets."""
        site = Site(folder, build_template(folder / "remote.git"))
        site.configure(salt_config=str(self.cluster.master_config_file))
        return site

    @contextmanager
    def listening(self, tag: str) -> Iterator[Callable[..., list[dict[str, Any]]]]:
        """Give what waits for `count` events with this tag, and for one more that must not come."""
        with salt.utils.event.get_event("master", opts=self.opts, listen=True) as bus:
            assert bus.connect_pub(timeout=EVENT_SECONDS)

            def heard(count: int) -> list[dict[str, Any]]:
                found: list[dict[str, Any]] = []
                while True:
                    wait = EVENT_SECONDS if len(found) < count else 0.3
                    event = bus.get_event(wait=wait, tag=tag, full=True)
                    if event is None:
                        return found
                    found.append(event)

            yield heard


@contextmanager
def running_master(folder: Path) -> Iterator[Master]:
    """A master with the minion test1, set up as a person does it: init first, then the start."""
    (folder / "react.sls").write_text(REACTION)
    (folder / "hold.sls").write_text(HOLD_REACTION)
    site = Site(folder, build_template(folder / "remote.git"))
    cluster = Cluster(
        folder / "salt",
        minions={"test1": {}},
        minion_options={"test1": {"autoload_dynamic_modules": False}},
        master_options={
            "saltbranch_config": str(site.config),
            "reactor": [
                {HOOK: [str(folder / "react.sls")]},
                {HOLD_HOOK: [str(folder / "hold.sls")]},
            ],
            "external_auth": {"sharedsecret": {"ann": ["@runner"]}},
            "sharedsecret": SECRET,
            "loop_interval": 1,
        },
    )
    cluster.write_config()
    site.master_config = cluster.config_dir / "master.d" / "saltbranch.conf"
    site.configure(
        salt_config=str(cluster.master_config_file), master_config=str(site.master_config)
    )
    site.sync_well()
    with cluster:
        yield Master(site, cluster)
