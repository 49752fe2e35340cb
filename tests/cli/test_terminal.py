"""What strangers wrote comes out of every verb as text: no line, no colour, no picture and no command of its own."""

from __future__ import annotations

import ast
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import saltbranch.cli
from saltbranch.cli import terminal
from tests.support.project import Project, model
from tests.support.remote import Content, Remote
from tests.support.site import Ran, Site, build_template

ODD = "b\n::stop-commands::x\n  ::warning::y\r\x1b[31m\u202e:fire:[bold]z"
"""A file name: new lines that a CI takes for commands, colours, direction, and what rich knows."""
SUBJECT = "KEY-2 :fire: [red]x[/] \x1b]0;title\x07 it's\u202e\u2028::error::z"
STATES = "'svc:key:[bold]x\\e[31m':\n  test.nop: []\n':100:':\n  nosuch.function: []\n"


def changes() -> dict[str, Content]:
    return {
        f"salt/{ODD}.sls": "a:\n  test.nop: [\n",
        "salt/app/init.sls": STATES,
        "salt/long.sls": "".join(f"a{n}:\n  test.nop: []\n" for n in range(49))
        + "b:\n  no.such: []\n",
        "pillar/app.sls": '"tls:lock:[red]": {"key\\e[1m": 1}\n',
    }


def check(ran: Ran) -> str:
    """The output, which has nothing in it that acts."""
    text = ran.out + ran.err
    assert "this is a bug" not in text
    for line in text.split("\n"):
        if re.match("::(error|warning|notice) file=", line):
            continue  # check --github's own
        assert not line.lstrip().startswith(("::", "##[")), line
        # Box drawing is ours; the replacement character stands for what was taken out.
        odd = [
            c
            for c in line
            if not c.isprintable() or (c > "\u2190" and not "\u2500" <= c < "\u2580")
        ]
        assert set(odd) <= {"\ufffd"}, (line, odd)
    return text


@pytest.mark.parametrize("code", [*range(0x20), 0x7F, 0x85, 0x9B, 0xAD, 0x2028, 0x202E])
def test_a_text_of_many_lines_keeps_our_line_breaks_only(
    capsys: pytest.CaptureFixture[str], code: int
) -> None:
    terminal.block(f"one\ttwo\n~ {chr(code)}{chr(code)}x\n")
    shown = chr(code) if chr(code) in "\t\n" else "\ufffd"
    assert capsys.readouterr().out == f"one\ttwo\n~ {shown}{shown}x\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    keys = model(prod={"gates": ["ticket"]}) | {"fleet": "fleet"}
    found = Project(tmp_path, keys)
    minion = json.dumps({"grains": {"id": "x", "os": "Debian", "kernel": "Linux"}})
    files: dict[str, Content] = {
        "salt/top.sls": "base:\n  '*':\n    - app\n    - long\n",
        "pillar/top.sls": "base:\n  '*':\n    - app\n",
        "salt/app/init.sls": "app:\n  test.nop: []\n",
        **{
            f"fleet/{m}.yaml": minion.replace('"x"', f'"{m}"') for m in ("test1", "stage1", "prod1")
        },
    }
    head = found.remote.commit("master", files, message="KEY-1 fleet")
    for branch in ("stage", "develop"):
        found.remote.set_branch(branch, head)
    found.remote.commit("develop", changes(), message=SUBJECT)
    return found


