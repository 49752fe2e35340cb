"""The Python that compiles: the one that runs saltbranch, or another with a Salt of its own."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from saltbranch.base import proc
from saltbranch.base.errors import SaltError, UsageError
from saltbranch.git.program import quoted

_OLDEST = (3, 10)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ASK = """
import hashlib, importlib.metadata, json, sys
import salt.version, yaml, jinja2
known = sorted(f"{d.metadata['Name']} {d.version}" for d in importlib.metadata.distributions())
print(json.dumps({
    "salt": str(salt.version.__version__),
    "python": list(sys.version_info[:3]),
    "prefixes": [sys.prefix, sys.base_prefix, sys.exec_prefix],
    "path": sys.path,
    "packages": hashlib.sha256(repr(known).encode()).hexdigest(),
}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """executable: its path. folders: what must be there for it. salt: its Salt's version, empty for one's
    own. packages: changes with what is installed for it.
    """

    executable: str
    folders: tuple[str, ...]
    salt: str = ""
    packages: str = ""


def own() -> Interpreter:
    """The one that runs this."""
    prefixes = (sys.prefix, sys.base_prefix, sys.exec_prefix)
    return Interpreter(sys.executable, _folders(prefixes, sys.path))


@functools.cache
def ask(path: str) -> Interpreter:
    """The interpreter `path`, which is run to tell of itself: a person has to have named it.

    Raises UsageError when it is not an absolute path of a program, SaltError when it has no Salt.
    """
    if not path.startswith("/") or not os.path.isfile(path) or not os.access(path, os.X_OK):
        raise UsageError(
            f"--python {path!r} is not an absolute path of a program",
            hint="name the python of a virtualenv: --python /opt/next-salt/bin/python",
        )
    done = proc.run([path, "-I", "-B", "-c", _ASK], {"PATH": _PATH, "LC_ALL": "C"}, timeout=120)
    try:
        told = json.loads(done.out)
        python = tuple(told["python"])
        found = Interpreter(
            path, _folders(told["prefixes"], told["path"]), told["salt"], told["packages"]
        )
    except (ValueError, KeyError, TypeError) as err:
        last = (done.complaint.strip().splitlines() or ["it said nothing"])[-1]
        raise SaltError(
            f"{path} has no usable Salt: {last[:300]}",
            hint=f"install one for it: {quoted(path)} -m pip install salt",
        ) from err
    if python < _OLDEST:
        raise SaltError(f"{path} is Python {'.'.join(map(str, python))}, and 3.10 is needed")
    return found


def _folders(prefixes: Iterable[str], search: Iterable[str]) -> tuple[str, ...]:
    """The folders that Python and its libraries are in, outermost ones only."""
    wanted = [
        "/usr",
        *(f"/{n}" for n in ("lib", "lib64", "bin", "sbin") if not os.path.islink(f"/{n}")),
        *prefixes,
        *(path for path in search if path.endswith(("site-packages", "dist-packages"))),
    ]
    found: list[str] = []
    for path in sorted({os.path.abspath(p) for p in wanted if os.path.isdir(p)}, key=len):
        if path != "/" and not any(path == f or path.startswith(f"{f}/") for f in found):
            found.append(path)
    return tuple(found)
