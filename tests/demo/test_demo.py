"""The demo, run as a person runs it: a real master, real minions, and nothing left behind."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from saltbranch.actions.init_text import DEFAULT_BRANCHES
from saltbranch.demo import minions
from saltbranch.demo.place import Place, stop
from saltbranch.demo.processes import processes_of
from saltbranch.demo.proof import Switch, find_problems
from saltbranch.demo.repository import Change
from saltbranch.demo.separation import TARGET
from saltbranch.salt_master.file_list import clear_file_list
from tests.support import budget, warm, warm_daemons
from tests.support.receiver import until
from tests.support.running import short_names_of

pytestmark = pytest.mark.daemons

PATIENCE = 240
# With SIGINT as a terminal's foreground job has it: a job in the background of a script ignores it.
COMMAND = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("saltbranch", run_name="__main__", alter_sys=True)
"""
# What it starts are forks then; one that ends early is without, and the whole tour at night.
WARM = "from tests.support import warm_daemons; warm_daemons.use_in_child()" + COMMAND
# Stands for the command in scripts.
STUB = """\
#!/bin/sh
exec {} -I -S {} {} -c 'from saltbranch.entry import main; main()' "$@"
"""


@contextmanager
def started(folder: Path, *args: str, command: str = WARM) -> Iterator[subprocess.Popen[str]]:
    """``saltbranch demo args`` with `folder` for its temporary files."""
    folder.mkdir(exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", command, "demo", *args],
        env={**os.environ, **warm_daemons.variables(), "TMPDIR": str(folder)},
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
    assert short_names_of(folder) == []


def changes_told(lines: list[str]) -> list[tuple[str, ...]]:
    """For each highstate the states that did something on test1, stage1 and prod1."""
    told = re.findall(r"^ +(\w+)1 +changed: (.*)$", "\n".join(lines), re.MULTILINE)
    assert [saltenv for saltenv, _ in told] == list(DEFAULT_BRANCHES) * (len(told) // 3)
    return [tuple(ids for _, ids in told[n : n + 3]) for n in range(0, len(told), 3)]


def assert_promotions_told(text: str) -> None:
    """The commands of the second part and what they said."""
    typed = re.findall(r"^clone\$ saltbranch (.*)$", text, re.MULTILINE)
    digest = re.findall(r"^digest ([0-9a-f]{16})$", text, re.MULTILINE)[2]
    assert typed == [
        "feature start key-42-timeout",
        "formula update banner",
        "feature finish --yes",
        "promote stage --yes",
        "promote prod --plan",
        f"promote prod --expect {digest} --yes",
        "hotfix start 1.0.1",
        "hotfix finish --yes",
        "rollback prod --reason 'KEY-43 is too slow' --yes",
        "feature start key-44-greeting --lab",
        "feature publish",
        "history",
        "formula list",
    ]
    assert "formula banner v1.0.0 -> v1.1.0, 1 commit\n" in text
    assert re.search(r"^prod +v1.1.0 \([0-9a-f]{12}\), ", text, re.MULTILINE)
    switched = re.findall(r"^(\w+): \w+ switched, ", text, re.MULTILINE)
    assert switched == ["test", "stage", "prod", "test", "stage", "prod", "prod"]
    assert re.search(r"^refs/tags/v1.0.1: new -> ", text, re.MULTILINE)
    assert re.search(
        r"^prod: master switched, .* held at [0-9a-f]{12}: KEY-43 is too slow$", text, re.MULTILINE
    )


# The whole of it


def test_demo_proves_that_every_change_is_where_it_belongs(tmp_path: Path) -> None:
    command = COMMAND if budget.IS_NIGHTLY else WARM
    with started(tmp_path / "tmp", command=command) as child:
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
    at = lines.index("    master# salt test1 state.apply saltenv=lab1") + 1
    lab = lines.pop(at).partition("changed: ")[2]
    assert changes_told(lines) == [
        ("motd, notice", "nothing", "nothing"),
        ("app-config, banner", "nothing", "nothing"),  # the feature is finished
        ("nothing", "app-config, banner, motd, notice", "nothing"),  # promote stage
        ("nothing", "nothing", "app-config, banner, motd, notice"),  # promote prod
        ("app-config", "app-config", "app-config"),  # the hotfix
        ("nothing", "nothing", "app-config"),  # the rollback
        (lab, "nothing", "nothing"),  # after the lab
    ]
    assert "motd" in lab.split(", ")
    assert "lab1: feature/key-44-greeting served for the first time" in text
    assert "proof: test1 had what the branch has, and now all have what they had before" in text
    assert_promotions_told(text)
    steps = [line for line in lines if not line.startswith(" ")]
    assert len(re.findall(r"^ok, \d+\.\d s$", text, re.MULTILINE)) == len(steps) - 1
    assert re.fullmatch(r"Done in \d+ s; what it made is gone again\.", lines[-1])
    assert len(born) >= 1 + len(minions.MINIONS)
    assert_nothing_left(tmp_path / "tmp", born)


# Cut short


@pytest.mark.parametrize(
    "signum",
    budget.cases([signal.SIGTERM, signal.SIGINT, signal.SIGHUP], lambda s: s != signal.SIGHUP),
)
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, signum: signal.Signals) -> None:
    command = COMMAND if signum == signal.SIGTERM else WARM
    with started(tmp_path / "tmp", "--keep", command=command) as child:
        read_until(child, "starting minion prod1")
        assert until(lambda: processes_of(tmp_path / "tmp"))
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
        (folder,) = (tmp_path / "tmp").iterdir()
        assert until(lambda: processes_of(folder))
        child.kill()
        child.communicate()
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
    status, explain, apply, runner, push, sync, promote, _stop = kept.commands()
    with (kept.place.clone / "pillar" / "common.sls").open("a") as pillar:
        pillar.write("\nadded: here\n")

    assert "KEY-43 is too slow" in shell(status)
    assert "test1 belongs to test" in shell(explain)
    assert apply.endswith("'*' state.apply")
    assert "state: in_sync" in re.sub(r":\n\s+", ": ", shell(runner))
    shell(push)
    assert re.search(r"^test: develop switched", shell(sync), re.MULTILINE)
    assert re.search(r"^stage: stage switched", shell(promote), re.MULTILINE)
    assert len(re.findall(r"^Failed: +0$", shell(apply), re.MULTILINE)) == len(minions.MINIONS)


def test_the_tutorial_works_as_written(kept: Kept) -> None:
    """Every command of it but the first two, which made this cluster, and the last, which stops it."""
    page = Path(__file__).parents[2] / "docs" / "tutorial.md"
    parts = re.findall(r"^## ([^\n]+)$|^```bash\n(.*?)^```$", page.read_text(), re.DOTALL | re.M)
    lines = [f"echo '## {t}'" if t else c.strip() for t, c in parts]
    script = "\n".join(["set -euo pipefail", *lines])
    for done_by_others in (
        "./dev demo --keep --folder /tmp/saltbranch-tutorial",
        "./dev run bash",
        "saltbranch demo --stop /tmp/saltbranch-tutorial",
    ):
        assert f"\n{done_by_others}" in script
        script = script.replace(f"\n{done_by_others}", "")
    script = script.replace("/tmp/saltbranch-tutorial", shlex.quote(str(kept.place.folder)))
    stub = kept.place.folder.parent / "bin" / "saltbranch"
    stub.parent.mkdir()
    stub.write_text(
        STUB.format(*map(shlex.quote, (sys.executable, warm.CLIENT, warm.server().path)))
    )
    stub.chmod(0o755)
    path = os.pathsep.join(map(str, (stub.parent, Path(sys.executable).parent, os.environ["PATH"])))

    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=False,
        env={**os.environ, "PATH": path},
    )  # fmt: skip

    assert done.returncode == 0, (done.stdout, done.stderr)
    said = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", done.stdout, re.DOTALL | re.M))
    assert "KEY-43 is too slow" in said["Start a cluster"]
    assert said["Change something in test"].count("\nWelcome.\n") == 1  # test1 has it, not prod1
    assert "test: develop switched" in said["Change something in test"]
    assert "stage: stage switched" in said["Promote it to stage"]
    assert "+Welcome." in said["Promote it to stage"]
    assert "prod: master switched" in said["Promote it to production"]
    assert "\nWelcome.\n" in said["Promote it to production"]
    assert "KEY-50 is too friendly" in said["Roll it back"] and "-Welcome." in said["Roll it back"]
    tried = said["Try a branch before it is merged"]
    assert "lab2: feature/key-51-goodbye" in tried and "+Goodbye." in tried
    assert "\nlab2  feature/key-51-goodbye, by " in tried
    assert "0 of 1 served" in said["See what went where"]
    assert "prod1 belongs to prod" in said["See what went where"]


