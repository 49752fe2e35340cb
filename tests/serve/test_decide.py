"""Which commit is served: holds in the journal, tags, the branch; and what is not believed."""

from __future__ import annotations

import json
import shutil
import time

import pytest

from saltbranch.base.durations import iso
from saltbranch.git.mirror import KEPT_REF
from saltbranch.git.program import Git
from tests.support.remote import Remote
from tests.support.site import Journal, Site, result_of

pytestmark = pytest.mark.core

FINAL = r"^v[0-9]+(\.[0-9]+)*$"


@pytest.fixture
def journal(remote: Remote) -> Journal:
    return Journal(remote)


@pytest.fixture
def following(site: Site, remote: Remote) -> Site:
    """prod, which is protected, follows version tags and serves v1.0.0."""
    site.settings["saltenvs"]["prod"]["follow"] = {"tags": FINAL}
    site.configure()
    remote.git("tag", "v1.0.0", remote.head("master"))
    assert site.sync_here().exit_code == 0
    return site


def row(site: Site, saltenv: str = "prod") -> dict[str, object]:
    """What ``sync --json`` says of a saltenv."""
    rows = json.loads(site.sync("--json").out)["saltenvs"]
    return next(r for r in rows if r["saltenv"] == saltenv)


def release(remote: Remote, tag: str, number: int) -> str:
    """A commit on master with a tag."""
    commit = remote.commit("master", {"pillar/app.sls": f"release: {number}\n"})
    remote.git("tag", "--annotate", "--message", tag, tag, commit)
    return commit


# Holds


def test_hold_is_served_whatever_the_branch_says(
    served: Site, remote: Remote, journal: Journal
) -> None:
    old = remote.head("master")
    new = remote.commit("master", {"salt/bad.sls": ""})
    journal.hold("prod", old)
    ran = served.sync()
    assert (ran.code, ran.err) == (0, "")
    assert (
        f"prod: master at {old[:12]}, unchanged, held at {old[:12]}: it breaks the app" in ran.out
    )
    remote.commit("master", {"salt/worse.sls": ""})
    for _ in range(2):
        said = row(served)
        assert (said["why"], said["held"], said["new"]) == ("hold", "it breaks the app", old)
    served.assert_serves("master", old)
    journal.add("unhold", saltenv="prod")
    assert row(served)["why"] == "branch"
    served.assert_serves("master", remote.head("master"))
    assert new != old


def test_rollback_on_a_protected_saltenv_is_no_rewritten_branch(
    served: Site, remote: Remote, journal: Journal
) -> None:
    old = remote.head("master")
    for number in range(2):
        remote.commit("master", {"salt/new.sls": f"{number}\n"})
    served.sync_well()
    journal.add("rollback", saltenv="prod", commit=old, reason="back")
    said = result_of(served.sync_here(), "prod")
    assert (said.state, said.why, said.new) == ("switched", "hold", old)
    served.assert_serves("master", old)
    # A later hold elsewhere, at a commit beside the branch, and home again.
    beside = remote.commit("fix", {"salt/fix.sls": ""}, parents=(old,), tree=old)
    journal.hold("prod", beside)
    assert result_of(served.sync_here(), "prod").state == "switched"
    served.assert_serves("master", beside)
    journal.add("unhold", saltenv="prod")
    said = result_of(served.sync_here(), "prod")
    assert (said.state, said.why, said.message) == ("switched", "branch", "")
    served.sync_well()


def test_rewritten_branch_is_still_refused_when_the_hold_is_long_gone(
    served: Site, remote: Remote, journal: Journal
) -> None:
    head = remote.head("master")
    journal.hold("prod", head)
    served.sync_here()
    journal.add("unhold", saltenv="prod")
    assert not served.sync_here().changed
    remote.rewrite("master", {"salt/other.sls": ""})
    said = result_of(served.sync_here(), "prod")
    assert said.state == "refused" and "was rewritten" in said.message
    served.assert_serves("master", head)


