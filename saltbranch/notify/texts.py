"""What a notice says to people where the model gives no template: a title, and lines below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from saltbranch.base.text import many, one_line, some

_MOST = 10  # lines of one kind


def message(notice: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The title, of our words, hashes and names of the model alone, and what stands below it, by strangers, too."""
    event = str(notice.get("event", ""))
    make = _MAKERS.get(event, _unknown)
    title, lines = make(notice)
    return one_line(f"saltbranch: {title}"), [line for line in lines if line]


def _unknown(notice: Mapping[str, Any]) -> tuple[str, list[str]]:
    return f"{notice.get('event')}: {_names(notice)}", []


def _names(notice: Mapping[str, Any]) -> str:
    return some([str(name) for name in notice.get("saltenvs", ())], 5)


def _switched(notice: Mapping[str, Any]) -> tuple[str, list[str]]:
    rows = [row for row in _list(notice, "rows") if isinstance(row, Mapping)]
    names = some([f"{row.get('saltenv')} serves {_short(row.get('new'))}" for row in rows], 3)
    lines = []
    for row in rows[:_MOST]:
        before = f" (before: {_short(row['old'])})" if row.get("old") else ""
        reason = {"hold": "held", "tag": f"tag {row.get('tag')}"}.get(str(row.get("why")), "")
        what = f"{row.get('saltenv')}: {row.get('state')} to {_short(row.get('new'))} of {row.get('branch')}{before}"
        lines.append(", ".join(filter(None, (what, reason, str(row.get("message") or "")))))
        lines += _about(row)
    return f"{names} on {notice.get('master')}", lines


def _sync_failed(notice: Mapping[str, Any]) -> tuple[str, list[str]]:
    problem = str(notice.get("problem") or "").splitlines()[:_MOST]
    if notice.get("over"):
        return f"syncs of {notice.get('master')} are good again", problem
    return f"sync failed on {notice.get('master')}", problem


def _promotion(notice: Mapping[str, Any]) -> tuple[str, list[str]]:
    entry = _entry(notice)
    title = f"promoted to {_names(notice)}: {_short(entry.get('new'))}"
    what = f"by {_who(entry)} from {entry.get('source')}"
    tag = f"tag {entry['tag']}" if entry.get("tag") else ""
    return title, [", ".join(filter(None, (what, tag))), *_about(notice)]


def _hold(notice: Mapping[str, Any]) -> tuple[str, list[str]]:
    entry = _entry(notice)
    kind, names = str(entry.get("event")), _names(notice)
    words = {"hold": "held at", "rollback": "rolled back to"}
    at = _short(entry.get("commit"))
    title = f"{names} {words[kind]} {at}" if kind in words else f"{names}: hold lifted"
    if entry.get("all") is True:
        title = "all saltenvs held" if kind in words else "hold of all saltenvs lifted"
    until = f"until {entry['until']}" if entry.get("until") else ""
    return title, [
        f"by {_who(entry)}: {entry.get('reason') or 'no reason given'}",
        until,
        *_about(notice),
    ]


def _lab(notice: Mapping[str, Any]) -> tuple[str, list[str]]:
    entry = _entry(notice)
    words = {"claim": "claimed", "extend": "kept for longer", "release": "released"}
    number = entry.get("lab")
    name = f"lab{number}" if type(number) is int else "a lab"
    lines = [f"by {_who(entry)} for {entry.get('branch')}"]
    if minions := _list(entry, "minions"):
        lines.append(f"minions: {some([str(minion) for minion in minions], 10)}")
    if entry.get("until"):
        lines.append(f"until {entry['until']}")
    return f"{name} {words.get(str(entry.get('action')), 'changed')}", lines


def _verify(notice: Mapping[str, Any]) -> tuple[str, list[str]]:
    entry = _entry(notice)
    at, part = _short(entry.get("commit")), "" if entry.get("complete") is True else " (in part)"
    word = "passed its checks" if entry.get("passed") is True else "did not pass its checks"
    reasons = [str(line) for line in _list(entry, "reasons")[:_MOST]]
    return f"{_names(notice)} {word}{part} at {at}", [f"by {_who(entry)}", *reasons]


def _apply(notice: Mapping[str, Any]) -> tuple[str, list[str]]:
    entry, names = _entry(notice), _names(notice)
    at, status = _short(entry.get("commit")), str(entry.get("status"))
    title = f"{names}: apply of {at} {_ENDS.get(status, 'ended')}"
    if status == "rolled-back":
        title += f" to {_short(entry.get('rolled_back_to'))}"
    failed = entry.get("failed")
    lines = [f"by {_who(entry)}", str(entry.get("told") or ""), str(entry.get("why") or "")]
    if isinstance(failed, Mapping) and failed:
        lines.append(some([f"{minion}: {state}" for minion, state in failed.items()], 10))
    if status == "stopped":
        lines.append(f"saltbranch apply --resume {entry.get('apply')} goes on")
    return title, lines


def _gate_closed(notice: Mapping[str, Any]) -> tuple[str, list[str]]:
    gates = [
        f"{g.get('gate')}: {g.get('reason')}"
        + (f"; passes at {g['passes_at']}" if g.get("passes_at") else "")
        for g in _list(notice, "gates")[:_MOST]
    ]
    return f"not promoted to {_names(notice)}: a gate is closed", gates


def _check_found(notice: Mapping[str, Any]) -> tuple[str, list[str]]:
    refs = _list(notice, "refs")
    total = sum(int(ref.get("findings", 0)) for ref in refs)
    lines = [
        line for ref in refs for line in (str(ref.get("told")), *map(str, _list(ref, "first")))
    ]
    return f"check found {many(total, 'problem')}", lines[: 2 * _MOST]


def _about(data: Mapping[str, Any]) -> list[str]:
    """What the commits bring: how much, for which tickets, their subjects, and where to look."""
    about = data.get("about")
    if not isinstance(about, Mapping):
        return []
    lines = []
    if about.get("commits"):
        people = some([str(name) for name in _list(about, "authors")], 5)
        more = f" in {many(about['files'], 'file')}" if about.get("files") is not None else ""
        lines.append(f"{many(about['commits'], 'commit')}{more} by {people}")
    if tickets := _list(about, "tickets"):
        lines.append(f"tickets: {some([str(t) for t in tickets], 20)}")
    lines += [f"* {subject}" for subject in _list(about, "subjects")[:_MOST]]
    return lines


def _who(entry: Mapping[str, Any]) -> str:
    asked = entry.get("asked_by") or entry.get("claimed_by")
    return f"{entry.get('by')}{f' for {asked}' if asked else ''}"


def _entry(notice: Mapping[str, Any]) -> Mapping[str, Any]:
    entry = notice.get("entry")
    return entry if isinstance(entry, Mapping) else {}


def _list(data: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = data.get(key)
    return value if isinstance(value, list) else []


def _short(commit: object) -> str:
    return str(commit or "nothing")[:12]


_ENDS = {
    "done": "is done",
    "stopped": "has stopped",
    "rolled-back": "was rolled back",
    "aborted": "was aborted",
}
_MAKERS = {
    "switched": _switched,
    "sync_failed": _sync_failed,
    "promotion": _promotion,
    "hold": _hold,
    "rollback": _hold,
    "lab": _lab,
    "verify": _verify,
    "apply": _apply,
    "gate_closed": _gate_closed,
    "check_found": _check_found,
}
