"""External pillars while they are asked: what Salt only logs is told, and functions really run.

They run in the sandbox like everything else: without network, and with nothing to see but the tree and
the programs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import salt.loader
import salt.utils.minions

from saltbranch.compiler.inside.current_minion import HOST

_LOGGERS = ("salt.loaded.int.pillar", "salt.loaded.ext.pillar")


@contextmanager
def asked(pillar: Any) -> Iterator[list[str]]:
    """While Salt's ``pillar.ext_pillar`` works. Yields the errors, complete afterwards."""
    names = [str(name) for entry in pillar.opts.get("ext_pillar") or () for name in entry]
    problems = [
        f"Failed to load ext_pillar {name}: there is none of this name in the sandbox"
        for name in names
        if name not in pillar.ext_pillars
    ]
    if not names:
        yield problems
        return
    tried = dict(HOST.tracker.tried) if HOST.tracker else {}
    HOST.external, before = True, False
    if HOST.tracker:
        before, HOST.tracker.has_tried, HOST.tracker.may_call = HOST.tracker.has_tried, False, True
    check = salt.utils.minions.CkMinions.check_minions
    salt.utils.minions.CkMinions.check_minions = _only(pillar)
    try:
        with _heard(problems):
            yield problems
    finally:
        HOST.external = False
        salt.utils.minions.CkMinions.check_minions = check
        if HOST.tracker:
            # A program reads what nobody notes, and the master's administrator wanted it to run.
            HOST.untracked = HOST.tracker.has_tried
            HOST.tracker.tried, HOST.tracker.has_tried = tried, before
            HOST.tracker.may_call = False


def _only(pillar: Any) -> Any:
    """The master's question which minions are meant, answered for this one from its own grains."""

    def check_minions(
        _self: Any, expr: Any, tgt_type: str = "glob", *_args: Any, **_kw: Any
    ) -> Any:
        matchers = salt.loader.matchers({**pillar.opts, "id": pillar.minion_id})
        match = matchers[f"{tgt_type}_match.match"]
        return {"minions": [pillar.minion_id] if match(expr) else [], "missing": []}

    return check_minions


@contextmanager
def _heard(problems: list[str]) -> Iterator[None]:
    """What external pillars log as errors, as far as it is text of Salt's own: without any values."""

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            name = record.name.rpartition(".")[2]
            text = str(record.msg).partition("%")[0].strip() if record.args else ""
            problems.append(f"Failed to load ext_pillar {name}: {text or 'it logged an error'} ...")

    ear = Ear(logging.ERROR)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addHandler(ear)
        logger.setLevel(logging.ERROR)
        logger.propagate = False
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.CRITICAL)
        for logger in loggers:
            logger.removeHandler(ear)
