"""What a sync does, says and leaves on the disk, run as cron runs it or in this process."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from saltbranch.base.errors import RemoteError, UsageError
from saltbranch.git.program import Git
from tests.support.remote import Content, Link, Remote, Submodule
from tests.support.site import BRANCHES, Journal, Site, read_tree, result_of

pytestmark = pytest.mark.core

ABSENT = "0123456789abcdef0123456789abcdef01234567"


def states(result_text: str) -> dict[str, str]:
    """saltenv to state, from the JSON that a sync wrote."""
    return {s["saltenv"]: s["state"] for s in json.loads(result_text)["saltenvs"]}


# The first sync


def test_first_sync_does_what_init_would(site: Site, remote: Remote) -> None:
    ran = site.run("sync")
    assert (ran.code, ran.err) == (0, "")
    for saltenv, branch in BRANCHES.items():
        site.assert_serves(branch, remote.head(branch))
        assert f"{saltenv}: {branch} served for the first time" in ran.out
        for kind, folder in (("states", "salt"), ("pillar", "pillar")):
            tops = site.root / "tops" / saltenv / kind
            assert "Written by saltbranch" in (tops / "top.sls").read_text()
            branch_top = tops / "branch_top.jinja"
            assert (
                branch_top.read_bytes() == (site.checkout(branch) / folder / "top.sls").read_bytes()
            )
    options = yaml.safe_load(site.master_config.read_text())
    for roots, kind, folder in (
        ("file_roots", "states", "salt"),
        ("pillar_roots", "pillar", "pillar"),
    ):
        assert options[roots] == {
            saltenv: [f"{site.root}/tops/{saltenv}/{kind}", f"{site.checkout(branch)}/{folder}"]
            for saltenv, branch in BRANCHES.items()
        }


def test_second_sync_changes_nothing(served: Site) -> None:
    before = {path: path.lstat().st_mtime_ns for path in served.root.rglob("*") if path.is_file()}
    del before[served.root / "state" / "seen"], before[served.root / "lock"]
    ran = served.run("sync")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.count("unchanged") == len(BRANCHES)
    assert {path: path.lstat().st_mtime_ns for path in before} == before


def test_git_log_works_in_a_checkout(served: Site, remote: Remote) -> None:
    for branch in BRANCHES.values():
        git = Git(str(served.checkout(branch)), work_tree=True)
        assert git.out("rev-parse", "HEAD").strip() == remote.head(branch)
        assert git.out("status", "--porcelain") == ""


def test_nothing_under_root_is_for_others(served: Site) -> None:
    assert stat.S_IMODE(served.root.stat().st_mode) == 0o700
    for path in [served.root, *served.root.rglob("*")]:
        mode = path.lstat().st_mode
        assert stat.S_ISLNK(mode) or not mode & 0o027, (path, oct(mode))


def test_group_of_the_masters_user_may_read_and_nobody_else(site: Site) -> None:
    gid = 4242 if os.geteuid() == 0 else os.getegid()
    import grp

    known = {entry.gr_gid: entry.gr_name for entry in grp.getgrall()}
    gid = gid if gid in known else next(g for g in known if g not in (0, os.getegid()))
    if os.geteuid() != 0:
        pytest.skip("only root may give files to another group")
    site.configure(group=known[gid])
    site.sync_well()
    site.remote.commit("develop", {"salt/later/init.sls": "x: {test.nop: []}\n"})
    site.sync_well()
    for path in [site.root, *site.root.rglob("*")]:
        entry = path.lstat()
        if stat.S_ISLNK(entry.st_mode):
            continue
        assert entry.st_gid == gid, path
        assert not entry.st_mode & 0o007, path
        if path.is_relative_to(site.root / "slots"):
            assert entry.st_mode & 0o040, path


# What moves, and what does not


def test_only_the_moved_branch_is_switched(served: Site, remote: Remote) -> None:
    slots = {b: served.slot(b) for b in BRANCHES.values()}
    old = remote.head("develop")
    new = remote.commit(
        "develop", {"salt/new.sls": "new: {test.nop: []}\n", "pillar/app.sls": None}
    )
    ran = served.sync()
    assert (ran.code, ran.err) == (0, "")
    assert f"test: develop switched, {old[:12]} -> {new[:12]}" in ran.out
    served.assert_serves("develop", new)
    assert served.slot("develop") != slots["develop"]
    for branch in ("stage", "master"):
        assert served.slot(branch) == slots[branch]


def test_deploy_11_json_says_what_is_served(served: Site, remote: Remote) -> None:
    old = {branch: remote.head(branch) for branch in BRANCHES.values()}
    new = remote.commit("develop", {"salt/new.sls": "new: {test.nop: []}\n"})
    ran = served.run("sync", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == {
        "version": 1,
        "plan": False,
        "saltenvs": [
            {
                "saltenv": saltenv,
                "branch": branch,
                "old": old[branch],
                "new": new if branch == "develop" else old[branch],
                "changed": branch == "develop",
                "state": "switched" if branch == "develop" else "unchanged",
                "message": "",
                "why": "branch",
                "tag": None,
                "held": None,
                "refused": None,
                "runs": [],
                "signed_by": [],
            }
            for saltenv, branch in BRANCHES.items()
        ],
        "notes": [],
        "problems": [],
        "model_problem": None,
        "unread": {},
        "restart_needed": None,
    }


def test_quiet_is_silent_until_something_changes(served: Site, remote: Remote) -> None:
    for option in ("--quiet", "-q"):
        ran = served.run("sync", option)
        assert (ran.code, ran.out, ran.err) == (0, "", "")
    remote.commit("stage", {"salt/new.sls": ""})
    ran = served.run("sync", "--quiet")
    assert (ran.code, ran.err, len(ran.out.splitlines())) == (0, "", 1)
    assert ran.out.startswith("stage: stage switched")


def test_same_length_and_second_is_noticed(served: Site, remote: Remote) -> None:
    """Two revisions of one size within one second: neither git's index nor Salt's cache may mix them."""
    for text in ("aaaa\n", "bbbb\n", "cccc\n", "bbbb\n"):
        remote.commit("develop", {"salt/same": text})
        served.sync_well()
        assert (served.checkout("develop") / "salt" / "same").read_text() == text


def test_equal_mtime_means_equal_content(served: Site, remote: Remote) -> None:
    """Salt's hash cache trusts it (salt/fileserver/roots.py)."""
    path = served.checkout("develop") / "salt" / "same"
    seen: dict[int, str] = {}
    for text in ("1\n", "2\n", "1\n", "3\n", "2\n", "1\n"):
        remote.commit("develop", {"salt/same": text})
        served.sync_well()
        assert seen.setdefault(path.stat().st_mtime_ns, text) == text


