"""``check --json``."""

from __future__ import annotations

from typing import TypedDict

from saltbranch.check.finding import Severity
from saltbranch.cli.json_shapes.parts import Commit, Version


class CheckFinding(TypedDict):
    """One thing in one file."""

    file: str
    line: int
    rule: str
    severity: Severity
    message: str
    fix: str


class CompiledCount(TypedDict):
    """How much was compiled."""

    minions: int
    cached: int
    missing: str | None
    warnings: list[str]
    other: str | None


class CheckedRef(TypedDict):
    """What was found in one ref."""

    ref: str
    commit: Commit | None
    since: Commit | None
    files: int
    tests: int
    allowed: int
    compiled: CompiledCount
    stand_ins: list[str]
    findings: list[CheckFinding]


class Check(TypedDict):
    """``check --json``."""

    version: Version
    refs: list[CheckedRef]
