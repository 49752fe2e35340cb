"""Compiles many minions on one tree: from the cache what it has, the rest in parallel sandboxes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from saltbranch.base import scratch
from saltbranch.compiler import extra_roots
from saltbranch.compiler import sandbox as confinement
from saltbranch.compiler.cache import CompileCache, base_of
from saltbranch.compiler.composed_tree import ComposedTree
from saltbranch.compiler.decipher import Keys
from saltbranch.compiler.dispatcher import Dispatcher, Work
from saltbranch.compiler.extra_roots import ExtraRoots
from saltbranch.compiler.interpreter import Interpreter
from saltbranch.compiler.model import Compiled, Minion, digest, failed
from saltbranch.compiler.public_words import Public
from saltbranch.compiler.sandbox import Sandbox
from saltbranch.compiler.stand_ins import Offer
from saltbranch.compiler.tree import Tree
from saltbranch.compiler.worker_process import EarlyWorker, Setting, checked_out, started
from saltbranch.config.minions import Matcher
from saltbranch.config.roots import Roots
from saltbranch.repository.formulas import Formulas
from saltbranch.salt_master import top_file

_START = 60  # seconds for loading Salt; one or two are usual
_FORKS = 16
"""At a time in one worker at most: far from the number of processes that its user may have."""
_SHARE = 1000
"""Minions for one worker at most: their results are kept once all of them are there."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What all minions of a run share.

    groups: the minions of every saltenv. served: saltenv, folder that the master serves for it and
    the folder inside the repository that this is. master: the master's options that count (see
    `master_options`). keys: those of encrypted pillar. seconds, memory (MiB): limits for
    one minion. python: whose Salt compiles; None for our own. shown: globs of pillar paths whose values
    may be shown. tops_only: only whether the top files render. offer: what may stand in for files. content: what the
    files of states hold, too. roots: where states and pillar are made of several folders. formulas: where the files of
    pinned formulas are; None where they stay empty. extra: the files of `extra_roots`.
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
    tops_only: bool = False
    offer: Offer | None = None
    content: bool = False
    roots: Roots | None = None
    formulas: Formulas | None = field(default=None, compare=False)
    extra: ExtraRoots = field(default=extra_roots.NOTHING, compare=False)

    @property
    def dirs(self) -> dict[str, str]:
        """`states` and `pillar` inside the repository."""
        return {"states": self.states_dir, "pillar": self.pillar_dir}

    def tree(self, git: Any, name: str) -> Tree:
        """The files of the commit or tree `name` that count, those of its formulas among them.

        Raises RefusedError where the files of a formula that Salt would see are not here, or the roots cannot be
        composed; GitError.
        """
        gaps: Mapping[str, str] = {}
        if self.formulas:
            whole = self.formulas.composed(git, name)
            git, name, gaps = whole.git, whole.name, whole.gaps
        if self.roots is not None and self.roots.composed:
            found: Tree = ComposedTree(git, name, self.roots, self.keys, self.offer)
        else:
            found = Tree(git, name, (self.states_dir, self.pillar_dir), self.keys, self.offer)
        found.refuse_gaps(gaps)
        if self.extra.files and self.formulas and self.roots is not None:
            extra_roots.let_in(found, self.roots, self.extra, self.formulas.writing(git))
        return found

    @property
    def setting(self) -> Setting:
        """What decides how a worker is started."""
        return Setting(self.dirs, self.groups, self.served, self.python)

    def fingerprint(self, saltenv: str, key: str) -> str:
        """Stands for what a result depends on beside the minion and the files."""
        shared = {
            "dirs": self.dirs,
            "top": top_file.render_top(saltenv, self.groups),
            "served": self.setting.served_as(saltenv),
            "master": dict(self.master),
            "salt": self.salt_version,
            "key": key,
            "shown": self.shown,
            **({"python": dataclasses.astuple(self.python)} if self.python else {}),
            **({"tops_only": True} if self.tops_only else {}),
            **({"content": True} if self.content else {}),
        }
        return digest(shared)


