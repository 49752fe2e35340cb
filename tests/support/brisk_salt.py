"""Salt without what it does anew for every object, or in every process, though it comes out the same.

Two thirds of a small highstate are lists of the folders of Salt's own modules, which nobody changes, and templates
compiled to Python code once more; a minion reads its private key for each request, and whether that is made of two
primes takes longer than all the rest. What these are for is Salt's own, and so is all that comes out.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import jinja2

_mappings: dict[Any, dict[str, Any]] = {}
_codes: dict[Any, Any] = {}
_compile: Any = jinja2.Environment.compile
REAL: dict[str, Callable[[Any], None]] = {}
"""What is replaced of Salt's loader, by its name."""


def use() -> None:
    """Let Salt in this process, and in its forks, be so."""
    import cryptography.hazmat.primitives.serialization as keys
    import salt.crypt  # noqa: F401 - before its parts are replaced
    import salt.utils.entrypoints
    from salt.loader.lazy import LazyLoader
    from salt.utils.optsdict import OptsDict

    REAL["_refresh_file_mapping"] = LazyLoader._refresh_file_mapping
    LazyLoader._refresh_file_mapping = _refresher(LazyLoader._refresh_file_mapping)
    # Each loader asks for it, and Salt counts the 400 options to answer.
    OptsDict.__bool__ = lambda self: any(key in self for key in self._get_all_keys())
    with contextlib.suppress(ImportError):
        import pyximport  # noqa: F401 - Salt asks for it each time, on all of sys.path
    sys.modules.setdefault("pyximport", None)  # type: ignore[arg-type]
    jinja2.Environment.compile = _compiled
    # Importing Salt lets everything through, for handlers to choose from: nobody here wants less than a warning.
    logging.getLogger("salt").setLevel(logging.WARNING)
    points = salt.utils.entrypoints
    points.iter_entry_points = functools.cache(points.iter_entry_points)
    load = functools.partial(keys.load_pem_private_key, unsafe_skip_rsa_key_validation=True)
    keys.load_pem_private_key = functools.cache(load)


def look_ahead() -> None:
    """Let forks know what the folders of Salt's own modules hold, and the code of these modules."""
    import salt.config
    from salt.loader.lazy import LazyLoader

    import salt

    codes = {}
    for file in Path(salt.__file__).parent.glob("*/*.py"):
        with contextlib.suppress(SyntaxError):
            codes[str(file)] = SourceFileLoader("", str(file)).get_code("")
    get_code: Any = SourceFileLoader.get_code
    SourceFileLoader.get_code = lambda self, name: codes.get(self.path) or get_code(self, name)  # type: ignore
    for folder in sorted(Path(salt.__file__).parent.iterdir()):
        if folder.is_dir() and folder.name != "__pycache__":
            LazyLoader([str(folder)], dict(salt.config.DEFAULT_MINION_OPTS), tag=folder.name)


def _refresher(real: Callable[[Any], None]) -> Callable[[Any], None]:
    """`LazyLoader._refresh_file_mapping`, which knows what Salt's own folders hold."""
    import salt

    own = os.path.dirname(os.path.abspath(salt.__file__)) + os.sep

    def refresh(self: Any) -> None:
        folders = [folder for folder in self.module_dirs if os.path.isdir(folder)]
        others = [folder for folder in folders if not folder.startswith(own)]
        salts = folders[len(others) :]
        if not salts or folders != [*others, *salts] or self.static_modules:
            real(self)
            return
        dirs, self.module_dirs = self.module_dirs, others
        real(self)  # with the suffixes that depend on options, too
        key = (*salts, "", *sorted(self.disabled), "", *self.suffix_order)
        key += (*self.opts["optimization_order"],)
        if key not in _mappings:
            found, self.module_dirs = self.file_mapping, salts
            real(self)
            self.file_mapping, _mappings[key] = found, self.file_mapping
        self.module_dirs = dirs
        if self.file_mapping.keys() & _mappings[key].keys():
            real(self)  # which one counts is for Salt to say
        else:
            self.file_mapping.update(_mappings[key])

    return refresh


def _compiled(self: Any, source: Any, *names: Any, **options: Any) -> Any:
    if not isinstance(source, str):
        return _compile(self, source, *names, **options)
    key = (source, names, *sorted(options.items()), *_style(self))
    if key not in _codes:
        _codes[key] = _compile(self, source, *names, **options)
    return _codes[key]


def _style(env: Any) -> Iterator[Any]:
    """What decides beside the text."""
    yield type(env)
    yield from sorted(env.extensions)
    for names in (env.filters, env.tests):
        yield from ("", *sorted(names))
    for name in (
        "block_start_string", "block_end_string", "variable_start_string", "variable_end_string",
        "comment_start_string", "comment_end_string", "line_statement_prefix", "line_comment_prefix",
        "trim_blocks", "lstrip_blocks", "newline_sequence", "keep_trailing_newline", "optimized", "is_async",
        "autoescape",
    ):  # fmt: skip
        yield getattr(env, name)
