"""What a template asks for before it names it: questions whether a file of the served tree is there. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Salt's functions, by themselves or as items of a list of names. What a machine has in folders of its own says
# nothing of the tree.
_ASKS = re.compile(
    r"""\b(?:(?:(?:file|path)_exists(?!['"\])]*\(\s*['"]
          /(?:etc|usr|s?bin|lib\w*|proc|sys|dev|run|boot|root|home|tmp|opt|var/(?!cache/salt/))))
      | (?:sls|state|template)_exists
      | cp[.'"\]\[]+(?:list_(?:master|states)\w*|hash_file|is_cached))""",
    re.VERBOSE,
)
_BEGIN = re.compile(r"\{%[-+]?\s*(?:if|elif|set\s+(\w+)\s*=)")
_NOT = re.compile(r"\s+not\b")
_NOT_IN = re.compile(r"\bnot\s+in\b")
_SEVERAL = re.compile(r"\b(?:and|or)\b")
_PARTS = re.compile(
    r""" "((?:\\.|[^"\\])*)" | '((?:\\.|[^'\\])*)' | (?<![\w.])([A-Za-z_]\w*)\b(?!\s*=(?!=)) """,
    re.VERBOSE | re.DOTALL,
)
_WORD = re.compile(r"[\w-]+")
# No variables with something computed.
_FIXED = frozenset(
    "if elif set in not and or is else true false none True False None defined"
    " salt saltenv env opts".split()
)
# What all names of files have in common.
_COMMON = frozenset(("srv", "salt", "pillar", "states", "sls", "init"))

NOTHING: frozenset[str] = frozenset()
"""What no question asks for."""
_ANYTHING = "*"

Asked = Mapping[str, frozenset[str]]
"""Variables that hold the answer to a question, with its words."""


def asked(tag: str, answers: Asked) -> frozenset[str]:
    """The words of the names that a statement asks for; `NOTHING` where it asks for no file.

    tag: ``{% if ... %}``, ``{% elif ... %}`` or ``{% set x = ... %}``.
    """
    begin = _BEGIN.match(tag)
    if begin is None:
        return NOTHING
    found: set[str] = set()
    asks, computed = _ASKS.search(tag) is not None, False
    for double, single, name in _PARTS.findall(tag, begin.end()):
        if name in answers:
            asks = True
            found |= answers[name]
        elif name:
            computed = computed or name not in _FIXED
        else:
            found.update(_WORD.findall(double or single))
    return frozenset(found | {_ANYTHING} if computed else found) if asks else NOTHING


def variable(tag: str) -> str:
    """What ``{% set x = ... %}`` sets; empty for other statements."""
    begin = _BEGIN.match(tag)
    return (begin[1] or "") if begin else ""


def is_negated(tag: str) -> bool:
    """Whether an ``{% if ... %}`` is about what is there only after its ``{% else %}``."""
    begin = _BEGIN.match(tag)
    if begin is None or _SEVERAL.search(tag):
        return False
    return _NOT.match(tag, begin.end()) is not None or _NOT_IN.search(tag) is not None


def may_be_about(words: frozenset[str], path: str) -> bool:
    """Whether a question with these words may be one for the file at `path`, below a root of the tree."""
    if not words or _ANYTHING in words:
        return bool(words)
    # The ending of a file is that of many others.
    stems = (part.partition(".")[0] for part in path.split("/"))
    own = {word for stem in stems for word in _WORD.findall(stem)} - _COMMON
    return not own or not own.isdisjoint(words)
