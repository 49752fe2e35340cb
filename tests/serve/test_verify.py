"""Commits whose top files fail: refused, told, kept, and mended; by real syncs, real Salt and the sandbox."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import salt.cache
import salt.config
import yaml

from saltbranch.actions.doctor import doctor
from saltbranch.actions.outcome import SaltenvResult
from saltbranch.actions.status import SaltenvStatus, status
from saltbranch.findings import Finding
from saltbranch.serve import verify
from saltbranch.serve.verify import FAILS, PARTLY, REFUSED, RENDERS, UNKNOWN, Question
from tests.git.remote import Content, Remote
from tests.git.site import Journal, Site, result_of
from tests.unit.test_imports import modules_of

GRAINS = {"kernel": "Linux", "os": "Debian", "os_family": "Debian", "osmajorrelease": 12}
TOP = "base:\n  '*':\n    - app\n"
BROKEN = f"{TOP}{{% if %}}\n"
NEW, OLD = "a" * 40, "b" * 40
QUESTION = Question("prod", NEW, OLD)


# What follows from an answer


def row(minion: str, *errors: str, doubt: str = "") -> dict[str, Any]:
    """What the rendering process says of one minion."""
    told = [{"file": "salt/top.sls", "error": error} for error in errors]
    return {"id": minion, "errors": told, "doubt": doubt}


@pytest.mark.parametrize(
    ("new", "served", "outcome"),
    [
        ([row("a"), row("b")], [], RENDERS),
        ([row("a", "x"), row("b", "x")], [row("a"), row("b")], REFUSED),
        ([row("a", "x"), row("b", "x")], [row("a"), row("b", "y")], REFUSED),
        ([row("a", "x"), row("b", "x")], [row("a", "y"), row("b", "y")], FAILS),
        ([row("a", "x"), row("b", "x")], [], FAILS),
        ([row("a", "x"), row("b")], [], PARTLY),
        ([row("a", "x"), row("b", "x", doubt="made up")], [row("a"), row("b")], PARTLY),
        ([row("a", "x", doubt="made up"), row("b", "x", doubt="made up")], [row("a")], UNKNOWN),
        ([row("a", "x", doubt="made up"), row("b")], [], UNKNOWN),
    ],
)
def test_refused_only_where_nobody_renders_who_did(
    new: list[Any], served: list[Any], outcome: str
) -> None:
    found = verify.decide(QUESTION, {"why": "", "new": new, "served": served})

    assert found.outcome == outcome
    assert bool(found.told()) == (outcome != RENDERS)


def test_without_an_answer_nothing_is_known_and_it_says_why() -> None:
    for answer in ({"why": "cannot compile: no bubblewrap", "sandbox": False}, {"why": "it was stopped"}):
        found = verify.decide(QUESTION, answer)

        assert (found.outcome, found.told()) == (UNKNOWN, f"not verified: {answer['why']}")


def test_what_is_told_names_the_minions_and_stays_one_line() -> None:
    errors = [row("web1", "x\n\x1b[31my"), row("web2", "x\n\x1b[31my"), row("db1", "z" * 999)]

    found = verify.decide(QUESTION, {"new": errors, "served": [row("web1")]})

    first, second = found.failures
    assert (first.minion, first.minions, first.file) == ("web1", 2, "salt/top.sls")
    assert len(second.error) < 400
    told = found.told()
    assert "all 3 minions of prod" in told and "web1 and 1 more: salt/top.sls: x" in told
    assert told.isprintable()


@pytest.mark.parametrize("text", ["", "null", "[]", "{", '{"failures": 1}', '{"outcome": "refused"}'])
def test_a_torn_file_is_no_verdict(tmp_path: Path, text: str) -> None:
    path = Path(verify.path(str(tmp_path), "prod"))
    path.parent.mkdir(parents=True)
    path.write_text(text)

    assert verify.load(str(tmp_path), "prod") is None


# On a master


class Machine:
    """A site with a salt-master's configuration, whose cache knows two minions of prod and one of test."""

    def __init__(self, site: Site) -> None:
        self.site, self.remote = site, site.remote
        site.keep_only("test", "prod")
        self.options: dict[str, Any] = {
            "root_dir": str(site.folder),
            "pki_dir": "/pki",
            "cachedir": "/cache",
            "pidfile": "/master.pid",
            "user": "root",
            "default_include": "master.d/*.conf",
        }
        self.configure()
        for name in ("prod1", "prod2", "test1"):
            self.meet(name)
        self.commit({"salt/top.sls": TOP}, "develop")

    def configure(self, **options: Any) -> None:
        """Write the master's configuration."""
        self.options |= options
        self.site.salt_config.write_text(yaml.safe_dump(self.options))

    def set(self, saltenv: str, **keys: Any) -> None:
        """Change keys of a saltenv."""
        self.site.settings["saltenvs"][saltenv].update(keys)
        self.site.configure()

    def meet(self, minion: str, **grains: Any) -> None:
        """Let the master remember grains."""
        opts = salt.config.master_config(str(self.site.salt_config))
        salt.cache.factory(opts).store("grains", minion, {**GRAINS, **grains})

    def commit(self, files: dict[str, Content], branch: str = "master") -> str:
        """Push a commit."""
        return self.remote.commit(branch, files)

    def sync(self, saltenv: str = "prod", **options: Any) -> SaltenvResult:
        """Sync all; the part of the result that is about `saltenv`."""
        return result_of(self.site.sync_here(**options), saltenv)

    def verdict(self) -> verify.Verdict:
        """What was kept about prod."""
        found = verify.load(str(self.site.root), "prod")
        assert found
        return found

    def status(self, saltenv: str = "prod") -> SaltenvStatus:
        """Its row."""
        return next(s for s in status(str(self.site.config)).saltenvs if s.saltenv == saltenv)

    def findings(self, *ids: str) -> list[Finding]:
        """Those of `ids` that doctor has."""
        return [f for f in doctor(str(self.site.config)).findings if f.id in ids]


