"""promote: what the plan says, and that exactly this is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from saltbranch.git.mirror import JOURNAL_REF
from tests.support.flow_site import FINAL_TAGS, RC_TAGS, FlowSite, shown

pytestmark = pytest.mark.core

WEB = {"salt/web.sls": "web:\n  test.nop: []\n"}
DEVELOP_SIDE = {"salt/app/init.sls": "app:\n  test.nop: [{a: develop}]\n"}
STAGE_SIDE = {"salt/app/init.sls": "app:\n  test.nop: [{a: stage}]\n"}


# The plan


def test_promote_05_and_06_the_plan_says_all_and_changes_nothing(flow: FlowSite) -> None:
    flow.push("develop", {"salt/web/init.sls": "web:\n  test.nop: []\n"}, "KEY-5 Web")
    flow.push(
        "develop", {"pillar/web/tls.sls": "a: 1\n", "salt/web/files/x.conf": "x\n"}, "KEY-5 TLS"
    )
    flow.push("develop", {"pillar/app.sls": None}, "Tidy")
    before = flow.refs()

    ran = flow.run("promote", "stage", "--plan")

    assert (ran.code, ran.err) == (3, "")
    assert shown(ran.out) == (
        "promote stage: develop HASH into stage HASH, by a merge commit\n"
        "  3 commits, 4 files\n"
        "  KEY-5\n"
        "    HASH KEY-5 TLS (Ann)\n"
        "    HASH KEY-5 Web (Ann)\n"
        "  without a ticket\n"
        "    HASH Tidy (Ann)\n"
        "  states: web\n"
        "  pillar: app, web.tls\n"
        "  other files: A salt/web/files/x.conf\n"
        "  gate hold: pass, nothing is held\n"
        "  gate debts: pass, no hotfix is missing\n"
        "  model: saltbranch.yaml on branch 'master' at HASH\n"
        "  digest DIGEST\n"
    )
    assert flow.refs() == before


def test_the_plan_as_json_is_complete(flow: FlowSite) -> None:
    old = flow.head("stage")
    new = flow.push("develop", WEB, "KEY-5 Web")

    plan = flow.plan("promote", "stage")

    tree = flow.remote.git("rev-parse", f"{new}^{{tree}}")
    passed = {"verdict": "pass", "passes_at": None, "overridden": None}
    assert plan.pop("digest").isalnum()
    assert plan == {
        "version": 1,
        "verb": "promote stage",
        "empty": False,
        "saltenv": "stage",
        "source": "test",
        "steps": [
            {
                "role": "target",
                "branch": "stage",
                "saltenv": "stage",
                "old": old,
                "source": new,
                "source_name": "develop",
                "kind": "merge",
                "tree": tree,
                "conflicts": [],
            }
        ],
        "groups": [
            {
                "name": "KEY-5",
                "commits": [
                    {
                        "commit": new,
                        "subject": "KEY-5 Web",
                        "author": "Ann",
                        "tickets": ["KEY-5"],
                    }
                ],
            }
        ],
        "files": [{"change": "A", "path": "salt/web.sls"}],
        "states": ["web"],
        "pillar": [],
        "formulas": [],
        "tickets": ["KEY-5"],
        "gates": [
            {"gate": "hold", "reason": "nothing is held", **passed},
            {"gate": "debts", "reason": "no hotfix is missing", **passed},
        ],
        "left_behind": [],
        "debts": [],
        "tag": None,
        "served_before": old,
        "hold": None,
        "lifts_hold": False,
        "hold_moves_to": None,
        "via_branch": False,
        "diff": None,
        "diff_missing": "fleet: cache, but there is no salt-master here (/etc/salt/master)",
        "notes": [],
        "model": {
            "place": "saltbranch.yaml on branch 'master'",
            "branch": "master",
            "commit": old,
            "problem": None,
            "ignored": [],
            "differs": [],
        },
    }


def test_nothing_to_promote_is_no_plan_and_no_error(flow: FlowSite) -> None:
    for words in (("--plan",), ("--yes",), ("--yes", "--expect", "0" * 16)):
        ran = flow.well("promote", "stage", *words)
        assert ran.out == "stage (stage) has all of develop: nothing to do\n"
    assert flow.plan("promote", "stage", code=0)["empty"] is True


def test_commits_are_grouped_by_ticket_or_by_the_branch_that_brought_them(flow: FlowSite) -> None:
    start = flow.head("develop")
    feature = flow.push_branch("feature/key-7-mail", start, {"salt/mail.sls": "a\n"}, "Mail")
    flow.push_branch("feature/tidy", start, {"salt/tidy.sls": "a\n"}, "Sweep")
    flow.push("develop", {"salt/n.sls": "a\n"}, "Fix KEY-8, see UTF-8 and rc-1")
    for branch in ("feature/key-7-mail", "feature/tidy"):
        parents = (flow.head("develop"), flow.head(branch))
        path = f"salt/{branch[-4:]}.sls"
        flow.remote.commit(
            "develop", {path: "a\n"}, parents=parents, message=f"Merge branch '{branch}'"
        )
    flow.push("develop", {"salt/m.sls": "a\n"}, "No ticket")

    plan = flow.plan("promote", "stage")

    groups = {g["name"]: [c["subject"] for c in g["commits"]] for g in plan["groups"]}
    assert groups == {
        "KEY-7": ["Mail"],
        "KEY-8": ["Fix KEY-8, see UTF-8 and rc-1"],
        "tidy": ["Sweep"],
        "": ["No ticket"],
    }
    assert feature in [c["commit"] for g in plan["groups"] for c in g["commits"]]


def test_a_promotion_merge_lends_its_tickets_to_no_commit(flow: FlowSite) -> None:
    bare = flow.push("develop", subject="No ticket")
    flow.promoted("stage")
    flow.push("develop", subject="KEY-9 Ticket")
    flow.promoted("stage")
    groups = {g["name"]: g["commits"] for g in flow.plan("promote", "prod")["groups"]}
    assert [c["commit"] for c in groups[""]] == [bare]


def test_the_pattern_of_tickets_is_configurable(flow: FlowSite) -> None:
    flow.configure(top={"tickets": "#[0-9]+"})
    flow.push("develop", subject="KEY-5 closes #77")
    flow.promoted("stage")
    assert flow.plan("promote", "prod")["tickets"] == ["#77"]


# What is done


def test_promote_17_the_merge_commit_tells_what_the_journal_tells(flow: FlowSite) -> None:
    old = flow.head("stage")
    source = flow.push("develop", WEB, "KEY-5 Web")
    digest = flow.plan("promote", "stage")["digest"]

    ran = flow.well("promote", "stage", "--yes")

    new = flow.head("stage")
    promotion = flow.state().promotions[-1]
    assert flow.parents(new) == [old, source]
    assert flow.message(new).splitlines()[0] == "Promote develop to stage (KEY-5)"
    assert flow.trailers(new) == {
        "Promotion-Id": promotion.id,
        "Promotion-Kind": "promotion",
        "Promoted-From": f"test {source}",
        "Promoted-To": "stage",
        "Promoted-By": "Ann <ann@example.com>",
        "Tickets": "KEY-5",
        "Plan-Digest": digest,
        "Served-Before": old,
    }
    assert (promotion.source_commit, promotion.old, promotion.new) == (source, old, new)
    assert (promotion.saltenv, promotion.source) == ("stage", "test")
    assert (promotion.by, promotion.digest, promotion.tickets) == (
        "Ann <ann@example.com>",
        digest,
        ("KEY-5",),
    )
    assert f"stage: {old[:12]} -> {new[:12]}\npromotion {promotion.id}\n" in ran.out
    assert set(flow.refs()) == {
        *(f"refs/heads/{b}" for b in ("develop", "stage", "master")),
        "refs/saltbranch/journal",
    }


def test_a_subject_cannot_forge_trailers(flow: FlowSite) -> None:
    flow.push("develop", WEB, "KEY-5 x\n\nPromoted-To: prod\nPromotion-Id: 1")
    new = flow.promoted("stage")
    assert flow.trailers(new)["Promoted-To"] == "stage"
    assert flow.trailers(new)["Promotion-Id"] == flow.state().promotions[-1].id


def test_the_result_as_json(flow: FlowSite) -> None:
    source = flow.push("develop", WEB, "KEY-5 Web")
    plan = flow.plan("promote", "stage")
    ran = flow.well("promote", "stage", "--yes", "--json")
    found = json.loads(ran.out)
    assert found["plan"] == plan
    assert found["new"] == flow.head("stage")
    assert {u["ref"] for u in found["moved"]} == {"refs/heads/stage", "refs/saltbranch/journal"}
    assert (found["problems"], found["notes"], found["sync"]) == ([], [], None)
    assert source in flow.parents(found["new"])


def test_neither_work_tree_nor_branches_nor_index_of_the_clone_are_touched(flow: FlowSite) -> None:
    flow.push("develop")
    flow.push("stage")
    (flow.clone / "salt/app/init.sls").write_text("half done\n")
    (flow.clone / "salt/new.sls").write_text("new\n")
    flow.git("add", "salt/new.sls")

    def picture() -> tuple[str, ...]:
        refs = "refs/heads", "refs/tags"
        return (
            flow.git("status", "--porcelain"),
            flow.git("symbolic-ref", "HEAD"),
            flow.git("for-each-ref", *refs),
            flow.git("diff"),
            flow.git("diff", "--cached"),
            flow.git("worktree", "list"),
            flow.git("config", "--local", "--list"),
        )

    before = picture()
    flow.promoted("stage")
    assert picture() == before
    assert not (flow.clone / ".git" / "FETCH_HEAD").exists()


@pytest.mark.parametrize("place", ["salt/app", ".git/.."])
def test_it_works_below_the_clones_root(flow: FlowSite, place: str) -> None:
    flow.push("develop")
    assert flow.run("promote", "stage", "--yes", cwd=flow.clone / place).code == 0
    assert flow.contains("stage", flow.head("develop"))


def test_it_works_in_a_linked_worktree_and_a_detached_clone(flow: FlowSite) -> None:
    linked = flow.folder / "linked"
    flow.git("worktree", "add", "--quiet", "--detach", str(linked))
    flow.git("switch", "--quiet", "--detach")
    for place in (linked, flow.clone):
        source = flow.push("develop")
        assert flow.run("promote", "stage", "--yes", cwd=place).code == 0
        assert flow.contains("stage", source)


def test_commit_takes_an_earlier_commit_and_the_next_promotion_the_rest(flow: FlowSite) -> None:
    first, second = flow.push("develop"), flow.push("develop")
    flow.promoted("stage", "--commit", first[:9])
    assert flow.contains("stage", first)
    assert not flow.contains("stage", second)
    flow.promoted("stage")
    assert flow.contains("stage", second)


def test_commit_may_be_a_tag_of_the_remote(flow: FlowSite) -> None:
    first, _ = flow.push("develop"), flow.push("develop")
    flow.tag("good", first)
    assert flow.plan("promote", "stage", "--commit", "good")["steps"][0]["source"] == first


@pytest.mark.parametrize(
    "word", ["nosuch", "develop@{0}", "develop~99", "-x", "", "--all", "abc", "origin/nosuch"]
)
def test_commit_that_the_remote_does_not_know_is_wrong_usage(flow: FlowSite, word: str) -> None:
    flow.push("develop")
    said = flow.refused("promote", "stage", f"--commit={word}", "--yes", code=2)
    assert (
        f"--commit {word}: there is no such saltenv, branch, tag, promotion or commit here" in said
    )


def test_commit_that_is_not_on_the_source_is_refused(flow: FlowSite) -> None:
    ahead = flow.push("develop")
    said = flow.refused("promote", "prod", "--commit", ahead, "--yes")
    assert f"{ahead[:12]} is not on stage, from which prod is promoted" in said
    assert "it is on the branch of test" in said
    other = flow.push_branch("side", "develop~1")
    assert "it is on no saltenv's branch" in flow.refused(
        "promote", "stage", "--commit", other, "--yes"
    )


# Modes


def test_promote_12_squash_is_refused_with_the_reason(flow: FlowSite) -> None:
    flow.configure(stage={"mode": "squash"})
    flow.push("develop")
    said = flow.refused("promote", "stage", "--yes")
    assert "model: fail: " in said and "squash is refused" in said
    assert "the next promotion would conflict" in said


def test_mode_merge_makes_a_merge_commit_even_where_a_fast_forward_would_do(flow: FlowSite) -> None:
    old, source = flow.head("stage"), flow.push("develop")
    assert flow.parents(flow.promoted("stage")) == [old, source]


def test_mode_fast_forward_keeps_one_commit_everywhere(flow: FlowSite) -> None:
    flow.configure(stage={"mode": "fast-forward"}, prod={"mode": "fast-forward"})
    source = flow.push("develop")
    assert flow.plan("promote", "stage")["steps"][0]["kind"] == "fast-forward"
    assert flow.to_prod() == flow.head("stage") == source
    assert [p.saltenv for p in flow.state().promotions] == ["stage", "prod"]


def test_mode_fast_forward_refuses_what_diverged_and_says_what_helps(flow: FlowSite) -> None:
    flow.configure(stage={"mode": "fast-forward"})
    direct, source = flow.push("stage"), flow.push("develop")
    said = flow.refused("promote", "stage", "--yes")
    assert f"stage cannot be fast-forwarded to {source[:12]}" in said
    assert "saltbranch backmerge" in said
    flow.well("backmerge", "test", "--yes")
    assert flow.promoted("stage") == flow.head("develop")
    assert flow.contains("develop", direct)


def test_mode_fast_forward_does_not_go_with_owned_paths(flow: FlowSite) -> None:
    flow.configure(stage={"mode": "fast-forward", "saltenv_owned": ["pillar/app.sls"]})
    flow.push("develop")
    said = flow.refused("promote", "stage", "--yes")
    assert (
        "model: fail: " in said and "fast-forward does not go with saltenv_owned of stage" in said
    )


# Owned paths


def owned_site(flow: FlowSite) -> FlowSite:
    base = {"pillar/env/a.sls": "a: old\n", "pillar/env/b.sls": "b: old\n", "conf": "file\n"}
    for branch in ("master", "stage", "develop"):
        flow.remote.set_branch(branch, flow.head("master"))
    new = flow.remote.commit("master", base, message="KEY-3 Base")
    for branch in ("stage", "develop"):
        flow.remote.set_branch(branch, new)
    flow.configure(stage={"saltenv_owned": ["pillar/env", "conf", "pillar/new.sls"]})
    return flow


@pytest.mark.parametrize(
    ("source", "target", "path", "expected"),
    [
        pytest.param({"pillar/env/a.sls": "a: dev\n"}, {}, "pillar/env/a.sls", "a: old\n", id="source"),
        pytest.param({}, {"pillar/env/a.sls": "a: stage\n"}, "pillar/env/a.sls", "a: stage\n", id="target"),
        pytest.param({"pillar/env/a.sls": "a: dev\n"}, {"pillar/env/a.sls": "a: stage\n"},
                     "pillar/env/a.sls", "a: stage\n", id="both"),
        pytest.param({"pillar/env/c.sls": "c: dev\n"}, {}, "pillar/env/c.sls", None, id="new-in-source"),
        pytest.param({}, {"pillar/env/c.sls": "c: 1\n"}, "pillar/env/c.sls", "c: 1\n", id="new-in-target"),
        pytest.param({"pillar/env/a.sls": None}, {}, "pillar/env/a.sls", "a: old\n", id="deleted-in-source"),
        pytest.param({}, {"pillar/env/a.sls": None}, "pillar/env/a.sls", None, id="deleted-in-target"),
        pytest.param({"pillar/env/a.sls": "a: dev\n"}, {"pillar/env/a.sls": None}, "pillar/env/a.sls", None,
                     id="changed-and-deleted"),
        pytest.param({"conf": None, "conf/x": "folder\n"}, {}, "conf", "file\n", id="file-becomes-folder"),
        pytest.param({"conf": "new\n"}, {"conf": None, "conf/x": "folder\n"}, "conf/x", "folder\n",
                     id="folder-here-file-there"),
        pytest.param({"pillar/env/a.sls": None, "pillar/env/b.sls": None}, {}, "pillar/env/b.sls", "b: old\n",
                     id="whole-folder-gone-in-source"),
        pytest.param({"pillar/env/a.sls": None, "pillar/env/b.sls": None, "pillar/env": "now a file\n"}, {},
                     "pillar/env/b.sls", "b: old\n", id="folder-becomes-file"),
    ],
)  # fmt: skip
def test_promote_31_owned_paths_stay_as_the_target_has_them(
    flow: FlowSite, source: dict[str, Any], target: dict[str, Any], path: str, expected: str | None
) -> None:
    owned_site(flow)
    flow.push("develop", {**source, **WEB}, "KEY-5 Source")
    if target:
        flow.push("stage", target, "KEY-6 Target")
    owned = ("pillar/env", "conf", "pillar/new.sls")
    before = {p: o for p, o in flow.remote.tree("stage").items() if p.startswith(owned)}
    theirs = {p: o for p, o in flow.remote.tree("develop").items() if p.startswith(owned)}

    new = flow.promoted("stage")

    assert flow.show(new, path) == expected
    assert {p: o for p, o in flow.remote.tree(new).items() if p.startswith(owned)} == before
    assert "salt/web.sls" in flow.files(new)
    assert flow.parents(new)[1] == flow.head("develop"), "develop must not change for owned paths"
    assert {p: o for p, o in flow.remote.tree("develop").items() if p.startswith(owned)} == theirs


def test_owned_paths_that_were_kept_are_named(flow: FlowSite) -> None:
    owned_site(flow)
    flow.push("develop", {"pillar/env/a.sls": "a: dev\n", **WEB}, "KEY-5 Source")
    plan = flow.plan("promote", "stage")
    assert plan["notes"] == [
        "kept as stage has them: pillar/env",
        "saltenv_owned of stage: stage has no 'pillar/new.sls', and gets none",
    ]
    assert plan["files"] == [{"change": "A", "path": "salt/web.sls"}]


def test_owned_paths_that_the_target_lacks_are_noted(flow: FlowSite) -> None:
    flow.configure(stage={"saltenv_owned": ["pillar/app.sls", "Pillar/app.sls"]})
    flow.push("develop", WEB, "KEY-5 Source")
    notes = flow.plan("promote", "stage")["notes"]
    what = "saltenv_owned of stage: stage has no 'Pillar/app.sls', and gets none"
    assert notes == [what]


def test_owned_paths_of_the_source_do_not_travel_on_either(flow: FlowSite) -> None:
    owned_site(flow)
    flow.push("stage", {"pillar/env/a.sls": "a: stage\n", **WEB}, "KEY-6 Stage")
    new = flow.promoted("prod")
    assert flow.show(new, "pillar/env/a.sls") == "a: old\n"
    assert "salt/web.sls" in flow.files(new)


def test_a_conflict_beside_owned_paths_is_a_conflict_of_the_other_paths_only(
    flow: FlowSite,
) -> None:
    owned_site(flow)
    flow.push("develop", {**DEVELOP_SIDE, "pillar/env/a.sls": "a: dev\n"})
    flow.push("stage", {**STAGE_SIDE, "pillar/env/a.sls": "a: stage\n"})
    conflicts = flow.plan("promote", "stage")["steps"][0]["conflicts"]
    assert [c["path"] for c in conflicts] == ["salt/app/init.sls"]


# Left behind, back-merges


def test_promote_04_what_the_source_lacks_is_shown_and_merged_back(flow: FlowSite) -> None:
    direct, source = flow.push("stage", subject="KEY-6 Direct"), flow.push("develop")
    plan = flow.plan("promote", "stage")
    assert [c["commit"] for c in plan["left_behind"]] == [direct]
    assert [(s["role"], s["branch"], s["kind"]) for s in plan["steps"]] == [
        ("target", "stage", "merge"),
        ("back-merge", "develop", "fast-forward"),
    ]
    new = flow.promoted("stage")
    assert flow.head("develop") == new
    assert flow.contains("develop", direct)
    assert flow.contains("stage", source)


def test_promote_22_without_need_nothing_is_merged_back(flow: FlowSite) -> None:
    for _ in range(2):
        develop = flow.push("develop")
        flow.to_prod()
        assert flow.head("develop") == develop
    assert flow.well("promote", "stage", "--plan").out.endswith("nothing to do\n")
    assert "develop lacks nothing" in flow.refused("backmerge", "test", "--yes")
    assert "stage lacks nothing" in flow.refused("backmerge", "stage", "--yes")


def test_promote_22_merges_that_bring_nothing_are_not_promoted(flow: FlowSite) -> None:
    flow.push("develop")
    flow.push("stage")
    flow.push("develop")
    flow.promoted("stage", "--commit", flow.remote.git("rev-parse", "develop~1"))
    flow.to_prod()
    flow.push_branch("hotfix/1.0.1", "master", {"salt/fix.sls": "fix\n"}, "KEY-9 Fix")
    flow.push("develop")
    flow.well("hotfix", "finish", "1.0.1", "--yes")
    assert flow.promoted("stage") == flow.head("stage")
    for saltenv in ("stage", "prod"):
        if saltenv == "prod":
            flow.promoted("prod")
        ran = flow.well("promote", saltenv, "--plan")
        assert "nothing to do" in ran.out


def test_back_merges_can_be_switched_off_and_the_plan_says_what_helps(flow: FlowSite) -> None:
    flow.configure(stage={"back_merge": False})
    flow.push("stage", subject="KEY-6 Direct")
    flow.push("develop")
    ran = flow.run("promote", "stage", "--plan")
    assert (
        "left behind: test lacks what stage (stage) has; saltbranch backmerge test brings it there"
        in ran.out
    )
    develop = flow.head("develop")
    flow.promoted("stage")
    assert flow.head("develop") == develop


def test_what_was_left_behind_is_shown_also_when_there_is_nothing_to_promote(
    flow: FlowSite,
) -> None:
    direct = flow.push("stage", subject="KEY-6 Direct")
    ran = flow.well("promote", "stage", "--plan")
    assert "nothing to do" in ran.out
    assert f"{direct[:12]} KEY-6 Direct" in ran.out
    assert "saltbranch backmerge test" in ran.out
    assert [c["commit"] for c in flow.plan("promote", "stage", code=0)["left_behind"]] == [direct]
    flow.well("promote", "stage", "--yes")
    assert not flow.contains("develop", direct), "promoting nothing must change nothing"


def test_a_cherry_pick_counts_as_brought_back(flow: FlowSite) -> None:
    change = {"salt/fix.sls": "fix:\n  test.nop: []\n"}
    flow.push("stage", change, "KEY-6 Direct")
    flow.push("develop")
    flow.push("develop", change, "KEY-6 Direct")
    assert flow.plan("promote", "stage")["left_behind"] == []


def test_a_back_merge_that_conflicts_is_a_debt_and_stops_nothing_else(flow: FlowSite) -> None:
    first = flow.push("develop", WEB, "KEY-5 Web")
    flow.push("develop", DEVELOP_SIDE, "KEY-7 Develop")
    direct = flow.push("stage", STAGE_SIDE, "KEY-6 Stage")
    develop = flow.head("develop")

    ran = flow.well("promote", "stage", "--commit", first, "--yes")

    assert "back-merge into develop conflicts in 'salt/app/init.sls': recorded as a debt" in ran.out
    assert flow.head("develop") == develop
    assert flow.contains("stage", first)
    debts = flow.state().debts
    assert [(d.branch, d.files) for d in debts] == [("develop", ("salt/app/init.sls",))]
    assert flow.contains("stage", direct)


# Conflicts


def test_promote_02_a_conflict_moves_nothing_and_names_both_sides(flow: FlowSite) -> None:
    theirs = flow.push("develop", DEVELOP_SIDE, "KEY-5 Develop side")
    ours = flow.push("stage", STAGE_SIDE, "KEY-6 Stage side")
    before = flow.refs()

    ran = flow.run("promote", "stage", "--yes")

    assert ran.code == 4
    assert flow.refs() == before
    assert "  conflict in 'salt/app/init.sls'\n" in ran.out
    assert f"    stage: {ours[:12]} KEY-6 Stage side (Ann)\n" in ran.out
    assert f"    develop: {theirs[:12]} KEY-5 Develop side (Ann)\n" in ran.out
    assert (
        "merging develop into stage conflicts in 'salt/app/init.sls'; nothing was changed"
        in ran.err
    )
    for way_out in ("promote stage --resolve DIR", "--continue", "--abort"):
        assert way_out in ran.err


def test_a_rename_of_a_folder_is_merged_or_asked_about_never_guessed(flow: FlowSite) -> None:
    body = flow.show("develop", "salt/app/init.sls")
    flow.push("develop", {"salt/app/init.sls": None, "salt/service/init.sls": body}, "KEY-5 Rename")
    flow.push("stage", {"salt/app/new.sls": "new:\n  test.nop: []\n"}, "KEY-6 New")
    plan = flow.plan("promote", "stage")
    assert [c["path"] for c in plan["steps"][0]["conflicts"]] == ["salt/service/new.sls"]


@pytest.mark.parametrize("configured", ["user", "attributes", "folder"])
def test_merges_come_out_the_same_whatever_the_user_configured(
    flow: FlowSite, configured: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither may a conflict become a merge, nor the other way round."""
    flow.push("develop", DEVELOP_SIDE)
    flow.push("stage", STAGE_SIDE)
    moved = {"salt/moved.sls": flow.show("develop", "pillar/top.sls"), "pillar/top.sls": None}
    flow.push("develop", moved, "KEY-7 Move")
    plain = flow.plan("promote", "stage")["steps"][0]

    attributes = "* merge=union\n*.sls merge=binary\n"
    if configured == "user":
        home = flow.folder / "gitconfig"
        home.write_text(
            "[merge]\n renames = false\n directoryRenames = true\n conflictStyle = diff3\n renormalize = true\n"
            "[diff]\n renames = false\n algorithm = patience\n[core]\n autocrlf = true\n attributesFile = "
            f"{flow.folder}/attributes\n[push]\n default = matching\n followTags = true\n gpgSign = true\n"
            "[log]\n showSignature = true\n date = relative\n"
            "[diff]\n noprefix = true\n external = /bin/false\n"
        )
        (flow.folder / "attributes").write_text(attributes)
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home))
    elif configured == "attributes":
        (flow.clone / ".git" / "info").mkdir(exist_ok=True)
        (flow.clone / ".gitattributes").write_text(attributes)
    else:
        (flow.clone / "salt" / ".gitattributes").write_text(attributes)

    cwd = flow.clone / "salt" if configured == "folder" else flow.clone
    ran = flow.run("promote", "stage", "--plan", "--json", cwd=cwd)
    assert json.loads(ran.out)["steps"][0] == plain
    assert [c["path"] for c in plain["conflicts"]] == ["salt/app/init.sls"]

    flow.remote.set_branch("stage", flow.head("master"))
    assert flow.run("promote", "stage", "--yes", cwd=cwd).code == 0
    assert flow.files("stage") == flow.files("develop")