def test_file_becomes_folder_and_back(served: Site, remote: Remote) -> None:
    remote.commit("develop", {"salt/app/init.sls": None, "salt/app/files/run.sh": None,
                              "salt/app/files/current.sh": None, "salt/app": "a file\n"})  # fmt: skip
    served.sync_well()
    remote.commit("develop", {"salt/app": None, "salt/app/init.sls": "app: {test.nop: []}\n"})
    served.sync_well()
    remote.commit("develop", {"salt/app/init.sls": None, "salt/app/init.sls/deep": "x\n"})
    served.sync_well()


def test_selected_saltenvs_only(served: Site, remote: Remote) -> None:
    old = remote.head("stage")
    for branch in BRANCHES.values():
        remote.commit(branch, {"salt/new.sls": ""})
    ran = served.sync("test", "prod", "--json")
    assert (ran.code, states(ran.out)) == (0, {"test": "switched", "prod": "switched"})
    served.assert_serves("develop", remote.head("develop"))
    served.assert_serves("stage", old)


@pytest.mark.parametrize("synced", [False, True])
@pytest.mark.parametrize("options", [[], ["--plan"]])
def test_unknown_saltenv_is_wrong_usage(site: Site, synced: bool, options: list[str]) -> None:
    if synced:
        site.sync_well()
    ran = site.sync("testt", *options)
    assert (ran.code, ran.out) == (2, "" if synced or options else ran.out)
    assert "no saltenv 'testt'" in ran.err and "test, stage, prod" in ran.err


# --plan


def test_plan_before_the_first_sync_makes_nothing(site: Site, remote: Remote) -> None:
    ran = site.sync("--plan", "--json")
    assert ran.code == 3, ran
    plan = json.loads(ran.out)
    assert plan["plan"] is True
    assert {s["saltenv"]: (s["state"], s["new"]) for s in plan["saltenvs"]} == {
        saltenv: ("first", remote.head(branch)) for saltenv, branch in BRANCHES.items()
    }
    assert not site.root.exists() and not site.master_config.exists()
    selected = json.loads(site.sync("stage", "--plan", "--json").out)
    assert [s["saltenv"] for s in selected["saltenvs"]] == ["stage"]


def test_plan_before_the_first_sync_knows_the_model_holds_and_tags(
    site: Site, remote: Remote
) -> None:
    saltenvs = site.settings["saltenvs"]
    saltenvs["stage"]["follow"] = {"tags": "^v"}
    remote.git("tag", "v2", remote.head("stage"))
    held = remote.head("master")
    Journal(remote).hold("prod", held)
    remote.commit("master", {"saltbranch.yaml": yaml.safe_dump({"saltenvs": saltenvs})})
    site.configure(saltenvs=None)
    ran = site.sync("--plan", "--json")
    assert (ran.code, ran.err) == (3, "")
    found = {
        s["saltenv"]: (s["state"], s["why"], s["new"]) for s in json.loads(ran.out)["saltenvs"]
    }
    assert found == {
        "test": ("first", "branch", remote.head("develop")),
        "stage": ("first", "tag", remote.head("stage")),
        "prod": ("first", "hold", held),
    }
    assert not site.root.exists() and not site.master_config.exists()
    real = site.sync_here()
    assert {s.saltenv: (s.state, s.why, s.new) for s in real.saltenvs} == found


def test_plan_before_the_first_sync_says_what_is_missing(site: Site, remote: Remote) -> None:
    site.settings["saltenvs"]["stage"]["follow"] = {"tags": "^v"}
    site.configure()
    remote.delete_branch("develop")
    ran = site.sync("--plan")
    assert ran.code == 20
    assert "test: missing: the remote has no branch 'develop'" in ran.err
    assert "stage: missing: no tag on branch 'stage' matches" in ran.err
    assert "prod: master to be served for the first time" in ran.out


