"""New minions at a real master: the reactor hears them start, and they are where they belong."""

from __future__ import annotations

import pytest

from saltbranch.new_minions.known import KNOWN, UNPLACED
from tests.cli.test_json_shapes import conforms
from tests.new_minions.conftest import ODD, Arrivals

pytestmark = pytest.mark.xdist_group("arrivals")


def test_one_that_was_there_before_the_reactor_is_not_new(arrivals: Arrivals) -> None:
    entry = arrivals.entry("test1")

    assert entry and entry.stage == KNOWN
    arrivals.cluster.stop_minion("test1")
    with arrivals.master.listening("salt/minion/test1/start") as heard:
        arrivals.cluster.start_minion("test1")
        assert len(heard(1)) == 1
    assert arrivals.cluster.local("test1", "test.ping") is True
    assert arrivals.highstates("test1") == 0


@pytest.mark.parametrize("minion", ["test2", ODD])
def test_a_new_one_has_its_modules_its_pillar_and_its_highstate_once(
    arrivals: Arrivals, minion: str
) -> None:
    cluster = arrivals.cluster
    explained = arrivals.master.runner("explain", minion)
    assert (explained.value["saltenv"], explained.value["accepted"]) == ("test", False)

    with arrivals.master.listening("saltbranch/minion/") as heard:
        cluster.start_minion(minion)
        (event,) = heard(1)

    data = event["data"]
    conforms("event-minion-new", {k: v for k, v in data.items() if k != "_stamp"})
    assert event["tag"] == "saltbranch/minion/new/test"
    assert (data["minion"], data["saltenv"], data["branch"]) == (minion, "test", "develop")
    assert data["commit"] == arrivals.site.remote.head("develop")
    assert (data["problem"], data["had_highstate"]) == (None, False)
    assert data["highstate"]
    arrivals.wait(lambda: arrivals.highstates(minion) == 1)
    assert cluster.local(minion, "brought.word") == "brought"
    assert cluster.local(minion, "pillar.get", "branch", unmask=True) == "develop"

    with arrivals.master.listening("salt/minion/") as heard:  # it comes back
        cluster.stop_minion(minion)
        cluster.start_minion(minion)
        assert heard(1)
    assert cluster.local(minion, "test.ping") is True
    entry = arrivals.entry(minion)
    assert entry and entry.stage == KNOWN
    assert arrivals.highstates(minion) == 1


def test_without_first_highstate_nothing_is_applied(arrivals: Arrivals) -> None:
    with arrivals.master.listening("saltbranch/minion/") as heard:
        arrivals.cluster.start_minion("stage1")
        (event,) = heard(1)

    assert event["tag"] == "saltbranch/minion/new/stage"
    assert (event["data"]["highstate"], event["data"]["problem"]) == (None, None)
    assert arrivals.cluster.local("stage1", "brought.word") == "brought"
    assert arrivals.highstates("stage1") == 0


def test_one_that_no_saltenv_claims_is_told_of_once_and_nothing_is_applied(
    arrivals: Arrivals,
) -> None:
    with arrivals.master.listening("saltbranch/minion/") as heard:
        arrivals.cluster.start_minion("other1")
        (event,) = heard(1)
        arrivals.cluster.stop_minion("other1")
        arrivals.cluster.start_minion("other1")
        assert heard(1) == []

    assert event["tag"] == "saltbranch/minion/unplaced"
    data = {k: v for k, v in event["data"].items() if k != "_stamp"}
    conforms("event-minion-unplaced", data)
    assert data == {"minion": "other1", "saltenvs": [], "reason": "no saltenv claims it"}
    entry = arrivals.entry("other1")
    assert entry and entry.stage == UNPLACED
    log = (arrivals.cluster.root / "master" / "log").read_text()
    assert log.count("nothing is applied to the new minion other1") == 1
