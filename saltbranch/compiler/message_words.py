"""The words of messages that anybody can read: in Salt, Jinja, PyYAML and Python, and ours.

They are taken from the code that was loaded, as it stands in memory (nothing is parsed), before any of a branch ran.
"""

from __future__ import annotations

import builtins
import errno
import os
import re
import sys
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from saltbranch.compiler import error_texts
from saltbranch.salt_master import pillar_errors

_MODULES = (
    "salt.exceptions", "salt.fileclient", "salt.loaded.int.render", "salt.loader", "salt.pillar", "salt.renderers",
    "salt.state", "salt.template", "salt.utils.args", "salt.utils.data", "salt.utils.decorators",
    "salt.utils.dictupdate", "salt.utils.files", "salt.utils.jinja", "salt.utils.optsdict", "salt.utils.stringutils",
    "salt.utils.templates", "salt.utils.yaml", "jinja2", "json", "markupsafe", "yaml",
    "saltbranch.compiler", "saltbranch.salt_master.pillar_errors", "saltbranch.salt_master.top_file",
)  # fmt: skip
_OWN = os.path.dirname(__file__)
_PACKAGES = tuple(f"{name}." for name in _MODULES)
# What is written in C says these (CPython's Objects and Parser, libyaml's scanner.c and parser.c).
_OTHER = """
    object has no attribute is not callable iterable subscriptable an iterator mapping sequence index out of range list
    tuple string indices must be integers or slices support item assignment deletion unsupported operand type for and
    can only concatenate to multiply by non-int cannot unpack non-iterable too many not enough values expected got
    missing required positional argument arguments keyword keywords only takes from were was given unexpected multiple
    at least most instance found between instances supported invalid literal with base could convert float division zero
    modulo maximum recursion depth exceeded while calling comparing local variable referenced before name defined
    module named import partially initialized circular unhashable type dictionary changed size during iteration pop
    codec decode encode byte character position ordinal in invalid start continuation surrogates allowed null embedded
    format code unknown specifier integer string bytes-like byte required positive negative base exponent
    need more than value unpack exceeds limit digits conversion width precision big complex real number
    syntax error expression statement perhaps you forgot a comma never closed unterminated detected line column eof eol
    inconsistent use tabs spaces indentation indent unindent match any outer level after function definition if else
    elif try except finally class def block return yield outside assign here maybe meant instead of
    unmatched parenthesis does opening did find key node indicator document token tag alias anchor control characters
    closing quote handle prefix suffix scanning parsing flow simple plain scalar context
    tab violates where escaped octet leading incorrect hexdecimal alphabetical extremely equal unicode
    timestamp date month year day hour minute second range call last recent most traceback file
    NoneType function method builtin generator dict keys values items collections OrderedDict builtins
    sls id state require
"""
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_SIGNS = re.compile(r"(?:[^\w\s]|_){4,}")
# What a message is filled with is none of its words.
_FILLED = re.compile(r"%(?:\(\w*\))?[-+ #0-9.]*[a-zA-Z]|\{[^{}]*\}")


def salts_words() -> frozenset[str]:
    """All of them. For a process in which nothing of a branch has run."""
    found = set(_OTHER.split())
    found |= {word.capitalize() for word in found}
    found.update(name for name in dir(builtins) if not name.startswith("_"))
    found.update(_words(os.strerror(number) for number in errno.errorcode))
    found.update(_words((*error_texts.ALL, *pillar_errors.OURS)))
    for name, module in [*sys.modules.items()]:
        if name.startswith(("salt.", "jinja2", "yaml")):
            found.update(re.findall(r"[^\W_]{2,}", name))
        if isinstance(module, ModuleType) and _is_ours(name):
            found.update(_words(_said_by(module)))
    return frozenset(found)


def _words(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        plain = _FILLED.sub(" ", text)
        yield from _LETTERS.findall(plain)
        yield from _SIGNS.findall(plain)


def _said_by(module: ModuleType) -> Iterator[str]:
    """The names of a module's classes, and the texts in its functions."""
    own = module.__name__
    for value in [*vars(module).values()]:
        if isinstance(value, FunctionType):
            yield from _texts_of(value)
        elif isinstance(value, type) and value.__module__ == own:
            yield value.__name__
            for inner in [*vars(value).values()]:
                inner = getattr(inner, "__func__", getattr(inner, "fget", inner))
                if isinstance(inner, FunctionType):
                    yield from _texts_of(inner)


def _texts_of(function: FunctionType) -> Iterator[str]:
    """Its texts, and those of what it stands for: the compiler's detours go round functions of Salt's."""
    todo, seen = [function], set()
    while todo:
        function = todo.pop()
        if function in seen:
            continue
        seen.add(function)
        yield from _constants(function.__code__, function.__doc__)
        detour = str(function.__code__.co_filename).startswith(_OWN)
        held = _in_cells(function) if detour else ()
        todo += [f for f in held if isinstance(f, FunctionType) and _is_ours(f.__module__)]


def _is_ours(module: str | None) -> bool:
    return f"{module}.".startswith(_PACKAGES)


def _in_cells(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            pass  # empty yet


def _constants(code: CodeType, documentation: Any = None) -> Iterator[str]:
    todo = [c for c in code.co_consts if c is not documentation]
    while todo:
        constant = todo.pop()
        if isinstance(constant, str) and " " in constant:  # others are keys and options
            yield constant
        elif isinstance(constant, (tuple, frozenset)):
            todo += constant
        elif isinstance(constant, CodeType):
            # A function's first constant is its docstring (inspect.getdoc reads it there).
            yield from _constants(constant, next(iter(constant.co_consts), None))
