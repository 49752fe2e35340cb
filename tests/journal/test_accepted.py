"""What stands in the place of the journal and is none, and reasons that are too long: said, and serving goes on."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from saltbranch.git.mirror import JOURNAL_REF, Mirror
from saltbranch.journal import accepted
from saltbranch.repository import clone as clones
from saltbranch.repository import decision
from saltbranch.repository.remote import Repository, open_clone
from tests.support.flow_site import FlowSite
from tests.support.remote import Remote
from tests.support.site import Journal, Site

KINDS = ("blob", "tree", "tag", "below")


@pytest.fixture
def chain(served: Site) -> Site:
    """A master that serves three saltenvs, each promoted from the one before."""
    for saltenv, before in (("stage", "test"), ("prod", "stage")):
        served.settings["saltenvs"][saltenv]["promote_from"] = before
    served.configure()
    served.sync_well()
    return served


def spoil(remote: Remote, kind: str) -> str:
    """Put something else into the place of the journal; how people see it named."""
    if kind == "below":
        if Journal(remote).head():
            remote.git("update-ref", "-d", JOURNAL_REF)
        remote.git("update-ref", f"{JOURNAL_REF}/x y".replace(" ", "-"), remote.head("master"))
        return f"{JOURNAL_REF}/x-y is in the way of {JOURNAL_REF}"
    if kind == "tag":
        remote.git("tag", "-a", "-m", "x", "t", Journal(remote).head() or "master")
    word = {"blob": "master:salt/top.sls", "tree": "master^{tree}", "tag": "refs/tags/t"}[kind]
    remote.git("update-ref", JOURNAL_REF, remote.git("rev-parse", word))
    return f"the journal of the remote is a {kind} and not a commit"


def problem_of(site: Site) -> str:
    (found,) = json.loads(site.run_here("status", "--config", str(site.config), "--json").out)[
        "problems"
    ]
    return str(found)


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_journal_counts_on_and_everything_says_what_is_wrong(
    chain: Site, remote: Remote, kind: str
) -> None:
    old = remote.head("master")
    Journal(remote).hold("prod", old, reason="not yet")
    chain.sync_well()
    good = Journal(remote).head()
    said = spoil(remote, kind)
    new = remote.commit("develop", {"salt/new.sls": ""})
    remote.commit("master", {"salt/late.sls": ""})

    for _ in range(2):  # nothing has changed for the second one, and it says the same
        ran = chain.sync()
        assert (ran.code, said in ran.err) == (4, True), ran
    chain.assert_serves("develop", new)
    chain.assert_serves("master", old)
    assert said in problem_of(chain) and f"{good}:{JOURNAL_REF}" in problem_of(chain)
    assert "to accept" not in problem_of(chain), "that can be no journal"
    doctor = chain.run_here("doctor", "--config", str(chain.config))
    assert (doctor.code, said in doctor.out) == (1, True)

    before = remote.git("for-each-ref")
    for words in (("promote", "stage", "--yes"), ("hold", "stage", "--reason", "x", "--yes")):
        ran = chain.run_here(*words, "--config", str(chain.config))
        assert (ran.code, said in ran.err) == (4, True), ran
    plan = chain.run_here("promote", "stage", "--plan", "--config", str(chain.config))
    assert plan.code == 4 and "gate hold: cannot-tell, what is held is not known" in plan.out
    assert "not yet" in chain.run_here("history", "--config", str(chain.config)).out
    assert remote.git("for-each-ref") == before, "nothing is lost"

    if kind == "below":
        remote.git("update-ref", "-d", f"{JOURNAL_REF}/x-y")
    remote.git("update-ref", JOURNAL_REF, str(good))  # what the hint says
    assert chain.sync().code == 0
    assert json.loads(chain.run_here("status", "--config", str(chain.config), "--json").out)[
        "problems"
    ] == []  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_where_there_never_was_a_journal_it_is_said_too_and_mended_by_removing_it(
    chain: Site, remote: Remote, kind: str
) -> None:
    said = spoil(remote, kind)
    new = remote.commit("develop", {"salt/new.sls": ""})

    ran = chain.sync()

    assert (ran.code, said in ran.err) == (4, True), ran
    assert "push REMOTE --delete refs/saltbranch/journal" in ran.err
    chain.assert_serves("develop", new)
    where = f"{JOURNAL_REF}/x-y" if kind == "below" else JOURNAL_REF
    remote.git("update-ref", "-d", where)
    chain.sync_well()
    ran = chain.run_here("hold", "prod", "--reason", "x", "--yes", "--config", str(chain.config))
    assert ran.code == 0, ran


@pytest.mark.parametrize("kind", KINDS)
def test_a_clone_refuses_to_promote_and_does_not_remember_it(flow: FlowSite, kind: str) -> None:
    flow.push("develop")
    flow.to_prod()
    flow.push("develop")
    said = spoil(flow.remote, kind)
    fix = f":{JOURNAL_REF}"
    for words in (
        ("promote", "stage", "--yes"), ("hold", "prod", "--reason", "x", "--plan"),
        ("rollback", "prod", "--reason", "x", "--plan"), ("accept", "prod", "--reason", "x", "--yes"),
    ):  # fmt: skip
        refused = flow.refused(*words)
        assert said in refused and fix in refused, words
    for words in (("history",), ("where", "develop"), ("changelog", "prod"), ("status",)):
        ran = flow.run(*words)
        assert said in ran.err and fix in ran.err, words
        (problem,) = json.loads(flow.run(*words, "--json").out)["problems"]
        assert said in problem and fix in problem, words
    kept = flow.git("for-each-ref", "--format=%(objecttype)", "refs/saltbranch-kept/journal")
    assert kept == "commit", "the last good one"


@pytest.mark.parametrize("kind", KINDS)
def test_a_clone_that_never_saw_a_journal_does_not_remember_it(flow: FlowSite, kind: str) -> None:
    flow.push("develop")
    said = spoil(flow.remote, kind)
    assert said in flow.refused("promote", "stage", "--yes")
    assert flow.git("for-each-ref", "refs/saltbranch-kept/journal") == ""


@pytest.mark.parametrize("content", ["", "1" * 40 + "\n"])
def test_a_journal_whose_file_is_broken_after_it_was_a_blob_is_named(
    flow: FlowSite, content: str
) -> None:
    flow.push("develop")
    spoil(flow.remote, "blob")
    flow.run("history")
    (flow.remote.path / JOURNAL_REF).write_text(content)
    for words in (("hold", "prod", "--reason", "x", "--yes"), ("promote", "stage", "--yes")):
        ran = flow.run(*words)
        assert ran.code == 4 and "the journal of the remote cannot be read" in ran.err, ran
    assert "the journal of the remote cannot be read" in flow.run("where", "develop").err


def test_a_promotion_on_a_master_knows_the_journal_that_its_syncs_believed(
    chain: Site, remote: Remote
) -> None:
    """One answer: what sync holds, promote does not take for free."""
    Journal(remote).hold("stage", remote.head("stage"), reason="not yet")
    chain.sync_well()
    remote.git("update-ref", "-d", JOURNAL_REF)

    ran = chain.run_here("promote", "stage", "--yes", "--config", str(chain.config))

    assert (ran.code, "was rewritten or removed" in ran.err) == (4, True), ran


@pytest.mark.parametrize("change", ["goes on", "rewound", "rewritten", "removed", *KINDS])
def test_a_master_its_verbs_and_a_clone_believe_one_journal(
    chain: Site, remote: Remote, tmp_path: Path, change: str
) -> None:
    told, held = Journal(remote), remote.head("master")
    told.hold("prod", held, reason="seen by all")
    chain.sync_well()
    first = told.head()
    told.hold("stage", held, reason="seen by verbs alone")
    second = told.head()
    path = str(tmp_path / "clone")
    subprocess.run(["git", "clone", "--quiet", str(remote.path), path], check=True)
    clone = clones.find(path)
    assert clone
    verbs = {
        "clone": open_clone(clone, timeout=60, remote="origin"),
        "master": Repository(str(chain.root / "mirror.git"), str(remote.path), timeout=60),
    }
    assert {repo.fetch().journal for repo in verbs.values()} == {second}

    match change:
        case "goes on":
            told.hold("prod", held, reason="more")
        case "rewound":
            remote.git("update-ref", JOURNAL_REF, str(first))
        case "rewritten":
            remote.git("update-ref", JOURNAL_REF, str(first))
            told.hold("prod", held, reason="another past")
        case "removed":
            remote.git("update-ref", "-d", JOURNAL_REF)
        case _:
            spoil(remote, change)
    believed = told.head() if change == "goes on" else second

    assert {name: repo.fetch().journal for name, repo in verbs.items()} == {
        "clone": believed,
        "master": believed,
    }
    problems = {repo.problem.message if repo.problem else "" for repo in verbs.values()}
    chain.sync()
    choices = decision.load(str(chain.root), None, time.time())
    assert choices and choices.journal == believed
    (said,) = problems
    assert choices.problem.startswith(said) and bool(said) == (change != "goes on")
    git = Mirror(str(chain.root)).git
    assert accepted.believed(git, Mirror(str(chain.root)).refs()).head == believed


# Reasons

LONG = "x" * 1001


@pytest.mark.parametrize(
    "words",
    [
        ("hold", "prod", "--reason", LONG, "--yes"),
        ("rollback", "prod", "--reason", LONG, "--yes"),
        ("promote", "prod", "--override", "ticket", "--reason", LONG, "--yes"),
        ("feature", "finish", "x", "--override", "ticket", "--reason", LONG, "--yes"),
    ],
)
def test_a_long_reason_is_refused_where_it_is_given(flow: FlowSite, words: tuple[str, ...]) -> None:
    flow.push("develop")
    flow.to_prod()
    said = flow.refused(*words, code=2)
    assert "--reason has 1,001 characters, and 1,000 is the most" in said
    assert len(said) < 400


def test_that_of_an_unhold_too_and_one_that_just_fits_is_kept_whole(flow: FlowSite) -> None:
    flow.push("develop")
    flow.to_prod()
    flow.well("hold", "prod", "--reason", LONG[:-1], "--yes")
    assert flow.state().holds["prod"].reason == LONG[:-1]
    assert "1,001 characters" in flow.refused("unhold", "prod", "--reason", LONG, "--yes", code=2)


def test_one_that_another_tool_wrote_does_not_flood_anything(flow: FlowSite) -> None:
    flow.push("develop")
    flow.to_prod()
    flow.record("hold", saltenv="prod", commit=flow.head("master"), reason="y" * 200_000)
    flow.push("develop")
    flow.promoted("stage")

    for words in (("history",), ("status",), ("promote", "prod", "--plan"), ("status", "--json")):
        ran = flow.run(*words)
        assert "y" * 900 in ran.out.replace("\n", "").replace(" ", "").replace("│", ""), words
        assert len(ran.out) < 20_000, words
    assert len(flow.refused("promote", "prod", "--yes")) < 2000
