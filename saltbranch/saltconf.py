"""Salt's configuration files as they stand on disk: which file sets which option.

Salt merges them all into one set of options (salt/config/__init__.py, master_config,
include_config) and forgets where each came from. A person who has to mend one wants to know.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

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
        return ConfFile(path, {}, "it is no mapping of options")
    return ConfFile(path, data)


def _first_line(err: Exception) -> str:
    """What is wrong and where, never the text around it, which may be a secret."""
    mark = getattr(err, "problem_mark", None)
    place = f" (line {mark.line + 1})" if mark else ""
    return f"{getattr(err, 'problem', None) or type(err).__name__}{place}"
