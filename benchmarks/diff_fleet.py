"""How long `saltbranch diff` takes for a large fleet, beside ``salt-call``, which it must agree with.

    PYTHONPATH=. ./dev run python benchmarks/diff_fleet.py [--minions 1000] [--compare 50]

The sample repository is grown to about 100 sls files and 20 roles; every minion has as many grains as a
server has. CPU time is that of all children and of the sandbox. ``salt-call`` is run in the same run, for
a random sample of the same minions, before and after ours, so that both see the same machine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.model import Compiled, Minion
from saltbranch.compiler.pool import Spent, compile_fleet
from tests.support.compiling import Lab, minion, sample_files
from tests.support.remote import Content

ROLES = 20
EACH = 4


def grown() -> dict[str, Content]:
    """The sample with a role of its own for every 20th minion, four sls files in each."""
    files = sample_files()
    top, pillar_top = (files[f"{f}/top.sls"] for f in ("salt", "pillar"))
    assert isinstance(top, bytes) and isinstance(pillar_top, bytes)
    for r in range(ROLES):
        name = f"r{r:02}"
        target = f"\n  'roles:{name}':\n    - match: grain\n    - grown.{name}\n"
        top, pillar_top = top + target.encode(), pillar_top + target.encode()
        files[f"pillar/grown/{name}.sls"] = _pillar(name).encode()
        files[f"salt/grown/{name}/map.jinja"] = _map(name).encode()
        inner = [f"part{p}" for p in range(EACH)]
        include = "include:\n" + "".join(f"  - grown.{name}.{p}\n" for p in inner)
        files[f"salt/grown/{name}/init.sls"] = include.encode()
        for p in inner:
            files[f"salt/grown/{name}/{p}.sls"] = _states(name, p).encode()
            files[f"salt/grown/{name}/files/{p}.conf"] = (
                f"{name} {p} {{{{ grains.id }}}}\n".encode()
            )
    return {**files, "salt/top.sls": top, "pillar/top.sls": pillar_top}


def _pillar(name: str) -> str:
    return "{% from 'saltenvs.jinja' import here with context %}\n" + yaml.safe_dump(
        {name: {"users": [f"{name}u{n}" for n in range(4)], "port": 8000, "token": f"t-{name}"}}
    )


def _map(name: str) -> str:
    return (
        f"{{%- set settings = salt['grains.filter_by']({{'Debian': {{'dir': '/etc/{name}'}},"
        f" 'RedHat': {{'dir': '/etc/sysconfig/{name}'}}}}, default='Debian',"
        f" merge=salt['pillar.get']('{name}:lookup', {{}})) -%}}\n"
    )


def _states(name: str, part: str) -> str:
    return (
        f"{{% from 'grown/{name}/map.jinja' import settings with context %}}\n"
        f"{{% set own = pillar['{name}'] %}}\n"
        f"{name}-{part}-package:\n  pkg.installed:\n    - name: {name}-{part}\n\n"
        f"{{% for user in own.users %}}\n{name}-{part}-{{{{ user }}}}:\n  file.managed:\n"
        f"    - name: {{{{ settings.dir }}}}/{part}/{{{{ user }}}}.conf\n"
        f"    - source: salt://grown/{name}/files/{part}.conf\n    - template: jinja\n"
        f"    - context: {{{{ {{'port': own.port}} | json }}}}\n"
        f"    - require:\n      - pkg: {name}-{part}-package\n"
        f"    - watch_in:\n      - service: {name}-{part}-service\n{{% endfor %}}\n\n"
        f"{name}-{part}-service:\n  service.running:\n    - name: {name}-{part}\n    - enable: True\n"
    )


def full_grains(number: int) -> dict[str, Any]:
    """What a server tells of itself beside what the sample looks at: about 4 KiB as YAML."""
    address = f"10.{number // 250}.{number % 250}.7"
    cards = [f"eth{n}" for n in range(4)]
    words = ("biosversion", "cpu_model", "cpuarch", "kernelrelease", "kernelversion", "osarch", "path",
             "lsb_distrib_codename", "oscodename", "osfullname", "osrelease", "productname", "ps", "shell",
             "saltpath", "saltversion", "serialnumber", "username", "virtual", "zmqversion")  # fmt: skip
    return {
        **{word: f"{word} of some length" for word in words},
        "cpu_flags": [f"flag_{n}" for n in range(110)],
        "disks": [f"nvme{n}n1" for n in range(6)],
        "dns": {"nameservers": ["10.0.0.2", "10.0.0.3"], "search": ["example.com"], "options": []},
        "domain": "example.com",
        "fqdn": f"m{number:04}.example.com",
        "host": f"m{number:04}",
        "hwaddr_interfaces": {card: f"02:00:00:00:00:{number % 99:02}" for card in cards},
        "ip4_interfaces": {card: [address] for card in cards},
        "ip_interfaces": {card: [address, f"fe80::{number:x}"] for card in cards},
        "ipv4": ["127.0.0.1", address],
        "machine_id": f"{number:032x}",
        "mem_total": 64000,
        "num_cpus": 16,
        "pythonversion": [3, 10, 13, "final", 0],
        "server_id": number,
        "systemd": {"features": "+PAM +AUDIT " * 12, "version": "252"},
        "uuid": f"{number:032x}",
    }


def children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime + own.ru_utime + own.ru_stime


class Stopwatch:
    def __init__(self) -> None:
        self.wall, self.cpu = time.monotonic(), children_cpu()

    def read(self) -> tuple[float, float]:
        return time.monotonic() - self.wall, children_cpu() - self.cpu


def write_site(folder: Path, lab: Lab, grains: dict[str, object]) -> Path:
    clone = folder / "clone"
    subprocess.run(["git", "clone", "-q", lab.remote.path, clone], check=True)
    (clone / "fleet").mkdir()
    for name, own in grains.items():
        (clone / "fleet" / f"{name}.yaml").write_text(yaml.safe_dump({"grains": own}))
    config = {
        "remote": str(lab.remote.path),
        "root": str(folder / "no-root"),
        "salt_config": str(folder / "no-master"),
        "fleet": "fleet",
        "saltenvs": {"test": {"branch": "master", "minions": ["*"]}},
    }
    (folder / "own.yaml").write_text(yaml.safe_dump({"remote": "origin", **config}))
    return clone


def run_diff(
    clone: Path, one: str, other: str, folder: Path
) -> tuple[float, float, dict[str, Any]]:
    program = "from saltbranch.entry import main; main()"
    watch = Stopwatch()
    argv = [sys.executable, "-c", program, "diff", one, other, "--json"]
    env = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(Path.cwd())}
    env["SALTBRANCH_CONFIG"] = str(folder / "own.yaml")
    done = subprocess.run(argv, cwd=clone, capture_output=True, env=env, check=False)
    if not done.stdout:
        raise SystemExit(done.stderr.decode())
    wall, cpu = watch.read()
    result = json.loads(done.stdout)
    return wall, cpu, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minions", type=int, default=1000)
    parser.add_argument("--compare", type=int, default=50)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        measure(folder, options.minions, options.compare)
    finally:
        shutil.rmtree(folder)


def measure(folder: Path, number: int, compare: int) -> None:
    lab = Lab(folder, grown())
    first = lab.remote.head("master")
    fleet = [
        minion(f"m{n:04}", ["web" if n % 2 else "db", f"r{n % ROLES:02}"], grains=full_grains(n))
        for n in range(number)
    ]
    clone = write_site(folder, lab, {m.id: dict(m.grains) for m in fleet})
    lab.commit({"README": b"no minion reads it\n"})
    second = lab.remote.head("master")
    lab.commit({"salt/for/nobody.sls": b"nobody:\n  test.nop\n"})
    unread = lab.remote.head("master")
    lab.commit(
        {"salt/grown/r07/part1.sls": _states("r07", "part1").encode() + b"\nnew:\n  test.nop\n"}
    )
    third = lab.remote.head("master")
    subprocess.run(["git", "fetch", "-q"], cwd=clone, check=True)
    sls = sum(path.endswith(".sls") for path in lab.tree().entries)
    print(f"{number} minions, {ROLES} roles, {sls} sls files")
    wall, cpu, result = run_diff(clone, first, second, folder)
    each = cpu / number
    print(
        f"cold, one side: {wall:.1f} s wall, {cpu:.1f} s CPU, {1000 * cpu / number:.0f} ms CPU a"
        f" minion, at most {result['spent']['memory']:.0f} MiB a process"
    )
    wall, cpu, result = run_diff(clone, first, second, folder)
    print(f"warm, the same: {wall:.2f} s wall, {cpu:.2f} s CPU")
    wall, cpu, result = run_diff(clone, first, unread, folder)
    print(f"warm, nothing that a minion reads changed: {wall:.2f} s wall, {cpu:.2f} s CPU")
    wall, cpu, result = run_diff(clone, first, third, folder)
    groups = result["groups"]
    print(
        f"warm, one role changed: {wall:.2f} s wall, {cpu:.2f} s CPU,"
        f" {sum(len(g['minions']) for g in groups)} minions differ"
    )
    if compare:
        against_salt_call(lab, fleet, compare, each)


def against_salt_call(lab: Lab, fleet: list[Minion], compare: int, each: float) -> None:
    """salt-call before and after ours, so that both see the same machine; its folders are made beforehand.

    each: CPU seconds that a minion took in the cold run of the whole fleet.
    """
    chosen = random.Random(1).sample(fleet, min(compare, len(fleet)))
    for who in chosen:
        lab.config_folder(who)
    lab.called(chosen[0], "test.ping")  # what it keeps between calls
    theirs: dict[str, Any] = {}
    cpu = [0.0, 0.0]

    def salt_call(some: list[Minion]) -> None:
        watch = Stopwatch()
        for who in some:
            theirs[who.id] = lab.called(who, "state.show_lowstate")
        cpu[0] += watch.read()[1]

    salt_call(chosen[::2])
    watch, spent = Stopwatch(), Spent()
    ours = compile_fleet(
        lab.frame, lab.tree(), chosen, jobs=2, cache=CompileCache(None), plain=True, spent=spent
    )
    wall, cpu[1] = watch.read()  # the sandbox's processes are children of ours
    salt_call(chosen[1::2])
    chunks = sum(len(r.low) for r in ours.values()) / len(chosen)
    one, other = (seconds / len(chosen) for seconds in cpu)
    print(
        f"{len(chosen)} minions, {chunks:.0f} chunks each: {wall:.1f} s wall, {1000 * other:.0f} ms CPU a minion,"
        f" of which loading Salt once is {1000 * start_of(spent, ours) / len(chosen):.0f}"
    )
    print(
        f"salt-call: {1000 * one:.0f} ms CPU a minion, {one / other:.1f} times as much;"
        f" {one / each:.1f} times what a minion took in the cold run of the fleet"
    )
    same = sum(ours[who.id].low == theirs[who.id] for who in chosen)
    print(f"{same} of {len(chosen)} are equal chunk by chunk, arguments and order included")


def start_of(spent: Spent, results: dict[str, Compiled]) -> float:
    """CPU seconds of the workers that no minion's fork took."""
    return spent.cpu - sum(result.cpu for result in results.values())


if __name__ == "__main__":
    main()
