"""Broken disks, networks and surroundings: a clear error, nothing lost, and fine again once it is fixed."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.receiver import until
from tests.support.remote import Remote
from tests.support.site import BRANCHES, FaultyGit, Ran, Site

NOBODY = 65534


@contextmanager
def mounted(*command: str | Path) -> Iterator[None]:
    """A mount while it lasts; the last word of `command` is the mount point."""
    done = subprocess.run(["mount", *command], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.fail(
            f"this test needs to mount: run it as root, or under `unshare --map-root-user --mount`:"
            f" {done.stderr}"
        )
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", command[-1]], check=True)


def check_refusal(ran: Ran, *expected: str) -> None:
    """The error is clear, and says what to do."""
    assert ran.code == 1, ran
    for part in (*expected, "\n  -> "):
        assert part in ran.err


# The disk


@pytest.mark.parametrize("free", [0, 1, 60, 150, 400])
def test_full_disk(site: Site, remote: Remote, free: int) -> None:
    """With `free` KiB left: for nothing at all, for state files, for a part of the fetch or checkout."""
    site.root.mkdir()
    old = {branch: remote.head(branch) for branch in BRANCHES.values()}
    with mounted("-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", site.root):
        site.sync_well()
        noise = random.Random(1).randbytes(250 * 1024)
        for branch in BRANCHES.values():
            remote.commit(branch, {"salt/big": noise, "salt/app/init.sls": "app: {test.nop: []}\n"})
        filler = site.root.parent / "root" / "filler"
        stat = os.statvfs(site.root)
        filler.write_bytes(b"\0" * (stat.f_bavail * stat.f_frsize - free * 1024))
        for _ in range(2):
            ran = site.sync()
            assert ran.code in (1, 20)
            assert "No space left on device" in ran.err or "Out of diskspace" in ran.err
            assert "free some space below the root" in ran.err
            for branch in BRANCHES.values():
                site.assert_serves(branch, old[branch], remote.head(branch))
        filler.unlink()
        assert not [note for note in site.sync_well().notes if "damaged" in note]
        assert not site.sync_here(verify=True).changed


def test_disk_that_is_full_from_the_start(site: Site) -> None:
    site.root.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=100k,mode=700", "tmpfs", site.root):
        ran = site.sync()
        assert ran.code in (1, 20)
        assert "No space left on device" in ran.err and "free some space below the root" in ran.err
        subprocess.run(["mount", "-o", "remount,size=8m", site.root], check=True)
        site.sync_well()


@pytest.mark.parametrize("news", [False, True])
def test_read_only_root(served: Site, remote: Remote, news: bool) -> None:
    old = remote.head("develop")
    if news:
        remote.commit("develop", {"salt/new.sls": ""})
    with mounted("--bind", served.root, served.root):
        subprocess.run(["mount", "-o", "remount,bind,ro", served.root], check=True)
        for options in ([], ["--plan"]):
            ran = served.sync(*options)
            check_refusal(ran, str(served.root), "Read-only file system", "for writing")
        served.assert_serves("develop", old)
    served.sync_well()


def test_read_only_master_configuration(site: Site) -> None:
    site.master_config.parent.mkdir()
    folder = site.master_config.parent
    with mounted("--bind", folder, folder):
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        check_refusal(site.sync(), str(site.master_config), "Read-only file system")
    site.sync_well()


def test_deploy_19_root_of_another_owner(served: Site, remote: Remote) -> None:
    if os.geteuid() != 0:
        pytest.fail("only root can give a folder away: run the tests as root")
    old = remote.head("develop")
    new = remote.commit("develop", {"salt/new.sls": ""})
    os.chown(served.root, NOBODY, -1)
    for options in ([], ["--plan"], ["--quiet"]):
        ran = served.sync(*options)
        check_refusal(
            ran, f"root {served.root} belongs to user id {NOBODY}", f"sudo -u '#{NOBODY}'"
        )
    served.assert_serves("develop", old)
    os.chown(served.root, 0, -1)
    served.sync_well()
    served.assert_serves("develop", new)


@pytest.mark.parametrize("name", ["checkouts", "slots/develop", "tops", "state"])
def test_file_where_a_folder_should_be(served: Site, remote: Remote, name: str) -> None:
    new = remote.commit("stage", {"salt/new.sls": ""})
    remote.commit("develop", {"salt/new.sls": ""})
    path = served.root / name
    aside = path.rename(served.folder / "aside")
    path.write_text("in the way\n")
    ran = served.sync()
    assert ran.code in (0, 1, 20)
    assert "bug" not in ran.err
    if ran.code:
        assert str(path) in ran.err and "move it away" in ran.err
    assert path.read_text() == "in the way\n"
    path.unlink()
    aside.rename(path)
    served.sync_well()
    served.assert_serves("stage", new)


def test_deploy_12_folder_in_place_of_a_checkout_is_not_removed(
    served: Site, remote: Remote
) -> None:
    checkout = served.checkout("develop")
    checkout.unlink()
    checkout.mkdir()
    (checkout / "precious").write_text("mine\n")
    new = remote.commit("stage", {"salt/new.sls": ""})
    ran = served.sync()
    assert ran.code == 20
    assert f"{checkout} is not a symlink" in ran.err and "move it away" in ran.err
    assert (checkout / "precious").read_text() == "mine\n"
    served.assert_serves("stage", new)
    shutil.rmtree(checkout)
    served.sync_well()


# The network


@pytest.fixture
def over_ssh(served: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A site whose remote is reached through a command of ours in place of ssh."""
    script = served.folder / "ssh"
    monkeypatch.setenv("GIT_SSH_COMMAND", str(script))
    monkeypatch.setenv("GIT_SSH_VARIANT", "simple")
    served.configure(remote=f"git@git.example.com:{served.remote.path}", fetch_timeout=1)
    yield script


