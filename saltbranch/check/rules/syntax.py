"""What is wrong with a file in itself: names, links, and what parsing it brought up."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes as jinja

from saltbranch.check import catalogue as rules
from saltbranch.check import yaml_nodes
from saltbranch.check.finding import Finding
from saltbranch.check.project import JINJA_NAMES, Project, Source, Tools
from saltbranch.check.template import literal, shown
from saltbranch.salt_master.pillar_errors import NO_TAG, TWICE


def check(project: Project, tools: Tools) -> Iterator[Finding]:
    """What was found while parsing, and the YAML that only Salt refuses."""
    if not any(project.of("states")):
        folder = project.folders["states"]
        yield rules.NO_STATES.at(folder, 0, f"there is no file below {folder}/")
    for source in project.sources.values():
        judged = _judged(project, source)
        yield from (p for p in source.problems if judged or p.rule == rules.TOO_LARGE.id)
        if source.area and not source.path.isprintable():
            yield rules.ODD_NAME.at(source.path, 0, "its name holds control characters or no UTF-8")
        if source.path not in project.reached:
            continue
        yield from _doubles(source)
        for tag, line in yaml_nodes.tags(source.root):
            if tag != "!":
                yield rules.YAML.at(source.path, line, f"Salt {NO_TAG} {tag[:60]!r}")
        yield from _misshapen(source, tools)


def _misshapen(source: Source, tools: Tools) -> Iterator[Finding]:
    if not (source.certain or source.whole):
        return
    whole = source.plain is None or source.plain.complete
    # An argument beside the states is told as that (rules/functions.py).
    beside = {s.line for s in source.declared.states if s.module in tools.catalogue.of_all}
    for wrong in source.declared.misshapen:
        if wrong.is_bare and not whole:
            continue
        if not source.conditional(wrong.line) and wrong.line not in beside:
            yield rules.SHAPE.at(source.path, wrong.line, shown(wrong.message)[:200])


def _judged(project: Project, source: Source) -> bool:
    """Whether Salt is going to read it as what its name says."""
    return source.path in project.reached or not (
        source.is_sls or source.name.endswith(JINJA_NAMES)
    )


def _doubles(source: Source) -> Iterator[Finding]:
    for key, first, second, top in yaml_nodes.doubles(source.root):
        lines = (yaml_nodes.line_of(first), yaml_nodes.line_of(second))
        if any(map(source.conditional, lines)) or not (literal(key) or source.certain):
            continue
        if not literal(key) and _may_change(source, *lines):
            continue
        what = "the id" if top and source.area == "states" else "the key"
        yield rules.YAML_KEY.at(source.path, lines[1], f"{what} {shown(key)[:100]!r} {TWICE}")


_CHANGES = (jinja.Assign, jinja.AssignBlock, jinja.ExprStmt, jinja.Import, jinja.FromImport)


def _may_change(source: Source, first: int, second: int) -> bool:
    """Whether one expression may come to something else at the second of two lines."""
    if source.template is None:
        return True
    if any(first <= n.lineno <= second for n in source.template.find_all(_CHANGES)):
        return True
    calls = source.template.find_all(jinja.Call)
    return any(call.lineno in (first, second) for call in calls)
