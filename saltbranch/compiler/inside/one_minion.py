"""What a fork of the worker does: compile one minion and describe what came out, masked."""

from __future__ import annotations

import copy
import gc
import json
import re
import socket
import time
from collections.abc import Mapping
from typing import Any

from saltbranch.compiler import pillar_causes
from saltbranch.compiler.error_texts import CIPHERTEXT, NEUTRALLY, NOT_LOADED, PILLAR, TRIED
from saltbranch.compiler.hiding import Hider, Known, manageable, shortened
from saltbranch.compiler.inside import highstate, salt_patches, shortcuts, templates, tracking
from saltbranch.compiler.inside.contents import Teller
from saltbranch.compiler.inside.current_minion import HOST
from saltbranch.compiler.inside.describe import Describer, uses
from saltbranch.compiler.inside.mask import Mask, keys, plain, secrets_of, shown_of, texts
from saltbranch.compiler.inside.neutral_hint import settled
from saltbranch.compiler.inside.prepared_salt import CUSTOM, PreparedSalt, text_or_none
from saltbranch.compiler.inside.rendered import File, Renderer, aside
from saltbranch.compiler.inside.sources import Sources
from saltbranch.compiler.inside.tracking import Tracker, Wire
from saltbranch.salt_master import pillar_errors, top_file

_ASKED_FOR_SECRETS = re.compile(r"vault|sdb|secret|pass|token|key|credential", re.IGNORECASE)
_ASKED_FOR_OTHERS = re.compile(
    r"pillar|config|environ|^cmd|data\.|shadow|ssh\.|consul|etcd|redis|nacl|gpg|mine\.|http\.|publish|runner",
    re.IGNORECASE,
)
# Python's own copy of a module (PEP 3147): its name says no more than the module's.
_CACHED = re.compile(r"__pycache__/([^/]*)\.[^./]+\.pyc(?:\.[0-9]+)?$")
_MOST_ERRORS = 100
_LONGEST_ERROR = 600


