"""The demo, run as a person runs it: a real master, real minions, and nothing left behind."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from saltbranch.actions.init import DEFAULT_BRANCHES
from saltbranch.actions.switching import clear_file_list
from saltbranch.demo import run as demo
from saltbranch.demo.cluster import processes_of
from saltbranch.demo.place import Place, stop
from saltbranch.demo.proof import Given, Seen, Switch, find_problems
from saltbranch.demo.repository import Change

PATIENCE = 240
# With SIGINT as a terminal's foreground job has it: a job in the background of a script ignores it.
COMMAND = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("saltbranch", run_name="__main__", alter_sys=True)
"""


@contextmanager
def started(folder: Path, *args: str) -> Iterator[subprocess.Popen[str]]:
    """``saltbranch demo args`` with `folder` for its temporary files."""
    folder.mkdir(exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, "demo", *args],
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def read_until(child: subprocess.Popen[str], text: str) -> list[str]:
    """The lines of the child up to the one that holds `text`."""
    assert child.stdout
    lines = []
    for line in child.stdout:
        lines.append(line.rstrip("\n"))
        if text in line:
            return lines
    raise AssertionError(f"no {text!r} in {lines}, but {child.communicate()[1]}")


def births(processes: list[int]) -> dict[int, str]:
    """Process id to its time of birth (proc(5), field 22), for those that are there."""
    found = {}
    for process in processes:
        try:
            stat = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            continue
        words = stat.rpartition(")")[2].split()
        if words[0] != "Z":
            found[process] = words[19]
    return found


def assert_nothing_left(folder: Path, born: dict[int, str]) -> None:
    """No file below `folder`, no process of those born, no short name in /tmp."""
    assert list(folder.iterdir()) == []
    deadline = time.monotonic() + 5  # killed is not gone, on a busy machine
    while (left := births(list(born)).items() & born.items()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == set()
    assert processes_of(folder) == []
    assert [a for a in Path("/tmp").glob("sb-*/*") if folder in a.readlink().parents] == []


# The whole of it


def test_demo_proves_that_a_change_stays_in_its_saltenv(tmp_path: Path) -> None:
    with started(tmp_path / "tmp") as child:
        lines = read_until(child, "minion test1 answers")
        born = births(processes_of(tmp_path / "tmp"))
        out, err = child.communicate(timeout=PATIENCE)
    lines += out.splitlines()

    assert (child.returncode, err) == (0, "")
    text = "\n".join(line.strip() for line in lines)
    for saltenv, workers, host in (
        ("test", 2, "db.test.example.com"),
        ("stage", 4, "db.stage.example.com"),
        ("prod", 8, "db.example.com"),
    ):
        assert re.search(
            rf"^{saltenv}1 +saltenv {saltenv} +\d+ files, workers {workers}, database {host}$",
            text,
            re.MULTILINE,
        )
        assert re.search(rf"^{saltenv}1 +gets that of {saltenv}$", text, re.MULTILINE)
    assert re.search(r"^test: develop [0-9a-f]{12} -> [0-9a-f]{12}$", text, re.MULTILINE)
    assert re.search(r"^stage: stage unchanged at [0-9a-f]{12}$", text, re.MULTILINE)
    assert re.search(r"^prod: master unchanged at [0-9a-f]{12}$", text, re.MULTILINE)
    assert text.count("event on the master's bus") == 1
    assert "event on the master's bus: saltbranch/sync/test\n" in text
    assert [line for line in text.splitlines() if " changed: " in line] == [
        "test1  changed: motd, notice",
        "stage1 changed: nothing",
        "prod1  changed: nothing",
    ]
    steps = [line for line in lines if not line.startswith(" ")]
    assert len(re.findall(r"^ok, \d+\.\d s$", text, re.MULTILINE)) == len(steps) - 1
    assert re.fullmatch(r"Done in \d+ s; what it made is gone again\.", lines[-1])
    assert len(born) >= 1 + len(demo.MINIONS)
    assert_nothing_left(tmp_path / "tmp", born)


# Cut short


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, signum: signal.Signals) -> None:
    with started(tmp_path / "tmp", "--keep") as child:
        read_until(child, "starting minion prod1")
        born = births(processes_of(tmp_path / "tmp"))
        child.send_signal(signum)
        child.send_signal(signal.SIGTERM)  # the second ^C of somebody who cannot wait
        _, err = child.communicate(timeout=PATIENCE)

    assert child.returncode == 130
    assert err == (
        "saltbranch: the demo was interrupted\n  -> its folder and its processes are gone\n"
    )
    assert born
    assert_nothing_left(tmp_path / "tmp", born)


