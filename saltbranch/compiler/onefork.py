"""What a fork of the worker does: compile one minion and describe what came out, masked."""

from __future__ import annotations

import copy
import gc
import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import salt._logging
import salt.loader
import salt.utils.secret
import salt.version

from saltbranch import topfile
from saltbranch.compiler import highstate, patches
from saltbranch.compiler.masking import (
    Mask,
    hidden_in_names,
    leaves,
    literals,
    plain,
    redact,
    secrets_of,
)
from saltbranch.compiler.patches import HOST
from saltbranch.compiler.tracking import Tracker

# What says where a chunk comes from, and what says nothing about the minion.
_INTERNAL = ("state", "fun", "__id__", "__sls__", "__env__", "order", "__sls_included_from__",
             "name_order", "__orchestration_jid__")  # fmt: skip
# How Salt names its loaders (salt/loader/__init__.py): kind, tag, option with further folders.
_LOADERS = (
    ("modules", "module", None), ("states", "states", None), ("utils", "utils", "utils_dirs"),
    ("renderers", "render", "render_dirs"), ("matchers", "matchers", None),
    ("serializers", "serializers", None), ("pillar", "pillar", None), ("fileserver", "fileserver", None),
)  # fmt: skip
_REFERENCE = re.compile(r"\{%[-+]?\s*(?:from|import|include|extends|import_\w+)\s+([^%]*)%\}")
_QUOTED = re.compile(r"""['"]([^'"]+)['"]""")
_SLS = re.compile(r"(SLS '[^']*')")
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}")


