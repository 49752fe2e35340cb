"""Salt's configuration files as they stand on disk: which file sets which option.

Salt merges them all into one set of options (salt/config/__init__.py, master_config,
include_config) and forgets where each came from. A person who has to fix one wants to know.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

MASTER_INCLUDE = "master.d/*.conf"
_DEEPEST = 10  # includes inside includes; Salt itself knows no limit


@dataclass(frozen=True, slots=True)
class ConfFile:
    """One file and the options in it; `problem` says why it could not be read."""

    path: str
    options: Mapping[str, Any]
    problem: str | None = None


def read(path: str, default_include: str) -> list[ConfFile]:
    """The file `path` and those it includes, in the order in which Salt reads them.

    default_include: Salt's default for that option: ``master.d/*.conf`` or ``minion.d/*.conf``.
    """
    main = _read_one(path)
    patterns = [main.options.get("default_include", default_include)]
    patterns += _listed(main.options.get("include"))
    return [main, *(file for pattern in patterns for file in _included(path, pattern, 1))]


def places(files: Sequence[ConfFile]) -> dict[str, tuple[str, ...]]:
    """Option to the files that set it, in order."""
    found: dict[str, tuple[str, ...]] = {}
    for file in files:
        for key in file.options:
            found[str(key)] = (*found.get(str(key), ()), file.path)
    return found


def effective(path: str, default_include: str, own: str, text: str | None = None) -> dict[str, Any]:
    """The options as Salt merges them, where `text` is what stands in the file `own`; None: without that file.

    The main file first; what `default_include` brings replaces its options, and what `include` brings replaces
    those. Files that come by the same of the two are joined, lists and mappings too (salt/config/__init__.py,
    master_config and include_config). A file that cannot be read counts as empty.
    """
    parsed = yaml.safe_load(text) if text is not None else None
    mine = parsed if isinstance(parsed, dict) else {}
    place = (own, None if text is None else mine)
    main = dict(_read_one(path).options)
    patterns = (main.get("default_include", default_include), main.get("include"))
    for listed in patterns:
        main.update(_joined_all(path, _listed(listed), place, 1))
    return {str(key): value for key, value in main.items()}


def _joined_all(
    path: str, patterns: Sequence[object], place: tuple[str, Mapping[str, Any] | None], depth: int
) -> dict[str, Any]:
    own, mine = place
    found: dict[str, Any] = {}
    for pattern in patterns if depth <= _DEEPEST else ():
        if not isinstance(pattern, str):
            continue
        full = os.path.join(os.path.dirname(path), os.path.expanduser(pattern))
        names = [name for name in glob.glob(full) if not _is_same(name, own)]
        if mine is not None and fnmatch.fnmatch(os.path.realpath(own), os.path.realpath(full)):
            names.append(f"{os.path.dirname(full)}/{os.path.basename(own)}")
        for name in sorted(names):
            options = dict(mine or {}) if _is_same(name, own) else dict(_read_one(name).options)
            options.update(_joined_all(name, _listed(options.get("include")), place, depth + 1))
            found = _joined(found, options)
    return found


def _is_same(name: str, other: str) -> bool:
    return os.path.realpath(name) == os.path.realpath(other)


def _joined(one: Any, other: Any) -> Any:
    """As salt/utils/dictupdate.py, update, does it with merge_lists."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        both = {key: _joined(one[key], other[key]) for key in one if key in other}
        return {**one, **other, **both}
    if isinstance(one, list) and isinstance(other, list):
        return [*one, *(item for item in other if item not in one)]
    return other


def merged(files: Sequence[ConfFile]) -> dict[str, Any]:
    """The options of all files; of two that set the same one the later counts."""
    return {str(key): value for file in files for key, value in file.options.items()}


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value] if value else []


def _included(path: str, pattern: object, depth: int) -> list[ConfFile]:
    if not isinstance(pattern, str) or depth > _DEEPEST:
        return []
    found = []
    for name in sorted(glob.glob(os.path.join(os.path.dirname(path), os.path.expanduser(pattern)))):
        file = _read_one(name)
        found.append(file)
        for inner in _listed(file.options.get("include")):
            found += _included(name, inner, depth + 1)
    return found


def _read_one(path: str) -> ConfFile:
    try:
        with open(path, encoding="utf-8") as file:
            data = yaml.safe_load(file)
    except OSError as err:
        return ConfFile(path, {}, err.strerror or "it cannot be read")
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        return ConfFile(path, {}, f"not valid YAML: {_first_line(err)}")
    if data is None:
        return ConfFile(path, {})
    if not isinstance(data, dict):
        return ConfFile(path, {}, "it is not a mapping of options")
    return ConfFile(path, data)


def _first_line(err: Exception) -> str:
    """What is wrong and where, never the text around it, which may be a secret."""
    mark = getattr(err, "problem_mark", None)
    place = f" (line {mark.line + 1})" if mark else ""
    return f"{getattr(err, 'problem', None) or type(err).__name__}{place}"
