"""What a branch's own top file says that the generated one refuses or passes over.

The file is not rendered, because its Jinja is somebody else's code: its tags are taken out and the
rest is read as YAML. What cannot be read that way is left to ``saltbranch explain``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from saltbranch.base.text import some
from saltbranch.doctor.finding import Finding

# What the generated top file takes (salt_master/top_file.py).
_RENDERERS = ("#!jinja|yaml", "#!yaml", "#!yaml_jinja", "#!jinja|json", "#!json")
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_STATEMENT = re.compile(r"\{%.*?%\}", re.DOTALL)
_EXPRESSION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_SALTENV = re.compile(r"\{\{-?\s*saltenv\s*-?\}\}")
_UNKNOWN = "saltbranch_unknown"
_BY_MINION = (
    "grain",
    "grain_pcre",
    "pillar",
    "pillar_pcre",
    "pillar_exact",
    "data",
    "ipcidr",
    "range",
)
_COMPOUND_BY_MINION = re.compile(r"(?:^|[\s(])(?:[GPIJ].?|[SRD])@")


def check(saltenv: str, branch: str, kind: str, text: str | None) -> Iterator[Finding]:
    """What is wrong with the top file of `branch`.

    kind: "states" or "pillar". text: None when there is no such file.
    """
    what = f"the top file of branch {branch} for {'states' if kind == 'states' else 'pillar'}"
    if text is None:
        yield _missing(saltenv, kind, what)
        return
    first = text.split("\n", 1)[0].replace(" ", "").strip()
    if first.startswith("#!") and not first.startswith("#!/") and first not in _RENDERERS:
        yield Finding(
            "top-renderer",
            "error",
            f"{what} is written for {first}",
            f"It must be jinja|yaml: saltbranch refuses others, and the minions of {saltenv} get"
            " nothing.",
            "write it as Jinja and YAML, which is Salt's default, and remove that line",
        )
        return
    page = plain(text, saltenv)
    if page is not None:
        yield from _sections(page, saltenv, what)
        if kind == "pillar":
            yield from _by_minions_word(page, saltenv, what)


def plain(text: str, saltenv: str) -> dict[str, Any] | None:
    """The sections of a top file without its Jinja; None when that leaves no YAML."""
    text = _STATEMENT.sub("", _COMMENT.sub("", text))
    text = _EXPRESSION.sub(_UNKNOWN, _SALTENV.sub(saltenv, text))
    try:
        page = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return None
    return {str(key): value for key, value in page.items()} if isinstance(page, dict) else None


def _missing(saltenv: str, kind: str, what: str) -> Finding:
    states = kind == "states"
    return Finding(
        "no-top",
        "warning" if states else "note",
        f"{what} does not exist",
        f"The minions of {saltenv} get {'an empty highstate' if states else 'no pillar'}.",
        f"commit a top.sls beside the {'states' if states else 'pillar files'} of that branch",
    )


def _sections(page: Mapping[str, Any], saltenv: str, what: str) -> Iterator[Finding]:
    names = [name for name in page if name != "include"]
    unsure = "include" in page or any(_UNKNOWN in name for name in names)
    if not unsure and not {"base", saltenv} & set(names):
        yield Finding(
            "top-without-section",
            "warning",
            f"{what} has neither a section base nor {saltenv}, only"
            f" {some(names) or 'nothing at all'}",
            why=f"The minions of {saltenv} get nothing from it.",
            fix="name the section base (or '{{ saltenv }}'), which every branch can have alike",
            items=tuple(names),
        )
    others = tuple(n for n in names if n not in ("base", saltenv) and _UNKNOWN not in n)
    if others and {"base", saltenv} & set(names):
        yield Finding(
            "top-foreign-section",
            "note",
            f"{what} has sections for other saltenvs: {some(others)}",
            why="They are ignored: a branch decides for its own saltenv only.",
            fix="remove them, and name the remaining section base",
            items=others,
        )


def _by_minions_word(page: Mapping[str, Any], saltenv: str, what: str) -> Iterator[Finding]:
    found = []
    for section in ("base", saltenv):
        targets = page.get(section)
        for target, items in targets.items() if isinstance(targets, dict) else ():
            if _goes_by_minions_word(str(target), items):
                found.append(str(target))
    if found:
        yield Finding(
            "pillar-by-grain",
            "note",
            f"{what} assigns by what the minions say of themselves: {some(map(repr, found))}",
            why=f"Any minion of {saltenv} can claim such a grain and read that pillar.",
            fix="target what is secret by minion id",
            items=tuple(dict.fromkeys(found)),
        )


def _goes_by_minions_word(target: str, items: object) -> bool:
    kinds = [
        str(item["match"])
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict) and "match" in item
    ]
    kind = kinds[-1] if kinds else "compound"
    return kind in _BY_MINION or (
        kind == "compound" and _COMPOUND_BY_MINION.search(target) is not None
    )
