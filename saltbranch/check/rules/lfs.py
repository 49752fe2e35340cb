"""Git LFS pointers: a master without git-lfs serves them in place of the files."""

from __future__ import annotations

from collections.abc import Iterator

from saltbranch.check import catalogue as rules
from saltbranch.check.finding import Finding
from saltbranch.check.project import Project, Tools

# docs/spec.md of git-lfs.
_BEGIN = "version https://git-lfs.github.com/spec/"
_LONGEST = 1024


def check(project: Project, _tools: Tools) -> Iterator[Finding]:
    """Every file that minions can get."""
    for area in ("states", "pillar"):
        for source in project.of(area):
            if source.text and source.size <= _LONGEST and source.text.startswith(_BEGIN):
                message = (
                    "it is a Git LFS pointer; without git-lfs on the master minions get just that"
                )
                yield rules.LFS.at(source.path, 0, message)
