"""Verbs about a machine go by the machine's own file, wherever one stands; a root knows which file that is."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import salt.config
import salt.loader
import yaml

from saltbranch.actions import propose
from saltbranch.base import files
from saltbranch.base.errors import GitError
from saltbranch.git.mirror import Mirror
from tests.support.flow_site import FlowSite, standing_in
from tests.support.remote import Remote
from tests.support.site import Site

MACHINE_VERBS = (
    ["sync"], ["sync", "--quiet"], ["install", "cron", "--print"], ["prune", "--plan"],
)  # fmt: skip
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def clone(served: Site, tmp_path: Path) -> Path:
    """A clone whose saltbranch.yaml says that it is about the very root that is served."""
    path = tmp_path / "clone"
    served.remote.git("clone", "-q", str(served.remote.path), str(path))
    settings = {**served.settings, "saltenvs": {**served.settings["saltenvs"]}}
    settings["saltenvs"]["prod"] = {"branch": "develop", "minions": ["*"]}
    settings["saltenvs"].pop("test")
    (path / "saltbranch.yaml").write_text(yaml.safe_dump(settings))
    return path


@pytest.mark.parametrize("words", MACHINE_VERBS)
def test_a_clone_one_stands_in_is_not_asked(
    served: Site, clone: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, config = served.shown("master"), served.master_config.read_text()
    with standing_in(clone):
        ran = served.run_here(*words)
    assert ran.code == 1 and "no configuration of this machine" in ran.err
    assert (served.shown("master"), served.master_config.read_text()) == (before, config)


@pytest.mark.parametrize("words", [*MACHINE_VERBS, ["init"]])
@pytest.mark.parametrize("how", ["option", "variable", "link"])
def test_nor_is_its_file_taken_when_it_is_named(
    served: Site, clone: Path, words: list[str], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, config = served.shown("master"), served.master_config.read_text()
    path = clone / "saltbranch.yaml"
    if how == "link":
        path = clone.parent / "machine.yaml"
        path.symlink_to(clone / "saltbranch.yaml")
    if how == "variable":
        monkeypatch.setenv("SALTBRANCH_CONFIG", str(path))
        ran = served.run_here(*words)
    else:
        ran = served.run_here(*words, "--config", str(path))
    assert ran.code == 4, ran
    assert "is the file of a clone" in ran.err and str(clone / "saltbranch.yaml") in ran.err
    assert (served.shown("master"), served.master_config.read_text()) == (before, config)


@as_root
@pytest.mark.parametrize("words", [["sync"], ["status"], ["prune", "--plan"], ["promote", "stage"]])
def test_root_believes_no_file_that_others_can_write(served: Site, words: list[str]) -> None:
    config = ["--config", str(served.config)]
    os.chown(served.config, NOBODY, NOBODY)
    os.utime(served.config)  # as when it is written; what was read before counts until then
    ran = served.run_here(*words, *config)
    assert ran.code == 4 and "is not trusted by root" in ran.err
    assert f"{served.config} belongs to" in ran.err and "chown root" in ran.err
    os.chown(served.config, 0, 0)
    served.config.chmod(0o666)
    os.utime(served.config)
    assert "may be written to by everybody" in served.run_here(*words, *config).err
    served.config.chmod(0o644)
    assert served.run_here("status", *config).code == 0


def test_doctor_finds_a_file_of_a_clone(served: Site, clone: Path) -> None:
    ran = served.run_here("doctor", "--json", "--config", str(clone / "saltbranch.yaml"))
    messages = [f["message"] for f in json.loads(ran.out)["findings"] if f["severity"] == "error"]
    assert any("is the file of a clone" in m for m in messages)


# A root and its file


def test_a_root_refuses_another_configuration_and_names_both(served: Site) -> None:
    other = served.folder / "other.yaml"
    shutil.copy(served.config, other)
    new = served.remote.commit("develop", {"salt/x.sls": ""})
    for words in (
        ["sync"],
        ["status"],
        ["prune", "--plan"],
        ["hold", "prod", "--local", "--reason", "x"],
    ):
        ran = served.run_here(*words, "--config", str(other))
        assert ran.code == 4, (words, ran)
        assert str(served.config) in ran.err and str(other) in ran.err
        assert f"saltbranch init --move-root --config {other}" in ran.err
    assert served.remote.head("develop") == new
    moved = served.run_here("init", "--move-root", "--config", str(other))
    assert moved.code == 0, moved
    served.assert_serves("develop", new)
    assert served.sync().code == 4
    assert served.run_here("sync", "--config", str(other)).code == 0


def test_a_root_of_before_takes_its_file_at_the_next_run(served: Site) -> None:
    (served.root / files.MARKER).write_text("")
    (served.root / "state" / "prepared").unlink()
    other = served.folder / "other.yaml"
    shutil.copy(served.config, other)
    assert served.sync().code == 0
    assert (served.root / files.MARKER).read_text() == f"{served.config}\n"
    assert served.run_here("sync", "--config", str(other)).code == 4


def test_a_link_to_the_same_file_is_the_same_file(served: Site) -> None:
    link = served.folder / "link.yaml"
    link.symlink_to(served.config)
    assert served.run_here("sync", "--config", str(link)).code == 0


def test_there_has_to_be_a_root_to_take_over(site: Site) -> None:
    ran = site.run_here("init", "--move-root", "--config", str(site.config))
    assert ran.code == 4 and "nothing at the root" in ran.err


# init


def init(site: Site, *words: str) -> list[str]:
    return [
        "init", "--remote", str(site.remote.path), "--root", str(site.root), "--config",
        str(site.config), "--master-config", str(site.master_config), "--salt-config",
        str(site.salt_config), *words,
    ]  # fmt: skip


def test_init_prepares_the_model_as_a_commit_for_review(site: Site, remote: Remote) -> None:
    site.config.unlink()
    before = remote.head("master")
    planned = site.run_here(*init(site, "--in-repository", "--plan"))
    assert planned.code == 3 and "would push this saltbranch.yaml for review" in planned.out
    assert "saltenvs:" in planned.out, planned
    ran = site.run_here(*init(site, "--in-repository"))
    assert ran.code == 0, ran
    assert "Review the branch saltbranch/model" in ran.out
    assert yaml.safe_load(site.config.read_text()).get("saltenvs") is None
    assert remote.head("master") == before
    assert remote.git("rev-parse", "saltbranch/model^") == before
    changed = remote.git("diff-tree", "-r", "--name-status", before, "saltbranch/model")
    assert changed == "A\tsaltbranch.yaml"
    model = yaml.safe_load(remote.git("show", "saltbranch/model:saltbranch.yaml"))
    assert list(model["saltenvs"]) == ["test", "stage", "prod"] and "remote" not in model
    # Merged, it counts.
    remote.set_branch("master", remote.git("rev-parse", "saltbranch/model"))
    assert site.sync().code == 0
    site.assert_serves("master", remote.head("master"))


def test_init_writes_the_model_down_where_it_may_not_push(site: Site, remote: Remote) -> None:
    site.config.unlink()
    (remote.path / "hooks").mkdir(exist_ok=True)
    hook = remote.path / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    ran = site.run_here(*init(site, "--in-repository"))
    proposed = site.config.with_name("saltbranch-model.yaml")
    assert ran.code == 0 and str(proposed) in ran.out
    assert "saltenvs" in yaml.safe_load(proposed.read_text())
    assert not remote.git("for-each-ref", "refs/heads/saltbranch")


def test_a_model_of_one_person_can_be_moved_to_the_repository(served: Site, remote: Remote) -> None:
    ran = served.run_here("init", "--in-repository", "--config", str(served.config))
    assert ran.code == 0, ran
    model = yaml.safe_load(remote.git("show", "saltbranch/model:saltbranch.yaml"))
    assert model == {"saltenvs": served.settings["saltenvs"]}
    served.assert_serves("master", remote.head("master"))


# explain and status in a clone


def test_explain_in_a_clone_says_what_the_model_says_and_advises_no_sync(flow: FlowSite) -> None:
    assert flow.run("status").code == 0
    ran = flow.run("explain", "stage1")
    assert ran.code == 0 and "stage1 belongs to stage" in ran.out
    assert f"the branch stage ({flow.head('stage')[:12]} as last read)" in ran.out
    assert "sync" not in ran.out + ran.err
    assert flow.run("explain", "nobody").code == 1
    assert (
        json.loads(flow.run("explain", "stage1", "--json").out)["claims"][0]["saltenv"] == "stage"
    )


# Runners


def test_no_runner_takes_a_path(served: Site, clone: Path) -> None:
    opts = dict(salt.config.DEFAULT_MASTER_OPTS, saltbranch_config=str(served.config))
    runner = salt.loader.runner(opts)
    ours = {n: f for n, f in runner.items() if n.startswith("saltbranch.")}
    assert len(ours) >= 11
    for function in ours.values():
        names = {*inspect.signature(inspect.unwrap(function)).parameters}
        assert not names & {"config", "folder", "python", "output", "path", "grains", "cache_dir"}
    with standing_in(clone):  # whatever the master was started in
        for name in ("status", "sync"):
            assert ours[f"saltbranch.{name}"]()["retcode"] == 0
        said = ours["saltbranch.check"](static=True)
        assert [r["ref"] for r in said["refs"]] == ["test", "stage", "prod"]
        assert ours["saltbranch.explain"]("prod1")["config"] == str(served.config)


def test_no_runner_reads_a_file_or_works_for_ever(served: Site, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    opts = dict(salt.config.DEFAULT_MASTER_OPTS, saltbranch_config=str(served.config))
    runner = salt.loader.runner(opts)
    for call in (
        lambda: runner["saltbranch.check"](minions=f"@{secret}"),
        lambda: runner["saltbranch.diff"]("develop", "stage", minions=[f"@{secret}"]),
    ):
        said = call()
        assert said["retcode"] == 2 and "reads no file" in said["error"]
        assert "hunter2" not in json.dumps(said)
    for argument in ({"wait": 1e9}, {"expect": "abcd", "expect_timeout": 1e9}):
        said = runner["saltbranch.sync"](**argument)
        assert said["retcode"] == 2 and "must terminate" in said["error"]


@pytest.mark.parametrize(
    "value", [10**5000, "a\0b", "x" * 20_000, ["a\0b"]], ids=["number", "NUL", "long", "list"]
)
def test_what_is_no_word_is_said_as_data(served: Site, value: object) -> None:
    opts = dict(salt.config.DEFAULT_MASTER_OPTS, saltbranch_config=str(served.config))
    runner = salt.loader.runner(opts)
    for said in (
        runner["saltbranch.check"](value, static=True),
        runner["saltbranch.hold"]("prod", at=value, reason="x"),
        runner["saltbranch.where"](value),
        runner["saltbranch.sync"](wait=value),
        runner["saltbranch.explain"](value),
    ):
        assert said["retcode"] in (1, 2, 4) and said["error"], said
    assert not served.remote.git("for-each-ref", "refs/saltbranch")


def test_the_systems_file_may_lie_in_a_repository_of_its_own(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """etckeeper, or somebody's `git init` in /etc/salt."""
    monkeypatch.setattr("saltbranch.config.locate.SYSTEM_FILE", str(served.config))
    served.remote.git("init", "-q", str(served.config.parent))
    with standing_in(served.config.parent):
        assert served.run_here("sync").code == 0
        said = json.loads(served.run_here("status", "--json").out)
    assert said["config"] == str(served.config)


