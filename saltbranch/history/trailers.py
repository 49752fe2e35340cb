"""Promotions told by the trailers of merge commits: what is left where the journal is not, or was never written.

A promotion counts for a saltenv when its merge stands on the line of first parents of that saltenv's branch, or came
in by a merge there (a pull request of a `promote/` branch). Trailers are the last paragraph of a message, as
git-interpret-trailers(1) reads it. Whoever may merge into the branch may write them, so nothing in them is trusted to
have the right shape, and the merge must really have brought the commit that they name.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from saltbranch.base import asked_by as asking
from saltbranch.config.model import Config, Saltenv
from saltbranch.git.program import Git
from saltbranch.history import commits
from saltbranch.history.graph import Graph, Line
from saltbranch.journal import events
from saltbranch.journal.events import Event
from saltbranch.journal.facts import Promotion, PromotionKind, promotion_kind

VIA: Final = "trailers"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Told:
    """A merge commit and what its trailers say. `time`: the committer's, seconds since 1970."""

    commit: str
    time: float
    id: str
    kind: PromotionKind
    source: str
    source_commit: str
    target: str
    by: str
    tickets: tuple[str, ...] = ()
    digest: str = ""
    served_before: str | None = None
    diff_digest: str = ""
    asked_by: str = ""
    claimed_by: str = ""


class Named(Protocol):
    """A saltenv, as far as promotions to it name it."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def branch(self) -> str: ...  # noqa: D102


def is_id(text: str) -> bool:
    """Whether `text` may be the id of a promotion (journal.new_id)."""
    return _ID.fullmatch(text) is not None and "-" in text


def parse(commit: str, time: float, text: str) -> Told | None:
    """What the trailers `text` of a merge commit say, one in a line; None where they tell of no promotion."""
    values: dict[str, str] = {}
    for row in text.splitlines():
        key, colon, value = row.partition(":")
        if colon:
            values.setdefault(key.strip().lower(), value.strip())
    id_, target = values.get("promotion-id", ""), values.get("promoted-to", "")
    source, _, source_commit = values.get("promoted-from", "").rpartition(" ")
    kind = promotion_kind(values.get("promotion-kind", events.PROMOTION))
    if kind is None or not (_ID.fullmatch(id_) and target and events.is_hash(source_commit)):
        return None
    before, diff = values.get("served-before", ""), values.get("diff-digest", "")
    return Told(
        commit=commit,
        time=time,
        id=id_,
        kind=kind,
        source=source.strip(),
        source_commit=source_commit,
        target=target,
        by=values.get("promoted-by", ""),
        tickets=tuple(t.strip() for t in values.get("tickets", "").split(",") if t.strip()),
        digest=values.get("plan-digest", ""),
        diff_digest=diff if _DIGEST.fullmatch(diff) else "",
        served_before=before if events.is_hash(before) else None,
        asked_by=asking.name(values.get("asked-by")),
        claimed_by=asking.name(values.get("claimed-by")),
    )


def read(git: Git, heads: Iterable[str]) -> list[Told]:
    """What the merge commits in the history of `heads` tell. Raises GitError."""
    form = "--format=%H%n%ct%n%(trailers:only=true,unfold=true)"
    args = (
        "log",
        "-z",
        "--merges",
        "--ignore-missing",
        "--basic-regexp",
        "--grep=^Promotion-Id:",
        form,
        "--stdin",
    )
    text = git.out(*args, stdin="\n".join([*heads, ""]).encode())
    rows = (entry.split("\n", 2) for entry in text.split("\0") if entry)
    found = (parse(row[0], float(row[1]), row[2]) for row in rows if len(row) == 3)
    return [told for told in found if told]


def detours(told: Iterable[Told], graph: Graph, config: Config, saltenv: Saltenv) -> dict[str, str]:
    """Where the line of a saltenv's branch leaves the first parents: at the merges that were made above it.

    After a promotion a lower branch may be fast-forwarded to the merge; what it was before came into that by the
    second parent. (A hotfix is the exception: what is below was contained in the first parent already.)
    """
    above = [s for s in config.saltenvs if saltenv in config.chain(s) and s != saltenv]
    targets = {s.branch for s in above} | {s.name for s in above}
    merges = (t for t in told if t.target in targets and t.kind != "hotfix")
    parents = ((t.commit, graph.parents.get(t.commit, ())) for t in merges)
    return {commit: found[1] for commit, found in parents if len(found) > 1}


def promotions(told: Sequence[Told], graph: Graph, line: Line, saltenv: Named) -> list[Promotion]:
    """Those that `line`, the history of the saltenv's branch, has; the oldest first."""
    mine = [t for t in told if t.target in (saltenv.name, saltenv.branch) and t.commit in line]
    found: dict[str, Promotion] = {}
    for item in sorted(mine, key=lambda t: line.position(t.commit)):
        merge = _arrival(item, graph, line)
        if merge is not None and item.id not in found:
            found[item.id] = _promotion(item, graph, merge, saltenv)
    return list(found.values())


