"""The Markdown of a diff, rendered: every name comes out as it is, and none of them is markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from saltbranch.base.markdown import code
from saltbranch.cli.show.diff_markdown import markdown
from saltbranch.compiler.model import Compiled
from tests.support import diffs

# What GitHub and GitLab add to CommonMark and what could turn a name into something.
RENDER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


class Rendered(HTMLParser):
    """Elements, and the text of what is code and of what is not."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.depth = 0
        self.code, self.rest = "", ""
        self.cells: list[int] = []
        self.feed(RENDER.render(text))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.depth += tag == "code"
        if tag == "tr":
            self.cells.append(0)
        if tag in ("td", "th"):
            self.cells[-1] += 1

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag == "code"

    def handle_data(self, data: str) -> None:
        if self.depth:
            self.code += data
        else:
            self.rest += data


OURS = {"h3", "p", "table", "thead", "tbody", "tr", "th", "td", "code", "details", "summary", "pre", "strong",
        "blockquote", "ul", "li"}  # fmt: skip


def test_names_of_strangers_are_code_and_nothing_else() -> None:
    found = Rendered(markdown(diffs.hostile(), limit=None))
    assert found.tags <= OURS, found.tags - OURS
    for name in diffs.HOSTILE:
        clean = "".join(c if c.isprintable() else "\ufffd" for c in name)
        assert clean in found.code or clean[:290] in found.code
    # Outside of code GitHub and GitLab look for people, issues and addresses.
    assert not re.search(r"@|#\d|www\.|://|[0-9a-f]{40}|octocat", found.rest), found.rest
    assert set(found.cells) == {4, 5, 6}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_code_is_the_text_on_one_line_in_a_table(text: str) -> None:
    found = Rendered(f"| a | b |\n|---|---|\n| {code(text)} | x |\n")
    assert found.tags == {"table", "thead", "tbody", "tr", "th", "td", "code"}
    clean = "".join(c if c.isprintable() else "\ufffd" for c in text)
    assert found.code == clean and found.cells == [2, 2]


@pytest.mark.parametrize("limit", range(300, 12_000, 900))
def test_what_is_cut_off_is_whole_up_to_there_and_says_so(limit: int) -> None:
    result = diffs.hostile()
    text = markdown(result, limit=limit, whole="all.md")
    assert len(text) <= limit and "Cut off" in text and "<code>all&#46;md</code>" in text
    lines = text.splitlines()
    assert sum(x.startswith("<details") for x in lines) == lines.count("</details>")
    assert Rendered(text).tags <= OURS | {"em"}


def test_a_fence_is_longer_than_any_in_a_name() -> None:
    fenced = diffs.chunk("`" * 7)
    text = markdown(diffs.fleet(diffs.minion("m1", Compiled("", "ok", chunks=(diffs.chunk("x"),)),
                                             Compiled("", "ok", chunks=(fenced,)))))  # fmt: skip
    assert "\n````````diff\n" in text and Rendered(text).tags <= OURS
