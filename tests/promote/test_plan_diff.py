"""What a plan says of the minions, and the gates diff and check: a clone, a fleet of three, the real sandbox."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from saltbranch.compiler import sandbox
from saltbranch.preview.before_and_after import sides
from saltbranch.preview.repository_and_master import open_place
from saltbranch.promote import make_plan, promotion
from saltbranch.repository.workplace import open_workplace
from tests.support import own_cache
from tests.support.flow_site import RC_TAGS, FlowSite, FlowTemplate, build_flow_template, shown
from tests.support.site import Journal, Ran, Site, build_template

MINIONS = ("prod1", "stage1", "stage2")
GRAINS = {"kernel": "Linux", "os": "Debian", "os_family": "Debian", "osmajorrelease": 12}
LESS = "".join(f"app{n}:\n  test.nop: []\n" for n in range(10))
BROKEN = "x: {{ pillar.nosuch.key }}\n"
SECRET = "s3cr3t-PLAN-marker"


@pytest.fixture(scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory) -> FlowTemplate:
    return build_flow_template(tmp_path_factory.mktemp("flow"))


@pytest.fixture(scope="module", autouse=True)
def _results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache of results for all: what two tests begin with is compiled once."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        own_cache.use(patch, folder)
        yield folder


class Fleet(FlowSite):
    """A site with files of a fleet beside its clone."""

    def __init__(self, folder: Path, template: FlowTemplate) -> None:
        super().__init__(folder, template)
        (folder / "fleet").mkdir()
        for name in MINIONS:
            self.minion(name)

    def minion(self, name: str, **more: Any) -> None:
        """A file of the fleet."""
        data = {"grains": GRAINS, **more}
        (self.folder / "fleet" / f"{name}.yaml").write_text(yaml.safe_dump(data))

    def with_gates(self, *gates: Any, **stage: Any) -> None:
        """Configure the fleet, and `gates` for stage."""
        self.configure(
            top={"fleet": str(self.folder / "fleet")}, stage={"gates": list(gates), **stage}
        )

    def change(self) -> str:
        """A state and two others of develop's: one comes, two go."""
        files = {"salt/app/init.sls": f"{LESS}new:\n  test.nop: []\n"}
        return self.push("develop", files, "KEY-5 New")

    def gate(self, *words: str, name: str = "diff") -> tuple[str, str]:
        """What a gate of stage says."""
        return self.gates("promote", "stage", *words)[name]

    def digest_of_diff(self) -> str:
        """The digest that `saltbranch diff stage --json` shows."""
        self.git("fetch", "--quiet")
        found: str = json.loads(self.run("diff", "stage", "--json").out)["digest"]
        return found


@pytest.fixture
def flow(_template: FlowTemplate, tmp_path: Path) -> Fleet:
    return Fleet(tmp_path, _template)


# The plan


def test_a_plan_shows_the_groups_and_the_digest_that_diff_shows(flow: Fleet) -> None:
    flow.with_gates()
    flow.change()
    ran = flow.run("promote", "stage", "--plan")
    assert ran.code == 3
    begin = ran.out.index("  diff:")
    assert (
        shown(ran.out[begin:])
        == """\
  diff: 2 of 2 minions change, 1 group; digest DIGEST
    group 1: 2 minions: stage1, stage2
      states
        - app10 | test.nop  (salt/app/init.sls:21)
        - app11 | test.nop  (salt/app/init.sls:23)
        + new | test.nop  (salt/app/init.sls:21)
  gate hold: pass, nothing is held
  gate debts: pass, no hotfix is missing
  model: saltbranch.yaml on branch 'master' at HASH
  digest DIGEST
"""
    )
    digest = flow.digest_of_diff()
    assert f"digest {digest[:16]}\n" in ran.out
    assert flow.run("diff", "stage").out.endswith(f"digest {digest[:16]}\n")
    found = flow.plan("promote", "stage")
    assert found["diff_missing"] is None
    assert found["diff"]["digest"] == digest
    assert found["diff"]["minions"] == {"changed": 2, "total": 2, "failed": 0, "partial": 0}
    assert found["diff"]["removed_states"] == 4
    assert [g["minions"] for g in found["diff"]["groups"]] == [["stage1", "stage2"]]
    assert found["diff"]["groups"][0]["states"]["added"] == ["new | test.nop"]


