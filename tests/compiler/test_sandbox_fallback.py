"""Without bubblewrap: root falls back to a user without rights, with the same results and its limits."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from saltbranch.compiler import sandbox
from tests.compiler import test_secrets_anywhere as anywhere
from tests.support.compiling import PROJECT, ROLES, Lab, sample_minions
from tests.support.remote import Content, Remote

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root falls back to another user")
TOP = "base:\n  '*':\n    - all\n"
GOOD = "good:\n  test.nop: []\n"
SECRET = "outer-secret-4712"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH with every program of this one but bwrap."""
    folder = tmp_path_factory.mktemp("bin")
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).iterdir() if os.path.isdir(place) else ():
            if program.name != "bwrap" and not os.path.lexists(folder / program.name):
                (folder / program.name).symlink_to(program)
    return str(folder)


@pytest.fixture(scope="module")
def python() -> Iterator[str]:
    """A Python with Salt that other users can run: this one, or the system's with the same libraries."""
    if _others_run(sys.executable):
        yield sys.executable
        return
    system = f"/usr/bin/python3.{sys.version_info.minor}"
    folder = subprocess.check_output(["mktemp", "-d", "/var/tmp/python-XXXXXX"], text=True).strip()
    try:
        os.chmod(folder, 0o755)
        if not os.path.exists(system):
            pytest.skip("other users can run no Python with Salt here")
        subprocess.run([system, "-m", "venv", "--without-pip", folder], check=True)
        libraries = sysconfig.get_paths()["purelib"]
        [site] = Path(folder).glob("lib/python*/site-packages")
        (site / "same.pth").write_text(f"import site; site.addsitedir({libraries!r})\n")
        if not _others_run(f"{folder}/bin/python"):
            pytest.skip("other users can run no Python with Salt here")
        yield f"{folder}/bin/python"
    finally:
        subprocess.run(["rm", "-rf", "--", folder], check=True)


def _others_run(python: str) -> bool:
    code = "import os; os.setresuid(65534, 65534, 65534); import salt.version, yaml, asyncio"
    argv = [python, "-I", "-c", code]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


@pytest.fixture
def hole() -> Iterator[Path]:
    """A folder outside of /tmp, which only root may enter."""
    with _hole() as made:
        yield made


@contextlib.contextmanager
def _hole() -> Iterator[Path]:
    made = subprocess.check_output(["mktemp", "-d", "/var/tmp/hole-XXXXXX"], text=True).strip()
    yield Path(made)
    subprocess.run(["rm", "-rf", "--", made], check=True)


def child(python: str, path: str, job: dict[str, Any], *before: str) -> dict[str, Any]:
    """What the compiler answers in a process without bwrap."""
    argv = [*before, python, str(Path(__file__).parents[1] / "support" / "without_bubblewrap.py")]
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        argv,
        input=json.dumps(job),
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def states(tmp_path: Path, body: str, **more: Any) -> dict[str, Any]:
    """A job of which the states of the minion ``bad`` are `body`."""
    files: dict[str, Content] = {
        "salt/top.sls": "base:\n  'bad':\n    - bad\n  'm*':\n    - all\n",
        "salt/all.sls": GOOD,
        "salt/bad.sls": body,
        "pillar/top.sls": "base: {}\n",
    }
    files.update(more.pop("files", {}))
    job = {"folder": str(tmp_path), "files": files, "minions": {"m1": [], "bad": [], "m2": []}}
    return {**job, **more}


def program(body: str) -> str:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"#!py\nimport os, glob, signal, subprocess\ndef run():\n{lines}    return {{'done': {{'test.nop': []}}}}\n"


def test_the_sample_is_compiled_as_in_bubblewrap(python: str, path: str, tmp_path: Path) -> None:
    assert sandbox.find().kind == "bubblewrap"
    job = {"folder": str(tmp_path / "a"), "files": None, "minions": ROLES}
    answer = child(python, path, job)
    assert answer["kind"] == "user"
    assert "bubblewrap is missing" in answer["warning"] and "network" in answer["warning"]
    ours = Lab(tmp_path / "b").compile(sample_minions())
    assert set(answer["results"]) == set(ours)
    for name, found in answer["results"].items():
        own = ours[name]
        assert found["errors"] == list(own.errors)
        assert found["result"] == "ok"
        assert found["low"] == own.low
        assert found["plain_pillar"] == own.plain_pillar
        assert found["reads"] == json.loads(json.dumps(dataclasses.asdict(own.reads)))


