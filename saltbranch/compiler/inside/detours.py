"""Shorter ways to the same result, for what Salt does some hundred times for each minion."""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, MutableMapping, Sequence
from types import FunctionType, GeneratorType, ModuleType, SimpleNamespace
from typing import Any

import jinja2.environment
import salt.loader.lazy as lazy
import salt.pillar
import salt.state
import salt.utils.args
import salt.utils.data
import salt.utils.dictupdate
import salt.utils.jinja
import salt.utils.templates

from saltbranch.compiler.inside import yaml_objects

try:
    import salt.utils.optsdict as optsdict
except ImportError:  # Salt 3006 and 3007 copy their options instead
    optsdict = None


def leave_out() -> None:
    """Change Salt in this process, once."""
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
    for module in (salt.state, salt.utils.dictupdate, optsdict, lazy):
        if module is not None:
            module.copy = SimpleNamespace(deepcopy=_copied, copy=copy.copy)
    salt.pillar.copy = SimpleNamespace(deepcopy=_copied_options, copy=copy.copy)
    if optsdict is not None:
        optsdict.OptsDict.__getitem__ = _option
        optsdict.OptsDict.__bool__ = _has_options
        optsdict.OptsDict.__contains__ = _has_option
        optsdict.OptsDict._proxy_for = _proxy_for
        optsdict.OptsDict.__setitem__ = _set_option(optsdict.OptsDict.__setitem__)
    # Salt makes importlib forget its listings after every module; no folder changes here.
    lazy.LazyLoader._LazyLoader__clean_sys_path = _clean_sys_path
    lazy.inspect = SimpleNamespace(
        isfunction=inspect.isfunction, iscoroutinefunction=_is_coroutine_function
    )
    lazy.dir = _public_functions
    _ask_quickly_what_is_undefined()
    salt.utils.args.get_function_argspec = _signatures(salt.utils.args.get_function_argspec)
    _make_environments_quickly()
    _ask_what_is_a_mapping()
    yaml_objects.install()


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
    if memo is None:
        try:
            return _copied_plain(data, {})
        except (_Unusual, RecursionError):
            memo = {}
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


def _copied_plain(data: Any, memo: dict[Any, Any]) -> Any:
    """A copy of mappings and lists of texts and numbers; raises _Unusual for anything else.

    memo: what was copied, by a method of its own, for these are equal where the objects are the same one. id() would
    do, but it raises an audit event each time (`tracking`), which takes longer than all else here.
    """
    kind = type(data)
    if kind is not dict and kind is not OrderedDict and kind is not list:
        raise _Unusual
    same = data.clear
    made: Any = memo.get(same)
    if made is not None:
        return made
    made = memo[same] = kind()
    if kind is list:
        for item in data:
            made.append(item if type(item) in _ATOMS else _copied_plain(item, memo))
    else:
        for key, value in data.items():
            made[key] = value if type(value) in _ATOMS else _copied_plain(value, memo)
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


def _proxy_for(self: Any, key: Any, value: Any, kind: Any) -> Any:
    """`OptsDict._proxy_for`, which remembers the value by its id() only."""
    known = self._proxy_cache.get(key)
    if known is not None and known[1] is value:
        return known[0]
    proxy = kind(value, self, key)
    self._proxy_cache[key] = (proxy, value)
    return proxy


def _set_option(slowly: Callable[..., None]) -> Callable[..., None]:
    """`OptsDict.__setitem__` without its lock, and without what is only for its list of changes."""

    def set_option(self: Any, key: Any, value: Any) -> None:
        tracker = getattr(self, "_tracker", None)
        if tracker is None or getattr(tracker, "track_mutations", True):
            slowly(self, key, value)
            return
        self._proxy_cache.pop(key, None)
        self._local[key] = value

    return set_option


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


def _has_option(self: Any, key: Any) -> bool:
    """`OptsDict.__contains__` without its lock."""
    node = self
    while node is not None:
        if key in node._local:
            return node._local[key] is not optsdict._DELETED
        if node._parent is None:
            return key in node._base
        node = node._parent
    return False


