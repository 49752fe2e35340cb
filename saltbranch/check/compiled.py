"""What compiled highstates bring up. Compiling them is somebody else's work."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from saltbranch.check import catalogue as rules
from saltbranch.check.blame import blame, is_about_missing
from saltbranch.check.consequences import Consequences, Gaps
from saltbranch.check.finding import Finding, Rule, Severity
from saltbranch.check.project import Project
from saltbranch.compiler.error_texts import (
    CONNECTED,
    LOOKED_UP,
    NEUTRALLY,
    NO_STATES,
    NOT_LOADED,
    PILLAR_UNMATCHED,
    READ,
    SETTLES,
    TRIED,
    UNMATCHED,
    is_of_pillar,
)
from saltbranch.compiler.model import Compiled

# Where nothing is that states could want.
_PRIVATE = re.compile(
    r"/etc/(?:shadow|gshadow|salt|ssl/private)|/root(?:/|$)|/home/|/proc/|.*/\.ssh|.*/pki(?:/|$)"
    r"|.*bubblewrap only$"
)
# What Salt says besides of a state of the wrong shape, without a place.
_FOLLOWS = "is not formatted as a dictionary"
_CONTENTS, _NO_MAPPING = (
    "Error when rendering state with contents: ",
    "does not render to a dictionary",
)

_LEFT = "not judged without the pillar that did not come out in plain text: "
# Static errors after which a file does not render, wherever in it they are.
_UNREADABLE = frozenset(
    ("not-utf-8", "jinja-syntax", "jinja-unknown-filter", "yaml-syntax", "yaml-duplicate-key",
     "python-syntax", "unknown-renderer", "template-missing")
)  # fmt: skip

# One requisite, as a static rule and as Salt tell of it: Salt blames the state's ID, the rule its own line.
_WANTED = re.compile(r" names '(?P<what>.+)', which no sls declares$")
_UNMET = re.compile(
    r"Referenced state does not exist for requisite \[\w+: \((?P<module>\w+): (?P<name>.+?)\)\]"
)

_Key = tuple[Rule, str, int, str]


def findings(results: Iterable[Compiled], project: Project) -> Iterator[Finding]:
    """One finding for each error or other matter, with the minions that have it."""
    grouped: dict[_Key, list[str]] = {}
    consequences = Consequences(project)
    for result in results:
        for key in dict.fromkeys(_matters(result, project, consequences)):
            grouped.setdefault(key, []).append(result.minion)
    for (rule, file, line, text), minions in grouped.items():
        severity = _severity(rule, text)
        if severity == "warning" and consequences.no_answer_mends(file, line, text):
            severity = None
        message = f"{some(minions)}: {text[:500]}"
        yield rule.at(file, line, message, fix=_fix(rule, text), severity=severity)


def escapes(results: Iterable[Compiled], project: Project) -> Iterator[Finding]:
    """What of `findings` counts for the minion of a state test, too."""
    for finding in findings(results, project):
        if finding.rule == rules.ESCAPE.id:
            yield finding


def _once_a_target(errors: Iterable[str]) -> list[str]:
    """`errors`, but of those about the same requisite of one sls the first only: a loop makes many states of one."""
    found: dict[str, list[str]] = {}
    for error in errors:
        unmet = _UNMET.match(error)
        key = f"{unmet[0]}{error.rpartition(' in SLS ')[2]}" if unmet else error
        found.setdefault(key, []).append(error)
    return [same[0] + (" and of others like it" if same[1:] else "") for same in found.values()]


def _is_said(error: str, errors: Sequence[str], consequences: Consequences, gaps: Gaps) -> bool:
    """Whether another of `errors` says the same already, or brings it about."""
    if consequences.holds(error, gaps):
        return True
    if error.startswith(_CONTENTS):  # what was rendered, without its place
        return any(_NO_MAPPING in other for other in errors)
    return error.endswith(_FOLLOWS) and len(errors) > 1


def _of_errors(result: Compiled, project: Project, consequences: Consequences) -> Iterator[_Key]:
    left: list[str] = []
    gaps = consequences.gaps(result)
    for error in _once_a_target(result.errors):
        if _is_said(error, result.errors, consequences, gaps):
            continue
        at = blame(error, project)
        if consequences.of_pillar(error, gaps):
            left.append(at.file)
        else:
            yield rules.COMPILE, at.file, at.line, at.text
    if left:
        files = some(list(dict.fromkeys(left)))
        yield rules.COMPILE, project.top("pillar"), 0, f"{_LEFT}{files}"


def _matters(result: Compiled, project: Project, consequences: Consequences) -> Iterator[_Key]:
    yield from _of_errors(result, project, consequences)
    yield from _not_loaded(result, project)
    top, pillar_top = project.top("states"), project.top("pillar")
    broken = any(is_of_pillar(error) for error in result.errors)
    for note in result.notes:
        if note.startswith(TRIED):
            yield _tried(note, project, result.functions)
        elif note.startswith(NEUTRALLY):
            yield from _neutral(note, project)
        elif note.startswith(NO_STATES):
            yield rules.EMPTY_TOP, top, 0, note
        elif note.startswith(UNMATCHED):
            yield rules.UNMATCHED, top, 0, note
        elif note.startswith(PILLAR_UNMATCHED) and pillar_top in project.sources and not broken:
            yield rules.UNMATCHED, pillar_top, 0, note
    if not result.chunks and not result.errors and result.states_matched:
        yield rules.EMPTY, top, 0, "the highstate is empty"


def _neutral(note: str, project: Project) -> Iterator[_Key]:
    for name in note.removeprefix(NEUTRALLY).split(", "):
        place = _called(name.removesuffix(" in salt"), project)
        yield rules.NEUTRAL, *place, f"{name} answered neutrally"


def _not_loaded(result: Compiled, project: Project) -> Iterator[_Key]:
    """Modules of the branch that do not load, where that may be why there are errors."""
    for note in result.notes if result.errors else ():
        name, is_told, _ = note.partition(NOT_LOADED)
        if is_told:
            yield rules.COMPILE, f"{project.folders['states']}/_modules/{name}.py", 0, note


def _called(function: str, project: Project) -> tuple[str, int]:
    """Where the function's name stands first; the top file where it is put together."""
    for path, source in sorted(project.sources.items()):
        if source.area in ("states", "pillar") and function in (source.text or ""):
            text = source.text or ""
            return path, text.count("\n", 0, text.index(function)) + 1
    return project.top("states"), 0


