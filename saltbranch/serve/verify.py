"""Whether the top files of a commit render for the minions of its saltenv, asked before it is served.

A commit whose top files fail leaves every `state.apply` without states, and nothing else would say so. So they are
rendered beforehand, by the compiler's sandbox in a process of its own (preview/render_tops.py), once for a commit and
a fleet: the verdict is kept below ``state/verified``, one file for each saltenv.

A commit is refused only where it is known to be at fault: no minion renders, each because of the commit, and what is
served does render for one of them. An answer that was made up, an external pillar, a compile that was stopped: then
nothing is known, which is said. Which model counts is another matter: git alone decides it, on all machines alike.

Loaded by a sync that switches a saltenv with `verify_switch`, by `status` and by `doctor`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, get_args

from saltbranch.base import files, proc
from saltbranch.base.errors import SaltbranchError
from saltbranch.base.text import many, printable

Outcome = Literal["renders", "partly", "fails", "refused", "unknown", "unmatched"]
RENDERS: Final = "renders"
PARTLY: Final = "partly"
FAILS: Final = "fails"
REFUSED: Final = "refused"
UNKNOWN: Final = "unknown"
UNMATCHED: Final = "unmatched"
_LIMIT = 120  # seconds for all of it: the lock of the root is held meanwhile
_AGAIN = 600  # seconds that a verdict holds at least while only the grains of minions change
_MOST = 10  # failures that are kept
_LONGEST = 300  # characters of an error


@dataclass(frozen=True, slots=True)
class Question:
    """What to render. commit: for which the question is; served: what is served now, or empty.

    mode: as `verify_switch`. sample: for one minion only, whose grains need not be known.
    """

    saltenv: str
    commit: str
    served: str = ""
    mode: str = "top"
    sample: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """An error, the file that it is about, the first minion that has it, and how many have it."""

    minion: str
    file: str
    error: str
    minions: int = 1

    def shown(self) -> str:
        """In one line."""
        more = f" and {self.minions - 1} more" if self.minions > 1 else ""
        return f"{self.minion}{more}: {self.file}: {self.error}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a question. outcome: RENDERS, PARTLY (for some minions it fails), FAILS (for all, and so does what
    is served, or nothing is), REFUSED, UNMATCHED (it renders, and nothing in it is for any minion), or UNKNOWN.

    why: with UNKNOWN, the reason. minions: asked about; failing: of these, those that fail because of the commit.
    sandbox: whether there is one. time: seconds since 1970. key, watch: what it follows from.
    """

    saltenv: str
    commit: str
    served: str
    mode: str
    outcome: Outcome
    why: str = ""
    minions: int = 0
    failing: int = 0
    failures: tuple[Failure, ...] = ()
    sandbox: bool = True
    time: float = 0.0
    key: str = ""
    watch: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {
            "commit": self.commit,
            "served": self.served or None,
            "mode": self.mode,
            "outcome": self.outcome,
            "why": self.why or None,
            "minions": self.minions,
            "failing": self.failing,
            "failures": [asdict(failure) for failure in self.failures],
        }

    @property
    def what(self) -> str:
        """What was rendered."""
        return "highstates" if self.mode == "fleet" else "top files"

    def told(self) -> str:
        """In one line, what a person has to know; empty where all is well."""
        if self.outcome == RENDERS:
            return ""
        if self.outcome == UNKNOWN:
            return f"not verified: {self.why}"
        if self.outcome == UNMATCHED:
            whom = (
                f"none of the {self.minions} minions" if self.minions > 1 else "not the only minion"
            )
            return f"the top file of {self.commit[:12]} gives states to {whom} of {self.saltenv} known here"
        whom = many(self.minions, "minion")
        whom = f"all {whom}" if self.failing == self.minions > 1 else f"{self.failing} of {whom}"
        shown = "; ".join(failure.shown() for failure in self.failures[:3])
        more = f"; and {len(self.failures) - 3} more" if len(self.failures) > 3 else ""
        but = f", unlike those of {self.served[:12]}" if self.outcome == REFUSED else ""
        return f"the {self.what} of {self.commit[:12]} fail for {whom} of {self.saltenv}{but}: {shown}{more}"

    def hint(self) -> str:
        """What to do about a refusal."""
        return (
            "push a commit that fixes it, which is served then; to serve this one all the same:"
            f" saltbranch hold {self.saltenv} --at {self.commit[:12]} --reason TEXT,"
            f" then saltbranch unhold {self.saltenv}"
        )


def verdict(
    root: str,
    config_path: str,
    question: Question,
    *,
    sources: str,
    anew: bool,
    keep: bool,
) -> Verdict:
    """The kept verdict, or a new one. Raises nothing that is expected.

    sources: changes with the model and with the configuration. anew: whatever was kept. keep: write it down.
    """
    key = f"{question.commit} {question.served or '-'} {question.mode} {sources}"
    last, now = load(root, question.saltenv), time.time()
    if last and last.key == key and not anew and _holds(last, now):
        return last
    found = decide(question, ask(config_path, [question])[0], key=key, now=now)
    if keep:
        save(root, found)
    return found


