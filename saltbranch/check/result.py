"""What a check found, ref by ref."""

from __future__ import annotations

from dataclasses import dataclass

from saltbranch.base.errors import EXIT_PENDING
from saltbranch.check.finding import SEVERITIES, Finding, Severity


@dataclass(frozen=True, slots=True)
class CompiledCount:
    """How many minions of the fleet were compiled, and how many of these results were kept from before.

    missing: why none was. warnings: what is true of all of it. other: the Salt that compiled it, too.
    """

    minions: int = 0
    cached: int = 0
    missing: str | None = None
    warnings: tuple[str, ...] = ()
    other: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "minions": self.minions,
            "cached": self.cached,
            "missing": self.missing,
            "warnings": list(self.warnings),
            "other": self.other,
        }


LEFT_OUT = CompiledCount(missing="--static leaves it out")


@dataclass(frozen=True, slots=True)
class RefResult:
    """What was found in one ref. tests: how many state tests it has; allowed: findings let pass.

    since: the commit whose findings are left out. stand_ins: the files that others stand in for.
    """

    name: str
    commit: str | None
    since: str | None
    files: int
    tests: int
    allowed: int
    findings: tuple[Finding, ...]
    compiled: CompiledCount = LEFT_OUT
    stand_ins: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "ref": self.name,
            "commit": self.commit,
            "since": self.since,
            "files": self.files,
            "tests": self.tests,
            "allowed": self.allowed,
            "compiled": self.compiled.as_dict(),
            "stand_ins": list(self.stand_ins),
            "findings": [finding.as_dict() for finding in self.findings],
        }


@dataclass(frozen=True, slots=True)
class CheckResult:
    """All refs. fail_on: the least severity that counts."""

    refs: tuple[RefResult, ...]
    fail_on: Severity

    @property
    def exit_code(self) -> int:
        """0 nothing that counts, 3 findings."""
        counting = SEVERITIES[: SEVERITIES.index(self.fail_on) + 1]
        found = any(f.severity in counting for ref in self.refs for f in ref.findings)
        return EXIT_PENDING if found else 0

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {"version": 1, "refs": [ref.as_dict() for ref in self.refs]}