def test_in_a_clone(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = project.clone("ann")
    monkeypatch.chdir(ann.path)
    monkeypatch.setenv("GIT_COMMITTER_NAME", "A[bold]:key:\u202en")
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "ann@example.com")
    reason = ["--reason", "a :lock: [red]b\n::error::c\x1b[1m", "--yes"]
    shown = ""
    for words in WORDS:
        shown += check(
            ann.run(*words, *(reason if words[0] in ("hold", "unhold", "rollback") else []))
        )
    assert "salt/long.sls:100: " in shown  # which rich would draw as a picture
    for text in ("KEY-2 :fire: [red]x[/]", "svc:key:[bold]x", "tls:lock:[red]", "A[bold]:key:"):
        assert text in shown, text
    head = project.remote.head("stage")
    project.remote.commit("stage", {f"salt/{ODD}.sls": "one"}, parents=(head,))
    project.remote.commit("develop", {f"salt/{ODD}.sls": "two"}, message=SUBJECT)
    for words in (("promote", "stage", "--plan"), ("promote", "stage", "--yes"), ("why-not", "stage"),
                  ("promote", "stage", "--resolve", str(project.folder / "it's here"))):  # fmt: skip
        assert "::stop-commands::" in check(ann.run(*words))


WORDS = [
    ("status",),
    ("check", "develop", "--static"),
    ("check", "develop"),
    ("check", "develop", "--github"),
    ("diff", "stage"),
    ("diff", "stage", "--markdown"),
    ("diff", "master", "develop"),
    ("fleet", "list"),
    ("promote", "stage", "--plan"),
    ("why-not", "stage"),
    ("promote", "stage", "--yes", "--tag", "auto"),
    ("promote", "prod", "--yes"),
    ("hold", "stage"),
    ("status",),
    ("unhold", "stage"),
    ("rollback", "stage"),
    ("history", "--all"),
    ("where", "KEY-2"),
    ("where", "develop"),
    ("where", f"salt/{ODD}.sls"),
    ("changelog", "stage"),
    ("feature", "start", "KEY-3-x"),
    ("feature", "publish", "KEY-3-x"),
    ("feature", "list"),
    ("backmerge", "prod", "--plan"),
    ("promote", "nosuch\n::error::x", "--yes"),
    ("where", "nosuch\n::error::x"),
    ("check", "nosuch\n  ::error::x"),
]


def test_on_a_master(tmp_path: Path) -> None:
    remote: Remote = build_template(tmp_path / "remote.git")
    site = Site(tmp_path, remote)
    shown = check(site.sync())
    remote.commit("develop", changes(), message=SUBJECT)
    (site.root / "slots" / ODD.replace("/", "")).mkdir()
    link = {
        f"salt/{ODD}": "version https://git-lfs.github.com/spec/v1\noid sha256:"
        + "6" * 64
        + "\nsize 1\n"
    }
    remote.commit("stage", link, message=SUBJECT)
    for words in (("sync",), ("status",), ("doctor",), ("explain", "test1"), ("prune", "--plan"),
                  ("explain", "a\n::error::x"), ("sync", "te\n::error::st"), ("check", "--all", "--static"),
                  ("history",), ("where", "KEY-2")):  # fmt: skip
        shown += check(site.run(*words))
    assert "KEY-2 :fire: [red]x[/]" in shown


def writers() -> Iterator[tuple[str, int]]:
    """Places below cli/ that write to the terminal past terminal.py and console.py."""
    folder = Path(saltbranch.cli.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in (
                    "print",
                    "typer.echo",
                    "Console",
                    "sys.stdout.write",
                    "sys.stderr.write",
                ):
                    yield path.name, node.lineno


def test_there_is_one_way_out() -> None:
    # JSON is escaped, app.py says its version, the demo has its own texts.
    assert {name for name, _ in writers()} <= {"common.py", "app.py", "demo.py"}


def test_a_format_of_programs_is_left_alone_but_for_a_terminal() -> None:
    code = (
        "from saltbranch.cli.options.common import print_for_program;"
        " print_for_program('a\\x1b[31m\\u202e\\nb\\n')"
    )
    piped = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert piped.decode() == "a\x1b[31m\u202e\nb\n"
    ours, theirs = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", code], stdout=theirs, check=True)
        assert os.read(ours, 1000).decode() == "a\ufffd[31m\ufffd\r\nb\r\n"
    finally:
        os.close(ours)
        os.close(theirs)
