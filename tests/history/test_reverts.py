"""Whether a change is there, over random histories, compared with whether git left its file there."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from saltbranch.history.commits import same_patch
from saltbranch.repository.timeline import Past
from tests.support.clone import Clone

BRANCHES = ("develop", "stage", "master")
FILE = "salt/a.sls"


class Story:
    """Random commits, merges, cherry-picks, reverts and reverts of reverts; the change adds one file."""

    def __init__(self, clone: Clone, seed: int) -> None:
        self.clone = clone
        self.random = random.Random(seed)
        self.count = 0
        self.made = clone.commit({FILE: "a\n"}, "Change", on="develop")
        self.adding = [self.made]
        self.removing: list[str] = []

    def step(self) -> None:
        """One thing that happens on one branch, as far as git can do it without a conflict."""
        branch = self.random.choice(BRANCHES)
        self.clone.checkout(branch)
        kind = self.random.choice(("other", "merge", "merge", "turn", "turn", "unmerge"))
        if kind == "other":
            self.count += 1
            self.clone.commit({f"salt/o{self.count}.sls": "o"}, f"Other {self.count}")
        elif kind == "merge":
            others = [b for b in BRANCHES if b != branch]
            self.attempt("merge", "--no-ff", "--no-edit", self.random.choice(others))
        elif kind == "unmerge":
            merges = self.clone.git("rev-list", "--merges", "--first-parent", "HEAD").split()
            if merges:
                self.attempt("revert", "--no-edit", "-m", "1", self.random.choice(merges))
        elif self.has_file(branch):
            self.remove()
        else:
            self.add()

    def remove(self) -> None:
        """Revert something that brought the change."""
        mine = [c for c in self.adding if self.is_here(c)]
        if mine and self.attempt("revert", "--no-edit", self.random.choice(mine)):
            self.removing.append(self.clone.git("rev-parse", "HEAD"))

    def add(self) -> None:
        """Bring it again: pick it, or revert a revert."""
        mine = [c for c in self.removing if self.is_here(c)]
        options = [] if self.random.random() < 0.5 else ["-x"]
        words = ["cherry-pick", *options, self.made]
        if mine and self.random.random() < 0.5:
            words = ["revert", "--no-edit", self.random.choice(mine)]
        if self.attempt(*words):
            self.adding.append(self.clone.git("rev-parse", "HEAD"))

    def attempt(self, *words: str) -> bool:
        """Whether git did it; otherwise it is as if nobody had tried."""
        self.clone.clock += 60
        before = self.clone.git("rev-parse", "HEAD")
        try:
            self.clone.git(*words)
        except AssertionError:
            self.clone.git("reset", "--quiet", "--hard", before)
            return False
        return self.clone.git("rev-parse", "HEAD") != before

    def is_here(self, commit: str) -> bool:
        words = ["git", "-C", str(self.clone.path), "merge-base", "--is-ancestor", commit, "HEAD"]
        return subprocess.run(words).returncode == 0

    def has_file(self, branch: str) -> bool:
        return bool(self.clone.git("ls-tree", branch, FILE))


@pytest.mark.parametrize("seed", range(4))
def test_it_is_there_where_its_file_is(tmp_path: Path, seed: int) -> None:
    clone = Clone(tmp_path)
    story = Story(clone, seed)
    expected = []
    for _ in range(30):
        story.step()
        expected += [(clone.git("rev-parse", b), story.has_file(b)) for b in BRANCHES]
    clone.push(*BRANCHES)
    past = Past(clone.work(), [story.made])
    family = past.links.family([story.made])
    family |= past.links.family(same_patch(clone.work().git, story.made, past.starts))
    fate = past.fate(family)
    assert [(c, fate.is_there(c)) for c, _ in expected] == expected
    assert {there for _, there in expected} == {True, False}