# --expect, --yes


def test_expect_applies_the_plan_that_was_looked_at_and_no_other(flow: FlowSite) -> None:
    flow.push("develop")
    digest = flow.plan("promote", "stage")["digest"]
    assert flow.run("promote", "stage", "--plan", "--expect", digest).code == 3
    flow.push("develop")
    for words in (("--yes",), ("--plan",)):
        said = flow.refused("promote", "stage", *words, "--expect", digest)
        assert "the plan is not the expected one" in said
    new = flow.plan("promote", "stage")["digest"]
    assert new != digest
    flow.promoted("stage", "--expect", new[:8])


@pytest.mark.parametrize("digest", ["", "12345", "G" * 16, "../../etc", "ABCDEF0123"])
def test_expect_wants_a_digest(flow: FlowSite, digest: str) -> None:
    flow.push("develop")
    said = flow.refused("promote", "stage", "--yes", f"--expect={digest}", code=2)
    assert "is not the digest of a plan" in said


def test_promote_25_without_a_terminal_and_without_yes_it_is_refused(flow: FlowSite) -> None:
    flow.push("develop")
    said = flow.refused("promote", "stage")
    assert "there is no terminal to ask on" in said
    assert "--yes" in said


def test_on_a_terminal_it_shows_the_plan_and_asks(flow: FlowSite) -> None:
    source = flow.push("develop", subject="KEY-5 Web")
    before = flow.refs()
    for answer in ("n", "", "\x04"):
        ran = flow.run("promote", "stage", answer=answer)
        assert ran.code in (1, 4, 130), ran
        assert "KEY-5 Web" in ran.out
        assert "promote stage: do it?" in ran.err
        assert flow.refs() == before
    assert flow.run("promote", "stage", answer="y").code == 0
    assert flow.contains("stage", source)


