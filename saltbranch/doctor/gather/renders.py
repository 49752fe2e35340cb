"""Render the top files that are served, for one minion of each saltenv, and read what earlier syncs found out."""

from __future__ import annotations

import time
from collections.abc import Iterator

from saltbranch.config.model import Config, Saltenv
from saltbranch.doctor.finding import Finding
from saltbranch.doctor.rules.rendering import Rendered, check
from saltbranch.git.mirror import Mirror
from saltbranch.preview import render_tops
from saltbranch.preview.repository_and_master import RepositoryAndMaster
from saltbranch.repository.commit_source import CommitSource
from saltbranch.salt_master.options import MasterOptions
from saltbranch.serve import verify
from saltbranch.serve.slots import Slots
from saltbranch.serve.verify import FAILS, PARTLY, REFUSED, UNKNOWN, Question


def look(config: Config, master: MasterOptions) -> Iterator[Finding]:
    """Every saltenv that serves something. Raises GitError."""
    mirror = Mirror(config.root)
    if not mirror.exists():
        return
    place = RepositoryAndMaster(config, CommitSource(mirror.git), master)
    for saltenv in config.saltenvs:
        slots = Slots(config.root, saltenv.dirname, mirror)
        slot = slots.served()
        commit = slots.head(slot) if slot else None
        if commit:
            yield from check(_rendered(place, saltenv, commit))


def _rendered(place: RepositoryAndMaster, saltenv: Saltenv, commit: str) -> Rendered:
    name, why = saltenv.name, {"failing": "", "unsure": "", "unknown": ""}
    question = Question(name, commit, sample=True)
    now = verify.decide(question, render_tops.answered(place, question))
    if now.outcome in (FAILS, PARTLY):
        why["failing"] = now.told()
    elif now.outcome == UNKNOWN and now.minions:
        why["unsure"] = now.why
    elif now.outcome == UNKNOWN and now.sandbox:
        why["unknown"] = now.why
    wanted = place.repository.wanted(saltenv, time.time()).commit
    last = verify.about(place.config.root, name, commit, wanted)
    if last is None:
        return Rendered(name, **why)
    if last.commit != commit:
        refused = last.outcome == REFUSED
        told = f"refused: {last.told()}" if refused else ""
        return Rendered(name, **why, refused=told, fix=last.hint() if refused else "")
    if last.outcome == UNKNOWN:
        return Rendered(name, **why, unverified=last.told())
    return Rendered(name, **why, known=last.told())
