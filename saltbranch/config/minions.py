"""Which minions belong to a saltenv: by minion id, never by grains.

A minion's grains are its own word, while the master knows its id from its key. So `minions:` takes
globs, lists, regular expressions and nodegroups, with the meaning Salt gives them in
salt/matchers/{glob,list,pcre,compound}_match.py.
"""

from __future__ import annotations

import fnmatch
import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from saltbranch.base.errors import ConfigError

Kind = Literal["glob", "list", "pcre", "nodegroup"]
KINDS: tuple[Kind, ...] = ("glob", "list", "pcre", "nodegroup")

# What Salt's compound matcher takes before "@" (salt/utils/minions.py, parse_target): only these
# look at the minion id alone.
_ID_ENGINES = {"L", "E", "N"}
_BY_MINION = {
    "G": "grains",
    "P": "grains",
    "I": "pillar",
    "J": "pillar",
    "S": "the minion's address",
    "D": "data",
    "R": "a range server",
}


@dataclass(frozen=True, slots=True)
class Matcher:
    """One rule that says which minion ids belong to a saltenv; `list` targets are joined by commas."""

    kind: Kind
    target: str

    def __str__(self) -> str:
        return f"{self.kind} {self.target}"


def parse_minions(value: object, where: str) -> tuple[Matcher, ...]:
    """The matchers that `minions:` stands for.

    value: a glob, a mapping of one kind to a target, or a list of these.
    where: the key, for messages. Raises ConfigError.
    """
    items = value if isinstance(value, list) else [value]
    return tuple(matcher for item in items for matcher in _parse_item(item, where))


def _parse_item(item: object, where: str) -> Iterable[Matcher]:
    if isinstance(item, str):
        yield _checked("glob", item, where)
    elif isinstance(item, Mapping):
        for kind, target in item.items():
            if kind not in KINDS:
                raise _unknown_kind(str(kind), where)
            if kind == "list":
                ids = target if isinstance(target, list) else [target]
                yield _checked("list", ",".join(_text(i, where).strip() for i in ids), where)
                continue
            for one in target if isinstance(target, list) else [target]:
                yield _checked(cast(Kind, kind), _text(one, where), where)
    else:
        raise ConfigError(
            f"{where}: {reprlib.repr(item)} is not a minion target",
            hint='write a glob such as "web*", or {list: [web1, web2]}, {pcre: ...}, {nodegroup: ...}',
        )


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {reprlib.repr(value)} is not a text", hint="put it in quotes")
    return value


def _unknown_kind(kind: str, where: str) -> ConfigError:
    if kind in ("grain", "grains", "grain_pcre", "pillar", "pillar_pcre", "compound", "ipcidr"):
        return ConfigError(
            f"{where}: minions cannot be assigned by {kind}: a minion may claim any grain, so it could"
            " choose whose pillar it gets",
            hint="name them by id: a glob, {list: [...]}, {pcre: ...} or {nodegroup: ...}",
        )
    return ConfigError(
        f"{where}: unknown kind of target {kind!r}", hint=f"one of {', '.join(KINDS)}"
    )


def _checked(kind: Kind, target: str, where: str) -> Matcher:
    if not target or any(ord(c) < 32 or ord(c) == 127 for c in target):
        raise ConfigError(
            f"{where}: {kind} target {target!r} is empty or holds a control character",
            hint="name the minions by their ids",
        )
    if kind == "glob" and re.match(r"[A-Z]@", target):
        raise ConfigError(
            f"{where}: {target!r} looks like a compound target, but a glob is expected here",
            hint="use {list: [...]}, {pcre: ...} or {nodegroup: ...}; grains cannot be used",
        )
    if kind == "list" and "" in target.split(","):
        raise ConfigError(f"{where}: a list of minions holds an empty id", hint="remove it")
    if kind == "pcre":
        _check_expression(target, where)
    return Matcher(kind, target)


def _check_expression(pattern: str, where: str) -> None:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as err:
        raise ConfigError(
            f"{where}: {pattern!r} is not a regular expression: {err}", hint="fix the pattern"
        ) from err


Nodegroups = Mapping[str, object]


def matches(matcher: Matcher, minion_id: str, nodegroups: Nodegroups | None = None) -> bool:
    """Whether `minion_id` is meant. nodegroups: the master's option of that name."""
    if matcher.kind == "glob":
        return fnmatch.fnmatchcase(minion_id, matcher.target)
    if matcher.kind == "list":
        return minion_id in matcher.target.split(",")
    if matcher.kind == "pcre":
        return re.match(matcher.target, minion_id) is not None
    return _nodegroup_matches(matcher.target, minion_id, nodegroups or {})


_OPERATORS = ("and", "or", "not", "(", ")")


def _nodegroup_matches(name: str, minion_id: str, nodegroups: Nodegroups) -> bool:
    """Evaluate a nodegroup as Salt does (salt/utils/minions.py, nodegroup_comp; compound_match.py).

    Operators and parentheses are words of their own; words without any operator, type or `*` are
    a list of ids, or one regular expression; what makes no sense matches nothing.
    """
    terms = _terms(name, minion_id, nodegroups, ())
    try:
        # Only True, False, and, or, not and parentheses can stand in it.
        return bool(terms and eval(" ".join(terms), {"__builtins__": {}}))
    except (SyntaxError, TypeError):
        return False


