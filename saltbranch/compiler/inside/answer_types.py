"""What kind of value one of Salt's functions returns, read from its source.

Where nobody said what a function answers on the minion, the answer should at least be of the type that
the template expects: `{}` where Salt gives a mapping, `0` where it counts.
"""

from __future__ import annotations

import ast
import fnmatch
import inspect
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

_EMPTY: Mapping[str, Any] = {
    "dict": {}, "list": [], "set": [], "tuple": [], "str": "", "bytes": b"", "int": 0, "float": 0.0,
    "bool": False, "None": None,
}  # fmt: skip
_CONTAINERS = ("dict", "list")
# What the functions return that Salt's modules end with most often.
_CALLED = {
    "dict": "dict", "list": "list", "sorted": "list", "set": "list", "tuple": "list", "str": "str", "int": "int",
    "float": "float", "bool": "bool", "len": "int", "round": "float", "isinstance": "bool", "any": "bool",
    "all": "bool", "sum": "int", "range": "list",
}  # fmt: skip
_METHODS = {
    "strip": "str", "rstrip": "str", "lstrip": "str", "join": "str", "format": "str", "lower": "str",
    "upper": "str", "replace": "str", "decode": "str", "read": "str", "strftime": "str", "group": "str",
    "split": "list", "splitlines": "list", "keys": "list", "values": "list", "readlines": "list",
    "rsplit": "list", "startswith": "bool", "endswith": "bool", "isdigit": "bool", "isfile": "bool",
    "isdir": "bool", "exists": "bool", "count": "int", "find": "int", "index": "int", "copy": "dict",
    "items": "list", "total_seconds": "float", "to_unicode": "str", "to_str": "str",
    "gethostname": "str", "getfqdn": "str", "which": "str",
}  # fmt: skip
_SALT = {
    "cmd.run": "str", "cmd.run_stdout": "str", "cmd.run_stderr": "str", "cmd.shell": "str",
    "cmd.run_all": "dict", "cmd.retcode": "int", "cmd.which": "str", "cmd.script": "dict",
}  # fmt: skip
_NAMED = (
    (("*exists*", "is_*", "has_*", "*available*", "*enabled*", "*running*", "*installed*", "check_*"), "bool"),
    (("list", "list_*", "ls*", "*addrs*", "find*", "readdir", "subnets*"), "list"),
    (("*info*", "interfaces", "stats", "show*", "items", "get_all"), "dict"),
)  # fmt: skip
_DEEP = 4


def neutral_of(name: str, function: Callable[..., Any] | None) -> Any:
    """An empty value of the type that `function` returns, called `name` in its module; where its source does
    not tell, or None has none, what the name tells.
    """
    kind = _kind(function) or next(
        (kind for patterns, kind in _NAMED if any(fnmatch.fnmatchcase(name, p) for p in patterns)),
        "str",
    )
    value = _EMPTY[kind]
    return type(value)(value) if isinstance(value, (dict, list)) else value


