"""saltbranch.yaml: found, read and checked once, into values that never change.

Two parts may live apart. The machine's part (remote, root, ...) is each master's own. The model
(saltenvs) stands in the same file or, where that file names no saltenvs, in `saltbranch.yaml` at the
root of the control repository, read from the production branch: a change of the mapping then
counts only after it was promoted like any other.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any

import msgspec
import yaml

from saltbranch import __version__, files, strictyaml, tickets
from saltbranch.base import ownership, patterns
from saltbranch.base.limit import TooSlow, limited
from saltbranch.errors import ConfigError, NoSaltenvsError, TooOldError
from saltbranch.gates import (
    OF_THE_SALTENV_BEFORE,
    Gate,
    check_overridable,
    parse_gates,
    split_command,
)
from saltbranch.git import branch_name_problem
from saltbranch.repository.tips import ALLOW, POLICIES, REPORT
from saltbranch.targets import KINDS, Matcher, find_overlap, parse_minions

# What a saltenv may be called: it is a folder name, a YAML key and a word on command lines.
_SALTENV = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
# Words with a meaning of their own inside a top file (salt/state.py, BaseHighState.top_matches).
_RESERVED = ("match", "order", "ignore_missing", "include", "subfilter")


_TARGETS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_MATCHERS = {
    "type": "object",
    "properties": dict.fromkeys(KINDS, _TARGETS),
    "additionalProperties": False,
}
# What parse_minions takes, in the words of a JSON schema; the precise messages are its own.
_MINIONS = {
    "anyOf": [
        {"type": "string"},
        _MATCHERS,
        {"type": "array", "items": {"anyOf": [{"type": "string"}, _MATCHERS]}},
    ]
}

# YAML reads an unquoted off as false.
_VERIFY: dict[str, object] = {"enum": ["top", "fleet", "off", False, None]}

# The same for parse_gates.
_LIMIT, _FLAG = {"type": "integer", "minimum": 0}, {"type": "boolean"}


def _mapping(keys: dict[str, object], *required: str) -> dict[str, object]:
    return {
        "type": "object",
        "properties": keys,
        "required": list(required),
        "additionalProperties": False,
    }


_RULES: dict[str, object] = {
    "minions": _LIMIT,
    "removed_states": _LIMIT,
    "reviewed": _FLAG,
    "expect": _FLAG,
}
_TEXT = {"type": "string"}
_GATES = {
    "type": "array",
    "items": {
        "anyOf": [
            {"enum": ["hold", "debts", "model", "ticket", "identical", "diff", "check"]},
            _mapping({"soak": _TEXT}, "soak"),
            _mapping({"diff": _mapping(_RULES)}, "diff"),
            _mapping({"check": {"const": "static"}}, "check"),
            _mapping({"command": _TARGETS, "name": _TEXT, "timeout": _TEXT}, "command"),
        ]
    },
}


_PROGRAMS = {"type": "array", "items": _TARGETS}
_DIRECT = {"anyOf": [{"enum": list(POLICIES)}, {"type": "null"}]}

# What a machine says of itself: in the model, which stands in the repository, these have no effect.
MACHINE_KEYS = (
    "remote", "root", "master_config", "salt_config", "group", "fetch_timeout", "model_branch", "record_syncs",
    "gpg_keys", "ext_pillar", "serves", "programs",
)  # fmt: skip
_MODEL_BRANCH = "master"
# What is compiled of a commit before a master switches to it: the top files, whole highstates, nothing.
VERIFY_TOP, VERIFY_FLEET, VERIFY_OFF = "top", "fleet", "off"
_LARGEST = 1_000_000
_SECONDS = 5.0


class FollowModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a saltenv serves instead of the head of its branch."""

    tags: str


class FlowModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What git-flow's branches and tags begin with."""

    feature: str = "feature/"
    release: str = "release/"
    hotfix: str = "hotfix/"
    version_tag: str = "v"


class HooksModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Programs that are told of each promotion, as a list of words or one line of them."""

    before_promote: str | list[str] | None = None
    after_promote: str | list[str] | None = None


class SaltenvModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry below `saltenvs:` as it stands in the file."""

    branch: str
    minions: Annotated[Any, msgspec.Meta(extra_json_schema=_MINIONS)]
    promote_from: str | None = None
    protected: bool = False
    verify_switch: Annotated[Any, msgspec.Meta(extra_json_schema=_VERIFY)] = None
    follow: FollowModel | None = None
    mode: str = "merge"
    saltenv_owned: list[str] = []
    back_merge: bool = True
    gates: Annotated[list[Any], msgspec.Meta(extra_json_schema=_GATES)] = []
    overridable: list[str] = []
    direct_pushes: Annotated[str | None, msgspec.Meta(extra_json_schema=_DIRECT)] = None


class IgnoreModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry below `ignore:`: differences that all of its globs match are not shown."""

    state: str = "*"
    sls: str = "*"
    argument: str | None = None


class FileModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of saltbranch.yaml; also the source of its JSON schema.

    requires: the oldest saltbranch that understands the file.
    """

    requires: Annotated[Any, msgspec.Meta(extra_json_schema={"type": ["string", "number"]})] = None
    remote: str | None = None
    root: str = "/srv/saltbranch"
    states_dir: str = "salt"
    pillar_dir: str = "pillar"
    master_config: str = "/etc/salt/master.d/saltbranch.conf"
    salt_config: str = "/etc/salt/master"
    group: str | None = None
    fetch_timeout: int = 300
    model_branch: str | None = None
    record_syncs: bool = False
    serves: list[str] | None = None
    programs: Annotated[list[Any], msgspec.Meta(extra_json_schema=_PROGRAMS)] = []
    tickets: str | None = None
    flow: FlowModel = FlowModel()
    hooks: HooksModel = HooksModel()
    fleet: str = "cache"
    gpg_keys: str | None = None
    ext_pillar: list[str] = []
    ignore: list[IgnoreModel] = []
    shown_pillar: list[str] = []
    missing: list[str] = []
    stand_in: str | None = None
    saltenvs: dict[str, SaltenvModel] | None = None


class Saltenv(msgspec.Struct, frozen=True):
    """One saltenv: its branch, the folder of that branch, its minions by id, and how it is promoted to.

    follow: a regular expression of tags, None for the branch's head. owned: paths that no promotion
    changes. overridable: names of gates. verify_switch: one of VERIFY_TOP, VERIFY_FLEET and VERIFY_OFF.
    direct_pushes: what becomes of what is pushed to the branch by hand, one of tips.POLICIES; allow where nothing is
    promoted to it.
    """

    name: str
    branch: str
    dirname: str
    minions: tuple[Matcher, ...]
    promote_from: str | None
    protected: bool
    follow: str | None = None
    mode: str = "merge"
    owned: tuple[str, ...] = ()
    back_merge: bool = True
    gates: tuple[Gate, ...] = ()
    overridable: tuple[str, ...] = ()
    verify_switch: str = VERIFY_OFF
    direct_pushes: str = ALLOW


class Source(msgspec.Struct, frozen=True):
    """Which model decided. place: what messages call it.

    branch, commit, blob: where it stands in the repository; None for a machine's own. problem: why a newer one
    does not count. ignored: keys of it that only a machine's file can set. differs: in what the saltenvs of the
    machine's own file, by which it serves, are others.
    """

    place: str
    branch: str | None = None
    commit: str | None = None
    blob: str | None = None
    problem: str = ""
    ignored: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()

    def shown(self) -> str:
        """In one line, for people."""
        return f"{self.place} at {self.commit[:12]}" if self.commit else self.place

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "place": self.place,
            "branch": self.branch,
            "commit": self.commit,
            "problem": self.problem or None,
            "ignored": list(self.ignored),
            "differs": list(self.differs),
        }


