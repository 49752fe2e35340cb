"""The demo's first part: a change that is pushed to develop reaches the minions of test, and no others."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from saltbranch.actions.init_text import DEFAULT_BRANCHES
from saltbranch.actions.sync import sync
from saltbranch.base.errors import SaltbranchError, SaltError
from saltbranch.demo import repository
from saltbranch.demo.cluster import Cluster
from saltbranch.demo.minions import MINIONS, ask_for_others, look, show_changes
from saltbranch.demo.place import Place
from saltbranch.demo.proof import Seen, Switch, find_problems
from saltbranch.demo.steps import Note, Steps
from saltbranch.salt_master import options as master_options
from saltbranch.serve import bus_event
from saltbranch.serve.run import SyncResult

TARGET: Final = "test"
_EVENT_SECONDS: Final = 5


def separation(place: Place, cluster: Cluster, steps: Steps) -> tuple[tuple[Seen, ...], list[str]]:
    """Show it; what the minions have in the end, and everything that speaks against the proof.

    Raises SaltError, GitError, SaltbranchError.
    """
    with steps.step("state.apply: each minion gets its own saltenv") as note:
        before = look(place, cluster)
        _show_servers(before, note)
    with steps.step("A change is pushed to develop: a new state, a template, pillar") as note:
        change = repository.push_change(place.clone, DEFAULT_BRANCHES[TARGET])
        note(f"{change.commit[:12]} {change.subject}: {', '.join(change.paths)}")
    with steps.step("saltbranch sync") as note:
        switch = sync_once(place, cluster, note)
    with steps.step("state.apply again, straight after the sync") as note:
        after = look(place, cluster)
        show_changes(after, note)
    with steps.step("Every minion asks for the pillar of every saltenv") as note:
        given = ask_for_others(cluster)
        for minion, answers in given.items():
            note(f"{minion:6} gets that of {', '.join(s for s, keys in answers.items() if keys)}")
    problems: list[str] = []
    with steps.step(
        "The proof: the change is where it belongs, and nowhere else", problems
    ) as note:
        problems += find_problems(
            before, after, change=change, switch=switch, given=given, target=TARGET
        )
        _show_proof(after, problems, note)
    return after, problems


def sync_once(place: Place, cluster: Cluster, note: Note) -> Switch:
    """Do what ``saltbranch sync`` does, and listen on the master's bus meanwhile.

    Raises what actions.sync raises, SaltbranchError when a saltenv is not served.
    """
    with _bus(cluster) as bus:
        result = sync(str(place.config), notify=bus_event.tell)
        require_good(result)
        moved = [saltenv for saltenv in result.saltenvs if saltenv.changed]
        events = _events(bus, len(moved))
    for saltenv in result.saltenvs:
        old = f"{(saltenv.old or '')[:12]} -> " if saltenv.changed else "unchanged at "
        note(f"{saltenv.saltenv}: {saltenv.branch} {old}{(saltenv.new or 'nothing')[:12]}")
    for tag in events:
        note(f"event on the master's bus: {tag}")
    prefix = bus_event.tag("")
    return Switch(
        switched=tuple(saltenv.saltenv for saltenv in moved),
        events=tuple(tag.removeprefix(prefix) for tag in events),
    )


def require_good(result: SyncResult) -> None:
    """Raise SaltbranchError when a saltenv is not served as its branch says."""
    if result.exit_code:
        raise SaltbranchError("; ".join(f"{s.saltenv}: {s.message}" for s in result.saltenvs))


@contextlib.contextmanager
def _bus(cluster: Cluster) -> Iterator[Any]:
    import salt.utils.event

    opts = dict(master_options.read(str(cluster.master_config_file)).opts)
    with salt.utils.event.get_event("master", opts=opts, listen=True) as bus:
        if not bus.connect_pub(timeout=_EVENT_SECONDS):
            raise SaltError("the salt-master lets nobody listen on its bus")
        yield bus


def _events(bus: Any, expected: int) -> list[str]:
    """The tags of our events that came or still come, and of one more than expected."""
    tags: list[str] = []
    deadline = time.monotonic() + _EVENT_SECONDS
    while time.monotonic() < deadline:
        wait = _EVENT_SECONDS if len(tags) < expected else 0.2
        event = bus.get_event(wait=wait, tag=bus_event.tag(""), full=True)
        if event is None:
            break
        tags.append(str(event["tag"]))
    return tags


def _show_servers(seen: Sequence[Seen], note: Note) -> None:
    for one in seen:
        app = one.pillar.get("app", {})
        host = app.get("database", {}).get("host")
        note(
            f"{one.minion:6} saltenv {one.saltenv:5} {len(one.files)} files,"
            f" workers {app.get('workers')}, database {host}"
        )


def _show_proof(after: Sequence[Seen], problems: Sequence[str], note: Note) -> None:
    if problems:
        return
    others = [one for one in after if one.saltenv != TARGET]
    names = " and ".join(one.minion for one in others)
    member = next(minion for minion, own in MINIONS.items() if own == TARGET)
    note(f"{member} has the new files with the new pillar in them")
    note(f"{names}: no state changed anything, every file and the pillar are what they were")
    note("no minion has a value of another saltenv, or gets one when it asks for its pillar")
