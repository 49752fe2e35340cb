"""The findings of `check` in the formats that other programs read: pure functions to text."""

from __future__ import annotations

from collections.abc import Callable

from saltbranch.check.report.github import github
from saltbranch.check.report.junit import junit
from saltbranch.check.report.sarif import sarif
from saltbranch.check.result import CheckResult

FORMATS: dict[str, Callable[[CheckResult], str]] = {
    "sarif": sarif,
    "junit": junit,
    "github": github,
}
