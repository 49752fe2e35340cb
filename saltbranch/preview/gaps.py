"""What is known to be missing: files that are kept out of the repository on purpose. Pure.

A minion of which everything came out but for such files is whole; a gap that nobody declared is an error.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Literal

from saltbranch.compiler.model import Compiled

# How Salt says that an sls file is not there: pillar (salt/pillar/__init__.py), include: and top file (salt/state.py).
_SLS = re.compile(
    r"(?:pillar: )?Specified SLS '?([^\s']+)'? in (?:environment|saltenv) "
    r"|(?:top file: )?No matching sls found for '([^']+)' in env "
)
# The message of jinja2.TemplateNotFound is the name of the template.
_TEMPLATE = re.compile(
    r"(?:pillar: )?Rendering SLS '?[^\s']+'? failed: Jinja error: ([^\s;]+)(?:; line [0-9]+)?"
)
# And how it is told of a pillar file (compiler/pillarcauses.py).
_OF_PILLAR = re.compile(
    r"pillar: Rendering SLS '[^\s']+' failed: Jinja: salt://(\S+), which it imports, is not there.*"
)
SCHEME = "salt://"
# Whichever of them names the sls file that lacks something.
_OF = re.compile(r"Rendering SLS '?(?:[^\s:']+:)?([^\s']+)'? failed")

Presence = Literal["there", "absent", "encrypted"]
Look = Callable[[str, bool], Presence]
"""Whether a tree has an sls or a ``salt://`` file; of the pillar where the second argument says so. Encrypted is what
git-crypt wrote, which neither Salt nor anybody can read in a commit.
"""


def gap(error: str) -> str | None:
    """The sls or, as ``salt://PATH``, the file that is not there by an error of one side; None for other errors."""
    if found := _SLS.match(error):
        return found[1] or found[2]
    if found := _TEMPLATE.fullmatch(error) or _OF_PILLAR.fullmatch(error):
        return f"{SCHEME}{found[1]}"
    return None


def lacking(errors: Iterable[str]) -> tuple[str, ...]:
    """The sls that errors are about, those of the pillar as ``pillar: NAME``; what came out is without these."""
    names = []
    for error in errors:
        text = error.removeprefix("before: ").removeprefix("after: ")
        found = _SLS.match(text)
        name = (found[1] or found[2]) if found else None
        if name is None and (about := _OF.search(text)):
            name = about[1]
        if name is not None:
            names.append(f"pillar: {name}" if text.startswith("pillar: ") else name)
    return tuple(dict.fromkeys(names))


def declared(compiled: Compiled, missing: Sequence[str], look: Look) -> Compiled:
    """`compiled` without the errors about what `missing` names, which a note tells instead.

    missing: globs of sls names, and of paths as ``salt://PATH``. What is there and does not render is an error all
    the same, whatever its message says.
    """
    if not missing or not compiled.errors or compiled.result == "failed":
        return compiled
    known = {}
    for error in compiled.errors:
        name, presence = _lacks(error)
        is_declared = name and any(fnmatch.fnmatchcase(name, p) for p in missing)
        if name and is_declared and look(name, error.startswith("pillar: ")) == presence:
            known[error] = name
    if not known:
        return compiled
    rest = tuple(error for error in compiled.errors if error not in known)
    note = f"missing, as declared: {', '.join(dict.fromkeys(known.values()))}"
    return replace(
        compiled,
        errors=rest,
        notes=(*compiled.notes, note),
        result="partial" if rest else "ok",
    )


def _lacks(error: str) -> tuple[str | None, Presence]:
    """What an error would be about if that were absent, or encrypted."""
    name = gap(error)
    if name is None and (about := _OF.search(error)):
        return about[1], "encrypted"
    return name, "absent"