# Where the model comes from


def test_gates_are_those_of_production_not_of_the_change_or_the_work_tree(flow: FlowSite) -> None:
    flow.configure(stage={"gates": ["ticket"]})
    loose = json.dumps({**flow.model, "saltenvs": _loosened(flow.model["saltenvs"])})
    flow.push("develop", {"saltbranch.yaml": loose}, "Loosen the gate")
    (flow.clone / "saltbranch.yaml").write_text(loose)
    assert "ticket: fail: no ticket is named" in flow.refused("promote", "stage", "--yes")


def _loosened(saltenvs: dict[str, Any]) -> dict[str, Any]:
    return {name: {k: v for k, v in s.items() if k != "gates"} for name, s in saltenvs.items()}


def test_the_file_in_a_clone_cannot_choose_another_branch_for_the_model(flow: FlowSite) -> None:
    """Nor does git's own configuration, where the model there says that it is not production."""
    flow.configure(stage={"gates": ["ticket"]})
    loose = {**flow.model, "saltenvs": _loosened(flow.model["saltenvs"]), "model_branch": "develop"}
    flow.push("develop", {"saltbranch.yaml": json.dumps(loose)}, "Loosen the gate")
    (flow.clone / "saltbranch.yaml").write_text(json.dumps(loose))
    assert "ticket: fail" in flow.refused("promote", "stage", "--yes")
    flow.git("config", "saltbranch.modelBranch", "develop")
    said = flow.refused("promote", "stage", "--yes", code=1)
    assert "develop is not the end of its promotions, that is master" in said


