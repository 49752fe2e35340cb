"""A saltenv with `require_signed` serves only what allowed signers vouch for, whichever way it comes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from saltbranch.git.mirror import PRODUCTION
from saltbranch.git.program import Git
from saltbranch.repository import prepared
from saltbranch.serve import signed
from tests.support.flow_site import as_yaml
from tests.support.labs import FEATURE, Labs, short_gap
from tests.support.remote import Content, Link, Remote
from tests.support.signing import Keys, Signing
from tests.support.site import Journal, Site, build_template, result_of


class SignedSite:
    """A master whose model stands on master, with `require_signed` on some saltenvs; all three branches are one."""

    def __init__(self, folder: Path, *names: str, value: object = True, **keys: Any) -> None:
        self.remote = build_template(folder / "remote.git")
        self.keys = Keys(folder / "keys")
        self.by = Signing(self.remote, self.keys)
        self.site = Site(folder, self.remote)
        self.model: dict[str, Any] = {"saltenvs": self.site.settings["saltenvs"]}
        self.site.configure(saltenvs=None)
        self.model["saltenvs"]["stage"] |= {"promote_from": "test", "direct_pushes": "allow"}
        self.model["saltenvs"]["prod"] |= {"promote_from": "stage", "direct_pushes": "allow"}
        for name in names:
            self.model["saltenvs"][name] |= {"require_signed": value, **keys}
        self.signers = "".join(f"{self.keys.line(name)}\n" for name in ("ann", "bob"))
        head = self.by.commit("master", self.files(), "ann")
        for branch in ("stage", "develop"):
            self.remote.set_branch(branch, head)

    def files(self) -> dict[str, Content]:
        return {"saltbranch.yaml": as_yaml(self.model), "allowed_signers": self.signers}

    def begin(self) -> None:
        result = self.site.sync_here()
        assert result.exit_code == 0, [s.message for s in result.saltenvs]

    def head(self, branch: str) -> str:
        return self.remote.head(branch)

    def served(self, branch: str) -> str:
        commit = prepared.load_served(str(self.site.root))[branch].commit
        self.site.assert_serves(branch, commit)
        return commit

    def refused(self, saltenv: str, branch: str, *words: str) -> str:
        """The saltenv stays where it is; what the sync says."""
        before = self.served(branch)
        result = self.site.sync_here()
        mine = result_of(result, saltenv)
        assert mine.state == "refused" and self.served(branch) == before, mine.message
        assert all(word in mine.message for word in words), mine.message
        assert result.exit_code != 0
        return mine.message


@pytest.fixture
def master(tmp_path: Path) -> SignedSite:
    return SignedSite(tmp_path, "stage", "prod")


def change(number: int = 1) -> dict[str, Content]:
    return {f"salt/s{number}.sls": f"s{number}:\n  test.nop: []\n"}


def test_signed_commits_are_served_and_it_says_who_signed(master: SignedSite) -> None:
    master.begin()
    head = master.by.commit("stage", change(), "bob")
    ran = master.site.sync("--json")
    mine = next(s for s in json.loads(ran.out)["saltenvs"] if s["saltenv"] == "stage")
    assert (mine["new"], mine["signed_by"]) == (head, ["bob@example.com"])
    assert "signed by bob@example.com" in mine["message"] and master.served("stage") == head
    status = ("status", "--config", str(master.site.config))
    assert "signed by bob@example.com" in master.site.run_here(*status).out
    rows = json.loads(master.site.run_here(*status, "--json").out)["saltenvs"]
    assert {r["saltenv"]: r["signed_by"] for r in rows}["stage"] == ["bob@example.com"]
    assert signed.load(str(master.site.root), "stage").by == ["bob@example.com"]


def test_an_unsigned_commit_is_refused_on_that_saltenv_alone(master: SignedSite) -> None:
    master.begin()
    develop = master.by.commit("develop", change())
    bad = master.by.commit("stage", change())
    message = master.refused(
        "stage", "stage", bad[:12], "it is not signed", "commit --amend", "still serving"
    )
    assert master.served("develop") == develop and "Ann <ann@example.com>" in message
    master.by.commit("stage", change(2), "ann")  # does not make good what is below
    master.refused("stage", "stage", bad[:12])
    assert bad[:12] in master.site.run_here("status", "--config", str(master.site.config)).out
    master.by.commit("stage", change(), "ann", parents=(master.served("stage"),))
    master.begin()
    assert master.served("stage") == master.head("stage")


def test_a_stranger_is_refused(master: SignedSite) -> None:
    master.begin()
    master.by.commit("stage", change(), "eve")
    master.refused(
        "stage", "stage", "not that of an allowed signer", "allowed_signers of master at"
    )


def test_signers_count_from_the_commit_after_the_one_that_names_them(master: SignedSite) -> None:
    master.begin()
    before = master.served("master")
    master.signers += master.keys.line("eve") + "\n"
    master.by.commit("master", master.files(), "eve")
    master.refused("prod", "master", "not that of an allowed signer")
    assert (
        Git(f"{master.site.root}/mirror.git").out("rev-parse", f"{PRODUCTION}master").strip()
        == before
    )
    new = master.by.commit("master", master.files(), "ann", parents=(before,))
    master.by.commit("master", change(), "eve")
    master.begin()
    assert master.served("master") == master.head("master") != new
    master.by.commit("stage", change(), "eve")
    master.begin()


def test_a_removed_signer_counts_no_more(master: SignedSite) -> None:
    master.begin()
    master.signers = master.keys.line("bob") + "\n"
    removed = master.by.commit("master", master.files(), "ann")
    master.begin()
    assert master.served("master") == removed
    master.by.commit("master", change(), "ann")
    master.refused("prod", "master", "not that of an allowed signer")
    master.by.commit("stage", change(), "ann")
    master.refused("stage", "stage", "not that of an allowed signer")


@pytest.mark.parametrize("trick", ["old branch", "model without it", "journal"])
def test_nobody_gets_round_it_on_production(master: SignedSite, trick: str) -> None:
    """The model in force says that production has to be signed; neither an older one nor the journal says otherwise."""
    master.begin()
    good = master.served("master")
    if trick == "model without it":
        del master.model["saltenvs"]["prod"]["require_signed"]
        master.by.commit("master", master.files())
    elif trick == "old branch":
        root = master.remote.git("rev-list", "--max-parents=0", "master")
        old = master.by.commit("old", change(), parents=(root,))
        evil = master.by.commit(
            "old", {"salt/evil.sls": "e:\n  test.nop: []\n"}, parents=(old, good), tree=good
        )
        master.remote.set_branch("master", evil)
    else:
        evil = master.by.commit("master", change())
        names = {"saltenv": "prod", "branch": "master", "old": good, "new": evil}
        Journal(master.remote).add("promotion", **names, source="stage", commits=1)
        rows = [{"saltenv": "prod", "branch": "master", "old": good, "new": evil}]
        Journal(master.remote).add("sync", master="m", saltenvs=rows)
    master.refused("prod", "master", "nobody vouches for commit")
    git = Git(f"{master.site.root}/mirror.git")
    assert git.out("rev-parse", f"{PRODUCTION}master").strip() == good


def test_the_quick_road_asks_too(master: SignedSite) -> None:
    """Production moves on with the same saltbranch.yaml, and its signers count for stage."""
    master.begin()
    good = master.served("master")
    evil = master.by.commit("master", {"allowed_signers": master.keys.line("eve") + "\n"})
    master.by.commit("stage", change(), "eve")
    master.refused("prod", "master", evil[:12])
    master.refused("stage", "stage", "not that of an allowed signer", f"master at {good[:12]}")


def test_a_master_that_does_not_serve_production_asks_about_it(master: SignedSite) -> None:
    master.site.configure(serves=["stage"])
    master.begin()
    master.by.commit("master", {"allowed_signers": master.keys.line("eve") + "\n"})
    master.by.commit("stage", change(), "eve")
    master.refused("stage", "stage", "not that of an allowed signer")


@pytest.mark.parametrize(
    "content",
    [None, "", "# nobody\n", Link("salt/top.sls"), "x" * 1_000_001],
    ids=["missing", "empty", "nobody", "link", "large"],
)
def test_without_signers_nothing_is_vouched_for(tmp_path: Path, content: Content) -> None:
    master = SignedSite(tmp_path, "stage")
    master.begin()
    master.by.commit("master", {"allowed_signers": content}, "ann")
    master.by.commit("stage", change(), "ann")
    master.refused("stage", "stage", "nobody vouches for anything by allowed_signers of master at")


def test_lines_in_the_model_need_no_file(tmp_path: Path) -> None:
    line = Keys(tmp_path / "keys").line("cid")
    master = SignedSite(tmp_path, "stage", value=[line])
    head = master.by.commit("stage", change(), "cid")
    master.begin()
    assert master.served("stage") == head
    master.by.commit("stage", change(2), "ann")
    master.refused("stage", "stage", "does not count by the model")


def test_a_first_sync_asks_about_the_head_alone(tmp_path: Path) -> None:
    master = SignedSite(tmp_path, "stage")
    master.by.commit("stage", change())
    bad = master.head("stage")
    result = master.site.sync_here()
    assert (
        result_of(result, "stage").state == "refused"
        and bad[:12] in result_of(result, "stage").message
    )
    assert not master.site.checkout("stage").exists()
    master.by.commit("stage", change(2), "ann")
    master.begin()
    assert master.served("stage") == master.head("stage")


def test_a_master_does_not_begin_with_a_production_branch_that_nobody_signed(
    master: SignedSite,
) -> None:
    bad = master.by.commit("master", change())
    ran = master.site.sync()
    assert ran.code != 0 and bad[:12] in ran.err and "not signed" in ran.err


def test_it_counts_from_the_commit_that_turns_it_on(tmp_path: Path) -> None:
    master = SignedSite(tmp_path)
    master.begin()
    for number in range(2):
        master.by.commit("stage", change(number))
    master.begin()
    for name in ("stage", "prod"):
        master.model["saltenvs"][name]["require_signed"] = True
    master.by.commit("master", master.files())  # nobody asks for a signature yet
    master.begin()
    assert master.served("master") == master.head("master")
    master.by.commit("stage", change(3))
    master.by.commit("master", change(3))
    master.refused("stage", "stage", "it is not signed")
    master.refused("prod", "master", "it is not signed")


def test_a_hold_at_what_was_served_is_possible_and_at_anything_else_is_not(
    master: SignedSite,
) -> None:
    master.begin()
    old = master.served("stage")
    new = master.by.commit("stage", change(), "ann")
    master.begin()
    Journal(master.remote).hold("stage", old)
    master.begin()
    assert master.served("stage") == old
    evil = master.by.commit("evil", change(2), parents=(new,))
    Journal(master.remote).hold("stage", evil)
    master.refused("stage", "stage", evil[:12], "not signed")
    master.signers = master.keys.line("bob") + "\n"  # what ann signed was accepted before
    master.by.commit("master", master.files(), "ann")
    Journal(master.remote).add("unhold", saltenv="stage", reason="x")
    master.begin()
    assert master.served("stage") == new


def test_a_tag_names_what_is_judged(tmp_path: Path) -> None:
    master = SignedSite(tmp_path, "stage", follow={"tags": "^v"})
    master.remote.git("tag", "v1", master.head("stage"))
    master.begin()
    bad = master.by.commit("stage", change())
    master.remote.git("tag", "v2", bad)
    master.refused("stage", "stage", bad[:12], "not signed")
    master.by.commit("stage", change(), "ann", parents=(master.served("stage"),))
    master.remote.git("tag", "v3", master.head("stage"))
    master.begin()
    assert master.served("stage") == master.head("stage")


def test_a_rewritten_branch_is_judged_and_protected_as_before(tmp_path: Path) -> None:
    master = SignedSite(tmp_path, "stage")
    master.begin()
    begin = master.served("stage")
    master.by.commit("stage", change(), "ann")
    master.begin()
    master.by.commit("stage", change(2), parents=(begin,))
    master.refused("stage", "stage", "not signed")
    head = master.by.commit("stage", change(2), "ann", parents=(begin,))
    result = master.site.sync_here()
    assert result_of(result, "stage").state == "rewritten" and master.served("stage") == head


def test_a_plan_changes_nothing_and_tells_the_same(master: SignedSite) -> None:
    master.begin()
    bad = master.by.commit("stage", change())
    ran = master.site.sync("--plan")
    assert bad[:12] in ran.out + ran.err and "not signed" in ran.out + ran.err
    assert signed.load(str(master.site.root), "stage").seen == {}


def test_a_torn_memory_is_none(master: SignedSite) -> None:
    master.begin()
    root = str(master.site.root)
    whole = Path(signed.path(root, "stage")).read_text()
    for text in (whole[:-3], "", "junk", whole.replace("saltbranch signed 1", "x")):
        Path(signed.path(root, "stage")).write_text(text)
        assert signed.load(root, "stage") == signed.Memory()
    master.by.commit("stage", change(), "ann")
    master.begin()


def test_what_is_remembered_has_a_bound(
    master: SignedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may push can make commits without an end, and push others each time."""
    master.begin()
    monkeypatch.setattr(signed, "_MOST", 3)
    good = master.served("stage")
    for turn in range(3):
        master.by.commit("stage", change(turn), "ann", parents=(good,))
        master.by.commit("stage", change(turn + 9), "eve")
        master.refused("stage", "stage", "not that of an allowed signer")
        found = signed.load(str(master.site.root), "stage")
        assert len(found.known) <= 3 and len(found.seen) <= 3
    assert len(found.seen) == 3


