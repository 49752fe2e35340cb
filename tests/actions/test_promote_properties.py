"""Whatever people do in whatever order: nothing that reached prod is lost below, nothing is undone, all agree."""

from __future__ import annotations

import json
import re
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from saltbranch.journal.facts import Debt
from tests.support import budget
from tests.support.kill_server import KillServer
from tests.support.project import CHAIN, Clone, Project, model
from tests.support.remote import Content
from tests.support.site import Ran, Site

HOT = "salt/app/init.sls"
OWN = "pillar/own.sls"
FINAL = r"^v[0-9]+(\.[0-9]+)*$"
WORLDS = {
    "plain": model(),
    "tags": model(prod={"follow": {"tags": FINAL}}),
    "owned": model(stage={"saltenv_owned": [OWN]}, prod={"saltenv_owned": [OWN]}),
}


@dataclass
class World:
    """A remote, two people, a master, and what was done so far.

    held: saltenv to the commit that it was held at last. seen: merges that were looked at. chosen: merges in which
    a person resolved conflicts.
    """

    kind: str
    project: Project
    server: KillServer
    clones: list[Clone] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    chosen: set[str] = field(default_factory=set)
    tags: dict[str, str] = field(default_factory=dict)
    number: int = 0
    pushed: int = 0

    def __post_init__(self) -> None:
        self.clones = [self.project.clone(name) for name in ("ann", "bob")]
        folder = self.project.folder / "master"
        folder.mkdir()
        self.site = Site(folder, self.project.remote)
        self.site.configure(saltenvs=None)
        for branch, base in (("master", "master"), ("stage", "master"), ("develop", "stage")):
            self.project.remote.set_branch(branch, self.project.remote.head(base))
            self.project.remote.commit(branch, {OWN: f"{branch}\n"}, message="KEY-1 own")

    # What is

    def head(self, saltenv: str) -> str:
        """The head of its branch."""
        return self.project.remote.head(CHAIN[saltenv])

    def served(self, saltenv: str) -> str | None:
        """What a saltenv is to serve, worked out once more: the hold, the highest tag, the branch."""
        if saltenv in self.held:
            return self.held[saltenv]
        if self.kind == "tags" and saltenv == "prod":
            listed = self.project.remote.git("tag", "--merged", "refs/heads/master").splitlines()
            finals = [t for t in listed if re.fullmatch(FINAL, t)]
            if not finals:
                return None
            highest = max(finals, key=lambda t: [int(n) for n in t[1:].split(".")])
            return self.project.remote.git("rev-parse", f"{highest}^{{commit}}")
        return self.head(saltenv)

    def open_debts(self) -> list[Debt]:
        """Those whose branch still lacks the commit."""
        found = self.project.state().debts
        refs = self.project.refs()
        there = [d for d in found if f"refs/heads/{d.branch}" in refs]
        return [d for d in there if not self.project.contains(d.branch, d.commit)]

    # What is done

    def change(self, number: int) -> dict[str, Content]:
        """A change of a line of the file that all change, of a file of its own, or of an owned one."""
        self.number += 1
        match number % 4:
            case 0:
                lines = [f"line {n}\n" for n in range(9)]
                lines[number % 9] = f"changed {self.number}\n"
                return {HOT: "".join(lines)}
            case 1:
                return {f"salt/new{self.number % 5}.sls": f"{self.number}\n"}
            case 2:
                return {f"salt/new{self.number % 5}.sls": None, OWN: f"{self.number}\n"}
            case _:
                return {f"salt/only{self.number}.sls": f"{self.number}\n"}

    def run(self, number: int, *words: str) -> Ran:
        """One of the two does it; nothing but success and refusals is possible."""
        ran = self.clones[number % 2].run(*words, "--yes", "--json")
        note(f"  {' '.join(words)}: {ran.code} {ran.err.strip()}")
        assert ran.code in (0, 2, 4), ran
        if ran.code == 0:
            self.believe(json.loads(ran.out))
        return ran

    def believe(self, said: dict[str, Any]) -> None:
        """What a verb says about holds, so that it can be compared with the journal."""
        if "moved" in said:
            self.pushed += bool(said["moved"])
            plan = said["plan"]
            if plan["lifts_hold"]:
                del self.held[plan["saltenv"]]
            if plan["hold_moves_to"]:
                self.held[plan["saltenv"]] = plan["hold_moves_to"]
        elif "will_serve" in said:
            self.pushed += 1
            if said["verb"].startswith("unhold"):
                del self.held[said["saltenv"]]
            else:
                self.held[said["saltenv"]] = said["will_serve"]

    def resolve(self, number: int, *words: str) -> None:
        """A person takes one side of each conflict, and goes on."""
        folder = self.project.folder / f"work{self.number}-{number}-{len(self.chosen)}"
        clone = self.clones[number % 2]
        begun = clone.run(*words, "--resolve", str(folder), "--json")
        assert begun.code == 0, begun
        side = ("--ours", "--theirs")[number % 2]
        for path in json.loads(begun.out)["conflicts"]:
            staged = Clone(folder).git("ls-files", "-s", "--", path)
            stage = {"--ours": "2", "--theirs": "3"}[side]
            if any(line.split()[2] == stage for line in staged.splitlines()):
                Clone(folder).git("checkout", "--quiet", side, "--", path)
                Clone(folder).git("add", "--", path)
            else:
                Clone(folder).git("rm", "--quiet", "--", path)
        before = self.project.refs()
        ran = self.run(number, *words, "--continue")
        if ran.code != 0:
            assert "not promoted, because of" in ran.err, ran
            assert clone.run(*words, "--abort").code == 0
            return
        after = self.project.refs()
        moved = {
            after[r] for r in after if after[r] != before.get(r) and r.startswith("refs/heads")
        }
        self.chosen |= moved
        assert not folder.exists()

    # What must hold

    def check(self) -> None:
        """After every deed."""
        self.reached_prod_is_below()
        self.nothing_is_undone()
        self.journal_agrees()
        self.tags_stay()

    def reached_prod_is_below(self) -> None:
        """Every commit of master, merges aside, is in stage and develop, or owed to them."""
        debts = self.open_debts()
        for branch in ("stage", "develop"):
            args = ["rev-list", "--no-merges", "master", f"^{branch}"]
            if self.kind == "owned":  # a commit of such a path alone belongs to its saltenv
                args += ["--", ".", f":(exclude){OWN}"]
            missing = self.project.remote.git(*args).split()
            owed = [d.commit for d in debts if d.branch == branch]
            for commit in missing:
                assert any(self.project.is_ancestor(commit, d) for d in owed), (branch, commit)

    def nothing_is_undone(self) -> None:
        """What the first parent of a merge gained since the base, and the second never touched, is in the merge."""
        heads = [r for r in self.project.refs() if r.startswith("refs/heads/")]
        listed = self.project.remote.git("rev-list", "--merges", "--parents", *heads)
        for line in listed.splitlines():
            merge, *parents = line.split()
            if merge in self.seen:
                continue
            self.seen.add(merge)
            if merge not in self.chosen:
                self.keeps_both(merge, *parents)

    def keeps_both(self, merge: str, ours: str, theirs: str) -> None:
        git = self.project.remote.git
        bases = git("merge-base", "--all", ours, theirs).split()
        trees = {c: self.project.remote.tree(c) for c in (merge, ours, theirs, *bases)}
        touched = set(
            git("log", "--format=", "--name-only", "-m", f"{ours}..{theirs}").splitlines()
        )
        for path in trees[ours].keys() | trees[merge].keys() | trees[theirs].keys():
            if path == OWN and self.kind == "owned":
                continue  # it has a test of its own, at the end
            before = {trees[b].get(path) for b in bases}
            mine, merged = trees[ours].get(path), trees[merge].get(path)
            if path not in touched and mine not in before:
                assert merged == mine, (path, merge)
            if mine in before and len(before) == 1:
                assert merged == trees[theirs].get(path), (path, merge)

    def journal_agrees(self) -> None:
        """The last promotion to a saltenv is on its branch, and holds are as people were told."""
        state = self.project.state()
        for saltenv in CHAIN:
            told = state.promotions_to(saltenv)
            if told:
                assert self.project.contains(CHAIN[saltenv], told[-1].new)
                assert self.project.contains(CHAIN[saltenv], told[-1].source_commit)
        assert {s: h.commit for s, h in state.holds.items()} == self.held

    def tags_stay(self) -> None:
        """A tag is never moved nor removed."""
        now = {r: o for r, o in self.project.refs().items() if r.startswith("refs/tags/")}
        assert self.tags.items() <= now.items()
        self.tags = now

    def check_served(self) -> None:
        """After a sync: what is served is what hold, tag or branch say."""
        result = self.site.sync_here(wait=30)
        for saltenv, branch in CHAIN.items():
            wanted = self.served(saltenv)
            if wanted is None:
                assert all(s.new is None for s in result.saltenvs if s.saltenv == saltenv)
            else:
                found = next(s for s in result.saltenvs if s.saltenv == saltenv)
                assert found.new == wanted, (saltenv, found)
                self.site.assert_serves(branch, wanted)


