"""What a fork of the worker does: compile one minion and describe what came out, masked."""

from __future__ import annotations

import base64
import contextlib
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
import salt.fileclient
import salt.loader
import salt.version

from saltbranch import topfile
from saltbranch.compiler import highstate, memory, patches
from saltbranch.compiler.describing import Describer
from saltbranch.compiler.host import BASE, HOST
from saltbranch.compiler.masking import (
    Mask,
    literals,
    plain,
    redact,
    secrets_of,
    shown_of,
    spelled,
    texts,
)
from saltbranch.compiler.tracking import Tracker

# How Salt lists the folders of its loaders (salt/loader/__init__.py).
_LOADERS: tuple[tuple[str, str | None, dict[str, Any]], ...] = (
    ("modules", "module", {}), ("states", None, {}), ("matchers", None, {}), ("serializers", None, {}),
    ("pillar", None, {}), ("fileserver", None, {}), ("renderers", "render", {"ext_type_dirs": "render_dirs"}),
    ("utils", None, {"ext_type_dirs": "utils_dirs", "load_extensions": False}),
)  # fmt: skip
_CUSTOM = tuple(kind for kind, _, _ in _LOADERS)
_ASKED_FOR_SECRETS = re.compile(r"vault|sdb|secret|pass|token|key|credential", re.IGNORECASE)
_SLS = re.compile(r"(SLS '[^']*')")


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
        memory.install(f"{self.folders['cache']}/code")
        patches.install()
        HOST.kinds = job["inside"]
        HOST.deciphered = {n: base64.b64decode(t) for n, t in job["deciphered"].items()}
        self.base = highstate.base_options(self.folders, job["master"])
        self.names = "\n".join(_names(self.folders, job["inside"]))
        self._rehearse()
        HOST.is_plain = self._is_plain()
        for saltenv in {minion["saltenv"] for minion in job["minions"]}:
            self._lay_out(saltenv)
            if HOST.is_plain:
                self._list(saltenv)

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
        for kind, tag, options in _LOADERS:
            found = salt.loader._module_dirs(self.base, kind, tag, **options)
            salt.loader.lazy.LazyLoader(found, self.base, tag=tag or kind, pack={})

    def _lay_out(self, saltenv: str) -> None:
        """The minion's cache of files, as it would be with all of them in it."""
        folder = f"{self.folders['cache']}/files/{saltenv}"
        os.makedirs(folder)
        tops = f"{self.folders['tops']}/{saltenv}/states"
        for source in (tops, self.folders["states"]):
            for name in os.listdir(source):
                if not os.path.lexists(f"{folder}/{name}"):
                    os.symlink(f"{source}/{name}", f"{folder}/{name}")

    def _is_plain(self) -> bool:
        """Whether Salt's own file server shows the tree as it is on disk."""
        if self.base.get("file_ignore_regex") or self.base.get("file_ignore_glob"):
            return False
        return not os.path.exists(f"{self.folders['states']}/_fileserver") and not any(
            os.path.islink(f"{folder}/{name}")
            for kind in ("states", "pillar")
            for folder, folders, names in os.walk(self.folders[kind])
            for name in (*folders, *names)
        )

    def _list(self, saltenv: str) -> None:
        """Have Salt list the tree once; forks take the lists over (`memory`)."""
        minion = {"id": "compile", "saltenv": saltenv, "grains": {}}
        opts = highstate.minion_options(copy.deepcopy(self.base), minion, self.folders)
        for is_pillar in (True, False):
            client = salt.fileclient.get_file_client({**opts, "module_dirs": []}, is_pillar)
            client.list_states(saltenv)

    def learn(self, made: Mapping[str, Any]) -> None:
        """Take in what a fork made for the first time, for the forks to come; see `memory`."""
        modules = {str(k): str(v) for k, v in made["modules"].items()}
        memory.learn(modules, list(map(str, made["patterns"])), f"{self.folders['cache']}/code")

    def compile(self, minion: Mapping[str, Any]) -> dict[str, Any]:
        """The result for one minion, as plain data. For a fork: it spoils this process."""
        begin = time.process_time()
        gc.disable()  # it would touch, and so copy, all memory that is shared with the worker
        known, patterns = set(memory.LOADED), len(memory.PATTERNS)
        inside = self.job["inside"]
        roots = {self.folders[kind]: inside[kind] for kind in ("states", "pillar")}
        roots.update({outside: inner for outside, inner in self.job["mapped"]})
        roots[f"{self.folders['cache']}/files/{minion['saltenv']}"] = inside["states"]
        for kind in ("states", "pillar"):
            link = f"{self.folders['tops']}/{minion['saltenv']}/{kind}/{topfile.BRANCH_TOP}"
            roots[link] = f"{inside[kind]}/top.sls"
        tracker = Tracker(roots, self._harmless(), self.job["refused"])
        HOST.tracker, HOST.returns, HOST.grains = tracker, minion["returns"], minion["grains"]
        opts = highstate.minion_options(self.base, minion, self.folders)
        tracker.install()
        for kind in _CUSTOM:  # which custom modules there are is looked up for every minion
            tracker.listing(f"{inside['states']}/_{kind}")
        patches.show_pillar()
        outcome = highstate.compile_minion(opts, minion["pillar"])
        tried = list(tracker.tried)
        pillar = plain(outcome.pillar)
        shown = shown_of(pillar, self.job["shown"])
        secrets = secrets_of(
            [pillar, plain(minion["pillar"]), _opened(), _answers(minion["returns"])]
        )
        secrets -= shown
        describer = Describer(self.folders, inside, self.mask, secrets, shown, self.names)
        chunks = describer.chunks(outcome.chunks or ())
        tracker.active = False
        words = spelled(secrets)
        more = spelled((secrets | self._literals()) - shown) if outcome.errors else words
        errors = [self._redacted(e, more if _quotes_pillar(e) else words) for e in outcome.errors]
        result = {
            "minion": minion["id"],
            "result": _result(outcome),
            "errors": errors,
            "notes": [redact(note, words) for note in (*outcome.notes, *self._notes(tried))],
            "chunks": chunks,
            "pillar": self.mask.pillar(pillar),
            "states_matched": outcome.states_matched,
            "functions": sorted(HOST.custom),
            "reads": self._reads(tracker, secrets),
            "cpu": time.process_time() - begin,
            "made": {
                "modules": {n: p for n, p in memory.LOADED.items() if n not in known},
                "patterns": memory.PATTERNS[patterns:],
            },
        }
        if self.job.get("plain"):
            result["low"] = plain(outcome.chunks)
            result["plain_pillar"] = pillar
        return result

    def _reads(self, tracker: Tracker, secrets: frozenset[str]) -> dict[str, Any]:
        """What is in the tree or was looked for in it; nothing where the result must not be kept: that
        names a value of the pillar, or a program may have read more.
        """
        reads = tracker.reads()
        named = "\n".join([*reads.files, *(pattern for _, pattern in reads.globs), *reads.listings])
        if HOST.untracked or any(
            secret in named and secret not in self.names for secret in secrets
        ):
            return {"files": [], "globs": [], "listings": [], "ciphers": []}
        return {
            "files": list(reads.files),
            "globs": [list(pair) for pair in reads.globs],
            "listings": list(reads.listings),
            "ciphers": sorted(HOST.ciphers),
        }

    def _literals(self) -> frozenset[str]:
        """What may be values in the pillar's files; names of files of the tree are none."""
        found: set[str] = set()
        for folder, _, names in os.walk(self.folders["pillar"]):
            for name in names:
                with contextlib.suppress(OSError), open(f"{folder}/{name}", "rb") as file:
                    found |= literals(file.read(1 << 20).decode("utf-8", "replace"))
        return frozenset(
            word
            for word in found
            if word not in self.names and word.replace(".", "/") not in self.names
        )

    def _notes(self, tried: list[str]) -> list[str]:
        notes = []
        if HOST.neutral:
            names = ", ".join(sorted(HOST.neutral))
            notes.append(f"answered neutrally, for want of recorded returns: {names}")
        if closed := sum(name not in HOST.deciphered for name in HOST.ciphers):
            notes.append(
                f"{closed} GPG values could not be deciphered with the keys in {self.job['gpg_keys']}"
                if self.job["gpg_keys"]
                else "GPG values stand undeciphered and are compared by their ciphertext"
            )
        return [*notes, *(f"code of the branch tried to {what}" for what in tried)]

    def _redacted(self, error: str, words: frozenset[str]) -> str:
        """`error` without values of the pillar; names of sls files of the tree stay."""
        parts = _SLS.split(error)
        parts[::2] = [redact(text, words) for text in parts[::2]]
        parts[1::2] = [n if self._is_sls(n) else redact(n, words) for n in parts[1::2]]
        return "".join(parts)

    def _is_sls(self, text: str) -> bool:
        name = text.partition("'")[2].rpartition(":")[2].rstrip("'").replace(".", "/")
        return any(f"/{name}{end}" in self.names for end in (".sls", "/init.sls"))

    def _harmless(self) -> list[str]:
        prefixes = [sys.prefix, sys.base_prefix, BASE, self.folders["cache"], self.folders["tops"],
                    "/usr/", "/lib", "/dev/null", "/dev/urandom", "/proc/self", "/opt/saltbranch",
                    "/etc/localtime", "/etc/ld.so.cache"]  # fmt: skip
        return [*prefixes, *(p for p in sys.path if p.startswith("/"))]


