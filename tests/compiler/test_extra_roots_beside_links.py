"""A folder of `extra_roots` beside links of the branch: compiling sees what Salt's own file server finds in both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from saltbranch.compiler import extra_roots
from saltbranch.compiler.model import Minion
from saltbranch.config.roots import KINDS, Roots, plain
from saltbranch.config.roots_keys import parse
from saltbranch.git.program import Git
from saltbranch.repository import pinned
from saltbranch.repository.commit_source import CommitSource
from saltbranch.repository.formulas import Formulas
from tests.compiler.test_links_as_salt import ALL
from tests.support.compiling import Lab, minion
from tests.support.remote import Content, Link

FILES: dict[str, Content] = {
    "salt/top.sls": "base:\n  '*': [all, nginx.extra]\n",
    "salt/all.sls": ALL,
    "formulas/nginx/init.sls": "nginx: {test.nop: []}\n",
    "formulas/nginx/dead": Link("../none"),
    "formulas/nginx/more": Link("../shared"),
    "formulas/shared/s.txt": "s\n",
    "salt/nginx": Link("../formulas/nginx"),  # out of the states
    "salt/also": Link("../formulas/nginx"),
    "salt/redis": Link("plain"),  # a folder beside it
    "salt/plain/x.txt": "x\n",
    "salt/copy": Link("vendor"),
    "salt/vendor/own.txt": "own\n",
    "salt/file.txt": Link("plain/x.txt"),
    "salt/lost.txt": Link("nowhere"),
    "salt/lost": Link("../nowhere"),
    "pillar/top.sls": "{}\n",
}
EXTRA = {
    "nginx/extra.sls": "include: [nginx]\nextra: {test.nop: []}\n",
    "nginx/init.sls": "never: {test.nop: []}\n",
    "nginx/more/t.txt": "t\n",
    "nginx/more/s.txt": "never\n",
    "nginx/dead/x.txt": "x\n",
    "redis/y.txt": "y\n",
    "vendor/new.txt": "new\n",
    "file.txt": "never\n",
    "lost.txt": "of the package\n",
    "lost/z.txt": "z\n",
}

WORD = plain("salt", "pillar")
LIST = parse(["salt", "more"], ["pillar"], "x")


class WithExtra(Lab):
    """Salt itself has the folder as its last root."""

    def config_folder(self, who: Minion, commit: str = "master") -> Path:
        """As that of `Lab`, with it."""
        folder = super().config_folder(who, commit)
        options = yaml.safe_load((folder / "minion").read_text())
        options["file_roots"][who.saltenv].append(str(self.folder / "package"))
        (folder / "minion").write_text(yaml.safe_dump(options))
        return folder

    def with_package(self, files: dict[str, str], roots: Roots) -> WithExtra:
        """Compile with these files, too."""
        for name, text in files.items():
            path = self.folder / "package" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        extra_roots.read.cache_clear()
        states, pillar = (roots.prefix(kind) for kind in KINDS)
        source = CommitSource(Git(str(self.remote.path)))
        self.frame = replace(
            self.frame,
            states_dir=states,
            pillar_dir=pillar,
            roots=roots,
            formulas=Formulas(source, pinned.of_root(str(self.folder)), (), 10),
            extra=extra_roots.read((str(self.folder / "package"),)),
        )
        return self


@pytest.mark.parametrize("roots", [WORD, LIST], ids=["a word", "a list"])
def test_compiling_finds_what_salt_finds(tmp_path: Path, roots: Roots) -> None:
    lab = WithExtra(tmp_path, FILES).with_package(EXTRA, roots)
    who = minion("m1")
    salts = lab.salts_own([who])["m1"]
    made = lab.one(who)
    assert made.error is None, made.error
    # Salt lists links that lead nowhere, too, and serves none of them.
    dead = ("lost", "nginx/dead", "also/dead")
    expected = {c["__id__"]: c["name"] for c in salts["low"] if c["__id__"] not in dead}
    found = {c["__id__"]: c["name"] for c in made.low or ()}
    assert {name: value for name, value in found.items() if name not in dead} == expected
    assert {"extra", "nginx/extra.sls", "nginx/more/t.txt", "redis/y.txt", "lost/z.txt"} <= {
        *expected
    }
    assert not {"also/extra.sls", "plain/y.txt", "copy/new.txt", "never"} & {*expected}
    assert lab.tree().left_out == ()


@pytest.mark.parametrize("roots", [WORD, LIST], ids=["a word", "a list"])
def test_what_has_no_place_is_named(tmp_path: Path, roots: Roots) -> None:
    files = {**FILES, "salt/is/file": "f\n", "salt/around": Link(".")}
    extra = {"is/file/x.txt": "x\n", "nginx/more": "n\n", "plain/fine.txt": "n\n"}
    lab = WithExtra(tmp_path, files).with_package(extra, roots)
    tree = lab.tree()
    (said,) = tree.left_out
    assert "is/file/x.txt" in said and "nginx/more" in said and "fine" not in said
    assert {*tree.outside} == {f"{roots.prefix('states')}/plain/fine.txt"}
