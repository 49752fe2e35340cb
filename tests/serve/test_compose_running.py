"""A running salt-master serves several roots: what its file server shows, from a word to a list, before and after."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.remote import Content
from tests.support.running import Master, running_master
from tests.support.site import result_of

OURS = {"branch_top.jinja", "top.sls", "saltbranch_commit"}
FIRST: dict[str, Content] = {
    "web/init.sls": "web: {test.nop: []}\n",
    "web/conf": "of the root\n",
    "more/web/conf": "hidden\n",
    "more/web/two.sls": "two: {test.nop: []}\n",
    "formulas/n-formula/nginx/init.sls": "nginx: {test.nop: []}\n",
    "formulas/n-formula/README": "no state\n",
    "top.sls": "base:\n  '*': [web, nginx]\n",
    "shared/extra.sls": "extra: yes\n",
    "pillar/top.sls": "base:\n  '*': [app, extra]\n",
    "fleet/w.yaml": "secret\n",
    "tests/w.yaml": "secret\n",
    ".hidden/x.sls": "secret\n",
}
KEYS: dict[str, Any] = {
    "states_dir": [{".": ["*"]}, "more", "formulas/*"],
    "pillar_dir": ["pillar", "shared"],
    "fleet": "fleet",
}


@pytest.fixture
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    """One of its own, that serves one folder at first."""
    with running_master(tmp_path_factory.mktemp("several")) as master:
        yield master


def told(master: Master, function: str, *args: object) -> Any:
    return master.cluster.local("test1", function, *args, saltenv="test")


def shown(master: Master) -> dict[str, str]:
    """Name to hash, as the file server has it, of all that a minion can list."""
    names = {*told(master, "cp.list_master")} - OURS
    return {name: told(master, "cp.hash_file", f"salt://{name}")["hsum"] for name in names}


def hashed(files: Mapping[str, Any]) -> dict[str, str]:
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}


def test_a_master_serves_several_roots(master: Master, tmp_path: Path) -> None:
    site, package = master.site, tmp_path / "package"
    (package / "vendor").mkdir(parents=True)
    (package / "vendor" / "init.sls").write_text("vendor: {test.nop: []}\n")
    site.keep_only("test")
    site.remote.commit("develop", FIRST)
    site.configure(extra_roots=[str(package)], **KEYS)
    result = site.sync_well()
    assert result.restart_needed is not None
    # Until then it serves what it served.
    assert told(master, "cp.get_file_str", "salt://app/files/run.sh") == "#!/bin/sh\necho run\n"

    master.cluster.restart_master()
    assert site.sync_here().restart_needed is None
    expected = {
        "web/init.sls": FIRST["web/init.sls"],
        "web/conf": "of the root\n",
        "web/two.sls": FIRST["more/web/two.sls"],
        "nginx/init.sls": FIRST["formulas/n-formula/nginx/init.sls"],
        "vendor/init.sls": "vendor: {test.nop: []}\n",
        "salt/top.sls": "base:\n  '*':\n    - app\n",
        "salt/app/init.sls": "app:\n  test.nop: []\n",
        "salt/app/files/run.sh": "#!/bin/sh\necho run\n",
        "salt/app/files/current.sh": "#!/bin/sh\necho run\n",
    }
    assert shown(master) == hashed(expected)
    assert [*told(master, "state.show_sls", "nginx")] == ["nginx"]
    assert told(master, "state.show_top")["test"] == ["web", "nginx"]
    assert told(master, "pillar.items")["extra"]
    for name in (
        "fleet/w.yaml",
        "tests/w.yaml",
        ".hidden/x.sls",
        "pillar/app.sls",
        "saltbranch.yaml",
    ):
        for way in ("", "web/../../../tree/"):
            assert not told(master, "cp.get_file_str", f"salt://{way}{name}"), (way, name)
    switched_without_a_restart(master, expected)


def switched_without_a_restart(master: Master, expected: dict[str, Any]) -> None:
    site = master.site
    pid = (master.cluster.cache_dir.parent / "pid").read_text()
    changed: dict[str, Content] = {
        "formulas/r-formula/redis/init.sls": "redis: {test.nop: []}\n",
        "formulas/n-formula/nginx/init.sls": None,
        "web/conf": None,  # the hidden one comes to light
        "top.sls": "base:\n  '*': [redis, web.two]\n",
    }
    site.remote.commit("develop", changed)
    done = site.sync_well()
    assert (result_of(done, "test").state, done.restart_needed) == ("switched", None)
    del expected["nginx/init.sls"]
    expected["redis/init.sls"] = "redis: {test.nop: []}\n"
    expected["web/conf"] = "hidden\n"
    assert shown(master) == hashed(expected)
    assert [*told(master, "state.show_sls", "redis")] == ["redis"]
    assert told(master, "state.show_top")["test"] == ["redis", "web.two"]

    # Another list needs no restart, either.
    site.configure(states_dir=[{".": ["web", "top.sls"]}, "formulas/*"])
    done = site.sync_well()
    assert (result_of(done, "test").changed, done.restart_needed) == (True, None)
    assert {*shown(master)} == {"web/init.sls", "redis/init.sls", "vendor/init.sls"}
    assert (master.cluster.cache_dir.parent / "pid").read_text() == pid
