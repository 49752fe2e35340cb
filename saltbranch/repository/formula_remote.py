"""What the remote of a formula offers: its tags and branches, by one question that fetches nothing."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from saltbranch.base import versions
from saltbranch.base.errors import UsageError
from saltbranch.base.text import nearest, one_line, some
from saltbranch.git.address import Address
from saltbranch.git.mirror import remote_error
from saltbranch.git.program import Git

_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_DESCRIBED = re.compile(r"(.+)-[0-9]+-g[0-9a-f]+")
_MOST_REFS = 50_000


@dataclass(frozen=True, slots=True)
class RemoteRefs:
    """Name to commit. default: the head of the default branch; empty where there is none."""

    tags: dict[str, str] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    default: str = ""


def transport(git: Git, address: Address) -> Git:
    """`git` that talks by the protocol of `address` alone, whatever a server or a configuration leads it to."""
    talking = copy.copy(git)
    known = git.env.get("GIT_ALLOW_PROTOCOL")
    if known is None or address.scheme in known.split(":"):
        talking.env = {**git.env, "GIT_ALLOW_PROTOCOL": address.scheme}
    return talking


def read(git: Git, address: Address, timeout: float) -> RemoteRefs:
    """The refs at `address`. git: whose configuration knows how to get there. Raises RemoteError."""
    wanted = ("HEAD", "refs/heads/*", "refs/tags/*")
    done = transport(git, address).run(
        "ls-remote", "--quiet", "--", address.url, *wanted, timeout=timeout
    )
    if done.code != 0:
        raise remote_error(address.shown, done, timeout)
    tags: dict[str, str] = {}
    heads: dict[str, str] = {}
    default = ""
    for line in done.text.split("\n")[:_MOST_REFS]:
        commit, _, ref = line.partition("\t")
        if not _HASH.fullmatch(commit):
            continue
        if ref == "HEAD":
            default = commit
        elif ref.startswith("refs/heads/"):
            heads[ref.removeprefix("refs/heads/")] = commit
        elif ref.startswith("refs/tags/"):
            # The commit of an annotated tag comes after the tag.
            tags[ref.removeprefix("refs/tags/").removesuffix("^{}")] = commit
    return RemoteRefs(tags, heads, default)


def chosen(refs: RemoteRefs, at: str | None) -> str:
    """The commit that `at` names: a tag, a branch or a whole hash; of None the newest version, else the default branch.

    Raises UsageError.
    """
    if at is None:
        tag = newest(refs.tags)
        if tag:
            return refs.tags[tag]
        if refs.default:
            return refs.default
        raise UsageError(
            "the remote has neither version tags nor a default branch", hint="name one: --at"
        )
    for known in (refs.tags, refs.heads):
        if at in known:
            return known[at]
    if _HASH.fullmatch(at.lower()):
        return at.lower()
    close = nearest(at, [*refs.tags, *refs.heads])
    tags = some(map(one_line, versions.ordered(refs.tags)))
    raise UsageError(
        f"the remote has no tag or branch {one_line(at)!r}, and it is no whole hash",
        hint=close or (f"its newest versions: {tags}" if tags else "its tags are no versions"),
    )


def newest(tags: Iterable[str]) -> str | None:
    """The tag of the highest version, a final one where there is any."""
    known = list(tags)
    finals = [t for t in known if (v := versions.parse_or_none(t)) and not v.is_prerelease]
    return versions.highest(finals or known)


def newer(tags: Mapping[str, str], own: str | None) -> tuple[str, ...]:
    """The version tags above `own`, the highest first; candidates only where `own` is one. None: all versions."""
    mine = versions.parse_or_none(own) if own else None
    found = []
    for tag in versions.ordered(tags):
        version = versions.parse_or_none(tag)
        if version is None or (version.is_prerelease and not (mine and mine.is_prerelease)):
            continue
        if mine is None or version > mine:
            found.append(tag)
    return tuple(found)


def version_in(name: str) -> str | None:
    """The version tag that a name by git-describe(1) begins with; None where there is none."""
    found = _DESCRIBED.fullmatch(name)
    tag = found[1] if found else name
    return tag if versions.parse_or_none(tag) and not _HASH.match(tag) else None