Progress = Callable[[int], None]


@dataclass(slots=True)
class Spent:
    """What compiling took: processes, their CPU seconds, and the most memory of one of them (MiB). not_kept: how
    many results will be made anew the next time, by the reason (`model.UNKEPT`).
    """

    workers: int = 0
    cpu: float = 0.0
    memory: float = 0.0
    not_kept: dict[str, int] = field(default_factory=dict)

    def add(self, data: Mapping[str, Any]) -> None:
        """Take in what a worker said of itself last."""
        try:
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
    beside: Sequence[Tree] = (),
    likely: Collection[str] | None = None,
    early: EarlyWorker | None = None,
) -> dict[str, Compiled]:
    """Every minion's result on `tree`, by minion id; the rest is as in `compile_each`."""
    results = compile_each(
        frame,
        tree,
        minions,
        jobs=jobs,
        cache=cache,
        plain=plain,
        progress=progress,
        spent=spent,
        beside=beside,
        likely=likely,
        early=early,
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
    beside: Sequence[Tree] = (),
    likely: Collection[str] | None = None,
    early: EarlyWorker | None = None,
) -> list[Compiled]:
    """The results on `tree` in the order of `minions`, of which several may have one id.

    spent: added to. plain: with low chunks and pillar as Salt has them, secrets included. beside: other
    trees whose public words are public in here, too. likely: files that will be read; None where nobody knows. early:
    a worker for `tree` that may have begun.
    Raises SandboxError, GitError.
    """
    scratch.sweep()
    prints = {s: frame.fingerprint(s, cache.key()) for s in {m.saltenv for m in minions}}
    bases = [base_of(m, prints[m.saltenv]) for m in minions]
    kept = enumerate(None if plain else cache.get(base, tree) for base in bases)
    done = {number: result for number, result in kept if result}
    tell = _Progress(progress)
    tell(len(done))
    rest = {n: m for n, m in enumerate(minions) if n not in done}
    if rest:
        with contextlib.ExitStack() as stack:
            folder = early.folder() if early else None
            if folder is None:
                saltenvs = {m.saltenv for m in rest.values()}
                folder = stack.enter_context(checked_out(frame.setting, tree, saltenvs))
            files = frozenset(path for path, (mode, _) in tree.entries.items() if mode[:3] == "100")
            work = Work(files, tree.folders, cache.key(), tree.deciphered, frame.seconds)
            spent = spent if spent is not None else Spent()
            share = _Share(
                frame=frame,
                sandbox=confinement.find(),
                folder=folder,
                work=work,
                plain=plain,
                spent=spent,
                tell=tell,
                likely=None if likely is None else sorted(files & {*likely}),
                early=early,
            )
            for number, result in share.all(rest, jobs):
                done[number] = result
                if result.reads.files:
                    cache.put(bases[number], tree, result)
                else:
                    why = result.reads.unkept or "ended"
                    spent.not_kept[why] = spent.not_kept.get(why, 0) + 1
    public = Public((tree, *beside), cache)
    shown = [public.shown(done[number]) for number in range(len(minions))]
    public.keep()
    return shown


def early_worker(frame: Frame, tree: Tree, minions: Sequence[Minion]) -> EarlyWorker:
    """One that may begin before `compile_each` is called for some of `minions`, whatever else is compiled first."""
    limit = 2 * time_for(len(minions), frame.seconds)
    return EarlyWorker(frame.setting, tree, {m.saltenv for m in minions}, limit)


def time_for(minions: int, seconds: float) -> float:
    """How many seconds a worker may take for so many minions. seconds: for one."""
    return _START + minions * (seconds + 5)


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


