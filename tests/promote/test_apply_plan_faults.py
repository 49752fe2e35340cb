"""The remote says no, dies, moves or goes away in the middle of a promotion: all of it is there, or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from saltbranch.git.mirror import JOURNAL_REF
from tests.support.agreed import agree_in_all
from tests.support.project import Clone, Project, model

GITHUB = "remote: error: GH006: Protected branch update failed for refs/heads/master."
GITLAB = "GitLab: You are not allowed to push code to protected branches on this project."
JOURNAL = f"{JOURNAL_REF}"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Three branches, and on develop one commit more."""
    found = Project(tmp_path)
    found.remote.commit("develop", {"salt/ntp.sls": "ntp\n"}, message="KEY-2 add ntp")
    return found


@pytest.fixture
def ann(project: Project) -> Clone:
    return project.clone("ann")


def hotfix(project: Project, clone: Clone) -> None:
    """A hotfix that is ready in the clone: with it, a push moves five refs."""
    clone.well("promote", "stage")
    clone.branch("hotfix/1.0.1", project.remote.head("master"), {"salt/fix.sls": "fix\n"}, "KEY-3")


FIX_REFS = [f"refs/heads/{b}" for b in ("master", "stage", "develop")] + [
    "refs/tags/v1.0.1",
    JOURNAL,
]


# A server that says no


@pytest.mark.parametrize("ref", FIX_REFS)
def test_one_ref_that_is_refused_keeps_all_where_they_are(
    project: Project, ann: Clone, ref: str
) -> None:
    hotfix(project, ann)
    before = project.refs()
    project.hook("update", f'[ "$1" != {ref} ] || {{ echo "not on a Friday" >&2; exit 1; }}')
    ran = ann.run("hotfix", "finish", "1.0.1", "--yes")
    assert ran.code == 4
    assert (
        "took nothing, it declined" in ran.err and ref in ran.err and "not on a Friday" in ran.err
    )
    assert project.refs() == before
    project.unhook("update")
    said = ann.well("hotfix", "finish", "1.0.1")
    assert {m["ref"] for m in said["moved"]} == set(FIX_REFS)
    project.check()


def test_server_that_refuses_all_is_quoted_without_control_characters(
    project: Project, ann: Clone
) -> None:
    before = project.refs()
    project.hook("pre-receive", r"printf '\033[31mmaintenance\033[0m\n' >&2; exit 1")
    ran = ann.run("promote", "stage", "--yes")
    assert ran.code == 4 and "maintenance" in ran.err
    assert "\033" not in ran.err
    assert project.refs() == before


def test_server_without_atomic_pushes_is_not_pushed_to(project: Project, ann: Clone) -> None:
    before = project.refs()
    project.remote.git("config", "receive.advertiseAtomic", "false")
    ran = ann.run("promote", "stage", "--yes")
    assert ran.code == 4
    assert "cannot push several refs as one" in ran.err and "2.4" in ran.err
    assert project.refs() == before


# A protected branch


def protect(project: Project, text: str) -> None:
    project.hook("update", f'[ "$1" != refs/heads/stage ] || {{ echo "{text}" >&2; exit 1; }}')


@pytest.mark.parametrize("text", [GITHUB, GITLAB])
def test_protected_branch_is_recognised_and_another_way_is_shown(
    project: Project, ann: Clone, text: str
) -> None:
    before = project.refs()
    protect(project, text)
    ran = ann.run("promote", "stage", "--yes")
    assert ran.code == 4
    assert "the branch is protected there" in ran.err and text in ran.err
    assert "saltbranch promote stage --via branch" in ran.err
    assert project.refs() == before


def test_via_branch_pushes_the_merge_and_nothing_else(project: Project, ann: Clone) -> None:
    before = project.refs()
    protect(project, GITHUB)
    said = ann.well("promote", "stage", "--via", "branch")
    ref = f"refs/heads/promote/stage/{said['id']}"
    assert project.refs() == before | {ref: said["new"]}
    parents = project.remote.git("rev-list", "--parents", "-1", said["new"]).split()[1:]
    assert parents == [before["refs/heads/stage"], before["refs/heads/develop"]]
    message = project.remote.git("log", "-1", "--format=%(trailers:only)", said["new"])
    assert f"Promotion-Id: {said['id']}" in message and "Promoted-To: stage" in message
    project.check()


