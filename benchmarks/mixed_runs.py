"""How many state runs read two commits, while the branch moves on every 0.7 seconds.

Real daemons on loopback: one salt-master, a few minions. Each run applies 40 sls, each of which says its revision.
How the files are served is one of: `in-place` (git checkout in the folder that Salt reads), `symlink` (two worktrees,
a symlink renamed), `sync` (saltbranch), `drain` (saltbranch with `drain:`).
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from saltbranch.demo.cluster import Cluster

PAUSE = 0.7
REVISIONS = 3000
STATE = "r{revision}-{number}:\n  test.nop: []\n"


def git(*words: str, folder: Path, stdin: str = "") -> str:
    """What git says."""
    argv = ["git", "-C", str(folder), *words]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=True).stdout


def build(remote: Path, number_of_files: int) -> list[str]:
    """A bare repository whose branch `develop` stands at the first of REVISIONS commits; the commits, oldest first.

    number_of_files: sls files in each.
    """
    remote.mkdir()
    git("init", "-q", "--bare", "-b", "develop", folder=remote)
    names = " ".join(f"s{number}" for number in range(number_of_files))
    parts = []
    for revision in range(REVISIONS):
        text = STATE.format(revision=revision, number="{{ sls }}")
        parts.append(f"commit refs/heads/all\nmark :{revision + 1}\n")
        parts.append(f"committer B <b@example.com> {1_700_000_000 + revision} +0000\n")
        parts.append(f"data 1\nr\n{f'from :{revision}{chr(10)}' if revision else ''}")
        files = {f"salt/s{number}.sls": text for number in range(number_of_files)}
        if not revision:
            files["salt/top.sls"] = f"base:\n  '*': [{names.replace(' ', ', ')}]\n"
            files["pillar/top.sls"] = "base: {}\n"
        for path, content in files.items():
            parts.append(f"M 644 inline {path}\ndata {len(content)}\n{content}\n")
    git("fast-import", "--quiet", folder=remote, stdin="".join(parts))
    commits = git("rev-list", "--reverse", "refs/heads/all", folder=remote).split()
    git("update-ref", "refs/heads/develop", commits[0], folder=remote)
    git("update-ref", "-d", "refs/heads/all", commits[-1], folder=remote)
    git("update-ref", "refs/kept/all", commits[-1], folder=remote)
    return commits


class Served:
    """What Salt reads, and how it moves from one revision to the next."""

    def __init__(self, how: str, folder: Path, args: argparse.Namespace) -> None:
        self.how = how
        self.folder = folder
        self.remote = folder / "remote.git"
        self.commits = build(self.remote, args.files)
        self.revision = 0
        self.switches = 0
        self.messages: list[str] = []
        self.longest = 0.0
        self._last = time.monotonic()
        self.drain = {"drain": args.drain, "drain_then": args.then} if how == "drain" else {}
        if how in ("in-place", "symlink"):
            for name in ("a", "b")[: 1 if how == "in-place" else 2]:
                git(
                    "worktree",
                    "add",
                    "-q",
                    "--detach",
                    str(folder / name),
                    "develop",
                    folder=self.remote,
                )
            if how == "symlink":
                (folder / "served").symlink_to("a")

    @property
    def roots(self) -> dict[str, list[str]]:
        """The saltenv's file_roots, where saltbranch does not write them."""
        name = {"in-place": "a", "symlink": "served"}[self.how]
        return {"test": [str(self.folder / name / "salt")]}

    def configure(self, cluster: Cluster) -> None:
        """Write saltbranch.yaml and sync for the first time."""
        self.config = self.folder / "saltbranch.yaml"
        settings = {
            "remote": str(self.remote),
            "root": str(self.folder / "root"),
            "salt_config": str(cluster.master_config_file),
            "master_config": str(cluster.config_dir / "master.d" / "saltbranch.conf"),
            "saltenvs": {"test": {"branch": "develop", "minions": ["m*"], **self.drain}},
        }
        self.config.write_text(yaml.safe_dump(settings))
        self.sync()

    def move(self) -> None:
        """The next revision."""
        self.revision += 1
        commit = self.commits[self.revision]
        if self.how == "in-place":
            git("checkout", "-q", "--detach", "--force", commit, folder=self.folder / "a")
        elif self.how == "symlink":
            idle = "b" if (self.folder / "served").readlink().name == "a" else "a"
            git("checkout", "-q", "--detach", "--force", commit, folder=self.folder / idle)
            (self.folder / "new").symlink_to(idle)
            (self.folder / "new").replace(self.folder / "served")
        else:
            git("update-ref", "refs/heads/develop", commit, folder=self.remote)
            return
        self.switches += 1

    def sync(self) -> None:
        """One sync, as a timer starts it."""
        argv = [sys.executable, "-m", "saltbranch", "sync", "--json", "--config", str(self.config)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 75):
            raise SystemExit(done.stdout + done.stderr)
        row = json.loads(done.stdout)["saltenvs"][0]
        if row["changed"]:
            now = time.monotonic()
            self.switches, self.longest = self.switches + 1, max(self.longest, now - self._last)
            self._last = now
        if row["message"]:
            self.messages.append(f"{row['state']}: {row['message']}")


