"""What follows from the journal is kept: only new events are read, and nothing wrong in the file is believed."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from saltbranch.base.durations import iso
from saltbranch.base.errors import GitError
from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.git.program import Git
from saltbranch.journal import (
    cache as journal_cache,
)
from saltbranch.journal import (
    events,
)
from saltbranch.journal import (
    state as journal_state,
)
from saltbranch.journal import (
    store as journal,
)
from saltbranch.journal.events import Event
from saltbranch.journal.state import State
from tests.support.flow_site import FlowSite

BEGIN = 1767225600
HASHES = [letter * 40 for letter in "abc"]


def told(number: int) -> Event:
    """One of all kinds, in turn."""
    old, new, source = HASHES
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("promotion", {"saltenv": "stage", "branch": "stage", "source": "test",
                       "source_commit": source, "old": old, "new": new, "tickets": ["KEY-1"]}),
        ("sync", {"master": f"m{number % 3}",
                  "saltenvs": [{"saltenv": "test", "new": HASHES[number % 2], "time": iso(BEGIN)}]}),
        ("hold", {"saltenv": f"s{number % 7}", "commit": old, "reason": "r\ttab \u00e9", "asked_by": "ann"}),
        ("unhold", {"saltenv": f"s{number % 5}"}),
        ("debt", {"branch": "develop", "commit": source, "origin": "hotfix/1", "files": ["a b"]}),
    ]  # fmt: skip
    kind, details = kinds[number % len(kinds)]
    return Event(kind, f"20260101T000000Z-{number:08x}", BEGIN + number, "Ann <a@b>", details)


def fill(git: Git, head: str | None, numbers: Sequence[int]) -> str:
    """Append `told(n)` for each number to the journal, as fast as git can; its new head."""
    parts = []
    for place, number in enumerate(numbers):
        text = told(number).message().encode()
        before = b"from :%d\n" % place if place else b"from %s\n" % head.encode() if head else b""
        top = b"commit refs/saltbranch/journal\nmark :%d\n" % (place + 1)
        parts.append(top + b"committer Ann <a@b> %d +0000\ndata %d\n" % (BEGIN + number, len(text)))
        parts.append(text + b"\n" + before)
    subprocess.run(
        ["git", f"--git-dir={git.directory}", "fast-import", "--quiet", "--force"],
        input=b"".join(parts),
        check=True,
    )
    found = git.commit_or_none(JOURNAL_REF)
    assert found
    return found


@pytest.fixture
def git(tmp_path: Path) -> Git:
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "x.git"], check=True)
    return Git(str(tmp_path / "x.git"))


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commits whose messages were parsed."""
    seen: list[str] = []
    real = events.parse_message

    def parse(commit: str, message: str) -> Event | None:
        seen.append(commit)
        return real(commit, message)

    monkeypatch.setattr(events, "parse_message", parse)
    return seen


def data(state: State) -> dict[str, Any]:
    return {f.name: getattr(state, f.name) for f in fields(State) if f.name != "events"}


def assert_is_whole(git: Git, head: str, found: State) -> None:
    """It is what reading all of the journal gives."""
    whole = journal.read(git, head)
    assert data(found) == data(journal_state.replay(whole))
    assert list(found.events) == whole


def test_only_what_is_new_is_read_and_the_events_themselves_when_asked_for(
    git: Git, parsed: list[str]
) -> None:
    head = fill(git, None, range(1000))
    journal_cache.state(git, head)
    assert len(parsed) == 1000

    parsed.clear()
    again = journal_cache.state(git, head)
    assert again.promotions and again.residences and again.debts and again.holds
    assert parsed == [], "the same journal costs nothing"

    newer = fill(git, head, range(1000, 1007))
    more = journal_cache.state(git, newer)
    assert len(parsed) == 7
    assert_is_whole(git, newer, more)


def test_it_is_written_anew_where_much_is_new_only(git: Git, parsed: list[str]) -> None:
    head = fill(git, None, range(300))
    journal_cache.state(git, head)
    first = Path(journal_cache.path(git)).read_bytes()
    head = fill(git, head, range(300, 350))
    journal_cache.state(git, head)
    assert Path(journal_cache.path(git)).read_bytes() == first, "50 are read again each time"
    head = fill(git, head, range(350, 600))
    journal_cache.state(git, head)
    parsed.clear()

    assert_is_whole(git, head, found := journal_cache.state(git, head))
    assert len(found.events) == 600


def test_nothing_is_kept_of_a_short_journal_or_where_nothing_may_be_written(git: Git) -> None:
    journal_cache.state(git, fill(git, None, range(20)))
    journal_cache.state(git, fill(git, None, range(900)), write=False)
    assert not Path(journal_cache.path(git)).exists()
    assert data(journal_cache.state(git, None)) == data(State())


