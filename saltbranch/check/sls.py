"""What one sls file declares, read from its nodes: the shape of salt.state.State.verify_high."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from saltbranch.check.template import literal, shown
from saltbranch.check.yaml_nodes import items, line_of, pairs, text_of

# Words at the top of an sls that are not ids (salt/state.py, BaseHighState.render_state).
_WORDS = ("include", "extend", "exclude")


@dataclass(frozen=True, slots=True)
class Argument:
    """One `- name: value` of a state."""

    name: str
    line: int
    value: yaml.Node


@dataclass(frozen=True, slots=True)
class State:
    """One function of one id. open: it has items that only rendering tells, which may be any arguments."""

    id: str
    id_line: int
    line: int
    module: str
    function: str
    arguments: tuple[Argument, ...]
    extends: bool = False
    open: bool = False

    def texts(self, name: str) -> Iterator[tuple[str, int]]:
        """The texts that the argument `name` holds, alone or in a list, with their lines."""
        for argument in self.arguments:
            if argument.name == name:
                for node in (argument.value, *items(argument.value)):
                    if (text := text_of(node)) is not None:
                        yield text, line_of(node)
                    yield from ((key, line_of(node)) for key, node, _ in pairs(node))

    def holds(self, name: str) -> bool:
        """Whether there is an argument `name`."""
        return any(argument.name == name for argument in self.arguments)


@dataclass(frozen=True, slots=True)
class Include:
    """One entry of include: `saltenv` is None where none is named."""

    sls: str
    line: int
    saltenv: str | None


@dataclass(frozen=True, slots=True)
class Misshapen:
    """What Salt would refuse. is_bare: unless a template brings in what is missing there."""

    message: str
    line: int
    is_bare: bool = False


@dataclass(frozen=True, slots=True)
class Declared:
    """What an sls file declares."""

    states: tuple[State, ...] = ()
    includes: tuple[Include, ...] = ()
    misshapen: tuple[Misshapen, ...] = ()


def read(root: yaml.Node | None) -> Declared:
    """What the states file with this root declares."""
    if root is None or (isinstance(root, yaml.ScalarNode) and text_of(root) is None):
        return Declared()
    if not isinstance(root, yaml.MappingNode):
        wrong = Misshapen("it holds no mapping of ids to states", line_of(root))
        return Declared(misshapen=(wrong,))
    states: list[State] = []
    found: list[Misshapen] = []
    for name, key, value in pairs(root):
        if name == "extend":
            for inner, inner_key, inner_value in pairs(value):
                _read_id(inner, line_of(inner_key), inner_value, states, found, extends=True)
        elif name not in _WORDS and not name.startswith("__"):
            _read_id(name, line_of(key), value, states, found, extends=False)
    return Declared(tuple(states), tuple(includes(root)), tuple(found))


def includes(root: yaml.Node | None) -> Iterator[Include]:
    """The entries of `include:`, in states and in pillar."""
    for name, _, value in pairs(root):
        if name != "include":
            continue
        for node in items(value):
            if (text := text_of(node)) is not None:
                yield Include(text, line_of(node), None)
            for key, key_node, inner in pairs(node):
                target = text_of(inner)
                if target is not None:  # {saltenv: sls}
                    yield Include(target, line_of(key_node), key)
                else:  # pillar: {sls: {defaults: ..., key: ...}}
                    yield Include(key, line_of(key_node), None)


def _read_id(
    name: str,
    line: int,
    value: yaml.Node,
    states: list[State],
    wrong: list[Misshapen],
    *,
    extends: bool,
) -> None:
    short = text_of(value)
    if short is not None:
        module, dot, function = short.partition(".")
        if not literal(short):
            pass  # it may render to a mapping
        elif dot:
            states.append(
                State(
                    id=name,
                    id_line=line,
                    line=line_of(value),
                    module=module,
                    function=function,
                    arguments=(),
                    extends=extends,
                )
            )
        else:
            wrong.append(Misshapen(f"the id {shown(name)!r} holds a text and no state", line))
        return
    if not isinstance(value, yaml.MappingNode):
        wrong.append(Misshapen(f"the id {shown(name)!r} holds no state", line))
        return
    for key, key_node, body in pairs(value):
        if key.startswith("__"):
            continue
        states.append(_read_state(name, line, key, line_of(key_node), body, extends=extends))
        if not extends:
            wrong += _misshapen(f"{key} of the id {shown(name)!r}", line_of(key_node), body)


def _misshapen(what: str, line: int, body: yaml.Node) -> Iterator[Misshapen]:
    """What Salt refuses of the body of a state (salt/state.py, _verify_high)."""
    wants = "Salt wants a list, `- argument: value`"
    if isinstance(body, yaml.MappingNode):
        yield Misshapen(f"{what} holds a mapping; {wants}", line)
    elif isinstance(body, yaml.ScalarNode):
        text = text_of(body)
        if text is None:
            why = "ends with a colon and has no arguments; leave the colon out, or write []"
            yield Misshapen(f"{what} {why}", line, is_bare=True)
        elif literal(text):
            yield Misshapen(f"{what} holds a text; {wants}", line)
    for node in items(body):
        text = text_of(node)
        if text is not None and literal(text) and " " in text.strip():
            why = "holds a text with spaces; is the colon of an argument missing?"
            yield Misshapen(f"{what} {why}", line_of(node))


def _read_state(
    name: str, id_line: int, key: str, line: int, body: yaml.Node, *, extends: bool
) -> State:
    module, _, function = key.partition(".")
    arguments, is_open = [], False
    for node in items(body):
        text = text_of(node)
        is_open = is_open or (text is not None and not literal(text))
        if text is not None and not function:
            function = text
        for argument, argument_node, value in pairs(node):
            arguments.append(Argument(argument, line_of(argument_node), value))
    short = text_of(body)
    if short is not None and not function:
        function = short
    return State(
        id=name,
        id_line=id_line,
        line=line,
        module=module,
        function=function,
        arguments=tuple(arguments),
        extends=extends,
        open=is_open,
    )
