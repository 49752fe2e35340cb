"""adopt on masters that serve plain folders which cron pulls."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.former_master import FormerMaster, clone
from tests.support.remote import Remote
from tests.support.site import Ran, run

SECRET = "correct horse battery staple"


def control(path: Path) -> Remote:
    """Two branches whose top files have a saltenv of their own each."""
    remote = Remote(path)
    for branch, saltenv in (("master", "base"), ("develop", "dev")):
        remote.commit(
            branch,
            {
                "README.md": "Control repository\n",
                "salt/top.sls": f"{saltenv}:\n  '{'web*' if saltenv == 'base' else 'dev*'}':\n    - app\n",
                "salt/app/init.sls": "app:\n  file.managed:\n    - name: /app\n    - source: salt://app/conf\n"
                "    - template: jinja\n    - context: {word: {{ pillar['word'] | json }}}\n",
                "salt/app/conf": f"{branch}\n",
                "pillar/top.sls": f"{saltenv}:\n  '{'web*' if saltenv == 'base' else 'dev*'}':\n    - app\n",
                "pillar/app.sls": f"word: {SECRET} of {branch}\nlevels: {{one: 1}}\n",
            },
        )
    return remote


@pytest.fixture
def former(tmp_path: Path) -> FormerMaster:
    """A master of two clones."""
    remote = control(tmp_path / "remote.git")
    base, dev = (clone(remote, tmp_path / name, name) for name in ("master", "develop"))
    options = {
        "file_roots": {"base": [f"{base}/salt"], "dev": [f"{dev}/salt"]},
        "pillar_roots": {"base": [f"{base}/pillar"], "dev": [f"{dev}/pillar"]},
    }
    return FormerMaster(tmp_path / "site", options, ("web1", "web2", "dev1"))


def adopted(former: FormerMaster, *arguments: str) -> tuple[int, Any, Ran]:
    """Exit code, JSON and all that it said."""
    ran = run([sys.executable, "-m", "saltbranch", *former.adopt_arguments(*arguments, "--json")])
    assert SECRET not in ran.out + ran.err
    return ran.code, json.loads(ran.out), ran


def test_plain_folders_are_proven_moved_over_and_moved_back(former: FormerMaster) -> None:
    before, served = former.everything(), former.served()
    code, told, _ = adopted(former)
    assert told["proof"]["differences"] == [], told
    assert code == 0
    assert told["proof"]["unproven"] == {}
    assert told["proof"]["compared"] == {
        "files": 6, "minions": 3, "pillar_keys": 6, "low_chunks": 3,
    }  # fmt: skip
    assert former.everything() == before

    code, moved, _ = adopted(former, "--switch")
    assert code == 0
    assert str(former.salt_config) in moved["changed"]
    after = former.served()
    for saltenv in ("base", "dev"):
        assert {k: v for k, v in after[saltenv].items() if "top" not in k} == {
            k: v for k, v in served[saltenv].items() if "top" not in k
        }
        assert after[saltenv]["branch_top.jinja"] == served[saltenv]["top.sls"]
    code, told, _ = adopted(former)
    assert (code, told["switched"], told["proof"]["differences"]) == (0, True, [])

    assert adopted(former, "--back")[0] == 0
    assert former.everything() == before
    assert former.served() == served
