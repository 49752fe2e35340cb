"""Several things at once, in threads: what takes time is git."""

from __future__ import annotations

import os

from saltbranch.base import proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def in_parallel(tasks: Sequence[Callable[[], None]]) -> None:
    """Run `tasks`, as many at once as there are processors. They raise nothing that is expected."""
    if len(tasks) < 2:
        for task in tasks:
            task()
        return
    import threading  # only when there is more than one thing to do

    waiting = list(reversed(tasks))
    errors: list[BaseException] = []
    threads = [
        threading.Thread(target=_work, args=(waiting, errors), daemon=True)
        for _ in range(min(len(tasks), os.cpu_count() or 1))
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:
        proc.kill_all()
        raise
    if errors:
        raise errors[0]


def _work(waiting: list[Callable[[], None]], errors: list[BaseException]) -> None:
    """Do what is in `waiting` until it is empty, or until something fails here or elsewhere."""
    while not errors:
        try:
            task = waiting.pop()
        except IndexError:
            return
        try:
            task()
        except BaseException as err:
            errors.append(err)
