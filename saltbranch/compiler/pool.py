"""Compiles many minions on one tree: from the cache what it has, the rest in parallel sandboxes."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from saltbranch import topfile
from saltbranch.compilecache import CompileCache, base_of
from saltbranch.compiler import sandbox as confinement
from saltbranch.compiler.deciphering import Keys
from saltbranch.compiler.interpreter import Interpreter
from saltbranch.compiler.model import Compiled, Minion, compiled_from_json, digest, failed
from saltbranch.compiler.sandbox import Sandbox
from saltbranch.compiler.tree import Tree
from saltbranch.targets import Matcher

_START = 60  # seconds for loading Salt; one or two are usual
_FORKS = 16
"""At a time in one worker at most: far from the number of processes that its user may have."""
_SHARE = 500
"""Minions for one worker at most: what it hands out must not pile up."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What all minions of a run share.

    groups: the minions of every saltenv. served: saltenv, folder that the master serves for it and
    the folder inside the repository that this is. master: the master's options that count (see
    `highstate.MASTER_OPTIONS`). keys: those of encrypted pillar. seconds, memory (MiB): limits for
    one minion. python: whose Salt compiles; None for our own. shown: globs of pillar paths whose values
    may be shown.
    """

    states_dir: str
    pillar_dir: str
    groups: Mapping[str, Sequence[Matcher]]
    served: tuple[tuple[str, str, str], ...] = ()
    master: Mapping[str, Any] = field(default_factory=dict)
    salt_version: str = ""
    keys: Keys = field(default_factory=lambda: Keys(None))
    seconds: float = 60
    memory: int = 1024
    python: Interpreter | None = None
    shown: tuple[str, ...] = ()

    @property
    def dirs(self) -> dict[str, str]:
        """`states` and `pillar` inside the repository."""
        return {"states": self.states_dir, "pillar": self.pillar_dir}

    def tree(self, git: Any, name: str) -> Tree:
        """The files of the commit or tree `name` that count."""
        return Tree(git, name, (self.states_dir, self.pillar_dir), self.keys)

    def served_as(self, saltenv: str) -> list[tuple[str, str]]:
        """The folders that are this tree for a minion of `saltenv`."""
        return [(outside, inside) for name, outside, inside in self.served if name == saltenv]

    def fingerprint(self, saltenv: str, key: str) -> str:
        """Stands for what a result depends on beside the minion and the files."""
        shared = {
            "dirs": self.dirs,
            "top": topfile.render_top(saltenv, self.groups),
            "served": self.served_as(saltenv),
            "master": dict(self.master),
            "salt": self.salt_version,
            "key": key,
            "shown": self.shown,
            **({"python": dataclasses.astuple(self.python)} if self.python else {}),
        }
        return digest(shared)


Progress = Callable[[int], None]


@dataclass(slots=True)
class Spent:
    """What compiling took: processes, their CPU seconds, and the most memory of one of them (MiB)."""

    workers: int = 0
    cpu: float = 0.0
    memory: float = 0.0

    def add(self, line: bytes) -> None:
        """Take in what a worker said of itself, its last line."""
        try:
            data = json.loads(line)
            self.cpu += float(data["cpu"])
            self.memory = max(self.memory, float(data["memory"]))
        except (ValueError, KeyError, TypeError):
            return


def compile_fleet(
    frame: Frame,
    tree: Tree,
    minions: Sequence[Minion],
    *,
    jobs: int,
    cache: CompileCache,
    plain: bool = False,
    progress: Progress | None = None,
    spent: Spent | None = None,
) -> dict[str, Compiled]:
    """Every minion's result on `tree`, by minion id; the rest is as in `compile_each`."""
    results = compile_each(
        frame, tree, minions, jobs=jobs, cache=cache, plain=plain, progress=progress, spent=spent
    )
    return {result.minion: result for result in results}


