"""What a sync did comes to people and hooks: once and soon, and after every mishap at least once."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saltbranch.notify import channel, outbox, send
from tests.actions.test_sync_faults import mounted
from tests.support.receiver import Receiver, until
from tests.support.remote import Remote
from tests.support.site import FaultyGit, Journal, Site, build_template

RULES = [{"events": ["switched", "sync_failed", "promotion", "hold", "rollback"], "to": ["ops"]}]


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return build_template(tmp_path / "remote.git")


@pytest.fixture
def server() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


@pytest.fixture
def site(tmp_path: Path, remote: Remote, server: Receiver) -> Site:
    found = Site(tmp_path, remote)
    found.configure(notify=RULES, notify_targets={"ops": server.url()})
    return found


def queue(site: Site) -> list[str]:
    """What lies in the outbox."""
    return sorted(os.listdir(site.root / "state" / "outbox" / "queue"))


def is_sent(site: Site) -> None:
    """Wait for the end of the sender that is at it, if one is: it holds the lock."""
    with (site.root / "state" / "outbox" / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


def send_now(site: Site) -> None:
    """The sender, in this process, with no pause left from what it tried before."""
    is_sent(site)
    folder = site.root / "state" / "outbox"
    for place in (folder, folder / "queue", folder / "channels"):
        for path in place.glob("*"):
            os.utime(path, (0, 0))
    send.run(str(site.root), str(site.config))


def settled(site: Site) -> bool:
    """Wait until nothing is left to send."""
    return until(lambda: not queue(site))


def hook(tmp_path: Path, name: str, *, before: str = "") -> tuple[list[str], Path]:
    """A program that appends what it reads to a file: its words, and the file."""
    log, program = tmp_path / f"{name}.log", tmp_path / name
    program.write_text(f'#!/bin/sh\n{before}\ncat >>"{log}"\necho >>"{log}"\n')
    program.chmod(0o755)
    return [str(program)], log


def told(log: Path) -> list[dict[str, Any]]:
    """What a hook was told."""
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text().splitlines() if line]


def test_a_switch_is_told_with_who_what_and_tickets(site: Site, server: Receiver) -> None:
    site.sync_well()
    assert settled(site) and len(server.got) == 1  # the first sync, all saltenvs in one message
    new = site.remote.commit("develop", {"salt/new.sls": ""}, message="KEY-12 a new state")
    site.sync_well()
    assert settled(site)
    last = server.got[-1]
    assert last["saltenvs"] == ["test"] and last["event"] == "switched"
    assert new[:12] in last["title"]
    assert (
        "KEY-12" in last["text"]
        and "a new state" in last["text"]
        and "1 commit in 1 file" in last["text"]
    )
    assert server.keys[-1] == last["id"] != server.keys[0]


def test_a_sync_without_news_tells_nothing(site: Site, server: Receiver) -> None:
    site.sync_well()
    assert settled(site)
    before = len(server.got)
    site.sync_well()
    site.sync("--quiet")
    assert queue(site) == [] and len(server.got) == before


def test_nobody_wants_it_so_nothing_is_kept(tmp_path: Path, remote: Remote) -> None:
    site = Site(tmp_path, remote)
    site.configure(notify=RULES)  # this machine does not know where `ops` leads
    site.sync_well()
    assert not (site.root / "state" / "outbox" / "queue").exists()


def test_saltenvs_of_a_rule(site: Site, server: Receiver) -> None:
    site.configure(notify=[{"events": ["switched"], "saltenvs": ["prod"], "to": ["ops"]}])
    site.sync_well()
    assert settled(site)
    assert [row["saltenv"] for row in server.got[0]["rows"]] == ["prod"]
    site.remote.commit("develop", {"salt/new.sls": ""})
    site.sync_well()
    assert settled(site) and len(server.got) == 1


def test_a_failure_is_told_once_and_when_it_is_over(site: Site, server: Receiver) -> None:
    site.sync_well()
    assert settled(site)
    path = Path(site.settings["remote"])
    path.rename(path.with_name("gone"))
    for _ in range(3):
        assert site.sync("--quiet").code != 0
    assert settled(site)
    path.with_name("gone").rename(path)
    site.sync_well()
    assert settled(site)
    failures = [m for m in server.got if m["event"] == "sync_failed"]
    assert [m["over"] for m in failures] == [False, True]
    assert str(path) in failures[0]["text"] and failures[0]["id"] != failures[1]["id"]


def test_what_the_journal_gets_is_told_wherever_it_was_done(site: Site, server: Receiver) -> None:
    site.sync_well()
    assert settled(site)
    Journal(site.remote).hold("prod", site.remote.head("master"), reason="KEY-9 end of year")
    site.sync_well()
    assert until(lambda: any(m["event"] == "hold" for m in server.got)) and settled(site)
    message = next(m for m in server.got if m["event"] == "hold")
    assert message["saltenvs"] == ["prod"] and "KEY-9 end of year" in message["text"]
    before = len(server.got)
    site.sync_well()
    assert settled(site) and len(server.got) == before


def test_a_dead_server_delays_no_sync_and_loses_nothing(site: Site, server: Receiver) -> None:
    server.status = 503
    site.sync_well()
    assert until(lambda: server.asked == 1)
    commits = []
    for number in range(5):
        commits.append(site.remote.commit("develop", {"salt/new.sls": f"# {number}\n"}))
        site.sync_well()
    assert until(lambda: len(queue(site)) == 6 and all("@" in name for name in queue(site)))
    time.sleep(0.5)
    assert server.asked == 1  # it is left alone for a minute
    assert "503" in channel.Channel(outbox.folder(str(site.root)), "to-ops").failure
    server.status = 200
    send_now(site)
    assert queue(site) == []
    assert {row["new"] for m in server.got for row in m["rows"]} >= set(commits)
    assert len({m["id"] for m in server.got}) == len(server.got) == 6


def test_what_is_refused_keeps_nothing_else_back(site: Site, server: Receiver) -> None:
    server.status = 400
    site.sync_well()
    assert until(lambda: server.asked == 1 and queue(site))
    server.status = 200
    site.remote.commit("develop", {"salt/new.sls": ""})
    site.sync_well()
    assert until(lambda: len(server.got) == 1)
    assert until(lambda: len(queue(site)) == 1)


def test_a_server_that_never_answers_costs_the_sync_nothing(site: Site, server: Receiver) -> None:
    server.status = None
    started = time.monotonic()
    done = subprocess.run(site.argv("sync", "--quiet"), capture_output=True, check=False)
    assert done.returncode == 0 and time.monotonic() - started < 8  # the server would take ten
    assert until(lambda: server.asked == 1)
    assert until(lambda: channel.Channel(outbox.folder(str(site.root)), "to-ops").failure, 25)
    assert len(queue(site)) == 1


def test_a_redirect_is_not_followed(site: Site, server: Receiver) -> None:
    server.status = 302
    site.sync_well()
    assert until(lambda: channel.Channel(outbox.folder(str(site.root)), "to-ops").failure)
    assert server.asked == 1


def test_the_outbox_is_bounded_and_counts_what_it_drops(
    site: Site, server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.status = 503
    site.sync_well()
    assert until(lambda: server.asked == 1)
    monkeypatch.setattr(outbox, "MOST", 10)
    with (site.root / "state" / "outbox" / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for number in range(100):
            outbox.put(str(site.root), "switched", f"id{number}", {"rows": [], "master": "m"})
    assert len(queue(site)) == 10 and len(outbox.dropped(str(site.root))) == 91
    server.status = 200
    send_now(site)
    assert [m["id"] for m in server.got] == [f"id{n}" for n in range(90, 100)]


def test_what_is_too_old_is_dropped_and_counted(site: Site, server: Receiver) -> None:
    server.status = 503
    site.sync_well()
    assert until(lambda: server.asked == 1)
    is_sent(site)
    (name,) = queue(site)
    folder = site.root / "state" / "outbox" / "queue"
    old = int((time.time() - 4 * 86400) * 1000)
    (folder / name).rename(folder / f"{old:014d}-{name.partition('-')[2]}")
    send_now(site)
    assert queue(site) == [] and len(outbox.dropped(str(site.root))) == 1


def test_a_target_gets_only_so_many_messages_at_once(site: Site, server: Receiver) -> None:
    site.sync_well()
    assert settled(site)
    for number in range(40):
        outbox.put(str(site.root), "switched", f"id{number}", {"rows": [], "master": "m"})
    send.Sender(str(site.root), str(site.config)).run()
    assert len(server.got) == channel.MOST and len(queue(site)) == 41 - channel.MOST
    send.Sender(str(site.root), str(site.config)).run()
    assert len(server.got) == channel.MOST


def test_a_full_disk_fails_no_sync_and_says_so(
    site: Site, server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.sync_well()
    assert settled(site)
    folder = site.root / "state" / "outbox" / "queue"
    folder.rmdir()
    folder.symlink_to("/dev/full")  # nothing can be written below it
    site.remote.commit("develop", {"salt/new.sls": ""})
    result = site.sync_well()
    assert any("nobody will be told of it" in note for note in result.notes)


def test_on_a_full_disk_what_was_delivered_is_told_once(site: Site, server: Receiver) -> None:
    server.status = 503
    site.root.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", site.root):
        site.sync_well()
        assert until(lambda: any("@" in name for name in queue(site)))
        assert until(lambda: server.asked == 1)
        filler = site.root / "filler"
        stat = os.statvfs(site.root)
        filler.write_bytes(b"\0" * (stat.f_bavail * stat.f_frsize))
        server.status = 200
        for _ in range(3):
            send_now(site)
        assert len(server.got) == 1 and queue(site) == []
        filler.unlink()
        site.remote.commit("develop", {"salt/new.sls": ""})
        site.sync_well()
        assert until(lambda: len(server.got) == 2) and settled(site)
        send_now(site)  # whoever sent has ended, so the folder is nobody's


def test_hooks_are_told_as_json(tmp_path: Path, remote: Remote) -> None:
    site = Site(tmp_path, remote)
    words = {name: hook(tmp_path, name) for name in ("after_sync", "after_switch", "after_hold")}
    hooks = {name: argv for name, (argv, _) in words.items()}
    site.configure(hooks=hooks, programs=list(hooks.values()))
    site.sync_well()
    assert settled(site)
    (sync,) = told(words["after_sync"][1])
    rows = told(words["after_switch"][1])
    assert sync["hook"] == "after_sync" and sync["problem"] is None
    assert (
        {r["saltenv"] for r in rows}
        == {r["saltenv"] for r in sync["saltenvs"]}
        == {"test", "stage", "prod"}
    )
    assert {r["id"] for r in rows} == {r["id"] for r in sync["saltenvs"]}
    Journal(remote).hold("prod", remote.head("master"), reason="wait")
    site.sync_well()
    assert until(lambda: told(words["after_hold"][1]))
    (held,) = told(words["after_hold"][1])
    assert held["entry"]["reason"] == "wait" and held["entry"]["saltenv"] == "prod"


def test_a_hook_that_the_machine_does_not_list_never_runs(tmp_path: Path, remote: Remote) -> None:
    site = Site(tmp_path, remote)
    argv, log = hook(tmp_path, "after_sync")
    site.configure(hooks={"after_sync": argv}, programs=[[*argv, "--other"]])
    site.sync_well()
    time.sleep(0.5)
    assert not log.exists() and not (site.root / "state" / "outbox" / "queue").exists()


def test_a_hook_that_fails_is_told_again_with_the_same_id(tmp_path: Path, remote: Remote) -> None:
    site = Site(tmp_path, remote)
    mark = tmp_path / "mark"
    argv, log = hook(
        tmp_path, "after_sync", before=f'[ -e "{mark}" ] || {{ touch "{mark}"; exit 1; }}'
    )
    site.configure(hooks={"after_sync": argv}, programs=[argv])
    site.sync_well()
    assert until(lambda: mark.exists())
    assert until(lambda: any("@" in name for name in queue(site)))
    (name,) = queue(site)
    send_now(site)
    (sync,) = told(log)
    assert sync["id"] in name and queue(site) == []


@pytest.mark.parametrize("fault", ["both", "done"])
def test_a_sync_killed_at_any_call_of_git_is_told_in_the_end(
    tmp_path: Path, remote: Remote, fault: str
) -> None:
    site = Site(tmp_path, remote)
    argv, log = hook(tmp_path, "after_switch")
    site.configure(hooks={"after_switch": argv}, programs=[argv])
    site.sync_well()
    assert settled(site)
    faulty = FaultyGit(tmp_path / "bin")
    for number in range(1, 12):
        new = remote.commit("develop", {"salt/new.sls": f"# {fault} {number}\n"})
        site.run("sync", "--quiet", env=faulty.env(fault, number))
        assert site.sync_here(wait=20).exit_code == 0  # git may go on alone for a moment
        assert until(lambda new=new: new in {row["new"] for row in told(log)}), number  # type: ignore[misc]
    ids: dict[str, set[str]] = {}
    for row in told(log):
        ids.setdefault(row["new"] + row["saltenv"], set()).add(row["id"])
    assert all(len(found) == 1 for found in ids.values())


STEPS = (
    "outbox.put",
    "prepared.save_served",
    "gather.deliveries",
    "deliver.deliver",
    "files.unlink",
)


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_step_it_is_told_at_least_once_with_one_id(
    site: Site, server: Receiver, step: str
) -> None:
    site.sync_well()
    assert settled(site)
    new = site.remote.commit("develop", {"salt/new.sls": ""})
    module, _, name = step.partition(".")
    package = {
        "outbox": "notify",
        "gather": "notify",
        "deliver": "notify",
        "prepared": "repository",
    }.get(module, "base")
    code = f"""
