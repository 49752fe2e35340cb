"""Saltenvs that are written out: after a promotion such a line still means the old one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jinja2 import nodes as jinja

from saltbranch.check import catalogue as rules
from saltbranch.check.finding import Finding
from saltbranch.check.project import Project, Source, Tools
from saltbranch.check.template import literal
from saltbranch.check.yaml_nodes import line_of, text_of, walk

_QUERY = re.compile(r"salt://[^\s'\"?]*\?saltenv=([\w.-]+)")
_KEYS = ("saltenv", "pillarenv", "__env__")


def check(project: Project, _tools: Tools) -> Iterator[Finding]:
    """Files that Salt renders."""
    for area in ("states", "pillar"):
        for source in project.judged(area):
            yield from _queries(source)
            yield from _calls(source)
            if area == "states" and source.name != "top.sls":
                yield from _arguments(source)
            for include in source.declared.includes:
                if include.saltenv is not None and literal(include.saltenv):
                    message = f"it includes {include.sls[:80]!r} from the saltenv {include.saltenv[:60]!r}"
                    yield rules.SALTENV.at(source.path, include.line, message)


def _queries(source: Source) -> Iterator[Finding]:
    for number, line in enumerate((source.text or "").split("\n"), 1):
        if "saltenv=" in line and not line.lstrip().startswith(("#", "{#")):
            for found in _QUERY.finditer(line[:4096]):
                message = f"{found[0][:150]} names the saltenv {found[1][:60]!r}"
                yield rules.SALTENV.at(source.path, number, message)


def _calls(source: Source) -> Iterator[Finding]:
    for call in source.template.find_all(jinja.Call) if source.template else ():
        for keyword in call.kwargs:
            value = keyword.value
            if keyword.key in _KEYS and isinstance(value, jinja.Const) and value.value is not None:
                message = f"a call names the {keyword.key} {str(value.value)[:60]!r}"
                yield rules.SALTENV.at(source.path, call.lineno, message)


def _arguments(source: Source) -> Iterator[Finding]:
    for path, node in walk(source.root):
        text = text_of(node)
        if path and path[-1] in _KEYS and len(path) > 2 and text and literal(text):
            message = f"{path[-1]} is set to {text[:60]!r}"
            yield rules.SALTENV.at(source.path, line_of(node), message)
