"""Who is told of what: the rules of `notify:` in the model, and the targets that a machine's file names.

The model, which strangers may change, says only names; where a name leads, and its secrets, only the machine knows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from saltbranch.base.errors import ConfigError
from saltbranch.base.text import nearest
from saltbranch.config.gates import split_command

Event = Literal[
    "switched",
    "sync_failed",
    "promotion",
    "hold",
    "rollback",
    "lab",
    "verify",
    "apply",
    "gate_closed",
    "check_found",
]
EVENTS: Final[tuple[Event, ...]] = get_args(Event)
OF_JOURNAL: Final = ("promotion", "hold", "rollback", "lab", "verify", "apply")
"""Those that a master learns from the journal, wherever they were done."""
HOOKS: Final = {"after_sync": ("switched", "sync_failed"), "after_switch": ("switched",),
                "after_hold": ("hold", "rollback")}  # fmt: skip
"""Hooks that are told by masters, and of which events."""
Format = Literal["text", "markdown", "html"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
_TARGET = {
    "type": "object",
    "properties": {
        "url": {"type": "string"},
        "env": {"type": "string"},
        "format": {"enum": list(FORMATS)},
    },
    "additionalProperties": False,
}
TARGETS_SCHEMA: Final[dict[str, object]] = {
    "type": "object",
    "additionalProperties": {"anyOf": [{"type": "string"}, _TARGET]},
}
"""`notify_targets:`, in the words of a JSON schema."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LONGEST = 4000  # characters of a template
_MOST = 100  # rules
_MARKDOWN = frozenset(
    "slack discord mmost mmosts rocket rockets msteams workflow workflows zulip wxteams tgram matrix matrixs gchat"
    " ntfy ntfys".split()
)


class NotifyModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule of `notify:`."""

    events: Annotated[list[Event], msgspec.Meta(description="of what is told")]
    to: Annotated[list[str], msgspec.Meta(description="names of targets of machines")]
    saltenvs: Annotated[
        list[str], msgspec.Meta(description="of which saltenvs; all when empty")
    ] = []
    template: Annotated[
        str | None, msgspec.Meta(description="the message as a Jinja template: notifications.md")
    ] = None


class Target(msgspec.Struct, frozen=True):
    """Where a name leads. url: a secret, empty where `env`, a variable of the environment, has it."""

    name: str
    url: str = ""
    env: str = ""
    format: Format | None = None

    def address(self, environment: Mapping[str, str]) -> str:
        """The URL; empty where the variable is not set."""
        return self.url or environment.get(self.env, "")


def format_of(target: Target, url: str) -> Format:
    """What its messages are written in."""
    if target.format:
        return target.format
    return "markdown" if url.partition(":")[0].lower() in _MARKDOWN else "text"


def check_rules(rules: Sequence[NotifyModel], saltenvs: Sequence[str], place: str) -> None:
    """Refuse rules that nobody can be told by. Raises ConfigError."""
    if len(rules) > _MOST:
        raise ConfigError(f"{place}: notify: {len(rules)} rules", hint=f"at most {_MOST}")
    for number, rule in enumerate(rules, 1):
        where = f"{place}: notify, rule {number}"
        for name in rule.to:
            _check_name(name, f"{where}: to")
        if not rule.to or not rule.events:
            raise ConfigError(
                f"{where}: it names no {'event' if rule.to else 'target'}", hint="fix that rule"
            )
        for name in rule.saltenvs:
            if name not in saltenvs:
                hint = nearest(name, saltenvs) or f"known ones: {', '.join(saltenvs)}"
                raise ConfigError(f"{where}: there is no saltenv {name!r}", hint=hint)
        if rule.template is not None:
            _check_template(rule.template, where)


def _check_template(text: str, where: str) -> None:
    if len(text) > _LONGEST:
        raise ConfigError(
            f"{where}: a template of {len(text)} characters", hint=f"at most {_LONGEST}"
        )
    from jinja2 import TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    try:
        ImmutableSandboxedEnvironment().parse(text)
    except (TemplateSyntaxError, RecursionError) as err:
        raise ConfigError(f"{where}: template: {err}", hint="fix the template") from err


def check_hooks(hooks: object, names: Sequence[str], place: str) -> None:
    """Refuse hooks that are no commands. Raises ConfigError."""
    for name in names:
        if command := getattr(hooks, name):
            split_command(command, f"{place}: hooks.{name}")


def targets_of(entries: Mapping[str, Any], path: str) -> dict[str, Target]:
    """`notify_targets:` of a machine's file: name to target. Raises ConfigError, which never shows a URL."""
    found = {}
    for name, entry in entries.items():
        where = f"{path}: notify_targets.{name}"
        _check_name(name, f"{path}: notify_targets")
        given = {"url": entry} if isinstance(entry, str) else entry
        known = {"url", "env", "format"}
        if not isinstance(given, Mapping) or not set(given) <= known:
            raise ConfigError(
                f"{where}: not a URL", hint="write a URL, or {env: VARIABLE, format: markdown}"
            )
        url, env, form = (given.get(key) for key in ("url", "env", "format"))
        if bool(url) == bool(env) or not all(isinstance(v, str | None) for v in (url, env)):
            raise ConfigError(
                f"{where}: it has neither one url: nor one env:", hint="give one of them"
            )
        if url and not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://\S", url):
            raise ConfigError(
                f"{where}: what is given is not a URL", hint="for example mailtos://..."
            )
        if form is not None and form not in FORMATS:
            raise ConfigError(f"{where}: format: {form!r}", hint=f"one of {', '.join(FORMATS)}")
        found[name] = Target(name, url or "", env or "", form)
    return found


def _check_name(name: object, where: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"{where}: {name!r} is not the name of a target",
            hint="letters, digits, - and _; the URL stands in the machine's file, below notify_targets:",
        )
