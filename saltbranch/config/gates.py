"""Gates as configured: what may stand below `gates:`, and what it becomes. promote/gates.py judges by them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from saltbranch.base.durations import parse_duration
from saltbranch.base.errors import ConfigError, UsageError
from saltbranch.config import approvals, windows

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_Limit = Annotated[int, msgspec.Meta(ge=0)]


# As they stand in the file


class SoakRuleModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long, and since when: since it is `served`, or since it was `verified`."""

    for_: str = msgspec.field(name="for")
    from_: Literal["served", "verified"] = msgspec.field(name="from", default="served")


class SoakModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long the saltenv before has to have served what is promoted."""

    soak: str | SoakRuleModel


class VerifiedRuleModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long ago the verification may be at most."""

    within: str


class VerifiedModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The gate `verified` with a limit."""

    verified: VerifiedRuleModel


class DiffRuleModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a plan's diff has to be, and who has to have seen it."""

    minions: _Limit | UnsetType = UNSET
    removed_states: _Limit | UnsetType = UNSET
    reviewed: bool | UnsetType = UNSET
    expect: bool | UnsetType = UNSET


class DiffModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The gate `diff` with limits."""

    diff: DiffRuleModel


class CheckModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The gate `check` that looks at the files alone."""

    check: Literal["static"]


class CommandModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A program that ends with 0 where the promotion may go on."""

    command: str | list[str]
    name: str | UnsetType = UNSET
    timeout: str | UnsetType = UNSET


MODELS: tuple[type[msgspec.Struct], ...] = (
    SoakModel, VerifiedModel, DiffModel, CheckModel, windows.WindowModel, approvals.ApprovalsModel,
    CommandModel,
)  # fmt: skip


# As they are asked


class _Gate(msgspec.Struct, frozen=True, tag_field="kind"):
    """The kind of a gate is the word that configures it."""

    @property
    def kind(self) -> str:
        """The word for it in saltbranch.yaml."""
        return str(type(self).__struct_config__.tag)

    @property
    def name(self) -> str:
        """What results, `overridable:` and --override call it."""
        return self.kind


class HoldGate(_Gate, frozen=True, tag="hold"):
    """No hold stands in the way."""


class DebtsGate(_Gate, frozen=True, tag="debts"):
    """No branch lacks a hotfix."""


class ModelGate(_Gate, frozen=True, tag="model"):
    """The merged saltbranch.yaml can be used."""


class SoakGate(_Gate, frozen=True, tag="soak"):
    """The saltenv before has served the commit for `seconds`. from_verified: counted from when it was verified."""

    seconds: float
    from_verified: bool = False


class VerifiedGate(_Gate, frozen=True, tag="verified"):
    """The saltenv before passed `verify` with the commit. within: in the last so many seconds, None: ever."""

    within: float | None = None


class TicketGate(_Gate, frozen=True, tag="ticket"):
    """Every commit names a ticket."""


class IdenticalGate(_Gate, frozen=True, tag="identical"):
    """The merged tree is the one that the saltenv before serves."""


class DiffGate(_Gate, frozen=True, tag="diff"):
    """The compiled diff is within limits.

    minions: how many may change at most; removed_states: how many states may go; None: any number. reviewed: somebody
    names the digest of the diff; expect: somebody names that of the plan.
    """

    minions: int | None = None
    removed_states: int | None = None
    reviewed: bool = False
    expect: bool = False

    def with_review(self) -> DiffGate:
        """The same, asking also for somebody who reviewed the diff."""
        return msgspec.structs.replace(self, reviewed=True)


class CheckGate(_Gate, frozen=True, tag="check"):
    """The merged files have no new errors. static: it looks at the files alone."""

    static: bool = False


class WindowGate(_Gate, frozen=True, tag="window"):
    """It is a time at which promotions are allowed. allow: none for any time; deny wins. zone: of tz(5)."""

    allow: tuple[windows.Range, ...] = ()
    deny: tuple[windows.Range, ...] = ()
    zone: str = "UTC"


class ApprovalsGate(_Gate, frozen=True, tag="approvals"):
    """So many people signed the plan. file: of allowed signers, in the repository; lines: of it, where there is none.

    not_author: who made a commit of the plan does not count.
    """

    count: int
    file: str = ""
    lines: tuple[str, ...] = ()
    not_author: bool = True


class CommandGate(_Gate, frozen=True, tag="command"):
    """A program agrees. argv: its words. timeout: in seconds."""

    name: str
    argv: tuple[str, ...]
    timeout: float = 600


Gate = (
    HoldGate
    | DebtsGate
    | ModelGate
    | SoakGate
    | VerifiedGate
    | TicketGate
    | IdenticalGate
    | DiffGate
    | CheckGate
    | WindowGate
    | ApprovalsGate
    | CommandGate
)
# Always there, first, whether the configuration names them or not.
ALWAYS: tuple[Gate, ...] = (HoldGate(), DebtsGate(), ModelGate())
BUILT_IN = tuple(gate.kind for gate in ALWAYS)
# One word is enough for these.
_PLAIN: Mapping[str, Gate] = {
    gate.kind: gate
    for gate in (
        *ALWAYS,
        VerifiedGate(),
        TicketGate(),
        IdenticalGate(),
        DiffGate(),
        CheckGate(),
    )
}
KINDS = (
    *BUILT_IN,
    "soak",
    "verified",
    "ticket",
    "identical",
    "diff",
    "check",
    "window",
    "approvals",
    "command",
)
# They compare with the saltenv before: where there is none, saltbranch.yaml may not name them.
OF_THE_SALTENV_BEFORE = ("soak", "verified", "identical")
# An entry below `gates:`, in the words of a JSON schema that has the definitions of MODELS.
SCHEMA: dict[str, object] = {
    "anyOf": [{"enum": list(_PLAIN)}, *({"$ref": f"#/$defs/{m.__name__}"} for m in MODELS)]
}


def parse_gates(entries: Sequence[Any], where: str) -> tuple[Gate, ...]:
    """The gates that the list `gates:` names, the built-in ones first. Raises ConfigError naming `where`."""
    gates = list(ALWAYS)
    for entry in entries:
        gate = _parse(entry, where)
        if gate in ALWAYS:
            continue
        if gate.name in [g.name for g in gates]:
            raise ConfigError(
                f"{where}: two gates are called {gate.name!r}",
                hint="name commands: {command: PROGRAM, name: WORD}",
            )
        gates.append(gate)
    return tuple(gates)


def _parse(entry: Any, where: str) -> Gate:
    if isinstance(entry, str) and entry in _PLAIN:
        return _PLAIN[entry]
    if _has_keys_of(SoakModel, entry):
        return _soak(entry["soak"], f"{where}: soak")
    if _has_keys_of(VerifiedModel, entry):
        return _verified(entry["verified"], f"{where}: verified")
    if _has_keys_of(DiffModel, entry):
        return _diff(entry["diff"], f"{where}: diff")
    if _has_keys_of(windows.WindowModel, entry):
        allow, deny, zone = windows.parse_rule(entry["window"], f"{where}: window")
        return WindowGate(allow, deny, zone)
    if _has_keys_of(approvals.ApprovalsModel, entry):
        count, file, lines, not_author = approvals.parse_rule(
            entry["approvals"], f"{where}: approvals"
        )
        return ApprovalsGate(count, file, lines, not_author)
    if _has_keys_of(CommandModel, entry):
        return _command(entry, where)
    if _is(CheckModel, entry):
        return CheckGate(static=True)
    raise ConfigError(
        f"{where}: {entry!r} is not a gate",
        hint="known ones: verified, ticket, identical, diff, check, {diff: {minions: 50, removed_states: 10,"
        " reviewed: true, expect: true}}, {check: static}, {soak: 2h}, {soak: {for: 2h, from: verified}},"
        " {verified: {within: 1d}}, {window: {allow: [mon-fri 09:00-17:00]}},"
        " {approvals: {count: 2, from: FILE}}, {command: PROGRAM, name: WORD, timeout: 10m}"
        " (hold and debts are always there)",
    )


def _has_keys_of(model: type[msgspec.Struct], entry: Any) -> bool:
    """Whether `entry` has the keys of `model`, whatever their values are."""
    fields = msgspec.structs.fields(model)
    required = {f.encode_name for f in fields if f.required}
    return isinstance(entry, dict) and required <= set(entry) <= {f.encode_name for f in fields}


def _is(kind: Any, value: Any) -> bool:
    """Whether `value` is of the type `kind`, as msgspec has it."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _soak(value: Any, where: str) -> SoakGate:
    if not isinstance(value, dict):
        return SoakGate(_seconds(value, where))
    _refuse_keys(value, SoakRuleModel, where, "{for: 2h, from: verified}")
    begin = value.get("from", "served")
    if begin not in ("served", "verified"):
        raise ConfigError(f"{where}: from: {begin!r} is unknown", hint="served or verified")
    return SoakGate(_seconds(value["for"], f"{where}: for"), begin == "verified")


