"""What is known to be missing: files that are kept out of the repository on purpose. Pure.

A minion of which everything came out but for such files is whole; a gap that nobody declared is an error.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from saltbranch.compiler.error_texts import DECLARED, NOT_THERE, PILLAR, TOP_FILE, is_of_pillar
from saltbranch.compiler.model import Compiled

# How Salt says that an sls file is not there: pillar (salt/pillar/__init__.py), include: and top file (salt/state.py).
_SLS = re.compile(
    rf"(?:{PILLAR})?Specified SLS '?([^\s']+)'? in (?:environment|saltenv) "
    rf"|(?:{TOP_FILE})?No matching sls found for '([^']+)' in env "
)
# The message of jinja2.TemplateNotFound is the name of the template.
_TEMPLATE = re.compile(
    rf"(?:{PILLAR})?Rendering SLS '?[^\s']+'? failed: Jinja error: ([^\s;]+)(?:; line [0-9]+)?"
)
# And how it is told of a pillar file (compiler/pillar_causes.py).
_OF_PILLAR = re.compile(
    rf"{PILLAR}Rendering SLS '[^\s']+' failed: Jinja: salt://(\S+){NOT_THERE}.*"
)
SCHEME = "salt://"
# What Salt says of states that name others which are not there (salt/state.py).
_FOLLOWS = re.compile(r"Referenced state does not exist|Cannot extend ID|The following requisite")
# Whichever of them names the sls file that lacks something.
_OF = re.compile(r"Rendering SLS '?(?:[^\s:']+:)?([^\s']+)'? failed")

THERE, ABSENT = "there", "absent"
Look = Callable[[str, bool], str]
"""Whether a tree has an sls or a ``salt://`` file; of the pillar where the second argument says so.

THERE, ABSENT, or the program that encrypted it: neither Salt nor anybody can read that in a commit.
"""


def gap(error: str) -> str | None:
    """The sls or, as ``salt://PATH``, the file that is not there by an error of one side; None for other errors."""
    if found := _SLS.match(error):
        return _dotted(found[1] or found[2])
    if found := _TEMPLATE.fullmatch(error) or _OF_PILLAR.fullmatch(error):
        return f"{SCHEME}{found[1]}"
    return None


def _dotted(sls: str) -> str:
    """An sls name as Salt means it: slashes are taken for dots."""
    return sls.replace("/", ".")


def lacking(errors: Iterable[str]) -> tuple[str, ...]:
    """The sls that errors are about, those of the pillar as ``pillar: NAME``; what came out is without these."""
    names = []
    for text in errors:
        found = _SLS.match(text)
        name = (found[1] or found[2]) if found else None
        if name is None and (about := _OF.search(text)):
            name = about[1]
        if name is not None:
            names.append(f"{PILLAR}{name}" if is_of_pillar(text) else name)
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
        name, fits = _lacks(error)
        is_declared = name and any(fnmatch.fnmatchcase(name, p) for p in missing)
        if name and is_declared and fits(look(name, is_of_pillar(error))):
            known[error] = name
    if not known:
        return compiled
    rest = tuple(error for error in compiled.errors if error not in known)
    names = [f"{PILLAR}{name}" if is_of_pillar(e) else name for e, name in known.items()]
    notes = [f"{DECLARED}{', '.join(dict.fromkeys(names))}"]
    if any(not is_of_pillar(error) for error in known):
        # A state that is named may be one of those that are missing.
        notes += [f"not judged without what is missing: {e}" for e in rest if _FOLLOWS.match(e)]
        rest = tuple(error for error in rest if not _FOLLOWS.match(error))
    return replace(
        compiled,
        errors=rest,
        notes=(*compiled.notes, *notes),
        result="partial" if rest else "ok",
    )


def told(compiled: Compiled, missing: Sequence[str], look: Look) -> Compiled:
    """`declared`, with errors about encrypted files that say so. It asks about files in errors only."""
    found = declared(compiled, missing, look)
    if not found.errors:
        return found
    errors = tuple(_explained(error, look) for error in found.errors)
    return found if errors == found.errors else replace(found, errors=errors)


def news(compiled: Compiled, missing: Sequence[str], look: Look) -> Compiled:
    """`told` for whoever lists errors: declared ones are gone where nothing came out, too; it stays failed."""
    if compiled.result != "failed":
        return told(compiled, missing, look)
    return replace(told(replace(compiled, result="partial"), missing, look), result="failed")


def _explained(error: str, look: Look) -> str:
    about = _OF.search(error)
    if about is None or gap(error) is not None:
        return error
    program = look(about[1], is_of_pillar(error))
    if not is_sealed(program):
        return error
    return (
        f"{error[: about.end()]}: the file is encrypted with {program} and cannot be read here; let a file"
        " stand in for it (stand_in:), or declare it (missing:)"
    )


def is_sealed(presence: str) -> bool:
    """Whether a `Look` found something that nobody can read."""
    return presence not in (THERE, ABSENT)


def _lacks(error: str) -> tuple[str | None, Callable[[str], bool]]:
    """What an error would be about, and what would have to be true of that for it to be a gap."""
    name = gap(error)
    if name is None and (about := _OF.search(error)):
        return _dotted(about[1]), is_sealed
    return name, lambda presence: presence == ABSENT
