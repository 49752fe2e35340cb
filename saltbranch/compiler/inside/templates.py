"""Jinja's templates, compiled once for all forks of a worker, by the worker, from the tree's own files.

To compile a template is to make Python code of it. Half of the time of a highstate goes into that, and the
next minion needs the same ones. But what a fork compiled nobody else can use: it may have run a branch's
code by then. So a fork only says which files it wanted (`missed`), and the worker reads them itself from
the tree, which nobody can write, for the forks to come (`learn`).

Jinja works out constant expressions while it compiles, filters included. In the worker it does not: no
function is called and nothing is multiplied, so a template can neither run anything there nor fill its memory.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import marshal
from collections.abc import Callable, Iterable, Iterator
from types import CodeType
from typing import Any

import jinja2.environment
import jinja2.nodes
from salt.utils.decorators.jinja import JinjaFilter, JinjaTest

CODES: dict[tuple[Any, ...], CodeType] = {}
"""Compiled templates of the tree, by their text, their names and how they are read."""
_ROOM = 24 << 20
LARGEST = 128 << 10
"""Bytes of templates that a worker compiles, all together and one."""

_missed: dict[tuple[str, str, str], None] = {}
_environment: list[Any] = []
_real: Any = jinja2.environment.Environment.compile
_size = 0


def install() -> None:
    """Change Jinja in this process, once: its own cache knows no templates from strings, and every sls
    file comes as one.
    """
    own: dict[tuple[Any, ...], CodeType] = {}

    def compiled(self: Any, source: Any, name: Any = None, filename: Any = None, raw: bool = False,  # noqa: FBT001, FBT002
                 defer_init: bool = False) -> Any:  # noqa: FBT001, FBT002  # fmt: skip
        if raw or not isinstance(source, str):
            return _real(self, source, name, filename, raw, defer_init)
        if not _environment:
            _environment.append(self)  # that of the rehearsal, in which nothing of a branch is
        key = source, name, filename, _style(self, defer_init=defer_init)
        code = CODES.get(key) or own.get(key)
        if code is None:
            code = own[key] = _real(self, source, name, filename, raw, defer_init)
            _missed[_hash(source), str(name or ""), str(filename or "")] = None
        return code

    environment: Any = jinja2.environment.Environment
    environment.compile = compiled


def missed(
    paths: Iterable[str], read: Callable[[str], str | None], inside: Callable[[str], str | None]
) -> list[list[str]]:
    """Path, name and file name of each template that this process had to compile itself.

    paths: the files that it read. read: the text of one. inside: the path in the tree of a file name.
    """
    found = []
    unnamed = {digest for digest, name, _ in _missed if not name}
    for _, name, filename in _missed:
        if name and (path := inside(filename)):
            found.append([path, name, filename])
    if unnamed:
        for path in paths:
            text = read(path)
            if text is not None and _hash(text) in unnamed:
                found.append([path, "", ""])
    return found


def learn(
    items: Iterable[list[str]], always: Iterable[str], read: Callable[[str], str | None]
) -> None:
    """Compile what forks `missed`, and the files `always`, which they need as sls files. read: the text of
    a file. What was compiled before, Jinja may have got more filters for since.
    """
    global _size
    if not _environment:
        return
    env = copy.copy(_environment[0])
    env.loader, env.optimized = None, False
    indent = env.filters["indent"]
    env.filters = {**env.filters, **JinjaFilter.salt_jinja_filters, "indent": indent}
    env.tests = {**env.tests, **JinjaTest.salt_jinja_tests, "list": env.tests["list"]}
    style = _style(env, defer_init=False)
    for path, *names in [*items, *((path, "", "") for path in always)]:
        text = read(path)
        name, filename = (word or None for word in names)
        if text is None or _size + len(text) > _ROOM:
            continue
        key = text, name, filename, style
        if key not in CODES:
            _size += len(text)
            with contextlib.suppress(Exception), _unfolded():
                CODES[key] = _real(env, text, name, filename)


def dumped(known: int) -> bytes:
    """All but the first `known` of `CODES`, for `take`."""
    return marshal.dumps(list(CODES.items())[known:])


def take(data: bytes) -> None:
    """Know what another process `dumped`: one that ran nothing of a branch, for code is believed as it is."""
    global _size
    found = dict(marshal.loads(data))  # noqa: S302
    CODES.update(found)
    _size += sum(len(text) for text, *_ in found)


@contextlib.contextmanager
def _unfolded() -> Iterator[None]:
    """Nothing is worked out while a template is compiled in here."""
    kinds: tuple[Any, ...] = (jinja2.nodes.Filter, jinja2.nodes.Test, jinja2.nodes.BinExpr)
    kept = [kind.__dict__.get("as_const") for kind in kinds]

    def as_const(_self: Any, _context: Any = None) -> Any:
        raise jinja2.nodes.Impossible

    for kind in kinds:
        kind.as_const = as_const
    try:
        yield
    finally:
        for kind, own in zip(kinds, kept, strict=True):
            if own is None:
                del kind.as_const
            else:
                kind.as_const = own


def _style(env: Any, *, defer_init: bool) -> tuple[Any, ...]:
    """What decides beside the text."""
    return (env.block_start_string, env.block_end_string, env.variable_start_string,
            env.variable_end_string, env.comment_start_string, env.comment_end_string,
            env.trim_blocks, env.lstrip_blocks, env.line_statement_prefix,
            env.line_comment_prefix, env.newline_sequence, env.keep_trailing_newline,
            env.autoescape if isinstance(env.autoescape, bool) else None, defer_init,
            _names(tuple(env.filters)), _names(tuple(env.tests)))  # fmt: skip


@functools.cache
def _names(names: tuple[str, ...]) -> str:
    return _hash(repr(sorted(names)))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
