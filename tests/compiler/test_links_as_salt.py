"""Links in the repository show the same names and contents to compiling and to `check` as to Salt's own file server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from saltbranch.compiler.model import Minion
from saltbranch.compiler.pool import Frame
from saltbranch.config.roots import plain
from saltbranch.git import links
from saltbranch.repository.servable import link_problem
from tests.support.compiling import GROUPS, Lab, minion
from tests.support.remote import Content, Link

ALL = """\
{% for name in salt['cp.list_master']() | sort if name != 'branch_top.jinja' %}
{{ name }}:
  test.nop:
    - name: h{{ salt['cp.hash_file']('salt://' ~ name) | string | sha256 }}
{% endfor %}
dirs:
  test.nop:
    - name: {{ salt['cp.list_master_dirs']() | sort | join(' ') }}
states:
  test.nop:
    - name: {{ salt['cp.list_states']() | sort | join(' ') }}
"""
FORMULA = "formulas/f-formula/f"
FILES: dict[str, Content] = {
    "salt/top.sls": "base:\n  '*': [all, formula, one]\n",
    "salt/all.sls": ALL,
    "salt/plain/x.txt": "x\n",
    "pillar/top.sls": "base:\n  '*': [own, shared.a, linked, from_states]\n",
    "pillar/own.sls": "own: 1\n",
    "pillar/inner/b.sls": "b: 1\n",
    f"{FORMULA}/init.sls": "include: [.inner.s]\nf:\n  test.nop: []\n",
    f"{FORMULA}/files/a.txt": "a\n",
    "formulas/shared/s.sls": "s:\n  test.nop: []\n",
    "formulas/one.sls": "one:\n  test.nop: []\n",
    "formulas/pillar/a.sls": "a: {{ 1 + 1 }}\n",
    "formulas/deep/er/x.txt": "deep\n",
}
LINKS: dict[str, str] = {
    "salt/formula": "../formulas/f-formula/f",  # a folder outside
    "salt/one.sls": "../formulas/one.sls",  # a file outside
    "salt/chain": "chain2",  # a link to a link
    "salt/chain2": "formula",
    "salt/again/up": "../../formulas/f-formula/f/files",  # from a folder below, to one below
    "salt/x": "plain",  # a folder inside
    "salt/plain/y.txt": "x.txt",  # a file inside
    "salt/broken": "nowhere",
    "salt/broken_out": "../formulas/none",
    f"{FORMULA}/inner": "../../shared",  # out of the linked folder
    f"{FORMULA}/sib.sls": "init.sls",  # in it
    f"{FORMULA}/lost": "../none",
    "salt/whole": "../formulas",  # links again in what it shows
    "formulas/deep/back": "er",
    "salt/through": "formula/inner",  # over a link
    "pillar/shared": "../formulas/pillar",
    "pillar/linked.sls": "own.sls",
    "pillar/folder": "inner",
    "pillar/from_states.sls": "../salt/defaults.sls",
}


def renamed(files: Mapping[str, Content], states: str, pillar: str) -> dict[str, Content]:
    """The same with other folders, which are not side by side."""
    found: dict[str, Content] = {}
    depth = os.path.relpath
    for path, content in files.items():
        end = (
            os.path.normpath(f"{os.path.dirname(path)}/{content.target}")
            if isinstance(content, Link)
            else ""
        )
        names = [
            p.replace("salt", states, 1) if p.startswith("salt/")
            else p.replace("pillar", pillar, 1) if p.startswith("pillar/") else p
            for p in (path, end)
        ]  # fmt: skip
        inside = isinstance(content, Link)
        found[names[0]] = Link(depth(names[1], os.path.dirname(names[0]))) if inside else content
    return found


@pytest.fixture
def files() -> dict[str, Content]:
    made = {**FILES, "salt/defaults.sls": "d:\n  test.nop: []\n"}
    made["pillar/top.sls"] = FILES["pillar/top.sls"]
    return {**made, **{path: Link(target) for path, target in LINKS.items()}}


def low(lab: Lab, who: Minion) -> dict[str, object]:
    made = lab.one(who)
    assert made.error is None, made.error
    return {c["__id__"]: c["name"] for c in made.low or ()}


def test_compiling_sees_what_the_file_server_serves(
    tmp_path: Path, files: dict[str, Content]
) -> None:
    lab = Lab(tmp_path, files)
    who = minion("m1")
    salts = lab.salts_own([who])["m1"]
    made = lab.one(who)
    assert made.error is None, made.error
    expected = {c["__id__"]: c["name"] for c in salts["low"]}
    assert {c["__id__"]: c["name"] for c in made.low or ()} == expected
    assert made.plain_pillar == salts["pillar"] and salts["pillar"]["a"] == 2
    assert "whole/f-formula/f/inner/s.sls" in expected and "through/s.sls" in expected


def test_folders_of_other_names_are_the_same(tmp_path: Path, files: dict[str, Content]) -> None:
    one, two = Lab(tmp_path / "one", files), Lab(tmp_path / "two", renamed(files, "srv/st", "data"))
    two.frame = Frame("srv/st", "data", GROUPS)
    who = minion("m1")
    assert low(one, who) == low(two, who)
    assert one.one(who).plain_pillar == two.one(who).plain_pillar


def test_the_rules_of_check_know_the_same_names(tmp_path: Path, files: dict[str, Content]) -> None:
    lab = Lab(tmp_path, files)
    salts = lab.salts_own([minion("m1")])["m1"]
    skipped = ("dirs", "states", "f", "s", "one", "top.sls")
    served = {c["__id__"] for c in salts["low"]} - {*skipped}
    plain = [path for path, content in files.items() if not isinstance(content, Link)]
    shown = {*plain, *links.names(plain, LINKS, ("salt", "pillar"))}
    ours = {path[len("salt/") :] for path in shown if path.startswith("salt/")} - {*skipped}
    # Salt lists links that lead nowhere, and serves none of them.
    assert served - ours == {"broken", "broken_out", "formula/lost", "chain/lost", "chain2/lost",
                             "whole/f-formula/f/lost"}  # fmt: skip
    assert ours <= served


@pytest.mark.parametrize("path", LINKS)
def test_a_sync_serves_each_of_them(path: str) -> None:
    assert link_problem(path, LINKS[path], plain("salt", "pillar")) is None
