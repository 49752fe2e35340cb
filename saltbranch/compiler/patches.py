"""What is changed in Salt inside a compiling process: what it asks of the host, and what it repeats.

Three kinds. *Answers*: execution functions that would look at this machine or act on it answer from
what was recorded of the minion, or neutrally. *Grains decide*: which of several modules is ``pkg`` or
``service`` must not depend on programs that happen to be installed here. *Memory*: Salt's loaders list
their folders, run the text of their modules and compile templates anew for every object made; what
comes out is the same every time in one tree, so it is kept.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.machinery
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from types import CodeType, SimpleNamespace
from typing import Any

import jinja2.environment
import salt.fileclient
import salt.fileserver
import salt.loader.lazy as lazy
import salt.pillar
import salt.state
import salt.template
import salt.utils.entrypoints
import salt.utils.optsdict
import salt.utils.path
import salt.utils.systemd
import salt.utils.url
from salt.exceptions import SaltRenderError

import salt
from saltbranch.compiler import neutral
from saltbranch.compiler.tracking import Tracker

BASE = os.path.dirname(os.path.abspath(salt.__file__))
_LISTING = ("cp.list_states", "cp.list_master", "cp.list_master_dirs", "cp.get_dir", "cp.cache_dir",
            "slsutil.findup", "state.sls_exists", "cp.list_master_symlinks")  # fmt: skip


class Host:
    """Who answers for the host: of the minion that is compiled now."""

    def __init__(self) -> None:
        self.returns: Mapping[str, Any] = {}
        self.grains: Mapping[str, Any] = {}
        self.tracker: Tracker | None = None
        self.neutral: dict[str, None] = {}
        self.custom: dict[str, None] = {}
        self.undecipherable = 0
        self.loading = 0
        self.kinds: Mapping[str, str] = {}


HOST = Host()


def install(code_folder: str | None) -> None:
    """Change Salt in this process, once. code_folder: where compiled templates are kept."""
    _remember_listings()
    _remember_modules()
    _serve_in_place()
    _remember_templates(code_folder)
    _answer_for_the_host()
    _let_grains_decide()
    _watch_patterns()
    _refuse_unknown_renderers()


# Answers


def _answer_for_the_host() -> None:
    real = lazy.LazyLoader.__getitem__

    def getitem(self: Any, item: Any) -> Any:
        if self.tag != "module" or HOST.loading or not isinstance(item, str):
            return real(self, item)
        if neutral.answers(HOST.returns, item):
            return _answer(item, None)
        if neutral.runs(item):
            if item in _LISTING and HOST.tracker:
                for kind in HOST.kinds.values():
                    HOST.tracker.listing(kind)
            return real(self, item)
        try:
            found = real(self, item)
        except KeyError:
            if not _is_known(self, item):
                raise
            return _answer(item, None)
        if not _is_salts_own(found):
            HOST.custom[item] = None
            return found
        return _answer(item, found)

    lazy.LazyLoader.__getitem__ = getitem


def _is_salts_own(function: Any) -> bool:
    code = getattr(getattr(function, "func", function), "__code__", None)
    return code is None or code.co_filename.startswith(BASE)


def _is_known(loader: Any, item: str) -> bool:
    """Whether Salt has such a module at all, though it refused to load here."""
    module = item.partition(".")[0]
    return module in loader.file_mapping or module in ("pkg", "service", "user", "group", "shadow")


def _answer(function: str, like: Any) -> Callable[..., Any]:
    def answer(*args: Any, **kwargs: Any) -> Any:
        known, value = neutral.recorded(HOST.returns, function, args, kwargs)
        if known:
            return value
        HOST.neutral[function] = None
        if function in ("config.get", "environ.get", "mine.get") and "default" in kwargs:
            return kwargs["default"]
        return neutral.default(function)

    answer.__name__ = function.rpartition(".")[2]
    answer.__doc__ = getattr(like, "__doc__", None)
    return answer


# Grains decide


def _let_grains_decide() -> None:
    which, booted = salt.utils.path.which, salt.utils.systemd.booted
    process = lazy.LazyLoader._process_virtual

    def virtual(self: Any, mod: Any, *args: Any, **kwargs: Any) -> Any:
        HOST.loading += 1
        own = str(getattr(mod, "__file__", "")).startswith(f"{BASE}/")
        try:
            with _quietly() if own else nullcontext():
                return process(self, mod, *args, **kwargs)
        finally:
            HOST.loading -= 1

    def which_here(exe: Any = None) -> Any:
        """Inside __virtual__ every program is there: grains tell Debian's module from RedHat's."""
        return f"/usr/bin/{exe}" if HOST.loading and exe else which(exe)

    def booted_here(context: Any = None) -> bool:
        init = HOST.grains.get("init")
        return init == "systemd" if init else bool(HOST.grains.get("kernel", "Linux") == "Linux")

    del booted
    lazy.LazyLoader._process_virtual = virtual
    salt.utils.path.which = which_here
    salt.utils.systemd.booted = booted_here


# What Salt only logs


def _refuse_unknown_renderers() -> None:
    """Salt renders a file with a renderer that it does not have to nothing at all."""
    shebang = salt.template.template_shebang

    def template_shebang(
        template: Any, renderers: Any, default: Any, blacklist: Any, whitelist: Any, input_data: Any
    ) -> Any:
        found = shebang(template, renderers, default, blacklist, whitelist, input_data)
        if not found:
            line = str(input_data).strip().partition("\n")[0]
            name = line[2:].strip() if line.startswith("#!") else default
            raise SaltRenderError(f"there is no renderer {name!r} here")
        return found

    salt.template.template_shebang = template_shebang


# What the names of files decide


def _watch_patterns() -> None:
    def watched(kind: str) -> SimpleNamespace:
        def filter_(names: Any, pattern: str) -> list[str]:
            if HOST.tracker:
                HOST.tracker.pattern(HOST.kinds.get(kind, kind), pattern)
            return fnmatch.filter(names, pattern)

        return SimpleNamespace(
            filter=filter_, fnmatch=fnmatch.fnmatch, fnmatchcase=fnmatch.fnmatchcase
        )

    salt.state.fnmatch = watched("states")
    salt.pillar.fnmatch = watched("pillar")


# Memory


def _remember_listings() -> None:
    """The tree cannot change while we work, so its folders are listed once."""
    # Salt asks each of its option mappings whether it is true, which counts all of its keys.
    salt.utils.optsdict.OptsDict.__bool__ = lambda self: any(
        k in self for k in self._get_all_keys()
    )
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
            with _quietly():
                mapping(self)
            mappings[key] = (self.file_mapping, self.suffix_map, self.suffix_order)
        files, suffixes, order = mappings[key]
        self.file_mapping, self.suffix_map, self.suffix_order = (
            dict(files),
            dict(suffixes),
            [*order],
        )

    lazy.LazyLoader._refresh_file_mapping = refresh
    salt.fileclient.PillarClient.file_list = _remembered_list(
        salt.fileclient.PillarClient.file_list
    )
    listed = salt.fileserver.Fileserver.file_list
    lists: dict[str, Any] = {}

    def file_list(self: Any, load: Any) -> Any:
        key = f"{load.get('saltenv')}\0{load.get('prefix')}"
        if key not in lists:
            with _quietly():
                lists[key] = listed(self, load)
        return list(lists[key])

    salt.fileserver.Fileserver.file_list = file_list
    salt.fileserver.Fileserver.update = lambda *_args, **_kwargs: None
    points = salt.utils.entrypoints.iter_entry_points
    found: dict[Any, Any] = {}

    def iter_entry_points(group: str, name: str | None = None) -> Any:
        if (group, name) not in found:
            with _quietly():
                found[group, name] = points(group, name)
        return found[group, name]

    salt.utils.entrypoints.iter_entry_points = iter_entry_points


def _serve_in_place() -> None:
    """A minion copies each file that it is served into its cache, and compares hashes every time.

    Here the cache is laid out beforehand (`onefork.Shop`), as links into the tree.
    """
    real = salt.fileclient.FSClient.get_file

    def get_file(
        self: Any,
        path: str,
        dest: str = "",
        makedirs: bool = False,  # noqa: FBT001, FBT002
        saltenv: str = "base",
        gzip: Any = None,
        cachedir: str | None = None,
    ) -> Any:
        plain, env = salt.utils.url.split_env(path)
        folder = f"{self.opts['cachedir']}/files/{env or saltenv}"
        if dest != "" or cachedir is not None or not os.path.isdir(folder):
            return real(self, path, dest, makedirs, saltenv, gzip, cachedir)
        found = self._channel.fs.find_file(self._check_proto(plain), env or saltenv)
        return f"{folder}/{found['rel']}" if found.get("path") else False

    salt.fileclient.FSClient.get_file = get_file


def _remembered_list(listed: Callable[..., Any]) -> Callable[..., Any]:
    lists: dict[Any, Any] = {}

    def file_list(self: Any, saltenv: str = "base", prefix: str = "") -> Any:
        if (saltenv, prefix) not in lists:
            with _quietly():
                lists[saltenv, prefix] = listed(self, saltenv, prefix)
        return list(lists[saltenv, prefix])

    return file_list


def _quietly() -> Any:
    return HOST.tracker.paused() if HOST.tracker else nullcontext()


class _Once(importlib.machinery.SourceFileLoader):
    """Runs the text of one of Salt's own modules once in a process, not once for every loader."""

    def exec_module(self, module: Any) -> None:
        if not self.path.startswith(BASE):
            super().exec_module(module)
            return
        if getattr(module, "__saltbranch_run__", None) == self.path:
            return
        LOADED[module.__name__] = self.path
        with _quietly():  # Salt's own text looks for libraries and programs, whatever the branch is
            super().exec_module(module)
        module.__saltbranch_run__ = self.path
        if self.path.endswith("/renderers/gpg.py"):
            module._decrypt_ciphertext = _undecipherable


