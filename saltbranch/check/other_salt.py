"""What another Salt makes of the same commit: errors that only it has, and states that differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from saltbranch.check import catalogue as rules
from saltbranch.check.blame import blame
from saltbranch.check.compiled import findings as compile_findings
from saltbranch.check.compiled import some
from saltbranch.check.finding import Finding
from saltbranch.check.project import Project
from saltbranch.compiler.model import Compiled
from saltbranch.preview.difference import Difference
from saltbranch.preview.groups import Group

_SHOWN = 5


def errors(
    pairs: Iterable[tuple[Compiled, Compiled]], project: Project, salt: str
) -> Iterator[Finding]:
    """A finding for each error at a place where our own Salt has none. pairs: own and other result."""
    new = [_only_new(own, other, project) for own, other in pairs]
    for finding in compile_findings(new, project):
        if finding.rule == rules.COMPILE.id:
            yield _marked(finding, salt)


def _only_new(own: Compiled, other: Compiled, project: Project) -> Compiled:
    known = {(at.file, at.line) for at in (blame(error, project) for error in own.errors)}
    kept = []
    for error in other.errors:
        at = blame(error, project)
        if (at.file, at.line) not in known:
            kept.append(error)
    return replace(other, errors=tuple(kept), notes=())


def tests(own: Iterable[Finding], other: Iterable[Finding], salt: str) -> Iterator[Finding]:
    """The state tests that fail with the other Salt alone. own, other: what judging them brought up."""
    known = {(finding.file, finding.line) for finding in own}
    for finding in other:
        if (finding.file, finding.line) not in known:
            yield _marked(finding, salt)


def _marked(finding: Finding, salt: str) -> Finding:
    message = f"with {salt}: {finding.message}"
    return rules.NEWER.at(finding.file, finding.line, message, fix=finding.fix)


def differences(groups: Sequence[Group], project: Project, salt: str) -> Iterator[Finding]:
    """A finding for each group of minions that get something else; keys only."""
    top = project.top("states")
    for group in groups:
        found = group.difference
        places = [(s.path, s.line or 0) for s in found.changed]
        places += [(s.path, s.line or 0) for s in (*found.added, *found.removed)]
        file, line = places[0] if places and places[0][0] else (top, 0)
        message = f"with {salt}: {some(group.minions)}: {_told(found)}"
        yield rules.NEWER.at(file, line, message, severity="warning")


def _told(found: Difference) -> str:
    states = (
        [s.key for s in (*found.added, *found.removed)]
        + [f"{s.key} ({', '.join(s.arguments)})" for s in found.changed]
        + list(found.reordered)
    )
    pillar = [*found.pillar_added, *found.pillar_removed, *found.pillar_changed]
    kinds = (("states", states), ("pillar", pillar))
    return "; ".join(f"other {what}: {_first(keys)}" for what, keys in kinds if keys)


def _first(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more
