"""What diff says of the files of states: whatever changes one shows, and nothing else does."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from saltbranch.cli.show import diff
from saltbranch.preview.fleet_diff import FleetDiff
from tests.actions.test_diff import FILES, Clone
from tests.support import own_cache
from tests.support.remote import Content

PILLAR = {"secret": "Tr0ub4dor-hunter", "pin": "7", "name": "conf9", "flag": True, "key": "a"}
BASE: dict[str, Content] = {
    **FILES,
    "salt/top.sls": "base: {'*': [c]}\n",
    "pillar/top.sls": "base: {'*': [c]}\n",
    "pillar/c.sls": yaml.safe_dump(PILLAR),
    "salt/conf/t": "plain\n",
    "salt/conf/lib.jinja": "{% set x = 1 %}\n",
    "salt/conf/data.yaml": "k: 1\n",
    "salt/conf/data.txt": "text\n",
    "salt/conf/main.j2": "fixed\n",
    "salt/_modules/own.py": "def f():\n    return 1\n",
}


def state(function: str = "file.managed", **arguments: Any) -> str:
    return yaml.safe_dump({"/etc/x": {function: [{k: v} for k, v in arguments.items()]}})


def jinja(**more: Any) -> str:
    return state(source="salt://conf/main.j2", template="jinja", **more)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    own_cache.use(monkeypatch, tmp_path / "cache")
    made = Clone(tmp_path)
    for name in ("prod-db1", "prod-web2", "test-web1"):
        (made.folder / "fleet" / f"{name}.yaml").unlink()
    monkeypatch.chdir(made.folder)
    monkeypatch.setenv("SALTBRANCH_CONFIG", made.path)
    return made


def compared(clone: Clone, before: dict[str, Content], after: dict[str, Content]) -> FleetDiff:
    clone.commit({**BASE, **before}, "master")
    clone.remote.set_branch("develop", clone.remote.head("master"))
    clone.commit(after)
    return clone.diff()


def sources(result: FleetDiff) -> set[str]:
    """What is said to differ, of either layer."""
    return {
        f.source.removeprefix("salt://")
        for group in result.groups
        for f in (*group.difference.files, *group.difference.contents)
    }


def shown(result: FleetDiff) -> list[str]:
    """The lines of all contents."""
    return [line for g in result.groups for c in g.difference.contents for line in c.lines]


LIB2 = {"salt/conf/lib.jinja": "{% set x = 2 %}\n"}
LIST = ["salt://conf/{{ grains.id }}", "salt://conf/t", "salt://conf/data.txt"]
# States, files before, files after, what differs, whether the new content shows.
HIDDEN: dict[str, tuple[str, dict[str, Content], dict[str, Content], str]] = {
    "three slashes": (state(source="salt:///conf/t"), {}, {"salt/conf/t": "new\n"}, "+new"),
    "with a saltenv": (state(source="salt://conf/t?saltenv=prod"), {}, {"salt/conf/t": "new\n"}, "+new"),
    "the first that is there": (state(source=LIST), {}, {"salt/conf/t": "new\n"}, "+new"),
    "one that is there now": (state(source=LIST), {}, {"salt/conf/prod-web1": "new\n"}, ""),
    "one named after pillar": (
        state(source=["salt://conf/{{ pillar.name }}", "salt://conf/t"]), {}, {"salt/conf/conf9": "new\n"}, "",
    ),
    "recurse": (state("file.recurse", source="salt://conf"), {}, {"salt/conf/t": "new\n"}, "+new"),
    "recurse, and templates that import": (
        state("file.recurse", source="salt://dir", template="jinja"),
        {"salt/dir/a/b": "{% from 'conf/lib.jinja' import x %}{{ x }}\n"}, LIB2, "",
    ),
    "a variable": (
        jinja(), {"salt/conf/main.j2": "{% set v = 'lib' %}{% from 'conf/' ~ v ~ '.jinja' import x %}x{{ x }}\n"},
        LIB2, "",
    ),
    "tpldir": (
        jinja(),
        {"salt/conf/main.j2": "{% from 'conf/sub/map.jinja' import x with context %}x{{ x }}\n",
         "salt/conf/sub/map.jinja": "{% from tpldir ~ '/more.jinja' import x %}\n",
         "salt/conf/sub/more.jinja": "{% set x = 1 %}\n"},
        {"salt/conf/sub/more.jinja": "{% set x = 2 %}\n"}, "",
    ),
    "get_file_str": (
        jinja(), {"salt/conf/main.j2": "{{ salt['cp.get_file_str']('salt://conf/data.txt') }}\n"},
        {"salt/conf/data.txt": "other\n"}, "+other",
    ),
    "get_file_str by attribute": (
        jinja(), {"salt/conf/main.j2": "{% set f = salt.cp.get_file_str %}{{ f('salt://conf/data.txt') }}\n"},
        {"salt/conf/data.txt": "other\n"}, "+other",
    ),
    "import_text": (
        jinja(), {"salt/conf/main.j2": "{% import_text 'conf/data.txt' as t %}{{ t }}\n"},
        {"salt/conf/data.txt": "other\n"}, "+other",
    ),
    "import_yaml": (
        jinja(), {"salt/conf/main.j2": "{% import_yaml 'conf/data.yaml' as t %}key {{ t.k }}\n"},
        {"salt/conf/data.yaml": "k: 2\n"}, "+key 2",
    ),
    "include": (
        jinja(), {"salt/conf/main.j2": "{% include 'conf/data.txt' %}\n"}, {"salt/conf/data.txt": "other\n"}, "+other",
    ),
    "a custom module": (
        jinja(), {"salt/conf/main.j2": "value {{ salt['own.f']() }}\n"},
        {"salt/_modules/own.py": "def f():\n    return 2\n"}, "+value 2",
    ),
    "pillar in the file alone": (
        jinja(), {"salt/conf/main.j2": "x {{ pillar.key }} y\n"},
        {"pillar/c.sls": yaml.safe_dump({**PILLAR, "key": "b"})}, "+***",
    ),
    "contents_pillar": (
        state(contents_pillar="key"), {}, {"pillar/c.sls": yaml.safe_dump({**PILLAR, "key": "b"})}, "+***",
    ),
    "append": (
        state("file.append", source="salt://conf/main.j2"),
        {"salt/conf/main.j2": "{% from 'conf/lib.jinja' import x %}x{{ x }}\n"}, LIB2, "",
    ),
    "blockreplace": (
        state("file.blockreplace", sources=["salt://conf/main.j2"]),
        {"salt/conf/main.j2": "{% from 'conf/lib.jinja' import x %}x{{ x }}\n"}, LIB2, "",
    ),
    "script": (
        state("cmd.script", source="salt://conf/main.j2", template="jinja"),
        {"salt/conf/main.j2": "{% from 'conf/lib.jinja' import x %}x{{ x }}\n"}, LIB2, "",
    ),
    "others": (state("pkgrepo.managed", key_url="salt://conf/t"), {}, {"salt/conf/t": "new\n"}, "+new"),
    "contents that import": (
        state(contents="{% raw %}{% from 'conf/lib.jinja' import x %}x{{ x }}{% endraw %}", template="jinja"),
        {}, LIB2, "",
    ),
    "another renderer": (
        state(source="salt://conf/main.py", template="py"),
        {"salt/conf/main.py": "def run():\n    return open('/srv/salt/conf/data.txt').read()\n"},
        {"salt/conf/data.txt": "other\n"}, "+other",
    ),
    "does not render any more": (
        jinja(), {"salt/conf/main.j2": "{% from 'conf/lib.jinja' import x %}{{ x + 1 }}\n"},
        {"salt/conf/lib.jinja": "{% set y = 2 %}\n"}, "",
    ),
    "does not render with this pillar": (
        jinja(), {"salt/conf/main.j2": "{{ pillar.pin }}\n"},
        {"pillar/c.sls": yaml.safe_dump({**PILLAR, "pin": None}), "salt/conf/x": "y\n",
         "salt/conf/main.j2": "{{ pillar.nosuch }}\n"}, "",
    ),
    "pillar, and it does not render": (
        jinja(), {"salt/conf/main.j2": "{{ salt['network.interfaces']().eth9.inet[0] }} {{ pillar.key }}\n"},
        {"pillar/c.sls": yaml.safe_dump({**PILLAR, "key": "b"})}, "",
    ),
    "a template since now, and another content": (
        state(source="salt://conf/t"), {}, {"salt/c.sls": state(source="salt://conf/t", template="jinja"),
                                            "salt/conf/t": "plain {{ 1 + 1 }}\n"}, "+plain 2",
    ),
    "a template no more": (
        state(source="salt://conf/t", template="jinja"), {"salt/conf/t": "{% set x = 1 %}plain\n"},
        {"salt/c.sls": state(source="salt://conf/t")}, "+{% set x = 1 %}plain",
    ),
    "time": (
        jinja(), {"salt/conf/main.j2": "{{ None | strftime('%s') }}{% from 'conf/lib.jinja' import x %}\n"}, LIB2, "",
    ),
    "the host": (
        jinja(),
        {"salt/conf/main.j2": "{% if salt['cmd.run']('x') %}{% from 'conf/lib.jinja' import x %}{% endif %}\n"},
        LIB2, "",
    ),
    "an unknown state": (
        state("netconfig.managed", template_name="salt://conf/main.j2", template="jinja"),
        {"salt/conf/main.j2": "{% from 'conf/lib.jinja' import x %}{{ x }}\n"}, LIB2, "",
    ),
    "what cannot be rendered and reaches anything": (
        jinja(), {"salt/conf/main.j2": "{{ nosuch }}{% from 'conf/' ~ nosuch import x %}\n"},
        {"salt/conf/data.txt": "other\n"}, "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HIDDEN)
def test_what_changes_a_file_shows(clone: Clone, kind: str) -> None:
    states, before, after, line = HIDDEN[kind]
    result = compared(clone, {"salt/c.sls": states, **before}, after)
    assert result.exit_code == 3, result.as_dict()
    assert sources(result), result.as_dict()
    if line:
        assert line in shown(result), shown(result)
    again = clone.diff()
    assert again.digest == result.digest
    # What pillar named is not kept, for whoever has the cache would have the name.
    assert again.cached == (1 if kind == "one named after pillar" else 2)


SAME: dict[str, tuple[str, dict[str, Content], dict[str, Content]]] = {
    "a comment in a macro file": (
        jinja(), {"salt/conf/main.j2": "{% from 'conf/lib.jinja' import x %}{{ x }}\n"},
        {"salt/conf/lib.jinja": "{# new #}{% set x = 1 %}\n"},
    ),
    "a branch for other minions": (
        jinja(), {"salt/conf/main.j2": "{% if grains.os == 'Suse' %}a{% endif %}x\n"},
        {"salt/conf/main.j2": "{% if grains.os == 'Suse' %}b{% endif %}x\n"},
    ),
    "one behind the first that is there": (state(source=LIST), {}, {"salt/conf/data.txt": "new\n"}),
    "another saltenv's": (state(source="salt://conf/t?saltenv=other"), {}, {"salt/conf/t": "new\n"}),
    "one that is excluded": (
        state("file.recurse", source="salt://dir", exclude_pat="*.skip"),
        {"salt/dir/a": "x\n", "salt/dir/b.skip": "x\n"}, {"salt/dir/b.skip": "new\n"},
    ),
    "pillar that no file asks for": (jinja(), {"salt/conf/main.j2": "{{ pillar.key }}\n"}, {"README": "x\n"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", SAME)
def test_what_comes_out_the_same_is_no_change(clone: Clone, kind: str) -> None:
    states, before, after = SAME[kind]
    result = compared(clone, {"salt/c.sls": states, **before}, after)
    assert (result.exit_code, sources(result)) == (0, set()), result.as_dict()


def test_a_file_that_becomes_a_template_of_the_same_content_is_the_same(clone: Clone) -> None:
    plain, made = state(source="salt://conf/t"), state(source="salt://conf/t", template="jinja")
    after: dict[str, Content] = {"salt/c.sls": made, "salt/conf/t": "{{ 'plain' }}\n"}
    for one, other in ((plain, after), (made, {"salt/c.sls": plain, "salt/conf/t": "plain\n"})):
        result = compared(clone, {"salt/c.sls": one, "salt/conf/t": "{# #}plain\n"} if one is made
                          else {"salt/c.sls": one}, other)  # fmt: skip
        assert sources(result) == set() and result.exit_code == 3
        (changed,) = result.groups[0].difference.changed
        assert list(changed.arguments) == ["template"]


def test_what_is_shown_and_what_is_not(clone: Clone) -> None:
    text = "user {{ grains.os }}\npass {{ pillar.secret }}\npin {{ pillar.pin }}\n"
    text += "{% for n in [1, 2] %}worker {{ n }}\n{% endfor %}"
    chars = "{% for c in pillar.secret %}{{ c }}\n{% endfor %}"
    before = {"salt/c.sls": jinja(), "salt/conf/main.j2": text + chars + "end\n"}
    after: dict[str, Content] = {
        "salt/conf/main.j2": "# old\n" + text + chars + "end of it\n",
        "pillar/c.sls": yaml.safe_dump({**PILLAR, "secret": "c0rrect-battery", "pin": "8"}),
    }
    result = compared(clone, before, after)
    lines = shown(result)
    assert lines[1:5] == ["+# old", " user Debian", "-***", "-***"], lines
    assert "-end" in lines and "+end of it" in lines
    data = json.dumps(result.as_dict())
    told = "\n".join(text for _, text in diff.report(result))
    for secret in ("Tr0ub4dor", "hunter", "c0rrect", "battery", "pass T", "pin 7", "pin 8"):
        assert secret not in data and secret not in told
    assert not [x for x in lines if len(x.strip(" +-")) == 1], lines
    kept = b"".join(
        (Path(folder) / name).read_bytes()
        for folder, _, names in os.walk(os.environ["XDG_CACHE_HOME"])
        for name in names
    )
    assert b"worker 2" in kept
    for secret in (b"Tr0ub4dor", b"hunter", b"c0rrect", b"battery"):
        assert secret not in kept


def test_minions_whose_own_names_are_in_a_file_are_one_group(clone: Clone) -> None:
    clone.minion("prod-web2", grains={"os": "Ubuntu", "os_family": "Debian", "kernel": "Linux"})
    text = "host {{ grains.id }}\nmode one\n"
    result = compared(
        clone,
        {"salt/c.sls": jinja(), "salt/conf/main.j2": text},
        {"salt/conf/main.j2": text.replace("one", "two")},
    )
    assert [g.minions for g in result.groups] == [("prod-web1", "prod-web2")]
    content = result.groups[0].difference.contents[0]
    assert (
        content.of == "prod-web1" and "-mode one" in content.lines and "+mode two" in content.lines
    )
    assert "as on prod-web1" in "\n".join(text for _, text in diff.report(result))


def test_a_commit_that_no_template_reads_renders_nothing(clone: Clone) -> None:
    before = {"salt/c.sls": jinja(), "salt/conf/main.j2": "{{ pillar.key }} {{ grains.id }}\n"}
    result = compared(
        clone, before, {"salt/conf/data.txt": "other\n", "salt/other.sls": "x: test.nop\n"}
    )
    assert (result.exit_code, result.spent["rendered_minions"]) == (0, 0)
    assert diff.rendered(result) == ""


def rendered_once(clone: Clone) -> int:
    """How many of the results that are kept were rendered."""
    cache = Path(os.environ["XDG_CACHE_HOME"])
    assert cache.is_dir()
    heads = [p.read_bytes().split(b"\n") for p in cache.rglob("*") if len(p.name) == 32]
    assert heads
    return sum(json.loads(lines[2])["result"]["rendering"] > 0 for lines in heads)


def test_a_state_that_comes_to_be_renders_no_other_ones_file(clone: Clone) -> None:
    text = "{{ grains.id }}\n"
    before: dict[str, Content] = {"salt/c.sls": jinja(), "salt/conf/main.j2": text}
    result = compared(clone, before, {"salt/c.sls": jinja() + "x: test.nop\n"})
    assert result.exit_code == 3 and rendered_once(clone) == 0
    assert [s.key for g in result.groups for s in g.difference.added] == ["x | test.nop"]
    # One that gets other arguments is rendered on both sides, though nobody knew that beforehand.
    result = compared(clone, before, {"salt/c.sls": jinja(context={"a": 1})})
    assert result.exit_code == 3 and rendered_once(clone) == 2
    assert [[*s.arguments] for g in result.groups for s in g.difference.changed] == [["context"]]


def test_a_private_key_in_the_states_is_not_printed(clone: Clone) -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow{}\n-----END RSA PRIVATE KEY-----\n"
    before = {"salt/c.sls": state(source="salt://conf/t"), "salt/conf/t": key.format("one")}
    result = compared(clone, before, {"salt/conf/t": key.format("two")})
    assert sources(result) == {"conf/t"} and not shown(result)
    before = {"salt/c.sls": jinja(), "salt/conf/main.j2": "{# one #}" + key.format("three")}
    result = compared(clone, before, {"salt/conf/main.j2": "{# two #}" + key.format("four")})
    assert sources(result) == {"conf/main.j2"} and not shown(result)


def test_a_grain_called_uuid_is_no_chance(clone: Clone) -> None:
    before = {"salt/c.sls": jinja(), "salt/conf/main.j2": "{{ grains.uuid | default('x') }}\n"}
    result = compared(clone, before, {"salt/conf/main.j2": "{{ grains['uuid'] | default('x') }}\n"})
    assert (result.exit_code, sources(result)) == (0, set())
    assert not any("compared by its sources" in n for m in result.minions for n in m.notes)
