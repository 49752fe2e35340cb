"""Whether people and hooks are told what the model says."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from saltbranch.base.text import many, some
from saltbranch.doctor.finding import Finding


def backlog(failures: Sequence[str], waiting: int, dropped: int) -> Iterator[Finding]:
    """failures: by target or hook, without secrets. waiting, dropped: how many messages."""
    if failures:
        yield Finding(
            "notify-failed",
            "warning",
            f"{many(waiting, 'message')} not sent: {some(failures, 3)}",
            why="Nobody hears of what happens here until it is sent; what is three days old is dropped.",
            fix="fix that, then try it: saltbranch notify --test",
            items=tuple(failures),
        )
    if dropped:
        yield Finding(
            "notify-dropped",
            "warning",
            f"{many(dropped, 'message')} could not be sent for too long, and dropped",
            why="Nobody was told.",
            fix="saltbranch history tells what happened; sync forgets the number a week after the last one",
        )


def unknown_targets(rules: Sequence[str], known: Sequence[str], path: str) -> Iterator[Finding]:
    """rules: the names in `notify:` of the model. known: those of the machine's file `path`."""
    missing = [name for name in dict.fromkeys(rules) if name not in known]
    if missing and known:  # another machine may be the one that tells
        yield Finding(
            "notify-no-target",
            "note",
            f"notify: of the model names targets that this machine does not know: {some(missing)}",
            why="This machine tells them nothing.",
            fix=f"add them under notify_targets: in {path}, or leave them to another machine",
            items=tuple(missing),
        )


def unset_targets(names: Sequence[str]) -> Iterator[Finding]:
    """names: targets whose variable of the environment is not set here."""
    if names:
        yield Finding(
            "notify-no-url",
            "note",
            f"the variables with the URLs of these targets are not set here: {some(names)}",
            why="They must be set where the sync runs.",
            fix="set them there (Environment= of a unit, a line in the crontab)",
            items=tuple(names),
        )


def readable(path: str, mode: int) -> Iterator[Finding]:
    """path: the machine's file, in which there are URLs of targets. mode: its permission bits."""
    if mode & 0o004:
        yield Finding(
            "notify-secrets-readable",
            "warning",
            f"every user of this machine can read the URLs of targets in {path}",
            why="Whoever has such a URL can write there in our name.",
            fix=f"chmod o= {shlex.quote(path)}",
        )


def unlisted_hooks(hooks: Sequence[tuple[str, Sequence[str]]], path: str) -> Iterator[Finding]:
    """hooks: name and words of those that the machine's file `path` does not list."""
    for name, argv in hooks:
        yield Finding(
            "hook-not-listed",
            "note",
            f"the hook {name} does not run here: {shlex.join(argv)} is not listed",
            why="The model comes from the repository, so only this machine says what runs on it.",
            fix=f"if it is to run here, list it under programs: in {path}",
        )
