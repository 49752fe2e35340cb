"""A site with labs, and their claims in the journal as another machine would write them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from saltbranch.base.durations import iso
from saltbranch.labs import lent
from saltbranch.serve import lent_later
from tests.support.site import Journal, Site

FEATURE = "feature/x"
TRY = {
    "salt/top.sls": "base:\n  '*':\n    - app\n    - new\n",
    "salt/new.sls": "new:\n  test.nop: []\n",
    "pillar/top.sls": "base:\n  '*':\n    - app\n    - stolen\n",
    "pillar/stolen.sls": "stolen: 'by a branch that nobody looked at'\n",
}


@dataclass(slots=True)
class Labs:
    """The labs of a site whose chain is test, stage, prod."""

    site: Site
    journal: Journal

    def claim(self, number: int, branch: str = FEATURE, *minions: str, days: float = 3) -> str:
        """Claim a lab; the id of the event."""
        until = iso(time.time() + days * 86400)
        return self.journal.add(
            "lab", action="claim", lab=number, branch=branch, minions=list(minions), until=until
        ).id

    def release(self, number: int, claim: str) -> None:
        """Give it back."""
        self.journal.add("lab", action="release", lab=number, claim=claim)

    def lent(self) -> lent.Lent:
        """What the file says that the top files read."""
        return lent.loads((self.site.root / "labs" / "lent").read_bytes())

    def served(self, number: int) -> dict[str, str]:
        """The files of a lab's states, by name; none where it serves nothing."""
        folder = self.site.root / "checkouts" / f"lab{number}+" / "salt"
        return {p.name: p.read_text() for p in folder.glob("*.sls")}

    def pillar(self, number: int) -> str:
        """What stands in the pillar that the lab has."""
        return (self.site.root / "labs" / f"lab{number}" / "pillar" / "app.sls").read_text()


def with_labs(site: Site, count: int = 2, **keys: Any) -> Labs:
    """Give `site` labs, and the remote a branch to try."""
    for saltenv, before in (("stage", "test"), ("prod", "stage")):
        site.settings["saltenvs"][saltenv]["promote_from"] = before
    site.configure(labs=count, **keys)
    if FEATURE not in site.remote.git("branch", "--list", FEATURE):
        site.remote.set_branch(FEATURE, site.remote.head("develop"))
        site.remote.commit(FEATURE, TRY)
    return Labs(site, Journal(site.remote))


@contextmanager
def short_gap(seconds: float) -> Iterator[None]:
    """Let a move take `seconds` in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lent, "GAP", seconds)
        patch.setattr(lent_later, "GAP", seconds)
        yield


def master_options_of(site: Site) -> dict[str, Any]:
    """What the file says that was written for the master."""
    import yaml

    found: dict[str, Any] = yaml.safe_load(site.master_config.read_text())
    return found


def rows_of(text: str) -> dict[str, dict[str, Any]]:
    """The rows of `sync --json`, by saltenv."""
    return {row["saltenv"]: row for row in json.loads(text)["saltenvs"]}