def test_a_demo_whose_reader_has_gone_leaves_nothing(tmp_path: Path) -> None:
    with started(tmp_path / "tmp") as child:
        read_until(child, "starting minion test1")
        born = births(processes_of(tmp_path / "tmp"))
        assert child.stdout
        child.stdout.close()
        child.wait(timeout=PATIENCE)

    assert child.returncode == 1
    assert_nothing_left(tmp_path / "tmp", born)


def test_a_demo_that_fails_says_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no git there
    with started(tmp_path / "tmp") as child:
        _, err = child.communicate(timeout=PATIENCE)

    assert child.returncode == 1
    assert "cannot start 'git'" in err
    assert_nothing_left(tmp_path / "tmp", {})


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    for option in ("--folder", "--stop"):
        with started(tmp_path / "tmp", option, str(tmp_path / "mine")) as child:
            _, err = child.communicate(timeout=PATIENCE)

        assert child.returncode == 4
        assert err.startswith(f"saltbranch: {tmp_path}/mine is n")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


def test_a_killed_demo_can_be_removed(tmp_path: Path) -> None:
    with started(tmp_path / "tmp", "--keep") as child:
        read_until(child, "starting minion test1")
        child.kill()
        child.communicate()
    (folder,) = (tmp_path / "tmp").iterdir()
    born = births(processes_of(folder))
    assert born

    with started(tmp_path / "tmp", "--stop", str(folder)) as child:
        out, err = child.communicate(timeout=PATIENCE)

    assert (child.returncode, err) == (0, "")
    assert re.fullmatch(rf"ended \d+ processes and removed {folder}\n", out)
    assert_nothing_left(tmp_path / "tmp", born)


# Kept


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """A demo that runs on; `out` is what it said."""

    place: Place
    out: str

    def commands(self) -> list[str]:
        """The command lines that it proposes."""
        return [line.strip() for line in self.out.splitlines() if line.startswith("  ")]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """In a folder with a space in its name."""
    folder = tmp_path_factory.mktemp("kept") / "a demo"
    with started(folder.parent / "tmp", "--keep", "--folder", str(folder)) as child:
        out, err = child.communicate(timeout=PATIENCE)
    try:
        assert (child.returncode, err) == (0, "")
        yield Kept(Place(folder), out[out.index("It is still running") :])
    finally:
        if folder.exists():
            stop(folder)


def shell(command: str) -> str:
    """What a command line writes to stdout."""
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, (command, done)
    return done.stdout


def test_what_a_kept_demo_proposes_works(kept: Kept) -> None:
    status, explain, apply, runner, push, sync, _stop = kept.commands()
    with (kept.place.clone / "pillar" / "common.sls").open("a") as pillar:
        pillar.write("\nadded: here\n")

    assert "1 commit of test not promoted yet" in shell(status)
    assert "test1 belongs to test" in shell(explain)
    assert apply.endswith("'*' state.apply")
    assert "state: in_sync" in re.sub(r":\n\s+", ": ", shell(runner))
    shell(push)
    assert re.search(r"^test: develop switched", shell(sync), re.MULTILINE)
    assert len(re.findall(r"^Failed: +0$", shell(apply), re.MULTILINE)) == len(demo.MINIONS)