def test_leaving_a_hold_is_known_from_the_journal_where_the_record_is_gone(
    served: Site, remote: Remote, journal: Journal
) -> None:
    beside = remote.commit("fix", {"salt/fix.sls": ""}, parents=(remote.head("master"),))
    journal.hold("prod", beside)
    served.sync_here()
    journal.add("unhold", saltenv="prod")
    for name in ("served", "choices", "prepared"):
        (served.root / "state" / name).unlink()
    assert result_of(served.sync_here(), "prod").state == "switched"
    served.sync_well()


def test_held_commit_is_fetched_though_no_branch_has_it(
    site: Site, remote: Remote, journal: Journal
) -> None:
    lost = remote.commit("fix", {"salt/fix.sls": ""}, parents=(remote.head("master"),))
    journal.hold("prod", lost)
    remote.delete_branch("fix")
    said = result_of(site.sync_here(), "prod")
    assert (said.state, said.new) == ("first", lost)
    site.assert_serves("master", lost)


def test_hold_at_an_unknown_commit_leaves_what_is_served(
    served: Site, remote: Remote, journal: Journal
) -> None:
    head = remote.head("master")
    journal.hold("prod", "1" * 40)
    remote.commit("master", {"salt/new.sls": ""})
    ran = served.sync()
    assert ran.code == 20
    assert "held at 111111111111" in ran.err and f"still serving {head[:12]}" in ran.err
    served.assert_serves("master", head)


def test_hold_ends_by_itself(served: Site, remote: Remote, journal: Journal) -> None:
    old = remote.head("master")
    journal.hold("prod", old, until=iso(time.time() + 3))
    new = remote.commit("master", {"salt/new.sls": ""})
    assert row(served)["why"] == "hold"
    time.sleep(3)
    assert row(served)["why"] == "branch"
    served.assert_serves("master", new)


def test_hold_moves_and_lifts_with_a_promotion(
    served: Site, remote: Remote, journal: Journal
) -> None:
    old = remote.head("master")
    journal.hold("prod", old)
    served.sync_here()
    fix = remote.commit("fix", {"salt/fix.sls": ""}, parents=(old,), tree=old)
    facts = {"saltenv": "prod", "branch": "master", "source_commit": old, "old": old, "new": old}
    journal.add("promotion", **facts, hold_moves_to=fix)
    served.sync_here()
    served.assert_serves("master", fix)
    journal.add("promotion", **facts, lifts_hold=True)
    served.sync_well()


def test_reason_of_a_hold_cannot_steer_the_terminal(
    served: Site, remote: Remote, journal: Journal
) -> None:
    journal.hold("prod", remote.head("master"), reason="a\x1b[31m\tb\nsources\nc" + "x" * 5000)
    for _ in range(2):
        ran = served.sync()
        assert "\x1b" not in ran.out and "a\N{REPLACEMENT CHARACTER}[31m b sources cxxx" in ran.out


# The journal that is believed


@pytest.mark.parametrize("what", ["removed", "rewritten"])
def test_holds_stay_when_the_journal_does_not_go_on(
    served: Site, remote: Remote, journal: Journal, what: str
) -> None:
    old = remote.head("master")
    journal.hold("prod", old)
    served.sync_here()
    kept = journal.head()
    assert kept
    remote.git("update-ref", "-d", "refs/saltbranch/journal")
    if what == "rewritten":
        journal.add("unhold", saltenv="prod")
    remote.commit("master", {"salt/new.sls": ""})
    for _ in range(2):
        ran = served.sync("--quiet")
        assert ran.code == 4 and "was rewritten or removed" in ran.err and kept in ran.err
        served.assert_serves("master", old)
    (served.root / "state" / "choices").unlink()
    assert served.sync().code == 4
    served.assert_serves("master", old)
    remote.git("fetch", str(served.root / "mirror.git"), KEPT_REF)
    remote.git("update-ref", "refs/saltbranch/journal", kept)
    assert served.sync().code == 0
    served.assert_serves("master", old)


