"""What to say after an error that may come from a neutral answer: which function, and how to settle it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from saltbranch.compiler.error_texts import SETTLES, TOP_BROKEN, TOP_FILE, is_of_pillar

_SLS = re.compile(r"SLS '(?:[^':]*:)?([^']*)' failed")
_LINE = re.compile(r"; line [0-9]+$")
_MOST, _LONGEST = 2, 120


def settled(error: str, asked: Mapping[tuple[str, str], str]) -> str:
    """`error`, with the calls that were answered neutrally while its sls file was rendered, the last first.

    asked: call and what was rendered (see `Host`), to the function. Of a call in a pillar file its
    arguments are not told.
    """
    area = "pillar" if is_of_pillar(error) else "states"
    named = _SLS.search(error)
    if named is None and not error.startswith((TOP_BROKEN, TOP_FILE)):
        return error
    place = f"{area} {named[1]}" if named else ""
    calls = [
        function if area == "pillar" or len(call) > _LONGEST else call
        for (call, rendered), function in [*asked.items()][::-1]
        if rendered == place
    ]
    return _with(error, list(dict.fromkeys(calls))[:_MOST]) if calls else error


def _with(error: str, calls: Iterable[str]) -> str:
    line = _LINE.search(error)
    text = error[: line.start()] if line else error
    names = " and ".join(calls)
    returns = ", ".join(f"{json.dumps(call) if '(' in call else call}: ..." for call in calls)
    more = (
        f"(before that, {names} answered neutrally; in the minion's file of the fleet,"
        f" returns: {{{returns}}} {SETTLES}"
    )
    return f"{text} {more}{line[0] if line else ''}"
