"""Conflicts that a person resolves: --resolve, --continue, --abort, in every state."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.flow_site import FlowSite

PATH = "salt/app/init.sls"
RESOLVED = "app:\n  test.nop: [{a: both}]\n"
LINES = "app:\n  test.nop: [{{a: {}}}]\n"


class Conflict:
    """develop and stage that changed the same line, and the worktree to resolve it in."""

    def __init__(self, flow: FlowSite) -> None:
        self.flow = flow
        self.folder = flow.folder / "conflict"
        self.theirs = flow.push("develop", {PATH: LINES.format("develop")}, "KEY-5 Develop side")
        self.ours = flow.push("stage", {PATH: LINES.format("stage")}, "KEY-6 Stage side")

    def begin(self) -> Conflict:
        self.flow.well("promote", "stage", "--resolve", str(self.folder))
        return self

    def write(self, text: str = RESOLVED, path: str = PATH) -> None:
        (self.folder / path).write_text(text)

    def git(self, *words: str) -> str:
        argv = ["git", "-C", str(self.folder), *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def resolve(self) -> None:
        self.write()
        self.git("add", "-A")

    def go_on(self) -> str:
        """--continue that has to work; the new head of stage."""
        self.flow.well("promote", "stage", "--continue", "--yes")
        assert not self.folder.exists()
        assert self.flow.git("worktree", "list").count("\n") == 0
        assert not list((self.flow.clone / ".git").glob("worktrees/*"))
        return self.flow.head("stage")

    def refused(self, word: str = "--continue") -> str:
        assert self.flow.run("promote", "stage", word, "--plan").code in (0, 4)
        return self.flow.refused("promote", "stage", word, "--yes")


@pytest.fixture
def conflict(flow: FlowSite) -> Conflict:
    return Conflict(flow).begin()


def test_resolve_opens_a_worktree_with_the_conflict_and_says_what_to_do(flow: FlowSite) -> None:
    conflict = Conflict(flow)
    before = flow.refs()
    ran = flow.well("promote", "stage", "--resolve", str(conflict.folder))
    assert ran.out == (
        f"the conflict is in {conflict.folder}:\n"
        f"  {PATH}\n"
        "edit these files, then:\n"
        f"  git -C {conflict.folder} add -- FILE...\n"
        "  saltbranch promote stage --continue    (or --abort)\n"
    )
    text = (conflict.folder / PATH).read_text()
    assert "<<<<<<< HEAD\napp:\n  test.nop: [{a: stage}]\n" in text
    assert f"  test.nop: [{{a: develop}}]\n>>>>>>> {conflict.theirs}\n" in text
    assert conflict.git("rev-parse", "HEAD", "MERGE_HEAD").split() == [
        conflict.ours,
        conflict.theirs,
    ]
    assert flow.refs() == before
    assert flow.git("status", "--porcelain") == ""


def test_resolve_as_json(flow: FlowSite) -> None:
    conflict = Conflict(flow)
    ran = flow.well("promote", "stage", "--resolve", str(conflict.folder), "--json")
    assert json.loads(ran.out) == {
        "version": 1,
        "folder": str(conflict.folder),
        "conflicts": [PATH],
    }


def test_continue_promotes_what_the_person_made(conflict: Conflict) -> None:
    flow = conflict.flow
    conflict.resolve()
    plan = flow.plan("promote", "stage", "--continue")
    assert plan["steps"][0]["kind"] == "merge"
    new = conflict.go_on()
    assert flow.parents(new) == [conflict.ours, conflict.theirs]
    assert flow.show(new, PATH) == RESOLVED
    assert flow.head("develop") == new, "develop gets the resolution, or the conflict comes again"
    assert [p.new for p in flow.state().promotions] == [new]
    assert flow.well("promote", "stage", "--plan").out.endswith("nothing to do\n")


def test_continue_works_from_inside_the_worktree(conflict: Conflict) -> None:
    conflict.resolve()
    ran = conflict.flow.run("promote", "stage", "--continue", "--yes", cwd=conflict.folder)
    assert ran.code == 0, ran
    assert conflict.flow.contains("stage", conflict.theirs)


def test_expect_counts_for_continue_too(conflict: Conflict) -> None:
    conflict.resolve()
    digest = conflict.flow.plan("promote", "stage", "--continue")["digest"]
    conflict.write("other: {test.nop: []}\n")
    conflict.git("add", "-A")
    words = ("promote", "stage", "--continue", "--yes", "--expect", digest)
    assert "not the expected one" in conflict.flow.refused(*words)
    conflict.resolve()
    conflict.flow.well(*words)


def test_gates_see_the_resolved_tree(flow: FlowSite) -> None:
    gate = flow.folder / "gate"
    gate.write_text(
        "#!/bin/sh\nexec python3 -c '\nimport json, subprocess, sys\nd = json.load(sys.stdin)\n"
        f'spec = d["merged_commit"] + ":{PATH}"\n'
        'text = subprocess.check_output(["git", "--git-dir", d["git_dir"], "cat-file", "blob", spec])\n'
        'sys.exit(b"both" not in text)\'\n'
    )
    gate.chmod(0o755)
    flow.configure(stage={"gates": [{"command": str(gate)}]})
    conflict = Conflict(flow)
    gates = {g["gate"]: g["verdict"] for g in flow.plan("promote", "stage")["gates"]}
    assert gates["gate"] == "cannot-tell"
    conflict.begin()
    conflict.write("neither: {test.nop: []}\n")
    conflict.git("add", "-A")
    assert "gate: fail" in flow.refused("promote", "stage", "--continue", "--yes")
    conflict.resolve()
    conflict.go_on()


# What is not finished


def test_unresolved_is_refused_with_the_files(conflict: Conflict) -> None:
    said = conflict.refused()
    assert f"not resolved yet in {conflict.folder}: '{PATH}'" in said
    conflict.write()
    assert "not resolved yet" in conflict.refused(), "edited is not added"


def test_markers_that_were_added_are_refused(conflict: Conflict) -> None:
    conflict.git("add", "-A")
    assert f"has conflict markers left: {PATH}:1: leftover conflict marker" in conflict.refused()
    conflict.git("commit", "--quiet", "-m", "with markers")
    assert "has conflict markers left" in conflict.refused()
    conflict.resolve()
    conflict.go_on()


def test_changes_that_are_not_staged_are_refused(conflict: Conflict) -> None:
    conflict.resolve()
    conflict.write("later: {test.nop: []}\n")
    assert "has changes that are not staged" in conflict.refused()
    conflict.git("add", "-A")
    new = conflict.go_on()
    assert conflict.flow.show(new, PATH) == "later: {test.nop: []}\n"


def test_committed_by_the_person_counts(conflict: Conflict) -> None:
    conflict.resolve()
    conflict.git("commit", "--quiet", "-m", "Resolved")
    new = conflict.go_on()
    assert conflict.flow.show(new, PATH) == RESOLVED
    assert conflict.flow.parents(new) == [conflict.ours, conflict.theirs]


def test_what_was_staged_after_the_commit_counts_too(conflict: Conflict) -> None:
    conflict.resolve()
    conflict.git("commit", "--quiet", "-m", "Resolved")
    conflict.write("more: {test.nop: []}\n", "salt/more.sls")
    conflict.git("add", "-A")
    assert "salt/more.sls" in conflict.flow.files(conflict.go_on())


@pytest.mark.parametrize(
    "words", [("merge", "--abort"), ("reset", "--hard"), ("checkout", "--force", "HEAD~1")]
)
def test_promote_18_a_merge_that_was_given_up_never_loses_a_side(
    conflict: Conflict, words: tuple[str, ...]
) -> None:
    conflict.git(*words)
    assert "it was given up, or never begun" in conflict.refused()
    conflict.flow.well("promote", "stage", "--abort")
    assert not conflict.folder.exists()


def test_a_commit_that_lacks_the_source_is_refused(conflict: Conflict) -> None:
    conflict.git("reset", "--quiet", "--hard")
    conflict.write()
    conflict.git("commit", "--quiet", "-am", "Only mine")
    assert "it was given up, or never begun" in conflict.refused()


# The folder


def test_promote_03_abort_reaches_cleanup_from_every_state(conflict: Conflict) -> None:
    for step in ("nothing", "edited", "added", "committed"):
        if step != "nothing":
            conflict.write()
        if step in ("added", "committed"):
            conflict.git("add", "-A")
        if step == "committed":
            conflict.git("commit", "--quiet", "-m", "Resolved")
        before = conflict.flow.refs()
        ran = conflict.flow.well("promote", "stage", "--abort")
        assert ran.out == f"promote stage: forgotten; {conflict.folder} is removed\n"
        assert not conflict.folder.exists()
        assert conflict.flow.refs() == before
        conflict.begin()


def test_promote_03_a_folder_that_was_deleted_blocks_nothing(conflict: Conflict) -> None:
    shutil.rmtree(conflict.folder)
    said = conflict.refused()
    assert f"{conflict.folder}, where the conflict was to be resolved, is gone" in said
    assert "saltbranch promote stage --abort, then --resolve DIR anew" in said
    conflict.flow.well("promote", "stage", "--abort")
    conflict.begin()
    conflict.resolve()
    conflict.go_on()


def test_abort_leaves_alone_what_it_did_not_make(conflict: Conflict) -> None:
    shutil.rmtree(conflict.folder)
    conflict.folder.mkdir()
    (conflict.folder / "mine.txt").write_text("precious\n")
    assert "is gone" in conflict.refused()
    ran = conflict.flow.well("promote", "stage", "--abort")
    assert "is something else by now and was left alone" in ran.out
    assert (conflict.folder / "mine.txt").read_text() == "precious\n"
    assert "no conflict of promote stage" in conflict.refused("--abort")


def test_abort_forgets_no_worktree_of_somebody_else(conflict: Conflict) -> None:
    other = conflict.flow.folder / "other"
    conflict.flow.git("worktree", "add", "--quiet", "--detach", str(other))
    away = other.rename(conflict.flow.folder / "unmounted")
    conflict.flow.well("promote", "stage", "--abort")
    away.rename(other)
    assert str(other) in conflict.flow.git("worktree", "list")


def test_a_worktree_that_git_removed_is_forgotten(conflict: Conflict) -> None:
    conflict.flow.git("worktree", "remove", "--force", str(conflict.folder))
    assert "no conflict of promote stage is being resolved" in conflict.refused()
    conflict.begin()


def test_a_second_resolve_names_the_first(conflict: Conflict) -> None:
    said = conflict.flow.refused("promote", "stage", "--resolve", f"{conflict.folder}2")
    assert f"this conflict is being resolved already, in {conflict.folder}" in said
    assert not Path(f"{conflict.folder}2").exists()
    notes = conflict.flow.plan("promote", "stage")["notes"]
    assert notes == [f"it is being resolved in {conflict.folder}: --continue, or --abort"]


def test_a_folder_that_holds_something_is_refused(flow: FlowSite) -> None:
    conflict = Conflict(flow)
    conflict.folder.mkdir()
    (conflict.folder / "mine.txt").write_text("precious\n")
    for place in (conflict.folder, conflict.folder / "mine.txt", flow.clone):
        said = flow.refused("promote", "stage", "--resolve", str(place), code=2)
        assert "is there already and not empty" in said
    assert [p.name for p in conflict.folder.iterdir()] == ["mine.txt"]
    (conflict.folder / "mine.txt").unlink()
    conflict.begin()


def test_without_a_conflict_there_is_nothing_to_resolve(flow: FlowSite) -> None:
    flow.push("develop")
    said = flow.refused("promote", "stage", "--resolve", str(flow.folder / "conflict"))
    assert "develop merges into stage without a conflict" in said
    assert not (flow.folder / "conflict").exists()
    for word in ("--continue", "--abort"):
        assert "no conflict of promote stage is being resolved" in flow.refused(
            "promote", "stage", word, "--yes"
        )


# The remote moves meanwhile


def test_a_target_that_moved_meanwhile_is_refused_and_rerere_remembers(conflict: Conflict) -> None:
    flow = conflict.flow
    conflict.resolve()
    conflict.flow.plan("promote", "stage", "--continue")
    flow.push("stage")
    said = conflict.refused()
    assert "stage has moved on since the conflict was resolved" in said
    flow.well("promote", "stage", "--abort")
    conflict.begin()
    assert (conflict.folder / PATH).read_text() == RESOLVED, "git rerere has the resolution"
    conflict.git("add", "-A")
    conflict.go_on()


def test_a_source_that_moved_meanwhile_does_not_matter(conflict: Conflict) -> None:
    flow = conflict.flow
    conflict.resolve()
    later = flow.push("develop")
    new = conflict.go_on()
    assert flow.parents(new) == [conflict.ours, conflict.theirs]
    assert not flow.contains("stage", later)
    assert flow.contains("develop", new)
    assert flow.contains("develop", later)


def test_somebody_else_promoted_it_meanwhile(conflict: Conflict) -> None:
    flow = conflict.flow
    conflict.resolve()
    flow.remote.merge("develop", "stage")
    ran = flow.well("promote", "stage", "--continue", "--yes")
    assert "nothing to do" in ran.out
    assert not conflict.folder.exists()


def test_owned_paths_are_not_part_of_the_conflict(flow: FlowSite) -> None:
    flow.configure(stage={"saltenv_owned": ["pillar/app.sls"]})
    flow.push("develop", {"pillar/app.sls": "workers: develop\n"})
    flow.push("stage", {"pillar/app.sls": "workers: stage\n"})
    conflict = Conflict(flow).begin()
    assert (conflict.folder / "pillar/app.sls").read_text() == "workers: stage\n"
    conflict.resolve()
    new = conflict.go_on()
    assert flow.show(new, "pillar/app.sls") == "workers: stage\n"
    assert flow.parents(new) == [conflict.ours, conflict.theirs]
    assert flow.show("develop", "pillar/app.sls") == "workers: develop\n"


# The other verbs


def test_a_feature_that_conflicts_is_resolved_and_its_branch_goes(flow: FlowSite) -> None:
    flow.well("feature", "start", "key-7")
    flow.commit({PATH: LINES.format("feature")}, "KEY-7 Feature")
    flow.well("feature", "publish")
    flow.push("develop", {PATH: LINES.format("develop")}, "KEY-8 Develop")
    folder = flow.folder / "conflict"
    assert flow.run("feature", "finish", "--yes").code == 4
    ran = flow.well("feature", "finish", "--resolve", str(folder))
    assert "saltbranch feature finish feature/key-7 --continue" in ran.out
    (folder / PATH).write_text(RESOLVED)
    subprocess.run(["git", "-C", folder, "add", "-A"], check=True)
    flow.well("feature", "finish", "--continue", "--yes")
    assert flow.show("develop", PATH) == RESOLVED
    assert "refs/heads/feature/key-7" not in flow.refs()
    assert "feature/key-7" not in flow.git("branch")


def test_promote_03_abort_needs_neither_branch_nor_a_clean_work_tree(flow: FlowSite) -> None:
    flow.well("feature", "start", "key-7")
    flow.commit({PATH: LINES.format("feature")}, "KEY-7 Feature")
    flow.push("develop", {PATH: LINES.format("develop")}, "KEY-8 Develop")
    folder = flow.folder / "conflict"
    flow.well("feature", "finish", "--resolve", str(folder))
    (flow.clone / PATH).write_text("dirty\n")
    flow.well("feature", "finish", "--abort")
    flow.git("reset", "--quiet", "--hard")
    flow.well("feature", "finish", "--resolve", str(folder))
    flow.git("switch", "--quiet", "develop")
    flow.git("branch", "-D", "feature/key-7")
    flow.well("feature", "finish", "key-7", "--abort")
    assert not folder.exists()


def test_two_conflicts_at_once_do_not_meet(conflict: Conflict) -> None:
    flow = conflict.flow
    flow.push("master", {PATH: LINES.format("master")}, "KEY-9 Prod")
    other = flow.folder / "other"
    flow.well("promote", "prod", "--resolve", str(other))
    conflict.resolve()
    conflict.flow.well("promote", "stage", "--continue", "--yes")
    assert other.exists()
    said = flow.refused("promote", "stage", "--continue", "--yes")
    assert f"(open: promote prod in {other})" in said
    flow.well("promote", "prod", "--abort")
