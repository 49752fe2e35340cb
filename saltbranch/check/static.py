"""All static rules over the files of one commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from saltbranch.base.time_limit import TooSlow, limited
from saltbranch.check import catalogue as rules
from saltbranch.check import reach
from saltbranch.check.finding import Finding, in_order
from saltbranch.check.project import Project, Source, Tools
from saltbranch.check.rules import (
    dangerous,
    duplicates,
    functions,
    includes,
    lfs,
    lint,
    paths,
    requisites,
    saltenvs,
    secrets,
    sources,
    syntax,
    tops,
)
from saltbranch.salt_master.pillar_errors import kind_of

Check = Callable[[Project, Tools], Iterable[Finding]]

# Over all files together; what they do is linear in the size of the tree.
TOGETHER: tuple[Check, ...] = (
    syntax.check,
    tops.check,
    includes.check,
    requisites.check,
    sources.check,
    duplicates.check,
    functions.check,
    paths.check,
    lfs.check,
    saltenvs.check,
    dangerous.check,
    reach.check,
)
# Others' regular expressions, on one file at a time.
_TOGETHER_SECONDS = 120.0


def check(project: Project, tools: Tools, *, style: bool = False) -> tuple[Finding, ...]:
    """The findings of all rules, in order. style: also those of salt-lint."""
    found: list[Finding] = []
    project.reached = reach.reached(project, tools)
    for rule in TOGETHER:
        found += _limited(rule, project, tools)
    for source in project.sources.values():
        found += _scan(project, source, tools, style=style)
    return in_order(private(finding, project) for finding in found)


_PARSING = frozenset(
    rule.id
    for rule in (
        rules.JINJA,
        rules.JINJA_FILTER,
        rules.YAML,
        rules.YAML_KEY,
        rules.PYTHON,
        rules.SHAPE,
    )
)
# What these say of a pillar file is made of names and not of what stands there as values.
_NAMES_ONLY = frozenset(
    rule.id for rule in (rules.NOT_TEXT, rules.TOO_LARGE, rules.ODD_NAME, rules.BAD_LINK,
                         rules.NO_STATES, rules.NO_PILLAR, rules.TOP, rules.INCLUDE, rules.PATH, rules.DANGER,
                         rules.INDIRECT, rules.SECRET)
)  # fmt: skip


def private(finding: Finding, project: Project) -> Finding:
    """`finding` as it may be told: of a file of the pillar only what kind of mistake it is, and where."""
    source = project.sources.get(finding.file)
    if source is None or source.area != "pillar" or finding.rule in _NAMES_ONLY:
        return finding
    rule = rules.RULES.get(finding.rule)
    kind = kind_of(finding.message) if finding.rule in _PARSING else None
    if kind is None or kind == kind_of(""):
        kind = rule.title if rule else finding.message
    # What it said before tells it from others of its kind, and is in no output.
    return replace(finding, message=kind, content=finding.content or finding.message)


def _limited(rule: Check, project: Project, tools: Tools) -> Iterator[Finding]:
    try:
        with limited(_TOGETHER_SECONDS):
            yield from list(rule(project, tools))
    except (TooSlow, RecursionError, MemoryError):
        name = rule.__module__.rpartition(".")[2]
        message = f"the rules about {name} were given up: too slow or nested too deeply"
        yield rules.TOO_LARGE.at(project.folders["states"], 0, message, severity="error")


def _is_scanned(source: Source) -> bool:
    return source.area in ("states", "pillar", "tests")


def _scan(project: Project, source: Source, tools: Tools, *, style: bool) -> list[Finding]:
    found: list[Finding] = []
    if not _is_scanned(source) or not source.text:
        return found
    if (
        source.real is not None
        and source.real in project.sources
        and _is_scanned(project.sources[source.real])
    ):
        return found  # the file itself is looked at
    scans = [secrets.check_file]
    if style and lint.applies(source):
        scans.append(lint.check_file)
    for scan in scans:
        try:
            with limited():
                found += list(scan(source, tools))
        except TooSlow:
            found.append(rules.TOO_LARGE.at(source.path, 0, "it takes too long to scan"))
    return found