@pytest.mark.parametrize("how", ["merge commit", "fast-forward"])
def test_what_was_merged_there_is_promoted_further(project: Project, ann: Clone, how: str) -> None:
    """The pull request's merge is a promotion like any other: nothing is left to do, prod gets it."""
    said = ann.well("promote", "stage", "--via", "branch")
    merge_there(project, said, how)
    again = ann.run("promote", "stage", "--yes")
    assert again.code == 0 and "nothing to do" in again.out
    (entry,) = json.loads(ann.run("history", "stage", "--json").out)["entries"]
    assert (entry["id"], entry["new"]) == (said["id"], project.remote.head("stage"))
    ann.well("promote", "prod")
    assert project.contains("master", said["new"])
    assert project.text("master", "salt/ntp.sls") == "ntp\n"
    project.check()


@pytest.mark.parametrize("how", ["merge commit", "fast-forward"])
def test_what_was_merged_there_can_be_rolled_back(project: Project, ann: Clone, how: str) -> None:
    before = project.remote.head("stage")
    said = ann.well("promote", "stage", "--via", "branch")
    merge_there(project, said, how)
    back = ann.well("rollback", "stage", "--reason", "KEY-2 is bad")
    assert back["promotion"] == said["id"]
    assert project.state().holds["stage"].commit == before
    project.check()


def merge_there(project: Project, said: dict[str, object], how: str) -> None:
    """What the server does at the press of the button."""
    branch = f"promote/stage/{said['id']}"
    if how == "fast-forward":
        project.remote.set_branch("stage", str(said["new"]))
    else:
        project.remote.merge(branch, "stage")
    project.remote.delete_branch(branch)


def test_via_branch_while_the_target_moves_on_is_still_mergeable(
    project: Project, ann: Clone
) -> None:
    said = ann.well("promote", "stage", "--via", "branch")
    project.remote.commit("stage", {"salt/other.sls": "other\n"}, message="KEY-8 by hand")
    twin = ann.well("promote", "stage", "--via", "branch")
    assert twin["id"] != said["id"] and twin["digest"] != said["digest"]
    assert f"refs/heads/promote/stage/{said['id']}" in project.refs()


def test_via_branch_twice_finds_its_own_branch(project: Project, ann: Clone) -> None:
    said = ann.well("promote", "stage", "--via", "branch")
    before = project.refs()
    again = ann.well("promote", "stage", "--via", "branch")
    assert project.refs() == before
    assert (again["id"], again["new"], again["moved"]) == (said["id"], said["new"], [])
    branch = f"promote/stage/{said['id']}"
    assert again["notes"] == [f"{branch} is on the remote already"]
    text = ann.run("promote", "stage", "--via", "branch", "--yes").out
    assert f"open a pull request from {branch} into stage" in text
    rows = json.loads(ann.run("status", "--json").out)["saltenvs"]
    waits = {row["saltenv"]: [p["branch"] for p in row["proposed"]] for row in rows}
    assert waits == {"test": [], "stage": [branch], "prod": []}
    assert f"{branch} waits to be merged into stage" in ann.run("status").out
    merge_there(project, said, "merge commit")
    assert "waits to be merged" not in ann.run("status").out


# A server that dies in the middle of the push

# reference-transaction (githooks(5)) is run by receive-pack when the refs are locked, and again when they have moved.
DIES = {
    "before": ("pre-receive", "kill -TERM $PPID"),
    "locked": ("reference-transaction", '[ "$1" != prepared ] || kill -TERM $PPID'),
    "moved": ("reference-transaction", '[ "$1" != committed ] || kill -KILL $PPID'),
}


