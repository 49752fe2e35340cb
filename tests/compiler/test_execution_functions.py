"""Execution functions in templates: Salt's answer where it can be had, a neutral one that is said elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from saltbranch.compiler import functions, sandbox
from saltbranch.compiler.model import Compiled, Minion
from saltbranch.config.minions import Matcher
from tests.support.compiling import Lab, minion
from tests.support.remote import Content

TOP = b"base:\n  '*':\n    - all\n"
WHO = minion("m1", grains={"osarch": "amd64", "ipv4": ["10.1.2.3"]})


def lab(tmp_path: Path, states: str, pillar: str = "a: 1\n", **more: str) -> Lab:
    files: dict[str, Content] = {
        "salt/top.sls": TOP,
        "pillar/top.sls": TOP,
        "salt/all.sls": states.encode(),
        "pillar/all.sls": pillar.encode(),
    }
    return Lab(tmp_path, {**files, **{k.replace("__", "/"): v.encode() for k, v in more.items()}})


def values(result: Compiled) -> dict[str, object]:
    """The arguments of the one state."""
    assert result.result == "ok", result.errors
    return {k: v for k, v in result.low[0].items() if k.startswith("v")}


def _state(expressions: list[str]) -> str:
    lines = "".join(
        f"    - v{n}: {{{{ ({text}) | json }}}}\n" for n, text in enumerate(expressions)
    )
    return f"x:\n  test.nop:\n{lines}"


# What computes and what reads the tree

CALLS = [
    "salt['network.is_private']('10.1.1.1')", "salt['network.is_loopback']('127.0.0.1')",
    "salt['network.calc_net']('172.17.0.5', '255.255.255.240')", "salt['network.reverse_ip']('192.0.2.1')",
    "salt['network.ip_in_subnet']('10.1.2.3', '10.1.0.0/16')", "salt['network.convert_cidr']('10.0.0.0/8')",
    "salt['network.iphexval']('10.0.0.1')", "salt['dnsutil.check_ip']('10.0.0.300')",
    "salt['pkg.version_cmp']('1.2~rc1', '1.2')", "salt['pkg.version_cmp']('', '246')",
    "salt['pkg.version_cmp']('2:1', '1', ignore_epoch=True)", "salt['pkg.version_cmp']('a b', '1')",
    "[1, 2, 3] | random_shuffle(seed='x')", "[1, 2, 3] | random_sample(2, seed='x')",
    "salt['grains.fetch']('os')", "salt['grains.fetch']('nope', 'd')", "salt['salt_version.less_than']('Sodium')",
    "salt['salt_version.get_release_number']('Sodium')", "salt['pkg.normalize_name']('zsh:amd64')",
    "salt['pkg.parse_arch']('zsh:amd64')",
    "salt['hashutil.digest']('x')", "salt['hashutil.base64_b64encode']('x')",
    "salt['hashutil.hmac_signature']('a', 'key', 'YRwYxS0jiMN1Dl7QmXO4tZIqPNUDRM6HpRhXT6sIs+E=')",
    "salt['slsutil.merge']({'a': {'b': 1}}, {'a': {'c': 2}})", "salt['slsutil.boolstr']('yes')",
    "salt['slsutil.serialize']('json', {'a': 1})", "salt['slsutil.deserialize']('yaml', 'a: [1]')",
    "salt['slsutil.renderer']('salt://data.yaml', saltenv=saltenv)", "salt['slsutil.renderer'](string='a: 1')",
    "salt['slsutil.file_exists']('data.yaml', saltenv)", "salt['slsutil.dir_exists']('deep', saltenv)",
    "salt['slsutil.path_exists']('gone', saltenv)",
    "salt['slsutil.findup']('deep/er', ['data.yaml'], saltenv)",
    "salt['cp.get_file_str']('salt://data.yaml')", "salt['cp.hash_file']('salt://data.yaml')",
    "salt['cp.list_master'](saltenv, 'deep')", "salt['cp.list_master_dirs'](saltenv)",
    "salt['cp.list_states'](saltenv)",
    "salt['file.basename']('/a/b.c')", "salt['file.dirname']('/a/b.c')", "salt['file.join']('/a', 'b')",
    "salt['file.normpath']('/a/../b')", "salt['match.compound']('m* and G@os:Debian')",
    "salt['match.ipcidr']('10.1.0.0/16')", "salt['match.filter_by']({'m1': 2})", "salt['match.pcre']('m.')",
    "salt['random.rand_int'](1, 1000, seed='x')", "salt['random.shuffle']([1, 2, 3, 4, 5], seed='x')",
    "salt['random.sample']([1, 2, 3, 4], 2, seed='x')", "salt['random.seed'](100)", "salt['random.hash']('x')",
    "salt['random.shadow_hash']('abcdefgh', 'secret')", "salt['config.get']('os')", "salt['config.get']('none', 'd')",
    "salt['config.get']('a')", "salt['pillar.file_exists']('all.sls')", "salt['pillar.file_exists']('none.sls')",
    "salt['pillar.keys']('m')", "salt['defaults.merge']({'a': 1}, {'b': 2})", "salt['grains.filter_by']({'Debian': 3})",
    "salt['own.double'](4)", "salt['log.debug']('x')", "salt['out.string_format']({'a': 1}, out='txt')",
    "salt['environ.get']('SB_NOT_SET', '/opt')", "salt['environ.get']('SB_NOT_SET', default='/opt')",
    "salt['data.get']('sb_not_set', '/opt')", "salt['data.get']('sb_not_set')",
]  # fmt: skip
FILES = {
    "salt__data.yaml": "a: 1\n",
    "salt__deep__er__x.sls": "{}\n",
    "salt___modules__own.py": "def double(x):\n    return 2 * x\n",
}


def test_what_can_be_computed_is_what_salt_computes(tmp_path: Path) -> None:
    place = lab(tmp_path, _state(CALLS), "a: 1\nm: {k: 1}\n", **FILES)
    ours = place.one(WHO)
    salts = place.salts_own([WHO])["m1"]["low"][0]
    for name, value in values(ours).items():
        assert value == salts[name], CALLS[int(name[1:])]
    assert not ours.notes or "environ.get" in " ".join(ours.notes)
    assert not [note for note in ours.notes if "tried to" in note], ours.notes


READING = [
    ("salt['pillar.file_exists']('new.sls')", "pillar/new.sls", "x: 1\n", False, True),
    ("salt['cp.get_file_str']('salt://data.yaml')", "salt/data.yaml", "a: 2\n", "a: 1\n", "a: 2\n"),
    ("salt['slsutil.file_exists']('new', saltenv)", "salt/new", "", False, True),
    ("salt['cp.list_master'](saltenv, 'deep')", "salt/deep/y", "", ["deep/er/x.sls"],
     ["deep/er/x.sls", "deep/y"]),
    ("salt['slsutil.renderer']('salt://data.yaml', saltenv=saltenv)", "salt/data.yaml", "a: 3\n", {"a": 1}, {"a": 3}),
]  # fmt: skip


@pytest.mark.parametrize("call", READING, ids=lambda c: c[0])
def test_what_is_read_from_the_tree_is_in_the_trace(
    tmp_path: Path, call: tuple[str, str, str, object, object]
) -> None:
    """Else a cached result would outlive the file."""
    from saltbranch.compiler.cache import CompileCache

    text, path, content, before, after = call
    states = f"{{% set v = {text} %}}\n{{{{ ('is ' ~ v | tojson) | json }}}}:\n  test.nop: []\n"
    place = lab(tmp_path, states, **FILES)
    cache = CompileCache(str(tmp_path / "cache"))
    for wanted in (before, after):
        for is_cached in (False, True):
            result = place.one(WHO, cache=cache, plain=False)
            assert result.cached is is_cached
            assert json.loads(result.chunks[0].key.partition(" | ")[0][3:]) == wanted
        place.commit({path: content.encode()})


def test_a_pillar_file_that_the_top_asks_for_shows(tmp_path: Path) -> None:
    top = (
        "base:\n  '*':\n    - all\n{% if salt['pillar.file_exists']('host/' ~ grains['id'] ~ '.sls') %}\n"
        "    - host.{{ grains['id'] }}\n{% endif %}\n"
    )
    place = lab(tmp_path, "{}\n", pillar__top=top)
    place.commit({"pillar/top.sls": top.encode()})
    without = place.one(WHO)
    assert "own" not in without.plain_pillar
    # Salt looks into the folder of the generated top files, too: that is no question to the minion.
    assert not [note for note in without.notes if "file_exists" in note] and not without.unsure
    place.commit({"pillar/host/m1.sls": b"own: 2\n"})
    assert place.one(WHO).plain_pillar["own"] == 2


def test_a_way_out_of_a_root_is_a_question_to_the_minion(tmp_path: Path) -> None:
    path = f"(opts.file_roots.values() | first)[0] ~ '{'/..' * 20}/etc/passwd'"
    states = f"{{{{ salt['file.file_exists']({path}) }}}}:\n  test.nop: []\n"
    notes = lab(tmp_path, states).one(WHO).notes
    assert [n for n in notes if "file.file_exists" in n and "answered neutrally" in n], notes


# What asks the host

HOSTS = [
    ("salt['random.shuffle']([1, 2])", "random.shuffle", []),
    ("salt['cp.get_file_str']('/etc/hostname')", "cp.get_file_str", ""),
    ("salt['hashutil.base64_encodefile']('/etc/hostname')", "hashutil.base64_encodefile", ""),
    ("salt['file.file_exists']('/etc/passwd')", "file.file_exists", False),
    ("salt['file.read']('/etc/passwd')", "file.read", ""),
    ("salt['mount.active']()", "mount.active", {}),
    ("salt['disk.usage']()", "disk.usage", {}),
    ("salt['status.loadavg']()['1-min']", "status.loadavg", 0.0),
    ("salt['network.get_hostname']()", "network.get_hostname", ""),
    ("salt['ps.num_cpus']()", "ps.num_cpus", 0),
    ("salt['http.query']('https://example.com', status=True).status", "http.query", 0),
    ("32 | random_str", "random_str", ""),
    ("99 | random_hash", "random_hash", ""),
    ("'AC:DE:48' | gen_mac", "gen_mac", ""),
    ("[1, 2, 3] | random_shuffle", "random_shuffle", []),
    ("'root' | get_uid", "get_uid", 0),
    ("salt['network.hwaddr']('eth0')", "network.hwaddr", ""),
    ("salt['user.info']('root')", "user.info", {}),
    ("salt['environ.get']('HOME')", "environ.get", ""),
    ("salt['cmd.run']('id')", "cmd.run", ""),
    ("salt['state.show_top']()", "state.show_top", {}),
]  # fmt: skip


def test_what_asks_the_host_is_answered_with_salts_type_and_said(tmp_path: Path) -> None:
    result = lab(tmp_path, _state([text for text, _, _ in HOSTS])).one(WHO)
    found = values(result)
    for number, (text, name, wanted) in enumerate(HOSTS):
        assert found[f"v{number}"] == wanted, text
        assert type(found[f"v{number}"]) is type(wanted), text
        assert f"{name}," in f"{result.notes[0]},", text
    assert 'cmd.run("id")' in result.asked and "mount.active()" in result.asked


def test_an_error_after_a_neutral_answer_says_what_would_settle_it(tmp_path: Path) -> None:
    states = "x:\n  test.nop:\n    - v: {{ salt['network.ip_addrs']('eth0')[0].x }}\n"
    result = lab(tmp_path, states).one(WHO)
    [error] = result.errors
    assert 'network.ip_addrs("eth0") answered neutrally' in error and error.endswith("; line 3")
    returns = {'network.ip_addrs("eth0")': [{"x": "10.0.0.1"}]}
    settled = lab(tmp_path / "b", states).one(Minion("m1", "test", WHO.grains, returns=returns))
    assert values(settled) == {"v": "10.0.0.1"} and not settled.asked


def test_a_call_with_a_value_of_the_pillar_is_told_without_it(tmp_path: Path) -> None:
    states = "x:\n  test.nop:\n    - v: {{ salt['cmd.run']('echo ' ~ pillar['key']) | json }}\n    - w: {{ nope.x }}\n"
    result = lab(tmp_path, states, "key: hunter2-secret\n").one(WHO, plain=False)
    assert result.asked == ("cmd.run",)
    assert "hunter2" not in repr((result.errors, result.notes))
    assert "cmd.run" in result.errors[0]


# What is not there

ABSENT = {
    "misspelt": "salt['network.ip_adrs']()",
    "another platform's": "salt['reg.read_value']('HKLM', 'x')",
    "nobody's": "salt['mytools.x']()",
    "the branch's module lacks it": "salt['own.triple'](1)",
    "the branch's module does not import": "salt['bad.double'](1)",
}
Both = Mapping[str, tuple[Compiled, Any]]


def both(folder: Path, states: Sequence[tuple[Minion, str]], **more: str) -> Both:
    """What we and Salt make of the sls file of each minion, which is named as the minion is."""
    minions = [who for who, _ in states]
    top = {who.id: [who.id] for who in minions}
    named: dict[str, Content] = {f"salt/{who.id}.sls": text for who, text in states}
    place = lab(folder, "{}\n", **more)
    place.commit({"salt/top.sls": json.dumps({"base": top}), **named})
    ours, salts = place.compile(minions), place.salts_own(minions)
    return {who.id: (ours[who.id], salts[who.id]["low"][0]) for who in minions}


@pytest.fixture(scope="module")
def absent(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """To say no, Salt loads all the modules that it has, which takes a second."""
    own = {
        "salt___modules__own.py": "def double(x):\n    return 2\n",
        "salt___modules__bad.py": "import nothing_of_this_name\n",
    }
    states = [
        (minion(f"m{n}", grains=WHO.grains), _state([text]))
        for n, text in enumerate(ABSENT.values())
    ]
    return both(tmp_path_factory.mktemp("absent"), states, **own)


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_not_there_does_not_answer(absent: Both, name: str) -> None:
    result, salts = absent[f"m{[*ABSENT].index(name)}"]
    assert not isinstance(salts, dict)
    wanted = ABSENT[name].split("'")[1]
    assert result.result == "failed" and wanted in result.errors[0], result.errors
    if "import" in name:
        assert "bad, a module of the branch, does not load: ModuleNotFoundError" in result.notes[0]


GUARDS = [
    "'reg.read_value' in salt", "'chocolatey.list' in salt", "'win_path.get_path' in salt", "salt.mytools is defined",
    "salt.reg is defined", "salt.get('macpackage.install') is not none", "'macpackage.install' in salt",
    "'network.ip_adrs' in salt", "'network.ip_addrs' in salt", "'pkg.version' in salt", "'service.status' in salt",
    "'own.double' in salt", "'own.triple' in salt", "salt.own is defined", "salt.get('cmd.run') is not none",
    "'alternatives.display' in salt", "'rabbitmq.list_users' in salt", "'zypper.x' in salt", "'sysctl.get' in salt",
    "salt['sys.list_modules']() | length > 50",
]  # fmt: skip


SYSTEMS = ("Debian", "RedHat", "Suse")


def guards_of(os: str) -> list[str]:
    guards = [g for g in GUARDS if os == "Debian" or "pkg" not in g]
    if not Path("/etc/alternatives").is_dir():
        guards.remove("'alternatives.display' in salt")
    return guards


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Both:
    states = []
    for os in SYSTEMS:
        grains = {"os": os, "os_family": os, "osmajorrelease": 12, "osarch": "amd64"}
        states.append((minion(os, grains=grains), _state(guards_of(os))))
    return both(tmp_path_factory.mktemp("guards"), states, **FILES)


@pytest.mark.parametrize("os", SYSTEMS)
def test_a_guard_says_what_salt_says_for_these_grains(guarded: Both, os: str) -> None:
    ours, salts = guarded[os]
    guards = guards_of(os)
    assert {g: values(ours)[f"v{n}"] for n, g in enumerate(guards)} == {
        g: salts[f"v{n}"] for n, g in enumerate(guards)
    }
    assert "rabbitmq.list_users in salt" in ours.notes[0]


def test_a_guard_for_a_program_is_settled_by_returns(tmp_path: Path) -> None:
    who = Minion("m1", "test", WHO.grains, returns={"rabbitmq.list_users": {"a": 1}})
    result = lab(tmp_path, _state(["'rabbitmq.list_users' in salt"])).one(who)
    assert values(result) == {"v0": True} and not result.notes


def test_what_modules_of_salts_ask_is_no_question_of_the_branch(tmp_path: Path) -> None:
    """State modules ask for execution modules, to see whether they fit."""
    loads = "salt['sys.list_state_functions']() | length > 50"
    assert not lab(tmp_path, _state([loads])).one(WHO).notes


def test_names_of_salts_functions_are_public(tmp_path: Path) -> None:
    """A template puts them together: no file has them as they are."""
    pillar = "word: rabbitmq\nother: gethostname\n"
    asks = [
        "salt[pillar.word ~ '.list_' ~ 'vhosts']()",
        "(pillar.word ~ '.list_' ~ 'queues') in salt",
    ]
    result = lab(tmp_path, _state([*asks, "salt['network.' ~ 'netstat']()"]), pillar).one(WHO)
    (note,) = result.notes
    for name in ("rabbitmq.list_vhosts", "rabbitmq.list_queues in salt", "network.netstat"):
        assert name in note
    assert "rabbitmq.list_vhosts()" in result.asked


def test_a_minion_of_another_platform_has_its_own_modules(tmp_path: Path) -> None:
    grains = {"kernel": "Windows", "os": "Windows", "os_family": "Windows"}
    guards = ["'reg.read_value' in salt", "'pkg.list_pkgs' in salt", "'mount.active' in salt"]
    calls = [*guards, "salt['file.basename']('C:/a/b')", "salt['reg.read_value']('HKLM', 'x')"]
    found = values(lab(tmp_path, _state(calls)).one(minion("m1", grains=grains)))
    assert [found[f"v{n}"] for n in range(4)] == [True, True, False, "b"]


def test_a_module_that_wants_a_library_answers_where_nothing_guards_it(tmp_path: Path) -> None:
    """It may well load on the minion."""
    result = lab(tmp_path, _state(["salt['mysql.version']()", "'mysql.version' in salt"])).one(WHO)
    assert values(result)["v1"] is False and "mysql.version" in result.notes[0]


def test_all_modules_can_be_loaded_at_once(tmp_path: Path) -> None:
    """Some make semaphores as they are imported, which are files in /dev/shm."""
    states = "{% for name in salt.wrapped %}{% endfor %}\n" + _state(["salt.mytools is defined"])
    result = lab(tmp_path, states).one(WHO)
    assert values(result) == {"v0": False}
    assert not [note for note in result.notes if "tried" in note]


def test_nothing_that_runs_reads_the_host(tmp_path: Path) -> None:
    """All that the table lets run, called with what is easiest at hand: nobody opens a file out of the tree."""
    if sandbox.find().kind != "bubblewrap":
        pytest.skip("without bubblewrap the host's files are in sight")
    names = [name for name, entry in functions.TABLE.items() if entry.runs]
    result = lab(tmp_path, _calling_all(names), **{**FILES, "salt___modules__own.py": EACH}).one(
        WHO
    )
    done, programs = result.low[0]["v0"]
    assert len(done) > 60
    assert set(programs) <= {
        "/sbin/ldconfig"
    }  # Python's, as it looks for a library that Salt imports
    assert [note for note in result.notes if "tried" in note] == []


EACH = """
import sys
def each(names):
    done, programs = set(), []
    def hear(event, args):
        if event in ("subprocess.Popen", "os.posix_spawn", "os.system", "socket.connect", "socket.getaddrinfo"):
            programs.append(str(args[0]))
    sys.addaudithook(hear)
    for name in names:
        for args in ((), ("/etc/hostname",), ("x", "/etc/hostname")):
            try:
                __salt__[name](*args)
                done.add(name)
            except Exception:
                pass
    return [sorted(done), programs]
