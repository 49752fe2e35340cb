"""saltbranch.yaml found, read and parsed: a machine's own file, or the text of a model.

Two parts may live apart. The machine's part (remote, root, ...) is each master's own. The model
(saltenvs) stands in the same file or, where that file names no saltenvs, in `saltbranch.yaml` at the
root of the control repository, read from the production branch: a change of the mapping then
counts only after it was promoted like any other.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

import msgspec
import yaml

from saltbranch import __version__
from saltbranch.base import files, ownership, patterns, strict_yaml
from saltbranch.base.errors import ConfigError, TooOldError
from saltbranch.base.text import nearest
from saltbranch.base.time_limit import TooSlow, limited
from saltbranch.config.check import build_config, check_machine, patterns_of
from saltbranch.config.keys import FileModel, FlowModel, FollowModel, HooksModel, SaltenvModel
from saltbranch.config.model import Config, Source
from saltbranch.config.notify import NotifyModel

_LARGEST = 1_000_000
_SECONDS = 5.0


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
    machine = parse_file(text, path)
    check_machine(machine, path)
    return machine


def parse_file(text: str, path: str) -> FileModel:
    """`text`, the content of `path`, as a FileModel. Raises ConfigError; TooOldError where it asks for a newer us."""
    if len(text) > _LARGEST:
        raise ConfigError(
            f"{path} has {len(text)} characters, which is not a configuration",
            hint=f"at most {_LARGEST}",
        )
    try:
        data = yaml.load(text, Loader=strict_yaml.Loader)
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
    _refuse_unknown_rules(data.get("notify"), path, text)
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


def check_model(text: str, place: str) -> tuple[FileModel, Config]:
    """`text` as a model, whole: whatever a verb could stumble over later is found now. Raises ConfigError."""
    model = parse_file(text, place)
    for where, pattern in patterns_of(model, place):
        patterns.check(pattern, where)
    try:
        with limited(_SECONDS):
            return model, build_config(FileModel(remote="/"), place, model, source=Source(place))
    except TooSlow as err:
        raise ConfigError(
            f"{place}: it takes more than {_SECONDS:g} s to be read", hint="write it shorter"
        ) from err


def _check_requires(value: object, text: str, path: str) -> None:
    """Before all else: what only a newer saltbranch knows is not a mistake in the file."""
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


def _refuse_unknown_rules(rules: object, path: str, text: str) -> None:
    for rule in rules if isinstance(rules, list) else ():
        _refuse_unknown(rule, NotifyModel, path, text, ("notify",))


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
        line = strict_yaml.line_of(text, place)
        raise ConfigError(
            f"{path}{f':{line}' if line else ''}: unknown key {'.'.join(place)}",
            hint=nearest(str(key), known) or f"known ones: {', '.join(known)}",
        )
