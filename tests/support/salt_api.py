"""A master with salt-api beside it, over TLS on loopback, set up by ``saltbranch install webhook``."""

from __future__ import annotations

import datetime
import http.client
import ipaddress
import json
import secrets
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import salt.payload
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from saltbranch.actions.install_webhook import install_webhook
from saltbranch.demo import processes
from saltbranch.demo.cluster import Cluster
from saltbranch.demo.processes import free_ports, stop
from saltbranch.webhook import reaction, secret
from tests.support import requests
from tests.support.requests import Request
from tests.support.site import Site, build_template

PATH = "/hook/saltbranch"
SECONDS = 60


@dataclass
class Hooked:
    """A running master that serves `site`, and salt-api at `port`."""

    site: Site
    cluster: Cluster
    port: int
    certificate: Path
    api: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def secret(self) -> str:
        """What the git server signs with."""
        return secret.load(secret.path_of(str(self.site.config)))[0]

    @property
    def log(self) -> str:
        """What the master has logged."""
        path = self.cluster.root / "master" / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def post(self, body: bytes, headers: requests.Headers, path: str = PATH) -> int:
        """Send a request, and the status that salt-api answers with."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=context, timeout=30
        )
        try:
            connection.putrequest("POST", path)
            for name, value in [("Content-Length", str(len(body))), *headers]:
                connection.putheader(name, value.encode())
            connection.endheaders(body)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def send(self, request: Request, path: str = PATH) -> int:
        """The same for a request of tests/support/requests.py."""
        return self.post(request[1], request[0], path)

    def push(self, ref: str, commit: str) -> int:
        """Announce a push as GitHub does."""
        body = requests.body_of(ref, commit, str(self.site.remote.path))
        return self.send(requests.github(self.secret, body))

    def ping(self) -> bool:
        """Send one of our own; whether it arrived, and with it all that was sent before."""
        nonce = secrets.token_hex(8)
        body = json.dumps({"saltbranch_ping": nonce}).encode()
        if self.send(requests.github(self.secret, body)) != 200:
            return False
        time.sleep(0.5)
        return nonce in reaction.pings(str(self.site.root))

    def jobs(self) -> list[str]:
        """The runner jobs that the master remembers: their function and arguments."""
        found = []
        for path in sorted(self.cluster.cache_dir.glob("jobs/*/*/*/return.p")):
            done = salt.payload.loads(path.read_bytes())["return"]
            found.append(f"{done['fun']} {done['fun_args']} {done['return']}")
        return found


def until(true: Callable[[], object], seconds: float = SECONDS) -> float:
    """Wait until `true`, and how long that took."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, "it did not come about in time"
        time.sleep(0.01)
    return time.monotonic() - begun


@contextmanager
def running_api(folder: Path) -> Iterator[Hooked]:
    """A master without minions, as a person sets it up: init, install webhook, then both are started."""
    site = Site(folder, build_template(folder / "remote.git"))
    cluster = Cluster(folder / "salt", minions={}, master_options={"log_level_logfile": "info"})
    cluster.write_config()
    certificate = _certificate(folder)
    port = free_ports()[0]
    options = {
        "host": "127.0.0.1",
        "port": port,
        "ssl_crt": str(certificate),
        "ssl_key": str(certificate.with_suffix(".key")),
        "webhook_disable_auth": True,
    }
    (cluster.config_dir / "master.d" / "api.conf").write_text(
        yaml.safe_dump({"rest_cherrypy": options})
    )
    site.master_config = cluster.config_dir / "master.d" / "saltbranch.conf"
    site.configure(
        salt_config=str(cluster.master_config_file), master_config=str(site.master_config)
    )
    site.sync_well()
    install_webhook(str(site.config))
    with cluster:
        hooked = Hooked(site, cluster, port, certificate)
        hooked.api.append(_start(cluster, folder))
        try:
            until(lambda: _is_open(port))
            # Its reactor listens a little later.
            until(hooked.ping)
            hooked.push("refs/heads/develop", site.remote.head("develop"))
            until(hooked.jobs)
            yield hooked
        finally:
            stop(hooked.api)


def _start(cluster: Cluster, folder: Path) -> subprocess.Popen[bytes]:
    words = ["-c", str(cluster.config_dir), "-l", "error"]
    with (folder / "salt-api.out").open("ab") as out:
        return processes.start_program(
            "salt-api", words, env=cluster._environment(), folder=None, out=out
        )


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "salt.example.com")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "api.crt"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.with_suffix(".key").write_bytes(private)
    path.with_suffix(".key").chmod(0o600)
    return path