@pytest.fixture
def machine(site: Site) -> Machine:
    """A master that serves what it should."""
    made = Machine(site)
    site.sync_well()
    return made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Question]:
    """The questions for which a process was started."""
    found: list[Question] = []
    real = verify.ask

    def ask(config: str, questions: list[Question]) -> list[dict[str, Any]]:
        found.extend(questions)
        return real(config, questions)

    monkeypatch.setattr(verify, "ask", ask)
    return found


def test_a_broken_top_stops_at_the_protected_saltenv(machine: Machine, asked: list[Question]) -> None:
    good = machine.remote.head("master")
    bad = machine.commit({"salt/top.sls": BROKEN})
    machine.commit({"salt/top.sls": BROKEN}, "develop")

    planned = machine.site.sync_here(plan=True)
    result = machine.site.sync_here()

    assert planned.exit_code == result.exit_code == 4
    prod = result_of(result, "prod")
    assert result_of(planned, "prod").message == prod.message
    assert (prod.state, prod.old, prod.new) == ("refused", good, bad)
    assert "all 2 minions of prod" in prod.message and "prod1 and 1 more: salt/top.sls: " in prod.message
    assert f"saltbranch hold prod --at {bad[:12]}" in prod.message
    machine.site.assert_serves("master", good)
    assert result_of(result, "test").state == "switched"
    machine.site.assert_serves("develop", machine.remote.head("develop"))

    del asked[:]
    again = machine.site.sync_here()
    assert (again.exit_code, asked) == (4, [])
    assert result_of(again, "prod").message == prod.message

    row = machine.status()
    assert row.verified and row.verified["outcome"] == "refused"
    assert row.problem and "salt/top.sls" in row.problem
    shown = machine.site.run_here("status", "--config", str(machine.site.config)).out
    assert "refused: the top files of" in shown and f"to serve {bad[:12]}: saltbranch sync" not in shown
    (fails, refused) = sorted(machine.findings("switch-refused", "tops-fail"), key=lambda f: f.id)[::-1]
    assert refused.severity == fails.severity == "error"
    assert bad[:12] in refused.message and "test1: salt/top.sls" in fails.message

    mended = machine.commit({"salt/top.sls": TOP, "salt/app/init.sls": "more:\n  test.nop: []\n"})
    assert machine.sync().state == "switched"
    machine.site.assert_serves("master", mended)
    assert machine.findings("switch-refused") == []
    assert machine.status().problem is None


