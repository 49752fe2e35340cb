"""Paths into the served tree that are written out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from saltbranch.check import catalogue as rules
from saltbranch.check.finding import Finding
from saltbranch.check.project import JINJA_NAMES, Project, Source, Tools

# Salt's default roots (salt/config: file_roots, pillar_roots) and the folders of formulas and packages.
_DEFAULT = r"/srv/(?:salt|pillar|formulas|spm|thorium)"
# Options of a master that name a folder, which a state may write: in its line, or a few above.
_OPTION = re.compile(r"\b(?:(?:file|pillar|thorium)_roots|root_dir|spm_\w+_path)\b")
_ABOVE = 3


def check(project: Project, _tools: Tools) -> Iterator[Finding]:
    """Files that Salt renders, comments left out."""
    roots = [re.escape(root) for root in project.roots]
    pattern = re.compile(rf"(?<![\w./-])(?:{'|'.join([_DEFAULT, *roots])})(?![\w-])")
    for area in ("states", "pillar"):
        for source in project.judged(area):
            if source.text and source.name.endswith((".sls", *JINJA_NAMES)):
                yield from _lines(source, pattern)


def _lines(source: Source, pattern: re.Pattern[str]) -> Iterator[Finding]:
    lines = (source.text or "").split("\n")
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith(("#", "{#", ";", "//")):
            continue
        found = pattern.search(line[:4096])
        if found is None:
            continue
        near = lines[max(0, number - 1 - _ABOVE) : number]
        if not line.startswith("/", found.end()) and any(map(_OPTION.search, near)):
            continue
        # What the pillar says of a master's folders is data; what its templates read is not.
        if source.area == "states" or "{%" in line or "{{" in line:
            yield rules.PATH.at(source.path, number, f"{found[0]} is written out")
