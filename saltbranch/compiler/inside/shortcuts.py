"""What Salt does anew for every object and every minion though it comes out the same: kept, or done shorter.

Loaders list their folders and run the text of their modules, templates are compiled, again and again. The
worker does it once for all of its forks. It believes nothing that a fork made, for a fork has run the
branch's code: of modules it is told the names, and runs Salt's own files by these (`learn`); for templates
see `templates`.
"""

from __future__ import annotations

import copy
import fnmatch
import importlib.machinery
import importlib.util
import inspect
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType, SimpleNamespace
from typing import Any

import salt.fileclient
import salt.fileserver
import salt.loader
import salt.loader.lazy as lazy
import salt.pillar
import salt.state
import salt.utils.data
import salt.utils.dictupdate
import salt.utils.entrypoints

from saltbranch.compiler.inside import templates
from saltbranch.compiler.inside.current_minion import BASE, quietly

try:
    import salt.utils.optsdict as optsdict
except ImportError:  # Salt 3006 and 3007 copy their options instead
    optsdict = None


def install() -> None:
    """Change Salt in this process, once."""
    _remember_listings()
    _remember_modules()
    templates.install()
    _remember_patterns()
    _leave_detours_out()


def own_modules(folders: Iterable[str], tag: str) -> dict[str, str]:
    """Name, as loaders give it, and path of each of Salt's modules in those of `folders` that are Salt's."""
    return {
        f"salt.loaded.int.{tag}.{name.removesuffix('.py')}": f"{folder}/{name}"
        for folder in folders
        if folder.startswith(f"{BASE}/")
        for name in os.listdir(folder)
        if name.endswith(".py")
    }


# Listings


_LISTED: list[dict[Any, Any]] = []
"""What was remembered of names of files, by saltenv: of a tree, and so of no other."""


def forget_listings() -> None:
    """Forget the names of files: Salt looks into a saltenv ``base`` whether or not anybody has it."""
    for known in _LISTED:
        known.clear()


def _of_tree() -> dict[Any, Any]:
    """A new dictionary that `forget_listings` empties."""
    _LISTED.append({})
    return _LISTED[-1]


def _remember_listings() -> None:
    """The tree cannot change while we work, so its folders are listed once."""
    mapping = lazy.LazyLoader._refresh_file_mapping
    mappings: dict[Any, tuple[Any, ...]] = {}

    def refresh(self: Any) -> None:
        key = (
            tuple(self.module_dirs),
            self.tag,
            frozenset(self.disabled),
            tuple(self.static_modules),
        )
        if key not in mappings:
            with quietly():
                mapping(self)
            mappings[key] = (self.file_mapping, self.suffix_map, self.suffix_order)
        files, suffixes, order = mappings[key]
        self.file_mapping, self.suffix_map, self.suffix_order = (
            dict(files),
            dict(suffixes),
            [*order],
        )

    lazy.LazyLoader._refresh_file_mapping = refresh
    _remember_module_folders()
    salt.fileclient.PillarClient.file_list = _remembered_list(
        salt.fileclient.PillarClient.file_list
    )
    listed = salt.fileserver.Fileserver.file_list
    lists = _of_tree()

    def file_list(self: Any, load: Any) -> Any:
        key = f"{load.get('saltenv')}\0{load.get('prefix')}"
        if key not in lists:
            with quietly():
                lists[key] = listed(self, load)
        return list(lists[key])

    salt.fileserver.Fileserver.file_list = file_list
    list_states = salt.fileclient.Client.list_states
    states = _of_tree()

    def states_of(self: Any, saltenv: str) -> list[str]:
        key = (type(self), saltenv)
        if key not in states:
            states[key] = list_states(self, saltenv)
        return list(states[key])

    salt.fileclient.Client.list_states = states_of
    salt.fileserver.Fileserver.update = lambda *_args, **_kwargs: None
    points = salt.utils.entrypoints.iter_entry_points
    found: dict[Any, Any] = {}

    def iter_entry_points(group: str, name: str | None = None) -> Any:
        if (group, name) not in found:
            with quietly():
                found[group, name] = points(group, name)
        return found[group, name]

    salt.utils.entrypoints.iter_entry_points = iter_entry_points


