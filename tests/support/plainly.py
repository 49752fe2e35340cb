"""Many minions compiled by Salt as it is, and what is unequal in ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from saltbranch.compiler.error_texts import NEUTRALLY
from saltbranch.compiler.model import Compiled
from saltbranch.preview.difference import Difference, MinionDiff
from saltbranch.preview.low_diff import Telling
from tests.support.compiling import PROJECT, environment

_PROGRAM = Path(__file__).with_name("plain_many.py")


def compiled(
    folder: Path,
    options: Mapping[str, Any],
    minions: Sequence[Mapping[str, Any]],
    jobs: int = 2,
    seen: Mapping[str, Path] | None = None,
) -> dict[str, Any]:
    """What Salt's own classes make of each of `minions`: id, grains, whether its `states` are wanted, and the
    pillar that it has already, if any. `folder` is what they may write to; seen: where else folders are seen.
    """
    shares = [minions[n::jobs] for n in range(jobs)]
    found: dict[str, Any] = {}
    with ThreadPoolExecutor(jobs) as pool:
        numbers = range(len(shares))
        for part in pool.map(lambda n: _share(folder, n, options, shares[n], seen or {}), numbers):
            found.update(part)
    return found


def _share(
    folder: Path,
    number: int,
    options: Mapping[str, Any],
    minions: Sequence[Mapping[str, Any]],
    seen: Mapping[str, Path],
) -> dict[str, Any]:
    own = folder / f"plain{number}"
    own.mkdir(parents=True, exist_ok=True)
    options = {**options, "root_dir": str(own / "root"), "conf_file": str(own / "minion")}
    job = {"folder": str(own), "options": options, "minions": list(minions)}
    argv = [*confined(folder, seen), sys.executable, str(_PROGRAM)]
    done = subprocess.run(
        argv,
        input=json.dumps(job, default=str).encode(),
        stdout=subprocess.PIPE,
        check=True,
        env={**environment(), "PYTHONPATH": str(PROJECT)},
    )
    return dict(json.loads(line) for line in done.stdout.splitlines())


def confined(folder: Path, seen: Mapping[str, Path]) -> list[str]:
    """How a stranger's templates are run: without a network, and with nothing to write to but `folder`."""
    bwrap = shutil.which("bwrap")
    assert bwrap, "bubblewrap is required: strangers' templates are run"
    argv = [bwrap, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
    argv += ["--ro-bind", str(PROJECT), str(PROJECT), "--bind", str(folder), str(folder)]
    argv += ["--tmpfs", "/srv"] if seen else []
    for path, inner in seen.items():
        argv += ["--ro-bind", str(inner), path]
    return [*argv, "--unshare-net", "--unshare-pid", "--die-with-parent", "--"]


def has_failed(salts: Mapping[str, Any]) -> bool:
    """Whether Salt has errors instead of chunks, or errors in the pillar."""
    return "_errors" in salts["pillar"] or any(not isinstance(c, dict) for c in salts["low"])


def unequal(ours: Compiled, salts: Mapping[str, Any]) -> list[str]:
    """What is different, chunk by chunk and pillar key by key; nothing where both see an error."""
    low, pillar = salts["low"], dict(salts["pillar"])
    if has_failed(salts):
        why = pillar.get("_errors") or low
        return [] if ours.result != "ok" else [f"Salt has an error, ours none: {str(why)[:900]}"]
    if ours.error is not None:
        if not low and ("top file" in ours.error or "there is no renderer" in ours.error):
            return []  # which Salt only logs
        return [f"ours has an error, Salt none: {ours.error[:900]}"]
    found = [
        f"pillar {key}: {str(pillar.get(key))[:300]} is {str(ours.plain_pillar.get(key))[:300]}"
        for key in {**pillar, **ours.plain_pillar}
        if (key in pillar) != (key in ours.plain_pillar)
        or pillar.get(key) != ours.plain_pillar.get(key)
    ]
    mine = ours.low or []
    if len(mine) != len(low):
        found.append(f"{len(low)} chunks are {len(mine)}")
    pairs = enumerate(zip(low, mine, strict=False))
    found += [f"chunk {n}: {a} is {b}"[:900] for n, (a, b) in pairs if a != b]
    return found


def explained(ours: Compiled) -> str | None:
    """What ours says itself of why it may be different: nobody is told an untruth by that."""
    said = [n for n in ours.notes if n.startswith(NEUTRALLY) or "code of the branch tried" in n]
    return "; ".join(said) or None


# What says where a chunk comes from, and where a state stands, which one inserted state shifts for all.
_BESIDE = {"__sls__", "__env__", "order", "__sls_included_from__", "name_order"}


def untrue(
    said: MinionDiff, old: Mapping[str, Any], new: Mapping[str, Any], told_as: Mapping[str, str]
) -> list[str]:
    """What `said` hides or invents of the difference between Salt's own two answers: states, pillar, and what
    managed files hold. told_as: see there, of the new side.
    """
    if has_failed(old) or has_failed(new):
        return [] if said.result != "ok" else ["Salt has an error, the difference none"]
    if said.difference is None or said.result != "ok":
        # Nothing is left, which is never told as "everything is removed"; or a top file fails, which Salt only logs.
        is_logged = "the top file does not render" in (said.error or "")
        is_told = (old["low"] or is_logged) and not (new["low"] and old["low"])
        return [] if is_told else [f"no difference is told: {said.error}"]
    told = said.difference
    before, after = _by_identity(old["low"], new["low"])
    pillars = [dict(_leaves(side["pillar"])) for side in (old, new)]
    real: dict[str, list[Any]] = {
        "added": sorted(_key(i) for i in after if i not in before),
        "removed": sorted(_key(i) for i in before if i not in after),
        "changed": sorted(_key(i) for i in before if i in after and before[i] != after[i]),
        "pillar_added": sorted(p for p in pillars[1] if p not in pillars[0]),
        "pillar_removed": sorted(p for p in pillars[0] if p not in pillars[1]),
        "pillar_changed": sorted(
            p for p in pillars[0] if p in pillars[1] and pillars[0][p] != pillars[1][p]
        ),
    }
    found = []
    for what, names in real.items():
        shown = [getattr(item, "key", item) for item in getattr(told, what)]
        if what.startswith("pillar"):
            is_same = names == sorted(shown)
        else:  # words of the pillar are hidden in keys
            is_same = len(names) == len(shown) and all(_fits(names, key) for key in shown)
        if not is_same:
            found.append(f"{what}: {names} is told as {sorted(shown)}")
    return [*found, *_untrue_contents(said, told, old, new, told_as)]


def told_as(ours: Compiled, telling: Telling) -> dict[str, str]:
    """The name of each state's file in Salt's `contents`, by the key that is told. ours: compiled plainly."""
    if ours.result != "ok":
        return {}
    pairs = zip(ours.chunks, ours.low, strict=True)
    return {telling.key(chunk.key): f"{low['__id__']} {low['name']}" for chunk, low in pairs}


def compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The managed files that Salt renders on both sides, or on one of them only for an error on the other."""
    sides = (old["contents"], new["contents"])
    both = [which for which in sides[0] if which in sides[1]]
    # What both sides cannot render, Salt says in other words each time.
    return [w for w in both if not all(side[w].startswith("none: ") for side in sides)]


def _untrue_contents(
    said: MinionDiff, told: Difference, old: Mapping[str, Any], new: Mapping[str, Any],
    told_as: Mapping[str, str],
) -> list[str]:  # fmt: skip
    """The managed files that hold something else now and are not told, and those that hold the same and are."""
    files = [key for file in told.files for key in file.keys]
    files += [key for content in told.contents for key in content.keys]
    shown = {told_as[key] for key in files}
    # A file that is no template and comes from elsewhere now is told by its `source`.
    moved = {
        told_as[s.key] for s in told.changed if any(a.startswith("source") for a in s.arguments)
    }
    # Of these a note says that nobody knows what they hold.
    sources = {n.partition(_BY_SOURCES)[0] for n in said.notes if _BY_SOURCES in n}
    unsure = {
        f"{c['__id__']} {c['name']}"
        for c in new["low"]
        if any(str(source) in sources for source in _listed(c.get("source")))
    }
    found = []
    for which in compared(old, new):
        one, other = (side["contents"][which] for side in (old, new))
        if one != other and which not in shown | moved:
            found.append(f"content of {which}: {one} is {other}, which is not told")
        if one == other and which in shown - unsure:
            found.append(f"content of {which} is told, and Salt's is the same")
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


_BY_SOURCES = " is compared by its sources: "


def _fits(names: Sequence[str], key: str) -> bool:
    plain_key = key.partition(" #")[0]
    return "***" in key or plain_key in names


def _key(identity: tuple[str, ...]) -> str:
    return f"{identity[0]} | {identity[1]}"


def _by_identity(*sides: Sequence[Mapping[str, Any]]) -> list[dict[tuple[str, ...], Any]]:
    """Each side's chunks by ID and function; by the name as well where a side has several of these."""
    counts = [Counter(map(_short, side)) for side in sides]
    return [
        {
            (
                *_short(c),
                *([str(c.get("name"))] if any(n[_short(c)] > 1 for n in counts) else []),
            ): {k: v for k, v in c.items() if k not in _BESIDE}
            for c in side
        }
        for side in sides
    ]


def _short(chunk: Mapping[str, Any]) -> tuple[str, str]:
    return str(chunk["__id__"]), f"{chunk['state']}.{chunk['fun']}"


def _leaves(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    # A mapping with keys that are no texts was written down by `plain`, and is one value.
    if isinstance(data, Mapping) and data and not any(str(key)[:1] == "\0" for key in data):
        for key, value in data.items():
            yield from _leaves(value, f"{path}:{key}" if path else str(key))
    elif path:
        yield path, json.dumps(data, sort_keys=True, default=str)
