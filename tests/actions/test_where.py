"""where: a commit, ticket or path, found in every saltenv by whatever way it came, and missed where it was reverted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from saltbranch.actions.where import where
from saltbranch.base.durations import iso
from saltbranch.base.errors import UsageError
from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.history.presence import (
    ABSENT,
    BY_ANCESTRY,
    BY_PATCH,
    BY_PICK,
    COMPLETE,
    NO_BRANCH,
    PARTLY,
    REVERTED,
    THERE,
    PathWhereabouts,
    Presence,
    TicketPresence,
    TicketWhereabouts,
    Whereabouts,
)
from saltbranch.journal import events
from saltbranch.journal import store as journal
from saltbranch.journal.events import Event
from tests.support.clone import Clone
from tests.support.site import Site


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def found(clone: Clone, commit: str) -> dict[str, Presence]:
    """Where a commit is, by saltenv."""
    result = where(clone.work(), commit)
    assert isinstance(result, Whereabouts)
    return {p.saltenv: p for p in result.saltenvs}


def states(clone: Clone, commit: str) -> list[str]:
    """Of test, stage and prod."""
    return [p.state for p in found(clone, commit).values()]


def ticket(clone: Clone, name: str) -> dict[str, TicketPresence]:
    result = where(clone.work(), name)
    assert isinstance(result, TicketWhereabouts)
    return {p.saltenv: p for p in result.saltenvs}


def through(presence: Presence) -> str | None:
    promotion = presence.turns[0][1].promotion
    return promotion.id if promotion else None


# The straight way


def test_a_commit_goes_up_promotion_by_promotion(clone: Clone) -> None:
    made = clone.commit({"salt/a.sls": "a"}, "KEY-1 A", on="develop")
    clone.push("develop")
    assert states(clone, made) == [THERE, ABSENT, ABSENT]
    first = clone.promote("stage")
    assert states(clone, made) == [THERE, THERE, ABSENT]
    second = clone.promote("prod")
    clone.commit({"salt/b.sls": "b"}, "KEY-2 B", on="develop")
    clone.push("develop")
    clone.promote("stage")
    clone.promote("prod")
    rows = found(clone, made)
    assert [p.how for p in rows.values()] == [BY_ANCESTRY] * 3
    assert [through(p) for p in rows.values()] == [None, first, second]
    assert [p.served for p in rows.values()] == [True, True, True]


@pytest.mark.parametrize("last", ["stage", "master"])
def test_since_on_a_branch_that_was_fast_forwarded_to_a_promotion(clone: Clone, last: str) -> None:
    """It is in test since it was committed there, not since the merge that develop was moved to."""
    made = clone.commit({"salt/a.sls": "a"}, "A", on="develop")
    clone.push("develop")
    clone.promote("stage")
    clone.promote("prod")
    clone.push(f"{last}:develop")
    arrival = found(clone, made)["test"].turns[0][1]
    assert (arrival.by, arrival.promotion) == (made, None)
    assert arrival.time == int(clone.git("show", "-s", "--format=%ct", made))


def test_a_feature_came_with_its_merge(clone: Clone) -> None:
    clone.checkout("feature/key-7", "develop")
    made = clone.commit({"salt/a.sls": "a"}, "A")
    merge = clone.merge("feature/key-7", "develop")
    clone.push("develop")
    arrival = found(clone, made)["test"].turns[0][1]
    assert (arrival.commit, arrival.by) == (made, merge)


def test_a_promotion_that_only_its_merge_commit_tells_of(clone: Clone) -> None:
    made = clone.commit({"salt/a.sls": "a"}, "A", on="develop")
    clone.push("develop")
    id_ = clone.promote("stage")
    clone.lose_journal()
    assert not clone.work().state.promotions
    assert through(found(clone, made)["stage"]) == id_


def test_a_branch_that_the_remote_lacks_is_said(clone: Clone) -> None:
    clone.push(":stage")
    assert states(clone, clone.head("develop")) == [THERE, NO_BRANCH, THERE]


# Cherry-picks


@pytest.mark.parametrize(("options", "how"), [(("-x",), BY_PICK), ((), BY_PATCH)])
def test_a_cherry_pick_is_the_same_change(clone: Clone, options: tuple[str, ...], how: str) -> None:
    clone.commit({"salt/z.sls": "z"}, "Before", on="develop")
    made = clone.commit({"salt/a.sls": "a"}, "A", on="develop")
    pick = clone.pick(made, "master", *options)
    clone.push("develop", "master")
    rows = found(clone, made)
    assert [p.state for p in rows.values()] == [THERE, ABSENT, THERE]
    assert (rows["prod"].how, rows["prod"].turns[0][1].commit) == (how, pick)
    # And the other way round: what was picked is there where the original is.
    assert (found(clone, pick)["test"].state, found(clone, pick)["test"].how) == (THERE, how)


def test_a_cherry_pick_of_a_file_whose_name_is_a_pattern(clone: Clone) -> None:
    made = clone.commit({":(glob)*/x.sls": "a"}, "A", on="develop")
    clone.commit({"salt/x.sls": "a"}, "Another", on="stage")
    clone.pick(made, "master")
    clone.push("develop", "stage", "master")
    assert states(clone, made) == [THERE, ABSENT, THERE]


def test_a_pick_with_other_content_counts_by_its_message_alone(clone: Clone) -> None:
    clone.commit({"salt/a.sls": "one\n"}, "Before", on="develop")
    made = clone.commit({"salt/a.sls": "one\ntwo\n"}, "A", on="develop")
    clone.commit({"salt/a.sls": "two\n"}, f"A\n\n(cherry picked from commit {made})", on="master")
    clone.commit({"salt/a.sls": "two\n"}, "A", on="stage")
    clone.push("develop", "master", "stage")
    assert states(clone, made) == [THERE, ABSENT, THERE]


def test_a_pick_that_conflicted_is_pointed_at(clone: Clone) -> None:
    """Without -x nothing but author, date and subject tells; that is not enough to say that it is there."""
    made = clone.commit({"salt/a.sls": "one\n"}, "A", on="develop")
    clone.checkout("master")
    clone.commit({"salt/b.sls": "b\n"}, "B")
    (clone.path / "salt/a.sls").write_text("another\n")
    clone.git("add", "--all")
    clone.clock += 60
    clone.git("commit", "--quiet", "-C", made)
    alike = clone.git("rev-parse", "HEAD")
    clone.commit({"salt/a.sls": "other\n"}, "A", on="stage")
    clone.push("develop", "stage", "master")
    rows = found(clone, made)
    assert [p.state for p in rows.values()] == [THERE, ABSENT, ABSENT]
    assert [p.resembles for p in rows.values()] == [None, None, alike]
    assert f"but {alike[:12]} has its author, date and subject" in clone.run("where", made).out


def test_binary_files_with_other_content_are_no_same_patch(clone: Clone) -> None:
    made = clone.commit({"salt/a.bin": b"\0one"}, "A", on="develop")
    clone.commit({"salt/a.bin": b"\0two"}, "A", on="stage")
    clone.commit({"salt/a.bin": b"\0one"}, "A", on="master")
    clone.push("develop", "stage", "master")
    assert states(clone, made) == [THERE, ABSENT, THERE]


def test_the_first_of_pick_and_original_counts(clone: Clone) -> None:
    made = clone.commit({"salt/a.sls": "a"}, "A", on="develop")
    pick = clone.pick(made, "master", "-x")
    clone.push("develop", "master")
    clone.promote("stage")
    clone.promote("prod")
    row = found(clone, made)["prod"]
    assert [(there, a.commit) for there, a in row.turns] == [(True, pick)]


def test_a_pick_of_a_pick(clone: Clone) -> None:
    made = clone.commit({"salt/a.sls": "a"}, "A", on="develop")
    second = clone.pick(made, "stage", "-x")
    clone.commit({"salt/z.sls": "z"}, "Between", on="master")
    clone.checkout("master")
    clone.commit({"salt/a.sls": "b"}, f"A\n\n(cherry picked from commit {second})")
    clone.push("develop", "stage", "master")
    assert states(clone, made) == [THERE, THERE, THERE]


# Reverts


def test_a_revert_takes_it_away_and_its_revert_brings_it_back(clone: Clone) -> None:
    made = clone.commit({"salt/a.sls": "a"}, "A", on="develop")
    clone.push("develop")
    clone.promote("stage")
    gone = clone.revert(made, "develop")
    clone.push("develop")
    rows = found(clone, made)
    assert [p.state for p in rows.values()] == [REVERTED, THERE, ABSENT]
    assert rows["test"].last and rows["test"].last.commit == gone
    second = clone.promote("stage")
    row = found(clone, made)["stage"]
    assert row.state == REVERTED
    assert row.last and row.last.promotion and row.last.promotion.id == second
    back = clone.revert(gone, "develop")
    clone.push("develop")
    rows = found(clone, made)
    assert [p.state for p in rows.values()] == [THERE, REVERTED, ABSENT]
    assert [(t, a.commit) for t, a in rows["test"].turns] == [
        (True, made), (False, gone), (True, back),
    ]  # fmt: skip
    said = clone.run("where", made).out.splitlines()
    assert f"there again by {back[:12]}, since" in said[1]
    assert f"before that reverted by {gone[:12]}, since" in said[2]
    assert "before that there, since" in said[3]
    assert f"reverted by {gone[:12]}, since" in said[4] and second in said[4]


def test_change_and_revert_that_come_together_were_never_there(clone: Clone) -> None:
    made = clone.commit({"salt/a.sls": "a"}, "A", on="develop")
    gone = clone.revert(made, "develop")
    clone.push("develop")
    id_ = clone.promote("stage")
    row = found(clone, made)["stage"]
    assert row.state == REVERTED
    assert [(t, a.commit) for t, a in row.turns] == [(True, made), (False, gone)]
    assert through(row) == id_


def test_a_reverted_merge_takes_everything_away_that_it_brought(clone: Clone) -> None:
    old = clone.commit({"salt/old.sls": "old"}, "Old", on="develop")
    clone.checkout("feature/x", "develop")
    made = clone.commit({"salt/a.sls": "a"}, "A")
    merge = clone.merge("feature/x", "develop")
    clone.revert(merge, "develop", "-m", "1")
    clone.push("develop")
    assert states(clone, made) == [REVERTED, ABSENT, ABSENT]
    assert states(clone, old) == [THERE, ABSENT, ABSENT]


def test_a_reverted_merge_that_was_reverted_back(clone: Clone) -> None:
    clone.checkout("feature/x", "develop")
    made = clone.commit({"salt/a.sls": "a"}, "A")
    merge = clone.merge("feature/x", "develop")
    gone = clone.revert(merge, "develop", "-m", "1")
    clone.revert(gone, "develop")
    clone.push("develop")
    assert states(clone, made) == [THERE, ABSENT, ABSENT]


def test_a_pick_after_the_revert_brings_it_back(clone: Clone) -> None:
    made = clone.commit({"salt/a.sls": "a"}, "A", on="develop")
    clone.revert(made, "develop")
    clone.pick(made, "develop")
    clone.push("develop")
    assert states(clone, made) == [THERE, ABSENT, ABSENT]


def test_reverts_are_followed_on_cherry_picks(clone: Clone) -> None:
    """The messages on master name commits of develop that master does not have."""
    made = clone.commit({"salt/a.sls": "a"}, "A", on="develop")
    gone = clone.revert(made, "develop")
    back = clone.revert(gone, "develop")
    clone.pick(made, "master", "-x")
    clone.push("develop", "master")
    assert states(clone, made)[2] == THERE
    clone.pick(gone, "master")
    clone.push("master")
    assert states(clone, made)[2] == REVERTED
    clone.pick(back, "master")
    clone.push("master")
    assert states(clone, made)[2] == THERE


def test_a_revert_of_the_pick_names_the_pick(clone: Clone) -> None:
    made = clone.commit({"salt/a.sls": "a"}, "A", on="develop")
    pick = clone.pick(made, "master")
    clone.revert(pick, "master")
    clone.push("develop", "master")
    assert states(clone, made) == [THERE, ABSENT, REVERTED]


def test_merging_an_older_side_does_not_undo_a_revert_nor_a_hotfix(clone: Clone) -> None:
    """What git makes of it stands in the file; the answer has to agree."""
    made = clone.commit({"salt/a.sls": "a"}, "A", on="develop")
    clone.checkout("feature/old", "develop")  # has the change and knows nothing of its revert
    clone.commit({"salt/f.sls": "f"}, "F")
    gone = clone.revert(made, "develop")
    clone.merge("feature/old", "develop")
    assert not (clone.path / "salt/a.sls").exists()
    pick = clone.pick(made, "master")
    clone.push("develop", "master")
    assert states(clone, made) == [REVERTED, ABSENT, THERE]
    # develop brings the change and its revert together, that is nothing: the hotfix on master stays.
    clone.merge("develop", "master")
    assert (clone.path / "salt/a.sls").exists()
    clone.push("master")
    row = found(clone, made)["prod"]
    assert (row.state, row.turns[0][1].commit) == (THERE, pick)
    assert gone != pick


def test_prose_is_no_revert(clone: Clone) -> None:
    made = clone.commit({"salt/a.sls": "a"}, "A", on="develop")
    clone.commit({"salt/b.sls": "b"}, f"B\n\nDo not write: This reverts commit {made}.")
    clone.commit({"salt/c.sls": "c"}, f"C\n\nThis reverts commit {'0' * 40}.")
    clone.push("develop")
    assert states(clone, made) == [THERE, ABSENT, ABSENT]


# What is served


def append(clone: Clone, *new: Event) -> None:
    """Write events into the remote's journal."""
    work = clone.work()
    head, _ = journal.append(work.git, work.refs.journal, new)
    clone.push(f"{head}:{JOURNAL_REF}")


