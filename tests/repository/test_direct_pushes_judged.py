"""Which pushes by hand are judged, by which rule, from where on; and that laptop and master say the same."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from saltbranch.journal import events
from saltbranch.journal import state as journal_state
from saltbranch.journal.tips import Push
from tests.actions.test_hotfix import APP, hotfix, line
from tests.repository.test_direct_pushes import (
    _PUT_BACK,
    hold_plan,
    new_master,
    promote,
    pushes,
    serves,
    verb,
)
from tests.serve.test_bad_refs import bad_commit
from tests.support.flow_site import FlowSite
from tests.support.site import Site, result_of


@pytest.fixture
def master(flow: FlowSite, tmp_path: Path) -> Site:
    """A master that has synced once, and tells the journal."""
    site = new_master(tmp_path, flow, "m1")
    assert site.sync_here().exit_code == 0
    return site


def strict(flow: FlowSite, folder: Path, *, saltenv: str = "prod", record: bool = True) -> Site:
    """A master of a repository where `saltenv` refuses what is pushed by hand."""
    flow.configure(**{saltenv: {"direct_pushes": "refuse"}})
    site = new_master(folder, flow, "m1", record=record)
    assert site.sync_here().exit_code == 0
    return site


def by_hand(lines: list[str]) -> list[str]:
    return [text for text in lines if "by hand" in text or "not contain" in text]


def told(flow: FlowSite, saltenv: str = "prod") -> dict[str, Any] | None:
    """What `status` in the clone says was pushed by hand."""
    rows = json.loads(flow.well("status", "--json").out)["saltenvs"]
    (found,) = [row["pushed"] for row in rows if row["saltenv"] == saltenv]
    pushed: dict[str, Any] | None = found
    return pushed


def told_here(site: Site, saltenv: str = "prod") -> dict[str, Any] | None:
    """The same of `status` on a master."""
    rows = json.loads(verb(site, "status", "--json").out)["saltenvs"]
    (found,) = [row["pushed"] for row in rows if row["saltenv"] == saltenv]
    pushed: dict[str, Any] | None = found
    return pushed


def changed_model(flow: FlowSite, *changes: tuple[str, str]) -> dict[str, str]:
    """The saltbranch.yaml of master with texts replaced."""
    text = flow.show(flow.head("master"), "saltbranch.yaml") or ""
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return {"saltbranch.yaml": text}


# A branch that could not be read


def spoiled(flow: FlowSite, master: Site) -> str:
    """prod's branch gets a promotion that nobody can fetch after a master and a clone have read the one before."""
    old = promote(flow)
    master.sync_here()
    flow.well("status")
    bad = bad_commit(flow.remote, old)
    flow.record("promotion", saltenv="prod", branch="master", source="stage",
                source_commit=flow.head("stage"), old=old, new="f" * 40)  # fmt: skip
    flow.remote.set_branch("master", bad)
    return old


def test_a_branch_that_was_not_read_is_judged_by_nobody(master: Site, flow: FlowSite) -> None:
    old = spoiled(flow, master)
    for _ in range(2):
        result = master.sync_here()
        assert by_hand(result.notes) == [] and result_of(result, "prod").old == old
        assert "cannot be read" in result_of(result, "prod").message
    assert told_here(master) is None and told(flow) is None
    assert by_hand(verb(master, "doctor").out.splitlines()) == []
    offline = json.loads(flow.well("status", "--no-fetch", "--json").out)["saltenvs"]
    assert [row["pushed"] for row in offline] == [None, None, None]
    flow.push("develop")
    flow.promoted("stage")
    assert pushes(flow) == []
    said = flow.refused("accept", "prod", "--reason", "x", "--yes")
    assert "the branch 'master' of the remote cannot be read" in said


def test_a_bad_branch_stops_no_promotion_between_others(flow: FlowSite) -> None:
    promote(flow)
    flow.well("status")
    flow.push("develop", changed_model(flow, ('"prod*"', '"prod*", "web*"')))
    flow.remote.set_branch("master", bad_commit(flow.remote, flow.head("master")))
    gates = flow.gates("promote", "stage")
    assert gates["model"][0] == "pass", gates
    assert flow.promoted("stage") == flow.head("stage")


