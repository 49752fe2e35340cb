"""Pages and ports of servers that answer well, badly, slowly or not at all."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from saltbranch.config.verify import HttpCheck, TcpCheck
from saltbranch.verify import probe
from saltbranch.verify.judge import PASSED, Judged
from tests.verify import servers


def check(port: int, *, contains: str = "", timeout: float = 30, **more: object) -> HttpCheck:
    url = str(more.pop("url", f"http://127.0.0.1:{port}/health?key=hunter2"))
    return HttpCheck(
        name="page", retries=0, timeout=timeout, url=url, contains=contains, status=int(str(more.pop("status", 200)))
    )  # fmt: skip


def asked(one: HttpCheck | TcpCheck) -> Judged:
    return probe.ask({"": one})[""]


def test_a_page_with_its_text() -> None:
    with servers.serving(servers.page("Grüße, Welcome".encode())) as (port, heard):
        assert asked(check(port, contains="Grüße")) == PASSED
        found = asked(check(port, contains="Goodbye"))
    assert found.reason == 'it answered a page of 16 bytes without "Goodbye"'
    lines = heard[0].decode().split("\r\n")
    assert lines[0] == "GET /health?key=hunter2 HTTP/1.1"
    assert f"Host: 127.0.0.1:{port}" in lines and "Accept-Encoding: identity" in lines


def test_another_status_may_be_expected() -> None:
    with servers.serving(servers.page(b"", "401 Unauthorized")) as (port, _):
        assert asked(check(port, status=401)) == PASSED
        assert asked(check(port)).reason == "it answered 401, and 200 was expected"


def test_a_redirect_is_not_followed() -> None:
    with servers.serving(servers.page(b"Welcome")) as (other, heard):
        to = f"Location: http://127.0.0.1:{other}/\r\n"
        with servers.serving(servers.page(b"", "302 Found", to)) as (port, _):
            found = asked(check(port, contains="Welcome"))
    assert "302, a redirect, which is not followed" in found.reason
    assert heard == []


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with servers.serving(servers.page(b"Welcome")) as (port, heard):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}/")
        found = asked(check(0, url="http://127.0.0.1:1/"))
    assert found.reason == "no connection: Connection refused"
    assert heard == []


@pytest.mark.parametrize("answer", [servers.hang, servers.drip])
@pytest.mark.parametrize("tls", [False, True])
def test_who_hangs_or_drips_is_left_in_time(answer: servers.Answer, tls: bool) -> None:  # noqa: FBT001
    with servers.serving(answer) as (port, _):
        begin = time.monotonic()
        scheme = "https" if tls else "http"  # it never begins to speak TLS
        found = asked(check(port, url=f"{scheme}://127.0.0.1:{port}/", timeout=0.6))
        spent = time.monotonic() - begin
    assert found.reason in ("no answer in 0.6 s", "no TLS: WRONG_VERSION_NUMBER")
    assert spent < 5


def test_of_a_huge_page_only_the_beginning_is_read() -> None:
    body = b"x" * (10 << 20) + b"Welcome"
    with servers.serving(servers.page(body)) as (port, _):
        found = asked(check(port, contains="Welcome"))
        assert "whose first 1,048,576 bytes lack" in found.reason
        assert asked(check(port, contains="xxx")) == PASSED


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00" * 100,
        b"HTTP/1.1 200 \x1b[31mhunter2\r\n\r\n",
    ],
)
def test_what_is_no_answer_in_http_is_said_without_a_word_of_it(said: bytes) -> None:
    with servers.serving(lambda sock, _asked: sock.sendall(said)) as (port, _):
        found = asked(check(port, contains="Welcome"))
    assert not found.passed and found.reason.isprintable()
    assert "hunter2" not in found.reason and "\x1b" not in found.reason


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    context = servers.self_signed(tmp_path)
    with servers.serving(servers.page(b"Welcome"), tls=context) as (port, heard):
        found = asked(check(port, url=f"https://localhost:{port}/"))
    assert found.reason.startswith("its certificate is not valid: self")
    assert heard == []


def test_a_certificate_that_is_believed_and_one_for_another_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = servers.self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    with servers.serving(servers.page(b"Welcome"), tls=context) as (port, _):
        right = asked(check(port, url=f"https://localhost:{port}/", contains="Welcome"))
        wrong = asked(check(port, url=f"https://127.0.0.1:{port}/", contains="Welcome"))
    assert right == PASSED
    assert wrong.reason.startswith("its certificate is not valid: IP address mismatch")


def test_a_server_that_speaks_no_tls() -> None:
    with servers.serving(servers.page(b"Welcome")) as (port, _):
        found = asked(check(port, url=f"https://127.0.0.1:{port}/", timeout=2))
    assert not found.passed


def test_a_name_that_nobody_has() -> None:
    found = asked(check(0, url="http://nobody.invalid/", timeout=20))
    assert found.reason.startswith(("no connection: ", "no answer in "))


def test_a_port() -> None:
    one = TcpCheck(name="port", retries=0, timeout=30, host="127.0.0.1", port=1)
    assert asked(one).reason == "no connection: Connection refused"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert (
            asked(TcpCheck(name="p", retries=0, timeout=30, host="localhost", port=port)) == PASSED
        )


def test_many_are_asked_at_once_and_each_has_its_own_answer() -> None:
    with (
        servers.serving(servers.page(b"Welcome")) as (good, _),
        servers.serving(servers.hang) as (bad, _),
    ):
        ports = {f"m{n}": bad if n % 4 == 0 else good for n in range(40)}
        begin = time.monotonic()
        found = probe.ask(
            {name: check(port, timeout=1 if port == bad else 30) for name, port in ports.items()}
        )
        spent = time.monotonic() - begin
    assert {n for n, one in found.items() if one.passed} == {
        n for n, p in ports.items() if p == good
    }
    assert spent < 9.9  # ten hang for a second each
