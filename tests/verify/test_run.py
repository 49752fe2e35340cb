"""Checks run on minions that answer well, badly, late or not at all."""

from __future__ import annotations

import json
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from saltbranch.base.errors import SaltError
from saltbranch.config.verify import parse_checks
from saltbranch.salt_master.jobs import Return
from saltbranch.verify.run import Subject, Verified, run
from tests.verify import servers

WEBS = ("web1", "web2", "web3")


@dataclass
class Fleet:
    """Minions that answer what they are told to: the next of a list each time, at its end the last one."""

    answers: Mapping[str, Sequence[Return | None]]
    down: Collection[str] = ()
    calls: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    pings: int = 0

    def up(self, minions: Collection[str], /) -> set[str]:
        self.pings += 1
        return set(minions) - set(self.down)

    def run_and_wait(
        self,
        minions: Collection[str],
        function: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        timeout: float,
    ) -> dict[str, Return | None]:
        del args, kwargs, timeout
        self.calls.append((function, tuple(minions)))
        number = sum(f == function for f, _ in self.calls) - 1
        return {m: self.answers[m][min(number, len(self.answers[m]) - 1)] for m in minions}


def fleet(
    default: Any = True, down: Collection[str] = (), **answers: Sequence[Return | None]
) -> Fleet:
    return Fleet({m: answers.get(m, [Return(m, default)]) for m in WEBS}, down)


def verify(who: Fleet, *entries: Any, **more: Any) -> Verified:
    subject = Subject("prod", "c" * 40, more.pop("minions", WEBS), **more)
    return run(who, parse_checks(entries, "M"), subject, pause=0)


def results(found: Verified) -> dict[str, bool]:
    return {row.minion: row.passed for row in found.rows}


def test_all_pass() -> None:
    who = fleet()
    found = verify(who, {"salt": "service.status", "args": ["nginx"]}, {"salt": "test.ping"})
    assert found.passed and found.counted == "2 checks, 3 minions"
    assert len(found.rows) == 6 and {row.tries for row in found.rows} == {1}
    assert who.calls == [("service.status", WEBS), ("test.ping", WEBS)]
    assert who.pings == 1


def test_only_those_are_asked_again_that_did_not_pass() -> None:
    who = fleet(web2=[Return("web2", False), None, Return("web2", True)])
    found = verify(who, {"salt": "service.status", "retries": 5})
    assert found.passed
    assert [calls for _, calls in who.calls] == [WEBS, ("web2",), ("web2",)]
    assert {row.minion: row.tries for row in found.rows} == {"web1": 1, "web2": 3, "web3": 1}


def test_after_the_last_try_it_failed() -> None:
    who = fleet(web3=[Return("web3", False)])
    found = verify(who, {"salt": "service.status", "retries": 2})
    assert not found.passed and len(who.calls) == 3
    assert found.reasons() == ["service.status: web3: it answered false"]


def test_who_is_down_fails_at_once_and_is_asked_nothing() -> None:
    who = fleet(down=["web1"])
    found = verify(who, {"salt": "test.ping"}, {"salt": "test.version"})
    assert found.reasons() == [
        "test.ping: web1: it does not answer",
        "test.version: web1: it does not answer",
    ]
    assert who.calls == [("test.ping", ("web2", "web3")), ("test.version", ("web2", "web3"))]
    assert who.pings == 1


def test_one_is_the_first_that_is_up() -> None:
    assert results(verify(fleet(down=["web1"]), {"salt": "a.b", "on": "one"})) == {"web2": True}
    assert results(verify(fleet(down=WEBS), {"salt": "a.b", "on": "one"})) == {"web1": False}


def test_those_that_were_changed() -> None:
    entry = {"salt": "a.b", "on": "changed"}
    assert results(verify(fleet(), entry, changed=("web3",))) == {"web3": True}
    assert results(verify(fleet(), entry)) == dict.fromkeys(WEBS, True)
    nobody = verify(fleet(), entry, changed=())
    assert nobody.passed and nobody.rows == ()


def test_reasons_are_few_short_and_without_what_minions_say() -> None:
    many = tuple(f"web{n:03}\x1b[2J" for n in range(300))
    who = Fleet({m: [Return(m, "hunter2" * 1000, retcode=n)] for n, m in enumerate(many, 1)})
    found = verify(who, {"salt": "a.b", "retries": 0}, minions=many)
    told = "\n".join(found.reasons())
    assert len(found.reasons()) == 11 and found.reasons()[-1] == "and 290 more"
    assert "hunter2" not in told and "\x1b" not in told and len(told) < 5000
    assert "hunter2" not in json.dumps([row.as_dict() for row in found.rows])


