"""The same id in two sls files: Salt refuses the highstate of a minion that gets both."""

from __future__ import annotations

from collections.abc import Iterator

from saltbranch.check import catalogue as rules
from saltbranch.check.finding import Finding
from saltbranch.check.project import Project, Source, Tools
from saltbranch.check.rules.tops import together
from saltbranch.check.sls import State
from saltbranch.check.template import literal


def check(project: Project, _tools: Tools) -> Iterator[Finding]:
    """Ids that one target of the top file, or one sls with its includes, brings twice."""
    places: dict[str, dict[str, tuple[Source, State]]] = {}
    for source in project.judged("states"):
        if not source.is_sls or source.name == "top.sls":
            continue
        for state in source.declared.states:
            certain = literal(state.id) and not source.conditional(state.id_line)
            if certain and not state.extends:
                places.setdefault(state.id, {}).setdefault(source.sls, (source, state))
    doubled = {name: found for name, found in places.items() if len(found) > 1}
    if not doubled:
        return
    judged = [s.sls for s in project.judged("states") if s.is_sls]
    groups = together(project) + [project.closure("states", name) for name in judged]
    for name, found in doubled.items():
        yield from _pairs(name, found, groups)


def _pairs(
    name: str, found: dict[str, tuple[Source, State]], together: list[frozenset[str]]
) -> Iterator[Finding]:
    known = sorted(found)
    for number, sls in enumerate(known):
        others = [
            other
            for other in known[:number]
            if any(sls in group and other in group for group in together)
        ]
        if others:
            source, state = found[sls]
            message = f"the id {name[:100]!r} is declared in the sls {others[0]!r}, too"
            yield rules.DUPLICATE.at(source.path, state.id_line, message)
