"""history: everything that was done, in order, also where the journal is missing or a pull request did the merge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from saltbranch.actions.history import Entry, history
from saltbranch.base.durations import iso
from saltbranch.base.errors import ConfigError, UsageError
from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.history import trailers
from saltbranch.journal import events
from saltbranch.journal import store as journal
from saltbranch.journal.events import Event
from saltbranch.repository import timeline
from tests.support.clone import MODEL, Clone


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def entries(clone: Clone, saltenv: str | None = None, *, syncs: bool = False) -> list[Entry]:
    return list(history(clone.work(), saltenv, syncs=syncs).entries)


def change(clone: Clone, name: str, message: str = "KEY-1 Change") -> str:
    made = clone.commit({f"salt/{name}.sls": f"{name}\n"}, message, on="develop")
    clone.push("develop")
    return made


def well(clone: Clone, *words: str) -> str:
    done = clone.run(*words)
    assert done.code == 0, done
    return done.out


def test_what_was_done_newest_first(clone: Clone) -> None:
    change(clone, "a", "KEY-1 A")
    first = clone.promote("stage")
    second = clone.promote("prod", "--tag", "v1.0.0")
    well(clone, "hold", "prod", "--reason", "the fair", "--until", "2h", "--yes")
    well(clone, "unhold", "prod", "--yes")
    well(clone, "rollback", "stage", "--reason", "it broke", "--yes")
    found = entries(clone)
    assert [(e.what, e.saltenv) for e in found] == [
        ("rollback", "stage"), ("unhold", "prod"), ("hold", "prod"), ("promotion", "prod"),
        ("promotion", "stage"),
    ]  # fmt: skip
    assert [e.id for e in found[3:]] == [second, first]
    assert [e.tag for e in found[3:]] == ["v1.0.0", ""]
    assert found[4].tickets == ("KEY-1",)
    assert found[4].by == "Ann <ann@example.com>"
    assert (found[0].reason, found[2].reason, bool(found[2].until)) == (
        "it broke",
        "the fair",
        True,
    )
    assert found[0].old == clone.head("stage") != found[0].new
    assert [e.what for e in entries(clone, "stage")] == ["rollback", "promotion"]


def test_one_line_each_for_people(clone: Clone) -> None:
    made = change(clone, "a", "KEY-1 A")
    old = clone.head("stage")
    id_ = clone.promote("stage")
    well(clone, "rollback", "stage", "--reason", "it broke\x1b[2J [bold]", "--yes")
    out = well(clone, "history")
    rollback, promotion = out.splitlines()
    assert "rollback  stage  at " in rollback and "(it broke\ufffd[2J [bold])" in rollback
    for word in (
        "promotion stage",
        f"{old[:12]} -> {clone.head('stage')[:12]} from test",
        "KEY-1",
        id_,
    ):
        assert word in promotion
    assert "by Ann" in promotion and made[:12] not in promotion


def test_overrides_and_debts_stand_with_their_saltenv(tmp_path: Path) -> None:
    model = {k: dict(v) for k, v in MODEL.items()}
    model["stage"] |= {"gates": ["ticket"], "overridable": ["ticket"]}
    clone = Clone(tmp_path, model)
    change(clone, "a", "no ticket")
    clone.promote("stage", "--override", "ticket", "--reason", "urgent")
    (override,) = (e for e in entries(clone, "stage") if e.what == "override")
    assert (override.source, override.reason) == ("ticket", "urgent")
    append(clone, Event(events.DEBT, "d-1", 5.0, "Ann", {
        "branch": "develop", "commit": clone.head("master"), "origin": "hotfix/x", "saltenv": "prod",
    }))  # fmt: skip
    (debt,) = entries(clone, "test")
    assert (debt.what, debt.new, debt.reason) == (
        "debt", clone.head("master"), "lacks a hotfix of hotfix/x",
    )  # fmt: skip


def append(clone: Clone, *new: Event) -> None:
    """Write events into the remote's journal."""
    work = clone.work()
    head, _ = journal.append(work.git, work.refs.journal, new)
    clone.push(f"{head}:{JOURNAL_REF}")


def test_syncs_are_shown_when_asked_for(clone: Clone) -> None:
    head = clone.head("develop")
    rows = [
        {"saltenv": "test", "old": None, "new": head, "time": iso(50)},
        "rubbish",
        {"saltenv": 5},
    ]
    append(clone, Event(events.SYNC, "s-1", 60.0, "root", {"master": "m1", "saltenvs": rows}))
    assert entries(clone) == []
    assert [(e.what, e.saltenv, e.by, e.old, e.new) for e in entries(clone, syncs=True)] == [
        ("sync", "test", "m1", None, head),
    ]  # fmt: skip
    assert entries(clone, "prod", syncs=True) == []


