"""The hooks before_promote and after_promote, each told once for each promotion, also after a kill."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from saltbranch.base import files
from saltbranch.base.errors import RefusedError
from saltbranch.notify import hooks
from saltbranch.promote.plan import RECORDED, Plan
from saltbranch.promote.record import Prepared
from saltbranch.repository.workplace import Workplace


def before(work: Workplace, plan: Plan, id_: str) -> None:
    """Ask the hook before_promote. Raises RefusedError when it says no, or may not be asked here."""
    argv = dict(hooks.configured(work.config)).get("before_promote")
    if argv is None or plan.kind not in RECORDED:
        return
    if not work.programs.may_run(argv):
        raise RefusedError(
            f"{plan.saltenv}: the hook before_promote cannot run: {work.programs.why_not(argv)}",
            hint="nothing was changed",
        )
    agreed, said = hooks.run(argv, {**plan.as_dict(), "id": id_}, timeout=600)
    if not agreed:
        raise RefusedError(
            f"{plan.saltenv}: the hook before_promote ({argv[0]}) said no: {said}; nothing was changed",
            hint="see its output above",
        )


def after(work: Workplace, plan: Plan, prepared: Prepared) -> list[str]:
    """Tell the hook after_promote of what was pushed; what went wrong."""
    if plan.kind not in RECORDED or plan.via_branch:
        return []
    return _tell(work, {**plan.as_dict(), "id": prepared.id, "new": prepared.new})


def _tell(work: Workplace, payload: dict[str, Any]) -> list[str]:
    argv = dict(hooks.configured(work.config)).get("after_promote")
    if argv is None:
        return []
    if not work.programs.may_run(argv):
        return [f"the hook after_promote did not run: {work.programs.why_not(argv)}"]
    done, said = hooks.run(argv, payload, timeout=600)
    return [] if done else [f"the hook after_promote ({argv[0]}) failed: {said}"]


def _pending_folder(work: Workplace) -> str:
    return f"{work.git.directory}/saltbranch"


def note_pending(work: Workplace, plan: Plan, id_: str) -> str:
    """Remember that the hook after_promote is still to be told; needed when we are killed after the push."""
    path = f"{_pending_folder(work)}/{id_}.json"
    if work.config.hooks.after_promote and plan.kind in RECORDED and not plan.via_branch:
        os.makedirs(_pending_folder(work), mode=0o700, exist_ok=True)
        files.write_atomic(path, json.dumps({**plan.as_dict(), "id": id_}))
    return path


def finish_pending(work: Workplace) -> list[str]:
    """Tell the hook after_promote of promotions whose run was killed between push and hook; what went wrong."""
    problems: list[str] = []
    command = work.config.hooks.after_promote
    for path in _pending(work):
        id_ = os.path.basename(path).partition(".")[0]
        event = next((e for e in work.state.events if e.id == id_), None)
        data = files.read_or_none(path)
        if event and data and command and path.endswith(".json"):
            new = event.commit_of("new") or event.commit_of("commit")
            problems += _tell(work, {**json.loads(data), "new": new})
        if event or _is_old(path):  # a young one may be another run's, which is at work
            files.unlink(path)
    return problems


def _pending(work: Workplace) -> list[str]:
    folder = _pending_folder(work)
    return [f"{folder}/{n}" for n in sorted(os.listdir(folder))] if os.path.isdir(folder) else []


def _is_old(path: str) -> bool:
    try:
        return time.time() - os.stat(path).st_mtime > 86400
    except FileNotFoundError:
        return False
