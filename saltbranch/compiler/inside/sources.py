"""Which files of the tree a state's content is made of, as far as its text tells without rendering it.

A template that is rendered tells it itself (`inside.rendered`); this says which ones need that, and it is
what is compared where rendering is not possible. In doubt a template may reach anything.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import salt.utils.stringutils
import salt.utils.url

from saltbranch.compiler.functions import TABLE
from saltbranch.compiler.inside.mask import texts
from saltbranch.compiler.inside.rendered_lines import CHANCE, OPEN, PILLAR, RENDERED

_TEXT = r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'"""
_TAGS = re.compile(
    rf"\{{\{{(?:{_TEXT}|[^\"'])*?\}}\}}|\{{%(?:{_TEXT}|[^\"'])*?%\}}", re.DOTALL
)  # fmt: skip
_IMPORT = re.compile(
    r"\{%[-+]?\s*(?:from|import|include|extends|import_\w+)\b\s*(.*?)[-+]?%\}", re.DOTALL
)
_LITERALS = re.compile(
    rf"\s*(?:({_TEXT})|[\[(]((?:\s*(?:{_TEXT})\s*,?)+)[\])])\s*(?:$|(?:as|import|ignore|with|without)\b)"
)
_QUOTED = re.compile(_TEXT)
_SALT = re.compile(r"\bsalt\b(?!://)")
_CALL = re.compile(r"""salt\s*(?:\[\s*(['"])([\w.]+)\1\s*\]|\.(\w+)\.(\w+))\s*\(""")
_PILLAR = re.compile(r"\b(?:pillar|opts|show_full_context|self|context)\b")
_CHANCE = re.compile(
    r"""(?<!grains\.)(?<!grains\[['"])(?<!pillar\.)\b"""
    r"(?:strftime|now|utcnow|today|uuid\w*|random\w*|rand_\w+|shuffle|get_uuid)\b"
)
_READS_FILES = re.compile(r"\|\s*file_hashsum\b")
_HEADER = "#jinja2:"
_ASK_PILLAR = ("pillar.", "config.", "match.", "test.", "sys.")
_LARGEST = 1 << 18
_DEEP = 20
# These take templates as a rule, and have no argument for it to be so (salt/states/file.py).
_JINJA_BY_DEFAULT = frozenset(("file.append", "file.prepend", "file.blockreplace"))


@dataclass(frozen=True, slots=True)
class Used:
    """What one state uses. files: below states_dir, folders with a slash at the end. flags: see above."""

    files: frozenset[str]
    flags: str


def template_of(function: str, values: Mapping[str, Any]) -> str:
    """The renderer of a state's files; empty for none."""
    kind = values.get("template")
    if kind is None and function in _JINJA_BY_DEFAULT:
        kind = "jinja" if values.get("source") or values.get("sources") else ""
    return kind if isinstance(kind, str) else ""


def local(url: str, saltenv: str) -> str | None:
    """The path below states_dir of what a state names as ``salt://``; None for another saltenv's, or no path."""
    if not url.startswith("salt://"):
        return None
    path, env = salt.utils.url.parse(url)
    if env and env != saltenv:
        return None
    path = posixpath.normpath(path.removeprefix("|"))
    return None if path.startswith(("..", "/")) or path == "." else path


