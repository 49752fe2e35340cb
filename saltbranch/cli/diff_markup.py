"""A diff as Markdown, for a pull request, and as one HTML page that needs nothing else."""

from __future__ import annotations

import html

from saltbranch.cli import diff_text
from saltbranch.cli.diff_text import Line
from saltbranch.fleetdiff import FleetDiff

# A comment on GitHub holds 65,536 characters.
LARGEST = 60_000
_SIGNS = {"add": "+", "remove": "-", "change": "!", "note": "#", "error": "-"}
_COLOURS = {"add": "#116329", "remove": "#a40e26", "change": "#7d4e00", "note": "#57606a",
            "error": "#a40e26"}  # fmt: skip
_STYLE = (
    "body{font:14px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "pre{background:#f6f8fa;padding:1em;overflow:auto}"
)


def markdown(result: FleetDiff, *, limit: int | None = LARGEST, whole: str | None = None) -> str:
    """Markdown of at most `limit` characters. whole: where all of it can be read."""
    parts = [_title(result), *_sections(result)]
    text = "\n".join(parts) + "\n"
    if limit is None or len(text) <= limit:
        return text
    tail = "\n\n*Cut off: this is not all of it.*" + (
        f" The whole is in `{whole}`.\n" if whole else "\n"
    )
    kept, size = [parts[0]], len(parts[0]) + len(tail)
    for part in parts[1:]:
        if size + len(part) + 1 > limit:
            break
        kept.append(part)
        size += len(part) + 1
    return "\n".join(kept) + tail


def _title(result: FleetDiff) -> str:
    first = next(diff_text.lines(result))[1]
    return f"### Highstate diff: {_escaped(first)}\n\ndigest `{result.digest[:16]}`\n"


def _sections(result: FleetDiff) -> list[str]:
    """A block for each head line, in the colours that Markdown's `diff` language has."""
    blocks: list[tuple[str, list[Line]]] = [("Notes", [])]
    for style, text in list(diff_text.lines(result))[1:]:
        if style == "head":
            blocks.append((text, []))
        elif text:
            blocks[-1][1].append((style, text))
    if blocks[0][1]:
        blocks.append(blocks.pop(0))
    else:
        blocks.pop(0)
    found = []
    for title, content in blocks:
        body = "\n".join(_diff_line(style, text) for style, text in content)
        body = body.replace("```", "'''")
        found.append(
            f"<details open><summary>{_escaped(title)}</summary>\n\n```diff\n{body}\n```\n</details>\n"
        )
    return found


def _diff_line(style: str, text: str) -> str:
    return f"{_SIGNS.get(style, ' ')} {text.strip()}" if style in _SIGNS else f"  {text}"


def _escaped(text: str) -> str:
    """As plain text in Markdown: branch names come from strangers, and @name would call somebody."""
    escaped = html.escape(text)
    for sign in "\\`*_[]#@|~":
        escaped = escaped.replace(sign, f"&#{ord(sign)};") if sign != "#" else escaped
    return escaped


def page(result: FleetDiff) -> str:
    """One HTML page."""
    rows = []
    for style, text in diff_text.lines(result):
        escaped = html.escape(text)
        if style == "head":
            rows.append(f"</pre><h2>{escaped}</h2><pre>")
        elif style in _COLOURS:
            rows.append(f'<span style="color:{_COLOURS[style]}">{escaped}</span>\n')
        else:
            rows.append(f"{escaped}\n")
    body = "".join(rows).removeprefix("</pre>").replace("<pre></pre>", "")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Highstate diff</title><style>{_STYLE}</style></head><body>"
        f"<p>digest <code>{result.digest}</code></p>{body}</pre></body></html>\n"
    )