def test_garbage_in_the_journal_holds_nothing_and_breaks_nothing(
    served: Site, remote: Remote, journal: Journal
) -> None:
    journal.hold("prod", remote.head("master"))
    tree = remote.git("mktree")
    for text in (
        "no json",
        "x\n\n[1]",
        'x\n\n{"version": 1, "event": "unhold", "saltenv": "prod"}',
    ):
        head = journal.head()
        assert head
        made = remote.git("commit-tree", "-p", head, "-m", text, tree)
        remote.git("update-ref", "refs/saltbranch/journal", made)
    remote.commit("master", {"salt/new.sls": ""})
    assert row(served)["why"] == "hold"


def test_journal_is_read_on_from_where_it_was_read(
    served: Site, remote: Remote, journal: Journal
) -> None:
    old = remote.head("master")
    journal.hold("prod", old)
    served.sync_here()
    remote.commit("master", {"salt/new.sls": ""})
    journal.add("tag", branch="master", tag="v1")
    assert row(served)["why"] == "hold"  # it stands in the part that is not read again
    served.assert_serves("master", old)


@pytest.mark.parametrize("name", ["choices", "served", "prepared"])
@pytest.mark.parametrize("content", [b"", b"torn", b"saltbranch choices 1\nsources\n\nend", None])
def test_torn_caches_change_nothing(
    served: Site, remote: Remote, journal: Journal, name: str, content: bytes | None
) -> None:
    old = remote.head("master")
    journal.hold("prod", old)
    served.sync_here()
    path = served.root / "state" / name
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    remote.commit("master", {"salt/new.sls": ""})
    assert row(served)["why"] == "hold"
    served.assert_serves("master", old)


# Tags


def test_highest_version_on_the_branch_is_served(following: Site, remote: Remote) -> None:
    assert row(following)["tag"] == "v1.0.0"
    release(remote, "v1.9.0", 9)
    ten = release(remote, "v1.10.0", 10)
    release(remote, "v1.11.0-rc.1", 11)  # another pattern's
    side = remote.commit("side", {"salt/x.sls": ""}, parents=(ten,), tree=ten)
    remote.git("tag", "v2.0.0", side)  # on no branch of prod
    ran = following.sync()
    assert (ran.code, ran.err) == (0, "")
    assert "prod: master switched" in ran.out and ", tag v1.10.0" in ran.out
    following.assert_serves("master", ten)
    said = row(following)
    assert (said["why"], said["tag"], said["changed"]) == ("tag", "v1.10.0", False)
    following.assert_serves("develop", remote.head("develop"))


def test_head_without_a_tag_is_not_served(following: Site, remote: Remote) -> None:
    old = remote.head("master")
    remote.commit("master", {"salt/new.sls": ""})
    assert not following.sync_here().changed
    following.assert_serves("master", old)


def test_to_follow_tags_may_go_back_from_the_head(served: Site, remote: Remote) -> None:
    tagged = release(remote, "v1.0.0", 1)
    remote.commit("master", {"salt/new.sls": ""})
    served.sync_well()
    served.settings["saltenvs"]["prod"]["follow"] = {"tags": FINAL}
    served.configure()
    said = result_of(served.sync_here(), "prod")
    assert (said.state, said.tag) == ("switched", "v1.0.0")
    served.assert_serves("master", tagged)


def test_model_in_the_repository_that_begins_to_follow_tags(site: Site, remote: Remote) -> None:
    saltenvs = site.settings["saltenvs"]
    text = json.dumps({"saltenvs": saltenvs})
    remote.commit("master", {"saltbranch.yaml": text})
    site.configure(saltenvs=None)
    site.sync_here()
    saltenvs["prod"]["follow"] = {"tags": FINAL}
    tagged = remote.commit("master", {"saltbranch.yaml": json.dumps({"saltenvs": saltenvs})})
    remote.git("tag", "v1", tagged)
    said = result_of(site.sync_here(), "prod")
    assert (said.why, said.tag, said.new) == ("tag", "v1", tagged)


