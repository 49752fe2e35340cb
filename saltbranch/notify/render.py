"""A message by a template of the model: in Jinja's sandbox, in a process of its own that has little time and memory.

The template sees the notice as plain values. Whatever it prints is escaped for the target; only the template's own
letters are not.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from saltbranch.base import proc
from saltbranch.base.errors import SaltbranchError
from saltbranch.config.notify import Format
from saltbranch.notify.escape import Safe, escaped, link

LONGEST = 8000
"""Characters of a message; the rest is cut off."""
_SECONDS = 5
_MEMORY = 512 << 20  # bytes


def body(
    notice: Mapping[str, Any], title: str, lines: list[str], template: str | None, form: Format
) -> str:
    """The text of a message; where the template fails, the default text with a line that says so."""
    if template:
        asked = {
            "template": template,
            "format": form,
            "title": title,
            "lines": lines,
            "notice": notice,
        }
        argv = proc.python("from saltbranch.notify import render; render.main()")
        try:
            done = proc.run(argv, {}, timeout=_SECONDS, stdin=json.dumps(asked).encode())
        except SaltbranchError as err:
            said = err.message
        else:
            if done.code == 0:
                return done.out.decode("utf-8", "replace")[:LONGEST]
            said = f"no end after {_SECONDS} s" if done.timed_out else _last(done.complaint)
        lines = [*lines, f"(the template of this message failed: {said[:200]})"]
    return default(notice, lines, form)


def default(notice: Mapping[str, Any], lines: list[str], form: Format) -> str:
    """The text of a message without a template."""
    text = "\n".join(lines)
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]} ..."
    parts = [escaped(text, form)]
    parts += [link(url, form) for url in links(notice)]
    gap = "<br>\n" if form == "html" else "\n"
    return gap.join(parts)


def links(notice: Mapping[str, Any]) -> list[str]:
    """Where to look at the commits: pages of the git server, made by gather.py."""
    rows = notice.get("rows")
    found = [notice, *(rows if isinstance(rows, list) else [])]
    urls = [about.get("link") for data in found if isinstance(about := data.get("about"), Mapping)]
    return [url for url in urls[:10] if isinstance(url, str) and url]


def _last(complaint: str) -> str:
    lines = complaint.splitlines()
    return lines[-1] if lines else "it was ended"


def main() -> None:
    """Read what is asked as JSON from stdin and write the text; in a process of its own."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    asked = json.loads(sys.stdin.read())
    try:
        text = rendered(asked)
    except Exception as err:  # whatever a template can raise
        sys.stderr.write(f"{type(err).__name__}: {str(err)[:200]}\n")
        sys.stderr.flush()
        os._exit(1)
    sys.stdout.write(text[:LONGEST])
    sys.stdout.flush()


def rendered(asked: Mapping[str, Any]) -> str:
    """The text of the template in `asked`. Raises what jinja2 raises."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    form, notice = asked["format"], asked["notice"]

    def shown(value: object) -> str:
        return (
            value if isinstance(value, Safe) else escaped("" if value is None else str(value), form)
        )

    environment = ImmutableSandboxedEnvironment(finalize=shown)
    environment.globals.pop("lipsum", None)
    template = environment.from_string(asked["template"])
    safe = {
        "text": Safe(default(notice, asked["lines"], form)),
        "links": [link(url, form) for url in links(notice)],
    }
    return template.render({**notice, "title": asked["title"], "lines": asked["lines"], **safe})
