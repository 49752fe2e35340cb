"""Killed by SIGKILL at every step: what is served stays whole, and the next sync needs no help."""

from __future__ import annotations

import grp
import itertools
import os
import shutil
import signal
from collections.abc import Iterator

import pytest

from tests.support import budget
from tests.support.kill_server import KillServer
from tests.support.remote import Content, Remote
from tests.support.site import BRANCHES, FaultyGit, Site, result_of

ANY = "any"


class Crash:
    """Runs of one command line, each of which can be killed at one step."""

    def __init__(self, site: Site, server: KillServer, *command: str) -> None:
        self.log = site.folder / "steps"
        self.server = server
        self.command = command

    def run(self, step: str = "", let_through: int = 0) -> int:
        """Run it, killed just before `step` if that is named and reached; its exit code."""
        code = self.server.run(self.log, step, let_through, *self.command)
        assert code in (0, -signal.SIGKILL)
        return code

    def is_killed(self, step: str, let_through: int = 0) -> bool:
        """Run it, and say whether it was killed at `step` or got to its end."""
        return self.run(step, let_through) != 0

    def calls(self, number: int) -> Iterator[tuple[int, int]]:
        """Which call to be killed before, in a loop that stops after a run that came to its end, counted from 0:
        first one that is never reached, for the steps of a whole run, then `number` of them and more
        (`budget.calls`). At night all.
        """
        yield 0, 10_000
        steps = self.log.read_text().splitlines()
        more = itertools.count(len(steps) + 1)
        yield from enumerate(itertools.chain(budget.calls(steps, number), more), start=1)

    def steps(self) -> list[str]:
        """The names of the steps of the last run, in the order in which they first came."""
        return list(dict.fromkeys(self.log.read_text().splitlines()))

    def telling_steps(self) -> list[str]:
        """One for each kind of what can be left behind.

        Before a file is renamed into place there is more of it than at its opening, so the latter is not
        tried; nor are removals of what is hardly ever there.
        """
        return [
            step
            for step in self.steps()
            if not step.startswith(("os.chmod", "os.remove"))
            and not (step.startswith("open ") and step.endswith("-new"))
            or step.endswith("saltbranch-finished")
        ]


def recover(site: Site) -> None:
    """The next sync, which nobody helps; git may still be at work for the killed one."""
    result = site.sync_here(wait=30)
    assert result.exit_code == 0, [s.message for s in result.saltenvs]
    for saltenv in site.settings["saltenvs"].values():
        site.assert_serves(saltenv["branch"], site.remote.head(saltenv["branch"]))
    assert site.master_config.read_text().startswith("# Written by saltbranch")


def next_commit(remote: Remote, number: int) -> str:
    """A commit that adds, changes and removes a file."""
    files: dict[str, Content] = {
        f"salt/new{number}.sls": "new: {test.nop: []}\n",
        f"salt/new{number - 1}.sls": None,
        "pillar/app.sls": f"number: {number}\n",
    }
    return remote.commit("develop", files)


# At every step of saltbranch's own


def test_killed_at_every_step_of_a_first_sync(
    site: Site, remote: Remote, server: KillServer
) -> None:
    site.keep_only("test")
    crash = Crash(site, server, "sync", "--config", str(site.config))
    head = remote.head("develop")
    crash.run()
    steps = crash.telling_steps()
    assert len(steps) > 30
    for step in (steps[number] for number in budget.around(steps, 12)):
        shutil.rmtree(site.root)
        site.master_config.unlink(missing_ok=True)
        assert crash.is_killed(step), step
        if site.shown("develop") is not None:
            site.assert_serves("develop", head)
        recover(site)


def test_killed_at_every_step_of_a_switch(served: Site, remote: Remote, server: KillServer) -> None:
    crash = Crash(served, server, "sync", "--quiet", "--config", str(served.config))
    for turn, number in crash.calls(12):
        old, new = remote.head("develop"), next_commit(remote, turn)
        killed = crash.is_killed(ANY, number)
        served.assert_serves("develop", old, new)
        recover(served)
        if turn and not killed:
            assert number > 20
            return


def test_next_sync_only_says_what_a_killed_one_switched(
    served: Site, remote: Remote, server: KillServer
) -> None:
    crash = Crash(served, server, "sync", "--quiet", "--config", str(served.config))
    old, new = remote.head("develop"), next_commit(remote, 0)
    assert crash.is_killed("open root/state/served~.saltbranch-new")
    slot = served.slot("develop")
    said = result_of(served.sync_here(), "test")
    assert (said.changed, said.state, said.old, said.new) == (True, "switched", old, new)
    assert served.slot("develop") == slot  # it was not switched once more
    assert not served.sync_here().changed


def test_killed_while_it_hands_the_root_to_its_group(
    site: Site, remote: Remote, server: KillServer
) -> None:
    """Otherwise the salt-master could read a part of what is served, and nobody would notice."""
    gid = next(entry.gr_gid for entry in grp.getgrall() if entry.gr_gid not in (0, os.getegid()))
    site.keep_only("test")
    site.configure(group=grp.getgrgid(gid).gr_name)
    crash = Crash(site, server, "sync", "--quiet", "--config", str(site.config))
    crash.run()
    steps = [step for step in crash.steps() if step.startswith("os.chown")]
    assert len(steps) > 5
    for step in budget.some(steps, 5):
        shutil.rmtree(site.root)
        assert crash.is_killed(step), step
        recover(site)
        assert {path.lstat().st_gid for path in [site.root, *site.root.rglob("*")]} == {gid}, step


