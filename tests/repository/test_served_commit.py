"""Every verb has one answer to which commit a saltenv serves: what a sync switches to."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from saltbranch.config.model import Saltenv
from saltbranch.repository import clone_or_mirror
from saltbranch.repository.workplace import Workplace, open_machine, open_mirror, open_workplace
from tests.support.flow_site import FlowSite
from tests.support.site import Site, result_of


@pytest.fixture
def master(flow: FlowSite, tmp_path: Path) -> Site:
    """A master of a repository where prod follows version tags."""
    flow.configure(prod={"follow": {"tags": r"^v[0-9.]+$"}})
    (tmp_path / "m1").mkdir()
    site = Site(tmp_path / "m1", flow.remote)
    site.configure(saltenvs=None)
    flow.remote.git("tag", "v1", flow.remote.head("master"))
    assert site.sync_here().exit_code == 0
    return site


def prod(work: Workplace) -> Saltenv:
    """The saltenv of that name."""
    return next(s for s in work.config.saltenvs if s.name == "prod")


def answers(flow: FlowSite, master: Site, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The tag and the commit by a clone, by a master, by its mirror alone, and by what a diff compares."""
    monkeypatch.chdir(flow.clone)
    works = [
        open_workplace(None),
        open_machine(str(master.config)),
        open_mirror(str(master.config)),
    ]
    found = [work.wanted(prod(work)) for work in works]
    place, saltenv = clone_or_mirror.of_machine(str(master.config)), prod(works[0])
    found += [p.source().wanted(saltenv, time.time()) for p in (place, clone_or_mirror.find(None))]
    return [(wanted.tag, wanted.commit or "") for wanted in found]


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_tag_is_one_however_often_it_is_tagged(
    master: Site, flow: FlowSite, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    head = flow.push("master")
    named = head
    for number in range(times):
        flow.remote.git("tag", "-a", "-m", "x", f"of-a-tag-{number}", named)
        named = f"of-a-tag-{number}"
    flow.remote.git("update-ref", "refs/tags/v2", flow.remote.git("rev-parse", named).strip())
    said = result_of(master.sync_here(), "prod")
    assert (said.tag, said.new) == ("v2", head)
    assert answers(flow, master, monkeypatch) == [("v2", head)] * 5


def test_tags_off_the_branch_count_nowhere(
    master: Site, flow: FlowSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = flow.remote.head("master")
    flow.remote.git("tag", "v3", flow.push("develop"))
    assert result_of(master.sync_here(), "prod").tag == "v1"
    assert answers(flow, master, monkeypatch) == [("v1", old)] * 5
