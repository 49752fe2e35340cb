"""Which tickets a commit speaks of, and commits grouped by them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from saltbranch.base.errors import ConfigError

DEFAULT_PATTERN = r"(?<![A-Za-z0-9])[A-Za-z][A-Za-z0-9]*-[0-9]+(?![A-Za-z0-9])"
# What git (fmt-merge-msg.c), GitHub, GitLab and Bitbucket write as subject of a merge.
_MERGED = re.compile(
    r"Merge (?:remote-tracking )?(?:branch|tag|pull request #[0-9]+ from) '?(?P<name>[^' ]+)'?(?: (?:of|into) .*)?"
    r"|Merged in (?P<other>[^ ]+) \(pull request #[0-9]+\)"
)
# The trailers of promotions and back-merges.
_SALTBRANCH = re.compile(r"^(?:Promotion-Id|Back-Merge-Of): ", re.MULTILINE)
_OF_TOPIC = re.compile(r"^Promotion-Kind: (?:feature|hotfix)$", re.MULTILINE)
# A commit that moves the pin of a formula names tags and commits of another repository, whose tickets are not ours.
_OF_FORMULA = re.compile(r"^Formula: ", re.MULTILINE)
# Words of that shape that are not tickets.
_NOT_TICKETS = re.compile(r"(?:UTF|SHA|ISO|RFC|CVE|RC|V)-[0-9]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CommitLine:
    """A commit as a plan lists it. `merge`: it has more than one parent. `branch`: what a merge merged."""

    commit: str
    subject: str
    author: str
    body: str = ""
    merge: bool = False
    tickets: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "commit": self.commit,
            "subject": self.subject,
            "author": self.author,
            "tickets": list(self.tickets),
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Commits of one ticket or feature branch; `name` is empty for those of neither."""

    name: str
    commits: tuple[CommitLine, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {"name": self.name, "commits": [c.as_dict() for c in self.commits]}


def compile_pattern(text: str | None, where: str) -> re.Pattern[str]:
    """The regular expression of `tickets:`. Raises ConfigError naming `where`."""
    try:
        return re.compile(text or DEFAULT_PATTERN)
    except (re.error, OverflowError, RecursionError) as err:
        raise ConfigError(
            f"{where}: tickets: {text!r} is not a regular expression: {err}",
            hint="for example tickets: 'KEY-[0-9]+'",
        ) from err


def find(text: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    """The tickets named in `text`, in capital letters, each once, in order."""
    found = (m.group(0).upper() for m in pattern.finditer(text[:20_000]))
    if pattern.pattern == DEFAULT_PATTERN:
        found = (t for t in found if not _NOT_TICKETS.fullmatch(t))
    return tuple(dict.fromkeys(found))


def of_message(
    subject: str, body: str, pattern: re.Pattern[str], *, merge: bool
) -> tuple[str, ...]:
    """The tickets that a commit belongs to.

    A merge belongs to those of the branch that it merged, not to those of the one that it was made on; a promotion,
    whose message lists what it brought, and a back-merge to none.
    """
    if not merge:
        if _OF_FORMULA.search(body):
            own = [line for line in body.split("\n") if not line.startswith(("  ", "Formula: "))]
            return find("\n".join(own), pattern)
        return find(f"{subject}\n{body}", pattern)
    if _SALTBRANCH.search(body):
        return find(merged_branch(subject, body), pattern)
    return find(f"{merged_branch(subject) or subject}\n{body}", pattern)


def merged_branch(subject: str, body: str = "") -> str:
    """The branch that a merge with this message merged; empty when it does not say, or was a persistent one."""
    if _SALTBRANCH.search(body):
        words = subject.split(" ")
        return words[1] if _OF_TOPIC.search(body) and len(words) > 1 else ""
    found = _MERGED.fullmatch(subject)
    return found["name"] or found["other"] if found else ""


def group(commits: Iterable[CommitLine], default: str = "") -> tuple[Group, ...]:
    """By first ticket, else by the feature branch whose merge brought the commit; the newest first.

    Commits come as `git log` lists them: children before parents. default: the name of all others.
    """
    lines = list(commits)
    brought = _brought_by(lines)
    groups: dict[str, list[CommitLine]] = {}
    for line in lines:
        if line.merge:
            continue
        name = line.tickets[0] if line.tickets else brought.get(line.commit, default)
        groups.setdefault(name, []).append(line)
    named = [Group(n, tuple(c)) for n, c in groups.items() if n]
    rest = [Group("", tuple(groups[""]))] if "" in groups else []
    return (*named, *rest)


def _brought_by(lines: list[CommitLine]) -> dict[str, str]:
    """Commit to the feature (or its ticket) of the merge that brought it: along its second parent."""
    names: dict[str, str] = {}
    main: set[str] = set()
    known = {line.commit: line for line in lines}
    for line in lines:
        if not line.merge:
            continue
        branch = merged_branch(line.subject, line.body)
        name = line.tickets[0] if line.tickets else branch.partition("/")[2] or branch
        if not name:
            continue
        # What a feature merged while it grew was there on its own.
        before = _first_parents(line.parents[0], known)
        main = main if line.commit in names else main | before
        others = main | before
        todo = list(line.parents[1:])
        while todo:
            commit = todo.pop()
            if commit in known and commit not in names and commit not in others:
                names[commit] = name
                todo += known[commit].parents
    return names


def _first_parents(commit: str, known: dict[str, CommitLine]) -> set[str]:
    """What was there before a merge, along the first parents."""
    seen = set()
    while commit in known and commit not in seen:
        seen.add(commit)
        parents = known[commit].parents
        if not parents:
            break
        commit = parents[0]
    return seen