class Config(msgspec.Struct, frozen=True):
    """A checked configuration. Paths are absolute; `fetch_timeout` is in seconds.

    gpg_keys: GnuPG's folder with the keys of encrypted pillar. ext_pillar: names of the external
    pillars that are compiled, too. programs: those of a model that may run unasked. source: which model it is.
    elsewhere: saltenvs of the model that other machines serve.
    """

    path: str
    remote: str
    root: str
    states_dir: str
    pillar_dir: str
    master_config: str
    salt_config: str
    group: str | None
    fetch_timeout: int
    model_branch: str
    source: Source
    saltenvs: tuple[Saltenv, ...]
    elsewhere: tuple[Saltenv, ...] = ()
    programs: tuple[tuple[str, ...], ...] = ()
    record_syncs: bool = False
    tickets: str | None = None
    flow: FlowModel = FlowModel()
    hooks: HooksModel = HooksModel()
    fleet: str = "cache"
    gpg_keys: str | None = None
    ext_pillar: tuple[str, ...] = ()
    ignore: tuple[IgnoreModel, ...] = ()
    shown_pillar: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    stand_in: str | None = None

    def saltenv(self, name: str) -> Saltenv:
        """The saltenv called `name`. Raises ConfigError naming the nearest match."""
        for saltenv in self.saltenvs:
            if saltenv.name == name:
                return saltenv
        known = [s.name for s in self.saltenvs]
        raise ConfigError(
            f"there is no saltenv {name!r} in {self.path}",
            hint=_nearest(name, known) or f"known ones: {', '.join(known)}",
        )

    @property
    def groups(self) -> dict[str, tuple[Matcher, ...]]:
        """Saltenv to its minions, also of those that other machines serve: a minion belongs to one."""
        return {s.name: s.minions for s in (*self.saltenvs, *self.elsewhere)}

    def production(self) -> Saltenv:
        """The end of the chain: the last saltenv that is promoted to and that nothing is promoted from.

        Raises ConfigError when there is none, or more than one.
        """
        before = {s.promote_from for s in self.saltenvs}
        last = [s for s in self.saltenvs if s.promote_from and s.name not in before]
        own = self.of_branch(self.source.branch) if self.source.branch else None
        if own is not None and own.name not in before:
            return own  # the model stands on its branch, so that is production whatever else ends there
        if len(last) == 1:
            return last[0]
        names = ", ".join(s.name for s in last) or "none"
        raise ConfigError(
            f"{self.path}: the promote_from: of the saltenvs do not end in one saltenv (ends: {names})",
            hint="for example stage: {promote_from: test}, prod: {promote_from: stage}",
        )

    def chain(self, saltenv: Saltenv) -> list[Saltenv]:
        """`saltenv` and those that its code came through, down to the first."""
        found = [saltenv]
        while found[-1].promote_from:
            found.append(self.saltenv(found[-1].promote_from))
        return found

    def of_branch(self, branch: str) -> Saltenv | None:
        """The saltenv of a branch."""
        return next((s for s in self.saltenvs if s.branch == branch), None)

    def checkout(self, saltenv: Saltenv) -> str:
        """The symlink that Salt follows for `saltenv`."""
        return f"{self.root}/checkouts/{saltenv.dirname}"


def read_file(path: str) -> FileModel:
    """The file `path`, a machine's own, its keys and types checked.

    Raises ConfigError naming file, key and fix; RefusedError where root would believe somebody else.
    """
    ownership.refuse_for_root(path, "the configuration")
    return _read_file(path, files.signature(path))


