"""Which errors of a compile only follow from others: what did not come out may be what they want."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from jinja2 import nodes as jinja

from saltbranch.check.blame import blame, sls_of
from saltbranch.check.project import Project, Source, absolute
from saltbranch.check.rules.includes import below, templates
from saltbranch.check.rules.requisites import Names
from saltbranch.check.template import literal
from saltbranch.compiler import pgp
from saltbranch.compiler.error_texts import (
    CIPHERTEXT,
    DECLARED,
    PILLAR,
    is_of_pillar,
    without_area,
)
from saltbranch.compiler.model import Compiled

# What is said of states whose sls, or that of what they want, did not come out.
_FOLLOWS = re.compile(
    r"Referenced state does not exist|Cannot extend ID|The following requisite|.*\bdoes not exist$"
)
_BROKEN = re.compile(r"Rendering SLS |No matching sls found|Specified SLS ")
_WANTED = re.compile(
    r"Referenced state does not exist for requisite \[\w+: \((?P<module>\w+): (?P<name>.+?)\)\] in state"
)
_BY = re.compile(r" in SLS \[(?:[\w-]+:)?([\w./-]+)\]")
_EXTENDED = re.compile(r"Cannot extend ID '(?P<name>.+?)' in ")
# What rendering says of a value that is not there, or is another one, and of a text that it was put into
# (salt/utils/templates.py). Salt itself renders no state of a minion whose pillar has errors.
_LACKED = re.compile(
    r".*Jinja variable '?(?P<of>.+?)(?: object'|'?) has no (?:attribute|element) '?(?P<key>[\w-]+)"
    r"|.*Jinja error: (?:'\w+' object |\w+ object |argument of type |unsupported operand |can only concatenate "
    r"|must be |sequence item |unhashable |string indices |list indices |not enough values |cannot unpack )",
    re.DOTALL,
)
_MISSHAPED = re.compile(
    r".*(?:mapping values are not allowed|could not find expected|did not find expected|while (?:parsing|scanning)"
    r"|does not render to a dictionary|formed as a list|Unknown yaml render error)",
    re.DOTALL,
)
# What no value has any more.
_OF_PYTHON_2 = frozenset(("iteritems", "iterkeys", "itervalues", "has_key"))
_MAPPINGS = re.compile(r"(?:.*\.)?(?:dict|OrderedDict|DictProxy|ImmutableDict)$")
# What holds Salt's functions, or the macros of a template, lacks a name that is misspelt.
_NO_VALUE = re.compile(r".*(?:Loader|LoadedFunc|LoadedMod|Template\w+|Macro|Namespace)$")
_CALLS = re.compile(r"\bsalt\s*[.\[]|__salt__")
_UNDEFINED = re.compile(r".*Jinja variable '(?P<name>\w+)' is undefined", re.DOTALL)
_NOT_EXPORTED = " does not export the requested name "


@dataclass(frozen=True, slots=True)
class Gaps:
    """What of a minion did not come out.

    states, pillar: sls files that errors are about. declared: some of its pillar is declared to be missing.
    ciphered: some of it is there as ciphertext only. read: the paths that it was compiled from; empty if not known.
    """

    states: frozenset[str]
    pillar: frozenset[str]
    declared: bool
    ciphered: bool
    read: frozenset[str] = frozenset()


class Consequences:
    """Looks into the sls files that did not render."""

    def __init__(self, project: Project) -> None:
        """project: what was compiled."""
        self.project = project
        self._known: dict[tuple[str, str, str], bool] = {}
        self._asking: dict[str, bool] = {}
        self._certain: dict[tuple[str, int, str, tuple[str, ...]], bool] = {}
        self._makers: dict[tuple[str, str], frozenset[str]] = {}
        self._pillar_asks = any(_CALLS.search(s.text or "") for s in project.of("pillar"))
        self._holding: dict[tuple[str, str | None], bool] = {}
        # A master may decipher them by its own renderer, whatever the file's first line says.
        self._with_messages = frozenset(
            source.path
            for source in project.of("pillar")
            if pgp.MARK in (source.text or "") and "gpg" not in source.renderers
        )

    def gaps(self, result: Compiled) -> Gaps:
        """What of the minion did not come out."""
        pillar = [without_area(error) for error in result.errors if is_of_pillar(error)]
        states = [error for error in result.errors if _BROKEN.match(error)]
        names = [n.removeprefix(DECLARED) for n in result.notes if n.startswith(DECLARED)]
        read = result.reads.files
        has_messages = not self._with_messages.isdisjoint(read) if read else self._with_messages
        return Gaps(
            states=frozenset(map(sls_of, states)),
            pillar=frozenset(map(sls_of, pillar)),
            declared=any(n.startswith(PILLAR) for names_ in names for n in names_.split(", ")),
            ciphered=bool(has_messages) or any(CIPHERTEXT in note for note in result.notes),
            read=frozenset(read),
        )

    def holds(self, error: str, gaps: Gaps) -> bool:
        """Whether `error` may follow from states that did not come out."""
        if not _FOLLOWS.match(error):
            return False
        found = _WANTED.match(error) or _EXTENDED.match(error)
        if found is None:
            return bool(gaps.states)
        wanted = found.groupdict()
        module, name = wanted.get("module", ""), wanted["name"]
        return any(self._may_declare(sls, module, name) for sls in gaps.states)

    def of_pillar(self, error: str, gaps: Gaps) -> bool:
        """Whether `error`, of the states, may only follow from pillar that did not come out, or not in plain text."""
        if is_of_pillar(error) or not (gaps.pillar or gaps.declared or gaps.ciphered):
            return False
        if self._is_made_elsewhere(error, gaps.read):
            return gaps.declared or bool(gaps.pillar)
        lacked, misshaped = _LACKED.match(error), _MISSHAPED.match(error)
        if not (lacked or misshaped or self._is_generated(error)):
            return False
        if not self._asks_for_pillar(error):
            return False
        if misshaped and gaps.ciphered:
            return True
        kind, key = (lacked["of"] or "", lacked["key"]) if lacked else ("", None)
        wanted = key if _MAPPINGS.match(kind) else None
        return gaps.declared or any(self._may_hold((sls, wanted)) for sls in gaps.pillar)

    def _is_generated(self, error: str) -> bool:
        """Whether `error` is about a state that its own sls would have made of something."""
        wanted = _WANTED.match(error)
        return wanted is not None and any(
            self._may_declare(sls, wanted["module"], wanted["name"])
            for sls in _BY.findall(error)[-1:]
        )

    def _is_made_elsewhere(self, error: str, read: frozenset[str]) -> bool:
        """Whether `error` is about a state that a file of the minion makes of the pillar by a computed name."""
        wanted = _WANTED.match(error)
        if wanted is None:
            return False
        key = (wanted["module"], wanted["name"])
        if key not in self._makers:
            found = (path for path, names in self._computed if names.has(*key))
            self._makers[key] = frozenset(found)
        makers = self._makers[key]
        return bool(makers if not read else makers & read)

    @cached_property
    def _computed(self) -> list[tuple[str, Names]]:
        """The sls files that look into the pillar and have computed names, with what they declare."""
        files = [s for s in self.project.of("states") if s.is_sls and s.name != "top.sls"]
        named = [(source, Names([source])) for source in files]
        return [(s.path, n) for s, n in named if n.patterns and self._looks_into_pillar(s.path)]

    def no_answer_mends(self, file: str, line: int, error: str) -> bool:
        """Whether what `error` tells of a line has nothing to do with what functions answer."""
        fixed = ("grains",) if self._pillar_asks else ("grains", "pillar")
        return self._is_certain(file, line, error, fixed)

    def _is_certain(self, file: str, line: int, error: str, fixed: tuple[str, ...]) -> bool:
        """Whether `error` is there whatever is not known. fixed: variables that are what they are."""
        asked = (file, line, error, fixed)
        if asked not in self._certain:
            self._certain[asked] = self._is_mistake(*asked)
        return self._certain[asked]

    def _is_mistake(self, file: str, line: int, error: str, fixed: tuple[str, ...]) -> bool:
        lacked, undefined = _LACKED.match(error), _UNDEFINED.match(error)
        kind, key = (lacked["of"] or "", lacked["key"]) if lacked else ("", None)
        if key in _OF_PYTHON_2 or _NO_VALUE.match(kind) or _NOT_EXPORTED in error:
            return True
        source = self.project.sources.get(file)
        template = source.template if source else None
        if template is None:
            return False
        if undefined:
            return _is_never_set(template, undefined["name"])
        return key is not None and _is_of(fixed, template, line, key)

    def _asks_for_pillar(self, error: str) -> bool:
        """Whether what `error` is about may be of the pillar: in its file, or by what that imports."""
        at = blame(error, self.project)
        if self._is_certain(at.file, at.line, error, ("grains",)):
            return False
        # A macro gets the pillar from the file that imports it.
        around = (source.path for source in self.project.named("states", sls_of(error)))
        return any(map(self._looks_into_pillar, (at.file, *around)))

    def _looks_into_pillar(self, path: str) -> bool:
        """Whether the file, or what it imports, may; what nobody knows may."""
        if path not in self._asking:
            source = self.project.sources.get(path)
            self._asking[path] = source is None or self._is_asking(source)
        return self._asking[path]

    def _is_asking(self, first: Source) -> bool:
        seen: set[str] = set()
        todo = [first]
        while todo:
            source = todo.pop()
            if source.path in seen:
                continue
            seen.add(source.path)
            text = source.text
            if text is None or "pillar" in text or "config.get" in text:
                return True
            if source.template is None and ("import" in text or "include" in text):
                return True  # Python, or what nobody can read
            for _, names in templates(source):
                if not names:
                    return True  # computed
                found = [self.project.names[source.area].get(below(source, name)) for name in names]
                if None in found:
                    return True
                todo += [inner for inner in found if inner is not None]
        return False

    def _may_hold(self, wanted: tuple[str, str | None]) -> bool:
        """Whether a pillar file, or one that it includes, may have a key; None for any."""
        if wanted not in self._holding:
            self._holding[wanted] = self._searched(*wanted)
        return self._holding[wanted]

    def _searched(self, sls: str, key: str | None) -> bool:
        def may_hold(source: Source) -> bool:
            text = source.text
            return key is None or text is None or "{{" in text or key in text

        return self._any_of("pillar", sls, may_hold)

    def _any_of(self, kind: str, sls: str, is_one: Callable[[Source], bool]) -> bool:
        """Whether the file of `sls`, or one that it includes, is one, or one of them is not there."""
        seen: set[str] = set()
        todo = [sls]
        while todo:
            sources = list(self.project.named(kind, todo.pop()))
            if not sources:
                return True
            for source in sources:
                if source.path in seen:
                    continue
                seen.add(source.path)
                if is_one(source):
                    return True
                todo += _included(source)
        return False

    def _may_declare(self, sls: str, module: str, name: str) -> bool:
        key = (sls, module, name)
        if key not in self._known:
            self._known[key] = self._looked_up(*key)
        return self._known[key]

    def _looked_up(self, sls: str, module: str, name: str) -> bool:
        """Whether the file of `sls`, or one that it includes, may declare such a state."""
        return module == "sls" or self._any_of(
            "states", sls, lambda s: not _is_known(s) or Names([s]).has(module, name)
        )


def _is_known(source: Source) -> bool:
    """Whether what a file declares can be read from it."""
    return bool(
        source.readable and source.plain and source.plain.complete and source.root is not None
    ) and all(literal(include.sls) for include in source.declared.includes)


def _is_never_set(template: jinja.Template, name: str) -> bool:
    """Whether a template looks `name` up and has it nowhere else."""
    uses = [node.ctx for node in template.find_all(jinja.Name) if node.name == name]
    named = [n for node in template.find_all(jinja.FromImport) for n in node.names]
    named += [node.target for node in template.find_all(jinja.Import)]
    named += [node.name for node in template.find_all(jinja.Macro)]
    known = {n if isinstance(n, str) else n[1] for n in named}
    return bool(uses) and set(uses) == {"load"} and name not in known


def _is_of(names: tuple[str, ...], template: jinja.Template, line: int, key: str) -> bool:
    """Whether all that looks up `key` in that line does so in what is called by one of `names`, step by step."""
    roots: list[jinja.Node] = []
    for node in template.find_all((jinja.Getattr, jinja.Getitem)):
        if node.lineno == line and _key(node) == key:
            root: jinja.Node = node
            while isinstance(root, (jinja.Getattr, jinja.Getitem)) and _key(root) is not None:
                root = root.node
            roots.append(root)
    return bool(roots) and all(
        isinstance(r, jinja.Name) and r.name in names and _is_never_set(template, r.name)
        for r in roots
    )


def _key(node: jinja.Node) -> object:
    """What a lookup looks up; None where it is computed."""
    if isinstance(node, jinja.Getitem):
        return node.arg.value if isinstance(node.arg, jinja.Const) else None
    return node.attr if isinstance(node, jinja.Getattr) else None


def _included(source: Source) -> Iterator[str]:
    return (absolute(source, include.sls) for include in source.declared.includes)
