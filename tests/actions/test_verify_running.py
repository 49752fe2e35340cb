"""verify on a running salt-master, and a load balancer whose clients notice nothing while its servers restart."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from saltbranch.demo.cluster import Cluster
from tests.cli.test_json_shapes import conforms
from tests.support.running import Master
from tests.support.site import Journal, Ran, Site, build_template

pytestmark = pytest.mark.xdist_group("verify")
WEBS = ("prod1", "prod2", "prod3")
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "load-balancer.md"
BACKEND = """\
import http.server, os, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"Welcome")
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Page)
open(sys.argv[2] + ".new", "w").write(str(os.getpid()))
os.rename(sys.argv[2] + ".new", sys.argv[2])
server.serve_forever()
"""
RESTART = """\
#!/bin/sh
# Ends the server of minion $1, and starts it anew a second later.
cd {folder}
[ -e $1.pid ] && kill $(cat $1.pid)
rm -f $1.pid
sleep 1
setsid {python} backend.py $(cat $1.port) $1.pid >/dev/null 2>&1 </dev/null &
while [ ! -e $1.pid ]; do sleep 0.1; done
"""


@dataclass(frozen=True, slots=True)
class Rig:
    """A master that serves a site with three servers as prod."""

    master: Master
    folder: Path

    @property
    def site(self) -> Site:
        return self.master.site

    def configure(self, **prod: Any) -> None:
        """Give prod these keys, and let the master serve by them."""
        kept = {key: self.site.settings["saltenvs"]["prod"][key] for key in ("branch", "minions")}
        self.site.settings["saltenvs"]["prod"] = {**kept, **prod}
        self.site.configure()
        self.site.sync_well()

    def verify(self, *words: str) -> Ran:
        return self.site.run_here("verify", "prod", "--config", str(self.site.config), *words)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("verify")
    (folder / "backend.py").write_text(BACKEND)
    (folder / "restart").write_text(RESTART.format(folder=folder, python=sys.executable))
    (folder / "restart").chmod(0o755)
    for web in WEBS:
        (folder / f"{web}.port").write_text(str(free_port()))
    site = Site(folder, build_template(folder / "remote.git"))
    state = f"restart:\n  cmd.run:\n    - name: {folder}/restart {{{{ grains['id'] }}}}\n"
    site.remote.commit("master", {"salt/app/init.sls": state})
    cluster = Cluster(
        folder / "salt",
        minions=dict.fromkeys(WEBS, {}),
        minion_options=dict.fromkeys(WEBS, {"autoload_dynamic_modules": False}),
        master_options={"saltbranch_config": str(site.config)},
    )
    cluster.write_config()
    site.master_config = cluster.config_dir / "master.d" / "saltbranch.conf"
    site.configure(
        salt_config=str(cluster.master_config_file),
        master_config=str(site.master_config),
        record_syncs=True,
    )
    site.sync_well()
    try:
        with cluster:
            yield Rig(Master(site, cluster), folder)
    finally:
        for web in WEBS:
            if (pid := folder / f"{web}.pid").exists():
                os.kill(int(pid.read_text()), 15)


def test_what_passed_is_recorded_told_and_shown(rig: Rig) -> None:
    (rig.folder / "flag").touch()
    rig.configure(
        verify=[
            {"salt": "file.file_exists", "args": [f"{rig.folder}/flag"], "name": "the flag"},
            {"salt": "test.echo", "args": ["3008"], "expect": {"matches": "^3"}, "on": "one"},
            {"salt": "grains.item", "args": ["id"], "expect": {"contains": "id"}},
        ]
    )
    commit = rig.site.remote.head("master")
    plan = rig.verify("--plan")
    assert plan.code == 3 and "check the flag" in plan.out and "prod1, prod2, prod3" in plan.out
    with rig.master.listening("saltbranch/verify/prod") as heard:
        ran = rig.verify("--json")
        (told,) = heard(1)
    assert ran.code == 0, ran
    found = json.loads(ran.out)
    assert (found["passed"], found["complete"], found["commit"]) == (True, True, commit)
    assert [row["minion"] for row in found["results"]] == [*WEBS, "prod1", *WEBS]
    assert (told["data"]["id"], told["data"]["passed"]) == (found["id"], True)
    del told["data"]["_stamp"]
    conforms("event-verify", told["data"])
    journal = Journal(rig.site.remote)
    (event,) = journal.events("verify")
    assert (event.id, event.details["commit"], event.details["complete"]) == (
        found["id"],
        commit,
        True,
    )
    assert [v.commit for v in journal.state().verified["prod"]] == [commit]


def test_what_failed_says_where_and_nothing_that_a_minion_answered(rig: Rig) -> None:
    echo = {"salt": "test.echo", "args": ["hunter2 \x1b[2J"], "name": "echo", "retries": 0}
    rig.configure(
        verify=[
            {**echo, "expect": {"contains": "Welcome"}},
            {"salt": "file.file_exists", "args": ["/nowhere"], "name": "nowhere", "retries": 1},
            {"salt": "nothing.there", "name": "unknown", "retries": 0},
        ]
    )
    ran = rig.verify("--minions", "prod[12]")
    assert ran.code == 1
    assert "3 checks, 2 minions, not all it has" in ran.out
    assert 'prod2: it answered a text of 12 characters, which does not contain "Welcome"' in ran.out
    assert "prod1: it answered false (2 tries)" in ran.out
    assert "prod1: the function failed (" in ran.out
    event = Journal(rig.site.remote).events("verify")[-1]
    assert (event.details["passed"], event.details["complete"]) == (False, False)
    shown = rig.site.run_here("history", "prod", "--config", str(rig.site.config), "--limit", "1")
    assert "verify" in shown.out and "echo: prod1, prod2: it answered a text" in shown.out
    for text in (ran.out, ran.err, shown.out, json.dumps(event.as_dict())):
        assert "hunter2" not in text and "\x1b[2J" not in text


def test_the_runner_and_what_it_refuses(rig: Rig) -> None:
    rig.configure(verify=[{"salt": "test.ping"}])
    done = rig.master.runner("verify", "prod", "minions=prod3", "claimed_by=ann")
    del done.value["retcode"]
    conforms("verify", done.value)
    assert (done.code, done.value["passed"], done.value["complete"]) == (0, True, False)
    assert Journal(rig.site.remote).events("verify")[-1].details["claimed_by"] == "ann"
    plan = rig.verify("--plan", "--json")
    assert plan.code == 3
    conforms("verify-plan", json.loads(plan.out))
    assert "no minion of prod" in rig.verify("--minions", "x*").err
    bad = rig.site.run_here("verify", "test", "--config", str(rig.site.config))
    assert bad.code == 4 and "test has no checks" in bad.err


# The load balancer


@dataclass
class Client:
    """Asks all the time; what went wrong."""

    port: int
    asked: int = 0
    failed: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        while not self.over.is_set():
            self.asked += 1
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=20) as page:
                    assert page.read() == b"Welcome"
            except OSError as err:
                self.failed.append(str(err))
            self.over.wait(0.05)


@contextmanager
def asking(port: int) -> Iterator[Client]:
    client = Client(port)
    threads = [threading.Thread(target=client.ask, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield client
    finally:
        client.over.set()
        for thread in threads:
            thread.join()


@contextmanager
def balanced(rig: Rig) -> Iterator[int]:
    """Debian's haproxy in front of the three servers, with its admin socket; its port."""
    program, port = shutil.which("haproxy"), free_port()
    assert program
    place = Path("/tmp") / f"saltbranch-haproxy-{os.getpid()}.sock"  # noqa: S108 - short enough
    lines = [
        f"global\n  stats socket {place} mode 600 level admin",
        "defaults\n  mode http\n  retries 0\n  option http-server-close",
        "  timeout connect 5s\n  timeout client 30s\n  timeout server 30s",
        f"listen web\n  bind 127.0.0.1:{port}\n  balance roundrobin",
        *(f"  server {web} 127.0.0.1:{(rig.folder / f'{web}.port').read_text()}" for web in WEBS),
    ]
    (rig.folder / "haproxy.cfg").write_text("\n".join([*lines, ""]))
    daemon = subprocess.Popen([program, "-db", "-q", "-f", str(rig.folder / "haproxy.cfg")])
    os.environ["HAPROXY_SOCKET"] = str(place)
    try:
        end = time.monotonic() + 30
        while not place.exists() or not _answers(port):
            assert daemon.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        yield port
    finally:
        del os.environ["HAPROXY_SOCKET"]
        daemon.terminate()
        daemon.wait()
        place.unlink(missing_ok=True)


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.skipif(not shutil.which("haproxy"), reason="needs Debian's haproxy")
def test_clients_of_the_load_balancer_notice_nothing(rig: Rig) -> None:
    program = rig.folder / "haproxy-batch"
    text = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    program.write_text(text.replace("/usr/bin/python3", sys.executable, 1))
    program.chmod(0o755)
    hook = {"command": [str(program), "web"]}
    rig.site.configure(programs=[[str(program), "web"]])
    rig.configure(
        before_batch=[hook],
        after_batch=[hook],
        verify=[{"salt": "file.file_exists", "args": [f"{rig.folder}/backend.py"]}],
    )
    for web in WEBS:
        subprocess.run([str(rig.folder / "restart"), web], check=True)
    with balanced(rig) as port:
        before = {web: (rig.folder / f"{web}.pid").read_text() for web in WEBS}
        with asking(port) as client:
            applied = rig.site.run("apply", "prod", "--yes", "--batch", "1", "--json")
        assert applied.code == 0, applied
        assert client.asked > 50 and client.failed == []
        after = {web: (rig.folder / f"{web}.pid").read_text() for web in WEBS}
        assert all(before[web] != after[web] for web in WEBS)  # they did restart
        rig.configure()  # without hooks
        with asking(port) as client:
            applied = rig.site.run("apply", "prod", "--yes", "--batch", "1")
        assert applied.code == 0 and client.failed
