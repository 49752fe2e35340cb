"""A web server on loopback that people's messages come to: it remembers them, refuses, or never answers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """``with Receiver() as server:``; `status` is what it answers, None for nothing at all."""

    def __init__(self, status: int | None = 200) -> None:
        self.status = status
        self.got: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.bodies: list[bytes] = []
        self.asked = 0
        self._over = threading.Event()

    def __enter__(self) -> Receiver:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._answer(self)

            def log_message(self, *_args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server.server_address[1])

    def url(self, path: str = "hook/s3cret-t0ken") -> str:
        """Where to POST."""
        return f"http://127.0.0.1:{self.port}/{path}"

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        if self.status is None:
            self._over.wait(60)
            return
        if self.status < 300:
            self.bodies.append(body)
            self.got.append(json.loads(body))
            self.keys.append(request.headers.get("Idempotency-Key", ""))
        request.send_response(self.status)
        if self.status in (301, 302, 307):
            request.send_header("Location", self.url("elsewhere"))
        request.end_headers()


def until(true: Callable[[], object], seconds: float = 20) -> bool:
    """Wait for something that another process does; whether it came."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return bool(true())
