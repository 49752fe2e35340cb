"""Salt in the tests' own process, without what it does anew for every object though it comes out the same.

Two thirds of a small highstate are lists of the folders of Salt's own modules, which nobody changes, and templates
compiled to Python code once more. What these are for is Salt's own, and so is all that comes out.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from typing import Any

import jinja2
import pytest

_mappings: dict[Any, tuple[Any, ...]] = {}
_codes: dict[Any, Any] = {}
_compile: Any = jinja2.Environment.compile


@pytest.fixture
def brisk_salt(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test of what Salt makes of files, in this process."""
    import salt.utils.entrypoints
    from salt.loader.lazy import LazyLoader

    mapping = LazyLoader._refresh_file_mapping
    own = os.path.dirname(os.path.abspath(salt.__file__)) + os.sep

    def refresh(self: Any) -> None:
        folders = [folder for folder in self.module_dirs if os.path.isdir(folder)]
        if not all(folder.startswith(own) for folder in folders):
            mapping(self)
            return
        key = (*folders, "", *sorted(self.disabled), "", *self.static_modules)
        if key not in _mappings:
            mapping(self)
            _mappings[key] = (self.file_mapping, self.suffix_map, self.suffix_order)
        files, suffixes, order = _mappings[key]
        self.file_mapping, self.suffix_map = dict(files), dict(suffixes)
        self.suffix_order = [*order]

    monkeypatch.setattr(LazyLoader, "_refresh_file_mapping", refresh)
    monkeypatch.setattr(jinja2.Environment, "compile", _compiled)
    points = salt.utils.entrypoints
    monkeypatch.setattr(points, "iter_entry_points", functools.cache(points.iter_entry_points))


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