def test_a_real_leak_is_noticed(kept: Kept) -> None:
    """The minions of stage are given the checkout of test, by hand."""
    *_, push, sync, _promote, _stop = kept.commands()
    shell(
        f"git -C {shlex.quote(str(kept.place.clone))} switch --quiet develop"
    )  # after the tutorial
    pillar = kept.place.clone / "pillar" / "common.sls"
    pillar.write_text(pillar.read_text().replace("Questions go to", "Ask"))
    shell(f"{push} && {sync}")
    cluster = minions.describe_cluster(kept.place, lambda _progress: None, outlive=True)
    change = Change("0" * 40, "leak", "develop", (), {})
    switch = Switch((TARGET,), (TARGET,))
    before = minions.look(kept.place, cluster)
    checkouts = kept.place.root / "checkouts"
    served = (checkouts / "stage").readlink()

    (checkouts / "stage").unlink()
    (checkouts / "stage").symlink_to((checkouts / "develop").readlink())
    clear_file_list(str(cluster.cache_dir), "stage")
    after = minions.look(kept.place, cluster)
    (checkouts / "stage").unlink()
    (checkouts / "stage").symlink_to(served)

    given = minions.ask_for_others(cluster)
    problems = find_problems(
        before, after, change=change, switch=switch, given=given, target=TARGET
    )
    leaks = [problem for problem in problems if problem.startswith("LEAK")]
    assert "LEAK: commit 000000000000 of develop changed /etc/motd on stage1" in leaks
    assert "LEAK: commit 000000000000 of develop changed the pillar of stage1" in leaks
    assert [leak for leak in leaks if "stage1" not in leak] == []


def test_a_kept_demo_is_stopped_with_the_command_it_names(kept: Kept) -> None:
    born = births(processes_of(kept.place.salt))
    assert len(born) >= 1 + len(minions.MINIONS)

    out = shell(kept.commands()[-1])

    assert re.fullmatch(rf"ended \d+ processes and removed {kept.place.folder}\n", out)
    (kept.place.folder.parent / "tmp").rmdir()
    shutil.rmtree(kept.place.folder.parent / "bin", ignore_errors=True)
    assert_nothing_left(kept.place.folder.parent, born)
