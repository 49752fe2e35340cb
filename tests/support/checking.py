"""Projects of a few files, checked without git and without Salt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import jinja2

from saltbranch.check import scanners
from saltbranch.check.finding import Finding
from saltbranch.check.project import Catalogue, Function, Project, Source, Tools
from saltbranch.check.reading import read, with_renderers
from saltbranch.check.static import check

_ENVIRONMENT = jinja2.Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])
CATALOGUE = Catalogue(
    version="1",
    states={
        "file": {
            "managed": Function(("name", "source", "mode", "template"), ("name",), open=True),
            "recurse": Function(("name", "source"), ("name", "source")),
            "symlink": Function(("name", "target"), ("name", "target")),
        },
        "pkg": {"installed": Function(("name", "pkgs"), ("name",), open=True)},
        "service": {
            "running": Function(("name", "enable"), ("name",)),
            "dead": Function(
                ("name", "enable"), ("name",), open=True, documented=frozenset({"enabled"})
            ),
        },
        "cmd": {
            "run": Function(("name", "runas"), ("name",)),
            "script": Function(("name", "source")),
        },
        "test": {"nop": Function(("name",), ("name",))},
        "unreadable": {},
    },
    keywords=frozenset({"onlyif", "unless", "order", "saltenv"}),
    requisites=frozenset({"require", "watch", "require_in", "onchanges"}),
    renderers=frozenset({"jinja", "yaml", "gpg", "py"}),
    filters=frozenset(_ENVIRONMENT.filters) | {"yaml"},
    tests=frozenset(_ENVIRONMENT.tests),
)
TOOLS = Tools(CATALOGUE, _ENVIRONMENT.parse, scanners.lint, scanners.SecretScanner().scan)


def project(
    files: Mapping[str, str | bytes], *, tools: Tools = TOOLS, missing: tuple[str, ...] = ()
) -> Project:
    """A project with salt/ and pillar/; what is not among `files` is not there."""
    own = {
        path.removeprefix("salt/"): content.encode() if isinstance(content, str) else content
        for path, content in files.items()
        if path.startswith("salt/_renderers/")
    }
    tools = with_renderers(tools, own)
    sources = _sources(files, tools)
    return Project(sources, states_dir="salt", pillar_dir="pillar", missing=missing)


def _sources(files: Mapping[str, str | bytes], tools: Tools) -> Iterable[Source]:
    for path, content in files.items():
        data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        folder, _, name = path.partition("/")
        area = {"salt": "states", "pillar": "pillar", "tests": "tests"}.get(folder, "")
        yield read(Source(path, area, name, len(data)), data, tools)


def findings(
    files: Mapping[str, str | bytes], *, tools: Tools = TOOLS, missing: tuple[str, ...] = ()
) -> tuple[Finding, ...]:
    """All findings but those of salt-lint, which has an opinion on every file."""
    found = check(project(files, tools=tools, missing=missing), tools)
    return tuple(f for f in found if not f.rule.startswith("salt-lint"))


def told(files: Mapping[str, str | bytes]) -> list[str]:
    """Findings as `file:line rule`."""
    return [f"{f.file}:{f.line} {f.rule}" for f in findings(files)]
