"""The part of `check` that compiles: the minions of the fleet, and the minions of state tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from saltbranch import targets, tree
from saltbranch.actions import diff, fleet
from saltbranch.checks import Finding, compiled, expectations, rules
from saltbranch.checks.expectations import StateTest
from saltbranch.checks.project import Project
from saltbranch.checks.result import CompiledCount
from saltbranch.compilecache import CompileCache
from saltbranch.compiler import pool, sandbox
from saltbranch.compiler.model import Compiled, Minion
from saltbranch.compiler.pool import Frame
from saltbranch.compiler.sandbox import SandboxError
from saltbranch.compiler.tree import Tree
from saltbranch.config import Config
from saltbranch.errors import ConfigError
from saltbranch.fleet import choose
from saltbranch.git import Git
from saltbranch.targets import Matcher

Progress = Callable[[int, int], None]
NO_SALTENVS = "there is no saltbranch.yaml with saltenvs here"
NO_MASTER = "there is no salt-master here, and fleet: names no folder"
_HINT = "or look at the files alone: saltbranch check --static"


@dataclass(frozen=True, slots=True)
class Compiling:
    """How to compile. minions: globs or ``@FILE``. saltenv: only its minions. jobs: None for all cores.

    cache: use earlier results. strict: without a fleet it is an error, not a remark.
    """

    minions: Sequence[str] = ()
    saltenv: str | None = None
    jobs: int | None = None
    cache: bool = True
    strict: bool = False
    progress: Progress | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Looked:
    """What compiling one commit brought up."""

    findings: tuple[Finding, ...]
    count: CompiledCount


class Highstates:
    """Compiles commits of one repository for the same fleet."""

    def __init__(self, config: Config, git: Git, clone: str | None, how: Compiling) -> None:
        """Read the fleet. clone: the folder of the work tree, if there is one.

        Raises ConfigError, SaltError, UsageError.
        """
        self.git, self.clone, self.how = git, clone, how
        self.place = fleet.place_of(config, git, is_clone=clone is not None)
        self.frame = diff.frame_of(self.place)
        self.cache = diff.cache_of(config, enabled=how.cache)
        self.missing: str | None = None
        self.minions = self._fleet()

    def _fleet(self) -> tuple[Minion, ...]:
        config, how = self.place.config, self.how
        if config.fleet == "cache" and not self.place.master.exists and not how.strict:
            self.missing = NO_MASTER
            return ()
        try:
            known = fleet.load(self.place).minions
        except ConfigError as err:
            raise ConfigError(err.message, hint=f"{err.hint}; {_HINT}") from err
        if how.saltenv is not None:
            config.saltenv(how.saltenv)
        # Whoever names minions means some; a saltenv without any is no mistake.
        return tuple(choose(known, how.minions, how.saltenv)) if how.minions else known

    def scope(self, name: str) -> str | None:
        """The saltenv whose minions get the ref `name`; None for all minions."""
        saltenvs = self.place.config.saltenvs
        found = next((s for s in saltenvs if s.name == name), None)
        found = found or next((s for s in saltenvs if s.branch == name), None)
        return self.how.saltenv or (found.name if found else None)

    def look(
        self, commit: str | None, saltenv: str | None, project: Project, tests: Sequence[StateTest]
    ) -> Looked:
        """Compile all that is wanted on `commit`; None stands for the work tree.

        saltenv: see `scope`. Raises SandboxError, GitError.
        """
        minions = [m for m in self.minions if saltenv is None or m.saltenv == saltenv]
        chosen, wrong = self._chosen(tests, saltenv)
        with ExitStack() as stack:
            git, oid = self.git, commit or ""
            if commit is None and self.clone is not None:
                git, oid = stack.enter_context(tree.of_work_tree(self.git, self.clone))
            files = self.frame.tree(git, oid)
            try:
                results = self._compile(self.frame, files, minions, self.cache)
                tested = self._tested(files, chosen)
            except SandboxError as err:
                raise SandboxError(err.message, hint=f"{err.hint}; {_HINT}") from err
        found = [*wrong, *compiled.findings(results, project)]
        for test, result in tested:
            found += expectations.judge(test, result)
        found += compiled.escapes([result for _, result in tested], project)
        return Looked(tuple(found), self._count(results, tested, saltenv))

    def _compile(
        self, frame: Frame, files: Tree, minions: Sequence[Minion], cache: CompileCache | None
    ) -> list[Compiled]:
        """cache: None for results with low chunks, which hold secrets and are kept nowhere."""
        done, report = [0], self.how.progress

        def step(number: int) -> None:
            done[0] += number
            if report:
                report(done[0], len(minions))

        return pool.compile_each(
            frame,
            files,
            minions,
            jobs=self.how.jobs or os.cpu_count() or 1,
            cache=cache or CompileCache(None),
            plain=cache is None,
            progress=step,
        )

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
        self, files: Tree, chosen: Sequence[tuple[str, StateTest]]
    ) -> list[tuple[StateTest, Compiled]]:
        """The highstate of every test's minion, each in a saltenv that lets it in."""
        found: list[tuple[StateTest, Compiled]] = []
        for saltenv in dict.fromkeys(name for name, _ in chosen):
            tests = [test for name, test in chosen if name == saltenv]
            everybody: Mapping[str, Sequence[Matcher]] = {saltenv: (Matcher("glob", "*"),)}
            frame = replace(self.frame, groups=everybody)
            minions = [_minion(test, saltenv) for test in tests]
            found += zip(tests, self._compile(frame, files, minions, None), strict=True)
        return found

    def _count(
        self, results: Sequence[Compiled], tested: Sequence[object], saltenv: str | None
    ) -> CompiledCount:
        missing = self.missing
        if not results and missing is None:
            missing = f"the fleet has no minion{f' of saltenv {saltenv}' if saltenv else ''}"
        warning = sandbox.find().warning if results or tested else None
        return CompiledCount(
            len(results),
            sum(result.cached for result in results),
            missing,
            (warning,) if warning else (),
        )


def _minion(test: StateTest, saltenv: str) -> Minion:
    grains = {**test.grains, "id": test.minion}
    return Minion(test.minion, saltenv, grains, pillar=test.pillar, returns=test.returns)