def test_a_long_diff_is_cut_in_the_plan(flow: Fleet) -> None:
    flow.with_gates()
    states = "".join(f"more{n}:\n  test.nop: []\n" for n in range(30))
    flow.push("develop", {"salt/app/init.sls": states}, "KEY-5 More")
    out = flow.run("promote", "stage", "--plan").out
    lines = out[out.index("  diff:") : out.index("  gate hold")].splitlines()
    assert len(lines) == 18
    assert lines[-1] == "    and 28 lines more; saltbranch diff stage shows all"


def test_what_is_no_matter_of_the_minions_is_no_difference(flow: Fleet) -> None:
    flow.with_gates({"diff": {"minions": 0}})
    flow.push("develop", {"README": "new\n"})
    assert flow.gate() == ("pass", "0 minions changed, 0 states removed")
    assert "diff: 0 of 2 minions change; digest" in flow.run("promote", "stage", "--plan").out


def test_on_a_terminal_one_sees_how_far_it_is(flow: Fleet) -> None:
    flow.with_gates()
    flow.change()
    ran = flow.run("promote", "stage", answer="n")
    assert ran.code == 4
    assert "Compiling" in ran.err and "Compiling" not in ran.out


def test_no_diff_leaves_it_out_and_does_not_open_the_gate(flow: Fleet) -> None:
    flow.with_gates("diff")
    flow.change()
    found = flow.plan("promote", "stage", "--no-diff")
    assert (found["diff"], found["diff_missing"]) == (None, "--no-diff leaves it out")
    assert flow.gate("--no-diff") == ("cannot-tell", "no diff: --no-diff leaves it out")
    assert "no diff" in flow.refused("promote", "stage", "--no-diff", "--yes")


def test_a_release_and_a_hotfix_have_one_too(flow: Fleet) -> None:
    flow.configure(
        top={"fleet": str(flow.folder / "fleet")},
        stage={"gates": ["diff"]},
        prod={"gates": [{"diff": {"removed_states": 0}}], "overridable": ["diff"]},
    )
    less = {"salt/app/init.sls": LESS}
    flow.push_branch("release/1.0", "develop", less)
    out = flow.run("release", "finish", "1.0", "--plan").out
    assert "diff: 2 of 2 minions change" in out
    assert "gate diff: pass, 2 minions changed, 4 states removed" in out
    flow.push_branch("hotfix/1.0.1", "master", less)
    found = flow.plan("hotfix", "finish", "1.0.1")
    assert found["diff"]["minions"]["total"] == 1
    gates = {g["gate"]: g["verdict"] for g in found["gates"]}
    assert gates["diff"] == "fail"
    flow.refused("hotfix", "finish", "1.0.1", "--yes")
    words = ("--override", "diff", "--reason", "KEY-9 burns", "--yes")
    flow.well("hotfix", "finish", "1.0.1", *words)
    assert len(flow.trailers(flow.head("master"))["Diff-Digest"]) == 64


def test_a_feature_is_compiled_where_a_gate_or_a_person_asks(flow: Fleet) -> None:
    flow.minion("test1")
    fleet = {"fleet": str(flow.folder / "fleet")}
    flow.configure(top=fleet, test={"gates": [{"diff": {"removed_states": 0}}]})
    flow.push_branch("feature/less", "develop", {"salt/app/init.sls": LESS})

    found = flow.plan("feature", "finish", "less")
    gates = {g["gate"]: (g["verdict"], g["reason"]) for g in found["gates"]}
    assert found["diff"]["minions"] == {"changed": 1, "total": 1, "failed": 0, "partial": 0}
    assert gates["diff"] == ("fail", "2 states removed, 0 may be")
    assert "diff: fail" in flow.refused("feature", "finish", "less", "--yes")
    missing = flow.plan("feature", "finish", "less", "--no-diff")
    assert {g["gate"]: g["verdict"] for g in missing["gates"]}["diff"] == "cannot-tell"


