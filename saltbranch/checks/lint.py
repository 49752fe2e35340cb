"""The rules of salt-lint, as given by its own code (see Tools.lint)."""

from __future__ import annotations

from collections.abc import Iterator

from saltbranch.checks import Finding, Severity
from saltbranch.checks.project import JINJA_NAMES, Source, Tools

# salt-lint's grades. Its errors are matters of form: they never stop anything here alone.
_GRADES: dict[str, Severity] = {"HIGH": "warning", "MEDIUM": "warning"}
_LONGEST_LINE = 4096


def applies(source: Source) -> bool:
    """Whether salt-lint is meant for it: sls files and templates of states and pillar."""
    return source.area in ("states", "pillar") and source.name.endswith((".sls", *JINJA_NAMES))


def check_file(source: Source, tools: Tools) -> Iterator[Finding]:
    """salt-lint's findings in one file."""
    text = source.text or ""
    if any(len(line) > _LONGEST_LINE for line in text.split("\n")):
        text = "\n".join(line[:_LONGEST_LINE] for line in text.split("\n"))
    for line, rule, grade, message in tools.lint(source.path, text):
        fix = f"see salt-lint's rule {rule}; `# noqa {rule}` on the line lets it pass"
        yield Finding(
            source.path, line, f"salt-lint-{rule}", _GRADES.get(grade, "note"), message, fix
        )