import os, signal
from saltbranch.{package} import {module}
real = {module}.{name}
def die(*args, **kwargs):
    if {step!r} == "files.unlink" and "@" not in args[0]:
        return real(*args, **kwargs)
    if {step!r} in ("outbox.put", "deliver.deliver"):
        real(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
{module}.{name} = die
from saltbranch.actions.sync import sync
from saltbranch.notify import send, start
start.start = lambda *words: send.Sender(*words).run()
sync({str(site.config)!r})
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    site.sync_well()
    assert until(lambda: any(row["new"] == new for m in server.got for row in m["rows"]))
    assert settled(site)
    messages = [m for m in server.got if any(row["new"] == new for row in m["rows"])]
    assert len({m["id"] for m in messages}) == 1 and len(messages) <= 2


def test_two_senders_do_not_tell_twice(site: Site, server: Receiver) -> None:
    site.sync_well()
    assert settled(site)
    for number in range(10):
        outbox.put(str(site.root), "switched", f"id{number}", {"rows": [], "master": "m"})
    code = "from saltbranch.notify import send; send.main()"
    argv = [sys.executable, "-c", code, str(site.root), str(site.config)]
    running = [subprocess.Popen(argv) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    assert settled(site)
    assert sorted(server.keys[1:]) == sorted(f"id{n}" for n in range(10))
