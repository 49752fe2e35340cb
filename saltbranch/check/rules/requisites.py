"""Requisites and extend: is the state that they name declared anywhere?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import yaml

from saltbranch.check import catalogue as rules
from saltbranch.check.finding import Finding, Severity
from saltbranch.check.project import Project, Source, Tools, absolute
from saltbranch.check.rules.tops import entries, roots
from saltbranch.check.sls import Argument, State
from saltbranch.check.template import literal, matches, shown
from saltbranch.check.yaml_nodes import items, line_of, pairs, text_of


class Names:
    """What sls files declare, for looking up a target."""

    def __init__(self, files: Iterable[Source]) -> None:
        """files: all those that count."""
        self.exact: set[tuple[str, str]] = set()
        self.patterns: set[tuple[str, str]] = set()
        self.ids: set[str] = set()
        for source in files:
            for state in source.declared.states:
                if not state.extends:
                    self._add(state)

    def _add(self, state: State) -> None:
        self.ids.add(state.id)
        for name in (state.id, *(text for n in ("name", "names") for text, _ in state.texts(n))):
            for module in (state.module, ""):
                (self.exact if literal(name) else self.patterns).add((module, name))

    def has(self, module: str, name: str) -> bool:
        """Whether a state with this id or name exists; module: "" for any."""
        if (module, name) in self.exact:
            return True
        return any(m == module and matches(p, name) for m, p in self.patterns)

    def declares(self, name: str) -> bool:
        """Whether a state has this id, or this name as far as that is written out: extend finds both."""
        return ("", name) in self.exact or any(
            matches(p, name) for _, p in self.patterns if p in self.ids or shown(p) != _BARE
        )


_BARE = "{{...}}"


def _lacks_any(project: Project) -> bool:
    """Whether minions get an sls that is kept somewhere else."""
    named = [sls for root in roots(project, "states") for _, _, sls, _ in entries(root, every=True)]
    for source in project.judged("states"):
        named += [absolute(source, include.sls) for include in source.declared.includes]
    return any(map(project.lacks, named))


def check(project: Project, tools: Tools) -> Iterator[Finding]:
    """Every target that is written out."""
    files = [s for s in project.of("states") if s.is_sls and s.name != "top.sls"]
    names = Names(files)
    # A state that only rendering shows may be the one that is looked for: a macro may make it.
    all_known = not _lacks_any(project) and all(
        s.readable and s.plain and s.plain.complete for s in files if s.path in project.reached
    )
    severity: Severity = "error" if all_known else "note"
    for source in project.judged("states"):
        for state in source.declared.states:
            if state.extends and literal(state.id) and not names.declares(state.id):
                message = f"extend names the id {state.id[:100]!r}, which no sls declares"
                yield rules.EXTEND.at(source.path, state.id_line, message, severity=severity)
            for argument in state.arguments:
                if argument.name in tools.catalogue.requisites:
                    yield from _requisite(project, source, argument, names, severity)


def _requisite(
    project: Project, source: Source, argument: Argument, names: Names, otherwise: Severity
) -> Iterator[Finding]:
    """otherwise: how bad a name is that may be declared where only rendering shows it."""
    if not isinstance(argument.value, yaml.SequenceNode):
        text = text_of(argument.value)
        # What a macro brings stands in no text of ours.
        whole = source.certain and source.plain is not None and source.plain.complete
        if whole and (text is None or literal(text)):
            message = f"{argument.name} must hold a list"
            yield rules.SHAPE.at(source.path, argument.line, message)
        return
    for node in items(argument.value):
        text = text_of(node)
        targets = [("", text, line_of(node))] if text is not None else []
        targets += [(key, text_of(v) or "", line_of(k)) for key, k, v in pairs(node)]
        for module, name, line in targets:
            if name and literal(module + name) and not _there(project, source, module, name, names):
                what = f"{module}: {name}" if module else name
                message = f"{argument.name} names {shown(what)[:120]!r}, which no sls declares"
                certain = module == "sls" and not source.conditional(line)
                severity: Severity = "error" if certain else otherwise
                yield rules.REQUISITE.at(source.path, line, message, severity=severity)


def _there(project: Project, source: Source, module: str, name: str, names: Names) -> bool:
    if any(sign in name for sign in "*?["):
        return True  # globs match what is there (salt/state.py, find_name)
    if module == "sls":
        found = absolute(source, name)
        return bool(project.sls_like("states", found)) or project.has_sls("states", found)
    if module == "id":
        module = ""
    module = module.partition(".")[0]
    return names.has(module, name)
