"""Where both sides of a diff come from, by real histories."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from saltbranch.git.program import Git
from saltbranch.preview.before_and_after import _between, _counts


def test_commits_of_each_side_are_counted_without_merges(tmp_path: Path) -> None:
    def git(*args: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        argv = ["git", "-C", str(tmp_path), *who, *args]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    def commit(text: str) -> str:
        git("commit", "-q", "--allow-empty", "-m", text)
        return git("rev-parse", "HEAD")

    git("init", "-q", "-b", "master")
    base = commit("base")
    old = commit("lost")
    git("checkout", "-q", "-b", "side", base)
    commit("one")
    git("checkout", "-q", "-b", "new", base)
    commit("two")
    git("merge", "-q", "--no-ff", "-m", "merge", "side")
    new = git("rev-parse", "HEAD")
    repository = Git(str(tmp_path / ".git"))
    assert _counts(repository, old, new) == (1, 2)
    assert _counts(repository, base, new) == (0, 2)
    assert _counts(repository, new, new) == (0, 0)
    lost = _between(repository, re.compile(r"[A-Z]+-\d+"), old, new, "--no-merges")
    assert [line.subject for line in lost] == ["lost"]
