"""Submodules by ssh and https: fetched as git fetches them, with nothing of the root's lock in what git starts."""

from __future__ import annotations

import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.serve.test_formulas import PATH, entry, expected
from tests.support.remote import Remote, Submodule
from tests.support.site import Site, build_template


@pytest.fixture
def formula(tmp_path: Path) -> Remote:
    made = Remote(tmp_path / "formulas" / "nginx.git")
    made.commit("main", {"nginx/init.sls": "v: 1\n"})
    return made


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path, build_template(tmp_path / "remote.git"))
    made.keep_only("test")
    return made


def check(site: Site, formula: Remote, url: str, env: dict[str, str]) -> None:
    """What is pinned by `url` is served, and so is a pin that moved."""
    for number in range(2):
        head = formula.commit("main", {"nginx/init.sls": f"v: {number}\n"})
        formula.git("update-server-info")
        site.remote.commit("develop", {".gitmodules": entry("n", PATH, url), PATH: Submodule(head)})
        ran = site.run("sync", env=env)
        assert ran.code == 0, ran.err
        assert site.shown("develop") == expected(site, "develop", {PATH: (formula, head)})


@pytest.mark.parametrize(
    "url",
    ["git@git.example.com:formulas/nginx.git", "ssh://git@git.example.com:2222/formulas/nginx.git"],
)
def test_ssh(site: Site, formula: Remote, tmp_path: Path, url: str) -> None:
    """A stand-in for ssh notes where it is sent, and which descriptors it was given."""
    ssh = tmp_path / "ssh"
    ssh.write_text(
        f"""#!/bin/bash
echo "$@" >>{tmp_path}/called
ls -l /proc/$$/fd >>{tmp_path}/descriptors
cd {tmp_path}
exec sh -c "${{@: -1}}"
""".replace('"${@: -1}"', '"$(echo "${@: -1}" | sed "s#\'/formulas#\'formulas#")"')
    )
    ssh.chmod(0o755)
    site.configure(submodules=[url.replace("/nginx.git", "")])
    check(site, formula, url, {"GIT_SSH_COMMAND": str(ssh)})
    called = (tmp_path / "called").read_text()
    assert "git@git.example.com git-upload-pack" in called
    assert str(site.root / "lock") not in (tmp_path / "descriptors").read_text()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def https(tmp_path: Path) -> Iterator[str]:
    """The URL of a web server that shows tmp_path."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()


def test_https(site: Site, formula: Remote, tmp_path: Path, https: str) -> None:
    site.configure(submodules=[f"{https}/formulas"])
    env = {"GIT_SSL_CAINFO": str(tmp_path / "cert.pem"), "no_proxy": "localhost"}
    check(site, formula, f"{https}/formulas/nginx.git", env)
    assert os.listdir(site.root / "formulas")