def hold(saltenv: str, commit: str, time: float = 1_800_000_000.0) -> Event:
    details = {"saltenv": saltenv, "commit": commit, "reason": "the [bold]fair[/]"}
    return Event(events.HOLD, journal.new_id(time), time, "Ann", details)


def sync(master: str, saltenv: str, commit: str, time: float) -> Event:
    row = {"saltenv": saltenv, "new": commit, "time": iso(time)}
    details = {"master": master, "saltenvs": [row]}
    return Event(events.SYNC, journal.new_id(time), time, master, details)


def test_a_held_saltenv_has_it_and_does_not_serve_it(clone: Clone) -> None:
    before = clone.head("stage")
    made = clone.commit({"salt/a.sls": "a"}, "A", on="develop")
    clone.push("develop")
    clone.promote("stage")
    append(clone, hold("stage", before))
    row = found(clone, made)["stage"]
    assert (row.state, row.served) == (THERE, False)
    said = clone.run("where", made)
    assert said.code == 0, said.err
    assert f"not served: held at {before[:12]} (the [bold]fair[/])" in said.out


def test_which_masters_serve_it_and_since_when(clone: Clone) -> None:
    before = clone.head("develop")
    made = clone.commit({"salt/a.sls": "a"}, "A", on="develop")
    later = clone.commit({"salt/b.sls": "b"}, "B")
    clone.push("develop")
    append(
        clone,
        sync("m1", "test", made, 1_800_000_100),
        sync("m1", "test", later, 1_800_000_200),
        sync("m2", "test", before, 1_800_000_300),
        sync("m3", "test", "1" * 40, 1_800_000_400),
    )
    masters = found(clone, made)["test"].masters
    assert [(m.master, m.there, m.since) for m in masters] == [
        ("m1", True, 1_800_000_100), ("m2", False, None), ("m3", None, None),
    ]  # fmt: skip
    said = clone.run("where", made).out
    assert "served by m1" in said and "not served by m2" in said