def test_plan_shows_what_the_sync_then_does(served: Site, remote: Remote) -> None:
    before = read_tree(served.root / "slots")
    remote.commit("develop", {"salt/new.sls": ""})
    remote.rewrite("stage", {"salt/other.sls": ""})
    remote.rewrite("master", {"salt/other.sls": ""})
    plan = served.sync("--plan", "--json")
    assert plan.code == 4  # of the three, prod will be refused
    assert read_tree(served.root / "slots") == before
    ran = served.sync("--json")
    assert ran.code == 4
    assert json.loads(ran.out) == {**json.loads(plan.out), "plan": False}


def test_plan_of_nothing_is_zero(served: Site) -> None:
    assert served.sync("--plan").code == 0


def test_plan_of_a_changed_configuration_writes_nothing(served: Site) -> None:
    served.settings["saltenvs"]["prod"]["minions"] = ["web*"]
    served.configure()
    before = served.root.joinpath("tops/prod/pillar/top.sls").read_text()
    for _ in range(2):
        ran = served.sync("--plan")
        assert ran.code == 3
        assert f"would write {served.root}/tops/prod/pillar/top.sls" in ran.out
    assert served.root.joinpath("tops/prod/pillar/top.sls").read_text() == before
    assert served.sync().code == 0
    assert "web" in served.root.joinpath("tops/prod/pillar/top.sls").read_text()
    assert served.sync("--plan").code == 0


# --expect: pains, deploying, 22 and 23


def test_deploy_22_expected_commit_is_there(served: Site, remote: Remote) -> None:
    new = remote.commit("develop", {"salt/new.sls": ""})
    assert served.sync("--expect", new[:10]).code == 0
    served.assert_serves("develop", new)


def test_deploy_22_expected_commit_comes_late(served: Site, remote: Remote) -> None:
    late = remote.copy(served.folder / "late.git")
    new = late.commit("develop", {"salt/new.sls": ""})
    fetch = ["fetch", "--quiet", str(late.path), "develop:develop"]
    timer = threading.Timer(0.7, lambda: remote.git(*fetch))
    timer.start()
    ran = served.sync("--expect", new)
    timer.join()
    assert ran.code == 0, ran
    served.assert_serves("develop", new)


def test_deploy_22_expected_commit_never_comes(served: Site, remote: Remote) -> None:
    old = remote.head("develop")
    remote.commit("develop", {"salt/new.sls": ""})
    begun = time.monotonic()
    ran = served.sync("--expect", ABSENT, "--expect-timeout", "1")
    assert (ran.code, ran.out) == (1, "")
    assert f"no branch of the remote contains {ABSENT} after 1 s" in ran.err
    assert 1 <= time.monotonic() - begun < 20
    served.assert_serves("develop", old)


@pytest.mark.parametrize("word", ["develop", "HEAD", "-x", "abc", "refs/heads/develop", ""])
def test_deploy_22_expected_commit_must_be_a_hash(served: Site, word: str) -> None:
    with pytest.raises(UsageError, match="hash"):
        served.sync_here(expect=word)


def test_deploy_23_all_zero_hash_of_a_deleted_branch_expects_nothing(served: Site) -> None:
    assert served.sync_here(expect="0" * 40).exit_code == 0


# Rewritten and missing branches: pains, deploying, 12, 16, 20 and 28


def test_deploy_16_rewritten_protected_branch_is_not_followed(served: Site, remote: Remote) -> None:
    old, other = remote.head("master"), remote.commit("develop", {"salt/new.sls": ""})
    new = remote.rewrite("master", {"salt/evil.sls": ""})
    for _ in range(2):
        ran = served.sync()
        assert ran.code == 4
        assert f"prod: refused: branch 'master' was rewritten: {new[:12]}" in ran.err
        assert "saltbranch hold prod --at" in ran.err and f"still serving {old[:12]}" in ran.err
        served.assert_serves("master", old)
        served.assert_serves("develop", other)
    served.settings["saltenvs"]["prod"]["protected"] = False
    served.configure()
    served.sync_well()


def test_rewritten_branch_is_followed_where_it_may_be(served: Site, remote: Remote) -> None:
    old = remote.head("develop")
    new = remote.rewrite("develop", {"salt/other.sls": ""})
    ran = served.sync()
    assert ran.code == 0
    assert f"no longer contains {old[:12]}" in ran.out
    served.assert_serves("develop", new)


def test_branch_set_back_is_a_rewrite(served: Site, remote: Remote) -> None:
    remote.set_branch("develop", remote.head("stage"))
    assert result_of(served.sync_well(), "test").state == "rewritten"


def test_deploy_12_missing_branch_takes_nothing_away(served: Site, remote: Remote) -> None:
    old, new = remote.head("stage"), remote.commit("develop", {"salt/new.sls": ""})
    commit = remote.head("stage")
    remote.delete_branch("stage")
    remote.set_branch("STAGE", commit)
    ran = served.sync()
    assert ran.code == 20
    assert "stage: missing: the remote has no branch 'stage'" in ran.err
    assert f"still serving {old[:12]}" in ran.err and "It has 'STAGE'" in ran.err
    served.assert_serves("develop", new)
    assert served.shown("stage") == remote.tree(commit)
    remote.set_branch("stage", commit)
    served.sync_well()