def test_a_clone_without_the_file_takes_that_of_production(flow: FlowSite) -> None:
    source = flow.push("develop")
    (flow.clone / "saltbranch.yaml").unlink()
    flow.promoted("stage")
    assert flow.contains("stage", source)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nosuch",), 2, "there is no saltenv 'nosuch'"),
        (("stag",), 2, "known: test, stage, prod"),
        (("master",), 2, "master is the branch of prod"),
        (("develop",), 2, "develop is the branch of test"),
        (("test",), 4, "nothing is promoted to test: it is the first of its chain"),
        (("stage", "--via", "mail"), 2, "--via mail: unknown"),
        (("stage", "--continue", "--abort"), 2, "exclude each other"),
        (("stage", "--override", "debts"), 2, "--override wants --reason"),
        (
            ("stage", "--via", "branch", "--tag", "v1"),
            2,
            "--tag and --via branch exclude each other",
        ),
    ],
)
def test_wrong_usage_is_refused_with_what_is_right(
    flow: FlowSite, words: tuple[str, ...], code: int, said: str
) -> None:
    flow.push("develop")
    assert said in flow.refused("promote", *words, "--yes", code=code)


def test_promoting_prod_from_test_is_not_possible(flow: FlowSite) -> None:
    source = flow.push("develop")
    assert (
        flow.well("promote", "prod", "--yes").out
        == "prod (master) has all of stage: nothing to do\n"
    )
    assert not flow.contains("master", source)