def test_a_feature_without_that_gate_is_not_compiled(flow: Fleet) -> None:
    flow.minion("test1")
    flow.with_gates()
    flow.push_branch("feature/less", "develop", {"salt/app/init.sls": LESS})
    assert flow.plan("feature", "finish", "less")["diff"] is None
    asked = flow.plan("feature", "finish", "less", "--reviewed", "abcdef")
    assert "what was reviewed is abcdef" in str(asked["gates"])


def test_a_diff_against_what_is_not_served_says_so(flow: Fleet) -> None:
    flow.with_gates()
    first = flow.head("stage")
    flow.change()
    flow.promoted("stage", "--no-diff")
    flow.well("rollback", "stage", "--reason", "KEY-6 slow", "--yes")
    flow.push("develop")
    notes = flow.plan("promote", "stage")["notes"]
    assert any(n.startswith("the diff is against stage") and first[:12] in n for n in notes)


# Where there is none


def test_without_a_master_a_plan_says_nothing_of_it_unless_the_gate_asks(flow: Fleet) -> None:
    flow.configure(stage={"gates": []})
    flow.change()
    assert "diff" not in flow.run("promote", "stage", "--plan").out
    flow.promoted("stage")


def test_the_gate_cannot_tell_without_a_fleet(flow: Fleet) -> None:
    flow.configure(stage={"gates": ["diff", "check"]})
    flow.change()
    reason = "fleet: cache, but there is no salt-master here (/etc/salt/master)"
    assert flow.gate() == ("cannot-tell", f"no diff: {reason}")
    static = "check: static in gates would look at the files alone"
    assert flow.gate(name="check") == ("cannot-tell", f"{reason}; {static}")
    assert reason in flow.refused("promote", "stage", "--yes")


def test_a_fleet_that_cannot_be_read_is_a_note_with_the_reason(flow: Fleet) -> None:
    flow.with_gates()
    flow.change()
    (flow.folder / "fleet" / "stage1.yaml").write_text("grains: [x]\n")
    out = flow.run("promote", "stage", "--plan").out
    assert "note: no diff: " in out and "stage1.yaml: no grains" in out
    for path in (flow.folder / "fleet").iterdir():
        path.unlink()
    found = flow.plan("promote", "stage")
    assert found["diff"] is None
    assert "the fleet has no minion in saltenv stage" in found["diff_missing"]
    (flow.folder / "fleet").rmdir()
    assert "cannot read the folder" in flow.plan("promote", "stage")["diff_missing"]
    flow.promoted("stage")


