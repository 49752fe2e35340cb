"""Whose clone it is decides what is read there, and whether anything of it runs."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from saltbranch.base import ownership
from saltbranch.base.errors import ConfigError
from saltbranch.repository import clone as clones
from tests.support.flow_site import FlowSite, standing_in

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A global configuration of git's that tests may write to."""
    path = tmp_path / "gitconfig"
    path.touch()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(path))
    return path


@pytest.fixture
def foreign(flow: FlowSite) -> Iterator[FlowSite]:
    """The clone belongs to somebody else."""
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(flow.clone)], check=True)
    yield flow
    subprocess.run(["chown", "-R", "0:0", str(flow.clone)], check=True)


def canary(flow: FlowSite) -> Path:
    """A file that appears when a program of the clone's git configuration runs."""
    path = flow.folder / "canary"
    config = flow.clone / ".git" / "config"
    config.write_text(
        f'{config.read_text()}\tuploadpack = "touch {path}; git-upload-pack"\n'
        f'[core]\n\tsshCommand = "touch {path}"\n\tfsmonitor = "touch {path}"\n'
        f'[remote "origin"]\n\tuploadpack = "touch {path}; git-upload-pack"\n'
    )
    return path


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    """Owner and time of every file below a folder."""
    stats = [(p, p.lstat()) for p in folder.rglob("*")]
    return {str(p): (st.st_uid, st.st_mtime_ns) for p, st in stats}


# Who may write