def test_of_a_pillar_top_only_kind_and_place_are_told(machine: Machine) -> None:
    machine.commit({"pillar/top.sls": f"{TOP}    hunter2: *hunter2\n"})

    result = machine.sync()

    assert result.state == "refused"
    assert "pillar/top.sls: YAML: " in result.message
    kept = Path(verify.path(str(machine.site.root), "prod")).read_text()
    assert "hunter2" not in result.message + kept


def test_what_fails_for_some_is_served_and_told(machine: Machine) -> None:
    commit = machine.commit({"salt/top.sls": f"{TOP}{{% if grains.id == 'prod2' %}}{{{{ no.x }}}}{{% endif %}}\n"})

    result = machine.sync()

    assert result.state == "switched"
    machine.site.assert_serves("master", commit)
    assert "1 of 2 minions of prod: prod2: salt/top.sls: " in result.message
    row = machine.status()
    assert row.verified and row.verified["outcome"] == "partly" and row.problem is None
    (finding,) = machine.findings("tops-fail")
    assert "prod2" in finding.message


def test_broken_before_and_after_is_served_and_told(machine: Machine) -> None:
    machine.set("prod", verify_switch="off")
    machine.commit({"salt/top.sls": BROKEN})
    assert machine.sync().message == ""
    machine.set("prod", verify_switch="top")
    commit = machine.commit({"salt/top.sls": f"{BROKEN}# another\n"})

    result = machine.sync()

    assert result.state == "switched" and "all 2 minions of prod" in result.message
    machine.site.assert_serves("master", commit)


def test_a_first_sync_serves_it_and_says_so(site: Site) -> None:
    machine = Machine(site)
    machine.commit({"salt/top.sls": BROKEN})

    result = machine.sync()

    assert result.state == "first" and "salt/top.sls" in result.message


def test_hold_and_rollback_are_never_refused(machine: Machine, asked: list[Question]) -> None:
    bad = machine.commit({"salt/top.sls": BROKEN})
    assert machine.sync().state == "refused"
    del asked[:]
    journal = Journal(machine.remote)
    journal.hold("prod", bad)

    assert machine.sync().state == "switched"
    machine.site.assert_serves("master", bad)
    journal.add("unhold", saltenv="prod", commit=bad)
    assert machine.sync().state == "unchanged"
    assert asked == []


@pytest.mark.parametrize(
    "top",
    [
        TOP + "{% set x = salt['network.ip_addrs']('eth7')[0].upper() %}\n",  # nobody recorded that
        TOP + "{% set x = salt['cmd.run']('lsb_release -a').split(':')[3].strip() %}\n",
    ],
)
def test_an_answer_that_was_made_up_refuses_nothing(machine: Machine, top: str) -> None:
    commit = machine.commit({"salt/top.sls": top})

    result = machine.sync()

    assert result.state == "switched" and result.message.startswith("not verified: prod1 and 1 more: ")
    machine.site.assert_serves("master", commit)
    (finding,) = machine.findings("not-verified", "tops-fail")
    assert finding.id == "not-verified"


