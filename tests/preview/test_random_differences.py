"""What `diff` says of random edits is what plain Salt's answers before and after differ in: all of it, no more."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.model import Compiled, Minion
from saltbranch.compiler.pool import Frame, compile_fleet
from saltbranch.compiler.tree import Tree
from saltbranch.config.minions import Matcher
from saltbranch.git.program import Git
from saltbranch.preview.fleet_diff import Tellings, compare_trees
from tests.support import budget, plainly
from tests.support.compiling import sample_files
from tests.support.edits import MORE_EDITS, Edit, Files, random_minion
from tests.support.remote import Remote

SALTENV = "base"
FRAME = Frame("salt", "pillar", {SALTENV: (Matcher("glob", "*"),)})


class Case:
    """Two commits some edits apart, and a minion."""

    def __init__(self, folder: Path, seed: int, edits: Sequence[Edit] = MORE_EDITS) -> None:
        rng = random.Random(seed)
        self.seed, self.folder = seed, folder / str(seed)
        self.remote = Remote(self.folder / "repo.git")
        self.minion = dataclasses.replace(random_minion(rng), saltenv=SALTENV)
        files: Files = {**sample_files(), "salt/note": b"a note\n"}
        self._edit(rng, files, rng.randrange(4), edits)
        self.commits = [self.remote.commit("master", files)]
        before = dict(files)
        self.done = self._edit(rng, files, rng.randrange(1, 3), edits)
        gone: Files = dict.fromkeys(before, None)
        self.commits.append(self.remote.commit("master", {**gone, **files}))
        for number, commit in enumerate(self.commits):
            tree = self._tree_folder(number)
            tree.mkdir()
            self.remote.git(f"--work-tree={tree}", "read-tree", commit)
            self.remote.git(f"--work-tree={tree}", "checkout-index", "-a")

    def _edit(
        self, rng: random.Random, files: Files, number: int, edits: Sequence[Edit]
    ) -> list[str]:
        done = []
        for _ in range(number):
            edit = rng.choice(edits)
            edit(rng, files)
            for path in [path for path, content in files.items() if content is None]:
                del files[path]
            done.append(edit.__name__)
        return done

    def _tree_folder(self, number: int) -> Path:
        return self.folder / f"tree{number}"

    def plain(self) -> list[dict[str, Any]]:
        """What plain Salt is asked: the same minion with two roots."""
        return [
            {
                "id": self.minion.id,
                "answer": f"{self.seed} {number}",
                "grains": dict(self.minion.grains),
                "states": True,
                "contents": True,
                "options": {
                    "file_roots": {SALTENV: [str(self._tree_folder(number) / "salt")]},
                    "pillar_roots": {SALTENV: [str(self._tree_folder(number) / "pillar")]},
                    "module_dirs": [str(self._tree_folder(number) / "salt")],
                    "cachedir": str(self.folder / f"cache{number}"),
                },
            }
            for number in range(2)
        ]

    def untrue(self, salts: Sequence[dict[str, Any]]) -> list[str]:
        """What is unequal to Salt's answers to the two commits, and to what they differ in."""
        cache, git = CompileCache(str(self.folder / "cache")), Git(str(self.remote.path))
        trees = [FRAME.tree(git, commit) for commit in self.commits]
        ours = [_compiled(tree, self.minion, cache) for tree in trees]
        found = [what for pair in zip(ours, salts, strict=True) for what in plainly.unequal(*pair)]
        sides = (trees[0], trees[1])
        sought = ({"name": "old"}, {"name": "new"})
        said = compare_trees(FRAME, sides, sought, [self.minion], jobs=1, cache=cache).minions[0]
        told_as = plainly.told_as(ours[1], Tellings(trees, cache)(self.minion))
        found += plainly.untrue(said, salts[0], salts[1], told_as)
        return [f"seed {self.seed}, {self.done}: {what}" for what in found]


def _compiled(tree: Tree, who: Minion, cache: CompileCache) -> Compiled:
    return compile_fleet(FRAME, tree, [who], jobs=1, cache=cache, plain=True)[who.id]


def _run(folder: Path, seeds: Sequence[int]) -> None:
    cases = [Case(folder, seed) for seed in seeds]
    options = {"file_client": "local", "saltenv": SALTENV, "pillarenv": SALTENV,
               "enable_fqdns_grains": False}  # fmt: skip
    asked = [minion for case in cases for minion in case.plain()]
    salts = plainly.compiled(folder, options, asked)
    untrue, failed = [], 0
    for case in cases:
        both = [salts[f"{case.seed} {number}"] for number in range(2)]
        failed += any(map(plainly.has_failed, both))
        untrue += case.untrue(both)
    assert not untrue
    # Were nearly all of them errors, little would have been compared.
    assert failed < 0.7 * len(cases)


def test_random_edits_are_told_as_they_are(tmp_path: Path) -> None:
    _run(tmp_path, budget.some(range(2000, 2006), 3))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 500, 50))
def test_500_random_edits_are_told_as_they_are(first: int, tmp_path: Path) -> None:
    _run(tmp_path, range(first, first + 50))
