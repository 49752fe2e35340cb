"""The findings of `check` in the formats that other programs read: pure functions to text."""

from __future__ import annotations

from collections.abc import Callable

from saltbranch.checkreport.github import github
from saltbranch.checkreport.junit import junit
from saltbranch.checkreport.sarif import sarif
from saltbranch.checks.result import CheckResult

FORMATS: dict[str, Callable[[CheckResult], str]] = {
    "sarif": sarif,
    "junit": junit,
    "github": github,
}
