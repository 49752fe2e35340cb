"""flow init: take over the names that git-flow AVH or git-flow-next were told, from git's configuration."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass

import yaml

from saltbranch.base import files
from saltbranch.base.errors import ConfigError, RefusedError
from saltbranch.config import locate
from saltbranch.config.check import check_flow
from saltbranch.config.keys import FileModel, FlowModel
from saltbranch.config.read import parse_file
from saltbranch.git.program import Git
from saltbranch.repository import clone as clones

# Key of `flow:` to the keys of git-flow AVH (gitflow.prefix.*) and git-flow-next (gitflow.branch.*.prefix).
_PREFIXES = {
    "feature": ("gitflow.prefix.feature", "gitflow.branch.feature.prefix"),
    "release": ("gitflow.prefix.release", "gitflow.branch.release.prefix"),
    "hotfix": ("gitflow.prefix.hotfix", "gitflow.branch.hotfix.prefix"),
    "version_tag": ("gitflow.prefix.versiontag", "gitflow.branch.release.tagprefix"),
}
# git-flow AVH. git-flow-next has gitflow.branch.NAME.type and .parent instead.
_PRODUCTION = ("gitflow.branch.master", "gitflow.branch.main", "gitflow.branch.production")
_DEVELOP = ("gitflow.branch.develop",)
_NEXT = re.compile(r"gitflow\.branch\.(?P<name>.+)\.type")


@dataclass(frozen=True, slots=True)
class FlowInit:
    """What was found and what the file gets. text: the lines to add, empty when they are there already."""

    path: str
    source: str
    flow: dict[str, str]
    branches: dict[str, str]
    text: str
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {"version": 1, **asdict(self)}


def flow_init(
    folder: str,
    *,
    show: Callable[[FlowInit], None],
    agree: Callable[[str], None],
    plan: bool = False,
) -> FlowInit:
    """Take over what git-flow was told in the clone around `folder`.

    show: looks at what was found. agree: is told the file that is to be written, and raises RefusedError when it shall
    not be. plan: only say what would be written. Raises RefusedError, ConfigError, GitError.
    """
    found = _plan(folder)
    show(found)
    if found.text and not plan:
        agree(found.path)
        _apply(found)
    return found


def _plan(cwd: str) -> FlowInit:
    """What the clone around `cwd` was told of git-flow. Raises RefusedError, ConfigError, GitError."""
    clone = clones.find(cwd)
    if clone is None:
        raise RefusedError(
            f"{cwd} is not in a clone", hint="change to a clone of the control repository"
        )
    clone.refuse_writing()
    known = _settings(clone.git)
    path = f"{clone.folder}/{locate.FILE_NAME}"
    flow = {key: v for key, names in _PREFIXES.items() if (v := _first(known, names)) is not None}
    if "gitflow.branch.release.type" in known:
        flow.setdefault("version_tag", "")  # what git-flow-next tags with when it was told nothing
    check_flow(FlowModel(**flow), f"git's configuration of {clone.folder}")
    branches = _branches(known)
    text = (files.read_or_none(path) or b"").decode("utf-8", "replace")
    there = parse_file(text, path)
    wanted = {**asdict_flow(there.flow), **flow}
    text = (
        ""
        if wanted == asdict_flow(there.flow)
        else yaml.safe_dump({"flow": wanted}, sort_keys=False)
    )
    source = (
        "git-flow-next"
        if any(k.endswith((".prefix", ".tagprefix", ".type")) for k in known)
        else "git-flow AVH"
    )
    return FlowInit(
        path=path,
        source=source if known else "",
        flow=flow,
        branches=branches,
        text=text,
        notes=tuple(_notes(there, branches, known)),
    )


def _branches(known: dict[str, str]) -> dict[str, str]:
    """The persistent branches, by what git-flow calls them."""
    bases = [m["name"] for k, v in known.items() if (m := _NEXT.fullmatch(k)) and v == "base"]
    if bases:
        parents = {b: known.get(f"gitflow.branch.{b}.parent", "").lower() for b in bases}
        roots = [b for b in bases if not parents[b]]
        return {
            "develop" if parents[b] in roots else "production": b
            for b in bases
            if b in roots or parents[b] in roots
        }
    found = (("develop", _first(known, _DEVELOP)), ("production", _first(known, _PRODUCTION)))
    return {role: branch for role, branch in found if branch}


def asdict_flow(flow: FlowModel) -> dict[str, str]:
    """The keys of `flow:`."""
    return {key: getattr(flow, key) for key in _PREFIXES}


def _settings(git: Git) -> dict[str, str]:
    done = git.run("config", "--null", "--get-regexp", r"^gitflow\.")
    pairs = (entry.partition("\n") for entry in done.text.split("\0") if entry)
    return {key.lower(): value for key, _, value in pairs}


def _first(known: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((known[n] for n in names if n in known), None)


def _notes(there: FileModel, branches: dict[str, str], known: dict[str, str]) -> list[str]:
    if not known:
        return ["git's configuration has no gitflow.* settings here: the usual prefixes count"]
    served = [s.branch for s in (there.saltenvs or {}).values()]
    notes = [
        f"git-flow's {role} branch is {branch!r}, which no saltenv of the file has"
        for role, branch in branches.items()
        if there.saltenvs and branch not in served
    ]
    if there.saltenvs is None:
        notes.append("the file names no saltenvs: saltbranch init writes an example")
    return notes


def _apply(found: FlowInit) -> None:
    """Write `flow:` into the clone's saltbranch.yaml. Raises RefusedError when there is one that says otherwise."""
    data = files.read_or_none(found.path)
    old = data.decode("utf-8") if data else ""
    if any(line.startswith("flow:") for line in old.splitlines()):
        raise RefusedError(
            f"{found.path} has its own flow:, which differs",
            hint=f"put there:\n{found.text}",
        )
    joint = "" if not old or old.endswith("\n") else "\n"
    new = f"{old}{joint}{found.text}"
    try:
        parse_file(new, found.path)
    except ConfigError as err:
        raise RefusedError(
            f"{found.path} is not written so that lines could be added to its end",
            hint=f"put there:\n{found.text}",
        ) from err
    files.write_atomic(found.path, new, mode=0o644)
