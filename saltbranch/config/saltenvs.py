"""The entries below `saltenvs:` checked, each alone and all together."""

from __future__ import annotations

import re

from saltbranch.base.durations import parse_duration
from saltbranch.base.errors import ConfigError, UsageError
from saltbranch.base.text import nearest
from saltbranch.config import drain
from saltbranch.config.batch_hooks import parse_hooks
from saltbranch.config.direct_pushes import ALLOW, POLICIES, REPORT
from saltbranch.config.gates import OF_THE_SALTENV_BEFORE, check_overridable, parse_gates
from saltbranch.config.keys import (
    VERIFY_FLEET,
    VERIFY_OFF,
    VERIFY_TOP,
    FollowModel,
    SaltenvModel,
)
from saltbranch.config.minions import find_overlap, parse_minions
from saltbranch.config.model import Saltenv, dirname
from saltbranch.config.signers import parse_required
from saltbranch.config.values import inside, no_branch
from saltbranch.config.verify import parse_checks
from saltbranch.git.program import branch_name_problem

# What a saltenv may be called: it is a folder name, a YAML key and a word on command lines.
_SALTENV = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
# Words with a meaning of their own inside a top file (salt/state.py, BaseHighState.top_matches).
_RESERVED = ("match", "order", "ignore_missing", "include", "subfilter")


def drain_seconds(text: str, where: str) -> float:
    """How long a switch waits for state runs, in seconds. Raises UsageError naming `where`."""
    seconds = parse_duration(text, where)
    if seconds > drain.LONGEST:
        raise UsageError(f"{where}: {text} is more than an hour", hint="for example 120s")
    return seconds


def saltenv_of(name: str, entry: SaltenvModel, path: str) -> Saltenv:
    """The entry `name` below `saltenvs:` of the file `path`, checked. Raises ConfigError."""
    if not _SALTENV.fullmatch(name) or name in _RESERVED:
        raise ConfigError(
            f"{path}: saltenvs.{name}: not a usable name for a saltenv",
            hint="letters, digits, '_', '-' and '.', starting with a letter or digit, 64 at most;"
            f" none of {', '.join(_RESERVED)}",
        )
    if problem := branch_name_problem(entry.branch):
        raise no_branch(f"saltenvs.{name}.branch", entry.branch, problem, path)
    return Saltenv(
        name=name,
        branch=entry.branch,
        dirname=dirname(entry.branch),
        minions=parse_minions(entry.minions, f"{path}: saltenvs.{name}.minions"),
        promote_from=entry.promote_from,
        protected=entry.protected,
        follow=follow_pattern(entry.follow, f"{path}: saltenvs.{name}.follow.tags"),
        mode=_mode(entry.mode, f"{path}: saltenvs.{name}.mode"),
        owned=tuple(_owned(p, f"{path}: saltenvs.{name}.") for p in entry.saltenv_owned),
        back_merge=entry.back_merge,
        gates=parse_gates(entry.gates, f"{path}: saltenvs.{name}.gates"),
        overridable=check_overridable(entry.overridable, f"{path}: saltenvs.{name}.overridable"),
        verify_switch=_verify_switch(entry, f"{path}: saltenvs.{name}.verify_switch"),
        direct_pushes=_direct_pushes(entry, f"{path}: saltenvs.{name}.direct_pushes"),
        require_signed=parse_required(
            entry.require_signed, f"{path}: saltenvs.{name}.require_signed"
        ),
        drain=_drain(entry.drain, f"{path}: saltenvs.{name}.drain"),
        drain_then=_drain_then(entry.drain_then, f"{path}: saltenvs.{name}.drain_then"),
        lend=not entry.protected if entry.lend is None else entry.lend,
        first_highstate=entry.first_highstate,
        verify=parse_checks(entry.verify, f"{path}: saltenvs.{name}.verify"),
        before_batch=parse_hooks(entry.before_batch, f"{path}: saltenvs.{name}.before_batch"),
        after_batch=parse_hooks(entry.after_batch, f"{path}: saltenvs.{name}.after_batch"),
        auto_promote=_auto_promote(entry, f"{path}: saltenvs.{name}.auto_promote"),
    )


def _auto_promote(entry: SaltenvModel, where: str) -> bool:
    if entry.auto_promote and entry.promote_from is None:
        raise ConfigError(
            f"{where}: nothing is promoted to it", hint="leave it out, or add promote_from:"
        )
    return entry.auto_promote


def _drain(value: object, where: str) -> float:
    if value is None:
        return 0.0
    try:
        seconds = drain_seconds(value if isinstance(value, str) else repr(value), where)
    except UsageError as err:
        raise ConfigError(err.message, hint=err.hint) from err
    return seconds


def _drain_then(value: object, where: str) -> str:
    if value is None:
        return drain.SWITCH
    if value not in drain.POLICIES:
        known = ", ".join(drain.POLICIES)
        raise ConfigError(f"{where}: {value!r} is unknown", hint=f"known ones: {known}")
    return str(value)


def _direct_pushes(entry: SaltenvModel, where: str) -> str:
    if entry.direct_pushes is None:
        return REPORT if entry.promote_from else ALLOW
    if entry.direct_pushes not in POLICIES:
        known = ", ".join(POLICIES)
        raise ConfigError(
            f"{where}: {entry.direct_pushes!r} is unknown", hint=f"known ones: {known}"
        )
    if entry.promote_from is None:
        raise ConfigError(
            f"{where}: nothing is promoted to it, so every push to it is made by hand",
            hint="leave it out, or add promote_from:",
        )
    return str(entry.direct_pushes)