def test_a_real_leak_is_noticed(kept: Kept) -> None:
    """The minions of stage are given the checkout of test, by hand."""
    cluster = demo.describe_cluster(kept.place, lambda _progress: None, outlive=True)
    change = Change("0" * 40, "leak", "develop", (), {})
    switch = Switch((demo.TARGET,), (demo.TARGET,))
    before = demo.look(kept.place, cluster)
    checkouts = kept.place.root / "checkouts"
    served = (checkouts / "stage").readlink()

    (checkouts / "stage").unlink()
    (checkouts / "stage").symlink_to((checkouts / "develop").readlink())
    clear_file_list(str(cluster.cache_dir), "stage")
    after = demo.look(kept.place, cluster)
    (checkouts / "stage").unlink()
    (checkouts / "stage").symlink_to(served)

    given = demo.ask_for_others(cluster)
    problems = find_problems(
        before, after, change=change, switch=switch, given=given, target=demo.TARGET
    )
    leaks = [problem for problem in problems if problem.startswith("LEAK")]
    assert "LEAK: commit 000000000000 of develop changed /etc/notice on stage1" in leaks
    assert "LEAK: commit 000000000000 of develop changed the pillar of stage1" in leaks
    assert [leak for leak in leaks if "stage1" not in leak] == []


def test_a_kept_demo_is_stopped_with_the_command_it_names(kept: Kept) -> None:
    born = births(processes_of(kept.place.salt))
    assert len(born) >= 1 + len(demo.MINIONS)

    out = shell(kept.commands()[-1])

    assert re.fullmatch(rf"ended \d+ processes and removed {kept.place.folder}\n", out)
    (kept.place.folder.parent / "tmp").rmdir()
    assert_nothing_left(kept.place.folder.parent, born)


# The proof by itself


CHANGE = Change("c" * 40, "subject", "develop", ("salt/x.sls",), {"etc/x": "new", "etc/y": "new"})
SWITCH = Switch(("test",), ("test",))


def seen(saltenv: str, **files: str) -> Seen:
    """What a minion should have, with more files: their names stand for those in /etc."""
    motd = {"etc/motd": f"{saltenv}1 - saltenv {saltenv}\n"}
    return Seen(
        minion=f"{saltenv}1",
        saltenv=saltenv,
        files=motd | {f"etc/{name}": text for name, text in files.items()},
        pillar={"app": {"token": f"fake-token-of-{saltenv}"}},
        changed=(),
        failed=(),
    )


BEFORE = tuple(seen(saltenv, y="old") for saltenv in DEFAULT_BRANCHES)
TEST, STAGE, PROD = (
    dataclasses.replace(
        seen("test", x="new", y="new"),
        pillar={"app": {"token": "fake-token-of-test"}, "new": True},
        changed=("x", "y"),
    ),
    *BEFORE[1:],
)
GIVEN: Given = {
    f"{own}1": {saltenv: ("app",) if saltenv == own else () for saltenv in DEFAULT_BRANCHES}
    for own in DEFAULT_BRANCHES
}


def problems_of(
    *after: Seen, before: tuple[Seen, ...] = BEFORE, switch: Switch = SWITCH, given: Given = GIVEN
) -> tuple[str, ...]:
    return find_problems(before, after, change=CHANGE, switch=switch, given=given, target="test")


def test_there_is_no_problem_where_all_is_well() -> None:
    assert problems_of(TEST, STAGE, PROD) == ()


def with_text(one: Seen, text: str) -> Seen:
    return dataclasses.replace(one, files={**one.files, "etc/y": text})


LEAKS: dict[str, tuple[Callable[[], tuple[str, ...]], str]] = {
    "a file that changed": (
        lambda: problems_of(TEST, with_text(STAGE, "new"), PROD),
        "LEAK: commit cccccccccccc of develop changed /etc/y on stage1",
    ),
    "a file that is new": (
        lambda: problems_of(TEST, STAGE, dataclasses.replace(PROD, files={**PROD.files, "a": ""})),
        "LEAK: commit cccccccccccc of develop changed /a on prod1",
    ),
    "a file that is gone": (
        lambda: problems_of(TEST, dataclasses.replace(STAGE, files=seen("stage").files), PROD),
        "LEAK: commit cccccccccccc of develop changed /etc/y on stage1",
    ),
    "a state that did something": (
        lambda: problems_of(TEST, STAGE, dataclasses.replace(PROD, changed=("x",))),
        "LEAK: commit cccccccccccc of develop changed x on prod1",
    ),
    "pillar that is new": (
        lambda: problems_of(
            TEST, STAGE, dataclasses.replace(PROD, pillar={**PROD.pillar, "new": True})
        ),
        "LEAK: commit cccccccccccc of develop changed the pillar of prod1",
    ),
    "a value of another saltenv in a file from the start": (
        lambda: problems_of(
            TEST,
            with_text(STAGE, "fake-token-of-prod"),
            PROD,
            before=(BEFORE[0], with_text(STAGE, "fake-token-of-prod"), PROD),
        ),
        "LEAK: stage1 has the token of another saltenv in its /etc/y",
    ),
    "a value of another saltenv in the pillar from the start": (
        lambda: problems_of(
            dataclasses.replace(TEST, pillar={**TEST.pillar, "b": "fake-token-of-stage"}),
            STAGE,
            PROD,
        ),
        "LEAK: test1 has the token of another saltenv in its pillar",
    ),
    "pillar that is given to whoever asks": (
        lambda: problems_of(
            TEST, STAGE, PROD, given={**GIVEN, "test1": {**GIVEN["test1"], "prod": ("app",)}}
        ),
        "LEAK: test1 asked for the pillar of prod and got app",
    ),
}