@pytest.mark.parametrize("moment", DIES)
def test_dead_server_is_asked_what_became_of_the_push(
    project: Project, ann: Clone, moment: str
) -> None:
    hotfix(project, ann)
    before = project.refs()
    project.hook(*DIES[moment])
    ran = ann.run("hotfix", "finish", "1.0.1", "--yes")
    project.unhook(DIES[moment][0])
    if moment == "moved":
        assert ran.code == 0, ran
        assert {ref for ref in project.refs() if project.refs()[ref] != before.get(ref)} == set(
            FIX_REFS
        )
    else:
        assert ran.code == 1 and "nothing was pushed" in ran.err, ran
        assert project.refs() == before
        ann.well("hotfix", "finish", "1.0.1")
    assert project.text("develop", "salt/fix.sls") == "fix\n"
    assert [p.kind for p in project.state().promotions_to("prod")] == ["hotfix"]
    project.check()


def test_dead_server_and_a_quick_neighbour_do_not_hide_that_the_push_arrived(
    project: Project, ann: Clone
) -> None:
    """When the remote is looked at, the branch is beyond what was pushed already."""
    more = 'git update-ref refs/heads/stage $(git commit-tree -p stage -m more "stage^{tree}")'
    there = project.remote.path / "once"
    project.hook(
        "reference-transaction",
        f'[ "$1" = committed ] && mkdir {there} || exit 0\nunset GIT_QUARANTINE_PATH\n{more}\nkill -KILL $PPID',
    )
    ran = ann.run("promote", "stage", "--yes", "--json")
    assert ran.code == 0, ran
    said = json.loads(ran.out)
    assert project.remote.head("stage") != said["new"]
    assert project.contains("stage", said["new"])
    assert [p.id for p in project.state().promotions_to("stage")] == [said["id"]]
    project.check()


def test_nothing_is_known_while_the_server_stays_away_and_the_next_run_finds_out(
    project: Project, ann: Clone, tmp_path: Path
) -> None:
    told = with_hooks(project, after=True)
    ann.git("fetch", "-q")
    away = tmp_path / "away"
    project.hook(
        "reference-transaction",
        f'[ "$1" != committed ] || {{ mv {project.remote.path} {away}; kill -KILL $PPID; }}',
    )
    ran = ann.run("promote", "stage", "--yes")
    assert ran.code == 1 and "the connection broke during the push" in ran.err
    assert "run the same command again" in ran.err
    away.rename(project.remote.path)
    project.unhook("reference-transaction")
    again = ann.run("promote", "stage", "--yes")
    assert again.code == 0 and "nothing to do" in again.out
    (promotion,) = project.state().promotions_to("stage")
    assert [json.loads(line)["id"] for line in told.read_text().splitlines()] == [promotion.id]


# The remote moves between plan and apply


def with_hooks(project: Project, before: str = "", *, after: bool = False) -> Path:
    """Let the model name hooks: the shell script `before`, and one that writes down what it was told."""
    told = project.folder / "told"
    commands = {}
    if after:
        commands["after_promote"] = ["/bin/sh", "-c", f"cat >>{told}; echo >>{told}"]
    if before:
        script = project.folder / "before.sh"
        script.write_text(f"cd {project.remote.path} || exit\n{before}\n")
        commands["before_promote"] = ["/bin/sh", str(script)]
    keys = model() | {"hooks": commands}
    for branch in ("master", "stage", "develop"):
        project.remote.commit(branch, {"saltbranch.yaml": json.dumps(keys)}, message="KEY-4 hooks")
    agree_in_all(project.folder, keys)
    return told


def commit_script(branch: str) -> str:
    """Shell: an empty commit on top of a branch, by somebody else."""
    return f'git update-ref refs/heads/{branch} $(git commit-tree -p {branch} -m other "{branch}^{{tree}}")'


@pytest.mark.parametrize("branch", ["stage", "master"])
def test_moved_branch_that_the_plan_moves_too_stops_it(
    project: Project, ann: Clone, branch: str
) -> None:
    with_hooks(project, commit_script(branch))
    hotfix_without_promotion(project, ann)
    ran = ann.run("hotfix", "finish", "1.0.1", "--yes")
    assert ran.code == 4
    assert f"another push came first ({branch} moved); nothing was changed" in ran.err
    assert "hotfix finish hotfix/1.0.1 --plan" in ran.err
    assert project.text("master", "salt/fix.sls") is None
    assert "refs/tags/v1.0.1" not in project.refs() and JOURNAL not in project.refs()
    project.check()


