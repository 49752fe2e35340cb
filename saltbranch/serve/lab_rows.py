"""The labs in a sync: what they serve, and whether all is as it should be. Imported where `labs:` is set."""

from __future__ import annotations

import os

from saltbranch.base import files
from saltbranch.repository.prepared import ServedSaltenv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from saltbranch.repository.prepared import Prepared
    from saltbranch.serve.run import Run


def names(ready: Prepared) -> list[str]:
    """The labs that the master has."""
    return [f"lab{number}" for number in range(1, int(ready.labs.partition(" ")[0] or 0) + 1)]


def folder(name: str) -> str:
    """Its folder in checkouts and slots."""
    return f"{name}+"  # as config/lab_places.py


def lent_path(root: str) -> str:
    """The file that says which minions are lent."""
    return f"{root}/labs/lent"


def saltenvs(run: Run, only: Sequence[str]) -> list[ServedSaltenv]:
    """The labs that are to serve a branch; those of `only`, all when it is empty."""
    return [
        ServedSaltenv(row.name, row.branch, folder(row.name), protected=False, follow=None)
        for row in run.choices.lab_rows
        if row.counts and (not only or row.name in only)
    ]


def is_settled(run: Run) -> bool:
    """Whether nothing is to be done but to serve their branches."""
    root = run.ready.root
    if (files.read_or_none(lent_path(root)) or b"").rstrip() != run.choices.lent.encode():
        return False
    used = {row.name for row in run.choices.lab_rows if row.counts}
    return not any(
        os.path.lexists(f"{root}/slots/{folder(name)}/served")
        for name in names(run.ready)
        if name not in used
    )
