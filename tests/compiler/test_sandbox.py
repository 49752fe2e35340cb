"""A branch that tries to get out of the compiler: nothing outside changes, nothing hidden is read."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from saltbranch.compiler import sandbox
from saltbranch.compiler.model import Compiled, Minion
from tests.support import budget, warm_salt
from tests.support.compiling import Lab, minion
from tests.support.remote import Content, Link

pytestmark = pytest.mark.real_sandbox

TOP = "base:\n  '*':\n    - all\n"
GOOD = "good:\n  test.nop: []\n"
SECRET = "outer-secret-4711"


@pytest.fixture(scope="module")
def outside() -> Iterator[Path]:
    """A folder of ours outside of the sandbox, where every user may write."""
    folder = Path(
        subprocess.check_output(["mktemp", "-d", "/var/tmp/outside-XXXXXX"], text=True).strip()
    )
    folder.chmod(0o777)
    (folder / "secret").write_text(SECRET)
    (folder / "secret").chmod(0o644)
    yield folder
    subprocess.run(["rm", "-rf", "--", str(folder)], check=True)


def lab(tmp_path: Path, states: str, pillar: str = "", **more: Content) -> Lab:
    files: dict[str, Content] = {
        "salt/top.sls": TOP,
        "salt/all.sls": states,
        "pillar/top.sls": TOP,
        "pillar/all.sls": pillar,
        **{path.replace("__", "/"): content for path, content in more.items()},
    }
    return Lab(tmp_path, files)


@pytest.fixture(scope="module", autouse=True)
def _real() -> Iterator[None]:
    """For what is compiled once for all tests here, which is before the marker counts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warm_salt, "is_used", False)
        yield


@pytest.fixture
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what comes out, which a new Salt has no part in."""
    monkeypatch.setattr(warm_salt, "is_used", True)


# A folder's descriptor leads to all that is above it, whatever is mounted here.
CLIMBS = """#!py
import os
def run():
    found = []
    for fd in range(3, 256):
        try:
            place = os.open("../" * 9 + "%s", os.O_RDONLY, dir_fd=fd)
            found.append(os.read(os.open("secret", os.O_RDONLY, dir_fd=place), 99).decode())
        except OSError:
            pass
    return {"found": found, "inherited": [fd for fd in %s if os.path.exists("/proc/self/fd/%%d" %% fd)]}
