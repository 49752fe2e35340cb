"""Whether two masters serve the same: files by their hashes, and for each minion top matches, pillar and low chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from saltbranch.base.text import many, some
from saltbranch.preview.plain_side import Low, Seen, Served
from saltbranch.salt_master.top_file import BRANCH_TOP, LENT
from saltbranch.serve.salt_files import SERVED_COMMIT

_MOST = 8  # names in one line

FileCause = Callable[[str, str, str, str], str]
"""Of saltenv, path, hash now and hash then ("" for none): why the two are not the same."""
MinionCause = Callable[[Seen, Seen, str], str]
"""Of a minion on both sides and what differs (top, pillar): why."""


@dataclass(frozen=True, slots=True)
class Difference:
    """kind: saltenv, file, top, pillar or states. where: saltenv or minion. cause: empty where none is known."""

    kind: str
    where: str
    what: str
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """differences: all of them. unproven: minion to why it was not compared whole."""

    differences: tuple[Difference, ...]
    unproven: Mapping[str, str]
    files: int
    minions: int
    pillar_keys: int
    chunks: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "compared": {
                "files": self.files,
                "minions": self.minions,
                "pillar_keys": self.pillar_keys,
                "low_chunks": self.chunks,
            },
            "differences": [asdict(d) for d in self.differences],
            "unexplained": sum(not d.cause for d in self.differences),
            "unproven": dict(self.unproven),
        }


def compare(
    now: Served,
    then: Served,
    saltenvs: tuple[str, ...],
    *,
    left_out: Callable[[str], bool],
    file_cause: FileCause,
    minion_cause: MinionCause,
) -> Proof:
    """What is not the same. saltenvs: of the model. left_out: whether somebody decided that a saltenv may end."""
    found: list[Difference] = []
    files = 0
    for saltenv in sorted(set(now.saltenvs) - set(saltenvs)):
        if not left_out(saltenv) and now.saltenvs[saltenv]:
            number = many(len(now.saltenvs[saltenv]), "file")
            why = "the model has no such saltenv; --leave-out lets it end"
            found.append(Difference("saltenv", saltenv, f"ends, with {number}", why))
    for saltenv in saltenvs:
        one, other = now.saltenvs.get(saltenv), then.saltenvs.get(saltenv, {})
        if one is None:
            found.append(
                Difference("saltenv", saltenv, "is new", "the master has none of this name")
            )
            continue
        files += len(one)
        for path, old, new in _files(one, as_branch_has_it(other)):
            is_told = {(True, True): "differs", (True, False): "is gone", (False, True): "is new"}
            what = is_told.get((bool(old), bool(new)), "cannot be read")
            found.append(
                Difference("file", saltenv, f"{path} {what}", file_cause(saltenv, path, old, new))
            )
    unproven: dict[str, str] = {}
    keys = chunks = 0
    for name, seen in now.seen.items():
        other_seen = then.seen.get(name)
        if other_seen is None:
            unproven[name] = "the master's cache of it went away meanwhile"
            continue
        keys += len(seen.pillar or ())
        chunks += len(seen.low or ())
        if why := seen.error or other_seen.error:
            side = (
                "" if seen.error and other_seen.error else " now" if seen.error else " afterwards"
            )
            unproven[name] = f"{why}{side}"
        differing = {d.where for d in found if d.kind == "file"}
        found += _minion(name, seen, other_seen, minion_cause, differing)
    return Proof(
        differences=tuple(found),
        unproven=unproven,
        files=files,
        minions=len(now.seen),
        pillar_keys=keys,
        chunks=chunks,
    )


_OURS = ("top.sls", BRANCH_TOP, LENT, SERVED_COMMIT)


def as_branch_has_it(files: Mapping[str, str]) -> dict[str, str]:
    """What we serve, with the branch's own top file in the place of the generated one, which reads it."""
    own = {path: digest for path, digest in files.items() if path not in _OURS}
    if files.get(BRANCH_TOP):  # a branch without a top file has a link that leads nowhere
        own["top.sls"] = files[BRANCH_TOP]
    return own


def _files(one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for path in sorted({*one, *other}):
        old, new = one.get(path, ""), other.get(path, "")
        if old != new or not old:
            yield path, old, new


def _minion(
    name: str, now: Seen, then: Seen, cause: MinionCause, differing: set[str]
) -> Iterator[Difference]:
    reasons = []
    if now.top != then.top:
        reasons.append("its top files")
        what = f"{_top(now.top)} becomes {_top(then.top)}"
        yield Difference("top", name, what, cause(now, then, "top"))
    if now.pillar is not None and then.pillar is not None and now.pillar != then.pillar:
        reasons.append("its pillar")
        yield Difference("pillar", name, _keys(now.pillar, then.pillar), cause(now, then, "pillar"))
    if now.low is not None and then.low is not None and now.low != then.low:
        follows = " and ".join(reasons)
        if not follows and differing & {*now.top, *then.top}:
            follows = "files that differ"
        yield Difference(
            "states", name, _chunks(now.low, then.low), f"follows from {follows}" if follows else ""
        )


def _top(top: Mapping[str, tuple[str, ...]]) -> str:
    return "; ".join(f"{env}: {some(sls, _MOST)}" for env, sls in top.items()) or "nothing"


def _keys(now: Mapping[str, str], then: Mapping[str, str]) -> str:
    parts = {
        "gone": [p for p in now if p not in then],
        "new": [p for p in then if p not in now],
        "changed": [p for p in now if p in then and now[p] != then[p]],
    }
    return "; ".join(f"{what}: {some(sorted(p), _MOST)}" for what, p in parts.items() if p)


def _chunks(now: tuple[Low, ...], then: tuple[Low, ...]) -> str:
    old, new = {low.loose for low in now}, {low.loose for low in then}
    parts = {
        "gone": [low.key for low in now if low.loose not in new],
        "new": [low.key for low in then if low.loose not in old],
    }
    told = "; ".join(f"{what}: {some(keys, _MOST)}" for what, keys in parts.items() if keys)
    return told or "the same in another saltenv or order"
