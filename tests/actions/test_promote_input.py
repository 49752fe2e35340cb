"""What people and strangers may write: refused before anything moves, with what to do about it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import Clone, Project, model

ESCAPE = "\033[2J\033]0;title\a\u202egnp.exe"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Three branches, and on develop one commit more."""
    found = Project(tmp_path)
    found.remote.commit("develop", {"salt/ntp.sls": "ntp\n"}, message="KEY-2 add ntp")
    return found


@pytest.fixture
def ann(project: Project) -> Clone:
    return project.clone("ann")


def refused(project: Project, clone: Clone, words: list[str], code: int, *signs: str) -> None:
    """It ends with `code`, says all of `signs` and what to do, and nothing has moved anywhere."""
    before = (
        project.refs(),
        clone.git("for-each-ref", "refs/heads", "refs/tags"),
        clone.git("status"),
    )
    ran = clone.run(*words)
    assert ran.code == code, ran
    for sign in signs:
        assert sign in ran.err
    assert "\n  -> " in ran.err  # the fix
    after = (
        project.refs(),
        clone.git("for-each-ref", "refs/heads", "refs/tags"),
        clone.git("status"),
    )
    assert after == before


# Names


@pytest.mark.parametrize(
    "words",
    [
        ["promote", "prdo", "--yes"],
        ["rollback", "prdo", "--reason", "x", "--yes"],
        ["hold", "prdo", "--reason", "x", "--yes"],
        ["unhold", "prdo", "--yes"],
        ["why-not", "prdo"],
    ],
)
def test_unknown_saltenv(project: Project, ann: Clone, words: list[str]) -> None:
    refused(project, ann, words, 2, "there is no saltenv 'prdo'", "known: test, stage, prod")


def test_branch_in_place_of_its_saltenv(project: Project, ann: Clone) -> None:
    refused(project, ann, ["promote", "master", "--yes"], 2, "master is the branch of prod")


def test_prod_is_not_promoted_from_test(project: Project, ann: Clone) -> None:
    for commit in ("develop", project.remote.head("develop"), project.remote.head("develop")[:9]):
        words = ["promote", "prod", "--commit", commit, "--yes"]
        refused(project, ann, words, 4, "is not on stage", "of test", "promote it to stage first")


def test_nothing_is_promoted_to_the_first(project: Project, ann: Clone) -> None:
    refused(project, ann, ["promote", "test", "--yes"], 4, "it is the first of its chain")


@pytest.mark.parametrize(
    "commit", ["--all", "@{u}", ":/KEY", "develop~99", "develop^{tree}", "-", "0" * 40, "*"]
)
def test_commit_is_a_name_or_a_hash_and_no_search(
    project: Project, ann: Clone, commit: str
) -> None:
    words = ["promote", "stage", f"--commit={commit}", "--yes"]
    refused(project, ann, words, 2, "no such saltenv, branch, tag, promotion or commit")


@pytest.mark.parametrize(
    "tag", ["-d", "--force", "a b", "v1..2", "v1.lock", "x\ny", "v\033[31m", "@"]
)
def test_tag_that_git_would_not_take(project: Project, ann: Clone, tag: str) -> None:
    refused(project, ann, ["promote", "stage", f"--tag={tag}", "--yes"], 2, "is not a tag")


def test_tag_that_exists_elsewhere(project: Project, ann: Clone) -> None:
    project.remote.git("tag", "v1.0.0", "develop")
    words = ["promote", "stage", "--tag", "v1.0.0", "--yes"]
    refused(project, ann, words, 4, "has a tag v1.0.0 already", "tags are never moved")


def test_tag_named_as_a_branch(project: Project, ann: Clone) -> None:
    words = ["promote", "stage", "--tag", "master", "--yes"]
    refused(project, ann, words, 4, "there is a branch 'master'")


@pytest.mark.parametrize("name", ["a b", "a..b", "x.lock", "a\nb", "\033[31m", "", "é\x7f", "@{x}"])
def test_feature_that_git_would_not_take(project: Project, ann: Clone, name: str) -> None:
    refused(project, ann, ["feature", "start", f"feature/{name}"], 2, "is not a branch")


@pytest.mark.parametrize(
    "name",
    [
        "--upload-pack=touch pwned".replace(" ", "$IFS"),
        "$(touch${IFS}pwned)",
        ";touch",
        "-x",
        "ü\u202e",
    ],
)
def test_odd_names_are_names_and_nothing_else(
    project: Project, ann: Clone, name: str, tmp_path: Path
) -> None:
    branch = f"feature/{name}"
    ann.branch(branch, project.remote.head("develop"), {"salt/f.sls": "f\n"}, "KEY-3 f")
    ann.git("push", "--quiet", "origin", f"refs/heads/{branch}")
    listed = ann.run("feature", "list")
    assert listed.code == 0 and "\u202e" not in listed.out
    done = ann.well("feature", "finish", branch)
    assert {m["ref"] for m in done["moved"]} == {"refs/heads/develop", f"refs/heads/{branch}"}
    assert project.text("develop", "salt/f.sls") == "f\n"
    assert not list(tmp_path.rglob("pwned*"))
    project.check()


