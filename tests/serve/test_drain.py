"""drain: where no master runs, or nobody can say what is under way. With a master: test_drain_running.py."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from saltbranch.actions.status import status
from saltbranch.base import proc
from saltbranch.base.errors import ConfigError, GitError, UsageError
from saltbranch.config.read import parse_file
from saltbranch.config.saltenvs import saltenv_of
from saltbranch.ext import contract
from saltbranch.serve import drain, drain_record, reconcile
from saltbranch.serve.hold_here import hold_locally
from tests.serve.test_formulas import PATH, pin
from tests.support.remote import Remote
from tests.support.site import Site, event, result_of


@pytest.fixture
def draining(site: Site) -> Site:
    """A site whose saltenv test drains."""
    site.salt_config.write_text(
        json.dumps({"root_dir": str(site.folder), "cachedir": "/cache", "sock_dir": "/run"})
    )
    site.settings["saltenvs"]["test"]["drain"] = "1s"
    site.configure()
    site.sync_well()
    return site


@pytest.fixture
def deaf(draining: Site) -> Iterator[Site]:
    """The same with something that listens as a master does, and a job cache that cannot be read."""
    (draining.folder / "run").mkdir()
    (draining.folder / "cache").mkdir(exist_ok=True)
    (draining.folder / "cache" / "jobs").write_text("no folder")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bus:
        bus.bind(str(draining.folder / "run" / "master_event_pull.ipc"))
        bus.listen()
        yield draining


def push(site: Site) -> str:
    """A new commit of the saltenv test."""
    return site.remote.commit("develop", {"salt/new.sls": "# new\n"})


def test_nobody_is_asked_where_no_master_runs(
    draining: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> NoReturn:
        raise AssertionError("a process was started")

    monkeypatch.setattr(proc, "Companion", refuse)
    new = push(draining)

    row = result_of(draining.sync_here(), "test")

    assert (row.state, row.new, row.message, row.runs) == ("switched", new, "", [])
    assert not (draining.root / "state" / "drain").exists()


def test_what_is_not_known_is_not_taken_for_idle(deaf: Site) -> None:
    deaf.settings["saltenvs"]["test"]["drain_then"] = "wait"
    deaf.configure()
    new, before = push(deaf), deaf.remote.head("develop~1")

    result = deaf.sync_here()

    row = result_of(result, "test")
    assert (row.state, row.changed, result.exit_code) == ("failed", False, 20)
    assert row.message.startswith("not switched after ")
    assert "s: state runs that are not known: cannot see which state runs are" in row.message
    deaf.assert_serves("develop", before)
    shown = next(s for s in status(str(deaf.config)).saltenvs if s.saltenv == "test")
    assert (shown.wanted, shown.waits and shown.waits["then"]) == (new, "wait")
    text = deaf.run_here("status", "--config", str(deaf.config)).out
    assert "not switched since " in text and "(the next sync goes on)" in text


def test_after_the_drain_it_is_switched_all_the_same(deaf: Site) -> None:
    new = push(deaf)

    ran = deaf.sync("--json")

    row = json.loads(ran.out)["saltenvs"][0]
    assert (ran.code, row["state"], row["new"]) == (0, "switched", new)
    told = re.match(r"switched after \d+ s during state runs that are not known: ", row["message"])
    assert told, row["message"]
    assert drain_record.load(str(deaf.root), "test") is None


def test_a_hold_and_a_sync_that_asks_for_no_drain_do_not_look(deaf: Site) -> None:
    old, new = deaf.remote.head("master"), push(deaf)
    begun = time.monotonic()

    assert result_of(deaf.sync_here(drain=0.0), "test").message == ""
    deaf.assert_serves("develop", new)
    hold = event("hold", saltenv="test", commit=old, reason="an emergency")
    row = result_of(hold_locally(str(deaf.config), hold), "test")

    assert (row.state, row.message) == ("switched", "")
    deaf.assert_serves("develop", old)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("words", ["soon", "2h", "-1s", "120"])
def test_a_length_of_time_that_is_none_is_refused(site: Site, words: str) -> None:
    ran = site.sync(f"--drain={words}")

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"saltbranch: --drain: {words!r} is") or "an hour" in ran.err
    with pytest.raises(UsageError, match="^drain: "):
        contract.drain(words)
    assert contract.drain(None) is None and contract.drain("90s") == 90


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '{"since": 1}',
        '{"since": "x"}',
        "{",
        '{"since": 1, "until": [], "runs": 3}',
    ],
)
def test_a_torn_record_is_none(tmp_path: Path, text: str) -> None:
    path = Path(drain_record.path(str(tmp_path), "test"))
    path.parent.mkdir(parents=True)
    path.write_text(text)

    assert drain_record.load(str(tmp_path), "test") is None


@pytest.mark.parametrize(
    ("keys", "seconds", "then"),
    [
        ("", 0, "switch"),
        ("drain: 120s", 120, "switch"),
        ("drain: 5m, drain_then: wait", 300, "wait"),
        ("drain: 0s", 0, "switch"),
    ],
)
def test_what_can_be_configured(keys: str, seconds: float, then: str) -> None:
    saltenv = saltenv_of("prod", entry(keys), "FILE")

    assert (saltenv.drain, saltenv.drain_then) == (seconds, then)


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ("drain: 120", "FILE: saltenvs.prod.drain: '120' is not a length of time"),
        ("drain: soon", "FILE: saltenvs.prod.drain: 'soon' is not a length of time"),
        ("drain: 2h", "FILE: saltenvs.prod.drain: 2h is more than an hour"),
        ("drain: [1s]", "FILE: saltenvs.prod.drain: \"['1s']\" is not a length of time"),
        ("drain_then: no", "FILE: saltenvs.prod.drain_then: False is unknown"),
        ("drain: 1s, drain_then: later", "FILE: saltenvs.prod.drain_then: 'later' is unknown"),
    ],
)
def test_what_cannot_be_configured(keys: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        saltenv_of("prod", entry(keys), "FILE")

    assert caught.value.message == complaint and caught.value.hint


def entry(keys: str) -> Any:
    """The entry of a saltenv with more keys."""
    text = f"saltenvs: {{prod: {{branch: master, minions: web*, {keys}}}}}"
    saltenvs = parse_file(text, "FILE").saltenvs
    assert saltenvs
    return saltenvs["prod"]


@pytest.mark.parametrize("ahead", [-5, 0, 86400])
def test_a_clock_that_went_back_makes_no_drain_longer(ahead: float) -> None:
    """ahead: seconds by which the first put-off is later than now."""
    wait = drain._Wait(30, "switch", time.time() + ahead)
    assert wait.until - time.monotonic() <= 30
    assert not wait.is_over


def test_a_drain_ends_also_while_a_submodule_of_another_saltenv_is_missing(
    deaf: Site, tmp_path: Path
) -> None:
    """What only the next sync is to look at again holds up none that goes on."""
    formula = Remote(tmp_path / "formulas" / "nginx.git")
    formula.commit("main", {"nginx/init.sls": "v: 1\n"})
    pin(deaf, "stage", {PATH: (formula, formula.head("main"))})
    deaf.sync_here()
    formula.path.rename(formula.path.with_suffix(".away"))
    deaf.configure(submodules=[str(tmp_path / "formulas")])
    push(deaf)
    assert result_of(deaf.sync_here(), "test").state == "switched"


def test_a_push_that_was_taken_back_takes_nothing_from_the_next_drain(deaf: Site) -> None:
    deaf.settings["saltenvs"]["test"]["drain"] = "9s"
    deaf.configure()
    deaf.sync_here()
    old = deaf.remote.head("develop")
    push(deaf)
    assert not result_of(deaf.sync_here(patience=0), "test").changed
    known = drain_record.load(str(deaf.root), "test")
    assert known
    late = {
        **known,
        "since": time.time() - 700,
        "at": time.time() - 650,
        "until": time.time() - 640,
    }
    drain_record.save(str(deaf.root), "test", late)
    assert time.time() - drain_record.first_put_off(str(deaf.root), "test", old) < 5


def test_what_fails_after_the_waiting_is_remembered(
    deaf: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(deaf)
    real, calls = reconcile.decided, [0]

    def decided(*args: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] > 1:
            raise GitError("the disk is gone", hint="x")
        return real(*args, **options)

    monkeypatch.setattr(reconcile, "decided", decided)
    with pytest.raises(GitError):
        deaf.sync_here()
    assert "the disk is gone" in (deaf.root / "state" / "failure").read_text()
