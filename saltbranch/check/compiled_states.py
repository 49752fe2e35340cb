"""State functions and arguments of compiled states: of those, too, that macros and loops make."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import yaml

from saltbranch.check.finding import Finding
from saltbranch.check.project import Project, Source, Tools
from saltbranch.check.rules import functions
from saltbranch.check.sls import Argument, State
from saltbranch.check.template import Plain
from saltbranch.compiler.model import Chunk, Compiled

_NO_NODE = yaml.ScalarNode("tag:yaml.org,2002:null", "")


def findings(
    results: Iterable[Compiled], project: Project, tools: Tools, told: Iterable[Finding]
) -> Iterator[Finding]:
    """Each mistake once for a file. told: what reading found, which is not told again."""
    modules = functions.state_modules(project, tools)
    known = {(f.file, f.rule, f.message) for f in told}
    seen, begin = set(), f"{project.folders['states']}/"
    for result in results:
        for chunk in result.chunks:
            shape = (chunk.path, chunk.module, *chunk.arguments)
            source = project.names["states"].get(chunk.path.removeprefix(begin))
            if shape in seen or source is None or chunk.module.count(".") > 1:
                continue  # with a second dot: made of a state of the wrong shape, which Salt refuses
            seen.add(shape)
            for finding in functions.of_state(_whole(source), _state(chunk), modules, tools):
                key = (finding.file, finding.rule, finding.message)
                if key not in known:
                    known.add(key)
                    yield finding


def _whole(source: Source) -> Source:
    """The file as rendered: nothing is left that only rendering would tell."""
    return dataclasses.replace(source, certain=True, whole=True, plain=Plain(""))


def _state(chunk: Chunk) -> State:
    """A chunk as if it were written out; what of it is hidden is not judged."""
    module, _, function = chunk.module.partition(".")
    line = chunk.line or 0
    names = [n for n in chunk.arguments if "\0" not in n]
    arguments = tuple(Argument(name, line, _NO_NODE) for name in names)
    hides = "\0" in chunk.module or len(names) < len(chunk.arguments)
    return State(
        id="",
        id_line=line,
        line=line,
        module=module,
        function=function,
        arguments=arguments,
        extends="\0" in chunk.module,
        open=hides,
    )
