"""Whose a minion is: by id alone, with the meaning that Salt gives to each kind of target."""

from __future__ import annotations

import pytest

from saltbranch.base.errors import ConfigError
from saltbranch.config.minions import (
    Matcher,
    check_nodegroups,
    claimed_by,
    find_overlap,
    matches,
    parse_minions,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("web*", [("glob", "web*")]),
        (["web*", "db?"], [("glob", "web*"), ("glob", "db?")]),
        ({"list": ["a", "b"]}, [("list", "a,b")]),
        ({"list": "a, b"}, [("list", "a, b")]),
        ({"list": [" a ", "b"]}, [("list", "a,b")]),
        ({"pcre": "web\\d+"}, [("pcre", "web\\d+")]),
        ({"pcre": ["a", "b"]}, [("pcre", "a"), ("pcre", "b")]),
        ({"nodegroup": "x"}, [("nodegroup", "x")]),
        (
            ["a", {"list": ["b"], "nodegroup": "x"}],
            [("glob", "a"), ("list", "b"), ("nodegroup", "x")],
        ),
        ([], []),
    ],
)
def test_what_minions_may_say(value: object, expected: list[tuple[str, str]]) -> None:
    assert [(m.kind, m.target) for m in parse_minions(value, "w")] == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "None is not a minion target"),
        (5, "5 is not a minion target"),
        ([["a"]], "is not a minion target"),
        ("", "glob target '' is empty"),
        ("a\nb", "control character"),
        ({"list": []}, "list target '' is empty"),
        ({"list": ["a", ""]}, "holds an empty id"),
        ({"list": [5]}, "5 is not a text"),
        ({"glob": None}, "None is not a text"),
        ({"pcre": "("}, r"'\(' is not a regular expression"),
        ({"pcre": "a{99999999999}"}, "is not a regular expression"),
        ({"grain": "role:web"}, "cannot be assigned by grain: a minion may claim any grain"),
        ({"grains": {"a": "b"}}, "cannot be assigned by grains"),
        ({"compound": "web* and G@a:b"}, "cannot be assigned by compound"),
        ({"pillar": "a:b"}, "cannot be assigned by pillar"),
        ({"ipcidr": "10.0.0.0/8"}, "cannot be assigned by ipcidr"),
        ({"lst": ["a"]}, "unknown kind of target 'lst'"),
        ("G@role:web", "looks like a compound target"),
        ("L@a,b", "looks like a compound target"),
    ],
)
def test_what_minions_may_not_say(value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_minions(value, "f: saltenvs.x.minions")
    assert caught.value.message.startswith("f: saltenvs.x.minions: ")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("kind", "target", "meant", "others"),
    [
        ("glob", "web*", ["web", "web1", "webs.example.com"], ["Web1", "aweb"]),
        ("glob", "web[12]", ["web1", "web2"], ["web3", "web"]),
        ("list", "a,b", ["a", "b"], ["a,b", "c", ""]),
        ("pcre", r"web\d", ["web1", "web1-and-more"], ["web", "aweb1"]),
        ("pcre", r"web\d$", ["web1"], ["web12"]),
    ],
)
def test_matches(kind: str, target: str, meant: list[str], others: list[str]) -> None:
    matcher = Matcher(kind, target)  # type: ignore[arg-type]
    assert all(matches(matcher, minion_id) for minion_id in meant)
    assert not any(matches(matcher, minion_id) for minion_id in others)


OVERLAPS = [
    ({"glob": ["web*"]}, {"glob": ["web*"]}),
    ({"glob": ["*"]}, {"glob": ["web*"]}),
    ({"glob": ["web1"]}, {"glob": ["web*"]}),
    ({"glob": ["web?"]}, {"glob": ["web*"]}),
    ({"glob": ["web[12]"]}, {"glob": ["web*"]}),
    ({"list": ["db1", "web1"]}, {"glob": ["web*"]}),
    ({"list": ["a"]}, {"list": ["b", "a"]}),
    ({"pcre": ["web1$"]}, {"glob": ["web*"]}),
    ({"pcre": [r"^web.*"]}, {"pcre": [r"web.*"]}),
    ({"nodegroup": ["x"]}, {"nodegroup": ["x"]}),
]


@pytest.mark.parametrize(("one", "other"), OVERLAPS)
def test_overlap_is_found_in_both_orders(one: object, other: object) -> None:
    first, second = parse_minions(one, "w"), parse_minions(other, "w")
    for groups in ({"a": first, "b": second}, {"a": second, "b": first}):
        found = find_overlap(groups)
        assert found and set(found[:2]) == {"a", "b"}
        sample = found[2]
        assert "nodegroup" in sample or all(
            any(matches(m, sample) for m in g) for g in groups.values()
        )


def test_no_overlap_where_there_is_none() -> None:
    minions = {
        "a": parse_minions(["test*", {"list": ["web1"]}], "w"),
        "b": parse_minions([{"pcre": "stage[0-9]+$"}, {"nodegroup": "x"}], "w"),
        "c": parse_minions(["prod*", {"nodegroup": "y"}], "w"),
    }
    assert find_overlap(minions) is None
    assert find_overlap({"a": minions["a"]}) is None
    assert find_overlap({}) is None


def test_claims_name_every_saltenv_once() -> None:
    groups = {
        "a": parse_minions(["web*", "*1"], "w"),
        "b": parse_minions(["*1"], "w"),
        "c": parse_minions(["db*"], "w"),
    }
    assert claimed_by("web1", groups) == [
        ("a", Matcher("glob", "web*")),
        ("b", Matcher("glob", "*1")),
    ]
    assert claimed_by("none", groups) == []


def test_nodegroups_that_go_by_id_alone() -> None:
    nodegroups = {
        "ids": "L@a,b or web* and not E@web9",
        "inner": ["web1", "web2"],
        "outer": "N@inner or ( N@ids and not db* )",
    }
    check_nodegroups(parse_minions({"nodegroup": list(nodegroups)}, "w"), nodegroups, "w")
    found = {
        minion_id
        for minion_id in ("a", "web1", "web2", "web3", "web9", "db1")
        if matches(Matcher("nodegroup", "outer"), minion_id, nodegroups)
    }
    assert found == {"a", "web1", "web2", "web3"}


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ("G@role:web", "goes by grains"),
        ("web* or P@os:.*", "goes by grains"),
        ("(G@role:web)", "goes by grains"),
        ("not G|@role|web", "goes by grains"),
        ("I@a:b", "goes by pillar"),
        ("S@10.0.0.0/8", "goes by the minion's address"),
        ("R@%a", "goes by"),
        ("N@missing", "knows no nodegroup 'missing'"),
        ("web* or N@x", "contains itself"),
        (5, "neither a text nor a list"),
        (["web1", "G@a:b"], "goes by grains"),
    ],
)
def test_nodegroups_that_a_minion_could_join_by_itself(definition: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_nodegroups([Matcher("nodegroup", "x")], {"x": definition}, "w")
