"""Random edits of templates, what they import, pillar and modules: a file shows in the diff where Salt makes other
bytes of it, and nowhere else.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml

from saltbranch.compiler.cache import CompileCache
from saltbranch.preview.fleet_diff import compare_trees
from tests.compiler.test_rendered import BASE, LINES, PILLAR, managed
from tests.support import budget
from tests.support.compiling import Lab
from tests.support.remote import Content
from tests.support.rendering import out_minion, salts_files

EDITS: tuple[dict[str, Content], ...] = (
    {
        "salt/conf/lib.jinja": "{# c #}{% macro m(x) %}<{{ x }}>{% endmacro %}\n{% set y = grains.os %}\n"
    },
    {"salt/conf/lib.jinja": "{% macro m(x) %}[{{ x }}]{% endmacro %}\n{% set y = grains.os %}\n"},
    {"salt/conf/own/more.jinja": "{% set q = 6 %}\n"},
    {"salt/conf/data.yaml": "k: [1, 3]\n"},
    {"salt/conf/data.txt": "other text\n"},
    {"salt/conf/part": "part of {{ who | default('nobody') }}\n"},
    {"salt/_modules/own.py": "def twice(x):\n    return x * 3\n"},
    {"pillar/files.sls": yaml.safe_dump({**PILLAR, "word": "another"})},
    {"pillar/files.sls": yaml.safe_dump({**PILLAR, "list": ["a"]})},
    {"salt/conf/unread": "x\n"},
)
# What depends on how a run went before: pillar that a template changes for the next ones.
TEMPLATES = tuple(line for line in LINES if not line.startswith("{% do pillar"))


@pytest.mark.parametrize("seed", budget.cases(range(3), lambda seed: seed == 0))
def test_a_file_shows_where_its_bytes_differ(tmp_path: Path, seed: int) -> None:
    choice = random.Random(100 + seed)
    files, states = dict(BASE), []
    for number in range(40):
        state, more = managed(number, choice, TEMPLATES)
        states.append(state)
        files.update(more)
    files["salt/files.sls"] = "".join(states)
    lab = Lab(tmp_path, files)
    who, cache = out_minion(lab), CompileCache(str(tmp_path / "cache"))
    first = lab.remote.head("master")
    was = salts_files(lab, [who])["m1"]["files"]
    for edit in choice.sample(EDITS, 3):
        one = choice.randrange(40)
        name = f"salt/t/f{one}"
        lines = str(files[name]).split("\n")
        lines[0] = choice.choice((choice.choice(TEMPLATES), lines[0], "{# only this #}" + lines[0]))
        commit = lab.commit(
            {**BASE, **{n: files[n] for n in files}, **edit, name: "\n".join(lines)}
        )
        for old in Path(str(who.grains["out"])).iterdir():
            old.unlink()
        now = salts_files(lab, [who])["m1"]["files"]
        result = compare_trees(
            lab.frame, (lab.tree(first), lab.tree(commit)), ({"name": "a"}, {"name": "b"}), [who],
            jobs=1, cache=cache,
        )  # fmt: skip
        assert result.minions[0].error is None
        found = result.minions[0].difference
        assert found is not None
        shown = {k.partition(" | ")[0] for f in (*found.files, *found.contents) for k in f.keys}
        differ = {n for n in {*was, *now} if was.get(n) != now.get(n)}
        assert shown >= differ, (edit, {n: files[f"salt/t/{n}"] for n in differ - shown})
        # A file that Salt has an error for on both sides is compared by its sources.
        assert {n for n in shown - differ if n in was and n in now} == set(), (edit, lines)