def test_external_pillar_refuses_nothing_but_hides_no_mistake(machine: Machine) -> None:
    machine.configure(ext_pillar=[{"cmd_yaml": "echo 'role: web'"}])
    machine.site.sync_well()
    machine.commit({"salt/top.sls": "base:\n  '*': [app\n"})
    assert machine.sync().state == "refused"

    commit = machine.commit({"salt/top.sls": TOP + "# {{ pillar.role.upper() }}\n"})
    result = machine.sync()
    assert result.state == "switched" and "external pillar" in result.message
    machine.site.assert_serves("master", commit)


def test_grains_that_come_with_the_commit_refuse_nothing(machine: Machine) -> None:
    grains = "def f():\n    return {'tier': 'x'}\n"
    machine.commit({"salt/_grains/tier.py": grains, "salt/top.sls": BROKEN})
    assert machine.sync().state == "refused"  # no grain would mend that

    machine.commit({"salt/top.sls": TOP + "# {{ grains.tier.upper() }}\n"})
    result = machine.sync()
    assert result.state == "switched" and "grains that are not known here" in result.message


def test_the_pillar_of_the_branch_is_there_where_the_top_asks_for_it(machine: Machine) -> None:
    machine.commit({"salt/top.sls": TOP + "# {{ pillar.branch.upper() }} {{ salt['pillar.get']('branch').upper() }}\n"})
    result = machine.sync()
    assert (result.state, result.message) == ("switched", "")

    machine.commit({"salt/top.sls": TOP + "# {{ pillar.branhc.upper() }}\n"})
    assert machine.sync().state == "refused"


def test_fleet_compiles_whole_highstates(machine: Machine) -> None:
    broken: dict[str, Content] = {"salt/app/init.sls": "{% if %}\n"}
    machine.commit(broken)
    assert machine.sync().state == "switched"  # the top files are fine
    machine.commit({"salt/app/init.sls": "app:\n  test.nop: []\n"})
    machine.set("prod", verify_switch="fleet")
    assert machine.sync().message == ""
    machine.commit(broken)

    result = machine.sync()

    assert result.state == "refused" and "the highstates of" in result.message and "prod:app" in result.message


@pytest.mark.parametrize(
    ("key", "questions"), [(None, 0), ("top", 1), ("fleet", 1), ("off", 0), (False, 0)]
)
def test_an_open_saltenv_is_verified_on_demand_only(
    machine: Machine, asked: list[Question], key: Any, questions: int
) -> None:
    if key is not None:
        machine.set("test", verify_switch=key)
    machine.set("prod", verify_switch="off")
    machine.site.sync_well()
    machine.commit({"salt/new.sls": ""}, "develop")
    machine.commit({"salt/new.sls": ""})
    machine.site.sync_well()

    assert [q.saltenv for q in asked] == ["test"] * questions


def test_a_master_that_knows_no_minion_says_that_nothing_is_verified(site: Site) -> None:
    machine = Machine(site)
    for name in ("prod1", "prod2"):
        (site.folder / "cache" / "grains" / f"{name}.p").unlink()
    assert "not verified: no minion of prod" in machine.sync().message
    machine.commit({"salt/top.sls": BROKEN})

    assert machine.sync().state == "switched"
    (finding,) = machine.findings("tops-fail")  # for an id that prod claims
    assert "salt/top.sls" in finding.message


def test_an_id_without_grains_is_no_reason_to_blame_a_top_file(site: Site) -> None:
    machine = Machine(site)
    (site.folder / "cache" / "grains" / "test1.p").unlink()
    machine.commit({"salt/top.sls": TOP + "# {{ grains.tier.upper() }}\n"}, "develop")
    machine.sync()

    assert [f.id for f in machine.findings("tops-fail", "tops-unsure")] == ["tops-unsure"]


LOOP = TOP + "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}\n"


