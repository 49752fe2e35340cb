"""The minions of the demo: which there are, and what each has after a highstate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from saltbranch.actions.init_text import DEFAULT_BRANCHES
from saltbranch.demo.cluster import Cluster
from saltbranch.demo.place import Place
from saltbranch.demo.proof import Given, Seen
from saltbranch.demo.steps import Note, Noted, Tell

MINIONS: Final[Mapping[str, str]] = {"test1": "test", "stage1": "stage", "prod1": "prod"}


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


def look(place: Place, cluster: Cluster) -> tuple[Seen, ...]:
    """Run the highstate on all minions, and see what each has then. Raises SaltError."""
    runs = cluster.local_all("state.apply")
    pillars = cluster.local_all("pillar.items", unmask=True)
    return tuple(_seen(place, minion, runs[minion], pillars[minion]) for minion in MINIONS)


def run_highstate(place: Place, cluster: Cluster, minion: str, *, saltenv: str) -> Seen:
    """Let `minion` run the highstate of `saltenv`, and see what it has then. Raises SaltError."""
    run = cluster.local(minion, "state.apply", saltenv=saltenv)
    return _seen(place, minion, run, cluster.local(minion, "pillar.items", unmask=True))


def _seen(place: Place, minion: str, run: Any, pillar: Mapping[str, Any]) -> Seen:
    return Seen(
        minion=minion,
        saltenv=MINIONS[minion],
        files=_read_files(place.server(minion)),
        pillar=pillar,
        changed=_changed(run),
        failed=_failed(run),
    )


def ask_for_others(cluster: Cluster) -> Given:
    """Let every minion ask for the pillar of every saltenv. Raises SaltError."""
    answers = {s: cluster.local_all("pillar.items", pillarenv=s) for s in DEFAULT_BRANCHES}
    return {
        minion: {saltenv: tuple(sorted(got[minion])) for saltenv, got in answers.items()}
        for minion in MINIONS
    }


def show_changes(seen: Sequence[Seen], note: Note, *, indent: str = "") -> None:
    """Say which states did something on each minion."""
    for one in seen:
        note(f"{indent}{one.minion:6} changed: {', '.join(one.changed) or 'nothing'}")


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
