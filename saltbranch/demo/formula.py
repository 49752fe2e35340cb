"""The demo's formula: a repository of its own with a state, pinned by the control repository."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import quote

from saltbranch.git.program import Git
from saltbranch.repository import pin_commit
from saltbranch.repository.pin_commit import PinEdit

NAME: Final = "banner"
PATH: Final = f"formulas/{NAME}"
FIRST, NEXT = "v1.0.0", "v1.1.0"
TEXTS: Final = {"etc/issue": f"banner {NEXT}"}
_SLS: Final = """\
banner:
  file.managed:
    - name: {{ grains.get('saltbranch_demo_dir', '').rstrip('/') }}/etc/issue
    - contents: banner %s
    - makedirs: True
"""


def url(folder: Path) -> str:
    """What git calls `folder`, whose name may hold anything."""
    return f"file://{quote(str(folder))}"


def make(folder: Path) -> None:
    """The formula's repository at `folder`, with its first release. Raises GitError."""
    folder.mkdir(parents=True)
    git = Git(str(folder), work_tree=True)
    git.out("init", "--quiet", "--template=", "--initial-branch=main")
    for key, value in (
        ("user.name", "Formula maintainers"),
        ("user.email", "formulas@example.com"),
        ("commit.gpgSign", "false"),
        ("tag.gpgSign", "false"),
    ):
        git.out("config", key, value)
    release(folder, FIRST, "A banner for whoever logs in")


def release(folder: Path, tag: str, subject: str) -> None:
    """A commit with the version in the state's text, and its tag. Raises GitError."""
    (folder / NAME).mkdir(exist_ok=True)
    (folder / NAME / "init.sls").write_text(_SLS % tag)
    git = Git(str(folder), work_tree=True)
    git.out("add", "--all")
    git.out("commit", "--quiet", "--no-verify", f"--message={subject}")
    git.out("tag", "--annotate", f"--message={tag}", tag)


def pin(work: Path, folder: Path) -> None:
    """Pin the first release in the clone `work`, on the branch that is checked out. Raises GitError, RefusedError."""
    git = Git(str(work), work_tree=True)
    # So that git takes a folder for a server, as `saltbranch formula` asks before it does.
    git.out("config", "protocol.file.allow", "always")
    commit = Git(str(folder), work_tree=True).out("rev-parse", f"{FIRST}^{{commit}}").strip()
    edit = PinEdit(PATH, PATH, commit, url(folder))
    pin_commit.write(git, Git(f"{work}/.git"), edit, f"Formula {NAME}: {FIRST}\n")
    git.out(
        "submodule", "--quiet", "update", "--init", "--", PATH,
        config=("protocol.file.allow=always",),
    )  # fmt: skip


def link(work: Path) -> None:
    """Let Salt see it among the states, and every minion get it."""
    os.symlink(f"../{PATH}/{NAME}", work / "salt" / NAME)
    top = work / "salt" / "top.sls"
    top.write_text(top.read_text().replace("    - common\n", f"    - common\n    - {NAME}\n", 1))
