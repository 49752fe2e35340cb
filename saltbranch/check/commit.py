"""The findings of one commit: the static rules look at files alone, what is compiled stands in highstates.py."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from jinja2 import nodes as jinja

from saltbranch.check import (
    allow,
    compiled_states,
    expectations,
    formula_files,
    highstates,
    salt_language,
    scanners,
    static,
)
from saltbranch.check import catalogue as rules
from saltbranch.check import files as commit_files
from saltbranch.check.checked_repository import CheckedRepository
from saltbranch.check.compiled import told_once
from saltbranch.check.expectations import StateTest
from saltbranch.check.files import Files
from saltbranch.check.finding import Finding, in_order, new_since
from saltbranch.check.highstates import Compiling, Highstates
from saltbranch.check.project import TESTS, Catalogue, Project, Source, Tools
from saltbranch.check.reading import read, with_renderers
from saltbranch.check.result import LEFT_OUT, CompiledCount, RefResult
from saltbranch.check.rules import model as check_model
from saltbranch.compiler import extra_roots
from saltbranch.config import locate
from saltbranch.config.model import Config
from saltbranch.config.roots import PILLAR, STATES, is_in
from saltbranch.git import links
from saltbranch.git.program import Git
from saltbranch.git.tree import Blob
from saltbranch.repository import servable
from saltbranch.repository.commit_source import CommitSource


def check_commit(
    git: Git, config: Config, commit: str, *, since: str, compiled: bool, saltenv: str | None = None
) -> RefResult:
    """The findings of `commit` that `since` lacks, both full hashes: what a gate asks for.

    compiled: also compile the fleet and the state tests. saltenv: only its minions. Raises
    ConfigError, SaltError or SandboxError where that is not possible here, GitError.
    """
    place = CheckedRepository(CommitSource(git), None, config, config.roots)
    how = Compiling(saltenv=saltenv, strict=True) if compiled else None
    return Checker(place, how, cache_folder()).result(commit, commit, since)


def cache_folder() -> str | None:
    """Where this user's caches are (XDG base directory specification)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not base.startswith("/"):
        home = os.path.expanduser("~")
        if not home.startswith("/") or home == "/":
            return None
        base = f"{home}/.cache"
    return f"{base}/saltbranch"


class Checker:
    """Checks commits with the same tools, each commit once."""

    def __init__(
        self,
        place: CheckedRepository,
        compiling: Compiling | None,
        cache: str | None,
        *,
        style: bool = False,
    ) -> None:
        """Read what Salt knows, and the fleet. cache: a folder of ours for the former."""
        self.place, self.style = place, style
        self.catalogue: Catalogue = salt_language.catalogue(cache)
        self.parse: Callable[[str], jinja.Template] = salt_language.parser()
        self.count = LEFT_OUT
        self.highstates: Highstates | None = None
        if compiling is not None and place.config is None:
            self.count = CompiledCount(missing=highstates.NO_SALTENVS)
        elif compiling is not None and place.config is not None:
            self.highstates = Highstates(place.config, place.source, place.clone, compiling)
        self._known: dict[tuple[str | None, str | None], RefResult] = {}
        self._with_pillar: set[str | None] = set()

    def result(self, name: str, commit: str | None, base: str | None) -> RefResult:
        """The findings of one ref that `base` lacks."""
        saltenv = self.highstates.scope(name) if self.highstates else None
        found = self._all(commit, saltenv)
        findings = found.findings
        if base is not None:
            findings = tuple(new_since(findings, self._all(base, saltenv).findings))
            if base in self._with_pillar and commit not in self._with_pillar:
                findings = in_order([*findings, *_pillar_gone(self.place, findings)])
        return replace(found, name=name, since=base, findings=tuple(told_once(findings)))

    def _all(self, commit: str | None, saltenv: str | None) -> RefResult:
        """All findings, for the minions of `saltenv`."""
        if (commit, saltenv) not in self._known:
            self._known[commit, saltenv] = self._look(commit, saltenv)
        return self._known[commit, saltenv]

    def _look(self, commit: str | None, saltenv: str | None) -> RefResult:
        place = self.place
        if commit is None and place.clone is not None:
            files = formula_files.of_work_tree(place, place.clone)
        else:
            files = formula_files.of_commit(place, commit or "HEAD")
        blobs = files.blobs
        own = {path: blob for path, blob in blobs.items() if path not in files.stand_ins}
        tools, entries, findings = self._tools(blobs)
        project = _project(place, files, tools)
        tests, wrong = _tests(project)
        findings += [
            *wrong,
            *_refused(place, own, project),
            *_not_composed(place, files),
            *_dangling(place, project, files.gaps),
            *_gaps(place, files),
            *static.check(project, tools, style=self.style),
        ]
        if _has(place, _files(own), project, PILLAR):
            self._with_pillar.add(commit)
        model = blobs.get(locate.FILE_NAME)
        if model is not None:
            data = model.data if model.kind == "file" else None
            findings += check_model.check(data, place.branches, roots=place.roots, paths=blobs)
            findings += check_model.check_signers(data, blobs) if data is not None else ()
        count = self.count
        if self.highstates is not None:
            told = tuple(findings)
            looked = self.highstates.look(
                commit,
                saltenv,
                project,
                tests,
                lambda results: compiled_states.findings(results, project, tools, told),
            )
            findings += looked.findings
            count = looked.count
        findings = [f for f in findings if f.file not in files.stand_ins or _is_of_both(f)]
        if files.formulas:
            findings = [replace(f, file=formula_files.real_place(files, f.file)) for f in findings]
        kept, allowed, idle = allow.apply(findings, entries)
        number = sum(1 for source in project.sources.values() if source.area)
        placed = [_placed(f, place, files, project) for f in (*kept, *idle)]
        used = tuple(sorted(files.stand_ins))
        return RefResult(
            name="",
            commit=commit,
            since=None,
            files=number,
            tests=len(tests),
            allowed=allowed,
            findings=in_order(placed),
            compiled=count,
            stand_ins=used,
        )

    def _tools(self, blobs: dict[str, Blob]) -> tuple[Tools, list[allow.Entry], list[Finding]]:
        entries: list[allow.Entry] = []
        findings: list[Finding] = []
        if (blob := blobs.get(allow.FILE)) and blob.kind == "file" and blob.data is not None:
            entries, findings = allow.parse(blob.data.decode("utf-8", "replace"))
        scanner = scanners.SecretScanner()
        if (blob := blobs.get(allow.BASELINE)) and blob.kind == "file":
            try:
                scanner = scanners.SecretScanner(blob.data)
            except ValueError as err:
                findings.append(rules.ALLOW.at(allow.BASELINE, 0, str(err)))
        return Tools(self.catalogue, self.parse, scanners.lint, scanner.scan), entries, findings