@as_root
def test_what_root_alone_can_write_has_no_other_writer(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file"
    path.parent.mkdir()
    path.touch()
    assert ownership.writer_or_none(str(path)) is None


@as_root
@pytest.mark.parametrize(
    ("mode", "owner", "said"),
    [
        (0o757, (0, 0), "may be written to by everybody"),
        (0o775, (0, 54321), "may be written to by the group 54321"),
        (0o755, (NOBODY, 0), "belongs to"),
        (0o775, (0, 0), None),  # root's own group
        (0o1757, (0, 0), None),  # sticky, and what is in it is root's
    ],
)
def test_a_folder_above_that_others_can_write_to_is_named(
    tmp_path: Path, mode: int, owner: tuple[int, int], said: str | None
) -> None:
    above = tmp_path / "above"
    (above / "deep").mkdir(parents=True)
    path = above / "deep" / "file"
    path.touch()
    above.chmod(mode)
    os.chown(above, *owner)
    found = ownership.writer_or_none(str(path))
    if said is None:
        assert found is None
    else:
        assert found and found.startswith(f"{above} ") and said in found


@as_root
def test_what_somebody_made_in_a_sticky_folder_is_theirs(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    path = tmp_path / "file"
    path.touch()
    os.chown(path, NOBODY, NOBODY)
    assert "belongs to" in str(ownership.writer_or_none(str(path)))


@as_root
def test_a_link_is_judged_by_both_ends(tmp_path: Path) -> None:
    target = tmp_path / "open" / "file"
    target.parent.mkdir()
    target.touch()
    target.parent.chmod(0o777)
    link = tmp_path / "link"
    link.symlink_to(target)
    assert "everybody" in str(ownership.writer_or_none(str(link)))


@as_root
def test_a_link_that_leads_through_a_strangers_folder_is_judged_there(tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (tmp_path / "file").touch()
    (stranger / "hop").symlink_to(tmp_path / "file")
    (tmp_path / "link").symlink_to(stranger / "hop")
    assert ownership.writer_or_none(str(tmp_path / "link")) is None
    os.chown(stranger, NOBODY, NOBODY)
    found = ownership.writer_or_none(str(tmp_path / "link"))
    assert found and found.startswith(f"{stranger} belongs to")
    (tmp_path / "loop").symlink_to("loop")
    assert "without an end" in str(ownership.writer_or_none(str(tmp_path / "loop")))


@as_root
def test_an_access_list_hides_behind_the_groups_bits(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    # version 2; user::rw-, user:65534:rw-, group::r--, mask::rw-, other::r-- (linux/posix_acl_xattr.h)
    entries = [(1, 6, -1), (2, 6, NOBODY), (4, 4, -1), (16, 6, -1), (32, 4, -1)]
    data = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *e) for e in entries)
    try:
        os.setxattr(path, "system.posix_acl_access", data)
    except OSError:
        pytest.skip("no access lists on this file system")
    assert "access list" in str(ownership.writer_or_none(str(path)))


@as_root
@pytest.mark.parametrize("inner", ["refs/heads", "refs/remotes/origin", "info", "objects/info"])
def test_what_decides_deep_in_a_git_folder_is_judged_too(flow: FlowSite, inner: str) -> None:
    path = flow.clone / ".git" / inner
    path.mkdir(parents=True, exist_ok=True)
    (path / "x").touch()
    (path / "x").chmod(0o666)
    ran = flow.run("status")
    assert ran.code == 4 and f"{path}/x may be written to by everybody" in ran.err


# Found by where one stands


def test_an_empty_git_folder_is_no_clone(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "saltbranch.yaml").touch()
    assert clones.find(str(tmp_path)) is None


def test_a_bare_repository_inside_a_work_tree_is_no_clone(flow: FlowSite) -> None:
    """Anybody's branch can hold one, with a configuration that names programs."""
    inner = flow.clone / "salt" / "evil"
    subprocess.run(["git", "init", "-q", "--bare", str(inner)], check=True)
    (inner / "config").write_text(f"[core]\n\tbare = false\n\tworktree = {flow.folder}\n")
    found = clones.find(str(inner))
    assert found is None or found.folder == str(flow.clone)


@as_root
def test_a_clone_of_somebody_else_is_refused_by_name(foreign: FlowSite) -> None:
    path = canary(foreign)
    before = everything(foreign.clone)
    for words in (["status"], ["why-not", "stage"], ["history"], ["diff", "stage"], ["check"]):
        ran = foreign.run(*words)
        assert ran.code == 4, ran
        assert f"{foreign.clone}/saltbranch.yaml" in ran.err and "belongs to" in ran.err
        assert "safe.directory" in ran.err and "as its owner" in ran.err
    assert everything(foreign.clone) == before and not path.exists()


@as_root
@pytest.mark.parametrize("allowed", ["safe.directory", "SUDO_UID"])
def test_where_git_was_told_that_it_is_fine_it_is_read_only(
    foreign: FlowSite, home: Path, monkeypatch: pytest.MonkeyPatch, allowed: str
) -> None:
    if allowed == "SUDO_UID":
        monkeypatch.setenv("SUDO_UID", str(NOBODY))
    else:
        home.write_text(f"[safe]\n\tdirectory = {foreign.clone}\n")
    foreign.push("develop")
    path = canary(foreign)
    before = everything(foreign.clone)

    reading = (
        ["status"],
        ["history"],
        ["where", "KEY-1"],
        ["check", "--static"],
        ["check", "--static", "stage"],
    )
    for words in reading:
        ran = foreign.run(*words)
        assert ran.code in (0, 3), (words, ran)
    assert "was last read" in foreign.run("status").out
    plan = foreign.run("promote", "stage", "--plan")
    assert plan.code in (0, 3) and "the remote was not read" in plan.out, plan
    for words in (["hold", "prod", "--reason", "x", "--yes"], ["feature", "start", "x"]):
        refused = foreign.run(*words)
        assert refused.code == 4 and "nothing is written in" in refused.err, refused

    assert everything(foreign.clone) == before and not path.exists()


@as_root
def test_a_clone_of_root_that_others_can_write_to_is_refused(flow: FlowSite) -> None:
    (flow.clone / ".git" / "config").chmod(0o666)
    ran = flow.run("status")
    assert ran.code == 4
    assert f"{flow.clone}/.git/config may be written to by everybody" in ran.err
    (flow.clone / ".git" / "config").chmod(0o644)
    flow.clone.chmod(0o777)
    assert "may be written to by everybody" in flow.run("status").err
    flow.clone.chmod(0o755)
    assert flow.run("status").code == 0


@as_root
def test_others_may_not_enter_a_strangers_clone_either(flow: FlowSite) -> None:
    """What git refuses to everybody."""
    flow.folder.chmod(0o755)
    argv = ["git", "-C", str(flow.clone), "rev-parse"]
    done = subprocess.run(
        ["setpriv", f"--reuid={NOBODY}", "--clear-groups", *argv], capture_output=True, text=True
    )
    assert done.returncode != 0


# Which remote


def test_the_remote_is_origin_or_the_only_one_and_never_that_of_a_branch(flow: FlowSite) -> None:
    flow.git("remote", "add", "fork", "/nonexistent/fork.git")
    flow.git("config", "branch.develop.remote", "fork")
    assert here(flow).remote() == "origin"
    flow.git("remote", "rename", "origin", "upstream")
    with pytest.raises(ConfigError, match="several remotes and none is called origin") as caught:
        here(flow).remote()
    assert "git config saltbranch.remote NAME" in caught.value.hint
    flow.git("config", "saltbranch.remote", "nothere")
    with pytest.raises(ConfigError, match="names 'nothere', which is not a remote"):
        here(flow).remote()
    flow.git("config", "saltbranch.remote", "upstream")
    assert here(flow).remote() == "upstream"
    flow.git("remote", "remove", "fork")
    flow.git("config", "--unset", "saltbranch.remote")
    assert here(flow).remote() == "upstream"


def test_every_verb_asks_the_same_remote(flow: FlowSite) -> None:
    flow.git("remote", "rename", "origin", "upstream")
    source = flow.push("develop")
    flow.git("fetch", "--quiet", "upstream")
    assert flow.run("check", "--static", "test").code == 0
    assert flow.run("check", "--static", "--all").code == 0
    assert flow.contains("stage", source) is False
    flow.promoted("stage")
    assert flow.contains("stage", source)


def test_a_branch_is_written_with_the_name_that_the_remote_has(flow: FlowSite) -> None:
    flow.git("remote", "rename", "origin", "upstream")
    flow.git("remote", "add", "origin", "/nonexistent/fork.git")
    flow.git("config", "saltbranch.remote", "upstream")
    flow.push("develop")
    flow.git("fetch", "--quiet", "upstream")
    for words in (["where"], ["check", "--static"], ["promote", "stage", "--plan", "--commit"]):
        assert flow.run(*words, "upstream/develop").code in (0, 3), words
        # What the other remote has is nobody's word for what this one has.
        assert flow.run(*words, "origin/develop").code == 2, words


def test_a_clone_without_a_remote_is_read_by_its_own_branches(flow: FlowSite) -> None:
    flow.git("fetch", "--quiet")
    for branch in ("stage", "master"):
        flow.git("branch", branch, f"origin/{branch}")
    flow.git("remote", "remove", "origin")
    assert flow.run("status").code == 0
    assert flow.run("check", "--static", "stage").code == 0
    refused = flow.run("hold", "prod", "--reason", "x", "--yes")
    assert refused.code == 4 and "has no remote" in refused.err


def here(flow: FlowSite) -> clones.Clone:
    """The clone."""
    with standing_in(flow.clone):
        found = clones.find(str(flow.clone))
    assert found
    return found


@pytest.mark.parametrize("key", ["remote: {}", "root: {}", "salt_config: {}", "model_branch: {}"])
def test_the_file_that_is_checked_out_says_nothing_about_machine_or_remote(
    flow: FlowSite, tmp_path: Path, key: str
) -> None:
    """A reviewer stands in anybody's branch."""
    evil = flow.remote.copy(tmp_path / "evil.git")
    pwned = tmp_path / "pwned"
    model = (flow.clone / "saltbranch.yaml").read_text()
    gate = f'[{{"command": ["/bin/sh", "-c", "touch {pwned}"], "name": "x"}}]'
    evil.commit("master", {"saltbranch.yaml": f"{model}x: {gate}\n"})
    flow.push("develop")
    text = f"{key.format(evil.path if key.startswith('remote') else '/nonexistent/x')}\n{model}"
    (flow.clone / "saltbranch.yaml").write_text(text)
    before = evil.git("for-each-ref")
    for words in (["status"], ["why-not", "stage"], ["history"], ["promote", "stage", "--plan"]):
        ran = flow.run(*words)
        assert ran.code in (0, 3), (words, ran)
    flow.promoted("stage")
    assert evil.git("for-each-ref") == before and not pwned.exists()
    said = flow.run("check", "--static")
    assert "has no effect here" in said.out


def test_a_clone_that_two_people_share(flow: FlowSite, tmp_path: Path) -> None:
    """What the other one left there is no bug, and no word of mine."""
    flow.configure(stage={"gates": [{"command": "true", "name": "x"}]})
    flow.push("develop")
    agreed = flow.clone / ".git" / f"saltbranch-agreed-{os.geteuid()}"
    assert agreed.exists() and flow.run("why-not", "stage").code == 0
    agreed.unlink()
    agreed.mkdir()
    assert "cannot-tell" in flow.run("why-not", "stage").out


def test_odd_places_are_no_bugs(flow: FlowSite, tmp_path: Path) -> None:
    odd = tmp_path / "a\nb"
    flow.clone.rename(odd)
    assert flow.run("status", cwd=odd).code == 1
    odd.rename(flow.clone)
    gone = tmp_path / "gone"
    gone.mkdir()
    before = os.getcwd()
    os.chdir(gone)
    gone.rmdir()
    try:
        argv = [sys.executable, "-m", "saltbranch", "status"]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(argv, capture_output=True, text=True, env=env)
    finally:
        os.chdir(before)
    assert done.returncode == 1 and "bug" not in done.stderr, done.stderr