def test_a_saltenv_that_follows_tags_serves_what_is_tagged(tmp_path: Path) -> None:
    model = {
        "test": {"branch": "develop", "minions": ["t*"]},
        "prod": {
            "branch": "master", "minions": ["p*"], "promote_from": "test",
            "follow": {"tags": r"^v[0-9.]+$"},
        },
    }  # fmt: skip
    clone = Clone(tmp_path, model)
    clone.git("tag", "v1.0", "master")
    made = clone.commit({"salt/a.sls": "a"}, "A", on="master")
    clone.push("master", "v1.0")
    row = found(clone, made)["prod"]
    assert (row.state, row.served) == (THERE, False)
    clone.git("tag", "v1.1", "master")
    clone.push("v1.1")
    assert found(clone, made)["prod"].served is True
    assert found(clone, "v1.1")["prod"].served is True


def test_on_a_master_that_records_its_syncs(site: Site) -> None:
    model = site.settings["saltenvs"]
    model["stage"]["promote_from"], model["prod"]["promote_from"] = "test", "stage"
    site.configure(record_syncs=True)
    site.sync_well()
    made = site.remote.commit("develop", {"salt/new.sls": "new: {test.nop: []}\n"})
    site.sync_well()
    done = site.run_here("where", made, "--config", str(site.config), "--json")
    assert done.code == 0, done
    rows = {r["saltenv"]: r for r in json.loads(done.out)["saltenvs"]}
    (master,) = rows["test"]["masters"]
    assert (master["commit"], master["there"]) == (made, True) and master["since"]
    assert [m["there"] for m in rows["prod"]["masters"]] == [False]
    done = site.run_here("history", "--all", "--config", str(site.config), "--json")
    syncs = [e for e in json.loads(done.out)["entries"] if e["what"] == "sync"]
    assert (syncs[0]["saltenv"], syncs[0]["new"]) == ("test", made)
    assert len(syncs) == 4