def test_what_cannot_be_read_is_not_proposed_without_its_files(
    served: Site, remote: Remote, tmp_path: Path
) -> None:
    """The tree is missing here and not on the remote, which would take a branch without its files."""
    mirror = tmp_path / "mirror.git"
    subprocess.run(["git", "clone", "-q", "--bare", "--no-local", remote.path, mirror], check=True)
    (pack,) = (mirror / "objects" / "pack").glob("*.pack")
    data = pack.read_bytes()
    for file in pack.parent.iterdir():
        file.unlink()
    subprocess.run(["git", "-C", mirror, "unpack-objects", "-q"], input=data, check=True)
    production = remote.head("master")
    tree = remote.git("rev-parse", "master^{tree}")
    (mirror / "objects" / tree[:2] / tree[2:]).unlink()
    broken = Mirror(str(tmp_path))
    with pytest.raises(GitError, match="ls-tree"):
        propose.commit(
            broken,
            "a: 1\n",
            remote=str(remote.path),
            production=production,
            branch="master",
            config_path=str(served.config),
        )
    assert not remote.git("for-each-ref", "refs/heads/saltbranch")


def test_init_does_not_propose_twice(site: Site, remote: Remote) -> None:
    site.config.unlink()
    assert site.run_here(*init(site, "--in-repository")).code == 0
    before = remote.git("for-each-ref")
    ran = site.run_here("init", "--in-repository", "--config", str(site.config))
    assert ran.code in (0, 1) and not site.config.with_name("saltbranch-model.yaml").exists()
    assert remote.git("for-each-ref") == before