def test_limit_and_since(clone: Clone) -> None:
    commit = clone.head("master")
    append(clone, *(
        Event(events.HOLD, f"h-{n}", 1000.0 * n, "Ann", {"saltenv": "prod", "commit": commit})
        for n in range(1, 6)
    ))  # fmt: skip
    work = clone.work()
    found = history(work, limit=2)
    assert ([e.id for e in found.entries], found.more) == (["h-5", "h-4"], 3)
    found = history(work, since=3000.0)
    assert ([e.id for e in found.entries], found.more) == (["h-5", "h-4", "h-3"], 0)
    out = well(clone, "history", "--limit", "1")
    assert out.splitlines()[1] == "and 4 older: --limit 0 shows all"
    assert well(clone, "history", "--since", "2020-01-01") == "nothing that fits\n"
    assert (
        len(json.loads(well(clone, "history", "--since", "1970-01-01", "--json"))["entries"]) == 5
    )
    assert clone.run("history", "--since", "yesterday").code == UsageError.exit_code


def test_a_saltenv_that_is_not_there(clone: Clone) -> None:
    with pytest.raises(ConfigError, match="no saltenv 'pord'"):
        history(clone.work(), "pord")


def test_nothing_yet(clone: Clone) -> None:
    assert well(clone, "history") == "nothing yet\n"
    assert json.loads(well(clone, "history", "--json")) == {
        "version": 1, "entries": [], "more": 0, "problems": [],
    }  # fmt: skip


def test_a_journal_full_of_rubbish_is_read_as_far_as_it_goes(clone: Clone) -> None:
    commit = clone.head("master")
    append(
        clone,
        Event(events.PROMOTION, "p-1", 10.0, "Ann", {"saltenv": "prod", "new": 5}),
        Event(events.HOLD, "h-1", 20.0, "Ann", {"saltenv": ["prod"], "commit": {}, "reason": 7}),
        Event(events.SYNC, "s-1", 30.0, "Ann", {"saltenvs": {"a": 1}}),
        Event(events.HOLD, "h-2", 40.0, "Ann", {"saltenv": "prod", "commit": commit}),
    )
    assert [e.id for e in entries(clone, syncs=True)] == ["h-2", "h-1"]
    assert clone.run("history", "--all").code == 0


# Without the journal


def test_promotions_are_known_by_their_merge_commits(clone: Clone) -> None:
    change(clone, "a", "KEY-1 A")
    clone.promote("stage")
    change(clone, "b", "KEY-2 B")
    clone.promote("stage")
    clone.promote("prod")
    before = clone.work().state.promotions
    clone.lose_journal()
    work = clone.work()
    assert not work.state.events
    found = timeline.promotions(work)
    same = ("id", "kind", "by", "saltenv", "branch", "source", "source_commit", "old", "new",
            "served_before", "tickets", "digest")  # fmt: skip
    assert [[getattr(p, k) for k in same] for p in found] == [
        [getattr(p, k) for k in same] for p in before
    ]
    assert {p.via for p in found} == {"trailers"}
    assert "(known by its trailers)" in well(clone, "history", "stage")


def test_a_missing_journal_is_written_anew(clone: Clone) -> None:
    change(clone, "a", "KEY-1 A")
    clone.promote("stage")
    clone.promote("prod")
    before = [(p.id, p.old, p.new) for p in clone.work().state.promotions]
    clone.lose_journal()
    work = clone.work()
    append(clone, *trailers.rebuilt(work.git, work.config, work.refs.branches))
    work = clone.work()
    assert [(p.id, p.old, p.new) for p in work.state.promotions] == before
    assert "known by" not in well(clone, "history")


def test_what_the_journal_lacks_stands_at_its_time(clone: Clone) -> None:
    commit = clone.head("master")
    change(clone, "a")
    id_ = clone.promote("stage")
    clone.lose_journal()
    time = int(clone.git("show", "-s", "--format=%ct", clone.head("stage")))
    append(clone, *(
        Event(events.HOLD, f"h-{n}", float(time + n), "Ann", {"saltenv": "prod", "commit": commit})
        for n in (-100, -50, 50)
    ))  # fmt: skip
    assert [e.id for e in entries(clone)] == ["h-50", id_, "h--50", "h--100"]


# Pull requests


def by_request(clone: Clone) -> tuple[str, str]:
    """Promote to stage by a branch; its name and the promotion's id."""
    done = clone.run("promote", "stage", "--yes", "--via", "branch")
    assert done.code == 0, done
    (ref,) = clone.remote.git(
        "for-each-ref", "--format=%(refname:short)", "refs/heads/promote"
    ).split()
    clone.git("fetch", "--quiet", "origin")
    return f"origin/{ref}", ref.rpartition("/")[2]


def test_a_pull_request_that_was_merged_is_the_promotion(clone: Clone) -> None:
    change(clone, "a")
    ref, id_ = by_request(clone)
    assert timeline.promotions(clone.work()) == []
    old = clone.commit({"salt/z.sls": "z"}, "Meanwhile", on="stage")
    merge = clone.merge(ref, "stage", f"Merge pull request #7 from ann/{ref[7:]}")
    clone.push("stage")
    (found,) = timeline.promotions(clone.work())
    assert (found.id, found.old, found.new, found.via) == (id_, old, merge, "trailers")
    told = {entry.what: entry for entry in entries(clone, "stage")}
    assert set(told) == {"promotion", "push"}
    assert (told["promotion"].id, told["push"].new) == (id_, old)


