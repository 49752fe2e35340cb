"""Which model decides, and whether it is the one that people think."""

from __future__ import annotations

from collections.abc import Iterator

from saltbranch.base.text import some
from saltbranch.config.model import Source
from saltbranch.doctor.finding import Finding


def check(source: Source, path: str) -> Iterator[Finding]:
    """path: the machine's file."""
    if source.problem:
        yield Finding(
            "model",
            "error",
            source.problem,
            "Gates, hooks and minions are those of the last valid model, on all machines; the newest one counts"
            " nowhere.",
            f"fix saltbranch.yaml on branch {source.branch or 'of production'}: saltbranch hotfix start does it"
            " through the gates",
        )
    if source.branch is None:
        yield Finding(
            "model-of-one",
            "note",
            f"the saltenvs are in {path}, and the repository has no model",
            "Clones and other masters cannot see these saltenvs and their gates.",
            f"put them into saltbranch.yaml on the production branch: saltbranch init --in-repository --config {path}",
        )
    if source.differs:
        yield Finding(
            "two-models",
            "warning",
            f"the saltenvs of {path} are not those of {source.place}: {some(source.differs)}",
            why="This machine serves by its own file, while every promotion and its gates go by the repository's.",
            fix=f"remove saltenvs: from {path}; serves: [NAME...] says so if this machine serves fewer of them",
            items=source.differs,
        )
    if source.ignored:
        yield Finding(
            "machine-keys",
            "note",
            f"{some(source.ignored)} in {source.place} has no effect",
            why="Only a machine's own file says that.",
            fix=f"remove it there, or move it to {path}",
            items=source.ignored,
        )