def hotfix_without_promotion(project: Project, clone: Clone) -> None:
    clone.branch("hotfix/1.0.1", project.remote.head("master"), {"salt/fix.sls": "fix\n"}, "KEY-3")


def test_moved_journal_alone_does_not(project: Project, ann: Clone, tmp_path: Path) -> None:
    """Masters write what they serve all the time; the plan is the same after that."""
    bob = project.clone("bob")
    bob.well("hold", "prod", "--reason", "first")
    old = project.refs()[JOURNAL]
    bob.well("unhold", "prod")
    new = project.refs()[JOURNAL]
    project.remote.git("update-ref", JOURNAL, old)
    with_hooks(project, f"git update-ref {JOURNAL} {new}")
    digest = ann.plan("promote", "stage")["digest"]
    said = ann.well("promote", "stage", "--expect", digest)
    assert said["digest"] == digest
    assert [e.kind for e in project.events()] == ["hold", "unhold", "promotion"]
    project.check()


def test_moved_source_does_not_change_what_was_looked_at(project: Project, ann: Clone) -> None:
    """Whoever said yes said it to the commits that the plan showed."""
    with_hooks(project, commit_script("develop"))
    seen = project.remote.head("develop")
    said = ann.well("promote", "stage")
    assert said["plan"]["steps"][0]["source"] == seen
    assert not project.contains("stage", project.remote.head("develop"))
    assert project.contains("stage", seen)


def test_plan_that_was_reviewed_is_not_the_plan_any_more(project: Project, ann: Clone) -> None:
    digest = ann.plan("promote", "stage")["digest"]
    project.remote.commit("develop", {"salt/late.sls": "late\n"}, message="KEY-5 late")
    before = project.refs()
    ran = ann.run("promote", "stage", "--yes", "--expect", digest)
    assert ran.code == 4 and digest in ran.err and "--plan" in ran.err
    assert project.refs() == before


def test_tag_made_by_somebody_else_meanwhile_stops_it(project: Project, ann: Clone) -> None:
    with_hooks(project, "git tag v1.0.0 master")
    before = project.refs()
    ran = ann.run("promote", "stage", "--yes", "--tag", "v1.0.0")
    assert ran.code == 4 and "has a tag v1.0.0 already" in ran.err
    assert project.refs() == before | {"refs/tags/v1.0.0": before["refs/heads/master"]}


# A remote that is not there


def test_absent_remote_is_said_before_anything_is_planned(project: Project, ann: Clone) -> None:
    project.remote.path.rename(project.folder / "away")
    for words in (["promote", "stage"], ["rollback", "prod", "--reason", "x"]):
        ran = ann.run(*words, "--yes")
        assert ran.code == 1 and "cannot read the remote" in ran.err, ran


def test_remote_that_goes_away_before_the_push_leaves_nothing(project: Project, ann: Clone) -> None:
    away = project.folder / "away"
    with_hooks(project, f"mv {project.remote.path} {away}")
    before = project.refs()
    ran = ann.run("promote", "stage", "--yes")
    assert ran.code == 1 and "the connection broke" in ran.err, ran
    away.rename(project.remote.path)
    assert project.refs() == before


def test_wrong_rights_are_called_so(project: Project, ann: Clone, tmp_path: Path) -> None:
    refuses = tmp_path / "receive-pack"
    refuses.write_text(
        '#!/bin/sh\necho "ERROR: Permission to ops/salt.git denied to ann." >&2\nexit 1\n'
    )
    refuses.chmod(0o755)
    ann.git("config", "remote.origin.receivepack", str(refuses))
    before = project.refs()
    ran = ann.run("promote", "stage", "--yes")
    assert ran.code == 4 and "this user may not push there" in ran.err, ran
    assert project.refs() == before