"""


def _calling_all(names: list[str]) -> str:
    return f"{{% set names = {json.dumps(names)} %}}\n" + _state(["salt['own.each'](names)"])


# What is remembered before a minion's own compile


def test_a_saltenv_that_is_called_base_is_like_any_other(tmp_path: Path) -> None:
    """Salt looks into ``base`` whatever the saltenv is, so it was listed before there was a tree."""
    pillar_top = "base:\n  '*':\n    - all\n    - users.*\n    - ignore_missing: True\n"
    calls = ["salt['pillar.get']('users')", "salt['jinja.load_map']('map.jinja', 'settings')",
             "salt['jinja.import_yaml']('data.yaml')", "salt['slsutil.file_exists']('data.yaml')",
             "salt['slsutil.renderer']('salt://data.yaml')", "salt['cp.list_states']()"]  # fmt: skip
    place = lab(tmp_path, _state(calls), **FILES)
    place.frame = replace(place.frame, groups={"base": (Matcher("glob", "*"),)})
    who = Minion("m1", "base", WHO.grains)
    place.commit(
        {
            "pillar/top.sls": pillar_top.encode(),
            "pillar/users/a.sls": b"users: {a: 1}\n",
            "salt/map.jinja": b"{% set settings = {'os': grains['os']} %}\n",
        }
    )
    found = values(place.one(who))
    assert list(found.values()) == [
        {"a": 1}, {"os": "Debian"}, {"a": 1}, True, {"a": 1}, ["all", "deep.er.x", "top"],
    ]  # fmt: skip