def _kind(function: Any, depth: int = 0) -> str | None:
    """The name of the type in `_EMPTY`."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    if not isinstance(function, FunctionType) or depth > _DEEP:
        return None
    noted = function.__annotations__.get("return")
    if isinstance(name := getattr(noted, "__name__", noted), str) and name in _EMPTY:
        return name
    try:
        node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    if not isinstance(node, ast.FunctionDef):
        return None
    return _Reader(node, function.__globals__, depth).kind()


class _Reader:
    """Looks at one function: what it returns, and what its names stand for."""

    def __init__(self, node: ast.FunctionDef, names: Mapping[str, Any], depth: int) -> None:
        self.globals, self.depth = names, depth
        self.body = list(_own(node))
        self.assigned: dict[str, list[ast.expr]] = {}
        self.used: dict[str, str] = {}
        self.open: set[str] = set()
        for inner in self.body:
            self._note(inner)

    def kind(self) -> str | None:
        """What most of its `return` give; a container, where one is among them, for the rest tells of failure."""
        found = Counter(
            kind
            for inner in self.body
            if isinstance(inner, ast.Return) and inner.value is not None
            if (kind := self._of(inner.value))
        )
        for kinds in (_CONTAINERS, ("str", "int", "float", "bool"), ("None",)):
            known = [kind for kind, _ in found.most_common() if kind in kinds]
            if known:
                return known[0]
        return None

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    self.assigned.setdefault(target.id, []).append(node.value)
                elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
                    self.used.setdefault(target.value.id, "dict")
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            self.assigned.setdefault(node.target.id, []).append(node.value)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            kind = {"append": "list", "extend": "list", "update": "dict", "setdefault": "dict"}.get(
                node.func.attr
            )
            if kind:
                self.used.setdefault(node.func.value.id, kind)

    def _of(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Constant):
            return type(node.value).__name__ if node.value is not None else "None"
        for kinds, kind in _NODES:
            if isinstance(node, kinds):
                return kind
        if isinstance(node, ast.IfExp):
            return self._first((node.body, node.orelse))
        if isinstance(node, ast.BoolOp):
            return self._first(node.values[::-1])
        if isinstance(node, ast.UnaryOp):
            return "bool" if isinstance(node.op, ast.Not) else "int"
        if isinstance(node, ast.BinOp):
            return self._first((node.left, node.right)) or "int"
        if isinstance(node, ast.Name):
            return self._name(node.id)
        return self._call(node) if isinstance(node, ast.Call) else None

    def _first(self, nodes: Any) -> str | None:
        kinds = [kind for node in nodes if (kind := self._of(node)) and kind != "None"]
        return next((k for k in kinds if k in _CONTAINERS), kinds[0] if kinds else None)

    def _name(self, name: str) -> str | None:
        if name in self.open:
            return None
        self.open.add(name)
        try:
            kinds = [k for value in self.assigned.get(name, ()) if (k := self._of(value))]
        finally:
            self.open.discard(name)
        known = [k for k in kinds if k != "None"]
        container = next((k for k in known if k in _CONTAINERS), None)
        return container or self.used.get(name) or (known[0] if known else None)

    def _call(self, node: ast.Call) -> str | None:
        func = node.func
        if isinstance(func, ast.Subscript):  # __salt__["cmd.run"](...)
            key = func.slice.value if isinstance(func.slice, ast.Constant) else None
            if not isinstance(key, str) or not isinstance(func.value, ast.Name):
                return None
            return _SALT.get(key) or _kind(_loaded(func.value.id, key), self.depth + 1)
        if isinstance(func, ast.Name):
            known = self.globals.get(func.id)
            return _kind(known, self.depth + 1) if known is not None else _CALLED.get(func.id)
        if isinstance(func, ast.Attribute):
            found = self._resolved(func)
            own = _kind(found, self.depth + 1) if found is not None else None
            return own or _METHODS.get(func.attr)
        return None

    def _resolved(self, node: ast.expr) -> Any:
        """What ``salt.utils.x.y`` stands for, as far as it is in a module."""
        if isinstance(node, ast.Name):
            found = self.globals.get(node.id)
            return found if isinstance(found, ModuleType) else None
        if isinstance(node, ast.Attribute):
            return getattr(self._resolved(node.value), node.attr, None)
        return None


def _loaded(dunder: str, key: str) -> Any:
    """What ``__utils__[key]`` or ``__salt__[key]`` is, where its module was loaded already."""
    name, _, function = key.partition(".")
    folder = {"__utils__": "salt.utils", "__salt__": "salt.loaded.int.module"}.get(dunder, "")
    return getattr(sys.modules.get(f"{folder}.{name}"), function, None)


_NODES: tuple[tuple[Any, str], ...] = (
    ((ast.Dict, ast.DictComp), "dict"),
    ((ast.List, ast.ListComp, ast.Set, ast.SetComp, ast.Tuple), "list"),
    (ast.JoinedStr, "str"),
    (ast.Compare, "bool"),
)


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """What stands in a function, those inside of it aside."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            continue
        yield child
        yield from _own(child)
