"""State functions and their arguments, as Salt's own loader knows them."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Iterator, Mapping

from saltbranch.check import catalogue as rules
from saltbranch.check.finding import Finding
from saltbranch.check.project import Function, Project, Source, Tools
from saltbranch.check.sls import State
from saltbranch.check.template import literal, shown

Modules = Mapping[str, Mapping[str, Function]]

# Salt gives these itself (salt/state.py, State.format_call and call).
_GIVEN = frozenset({"name", "names", "sfun", "reload", "__id__"})

# What people take from one module to another.
_USUAL = {
    ("cmd", "user"): "runas",
    ("cmd", "runs_as"): "runas",
    ("file", "content"): "contents",
    ("file", "owner"): "user",
    ("service", "enabled"): "enable",
    ("pkg", "packages"): "pkgs",
}


# salt/utils/templates.py, TEMPLATE_REGISTRY: these are all, whatever renderers there are.
_ENGINES = ("jinja", "mako", "py", "wempy", "genshi", "cheetah")
_NONE = ("", "false", "no", "off")


def check(project: Project, tools: Tools) -> Iterator[Finding]:
    """Every state whose module and function are written out."""
    modules = state_modules(project, tools)
    for source in project.judged("states"):
        for state in source.declared.states:
            yield from of_state(source, state, modules, tools)


def state_modules(project: Project, tools: Tools) -> Modules:
    """The state modules of Salt and of the branch."""
    return {**tools.catalogue.states, **_own(project)}


def is_data(source: Source, modules: Modules) -> bool:
    """Whether a file that may be meant for states has none: no function in it is one, or looks like one."""
    named = {
        (state.module, state.function)
        for state in source.declared.states
        if literal(state.module + state.function)
    }
    return bool(named) and not any(_is_meant(*pair, modules) for pair in named)


def _is_meant(module: str, function: str, modules: Modules) -> bool:
    if module not in modules:
        module = next(iter(difflib.get_close_matches(module, list(modules), 1, 0.7)), "")
    known = modules.get(module)
    if not known:
        return known is not None
    return bool(function) and bool(function in known or _nearest(function, known))


def of_state(source: Source, state: State, modules: Modules, tools: Tools) -> Iterator[Finding]:
    """What is wrong with the function and the arguments of one state, where they are written out."""
    if state.extends or not literal(state.module + state.function):
        return
    known = modules.get(state.module)
    if known is None and state.module in tools.catalogue.of_all:
        message = f"{state.module} stands beside the states of the id {shown(state.id)[:100]!r}, and not in one"
        fix = f"indent it, and write it as an item: - {state.module}:"
        yield rules.SHAPE.at(source.path, state.line, message, fix=fix)
        return
    if known is None:
        message = (
            f"there is no state module {state.module[:60]!r} in Salt {tools.catalogue.version}"
        )
        yield rules.STATE_MODULE.at(
            source.path, state.line, message, fix=_nearest(state.module, modules)
        )
        return
    if not known:
        return
    if not state.function:
        if source.certain:
            message = (
                f"the id {shown(state.id)[:100]!r} names the module {state.module} and no function"
            )
            yield rules.SHAPE.at(source.path, state.line, message)
        return
    function = known.get(state.function)
    if function is None:
        message = f"{state.module} has no function {state.function[:60]!r}"
        fix = _nearest(state.function, known)
        yield rules.STATE_FUNCTION.at(source.path, state.line, message, fix=fix)
        return
    yield from _arguments(source, state, function, tools)


def _arguments(source: Source, state: State, function: Function, tools: Tools) -> Iterator[Finding]:
    full = f"{state.module}.{state.function}"
    known = {*function.arguments, *tools.catalogue.of_all, *_GIVEN}
    for argument in state.arguments:
        name = argument.name
        if name in known or not literal(name) or name.startswith("__"):
            continue
        if name in function.documented:
            continue
        near = difflib.get_close_matches(name, sorted(known), 1, 0.85)
        near = near or [other for other in sorted(known) if _swapped(name, other)][:1]
        usual = _USUAL.get((state.module, name))
        if usual is not None and usual in known:
            near = [usual]
        if function.open and not near:
            continue  # the function may know what to do with it
        fix = f"did you mean {near[0]!r}?" if near else ""
        message = f"{full} has no argument {name[:60]!r}"
        yield rules.ARGUMENT.at(source.path, argument.line, message, fix=fix)
    yield from _engines(source, state)
    given = {argument.name for argument in state.arguments}
    complete = source.whole and source.plain is not None and source.plain.complete
    if complete and not state.open and all(map(literal, given)) and not given & {"use", "names"}:
        for name in function.required:
            if name not in given and name not in _GIVEN:
                message = f"{full} needs the argument {name!r}"
                yield rules.NO_ARGUMENT.at(source.path, state.line, message)


def _engines(source: Source, state: State) -> Iterator[Finding]:
    """What a file is said to be rendered with."""
    for text, line in state.texts("template") if state.module == "file" else ():
        if literal(text) and text not in _ENGINES and text.lower() not in _NONE:
            fix = _nearest(text, _ENGINES)
            message = f"there is no template engine {text[:60]!r}"
            yield rules.RENDERER.at(source.path, line, message, fix=fix)


def _swapped(one: str, other: str) -> bool:
    """Whether two letters side by side changed places."""
    if len(one) != len(other) or sorted(one) != sorted(other):
        return False
    apart = [at for at, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    return len(apart) == 2 and apart[1] == apart[0] + 1


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), 1, 0.7)
    return f"did you mean {near[0]!r}?" if near else ""


def _own(project: Project) -> dict[str, dict[str, Function]]:
    """The state modules of the branch itself, parsed and never imported."""
    found: dict[str, dict[str, Function]] = {}
    for source in project.of("states"):
        folder, _, name = source.name.rpartition("/")
        if folder == "_states" and name.endswith(".py") and source.text is not None:
            names, functions = _module(name.removesuffix(".py"), source.text)
            for virtual in names:
                found[virtual] = {**found.get(virtual, {}), **functions} if functions else {}
    return found


def _module(name: str, text: str) -> tuple[set[str], dict[str, Function]]:
    """The names of a module and its functions; none where they cannot be told."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {name}, {}
    names, aliases, functions = {name}, {}, {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = _value(node.value)
            if node.targets[0].id == "__virtualname__" and isinstance(value, str):
                names.add(value)
            if node.targets[0].id == "__func_alias__" and isinstance(value, dict):
                aliases = {str(k): str(v) for k, v in value.items()}
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            functions[node.name] = _function(node.args)
        elif isinstance(node, (ast.ImportFrom, ast.Import, ast.If, ast.Try)):
            continue
    return names, {aliases.get(n, n): f for n, f in functions.items()}


def _value(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):
        return None


def _function(arguments: ast.arguments) -> Function:
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    required = names[: len(names) - len(arguments.defaults)]
    names += [a.arg for a in arguments.kwonlyargs]
    return Function(tuple(names), tuple(required), arguments.kwarg is not None)
