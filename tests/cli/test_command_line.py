"""What programs rely on: exit codes, JSON also of failures, and one meaning of a word for every verb."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from saltbranch.git.program import Git
from saltbranch.repository.commit_source import CommitSource
from saltbranch.repository.workplace import open_workplace
from tests.support.flow_site import FlowSite
from tests.support.project import Clone, Project, model
from tests.support.remote import Remote
from tests.support.site import Ran, Site

WEB = {"salt/web.sls": "web: {test.nop: []}\n"}


def test_a_misspelt_saltenv_is_no_failed_sync(served: Site) -> None:
    ran = served.sync("tset")
    assert (ran.code, "there is no saltenv 'tset'" in ran.err) == (2, True)
    status = json.loads(served.run("status", "--json").out)
    assert status["failure"] is None
    findings = json.loads(served.run("doctor", "--json").out)["findings"]
    assert "sync-failed" not in [f["id"] for f in findings]


def test_a_misspelt_saltenv_hides_no_failure(served: Site, remote: Remote, tmp_path: Path) -> None:
    remote.path.rename(tmp_path / "away")
    assert served.sync().code == 1
    failure = json.loads(served.run("status", "--json").out)["failure"]
    (tmp_path / "away").rename(remote.path)
    assert served.sync("tset").code == 2
    assert json.loads(served.run("status", "--json").out)["failure"] == failure


def error_of(ran: Ran) -> dict[str, Any]:
    """What a failed verb says as JSON; the same is on stderr for people."""
    said = json.loads(ran.out)
    assert set(said) == {"version", "error"} and said["version"] == 1
    error: dict[str, Any] = said["error"]
    assert set(error) == {"message", "hint", "exit_code"}
    assert error["exit_code"] == ran.code != 0
    assert error["message"].splitlines()[0] in ran.err
    return error


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("sync", "tset"), 2),
        (("sync", "--expect", "f" * 40, "--expect-timeout", "0"), 1),
        (("status", "--nosuch"), 2),
        (("explain",), 2),
        (("diff", "nosuch", "develop"), 2),
        (("diff", "nosuch"), 2),
        (("check", "nosuch"), 2),
        (("hold", "nosuch", "--reason", "x", "--yes"), 2),
        (("unhold", "test", "--yes"), 4),
        (("rollback", "nosuch", "--reason", "x", "--yes"), 2),
        (("promote", "test", "--yes"), 2),
        (("why-not", "nosuch"), 2),
        (("where", "nosuch"), 2),
        (("changelog", "nosuch"), 2),
        (("history", "nosuch"), 2),
        (("install", "nosuch"), 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_a_failed_verb_is_json_too(served: Site, words: tuple[str, ...], code: int) -> None:
    ran = served.run_here(words[0], "--config", str(served.config), *words[1:], "--json")
    assert error_of(ran) and ran.code in (code, 1, 2, 4), ran


def test_a_failed_verb_of_a_clone_is_json_too(flow: FlowSite) -> None:
    flow.push("develop", WEB, "KEY-5 Web")
    error = error_of(flow.run("promote", "prod", "--commit", "nosuch", "--yes", "--json"))
    assert "--commit nosuch" in error["message"] and error["hint"]
    error = error_of(flow.run("feature", "finish", "nosuch", "--yes", "--json"))
    assert error["exit_code"] == 2
    error = error_of(flow.run("promote", "stage", "--json"))  # nobody there to ask
    assert (error["exit_code"], "no terminal" in error["message"]) == (4, True)


def test_without_json_stdout_stays_empty(served: Site) -> None:
    for words in (("sync", "tset"), ("sync", "--", "--json")):
        ran = served.run_here(words[0], "--config", str(served.config), *words[1:])
        assert (ran.code, ran.out) == (2, "")


def test_a_bug_is_json_too(served: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise RuntimeError("x")

    monkeypatch.setattr("saltbranch.cli.status.tell", broken)
    ran = served.run_here("status", "--config", str(served.config), "--json")
    assert error_of(ran)["exit_code"] == 70


def test_a_plan_that_would_be_refused_ends_with_4(flow: FlowSite) -> None:
    flow.configure(stage={"gates": ["ticket"], "overridable": ["ticket"]})
    flow.push("develop", WEB, "Without a ticket")
    assert flow.run("promote", "stage", "--plan").code == 4
    assert flow.run("why-not", "stage").code == 4
    override = ("--override", "ticket", "--reason", "it burns")
    assert flow.run("promote", "stage", "--plan", *override).code == 3
    flow.push("develop", {"salt/app/init.sls": "one\n"}, "KEY-5 One")
    flow.push("stage", {"salt/app/init.sls": "two\n"}, "KEY-6 Two")
    assert flow.run("promote", "stage", "--plan", *override).code == 4
    digest = json.loads(flow.run("promote", "stage", "--plan", "--json").out)["digest"]
    assert flow.run("promote", "stage", "--plan", "--expect", digest).code == 4


def test_tags_are_known_on_a_master(served: Site, remote: Remote) -> None:
    old = remote.head("master")
    remote.git("tag", "v1.0.0", old)
    blob = remote.git("tag", "-m", "x", "v1.0.1", remote.head("stage"))
    assert not blob
    served.sync_well()
    names = json.loads(served.run("check", "v1.0.0", "v1.0.1", "--static", "--json").out)["refs"]
    assert [ref["commit"] for ref in names] == [old, remote.head("stage")]
    remote.git("tag", "--force", "v1.0.0", remote.head("develop"))  # asked for anew, not remembered
    names = json.loads(served.run("check", "v1.0.0", "--static", "--json").out)["refs"]
    assert names[0]["commit"] == remote.head("develop")
    remote.git("tag", "--delete", "v1.0.0")
    assert served.run("check", "v1.0.0", "--static").code == 2
    assert "refs/tags" not in remote_refs(served), "a sync keeps no tags that nobody follows"


def remote_refs(site: Site) -> str:
    return Remote(site.root / "mirror.git").git("for-each-ref", "--format=%(refname)", "refs/tags")


def test_the_remote_is_not_read_where_that_is_not_wanted(flow: FlowSite) -> None:
    flow.well("status")
    flow.push("develop", WEB, "KEY-5 Web")
    seen = json.loads(flow.run("status", "--no-fetch", "--json").out)["saltenvs"]
    assert seen[0]["wanted"] != flow.head("develop")
    assert "as it was last read" in flow.run("status", "--no-fetch").out
    away = flow.folder / "away"
    flow.remote.path.rename(away)
    assert flow.run("status").code == 1
    assert flow.run("status", "--no-fetch").code == 0
    away.rename(flow.remote.path)
    now = json.loads(flow.run("status", "--json").out)["saltenvs"]
    assert now[0]["wanted"] == flow.head("develop")


@pytest.fixture
def ann(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    project = Project(tmp_path, model())
    project.remote.commit("develop", WEB, message="KEY-5 Web")
    ann = project.clone("ann")
    ann.well("promote", "stage")
    ann.git("fetch", "--quiet", "origin")
    monkeypatch.chdir(ann.path)
    return ann


@pytest.mark.parametrize(
    "words",
    [
        ("check", "origin/develop", "--static"),
        ("check", "develop", "--since", "origin/develop", "--static"),
        ("where", "origin/develop"),
        ("changelog", "stage", "--from", "origin/master", "--to", "origin/stage"),
        ("promote", "stage", "--commit", "origin/develop", "--plan"),
        ("promote", "prod", "--commit", "origin/stage", "--plan"),
        ("release", "start", "1.0", "--commit", "origin/develop", "--plan"),
        ("hold", "stage", "--at", "origin/stage", "--reason", "x", "--plan"),
    ],
    ids=lambda words: " ".join(words),
)
def test_a_branch_of_the_remote_is_a_ref_for_every_verb(ann: Clone, words: tuple[str, ...]) -> None:
    ran = ann.run(*words)
    assert ran.code in (0, 3), ran
    plain = [w.replace("origin/", "") for w in words]
    # The same as by the plain name, but for what the word is called.
    assert ran.code == ann.run(*plain).code


def test_a_branch_of_the_remote_means_the_minions_of_its_saltenv(ann: Clone) -> None:
    config = open_workplace(str(ann.path / "saltbranch.yaml"), fetch=False).config
    source = CommitSource(Git(str(ann.path), work_tree=True), "origin")
    for word in ("develop", "origin/develop"):
        side = source.side(config, word)
        assert (side.saltenv, side.tree) == ("test", ann.git("rev-parse", "origin/develop"))
    assert source.side(config, "origin/stage").saltenv == "stage"


def test_a_branch_of_the_remote_is_a_ref_on_a_master(served: Site, remote: Remote) -> None:
    found = json.loads(served.run("check", "origin/develop", "--static", "--json").out)["refs"]
    assert found[0]["commit"] == remote.head("develop")
    for words in (("where", "origin/develop"), ("changelog", "test", "--from", "origin/master")):
        assert served.run(*words).code == 0
    assert served.run("check", "origin/nosuch", "--static").code == 2


def piped_to_nobody(site: Site, *words: str) -> int:
    """The exit code of a verb whose output nobody reads any more, as after `| head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as out:
        command = [sys.executable, "-m", "saltbranch", words[0], "-c", str(site.config), *words[1:]]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(command, stdout=out, check=False, env=env).returncode


def test_a_reader_that_leaves_changes_no_exit_code(served: Site, remote: Remote) -> None:
    assert piped_to_nobody(served, "status") == 0
    remote.commit("develop", WEB)
    assert piped_to_nobody(served, "sync", "--plan") == 3
    assert piped_to_nobody(served, "sync") == 0
    assert piped_to_nobody(served, "schema-of-nothing") == 2
