"""Gates: conditions that a promotion must meet. Each answers pass, fail or cannot-tell, with the reason."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from saltbranch import tickets
from saltbranch.durations import iso, parse_duration, shown_duration
from saltbranch.errors import ConfigError, UsageError
from saltbranch.journalfacts import Debt, Hold, Residence
from saltbranch.tickets import Group

_SLACK = 86400  # seconds by which clocks may differ before it is plain that one is wrong
PASS, FAIL, CANNOT_TELL = "pass", "fail", "cannot-tell"
# Always there, first, whether the configuration names them or not.
BUILT_IN = ("hold", "debts", "model")
KINDS = (*BUILT_IN, "soak", "ticket", "identical", "diff", "check", "command")
# They compare with the saltenv before: where there is none, saltbranch.yaml may not name them.
OF_THE_SALTENV_BEFORE = ("soak", "identical")


@dataclass(frozen=True, slots=True)
class DiffRule:
    """What the gate `diff` asks for. minions: how many may change at most; removed_states: how many states may go.

    reviewed: somebody names the digest of the diff; expect: somebody names that of the plan.
    """

    minions: int | None = None
    removed_states: int | None = None
    reviewed: bool = False
    expect: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate as configured. seconds: of a soak. argv, timeout (seconds): of a command.

    diff: of the gate `diff`. static: the gate `check` looks at the files alone.
    """

    name: str
    kind: str
    seconds: float = 0
    argv: tuple[str, ...] = ()
    timeout: float = 600
    diff: DiffRule = DiffRule()
    static: bool = False


