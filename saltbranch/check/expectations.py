"""State tests: `tests/*.yaml` of the control repository.

    web server on Debian:
      grains: {id: web1, os_family: Debian, roles: [web]}
      pillar: {nginx: {sites: {}}}
      saltenv: test                      # optional
      must:
        - nginx | pkg.installed          # ID | module.function
        - state: file.managed            # or by parts, arguments included
          name: /etc/nginx/nginx.conf
          arguments: {mode: '0644'}
      must_not:
        - state: service.running
          id: apache2

    no roles:
      grains: {id: web2}
      fails: "a role is needed"        # instead: it must not compile, with an error that says so

Here they are read, and low chunks are judged; compiling those is somebody else's work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from saltbranch.check import catalogue as rules
from saltbranch.check import yaml_nodes
from saltbranch.check.blame import without_line
from saltbranch.check.finding import Finding
from saltbranch.check.yaml_nodes import line_of, pairs
from saltbranch.compiler.inside.mask import redact, surely_secret
from saltbranch.compiler.model import Compiled, travels
from saltbranch.salt_master import pillar_errors

_KEYS = ("grains", "pillar", "saltenv", "must", "must_not", "returns", "fails")
_PARTS = ("id", "state", "name", "sls", "arguments")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a chunk must look like; parts that are None may be anything."""

    line: int
    state: str | None = None
    id: str | None = None
    name: str | None = None
    sls: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def fits(self, chunk: Mapping[str, Any]) -> bool:
        """Whether the low chunk `chunk` is such a one."""
        wanted = {
            "__id__": self.id, "name": self.name, "__sls__": self.sls,
        }  # fmt: skip
        if any(value is not None and chunk.get(key) != value for key, value in wanted.items()):
            return False
        if self.state is not None and self.state != f"{chunk.get('state')}.{chunk.get('fun')}":
            return False
        return all(k in chunk and chunk[k] == v for k, v in self.arguments.items())

    def __str__(self) -> str:
        parts = [
            self.id,
            self.state,
            self.name and f"name {self.name}",
            self.sls and f"sls {self.sls}",
        ]
        parts += [f"{name}" for name in self.arguments]
        return " | ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class StateTest:
    """One test: a minion, and what its highstate must and must not hold.

    fails: instead of both, a part of the error that compiling it must end with.
    """

    file: str
    line: int
    title: str
    minion: str
    saltenv: str | None
    grains: Mapping[str, Any]
    pillar: Mapping[str, Any]
    returns: Mapping[str, Any]
    must: tuple[Expected, ...]
    must_not: tuple[Expected, ...]
    fails: str | None = None


_UNREADABLE = (
    yaml.YAMLError,
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
)


def parse(path: str, text: str) -> tuple[list[StateTest], list[Finding]]:
    """The tests of one file, and what is wrong with it."""
    try:
        root = yaml_nodes.compose(text)
        if any(True for _ in yaml_nodes.doubles(root)) or _expands(root):
            return [], [
                rules.TEST_FILE.at(path, 0, "a key appears twice, or aliases repeat too much")
            ]
        data = yaml.safe_load(text)
    except yaml_nodes.YamlProblem as err:
        return [], [
            rules.TEST_FILE.at(path, err.line, pillar_errors.kind_of(f"YAML: {err.message}"))
        ]
    except _UNREADABLE as err:  # it holds pillar, and a message may hold any of it
        mark = getattr(err, "problem_mark", None)
        line = mark.line + 1 if mark else 0
        return [], [rules.TEST_FILE.at(path, line, pillar_errors.kind_of_yaml(err))]
    if data is None:
        return [], []
    if not isinstance(data, dict):
        return [], [rules.TEST_FILE.at(path, 1, "it holds no mapping of titles to tests")]
    tests, wrong = [], []
    for title, key, value in pairs(root):
        try:
            tests.append(_test(path, title, line_of(key), value, data.get(title)))
        except ValueError as err:
            wrong.append(rules.TEST_FILE.at(path, line_of(key), f"{title[:80]!r}: {err}"))
    return tests, wrong


