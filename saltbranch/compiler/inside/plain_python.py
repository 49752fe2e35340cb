"""Whether Python code of a branch can do no more than compute, and read files so that `tracking` hears of it.

Python has ways to read a file that raise no audit event, and a list of them is never complete. So the other way
round: code is plain if all it names is known here: builtins, names of its own, methods of values, and of modules what
stands below. A module itself must not get anywhere, since a template could go on from there; so a module is only
ever named to take something out of it at once. What is not plain may have read any file of the tree.
"""

from __future__ import annotations

import builtins
import dis
import re
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any

_KNOWN_PYTHONS = ((3, 9), (3, 13))
"""The first and the last version whose instructions are understood here."""

_BUILTINS = frozenset(
    "abs all any ascii bin bool bytearray bytes callable chr complex dict divmod enumerate filter float format"
    " frozenset hasattr hash hex id int isinstance issubclass iter len list map max min next object oct open ord pow"
    " print range repr reversed round set slice sorted staticmethod classmethod property str sum super tuple zip"
    " Ellipsis NotImplemented".split()
) | {n for n, v in vars(builtins).items() if isinstance(v, type) and issubclass(v, BaseException)}
# What Salt puts into the branch's modules and `#!py` files, and what makes modules and classes ordinary ones.
_DUNDERS = frozenset(
    f"__{name}__"
    for name in "salt opts grains pillar context virtual virtualname func_alias outputter env sls name doc module"
    " qualname init str repr eq ne lt le gt ge hash len iter next contains getitem enter exit bool call all version"
    " author annotations static_attributes firstlineno".split()
)
_GIVEN = frozenset(("saltenv", "sls", "slspath", "tpldir", "pillar", "grains"))
_MODULES = {
    "base64": "b64decode b64encode",
    "collections": "ChainMap Counter OrderedDict defaultdict deque",
    "copy": "copy deepcopy",
    "datetime": "date datetime time timedelta timezone",
    "functools": "lru_cache partial reduce",
    "hashlib": "md5 new sha1 sha224 sha256 sha384 sha512",
    "ipaddress": "ip_address ip_interface ip_network IPv4Address IPv4Network IPv6Address IPv6Network",
    "itertools": "accumulate chain combinations count cycle groupby islice permutations product repeat starmap"
    " takewhile zip_longest",
    "json": "dump dumps load loads JSONDecodeError",
    "logging": "getLogger",
    "math": "ceil floor log sqrt pi",
    "os": "path environ getenv linesep listdir sep walk",
    "os.path": "abspath basename dirname exists isabs isdir isfile islink join normpath realpath relpath"
    " split splitext",
    "re": "compile escape findall finditer fullmatch match search split sub DOTALL I IGNORECASE M MULTILINE",
    "salt": "exceptions utils",
    "salt.exceptions": "CommandExecutionError SaltException SaltInvocationError SaltRenderError",
    "salt.utils": "data dictupdate files json stringutils yaml",
    "salt.utils.data": "traverse_dict traverse_dict_and_list",
    "salt.utils.dictupdate": "merge update",
    "salt.utils.files": "fopen",
    "salt.utils.json": "dumps load loads",
    "salt.utils.stringutils": "to_bytes to_str to_unicode",
    "salt.utils.yaml": "safe_dump safe_load",
    "string": "ascii_letters ascii_lowercase ascii_uppercase digits",
    "textwrap": "dedent indent",
    "yaml": "safe_dump safe_load YAMLError",
}
_WITHIN = {name: frozenset(text.split()) for name, text in _MODULES.items()}
# Not even as names of a branch's own: what they lead to from an object of Python or Salt.
_NEVER = frozenset(
    "obj func loader mro modules parent_loader pack loaded_modules opts wrapped".split()
).union(getattr(sys, "stdlib_module_names", sys.builtin_module_names))
_FRAMES = re.compile(r"(gi|cr|ag|tb|f|co)_")


def _methods() -> frozenset[str]:
    """Names of what values have: nothing of it leads to a module."""
    kinds: tuple[Any, ...] = (
        str,
        bytes,
        bytearray,
        list,
        dict,
        set,
        frozenset,
        tuple,
        int,
        float,
        range,
        property,
    )
    kinds += (type(re.compile("")), type(re.match("", "")))
    more = "debug info warning error critical log args errno strerror message read readline readlines write close"
    more += " year month day hour minute second total_seconds isoformat strftime strptime now utcnow today"
    more += " hexdigest digest update num_addresses network_address broadcast_address netmask prefixlen hosts version"
    more += " most_common popleft appendleft exploded compressed with_prefixlen ip network is_private from_iterable"
    names = {name for kind in kinds for name in dir(kind) if not name.startswith("_")}
    return frozenset(names | set(more.split())) - {"format_map"}


