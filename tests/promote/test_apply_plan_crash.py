"""Killed by SIGKILL at every step of what moves refs: all of it or nothing, and the same verb again finishes it."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from saltbranch.git.mirror import JOURNAL_REF
from tests.support import budget
from tests.support.agreed import agree_in_all
from tests.support.kill_server import KillServer
from tests.support.project import Clone, Project, model
from tests.support.site import FaultyGit, run

Build = Callable[[Project, Clone], None]
SLOW = pytest.mark.slow


@dataclass(slots=True)
class Scene:
    """A situation that can be set up again and again, and the command that is killed in it.

    moves: the refs that it moves when it is not killed.
    """

    folder: Path
    words: list[str]
    moves: set[str]
    project: Project
    clone: Clone

    @property
    def log(self) -> Path:
        """Where the steps of a run stand."""
        return self.folder / "steps"

    @property
    def told(self) -> list[str]:
        """The promotions that the hook after_promote was told of."""
        path = self.folder / "told"
        return (
            [json.loads(line)["id"] for line in path.read_text().splitlines()]
            if path.exists()
            else []
        )

    def reset(self) -> None:
        """Everything as it was."""
        shutil.rmtree(self.folder)
        shutil.copytree(f"{self.folder}.template", self.folder, symlinks=True)

    def look(self, before: dict[str, str]) -> bool:
        """Nothing is half moved; whether all was."""
        self.project.check()
        after = self.project.refs()
        moved = {r for r in before.keys() | after.keys() if before.get(r) != after.get(r)}
        assert moved in (set(), self.moves), moved
        return bool(moved)

    def finish(self) -> None:
        """The same again, which nobody helps: it has to come to the end that a run without a kill has."""
        before = self.project.refs()
        again = self.clone.run(*self.words)
        said = (
            "no conflict of promote stage is being resolved",
            "there is no branch hotfix/key-5-sshd",
        )
        done = any(sign in again.err for sign in said)
        assert again.code == 0 or done, again
        self.look(before)
        assert self.clone.run(*self.words).code in (0, 2, 4)  # the branch or conflict is gone
        ids = [p.id for p in self.project.state().promotions if p.id not in self.old_ids()]
        assert set(ids) <= set(self.told)
        assert len(ids) == 1
        left = list((self.clone.path / ".git" / "saltbranch").glob(f"{ids[0]}*"))
        assert not left

    def old_ids(self) -> set[str]:
        """The promotions that there were before."""
        twin = Project(Path(f"{self.folder}.template"))
        return {p.id for p in twin.state().promotions}


def scene(folder: Path, build: Build, words: list[str], moves: set[str]) -> Scene:
    """Set it up once; the template of all that follow is beside it."""
    keys = hooked(folder)
    project = Project(folder, keys)
    clone = project.clone("ann")
    agree_in_all(folder, keys)
    build(project, clone)
    (folder / "told").unlink(missing_ok=True)
    shutil.copytree(folder, f"{folder}.template", symlinks=True)
    return Scene(folder, words, moves, project, clone)


def hooked(folder: Path) -> dict[str, object]:
    """A model whose hook writes down what it was told."""
    told = folder / "told"
    return model() | {"hooks": {"after_promote": ["/bin/sh", "-c", f"cat >>{told}; echo >>{told}"]}}


# What is killed


def with_news(project: Project, clone: Clone) -> None:
    """develop has something new, stage something that develop lacks."""
    project.remote.commit("develop", {"salt/ntp.sls": "ntp\n"}, message="KEY-2 ntp")
    project.remote.commit("stage", {"salt/by_hand.sls": "hand\n"}, message="KEY-3 by hand")


def with_hotfix(project: Project, clone: Clone) -> None:
    """A published hotfix, an open release, a debt to come in develop."""
    with_news(project, clone)
    project.remote.commit("develop", {"salt/app/init.sls": "other\n"}, message="KEY-4 rewrite")
    project.remote.set_branch("release/1.4", project.remote.head("stage"))
    files = {"salt/app/init.sls": "fixed\n"}
    clone.branch("hotfix/key-5-sshd", project.remote.head("master"), dict(files), "KEY-5 fix")
    clone.git("switch", "--quiet", "hotfix/key-5-sshd")
    assert clone.run("hotfix", "publish").code == 0


def with_promotion(project: Project, clone: Clone) -> None:
    """prod got something that it is to lose."""
    with_news(project, clone)
    clone.well("promote", "stage")
    clone.well("promote", "prod")


def with_conflict(project: Project, clone: Clone) -> None:
    """The same line, two ways."""
    for branch in ("develop", "stage"):
        project.remote.commit(branch, {"salt/app/init.sls": f"{branch}\n"}, message="KEY-6 change")


def with_resolved_conflict(project: Project, clone: Clone) -> None:
    """The conflict is opened, and resolved by a person."""
    with_conflict(project, clone)
    resolve(project.folder / "work", clone)


def resolve(work: Path, clone: Clone) -> None:
    """What the person does."""
    ran = clone.run("promote", "stage", "--resolve", str(work))
    assert ran.code == 0, ran
    (work / "salt" / "app" / "init.sls").write_text("both\n")
    Clone(work).git("add", "--", "salt/app/init.sls")


HEADS = {b: f"refs/heads/{b}" for b in ("develop", "stage", "master")}
PROMOTE = ["promote", "stage", "--tag", "auto", "--yes"]
PROMOTE_MOVES = {HEADS["stage"], HEADS["develop"], "refs/tags/v1.0.0-rc.1", JOURNAL_REF}
HOTFIX = ["hotfix", "finish", "hotfix/key-5-sshd", "--yes"]
HOTFIX_MOVES = {HEADS["master"], HEADS["stage"], "refs/heads/release/1.4", "refs/heads/hotfix/key-5-sshd",
                "refs/tags/v1.0.1", JOURNAL_REF}  # fmt: skip
ROLLBACK = ["rollback", "prod", "--reason", "bad", "--yes"]
CONTINUE = ["promote", "stage", "--continue", "--yes"]
CONTINUE_MOVES = {HEADS["stage"], HEADS["develop"], JOURNAL_REF}

SCENES: dict[str, tuple[Build, list[str], set[str]]] = {
    "promote": (with_news, PROMOTE, PROMOTE_MOVES),
    "hotfix": (with_hotfix, HOTFIX, HOTFIX_MOVES),
    "continue": (with_resolved_conflict, CONTINUE, CONTINUE_MOVES),
}


def telling(steps: list[str]) -> list[int]:
    """The numbers of the steps that matter most: what starts a program, from just before the push on."""
    first = next(n for n, step in enumerate(steps) if step == "start git push") - 1
    last = {step: n for n, step in enumerate(steps) if n >= first and not step.startswith("open")}
    dull = ("fcntl", "os.truncate", "start git rev-parse", "start git cat-file", "start git log")
    kept = sorted(n for step, n in last.items() if not step.startswith(dull))
    return budget.some(kept, 6, lambda n: steps[n] == "start git push")


def killed(found: Scene, server: KillServer, number: int) -> int:
    """Run it, killed at step `number`; the exit code."""
    words = found.clone.words(*found.words)
    return server.run(found.log, "any", number, *words)


def play(found: Scene, server: KillServer, *, every: bool) -> None:
    """Kill it here and there, and let the next run finish it each time."""
    assert killed(found, server, 10_000) == 0
    steps = found.log.read_text().splitlines()
    ends = set()
    for number in range(len(steps)) if every else telling(steps):
        found.reset()
        before = found.project.refs()
        assert killed(found, server, number) == -signal.SIGKILL, steps[number]
        ends.add(found.look(before))
        found.finish()
    assert ends == {True, False}  # both were seen: nothing moved, and all of it


@pytest.mark.parametrize("name", SCENES)
def test_killed_at_some_steps(tmp_path: Path, server: KillServer, name: str) -> None:
    play(scene(tmp_path / "w", *SCENES[name]), server, every=False)


@SLOW
@pytest.mark.parametrize("name", SCENES)
def test_killed_at_every_step(tmp_path: Path, server: KillServer, name: str) -> None:
    play(scene(tmp_path / "w", *SCENES[name]), server, every=True)


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=SLOW)])
def test_killed_in_a_rollback(tmp_path: Path, server: KillServer, every: bool) -> None:
    """Again, it goes on to the same commit: a second rollback of the same person does not go one further."""
    found = scene(tmp_path / "w", with_promotion, ROLLBACK, {JOURNAL_REF})
    (before_it,) = {p.served_before for p in found.project.state().promotions_to("prod")}
    assert killed(found, server, 10_000) == 0
    steps = found.log.read_text().splitlines()
    for number in range(len(steps)) if every else telling(steps):
        found.reset()
        before = found.project.refs()
        assert killed(found, server, number) == -signal.SIGKILL
        assert not found.look(before)  # the push is its last step
        assert found.clone.run(*ROLLBACK).code == 0
        assert found.project.state().holds["prod"].commit == before_it


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=SLOW)])
def test_killed_while_a_conflict_is_opened(tmp_path: Path, server: KillServer, every: bool) -> None:
    """What the next run says is what helps."""
    words = ["promote", "stage", "--resolve", str(tmp_path / "w" / "work")]
    found = scene(tmp_path / "w", with_conflict, words, set())
    assert killed(found, server, 10_000) == 0
    steps = found.log.read_text().splitlines()
    numbers = range(len(steps)) if every else range(len(steps) - 7, len(steps))
    for number in numbers:
        found.reset()
        before = found.project.refs()
        assert killed(found, server, number) == -signal.SIGKILL
        again = found.clone.run(*words)
        if again.code != 0:
            follow(found, again.err)
        (work := found.folder / "work").joinpath("salt/app/init.sls").write_text("both\n")
        Clone(work).git("add", "--", "salt/app/init.sls")
        assert found.project.refs() == before
        found.words, found.moves = CONTINUE, CONTINUE_MOVES
        found.finish()
        assert found.project.text("stage", "salt/app/init.sls") == "both\n"
        assert not (found.folder / "work").exists()
        assert len(found.clone.git("worktree", "list").splitlines()) == 1
        found.words, found.moves = words, set()


def follow(found: Scene, said: str) -> None:
    """Do what the message says, and nothing else."""
    folder = str(found.folder / "work")
    if f"git worktree remove --force {folder}" in said:
        found.clone.git("worktree", "remove", "--force", folder)
    else:
        assert "or --abort" in said, said
        begun = found.clone.run("promote", "stage", "--continue", "--yes")
        assert begun.code == 4, begun  # there is nothing to go on with, and it knows
        assert found.clone.run("promote", "stage", "--abort").code == 0
    again = found.clone.run(*found.words)
    assert again.code == 0, again


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=SLOW)])
def test_killed_while_a_conflict_is_forgotten(
    tmp_path: Path, server: KillServer, every: bool
) -> None:
    words = ["promote", "stage", "--abort"]
    found = scene(tmp_path / "w", with_resolved_conflict, words, set())
    assert killed(found, server, 10_000) == 0
    steps = found.log.read_text().splitlines()
    for number in range(len(steps)) if every else range(len(steps) - 4, len(steps)):
        found.reset()
        assert killed(found, server, number) == -signal.SIGKILL
        again = found.clone.run(*words)
        assert again.code == 0 or "no conflict of promote stage" in again.err
        anew = found.clone.run("promote", "stage", "--resolve", str(found.folder / "other"))
        assert anew.code == 0, (steps[number], anew)
        assert found.clone.run(*words).code == 0


def test_forgetting_a_conflict_spares_a_folder_that_somebody_made_there(tmp_path: Path) -> None:
    found = scene(tmp_path / "w", with_resolved_conflict, CONTINUE, CONTINUE_MOVES)
    work = found.folder / "work"
    shutil.rmtree(work)
    work.mkdir()
    (work / "notes").write_text("mine\n")
    assert found.clone.run("promote", "stage", "--abort").code == 0
    assert (work / "notes").read_text() == "mine\n"
    assert len(found.clone.git("worktree", "list").splitlines()) == 1


@pytest.mark.parametrize("gone", ["merge --abort", "reset --hard", "removed"])
def test_conflict_that_was_given_up_by_hand_is_not_taken_for_resolved(
    tmp_path: Path, gone: str
) -> None:
    """Otherwise the next promotion would record a merge that takes nothing of the source."""
    found = scene(tmp_path / "w", with_resolved_conflict, CONTINUE, CONTINUE_MOVES)
    before = found.project.refs()
    work = found.folder / "work"
    if gone == "removed":
        shutil.rmtree(work)
    else:
        Clone(work).git(*gone.split())
    ran = found.clone.run(*CONTINUE)
    assert ran.code == 4 and "promote stage --abort" in ran.err, ran
    assert found.project.refs() == before
    assert found.clone.run("promote", "stage", "--abort").code == 0
    resolve(found.folder / "anew", found.clone)
    found.finish()


def test_conflict_can_be_forgotten_with_the_remote_away(tmp_path: Path) -> None:
    found = scene(tmp_path / "w", with_resolved_conflict, CONTINUE, CONTINUE_MOVES)
    found.project.remote.path.rename(found.folder / "away")
    ran = found.clone.run("promote", "stage", "--abort")
    assert ran.code == 0, ran
    assert not (found.folder / "work").exists()


# At the starts of git, where git itself is killed, too, or goes on alone


def starts(found: Scene, faulty: FaultyGit, fault: str, points: list[int] | list[str]) -> None:
    """Kill it at these starts of git, and let the next run finish it each time."""
    for point in points:
        found.reset()
        before = found.project.refs()
        ran = run(found.clone.argv(*found.words), env=faulty.env(fault, point))
        assert ran.code in {"git": (0, 1, 4)}.get(fault, (0, -signal.SIGKILL)), ran
        assert "Traceback" not in ran.err and "this is a bug" not in ran.err
        found.look(before)
        if fault in ("orphan", "parent"):
            wait_for(found, before)
        if ran.code != 0 or found.look(before) is False:
            found.finish()
        if isinstance(point, int) and faulty.calls() < point:
            return


def wait_for(found: Scene, before: dict[str, str]) -> None:
    """The git that was left alone takes a second and a half."""
    import time

    for _ in range(100):
        if found.project.refs() != before:
            return
        time.sleep(0.05)
    raise AssertionError("it never came to an end")


@pytest.mark.parametrize("fault", ["parent", "git", "done", "orphan"])
def test_killed_with_or_without_its_push(tmp_path: Path, faulty_git: FaultyGit, fault: str) -> None:
    starts(scene(tmp_path / "w", *SCENES["promote"]), faulty_git, fault, ["push"])


@SLOW
@pytest.mark.parametrize("fault", ["both", "git", "done"])
@pytest.mark.parametrize("name", SCENES)
def test_killed_at_every_start_of_git(
    tmp_path: Path, faulty_git: FaultyGit, name: str, fault: str
) -> None:
    starts(scene(tmp_path / "w", *SCENES[name]), faulty_git, fault, list(range(1, 200)))
