"""``salt://`` in states: is the file or folder there?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from saltbranch.check import catalogue as rules
from saltbranch.check.finding import Finding, Severity
from saltbranch.check.project import Project, Source, Tools
from saltbranch.check.sls import State
from saltbranch.check.template import literal, matches, shown

# Arguments that hold one source, or several of which the first that exists is taken.
_ARGUMENTS = ("source", "sources", "source_hash", "pub", "script", "config", "template_source")
# Salt takes only what begins with salt:// (salt/fileclient.py, _check_proto); a name of Windows has one letter.
_SLASHES = re.compile(r"salt:(?!//)")


def check(project: Project, _tools: Tools) -> Iterator[Finding]:
    """Every source of every state."""
    for source in project.judged("states"):
        for state in source.declared.states:
            for name in _ARGUMENTS:
                yield from _sources(project, source, state, name)
            if state.module == "cmd" and state.function == "script" and not state.holds("source"):
                wanted = list(state.texts("name")) or [(state.id, state.id_line)]
                yield from _missing(project, source, state, wanted)


def _sources(project: Project, source: Source, state: State, name: str) -> Iterator[Finding]:
    wanted = list(state.texts(name))
    for text, line in wanted:
        if _SLASHES.match(text):
            message = f"{shown(text)[:150]} is not a salt:// URL"
            fix = "write salt:// and the path below the root"
            yield rules.SOURCE.at(source.path, line, message, fix=fix)
    yield from _missing(project, source, state, wanted)


def _missing(
    project: Project, source: Source, state: State, wanted: list[tuple[str, int]]
) -> Iterator[Finding]:
    salt = [(text, line) for text, line in wanted if text.startswith("salt://")]
    if not salt or len(salt) < len(wanted):
        return  # the others may be what is taken
    if any(_found(project, state, text) for text, _ in salt):
        return
    text, line = salt[0]
    if source.guarded(line, text.removeprefix("salt://")):
        return
    rest = f" (nor {len(salt) - 1} others)" if len(salt) > 1 else ""
    message = f"{shown(text)[:150]} does not exist{rest}"
    severity: Severity = "error" if literal(text) else "warning"
    yield rules.SOURCE.at(source.path, line, message, severity=severity)


def _found(project: Project, state: State, url: str) -> bool:
    # Slashes too many mean nothing (salt/utils/url.py, parse).
    name, _, query = url.removeprefix("salt://").lstrip("/").partition("?")
    if query or name.startswith("|"):
        return True  # of another saltenv
    name = name.rstrip("/")
    if not literal(name):
        # Some file it may stand for has to be there.
        begin = f"{project.folders['states']}/"
        folders = (d[len(begin) :] for d in project.dirs if d.startswith(begin))
        return any(matches(name, known) for known in (*project.names["states"], *folders))
    if project.has_file("states", name):
        return True
    return state.function != "managed" and project.has_dir("states", name)
