"""Includes of sls files, and what templates import: do they exist?"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from jinja2 import nodes as jinja

from saltbranch.check import catalogue as rules
from saltbranch.check.finding import Finding
from saltbranch.check.project import Project, Source, Tools, absolute
from saltbranch.check.template import literal


def check(project: Project, _tools: Tools) -> Iterator[Finding]:
    """Every include and import whose name is written out."""
    for area in ("states", "pillar"):
        for source in project.judged(area):
            yield from _includes(project, source)
            yield from _imports(project, source)


def _includes(project: Project, source: Source) -> Iterator[Finding]:
    for include in source.declared.includes:
        if include.saltenv is not None or not literal(include.sls):
            continue
        name = absolute(source, include.sls)
        if source.guarded(include.line, name.replace(".", "/")):
            continue
        if not project.sls_like(source.area, name) and not project.has_sls(source.area, name):
            message = f"it includes {include.sls[:100]!r}, and there is no sls {name[:100]!r}"
            yield rules.INCLUDE.at(source.path, include.line, message)


def _imports(project: Project, source: Source) -> Iterator[Finding]:
    for node, names in templates(source):
        if getattr(node, "ignore_missing", False) or names is None:
            continue
        paths = [below(source, name) for name in names]
        if any(source.guarded(node.lineno, path) for path in paths):
            continue
        if not any(project.has_file(source.area, path) for path in paths):
            message = (
                f"the template {names[0][:100]!r} does not exist" if names else "it names none"
            )
            yield rules.TEMPLATE.at(source.path, node.lineno, message)


def templates(source: Source) -> Iterator[tuple[jinja.Node, list[str] | None]]:
    """What imports or includes templates, with their names as written; None where one of these is computed."""
    if source.template is None:
        return
    for node in source.template.find_all((jinja.Import, jinja.FromImport, jinja.Include)):
        template: jinja.Expr = getattr(node, "template")  # noqa: B009
        names = template.items if isinstance(template, (jinja.List, jinja.Tuple)) else [template]
        written = [
            n.value for n in names if isinstance(n, jinja.Const) and isinstance(n.value, str)
        ]
        yield node, written if len(written) == len(names) else None


def below(source: Source, name: str) -> str:
    """The path below the area's folder of a template that `source` names.

    salt/utils/jinja.py, SaltCacheLoader.get_source: ./ and ../ count from the template's folder.
    """
    name = name.removeprefix("salt://")
    if name.startswith(("./", "../")):
        name = posixpath.normpath(posixpath.join(posixpath.dirname(source.name), name))
    return name.partition("?")[0]
