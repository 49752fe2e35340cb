"""What a promotion costs, against the bare git commands that do the same and against git-flow.

    python benchmarks/promote_bench.py [--files 20000] [--commits 50] [--rounds 5] [--saltbranch PROGRAM]

CPU seconds (user and system, children included) of whole processes, the median of the rounds; each round has clones
of its own. git-flow is measured where `git flow` is installed.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODEL = """\
saltenvs:
  test: {branch: develop, minions: ["test*"]}
  stage: {branch: stage, promote_from: test, minions: ["stage*"]}
  prod: {branch: master, promote_from: stage, minions: ["prod*"]}
"""
ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.com",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.com",
    "GIT_MERGE_AUTOEDIT": "no",
}


def git(*args: str, cwd: Path | None = None, stdin: bytes = b"") -> str:
    done = subprocess.run(
        ["git", *args], cwd=cwd, env=ENVIRONMENT, input=stdin, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode().strip()


def cost(*commands: list[str], cwd: Path) -> tuple[float, float]:
    """CPU and wall seconds of `commands`, one after the other."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    for argv in commands:
        done = subprocess.run(
            argv, cwd=cwd, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"{argv} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - begin


def build(path: Path, files: int, commits: int) -> None:
    """A remote: `files` state files, stage two commits beyond master, develop `commits` beyond that."""
    git("init", "--quiet", "--bare", "-b", "master", str(path))
    lines = [
        "commit refs/heads/master",
        "committer Ann <ann@example.com> 1767225600 +0000",
        "data 5",
        "begin",
    ]
    lines += [f"M 100644 inline saltbranch.yaml\ndata {len(MODEL)}\n{MODEL}"]
    for n in range(files):
        text = f"state{n}:\n  test.nop: []\n"
        lines += [
            f"M 100644 inline salt/role{n % 100}/part{n % 7}/s{n}.sls\ndata {len(text)}\n{text}"
        ]
    for branch, count, start in (("stage", 2, "master"), ("develop", commits, "stage")):
        lines += [f"reset refs/heads/{branch}", f"from refs/heads/{start}", ""]
        for n in range(count):
            subject, text = f"KEY-{n % 9 + 1} change {n}", f"{branch}{n}:\n  test.nop: []\n"
            lines += [f"commit refs/heads/{branch}", f"committer Ann <ann@example.com> {1767225700 + n} +0000",
                      f"data {len(subject)}\n{subject}",
                      f"M 100644 inline salt/role{n}/part{n % 7}/{branch}.sls\ndata {len(text)}\n{text}"]  # fmt: skip
    git("fast-import", "--quiet", cwd=path, stdin=("\n".join(lines) + "\n").encode())
    git("gc", "--quiet", cwd=path)


def world(folder: Path, template: Path) -> tuple[Path, Path]:
    """A remote of its own and a clone of it, both as after daily work."""
    remote, clone = folder / "remote.git", folder / "clone"
    shutil.copytree(template, remote)
    git("clone", "--quiet", str(remote), str(clone))
    return remote, clone


def saltbranch(folder: Path, template: Path, program: list[str]) -> tuple[float, float]:
    _, clone = world(folder, template)
    return cost([*program, "promote", "stage", "--yes"], cwd=clone)


def bare(folder: Path, template: Path) -> tuple[float, float]:
    """fetch, merge-tree, commit-tree for the merge and the journal, push with leases: what must be done."""
    remote, clone = world(folder, template)
    old, source = (
        git("rev-parse", "origin/stage", cwd=clone),
        git("rev-parse", "origin/develop", cwd=clone),
    )
    specs = [f"+refs/{kind}/*:refs/seen/{kind}/*" for kind in ("heads", "tags", "saltbranch")]
    fetch = cost(["git", "fetch", "--quiet", "--no-tags", "--prune", "origin", *specs], cwd=clone)
    merge = cost(["git", "merge-tree", "--write-tree", old, source], cwd=clone)
    tree = git("merge-tree", "--write-tree", old, source, cwd=clone)
    commit = ["git", "commit-tree", tree, "-p", old, "-p", source, "-m", "Promote develop to stage"]
    event = ["git", "commit-tree", git("mktree", cwd=clone), "-m", "event"]
    made = cost(commit, event, cwd=clone)
    new, journal = git(*commit[1:], cwd=clone), git(*event[1:], cwd=clone)
    push = ["git", "push", "--quiet", "--atomic", f"--force-with-lease=refs/heads/stage:{old}",
            "--force-with-lease=refs/saltbranch/journal:", "origin", f"{new}:refs/heads/stage",
            f"{journal}:refs/saltbranch/journal"]  # fmt: skip
    parts = [fetch, merge, made, cost(push, cwd=clone)]
    return sum(p[0] for p in parts), sum(p[1] for p in parts)


def git_flow(folder: Path, template: Path) -> tuple[float, float]:
    """`git flow release finish` of the same merge: develop's commits go to stage, its production branch."""
    _, clone = world(folder, template)
    for branch in ("stage", "develop"):
        git("checkout", "--quiet", branch, cwd=clone)
    for key, value in (("branch.master", "stage"), ("branch.develop", "develop"), ("prefix.feature", "feature/"),
                       ("prefix.release", "release/"), ("prefix.hotfix", "hotfix/"), ("prefix.support", "support/"),
                       ("prefix.bugfix", "bugfix/"), ("prefix.versiontag", "v")):  # fmt: skip
        git("config", f"gitflow.{key}", value, cwd=clone)
    git("flow", "release", "start", "1.0", cwd=clone)
    return cost(["git", "flow", "release", "finish", "-p", "-m", "1.0", "1.0"], cwd=clone)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--commits", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--saltbranch", default=shutil.which("saltbranch") or "saltbranch")
    options = parser.parse_args()
    program = [options.saltbranch]
    has_flow = subprocess.run(["git", "flow", "version"], capture_output=True).returncode == 0
    contenders = {
        "bare git": bare,
        "saltbranch": lambda folder, template: saltbranch(folder, template, program),
        **({"git-flow": git_flow} if has_flow else {}),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    python: list[float] = []
    with tempfile.TemporaryDirectory(prefix="saltbranch-bench-") as base:
        template = Path(base) / "template.git"
        build(template, options.files, options.commits)
        for number in range(options.rounds):
            for name, run in contenders.items():
                folder = Path(base) / f"{name.replace(' ', '-')}-{number}"
                folder.mkdir()
                found[name].append(run(folder, template))
                shutil.rmtree(folder)
            python.append(cost([sys.executable, "-c", "pass"], cwd=Path(base))[0])
    start = statistics.median(python)
    reference = statistics.median(cpu for cpu, _ in found["bare git"])
    print(
        f"{options.files} files, {options.commits} commits, median of {options.rounds}; bare Python {start:.3f} s"
    )
    for name, rows in found.items():
        cpu, wall = (statistics.median(column) for column in zip(*rows, strict=True))
        own = cpu - start if name == "saltbranch" else cpu
        print(
            f"{name:12} cpu {cpu:.3f} s, wall {wall:.3f} s, {own / reference:.2f}x bare git (Python's start aside)"
        )


if __name__ == "__main__":
    main()
