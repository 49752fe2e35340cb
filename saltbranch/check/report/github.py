"""Workflow commands, which GitHub Actions shows as annotations in a pull request."""

from __future__ import annotations

from saltbranch.check.finding import Finding
from saltbranch.check.result import CheckResult

_LEVELS = {"error": "error", "warning": "warning", "note": "notice"}


def github(result: CheckResult) -> str:
    """One command for each finding."""
    return "".join(_command(finding) for ref in result.refs for finding in ref.findings)


def _command(finding: Finding) -> str:
    place = f"file={_property(finding.file)}"
    if finding.line > 0:
        place += f",line={finding.line}"
    text = _data(f"{finding.message}\n-> {finding.fix}")
    level = _LEVELS[finding.severity]
    return f"::{level} {place},title={_property(finding.rule)}::{text}\n"


def _data(text: str) -> str:
    """As @actions/core escapes it: otherwise a message could hold a command of its own."""
    text = "".join(
        c if c.isprintable() or c in "\r\n" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
