"""check: what is wrong with the files of a ref, before anything is promoted or served.

Findings come from a list of sources, each a function from a subject (one commit, its files) to
findings. The static rules are one; what needs a compiled highstate is another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from jinja2 import nodes as jinja

from saltbranch import config as configuration
from saltbranch import locate, saltsyntax, scanners, tree
from saltbranch.actions import prepare
from saltbranch.admission import link_problem
from saltbranch.checks import (
    Finding,
    Severity,
    allow,
    compiled,
    expectations,
    in_order,
    new_since,
)
from saltbranch.checks import rules as check_rules
from saltbranch.checks import run as check_run
from saltbranch.checks.expectations import StateTest
from saltbranch.checks.project import TESTS, Catalogue, Project, Source, Tools
from saltbranch.checks.reading import read
from saltbranch.checks.result import CheckResult, RefResult
from saltbranch.config import Config
from saltbranch.errors import ConfigError, UsageError
from saltbranch.git import Git
from saltbranch.mirror import Mirror
from saltbranch.tree import Blob

WORK_TREE = "work tree"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the commits are. clone: the folder of a work tree; config: None where there is none."""

    git: Git
    clone: str | None
    config: Config | None
    states_dir: str
    pillar_dir: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What a source of findings gets: one commit (None: the work tree) with its parsed files."""

    place: Place
    name: str
    commit: str | None
    project: Project
    tools: Tools
    tests: tuple[StateTest, ...]


FindingSource = Callable[[Subject], Iterable[Finding]]


def static(subject: Subject) -> Iterable[Finding]:
    """The rules that look at files alone."""
    return check_run.check(subject.project, subject.tools)


def state_tests(compile_all: expectations.Compile) -> FindingSource:
    """The source that compiles and judges tests/*.yaml.

    compile_all: (commit, tests) to the highstate of each test's minion.
    """

    def judge(subject: Subject) -> Iterable[Finding]:
        if subject.commit is None or not subject.tests:
            return ()
        return expectations.run(subject.commit, subject.tests, compile_all)

    return judge


def fleet(minions: Sequence[str], compile_all: compiled.Compile) -> FindingSource:
    """The source that compiles every minion of the fleet.

    compile_all: (commit, ids) to the highstate of each.
    """

    def look(subject: Subject) -> Iterable[Finding]:
        if subject.commit is None or not minions:
            return ()
        top = f"{subject.place.states_dir}/top.sls"
        return compiled.findings(subject.commit, minions, compile_all, top)

    return look


def check(
    config_path: str | None,
    refs: Sequence[str] = (),
    *,
    every_branch: bool = False,
    since: str | None = None,
    fail_on: Severity = "warning",
    sources: Sequence[FindingSource] = (static,),
    cache: str | None = None,
) -> CheckResult:
    """Check `refs` (saltenvs, branches, tags, commits).

    config_path: as given by the caller; None looks around. every_branch: the branches of all
    saltenvs. since: only what is new against this ref. cache: a folder of ours for what Salt knows.
    Without refs: the work tree of the clone one stands in, elsewhere every branch.
    Raises ConfigError, UsageError, GitError, SaltError.
    """
    place = open_place(config_path, os.getcwd())
    if every_branch and refs:
        raise UsageError(
            "--all and names of refs exclude one another", hint="leave out one of them"
        )
    wanted = list(refs)
    if every_branch or (not wanted and place.clone is None):
        wanted = _branches(place)
    catalogue = saltsyntax.catalogue(cache)
    checker = _Checker(place, catalogue, saltsyntax.parser(), tuple(sources))
    base = resolve(place, since) if since is not None else None
    if not wanted:
        return CheckResult((checker.result(WORK_TREE, None, base),), fail_on)
    commits = [(name, resolve(place, name)) for name in wanted]
    return CheckResult(tuple(checker.result(n, c, base) for n, c in commits), fail_on)


def open_place(config_path: str | None, cwd: str) -> Place:
    """The clone around `cwd`, or the mirror of the configuration that was named or found."""
    named = config_path or os.environ.get(locate.ENVIRONMENT_VARIABLE)
    clone = locate.clone_root(cwd)
    if clone and (named is None or _inside(os.path.abspath(named), clone)):
        path = os.path.abspath(named) if named else f"{clone}/{locate.FILE_NAME}"
        git = Git(clone, work_tree=True)
        if not named and not os.path.exists(path):
            default = configuration.FileModel()
            return Place(git, clone, None, default.states_dir, default.pillar_dir)
        machine = configuration.read_file(path)
        config = (
            configuration.build(machine, path, origin=machine.remote or "/nonexistent")
            if (machine.saltenvs)
            else None
        )
        return Place(git, clone, config, machine.states_dir, machine.pillar_dir)
    path = locate.find(config_path, os.environ, cwd)
    machine = configuration.read_file(path)
    mirror = Mirror(os.path.normpath(machine.root))
    if not mirror.exists():
        raise ConfigError(
            f"there is no mirror {mirror.path} yet",
            hint="run saltbranch sync first, or stand in a clone of the control repository",
        )
    config = prepare.load_config(path, mirror, mirror.branches())
    return Place(mirror.git, None, config, config.states_dir, config.pillar_dir)


def _inside(path: str, folder: str) -> bool:
    return os.path.realpath(path).startswith(f"{os.path.realpath(folder)}/")


def _branches(place: Place) -> list[str]:
    if place.config is None:
        raise ConfigError(
            "no saltenvs are configured here, so there are no branches to check",
            hint=f"name refs, or write {locate.FILE_NAME} with saltenvs",
        )
    return [saltenv.name for saltenv in place.config.saltenvs]


def resolve(place: Place, name: str) -> str:
    """The commit that `name` stands for: a saltenv's branch, a branch, a tag, whatever git knows.

    Raises UsageError.
    """
    branches = [s.branch for s in place.config.saltenvs if s.name == name] if place.config else []
    for branch in (*branches, name):
        for prefix in ("refs/heads/", "refs/remotes/origin/", "refs/tags/"):
            if (commit := place.git.commit_or_none(f"{prefix}{branch}")) is not None:
                return commit
    # `:/text` and the like are git's searches; a name is no search.
    if not name.startswith((":", "-")) and (commit := place.git.commit_or_none(name)) is not None:
        return commit
    raise UsageError(
        f"{name!r} is no saltenv, branch, tag or commit in {place.git.directory}",
        hint="git branch --all and git tag show what there is",
    )


class _Checker:
    """Checks commits with the same tools, each commit once."""

    def __init__(
        self,
        place: Place,
        catalogue: Catalogue,
        parse: Callable[[str], jinja.Template],
        sources: tuple[FindingSource, ...],
    ) -> None:
        self.place = place
        self.catalogue = catalogue
        self.parse = parse
        self.sources = sources
        self._known: dict[str | None, RefResult] = {}

    def result(self, name: str, commit: str | None, base: str | None) -> RefResult:
        """The findings of one ref that `base` lacks."""
        found = self._all(name, commit)
        findings = found.findings
        if base is not None:
            findings = tuple(new_since(findings, self._all(base, base).findings))
        return RefResult(name, commit, base, found.files, found.tests, found.allowed, findings)

    def _all(self, name: str, commit: str | None) -> RefResult:
        if commit not in self._known:
            self._known[commit] = self._look(name, commit)
        return self._known[commit]

    def _look(self, name: str, commit: str | None) -> RefResult:
        place = self.place
        if commit is None and place.clone is not None:
            blobs = tree.read_work_tree(place.git, place.clone, self._wanted)
        else:
            blobs = tree.read_commit(place.git, commit or "HEAD", self._wanted)
        tools, entries, findings = self._tools(blobs)
        project = _project(place, blobs, tools)
        tests: list[StateTest] = []
        for source in project.of(TESTS):
            if source.text is not None and source.name.endswith((".yaml", ".yml")):
                parsed, wrong = expectations.parse(source.path, source.text)
                tests += parsed
                findings += wrong
        findings += _links(place, project)
        subject = Subject(place, name, commit, project, tools, tuple(tests))
        for source_of_findings in self.sources:
            findings += source_of_findings(subject)
        kept, allowed, idle = allow.apply(findings, entries)
        count = sum(1 for source in project.sources.values() if source.area)
        return RefResult(name, commit, None, count, len(tests), allowed, in_order([*kept, *idle]))

    def _wanted(self, path: str) -> bool:
        return path in (allow.FILE, allow.BASELINE) or _area(self.place, path) != ""

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
                findings.append(check_rules.ALLOW.at(allow.BASELINE, 0, str(err)))
        return Tools(self.catalogue, self.parse, scanners.lint, scanner.scan), entries, findings


def _area(place: Place, path: str) -> str:
    if path.startswith(f"{place.states_dir}/"):
        return "states"
    if path.startswith(f"{place.pillar_dir}/"):
        return "pillar"
    # The repository may keep other tests there, too.
    is_test = path.startswith(f"{TESTS}/") and path.endswith((".yaml", ".yml"))
    return TESTS if is_test else ""


def _project(place: Place, blobs: dict[str, Blob], tools: Tools) -> Project:
    sources = [_source(place, blob, tools) for blob in blobs.values()]
    opaque = [b.path for b in blobs.values() if b.kind != "file"]
    roots: tuple[str, ...] = ()
    if place.config is not None:
        roots = tuple(f"{place.config.root}/{part}" for part in ("checkouts", "slots", "tops"))
    return Project(
        sources,
        states_dir=place.states_dir,
        pillar_dir=place.pillar_dir,
        opaque=opaque,
        roots=roots,
    )


def _source(place: Place, blob: Blob, tools: Tools) -> Source:
    area = _area(place, blob.path)
    folder = {"states": place.states_dir, "pillar": place.pillar_dir, TESTS: TESTS}.get(area)
    name = blob.path[len(folder) + 1 :] if folder else blob.path
    link = os.fsdecode(blob.data or b"") if blob.kind == "link" else None
    source = Source(blob.path, area, name, blob.size, link)
    return read(source, blob.data, tools) if area and blob.kind == "file" else source


def _links(place: Place, project: Project) -> list[Finding]:
    """What a sync would refuse (admission.py), and links that lead to nothing."""
    found = []
    for source in project.sources.values():
        if source.link is None or not source.area:
            continue
        problem = link_problem(source.path, source.link, place.pillar_dir)
        if problem is None:
            end = os.path.normpath(os.path.join(os.path.dirname(source.path), source.link))
            if end not in project.sources and end not in project.dirs:
                problem = "leads to nothing"
        if problem:
            message = f"the symlink to {source.link[:120]!r} {problem}"
            severity: Severity = "warning" if problem == "leads to nothing" else "error"
            found.append(check_rules.BAD_LINK.at(source.path, 0, message, severity=severity))
    return found


def check_commit(
    git: Git, config: Config, commit: str, *, since: str, compiled: bool, saltenv: str | None = None
) -> RefResult:
    """The findings of `commit` that `since` lacks, both full hashes: what a gate asks for.

    compiled: also compile the fleet. saltenv: only its minions. Raises ConfigError, GitError, SaltError.
    """
    if compiled:
        raise ConfigError("only files can be checked here, nothing is compiled")
    place = Place(git, None, config, config.states_dir, config.pillar_dir)
    checker = _Checker(place, saltsyntax.catalogue(None), saltsyntax.parser(), (static,))
    return checker.result(commit, commit, since)
