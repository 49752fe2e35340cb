"""Public control repositories: what plain Salt makes of every minion, on pairs of commits, is what ours makes.

Slow, and only where SALTBRANCH_REPOSITORIES names a folder of git clones (see `public_repositories`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.model import Compiled
from saltbranch.compiler.pool import Frame, compile_fleet
from saltbranch.compiler.tree import Tree
from saltbranch.config.minions import Matcher
from saltbranch.git.program import Git
from saltbranch.preview.fleet_diff import Tellings, compare_trees
from tests.support import plainly, public_repositories
from tests.support.compiling import SAMPLE_GRAINS
from tests.support.public_repositories import SALTENV, Repository

FOLDER = os.environ.get("SALTBRANCH_REPOSITORIES", "")


class Compared:
    """What is told of one repository: a line for each pair, and each difference."""

    def __init__(self, repository: Repository, folder: Path) -> None:
        self.repository, self.folder = repository, folder
        dirs = {"/srv/salt": repository.states_dir, "/srv/pillar": repository.pillar_dir}
        self.frame = Frame(
            repository.states_dir,
            repository.pillar_dir,
            {SALTENV: (Matcher("glob", "*"),)},
            served=tuple((SALTENV, outside, inner) for outside, inner in dirs.items()),
            master=repository.master,
        )
        self.cache = CompileCache(str(folder / "kept"))
        self.sides: dict[str, Side] = {}
        self.lines: list[str] = []
        self.open: list[str] = []
        self.explained: list[str] = []

    def pair(self, old: str, new: str) -> None:
        """Both commits, and the difference of the two."""
        one, other = self._side(old), self._side(new)
        files = self._difference(one, other)
        name, count = self.repository.name, len(self.repository.minions)
        chunks, keys = one.chunks + other.chunks, one.keys + other.keys
        self.lines.append(
            f"{name} {old[:9]}..{new[:9]}: {count} minions, {chunks} chunks, {keys} pillar keys, {files}"
        )

    def _side(self, name: str) -> Side:
        """Ours and Salt's answers to one commit: as it is, and without what does not compile at all."""
        if name in self.sides:
            return self.sides[name]
        commit = self.repository.commit(name, {})
        salts = self.repository.salts(self.folder, commit)
        self._compare(name, self._ours(commit), salts)
        left, whole = self.repository.compilable(self.folder, name, salts)
        commit = self.repository.commit(name, left)
        side = self.sides[name] = Side(commit, self._ours(commit), whole)
        if left:
            self._compare(name, side.ours, whole)
        why = {n: str(r["low"])[:200] for n, r in whole.items() if plainly.has_failed(r)}
        self.lines.append(f"  {name[:9]}: left out: {sorted(left)}, not whole: {why or 'none'}")
        return side

    def _ours(self, commit: str) -> dict[str, Compiled]:
        tree, minions = self._tree(commit), self.repository.minions
        return compile_fleet(self.frame, tree, minions, jobs=2, cache=self.cache, plain=True)

    def _tree(self, commit: str) -> Tree:
        git = Git(str(self.repository.remote.path))
        return self.frame.tree(git, self.repository.remote.git("rev-parse", commit))

    def _compare(self, commit: str, ours: Mapping[str, Compiled], salts: Mapping[str, Any]) -> None:
        for name, result in ours.items():
            for what in plainly.unequal(result, salts[name]):
                self._tell(f"{commit[:9]} {name}: {what}", plainly.explained(result))

    def _tell(self, what: str, why: str | None) -> None:
        (self.explained if why else self.open).append(f"{what} ({why})" if why else what)

    def _difference(self, old: Side, new: Side) -> str:
        """What `diff` says has to be what Salt's two answers differ in. How many files were compared by it."""
        trees, minions = (self._tree(old.commit), self._tree(new.commit)), self.repository.minions
        telling = Tellings(trees, self.cache)
        sought = ({"name": old.commit}, {"name": new.commit})
        result = compare_trees(self.frame, trees, sought, minions, jobs=2, cache=self.cache)
        said, files, differ = {m.minion: m for m in result.minions}, 0, 0
        for minion in minions:
            one, other = old.ours[minion.id], new.ours[minion.id]
            salts = (old.salts[minion.id], new.salts[minion.id])
            told_as = plainly.told_as(other, telling(minion))
            for what in plainly.untrue(said[minion.id], *salts, told_as):
                why = plainly.explained(one) or plainly.explained(other)
                self._tell(f"diff {old.commit[:9]}..{new.commit[:9]} {minion.id}: {what}", why)
            if not any(map(plainly.has_failed, salts)):
                both = plainly.compared(*salts)
                files += len(both)
                differ += sum(salts[0]["contents"][w] != salts[1]["contents"][w] for w in both)
        return f"{files} files, {differ} of them with another content"


@dataclass(frozen=True)
class Side:
    """The two answers to one commit."""

    commit: str
    ours: Mapping[str, Compiled]
    salts: Mapping[str, Any]

    @property
    def chunks(self) -> int:
        """How many of Salt's were compared."""
        return sum(len(r["low"]) for r in self.salts.values() if not plainly.has_failed(r))

    @property
    def keys(self) -> int:
        """The same of pillar keys."""
        return sum(len(r["pillar"]) for r in self.salts.values() if not plainly.has_failed(r))


def core_grains(folder: Path) -> dict[str, Any]:
    """What a minion on this machine says of itself, so that templates find what they ask for."""
    program = "from salt.scripts import salt_call; salt_call()"
    (folder / "minion").write_text(
        json.dumps({"root_dir": str(folder), "file_client": "local", "enable_fqdns_grains": False})
    )
    argv = [sys.executable, "-c", program, "--local", "--config-dir", str(folder), "--out", "json"]
    done = subprocess.run(
        [*argv, "--log-level", "quiet", "grains.items"], capture_output=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)["local"]
    return {**found, **SAMPLE_GRAINS, "osrelease": "12", "oscodename": "bookworm"}


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER, reason="SALTBRANCH_REPOSITORIES names no folder of clones")
def test_public_repositories_come_out_as_salt_has_them(tmp_path: Path) -> None:
    grains = core_grains(tmp_path)
    open_: list[str] = []
    for repository in public_repositories.found(Path(FOLDER), tmp_path, grains):
        compared = Compared(repository, tmp_path / f"{repository.name}-work")
        for pair in repository.pairs:
            compared.pair(*pair)
        told = [*compared.lines, *compared.explained, *compared.open]
        sys.stdout.write("\n".join([*told, ""]))
        open_ += compared.open
    assert not open_
