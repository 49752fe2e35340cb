"""Which commit a saltenv is to serve: a hold, else a tag, else the branch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltbranch.journal.facts import Hold
from saltbranch.repository.served_commit import wanted

HEAD, OLD, HELD = "a" * 40, "b" * 40, "c" * 40
HOLD = Hold("prod", HELD, "hold", "why", "Ann", 0, None, "id")
FINAL, CANDIDATE = r"^v[0-9]+(\.[0-9]+)*$", r"^v[0-9]+(\.[0-9]+)*-rc\.[0-9]+$"
TAGS = {"v1.9": OLD, "v1.10": HEAD, "v1.11-rc.2": OLD, "v1.11-rc.10": HEAD, "nightly": OLD}


@pytest.mark.parametrize(
    ("head", "follow", "tags", "hold", "expected"),
    [
        (HEAD, None, TAGS, None, (HEAD, "branch", "")),
        (HEAD, None, {}, None, (HEAD, "branch", "")),
        (None, None, TAGS, None, (None, "nothing", "")),
        (HEAD, FINAL, TAGS, None, (HEAD, "tag", "v1.10")),
        (HEAD, CANDIDATE, TAGS, None, (HEAD, "tag", "v1.11-rc.10")),
        (HEAD, FINAL, {"v1": OLD}, None, (OLD, "tag", "v1")),
        (HEAD, FINAL, {"nightly": OLD}, None, (None, "nothing", "")),
        (HEAD, "nightly", TAGS, None, (None, "nothing", "")),  # it matches, and is not a version
        (HEAD, FINAL, {}, None, (None, "nothing", "")),
        (None, FINAL, TAGS, None, (None, "nothing", "")),
        (HEAD, None, TAGS, HOLD, (HELD, "hold", "")),
        (HEAD, FINAL, TAGS, HOLD, (HELD, "hold", "")),
        (None, None, {}, HOLD, (HELD, "hold", "")),
    ],
)
def test_hold_then_tag_then_branch(
    head: str | None,
    follow: str | None,
    tags: dict[str, str],
    hold: Hold | None,
    expected: tuple[str | None, str, str],
) -> None:
    found = wanted(head, follow, tags, hold)
    assert (found.commit, found.why, found.tag) == expected
    assert found.hold is hold


@given(
    st.dictionaries(
        st.from_regex(r"v[0-9]{1,3}(\.[0-9]{1,3}){0,2}", fullmatch=True),
        st.sampled_from([HEAD, OLD]),
    )
)
def test_higher_tag_that_is_added_is_always_taken(tags: dict[str, str]) -> None:
    assert wanted(HEAD, FINAL, tags | {"v1000": HELD}, None).tag == "v1000"
    found = wanted(HEAD, FINAL, tags | {"v1000-rc.1": HELD}, None)
    assert found.commit == tags.get(found.tag)
