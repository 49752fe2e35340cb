"""Which files Salt comes to: from the top files by includes, imports and sources.

What nothing leads to is not a state of a minion: files for the reactor and for orchestration, winrepo's
definitions, templates of other programs.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator

import yaml
from jinja2 import nodes as jinja

from saltbranch.check import catalogue as rules
from saltbranch.check.finding import Finding
from saltbranch.check.project import JINJA_NAMES, Project, Source, Tools, absolute
from saltbranch.check.rules.functions import Modules, is_data, state_modules
from saltbranch.check.rules.tops import entries, roots
from saltbranch.check.template import ANY, literal, matches
from saltbranch.check.yaml_nodes import text_of, walk

_SHOWN = 3
_AREAS = ("states", "pillar")


def reached(project: Project, tools: Tools) -> frozenset[str]:
    """The paths of sls files and templates that Salt comes to; all of an area whose top file does not tell."""
    found: set[str] = set()
    for area in _AREAS:
        found |= _Walk(project, area, tools).all()
    return frozenset(found)


def check(project: Project, tools: Tools) -> Iterator[Finding]:
    """One note for each area with sls files that nothing names."""
    for area in _AREAS:
        rest = sorted(
            source.path
            for source in project.of(area)
            if source.is_sls and source.path not in project.reached
        )
        if rest:
            more = f" and {len(rest) - _SHOWN} more" if len(rest) > _SHOWN else ""
            message = (
                f"no top file or include names {', '.join(rest[:_SHOWN])}{more}:"
                " not judged as what a minion gets"
            )
            yield rules.NOT_REACHED.at(project.folders[area], 0, message)


class _Walk:
    def __init__(self, project: Project, area: str, tools: Tools) -> None:
        self.project, self.area, self.tools = project, area, tools
        self.files = project.names[area]
        self.modules: Modules | None = None
        self.found: set[str] = set()
        self.todo: list[Source] = []

    def all(self) -> set[str]:
        """Everything that is reached in this area."""
        whole = {
            s.path
            for s in self.files.values()
            if (s.is_sls and not _is_reaction(s) and _has_name(s)) or s.name.endswith(JINJA_NAMES)
        }
        top = self.files.get("top.sls")
        if top is None:
            return whole  # formulas, or another source of tops
        self._add([top])
        names = list(roots(self.project, self.area))
        if any(root is None for root in names):
            return whole  # only rendering tells what the top file names
        for root in names:
            for _, _, sls, _ in entries(root, every=True):
                self._name(sls)
        while self.todo:
            self._follow(self.todo.pop())
        return self.found

    def _add(self, sources: Iterable[Source]) -> None:
        for source in sources:
            if source.path not in self.found:
                self.found.add(source.path)
                self.todo.append(source)

    def _name(self, sls: str) -> None:
        if literal(sls):
            self._add(self.project.named(self.area, sls))
            known = self.project.sls[self.area]
            self._add(known[n] for n in self.project.sls_like(self.area, sls) if n in known)
        else:
            dotted = sls.replace("/", ".")
            known = self.project.sls[self.area]
            fitting = (source for name, source in known.items() if matches(dotted, name))
            self._guess(fitting)

    def _guess(self, sources: Iterable[Source]) -> None:
        """Add those of `sources`, which only rendering would name, that can be meant."""
        self._add(
            s
            for s in sources
            if _has_name(s)
            and not _is_reaction(s)
            and not (self.area == "states" and self._is_data(s))
        )

    def _is_data(self, source: Source) -> bool:
        if self.modules is None:
            self.modules = state_modules(self.project, self.tools)
        return is_data(source, self.modules)

    def _follow(self, source: Source) -> None:
        for include in source.declared.includes:
            self._name(absolute(source, include.sls))
        if source.is_sls and source.name != "top.sls" and _is_computed(source):
            # What only rendering shows may include anything.
            self._guess(s for s in self.files.values() if s.is_sls)
        for pattern in _imports(source):
            self._template(source, pattern)
        for url in _urls(source):
            self._files(url)

    def _template(self, source: Source, name: str) -> None:
        name = name.removeprefix("salt://")
        if name.startswith(("./", "../")):
            name = posixpath.normpath(posixpath.join(posixpath.dirname(source.name), name))
        self._files(name)

    def _files(self, name: str) -> None:
        """What is read by its path; an sls file is none of a minion's for that."""
        name = name.lstrip("/").partition("?")[0]
        if literal(name):
            found = self.files.get(name)
            self._add([found] if found is not None and not found.is_sls else [])
        elif name.strip(ANY):
            self._add(
                f
                for n, f in self.files.items()
                if f.text is not None and not f.is_sls and matches(name, n)
            )


# Salt's own folders for winrepo (salt/config: winrepo_dir, winrepo_dir_ng), below the states.
_WINREPO = ("win/repo/", "win/repo-ng/")


def _has_name(source: Source) -> bool:
    """Whether Salt has a name for it: a dot in one stands for a slash, so ``pillar.example.sls`` has none."""
    return "." not in source.name.removesuffix(".sls")


def _is_reaction(source: Source) -> bool:
    """Whether an sls file is one for the reactor (salt/utils/reactor.py, REACTION_CLASSES), or winrepo's."""
    return source.name.startswith(_WINREPO) or any(
        state.module in ("local", "runner", "wheel", "caller")
        or (state.module == "cmd" and "." in state.function)
        for state in source.declared.states
    )


def _is_computed(source: Source) -> bool:
    """Whether the includes of an sls file cannot be read from it."""
    if "py" in source.renderers or not source.readable:
        return "include" in (source.text or "")
    return False


def _imports(source: Source) -> Iterator[str]:
    if source.template is None:
        return
    for node in source.template.find_all((jinja.Import, jinja.FromImport, jinja.Include)):
        template: jinja.Expr = getattr(node, "template")  # noqa: B009
        names = template.items if isinstance(template, (jinja.List, jinja.Tuple)) else [template]
        for name in names:
            yield pattern(name)
    # {% import_yaml "x" as y %} stands in the tree as a call of Salt's extension.
    for found in _IMPORTED.finditer(source.text or ""):
        yield found[1]


_IMPORTED = re.compile(r"\{%[-+]?\s*import_(?:yaml|json|text)\s+['\"]([^'\"]+)['\"]")
_URL = re.compile(r"salt://([^\s'\"?|]+)")


def pattern(node: jinja.Expr) -> str:
    """The text that an expression comes to; marks where only rendering tells."""
    match node:
        case jinja.Const(value=str() as value):
            return value
        case jinja.Concat(nodes=parts):
            return "".join(map(pattern, parts))
        case jinja.Add(left=left, right=right):
            return pattern(left) + pattern(right)
    return ANY


def _urls(source: Source) -> Iterator[str]:
    """What states take as templates, and what else an sls file names by salt://."""
    if not source.is_sls or source.area != "states":
        return
    root: yaml.Node | None = source.root
    for _, node in walk(root):
        text = text_of(node)
        if text and text.startswith("salt://"):
            yield text.removeprefix("salt://")
    if root is None:
        yield from _URL.findall(source.text or "")