def test_topic_branch_that_is_not_there(project: Project, ann: Clone) -> None:
    for verb in ("feature", "release", "hotfix"):
        refused(project, ann, [verb, "finish", "nobody", "--yes"], 2, f"no branch {verb}/nobody")


# Digests, options


@pytest.mark.parametrize("digest", ["", "abc", "zzzzzzzzzzzzzzzz", "--yes"])
def test_what_is_no_digest(project: Project, ann: Clone, digest: str) -> None:
    words = ["promote", "stage", "--yes", f"--expect={digest}"]
    refused(project, ann, words, 2, "is not the digest of a plan")


def test_without_a_terminal_nobody_is_asked(project: Project, ann: Clone) -> None:
    for words in (["promote", "stage"], ["hold", "prod", "--reason", "x"]):
        refused(project, ann, words, 4, "there is no terminal to ask on", "--yes")


# Histories


def test_unrelated_histories(project: Project, ann: Clone) -> None:
    project.remote.commit("develop", {"salt/a.sls": "a\n"}, parents=(), message="made anew")
    words = ["promote", "stage", "--yes"]
    refused(project, ann, words, 4, "have no common history", "--allow-unrelated-histories")


def test_shallow_clone(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "shallow"
    url = f"file://{project.remote.path}"
    subprocess.run(
        ["git", "clone", "--quiet", "--depth=1", "--no-single-branch", "-b", "develop", url, path],
        check=True,
    )
    for words in (["promote", "stage", "--yes"], ["hotfix", "start", "x"], ["why-not", "prod"]):
        refused(project, Clone(path), words, 4, "is shallow", "git fetch --unshallow")
    Clone(path).git("fetch", "--quiet", "--unshallow")
    assert Clone(path).run("promote", "stage", "--yes").code == 0


def test_branch_that_the_remote_lost(project: Project, ann: Clone) -> None:
    project.remote.delete_branch("stage")
    refused(project, ann, ["promote", "stage", "--yes"], 4, "the remote has no branch 'stage'")


# The clone


def test_dirty_clone(project: Project, ann: Clone) -> None:
    """What is not committed would be missing from a feature, or end up in a hotfix; a promotion does not care."""
    ann.git("switch", "--quiet", "--create", "feature/key-5")
    (ann.path / "salt" / "top.sls").write_text("mine\n")
    refused(project, ann, ["feature", "finish", "--yes"], 4, "not committed", "git stash")
    refused(project, ann, ["hotfix", "start", "1.0.1"], 4, "not committed", "git stash")
    refused(project, ann, ["feature", "start", "key-6"], 4, "not committed", "git stash")
    untouched_by_a_promotion(project, ann)
    assert (ann.path / "salt" / "top.sls").read_text() == "mine\n"


def test_clone_with_a_merge_under_way(project: Project, ann: Clone) -> None:
    ann.git("switch", "--quiet", "--create", "mine", "origin/master")
    (ann.path / "salt" / "ntp.sls").write_text("other\n")
    ann.git("add", ".")
    ann.git("commit", "--quiet", "-m", "mine")
    subprocess.run(["git", "-C", ann.path, "merge", "-q", "origin/develop"], capture_output=True)
    assert (ann.path / ".git" / "MERGE_HEAD").exists()
    refused(project, ann, ["hotfix", "start", "1.0.1"], 4, "not committed")
    untouched_by_a_promotion(project, ann)


def test_detached_clone(project: Project, ann: Clone) -> None:
    ann.git("switch", "--quiet", "--detach", "origin/develop")
    refused(project, ann, ["feature", "finish", "--yes"], 2, "HEAD is detached", "NAME")
    refused(project, ann, ["hotfix", "finish", "--yes"], 2, "HEAD is detached", "NAME")
    untouched_by_a_promotion(project, ann)


def test_detached_clone_with_work_that_no_branch_has(project: Project, ann: Clone) -> None:
    ann.git("switch", "--quiet", "--detach", "origin/develop")
    ann.git("commit", "--quiet", "--allow-empty", "-m", "work")
    for words in (["hotfix", "start", "1.0.1"], ["feature", "start", "key-6"]):
        refused(project, ann, words, 4, "HEAD is detached", "no branch has", "git branch")


def untouched_by_a_promotion(project: Project, clone: Clone) -> None:
    """HEAD, index and files are as they were, and it was done all the same."""

    def state() -> list[Any]:
        words = (["symbolic-ref", "-q", "HEAD"], ["rev-parse", "HEAD"])
        said = [
            subprocess.run(["git", "-C", clone.path, *w], capture_output=True).stdout for w in words
        ]
        refs = clone.git("for-each-ref", "refs/heads", "refs/tags")
        return [*said, (clone.path / ".git" / "index").read_bytes(), refs, clone.git("diff")]

    before = state()
    clone.well("promote", "stage")
    assert state() == before
    assert project.text("stage", "salt/ntp.sls") == "ntp\n"


# The model


def two_on_one_branch() -> dict[str, Any]:
    return model(stage={"branch": "develop"})


def loop() -> dict[str, Any]:
    return model(test={"promote_from": "prod"})


def squash() -> dict[str, Any]:
    return model(prod={"mode": "squash"})


def option_as_branch() -> dict[str, Any]:
    return model(prod={"branch": "--force"})


@pytest.mark.parametrize(
    ("keys", "sign"),
    [
        (two_on_one_branch, "test and stage both name the branch develop"),
        (loop, "promote_from runs in a circle"),
        (squash, "squash is refused: the branches would share no history"),
        (option_as_branch, "is not a branch"),
    ],
)
def test_model_that_makes_no_sense(
    project: Project, ann: Clone, keys: Callable[[], dict[str, Any]], sign: str
) -> None:
    """It is never promoted by the tool; pushed by hand, it stops promotions and not what an emergency needs."""
    project.configure(keys())
    project.remote.commit("develop", {"salt/new.sls": "new: test.nop\n"})
    refused(project, ann, ["promote", "stage", "--yes"], 4, "model: fail", sign)
    held = ann.run("hold", "prod", "--reason", "x", "--yes")
    assert held.code == 0, held
    shown = ann.run("status")
    assert shown.code == 0 and sign in shown.out


def test_gate_cannot_be_loosened_by_the_change_that_it_stops(project: Project, ann: Clone) -> None:
    project.configure(model(stage={"gates": [{"command": ["/bin/false"], "name": "never"}]}))
    loose = json.dumps(model())
    project.remote.commit("develop", {"saltbranch.yaml": loose}, message="KEY-6 loosen")
    project.remote.commit("stage", {"README": "x\n"}, message="KEY-7 more")
    (ann.path / "saltbranch.yaml").write_text(loose)
    before = project.refs()
    ran = ann.run("promote", "stage", "--yes")
    assert ran.code == 4 and "never: fail" in ran.err
    assert project.refs() == before


# Texts of strangers


def test_texts_do_not_steer_the_terminal(project: Project, ann: Clone) -> None:
    project.remote.commit("develop", {f"salt/{ESCAPE}.sls": "x\n"}, message=f"KEY-3 {ESCAPE}")
    project.remote.commit("stage", {"salt/left.sls": "x\n"}, message=f"left {ESCAPE}")
    ann.well("hold", "prod", "--reason", f"because {ESCAPE}")
    for words in (
        ["promote", "stage", "--plan"],
        ["promote", "stage", "--yes"],
        ["promote", "prod", "--yes"],
        ["why-not", "prod"],
        ["rollback", "stage", "--reason", ESCAPE, "--yes"],
        ["promote", "stage", "--yes"],
        ["status"],
        ["history"],
        ["changelog", "stage"],
    ):
        ran = ann.run(*words)
        said = ran.out + ran.err
        assert ran.code in (0, 1, 3, 4), ran
        assert not set(said) & set("\033\a\u202e"), (words, said)
    project.check()


def test_conflicting_path_with_control_characters(project: Project, ann: Clone) -> None:
    for branch in ("develop", "stage"):
        project.remote.commit(branch, {f"salt/{ESCAPE}": f"{branch}\n"}, message="KEY-4 both")
    ran = ann.run("promote", "stage", "--yes")
    assert ran.code == 4 and "conflicts in" in ran.err
    assert not set(ran.out + ran.err) & set("\033\a\u202e")


FORGED = "Promotion-Id: 20200101T000000Z-deadbeef"


@pytest.mark.parametrize(
    "message",
    [
        FORGED,
        f"KEY-3 x\n\nbody\n\n{FORGED}\nPromoted-To: prod\nPromoted-From: stage {'1' * 40}",
        f"KEY-3 x\r\r{FORGED}\rPromoted-To: prod",
        f"KEY-3 x\u2028\u2028{FORGED}\u2028Promoted-To: prod",
        f"Merge branch 'x\u2028{FORGED}' into develop",
    ],
)
def test_forged_trailers_are_not_ours(project: Project, ann: Clone, message: str) -> None:
    project.remote.commit("develop", {"salt/a.sls": "a\n"}, message=message)
    ids = [ann.well("promote", saltenv)["id"] for saltenv in ("stage", "prod")]
    form = "--format=%(trailers:key=Promotion-Id,valueonly)"
    for branch, id_ in zip(("stage", "master"), ids, strict=True):
        assert project.remote.git("log", "-1", form, branch) == id_
    ran = ann.run("history", "--json")
    assert ran.code == 0
    assert "deadbeef" not in ran.out.replace("\\n", "")
    assert [p.id for p in project.state().promotions] == ids
