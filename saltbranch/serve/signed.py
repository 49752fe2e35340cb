"""Whether allowed signers vouch for what a saltenv with `require_signed` is to serve, and what is remembered of it.

Loaded by a sync that switches such a saltenv, and by `status`. What decides is in repository/vouched.py.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field

from saltbranch.base import files
from saltbranch.base.errors import RefusedError
from saltbranch.base.text import one_line
from saltbranch.config.signers import of_text
from saltbranch.git.mirror import PRODUCTION, ref_name
from saltbranch.repository import prepared, signers
from saltbranch.repository.production_signers import ProductionRule
from saltbranch.repository.signers import Allowed
from saltbranch.repository.vouched import KEPT, MERGED, MOST, Found, Judge, Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from saltbranch.serve.run import Job, Run

_FORMAT = "saltbranch signed 1"
# Commits of which something is remembered: whoever may push can make them by the thousand.
_MOST = 2 * MOST


@dataclass(slots=True)
class Memory:
    """Of one saltenv. accepted: the newest commit that was served while it had to be vouched for; by: who signed it
    and what came with it. known: as vouched.Judge. seen: commit to when it was first judged here, in seconds since
    1970.
    """

    accepted: str = ""
    by: list[str] = field(default_factory=list)
    known: dict[tuple[str, str], str] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)

    def first_seen(self, commit: str) -> float:
        """When that was; now, for one that is new."""
        return self.seen.setdefault(commit, time.time())


def path(root: str, saltenv: str) -> str:
    """The file of it. Without it the commit that is served counts as the one accepted last."""
    return f"{root}/state/signed/{saltenv}"


def load(root: str, saltenv: str) -> Memory:
    """What is remembered; nothing where the file is torn. Raises OSError."""
    data = files.read_or_none(path(root, saltenv)) or b""
    lines = data.decode("utf-8", "replace").split("\n")
    found = Memory()
    if lines[0] != _FORMAT or lines[-1] != "end":
        return found
    for line in lines[1:-1]:
        kind, *words = line.split("\t")
        if kind == "accepted" and words:
            found.accepted, found.by = words[0], words[1:]
        elif kind == "known" and len(words) == 3:
            found.known[words[0], words[1]] = words[2]
        elif kind == "seen" and len(words) == 2 and words[1].isdigit():
            found.seen[words[0]] = int(words[1])
    return found


def _save(root: str, saltenv: str, memory: Memory) -> None:
    lines = [_FORMAT, "\t".join(("accepted", memory.accepted, *map(one_line, memory.by)))]
    lines += [
        f"known\t{c}\t{id_}\t{one_line(by)}" for (c, id_), by in [*memory.known.items()][-_MOST:]
    ]
    lines += [f"seen\t{commit}\t{int(when)}" for commit, when in [*memory.seen.items()][-_MOST:]]
    os.makedirs(f"{root}/state/signed", exist_ok=True)
    files.write_atomic(path(root, saltenv), "\n".join([*lines, "end"]), durable=False)


def vouch(run: Run, job: Job, *, keep: bool) -> str:
    """Refuse a commit that nobody vouches for; else who signed what is new, in words.

    A hold counts no more than a branch: the journal, in which it stands, is written by whoever may push.
    keep: remember what was found out. Raises RefusedError, GitError, SaltbranchError.
    """
    result, new = job.result, job.result.new
    if not job.saltenv.signed or new is None or (new == result.old and not _is_lab(job)):
        return ""
    root, memory = run.ready.root, load(run.ready.root, job.saltenv.name)
    if run.say:
        run.say(f"looking at who signed {new[:12]}")
    texts = json.loads(job.saltenv.signed) if _is_lab(job) else [job.saltenv.signed]
    for text in texts:
        found = _judge(run, job, memory, new, text)
        if found.refusal:
            break
    if keep:
        _save(root, job.saltenv.name, memory)
    if found.refusal:
        raise RefusedError(found.refusal, hint=found.hint)
    result.signed_by = found.people
    return found.told()


def _is_lab(job: Job) -> bool:
    return job.saltenv.dirname == prepared.lab_folder(job.saltenv.name)


def _judge(run: Run, job: Job, memory: Memory, new: str, signed: str) -> Found:
    """signed: as `ServedSaltenv.signed`."""
    git, branch = run.mirror.git, job.saltenv.branch
    required, keeps = of_text(signed)
    model_branch = run.ready.model[0] if run.ready.model else ""
    production = (
        git.commit_or_none(f"{PRODUCTION}{ref_name(model_branch)}") if model_branch else None
    )

    def fixed(_at: str | None) -> Allowed:
        return signers.read(git, production, required, model_branch)

    if _is_lab(job):
        # What it serves may be of another branch, or of before; what its saltenvs serve was accepted.
        served = [run.served.get(s.dirname) for s in run.ready.saltenvs if s.signed]
        judge = Judge(git, fixed, keeps, memory.known, memory.first_seen)
        return judge.judge(new, None, [one.commit for one in served if one], production)
    old = job.result.old
    on_production = branch == model_branch and production is not None and bool(run.ready.vouched)
    rule: Rule = ProductionRule(git, branch, new) if on_production else fixed
    judge = Judge(git, rule, keeps, memory.known, memory.first_seen)
    before = memory.accepted or old
    if not on_production:
        return judge.judge(new, before, [old], production)
    # What counts of this branch was decided with the model (repository/accepted.py); here only who signed is new.
    found = judge.judge(new, production, [memory.accepted, old])
    return found if found.refusal else Found(judge.judge(new, before, [old]).vouchers)


def accept(run: Run, jobs: list[Job]) -> None:
    """Remember what `jobs` serve now as accepted, and nothing else any more. Raises OSError."""
    for job in jobs:
        new = job.result.new
        if not job.saltenv.signed or new is None:
            continue
        memory = load(run.ready.root, job.saltenv.name)
        git, last = run.mirror.git, memory.accepted
        is_older = bool(last) and bool(git.commit_or_none(last)) and git.is_ancestor(new, last)
        if is_older and job.result.why == "hold":
            continue  # it goes on from where it was
        by = [
            name
            for (commit, _), name in memory.known.items()
            if commit == new and name not in (MERGED, KEPT)
        ]
        by = [*job.result.signed_by] or by or (memory.by if last == new else [])
        _save(run.ready.root, job.saltenv.name, Memory(new, by))
