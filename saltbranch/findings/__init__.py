"""Rules about settings that break saltenvs: pure functions from what was seen to what is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


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

    def as_dict(self) -> dict[str, object]:
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


def some(names: Iterable[str], most: int = 5) -> str:
    """The first of `names`, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
