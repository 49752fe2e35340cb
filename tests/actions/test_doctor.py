"""doctor on a root that was really synced, with a master configuration that Salt really reads."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import salt.config
import salt.pillar
import salt.state
import yaml

from saltbranch.actions.doctor import DoctorResult
from saltbranch.actions.doctor import doctor as doctor_action
from saltbranch.doctor.finding import Finding
from saltbranch.doctor.gather import renders
from tests.support.remote import Remote
from tests.support.site import Site, build_template

PROJECT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


class Machine:
    """A site on a machine with a salt-master's configuration, keys and cache."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.folder = site.folder
        self.zz = site.master_config.parent / "zz.conf"
        options = {
            "root_dir": str(self.folder),
            "pki_dir": "/pki",
            "cachedir": "/cache",
            "pidfile": "/master.pid",
            "user": "root",
            "default_include": "master.d/*.conf",
        }
        site.salt_config.write_text(yaml.safe_dump(options))
        for minion in ("test1", "stage1", "prod1"):
            self.accept(minion)

    def accept(self, minion: str) -> None:
        """Let the master know a minion."""
        keys = self.folder / "pki" / "minions"
        keys.mkdir(parents=True, exist_ok=True)
        (keys / minion).write_text("key")

    def also(self, **options: Any) -> None:
        """What somebody else set, in a file of their own."""
        self.zz.write_text(yaml.safe_dump(options))

    def doctor(self, **options: Any) -> DoctorResult:
        """The verb, here."""
        return doctor_action(str(self.site.config), **options)

    def problems(self, **options: Any) -> list[str]:
        """Ids of errors and warnings."""
        result = self.doctor(**options)
        ids = [finding.id for finding in result.findings if finding.severity != "note"]
        assert result.exit_code == (1 if ids else 0)
        return ids

    def one(self, found: str, **options: Any) -> Finding:
        """The only error or warning, which has to be `found`."""
        assert self.problems(**options) == [found]
        return next(f for f in self.doctor(**options).findings if f.id == found)


