"""Bring one message to one URL: by HTTP as JSON, or by apprise for all else; in a process of its own with a time limit.

The URL is a secret: it goes to that process by its stdin, and out of every text that may be shown.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from saltbranch import __version__
from saltbranch.base import proc
from saltbranch.base.errors import SaltbranchError
from saltbranch.base.text import one_line

SECONDS = 30
"""All that a server gets for a message."""
_PATIENCE = 10  # seconds for each answer on the wire
_REFUSED, _FAILED = 3, 1
_ENOUGH = 4  # characters of which a part of a URL is worth hiding


class Undelivered(Exception):
    """Why it was not brought; without the URL. refused: somebody answered, so others may get through."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.refused = refused


def deliver(url: str, message: Mapping[str, Any]) -> None:
    """Bring `message` (`title`, `body`, `format`, `notice`) to `url`. Raises Undelivered."""
    argv = proc.python("from saltbranch.notify import deliver; deliver.main()")
    given = json.dumps({"url": url, **message}).encode()
    try:
        done = proc.run(argv, os.environ, timeout=SECONDS, stdin=given, folder="/")
    except SaltbranchError as err:
        raise Undelivered(err.message) from err
    if done.timed_out:
        raise Undelivered(f"no end after {SECONDS} s")
    if done.code:
        said = done.text.strip() or (done.complaint.splitlines() or [f"exit {done.code}"])[-1]
        raise Undelivered(hidden(url, said), refused=done.code == _REFUSED)


def hidden(url: str, text: str) -> str:
    """`text` without `url` and without whatever of it may be a secret: all but its scheme and the name of its host."""
    text = text.replace(url, "***")
    authority, *rest = re.split(r"[/?#]", re.sub(r"^[^:]*://", "", url), maxsplit=1)
    login, _, host = authority.rpartition("@")
    parts = re.split(r"[:,;]", login) + re.split(r"[/?&=;,#:@]", rest[0] if rest else "")
    if "." not in host and not host.startswith(("localhost", "[")):
        parts.append(host.partition(":")[0])  # of chats it is often a token
    parts += [unquote(part) for part in parts]
    for part in sorted(filter(lambda word: len(word) >= _ENOUGH, parts), key=len, reverse=True):
        text = text.replace(part, "***")
    return one_line(text)[:300]


def main() -> None:
    """Read a message from stdin and bring it; say on stdout why that failed."""
    message = json.load(sys.stdin)
    try:
        if message["url"].partition("://")[0].lower() in ("http", "https"):
            _post(message)
        else:
            _by_apprise(message)
    except Undelivered as err:
        sys.stdout.write(err.reason)
        sys.stdout.flush()
        os._exit(_REFUSED if err.refused else _FAILED)


def _post(message: Mapping[str, Any]) -> None:
    """POST it as JSON. A redirect is an error: nobody else gets what is said."""
    import http.client
    import urllib.error
    import urllib.request

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_args: object, **_kwargs: object) -> None:
            return None

    notice = message["notice"]
    data = {**notice, "version": 1, "title": message["title"], "text": message["body"]}
    try:
        request = urllib.request.Request(
            message["url"],
            json.dumps(data, sort_keys=True).encode(),
            {
                "Content-Type": "application/json",
                "Idempotency-Key": str(notice["id"]),
                "User-Agent": f"saltbranch/{__version__}",
            },
        )
        with urllib.request.build_opener(Stay).open(request, timeout=_PATIENCE) as answer:
            answer.read(1000)
    except urllib.error.HTTPError as err:
        raise Undelivered(
            f"the server answered {err.code}", refused=400 <= err.code < 500 and err.code != 429
        ) from err
    except urllib.error.URLError as err:
        raise Undelivered(str(err.reason)) from err
    except (OSError, http.client.HTTPException, ValueError) as err:
        raise Undelivered(str(err) or type(err).__name__) from err


def _by_apprise(message: Mapping[str, Any]) -> None:
    import logging

    try:
        import apprise  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError as err:
        raise Undelivered("apprise is not installed (pip install 'saltbranch[notify]')") from err
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    log = logging.getLogger("apprise")
    log.addHandler(Listener(logging.WARNING))
    sender = apprise.Apprise()
    if not sender.add(message["url"]):
        raise Undelivered("apprise does not understand this URL")
    if not sender.notify(
        title=message["title"],
        body=message["body"] or message["title"],
        body_format=message["format"],
    ):
        raise Undelivered("; ".join(said[-3:]) or "apprise could not send it")
