"""Whether an apply is a verification: values in, words or an event out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from saltbranch.config.model import Saltenv
from saltbranch.config.read import check_model
from saltbranch.journal.facts import verification_of
from saltbranch.verify.around import around, checks_digest
from saltbranch.verify.by_apply import Proof, event_of, why_not

MODEL = """\
saltenvs:
  prod:
    branch: master
    minions: ['web*']
    before_batch: [{salt: lb.out, args: ['{minion}'], on: lb1}, {runner: lb.say}]
    verify:
      - {salt: app.is_well}
      - {salt: app.is_new, on: changed}
      - {command: [/usr/bin/smoke, prod]}
    after_batch: [{command: /bin/true}]
"""
ALL = ["web1", "web2"]


def saltenv(text: str = MODEL) -> Saltenv:
    return check_model(text, "M")[1].saltenv("prod")


def proof(**changes: Any) -> Proof:
    found = Proof(
        apply="20260101T000000Z-0a1b2c3d", commit="c" * 40, passed=ALL, changed=ALL,
        checks=checks_digest(saltenv()), begun=1_000.0,
    )  # fmt: skip
    return replace(found, **changes)


@pytest.mark.parametrize(
    ("changes", "minions", "why"),
    [
        ({}, ALL, ""),
        ({}, ["web1"], ""),
        ({"passed": ["web1"]}, ALL, "1 minion of it did not pass them: web2"),
        ({}, [*ALL, "web3"], "1 minion of it did not pass them: web3"),
        ({"changed": ["web1"]}, ALL, "app.is_new asks only what was changed, which web2 was not"),
        ({"checks": "other"}, ALL, "its checks are others than when the apply began"),
        ({}, [], "it has no minions"),
    ],
)
def test_all_checks_on_all_minions(changes: dict[str, Any], minions: list[str], why: str) -> None:
    assert why_not(proof(**changes), saltenv(), minions) == why


def test_without_checks_nothing_is_proven() -> None:
    bare = saltenv("saltenvs:\n  prod:\n    branch: master\n    minions: ['web*']\n")
    assert why_not(proof(checks=checks_digest(bare)), bare, ALL) == "it has no checks"
    # Without one `on: changed` it does not matter what was changed.
    plain = saltenv(MODEL.replace(", on: changed", ""))
    assert why_not(proof(checks=checks_digest(plain), changed=[]), plain, ALL) == ""


def test_the_journal_counts_from_the_first_check() -> None:
    event = event_of(proof(), saltenv(), ALL, id_="x-1", now=9_000.0, by="Ann <a@b>")
    found = verification_of(event)
    assert found and (found.passed, found.complete, found.commit) == (True, True, "c" * 40)
    assert (found.begun, found.time) == (1_000.0, 9_000.0)
    assert found.reason == "3 checks, 2 minions, by apply 20260101T000000Z-0a1b2c3d"
    # A time that nobody can believe makes nothing younger.
    for odd in ("2999-01-01T00:00:00Z", "soon", 7):
        event.details["begun"] = odd  # type: ignore[index]
        later = verification_of(event)
        assert later and later.begun == 9_000.0


def test_what_runs_with_each_batch_is_told() -> None:
    config = check_model(MODEL, "M")[1]
    found = around(config, config.saltenv("prod"), lambda argv: f"{argv[0]} may not")
    assert found.before == ("lb.out {minion} on lb1", "the runner lb.say")
    assert found.checks == ("app.is_well", "app.is_new (on: changed)", "smoke")
    assert found.after == ("true",)
    assert found.problems == ("salt-run may not", "/bin/true may not", "/usr/bin/smoke may not")
    listed = msgspec.structs.replace(config, programs=(("/usr/bin/smoke", "prod"), ("/bin/true",)))
    assert around(listed, config.saltenv("prod"), str).problems == ("('salt-run', 'lb.say')",)