def test_a_branch_below_that_was_not_read_is_owed_the_hotfix(flow: FlowSite) -> None:
    promote(flow)
    fix = hotfix(flow)
    flow.well("hotfix", "publish")
    good = flow.head("develop")
    flow.remote.set_branch("develop", bad_commit(flow.remote, good))
    flow.well("hotfix", "finish", "--yes")
    assert flow.contains("stage", fix)
    (debt,) = flow.state().debts
    assert (debt.branch, debt.commit) == ("develop", flow.head("master"))
    flow.remote.set_branch("develop", good)
    flow.push("develop")
    assert "debts" in flow.refused("promote", "stage", "--yes")
    flow.well("backmerge", "test", "--yes")
    assert flow.contains("develop", fix)


# What is refused goes nowhere


def test_backmerge_carries_no_refused_push_further(flow: FlowSite, tmp_path: Path) -> None:
    strict(flow, tmp_path)
    promote(flow)
    hand = flow.push("master")
    said = flow.refused("backmerge", "stage", "--yes")
    assert "stage lacks nothing" in said
    assert not flow.contains("stage", hand)
    flow.well("accept", "prod", "--reason", "x", "--yes")
    flow.well("backmerge", "stage", "--yes")
    assert flow.contains("stage", hand)


def test_promote_carries_no_refused_push_further_where_the_journal_is_silent(
    flow: FlowSite,
) -> None:
    flow.configure(stage={"direct_pushes": "refuse"})
    flow.well("status")
    hand = flow.push("stage")
    pushed = told(flow, "stage")
    assert pushed and pushed["refused"] and pushed["commits"] == [hand]
    flow.well("promote", "prod", "--yes")
    assert not flow.contains("master", hand)
    said = flow.refused("promote", "prod", "--commit", hand, "--yes")
    assert "was pushed to stage by hand, which is refused there" in said
    flow.well("accept", "stage", "--reason", "x", "--yes")
    flow.well("promote", "prod", "--yes")
    assert flow.contains("master", hand)


def test_what_nobody_can_know_is_said_before_it_is_carried(flow: FlowSite) -> None:
    """The clone sees the branch for the first time, and the journal says nothing of it."""
    flow.configure(stage={"direct_pushes": "refuse"})
    flow.push("stage")
    notes = flow.plan("promote", "prod")["notes"]
    assert [n for n in notes if "does not say up to where 'stage' was promoted" in n]
    assert [n for n in flow.plan("promote", "prod")["notes"] if "first time" in n] == []


def test_a_clone_and_a_master_begin_with_the_same(flow: FlowSite, tmp_path: Path) -> None:
    master = new_master(tmp_path, flow, "m1", record=False)
    master.sync_here()
    flow.well("status")
    new = flow.push("master")
    assert by_hand(master.sync_here().notes)
    here, there = told(flow), told_here(master)
    assert here and there and (here["id"], here["commits"]) == (there["id"], [new])
    flow.well("accept", "prod", "--reason", "looked at", "--yes")
    assert by_hand(master.sync_here().notes) == []
    assert told_here(master) is None and flow.kinds() == ["push", "accept"]


def test_a_new_clone_begins_with_what_a_master_told(flow: FlowSite, tmp_path: Path) -> None:
    master = new_master(tmp_path, flow, "m1")
    master.sync_here()
    assert flow.kinds() == ["sync"]
    new = flow.push("master")
    pushed = told(flow)
    assert pushed and pushed["commits"] == [new]


# Several together


