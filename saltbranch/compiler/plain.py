"""Highstates by Salt as it is, in the sandbox (inside/plain_lows.py), of folders that hold what a master serves."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from saltbranch.compiler import sandbox as sandboxes
from saltbranch.compiler.sandbox import INSTALL, Sandbox, SandboxError

_SECONDS = 30  # for one minion; half a one is usual


def compile_plainly(
    folders: Mapping[str, str], options: Mapping[str, Any], minions: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What becomes of each of `minions`: `top`, `low` (None with an error) and `error`, by its name.

    folders: saltenv to a folder that every user may read. options: of a minion. minions: mappings with name, id,
    saltenv (None where it is not pinned), grains and pillar. Raises SandboxError.
    """
    sandbox = sandboxes.find()
    if sandbox.kind != "bubblewrap":
        raise SandboxError(f"states cannot be compared: {sandbox.warning}", hint=INSTALL)
    inner = {saltenv: f"/srv/{number}" for number, saltenv in enumerate(folders)}
    binds = [(folder, inner[saltenv]) for saltenv, folder in folders.items()]
    jobs = min(os.cpu_count() or 1, len(minions)) or 1
    shares = [list(minions[n::jobs]) for n in range(jobs)]
    found: dict[str, dict[str, Any]] = {}
    with ThreadPoolExecutor(jobs) as pool:
        for part in pool.map(lambda own: _share(sandbox, binds, inner, options, own), shares):
            found.update(part)
    return found


def _share(
    sandbox: Sandbox,
    binds: Sequence[tuple[str, str]],
    folders: Mapping[str, str],
    options: Mapping[str, Any],
    minions: Sequence[Mapping[str, Any]],
) -> dict[str, dict[str, Any]]:
    """What one process makes of its share of the minions."""
    if not minions:
        return {}
    job = {"folders": dict(folders), "options": dict(options), "minions": list(minions)}
    done = sandboxes.run_program(
        sandbox,
        "from saltbranch.compiler.inside import plain_lows; plain_lows.main()",
        binds,
        timeout=60 + _SECONDS * len(minions),
        job=json.dumps(job, default=str).encode(),
    )
    found = dict(json.loads(line) for line in done.out.splitlines())
    if not found and not done.timed_out:
        last = (done.complaint.splitlines() or [f"it ended with {done.code}"])[-1]
        raise SandboxError(f"Salt does not run in a sandbox here: {last.partition(':')[0][:100]}")
    for minion in minions:
        if minion["name"] not in found:
            last = "" if done.timed_out else (done.complaint.splitlines() or [""])[-1][:200]
            why = "it took too long" if done.timed_out else f"the sandbox ended: {last}"
            found[minion["name"]] = {"top": {}, "low": None, "error": why}
    return found
