"""A diff as Markdown, for a pull request, as GitHub and GitLab render it.

What strangers wrote stands in code, in which neither of them finds markup, names to call or numbers to link.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from saltbranch.base.markdown import code
from saltbranch.base.text import many, printable
from saltbranch.cli.show import diff, diff_view
from saltbranch.cli.show.diff import Line
from saltbranch.preview.fleet_diff import FleetDiff

# A comment on GitHub holds 65,536 characters.
LARGEST = 60_000
_SIGNS = {"add": "+", "remove": "-", "change": "!", "note": "#", "error": "-"}
_MINIONS, _TICKETS, _ROWS, _CELL, _UNFOLDED = 6, 12, 50, 300, 5


def markdown(result: FleetDiff, *, limit: int | None = LARGEST, whole: str | None = None) -> str:
    """Markdown of at most `limit` characters. whole: where all of it can be read."""
    parts = list(_parts(result))
    text = "\n".join(parts)
    if limit is None or len(text) <= limit:
        return text
    tail = "\n*Cut off: this is not all of it.*" + (
        f" The whole is in {code(whole)}.\n" if whole else "\n"
    )
    kept, size = [], len(tail)
    for part in parts:
        if size + len(part) + 1 > limit:
            break
        kept.append(part)
        size += len(part) + 1
    return "\n".join(kept) + tail


def _parts(result: FleetDiff) -> Iterator[str]:
    """Each of them is whole, so that one may end after any."""
    before, after = (code(_short(str(side["name"]))) for side in (result.before, result.after))
    yield f"### Highstate diff: {before} to {after}\n\n{diff.summary(result)}; digest `{result.digest[:16]}`\n"
    yield _sides(result)
    for warning in result.warnings:
        yield f"> **Warning:** {code(warning)}\n"
    if result.causes:
        yield _incomplete(result)
    if result.groups:
        yield _groups(result)
    few = len(result.groups) <= _UNFOLDED
    for view, group in zip(diff_view.groups(result), result.groups, strict=True):
        title = f"Group {view.number}: {many(len(group.minions), 'minion')}"
        yield _folded(
            title,
            _names(group.minions, 20),
            list(diff.difference(group.difference)),
            unfold=few,
        )
    if result.code:
        changes: list[Line] = [("change", f"{c.change} {printable(c.path)}") for c in result.code]
        yield _folded("Code that Salt syncs to the minions", "", changes, unfold=few)
    notes = [
        f"- {code(note)} ({many(number, 'minion')})" for note, number in diff.notes(result).items()
    ]
    if told := diff.hint(result.groups):
        notes.append(f"- {code(told)}")
    if notes:
        yield "**Notes**\n\n" + "\n".join(notes) + "\n"


def _sides(result: FleetDiff) -> str:
    origin = result.origin
    if origin is None:
        return ""
    rows = ["| | Commit | Date | Subject | Author |", "|---|---|---|---|---|"]
    for title, commit in (("Before", origin.before), ("After", origin.after)):
        cells = (commit.commit[:12], commit.date, commit.subject, commit.author)
        rows.append(f"| {title} | {' | '.join(code(_short(cell)) for cell in cells)} |")
    tickets = ", ".join(code(t) for t in origin.tickets[:_TICKETS]) or "none"
    more = len(origin.tickets) - _TICKETS
    tail = f" and {more} more" if more > 0 else ""
    gone = f", {many(origin.gone, 'commit')} gone" if origin.gone else ""
    rows += [
        "",
        f"Repository {code(origin.repository)}; {many(origin.brought, 'commit')} in between{gone}; tickets:"
        f" {tickets}{tail}\n",
    ]
    return "\n".join(rows)


def _incomplete(result: FleetDiff) -> str:
    partial = [m for m in result.incomplete if m.result != "failed"]
    rows = []
    if result.failed:
        rows.append(
            f"**Not compiled: {many(len(result.failed), 'minion')}**, of which nothing is known."
        )
    if partial:
        rows.append(
            f"**Compiled in part: {many(len(partial), 'minion')}**: {code(diff.holds(partial))}"
        )
    rows += ["", "| Minions | Where | Error | Which |", "|---:|---|---|---|"]
    causes = result.causes
    rows += [
        f"| {len(c.minions)} | {diff.side(c)} | {code(_short(c.text))} | {_names(c.minions, 3)} |"
        for c in causes[:_ROWS]
    ]
    if len(causes) > _ROWS:
        rows.append(f"| | | and {len(causes) - _ROWS} more | |")
    return "\n".join(rows) + "\n"


def _groups(result: FleetDiff) -> str:
    rows = [
        "| Group | Minions | Which | States | Files | Pillar |",
        "|---:|---:|---|---|---:|---:|",
    ]
    views = diff_view.groups(result)
    for view in views[:_ROWS]:
        c = view.counts
        states = f"+{c.added} -{c.removed} ~{c.changed}" + (
            f" ^{c.reordered}" if c.reordered else ""
        )
        rows.append(
            f"| {view.number} | {len(view.minions)} | {_names(view.minions, _MINIONS)} | {code(states)} | {c.files} |"
            f" {c.pillar} |"
        )
    if len(views) > _ROWS:
        rows.append(f"| | | and {len(views) - _ROWS} more | | | |")
    return "\n".join(rows) + "\n"


def _names(minions: Sequence[str], most: int) -> str:
    more = len(minions) - most
    return ", ".join(code(_short(m)) for m in minions[:most]) + (
        f" and {more} more" if more > 0 else ""
    )


def _short(text: str) -> str:
    return text if len(text) <= _CELL else f"{text[: _CELL - 3]}..."


def _folded(title: str, lead: str, lines: Sequence[Line], *, unfold: bool) -> str:
    """A block in the colours that the language `diff` has. title: ours."""
    unfolded = " open" if unfold else ""
    body = "\n".join(_line(style, text) for style, text in lines if text)
    # A fence ends at one that is as long (CommonMark 0.31, 4.5).
    fence = "`" * max(3, 1 + max(map(len, _backticks(body)), default=0))
    return f"<details{unfolded}><summary>{title}</summary>\n\n{lead}\n\n{fence}diff\n{body}\n{fence}\n\n</details>\n"


def _backticks(text: str) -> list[str]:
    return "".join(c if c == "`" else " " for c in text).split()


def _line(style: str, text: str) -> str:
    words = text.strip()
    if words.startswith(diff.BAR):  # a line of a file, with its sign
        return words[len(diff.BAR) :] or " "
    if style in ("add", "remove", "change") and words[:1] in "+-~^":
        words = words[1:].strip()
    return f"{_SIGNS[style]} {words}" if style in _SIGNS else f"  {text}"