"""


def test_no_descriptor_comes_in_by_chance(tmp_path: Path, outside: Path) -> None:
    with contextlib.ExitStack() as stack:
        # As the lock of a folder is while another thread has git write to it (scratch.Scratch.lent).
        opened = os.open(outside, os.O_RDONLY)
        stack.callback(os.close, opened)
        # Numbers that nothing in the sandbox opens by itself; they can be inherited.
        fds = [fcntl.fcntl(opened, fcntl.F_DUPFD, 200) for _ in range(4)]
        for fd in fds:
            stack.callback(os.close, fd)
        made = lab(tmp_path, GOOD, CLIMBS % (str(outside)[1:], fds))
        result = made.one(minion("m1"))
    assert result.plain_pillar == {"found": [], "inherited": []}


def test_whether_forks_are_apart_is_what_a_process_in_there_finds() -> None:
    found = sandbox.find()
    code = "import saltbranch.compiler.inside.drop_rights as tried; sys.exit(4 - tried.are_forks_apart())"
    argv = sandbox._argv(found, code, [], sandbox.new_identity(), None)
    done = subprocess.run(argv, env=sandbox._ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode in (3, 4), done.stderr
    assert found.are_forks_apart == (done.returncode == 3)


def everything(result: Compiled) -> str:
    return json.dumps([result.low, result.plain_pillar, result.errors, result.notes])


COMMANDS = [
    "{{ salt['cmd.run']('id > OUT/x; cat OUT/secret') }}",
    "{{ salt.cmd.run('cat OUT/secret') }}",
    "{{ salt['cmd.shell']('cat OUT/secret') }}",
    "{{ salt['cmd.run_all']('touch OUT/x')['stdout'] }}",
    "{{ salt['cmd.script']('OUT/x') }}",
    "{{ salt['cmd.exec_code']('python3', 'open(\"OUT/x\", \"w\")') }}",
    "{% set f = salt['file.read'] %}{{ f('OUT/secret') }}",
    "{{ salt['file.write']('OUT/x', 'x') }}",
    "{{ salt['file.touch']('OUT/x') }}",
    "{{ salt['saltutil.runner']('cmd.run', arg=['touch OUT/x']) }}",
    "{{ salt['state.single']('file.touch', name='OUT/x') }}",
    "{{ salt['module.run'](name='cmd.run') if 'module.run' in salt else '' }}",
    "{{ salt['slsutil.renderer']('OUT/secret', 'yaml') }}",
    "{{ salt['slsutil.renderer'](string='{{ salt[\"cmd.run\"](\"cat OUT/secret\") }}', default_renderer='jinja') }}",
    "{{ salt['slsutil.renderer'](string='#!py\\ndef run():\\n    return open(\"OUT/secret\").read()') }}",
    "{{ salt['cp.get_file_str']('file://OUT/secret') }}",
    "{{ salt['cp.get_url']('file://OUT/secret', dest=None) }}",
    "{{ salt['cp.push']('OUT/secret') }}",
    "{% import_text 'OUT/secret' as s %}{{ s }}",
    "{% include 'OUT/secret' ignore missing %}",
    "{{ salt['http.query']('http://127.0.0.1:PORT/') }}",
]


@pytest.fixture(scope="module")
def tried(outside: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Compiled]:
    """Each command in states and in pillar, by a minion of its own: `states 0`, `pillar 0` and so on."""
    before = sorted(p.name for p in outside.iterdir())
    files: dict[str, Content] = {"salt/good.sls": GOOD}
    tops: dict[str, dict[str, list[str]]] = {"salt": {}, "pillar": {}}
    for number, command in enumerate(COMMANDS):
        text = command.replace("OUT", str(outside)).replace("PORT", "9")
        other = f"other:\n  test.nop:\n    - value: |\n        {text}\n"
        files[f"salt/c{number}.sls"] = f"{GOOD}{other}"
        files[f"pillar/c{number}.sls"] = f"value: |\n  {text}\n"
        tops["salt"] |= {f"states-{number}": [f"c{number}"], f"pillar-{number}": ["good"]}
        tops["pillar"] |= {f"pillar-{number}": [f"c{number}"]}
    for folder, top in tops.items():
        files[f"{folder}/top.sls"] = json.dumps({"base": top})
    who = [minion(name) for name in tops["salt"]]
    assert not warm_salt.is_used
    results = Lab(tmp_path_factory.mktemp("tried"), files).compile(who)
    assert sorted(p.name for p in outside.iterdir()) == before
    return results


@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=COMMANDS.__getitem__)
@pytest.mark.parametrize("where", ["states", "pillar"])
def test_no_function_reaches_the_host(tried: dict[str, Compiled], number: int, where: str) -> None:
    result = tried[f"{where}-{number}"]
    assert result.low or result.errors
    assert SECRET not in everything(result)


PROGRAMS = {
    "writes": "open('OUT/x', 'w').write('x')",
    "reads": "return {'s': {'test.nop': [{'value': open('OUT/secret').read()}]}}",
    "shadow": "return {'s': {'test.nop': [{'value': open('/etc/shadow').read()}]}}",
    "runs": "import subprocess; subprocess.run(['touch', 'OUT/x'])",
    "connects": "import socket; socket.create_connection(('127.0.0.1', PORT), 2)",
    "kills": "import os; os.kill(PID, 9)",
    "escapes": "import os; os.chroot('/proc/1/root'); open('OUT/x', 'w')",
    "becomes root": "import os; os.setuid(0); open('OUT/x', 'w')",
}


@pytest.fixture(scope="module")
def programs(outside: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Compiled]:
    """Each program by a minion of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        top: dict[str, list[str]] = {}
        files: dict[str, Content] = {"pillar/top.sls": "base: {}\n"}
        for name, program in PROGRAMS.items():
            body = program.replace("OUT", str(outside)).replace("PORT", str(port))
            body = body.replace("PID", str(os.getpid()))
            sls = name.replace(" ", "-")
            states = f"#!py\ndef run():\n    {body}\n    return {{'done': {{'test.nop': []}}}}\n"
            files[f"salt/{sls}.sls"], top[sls] = states, [sls]
        files["salt/top.sls"] = json.dumps({"base": top})
        results = Lab(tmp_path_factory.mktemp("programs"), files).compile([*map(minion, top)])
        server.settimeout(0.2)
        if sandbox.find().kind == "bubblewrap":
            with pytest.raises(TimeoutError):
                server.accept()
    assert [p.name for p in outside.iterdir()] == ["secret"]
    return results


@pytest.mark.parametrize("name", PROGRAMS)
def test_python_in_an_sls_stays_inside_and_what_it_tried_is_said(
    programs: dict[str, Compiled], name: str
) -> None:
    result = programs[name.replace(" ", "-")]
    assert SECRET not in everything(result) and "root:" not in everything(result)
    assert result.result != "ok" or name == "runs"
    if name not in ("escapes", "becomes root"):
        assert "code of the branch tried to" in " ".join(result.notes)


