"""What a master tells the journal, and holds that are made where the remote cannot be reached."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from saltbranch.base.errors import GitError, RefusedError, RemoteError, UsageError
from saltbranch.git.mirror import JOURNAL_REF, Mirror, Refs
from saltbranch.git.program import Git
from saltbranch.journal import pending_holds, push
from saltbranch.serve import report
from saltbranch.serve.hold_here import hold_locally
from tests.support.remote import Remote
from tests.support.site import BRANCHES, Journal, Site, event, result_of


@pytest.fixture
def journal(remote: Remote) -> Journal:
    return Journal(remote)


@pytest.fixture
def telling(site: Site) -> Site:
    """A master that tells the journal what it serves."""
    site.configure(record_syncs=True)
    site.sync_well()
    return site


@pytest.fixture
def refusing(remote: Remote) -> Iterator[Path]:
    """A hook of the server that refuses every ref of ours, until it is removed."""
    hook = remote.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no refs below refs/saltbranch here >&2\nexit 1\n")
    hook.chmod(0o755)
    yield hook


def served_of(journal: Journal) -> list[tuple[str, str | None, str]]:
    """All rows of all syncs: saltenv, old and new commit."""
    return [
        (row["saltenv"], row["old"], row["new"])
        for event in journal.events("sync")
        for row in event.details["saltenvs"]
    ]


# record_syncs


def test_what_is_switched_is_told(telling: Site, remote: Remote, journal: Journal) -> None:
    first = [(saltenv, None, remote.head(branch)) for saltenv, branch in BRANCHES.items()]
    assert served_of(journal) == first
    old, new = remote.head("develop"), remote.commit("develop", {"salt/new.sls": ""})
    assert telling.sync().code == 0
    assert served_of(journal) == [*first, ("test", old, new)]
    assert not telling.sync_here().changed
    assert len(journal.events()) == 2
    (said, _) = journal.events()
    assert said.text("master") == os.uname().nodename
    assert abs(said.time - time.time()) < 60
    assert not (telling.root / "state" / "unreported").exists()
    assert remote.git("fsck", "--strict") == ""


def test_nothing_is_told_where_it_is_not_asked_for(served: Site, journal: Journal) -> None:
    assert journal.events() == []


def test_master_is_named_as_salt_names_it(site: Site, journal: Journal) -> None:
    site.salt_config.write_text(f"id: saltmaster1\nroot_dir: {site.folder}\n")
    site.configure(record_syncs=True)
    site.sync_well()
    assert {e.text("master") for e in journal.events()} == {"saltmaster1"}


def test_master_that_begins_to_tell_says_what_it_serves(
    served: Site, remote: Remote, journal: Journal
) -> None:
    served.configure(record_syncs=True)
    served.sync_well()
    rows = [(saltenv, None, remote.head(branch)) for saltenv, branch in BRANCHES.items()]
    assert served_of(journal) == rows
    served.configure(fetch_timeout=100)
    served.sync_well()
    assert len(journal.events()) == 1


def test_refusal_is_noted_once_and_told_later(
    site: Site, remote: Remote, journal: Journal, refusing: Path
) -> None:
    site.configure(record_syncs=True)
    ran = site.sync()
    assert ran.code == 0 and ran.out.count("the journal could not be pushed") == 1
    assert "no refs below refs/saltbranch here" in ran.out
    new = remote.commit("develop", {"salt/new.sls": ""})
    for _ in range(2):
        ran = site.sync()
        assert ran.code == 0 and "journal" not in ran.out + ran.err
    site.assert_serves("develop", new)
    assert journal.events() == []
    refusing.unlink()
    assert site.sync().code == 0
    assert [len(e.details["saltenvs"]) for e in journal.events()] == [3, 1]
    assert not (site.root / "state" / "unreported").exists()


def test_hopeless_remote_is_asked_less_often(
    site: Site, remote: Remote, journal: Journal, refusing: Path
) -> None:
    site.configure(record_syncs=True)
    for _ in range(5):
        site.sync_here()
    kept = site.root / "state" / "unreported"
    assert kept.stat().st_mtime > time.time() + 60
    refusing.unlink()
    site.sync_here()
    assert journal.events() == []
    os.utime(kept, (1, 1))
    site.sync_here()
    assert len(journal.events()) == 1


def test_what_is_kept_is_bounded(telling: Site, remote: Remote, refusing: Path) -> None:
    root = str(telling.root)
    report._save(root, [event("sync", n=n) for n in range(500)], 0)
    _, kept = report._load(root)
    assert [e.details["n"] for e in kept] == list(range(300, 500))


def test_torn_record_is_no_reason_to_fail(telling: Site, remote: Remote, journal: Journal) -> None:
    (telling.root / "state" / "unreported").write_text("[{")
    remote.commit("develop", {"salt/new.sls": ""})
    telling.sync_well()
    assert len(journal.events()) == 2


def test_event_that_was_pushed_by_a_killed_run_is_not_told_twice(
    telling: Site, remote: Remote, journal: Journal
) -> None:
    told = journal.events()
    report._save(str(telling.root), told, 0)
    assert telling.sync().code == 0
    assert [e.id for e in journal.events()] == [e.id for e in told]
    assert not (telling.root / "state" / "unreported").exists()


class Overtaken(Mirror):
    """A mirror of a journal that somebody else writes to between every look at it and the push."""

    times = 0

    def refs(self) -> Refs:
        found = super().refs()
        if self.times:
            self.times -= 1
            self.others.add("sync", master="another", saltenvs=[])
        return found

    def __init__(self, root: str, others: Journal) -> None:
        super().__init__(root)
        self.others = others


def test_a_master_that_is_overtaken_more_than_a_few_times_tells_in_the_end(
    telling: Site, remote: Remote, journal: Journal, tmp_path: Path
) -> None:
    mirror = Overtaken(str(tmp_path), journal)
    mirror.fetch(str(remote.path), timeout=60)
    said = event("sync", master="slow", saltenvs=[])
    mirror.times = 26  # twice for each try
    push.push(mirror, str(remote.path), [said], patience=60)
    assert mirror.times == 0
    known = [e.id for e in journal.events()]
    assert said.id == known[0] or said.id == known[-1]
    assert len(known) == len(set(known)) == 1 + 26 + 1


def test_masters_that_tell_at_once_lose_nothing(
    telling: Site, remote: Remote, journal: Journal, tmp_path: Path
) -> None:
    mirrors = []
    for number in range(6):
        root = tmp_path / f"master{number}"
        root.mkdir()
        mirror = Mirror(str(root))
        mirror.fetch(str(remote.path), timeout=60)
        mirrors.append(mirror)
    sent: list[str] = []

    def tell(mirror: Mirror) -> None:
        for _ in range(3):
            said = event("sync", master=mirror.path, saltenvs=[])
            push.push(mirror, str(remote.path), [said], patience=60)
            sent.append(said.id)

    threads = [threading.Thread(target=tell, args=(mirror,)) for mirror in mirrors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    known = [e.id for e in journal.events()]
    assert len(sent) == 18 and set(sent) <= set(known) and len(known) == len(set(known)) == 19


def test_nothing_is_told_to_a_rewritten_journal(
    telling: Site, remote: Remote, journal: Journal
) -> None:
    remote.git("update-ref", "-d", JOURNAL_REF)
    remote.commit("develop", {"salt/new.sls": ""})
    assert telling.sync().code == 4
    telling.assert_serves("develop", remote.head("develop"))
    assert journal.head() is None
    with pytest.raises(GitError, match="rewritten or removed"):
        push.push(Mirror(str(telling.root)), str(remote.path), [event("sync")], patience=9)


def test_first_event_of_a_journal_keeps_its_commit(remote: Remote, journal: Journal) -> None:
    lost = remote.commit("fix", {"salt/fix.sls": ""})
    remote.delete_branch("fix")
    journal.hold("prod", lost)
    remote.git("prune", "--expire=now")
    assert remote.git("cat-file", "-t", lost) == "commit"
    assert [e.kind for e in journal.events()] == ["hold"]


# Holds of this master alone


@contextmanager
def out_of_reach(remote: Remote) -> Iterator[None]:
    """While it lasts, the remote cannot be read."""
    away = remote.path.rename(remote.path.with_name("away.git"))
    yield
    away.rename(remote.path)


def hold(site: Site, commit: str, **details: object) -> str:
    """Hold prod here, without the remote; the id of the hold."""
    made = event("rollback", saltenv="prod", commit=commit, reason="no network", **details)
    hold_locally(str(site.config), made)
    return made.id


def test_hold_without_the_remote_counts_at_once_and_is_published_once(
    served: Site, remote: Remote, journal: Journal
) -> None:
    old = remote.head("master")
    remote.commit("master", {"salt/bad.sls": ""})
    served.sync_well()
    with out_of_reach(remote):
        made = hold(served, old)
        assert not (served.checkout("master") / "salt" / "bad.sls").exists()
        assert served.sync().code == 1
    served.assert_serves("master", old)
    ran = served.sync()
    assert ran.code == 0 and "published: rollback of prod" in ran.out
    assert [e.id for e in journal.events()] == [made]
    assert not (served.root / "state" / "pending-holds").exists()
    for _ in range(2):
        assert result_of(served.sync_here(), "prod").why == "hold"
    assert [e.id for e in journal.events()] == [made]
    journal.add("unhold", saltenv="prod")
    served.sync_well()


def test_pending_hold_stays_in_force_until_the_journal_has_it(
    served: Site, remote: Remote, journal: Journal, refusing: Path
) -> None:
    old = remote.head("master")
    hold(served, old)
    remote.commit("master", {"salt/new.sls": ""})
    journal.add("unhold", saltenv="prod")  # somebody else's, before ours could be told
    said = [served.sync() for _ in range(2)]
    assert [ran.code for ran in said] == [0, 0]
    assert "stays one of this master alone" in said[0].out
    assert "stays one of this master alone" not in said[1].out
    served.assert_serves("master", old)
    refusing.unlink()
    served.sync_here()
    assert [e.kind for e in journal.events()] == ["unhold", "rollback"]
    served.assert_serves("master", old)


def test_published_hold_that_was_not_dropped_is_not_published_again(
    served: Site, remote: Remote, journal: Journal
) -> None:
    """Killed between the push and the drop; meanwhile somebody lifted it."""
    made = journal.hold("prod", remote.head("master"))
    journal.add("unhold", saltenv="prod")
    remote.commit("master", {"salt/new.sls": ""})
    pending_holds.add(str(served.root), made)
    served.sync_well()
    assert [e.kind for e in journal.events()] == ["hold", "unhold"]
    assert pending_holds.load(str(served.root)) == []


def test_recorded_hold_that_was_not_served_yet_is_served_without_the_remote(
    served: Site, remote: Remote
) -> None:
    """Killed between the record and the switch."""
    old = remote.head("master")
    remote.commit("master", {"salt/bad.sls": ""})
    served.sync_well()
    pending_holds.add(str(served.root), event("hold", saltenv="prod", commit=old, reason="x"))
    with out_of_reach(remote):
        ran = served.sync()
    assert ran.code == 1 and "cannot read the remote" in ran.err
    served.assert_serves("master", old)


def test_pending_hold_ends_by_unhold_without_the_remote(served: Site, remote: Remote) -> None:
    old = remote.head("master")
    new = remote.commit("master", {"salt/new.sls": ""})
    served.sync_well()
    with out_of_reach(remote):
        hold(served, old)
        assert not (served.checkout("master") / "salt" / "new.sls").exists()
        hold_locally(str(served.config), event("unhold", saltenv="prod"))
    served.assert_serves("master", new)


def test_hold_that_cannot_be_is_refused_before_it_is_recorded(served: Site, remote: Remote) -> None:
    with pytest.raises(RefusedError, match="is not in"):
        hold(served, "1" * 40)
    with pytest.raises(UsageError, match="there is no saltenv 'qa'"):
        hold_locally(str(served.config), event("hold", saltenv="qa", commit=remote.head("master")))
    assert pending_holds.load(str(served.root)) == []


def test_hold_after_a_changed_configuration_needs_no_remote(served: Site, remote: Remote) -> None:
    old = remote.head("master")
    remote.commit("master", {"salt/bad.sls": ""})
    served.sync_well()
    served.configure(fetch_timeout=100)
    with out_of_reach(remote):
        hold(served, old)
    served.assert_serves("master", old)


def test_damaged_file_of_pending_holds_is_an_error(served: Site, remote: Remote) -> None:
    path = served.root / "state" / "pending-holds"
    remote.commit("master", {"salt/new.sls": ""})
    for text in ("[", '[{"event": "hold"}]', "{}x", "[1]"):
        path.write_text(text)
        ran = served.sync()
        assert ran.code == 1 and "pending-holds cannot be read" in ran.err
    path.unlink()
    served.sync_well()


# init


def init(site: Site) -> str:
    """The configuration that init writes."""
    site.config.unlink()
    words = ["init", "--remote", str(site.remote.path), "--config", str(site.config)]
    words += ["--root", str(site.root), "--master-config", str(site.master_config)]
    ran = site.run_here(*words, "--salt-config", str(site.salt_config))
    assert ran.code == 0, ran
    return site.config.read_text()


def test_init_lets_a_master_tell_where_it_may(site: Site, journal: Journal) -> None:
    assert "\nrecord_syncs: true\n" in init(site)
    assert len(journal.events("sync")) == 1


def test_init_says_why_a_master_may_not_tell(
    site: Site, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "gitconfig"
    settings.write_text(f'[url "/nowhere/"]\n\tpushInsteadOf = {site.remote.path}\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    text = init(site)
    assert "\n# record_syncs: true\n" in text and "may not push there: fatal: " in text
    assert journal.events() == []


def test_dry_run_leaves_nothing(served: Site, remote: Remote) -> None:
    mirror = Mirror(str(served.root))
    assert push.may_push(mirror, str(remote.path), remote.head("master"), timeout=60) == ""
    assert "refs/saltbranch" not in Git(str(remote.path)).out("for-each-ref")


def test_remote_that_is_away_is_an_error_of_publishing(served: Site, remote: Remote) -> None:
    remote.path.rename(served.folder / "away.git")
    with pytest.raises(RemoteError):
        push.push(Mirror(str(served.root)), str(remote.path), [event("sync")], patience=9)


def test_unreported_is_json_of_the_journal(site: Site, refusing: Path) -> None:
    site.configure(record_syncs=True)
    site.sync_here()
    kept = json.loads((site.root / "state" / "unreported").read_text())
    assert [e["event"] for e in kept["events"]] == ["sync"] and kept["tries"] == 1
