"""YAML as its specification has it, where PyYAML is laxer."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import yaml

_MOST = 100_000


class Loader(yaml.SafeLoader):
    """SafeLoader that refuses what PyYAML lets pass or fails on without saying where.

    YAML forbids a key that appears twice; 2026-13-45 is not a date; half a surrogate pair is not text.
    """

    def get_single_node(self) -> yaml.Node | None:
        """The document, if it is of a size that aliases have not blown up. Raises yaml.composer.ComposerError.

        A few lines of nested aliases stand for a billion values.
        """
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _count(node, {})
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:  # noqa: FBT001, FBT002
        """The value of `node`. Raises yaml.constructor.ConstructorError."""
        try:
            value: object = super().construct_object(node, deep)
            if isinstance(value, str):
                value.encode()
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as err:
            problem = f"{str(err)[:100]} (does it want quotes?)"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from err
        return value


def line_of(text: str, keys: Sequence[str]) -> int | None:
    """The line, from 1, of the last of `keys`, each below the one before; None where it is not found.

    A key that a merge (``<<``) brings stands nowhere of its own. Raises yaml.YAMLError for what is not YAML.
    """
    node, line = yaml.compose(text, Loader=Loader), None
    for key in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next((pair for pair in pairs if pair[0].value == key), None)
        if found is None:
            return None
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values `node` stands for, aliases written out."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = _MOST  # what holds itself has no end
        inner = (
            [part for pair in node.value for part in pair]
            if isinstance(node, yaml.MappingNode)
            else node.value
        )
        known[id(node)] = 1 + sum(_count(part, known) for part in inner)
    if known[id(node)] >= _MOST:
        problem = f"aliases make more than {_MOST} values of it, or it holds itself"
        raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
    return known[id(node)]


def _construct_mapping(loader: Loader, node: yaml.MappingNode) -> dict[Hashable, object]:
    seen: dict[Hashable, int] = {}
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(
                None, None, "found a key that is not a plain text", key_node.start_mark
            )
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} appears twice (also on line {seen[key]})",
                key_node.start_mark,
            )  # fmt: skip
        seen[key] = line
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)