def _holds(last: Verdict, now: float) -> bool:
    if 0 <= now - last.time < _AGAIN:
        return True
    return bool(last.watch) and all(files.signature(path) == seen for path, seen in last.watch)


def ask(config_path: str, questions: Sequence[Question]) -> list[dict[str, Any]]:
    """One answer for each question, of the process that renders; see `decide`. Raises nothing that is expected."""
    asked = {"config": config_path, "questions": [asdict(question) for question in questions]}
    # It ends with us, from its first moment on.
    code = (
        "import os; from saltbranch.compiler.inside import drop_rights; drop_rights.end_with_parent();"
        " os.getppid() == int(sys.argv[1]) or sys.exit(1);"
        " from saltbranch.preview import render_tops; render_tops.main()"
    )
    argv = proc.python(code, str(os.getpid()))
    try:
        done = proc.run(argv, os.environ, timeout=_LIMIT, stdin=json.dumps(asked).encode())
    except SaltbranchError as err:
        return [{"why": err.message}] * len(questions)
    if done.timed_out:
        return [{"why": f"it was stopped after {_LIMIT} s"}] * len(questions)
    try:
        answers = json.loads(done.out) if done.code == 0 else None
    except ValueError:
        answers = None
    if not isinstance(answers, list) or len(answers) != len(questions):
        last = done.complaint.splitlines()[-1:] or [f"exit {done.code}"]
        return [{"why": f"the rendering process failed: {last[0]}"}] * len(questions)
    return answers


def decide(
    question: Question, answer: Mapping[str, Any], *, key: str = "", now: float = 0.0
) -> Verdict:
    """The verdict that follows from an answer.

    answer: `why` nothing is known; else `new` and `served`, each a list of ``{"id", "errors": [{"file", "error"}],
    "doubt", "matched"}``, of which `served` may be empty where it does not matter; `watch`; `sandbox`. doubt: why
    the errors may have another cause than the commit. matched: whether the top file of the states has something for
    the minion.
    """
    known = Verdict(
        saltenv=question.saltenv,
        commit=question.commit,
        served=question.served,
        mode=question.mode,
        outcome=UNKNOWN,
        why=_clean(answer.get("why") or ""),
        sandbox=bool(answer.get("sandbox", True)),
        time=now,
        key=key,
        watch=tuple((str(path), str(seen)) for path, seen in answer.get("watch") or ()),
    )
    rows = answer.get("new") or []
    failed = [row for row in rows if row["errors"]]
    sure = [row for row in failed if not row["doubt"]]
    if known.why:
        return known
    counted = replace(known, minions=len(rows), failing=len(sure))
    if sure:
        counted = replace(counted, failures=_failures(sure))
        if len(sure) < len(rows):
            return replace(counted, outcome=PARTLY)
        renders = any(not row["errors"] for row in answer.get("served") or ())
        return replace(counted, outcome=REFUSED if renders else FAILS)
    if failed:
        first = _failures(failed)[0].shown()
        return replace(counted, why=f"{first} ({_clean(failed[0]['doubt'])})")
    matched = any(row.get("matched", True) for row in rows)
    return replace(counted, outcome=RENDERS if matched else UNMATCHED)


def _failures(rows: Sequence[Mapping[str, Any]]) -> tuple[Failure, ...]:
    """The errors of `rows`, those that most minions have first."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for error in row["errors"]:
            place = _clean(error["file"]), _clean(error["error"])
            found.setdefault(place, []).append(_clean(row["id"]))
    listed = sorted(found.items(), key=lambda item: -len(item[1]))
    return tuple(Failure(ids[0], file, error, len(ids)) for (file, error), ids in listed[:_MOST])


def _clean(text: object) -> str:
    """What strangers wrote, in one line."""
    short = " ".join(str(text).split())
    return printable(short if len(short) <= _LONGEST else f"{short[:_LONGEST]}...")


def path(root: str, saltenv: str) -> str:
    """The file of the verdict on the last commit that `saltenv` was to be switched to; a cache."""
    return f"{root}/state/verified/{saltenv}"


def load(root: str, saltenv: str) -> Verdict | None:
    """The kept verdict; None where there is none, or the file is torn."""
    try:
        data = json.loads(files.read_or_none(path(root, saltenv)) or b"null")
        if data["outcome"] not in get_args(Outcome):
            return None
        data["failures"] = tuple(Failure(**item) for item in data["failures"])
        data["watch"] = tuple((name, seen) for name, seen in data["watch"])
        return Verdict(**data)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def save(root: str, found: Verdict) -> None:
    """Keep it. A full disk is not a reason to fail."""
    try:
        os.makedirs(f"{root}/state/verified", exist_ok=True)
        files.write_atomic(path(root, found.saltenv), json.dumps(asdict(found)), durable=False)
    except OSError:
        pass


def about(root: str, saltenv: str, *commits: str | None) -> Verdict | None:
    """The kept verdict where it is on one of `commits`: what is served, or what is to be."""
    found = load(root, saltenv)
    return found if found and found.commit in commits else None
