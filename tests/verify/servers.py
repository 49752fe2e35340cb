"""Servers on loopback that answer well, badly, slowly or not at all."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

Answer = Callable[[socket.socket, bytes], None]


def page(body: bytes, status: str = "200 OK", more: str = "") -> Answer:
    """What answers with a page."""

    def answer(sock: socket.socket, _asked: bytes) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        with contextlib.suppress(OSError):
            sock.sendall(head.encode() + body)

    return answer


def drip(sock: socket.socket, _asked: bytes) -> None:
    """A byte now and then, for ever: no time-out of a socket ends that."""
    sock.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    closed = threading.Event()
    while not closed.wait(0.1):
        try:
            sock.sendall(b"x")
        except OSError:
            return


def hang(sock: socket.socket, _asked: bytes) -> None:
    """Nothing, until the other side leaves."""
    with contextlib.suppress(OSError):
        sock.recv(1)


@contextlib.contextmanager
def serving(
    answer: Answer, *, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[int, list[bytes]]]:
    """A server: its port, and what it was asked."""
    asked: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def one(raw: socket.socket) -> None:
        with contextlib.suppress(OSError), raw:
            sock = tls.wrap_socket(raw, server_side=True) if tls else raw
            data = b""
            while b"\r\n\r\n" not in data:
                more = sock.recv(1 << 16)
                if not more:
                    return
                data += more
            asked.append(data)
            answer(sock, data)
            sock.close()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=one, args=[listener.accept()[0]], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], asked
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def self_signed(folder: Path) -> ssl.SSLContext:
    """TLS with a certificate for localhost that nobody vouches for."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8
    path = folder / "certificate.pem"
    path.write_bytes(
        certificate.public_bytes(pem) + key.private_bytes(pem, plain, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
