"""A stranger's text says what its letters say, in every kind of message."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltbranch.config.notify import FORMATS, Format
from saltbranch.notify.escape import escaped

HOSTILE = [
    "@everyone look", "<!channel>", "<@U123>", "<https://evil.example|click>", "[click](https://evil.example)",
    "![x](https://evil.example/x.png)", "<script>alert(1)</script>", "<b>bold</b>", "**bold** _it_ `code`",
    "\u202egnp.exe", "a\x1b[31mred", "javascript:alert(1)", "\r\nX-Header: 1", "a\nb",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("text", HOSTILE)
def test_no_mention_no_link_no_markup_no_control(text: str, form: Format) -> None:
    told = escaped(text, form)
    for bad in (
        "@everyone",
        "<!channel>",
        "<@U123>",
        "https://",
        "javascript:",
        "\u202e",
        "\x1b",
        "\r",
    ):
        assert bad not in told
    if form == "html":
        assert "<" not in told.replace("<br>", "")
        assert "<b>" not in told and "<script" not in told
    if form == "markdown":
        assert "<" not in told and "](" not in told
        assert "**" not in told.replace("\\*", "")


def test_what_is_harmless_stays_as_it_is() -> None:
    assert (
        escaped("KEY-12 a new state by Ann, ann@work", "text").replace("\u200b", "")
        == "KEY-12 a new state by Ann, ann@work"
    )


@given(st.text())
def test_html_says_the_same_letters(text: str) -> None:
    plain = escaped(text, "text")
    assert html.unescape(escaped(text, "html").replace("<br>\n", "\n")) == plain
