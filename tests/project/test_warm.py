"""What starts warm in the tests does what a cold start does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import salt.config
import salt.loader

from saltbranch.base import proc
from saltbranch.compiler import sandbox
from saltbranch.compiler.pool import Spent
from tests.support import brisk_salt, warm, warm_daemons, warm_salt
from tests.support.compiling import Lab, minion, sample_minions
from tests.support.site import Site, build_template

WORDS = (
    ["status", "--json"],
    ["status", "stage", "--no-such"],
    ["sync"],
    ["check", "master", "--static"],
)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root goes into a sandbox by setns(2)")
def test_a_warm_salt_compiles_what_a_cold_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sandbox.find().kind != "bubblewrap":
        pytest.skip("needs bubblewrap")
    lab = Lab(tmp_path)
    spent = Spent()
    ours = lab.compile(sample_minions(), spent=spent)
    monkeypatch.setattr(warm_salt, "is_used", False)
    cold = lab.compile(sample_minions())
    assert spent.workers == 1
    for name, result in ours.items():
        assert result.low and result.low == cold[name].low
        assert result.plain_pillar == cold[name].plain_pillar
        assert result.reads == cold[name].reads


def test_a_warm_salt_is_in_the_sandbox(tmp_path: Path) -> None:
    if sandbox.find().kind != "bubblewrap":
        pytest.skip("needs bubblewrap")
    body = (
        "#!py\nimport os\ndef run():\n"
        f"    seen = [os.getuid(), os.getcwd(), os.path.exists({str(tmp_path)!r}), *sorted(os.listdir('/srv'))]\n"
        "    net = open('/proc/net/dev').read().count(':')\n"
        "    return {'seen': {'test.nop': [{'value': [str(s) for s in seen] + [net]}]}}\n"
    )
    files: dict[str, str | bytes] = {
        "salt/top.sls": "base:\n  '*':\n    - all\n",
        "salt/all.sls": body,
    }
    found = Lab(tmp_path, dict(files)).one(minion("m1"))
    assert found.low, found
    told = found.low[0]["value"]
    assert int(told[0]) >= 61184  # launch.drop
    assert told[1:3] == ["/tmp", "False"] and "salt" in told
    assert told[-1] == 1  # the loopback device


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_fork_says_what_a_process_says(tmp_path: Path, words: list[str]) -> None:
    site = Site(tmp_path, build_template(tmp_path / "remote.git"))
    site.sync_well()
    argv = site.argv(*words)
    forked = warm.server().run(argv, os.environ, 60)
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert forked[0] == done.returncode
    if "--json" in words:
        assert json.loads(forked[1]).keys() == json.loads(done.stdout).keys()
    else:
        assert forked[1:] == (done.stdout, done.stderr)


def test_only_what_starts_alike_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [sys.executable, "-m", "saltbranch", "status"]
    assert warm.fits(words, os.environ)
    for name in ("PYTHONWARNINGS", "LC_TIME", "TZ", "HOME"):
        assert not warm.fits(words, {**os.environ, name: "x"})
    # What the tests have changed since it started is no longer how it started.
    monkeypatch.setenv("TZ", "Etc/GMT-3")
    assert not warm.fits(words, os.environ)
    monkeypatch.undo()
    assert not warm.fits([sys.executable, "-c", "pass"], os.environ)
    assert not warm.fits(["git", "status"], os.environ)


SEEN = (
    "import json, os; mask = os.umask(0); os.umask(mask);"
    " seen = [sys.argv[1:], os.getcwd(), mask, os.getppid(), os.getpgid(0) == os.getpgrp(),"
    " sys.stdin.read(), os.environ['WHOSE'], os.path.exists('/proc/self/fd/3')];"
    " print(json.dumps(seen)); print('bad', file=sys.stderr); sys.exit(7) or top_view_child.main()"
)


def test_a_child_is_in_the_place_of_a_real_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WHOSE", "ours")
    warm_argv = proc.python(SEEN, "a b", "c")
    monkeypatch.setattr(warm, "is_used", False)
    assert warm_argv != proc.python(SEEN, "a b", "c")
    found = []
    for argv in (warm_argv, proc.python(SEEN, "a b", "c")):
        done = proc.run(argv, os.environ, stdin=b"words", timeout=60)
        found.append((done.code, json.loads(done.text), done.complaint))
    assert found[0] == found[1]
    assert found[0][1][3] == os.getpid()


def test_a_child_ends_with_what_stands_for_it(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    code = (
        f"import os, time; open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
        " or top_view_child.main()"
    )
    done = proc.run(proc.python(code), os.environ, timeout=10)
    assert done.timed_out
    deadline = time.monotonic() + 30
    while Path(f"/proc/{told.read_text()}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{told.read_text()}").exists()


def daemon(folder: Path, *words: str) -> Any:
    program, *rest = words or ("salt-key", "--version")
    with (folder / "out").open("ab") as out:
        return warm_daemons.start_program(program, rest, env=os.environ, folder=folder, out=out)


def test_a_daemon_that_is_known_can_be_ended(tmp_path: Path) -> None:
    (tmp_path / "minion").write_text(f"{{id: m, root_dir: {tmp_path}}}\n")
    words = ("salt-call", "--local", "--config-dir", str(tmp_path), "test.sleep", "60")
    for _ in range(20):
        forked = daemon(tmp_path, *words)
        os.killpg(forked.pid, signal.SIGKILL)
        assert forked.wait(30) in (-signal.SIGKILL, 0)


def test_an_order_that_is_interrupted_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as held:
        patch.setattr(socket, "send_fds", interrupted)
        daemon(tmp_path)
    found: list[Any] = []
    asking = threading.Thread(target=lambda: found.append(daemon(tmp_path)), daemon=True)
    asking.start()
    asking.join(60)
    assert held.traceback and found and found[0].wait(60) == 0


@pytest.mark.parametrize("names", [[], ["own"], ["own", "cmdmod"]], ids=", ".join)
def test_a_brisk_loader_has_the_modules_that_it_would_have(
    tmp_path: Path, names: list[str]
) -> None:
    """Also where a branch's own module has the name of one of Salt's."""
    folder = tmp_path / "modules"
    for name in names:
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text("def f(): return 1\n")
    opts = {**salt.config.DEFAULT_MINION_OPTS, "extension_modules": str(tmp_path)}
    loader = salt.loader.minion_mods(opts | {"disable_modules": ["pip"]})
    found = dict(loader.file_mapping)
    brisk_salt.REAL["_refresh_file_mapping"](loader)
    assert found == loader.file_mapping and list(found) == list(loader.file_mapping)
    assert {"test", *names} <= found.keys() and "pip" not in found
