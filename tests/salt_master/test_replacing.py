"""What ends on a master that serves already."""

from __future__ import annotations

from typing import Any

import pytest

from saltbranch.salt_master.replacing import find_options, find_roots

DEFAULTS = {"file_roots": {"base": ["/srv/salt"]}, "pillar_roots": {"base": ["/srv/pillar"]}}
AFTER = {"file_roots": {"prod": ["/ours"]}, "pillar_roots": {"prod": ["/ours"]}}


def ending(
    before: dict[str, Any], own: dict[str, Any] | None = None, used: tuple[str, ...] = ()
) -> list[tuple[str, str, str]]:
    places = {key: ("/etc/salt/master",) for key in before}
    found = find_roots(
        before, AFTER, own=own or {}, places=places, defaults=DEFAULTS, is_used=lambda f: f in used
    )
    return [(r.option, r.saltenv, r.folder) for r in found]


@pytest.mark.parametrize(
    ("before", "ends"),
    [
        ({}, []),
        ({"file_roots": {"base": ["/a"]}}, [("file_roots", "base", "/a")]),
        ({"pillar_roots": {"base": ["/a"]}}, [("pillar_roots", "base", "/a")]),
        # In another saltenv the same folder is not the same.
        ({"file_roots": {"dev": ["/ours"]}}, [("file_roots", "dev", "/ours")]),
        ({"file_roots": {"prod": ["/ours", "/b"]}}, [("file_roots", "prod", "/b")]),
        # Salt takes these for no folder, or for its default.
        ({"file_roots": {"base": None}}, []),
        ({"file_roots": {"base": "/a"}}, []),
    ],
)
def test_roots_that_end(before: dict[str, Any], ends: list[tuple[str, str, str]]) -> None:
    assert ending(before) == ends


def test_salts_default_counts_where_something_is_in_it() -> None:
    assert ending({}, used=("/srv/pillar",)) == [("pillar_roots", "base", "/srv/pillar")]
    assert ending({"file_roots": None}, used=("/srv/salt",)) == [
        ("file_roots", "base", "/srv/salt")
    ]


def test_the_own_former_roots_are_nobody_elses() -> None:
    before = {"file_roots": {"qa": ["/ours/qa"], "base": ["/a"]}}
    assert ending(before, own={"file_roots": {"qa": ["/ours/qa"]}}) == [
        ("file_roots", "base", "/a")
    ]


def test_options_that_somebody_has_set_otherwise() -> None:
    before = {"top_file_merging_strategy": "same", "state_top": "top.sls", "pillarenv": "prod"}
    after = {"top_file_merging_strategy": "merge", "state_top": "top.sls", "pillarenv": None}
    places = {key: ("m",) for key in ("top_file_merging_strategy", "state_top")}
    found = find_options(before, after, places)
    assert [(o.option, o.old, o.new) for o in found] == [
        ("top_file_merging_strategy", "same", "merge")
    ]