def test_deploy_12_all_branches_missing(served: Site, remote: Remote) -> None:
    before = {branch: served.shown(branch) for branch in BRANCHES.values()}
    for branch in BRANCHES.values():
        remote.delete_branch(branch)
    ran = served.sync()
    assert ran.code == 1
    assert ran.err.count("missing: the remote has no branch") == 3
    assert "is it the right repository?" in ran.err
    assert {branch: served.shown(branch) for branch in BRANCHES.values()} == before


def test_missing_from_the_start(site: Site, remote: Remote) -> None:
    remote.delete_branch("stage")
    ran = site.sync()
    assert ran.code == 20
    assert "nothing is served" in ran.err
    assert site.shown("stage") is None
    site.assert_serves("master", remote.head("master"))


def test_deploy_20_one_bad_branch_stops_no_other(served: Site, remote: Remote) -> None:
    old = remote.head("stage")
    remote.commit("stage", {f"salt/{'n' * 300}": "a name that no file system takes\n"})
    new = remote.commit("develop", {"salt/new.sls": ""})
    ran = served.sync()
    assert ran.code == 20
    assert "stage: failed:" in ran.err and "File name too long" in ran.err
    served.assert_serves("stage", old)
    served.assert_serves("develop", new)
    remote.rewrite("stage", {f"salt/{'n' * 300}": None})
    served.sync_well()


# Commits that must not be served


def test_commit_without_states_is_refused(served: Site, remote: Remote) -> None:
    old = remote.head("develop")
    gone = {path: None for path in remote.tree(old) if path.startswith("salt/")}
    remote.commit("develop", gone)
    assert served.sync("--plan").code == 4
    ran = served.sync()
    assert ran.code == 4
    assert "has no folder salt/" in ran.err and "fix states_dir:" in ran.err
    served.assert_serves("develop", old)


def test_deploy_24_commit_that_loses_all_pillar_is_refused(served: Site, remote: Remote) -> None:
    old = remote.head("develop")
    remote.commit("develop", {"pillar/top.sls": None, "pillar/app.sls": None})
    assert served.sync("--plan").code == 4
    ran = served.sync()
    assert ran.code == 4
    assert "every minion would lose its pillar" in ran.err
    served.assert_serves("develop", old)
    remote.commit("develop", {"pillar/top.sls": "{}\n"})
    served.sync_well()


def test_repository_that_never_had_pillar_is_served(site: Site, remote: Remote) -> None:
    gone = {path: None for path in remote.tree(remote.head("master")) if path.startswith("pillar/")}
    for branch in BRANCHES.values():
        remote.commit(branch, gone)
    site.sync_well()


def test_submodules_are_named_and_left_out(served: Site, remote: Remote) -> None:
    remote.commit("develop", {"salt/sub": Submodule()})
    ran = served.sync()
    assert ran.code == 0
    assert "submodules are not checked out: 'salt/sub'" in ran.out
    served.assert_serves("develop", remote.head("develop"))


# Edited by hand


@pytest.fixture
def edited(served: Site) -> Site:
    """A served slot that a person changed in every way there is."""
    slot = served.slot("develop")
    (slot / "salt" / "top.sls").write_text("base: {}\n")
    (slot / "salt" / "app" / "init.sls").unlink()
    (slot / "salt" / "app" / "files" / "run.sh").chmod(0o644)
    (slot / "pillar" / "extra.sls").write_text("extra: 1\n")
    (slot / ".gitignore").write_text("*\n")
    (slot / "salt" / "untracked").mkdir()
    (slot / "salt" / "untracked" / ".git").mkdir()
    (slot / "salt" / "untracked" / "x").write_text("x\n")
    return served


def test_verify_mends_what_was_edited_by_hand(edited: Site, remote: Remote) -> None:
    assert edited.sync().code == 0
    assert edited.shown("develop") != remote.tree(remote.head("develop"))
    ran = edited.sync("--verify", "--json")
    assert (ran.code, states(ran.out)["test"], states(ran.out)["prod"]) == (
        0,
        "repaired",
        "unchanged",
    )
    edited.sync_well()


def test_next_switch_mends_what_was_edited_by_hand(edited: Site, remote: Remote) -> None:
    for number in range(3):
        remote.commit("develop", {"README.md": f"{number}\n"})
        edited.sync_well()


@pytest.mark.parametrize("idle", [False, True])
def test_files_folders_and_links_in_place_of_each_other(
    served: Site, remote: Remote, idle: bool
) -> None:
    """Nothing is written through a link that somebody put where a folder should be."""
    outside = served.folder / "outside"
    outside.mkdir()
    slot = served.slot("develop")
    if idle:
        slot = served.idle("develop")
    (slot / "salt" / "top.sls").unlink()
    (slot / "salt" / "top.sls" / "deep").mkdir(parents=True)
    (slot / "salt" / "top.sls" / "deep" / "x").write_text("x\n")
    shutil.rmtree(slot / "pillar")
    (slot / "pillar").symlink_to(outside)
    shutil.rmtree(slot / "salt" / "app")
    (slot / "salt" / "app").write_text("a file\n")
    for number in range(2):
        remote.commit("develop", {"pillar/app.sls": f"number: {number}\n"})
        served.sync_well()
    assert list(outside.iterdir()) == []