def _arrival(item: Told, graph: Graph, line: Line) -> str | None:
    """The commit of the line by which the promotion came: its own merge, or that of a pull request."""
    first, *others = graph.parents[item.commit]
    brought = any(line.has(other, item.source_commit) for other in others)
    if not brought or line.has(first, item.source_commit):
        return None
    merge = line.brought_by(item.commit)
    return merge if merge == item.commit or item.commit in graph.side(merge) else None


def _promotion(item: Told, graph: Graph, merge: str, saltenv: Named) -> Promotion:
    return Promotion(
        id=item.id,
        kind=item.kind,
        time=graph.times[merge],
        by=item.by,
        saltenv=saltenv.name,
        branch=saltenv.branch,
        source=item.source,
        source_commit=item.source_commit,
        old=graph.parents[merge][0],
        new=merge,
        served_before=item.served_before,
        tag="",
        tickets=item.tickets,
        digest=item.digest,
        diff_digest=item.diff_digest,
        via=VIA,
        asked_by=item.asked_by,
        claimed_by=item.claimed_by,
    )


def all_promotions(
    told: Sequence[Told], graph: Graph, config: Config, heads: Mapping[str, str]
) -> list[Promotion]:
    """Those of every saltenv, the oldest first. heads: branch to commit.

    Those of one saltenv stand as in its history, whatever their times say; times order those of several.
    """
    found = []
    for saltenv in config.saltenvs:
        head = heads.get(saltenv.branch)
        if head:
            line = graph.line(head, detours(told, graph, config, saltenv))
            found += promotions(told, graph, line, saltenv)
    latest: dict[str, float] = {}
    times = []
    for promotion in found:
        time = latest[promotion.saltenv] = max(promotion.time, latest.get(promotion.saltenv, 0))
        times.append(time)
    return [found[n] for n in sorted(range(len(found)), key=times.__getitem__)]


def merge(
    journal: Sequence[Promotion], told: Iterable[Promotion], number: Mapping[str, int], now: float
) -> list[Promotion]:
    """All promotions, each once: in the journal's order, and between them those that only trailers tell of.

    told: of each saltenv the oldest first. number: commits as they follow one another (history.graph.Graph). Where that
    leaves room the time decides, unless it lies after `now`: somebody's clock was wrong then.
    """
    known = {p.id for p in journal}
    mine: dict[str, list[tuple[int, int]]] = {}
    for place, promotion in enumerate(journal):
        if promotion.new in number:
            mine.setdefault(promotion.saltenv, []).append((number[promotion.new], place))
    for places in mine.values():
        places.sort()
    gaps: dict[int, list[Promotion]] = {}
    last: dict[str, int] = {}
    for promotion in told:
        if promotion.id in known:
            continue
        known.add(promotion.id)
        places = mine.get(promotion.saltenv, [])
        nth = bisect(places, (number.get(promotion.new, len(number)), len(journal)))
        least = max(places[nth - 1][1] + 1 if nth else 0, last.get(promotion.saltenv, 0))
        most = places[nth][1] if nth < len(places) else len(journal)
        at = _by_time(journal, least, most, promotion.time if promotion.time <= now else 0)
        last[promotion.saltenv] = at
        gaps.setdefault(at, []).append(promotion)
    rows = [*journal, None]
    return [p for n, row in enumerate(rows) for p in (*gaps.get(n, ()), row) if p is not None]


def _by_time(rows: Sequence[Promotion], least: int, most: int, time: float) -> int:
    """The place from `least` to `most` before the first that is later."""
    at = least
    while at < most and rows[at].time <= time:
        at += 1
    return at


def as_events(found: Iterable[Promotion]) -> list[Event]:
    """Journal events for promotions, so that a missing journal can be written anew; `rebuilt` says so in each."""
    return [_event(p) for p in found]


def _event(promotion: Promotion) -> Event:
    data = promotion.as_dict()
    head = ("id", "time", "by", "via")
    details = {k: v for k, v in data.items() if k not in head and v is not None}
    if promotion.served_before:
        details["served_before"] = promotion.served_before
    details["rebuilt"] = True
    return Event(events.PROMOTION, promotion.id, promotion.time, promotion.by, details)


def rebuilt(git: Git, config: Config, heads: Mapping[str, str]) -> list[Event]:
    """The promotions that a missing journal should have, from the trailers alone. Raises GitError."""
    starts = persistent_heads(config, heads)
    told = read(git, starts) if starts else []
    if not told:
        return []
    graph = commits.read_graph(git, starts)
    return as_events(all_promotions(told, graph, config, heads))


def persistent_heads(config: Config, heads: Mapping[str, str]) -> list[str]:
    """The heads of the saltenvs' branches, each once."""
    found = (heads.get(s.branch) for s in config.saltenvs)
    return list(dict.fromkeys(h for h in found if h))