LIMITS = {
    "for ever": "#!py\nimport time\ndef run():\n    while True: time.sleep(1)\n",
    "busy": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "memory": "#!py\ndef run():\n    return {'x': 'x' * (8 << 30)}\n",
    "jinja memory": "{% set x = 'x' * 9000000000 %}",
    "forks": "#!py\nimport os, time\ndef run():\n    while True:\n        try: os.fork()\n"
    "        except OSError: time.sleep(0.1)\n",
    "answers much": "#!py\ndef run():\n    return {'x': {'test.nop': [{'v': 'y' * (80 << 20)}]}}\n",
    "kills its parent": "#!py\nimport os, signal\ndef run():\n    os.kill(os.getppid(), 9)\n    return {}\n",
    "leaves a pipe": "#!py\nimport os\ndef run():\n    for kind in ('code', 'yaml'):\n"
    "        os.mkfifo(__opts__['cachedir'] + '/code/' + kind + '-' + 'a' * 64)\n    os._exit(0)\n",
    "dies": "#!py\nimport os\ndef run():\n    os._exit(0)\n",
    "kills all": "#!py\nimport os\ndef run():\n    os.kill(-1, 9)\n    return {}\n",
}


@pytest.mark.parametrize(
    ("name", "jobs"),
    budget.cases(
        [(name, jobs) for name in LIMITS for jobs in (1, 3)],
        lambda case: case[1] == 3 or case[0] in ("busy", "forks", "kills its parent", "kills all"),
    ),
)
def test_limits_end_a_compile_and_the_other_minions_are_compiled(
    tmp_path: Path, name: str, jobs: int
) -> None:
    files: dict[str, Content] = {
        "salt/top.sls": "base:\n  'bad':\n    - bad\n  'm*':\n    - all\n",
        "salt/all.sls": GOOD,
        "salt/bad.sls": LIMITS[name],
        "pillar/top.sls": "base: {}\n",
    }
    place = Lab(tmp_path, files)
    place.frame = type(place.frame)(
        **{
            **{f: getattr(place.frame, f) for f in place.frame.__slots__},
            "seconds": 4,
            "memory": 600,
        }
    )
    begin = time.monotonic()
    results = place.compile([minion("m1"), minion("bad"), minion("m2")], jobs=jobs)
    assert time.monotonic() - begin < 60
    assert [*results] == ["m1", "bad", "m2"]
    if name.startswith("kills"):  # the worker cannot be killed, and who was is tried again
        tried = "code of the branch tried to signal a process"
        assert results["bad"].result == "failed" or tried in results["bad"].notes
    else:
        assert results["bad"].result == "failed" and results["bad"].error
    assert results["m1"].result == results["m2"].result == "ok"
    leftover = subprocess.run(["pgrep", "-f", str(place.folder)], capture_output=True, check=False)
    assert leftover.stdout == b""


def test_a_branch_that_never_ends_for_anybody_does_not_hold_the_run_for_long(
    tmp_path: Path,
) -> None:
    place = lab(tmp_path, LIMITS["for ever"])
    place.frame = replace(place.frame, seconds=2)
    begin = time.monotonic()
    results = place.compile([minion(f"m{n:02}") for n in range(40)], jobs=2)
    assert time.monotonic() - begin < 40
    assert {result.result for result in results.values()} == {"failed"}
    assert results["m00"].error == "compiling was stopped: no end after 2 s"
    assert results["m39"].error == "not tried: 5 minions before it did not end in 2 s"


def test_results_are_those_of_their_minions_whichever_ends_first(tmp_path: Path) -> None:
    slow = (
        "#!py\nimport time\ndef run():\n    time.sleep(0.6 if 'slow' in __grains__['id'] else 0)\n"
    )
    slow += "    return {__grains__['id']: {'test.nop': []}}\n"
    names = ["slow1", "m1", "m2", "slow2", "m3", "m4", "m5"]
    results = lab(tmp_path, slow).compile([minion(name) for name in names], jobs=3)
    assert [*results] == names
    assert {n: r.chunks[0].key for n, r in results.items()} == {n: f"{n} | test.nop" for n in names}


def test_links_lead_nowhere(tmp_path: Path, outside: Path) -> None:
    files: dict[str, Content] = {
        "salt/top.sls": TOP,
        "salt/all.sls": "{% import_text 'link.txt' as s %}\n{% import_text 'shadow' as t %}\n"
        "x:\n  test.nop:\n    - value: {{ s | json }}{{ t | json }}\n",
        "salt/link.txt": Link(f"{outside}/secret"),
        "salt/shadow": Link("/etc/shadow"),
        "pillar/top.sls": TOP,
        "pillar/all.sls": Link(f"{outside}/secret"),
    }
    result = Lab(tmp_path, files).one(minion("m1"))
    assert result.result == "failed" or result.result == "partial"
    assert SECRET not in everything(result) and "root:" not in everything(result)