_METHODS = _methods()
_NAMING = frozenset(dis.hasname)
_NAMES = {
    "LOAD_NAME", "LOAD_GLOBAL", "STORE_NAME", "STORE_GLOBAL", "DELETE_NAME", "DELETE_GLOBAL",
    "LOAD_FROM_DICT_OR_GLOBALS",
}  # fmt: skip
_SKIPPED = frozenset(
    n for name in ("CACHE", "EXTENDED_ARG") if (n := dis.opmap.get(name)) is not None
)
_MATCH_CLASS = dis.opmap.get("MATCH_CLASS", -1)
_AT_ONCE = frozenset(("LOAD_ATTR", "LOAD_METHOD"))
# The lowest bits of these arguments are flags.
_SHIFTED = {
    "LOAD_GLOBAL": 1 if sys.version_info >= (3, 11) else 0,
    "LOAD_ATTR": 1 if sys.version_info >= (3, 12) else 0,
    "LOAD_SUPER_ATTR": 2,
}


class _Other(Exception):
    """The code is not plain."""


def is_plain(code: CodeType) -> bool:
    """Whether `code`, of a module as a whole, is plain; what it defines included."""
    if not _KNOWN_PYTHONS[0] <= sys.version_info[:2] <= _KNOWN_PYTHONS[1]:
        return False
    try:
        _Reader(code).read()
    except (_Other, RecursionError):
        return False
    return True


class _Reader:
    """Goes through the code of a module: first what it calls its own, then what it uses."""

    def __init__(self, code: CodeType) -> None:
        self.codes = list(_all(code))
        self.top = code
        self.imported: dict[str, str] = {}  # its names of modules
        self.own: set[str] = set()
        self.inner: set[str] = set()  # those in its classes
        self.parts: set[str] = set()  # names of what its objects have

    def read(self) -> None:
        """Raises _Other."""
        steps = [list(_steps(code)) for code in self.codes]
        for code, own in zip(self.codes, steps, strict=True):
            if ("*",) in code.co_consts:
                raise _Other
            self._collect(own, is_top=code is self.top)
        self.parts |= self.inner
        if any(map(_is_private, self.own | self.parts)) or self.parts & _NEVER:
            raise _Other
        for own in steps:
            self._check(own)

    def _collect(self, steps: list[tuple[str, str]], *, is_top: bool) -> None:
        """The names that are its own. Modules are imported at the top and under a plain name only."""
        origin = ""
        for (kind, name), after in zip(steps, [*steps[1:], ("", "")], strict=True):
            if kind == "IMPORT_NAME":
                origin = name
                if name != "__future__" and name not in _WITHIN:
                    raise _Other
                if after[0] != "IMPORT_FROM":
                    self._import(name, after, is_top=is_top)
            elif kind == "IMPORT_FROM":
                self._import_from(origin, name, after[1])
            elif kind in ("STORE_NAME", "STORE_GLOBAL"):
                (self.own if is_top or kind == "STORE_GLOBAL" else self.inner).add(name)
            elif kind == "STORE_ATTR":
                self.parts.add(name)

    def _import(self, name: str, after: tuple[str, str], *, is_top: bool) -> None:
        """after: the next instruction; `import a.b as c` is none that we follow."""
        module = name.partition(".")[0]
        if not is_top or after != ("STORE_NAME", module):
            raise _Other
        self.imported[module] = module

    def _import_from(self, origin: str, name: str, stored: str) -> None:
        if origin == "__future__":
            self.own.add(stored)
        elif name not in _WITHIN[origin] or f"{origin}.{name}" in _WITHIN:
            raise _Other

    def _check(self, steps: list[tuple[str, str]]) -> None:
        """What is used of others."""
        module = None
        for kind, name in steps:
            if module is not None:
                if kind not in _AT_ONCE or name not in _WITHIN[module]:
                    raise _Other
                inner = f"{module}.{name}"
                module = inner if inner in _WITHIN else None
            elif kind in ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"):
                module = self.imported.get(name)
                if not (module or self._is_known(name)):
                    raise _Other
            elif kind and kind not in _NAMES and not kind.startswith("IMPORT_"):
                self._check_part(name)
        if module is not None:
            raise _Other

    def _check_part(self, name: str) -> None:
        known = name in _METHODS or name in self.parts or name in _DUNDERS
        if _FRAMES.match(name) or not known:
            raise _Other

    def _is_known(self, name: str) -> bool:
        if name in _BUILTINS or name in _DUNDERS or name in _GIVEN:
            return True
        return (name in self.own or name in self.inner) and not hasattr(builtins, name)


def _is_private(name: str) -> bool:
    """Whether Python or Salt minds the name: `__reduce__` runs what it says."""
    return name.startswith("__") and name not in _DUNDERS


def _all(code: CodeType) -> Iterator[CodeType]:
    yield code
    for item in code.co_consts:
        if isinstance(item, CodeType):
            yield from _all(item)


def _steps(code: CodeType) -> Iterator[tuple[str, str]]:
    """Each instruction that names something, as its own name and that; others are ("", ""). Raises _Other."""
    raw, names, high = code.co_code, code.co_names, 0
    for operation, argument in zip(raw[::2], raw[1::2], strict=True):
        if operation in _SKIPPED:
            high = (high | argument) << 8 if argument or high else 0
            continue
        if operation == _MATCH_CLASS:
            raise _Other
        if operation in _NAMING:
            kind = dis.opname[operation]
            yield kind, names[(high | argument) >> _SHIFTED.get(kind, 0)]
        else:
            yield "", ""
        high = 0
