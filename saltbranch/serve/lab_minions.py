"""What is asked of minions that labs have, through the running master, each time by a process that has Salt.

* Whether a minion that is being lent pins its saltenv: it would ask for its own alone, and get nothing.
* To sync its modules and refresh its pillar once it is moved.

Nobody is waited for long; who does not answer is named.
"""

from __future__ import annotations

import json
import os
import sys

from saltbranch.base import files, proc
from saltbranch.base.errors import SaltbranchError
from saltbranch.base.text import one_line
from saltbranch.labs import lent
from saltbranch.repository import decision, prepared
from saltbranch.serve import bus_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from saltbranch.serve.drained import Place

_ANSWER = 10  # seconds for which an answer is waited for
_MOST = 90  # seconds for all of it, Salt's import included
PINS = ("saltenv", "pillarenv", "lock_saltenv")
"""The options of a minion that keep it in its saltenv."""
# A grain of that name pins nothing, nor does pillar.
OWN = {"omit_grains": True, "omit_pillar": True, "omit_master": True}


def pins_path(root: str) -> str:
    """The file of minions that were not lent: id to the claim and the reason; it may be deleted at any time."""
    return f"{root}/state/labs-pinned"


def pinned(root: str, claim: str) -> dict[str, str]:
    """Minions that the claim does not get, since their own configuration pins them, with what it says."""
    try:
        data = json.loads(files.read_or_none(pins_path(root)) or b"{}")
        return {str(m): str(why) for m, (of, why) in data.items() if of == claim}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def pins(place: Place) -> dict[str, tuple[str, str]]:
    """Minions that are being lent and pin their saltenv: for which claim, and what they say. They are asked."""
    root = place.root
    said = lent.loads(files.read_or_none(files.lent_path(root)))
    homes = _homes(root)
    coming = [m for m, move in said.moving.items() if not move.source and m in homes]
    answers = _ask(place, {"pins": coming}) if coming else None
    return {m: (homes[m], str(why)) for m, why in (answers or {}).items() if m in homes and why}


def refuse(root: str, found: Mapping[str, tuple[str, str]]) -> list[str]:
    """Keep what `pins` found, and what is to be said of it. The caller holds the lock. Raises OSError."""
    if not found:
        return []
    try:
        data = json.loads(files.read_or_none(pins_path(root)) or b"{}")
        kept = {m: (of, why) for m, (of, why) in data.items()} | dict(found)
    except (ValueError, TypeError, AttributeError, RecursionError):
        kept = dict(found)
    files.write_atomic(pins_path(root), json.dumps(kept), durable=False)
    files.unlink(files.choices_path(root))  # they follow from it, too
    return [
        one_line(
            f"{m} is not lent: its own configuration has {why} (take that away, then claim the lab anew)"
        )
        for m, (_, why) in sorted(found.items())
    ]


def _homes(root: str) -> dict[str, str]:
    """Minion to the claim that it is to be lent for."""
    found = decision.load(root, None, 0)
    wanted = lent.wanted_of(found.labs).values() if found else ()
    return {minion: want.claim for want in wanted for minion in want.minions}


def tell(place: Place, to_tell: Mapping[str, str]) -> list[str]:
    """Let minions sync their modules and refresh their pillar; what is to be said of that.

    to_tell: minion to the saltenv that it has now.
    """
    names = ", ".join(sorted(to_tell))
    try:
        done = _ask(place, {"tell": dict(to_tell)}, strict=True)
    except SaltbranchError as err:
        return [one_line(f"{names}: not told to sync modules and refresh pillar: {err.message}")]
    if done is None:
        return [
            one_line(f"no master runs here: modules of {names} are synced by their next highstate")
        ]
    missed = ", ".join(m for m in sorted(to_tell) if m not in done)
    what = f"{missed} did not answer in {_ANSWER} s: run saltutil.sync_all and saltutil.refresh_pillar there"
    return [one_line(what)] if missed else []


def _ask(
    place: Place, order: Mapping[str, object], *, strict: bool = False
) -> dict[str, Any] | None:
    """Minion to its answer; None where no master runs. strict: raises SaltbranchError where it cannot be asked."""
    ready = prepared.load(place.root, place.config_path, within=True)
    if ready is None or not bus_event.listens(ready.socket):
        return None
    code = "from saltbranch.serve import lab_minions; lab_minions.main()"
    try:
        done = proc.run(
            proc.python(code, ready.salt_config, json.dumps(order)), os.environ, timeout=_MOST
        )
        if done.code != 0:
            last = done.complaint.splitlines()[-1:] or [f"exit {done.code}"]
            raise SaltbranchError(f"no answer in {_MOST} s" if done.timed_out else last[0])
        found = json.loads(done.text)
        return found if isinstance(found, dict) else {}
    except (SaltbranchError, ValueError) as err:
        if strict:
            raise SaltbranchError(str(err)) from err
        return {}


def main() -> None:
    """Carry out the order in `sys.argv`: the master's configuration file, then ``{"pins": [ID]}`` or
    ``{"tell": {ID: SALTENV}}``; the answer, minion to what it said, is one object of JSON.
    """
    from saltbranch.salt_master import options as master_options

    order = json.loads(sys.argv[2])
    found: dict[str, Any] = {}
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Salt prints is no answer
    ask = master_options.ask
    try:
        master = master_options.read(sys.argv[1])
        left = order.get("pins", [])
        for key in PINS:
            said = ask(master, left, "config.get", [key], OWN, seconds=_ANSWER) if left else {}
            left = [*said]
            found |= {
                m: f"{key}: {value}"
                for m, value in said.items()
                if (isinstance(value, str) or value is True) and value
            }
        to_tell = order.get("tell", {})
        for name in sorted(set(to_tell.values())):
            minions = sorted(m for m, n in to_tell.items() if n == name)
            done = ask(master, minions, "saltutil.sync_all", [], {"saltenv": name}, seconds=_ANSWER)
            if done:
                done = ask(master, sorted(done), "saltutil.refresh_pillar", [], {}, seconds=_ANSWER)
            found |= done
    except SaltbranchError as err:
        sys.exit(err.message)
    answers.write(json.dumps(found))
    answers.flush()