def _terms(name: str, minion_id: str, nodegroups: Nodegroups, inside: tuple[str, ...]) -> list[str]:
    """The nodegroup as an expression of Python; groups inside it stand in parentheses, as Salt has them."""
    words = nodegroup_words(nodegroups.get(name))
    if words is None or name in inside:
        return []
    if _is_plain(words):
        return [str(matches(_plain_matcher(words), minion_id))]
    terms: list[str] = []
    for word in words:
        engine, at, target = word.partition("@")
        if word == "not" and terms and terms[-1] not in ("and", "or", "("):
            terms.append("and")
        if word in _OPERATORS:
            terms.append(word)
        elif at and engine == "N":
            terms += _terms(target, minion_id, nodegroups, (*inside, name))
        elif at and engine in ("L", "E"):
            matcher = Matcher("list" if engine == "L" else "pcre", target)
            terms.append(str(matches(matcher, minion_id)))
        else:
            terms.append(str(matches(Matcher("glob", word), minion_id)))
    return ["(", *terms, ")"] if inside else terms


def _is_plain(words: list[str]) -> bool:
    return not any(w in _OPERATORS or "*" in w or re.match("[A-Z]@", w) for w in words)


def _plain_matcher(words: list[str]) -> Matcher:
    """What Salt makes of words that are all plain (salt/utils/minions.py, _nodegroup_regex)."""
    is_expression = any(set(word) & set("([{\\?}])") for word in words)
    return Matcher("pcre" if is_expression else "list", ",".join(words))


def nodegroup_words(definition: object) -> list[str] | None:
    """The words of a nodegroup's definition, a text or a list; None when it is neither."""
    if isinstance(definition, str):
        return definition.split()
    return [str(word) for word in definition] if isinstance(definition, list) else None


def claimed_by(
    minion_id: str, groups: Mapping[str, Sequence[Matcher]], nodegroups: Nodegroups | None = None
) -> list[tuple[str, Matcher]]:
    """The saltenvs that claim `minion_id`, each with the first matcher that does."""
    found = []
    for saltenv, matchers in groups.items():
        matcher = next((m for m in matchers if matches(m, minion_id, nodegroups)), None)
        if matcher:
            found.append((saltenv, matcher))
    return found


def check_nodegroups(matchers: Iterable[Matcher], nodegroups: Nodegroups, where: str) -> None:
    """Prove that each nodegroup in `matchers` exists and goes by minion id alone.

    nodegroups: the master's option of that name. Raises ConfigError.
    """
    for matcher in matchers:
        if matcher.kind == "nodegroup":
            _check_nodegroup(matcher.target, nodegroups, where, ())


def _check_nodegroup(
    name: str, nodegroups: Nodegroups, where: str, inside: tuple[str, ...]
) -> None:
    if name not in nodegroups:
        raise ConfigError(
            f"{where}: the master knows no nodegroup {name!r}",
            hint=f"known ones: {', '.join(sorted(nodegroups)) or 'none'}",
        )
    if name in inside:
        raise ConfigError(f"{where}: nodegroup {name!r} contains itself", hint="fix nodegroups:")
    words = nodegroup_words(nodegroups[name])
    if words is None:
        raise ConfigError(f"{where}: nodegroup {name!r} is neither a text nor a list")
    if _is_plain(words) and _plain_matcher(words).kind == "pcre":
        _check_expression(_plain_matcher(words).target, f"{where}: nodegroup {name!r}")
    for word in words:
        typed = re.match("([A-Z]).?@", word.lstrip("("))
        if typed is None:
            continue
        if typed[1] not in _ID_ENGINES:
            raise ConfigError(
                f"{where}: nodegroup {name!r} goes by {_BY_MINION.get(typed[1], 'something else')}"
                f" ({word}), which a minion may choose itself",
                hint="use only globs, L@ (lists), E@ (regular expressions) and N@ in it",
            )
        if typed[1] == "N":
            _check_nodegroup(word[2:], nodegroups, where, (*inside, name))
        if typed[1] == "E":
            _check_expression(word.partition("@")[2], f"{where}: nodegroup {name!r}")


def find_overlap(groups: Mapping[str, Sequence[Matcher]]) -> tuple[str, str, str] | None:
    """Two saltenvs that surely claim one minion, with an id that both match; None when none is found.

    Whether two patterns can meet at all cannot be decided usefully ("web*" and "*-prod" can), so each
    pattern is tried with the plainest ids it matches: enough for equal patterns, for one that
    contains the other, and for every id that is spelled out.
    """
    for first, matchers in groups.items():
        samples = [sample for matcher in matchers for sample in _samples(matcher)]
        for second, others in groups.items():
            if first == second:
                continue
            for sample in samples:
                if any(matches(other, sample) for other in others):
                    return first, second, sample
    return _same_nodegroup(groups)


def _samples(matcher: Matcher) -> list[str]:
    if matcher.kind == "list":
        return matcher.target.split(",")
    if matcher.kind == "glob":
        plain = re.sub(r"\[(.)[^\]]*\]", r"\1", matcher.target.replace("?", "x"))
        return [s for s in (plain.replace("*", ""), plain.replace("*", "x")) if matches(matcher, s)]
    if matcher.kind == "pcre":
        plain = re.sub(r"\\(.)", r"\1", matcher.target.strip("^$").replace(".*", "x"))
        return [plain] if matches(matcher, plain) else []
    return []


def _same_nodegroup(groups: Mapping[str, Sequence[Matcher]]) -> tuple[str, str, str] | None:
    seen: dict[str, str] = {}
    for saltenv, matchers in groups.items():
        for matcher in matchers:
            if matcher.kind == "nodegroup" and seen.setdefault(matcher.target, saltenv) != saltenv:
                return seen[matcher.target], saltenv, f"nodegroup {matcher.target}"
    return None