def test_verify_mends_generated_files(served: Site) -> None:
    tops = served.root / "tops" / "test" / "pillar"
    (tops / "branch_top.jinja").unlink()
    shutil.rmtree(served.root / "tops" / "prod")
    served.master_config.write_text("# Written by saltbranch, and then by me\nfile_roots: {}\n")
    assert served.sync("--verify").code == 0
    assert (tops / "branch_top.jinja").exists()
    assert (served.root / "tops" / "prod" / "states" / "top.sls").exists()
    assert "prod" in yaml.safe_load(served.master_config.read_text())["file_roots"]


def test_checkout_removed_by_hand(served: Site) -> None:
    served.checkout("develop").unlink()
    shutil.rmtree(served.root / "slots" / "stage")
    served.sync_well()


def test_checkout_moved_by_hand_to_another_commit(served: Site, remote: Remote) -> None:
    """Somebody ran git in the served folder: the next plain sync notices and puts it right."""
    git = Git(str(served.checkout("develop")), work_tree=True)
    git.out("checkout", "--quiet", "--detach", remote.head("master"))
    served.sync_well()


def test_root_moved_elsewhere(served: Site) -> None:
    root = served.root.rename(served.folder / "elsewhere")
    served.root = root
    served.configure(root=str(root))
    served.sync_well()
    served.remote.commit("develop", {"README.md": "moved\n"})
    served.sync_well()


# The master's configuration


def test_saltenvs_added_renamed_and_removed(served: Site, remote: Remote) -> None:
    remote.set_branch("feature", remote.head("develop"))
    kept = served.shown("stage")
    saltenvs = served.settings["saltenvs"]
    saltenvs["lab"] = {"branch": "feature", "minions": ["lab*"]}
    saltenvs["integration"] = saltenvs.pop("test")
    del saltenvs["stage"]
    served.configure()
    ran = served.sync("--json")
    assert (ran.code, states(ran.out)) == (
        0,
        {"prod": "unchanged", "lab": "first", "integration": "unchanged"},
    )
    for key in ("file_roots", "pillar_roots"):
        assert set(yaml.safe_load(served.master_config.read_text())[key]) == set(saltenvs)
    assert f"wrote {served.master_config}" in json.loads(ran.out)["notes"]
    assert json.loads(ran.out)["restart_needed"] is None  # no master runs
    assert served.shown("stage") == kept  # sync prunes nothing


def test_deploy_27_saltenv_moves_to_another_branch(served: Site, remote: Remote) -> None:
    remote.set_branch("feature", remote.head("develop"))
    served.settings["saltenvs"]["test"]["branch"] = "feature"
    served.configure()
    served.sync_well()
    top = served.root / "tops" / "test" / "states" / "branch_top.jinja"
    assert top.resolve() == served.slot("feature") / "salt" / "top.sls"


def test_deploy_07_says_restart_only_to_a_master_that_is_older(site: Site) -> None:
    site.salt_config.write_text(f"pidfile: {site.folder}/master.pid\nroot_dir: {site.folder}\n")
    assert site.sync_here().restart_needed is None  # none runs
    (site.folder / "master.pid").write_text(f"{os.getpid()}\n")
    reason = site.sync_here().restart_needed
    assert reason and str(site.master_config) in reason  # it is newer than this process
    assert "restart the salt-master" in site.sync().out
    if not os.path.isdir("/run/systemd/system"):  # else a master would be restarted
        ran = site.sync("--restart")
        assert (ran.code, "was not restarted: systemd does not run" in ran.err) == (1, True)
        assert "test: " in ran.out  # what was served all the same
        shown = json.loads(site.sync("--restart", "--json").out)
        assert "was not restarted" in shown["problems"][0]
        assert shown["restart_needed"]
    os.utime(site.master_config, (1, 1))
    assert site.sync_here().restart_needed is None


def test_deploy_12_master_configuration_of_somebody_else_is_left_alone(site: Site) -> None:
    site.master_config.parent.mkdir()
    site.master_config.write_text("file_roots: {base: [/srv/salt]}\n")
    for options in ([], ["--plan"]):
        ran = site.sync(*options)
        assert ran.code == 4
        assert f"{site.master_config} was not written by saltbranch" in ran.err
        assert "master_config:" in ran.err
    assert site.master_config.read_text() == "file_roots: {base: [/srv/salt]}\n"
    site.master_config.unlink()
    site.sync_well()


def test_deploy_12_never_deletes_what_it_did_not_create(site: Site) -> None:
    precious = site.root / "precious"
    precious.parent.mkdir()
    precious.write_text("mine\n")
    ran = site.sync()
    assert ran.code == 1
    assert f"root {site.root} is not empty and was not made by saltbranch" in ran.err
    assert [p.name for p in site.root.iterdir()] == ["precious"]


def test_deploy_10_file_list_of_a_switched_saltenv_is_dropped(site: Site, remote: Remote) -> None:
    site.salt_config.write_text(f"cachedir: {site.folder}/cache\nroot_dir: {site.folder}\n")
    site.sync_well()
    lists = site.folder / "cache" / "file_lists" / "roots"
    lists.mkdir(parents=True)
    for saltenv in BRANCHES:
        (lists / f"{saltenv}.p").write_bytes(b"stale")
    remote.commit("develop", {"salt/new.sls": ""})
    site.sync_well()
    assert sorted(p.name for p in lists.iterdir()) == ["prod.p", "stage.p"]


