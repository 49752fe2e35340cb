"""What one process answers about objects is what git says of them one by one, and it ends when it should."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from saltbranch.base.errors import GitError
from saltbranch.base.files import Lock
from saltbranch.git import describe, objects
from saltbranch.git.mirror import Mirror
from saltbranch.git.program import Git, let_go
from tests.support.remote import Link, Remote, Script, Submodule

LONG = "x" * 300_000  # more than a pipe holds


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    remote = Remote(tmp_path / "remote.git")
    remote.commit(
        "master",
        {
            "file": "a\n",
            "script": Script("#!/bin/sh\n"),
            "link": Link("file"),
            "pin": Submodule(),
            "long": LONG,
            "empty": "",
            "a b/\u00fc/deep": "deep\n",
            "odd\nname": "odd\n",
            "-x": "x\n",
            "*": "star\n",
            "only/links/l": Link("../x"),
            "only/pins/p": Submodule(),
        },
    )
    return remote


def processes(directory: Path) -> list[str]:
    """Those that answer for the repository `directory`."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            names = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(f"GIT_DIR={directory}") in names and b"--batch-command" in words:
            found.append(pid)
    return found


PATHS = [
    "file", "script", "link", "pin", "long", "empty", "a b", "a b/\u00fc", "a b/\u00fc/deep", "odd\nname", "-x", "*",
    "?", "none", "file/x", "pin/x", "a b/none", "only/links", "only/pins", ".", "file/", "/file", "../file", "",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_what_is_at_a_path(remote: Remote, path: str) -> None:
    git, head = Git(str(remote.path)), remote.head("master")
    argv = ["git", f"--git-dir={remote.path}"]
    said = subprocess.run(
        [*argv, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{head}:{path}"],
        capture_output=True,
        text=True,
    )
    assert git.blob_or_none(head, path) == (said.stdout.strip() or None)
    listed = {
        name: (mode, oid)
        for line in remote.git("ls-tree", "-r", "-t", "-z", head).split("\0")
        for meta, _, name in [line.partition("\t")]
        if name
        for mode, _, oid in [meta.split()]
    }
    if path in listed:
        assert git.entry_or_none(head, path) == listed[path]
    tree = remote.git("rev-parse", f"{head}^{{tree}}")
    assert git.blob_or_none(tree, path) == git.blob_or_none(head, path)


def test_modes_of_old_trees_are_shown_as_git_shows_them(remote: Remote) -> None:
    blob = remote.git("hash-object", "-w", "--stdin", stdin=b"a\n")
    sub = remote.git("mktree", stdin=f"100644 blob {blob}\tx\n".encode())
    modes = (b"100664", b"100600", b"100775", b"100777")
    rows = [mode + b" " + mode + b"\0" + bytes.fromhex(blob) for mode in modes]
    rows += [mode + b" " + mode + b"\0" + bytes.fromhex(sub) for mode in (b"040000", b"40000")]
    tree = remote.git(
        "hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=b"".join(sorted(rows))
    )
    git = Git(str(remote.path))
    for line in remote.git("ls-tree", "-z", tree).split("\0"):
        if line:
            meta, name = line.split("\t")
            mode, _, oid = meta.split()
            assert git.entry_or_none(tree, name) == (mode, oid)


def test_what_a_name_stands_for(remote: Remote) -> None:
    git, head = Git(str(remote.path)), remote.head("master")
    remote.git("tag", "-a", "-m", "v1", "v1", head)
    remote.git("tag", "-a", "-m", "v2", "v2", "v1")
    blob = remote.git("rev-parse", f"{head}:file")
    remote.git("update-ref", "refs/tags/blob", blob)
    for name in ("refs/heads/master", "refs/tags/v1", "refs/tags/v2", head, "master", head[:12]):
        assert git.commit_or_none(name) == head
    for name in ("refs/heads/none", "refs/tags/blob", blob, "1" * 40, "none", "refs/heads/a\nb"):
        assert git.commit_or_none(name) is None
    assert git.objects_named([head, blob, "1" * 40, f"{head}:file", f"{head}:none"]) == [
        (head, "commit"), (blob, "blob"), None, (blob, "blob"), None,
    ]  # fmt: skip
    many = [head, "1" * 40, f"{head}:none"] * objects.FEW
    assert git.objects_named(many) == [(head, "commit"), None, None] * objects.FEW
    assert git.blob(git.blob_or_none(head, "long") or "") == LONG.encode()
    assert git.blob(git.blob_or_none(head, "empty") or "") == b""
    assert git.blob(blob) == b"a\n"


def test_a_folder_with_files(remote: Remote) -> None:
    git, head = Git(str(remote.path)), remote.head("master")
    found = [p for p in ("only", "only/links", "only/pins", "a b", "file", "none", "pin")
             if objects.has_files(git, head, p)]  # fmt: skip
    assert found == ["only", "only/links", "a b"]


def test_one_process_answers_all_and_sees_what_came_later(remote: Remote) -> None:
    git = Git(str(remote.path))
    first = git.commit_or_none("refs/heads/master")
    (process,) = processes(remote.path)
    second = remote.commit("master", {"file": "b\n"})
    assert first != second == git.commit_or_none("refs/heads/master")
    remote.git("pack-refs", "--all")
    third = remote.commit("other", {"new": "c\n"})
    remote.git("gc", "--quiet", "--prune=now")
    assert git.commit_or_none("refs/heads/other") == third == git.commit_or_none(third)
    assert git.blob(git.blob_or_none(third, "new") or "") == b"c\n"
    remote.delete_branch("other")
    assert git.commit_or_none("refs/heads/other") is None
    assert processes(remote.path) == [process]
    let_go()
    assert processes(remote.path) == []
    assert git.commit_or_none("refs/heads/master") == second


def test_a_repository_made_anew_in_its_place_is_another_one(remote: Remote, tmp_path: Path) -> None:
    git, head = Git(str(remote.path)), remote.head("master")
    remote.git("gc", "--quiet")  # whoever has read the pack would have it for ever
    assert git.commit_or_none(head) == head
    remote.path.rename(tmp_path / "aside")
    Remote(remote.path)
    assert git.commit_or_none(head) is None
    shutil.rmtree(remote.path)
    assert git.commit_or_none(head) is None


def test_it_may_be_killed(remote: Remote) -> None:
    git, head = Git(str(remote.path)), remote.head("master")
    for _ in range(3):
        assert git.commit_or_none(head) == head
        for pid in processes(remote.path):
            os.kill(int(pid), signal.SIGKILL)
    assert git.blob_or_none(head, "file") is not None


def test_a_damaged_object_is_complained_of(remote: Remote) -> None:
    git, head = Git(str(remote.path)), remote.head("master")
    oid = git.blob_or_none(head, "file") or ""
    path = remote.path / "objects" / oid[:2] / oid[2:]
    if not path.exists():  # fast-import writes packs
        (pack,) = (remote.path / "objects" / "pack").glob("*.pack")
        moved = pack.rename(remote.path / "pack")
        shutil.rmtree(remote.path / "objects" / "pack")
        remote.git("unpack-objects", "-q", stdin=moved.read_bytes())
    let_go()
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(Exception, match=oid):
        git.blob(oid)
    assert git.commit_or_none(head) == head


def test_no_lock_lasts_longer_for_it(remote: Remote, tmp_path: Path) -> None:
    git = Git(str(remote.path))
    with Lock(str(tmp_path / "lock")) as lock:
        lock.keep_with_children()
        assert git.commit_or_none("refs/heads/master")
        assert processes(remote.path)
    with Lock(str(tmp_path / "lock")):
        pass


def test_it_is_no_git_that_still_works_on_a_mirror(tmp_path: Path) -> None:
    mirror = Mirror(str(tmp_path))
    mirror.create()
    commit = mirror.git.out("commit-tree", "-m", "x", mirror.git.out("mktree").strip()).strip()
    assert mirror.git.commit_or_none(commit) == commit
    assert processes(tmp_path / "mirror.git")
    mirror.remove_stale_locks()


def test_it_ends_with_whoever_started_it(remote: Remote) -> None:
    program = (
        "import os, signal, sys; from saltbranch.git.program import Git;"
        "assert Git(sys.argv[1]).commit_or_none('refs/heads/master');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(remote.path)], stderr=subprocess.PIPE)
    assert done.returncode == -signal.SIGKILL, done.stderr
    deadline = time.monotonic() + 30
    while processes(remote.path):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_fork_has_one_of_its_own(remote: Remote) -> None:
    git, head = Git(str(remote.path)), remote.head("master")
    assert git.commit_or_none(head) == head
    pid = os.fork()
    if not pid:
        fine = git.blob_or_none(head, "file") is not None and len(processes(remote.path)) == 2
        let_go()
        os._exit(0 if fine and len(processes(remote.path)) == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert git.commit_or_none("refs/heads/master") == head


def test_what_an_environment_redirects_is_asked_there(remote: Remote, tmp_path: Path) -> None:
    other = Remote(tmp_path / "other.git")
    commit = other.commit("master", {"else": "1\n"})
    git = Git(str(remote.path))
    assert git.commit_or_none(commit) is None
    seeing = git.with_env(GIT_ALTERNATE_OBJECT_DIRECTORIES=f"{other.path}/objects")
    assert seeing.commit_or_none(commit) == commit
    assert git.commit_or_none(commit) is None


def test_what_contains_what(remote: Remote) -> None:
    commits = [remote.head("master")]
    for n in range(20):  # further back than is looked for here
        commits.append(remote.commit("master", {"file": f"{n}\n"}))
    remote.set_branch("side", commits[10])
    commits += [remote.commit("side", {"side": f"{n}\n"}) for n in range(2)]
    commits.append(remote.merge("side", "master"))
    commits.append(remote.commit("apart", {"apart": "1\n"}, parents=()))
    git = Git(str(remote.path))
    for descendant in commits:
        contained = set(remote.git("rev-list", descendant).split())
        found = {c for c in commits if git.is_ancestor(c, descendant)}
        assert found == contained & set(commits)
    with pytest.raises(GitError):
        git.is_ancestor("1" * 40, commits[0])
    with pytest.raises(GitError):
        git.is_ancestor(commits[0], "1" * 40)
    let_go()
    (remote.path / "shallow").write_text(f"{commits[5]}\n")
    assert git.is_ancestor(commits[5], commits[6]) and not git.is_ancestor(commits[4], commits[6])


def test_commits_on_either_side(remote: Remote) -> None:
    begin = remote.head("master")
    remote.set_branch("side", begin)
    for branch, many in (("master", 3), ("side", 2)):
        for n in range(many):
            remote.commit(branch, {branch: f"{n}\n"})
    master, side = remote.head("master"), remote.merge("master", "side")
    git = Git(str(remote.path))
    for one, other in ((master, side), (side, master), (begin, side), (side, side)):
        both = describe.count(git, other, one), describe.count(git, one, other)
        assert describe.count_apart(git, one, other) == both
    assert describe.count_apart(git, master, side) == (0, 2)


def test_a_clone_is_asked_where_its_files_are(remote: Remote, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", remote.path, clone], check=True)
    git, head = Git(str(clone), work_tree=True), remote.head("master")
    assert git.commit_or_none("refs/heads/master") == head and git.commit_or_none("HEAD") == head
    subprocess.run(["git", "-C", clone, "switch", "--quiet", "-c", "x"], check=True)
    assert git.commit_or_none("refs/heads/x") == head and git.is_ancestor(head, head)
    shutil.rmtree(clone)
    assert git.commit_or_none("refs/heads/x") is None
