"""What was found out is kept for the next sync, and believed only where it is what we write."""

from __future__ import annotations

import pytest

from tests.support.remote import Remote
from tests.support.site import Journal, Site, result_of


@pytest.mark.parametrize(
    ("ours", "theirs"), [("\thold\t", "\tsomehow\t"), ("\t\tKEY-1\t\t", "\t\tKEY-1\tmildly\t")]
)
def test_a_kind_that_we_do_not_know_is_found_out_anew(
    site: Site, remote: Remote, ours: str, theirs: str
) -> None:
    old = remote.head("master")
    Journal(remote).hold("prod", old, reason="KEY-1")
    remote.commit("master", {"salt/new.sls": ""})
    assert site.sync_here().exit_code == 0
    kept = site.root / "state" / "choices"
    good = kept.read_text()
    assert ours in good
    kept.write_text(good.replace(ours, theirs))
    result = result_of(site.sync_here(), "prod")
    assert (result.why, result.state, result.new) == ("hold", "unchanged", old)
    assert kept.read_text() == good