def repeat(work: Callable[[], None], pause: float, end: threading.Event) -> threading.Thread:
    """Do `work` again and again until `end`."""

    def run() -> None:
        while not end.wait(pause):
            work()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def revisions(answer: Any, number_of_files: int) -> set[str]:
    """Those that a run's states say."""
    if not isinstance(answer, dict):
        raise SystemExit(f"no state run: {answer}")
    found = {row["__id__"].partition("-")[0] for row in answer.values()}
    if len(answer) < number_of_files:
        raise SystemExit(f"{len(answer)} states: {answer}")
    return found


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("how", choices=("in-place", "symlink", "sync", "drain"))
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--minions", type=int, default=2)
    parser.add_argument("--files", type=int, default=40, help="sls of a run")
    parser.add_argument("--drain", default="60s")
    parser.add_argument("--then", default="wait")
    parser.add_argument(
        "--between", type=float, default=2.0, help="at most so many seconds between two runs"
    )
    args = parser.parse_args()
    minions = [f"m{number}" for number in range(args.minions)]
    with tempfile.TemporaryDirectory(prefix="mixed-") as name:
        served = Served(args.how, Path(name), args)
        ours = args.how in ("sync", "drain")
        cluster = Cluster(
            Path(name) / "c",
            minions={minion: {} for minion in minions},
            master_options={} if ours else {"file_roots": served.roots},
            minion_options={
                m: {"multiprocessing": True, "autoload_dynamic_modules": False} for m in minions
            },
        )
        cluster.write_config()
        if ours:
            served.configure(cluster)
        with cluster:
            print(json.dumps(measure(cluster, served, args, minions)))


def measure(
    cluster: Cluster, served: Served, args: argparse.Namespace, minions: list[str]
) -> dict[str, object]:
    """Run states while the branch moves."""
    end = threading.Event()
    threads = [repeat(served.move, PAUSE, end)]
    if served.how in ("sync", "drain"):
        threads.append(repeat(served.sync, 0.05, end))
    mods = [f"s{number}" for number in range(args.files)]
    random_ = random.Random(1)
    seen, lengths, mixed = set(), [], 0
    while len(lengths) * len(minions) < args.runs:
        time.sleep(random_.uniform(0, args.between))
        begun = time.monotonic()
        answers = cluster.local_all("state.sls", mods, minions=minions, saltenv="test")
        lengths.append(time.monotonic() - begun)
        for answer in answers.values():
            found = revisions(answer, args.files)
            mixed += len(found) > 1
            seen |= found
    end.set()
    for thread in threads:
        thread.join()
    return {
        "how": served.how,
        "runs": len(lengths) * len(minions),
        "mixed": mixed,
        "revisions_pushed": served.revision,
        "revisions_seen": len(seen),
        "switches": served.switches,
        "seconds_of_a_run": round(statistics.median(lengths), 2),
        "longest_without_a_switch": round(served.longest, 1),
        "messages": sorted({text.partition(" (")[0][:100] for text in served.messages})[:5],
    }


if __name__ == "__main__":
    main()
