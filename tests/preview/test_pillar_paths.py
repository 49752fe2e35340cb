"""A hidden value is told to be a path's only where both sides agree."""

from __future__ import annotations

import pytest

from saltbranch.preview.pillar_paths import Pillars, looks_secret


def masked(digit: str) -> dict[str, str]:
    return {"masked": digit * 32}


OLD = {"a": "1" * 32, "b": "1" * 32, "c": "3" * 32}
NEW = {"a": "2" * 32, "b": "1" * 32, "d": "2" * 32}


@pytest.mark.parametrize(
    ("pair", "paths"),
    [
        ((masked("1"), masked("2")), ("a",)),
        ((masked("1"), masked("1")), ("b",)),
        ((masked("3"), masked("2")), ()),
        ((masked("1"), "literal"), ("a", "b")),
        ((None, masked("2")), ("a", "d")),
        (("old", "new"), ()),
        ((masked("9"), masked("9")), ()),
    ],
)
def test_a_path_is_told_where_both_sides_agree(
    pair: tuple[object, object], paths: tuple[str, ...]
) -> None:
    assert Pillars(OLD, NEW).of_pair(*pair) == paths


def test_an_id_is_looked_up_on_the_side_that_has_it() -> None:
    pillars = Pillars(OLD, NEW)
    assert pillars.of_id("*** ~33333333 | user.present", new=False) == ("c",)
    assert pillars.of_id("*** ~33333333 | user.present", new=True) == ()
    assert pillars.of_id("plain | user.present", new=True) == ()


@pytest.mark.parametrize("path", ["db:password", "api:token", "x:private_key", "Secret"])
def test_paths_that_speak_of_secrets(path: str) -> None:
    assert looks_secret(path) and not looks_secret("web:port")