WRITES = {
    "etc": "open('/etc/saltbranch-was-here', 'w')",
    "root": "open('/root/saltbranch-was-here', 'w')",
    "the repository": "open('REPO/refs/heads/mine', 'w')",
    "its own tree": "open([p for d in ('/dev/shm', '/tmp') for p in"
    " glob.glob(d + '/saltbranch-scratch-compile-*/tree/salt')][0] + '/x', 'w')",
    "a key": "raise ValueError(open('HOLE/key').read())",
    "a key of all folders": "raise ValueError(open('HOLE/../../../HOLE/key').read())",
    "shadow": "raise ValueError(open('/etc/shadow').read())",
    "the processes": "os.kill(PID, 9)",
    "the worker's parent": "os.kill(int(open('/proc/%d/stat' % os.getppid()).read().split()[3]), 9)",
    "root again": "os.setuid(0)",
}


@pytest.fixture(scope="module")
def written(python: str, path: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is answered where each of them is tried by a minion of its own, between two that try nothing."""
    folder = tmp_path_factory.mktemp("written")
    files: dict[str, Content] = {}
    top: dict[str, list[str]] = {"m*": ["all"]}
    with _hole() as hole:
        (hole / "key").write_text(SECRET)
        (hole / "key").chmod(0o600)
        hole.chmod(0o755)
        for number, body in enumerate(WRITES.values()):
            body = body.replace("REPO", str(folder / "repo.git")).replace("HOLE", str(hole))
            files[f"salt/bad{number}.sls"] = program(body.replace("PID", str(os.getpid())))
            top[f"bad{number}"] = [f"bad{number}"]
        files["salt/top.sls"] = json.dumps({"base": top})
        job = states(folder, "{}\n", files=files)
        bad = {f"bad{number}": [] for number in range(len(WRITES))}
        job["minions"] = {"m1": [], **bad, "m2": []}
        return child(python, path, job)


@pytest.mark.parametrize("what", WRITES)
def test_code_of_a_branch_has_no_rights(written: dict[str, Any], what: str) -> None:
    results = written["results"]
    bad = results[f"bad{[*WRITES].index(what)}"]
    assert bad["result"] == "failed", bad
    refused = ("ermi", "nvalid")  # permission, permitted; a user that there is not in here
    assert any(word in str(bad["errors"]) for word in refused), bad
    assert (results["m1"]["result"], results["m2"]["result"]) == ("ok", "ok")
    assert SECRET not in json.dumps(written) and "root:" not in json.dumps(written)
    for place in ("/etc/saltbranch-was-here", "/root/saltbranch-was-here"):
        assert not os.path.exists(place)


def test_no_worker_reads_the_cache_of_another(
    python: str, path: str, tmp_path: Path, hole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hole.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(hole))
    look = program(
        "import time\nown = os.path.dirname(__opts__['cachedir'])\nothers, seen = set(), set()\n"
        "end = time.time() + 8\nwhile time.time() < end:\n"
        f"    for name in glob.glob('{hole}/saltbranch-scratch-compile-*/worker-*'):\n"
        "        if name == own:\n            continue\n"
        "        others.add(name)\n"
        "        for look in (lambda: os.listdir(name + '/cache'),\n"
        "                     lambda: open(name + '/cache/x', 'w'), lambda: os.listdir(name)):\n"
        "            try:\n                look()\n                seen.add(name)\n"
        "            except OSError:\n                pass\n"
        "    time.sleep(0.1)\n"
        "raise ValueError('others %d, read %d' % (len(others), len(seen)))"
    )
    job = states(tmp_path, look, jobs=2, share=10)
    job["minions"] = {"bad": [], **{f"m{n}": [] for n in range(1, 20)}}
    answer = child(python, path, job)
    assert "others 1, read 0" in str(answer["results"]["bad"]["errors"])


LIMITS = {
    "for ever": "import time\nwhile True: time.sleep(1)",
    "memory": "return {'x': 'x' * (8 << 30)}",
    "forks": "import time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.1)",
    "stays behind": (
        "if os.fork() == 0:\n    os.setsid()\n    import time\n    time.sleep(600)\nos._exit(0)"
    ),
    "kills its worker": (
        "worker = os.getppid()\nif os.fork() == 0:\n    os.setsid()\n    os.kill(worker, 9)\n"
        "    import time\n    time.sleep(600)\nos.kill(worker, 9)"
    ),
    "kills all": "os.kill(-1, 9)",
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_hold_and_nothing_is_left_running(
    python: str, path: str, tmp_path: Path, hole: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hole.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(hole))
    body = LIMITS[name]
    begin = time.monotonic()
    job = states(tmp_path, program(body), frame={"seconds": 4, "memory": 600})
    results = child(python, path, job)["results"]
    assert time.monotonic() - begin < 90
    assert results["bad"]["result"] == "failed" and results["bad"]["errors"]
    assert (results["m1"]["result"], results["m2"]["result"]) == ("ok", "ok")
    # What a worker started has its command line, in which the job's folder stands.
    left = subprocess.run(["pgrep", "-af", str(hole)], capture_output=True, text=True, check=False)
    assert left.stdout == ""


@pytest.mark.parametrize("where", ["/srv/pillar", "SERVED"])
def test_a_written_out_path_never_reads_the_served_tree(
    python: str, path: str, tmp_path: Path, hole: Path, where: str
) -> None:
    hole.chmod(0o755)
    slot = hole / "slot"
    slot.mkdir()
    (slot / "extra.yaml").write_text("value: live\n")
    (hole / "checkout").symlink_to(slot)
    folder = where.replace("SERVED", str(hole / "checkout"))
    body = (
        f"{{% set data = salt['slsutil.renderer']('{folder}/extra.yaml') %}}\n"
        "x:\n  test.nop:\n    - value: {{ data.value }}\n"
    )
    job = states(tmp_path, body, files={"pillar/extra.yaml": "value: compiled\n"})
    job["served"] = [["test", str(hole / "checkout"), "pillar"]]
    bad = child(python, path, job)["results"]["bad"]
    assert bad["result"] == "failed"
    notes = " ".join(bad["notes"])
    if where == "SERVED":
        mapped = "which is mapped to the compiled tree in bubblewrap only"
        assert f"read {folder}/extra.yaml, {mapped}" in notes
    else:  # outside of the tree the host would be asked
        assert "answered neutrally" in notes and "slsutil.renderer" in notes
    assert "live" not in json.dumps(bad)


def test_nobody_else_falls_back(python: str, path: str, tmp_path: Path) -> None:
    job = {"folder": str(tmp_path), "files": None, "minions": {}}
    answer = child(python, path, job, "setpriv", "--reuid=65534", "--clear-groups")
    assert answer["code"] == 1 and "apt-get install bubblewrap" in answer["hint"]
    assert answer["error"] == (
        "cannot compile: bubblewrap is missing, and only root can run code of the branches as another"
        " user instead"
    )


def test_the_warning_is_in_every_output(python: str, path: str, tmp_path: Path) -> None:
    remote = Remote(tmp_path / "repo.git")
    remote.commit(
        "master", {"salt/top.sls": TOP, "salt/all.sls": GOOD, "pillar/top.sls": "base: {}\n"}
    )
    remote.set_branch("develop", remote.head("master"))
    remote.commit("develop", {"salt/all.sls": GOOD + "more:\n  test.nop: []\n"})
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", remote.path, clone], check=True)
    (clone / "fleet").mkdir()
    (clone / "fleet" / "p1.yaml").write_text("grains: {os: Debian}\n")
    config = {
        "remote": "origin", "root": str(tmp_path / "none"), "salt_config": str(tmp_path / "none"), "fleet": "fleet",
        "saltenvs": {
            "test": {"branch": "develop", "minions": ["t*"]},
            "prod": {"branch": "master", "promote_from": "test", "minions": ["p*"]},
        },
    }  # fmt: skip
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump(config))
    env = {
        **os.environ,
        "SALTBRANCH_CONFIG": str(own),
        "PATH": path,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    env["PYTHONPATH"] = str(PROJECT)
    for words in ([], ["--json"], ["--markdown"], ["--html"]):
        argv = [python, "-m", "saltbranch", "diff", "prod", "--no-cache", *words]
        done = subprocess.run(
            argv, cwd=clone, env=env, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 3, done.stderr
        assert "bubblewrap is missing" in done.stdout, words


def doctor(python: str, path: str, clone: Path, *before: str) -> tuple[int, list[dict[str, str]]]:
    """The exit code, and what doctor says of the sandbox."""
    argv = [*before, python, "-m", "saltbranch", "doctor", "--json"]
    argv += ["--config", str(clone / "saltbranch.yaml")]
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(PROJECT), "HOME": str(clone)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, cwd=clone)
    found = json.loads(done.stdout)["findings"]
    return done.returncode, [f for f in found if f["id"] == "no-sandbox"]


def test_doctor_says_what_is_missing(python: str, path: str, hole: Path) -> None:
    hole.chmod(0o755)
    config = {
        "remote": str(hole / "remote.git"), "root": str(hole / "none"), "salt_config": str(hole / "none"),
        "saltenvs": {"test": {"branch": "develop", "minions": ["t*"]}},
    }  # fmt: skip
    (hole / "saltbranch.yaml").write_text(yaml.safe_dump(config))
    assert doctor(python, os.environ["PATH"], hole) == (0, [])
    code, [found] = doctor(python, path, hole)
    assert (code, found["severity"]) == (0, "note")
    assert "bubblewrap is missing" in found["message"]
    assert "apt-get install bubblewrap" in found["fix"]
    code, [found] = doctor(python, path, hole, "setpriv", "--reuid=65534", "--clear-groups")
    assert (code, found["severity"]) == (1, "warning")
    assert "cannot compile: bubblewrap is missing" in found["message"]


def test_a_bubblewrap_that_does_not_work_is_told_with_its_own_words(
    python: str, path: str, tmp_path: Path, hole: Path
) -> None:
    hole.chmod(0o755)
    fake = hole / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    job = states(tmp_path, GOOD)
    answer = child(python, f"{hole}:{path}", job)
    assert answer["kind"] == "user"
    assert "(bwrap: No permissions to create new namespace)" in answer["warning"]


@pytest.mark.parametrize("who", ["root without it", "nobody with it"])
def test_no_secret_comes_out_here_either(python: str, path: str, hole: Path, who: str) -> None:
    secret = "Hq7zunter2Xw9-k81Lmno"
    files: dict[str, Content] = {
        "pillar/top.sls": "base:\n  '*':\n    - all\n",
        "pillar/all.sls": f"plain: {secret}\n",
    }
    top = {}
    for n, use in enumerate(anywhere.USES):
        code = anywhere.EXPRESSIONS[n % len(anywhere.EXPRESSIONS)].replace("VV", "pillar.plain")
        quoted = f"{{{{ ({code}) | string | yaml_dquote }}}}"
        files[f"salt/use{n}.sls"] = use.replace("EE", quoted).replace("RR", code)
        top[f"use{n}"] = [f"use{n}"]
    files["salt/top.sls"] = yaml.safe_dump({"base": top})
    job = {
        "folder": str(hole / "lab"),
        "files": files,
        "minions": {name: [] for name in top},
        "jobs": 2,
    }
    if who == "nobody with it":
        os.chown(hole, 65534, 65534)
        before = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=/tmp"]
        answer = child(python, os.environ["PATH"], job, *before)
    else:
        answer = child(python, path, job)
    assert answer["kind"] == ("bubblewrap" if who == "nobody with it" else "user")
    results = answer["results"].values()
    assert sum(r["result"] == "ok" for r in results) > 3 < sum(r["result"] != "ok" for r in results)
    told = json.dumps(
        [[r[k] for k in ("errors", "notes", "chunks", "reads", "pillar")] for r in results]
    )
    assert [w for w in anywhere.windows(secret) if w in told] == []
