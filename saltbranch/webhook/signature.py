"""Who sent a request: what its headers prove of its raw body, by the secret that only the git server shares.

GitHub, Gitea and Forgejo send the HMAC-SHA256 of the body. GitLab sends the secret itself (``X-Gitlab-Token``), or with
a signing token what standardwebhooks.com describes: the HMAC-SHA256 of identifier, time and body.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

# Header, in lower case, and what stands before the hex digest of the body.
_OF_BODY = (
    ("x-hub-signature-256", "sha256="),
    ("x-gitea-signature", ""),
    ("x-forgejo-signature", ""),
)
_TOKEN = "x-gitlab-token"  # noqa: S105 - the name of a header
_STANDARD = "webhook-signature"
HEADERS = (*(name for name, _ in _OF_BODY), _TOKEN, _STANDARD)
_WHSEC = "whsec_"


class Unproven(Exception):
    """A request that nothing proves to come from the git server; the text holds nothing of it."""


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> None:
    """Raise Unproven unless each signature that the request has is right, and it has one.

    headers: by names in lower case. secrets: each of them may have been used.
    """
    present = [name for name in HEADERS if name in headers]
    if not present:
        raise Unproven("it is not signed")
    wrong = [
        name for name in present if not any(_is_right(name, headers, body, s) for s in secrets)
    ]
    if wrong:
        raise Unproven(f"{wrong[0]} does not fit the secret")


def _is_right(name: str, headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    given = headers[name]
    if name == _TOKEN:
        return _is_same(given, secret)
    if name == _STANDARD:
        told = f"{headers.get('webhook-id', '')}.{headers.get('webhook-timestamp', '')}."
        right = "v1," + base64.b64encode(_digest(_key(secret), _bytes(told) + body)).decode()
        return any([_is_same(one, right) for one in given.split(" ")[:10]])
    prefix = dict(_OF_BODY)[name]
    return _is_same(given, prefix + _digest(secret.encode(), body).hex())


def _digest(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def _key(secret: str) -> bytes:
    """The key of a signing token: what follows ``whsec_`` is base64."""
    if secret.startswith(_WHSEC):
        try:
            return base64.b64decode(secret.removeprefix(_WHSEC), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def _is_same(given: str, right: str) -> bool:
    """Compared in a time that depends on neither, not on their lengths either."""
    one, two = (hashlib.sha256(_bytes(text)).digest() for text in (given, right))
    return hmac.compare_digest(one, two)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def signed(body: bytes, secret: str) -> dict[str, str]:
    """The header by which GitHub would prove `body`: for a ping of our own."""
    return {"X-Hub-Signature-256": f"sha256={_digest(secret.encode(), body).hex()}"}
