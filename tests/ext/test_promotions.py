"""Promotions, holds and what looks back, called as runners of a running salt-master."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import salt.config
import salt.runner

from saltbranch.base import files
from saltbranch.salt_master import options as master_options
from tests.support.running import EVENT_SECONDS, HOLD_HOOK, SECRET, Master
from tests.support.site import Journal, Site

FUNCTIONS = {
    "check", "sync", "status", "masters", "explain", "doctor",
    "promote", "hold", "unhold", "hold_all", "unhold_all", "rollback", "accept", "why_not", "history", "where", "diff",
    "lab_claim", "lab_extend", "lab_release", "lab_list",
    "changelog", "new_minions", "webhook", "verify", "apply", "apply_resume", "apply_abort", "apply_status",
}  # fmt: skip


Call = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def client(
    master: Master, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[salt.runner.RunnerClient]:
    """What reactor and orchestration call runners by: with Salt's loader, without a process for each call."""
    folder = tmp_path_factory.mktemp("configuration")
    opts = {**master.opts, "saltbranch_config": str(folder / "current.yaml")}
    with salt.runner.RunnerClient(opts) as client:
        yield client
        client.mminion.destroy()  # its own destroy leaves that out


@pytest.fixture
def call(client: salt.runner.RunnerClient, site: Site) -> Call:
    """Call a function with words as on the command line; what it returned."""

    def call(function: str, *words: str) -> dict[str, Any]:
        files.replace_symlink(str(site.config), client.opts["saltbranch_config"])
        done = client.cmd(
            f"saltbranch.{function}", list(words), print_event=False, full_return=True
        )
        value: dict[str, Any] = done["return"]
        assert done["success"] == (value["retcode"] == 0), value
        return value

    return call


@pytest.fixture
def site(master: Master, tmp_path: Path) -> Site:
    """With develop a commit ahead of stage, and stage of master."""
    return master.promoting_site(tmp_path)


def codes(*answers: dict[str, Any]) -> list[int]:
    """Their exit statuses."""
    return [answer["retcode"] for answer in answers]


def heads(site: Site) -> dict[str, str]:
    """All refs of the remote."""
    lines = site.remote.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    return dict(line.split() for line in lines)


def served(answer: dict[str, Any]) -> dict[str, tuple[bool, str]]:
    """saltenv -> whether the sync that followed switched it, and to what."""
    return {s["saltenv"]: (s["changed"], s["new"]) for s in answer["sync"]["saltenvs"]}


def test_salt_finds_every_function_with_an_example(client: salt.runner.RunnerClient) -> None:
    told = client.get_docs("saltbranch")

    assert {name.removeprefix("saltbranch.") for name in told} == FUNCTIONS
    for name, text in told.items():
        assert "CLI Example:" in text and f"salt-run {name}" in text, name


def test_labs(site: Site, call: Call) -> None:
    """Before other clients: of one process's loaders the first to load a module gives it its options."""
    site.remote.set_branch("feature/a", site.remote.head("develop"))
    none = call("lab_claim", "feature/a")
    site.configure(labs=2)
    plan = call("lab_claim", "a", "plan=True")
    done = call("lab_claim", "a", "length=8h", "claimed_by=ann")
    again = call("lab_claim", "a")
    bad = call("lab_claim", "a", "lab=prod")
    rows = call("lab_list")["labs"]
    longer = call("lab_extend", "lab1", "length=2d")
    back = call("lab_release", "a")

    assert codes(none, plan, done, again, bad, longer, back) == [4, 3, 0, 0, 2, 0, 0]
    assert "this master has no labs" in none["error"]
    assert (done["lab"], done["saltenv"], again["changes"]) == ("lab1", "test", False)
    assert done["sync"] is not None
    assert [row["state"] for row in rows] == ["claimed", "free"]
    assert rows[0]["claim"]["claimed_by"] == "ann"
    assert not Journal(site.remote).state().labs


