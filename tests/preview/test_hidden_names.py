"""Names of arguments that a template makes: the same on both sides and on all minions, whatever of them is hidden."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from saltbranch.cli.show import diff, diff_view
from saltbranch.preview.fleet_diff import FleetDiff
from tests.actions.test_diff import FILES, Clone
from tests.support.remote import Content

STATE = "x:\n  test.nop:\n    - text: a\n    - %s: fine\n"
HIDDEN = STATE % "{{ pillar.pw }}"
NOTHING = "note: nothing\n"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = Clone(tmp_path)
    for name in ("prod-db1", "test-web1"):
        (made.folder / "fleet" / f"{name}.yaml").unlink()
    monkeypatch.chdir(made.folder)
    monkeypatch.setenv("SALTBRANCH_CONFIG", made.path)
    return made


def compared(clone: Clone, before: dict[str, Content], after: dict[str, Content]) -> FleetDiff:
    tops: dict[str, Content] = {f"{f}/top.sls": "base: {'*': [c]}\n" for f in ("salt", "pillar")}
    clone.commit({**FILES, **tops, "pillar/c.sls": NOTHING, **before}, "master")
    clone.remote.set_branch("develop", clone.remote.head("master"))
    clone.commit(after)
    return clone.diff()


def told(result: FleetDiff) -> str:
    return "\n".join(text for _, text in diff.report(result))


def states(result: FleetDiff) -> list[Any]:
    return [m.as_dict()["states"] for m in result.minions]


@pytest.mark.parametrize("first", ["note: wunderlich\n", NOTHING])
def test_a_name_that_one_side_hides_is_the_same(clone: Clone, first: str) -> None:
    """The pillar of one side holds the word as a value, the other's does not."""
    second = NOTHING if first != NOTHING else "note: wunderlich\n"
    use = STATE % "{{ 'wunder' ~ 'lich' }}"
    result = compared(clone, {"salt/c.sls": use, "pillar/c.sls": first}, {"pillar/c.sls": second})
    assert [s["changed"] for s in states(result)] == [[], []]
    assert [m.difference.pillar_changed for m in result.minions if m.difference] == [("note",)] * 2


def test_what_changes_under_such_a_name_is_told_as_that(clone: Clone) -> None:
    use = STATE % "{{ 'wunder' ~ 'lich' }}"
    before: dict[str, Content] = {"salt/c.sls": use, "pillar/c.sls": "note: wunderlich\n"}
    after: dict[str, Content] = {
        "salt/c.sls": use.replace("fine", "other"),
        "pillar/c.sls": NOTHING,
    }
    for one, other in ((before, after), (after, before)):
        result = compared(clone, one, other)
        (changed,) = states(result)[0]["changed"]
        (pair,) = changed["arguments"].values()
        assert sorted(pair) == ["fine", "other"]
        assert "wunderlich" not in json.dumps(result.as_dict())


def test_a_word_of_the_states_is_told_though_this_minion_reads_it_nowhere(clone: Clone) -> None:
    result = compared(
        clone,
        {"salt/c.sls": "x:\n  test.nop:\n    - text: a\n", "pillar/c.sls": "word: quokkas\n"},
        {"salt/c.sls": STATE % "{{ pillar.word }}", "salt/unused.sls": "quokkas: test.nop\n"},
    )
    assert "quokkas: (none) -> " in told(result), told(result)
    assert "*** ~" not in told(result)


def test_minions_with_one_edit_are_one_group_though_names_are_hidden(clone: Clone) -> None:
    """Digests are each minion's own."""
    pw: dict[str, Content] = {"pillar/c.sls": "pw: qhzkwvA8rt\n"}
    result = compared(
        clone, {"salt/c.sls": "x:\n  test.nop:\n    - text: a\n", **pw}, {"salt/c.sls": HIDDEN}
    )
    assert [g.minions for g in result.groups] == [("prod-web1", "prod-web2")]
    assert told(result).count("***") == 1 and "qhzkwv" not in told(result)
    added = compared(clone, {"salt/c.sls": "y:\n  test.nop: []\n", **pw}, {"salt/c.sls": HIDDEN})
    assert [g.minions for g in added.groups] == [("prod-web1", "prod-web2")]
    (view,) = diff_view.groups(added)
    (new,) = (s for sls in view.sls for s in sls.states if s.kind == "add")
    assert [name for name, _ in new.lines].count("text") == 1 and len(new.lines) == 3
    assert "qhzkwv" not in json.dumps(added.as_dict())


def test_the_digest_is_the_same_with_another_cache(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: dict[str, Content] = {
        "salt/c.sls": "x:\n  test.nop:\n    - text: a\n",
        "pillar/c.sls": "pw: qhzkwvA8rt\n",
    }
    one = compared(clone, before, {"salt/c.sls": HIDDEN}).digest
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert clone.diff().digest == one
