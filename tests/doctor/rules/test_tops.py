"""The rules about branches' own top files, which are read and not rendered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltbranch.doctor.rules import tops


def ids(text: str | None, kind: str = "states") -> list[str]:
    return [finding.id for finding in tops.check("test", "develop", kind, text)]


FINE = [
    "base:\n  '*': [common]\n",
    "test:\n  '*': [common]\n",
    "'{{ saltenv }}':\n  '*': [common]\n",
    "{{ saltenv }}:\n  '*': [common]\n",
    "#!jinja|yaml\nbase:\n  '*': [common]\n",
    "{# prod: #}base:\n  {% if grains.os == 'Debian' %}\n  '*': [a]\n  {% endif %}\n",
    "'{{ where }}':\n  '*': [common]\n",
    "include: [tops.test]\n",
    "base:\n  '*': [a]\n  'roles:web':\n    - match: grain\n    - web\n",
    "base: [[[",
    "{{ salt['my.top']() }}",
    "",
]


@pytest.mark.parametrize("text", FINE[:-1])
@pytest.mark.parametrize("kind", ["states", "pillar"])
def test_an_ordinary_top_file_is_fine(text: str, kind: str) -> None:
    found = ids(text, kind)

    assert found in ([], ["pillar-by-grain"] if kind == "pillar" and "grain\n" in text else [])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "no-top"),
        ("#!py\ndef run():\n  return {}\n", "top-renderer"),
        ("#!jinja|yaml|gpg\nbase: {}\n", "top-renderer"),
        ("prod:\n  '*': [secret]\n", "top-without-section"),
        ("{}\n", "top-without-section"),
        ("base:\n  '*': [a]\nprod:\n  '*': [b]\n", "top-foreign-section"),
        ("test:\n  '*': [a]\nstage:\n  '*': [b]\nprod:\n  '*': [c]\n", "top-foreign-section"),
    ],
)
def test_what_a_top_file_cannot_have_is_found(text: str | None, found: str) -> None:
    assert ids(text) == [found]


def test_a_missing_pillar_top_is_a_note_only() -> None:
    (finding,) = tops.check("test", "develop", "pillar", None)

    assert finding.severity == "note"


@pytest.mark.parametrize(
    "row",
    [
        "'os:Debian': [{match: grain}, a]",
        "'tier:front': [{match: pillar}, a]",
        "'10.0.0.0/8': [{match: ipcidr}, a]",
        "'G@os:Debian': [a]",
        "'web* and not G@os:Debian': [{match: compound}, a]",
        "'( I@tier:x or web1 )': [a]",
        "'P|@os|Deb.*': [a]",
    ],
)
def test_pillar_by_what_a_minion_says_of_itself_is_a_note(row: str) -> None:
    (finding,) = tops.check("test", "develop", "pillar", f"base:\n  {row}\n")

    assert (finding.id, finding.severity) == ("pillar-by-grain", "note")
    assert ids(f"base:\n  {row}\n", "states") == []


@pytest.mark.parametrize(
    "row",
    [
        "'*': [a]",
        "'web1,web2': [{match: list}, a]",
        "'E@web(1|2) or L@db1': [a]",
        "'me@example.com': [a]",
        "'G@os:Debian': [{match: glob}, a]",
    ],
)
def test_pillar_by_id_is_fine(row: str) -> None:
    assert ids(f"base:\n  {row}\n", "pillar") == []


@given(st.text())
def test_no_text_is_too_odd_to_be_looked_at(text: str) -> None:
    for kind in ("states", "pillar"):
        assert all(
            f.severity in ("error", "warning", "note") for f in tops.check("t", "b", kind, text)
        )
