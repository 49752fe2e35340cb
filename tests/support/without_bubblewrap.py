"""Compiles a lab's minions in a process whose PATH has everything but bwrap. Job on stdin, JSON out."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from saltbranch.base.errors import SaltbranchError
from saltbranch.compiler import pool, sandbox
from saltbranch.compiler.pool import Frame
from tests.support.compiling import GROUPS, Lab, minion


def main() -> None:
    """job: folder, files (None for the sample), minions (id to roles), frame (options), pillar, jobs,
    share (how many minions a worker gets).
    """
    job: dict[str, Any] = json.load(sys.stdin)
    try:
        found = sandbox.find()
    except SaltbranchError as err:
        print(json.dumps({"error": err.message, "hint": err.hint, "code": err.exit_code}))  # noqa: T201
        return
    lab = Lab(Path(job["folder"]), job["files"])
    served = tuple(map(tuple, job.get("served", ())))
    lab.frame = Frame("salt", "pillar", GROUPS, served=served, **job.get("frame", {}))
    pillars = job.get("pillar", {})
    who = [
        minion(name, roles, pillar=pillars.get(name, {})) for name, roles in job["minions"].items()
    ]
    pool._SHARE = job.get("share", pool._SHARE)
    results = lab.compile(who, jobs=job.get("jobs", 1))
    answer = {
        "kind": found.kind,
        "warning": found.warning,
        "results": {name: dataclasses.asdict(result) for name, result in results.items()},
    }
    print(json.dumps(answer))  # noqa: T201


main()
