"""What masters told the journal of themselves: who serves what, as far as its `sync` events say.

Whoever may push to the journal can write such an event under any name, so a name is believed no more than a hold is:
it is one that a master could have, and there are at most so many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from saltbranch.base.durations import from_iso
from saltbranch.journal.events import Event, is_hash

LONGEST = 200  # characters of a name; as a master cuts its own
MOST = 1000  # masters; those that told least recently are forgotten
_MOST_SALTENVS = 200
_LONGEST_SALTENV = 255
_LONGEST_ROOT = 32


@dataclass(slots=True)
class Told:
    """What one root told under the name of a master. Times: seconds since 1970, as that master wrote them.

    serves: saltenv to the commit that it serves, and since when. told: when it told last. is_replaced: another root
    has begun to tell under this name since, and this one has said nothing any more.
    """

    serves: dict[str, tuple[str, float]] = field(default_factory=dict)
    told: float = 0
    is_replaced: bool = False


Masters = dict[str, dict[str, Told]]
"""Name to root to what it told; who told last comes last. The root is empty in what older releases told."""


def is_name(text: str, longest: int = LONGEST) -> bool:
    """Whether `text` could be the name of a master."""
    return 0 < len(text) <= longest and text.isprintable()


def follow(known: Masters, event: Event) -> None:
    """Change `known` by a `sync` event."""
    name, root = event.text("master"), event.text("root")
    if not is_name(name) or (root and not is_name(root, _LONGEST_ROOT)):
        return
    roots = known.pop(name, {})
    serves = _names(event.details.get("serves"))
    if serves is not None and not serves:
        roots.pop(root, None)  # it says that it tells no more
    else:
        roots[root] = _told(roots, root, event, serves)
        _shorten(roots, MOST)
    if roots:
        known[name] = roots
    _shorten(known, MOST)


def _told(roots: dict[str, Told], root: str, event: Event, serves: set[str] | None) -> Told:
    """What `root`, which is taken out of `roots`, has told with `event`. serves: all its saltenvs, None for unknown."""
    mine = roots.pop(root, None)
    if mine is None:
        mine = Told()
        for other in roots.values():
            other.is_replaced = True
    mine.is_replaced, mine.told = False, event.time
    for saltenv, commit, since in _rows(event):
        mine.serves[saltenv] = (commit, since)
    if serves is not None:
        mine.serves = {s: row for s, row in mine.serves.items() if s in serves}
    _shorten(mine.serves, _MOST_SALTENVS)
    return mine


def _shorten(known: dict[str, Any], most: int) -> None:
    while len(known) > most:
        del known[next(iter(known))]


def live(known: Masters) -> Iterator[tuple[str, str, Told]]:
    """Name, root and what was told, of all that were not replaced: two of one name where two roots tell in turn."""
    for name in sorted(known):
        for root, told in sorted(known[name].items()):
            if not told.is_replaced:
                yield name, root, told


def _names(told: Any) -> set[str] | None:
    """The names in a list; None where it is none."""
    return {n for n in told if isinstance(n, str)} if isinstance(told, list) else None


def _rows(event: Event) -> Iterator[tuple[str, str, float]]:
    rows = event.details.get("saltenvs")
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, Mapping):
            continue
        saltenv, new, when = (row.get(k) for k in ("saltenv", "new", "time"))
        if not (isinstance(saltenv, str) and isinstance(new, str) and is_hash(new)):
            continue
        if not is_name(saltenv, _LONGEST_SALTENV):
            continue
        try:
            since = from_iso(when) if isinstance(when, str) else event.time
        except (ValueError, OverflowError):
            since = event.time
        yield saltenv, new, since