def _result(outcome: highstate.Outcome) -> str:
    if not outcome.errors:
        return "ok"
    return "failed" if outcome.chunks is None else "partial"


def _opened() -> list[str]:
    """What this minion's encrypted values hold, also where they are no pillar."""
    held = (HOST.deciphered.get(name, b"") for name in HOST.ciphers)
    return [text.decode("utf-8", "replace") for text in held]


def _quotes_pillar(error: str) -> bool:
    """Whether it may tell of a pillar file that did not render, so of values that are in no pillar."""
    told = ("pillar: Specified SLS", "pillar: Failed to load ext_pillar")  # these name no values
    return error.startswith("pillar: ") and not error.startswith(told)


def _names(folders: Mapping[str, str], inside: Mapping[str, str]) -> Iterator[str]:
    """The path of every file of the tree, as the repository has it."""
    for kind, inner in inside.items():
        for folder, _, names in os.walk(folders[kind]):
            for name in names:
                yield f"{inner}{folder[len(folders[kind]) :]}/{name}"


def _answers(returns: Mapping[str, Any]) -> list[str]:
    """What recorded functions answer that are asked for secrets."""
    return [
        text
        for function, answer in returns.items()
        if _ASKED_FOR_SECRETS.search(str(function))
        for text in texts(plain(answer))
    ]
