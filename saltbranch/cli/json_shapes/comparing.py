"""``diff --json``."""

from __future__ import annotations

from typing import Any, TypedDict

from saltbranch.cli.json_shapes.parts import Commit, CommitLine, Group, Time, Version
from saltbranch.preview.difference import Result
from saltbranch.preview.difference import Side as DiffSide


class ChangedState(TypedDict):
    """A state that both sides have; arguments: name to old and new value."""

    key: str
    sls: str
    path: str
    line: int | None
    arguments: dict[str, tuple[Any, Any]]


class Place(TypedDict):
    """Where a state is declared."""

    sls: str
    path: str
    line: int | None


class States(TypedDict):
    """The states of one minion that differ."""

    added: list[str]
    removed: list[str]
    changed: list[ChangedState]
    reordered: list[str]
    places: dict[str, Place]
    stays: list[str]
    origins: dict[str, dict[str, list[str]]]


class ChangedFile(TypedDict):
    """A ``salt://`` source that differs, and the states that use it."""

    source: str
    keys: list[str]


class _ChangedContent(ChangedFile):
    lines: list[str]
    more: int


class ChangedContent(_ChangedContent, total=False):
    """Lines of a unified diff of a rendered file. of: in groups, the minion whose they are."""

    of: str


class Pillar(TypedDict):
    """Paths in the pillar that differ."""

    added: list[str]
    removed: list[str]
    changed: list[str]


class Difference(TypedDict):
    """All that differs for one minion."""

    states: States
    files: list[ChangedFile]
    contents: list[ChangedContent]
    pillar: Pillar


class DiffGroup(Difference):
    """Minions with the same difference."""

    minions: list[str]


class MinionDiff(Difference):
    """One minion; result: whether it was compiled."""

    saltenv: str
    result: Result
    error: str | None
    notes: list[str]
    compared: int


class Code(TypedDict):
    """A file that Salt syncs to minions."""

    path: str
    change: str
    minions: list[str]


class Cause(TypedDict):
    """An error of several minions."""

    error: str
    side: DiffSide
    minions: list[str]
    failed: int


class Side(TypedDict):
    """What was compared."""

    name: str
    tree: str
    saltenv: str | None
    merged: Commit | None


class SideCommit(TypedDict):
    """The commit of a side."""

    commit: Commit
    date: Time
    subject: str
    author: str


class Origin(TypedDict):
    """Where both sides come from."""

    repository: str
    before: SideCommit
    after: SideCommit
    tickets: list[str]
    groups: list[Group]
    lost: list[CommitLine]
    brought: int
    gone: int


class Diff(TypedDict):
    """``diff --json``."""

    version: Version
    before: Side
    after: Side
    digest: str
    minions: dict[str, MinionDiff]
    groups: list[DiffGroup]
    code: list[Code]
    causes: list[Cause]
    origin: Origin | None
    sealed: list[str]
    warnings: list[str]
    ignored: int
    cached: int
    spent: dict[str, Any]