def outside(flow: FlowSite, *words: str, prefix: tuple[str, ...] = ()) -> Ran:
    """Run the command as a process of its own."""
    argv = [*prefix, sys.executable, "-m", "saltbranch", *words]
    done = subprocess.run(argv, cwd=flow.clone, capture_output=True, text=True, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def test_without_a_sandbox_there_is_no_diff_and_the_gate_cannot_tell(
    flow: Fleet, tmp_path: Path
) -> None:
    flow.with_gates("diff")
    flow.change()
    # Inside of this one there can be no other, nor can rights be given up.
    prefix = ("bwrap", "--bind", "/", "/", "--dev", "/dev", "--cap-drop", "ALL",
              "--setenv", "PATH", f"{tmp_path}/bin", "--setenv", "XDG_CACHE_HOME", str(tmp_path))  # fmt: skip
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to("/usr/bin/git")
    ran = outside(flow, "promote", "stage", "--plan", prefix=prefix)
    assert ran.code == 4, ran
    assert "gate diff: cannot-tell, no diff: cannot compile: bubblewrap is missing" in ran.out
    assert "note: no diff: cannot compile" in ran.out
    assert "minions change" not in ran.out


def test_status_and_why_not_without_the_gate_compile_nothing(flow: Fleet, _results: Path) -> None:
    flow.with_gates()
    flow.change()
    for path in (flow.folder / "fleet").iterdir():
        path.write_text("no: fleet\n")  # whoever reads it fails
    flow.well("status")
    flow.well("why-not", "stage")


def test_status_does_not_ask_what_takes_a_while_and_why_not_does(flow: Fleet) -> None:
    program = str(flow.folder / "gate")
    Path(program).write_text(f"#!/bin/sh\n: > {flow.folder}/ran\n")
    Path(program).chmod(0o755)
    flow.with_gates("diff", {"command": program})
    flow.change()
    found = json.loads(flow.well("status", "--json").out)
    following = next(s for s in found["saltenvs"] if s["saltenv"] == "stage")["next"]
    verdicts = {g["gate"]: (g["verdict"], g["reason"]) for g in following["gates"]}
    asks = ("cannot-tell", "saltbranch why-not stage asks it")
    assert verdicts["diff"] == verdicts["gate"] == asks
    assert not (flow.folder / "ran").exists()
    assert "diff: pass, 2 minions changed, 4 states removed" in flow.well("why-not", "stage").out
    assert (flow.folder / "ran").exists()


def test_a_promotion_without_a_fleet_imports_nothing_for_it(flow: Fleet) -> None:
    flow.configure(stage={"gates": []})
    flow.change()
    program = "from saltbranch.entry import main; main()"
    argv = [sys.executable, "-X", "importtime", "-c", program, "promote", "stage", "--plan"]
    done = subprocess.run(argv, cwd=flow.clone, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    rows = [r for r in done.stderr.splitlines() if r.startswith("import time:")]
    names = {r.rpartition("|")[2].strip() for r in rows}
    assert "saltbranch.promote.plan_diff" in names
    assert not {n for n in names if n == "salt" or n.startswith(("salt.", "saltbranch.compiler"))}
    # Modules that a plan with a fleet has; a name that no file has would make this true of anything.
    unasked = {
        "saltbranch.preview.fleet_diff",
        "saltbranch.actions.fleet",
        "saltbranch.check.highstates",
    }
    assert not names & unasked and all(importlib.util.find_spec(name) for name in unasked)


# The gate diff


def test_limits(flow: Fleet) -> None:
    flow.with_gates({"diff": {"minions": 2, "removed_states": 4}})
    flow.change()
    assert flow.gate() == ("pass", "2 minions changed, 4 states removed")
    flow.push("develop", {"salt/app/init.sls": LESS.partition("app9")[0]}, "KEY-6 Less")
    assert flow.gate() == ("fail", "6 states removed, 4 may be")
    flow.minion("stage3")
    verdict, reason = flow.gate()
    assert (verdict, reason) == ("fail", "3 minions changed, 2 may be; 9 states removed, 4 may be")
    assert reason in flow.refused("promote", "stage", "--yes")


def test_reviewed_wants_the_digest_of_the_diff(flow: Fleet) -> None:
    flow.with_gates({"diff": {"reviewed": True}})
    flow.change()
    digest = flow.digest_of_diff()
    assert "--reviewed" in flow.refused("promote", "stage", "--yes")
    wrong = f"{int(digest[0], 16) ^ 1:x}{digest[1:8]}"
    said = flow.refused("promote", "stage", "--yes", "--reviewed", wrong)
    assert f"what was reviewed is {wrong}, and this is {digest[:16]}" in said
    for word in ("", "12345", digest[:6].upper() + "XY", "--help"):
        flow.refused("promote", "stage", "--yes", "--reviewed", word, code=2)
    assert flow.gate("--reviewed", digest[:6])[0] == "pass"
    flow.change()
    flow.push("develop", {"salt/app/init.sls": LESS}, "KEY-7 After the review")
    assert "what was reviewed" in flow.refused("promote", "stage", "--yes", "--reviewed", digest)
    flow.promoted("stage", "--reviewed", flow.digest_of_diff())


def test_reviewed_counts_where_no_gate_asks_for_it(flow: Fleet) -> None:
    flow.with_gates()
    flow.change()
    assert "what was reviewed" in flow.refused("promote", "stage", "--yes", "--reviewed", "abcdef")
    said = flow.refused("promote", "stage", "--yes", "--reviewed", "abcdef", "--no-diff")
    assert "diff: cannot-tell" in said
    flow.promoted("stage", "--reviewed", flow.digest_of_diff()[:8])


def test_a_file_that_changed_again_after_the_review_is_another_diff(flow: Fleet) -> None:
    flow.with_gates()
    managed = "/etc/x:\n  file.managed:\n    - source: salt://x\n"
    files = {"salt/app/init.sls": managed, "salt/x": "1\n", "salt/_modules/m.py": "a = 0\n"}
    flow.push("develop", dict(files))
    flow.promoted("stage", "--no-diff")
    first = _diff_of(flow, {"salt/x": "2\n", "salt/_modules/m.py": "a = 1\n"})
    assert _diff_of(flow, {"salt/x": "3\n"}) != first
    again = _diff_of(flow, {"salt/x": "2\n"})
    assert again == first
    assert _diff_of(flow, {"salt/_modules/m.py": "a = 2\n"}) != first


def _diff_of(flow: Fleet, files: dict[str, str]) -> str:
    flow.push("develop", dict(files))
    return flow.digest_of_diff()


def test_expect_wants_the_plan_and_covers_the_diff(flow: Fleet) -> None:
    flow.with_gates({"diff": {"expect": True}})
    flow.change()
    assert "--expect" in flow.refused("promote", "stage", "--yes")
    digest = flow.plan("promote", "stage")["digest"]
    flow.minion("stage3")  # another diff of the same tree
    assert "not the expected one" in flow.refused("promote", "stage", "--yes", "--expect", digest)
    flow.promoted("stage", "--expect", flow.plan("promote", "stage")["digest"])


def test_without_the_gate_the_digest_of_a_plan_leaves_the_fleet_out(flow: Fleet) -> None:
    flow.with_gates()
    flow.change()
    digest = flow.plan("promote", "stage")["digest"]
    flow.minion("stage3")
    assert flow.plan("promote", "stage")["digest"] == digest
    assert flow.plan("promote", "stage", "--no-diff")["digest"] == digest


def test_a_branch_that_breaks_the_compile_is_stopped_and_what_was_broken_before_is_not(
    flow: Fleet,
) -> None:
    flow.with_gates("diff", overridable=["diff"])
    top = "base:\n  '*': [app]\n  'stage1': [broken]\n"
    flow.push("develop", {"salt/top.sls": top, "salt/broken.sls": BROKEN}, "KEY-5 Broken")
    assert flow.gate() == ("fail", "compiled in part only: stage1")
    found = flow.plan("promote", "stage")["diff"]
    assert found["minions"]["partial"] == 1
    assert "nosuch" in found["incomplete"][0]["error"]
    assert "compiled in part only" in flow.run("promote", "stage", "--plan").out
    words = ("--override", "diff", "--reason", "KEY-5 stage1 is a wreck")
    flow.promoted("stage", *words)
    flow.change()
    assert flow.gate()[0] == "pass"
    assert flow.gate()[1].endswith("; 1 compiled in part, as before")
    flow.push("develop", {"salt/top.sls": "base: {{ nothing.x }}\n"}, "KEY-6 Top")
    assert flow.gate() == ("fail", "not compiled: stage1, stage2")


def test_a_lost_race_compares_the_diff_too(flow: Fleet) -> None:
    flow.with_gates("diff")
    flow.change()
    # Somebody pushes to the journal alone: the same plan, and it goes on.
    journal = flow.prepared("hold", commit=flow.head("master"), saltenv="prod", reason="KEY-8")
    once = flow.race("refs/saltbranch/journal", journal)
    flow.promoted("stage")
    assert once.exists()
    once.unlink()
    flow.push("develop", {"salt/app/init.sls": LESS}, "KEY-6 Less")
    later = flow.push_branch("other", "stage")
    once = flow.race("refs/heads/stage", later)
    ran = flow.run("promote", "stage", "--yes")
    assert once.exists()
    assert ran.code == 4 and "another push came first" in ran.err
    assert flow.head("stage") == later


def test_a_race_in_which_the_fleet_changes_is_another_plan(flow: Fleet) -> None:
    flow.with_gates("diff")
    flow.change()
    journal = flow.prepared("hold", commit=flow.head("master"), saltenv="prod", reason="KEY-8")
    once = flow.race("refs/saltbranch/journal", journal)
    hook = flow.remote.path / "hooks" / "update"
    extra = f"cp {flow.folder}/fleet/stage1.yaml {flow.folder}/fleet/stage3.yaml\n"
    hook.write_text(hook.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\n{extra}"))
    before = flow.head("stage")
    ran = flow.run("promote", "stage", "--yes")
    assert once.exists()
    assert ran.code == 4 and "the plan is another one now" in ran.err
    assert flow.head("stage") == before


# The gate check


def test_check_static_stops_new_errors_and_no_old_ones(flow: Fleet) -> None:
    flow.configure(stage={"gates": [{"check": "static"}]})
    missing = "x:\n  test.nop:\n    - require:\n      - test: nosuch\n"
    top = "base:\n  '*': [app, old, 'bad*']\n"
    flow.push("stage", {"salt/old.sls": "a: b: c\n", "salt/top.sls": top}, "KEY-5 Old")
    flow.change()
    assert flow.gate(name="check") == ("pass", "no new errors")
    bad = {f"salt/bad{n}.sls": f"{missing}a: b: c\n" for n in range(4)}
    flow.push("develop", {**bad, "salt/top.sls": top}, "KEY-6 Bad")
    verdict, reason = flow.gate(name="check")
    assert verdict == "fail"
    assert reason.startswith("4 new errors: salt/bad0.sls:5 ")
    assert reason.endswith(" and 1 more") and "salt/bad2.sls:5" in reason
    assert "salt/bad3" not in reason and "salt/old" not in reason
    assert "check: fail" in flow.refused("promote", "stage", "--yes")


# Records and secrets


def test_check_compiles_the_merged_tree_for_the_minions_of_the_target(flow: Fleet) -> None:
    """Each branch is fine by itself; what breaks stage1 is there only once they are merged."""
    flow.with_gates("check")
    asks = "{% from 'app/port.jinja' import port %}\nlisten-{{ port }}:\n  test.nop: []\n"
    both = {"salt/app/port.jinja": "{% set port = 80 %}\n", "salt/app/listen.sls": asks}
    flow.push("develop", both, "KEY-5 Listen")
    flow.promoted("stage")
    flow.push("stage", {"salt/app/port.jinja": "{% set ports = [80] %}\n"}, "KEY-6 Several ports")
    include = "include:\n  - app.listen\n"
    flow.push("develop", {"salt/app/init.sls": f"{include}{LESS}"}, "KEY-7 Use it")
    verdict, reason = flow.gate(name="check")
    assert verdict == "fail", reason
    assert "1 new error" in reason and "stage1" in reason and "salt/app/" in reason


def test_check_cannot_tell_where_no_minion_is_compiled(flow: Fleet) -> None:
    flow.with_gates("check")
    for name in ("stage1", "stage2"):
        (flow.folder / "fleet" / f"{name}.yaml").unlink()
    flow.change()
    verdict, reason = flow.gate(name="check")
    assert (verdict, "no minion of saltenv stage" in reason) == ("cannot-tell", True), reason


def test_check_judges_the_state_tests_of_the_merged_tree(flow: Fleet) -> None:
    flow.with_gates("check")
    tests = "app of stage:\n  saltenv: stage\n  grains: {id: x}\n  must: [nowhere | test.nop]\n"
    flow.push("develop", {"tests/app.yaml": tests}, "KEY-5 A test")
    verdict, reason = flow.gate(name="check")
    assert verdict == "fail" and "tests/app.yaml:4" in reason, reason


def test_the_digest_is_recorded_in_journal_trailer_and_history(flow: Fleet) -> None:
    flow.with_gates()
    flow.change()
    digest = flow.digest_of_diff()
    new = flow.promoted("stage")
    assert flow.trailers(new)["Diff-Digest"] == digest
    assert flow.state().promotions[-1].diff_digest == digest
    entry = json.loads(flow.well("history", "--json").out)["entries"][0]
    assert entry["diff_digest"] == digest
    flow.remote.git("update-ref", "-d", "refs/saltbranch/journal")
    flow.git("update-ref", "-d", "refs/saltbranch-kept/journal")
    entry = json.loads(flow.well("history", "--json").out)["entries"][0]
    assert (entry["via"], entry["diff_digest"]) == ("trailers", digest)
    flow.push("develop")
    plain = flow.promoted("stage", "--no-diff")
    assert "Diff-Digest" not in flow.trailers(plain)
    assert json.loads(flow.well("history", "--json").out)["entries"][0]["diff_digest"] is None


def test_no_pillar_value_in_plan_journal_commit_or_cache(flow: Fleet, _results: Path) -> None:
    told = flow.folder / "told"
    program = flow.folder / "tell"
    program.write_text(f"#!/bin/sh\ncat >> {told}\n")
    program.chmod(0o755)
    flow.with_gates({"diff": {"minions": 0}}, {"command": str(program)}, overridable=["diff"])
    for name in ("stage1", "stage2"):
        flow.minion(name, pillar={"private": {"key": SECRET}})
    states = "a:\n  cmd.run:\n    - name: x {{ pillar.app.password }}\n    - env: {{ pillar.private | json }}\n"
    broken = "b: {{ raise(pillar.app.password) }}\n"
    flow.push(
        "develop",
        {
            "pillar/app.sls": f"app: {{password: {SECRET}}}\n",
            "salt/app/init.sls": states,
            "salt/broken.sls": broken,
            "salt/top.sls": "base:\n  '*': [app]\n  'stage2': [broken]\n",
        },
        "KEY-5 Secret",
    )
    texts = [*_texts(flow.run("promote", "stage", "--plan"))]
    texts += _texts(flow.run("promote", "stage", "--plan", "--json"))
    texts += _texts(flow.run("why-not", "stage"))
    assert "app:password" in texts[2] and "compiled in part" in texts[0]
    words = ("--yes", "--override", "diff", "--reason", "KEY-5 wanted")
    texts += _texts(flow.run("promote", "stage", *words))
    new = flow.head("stage")
    texts.append(flow.message(new))
    texts.append(flow.remote.git("log", "--format=%B", "refs/saltbranch/journal"))
    texts.append(told.read_text())
    texts += [p.read_text() for p in _results.rglob("*") if p.is_file()]
    texts += _texts(flow.run("history", "--json"))
    assert "KEY-5 wanted" in texts[-2]  # the override is recorded
    assert all(SECRET not in text for text in texts)


def _texts(ran: Ran) -> list[str]:
    return [ran.out, ran.err]


# diff is what promote would make


def both_trees(flow: Fleet) -> tuple[str, str]:
    """The tree that `diff stage` compares with, and the tree of the plan."""
    flow.git("fetch", "--quiet", "--tags")
    place = open_place(str(flow.clone / "saltbranch.yaml"))
    after = sides(place, ["stage"])[1].tree
    tree = flow.git("rev-parse", f"{after}^{{tree}}")
    return tree, flow.plan("promote", "stage", "--no-diff")["steps"][0]["tree"]


@pytest.mark.parametrize("stage", [{}, {"saltenv_owned": ["pillar/app.sls"]}])
@pytest.mark.parametrize("source", ["branch", "tag", "hold"])
def test_diff_compares_with_the_tree_of_the_plan(
    flow: Fleet, stage: dict[str, Any], source: str
) -> None:
    follow = {"follow": {"tags": RC_TAGS}} if source == "tag" else {}
    flow.configure(top={"fleet": str(flow.folder / "fleet")}, stage=stage, test=follow)
    flow.push("stage", {"pillar/own.sls": "x: 1\n"}, "KEY-4 Stage only")
    proven = flow.push("develop", {"pillar/app.sls": "workers: 7\n", "salt/a": "a\n"})
    if source == "tag":
        flow.tag("v1.0-rc.1", proven)
    if source == "hold":
        flow.record("hold", commit=proven, saltenv="test", reason="KEY-5")
        flow.run("history")  # it reads the remote's journal
    last = flow.push("develop", {"salt/b": "b\n"})
    one, other = both_trees(flow)
    assert one == other
    files = flow.git("ls-tree", "-r", "--name-only", one).split()
    assert "salt/a" in files and "pillar/own.sls" in files
    assert ("salt/b" in files) == (source == "branch"), last
    kept = flow.git("cat-file", "blob", f"{one}:pillar/app.sls")
    assert kept == ("workers: 1" if stage else "workers: 7")


@pytest.mark.parametrize("source", ["branch", "hold", "tag"])
def test_the_mirror_of_a_master_gives_the_tree_of_its_plan(tmp_path: Path, source: str) -> None:
    remote = build_template(tmp_path / "remote.git")
    site = Site(tmp_path, remote)
    site.settings["saltenvs"]["prod"] |= {
        "promote_from": "stage",
        "saltenv_owned": ["pillar/app.sls"],
    }
    proven = remote.commit("stage", {"salt/a": "a\n"})
    if source == "hold":
        Journal(remote).hold("stage", proven)
    if source == "tag":
        site.settings["saltenvs"]["stage"]["follow"] = {"tags": RC_TAGS}
        remote.git("tag", "-a", "-m", "x", "v1.0-rc.2", proven)
        remote.git("tag", "v1.0-rc.1", remote.head("stage"))
    remote.commit("stage", {"salt/b": "b\n"})
    site.configure()
    assert site.sync_here().exit_code == 0
    place = open_place(str(site.config))
    tree = sides(place, ["prod"])[1].tree
    work = open_workplace(str(site.config))
    plan = make_plan.plan(work, promotion.request(work, "prod"), commands=False)
    assert tree == plan.target.tree
    names = remote.git("ls-tree", "-r", "--name-only", proven).split()
    files = set(place.repository.git.out("ls-tree", "-r", "--name-only", tree).split())
    assert files == {*names, *(["salt/b"] if source == "branch" else [])}


def test_the_model_of_the_production_branch_counts_for_diff_too(flow: Fleet) -> None:
    owned = {"saltenv_owned": ["pillar/app.sls"]}
    flow.configure(top={"fleet": str(flow.folder / "fleet")}, stage=owned)
    flow.push("develop", {"pillar/app.sls": "workers: 7\n", "saltbranch.yaml": "saltenvs: {}\n"})
    one, other = both_trees(flow)
    assert one == other


def test_the_sandbox_is_at_hand() -> None:
    """Otherwise the tests above would see no compile at all."""
    assert sandbox.find().kind == "bubblewrap" or os.geteuid() == 0


def test_errors_of_a_whole_fleet_do_not_drown_a_plan(flow: Fleet) -> None:
    flow.with_gates()
    for number in range(30):
        text = (flow.folder / "fleet" / "stage1.yaml").read_text()
        (flow.folder / "fleet" / f"stage{number:02}x.yaml").write_text(text)
    files = {f"salt/bad{n}.sls": f"{{{{ nosuch{n}.x }}}}\n" for n in range(4)}
    include = "include:\n" + "".join(f"  - bad{n}\n" for n in range(4))
    flow.push("develop", {"salt/app/init.sls": f"{include}{LESS}", **files}, "KEY-5 Bad")
    out = flow.run("promote", "stage", "--plan").out
    lines = out[out.index("  diff:") : out.index("  gate hold")].splitlines()
    assert any("compiled in part: 32 minions" in line for line in lines)
    assert sum("32 minions, new: Rendering SLS" in line for line in lines) == 4
    assert len(lines) < 40
