"""From what happened to who is told, by the model that is believed here, with what the mirror says of commits."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from saltbranch.base import tickets
from saltbranch.base.durations import iso
from saltbranch.base.errors import GitError, SaltbranchError
from saltbranch.base.text import one_line
from saltbranch.config.model import Config
from saltbranch.config.notify import HOOKS, OF_JOURNAL
from saltbranch.git.address import BadAddress, parse
from saltbranch.git.mirror import Mirror
from saltbranch.journal import store as journal
from saltbranch.journal.events import Event
from saltbranch.notify import hooks, outbox, texts

TARGET, HOOK = "to-", "hook-"
"""How the names of channels begin."""
_EVENTS = {"unhold": "hold", **{name: name for name in OF_JOURNAL}}
"""Kind of a journal's entry to the event of which people are told."""
_COMMITS = 500
_SUBJECTS = 10


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing to be told on one channel."""

    channel: str
    id: str
    data: Mapping[str, Any]


def wanted(config: Config) -> set[str]:
    """The events that a target or hook of this machine is told of. Raises ConfigError."""
    here = set(config.notify_targets)
    found: set[str] = {e for rule in config.notify if here & set(rule.to) for e in rule.events}
    for name in hooks.that_may_run(config):
        found.update(HOOKS[name])
    return found


def of_journal(mirror: Mirror, since: str, head: str) -> list[tuple[str, Event]]:
    """The entries between two heads that people are told of, each with its event. Raises GitError."""
    if not since:
        entries = journal.read(mirror.git, head or None)
    else:
        entries = journal.read_on(mirror.git, head, since) or [] if head else []
    return [(_EVENTS[e.kind], e) for e in entries if e.kind in _EVENTS]


def deliveries(config: Config, mirror: Mirror, notice: Mapping[str, Any]) -> Iterator[Delivery]:
    """Whom `notice` is told to. Raises ConfigError."""
    event, id_ = str(notice.get("event")), str(notice.get("id"))
    for name in hooks.that_may_run(config):
        if event in HOOKS[name]:
            yield from _of_hook(name, notice)
    told: set[str] = set()
    whole: dict[str, Any] | None = None
    for rule in config.notify:
        if event not in rule.events:
            continue
        part = _part(notice, rule.saltenvs)
        names = [n for n in rule.to if n in config.notify_targets and n not in told]
        if part is None or not names:
            continue
        whole = whole or _with_facts(config, mirror, notice)
        shown = _part(whole, rule.saltenvs) or whole
        title, lines = texts.message(shown)
        data = {"notice": shown, "title": title, "lines": lines, "template": rule.template}
        for name in dict.fromkeys(names):
            told.add(name)
            yield Delivery(f"{TARGET}{name}", id_, data)


def _of_hook(name: str, notice: Mapping[str, Any]) -> Iterator[Delivery]:
    head = {"version": 1, "hook": name, "time": notice.get("time")}
    id_ = str(notice.get("id"))
    if name == "after_sync":
        problem = None if notice.get("over") else notice.get("problem")
        data = {"saltenvs": notice.get("rows", []), "problem": problem}
        yield Delivery(
            f"{HOOK}{name}", id_, {**head, "id": id_, "master": notice.get("master"), **data}
        )
    elif name == "after_switch":
        for row in notice.get("rows", []):
            own = str(row.get("id"))
            yield Delivery(
                f"{HOOK}{name}", own, {**row, **head, "id": own, "master": notice.get("master")}
            )
    else:
        yield Delivery(f"{HOOK}{name}", id_, {**head, "id": id_, "entry": notice.get("entry")})


def _part(notice: Mapping[str, Any], saltenvs: list[str]) -> dict[str, Any] | None:
    """What of `notice` is about `saltenvs`, all when empty; None for nothing. What is of no saltenv all are told."""
    if not saltenvs or not notice.get("saltenvs"):
        return dict(notice)
    names = [name for name in notice["saltenvs"] if name in saltenvs]
    if not names:
        return None
    part = {**notice, "saltenvs": names}
    if isinstance(notice.get("rows"), list):
        part["rows"] = [row for row in notice["rows"] if row.get("saltenv") in names]
    return part


def _with_facts(config: Config, mirror: Mirror, notice: Mapping[str, Any]) -> dict[str, Any]:
    """`notice` with what the commits bring, as far as the mirror can tell."""
    found = dict(notice)
    entry = notice.get("entry")
    if isinstance(entry, Mapping):
        old, new = ("old", "new") if entry.get("new") else ("from_commit", "commit")
        found["about"] = about(config, mirror, entry.get(old), entry.get(new))
    if isinstance(rows := notice.get("rows"), list):
        found["rows"] = [
            {**r, "about": about(config, mirror, r.get("old"), r.get("new"))} for r in rows
        ]
    return found


def about(config: Config, mirror: Mirror, old: object, new: object) -> dict[str, Any]:
    """What comes with the commit `new` after `old`: commits, authors, subjects, tickets, files, link."""
    if not (isinstance(old, str) and isinstance(new, str)) or old == new:
        return {}
    args = ["log", f"--max-count={_COMMITS}", "--no-merges", "-z", "--format=%an%n%s%n%b"]
    try:
        for commit in (old, new):
            if mirror.git.commit_or_none(commit) != commit:
                return {}
        text = mirror.git.out(*args, "--end-of-options", new, f"^{old}", "--")
        names = mirror.git.out(
            "diff-tree", "-r", "-z", "--name-only", "--end-of-options", old, new, "--"
        )
        pattern = tickets.compile_pattern(config.tickets, config.path)
    except (GitError, SaltbranchError):
        return {}
    commits = [entry.split("\n", 2) for entry in text.split("\0") if entry]
    return {
        "old": old,
        "new": new,
        "commits": len(commits),
        "files": names.count("\0"),
        "authors": sorted({one_line(c[0])[:100] for c in commits})[:20],
        "subjects": [one_line(c[1])[:200] for c in commits[:_SUBJECTS]],
        "tickets": sorted({t for c in commits for t in tickets.find("\n".join(c[1:]), pattern)})[
            :50
        ],
        "link": compare_link(config.remote, old, new),
    }


def compare_link(remote: str, old: str, new: str) -> str:
    """The page of GitHub, GitLab, Gitea or Forgejo that compares two commits; empty where there can be none."""
    try:
        address = parse(remote)
    except BadAddress:
        return ""
    plain = all(c.isalnum() or c in "._-~" for part in address.path for c in part)
    if not address.host or not plain or len(address.path) < 2:
        return ""
    port = f":{address.port}" if address.port and address.scheme in ("http", "https") else ""
    scheme = "http" if address.scheme == "http" else "https"
    path = "/".join(address.path).removesuffix(".git")
    return f"{scheme}://{address.host}{port}/{path}/compare/{old}...{new}"


def hear(root: str, mirror: Mirror, since: str, head: str) -> None:
    """Put what the journal has between two heads into the outbox. Raises GitError."""
    for event, entry in of_journal(mirror, since, head):
        _put(root, event, entry)


def tell_here(root: str, entry: Event) -> None:
    """Put an entry that no journal will have into the outbox. Raises OSError."""
    _put(root, _EVENTS[entry.kind], entry)


def _put(root: str, event: str, entry: Event) -> None:
    name = entry.text("saltenv")
    id_ = "".join(c for c in entry.id if c.isalnum() or c == "-")[:60]
    outbox.put(
        root,
        event,
        id_ or entry.commit[:20],
        {"entry": entry.as_dict()},
        [name] if name else [],
        at=entry_time(entry),
    )


def entry_time(entry: Event) -> float:
    """When it is told as of: a clock that is wrong makes nothing old before it was told."""
    now = time.time()
    return entry.time if now - 86400 < entry.time <= now else now


def test_notice() -> dict[str, Any]:
    """What `notify --test` says."""
    now = time.time()
    return {"event": "test", "id": f"test-{int(now * 1000)}", "time": iso(now), "saltenvs": []}
