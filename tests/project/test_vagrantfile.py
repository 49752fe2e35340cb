"""The Vagrantfile, evaluated by Ruby itself, and the provisioning scripts that need no root."""

import json
import os
import shutil
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
VAGRANTFILE = PROJECT / "Vagrantfile"
SCRIPTS = sorted((PROJECT / "vagrant").glob("*.sh"))
CONTROL_REPOSITORY = PROJECT / "vagrant" / "control-repository.sh"
FORMULA_REPOSITORY = PROJECT / "vagrant" / "formula-repository.sh"

# What the Vagrantfile uses of Vagrant's own `Vagrant.configure`, written down as it is called.  A
# method that is not here is an error, as a misspelt one would be in Vagrant.
VAGRANT_STUB = """
require "json"

class Provider
  def memory=(_); end
end

class Machine
  attr_reader :record
  def initialize
    @record = {box: nil, hostname: nil, networks: [], provisions: [], folders: [], machines: {}}
  end
  def vm = self
  def box=(name)
    @record[:box] = name
  end
  def hostname=(name)
    @record[:hostname] = name
  end
  def network(type, **options) = @record[:networks] << options.merge(type: type)
  def provision(type, **options) = @record[:provisions] << options.merge(type: type)
  def synced_folder(host, guest, **options) = @record[:folders] << [host, guest, options]
  def provider(_name) = yield(Provider.new)
  def define(name, **_options)
    machine = Machine.new
    yield machine
    @record[:machines][name] = machine.record
  end
end

module Vagrant
  def self.configure(version)
    raise "configuration version #{version}" unless version == "2"
    config = Machine.new
    yield config
    puts JSON.generate(config.record)
  end
end

load File.expand_path(ARGV.fetch(0))
"""


def run(
    *command: str | Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    if shutil.which(str(command[0])) is None:
        pytest.fail(f"{command[0]} is not installed; this test needs it (Debian: apt-get install)")
    environment = {**os.environ, **(env or {})}
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=60,
    )


def git(repository: Path, *arguments: str) -> str:
    answer = run("git", "-C", repository, *arguments)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """What the Vagrantfile asks Vagrant for."""
    answer = run("ruby", "-W", "-e", VAGRANT_STUB, VAGRANTFILE)
    assert (answer.returncode, answer.stderr) == (0, "")
    record: dict[str, Any] = json.loads(answer.stdout)
    return record


