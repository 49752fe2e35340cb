"""What submodules cost a sync: python benchmarks/formulas_bench.py [quiet|file|pin|disk|cold]...

Everything is made in a temporary folder, and all that is compared runs in turn. CPU seconds are user and system of the
program with all that it started.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PROGRAM = [sys.executable, "-c", "from saltbranch.entry import main; main()"]
FILES, FILES_OF_FORMULA = 2000, 60


def cpu_of(argv: Sequence[str | Path], folder: Path | None = None) -> tuple[float, float]:
    """CPU and wall seconds of one run."""
    begin = time.perf_counter()
    with Path(os.devnull).open("wb") as null:
        process = subprocess.Popen(argv, cwd=folder, stdout=null)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{argv} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - begin


def git(*words: str | Path, stdin: str = "") -> str:
    """stdout of git."""
    argv = ["git", "-c", "protocol.file.allow=always", *words]
    return subprocess.run(
        argv, input=stdin, text=True, check=True, capture_output=True
    ).stdout.strip()


class Repository:
    """A bare repository that is written by fast-import."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.time = 1_767_225_600
        git("init", "-q", "--bare", "-b", "main", path)

    def commit(self, branch: str, files: dict[str, str], *, start: str = "") -> str:
        """A commit that changes `files`; what begins with "pin " is a submodule. start: the branch it begins at."""
        self.time += 60
        head = f"refs/heads/{start or branch}"
        known = subprocess.run(
            ["git", f"--git-dir={self.path}", "rev-parse", "-q", "--verify", head],
            capture_output=True,
            text=True,
        ).stdout.strip()
        lines = [
            f"commit refs/heads/{branch}",
            "mark :1",
            f"committer a <a@b> {self.time} +0000",
            "data 1",
            "x",
        ]
        lines += [f"from {known}"] if known else []
        for name, text in files.items():
            if text.startswith("pin "):
                lines.append(f"M 160000 {text[4:]} {name}")
            else:
                lines += [f"M 644 inline {name}", f"data {len(text)}", text]
        lines += ["", "get-mark :1", ""]
        return git(
            f"--git-dir={self.path}", "fast-import", "--quiet", "--force", stdin="\n".join(lines)
        )


class Site:
    """A control repository with `pins` formulas, and a saltbranch that serves `branches` of it."""

    def __init__(
        self,
        folder: Path,
        pins: int,
        branches: Sequence[str] = ("develop", "stage", "master"),
        count: int = FILES,
    ) -> None:
        self.folder = folder
        self.branches = branches
        folder.mkdir(parents=True)
        self.control = Repository(folder / "control.git")
        self.formulas = [Repository(folder / "formulas" / f"f{n}.git") for n in range(pins)]
        self.heads = [
            f.commit(
                "main", {f"f{n}/s{i}.sls": f"# {n} {i}\n" * 20 for i in range(FILES_OF_FORMULA)}
            )
            for n, f in enumerate(self.formulas)
        ]
        files = {f"salt/d{i % 40}/s{i}.sls": f"# {i}\n" * 10 for i in range(count)}
        files |= {"salt/top.sls": "base: {}\n", "pillar/top.sls": "base: {}\n"}
        first = branches[0]
        self.control.commit(first, files | self.pinned())
        for branch in branches[1:]:
            git(f"--git-dir={self.control.path}", "branch", branch, first)
        self.config = folder / "saltbranch.yaml"
        self.config.write_text(
            f"remote: {self.control.path}\nroot: {folder}/root\nmaster_config: {folder}/conf.d/x.conf\n"
            f"salt_config: {folder}/master\nmodel_branch: {branches[-1]}\n"
            + (f"submodules: [{folder}/formulas]\n" if pins else "")
            + "saltenvs:\n"
            + "".join(
                f"  e{i}: {{branch: {b}, minions: ['e{i}-*']}}\n" for i, b in enumerate(branches)
            )
        )

    def pinned(self) -> dict[str, str]:
        """The files of a commit with all pins."""
        text = "".join(
            f'[submodule "f{n}"]\n\tpath = formulas/f{n}\n\turl = {f.path}\n'
            for n, f in enumerate(self.formulas)
        )
        pins = {f"formulas/f{n}": f"pin {head}" for n, head in enumerate(self.heads)}
        return {".gitmodules": text, **pins} if pins else {}

    def sync(self) -> tuple[float, float]:
        """CPU and wall seconds of a sync."""
        return cpu_of([*PROGRAM, "sync", "-q", "--config", str(self.config)])