# Tickets


def test_a_ticket_is_complete_partly_there_or_not_at_all(clone: Clone) -> None:
    clone.commit({"salt/a.sls": "a"}, "KEY-12 A", on="develop")
    clone.commit({"salt/b.sls": "b"}, "B\n\nFor key-12.", on="develop")
    clone.commit({"salt/n.sls": "n"}, "KEY-123 is another one", on="develop")
    clone.push("develop")
    first = clone.promote("stage")
    clone.checkout("feature/key-12-login", "develop")
    last = clone.commit({"salt/c.sls": "c"}, "C")
    clone.merge("feature/key-12-login", "develop")
    clone.push("develop")
    rows = ticket(clone, "key-12")
    assert [(p.state, p.there) for p in rows.values()] == [(COMPLETE, 3), (PARTLY, 2), (ABSENT, 0)]
    assert [c.line.commit for c in rows["stage"].missing] == [last]
    assert [p.id for p in rows["stage"].promotions] == [first]
    second = clone.promote("stage")
    row = ticket(clone, "KEY-12")["stage"]
    assert (row.state, [p.id for p in row.promotions]) == (COMPLETE, [first, second])
    said = clone.run("where", "KEY-12").out
    assert "KEY-12: 3 commits" in said


def test_picks_and_reverts_of_a_ticket_are_no_commits_of_their_own(clone: Clone) -> None:
    one = clone.commit({"salt/a.sls": "a"}, "KEY-12 A", on="develop")
    two = clone.commit({"salt/b.sls": "b"}, "KEY-12 B", on="develop")
    clone.pick(one, "master", "-x")
    clone.pick(two, "master")
    gone = clone.revert(two, "develop")
    clone.push("develop", "master")
    rows = ticket(clone, "KEY-12")
    assert [(p.state, p.there) for p in rows.values()] == [(PARTLY, 1), (ABSENT, 0), (COMPLETE, 2)]
    assert [c.line.commit for c in rows["test"].reverted] == [two]
    clone.revert(gone, "develop")
    clone.push("develop")
    assert ticket(clone, "KEY-12")["test"].state == COMPLETE


