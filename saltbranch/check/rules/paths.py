"""Paths into the served tree that are written out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from saltbranch.check import catalogue as rules
from saltbranch.check.finding import Finding
from saltbranch.check.project import JINJA_NAMES, Project, Source, Tools

# Salt's default roots (salt/config: file_roots, pillar_roots) and the folders of formulas and packages.
_DEFAULT = r"/srv/(?:salt|pillar|formulas|spm|thorium)"
# Options of a master that name a folder, which a state may write.
_OPTION = re.compile(
    r"""\b(?:(?:file|pillar|thorium)_roots|root_dir|spm_\w+_path)['"\]]*(?:\[[^\]]{0,40}\])?\s*[:=]"""
)
# How far above its folders an option may stand, in lines.
_ABOVE = 40
_LONGEST = 4096


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
        found = pattern.search(line[:_LONGEST])
        if found is None:
            continue
        if not line.startswith("/", found.end()) and _is_of_option(lines, number, found.start()):
            continue
        # What the pillar says of a master's folders is data; what its templates read is not.
        if source.area == "states" or "{%" in line or "{{" in line:
            yield rules.PATH.at(source.path, number, f"{found[0]} is written out")


def _is_of_option(lines: list[str], number: int, start: int) -> bool:
    """Whether what stands at `start` of the line is what an option is set to: there, or below its name."""
    line = lines[number - 1]
    if _OPTION.search(line[:start]):
        return True
    text = line.lstrip()
    indent, is_item = len(line) - len(text), text.startswith("-")
    for above in lines[max(0, number - 1 - _ABOVE) : number - 1][::-1]:
        text = above.lstrip()
        if not text or text.startswith(("#", "{%", "{#")):
            continue
        width, is_other = len(above) - len(text), text.startswith("-")
        if width < indent or (width == indent and is_item and not is_other):
            if _OPTION.search(above[:_LONGEST]):
                return True
            indent, is_item = width, is_other
    return False