def medians(
    rounds: int, cases: dict[str, Callable[[], tuple[float, float]]]
) -> dict[str, tuple[float, float]]:
    """Each case once a round; median CPU and wall seconds."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            found[name].append(case())
    return {
        name: (statistics.median(c for c, _ in runs), statistics.median(w for _, w in runs))
        for name, runs in found.items()
    }


def told(what: str, found: dict[str, tuple[float, float]]) -> None:
    """Print them."""
    for name, (cpu, wall) in found.items():
        print(f"{what}: {name:28} {cpu * 1000:8.1f} ms CPU  {wall * 1000:8.1f} ms wall", flush=True)


def quiet(folder: Path) -> None:
    """A sync that finds nothing new, with 0, 10 and 100 submodules."""
    sites = {n: Site(folder / f"quiet{n}", n) for n in (0, 10, 100)}
    for site in sites.values():
        site.sync()
        site.sync()
    told("nothing new", medians(40, {f"{n} submodules": site.sync for n, site in sites.items()}))


def file(folder: Path) -> None:
    """One file changed on one branch, with and without 20 formulas."""
    sites = {f"{n} formulas": Site(folder / f"file{n}", n) for n in (0, 20)}
    sites["0, and as many more files"] = more = Site(folder / "more", 0)
    files = range(FILES_OF_FORMULA)
    more.control.commit(
        "develop", {f"formulas/f{n}/f/s{i}.sls": f"# {i}" for n in range(20) for i in files}
    )
    count = 0

    def change(site: Site) -> tuple[float, float]:
        nonlocal count
        count += 1
        site.control.commit("develop", {"salt/d1/changed.sls": f"# {count}\n"})
        return site.sync()

    for site in sites.values():
        site.sync()
        change(site)
    cases = {name: lambda site=site: change(site) for name, site in sites.items()}
    told("one file", medians(20, cases))  # type: ignore[arg-type]


def pin(folder: Path) -> None:
    """One of 20 pins moved."""
    site = Site(folder / "pin", 20)
    count = 0

    def move() -> tuple[float, float]:
        nonlocal count
        count += 1
        head = site.formulas[3].commit("main", {"f3/s1.sls": f"# moved {count}\n"})
        site.control.commit("develop", {"formulas/f3": f"pin {head}"})
        return site.sync()

    site.sync()
    move()
    told("pin moved", medians(20, {"20 formulas": move}))


def disk(folder: Path) -> None:
    """100 branches with the same 20 pins: what the object store holds."""
    for number in (1, 100):
        site = Site(folder / f"disk{number}", 20, [f"b{n}" for n in range(number)], 50)
        site.sync()
        used = git_size(site.folder / "root" / "formulas")
        print(f"disk: {number} branches, 20 pins: {used >> 10} KiB below root/formulas", flush=True)


def git_size(folder: Path) -> int:
    """Bytes of all files below `folder`, each inode once."""
    seen = {s.st_ino: s.st_blocks * 512 for p in folder.rglob("*") if (s := p.lstat()).st_nlink}
    return sum(seen.values())


def cold(folder: Path) -> None:
    """The first sync with 10 formulas, against git alone: one clone with submodules for each branch."""
    site = Site(folder / "cold", 10)
    for branch in site.branches[1:]:
        site.control.commit(branch, {"salt/own.sls": f"# {branch}\n"})

    def first() -> tuple[float, float]:
        shutil.rmtree(site.folder / "root", ignore_errors=True)
        return site.sync()

    def clones() -> tuple[float, float]:
        shutil.rmtree(site.folder / "clones", ignore_errors=True)
        all_of_it = [0.0, 0.0]
        for branch in site.branches:
            used = cpu_of(
                ["git", "-c", "protocol.file.allow=always", "clone", "-q", "--recurse-submodules", "-b", branch,
                 f"file://{site.control.path}", site.folder / "clones" / branch]
            )  # fmt: skip
            all_of_it = [all_of_it[0] + used[0], all_of_it[1] + used[1]]
        return all_of_it[0], all_of_it[1]

    told("cold", medians(3, {"saltbranch sync": first, "git clone, 3 branches": clones}))


def main() -> None:
    """Measure what is named, or all."""
    known = {"quiet": quiet, "file": file, "pin": pin, "disk": disk, "cold": cold}
    for name in sys.argv[1:] or known:
        with tempfile.TemporaryDirectory(prefix="saltbranch-bench-") as folder:
            known[name](Path(folder))


if __name__ == "__main__":
    main()
