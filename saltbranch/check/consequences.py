"""Which errors of a compile only follow from others: what did not come out may be what they want."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from saltbranch.check.blame import sls_of
from saltbranch.check.project import Project, Source, absolute
from saltbranch.check.rules.requisites import Names
from saltbranch.check.template import literal

# What is said of states whose sls, or that of what they want, did not come out.
_FOLLOWS = re.compile(
    r"Referenced state does not exist|Cannot extend ID|The following requisite|.*\bdoes not exist$"
)
_BROKEN = re.compile(r"Rendering SLS |No matching sls found|Specified SLS ")
_WANTED = re.compile(
    r"Referenced state does not exist for requisite \[\w+: \((?P<module>\w+): (?P<name>.+?)\)\] in state"
)
_EXTENDED = re.compile(r"Cannot extend ID '(?P<name>.+?)' in ")


class Consequences:
    """Looks into the sls files that did not render."""

    def __init__(self, project: Project) -> None:
        """project: what was compiled."""
        self.project = project
        self._known: dict[tuple[str, str, str], bool] = {}

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
