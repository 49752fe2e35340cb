"""Which errors of a compile only follow from others: what did not come out may be what they want."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from saltbranch.check.blame import blame, sls_of
from saltbranch.check.project import Project, Source, absolute
from saltbranch.check.rules.requisites import Names
from saltbranch.check.template import literal
from saltbranch.compiler.error_texts import (
    CIPHERTEXT,
    DECLARED,
    is_of_pillar,
    without_area,
)

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


class Consequences:
    """Looks into the sls files that did not render."""

    def __init__(self, project: Project) -> None:
        """project: what was compiled."""
        self.project = project
        self._known: dict[tuple[str, str, str], bool] = {}
        # A master may decipher them by its own renderer, whatever the file's first line says.
        self._has_messages = any(
            "-----BEGIN PGP MESSAGE" in (source.text or "") for source in project.of("pillar")
        )

    def holds(self, error: str, errors: Sequence[str]) -> bool:
        """Whether `error` may follow from others of `errors`, of the same minion."""
        if not _FOLLOWS.match(error):
            return False
        broken = {sls_of(other) for other in errors if _BROKEN.match(other)}
        found = _WANTED.match(error) or _EXTENDED.match(error)
        if found is None:
            return bool(broken)
        wanted = found.groupdict()
        module, name = wanted.get("module", ""), wanted["name"]
        return any(self._may_declare(sls, module, name) for sls in broken)

    def of_pillar(self, error: str, errors: Sequence[str], notes: Sequence[str]) -> bool:
        """Whether `error`, of the states, may only follow from pillar that did not come out, or not in plain text.

        errors, notes: all of the same minion.
        """
        if is_of_pillar(error):
            return False
        lacked, misshaped = _LACKED.match(error), _MISSHAPED.match(error)
        if not (lacked or misshaped or self._is_generated(error)):
            return False
        if not self._asks_for_pillar(error):
            return False
        if misshaped and (self._has_messages or any(CIPHERTEXT in note for note in notes)):
            return True
        broken = [sls_of(without_area(e)) for e in errors if is_of_pillar(e)]
        told = [note.removeprefix(DECLARED) for note in notes if note.startswith(DECLARED)]
        declared = [name for names in told for name in names.split(", ") if self._is_pillar(name)]
        if lacked and lacked["key"] in _OF_PYTHON_2:
            return False
        key = lacked["key"] if lacked and _MAPPINGS.match(lacked["of"] or "") else None
        return bool(declared) or any(self._may_hold(sls, key) for sls in broken)

    def _is_generated(self, error: str) -> bool:
        """Whether `error` is about a state that its own sls would have made of something."""
        wanted = _WANTED.match(error)
        return wanted is not None and any(
            self._may_declare(sls, wanted["module"], wanted["name"])
            for sls in _BY.findall(error)[-1:]
        )

    def _asks_for_pillar(self, error: str) -> bool:
        """Whether the file that `error` is about looks into the pillar, itself or by what it imports."""
        source = self.project.sources.get(blame(error, self.project).file)
        text = (source.text if source else None) or "pillar"
        return any(word in text for word in ("pillar", "import", "include"))

    def _is_pillar(self, name: str) -> bool:
        """Whether what is declared to be missing is asked for by a file of the pillar."""
        written = (name.removeprefix("salt://"), name.replace(".", "/"), name)
        return any(
            word in (source.text or "") for source in self.project.of("pillar") for word in written
        )

    def _may_hold(self, sls: str, key: str | None) -> bool:
        """Whether the pillar file `sls`, or one that it includes, may have the key; None for any."""
        seen: set[str] = set()
        todo = [sls]
        while todo:
            sources = self.project.named("pillar", todo.pop())
            if not sources:
                return True
            for source in sources:
                if source.path in seen:
                    continue
                seen.add(source.path)
                text = source.text
                if key is None or text is None or "{{" in text or key in text:
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
        if module == "sls":
            return True
        seen: set[str] = set()
        todo = [sls]
        while todo:
            sources = list(self.project.named("states", todo.pop()))
            if not sources:
                return True
            for source in sources:
                if source.path in seen:
                    continue
                seen.add(source.path)
                if not _is_known(source) or Names([source]).has(module, name):
                    return True
                todo += _included(source)
        return False


def _is_known(source: Source) -> bool:
    """Whether what a file declares can be read from it."""
    return bool(
        source.readable and source.plain and source.plain.complete and source.root is not None
    ) and all(literal(include.sls) for include in source.declared.includes)


def _included(source: Source) -> Iterator[str]:
    return (absolute(source, include.sls) for include in source.declared.includes)
