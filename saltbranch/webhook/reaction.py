"""What the master's reactor does with a request to salt-api: start the runner ``saltbranch.webhook``, or nothing.

salt-api puts each request as an event on the master's bus, whoever sent it. It is judged here, inside the reactor and
before any job is started: a stranger's request becomes no job, no event and no entry of the job cache. The runner gets
a ref that something follows and a commit, nothing else of the request.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from saltbranch.base import files
from saltbranch.base.errors import SaltbranchError
from saltbranch.base.text import printable
from saltbranch.config import locate
from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.git.program import branch_name_problem, mask
from saltbranch.repository import decision, machine, prepared
from saltbranch.repository.prepared import Prepared
from saltbranch.webhook import payload, secret, signature
from saltbranch.webhook.payload import BadPayload, Ping, Push
from saltbranch.webhook.signature import Unproven

RUNNER = "runner.saltbranch.webhook"
_HEADS, _TAGS = "refs/heads/", "refs/tags/"
_PINGS = 5  # that are remembered

log = logging.getLogger("saltbranch.webhook")


class Refused(Exception):
    """A request that starts nothing; the text is for the log."""


def react(event: object, config_path: str) -> dict[str, Any]:
    """What the reactor runs for the data of an event of salt-api, as the data of an SLS file; nothing for most.

    Raises nothing that a request can bring about.
    """
    headers: Mapping[str, str] = {}
    try:
        headers, body = _request(event)
        return _accepted(headers, body, config_path)
    except (Refused, Unproven, BadPayload) as err:
        sender = printable(headers.get("remote-addr", "somebody"))[:60]
        log.warning("webhook: refused a request from %s: %s", sender, printable(str(err)))
    except (SaltbranchError, OSError) as err:
        text = err.message if isinstance(err, SaltbranchError) else str(err)
        log.error("webhook: no request counts here: %s", printable(mask(text)))
    return {}


def _request(event: object) -> tuple[dict[str, str], bytes]:
    """Headers, by names in lower case, and the raw body."""
    found = event if isinstance(event, Mapping) else {}
    headers: dict[str, str] = {}
    given = found.get("headers")
    for name, value in given.items() if isinstance(given, Mapping) else ():
        key = str(name).lower()
        if key in headers:
            raise Refused("it has a header twice")
        headers[key] = value if isinstance(value, str) else ""
    body = found.get("body")
    data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    if not isinstance(data, bytes) or not data:
        raise Refused("it has no body")
    if len(data) > payload.MOST_BYTES:
        raise Refused(f"its body has {len(data):,} bytes")
    return headers, data


def _accepted(headers: Mapping[str, str], body: bytes, config_path: str) -> dict[str, Any]:
    secrets = secret.load(secret.path_of(config_path))
    signature.verify(headers, body, secrets)
    found = payload.read(headers, body)
    root, ready = _prepared(config_path)
    if isinstance(found, Ping):
        log.info("webhook: a ping arrived")
        if root and found.nonce:
            _note_ping(root, found.nonce)
        return {}
    if not isinstance(found, Push):
        log.info("webhook: %s is no push", printable(found.name))
        return {}
    remote = ready.remote if ready else machine.remote_of(config_path)[0]
    if not payload.is_of(found, remote):
        raise Refused(
            f"it is about {mask(next(iter(found.urls), 'no repository'))}, and the remote here is {mask(remote)}"
        )
    if not _is_followed(found.ref, ready):
        log.info("webhook: nothing follows %s", printable(found.ref))
        return {}
    arguments = [{"ref": found.ref}, {"commit": found.commit}]
    return {"saltbranch_webhook": {RUNNER: [{"args": arguments}]}}


def _prepared(config_path: str) -> tuple[str, Prepared | None]:
    """The root, empty where it is not there, and what the last sync prepared, if it still holds."""
    root = locate.plain_root(config_path)
    if root is None:
        root = machine.read_machine_file(config_path).root
    ready = prepared.load(root, config_path)
    return (root if files.check_root(root) else ""), ready


def _is_followed(ref: str, ready: Prepared | None) -> bool:
    """Whether anything here depends on `ref`. Where that is not known, a sync finds out."""
    name = ref.removeprefix(_HEADS).removeprefix(_TAGS)
    if ready is None:
        return ref == JOURNAL_REF or (
            ref.startswith((_HEADS, _TAGS)) and not branch_name_problem(name)
        )
    if ref.startswith(_TAGS):
        return any(s.follow and re.search(s.follow, name) for s in ready.saltenvs)
    return ref == JOURNAL_REF or (
        ref.startswith(_HEADS) and (name in ready.branches() or _has_lab(name, ready))
    )


def _has_lab(branch: str, ready: Prepared) -> bool:
    """Whether `branch` has a lab here, or is one of those that get one by themselves."""
    if not ready.labs:
        return False
    auto = ready.labs.split(" ")[2]
    last = decision.load(ready.root, None, 0)
    has_one = last is not None and any(row.branch == branch for row in last.lab_rows)
    return has_one or (bool(auto) and branch.startswith(auto.removesuffix("*")))


def pings_path(root: str) -> str:
    """The file with the nonces of the last pings of ours that were believed."""
    return f"{root}/state/pings"


def pings(root: str) -> list[str]:
    """These nonces, oldest first."""
    return (files.read_or_none(pings_path(root)) or b"").decode("ascii", "replace").split()


def _note_ping(root: str, nonce: str) -> None:
    kept = [*pings(root), nonce][-_PINGS:]
    files.write_atomic(pings_path(root), "\n".join(kept), mode=0o600, durable=False)
