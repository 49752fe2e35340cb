"""The provisioning scripts of the Vagrantfile, run for real: from a source tree to three checkouts."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from saltbranch.config import minions as targets
from saltbranch.config.check import build_config
from saltbranch.config.read import read_file
from tests.support.remote import Remote
from tests.support.site import BRANCHES, Ran, read_tree, run

PROJECT = Path(__file__).parents[2]
SCRIPTS = PROJECT / "vagrant"
PINNED = "formulas/banner"


@dataclass(frozen=True, slots=True)
class Machine:
    """A salt-master's disk below `folder`."""

    folder: Path

    @property
    def remote(self) -> Remote:
        """The control repository on it."""
        return Remote(self.folder / "git" / "salt.git")

    @property
    def config(self) -> Path:
        """saltbranch.yaml."""
        return self.folder / "etc" / "saltbranch.yaml"

    @property
    def root(self) -> Path:
        """Mirror, slots and checkouts."""
        return self.folder / "srv"

    @property
    def master_config(self) -> Path:
        """What the salt-master includes."""
        return self.folder / "etc" / "master.d" / "saltbranch.conf"

    @property
    def formula(self) -> Path:
        """The formula's repository on it."""
        return self.folder / "git" / "formulas" / "banner-formula.git"

    def make_formula(self) -> Ran:
        """Run formula-repository.sh, as the Vagrantfile does."""
        return run([str(SCRIPTS / "formula-repository.sh"), str(self.formula)])

    def make_remote(self) -> Ran:
        """Run control-repository.sh, as the Vagrantfile does."""
        remote, formula = self.folder / "git" / "salt.git", self.formula
        return run(
            [str(SCRIPTS / "control-repository.sh"), str(PROJECT), str(remote), str(formula)]
        )

    def set_up(self, **variables: str) -> Ran:
        """Run setup-saltbranch.sh with the paths of this machine and the wrapper of install-master.sh."""
        command = self.folder / "saltbranch"
        python = shlex.quote(sys.executable)
        command.write_text(f'#!/bin/sh\nexec {python} -m saltbranch "$@"\n')
        command.chmod(0o755)
        environment = {
            "SALTBRANCH": str(command),
            "SALTBRANCH_REMOTE": str(self.folder / "git" / "salt.git"),
            "SALTBRANCH_SUBMODULES": str(self.formula.parent),
            "SALTBRANCH_CONFIG": str(self.config),
            "SALTBRANCH_ROOT": str(self.root),
            "SALTBRANCH_MASTER_CONFIG": str(self.master_config),
            "SALTBRANCH_SALT_CONFIG": str(self.folder / "etc" / "master"),
        }
        return run([str(SCRIPTS / "setup-saltbranch.sh")], env=environment | variables)

    def serves(self, branch: str) -> bool:
        """Whether the checkout of `branch` shows the head of that branch on the remote, with what it pins."""
        checkout, head = self.root / "checkouts" / branch, self.remote.head(branch)
        pinned = Remote(self.formula).tree(self.remote.git("rev-parse", f"{head}:{PINNED}"))
        wanted = {
            **self.remote.tree(head),
            **{f"{PINNED}/{path}": entry for path, entry in pinned.items()},
        }
        return read_tree(checkout.resolve(strict=True)) == wanted

    def written(self) -> dict[Path, bytes | str]:
        """Everything but what git and a run keep for themselves, links by their targets."""
        kept = [self.config, self.master_config, *self.root.glob("tops/**/*")]
        return {
            path: str(path.readlink()) if path.is_symlink() else path.read_bytes()
            for path in [*kept, *self.root.glob("checkouts/*")]
            if path.is_symlink() or path.is_file()
        }


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with nothing on it; the space would part unquoted words."""
    folder = tmp_path / "a master"
    folder.mkdir()
    return Machine(folder)


@pytest.fixture
def provisioned(machine: Machine) -> Machine:
    """A machine after `vagrant up`."""
    for ran in (machine.make_formula(), machine.make_remote(), machine.set_up()):
        assert (ran.code, ran.err) == (0, "")
    return machine


def test_three_checkouts_serve_the_three_branches(provisioned: Machine) -> None:
    options = yaml.safe_load(provisioned.master_config.read_text())
    for saltenv, branch in BRANCHES.items():
        assert provisioned.serves(branch)
        checkout = provisioned.root / "checkouts" / branch
        for roots, folder in (("file_roots", "salt"), ("pillar_roots", "pillar")):
            top, served = map(Path, options[roots][saltenv])
            assert served == checkout / folder
            assert (top / "top.sls").is_file()
            expected = (PROJECT / folder / "top.sls").read_text("utf-8")
            if folder == "salt":
                expected = expected.replace("    - common\n", "    - common\n    - banner\n", 1)
            assert (served / "top.sls").read_text("utf-8") == expected
    assert provisioned.remote.head("develop") == provisioned.remote.head("master")


def test_the_pinned_formula_is_among_the_states_and_a_newer_one_is_named(
    provisioned: Machine,
) -> None:
    options = yaml.safe_load(provisioned.master_config.read_text())
    for saltenv in BRANCHES:
        served = Path(options["file_roots"][saltenv][1])
        assert "banner v1.0.0" in (served / "banner" / "init.sls").read_text("utf-8")

    command = [str(provisioned.folder / "saltbranch"), "formula", "outdated"]
    ran = run(command, env={"SALTBRANCH_CONFIG": str(provisioned.config)})

    assert (ran.code, ran.err) == (3, "")
    assert "v1.1.0 is there" in ran.out


def test_every_minion_of_the_vagrantfile_has_its_saltenv(provisioned: Machine) -> None:
    machine = read_file(str(provisioned.config))
    config = build_config(machine, str(provisioned.config))
    groups = {saltenv.name: saltenv.minions for saltenv in config.saltenvs}

    for minion, saltenv in (("test1", "test"), ("stage1", "stage"), ("prod1", "prod")):
        assert f'"{minion}"' in (PROJECT / "Vagrantfile").read_text()
        assert [name for name, _ in targets.claimed_by(minion, groups, {})] == [saltenv]


def test_provisioning_twice_changes_nothing(provisioned: Machine) -> None:
    before = provisioned.written()

    again = (provisioned.make_formula(), provisioned.make_remote(), provisioned.set_up())

    assert [(ran.code, ran.err) for ran in again] == [(0, "")] * 3
    assert f"kept {provisioned.config}" in again[2].out
    assert provisioned.written() == before
    assert len(before) > 2 + len(BRANCHES)


def test_provisioning_again_serves_what_was_pushed_meanwhile(provisioned: Machine) -> None:
    for branch in ("develop", "stage"):
        provisioned.remote.commit(branch, {"salt/new.sls": f"# {branch}\n"})

    ran = provisioned.set_up()

    assert (ran.code, ran.err) == (0, "")
    assert all(provisioned.serves(branch) for branch in BRANCHES.values())
    shown = {b: provisioned.root / "checkouts" / b / "salt/new.sls" for b in BRANCHES.values()}
    assert {b: path.exists() for b, path in shown.items()} == {
        "develop": True,
        "stage": True,
        "master": False,
    }


def test_a_remote_that_is_not_there_fails_and_writes_no_configuration(machine: Machine) -> None:
    ran = machine.set_up()

    assert ran.code == 1
    assert "salt.git" in ran.err
    assert not machine.config.exists()
    assert not machine.master_config.exists()


def test_another_remote_than_the_first_is_refused(provisioned: Machine) -> None:
    before = provisioned.written()

    ran = provisioned.set_up(SALTBRANCH_REMOTE=str(provisioned.folder / "other.git"))

    assert ran.code == 4
    assert "is there already" in ran.err
    assert provisioned.written() == before