def test_no_tag_yet(site: Site, remote: Remote) -> None:
    site.settings["saltenvs"]["prod"]["follow"] = {"tags": FINAL}
    site.configure()
    ran = site.sync()
    assert ran.code == 20
    assert "prod: missing: no tag on branch 'master' matches" in ran.err
    assert "nothing is served" in ran.err
    assert site.shown("master") is None
    release(remote, "v0.1", 1)
    assert site.sync().code == 0
    site.assert_serves("master", remote.head("master"))


def test_no_tag_but_something_is_served(served: Site, remote: Remote) -> None:
    head = remote.head("master")
    served.settings["saltenvs"]["prod"]["follow"] = {"tags": FINAL}
    served.configure()
    ran = served.sync()
    assert ran.code == 20 and f"still serving {head[:12]}" in ran.err
    served.assert_serves("master", head)


@pytest.mark.parametrize("off", [False, True])
def test_moved_tag_is_refused_on_a_protected_saltenv(
    following: Site, remote: Remote, off: bool
) -> None:
    old = remote.head("master")
    branch = "side" if off else "master"
    new = remote.commit(branch, {"salt/new.sls": ""}, parents=(old,), tree=old)
    remote.git("tag", "--force", "v1.0.0", new)
    for _ in range(2):
        ran = following.sync("--quiet")
        assert ran.code == 4
        assert f"tag v1.0.0, which prod serves, was moved to {new[:12]}" in ran.err
        assert f"{old}:refs/tags/v1.0.0" in ran.err
        following.assert_serves("master", old)
    higher = release(remote, "v1.0.1", 1)
    assert following.sync().code == 0
    following.assert_serves("master", higher)


def test_moved_tag_is_followed_and_said_elsewhere(following: Site, remote: Remote) -> None:
    following.settings["saltenvs"]["prod"]["protected"] = False
    following.configure()
    following.sync_here()
    old = remote.head("master")
    new = remote.commit("master", {"salt/new.sls": ""})
    remote.git("tag", "--force", "v1.0.0", new)
    ran = following.sync()
    assert ran.code == 0 and f"tag v1.0.0 was moved from {old[:12]}" in ran.out
    following.assert_serves("master", new)
    assert "moved" not in following.sync().out


@pytest.mark.parametrize("protected", [True, False])
def test_deleted_tag_takes_nobody_back(following: Site, remote: Remote, protected: bool) -> None:
    following.settings["saltenvs"]["prod"]["protected"] = protected
    following.configure()
    new = release(remote, "v1.1.0", 1)
    following.sync_here()
    remote.git("tag", "--delete", "v1.1.0")
    for _ in range(2):
        ran = following.sync()
        assert ran.code == (4 if protected else 0)
        said = ran.err if protected else ran.out
        assert "tag v1.1.0, which prod serves, was deleted" in said
        assert "hold prod --at v1.0.0" in said
        following.assert_serves("master", new)
    (following.root / "state" / "prepared").unlink()
    following.sync_here()
    following.assert_serves("master", new)
    remote.git("tag", "v1.1.0", new)
    assert following.sync().code == 0


def test_going_back_to_an_older_version_goes_by_a_hold(
    following: Site, remote: Remote, journal: Journal
) -> None:
    first = remote.head("master")
    release(remote, "v1.1.0", 1)
    following.sync_here()
    remote.git("tag", "--delete", "v1.1.0")
    journal.hold("prod", first)
    assert following.sync().code == 0
    journal.add("unhold", saltenv="prod")
    said = result_of(following.sync_here(), "prod")
    assert (said.why, said.tag, said.new, said.message) == ("tag", "v1.0.0", first, "")


def test_last_tag_is_deleted(following: Site, remote: Remote) -> None:
    head = remote.head("master")
    remote.git("tag", "--delete", "v1.0.0")
    assert following.sync().code == 4
    following.assert_serves("master", head)