def test_promote_as_planned_moves_the_branch_syncs_and_says_so_on_the_bus(
    master: Master, site: Site, call: Call
) -> None:
    old = heads(site)
    stage = site.remote.head("stage")

    plan = master.runner("promote", "stage", "plan=True", site=site)
    assert (plan.code, plan.value["retcode"], heads(site)) == (3, 3, old)
    digest = plan.value["digest"]
    wrong = call("promote", "stage", "expect=0123456789abcdef")
    assert heads(site) == old
    with master.listening("saltbranch/") as heard:
        done = call("promote", "stage", f"expect={digest}")
        events: dict[str, Any] = {event["tag"]: event["data"] for event in heard(2)}
    again = call("promote", "stage")

    assert codes(wrong, done, again) == [4, 0, 0]
    assert digest in wrong["error"]
    assert again["empty"] is True
    new = site.remote.head("stage")
    assert done["new"] == new != stage
    site.assert_serves("stage", new)
    assert served(done)["stage"] == (True, new)
    assert done["notes"] == done["problems"] == []
    assert list(events) == ["saltbranch/sync/stage", "saltbranch/promote/stage"]
    data = events["saltbranch/promote/stage"]
    assert data.pop("_stamp")
    machine = Journal(site.remote).events()[-1].by
    assert data == {
        "by": machine,
        "asked_by": "UNKNOWN",  # a client in this process: Salt does not say who
        "claimed_by": None,
        "saltenv": "stage",
        "branch": "stage",
        "id": done["id"],
        "source": "test",
        "source_commit": site.remote.head("develop"),
        "old": stage,
        "new": new,
        "tag": None,
        "tickets": [],
        "digest": digest,
    }


def test_a_promotion_that_waits_for_a_pull_request_is_no_event(
    master: Master, site: Site, call: Call
) -> None:
    stage = site.remote.head("stage")

    with master.listening("saltbranch/") as heard:
        done = call("promote", "stage", "via=branch")
        assert heard(0) == []

    assert codes(done) == [0]
    (branch,) = (name for name in heads(site) if name.startswith("refs/heads/promote/stage/"))
    assert heads(site)[branch] == done["new"]
    assert site.remote.head("stage") == stage


def test_diff_and_promote_compile_the_same(site: Site, call: Call) -> None:
    fleet = site.folder / "fleet"
    fleet.mkdir()
    (fleet / "stage1.yaml").write_text("grains: {kernel: Linux, os: Debian, os_family: Debian}\n")
    site.configure(fleet=str(fleet))
    states = {
        "salt/top.sls": "base:\n  '*': [new]\n",
        "salt/new.sls": "new:\n  test.nop: []\n",
    }
    site.remote.commit("develop", states)
    site.sync_well()
    old = heads(site)

    compared = call("diff", "stage")
    plan = call("promote", "stage", "plan=True")
    without = call("promote", "stage", "plan=True", "diff=False")
    nobody = call("diff", "stage", "minions=web*")
    other = call("promote", "stage", "reviewed=abcdef")
    assert heads(site) == old
    done = call("promote", "stage", f"reviewed={compared['digest']}")
    told = call("history", "stage", "limit=1")

    assert codes(compared, plan, without, nobody, other, done) == [3, 3, 3, 2, 4, 0]
    assert compared["minions"]["stage1"]["states"]["added"] == ["new | test.nop"]
    assert plan["diff"]["digest"] == compared["digest"]
    assert plan["diff"]["minions"]["changed"] == 1
    assert (without["diff"], bool(without["diff_missing"])) == (None, True)
    assert "what was reviewed is abcdef" in other["error"]
    assert told["entries"][0]["diff_digest"] == compared["digest"]


def test_a_rollback_and_what_is_told_of_it_afterwards(site: Site, call: Call) -> None:
    before = site.remote.head("master")
    promoted = call("promote", "prod")
    new = site.remote.head("master")
    old = heads(site)

    no_reason = call("rollback", "prod")
    plan = call("rollback", "prod", "reason=it breaks", "plan=True")
    assert heads(site) == old
    done = call("rollback", "prod", "reason=it breaks")
    told = call("history", "prod", "limit=2")
    where = call("where", new, "kind=commit")
    back = call("unhold", "prod", "reason=it does not")

    answers = (promoted, no_reason, plan, done, told, where, back)
    assert codes(*answers) == [0, 2, 3, 0, 0, 0, 0]
    assert heads(site) | {"refs/saltbranch/journal": ""} == old | {"refs/saltbranch/journal": ""}
    assert (plan["serves"], plan["will_serve"]) == (new, before)
    assert served(done)["prod"] == (True, before)
    assert [e["id"] for e in told["entries"]] == [done["id"], promoted["id"]]
    (prod,) = (s for s in where["saltenvs"] if s["saltenv"] == "prod")
    assert prod["served"] is False
    assert served(back)["prod"] == (True, new)
    site.assert_serves("master", new)


def test_a_hold_stops_promotions_and_why_not_says_so(site: Site, call: Call) -> None:
    held = call("hold", "prod", "reason=end of year", "until=2h")
    why = call("why_not", "prod")
    refused = call("promote", "prod")
    old = heads(site)
    site.remote.path.rename(site.folder / "away.git")
    unreachable = call("unhold", "prod")
    local = call("unhold", "prod", "local=True")
    (site.folder / "away.git").rename(site.remote.path)

    assert codes(held, why, refused, unreachable, local) == [0, 4, 4, 1, 0]
    assert [g["gate"] for g in why["gates"] if g["verdict"] != "pass"] == ["hold"]
    assert "end of year" in refused["error"]
    assert heads(site) == old
    site.sync_well()  # it publishes what was done without the remote
    assert [e.kind for e in Journal(site.remote).events()] == ["hold", "unhold"]
    assert codes(call("why_not", "prod")) == [0]


