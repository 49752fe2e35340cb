"""Try whether a request arrives: a ping of ours, sent to salt-api on this machine as a git server would."""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from saltbranch.webhook import reaction, signature, texts
from saltbranch.webhook.payload import PING_KEY

_SECONDS = 10
_ANYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of it. url: where it was tried, empty where salt-api is not configured.

    problem: why it could not be asked. status: of HTTP. arrived: the signed pings reached the reactor. believed: one
    that was not signed did, too.
    """

    url: str
    problem: str = ""
    status: int = 0
    arrived: bool = False
    believed: bool = False


def attempt(opts: Mapping[str, Any], root: str, secret: str) -> Tried:
    """Send a ping that is not signed, then one that is: what is not believed by then never is.

    opts: the master's. secret: one that counts. Raises nothing that is expected.
    """
    api = opts.get(texts.API)
    named = str(api.get("host") or "") if isinstance(api, Mapping) else ""
    url = texts.url(opts, "127.0.0.1" if named in _ANYWHERE else named)
    if not url:
        return Tried("")
    assert isinstance(api, Mapping)
    false, true = _ping(), _ping()
    try:
        context = _context(str(api.get("ssl_crt") or "")) if url.startswith("https") else None
        # Signed by another secret, so that the one that counts is looked at, too.
        _insist(url, context, false[1], signature.signed(false[1], secrets.token_hex(32)))
        status = _insist(url, context, true[1], signature.signed(true[1], secret))
    except (OSError, ssl.SSLError, http.client.HTTPException, ValueError) as err:
        return Tried(url, problem=str(err) or type(err).__name__)
    deadline = time.monotonic() + _SECONDS
    while status == 200 and true[0] not in reaction.pings(root) and time.monotonic() < deadline:
        time.sleep(0.05)
    known = reaction.pings(root)
    return Tried(url, status=status, arrived=true[0] in known, believed=false[0] in known)


def _ping() -> tuple[str, bytes]:
    """A nonce, and the body of a ping with it."""
    nonce = secrets.token_hex(16)
    return nonce, json.dumps({PING_KEY: nonce}).encode()


def _context(certificate: str) -> ssl.SSLContext:
    """Trusts the very certificate that salt-api has, for whatever name that is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(certificate)
    return context


def _insist(url: str, context: ssl.SSLContext | None, body: bytes, proof: Mapping[str, str]) -> int:
    """The status of a request; salt-api answers 500 to one that comes while it hands over another."""
    deadline = time.monotonic() + _SECONDS
    while (status := _post(url, context, body, proof)) == 500 and time.monotonic() < deadline:
        time.sleep(0.2)
    return status


def _post(url: str, context: ssl.SSLContext | None, body: bytes, proof: Mapping[str, str]) -> int:
    place = urlsplit(url)
    host, port = place.hostname or "", place.port
    connection = (
        http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=context)
        if context
        else http.client.HTTPConnection(host, port, timeout=_SECONDS)
    )
    try:
        headers = {"Content-Type": "application/json", **proof}
        connection.request("POST", place.path, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()
