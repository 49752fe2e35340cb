"""What is remembered of one target or hook: what went wrong there last, and how much it was told of late."""

from __future__ import annotations

import json
import os
import time

from saltbranch.base import files

MOST = 20
"""Messages that a target gets in WINDOW seconds; more wait."""
WINDOW = 600


class Channel:
    """One of them. until: nothing is tried before, in seconds since 1970. A full disk forgets, and nothing fails."""

    def __init__(self, folder: str, name: str) -> None:
        self.path = f"{folder}/channels/{name}"
        self.until = 0.0
        self.failure = ""
        self.since = 0.0
        self.sent: list[float] = []
        try:
            data = json.loads(files.read_or_none(self.path) or b"{}")
            self.until = os.stat(self.path).st_mtime if data else 0.0
            self.failure, self.since = str(data["failure"]), float(data["since"])
            self.sent = [float(when) for when in data["sent"]]
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            pass

    def failed(self, reason: str, until: float) -> None:
        """Remember why, and leave it alone until then."""
        self.since = self.since if self.failure else time.time()
        self.failure, self.until = reason, until
        self._save()

    def went_well(self) -> None:
        """The last failure is over."""
        if self.failure:
            self.failure, self.since, self.until = "", 0.0, min(self.until, time.time())
            self._save()

    def count(self) -> None:
        """One more message is sent now; where that is the last one for a while, the channel pauses."""
        now = time.time()
        self.sent = [*(when for when in self.sent if now - WINDOW < when <= now), now]
        if len(self.sent) >= MOST:
            self.until = self.sent[0] + WINDOW
        self._save()

    def _save(self) -> None:
        data = {"failure": self.failure, "since": self.since, "sent": self.sent[-MOST:]}
        try:
            files.write_atomic(self.path, json.dumps(data), durable=False)
            os.utime(self.path, (self.until, self.until))
        except OSError:
            pass
