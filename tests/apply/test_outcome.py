"""What a minion's return means."""

from __future__ import annotations

from typing import Any

import pytest

from saltbranch.apply.groups import grouped
from saltbranch.apply.outcome import APPLIED, FAILED, NOTHING, is_busy, judge, look
from saltbranch.salt_master.jobs import Return

BUSY = ['The function "state.apply" is running as PID 12 and was started at ... with jid 1']


def state(result: Any = True, changes: Any = None, id_: str = "motd", **more: Any) -> Any:
    return {"result": result, "changes": changes or {}, "__id__": id_, "__sls__": "app", **more}


def of(value: Any, **more: Any) -> Return:
    return Return("web1", value, **more)


KEY = "file_|-motd_|-/etc/motd_|-managed"


@pytest.mark.parametrize(
    ("returned", "expected", "reason"),
    [
        (of({KEY: state()}), APPLIED, ""),
        (of({KEY: state(changes={"diff": "x"})}), APPLIED, ""),
        (of({}), FAILED, NOTHING),
        (of(None), FAILED, NOTHING),
        (of([]), FAILED, NOTHING),
        (of(""), FAILED, NOTHING),
        (of({KEY: state(False, comment="no\x1b[2J space")}), FAILED, "1 of 1 states: motd: no"),
        (of({KEY: state(None)}), FAILED, "only tested"),
        (of({KEY: state("yes")}), FAILED, "1 of 1 states"),
        (of({KEY: state()}, retcode=5), FAILED, "its retcode is 5"),
        (of({KEY: state()}, success=False), FAILED, "no state failed"),
        (of(["Rendering SLS 'prod:app' failed: x"], retcode=1), FAILED, "Rendering SLS"),
        (of(["Pillar failed to render with the following messages:", "y"]), FAILED, "Pillar"),
        (of("'state.apply' is not available."), FAILED, "not available"),
        (of(True), FAILED, "it returned True"),
        (of(7), FAILED, "it returned 7"),
        (of({"a": 1}), FAILED, "it returned 1 for a"),
        (of({"a": {"b": 1}}), FAILED, "for a"),
        (of(None, problem="its return is too large"), FAILED, "too large"),
    ],
)
def test_what_becomes_of_a_minion(returned: Return, expected: str, reason: str) -> None:
    found = judge(returned)
    assert found.state == expected
    assert reason in found.reason
    assert "\x1b" not in found.reason


def test_counts_and_names_of_states() -> None:
    many = {f"test_|-s{n}_|-s{n}_|-nop": state(n > 5, id_=f"s{n}") for n in range(9)}
    found = judge(of({**many, KEY: state(changes={"a": 1})}))
    assert (found.changed, found.states) == (1, 10)
    assert found.reason.startswith("6 of 10 states: s0: ; s1: ; s2: ; and 3 more")


def test_a_minion_that_runs_states_already_has_not_failed() -> None:
    assert is_busy(of(BUSY))
    assert not is_busy(of({KEY: state()})) and not is_busy(of(["Rendering failed"]))


def test_groups_leave_the_minions_own_names_aside() -> None:
    def test_run(minion: str, text: str = "") -> Any:
        return look(of({KEY: state(None, {"diff": f"+{minion}{text}"}, name=f"/srv/{minion}")}))

    runs = {"web1": test_run("web1"), "web2": test_run("web2"), "db1": test_run("db1", "!")}
    runs["db2"] = look(of({KEY: state()}))
    runs["db3"] = look(of(["Rendering failed"]))
    found = grouped(runs)
    assert [group.minions for group in found] == [("web1", "web2"), ("db1",), ("db3",)]
    assert found[0].changes[0].name == "/srv/MINION"
    assert found[2].problems == ("Rendering failed",)
