"""Programs are started without a shell, ended in time, and never from files of the current folder."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import pytest

from saltbranch.base import proc
from saltbranch.base.errors import SaltbranchError


def run(code: str, **options: float) -> proc.Finished:
    return proc.run([sys.executable, "-c", code], os.environ, **options)  # type: ignore[arg-type]


def test_both_outputs_and_the_exit_code_come_back() -> None:
    done = run("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)")
    assert (done.code, done.out, done.complaint) == (7, b"out\n", "err")


def test_much_output_on_both_pipes_does_not_hang() -> None:
    done = run(
        "import sys; [(sys.stdout.write('o'*9999), sys.stderr.write('e'*9999)) for _ in range(99)]"
    )
    assert (len(done.out), len(done.err)) == (989901, 989901)


def test_a_program_over_its_time_is_ended_with_all_it_started() -> None:
    begun = time.monotonic()
    done = proc.run(["sh", "-c", "sleep 60 & sleep 60"], os.environ, timeout=0.3)
    assert done.timed_out
    assert done.code != 0
    assert time.monotonic() - begun < 30


def test_a_daemon_left_behind_with_the_pipe_does_not_hold_the_caller() -> None:
    begun = time.monotonic()
    done = proc.run(["sh", "-c", "sleep 30 & echo started; exit 0"], os.environ)
    assert done.out == b"started\n"
    assert time.monotonic() - begun < 20


def test_a_missing_program_is_named() -> None:
    with pytest.raises(SaltbranchError, match="no-such-program"):
        proc.run(["no-such-program"], os.environ)


def test_progress_gets_each_line() -> None:
    lines: list[str] = []
    argv = [sys.executable, "-c", r"import sys; sys.stderr.write('10%\r20%\rdone\n')"]
    proc.run(argv, os.environ, progress=lines.append)
    assert lines == ["10%", "20%", "done"]


def test_a_child_python_runs_nothing_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "yaml.py").write_text(f"open({str(canary)!r}, 'w')\n")
    (tmp_path / "saltbranch.py").write_text(f"open({str(canary)!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    done = proc.run(proc.python("import yaml, saltbranch; print(sys.argv)", "a"), os.environ)
    assert done.complaint == ""
    assert done.text == "['-c', 'a']\n"
    assert not canary.exists()


def test_a_program_gets_one_more_descriptor() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        code = "import os; os.write(3, b'heard')"
        done = proc.run([sys.executable, "-c", code], dict(os.environ), third=theirs.fileno())
        assert done.code == 0
        assert ours.recv(10) == b"heard"


def test_a_program_starts_in_the_folder_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = "import os; print(os.getcwd())"
    done = proc.run([sys.executable, "-c", code], dict(os.environ), folder="/")
    assert done.text == "/\n" and Path.cwd() == tmp_path


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_the_current_folder_need_not_be_one_that_can_be_read(tmp_path: Path) -> None:
    """It may only be passed through: chdir(2) asks for no more than that."""
    tmp_path.chmod(0o711)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.chdir(tmp_path)
            os.setuid(65534)
            done = proc.run(["pwd"], dict(os.environ), folder="/")
            code = 0 if done.text == "/\n" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
