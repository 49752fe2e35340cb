"""Highstates by Salt as it is, in the sandbox: what the top files give to a minion, and the low chunks.

Nothing of Salt is replaced here, unlike in `worker`: this is for two sides that are to be the same, where it does not
matter what a function answers as long as it does so twice. One fork for each minion, so none sees another's.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

from saltbranch.compiler.inside.mask import plain
from saltbranch.compiler.inside.worker import have_a_name


def main() -> None:
    """Read folders, options and minions from stdin, and write a line of JSON for each minion."""
    job = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a template prints is no result
    have_a_name()
    base = _options(job)
    for minion in job["minions"]:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(read)
                with os.fdopen(write, "wb") as answer:
                    answer.write(json.dumps(_compiled(base, minion)).encode())
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as answer:
            told = answer.read()
        os.waitpid(pid, 0)
        found = json.loads(told) if told else {"top": {}, "low": None, "error": "it was killed"}
        out.write(json.dumps([minion["name"], found]).encode() + b"\n")


def _options(job: dict[str, Any]) -> dict[str, Any]:
    import salt.config
    import salt.pillar  # noqa: F401 - once, before the forks
    import salt.state  # noqa: F401

    logging.disable(logging.CRITICAL)
    try:
        from salt.utils.secret import mask_pillar
    except ImportError:  # before Salt 3008
        pass
    else:
        mask_pillar.set(False)
    own = {
        **job["options"],
        "id": "none",
        "file_client": "local",
        "fileserver_backend": ["roots"],
        "file_roots": {saltenv: [folder] for saltenv, folder in job["folders"].items()},
        "pillar_roots": {},
        "root_dir": "/tmp/root",  # noqa: S108 - of this sandbox
        "log_level": "quiet",
        "grains_refresh_every": 0,
    }
    with open("/tmp/minion", "w", encoding="utf-8") as file:  # noqa: S108
        json.dump(own, file)
    return dict(salt.config.minion_config("/tmp/minion"))  # noqa: S108


def _compiled(base: dict[str, Any], minion: dict[str, Any]) -> dict[str, Any]:
    import salt.state

    grains = {**minion["grains"], "id": minion["id"]}
    opts = {**base, "id": minion["id"], "grains": grains, "pillar": minion["pillar"]}
    opts |= {"saltenv": minion["saltenv"], "pillarenv": minion["saltenv"]}
    found: dict[str, Any] = {"top": {}, "low": None, "error": ""}
    try:
        with salt.state.HighState(opts, initial_pillar=minion["pillar"]) as highstate:
            matches = highstate.top_matches(highstate.get_top())
            found["top"] = plain({env: list(sls) for env, sls in matches.items()})
            if any(_has_modules(base, saltenv) for saltenv in matches):
                highstate.load_dynamic(matches)
            low = highstate.compile_low_chunks()
            if all(isinstance(chunk, dict) for chunk in low):
                found["low"] = plain(low)
            else:
                found["error"] = "; ".join(map(str, low))
    except Exception as err:  # noqa: BLE001 - whatever a template raises
        found["error"] = f"{type(err).__name__}: {err}"
    return found


def _has_modules(opts: dict[str, Any], saltenv: str) -> bool:
    folders = opts["file_roots"].get(saltenv, ())
    return any(name[:1] == "_" for folder in folders for name in os.listdir(folder))