@functools.lru_cache(maxsize=4)
def _read_file(path: str, _signature: str) -> FileModel:
    """One version of a file is parsed once: several steps of a first sync ask for it."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as err:
        raise ConfigError(
            f"cannot read {path}: {err.strerror}",
            hint="name the file with --config, or write one with: saltbranch init",
        ) from err
    except UnicodeDecodeError as err:
        raise ConfigError(f"{path} is not UTF-8 text: {err}", hint="save it as UTF-8") from err
    machine = parse(text, path)
    check_machine(machine, path)
    return machine


def parse(text: str, path: str) -> FileModel:
    """`text`, the content of `path`, as a FileModel. Raises ConfigError; TooOldError where it asks for a newer us."""
    if len(text) > _LARGEST:
        raise ConfigError(
            f"{path} has {len(text)} characters, which is not a configuration",
            hint=f"at most {_LARGEST}",
        )
    try:
        data = yaml.load(text, Loader=strictyaml.Loader)
    except yaml.YAMLError as err:
        mark = getattr(err, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else path
        problem = getattr(err, "problem", None) or str(err).splitlines()[0]
        raise ConfigError(f"{place}: not valid YAML: {problem}", hint="fix that line") from err
    except RecursionError as err:
        raise ConfigError(f"{path}: nested too deeply", hint="this is not a configuration") from err
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(
            f"{path} holds a {type(data).__name__}, not keys and values",
            hint="start with `remote:` and `saltenvs:`; saltbranch init writes an example",
        )
    _check_requires(data.get("requires"), text, path)
    _refuse_unknown(data, FileModel, path, text, ())
    _refuse_unknown(data.get("flow"), FlowModel, path, text, ("flow",))
    _refuse_unknown(data.get("hooks"), HooksModel, path, text, ("hooks",))
    saltenvs = data.get("saltenvs")
    if isinstance(saltenvs, dict):
        for name, entry in saltenvs.items():
            _refuse_unknown(entry, SaltenvModel, path, text, ("saltenvs", str(name)))
            if isinstance(entry, dict):
                where = ("saltenvs", str(name), "follow")
                _refuse_unknown(entry.get("follow"), FollowModel, path, text, where)
    try:
        return msgspec.convert(data, FileModel)
    except msgspec.ValidationError as err:
        message, _, place = str(err).partition(" - at `$.")
        key = place.rstrip("`").replace("saltenvs[...]", f"saltenvs.{_first_misfit(saltenvs)}")
        raise ConfigError(
            f"{path}: {key}: {message[0].lower()}{message[1:]}",
            hint="saltbranch init --remote URL --plan shows an example of the file",
        ) from err


def _check_requires(value: object, text: str, path: str) -> None:
    """Before all else: what only a newer saltbranch knows is no mistake of the file."""
    if value is None:
        return
    written = re.search(r"""^requires[ ]*:[ ]*['"]?([^'"\s#]+)""", text, re.MULTILINE)
    wanted = written[1] if written else str(value)  # YAML makes 0.1 of 0.10
    from packaging.version import InvalidVersion, Version

    try:
        too_old = Version(wanted) > Version(__version__)
    except InvalidVersion as err:
        raise ConfigError(
            f"{path}: requires: {wanted!r} is not a version", hint="for example requires: '0.3'"
        ) from err
    if too_old:
        raise TooOldError(
            f"{path} requires saltbranch {wanted}, and this is {__version__}",
            hint="upgrade saltbranch on this machine",
        )


def _first_misfit(saltenvs: object) -> str:
    """The name of the entry below `saltenvs:` that msgspec refuses; it tells only that there is one."""
    for name, entry in saltenvs.items() if isinstance(saltenvs, dict) else ():
        try:
            msgspec.convert({name: entry}, dict[str, SaltenvModel])
        except msgspec.ValidationError:
            return str(name)
    return "(unknown)"


def _refuse_unknown(
    data: object, model: type[msgspec.Struct], path: str, text: str, above: tuple[str, ...]
) -> None:
    if not isinstance(data, Mapping):
        return  # msgspec says what it should be
    known = [field.encode_name for field in msgspec.structs.fields(model)]
    for key in data:
        if key in known:
            continue
        place = (*above, str(key))
        line = strictyaml.line_of(text, place)
        raise ConfigError(
            f"{path}{f':{line}' if line else ''}: unknown key {'.'.join(place)}",
            hint=_nearest(str(key), known) or f"known ones: {', '.join(known)}",
        )


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, 1, 0.6)
    return f"did you mean {near[0]!r}?" if near else ""


