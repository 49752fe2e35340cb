"""formula, killed by SIGKILL at its steps: the commit is there or not, nothing else moved, and the next run ends it."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from tests.support import budget
from tests.support.flow_site import FlowSite
from tests.support.formulas import FormulaRemote, on_topic, own_cache  # noqa: F401
from tests.support.kill_server import KillServer

# From the first step that writes anything of the clone on.
FIRST = ("start git hash-object", "start git update-index", "start git submodule")
VERBS = {
    "add": ["formula", "add", "URL", "--at", "v2.8.0"],
    "update": ["formula", "update", "nginx"],
    "remove": ["formula", "remove", "nginx"],
}


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("verb", list(VERBS))
def test_killed_at_its_steps(
    flow: FlowSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, *, every: bool
) -> None:
    nginx = FormulaRemote(tmp_path / "nginx.git")
    for tag in ("v2.8.0", "v2.8.1"):
        nginx.release(tag)
    words = [str(nginx.path) if w == "URL" else w for w in VERBS[verb]]
    on_topic(flow)
    if verb != "add":
        flow.well("formula", "add", str(nginx.path), "--at", "v2.8.0")
    (flow.clone / "salt/staged.sls").write_text("mine\n")
    flow.git("add", "salt/staged.sls")
    (flow.clone / "salt/app/init.sls").write_text("mine\n")
    before, status = flow.git("rev-parse", "HEAD"), flow.git("status", "--porcelain")
    template = tmp_path / "template"
    shutil.copytree(flow.clone, template, symlinks=True)

    monkeypatch.chdir(flow.clone)
    with KillServer() as server:
        log = tmp_path / "steps"
        assert server.run(log, "", 0, *words) == 0
        _reset(flow.clone, template)
        # What is fetched for the first time takes more steps.
        assert server.run(log, "", 0, *words) == 0
        wanted = flow.git("rev-parse", "HEAD^{tree}")
        steps = log.read_text().splitlines()
        begin = min(n for n, step in enumerate(steps) if step in FIRST)
        kept = [begin + n for n in budget.calls(steps[begin:], 4)[:-1]]
        kills, ends = range(begin, len(steps)) if every else kept, set()
        for number in kills:
            _reset(flow.clone, template)
            assert server.run(log, "any", number, *words) == -signal.SIGKILL
            head = flow.git("rev-parse", "HEAD")
            ends.add(head == before)
            assert head == before or flow.git("rev-parse", "HEAD^{tree}") == wanted, steps[number]
            again = flow.run(*words)
            if head != before and verb == "remove":
                assert again.code == 2  # it is gone
            else:
                assert again.code == 0, (steps[number], again)
            assert flow.git("rev-parse", "HEAD^{tree}") == wanted, steps[number]
            assert flow.git("rev-parse", "HEAD^") == before
            mine = [
                line
                for line in flow.git("status", "--porcelain").splitlines()
                if "formulas" not in line
            ]
            assert "\n".join(mine).strip() == status.strip(), steps[number]
        assert ends == {True, False}  # both were seen: nothing is committed, and all of it


def _reset(clone: Path, template: Path) -> None:
    """The same folder, with other content: the server stands in it."""
    for entry in clone.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    shutil.copytree(template, clone, symlinks=True, dirs_exist_ok=True)
