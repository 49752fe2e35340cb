"""Checks of running servers as configured: what may stand below `verify:`, and what it becomes.

verify/judge.py judges answers by them. (`verify_switch:` is something else: what is compiled before a switch.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, UnsetType

from saltbranch.base.errors import ConfigError
from saltbranch.base.text import many
from saltbranch.config import entries
from saltbranch.config.entries import MINION, Arguments, Call, Keywords, Timeout
from saltbranch.config.gates import split_command

On = Literal["all", "one", "changed"]
ExpectKind = Literal["equals", "matches", "contains", "at_most"]
_MOST = 100  # checks of a saltenv
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,80}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")

_Retries = Annotated[
    int, msgspec.Meta(ge=0, le=100, description="how often more it is tried, two seconds apart")
]
_On = Annotated[On, msgspec.Meta(description="`all` minions, `one`, or those that were `changed`")]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
_Name = Annotated[str, msgspec.Meta(description="what results call it")]


# As they stand in the file


class ExpectModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a function has to answer: one of these."""

    equals: Any | UnsetType = UNSET
    matches: _Text | UnsetType = UNSET
    contains: Any | UnsetType = UNSET
    at_most: int | float | UnsetType = UNSET


class SaltCheckModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A function that minions run, and what it has to answer."""

    salt: str
    args: Arguments = []
    kwargs: Keywords = {}
    expect: ExpectModel | UnsetType = UNSET
    on: _On = "all"
    name: _Name | UnsetType = UNSET
    retries: _Retries = 3
    timeout: Timeout = "30s"


class HttpCheckModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A page that the master asks for."""

    http: str
    status: Annotated[int, msgspec.Meta(ge=100, le=599)] = 200
    contains: _Text | UnsetType = UNSET
    on: _On = "all"
    name: _Name | UnsetType = UNSET
    retries: _Retries = 3
    timeout: Timeout = "10s"


class TcpCheckModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A port that the master connects to."""

    tcp: str
    on: _On = "all"
    name: _Name | UnsetType = UNSET
    retries: _Retries = 3
    timeout: Timeout = "10s"


class ProgramCheckModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A program on the master that ends with 0 where all is well."""

    command: str | list[str]
    name: _Name | UnsetType = UNSET
    retries: _Retries = 3
    timeout: Timeout = "1m"


_KINDS: dict[str, type[msgspec.Struct]] = {
    "salt": SaltCheckModel,
    "http": HttpCheckModel,
    "tcp": TcpCheckModel,
    "command": ProgramCheckModel,
}
MODELS: tuple[type[msgspec.Struct], ...] = (*_KINDS.values(), ExpectModel)
KEY = msgspec.Meta(
    description="how it is proven that its servers work: a list of checks: [verify](verify.md)",
    extra={"default": "none"},
    extra_json_schema={
        "type": "array",
        "items": {"anyOf": [{"$ref": f"#/$defs/{m.__name__}"} for m in _KINDS.values()]},
    },
)


# As they are asked


class Expect(msgspec.Struct, frozen=True):
    """What an answer has to be. value: as JSON."""

    kind: ExpectKind
    value: str

    @property
    def wanted(self) -> Any:
        """The value itself."""
        return json.loads(self.value)


class _Check(msgspec.Struct, frozen=True, tag_field="kind", kw_only=True):
    """name: what results call it. on: of which minions. retries: after the first time. timeout: of each, in seconds."""

    name: str
    retries: int
    timeout: float
    on: On = "all"


class SaltCheck(_Check, frozen=True, tag="salt", kw_only=True):
    """A function that minions run. expect: None where it only has to succeed, and not to answer false."""

    call: Call
    expect: Expect | None = None


class HttpCheck(_Check, frozen=True, tag="http", kw_only=True):
    """A page. url: `{minion}` in it stands for an id. contains: a text of the page, empty for any."""

    url: str
    status: int = 200
    contains: str = ""

    @property
    def names_minion(self) -> bool:
        """Whether it is asked for each minion."""
        return MINION in self.url

    def of(self, minion: str) -> HttpCheck:
        """The same for one minion; its id has to fit (config/entries.py)."""
        return msgspec.structs.replace(self, url=self.url.replace(MINION, minion))


class TcpCheck(_Check, frozen=True, tag="tcp", kw_only=True):
    """A port of a host, in which `{minion}` stands for an id."""

    host: str
    port: int

    @property
    def names_minion(self) -> bool:
        """Whether it is asked for each minion."""
        return MINION in self.host

    def of(self, minion: str) -> TcpCheck:
        """The same for one minion; its id has to fit (config/entries.py)."""
        return msgspec.structs.replace(self, host=self.host.replace(MINION, minion))


class ProgramCheck(_Check, frozen=True, tag="command", kw_only=True):
    """A program that agrees."""

    argv: tuple[str, ...]


Check = SaltCheck | HttpCheck | TcpCheck | ProgramCheck


