"""Whoever writes an error of a compile and whoever reads on from its beginning mean the same one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from saltbranch.compiler import error_texts, message_words
from saltbranch.salt_master import pillar_errors, top_file
from tests.support.modules import MODULES

READERS = ("compiler", "check", "preview")


def texts(path: Path) -> Iterator[str]:
    """The strings of a module that are no docstrings."""
    tree = ast.parse(path.read_text())
    said = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


@pytest.mark.parametrize(
    "module",
    [m for m in MODULES if m.split(".")[0] in READERS and m != "compiler.error_texts"],
)
def test_they_are_written_in_one_place(module: str) -> None:
    for text in texts(MODULES[module]):
        for begin in error_texts.ALL:
            at_begin = text.startswith(begin) if begin == error_texts.PILLAR else begin in text
            assert not at_begin, f"{module} has its own {begin!r}"


def test_their_words_may_be_told() -> None:
    known = message_words.salts_words()
    for text in error_texts.ALL:
        assert {w for w in text.replace(",", " ").replace(":", " ").split() if len(w) > 1} <= known


def test_an_error_is_of_the_pillar_or_of_the_states() -> None:
    error = f"{error_texts.PILLAR}Rendering SLS 'app' failed"
    assert error_texts.is_of_pillar(error)
    assert error_texts.without_area(error) == "Rendering SLS 'app' failed"
    assert not error_texts.is_of_pillar(error_texts.without_area(error))


@pytest.mark.parametrize("module", [m for m in MODULES if m != "salt_master.pillar_errors"])
def test_our_errors_in_pillar_files_are_written_in_one_place(module: str) -> None:
    """`pillar_errors` tells them apart by these words, so nobody else writes them by hand."""
    if not module.startswith(("check.", "compiler.", "salt_master.")):
        return
    for text in texts(MODULES[module]):
        for words in (pillar_errors.OUTSIDE, pillar_errors.NO_RENDERER, pillar_errors.NO_TAG):
            assert words not in text, f"{module} has its own {words!r}"


@pytest.mark.parametrize("words", pillar_errors.OURS)
def test_every_one_of_them_has_a_kind(words: str) -> None:
    assert pillar_errors.kind_of(f"Salt {words} 'x'") != pillar_errors.kind_of("")


@pytest.mark.parametrize("words", [top_file.NO_TARGETS, top_file.NO_SECTIONS])
def test_what_the_generated_top_file_raises_has_a_kind(words: str) -> None:
    assert words in top_file.render_top("prod", {"prod": []})
    said = f"section base of the top file of saltenv prod {words}"
    assert words in pillar_errors.kind_of(said)
