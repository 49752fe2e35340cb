"""Rules about the files of one commit: pure functions from parsed files to findings.

Nothing of a branch is executed here: Jinja is parsed and not rendered, Python is parsed and not
imported, and YAML is composed into nodes and never into objects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in one file that is not as it should be.

    file: path inside the repository. line: from 1, 0 for the file as a whole. rule: stable, for
    programs. message: what is wrong, never with a line number and never with a secret's value.
    fix: what to do. content: what stands at the place; it only tells an old finding from a new one
    and is in no output.
    """

    file: str
    line: int
    rule: str
    severity: Severity
    message: str
    fix: str
    content: str = field(default="", repr=False)

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {
            "file": self.file,
            "line": self.line,
            "rule": self.rule,
            "severity": self.severity,
            "message": self.message,
            "fix": self.fix,
        }

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What stays the same when lines are added above."""
        return (self.rule, self.file, self.message, self.content)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule looks for. fix: what to do where the finding says nothing better."""

    id: str
    severity: Severity
    title: str
    fix: str

    def at(
        self,
        file: str,
        line: int,
        message: str,
        *,
        fix: str = "",
        severity: Severity | None = None,
        content: str = "",
    ) -> Finding:
        """The finding of this rule at a place."""
        return Finding(
            file,
            line,
            self.id,
            severity=severity or self.severity,
            message=message,
            fix=fix or self.fix,
            content=content,
        )


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """By file and line, without what is said twice."""
    unique = dict.fromkeys(findings)
    return tuple(sorted(unique, key=lambda f: (f.file, f.line, f.rule, f.message)))


def new_since(findings: Iterable[Finding], base: Iterable[Finding]) -> Iterator[Finding]:
    """Those of `findings` that `base` lacks; lines that moved do not make a finding new."""
    known = Counter(finding.identity for finding in base)
    for finding in findings:
        known[finding.identity] -= 1
        if known[finding.identity] < 0:
            yield finding