def is_free(site: Site) -> bool:
    """Whether nobody holds the lock of the root."""
    with open(site.root / "lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_top_that_never_ends_is_stopped_and_said(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "_LIMIT", 4)
    commit = machine.commit({"salt/top.sls": LOOP})
    begin = time.monotonic()

    result = machine.sync()

    assert time.monotonic() - begin < 15
    assert result.state == "switched" and "not verified: it was stopped after 4 s" in result.message
    machine.site.assert_serves("master", commit)
    assert is_free(machine.site)


def test_a_sync_that_is_killed_meanwhile_leaves_nothing_and_the_next_one_ends_it(
    machine: Machine,
) -> None:
    machine.commit({"salt/top.sls": LOOP})
    running = machine.site.start()
    child = wait_for(lambda: children(running.pid, "rendering.main"))
    time.sleep(1)
    running.send_signal(signal.SIGKILL)
    running.communicate()

    wait_for(lambda: not any(map(is_running, child)) or None)
    assert is_free(machine.site)
    good = machine.commit({"salt/top.sls": TOP, "salt/new.sls": ""})
    machine.site.sync_well()
    machine.site.assert_serves("master", good)


def children(parent: int, word: str) -> list[int] | None:
    """The processes below `parent` whose command has `word` in it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            above = folder.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            if int(above) == parent and word in folder.joinpath("cmdline").read_text():
                found.append(int(folder.name))
        except OSError:
            continue
    return found or None


def is_running(pid: int) -> bool:
    """Whether it is there, and more than a name that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(look: Callable[[], Any]) -> Any:
    """What `look` finds within some seconds."""
    for _ in range(200):
        if (found := look()) is not None:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


def test_code_of_the_branch_gets_no_descriptor_of_the_sync(machine: Machine) -> None:
    probe = (
        "import os\ndef fds():\n    names = []\n    for fd in range(3, 300):\n        try:\n"
        "            names.append(os.readlink(f'/proc/self/fd/{fd}'))\n        except OSError:\n            pass\n"
        "    raise Exception('open: ' + ' '.join(names))\n"
    )
    machine.commit({"salt/_modules/probe.py": probe, "salt/top.sls": TOP + "{{ salt['probe.fds']() }}\n"})

    machine.sync()

    told = json.dumps(machine.verdict().as_dict())
    assert "open: " in told and "lock" not in told and str(machine.site.root) not in told


def test_a_model_counts_whether_its_commit_is_switched_to_or_not(machine: Machine) -> None:
    saltenvs = {
        name: {**entry, "promote_from": "test"} if name == "prod" else entry
        for name, entry in machine.site.settings["saltenvs"].items()
    }
    machine.site.configure(saltenvs=None, model_branch="master")
    machine.commit({"saltbranch.yaml": yaml.safe_dump({"saltenvs": saltenvs})})
    assert machine.site.sync_here().exit_code == 0
    saltenvs["test"]["protected"] = True
    bad = machine.commit({"saltbranch.yaml": yaml.safe_dump({"saltenvs": saltenvs}), "salt/top.sls": BROKEN})

    result = machine.site.sync_here()

    assert (result.exit_code, result_of(result, "prod").state) == (4, "refused")
    found = status(str(machine.site.config))
    assert found.model["commit"] == bad and found.model["problem"] is None
    assert machine.status("test").protected


def test_a_new_minion_is_asked_about_but_not_at_once(
    machine: Machine, asked: list[Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.commit({"salt/top.sls": TOP + "{% if grains.id != 'prod3' %}{{ no.x }}{% endif %}\n"})
    assert machine.sync().state == "refused"
    machine.meet("prod3")
    assert machine.sync().state == "refused" and len(asked) == 1
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + verify._AGAIN + 1)

    result = machine.sync()

    assert result.state == "switched" and "2 of 3 minions" in result.message and len(asked) == 2


def test_a_sync_without_news_knows_nothing_of_it(machine: Machine) -> None:
    machine.commit({"salt/new.sls": ""})
    machine.site.sync_well()
    program = "from saltbranch.entry import main; main()"

    found = modules_of("-c", program, "sync", "--config", str(machine.site.config))

    assert "saltbranch.actions.sync" in found
    assert not {name for name in found if name.startswith("saltbranch.serve")} and "json" not in found
