"""Where test runs differ from the preview, and what stays after a rollback: values compared."""

from __future__ import annotations

from typing import Any

import pytest

from saltbranch.apply.deviations import Deviation, Found, Named, deviates, grouped
from saltbranch.apply.outcome import Change, Run
from saltbranch.apply.stays import Stay, Stays, stays_from_dict, what_stays
from saltbranch.compiler.model import Chunk
from saltbranch.preview.difference import (
    ChangedFile,
    ChangedState,
    Difference,
    MinionDiff,
    OneState,
    Sided,
)

MOTD = Change("common", "motd", "file.managed", "/etc/motd", "{}")
NGINX = Change("web", "nginx", "service.running", "nginx", "{}")


def run(*changes: Change, **more: Any) -> Run:
    return Run(changes=changes, states=5, **more)


def differs(minion: str = "web1", **what: Any) -> MinionDiff:
    return MinionDiff(minion, "prod", "ok", (), (), Difference(**what))


def one(key: str, sls: str = "common", *, stays: bool = False) -> OneState:
    return OneState(key, sls, "salt/x.sls", 1, {}, stays)


def names(found: Found) -> tuple[list[str], list[str]]:
    return [c.id for c in found.more], [s.id for s in found.fewer]


def test_what_the_commit_brings_is_no_drift() -> None:
    added = differs(added=(one("motd | file.managed"),))
    assert names(deviates(run(MOTD), added)) == ([], [])
    changed = ChangedState("motd | file.managed", "common", "", 1, {"contents": ("a", "b")})
    assert names(deviates(run(MOTD), differs(changed=(changed,)))) == ([], [])
    source = ChangedFile("salt://motd", ("motd | file.managed #/etc/motd",))
    assert names(deviates(run(MOTD), differs(files=(source,)))) == ([], [])


def test_what_nothing_of_the_commit_explains_is_drift() -> None:
    assert names(deviates(run(MOTD), None)) == (["motd"], [])
    assert names(deviates(run(MOTD, NGINX), differs(added=(one("motd | file.managed"),)))) == (
        ["nginx"],
        [],
    )
    # The same ID with another function is another state.
    assert names(deviates(run(MOTD), differs(added=(one("motd | pkg.installed"),)))) == (
        ["motd"],
        ["motd"],
    )
    assert names(deviates(run(MOTD), differs(removed=(one("motd | file.managed"),)))) == (
        ["motd"],
        [],
    )


def test_what_is_there_already_is_told_requisites_aside() -> None:
    order = ChangedState("nginx | service.running", "web", "", 1, {"require": ([], [{"a": "b"}])})
    what = differs(added=(one("motd | file.managed"),), changed=(order,))
    assert names(deviates(run(), what)) == ([], ["motd"])
    assert names(deviates(run(failed=("x: bad",)), what)) == ([], [])


@pytest.mark.parametrize(
    ("requisite", "explained"),
    [
        ({"watch": [{"file": "motd"}]}, True),
        ({"onchanges": [{"file": "/etc/motd"}]}, True),
        ({"listen": [{"sls": "common"}]}, True),
        ({"watch": [{"masked": "0a1b"}]}, True),  # by what, may not be told
        ({"watch": [{"file": {"masked": "0a1b"}}]}, True),
        ({"watch": {"masked": "0a1b"}}, True),
        ({"watch": [{"pkg": "motd"}]}, False),
        ({"require": [{"file": "motd"}]}, False),
        ({}, False),
    ],
)
def test_what_follows_from_a_change_is_explained(
    requisite: dict[str, Any], explained: bool
) -> None:
    chunks = [
        Chunk("motd | file.managed", "common", "", 1, {"name": "/etc/motd"}),
        Chunk("nginx | service.running", "web", "", 1, requisite),
        Chunk("last | cmd.wait", "web", "", 1, {"watch": [{"service": "nginx"}]}),
    ]
    last = Change("web", "last", "cmd.wait", "x", "{}")
    found = deviates(run(MOTD, NGINX, last), differs(added=(one("motd | file.managed"),)), chunks)
    assert names(found) == (([] if explained else ["nginx", "last"]), [])
    source = ChangedFile("salt://motd", ("motd | file.managed",))
    assert deviates(run(MOTD, NGINX, last), differs(files=(source,)), chunks) == found
    # Without a change of the commit nothing follows from it.
    assert names(deviates(run(NGINX), differs(), chunks)) == (["nginx"], [])


def test_an_id_that_may_not_be_told_is_found_by_function_and_sls() -> None:
    hidden = differs(added=(one("*** ~0a1b2c3d | file.managed"),))
    assert names(deviates(run(MOTD), hidden)) == ([], [])
    other = differs(added=(one("*** ~0a1b2c3d | file.managed", "other"),))
    assert names(deviates(run(MOTD), other))[0] == ["motd"]


def test_minions_that_deviate_alike_are_one_group() -> None:
    cmd = Change("app", "reload", "cmd.run", "x", "{}")

    def own(minion: str) -> Change:
        return Change("common", f"/etc/{minion}", "file.managed", "x", "{}")

    runs = {m: run(own(m), cmd) for m in ("web1", "web2")} | {"web3": run(NGINX), "web4": run()}
    found = grouped({m: deviates(r, None) for m, r in runs.items()}, {"web9": "no record"})
    file = Named("common", "/etc/MINION", "file.managed")
    each = Named("app", "reload", "cmd.run")
    assert found.found == (
        Deviation(("web1", "web2"), (file,), (each,), ()),
        Deviation(("web3",), (Named("web", "nginx", "service.running"),), (), ()),
    )
    assert (found.compared, found.unknown) == (4, {"web9": "no record"})


def test_what_stays_is_told_by_state_and_what_is_not_known_by_minion() -> None:
    made = one("nginx | pkg.installed", "web", stays=True)
    undone = one("x | cmd.run", "web")
    broken = MinionDiff("web3", "prod", "partial", (Sided("after", "bad sls"),), (), Difference())
    before = MinionDiff("web4", "prod", "partial", (Sided("before", "b"),), (), Difference())
    found = what_stays(
        "f" * 40,
        [differs(m, removed=(made, undone)) for m in ("web1", "web2")] + [broken, before],
        {"web9": "the fleet has no record of it"},
    )
    assert found.states == (Stay("nginx | pkg.installed", "web", ("web1", "web2")),)
    assert found.unknown == {
        "web3": "the preview cannot compile it: after: bad sls",
        "web4": "the preview cannot compile it: before: b",
        "web9": "the fleet has no record of it",
    }
    assert stays_from_dict(found.as_dict()) == found
    assert found.of(["web2"]).states[0].minions == ("web2",)
    assert found.of(["web9"]) == Stays("f" * 40, (), {"web9": "the fleet has no record of it"})
    for data in ({}, {"states": 1}, {"states": [], "unknown": []}, {"states": [1], "unknown": {}}):
        assert stays_from_dict(data) is None
