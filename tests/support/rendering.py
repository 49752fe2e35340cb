"""Managed files as ours says and as Salt makes them, for the tests of rendering."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.dispatcher import values_key
from saltbranch.compiler.inside.mask import Mask
from saltbranch.compiler.model import Compiled, Minion
from tests.support import warm
from tests.support.compiling import Lab, minion


def out_minion(lab: Lab, name: str = "m1", **more: Any) -> Minion:
    """A minion whose files go to a folder of its own, which its grain `out` names."""
    out = lab.folder / "out" / name
    out.mkdir(parents=True, exist_ok=True)
    return minion(name, grains={"out": str(out), **more.pop("grains", {})}, **more)


def salts_files(lab: Lab, minions: Sequence[Minion]) -> Mapping[str, Any]:
    """What the files hold after Salt applied the highstate, by minion and path below its folder."""
    folders = [str(lab.config_folder(who)) for who in minions]
    program = str(Path(__file__).with_name("plain_files.py"))
    found: dict[str, Any] = json.loads(warm.program(program, *folders))
    for one in found.values():
        one["files"] = {k: base64.b64decode(v) for k, v in one["files"].items()}
    return found


class Ours:
    """What ours makes of the files of one commit."""

    def __init__(self, lab: Lab, minions: Sequence[Minion], commit: str = "master") -> None:
        self.cache = CompileCache(None)
        self.minions = {m.id: m for m in minions}
        lab.frame = replace(lab.frame, content=True)
        self.results: dict[str, Compiled] = lab.compile(
            minions, commit, plain=False, cache=self.cache
        )

    def digest(self, name: str, data: bytes) -> str:
        """What stands for a file that holds `data` on the minion `name`."""
        key = bytes.fromhex(values_key(self.cache.key(), self.minions[name]))
        return Mask(key).digest(["content", data.hex()])

    def contents(self, name: str) -> dict[str, Any]:
        """Each file by the ID of its state, and by its source where a state has several."""
        found = {}
        for chunk in self.results[name].chunks:
            for content in chunk.content:
                identity = chunk.key.partition(" | ")[0]
                several = len(chunk.content) > 1
                found[f"{identity} {content.source}" if several else identity] = content
        return found