def _expands(root: yaml.Node | None, most: int = 100_000) -> bool:
    """Whether following every alias leads to more than `most` nodes ("billion laughs")."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        sizes[id(node)] = most  # an alias to what is around it has no end
        inner = (
            [part for pair in node.value for part in pair]
            if isinstance(node, yaml.MappingNode)
            else yaml_nodes.items(node)
        )
        sizes[id(node)] = total = min(most, 1 + sum(map(size, inner)))
        return total

    return root is not None and size(root) >= most


def _test(path: str, title: str, line: int, node: yaml.Node, data: object) -> StateTest:
    if not isinstance(data, dict):
        raise ValueError("it is not a mapping")
    if any(key not in _KEYS for key in data):
        raise ValueError(
            f"an unknown key; known: {', '.join(_KEYS)} (is one below them not indented?)"
        )
    lists = {key: value for key, _, value in pairs(node)}
    must = _expectations(lists.get("must"), data.get("must"))
    must_not = _expectations(lists.get("must_not"), data.get("must_not"))
    fails = data.get("fails")
    if fails is None and not must and not must_not:
        raise ValueError("it expects nothing: give it `must:`, `must_not:` or `fails:`")
    if fails is not None and (must or must_not or not isinstance(fails, str) or not fails):
        raise ValueError(
            "`fails:` is a part of the error, and cannot be combined with must: and must_not:"
        )
    grains = _mapping(data, "grains")
    saltenv = data.get("saltenv")
    return StateTest(
        file=path,
        line=line,
        title=title,
        minion=str(grains.get("id", "test")),
        saltenv=None if saltenv is None else str(saltenv),
        grains=grains,
        pillar=_mapping(data, "pillar"),
        returns=_mapping(data, "returns"),
        must=must,
        must_not=must_not,
        fails=fails,
    )


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key) or {}
    if not isinstance(value, dict):
        raise ValueError(f"{key}: is not a mapping")
    if not travels(value):
        raise ValueError(f"{key}: has a date as a key (quote it), or aliases without end")
    return value


def _expectations(node: yaml.Node | None, data: object) -> tuple[Expected, ...]:
    if data is None:
        return ()
    if not isinstance(data, list):
        raise ValueError("must: and must_not: hold lists")
    lines = [line_of(item) for item in yaml_nodes.items(node)]
    return tuple(_expected(item, line) for item, line in zip(data, lines, strict=True))


def _expected(item: object, line: int) -> Expected:
    if isinstance(item, str):
        name, bar, state = item.rpartition("|")
        state = state.strip()
        if state.count(".") != 1:
            raise ValueError(f"{item[:80]!r} is not of the form `ID | module.function`")
        return Expected(line, state=state, id=name.strip() if bar else None)
    if not isinstance(item, dict) or not item:
        raise ValueError("an expectation is a text or a mapping")
    if unknown := [key for key in item if key not in _PARTS]:
        raise ValueError(f"unknown part {str(unknown[0])[:60]!r}; known: {', '.join(_PARTS)}")
    texts = {k: str(item[k]) for k in ("id", "state", "name", "sls") if item.get(k) is not None}
    return Expected(line, **texts, arguments=_mapping(item, "arguments"))


def judge(test: StateTest, compiled: Compiled) -> Iterator[Finding]:
    """What `compiled`, made with its low chunks, has against the expectations of `test`."""
    secrets = surely_secret(compiled.plain_pillar or {})

    def wrong(line: int, text: str, fix: str = "") -> Finding:
        message = f"{test.title[:80]!r}: {text}"
        return rules.TEST.at(test.file, line, redact(message, secrets), fix=redact(fix, secrets))

    errors = [without_line(error) for error in compiled.errors]
    if test.fails is not None:
        if not any(test.fails in error for error in errors):
            said = f"it says: {errors[0][:200]}" if errors else "it compiles"
            yield wrong(test.line, f"must fail with {test.fails[:100]!r}, but {said}")
        return
    if errors:
        yield wrong(test.line, f"cannot be compiled: {'; '.join(errors)[:300]}")
        return
    chunks = compiled.low or ()
    for expected in test.must:
        if not any(expected.fits(chunk) for chunk in chunks):
            text = f"not there, and must be: {str(expected)[:150]}"
            yield wrong(expected.line, text, _near(expected, chunks))
    for expected in test.must_not:
        if any(expected.fits(chunk) for chunk in chunks):
            yield wrong(expected.line, f"there, and must not be: {str(expected)[:150]}")


def _near(expected: Expected, chunks: Sequence[Mapping[str, Any]]) -> str:
    """Which arguments differ where only they do. Values may be secrets, so only names."""
    bare = Expected(0, expected.state, expected.id, expected.name, expected.sls)
    for chunk in chunks:
        if expected.arguments and bare.fits(chunk):
            names = [k for k, v in expected.arguments.items() if chunk.get(k) != v]
            return f"it is there, but differs in: {', '.join(map(str, names))[:100]}"
    return ""
