"""Requests to salt-api: those of git servers, and hostile ones."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

Headers = Sequence[tuple[str, str]]
Request = tuple[Headers, bytes]

OTHER = "another secret of the same length, 64 characters, in lower case!"
JSON = ("Content-Type", "application/json")
GITHUB = (JSON, ("X-GitHub-Event", "push"))


def hmac_of(secret: str, body: bytes, kind: str = "sha256") -> str:
    """In hex."""
    return hmac.new(secret.encode(), body, getattr(hashlib, kind)).hexdigest()


def body_of(ref: Any, commit: Any, url: str, **changes: Any) -> bytes:
    """The body of a push, as GitHub sends it, reduced to what counts and some of what does not."""
    data = {
        "ref": ref,
        "before": "1" * 40,
        "after": commit,
        "repository": {"full_name": "ops/salt", "clone_url": url},
        "pusher": {"name": "ann"},
        "commits": [{"message": "KEY-1 Änderung 🙂 {{ 7 * 7 }}"}],
    }
    return json.dumps(data | changes, ensure_ascii=False).encode()


def github(secret: str, body: bytes, *more: tuple[str, str], event: str = "push") -> Request:
    """`body` as GitHub sends it."""
    signature = ("X-Hub-Signature-256", f"sha256={hmac_of(secret, body)}")
    return [JSON, ("X-GitHub-Event", event), signature, *more], body


def form(secret: str, body: bytes) -> Request:
    """The same as GitHub sends it unless JSON is chosen."""
    text = urlencode({"payload": body.decode()}).encode()
    kind = ("Content-Type", "application/x-www-form-urlencoded")
    signature = ("X-Hub-Signature-256", f"sha256={hmac_of(secret, text)}")
    return [kind, ("X-GitHub-Event", "push"), signature], text


def gitea(secret: str, body: bytes, event: str = "push") -> Request:
    """As Gitea and Forgejo do it."""
    digest = hmac_of(secret, body)
    return [
        JSON,
        ("X-Gitea-Event", event),
        ("X-Gitea-Signature", digest),
        ("X-Hub-Signature-256", f"sha256={digest}"),
        ("X-Hub-Signature", f"sha1={hmac_of(secret, body, 'sha1')}"),
    ], body


def gitlab(secret: str, body: bytes, event: str = "Push Hook") -> Request:
    """As GitLab does it with a secret token."""
    return [JSON, ("X-Gitlab-Event", event), ("X-Gitlab-Token", secret)], body


def gitlab_signed(token: str, body: bytes, *, of: bytes | None = None) -> Request:
    """As GitLab does it with a signing token, ``whsec_`` and base64. of: what is signed instead of `body`."""
    key = base64.b64decode(token.removeprefix("whsec_"))
    told = b"msg_1.1764423000." + (body if of is None else of)
    digest = base64.b64encode(hmac.new(key, told, hashlib.sha256).digest()).decode()
    return [
        JSON,
        ("X-Gitlab-Event", "Push Hook"),
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", "1764423000"),
        ("webhook-signature", f"v1,{digest}"),
    ], body


def gitlab_body(ref: str, commit: str, url: str, kind: str = "push") -> bytes:
    """The body of GitLab's push."""
    project = {"path_with_namespace": "ops/salt", "git_ssh_url": url, "git_http_url": url}
    data = {"object_kind": kind, "ref": ref, "after": commit, "checkout_sha": commit}
    return json.dumps({**data, "project": project}).encode()


def unproven(secret: str, body: bytes) -> dict[str, Request]:
    """A push of a followed branch that nothing proves, in all ways."""
    right, wrong = hmac_of(secret, body), hmac_of(OTHER, body)
    name = "X-Hub-Signature-256"

    def one(*headers: tuple[str, str]) -> Request:
        return [*GITHUB, *headers], body

    return {
        "no signature": one(),
        "an empty signature": one((name, "")),
        "another secret": one((name, f"sha256={wrong}")),
        "the signature of another body": one((name, f"sha256={hmac_of(secret, b'{}')}")),
        "a changed body": ([*GITHUB, (name, f"sha256={right}")], body + b" "),
        "no prefix": one((name, right)),
        "another prefix": one((name, f"sha1={right}")),
        "half a signature": one((name, f"sha256={right[:32]}")),
        "upper case": one((name, f"SHA256={right.upper()}")),
        "sha1 alone": one(("X-Hub-Signature", f"sha1={hmac_of(secret, body, 'sha1')}")),
        "the secret as a signature": one((name, f"sha256={secret}")),
        "two signatures in one": one((name, f"sha256={wrong}, sha256={right}")),
        "the header twice, the right one last": one(
            (name, f"sha256={wrong}"), (name, f"sha256={right}")
        ),
        "the header twice, the right one first": one(
            (name, f"sha256={right}"), (name.lower(), f"sha256={wrong}")
        ),
        "right for GitHub, wrong for GitLab": one(
            (name, f"sha256={right}"), ("X-Gitlab-Token", OTHER)
        ),
        "right for Gitea, wrong for GitHub": one(
            ("X-Gitea-Signature", right), (name, f"sha256={wrong}")
        ),
        "Gitea's, wrong": one(("X-Gitea-Signature", wrong)),
        "Gitea's, with a prefix": one(("X-Gitea-Signature", f"sha256={right}")),
        "a wrong token": one(("X-Gitlab-Token", OTHER)),
        "an empty token": one(("X-Gitlab-Token", "")),
        "the beginning of the token": one(("X-Gitlab-Token", secret[:-1])),
        "more than the token": one(("X-Gitlab-Token", secret + "0")),
        "a signing token of its own": gitlab_signed(
            "whsec_" + base64.b64encode(OTHER.encode()).decode(), body
        ),
        "a signing header without a version": one(("webhook-signature", right)),
        "an empty signing header": one(("webhook-signature", "v1,")),
        "letters beyond ASCII": one((name, "sha256=é" + right)),
        "a very long signature": one((name, "sha256=" + "0" * 8000)),
        "Jinja as a signature": one((name, "{{ salt['cmd.run']('id') }}")),
    }


