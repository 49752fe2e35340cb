"""What the files of a fleet hold, parsed: a thousand of them as YAML take seconds, as JSON a moment.

A file with `pillar` or `returns` is never kept, for these may be secrets; it is read anew each time.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

import msgspec

from saltbranch.base import files
from saltbranch.compiler.kept_values import Grains, checksum
from saltbranch.compiler.model import digest

_YOUNG = 2.0
"""Seconds in which a file could change once more while its times stay the same."""

_Entry = tuple[str, str, Any, msgspec.Raw]
"""Version of the file, digest of the grains, when they were recorded, and the grains."""


class FleetCache:
    """One private file in `folder` for the fleet at the place `fleet`; a `folder` of None keeps nothing."""

    def __init__(self, folder: str | None, fleet: str) -> None:
        """Read it. What cannot be read counts as empty."""
        name = hashlib.sha256(fleet.encode("utf-8", "surrogateescape"))
        self.path = f"{folder}/fleet-{name.hexdigest()[:16]}" if folder else None
        self._kept: dict[str, _Entry] = {}
        self._used: dict[str, _Entry] = {}
        if self.path is None:
            return
        try:
            with open(self.path, "rb") as file:
                check, _, text = file.read().partition(b"\n")
            if check == checksum(text):
                self._kept = msgspec.json.decode(text, type=dict[str, _Entry])
        except (OSError, msgspec.DecodeError):
            pass

    def get(self, name: str, version: str) -> dict[str, Any] | None:
        """What the file `name` holds, if it was kept and is of this version."""
        kept = self._kept.get(name)
        if kept is None or not version or kept[0] != version or bytes(kept[3])[:1] != b"{":
            return None
        self._used[name] = kept
        _, stands_for, recorded, grains = kept
        return {"grains": Grains(bytes(grains), stands_for), "recorded": recorded}

    def put(self, name: str, version: str, data: dict[str, Any]) -> None:
        """Keep `data`, what the file `name` holds, where JSON gives all of it back."""
        may_be_secret = data.get("pillar") or data.get("returns")
        if self.path and version and not may_be_secret and _survives(data):
            grains = msgspec.Raw(msgspec.json.encode(data["grains"]))
            self._used[name] = (version, digest(data["grains"]), data.get("recorded"), grains)

    def save(self) -> None:
        """Write down what was used, if that is something else than before."""
        used, kept = self._used, self._kept
        if self.path is None or (
            len(used) == len(kept) and all(used[n] is kept.get(n) for n in used)
        ):
            return
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            text = msgspec.json.encode(used)
            whole = f"{checksum(text).decode()}\n{text.decode()}"
            files.write_atomic(self.path, whole, mode=0o600, durable=False)
        except OSError:
            pass  # a cache that cannot be written is not a reason to fail


def signature(path: str) -> str:
    """What tells one version of the file `path` from another; empty when it is too young to be sure."""
    try:
        st = os.stat(path)
    except OSError:
        return ""
    if time.time() - max(st.st_mtime, st.st_ctime) < _YOUNG:
        return ""
    return f"{st.st_mtime_ns}:{st.st_ctime_ns}:{st.st_size}:{st.st_ino}"


def _survives(data: dict[str, Any]) -> bool:
    """Whether JSON gives back what is equal and of the same types: it knows neither dates nor numbers as keys."""
    try:
        text = msgspec.json.encode(data)
        return repr(msgspec.json.decode(text)) == repr(data)
    except (TypeError, ValueError, RecursionError):
        return False
