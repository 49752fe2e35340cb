"""One thing that doctor finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypedDict

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


class FindingData(TypedDict):
    """A finding as `--json` has it."""

    id: str
    severity: Severity
    message: str
    why: str
    fix: str
    items: list[str]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    id: stable, for programs. message: what is wrong, with the value seen and its place. why: what
    comes of it, in one sentence. fix: what to do. items: the files, ids or names it is about, all
    of them.
    """

    id: str
    severity: Severity
    message: str
    why: str
    fix: str
    items: tuple[str, ...] = ()

    def as_dict(self) -> FindingData:
        """Plain data, the shape of `--json`."""
        return {
            "id": self.id,
            "severity": self.severity,
            "message": self.message,
            "why": self.why,
            "fix": self.fix,
            "items": list(self.items),
        }


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors first, then warnings, then notes; otherwise as they came."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