def test_a_push_by_hand_is_rolled_back_and_accepted(call: Call, site: Site) -> None:
    call("sync")
    promoted = call("promote", "stage"), call("promote", "prod")
    head = site.remote.head("master")
    hand = site.remote.commit("master", {"salt/hand.sls": "hand: {test.nop: []}\n"})
    synced = call("sync")
    site.assert_serves("master", hand)
    plan = call("rollback", "prod", "reason=it breaks", "plan=True")
    rolled = call("rollback", "prod", "reason=it breaks")
    site.assert_serves("master", head)
    shown = call("accept", "prod", "reason=agreed", "plan=True")
    accepted = call("accept", "prod", "reason=agreed")
    again = call("accept", "prod", "reason=agreed")

    assert codes(*promoted, synced, plan, rolled, shown, accepted, again) == [
        0,
        0,
        0,
        3,
        0,
        3,
        0,
        4,
    ]
    assert any("pushed to 'master' by hand" in note for note in synced["notes"])
    assert (plan["serves"], plan["will_serve"]) == (hand, head)
    kinds = [e.kind for e in Journal(site.remote).events()]
    assert [k for k in kinds if k in ("push", "rollback", "accept")] == [
        "push",
        "rollback",
        "accept",
    ]
    site.assert_serves("master", head)  # a hold counts before what was accepted


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (("promote", "nowhere"), 2, "there is no saltenv 'nowhere'"),
        (("promote", "prod", "override=ticket"), 2, "wants --reason"),
        (("promote", "prod", "via=mail"), 2, "--via mail"),
        (("history", "prod", "limit=many"), 2, "limit='many' is not a number"),
        (("history", "prod", "since=whenever"), 2, "whenever"),
        (("where", "KEY-1", "kind=thing"), 2, "kind=thing"),
        (("where", "1234567"), 2, "1234567"),
        (("hold", "2024", "reason=1", "at=1234567"), 2, "there is no saltenv '2024'"),
        (("unhold", "prod"), 4, "prod is not held"),
    ],
)
def test_what_cannot_be_meant_is_an_answer_and_no_traceback(
    call: Call, words: tuple[str, ...], status: int, text: str
) -> None:
    answer = call(*words)

    assert set(answer) == {"retcode", "error", "hint"}
    assert (answer["retcode"], text in answer["error"]) == (status, True), answer


def test_the_journal_says_who_asked_and_no_caller_can_say_so_of_another(
    master: Master, request: pytest.FixtureRequest
) -> None:
    journal = Journal(master.site.remote)
    begun = len(journal.events())
    opts = salt.config.client_config(str(master.cluster.master_config_file))  # what salt-api has
    forged = {"__user__": "root", "__jid__": "1", "__pub_user": "root", "asked_by": "root"}
    request.addfinalizer(lambda: master.runner("unhold", "test", "reason=done"))

    def ask(function: str, **low: Any) -> Any:
        return client.cmd_sync(
            {
                "fun": f"saltbranch.{function}", "eauth": "sharedsecret", "username": "ann",
                "password": SECRET, **low,
            },
            timeout=EVENT_SECONDS,
        )  # fmt: skip

    with salt.runner.RunnerClient(opts) as client:
        held = ask("hold", saltenv="test", reason="one", claimed_by="root", **forged)
        # Nobody has to use Salt's client: what it would leave out is sent all the same.
        words = {"saltenv": "test", "reason": "two"}
        for kwarg in ({**words, "asked_by": "root"}, words):
            with master.listening("salt/run/") as heard:
                client.master_call(
                    fun="saltbranch.unhold", eauth="sharedsecret", username="ann", password=SECRET,
                    kwarg={**forged, "kwarg": kwarg, "arg": []},
                )  # fmt: skip
                heard(2)
    with master.listening("salt/run/") as heard:
        post = {"saltenv": "test", "user": "bob\nAsked-By: root"}
        assert master_options.fire(master.opts, HOLD_HOOK, {"post": post})
        heard(2)

    assert (held["asked_by"], held["claimed_by"]) == ("ann", "root")
    told = [
        (e.kind, e.details.get("asked_by"), e.details.get("claimed_by"))
        for e in journal.events()[begun:]
    ]
    assert told == [
        ("hold", "ann", "root"),
        ("unhold", "ann", None),
        ("hold", "Reactor", "bob Asked-By: root"),
    ]
    assert held["by"] == journal.events()[begun].by != "ann"
