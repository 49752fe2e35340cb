"""One bad branch, tag or journal on the remote stops itself and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from saltbranch.base import proc
from saltbranch.git.mirror import JOURNAL_REF, Mirror
from saltbranch.serve.run import FAILED
from tests.support.clone import Clone
from tests.support.project import Project
from tests.support.remote import Remote
from tests.support.site import Journal, Ran, Site, result_of

# With `.lock` behind it no file system here has such a name; and a path that no system call takes.
LONG_NAME = "feature/" + "x" * 253
LONG_PATH = "/".join(["y" * 200] * 20)


def bad_commit(remote: Remote, parent: str) -> str:
    """A commit with a tree that git-fsck(1) refuses: it has a file `.git`."""
    blob = remote.git("hash-object", "-w", "--stdin", stdin=b"x")
    entry = b"100644 .git\0" + bytes.fromhex(blob)
    tree = remote.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=entry)
    date = {"GIT_AUTHOR_DATE": "1767225600 +0000", "GIT_COMMITTER_DATE": "1767225600 +0000"}
    who = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@a", "GIT_COMMITTER_NAME": "A"}
    done = subprocess.run(
        ["git", f"--git-dir={remote.path}", "commit-tree", "-p", parent, "-m", "oops", tree],
        env={**os.environ, **date, **who, "GIT_COMMITTER_EMAIL": "a@a"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def pack_ref(remote: Remote, name: str, commit: str) -> None:
    """A ref that no file could hold: servers with another store have such names."""
    packed = remote.path / "packed-refs"
    remote.git("pack-refs", "--all")
    lines = [line for line in packed.read_text().splitlines() if not line.startswith(("#", "^"))]
    lines = sorted([*lines, f"{commit} {name}"], key=lambda line: line[41:])
    packed.write_text("\n".join(["# pack-refs with: sorted ", *lines, ""]))


def spoil(remote: Remote, kind: str) -> str:
    """Let the remote have something that cannot be fetched; its name."""
    head = remote.head("master")
    if kind == "object":
        remote.set_branch("feature/oops", bad_commit(remote, head))
        return "feature/oops"
    if kind == "missing":
        commit = remote.commit("feature/gone", {"salt/gone.sls": "gone"})
        blob = remote.git("rev-parse", f"{commit}:salt/gone.sls")
        for pack in (remote.path / "objects/pack").glob("*"):
            data = pack.read_bytes() if pack.suffix == ".pack" else b""
            pack.unlink()
            if data:
                remote.git("unpack-objects", "-q", stdin=data)
        (remote.path / "objects" / blob[:2] / blob[2:]).unlink()
        return "feature/gone"
    name = LONG_NAME if kind == "name" else LONG_PATH
    pack_ref(remote, f"refs/heads/{name}", head)
    return name[:40]


@pytest.mark.parametrize("kind", ["object", "missing", "name", "path"])
def test_bad_branch_stops_no_saltenv(served: Site, remote: Remote, kind: str) -> None:
    name = spoil(remote, kind)
    new = remote.commit("master", {"salt/fix.sls": "fix: {test.nop: []}\n"})
    fine = remote.commit("feature/fine", {"salt/fine.sls": "{}\n"}, parents=(new,))
    ran = served.sync()
    assert ran.code == 0, ran
    assert name in ran.err
    served.assert_serves("master", new)
    assert Mirror(str(served.root)).branches()["feature/fine"] == fine
    assert served.sync("-q") == Ran(0, "", "")  # it was said
    told = json.loads(served.run("status", "--json").out)
    assert [name in ref for ref in told["unread"]] == [True]
    assert name in served.run("status").out
    found = json.loads(served.run("doctor", "--json").out)["findings"]
    assert [f["severity"] for f in found if f["id"] == "remote-unread"] == ["warning"]


def test_what_was_mended_is_forgotten(served: Site, remote: Remote) -> None:
    spoil(remote, "object")
    assert "feature/oops" in served.sync("-q").err
    remote.delete_branch("feature/oops")
    assert served.sync("-q") == Ran(0, "", "")
    assert json.loads(served.run("status", "--json").out)["unread"] == {}
    assert not (served.root / "state/unread").exists()


def test_branch_that_goes_away_meanwhile_is_gone_here(served: Site, remote: Remote) -> None:
    spoil(remote, "object")
    remote.delete_branch("stage")
    ran = served.sync()
    assert ran.code == 20
    assert "stage: missing: the remote has no branch 'stage'" in ran.err


def test_bad_branch_of_a_saltenv_fails_that_one(served: Site, remote: Remote) -> None:
    old = remote.head("stage")
    remote.set_branch("stage", bad_commit(remote, old))
    new = remote.commit("develop", {"salt/new.sls": "{}\n"})
    result = served.sync_here()
    assert result.exit_code == 20
    assert result_of(result, "stage").state == FAILED
    assert "cannot be read" in result_of(result, "stage").message
    assert "still serving" in result_of(result, "stage").message
    served.assert_serves("stage", old)
    served.assert_serves("develop", new)
    rows = json.loads(served.run("status", "--json").out)["saltenvs"]
    assert {row["saltenv"]: row["state"] for row in rows}["stage"] == "unread"


def test_hold_that_is_new_counts_beside_a_bad_branch(served: Site, remote: Remote) -> None:
    old = remote.head("master")
    spoil(remote, "object")
    Journal(remote).hold("prod", old)
    remote.commit("master", {"salt/new.sls": "{}\n"})
    assert served.sync_here().exit_code == 0
    served.assert_serves("master", old)


def spoil_journal(remote: Remote) -> None:
    head = remote.git("rev-parse", JOURNAL_REF)
    remote.git("update-ref", JOURNAL_REF, bad_commit(remote, head))


def test_unreadable_journal_keeps_the_holds_that_are_known(served: Site, remote: Remote) -> None:
    old = remote.head("master")
    held = Journal(remote)
    held.hold("prod", old)
    served.sync_here()
    held.add("unhold", saltenv="prod", reason="over")
    spoil_journal(remote)
    remote.commit("master", {"salt/new.sls": "{}\n"})
    new = remote.commit("develop", {"salt/new.sls": "{}\n"})
    result = served.sync_here()
    assert result.exit_code == 4
    assert "the journal of the remote cannot be read" in result.problems[0]
    served.assert_serves("master", old)
    served.assert_serves("develop", new)


def test_journal_that_was_never_read_stops_the_first_sync(site: Site, remote: Remote) -> None:
    Journal(remote).hold("prod", remote.head("master"))
    spoil_journal(remote)
    ran = site.sync()
    assert ran.code == 1
    assert "the journal of the remote, which says what is held, cannot be read" in ran.err
    assert not site.checkout("master").exists()


def test_the_journal_is_read_before_the_branches(
    served: Site, remote: Remote, tmp_path: Path
) -> None:
    """While it goes on a hold is lifted after the fix was pushed: what is served is never the commit in between."""
    good, bad = remote.head("master"), remote.commit("master", {"salt/bad.sls": "x"})
    held = Journal(remote)
    held.hold("prod", good)
    served.sync_here()
    spoil(remote, "object")
    remote.set_branch(
        "stage", bad_commit(remote, remote.head("stage"))
    )  # so the branches go one by one
    order = tmp_path / "order"
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout
    wrapper.write_text(f'#!/bin/sh\necho "$@" >>{order}\nexec {real.strip()} "$@"\n')
    wrapper.chmod(0o755)
    held.add("unhold", saltenv="prod", reason="over")
    remote.commit("master", {"salt/bad.sls": None})
    served.run("sync", env={"PATH": f"{wrapper.parent}:{os.environ['PATH']}"})
    fetches = [line for line in order.read_text().splitlines() if " fetch " in line]
    single = [line.split(" -- ")[1] for line in fetches if "heads/*" not in line]
    assert single[0].split()[1].startswith(f"+{JOURNAL_REF}:")
    served.assert_serves("master", remote.head("master"))
    assert bad != remote.head("master")


def test_packs_of_fetches_that_were_cut_off_go(served: Site, remote: Remote) -> None:
    packs = served.root / "mirror.git/objects/pack"
    spoil(remote, "object")
    for number in range(3):
        remote.commit("develop", {f"salt/{n}.sls": f"{number} {n}" for n in range(150)})
        served.sync_here()
    assert not list(packs.glob("tmp_*"))
    busy, left = packs / "tmp_pack_abcdef", packs / "tmp_idx_abcdef"
    left.write_text("x")
    with busy.open("w"):  # as by a fetch that outlived the saltbranch that started it
        served.sync_here()
        assert [p.name for p in packs.glob("tmp_*")] == [busy.name]
    served.sync_here()
    assert not list(packs.glob("tmp_*"))


def test_unreachable_remote_is_asked_twice_at_most(
    served: Site, remote: Remote, tmp_path: Path
) -> None:
    served.sync_here()
    remote.path.rename(tmp_path / "away")
    ran = served.sync()
    assert ran.code == 1
    assert "cannot read the remote" in ran.err


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_promotion_beside_a_bad_branch(project: Project) -> None:
    ann = project.clone("ann")
    remote = project.remote
    remote.commit("develop", {"salt/new.sls": "{}\n"}, message="KEY-2 new")
    spoil(remote, "object")
    plan = ann.plan("promote", "stage")
    assert any("feature/oops" in note for note in plan["notes"])
    ann.well("promote", "stage")
    assert project.text("stage", "salt/new.sls") == "{}\n"
    packs = Path(ann.git("rev-parse", "--absolute-git-dir")) / "objects/pack"
    assert not list(packs.glob("tmp_*"))


def test_promotion_to_or_from_a_bad_branch_is_refused(project: Project) -> None:
    ann: Clone = project.clone("ann")
    remote = project.remote
    ann.run("status")
    remote.set_branch("stage", bad_commit(remote, remote.head("stage")))
    before = project.refs()
    for saltenv in ("stage", "prod"):
        ran = ann.run("promote", saltenv, "--yes")
        assert ran.code == 4, ran
        assert "the branch 'stage' of the remote cannot be read" in ran.err
    assert project.refs() == before


def test_promotion_without_the_journal_is_refused(project: Project) -> None:
    ann = project.clone("ann")
    remote = project.remote
    remote.commit("develop", {"salt/new.sls": "{}\n"}, message="KEY-2 new")
    ann.well("promote", "stage")
    spoil_journal(remote)
    remote.commit("develop", {"salt/newer.sls": "{}\n"}, message="KEY-3 newer")
    before = project.refs()
    ran = ann.run("promote", "stage", "--yes")
    assert ran.code == 4, ran
    assert "the journal of the remote cannot be read" in ran.err
    assert project.refs() == before


def spoil_many(remote: Remote, number: int) -> None:
    """So many branches that nobody can fetch."""
    bad = bad_commit(remote, remote.head("master"))
    for n in range(number):
        remote.set_branch(f"bad/{n:03}", bad)


def test_hundreds_of_bad_branches_cost_a_bounded_number_of_connections(
    served: Site, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_many(remote, 201)
    new = remote.commit("master", {"salt/fix.sls": "fix: {test.nop: []}\n"})
    fetches: list[int] = []
    original = Mirror._fetch

    def fetch(*args: Any, **options: Any) -> proc.Finished:
        fetches.append(1)
        return original(*args, **options)

    monkeypatch.setattr(Mirror, "_fetch", fetch)
    result = served.sync_here()
    assert result.exit_code == 0 and len(fetches) < 60
    served.assert_serves("master", new)
    assert len(result.unread) == 201
    assert any("the next run continues" in why for why in result.unread.values())
    assert result.unread_news
    assert not served.sync_here().unread_news, "in whatever order it was tried"


def test_good_branches_among_many_bad_ones_come_in_the_end(served: Site, remote: Remote) -> None:
    spoil_many(remote, 40)
    good = remote.commit("feature/fine", {"salt/fine.sls": "{}\n"})
    for _ in range(20):
        served.sync_here()
        if Mirror(str(served.root)).branches().get("feature/fine") == good:
            return
    raise AssertionError("it never came")


def test_hundreds_of_bad_branches_stop_no_promotion(project: Project) -> None:
    ann = project.clone("ann")
    project.remote.commit("develop", {"salt/new.sls": "{}\n"}, message="KEY-2 new")
    spoil_many(project.remote, 201)
    ann.well("promote", "stage")
    assert project.text("stage", "salt/new.sls") == "{}\n"