LOADED: dict[str, str] = {}
"""Salt's own modules that this process ran, by the name that the loaders give them."""


def _undecipherable(cipher: Any, *_args: Any) -> Any:
    """There are no keys in here: the encrypted text stands for what it hides."""
    HOST.undecipherable += 1
    return cipher


def _remember_modules() -> None:
    for kind, loader in list(lazy.MODULE_KIND_MAP.items()):
        if loader is importlib.machinery.SourceFileLoader:
            lazy.MODULE_KIND_MAP[kind] = _Once


def preload(modules: Mapping[str, str]) -> None:
    """Run modules of Salt beforehand, as a loader would before it asks them whether they fit."""
    for name, path in modules.items():
        if name in sys.modules or not path.startswith(f"{BASE}/"):
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


def _remember_templates(folder: str | None) -> None:
    """Jinja's own cache knows no templates from strings, and every sls file comes as one."""
    import marshal

    real: Any = jinja2.environment.Environment.compile
    kept = TEMPLATES

    def compiled(self: Any, source: Any, name: Any = None, filename: Any = None, raw: bool = False,  # noqa: FBT001, FBT002
                 defer_init: bool = False) -> Any:  # noqa: FBT001, FBT002  # fmt: skip
        if raw or not isinstance(source, str):
            return real(self, source, name, filename, raw, defer_init)
        style = (self.block_start_string, self.variable_start_string, self.comment_start_string,
                 self.trim_blocks, self.lstrip_blocks, self.line_statement_prefix,
                 self.line_comment_prefix, self.newline_sequence, self.keep_trailing_newline,
                 self.autoescape if isinstance(self.autoescape, bool) else None, defer_init,
                 sorted(self.filters), sorted(self.tests))  # fmt: skip
        text = repr((source, name, filename, style)).encode("utf-8", "surrogatepass")
        key = hashlib.sha256(text).hexdigest()
        code = kept.get(key) or _code_or_none(folder, key)
        if code is None:
            code = real(self, source, name, filename, raw, defer_init)
            if folder:
                path = f"{folder}/{key}"
                with _quietly():
                    with open(f"{path}.{os.getpid()}", "wb") as file:
                        marshal.dump(code, file)
                    os.replace(f"{path}.{os.getpid()}", path)
        kept[key] = code
        return code

    environment: Any = jinja2.environment.Environment
    environment.compile = compiled


TEMPLATES: dict[str, CodeType] = {}
"""Compiled templates, by a hash of their text and of how it is read."""


def learn_templates(folder: str) -> None:
    """Load the templates that forks compiled, for the forks to come."""
    for key in os.listdir(folder):
        if len(key) == 64 and key not in TEMPLATES:
            code = _code_or_none(folder, key)
            if code is not None:
                TEMPLATES[key] = code


def _code_or_none(folder: str | None, key: str) -> CodeType | None:
    import marshal

    if not folder:
        return None
    with _quietly():
        try:
            with open(f"{folder}/{key}", "rb") as file:
                code = marshal.load(file)
        except (OSError, ValueError, EOFError, TypeError):
            return None
    return code if isinstance(code, CodeType) else None