def test_two_saltenvs_on_one_branch_and_loops_are_refused(flow: FlowSite) -> None:
    flow.configure(stage={"promote_from": "prod"})
    flow.push("develop")
    assert "promote_from runs in a circle" in flow.refused("promote", "stage", "--yes")
    flow.model["saltenvs"]["stage"].update(promote_from="test", branch="develop")
    flow.remote.commit("master", {"saltbranch.yaml": json.dumps(flow.model)})
    ran = flow.run("promote", "stage", "--yes")
    assert ran.code == 4 and "both name the branch develop" in ran.out


def test_unrelated_histories_are_refused(flow: FlowSite) -> None:
    flow.remote.commit("develop", {"a": "b\n"}, parents=())
    said = flow.refused("promote", "stage", "--yes")
    assert "have no common history" in said
    assert "--allow-unrelated-histories" in said


def test_a_shallow_clone_is_refused(flow: FlowSite) -> None:
    flow.push("develop")
    shallow = flow.folder / "shallow"
    flow.git("clone", "--quiet", "--depth", "1", f"file://{flow.remote.path}", str(shallow))
    said = flow.refused("promote", "stage", "--yes", cwd=shallow)
    assert "is shallow" in said
    assert "git fetch --unshallow" in said


def test_a_missing_branch_is_named(flow: FlowSite) -> None:
    flow.remote.delete_branch("stage")
    said = flow.refused("promote", "stage", "--yes")
    assert "the remote has no branch 'stage'" in said
    assert "its branches: develop, master" in said


