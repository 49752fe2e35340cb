"""Version tags sort as versions, and the next one follows."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltbranch.base import versions

ASCENDING = [
    "v0.9",
    "v1.0.0-rc.1",
    "v1.0.0-rc.2",
    "v1.0.0-rc.9",
    "v1.0.0-rc.10",
    "v1.0.0",
    "v1.0.1",
    "v1.2.0",
    "v1.9.0",
    "v1.10.0-rc.1",
    "v1.10.0",
    "v2",
    "v2026.11.21",
]

numbers = st.lists(st.integers(0, 300), min_size=1, max_size=4).map(lambda n: ".".join(map(str, n)))
tags = st.builds("v{}{}".format, numbers, st.sampled_from(["", "-rc.1", "-rc.2", "rc10"]))


@pytest.mark.parametrize(("lower", "higher"), list(pairwise(ASCENDING)))
def test_higher_is_higher(lower: str, higher: str) -> None:
    assert versions.highest([lower, higher]) == versions.highest([higher, lower]) == higher


def test_all_in_order() -> None:
    assert versions.ordered(["nightly", *sorted(ASCENDING)]) == ASCENDING[::-1]


@pytest.mark.parametrize(
    ("tag", "version"),
    [
        ("v1.2.3", "1.2.3"),
        ("1.2", "1.2"),
        ("salt-1.2", "1.2"),
        ("release/7", "7"),
        ("v1.0-rc.3", "1.0rc3"),
        ("v1.0rc3", "1.0rc3"),
        ("20261121", "20261121"),
        ("nightly", None),
        ("v1.x", None),
        ("v", None),
        ("", None),
        ("v1" + "0" * 300, None),
        ("v1.0-broken thing", None),
    ],
)
def test_what_a_tag_stands_for(tag: str, version: str | None) -> None:
    found = versions.parse_or_none(tag)
    assert (str(found) if found else None) == version


def test_of_two_equal_ones_the_longer_name() -> None:
    assert versions.highest(["v1.2", "v1.2.0"]) == "v1.2.0"
    assert versions.highest(["nightly"]) is versions.highest([]) is None


@pytest.mark.parametrize(
    ("known", "promoted", "expected"),
    [
        ([], [], "v1.0.0"),
        (["v1.2.3"], [], "v1.3.0"),
        (["v1.9.0", "v1.10.0"], [], "v1.11.0"),
        (["v2"], [], "v2.1.0"),
        (["v1.2.0", "v1.3.0-rc.2"], ["v1.3.0-rc.2"], "v1.3.0"),
        (["v1.2.0", "v1.3.0-rc.2"], [], "v1.3.0"),
        (["v1.3.0", "v1.3.0-rc.2"], ["v1.3.0-rc.2"], "v1.4.0"),  # that version is out already
        (["nightly"], [], "v1.0.0"),
    ],
)
def test_next_final(known: list[str], promoted: list[str], expected: str) -> None:
    assert versions.next_final(known, promoted) == expected


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ([], "v1.0.0-rc.1"),
        (["v1.2.3"], "v1.3.0-rc.1"),
        (["v1.2.3", "v1.3.0-rc.1"], "v1.3.0-rc.2"),
        (["v1.3.0-rc.9", "v1.3.0-rc.10"], "v1.3.0-rc.11"),
        (["v1.3.0", "v1.3.0-rc.4"], "v1.4.0-rc.1"),
    ],
)
def test_next_candidate(known: list[str], expected: str) -> None:
    assert versions.next_candidate(known) == expected


@pytest.mark.parametrize(
    ("known", "expected"),
    [([], "v1.0.1"), (["v1.2.3"], "v1.2.4"), (["v2"], "v2.0.1"), (["v1.2", "v1.3-rc.1"], "v1.2.1")],
)
def test_next_fix(known: list[str], expected: str) -> None:
    assert versions.next_fix(known) == expected


@given(st.lists(tags, unique=True))
def test_next_one_is_new_and_higher(known: list[str]) -> None:
    for made in (
        versions.next_final(known),
        versions.next_fix(known),
        versions.next_candidate(known),
    ):
        assert made not in known
        assert versions.parse_or_none(made)
    finals = [t for t in known if "rc" not in t]
    if finals:
        top = versions.highest(finals)
        for made in (versions.next_final(known), versions.next_fix(known)):
            assert versions.highest([made, str(top)]) == made


@given(st.lists(st.text(max_size=30) | tags))
def test_no_tag_breaks_the_order(known: list[str]) -> None:
    found = versions.ordered(known)
    assert versions.highest(known) == (found[0] if found else None)
    assert set(found) == {t for t in known if versions.parse_or_none(t)}