def test_a_pull_request_that_was_fast_forwarded_is_the_promotion(clone: Clone) -> None:
    change(clone, "a")
    old = clone.head("stage")
    ref, id_ = by_request(clone)
    clone.push(f"{ref}:refs/heads/stage")
    (found,) = timeline.promotions(clone.work())
    assert (found.id, found.old, found.new) == (id_, old, clone.head("stage"))


def test_a_pull_request_brought_up_to_date_by_its_page(clone: Clone) -> None:
    change(clone, "a")
    ref, id_ = by_request(clone)
    old = clone.commit({"salt/z.sls": "z"}, "Meanwhile", on="stage")
    clone.checkout("request", ref)
    clone.merge("stage", "request", "Merge branch 'stage' into promote/stage/x")
    merge = clone.merge("request", "stage", "Merge pull request #7 from ann/x")
    clone.push("stage")
    (found,) = timeline.promotions(clone.work())
    assert (found.id, found.old, found.new) == (id_, old, merge)


def test_a_squashed_pull_request_is_no_promotion(clone: Clone) -> None:
    change(clone, "a")
    ref, _ = by_request(clone)
    text = clone.git("log", "-1", "--format=%B", ref)
    clone.checkout("stage")
    clone.git("merge", "--quiet", "--squash", ref)
    clone.git("commit", "--quiet", "-m", text)
    clone.push("stage")
    assert timeline.promotions(clone.work()) == []


@pytest.mark.parametrize("place", ["subject", "body", "cherry-pick", "feature"])
def test_trailers_elsewhere_tell_of_nothing(clone: Clone, place: str) -> None:
    """In the first paragraph, before the last one, in a pick of the merge, in a merge inside a feature."""
    source = change(clone, "a")
    block = f"Promotion-Id: fake-1\nPromoted-From: test {source}\nPromoted-To: stage"
    if place == "subject":
        clone.merge("develop", "stage", block)
    elif place == "body":
        clone.merge("develop", "stage", f"Merge\n\n{block}\n\nThat was it.")
    elif place == "cherry-pick":
        clone.checkout("aside", "stage")
        merge = clone.merge("develop", "aside", f"Merge\n\n{block}")
        clone.pick(merge, "stage", "-x", "-m", "1")
    else:
        clone.checkout("feature/x", "stage")
        clone.merge("develop", "feature/x", f"Merge\n\n{block}")
        clone.checkout("feature/y", "stage")
        clone.commit({"salt/y.sls": "y"}, "Y")
        clone.merge("feature/x", "feature/y")
        clone.merge("feature/y", "stage")
    clone.push("stage")
    assert timeline.promotions(clone.work()) == []
    # The same block where it belongs does tell of it, so the cases above are not refused for another reason.
    clone.pull("master")
    clone.checkout("stage")
    clone.git("reset", "--quiet", "--hard", "master")
    clone.merge("develop", "stage", f"Merge\n\n{block}")
    clone.push("+stage")
    assert [p.id for p in timeline.promotions(clone.work())] == ["fake-1"]


def test_wrapped_and_mixed_trailers_are_read_as_git_reads_them(clone: Clone) -> None:
    source = change(clone, "a")
    block = (
        f"Signed-off-by: Bob <bob@example.com>\nPromotion-Id: good-1\nPromoted-From: test\n {source}\n"
        "Promoted-To: stage\nTickets: KEY-1,\n  KEY-2"
    )
    clone.merge("develop", "stage", f"Merge\n\nPromotion-Id: bad-1\n\n{block}")
    clone.push("stage")
    (found,) = timeline.promotions(clone.work())
    assert (found.id, found.source_commit, found.tickets) == ("good-1", source, ("KEY-1", "KEY-2"))


# Where the remote cannot be reached


def test_offline_it_says_what_was_last_read(clone: Clone) -> None:
    change(clone, "a")
    id_ = clone.promote("stage")
    clone.remote.path.rename(clone.remote.path.with_name("gone"))
    failed = clone.run("history")
    assert failed.code == 1 and "--no-fetch shows what was last read" in failed.err
    assert id_ in well(clone, "history", "--no-fetch")


def test_a_remote_that_was_never_read(clone: Clone, tmp_path: Path) -> None:
    clone.git("init", "--quiet", str(tmp_path / "fresh"))
    url, clone.path = str(clone.remote.path), tmp_path / "fresh"
    clone.git("remote", "add", "origin", url)
    failed = clone.run("where", "develop", "--no-fetch")
    assert failed.code == 1 and "which branch is production?" in failed.err
    well(clone, "where", "develop")
    assert well(clone, "where", "develop", "--no-fetch")


def test_what_git_has_fetched_counts_where_we_never_did(clone: Clone, tmp_path: Path) -> None:
    clone.git("clone", "--quiet", str(clone.remote.path), str(tmp_path / "fresh"))
    clone.path = tmp_path / "fresh"
    assert well(clone, "where", "develop", "--no-fetch")
