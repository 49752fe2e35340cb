"""A push that was announced is served, many at once by few syncs, and nothing is lost by a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from saltbranch.actions.webhook import WebhookResult, webhook
from saltbranch.base import files
from saltbranch.base.errors import LockedError, RemoteError, UsageError
from saltbranch.webhook import coalesce
from tests.support.site import Site

DEVELOP = "refs/heads/develop"


def announce(site: Site, ref: str, commit: str) -> WebhookResult:
    return webhook(str(site.config), ref, commit)


def new_commit(site: Site, branch: str = "develop", text: str = "new") -> str:
    return site.remote.commit(branch, {"pillar/app.sls": f"branch: {text}\n"})


def notes(site: Site) -> list[tuple[str, str]]:
    return [(note.ref, note.commit) for note in coalesce.noted(str(site.root))]


def test_a_push_is_served_by_one_sync(served: Site) -> None:
    new = new_commit(served)
    result = announce(served, DEVELOP, new)
    assert (result.syncs, result.exit_code, result.missing) == (1, 0, ())
    served.assert_serves("develop", new)
    assert notes(served) == []


def test_a_replay_is_a_sync_that_finds_nothing(served: Site) -> None:
    old = served.remote.head("develop")
    new = new_commit(served)
    announce(served, DEVELOP, new)
    for commit in (new, old):
        result = announce(served, DEVELOP, commit)
        assert result.result and not result.result.changed and result.syncs == 1
    served.assert_serves("develop", new)


def test_the_first_sync_of_a_machine(site: Site) -> None:
    assert announce(site, DEVELOP, site.remote.head("develop")).exit_code == 0
    site.assert_serves("develop", site.remote.head("develop"))


def test_a_commit_that_comes_late_is_waited_for_and_the_rest_is_served(served: Site) -> None:
    stage = new_commit(served, "stage")
    base = served.remote.head("develop")
    late = new_commit(served)
    served.remote.set_branch("develop", base)  # a replica that is behind
    done: list[WebhookResult] = []
    call = threading.Thread(target=lambda: done.append(announce(served, DEVELOP, late)))
    call.start()
    deadline = time.monotonic() + 20
    while served.shown("stage") != served.remote.tree(stage):
        assert time.monotonic() < deadline and call.is_alive()
        time.sleep(0.05)
    assert notes(served) == [(DEVELOP, late)]
    served.remote.set_branch("develop", late)
    call.join(30)

    assert done[0].syncs > 1 and done[0].missing == ()
    served.assert_serves("develop", late)
    assert notes(served) == []


def test_a_commit_that_never_comes_is_told_and_given_up(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalesce, "PATIENCE", 1)
    result = announce(served, DEVELOP, "a" * 40)
    assert result.missing == (f"{DEVELOP} {'a' * 40}",) and result.exit_code == 0
    assert notes(served) == []


def test_a_deleted_branch_is_told_as_any_sync_does(served: Site) -> None:
    served.remote.delete_branch("stage")
    result = announce(served, "refs/heads/stage", "")
    assert result.exit_code == 20 and result.syncs == 1
    assert notes(served) == []


@pytest.mark.parametrize(
    ("ref", "commit"),
    [("develop", ""), ("--x", ""), (f"{DEVELOP}\n", ""), (DEVELOP, "HEAD"), (DEVELOP, "A" * 40)],
)
def test_words_that_are_none(served: Site, ref: str, commit: str) -> None:
    with pytest.raises(UsageError):
        announce(served, ref, commit)
    assert notes(served) == []


def test_a_remote_that_cannot_be_read_leaves_the_note(served: Site, tmp_path: Path) -> None:
    new = new_commit(served)
    away = tmp_path / "away.git"
    served.remote.path.rename(away)
    with pytest.raises(RemoteError):
        announce(served, DEVELOP, new)
    assert notes(served) == [(DEVELOP, new)]

    away.rename(served.remote.path)
    announce(served, "refs/heads/stage", served.remote.head("stage"))
    served.assert_serves("develop", new)
    assert notes(served) == []


# Many at once


def test_many_pushes_at_once_make_few_syncs(served: Site) -> None:
    umask = os.umask(0o022)
    os.umask(umask)
    commits = [new_commit(served, text=str(number)) for number in range(30)]
    done: list[WebhookResult] = []
    calls = [
        threading.Thread(target=lambda c=c: done.append(announce(served, DEVELOP, c)))  # type: ignore[misc]
        for c in commits
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join(60)

    assert len(done) == 30
    assert 1 <= sum(r.result is not None for r in done) <= 15
    assert sum(r.syncs for r in done) <= 15
    served.assert_serves("develop", commits[-1])
    assert notes(served) == []
    assert os.umask(umask) == umask


def test_one_serves_one_waits_and_the_others_leave_it_to_that_one(served: Site) -> None:
    root = str(served.root)
    order: list[str] = []
    with coalesce.turn(root) as first:
        assert first

        def second() -> None:
            with coalesce.turn(root) as mine:
                order.append(f"second {mine}")

        waiter = threading.Thread(target=second)
        waiter.start()
        time.sleep(1)
        with coalesce.turn(root) as third:
            order.append(f"third {third}")
    waiter.join(30)
    assert order == ["third False", "second True"]
    with coalesce.turn(root) as fourth:
        assert fourth


def test_a_fault_while_it_waits_lets_go_of_both_locks(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(served.root)

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(coalesce.time, "sleep", interrupted)
        with pytest.raises(KeyboardInterrupt), coalesce.turn(root):
            pass
    for name in ("waiting", "running"):
        with files.Lock(f"{coalesce.path(root)}.{name}"):
            pass


def test_another_saltbranch_that_does_not_end_is_told(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saltbranch.actions.webhook._LOCK", 0.1)
    new = new_commit(served)
    with files.Lock(f"{served.root}/lock"), pytest.raises(LockedError):
        announce(served, DEVELOP, new)
    assert notes(served) == [(DEVELOP, new)]
    served.sync_well()  # the timer
    served.assert_serves("develop", new)


# Kills

CALL = """\
import sys
from saltbranch.actions.webhook import webhook
print("begun", flush=True)
webhook(*sys.argv[1:])
"""


def test_killed_at_any_moment_the_next_event_or_the_timer_goes_on(served: Site) -> None:
    for number in range(8):
        new = new_commit(served, text=f"kill {number}")
        argv = [sys.executable, "-c", CALL, str(served.config), DEVELOP, new]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as call:
            assert call.stdout and call.stdout.readline() == b"begun\n"
            time.sleep(0.03 * number)
            os.killpg(call.pid, signal.SIGKILL)
        if number % 2:  # git, which is not killed, keeps the lock until it ends
            assert served.sync_here(wait=30).exit_code == 0
        else:
            result = announce(served, "refs/heads/stage", served.remote.head("stage"))
            assert result.exit_code == 0 and notes(served) == []
        served.assert_serves("develop", new)


@pytest.mark.parametrize("text", ["", "x", "\0\t\t\n", "a\tb\tc\n", f"{DEVELOP}\t\tnan\n"])
def test_notes_that_are_torn_stop_nothing(served: Site, text: str) -> None:
    Path(coalesce.path(str(served.root))).write_text(text)
    new = new_commit(served)
    assert announce(served, DEVELOP, new).exit_code == 0
    served.assert_serves("develop", new)
    assert notes(served) == []
