"""Whoever writes an error of a compile and whoever reads on from its beginning mean the same one."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from saltbranch.compiler import error_texts, message_words
from saltbranch.salt_master import pillar_errors, top_file
from tests.support.modules import MODULES, nodes

READERS = ("compiler", "check", "preview")


def texts(module: str) -> Iterator[str]:
    """The strings of a module that are no docstrings."""
    found = nodes(module)
    said = {id(n.value) for n in found if isinstance(n, ast.Expr)}
    for node in found:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


def test_they_are_written_in_one_place() -> None:
    wrong = [
        f"{module} has its own {begin!r}"
        for module in MODULES
        if module.split(".")[0] in READERS and module != "compiler.error_texts"
        for text in texts(module)
        for begin in error_texts.ALL
        if (text.startswith(begin) if begin == error_texts.PILLAR else begin in text)
    ]
    assert wrong == []


def test_their_words_may_be_told() -> None:
    known = message_words.salts_words()
    for text in error_texts.ALL:
        assert {w for w in text.replace(",", " ").replace(":", " ").split() if len(w) > 1} <= known


def test_an_error_is_of_the_pillar_or_of_the_states() -> None:
    error = f"{error_texts.PILLAR}Rendering SLS 'app' failed"
    assert error_texts.is_of_pillar(error)
    assert error_texts.without_area(error) == "Rendering SLS 'app' failed"
    assert not error_texts.is_of_pillar(error_texts.without_area(error))


def test_our_errors_in_pillar_files_are_written_in_one_place() -> None:
    """`pillar_errors` tells them apart by these words, so nobody else writes them by hand."""
    wrong = [
        f"{module} has its own {words!r}"
        for module in MODULES
        if module.startswith(("check.", "compiler.", "salt_master."))
        and module != "salt_master.pillar_errors"
        for text in texts(module)
        for words in (pillar_errors.OUTSIDE, pillar_errors.NO_RENDERER, pillar_errors.NO_TAG)
        if words in text
    ]
    assert wrong == []


@pytest.mark.parametrize("words", pillar_errors.OURS)
def test_every_one_of_them_has_a_kind(words: str) -> None:
    assert pillar_errors.kind_of(f"Salt {words} 'x'") != pillar_errors.kind_of("")


@pytest.mark.parametrize("words", [top_file.NO_TARGETS, top_file.NO_SECTIONS])
def test_what_the_generated_top_file_raises_has_a_kind(words: str) -> None:
    assert words in top_file.render_top("prod", {"prod": []})
    said = f"section base of the top file of saltenv prod {words}"
    assert words in pillar_errors.kind_of(said)
