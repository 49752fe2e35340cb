"""The process that looks for state runs for serve/drain.py: it has Salt imported, which takes a second, only once.

It reads orders from stdin and answers each with a line, both JSON, and ends with its stdin.
``{"do": "look"}`` is answered with ``{"runs": [{"minion", "jid", "function", "since", "confirmed", "saltenvs"}]}`` or
``{"error": TEXT}``; ``{"do": "fire", "tag": TEXT, "data": {...}}`` with ``{"taken": BOOL}``.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from saltbranch.base import files
from saltbranch.base.errors import SaltbranchError
from saltbranch.config import minions as targets
from saltbranch.config.lab_places import LENT_FILE
from saltbranch.git.mirror import Mirror
from saltbranch.labs import lent
from saltbranch.repository.machine import load_config
from saltbranch.salt_master import options as master_options
from saltbranch.salt_master.state_runs import StateRun, Watch

_DAY = 86400
_MOST = 10_000  # runs that are over and remembered


class Watcher:
    """What one sync has to know of state runs."""

    def __init__(self, root: str, config_path: str) -> None:
        """Raises SaltbranchError."""
        mirror = Mirror(root)
        config = load_config(config_path, mirror, mirror.branches())
        self._master = master_options.read(config.salt_config)
        self._groups = config.groups
        self._path = f"{root}/state/drain/over"
        self._lent = f"{root}/{LENT_FILE}"
        self._kept = _load(self._path)
        self._watch = Watch(self._master.opts, self._kept)

    def look(self) -> dict[str, object]:
        """The answer to ``look``. Raises SaltError."""
        runs = self._watch.look()
        if self._watch.gone != self._kept:
            self._kept = set(self._watch.gone)
            _save(self._path, self._kept)
        return {"runs": [{**asdict(run), "saltenvs": self._saltenvs(run)} for run in runs]}

    def _saltenvs(self, run: StateRun) -> list[str]:
        """Whose files the run may read: those of its minion's saltenv, and those that it names."""
        claims = targets.claimed_by(run.minion, self._groups, self._master.nodegroups)
        names = {name for name, _ in claims}
        said = lent.loads(files.read_or_none(self._lent))
        if run.minion in said.lent:
            names = {said.lent[run.minion]}
        elif run.minion in said.moving:
            names |= {said.moving[run.minion].source} - {""}
        return sorted(names | set(run.saltenvs))

    def fire(self, order: Mapping[str, Any]) -> dict[str, object]:
        """The answer to ``fire``."""
        taken = master_options.fire(self._master.opts, str(order["tag"]), order["data"])
        return {"taken": taken}


def _load(path: str) -> set[tuple[str, str]]:
    """Runs that never returned and are known to be over, so that no later sync waits for them again."""
    oldest = time.strftime("%Y%m%d%H%M%S", time.localtime(time.time() - _DAY))
    try:
        data = json.loads(files.read_or_none(path) or b"[]")
        return {(str(jid), str(minion)) for jid, minion in data if str(jid) >= oldest}
    except (OSError, ValueError, TypeError, RecursionError):
        return set()


def _save(path: str, gone: set[tuple[str, str]]) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        files.write_atomic(path, json.dumps(sorted(gone)[-_MOST:]), durable=False)
    except OSError:
        pass  # it is asked again next time


def main() -> None:
    """Answer orders; `sys.argv`: the root and the machine's configuration file."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what Salt prints is no answer
    logging.disable(logging.CRITICAL)
    watcher: Watcher | None = None
    with contextlib.suppress(SaltbranchError):
        watcher = Watcher(*sys.argv[1:3])  # while the other process has work of its own
    for line in sys.stdin:
        order = json.loads(line)
        try:
            watcher = watcher or Watcher(*sys.argv[1:3])
            answer = watcher.look() if order["do"] == "look" else watcher.fire(order)
        except SaltbranchError as err:
            answer = {"error": err.message}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
