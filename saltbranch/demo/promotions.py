"""The demo's second part: a feature goes from develop over stage to master, then a hotfix, then a rollback, then a lab.

After each step a sync and a highstate: the minions that were to change did, and no others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from saltbranch.actions.init_text import DEFAULT_BRANCHES
from saltbranch.base.errors import EXIT_PENDING
from saltbranch.demo import formula, repository
from saltbranch.demo.cluster import Cluster
from saltbranch.demo.minions import look, show_changes
from saltbranch.demo.place import Place
from saltbranch.demo.proof import Expected, Moment, Seen, find_wrong
from saltbranch.demo.shell import Shell
from saltbranch.demo.steps import Steps
from saltbranch.demo.trial import trial
from saltbranch.git.program import Git

_BRANCHES: Final = DEFAULT_BRANCHES
TEST, STAGE, PROD = _BRANCHES
_CLONE: Final = "clone$"
APP_FILE: Final = "etc/app/app.ini"


@dataclass(slots=True)
class _Scene:
    """Where it happens, and how things stand: `now` is what the last step left."""

    place: Place
    cluster: Cluster
    steps: Steps
    now: Moment
    problems: list[str] = field(default_factory=list)

    def act(self, title: str, expected: Expected, act: Callable[[Shell], None]) -> None:
        """One step: what `act` does in the clone, a sync on the master, a highstate, the proof."""
        problems: list[str] = []
        with self.steps.step(title, problems) as note:
            cache = {"XDG_CACHE_HOME": str(self.place.cache)}
            act(Shell(_CLONE, self.place.clone, note, cache))
            variables = {"SALTBRANCH_CONFIG": str(self.place.config)}
            master = Shell("master#", self.place.folder, note, variables)
            master.saltbranch("sync")
            master.typed("salt", "*", "state.apply")
            new = moment(self.place, look(self.place, self.cluster))
            show_changes(new.seen, note, indent="    ")
            problems += find_wrong(self.now, new, expected)
            if not problems:
                note(_proven(expected))
        self.problems += problems
        self.now = new


def promotions(place: Place, cluster: Cluster, steps: Steps, seen: tuple[Seen, ...]) -> list[str]:
    """Show it; everything that speaks against the proof.

    seen: what the minions have before. Raises SaltError, GitError, SaltbranchError.
    """
    scene = _Scene(place, cluster, steps, moment(place, seen))
    app = ("app-config",)
    slow, quick = {APP_FILE: "timeout = 30\n"}, {APP_FILE: "timeout = 90\n"}
    newer = {**slow, **formula.TEXTS}
    scene.act(
        "A feature branch is finished: its change, and a formula's new version, are in test",
        Expected(_branches(TEST), (TEST,), (*app, formula.NAME), newer),
        lambda clone: _feature(clone, place),
    )
    both = {**newer, **repository.NOTICE_TEXTS}
    scene.act(
        "promote stage: the feature, the formula and the announcement go on",
        Expected(_branches(STAGE), (STAGE,), (*app, formula.NAME, "motd", "notice"), both),
        lambda clone: _say(clone, "promote", STAGE, "--yes"),
    )
    scene.act(
        "promote prod: exactly the plan that somebody has looked at",
        Expected(_branches(PROD), (PROD,), (*app, formula.NAME, "motd", "notice"), both),
        _promote_as_planned,
    )
    promoted = scene.now.seen
    every = (TEST, STAGE, PROD)
    scene.act(
        "A hotfix of what prod serves: stage and develop get it by the same push",
        Expected(_branches(*every), every, app, quick),
        _hotfix,
    )
    scene.act(
        "A rollback of prod: it is held at what it served before, and no branch moves",
        Expected((), (PROD,), app, slow, like=promoted),
        lambda clone: _say(clone, "rollback", PROD, "--reason", "KEY-43 is too slow", "--yes"),
    )
    scene.problems += trial(place, cluster, steps, scene.now.seen)
    with steps.step("What was done stands in the repository itself") as note:
        clone = Shell(_CLONE, place.clone, note, {"XDG_CACHE_HOME": str(place.cache)})
        clone.saltbranch("history")
        clone.saltbranch("formula", "list")
    return scene.problems


def _proven(expected: Expected) -> str:
    branches = ", ".join(expected.branches) or "no branch"
    saltenvs = ", ".join(expected.saltenvs)
    what = "what they had before" if expected.like else "what is new"
    rest = "" if len(expected.saltenvs) == len(_BRANCHES) else "; the others keep all they had"
    return f"proof: {branches} moved, the minions of {saltenvs} have {what}{rest}"


def moment(place: Place, seen: tuple[Seen, ...]) -> Moment:
    """How things stand on the remote and on the master's disk. Raises GitError."""
    remote = Git(str(place.remote))
    heads = {b: remote.out("rev-parse", f"refs/heads/{b}").strip() for b in _BRANCHES.values()}
    served = {}
    for saltenv, branch in _BRANCHES.items():
        checkout = Git(str(place.root / "checkouts" / branch), work_tree=True)
        served[saltenv] = checkout.out("rev-parse", "HEAD").strip()
    return Moment(heads, served, seen)


def _branches(*saltenvs: str) -> tuple[str, ...]:
    return tuple(_BRANCHES[s] for s in saltenvs)


def _say(clone: Shell, *words: str) -> None:
    clone.saltbranch(*words)


def _feature(clone: Shell, place: Place) -> None:
    formula.release(place.formula, formula.NEXT, "A banner with its version")
    clone.saltbranch("feature", "start", "key-42-timeout")
    clone.saltbranch("formula", "update", formula.NAME)
    repository.add_timeout(clone.folder)
    _commit(clone, "KEY-42 A timeout for the app")
    clone.saltbranch("feature", "finish", "--yes")


def _promote_as_planned(clone: Shell) -> None:
    plan = clone.saltbranch("promote", PROD, "--plan", code=EXIT_PENDING)
    digest = plan[-1].split()[-1]
    clone.saltbranch("promote", PROD, "--expect", digest, "--yes")


def _hotfix(clone: Shell) -> None:
    clone.saltbranch("hotfix", "start", "1.0.1")
    repository.raise_timeout(clone.folder)
    _commit(clone, "KEY-43 The app gets more time")
    clone.saltbranch("hotfix", "finish", "--yes")


def _commit(clone: Shell, subject: str) -> None:
    clone.typed("git", "commit", "--all", "--message", subject)
    git = Git(str(clone.folder), work_tree=True)
    git.out("commit", "--quiet", "--no-verify", "--all", f"--message={subject}")
