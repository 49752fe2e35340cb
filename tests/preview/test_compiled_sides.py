"""Both sides of a comparison: the worker that begins early makes what any other would, and none is left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from saltbranch.base.errors import GitError
from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.model import Compiled, Minion
from saltbranch.compiler.pool import Spent, compile_fleet, early_worker
from saltbranch.compiler.tree import Tree
from saltbranch.compiler.worker_process import EarlyWorker
from saltbranch.config.minions import Matcher
from saltbranch.preview.compiled_sides import compiled_sides
from tests.support.compiling import Lab, minion
from tests.support.remote import Content

TOP = "{% if grains.id != 'm0' %}\nbase:\n  '*':\n    - {{ grains.id }}\n{% endif %}\n"


def files(**states: str) -> dict[str, Content]:
    """Minions of which each has an sls file of its own name, and a pillar that all of them have."""
    found: dict[str, Content] = {
        "salt/top.sls": TOP,
        "pillar/top.sls": "base:\n  '*':\n    - all\n",
    }
    found["pillar/all.sls"] = "a: 1\n"
    return {**found, **{f"salt/{name}.sls": text for name, text in states.items()}}


def state(name: str) -> str:
    return f"{name}:\n  test.nop\n"


class Site:
    """Some minions on commits one after the other, with a cache."""

    def __init__(self, folder: Path, minions: list[Minion]) -> None:
        self.minions = minions
        names = [m.id for m in minions]
        self.lab = Lab(folder, files(**{name: state(name) for name in names}))
        self.lab.frame = dataclasses.replace(
            self.lab.frame,
            groups={m.saltenv: (Matcher("glob", f"{m.id[0]}*"),) for m in minions},
        )
        self.folder, self.spent = folder / "cache", Spent()
        self.commits = [self.lab.remote.head("master")]

    def compared(
        self, *, cached: bool = True, progress: Callable[[int], None] = lambda _: None
    ) -> tuple[dict[str, Compiled], dict[str, Compiled]]:
        """Both sides of the last two commits."""
        self.spent = Spent()
        trees = self.lab.tree(self.commits[-2]), self.lab.tree(self.commits[-1])
        cache = CompileCache(str(self.folder) if cached else None)
        return compiled_sides(
            self.lab.frame,
            trees,
            self.minions,
            jobs=2,
            cache=cache,
            spent=self.spent,
            progress=progress,
        )

    def commit(self, **states: str) -> None:
        self.commits.append(self.lab.commit({f"salt/{n}.sls": t for n, t in states.items()}))


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The saltenvs for which workers begin early."""
    found: list[str] = []
    real = EarlyWorker.begin

    def begin(self: EarlyWorker, saltenv: str) -> None:
        if self._folder is None:
            found.append(saltenv)
        real(self, saltenv)

    monkeypatch.setattr(EarlyWorker, "begin", begin)
    return found


