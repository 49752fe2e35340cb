"""lab, by two people at once and killed by SIGKILL at each step: one has the lab, and the same command ends it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.git.program import Git
from saltbranch.journal import events, store
from tests.support import budget
from tests.support.kill_server import KillServer
from tests.support.project import Clone, Project


@pytest.fixture(scope="module")
def server() -> Iterator[KillServer]:
    with KillServer() as server:
        yield server


def project(folder: Path, *branches: str, labs: int = 1) -> Project:
    """A remote with topic branches, whose master has told how many labs it has."""
    found = Project(folder)
    head = found.remote.head("develop")
    for branch in branches:
        found.remote.commit(branch, {f"salt/{branch[-1]}.sls": "x\n"}, parents=(head,))
    now = time.time()
    details = {"master": "m1", "saltenvs": [], "labs": labs}
    event = events.Event(events.SYNC, store.new_id(now), now, "root", details)
    found.remote.git("hash-object", "-w", "-t", "tree", "/dev/null")  # as a push brings it
    new, _ = store.append(Git(str(found.remote.path)), None, [event])
    found.remote.git("update-ref", JOURNAL_REF, new)
    return found


def race(found: Project, server: KillServer, rounds: int) -> list[int]:
    """Two claim the last lab at once, again and again; how often each had it."""
    people = [found.clone("ann"), found.clone("bob")]
    names = ["feature/a", "feature/b"]
    won = [0, 0]
    for number in range(rounds):
        logs = [clone.path / ".git" / "steps" for clone in people]
        server.run_all(
            [
                (log, "", 0, *clone.words("lab", "claim", name, "--yes", "--json"))
                for log, clone, name in zip(logs, people, names, strict=True)
            ]
        )
        said = [json.loads(Path(f"{log}.out").read_text()) for log in logs]
        winners = [n for n in (0, 1) if "error" not in said[n]]
        assert len(winners) == 1, said
        winner = winners[0]
        won[winner] += 1
        (claim,) = found.state().labs.values()
        assert (claim.branch, claim.id) == (names[winner], said[winner]["claim"]["id"])
        error = said[1 - winner]["error"]
        assert error["exit_code"] == 4
        told = f"no lab is free: {names[winner]} has lab1 by {claim.by}, until 2"
        assert told in error["message"]
        people[number % 2].well("lab", "release", "lab1")
        assert not found.state().labs
    found.check()
    return won


def test_two_claim_the_last_lab_at_once(tmp_path: Path, server: KillServer) -> None:
    assert sum(race(project(tmp_path, "feature/a", "feature/b"), server, 3)) == 3


@pytest.mark.slow
def test_two_claim_the_last_lab_at_once_twenty_times(tmp_path: Path, server: KillServer) -> None:
    assert sum(race(project(tmp_path, "feature/a", "feature/b"), server, 20)) == 20


def test_two_claim_two_labs_at_once(tmp_path: Path, server: KillServer) -> None:
    """Whoever is second gets the next one, without being asked again."""
    found = project(tmp_path, "feature/a", "feature/b", labs=2)
    people = [found.clone("ann"), found.clone("bob")]
    orders = [
        (c.path / ".git" / "steps", "", 0, *c.words("lab", "claim", f"feature/{n}", "--yes"))
        for c, n in zip(people, "ab", strict=True)
    ]
    assert server.run_all(orders) == [0, 0]
    having = {claim.branch: number for number, claim in found.state().labs.items()}
    assert sorted(having.values()) == [1, 2]
    for clone, name in zip(people, "ab", strict=True):
        out = (clone.path / ".git" / "steps.out").read_text()
        assert f"feature/{name}: it has lab{having[f'feature/{name}']}, recorded as" in out
    found.check()


VERBS = {
    "claim": (),
    "extend": (("lab", "claim", "feature/a", "--for", "2h"),),
    "release": (("lab", "claim", "feature/a", "--minions", "test1"),),
}


def killed(folder: Path, server: KillServer, verb: str, *, every: bool) -> int:
    """Kill `verb` at its steps, each time anew; how often."""
    words = ("lab", verb, "feature/a", *(("--minions", "test1") if verb == "claim" else ()))
    found = project(folder, "feature/a")
    clone = found.clone("ann")
    for before in VERBS[verb]:
        clone.well(*before)
    start, log = found.refs()[JOURNAL_REF], folder / "steps"
    argv = clone.words(*words, "--yes")
    assert server.run(log, "", 0, *argv) == 0
    steps = log.read_text().splitlines()
    pushing = steps.index("start git push")
    numbers = list(range(len(steps))) if every else [pushing - 1, *range(pushing, len(steps))]
    for number in numbers if every else budget.some(numbers, 5, lambda n: n == pushing):
        _rewind(found, clone, start)
        if server.run(log, "any", number, *argv) != -signal.SIGKILL:
            continue  # a run that is warm takes fewer steps
        _after_a_kill(found, clone, verb, words)
    return len(steps)


def _rewind(found: Project, clone: Clone, journal: str) -> None:
    """As it was before the verb."""
    found.remote.git("update-ref", JOURNAL_REF, journal)
    lines = clone.git("for-each-ref", "--format=%(refname)", "refs/saltbranch*").splitlines()
    for ref in lines:
        clone.git("update-ref", "-d", ref)


def _after_a_kill(found: Project, clone: Clone, verb: str, words: tuple[str, ...]) -> None:
    labs = found.state().labs
    assert len(labs) <= 1, "never half of it"
    ran = clone.run(*words, "--yes")
    assert ran.code == 0, ran
    labs = found.state().labs
    if verb == "release":
        assert not labs
        return
    (claim,) = labs.values()
    assert claim.branch == "feature/a"
    if verb == "claim":
        assert claim.minions == ("test1",)
    else:
        assert claim.until - time.time() > 2 * 86400
    mine = [e for e in found.events() if e.kind == events.LAB and e.text("action") == verb]
    assert len(mine) == 1 if verb == "claim" else mine, "it is recorded once"


@pytest.mark.parametrize("verb", VERBS)
def test_killed_from_the_push_on(tmp_path: Path, server: KillServer, verb: str) -> None:
    killed(tmp_path, server, verb, every=False)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_every_step(tmp_path: Path, server: KillServer, verb: str) -> None:
    killed(tmp_path, server, verb, every=True)
