"""The rules of salt-lint, as given by its own code (see Tools.lint)."""

from __future__ import annotations

from collections.abc import Iterator

from saltbranch.check.finding import Finding, Severity
from saltbranch.check.project import JINJA_NAMES, Source, Tools
from saltbranch.check.template import expressions

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
    tight = _tight(text)
    for line, rule, grade, message in tools.lint(source.path, text):
        if rule == "206" and line not in tight:
            continue
        fix = f"see salt-lint's rule {rule}; `# noqa {rule}` on the line lets it pass"
        yield Finding(
            source.path,
            line,
            f"salt-lint-{rule}",
            severity=_GRADES.get(grade, "note"),
            message=message,
            fix=fix,
        )


def _tight(text: str) -> frozenset[int]:
    """The lines with an expression that has no space inside its braces: what rule 206 looks for.

    Its own pattern takes the end of any mapping, and of other languages' braces, for that of a variable.
    """
    found: set[int] = set()
    for expression, line in expressions(text):
        inner = expression[2:-2].removeprefix("-").removeprefix("+").removesuffix("-")
        if inner and (not inner[0].isspace() or not inner[-1].isspace()):
            found.update((line, line + expression.count("\n")))
    return frozenset(found)
