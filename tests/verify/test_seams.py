"""What the model wants around each batch of an apply, as an apply asks for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pytest

from saltbranch.base.errors import RefusedError
from saltbranch.config.read import check_model
from saltbranch.repository.programs import Programs
from saltbranch.salt_master.jobs import Return
from saltbranch.verify.seams import ModelSeams
from tests.verify.test_batch_hooks import Master

MODEL = """\
saltenvs:
  prod:
    branch: master
    minions: ['web*']
    before_batch: [{salt: lb.out, args: ['{minion}'], on: lb1}]
    verify:
      - {salt: app.is_well, retries: 0, on: changed}
      - {tcp: '127.0.0.1:1', retries: 0, name: port}
    after_batch: [{salt: lb.back, args: ['{minion}'], on: lb1}, {command: /bin/true}]
"""


@dataclass(frozen=True)
class Batch:
    commit: str = "c" * 40
    number: int = 1
    minions: tuple[str, ...] = ("web1", "web2")


class Fleet(Master):
    """Of which `ill` are not well."""

    def __init__(self, ill: Collection[str] = ()) -> None:
        super().__init__()
        self.ill = ill

    def up(self, minions: Collection[str], /) -> set[str]:
        return set(minions)

    def run_and_wait(self, minions: Any, function: str, *given: Any, **more: Any) -> Any:
        super().run_and_wait(minions, function, *given, **more)
        return {m: Return(m, m not in self.ill) for m in minions}

    @property
    def called(self) -> list[tuple[Any, ...]]:
        return [(call[1], *call[2]) for call in self.calls]


def seams(fleet: Fleet, model: str = MODEL, said: list[str] | None = None) -> ModelSeams:
    config = check_model(model, "M")[1]
    say = None if said is None else said.append
    return ModelSeams(config, config.saltenv("prod"), fleet, Programs(where="/etc/x"), say)


def test_hooks_before_are_for_the_whole_batch() -> None:
    fleet, said = Fleet(), list[str]()
    seams(fleet, said=said).before(Batch())
    assert fleet.called == [("lb.out", "web1"), ("lb.out", "web2")]
    assert said == ["before_batch: lb.out {minion} on lb1: done"]


def test_who_is_not_well_stays_out() -> None:
    fleet = Fleet()
    with pytest.raises(RefusedError, match="/bin/true is not listed under programs: in /etc/x"):
        seams(fleet).after(Batch(), ["web2"])
    assert fleet.called == [("lb.back", "web2")]
    seams(fleet).after(Batch(), [])
    assert len(fleet.calls) == 1


def test_a_hook_that_fails_stops_the_batch() -> None:
    with pytest.raises(RefusedError, match="before_batch: lb.out .* web1: it answered false"):
        seams(Fleet(ill=["lb1"])).before(Batch())


def test_checks_name_who_did_not_pass() -> None:
    only_salt = MODEL.replace("      - {tcp: '127.0.0.1:1', retries: 0, name: port}\n", "")
    both = ["web2", "web1"]
    found = seams(Fleet(ill=["web2"]), only_salt).verify(Batch(), both, both)
    assert found == {"web2": "app.is_well: it answered false"}
    assert seams(Fleet(ill=["web2"])).verify(Batch(), both, both) == {
        "web1": "port: no connection: Connection refused",
        "web2": "app.is_well: it answered false",
    }
    assert seams(Fleet()).verify(Batch(), [], []) == {}


def test_a_check_of_what_was_changed_asks_nobody_else() -> None:
    model = MODEL.replace("      - {tcp: '127.0.0.1:1', retries: 0, name: port}\n", "")
    fleet = Fleet(ill=["web1", "web2"])
    found = seams(fleet, model).verify(Batch(), ["web1", "web2"], ["web2"])
    assert found == {"web2": "app.is_well: it answered false"}
    assert [call[0] for call in fleet.calls] == [["web2"]]
    assert seams(Fleet(ill=["web1"]), model).verify(Batch(), ["web1"], []) == {}
    everybody = model.replace(", on: changed", "")
    assert seams(fleet, everybody).verify(Batch(), ["web1"], []) != {}