Deed = Callable[[World, int], None]


def commit(world: World, number: int) -> None:
    """Somebody pushes to develop."""
    message = f"KEY-{number} change"
    world.project.remote.commit("develop", world.change(number), message=message)


def commit_by_hand(world: World, number: int) -> None:
    """Somebody pushes to stage past all rules."""
    world.project.remote.commit("stage", world.change(number), message="by hand")


def feature(world: World, number: int) -> None:
    """A feature from an earlier develop, and its end."""
    listed = world.project.remote.git("rev-list", "--first-parent", "-n4", "develop").split()
    name = f"feature/key-{world.number}-{number}"
    clone = world.clones[number % 2]
    clone.branch(name, listed[number % len(listed)], world.change(number), "feature work")
    words = ("feature", "finish", name)
    if "conflicts in" in world.run(number, *words).err:
        world.resolve(number, *words)


def promote(world: World, number: int) -> None:
    """To stage or prod, now and then an earlier commit or with a tag."""
    saltenv = ("stage", "prod")[number % 2]
    words = ["promote", saltenv]
    if number % 5 == 4:
        words += ["--commit", world.project.remote.git("rev-parse", f"{source(saltenv)}~0")]
    tag = saltenv == "prod" and (number % 3 == 1 or world.kind == "tags")
    if tag:
        words += ["--tag", "auto"]
    if "conflicts in" in world.run(number // 2, *words).err:
        world.resolve(number // 2, *words[:2])


def source(saltenv: str) -> str:
    """The branch from which a saltenv is promoted."""
    return {"stage": "develop", "prod": "stage"}[saltenv]


def hotfix(world: World, number: int) -> None:
    """On top of what prod serves; where it conflicts below, a debt is left."""
    start = world.served("prod")
    if start is None:
        return
    name = f"hotfix/key-{world.number}-{number}"
    world.clones[number % 2].branch(name, start, world.change(number), "fix")
    words = ("hotfix", "finish", name)
    held = world.held.get("prod")
    fix = world.clones[number % 2].objects.head(name)
    ran = world.run(number, *words)
    if "conflicts in" in ran.err:
        world.resolve(number, *words)
    elif ran.code == 0 and held:
        assert world.held["prod"] == fix


def release(world: World, number: int) -> None:
    """Cut, fixed and finished."""
    clone = world.clones[number % 2]
    name = f"release/{world.number}.{number}"
    clone.branch(name, world.head("test"), world.change(number), "KEY-7 fix of the release")
    words = ("release", "finish", name)
    if "conflicts in" in world.run(number, *words).err:
        world.resolve(number, *words)


def pay(world: World, number: int) -> None:
    """Merge what is owed."""
    for debt in world.open_debts()[:1]:
        words = ("backmerge", debt.branch)
        ran = world.run(number, *words)
        if "conflicts in" in ran.err:
            world.resolve(number, *words)
        assert world.project.contains(debt.branch, debt.commit), ran


def rollback(world: World, number: int) -> None:
    """What was served before the last promotion."""
    world.run(number, "rollback", ("stage", "prod")[number % 2], "--reason", "bad")


def hold(world: World, number: int) -> None:
    """A freeze, or an earlier commit."""
    saltenv = list(CHAIN)[number % 3]
    words = ["hold", saltenv, "--reason", "looking"]
    if number % 2:
        listed = world.project.remote.git("rev-list", "--first-parent", "-n4", CHAIN[saltenv])
        words += ["--at", listed.split()[-1]]
    world.run(number, *words)


def unhold(world: World, number: int) -> None:
    """All of it is over."""
    for saltenv in list(world.held):
        world.run(number, "unhold", saltenv)


def sync(world: World, number: int) -> None:
    """A master looks at the remote."""
    world.check_served()


def crash(world: World, number: int) -> None:
    """Something is killed; what it had done is found out from the remote alone."""
    verbs = [["promote", "stage"], ["promote", "prod"], ["rollback", "prod", "--reason", "bad"]]
    words = world.clones[number % 2].words(*verbs[number % 3], "--yes", "--json")
    log = world.project.folder / "steps"
    code = world.server.run(log, "any", 2 * number, *words)
    assert code in (0, 4, -signal.SIGKILL), Path(f"{log}.err").read_text()
    world.held = {s: h.commit for s, h in world.project.state().holds.items()}


_DEEDS: list[Deed] = [commit, commit, feature, promote, promote, promote, hotfix, hotfix, release, pay, rollback, hold,
                      unhold, sync, crash, commit_by_hand]  # fmt: skip
_STEPS = st.lists(st.tuples(st.sampled_from(_DEEDS), st.integers(0, 35)), min_size=6, max_size=22)


def settle(world: World) -> None:
    """Everybody pays and lifts what is left; then everything goes up, and all is the same everywhere."""
    for _ in range(9):
        unhold(world, 0)
        pay(world, 1)
        promote(world, 0)
        promote(world, 1)
        world.check()
    trees = []
    for branch in CHAIN.values():
        tree = world.project.remote.tree(branch)
        tree.pop(OWN)
        trees.append(tree)
    assert not world.open_debts()
    assert trees[0] == trees[1] == trees[2]
    world.project.check()
    world.check_served()


def play(kind: str, server: KillServer, steps: list[tuple[Deed, int]]) -> None:
    """Do what `steps` say, looking after each, and settle at the end."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(kind, Project(Path(folder), WORLDS[kind]), server)
        for deed, number in steps:
            note(f"{deed.__name__} {number}")
            deed(world, number)
            world.check()
        settle(world)


_SETTINGS = settings(
    deadline=None,
    phases=[
        Phase.explicit,
        Phase.generate,
    ],  # a history takes seconds, looking for a shorter one hours
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@given(kind=st.sampled_from(list(WORLDS)), steps=_STEPS)
@settings(_SETTINGS, max_examples=budget.examples(6, 3))
def test_any_history_ends_well(
    server: KillServer, kind: str, steps: list[tuple[Deed, int]]
) -> None:
    play(kind, server, steps)


@pytest.mark.slow
@given(kind=st.sampled_from(list(WORLDS)), steps=_STEPS)
@settings(_SETTINGS, max_examples=150)
def test_any_of_many_histories_ends_well(
    server: KillServer, kind: str, steps: list[tuple[Deed, int]]
) -> None:
    play(kind, server, steps)