def set_script(path: Path, text: str) -> None:
    """Let `path` be a shell script."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def is_running(pid: int) -> bool:
    """Whether there is such a process, not counting one that only waits for its parent to notice its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def works(script: Path) -> None:
    """Let it do what ssh would do on the other side."""
    set_script(script, 'shift; eval "$1"')


def test_deploy_14_slow_remote_ends_in_time_and_leaves_nothing_running(
    served: Site, remote: Remote, over_ssh: Path
) -> None:
    works(over_ssh)
    served.configure(fetch_timeout=30)
    served.sync_well()
    served.configure(fetch_timeout=1)
    old, new = remote.head("develop"), remote.commit("develop", {"salt/new.sls": ""})
    pids = served.folder / "pids"
    # The second one does not listen to SIGTERM.
    for text in ("exec sleep 60", "trap '' TERM; sleep 60"):
        set_script(over_ssh, f"echo $$ >>{pids}\n{text}")
        begun = time.monotonic()
        ran = served.sync()
        check_refusal(ran, "cannot read the remote git@git.example.com:", "no end after 1 s")
        assert "fetch_timeout:" in ran.err
        assert time.monotonic() - begun < 15
        served.assert_serves("develop", old)
    # They are killed by then; to die takes the kernel a moment, and they would sleep for a minute.
    assert until(lambda: not any(is_running(int(pid)) for pid in pids.read_text().split()), 10)
    works(over_ssh)
    served.configure(fetch_timeout=30)
    served.sync_well()
    served.assert_serves("develop", new)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("exit 255", "try by hand, as this user: git ls-remote"),
        ("echo 'Permission denied (publickey).' >&2; exit 255", "deploy key"),
        ("echo 'Host key verification failed.' >&2; exit 255", "ssh-keyscan"),
        ("echo nonsense; exit 0", "try by hand"),
    ],
)
def test_deploy_14_unreachable_remote_takes_nothing_away(
    served: Site, remote: Remote, over_ssh: Path, text: str, expected: str
) -> None:
    old = {branch: remote.head(branch) for branch in BRANCHES.values()}
    remote.commit("develop", {"salt/new.sls": ""})
    served.configure(fetch_timeout=30)
    set_script(over_ssh, text)
    for options in ([], ["--plan"]):
        ran = served.sync(*options)
        check_refusal(ran, "cannot read the remote git@git.example.com:", expected)
    for branch, commit in old.items():
        served.assert_serves(branch, commit)
    works(over_ssh)
    served.sync_well()


def test_deploy_12_wrong_remote_url_takes_nothing_away(served: Site, remote: Remote) -> None:
    served.configure(remote=str(served.folder / "nowhere.git"))
    ran = served.sync()
    check_refusal(ran, "cannot read the remote", "check the path in that URL")
    for branch in BRANCHES.values():
        served.assert_serves(branch, remote.head(branch))
    served.configure(remote=str(remote.path))
    served.sync_well()


def test_password_in_the_url_is_never_shown(served: Site) -> None:
    served.configure(remote="https://bot:s3cr3t@localhost:1/salt.git")
    ran = served.sync()
    check_refusal(ran, "https://bot:***@localhost:1/salt.git")
    assert "s3cr3t" not in ran.out + ran.err
    assert "s3cr3t" not in (served.root / "state" / "failure").read_text()


def test_empty_remote(site: Site, remote: Remote) -> None:
    empty = Remote(site.folder / "empty.git")
    site.configure(remote=str(empty.path))
    plan = site.sync("--plan")
    assert (plan.code, site.root.exists()) == (1, False)
    ran = site.sync()
    assert ran.code == 1
    assert "the remote has no branch 'develop'; nothing is served" in ran.err
    assert "It has no branch at all: is it the right repository?" in ran.err
    for branch in BRANCHES.values():
        empty.git("fetch", "--quiet", str(remote.path), f"{branch}:{branch}")
    site.sync_well()


