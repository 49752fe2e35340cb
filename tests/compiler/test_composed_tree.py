"""Several roots: compiling sees the files that Salt's own file server finds in these folders, in the same order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from saltbranch.base.errors import RefusedError
from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.composed_tree import ComposedTree
from saltbranch.compiler.model import Minion
from saltbranch.compiler.stand_ins import Offer
from saltbranch.config.roots import KINDS, Roots
from saltbranch.config.roots_keys import parse
from saltbranch.preview.fleet_diff import compare_trees
from saltbranch.salt_master import top_file
from tests.compiler.test_links_as_salt import ALL
from tests.support.compiling import Lab, Pair, minion
from tests.support.remote import Content, Link

FILES: dict[str, Content] = {
    "salt/top.sls": "base:\n  '*': [all, web, nginx, redis, over]\n",
    "salt/all.sls": ALL,
    "salt/web/init.sls": "include: [.more]\nweb:\n  test.nop:\n    - name: {{ pillar['who'] }}\n",
    "salt/web/conf": "of salt\n",
    "more/web/more.sls": "more:\n  file.managed:\n    - name: /etc/more\n    - source: salt://web/conf\n",
    "more/web/conf": "hidden\n",
    "more/top.sls": "base:\n  '*': [nothing]\n",
    "more/over/init.sls": "over: {test.nop: []}\n",
    "more/linked": Link("../elsewhere"),
    "elsewhere/a.txt": "a\n",
    "formulas/nginx-formula/nginx/init.sls": "{% from 'nginx/map.jinja' import x %}\nn{{ x }}: {test.nop: []}\n",
    "formulas/nginx-formula/nginx/map.jinja": "{% set x = 1 %}\n",
    "formulas/redis-formula/redis/init.sls": "redis: {test.nop: []}\n",
    "formulas/redis-formula/redis/README": "kept inside of a folder\n",
    "pillar/top.sls": "base:\n  '*': [one, two]\n",
    "pillar/one.sls": "who: one\n",
    "shared/two.sls": "two: {{ 1 + 1 }}\n",
    "shared/one.sls": "who: nobody\n",
    "fleet/w.yaml": "{}\n",
}
ROOTS = parse(["salt", "more", "formulas/*"], ["pillar", "shared"], "x", fleet="fleet")
AS_SALT = {
    "file_roots": ["salt", "more", "formulas/nginx-formula", "formulas/redis-formula"],
    "pillar_roots": ["pillar", "shared"],
}


class SeveralLab(Lab):
    """Salt itself has all folders, one by one."""

    def use(self, roots: Roots) -> None:
        """Compile with `roots`."""
        states, pillar = (roots.prefix(kind) for kind in KINDS)
        self.frame = replace(self.frame, states_dir=states, pillar_dir=pillar, roots=roots)

    def config_folder(self, who: Minion, commit: str = "master") -> Path:
        """As that of `Lab`, with more roots."""
        folder = super().config_folder(who, commit)
        options = yaml.safe_load((folder / "minion").read_text())
        for option, below in AS_SALT.items():
            tops = options[option][who.saltenv][0]
            options[option] = {
                who.saltenv: [tops, *(str(self.folder / "checkout" / name) for name in below)]
            }
        (folder / "minion").write_text(yaml.safe_dump(options))
        return folder


@pytest.fixture
def lab(tmp_path: Path) -> SeveralLab:
    """The files above."""
    made = SeveralLab(tmp_path, FILES)
    made.use(ROOTS)
    return made


def test_compiles_as_salt_does_with_these_folders(lab: SeveralLab) -> None:
    who = minion("w1")
    pair = Pair(lab.one(who), lab.salts_own([who])[who.id])
    assert not pair.salt_failed, pair.salts
    pair.assert_equal()


def test_states_at_the_root_of_the_repository(tmp_path: Path) -> None:
    files = {name.removeprefix("salt/"): text for name, text in FILES.items()}
    lab = SeveralLab(tmp_path, files)
    lab.use(parse([{".": ["*"]}, "more", "formulas/*"], ["pillar", "shared"], "x", fleet="fleet"))
    found = lab.one(minion("w1"))
    assert found.error is None, found.error
    assert {*lab.tree().real.values()} == {*files} - {"fleet/w.yaml", "more/top.sls", "more/web/conf",
                                                      "more/linked", "shared/one.sls"}  # fmt: skip
    assert "(states)/more" not in lab.tree().directories


def test_a_difference_names_the_real_files(lab: SeveralLab) -> None:
    old = lab.tree()
    changed = {
        "more/over/init.sls": "over: {test.nop: [{name: x}]}\n",
        "formulas/redis-formula/redis/init.sls": "new: {test.nop: []}\n",
        "formulas/nginx-formula/_modules/mine.py": "def x(): return 1\n",
    }
    lab.commit(changed)
    trees = (old, lab.tree())
    found = compare_trees(
        lab.frame, trees, ({}, {}), [minion("w1")], jobs=1, cache=CompileCache(None)
    )
    difference = found.minions[0].difference
    assert difference is not None
    assert {s.path for s in difference.changed} == {"more/over/init.sls", "salt/all.sls"}
    assert {s.path for s in (*difference.added, *difference.removed)} > {
        "formulas/redis-formula/redis/init.sls"
    }
    assert [c.path for c in found.code] == ["formulas/nginx-formula/_modules/mine.py"]


def test_a_file_that_comes_to_light_is_another_content(lab: SeveralLab) -> None:
    old = lab.tree()
    lab.commit({"salt/web/conf": None})
    trees = (old, lab.tree())
    found = compare_trees(
        lab.frame, trees, ({}, {}), [minion("w1")], jobs=1, cache=CompileCache(None)
    )
    difference = found.minions[0].difference
    assert difference is not None
    assert "salt://web/conf" in [f.source for f in difference.files]


def test_files_are_written_as_git_writes_them_where_they_lie(
    lab: SeveralLab, tmp_path: Path
) -> None:
    lab.commit({"formulas/.gitattributes": "*.txt text eol=crlf\n", "formulas/f/f/a.txt": "a\nb\n"})
    made = tmp_path / "written"
    made.mkdir()
    tree = lab.tree()
    assert isinstance(tree, ComposedTree)
    tree.write(str(made))
    assert (made / "(states)/f/a.txt").read_bytes() == b"a\r\nb\r\n"
    assert (made / "(states)/web/conf").read_bytes() == b"of salt\n"
    before = tree.content("(states)/f/a.txt")
    lab.commit({"formulas/.gitattributes": None})
    assert lab.tree().content("(states)/f/a.txt") != before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("written")] == [
        "written"
    ]


def test_two_owners_of_one_name_are_told(lab: SeveralLab) -> None:
    lab.commit({"formulas/other/nginx/init.sls": "x\n"})
    with pytest.raises(RefusedError, match="formulas/nginx-formula/nginx/init.sls"):
        lab.tree()


def test_the_generated_top_file_finds_the_branchs(lab: SeveralLab) -> None:
    lab.commit({"salt/top.sls": None})
    found = lab.one(minion("w1"))
    assert "nothing" in (found.error or ""), found.error
    assert top_file.BRANCH_TOP


def test_what_stands_in_has_its_place_in_the_roots(lab: SeveralLab, tmp_path: Path) -> None:
    lab.commit(
        {
            "stand/formulas/nginx-formula/nginx/secret.sls": "secret: {test.nop: []}\n",
            "stand/fleet/x.yaml": "{}\n",
            "stand/shared/three.sls": "three: 3\n",
        }
    )
    lab.frame = replace(lab.frame, offer=Offer("stand", None))
    tree = lab.tree()
    made = tmp_path / "written"
    made.mkdir()
    tree.write(str(made))
    assert (made / "(states)/nginx/secret.sls").read_text() == "secret: {test.nop: []}\n"
    assert (made / "(pillar)/three.sls").read_text() == "three: 3\n"
    assert {*tree.stand_ins} == {"formulas/nginx-formula/nginx/secret.sls", "shared/three.sls"}
