"""What Salt does anew for every object and every minion though it comes out the same: kept, or done shorter.

Loaders list their folders and run the text of their modules, templates are compiled, again and again. The
worker does it once for all of its forks. It believes nothing that a fork made, for a fork has run the
branch's code: of modules it is told the names, and runs Salt's own files by these (`learn`); for templates
see `templates`.
"""

from __future__ import annotations

import fnmatch
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import salt.fileclient
import salt.fileserver
import salt.loader
import salt.loader.lazy as lazy
import salt.utils.entrypoints

from saltbranch.compiler.inside import detours, templates
from saltbranch.compiler.inside.current_minion import BASE, quietly


def install() -> None:
    """Change Salt in this process, once."""
    _remember_listings()
    _remember_modules()
    templates.install()
    _remember_patterns()
    detours.leave_out()


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
    _ask_no_roots_to_begin()
    salt.fileserver.Fileserver.update = lambda *_args, **_kwargs: None
    points = salt.utils.entrypoints.iter_entry_points
    found: dict[Any, Any] = {}

    def iter_entry_points(group: str, name: str | None = None) -> Any:
        if (group, name) not in found:
            with quietly():
                found[group, name] = points(group, name)
        return found[group, name]

    salt.utils.entrypoints.iter_entry_points = iter_entry_points


def _ask_no_roots_to_begin() -> None:
    """Salt looks for a function `roots.init`. There is none, so its loader loads every other file server in search
    of it, that of git and all of its library among them, once for each of a minion's clients of files.
    """
    begin = salt.fileserver.Fileserver.init

    def init(self: Any, back: Any = None) -> None:
        paths = [str(found[0]) for found in self.servers.file_mapping.values()]
        are_own = all(path.startswith(f"{BASE}/") for path in paths)
        if self.backends(back) != ["roots"] or not are_own:
            begin(self, back)

    salt.fileserver.Fileserver.init = init


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
    named: Any = getattr(lazy, "_update_module_attrs", None)

    def name(module: Any, spec: Any) -> None:
        """Tell a module its name and place, which one that ran in here has been told."""
        if getattr(module, "__saltbranch_run__", "") != spec.origin or module.__name__ != spec.name:
            named(module, spec)

    if named is not None:
        lazy._update_module_attrs = name


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
