"""Low chunks as they leave the sandbox: masked, with the place that they come from and the files they use."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from saltbranch.compiler.hiding import Hider
from saltbranch.compiler.inside.mask import Mask, plain
from saltbranch.compiler.inside.sources import Sources, Used
from saltbranch.compiler.model import OF_STATE

# What says where a chunk comes from, and what says nothing about the minion.
_INTERNAL = ("state", "fun", "__id__", "__sls__", "__env__", "order", "__sls_included_from__",
             "name_order", "__orchestration_jid__")  # fmt: skip
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}")


class Describer:
    """Low chunks as they leave the sandbox."""

    def __init__(
        self,
        *,
        folders: Mapping[str, str],
        inside: Mapping[str, str],
        mask: Mask,
        hider: Hider,
        secrets: frozenset[str],
        shown: frozenset[str],
        names: frozenset[str],
        used: Sources,
        text: Callable[[str], str | None],
    ) -> None:
        """mask: makes digests of values; hider: hides words. names: the path of every file of the tree. used: says
        what states use. text: of one of `names`, where that was read and told by now.
        """
        self.states = folders["states"]
        self.inside = inside["states"]
        self.mask = mask
        self.hider = hider
        self.secrets = secrets
        self.shown = shown
        self.names = names
        self.used = used
        self.known_text = text
        self.texts: dict[str, tuple[str, str]] = {}
        self.functions: dict[tuple[str, str], str] = {}
        self.lines: dict[str, _Lines] = {}
        self.called: dict[tuple[str, str], str] = {}

    def chunks(self, chunks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """All of them, under keys of their own: ``names:`` makes several with one ID."""
        found = [self._chunk(chunk) for chunk in chunks]
        # Of the places only their order is told: an `order:` from the pillar may be among them.
        ranks = {p: float(n) for n, p in enumerate(sorted({c["place"] for c in found} - {None}))}
        for chunk in found:
            chunk["place"] = ranks.get(chunk["place"])
        count = Counter(chunk["identity"] for chunk in found)
        for chunk in found:
            name = chunk.pop("name")
            if count[chunk["identity"]] > 1:
                shown = chunk["arguments"].get("name")
                chunk["key"] += f" #{shown}" if isinstance(shown, str) else f" #~{name[:8]}"
            chunk["identity"] += name[:OF_STATE]
        return found

    def _chunk(self, chunk: Mapping[str, Any]) -> dict[str, Any]:
        """One chunk. The name is an argument like any other, for it may come from the pillar."""
        sls = str(chunk.get("__sls__", ""))
        path, source = self._source(sls)
        values = {str(k): plain(v) for k, v in chunk.items() if k not in _INTERNAL}
        place, order = _place(chunk.get("order"))
        used = uses(self.used, chunk, values)
        identity = str(chunk.get("__id__"))
        function = f"{chunk.get('state')}.{chunk.get('fun')}"
        own = self.mask.digest([identity, function])
        return {
            "key": self._key(identity, function, source, own),
            "identity": own[:OF_STATE],
            "name": self.mask.digest(values.get("name")),
            "sls": sls,
            "path": path,
            "line": self._lines(sls).of(identity),
            "arguments": {
                self._name(name, source): self.mask.argument(
                    value, source, self.secrets, self.shown
                )
                for name, value in (values if order is None else {**values, "order": order}).items()
            },
            "sources": sorted(filter(lambda path: self._is_told(path, source), used.files)),
            "template": used.flags,
            "place": place,
        }

    def _key(self, identity: str, function: str, source: str, own: str) -> str:
        """ID and function without what is not public; with a digest instead, so that two of them stay two
        (`preview.difference.nameless`). An ID's own digest is that of the pillar value that it is
        (`preview.pillar_paths`).
        """
        shown, called = self.hider.hide(identity, source), self._function(function, source)
        digest = ""
        if "\0" in shown:
            digest = f" ~{self.mask.digest(identity)[:8]}"
        elif "\0" in called:
            digest = f" ~{own[:8]}"
        return f"{shown}{digest} | {called}"

    def _name(self, name: str, source: str) -> str:
        """An argument's name, which a template may have made of a pillar value; hidden like a key."""
        if (name, source) not in self.called:
            shown = self.hider.hide(name, source)
            is_told = "\0" not in shown
            self.called[name, source] = (
                name if is_told else f"{shown} ~{self.mask.digest(name)[:8]}"
            )
        return self.called[name, source]

    def _function(self, function: str, source: str) -> str:
        """`module.function`: as `file.managed`, or as two words that Salt puts together."""
        if (function, source) not in self.functions:
            module, _, name = function.partition(".")
            parts = (self.hider.hide(part, source) for part in (module, name))
            self.functions[function, source] = ".".join(parts)
        return self.functions[function, source]

    def _source(self, sls: str) -> tuple[str, str]:
        if sls not in self.texts:
            self.texts[sls] = ("", "")
            for end in (".sls", "/init.sls"):
                path = f"{sls.replace('.', '/')}{end}"
                text = self._text(path)
                if text is not None:
                    self.texts[sls] = (f"{self.inside}/{path}", text)
                    break
        return self.texts[sls]

    def _text(self, path: str) -> str | None:
        name = f"{self.inside}/{path}"
        if name in self.names and (known := self.known_text(name)) is not None:
            return known
        try:
            with open(f"{self.states}/{path}", encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return None

    def _lines(self, sls: str) -> _Lines:
        if sls not in self.lines:
            self.lines[sls] = _Lines(self._source(sls)[1])
        return self.lines[sls]

    def _is_told(self, path: str, source: str) -> bool:
        """Whether the name of a source is: one that is not there may be named after a value of the pillar."""
        return f"{self.inside}/{path}" in self.names or self.hider.is_public(path, source)


def uses(used: Sources, chunk: Mapping[str, Any], values: Mapping[str, Any] | None = None) -> Used:
    """What files a chunk uses. values: its arguments as plain data, where they are at hand."""
    if values is None:
        values = {str(k): plain(v) for k, v in chunk.items() if k not in _INTERNAL}
    function = f"{chunk.get('state')}.{chunk.get('fun')}"
    return used.of(function, values, str(chunk.get("__env__", "")))


# Salt numbers states from here on as they are written down, and adds the other to what is to be last
# (salt/state.py, State.compile_high_data).
_FIRST_PLACE, _LAST = 10_000, 1_000_000


def _place(order: Any) -> tuple[float | None, int | str | None]:
    """The place of a state as it is written down, or else what its `order:` says."""
    if isinstance(order, bool) or not isinstance(order, (int, float)):
        return None, None
    if order >= _LAST:
        return None, "last"
    return (float(order), None) if order >= _FIRST_PLACE else (None, int(order))


class _Lines:
    """Where the states of an sls file begin."""

    def __init__(self, source: str) -> None:
        self.known: dict[str, int] = {}
        self.templates: list[tuple[str, int]] = []
        for number, line in enumerate(source.splitlines(), 1):
            line = line.rstrip()
            if line[:1] in (" ", "#", "") or not line.endswith(":"):
                continue
            word = line.removesuffix(":").strip("'\"")
            self.known.setdefault(word, number)
            if "{{" in line:
                self.templates.append((word, number))

    def of(self, identity: str) -> int | None:
        """The line where the state `identity` begins; None when it does not show."""
        if identity not in self.known:
            for word, number in self.templates:
                if _fits(_TEMPLATE.split(word), identity):
                    return self.known.setdefault(identity, number)
        return self.known.get(identity)


def _fits(parts: Sequence[str], text: str) -> bool:
    """Whether `text`, a line, is made of `parts` in their order, with anything between two of them."""
    first, last = parts[0], parts[-1]
    if len(parts) == 1 or "\n" in text:
        return text == first
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for part in parts[1:-1]:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
