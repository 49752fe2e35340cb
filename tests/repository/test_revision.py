"""What a word names: the same to every verb, and refused where it can be several things."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from saltbranch.base.errors import UsageError
from saltbranch.git.program import Git
from saltbranch.repository import timeline
from saltbranch.repository.commit_source import CommitSource
from saltbranch.repository.workplace import Workplace, open_workplace
from tests.support.flow_site import FlowSite
from tests.support.remote import Remote
from tests.support.site import Site

WEB = {"salt/web.sls": "web: {test.nop: []}\n"}


@pytest.fixture(name="flow")
def fixture_flow(flow: FlowSite) -> FlowSite:
    """One promotion to stage, a tag, two commits beyond it, and the clone behind them all."""
    flow.push("develop", WEB, "KEY-5 Web")
    assert flow.run("promote", "stage", "--yes").code == 0
    flow.tag("v1", flow.remote.head("stage"))
    flow.push("develop", {"salt/one.sls": "one: {test.nop: []}\n"})
    flow.push("develop", {"salt/two.sls": "two: {test.nop: []}\n"})
    flow.git("fetch", "--quiet", "--tags")
    return flow


def work_of(flow: FlowSite) -> Workplace:
    return open_workplace(str(flow.clone / "saltbranch.yaml"))


def source_of(flow: FlowSite) -> CommitSource:
    git = Git(str(flow.clone), work_tree=True)
    return CommitSource(git, "origin", Git(str(flow.clone / ".git")))


Word = Callable[[FlowSite], str]
WORDS: dict[str, tuple[Word, str]] = {
    "saltenv": (lambda _: "stage", "origin/stage"),
    "the one before a saltenv's": (lambda _: "stage~1", "origin/stage~1"),
    "the merged side": (lambda _: "stage^2", "origin/stage^2"),
    "its own grandparent": (lambda _: "test^^", "origin/develop~2"),
    "HEAD": (lambda _: "HEAD", "HEAD"),
    "@": (lambda _: "@", "HEAD"),
    "as git writes the remote's": (lambda _: "origin/stage", "origin/stage"),
    "in full": (lambda _: "refs/remotes/origin/stage", "origin/stage"),
    "heads/": (lambda _: "heads/master", "origin/master"),
    "tag": (lambda _: "v1", "v1"),
    "tags/": (lambda _: "tags/v1", "v1"),
    "refs/tags/": (lambda _: "refs/tags/v1~1", "v1~1"),
    "hash": (lambda f: f.remote.head("stage"), "origin/stage"),
    "beginning of a hash": (lambda f: f.remote.head("stage")[:9], "origin/stage"),
    "in capitals": (lambda f: f.remote.head("stage")[:12].upper(), "origin/stage"),
    "promotion": (lambda f: promotion(f), "origin/stage"),
    "beginning of a promotion": (lambda f: promotion(f).partition("-")[0], "origin/stage"),
    "before a promotion": (lambda f: promotion(f) + "^", "origin/stage~1"),
}


def promotion(flow: FlowSite) -> str:
    """The id of the last one."""
    return timeline.promotions(work_of(flow))[-1].id


@pytest.mark.parametrize("name", WORDS)
def test_a_word_means_the_same_here_and_on_the_remote(flow: FlowSite, name: str) -> None:
    word, wanted = WORDS[name][0](flow), flow.git("rev-parse", f"{WORDS[name][1]}^{{commit}}")
    work = work_of(flow)
    assert timeline.commit_of(work, word).commit == wanted
    assert source_of(flow).find(work.config, word).commit == wanted
    assert [r.value for r in timeline.readings(work, word)] == [wanted]


VERBS = {
    "check": ("check", "--static", "--json", "WORD"),
    "check --since": ("check", "test", "--static", "--json", "--since", "WORD"),
    "where": ("where", "--json", "WORD"),
    "changelog": ("changelog", "stage", "--from", "WORD"),
    "hold --at": ("hold", "stage", "--at", "WORD", "--reason", "x", "--plan"),
    "promote --commit": ("promote", "prod", "--commit", "WORD", "--plan", "--no-diff"),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("word", ["stage", "stage~1", "tags/v1", "ID", "HEAD", "HASH"])
def test_every_verb_takes_every_word(flow: FlowSite, verb: str, word: str) -> None:
    given = {"ID": promotion(flow), "HASH": flow.remote.head("stage")[:10]}.get(word, word)
    ran = flow.run(*[given if part == "WORD" else part for part in VERBS[verb]])
    assert ran.code in (0, 3), ran


NOTHING = [
    "nosuch",
    "",
    "-x",
    "a\0b",
    "stage~99",
    "stage@{0}",
    ":/KEY",
    "stage..test",
    "abc",
    "stage:salt",
]


@pytest.mark.parametrize("word", NOTHING)
def test_what_names_nothing_is_refused_with_what_there_is(flow: FlowSite, word: str) -> None:
    work = work_of(flow)
    for look in (timeline.commit_of, lambda w, word: source_of(flow).find(w.config, word)):
        with pytest.raises(UsageError, match="not a saltenv, branch, tag, promotion or commit"):
            look(work, word)


def test_what_can_be_several_things_is_refused_with_all_of_them(flow: FlowSite) -> None:
    flow.remote.set_branch("v1", flow.remote.head("develop"))
    flow.git("fetch", "--quiet")
    work = work_of(flow)
    for look in (timeline.commit_of, lambda w, word: source_of(flow).find(w.config, word)):
        with pytest.raises(UsageError, match="the branch v1 .*; the tag v1 "):
            look(work, "v1")
        assert look(work, "tags/v1").commit == flow.remote.head("stage")
        assert look(work, "heads/v1").commit == flow.remote.head("develop")
    ran = flow.run("check", "v1", "--static")
    assert (ran.code, "can be several things" in ran.err) == (2, True)


def test_the_name_of_a_saltenv_wins_over_a_tag(flow: FlowSite) -> None:
    flow.tag("stage", flow.remote.head("develop"))
    flow.git("fetch", "--quiet", "--tags")
    assert timeline.commit_of(work_of(flow), "stage").commit == flow.remote.head("stage")


def test_the_beginning_of_two_promotions_is_refused(flow: FlowSite) -> None:
    flow.run("promote", "stage", "--yes")
    begin = promotion(flow)[:9]
    with pytest.raises(UsageError, match="the promotion .*; the promotion "):
        timeline.commit_of(work_of(flow), begin)


def test_a_master_has_no_head_and_knows_tags_that_nobody_follows(
    served: Site, remote: Remote
) -> None:
    remote.git("tag", "v7", remote.head("stage"))
    found = json.loads(served.run("check", "tags/v7^0", "--static", "--json").out)["refs"]
    assert found[0]["commit"] == remote.head("stage")
    assert served.run("check", "HEAD", "--static").code == 2
