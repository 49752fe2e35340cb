"""On a running salt-master: nothing leaks between saltenvs, and a switch is seen at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from saltbranch.demo.cluster import Cluster

if TYPE_CHECKING:
    from tests.support.layout import Layout

Look = Callable[..., dict[str, list[str]]]
MEMBERS = {"test1": "test", "stage1": "stage", "prod1": "prod"}
SALTENVS = tuple(MEMBERS.values())
GREEDY = {"*": ["role", "secret"]}

# The branch tops of the arrangements that people try; each one leaks without the generated tops.
ARRANGEMENTS: dict[str, object] = {
    "every branch names every saltenv": {saltenv: GREEDY for saltenv in SALTENVS},
    "merge_all: everything for everybody": {s: GREEDY for s in ("base", *SALTENVS)},
    "a section named by saltenv": "'{{ saltenv }}':\n  '*': [role, secret]\n",
    "base alone": {"base": GREEDY},
    "items that name other saltenvs": {
        "base": {"*": ["role", "secret", *({s: "secret"} for s in SALTENVS)]}
    },
    "sections from a loop": (
        "{% for name in opts['file_roots'] %}{{ name }}:\n  '*': [role, secret]\n{% endfor %}"
    ),
    "grains": "base:\n  'home:{{ grains['home'] }}':\n  - match: grain\n  - role\n  - secret\n",
}


def _own(*names: str) -> dict[str, list[str]]:
    return {
        minion: sorted(f"{saltenv}:{name}" for name in names) for minion, saltenv in MEMBERS.items()
    }


def _own_in(asked: str, *names: str) -> dict[str, list[str]]:
    own = _own(*names)
    return {minion: own[minion] if saltenv == asked else [] for minion, saltenv in MEMBERS.items()}


@pytest.mark.parametrize("top", ARRANGEMENTS.values(), ids=ARRANGEMENTS)
def test_each_minion_gets_its_own_saltenv_and_no_other(
    layout: Layout, states: Look, pillar: Look, top: object
) -> None:
    layout.serve_tops(top)

    assert pillar() == _own("role", "secret")
    assert states() == _own("role", "secret")


@pytest.mark.parametrize("asked", SALTENVS)
def test_a_minion_that_asks_for_another_saltenv_gets_nothing(
    layout: Layout, states: Look, pillar: Look, asked: str
) -> None:
    layout.serve_tops({s: GREEDY for s in ("base", *SALTENVS)})

    assert pillar(saltenv=asked) == _own("role", "secret")  # Salt does not look at it there
    assert pillar(pillarenv=asked) == _own_in(asked, "role", "secret")
    assert pillar(saltenv=asked, pillarenv=asked) == _own_in(asked, "role", "secret")
    assert states(saltenv=asked) == _own_in(asked, "role", "secret")


def test_a_pillarenv_of_another_saltenv_beside_the_own_saltenv_gives_nothing(
    layout: Layout, cluster: Cluster
) -> None:
    layout.serve_tops({"base": GREEDY})

    answer = cluster.local("test1", "pillar.items", saltenv="test", pillarenv="prod")

    assert answer == {}


def test_one_top_in_one_branch_does_not_speak_for_the_others(
    layout: Layout, states: Look, pillar: Look
) -> None:
    """What ``default_top`` and a top file in base alone are meant for."""
    layout.serve_tops(None)
    layout.serve_tops({s: GREEDY for s in ("base", *SALTENVS)}, "prod")

    assert pillar() == _own_in("prod", "role", "secret")
    assert states() == _own_in("prod", "role", "secret")


def test_a_broken_top_file_is_an_error_in_its_own_saltenv_alone(
    layout: Layout, cluster: Cluster
) -> None:
    layout.serve_tops({"base": GREEDY})
    layout.serve_tops("{% if %}\nbase:\n  '*': [role]\n", "test")

    pillar = cluster.local_all("pillar.items", unmask=True)
    applied = cluster.local_all("state.apply")

    assert list(pillar.pop("test1")) == ["_errors"]
    assert pillar == {minion: dict.fromkeys(_own("role", "secret")[minion], "value")
                      for minion in ("stage1", "prod1")}  # fmt: skip
    assert "Rendering Primary Top file failed" in str(applied.pop("test1"))
    assert all(len(runs) == 2 for runs in applied.values())


@pytest.fixture
def lying(cluster: Cluster) -> Iterator[str]:
    """A minion of test whose grains say that it is prod1."""
    lies = {"id": "prod1", "nodename": "prod1", "roles": ["prod"], "home": "prod"}
    cluster.local("test1", "grains.setvals", lies)
    yield "test1"
    for grain in lies:
        cluster.local("test1", "grains.delkey", grain)


def test_grains_that_lie_gain_nothing(
    layout: Layout, cluster: Cluster, pillar: Look, lying: str
) -> None:
    layout.serve_tops(
        "base:\n  '*': [role]\n  '{{ grains['home'] }}1': [secret]\n"
        "  'home:prod': [{match: grain}, secret]\n"
    )

    assert cluster.local(lying, "grains.get", "id") == "prod1"
    assert pillar()[lying] == ["test:role", "test:secret"]
    assert pillar(saltenv="prod", pillarenv="prod")[lying] == []
    assert pillar()["prod1"] == ["prod:role", "prod:secret"]


def _greeting(text: str, target: Path) -> dict[str, object]:
    state = {"file.managed": [{"name": str(target)}, {"source": "salt://greeting/text"}]}
    return {"salt/greeting/init.sls": {"greet": state}, "salt/greeting/text": text}


def test_a_new_sls_file_works_in_the_very_next_run(
    layout: Layout, cluster: Cluster, tmp_path: Path
) -> None:
    target = tmp_path / "greeting"
    layout.serve_tops({"base": {"*": ["role"]}})
    new = layout.build(
        "test",
        {
            **_greeting("hello\n", target),
            "salt/top.sls": {"base": {"*": ["greet*"]}},
        },
    )
    assert "greeting" not in cluster.local("test1", "cp.list_states", saltenv="test")

    layout.switch("test", new, forget_list=False)
    too_early = cluster.local("test1", "state.apply")
    layout.forget_list("test")
    applied = cluster.local("test1", "state.apply")

    assert too_early == ["No matching sls found for 'greet*' in env 'test'"]
    assert [run["result"] for run in applied.values()] == [True]
    assert target.read_text() == "hello\n"
    assert "greeting" not in cluster.local("prod1", "cp.list_states", saltenv="prod")


def test_two_revisions_within_one_second_are_both_served_right(
    layout: Layout, cluster: Cluster, tmp_path: Path
) -> None:
    """The file server trusts a remembered hash when the time of change is equal, nothing else."""
    target = tmp_path / "greeting"
    top: dict[str, object] = {"salt/top.sls": {"base": {"*": ["greeting"]}}}
    for _ in range(5):
        slots = [
            layout.build("test", {**_greeting(text, target), **top}) for text in ("one\n", "two\n")
        ]
        seconds = {int((slot / "salt/greeting/text").stat().st_mtime) for slot in slots}
        if len(seconds) == 1:
            break
    assert len(seconds) == 1

    for slot, text in zip(slots, ("one\n", "two\n"), strict=True):
        layout.switch("test", slot)
        assert cluster.local("test1", "cp.get_file_str", "salt://greeting/text", "test") == text
        cluster.local("test1", "state.apply")
        assert target.read_text() == text


def test_two_revisions_of_a_top_file_within_one_second_are_both_obeyed(
    layout: Layout, pillar: Look, states: Look
) -> None:
    for names in (["role"], ["secret"]):
        layout.serve_tops({"base": {"*": names}})

        assert states() == _own(*names)
        assert pillar() == _own(*names)


def test_a_refresh_brings_the_pillar_of_the_new_commit(layout: Layout, cluster: Cluster) -> None:
    def refreshed(value: str) -> Any:
        top = {"base": {"*": ["colour"]}}
        layout.serve("prod", {"pillar/top.sls": top, "pillar/colour.sls": {"colour": value}})
        before = cluster.local("prod1", "pillar.get", "colour", unmask=True)
        cluster.local("prod1", "saltutil.refresh_pillar", wait=True)
        return before, cluster.local("prod1", "pillar.get", "colour", unmask=True)

    refreshed("red")
    assert refreshed("blue") == ("red", "blue")


def test_states_and_pillar_of_one_run_come_from_one_commit(
    layout: Layout, cluster: Cluster, tmp_path: Path
) -> None:
    target = tmp_path / "revision"
    for revision in ("one", "two"):
        contents = f"{revision} {{{{ pillar['revision'] }}}}"
        managed = {"file.managed": [{"name": str(target)}, {"contents": contents}]}
        top = {"base": {"*": ["it"]}}
        layout.serve(
            "stage",
            {
                "salt/top.sls": top,
                "salt/it.sls": {"it": managed},
                "pillar/top.sls": top,
                "pillar/it.sls": {"revision": revision},
            },
        )
        started = time.monotonic()
        cluster.local("stage1", "state.apply")
        assert target.read_text() == f"{revision} {revision}\n"
        assert time.monotonic() - started < 20  # before the list of files would have gone stale


def test_no_highstate_warns_about_the_order_of_saltenvs(
    layout: Layout, cluster: Cluster, states: Look
) -> None:
    """Every one did, on each minion (salt/state.py, BaseHighState.get_tops)."""
    layout.serve_tops({"base": GREEDY})
    assert states() == _own("role", "secret")
    for minion in MEMBERS:
        log = cluster.minion_log(minion)
        assert log.exists() and "not deterministic" not in log.read_text("utf-8", "replace")
