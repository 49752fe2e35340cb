"""Detached signatures by ssh keys (ssh-keygen(1), -Y), and who made them by a file of allowed signers."""

from __future__ import annotations

import os
import re
import tempfile
import time
from dataclasses import dataclass

from saltbranch.base import proc
from saltbranch.base.errors import RefusedError, SaltbranchError
from saltbranch.base.proc import Finished
from saltbranch.base.ssh_keys import signing_key
from saltbranch.git.allowed_signers import keys_of, knows_all_keys
from saltbranch.git.program import Git, indent, mask

NAMESPACE = "saltbranch-approval"
"""So that what is signed for something else, such as a commit, never counts as an approval."""
_SECONDS = 60
_LONGEST = 20_000  # characters; that of the longest RSA key has about 6,000
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----\n", "-----END SSH SIGNATURE-----"
_GOOD = re.compile(r'Good "[^"\n]*" signature .* with \S+ key (SHA256:[A-Za-z0-9+/]+)')
_MOST = 50  # principals of one key that are tried
_COMPLAINTS = (
    (b"key has expired", "the key has expired"),
    (b"key is not yet valid", "the key is not valid yet"),
    (b"not permitted for use", "the key may not sign this by the options of its line"),
    (b"incorrect signature", "the signature is of something else"),
    (b"namespace", "the signature is for another purpose"),
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


@dataclass(frozen=True, slots=True)
class Judged:
    """Who made a signature, None where it does not count, and why not.

    fingerprint: of the key that it names, which may be anybody's.
    """

    who: Vouched | None
    why: str = ""
    fingerprint: str = ""


def verify(text: bytes, signature: str, signers: str) -> Vouched | None:
    """Who approves of `text`; None where `signature` is not good, or its key may not sign by `signers` now.

    signers: lines of allowed signers. Raises SaltbranchError where ssh-keygen is not there.
    """
    with Verifier(signers) as verifier:
        return verifier.judge(text, signature).who


class Verifier:
    """``with Verifier(signers) as v: v.judge(text, signature)``: a folder with the lines for as long as that lasts."""

    def __init__(self, signers: str, namespace: str = NAMESPACE) -> None:
        self.signers = signers
        self.namespace = namespace
        self.keys = keys_of(signers)

    def __enter__(self) -> Verifier:
        self._folder = tempfile.TemporaryDirectory(prefix="saltbranch-verify-")
        _write(f"{self._folder.name}/signers", self.signers)
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def judge(self, text: bytes, signature: str, at: float | None = None) -> Judged:
        """Who signed `text`. at: seconds since 1970, when the key has to be valid; None for now.

        Raises SaltbranchError where ssh-keygen is not there.
        """
        if not is_signature(signature):
            return Judged(None, "it is not a signature by an ssh key")
        folder = self._folder.name
        _write(f"{folder}/signature", signature)
        common = ["-f", f"{folder}/signers", "-s", f"{folder}/signature"]
        moment = time.strftime("-Overify-time=%Y%m%d%H%M%S", time.localtime(at)) if at else ""
        common += [moment] if moment else []
        claimed = signing_key(signature)
        names, key, why = set[str](), "", ""
        for principal in self._candidates(claimed, common):
            words = ("verify", *common, "-n", self.namespace, "-I", principal)
            done = _keygen(*words, stdin=text)
            good = _GOOD.search(done.text) if done.code == 0 else None
            if good:
                key = good[1]
                named = self.keys.get(key, set())
                names |= {principal, *named}
                if principal in named:
                    break  # of a certificate, whose names are in no line, all count
            why = why or _why(done.err)
        if key:
            return Judged(Vouched(frozenset(names), key), fingerprint=key)
        if claimed not in self.keys:
            why = "the key is not that of an allowed signer"
        return Judged(None, why or "the signature is not good", claimed)

    def _candidates(self, claimed: str, common: list[str]) -> list[str]:
        """The principals that may have signed with the key `claimed`; those of a certificate are asked for."""
        names = sorted(self.keys.get(claimed, ()))
        if not names and not knows_all_keys(self.signers):
            found = _keygen("find-principals", *common)
            names = found.text.splitlines() if found.code == 0 else []
        return [name for name in names if name and not name.startswith(("-", "!"))][:_MOST]


def _why(said: bytes) -> str:
    for words, why in _COMPLAINTS:
        if words in said:
            return why
    return ""


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
