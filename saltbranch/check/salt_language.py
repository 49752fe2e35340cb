"""What Salt itself knows about templates and states: its Jinja, its renderers, its state functions.

Salt's loader imports every state module to know its functions, which takes a second; the answer is
kept for each version of Salt and its modules.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jinja2 import nodes

from saltbranch.base import files
from saltbranch.base.errors import SaltError
from saltbranch.check.project import Catalogue, Function


def parser() -> Callable[[str], nodes.Template]:
    """Salt's Jinja, for parsing only (salt/utils/templates.py, render_jinja_tmpl). Raises SaltError."""
    environment = _environment()

    def parse(text: str) -> nodes.Template:
        template: nodes.Template = environment.parse(text)
        return template

    return parse


def _environment() -> Any:
    try:
        import jinja2.sandbox
        import salt.utils.jinja
    except ImportError as err:
        raise SaltError(
            f"cannot import Salt: {err}", hint="install saltbranch into the Python that runs Salt"
        ) from err
    extensions = ["jinja2.ext.do", "jinja2.ext.loopcontrols", salt.utils.jinja.SerializerExtension]
    return jinja2.sandbox.SandboxedEnvironment(extensions=extensions)


def catalogue(cache: str | None = None) -> Catalogue:
    """What this Salt has. cache: a folder of ours to keep the answer in. Raises SaltError."""
    try:
        import salt.config
        import salt.loader
        import salt.version
    except ImportError as err:
        raise SaltError(
            f"cannot import Salt: {err}", hint="install saltbranch into the Python that runs Salt"
        ) from err
    with tempfile.TemporaryDirectory(prefix="saltbranch-") as folder:
        opts = {
            **salt.config.DEFAULT_MINION_OPTS,
            "cachedir": folder,
            "extension_modules": f"{folder}/extmods",
            "grains": {},
        }
        dirs = [d for d in salt.loader._module_dirs(opts, "states") if not d.startswith(folder)]
        version = str(salt.version.__version__)
        path = f"{cache}/functions-{_key(version, dirs)}.json" if cache else None
        data = _read(path) if path else None
        if data is None:
            data = _load(opts, dirs, version)
            if path:
                _write(path, data)
    return _catalogue(data)


def _key(version: str, dirs: list[str]) -> str:
    """Another Salt, another extension or an edited module is another catalogue."""
    found = [version, str(_FORMAT)]
    for folder in dirs:
        for entry in (
            sorted(os.scandir(folder), key=lambda e: e.name) if os.path.isdir(folder) else ()
        ):
            if entry.name.endswith(".py"):
                state = entry.stat()
                found.append(f"{entry.path} {state.st_mtime_ns} {state.st_size}")
    return hashlib.sha256("\n".join(found).encode("utf-8", "surrogateescape")).hexdigest()[:32]


_FORMAT = 4


def _load(opts: dict[str, Any], dirs: list[str], version: str) -> dict[str, Any]:
    import salt.loader
    import salt.state
    from salt.loader.lazy import LazyLoader

    # virtual_enable=False: also the modules that are not for this machine. The minion may be another.
    loader = LazyLoader(dirs, opts, tag="states", pack={"__salt__": {}}, virtual_enable=False)
    states: dict[str, dict[str, Any]] = {name: {} for name in loader.file_mapping}
    for full in list(loader):
        module, _, name = full.partition(".")
        function = getattr(loader[full], "func", loader[full])
        for known in {module, _virtual_name(function, module)}:
            signature = _signature(function, f"{known}.{name}")
            # One name may be that of several modules, for several systems.
            other = states.setdefault(known, {}).get(name)
            states[known][name] = _either(other, signature) if other else signature
    environment = _rendering_environment()
    renderers = LazyLoader(
        salt.loader._module_dirs(opts, "renderers", "render", ext_type_dirs="render_dirs"),
        opts, tag="render", virtual_enable=False,
    )  # fmt: skip
    return {
        "version": version,
        "states": states,
        "keywords": sorted(_words(salt.state)),
        "requisites": sorted(_requisites(salt.state)),
        "renderers": sorted(renderers.file_mapping),
        "filters": sorted({*environment.filters, *_salt_names("salt_jinja_filters")}),
        "tests": sorted({*environment.tests, *_salt_names("salt_jinja_tests")}),
    }


