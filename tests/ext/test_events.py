"""What a running master's bus has of saltbranch is what the schemas of events say."""

from __future__ import annotations

import json
from typing import Any

from tests.cli.test_json_shapes import conforms
from tests.ext.test_promotions import Call, call, client, site  # noqa: F401 - fixtures
from tests.support.running import Master
from tests.support.site import Site


def heard_of(master: Master, count: int, do: Any) -> dict[str, dict[str, Any]]:
    """Tag to data of `count` events that come by `do`."""
    with master.listening("saltbranch/") as heard:
        do()
        events = {event["tag"]: dict(event["data"]) for event in heard(count)}
    assert all(data.pop("_stamp") for data in events.values())
    return events


def test_promote_hold_rollback_unhold_and_accept(
    master: Master,
    site: Site,  # noqa: F811
    call: Call,  # noqa: F811
) -> None:
    before = site.remote.head("stage")
    told = heard_of(master, 2, lambda: call("promote", "stage"))
    promoted = site.remote.head("stage")
    conforms("event-sync", told["saltbranch/sync/stage"])
    conforms("event-promote", told["saltbranch/promote/stage"])

    told = heard_of(master, 2, lambda: call("rollback", "stage", "reason=it breaks"))
    data = conforms("event-recorded", told["saltbranch/rollback/stage"])
    assert (data["old"], data["new"], data["reason"]) == (promoted, before, "it breaks")
    assert (data["until"], data["local"], data["asked_by"]) == (None, False, "UNKNOWN")
    assert told["saltbranch/sync/stage"]["new"] == before

    told = heard_of(master, 2, lambda: call("unhold", "stage", "reason=it does not"))
    data = conforms("event-recorded", told["saltbranch/unhold/stage"])
    assert (data["old"], data["new"]) == (before, promoted)

    words = ("reason=quarter", "until=3d", "claimed_by=bob")
    told = heard_of(master, 1, lambda: call("hold", "prod", *words))
    data = conforms("event-recorded", told["saltbranch/hold/prod"])
    assert data["new"] == data["old"] == site.remote.head("master")
    assert data["until"] and data["claimed_by"] == "bob"

    told = heard_of(master, 1, lambda: call("unhold", "prod", "local=True"))
    assert conforms("event-recorded", told["saltbranch/unhold/prod"])["local"] is True

    site.remote.commit("stage", {"salt/hand.sls": "# by hand\n"})
    told = heard_of(master, 2, lambda: call("accept", "stage", "reason=agreed"))
    data = conforms("event-recorded", told["saltbranch/accept/stage"])
    assert data["promotion"]


def test_a_plan_and_what_is_refused_are_no_events(
    master: Master,
    site: Site,  # noqa: F811
    call: Call,  # noqa: F811
) -> None:
    def do() -> None:
        assert call("hold", "prod", "reason=x", "plan=True")["retcode"] == 3
        assert call("unhold", "prod")["retcode"] == 4
        assert call("rollback", "prod")["retcode"] == 4

    assert heard_of(master, 0, do) == {}


def test_the_changelog_is_that_of_the_command(site: Site, call: Call) -> None:  # noqa: F811
    nothing, old = call("changelog", "stage"), site.remote.head("stage")
    promoted = call("promote", "stage")
    told = call("changelog", "stage")

    assert nothing["retcode"] == 2
    assert told["promotion"]["id"] == promoted["id"]
    assert (told["from"], told["to"]) == (old, promoted["new"])
    by_command = site.run_here("changelog", "stage", "--config", str(site.config), "--json")
    assert json.loads(by_command.out) == {k: v for k, v in told.items() if k != "retcode"}
