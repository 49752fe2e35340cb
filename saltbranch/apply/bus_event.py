"""The events that tell the master's bus how far an apply is."""

from __future__ import annotations

from typing import Any

from saltbranch.apply.run_state import Record
from saltbranch.base import asked_by

BEGIN, BATCH, END = "begin", "batch", "end"
TOLD = (BEGIN, BATCH, END)
"""Of what happens, what the bus is told: a pass begins, a batch begins, and all is over for now."""


def tag(saltenv: str) -> str:
    """Their tag."""
    return f"saltbranch/apply/{saltenv}"


def data(record: Record, event: str) -> dict[str, Any]:
    """What is told of `record` at `event`, one of TOLD. No id of a minion, and nothing that one said."""
    run = record.last
    return {
        "event": event,
        "saltenv": record.saltenv,
        "id": record.id,
        "kind": run.kind,
        "commit": run.commit,
        "status": record.status,
        "batch": min(run.at + 1, len(run.batches)),
        "batches": len(run.batches),
        "counts": dict(run.counts()),
        "why": record.why or None,
        **asked_by.told(record.by, record.asked),
    }
