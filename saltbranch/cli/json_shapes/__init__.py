"""What verbs write with ``--json`` and runners return, as types. docs/generate.py makes the JSON schemas of them.

Outputs of real runs are held against these schemas, without a key too many or too few
(tests/project/test_json_shapes.py).
"""

from __future__ import annotations

from typing import Any

from saltbranch.cli.json_shapes import (
    applying,
    checking,
    comparing,
    events,
    looking_back,
    promoting,
    serving,
)

SHAPES: dict[str, Any] = {
    "apply": applying.Applied,
    "apply-abort": applying.Aborted,
    "apply-plan": applying.Plan,
    "apply-status": applying.Applies,
    "apply-stream": applying.STREAM,
    "approve": promoting.ApprovalRecorded,
    "approve-list": promoting.Approvals,
    "check": checking.Check,
    "diff": comparing.Diff,
    "event-apply": events.ApplyGoesOn,
    "event-minion-new": events.NewMinion,
    "event-minion-unplaced": events.UnplacedMinion,
    "event-promote": events.Promoted,
    "event-recorded": events.Recorded,
    "event-sync": events.Switched,
    "event-verify": events.Verified,
    "event-waiting": events.Waiting,
    "history": looking_back.History,
    "hold": promoting.Held,
    "hold-all": promoting.HeldAll,
    "hold-all-plan": promoting.HoldAllPlan,
    "hold-plan": promoting.HoldPlan,
    "lab": promoting.LabRecorded,
    "lab-list": promoting.Labs,
    "lab-plan": promoting.LabPlan,
    "metrics": serving.Metrics,
    "notify": serving.NotifyData,
    "promote": promoting.Promoted,
    "promote-plan": promoting.Plan,
    "status": serving.MasterStatus,
    "status-clone": serving.CloneStatus,
    "status-masters": serving.Masters,
    "sync": serving.Sync,
    "verify": serving.Verification,
    "verify-plan": serving.VerifyPlan,
    "where-commit": looking_back.WhereCommit,
    "where-path": looking_back.WherePath,
    "where-ticket": looking_back.WhereTicket,
}
"""Name of the schema, and what it is of; of several shapes a line is one."""
