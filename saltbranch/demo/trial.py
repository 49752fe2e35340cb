"""The demo's last part: a test minion runs a branch that is not merged, by a lab, and is as it was afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from saltbranch.demo import repository
from saltbranch.demo.cluster import Cluster
from saltbranch.demo.minions import look, run_highstate, show_changes
from saltbranch.demo.place import Place
from saltbranch.demo.proof import Seen
from saltbranch.demo.shell import Shell
from saltbranch.demo.steps import Steps
from saltbranch.git.program import Git

MINION: Final = "test1"
LAB: Final = "lab1"
_SUBJECT: Final = "KEY-44 A greeting in the motd"


def trial(place: Place, cluster: Cluster, steps: Steps, before: Sequence[Seen]) -> list[str]:
    """Show it; everything that speaks against the proof. before: what the minions have.

    The lab is left in use: emptying it takes 15 s, for which nobody should have to wait here.
    Raises SaltError, GitError, SaltbranchError.
    """
    problems: list[str] = []
    title = f"A lab: {MINION} runs a feature branch that is not merged, and is itself again"
    with steps.step(title, problems) as note:
        clone = Shell("clone$", place.clone, note, {"XDG_CACHE_HOME": str(place.cache)})
        clone.saltbranch("feature", "start", "key-44-greeting", "--lab")
        repository.greet(place.clone)
        clone.typed("git", "commit", "--all", "--message", _SUBJECT)
        git = Git(str(place.clone), work_tree=True)
        git.out("commit", "--quiet", "--no-verify", "--all", f"--message={_SUBJECT}")
        clone.saltbranch("feature", "publish")
        git.out("checkout", "--quiet", "develop")
        variables = {"SALTBRANCH_CONFIG": str(place.config)}
        master = Shell("master#", place.folder, note, variables)
        master.saltbranch("sync")
        master.typed("salt", MINION, "state.apply", f"saltenv={LAB}")
        during = run_highstate(place, cluster, MINION, saltenv=LAB)
        show_changes([during], note, indent="    ")
        problems += _not_tried(during)
        master.typed("salt", "*", "state.apply")
        after = look(place, cluster)
        show_changes(after, note, indent="    ")
        problems += _not_as_before(before, after)
        if not problems:
            note(f"proof: {MINION} had what the branch has, and now all have what they had before")
    return problems


def _not_tried(during: Seen) -> Iterator[str]:
    yield from (f"{MINION}: {state}" for state in during.failed)
    for text in (repository.GREETING, f"saltenv {LAB}\n"):
        if text not in during.files.get("etc/motd", ""):
            yield f"{MINION}: /etc/motd does not say {text.strip()!r} when it asks for {LAB}"


def _not_as_before(before: Sequence[Seen], after: Sequence[Seen]) -> Iterator[str]:
    for old, new in zip(before, after, strict=True):
        yield from (f"{new.minion}: {state}" for state in new.failed)
        if old.files != new.files or old.pillar != new.pillar:
            yield f"LEAK: {new.minion} is not as it was before the lab"
        if new.minion != MINION and new.changed:
            yield f"LEAK: the lab changed {', '.join(new.changed)} on {new.minion}"
