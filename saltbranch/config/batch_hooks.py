"""What is done before and after a batch of minions: as it may stand in the model, and what it becomes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

from saltbranch.base.errors import ConfigError
from saltbranch.base.text import many
from saltbranch.config import entries
from saltbranch.config.entries import MINION, Arguments, Call, Keywords, Timeout
from saltbranch.config.gates import split_command

Which = Literal["before_batch", "after_batch"]
BEFORE: Final = "before_batch"
AFTER: Final = "after_batch"
_MOST = 20


# As they stand in the file


class SaltHookModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A function that a minion runs, such as the load balancer."""

    salt: str
    on: Annotated[
        str, msgspec.Meta(min_length=1, max_length=255, description="the id of who runs it")
    ]
    args: Arguments = []
    kwargs: Keywords = {}
    timeout: Timeout = "1m"


class RunnerHookModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A runner of the master that its own file lists, as `salt-run FUNCTION ARGUMENTS`."""

    runner: str
    args: Arguments = []
    kwargs: Keywords = {}
    timeout: Timeout = "5m"


class ProgramHookModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A program of the master that its own file lists; it is told the batch as JSON."""

    command: str | list[str]
    timeout: Timeout = "5m"


_KINDS: dict[str, type[msgspec.Struct]] = {
    "salt": SaltHookModel,
    "runner": RunnerHookModel,
    "command": ProgramHookModel,
}
MODELS: tuple[type[msgspec.Struct], ...] = tuple(_KINDS.values())
_SCHEMA: dict[str, Any] = {
    "type": "array",
    "items": {"anyOf": [{"$ref": f"#/$defs/{m.__name__}"} for m in MODELS]},
}


def _key(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text, extra={"default": "none"}, extra_json_schema=_SCHEMA)


BEFORE_KEY = _key(
    "what is done before a batch of its minions is changed, such as taking them out of the load balancer:"
    " [load balancer](../how-to/load-balancer.md)"
)
AFTER_KEY = _key("the same when all of the batch passed `verify`")


# As they are run


class SaltHook(msgspec.Struct, frozen=True, tag="salt", tag_field="kind"):
    """A function that the minion `on` runs; once for each minion of the batch where `{minion}` stands in it."""

    call: Call
    on: str
    timeout: float

    @property
    def shown(self) -> str:
        """For people."""
        return f"{self.call.shown} on {self.on}"


class RunnerHook(msgspec.Struct, frozen=True, tag="runner", tag_field="kind"):
    """A runner; once for each minion of the batch where `{minion}` stands in it."""

    call: Call
    timeout: float

    @property
    def argv(self) -> tuple[str, ...]:
        """The words by which the machine's file lists it."""
        args, kwargs = self.call.arguments()
        words = [*map(_word, args), *(f"{k}={_word(v)}" for k, v in sorted(kwargs.items()))]
        return ("salt-run", self.call.function, *words)

    @property
    def shown(self) -> str:
        """For people."""
        return f"the runner {self.call.shown}"


class ProgramHook(msgspec.Struct, frozen=True, tag="command", tag_field="kind"):
    """A program that is told the batch."""

    argv: tuple[str, ...]
    timeout: float

    @property
    def shown(self) -> str:
        """For people."""
        return self.argv[0].rpartition("/")[2]


Hook = SaltHook | RunnerHook | ProgramHook


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def parse_hooks(given: Sequence[Any], where: str) -> tuple[Hook, ...]:
    """The hooks of a list `before_batch:` or `after_batch:`. Raises ConfigError naming `where`."""
    if len(given) > _MOST:
        raise ConfigError(f"{where}: {many(len(given), 'hook')}", hint=f"at most {_MOST}")
    return tuple(_parse(entry, f"{where}, hook {n}") for n, entry in enumerate(given, 1))


def _parse(entry: Any, where: str) -> Hook:
    kind, model = entries.fitted(entry, _KINDS, where, "a hook")
    timeout = entries.seconds(model.timeout, f"{where}: timeout")
    if kind == "command":
        return ProgramHook(split_command(model.command, f"{where}: command"), timeout)
    call = entries.call_of(
        model.salt if kind == "salt" else model.runner, model.args, model.kwargs, where, kind
    )
    if kind == "runner":
        return RunnerHook(call, timeout)
    if model.on == MINION or any(c in model.on for c in "*?[]/\0") or not model.on.isprintable():
        raise ConfigError(
            f"{where}: on: not the id of one minion",
            hint="the minion of the load balancer; what minions do for themselves belongs into states",
        )
    return SaltHook(call, model.on, timeout)
