"""A root whose slots are worktrees themselves is moved over by the next sync; nobody who reads notices."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from saltbranch.actions.doctor import doctor
from saltbranch.actions.status import status
from saltbranch.base import files
from saltbranch.git.mirror import Mirror
from saltbranch.git.program import Git
from saltbranch.serve.slots import Slots
from tests.serve.test_switch_crash import ANY, Crash
from tests.support import budget
from tests.support.former_layout import lay_out_as_before
from tests.support.kill_server import KillServer
from tests.support.remote import Remote, Tree
from tests.support.site import BRANCHES, Journal, Site, read_tree, result_of

READER = Path(__file__).parents[1] / "support" / "reader.py"


@pytest.fixture
def former(served: Site) -> Site:
    """A master that serves all three branches in the layout before."""
    lay_out_as_before(served)
    return served


def assert_layout(site: Site) -> None:
    """All is where slots.py says, and git agrees."""
    root = site.root
    said = Git(f"{root}/mirror.git").out("worktree", "list", "--porcelain", "-z").split("\0")
    trees = {line.removeprefix("worktree ") for line in said if line.startswith("worktree ")}
    for saltenv in site.settings["saltenvs"].values():
        branch = saltenv["branch"]
        assert os.readlink(site.checkout(branch)) == f"../slots/{branch}/served/tree"
        folder = root / "slots" / branch
        assert sorted(p.name for p in folder.iterdir()) == ["a", "b", "served"]
        assert os.readlink(folder / "served") in ("a", "b")
        for name in "ab":
            assert sorted(p.name for p in (folder / name).iterdir()) == ["commit", "tree"]
            assert str(folder / name / "tree") in trees
            head = Slots(str(root), branch, Mirror(str(root))).head(name)
            assert (folder / name / "commit").read_text() == f"{head}\n"
        commit = (folder / "served" / "commit").read_text().strip()
        record = (root / "state" / "served").read_text()
        assert f"{branch}\t{commit}\t{os.readlink(folder / 'served')}\t" in record
    assert (root / files.MARKER).read_text() == f"{site.config}\n"
    assert not (root / ".saltbranch").exists()


def slots_of(site: Site, branch: str = "develop") -> Slots:
    return Slots(str(site.root), branch, Mirror(str(site.root)))


# From nothing


def test_new_root_is_laid_out_so(site: Site, remote: Remote) -> None:
    site.sync_well()
    assert_layout(site)
    for number in range(3):
        new = remote.commit("develop", {"salt/new.sls": f"{number}\n"})
        site.sync_well()
        assert_layout(site)
        told = site.root / "slots" / "develop" / "served" / "commit"
        assert told.read_text() == f"{new}\n"
        assert told.stat().st_mode & 0o777 == 0o640


def test_files_and_their_commit_switch_in_one_rename(served: Site, remote: Remote) -> None:
    """Whoever has followed the link once finds both of one commit."""
    link = served.root / "slots" / "develop" / "served"
    old = remote.head("develop")
    followed = os.open(link, os.O_RDONLY | os.O_DIRECTORY)
    new = remote.commit("develop", {"salt/new.sls": "new\n"})
    served.sync_well()
    try:
        for folder, commit in ((f"/proc/self/fd/{followed}", old), (str(link), new)):
            assert Path(folder, "commit").read_text() == f"{commit}\n"
            assert read_tree(Path(folder, "tree")) == remote.tree(commit)
    finally:
        os.close(followed)


def test_commit_that_was_changed_by_hand_is_found_and_repaired(served: Site) -> None:
    told = served.root / "slots" / "develop" / "served" / "commit"
    told.write_text("0" * 40 + "\n")
    slots = slots_of(served)
    assert slots.differences(str(slots.served())) == ["../commit"]
    assert result_of(served.sync_here(verify=True), "test").state == "repaired"
    assert told.read_text().strip() == served.remote.head("develop")
    assert slots.differences(str(slots.served())) == []


# From the layout before


def test_next_sync_moves_it_over_and_serves_the_same(former: Site, remote: Remote) -> None:
    inodes = {b: os.stat(former.checkout(b) / "pillar/app.sls") for b in BRANCHES.values()}
    result = former.sync_well()
    assert [s.state for s in result.saltenvs] == ["unchanged"] * 3
    assert [n for n in result.notes if "layout" in n] == [
        f"moved {former.root}/slots/{branch} to the layout of this release; what it serves is the same"
        for branch in ("develop", "master", "stage")
    ]
    assert_layout(former)
    for branch, st in inodes.items():  # Salt's hashes go by the time of a file
        now = os.stat(former.checkout(branch) / "pillar/app.sls")
        assert (now.st_ino, now.st_mtime_ns) == (st.st_ino, st.st_mtime_ns)
    again = former.sync_here()
    assert (again.changed, again.notes, again.exit_code) == (False, [], 0)
    for number in range(3):
        remote.commit("develop", {"salt/new.sls": f"{number}\n"})
        former.sync_well()
        assert_layout(former)
    assert [f.id for f in doctor(str(former.config)).findings if "slot" in f.id] == []


def test_new_commit_comes_with_the_move(former: Site, remote: Remote) -> None:
    old = remote.head("develop")
    new = remote.commit("develop", {"salt/new.sls": "new\n", "salt/top.sls": None})
    said = result_of(former.sync_well(), "test")
    assert (said.state, said.old, said.new) == ("switched", old, new)
    assert_layout(former)


def test_what_is_shown_and_planned_before_the_move(former: Site, remote: Remote) -> None:
    heads = [remote.head(branch) for branch in BRANCHES.values()]
    before = sorted(former.root.rglob("*"))
    assert [s.served and s.served.commit for s in status(str(former.config)).saltenvs] == heads
    assert former.sync("--plan").code == 0
    former.run("prune", "--plan")
    assert sorted(p for p in before if not p.name.startswith("lock")) == sorted(
        p for p in former.root.rglob("*") if not p.name.startswith("lock")
    )
    former.sync_well()


def test_other_commit_in_the_idle_slot(served: Site, remote: Remote) -> None:
    old = remote.head("develop")
    new = remote.commit("develop", {"salt/new.sls": "new\n", "salt/top.sls": None})
    served.sync_well()
    lay_out_as_before(served, {"develop": old})
    served.sync_well()
    served.assert_serves("develop", new)
    assert_layout(served)


def test_hold_stays(served: Site, remote: Remote) -> None:
    old = remote.head("develop")
    Journal(remote).hold("test", old)
    remote.commit("develop", {"salt/new.sls": "new\n"})
    served.sync_here()
    lay_out_as_before(served)
    said = result_of(served.sync_here(), "test")
    assert (said.state, said.new, said.why, said.changed) == ("unchanged", old, "hold", False)
    served.assert_serves("develop", old)
    assert_layout(served)


def test_pending_hold_is_served_while_the_remote_is_away(former: Site, remote: Remote) -> None:
    """An emergency right after the upgrade."""
    old = remote.git("rev-parse", "develop^")
    remote.path.rename(remote.path.with_name("away"))
    ran = former.run("hold", "test", "--at", old, "--reason", "broken", "--local", "--yes")
    assert ran.code == 0, ran
    remote.path.with_name("away").rename(remote.path)
    former.assert_serves("develop", old)
    assert_layout(former)


def edit(site: Site) -> Tree:
    """Somebody works in what develop serves; what is shown then."""
    slot = site.slot("develop")
    (slot / "pillar" / "app.sls").write_text("edited: by hand, of another size\n")
    (slot / "salt" / "strange.sls").write_text("strange\n")
    (slot / "salt" / "app" / "files" / "run.sh").unlink()
    return read_tree(site.checkout("develop"))


def test_edits_by_hand_stay_and_are_found_as_ever(former: Site, remote: Remote) -> None:
    shown = edit(former)
    assert [s.state for s in former.sync_here().saltenvs] == ["unchanged"] * 3
    assert former.shown("develop") == shown
    assert not former.sync_here().changed
    slots = slots_of(former)
    odd = ["pillar/app.sls", "salt/app/files/run.sh", "salt/strange.sls"]
    assert sorted(slots.differences(str(slots.served()))) == odd
    assert result_of(former.sync_here(verify=True), "test").state == "repaired"
    former.sync_well()
    for number in range(3):  # into either slot
        remote.commit("develop", {"salt/new.sls": f"{number}\n"})
        former.sync_well()


def test_registrations_lost(former: Site) -> None:
    shutil.rmtree(former.root / "mirror.git" / "worktrees")
    former.sync_well()
    former.remote.commit("develop", {"salt/new.sls": ""})
    former.sync_well()


def test_branch_that_is_no_longer_configured_is_moved_and_pruned(former: Site) -> None:
    former.keep_only("test", "prod")
    tree = former.shown("stage")
    assert former.sync_here().exit_code == 0
    assert former.shown("stage") == tree
    assert former.run("prune", "--yes").code == 0
    assert sorted(p.name for p in (former.root / "slots").iterdir()) == ["develop", "master"]


def test_root_of_before_can_be_pruned_before_it_is_moved(former: Site) -> None:
    former.keep_only("test", "prod")
    former.run("prune", "--yes", "--force")
    assert sorted(p.name for p in (former.root / "slots").iterdir()) == ["develop", "master"]
    former.sync_well()
    assert_layout(former)


# Killed, at once, and read all the while


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("news", [False, True], ids=["edited", "news"])
def test_killed_at_every_step(
    served: Site, remote: Remote, server: KillServer, *, news: bool, every: bool
) -> None:
    """Of every telling kind of step the first one, or every single one."""
    served.keep_only("test")
    shutil.rmtree(served.root)
    served.sync_well()
    lay_out_as_before(served)
    old = head = remote.head("develop")
    shown = remote.tree(old)
    if news:
        head = remote.commit("develop", {"salt/new.sls": "new\n", "salt/top.sls": None})
    else:
        shown = edit(served)
    former = served.folder / "former"
    subprocess.run(["cp", "-a", str(served.root), str(former)], check=True)
    crash = Crash(served, server, "sync", "--quiet", "--config", str(served.config))
    crash.run()
    steps = crash.log.read_text().splitlines()
    first = steps.index("os.rename root/.saltbranch root/.saltbranch-layout-2")
    assert len(steps) - first > 60
    last = len(steps) if news else steps.index("open root/state/prepared~.saltbranch-new")
    telling = set(crash.telling_steps())
    kinds = {steps[n]: n for n in reversed(range(first, last)) if steps[n] in telling}
    assert len(kinds) > 20
    kept = [[*kinds][number] for number in budget.around([*kinds], 10)]
    for number in range(first, last + 1) if every else [*(kinds[k] for k in kept), last]:
        shutil.rmtree(served.root)
        subprocess.run(["cp", "-a", str(former), str(served.root)], check=True)
        killed = crash.is_killed(ANY, number)
        wanted = [shown, remote.tree(head)] if news else [shown]
        assert served.shown("develop") in wanted, number
        slots = slots_of(served)
        assert slots.head(slots.served() or "") in (old, head), number
        result = served.sync_here(wait=30)
        assert result.exit_code == 0, number
        assert result_of(result, "test").state == "unchanged" or news or not killed, number
        assert served.shown("develop") == (remote.tree(head) if news else shown), number
        assert_moved(served)
        assert killed == (number < len(steps)), number


def assert_moved(site: Site) -> None:
    """Nothing is left of the layout before."""
    root = site.root
    assert os.readlink(site.checkout("develop")) == "../slots/develop/served/tree"
    assert sorted(p.name for p in (root / "slots" / "develop").iterdir()) == ["a", "b", "served"]
    slots = slots_of(site)
    name = slots.served()
    assert name and slots.head(name)
    commit = (root / "slots" / "develop" / "served" / "commit").read_text().strip()
    assert commit == slots.head(name)
    assert not (root / ".saltbranch").exists()
    assert not list((root / "slots" / "develop").glob("[ab]/.git"))


def test_two_at_once(former: Site, remote: Remote) -> None:
    remote.commit("develop", {"salt/new.sls": "new\n"})
    both = [former.start("--quiet", "--wait", "50") for _ in range(2)]
    for process in both:
        out, err = process.communicate()
        assert process.returncode == 0, out + err
    assert not former.sync_here().changed
    former.assert_serves("develop", remote.head("develop"))
    assert_layout(former)


def test_readers_see_whole_files_all_the_time(site: Site, remote: Remote) -> None:
    names = [f"salt/{n % 7}/{n}.sls" for n in range(30)] + ["pillar/0.sls"]
    for branch in BRANCHES.values():
        remote.commit(branch, dict.fromkeys(names, f"{branch} 1\n" * 20))
    site.sync_well()
    argv = [sys.executable, str(READER), str(site.root / "checkouts"), "20", *names]
    for number in range(2, 8):
        lay_out_as_before(site)
        for branch in BRANCHES.values() if number % 2 else ():
            remote.commit(branch, dict.fromkeys(names, f"{branch} {number}\n" * 20))
        readers = [
            subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)
        ]
        try:
            site.sync_well()
        finally:
            said = [json.loads(reader.communicate()[0]) for reader in readers]
        for reader in said:
            assert reader["problems"] == []
            assert reader["reads"] > 500
        assert_layout(site)


# Other releases


def test_root_of_a_newer_release_is_refused(served: Site, remote: Remote) -> None:
    old = remote.head("develop")
    newer = served.root / ".saltbranch-layout-3"
    (served.root / files.MARKER).rename(newer)
    remote.commit("develop", {"salt/new.sls": "new\n"})
    before = read_tree(served.root / "slots")
    for words in (["sync"], ["sync", "--plan"], ["prune", "--yes"], ["init", "--move-root"]):
        ran = served.run(*words)
        assert ran.code == 1, ran
        assert f"root {served.root} was laid out by a newer saltbranch" in ran.err
        assert "install the newer release again" in ran.err
    assert read_tree(served.root / "slots") == before
    served.assert_serves("develop", old)
    newer.rename(served.root / files.MARKER)
    served.sync_well()


def test_releases_before_know_nothing_of_it_as_theirs(former: Site) -> None:
    """Their mark is gone before the first branch is moved: to them it is a folder of somebody else."""
    shown = former.shown("develop")
    idle = former.root / "slots" / "develop" / "b"
    idle.rename(former.folder / "aside")
    idle.write_text("in the way\n")
    ran = former.sync()
    assert ran.code == 1
    assert str(idle) in ran.err and "move it away" in ran.err
    assert not (former.root / ".saltbranch").exists()
    assert former.shown("develop") == shown
    idle.unlink()
    former.sync_well()
    assert_layout(former)
