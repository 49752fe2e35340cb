"""Compiling with `tops_only`: whether the two top files render, and on what that depends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from saltbranch.compiler.cache import CompileCache
from saltbranch.salt_master import top_file
from tests.support.compiling import Lab, minion
from tests.support.remote import Content, Link

TOP = "base:\n  '*':\n    - app\n"
FILES: dict[str, Content] = {
    "salt/top.sls": TOP,
    "salt/app.sls": "{% if %}\n",
    "salt/files/link": Link("../app.sls"),
    "pillar/top.sls": TOP,
    "pillar/app.sls": "role: web\n",
}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path, FILES)
    made.frame = replace(made.frame, tops_only=True)
    return made


def test_sls_files_are_not_looked_at(lab: Lab) -> None:
    found = lab.one(minion("web1"), plain=False)

    assert (found.result, found.needs_pillar, found.unsure) == ("ok", False, False)
    assert {"salt/top.sls", "pillar/top.sls"} <= {*found.reads.files}
    assert not {"salt/app.sls", "pillar/app.sls"} & {*found.reads.files}


def test_a_result_holds_until_a_top_file_or_a_module_changes(lab: Lab, tmp_path: Path) -> None:
    def is_kept() -> bool:
        cache = CompileCache(str(tmp_path / "cache"))
        return lab.one(minion("web1"), plain=False, cache=cache).cached

    assert [is_kept(), is_kept()] == [False, True]
    lab.commit({"salt/new.sls": "", "pillar/app.sls": "role: db\n"})
    assert is_kept()
    for files in ({"salt/_modules/x.py": ""}, {"pillar/top.sls": f"{TOP}# 1\n"}):
        lab.commit(files)
        assert not is_kept()
    lab.commit({"salt/_states": Link("files")})
    assert not is_kept()


def test_a_kept_result_is_none_of_a_whole_highstate(lab: Lab, tmp_path: Path) -> None:
    cache = CompileCache(str(tmp_path / "cache"))
    assert lab.one(minion("web1"), plain=False, cache=cache).result == "ok"
    lab.frame = replace(lab.frame, tops_only=False)

    assert lab.one(minion("web1"), plain=False, cache=cache).error


@pytest.mark.parametrize(
    ("more", "result", "unsure"),
    [
        ("# {{ pillar.role.upper() }}\n", "ok", False),
        ("# {{ pillar.nothing.upper() }}\n", "failed", False),
        ("# {{ salt['pillar.get']('role').upper() }}\n", "ok", False),
        ("# {{ salt['config.get']('role').upper() }}\n", "ok", False),
        ("# {{ opts.pillar.role.upper() }}\n", "ok", False),
        ("# {{ salt['cmd.run']('x')[9].upper() }}\n", "failed", True),
    ],
)
def test_pillar_is_compiled_where_the_top_file_may_ask_for_it(
    lab: Lab, more: str, result: str, unsure: bool
) -> None:
    lab.commit({"salt/top.sls": TOP + more})

    found = lab.one(minion("web1"), plain=False)

    assert (found.result, found.unsure, found.needs_pillar) == (result, unsure, True), found.errors


def test_a_value_of_the_pillar_is_hidden_in_an_error_of_the_top_file(lab: Lab) -> None:
    lab.commit(
        {"pillar/app.sls": "role: hunter2secret\n", "salt/top.sls": TOP + "{{ pillar.role }}\n"}
    )

    found = lab.one(minion("web1"), plain=False)

    assert found.error and "hunter2secret" not in found.error


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("base:\n  '*': [salt.minion, pillar]\n", False),
        ("{% if grains.id == 'x' %}{% endif %}pillar\n", False),
        ("{%\n  set x = pillar.y %}", True),
        ("{{ salt['x.y']() }}", True),
        ("{{ opts }}", True),
        ("{{ x.__class__ }}", True),
        ("#!pydsl\n", True),
        ("#!py\n", True),
    ],
)
def test_what_a_template_may_ask_for(text: str, asks: bool) -> None:
    assert top_file.may_ask(text, "pillar") is asks