def _verified(value: Any, where: str) -> VerifiedGate:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: {value!r} is not a mapping", hint="{verified: {within: 1d}}")
    _refuse_keys(value, VerifiedRuleModel, where, "{within: 1d}")
    return VerifiedGate(_seconds(value["within"], f"{where}: within"))


def _refuse_keys(value: Any, model: type[msgspec.Struct], where: str, hint: str) -> None:
    """Raises ConfigError where `value` lacks a key of `model`, or has others."""
    if not _has_keys_of(model, value):
        known = {f.encode_name for f in msgspec.structs.fields(model)}
        strange = [key for key in value if key not in known]
        said = f"unknown key {strange[0]!r}" if strange else "it lacks a key"
        raise ConfigError(f"{where}: {said}", hint=hint)


def _diff(value: Any, where: str) -> DiffGate:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: {value!r} is not a mapping", hint="{diff: {minions: 50}}")
    known = {f.encode_name: f.type for f in msgspec.structs.fields(DiffRuleModel)}
    for key, given in value.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}", hint=f"known: {', '.join(known)}")
        if not _is(known[key], given):
            is_flag = _is(known[key], True)  # noqa: FBT003
            wanted = "true or false" if is_flag else "a number, from 0 on"
            raise ConfigError(f"{where}: {key}: {given!r} is not {wanted}", hint="fix it")
    return DiffGate(**value)


def _command(entry: Mapping[str, Any], where: str) -> CommandGate:
    argv = split_command(entry["command"], f"{where}: command")
    name = entry.get("name", argv[0].rpartition("/")[2])
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"{where}: {name!r} cannot be the name of a gate", hint="letters, digits, '_', '.', '-'"
        )
    timeout = _seconds(entry.get("timeout", "10m"), f"{where}: timeout")
    return CommandGate(name, argv, timeout)


def _seconds(value: Any, where: str) -> float:
    try:
        return parse_duration(str(value), where)
    except UsageError as err:
        raise ConfigError(err.message, hint=err.hint) from err


def split_command(value: Any, where: str) -> tuple[str, ...]:
    """The words of a command, given as a list or as one line; no shell reads it.

    The program is an absolute path or a bare name that PATH finds, so that no clone's content is run.
    Raises ConfigError naming `where`.
    """
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError as err:
        raise ConfigError(f"{where}: {value!r}: {err}", hint="write a list of words") from err
    is_words = isinstance(words, list) and all(isinstance(w, str) and "\0" not in w for w in words)
    if not is_words or not words or not words[0]:
        raise ConfigError(f"{where}: {value!r} is not a command", hint="write a list of words")
    if "/" in words[0] and not words[0].startswith("/"):
        raise ConfigError(
            f"{where}: {words[0]!r} is a relative path, which would depend on the working directory",
            hint="write an absolute path, or the bare name of a program in PATH",
        )
    return tuple(words)


def check_overridable(names: Sequence[str], where: str) -> tuple[str, ...]:
    """The gates that `--override` may pass over: names, of which none may be misspelt. Raises ConfigError."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{where}: {name!r} is not a gate", hint=f"known: {', '.join(KINDS)}")
        if name == "model":
            raise ConfigError(
                f"{where}: the gate 'model' cannot be overridden: with a broken model nobody could promote the fix",
                hint="leave it out",
            )
    return tuple(names)
