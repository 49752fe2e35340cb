"""Detached signatures by ssh keys (ssh-keygen(1), -Y), and who made them by a file of allowed signers."""

from __future__ import annotations

import functools
import os
import re
import tempfile
from dataclasses import dataclass

from saltbranch.base import proc
from saltbranch.base.errors import RefusedError, SaltbranchError
from saltbranch.base.proc import Finished
from saltbranch.base.ssh_keys import fingerprint_of as fingerprint_of
from saltbranch.base.ssh_keys import signing_key as signing_key
from saltbranch.git.program import Git, indent, mask

NAMESPACE = "saltbranch-approval"
"""So that what is signed for something else, such as a commit, never counts as an approval."""
_SECONDS = 60
_LONGEST = 20_000  # characters; that of the longest RSA key has about 6,000
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----\n", "-----END SSH SIGNATURE-----"
_GOOD = re.compile(r'Good "[^"\n]*" signature .* with \S+ key (SHA256:[A-Za-z0-9+/]+)')
# A line of allowed signers: principals, options perhaps, type and key.
_LINE = re.compile(
    r'("[^"]+"|[^\s"#]+)\s+(?:.*?\s)?((?:ssh|ecdsa|sk)-[a-z0-9@.-]+)\s+([A-Za-z0-9+/]+=*)(?:\s|$)'
)


@dataclass(frozen=True, slots=True)
class Vouched:
    """A signature that is good: the principals of its key, and the fingerprint of that."""

    principals: frozenset[str]
    fingerprint: str


def sign(git: Git, text: bytes, key: str | None) -> str:
    """A signature of `text`. key: the file of the key, None for what git signs with. Raises RefusedError."""
    with tempfile.TemporaryDirectory(prefix="saltbranch-sign-") as folder:
        path, words = key or _configured(git), ["ssh-keygen", "-Y", "sign", "-n", NAMESPACE]
        if path.startswith(("key::", "ssh-", "ecdsa-", "sk-")):
            literal, path = path.removeprefix("key::"), f"{folder}/key.pub"
            _write(path, f"{literal}\n")
            words.append("-U")  # the agent has it
        env = {**_env(), "SSH_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "force"}
        done = proc.run([*words, "-f", path], env, stdin=text, timeout=_SECONDS)
    if done.code != 0 or not is_signature(done.text):
        said = "it took too long" if done.timed_out else mask(done.complaint)
        raise RefusedError(
            f"it cannot be signed with the key {path!r}; nothing was changed:\n{indent(said)}",
            hint="see that the key is there, and unlock it beforehand (ssh-add)",
        )
    return done.text


def _configured(git: Git) -> str:
    form = git.run("config", "--get", "gpg.format").text.strip()
    path = git.run("config", "--type=path", "--get", "user.signingkey").text.strip()
    if form != "ssh" or not path:
        raise RefusedError(
            "git is not configured to sign with an ssh key",
            hint="name one: --key ~/.ssh/id_ed25519 (or git config gpg.format ssh, and user.signingKey)",
        )
    return path


def is_signature(text: str) -> bool:
    """Whether `text` looks like one, and is no longer than any is."""
    is_framed = text.startswith(_BEGIN) and text.rstrip().endswith(_END)
    return is_framed and len(text) <= _LONGEST and text.isascii()


def verify(text: bytes, signature: str, signers: str) -> Vouched | None:
    """Who signed `text`; None where `signature` is not good, or its key may not sign by `signers` now.

    signers: lines of allowed signers. Raises SaltbranchError where ssh-keygen is not there.
    """
    if not is_signature(signature):
        return None
    with tempfile.TemporaryDirectory(prefix="saltbranch-verify-") as folder:
        _write(f"{folder}/signers", signers)
        _write(f"{folder}/signature", signature)
        common = ("-f", f"{folder}/signers", "-s", f"{folder}/signature")
        found = _keygen("find-principals", *common)
        names, key = set[str](), ""
        for principal in found.text.splitlines() if found.code == 0 else ():
            if not principal or principal.startswith("-"):
                continue
            words = ("verify", *common, "-n", NAMESPACE, "-I", principal)
            done = _keygen(*words, stdin=text)
            good = _GOOD.search(done.text) if done.code == 0 else None
            if good:
                key = good[1]
                names |= {principal, *principals_of(signers, key)}
                if principal in principals_of(signers, key):
                    break  # of a certificate, whose names are in no line, all count
    return Vouched(frozenset(names), key) if key else None


def principals_of(signers: str, fingerprint: str) -> set[str]:
    """Everybody whose key has that fingerprint, on whichever line, whatever its options are."""
    found: set[str] = set()
    for line in signers.splitlines():
        parts = _LINE.match(line.strip())
        if parts and fingerprint_of(parts[3]) == fingerprint:
            found.update(name for name in parts[1].strip('"').split(",") if name)
    return found


@functools.lru_cache(4)
def keys_of(signers: str) -> frozenset[str] | None:
    """The fingerprints of all keys that may sign; None where only ssh-keygen can tell (certificates)."""
    found = set[str]()
    for line in filter(None, map(str.strip, signers.splitlines())):
        parts = _LINE.match(line)
        if "cert-authority" in line.lower() or not (parts or line.startswith("#")):
            return None
        if parts:
            found.add(fingerprint_of(parts[3]))
    return frozenset(found)


def _keygen(*words: str, stdin: bytes = b"") -> Finished:
    done = proc.run(["ssh-keygen", "-Y", *words], _env(), stdin=stdin, timeout=_SECONDS)
    if b"unknown option" in done.err or b"illegal option" in done.err:
        raise SaltbranchError(
            "ssh-keygen is too old to verify signatures", hint="install OpenSSH 8.9 or newer"
        )
    return done


def _env() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    os.chmod(path, 0o600)
