"""The part of `check` that compiles: the minions of the fleet, and the minions of state tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from saltbranch.base.errors import ConfigError, RefusedError
from saltbranch.check import catalogue as rules
from saltbranch.check import compiled, expectations, other_salt
from saltbranch.check.expectations import StateTest
from saltbranch.check.finding import Finding
from saltbranch.check.project import Project
from saltbranch.check.result import CompiledCount
from saltbranch.compiler import interpreter, pool, sandbox
from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.interpreter import Interpreter
from saltbranch.compiler.model import Compiled, Minion
from saltbranch.compiler.pool import Frame
from saltbranch.compiler.sandbox import SandboxError
from saltbranch.compiler.tree import Tree
from saltbranch.config import minions as targets
from saltbranch.config.minions import Matcher
from saltbranch.config.model import Config
from saltbranch.git import tree
from saltbranch.git.program import branch_of_remote
from saltbranch.preview import groups, known_fleet, low_diff
from saltbranch.preview import missing as gaps
from saltbranch.preview.compare import cache_of, frame_of
from saltbranch.preview.fleet import choose
from saltbranch.preview.fleet_diff import Tellings, looked_up, stand_in_warnings
from saltbranch.preview.repository_and_master import RepositoryAndMaster
from saltbranch.repository.commit_source import CommitSource
from saltbranch.salt_master import options as master_options

Progress = Callable[[int, int], None]
NO_SALTENVS = "there is no saltbranch.yaml with saltenvs here"
NO_MASTER = "there is no salt-master here, and fleet: names no folder"
_HINT = "or look at the files alone: saltbranch check --static"


@dataclass(frozen=True, slots=True)
class Compiling:
    """How to compile. minions: globs or ``@FILE``. saltenv: only its minions. jobs: None for all cores.

    cache: use earlier results. strict: without a fleet it is an error, not a remark. python: compile with
    the Salt of this interpreter, too; a person has to have named it.
    """

    minions: Sequence[str] = ()
    saltenv: str | None = None
    jobs: int | None = None
    cache: bool = True
    strict: bool = False
    python: str | None = None
    progress: Progress | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Looked:
    """What compiling one commit brought up."""

    findings: tuple[Finding, ...]
    count: CompiledCount


class Highstates:
    """Compiles commits of one repository for the same fleet."""

    def __init__(
        self, config: Config, source: CommitSource, clone: str | None, how: Compiling
    ) -> None:
        """Read the fleet. clone: the folder of the work tree, if there is one.

        Raises ConfigError, SaltError, UsageError.
        """
        self.git, self.clone, self.how = source.git, clone, how
        self.place = RepositoryAndMaster(config, source, master_options.read(config.salt_config))
        self.frame = frame_of(self.place)
        self.cache = cache_of(config, enabled=how.cache)
        self.other = interpreter.ask(how.python) if how.python else None
        self.missing: str | None = None
        self.minions = self._fleet()

    def _fleet(self) -> tuple[Minion, ...]:
        config, how = self.place.config, self.how
        if how.saltenv is not None:
            config.saltenv(how.saltenv)  # ConfigError where there is none
        if config.fleet == "cache" and not self.place.master.exists and not how.strict:
            self.missing = NO_MASTER
            return ()
        try:
            known = known_fleet.load(self.place).minions
        except ConfigError as err:
            raise ConfigError(err.message, hint=f"{err.hint}; {_HINT}") from err
        # Whoever names minions means some; a saltenv without any is not a mistake.
        return tuple(choose(known, how.minions, how.saltenv)) if how.minions else known

    def scope(self, name: str) -> str | None:
        """The saltenv whose minions get the ref `name`; None for all minions."""
        saltenvs = self.place.config.saltenvs
        found = next((s for s in saltenvs if s.name == name), None)
        branch = branch_of_remote(name, self.place.repository.remote) or name
        found = found or next((s for s in saltenvs if s.branch in (name, branch)), None)
        return self.how.saltenv or (found.name if found else None)

    def look(
        self,
        commit: str | None,
        saltenv: str | None,
        project: Project,
        tests: Sequence[StateTest],
        judge: Callable[[Sequence[Compiled]], Iterable[Finding]],
    ) -> Looked:
        """Compile all that is wanted on `commit`; None stands for the work tree.

        saltenv: see `scope`. judge: what else is wrong with what came out. Raises SandboxError, GitError.
        """
        minions = [m for m in self.minions if saltenv is None or m.saltenv == saltenv]
        chosen, wrong = self._chosen(tests, saltenv)
        with ExitStack() as stack:
            git, oid = self.git, commit or ""
            if commit is None and self.clone is not None:
                git, oid = stack.enter_context(tree.of_work_tree(self.git, self.clone))
            try:
                files = self.frame.tree(git, oid)
            except RefusedError as err:  # other findings, and other refs, count all the same
                if self.how.strict:
                    raise
                what = f"nothing was compiled: {err.message}"
                # No mistake of the branch: what is missing may be fine where it is.
                told = rules.COMPILE.at(project.top("states"), 0, what, severity="warning")
                found = [*wrong, told]
                return Looked(tuple(found), CompiledCount(missing=err.message))
            try:
                results = self._compile(self.frame, files, minions, self.cache)
                tested = self._tested(self.frame, files, chosen)
                judged = [f for test, result in tested for f in expectations.judge(test, result)]
                found = [*wrong, *compiled.findings(results, project), *judged]
                found += judge(results)
                found += compiled.escapes([result for _, result in tested], project)
                if self.other and (minions or chosen):
                    found += self._newer(self.other, files, minions, results, project)
                    found += self._newer_tests(self.other, files, chosen, judged)
            except SandboxError as err:
                raise SandboxError(err.message, hint=f"{err.hint}; {_HINT}") from err
        self.cache.tidy()
        said = (*self.frame.extra.said, *files.left_out)
        warnings = [*stand_in_warnings(self.frame, [files]), *said]
        return Looked(tuple(found), self._count(results, tested, saltenv, warnings))

    def _newer(
        self,
        other: Interpreter,
        files: Tree,
        minions: Sequence[Minion],
        results: Sequence[Compiled],
        project: Project,
    ) -> list[Finding]:
        """What the other Salt makes of the fleet, compared with `results`."""
        sandbox.check_other(other)
        frame = _with(self.frame, other)
        pairs = list(zip(results, self._compile(frame, files, minions, self.cache), strict=True))
        telling = Tellings((files,), self.cache)
        ignore = self.place.config.ignore
        diffs = [
            low_diff.compare(
                m.saltenv,
                a,
                b,
                (files, files),
                states_dir=frame.states_dir,
                ignore=ignore,
                telling=telling(m),
            )
            for m, (a, b) in zip(minions, pairs, strict=True)
            # What is missing for want of a file that does not render, its error tells.
            if "failed" not in (a.result, b.result) and set(b.errors) <= set(a.errors)
        ]
        found = list(other_salt.errors(pairs, project, _name(other)))
        return [*found, *other_salt.differences(groups.group(diffs), project, _name(other))]

    def _newer_tests(
        self,
        other: Interpreter,
        files: Tree,
        chosen: Sequence[tuple[str, StateTest]],
        judged: Sequence[Finding],
    ) -> Iterable[Finding]:
        tested = self._tested(_with(self.frame, other), files, chosen)
        found = [f for test, result in tested for f in expectations.judge(test, result)]
        return other_salt.tests(judged, found, _name(other))

    def _compile(
        self, frame: Frame, files: Tree, minions: Sequence[Minion], cache: CompileCache | None
    ) -> list[Compiled]:
        """cache: None for results with low chunks, which hold secrets and are kept nowhere."""
        done, report = [0], self.how.progress

        def step(number: int) -> None:
            done[0] += number
            if report:
                report(done[0], len(minions))

        results = pool.compile_each(
            frame,
            files,
            minions,
            jobs=self.how.jobs or os.cpu_count() or 1,
            cache=cache or CompileCache(None),
            plain=cache is None,
            progress=step,
        )
        look, missing = looked_up(frame, files), self.place.config.missing
        # A state test speaks of one minion, and has to hear why nothing came out of it.
        tell = gaps.told if cache is None else gaps.news
        return [tell(result, missing, look) for result in results]

    def _chosen(
        self, tests: Sequence[StateTest], saltenv: str | None
    ) -> tuple[list[tuple[str, StateTest]], list[Finding]]:
        """Every test with the saltenv that its minion is in."""
        config = self.place.config
        names = [s.name for s in config.saltenvs]
        first = next((s.name for s in config.saltenvs if s.promote_from is None), names[0])
        chosen, wrong = [], []
        for test in tests:
            own = test.saltenv or self._claiming(test.minion) or saltenv or first
            if own in names:
                chosen.append((own, test))
            else:
                text = f"{test.title[:80]!r}: there is no saltenv {own[:60]!r} ({', '.join(names)})"
                wrong.append(rules.TEST_FILE.at(test.file, test.line, text))
        return chosen, wrong

    def _claiming(self, minion_id: str) -> str | None:
        claims = targets.claimed_by(minion_id, self.place.groups, self.place.master.nodegroups)
        return claims[0][0] if len(claims) == 1 else None

    def _tested(
        self, shared: Frame, files: Tree, chosen: Sequence[tuple[str, StateTest]]
    ) -> list[tuple[StateTest, Compiled]]:
        """The highstate of every test's minion, each in a saltenv that lets it in."""
        found: list[tuple[StateTest, Compiled]] = []
        for saltenv in dict.fromkeys(name for name, _ in chosen):
            tests = [test for name, test in chosen if name == saltenv]
            everybody: Mapping[str, Sequence[Matcher]] = {saltenv: (Matcher("glob", "*"),)}
            frame = replace(shared, groups=everybody)
            minions = [_minion(test, saltenv) for test in tests]
            found += zip(tests, self._compile(frame, files, minions, None), strict=True)
        return found

    def _count(
        self,
        results: Sequence[Compiled],
        tested: Sequence[object],
        saltenv: str | None,
        warnings: Sequence[str],
    ) -> CompiledCount:
        missing = self.missing
        if not results and missing is None:
            missing = f"the fleet has no minion{f' of saltenv {saltenv}' if saltenv else ''}"
        warning = sandbox.find().warning if results or tested else None
        return CompiledCount(
            len(results),
            sum(result.cached for result in results),
            missing,
            (*([warning] if warning else []), *warnings),
            _name(self.other) if self.other else None,
        )


def _with(frame: Frame, other: Interpreter) -> Frame:
    return replace(frame, salt_version=other.salt, python=other)


def _name(other: Interpreter) -> str:
    return f"Salt {other.salt} ({other.executable})"


def _minion(test: StateTest, saltenv: str) -> Minion:
    grains = {**test.grains, "id": test.minion}
    return Minion(test.minion, saltenv, grains, pillar=test.pillar, returns=test.returns)
