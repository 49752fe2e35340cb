"""The lease of an apply that waits for long: for a hook, a check, a person."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from saltbranch.apply import lease_holder
from saltbranch.apply.lease_holder import LeaseHolder
from saltbranch.base.errors import RefusedError
from saltbranch.serve import leased

NAME = "20261129T120000Z-0123abcd"
A, B = "a" * 40, "b" * 40


def end_of(root: Path) -> float:
    lease = leased.read(str(root), "master", time.time())
    return lease.until if lease else 0.0


def until_later(root: Path, than: float) -> float:
    give_up = time.monotonic() + 30
    while (found := end_of(root)) <= than:
        assert time.monotonic() < give_up, "it is not moved on"
        time.sleep(0.01)
    return found


def test_it_is_moved_on_while_something_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_holder, "_RENEW", 0.05)  # the clock of it
    served = [A]
    lease = LeaseHolder(str(tmp_path), "master", lambda: served[0], NAME, "Ann", time.time())
    assert lease.take() == A
    with lease.kept():
        until_later(tmp_path, until_later(tmp_path, end_of(tmp_path)))  # more than once
        lease.move_to(B)
        until_later(tmp_path, end_of(tmp_path))
        found = leased.read(str(tmp_path), "master", time.time())
        assert found is not None and found.commit == B
    lease.drop()
    time.sleep(0.3)
    assert end_of(tmp_path) == 0  # nobody takes it again


def test_who_slept_too_long_hears_what_became_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_holder, "_RENEW", 0.05)
    served = [A]
    lease = LeaseHolder(str(tmp_path), "master", lambda: served[0], NAME, "Ann", time.time())
    lease.take()
    lease._written -= 2 * leased.SECONDS
    served[0] = B
    with lease.kept():
        time.sleep(0.3)
        with pytest.raises(RefusedError, match=f"{B[:12]} is served by now, not {A[:12]}"):
            lease.renew()
