"""fleet record --returns: ask minions for what their own highstates call and nobody recorded.

Asked is what the commit calls that a minion's saltenv serves anyway, and of that only what is known to look and not
to act (`compiler.read_only_functions`): the minion itself runs the rest at its next highstate, but not for our sake.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from saltbranch.base import files
from saltbranch.base.errors import SaltError
from saltbranch.compiler import pool, read_only_functions
from saltbranch.compiler.inside import neutral
from saltbranch.compiler.model import Minion
from saltbranch.compiler.read_only_functions import ACTING
from saltbranch.preview import compare, fleet
from saltbranch.preview.fleet import plain
from saltbranch.preview.repository_and_master import RepositoryAndMaster
from saltbranch.salt_master import options as master_options

_SECONDS = 20
_ROUNDS = 5
"""An answer may lead a template to the next question."""
# Of a command, words that tell of a secret in its output.
_SECRET = re.compile(
    r"vault|sdb|secret|passwor|passwd|shadow|passphrase|token|api_?key|credential|private|printenv",
    re.IGNORECASE,
)
HIDDEN = "an argument is a value of the pillar"
SECRET = "by its words it answers with a secret"
SILENT = "no answer"


@dataclass(frozen=True, slots=True)
class Asked:
    """recorded: by minion, the keys of `returns` that were added. left: call and minion to why it was not."""

    recorded: Mapping[str, tuple[str, ...]]
    left: Mapping[tuple[str, str], str]


def ask(
    place: RepositoryAndMaster, folder: str, minions: Sequence[Minion], *, acting: bool
) -> Asked:
    """Add what `minions` answer to `returns` in their files in `folder`; what stands there stays.

    acting: also functions that act. Raises SaltError, SandboxError, GitError.
    """
    known = {m.id: _returns(f"{folder}/{m.id}.yaml") for m in minions}
    before = {name: set(returns) for name, returns in known.items()}
    left: dict[tuple[str, str], str] = {}
    for _ in range(_ROUNDS):
        wanted: dict[str, list[str]] = {}
        for call, minion in _calls(place, [replace(m, returns=known[m.id]) for m in minions]):
            if (why := _reason(call, acting=acting)) or (call, minion) in left:
                left.setdefault((call, minion), why or SILENT)
            else:
                wanted.setdefault(call, []).append(minion)
        for call, ids in wanted.items():
            answers = _answers(place, call, ids)
            for minion in ids:
                if minion in answers:
                    known[minion][call] = plain(answers[minion])
                else:
                    left[call, minion] = SILENT
        if not wanted:
            break
    added = {name: tuple(sorted(set(known[name]) - before[name])) for name in known}
    for name, calls in added.items():
        if calls:
            _write(f"{folder}/{name}.yaml", known[name])
    return Asked({name: calls for name, calls in added.items() if calls}, left)


def _calls(place: RepositoryAndMaster, minions: Sequence[Minion]) -> Iterator[tuple[str, str]]:
    """What the highstates of `minions`, as they are served now, call without an answer."""
    frame, now = compare.frame_of(place), time.time()
    for saltenv in place.config.saltenvs:
        own = [m for m in minions if m.saltenv == saltenv.name]
        commit = place.repository.wanted(saltenv, now).commit if own else None
        if commit is None:
            continue
        results = pool.compile_each(
            frame,
            frame.tree(place.repository.git, commit),
            own,
            jobs=os.cpu_count() or 1,
            cache=compare.cache_of(place.config, enabled=True),
        )
        yield from ((call, result.minion) for result in results for call in result.asked)


def _reason(call: str, *, acting: bool) -> str | None:
    """Why a minion is not asked for `call`; None when it is."""
    found = neutral.parsed(call)
    if found is None:
        return HIDDEN
    function, args, kwargs = found
    if function in ACTING and _SECRET.search(call):
        return SECRET
    return read_only_functions.reason(function, args, kwargs, acting=acting)


def _answers(place: RepositoryAndMaster, call: str, minions: Sequence[str]) -> dict[str, Any]:
    found = neutral.parsed(call)
    if found is None:
        return {}
    answers = master_options.ask(place.master, minions, *found, seconds=_SECONDS)
    accounts = found[0].startswith(("user.", "group."))
    return (
        {name: _without_password(value) for name, value in answers.items()} if accounts else answers
    )


def _without_password(value: Any) -> Any:
    """What is known of accounts, without what some systems tell root there."""
    if isinstance(value, list):
        return [_without_password(one) for one in value]
    if isinstance(value, dict):
        return {k: "x" if k == "passwd" else _without_password(v) for k, v in value.items()}
    return value


def _returns(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        return dict(yaml.safe_load(file).get("returns") or {})


def _write(path: str, returns: Mapping[str, Any]) -> None:
    with open(path, encoding="utf-8") as file:
        data = yaml.safe_load(file)
    text = fleet.as_text({**data, "returns": dict(returns)})
    try:
        files.write_atomic(path, text, mode=0o644)
    except OSError as err:
        raise SaltError(f"cannot write {path}: {err.strerror}") from err