def follow_pattern(follow: FollowModel | None, where: str) -> str | None:
    """The regular expression of `follow:`, which stands at `where`. Raises ConfigError."""
    if follow is None:
        return None
    if any(ord(c) < 32 or ord(c) == 127 for c in follow.tags):
        raise ConfigError(
            f"{where}: {follow.tags!r} holds a control character",
            hint="no tag has one, so leave it out",
        )
    try:
        re.compile(follow.tags)
    except (re.error, OverflowError, RecursionError) as err:
        raise ConfigError(
            f"{where}: {follow.tags!r} is not a regular expression: {err}",
            hint=r"for example '^v[0-9]+(\.[0-9]+)*$'",
        ) from err
    return follow.tags


def _mode(mode: str, where: str) -> str:
    if mode == "squash":
        raise ConfigError(
            f"{where}: squash is refused: the branches would share no history, so the next promotion would"
            " conflict with what the last one brought, and it would be unknown which commit is where",
            hint="leave mode: out (merge), or use mode: fast-forward",
        )
    if mode not in ("merge", "fast-forward"):
        raise ConfigError(f"{where}: {mode!r} is unknown", hint="known ones: merge, fast-forward")
    return mode


def _verify_switch(entry: SaltenvModel, where: str) -> str:
    value = entry.verify_switch
    if value is None:
        return VERIFY_TOP if entry.protected else VERIFY_OFF
    if value is False or value == VERIFY_OFF:  # YAML's off is a flag
        return VERIFY_OFF
    if value in (VERIFY_TOP, VERIFY_FLEET):
        return str(value)
    raise ConfigError(
        f"{where}: {value!r} is unknown",
        hint=f"known ones: {VERIFY_TOP} (the top files), {VERIFY_FLEET} (whole highstates), {VERIFY_OFF}",
    )


def _owned(value: str, where: str) -> str:
    """A path that no promotion changes. It is taken as it stands, so what looks like a pattern is a mistake."""
    if value.startswith((":", "!", "^")) or any(c in value for c in "*?[\\"):
        raise ConfigError(
            f"{where}saltenv_owned: {value!r} is a pattern, and only paths are known there",
            hint="name the file, or a folder for all that is in it: pillar/prod",
        )
    try:
        return inside("saltenv_owned", value.rstrip("/") or "/", where.rstrip("."))
    except ConfigError as err:
        raise ConfigError(err.message, hint="for example saltenv_owned: [pillar/prod]") from err


def check_saltenvs(saltenvs: tuple[Saltenv, ...], path: str) -> None:
    """Refuse saltenvs that do not go together. Raises ConfigError."""
    folders: dict[str, Saltenv] = {}
    names = [s.name for s in saltenvs]
    for saltenv in saltenvs:
        other = folders.setdefault(saltenv.dirname, saltenv)
        if other is not saltenv:
            if other.branch == saltenv.branch:
                raise ConfigError(
                    f"{path}: saltenvs {other.name} and {saltenv.name} both name the branch {saltenv.branch}",
                    hint="give each saltenv its own branch",
                )
            raise ConfigError(
                f"{path}: the branches {other.branch!r} and {saltenv.branch!r} (saltenvs {other.name} and"
                f" {saltenv.name}) would share the folder {saltenv.dirname!r}",
                hint="rename one of the two branches",
            )
        if saltenv.promote_from is not None and saltenv.promote_from not in names:
            raise ConfigError(
                f"{path}: saltenvs.{saltenv.name}.promote_from: there is no saltenv"
                f" {saltenv.promote_from!r}",
                hint=nearest(saltenv.promote_from, names) or f"known ones: {', '.join(names)}",
            )
    _check_loops(saltenvs, path)
    _check_owned(saltenvs, path)
    _check_first(saltenvs, path)
    overlap = find_overlap({s.name: s.minions for s in saltenvs})
    if overlap:
        raise ConfigError(
            f"{path}: the saltenvs {overlap[0]} and {overlap[1]} both claim {overlap[2]!r}",
            hint="every minion belongs to one saltenv: narrow one of the two `minions:`",
        )


def _check_first(saltenvs: tuple[Saltenv, ...], path: str) -> None:
    """Gates that no verb can ask would only look like a guard."""
    for saltenv in saltenvs:
        lost = [g.name for g in saltenv.gates if g.kind in OF_THE_SALTENV_BEFORE]
        if lost and saltenv.promote_from is None:
            raise ConfigError(
                f"{path}: saltenvs.{saltenv.name}.gates: {' and '.join(lost)} cannot be checked: they compare with the"
                f" saltenv before, and {saltenv.name} has no promote_from",
                hint=f"leave them out; ticket, diff, check and commands hold for feature finish into {saltenv.branch}",
            )


def _check_owned(saltenvs: tuple[Saltenv, ...], path: str) -> None:
    """A fast-forward takes the source as it is, so no path can stay as the target has it."""
    known = {s.name: s for s in saltenvs}
    for saltenv in saltenvs:
        before = known.get(saltenv.promote_from or "")
        owner = next((s for s in (saltenv, before) if s and s.owned), None)
        if saltenv.mode == "fast-forward" and owner:
            raise ConfigError(
                f"{path}: saltenvs.{saltenv.name}.mode: fast-forward does not go with saltenv_owned of {owner.name}:"
                " the branch becomes the very commit that is promoted",
                hint=f"leave mode: of {saltenv.name} out (merge), or saltenv_owned: of {owner.name}",
            )


def _check_loops(saltenvs: tuple[Saltenv, ...], path: str) -> None:
    above = {s.name: s.promote_from for s in saltenvs}
    for start in above:
        seen, name = [start], above[start]
        while name is not None:
            if name in seen:
                raise ConfigError(
                    f"{path}: promote_from runs in a circle: {' <- '.join([*seen, name])}",
                    hint="the first saltenv of the chain has no promote_from",
                )
            seen.append(name)
            name = above[name]