def _remember_module_folders() -> None:
    """Where the modules of a kind are: Salt's own folder, the branch's, those of extensions."""
    real = salt.loader._module_dirs
    found: dict[Any, list[str]] = {}

    def module_dirs(opts: Any, ext_type: str, tag: str | None = None, **options: Any) -> list[str]:
        if ext_type == "grains" or opts.get("resource_type"):
            return list(real(opts, ext_type, tag, **options))
        own = options.get("ext_type_dirs") or f"{tag or ext_type}_dirs"
        key = (ext_type, tag, repr(options), str(opts.get("module_dirs")), str(opts.get(own)))
        if key not in found:
            with quietly():
                found[key] = real(opts, ext_type, tag, **options)
        return list(found[key])

    salt.loader._module_dirs = module_dirs


def _remembered_list(listed: Callable[..., Any]) -> Callable[..., Any]:
    lists = _of_tree()

    def file_list(self: Any, saltenv: str = "base", prefix: str = "") -> Any:
        if (saltenv, prefix) not in lists:
            with quietly():
                lists[saltenv, prefix] = listed(self, saltenv, prefix)
        return list(lists[saltenv, prefix])

    return file_list


# Modules


class _Once(importlib.machinery.SourceFileLoader):
    """Runs the text of one of Salt's own modules once in a process, not once for every loader."""

    def exec_module(self, module: Any) -> None:
        if not self.path.startswith(BASE):
            super().exec_module(module)
            return
        if getattr(module, "__saltbranch_run__", None) == self.path:
            return
        if self.path in FAILED:
            raise FAILED[self.path]
        LOADED[module.__name__] = self.path
        try:
            with (
                quietly()
            ):  # Salt's own text looks for libraries and programs, whatever the branch is
                super().exec_module(module)
        except Exception as err:
            FAILED[self.path] = err.with_traceback(None)
            raise
        module.__saltbranch_run__ = self.path
        for end, change in CHANGES.items():
            if self.path.endswith(end):
                change(module)


LOADED: dict[str, str] = {}
"""Salt's own modules that this process ran, by the name that the loaders give them."""
FAILED: dict[str, Exception] = {}
"""Those that cannot be run here, for want of a library, by their path: every loader would try anew."""
CHANGES: dict[str, Callable[[Any], None]] = {}
"""What is to be changed in a module of Salt after it ran, by the end of its path."""


def _remember_modules() -> None:
    for kind, loader in list(lazy.MODULE_KIND_MAP.items()):
        if loader is importlib.machinery.SourceFileLoader:
            lazy.MODULE_KIND_MAP[kind] = _Once


def learn(modules: Mapping[str, str]) -> None:
    """Run modules of Salt, by name and path, as a loader would before it asks them whether they fit."""
    for name, path in modules.items():
        if name in sys.modules:
            continue
        spec = importlib.util.spec_from_file_location(name, path, loader=_Once(name, path))
        if spec is None or spec.loader is None:
            continue
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception:
            continue  # the loader will say so in its own words
        sys.modules[name] = module


# Patterns


PATTERNS: list[str] = []
"""Globs that this process had to translate and compile."""
_LONGEST_PATTERN = 200


def _remember_patterns() -> None:
    translate = fnmatch.translate

    def translated(pattern: str) -> str:
        if isinstance(pattern, str):
            PATTERNS.append(pattern)
        return translate(pattern)

    fnmatch.translate = translated  # type: ignore[assignment]


def learn_patterns(patterns: Iterable[str]) -> None:
    """Compile globs, which must be no secrets: they stay in this process."""
    for pattern in patterns:
        if len(pattern) <= _LONGEST_PATTERN:
            fnmatch.fnmatchcase("", pattern)


# Detours


