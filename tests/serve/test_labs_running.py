"""Labs on a running salt-master: a lent minion has one saltenv's states and pillar at any moment, and never two."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from saltbranch.actions import apply as action
from saltbranch.actions.shared.applying import Watching
from saltbranch.actions.shared.caller import Caller
from saltbranch.apply.make_plan import ApplyPlan
from saltbranch.apply.options import Options
from saltbranch.apply.outcome import APPLIED, SKIPPED, Outcome
from saltbranch.demo.cluster import Cluster
from saltbranch.repository.workplace import Workplace, open_machine
from tests.support.labs import FEATURE, Labs, short_gap, with_labs
from tests.support.site import Site, build_template, result_of

GAP = 6.0  # of tests: less than of users, since nothing here takes long to render
NOBODY_RENDERS = 1.0
"""The same where no minion is asked meanwhile."""
PILLAR = "#!jinja|yaml\nin_{{ saltenv }}: {{ opts['id'] }}\nbranch: BRANCH\n"
EVERYBODY = (
    "base:\n  '*': [app]\ntest:\n  '*': [greedy]\nlab1:\n  '*': [greedy]\nprod:\n  '*': [greedy]\n"
)


def _app(name: str) -> dict[str, object]:
    return {
        "salt/top.sls": EVERYBODY,
        "salt/app/init.sls": f"app-of-{name}:\n  test.nop: []\n",
        "salt/greedy.sls": f"greedy-of-{name}:\n  test.nop: []\n",
        "pillar/top.sls": EVERYBODY,
        "pillar/app.sls": PILLAR.replace("BRANCH", name),
        "pillar/greedy.sls": f"greedy_of_{name}: 1\n",
    }


MODULE = "def hello():\n    return 'from the lab'\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Labs, Cluster]]:
    """A master with two labs and the minions test1 (of which only a grain is called saltenv), test2 (whose
    saltenv is pinned) and prod1."""
    folder = tmp_path_factory.mktemp("labs")
    site = Site(folder, build_template(folder / "remote.git"))
    for branch in ("develop", "master"):
        site.remote.commit(branch, _app(branch))
    site.remote.set_branch(FEATURE, site.remote.head("develop"))
    site.remote.commit(FEATURE, {**_app("feature"), "salt/_modules/in_lab.py": MODULE})
    cluster = Cluster(
        folder / "salt",
        minions={"test1": {"saltenv": "test"}, "test2": {}, "prod1": {}},
        minion_options={"test2": {"saltenv": "test"}},
        master_options={"loop_interval": 5},
    )
    cluster.write_config()
    site.master_config = cluster.config_dir / "master.d" / "saltbranch.conf"
    site.settings |= {
        "salt_config": str(cluster.master_config_file),
        "master_config": str(site.master_config),
    }
    labs = with_labs(site)
    site.sync_well()
    with cluster:
        yield labs, cluster


def _states(answer: Any) -> set[str]:
    """The ids of what a state run ran; nothing where it refused to."""
    if not isinstance(answer, dict):
        return set()
    return {run["__id__"] for run in answer.values() if "__id__" in run and run["result"]}


class _Rendering(threading.Thread):
    """Asks minions for pillar and states, again and again, and keeps what each of them got."""

    def __init__(self, cluster: Cluster, minions: list[str]) -> None:
        super().__init__()
        self.cluster, self.minions = cluster, minions
        self.over = threading.Event()
        self.pillar: dict[str, list[set[str]]] = {m: [] for m in minions}
        self.states: dict[str, list[set[str]]] = {m: [] for m in minions}

    def run(self) -> None:
        """Until it is told to end; the first of them most often."""
        while not self.over.wait(0.5):
            for minion in self.minions:
                for _ in range(3 if minion == self.minions[0] else 1):
                    answer = self.cluster.local(minion, "pillar.items", unmask=True)
                    self.pillar[minion].append(set(answer))
                self.states[minion].append(_states(self.cluster.local(minion, "state.apply")))

    def until(self, states: set[str], pillar: set[str]) -> None:
        """Wait until a round that begins now has shown the first minion with these."""
        minion, end = self.minions[0], time.monotonic() + 60
        seen, given = len(self.states[minion]), len(self.pillar[minion])
        while states not in self.states[minion][seen:] or pillar not in self.pillar[minion][given:]:
            assert self.is_alive() and time.monotonic() < end, (self.states, self.pillar)
            time.sleep(0.1)


OF_TEST = {"app-of-develop", "greedy-of-develop"}, {"in_test", "branch", "greedy_of_develop"}
OF_LAB = {"app-of-feature", "greedy-of-feature"}, {"in_lab1", "branch", "greedy_of_develop"}
OF_PROD = {"app-of-master", "greedy-of-master"}, {"in_prod", "branch", "greedy_of_master"}


def _kinds(seen: list[set[str]]) -> list[frozenset[str]]:
    found: list[frozenset[str]] = []
    for one in map(frozenset, seen):
        if one not in found:
            found.append(one)
    return found


@pytest.mark.xdist_group("labs")
def test_never_two_saltenvs_while_labs_come_and_go(running: tuple[Labs, Cluster]) -> None:
    labs, cluster = running
    rendering = _Rendering(cluster, ["test1", "prod1"])
    rendering.start()
    try:
        for _ in range(2):
            rendering.until(*OF_TEST)
            claim = labs.claim(1, FEATURE, "test1")
            with short_gap(GAP):
                lent = labs.site.sync_here()
            assert "test1 has lab1 now" in lent.notes, lent.notes
            rendering.until(*OF_LAB)
            labs.release(1, claim)
            with short_gap(GAP):
                back = labs.site.sync_here()
            assert "test1 has its own saltenv again" in back.notes, back.notes
    finally:
        rendering.over.set()
        rendering.join(120)

    states, pillar = rendering.states["test1"], rendering.pillar["test1"]
    assert set(_kinds(states)) <= {frozenset(OF_TEST[0]), frozenset(OF_LAB[0]), frozenset()}
    errors = frozenset({"_errors"})
    assert set(_kinds(pillar)) <= {frozenset(OF_TEST[1]), frozenset(OF_LAB[1]), errors}
    assert OF_LAB[0] in states and OF_LAB[1] in pillar
    assert _kinds(rendering.states["prod1"]) == [frozenset(OF_PROD[0])]
    assert _kinds(rendering.pillar["prod1"]) == [frozenset(OF_PROD[1])]


@pytest.mark.xdist_group("labs")
def test_modules_of_the_branch_come_and_go_with_the_lab(running: tuple[Labs, Cluster]) -> None:
    labs, cluster = running
    claim = labs.claim(1, FEATURE, "test1")
    with short_gap(NOBODY_RENDERS):
        labs.site.sync_here()
    assert cluster.local("test1", "in_lab.hello") == "from the lab"
    labs.release(1, claim)
    with short_gap(NOBODY_RENDERS):
        labs.site.sync_here()
    assert "in_lab.hello" not in cluster.local("test1", "sys.list_functions")


@pytest.mark.xdist_group("labs")
def test_a_minion_that_pins_its_saltenv_is_not_lent(running: tuple[Labs, Cluster]) -> None:
    labs, cluster = running
    claim = labs.claim(1, FEATURE, "test2")
    with short_gap(NOBODY_RENDERS):
        result = labs.site.sync_here()
    assert [note for note in result.notes if "saltenv: test" in note and "test2" in note]
    assert labs.lent().lent == {} and labs.lent().moving == {}
    assert _states(cluster.local("test2", "state.apply")) == OF_TEST[0]
    assert not labs.site.sync_here().changed
    told = labs.site.run_here("status", "--config", str(labs.site.config)).out
    assert "test2 is not lent: its own configuration has saltenv: test" in told
    doctor = labs.site.run_here("doctor", "--config", str(labs.site.config), "--json").out
    assert "lab-minion-pinned" in doctor and "lab-minion-unknown" not in doctor
    labs.release(1, claim)
    with short_gap(NOBODY_RENDERS):
        labs.site.sync_here()


class _Program(Caller[ApplyPlan]):
    """A program that applies."""

    notify = staticmethod(lambda ready, results: None)  # type: ignore[assignment]

    def __init__(self, site: Site) -> None:
        self.site = site

    def open(self, *, fetch: bool = True) -> Workplace:
        return open_machine(str(self.site.config), fetch=fetch)

    def open_mirror(self) -> Workplace:
        return self.open(fetch=False)


class _Lending:
    """Applies to both minions of test, test2 first, and lends test1 at a certain moment."""

    def __init__(self, labs: Labs) -> None:
        self.labs = labs
        self.claim = ""

    def lend(self) -> None:
        self.claim = self.labs.claim(1, FEATURE, "test1")
        with short_gap(1):
            assert "test1 has lab1 now" in self.labs.site.sync_here().notes

    def give_back(self) -> None:
        self.labs.release(1, self.claim)
        with short_gap(1):
            self.labs.site.sync_here()

    def apply(self, lend_at: str, *, plan: bool = False) -> action.Applied | action.ApplyPlanned:
        """lend_at: what is told just before."""

        def tell(event: Mapping[str, Any]) -> None:
            ids = event.get("minions") or [event.get("minion")]
            if f"{event['event']} {ids[0]}" == lend_at:
                self.lend()

        options, watching = Options(canary="test2", batch="1"), Watching(tell=tell)
        return action.apply(_Program(self.labs.site), "test", options, watching, plan=plan)

    def outcome(self, lend_at: str) -> Outcome:
        """What became of test1."""
        done = self.apply(lend_at)
        assert isinstance(done, action.Applied)
        return done.record.first.of("test1")


@pytest.mark.xdist_group("labs")
def test_apply_leaves_lent_minions_alone(running: tuple[Labs, Cluster]) -> None:
    lending = _Lending(running[0])
    assert lending.outcome("minion test2") == Outcome(SKIPPED, "lent to lab1")
    planned = lending.apply("", plan=True)
    assert isinstance(planned, action.ApplyPlanned)
    assert planned.plan.skipped == {"test1": "lent to lab1"}
    assert planned.plan.minions == ("test2",)
    lending.give_back()


@pytest.mark.slow
@pytest.mark.xdist_group("labs")
def test_lent_while_it_is_applied_to(running: tuple[Labs, Cluster]) -> None:
    labs, cluster = running
    lending = _Lending(labs)
    found = lending.outcome("job test1")
    reason = "lent to lab1 while it was applied to"
    assert (found.state, found.reason) == (SKIPPED, reason)
    lending.give_back()
    found = lending.outcome("")
    assert found.state == APPLIED
    answer = cluster.run("salt-run", "jobs.lookup_jid", found.jid)
    assert _states(answer.value["test1"]) == OF_TEST[0]


@pytest.mark.xdist_group("labs")
def test_a_lab_that_is_not_open_gives_nothing_to_who_asks(running: tuple[Labs, Cluster]) -> None:
    labs, cluster = running
    claim = labs.claim(2, FEATURE)
    result = labs.site.sync_here()
    assert result_of(result, "lab2").new
    for minion in ("test1", "prod1"):
        assert cluster.local(minion, "pillar.items", pillarenv="lab2") == {}
        assert _states(cluster.local(minion, "state.apply", saltenv="lab2")) == set()
    labs.release(2, claim)
    with short_gap(NOBODY_RENDERS):
        labs.site.sync_here()


@pytest.mark.xdist_group("labs")
def test_an_open_lab_is_for_minions_of_its_saltenv_that_ask(running: tuple[Labs, Cluster]) -> None:
    labs, cluster = running
    labs.site.configure(lab_open=True)
    claim = labs.claim(2, FEATURE)
    with short_gap(NOBODY_RENDERS):
        labs.site.sync_here()
    asked = cluster.local("test1", "state.apply", saltenv="lab2")
    assert _states(asked) == {"app-of-feature", "greedy-of-feature"}
    tried = cluster.local("test1", "state.apply", saltenv="lab2", test=True)
    assert {run["__id__"] for run in tried.values()} == {"app-of-feature", "greedy-of-feature"}
    assert set(cluster.local("test1", "pillar.items", pillarenv="lab2", unmask=True)) == {
        "in_lab2", "branch", "greedy_of_develop",
    }  # fmt: skip
    assert _states(cluster.local("test1", "state.apply")) == OF_TEST[0]
    assert set(cluster.local("test1", "pillar.items")) == OF_TEST[1]
    assert _states(cluster.local("prod1", "state.apply", saltenv="lab2")) == set()
    assert cluster.local("prod1", "pillar.items", pillarenv="lab2") == {}
    labs.release(2, claim)
    labs.site.configure(lab_open=None)
    with short_gap(NOBODY_RENDERS):
        labs.site.sync_here()


@pytest.mark.xdist_group("labs")
def test_unused_labs_leave_nothing_in_the_logs(running: tuple[Labs, Cluster]) -> None:
    labs, cluster = running
    assert labs.served(1) == labs.served(2) == {}
    cluster.local("test1", "state.apply")
    cluster.local("test1", "cp.list_states", saltenv="lab2")
    cluster.local("test1", "saltutil.sync_all")
    logs = cluster.minion_log("test1"), cluster.minion_log("prod1"), cluster.root / "master" / "log"
    for log in logs:
        lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
        assert not [line for line in lines if "lab2" in line or "not deterministic" in line]
