"""What `sync --plan` says before the first sync is what that then does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.flow_site import FlowSite
from tests.support.site import Site, result_of

pytestmark = pytest.mark.core


def test_plan_of_a_new_master_stops_where_a_push_by_hand_is_refused(
    flow: FlowSite, tmp_path: Path
) -> None:
    flow.configure(prod={"direct_pushes": "refuse"})
    flow.push("develop")
    old = flow.to_prod()
    pushed = flow.push("master")
    (tmp_path / "m1").mkdir()
    site = Site(tmp_path / "m1", flow.remote)
    site.configure(saltenvs=None)
    planned = result_of(site.sync_here(plan=True), "prod")
    done = result_of(site.sync_here(), "prod")
    assert (done.new, done.refused, done.state) == (old, pushed, "first")
    assert (planned.new, planned.refused, planned.state) == (old, pushed, "first")
    assert planned.changed and planned.message == done.message
