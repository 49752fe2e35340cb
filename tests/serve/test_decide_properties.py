"""Holds and tags come and go at random: what is served is what the rules say, written down once more."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saltbranch.base import versions
from tests.support import budget
from tests.support.remote import Remote
from tests.support.site import Journal, Site, build_template, read_tree

numbers = st.integers(0, 20)
steps = st.lists(
    st.one_of(
        st.just(("commit", 0)),
        st.tuples(st.just("tag"), numbers),
        st.tuples(st.just("delete"), numbers),
        st.tuples(st.just("hold"), numbers),
        st.just(("unhold", 0)),
        st.just(("forget", 0)),
    ),
    min_size=1,
    max_size=15,
)


class Model:
    """prod follows version tags and is not protected; what it should serve after each sync."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.journal = Journal(remote)
        self.commits = [remote.head("master")]
        self.tags: dict[str, str] = {}
        self.held: str | None = None
        self.served: str | None = None
        self.by: tuple[str, str] | None = None  # the tag that is served, and its commit

    def do(self, verb: str, number: int) -> None:
        """One change of the remote, here and there."""
        commit, tag = self.commits[number % len(self.commits)], f"v1.{number}"
        if verb == "commit":
            text = f"{len(self.commits)}\n"
            self.commits.append(self.remote.commit("master", {"salt/n.sls": text}))
        elif verb == "tag" and tag not in self.tags and (self.by is None or self.by[0] != tag):
            self.tags[tag] = commit
            self.remote.git("tag", tag, commit)
        elif verb == "delete" and tag in self.tags:
            del self.tags[tag]
            self.remote.git("tag", "--delete", tag)
        elif verb == "hold":
            self.held = commit
            self.journal.hold("prod", commit)
        elif verb == "unhold":
            self.held = None
            self.journal.add("unhold", saltenv="prod")

    def sync(self) -> None:
        """What a sync does to what is served."""
        top = versions.highest(self.tags)
        if self.held:
            self.served = self.held
            return
        lost = self.by and self.served == self.by[1] and self.by[0] not in self.tags
        if lost and self.by and versions.highest([top or "", self.by[0]]) == self.by[0]:
            return  # deleted, and nothing higher
        if top is not None:
            self.served, self.by = self.tags[top], (top, self.tags[top])


@settings(
    max_examples=budget.examples(25, 10), deadline=None, suppress_health_check=list(HealthCheck)
)
@given(steps)
def test_what_is_served_is_what_the_rules_say(script: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        remote = build_template(Path(folder) / "remote.git")
        site, model = Site(Path(folder), remote), Model(remote)
        site.settings["saltenvs"]["prod"] |= {"follow": {"tags": "^v"}, "protected": False}
        site.configure(record_syncs=True)
        site.keep_only("prod")
        for verb, number in script:
            if verb == "forget":
                (site.root / "state" / "prepared").unlink(missing_ok=True)
            model.do(verb, number)
            model.sync()
            result = site.sync_here()
            assert result.exit_code == (0 if model.served and (model.held or top_of(model)) else 1)
            if model.served:
                assert read_tree(site.checkout("master")) == remote.tree(model.served)
            assert not site.sync_here().changed
        assert told(model.journal) == model.served


def top_of(model: Model) -> str | None:
    """What is to be followed: a tag that is there, or the one that was deleted while it was served."""
    lost = model.by[0] if model.by and model.served == model.by[1] else None
    return versions.highest(model.tags) or lost


def told(journal: Journal) -> str | None:
    """What the journal says last that prod serves."""
    rows = [row["new"] for e in journal.events("sync") for row in e.details["saltenvs"]]
    return rows[-1] if rows else None
