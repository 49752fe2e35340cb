"""Nodegroups mean to us what they mean to Salt's own compound matcher."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saltbranch.targets import Matcher, matches

WORDS = [
    "and", "or", "not", "(", ")", "web*", "web1", "db1", "L@web1,db1", "E@web(1|2)", "E@db", "N@inner",
]  # fmt: skip


@pytest.fixture(scope="module")
def salt_matches() -> Any:
    import salt.config
    import salt.loader

    opts = salt.config.minion_config(None)
    opts.update(id="x", grains={})
    compound = salt.loader.matchers(opts)["compound_match.match"]

    def ask(nodegroups: dict[str, object], minion_id: str) -> bool:
        return bool(
            compound(["N@group"], opts={**opts, "nodegroups": nodegroups}, minion_id=minion_id)
        )

    return ask


@settings(max_examples=600, deadline=None)
@given(
    words=st.lists(st.sampled_from(WORDS), max_size=7),
    inner=st.lists(st.sampled_from(WORDS[:-1]), max_size=5),
    minion_id=st.sampled_from(["web1", "web2", "db1", "other"]),
    as_list=st.booleans(),
)
def test_nodegroups_match_as_in_salt(
    salt_matches: Any, words: list[str], inner: list[str], minion_id: str, as_list: bool
) -> None:
    nodegroups: dict[str, object] = {
        "group": words if as_list else " ".join(words),
        "inner": " ".join(inner),
    }
    ours = matches(Matcher("nodegroup", "group"), minion_id, nodegroups)
    assert ours == salt_matches(nodegroups, minion_id)
