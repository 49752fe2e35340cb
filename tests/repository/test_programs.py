"""Programs that a model names run where a person agreed to them, or the machine's own file lists them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import salt.config
import salt.loader

from saltbranch.repository.programs import Programs
from tests.support.flow_site import FlowSite
from tests.support.site import Ran, Site


def gate(canary: Path, name: str = "window") -> dict[str, object]:
    """A program that says that it ran, and where."""
    return {"command": ["/bin/sh", "-c", f"pwd >>{canary}"], "name": name}


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.fixture
def gated(flow: FlowSite, canary: Path) -> FlowSite:
    """stage asks a program that nobody has agreed to."""
    flow.configure(stage={"gates": [gate(canary)]}, agreed=False)
    flow.push("develop")
    return flow


def verdict(ran: Ran) -> str:
    gates = {g["gate"]: g for g in json.loads(ran.out)["gates"]}
    return str(gates["window"]["verdict"])


def test_without_a_terminal_nothing_runs_and_the_gate_cannot_tell(
    gated: FlowSite, canary: Path
) -> None:
    ran = gated.run("why-not", "stage")
    assert ran.code == 4 and "window: cannot-tell" in ran.out
    assert "--run-commands" in ran.out
    assert "cannot-tell" in gated.refused("promote", "stage", "--yes")
    for words in (["status"], ["promote", "stage", "--plan"], ["history"]):
        assert gated.run(*words).code in (0, 4)
    assert not canary.exists()


def test_run_commands_says_yes_for_one_run(gated: FlowSite, canary: Path) -> None:
    assert verdict(gated.run("why-not", "stage", "--json", "--run-commands")) == "pass"
    assert canary.read_text() == "/\n"  # not where the person stands
    assert verdict(gated.run("why-not", "stage", "--json")) == "cannot-tell"
    gated.well("promote", "stage", "--yes", "--run-commands")


def test_on_a_terminal_the_words_are_shown_and_the_answer_is_remembered(
    gated: FlowSite, canary: Path
) -> None:
    asked = gated.run("why-not", "stage", answer="n")
    assert "would run on this machine" in asked.err and f"pwd >>{canary}" in asked.err
    assert asked.code == 4 and not canary.exists()
    asked = gated.run("why-not", "stage", answer="y")
    assert asked.code == 0 and canary.exists()
    assert gated.run("why-not", "stage").code == 0
    again = gated.run("why-not", "stage", answer="")
    assert "would run" not in again.err


def test_other_words_are_asked_about_anew(flow: FlowSite, canary: Path) -> None:
    flow.configure(stage={"gates": [gate(canary)]})
    flow.push("develop")
    assert flow.run("why-not", "stage").code == 0
    other = gate(canary.with_name("other"))
    flow.model["saltenvs"]["stage"]["gates"] = [other]
    flow.remote.commit("master", {"saltbranch.yaml": json.dumps(flow.model)})
    assert "cannot-tell" in flow.run("why-not", "stage").out
    assert not canary.with_name("other").exists()


def test_a_relative_word_is_not_looked_up_in_what_is_checked_out(
    flow: FlowSite, canary: Path
) -> None:
    flow.configure(stage={"gates": [{"command": ["/bin/sh", "gate.sh"], "name": "window"}]})
    flow.push("develop")
    (flow.clone / "gate.sh").write_text(f"touch {canary}\n")
    assert "window: fail" in flow.run("why-not", "stage").out
    assert not canary.exists()


@pytest.mark.parametrize("hook", ["before_promote", "after_promote"])
def test_a_hook_is_a_program_too(flow: FlowSite, canary: Path, hook: str) -> None:
    words = gate(canary)["command"]
    flow.configure(top={"hooks": {hook: words}}, agreed=False)
    flow.push("develop")
    ran = flow.run("promote", "stage", "--yes")
    assert (ran.code, canary.exists()) == (4 if hook == "before_promote" else 20, False)
    assert "not agreed to" in ran.err
    flow.push("develop")
    flow.well("promote", "stage", "--yes", "--run-commands")
    assert canary.exists()


@pytest.fixture
def master(gated: FlowSite, tmp_path: Path) -> Site:
    folder = tmp_path / "master"
    folder.mkdir()
    site = Site(folder, gated.remote)
    site.configure(saltenvs=None)
    assert site.sync().code == 0
    return site


def on_master(site: Site, *words: str) -> Ran:
    return site.run_here(*words, "--config", str(site.config))


def test_on_a_master_only_what_its_own_file_lists_runs(
    gated: FlowSite, master: Site, canary: Path
) -> None:
    ran = on_master(master, "why-not", "stage")
    assert ran.code == 4 and f"is not listed under programs: in {master.config}" in ran.out
    refused = on_master(master, "why-not", "stage", "--run-commands")
    assert refused.code == 2 and "programs:" in refused.err
    opts = dict(salt.config.DEFAULT_MASTER_OPTS, saltbranch_config=str(master.config))
    runner = salt.loader.runner(opts)
    said = runner["saltbranch.promote"]("stage")
    assert said["retcode"] == 4 and "programs:" in said["error"]
    assert not canary.exists()

    master.configure(programs=[["/bin/sh", "-c", "true"]])
    assert on_master(master, "why-not", "stage").code == 4
    master.configure(programs=[gate(canary)["command"], "/usr/bin/true"])
    assert on_master(master, "why-not", "stage").code == 0
    assert runner["saltbranch.why_not"]("stage")["retcode"] == 0
    assert canary.exists()


def test_a_plan_that_is_not_the_expected_one_is_refused_by_the_runner_as_by_the_command(
    flow: FlowSite, tmp_path: Path
) -> None:
    flow.push("develop")
    (tmp_path / "here").mkdir()
    site = Site(tmp_path / "here", flow.remote)
    site.configure(saltenvs=None)
    assert site.sync().code == 0
    other = "f" * 16
    ran = on_master(site, "promote", "stage", "--plan", "--expect", other)
    opts = dict(salt.config.DEFAULT_MASTER_OPTS, saltbranch_config=str(site.config))
    said = salt.loader.runner(opts)["saltbranch.promote"]("stage", plan=True, expect=other)
    assert ran.code == 4 and "the plan is not the expected one" in ran.err
    assert said["retcode"] == 4 and "the plan is not the expected one" in said["error"]


def test_the_list_of_a_model_lists_nothing(flow: FlowSite, canary: Path) -> None:
    words = gate(canary)
    flow.configure(top={"programs": [words["command"]]}, stage={"gates": [words]}, agreed=False)
    flow.push("develop")
    ran = flow.run("why-not", "stage")
    assert ran.code == 4 and not canary.exists()
    assert "programs" in flow.plan("promote", "stage")["model"]["ignored"]


def test_what_was_agreed_to_is_kept_for_this_user_alone(tmp_path: Path) -> None:
    programs = Programs(git_dir=str(tmp_path))
    asked: list[object] = []

    def ask(words: object) -> bool:
        asked.append(words)
        return True

    programs.ask = ask
    programs.settle([("/bin/a", "x"), ("/bin/a", "x"), ("/bin/b",)])
    assert asked == [[("/bin/a", "x"), ("/bin/b",)]]
    again = Programs(git_dir=str(tmp_path))
    assert again.may_run(("/bin/a", "x")) and again.may_run(("/bin/b",))
    assert not again.may_run(("/bin/a",)) and not again.may_run(("/bin/a x",))
    (path,) = tmp_path.iterdir()
    path.chmod(0o622)  # others could have written it
    assert not Programs(git_dir=str(tmp_path)).may_run(("/bin/b",))
    path.chmod(0o600)
    assert path.stat().st_mode & 0o777 == 0o600 and path.stat().st_uid == os.geteuid()