@pytest.mark.parametrize(("problems", "expected"), LEAKS.values(), ids=LEAKS)
def test_a_leak_is_noticed(problems: Callable[[], tuple[str, ...]], expected: str) -> None:
    assert expected in problems()


NO_PROOF: dict[str, tuple[Callable[[], tuple[str, ...]], str]] = {
    "the change did not arrive": (
        lambda: problems_of(BEFORE[0], STAGE, PROD),
        "test1: nothing changed instead of etc/x, etc/y",
    ),
    "the change arrived with another content": (
        lambda: problems_of(with_text(TEST, "other"), STAGE, PROD),
        "test1: /etc/y does not say 'new'",
    ),
    "the old pillar": (
        lambda: problems_of(dataclasses.replace(TEST, pillar=BEFORE[0].pillar), STAGE, PROD),
        "test1: its pillar is the old one",
    ),
    "a state that failed": (
        lambda: problems_of(TEST, dataclasses.replace(STAGE, failed=("state x: no",)), PROD),
        "stage1: state x: no",
    ),
    "no pillar": (
        lambda: problems_of(TEST, dataclasses.replace(STAGE, pillar={}), PROD),
        "stage1 lacks the pillar of stage",
    ),
    "the wrong saltenv": (
        lambda: problems_of(
            TEST, dataclasses.replace(STAGE, files={"etc/motd": "saltenv prod\n"}), PROD
        ),
        "stage1: its /etc/motd is not that of stage",
    ),
    "a sync that did too much": (
        lambda: problems_of(TEST, STAGE, PROD, switch=Switch(("prod", "test"), ("test",))),
        "the sync switched prod, test instead of test",
    ),
    "no event": (
        lambda: problems_of(TEST, STAGE, PROD, switch=Switch(("test",), ())),
        "events came for nothing instead of test",
    ),
    "asking gives nothing at all": (
        lambda: problems_of(
            TEST, STAGE, PROD, given={**GIVEN, "prod1": dict.fromkeys(GIVEN["prod1"], ())}
        ),
        "prod1 asked for the pillar of prod, its own, and got nothing",
    ),
}


@pytest.mark.parametrize(("problems", "expected"), NO_PROOF.values(), ids=NO_PROOF)
def test_a_proof_needs_more_than_no_leak(
    problems: Callable[[], tuple[str, ...]], expected: str
) -> None:
    assert expected in problems()


def test_one_pillar_for_two_minions_is_noticed() -> None:
    twin = dataclasses.replace(PROD, minion="stage1", saltenv="prod")
    found = find_problems(
        (BEFORE[0], twin, PROD),
        (TEST, twin, PROD),
        change=CHANGE,
        switch=SWITCH,
        given=GIVEN,
        target="test",
    )
    assert "stage1 and prod1 have the same pillar" in found


@pytest.mark.parametrize(
    "run",
    [["Rendering failed"], {"x": {"__id__": "x", "result": False, "comment": "no", "changes": {}}}],
)
def test_a_run_that_failed_is_seen(run: Any) -> None:
    assert demo._failed(run) in (("Rendering failed",), ("state x: no",))
    assert demo._changed(run) == ()
