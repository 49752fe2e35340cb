"""Several at once: syncs, readers, and what killed syncs left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from saltbranch.base import files
from saltbranch.base.errors import LockedError
from tests.support.remote import Remote
from tests.support.site import BRANCHES, FaultyGit, Site

READER = Path(__file__).parents[1] / "support" / "reader.py"


def wait_for_call(faulty_git: FaultyGit, site: Site, verb: str) -> None:
    """Wait until a sync has started ``git verb``: it holds the lock then."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if verb.encode() in words and os.fsencode(faulty_git.folder / "git") in words:
                    return
        time.sleep(0.01)
    raise AssertionError(f"{site.root}: no git {verb}")


def test_deploy_06_second_sync_is_told_to_come_again(
    served: Site, remote: Remote, faulty_git: FaultyGit
) -> None:
    new = remote.commit("develop", {"salt/new.sls": ""})
    with served.start(env=faulty_git.env("slow", "checkout")) as first:
        wait_for_call(faulty_git, served, "checkout")
        begun = time.monotonic()
        second = served.sync()
        assert (second.code, second.out) == (75, "")
        assert f"another saltbranch works on {served.root} (pid {first.pid}, since " in second.err
        assert "--wait SECONDS" in second.err
        assert time.monotonic() - begun < 1
        third = served.sync("--wait", "0.3")
        assert third.code == 75
        assert served.sync("--wait", "30").code == 0
        assert first.wait() == 0
    served.assert_serves("develop", new)


def test_deploy_06_many_syncs_at_once_all_end_well(served: Site, remote: Remote) -> None:
    for number in range(2):
        for branch in BRANCHES.values():
            remote.commit(branch, {"salt/new.sls": f"{number}\n"})
        syncs = [served.start("--wait", "60") for _ in range(3)]
        for sync in syncs:
            out, err = sync.communicate()
            assert (sync.returncode, err) == (0, ""), out
        for branch in BRANCHES.values():
            served.assert_serves(branch, remote.head(branch))


def test_deploy_05_lock_lasts_as_long_as_git_works_for_a_killed_sync(
    served: Site, remote: Remote, faulty_git: FaultyGit
) -> None:
    old, new = remote.head("develop"), remote.commit("develop", {"salt/new.sls": ""})
    assert served.run("sync", env=faulty_git.env("orphan", "checkout")).code == -9
    assert served.sync().code == 75
    served.assert_serves("develop", old)
    assert served.sync("--wait", "30").code == 0
    served.assert_serves("develop", new)


def test_deploy_05_lock_ends_with_its_holder_and_what_the_file_says_decides_nothing(
    served: Site,
) -> None:
    lock = served.root / "lock"
    holder = (
        "import fcntl, sys, time; lock = open(sys.argv[1], 'a'); fcntl.flock(lock, fcntl.LOCK_EX);"
        " print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", holder, lock], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline()
        assert served.sync().code == 75
        process.kill()
    assert served.sync().code == 0
    lock.write_text(f"pid {os.getpid()}, since ever: saltbranch sync\n")
    assert served.sync().code == 0


def test_fetch_left_by_a_killed_sync_does_no_harm(
    served: Site, remote: Remote, faulty_git: FaultyGit
) -> None:
    remote.commit("develop", {"salt/new.sls": ""})
    assert served.run("sync", env=faulty_git.env("orphan", "fetch")).code == -9
    served.sync_well()
    remote.commit("develop", {"salt/new.sls": "newer\n"})
    time.sleep(1.6)  # the late fetch comes now
    served.sync_well()


def test_waiting_is_said_once(served: Site) -> None:
    said: list[str] = []
    with files.Lock(f"{served.root}/lock"), pytest.raises(LockedError):
        served.sync_here(wait=0.3, say=said.append)
    assert len(said) == 1 and said[0].startswith(f"pid {os.getpid()}, since ")


def test_deploy_02_readers_see_whole_files_of_the_right_branch_all_the_time(
    site: Site, remote: Remote
) -> None:
    names = [f"salt/{n % 7}/{n}.sls" for n in range(40)] + [f"pillar/{n}.sls" for n in range(10)]

    def commit(number: int) -> None:
        for branch in BRANCHES.values():
            content = f"{branch} {number}\n" * 300
            extra = {f"salt/extra{number}.sls": content, f"salt/extra{number - 1}.sls": None}
            remote.commit(branch, {**dict.fromkeys(names, content), **extra})

    commit(0)
    site.sync_well()
    argv = [sys.executable, str(READER), str(site.root / "checkouts"), "300", *names]
    readers = [
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)
    ]
    try:
        for number in range(1, 21):
            commit(number)
            assert site.sync_here().exit_code == 0
    finally:
        said = [json.loads(reader.communicate()[0]) for reader in readers]
    for reader in said:
        assert reader["problems"] == []
        assert reader["reads"] > 1000
    for branch in BRANCHES.values():
        site.assert_serves(branch, remote.head(branch))


def test_link_is_there_at_every_moment_of_its_replacement(tmp_path: Path) -> None:
    link = str(tmp_path / "link")
    files.replace_symlink("0", link)
    seen: set[str] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.add(os.readlink(link))

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(2000):
        files.replace_symlink(str(number % 5), link)
    stop.set()
    watcher.join()
    assert len(seen) > 1  # it looked in between, and no readlink failed
    assert seen <= set("01234")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("options", [[], ["--json"]])  # the quick road, and the one through typer
def test_interrupted_by_a_person_or_a_service_manager(
    served: Site, remote: Remote, faulty_git: FaultyGit, signum: int, options: list[str]
) -> None:
    old = remote.head("develop")
    for verb in ("fetch", "checkout"):
        new = remote.commit("develop", {"salt/new.sls": f"{verb}\n"})
        with served.start(*options, env=faulty_git.env("slow", verb)) as sync:
            wait_for_call(faulty_git, served, verb)
            sync.send_signal(signum)
            out, err = sync.communicate()
        assert sync.returncode == 130
        assert (json.loads(out)["error"]["exit_code"] if options else out) == (
            130 if options else ""
        )
        assert err == "saltbranch: interrupted; what was served is still served\n"
        served.assert_serves("develop", old)
        assert served.sync("--wait", "30").code == 0
        served.assert_serves("develop", new)
        old = new


def test_two_roots_do_not_wait_for_each_other(served: Site, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Site(tmp_path / "other", served.remote)
    with files.Lock(f"{served.root}/lock"):
        other.sync_well()