def _placed(finding: Finding, place: CheckedRepository, files: Files, project: Project) -> Finding:
    """A finding at the file that people know: of what stands in, and of composed roots, that is another one."""
    file = files.stand_ins.get(finding.file, finding.file)
    for kind in place.roots.composed:
        folder, _, name = file.partition("/")
        if folder == place.roots.prefix(kind):
            source = project.names[kind].get(name)
            first = place.roots.of(kind)[0].folder
            file = source.path if source else f"{first}/{name}" if name else first
    return finding if file == finding.file else replace(finding, file=file)


def _not_composed(place: CheckedRepository, files: Files) -> list[Finding]:
    if not files.problem:
        return []
    return [rules.NO_STATES.at(place.roots.of(place.roots.composed[0])[0].folder, 0, files.problem)]


def _has(place: CheckedRepository, paths: list[str], project: Project, kind: str) -> bool:
    """Whether masters find files of `kind`."""
    if word := place.roots.word(kind):
        return servable.list_has_files(paths, word)
    return any(project.of(kind))


def _is_of_both(finding: Finding) -> bool:
    """Whether a finding about what stands in is one: it is made up, so nothing in it is a secret."""
    return finding.rule != rules.SECRET.id


def _tests(project: Project) -> tuple[list[StateTest], list[Finding]]:
    tests: list[StateTest] = []
    findings: list[Finding] = []
    for source in project.of(TESTS):
        if source.text is not None and source.name.endswith((".yaml", ".yml")):
            parsed, wrong = expectations.parse(source.path, source.text)
            tests += parsed
            findings += wrong
    return tests, findings


def _project(place: CheckedRepository, files: Files, tools: Tools) -> Project:
    blobs, aliases = files.blobs, files.aliases
    shown = {**{path: path for path in blobs}, **aliases}
    areas = {path: files.area(place, path) for path in shown}
    own = {
        name: blobs[real].data or b""
        for (area, name), real in zip(areas.values(), shown.values(), strict=True)
        if area == STATES and name.startswith("_renderers/") and blobs[real].kind == "file"
    }
    tools = with_renderers(tools, own)
    sources = [
        _source(areas[blob.path], blob, tools)
        for blob in blobs.values()
        if blob.path not in aliases
    ]
    sources += [_linked(areas[name], name, blobs[path], tools) for name, path in aliases.items()]
    opaque = [
        b.path
        for b in blobs.values()
        if b.kind == "submodule" or (b.kind == "link" and not _leads(b, blobs))
    ]
    opaque += _hidden_in(place, files, opaque)
    roots: tuple[str, ...] = ()
    if place.config is not None:
        roots = tuple(f"{place.config.root}/{part}" for part in ("checkouts", "slots", "tops"))
    return Project(
        sources,
        states_dir=place.states_dir,
        pillar_dir=place.pillar_dir,
        opaque=opaque,
        roots=roots,
        missing=place.config.missing if place.config else (),
        outside=extra_roots.of(place.config, place.formulas).files,
    )


def _hidden_in(place: CheckedRepository, files: Files, opaque: Sequence[str]) -> Iterator[str]:
    """The same as names in composed roots; the whole root where any name may be in one of them."""
    for path in opaque:
        area, name = files.area(place, path)
        for kind in place.roots.composed:
            parts = tuple(path.split("/"))
            above = any(is_in(root.parts, [parts]) for root in place.roots.of(kind))
            globs = (root.parts for root in place.roots.of(kind) if root.is_glob)
            if area == kind:
                yield f"{place.roots.prefix(kind)}/{name}"
            elif above or is_in(parts, globs):
                yield place.roots.prefix(kind)


