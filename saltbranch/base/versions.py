"""Version tags: which one is the highest, and which one comes next."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.version import Version

# A version inside a tag: an optional word in front (`v`, `salt-`), numbers, and perhaps `-rc.N`.
_PARTS = re.compile(r"(?P<prefix>.*?)(?P<number>[0-9]+(?:\.[0-9]+)*)(?P<rest>[^0-9].*)?")
_CANDIDATE = re.compile(r"(?P<separator>[-.]?)rc(?P<dot>[-.]?)(?P<number>[0-9]+)")


def parse_or_none(tag: str) -> Version | None:
    """The version that `tag` stands for, as PEP 440 orders them: rc.10 after rc.9, the final after both.

    Semantic versions and plain numbers of any length are read as well; None for all else.
    """
    found = _PARTS.fullmatch(tag)
    if not found or len(tag) > 250:
        return None
    from packaging.version import InvalidVersion, Version  # only where there are tags

    try:
        return Version(found["number"] + (found["rest"] or ""))
    except InvalidVersion:
        return None


def highest(tags: Iterable[str]) -> str | None:
    """The tag with the highest version; of two equal ones (v1.2, v1.2.0) the longer name."""
    known = [(version, len(tag), tag) for tag in tags if (version := parse_or_none(tag))]
    return max(known)[2] if known else None


def ordered(tags: Iterable[str]) -> list[str]:
    """The version tags among `tags`, the highest first."""
    known = [(version, len(tag), tag) for tag in tags if (version := parse_or_none(tag))]
    return [tag for _, _, tag in sorted(known, reverse=True)]


def next_final(tags: Iterable[str], promoted: Iterable[str] = (), *, prefix: str = "v") -> str:
    """The tag of the next final version.

    tags: all there are. promoted: tags on the commit that is promoted: the final of a candidate (v1.3.0-rc.2) is
    its version (v1.3.0). Otherwise the highest final with its second number one higher.
    """
    known = list(tags)
    candidate = highest(t for t in promoted if _is_candidate(t))
    if candidate:
        final = _final_of(candidate)
        if final not in known:
            return final
    last = highest(t for t in known if _is_final(t, prefix))
    return _bumped(last, 1) if last else f"{prefix}1.0.0"


def next_candidate(tags: Iterable[str], *, prefix: str = "v") -> str:
    """The tag of the next release candidate: rc.N+1 of a version that is not final yet, else rc.1 of the next."""
    known = list(tags)
    final = highest(t for t in known if _is_final(t, prefix))
    candidate = highest(t for t in known if t.startswith(prefix) and _is_candidate(t))
    if candidate and (not final or _version(candidate) > _version(final)):
        return _CANDIDATE.sub(
            lambda m: f"{m['separator']}rc{m['dot']}{int(m['number']) + 1}", candidate
        )
    return f"{_bumped(final, 1) if final else f'{prefix}1.0.0'}-rc.1"


def next_fix(tags: Iterable[str], *, prefix: str = "v") -> str:
    """The tag of a hotfix: the highest final with its third number one higher."""
    last = highest(t for t in tags if _is_final(t, prefix))
    return _bumped(last, 2) if last else f"{prefix}1.0.1"


def is_plain(name: str, prefix: str) -> bool:
    """Whether `name` is nothing but a final version, with or without the prefix: 1.2.1, v1.2.1."""
    return re.fullmatch(r"[0-9]+(\.[0-9]+)+", name.removeprefix(prefix)) is not None


def _version(tag: str) -> Version:
    version = parse_or_none(tag)
    if version is None:
        raise AssertionError(f"{tag} is not a version")
    return version


def _is_final(tag: str, prefix: str) -> bool:
    version = parse_or_none(tag)
    return version is not None and tag.startswith(prefix) and not version.is_prerelease


def _is_candidate(tag: str) -> bool:
    version = parse_or_none(tag)
    return version is not None and version.pre is not None and version.pre[0] == "rc"


def _final_of(candidate: str) -> str:
    return _CANDIDATE.sub("", candidate)


def _bumped(tag: str, place: int) -> str:
    """`tag` with the number at `place` (from 0) one higher and those after it zero."""
    found = _PARTS.fullmatch(tag)
    if found is None:
        raise AssertionError(f"{tag} is not a version")
    numbers = [int(n) for n in found["number"].split(".")]
    numbers += [0] * (max(3, place + 1) - len(numbers))
    numbers = [*numbers[:place], numbers[place] + 1, *[0] * (len(numbers) - place - 1)]
    return found["prefix"] + ".".join(map(str, numbers))