def test_deploy_10_file_list_being_made_is_dropped_when_it_is_done(
    site: Site, remote: Remote
) -> None:
    """salt/fileserver/__init__.py marks a list in the making by a folder beside it."""
    site.salt_config.write_text(f"cachedir: {site.folder}/cache\nroot_dir: {site.folder}\n")
    site.sync_well()
    lists = site.folder / "cache" / "file_lists" / "roots"
    busy = lists / ".test.w"
    busy.mkdir(parents=True)

    def finish() -> None:
        (lists / "test.p").write_bytes(b"of the old tree")
        busy.rmdir()

    remote.commit("develop", {"salt/new.sls": ""})
    timer = threading.Timer(0.8, finish)
    timer.start()
    site.sync_well()
    timer.join()
    assert not (lists / "test.p").exists()


def test_switch_is_reported_though_the_file_list_cannot_be_dropped(
    site: Site, remote: Remote
) -> None:
    """What was switched was switched: the trouble with Salt's cache is said, not mistaken for failure."""
    site.salt_config.write_text(f"cachedir: {site.folder}/cache\nroot_dir: {site.folder}\n")
    site.sync_well()
    (site.folder / "cache" / "file_lists" / "roots" / "test.p").mkdir(parents=True)
    new = remote.commit("develop", {"salt/new.sls": ""})
    result = site.sync_here()
    assert (result.exit_code, result_of(result, "test").state) == (0, "switched")
    assert "test.p" in result_of(result, "test").message
    site.assert_serves("develop", new)
    assert not site.sync_here().changed


# The model in the control repository


@pytest.fixture
def modelled(site: Site, remote: Remote) -> Site:
    """A machine whose file names no saltenvs: they stand on the production branch."""
    model = {"saltenvs": site.settings["saltenvs"]}
    remote.commit("master", {"saltbranch.yaml": yaml.safe_dump(model)})
    site.configure(saltenvs=None)
    assert site.sync().code == 0
    return site


def test_model_in_the_repository_counts_once_it_is_on_production(
    modelled: Site, remote: Remote
) -> None:
    model = yaml.safe_load(remote.git("show", "master:saltbranch.yaml"))
    model["saltenvs"]["test"]["minions"] = ["lab*"]
    top = modelled.root / "tops" / "test" / "pillar" / "top.sls"
    remote.commit("develop", {"saltbranch.yaml": yaml.safe_dump(model)})
    assert modelled.sync().code == 0
    assert "lab" not in top.read_text()
    remote.commit("master", {"saltbranch.yaml": yaml.safe_dump(model)})
    assert modelled.sync("--plan").code == 3
    assert "lab" not in top.read_text()
    assert modelled.sync().code == 0
    assert "lab" in top.read_text()


def test_with_a_model_that_broke_on_production_the_last_good_one_goes_on(
    modelled: Site, remote: Remote
) -> None:
    good = remote.head("master")
    develop = remote.commit("develop", {"salt/new.sls": ""})
    broken = remote.commit("master", {"saltbranch.yaml": "saltenvs: [\n"})
    why = (
        f"saltbranch: saltbranch.yaml on branch 'master': that of {broken[:12]} does not count:"
        " saltbranch.yaml:2:1: not valid YAML"
    )
    for _ in range(2):  # also when nothing is new
        ran = modelled.sync()
        assert ran.code == 20
        assert why in ran.err and f"that of {good[:12]} does" in ran.err
        modelled.assert_serves("develop", develop)
        modelled.assert_serves("master", broken)
    assert json.loads(modelled.sync("--json").out)["model_problem"].startswith(why[12:])
    fixed = remote.commit(
        "master", {"saltbranch.yaml": remote.git("show", f"{good}:saltbranch.yaml")}
    )
    assert modelled.sync().code == 0
    modelled.assert_serves("master", fixed)


def test_model_is_kept_while_its_branch_is_missing(modelled: Site, remote: Remote) -> None:
    remote.delete_branch("master")
    new = remote.commit("develop", {"salt/new.sls": ""})
    ran = modelled.sync()
    assert ran.code == 20
    modelled.assert_serves("develop", new)


def test_model_nowhere_is_an_error_that_names_both_places(site: Site) -> None:
    site.configure(saltenvs=None)
    ran = site.sync()
    assert ran.code == 1
    assert f"{site.config} names no saltenvs" in ran.err
    assert "saltbranch.yaml on branch 'master'" in ran.err and "model_branch:" in ran.err


# A mirror that was damaged


def _remove_objects(mirror: Path) -> None:
    shutil.rmtree(mirror / "objects")
    (mirror / "objects").mkdir()


def _empty_objects(mirror: Path) -> None:
    """What a power cut makes of files that were written just before it."""
    for path in (mirror / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"")