@dataclass(frozen=True, slots=True)
class GateResult:
    """What a gate says. passes_at: seconds since 1970, where it knows. overridden: the reason of the person."""

    name: str
    verdict: str
    reason: str
    passes_at: float | None = None
    overridden: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the promotion may go on."""
        return self.verdict == PASS or self.overridden is not None

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "gate": self.name,
            "verdict": self.verdict,
            "reason": self.reason,
            "passes_at": iso(self.passes_at) if self.passes_at is not None else None,
            "overridden": self.overridden,
        }


def parse_gates(entries: Sequence[Any], where: str) -> tuple[Gate, ...]:
    """The gates that the list `gates:` names, the built-in ones first. Raises ConfigError naming `where`."""
    gates = [Gate(name, name) for name in BUILT_IN]
    for entry in entries:
        gate = _parse(entry, where)
        if gate.name in BUILT_IN:
            continue
        if gate.name in [g.name for g in gates]:
            raise ConfigError(
                f"{where}: two gates are called {gate.name!r}",
                hint="name commands: {command: PROGRAM, name: WORD}",
            )
        gates.append(gate)
    return tuple(gates)


def _parse(entry: Any, where: str) -> Gate:
    if isinstance(entry, str) and entry in KINDS and entry not in ("soak", "command"):
        return Gate(entry, entry)
    if isinstance(entry, dict):
        if set(entry) == {"soak"}:
            return _soak(entry["soak"], where)
        if "command" in entry and set(entry) <= {"command", "name", "timeout"}:
            return _command(entry, where)
        if set(entry) == {"diff"}:
            return Gate("diff", "diff", diff=_diff_rule(entry["diff"], f"{where}: diff"))
        if entry == {"check": "static"}:
            return Gate("check", "check", static=True)
    raise ConfigError(
        f"{where}: {entry!r} is not a gate",
        hint="known ones: ticket, identical, diff, check, {diff: {minions: 50, removed_states: 10, reviewed: true,"
        " expect: true}}, {check: static}, {soak: 2h}, {command: PROGRAM, name: WORD, timeout: 10m}"
        " (hold and debts are always there)",
    )


def _diff_rule(value: Any, where: str) -> DiffRule:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: {value!r} is not a mapping", hint="{diff: {minions: 50}}")
    known = [f.name for f in fields(DiffRule)]
    for key, given in value.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}", hint=f"known: {', '.join(known)}")
        is_flag = key in ("reviewed", "expect")
        if isinstance(given, bool) != is_flag or not isinstance(given, int) or given < 0:
            wanted = "true or false" if is_flag else "a number, from 0 on"
            raise ConfigError(f"{where}: {key}: {given!r} is not {wanted}", hint="fix it")
    return DiffRule(**value)


def _soak(value: Any, where: str) -> Gate:
    try:
        seconds = parse_duration(str(value), f"{where}: soak")
    except UsageError as err:
        raise ConfigError(err.message, hint=err.hint) from err
    return Gate("soak", "soak", seconds=seconds)


def _command(entry: dict[str, Any], where: str) -> Gate:
    argv = split_command(entry["command"], f"{where}: command")
    name = entry.get("name", argv[0].rpartition("/")[2])
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", name):
        raise ConfigError(
            f"{where}: {name!r} cannot be the name of a gate", hint="letters, digits, '_', '.', '-'"
        )
    try:
        timeout = parse_duration(str(entry.get("timeout", "10m")), f"{where}: timeout")
    except UsageError as err:
        raise ConfigError(err.message, hint=err.hint) from err
    return Gate(name, "command", argv=argv, timeout=timeout)


def split_command(value: Any, where: str) -> tuple[str, ...]:
    """The words of a command, given as a list or as one line; no shell reads it.

    The program is an absolute path or a bare name that PATH finds, so that no clone's content is run.
    Raises ConfigError naming `where`.
    """
    try:
        words = shlex.split(value) if isinstance(value, str) else list(value)
    except (ValueError, TypeError) as err:
        raise ConfigError(f"{where}: {value!r}: {err}", hint="write a list of words") from err
    if not words or not all(isinstance(w, str) and "\0" not in w for w in words) or not words[0]:
        raise ConfigError(f"{where}: {value!r} is not a command", hint="write a list of words")
    if "/" in words[0] and not words[0].startswith("/"):
        raise ConfigError(
            f"{where}: {words[0]!r} is a relative path, which would depend on where one stands",
            hint="write an absolute path, or the bare name of a program in PATH",
        )
    return tuple(words)


def check_overridable(names: Sequence[str], where: str) -> tuple[str, ...]:
    """The gates that `--override` may pass over: names, of which none may be misspelt. Raises ConfigError."""
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", name):
            raise ConfigError(f"{where}: {name!r} is not a gate", hint=f"known: {', '.join(KINDS)}")
        if name == "model":
            raise ConfigError(
                f"{where}: the gate 'model' is never passed over: with a broken model nobody could promote the repair",
                hint="leave it out",
            )
    return tuple(names)


def override(results: Iterable[GateResult], overrides: dict[str, str]) -> tuple[GateResult, ...]:
    """`results` with those that `overrides` (gate to reason) passes over marked so, where they are closed."""
    return tuple(
        replace(r, overridden=overrides[r.name]) if r.name in overrides and r.verdict != PASS else r
        for r in results
    )


# The rules, each a function of values


def hold_gate(
    target: Hold | None,
    source: Hold | None,
    *,
    beyond_source: bool,
    brings_news: bool,
    hotfix: bool,
) -> GateResult:
    """Whether a hold stands in the way.

    beyond_source: the promoted commit is beyond what the held source serves. brings_news: the promotion brings
    something that the target's branch lacks. hotfix: it goes on top of what is served, below a hold.
    """
    if source and beyond_source:
        return GateResult(
            "hold",
            FAIL,
            f"{source.saltenv} is held at {source.commit[:12]} ({source.reason}), and what you promote is beyond that",
            source.until,
        )
    if target is None:
        return GateResult("hold", PASS, "nothing is held")
    if hotfix:
        reason = f"{target.saltenv} is held at {target.commit[:12]}; the hold moves to the hotfix"
        return GateResult("hold", PASS, reason)
    if target.kind == "rollback" and brings_news:
        return GateResult(
            "hold",
            PASS,
            f"{target.saltenv} was rolled back to {target.commit[:12]}; this lifts the hold",
        )
    return GateResult(
        "hold",
        FAIL,
        f"{target.saltenv} is held at {target.commit[:12]} by {target.who} ({target.reason})",
        target.until,
    )


def debts_gate(debts: Sequence[Debt], names: Sequence[str]) -> GateResult:
    """Whether the branches `names`, which the promotion moves between, lack a hotfix."""
    open_debts = [d for d in debts if d.branch in names]
    if not open_debts:
        return GateResult("debts", PASS, "no hotfix is missing")
    what = "; ".join(
        f"{d.branch} lacks {d.commit[:12]} of {d.origin or 'a hotfix'}" for d in open_debts
    )
    pay = "; ".join(dict.fromkeys(f"saltbranch backmerge {d.branch}" for d in open_debts))
    return GateResult("debts", FAIL, f"{what}: {pay}")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The saltbranch.yaml that a merge makes.

    changed: it is another one than the branch has. removed: the branch has one, the merge has not. problem: what is
    wrong with it. broken: why the newest model of production does not count now.
    """

    changed: bool
    removed: bool = False
    problem: str = ""
    broken: str = ""


