"""What a sync keeps in the outbox for people and hooks. Loaded by a sync that has something to tell."""

from __future__ import annotations

import os
import time

from saltbranch.base import files
from saltbranch.notify import outbox, start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from saltbranch.serve.run import Run, SaltenvResult


def switched(run: Run, done: Sequence[tuple[str, SaltenvResult]]) -> str:
    """Keep that `done` were switched, before that is recorded; why that failed, empty where it did not.

    done: saltenvs and labs, each with the name of its folder.
    """
    root, rows = run.ready.root, []
    for dirname, result in done:
        before = run.served.get(dirname)
        since = before.since if before else 0
        what = [result.saltenv, result.old, result.new, since]
        id_ = outbox.id_of(root, "switched", *what)
        rows.append({**result.as_dict(), "id": id_})
    if not rows:
        return ""
    id_ = outbox.id_of(root, *sorted(str(row["id"]) for row in rows))
    data = {"master": master(), "rows": rows}
    return outbox.put(root, "switched", id_, data, [result.saltenv for _, result in done])


def failed(root: str, before: str, text: str) -> None:
    """Keep that a sync failed, unless the one before failed for the same reason; it raises nothing expected."""
    if _kind(before) == _kind(text):
        return
    id_ = outbox.id_of(root, "failed", _kind(text), _mtime(f"{root}/state/seen"))
    outbox.put(root, "sync_failed", id_, {"master": master(), "problem": text, "over": False})


def good_again(root: str) -> None:
    """Keep that what the last sync failed by is over; it raises nothing expected."""
    path = f"{root}/state/failure"
    try:
        text = (files.read_or_none(path) or b"").decode("utf-8", "replace")
    except OSError:
        return
    id_ = outbox.id_of(root, "over", text, _mtime(path))
    outbox.put(root, "sync_failed", id_, {"master": master(), "problem": text, "over": True})


def gate_closed(root: str, config_path: str, plan: Mapping[str, Any]) -> None:
    """Keep, and let be sent, that a promotion was refused by its gates; one id an hour while they are the same.

    plan: as a plan's `as_dict`. It raises nothing expected.
    """
    closed = [
        gate for gate in plan["gates"] if gate["verdict"] != "pass" and not gate.get("overridden")
    ]
    names = [str(gate["gate"]) for gate in closed]
    what = [plan["saltenv"], plan["source"], *names, int(time.time()) // 3600]
    id_ = outbox.id_of(root, "gate", *what)
    data = {"verb": plan["verb"], "source": plan["source"], "gates": closed, "master": master()}
    outbox.put(root, "gate_closed", id_, data, [plan["saltenv"]] if plan["saltenv"] else [])
    start.start_if_wanted(root, config_path)


def check_found(root: str, config_path: str, refs: Sequence[Mapping[str, Any]]) -> None:
    """Keep, and let be sent, what a check found; one id a day while it is the same. It raises nothing expected.

    refs: of each its `name`, `commit`, number of `findings`, the `first` of them and what is `told` in a line.
    """
    what = [f"{ref['name']} {ref['commit']} {ref['findings']} {ref['first']}" for ref in refs]
    id_ = outbox.id_of(root, "check", *what, int(time.time()) // 86400)
    outbox.put(
        root,
        "check_found",
        id_,
        {"refs": list(refs), "master": master()},
        [r["name"] for r in refs],
    )
    start.start_if_wanted(root, config_path)


def master() -> str:
    """What this machine is called in what is told."""
    return os.uname().nodename


def _kind(text: str) -> str:
    """`text` without words of which each run may have others: numbers, hashes, times."""
    return " ".join(w for w in text.split() if not any(c.isdigit() for c in w))


def _mtime(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