def git_at(mirror: Path, *args: str, stdin: bytes = b"") -> str:
    argv = ["git", f"--git-dir={mirror}", *args]
    done = subprocess.run(argv, input=stdin, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


def _unpack(mirror: Path) -> None:
    """Let every object have a file of its own."""
    for pack in (mirror / "objects" / "pack").glob("*.pack"):
        data = pack.read_bytes()
        pack.unlink()
        pack.with_suffix(".idx").unlink()
        git_at(mirror, "unpack-objects", "-q", stdin=data)


def _lose_blobs(mirror: Path) -> None:
    _unpack(mirror)
    for line in git_at(mirror, "cat-file", "--batch-all-objects", "--batch-check").splitlines():
        oid, kind, _ = line.split()
        if kind == "blob":
            (mirror / "objects" / oid[:2] / oid[2:]).unlink()


def _garbage_refs(mirror: Path) -> None:
    (mirror / "packed-refs").unlink(missing_ok=True)
    for branch in BRANCHES.values():
        (mirror / "refs" / "heads" / branch).write_text("garbage\n")


def _file_instead(mirror: Path) -> None:
    shutil.rmtree(mirror)
    mirror.write_text("")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "objects removed": _remove_objects,
    "objects empty": _empty_objects,
    "blobs removed": _lose_blobs,
    "HEAD broken": lambda mirror: (mirror / "HEAD").write_text("nonsense\n"),
    "HEAD removed": lambda mirror: (mirror / "HEAD").unlink(),
    "config broken": lambda mirror: (mirror / "config").write_text("[core\n"),
    "config removed": lambda mirror: (mirror / "config").unlink(),
    "refs are garbage": _garbage_refs,
    "refs removed": lambda mirror: shutil.rmtree(mirror / "refs"),
    "mirror removed": shutil.rmtree,
    "mirror is a file": _file_instead,
    "worktrees removed": lambda mirror: shutil.rmtree(mirror / "worktrees"),
}


# A fetch brings missing objects again; a mirror that is not there is no damaged one.
MENDED_BY_FETCH = ("objects removed", "objects empty", "mirror removed", "worktrees removed")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_mirror_is_rebuilt_in_the_same_run(
    served: Site, remote: Remote, damage: str
) -> None:
    old = remote.head("develop")
    new = remote.commit("develop", {"salt/app/init.sls": "app: {test.nop: []}\n"})
    DAMAGES[damage](served.root / "mirror.git")
    served.assert_serves("develop", old)
    result = served.sync_well()
    assert result_of(result, "test").new == new
    noted = [note for note in result.notes if "the mirror was damaged" in note]
    rebuilt = sorted(served.root.glob("mirror.git.damaged-*"))
    assert len(noted) == len(rebuilt) == (damage not in MENDED_BY_FETCH)
    assert all(str(path) in note for path, note in zip(rebuilt, noted, strict=True))
    for branch in BRANCHES.values():
        remote.commit(branch, {"README.md": "after the repair\n"})
    assert not [note for note in served.sync_well().notes if "damaged" in note]
    assert not served.sync_here().changed


def test_damage_is_not_mistaken_for_a_rewritten_branch(served: Site, remote: Remote) -> None:
    """A commit between the served one and the new one is gone; a protected saltenv is about to move."""
    middle = remote.commit("master", {"README.md": "one\n"})
    remote.commit("master", {"README.md": "two\n"})
    assert served.sync("--plan").code == 3  # both are in the mirror now
    mirror = served.root / "mirror.git"
    _unpack(mirror)
    (mirror / "objects" / middle[:2] / middle[2:]).unlink()
    assert [note for note in served.sync_well().notes if "the mirror was damaged" in note]


def test_rewritten_protected_branch_is_refused_after_a_rebuild_too(
    served: Site, remote: Remote
) -> None:
    old = remote.head("master")
    remote.rewrite("master", {"salt/evil.sls": ""})
    shutil.rmtree(served.root / "mirror.git")
    result = served.sync_here()
    assert (result.exit_code, result_of(result, "prod").state) == (4, "refused")
    served.assert_serves("master", old)


def test_deploy_15_many_packs_become_few_and_nothing_served_is_lost(
    served: Site, remote: Remote
) -> None:
    """Every fetch brings a pack; what only a saltenv still shows is no garbage."""
    mirror = served.root / "mirror.git"
    served_only = remote.head("develop")
    remote.rewrite("develop", {"README.md": "rewritten\n"})
    for number in range(60):
        blob = f"{number}\n".encode()
        argv = ["git", f"--git-dir={mirror}"]
        oid = subprocess.run(
            [*argv, "hash-object", "-w", "--stdin"], input=blob, stdout=subprocess.PIPE, check=True
        ).stdout
        pack = [*argv, "pack-objects", "-q", str(mirror / "objects" / "pack" / "pack")]
        subprocess.run(pack, input=oid, stdout=subprocess.DEVNULL, check=True)
    remote.commit("stage", {"README.md": "news\n"})
    assert served.sync_here("stage").exit_code == 0
    assert len(list((mirror / "objects" / "pack").glob("*.pack"))) < 10
    served.assert_serves("develop", served_only)
    git = Git(str(served.checkout("develop")), work_tree=True)
    assert (
        git.out("status", "--porcelain") == ""
        and git.out("log", "-1", "--format=%H").strip() == served_only
    )
    served.sync_well()


# State for other runs


def test_failure_is_remembered_until_a_good_run(served: Site, remote: Remote) -> None:
    seen, failure = served.root / "state" / "seen", served.root / "state" / "failure"
    os.utime(seen, (1, 1))
    commit = remote.head("stage")
    remote.delete_branch("stage")
    assert served.sync_here().exit_code == 20
    assert "stage: the remote has no branch 'stage'" in failure.read_text()
    moved = remote.path.rename(served.folder / "away")
    with pytest.raises(RemoteError):
        served.sync_here()
    assert "cannot read the remote" in failure.read_text()
    assert seen.stat().st_mtime == 1
    moved.rename(remote.path)
    remote.set_branch("stage", commit)
    served.sync_well()
    assert not failure.exists()
    assert seen.stat().st_mtime > 1


