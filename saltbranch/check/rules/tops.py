"""Top files: do the sls files that they name exist?"""

from __future__ import annotations

from collections.abc import Iterator

import yaml
from jinja2 import nodes as jinja

from saltbranch.check import catalogue as rules
from saltbranch.check.finding import Finding
from saltbranch.check.project import Project, Tools
from saltbranch.check.template import literal, plain
from saltbranch.check.yaml_nodes import YamlProblem, compose, items, line_of, pairs, text_of


def check(project: Project, _tools: Tools) -> Iterator[Finding]:
    """Every name below a target, in states and in pillar."""
    for area in ("states", "pillar"):
        top = project.names[area].get("top.sls")
        if top is None:
            continue
        for _, _, sls, line in entries(top.root):
            if not literal(sls) or top.guarded(line, sls.replace(".", "/")):
                continue
            if not _there(project, area, sls):
                message = f"there is no {area} file for {sls[:100]!r}"
                yield rules.TOP.at(top.path, line, message)


def _there(project: Project, area: str, sls: str) -> bool:
    return bool(project.sls_like(area, sls)) or project.has_sls(area, sls)


def roots(project: Project, area: str) -> Iterator[yaml.Node | None]:
    """The top file and what its template includes; None for what only rendering tells."""
    top = project.names[area].get("top.sls")
    if top is None:
        return
    included = list(top.template.find_all(jinja.Include)) if top.template is not None else []
    if top.plain is None or (not top.plain.complete and not included):
        yield None
        return
    if top.plain.text.strip() or not included:
        yield top.root
    for node in included:
        name = node.template.value if isinstance(node.template, jinja.Const) else None
        source = project.names[area].get(name) if isinstance(name, str) else None
        text = plain(source.text) if source is not None and source.text is not None else None
        if text is None or not text.complete:
            yield None
        elif text.text.strip():
            # Text in the middle of a mapping has a root of its own where it is written as one.
            root = _composed(text.text)
            yield root if pairs(root) else None


def _composed(text: str) -> yaml.Node | None:
    try:
        return compose(text)
    except YamlProblem:
        return None


def entries(root: yaml.Node | None, *, every: bool = False) -> Iterator[tuple[str, str, str, int]]:
    """Saltenv, target, sls and line of each entry; those that may be missing only if `every` is wanted."""
    for saltenv, _, targets in pairs(root):
        for target, _, listed in pairs(targets):
            options = {k: text_of(v) for node in items(listed) for k, _, v in pairs(node)}
            if str(options.get("ignore_missing")).lower() == "true" and not every:
                continue
            for node in items(listed):
                if (sls := text_of(node)) is not None:
                    yield saltenv, target, sls, line_of(node)


def together(project: Project) -> list[frozenset[str]]:
    """For each target of the states' top file: the sls files of a minion that only it matches."""
    top = project.names["states"].get("top.sls")
    found: dict[tuple[str, str], set[str]] = {}
    for saltenv, target, sls, line in entries(top.root if top else None):
        group = found.setdefault((saltenv, target), set())
        if top is None or top.conditional(line):
            continue  # not for each of these minions
        for name in project.sls_like("states", sls):
            group |= project.closure("states", name)
    everywhere = set().union(*(g for (_, target), g in found.items() if target == "*"))
    return [frozenset(group | everywhere) for group in found.values()]
