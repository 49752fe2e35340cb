"""Which place in the tree an error of Salt's speaks of, and what it says without that place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from saltbranch.check.project import Project, Source, absolute
from saltbranch.check.rules import tops
from saltbranch.compiler.error_texts import TOP_BROKEN, TOP_FILE, is_of_pillar, without_area

_RENDER = re.compile(
    r"Rendering SLS '(?:[^':]*:)?(?P<sls>[^']*)' failed(?:, render error)?: ?(?P<rest>.*)",
    re.DOTALL,
)
_PRIMARY_TOP = re.compile(
    r"Rendering Primary Top file failed, render error: ?(?P<rest>.*)", re.DOTALL
)
_MISSING = re.compile(
    r"(?:No matching sls found for|Specified SLS) '?(?P<sls>[^\s']+)'? in (?:env|saltenv|environment) "
)
_NAMED = re.compile(r"""\b(?:(?:SLS|sls)(?:['"]:)?\s+['"\[]?|in ')(?:[\w-]+:)?(?P<sls>[\w./-]+)""")
_ID = re.compile(r"""(?:\bID|\bid|[Ss]tate)(?:['"]:| is)? ['"\[](?P<id>[^'"\]]+)['"\]]""")
_YAML_LINE = re.compile(r" in \"<unicode string>\", line (?P<line>[0-9]+), column [0-9]+")
_JINJA_LINE = re.compile(r"; line (?P<line>[0-9]+)$")
# A template that was imported or included, where Salt keeps it, and the line there (salt/utils/templates.py).
_INNER = re.compile(
    r"\s/\S{1,100}?/files/[^/\s]{1,100}/(?P<name>\S{1,300})\((?P<line>[0-9]{1,9})\):"
)
# One mistake is one finding, whatever saltenv it was compiled for.
_SALTENV = re.compile(r"(?<=')[\w-]+:(?=[\w./-]+')")
_GONE = "there is no {area} file for "


@dataclass(frozen=True, slots=True)
class Blame:
    """file: inside the repository. line: 0 where it is not known. text: never with a line number."""

    file: str
    line: int
    text: str


def blame(error: str, project: Project) -> Blame:
    """Where `error`, one of `compiler.model.Compiled.errors`, comes from.

    What names no file is put down to the top file.
    """
    area = "pillar" if is_of_pillar(error) else "states"
    error = without_area(error)
    top = project.top(area)
    if (missing := _MISSING.match(error)) is not None:
        file, line = next(_naming(project, area, missing["sls"]), (top, 0))
        return Blame(file, line, f"{_GONE.format(area=area)}{missing['sls']!r}")
    if (found := _RENDER.match(error)) is not None:
        inner = _INNER.search(found["rest"])
        template = project.names[area].get(inner["name"]) if inner else None
        if inner and template:
            text = without_line(found["rest"].replace(inner[0], "", 1))
            return Blame(template.path, int(inner["line"]), text)
        for source in project.named(area, found["sls"]):
            return _in_file(source.path, source, found["rest"])
    if (found := _PRIMARY_TOP.match(error)) is not None:
        rest = f"the pillar top file does not render: {found['rest']}"
        return _in_file(top, project.sources.get(top), rest)
    if error.startswith((TOP_BROKEN, TOP_FILE)):
        return _in_file(top, project.sources.get(top), error)
    return _declared(error, project, area, top)


def is_about_missing(text: str) -> bool:
    """Whether the text of a `Blame` is about an sls file that is not there."""
    return text.startswith(tuple(_GONE.format(area=area) for area in ("states", "pillar")))


def sls_of(error: str) -> str:
    """The sls file that `error` says did not come out; empty if it names none."""
    found = _RENDER.match(error) or _MISSING.match(error)
    return found["sls"] if found else ""


def without_line(text: str) -> str:
    """An error of Salt's without the line that it names: what only moved is not new."""
    return _JINJA_LINE.sub("", _YAML_LINE.sub("", text))


def _in_file(path: str, source: Source | None, text: str) -> Blame:
    """The line that a renderer named, where the file has so many."""
    # The inner one first: around it may be that of the generated top file.
    numbers = [m["line"] for m in (_YAML_LINE.search(text), _JINJA_LINE.search(text)) if m]
    text = without_line(text)
    line = int(numbers[0]) if numbers else 0
    lines = len((source.text or "").splitlines()) if source is not None else 0
    if line == lines + 1:  # the end of a text is the line after its last one to YAML
        line = lines
    return Blame(path, line if line <= lines else 0, text)


def _naming(project: Project, area: str, sls: str) -> Iterator[tuple[str, int]]:
    """The places that name `sls`: entries of the top file, then includes."""
    top = project.names[area].get("top.sls")
    for _, _, name, line in tops.entries(top.root if top else None):
        if top is not None and name.replace("/", ".") == sls.replace("/", "."):
            yield top.path, line
    for source in project.of(area):
        for include in source.declared.includes:
            if absolute(source, include.sls).replace("/", ".") == sls.replace("/", "."):
                yield source.path, include.line


def _declared(error: str, project: Project, area: str, top: str) -> Blame:
    """An error about high data: the sls file that it names, and the line of the state's ID there."""
    error = _SALTENV.sub("", error)
    for named in _NAMED.finditer(error):
        for source in project.named(area, named["sls"]):
            ids = {match["id"] for match in _ID.finditer(error)}
            lines = [s.id_line for s in source.declared.states if s.id in ids]
            return Blame(source.path, lines[0] if lines else 0, error)
    return Blame(top, 0, error)
