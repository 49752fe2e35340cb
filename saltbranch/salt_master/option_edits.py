"""Takes options out of a file of the salt-master's, as comments, and leaves everything else in it as it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from saltbranch.base.errors import RefusedError

MARK = "#saltbranch# "
"""What stands before each line that was taken out."""


def without(text: str, path: str, options: Mapping[str, Any]) -> str:
    """`text` of the file `path` without `options`; a value that is not None takes the place of what was there.

    Raises RefusedError where the text is written in a way in which that cannot be done line by line.
    """
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    before = yaml.safe_load(text) or {}
    if not isinstance(node, yaml.MappingNode) or not any(key in before for key in options):
        return text
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    starts = [key.start_mark.line for key, _ in node.value]
    done: set[str] = set()
    inserts: dict[int, str] = {}
    for number, (key, value) in enumerate(node.value):
        name = str(key.value)
        if name not in options:
            continue
        last = starts[number + 1] if number + 1 < len(starts) else value.end_mark.line + 1
        first = key.start_mark.line
        block = _without_tail(lines, range(first, max(first + 1, min(last, len(lines)))))
        for at in block:
            lines[at] = MARK + lines[at]
        if options[name] is not None and name not in done:
            inserts[block[-1]] = yaml.safe_dump({name: options[name]}, sort_keys=False)
        done.add(name)
    made = "".join(line + inserts.get(at, "") for at, line in enumerate(lines))
    wanted = {key: value for key, value in before.items() if key not in options}
    wanted |= {name: value for name, value in options.items() if name in done and value is not None}
    try:
        reads = yaml.safe_load(made) or {}
    except yaml.YAMLError:
        reads = None
    if reads != wanted:
        raise RefusedError(
            f"{path}: {', '.join(sorted(done))} cannot be taken out line by line as that file is written",
            hint="write each of these options on lines of its own, without anchors that others use",
        )
    return made


def _without_tail(lines: list[str], block: range) -> range:
    """`block` without the comments, empty lines and marks of a document that follow the value."""
    last = block[-1]
    while last > block[0]:
        line = lines[last].strip()
        is_mark = lines[last].startswith(("---", "..."))
        if line and not line.startswith("#") and not is_mark:
            break
        last -= 1
    return range(block[0], last + 1)
