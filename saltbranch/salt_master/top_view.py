"""Which entries of a saltenv's top files apply to one minion, asked of a process made for that.

Values of the pillar never come back from there: only whether a target by pillar matches.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from saltbranch.base import proc, scratch
from saltbranch.base.errors import SaltError

_PATIENCE = 60  # seconds for importing Salt and evaluating two top files; a second or two is usual

# Not `-m`, which would look for modules in the current folder first. The argument says where ours
# are.

Nodegroups = Mapping[str, object]

# What a kind of target looks at beside the minion id (salt/matchers).
_NEEDS = {
    "glob": (),
    "list": (),
    "pcre": (),
    "grain": ("grains",),
    "grain_pcre": ("grains",),
    "ipcidr": ("grains",),
    "pillar": ("pillar",),
    "pillar_pcre": ("pillar",),
    "pillar_exact": ("pillar",),
    "data": ("the minion's own data store",),
    "range": ("a range server",),
    "resource": ("resources of the minion",),
    "managing_minion": ("resources of the minion",),
}
_ENGINES = {
    "G": "grain", "P": "grain_pcre", "S": "ipcidr", "I": "pillar", "J": "pillar_pcre", "R": "range",
    "T": "resource", "M": "managing_minion",
}  # fmt: skip
MATCHERS = frozenset((*_NEEDS, "nodegroup", "compound"))
# salt/utils/minions.py, TARGET_REX.
_WORD = re.compile(r"([GPIJ].?|[LNSERTM])@(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """One target of a top file. matches: None when that cannot be told, for the reason in `why`."""

    target: str
    match: str
    sls: tuple[str, ...]
    matches: bool | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class TopView:
    """A top file as one minion sees it. path: the generated file. problem: why there are no
    entries.
    """

    path: str
    entries: tuple[Entry, ...] = ()
    problem: str | None = None

    @property
    def sls(self) -> tuple[str, ...]:
        """The sls files that surely apply."""
        names = (name for entry in self.entries if entry.matches for name in entry.sls)
        return tuple(dict.fromkeys(names))

    @property
    def is_sure(self) -> bool:
        """Whether `sls` is all there is."""
        return self.problem is None and all(entry.matches is not None for entry in self.entries)

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "path": self.path,
            "entries": [{**asdict(entry), "sls": list(entry.sls)} for entry in self.entries],
            "problem": self.problem,
            "sls": list(self.sls),
            "is_sure": self.is_sure,
        }


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about one minion. Paths are absolute.

    states, pillar_roots: the folders of its saltenv, the generated top file's first. grains,
    pillar: None when they are not known. lent_file: the one that says which minions a lab has.
    """

    salt_config: str
    minion_id: str
    saltenv: str
    states_roots: tuple[str, ...]
    pillar_roots: tuple[str, ...]
    grains: Mapping[str, Any] | None
    pillar: Mapping[str, Any] | None
    lent_file: str = ""


def ask(question: Question) -> tuple[TopView, TopView]:
    """The top files for states and for pillar. Raises SaltError when Salt does not answer."""
    with scratch.folder("saltbranch-scratch-explain-") as made:
        folder = made.path
        path = f"{folder}/question"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(question), file, default=str)
        argv = proc.python(
            "from saltbranch.salt_master import top_view_child; top_view_child.main()", folder
        )
        done = proc.run(argv, os.environ, timeout=_PATIENCE)
    if done.code != 0:
        last = done.complaint.splitlines()[-1:] or [f"it ended with {done.code}"]
        why = f"no answer in {_PATIENCE} s" if done.timed_out else last[0]
        raise SaltError(f"the top files of {question.saltenv} could not be evaluated: {why}")
    states, pillar = (_view(data) for data in json.loads(done.text))
    return states, pillar


def _view(data: Mapping[str, Any]) -> TopView:
    entries = tuple(Entry(**{**row, "sls": tuple(row["sls"])}) for row in data["entries"])
    return TopView(data["path"], entries, data["problem"])


def needs(target: str, kind: str, nodegroups: Nodegroups) -> frozenset[str]:
    """What Salt looks at, beside the minion id, to match `target`: grains, pillar and others."""
    if kind in _NEEDS:
        return frozenset(_NEEDS[kind])
    if kind == "nodegroup":
        return needs_of_words(_definition(target, nodegroups), nodegroups, frozenset({target}))
    if kind.startswith("compound"):
        return needs_of_words(target.split(), nodegroups)
    return frozenset()


def _definition(group: str, nodegroups: Nodegroups) -> list[str]:
    words = nodegroups.get(group, ())
    if isinstance(words, str):
        return words.split()
    return [str(word) for word in words] if isinstance(words, (list, tuple)) else []


def needs_of_words(
    words: Iterable[str], nodegroups: Nodegroups, inside: frozenset[str] = frozenset()
) -> frozenset[str]:
    """The same for the words of a compound target. inside: nodegroups being expanded."""
    found: frozenset[str] = frozenset()
    for word in words:
        engine = _WORD.match(word.strip("()"))
        if engine is None:
            continue
        if engine[1] == "N" and engine[2] not in inside:
            inner = _definition(engine[2], nodegroups)
            found |= needs_of_words(inner, nodegroups, inside | {engine[2]})
        found |= frozenset(_NEEDS[_ENGINES.get(engine[1][0], "glob")])
    return found
