"""
What does this minion's saltenv serve, and what of it has the minion applied?

A master that saltbranch keeps in step serves, in each saltenv, a file with the commit that the saltenv
is at. It switches with the saltenv, so what is read there is what the other files are of.
"""

import json
import os
import re

from salt.exceptions import CommandExecutionError

FILE = "saltbranch_commit"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def commit(saltenv=None):
    """
    Return the full hash of the commit that a saltenv serves; None where its master does not say.

    saltenv
        Another saltenv than the minion's own.

    CLI Example:

    .. code-block:: bash

        salt '*' saltbranch.commit
    """
    text = __salt__["cp.get_file_str"](f"salt://{FILE}", saltenv=saltenv or _own_saltenv())
    found = text.strip() if isinstance(text, str) else ""
    return found if _COMMIT.fullmatch(found) else None


def applied():
    """
    Return what the last highstate with the sls ``saltbranch.applied`` applied; an empty dict before the first.

    ``saltenv``, ``commit``; ``commit_at_end`` where that was another one; ``failed``, how many states
    failed before this was recorded; ``time``.

    CLI Example:

    .. code-block:: bash

        salt '*' saltbranch.applied
    """
    try:
        with open(_path(), encoding="utf-8") as file:
            found = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CommandExecutionError(f"Cannot read {_path()}: {error}") from error
    return found if isinstance(found, dict) else {}


def record(data):
    """
    Keep what was applied. For the state ``saltbranch.applied``, which knows it.

    data
        What ``saltbranch.applied`` is to return.

    CLI Example:

    .. code-block:: bash

        salt-call saltbranch.record '{commit: null}'
    """
    path = _path()
    try:
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(data, file)
        os.replace(f"{path}.new", path)
    except OSError as error:
        raise CommandExecutionError(f"Cannot write {path}: {error}") from error
    return True


def _path():
    return os.path.join(__opts__["cachedir"], "saltbranch_applied.json")


def _own_saltenv():
    """The one it is pinned to, else the one whose top file admits it."""
    if __opts__.get("saltenv"):
        return __opts__["saltenv"]
    top = __salt__["state.show_top"](concurrent=True)
    if not isinstance(top, dict):
        raise CommandExecutionError(f"Cannot tell the saltenv: {top}")
    if len(top) != 1:
        said = ", ".join(sorted(top)) or "none"
        raise CommandExecutionError(f"The top files admit this minion to: {said}. Name a saltenv")
    return next(iter(top))
