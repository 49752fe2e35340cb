"""What grows with the masters that record their syncs, and with the minions of one master.

    PYTHONPATH=. python benchmarks/masters_bench.py [--masters 1,10,100] [--switches 50] [--minions 50,5000]

Seconds of wall and CPU (user and system, children included) of whole processes, the median of the rounds; only ratios
within one run say something. `first`: nothing of the journal is kept in the clone; `again`: it is the same. `switch`: a
sync that switches one saltenv, without and with `record_syncs`: the difference is the price of a record, on a
`file://` remote. `poll`: what --wait-masters asks while it waits. `tops`: Salt's own Pillar.get_tops of one minion.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

JOURNAL = "refs/saltbranch/journal"
BEGIN = 1_700_000_000
SALTENVS = {"test": "develop", "stage": "stage", "prod": "master"}
ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_NAME": "Ann" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "ann@example.com" for who in ("AUTHOR", "COMMITTER")},
}


def git(*args: str, cwd: Path, stdin: bytes = b"") -> str:
    done = subprocess.run(
        ["git", *args], cwd=cwd, env=ENVIRONMENT, input=stdin, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode().strip()


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of `work`, its children's."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def show(what: str, found: list[tuple[float, float]]) -> None:
    wall, cpu = (statistics.median(column) for column in zip(*found, strict=True))
    print(f"{what:<40} {wall * 1000:9.0f} ms wall {cpu * 1000:9.0f} ms CPU", flush=True)


def run(*words: str, cwd: Path) -> None:
    argv = [sys.executable, "-m", "saltbranch", *words]
    done = subprocess.run(argv, cwd=cwd, env=ENVIRONMENT, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{words}: {done.returncode}\n{done.stdout!r}\n{done.stderr!r}")


def repository(folder: Path) -> Path:
    """A remote with three branches and a model."""
    work, remote = folder / "work", folder / "remote.git"
    files = {
        "salt/top.sls": "base: {'*': [app]}\n",
        "salt/app.sls": "app: {test.nop: []}\n",
        "pillar/top.sls": "base: {'*': [app]}\n",
        "pillar/app.sls": "a: 1\n",
        "saltbranch.yaml": 'saltenvs:\n  test: {branch: develop, minions: ["test*"]}\n'
        '  stage: {branch: stage, promote_from: test, minions: ["stage*"]}\n'
        '  prod: {branch: master, promote_from: stage, minions: ["prod*"]}\n',
    }
    for name, text in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    git("init", "-q", "-b", "master", cwd=work)
    git("add", ".", cwd=work)
    git("commit", "-q", "-m", "begin", cwd=work)
    for branch in ("stage", "develop"):
        git("branch", branch, cwd=work)
    git("clone", "-q", "--bare", str(work), str(remote), cwd=folder)
    return remote


def records(masters: int, switches: int, commit: str) -> Iterator[bytes]:
    """The journal of `masters` that switched so often each, in turn."""
    parent = ""
    for number in range(masters * switches):
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(BEGIN + 60 * number))
        rows = [
            {"saltenv": s, "branch": b, "old": None, "new": commit, "time": when, "why": "branch"}
            for s, b in SALTENVS.items()
        ]
        event = {
            "version": 1, "event": "sync", "id": f"r{number}", "time": when, "by": "salt",
            "master": f"salt{number % masters}", "root": "r", "serves": sorted(SALTENVS),
            "saltenvs": rows if number < masters else rows[:1],
        }  # fmt: skip
        message = f"sync r{number}\n\n{json.dumps(event, sort_keys=True)}\n".encode()
        yield f"commit {JOURNAL}\ncommitter Ann <ann@example.com> {BEGIN + 60 * number} +0000\n".encode()
        yield f"data {len(message)}\n".encode() + message + b"\n" + parent.encode()
        parent = ""


def journal(folder: Path, masters: int, args: argparse.Namespace) -> None:
    remote = repository(folder)
    head = git("rev-parse", "refs/heads/develop", cwd=remote)
    git("fast-import", "--quiet", cwd=remote, stdin=b"".join(records(masters, args.switches, head)))
    print(f"{masters} masters, {masters * args.switches} records")
    clone = folder / "clone"
    git("clone", "-q", "-b", "develop", str(remote), str(clone), cwd=folder)
    first, again, poll = [], [], []
    for _ in range(args.rounds):
        (clone / ".git" / "saltbranch-journal").unlink(missing_ok=True)
        first.append(measured(lambda: run("status", "--masters", "--json", cwd=clone)))
        again.append(measured(lambda: run("status", "--masters", "--json", cwd=clone)))
        poll.append(measured(lambda: git("ls-remote", str(remote), JOURNAL, cwd=clone)))
    show("  status --masters, first", first)
    show("  status --masters, again", again)
    show("  poll", poll)
    switch(folder, remote, args)


def switch(folder: Path, remote: Path, args: argparse.Namespace) -> None:
    places = {}
    for telling in (False, True):
        place = folder / f"master-{telling}"
        place.mkdir()
        (place / "master").write_text(f"id: m{telling}\nroot_dir: {place}\n")
        places[telling] = machine(place, remote, record_syncs=telling)
    found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    quiet: list[tuple[float, float]] = []
    for config in places.values():
        run("sync", "--quiet", "--config", str(config), cwd=folder)
    for number in range(args.rounds):
        tree = git("rev-parse", "develop^{tree}", cwd=remote)
        parent = git("rev-parse", "develop", cwd=remote)
        new = git("commit-tree", "-m", f"c{number}", "-p", parent, tree, cwd=remote)
        git("update-ref", "refs/heads/develop", new, cwd=remote)
        for telling, config in places.items():
            words = ("sync", "--quiet", "--config", str(config))
            found[telling].append(measured(lambda w=words: run(*w, cwd=folder)))
        quiet.append(measured(lambda w=words: run(*w, cwd=folder)))
    show("  switch without record_syncs", found[False])
    show("  switch with record_syncs", found[True])
    show("  sync without news", quiet)


def machine(place: Path, remote: Path, **more: object) -> Path:
    config = place / "saltbranch.yaml"
    settings = {
        "remote": str(remote), "root": str(place / "root"), "salt_config": str(place / "master"),
        "master_config": str(place / "master.d" / "saltbranch.conf"), **more,
    }  # fmt: skip
    config.write_text("".join(f"{k}: {json.dumps(v)}\n" for k, v in settings.items()))
    text = config.read_text().replace(f'root: "{place / "root"}"', f"root: {place / 'root'}")
    config.write_text(text)
    return config


def minions(folder: Path, number: int, how: str, args: argparse.Namespace) -> None:
    """One master with `number` accepted ids. how: `globs`, or a `list` of all ids."""
    remote = repository(folder)
    place = folder / "master"
    (place / "pki" / "minions").mkdir(parents=True)
    ids = {s: [f"{s}{n}" for n in range(number // 3 + 1)] for s in SALTENVS}
    for name in [i for found in ids.values() for i in found][:number]:
        (place / "pki" / "minions" / name).touch()
    (place / "master").write_text(f"id: m\nroot_dir: {place}\npki_dir: {place / 'pki'}\n")
    before = {"test": None, "stage": "test", "prod": "stage"}
    saltenvs = {
        s: {
            "branch": b,
            "minions": {"list": ids[s]} if how == "list" else [f"{s}*"],
            **({"promote_from": before[s]} if before[s] else {}),
        }
        for s, b in SALTENVS.items()
    }
    config = machine(place, remote, saltenvs=saltenvs)
    print(f"{number} minions by {how}")
    show(
        "  first sync",
        [measured(lambda: run("sync", "--quiet", "--config", str(config), cwd=folder))],
    )
    status, quiet = [], []
    for _ in range(args.rounds):
        status.append(
            measured(lambda: run("status", "--json", "--config", str(config), cwd=folder))
        )
        quiet.append(measured(lambda: run("sync", "--quiet", "--config", str(config), cwd=folder)))
    show("  status", status)
    show("  sync without news", quiet)
    tops = list((place / "root" / "tops").glob("*/pillar/top.sls"))
    size = sum(path.stat().st_size for path in tops)
    print(f"  {'top files of pillar':<38} {size / 1024:9.1f} KiB")
    print(f"  {'tops, one minion':<38} {top_seconds(place, ids['prod'][:20]) * 1000:9.1f} ms CPU")


def top_seconds(place: Path, names: list[str]) -> float:
    """CPU seconds of Salt's rendering of all top files of pillar for one minion, the median of `names`."""
    import salt.config
    import salt.pillar

    opts = salt.config.master_config(str(place / "master"))
    opts["file_client"] = "local"
    # The master's include: the file that saltbranch wrote.
    import yaml

    opts.update(yaml.safe_load((place / "master.d" / "saltbranch.conf").read_text()))
    found = []
    for name in names:
        begun = time.process_time()
        pillar = salt.pillar.Pillar(opts, {"id": name}, name, None)
        made = time.process_time()
        tops, errors = pillar.get_tops()
        if errors or not tops:
            raise SystemExit(f"{name}: {errors}")
        found.append(time.process_time() - made)
        assert made > begun
    return statistics.median(found)


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",") if word]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masters", type=numbers, default=[1, 10, 100])
    parser.add_argument("--switches", type=int, default=50)
    parser.add_argument("--minions", type=numbers, default=[50, 5000])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="masters-bench-"))
    try:
        for count in args.masters:
            place = folder / f"j{count}"
            place.mkdir()
            journal(place, count, args)
        for number in args.minions:
            for how in ("globs", "list"):
                place = folder / f"m{number}-{how}"
                place.mkdir()
                minions(place, number, how, args)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