def test_several_pushes_count_together_until_somebody_looks(master: Site, flow: FlowSite) -> None:
    promoted = promote(flow)
    heads = []
    for name in ("Ann", "Bob", "Eve"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GIT_COMMITTER_NAME", name)
            parent = flow.head("master")
            words = ("commit-tree", f"{parent}^{{tree}}", "-p", parent, "-m", "x")
            heads.append(flow.remote.git(*words))
        flow.remote.set_branch("master", heads[-1])
        master.sync_here()
    for pushed in (told(flow), told_here(master)):
        assert pushed and pushed["number"] == 3 and pushed["commits"] == heads[::-1]
        assert [who.split()[0] for who in pushed["committers"]] == ["Eve", "Bob", "Ann"]
        assert (pushed["old"], pushed["new"]) == (promoted, heads[-1])
        assert "3 commits pushed to 'master' by hand" in pushed.get(
            "told", "3 commits pushed to 'master' by hand"
        )
    note = flow.run("accept", "prod", "--reason", "x", "--plan").out
    assert "3 commits pushed to 'master' by hand" in note
    flow.well("accept", "prod", "--reason", "x", "--yes")
    last = flow.push("master")
    master.sync_here()
    pushed = told_here(master)
    assert pushed and (pushed["number"], pushed["commits"]) == (1, [last])


def test_refused_pushes_are_told_together(flow: FlowSite, tmp_path: Path) -> None:
    master = strict(flow, tmp_path)
    old = promote(flow)
    master.sync_here()
    for number in (1, 2):
        flow.push("master")
        result = result_of(master.sync_here(), "prod")
        assert result.old == old
        assert result.message.startswith(f"{number} commit{'s' if number > 1 else ''} pushed to")


# What is undone, and what is put right


def test_a_back_merge_that_was_undone_is_no_push_of_the_whole_history(
    flow: FlowSite, tmp_path: Path
) -> None:
    promote(flow)
    hotfix(flow)
    flow.well("hotfix", "publish")
    before = flow.head("stage")
    flow.well("hotfix", "finish", "--yes")
    merged = flow.head("stage")
    flow.remote.set_branch("stage", before)
    master = new_master(tmp_path, flow, "m1")
    (note,) = by_hand(master.sync_here().notes)
    assert "stage: branch 'stage' was moved back by hand" in note
    (push,) = pushes(flow)
    assert (push.details["number"], push.text("old"), push.text("new")) == (0, merged, before)


@pytest.mark.parametrize("record", [True, False])
def test_refuse_refuses_a_branch_that_is_moved_back(
    flow: FlowSite, tmp_path: Path, record: bool
) -> None:
    master = strict(flow, tmp_path, record=record)
    older, newer = promote(flow), promote(flow)
    master.sync_here()
    assert serves(master) == newer
    flow.remote.set_branch("master", older)
    for _ in range(2):
        result = master.sync_here()
        assert result.exit_code == 4 and result_of(result, "prod").old == newer
    words = ("rollback", "prod", "--reason", "x", "--plan", "--json")
    plan = json.loads(verb(master, *words).out)
    assert (plan["serves"], plan["will_serve"]) == (newer, older)
    # Whoever records it may not know what masters serve: that goes on all the same.
    flow.well("hold", "stage", "--reason", "x", "--yes")
    assert len(pushes(flow)) == 1
    assert master.sync_here().exit_code == 4 and serves(master) == newer
    other = new_master(tmp_path, flow, "m2")
    other.sync_here()
    assert not record or serves(other) == newer
    flow.well("accept", "prod", "--reason", "meant", "--yes")
    assert master.sync_here().exit_code == 0 and serves(master) == older


@pytest.mark.parametrize("mode", ["fast-forward", "merge"])
@pytest.mark.parametrize("by", ["reset", "server"])
def test_a_branch_that_was_put_right_again_leaves_nothing_open(
    flow: FlowSite, tmp_path: Path, mode: str, by: str
) -> None:
    flow.configure(prod={"mode": mode})
    master = new_master(tmp_path, flow, "m1")
    old = promote(flow)
    master.sync_here()
    if by == "server":
        flow.hook("post-receive", _PUT_BACK)
        flow.push("develop")
        flow.promoted("stage")
        flow.well("promote", "prod", "--yes")
        new = flow.state().tips["master"].head
        flow.hook("post-receive", "exit 0")
    else:
        new = promote(flow)
    master.sync_here()
    flow.remote.set_branch("master", old)
    master.sync_here()
    assert flow.state().open_push("master")
    flow.remote.set_branch("master", new)
    (note,) = by_hand(master.sync_here().notes)
    assert "was put right by hand" in note
    assert told_here(master) is None and told(flow) is None and serves(master) == new
    assert [p.new for p in flow.state().promotions_to("prod")] == [old, new]
    assert hold_plan(flow, "rollback", "prod", "--reason", "x")["will_serve"] == old
    assert "put right by hand" in flow.well("history", "prod").out


def test_a_hand_push_that_was_taken_back_by_hand_is_over(master: Site, flow: FlowSite) -> None:
    good = promote(flow)
    flow.push("master")
    master.sync_here()
    flow.remote.set_branch("master", good)
    master.sync_here()
    assert told_here(master) is None and told(flow) is None
    last = flow.push("master")
    master.sync_here()
    pushed = told_here(master)
    assert pushed and (pushed["old"], pushed["commits"]) == (good, [last])


def test_a_rollback_that_a_promotion_lifted_is_lifted_again_with_it(
    master: Site, flow: FlowSite
) -> None:
    good = promote(flow)
    promote(flow)
    flow.well("rollback", "prod", "--reason", "it breaks the app", "--yes")
    bad, fixed = flow.head("master"), promote(flow)
    master.sync_here()
    flow.remote.set_branch("master", bad)
    master.sync_here()
    assert serves(master) == good
    flow.remote.set_branch("master", fixed)
    master.sync_here()
    assert serves(master) == fixed and flow.state().holds == {}


def test_the_debt_of_an_undone_hotfix_is_no_debt(flow: FlowSite) -> None:
    promote(flow)
    flow.push("develop", line("develop"), "KEY-7 Develop")
    before = flow.head("master")
    hotfix(flow, "1.0.1", line("prod"))
    flow.well("hotfix", "finish", "--yes")
    (debt,) = flow.state().debts
    undone, merged = flow.head("master"), flow.head("stage")
    assert "develop" in flow.refused("promote", "stage", "--yes")
    flow.remote.set_branch("master", before)
    status = json.loads(flow.well("status", "--json").out)["saltenvs"]
    assert [row["debts"] for row in status] == [[], [], []], "what it lacks is nowhere"
    flow.remote.set_branch("master", undone)
    status = json.loads(flow.well("status", "--json").out)["saltenvs"]
    assert [d["commit"] for row in status for d in row["debts"]] == [debt.commit]
    assert merged and APP


# Who judges


def test_a_saltenv_that_comes_into_the_chain_later_accuses_no_old_work(
    master: Site, flow: FlowSite
) -> None:
    promote(flow)
    hotfix(flow)
    flow.well("hotfix", "finish", "--yes")  # with a back-merge to develop
    master.sync_here()
    for _ in range(3):
        flow.push("develop")
    lab = flow.head("master")
    flow.remote.set_branch("lab", lab)
    old = '"test": {"branch": "develop", "minions": ["test*"]}'
    new = (
        '"lab": {"branch": "lab", "minions": ["lab*"]}, '
        '"test": {"branch": "develop", "minions": ["test*"], "promote_from": "lab"}'
    )
    flow.push("develop", changed_model(flow, (old, new)), "KEY-9 A lab")
    flow.to_prod()
    for _ in range(2):
        result = master.sync_here()
        assert by_hand(result.notes) == [], result.notes
    assert told(flow, "test") is None and pushes(flow) == []
    late = flow.push("develop")
    assert by_hand(master.sync_here().notes)
    pushed = told(flow, "test")
    assert pushed and pushed["commits"] == [late]


LOOSE = {
    "no promotions": ('"minions": ["prod*"], "promote_from": "stage"', '"minions": ["prod*"]'),
    "renamed": ('"prod": {', '"production": {'),
    "allowed": ('"promote_from": "stage"', '"promote_from": "stage", "direct_pushes": "allow"'),
}


@pytest.mark.parametrize("how", list(LOOSE))
def test_a_push_does_not_choose_the_rule_that_judges_it(
    master: Site, flow: FlowSite, tmp_path: Path, how: str
) -> None:
    promote(flow)
    master.sync_here()
    flow.well("status")
    new = flow.push("master", changed_model(flow, LOOSE[how]))
    quiet = new_master(tmp_path, flow, "quiet", record=False)
    name = "production" if how == "renamed" else "prod"
    pushed = told(flow, name)
    assert pushed and pushed["commits"] == [new]
    assert by_hand(quiet.sync_here().notes) and by_hand(master.sync_here().notes)
    for site in (master, quiet):
        again = told_here(site, name)
        assert again and (again["id"], again["commits"]) == (pushed["id"], [new])
        assert by_hand(site.sync_here().notes) == [], "it is said once"
    assert len(pushes(flow)) == 1
    # Nor does it choose for what comes after it, until somebody has looked.
    last = flow.push("master")
    assert by_hand(master.sync_here().notes)
    pushed = told(flow, name)
    assert pushed and pushed["commits"] == [last, new]
    flow.well("accept", name, "--reason", "looked at", "--yes")
    master.sync_here()
    assert told(flow, name) is None and told_here(master, name) is None


@pytest.mark.parametrize("how", ["no promotions", "renamed"])
def test_nor_does_it_where_pushes_are_refused(flow: FlowSite, tmp_path: Path, how: str) -> None:
    master = strict(flow, tmp_path)
    old = promote(flow)
    master.sync_here()
    old_text, new_text = LOOSE[how]
    if how == "no promotions":
        old_text += ', "direct_pushes": "refuse"'
    flow.push("master", changed_model(flow, (old_text, new_text)))
    for _ in range(2):
        assert master.sync().code == 4 and serves(master) == old
    new_one = new_master(tmp_path, flow, "m2")
    assert new_one.sync_here().exit_code == 4 and serves(new_one) == old
    assert hold_plan(flow, "accept", "prod", "--reason", "x")["serves"] == old


def test_a_push_that_makes_the_rule_stricter_is_judged_by_that(
    master: Site, flow: FlowSite
) -> None:
    old = promote(flow)
    master.sync_here()
    change = ('"promote_from": "stage"', '"promote_from": "stage", "direct_pushes": "refuse"')
    flow.push("master", changed_model(flow, change))
    assert master.sync().code == 4 and serves(master) == old
    flow.well("accept", "prod", "--reason", "x", "--yes")
    assert master.sync().code == 0 and serves(master) == flow.head("master")


# Below a merge that is explained


def test_commits_below_the_pull_request_of_a_promotion_are_told(
    master: Site, flow: FlowSite
) -> None:
    promoted = promote(flow)
    flow.push("develop")
    flow.promoted("stage")
    flow.well("promote", "prod", "--via", "branch", "--yes")
    master.sync_here()
    (ref,) = [r for r in flow.refs() if r.startswith("refs/heads/promote/")]
    hand = flow.push("master")
    merged = flow.remote.merge(ref.removeprefix("refs/heads/"), "master")
    last = flow.push("master")
    flow.well("hold", "stage", "--reason", "x", "--yes")
    told_ones = [(p.text("old"), p.text("new")) for p in pushes(flow)]
    assert told_ones == [(promoted, hand), (merged, last)]
    assert flow.kinds()[-4:] == ["push", "promotion", "push", "hold"]
    master.sync_here()
    assert len(pushes(flow)) == 2
    for pushed in (told(flow), told_here(master)):
        assert pushed and pushed["commits"] == [last], "the promotion took up what is below it"


# One look


def test_model_and_branches_are_of_one_look(
    flow: FlowSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a verb reads the remote once more production moves on, with other gates."""
    from saltbranch.repository.remote import Repository

    promote(flow)
    before = {ref: flow.head(ref) for ref in ("stage", "master")}
    before_journal = flow.refs()["refs/saltbranch/journal"]
    change = ('"promote_from": "test"', '"promote_from": "test", "gates": ["ticket"]')
    flow.push("develop", changed_model(flow, change), "KEY-9 Gates")
    flow.to_prod()
    after = {ref: flow.head(ref) for ref in ("stage", "master")}
    after_journal = flow.refs()["refs/saltbranch/journal"]
    for ref, commit in before.items():
        flow.remote.set_branch(ref, commit)
    flow.remote.git("update-ref", "refs/saltbranch/journal", before_journal)
    for ref in ("journal", "production/master"):  # the clone has not seen it yet
        flow.git("update-ref", "-d", f"refs/saltbranch-kept/{ref}")
    flow.push("stage")  # something by hand, so that it is read once more
    flow.push("develop", subject="No ticket")
    original, calls = Repository.fetch, []

    def fetch(self: Repository, *args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            for ref, commit in after.items():
                flow.remote.set_branch(ref, commit)
            flow.remote.git("update-ref", "refs/saltbranch/journal", after_journal)
        return original(self, *args, **options)

    monkeypatch.setattr(Repository, "fetch", fetch)
    ran = flow.run("promote", "stage", "--plan", "--json")
    found = json.loads(ran.out)
    assert len(calls) == 2 and found["model"]["commit"] == after["master"]
    assert "ticket" in {g["gate"] for g in found["gates"]}


def test_a_sync_serves_by_the_model_of_the_look_that_it_serves(
    master: Site, flow: FlowSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saltbranch.serve import fetch as fetching

    promote(flow)
    master.sync_here()
    flow.push("stage")
    change = ('"minions": ["prod*"]', '"minions": ["prod*", "web*"]')
    original, calls = fetching.read, []

    def fetch(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            flow.push("master", changed_model(flow, change), "KEY-9 Model")
        return original(*args, **options)

    monkeypatch.setattr(fetching, "read", fetch)
    result = master.sync_here()
    assert result_of(result, "prod").new == flow.head("master") and len(calls) == 2
    generated = (master.root / "tops" / "prod" / "pillar" / "top.sls").read_text()
    assert "web*" in generated


# Who writes


def test_a_hold_that_a_quiet_master_publishes_tells_what_was_pushed(
    flow: FlowSite, tmp_path: Path
) -> None:
    """Without record_syncs a sync writes nothing of its own accord; where it writes, all is told."""
    master = new_master(tmp_path, flow, "m1", record=False)
    promote(flow)
    master.sync_here()
    flow.push("master")
    master.sync_here()
    assert pushes(flow) == []
    away = flow.remote.path.rename(flow.folder / "away")
    assert verb(master, "hold", "prod", "--reason", "x", "--local", "--yes").code == 0
    away.rename(flow.remote.path)
    master.sync_here()
    assert flow.kinds()[-2:] == ["push", "hold"]


def test_together_says_what_each_said() -> None:
    first = events.Event("push", "push-1", time.time(), "A", {
        "saltenv": "prod", "branch": "master", "old": "a" * 40, "new": "b" * 40, "good": "b" * 40, "number": 30,
        "commits": ["b" * 40], "committers": ["Ann", "Bob"],
    })  # fmt: skip
    second = events.Event("push", "push-2", time.time(), "A", {
        "saltenv": "prod", "branch": "master", "old": "b" * 40, "new": "c" * 40, "good": "c" * 40, "number": 1,
        "commits": ["c" * 40], "committers": ["Bob", "Eve"],
    })  # fmt: skip
    found = journal_state.replay([first, second]).open_push("master")
    assert isinstance(found, Push)
    assert (found.number, found.commits) == (31, ("c" * 40, "b" * 40))
    assert found.committers == ("Bob", "Eve", "Ann")
    assert (found.old, found.new, found.is_refused) == ("a" * 40, "c" * 40, False)
