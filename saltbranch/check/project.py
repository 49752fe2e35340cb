"""All files of one commit, parsed once, and the questions that rules ask about them."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import yaml
from jinja2 import nodes as jinja

from saltbranch.check.finding import Finding, Severity
from saltbranch.check.questions import may_be_about
from saltbranch.check.sls import Declared
from saltbranch.check.template import Plain, literal

JINJA_NAMES = (".jinja", ".jinja2", ".j2")
TESTS = "tests"


@dataclass(frozen=True, slots=True)
class Function:
    """The arguments of a state function. open: it takes others, too; documented: those of them it tells of."""

    arguments: tuple[str, ...]
    required: tuple[str, ...] = ()
    open: bool = False
    documented: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a version of Salt has. states: module -> function -> arguments; a module whose content
    cannot be known holds nothing.
    """

    version: str
    states: Mapping[str, Mapping[str, Function]]
    keywords: frozenset[str]
    requisites: frozenset[str]
    renderers: frozenset[str]
    filters: frozenset[str]
    tests: frozenset[str]

    @property
    def of_all(self) -> frozenset[str]:
        """The arguments that every state takes."""
        return self.requisites | self.keywords


@dataclass(frozen=True, slots=True)
class Tools:
    """What rules need from outside. parse: Jinja to nodes, raises jinja2.TemplateSyntaxError.

    lint: path and text to (line, rule, grade, message). secrets: to (line, message, severity).
    """

    catalogue: Catalogue
    parse: Callable[[str], jinja.Template]
    lint: Callable[[str, str], Iterable[tuple[int, str, str, str]]]
    secrets: Callable[[str, str], Iterable[tuple[int, str, Severity]]]


@dataclass(frozen=True, slots=True)
class Source:
    """One file. area: "states", "pillar", "tests" or "". name: its path below the area's folder.

    link: where a symlink leads. text is None when it was not read or is not text. renderers: those of
    an sls file. root: its YAML, None where that cannot be told. certain: that YAML stands there in
    every rendering; whole: that all branches of its templates are in it. real:
    where the file is that a link shows here.
    """

    path: str
    area: str
    name: str
    size: int
    link: str | None = None
    text: str | None = None
    renderers: tuple[str, ...] = ()
    template: jinja.Template | None = None
    plain: Plain | None = None
    root: yaml.Node | None = None
    certain: bool = False
    whole: bool = False
    readable: bool = False
    declared: Declared = field(default_factory=Declared)
    problems: tuple[Finding, ...] = ()
    real: str | None = None

    @property
    def is_sls(self) -> bool:
        """Whether Salt can name it in a top file or an include."""
        return self.area in ("states", "pillar") and self.name.endswith(".sls")

    @property
    def sls(self) -> str:
        """How Salt names it: a.b for a/b.sls and for a/b/init.sls."""
        return self.name.removesuffix(".sls").removesuffix("/init").replace("/", ".")

    @property
    def is_init(self) -> bool:
        """Whether relative includes start in its own folder."""
        return self.name.rpartition("/")[2] == "init.sls"

    def conditional(self, line: int) -> bool:
        """Whether `line` is not there in every rendering."""
        return self.plain is not None and line in self.plain.conditional

    def guarded(self, line: int, path: str) -> bool:
        """Whether `line` is there only if a file is that may be the one at `path`: the template asks first."""
        words = self.plain.guarded.get(line) if self.plain is not None else None
        return words is not None and may_be_about(words, path)


