"""An apply that goes on where its last batch went wrong: who has the last word, and what is left of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from saltbranch.actions import apply
from saltbranch.actions.shared import applying
from saltbranch.actions.shared.applying import Running, Watching
from saltbranch.apply import run_state
from saltbranch.apply.lease_holder import LeaseHolder
from saltbranch.apply.options import Options
from saltbranch.apply.outcome import APPLIED, FAILED, Outcome
from saltbranch.apply.run_state import Record
from saltbranch.base import files
from saltbranch.base.errors import Interrupted, RefusedError
from saltbranch.promote.promotion import named
from saltbranch.repository.workplace import open_machine
from saltbranch.verify.around import checks_digest
from tests.actions.test_status_applies import FIRST, SECOND, record
from tests.support.site import Site


@pytest.fixture
def prod(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """No master runs here whose bus could be told."""
    monkeypatch.setattr(applying, "tell_bus", lambda *_: "")
    site.sync_well()
    return site


def running(
    site: Site, on_failure: str, watching: Watching | None = None
) -> tuple[Running, Record]:
    """One of which the only batch went wrong, which was not heard before it was killed."""
    commit = str(site.remote.head("master"))
    mine = record(commit, ended=None, status="running")
    mine.options = Options(on_failure=on_failure).as_dict()
    mine.first.batches = [["web1"]]
    mine.first.outcomes, mine.first.at = {"web1": Outcome(FAILED, "bad")}, 1
    run_state.save(str(site.root), mine)
    lease = LeaseHolder(str(site.root), "master", lambda: commit, FIRST, "Ann", 1.0)
    lease.take(commit)
    work = open_machine(str(site.config), fetch=False)
    nobody = cast(Any, None)  # no minion is asked
    found = Running(nobody, work, nobody, record=mine, lease=lease, watching=watching or Watching())
    return found, mine


def test_who_ends_it_where_it_is_about_to_be_rolled_back_has_a_record_that_goes_on(
    prod: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_words: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    found, _ = running(prod, "rollback")
    monkeypatch.setattr(applying, "plan_back", ended)
    with pytest.raises(Interrupted, match="--resume|interrupted"):
        found.run()
    # Else it had ended, and nobody was told so.
    saved = run_state.load(str(prod.root), FIRST)
    assert (saved.status, saved.untold, saved.ended) == ("running", [], None)


@pytest.mark.parametrize("on_failure", ["rollback", "ask"])
def test_one_that_was_aborted_is_neither_rolled_back_nor_asked_about(
    prod: Site, monkeypatch: pytest.MonkeyPatch, on_failure: str
) -> None:
    def never(*_words: object, **_kwargs: object) -> Any:
        raise AssertionError

    monkeypatch.setattr(applying, "plan_back", never)
    found, mine = running(prod, on_failure, Watching(decide=never))
    run_state.ask_to_end(str(prod.root), FIRST)
    found.run()
    assert (mine.status, len(mine.passes)) == ("aborted", 1)
    assert "1 of 1 went wrong" in mine.why
    assert not run_state.is_to_end(str(prod.root), FIRST)


def test_one_that_is_aborted_while_a_person_is_asked_is_not_rolled_back(prod: Site) -> None:
    def decide(_trouble: object) -> Any:
        run_state.ask_to_end(str(prod.root), FIRST)
        return "rollback"

    found, mine = running(prod, "ask", Watching(decide=decide))
    found.run()
    assert (mine.status, len(mine.passes)) == ("aborted", 1)
    assert "stop: 1 of 1 went wrong" in mine.decided[0]


def test_a_rollback_that_is_aborted_is_over(prod: Site) -> None:
    found, mine = running(prod, "rollback")
    mine.passes.append(run_state.Pass("rollback", mine.first.commit, [["web1"]], {}))
    run_state.ask_to_end(str(prod.root), FIRST)
    found.run()
    assert mine.status == "aborted" and "the rollback ended: " in mine.why


def gone_on_with(site: Site, checks: str) -> Record:
    """A stopped apply whose model had `checks`, when it was resumed."""
    mine = record(str(site.remote.head("master")), status="stopped", checks=checks)
    mine.options = Options().as_dict()
    mine.first.outcomes = {m: Outcome(APPLIED) for m in ("web1", "web2")}
    mine.first.at = 2
    run_state.save(str(site.root), mine)
    config = str(site.config)
    caller = SimpleNamespace(open_mirror=lambda: open_machine(config, fetch=False))
    return apply.resume(cast(Any, caller), FIRST, Watching()).record


def test_checks_that_changed_for_a_while_prove_nothing(prod: Site) -> None:
    # Else they would count once they are back.
    assert gone_on_with(prod, "0123456789abcdef").checks == ""
    work = open_machine(str(prod.config), fetch=False)
    same = checks_digest(named(work, "prod"))
    done = gone_on_with(prod, same)
    assert (done.checks, done.status) == (same, "done")


def test_one_that_another_came_after_does_not_go_on(prod: Site) -> None:
    newer = record("a" * 40, SECOND)
    newer.first.outcomes = {"web1": Outcome(APPLIED)}
    run_state.save(str(prod.root), newer)
    with pytest.raises(RefusedError, match=f"apply {SECOND} of prod came after it"):
        gone_on_with(prod, "")
    assert run_state.load(str(prod.root), FIRST).status == "stopped"


def test_who_only_looks_keeps_nobody_from_applying(
    prod: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = open_machine(str(prod.config), fetch=False)
    run_state.save(str(prod.root), record("a" * 40))
    looking = files.Lock(run_state.lock_path(str(prod.root), "master"))
    looking.__enter__()
    monkeypatch.setattr(files.time, "sleep", lambda _seconds: looking.__exit__())
    with apply.locked(work, named(work, "prod")):
        pass