def test_a_remote_that_cannot_be_read_fails_and_changes_nothing(
    flow: FlowSite, tmp_path: Path
) -> None:
    flow.push("develop")
    away = tmp_path / "away"
    flow.remote.path.rename(away)
    ran = flow.run("promote", "stage", "--yes")
    away.rename(flow.remote.path)
    assert ran.code == 1
    assert "cannot read the remote" in ran.err
    assert "refs/saltbranch/journal" not in flow.refs()


def test_terminal_codes_in_commits_do_not_reach_the_terminal(flow: FlowSite) -> None:
    flow.push("develop", {"salt/\x1b[31mred.sls": "a\n"}, "KEY-5 \x1b]0;title\x07 bell")
    ran = flow.run("promote", "stage", "--plan")
    assert ran.code == 3
    assert not {c for c in ran.out if ord(c) < 32} - {"\n"}
    flow.promoted("stage")


# Tags


def test_tag_is_annotated_and_made_in_the_same_push(flow: FlowSite) -> None:
    flow.push("develop")
    ran = flow.well("promote", "stage", "--tag", "v1.2.0", "--yes", "--json")
    moved = {u["ref"]: u["new"] for u in json.loads(ran.out)["moved"]}
    assert set(moved) == {"refs/heads/stage", "refs/tags/v1.2.0", "refs/saltbranch/journal"}
    text = flow.remote.git("cat-file", "tag", "v1.2.0")
    assert text.startswith(f"object {flow.head('stage')}\ntype commit\ntag v1.2.0\n")
    assert f"Promotion-Id: {flow.state().promotions[-1].id}" in text
    assert flow.kinds() == ["promotion", "tag"]
    assert flow.state().promotions[-1].tag == "v1.2.0"


