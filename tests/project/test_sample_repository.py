"""The sample control repository (salt/ and pillar/), compiled and applied by real Salt."""

import importlib.util
import json
import logging
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import salt._logging
import salt.config
import salt.exceptions
import salt.pillar
import salt.state
import yaml

from saltbranch.config.check import build_config
from saltbranch.config.read import read_file

PROJECT = Path(__file__).parents[2]
STATES = PROJECT / "salt"
PILLAR = PROJECT / "pillar"
ROLES = ("web", "db", "salt-master")
ONEDIR_PYTHON = "/opt/saltstack/salt/bin/python3.10"
# What Salt's own service and package modules look at before they load.
SAMPLE_GRAINS = {
    "kernel": "Linux",
    "os": "Debian",
    "os_family": "Debian",
    "osmajorrelease": 12,
    "pythonexecutable": ONEDIR_PYTHON,
}
# One for each role, one with all roles, one with none.
MINIONS = {
    "web1": ["web"],
    "db1": ["db"],
    "master1": ["salt-master"],
    "master-all": list(ROLES),
    "plain1": [],
}


@pytest.fixture(scope="module", autouse=True)
def _quiet_salt() -> Iterator[None]:
    """Salt sets the root logger to its lowest level at import, and keeps its lines for the exit."""
    salt._logging.shutdown_temp_handler()
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    yield
    logging.root.setLevel(level)


def sls_names(root: Path) -> list[str]:
    """Every sls below a root under Salt's name for it, but the top file."""
    names = []
    for path in sorted(root.rglob("*.sls")):
        parts = path.relative_to(root).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "init" else parts))
    names.remove("top")
    return names


def write_config(
    folder: Path, minion_id: str, grains: Mapping[str, object], *, saltenv: str = "test"
) -> Path:
    """Configure a masterless minion that lives below ``folder`` and belongs to one saltenv.

    The tops name no saltenv, so a top folder that comes first gives them one, as on a real master.
    """
    for root in (STATES, PILLAR):
        top = folder / "tops" / root.name / "top.sls"
        top.parent.mkdir(parents=True, exist_ok=True)
        sections = yaml.safe_load((root / "top.sls").read_text("utf-8"))
        top.write_text(yaml.safe_dump({saltenv: sections["base"]}, sort_keys=False), "utf-8")
    options = {
        "id": minion_id,
        "root_dir": str(folder / "root"),
        "file_client": "local",
        "saltenv": saltenv,
        "pillarenv": saltenv,
        "file_roots": {saltenv: [str(folder / "tops" / "salt"), str(STATES)]},
        "pillar_roots": {saltenv: [str(folder / "tops" / "pillar"), str(PILLAR)]},
        "grains": {"id": minion_id, **grains},
        "enable_fqdns_grains": False,
    }
    path = folder / "minion"
    path.write_text(yaml.safe_dump(options), "utf-8")
    return path


@dataclass(frozen=True, slots=True)
class Compiled:
    """A highstate that was compiled and not applied."""

    pillar: dict[str, Any]
    low: list[dict[str, Any]]

    def functions(self) -> set[str]:
        return {f"{chunk['state']}.{chunk['fun']}" for chunk in self.low}


def compile_highstate(
    folder: Path,
    minion_id: str,
    roles: list[str],
    *,
    family: str = "Debian",
    saltenv: str = "test",
    **grains: str,
) -> Compiled:
    sample = {**SAMPLE_GRAINS, "os_family": family, "os": family, "roles": roles, **grains}
    opts = salt.config.minion_config(str(write_config(folder, minion_id, sample, saltenv=saltenv)))
    pillar = compile_pillar(opts)
    with salt.state.HighState(opts, initial_pillar=pillar) as highstate:
        low = highstate.compile_low_chunks()
    # Salt answers with its error messages instead of chunks.
    assert [chunk for chunk in low if not isinstance(chunk, dict)] == []
    return Compiled(pillar, low)


def compile_pillar(opts: dict[str, Any]) -> dict[str, Any]:
    compiler = salt.pillar.Pillar(
        opts, opts["grains"], opts["id"], opts["saltenv"], pillarenv=opts["pillarenv"]
    )
    pillar: dict[str, Any] = compiler.compile_pillar()
    assert "_errors" not in pillar, pillar["_errors"]
    return pillar


def salt_call(folder: Path, *arguments: str) -> tuple[Any, str]:
    """What ``salt-call --local`` answers, parsed and as it was printed."""
    command = [sys.executable, "-c", "from salt.scripts import salt_call; salt_call()"]
    command += ["--local", "--config-dir", str(folder), "--out", "json", "--log-level", "error"]
    answer = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, cwd=folder, timeout=120
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return json.loads(answer.stdout)["local"], answer.stdout


