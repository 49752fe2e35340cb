"""Pages and ports, asked for by the master itself. What is on the other side may hang, drip, redirect or lie."""

from __future__ import annotations

import http.client
import queue
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from saltbranch import __version__
from saltbranch.config.verify import HttpCheck, TcpCheck
from saltbranch.verify import judge
from saltbranch.verify.judge import Judged

LARGEST = 1 << 20
"""Bytes of a page that are read."""
_AT_ONCE = 16


class _Line:
    """One connection; another thread may cut it: a time-out of a socket begins anew with each byte that drips in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._is_cut = False

    def open(self, host: str, port: int, timeout: float) -> socket.socket:
        """A connection. Raises OSError."""
        sock = socket.create_connection((host, port), timeout)
        with self._lock:
            self._sock = sock
            if self._is_cut:
                sock.close()
        return sock

    def encrypt(self, host: str) -> socket.socket:
        """The same connection with TLS, the certificate checked. Raises OSError."""
        context = ssl.create_default_context()
        with self._lock:
            assert self._sock is not None
            self._sock = sock = context.wrap_socket(
                self._sock, server_hostname=host, do_handshake_on_connect=False
            )
        sock.do_handshake()
        return sock

    def cut(self) -> None:
        """End it, whatever it is at."""
        with self._lock:
            self._is_cut = True
            if self._sock is not None:
                try:
                    self._sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # it has ended by itself


def ask(checks: Mapping[str, HttpCheck | TcpCheck]) -> dict[str, Judged]:
    """Ask all, at most _AT_ONCE at the same time; each key with what came of it. Each has its `timeout` seconds.

    They run in threads that nobody waits for: looking up a name cannot be ended.
    """
    found: dict[str, Judged] = {}
    names = list(checks)
    for start in range(0, len(names), _AT_ONCE):
        found |= _ask_some({name: checks[name] for name in names[start : start + _AT_ONCE]})
    return found


def _ask_some(checks: Mapping[str, HttpCheck | TcpCheck]) -> dict[str, Judged]:
    done: queue.SimpleQueue[tuple[str, Judged]] = queue.SimpleQueue()
    lines = {name: _Line() for name in checks}
    begin = time.monotonic()
    for name, check in checks.items():
        args = (name, check, lines[name], done)
        threading.Thread(target=_one, args=args, daemon=True).start()
    ends = {name: begin + check.timeout for name, check in checks.items()}
    found: dict[str, Judged] = {}
    while len(found) < len(checks):
        open_ = [name for name in checks if name not in found]
        left = min(ends[name] for name in open_) - time.monotonic()
        try:
            name, judged = done.get(timeout=max(0.0, left))
            found.setdefault(name, judged)
        except queue.Empty:
            for name in [n for n in open_ if ends[n] <= time.monotonic()]:
                lines[name].cut()
                found[name] = judge.failed(f"no answer in {checks[name].timeout:g} s")
    return found


def _one(
    name: str,
    check: HttpCheck | TcpCheck,
    line: _Line,
    done: queue.SimpleQueue[tuple[str, Judged]],
) -> None:
    try:
        judged = _page(check, line) if isinstance(check, HttpCheck) else _port(check, line)
    except ssl.SSLCertVerificationError as err:
        judged = judge.failed(f"its certificate is not valid: {err.verify_message}")
    except ssl.SSLError as err:
        judged = judge.failed(f"no TLS: {err.reason or 'the other side does not speak it'}")
    except TimeoutError:
        judged = judge.failed(f"no answer in {check.timeout:g} s")
    except OSError as err:
        judged = judge.failed(f"no connection: {err.strerror or type(err).__name__}")
    except (http.client.HTTPException, ValueError) as err:
        judged = judge.failed(f"not an answer in HTTP ({type(err).__name__})")
    done.put((name, judged))


def _port(check: TcpCheck, line: _Line) -> Judged:
    line.open(check.host, check.port, check.timeout).close()
    return judge.PASSED


def _page(check: HttpCheck, line: _Line) -> Judged:
    """The page itself: no proxy, no redirect, no cookies, at most LARGEST bytes. Raises OSError, HTTPException."""
    parts = urlsplit(check.url)
    host, is_tls = parts.hostname or "", parts.scheme == "https"
    kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
    connection = kind(host, parts.port, timeout=check.timeout)
    sock = line.open(host, connection.port, check.timeout)
    try:
        connection.sock = sock = line.encrypt(host) if is_tls else sock
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        headers = {"User-Agent": f"saltbranch/{__version__}", "Connection": "close"}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read(LARGEST) if check.contains else b""
        is_whole = len(body) < LARGEST
        return judge.of_page(
            answer.status, body, wanted=check.status, contains=check.contains, is_whole=is_whole
        )
    finally:
        sock.close()
