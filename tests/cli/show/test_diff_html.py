"""The HTML report in a real browser: narrow and wide, light, dark and printed, and nothing of a stranger's acts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from saltbranch.cli.show import diff_html
from saltbranch.compiler.model import Compiled
from tests.support import diffs
from tests.support.browser import PROGRAM, Browser, browser

# By which colours a text is read: of all elements with a text of their own that show.
CONTRASTS = """
(() => {
  const rgb = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
  let worst = [99, ""];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.getClientRects().length) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < worst[0]) worst = [ratio, e.outerHTML.slice(0, 200)];
  }
  return worst;
})()
"""
# What reaches out of the window to the right, or out of its own box.
OVERFLOW = """
(() => {
  const wide = document.documentElement.clientWidth;
  const out = [...document.querySelectorAll("body *")].filter(e => e.getClientRects().length
    && (e.getBoundingClientRect().right > wide + 1 || e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0));
  return [document.documentElement.scrollWidth <= wide, out.map(e => e.outerHTML.slice(0, 200))];
})()
"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if PROGRAM is None:
        pytest.skip("no Chromium here (apt-get install chromium): the page is not looked at")
    folder = tmp_path_factory.mktemp("page")
    page = folder / "diff.html"
    page.write_text(diff_html.page(diffs.hostile()))
    with browser(folder / "profile") as found:
        found.open(page)
        yield found


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_it_fits_and_can_be_read(opened: Browser, width: int, scheme: str, tmp_path: Path) -> None:
    opened.look(width, scheme=scheme)
    fits, out = opened.ask(OVERFLOW)
    assert fits and not out, out[:5]
    ratio, where = opened.ask(CONTRASTS)
    assert ratio >= 4.5, (ratio, where)  # WCAG 2.2, 1.4.3
    dark = opened.ask("getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(13, 17, 23)") == (scheme == "dark")
    opened.picture(tmp_path / f"{width}-{scheme}.png")


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_nothing_acts_and_nothing_is_loaded(opened: Browser) -> None:
    assert opened.ask("window.pwned") is None
    assert [url for url in opened.requests if not url.startswith("file:")] == []
    assert len([url for url in opened.requests if url.startswith("file:")]) == 1
    assert opened.ask("document.scripts.length") == 0
    assert (
        opened.ask(
            "document.querySelectorAll('img, iframe, link, object, [onerror], [onclick]').length"
        )
        == 0
    )
    assert opened.ask("document.querySelectorAll('style').length") == 1
    # The policy of the page stops what would come in past the escaping, too.
    add = "const s = document.createElement('{}'); {}; document.body.append(s); s.remove()"
    opened.ask("{" + add.format("script", "s.textContent = 'window.pwned = 3'") + "}")
    opened.ask("{" + add.format("img", "s.src = 'http://192.0.2.1/x.png'") + "}")
    assert opened.ask("window.pwned") is None
    assert any("Content Security Policy" in text for text in opened.messages)


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_what_is_folded_is_printed(opened: Browser) -> None:
    opened.look(800)
    shown = (
        "[...document.querySelectorAll('details > *:not(summary)')].every("
        "e => e.checkVisibility() && e.getClientRects().length)"
    )
    opened.ask("document.querySelectorAll('details').forEach(d => d.open = false)")
    assert opened.ask(shown) is False
    opened.look(800, media="print")
    assert opened.ask(shown) is True
    opened.look(800)
    assert opened.ask(shown) is False


class Texts(HTMLParser):
    """What a page shows, and the elements that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.tags, self.targets, self.ids = "", set[str](), set[str](), set[str]()
        self.depth: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found: dict[str, Any] = dict(attrs)
        if tag == "a":
            self.targets.add(found["href"])
        if "id" in found:
            self.ids.add(found["id"])
        if tag not in ("meta",):
            self.depth.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.depth.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.depth and self.depth[-1] != "style":
            self.text += data


def test_every_name_is_text_and_every_link_leads_somewhere() -> None:
    page = diff_html.page(diffs.hostile())
    found = Texts()
    found.feed(page)
    found.close()
    assert found.depth == []
    assert not {"script", "img", "b"} & found.tags
    assert "http://" not in re.sub(r"\(http://example\.com[^)]*\)", "", page)
    for name in diffs.HOSTILE:
        clean = "".join(c if c.isprintable() else "\ufffd" for c in name)
        assert f"{clean}" in found.text
    assert not set("\u202e\u2066\u200f\r") & set(page)
    assert found.targets <= {f"#{name}" for name in found.ids} and len(found.targets) > 12
    for text in ("a" * 12, "2026-01-01T00:00:00Z", "KEY-1", "https://git.example.com/ops/salt.git",
                 "salt/app/web.sls:3", "Not compiled, and why", "9 minions not compiled"):  # fmt: skip
        assert text in found.text


def test_a_diff_without_a_difference_is_a_page_too() -> None:
    same = Compiled("", "ok", chunks=(diffs.chunk("same"),))
    page = diff_html.page(diffs.fleet(diffs.minion("m1", same, same)))
    assert "No minion that was compiled changes." in page and "0 of 1 minion change" in page


def test_a_hidden_value_is_nowhere() -> None:
    old = Compiled(
        "", "ok", chunks=(diffs.chunk("a", x={"masked": "9" * 32}),), pillar={"p:q": "9" * 32}
    )
    new = Compiled(
        "", "ok", chunks=(diffs.chunk("a", x={"masked": "8" * 32}),), pillar={"p:q": "8" * 32}
    )
    page = diff_html.page(diffs.fleet(diffs.minion("m1", old, new)))
    assert "99999999" not in page and "88888888" not in page
    assert "hidden: the pillar&#39;s p:q" in page
    assert "shown_pillar: [&#34;p:q&#34;]" in page