@dataclass(slots=True)
class _Share:
    """The shares of one run go through `compile`, several at a time; `forks`: minions at a time in each."""

    frame: Frame
    sandbox: Sandbox
    folder: str
    work: Work
    plain: bool
    spent: Spent
    tell: _Progress
    likely: list[str] | None = None
    early: EarlyWorker | None = None
    forks: int = 1

    def all(self, minions: Mapping[int, Minion], jobs: int) -> Iterator[tuple[int, Compiled]]:
        """The result of each of `minions` under its number, `jobs` compiled at a time."""
        most = _FORKS if self.sandbox.are_forks_apart else 1
        shares = _shares(minions, -(-jobs // most))
        self.forks = max(1, min(most, jobs // len(shares)))
        chosen = [[minions[n] for n in share] for share in shares]
        with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
            for share, results in zip(shares, pool.map(self.compile, chosen), strict=True):
                yield from zip(share, results, strict=True)

    def compile(self, minions: list[Minion]) -> list[Compiled]:
        """One share. A worker that dies costs the minion that it was at, and another takes the rest.

        Which one it was at is only known where it was at one at a time.
        """
        results: dict[int, Compiled] = {}
        forks = self.forks
        while rest := [n for n in range(len(minions)) if n not in results]:
            dispatcher, complaint = self._worker([minions[n] for n in rest], forks)
            results.update((rest[n], result) for n, result in dispatcher.results.items())
            if len(dispatcher.results) == len(rest):
                break
            if forks > 1 and dispatcher.at_work:
                forks = 1
                continue
            if dispatcher.results and not dispatcher.at_work:
                continue  # it gave up by itself
            number = rest[
                next(iter(dispatcher.at_work), min({*range(len(rest))} - {*dispatcher.results}))
            ]
            why = complaint or "the compiling process was killed"
            results[number] = failed(minions[number].id, why)
        return [results[n] for n in range(len(minions))]

    def _worker(self, minions: list[Minion], forks: int) -> tuple[Dispatcher, str]:
        saltenv, limit = minions[0].saltenv, time_for(len(minions), self.frame.seconds)
        early = self.early.taken(saltenv, limit) if self.early else None
        with contextlib.ExitStack() as stack:
            setting = self.frame.setting
            worker = early or stack.enter_context(
                started(self.sandbox, self.folder, setting, saltenv, timeout=limit)
            )
            told = {**self._job(worker.where, saltenv, forks), "minions": len(minions)}
            dispatcher = Dispatcher(worker.control, minions, self.work, forks, self.tell)
            dispatcher.serve(json.dumps(told, default=str).encode())
            done = worker.ended.result()
        self.spent.workers += 1
        self.spent.add(dispatcher.spent)
        if dispatcher.has_begun:
            return dispatcher, ""
        if early:  # it may have ended as it waited, which none of these minions has to do with
            return self._worker(minions, forks)
        complaint = done.complaint[-400:].replace("\n", "; ")
        return dispatcher, complaint or "the compiling process ended without a result"

    def _refused(self) -> list[str]:
        """Where the tree stands that is served, and where people write it down: without bubblewrap these
        are not the tree that is compiled.
        """
        if self.sandbox.kind == "bubblewrap":
            return []
        served = [outside for _, outside, _ in self.frame.served]
        return ["/srv/salt", "/srv/pillar", *served, *map(os.path.realpath, served)]

    def _job(self, where: confinement.Folders, saltenv: str, forks: int) -> dict[str, Any]:
        """What a worker and all its forks may know."""
        frame = self.frame
        served = frame.setting.served_as(saltenv)
        return {
            "folders": dataclasses.asdict(where),
            "writable": confinement.writable(self.sandbox, where),
            "kept": confinement.below_writable(self.sandbox, served, frame.python),
            "inside": frame.dirs,
            "saltenv": saltenv,
            "mapped": served,
            "refused": self._refused(),
            "master": dict(frame.master),
            "gpg_keys": frame.keys.folder,
            "seconds": frame.seconds,
            "memory": frame.memory,
            "processes": 32,
            "plain": self.plain,
            "shown": list(frame.shown),
            "tops_only": frame.tops_only,
            "content": frame.content,
            "likely": self.likely,
            "jobs": forks,
        }