def test_the_file_of_signers_counts_that_is_named(tmp_path: Path) -> None:
    master = SignedSite(tmp_path, "stage", value="keys/of the team")
    master.by.commit("master", {"keys/of the team": master.keys.line("cid")}, "ann")
    master.by.commit("stage", change(), "cid")
    master.begin()
    master.by.commit("stage", change(2), "cid")
    master.begin()
    assert isinstance(master.remote, Remote) and master.served("stage") == master.head("stage")


@pytest.fixture
def labs(tmp_path: Path) -> tuple[SignedSite, Labs]:
    master = SignedSite(tmp_path, "test")
    master.site.configure(saltenvs=None, labs=2)
    master.begin()
    master.remote.set_branch(FEATURE, master.head("develop"))
    return master, Labs(master.site, Journal(master.remote))


@pytest.mark.parametrize("trick", ["commit", "merge"])
def test_labs_ask_as_the_saltenvs_do_whose_minions_they_may_have(
    labs: tuple[SignedSite, Labs], trick: str
) -> None:
    """Whoever may push can push a branch and claim a lab for it, with minions of a saltenv."""
    master, lab = labs
    good = master.head("develop")
    signed_ = master.by.commit("other", change(2), "ann", parents=(good,))
    bad = master.by.commit(FEATURE, change())
    if trick == "merge":
        master.by.merge(FEATURE, signed_)
    lab.claim(1, FEATURE, "test7")
    with short_gap(0):
        mine = result_of(master.site.sync_here(), "lab1")
        assert mine.state == "refused" and bad[:12] in mine.message, mine.message
        assert "not signed" in mine.message and lab.served(1) == {}
        assert lab.lent().lent == {}
        master.by.commit(FEATURE, change(3), "bob", parents=(good,))
        row = result_of(master.site.sync_here(), "lab1")
    assert row.new == master.head(FEATURE) and [*row.signed_by] == ["bob@example.com"]
    assert "s3.sls" in lab.served(1)
    master.by.commit(FEATURE, change(4))
    mine = result_of(master.site.sync_here(), "lab1")
    assert mine.state == "refused" and "s4.sls" not in lab.served(1)


def test_in_a_living_repository_what_production_had_before_may_be_merged_back(
    tmp_path: Path,
) -> None:
    """The hotfix of before is in production; no signature of it can be made up for any more."""
    master = SignedSite(tmp_path)
    master.begin()
    hotfix = master.by.commit("master", change(7))
    master.by.commit("stage", change(8))
    master.begin()
    for name in ("test", "stage", "prod"):
        master.model["saltenvs"][name]["require_signed"] = True
    master.by.commit("master", master.files(), "ann")
    master.begin()
    for branch in ("develop", "stage"):
        master.by.merge(branch, master.head("master"))
    master.begin()
    assert master.served("stage") == master.head("stage") and hotfix
    master.by.commit("develop", change(9), "bob")
    for branch, source in (("stage", "develop"), ("master", "stage")):
        master.by.merge(branch, master.head(source))
        if branch == "stage":
            master.begin()
    said = master.refused("prod", "master", "'change'", "it is not signed")  # of stage, from before
    assert f"git switch --detach {master.head('master')[:12]}" in said
    master.remote.set_branch("master", master.served("master"))
    master.by.merge("master", master.head("stage"), "ann")
    master.begin()
