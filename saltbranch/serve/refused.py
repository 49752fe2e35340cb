"""Which commits this machine refused to serve: nobody goes back to what was never served."""

from __future__ import annotations

from collections.abc import Iterable

from saltbranch import files

_MOST = 1000  # lines that are kept, the newest


def path(root: str) -> str:
    """A cache of the root: saltenv and commit, a line each."""
    return f"{root}/state/refused"


def load(root: str, saltenv: str) -> frozenset[str]:
    """The commits that `saltenv` was to serve here and never did. Raises OSError."""
    return frozenset(commit for name, commit in _read(root) if name == saltenv)


def note(root: str, refused: Iterable[tuple[str, str]], served: Iterable[tuple[str, str]]) -> None:
    """Remember pairs of saltenv and commit; what is served after all is no longer refused. Raises OSError."""
    before = _read(root)
    gone = set(served)
    after = list(dict.fromkeys(row for row in (*before, *refused) if row not in gone))[-_MOST:]
    if after != before:
        files.write_atomic(
            path(root), "".join(f"{name}\t{commit}\n" for name, commit in after), durable=False
        )


def _read(root: str) -> list[tuple[str, str]]:
    data = (files.read_or_none(path(root)) or b"").decode("utf-8", "surrogateescape")
    rows = (line.partition("\t") for line in data.splitlines())
    return [(name, commit) for name, tab, commit in rows if tab and commit]
