"""Salt's own tests as input: what plain Salt makes of their sls files and texts is what ours makes.

Slow, and only where SALTBRANCH_SALT_SOURCE names the unpacked source distribution of Salt.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.model import Compiled, Minion
from saltbranch.compiler.pool import Frame, compile_fleet
from saltbranch.git.program import Git
from saltbranch.salt_master import top_file
from tests.support import plainly, salt_source
from tests.support.compiling import GROUPS, SAMPLE_GRAINS
from tests.support.remote import Remote

SOURCE = os.environ.get("SALTBRANCH_SALT_SOURCE", "")
TOP = "base:\n  '*': {{ [grains['%s']] if grains['%s'] else [] }}\n"
MOST, SHARE = 2500, 100
PILLAR = {"name": "Salt", "data": {"a": 1}}


class Cases:
    """One repository with every sls file and text, and a minion for each of them."""

    def __init__(self, folder: Path, source: Path) -> None:
        root = source / salt_source.BASE
        self.folder, self.texts = folder, salt_source.texts(source)
        files = {f"salt/{path}": content for path, content in salt_source.root_files(root).items()}
        for name, text in self.texts.items():
            for kind in ("salt", "pillar"):
                files[f"{kind}/{name}.sls"] = text.encode("utf-8", "surrogatepass")
        files["salt/top.sls"] = (TOP % ("states", "states")).encode()
        files["pillar/top.sls"] = (TOP % ("pillar", "pillar")).encode()
        self.remote = Remote(folder / "repo.git")
        self.remote.commit("master", files)
        names = [*dict.fromkeys((*salt_source.sls_files(root), *self.texts))]
        self.minions = [_minion(f"s{n}", states=name) for n, name in enumerate(names)]
        self.minions += [_minion(f"p{n}", pillar=name) for n, name in enumerate(self.texts)]
        self.options = self._laid_out()

    def ours(self, minions: Sequence[Minion]) -> dict[str, Compiled]:
        git, frame = Git(str(self.remote.path)), Frame("salt", "pillar", GROUPS)
        tree = frame.tree(git, self.remote.git("rev-parse", "master"))
        return compile_fleet(frame, tree, minions, jobs=2, cache=CompileCache(None), plain=True)

    def salts(self, minions: Sequence[Minion]) -> dict[str, Any]:
        return plainly.compiled(self.folder, self.options, [_plain(m) for m in minions])

    def _laid_out(self) -> dict[str, Any]:
        """The options with which Salt finds the files where they are checked out."""
        tree, tops = self.folder / "tree", self.folder / "tops"
        tree.mkdir()
        argv = (f"--work-tree={tree}", "checkout", "--quiet", "master", "--", ".")
        self.remote.git(*argv)
        for kind in ("salt", "pillar"):
            (tops / kind).mkdir(parents=True)
            (tops / kind / "top.sls").write_text(top_file.render_top("test", GROUPS))
            (tops / kind / top_file.BRANCH_TOP).symlink_to(tree / kind / "top.sls")
        return {
            "file_client": "local",
            "saltenv": "test",
            "pillarenv": "test",
            "enable_fqdns_grains": False,
            "module_dirs": [str(tree / "salt")],
            "file_roots": {"test": [str(tops / "salt"), str(tree / "salt")]},
            "pillar_roots": {"test": [str(tops / "pillar"), str(tree / "pillar")]},
        }


def _minion(minion_id: str, states: str = "", pillar: str = "") -> Minion:
    grains = {**SAMPLE_GRAINS, "id": minion_id, "states": states, "pillar": pillar}
    return Minion(minion_id, "test", grains, pillar={} if pillar else PILLAR)


def _plain(minion: Minion) -> Mapping[str, Any]:
    own = {"id": minion.id, "grains": dict(minion.grains), "states": bool(minion.pillar)}
    return {**own, "pillar": dict(minion.pillar)} if minion.pillar else own


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    return Cases(tmp_path_factory.mktemp("source"), Path(SOURCE))


# By shares, so that a run that is ended has said something.
@pytest.mark.slow
@pytest.mark.xdist_group("salt_source")
@pytest.mark.skipif(not SOURCE, reason="SALTBRANCH_SALT_SOURCE names no source of Salt")
@pytest.mark.parametrize("first", range(0, MOST, SHARE))
def test_sls_of_salts_own_tests_come_out_as_salt_has_them(cases: Cases, first: int) -> None:
    assert 1000 < len(cases.minions) <= MOST
    some = cases.minions[first : first + SHARE]
    if not some:
        pytest.skip("there are no more of them")
    ours, salts = cases.ours(some), cases.salts(some)
    assert len(ours) == len(salts) == len(some)
    differences = {
        name: (found, plainly.explained(ours[name]))
        for name in ours
        if (found := plainly.unequal(ours[name], salts[name]))
    }
    open_ = {name: found for name, (found, why) in differences.items() if why is None}
    counts = f"{len(ours)} compiles, {len(differences)} unequal, {len(open_)} unexplained"
    sys.stdout.write(f"from {first} on: {counts}\n")
    assert not open_