def _ask_quickly_what_is_undefined() -> None:
    """Salt asks it of all that goes through its filters for JSON and YAML (salt/utils/jinja.py)."""
    undefined_in = getattr(salt.utils.jinja, "_get_strict_undefined", None)
    if undefined_in is None:
        return

    def undefined(value: Any) -> Any:
        try:
            if _is_ordinary(value, [_MOST_LOOKED_AT]):
                return ()
        except RecursionError:
            pass
        return undefined_in(value)

    salt.utils.jinja._get_strict_undefined = undefined


_MOST_LOOKED_AT = 100_000


def _is_ordinary(data: Any, left: list[int]) -> bool:
    """Whether all of `data` are mappings, lists, texts and numbers. left: of how many that is looked at yet; what
    holds itself has no end.
    """
    kind = type(data)
    if kind in _ATOMS:
        return True
    if kind is dict or kind is OrderedDict:
        if not _ATOMS.issuperset(map(type, data)):
            return False
        inner: Any = data.values()
    elif kind is list or kind is tuple:
        inner = data
    else:
        return False
    left[0] -= len(inner)
    return left[0] >= 0 and all(_is_ordinary(item, left) for item in inner)


def _signatures(slowly: Callable[..., Any]) -> Callable[..., Any]:
    """`get_function_argspec`, once for each function: many states of one ask for it (salt/utils/args.py)."""
    known: dict[FunctionType, tuple[Any, ...]] = {}

    def argspec(func: Any, is_class_method: Any = None) -> Any:
        inner = func
        while not isinstance(inner, FunctionType) and hasattr(inner, "__wrapped__"):
            inner = inner.__wrapped__
        if type(inner) is not FunctionType or inner.__dict__ or inner.__kwdefaults__:
            return slowly(func, is_class_method)
        now = (inner.__code__, inner.__defaults__, bool(is_class_method))
        kept = known.get(inner)
        if kept is None or any(one is not other for one, other in zip(kept, now, strict=False)):
            known[inner] = kept = (*now, slowly(func, is_class_method))
        found = kept[-1]
        return found._replace(args=[*found.args])

    return argspec


def _make_environments_quickly() -> None:
    """Salt makes an environment for each file that it renders, in which much is the same each time: wrappers of
    functions of `itertools`, versions that are compared, extensions that are looked for by their names.
    """
    for module, name in (
        (salt.utils.jinja, "_handle_strict_undefined"),
        (salt.utils.templates, "Version"),
        (jinja2.environment, "import_string"),
    ):
        if hasattr(module, name):
            setattr(module, name, functools.cache(getattr(module, name)))


def _ask_what_is_a_mapping() -> None:
    """Templates ask it of every value. For a type that was not asked about yet, Python looks at all mappings there
    are; it remembers the answer, and forks know it (Lib/_py_abc.py).
    """
    for kind in (
        str,
        int,
        float,
        bool,
        list,
        tuple,
        set,
        dict,
        OrderedDict,
        GeneratorType,
        type(None),
    ):
        for asked in (Mapping, MutableMapping, Sequence, Hashable):
            issubclass(kind, asked)


def _public_functions(module: Any) -> list[str]:
    """What a loader takes of ``dir(module)``: of most names there it finds that they are no functions."""
    if type(module) is not ModuleType or "__dir__" in vars(module):
        return dir(module)
    kinds = (FunctionType, functools.partial)
    return sorted(n for n, value in vars(module).items() if isinstance(value, kinds))


def _is_coroutine_function(function: Any) -> bool:
    if type(function) is FunctionType:
        return bool(function.__code__.co_flags & inspect.CO_COROUTINE)
    return inspect.iscoroutinefunction(function)


def _clean_sys_path(self: Any) -> None:
    for directory in self._clean_module_dirs:
        if directory in sys.path:
            sys.path.remove(directory)
    self._clean_module_dirs = []
