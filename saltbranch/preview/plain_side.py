"""What a master with given options serves, found out by Salt itself: files, top matches, pillar and low chunks.

Asked of a process made for that, which keeps to itself whatever is pillar: only keyed digests come out of it, and the
paths of the keys. Pillar is rendered as the master does it at every request, with its rights; states in the sandbox.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from saltbranch.base import proc, scratch
from saltbranch.base.errors import SaltbranchError, SaltError
from saltbranch.compiler import plain as plain_compiler
from saltbranch.compiler.inside import drop_rights
from saltbranch.compiler.inside.mask import SHORTEST_SECRET, Mask, plain, texts
from saltbranch.salt_master import served_files
from saltbranch.salt_master.served_files import Server, View

_PATIENCE = 7200  # seconds; it fetches, and compiles every minion
# What of an error can hold no pillar: names of files.
_TELLING = re.compile(
    r"Rendering SLS '[^']{1,200}' failed|No matching sls found for '[^']{1,200}' in env '[^']{1,64}'"
    r"|Specified SLS '?[^' ]{1,200}'? in saltenv '?[^' ]{1,64}'? is not available|[Dd]etected conflicting IDs"
)
_BESIDE = ("__env__", "order", "__sls_included_from__")


@dataclass(frozen=True, slots=True)
class Low:
    """A low chunk. key: what it is, without what is pillar. exact: digest of all of it; loose: of what does not
    depend on the saltenv and on the states around it.
    """

    key: str
    sls: str
    exact: str
    loose: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a minion gets. saltenv: the one that it is pinned to. top: saltenv to sls. pillar: path to digest.

    error: why pillar or states are not known; they are then None or what there is of them.
    """

    minion: str
    saltenv: str | None
    top: Mapping[str, tuple[str, ...]]
    pillar: Mapping[str, str] | None
    low: tuple[Low, ...] | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Served:
    """saltenvs: to path to hash. targets: globs of the top files by the saltenv that they are for, as far as these
    are plain YAML. seen: by the name of the view. others: file servers that were not asked. problems: errors that Salt
    logged, without secrets.
    """

    saltenvs: Mapping[str, Mapping[str, str]]
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seen: Mapping[str, Seen] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def ask(
    salt_config: str,
    changes: Mapping[str, Any],
    key: bytes,
    say: Callable[[str], None] | None = None,
) -> Served:
    """What the master of `salt_config` serves. changes: options that take the place of what its files say.

    key: of the digests; two answers are compared with the same one. Raises SaltError, SandboxError.
    """
    with scratch.folder("saltbranch-scratch-compile-adopt-") as made:
        os.chmod(made.path, 0o711)  # noqa: S103 - the master's user has a folder of its own in there
        job = {
            "salt_config": salt_config,
            "changes": dict(changes),
            "key": key.hex(),
            "folder": made.path,
        }
        code = "from saltbranch.preview import plain_side; plain_side.main()"
        done = proc.run(
            proc.python(code),
            os.environ,
            timeout=_PATIENCE,
            stdin=json.dumps(job, default=str).encode(),
            progress=say,
        )
    if done.code != 0:
        last = f"no answer in {_PATIENCE} s" if done.timed_out else _last(done)
        raise SaltError(f"Salt could not be asked what it serves: {last}")
    told = json.loads(done.text)
    if "problem" in told:
        raise SaltError(told["problem"], hint=told["hint"])
    return _served(told)


def _last(done: proc.Finished) -> str:
    """The kind of the exception alone: its text may quote a pillar, or a URL with a password."""
    last = (done.complaint.splitlines() or [f"it ended with {done.code}"])[-1]
    return last.partition(":")[0][:100]


def _served(told: Mapping[str, Any]) -> Served:
    seen = {
        name: Seen(
            minion=row["minion"],
            saltenv=row["saltenv"],
            top={env: tuple(sls) for env, sls in row["top"].items()},
            pillar=row["pillar"],
            low=None if row["low"] is None else tuple(Low(*low) for low in row["low"]),
            error=row["error"],
        )
        for name, row in told["seen"].items()
    }
    targets = {env: tuple(globs) for env, globs in told["targets"].items()}
    return Served(told["saltenvs"], targets, seen, tuple(told["others"]), tuple(told["problems"]))


def main() -> None:
    """Answer the question on stdin, as `ask` puts it, on stdout."""
    drop_rights.end_with_parent()
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever else writes to stdout must not get into the answer
    job = json.load(sys.stdin)
    try:
        told = _answered(job)
    except SaltbranchError as err:
        told = {"problem": err.message, "hint": err.hint}
    with open(answer, "w", encoding="utf-8", errors="replace") as out:
        json.dump(told, out)