def test_promote_13_tags_are_never_moved_and_strays_never_pushed(flow: FlowSite) -> None:
    flow.push("develop")
    flow.tag("v1", flow.head("stage"))
    flow.remote.set_branch("v2", flow.head("stage"))
    for name in ("stray", "v3"):
        flow.git("tag", name)
    assert "has a tag v1 already" in flow.refused("promote", "stage", "--tag", "v1", "--yes")
    assert "would be ambiguous" in flow.refused("promote", "stage", "--tag", "v2", "--yes")
    said = flow.refused("promote", "stage", "--tag", "v1/x", "--yes")
    assert "there is a tag 'v1', so there cannot be one called 'v1/x'" in said
    for bad in ("a b", "-x", "a..b", "v1.lock", "@", "refs/"):
        assert "is not a tag" in flow.refused("promote", "stage", f"--tag={bad}", "--yes", code=2)
    flow.promoted("stage", "--tag", "v3")
    assert {r for r in flow.refs() if r.startswith("refs/tags/")} == {
        "refs/tags/v1",
        "refs/tags/v3",
    }


def test_the_same_tag_again_is_nothing_to_do(flow: FlowSite) -> None:
    flow.push("develop")
    new = flow.promoted("stage", "--tag", "v1")
    assert flow.promoted("stage", "--tag", "v1") == new
    assert flow.kinds() == ["promotion", "tag"]


def test_what_is_there_already_can_still_be_tagged(flow: FlowSite) -> None:
    flow.push("develop")
    new = flow.promoted("stage")
    flow.promoted("stage", "--tag", "v1")
    assert flow.remote.git("rev-parse", "v1^{commit}") == new
    assert flow.kinds() == ["promotion", "tag"]


def test_tag_auto_goes_from_candidates_to_the_final(flow: FlowSite) -> None:
    flow.configure(stage={"follow": {"tags": RC_TAGS}}, prod={"follow": {"tags": FINAL_TAGS}})
    expected = []
    for stage_tag, prod_tag in (
        ("v1.0.0-rc.1", None), ("v1.0.0-rc.2", "v1.0.0"), ("v1.1.0-rc.1", "v1.1.0"),
    ):  # fmt: skip
        flow.push("develop")
        flow.promoted("stage", "--tag", "auto")
        expected.append(stage_tag)
        if prod_tag:
            flow.promoted("prod", "--tag", "auto")
            expected.append(prod_tag)
    made = [e.text("tag") for e in flow.state().events if e.kind == "tag"]
    assert made == expected


