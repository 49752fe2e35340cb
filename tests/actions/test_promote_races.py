"""Two to eight people at once: every push moves all of its refs or none, and who loses is told why."""

from __future__ import annotations

import json
import random
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from saltbranch.git.mirror import JOURNAL_REF
from tests.support.kill_server import KillServer
from tests.support.project import Clone, Project, model

PEOPLE = 8
ZERO = "0" * 40
PATIENCE = 100  # rounds


@dataclass(slots=True)
class Race:
    """Clones of one remote, and what was pushed to it in the end."""

    project: Project
    server: KillServer
    dice: random.Random
    clones: list[Clone] = field(default_factory=list)
    commits: set[str] = field(default_factory=set)
    pushed: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    told: Counter[str] = field(default_factory=Counter)
    number: int = 0
    start: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clones = [self.project.clone(f"person{n}") for n in range(PEOPLE)]
        self.start = {ref: len(self.project.moves(ref)) for ref in self.project.refs()}

    def topic(self, clone: Clone, name: str) -> str:
        """A commit on top of develop that nobody else makes."""
        self.number += 1
        files = {f"salt/new{self.number}.sls": f"{self.number}\n"}
        head = self.project.remote.head("develop")
        return clone.branch(name, head, files, f"KEY-{self.number} new")

    def order(self, clone: Clone) -> tuple[list[str], str]:
        """What one person does: the words, and the commit that is on develop if it ends well."""
        verb = self.dice.choice(["promote", "promote", "tag", "finish", "hold", "rollback"])
        saltenv = self.dice.choice(["stage", "prod"])
        match verb:
            case "promote":
                words, commit = ["promote", saltenv], ""
            case "tag":
                words, commit = ["promote", saltenv, "--tag", "auto"], ""
            case "finish":
                name = f"feature/key-{self.number + 1}"
                commit = self.topic(clone, name)
                words = ["feature", "finish", name]
            case "hold":
                # A hold for good would leave nothing to race for.
                verb = "unhold" if "test" in self.project.state().holds else "hold"
                words, commit = [verb, "test", "--reason", "looking"], ""
            case _:
                words, commit = ["rollback", saltenv, "--reason", "bad"], ""
        return clone.words(*words, "--yes", "--json"), commit

    def round(self, people: int) -> None:
        """`people` at once, one of them with a plain ``git push``."""
        self.project.remote.commit(
            "develop", {f"salt/round{self.number}.sls": "x\n"}, message="KEY-9 round"
        )
        self.commits.add(self.project.remote.head("develop"))
        self.remember("refs/heads/develop", *self.project.moves("refs/heads/develop")[-1])
        plain, *others = self.dice.sample(self.clones, people)
        if self.dice.random() < 0.25:  # all of them in one clone, as on a machine that is shared
            others = others[:1] * len(others)
        orders = [self.order(clone) for clone in others]
        argv, commit = self.push_by_hand(plain)
        logs = [clone.path / ".git" / f"steps{n}" for n, clone in enumerate(others)]
        runs = [(log, "", 0, *words) for log, (words, _) in zip(logs, orders, strict=True)]
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as by_hand:
            codes = self.server.run_all(runs)
        if by_hand.returncode == 0:
            self.commits.add(commit)
            old = self.project.remote.git("rev-parse", f"{commit}^")
            self.remember("refs/heads/develop", old, commit)
        for code, log, (_, wanted) in zip(codes, logs, orders, strict=True):
            self.look(code, log, wanted)

    def push_by_hand(self, clone: Clone) -> tuple[list[str], str]:
        """Somebody without saltbranch."""
        commit = self.topic(clone, "mine")
        argv = ["git", "-C", str(clone.path), "push", "--quiet", "origin"]
        return [*argv, f"{commit}:refs/heads/develop"], commit

    def look(self, code: int, log: Path, commit: str) -> None:
        """What one run said, and that it is true."""
        err = Path(f"{log}.err").read_text()
        out = Path(f"{log}.out").read_text()
        assert code in (0, 4), (code, out, err)
        assert "Traceback" not in err
        if code == 4:
            assert any(sign in err for sign in TOLD), err
            assert json.loads(out)["error"]["exit_code"] == 4
            self.told[next(sign for sign in TOLD if sign in err)] += 1
            return
        said = json.loads(out)
        if "moved" in said:
            self.told["pushed"] += 1
            self.winner(said)
            if commit:
                self.commits.add(commit)
        elif "event" in said or "promotion" in said:
            self.told["recorded"] += 1
            self.ids.add(said["id"])
        else:
            assert said["empty"], said
            self.told["nothing to do"] += 1

    def winner(self, said: dict[str, Any]) -> None:
        """All that it says it moved has moved, from and to where it says."""
        for move in said["moved"]:
            if move["new"] is not None:
                self.remember(move["ref"], move["old"] or ZERO, move["new"])
        if said["plan"]["saltenv"] != "test":
            self.ids.add(said["id"])

    def remember(self, ref: str, old: str, new: str) -> None:
        """Somebody says that he moved `ref`."""
        self.pushed.setdefault(ref, set()).add((old, new))

    def has_seen_enough(self) -> bool:
        """Whether several won, and somebody was told that he lost."""
        return self.told["pushed"] > 5 and self.told["another push came first"] > 0

    def check(self) -> None:
        """No commit lost, nothing half moved, nothing moved by who was told that he lost."""
        project = self.project
        project.check()
        for commit in self.commits:
            assert project.contains("develop", commit)
        ids = {event.id for event in project.events()}
        assert self.ids <= ids
        for ref in project.refs():
            found = project.moves(ref)[self.start.get(ref, 0) :]
            assert len(found) == len(set(found))
            said = self.pushed.get(ref, set())
            if ref == JOURNAL_REF:  # hold and rollback say only which event they wrote
                assert said <= set(found) and len(found) == len(said) + self.told["recorded"]
            else:
                assert set(found) == said, ref


TOLD = ("another push came first", "not promoted, because of", "has a tag", "the journal knows no promotion",
        "others pushed", "others wrote", "is not held", "has commits that")  # fmt: skip


def race(project: Project, server: KillServer, seed: int, rounds: int) -> Race:
    """`rounds` races, and more until somebody pushed and somebody lost; the account now and then.

    Who is faster is the machine's choice: a fixed number of rounds may see too little of either.
    """
    found = Race(project, server, random.Random(seed))
    number = 0
    while number < rounds or (not found.has_seen_enough() and number < rounds + PATIENCE):
        found.round(2 + number % (PEOPLE - 1))
        number += 1
        if number % 5 == 0:
            found.check()
    found.check()
    return found


def test_a_few_races(tmp_path: Path, server: KillServer) -> None:
    assert race(Project(tmp_path), server, seed=1, rounds=8).has_seen_enough()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_a_hundred_races(tmp_path: Path, server: KillServer, seed: int) -> None:
    """The second time with tags that are followed, where every back-merge competes with features."""
    follow = {"tags": r"^v[0-9]+(\.[0-9]+)*$"}
    keys = model(prod={"follow": follow}) if seed == 3 else model()
    assert race(Project(tmp_path, keys), server, seed, rounds=100).has_seen_enough()
