"""The demo from an empty folder to the proof of both parts, and the removal of what it made.

Nothing outside its folder is written, but for short symlinks in /tmp where the path of that folder
is too long for sockets. It prints nothing: what happens goes to a callback.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from saltbranch.actions.init import init
from saltbranch.actions.init_text import DEFAULT_BRANCHES, Answers
from saltbranch.actions.sync import sync
from saltbranch.base.errors import Interrupted, SaltbranchError
from saltbranch.demo import formula, repository
from saltbranch.demo.cluster import Cluster
from saltbranch.demo.interrupts import Interrupts
from saltbranch.demo.minions import describe_cluster
from saltbranch.demo.place import Place, make_place, remove
from saltbranch.demo.promotions import promotions
from saltbranch.demo.separation import require_good, separation
from saltbranch.demo.steps import Note, Steps, Tell


@dataclass(frozen=True, slots=True)
class DemoResult:
    """How it went. problems: everything that speaks against the proofs. Times are in seconds."""

    place: Place
    kept: bool
    problems: tuple[str, ...]
    steps: tuple[tuple[str, float], ...]
    seconds: float

    @property
    def exit_code(self) -> int:
        """1 when there is a problem."""
        return 1 if self.problems else 0


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
    steps = Steps(tell)
    begun = time.monotonic()
    with steps.step("A control repository with the branches develop, stage and master") as note:
        commit = repository.make(place.remote, place.clone, DEFAULT_BRANCHES, place.formula)
        note(f"{place.remote}: all three at {commit[:12]}")
    with steps.step("saltbranch init: each branch becomes a saltenv") as note:
        set_up(place, cluster, note)
    with steps.step("A salt-master and three minions start"):
        cluster.start()
    seen, problems = separation(place, cluster, steps)
    problems += promotions(place, cluster, steps, seen)
    return DemoResult(
        place=place,
        kept=kept,
        problems=tuple(problems),
        steps=tuple(steps.done),
        seconds=time.monotonic() - begun,
    )


def set_up(place: Place, cluster: Cluster, note: Note) -> None:
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
    result = init(str(place.config), answers, replace_roots=True)  # the cluster's folders are empty
    if result.sync is None:
        raise SaltbranchError("init did not sync: the repository has no model")
    require_good(result.sync)
    with place.config.open("a") as config:
        config.write(f"\nsubmodules:\n  - {formula.url(place.formula.parent)}\n")
        config.write("\nlabs: 2\nlab_open: true\n")
    synced = sync(str(place.config))
    require_good(synced)
    note(f"wrote {place.config}")
    for found in synced.saltenvs:
        short = (found.new or "nothing")[:12]
        note(f"{found.saltenv}: minions {found.saltenv}*, {found.branch} at {short}")