def parse_checks(given: Sequence[Any], where: str) -> tuple[Check, ...]:
    """The checks of the list `verify:`, each with a name of its own. Raises ConfigError naming `where`."""
    if len(given) > _MOST:
        raise ConfigError(f"{where}: {many(len(given), 'check')}", hint=f"at most {_MOST}")
    checks: list[Check] = []
    for number, entry in enumerate(given, 1):
        here = f"{where}, check {number}"
        check = _parse(entry, here)
        taken = [c.name for c in checks]
        if check.name in taken and "name" in entry:
            raise ConfigError(
                f"{here}: two checks are called {check.name!r}", hint="give it another name:"
            )
        if check.name in taken:
            check = msgspec.structs.replace(check, name=f"{check.name} (check {number})")
        checks.append(check)
    return tuple(checks)


def patterns(given: Sequence[Any]) -> Iterator[re.Pattern[str]]:
    """Every regular expression of a list `verify:` that parse_checks took."""
    for entry in given:
        expect = entry.get("expect") if isinstance(entry, dict) else None
        if isinstance(expect, dict) and isinstance(expect.get("matches"), str):
            yield re.compile(expect["matches"])


def _parse(entry: Any, where: str) -> Check:
    kind, model = entries.fitted(entry, _KINDS, where, "a check")
    common = {
        "retries": model.retries,
        "timeout": entries.seconds(model.timeout, f"{where}: timeout"),
    }
    named = _name(model.name, where)
    if kind == "command":
        argv = split_command(model.command, f"{where}: command")
        name = named or argv[0].rpartition("/")[2]
        return ProgramCheck(name=name, argv=argv, **common)
    common["on"] = model.on
    if kind == "salt":
        call = entries.call_of(model.salt, model.args, model.kwargs, where, "salt")
        if call.names_minion:
            raise ConfigError(
                f"{where}: {MINION} means nothing in the arguments of a function of minions",
                hint="the function knows its minion: {{ grains.id }} in states, __grains__ in modules",
            )
        expect = _expect(model.expect, f"{where}: expect")
        return SaltCheck(name=named or call.shown, call=call, expect=expect, **common)
    if kind == "http":
        check: Check = HttpCheck(
            name=named or _shown(_url(model.http, f"{where}: http")),
            url=model.http,
            status=model.status,
            contains="" if model.contains is UNSET else model.contains,
            **common,
        )
    else:
        host, port = _address(model.tcp, f"{where}: tcp")
        check = TcpCheck(name=named or model.tcp, host=host, port=port, **common)
    if model.on != "all" and MINION not in entry[kind]:
        raise ConfigError(
            f"{where}: on: {model.on}: it is asked once, as {MINION} does not stand in it",
            hint=f"leave on: out, or put {MINION} where the id belongs",
        )
    return check


def _name(value: str | UnsetType, where: str) -> str:
    if value is UNSET:
        return ""
    if not _NAME.fullmatch(value) or not value.isprintable() or not value.strip():
        raise ConfigError(f"{where}: name: not usable", hint="one line of 80 characters at most")
    return value


def _expect(model: ExpectModel | UnsetType, where: str) -> Expect | None:
    if model is UNSET:
        return None
    given = {k: v for k in model.__struct_fields__ if (v := getattr(model, k)) is not UNSET}
    if len(given) != 1:
        raise ConfigError(
            f"{where}: {many(len(given), 'condition')}",
            hint="one of equals, matches, contains, at_most",
        )
    ((word, value),) = given.items()
    kind = next(k for k in get_args(ExpectKind) if k == word)
    if kind == "matches":
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError) as err:
            raise ConfigError(
                f"{where}: matches: not a regular expression: {err}", hint="for example '^1\\.2'"
            ) from err
    if kind == "contains" and (value is None or value in ("", [], {})):
        raise ConfigError(f"{where}: contains: nothing", hint="name what the answer has to contain")
    return Expect(kind, entries.plain(value, f"{where}: {kind}"))


def _url(url: str, where: str) -> str:
    """`url`, where the master can ask for it. Raises ConfigError, which never shows it."""
    sample = url.replace(MINION, "minion")
    try:
        parts = urlsplit(sample)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        port, host, parts = None, "", urlsplit("")
    problem = ""
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host) or port == 0:
        problem = "not an address such as https://www.example.com/health"
    elif parts.username is not None or parts.password is not None:
        problem = "it has a user or password, which everybody could read who reads the repository"
    elif not sample.isascii() or not sample.isprintable() or " " in sample or "\\" in sample:
        problem = "it has characters that no URL has"
    elif parts.fragment or len(url) > 2000:
        problem = "it has a fragment (#), or is too long"
    elif "{" in sample or "}" in sample:
        problem = f"only {MINION} may stand in braces"
    if problem:
        raise ConfigError(f"{where}: {problem}", hint=f"http://{MINION}:8080/health, for example")
    return url


def _shown(url: str) -> str:
    """A URL without what may be a secret: its query."""
    path, mark, _ = url.partition("?")
    return f"{path}{mark}{'...' if mark else ''}"[:80]


def _address(text: str, where: str) -> tuple[str, int]:
    host, _, number = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    port = int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 0
    if not _HOST.fullmatch(host.replace(MINION, "minion")) or not 1 <= port <= 65535:
        raise ConfigError(
            f"{where}: not a host and a port", hint=f"for example '{MINION}:443', in quotes"
        )
    return host, port