@pytest.fixture(autouse=True)
def _nothing_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes seconds for each doctor; tests/serve has it."""
    monkeypatch.setattr(renders, "look", lambda *_: iter(()))


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Remote:
    return build_template(tmp_path_factory.mktemp("template") / "remote.git")


@pytest.fixture
def new(_template: Remote, tmp_path: Path) -> Machine:
    """A machine on which nothing was synced yet."""
    folder = tmp_path / "m"
    folder.mkdir()
    return Machine(Site(folder, _template.copy(tmp_path / "remote.git")))


@pytest.fixture
def machine(new: Machine) -> Machine:
    """A machine that serves three branches, and has nothing wrong."""
    new.site.sync_well()
    return new


def test_a_healthy_machine_has_neither_error_nor_warning(machine: Machine) -> None:
    result = machine.doctor()

    assert [f for f in result.findings if f.severity != "note"] == []
    assert {f.id for f in result.findings} <= {"no-timer", "model-of-one"}
    assert result.exit_code == 0
    assert result.model == str(machine.site.config)


def test_it_stays_healthy_while_branches_move(machine: Machine) -> None:
    for text in ("one", "two", "three"):
        machine.site.remote.commit("develop", {"pillar/app.sls": f"branch: {text}\n"})
        machine.site.sync_well()

    assert machine.problems() == []


def test_the_sample_repository_is_healthy(new: Machine) -> None:
    files = {
        str(path.relative_to(PROJECT)): path.read_bytes()
        for folder in ("salt", "pillar")
        for path in (PROJECT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    for branch in ("master", "stage", "develop"):
        new.site.remote.commit(branch, files)
    new.site.sync_well()

    assert new.problems() == []


SETTINGS: dict[str, dict[str, Any]] = {
    "top-merging-strategy": {"top_file_merging_strategy": "merge_all"},
    "state-top-saltenv": {"state_top_saltenv": "prod"},
    "default-top": {"default_top": "prod", "top_file_merging_strategy": "same"},
    "pillarenv": {"pillarenv": "prod"},
    "pillarenv-from-saltenv": {"pillarenv_from_saltenv": False},
    "dashed-option": {"pillarenv-from-saltenv": True},
    "state-top": {"state_top": "main.sls"},
    "pillar-merging": {"pillar_source_merging_strategy": "none"},
    "pillar-cache": {"pillar_cache": True},
    "file-roots": {"file_roots": {"test": ["/srv/salt"]}},
    "pillar-roots": {"pillar_roots": {"prod": ["/srv/pillar"]}},
    "literal-env": {"file_roots": {"__env__": ["/srv/__env__"]}},
    "pillar-as-files": {"file_roots": {"base": ["/"]}},
    "file-server-backend": {"fileserver_backend": ["gitfs"]},
    "git-pillar": {"ext_pillar": [{"git": ["master https://git.example.com/x"]}]},
    "master-tops": {"master_tops": {"ext_nodes": "cobbler"}},
    "symlinks": {"fileserver_followsymlinks": False},
    "files-ignored": {"file_ignore_regex": [r"/app($|/)"]},
    "renderers": {"renderer_blacklist": ["json"]},
    "key-acceptance": {"auto_accept": True},
}


@pytest.mark.parametrize("found", SETTINGS)
def test_a_setting_in_another_file_is_found(machine: Machine, found: str) -> None:
    machine.also(**SETTINGS[found])

    result = machine.doctor()
    (finding, *_) = [f for f in result.findings if f.id == found]
    assert finding.severity != "note" and result.exit_code == 1
    assert str(machine.zz) in finding.message or found == "pillar-as-files"


class Gets:
    """What a minion gets with these options, by Salt itself."""

    def __init__(self, machine: Machine) -> None:
        self.folder = machine.folder
        self.master = dict(salt.config.master_config(str(machine.site.salt_config)))

    def states(self, minion: str) -> list[str]:
        """Ids of the low chunks."""
        same = [
            k
            for k in self.master
            if k.startswith(("file_", "fileserver_", "state_", "env_", "top_"))
        ]
        options = {
            **salt.config.minion_config(None),
            **{key: self.master[key] for key in [*same, "default_top", "renderer_blacklist"]},
            "id": minion,
            "grains": {"id": minion},
            "file_client": "local",
            "cachedir": str(self.folder / "minion-cache"),
            "extension_modules": str(self.folder / "minion-cache" / "extmods"),
        }
        with salt.state.HighState(options, initial_pillar={}) as highstate:
            try:
                chunks = highstate.compile_low_chunks()
            except AttributeError:
                return []  # Salt stumbles over a top file that a forbidden renderer left raw
            return [c["__id__"] for c in chunks if isinstance(c, dict)]  # the others are errors

    def pillar(self, minion: str) -> dict[str, Any]:
        """The pillar of a minion that pins nothing."""
        compiled: dict[str, Any] = salt.pillar.Pillar(
            self.master, {}, minion, None
        ).compile_pillar()
        return compiled


@pytest.mark.parametrize(
    ("found", "states"),
    [
        ("state-top-saltenv", True),
        ("symlinks", True),
        ("files-ignored", True),
        ("renderers", True),
        ("pillar-merging", False),
    ],
)
def test_what_is_called_an_error_takes_everything_from_a_minion(
    machine: Machine, found: str, states: bool
) -> None:
    healthy = Gets(machine)
    assert healthy.states("test1") == ["app"]
    assert healthy.pillar("test1") == {"branch": "develop"}
    machine.also(**SETTINGS[found])

    broken = Gets(machine)

    got = broken.states("test1") if states else broken.pillar("test1")
    assert not got
    assert any(f.id == found and f.severity == "error" for f in machine.doctor().findings)


def test_a_list_of_somebody_elses_leaves_no_saltenv_of_ours_out(machine: Machine) -> None:
    machine.also(env_order=["prod", "stage"])

    assert Gets(machine).states("test1") == ["app"]
    assert "env-order" not in machine.problems()


def test_a_saltenv_that_came_later_is_missed_until_the_next_sync(machine: Machine) -> None:
    machine.also(file_roots={"other": ["/srv/other"]})
    assert "env-order" in machine.problems()

    machine.site.sync_well()
    assert "env-order" not in machine.problems()


def test_a_pillarenv_for_all_takes_the_pillar_from_the_others(machine: Machine) -> None:
    machine.also(pillarenv="prod", pillarenv_from_saltenv=False)

    assert Gets(machine).pillar("test1") == {}
    assert Gets(machine).pillar("prod1") == {"branch": "master"}
    assert next(f for f in machine.doctor().findings if f.id == "pillarenv").severity == "error"


def test_a_base_with_a_top_of_its_own_reaches_minions_of_all_saltenvs(machine: Machine) -> None:
    base = machine.folder / "base"
    base.mkdir()
    (base / "top.sls").write_text("base:\n  '*':\n    - leak\n")
    (base / "leak.sls").write_text("leak:\n  test.nop: []\n")
    machine.also(file_roots={"base": [str(base)]})

    assert Gets(machine).states("test1") == ["leak", "app"]
    assert str(base) in machine.one("other-saltenv").why
    (base / "top.sls").unlink()
    assert machine.problems() == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("saltenvs: [", "saltbranch.yaml"),
        ("remote: x\nrooot: /x\n", "rooot"),
        ("remote: x\nsaltenvs: {test: {branch: a}}\n", "minions"),
    ],
)
def test_a_broken_configuration_is_a_finding_and_not_the_end(
    machine: Machine, text: str, told: str
) -> None:
    text += f"\nsalt_config: {machine.site.salt_config}\n" if "[" not in text else ""
    machine.site.config.write_text(text)

    findings = machine.doctor().findings

    (broken,) = [finding for finding in findings if finding.id == "configuration"]
    assert told in broken.message
    assert machine.doctor().exit_code == 1
    assert machine.doctor().model is None


def test_with_two_claims_in_the_configuration_the_master_is_still_looked_at(
    machine: Machine,
) -> None:
    machine.site.settings["saltenvs"]["prod"]["minions"] = ["test*"]
    machine.site.configure()
    machine.also(state_top_saltenv="prod")
    (machine.site.root / "slots").chmod(0o777)

    assert machine.problems() == ["configuration", "state-top-saltenv", "writable-by-others"]


def test_no_configuration_at_all_is_a_note_and_one_that_is_gone_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    result = doctor_action()

    assert (result.config, result.exit_code) == (None, 0)
    assert "saltbranch init" in next(f for f in result.findings if f.id == "no-configuration").fix
    result = doctor_action(str(tmp_path / "gone.yaml"))
    assert result.exit_code == 1
    assert "saltbranch init" in next(f for f in result.findings if f.id == "configuration").fix


def test_before_the_first_sync_nothing_is_served(new: Machine) -> None:
    assert {"not-served", "master-config-missing", "top-missing", "file-roots"} <= set(
        new.problems()
    )


def test_without_a_master_the_rest_is_looked_at(machine: Machine) -> None:
    machine.site.salt_config.unlink()

    assert machine.problems() == []
    assert "no-master" in [finding.id for finding in machine.doctor().findings]


def test_where_nobody_serves_anything_nothing_is_missing(new: Machine) -> None:
    new.site.salt_config.unlink()

    result = new.doctor()

    assert {finding.id for finding in result.findings} == {"no-master", "model-of-one"}
    assert result.exit_code == 0
    assert result.model == str(new.site.config)


def test_a_master_file_that_salt_refuses_is_found(machine: Machine) -> None:
    machine.zz.write_text("file_roots: [\n")

    assert machine.one("salt-config").message.startswith(f"{machine.zz}: not valid YAML")


def test_the_masters_file_must_be_ours_current_and_included(machine: Machine) -> None:
    ours = machine.site.master_config
    text = ours.read_text()
    ours.write_text(text + "worker_threads: 9\n")
    machine.one("master-config-changed")

    ours.write_text("worker_threads: 9\n")
    assert {"master-config-foreign", "file-roots"} <= set(machine.problems())

    ours.write_text(text)
    main = machine.site.salt_config.read_text()
    machine.site.salt_config.write_text(main.replace("master.d", "other.d"))
    assert {"master-config-unread", "file-roots"} <= set(machine.problems())


def test_a_master_that_started_before_its_configuration_is_found(machine: Machine) -> None:
    (machine.folder / "master.pid").write_text(str(os.getpid()))

    machine.one("restart-needed")
    os.utime(machine.site.master_config, (0, 0))
    assert machine.problems() == []


def test_a_generated_top_file_that_is_gone_or_changed_is_found(machine: Machine) -> None:
    top = machine.site.root / "tops" / "test" / "states" / "top.sls"
    top.write_text("base:\n  '*': [secret]\n")
    machine.one("top-changed")

    top.unlink()
    machine.one("top-missing")


def test_a_link_that_leads_elsewhere_is_found(machine: Machine) -> None:
    link = machine.site.root / "tops" / "test" / "pillar" / "branch_top.jinja"
    link.unlink()
    link.symlink_to("../../../checkouts/master/pillar/top.sls")

    machine.one("top-link")


def test_a_served_file_changed_by_hand_is_found(machine: Machine) -> None:
    (machine.site.slot("develop") / "salt" / "app" / "init.sls").write_text("edited: {}\n")
    (machine.site.slot("develop") / "salt" / "new.sls").write_text("more: {}\n")

    assert set(machine.one("slot-edited").items) == {"salt/app/init.sls", "salt/new.sls"}
    machine.site.sync_here(verify=True)
    assert machine.problems() == []


def test_a_checkout_that_is_no_link_of_ours_is_found(machine: Machine) -> None:
    checkout = machine.site.checkout("develop")
    target = checkout.resolve()
    checkout.unlink()
    machine.one("not-served")

    shutil.copytree(target, checkout)
    assert machine.one("checkout-replaced").severity == "error"


def test_a_slot_that_git_has_forgotten_is_found(machine: Machine) -> None:
    shutil.rmtree(machine.site.root / "mirror.git" / "worktrees")

    assert machine.problems() == ["slot-unknown"] * 3


def test_a_file_with_a_time_of_long_ago_is_found(machine: Machine) -> None:
    old = machine.site.slot("develop") / "pillar" / "app.sls"
    os.utime(old, (1_600_000_000, 1_600_000_000))

    assert machine.one("preserved-mtime").items == (str(old),)


def test_two_slots_with_one_time_and_two_contents_are_found(machine: Machine) -> None:
    served = machine.site.slot("develop") / "pillar" / "app.sls"
    idle = machine.site.idle("develop") / "pillar" / "app.sls"
    assert idle.exists() and idle != served
    idle.unlink()
    idle.write_text("branch: another\n")
    shutil.copystat(served, idle)

    assert machine.one("preserved-mtime").items == (str(served),)


def test_a_root_that_everybody_can_enter_is_found_when_files_are_open_too(machine: Machine) -> None:
    root = machine.site.root
    root.chmod(0o755)
    assert machine.problems() == []

    for path in [p for p in root.rglob("*") if not p.is_symlink()]:
        path.chmod(path.stat().st_mode | (0o005 if path.is_dir() else 0o004))
    assert machine.one("readable-by-others").severity == "error"


def test_files_that_the_group_can_change_are_found(machine: Machine) -> None:
    (machine.site.slot("develop") / "pillar").chmod(0o770)

    machine.one("writable-by-others")


@needs_root
def test_files_of_another_owner_are_found(machine: Machine) -> None:
    os.chown(machine.site.slot("develop") / "salt" / "top.sls", 12345, -1)

    machine.one("wrong-owner")


@needs_root
def test_a_root_of_another_owner_is_found(machine: Machine) -> None:
    for folder, folders, names in os.walk(machine.site.root):
        for name in [".", *folders, *names]:
            os.chown(f"{folder}/{name}", 12345, -1, follow_symlinks=False)

    assert "root-owner" in machine.problems()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="saltbranch-doctor-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@needs_root
def test_a_master_of_another_user_must_be_able_to_read(
    open_folder: Path, _template: Remote
) -> None:
    site = Site(open_folder, _template.copy(open_folder / "remote.git"))
    machine = Machine(site)
    text = site.salt_config.read_text()
    site.sync_well()
    site.salt_config.write_text(text.replace("user: root", "user: nobody"))
    assert machine.problems() == ["master-cannot-read"]

    site.sync_well()
    assert machine.problems() == []

    (site.slot("develop") / "pillar").chmod(0o700)
    machine.one("master-cannot-read")
    (site.slot("develop") / "pillar").chmod(0o750)
    open_folder.chmod(0o700)
    assert machine.one("master-cannot-read").items == (str(open_folder),)


def test_left_overs_of_saltenvs_are_a_note(machine: Machine) -> None:
    machine.site.keep_only("test", "prod")
    machine.site.sync_well()
    (machine.folder / "pki" / "minions" / "stage1").unlink()

    result = machine.doctor()

    assert result.exit_code == 0
    (finding,) = [finding for finding in result.findings if finding.id == "orphans"]
    assert {Path(item).name for item in finding.items} == {"stage"}


def test_a_failed_sync_and_one_of_long_ago_are_found(machine: Machine) -> None:
    machine.site.remote.delete_branch("stage")
    machine.site.sync_here()
    assert "no branch 'stage'" in machine.one("sync-failed").message

    (machine.site.root / "state" / "failure").unlink()
    os.utime(machine.site.root / "state" / "seen", (0, 0))
    machine.one("sync-overdue")


def test_stale_locks_of_gitfs_are_found(machine: Machine) -> None:
    lock = machine.folder / "cache" / "gitfs" / "work" / "abc=" / "_" / "update.lk"
    lock.parent.mkdir(parents=True)
    lock.write_text(f"{os.getpid()}\nmachine\n")
    assert "stale-gitfs-lock" not in [f.id for f in machine.doctor().findings]

    lock.write_text("99999999\nmachine\n")
    assert "stale-gitfs-lock" in [f.id for f in machine.doctor().findings]
    assert machine.problems() == []  # a note while gitfs is not used
    machine.also(fileserver_backend=["roots", "gitfs"])
    # With another backend our option file may not list the saltenvs: it is another one now.
    expected = ["file-server-backend", "master-config-changed", "stale-gitfs-lock"]
    assert sorted(machine.problems()) == expected


def test_minions_of_no_saltenv_and_of_two_are_found(machine: Machine) -> None:
    machine.accept("web9")
    assert machine.one("unclaimed-minions").items == ("web9",)

    machine.site.settings["saltenvs"]["prod"]["minions"] = ["prod*", {"pcre": ".*9$"}]
    machine.site.settings["saltenvs"]["stage"]["minions"] = ["stage*", {"pcre": "web.$"}]
    machine.site.configure()
    assert "minion-claimed-twice" in machine.problems()


def test_a_nodegroup_by_grains_is_found(machine: Machine) -> None:
    machine.site.settings["saltenvs"]["prod"]["minions"] = ["prod*", {"nodegroup": "fleet"}]
    machine.site.configure()
    machine.also(nodegroups={"fleet": "G@role:prod"})

    assert "nodegroup" in machine.problems()


def test_the_minion_of_this_machine_and_another_one_are_looked_at(machine: Machine) -> None:
    (machine.folder / "minion").write_text("id: test1\nsaltenv: prod\n")
    machine.one("minion-saltenv")

    (machine.folder / "minion").write_text("saltenv: test\n")
    (machine.folder / "minion_id").write_text("test1\n")
    assert machine.problems() == []

    other = machine.folder / "elsewhere" / "minion"
    other.parent.mkdir()
    other.write_text("id: prod1\n")
    (other.parent / "minion.d").mkdir()
    (other.parent / "minion.d" / "x.conf").write_text("pillarenv: test\nlock-saltenv: True\n")
    assert machine.problems(minion_config=str(other)) == ["minion-pillarenv", "dashed-option"]
    machine.one("not-checked", minion_config="/nowhere/minion")


def test_branch_top_files_are_looked_at(machine: Machine) -> None:
    remote = machine.site.remote
    remote.commit("develop", {"salt/top.sls": "#!py\ndef run():\n    return {}\n"})
    remote.commit(
        "stage", {"salt/top.sls": None, "pillar/top.sls": "base:\n  '*': [app]\nprod: {}\n"}
    )
    machine.site.sync_here()

    assert sorted(machine.problems()) == ["no-top", "top-renderer"]
    assert "top-foreign-section" in [f.id for f in machine.doctor().findings]


def test_the_model_of_the_control_repository_is_named(machine: Machine) -> None:
    saltenvs = machine.site.settings["saltenvs"]
    machine.site.remote.commit("master", {"saltbranch.yaml": json.dumps({"saltenvs": saltenvs})})
    machine.site.configure(saltenvs=None)
    assert machine.site.sync_here().exit_code == 0

    assert machine.problems() == []
    head = machine.site.remote.head("master")[:12]
    assert machine.doctor().model == f"saltbranch.yaml on branch 'master' at {head}"


def test_nothing_is_changed_by_looking(machine: Machine) -> None:
    def state() -> list[tuple[str, int, int]]:
        paths = [p for p in machine.folder.rglob("*") if "/cache" not in str(p)]
        return sorted((str(p), p.lstat().st_mtime_ns, p.lstat().st_mode) for p in paths)

    before = state()
    machine.doctor()

    assert state() == before


def test_the_command_line_shows_each_finding_with_its_fix(machine: Machine) -> None:
    machine.also(state_top_saltenv="prod")

    text = machine.site.run("doctor")
    data = machine.site.run("doctor", "--json")

    assert (text.code, data.code) == (1, 1)
    assert text.out.splitlines()[:3] == [
        f"error state-top-saltenv state_top_saltenv is 'prod' ({machine.site.master_config},"
        f" {machine.zz})",
        "  The top files of all other saltenvs are not read, so their minions get an empty highstate.",
        f"  -> remove state_top_saltenv from {machine.zz} and restart the salt-master",
    ]
    parsed = json.loads(data.out)
    schema = Path(__file__).parents[2] / "docs" / "reference" / "schemas" / "doctor.json"
    jsonschema.validate(parsed, json.loads(schema.read_text()))
    assert parsed["version"] == 1
    assert parsed["config"] == str(machine.site.config)
    assert parsed["count"]["error"] == 1
    rendering = ("not-verified", "tops-unsure")  # left out by `machine.doctor`
    told = [f for f in parsed["findings"] if f["id"] not in rendering]
    assert told == machine.doctor().as_dict()["findings"]


def test_the_command_line_says_that_all_is_well(machine: Machine) -> None:
    done = machine.site.run("doctor")

    assert done.code == 0
    assert done.out.splitlines()[-1].startswith("healthy: ")