def _rendering_environment() -> Any:
    """Jinja as Salt renders with it, tests and filters of its own included.

    salt/utils/templates.py makes it inside render_jinja_tmpl and hands it to nobody, so a template looks.
    """
    import salt.utils.templates

    seen: list[Any] = []

    def look(environment: Any) -> str:
        seen.append(environment)
        return ""

    opts = {
        "cachedir": "/nonexistent", "file_client": "local", "file_roots": {}, "pillar_roots": {},
        "renderer": "jinja|yaml", "jinja_env": {}, "jinja_sls_env": {}, "jinja_trim_blocks": False,
        "jinja_lstrip_blocks": False, "fileserver_backend": [], "fileclient": "local",
    }  # fmt: skip
    try:
        import jinja2

        context = {"opts": opts, "saltenv": None, "salt": {}, "look": jinja2.pass_environment(look)}
        salt.utils.templates.render_jinja_tmpl("{{ look() }}", context)
    except Exception:  # a Salt that does it otherwise
        return _environment()
    return seen[0] if seen else _environment()


def _salt_names(which: str) -> set[str]:
    """Salt's filters and tests register when the modules with them are imported."""
    from salt.utils.decorators import jinja

    return {*getattr(jinja.JinjaFilter if "filters" in which else jinja.JinjaTest, which)}


def _virtual_name(function: Any, module: str) -> str:
    name = getattr(inspect.getmodule(function), "__virtualname__", module)
    loaded = getattr(function, "__globals__", {}).get("__virtualname__", name)
    return loaded if isinstance(loaded, str) else module


def _signature(function: Any, full: str) -> list[Any]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return [[], [], True, []]
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = [p for p in parameters if p.kind in kinds]
    required = [p.name for p in named if p.default is inspect.Parameter.empty]
    is_open = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    names = [p.name for p in named]
    documented = sorted(_documented(function, full) - set(names)) if is_open else []
    return [names, required, is_open, documented]


def _either(one: list[Any], other: list[Any]) -> list[Any]:
    """What either of two signatures takes, and what both need."""
    return [
        list(dict.fromkeys([*one[0], *other[0]])),
        [name for name in one[1] if name in other[1]],
        one[2] or other[2],
        sorted({*one[3], *other[3]}),
    ]


# How Salt's docstrings introduce an argument, and how its code takes one out of kwargs.
_TERM = re.compile(
    r"^[ ]*(?::param[ ]+(?:\w+[ ]+)?)?`{0,2}([a-z_]\w*)`{0,2}[ ]*:?[ ]*$", re.MULTILINE
)
_TAKEN = re.compile(
    r"kwargs(?:\.(?:get|pop|setdefault))?[\[(]\s*[\"'](\w+)[\"']|[\"'](\w+)[\"'] (?:not )?in kwargs"
)
# And how it refuses one: service.running has no argument `enabled`, and says so.
_REFUSED = re.compile(r"if [\"'](\w+)[\"'] in kwargs:\s*\n\s*(?:return \w*error\w*\(|raise )")
_ITEM = re.compile(r"( *)- ([a-z_]\w*):")


def _documented(function: Any, full: str) -> set[str]:
    """Arguments that a state function takes by **kwargs and tells of. full: such as network.managed."""
    plain = inspect.unwrap(function)
    own = plain.__doc__ or ""
    module = inspect.getmodule(plain)
    found = set(_TERM.findall(own))
    for text in (own, getattr(module, "__doc__", None) or ""):
        found |= set(_in_examples(text, full))
    try:
        code = inspect.getsource(plain)
        found |= {a or b for a, b in _TAKEN.findall(code)}
        found -= set(_REFUSED.findall(code))
    except (OSError, TypeError):
        pass
    return found


def _in_examples(text: str, full: str) -> Iterator[str]:
    """The arguments of the state `full` in the YAML of a docstring."""
    depth = -1
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip())
        if line.strip() in (f"{full}:", f"- {full}:"):
            depth = indent
        elif line.strip() and indent < depth:
            depth = -1
        elif depth >= 0 and (item := _ITEM.match(line)) is not None:
            yield item[2]


def _requisites(state: Any) -> set[str]:
    return {*state.STATE_REQUISITE_KEYWORDS, *state.STATE_REQUISITE_IN_KEYWORDS}


def _words(state: Any) -> set[str]:
    return {
        *state.STATE_INTERNAL_KEYWORDS,
        *state.STATE_RUNTIME_KEYWORDS,
        *_requisites(state),
    }


def _catalogue(data: Mapping[str, Any]) -> Catalogue:
    return Catalogue(
        version=data["version"],
        states={
            module: {
                name: Function(tuple(arguments), tuple(required), is_open, frozenset(documented))
                for name, (arguments, required, is_open, documented) in functions.items()
            }
            for module, functions in data["states"].items()
        },
        keywords=frozenset(data["keywords"]),
        requisites=frozenset(data["requisites"]),
        renderers=frozenset(data["renderers"]),
        filters=frozenset(data["filters"]),
        tests=frozenset(data["tests"]),
    )


def _read(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        _catalogue(data)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(data)


def _write(path: str, data: Mapping[str, Any]) -> None:
    """Keep the answer, where that is possible."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        files.write_atomic(path, json.dumps(data), mode=0o600)
    except OSError:
        pass
