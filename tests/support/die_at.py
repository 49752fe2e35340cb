"""Run saltbranch, and end it by SIGKILL just before or after a call of one of its functions.

    python -m tests.support.die_at before saltbranch.salt_master.jobs:Jobs.publish 1 apply prod --yes

The number says how many calls are let through before. Of `publish`, only those of state.apply count that are no test
run; `publish?` counts the test runs.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from typing import Any

from saltbranch import entry


def _counts(name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
    if not name.endswith(("publish", "publish?")):
        return True
    is_states = "state.apply" in arguments
    is_test = bool((keywords.get("kwargs") or {}).get("test"))
    return is_states and is_test == name.endswith("?")


def _arm(when: str, name: str, let_through: int) -> None:
    module, _, path = name.rstrip("?").partition(":")
    *owners, last = path.split(".")
    owner: Any = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    real = getattr(owner, last)
    left = let_through

    @functools.wraps(real)
    def dying(*arguments: Any, **keywords: Any) -> Any:
        nonlocal left
        counts = _counts(name, arguments, keywords)
        if counts and left == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        found = real(*arguments, **keywords)
        if counts and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= counts
        return found

    setattr(owner, last, dying)


if __name__ == "__main__":
    _arm(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    sys.argv[1:4] = []
    entry.main()