def hostile(secret: str, url: str, commit: str, canary: str) -> dict[str, Request]:
    """Proven ones, and some that are not, that nothing may come of. canary: a file that must not be made."""

    def push(ref: Any, after: Any = commit, where: str = url, **changes: Any) -> Request:
        return github(secret, body_of(ref, after, where, **changes))

    plain = body_of("refs/heads/develop", commit, url)
    command = f"touch {canary}"
    jinja = "{{ salt['cmd.run']('" + command + "') }}"
    python = f"!!python/object/apply:os.system ['{command}']"
    twice = urlencode([("payload", plain.decode())] * 2).encode()
    return {
        "10 MB": github(secret, body_of("refs/heads/develop", commit, url, x="x" * 10_000_000)),
        "10 MB, not signed": (GITHUB, b"{" + b" " * 10_000_000 + b"}"),
        "deep": github(secret, b'{"ref":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "as deep as it goes": github(secret, b'{"ref":' + b"[" * 400 + b"]" * 400 + b"}"),
        "no JSON": github(secret, b"ref=refs/heads/develop"),
        "a list": github(secret, b"[" + plain + b"]"),
        "a number of 10,000 digits": github(secret, plain[:-1] + b', "n":' + b"9" * 10_000 + b"}"),
        "no body": github(secret, b""),
        "a form without payload": form(secret, plain)[:1] + (b"x=1",),  # type: ignore[dict-item]
        "a form with two payloads": (
            [("Content-Type", "application/x-www-form-urlencoded"),
             ("X-Hub-Signature-256", f"sha256={hmac_of(secret, twice)}")], twice),
        "YAML with Python": (
            [("Content-Type", "application/x-yaml"),
             ("X-Hub-Signature-256", f"sha256={hmac_of(secret, python.encode())}")], python.encode()),
        "Jinja as text": (
            [("Content-Type", "text/plain"),
             ("X-Hub-Signature-256", f"sha256={hmac_of(secret, jinja.encode())}")], jinja.encode()),
        "Jinja as text, not signed": ([("Content-Type", "text/plain")], jinja.encode()),
        "Jinja in headers": ([*GITHUB, ("X-Forwarded-For", jinja), ("User-Agent", jinja)], plain),
        "UTF-16": github(secret, plain.decode().encode("utf-16")),
        "bytes that are no text": github(secret, b'{"ref": "\xff\xfe"}'),
        "another repository": push("refs/heads/develop", where="git@git.example.com:ops/other.git"),
        "another server": push("refs/heads/develop", where=f"https://evil.example.com{url}"),
        "a repository below": push("refs/heads/develop", where=f"{url}/x.git"),
        "a repository that is called so": push("refs/heads/develop", where=f"{url}.git.git"),
        "no repository": push("refs/heads/develop", repository=None),
        "a repository of another kind": push("refs/heads/develop", repository=[url]),
        "an issue": github(secret, plain, event="issues"),
        "a pipeline": gitlab(secret, gitlab_body("refs/heads/develop", commit, url, "pipeline")),
        "no ref": push(None),
        "a number as ref": push(7),
        "a ref in short": push("develop"),
        "no commit": push("refs/heads/develop", None),
        "HEAD as commit": push("refs/heads/develop", "HEAD"),
        "an option as commit": push("refs/heads/develop", "--upload-pack=" + command),
        "a branch for the shell": push(f"refs/heads/$({command})"),
        "a branch for the shell, quoted": push(f"refs/heads/develop'; {command}; '"),
        "a branch in Jinja": push(f"refs/heads/{jinja}"),
        "a branch in Jinja, a block": push("refs/heads/{% set x = salt['cmd.run']('" + command + "') %}"),
        "a branch in YAML": push(f"refs/heads/x\n  cmd.run:\n    - name: {command}"),
        "a branch in YAML, Python": push(f"refs/heads/{python}"),
        "a branch with NUL": push("refs/heads/develop\0"),
        "a branch with a space behind": push("refs/heads/develop "),
        "a branch above": push("refs/heads/../heads/develop"),
        "a branch like it": push("refs/heads/dévelop"),
        "a branch in letters like those": push("refs/heads/d\u0435velop"),
        "half a character": push("refs/heads/develop", "\\ud800"),
        "a branch that nothing follows": push("refs/heads/feature/x"),
        "a tag that nothing follows": push("refs/tags/v1.0"),
        "a ref of ours": push("refs/saltbranch/accepted"),
        "somebody else's ping": (GITHUB, b'{"saltbranch_ping": "0123456789abcdef"}'),
        "a ping of a kind that is none": github(secret, b'{"saltbranch_ping": ["../../x"]}'),
    }  # fmt: skip


def as_event(request: Request) -> dict[str, Any]:
    """The data of the event that salt-api makes of a request (rest_cherrypy, Webhook.POST)."""
    headers: dict[str, str] = {"Remote-Addr": "192.0.2.7"}
    for name, value in request[0]:
        key = name.title()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    try:
        body: str | bytes = request[1].decode()
    except UnicodeDecodeError:
        body = request[1]
    return {"headers": headers, "body": body, "post": {}}