def test_a_journal_that_does_not_go_on_from_the_kept_one_is_read_whole(git: Git) -> None:
    kept = fill(git, None, range(400))
    journal_cache.state(git, kept)

    other = fill(git, None, range(1000, 1010))
    assert_is_whole(git, other, journal_cache.state(git, other))
    short = fill(git, None, range(50))
    assert_is_whole(git, short, journal_cache.state(git, short))
    # The kept one is contained, and yet not on the line that counts.
    message = told(7777).message()
    tree = git.out("mktree", stdin=b"").strip()
    merge = git.out("commit-tree", tree, "-p", other, "-p", kept, "-m", message).strip()
    assert_is_whole(git, merge, journal_cache.state(git, merge))


@pytest.mark.parametrize(
    "damage", ["gone", "torn", "other code", "place", "type", "unknown", "empty"]
)
def test_a_damaged_or_foreign_file_is_passed_over(git: Git, damage: str) -> None:
    head = fill(git, None, range(400))
    journal_cache.state(git, head)
    path = Path(journal_cache.path(git))
    first, _, rest = path.read_text().partition("\n")
    kept = json.loads(rest)
    if damage == "place":
        kept["latest"]["m0"]["test"] = 99999
    elif damage == "type":
        kept["holds"]["prod"] = 7
    elif damage == "unknown":
        kept["more"] = 1
    elif damage == "other code":  # which made something else of the same events
        first, kept["holds"] = f"{'0' * 64} {head}", {}
    text = f"{first}\n{json.dumps(kept)}"
    path.write_text({"torn": text[:-500], "empty": ""}.get(damage, text))
    if damage == "gone":
        path.unlink()

    assert_is_whole(git, head, journal_cache.state(git, head))


def test_the_kept_commit_may_be_gone_from_the_repository(git: Git) -> None:
    head = fill(git, None, range(400))
    journal_cache.state(git, head)
    path = Path(journal_cache.path(git))
    path.write_text(path.read_text().replace(head, "d" * 40, 1))

    assert_is_whole(git, head, journal_cache.state(git, head))


class Counted(str):
    """Text that counts how often it is compared."""

    __slots__ = ()
    number = 0

    def __eq__(self, other: object) -> bool:
        Counted.number += 1
        return str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        Counted.number += 1
        return str.__ne__(self, other)

    __hash__ = str.__hash__


@pytest.mark.parametrize("kind", ["promotion", "sync"])
def test_a_replay_compares_each_event_with_a_few_and_not_with_all_before_it(kind: str) -> None:
    old, new, source = HASHES
    made = []
    for number in range(500):
        row = {"saltenv": Counted("test"), "new": HASHES[number % 2]}
        details = {
            "promotion": {"saltenv": "stage", "source_commit": source, "old": old, "new": new},
            "sync": {"master": Counted(f"m{number % 3}"), "saltenvs": [row]},
        }[kind]
        made.append(Event(kind, Counted(f"id{number}"), BEGIN + number, "Ann", details))
    Counted.number = 0

    journal_state.replay(made)

    assert Counted.number < 20 * len(made)


def test_a_promotion_told_twice_is_one_and_the_newest() -> None:
    first, second = told(0), told(5)
    again = Event("promotion", first.id, BEGIN + 99, "Bob", first.details)

    found = journal_state.replay([first, second, again])

    assert [(p.id, p.by) for p in found.promotions] == [(second.id, "Ann <a@b>"), (first.id, "Bob")]


def test_a_verb_that_looks_at_a_long_journal_again_parses_what_is_new(
    flow: FlowSite, parsed: list[str]
) -> None:
    remote = Git(str(flow.remote.path))
    # Without promotions, which the branch would have to have.
    fill(remote, None, [n for n in range(3750) if n % 5])
    flow.push("develop")
    flow.run("promote", "stage", "--plan")
    assert len(parsed) >= 3000

    parsed.clear()
    flow.run("promote", "stage", "--plan")
    # The model looks at the newest ones, however many there are (repository/model.py).
    assert len(parsed) <= 1000


def test_a_journal_that_has_the_old_one_aside_only_does_not_go_on_from_it(git: Git) -> None:
    """What it told would be gone: events are read along the first parents."""
    old = fill(git, None, range(400))
    new = git.out("commit-tree", "-p", fill(git, None, range(3)), "-p", old, "-m", "x",
                  f"{old}^{{tree}}", config=("user.name=A", "user.email=a@b")).strip()  # fmt: skip

    with pytest.raises(GitError, match="rewritten"):
        journal.check_chain(git, old, new)
    journal.check_chain(git, old, fill(git, old, range(400, 700)))