def test_odd_tags_are_passed_over(following: Site, remote: Remote) -> None:
    blob = remote.git("hash-object", "-w", "--stdin", stdin=b"x")
    remote.git("tag", "v7", blob)
    remote.git("tag", "v8", f"{remote.head('master')}^{{tree}}")
    remote.git("tag", "v1.5\N{LINE SEPARATOR}x", remote.head("master"))
    twice = release(remote, "v2.0", 2)
    remote.git("tag", "-a", "-m", "x", "v2.1", "v2.0")  # a tag of a tag
    said = result_of(following.sync_here(), "prod")
    assert (said.tag, said.new) == ("v2.1", twice)
    assert not following.sync_here().changed


def test_tags_are_fetched_only_where_they_are_followed(served: Site, remote: Remote) -> None:
    remote.git("tag", "v1", remote.head("master"))
    served.sync_here()
    git = Git(str(served.root / "mirror.git"))
    assert git.out("for-each-ref", "refs/tags") == ""


def test_plan_shows_holds_and_tags_and_keeps_nothing(
    following: Site, remote: Remote, journal: Journal
) -> None:
    old = remote.head("master")
    new = release(remote, "v1.1.0", 1)
    kept = (following.root / "state" / "choices").read_bytes()
    ran = following.sync("--plan")
    assert ran.code == 3 and f"{old[:12]} -> {new[:12]}, tag v1.1.0" in ran.out
    journal.hold("prod", old)
    assert following.sync("--plan").code == 0
    assert (following.root / "state" / "choices").read_bytes() == kept
    assert Git(str(following.root / "mirror.git")).commit_or_none(KEPT_REF) is None
    following.assert_serves("master", old)


def test_rebuilt_mirror_keeps_to_holds_and_tags(
    following: Site, remote: Remote, journal: Journal
) -> None:
    old = remote.head("master")
    journal.hold("prod", old)
    following.sync_here()
    release(remote, "v1.1.0", 1)
    shutil.rmtree(following.root / "mirror.git" / "objects")
    kept = remote.git("rev-parse", "refs/saltbranch/journal")
    remote.git("update-ref", "-d", "refs/saltbranch/journal")
    journal.add("unhold", saltenv="prod")  # and just then somebody rewrites the journal
    assert following.sync().code == 4
    following.assert_serves("master", old)
    remote.git("update-ref", "refs/saltbranch/journal", kept)
    result = following.sync_here()
    said = result_of(result, "prod")
    assert (result.exit_code, said.why, said.new) == (0, "hold", old)
    following.assert_serves("master", old)


def test_many_tags_do_not_stay_loose_files(following: Site, remote: Remote) -> None:
    new = release(remote, "v1.1.0", 1)
    for number in range(40):
        remote.git("tag", f"v0.{number}", new)
    following.sync_here()
    mirror = following.root / "mirror.git"
    assert list((mirror / "refs" / "tags").iterdir()) == []
    assert not following.sync_here().changed
    following.assert_serves("master", new)


def test_damaged_journal_is_fetched_anew(served: Site, remote: Remote, journal: Journal) -> None:
    old = remote.head("master")
    packs = served.root / "mirror.git" / "objects" / "pack"
    before = set(packs.iterdir())
    journal.hold("prod", old)
    served.sync_here()
    brought = set(packs.iterdir()) - before
    assert brought
    for path in brought:
        path.unlink()
    (served.root / "state" / "choices").unlink()
    remote.commit("master", {"salt/new.sls": ""})
    result = served.sync_here()
    assert result.exit_code == 0 and any("the mirror was damaged" in note for note in result.notes)
    assert result_of(result, "prod").why == "hold"
    served.assert_serves("master", old)
    assert not served.sync_here().changed


def test_packs_of_a_busy_journal_are_put_together(
    served: Site, remote: Remote, journal: Journal
) -> None:
    packs = served.root / "mirror.git" / "objects" / "pack"
    for number in range(60):
        journal.add("sync", master="elsewhere", saltenvs=[], number=number)
        assert not served.sync_here().changed
    assert len(list(packs.glob("*.pack"))) < 30
    assert Git(str(served.root / "mirror.git")).commit_or_none(KEPT_REF) == journal.head()
