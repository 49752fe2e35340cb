"""What a request of a git server says: which ref of which repository is where now.

Nothing in it decides anything but whether a sync starts, and which commit that sync is to see.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from saltbranch.git import address
from saltbranch.git.address import Address, BadAddress

MOST_BYTES = 5 << 20  # a push of thousands of commits is smaller
PING_KEY = "saltbranch_ping"

_EVENTS = ("x-github-event", "x-gitlab-event", "x-gitea-event", "x-forgejo-event")
_PUSHES = ("push", "create", "delete", "push hook", "tag push hook", "system hook")
_URLS = ("clone_url", "ssh_url", "git_ssh_url", "git_http_url", "git_url", "html_url", "web_url", "url")  # fmt: skip
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NONCE = re.compile(r"[0-9a-f]{16,64}")
_LONGEST_REF = 500
_MOST_URLS = 20
# Other names of the same server, for networks where only port 443 is open.
_SAME_HOST = {"ssh.github.com": "github.com", "altssh.gitlab.com": "gitlab.com"}


class BadPayload(Exception):
    """A body that is no event of a git server; the text holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Push:
    """ref: in full. commit: where it is now, empty where it was deleted or that is not said. urls: of the repository.

    deleted: whether the ref is gone.
    """

    ref: str
    commit: str
    urls: tuple[str, ...]
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Ping:
    """A request that only tries whether it arrives. nonce: of ours, empty for a git server's."""

    nonce: str = ""


@dataclass(frozen=True, slots=True)
class Other:
    """An event about something else than refs. name: as the server calls it."""

    name: str


def read(headers: Mapping[str, str], body: bytes) -> Push | Ping | Other:
    """What `body` says. headers: by names in lower case. Raises BadPayload."""
    data = _data(headers, body)
    if PING_KEY in data:
        nonce = data[PING_KEY]
        if not isinstance(nonce, str) or not _NONCE.fullmatch(nonce):
            raise BadPayload("its ping has no nonce")
        return Ping(nonce)
    name = next((headers[key] for key in _EVENTS if key in headers), "push")
    if name == "ping":
        return Ping()
    if name.lower() not in _PUSHES or data.get("object_kind", "push") not in ("push", "tag_push"):
        return Other(name[:40])
    return _push(data)


def _data(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    try:
        text = body.decode()
        if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            # What GitHub sends unless JSON is chosen.
            fields = parse_qs(text, strict_parsing=True, max_num_fields=10)
            (text,) = fields["payload"]
        data = json.loads(text)
    except (ValueError, KeyError, RecursionError) as err:
        raise BadPayload(f"its body is not JSON ({type(err).__name__})") from None
    if not isinstance(data, dict):
        raise BadPayload("its body is no JSON object")
    return data


def _push(data: Mapping[str, Any]) -> Push:
    ref, kind = data.get("ref"), data.get("ref_type")
    if not isinstance(ref, str) or not ref.isprintable() or len(ref) > _LONGEST_REF:
        raise BadPayload("it names no ref")
    if kind in ("branch", "tag"):  # create and delete
        where = "refs/heads/" if kind == "branch" else "refs/tags/"
        ref = ref if ref.startswith(where) else where + ref
        after = data.get("after", data.get("sha", ""))
    else:
        after = data.get("after")
    if not ref.startswith("refs/"):
        raise BadPayload("its ref is not one of git's")
    if not isinstance(after, str) or (not _HASH.fullmatch(after) and (after or kind is None)):
        raise BadPayload("it does not say where the ref is now")
    gone = data.get("deleted") is True or bool(after and not after.strip("0"))
    return Push(ref, "" if gone else after, tuple(_urls(data)), gone)


def _urls(data: Mapping[str, Any]) -> list[str]:
    places = [data.get("repository"), data.get("project")]
    found = [place.get(key) for place in places if isinstance(place, dict) for key in _URLS]
    return [url for url in found if isinstance(url, str)][:_MOST_URLS]


def is_of(push: Push, remote: str) -> bool:
    """Whether `push` is about the repository `remote`, whichever protocol, user and port either URL has."""
    wanted = _place(remote)
    return wanted is not None and any(_place(url) == wanted for url in push.urls)


def _place(url: str) -> tuple[str, ...] | None:
    """Host and path of a repository as servers tell them apart: GitHub and others do not mind case."""
    try:
        found: Address = address.parse(url)
    except BadAddress:
        return None
    if not found.path:
        return None
    path = (*found.path[:-1], found.path[-1].removesuffix(".git"))
    if found.scheme == "file":
        return ("", *path)
    host = _SAME_HOST.get(found.host, found.host)
    return (host, *(part.casefold() for part in path))