def compile_each(
    frame: Frame,
    tree: Tree,
    minions: Sequence[Minion],
    *,
    jobs: int,
    cache: CompileCache,
    plain: bool = False,
    progress: Progress | None = None,
    spent: Spent | None = None,
) -> list[Compiled]:
    """The results on `tree` in the order of `minions`, of which several may have one id.

    spent: added to. plain: with low chunks and pillar as Salt has them, secrets included.
    Raises SandboxError, GitError.
    """
    prints = {s: frame.fingerprint(s, cache.key()) for s in {m.saltenv for m in minions}}
    bases = [base_of(m, prints[m.saltenv]) for m in minions]
    kept = enumerate(None if plain else cache.get(base, tree) for base in bases)
    done = {number: result for number, result in kept if result}
    tell = _Progress(progress)
    tell(len(done))
    rest = {n: m for n, m in enumerate(minions) if n not in done}
    if rest:
        with _scratch(frame, tree, {m.saltenv for m in rest.values()}) as folder:
            key, texts = cache.key(), tree.deciphered
            work = _Work(
                frame, confinement.find(), folder, key, texts, plain, spent or Spent(), tell
            )
            for number, result in work.all(rest, jobs):
                done[number] = result
                if result.reads.files:
                    cache.put(bases[number], tree, result)
    return [done[number] for number in range(len(minions))]


