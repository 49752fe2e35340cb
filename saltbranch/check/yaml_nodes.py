"""YAML as nodes with their lines: walked, never turned into objects.

An alias is the same node again, so a few lines of "billion laughs" stay a few nodes; whoever walks
visits each once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from saltbranch.salt_master.pillar_errors import NO_CHARACTER, TOO_DEEP

_MERGE = "tag:yaml.org,2002:merge"


_Quick: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEP = 1000  # levels; libyaml's composer recurses, and was seen to end the process at 100,000


class YamlProblem(ValueError):
    """YAML that cannot be read; `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


def compose(text: str) -> yaml.Node | None:
    """The root node of `text`. Raises YamlProblem.

    By libyaml, as Salt does it (salt/utils/yamlloader.py), which is ten times as fast; what is nested so deeply that
    it might end the process, and what it refuses, by PyYAML's own parser.
    """
    if not _may_be_deep(text):
        try:
            return yaml.compose(text, Loader=_Quick)
        except (yaml.YAMLError, ValueError, OverflowError):
            pass  # said below, in the same words for all
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        message = ", ".join(filter(None, (err.context, err.problem))) or "not valid YAML"
        raise YamlProblem(message, mark.line + 1 if mark else 0) from err
    except yaml.reader.ReaderError as err:
        line = text.count("\n", 0, err.position) + 1 if isinstance(err.position, int) else 0
        raise YamlProblem(f"it holds a {NO_CHARACTER}", line) from err
    except yaml.YAMLError as err:
        raise YamlProblem(str(err).splitlines()[0], 0) from err
    except RecursionError as err:
        raise YamlProblem(f"it is {TOO_DEEP}", 0) from err
    except (ValueError, OverflowError) as err:
        # PyYAML lets Python's own errors through, for \UFFFFFFFF for example.
        raise YamlProblem(str(err)[:100], 0) from err


def _may_be_deep(text: str) -> bool:
    """Each level of a block begins further to the right, each of a flow with a bracket."""
    brackets = text.count("[") + text.count("{")
    return brackets > _DEEP or any(len(line) > _DEEP for line in text.split("\n"))


def line_of(node: yaml.Node) -> int:
    """Where `node` begins, from 1."""
    return int(node.start_mark.line) + 1


def text_of(node: yaml.Node | None) -> str | None:
    """The text of a scalar; None for anything else and for null."""
    if not isinstance(node, yaml.ScalarNode) or node.tag.endswith(":null"):
        return None
    return str(node.value)


def pairs(node: yaml.Node | None) -> list[tuple[str, yaml.Node, yaml.Node]]:
    """Key as text, key node and value node of a mapping; nothing for anything else."""
    if not isinstance(node, yaml.MappingNode):
        return []
    return [
        (str(key.value), key, value)
        for key, value in node.value
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE
    ]


def items(node: yaml.Node | None) -> list[yaml.Node]:
    """The items of a sequence; nothing for anything else."""
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def walk(root: yaml.Node | None) -> Iterator[tuple[tuple[str, ...], yaml.Node]]:
    """Every node once, with the keys that lead to it."""
    todo: list[tuple[tuple[str, ...], yaml.Node]] = [((), root)] if root is not None else []
    seen: set[int] = set()
    while todo:
        path, node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield path, node
        if isinstance(node, yaml.MappingNode):
            for key, value in reversed(node.value):
                name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
                todo.append(((*path[-20:], name), value))
                if not isinstance(key, yaml.ScalarNode):
                    todo.append((path, key))
        else:
            todo.extend((path, item) for item in reversed(items(node)))


def doubles(root: yaml.Node | None) -> Iterator[tuple[str, yaml.Node, yaml.Node, bool]]:
    """Keys that stand twice in one mapping: key, first and second node, whether at the top."""
    for _, node in walk(root):
        first: dict[tuple[str, str], yaml.Node] = {}
        for name, key, _ in pairs(node):
            other = first.setdefault((key.tag, name), key)
            if other is not key:
                yield name, other, key, node is root


def tags(root: yaml.Node | None) -> Iterator[tuple[str, int]]:
    """Tags that are not YAML's own, with their lines."""
    for _, node in walk(root):
        if not node.tag.startswith("tag:yaml.org,2002:"):
            yield node.tag, line_of(node)