# The repository as files


def test_no_folder_is_a_python_package() -> None:
    """A ``salt/__init__.py`` would shadow Salt for whatever runs from the project root."""
    found = [path for root in (STATES, PILLAR) for path in root.rglob("__init__.py*")]
    assert found == []


def test_salt_is_the_installed_one_when_run_from_the_project_root() -> None:
    answer = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, salt.config; print(sys.path[0]); print(salt.config.__file__)",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"},
    )
    first_on_path, imported = answer.stdout.splitlines()
    assert first_on_path == ""
    assert not Path(imported).is_relative_to(STATES)
    assert Path(imported) == Path(salt.config.__file__)


@pytest.mark.parametrize("root", [STATES, PILLAR], ids=["states", "pillar"])
def test_top_file_carries_roles_and_no_saltenv(root: Path) -> None:
    top = yaml.safe_load((root / "top.sls").read_text("utf-8"))
    assert list(top) == ["base"]
    kinds = set()
    for target, entries in top["base"].items():
        assert not {"test", "stage", "prod"} & set(
            target.replace("*", " ").replace(":", " ").split()
        )
        matches = [entry["match"] for entry in entries if isinstance(entry, dict)]
        kinds.add(matches[0] if matches else "glob")
        names = {entry for entry in entries if isinstance(entry, str)}
        assert names <= set(sls_names(root))
    assert kinds == {"glob", "grain", "compound"}


# Compiled


@pytest.mark.parametrize("family", ["Debian", "RedHat"])
@pytest.mark.parametrize("minion_id", MINIONS)
def test_highstate_compiles(tmp_path: Path, minion_id: str, family: str) -> None:
    compiled = compile_highstate(tmp_path, minion_id, MINIONS[minion_id], family=family)

    for name in compiled.functions():
        module, function = name.split(".")
        file = {"pip": "pip_state"}.get(module, module)
        assert hasattr(importlib.import_module(f"salt.states.{file}"), function)
    expected = {"motd", "common-packages"}
    if "web" in MINIONS[minion_id]:
        expected |= {"app-config", "nginx", "nginx-site-www", "nginx-index-www"}
        expected |= {"nginx-site-status", "nginx-index-status"}
    if "db" in MINIONS[minion_id]:
        expected |= {"mariadb", "mariadb-config", "backup-script"}
    if "salt-master" in MINIONS[minion_id]:
        expected |= {"saltbranch-git", "saltbranch-package", "saltbranch-command", "backup-script"}
        expected |= {"saltbranch-config", "saltbranch-first-sync", "saltbranch-timer"}
        expected |= {"saltbranch-doctor"}
    assert {chunk["__id__"] for chunk in compiled.low} == expected


def test_every_sls_renders_by_itself(tmp_path: Path) -> None:
    grains = {**SAMPLE_GRAINS, "roles": list(ROLES)}
    opts = salt.config.minion_config(str(write_config(tmp_path, "master1", grains)))
    pillar = salt.pillar.Pillar(opts, opts["grains"], "master1", "test", pillarenv="test")
    for name in sls_names(PILLAR):
        data, _, errors = pillar.render_pstate(name, "test", {})
        assert (bool(data), errors) == (True, []), name

    with salt.state.HighState(opts, initial_pillar=pillar.compile_pillar()) as highstate:
        for name in sls_names(STATES):
            data, errors = highstate.render_state(name, "test", set(), {"test": [name]})
            has_states = name != "saltbranch.applied"  # no custom modules here
            assert (bool(data), errors) == (has_states, []), name


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("Debian", {"/etc/mysql/mariadb.conf.d/99-salt.cnf", "/var/www/www/index.html"}),
        ("RedHat", {"/etc/my.cnf.d/99-salt.cnf", "/usr/share/nginx/www/index.html"}),
    ],
)
def test_paths_follow_the_family(tmp_path: Path, family: str, expected: set[str]) -> None:
    compiled = compile_highstate(tmp_path, "both1", ["web", "db"], family=family)
    assert expected <= {chunk["name"] for chunk in compiled.low}


def test_a_server_configures_a_service_after_its_package(tmp_path: Path) -> None:
    low = compile_highstate(tmp_path, "both1", ["web", "db"]).low
    for name, file in [("nginx", "nginx-site-www"), ("mariadb", "mariadb-config")]:
        chunks = {(chunk["state"], chunk["__id__"]): chunk for chunk in low}
        assert {"pkg": name} in chunks["file", file]["require"]
        assert {"sls": f"{name}.config"} in chunks["service", name]["watch"]


