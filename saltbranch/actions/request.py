"""What a verb that merges asks for, and two things that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field

from saltbranch import merging
from saltbranch.actions.workplace import Workplace
from saltbranch.config import Saltenv
from saltbranch.promotion import FAST_FORWARD, MERGE, Step


@dataclass(frozen=True, slots=True)
class Request:
    """What a verb asks for.

    branch, saltenv: the target. source, source_name: the commit to merge and what people call it.
    source_saltenv: where it was proven. back_to: branches below that get the result, with only_if_needed where
    the target has something that the source lacks. delete: branches of the remote that are done with. resolved: the
    tree and old head of a conflict that was resolved by hand. tag: the name; tag_source: it names the
    source and not the merge.
    """

    verb: str
    kind: str
    branch: str
    saltenv: Saltenv | None
    source: str
    source_name: str
    source_saltenv: Saltenv | None = None
    back_to: tuple[str, ...] = ()
    only_if_needed: bool = False
    delete: tuple[str, ...] = ()
    tag: str = ""
    tag_source: bool = False
    resolved: tuple[str, str] | None = None
    overrides: dict[str, str] = field(default_factory=dict)
    via_branch: bool = False


def owned_paths(*saltenvs: Saltenv | None) -> tuple[str, ...]:
    """The paths that belong to any of `saltenvs`: neither does one get the other's, nor does it lose its own."""
    return tuple(dict.fromkeys(path for s in saltenvs if s for path in s.owned))


def provisional(work: Workplace, target: Step) -> str:
    """The target's result, for looking at it: the commit that is pushed has the same tree and parents."""
    if target.kind == MERGE:
        parents = [target.old, target.source]
        return merging.write_commit(work.git, target.tree, parents, "provisional\n")
    return target.source if target.kind == FAST_FORWARD else target.old