def test_commits_of_an_open_branch_are_missing_everywhere(clone: Clone) -> None:
    clone.commit({"salt/a.sls": "a"}, "KEY-12 A", on="develop")
    clone.checkout("feature/KEY-12", "develop")
    made = clone.commit({"salt/b.sls": "b"}, "B")
    clone.push("develop", "feature/KEY-12")
    row = ticket(clone, "KEY-12")["test"]
    assert (row.state, [c.line.commit for c in row.missing]) == (PARTLY, [made])


def test_merging_develop_into_a_feature_brings_nothing_to_its_ticket(clone: Clone) -> None:
    clone.checkout("feature/key-12", "develop")
    clone.commit({"salt/a.sls": "a"}, "A")
    clone.commit({"salt/o.sls": "o"}, "Other", on="develop")
    clone.merge("develop", "feature/key-12")
    clone.merge("feature/key-12", "develop")
    clone.push("develop")
    result = where(clone.work(), "KEY-12")
    assert isinstance(result, TicketWhereabouts)
    assert [c.line.subject for c in result.changes] == ["A"]


def test_a_ticket_that_nothing_names(clone: Clone) -> None:
    said = clone.run("where", "KEY-99")
    assert (said.code, said.out) == (0, "KEY-99: 0 commits\n")


# Paths


def test_the_last_change_of_a_path_and_whether_the_content_is_the_same(clone: Clone) -> None:
    made = clone.commit({"salt/app/init.sls": "a\n"}, "KEY-1 A", on="develop")
    clone.push("develop")
    id_ = clone.promote("stage")
    clone.promote("prod")
    result = where(clone.work(), "salt/app/init.sls")
    assert isinstance(result, PathWhereabouts) and result.same
    clone.commit({"salt/app/init.sls": "b\n"}, "KEY-2 B", on="develop")
    clone.push("develop")
    result = where(clone.work(), "salt/app/init.sls")
    assert isinstance(result, PathWhereabouts) and not result.same
    test, stage, prod = result.saltenvs
    assert test.content != stage.content == prod.content
    assert stage.last and stage.last.line.commit == made
    assert stage.arrival and stage.arrival.promotion and stage.arrival.promotion.id == id_


