"""A formula's repository, and a control repository that pins it: for the tests of formulas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import own_cache as caches
from tests.support.flow_site import FlowSite
from tests.support.remote import Remote

FILES = {"nginx/init.sls": "nginx:\n  test.nop: []\n", "README.md": "nginx\n"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Formulas are kept in a cache of the test's own, and may come from folders; for modules that import it."""
    caches.use(monkeypatch, tmp_path / "cache")
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "file:https:ssh")
    yield


class FormulaRemote(Remote):
    """``formula.release("v1.0.0")``: a commit on master with a tag."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.number = 0

    def change(self, subject: str, branch: str = "master", text: str | None = None) -> str:
        """A commit that changes the state; its hash."""
        self.number += 1
        body = text or f"nginx:\n  test.nop:\n    - name: nginx{self.number}\n"
        return self.commit(branch, {**FILES, "nginx/init.sls": body}, message=subject)

    def release(self, tag: str, subject: str = "", text: str | None = None) -> str:
        """A commit with an annotated tag; its hash."""
        commit = self.change(subject or f"Release {tag}", text=text)
        self.git("tag", "-a", "-m", tag, tag, commit)
        return commit


def on_topic(flow: FlowSite, name: str = "formulas") -> None:
    """Stand on a topic branch of the clone."""
    flow.well("feature", "start", name)


def gitmodules(*entries: tuple[str, str]) -> str:
    """The text of a .gitmodules: path and URL each."""
    return "".join(f'[submodule "{p}"]\n\tpath = {p}\n\turl = {u}\n' for p, u in entries)
