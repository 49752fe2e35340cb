"""Gates at work: each passes, fails, or cannot tell; why-not explains; overrides are recorded."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from saltbranch.base.durations import from_iso
from saltbranch.git import describe as commit_info
from tests.support.flow_site import RC_TAGS, FlowSite

HOUR = 3600


def program(flow: FlowSite, name: str, text: str) -> str:
    path = flow.folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def soaking(flow: FlowSite) -> str:
    """A site whose prod wants two hours in stage; the commit that stage has."""
    flow.configure(prod={"gates": [{"soak": "2h"}]})
    flow.push("develop")
    return flow.promoted("stage")


def soak(flow: FlowSite, *words: str) -> tuple[str, str]:
    return flow.gates("promote", "prod", *words)["soak"]


# hold and debts are in test_hold.py and test_hotfix.py

# ticket


def test_ticket_wants_one_in_every_commit(flow: FlowSite) -> None:
    flow.configure(stage={"gates": ["ticket"]})
    flow.push("develop", subject="KEY-5 With")
    assert flow.gates("promote", "stage")["ticket"] == ("pass", "every commit names a ticket")
    bare = [flow.push("develop", subject=f"Without {n}") for n in range(5)]
    verdict, reason = flow.gates("promote", "stage")["ticket"]
    assert verdict == "fail"
    assert f"no ticket is named by {bare[-1][:12]} Without 4" in reason
    assert reason.endswith("and 2 more")


def test_ticket_may_stand_in_the_body(flow: FlowSite) -> None:
    flow.configure(stage={"gates": ["ticket"]})
    flow.push("develop", subject="Tune it\n\nRefs: KEY-5")
    assert flow.gates("promote", "stage")["ticket"][0] == "pass"


def test_a_promotion_does_not_launder_commits_without_a_ticket(flow: FlowSite) -> None:
    flow.configure(prod={"gates": ["ticket"]})
    flow.push("develop", subject="Without")
    flow.promoted("stage")
    flow.push("develop", subject="KEY-5 With")
    flow.promoted("stage")
    assert "Without" in flow.refused("promote", "prod", "--yes")


@pytest.mark.parametrize("how", ["replace", "graft", "graft a parent away"])
def test_a_clone_that_tells_itself_another_history_opens_no_gate(flow: FlowSite, how: str) -> None:
    """git-replace(1) and info/grafts change what git shows here, and nothing of what is pushed."""
    flow.configure(stage={"gates": ["ticket"]})
    bare = flow.push("develop", subject="Without")
    head = flow.push("develop", subject="KEY-5 With")
    flow.git("fetch", "--quiet")
    fine = flow.git("commit-tree", "-p", f"{bare}^", "-m", "KEY-4 Fine", f"{bare}^{{tree}}").strip()
    before = flow.git("rev-parse", f"{bare}^").strip()
    if how == "replace":
        flow.git("replace", bare, fine)
    else:
        grafts = Path(flow.git("rev-parse", "--absolute-git-dir").strip()) / "info" / "grafts"
        grafts.parent.mkdir(exist_ok=True)
        grafts.write_text(f"{head} {fine if how == 'graft' else before}\n")
    assert "Without" not in flow.git("log", "--format=%s", "-2", head)
    assert "Without" in flow.refused("promote", "stage", "--yes")
    assert "Without" in flow.run("where", bare, "--no-fetch").out
    described = commit_info.describe(flow.git("rev-parse", "--absolute-git-dir").strip(), bare)
    assert described.subject == "Without"


# identical


def test_identical_compares_with_what_the_source_serves(flow: FlowSite) -> None:
    flow.configure(prod={"gates": ["identical"]})
    flow.push("develop")
    first = flow.promoted("stage")
    assert flow.gates("promote", "prod")["identical"] == ("pass", "the same tree as stage serves")
    flow.push("develop")
    flow.promoted("stage")
    assert flow.gates("promote", "prod", "--commit", first)["identical"][0] == "fail"
    flow.push("master", subject="KEY-9 Only in prod")
    verdict, reason = flow.gates("promote", "prod")["identical"]
    assert verdict == "fail"
    assert "is not the one that stage serves" in reason
    flow.well("backmerge", "stage", "--yes")
    assert flow.gates("promote", "prod")["identical"][0] == "pass"


def test_identical_leaves_owned_paths_out(flow: FlowSite) -> None:
    flow.configure(
        prod={"gates": ["identical"], "saltenv_owned": ["pillar/app.sls"]},
        stage={"saltenv_owned": ["pillar/app.sls"]},
    )
    flow.push("stage", {"pillar/app.sls": "workers: stage\n"}, "KEY-6 Stage")
    flow.push("master", {"pillar/app.sls": "workers: prod\n"}, "KEY-7 Prod")
    flow.push("develop")
    flow.promoted("stage")
    assert flow.gates("promote", "prod")["identical"][0] == "pass"
    new = flow.promoted("prod")
    assert flow.show(new, "pillar/app.sls") == "workers: prod\n"


def test_identical_looks_at_the_tag_that_is_served(flow: FlowSite) -> None:
    flow.configure(prod={"gates": ["identical"]}, stage={"follow": {"tags": RC_TAGS}})
    flow.push("develop")
    flow.promoted("stage", "--tag", "auto")
    flow.push("develop")
    later = flow.promoted("stage")
    assert flow.gates("promote", "prod")["identical"][0] == "pass"
    assert flow.gates("promote", "prod", "--commit", later)["identical"][0] == "fail"


# soak


def test_soak_cannot_tell_before_a_master_has_said_what_it_serves(flow: FlowSite) -> None:
    soaking(flow)
    verdict, reason = soak(flow)
    assert verdict == "cannot-tell"
    assert "record_syncs: true" in reason
    assert "soak: cannot-tell" in flow.refused("promote", "prod", "--yes")


def test_promote_14_soak_counts_from_the_journal_and_says_when_it_passes(flow: FlowSite) -> None:
    commit = soaking(flow)
    flow.served("stage", flow.head("master"), ago=10 * HOUR)
    assert soak(flow) == ("fail", "stage does not serve this commit yet")
    flow.served("stage", commit, ago=HOUR)
    plan = flow.plan("promote", "prod")
    gate = next(g for g in plan["gates"] if g["gate"] == "soak")
    assert gate["verdict"] == "fail"
    assert gate["reason"] == "served by stage for 60 min of 2 h"
    assert from_iso(gate["passes_at"]) == pytest.approx(time.time() + HOUR, abs=30)
    ran = flow.run("why-not", "prod")
    assert ran.code == 4
    assert "passes in 60 min" in ran.out


def test_soak_passes_and_the_promotion_goes_through(flow: FlowSite) -> None:
    flow.served("stage", soaking(flow), ago=3 * HOUR)
    assert soak(flow) == ("pass", "served by stage for 3 h, asked are 2 h")
    flow.promoted("prod")


def test_promote_14_newer_commits_do_not_reset_the_clock(flow: FlowSite) -> None:
    first = soaking(flow)
    flow.served("stage", first, ago=3 * HOUR)
    flow.push("develop")
    second = flow.promoted("stage")
    flow.served("stage", second, ago=HOUR)
    assert soak(flow, "--commit", first)[0] == "pass"
    assert soak(flow) == ("fail", "served by stage for 60 min of 2 h")
    flow.promoted("prod", "--commit", first)


def test_a_rollback_resets_the_clock(flow: FlowSite) -> None:
    old = flow.head("stage")
    commit = soaking(flow)
    flow.served("stage", commit, ago=5 * HOUR)
    flow.served("stage", old, ago=2 * HOUR)
    assert soak(flow) == ("fail", "stage does not serve this commit yet")
    flow.served("stage", commit, ago=HOUR)
    assert soak(flow) == ("fail", "served by stage for 60 min of 2 h")


def test_the_master_that_served_it_longest_counts(flow: FlowSite) -> None:
    commit = soaking(flow)
    flow.served("stage", commit, ago=HOUR, master="m1")
    flow.served("stage", commit, ago=3 * HOUR, master="m2")
    assert soak(flow)[0] == "pass"


def test_what_another_saltenv_served_does_not_count(flow: FlowSite) -> None:
    commit = soaking(flow)
    flow.served("test", commit, ago=9 * HOUR)
    assert soak(flow)[0] == "cannot-tell"


# command


def test_a_command_gets_the_plan_as_json_and_the_merged_tree(flow: FlowSite) -> None:
    out = flow.folder / "in.json"
    tree = flow.folder / "tree"
    text = (
        f"cat > {out}\n"
        f'commit=$(sed \'s/.*"merged_commit": "\\([0-9a-f]*\\)".*/\\1/\' {out})\n'
        f'dir=$(sed \'s/.*"git_dir": "\\([^"]*\\)".*/\\1/\' {out})\n'
        f'git --git-dir="$dir" ls-tree -r --name-only "$commit" > {tree}\n'
        "echo looks good"
    )
    flow.configure(
        stage={"gates": [{"command": [program(flow, "gate", text), "--strict"], "name": "lint"}]}
    )
    flow.push("develop", {"salt/web.sls": "web\n"}, "KEY-5 Web")
    flow.push("stage", {"salt/stage.sls": "stage\n"}, "KEY-6 Stage")

    assert flow.gates("promote", "stage")["lint"] == ("pass", "looks good")

    told = json.loads(out.read_text())
    assert (told["version"], told["gate"], told["verb"]) == (1, "lint", "promote stage")
    assert (told["states_dir"], told["pillar_dir"]) == ("salt", "pillar")
    assert [f["path"] for f in told["files"]] == ["salt/web.sls"]
    assert told["digest"] == flow.plan("promote", "stage")["digest"]
    assert {"salt/web.sls", "salt/stage.sls"} <= set(tree.read_text().split())


def test_a_command_runs_without_a_shell(flow: FlowSite, tmp_path: Path) -> None:
    marker = tmp_path / "pwned"
    out = tmp_path / "args"
    gate = program(flow, "gate", f'printf "%s\\n" "$@" > {out}')
    words = [gate, f"$(touch {marker})", f"; touch {marker}", "`x`", "*"]
    flow.configure(stage={"gates": [{"command": words}]})
    flow.push("develop", subject=f"KEY-5 $(touch {marker})")
    flow.promoted("stage")
    assert out.read_text().splitlines() == words[1:]
    assert not marker.exists()


def test_a_command_sees_no_redirecting_variables(
    flow: FlowSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nonexistent")
    out = flow.folder / "env"
    flow.configure(stage={"gates": [{"command": program(flow, "gate", f"env > {out}")}]})
    flow.push("develop")
    flow.promoted("stage")
    assert not [v for v in out.read_text().splitlines() if v.startswith(("GIT_DIR", "GIT_INDEX"))]


@pytest.mark.parametrize(
    ("gate", "verdict", "reason"),
    [
        ({"command": "false"}, "fail", "it ended with 1"),
        ({"command": "/nonexistent/gate"}, "cannot-tell", "cannot start '/nonexistent/gate'"),
        ({"command": "sleep 30", "timeout": "1s"}, "cannot-tell", "no end after 1 s"),
    ],
)
def test_a_command_that_fails_stops_the_promotion(
    flow: FlowSite, gate: dict[str, Any], verdict: str, reason: str
) -> None:
    name = str(gate["command"]).split()[0].rpartition("/")[2]
    flow.configure(stage={"gates": [gate]})
    flow.push("develop")
    told, said = flow.gates("promote", "stage")[name]
    assert told == verdict
    assert reason in said
    assert reason in flow.refused("promote", "stage", "--yes")


def test_what_a_command_says_is_cleaned_and_masked(flow: FlowSite) -> None:
    text = "printf 'a\\033[31mred\\nhttps://ann:secret@git.example.com/x\\n' >&2; exit 3"
    flow.configure(stage={"gates": [{"command": program(flow, "gate", text)}]})
    flow.push("develop")
    for words in (("--plan",), ("--yes",), ("--plan", "--json")):
        ran = flow.run("promote", "stage", *words)
        assert "secret" not in ran.out + ran.err
        assert "\x1b" not in ran.out + ran.err


def test_a_command_of_the_change_itself_never_runs(flow: FlowSite, tmp_path: Path) -> None:
    """A relative path would run what lies in the clone."""
    flow.configure(stage={"gates": [{"command": "./gate.sh"}]})
    (flow.clone / "gate.sh").write_text(f"#!/bin/sh\ntouch {tmp_path}/pwned\n")
    (flow.clone / "gate.sh").chmod(0o755)
    flow.push("develop")
    assert "is a relative path" in flow.refused("promote", "stage", "--yes")
    assert not (tmp_path / "pwned").exists()


# override


def test_promote_09_an_override_is_recorded_with_its_reason(flow: FlowSite) -> None:
    flow.configure(
        stage={
            "gates": ["ticket", {"command": "false", "name": "lint"}],
            "overridable": ["ticket", "lint"],
        }
    )
    flow.push("develop", subject="No ticket")
    words = ("--override", "ticket", "--override", "lint", "--reason", "Ann said so")
    plan = flow.plan("promote", "stage", *words)
    assert {g["gate"]: g["overridden"] for g in plan["gates"]} == {
        "hold": None, "debts": None, "ticket": "Ann said so", "lint": "Ann said so",
    }  # fmt: skip
    assert "OVERRIDDEN: Ann said so" in flow.run("promote", "stage", "--plan", *words).out
    flow.promoted("stage", *words)
    overrides = [e for e in flow.state().events if e.kind == "override"]
    assert [(e.text("gate"), e.text("reason"), e.text("verdict"), e.by) for e in overrides] == [
        ("ticket", "Ann said so", "fail", "Ann <ann@example.com>"),
        ("lint", "Ann said so", "fail", "Ann <ann@example.com>"),
    ]
    promotion = flow.state().promotions[-1]
    assert {e.text("promotion") for e in overrides} == {promotion.id}


def test_an_override_that_is_not_needed_is_not_recorded(flow: FlowSite) -> None:
    flow.configure(stage={"gates": ["ticket"], "overridable": ["ticket"]})
    flow.push("develop", subject="KEY-5 With")
    flow.promoted("stage", "--override", "ticket", "--reason", "just in case")
    assert flow.kinds() == ["promotion"]


def test_an_override_has_to_be_allowed_by_production(flow: FlowSite) -> None:
    flow.configure(stage={"gates": ["ticket"]})
    allowed = json.loads(json.dumps(flow.model))
    allowed["saltenvs"]["stage"]["overridable"] = ["ticket"]
    flow.push("develop", {"saltbranch.yaml": json.dumps(allowed)}, "Allow it")
    (flow.clone / "saltbranch.yaml").write_text(json.dumps(allowed))
    said = flow.refused("promote", "stage", "--yes", "--override", "ticket", "--reason", "r")
    assert "the gate 'ticket' of stage may not be overridden" in said
    assert "saltenvs.stage.overridable" in said


@pytest.mark.parametrize("gate", ["hold", "debts"])
def test_built_in_gates_are_overridable_only_where_it_says_so(flow: FlowSite, gate: str) -> None:
    flow.configure(stage={"overridable": [gate]})
    flow.push("develop")
    flow.well("hold", "stage", "--reason", "freeze", "--yes")
    words = ("promote", "stage", "--yes", "--override", gate, "--reason", "urgent")
    if gate == "debts":
        assert "hold: fail" in flow.refused(*words)
    else:
        flow.well(*words)


def test_an_unknown_gate_is_wrong_usage(flow: FlowSite) -> None:
    flow.push("develop")
    words = ("promote", "stage", "--yes", "--override", "soka", "--reason", "r")
    said = flow.refused(*words, code=2)
    assert "there is no gate 'soka' here" in said
    assert "gates: hold, debts" in said


# why-not


def test_promote_28_why_not_gives_every_gate_with_value_and_time(flow: FlowSite) -> None:
    flow.configure(prod={"gates": ["ticket", {"soak": "2h"}, "identical"]})
    flow.push("develop", subject="KEY-5 With")
    flow.served("stage", flow.promoted("stage"), ago=HOUR)
    ran = flow.run("why-not", "prod")
    assert (ran.code, [re.sub(r", \w+ 20.*", "", line) for line in ran.out.splitlines()]) == (
        4,
        [
            "hold: pass, nothing is held",
            "debts: pass, no hotfix is missing",
            "ticket: pass, every commit names a ticket",
            "soak: fail, served by stage for 60 min of 2 h; passes in 60 min",
            "identical: pass, the same tree as stage serves",
            "all of it passes in 60 min",
        ],
    )
    found = json.loads(flow.run("why-not", "prod", "--json").out)
    assert (found["version"], found["saltenv"], found["possible"]) == (1, "prod", False)
    assert found["passes_at"] == next(g for g in found["gates"] if g["gate"] == "soak")["passes_at"]


def test_why_not_gives_no_time_when_waiting_does_not_help(flow: FlowSite) -> None:
    flow.configure(prod={"gates": ["ticket", {"soak": "2h"}]})
    flow.push("develop", subject="Without")
    flow.served("stage", flow.promoted("stage"), ago=HOUR)
    ran = flow.run("why-not", "prod")
    assert ran.code == 4
    assert ran.out.splitlines()[-1] == "time alone does not open: ticket"
    assert json.loads(flow.run("why-not", "prod", "--json").out)["passes_at"] is None


def test_why_not_when_nothing_stands_in_the_way_and_when_there_is_nothing(flow: FlowSite) -> None:
    ran = flow.well("why-not", "stage")
    assert ran.out == "stage (stage) has all of develop: nothing to do\n"
    flow.push("develop")
    before = flow.refs()
    ran = flow.well("why-not", "stage")
    assert ran.out.endswith("nothing is in the way: saltbranch promote stage\n")
    assert flow.refs() == before


# Which verb asks


def feature(flow: FlowSite, text: str) -> None:
    flow.well("feature", "start", "ntp")
    top = "base:\n  '*': [app, ntp]\n"
    flow.commit({"salt/top.sls": top, "salt/ntp.sls": text}, "KEY-7 Time")


def test_feature_finish_asks_check_and_may_be_overridden_as_a_promotion(flow: FlowSite) -> None:
    flow.configure(test={"gates": [{"check": "static"}], "overridable": ["check"]})
    feature(flow, "ntp:\n  test.nop:\n    - require:\n      - test: nosuch\na: b: c\n")

    verdict, reason = flow.gates("feature", "finish")["check"]
    assert verdict == "fail" and "salt/ntp.sls" in reason
    assert "check: fail" in flow.refused("feature", "finish", "--yes")
    words = ("feature", "finish", "--yes", "--override", "check")
    assert "--reason" in flow.refused(*words, code=2)
    flow.well(*words, "--reason", "it is fixed next")

    made = flow.state().events
    assert [(e.kind, e.text("saltenv"), e.text("gate"), e.text("reason")) for e in made] == [
        ("override", "test", "check", "it is fixed next")
    ]
    assert flow.show(flow.head("develop"), "salt/ntp.sls") is not None


def test_feature_finish_passes_the_same_gate_where_all_is_well(flow: FlowSite) -> None:
    flow.configure(test={"gates": [{"check": "static"}]})
    feature(flow, "ntp:\n  test.nop: []\n")

    assert flow.gates("feature", "finish")["check"] == ("pass", "no new errors")
    flow.well("feature", "finish", "--yes")


def test_a_model_with_a_gate_that_nobody_could_ask_is_not_promoted(flow: FlowSite) -> None:
    changed = {**flow.model["saltenvs"]["test"], "gates": ["identical"]}
    text = json.dumps({"saltenvs": {**flow.model["saltenvs"], "test": changed}})
    flow.push("develop", {"saltbranch.yaml": text})

    verdict, reason = flow.gates("promote", "stage")["model"]
    assert verdict == "fail"
    assert "saltenvs.test.gates: identical cannot be checked" in reason


def test_a_plan_names_the_gates_that_its_verb_does_not_ask(flow: FlowSite) -> None:
    flow.configure(prod={"gates": ["ticket", {"soak": "2h"}, "identical"]})
    flow.well("hotfix", "start", "1.0.1")
    flow.commit({"salt/fix.sls": "fix:\n  test.nop: []\n"}, "KEY-8 Fix")

    plan = flow.plan("hotfix", "finish")

    assert "ticket" in [g["gate"] for g in plan["gates"]]
    assert [n.partition(":")[0] for n in plan["notes"]] == ["gate soak", "gate identical"]
    assert plan["notes"][0].startswith("gate soak: not asked by hotfix finish: ")