def test_shallow_remote(served: Site, remote: Remote) -> None:
    """A remote that lost its history: nothing that is served is lost for it."""
    remote.commit("develop", {"salt/new.sls": ""})
    shallow = served.folder / "shallow.git"
    argv = ["git", "clone", "--quiet", "--bare", "--depth=1", "--no-single-branch"]
    subprocess.run([*argv, f"file://{remote.path}", shallow], check=True)
    served.configure(remote=str(shallow))
    ran = served.sync()
    assert ran.code in (0, 1)
    served.configure(remote=str(remote.path))
    served.sync_well()


# The surroundings


def test_variables_of_git_in_the_environment(served: Site, remote: Remote) -> None:
    """As a hook sets them, or a wrapper of cron: they would lead git to another repository."""
    victim = served.folder / "victim"
    subprocess.run(["git", "init", "--quiet", victim], check=True)
    before = sorted(str(p) for p in victim.rglob("*"))
    new = remote.commit("develop", {"salt/new.sls": ""})
    env = {
        "GIT_DIR": f"{victim}/.git",
        "GIT_WORK_TREE": str(victim),
        "GIT_INDEX_FILE": f"{victim}/.git/index",
        "GIT_OBJECT_DIRECTORY": f"{victim}/.git/objects",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": f"{victim}/.git/objects",
        "GIT_COMMON_DIR": f"{victim}/.git",
        "GIT_NAMESPACE": "elsewhere",
        "GIT_CEILING_DIRECTORIES": "/",
        "GIT_QUARANTINE_PATH": f"{victim}/.git/objects",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.bare",
        "GIT_CONFIG_VALUE_0": "nonsense",
        "GIT_CONFIG_PARAMETERS": "'core.bare'='nonsense'",
        "GIT_ATTR_SOURCE": "nowhere",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_TRACE": "2",
        "GIT_DEFAULT_HASH": "sha256",
    }
    for options in (["--verify"], ["--json"]):
        ran = served.run("sync", *options, env=env)
        assert (ran.code, ran.err) == (0, "")
        served.assert_serves("develop", new)
    shutil.rmtree(served.root)
    assert served.run("sync", env=env).code == 0
    served.assert_serves("develop", new)
    assert sorted(str(p) for p in victim.rglob("*")) == before


def test_git_that_is_missing_or_too_old(site: Site, faulty_git: FaultyGit, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = site.run("sync", env={"PATH": str(tmp_path / "empty")})
    check_refusal(ran, "cannot start 'git'", "install git")
    (faulty_git.folder / "git").unlink()
    set_script(faulty_git.folder / "git", "echo git version 2.37.1")
    ran = site.run("sync", env={"PATH": f"{faulty_git.folder}:{os.environ['PATH']}"})
    check_refusal(ran, "git 2.37.1 is too old: saltbranch needs 2.38 or newer", "install")
    assert not site.root.exists()
    site.sync_well()


def test_no_configuration_anywhere(site: Site, tmp_path: Path) -> None:
    ran = site.run_here("sync", "--config", str(tmp_path / "nowhere.yaml"))
    check_refusal(ran, f"cannot read {tmp_path}/nowhere.yaml", "saltbranch init")


def test_salt_configuration_that_salt_cannot_read(served: Site, remote: Remote) -> None:
    old = remote.head("develop")
    remote.commit("develop", {"salt/new.sls": ""})
    served.salt_config.write_text("interface: [\n")
    check_refusal(served.sync(), f"Salt cannot read {served.salt_config}", "fix that file")
    served.assert_serves("develop", old)
    served.salt_config.unlink()
    served.sync_well()


def test_minions_that_two_saltenvs_claim_and_nodegroups_by_grains(
    site: Site, remote: Remote
) -> None:
    """Globs that overlap only for a minion that exists, and groups that a minion could join by itself."""
    saltenvs = site.settings["saltenvs"]
    saltenvs["test"]["minions"] = ["*-new"]
    keys = site.folder / "pki" / "minions"
    keys.mkdir(parents=True)
    (keys / "prod1-new").touch()
    options = f"pki_dir: {keys.parent}\nroot_dir: {site.folder}\n"
    site.salt_config.write_text(options)
    site.configure()
    ran = site.sync()
    check_refusal(ran, "minion prod1-new is claimed by test (glob *-new) and prod (glob prod*)")
    (keys / "prod1-new").unlink()
    site.salt_config.write_text(options + "nodegroups: {web: 'G@role:web', all: 'N@web or db*'}\n")
    saltenvs["test"]["minions"] = {"nodegroup": "all"}
    site.configure()
    ran = site.sync()
    check_refusal(ran, "saltenvs.test.minions: nodegroup 'web' goes by grains (G@role:web)")
    saltenvs["test"]["minions"] = {"nodegroup": "none"}
    site.configure()
    check_refusal(site.sync(), "the master knows no nodegroup 'none'", "known ones: all, web")
    assert site.shown("develop") is None and not site.master_config.exists()
    assert remote.head("develop")


def test_group_that_does_not_exist(site: Site) -> None:
    site.configure(group="no-such-group")
    ran = site.sync()
    check_refusal(ran, f"{site.config}: group: there is no group 'no-such-group'")
