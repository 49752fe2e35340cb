"""The process that sends what is in the outbox: one at a time, never part of a sync.

What is sent is removed then and not before. A target that cannot be reached is left alone for a while, a minute first
and half an hour at most, and only that target; what three days could not bring is dropped and counted.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from saltbranch.base import files
from saltbranch.base.errors import GitError, SaltbranchError
from saltbranch.base.text import one_line
from saltbranch.config.notify import Target, format_of, targets_of
from saltbranch.git.mirror import Mirror
from saltbranch.notify import deliver, gather, hooks, outbox, render
from saltbranch.notify.channel import Channel
from saltbranch.notify.deliver import Undelivered
from saltbranch.repository.machine import load_config, read_machine_file

HOOK_SECONDS = 600
LONGEST_WAIT = 1800
_SHORTEST_WAIT = 60
_OLD = 3 * 86400  # seconds
_FORGOTTEN = 7 * 86400  # seconds
_ROUNDS = 50


def main() -> None:
    """Send all that is due of the root in `sys.argv`, by the machine's file that stands after it."""
    os.closerange(3, 1024)  # whatever whoever started the sync left open: nobody is to wait for us
    run(*sys.argv[1:3])


def run(root: str, config_path: str) -> None:
    """Send all that is due of `root`, once whoever is at work has ended; it raises nothing expected."""
    with files.private_umask():
        folder = outbox.folder(root)
        try:
            with open(f"{folder}/next", "a") as following, open(f"{folder}/lock", "a") as lock:
                # One may wait for the one at work, which may have looked before the newest notice came.
                fcntl.flock(following, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(lock, fcntl.LOCK_EX)
                fcntl.flock(following, fcntl.LOCK_UN)
                Sender(root, config_path).run()
        except OSError:
            pass  # another one waits already, or there is no room: the next sync starts one again


class Sender:
    """One run of it. It holds the lock of the outbox, not that of the root."""

    def __init__(self, root: str, config_path: str) -> None:
        self.root = root
        self.config_path = config_path
        self.folder = outbox.folder(root)
        self.mirror = Mirror(root)
        self.channels: dict[str, Channel] = {}

    def run(self) -> None:
        """Send until nothing is due; then say when something is. Raises OSError."""
        try:
            for _ in range(_ROUNDS):
                self._resolve()
                if not self._round() and not self._has_notices():
                    break
            outbox.forget_drops(self.root, before=time.time() - _FORGOTTEN)
            again = self._next()
            self._channel("sender").went_well()
        except (SaltbranchError, OSError) as err:
            again = time.time() + _SHORTEST_WAIT
            reason = err.message if isinstance(err, SaltbranchError) else str(err)
            self._channel("sender").failed(reason, again)
        os.utime(f"{self.folder}/pause", (again, again))
        if self._has_notices():
            os.utime(f"{self.folder}/pause", (0, 0))  # it came in meanwhile

    def _has_notices(self) -> bool:
        return any("@" not in name for name in self._names())

    def _names(self) -> list[str]:
        return sorted(n for n in os.listdir(f"{self.folder}/queue") if n.endswith(".json"))

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            data = json.loads(files.read_or_none(f"{self.folder}/queue/{name}") or b"null")
        except (ValueError, RecursionError):
            return None
        return data if isinstance(data, dict) else None

    def _resolve(self) -> None:
        """Make of each notice what is to be told to whom. Raises SaltbranchError, OSError."""
        names = [name for name in self._names() if "@" not in name]
        if not names:
            return
        config = load_config(self.config_path, self.mirror, self.mirror.branches())
        for name in names:
            notice = self._read(name)
            if notice is not None and notice.get("event") == outbox.JOURNAL:
                self._hear(str(notice.get("head", "")))
            elif notice is not None:
                self._lay_out(name, list(gather.deliveries(config, self.mirror, notice)))
            files.unlink(f"{self.folder}/queue/{name}")

    def _hear(self, head: str) -> None:
        heard = (files.read_or_none(f"{self.folder}/heard") or b"").decode("ascii", "replace")
        try:
            gather.hear(self.root, self.mirror, heard, head)
        except GitError:
            if self.mirror.is_healthy():
                raise
        files.write_atomic(f"{self.folder}/heard", head)

    def _lay_out(self, name: str, found: list[gather.Delivery]) -> None:
        others = [other for other in self._names() if other != name]
        outbox.make_room(self.root, others, len(found))
        stamp = name.partition("-")[0]
        for delivery in found:
            text = json.dumps(delivery.data, sort_keys=True)
            path = f"{self.folder}/queue/{stamp}-{delivery.id}@{delivery.channel}.json"
            files.write_atomic(path, text)

    def _round(self) -> bool:
        """Try once what is due on each channel, targets before hooks; whether anything was."""
        by_channel: dict[str, list[str]] = {}
        for name in self._names():
            if "@" in name:
                by_channel.setdefault(name.partition("@")[2].removesuffix(".json"), []).append(name)
        machine = read_machine_file(self.config_path)
        targets = targets_of(machine.notify_targets, self.config_path)
        tried = False
        for channel in sorted(by_channel, reverse=True):
            for name in self._due(channel, by_channel[channel]):
                tried = True
                if not self._try(channel, name, targets):
                    break
        return tried

    def _channel(self, name: str) -> Channel:
        if name not in self.channels:
            self.channels[name] = Channel(self.folder, name)
        return self.channels[name]

    def _due(self, channel: str, names: list[str]) -> Iterator[str]:
        """Those to be tried now; the ones that failed before come last."""
        for name in sorted(names, key=lambda n: (self._when(n), n)):
            if _is_later(self._channel(channel).until):
                return
            if not _is_later(self._when(name)):
                yield name

    def _when(self, name: str) -> float:
        """When a delivery is to be tried: it says when it was written, until it fails."""
        try:
            return os.stat(f"{self.folder}/queue/{name}").st_mtime
        except FileNotFoundError:
            return 0.0

    def _try(self, name: str, file: str, targets: dict[str, Target]) -> bool:
        """Bring one file; whether the channel goes on."""
        data, channel = self._read(file), self._channel(name)
        age = time.time() - int(file.partition("-")[0]) / 1000
        try:
            if data is not None and age > _OLD:
                outbox.drop(self.root, file)
                return True
            if data is not None:
                self._bring(name, data, targets)
        except Undelivered as err:
            wait = min(LONGEST_WAIT, max(_SHORTEST_WAIT, age / 4))
            again = time.time() + wait
            channel.failed(err.reason, again if not err.refused else 0)
            try:
                os.utime(f"{self.folder}/queue/{file}", (again, again))
            except FileNotFoundError:
                pass
            return err.refused
        files.unlink(f"{self.folder}/queue/{file}")
        channel.went_well()
        return True

    def _bring(self, name: str, data: dict[str, Any], targets: dict[str, Target]) -> None:
        """Raises Undelivered."""
        if name.startswith(gather.HOOK):
            self._run_hook(name.removeprefix(gather.HOOK), data)
            return
        target = targets.get(name.removeprefix(gather.TARGET))
        if target is None:
            raise Undelivered(
                f"{self.config_path} names no such target under notify_targets:", refused=True
            )
        self._channel(name).count()
        send(target, data)

    def _run_hook(self, name: str, data: dict[str, Any]) -> None:
        config = load_config(self.config_path, self.mirror, self.mirror.branches())
        argv = hooks.that_may_run(config).get(name)
        if argv is None:
            return  # nobody wants it any more
        done, said = hooks.run(argv, data, timeout=HOOK_SECONDS)
        if not done:
            raise Undelivered(one_line(said), refused=True)

    def _next(self) -> float:
        """When something is due again."""
        now = time.time()
        whens = [
            max(self._when(name), self._channel(name.partition("@")[2].removesuffix(".json")).until)
            for name in self._names()
            if "@" in name
        ]
        return max(now + 5, min(whens, default=now))


def _is_later(when: float) -> bool:
    """Whether it is to be waited for; more than we ever wait is left only where the clock went back."""
    return 0 < when - time.time() <= LONGEST_WAIT


def send(target: Target, data: dict[str, Any]) -> None:
    """Bring a message to `target`. Raises Undelivered."""
    url = target.address(os.environ)
    if not url:
        raise Undelivered(f"the variable {target.env} is not set")
    form = format_of(target, url)
    body = render.body(data["notice"], data["title"], data["lines"], data["template"], form)
    deliver.deliver(
        url, {"title": data["title"], "body": body, "format": form, "notice": data["notice"]}
    )