def test_demo_minion_needs_no_root(tmp_path: Path) -> None:
    """With the grain saltbranch_demo_dir only files are written, and only below that folder."""
    demo = str(tmp_path / "demo")
    compiled = compile_highstate(
        tmp_path, "master-all", list(ROLES), saltbranch_demo_dir=demo + "/"
    )
    assert compiled.functions() == {"file.managed"}
    outside = [chunk["name"] for chunk in compiled.low if not chunk["name"].startswith(demo + "/")]
    assert outside == []
    assert [chunk["name"] for chunk in compiled.low if {"user", "group"} & set(chunk)] == []


@pytest.mark.parametrize(
    ("python", "group"), [(ONEDIR_PYTHON, "salt"), ("/srv/venv/bin/python3", "root")]
)
def test_saltbranch_runs_on_the_python_of_salt(tmp_path: Path, python: str, group: str) -> None:
    low = compile_highstate(tmp_path, "master1", ["salt-master"], pythonexecutable=python).low
    chunks = {chunk["__id__"]: chunk for chunk in low}
    assert f'exec {python} -I -m saltbranch "$@"' in chunks["saltbranch-command"]["contents"]
    assert chunks["saltbranch-config"]["group"] == group
    assert "bin_env" not in chunks["saltbranch-package"]
    assert chunks["saltbranch-timer"]["name"] == "/usr/local/bin/saltbranch install systemd"


# Pillar


def test_pillar_differs_from_saltenv_to_saltenv(tmp_path: Path) -> None:
    saltenvs = ["test", "stage", "prod", "lab1"]
    pillars = {
        name: compile_highstate(tmp_path, "both1", ["web", "db"], saltenv=name).pillar
        for name in saltenvs
    }
    assert {name: it["app"]["token"] for name, it in pillars.items()} == {
        name: f"fake-token-of-{name}" for name in saltenvs
    }
    assert [pillars[name]["app"]["workers"] for name in saltenvs] == [2, 4, 8, 2]
    domains = [pillars[name]["app"]["database"]["host"] for name in saltenvs]
    assert domains == [
        "db.test.example.com",
        "db.stage.example.com",
        "db.example.com",
        "db.lab1.example.com",
    ]


def test_pillar_of_a_role_goes_to_the_role_only(tmp_path: Path) -> None:
    keys = {
        minion_id: set(compile_highstate(tmp_path, minion_id, MINIONS[minion_id]).pillar)
        for minion_id in MINIONS
    }
    assert keys == {
        "plain1": {"common", "app"},
        "web1": {"common", "app", "nginx"},
        "db1": {"common", "app", "mariadb", "backup"},
        "master1": {"common", "app", "saltbranch", "backup"},
        "master-all": {"common", "app", "nginx", "mariadb", "saltbranch", "backup"},
    }


def test_role_that_a_minion_claims_does_not_give_it_the_pillar_of_the_master(
    tmp_path: Path,
) -> None:
    opts = salt.config.minion_config(str(write_config(tmp_path, "web1", {"roles": list(ROLES)})))
    assert "saltbranch" not in compile_pillar(opts)


# Applied


@dataclass(frozen=True, slots=True)
class Applied:
    """Two highstates, one after the other, of a demo minion that has every role."""

    folder: Path
    demo: Path
    first: dict[str, Any]
    second: dict[str, Any]
    printed: str


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Applied:
    folder = tmp_path_factory.mktemp("applied")
    demo = folder / "demo"
    grains = {"roles": list(ROLES), "os_family": "Debian", "saltbranch_demo_dir": str(demo)}
    write_config(folder, "master1", grains)
    # There before, or the first run would show no diff that could hold a token.
    (demo / "etc/app").mkdir(parents=True)
    (demo / "etc/app/app.ini").write_text("token = fake-token-of-before\n", "utf-8")
    first, first_printed = salt_call(folder, "state.apply")
    second, second_printed = salt_call(folder, "state.apply")
    return Applied(folder, demo, first, second, first_printed + second_printed)


def test_highstate_applies_and_then_changes_nothing(applied: Applied) -> None:
    assert len(applied.first) == 10
    assert {
        name: it["comment"] for name, it in applied.first.items() if it["result"] is not True
    } == {}
    records = [it for it in applied.first.values() if it["__id__"] == "saltbranch-applied"]
    assert [(it["changes"], it["comment"]) for it in records] == [({}, "Applied an unknown commit")]
    assert all(it["changes"] for it in applied.first.values() if it not in records)
    assert {
        name: it["comment"] for name, it in applied.second.items() if it["result"] is not True
    } == {}
    assert [it["changes"] for it in applied.second.values()] == [{}] * 10


