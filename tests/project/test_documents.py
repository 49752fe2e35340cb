"""The documents: every link and anchor leads somewhere, and what is made from the code is current."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from docs import generate
from saltbranch.base import errors
from saltbranch.config.keys import json_schema

TOP = Path(__file__).parents[2]
DOCS = TOP / "docs"
PAGES = [TOP / "README.md", TOP / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
GENERATED = generate.pages()
_LINES = 150


def _prose(path: Path) -> str:
    """The text of a page without its blocks and spans of code."""
    text = re.sub(r"^ *```.*?^ *```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`]*`", "code", text)


def _anchors(path: Path) -> set[str]:
    """What headings of a page are called in links, by mkdocs and by git servers alike."""
    text = re.sub(r"^ *```.*?^ *```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", t).strip().lower().replace(" ", "-") for t in titles}


def _links(path: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(path)):
        if not urlsplit(target).scheme:
            yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(TOP)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in _links(page):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.is_file(), target
        if anchor:
            assert anchor in _anchors(file), target


def test_links_are_found_at_all() -> None:
    assert sum(1 for page in PAGES for _ in _links(page)) > 100


def test_every_page_stands_in_the_navigation_or_in_the_index_of_decisions() -> None:
    nav = yaml.safe_load((TOP / "mkdocs.yml").read_text())["nav"]
    named = set(_files(nav)) | {f"decisions/{t}" for t in _links(DOCS / "decisions" / "index.md")}
    assert {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} <= named


def _files(nav: Any) -> Iterator[str]:
    match nav:
        case str():
            yield nav
        case dict():
            for value in nav.values():
                yield from _files(value)
        case list():
            for value in nav:
                yield from _files(value)


def test_the_readme_is_short() -> None:
    assert len((TOP / "README.md").read_text().splitlines()) <= _LINES


@pytest.mark.parametrize("page", GENERATED, ids=lambda p: p.name)
def test_generated_pages_are_current(page: Path) -> None:
    """``./dev run python docs/generate.py`` writes them."""
    assert page.read_text() == GENERATED[page]


def test_the_reference_has_every_key_of_the_configuration_with_a_text() -> None:
    text = (DOCS / "reference" / "configuration.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    named = {re.sub(r"^\| `(?:saltenvs\.<name>\.)?(\w+)` \|.*", r"\1", row) for row in rows}
    structs: Any = json_schema()["$defs"]
    machine_and_model = set(structs["FileModel"]["properties"]) - {"saltenvs"}
    assert machine_and_model | set(structs["SaltenvModel"]["properties"]) == named
    assert [row for row in rows if row.endswith("| |")] == []


def test_every_exit_code_of_an_error_has_its_meaning() -> None:
    def below(error: type[errors.SaltbranchError]) -> Iterator[int]:
        yield error.exit_code
        for one in error.__subclasses__():
            yield from below(one)

    constants = {
        value
        for name, value in vars(errors).items()
        if name.startswith("EXIT_") and isinstance(value, int)
    }
    assert {0, 2} | constants | set(below(errors.SaltbranchError)) == set(errors.EXIT_CODES)


def test_a_page_whose_comments_are_gone_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="unpack"):
        generate._filled("# Exit codes\n", "codes", [])


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda p: str(p.relative_to(DOCS)))
def test_prose_is_wrapped(page: Path) -> None:
    """Tables and code are as wide as they are."""
    if generate.NOTE in page.read_text():
        return
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in text.splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > 100 and " " in line.strip()[2:90]] == []


def test_modules_that_decisions_name_exist() -> None:
    known = {str(path.relative_to(TOP)) for path in TOP.rglob("*.py") if ".venv" not in path.parts}
    known |= {"/salt/states/file.py"}  # Salt's own
    for page in DOCS.rglob("*.md"):
        for name in re.findall(r"`([\w/.-]+\.py)`", page.read_text()):
            assert any(f"/{path}".endswith(f"/{name}") for path in known), f"{page.name}: {name}"