def _answered(job: Mapping[str, Any]) -> dict[str, Any]:
    mask = Mask(bytes.fromhex(job["key"]))
    folder = f"{job['folder']}/work"
    user = served_files.user_of(job["salt_config"])
    served_files.make_folder(folder, user)
    told = served_files.as_user(user, lambda: _given_out(job, folder, mask))
    if "problem" in told:
        return told
    _Progress()("States", 0, 1)
    folders = {saltenv: f"{folder}/export/{saltenv}" for saltenv in told["saltenvs"]}
    minions, rows = told.pop("minions"), told["seen"]
    lows = plain_compiler.compile_plainly(folders, told.pop("options"), minions)
    for minion in minions:
        row, found = rows[minion["name"]], lows[minion["name"]]
        row["top"] = found["top"]
        row["low"] = _lows(found["low"], minion["pillar"], mask)
        row["error"] = row["error"] or _telling(found["error"])
    return {**told, "targets": dict(_targets(f"{folder}/export", told["saltenvs"]))}


def _given_out(job: Mapping[str, Any], folder: str, mask: Mask) -> dict[str, Any]:
    """What the master gives out, with its user's rights: files and pillar, and what states are compiled with."""
    try:
        server = Server(job["salt_config"], job["changes"], folder)
        say = _Progress()
        saltenvs = server.files(f"{folder}/export", say)
        server.fetch_pillar()
        rows, minions = {}, []
        views = list(server.views())
        for number, view in enumerate(views):
            say("Pillar", number, len(views))
            rows[view.name], minion = _with_pillar(server, view, mask)
            if minion:
                minions.append(minion)
    except SaltbranchError as err:
        return {"problem": err.message, "hint": err.hint}
    options = {k: server.opts[k] for k in served_files.MINION_OPTIONS if k in server.opts}
    return {
        "saltenvs": saltenvs,
        "seen": rows,
        "minions": minions,
        "options": plain(options),
        "others": server.others,
        "problems": list(dict.fromkeys(server.problems)),
    }


def _with_pillar(
    server: Server, view: View, mask: Mask
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The row of `view`, and what its states are compiled with."""
    row: dict[str, Any] = {"minion": view.minion, "saltenv": view.saltenv, "top": {}}
    row |= {"pillar": None, "low": None, "error": ""}
    try:
        pillar = plain(server.pillar(view))
    except Exception as err:  # noqa: BLE001 - whatever an external pillar raises
        row["error"] = f"its pillar cannot be rendered: {type(err).__name__}"
        return row, None
    errors = pillar.pop("_errors", None)
    if errors:
        row["error"] = _telling("; ".join(map(str, errors)), "its pillar has errors")
    row["pillar"] = mask.pillar(pillar)
    given = {"name": view.name, "id": view.minion, "saltenv": view.saltenv}
    return row, {**given, "grains": plain(view.grains), "pillar": pillar}


def _lows(low: list[Any] | None, pillar: Any, mask: Mask) -> list[list[str]] | None:
    if low is None:
        return None
    secrets = sorted((t for t in set(texts(pillar)) if len(t) >= SHORTEST_SECRET), key=len)
    return [
        [
            _without(f"{c['state']}.{c['fun']} {c['__id__']}", secrets),
            str(c.get("__sls__", "")),
            mask.digest(c),
            mask.digest({k: v for k, v in c.items() if k not in _BESIDE}),
        ]
        for c in low
    ]


def _without(text: str, secrets: list[str]) -> str:
    for secret in reversed(secrets):
        text = text.replace(secret, "***")
    return text


def _telling(error: str, instead: str = "its states have errors") -> str:
    """What may be said of an error, which may quote pillar."""
    if not error:
        return ""
    found = _TELLING.findall(error)
    return "; ".join(dict.fromkeys(found)) or instead


def _targets(export: str, saltenvs: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """The globs that top files have for each saltenv."""
    found: dict[str, list[str]] = {}
    for saltenv in saltenvs:
        try:
            with open(f"{export}/{saltenv}/top.sls", encoding="utf-8") as file:
                top = yaml.safe_load(file)
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue  # it is made by a template, or is none
        for section, targets in top.items() if isinstance(top, dict) else ():
            for target, items in targets.items() if isinstance(targets, dict) else ():
                listed = items if isinstance(items, list) else []
                kinds = [i["match"] for i in listed if isinstance(i, dict) and "match" in i]
                if isinstance(target, str) and kinds in ([], ["glob"]):
                    found.setdefault(str(section), []).append(target)
    yield from found.items()


class _Progress:
    """Tells the parent how far it is, on stderr, a line for each percent."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, what: str, number: int, of: int) -> None:
        word = what.split()[0]
        line = f"{word}: {100 * number // max(1, of)}%"
        if line != self._last:
            self._last = line
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