def test_killed_again_and_again_before_it_can_say_so(
    served: Site, remote: Remote, server: KillServer
) -> None:
    """Switched twice without a word in the record, then the branch is back where the record is."""
    crash = Crash(served, server, "sync", "--quiet", "--config", str(served.config))
    first = remote.head("develop")
    for number in (1, 2):
        new = next_commit(remote, number)
        assert crash.is_killed("open root/state/served~.saltbranch-new")
        served.assert_serves("develop", new)
    remote.set_branch("develop", first)
    recover(served)


def test_killed_at_every_step_of_a_changed_configuration(
    served: Site, remote: Remote, server: KillServer
) -> None:
    crash = Crash(served, server, "sync", "--quiet", "--config", str(served.config))
    saltenvs = served.settings["saltenvs"]
    step, seen = "", {""}
    for number in range(60):
        old, new = remote.head("develop"), next_commit(remote, number)
        saltenvs["test"]["minions"] = [f"test{number}*"]
        saltenvs["prod"]["minions"] = [f"prod{number}*"]
        served.configure()
        assert crash.is_killed(step) == (number > 0), step
        served.assert_serves("develop", old, new)
        recover(served)
        for kind in ("states", "pillar"):
            text = (served.root / "tops" / "test" / kind / "top.sls").read_text()
            assert f"test{number}*" in text and f"prod{number}*" in text
        if number == 0:
            todo = iter([s for s in crash.telling_steps() if "tops" in s or "state/prepared" in s])
        step = next(todo, "")
        if step in seen:
            return
    raise AssertionError("it never came to an end")


def test_killed_at_every_step_of_init(site: Site, remote: Remote, server: KillServer) -> None:
    """Before there is a configuration init itself has to be repeated; from then on any sync will do."""
    site.keep_only("test")
    words = ["init", "--remote", str(remote.path), "--branch", "test=develop"]
    words += ["--config", str(site.config), "--root", str(site.root)]
    words += ["--master-config", str(site.master_config), "--salt-config", str(site.salt_config)]
    crash = Crash(site, server, *words)
    site.config.unlink()
    crash.run()
    first = crash.telling_steps()
    shutil.rmtree(site.root)
    site.config.unlink()
    crash.run()
    # The folder that the remote is first read into has another name each time.
    steps = [step for step in crash.telling_steps() if step in first]
    written = steps.index("os.rename saltbranch.yaml~.saltbranch-new saltbranch.yaml")
    assert written > 8
    for step in budget.some(steps[: written + 2], 8, lambda s: "saltbranch.yaml" in s):
        shutil.rmtree(site.root)
        site.config.unlink()
        assert crash.is_killed(step), step
        if not site.config.exists():
            assert site.run_here(*words).code == 0
        recover(site)


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--verify"]])
def test_killed_at_every_single_call(
    site: Site, remote: Remote, server: KillServer, options: list[str]
) -> None:
    """All three saltenvs, every call and not only the first of its kind, first sync and switch."""
    crash = Crash(site, server, "sync", *options, "--config", str(site.config))
    for number in range(10_000):
        shutil.rmtree(site.root, ignore_errors=True)
        killed = crash.is_killed(ANY, number)
        recover(site)
        if not killed:
            break
    for number in range(10_000):
        old = {branch: remote.head(branch) for branch in BRANCHES.values()}
        new = {b: remote.commit(b, {"salt/new.sls": f"{number}\n"}) for b in BRANCHES.values()}
        killed = crash.is_killed(ANY, number)
        for branch in BRANCHES.values():
            site.assert_serves(branch, old[branch], new[branch])
        recover(site)
        if not killed:
            return


# At every start of git


@pytest.mark.parametrize("fault", ["parent", "both", "git", "torn", "done"])
def test_killed_at_every_start_of_git(
    served: Site, remote: Remote, faulty_git: FaultyGit, fault: str
) -> None:
    """The parent alone, so that git works on; both; git alone; and both in the middle of a checkout."""
    for number in range(1, 30):
        old, new = remote.head("develop"), next_commit(remote, number)
        ran = served.run("sync", env=faulty_git.env(fault, number))
        assert ran.code in {"git": (0, 1, 20)}.get(fault, (0, -signal.SIGKILL)), ran
        served.assert_serves("develop", old, new)
        recover(served)
        if faulty_git.calls() < number:
            assert ran.code == 0
            return
    raise AssertionError("it never came to an end")


def test_torn_index_is_no_obstacle(served: Site, remote: Remote) -> None:
    """A power cut leaves such files; to us an index is only a cache."""
    worktrees = served.root / "mirror.git" / "worktrees"
    for content in (b"", b"DIRC torn", b"\0" * 300):
        for slot in worktrees.iterdir():
            (slot / "index").write_bytes(content)
        for branch in BRANCHES.values():
            remote.commit(branch, {"README.md": f"{len(content)}\n"})
        served.sync_well()


def test_deploy_05_left_over_locks_are_no_obstacle(served: Site, remote: Remote) -> None:
    """Pains, deploying, 5: updates must not stop silently because a file was left behind."""
    mirror = served.root / "mirror.git"
    for _ in range(2):
        for branch in BRANCHES.values():
            remote.commit(branch, {"README.md": f"{branch} {remote.clock}\n"})
        for name in ("index", "HEAD"):
            for slot in (mirror / "worktrees").iterdir():
                (slot / f"{name}.lock").touch()
        for branch in BRANCHES.values():
            (mirror / "refs" / "heads" / f"{branch}.lock").touch()
        for name in ("packed-refs", "HEAD", "config", "shallow"):
            (mirror / f"{name}.lock").touch()
        served.sync_well()
