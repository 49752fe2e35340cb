"""Commits whose top files fail: refused, told, kept, and fixed; by real syncs, real Salt and the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from saltbranch.serve import verify
from saltbranch.serve.verify import FAILS, PARTLY, REFUSED, RENDERS, UNKNOWN, UNMATCHED, Question
from tests.support.machine import BROKEN, TOP, Machine
from tests.support.remote import Content
from tests.support.site import Journal, Site, result_of

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
    for answer in (
        {"why": "cannot compile: no bubblewrap", "sandbox": False},
        {"why": "it was stopped"},
    ):
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


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{", '{"failures": 1}', '{"outcome": "refused"}']
)
def test_a_torn_file_is_no_verdict(tmp_path: Path, text: str) -> None:
    path = Path(verify.path(str(tmp_path), "prod"))
    path.parent.mkdir(parents=True)
    path.write_text(text)

    assert verify.load(str(tmp_path), "prod") is None


@pytest.mark.parametrize(
    ("matched", "outcome", "said"),
    [
        ([True, False], RENDERS, ""),
        ([False, False], UNMATCHED, "none of the 2 minions of prod"),
        ([False], UNMATCHED, "not the only minion of prod"),
    ],
)
def test_a_top_file_that_has_nothing_for_anybody_is_told(
    matched: list[bool], outcome: str, said: str
) -> None:
    rows = [{**row(f"m{n}"), "matched": found} for n, found in enumerate(matched)]

    found = verify.decide(QUESTION, {"why": "", "new": rows, "served": []})

    assert found.outcome == outcome
    assert said in found.told() and bool(found.told()) == bool(said)


# On a master


def test_a_target_that_is_misspelt_is_switched_to_and_told(machine: Machine) -> None:
    """It may be meant, so it is not refused; but state.apply fails with it."""
    bad = machine.commit({"salt/top.sls": "base:\n  'prd*':\n    - app\n"})

    result = machine.sync()

    assert (result.state, result.new) == ("switched", bad)
    assert f"the top file of {bad[:12]} gives states to none of the 2 minions" in result.message


def test_a_broken_top_stops_at_the_protected_saltenv(
    machine: Machine, asked: list[Question]
) -> None:
    good = machine.remote.head("master")
    bad = machine.commit({"salt/top.sls": BROKEN})
    machine.commit({"salt/top.sls": BROKEN}, "develop")

    planned = machine.site.sync_here(plan=True)
    result = machine.site.sync_here()

    assert planned.exit_code == result.exit_code == 4
    prod = result_of(result, "prod")
    assert result_of(planned, "prod").message == prod.message
    assert (prod.state, prod.old, prod.new) == ("refused", good, bad)
    assert (
        "all 2 minions of prod" in prod.message
        and "prod1 and 1 more: salt/top.sls: " in prod.message
    )
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
    assert (
        "refused: the top files of" in shown
        and f"to serve {bad[:12]}: saltbranch sync" not in shown
    )
    (fails, refused) = sorted(machine.findings("switch-refused", "tops-fail"), key=lambda f: f.id)[
        ::-1
    ]
    assert refused.severity == fails.severity == "error"
    assert bad[:12] in refused.message and "test1: salt/top.sls" in fails.message
    assert machine.findings("sync-failed") == [], "it is told once"
    assert shown.count("salt/top.sls") == 1, shown

    fixed = machine.commit({"salt/top.sls": TOP, "salt/app/init.sls": "more:\n  test.nop: []\n"})
    assert machine.sync().state == "switched"
    machine.site.assert_serves("master", fixed)
    assert machine.findings("switch-refused") == []
    assert machine.status().problem is None


def test_a_doctor_who_finds_nothing_leaves_nothing(site: Site) -> None:
    def state() -> list[tuple[str, int]]:
        paths = [p for p in site.root.rglob("*") if p.is_file() or p.is_dir()]
        return sorted((str(p), p.lstat().st_mtime_ns) for p in paths)

    machine = Machine(site)
    machine.set("prod", verify_switch="off")
    site.sync_well()
    before = state()

    found = machine.findings(
        "switch-refused", "tops-fail", "tops-unsure", "not-checked", "not-verified"
    )

    assert found == []
    assert state() == before


def test_of_a_pillar_top_only_kind_and_place_are_told(machine: Machine) -> None:
    machine.commit({"pillar/top.sls": f"{TOP}    hunter2: *hunter2\n"})

    result = machine.sync()

    assert result.state == "refused"
    assert "pillar/top.sls: YAML: " in result.message
    kept = Path(verify.path(str(machine.site.root), "prod")).read_text()
    assert "hunter2" not in result.message + kept


def test_what_fails_for_some_is_served_and_told(machine: Machine) -> None:
    commit = machine.commit(
        {"salt/top.sls": f"{TOP}{{% if grains.id == 'prod2' %}}{{{{ no.x }}}}{{% endif %}}\n"}
    )

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
        TOP
        + "{% set x = salt['config.get']('datacenter:name').split('-')[3].strip() %}\n",  # of the minion's own file
        TOP + "{% set x = salt['config.option']('my.dict')['x']['y'] %}\n",
        TOP + "{% set x = opts['datacenter'].upper() %}\n",
        TOP + "{% set x = salt['of_a_package.roles']()[0] %}\n",  # synced from elsewhere
        TOP + "{% if 'of_a_package.roles' not in salt %}{{ nothing.at.all }}{% endif %}\n",
    ],
)
def test_an_answer_that_was_made_up_refuses_nothing(machine: Machine, top: str) -> None:
    commit = machine.commit({"salt/top.sls": top})

    result = machine.sync()

    assert result.state == "switched" and result.message.startswith(
        "not verified: prod1 and 1 more: "
    )
    machine.site.assert_serves("master", commit)
    (finding,) = machine.findings("not-verified", "tops-fail")
    assert finding.id == "not-verified"


@pytest.mark.parametrize(
    "top",
    [
        TOP + "{% set x = salt['network.ip_adrs']() %}\n",  # misspelt, in a module that is here
        TOP + "{% set x = salt['own.gone']() %}\n",  # the branch's own module lacks it
        TOP
        + "{% set x = salt['config.get']('role') %}{{ nothing.at.all }}\n",  # its pillar says that
        TOP + "{% set x = opts.id %}{% if %}\n",
        TOP + "{% set x = salt['config.get']('a', omit_opts=True) %}{{ nothing.at.all }}\n",
    ],
)
def test_what_is_surely_the_commits_fault_is_refused(machine: Machine, top: str) -> None:
    own = {"salt/_modules/own.py": "def there():\n    return 1\n"}
    pillar = {"pillar/top.sls": TOP, "pillar/app.sls": "role: web\n"}
    machine.commit({**own, **pillar})
    machine.site.sync_well()
    machine.commit({"salt/top.sls": top})
    result = machine.sync()
    assert result.state == "refused", result.message


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
    assert machine.sync().state == "refused"  # no grain would fix that

    machine.commit({"salt/top.sls": TOP + "# {{ grains.tier.upper() }}\n"})
    result = machine.sync()
    assert result.state == "switched" and "grains that are not known here" in result.message


def test_the_pillar_of_the_branch_is_there_where_the_top_asks_for_it(machine: Machine) -> None:
    machine.commit(
        {
            "salt/top.sls": TOP
            + "# {{ pillar.branch.upper() }} {{ salt['pillar.get']('branch').upper() }}\n"
        }
    )
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

    assert (
        result.state == "refused"
        and "the highstates of" in result.message
        and "prod:app" in result.message
    )


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
