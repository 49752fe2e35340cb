"""The demo's control repository: a bare remote made from the sample, and a change pushed to it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from saltbranch.base.errors import SaltbranchError
from saltbranch.config import locate
from saltbranch.demo import formula, sample
from saltbranch.git.program import Git

NOTICE: Final = "Maintenance on Sunday, 22:00 UTC."
_NOTICE_SLS: Final = """\
# An announcement for whoever logs in.
{% from 'common/paths.jinja' import prefix with context %}

notice:
  file.managed:
    - name: {{ prefix }}/etc/notice
    - contents: {{ pillar['notice'] | json }}
    - makedirs: True
    - mode: '0644'
"""
_MOTD_LINE: Final = "There is a notice in /etc/notice."
GREETING: Final = "Good morning."
NOTICE_TEXTS: Final[Mapping[str, str]] = {"etc/motd": _MOTD_LINE, "etc/notice": NOTICE}
_MODEL: Final = """\
# Which branch is which saltenv, and whose minions get it. This file counts as it stands on master:
# a change of it has to be promoted there like any other.
"""


@dataclass(frozen=True, slots=True)
class Change:
    """A commit, and what it makes of a server: `files` is path -> a text that is new in it."""

    commit: str
    subject: str
    branch: str
    paths: tuple[str, ...]
    files: Mapping[str, str]


def make(remote: Path, work: Path, branches: Mapping[str, str], pinned: Path) -> str:
    """Make the bare repository `remote`, and its clone `work`; the commit that its branches name.

    pinned: the repository of a formula, made as well. branches: saltenv -> branch, each saltenv
    promoted to from the one before it. Raises GitError, RefusedError, SaltbranchError.
    """
    first, *others = branches.values()
    source = Path(sample.folder())
    for name in sample.FOLDERS:
        shutil.copytree(source / name, work / name, ignore=shutil.ignore_patterns("__pycache__"))
    formula.make(pinned)
    formula.link(work)
    (work / locate.FILE_NAME).write_text(_MODEL + yaml.safe_dump(_model(branches), sort_keys=False))
    remote.mkdir()
    Git(str(remote)).out("init", "--quiet", "--bare", "--template=", f"--initial-branch={first}")
    git = Git(str(work), work_tree=True)
    git.out("init", "--quiet", "--template=", f"--initial-branch={first}")
    # In the clone, so that whoever tries things out there can commit at once.
    for key, value in (
        ("user.name", "Salt operations"),
        ("user.email", "ops@example.com"),
        ("commit.gpgSign", "false"),
    ):
        git.out("config", key, value)
    git.out("remote", "add", "origin", str(remote))
    git.out("add", "--all", "--force")
    git.out("commit", "--quiet", "--no-verify", "--message=Sample control repository")
    formula.pin(work, pinned)
    for branch in others:
        git.out("branch", branch)
    git.out("push", "--quiet", "--atomic", "--set-upstream", "origin", first, *others)
    return git.out("rev-parse", "HEAD").strip()


def push_change(work: Path, branch: str) -> Change:
    """Commit a new sls file, a changed template and changed pillar to `branch`, and push it.

    work: the clone, with `branch` checked out. Raises GitError, SaltbranchError.
    """
    common = work / "salt" / "common"
    (common / "extra").mkdir()
    (common / "extra" / "notice.sls").write_text(_NOTICE_SLS)
    # A glob: unlike a name it finds nothing in a list of files that the file server should have renewed.
    _edit(common / "init.sls", "\nmotd:\n", "\ninclude:\n  - common.extra.*\n\nmotd:\n")
    with (common / "files" / "motd.j2").open("a") as motd:
        motd.write(f"{_MOTD_LINE}\n")
    _edit(work / "pillar" / "common.sls", "common:\n", f"notice: {NOTICE!r}\n\ncommon:\n")
    git = Git(str(work), work_tree=True)
    git.out("add", "--all")
    subject = "Announce the maintenance"
    git.out("commit", "--quiet", "--no-verify", f"--message={subject}")
    git.out("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
    paths = git.out("show", "--format=", "--name-only", "HEAD").split()
    return Change(
        commit=git.out("rev-parse", "HEAD").strip(),
        subject=subject,
        branch=branch,
        paths=tuple(paths),
        files=NOTICE_TEXTS,
    )


def _model(branches: Mapping[str, str]) -> dict[str, object]:
    saltenvs: dict[str, dict[str, object]] = {}
    for saltenv, branch in branches.items():
        before = {"promote_from": list(saltenvs)[-1]} if saltenvs else {}
        saltenvs[saltenv] = {"branch": branch, **before, "minions": [f"{saltenv}*"]}
    saltenvs[saltenv]["protected"] = True
    return {"saltenvs": saltenvs}


def add_timeout(work: Path) -> None:
    """Give the app a timeout: a line of its template, and the pillar that the line shows."""
    _edit(
        work / "salt" / "app" / "files" / "app.ini.j2",
        "\ntoken =",
        "\ntimeout = {{ app.timeout }}\ntoken =",
    )
    _edit(work / "pillar" / "app.sls", "app:\n", "app:\n  timeout: 30\n")


def raise_timeout(work: Path) -> None:
    """Change that pillar."""
    _edit(work / "pillar" / "app.sls", "timeout: 30", "timeout: 90")


def greet(work: Path) -> None:
    """Add a line to the message of the day."""
    with (work / "salt" / "common" / "files" / "motd.j2").open("a") as motd:
        motd.write(f"{GREETING}\n")


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    if old not in text:
        raise SaltbranchError(f"the sample's {path.name} is not as the demo expects it")
    path.write_text(text.replace(old, new, 1))
