"""Which verb asks which gate: the table of the reference, and the refusal of gates that nobody asks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from saltbranch.base.errors import ConfigError
from saltbranch.config.gates import BUILT_IN, KINDS, CommandGate, HoldGate, SoakGate, TicketGate
from saltbranch.config.read import check_model
from saltbranch.promote import ask_gates, gates_by_verb

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "gates.md"


def model(gates: str, *, first: bool) -> str:
    kept = "[]" if first else gates
    return (
        "saltenvs:\n"
        f"  test: {{branch: develop, minions: ['t*'], gates: {gates if first else '[]'}}}\n"
        f"  prod: {{branch: master, minions: ['p*'], promote_from: test, gates: {kept}}}\n"
    )


def test_the_reference_has_the_table_of_the_code() -> None:
    """Its prose is wrapped."""
    assert " ".join(gates_by_verb.table().split()) in " ".join(REFERENCE.read_text().split())


def test_every_verb_answers_for_every_gate_and_gives_a_reason() -> None:
    for kind in gates_by_verb.VERBS:
        for gate in KINDS:
            assert isinstance(gates_by_verb.why_not(kind, gate), str)
    with pytest.raises(KeyError):
        gates_by_verb.why_not("something new", "check")


@pytest.mark.parametrize("entry", ["identical", "{soak: 2h}"])
def test_a_gate_that_compares_with_the_saltenv_before_is_refused_where_there_is_none(
    entry: str,
) -> None:
    name = entry.strip("{}").partition(":")[0]

    with pytest.raises(
        ConfigError, match=rf"saltenvs\.test\.gates: {name} cannot be checked"
    ) as err:
        check_model(model(f"[ticket, {entry}]", first=True), "x.yaml")
    check_model(model(f"[ticket, {entry}]", first=False), "x.yaml")

    assert "feature finish into develop" in err.value.hint


def test_no_gate_of_the_first_saltenv_is_left_out_by_a_feature() -> None:
    """What the configuration takes there is asked; the built-in ones have their reasons in the table."""
    gates = (
        "[ticket, diff, {check: static}, {window: {allow: [mon]}},"
        " {approvals: {count: 1, from: a}}, {command: [/bin/true]}]"
    )
    _, built = check_model(model(gates, first=True), "x.yaml")

    allowed = [g for g in built.saltenv("test").gates if g.kind not in BUILT_IN]
    assert [g.kind for g in allowed] == [
        "ticket",
        "diff",
        "check",
        "window",
        "approvals",
        "command",
    ]
    assert gates_by_verb.unasked("feature", allowed) == []
    refused = set(KINDS) - set(BUILT_IN) - {g.kind for g in allowed}
    assert refused == {
        k for k in KINDS if k not in BUILT_IN and gates_by_verb.why_not("feature", k)
    }


def test_a_gate_that_is_left_out_is_named_with_its_reason() -> None:
    gates = [
        HoldGate(),
        SoakGate(1),
        TicketGate(),
        CommandGate("w", ("/bin/true",)),
    ]

    assert gates_by_verb.unasked("promotion", gates) == []
    assert gates_by_verb.unasked("hotfix", gates) == [
        "gate soak: not asked by hotfix finish: no saltenv has served it before production does"
    ]
    assert [line.partition(":")[0] for line in gates_by_verb.unasked("back-merge", gates)] == [
        "gate soak", "gate ticket", "gate w",
    ]  # fmt: skip


def test_a_gate_of_a_kind_that_nobody_judges_is_an_error_and_runs_nothing() -> None:
    """It used to be run as a command."""

    plan: Any = SimpleNamespace(is_conflict=False)
    gate: Any = SimpleNamespace(name="later", kind="later", argv=("/bin/false",), timeout=1.0)
    nothing: Any = None

    with pytest.raises(AssertionError, match="unknown kind"):
        ask_gates.ask(nothing, nothing, plan, gate)
