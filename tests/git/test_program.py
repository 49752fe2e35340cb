"""What is asked of the git program, and what is kept from it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from saltbranch.base import proc
from saltbranch.base.errors import GitError, SaltbranchError
from saltbranch.git import program as git


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://bot:s3cr3t@git.example.com/x", "https://bot:***@git.example.com/x"),
        ("https://t0k3n@git.example.com/x", "https://***@git.example.com/x"),
        (
            "fatal: 'https://a:b@h/x' and http://c:d@h",
            "fatal: 'https://a:***@h/x' and http://c:***@h",
        ),
        ("ssh://git@git.example.com/x", "ssh://git@git.example.com/x"),
        ("ssh://git:s3cr3t@h/x", "ssh://git:***@h/x"),
        ("git@git.example.com:ops/salt.git", "git@git.example.com:ops/salt.git"),
        ("https://:s3cr3t@h", "https://:***@h"),
        ("https://git.example.com/@scope/x", "https://git.example.com/@scope/x"),
        ("https://bot:p@ss@h/x", "https://bot:***@h/x"),
    ],
)
def test_credentials_are_masked(text: str, shown: str) -> None:
    assert git.mask(text) == shown


def test_environment_drops_what_redirects_git_and_keeps_what_reaches_the_remote() -> None:
    base = {
        "GIT_DIR": "/x", "GIT_WORK_TREE": "/x", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_PARAMETERS": "x",
        "GIT_TRACE": "1", "GIT_SSH_COMMAND": "ssh -i key", "GIT_SSL_CAINFO": "/ca", "HOME": "/h", "LC_ALL": "de_DE",
    }  # fmt: skip
    env = git.environment(base)
    assert {k: v for k, v in env.items() if k in base} == {
        "GIT_SSH_COMMAND": "ssh -i key", "GIT_SSL_CAINFO": "/ca", "HOME": "/h", "LC_ALL": "C",
    }  # fmt: skip
    assert env["GIT_TERMINAL_PROMPT"] == "0"
    assert "BatchMode=yes" in git.environment({})["GIT_SSH_COMMAND"]
    assert "GIT_SSH_COMMAND" not in git.environment({"GIT_SSH": "plink"})


_PARTS = st.one_of(
    st.text(max_size=4),
    st.sampled_from(
        [
            "a",
            "/",
            ".",
            "..",
            ".lock",
            "@",
            "{",
            "-",
            "~",
            "^",
            ":",
            "?",
            "*",
            "[",
            "\\",
            " ",
            "\x7f",
            "ü",
        ]
    ),
)


@given(st.lists(_PARTS, max_size=6).map("".join))
@example("@")
@example("-a")
@example("a.lock/b")
@example("a/@{b")
@example("refs/heads/x")
@settings(max_examples=150, deadline=None)
def test_branch_names_are_judged_as_git_does(name: str) -> None:
    if "\0" in name or any("\ud800" <= c <= "\udfff" for c in name):
        return  # no program can be asked about it
    done = subprocess.run(["git", "check-ref-format", "--branch", name], capture_output=True)
    is_fine = done.returncode == 0 and done.stdout == os.fsencode(name) + b"\n"
    if git.branch_name_problem(name) is None:
        assert is_fine
    else:
        # Stricter where git is too: `git checkout @` and `git branch -x` mean something else.
        assert not is_fine or name == "@"


def test_version_is_that_of_the_program() -> None:
    said = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout
    assert said.split()[2].startswith(".".join(map(str, git.version())))
    git.require_version()


def test_failure_names_verb_place_and_complaint(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "r"], check=True)
    repository = git.Git(str(tmp_path / "r"))
    with pytest.raises(GitError) as caught:
        repository.out("cat-file", "blob", "1" * 40)
    assert caught.value.message.startswith(
        f"git cat-file failed in {tmp_path}/r (exit 128):\n  fatal: "
    )
    assert repository.commit_or_none("refs/heads/none") is None
    assert repository.commit_or_none("--help") is None
    with pytest.raises(GitError):
        repository.is_ancestor("1" * 40, "2" * 40)


# Programs


def test_both_outputs_and_the_exit_code_are_kept() -> None:
    done = proc.run(["sh", "-c", "echo out; echo err >&2; exit 7"], os.environ)
    assert (done.code, done.out, done.err, done.timed_out) == (7, b"out\n", b"err\n", False)


def test_large_outputs_do_not_block() -> None:
    script = "import sys; sys.stdout.write('o' * 2**21); sys.stderr.write('e' * 2**21)"
    done = proc.run([sys.executable, "-c", script], os.environ)
    assert (done.code, len(done.out), len(done.err)) == (0, 2**21, 2**21)


def test_signal_is_a_negative_code() -> None:
    assert proc.run(["sh", "-c", "kill -9 $$"], os.environ).code == -9


def test_stdin_is_empty() -> None:
    assert proc.run(["cat"], os.environ, timeout=10).code == 0


def test_time_out_ends_the_whole_group() -> None:
    begun = time.monotonic()
    done = proc.run(["sh", "-c", "sleep 60 & echo $!; wait"], os.environ, timeout=0.3)
    assert done.timed_out and done.code == -15
    assert time.monotonic() - begun < 10
    assert not _is_running(int(done.out))


def test_program_that_left_a_daemon_with_its_outputs_is_not_waited_for() -> None:
    """An ssh with ControlPersist does so."""
    begun = time.monotonic()
    done = proc.run(["sh", "-c", "setsid sleep 3 & echo done"], os.environ)
    assert (done.code, done.out) == (0, b"done\n")
    assert time.monotonic() - begun < 2.5


def test_progress_is_told_line_by_line() -> None:
    said: list[str] = []
    done = proc.run(
        ["sh", "-c", r"printf 'a 1%%\ra 2%%\nb\n' >&2"], os.environ, progress=said.append
    )
    assert said == ["a 1%", "a 2%", "b"]
    assert done.complaint == "a 1%\na 2%\nb"


def test_missing_program_is_an_error_with_a_hint() -> None:
    with pytest.raises(SaltbranchError, match="cannot start 'no-such-program'") as caught:
        proc.run(["no-such-program"], os.environ)
    assert "install" in caught.value.hint


def test_no_file_is_left_open() -> None:
    proc.run(["true"], os.environ)
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(3):
        proc.run(["true"], os.environ)
        with pytest.raises(SaltbranchError):
            proc.run(["no-such-program"], os.environ)
    assert sorted(os.listdir("/proc/self/fd")) == before


def _is_running(pid: int) -> bool:
    for _ in range(50):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
        except OSError:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize(
    "word",
    [
        "/srv/salt",
        "a b",
        "it's",
        "",
        "$(reboot)",
        "a;b",
        "a\nb",
        "*",
        "~x",
        'a"b',
        "\u00e4",
        "a\\b",
    ],
)
def test_what_a_hint_shows_is_one_word_for_a_shell(word: str) -> None:
    assert shlex.split(git.quoted(word)) == [word]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("log.showSignature", "true"),
        ("i18n.logOutputEncoding", "latin1"),
        ("trailer.separators", "="),
    ],
)
def test_what_is_read_of_commits_is_as_it_was_asked_for(
    tmp_path: Path, key: str, value: str
) -> None:
    """With log.showSignature, for one, a signed commit's time came with what gpg says of it."""
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "r"], check=True)
    subprocess.run(["git", f"--git-dir={tmp_path}/r", "config", key, value], check=True)

    assert git.Git(str(tmp_path / "r")).out("config", "--get", key).strip() != value