def build(
    machine: FileModel,
    path: str,
    model: FileModel | None = None,
    *,
    origin: str = "",
    source: Source | None = None,
) -> Config:
    """The configuration that `machine`, the file `path`, stands for.

    model: the file of the production branch, which `source` describes; its machine keys do not count. Without
    it the saltenvs are those of `machine`. origin: the remote to use where `machine` names none. Raises ConfigError.
    """
    told = source or Source(path)
    place = told.place
    file = model if model is not None else machine
    remote = machine.remote or origin
    if not remote:
        raise ConfigError(
            f"{path}: no remote", hint="add `remote: <URL of the control repository>`"
        )
    check_remote(remote, path)
    check_machine(machine, path)
    states_dir = _inside("states_dir", file.states_dir, place)
    pillar_dir = _inside("pillar_dir", file.pillar_dir, place)
    _check_apart(states_dir, pillar_dir, place)
    if not file.saltenvs:
        raise NoSaltenvsError(
            f"{place}: no saltenvs",
            hint="add `saltenvs:` with a branch and minions for each; saltbranch init writes an example",
        )
    saltenvs = tuple(_saltenv(name, entry, place) for name, entry in file.saltenvs.items())
    _check_saltenvs(saltenvs, place)
    tickets.compile_pattern(file.tickets, place)
    check_flow(file.flow, place)
    _check_hooks(file.hooks, place)
    return Config(
        path=path,
        remote=remote,
        root=os.path.normpath(machine.root),
        states_dir=states_dir,
        pillar_dir=pillar_dir,
        master_config=os.path.normpath(machine.master_config),
        salt_config=os.path.normpath(machine.salt_config),
        group=machine.group,
        fetch_timeout=machine.fetch_timeout,
        model_branch=told.branch or model_branch(machine),
        source=told,
        saltenvs=saltenvs,
        programs=_programs(machine.programs, path),
        record_syncs=machine.record_syncs,
        tickets=file.tickets,
        flow=file.flow,
        hooks=file.hooks,
        fleet=file.fleet,
        gpg_keys=os.path.normpath(machine.gpg_keys) if machine.gpg_keys else None,
        ext_pillar=tuple(machine.ext_pillar),
        ignore=tuple(file.ignore),
        shown_pillar=tuple(file.shown_pillar),
        missing=tuple(file.missing),
        stand_in=_stand_in(file.stand_in, states_dir, pillar_dir, place),
    )


def check_model(text: str, place: str) -> tuple[FileModel, Config]:
    """`text` as a model, whole: whatever a verb could stumble over later is found now. Raises ConfigError."""
    model = parse(text, place)
    for where, pattern in _patterns(model, place):
        patterns.check(pattern, where)
    try:
        with limited(_SECONDS):
            return model, build(FileModel(remote="/"), place, model, source=Source(place))
    except TooSlow as err:
        raise ConfigError(
            f"{place}: it takes more than {_SECONDS:g} s to be read", hint="write it shorter"
        ) from err


def _patterns(model: FileModel, place: str) -> Iterator[tuple[str, re.Pattern[str]]]:
    """Every regular expression of a model, and where it stands. Raises ConfigError."""
    yield f"{place}: tickets", tickets.compile_pattern(model.tickets, place)
    for name, entry in (model.saltenvs or {}).items():
        where = f"{place}: saltenvs.{name}"
        if follow := _follow(entry.follow, f"{where}.follow.tags"):
            yield f"{where}.follow.tags", re.compile(follow)
        for matcher in parse_minions(entry.minions, f"{where}.minions"):
            if matcher.kind == "pcre":
                yield f"{where}.minions", re.compile(matcher.target)


def model_branch(machine: FileModel) -> str:
    """Which branch is production for this machine: `model_branch:`, else the end of its own saltenvs, else master."""
    if machine.model_branch is not None or not machine.saltenvs:
        return machine.model_branch or _MODEL_BRANCH
    before = {s.promote_from for s in machine.saltenvs.values()}
    last = [s.branch for n, s in machine.saltenvs.items() if s.promote_from and n not in before]
    return last[0] if len(last) == 1 else _MODEL_BRANCH


def ends(config: Config) -> set[str]:
    """The branches of the saltenvs that nothing is promoted from: one of them is production."""
    before = {s.promote_from for s in config.saltenvs}
    return {s.branch for s in config.saltenvs if s.name not in before}


def _check_hooks(hooks: HooksModel, place: str) -> None:
    for name in ("before_promote", "after_promote"):
        if command := getattr(hooks, name):
            split_command(command, f"{place}: hooks.{name}")


def _programs(entries: list[Any], path: str) -> tuple[tuple[str, ...], ...]:
    return tuple(split_command(entry, f"{path}: programs") for entry in entries)