class Shop:
    """Salt made ready, in a process that never compiles anything itself."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        """Import and change Salt. job: see `pool`."""
        self.job = job
        self.folders: dict[str, str] = job["folders"]
        self.mask = Mask(bytes.fromhex(job["key"]))
        self.salt_version = str(salt.version.__version__)
        salt._logging.shutdown_temp_handler()
        logging.disable(logging.CRITICAL)
        logging.root.setLevel(100)
        for folder in ("code", "extmods", "run", "pki"):
            os.makedirs(f"{self.folders['cache']}/{folder}", exist_ok=True)
        patches.install(f"{self.folders['cache']}/code")
        HOST.kinds = job["inside"]
        self.base = highstate.base_options(self.folders, job["master"])
        self._rehearse()
        for saltenv in {minion["saltenv"] for minion in job["minions"]}:
            self._lay_out(saltenv)

    def _rehearse(self) -> None:
        """Go through all of it with nothing in it, so that the forks find Salt's own parts loaded.

        Nothing of the branch runs here: there are no files, and custom modules are only listed.
        """
        nothing = f"{self.folders['cache']}/nothing"
        folders = {**self.folders, "states": nothing, "pillar": nothing, "tops": nothing}
        minion = {"id": "compile", "saltenv": "base", "grains": {}}
        base = copy.deepcopy(self.base)
        opts = {**highstate.minion_options(base, minion, folders), "module_dirs": []}
        highstate.compile_minion(opts, {})
        for kind, tag, dirs in _LOADERS:
            found = salt.loader._module_dirs(self.base, kind, tag, ext_type_dirs=dirs)
            salt.loader.lazy.LazyLoader(found, self.base, tag=tag, pack={})

    def _lay_out(self, saltenv: str) -> None:
        """The minion's cache of files, as it would be with all of them in it."""
        folder = f"{self.folders['cache']}/files/{saltenv}"
        os.makedirs(folder)
        tops = f"{self.folders['tops']}/{saltenv}/states"
        for source in (tops, self.folders["states"]):
            for name in os.listdir(source):
                if not os.path.lexists(f"{folder}/{name}"):
                    os.symlink(f"{source}/{name}", f"{folder}/{name}")

    def learn(self, modules: Mapping[str, str]) -> None:
        """Load modules of Salt that a fork had use for, for the forks to come."""
        patches.preload({str(k): str(v) for k, v in modules.items()})
        patches.learn_templates(f"{self.folders['cache']}/code")

    def compile(self, minion: Mapping[str, Any]) -> dict[str, Any]:
        """The result for one minion, as plain data. For a fork: it spoils this process."""
        begin = time.process_time()
        gc.disable()  # it would touch, and so copy, all memory that is shared with the worker
        known = set(patches.LOADED)
        inside = self.job["inside"]
        roots = {self.folders[kind]: inside[kind] for kind in ("states", "pillar")}
        roots.update({outside: inner for outside, inner in self.job["mapped"]})
        roots[f"{self.folders['cache']}/files/{minion['saltenv']}"] = inside["states"]
        for kind in ("states", "pillar"):
            link = f"{self.folders['tops']}/{minion['saltenv']}/{kind}/{topfile.BRANCH_TOP}"
            roots[link] = f"{inside[kind]}/top.sls"
        tracker = Tracker(roots, self._harmless())
        HOST.tracker, HOST.returns, HOST.grains = tracker, minion["returns"], minion["grains"]
        opts = highstate.minion_options(self.base, minion, self.folders)
        tracker.install()
        salt.utils.secret.mask_pillar.set(False)
        outcome = highstate.compile_minion(opts, minion["pillar"])
        tried = list(tracker.tried)
        pillar = plain(outcome.pillar)
        secrets = secrets_of(pillar)
        describer = _Describer(self.folders, inside, self.mask, pillar)
        chunks = [describer.chunk(chunk) for chunk in outcome.chunks or ()]
        tracker.active = False
        errors = [self._redacted(error, secrets, tracker) for error in outcome.errors]
        result = {
            "minion": minion["id"],
            "result": _result(outcome),
            "errors": errors,
            "notes": [redact(note, secrets) for note in (*outcome.notes, *_notes(tried))],
            "chunks": describer.unique(chunks),
            "pillar": self.mask.pillar(pillar),
            "states_matched": outcome.states_matched,
            "functions": sorted(HOST.custom),
            "reads": _reads(tracker),
            "cpu": time.process_time() - begin,
            "loaded": [{n: p for n, p in patches.LOADED.items() if n not in known}],
        }
        if self.job.get("plain"):
            result["low"] = plain(outcome.chunks)
            result["plain_pillar"] = pillar
        return result

    def _redacted(self, error: str, secrets: frozenset[str], tracker: Tracker) -> str:
        """`error` without values of the pillar. Names of sls files stay, for everybody knows them.

        What a file of the pillar holds that did not render is in no pillar, so its text is looked at.
        """
        kind = "pillar" if error.startswith("pillar:") else "states"
        more = secrets
        if kind == "pillar":
            more = secrets.union(*map(literals, self._pillar_texts(tracker)))
        parts = _SLS.split(error)
        parts[::2] = [redact(text, more) for text in parts[::2]]
        parts[1::2] = [n if self._is_sls(kind, n) else redact(n, secrets) for n in parts[1::2]]
        return "".join(parts)

    def _pillar_texts(self, tracker: Tracker) -> Iterator[str]:
        inside = f"{self.job['inside']['pillar']}/"
        for path in tracker.reads().files:
            if path.startswith(inside) and path != f"{inside}top.sls":
                try:
                    name = f"{self.folders['pillar']}/{path[len(inside) :]}"
                    with open(name, encoding="utf-8", errors="replace") as file:
                        yield file.read()
                except OSError:
                    continue

    def _is_sls(self, kind: str, text: str) -> bool:
        name = text.partition("'")[2].rpartition(":")[2].rstrip("'").replace(".", "/")
        folder = self.folders[kind]
        return any(os.path.isfile(f"{folder}/{name}{end}") for end in (".sls", "/init.sls"))

    def _harmless(self) -> list[str]:
        prefixes = [sys.prefix, sys.base_prefix, patches.BASE, self.folders["cache"], self.folders["tops"],
                    "/usr/", "/lib", "/dev/null", "/dev/urandom", "/proc/self", "/opt/saltbranch",
                    "/etc/localtime", "/etc/ld.so.cache"]  # fmt: skip
        return [*prefixes, *(p for p in sys.path if p.startswith("/"))]


def _result(outcome: highstate.Outcome) -> str:
    if not outcome.errors:
        return "ok"
    return "failed" if outcome.chunks is None else "partial"


def _notes(tried: list[str]) -> list[str]:
    notes = []
    if HOST.neutral:
        names = ", ".join(sorted(HOST.neutral))
        notes.append(f"answered neutrally, for want of recorded returns: {names}")
    if HOST.undecipherable:
        notes.append("GPG values stand undeciphered and are compared by their ciphertext")
    notes += [f"code of the branch tried to {what}" for what in tried]
    return notes


