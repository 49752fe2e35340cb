"""The demo, step by step: from an empty folder to the proof that a change stays in its saltenv.

Nothing outside its folder is written, but for short symlinks in /tmp where the path of that folder
is too long for sockets. It prints nothing: what happens goes to a callback.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from saltbranch import notify, saltmaster
from saltbranch.actions.init import DEFAULT_BRANCHES, Answers, init
from saltbranch.actions.outcome import SaltenvResult, SyncResult
from saltbranch.actions.sync import sync
from saltbranch.demo import repository
from saltbranch.demo.cluster import Cluster
from saltbranch.demo.interrupts import Interrupts
from saltbranch.demo.place import Place, make_place, remove
from saltbranch.demo.proof import Given, Seen, Switch, find_problems
from saltbranch.errors import Interrupted, SaltbranchError, SaltError

MINIONS: Final[Mapping[str, str]] = {"test1": "test", "stage1": "stage", "prod1": "prod"}
TARGET: Final = "test"
_EVENT_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Begun:
    """A step begins."""

    title: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Something worth telling about the step that is under way."""

    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A step has ended."""

    title: str
    seconds: float
    ok: bool


Progress = Begun | Noted | Ended
Tell = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """How it went. problems: everything that speaks against the proof. Times are in seconds."""

    place: Place
    kept: bool
    before: tuple[Seen, ...]
    after: tuple[Seen, ...]
    problems: tuple[str, ...]
    steps: tuple[tuple[str, float], ...]
    seconds: float

    @property
    def exit_code(self) -> int:
        """1 when there is a problem."""
        return 1 if self.problems else 0


@dataclass(slots=True)
class _Steps:
    """Tells of each step and how long it took."""

    tell: Tell
    done: list[tuple[str, float]] = field(default_factory=list)

    @contextlib.contextmanager
    def step(self, title: str, problems: Sequence[str] = ()) -> Iterator[Callable[[str], None]]:
        """One step; it is good while nobody has put anything into `problems`."""
        begun = time.monotonic()
        self.tell(Begun(title))
        yield lambda text: self.tell(Noted(text))
        seconds = time.monotonic() - begun
        self.done.append((title, seconds))
        self.tell(Ended(title, seconds, ok=not problems))


def demo(*, folder: Path | None = None, keep: bool = False, tell: Tell) -> DemoResult:
    """Run the demo and remove everything again, however it ends.

    folder: a new or empty one to work in; a new one among the temporary files when None.
    keep: leave folder and daemons when the tour came to its end. For the main thread only.
    Raises Interrupted, RefusedError, SaltError, GitError, SaltbranchError.
    """
    interrupts = Interrupts()
    place, cluster, stays = None, None, False
    try:
        with interrupts.raised():
            try:
                with interrupts.deferred():
                    place = make_place(folder)
                cluster = describe_cluster(place, tell, outlive=keep)
                result = _tour(place, cluster, tell, kept=keep)
                stays = keep
            finally:
                if not stays:
                    with interrupts.deferred():
                        if cluster:
                            cluster.stop()
                        if place:
                            remove(place)
    except KeyboardInterrupt as err:
        raise Interrupted(
            "the demo was interrupted", hint="its folder and its processes are gone"
        ) from err
    return result


def _tour(place: Place, cluster: Cluster, tell: Tell, *, kept: bool) -> DemoResult:
    steps = _Steps(tell)
    begun = time.monotonic()
    with steps.step("A control repository with the branches develop, stage and master") as note:
        commit = repository.make(place.remote, place.clone, list(DEFAULT_BRANCHES.values()))
        note(f"{place.remote}: all three at {commit[:12]}")
    with steps.step("saltbranch init: each branch becomes a saltenv") as note:
        set_up(place, cluster, note)
    with steps.step("A salt-master and three minions start"):
        cluster.start()
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
        _show_changes(after, note)
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
    return DemoResult(
        place=place,
        kept=kept,
        before=before,
        after=after,
        problems=tuple(problems),
        steps=tuple(steps.done),
        seconds=time.monotonic() - begun,
    )


def describe_cluster(place: Place, tell: Tell, *, outlive: bool) -> Cluster:
    """The salt-master and the minions of the demo, not started yet."""
    return Cluster(
        place.salt,
        minions={
            minion: {"roles": ["web", "db"], "saltbranch_demo_dir": str(place.server(minion))}
            for minion in MINIONS
        },
        # No state of the sample needs its module, and looking for it takes as long as all the rest.
        minion_options={minion: {"autoload_dynamic_modules": False} for minion in MINIONS},
        # What `salt-run saltbranch.sync` and its like go by.
        master_options={"saltbranch_config": str(place.config)},
        progress=lambda text: tell(Noted(text)),
        outlive=outlive,
    )


def set_up(place: Place, cluster: Cluster, note: Callable[[str], None]) -> None:
    """Do what ``saltbranch init`` does, before the master starts: so it needs no restart.

    Raises what actions.init raises, SaltbranchError when a saltenv is not served.
    """
    cluster.write_config()
    answers = Answers(
        remote=str(place.remote),
        root=str(place.root),
        master_config=str(cluster.config_dir / "master.d" / "saltbranch.conf"),
        salt_config=str(cluster.master_config_file),
        states_dir="salt",
        pillar_dir="pillar",
        group=None,
        branches=DEFAULT_BRANCHES,
        minions={saltenv: (f"{saltenv}*",) for saltenv in DEFAULT_BRANCHES},
    )
    result = init(str(place.config), answers)
    _require_good(result.sync)
    note(f"wrote {place.config}")
    for saltenv in result.sync.saltenvs:
        note(
            f"{saltenv.saltenv}: minions {saltenv.saltenv}*, {saltenv.branch} at {_short(saltenv)}"
        )


def _require_good(result: SyncResult) -> None:
    if result.exit_code:
        raise SaltbranchError("; ".join(f"{s.saltenv}: {s.message}" for s in result.saltenvs))


def look(place: Place, cluster: Cluster) -> tuple[Seen, ...]:
    """Run the highstate on all minions, and see what each has then. Raises SaltError."""
    runs = cluster.local_all("state.apply")
    pillars = cluster.local_all("pillar.items", unmask=True)
    return tuple(
        Seen(
            minion=minion,
            saltenv=saltenv,
            files=_read_files(place.server(minion)),
            pillar=pillars[minion],
            changed=_changed(runs[minion]),
            failed=_failed(runs[minion]),
        )
        for minion, saltenv in MINIONS.items()
    )


def ask_for_others(cluster: Cluster) -> Given:
    """Let every minion ask for the pillar of every saltenv. Raises SaltError."""
    answers = {s: cluster.local_all("pillar.items", pillarenv=s) for s in DEFAULT_BRANCHES}
    return {
        minion: {saltenv: tuple(sorted(got[minion])) for saltenv, got in answers.items()}
        for minion in MINIONS
    }


def _read_files(server: Path) -> dict[str, str]:
    return {
        str(path.relative_to(server)): path.read_text("utf-8", "replace")
        for path in sorted(server.rglob("*"))
        if path.is_file()
    }


def _changed(run: Any) -> tuple[str, ...]:
    """Ids of the states with changes; a run that could not be compiled is a list of texts."""
    states = run.values() if isinstance(run, dict) else ()
    return tuple(sorted(state["__id__"] for state in states if state["changes"]))


def _failed(run: Any) -> tuple[str, ...]:
    if not isinstance(run, dict):
        return tuple(map(str, run)) if isinstance(run, list) else (str(run),)
    return tuple(
        f"state {state.get('__id__', '')}: {state['comment']}"
        for state in run.values()
        if not state["result"]
    )


def sync_once(place: Place, cluster: Cluster, note: Callable[[str], None]) -> Switch:
    """Do what ``saltbranch sync`` does, and listen on the master's bus meanwhile.

    Raises what actions.sync raises, SaltbranchError when a saltenv is not served.
    """
    with _bus(cluster) as bus:
        result = sync(str(place.config), notify=notify.tell)
        _require_good(result)
        moved = [saltenv for saltenv in result.saltenvs if saltenv.changed]
        events = _events(bus, len(moved))
    for saltenv in result.saltenvs:
        old = f"{(saltenv.old or '')[:12]} -> " if saltenv.changed else "unchanged at "
        note(f"{saltenv.saltenv}: {saltenv.branch} {old}{_short(saltenv)}")
    for tag in events:
        note(f"event on the master's bus: {tag}")
    prefix = notify.tag("")
    return Switch(
        switched=tuple(saltenv.saltenv for saltenv in moved),
        events=tuple(tag.removeprefix(prefix) for tag in events),
    )


@contextlib.contextmanager
def _bus(cluster: Cluster) -> Iterator[Any]:
    import salt.utils.event

    opts = dict(saltmaster.read(str(cluster.master_config_file)).opts)
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
        event = bus.get_event(wait=wait, tag=notify.tag(""), full=True)
        if event is None:
            break
        tags.append(str(event["tag"]))
    return tags


def _show_servers(seen: Sequence[Seen], note: Callable[[str], None]) -> None:
    for one in seen:
        app = one.pillar.get("app", {})
        host = app.get("database", {}).get("host")
        note(
            f"{one.minion:6} saltenv {one.saltenv:5} {len(one.files)} files,"
            f" workers {app.get('workers')}, database {host}"
        )


def _show_changes(seen: Sequence[Seen], note: Callable[[str], None]) -> None:
    for one in seen:
        note(f"{one.minion:6} changed: {', '.join(one.changed) or 'nothing'}")


def _show_proof(
    after: Sequence[Seen], problems: Sequence[str], note: Callable[[str], None]
) -> None:
    if problems:
        return
    others = [one for one in after if one.saltenv != TARGET]
    names = " and ".join(one.minion for one in others)
    note(f"{_member(TARGET)} has the new files with the new pillar in them")
    note(f"{names}: no state changed anything, every file and the pillar are what they were")
    note("no minion has a value of another saltenv, or gets one when it asks for its pillar")


def _member(saltenv: str) -> str:
    return next(minion for minion, own in MINIONS.items() if own == saltenv)


def _short(saltenv: SaltenvResult) -> str:
    return (saltenv.new or "nothing")[:12]
