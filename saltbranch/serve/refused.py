"""Which commits this machine refused to serve: nobody goes back to what was never served."""

from __future__ import annotations

from collections.abc import Iterable

from saltbranch.base import files
from saltbranch.base.text import printable

_MOST = 1000  # lines that are kept, the newest
_LONGEST = 1000  # characters of a reason


def path(root: str) -> str:
    """A cache of the root: saltenv, commit and why, a line each."""
    return f"{root}/state/refused"


def load(root: str, saltenv: str) -> frozenset[str]:
    """The commits that `saltenv` was to serve here and never did. Raises OSError."""
    return frozenset(commit for name, commit in _read(root) if name == saltenv)


def why(root: str, saltenv: str, commit: str) -> str | None:
    """Why the last sync that was to serve `commit` refused it, in one line; None where none did. Raises OSError."""
    return _read(root).get((saltenv, commit))


def note(
    root: str, refused: Iterable[tuple[str, str, str]], served: Iterable[tuple[str, str]]
) -> None:
    """Remember saltenv, commit and why; what is served after all is no longer refused. Raises OSError."""
    before = _read(root)
    after = {**before, **{(name, commit): _clean(reason) for name, commit, reason in refused}}
    for row in served:
        after.pop(row, None)
    if after != before:
        rows = list(after.items())[-_MOST:]
        text = "".join(f"{name}\t{commit}\t{reason}\n" for (name, commit), reason in rows)
        files.write_atomic(path(root), text, durable=False)


def _clean(reason: str) -> str:
    short = " ".join(reason.split())
    return printable(short if len(short) <= _LONGEST else f"{short[:_LONGEST]}...")


def _read(root: str) -> dict[tuple[str, str], str]:
    data = (files.read_or_none(path(root)) or b"").decode("utf-8", "surrogateescape")
    rows = (line.split("\t", 2) for line in data.split("\n"))
    return {(row[0], row[1]): "".join(row[2:]) for row in rows if len(row) > 1 and row[1]}