def check_machine(machine: FileModel, path: str) -> None:
    """Refuse values of the machine's own keys that cannot be used. Raises ConfigError."""
    if machine.remote:
        check_remote(machine.remote, path)
    for key in ("root", "master_config", "salt_config"):
        _check_path(key, getattr(machine, key), path)
    if machine.gpg_keys is not None:
        _check_path("gpg_keys", machine.gpg_keys, path)
    for name in machine.ext_pillar:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ConfigError(
                f"{path}: ext_pillar: {name!r} is not a name of an external pillar",
                hint="the names only, for example ext_pillar: [nodegroups]; their settings are the master's",
            )
    if not 1 <= machine.fetch_timeout <= 86400:
        raise ConfigError(
            f"{path}: fetch_timeout: {machine.fetch_timeout} is not from 1 to 86400",
            hint="it is in seconds; the default is 300",
        )
    branch = machine.model_branch
    if branch is not None and (problem := branch_name_problem(branch)):
        raise _no_branch("model_branch", branch, problem, path)
    _programs(machine.programs, path)
    if machine.serves == []:
        raise ConfigError(
            f"{path}: serves: names no saltenv", hint="leave the key out to serve all of them"
        )


def _no_branch(key: str, branch: str, problem: str, path: str) -> ConfigError:
    shown = branch if len(branch) <= 300 else f"{branch[:300]}..."
    return ConfigError(
        f"{path}: {key}: {shown!r} is not a branch: {problem}",
        hint="write it as `git branch` shows it in a clone",
    )


def _saltenv(name: str, entry: SaltenvModel, path: str) -> Saltenv:
    if not _SALTENV.fullmatch(name) or name in _RESERVED:
        raise ConfigError(
            f"{path}: saltenvs.{name}: not a usable name for a saltenv",
            hint="letters, digits, '_', '-' and '.', starting with a letter or digit, 64 at most;"
            f" none of {', '.join(_RESERVED)}",
        )
    if problem := branch_name_problem(entry.branch):
        raise _no_branch(f"saltenvs.{name}.branch", entry.branch, problem, path)
    return Saltenv(
        name=name,
        branch=entry.branch,
        dirname=dirname(entry.branch),
        minions=parse_minions(entry.minions, f"{path}: saltenvs.{name}.minions"),
        promote_from=entry.promote_from,
        protected=entry.protected,
        follow=_follow(entry.follow, f"{path}: saltenvs.{name}.follow.tags"),
        mode=_mode(entry.mode, f"{path}: saltenvs.{name}.mode"),
        owned=tuple(_owned(p, f"{path}: saltenvs.{name}.") for p in entry.saltenv_owned),
        back_merge=entry.back_merge,
        gates=parse_gates(entry.gates, f"{path}: saltenvs.{name}.gates"),
        overridable=check_overridable(entry.overridable, f"{path}: saltenvs.{name}.overridable"),
        verify_switch=_verify_switch(entry, f"{path}: saltenvs.{name}.verify_switch"),
        direct_pushes=_direct_pushes(entry, f"{path}: saltenvs.{name}.direct_pushes"),
    )


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
    return entry.direct_pushes


def _follow(follow: FollowModel | None, where: str) -> str | None:
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
            " conflict with what the last one brought, and nobody could tell which commit is where",
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


def check_flow(flow: FlowModel, path: str) -> None:
    """Refuse prefixes that cannot begin a branch or be told apart. Raises ConfigError."""
    prefixes = [flow.feature, flow.release, flow.hotfix]
    for prefix in prefixes:
        if not prefix or branch_name_problem(f"{prefix}x"):
            raise ConfigError(
                f"{path}: flow: branch names cannot begin with {prefix!r}",
                hint="for example flow: {feature: feature/}",
            )
    if (
        any(a != b and a.startswith(b) for a in prefixes for b in prefixes)
        or len(set(prefixes)) < 3
    ):
        raise ConfigError(
            f"{path}: flow: the prefixes {', '.join(prefixes)} cannot be told apart",
            hint="give features, releases and hotfixes prefixes of their own",
        )
    if flow.version_tag and branch_name_problem(f"{flow.version_tag}1"):
        raise ConfigError(
            f"{path}: flow.version_tag: tags cannot begin with {flow.version_tag!r}",
            hint="for example version_tag: v",
        )