def _reads(tracker: Tracker) -> dict[str, Any]:
    reads = tracker.reads()
    return {
        "files": list(reads.files),
        "globs": [list(pair) for pair in reads.globs],
        "listings": list(reads.listings),
    }


class _Describer:
    """Low chunks as they leave the sandbox."""

    def __init__(
        self,
        folders: Mapping[str, str],
        inside: Mapping[str, str],
        mask: Mask,
        pillar: Any,
    ) -> None:
        self.states = folders["states"]
        self.inside = inside["states"]
        self.mask = mask
        self.secrets = secrets_of(pillar)
        self.hidden = hidden_in_names(pillar)
        self.texts: dict[str, tuple[str, str]] = {}
        self.closures: dict[str, tuple[str, ...]] = {}

    def chunk(self, chunk: Mapping[str, Any]) -> dict[str, Any]:
        """One chunk. The name is an argument like any other, for it may come from the pillar."""
        sls = str(chunk.get("__sls__", ""))
        path, source = self._source(sls)
        arguments = {
            str(name): self.mask.argument(plain(value), source, self.secrets)
            for name, value in chunk.items()
            if name not in _INTERNAL
        }
        identity = str(chunk.get("__id__"))
        if identity not in source:
            identity = redact(identity, self.hidden)
        return {
            "key": f"{identity} | {chunk.get('state')}.{chunk.get('fun')}",
            "name": self.mask.digest(plain(chunk.get("name"))),
            "sls": sls,
            "path": path,
            "line": _line(source, str(chunk.get("__id__"))),
            "arguments": arguments,
            "sources": sorted(self._sources(chunk)),
        }

    def unique(self, chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The chunks under keys of their own: ``names:`` makes several with one ID."""
        count: dict[str, int] = {}
        for chunk in chunks:
            count[chunk["key"]] = count.get(chunk["key"], 0) + 1
        for chunk in chunks:
            name = chunk.pop("name")
            if count[chunk["key"]] > 1:
                shown = chunk["arguments"].get("name")
                chunk["key"] += f" #{shown if isinstance(shown, str) else name[:8]}"
        return chunks

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
        try:
            with open(f"{self.states}/{path}", encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return None

    def _sources(self, chunk: Mapping[str, Any]) -> set[str]:
        found: set[str] = set()
        is_template = chunk.get("template") == "jinja"
        for _, value in leaves({k: plain(v) for k, v in chunk.items() if k not in _INTERNAL}):
            for text in value if isinstance(value, list) else [value]:
                if not isinstance(text, str) or not text.startswith("salt://"):
                    continue
                path = os.path.normpath(text[len("salt://") :].partition("?")[0].lstrip("|"))
                if path.startswith(".."):
                    continue
                if chunk.get("fun") == "recurse" or os.path.isdir(f"{self.states}/{path}"):
                    found.add(f"{path}/")
                else:
                    found.update(self._closure(path) if is_template else (path,))
        return found

    def _closure(self, path: str, depth: int = 0) -> tuple[str, ...]:
        """`path` and the templates that it imports or includes, as far as they are named."""
        if path in self.closures or depth > 20:
            return self.closures.get(path, (path,))
        self.closures[path] = (path,)
        named = [
            name
            for tag in _REFERENCE.findall(self._text(path) or "")
            for name in _QUOTED.findall(tag)
        ]
        found = {path}
        for name in named:
            base = os.path.dirname(path) if name.startswith(".") else ""
            inner = os.path.normpath(os.path.join(base, name))
            if not inner.startswith(("..", "/")):
                found.update(self._closure(inner, depth + 1))
        self.closures[path] = tuple(sorted(found))
        return self.closures[path]


def _line(source: str, identity: str) -> int | None:
    """The line of `source` where the state `identity` begins; None when it does not show."""
    for number, line in enumerate(source.splitlines(), 1):
        word = line.rstrip().removesuffix(":").strip("'\"")
        if line[:1] not in (" ", "#", "") and line.rstrip().endswith(":") and word == identity:
            return number
    for number, line in enumerate(source.splitlines(), 1):
        if line[:1] in (" ", "#", "") or "{{" not in line or not line.rstrip().endswith(":"):
            continue
        parts = _TEMPLATE.split(line.rstrip().removesuffix(":").strip("'\""))
        if re.fullmatch(".*".join(map(re.escape, parts)), identity):
            return number
    return None