def test_a_master_that_cannot_be_asked() -> None:
    class Broken(Fleet):
        def up(self, minions: Collection[str], /) -> set[str]:
            raise SaltError("cannot ask the salt-master")

    with pytest.raises(SaltError):
        verify(Broken({}), {"salt": "a.b"})


def test_pages_of_the_master_need_no_minion() -> None:
    who = fleet()
    with servers.serving(servers.page(b"Welcome")) as (port, heard):
        found = verify(
            who,
            {"http": f"http://127.0.0.1:{port}/", "contains": "Welcome"},
            {"tcp": f"127.0.0.1:{port}"},
        )
    assert found.passed and results(found) == {"": True}
    assert who.pings == 0 and len(heard) == 1


def test_an_id_in_an_address() -> None:
    with servers.serving(servers.page(b"Welcome")) as (port, heard):
        entry = {"http": f"http://127.0.0.1:{port}/{{minion}}/up", "retries": 0}
        found = verify(fleet(), entry)
        odd = verify(fleet(), entry, minions=("a/../b", "web1", "x?y"))
    assert results(found) == dict.fromkeys(WEBS, True)
    assert results(odd) == {"a/../b": False, "x?y": False, "web1": True}
    assert odd.reasons() == [f"{odd.rows[0].check}: a/../b, x?y: its id cannot stand in an address"]
    asked = sorted(line.split(b" ")[1] for line in heard)
    assert asked == [b"/web1/up", b"/web1/up", b"/web2/up", b"/web3/up"]


def test_a_page_that_comes_late_is_asked_for_again() -> None:
    answers = [servers.page(b"", "503 Busy"), servers.page(b"", "503 Busy"), servers.page(b"ok")]
    with servers.serving(lambda sock, asked: answers.pop(0)(sock, asked)) as (port, _):
        found = verify(fleet(), {"http": f"http://127.0.0.1:{port}/", "contains": "ok"})
    assert found.passed and found.rows[0].tries == 3


def program(folder: Path, text: str) -> str:
    path = folder / "smoke"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_program_is_told_as_json_and_believed_by_its_end(tmp_path: Path) -> None:
    smoke = program(tmp_path, f"cat > {tmp_path}/told; test ! -e {tmp_path}/bad")
    entry = {"command": [smoke], "retries": 0}
    allowed = frozenset({(smoke,)})
    assert verify(fleet(), entry, programs=allowed).passed
    assert json.loads((tmp_path / "told").read_text()) == {
        "version": 1,
        "check": "smoke",
        "saltenv": "prod",
        "commit": "c" * 40,
        "minions": list(WEBS),
    }
    (tmp_path / "bad").touch()
    found = verify(fleet(), entry, programs=allowed)
    assert found.reasons() == ["smoke: it ended with 1"]


def test_what_a_program_says_is_not_told(tmp_path: Path) -> None:
    smoke = program(tmp_path, "echo hunter2; echo hunter2 >&2; exit 3")
    found = verify(fleet(), {"command": [smoke], "retries": 0}, programs=frozenset({(smoke,)}))
    assert found.reasons() == ["smoke: it ended with 3"]


def test_a_program_that_the_machine_does_not_list_is_not_run(tmp_path: Path) -> None:
    smoke = program(tmp_path, f"touch {tmp_path}/ran")
    found = verify(fleet(), {"command": [smoke, "x"]}, programs=frozenset({(smoke,)}))
    assert found.reasons() == [f"smoke: {smoke} may not run here"]
    assert not (tmp_path / "ran").exists()


def test_a_program_without_an_end(tmp_path: Path) -> None:
    smoke = program(tmp_path, "sleep 60")
    entry = {"command": [smoke], "retries": 0, "timeout": "1s"}
    found = verify(fleet(), entry, programs=frozenset({(smoke,)}))
    assert found.reasons() == ["smoke: no end after 1 s"]


def test_what_is_told_while_it_runs() -> None:
    told: list[str] = []
    who = fleet(web2=[Return("web2", False)])
    checks = parse_checks([{"salt": "a.b", "retries": 0}, {"salt": "c.d", "on": "one"}], "M")
    run(who, checks, Subject("prod", "c" * 40, WEBS), say=told.append, pause=0)
    assert told == ["a.b: 2 of 3 passed", "c.d: 1 of 1 passed"]
