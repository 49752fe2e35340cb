"""What a word on the command line names, the same for every verb.

A saltenv's branch, a branch, a tag, a promotion, a commit by its hash, or HEAD of the clone one stands in; after any of
them `~2` and `^` as git reads them (gitrevisions(7)). The name of a saltenv wins; else what can be several things is
refused with all of them. Nothing of git's searches (`:/text`) or of its reflog is taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

from saltbranch.base.errors import UsageError
from saltbranch.git.program import Git, branch_name_problem, branch_of_remote
from saltbranch.journal.facts import Promotion

Kind = Literal["saltenv", "branch", "tag", "promotion", "commit", "HEAD"]
"""What a word names that stands for a commit."""

SALTENV: Final = "saltenv"
BRANCH: Final = "branch"
TAG: Final = "tag"
PROMOTION: Final = "promotion"
COMMIT: Final = "commit"
HEAD: Final = "HEAD"
WAYS = "a saltenv, branch, tag, promotion or commit"

_PARENTS = re.compile(r"(.+?)((?:[~^][0-9]{0,9})+)", re.DOTALL)
_HASH = re.compile(r"[0-9a-fA-F]{4,64}")
_BEGINNING = re.compile(r"[0-9]{8}T[0-9]{0,6}Z?(?:-[0-9a-zA-Z-]*)?")  # of an id, journal.new_id
_MOST = 10


@dataclass(frozen=True, slots=True)
class Meaning:
    """One thing that a word names. said: for people, `the tag v1.2.0 (5f3c2a81b0d9)`."""

    kind: Kind
    commit: str
    said: str


class Names(Protocol):
    """Where names are looked up; each answers with the full hash of a commit, or None."""

    @property
    def git(self) -> Git:
        """git that has the commits."""

    @property
    def remote(self) -> str:
        """The name of a clone's remote, as in origin/develop."""

    def saltenv(self, name: str) -> str | None:
        """The head of the branch of a saltenv."""

    def branch(self, name: str, *, fetched: bool = False) -> str | None:
        """The head of a branch; fetched: of the remote's alone."""

    def tag(self, name: str) -> str | None:
        """The commit of a tag."""

    def promotions(self, beginning: str) -> Sequence[Promotion]:
        """Those whose id is `beginning` or begins with it."""

    def head(self) -> str | None:
        """What the clone one stands in has checked out."""


def find(names: Names, word: str, *, option: str = "") -> Meaning:
    """What `word` names; option: how messages introduce it, `--at`. Raises UsageError for nothing and for several."""
    found = meanings(names, word)
    intro = f"{option} {word}: " if option else ""
    if not found:
        what = "there is no such" if option else f"{word!r} is not"
        known = WAYS.removeprefix("a ") if option else WAYS
        raise UsageError(
            f"{intro}{what} {known} here",
            hint="saltbranch history lists promotions; a hash needs 4 digits or more",
        )
    if len({m.commit for m in found}) > 1:
        raise UsageError(
            f"{intro or repr(word) + ' '}can be several things: {'; '.join(m.said for m in found)}",
            hint="write heads/NAME, tags/NAME, the whole id or the full hash",
        )
    return found[0]


def meanings(names: Names, word: str) -> list[Meaning]:
    """Everything that `word` names; only the saltenv where it is the name of one. Raises GitError."""
    if not word or "\0" in word or word.startswith("-"):
        return []
    if commit := names.saltenv(word):
        return [_meant(SALTENV, word, commit)]
    found = list(_simple(names, word))
    parents = _PARENTS.fullmatch(word)
    if found or parents is None:
        return found
    bases = meanings(names, parents[1])
    commits = [names.git.commit_or_none(f"{base.commit}{parents[2]}") for base in bases]
    return [
        replace(base, commit=commit, said=f"{word} ({commit[:12]})")
        for base, commit in zip(bases, commits, strict=True)
        if commit
    ]


def _meant(kind: Kind, name: str, commit: str) -> Meaning:
    return Meaning(kind, commit, f"the {kind} {name} ({commit[:12]})")


def _simple(names: Names, word: str) -> Iterator[Meaning]:
    if word in ("HEAD", "@") and (commit := names.head()):
        yield Meaning(HEAD, commit, f"what is checked out here ({commit[:12]})")
        return
    if branch_name_problem(word):
        return  # git would read more into it: a search, a reflog, a path
    name = word.removeprefix("refs/")
    branch = names.branch(word) or _below(name, "heads/", names.branch)
    fetched = branch_of_remote(name.removeprefix("remotes/"), names.remote)
    if branch is None and fetched is not None:
        branch = names.branch(fetched, fetched=True)
    if branch:
        yield _meant(BRANCH, word, branch)
    if tag := names.tag(word) or _below(name, "tags/", names.tag):
        yield _meant(TAG, word, tag)
    for promotion in names.promotions(word):
        yield Meaning(PROMOTION, promotion.new, f"the promotion {promotion.id}")
    yield from _hashes(names.git, word)


def _below(name: str, folder: str, look: Callable[[str], str | None]) -> str | None:
    return look(name.removeprefix(folder)) if name.startswith(folder) else None


def is_beginning(word: str) -> bool:
    """Whether ids of promotions may begin with `word`; shorter ones are hashes to somebody."""
    return _BEGINNING.fullmatch(word) is not None


def _hashes(git: Git, word: str) -> Iterator[Meaning]:
    """The commits whose hash begins with `word`."""
    if _HASH.fullmatch(word) is None:
        return
    listed = git.run("rev-parse", f"--disambiguate={word.lower()}").text.split()
    if not listed:
        return
    form = "--batch-check=%(objectname) %(objecttype)"
    kinds = git.out("cat-file", form, stdin="\n".join([*listed, ""]).encode())
    rows = (row.split() for row in kinds.splitlines())
    commits = [row[0] for row in rows if row[1:] == [COMMIT]]
    for commit in commits[:_MOST]:
        yield Meaning(COMMIT, commit, f"the commit {commit[:12]}")
