"""The minion that is compiled now, as the changed parts of Salt see it: one for each process."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import salt
from saltbranch.compiler.inside.tracking import Tracker

BASE = os.path.dirname(os.path.abspath(salt.__file__))
"""The folder of Salt's own code."""


class Host:
    """Who answers for the host. neutral, custom: functions that were called, in their order. real: those of the
    first that Salt has, so that their names are public. asked: the calls
    that were answered neutrally, each with the sls file that was rendered, by function. broken: modules of
    the branch that do not load, and why. guarding: whether a template asks if a function is there. programs:
    those that a module looks for to see whether it fits. optional: Salt's modules that fit only where a
    program is installed.
    guessed: functions that spoke of the minion's options, which are not known here. absent: functions of modules
    that neither Salt nor the branch has, and that the minion may have from elsewhere.
    ciphers: what the messages held that were to be deciphered. raised: what rendering a pillar file ended with, by
    the text that Salt tells of it.

    tops: the folder of the generated top files, which Salt looks into before the tree.
    is_plain: the tree has no symlinks and no file server of its own, and no file in it is to be ignored.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Know of no minion."""
        self.returns: Mapping[str, Any] = {}
        self.grains: Mapping[str, Any] = {}
        self.tracker: Tracker | None = None
        self.neutral: dict[str, None] = {}
        self.real: set[str] = set()
        self.custom: dict[str, None] = {}
        self.guessed: dict[str, None] = {}
        self.absent: dict[str, None] = {}
        self.asked: dict[tuple[str, str], str] = {}
        self.broken: dict[str, str] = {}
        self.rendering = ""
        self.guarding = 0
        self.programs: set[str] = set()
        self.optional: set[str] = set()
        self.decipher: Callable[[str], bytes | None] = lambda _name: None
        self.ciphers: dict[str, bytes | None] = {}
        self.raised: dict[str, BaseException] = {}
        self.is_plain = False
        self.loading = 0
        self.external = False
        self.untracked = False
        self.kinds: Mapping[str, str] = {}
        self.tops = ""

    def told(self, call: str, hide: Callable[[str], str]) -> str:
        """A function that was answered neutrally, or a call of it, without what is not public."""
        name, bracket, rest = call.partition("(")
        return name + hide(f"{bracket}{rest}") if name in self.real else hide(call)


HOST = Host()


def quietly() -> AbstractContextManager[None]:
    """What happens in here counts as read by nobody."""
    return HOST.tracker.paused() if HOST.tracker else nullcontext()