class OneMinion(PreparedSalt):
    """What a fork of the worker does: compile for one minion, and tell of it what may be told."""

    def compile(
        self,
        minion: Mapping[str, Any],
        masks: Mapping[str, str],
        line: socket.socket,
        trace: socket.socket,
    ) -> None:
        """Answer for one minion to the `dispatcher`. For a fork: it spoils this process.

        masks: the keys of what makes digests of its values, and of the words that are hidden in errors.
        """
        begin = time.process_time()
        gc.disable()  # it would touch, and so copy, all memory that is shared with the worker
        known, patterns = set(shortcuts.LOADED), len(shortcuts.PATTERNS)
        wire, inside = Wire(line, trace), self.job["inside"]
        self._lay_out(minion["saltenv"])
        tracker = self._tracker(minion["saltenv"], wire)
        HOST.tracker, HOST.returns, HOST.grains = tracker, minion["returns"], minion["grains"]
        HOST.decipher = wire.decipher
        opts = highstate.minion_options(self.base, minion, self.folders)
        tracker.install()
        for kind in CUSTOM:  # which custom modules there are is looked up for every minion
            tracker.listing(f"{inside['states']}/_{kind}")
        salt_patches.show_pillar()
        self.sources = self._sources(opts, tracker)
        files: list[list[File]] = []
        tried: list[str] | None = None
        spent = 0.0

        def render(made: Any, outcome: highstate.Outcome) -> None:
            nonlocal tried, spent
            start, tried = time.process_time(), list(tracker.tried)
            outcome.pillar = copy.deepcopy(outcome.pillar)  # a template may change what it is given
            renderer = Renderer(made.state, made.client, self.sources.below, self.job["seconds"])
            chunks = outcome.chunks or []
            with aside():
                files.extend(renderer.all(chunks, [uses(self.sources, c).flags for c in chunks]))
            spent = time.process_time() - start

        if self.job["tops_only"]:
            outcome = highstate.compile_tops(opts, minion["pillar"], lambda: self._asks(tracker))
        else:
            after = render if self.job["content"] else None
            outcome = highstate.compile_minion(opts, minion["pillar"], after)
        tried = list(tracker.tried) if tried is None else tried
        result, hider = self._described(
            minion, outcome, tracker, masks=masks, tried=tried, files=files
        )
        result["rendering"] = round(spent, 6)
        result["cpu"] = round(time.process_time() - begin, 6)
        unkept = self._why_unkept(tracker, hider)
        made = {
            "keep": not unkept,
            "unkept": unkept,
            "modules": [name for name in shortcuts.LOADED if name not in known],
            "patterns": shortcuts.PATTERNS[patterns:],
            "templates": templates.missed(
                [name for kind, name in tracker.told if kind == "f"], self._text, tracker.inside
            ),
        }
        line.sendall(
            b"r" + json.dumps(result).encode() + b"\nm" + json.dumps(made).encode() + b"\n"
        )

    def _described(
        self,
        minion: Mapping[str, Any],
        outcome: highstate.Outcome,
        tracker: Tracker,
        *,
        masks: Mapping[str, str],
        tried: list[str],
        files: list[list[File]],
    ) -> tuple[dict[str, Any], Hider]:
        """The result as plain data, and what hides in it. files: of each chunk, where they were rendered."""
        mask, pillar = Mask(bytes.fromhex(masks["values"])), plain(outcome.pillar)
        shown = shown_of(pillar, self.job["shown"])
        secrets = secrets_of(
            [pillar, plain(minion["pillar"]), _opened(), _answers(minion["returns"])]
        )
        secrets -= shown
        told = mask.pillar(pillar)
        known = self._known(minion, [*told, *shown], tracker, secrets)
        hider = Hider(Mask(bytes.fromhex(masks["words"])), known, secrets)
        describer = Describer(
            folders=self.folders,
            inside=self.job["inside"],
            mask=mask,
            hider=hider,
            secrets=secrets,
            shown=shown,
            names=self.paths,
            used=self.sources,
            # A state may say that it is another file's, which has to be told like any other that is read.
            text=lambda name: self._text(name) if ("f", name) in tracker.told else None,
        )
        chunks = describer.chunks(outcome.chunks or ())
        if files:
            secret = [pillar, plain(minion["pillar"]), _opened(), _answers(minion["returns"])]
            own = [minion["id"], *texts(plain(minion["grains"]))]
            teller = Teller(
                mask=mask, hider=hider, secret=secret, shown=shown, states=known.texts(), own=own
            )
            for chunk, held in zip(chunks, files, strict=True):
                chunk["content"] = [teller.told(file) for file in held]
        tracker.active = False
        errors = [*self._of_pillar(outcome, tracker), *_of_states(outcome.errors, hider)]
        unknown = self._unknown(errors, tracker, hider)
        result = {
            "minion": minion["id"],
            "result": _result(outcome),
            "errors": errors,
            "notes": [*outcome.notes, *self._notes(tried, hider), *unknown],
            "chunks": chunks,
            "pillar": told,
            "states_matched": outcome.states_matched,
            "needs_pillar": outcome.needs_pillar,
            "unsure": bool(
                HOST.neutral or tried or HOST.untracked or None in HOST.ciphers.values() or unknown
            ),
            "functions": sorted(HOST.custom),
            "asked": sorted(
                {
                    HOST.told(c, hider.hide)
                    for c, area in HOST.asked
                    if not area.startswith("pillar ")
                }
            ),
        }
        if self.job.get("plain"):
            result["low"] = plain(outcome.chunks)
            result["plain_pillar"] = pillar
        return result, hider

    def _unknown(self, errors: list[str], tracker: Tracker, hider: Hider) -> list[str]:
        """What is not known here of the minion and may be why it fails; nothing where it does not."""
        if not errors:
            return []
        found = [f"{name}()" for name in HOST.guessed]
        names = [n for kind, n in tracker.told if kind == "f" and n in self.paths]
        # A syntax error is one whatever the options are.
        if any("syntax error" not in error for error in errors) and any(
            top_file.asks_options(self._text(name) or "") for name in names
        ):
            found.append("opts")
        notes = (
            [f"the minion's own options are not known here: {', '.join(found)}"] if found else []
        )
        if HOST.absent:
            names = [hider.hide(name) for name in HOST.absent]
            notes.append(
                "a module that is neither Salt's nor the branch's, and that the minion may have:"
                f" {', '.join(names[:5])}"
            )
        return notes

    def _sources(self, opts: Mapping[str, Any], tracker: Tracker) -> Sources:
        """What says which files states use; whatever it looks at is told."""
        states = self.folders["states"]
        inside = self.job["inside"]["states"]
        known: dict[str, str | None] = {}

        def text(path: str) -> str | None:
            if path not in known:
                known[path] = text_or_none(f"{states}/{path}")
            return known[path]

        def below(folder: str) -> list[str]:
            tracker.listing(f"{inside}/{folder}")
            begin = f"{inside}/{folder}/"
            return sorted(p[len(inside) + 1 :] for p in self.paths if p.startswith(begin))

        return Sources(states, text, below, opts)

    def _asks(self, tracker: Tracker) -> bool:
        """Whether a file of the states that was read by now may ask for pillar."""
        begin = f"{self.job['inside']['states']}/"
        names = [n for kind, n in tracker.told if kind == "f" and n.startswith(begin)]
        texts = [self._text(n) for n in names if n in self.paths]
        asks = any(text is None or top_file.may_ask(text, "pillar") for text in texts)
        if asks:  # all of it is rendered once more, with pillar
            HOST.guessed.clear()
            HOST.absent.clear()
        return asks

    def _known(
        self,
        minion: Mapping[str, Any],
        more: list[str],
        tracker: Tracker,
        secrets: frozenset[str],
    ) -> Known:
        """What is public about a minion. more: keys of its pillar, and values that may be shown. secrets: no
        recorded answer makes them public.
        """

        def own() -> str:
            grains = plain(minion["grains"])
            parts = [minion["id"], *texts(grains), *keys(grains), *more]
            parts += [str(name) for entry in self.base.get("ext_pillar") or () for name in entry]
            for function, answer in minion["returns"].items():
                if not _ASKED_FOR_SECRETS.search(function) and not _ASKED_FOR_OTHERS.search(
                    function
                ):
                    answers = texts(plain(answer))
                    parts += [t for t in answers if not any(value in t for value in secrets)]
            return "\n".join(parts)

        def read() -> str:
            states, pillar = (f"{self.job['inside'][kind]}/" for kind in ("states", "pillar"))
            inner = pillar if pillar.startswith(states) else "\0"  # pillar inside of the states
            read = [n for kind, n in tracker.told if kind == "f" and n.startswith(states)]
            return "\n".join(self._text(n) or "" for n in read if not n.startswith(inner))

        return Known(self.words, own, self.names, read)

    def _why_unkept(self, tracker: Tracker, hider: Hider) -> str:
        """Why the result is not one to keep, see `model.UNKEPT`; empty if it is."""
        if HOST.untracked:
            return "external"
        if tracker.has_tried:
            return "unfollowed" if tracking.UNHEARD in tracker.tried else "tried"
        return "" if self._may_keep(tracker, hider) else "name"

    def _may_keep(self, tracker: Tracker, hider: Hider) -> bool:
        """Whether every name of what was read is public, for whoever keeps the result has it."""
        unknown = [
            name
            for kind, name in tracker.told
            if name not in self.paths and not hider.is_public(_CACHED.sub(r"\1", name))
        ]
        if not unknown:
            return True
        named = "\n".join(self._named(tracker))
        return all(hider.is_public(_CACHED.sub(r"\1", name), named) for name in unknown)

    def _named(self, tracker: Tracker) -> set[str]:
        """The sls files that the pillar files which were read name in so many words."""
        inside = self.job["inside"]["pillar"]
        read = [name for kind, name in tracker.told if kind == "f" and name in self.paths]
        found: set[str] = set()
        for name in read:
            if name.startswith(f"{inside}/") and name.endswith(".sls"):
                is_top = name == f"{inside}/top.sls"
                found |= pillar_errors.named(self._text(name) or "", is_top=is_top)
        return found

    def _imported(self, tracker: Tracker) -> set[str]:
        """The templates that the pillar files which were read import in so many words."""
        begin = f"{self.job['inside']['pillar']}/"
        read = [n for kind, n in tracker.told if kind == "f" and n.startswith(begin)]
        return set().union(*(pillar_errors.imported(self._text(n) or "") for n in read))

    def _of_pillar(self, outcome: highstate.Outcome, tracker: Tracker) -> list[str]:
        """What is told of errors in pillar files."""
        if not outcome.broken_pillar:
            return []
        names = self._named(tracker)

        def is_public(sls: str) -> bool:
            return sls in names or self._is_sls(sls)

        def file_of(path: str) -> str | None:
            name = tracker.inside(path)
            return name if name in self.paths else None

        told = []
        for error, whole in outcome.broken_pillar:
            err = HOST.raised.get(whole.partition("render error:\n")[2])
            cause = None
            if err is not None:
                cause = pillar_causes.cause_of(err, file_of, lambda: self._imported(tracker))
            told.append(pillar_errors.told(error, whole, is_public, self._lines, cause))
        return [settled(f"{PILLAR}{text}", HOST.asked) for text in dict.fromkeys(told)]

    def _notes(self, tried: list[str], hider: Hider) -> list[str]:
        notes = [hider.hide(f"{name}{NOT_LOADED}{why[:200]}") for name, why in HOST.broken.items()]
        if HOST.neutral:
            names = ", ".join(HOST.told(name, hider.hide) for name in sorted(HOST.neutral))
            notes.append(f"{NEUTRALLY}{names}")
        if closed := sum(text is None for text in HOST.ciphers.values()):
            notes.append(
                f"{closed} {CIPHERTEXT}could not be deciphered with the keys in {self.job['gpg_keys']}"
                if self.job["gpg_keys"]
                else f"{CIPHERTEXT}are not decrypted and are compared by their ciphertext"
            )
        return [*notes, *(f"{TRIED}{hider.hide(what)}" for what in tried)]

    def _is_sls(self, name: str) -> bool:
        return self._pillar_file(name) is not None

    def _pillar_file(self, sls: str) -> str | None:
        """The pillar file of the tree that Salt calls `sls`."""
        inner = f"{self.job['inside']['pillar']}/{sls.replace('.', '/')}"
        paths = (f"{inner}{end}" for end in (".sls", "/init.sls"))
        return next((path for path in paths if path in self.paths), None)

    def _lines(self, sls: str) -> int | None:
        path = self._pillar_file(sls)
        text = self._text(path) if path else None
        return len(text.splitlines()) if text else None


def _of_states(errors: list[str], hider: Hider) -> list[str]:
    """What is told of errors: of very many the first."""
    asked = {
        (call if hider.is_public(call) else function, rendered): function
        for (call, rendered), function in HOST.asked.items()
    }
    texts = (hider.hide(manageable(error)) for error in errors[:_MOST_ERRORS])
    found = [shortened(settled(text, asked), _LONGEST_ERROR) for text in texts]
    if len(errors) > _MOST_ERRORS:
        found.append(f"and {len(errors) - _MOST_ERRORS} more errors")
    return found


def _result(outcome: highstate.Outcome) -> str:
    if not outcome.errors and not outcome.broken_pillar:
        return "ok"
    return "failed" if outcome.chunks is None else "partial"


def _opened() -> list[str]:
    """What this minion's encrypted values hold, also where they are not pillar."""
    return [text.decode("utf-8", "replace") for text in HOST.ciphers.values() if text is not None]


def _answers(returns: Mapping[str, Any]) -> list[str]:
    """What recorded functions answer that are asked for secrets."""
    return [
        text
        for function, answer in returns.items()
        if _ASKED_FOR_SECRETS.search(str(function))
        for text in texts(plain(answer))
    ]
