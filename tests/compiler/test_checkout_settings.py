"""What .gitattributes of one branch do to its files is said of that branch, and of no other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.actions.test_diff import Clone, clone  # noqa: F401 - a fixture
from tests.compiler.test_secrets_anywhere import said
from tests.support import own_cache
from tests.support.remote import Content

EVIL: dict[str, dict[str, Content]] = {
    "below the states": {"salt/.gitattributes": "*.sls text working-tree-encoding=UTF-16\n"},
    "below the pillar": {"pillar/.gitattributes": "*.sls text working-tree-encoding=UTF-16\n"},
    "at the root": {".gitattributes": "salt/common.sls text working-tree-encoding=UTF-16\n"},
}


def seen(clone: Clone, *refs: str) -> Any:  # noqa: F811
    data = json.loads(said("diff", *refs, "--json", "--config", clone.path))
    data.pop("cached", None)
    return {name: data["minions"][name] for name in data["minions"]}


@pytest.mark.parametrize("kind", EVIL)
def test_attributes_of_a_branch_change_nothing_that_is_said_of_others(
    clone: Clone,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    clone.commit({"salt/web.sls": "nginx: {test.nop: []}\n"})
    clone.remote.set_branch("evil", clone.remote.head("develop"))
    clone.commit(EVIL[kind], "evil")
    for name in ("master", "develop", "evil"):
        clone.remote.git("branch", f"side-{name}", name)
    clone.commit({}, "develop")  # fetches
    with monkeypatch.context() as patch:
        own_cache.use(patch, clone.folder.parent / "other-cache")
        expected = seen(clone, "side-master", "side-develop")
    evil = seen(clone, "side-evil", "side-evil")
    assert {m["result"] for m in evil.values()} & {"failed", "partial"}
    assert seen(clone, "side-master", "side-develop") == expected
    assert {m["result"] for m in expected.values()} == {"ok"}
    # And the reverse: what is kept of the innocent one is not believed of the evil one.
    against = seen(clone, "side-develop", "side-evil")
    assert {m["result"] for m in against.values()} & {"failed", "partial"}