def test_applied_files_say_their_saltenv(applied: Applied) -> None:
    motd = (applied.demo / "etc/motd").read_text("utf-8")
    assert motd.splitlines()[:2] == ["master1 - saltenv test", "Roles: db, salt-master, web"]
    site = (applied.demo / "etc/nginx/conf.d/status.conf").read_text("utf-8")
    assert "    listen 8080;\n    server_name status.test.example.com;\n" in site
    assert f"    root {applied.demo}/var/www/status;\n" in site
    assert "saltenv test" in (applied.demo / "var/www/www/index.html").read_text("utf-8")
    server = (applied.demo / "etc/mysql/mariadb.conf.d/99-salt.cnf").read_text("utf-8")
    assert "\ninnodb_buffer_pool_size = 256M\n" in server


def test_token_is_in_the_private_file_and_not_in_the_output(applied: Applied) -> None:
    private = applied.demo / "etc/app/app.ini"
    assert "\ntoken = fake-token-of-test\n" in private.read_text("utf-8")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert "fake-token" not in applied.printed


def test_saltbranch_yaml_is_what_the_pillar_says(applied: Applied) -> None:
    written = applied.demo / "etc/salt/saltbranch.yaml"
    pillar = yaml.safe_load((PILLAR / "saltbranch.sls").read_text("utf-8"))
    assert yaml.safe_load(written.read_text("utf-8")) == pillar["saltbranch"]["config"]
    assert stat.S_IMODE(written.stat().st_mode) == 0o640


def test_saltbranch_accepts_the_yaml_that_the_state_wrote(applied: Applied) -> None:
    path = str(applied.demo / "etc/salt/saltbranch.yaml")
    read = build_config(read_file(path), path)
    assert {it.name: (it.branch, it.promote_from) for it in read.saltenvs} == {
        "test": ("develop", None),
        "stage": ("stage", "test"),
        "prod": ("master", "stage"),
    }


def test_backup_script_dumps_what_the_roles_name(applied: Applied, tmp_path: Path) -> None:
    script = (applied.demo / "etc/cron.daily/backup").read_text("utf-8")
    assert "mariadb-dump --all-databases --single-transaction | gzip > /var/backups/salt/" in script
    assert "tar -cf - /etc/salt/pki | gzip > /var/backups/salt/" in script

    # Run for real, with harmless dumps and its own target.
    runnable = script.replace("/var/backups/salt", str(tmp_path))
    runnable = runnable.replace("mariadb-dump --all-databases --single-transaction", "echo dump")
    runnable = runnable.replace("tar -cf - /etc/salt/pki", "echo keys")
    subprocess.run(["bash", "-c", runnable], check=True, timeout=30)
    assert sorted(path.name.split("-2")[0] for path in tmp_path.iterdir()) == [
        "mariadb",
        "salt-keys",
    ]


# The custom module


def test_treehash_is_callable_once_synced(applied: Applied, treehash: ModuleType) -> None:
    answer, _ = salt_call(applied.folder, "treehash.digest", str(applied.demo))
    assert answer == treehash.digest(str(applied.demo))


@pytest.fixture(scope="module")
def treehash(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    # A copy, so that no __pycache__ appears among the states.
    file = tmp_path_factory.mktemp("modules") / "treehash.py"
    shutil.copy(STATES / "_modules" / "treehash.py", file)
    spec = importlib.util.spec_from_file_location("treehash", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_treehash_has_a_cli_example(treehash: ModuleType) -> None:
    assert "CLI Example:" in treehash.digest.__doc__
    assert "salt '*' treehash.digest " in treehash.digest.__doc__


def test_treehash_sees_names_contents_and_links(tmp_path: Path, treehash: ModuleType) -> None:
    folder = tmp_path / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_text("one", "utf-8")
    seen = [treehash.digest(str(folder))]

    (folder / "sub" / "file").touch()
    assert treehash.digest(str(folder)) == seen[0], "a time is not part of it"
    (folder / "sub" / "file").write_text("two", "utf-8")
    seen.append(treehash.digest(str(folder)))
    (folder / "sub" / "file").rename(folder / "sub" / "other")
    seen.append(treehash.digest(str(folder)))
    (folder / "link").symlink_to("nowhere")
    seen.append(treehash.digest(str(folder)))
    (folder / "link").unlink()
    (folder / "link").symlink_to("elsewhere")
    seen.append(treehash.digest(str(folder)))
    (folder / "empty").mkdir()
    seen.append(treehash.digest(str(folder)))
    assert len(set(seen)) == 6


def test_treehash_refuses_what_is_no_folder(tmp_path: Path, treehash: ModuleType) -> None:
    with pytest.raises(salt.exceptions.CommandExecutionError, match="There is no folder"):
        treehash.digest(str(tmp_path / "missing"))