def _leave_detours_out() -> None:
    """Shorter ways to the same result, for what Salt does some hundred times for each minion."""
    decode = salt.utils.data.decode

    def decoded(data: Any, *args: Any, **kwargs: Any) -> Any:
        if not args and not kwargs:
            if type(data) is str:
                return data
            try:
                return _plain(data)
            except (_Unusual, RecursionError):
                pass
        return decode(data, *args, **kwargs)

    salt.utils.data.decode = decoded
    for module in (salt.state, salt.utils.dictupdate, optsdict):
        if module is not None:
            module.copy = SimpleNamespace(deepcopy=_copied, copy=copy.copy)
    salt.pillar.copy = SimpleNamespace(deepcopy=_copied_options, copy=copy.copy)
    if optsdict is not None:
        optsdict.OptsDict.__getitem__ = _option
        optsdict.OptsDict.__bool__ = _has_options
    # Salt makes importlib forget its listings after every module; no folder changes here.
    lazy.LazyLoader._LazyLoader__clean_sys_path = _clean_sys_path
    lazy.inspect = SimpleNamespace(
        isfunction=inspect.isfunction, iscoroutinefunction=_is_coroutine_function
    )


class _Unusual(Exception):
    """Not of the types that YAML usually gives."""


_ATOMS = frozenset((str, int, float, bool, type(None)))


def _plain(data: Any) -> Any:
    """What `salt.utils.data.decode` gives for mappings and lists of texts and numbers."""
    kind = type(data)
    if kind in _ATOMS:
        return data
    if kind is dict or kind is OrderedDict:
        if not _ATOMS.issuperset(map(type, data)):
            raise _Unusual
        return {key: _plain(value) for key, value in data.items()}
    if kind is list:
        return [_plain(value) for value in data]
    raise _Unusual


def _copied(data: Any, memo: dict[int, Any] | None = None) -> Any:
    """`copy.deepcopy`, quick for mappings and lists; what appears twice in `data` is one thing in the copy."""
    kind = type(data)
    if kind in _ATOMS:
        return data
    memo = {} if memo is None else memo
    if kind is not dict and kind is not OrderedDict and kind is not list:
        return copy.deepcopy(data, memo)
    made: Any = memo.get(id(data))
    if made is not None:
        return made
    made = memo[id(data)] = kind()
    if kind is list:
        made += [_copied(item, memo) for item in data]
    else:
        for key, value in data.items():
            made[key] = value if type(value) in _ATOMS else _copied(value, memo)
    return made


# What Salt changes inside of the options that it copies for a pillar (salt/pillar/__init__.py).
_CHANGED = frozenset(("pillar_roots", "file_roots", "ext_pillar", "grains", "pillar"))


def _copied_options(opts: Any) -> Any:
    """`copy.deepcopy` for options, which are one minion's and end with this process."""
    if not isinstance(opts, dict):
        return _copied(opts)
    return {key: _copied(opts[key]) if key in _CHANGED else opts[key] for key in opts}


def _option(self: Any, key: Any) -> Any:
    """`OptsDict.__getitem__` without its lock, for there is one thread (salt/utils/optsdict.py)."""
    node = self
    while node is not None:
        if key in node._local:
            value = node._local[key]
            break
        if node._parent is None:
            value = node._base[key]
            break
        node = node._parent
    if value is optsdict._DELETED:
        raise KeyError(key)
    if node is self and key in self._local:
        return value
    if isinstance(value, dict) and not isinstance(value, optsdict.OptsDict):
        return self._proxy_for(key, value, optsdict.DictProxy)
    if isinstance(value, list):
        return self._proxy_for(key, value, optsdict.ListProxy)
    return value


def _has_options(self: Any) -> bool:
    """Whether an `OptsDict` has any key; Salt often asks that, and counts all of them."""
    node = self
    while not node._local:
        if node._parent is None:
            return bool(node._base)
        node = node._parent
    if any(value is not optsdict._DELETED for value in node._local.values()):
        return True
    return any(key in node for key in node._get_all_keys())


def _is_coroutine_function(function: Any) -> bool:
    if type(function) is FunctionType:
        return bool(function.__code__.co_flags & inspect.CO_COROUTINE)
    return inspect.iscoroutinefunction(function)


def _clean_sys_path(self: Any) -> None:
    for directory in self._clean_module_dirs:
        if directory in sys.path:
            sys.path.remove(directory)
    self._clean_module_dirs = []
