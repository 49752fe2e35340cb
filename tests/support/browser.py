"""A real browser that opens a page, measures and prints it: Chromium without a window, by its DevTools protocol.

The protocol (https://chromedevtools.github.io/devtools-protocol/) speaks through two pipes, so no port is opened.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_PATIENCE = 60  # seconds for one answer


class Browser:
    """One tab. messages: what the page logged, refusals of its own policy among them."""

    def __init__(self, sent: int, received: int) -> None:
        self._out = os.fdopen(sent, "wb", buffering=0)
        self._in = os.fdopen(received, "rb")
        self._number = 0
        self._session: str | None = None
        self.messages: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to one call."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        return self._until(lambda m: m.get("id") == self._number)["result"]  # type: ignore[no-any-return]

    def _until(self, is_it: Any) -> dict[str, Any]:
        signal.alarm(_PATIENCE)
        try:
            while True:
                text = bytearray()
                while (byte := self._in.read(1)) not in (b"\0", b""):
                    text += byte
                assert text, "the browser is gone"
                message: dict[str, Any] = json.loads(text)
                self._note(message)
                if is_it(message):
                    assert "error" not in message, message
                    return message
        finally:
            signal.alarm(0)

    def _note(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Log.entryAdded":
            self.messages.append(params["entry"]["text"])

    def open(self, path: Path) -> None:
        """Load a file, whole."""
        self.call("Page.navigate", url=path.as_uri())
        self._until(lambda m: m.get("method") == "Page.loadEventFired")

    def look(self, width: int, *, scheme: str = "light", media: str = "screen") -> None:
        """See it so wide, in light or dark, on the screen or in print."""
        self.call("Emulation.setDeviceMetricsOverride",
                  width=width, height=900, deviceScaleFactor=1, mobile=False)  # fmt: skip
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", media=media, features=[feature])

    def ask(self, script: str) -> Any:
        """The value of an expression, which the page's own policy does not stop."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, path: Path) -> None:
        """The whole page as PNG."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in `folder`."""
    assert PROGRAM
    commands, sent = os.pipe()
    received, answers = os.pipe()
    options = ["--headless=new", "--disable-gpu", "--no-first-run", "--disable-background-networking",
               "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
               f"--user-data-dir={folder}"]  # fmt: skip
    if os.geteuid() == 0:
        options.append("--no-sandbox")
    process = subprocess.Popen(
        [
            "sh",
            "-c",
            f'exec "$0" "$@" 3</proc/self/fd/{commands} 4>/proc/self/fd/{answers}',
            PROGRAM,
            *options,
        ],
        pass_fds=(commands, answers),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(commands)
    os.close(answers)
    try:
        yield Browser(sent, received)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
