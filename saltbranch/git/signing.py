"""Signatures on the commits and tags that a promotion makes, as the user's git is configured to make them.

git-config(1): commit.gpgSign, tag.gpgSign, tag.forceSignAnnotated, user.signingKey and gpg.* all count. The journal's
commits stay unsigned: machines write them, too. Nobody is asked for a passphrase but where a person
sits at a terminal, and there gpg-agent asks; git's processes are in the background, where ssh-keygen cannot.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from saltbranch.base.errors import RefusedError
from saltbranch.base.proc import Finished
from saltbranch.git.program import Git, indent, mask

_ASKED = "^(commit|tag|gpg|user)[.]"
_SECONDS = 60  # for a signature that nobody is asked about
_NO_ASKPASS = {"SSH_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "force"}  # ssh(1)
_QUIET_GPG = "--batch --no-tty --pinentry-mode error"


@dataclass(frozen=True, slots=True)
class Signer:
    """What is to be signed, and how. config: for git, in full, so that it holds for any repository."""

    commits: bool = False
    tags: bool = False
    config: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    asks: bool = False

    def run(self, git: Git, what: str, option: str, *args: str, stdin: bytes) -> Finished:
        """What a `git args` left that signs `what`. Raises RefusedError where that is not possible."""
        signing = Git(git.directory)
        signing.env = {**git.env, **dict(self.env)}
        timeout = None if self.asks else _SECONDS
        done = signing.run(*args, config=self.config, stdin=stdin, timeout=timeout)
        if done.code != 0:
            raise _refused(done, what, option, asks=self.asks)
        return done


NOBODY = Signer()


@contextmanager
def signer(git: Git, *, ask: bool) -> Iterator[Signer]:
    """What the configuration asks for, while this lasts. ask: a person sits at the terminal."""
    found = settings(git)
    commits = signs_commits(found)
    tags = _is_true(found, "tag.gpgsign") or _is_true(found, "tag.forcesignannotated")
    if not (commits or tags):
        yield NOBODY
        return
    config = [f"{k}={v}" for k, v in found.items() if k.startswith(("gpg.", "user.")) and v]
    env = dict(_NO_ASKPASS)
    with tempfile.TemporaryDirectory(prefix="saltbranch-sign-") as folder:
        form = (found.get("gpg.format") or "openpgp").lower()
        if ask and os.isatty(0):
            env["GPG_TTY"] = os.ttyname(0)
        elif form in ("openpgp", "x509"):
            config.append(f"gpg.{form}.program={_quiet(folder, form, found)}")
        yield Signer(commits, tags, tuple(config), tuple(env.items()), asks=ask)


def settings(git: Git) -> dict[str, str | None]:
    """What git is to sign: key in lower case to the value that counts; None for a key without one, which means true."""
    done = git.run("config", "--null", "--get-regexp", _ASKED)
    found: dict[str, str | None] = {}
    for entry in done.text.split("\0") if done.code == 0 else ():
        key, line_end, value = entry.partition("\n")
        if key:
            section, _, name = key.rpartition(".")
            found[f"{section.lower()}.{name.lower()}"] = value if line_end else None
    return found


def signs_commits(found: dict[str, str | None]) -> bool:
    """Whether commits are to be signed, by `settings`."""
    return _is_true(found, "commit.gpgsign")


def _is_true(settings: dict[str, str | None], key: str) -> bool:
    value = settings.get(key, "false")
    return value is None or value.lower() not in ("", "false", "no", "off", "0")


def _quiet(folder: str, form: str, settings: dict[str, str | None]) -> str:
    """A program that signs as gpg does, and fails where that would ask for a passphrase."""
    program = settings.get(f"gpg.{form}.program") or (
        "gpgsm" if form == "x509" else settings.get("gpg.program") or "gpg"
    )
    known = os.path.basename(program) in ("gpg", "gpg2", "gpgsm")
    path = f"{folder}/sign"
    quoted = "'" + program.replace("'", "'\\''") + "'"
    text = f'#!/bin/sh\nunset GPG_TTY DISPLAY WAYLAND_DISPLAY\nexec {quoted} {_QUIET_GPG if known else ""} "$@"\n'
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    os.chmod(path, 0o700)
    return path


def _refused(done: Finished, what: str, option: str, *, asks: bool) -> RefusedError:
    said = "it took too long" if done.timed_out else mask(done.complaint)
    unlock = "see that the key is there, and unlock it beforehand (gpg-agent, ssh-add)"
    hint = f"{unlock}{'' if asks else ': no prompt is possible here'}; or git config {option} false"
    return RefusedError(
        f"{what} cannot be signed, which {option} asks for; nothing was changed:\n{indent(said)}",
        hint=hint,
    )


def write_signed_tag(
    git: Git,
    signed: Signer,
    name: str,
    commit: str,
    *,
    message: str,
    person: Sequence[str],
    now: float,
) -> str:
    """An annotated tag with a signature, in the object database; no ref of anybody is touched.

    git makes such a tag with a ref only, so that is done in a repository of its own that has the objects of this
    one. person: configuration with name and address. now: seconds since 1970. Raises RefusedError.
    """
    with tempfile.TemporaryDirectory(prefix="saltbranch-tag-") as folder:
        for part in ("refs", "objects"):
            os.mkdir(f"{folder}/{part}")
        form = (
            "\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = sha256\n"
            if len(commit) == 64
            else "\trepositoryformatversion = 0\n"
        )
        for path, text in (
            ("HEAD", "ref: refs/heads/none\n"),
            ("config", f"[core]\n{form}\tbare = true\n"),
        ):
            with open(f"{folder}/{path}", "w", encoding="utf-8") as file:
                file.write(text)
        scratch = Git(folder)
        scratch.env = {
            **git.env,
            "GIT_OBJECT_DIRECTORY": f"{git.directory}/objects",
            "GIT_COMMITTER_DATE": f"{int(now)} +0000",
        }
        whole = Signer(
            signed.commits, signed.tags, (*signed.config, *person), signed.env, asks=signed.asks
        )
        words = ("tag", "--sign", "--cleanup=verbatim", "--file=-", name, commit)
        what, data = f"the tag {name}", f"{message}\n".encode("utf-8", "replace")
        done = whole.run(scratch, what, "tag.gpgSign", *words, stdin=data)
        tag = scratch.out("rev-parse", "--verify", f"refs/tags/{name}").strip()
        # git 2.39 makes the tag all the same, and ends with 0, where ssh-keygen could not sign it.
        if "\n-----BEGIN " not in scratch.out("cat-file", "tag", tag):
            raise _refused(done, what, "tag.gpgSign", asks=signed.asks)
        return tag