def _source(what: tuple[str, str], blob: Blob, tools: Tools) -> Source:
    """what: its area, and its name there."""
    area, name = what
    link = os.fsdecode(blob.data or b"") if blob.kind == "link" else None
    source = Source(blob.path, area, name, blob.size, link)
    return read(source, blob.data, tools) if area and blob.kind == "file" else source


def _linked(what: tuple[str, str], name: str, blob: Blob, tools: Tools) -> Source:
    """The file that a link shows as `name`."""
    source = _source(what, replace(blob, path=name), tools)
    return replace(source, real=blob.path)


def _leads(link: Blob, blobs: dict[str, Blob]) -> bool:
    """Whether a link leads to what the repository holds as files, so that all below it is known."""
    end = links.target(link.path, os.fsdecode(link.data or b""))
    if end is None:
        return False
    inside = [b for path, b in blobs.items() if path == end or path.startswith(f"{end}/")]
    return bool(inside) and all(b.kind == "file" for b in inside)


def _files(blobs: dict[str, Blob]) -> list[str]:
    return [path for path, blob in blobs.items() if blob.kind != "submodule"]


def _refused(place: CheckedRepository, blobs: dict[str, Blob], project: Project) -> list[Finding]:
    """What a sync refuses whatever it serves (repository/servable.py): links that lead out, and what should be
    folders.
    """
    found = []
    for path, blob in blobs.items():
        if blob.kind == "link":
            target = os.fsdecode(blob.data or b"")
            if problem := servable.link_problem(path, target, place.roots):
                message = f"the symlink to {target[:120]!r} {problem}"
                found.append(rules.BAD_LINK.at(path, 0, message))
    files = _files(blobs)
    if any(project.of("states")) and not _has(place, files, project, STATES):
        what = f"there is no file below {place.states_dir}/: a submodule stays empty on masters"
        found.append(rules.NO_STATES.at(place.states_dir, 0, what))
    if not place.roots.word(PILLAR):
        return found
    above = {place.pillar_dir, *commit_files.parents(place.pillar_dir)}
    odd = [b for path, b in blobs.items() if b.kind != "file" and path in above]
    odd += [
        b
        for b in blobs.values()
        if b.kind == "submodule" and commit_files.area(place, b.path) == "pillar"
    ]
    if odd and not servable.list_has_files(files, place.pillar_dir):
        kind = "symlink" if odd[0].kind == "link" else "submodule"
        what = f"{odd[0].path} is a {kind}: a master that serves pillar refuses to lose all of it"
        found.append(rules.NO_PILLAR.at(place.pillar_dir, 0, what))
    return found


def _gaps(place: CheckedRepository, files: Files) -> list[Finding]:
    """Formulas that Salt would see and whose files are not here, so that nobody has judged them."""
    held = [b for b in files.blobs.values() if b.kind == "link"]
    ends = [links.target(b.path, os.fsdecode(b.data or b"")) for b in held]
    told = []
    for path, why in files.gaps.items():
        begin = f"{path}/"
        linked = any(end and f"{end}/".startswith(begin) for end in ends)
        stood_for = any(p.startswith(begin) for p in files.stand_ins)
        if path in files.refused:
            what = f"a master that lists submodules: refuses the commit: {why}"
            told.append(rules.MISSING_FORMULA.at(path, 0, what, severity="error"))
        elif (linked or place.roots.reaches(path)) and not stood_for:
            told.append(rules.MISSING_FORMULA.at(path, 0, f"its files were not judged: {why}"))
    return told


def _pillar_gone(place: CheckedRepository, findings: Sequence[Finding]) -> list[Finding]:
    """A commit without pillar after one that has it, which no master switches to."""
    if any(f.rule == rules.NO_PILLAR.id for f in findings):
        return []
    folder = place.roots.word(PILLAR) or place.roots.of(PILLAR)[0].folder
    what = f"there is no file below {folder}/ any more: masters refuse to lose all pillar"
    return [rules.NO_PILLAR.at(folder, 0, what)]


def _dangling(place: CheckedRepository, project: Project, gaps: Mapping[str, str]) -> list[Finding]:
    """Links that lead to nothing, where nothing worse is wrong with them; not those into `gaps`, of which is told."""
    found = []
    for source in project.sources.values():
        if source.link is None or not source.area or source.real is not None:
            continue
        if servable.link_problem(source.path, source.link, place.roots):
            continue
        end = os.path.normpath(os.path.join(os.path.dirname(source.path), source.link))
        if any(f"{end}/".startswith(f"{path}/") for path in gaps):
            continue
        if not (end in project.sources or end in project.dirs or source.path in project.dirs):
            message = f"the symlink to {source.link[:120]!r} leads to nothing"
            found.append(rules.BAD_LINK.at(source.path, 0, message, severity="warning"))
    return found