class Sources:
    """Looks at templates of one tree. text: of a file below states_dir, None where there is none."""

    def __init__(
        self,
        states: str,
        text: Callable[[str], str | None],
        below: Callable[[str], list[str]],
        opts: Mapping[str, Any],
    ) -> None:
        """states: the folder. below: the files in one of its folders. opts: Salt's."""
        self.states, self.text, self.below = states, text, below
        env = opts.get("jinja_env")
        self.is_odd = bool(env) or any(opts.get(f"jinja_{n}_blocks") for n in ("trim", "lstrip"))
        self.known: dict[str, tuple[frozenset[str], str]] = {}
        self.folders: dict[str, bool] = {}

    def of(self, function: str, values: Mapping[str, Any], saltenv: str) -> Used:
        """What the state `function` with these arguments uses."""
        template = template_of(function, values)
        found: set[str] = set()
        flags = RENDERED if template or "contents_pillar" in values else ""
        if "contents_pillar" in values:
            flags += PILLAR
        for path in self._named(function, values, saltenv):
            if function == "file.recurse" or self._is_folder(path):
                inner = self._folder(path, values)
                found.update(inner or (f"{path}/",))
                entries = (inner or self.below(path)) if template else []
                flags += PILLAR + OPEN if template and not entries else ""
            else:
                found.add(path)
                entries = [path] if template else []
            for entry in entries:
                files, more = self.closure(entry, template)
                found |= files
                flags += more
        contents = values.get("contents")
        if template and contents is not None:
            for text in texts(contents):
                files, more = self._read("", text)
                found |= files
                flags += more
        return Used(frozenset(found), "".join(sorted(set(flags))))

    def _is_folder(self, path: str) -> bool:
        """Whether a folder of the tree is there; looked for once, for many states name the same file."""
        if path not in self.folders:
            self.folders[path] = os.path.isdir(f"{self.states}/{path}")
        return self.folders[path]

    def _named(self, function: str, values: Mapping[str, Any], saltenv: str) -> Iterator[str]:
        for name, value in values.items():
            if name == "source" and isinstance(value, list) and function != "file.recurse":
                yield from self._first(value, saltenv)
                continue
            for text in _all_texts(value):
                if (path := local(text, saltenv)) is not None:
                    yield path

    def _first(self, several: list[Any], saltenv: str) -> Iterator[str]:
        """Of a list Salt takes the first that is there, so those behind it do not count."""
        for item in several:
            url = next(iter(item), "") if isinstance(item, dict) else item
            path = local(url, saltenv) if isinstance(url, str) else None
            if path is not None:
                yield path
                if os.path.exists(f"{self.states}/{path}"):
                    return

    def _folder(self, path: str, values: Mapping[str, Any]) -> list[str]:
        """The files of a folder that match; empty where all do."""
        chosen = [values.get(name) for name in ("include_pat", "exclude_pat")]
        if not any(chosen):
            return []
        check = salt.utils.stringutils.check_include_exclude
        return [p for p in self.below(path) if check(p[len(path) + 1 :], *chosen)]

    def closure(self, path: str, template: str = "jinja") -> tuple[frozenset[str], str]:
        """`path` and the templates that it imports or includes, as far as they are named; and its flags."""
        if template != "jinja":
            return frozenset((path,)), RENDERED + PILLAR + OPEN
        return self._closed(path, 0)

    def _closed(self, path: str, depth: int) -> tuple[frozenset[str], str]:
        if path in self.known:
            return self.known[path]
        self.known[path] = frozenset((path,)), ""
        text = self.text(path)
        if text is None:
            there = os.path.exists(f"{self.states}/{path}")
            found = frozenset((path,)), OPEN + PILLAR if there else ""
        else:
            files, flags = self._read(path, text, depth)
            found = files | {path}, flags
        self.known[path] = found
        return found

    def _read(self, path: str, text: str, depth: int = 0) -> tuple[frozenset[str], str]:
        """What the text of a template names, and its flags."""
        if self.is_odd or len(text) > _LARGEST or _HEADER in text[:400] or depth > _DEEP:
            return frozenset(), PILLAR + OPEN
        tags = _TAGS.findall(text)
        rest = _TAGS.sub("", text)
        flags = _flags("\n".join(tags))
        if "{{" in rest or "{%" in rest:  # what these are not the tags of
            flags += PILLAR + OPEN
        found: set[str] = set()
        for tag in tags:
            named = _IMPORT.match(tag)
            if named is None:
                continue
            literal = _LITERALS.match(named[1])
            if literal is None:
                flags += OPEN
                continue
            for name in _QUOTED.findall(literal[1] or literal[2]):
                base = posixpath.dirname(path) if name[1:2] == "." else ""
                inner = posixpath.normpath(posixpath.join(base, name[1:-1]))
                if inner.startswith(("..", "/")) or "\\" in name:
                    flags += OPEN
                    continue
                files, more = self._closed(inner, depth + 1)
                found |= files
                flags += more
        return frozenset(found), flags


def _flags(code: str) -> str:
    """What the tags of a template may ask for."""
    flags = PILLAR if _PILLAR.search(code) else ""
    if _CHANCE.search(code):
        flags += CHANCE
    if _READS_FILES.search(code):
        flags += OPEN
    calls = list(_CALL.finditer(code))
    if len(calls) != len(_SALT.findall(code)):
        return flags + PILLAR + OPEN
    for call in calls:
        name = call[2] or f"{call[3]}.{call[4]}"
        entry = TABLE.get(name)
        if entry is None or entry.kind == "reads":
            flags += PILLAR + OPEN
        elif entry.kind != "computes" or name.startswith(_ASK_PILLAR):
            flags += PILLAR
    return flags


def _all_texts(value: Any) -> Iterator[str]:
    """Texts in plain data, keys too: a list of sources may have each with its hash."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _all_texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _all_texts(item)
    elif isinstance(value, str):
        yield value
