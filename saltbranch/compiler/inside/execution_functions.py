"""Who answers when a template calls an execution function: Salt, what was recorded of the minion, or nobody.

What there is, Salt's own loader says. Of that, `functions.TABLE` names what is really called; the rest
is answered. What is not there does not answer, with one exception: a module of Salt's that did not load
here for want of a library may well do so on the minion, so a call that nothing guards is answered.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import salt.loader.lazy as lazy
from salt.utils.decorators.jinja import JinjaFilter

from saltbranch.compiler import functions
from saltbranch.compiler.functions import Function
from saltbranch.compiler.inside import debversion, neutral
from saltbranch.compiler.inside.answer_types import neutral_of
from saltbranch.compiler.inside.current_minion import BASE, HOST

# A `__virtual__` that looks at these refuses for the platform's sake, and at that the grains know best.
_OF_PLATFORM = re.compile(
    r"__grains__|platform|is_(windows|linux|darwin|sunos|[a-z]+bsd|aix|proxy)|os_family"
)

# What these answer is in the minion's own configuration, beside grains and pillar.
_OF_OPTIONS = frozenset(
    ("config.get", "config.option", "config.merge", "config.items", "test.get_opts")
)


def install() -> None:
    """Change Salt's loader in this process, once."""
    real: Any = lazy.LazyLoader.__getitem__

    def getitem(self: Any, item: Any) -> Any:
        if self.tag != "module" or HOST.loading or HOST.external or not isinstance(item, str):
            return real(self, item)
        if neutral.answers(HOST.returns, item):
            return _answer(item, None)
        try:
            found = real(self, item)
        except KeyError:
            _note_broken(self, item)
            if HOST.guarding or not _may_be_there(self, item):
                _note_absent(self, item)
                raise
            HOST.real.add(item)
            return _answer(item, None)
        if not _is_salts_own(found):
            HOST.custom[item] = None
            return found
        return _salts_own(item, found)

    def contains(self: Any, item: Any) -> bool:
        return _guarded(self, item) is not None

    def get(self: Any, item: Any, default: Any = None) -> Any:
        found = _guarded(self, item)
        return default if found is None else found

    lazy.LazyLoader.__getitem__ = getitem
    lazy.LazyLoader.__contains__ = contains
    lazy.LazyLoader.get = get
    _answer_for_filters()


# Filters of Salt's that ask chance or the host: the module below salt.utils, what they give, and the argument
# that makes them compute.
_FILTERS: dict[str, tuple[str, type, str]] = {
    "gen_mac": ("network", str, ""), "random_hash": ("hashutils", str, ""), "rand_str": ("hashutils", str, ""),
    "random_str": ("stringutils", str, ""), "random_sample": ("data", list, "seed"),
    "random_shuffle": ("data", list, "seed"), "get_uid": ("user", int, ""), "which": ("path", str, ""),
}  # fmt: skip


def _answer_for_filters() -> None:
    """Change those of Salt's filters that do not compute; they are registered as their modules are imported."""
    for name, (module, kind, seed) in _FILTERS.items():
        importlib.import_module(f"salt.utils.{module}")
        own = JinjaFilter.salt_jinja_filters[name]
        JinjaFilter.salt_jinja_filters[name] = _filter(name, own, kind, seed)


def _filter(name: str, own: Callable[..., Any], kind: type, seed: str) -> Callable[..., Any]:
    """What answers for a filter: two compiles of one commit would differ, or it is the host that they show."""
    answer = _answer(name, None, kind)

    def call(*args: Any, **kwargs: Any) -> Any:
        given = _bound(own, args, kwargs) or {}
        return (own if seed and given.get(seed) is not None else answer)(*args, **kwargs)

    return functools.update_wrapper(call, own)


def _guarded(loader: Any, item: Any) -> Any:
    """What a template gets that asks whether there is such a function; None for nothing.

    Where it takes a program that no grain tells of, the answer is neutral: no, as on a new minion. That is noted,
    unless it is a module of Salt's that asks, to see whether it fits.
    """
    HOST.guarding += 1
    try:
        found = loader[item]
    except KeyError:
        return None
    finally:
        HOST.guarding -= 1
    is_asked = loader.tag == "module" and item not in HOST.custom
    if (
        is_asked
        and item.partition(".")[0] in HOST.optional
        and not neutral.answers(HOST.returns, item)
    ):
        if not _is_asked_by_salt():
            HOST.neutral.setdefault(f"{item} in salt", None)
            HOST.real.add(f"{item} in salt")
        return None
    return found


def _is_asked_by_salt() -> bool:
    """Whether the `__virtual__` of one of Salt's own modules asks, through Salt's loader."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith((BASE, __file__)):
        if frame.f_code.co_name == "__virtual__":
            return True
        frame = frame.f_back
    return False


def _is_salts_own(function: Any) -> bool:
    code = getattr(getattr(function, "func", function), "__code__", None)
    return code is None or code.co_filename.startswith(BASE)


def _note_broken(loader: Any, item: str) -> None:
    """Remember why a module of the branch did not load, if that is what `item` is in."""
    name = item.partition(".")[0]
    path = str((loader.file_mapping.get(name) or ("",))[0])
    why = loader.missing_modules.get(name)
    if path and why is not None and not path.startswith(f"{BASE}/"):
        HOST.broken[name] = (
            f"{type(why).__name__}: {why}" if isinstance(why, Exception) else str(why)
        )


def _may_be_there(loader: Any, item: str) -> bool:
    """Whether `item` is a function of a module of Salt's that refused, but not for the platform's sake."""
    name, _, function = item.partition(".")
    if name in loader.loaded_modules:
        return False
    for file in loader.file_mapping:
        if file not in loader.missing_modules:
            continue
        path = str(loader.file_mapping[file][0])
        module = sys.modules.get(f"salt.loaded.int.module.{file}")
        if not path.startswith(f"{BASE}/") or name not in (
            file,
            getattr(module, "__virtualname__", ""),
        ):
            continue
        virtual = getattr(getattr(module, "__virtual__", None), "__code__", None)
        is_of_platform = virtual and _OF_PLATFORM.search(" ".join(virtual.co_names))
        if not is_of_platform and _defines(path, function):
            return True
    return False


def _defines(path: str, function: str) -> bool:
    """Whether the text of one of Salt's modules has that function, maybe under an alias."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError):
        return False
    name = re.escape(function)
    pattern = rf"""^(?:async )?def {name}_?\(|^ +"[a-z_]+": "{name}",?$"""
    return bool(re.search(pattern, text, re.MULTILINE))