@pytest.mark.parametrize("name", ["prepared", "served", "seen"])
@pytest.mark.parametrize("content", [None, b"", b"\0" * 64, b"torn"])
def test_state_files_are_only_caches(served: Site, name: str, content: bytes | None) -> None:
    path = served.root / "state" / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    served.sync_well()
    served.remote.commit("develop", {"README.md": "on\n"})
    served.sync_well()


def test_prepared_that_makes_no_sense_is_made_anew(served: Site) -> None:
    path = served.root / "state" / "prepared"
    text = path.read_text()
    for old, new in (
        ("gid\t", "gid\tx"),
        ("saltenv\ttest\t", "saltenv\ttest"),
        ("signature\t", "signature"),
    ):
        path.write_text(text.replace(old, new))
        assert served.sync().code == 0
        assert path.read_text() == text


def test_configuration_in_json_is_understood(served: Site, remote: Remote) -> None:
    """No plain line `root:` in it: the slow road reads it."""
    del remote
    served.root = served.folder / "second"
    served.settings["root"] = str(served.root)
    served.config.write_text(json.dumps(served.settings, indent=1))
    served.sync_well()
    served.sync_well()


@pytest.mark.parametrize("option", ["jinja_env", "jinja_sls_env"])
@pytest.mark.parametrize(
    ("key", "value"), [("line_statement_prefix", "%"), ("Variable_Start_String", "<<")]
)
def test_another_syntax_for_jinja_is_refused(site: Site, option: str, key: str, value: str) -> None:
    """Such options make the generated top files unreadable; those about white space do not."""
    site.salt_config.write_text(json.dumps({option: {key: value}}))
    for verb in ("--plan",), ():
        ran = site.sync(*verb)
        assert ran.code == 4, ran
        assert f"option {option} sets {key} to {value!r}" in ran.err
    assert not site.checkout("develop").exists()
    site.salt_config.write_text(json.dumps({option: {"trim_blocks": True}}))
    site.sync_well()
    site.salt_config.write_text(json.dumps({option: {"trim_blocks": True, key: value}}))
    old = site.remote.head("develop")
    site.remote.commit("develop", {"salt/new.sls": "{}"})
    assert site.sync().code == 4
    site.assert_serves("develop", old)


GONE = {
    "submodule": Submodule(),
    "link": Link("README.md"),
    "file": "no folder",
    "submodules": None,
    "nothing": None,
}


@pytest.mark.parametrize("kind", GONE)
@pytest.mark.parametrize("folder", ["salt", "pillar"])
def test_folder_that_would_be_served_empty_is_refused(
    served: Site, remote: Remote, folder: str, kind: str
) -> None:
    """What is not a folder with files gives the minions nothing, whatever git calls it."""
    old = remote.head("master")
    names = [path for path in remote.tree(old) if path.startswith(f"{folder}/")]
    changes: dict[str, Content] = dict.fromkeys(names)
    if kind == "submodules":
        changes[f"{folder}/formula"] = Submodule()
    elif kind != "nothing":
        changes[folder] = GONE[kind]
    remote.commit("master", changes)
    new = remote.commit("develop", {"salt/new.sls": "{}"})
    for plan in (["--plan"], []):
        ran = served.sync(*plan)
        assert ran.code == (4 if not plan else ran.code), ran
        assert f"has no folder {folder}/ with files in it" in ran.err
    served.assert_serves("master", old)
    served.assert_serves("develop", new)


def test_folder_below_a_link_is_none(site: Site, remote: Remote) -> None:
    site.configure(states_dir="data/salt")
    for branch in BRANCHES.values():
        remote.commit(branch, {"real/salt/top.sls": "base: {}\n", "data": Link("real")})
    ran = site.sync()
    assert ran.code == 4, ran
    assert "has no folder data/salt/ with files in it" in ran.err
    assert not site.checkout("master").exists()


POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:6fd5d72fe4589f189f8ebc006442dbb529bb7ce38f8082112682524616046452\nsize 904\n"
)


def test_git_lfs_pointers_are_named(served: Site, remote: Remote) -> None:
    attributes = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
    changes = {".gitattributes": attributes, "salt/agent.bin": POINTER, "doc/picture.bin": POINTER}
    remote.commit("develop", changes)
    ran = served.sync()
    assert ran.code == 0
    assert "Git LFS pointers are served in place of 'salt/agent.bin' (" in ran.out
    found = json.loads(served.run("doctor", "--json").out)["findings"]
    paths = [f["items"] for f in found if f["id"] == "lfs-pointer"]
    assert paths == [[f"{served.root}/checkouts/develop/salt/agent.bin"]]
    # Where a filter brings the file itself, that is what is served.
    gitconfig = served.folder / "gitconfig"
    gitconfig.write_text('[filter "lfs"]\n\tsmudge = echo the file itself\n\tclean = cat\n')
    remote.commit("develop", {"salt/other.bin": POINTER})
    ran = served.run("sync", env={"GIT_CONFIG_GLOBAL": str(gitconfig)})
    assert "other.bin" not in ran.out
    assert (served.checkout("develop") / "salt/other.bin").read_text() == "the file itself\n"
