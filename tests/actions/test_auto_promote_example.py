"""The whole way that docs/how-to/auto-promote.md shows, each command run as it stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from saltbranch.serve import promoter
from tests.actions.test_auto_promote import machine, made, promote
from tests.promote.test_approvals import Keys
from tests.support.flow_site import FlowSite, build_flow_template
from tests.support.site import Journal, Site

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "auto-promote.md"
BERLIN = ZoneInfo("Europe/Berlin")
CHANGE = {"salt/app/init.sls": "app:\n  test.nop: []\n"}


class Clock:
    """A monday in Berlin; it stands still, but for a thousandth at each look."""

    def __init__(self) -> None:
        today = datetime.now(BERLIN)
        self.midnight = datetime(today.year, today.month, today.day, tzinfo=BERLIN)
        self.midnight += timedelta(days=7 - today.weekday())
        self.now = 0.0
        self.set("06:50")

    def set(self, at: str) -> None:
        hour, minute = map(int, at.split(":"))
        self.now = self.midnight.replace(hour=hour, minute=minute).timestamp()

    def time(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    found = Clock()
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        patch.setattr(time, "time", found.time)
        # It would start a process that has another clock.
        patch.setattr(promoter, "start", lambda *_: None)
        time.tzset()
        yield found
    time.tzset()


def settle(site: Site) -> None:
    """A sync, and the process that it starts."""
    site.sync_here()
    promote(site)


def plain(text: str) -> str:
    """`text` without what is another one each time."""
    text = re.sub(r"\b20[0-9]{6}T[0-9]{6}Z-[0-9a-f]{8}\b", "ID", text)
    text = re.sub(r"\b20[0-9-]{8}T[0-9:]{8}Z", "TIME", text)
    text = re.sub(r"\b20[0-9]{2}-[0-9]{2}-[0-9]{2}\b", "DATE", text)
    text = re.sub(r"\bCES?T\b", "ZONE", text)
    return re.sub(r"\b[0-9a-f]{12,64}\b", "HASH", text)


def pattern(line: str) -> str:
    return re.escape(plain(line)).replace(r"HASH\.\.\.", "HASH").replace(r"\.\.\.", ".*")


class People:
    """They stand in one clone, each with a key of their own."""

    def __init__(self, flow: FlowSite, keys: Keys) -> None:
        self.flow, self.keys, self.seen = flow, keys, ""

    def do(self, who: str, command: str) -> str:
        """What the command said."""
        words = [self._meant(who, word) for word in shlex.split(command)]
        if words[0] == "git":
            (self.flow.clone / "salt" / "fix.sls").write_text("fix:\n  test.nop: []\n")
            self.flow.git("add", "-A")
            subprocess.run(words, cwd=self.flow.clone, check=True)
            return ""
        ran = self.flow.run(*words[1:])
        assert ran.code == (4 if "--plan" in words or "why-not" in words else 0), (command, ran)
        self.seen += ran.out
        return ran.out + ran.err

    def _meant(self, who: str, word: str) -> str:
        if word.startswith("~/.ssh/"):
            return self.keys.path(who)
        if re.fullmatch(r"[0-9a-f]{16}\.\.\.", word):
            return re.findall(r"--expect ([0-9a-f]{64})", self.seen)[-1]
        if re.fullmatch(r"[0-9a-f]{16}", word):
            return re.findall(r"digest ([0-9a-f]{16})", self.seen)[-1]
        return word

    def act(self, console: str) -> None:
        """Do what a console of the page shows, and compare what it says."""
        for part in re.split(r"^(?=\w+\$ )", console, flags=re.M)[1:]:
            first, *shown = part.strip("\n").split("\n")
            who, _, command = first.partition("$ ")
            said = plain(self.do(who, command)).splitlines()
            for line in shown:
                if line != "...":
                    assert any(re.fullmatch(pattern(line), s) for s in said), (line, said)


def test_the_whole_way(tmp_path: Path, clock: Clock) -> None:
    section = PAGE.read_text().split("## The whole way")[1]
    model, *days = [
        block.split("```")[0] for block in re.split(r"```(?:yaml|console)\n", section)[1:]
    ]
    keys = Keys(tmp_path)
    signers = "".join(f"{keys.line(f'{who}@example.com', who)}\n" for who in ("bob", "dora"))
    (tmp_path / "flow").mkdir()
    flow = FlowSite(tmp_path / "flow", build_flow_template(tmp_path / "template"))
    head = flow.push("master", {"saltbranch.yaml": model, "ops/allowed_signers": signers})
    for branch in ("stage", "develop"):
        flow.remote.set_branch(branch, head)
    site = machine(tmp_path / "m", flow.remote, record_syncs=True)
    people = People(flow, keys)
    clock.set("07:00")
    new = flow.push("develop", CHANGE, "KEY-8 The change")
    settle(site)
    assert made(flow.remote) == []
    clock.set("07:30")
    people.act(days[0])
    settle(site)
    assert made(flow.remote) == []
    clock.set("09:01")
    settle(site)
    assert made(flow.remote) == [("stage", new)]
    clock.set("09:10")
    people.act(days[1])
    assert [saltenv for saltenv, _ in made(flow.remote)] == ["stage", "prod"]
    assert flow.contains("master", new)
    clock.set("20:00")
    people.act(days[2])
    (event,) = Journal(flow.remote).events("override")
    assert (event.details["gate"], event.details["reason"]) == ("window", "nobody can log in")
    assert all("salt/fix.sls" in flow.files(flow.head(b)) for b in ("master", "stage", "develop"))