class Project:
    """The files of one commit."""

    def __init__(
        self,
        sources: Iterable[Source],
        *,
        states_dir: str,
        pillar_dir: str,
        opaque: Iterable[str] = (),
        roots: tuple[str, ...] = (),
        missing: tuple[str, ...] = (),
        outside: Iterable[str] = (),
    ) -> None:
        """Take the parsed files; opaque: folders whose content is elsewhere (submodules, links).

        roots: absolute folders that the checkouts are served from. missing: globs of what is kept out on
        purpose, names of sls and ``salt://`` paths. outside: states that Salt has from elsewhere, names below its root.
        """
        self.sources = {source.path: source for source in sources}
        self.folders = {"states": states_dir, "pillar": pillar_dir, "tests": TESTS}
        self.opaque = frozenset(opaque)
        self.roots = roots
        self.missing = missing
        self.outside = _outside(outside)
        self.names: dict[str, dict[str, Source]] = {"states": {}, "pillar": {}, "tests": {}, "": {}}
        self.dirs: set[str] = set()
        for source in self.sources.values():
            self.names[source.area][source.name] = source
            self._add_folders(source.path)
            if source.area:  # several folders may be one to Salt
                self._add_folders(f"{self.folders[source.area]}/{source.name}")
        self.sls = {
            area: {s.sls: s for s in self.names[area].values() if s.is_sls and s.name != "top.sls"}
            for area in ("states", "pillar")
        }
        self._closures: dict[str, frozenset[str]] = {}
        # Set by whoever makes a project of whole files: all of them, until it is known better.
        self.reached: frozenset[str] = frozenset(self.sources)

    def _add_folders(self, path: str) -> None:
        while (path := path.rpartition("/")[0]) and path not in self.dirs:
            self.dirs.add(path)

    def top(self, area: str) -> str:
        """The path of the area's top file, or where it would be."""
        source = self.names[area].get("top.sls")
        return source.path if source else f"{self.folders[area]}/top.sls"

    def of(self, area: str) -> Iterator[Source]:
        """The files of `area`."""
        return iter(self.names[area].values())

    def has_file(self, area: str, name: str) -> bool:
        """Whether Salt finds the file `name` below the area's root; true where it cannot be told."""
        return (
            name in self.names[area]
            or self._hidden(f"{self.folders[area]}/{name}")
            or self._is_outside(area, f"salt://{name}")
            or self.is_declared(f"salt://{name}")
        )

    def has_dir(self, area: str, name: str) -> bool:
        """The same for a folder."""
        path = f"{self.folders[area]}/{name}".rstrip("/")
        return (
            path in self.dirs
            or self._hidden(path)
            or self._is_outside(area, f"salt://{name}/")
            or self.is_declared(f"salt://{name}/")
        )

    def has_sls(self, area: str, sls: str) -> bool:
        """Whether there is the sls file `sls`; true where it cannot be told."""
        path = sls.replace(".", "/")
        return (
            bool(self.named(area, sls))
            or self._hidden(f"{self.folders[area]}/{path}/init.sls")
            or self._hidden(f"{self.folders[area]}/{path}.sls")
            or self._is_outside(area, path.replace("/", "."))
            or self.is_declared(path.replace("/", "."))
        )

    def _is_outside(self, area: str, name: str) -> bool:
        return area == "states" and name in self.outside

    def is_declared(self, name: str) -> bool:
        """Whether `name`, of an sls or as ``salt://PATH``, is known to be kept somewhere else."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.missing)

    def lacks(self, sls: str) -> bool:
        """Whether the states sls `sls` is kept somewhere else, so that what it declares is not known."""
        if not literal(sls):
            return False
        if self.sls_like("states", sls):
            return False
        name = sls.replace("/", ".")
        return self._is_outside("states", name) or self.is_declared(name)

    def named(self, area: str, sls: str) -> list[Source]:
        """The file of the sls `sls`, which may be written with slashes (salt/fileclient.py, get_state)."""
        path = sls.replace(".", "/")
        files = self.names[area]
        found = files.get(f"{path}.sls") or files.get(f"{path}/init.sls")
        return [found] if found is not None else []

    def judged(self, area: str) -> Iterator[Source]:
        """The files of `area` that Salt comes to."""
        return (source for source in self.of(area) if source.path in self.reached)

    def sls_like(self, area: str, pattern: str) -> list[str]:
        """The sls files that a top file's `pattern` names (salt/state.py, _filter_matches)."""
        if not any(sign in pattern for sign in "*?["):
            return [source.sls for source in self.named(area, pattern)]
        return fnmatch.filter(self.sls[area], pattern)

    def _hidden(self, path: str) -> bool:
        while path:
            if path in self.opaque:
                return True
            path = path.rpartition("/")[0]
        return False

    def closure(self, area: str, sls: str) -> frozenset[str]:
        """`sls` and all that it includes, whatever the minion."""
        key = f"{area}/{sls}"  # of what is included in every rendering
        if key not in self._closures:
            seen, todo = set(), [sls]
            while todo:
                name = todo.pop()
                source = self.sls[area].get(name)
                if name in seen or source is None:
                    continue
                seen.add(name)
                wanted = [i for i in source.declared.includes if not source.conditional(i.line)]
                names = [self.named(area, absolute(source, i.sls)) for i in wanted]
                todo += [found.sls for named in names for found in named]
            self._closures[key] = frozenset(seen)
        return self._closures[key]


def absolute(source: Source, sls: str) -> str:
    """`sls` as `source` includes it, from the root (salt/state.py, BaseHighState.render_state)."""
    dots = len(sls) - len(sls.lstrip("."))
    if not dots:
        return sls
    parts = source.sls.split(".")
    up = dots - 1 if source.is_init else dots
    kept = parts[: len(parts) - up] if up else parts
    return ".".join([*kept, sls[dots:]]) if sls[dots:] else ".".join(kept)


def _outside(names: Iterable[str]) -> frozenset[str]:
    """What is found by `names`: sls, and ``salt://`` paths of files and, with a slash at the end, folders."""
    found = set()
    for name in names:
        found.add(f"salt://{name}")
        if name.endswith(".sls"):
            found.add(name.removesuffix(".sls").removesuffix("/init").replace("/", "."))
        while (folder := name.rpartition("/")[0]) and f"salt://{folder}/" not in found:
            found.add(f"salt://{folder}/")
            name = folder
    return frozenset(found)