def _tried(note: str, project: Project, functions: Sequence[str]) -> _Key:
    """functions: those of the branch's modules that were called."""
    if note.removeprefix(TRIED) in (LOOKED_UP, CONNECTED):
        # Custom modules do that in good faith; it is refused, and nothing comes of it.
        place = _called(functions[0], project) if functions else (project.folders["states"], 0)
        called = f" (it calls {some(functions)})" if functions else ""
        return rules.DANGER, *place, f"rendering asks the network{called}"
    what = note.removeprefix(f"{TRIED}{READ}")
    if what != note and not _PRIVATE.match(what):
        text = f"rendering reads {what}, which is not in the compiled tree"
        return rules.OUTSIDE, project.folders["states"], 0, text
    return rules.ESCAPE, project.folders["states"], 0, note


def _severity(rule: Rule, text: str) -> Severity | None:
    """What an error that a neutral answer may have brought about says of the branch is not certain."""
    if rule is not rules.COMPILE:
        return None
    return "note" if text.startswith(_LEFT) else "warning" if SETTLES in text else None


def _fix(rule: Rule, text: str) -> str:
    if rule is rules.COMPILE and text.startswith(_LEFT):
        return (
            "see to the pillar first, or let a file stand in for what is kept elsewhere (stand_in:)"
        )
    missing = rule is rules.COMPILE and is_about_missing(text)
    return rules.TOP.fix if missing else ""


def some(names: Sequence[str]) -> str:
    """The first of several names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def told_once(found: Iterable[Finding]) -> list[Finding]:
    """`found` without the errors of compiling that a static error at the same place has told already."""
    kept = list(found)
    compiling = (rules.COMPILE.id, rules.NEWER.id)
    static = [f for f in kept if f.rule not in compiling and f.severity == "error"]
    places = {(f.file, f.line) for f in static}
    unreadable = {f.file for f in static if f.rule in _UNREADABLE}
    misshapen = {f.file for f in static if f.rule == rules.SHAPE.id}
    wanted = {(f.file, _WANTED.search(f.message)) for f in static if f.rule == rules.REQUISITE.id}
    targets = {(file, found["what"]) for file, found in wanted if found}

    def is_told(found: Finding) -> bool:
        if found.file in unreadable:
            return True
        target = _target(found.message)
        # Salt says that by the state; a requisite that is no mapping is one of an ID.
        if found.file in misshapen and ": " not in target:
            return True
        # Whatever else is wrong with the state that wants it is another mistake.
        return (found.file, target) in targets if target else (found.file, found.line) in places

    return [f for f in kept if f.rule != rules.COMPILE.id or not is_told(f)]


def _target(message: str) -> str:
    """What a requisite names that nothing declares, by an error of Salt's; empty for other errors."""
    found = _UNMET.search(message)
    if found is None:
        return ""
    return found["name"] if found["module"] == "id" else f"{found['module']}: {found['name']}"
