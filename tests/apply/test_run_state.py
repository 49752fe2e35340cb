"""What an apply has done, on the disk; and the lease that keeps its saltenv from being switched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from saltbranch.apply import run_state
from saltbranch.apply.batches import Share
from saltbranch.apply.limits import Limits
from saltbranch.apply.outcome import APPLIED, FAILED, RUNNING, Outcome
from saltbranch.apply.run_state import Pass, Record
from saltbranch.base.errors import SaltbranchError, UsageError
from saltbranch.serve import leased
from saltbranch.serve.leased import SECONDS, Lease
from tests.support.site import Site, result_of

NAME = "20260101T000000Z-0a1b2c3d"
A, B = "a" * 40, "b" * 40


def record(**changes: Any) -> Record:
    run = Pass("apply", A, [["web1", "web2"], ["web3", "web4"]], {}, at=1, step="verify")
    run.outcomes = {
        "web1": Outcome(APPLIED, "", 1, 3, "20260101000000000001"),
        "web2": Outcome(FAILED, "it returned nothing"),
        "web3": Outcome(RUNNING, jid="20260101000000000002"),
    }
    values = {
        "id": NAME, "saltenv": "prod", "dirname": "master", "by": "Ann", "since": 1.0,
        "options": {}, "skipped": {"web9": "down"}, "passes": [run], **changes,
    }  # fmt: skip
    return Record(**values)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    root = str(tmp_path)
    run_state.save(root, record())
    assert run_state.load(root, NAME) == record()
    found = run_state.last_of(root, "prod")
    assert found and found.first.counts() == {"pending": 1, "running": 1, "applied": 1, "failed": 1}
    assert found.first.touched() == ["web1", "web2", "web3"]
    assert found.first.wrong() == ["web2"]
    assert run_state.last_of(root, "test") is None


@pytest.mark.parametrize(
    "data",
    [
        "", "[]", "{}", '{"version": 2}', "[" * 5000, "null",
        json.dumps({"version": 1, "id": NAME}),
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_read_is_an_error(tmp_path: Path, data: str) -> None:
    root = str(tmp_path)
    run_state.save(root, record())
    Path(run_state.path_of(root, NAME)).write_text(data)
    with pytest.raises(SaltbranchError, match="cannot be read"):
        run_state.load(root, NAME)
    assert run_state.last_of(root, "prod") is None


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "", "20260101T000000Z", NAME + "/x", NAME[:-1]]
)
def test_what_is_no_id(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        run_state.load(str(tmp_path), name)


def test_the_word_that_ends_it(tmp_path: Path) -> None:
    root = str(tmp_path)
    run_state.save(root, record())
    assert not run_state.is_to_end(root, NAME)
    run_state.ask_to_end(root, NAME)
    assert run_state.is_to_end(root, NAME) and run_state.names(root) == [NAME]
    run_state.forget_request(root, NAME)
    assert not run_state.is_to_end(root, NAME)


def named(number: int) -> str:
    return f"20260101T{number:06}Z-0a1b2c3d"


def test_records_of_a_saltenv_stay_however_often_others_are_applied(tmp_path: Path) -> None:
    root = str(tmp_path)
    for number in range(8):
        run_state.save(root, record(id=named(number)))
    run_state.save(root, record(id=named(8), saltenv="stage", untold=[{"event": "apply"}]))
    for number in range(9, 70):
        run_state.save(root, record(id=named(number), saltenv="stage"))
    (tmp_path / "state" / "applies" / named(1)).write_text("half of it")
    run_state.forget_old(root)
    kept = run_state.names(root)
    assert kept == [named(number) for number in (*range(3, 9), *range(20, 70))]


def test_an_apply_that_another_came_after(tmp_path: Path) -> None:
    root, old = str(tmp_path), record(id=named(1))
    planned = record(id=named(4), passes=[Pass("apply", A, [["web1"]], {})])
    for other in (old, record(id=named(2), saltenv="stage"), record(id=named(0)), planned):
        run_state.save(root, other)
    assert run_state.superseded_by(root, old) is None
    run_state.save(root, record(id=named(3)))
    assert run_state.superseded_by(root, old) == record(id=named(3))


def test_what_each_minion_has_by_the_last_that_was_done_there(tmp_path: Path) -> None:
    root = str(tmp_path)
    run_state.save(root, record())
    newer = Pass("apply", B, [["web2"]], {"web2": Outcome(APPLIED)})
    left_out = {"web1": "nothing would change", "web3": "down"}
    run_state.save(root, record(id=named(5), passes=[newer], skipped=left_out))
    last = run_state.last_by_minion(run_state.of_saltenv(root, "prod"))
    found = {m: (commit, outcome.state) for m, (commit, outcome, _) in last.items()}
    assert found == {"web1": (B, "applied"), "web2": (B, "applied"), "web3": (A, "running")}


@pytest.mark.parametrize("batches", [[["web1"]], [["web1"], ["web2"]]])
def test_what_a_killed_process_did_not_hear_of_its_last_batch_ends_it(
    tmp_path: Path, batches: list[list[str]]
) -> None:
    from saltbranch.apply.engine import Engine, Stop, Stopped

    mine = record()
    run = mine.passes[0] = Pass("apply", A, batches, {"web1": Outcome(FAILED, "bad")}, at=1)
    engine = Engine(
        # Nothing is asked of it: it ends before anything is begun.
        object(), mine, str(tmp_path), seams=object(), tell=lambda event: None,
        renew=lambda: None, stop=Stop(str(tmp_path), NAME),
    )  # type: ignore[arg-type]  # fmt: skip
    for limits in (Limits(Share(0)), Limits(Share(9), Share(0))):
        with pytest.raises(Stopped, match="1 of . .*went wrong") as stopped:
            engine.run(run, limits, timeout=1, pause=lambda batch: None)
        assert stopped.value.is_failure
    if run.is_over:
        # A person has looked at it and goes on: that is not counted again.
        run.forgiven = 1
        engine.run(run, Limits(Share(0), Share(0)), timeout=1, pause=lambda batch: None)


@pytest.mark.parametrize(
    ("data", "counts"),
    [
        ({"until": 100.0 + SECONDS}, True),
        ({"until": 101.0}, True),
        ({"until": 100.0}, False),
        ({"until": 101.0 + SECONDS}, False),  # the clock went back
        ({"until": "soon"}, False),
        ({"more": 1}, False),
    ],
)
def test_when_a_lease_counts(tmp_path: Path, data: dict[str, Any], counts: bool) -> None:  # noqa: FBT001
    lease = {"apply": NAME, "commit": A, "by": "Ann", "since": 1.0, "until": 110.0, **data}
    path = tmp_path / "state" / "applies" / "lease-master"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(lease))
    assert (leased.read(str(tmp_path), "master", 100.0) is not None) == counts
    assert leased.read(str(tmp_path), "stage", 100.0) is None


def test_a_leased_saltenv_is_not_switched_and_others_are(site: Site) -> None:
    import time

    site.configure()
    site.sync_well()
    old = site.remote.head("master")
    for branch in ("master", "stage"):
        site.remote.commit(branch, {"salt/app/new.sls": "{}\n"})
    now = time.time()
    lease = Lease(NAME, str(old), "Ann", now, now + 60)
    leased.write(str(site.root), "master", lease)
    for plan in (True, False):
        result = site.sync_here(plan=plan)
        row = result_of(result, "prod")
        assert (row.state, row.changed, row.old) == ("waiting", False, old)
        assert "by Ann since" in row.message and f"--abort {NAME}" in row.message
        assert result_of(result, "stage").state == "switched"
    # The apply itself may switch, and when it is over everybody may.
    lease.commit = str(site.remote.head("master"))
    leased.write(str(site.root), "master", lease)
    assert result_of(site.sync_here(plan=True), "prod").state == "switched"
    leased.drop(str(site.root), "master")
    assert result_of(site.sync_well(), "prod").state == "switched"