def dirname(branch: str) -> str:
    """The folder for `branch`: letters, digits and '._-' kept, everything else an underscore."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", branch)[:200]
    return f"_{safe}" if safe[:1] in ("", ".", "-") else safe


def _check_saltenvs(saltenvs: tuple[Saltenv, ...], path: str) -> None:
    folders: dict[str, Saltenv] = {}
    names = [s.name for s in saltenvs]
    for saltenv in saltenvs:
        other = folders.setdefault(saltenv.dirname, saltenv)
        if other is not saltenv:
            if other.branch == saltenv.branch:
                raise ConfigError(
                    f"{path}: saltenvs {other.name} and {saltenv.name} both name the branch {saltenv.branch}",
                    hint="give each saltenv a branch of its own",
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
                hint=_nearest(saltenv.promote_from, names) or f"known ones: {', '.join(names)}",
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
                f"{path}: saltenvs.{saltenv.name}.gates: {' and '.join(lost)} cannot be asked: they compare with the"
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


def check_remote(remote: str, path: str) -> None:
    """Refuse a URL that git would take for an option or a command. Raises ConfigError."""
    if remote.startswith("-") or any(ord(c) < 32 or ord(c) == 127 for c in remote):
        raise ConfigError(
            f"{path}: remote starts with '-' or holds a control character",
            hint="write a URL such as git@git.example.com:ops/salt.git",
        )
    if re.match(r"[A-Za-z0-9+.-]+::", remote):
        raise ConfigError(
            f"{path}: remote names a git remote helper ({remote.split('::')[0]}::), which may run commands",
            hint="use ssh, https, git or a path",
        )


def _check_path(key: str, value: str, path: str) -> None:
    if not value.startswith("/") or ".." in value.split("/") or any(ord(c) < 32 for c in value):
        raise ConfigError(
            f"{path}: {key}: {value!r} is not an absolute path without '..'",
            hint=f"write it in full, for example {key}: /srv/saltbranch",
        )
    if os.path.normpath(value) == "/":
        raise ConfigError(f"{path}: {key} cannot be /", hint="name a folder below it")


def _inside(key: str, value: str, path: str) -> str:
    parts = PurePosixPath(value).parts
    if not parts or value.startswith("/") or ".." in parts or any(ord(c) < 32 for c in value):
        raise ConfigError(
            f"{path}: {key}: {value!r} is not a folder inside the repository",
            hint=f"for example {key}: {'pillar' if key == 'pillar_dir' else 'salt'}",
        )
    return "/".join(parts)


def _stand_in(value: str | None, states_dir: str, pillar_dir: str, place: str) -> str | None:
    """A folder inside the repository, apart from what Salt serves."""
    if value is None:
        return None
    try:
        folder = _inside("stand_in", value.rstrip("/") or "/", place)
    except ConfigError as err:
        raise ConfigError(err.message, hint="for example stand_in: fleet/stand-in") from err
    for served in (states_dir, pillar_dir):
        if f"{folder}/".startswith(f"{served}/") or f"{served}/".startswith(f"{folder}/"):
            raise ConfigError(
                f"{place}: stand_in: {folder!r} and {served!r} contain one another, so minions would be served"
                " what stands in",
                hint="keep it beside the states and the pillar: stand_in: fleet/stand-in",
            )
    return folder


def _owned(value: str, where: str) -> str:
    """A path that no promotion changes. It is taken as it stands, so what looks like a pattern is a mistake."""
    if value.startswith((":", "!", "^")) or any(c in value for c in "*?[\\"):
        raise ConfigError(
            f"{where}saltenv_owned: {value!r} is a pattern, and only paths are known there",
            hint="name the file, or a folder for all that is in it: pillar/prod",
        )
    try:
        return _inside("saltenv_owned", value.rstrip("/") or "/", where.rstrip("."))
    except ConfigError as err:
        raise ConfigError(err.message, hint="for example saltenv_owned: [pillar/prod]") from err


def _check_apart(states_dir: str, pillar_dir: str, path: str) -> None:
    one, two = PurePosixPath(states_dir), PurePosixPath(pillar_dir)
    if one == two or one in two.parents or two in one.parents:
        raise ConfigError(
            f"{path}: states_dir {states_dir!r} and pillar_dir {pillar_dir!r} contain one another, so"
            " every minion could read the pillar of all as salt:// files",
            hint="keep states and pillar in two folders side by side",
        )


def json_schema() -> dict[str, object]:
    """A JSON schema of saltbranch.yaml, for editors."""
    return msgspec.json.schema(FileModel)