def test_promote_takes_what_a_tag_following_saltenv_serves(flow: FlowSite) -> None:
    flow.configure(stage={"follow": {"tags": RC_TAGS}})
    flow.push("develop")
    flow.promoted("stage")
    said = flow.refused("promote", "prod", "--yes")
    assert "no such tag is on stage: nothing was proven there" in said
    assert "saltbranch promote stage --tag auto" in said
    proven = flow.push("develop")
    flow.promoted("stage", "--tag", "auto")
    later = flow.push("develop")
    flow.promoted("stage")
    flow.promoted("prod")
    assert flow.contains("master", proven)
    assert not flow.contains("master", later)


@pytest.mark.parametrize(
    ("words", "note"),
    [
        ((), "serves this only once it is tagged (--tag auto)"),
        (("--tag", "v1.0.0"), "and v1.0.0 is none of them: it does not serve this"),
        (("--tag", "v1.0.0-rc.1"), "goes on serving v2.0.0-rc.1, the highest tag: v1.0.0-rc.1 is lower"),
    ],
)  # fmt: skip
def test_the_plan_says_when_a_tag_following_saltenv_will_not_serve_it(
    flow: FlowSite, words: tuple[str, ...], note: str
) -> None:
    flow.configure(stage={"follow": {"tags": RC_TAGS}})
    flow.tag("v2.0.0-rc.1", flow.head("stage"))
    flow.push("develop")
    notes = flow.plan("promote", "stage", *words)["notes"]
    assert len(notes) == 1
    assert note in notes[0]
    assert flow.plan("promote", "stage", "--tag", "auto")["notes"] == []


# Pull requests instead of pushing


def test_promote_01_via_branch_pushes_a_branch_for_a_pull_request(flow: FlowSite) -> None:
    source = flow.push("develop")
    before = flow.refs()
    ran = flow.well("promote", "stage", "--via", "branch", "--yes", "--json")
    result = json.loads(ran.out)
    name = f"promote/stage/{result['id']}"
    assert flow.refs() == before | {f"refs/heads/{name}": result["new"]}
    assert flow.parents(result["new"]) == [flow.head("stage"), source]
    assert flow.trailers(result["new"])["Promotion-Id"] == result["id"]


def test_promote_01_a_protected_branch_is_recognised(flow: FlowSite) -> None:
    flow.push("develop")
    flow.hook(
        "update",
        'case "$1" in refs/heads/stage) echo "GH006: Protected branch update failed for $1." >&2; exit 1;; esac',
    )
    said = flow.refused("promote", "stage", "--yes")
    assert "the branch is protected there" in said
    assert "saltbranch promote stage --via branch" in said
    flow.well("promote", "stage", "--via", "branch", "--yes")


def test_a_ref_that_the_server_declines_stops_all(flow: FlowSite) -> None:
    flow.push("develop")
    flow.hook("update", 'test "$1" != refs/saltbranch/journal || { echo "not here" >&2; exit 1; }')
    said = flow.refused("promote", "stage", "--tag", "v1", "--yes")
    assert "it declined" in said
    assert "remote: not here" in said


def test_promote_07_a_target_that_moved_in_the_middle_of_the_push(flow: FlowSite) -> None:
    source = flow.push("develop")
    other = flow.push("stage")
    flow.remote.set_branch("stage", f"{other}~1")
    once = flow.race("refs/heads/stage", other)
    ran = flow.run("promote", "stage", "--tag", "v1", "--yes")
    assert once.exists()
    assert ran.code == 4, ran
    assert "another push came first (stage moved); nothing was changed" in ran.err
    assert "look at the new plan (" in ran.err
    refs = flow.refs()
    assert refs["refs/heads/stage"] == other
    assert not {"refs/tags/v1", JOURNAL_REF} & set(refs)
    flow.promoted("stage")
    assert flow.contains("stage", source)


def test_promote_07_a_journal_that_moved_in_the_middle_of_the_push(flow: FlowSite) -> None:
    """The plan is still the same, so it goes on."""
    source = flow.push("develop")
    once = flow.race(JOURNAL_REF, flow.prepared("unhold", saltenv="prod"))
    flow.promoted("stage", "--tag", "v1")
    assert once.exists()
    assert flow.contains("stage", source)
    assert flow.kinds() == ["unhold", "promotion", "tag"]


def test_promote_07_a_tag_that_appeared_in_the_middle_of_the_push(flow: FlowSite) -> None:
    source = flow.push("develop")
    once = flow.race("refs/tags/v1", flow.head("stage"))
    ran = flow.run("promote", "stage", "--tag", "v1", "--yes")
    assert once.exists()
    assert ran.code == 4, ran
    assert "the remote has a tag v1 already" in ran.err
    assert not flow.contains("stage", source)


def test_promote_07_a_back_merge_target_that_moved_in_the_middle_of_the_push(
    flow: FlowSite,
) -> None:
    flow.push("stage")
    source = flow.push("develop")
    other = flow.push("develop")
    flow.remote.set_branch("develop", source)
    stage = flow.head("stage")
    once = flow.race("refs/heads/develop", other)
    ran = flow.run("promote", "stage", "--yes")
    assert once.exists()
    assert ran.code == 4, ran
    assert flow.head("stage") == stage, "no ref moves alone"
    assert "another push came first" in ran.err