def test_custom_modules_and_renderers_stay_inside(tmp_path: Path, outside: Path) -> None:
    code = (
        "import os\ntry:\n    open('OUT/x', 'w').write('x')\nexcept OSError:\n    pass\n"
        "def __virtual__():\n    return True\ndef f():\n    return open('OUT/secret').read()\n"
        "def render(data, saltenv='base', sls='', **kwargs):\n    return {'x': f()}\n"
    ).replace("OUT", str(outside))
    files: dict[str, Content] = {
        "salt/top.sls": TOP,
        "salt/all.sls": "x:\n  test.nop:\n    - value: {{ salt['mine_own.f']() }}\n",
        "salt/_modules/mine_own.py": code,
        "salt/_renderers/jinja.py": code,
        "pillar/top.sls": TOP,
        "pillar/all.sls": "",
    }
    result = Lab(tmp_path, files).one(minion("m1"))
    assert result.result == "failed"
    assert SECRET not in everything(result)
    assert [p.name for p in outside.iterdir()] == ["secret"]


@pytest.mark.usefixtures("warm")
def test_returns_answer_and_what_is_not_recorded_is_said(tmp_path: Path) -> None:
    states = (
        "x:\n  test.nop:\n    - a: {{ salt['network.ip_addrs']('eth0') | json }}\n"
        "    - b: {{ salt.cmd.run('hostname -f') }}\n    - c: {{ salt['cmd.run']('other') | json }}\n"
        "    - d: {{ salt['mine.get']('*', 'x') | json }}\n"
    )
    returns = {'network.ip_addrs("eth0")': ["10.0.0.1"], 'cmd.run("hostname -f")': "m1.example.com"}
    who = Minion("m1", "test", minion("m1").grains, returns=returns)
    result = lab(tmp_path, states).one(who)
    assert result.result == "ok", result.error
    chunk = result.low[0]
    assert (chunk["a"], chunk["b"], chunk["c"], chunk["d"]) == (
        ["10.0.0.1"],
        "m1.example.com",
        "",
        {},
    )
    assert "mine.get" in " ".join(result.notes) and "ip_addrs" not in " ".join(result.notes)


@pytest.mark.usefixtures("warm")
def test_hard_coded_paths_read_the_compiled_tree(tmp_path: Path) -> None:
    if sandbox.find().kind != "bubblewrap":
        pytest.skip("only bubblewrap can map paths")
    states = (
        "{% set data = salt['slsutil.renderer']('/srv/pillar/extra.yaml') %}\n"
        "x:\n  test.nop:\n    - value: {{ data.value }}\n"
    )
    place = lab(tmp_path, states, **{"pillar__extra.yaml": "value: from-the-tree\n"})
    result = place.one(minion("m1"))
    assert result.low[0]["value"] == "from-the-tree"
    assert "pillar/extra.yaml" in result.reads.files


CLEAR = {
    "an empty top": ({"salt/top.sls": "base: {}\n"}, "names no states", "ok"),
    "no top": ({"salt/top.sls": None}, "names no states", "ok"),
    "a top that fails": ({"salt/top.sls": "base: {{ nothing.at.all }}\n"}, "top file does not render",
                         "failed"),
    "no match": ({"salt/top.sls": "base:\n  other:\n    - all\n"}, "no target in the top file", "ok"),
    "a missing pillar sls": ({"pillar/top.sls": "base:\n  '*':\n    - gone\n"}, "'gone'", "partial"),
    "a missing sls": ({"salt/top.sls": "base:\n  '*':\n    - all\n    - gone\n"}, "'gone'", "partial"),
    "an unknown renderer": ({"salt/all.sls": "#!nosuch\nx: y\n"}, "nosuch", "failed"),
    "broken YAML": ({"salt/all.sls": "a:\n b\n  c: [\n"}, "all", "failed"),
}  # fmt: skip


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("name", CLEAR)
def test_every_kind_of_nothing_is_its_own_word(tmp_path: Path, name: str) -> None:
    files, word, wanted = CLEAR[name]
    place = lab(tmp_path, GOOD)
    place.commit(files)
    result = place.one(minion("m1"))
    assert result.result == wanted, everything(result)
    assert word in " ".join([*result.errors, *result.notes])


@pytest.mark.usefixtures("warm")
def test_an_error_names_no_place_of_this_machine(tmp_path: Path) -> None:
    states = "#!py\ndef run():\n    raise ValueError('no such thing')\n"
    [error] = lab(tmp_path, states).one(minion("m1")).errors
    assert error == "Rendering SLS 'test:all' failed: ValueError: no such thing"
