"""The objects of a YAML document, made at once where it holds nothing unusual.

PyYAML makes them by a generator for every mapping and list, so that a document may contain itself. What holds
plain mappings, lists and scalars without anchors comes out the same in a third of the time. Whatever is unusual
(anchors, merge keys, tags, keys that appear twice, errors) is left to PyYAML and Salt, from the beginning.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import yaml
from salt.utils.yamlloader import SaltYamlSafeLoader

_TAG = "tag:yaml.org,2002:"
_TEXT, _MAPPING, _LIST = (f"{_TAG}{name}" for name in ("str", "map", "seq"))
_SCALARS = frozenset(f"{_TAG}{name}" for name in ("int", "float", "bool", "null", "timestamp"))
# What decides what comes out; a branch's own code may put something else there.
_METHODS = (
    "construct_document", "construct_object", "construct_mapping", "construct_sequence", "construct_scalar",
    "construct_yaml_map", "construct_yaml_seq", "construct_yaml_str", "flatten_mapping",
)  # fmt: skip


class _Unusual(Exception):
    """Something that is not made here."""


def install() -> None:
    """Change Salt's loader of YAML in this process, once."""
    loader: Any = SaltYamlSafeLoader
    slowly = loader.construct_document

    def construct_document(self: Any, node: Any) -> Any:
        if type(self) is SaltYamlSafeLoader and _is_usual(self.yaml_constructors, usual):
            try:
                return _made(self, node, set())
            except Exception:  # that is said in Salt's words below
                pass
        return slowly(self, node)

    loader.construct_document = construct_document
    _resolve_quickly(loader)
    usual = [getattr(loader, name) for name in _METHODS]


def _is_usual(made: Mapping[str, Any], usual: list[Any]) -> bool:
    """Whether texts, mappings and lists are made by what Salt and PyYAML have for that. usual: `_METHODS`."""
    kind: Any = SaltYamlSafeLoader
    return (
        made.get(_TEXT) is kind.construct_yaml_str
        and made.get(_LIST) is yaml.constructor.SafeConstructor.construct_yaml_seq
        and made.get(_MAPPING)  # Salt's own once anybody has asked for ordered ones
        in (kind.construct_yaml_map, yaml.constructor.SafeConstructor.construct_yaml_map)
        and [getattr(kind, name) for name in _METHODS] == usual
    )


def _resolve_quickly(loader: Any) -> None:
    """PyYAML asks for every node whether its path in the document decides on its tag; Salt says so of none."""
    begin, slowly, scalar = loader.__init__, loader.resolve, yaml.ScalarNode
    nothing: tuple[Any, ...] = ()

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        if (
            not self.yaml_path_resolvers
        ):  # then these do nothing, and a function in C does that sooner
            self.descend_resolver, self.ascend_resolver = operator.is_, int

    def resolve(self: Any, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is not scalar or not implicit[0] or self.yaml_path_resolvers:
            return slowly(self, kind, value, implicit)
        resolvers = self.yaml_implicit_resolvers
        known = resolvers.get(value[:1], nothing)
        if None in resolvers:
            known = [*known, *resolvers[None]]
        for tag, pattern in known:
            if pattern.match(value):
                return tag
        return self.DEFAULT_SCALAR_TAG

    loader.__init__, loader.resolve = __init__, resolve


def _made(loader: Any, node: Any, known: set[Any]) -> Any:
    """The object of `node`. known: the nodes of mappings and lists that were met.

    Raises _Unusual, and what Salt's own way of making a scalar raises.
    """
    tag, kind = node.tag, type(node)
    if kind is yaml.ScalarNode:
        if tag == _TEXT:
            return node.value
        if tag in _SCALARS:
            return loader.yaml_constructors[tag](loader, node)
        raise _Unusual
    if node in known:  # an anchor: one object in two places
        raise _Unusual
    known.add(node)
    if kind is yaml.SequenceNode and tag == _LIST:
        return [_made(loader, item, known) for item in node.value]
    if kind is not yaml.MappingNode or tag != _MAPPING:
        raise _Unusual
    made = loader.dictclass()
    for key_node, value_node in node.value:
        if type(key_node) is not yaml.ScalarNode:
            raise _Unusual
        key = _made(loader, key_node, known)
        if key in made:
            raise _Unusual
        made[key] = _made(loader, value_node, known)
    return made
