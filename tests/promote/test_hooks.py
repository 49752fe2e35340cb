"""Hooks of promotions: told once each, the first may veto, a failing second is reported."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from saltbranch.git.mirror import JOURNAL_REF
from tests.support.flow_site import FlowSite


class Hooks:
    """Two programs that write down what they are told, a line each, and end as they are told."""

    def __init__(self, flow: FlowSite, **codes: int) -> None:
        self.flow = flow
        hooks = {name: str(self._program(name, codes.get(name, 0))) for name in ("before", "after")}
        flow.configure(
            top={"hooks": {f"{name}_promote": path for name, path in hooks.items()}},
            stage={"gates": [{"command": "true", "name": "lint"}]},
        )

    def _program(self, name: str, code: int) -> Path:
        path = self.flow.folder / name
        log = self.flow.folder / f"{name}.log"
        path.write_text(
            f"#!/bin/sh\ncat >> {log}\necho >> {log}\necho {name} says hello\nexit {code}\n"
        )
        path.chmod(0o755)
        return path

    def told(self, name: str) -> list[dict[str, Any]]:
        log = self.flow.folder / f"{name}.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def hooks(flow: FlowSite) -> Hooks:
    return Hooks(flow)


def test_promote_34_both_are_told_once_of_each_promotion(hooks: Hooks) -> None:
    flow = hooks.flow
    for number in (1, 2):
        flow.push("develop")
        plan = flow.plan("promote", "stage")
        new = flow.promoted("stage")
        promotion = flow.state().promotions[-1]
        before, after = hooks.told("before"), hooks.told("after")
        assert (len(before), len(after)) == (number, number)
        assert before[-1] == {**plan, "id": promotion.id}
        assert after[-1] == {**plan, "id": promotion.id, "new": new}


def test_promote_34_the_first_may_veto(flow: FlowSite) -> None:
    hooks = Hooks(flow, before=1)
    flow.push("develop")
    said = flow.refused("promote", "stage", "--yes")
    assert "stage: the hook before_promote" in said
    assert "it ended with 1" in said
    assert "before says hello" in said
    assert hooks.told("after") == []


def test_promote_34_a_failing_second_is_reported(flow: FlowSite) -> None:
    Hooks(flow, after=3)
    source = flow.push("develop")
    ran = flow.run("promote", "stage", "--yes")
    assert ran.code == 20
    assert flow.contains("stage", source), "the promotion is done"
    assert "the hook after_promote" in ran.err
    assert "it ended with 3\n  after says hello" in ran.err
    assert flow.well("promote", "stage", "--yes").err == "", "told once, not again"
    flow.push("develop")
    ran = flow.run("promote", "stage", "--yes", "--json")
    assert ran.code == 20
    (problem,) = json.loads(ran.out)["problems"]
    assert "it ended with 3" in problem


def test_hooks_that_cannot_start(flow: FlowSite) -> None:
    flow.configure(top={"hooks": {"before_promote": "/nonexistent/hook"}})
    flow.push("develop")
    assert "cannot start '/nonexistent/hook'" in flow.refused("promote", "stage", "--yes")


def test_hooks_are_told_of_releases_and_hotfixes_and_not_of_features(hooks: Hooks) -> None:
    flow = hooks.flow
    flow.push_branch("feature/key-3", "develop")
    flow.well("feature", "finish", "key-3", "--yes")
    assert hooks.told("before") == []
    flow.push_branch("release/1.4", "develop")
    flow.well("release", "finish", "1.4", "--yes")
    flow.push_branch("hotfix/1.0.1", "master")
    flow.well("hotfix", "finish", "1.0.1", "--yes")
    verbs = ["release finish release/1.4", "hotfix finish hotfix/1.0.1"]
    assert [t["verb"] for t in hooks.told("before")] == verbs
    assert [t["verb"] for t in hooks.told("after")] == verbs


def test_hooks_are_not_told_of_plans_and_refusals(hooks: Hooks) -> None:
    flow = hooks.flow
    flow.push("develop")
    flow.plan("promote", "stage")
    flow.refused("promote", "stage")
    flow.refused("promote", "stage", "--yes", "--expect", "0" * 16)
    flow.well("promote", "prod", "--yes")
    assert hooks.told("before") == []
    assert hooks.told("after") == []


def test_promote_34_told_once_for_a_resolved_conflict(hooks: Hooks) -> None:
    flow = hooks.flow
    flow.push("develop", {"salt/app/init.sls": "a: {test.nop: []}\n"})
    flow.push("stage", {"salt/app/init.sls": "b: {test.nop: []}\n"})
    flow.refused("promote", "stage", "--yes")
    folder = flow.folder / "conflict"
    flow.well("promote", "stage", "--resolve", str(folder))
    (folder / "salt/app/init.sls").write_text("c: {test.nop: []}\n")
    subprocess.run(["git", "-C", folder, "add", "-A"], check=True)
    flow.well("promote", "stage", "--continue", "--yes")
    assert len(hooks.told("before")) == len(hooks.told("after")) == 1


def test_promote_34_told_once_when_a_race_was_lost_in_between(hooks: Hooks) -> None:
    flow = hooks.flow
    flow.push("develop")
    once = flow.race(JOURNAL_REF, flow.prepared("unhold", saltenv="prod"))
    flow.promoted("stage")
    assert once.exists()
    assert len(hooks.told("before")) == len(hooks.told("after")) == 1


def test_the_second_is_told_later_when_the_process_died_in_between(hooks: Hooks) -> None:
    """After the push, before the hook: what was noted down beside the repository tells it."""
    flow = hooks.flow
    flow.push("develop")
    flow.promoted("stage")
    log = flow.folder / "after.log"
    (told,) = hooks.told("after")
    log.unlink()
    folder = flow.clone / ".git" / "saltbranch"
    assert list(folder.iterdir()) == []
    note = {k: v for k, v in told.items() if k != "new"}
    (folder / f"{told['id']}.json").write_text(json.dumps(note))
    flow.well("promote", "stage", "--yes")
    assert hooks.told("after") == [told]
    assert list(folder.iterdir()) == []


def test_hooks_come_from_production_and_not_from_the_work_tree(hooks: Hooks) -> None:
    flow = hooks.flow
    (flow.clone / "saltbranch.yaml").write_text(
        json.dumps({**flow.model, "hooks": {"before_promote": "/bin/false"}})
    )
    flow.push("develop")
    flow.promoted("stage")
    assert len(hooks.told("before")) == 1