class _Progress:
    """Tells how many minions more are done; several threads may call it."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        self.lock = threading.Lock()

    def __call__(self, number: int) -> None:
        if self.progress and number:
            with self.lock:
                self.progress(number)


def _shares(minions: Mapping[int, Minion], workers: int) -> list[list[int]]:
    """Each of one saltenv, for what the master serves at a path is different for the next."""
    size = max(1, min(_SHARE, -(-len(minions) // workers)))
    shares = []
    for saltenv in dict.fromkeys(m.saltenv for m in minions.values()):
        own = [n for n, m in minions.items() if m.saltenv == saltenv]
        shares += [own[n : n + size] for n in range(0, len(own), size)]
    return shares


@contextlib.contextmanager
def _scratch(frame: Frame, tree: Tree, saltenvs: set[str]) -> Iterator[str]:
    """A folder with the checked out tree and the generated top files, readable in the sandbox only."""
    with tempfile.TemporaryDirectory(prefix="saltbranch-compile-") as folder:
        umask = os.umask(0o022)
        try:
            os.makedirs(f"{folder}/tree")
            tree.write(f"{folder}/tree")
            for saltenv in saltenvs:
                text = topfile.render_top(saltenv, frame.groups)
                for kind, inside in frame.dirs.items():
                    top = f"{folder}/tops/{saltenv}/{kind}"
                    os.makedirs(top)
                    with open(f"{top}/top.sls", "w", encoding="utf-8") as file:
                        file.write(text)
                    where = {"states": "/srv/salt", "pillar": "/srv/pillar"}[kind]
                    if confinement.find().kind != "bubblewrap":
                        where = f"{folder}/tree/{inside}"
                    os.symlink(f"{where}/top.sls", f"{top}/{topfile.BRANCH_TOP}")
        finally:
            os.umask(umask)
        if confinement.is_root():
            os.chown(folder, -1, confinement.new_identity().gid)
            os.chmod(folder, 0o750)
        yield folder


@dataclass(slots=True)
class _Work:
    """The shares of one run go through `compile`, several at a time; `forks`: minions at a time in each."""

    frame: Frame
    sandbox: Sandbox
    folder: str
    key: str
    texts: Mapping[str, bytes]
    plain: bool
    spent: Spent
    tell: _Progress
    forks: int = 1

    def all(self, minions: Mapping[int, Minion], jobs: int) -> Iterator[tuple[int, Compiled]]:
        """The result of each of `minions` under its number, `jobs` compiled at a time."""
        shares = _shares(minions, -(-jobs // _FORKS))
        self.forks = max(1, min(_FORKS, jobs // len(shares)))
        chosen = [[minions[n] for n in share] for share in shares]
        with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
            for share, results in zip(shares, pool.map(self.compile, chosen), strict=True):
                yield from zip(share, results, strict=True)

    def compile(self, minions: list[Minion]) -> list[Compiled]:
        """One share. A worker that dies costs the minion that it was at, and another takes the rest.

        Which one it was at is only known where it was at one at a time.
        """
        results: list[Compiled] = []
        rest, forks = list(minions), self.forks
        while rest:
            found, complaint = self._worker(rest, forks)
            results += found
            rest = rest[len(found) :]
            if not rest:
                break
            if forks > 1:
                forks = 1
                continue
            if not found and not complaint:
                complaint = "the compiling process ended without a result"
            results.append(failed(rest[0].id, complaint or "the compiling process was killed"))
            rest = rest[1:]
        return results

    def _worker(self, minions: list[Minion], forks: int) -> tuple[list[Compiled], str]:
        frame, tree = self.frame, f"{self.folder}/tree"
        with tempfile.TemporaryDirectory(prefix="worker-", dir=self.folder) as scratch:
            where = confinement.folders(self.sandbox, scratch, tree, frame.dirs)
            who = confinement.new_identity()
            served = frame.served_as(minions[0].saltenv)
            argv = confinement.command(
                self.sandbox, scratch, tree, frame.dirs, served, who, frame.python
            )
            self._write_job(scratch, where, minions, who, forks)
            limit = _START + len(minions) * (frame.seconds + 5)
            told = [-1]  # the first line tells of no minion

            def heard(data: bytes) -> None:
                before, told[0] = told[0], told[0] + data.count(b"\n")
                self.tell(min(told[0], len(minions)) - max(0, min(before, len(minions))))

            done = confinement.run(self.sandbox, argv, who, limit, heard)
        lines = done.out.splitlines()
        self.spent.workers += 1
        if len(lines) == len(minions) + 2:
            self.spent.add(lines[-1])
        # Once it answers, what it says besides may be a branch's.
        complaint = "" if lines else done.complaint[-400:].replace("\n", "; ")
        return _results(lines[1:], minions), complaint

    def _refused(self) -> list[str]:
        """Where the tree stands that is served, and where people write it down: without bubblewrap these
        are not the tree that is compiled.
        """
        if self.sandbox.kind == "bubblewrap":
            return []
        served = [outside for _, outside, _ in self.frame.served]
        return ["/srv/salt", "/srv/pillar", *served, *map(os.path.realpath, served)]

    def _write_job(
        self,
        scratch: str,
        where: confinement.Folders,
        minions: list[Minion],
        who: confinement.Identity,
        forks: int,
    ) -> None:
        job = {
            "folders": dataclasses.asdict(where),
            "inside": self.frame.dirs,
            "mapped": self.frame.served_as(minions[0].saltenv),
            "refused": self._refused(),
            "master": dict(self.frame.master),
            "key": self.key,
            "gpg_keys": self.frame.keys.folder,
            "deciphered": {n: base64.b64encode(t).decode() for n, t in self.texts.items()},
            "seconds": self.frame.seconds,
            "memory": self.frame.memory,
            "processes": 32,
            "plain": self.plain,
            "shown": list(self.frame.shown),
            "jobs": forks,
            "minions": [minion.as_job() for minion in minions],
        }
        mode = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(os.open(f"{scratch}/job", mode, 0o600), "w", encoding="utf-8") as file:
            json.dump(job, file, default=str)
        os.mkdir(f"{scratch}/cache", 0o700)
        if confinement.is_root():
            # Every worker of a run has its group, and each is a user of its own.
            os.chown(scratch, -1, who.gid)
            os.chmod(scratch, 0o710)
            os.chown(f"{scratch}/job", who.uid, who.gid)
            os.chown(f"{scratch}/cache", who.uid, who.gid)


def _results(lines: Sequence[bytes], minions: Sequence[Minion]) -> list[Compiled]:
    """The results in the order of `minions`, as far as they came; none of it is believed blindly."""
    found: list[Compiled] = []
    for minion, line in zip(minions, lines, strict=False):
        try:
            result = _broken_or_none(line) or compiled_from_json(line)
        except (ValueError, RecursionError):
            break
        if result.minion != minion.id:
            break
        found.append(result)
    return found


def _broken_or_none(line: bytes) -> Compiled | None:
    """What the worker says of a minion whose fork gave no result."""
    if b'"broken"' not in line[:1000]:
        return None
    data = json.loads(line)
    if not isinstance(data, dict) or "broken" not in data:
        return None
    return failed(str(data.get("minion")), str(data["broken"]))