def test_paths_may_be_written_as_salt_does_or_from_where_one_stands(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone.commit({"salt/app/init.sls": "a\n"}, "A", on="develop")
    clone.push("develop")
    work = clone.work()
    monkeypatch.chdir(clone.path / "salt")
    for word in ("salt/app/init.sls", "salt://app/init.sls", "app/init.sls", "salt/app/", "app"):
        result = where(work, word)
        assert isinstance(result, PathWhereabouts), word
        assert result.path in ("salt/app/init.sls", "salt/app")
        assert [bool(p.content) for p in result.saltenvs] == [True, False, False]


def test_names_of_files_are_no_patterns(clone: Clone) -> None:
    clone.commit({"salt/[a]*.sls": "one\n", "salt/ab.sls": "x\n"}, "A", on="develop")
    made = clone.commit({"salt/ab.sls": "y\n"}, "B")
    clone.push("develop")
    result = where(clone.work(), "salt/[a]*.sls")
    assert isinstance(result, PathWhereabouts)
    last = result.saltenvs[0].last
    assert last and last.line.subject == "A" and last.line.commit != made
    with pytest.raises(UsageError):
        where(clone.work(), "salt/a*.sls")


# What a word stands for


def test_a_word_that_can_be_two_things_is_refused_with_the_choice(clone: Clone) -> None:
    made = clone.commit({"KEY-5": "a file", "v1.0": "another"}, "KEY-5 A", on="develop")
    clone.git("tag", "v1.0", made)
    clone.push("develop", "v1.0")
    with pytest.raises(UsageError, match="the ticket KEY-5; the path KEY-5") as err:
        where(clone.work(), "KEY-5")
    assert "--ticket or --path" in err.value.hint
    with pytest.raises(UsageError, match="the tag v1.0") as err:
        where(clone.work(), "v1.0")
    assert "--commit or --path" in err.value.hint
    assert isinstance(where(clone.work(), "KEY-5", only="ticket"), TicketWhereabouts)
    assert isinstance(where(clone.work(), "KEY-5", only="path"), PathWhereabouts)
    assert isinstance(where(clone.work(), "v1.0", only="commit"), Whereabouts)


def test_a_tag_and_a_branch_of_one_name(clone: Clone) -> None:
    clone.commit({"salt/a.sls": "a"}, "A", on="develop")
    clone.git("tag", "stable", "master")
    clone.push("develop", "refs/tags/stable", "develop:refs/heads/stable")
    with pytest.raises(UsageError, match="the branch stable.*the tag stable"):
        where(clone.work(), "stable")
    tag, head = where(clone.work(), "tags/stable"), where(clone.work(), "heads/stable")
    assert isinstance(tag, Whereabouts) and isinstance(head, Whereabouts)
    assert tag.about.line.commit == clone.head("master")
    assert head.about.line.commit == clone.head("develop")


@pytest.mark.parametrize(
    "word", ["", "-x", "--all", "0000", "nothing", "../x", "a\0b", "HEAD~99", "@{-1}"]
)
def test_words_that_stand_for_nothing(clone: Clone, word: str) -> None:
    with pytest.raises(UsageError, match="known here"):
        where(clone.work(), word)


def test_short_hashes(clone: Clone) -> None:
    made = clone.head("master")
    assert states(clone, made[:7]) == states(clone, made[:10].upper()) == [THERE] * 3


def test_json_holds_the_same(clone: Clone) -> None:
    made = clone.commit({"salt/a.sls": "a"}, "KEY-1 A\x1b[31m", on="develop")
    clone.push("develop")
    clone.promote("stage")
    data = json.loads(clone.run("where", made, "--json").out)
    assert (data["version"], data["kind"], data["commit"]) == (1, "commit", made)
    assert [(r["saltenv"], r["state"]) for r in data["saltenvs"]] == [
        ("test", THERE), ("stage", THERE), ("prod", ABSENT),
    ]  # fmt: skip
    assert "\x1b" not in clone.run("where", made).out
    for word in ("KEY-1", "salt/a.sls"):
        data = json.loads(clone.run("where", word, "--json").out)
        assert len(data["saltenvs"]) == 3