def model_gate(facts: ModelFacts) -> GateResult | None:
    """Whether the merged model can be used; None where there is nothing to be said of it."""
    if facts.removed:
        return GateResult(
            "model", FAIL, "the merge takes saltbranch.yaml away, and with it all gates"
        )
    if facts.problem:
        return GateResult(
            "model", FAIL, f"saltbranch.yaml of the merge is not valid: {facts.problem}"
        )
    if facts.broken and not facts.changed:
        reason = f"{facts.broken}; until that is repaired, only what brings a valid saltbranch.yaml can be promoted"
        return GateResult("model", FAIL, reason)
    if facts.broken:
        return GateResult("model", PASS, "it brings a valid saltbranch.yaml")
    return (
        GateResult("model", PASS, "saltbranch.yaml changes, and is valid")
        if facts.changed
        else None
    )


def ticket_gate(groups: Iterable[Group], pattern: re.Pattern[str]) -> GateResult:
    """Whether every commit, merges aside, names a ticket, or came by a branch that does."""
    bare = [
        c for g in groups if not tickets.find(g.name, pattern) for c in g.commits if not c.tickets
    ]
    if not bare:
        return GateResult("ticket", PASS, "every commit names a ticket")
    first = "; ".join(f"{c.commit[:12]} {c.subject}" for c in bare[:3])
    more = f" and {len(bare) - 3} more" if len(bare) > 3 else ""
    return GateResult("ticket", FAIL, f"no ticket is named by {first}{more}")


def identical_gate(merged_tree: str, served_tree: str, source: str) -> GateResult:
    """Whether the merged tree, owned paths aside, is the one that the source saltenv serves."""
    if merged_tree == served_tree:
        return GateResult("identical", PASS, f"the same tree as {source} serves")
    reason = f"the merged tree {merged_tree[:12]} is not the one that {source} serves ({served_tree[:12]})"
    return GateResult("identical", FAIL, reason)


def soak_gate(
    seconds: float,
    source: str,
    residences: Iterable[Residence],
    contains: Callable[[str], bool],
    now: float,
    made: float = 0,
) -> GateResult:
    """Whether `source` has served the commit for `seconds`, on the master that has served it longest.

    residences: of all masters and commits of `source`. contains: whether a served commit contains the
    promoted one, so a newer commit does not start the clock anew; one that lacks it (a rollback) does. made: when the
    promoted commit was, in seconds since 1970: a master whose clock is far behind cannot have served it before.
    """
    rows = [r for r in residences if r.saltenv == source]
    if not rows:
        reason = f"no master has recorded what it serves as {source} (record_syncs: true in its saltbranch.yaml)"
        return GateResult("soak", CANNOT_TELL, reason)
    known = functools.cache(contains)
    by_master: dict[str, list[Residence]] = {}
    for row in rows:
        by_master.setdefault(row.master, []).append(row)
    starts = [s for mine in by_master.values() if (s := _start(mine, known, now)) is not None]
    if not starts:
        return GateResult("soak", FAIL, f"{source} does not serve this commit yet")
    begin = min(starts)
    if begin < made - _SLACK:
        begin = min(made, now)
    if now - begin >= seconds:
        since = shown_duration(now - begin)
        return GateResult(
            "soak", PASS, f"served by {source} for {since}, asked are {shown_duration(seconds)}"
        )
    reason = f"served by {source} for {shown_duration(now - begin)} of {shown_duration(seconds)}"
    return GateResult("soak", FAIL, reason, begin + seconds)


def _start(rows: Sequence[Residence], contains: Callable[[str], bool], now: float) -> float | None:
    """Since when a master has served the commit without a break; None when it does not now.

    rows: what it said, in the journal's order, which does not depend on its clock. What was served before the newest
    one that lacks the commit is not asked for. A start that lies ahead counts from now.
    """
    start = None
    for row in reversed(rows):
        if not contains(row.commit):
            break
        start = row.since if start is None else min(row.since, start)
    return min(start, now) if start is not None else None
