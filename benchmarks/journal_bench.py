"""What a long journal costs: the same verbs over a short and a long one, and again where nothing was added.

    python benchmarks/journal_bench.py [--short 2000] [--long 20000] [--rounds 3] [--saltbranch PROGRAM]

CPU seconds (user and system, children included) of whole processes in a clone, the median of the rounds, and the ratio
of the two lengths. `first`: nothing is kept in the clone; `again`: the journal is the same; `later`: ten events more.
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
from collections.abc import Iterator
from pathlib import Path

MODEL = """\
saltenvs:
  test: {branch: develop, minions: ["test*"]}
  stage: {branch: stage, promote_from: test, minions: ["stage*"]}
  prod: {branch: master, promote_from: stage, minions: ["prod*"]}
"""
JOURNAL = "refs/saltbranch/journal"
BEGIN = 1_700_000_000
VERBS = {
    "status": ["status"],
    "promote": ["promote", "stage", "--plan", "--no-diff"],
    "hold": ["hold", "prod", "--reason", "x", "--plan"],
    "history": ["history", "--limit", "5"],
}
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


def events(numbers: range, commits: list[str]) -> Iterator[bytes]:
    """A promotion, two switches of masters, a hold and its end, over and over, as the journal has them."""
    for number in numbers:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(BEGIN + 60 * number))
        here, other = commits[number % 2], commits[(number // 5) % 2]
        row = {"saltenv": "test", "branch": "develop", "old": here, "new": other, "time": when}
        kind, details = (
            ("promotion", {"kind": "promotion", "saltenv": "stage", "branch": "stage", "source": "test",
                           "source_commit": here, "old": here, "new": other, "tickets": ["KEY-1"]}),
            ("sync", {"master": f"m{number % 7}", "saltenvs": [row]}),
            ("sync", {"master": f"m{number % 3}", "saltenvs": [row]}),
            ("hold", {"saltenv": "prod", "branch": "master", "commit": here, "reason": "a reason"}),
            ("unhold", {"saltenv": "prod"}),
        )[number % 5]  # fmt: skip
        name = f"{when.replace('-', '').replace(':', '')}-{number:08x}"
        head = {
            "version": 1,
            "event": kind,
            "id": name,
            "time": when,
            "by": "Ann <ann@example.com>",
        }
        yield f"{kind} {name}\n\n{json.dumps({**head, **details}, sort_keys=True)}\n".encode()


def grow(remote: Path, numbers: range, commits: list[str]) -> None:
    """Append events to the journal of `remote` by git-fast-import(1)."""
    known = git("for-each-ref", "--format=%(objectname)", JOURNAL, cwd=remote)
    lines = []
    for place, (number, text) in enumerate(zip(numbers, events(numbers, commits), strict=True)):
        date = BEGIN + 60 * number
        before = f"from :{place}\n" if place else f"from {known}\n" if known else ""
        top = f"commit {JOURNAL}\nmark :{place + 1}\ncommitter Ann <ann@example.com> {date} +0000\n"
        lines.append(f"{top}data {len(text)}\n".encode() + text + f"\n{before}".encode())
    git("fast-import", "--quiet", "--force", cwd=remote, stdin=b"".join(lines))


def site(folder: Path, length: int) -> tuple[Path, list[str]]:
    """A remote with a journal of `length` events, a clone of it, and two commits that the events name."""
    folder.mkdir()
    work, remote = folder / "work", folder / "remote.git"
    git("init", "--quiet", "-b", "master", str(work), cwd=folder)
    (work / "saltbranch.yaml").write_text(MODEL)
    (work / "salt").mkdir()
    for name in ("one", "two"):
        (work / "salt" / f"{name}.sls").write_text("{}\n")
        git("add", "-A", cwd=work)
        git("commit", "--quiet", "-m", f"KEY-1 {name}", cwd=work)
    commits = git("rev-list", "HEAD", cwd=work).split()
    git("clone", "--quiet", "--bare", str(work), str(remote), cwd=folder)
    git("branch", "stage", commits[1], cwd=remote)
    git("branch", "develop", "master", cwd=remote)
    grow(remote, range(length), commits)
    return remote, commits


def cost(argv: list[str], cwd: Path) -> float:
    """CPU seconds of a process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(argv, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode not in (0, 3, 4):
        sys.exit(f"{argv} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(
    folder: Path, length: int, program: list[str], rounds: int
) -> dict[tuple[str, str], float]:
    """Verb and occasion to CPU seconds."""
    remote, commits = site(folder, length)
    found: dict[tuple[str, str], list[float]] = {}
    end = length
    for number in range(rounds):
        for verb, words in VERBS.items():
            clone = folder / f"clone-{number}-{verb}"
            git("clone", "--quiet", str(remote), str(clone), cwd=folder)
            git(
                "fetch", "--quiet", "origin", f"{JOURNAL}:{JOURNAL}", cwd=clone
            )  # so only reading counts
            for occasion in ("first", "again", "later"):
                if occasion == "later":
                    grow(remote, range(end, end + 10), commits)
                    end += 10
                found.setdefault((verb, occasion), []).append(cost([*program, *words], clone))
            shutil.rmtree(clone)
    return {key: statistics.median(values) for key, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--short", type=int, default=2000)
    parser.add_argument("--long", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--saltbranch", help="the program; python -m saltbranch when not given")
    options = parser.parse_args()
    program = [options.saltbranch] if options.saltbranch else [sys.executable, "-m", "saltbranch"]
    with tempfile.TemporaryDirectory() as folder:
        short = measure(Path(folder) / "short", options.short, program, options.rounds)
        long = measure(Path(folder) / "long", options.long, program, options.rounds)
    print(f"{'':<18}{options.short:>9,}{options.long:>9,}   ratio")
    for (verb, occasion), seconds in short.items():
        other = long[verb, occasion]
        print(f"{verb:<9}{occasion:<9}{seconds:>9.2f}{other:>9.2f}{other / seconds:>8.1f}")


if __name__ == "__main__":
    main()
