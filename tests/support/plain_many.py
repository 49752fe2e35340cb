"""Compiles many minions with Salt as it is, each in a fork of its own that starts with nothing compiled.

What comes on stdin says what of each: its states with a pillar that is given, its pillar, or both.
"""

import copy
import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import salt._logging
import salt.config
import salt.loader
import salt.pillar
import salt.state

from saltbranch.compiler.inside.mask import plain

try:
    from salt.utils.secret import mask_pillar
except ImportError:  # before Salt 3008
    mask_pillar = None


def main() -> None:
    """Read options and minions, and write a line of JSON for each."""
    job = json.load(sys.stdin)
    salt._logging.shutdown_temp_handler()
    logging.disable(logging.CRITICAL)
    if mask_pillar is not None:
        mask_pillar.set(False)
    Path(job["folder"]).mkdir(parents=True, exist_ok=True)
    (Path(job["folder"]) / "minion").write_text(json.dumps(job["options"]))
    base = salt.config.minion_config(f"{job['folder']}/minion")
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a template prints is no result
    for minion in job["minions"]:
        pid = os.fork()
        if pid == 0:
            try:
                out.write(
                    json.dumps(
                        [minion.get("answer", minion["id"]), _compiled(base, minion)]
                    ).encode()
                    + b"\n"
                )
            finally:
                os._exit(0)
        os.waitpid(pid, 0)


def _compiled(base: dict[str, Any], minion: dict[str, Any]) -> dict[str, Any]:
    opts = {
        **base,
        **minion.get("options", {}),
        "id": minion["id"],
        "grains": {**minion["grains"], "id": minion["id"]},
    }
    try:
        if "pillar" in minion:
            pillar = minion["pillar"]
        else:
            pillar = salt.pillar.Pillar(
                opts, opts["grains"], opts["id"], opts["saltenv"], pillarenv=opts["pillarenv"]
            ).compile_pillar()
        opts["pillar"] = pillar
        low: Any = []
        contents: dict[str, str] = {}
        broken: list[str] = []
        if minion["states"]:
            with salt.state.HighState(opts, initial_pillar=pillar) as highstate:
                try:
                    low = highstate.compile_low_chunks()
                except Exception as err:
                    low = [str(err)]
            if minion.get("contents"):
                contents = dict(_contents(opts, low))
            if "_errors" in pillar:
                broken = _broken(opts, {k: v for k, v in pillar.items() if k != "_errors"})
        return {
            "pillar": plain(pillar),
            "low": plain(low),
            "broken": plain(broken),
            "contents": contents,
        }
    except BaseException as err:
        return {"pillar": {}, "low": [f"{type(err).__name__}: {err}"]}


def _contents(opts: dict[str, Any], low: list[Any]) -> Iterator[tuple[str, str]]:
    """ID and name of each managed file whose source is in the tree, and a digest of what it holds."""
    functions = salt.loader.minion_mods(opts, utils=salt.loader.utils(opts))
    for given in low:
        chunk = copy.deepcopy(given)  # Salt puts the context into the defaults that it is given
        source = chunk.get("source") if isinstance(chunk, dict) else None
        if not source or f"{chunk['state']}.{chunk['fun']}" != "file.managed":
            continue
        key = f"{chunk['__id__']} {chunk['name']}"
        try:
            if isinstance(source, list):
                source, _ = functions["file.source_list"](source, "", opts["saltenv"])
            own = [chunk.get(name) for name in ("user", "group", "mode", "attrs")]
            path, hashed, why = functions["file.get_managed"](
                chunk["name"], chunk.get("template"), source, "", "", *own, opts["saltenv"],
                chunk.get("context"), chunk.get("defaults"),
            )  # fmt: skip
            # A file that is no template is not fetched before it is written.
            held = hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else None
            yield key, held or hashed.get("hsum") or f"none: {why}"
        except Exception as err:
            yield key, f"none: {err}"


def _broken(opts: dict[str, Any], pillar: dict[str, Any]) -> list[str]:
    """What is wrong in the states, at which Salt does not look where the pillar has errors."""
    with salt.state.HighState(opts, initial_pillar=pillar or {"": None}) as highstate:
        try:
            matches = highstate.top_matches(highstate.get_top())
            return [str(error) for error in highstate.render_highstate(matches)[1]]
        except Exception as err:
            return [str(err)]


main()
