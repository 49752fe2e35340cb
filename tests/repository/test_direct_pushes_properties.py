"""Promotions, pushes by hand, holds and servers that undo come at random: what is served is what the rules say."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import budget
from tests.support.remote import Remote
from tests.support.site import Journal, Site, build_template, read_tree, result_of

VERBS = ("promote", "push", "accept", "undone", "reset", "hold", "unhold", "forget", "nothing")
steps = st.lists(st.tuples(st.sampled_from(VERBS), st.integers(0, 20)), min_size=1, max_size=12)


class Model:
    """stage, which is promoted to from test, and what it should serve."""

    def __init__(self, remote: Remote, *, refuse: bool) -> None:
        self.remote = remote
        self.journal = Journal(remote)
        self.refuse = refuse
        self.good = remote.head("stage")
        self.goods = [self.good]
        self.held: str | None = None
        self.pushes = 0
        self.promotions = 0
        self.number = 0
        self.promoted: str | None = None  # or accepted, as far as that was there
        self.resets = 0

    @property
    def head(self) -> str:
        """The head of the branch."""
        return self.remote.head("stage")

    @property
    def served(self) -> str:
        """What is to be served."""
        return self.held or self.good

    def _commit(self, branch: str, *parents: str) -> str:
        self.number += 1
        return self.remote.commit(
            branch, {"salt/n.sls": f"{self.number}\n"}, parents=parents, tree=parents[0]
        )

    def _promotion(self, new: str) -> None:
        source = self.remote.head("develop")
        self.journal.add(
            "promotion", saltenv="stage", branch="stage", source="test", source_commit=source,
            old=self.head, new=new,
        )  # fmt: skip

    def _reset(self, commit: str) -> None:
        """Somebody moves the branch to where it was once, or puts it right."""
        if commit != self.head:
            self.remote.set_branch("stage", commit)
            self.pushes += 1
            self.resets += 1
            if not self.refuse or commit == self.promoted:
                self.good = commit

    def do(self, verb: str, number: int) -> None:
        """One change of the remote, here and there."""
        if verb == "promote":
            new = self._commit("made", self.head)
            self._promotion(new)
            self.remote.set_branch("stage", new)
            self.good = self.promoted = new
            self.goods.append(new)
            self.promotions += 1
        elif verb == "push":
            new = self._commit("stage", self.head)
            self.pushes += 1
            self.good = self.good if self.refuse else new
        elif verb == "accept" and self.good != self.head:
            self.journal.add(
                "accept", saltenv="stage", branch="stage", commit=self.head, from_commit=self.good
            )
            self.good = self.promoted = self.head
        elif verb == "undone":
            self._promotion(self._commit("made", self.head))
            self.pushes += 1
            self.promoted = None
        elif verb == "reset" and not self.held:
            self._reset(self.goods[number % len(self.goods)])
        elif verb == "hold":
            self.held = self.goods[number % len(self.goods)]
            self.journal.hold("stage", self.held)
        elif verb == "unhold":
            self.held = None
            self.journal.add("unhold", saltenv="stage")


@settings(
    max_examples=budget.examples(20, 8), deadline=None, suppress_health_check=list(HealthCheck)
)
@given(st.booleans(), steps)
def test_what_is_served_is_what_the_rules_say(refuse: bool, script: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        remote = build_template(Path(folder) / "remote.git")
        site, model = Site(Path(folder), remote), Model(remote, refuse=refuse)
        site.keep_only("test", "stage")
        policy = {"promote_from": "test", "direct_pushes": "refuse" if refuse else "report"}
        site.settings["saltenvs"]["stage"] |= policy
        site.configure(record_syncs=True)
        model.do("promote", 0)
        assert site.sync_here().exit_code == 0
        for verb, number in script:
            model.do(verb, number)
            if verb == "forget":
                for name in ("choices", "prepared", "served")[: number % 4]:
                    (site.root / "state" / name).unlink(missing_ok=True)
            for _ in range(2):
                result = site.sync_here()
                refused = model.good != model.head and not model.held
                assert result.exit_code == (4 if refused else 0), (verb, result.as_dict())
                assert read_tree(site.checkout("stage")) == remote.tree(model.served), verb
            assert not result_of(result, "stage").changed
            assert len(model.journal.events("push")) == model.pushes
        state = model.journal.state()
        assert model.resets or len(state.promotions) == model.promotions
        assert state.tips["stage"].good == model.good
        assert (state.open_push("stage") is None) == (model.head == model.promoted)