@pytest.fixture(scope="module")
def machines(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    defined: dict[str, dict[str, Any]] = config["machines"]
    return defined


def scripts_of(machine: dict[str, Any]) -> list[str]:
    return [Path(step["path"]).name for step in machine["provisions"]]


def test_ruby_accepts_the_vagrantfile() -> None:
    answer = run("ruby", "-wc", VAGRANTFILE)
    assert (answer.stdout, answer.stderr) == ("Syntax OK\n", "")


def test_one_master_and_three_minions(machines: dict[str, dict[str, Any]]) -> None:
    masters = [name for name, it in machines.items() if "install-master.sh" in scripts_of(it)]
    minions = [name for name, it in machines.items() if "install-minion.sh" in scripts_of(it)]
    assert masters == ["master"]
    assert minions == ["test1", "stage1", "prod1"]
    assert {*masters, *minions} == set(machines)


def test_every_machine_has_its_name_and_an_address_of_its_own(
    config: dict[str, Any], machines: dict[str, dict[str, Any]]
) -> None:
    addresses = set()
    for name, machine in machines.items():
        assert machine["hostname"] == name
        (network,) = machine["networks"]
        assert network["type"] == "private_network"
        addresses.add(network["ip"])
    assert len(addresses) == len(machines)
    assert "bookworm" in config["box"]


def test_minions_are_told_the_address_of_the_master(machines: dict[str, dict[str, Any]]) -> None:
    master_ip = machines["master"]["networks"][0]["ip"]
    for name in ("test1", "stage1", "prod1"):
        arguments = machines[name]["provisions"][-1]["args"]
        assert arguments[:2] == [master_ip, name]
        assert arguments[2:], "a minion without roles gets no state but the common one"


def test_master_comes_last_and_waits_for_all_minions(machines: dict[str, dict[str, Any]]) -> None:
    *minions, last = machines
    assert last == "master"
    assert scripts_of(machines["master"]) == [
        "apt-repository.sh",
        "install-master.sh",
        "formula-repository.sh",
        "control-repository.sh",
        "setup-saltbranch.sh",
        "start-master.sh",
    ]
    assert machines["master"]["provisions"][-1]["args"] == minions


def test_the_formula_that_is_made_is_the_one_that_is_pinned_and_let_in(
    machines: dict[str, dict[str, Any]],
) -> None:
    steps = {Path(it["path"]).name: it.get("args") for it in machines["master"]["provisions"]}
    (formula,) = steps["formula-repository.sh"]
    _, remote, pinned = steps["control-repository.sh"]
    assert pinned == formula
    setup = (PROJECT / "vagrant" / "setup-saltbranch.sh").read_text("utf-8")
    assert f"SALTBRANCH_REMOTE:-{remote}}}" in setup
    assert f"SALTBRANCH_SUBMODULES:-{Path(formula).parent}}}" in setup


def test_every_minion_belongs_to_one_saltenv_of_the_sample_pillar(
    machines: dict[str, dict[str, Any]],
) -> None:
    pillar = yaml.safe_load((PROJECT / "pillar" / "saltbranch.sls").read_text("utf-8"))
    saltenvs = pillar["saltbranch"]["config"]["saltenvs"]
    claims = {
        name: [
            key for key, it in saltenvs.items() if any(fnmatchcase(name, p) for p in it["minions"])
        ]
        for name in machines
    }
    assert claims == {
        "test1": ["test"],
        "stage1": ["stage"],
        "prod1": ["prod"],
        "master": ["prod"],
    }


def test_vagrantfile_names_every_script_and_no_other(machines: dict[str, dict[str, Any]]) -> None:
    steps = [step for machine in machines.values() for step in machine["provisions"]]
    assert {step["type"] for step in steps} == {"shell"}
    assert {PROJECT / step["path"] for step in steps} == set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_bash_accepts_the_script(script: Path) -> None:
    answer = run("bash", "-n", script)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert os.access(script, os.X_OK)
    text = script.read_text("utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text


def test_control_repository_has_three_branches_with_the_same_files(tmp_path: Path) -> None:
    remote = tmp_path / "deep" / "salt.git"
    answer = run(CONTROL_REPOSITORY, PROJECT, remote)
    assert answer.returncode == 0, answer.stderr

    assert git(remote, "rev-parse", "--is-bare-repository") == "true\n"
    commits = dict(
        line.split()
        for line in git(remote, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    )
    assert sorted(commits) == ["refs/heads/develop", "refs/heads/master", "refs/heads/stage"]
    assert len(set(commits.values())) == 1

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--branch", "master", "--", str(remote), str(clone))
    assert files_below(clone) == files_below(PROJECT)
    assert list(remote.parent.iterdir()) == [remote], "nothing half-made is left beside it"


def test_every_branch_pins_the_first_release_of_the_formula(tmp_path: Path) -> None:
    remote, formula = tmp_path / "git" / "salt.git", tmp_path / "git" / "formulas" / "banner.git"
    for words in ((FORMULA_REPOSITORY, formula), (CONTROL_REPOSITORY, PROJECT, remote, formula)):
        answer = run(*words)
        assert answer.returncode == 0, answer.stderr

    assert git(formula, "tag").split() == ["v1.0.0", "v1.1.0"]
    first = git(formula, "rev-parse", "v1.0.0^{commit}")
    for branch in ("develop", "stage", "master"):
        assert git(remote, "rev-parse", f"{branch}:formulas/banner") == first
    clone = tmp_path / "clone"
    options = ("-c", "protocol.file.allow=always", "clone", "--quiet", "--recurse-submodules")
    git(tmp_path, *options, "--", str(remote), str(clone))
    assert "banner v1.0.0" in (clone / "salt" / "banner" / "init.sls").read_text("utf-8")
    top = yaml.safe_load((clone / "salt" / "top.sls").read_text("utf-8"))
    assert top["base"]["*"] == ["common", "banner"]
    assert sorted(path.name for path in remote.parent.iterdir()) == ["formulas", "salt.git"]
    assert list(formula.parent.iterdir()) == [formula], "nothing half-made is left beside it"


def test_formula_repository_leaves_what_is_there_alone(tmp_path: Path) -> None:
    formula, taken = tmp_path / "banner.git", tmp_path / "taken.git"
    run(FORMULA_REPOSITORY, formula)
    git(formula, "branch", "mine", "main")
    before = git(formula, "for-each-ref")
    taken.mkdir()

    answers = [run(FORMULA_REPOSITORY, path) for path in (formula, taken)]

    assert [answer.returncode for answer in answers] == [0, 1]
    assert "left alone" in answers[0].stdout
    assert "not a bare Git repository" in answers[1].stderr
    assert git(formula, "for-each-ref") == before
    assert list(taken.iterdir()) == []


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for kind in ("salt", "pillar")
        for path in (folder / kind).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_control_repository_leaves_an_existing_remote_alone(tmp_path: Path) -> None:
    remote = tmp_path / "salt.git"
    run(CONTROL_REPOSITORY, PROJECT, remote)
    git(remote, "branch", "feature/x", "develop")
    before = git(remote, "for-each-ref")

    answer = run(CONTROL_REPOSITORY, PROJECT, remote)

    assert answer.returncode == 0
    assert "left alone" in answer.stdout
    assert git(remote, "for-each-ref") == before


def test_control_repository_refuses_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    (tmp_path / "salt.git").mkdir()
    (tmp_path / "salt.git" / "precious").write_text("keep", "utf-8")

    answer = run(CONTROL_REPOSITORY, PROJECT, tmp_path / "salt.git")

    assert answer.returncode == 1
    assert "not a bare Git repository" in answer.stderr
    assert (tmp_path / "salt.git" / "precious").read_text("utf-8") == "keep"


def test_control_repository_refuses_a_source_without_states(tmp_path: Path) -> None:
    (tmp_path / "pillar").mkdir()

    answer = run(CONTROL_REPOSITORY, tmp_path, tmp_path / "salt.git")

    assert answer.returncode == 1
    assert "no folder salt/" in answer.stderr
    assert not (tmp_path / "salt.git").exists()


def test_control_repository_does_not_follow_the_git_environment_of_its_caller(
    tmp_path: Path,
) -> None:
    git(tmp_path, "init", "--quiet", "elsewhere")
    elsewhere = tmp_path / "elsewhere" / ".git"
    before = sorted(path.relative_to(elsewhere) for path in elsewhere.rglob("*"))

    answer = run(
        CONTROL_REPOSITORY,
        PROJECT,
        tmp_path / "salt.git",
        env={"GIT_DIR": str(elsewhere), "GIT_INDEX_FILE": str(tmp_path / "index")},
    )

    assert answer.returncode == 0, answer.stderr
    assert sorted(path.relative_to(elsewhere) for path in elsewhere.rglob("*")) == before
    assert git(tmp_path / "salt.git", "rev-parse", "stage") == git(
        tmp_path / "salt.git", "rev-parse", "master"
    )