def _note_absent(loader: Any, item: str) -> None:
    """Remember a function whose module is nowhere: a minion may have it from a package, or from another saltenv."""
    name, dot, _ = item.partition(".")
    places = (loader.loaded_modules, loader.missing_modules, loader.file_mapping)
    if not dot or any(name in known for known in places):
        return
    modules = (sys.modules.get(f"salt.loaded.int.module.{file}") for file in loader.missing_modules)
    if not any(getattr(module, "__virtualname__", "") == name for module in modules):
        HOST.absent.setdefault(item, None)


# What Salt itself asks of the options while it orders states (salt/state.py); no template depends on it.
_ENGINE = ("state_aggregate", "global_state_conditions")


def _of_options(item: str, found: Any) -> Callable[..., Any]:
    """`found`, which answers from the minion's options; noted unless a grain or the pillar says the same."""

    def call(*args: Any, **kwargs: Any) -> Any:
        value = found(*args, **kwargs)
        if args[:1] and args[0] in _ENGINE:
            return value
        if item != "config.get":
            HOST.guessed.setdefault(item, None)
            return value
        given = _bound(found, args, kwargs) or {}
        nothing = object()
        known = {**given, "default": nothing, "omit_opts": True, "omit_master": True}
        if not given.get("omit_opts") and found(**known) != value:
            HOST.guessed.setdefault(item, None)
        return value

    return functools.update_wrapper(call, getattr(found, "func", found))


def _salts_own(item: str, found: Any) -> Any:
    """One of Salt's functions, as far as it is called, or what answers for it."""
    if item in _OF_OPTIONS:
        return _of_options(item, found)
    HOST.real.add(item)
    entry = functions.TABLE.get(item) or functions.TABLE.get(_as_defined(item, found))
    if entry is None or not entry.runs:
        return _answer(item, found)
    if entry.why == functions.LISTS and HOST.tracker:
        for kind in HOST.kinds.values():
            HOST.tracker.listing(kind)
    return _on_condition(item, entry, found) if entry.needs else found


def _as_defined(item: str, found: Any) -> str:
    """The name under which `item` stands in its module: ``grains.fetch`` is ``grains.get`` there."""
    code = getattr(getattr(found, "func", found), "__code__", None)
    return f"{item.partition('.')[0]}.{code.co_name}" if code else item


def _on_condition(item: str, entry: Function, found: Any) -> Callable[..., Any]:
    """`found` where its arguments make it independent of the host, what answers for it elsewhere."""
    answer = _answer(item, found)

    def call(*args: Any, **kwargs: Any) -> Any:
        given = _bound(found, args, kwargs)
        if given is None or all(_is_met(entry, given.get(name)) for name in entry.needs):
            return found(*args, **kwargs)
        return answer(*args, **kwargs)

    return functools.update_wrapper(call, answer)


def _is_met(entry: Function, value: Any) -> bool:
    if entry.kind == "computes":
        return value is not None
    if value is None:
        return True
    return isinstance(value, str) and (
        value.startswith("salt://")
        or os.path.normpath(value).startswith(f"{HOST.tops}/")
        or (HOST.tracker is not None and HOST.tracker.inside(value) is not None)
    )


def _bound(found: Any, args: Any, kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    """The arguments of a call by their names; None where it cannot be made like that."""
    try:
        return (
            inspect.signature(getattr(found, "func", found)).bind_partial(*args, **kwargs).arguments
        )
    except (TypeError, ValueError):
        return None


def _answer(function: str, found: Any, kind: type | None = None) -> Callable[..., Any]:
    """What answers for `function`. found: Salt's own, None where it did not load here. kind: of what it answers,
    where that is known.
    """

    def answer(*args: Any, **kwargs: Any) -> Any:
        known, value = neutral.recorded(HOST.returns, function, args, kwargs)
        if known:
            return value
        if function == "cmd.retcode" and args and debversion.is_question(args[0]):
            return debversion.status(args[0])
        HOST.neutral.setdefault(function, None)
        HOST.asked.setdefault((neutral.call(function, args, kwargs), HOST.rendering), function)
        given = (_bound(found, args, kwargs) if found else None) or kwargs
        if "default" in given and (found is None or "default" in _parameters(found)):
            return given["default"]
        if kind is not None:
            return kind()
        known, value = functions.value_of(function)
        if not known:
            known, value = functions.value_of(_as_defined(function, found))
        if known:
            return value
        return neutral_of(function.rpartition(".")[2], getattr(found, "func", found))

    answer.__name__ = function.rpartition(".")[2]
    answer.__doc__ = getattr(found, "__doc__", None)
    return answer


def _parameters(found: Any) -> Mapping[str, Any]:
    try:
        return inspect.signature(getattr(found, "func", found)).parameters
    except (TypeError, ValueError):
        return {}
