"""What a worker finds on disk, and its start, which may come before anybody knows what it is to compile."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from saltbranch.base import files, proc, scratch
from saltbranch.compiler import sandbox as confinement
from saltbranch.compiler.interpreter import Interpreter
from saltbranch.compiler.sandbox import Folders, Identity, Sandbox
from saltbranch.compiler.tree import Tree
from saltbranch.config.minions import Matcher
from saltbranch.salt_master import top_file


@dataclass(frozen=True, slots=True)
class Setting:
    """What decides how a worker is started. dirs: `states` and `pillar` inside the repository. groups: the minions of
    every saltenv. served: saltenv, folder that the master serves for it, and the folder inside the repository. python:
    whose Salt compiles; None for our own.
    """

    dirs: Mapping[str, str]
    groups: Mapping[str, Sequence[Matcher]]
    served: tuple[tuple[str, str, str], ...]
    python: Interpreter | None

    def served_as(self, saltenv: str) -> list[tuple[str, str]]:
        """The folders that are the tree for a minion of `saltenv`."""
        return [(outside, inside) for name, outside, inside in self.served if name == saltenv]


@dataclass(frozen=True, slots=True)
class Worker:
    """One that was started. control: our end of its socket. where: the folders, as it sees them. ended: what it left,
    once it has; it ends when `control` is closed.
    """

    control: socket.socket
    where: Folders
    ended: Future[proc.Finished]


@contextlib.contextmanager
def checked_out(setting: Setting, tree: Tree, saltenvs: set[str]) -> Iterator[str]:
    """A folder with the checked out tree and the generated top files, readable in the sandbox only.

    Raises SandboxError, GitError.
    """
    sandbox = confinement.find()
    # Without folders of their own there, forks could fill the memory.
    is_safe = sandbox.kind == "bubblewrap" or sandbox.are_forks_apart
    place = scratch.in_memory(tree.size()) if is_safe else None
    with scratch.folder("saltbranch-scratch-compile-", place) as made:
        folder = made.path
        with files.readable_umask(folder):
            os.makedirs(f"{folder}/tree")
            with made.lent():  # git may go on when we are killed
                tree.write(f"{folder}/tree")
            for saltenv in saltenvs:
                text = top_file.render_top(saltenv, setting.groups)
                for kind, inside in setting.dirs.items():
                    top = f"{folder}/tops/{saltenv}/{kind}"
                    os.makedirs(top)
                    with open(f"{top}/top.sls", "w", encoding="utf-8") as file:
                        file.write(text)
                    where = {"states": "/srv/salt", "pillar": "/srv/pillar"}[kind]
                    if sandbox.kind != "bubblewrap":
                        where = f"{folder}/tree/{inside}"
                    os.symlink(f"{where}/top.sls", f"{top}/{top_file.BRANCH_TOP}")
        if confinement.is_root():
            os.chown(folder, -1, confinement.new_identity().gid)
            os.chmod(folder, 0o750)
        yield folder


@contextlib.contextmanager
def started(
    sandbox: Sandbox, folder: str, setting: Setting, saltenv: str, *, timeout: float
) -> Iterator[Worker]:
    """A worker for minions of `saltenv`; at the end it is told to end, and waited for. folder: see `checked_out`.
    timeout: seconds that it may take in all.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with (
        tempfile.TemporaryDirectory(prefix="worker-", dir=folder) as own,
        ThreadPoolExecutor(max_workers=1) as threads,
        ours,
    ):
        tree = f"{folder}/tree"
        who = confinement.new_identity()
        argv = confinement.command(
            sandbox,
            tree,
            setting.dirs,
            mapped=setting.served_as(saltenv),
            identity=who,
            python=setting.python,
        )
        _make_room(own, who)

        def run() -> proc.Finished:
            with theirs:
                return confinement.run(sandbox, argv, who, timeout=timeout, control=theirs.fileno())

        where = confinement.folders(sandbox, own, tree, setting.dirs)
        yield Worker(ours, where, threads.submit(run))


def _make_room(folder: str, who: Identity) -> None:
    """The folder that Salt writes to where there is no bubblewrap."""
    os.mkdir(f"{folder}/cache", 0o700)
    if confinement.is_root():
        # Every worker of a run has its group, and each is a user of its own.
        os.chown(folder, -1, who.gid)
        os.chmod(folder, 0o710)
        os.chown(f"{folder}/cache", who.uid, who.gid)


class EarlyWorker:
    """A worker for `tree` that loads Salt while kept results are still looked up: for whoever knows already that there
    will be something to compile. It is taken once, by what compiles minions of `saltenv`.
    """

    def __init__(self, setting: Setting, tree: Tree, saltenvs: set[str], timeout: float) -> None:
        """Nothing begins before `begin`. saltenvs: of all minions. timeout: seconds, with all that it waits."""
        self._tree = tree
        self._setting, self._saltenvs, self._timeout = setting, saltenvs, timeout
        self._stack = contextlib.ExitStack()
        self._threads = ThreadPoolExecutor(max_workers=1)
        self._folder: Future[tuple[str, Worker]] | None = None
        self._saltenv = ""
        self._end = 0.0
        self._lock = threading.Lock()
        self._is_over = False

    def __enter__(self) -> EarlyWorker:
        return self

    def __exit__(self, *_exc: object) -> None:
        try:
            self._threads.shutdown()  # whatever it is at
        finally:
            with self._lock:
                self._is_over = True
            self._stack.close()

    def begin(self, saltenv: str) -> None:
        """Start it, beside what the caller does; once."""
        if self._folder is None:
            self._saltenv = saltenv
            self._end = time.monotonic() + self._timeout
            self._folder = self._threads.submit(self._begun)

    def _begun(self) -> tuple[str, Worker]:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(checked_out(self._setting, self._tree, self._saltenvs))
            worker = started(
                confinement.find(), folder, self._setting, self._saltenv, timeout=self._timeout
            )
            found = folder, stack.enter_context(worker)
            with self._lock:
                if not self._is_over:  # it may be: a second ^C does not wait
                    self._stack.push(stack.pop_all())
        return found

    def folder(self) -> str | None:
        """See `checked_out`; None where it was not begun, or could not be: there may be room for one tree, not for two.
        Whoever checks it out instead hears what is wrong.
        """
        if self._folder is None or self._folder.exception():
            return None
        return self._folder.result()[0]

    def taken(self, saltenv: str, seconds: float) -> Worker | None:
        """The worker, if it is for `saltenv`, nobody has it, and it has `seconds` left."""
        folder = self.folder()
        with self._lock:
            if folder is None or saltenv != self._saltenv:
                return None
            self._saltenv = ""  # no saltenv's name
        worker = self._folder.result()[1] if self._folder else None
        if worker is None or worker.ended.done() or self._end - time.monotonic() < seconds:
            return None
        return worker
