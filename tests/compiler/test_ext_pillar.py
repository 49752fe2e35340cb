"""External pillars: compiled by name, by Salt's own code, in the sandbox; the others do not run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import salt.cache
import salt.config

from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.pool import Frame
from tests.support.compiling import GROUPS, Lab, Pair, minion
from tests.support.remote import Content

TOP = "base:\n  '*':\n    - all\n"
FILES: dict[str, Content] = {
    "salt/top.sls": TOP,
    "salt/all.sls": "uses:\n  test.nop:\n    - value: {{ pillar.both | json }}\n",
    "pillar/top.sls": TOP,
    "pillar/all.sls": "own: {{ pillar.get('nodegroups', []) | json }}\nboth: file\n",
}
NODEGROUPS = {
    "all": "*",
    "named": "L@m1,m7",
    "nested": "N@web and N@named",
    "nobody": "G@roles:db",
    "web": "G@roles:web and m*",
}


def lab(
    tmp_path: Path, external: list[Any], files: dict[str, Content] | None = None, **master: Any
) -> Lab:
    made = Lab(tmp_path, {**FILES, **(files or {})})
    options = {"nodegroups": NODEGROUPS, "ext_pillar": external, **master}
    made.frame = Frame("salt", "pillar", GROUPS, master=options)
    made.options = options
    return made


def known_to_the_master(made: Lab, who: Any) -> None:
    """Salt itself asks which minions there are: their keys, and their grains in the cache."""
    made.options |= {"minion_data_cache": True}
    opts = salt.config.minion_config(str(made.config_folder(who) / "minion"))
    keys = salt.cache.Cache(opts, driver=opts["keys.cache_driver"])
    keys.store("keys", who.id, {"state": "accepted", "pub": "key"})
    salt.cache.factory(opts).store("grains", who.id, dict(who.grains))


@pytest.mark.parametrize("first", [False, True])
def test_nodegroups_are_what_salt_makes_of_them(tmp_path: Path, first: bool) -> None:
    made = lab(tmp_path, [{"nodegroups": {"pillar_name": "nodegroups"}}], ext_pillar_first=first)
    who = minion("m1", ["web"])
    known_to_the_master(made, who)
    ours = made.one(who)
    salts = made.salts_own([who])["m1"]
    Pair(ours, salts).assert_equal()
    groups = ["all", "named", "nested", "web"]
    assert ours.plain_pillar["nodegroups"] == groups
    assert ours.plain_pillar["own"] == (groups if first else [])


def test_file_tree_and_stack_read_the_compiled_tree(tmp_path: Path) -> None:
    files: dict[str, Content] = {
        "pillar/files/hosts/m1/motd": "hello\n",
        "pillar/stack.cfg": "core.yml\n",
        "pillar/core.yml": "stacked: {{ minion_id }}\nboth: stack\n",
    }
    external = [
        {"file_tree": {"root_dir": "/srv/pillar/files"}},
        {"stack": "/srv/pillar/stack.cfg"},
    ]
    made = lab(tmp_path, external, files)
    cache = CompileCache(str(tmp_path / "cache"))
    result = made.one(minion("m1"), cache=cache)
    assert result.error is None, result.error
    assert result.plain_pillar["motd"] == {"\0bytes": "aGVsbG8="}
    assert (result.plain_pillar["stacked"], result.plain_pillar["both"]) == ("m1", "stack")
    one = made.one(minion("m1"), cache=cache, plain=False)
    assert made.one(minion("m1"), cache=cache, plain=False).cached
    made.commit({"pillar/core.yml": "stacked: other\n"})
    other = made.one(minion("m1"), cache=cache, plain=False)
    assert not other.cached and other.pillar["stacked"] != one.pillar["stacked"]


def test_a_stand_in_is_merged_after(tmp_path: Path) -> None:
    made = lab(tmp_path, [{"nodegroups": {"pillar_name": "both"}}])
    result = made.one(minion("m1", pillar={"both": "stands in"}))
    assert result.plain_pillar["both"] == "stands in"


def test_a_program_runs_in_the_sandbox_only_and_its_result_is_not_kept(tmp_path: Path) -> None:
    outside = Path("/var/tmp") / f"external-{tmp_path.name}"
    command = f"touch {outside}; echo 'ran: '$(id -u); echo 'disk: '$(ls -d /etc/passwd /var/tmp 2>/dev/null | wc -l)"
    made = lab(tmp_path, [{"cmd_yaml": command}])
    cache = CompileCache(str(tmp_path / "cache"))
    result = made.one(minion("m1"), cache=cache)
    assert result.error is None, result.error
    assert result.plain_pillar["ran"] >= 61184 and result.plain_pillar["disk"] == 0
    assert not outside.exists()
    assert not any("start a program" in note for note in result.notes)
    for _ in range(2):
        assert not made.one(minion("m1"), cache=cache, plain=False).cached


FAILING: list[tuple[Any, str]] = [
    ({"nosuch": 1}, "Failed to load ext_pillar nosuch: there is none of this name in the sandbox"),
    (
        {"nodegroups": {"wrong": 1}},
        "Failed to load ext_pillar nodegroups: ext_pillar() got an unexpected",
    ),
    ({"cmd_yaml": "echo 'marker-4711: ['"}, "Failed to load ext_pillar cmd_yaml: YAML data from"),
]


@pytest.mark.parametrize(("entry", "reason"), FAILING)
def test_one_that_fails_makes_the_minion_partial_and_says_why(
    tmp_path: Path, entry: Any, reason: str
) -> None:
    result = lab(tmp_path, [entry]).one(minion("m1"))
    assert result.result == "partial"
    assert reason in str(result.error)
    assert "marker-4711" not in json.dumps(result.errors)
    assert result.plain_pillar["both"] == "file"


def test_code_of_the_branch_is_no_external_pillar_unless_it_is_named(tmp_path: Path) -> None:
    code = "def ext_pillar(minion_id, pillar, *args):\n    return {'branch': minion_id}\n"
    files: dict[str, Content] = {"salt/_pillar/theirs.py": code}
    assert "branch" not in lab(tmp_path, [{"nodegroups": {}}], files).one(minion("m1")).plain_pillar
    named = lab(tmp_path / "named", [{"theirs": 1}], files).one(minion("m1"))
    assert named.plain_pillar["branch"] == "m1"