@pytest.fixture
def nothing_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No folder and no process is left of a test."""
    with tempfile.TemporaryDirectory(prefix="sb-s-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield
        assert (os.listdir(folder), _workers()) == ([], [])


def _workers() -> list[int]:
    """The sandboxes that this process started."""
    own = str(os.getpid())
    told = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", own], capture_output=True, text=True
    )
    lines = told.stdout.splitlines()
    return [int(line.split()[0]) for line in lines if "saltbranch-scratch-compile-" in line]


def keys(side: dict[str, Compiled]) -> dict[str, list[str]]:
    return {name: [c.key for c in result.chunks] for name, result in side.items()}


def test_it_begins_where_something_is_kept_and_something_lacks(
    tmp_path: Path, begun: list[str], nothing_left: None
) -> None:
    site = Site(tmp_path, [minion(f"m{n}") for n in range(4)])
    site.commit(m2=state("first"))
    site.compared()
    assert begun == []  # nothing was kept: the old side needs a worker first
    site.commit(m2=state("second"), m3=state("second"))
    old, new = site.compared()
    assert begun == ["test"]
    assert site.spent.workers == 1
    assert (keys(old), keys(new)) == tuple(map(keys, site.compared(cached=False)))
    assert keys(new)["m2"] != keys(old)["m2"]
    assert [name for name, result in new.items() if not result.cached] == ["m2", "m3"]
    begun.clear()
    assert tuple(map(keys, site.compared())) == (keys(old), keys(new))
    assert (begun, site.spent.workers) == ([], 0)  # all of it is kept


def test_of_two_saltenvs_each_gets_a_worker_of_its_own(tmp_path: Path, begun: list[str]) -> None:
    prod = [dataclasses.replace(minion(f"p{n}"), saltenv="prod") for n in range(2)]
    site = Site(tmp_path, [*(minion(f"m{n}") for n in range(1, 3)), *prod])
    site.commit(m1=state("x"))
    site.compared()
    site.commit(p1=state("other"), m2=state("other"))
    old, new = site.compared()
    assert begun == ["test"]
    assert site.spent.workers == 2
    assert (keys(old), keys(new)) == tuple(map(keys, site.compared(cached=False)))


def test_where_the_old_side_is_not_kept_it_waits(
    tmp_path: Path, begun: list[str], nothing_left: None
) -> None:
    site = Site(tmp_path, [minion(f"m{n}") for n in range(3)])
    site.commit(m1=state("x"), m2=state("x"))
    site.commit(m1=state("y"))
    site.compared()
    site.commits = [site.commits[0], site.commits[-1]]
    site.commit(m2=state("z"))
    site.commits = [site.commits[0], site.commits[-1]]
    old, new = site.compared()
    assert begun == ["test"]
    assert site.spent.workers == 2
    assert (keys(old), keys(new)) == tuple(map(keys, site.compared(cached=False)))


def test_what_the_old_side_made_counts_for_the_new_one(tmp_path: Path, nothing_left: None) -> None:
    site = Site(tmp_path, [minion(f"m{n}") for n in range(1, 4)])
    asks = (
        state("m1")
        + "/etc/a:\n  file.managed:\n    - source: salt://a.jinja\n    - template: jinja\n"
    )
    site.lab.commit({"salt/a.jinja": "{% import 'b.jinja' as b %}{% include b.c %}"})
    site.commit(m1=asks)
    site.commit(m2=state("x"))
    _, new = site.compared()
    assert [name for name, result in new.items() if not result.cached] == ["m2"]


@pytest.mark.real_sandbox
def test_one_that_ended_as_it_waited_costs_no_minion(tmp_path: Path, nothing_left: None) -> None:
    lab = Lab(tmp_path, files(m1=state("m1"), m2=state("m2")))
    minions = [minion("m1"), minion("m2")]
    with early_worker(lab.frame, lab.tree(), minions) as early:
        early.begin("test")
        assert early.folder()
        _wait(lambda: _workers() != [])
        for pid in _workers():  # as the kernel does that is short of memory
            os.kill(pid, signal.SIGKILL)
        found = lab.compile(minions, early=early)
    assert [result.error for result in found.values()] == [None, None]


def test_one_whose_time_is_short_is_not_taken(tmp_path: Path, nothing_left: None) -> None:
    lab = Lab(tmp_path, files(m1=state("m1")))
    with EarlyWorker(lab.frame.setting, lab.tree(), {"test"}, 30) as early:
        early.begin("test")
        assert early.taken("test", 31) is None
        assert lab.compile([minion("m1")], early=early)["m1"].error is None


def test_two_threads_do_not_take_the_same_one(tmp_path: Path) -> None:
    both = threading.Barrier(2)

    class Name(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            return not self != other

        def __ne__(self, other: object) -> bool:
            is_so = str.__ne__(self, other)
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(1)
            return is_so

    lab = Lab(tmp_path, files(m1=state("m1")))
    with (
        early_worker(lab.frame, lab.tree(), [minion("m1")]) as early,
        ThreadPoolExecutor(2) as pool,
    ):
        early.begin("test")
        early.folder()
        taken = [*pool.map(lambda _: early.taken(Name("test"), 1), range(2))]
    assert [*map(bool, taken)].count(True) == 1


class _Slow(Tree):
    """Takes until the run is over to be written."""

    goes_on = threading.Event()

    def write(self, folder: str) -> None:
        self.goes_on.wait(20)
        super().write(folder)


def test_one_that_begins_after_the_end_ends_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_left: None
) -> None:
    whole = Lab(tmp_path, files(m1=state("m1"))).tree()
    tree = _Slow(whole.git, whole.name, ("salt", "pillar"))
    early = early_worker(Lab(tmp_path / "other", files()).frame, tree, [minion("m1")])
    early.begin("test")

    def interrupted(*_args: object, **_how: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(early._threads, "shutdown", interrupted)  # the second ^C
        early.__exit__()
    tree.goes_on.set()
    assert early.folder()
    assert not os.path.exists(early.folder() or "")


class _Full(Tree):
    """Cannot be written while the first side's is there."""

    tries = 0

    def write(self, folder: str) -> None:
        self.tries += 1
        if self.tries == 1:
            Path(folder, "some").touch()
            raise GitError("cannot write: No space left on device")
        super().write(folder)


def test_one_that_there_is_no_room_for_yet_costs_nothing(
    tmp_path: Path, nothing_left: None
) -> None:
    lab = Lab(tmp_path, files(m1=state("m1")))
    whole = lab.tree()
    tree = _Full(whole.git, whole.name, ("salt", "pillar"))
    with early_worker(lab.frame, tree, [minion("m1")]) as early:
        early.begin("test")
        cache = CompileCache(None)
        found = compile_fleet(lab.frame, tree, [minion("m1")], jobs=1, cache=cache, early=early)
    assert (found["m1"].error, tree.tries) == (None, 2)


class _Interrupted(BaseException):
    pass


def test_it_ends_where_something_comes_between(
    tmp_path: Path, begun: list[str], nothing_left: None
) -> None:
    site = Site(tmp_path, [minion(f"m{n}") for n in range(3)])
    site.commit(m1=state("x"))
    site.compared()
    site.commit(m1=state("y"))

    def stopped(_number: int) -> None:
        raise _Interrupted

    with pytest.raises(_Interrupted):
        site.compared(progress=stopped)
    assert begun == ["test"]


WAITING = """
import sys, time
sys.path.insert(0, sys.argv[1])
from saltbranch.compiler.pool import Frame, early_worker
from saltbranch.git.program import Git
from tests.support.compiling import GROUPS, minion
frame = Frame("salt", "pillar", GROUPS)
with early_worker(frame, frame.tree(Git(sys.argv[2]), "master"), [minion("m1")]) as early:
    early.begin("test")
    print(early.folder(), flush=True)
    time.sleep(60)
"""


@pytest.mark.real_sandbox
def test_it_ends_with_a_run_that_is_killed(tmp_path: Path) -> None:
    lab = Lab(tmp_path, files(m1=state("m1")))
    project = str(Path(__file__).parents[2])
    argv = [sys.executable, "-c", WAITING, project, str(lab.remote.path)]
    run = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert run.stdout
    folder = run.stdout.readline().strip()
    assert os.path.isdir(f"{folder}/tree")
    _wait(lambda: _that_use(folder) != set())
    run.send_signal(signal.SIGKILL)
    run.communicate()
    _wait(lambda: _that_use(folder) == set())


def _that_use(folder: str) -> set[str]:
    """The processes that were started with `folder`."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.fsencode(folder) in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(pid)
    return found


def _wait(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)
