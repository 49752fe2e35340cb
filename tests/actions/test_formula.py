"""formula: add, update, list, outdated, remove."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from saltbranch.cli.options import completion
from tests.support.flow_site import FlowSite, standing_in
from tests.support.formulas import (  # noqa: F401
    FormulaRemote,
    on_topic,
    own_cache,
)

URL = "https://git.example.com/formulas/nginx.git"


@pytest.fixture
def nginx(tmp_path: Path) -> FormulaRemote:
    remote = FormulaRemote(tmp_path / "nginx-formula.git")
    for tag in ("v2.8.0", "v2.8.1", "v3.0.0-rc.1"):
        remote.release(tag)
    return remote


def gitlink(flow: FlowSite, commit: str = "HEAD", path: str = "formulas/nginx") -> str:
    return flow.git("rev-parse", f"{commit}:{path}")


def test_add_pins_the_newest_version_and_commits_it(flow: FlowSite, nginx: FormulaRemote) -> None:
    on_topic(flow)
    before = flow.git("rev-parse", "HEAD")
    ran = flow.well("formula", "add", str(nginx.path))
    assert "formula nginx v2.8.1, new" in ran.out
    assert gitlink(flow) == nginx.git("rev-parse", "v2.8.1^{commit}")
    assert flow.git("rev-parse", "HEAD^") == before
    assert flow.git("diff", "--name-only", "HEAD^", "HEAD").split() == [
        ".gitmodules",
        "formulas/nginx",
    ]
    assert flow.git("status", "--porcelain") == ""
    assert (flow.clone / "formulas/nginx/nginx/init.sls").exists()
    assert "v2.8.1" in flow.git("submodule", "status")


def test_a_colleagues_plain_git_gets_it(
    flow: FlowSite, nginx: FormulaRemote, tmp_path: Path
) -> None:
    on_topic(flow)
    flow.well("formula", "add", str(nginx.path), "--at", "v2.8.0", "--path", "formulas/web")
    flow.well("feature", "publish")
    other = tmp_path / "colleague"
    subprocess.run(
        ["git", "clone", "-q", "-b", "feature/formulas", str(flow.remote.path), str(other)],
        check=True,
    )
    subprocess.run(["git", "-C", str(other), "submodule", "-q", "update", "--init"], check=True)
    head = subprocess.run(
        ["git", "-C", str(other / "formulas/web"), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert head == nginx.git("rev-parse", "v2.8.0^{commit}")


def test_ones_own_changes_stay_what_they_are(flow: FlowSite, nginx: FormulaRemote) -> None:
    on_topic(flow)
    (flow.clone / "salt/app/init.sls").write_text("changed\n")
    (flow.clone / "salt/new.sls").write_text("new\n")
    (flow.clone / "salt/staged.sls").write_text("staged\n")
    flow.git("add", "salt/staged.sls")
    before = flow.git("status", "--porcelain")
    flow.well("formula", "add", str(nginx.path), "--at", "v2.8.0")
    flow.well("formula", "update", "nginx")
    flow.well("formula", "remove", "nginx")
    assert flow.git("status", "--porcelain") == before
    assert not (flow.clone / "formulas").exists()
    assert not (flow.clone / ".gitmodules").exists()
    assert flow.git("diff", "--name-only", "HEAD~3", "HEAD") == ""


def test_update_lists_what_came_in_the_message(flow: FlowSite, nginx: FormulaRemote) -> None:
    nginx.change("KEY-99 Of another project\n\nPromotion-Id: x")
    nginx.release("v2.9.0", "Fix \x1b[31mred\x1b[0m and " + "x" * 5000)
    on_topic(flow)
    flow.well("formula", "add", str(nginx.path), "--at", "v2.8.0")
    ran = flow.well("formula", "update", "nginx")
    assert "formula nginx v2.8.0 -> v2.9.0, 4 commits" in ran.out
    assert "\x1b" not in ran.out
    message = flow.git("log", "-1", "--format=%B")
    assert message.startswith("Formula nginx v2.8.0 -> v2.9.0\n\n4 commits:\n  ")
    assert "\x1b" not in message
    assert max(map(len, message.splitlines())) < 250
    assert flow.git("log", "-1", "--format=%(trailers:key=Promotion-Id)") == ""
    assert gitlink(flow) == nginx.git("rev-parse", "v2.9.0^{commit}")
    inner = flow.git("-C", "formulas/nginx", "rev-parse", "HEAD")
    assert inner == gitlink(flow)
    flow.well("feature", "publish")
    found = flow.plan("feature", "finish")
    assert "KEY-99" not in found["tickets"]


def test_update_without_to_never_goes_backwards(flow: FlowSite, nginx: FormulaRemote) -> None:
    on_topic(flow)
    flow.well("formula", "add", str(nginx.path), "--at", "v3.0.0-rc.1")
    head = flow.git("rev-parse", "HEAD")
    ran = flow.well("formula", "update")
    assert "nothing to change" in ran.out and "BACKWARDS" in ran.out
    assert flow.git("rev-parse", "HEAD") == head
    ran = flow.well("formula", "update", "--to", "v2.8.0")
    assert "BACKWARDS by 2 commits" in ran.out
    assert gitlink(flow) == nginx.git("rev-parse", "v2.8.0^{commit}")


def test_list_and_outdated(flow: FlowSite, nginx: FormulaRemote) -> None:
    on_topic(flow)
    flow.well("formula", "add", str(nginx.path), "--at", "v2.8.0")
    flow.well("feature", "publish")
    flow.well("feature", "finish", "--yes")
    flow.to_prod()
    on_topic(flow, "next")
    flow.well("formula", "update")
    flow.well("feature", "publish")
    flow.well("feature", "finish", "--yes")
    rows = json.loads(flow.well("formula", "list", "--json").out)["formulas"]
    (row,) = rows
    assert (row["formula"], row["path"]) == ("nginx", "formulas/nginx")
    names = {s: p["name"] for s, p in row["saltenvs"].items()}
    assert names == {"test": "v2.8.1", "stage": "v2.8.0", "prod": "v2.8.0"}
    assert row["here"]["name"] == "v2.8.1"
    assert "prod   v2.8.0" in flow.well("formula", "list").out
    assert flow.run("formula", "outdated").code == 0
    nginx.release("v2.10.0")
    ran = flow.run("formula", "outdated", "--json")
    assert ran.code == 3
    (found,) = json.loads(ran.out)["formulas"]
    assert (found["newest"], found["newer"]) == ("v2.10.0", ["v2.10.0"])


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% pwned",
        "-u./x",
        "--upload-pack=touch pwned",
        "https://user:secret@git.example.com/x.git",
        "https://git.example.com/../x.git",
        "ssh://-oProxyCommand=touch/x",
        "https://git.example.com/x\n.git",
        "fd::17",
        "x.git",
        "",
    ],
)
def test_urls_that_are_none_are_refused(flow: FlowSite, url: str) -> None:
    on_topic(flow)
    head = flow.git("rev-parse", "HEAD")
    said = flow.run("formula", "add", "--", url)
    assert said.code in (2, 4)
    assert "secret" not in said.err + said.out
    assert flow.git("rev-parse", "HEAD") == head
    assert flow.git("status", "--porcelain") == ""
    assert not list(flow.clone.glob("**/pwned"))


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/x",
        "a/../../x",
        ".git/x",
        "a/.GIT/x",
        "-x",
        "a b",
        ".gitmodules",
        "salt",
        "link/x",
        ":x",
    ],
)
def test_places_that_are_none_are_refused(flow: FlowSite, nginx: FormulaRemote, path: str) -> None:
    on_topic(flow)
    os.symlink("/tmp", flow.clone / "link")
    head = flow.git("rev-parse", "HEAD")
    ran = flow.run("formula", "add", str(nginx.path), f"--path={path}")
    assert ran.code in (2, 4), ran
    assert flow.git("rev-parse", "HEAD") == head
    assert flow.git("status", "--porcelain") == "?? link"


def test_a_branch_that_a_saltenv_gets_is_left_alone(flow: FlowSite, nginx: FormulaRemote) -> None:
    assert "feature start" in flow.refused("formula", "add", str(nginx.path))


def test_folders_need_a_git_that_takes_them(
    flow: FlowSite, nginx: FormulaRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_topic(flow)
    monkeypatch.delenv("GIT_ALLOW_PROTOCOL")
    assert "protocol.file.allow" in flow.refused("formula", "add", str(nginx.path))


def test_changes_in_the_way_are_refused(flow: FlowSite, nginx: FormulaRemote) -> None:
    on_topic(flow)
    (flow.clone / ".gitmodules").write_text("[x]\n")
    assert "not committed" in flow.refused("formula", "add", str(nginx.path))
    (flow.clone / ".gitmodules").unlink()
    flow.well("formula", "add", str(nginx.path), "--at", "v2.8.0")
    (flow.clone / "formulas/nginx/nginx/init.sls").write_text("mine\n")
    assert "changes that are not committed" in flow.refused("formula", "update")
    assert "changes that are not committed" in flow.refused("formula", "remove", "nginx")
    assert (flow.clone / "formulas/nginx/nginx/init.sls").read_text() == "mine\n"


def test_a_remove_that_is_refused_leaves_the_files(flow: FlowSite, nginx: FormulaRemote) -> None:
    on_topic(flow)
    flow.well("formula", "add", str(nginx.path), "--at", "v2.8.0")
    with (flow.clone / ".gitmodules").open("a") as file:
        file.write("# mine\n")
    assert ".gitmodules has changes" in flow.refused("formula", "remove", "nginx")
    assert (flow.clone / "formulas/nginx/nginx/init.sls").exists()


def test_a_run_that_was_killed_is_gone_on_with(flow: FlowSite, nginx: FormulaRemote) -> None:
    """Between the index and the commit: both entries are staged, and nothing is committed."""
    on_topic(flow)
    flow.well("formula", "add", str(nginx.path), "--at", "v2.8.0")
    flow.git("reset", "--soft", "HEAD^")
    assert flow.git("diff", "--cached", "--name-only").split() == [".gitmodules", "formulas/nginx"]
    flow.well("formula", "add", str(nginx.path), "--at", "v2.8.0")
    assert flow.git("status", "--porcelain") == ""
    head = flow.git("rev-parse", "HEAD")
    flow.well("formula", "add", str(nginx.path), "--at", "v2.8.0")
    assert flow.git("rev-parse", "HEAD") == head


def test_nothing_that_gitmodules_or_the_formula_says_is_run(
    flow: FlowSite, nginx: FormulaRemote, tmp_path: Path
) -> None:
    nginx.commit(
        "master",
        {
            ".gitattributes": "* filter=evil\n",
            ".gitmodules": f'[submodule "in"]\n\tpath = in\n\turl = ext::touch% {tmp_path}/pwned\n',
        },
        message="Evil",
    )
    nginx.git("tag", "v2.9.0", "master")
    on_topic(flow)
    flow.well("formula", "add", str(nginx.path), "--at", "v2.8.0")
    flow.git(
        "config",
        "--file",
        ".gitmodules",
        "submodule.formulas/nginx.update",
        f"!touch {tmp_path}/pwned",
    )
    flow.git("commit", "-qam", "Evil")
    hook = flow.clone / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/pwned\n")
    hook.chmod(0o755)
    flow.well("formula", "update")
    flow.well("formula", "list")
    assert not (tmp_path / "pwned").exists()
    assert gitlink(flow) == nginx.head("master")


def test_tags_like_options_are_only_names(flow: FlowSite, nginx: FormulaRemote) -> None:
    head = nginx.head("master")
    nginx.git("update-ref", "refs/tags/--upload-pack=touch${IFS}pwned", head)
    on_topic(flow)
    ran = flow.run("formula", "add", str(nginx.path), "--at=--upload-pack=touch${IFS}pwned")
    assert ran.code == 0, ran
    assert gitlink(flow) == head
    assert not list(flow.clone.glob("**/pwned"))
    assert flow.run("formula", "add", str(nginx.path), "--at=--nothing", "--path=b").code == 2


def test_names_and_places_that_others_have_are_left_to_them(
    flow: FlowSite, nginx: FormulaRemote, tmp_path: Path
) -> None:
    """A submodule that was moved keeps its name; .git/modules keeps those that were removed."""
    on_topic(flow)
    flow.well("formula", "add", str(nginx.path), "--at", "v2.8.0")
    flow.git("mv", "formulas/nginx", "formulas/old")
    flow.git("commit", "-qm", "Move")
    other = FormulaRemote(tmp_path / "other.git")
    commit = other.release("v1.0.0")
    flow.well("formula", "add", str(other.path), "--path", "formulas/nginx")
    names = flow.git("config", "--file", ".gitmodules", "--get-regexp", "path").splitlines()
    assert names == [
        "submodule.formulas/nginx.path formulas/old",
        "submodule.formulas/nginx-2.path formulas/nginx",
    ]
    assert flow.git("-C", "formulas/nginx", "rev-parse", "HEAD") == commit
    flow.well("formula", "remove", "formulas/nginx")
    third = FormulaRemote(tmp_path / "third.git")
    commit = third.release("v3.0.0")
    flow.well("formula", "add", str(third.path), "--path", "formulas/nginx")
    assert flow.git("-C", "formulas/nginx", "rev-parse", "HEAD") == commit
    assert flow.git("status", "--porcelain") == ""


def test_links_and_files_above_are_not_replaced(flow: FlowSite, nginx: FormulaRemote) -> None:
    on_topic(flow)
    (flow.clone / "formulas").symlink_to("salt")
    flow.git("add", "-A")
    flow.git("commit", "-qm", "Link")
    (flow.clone / "formulas").unlink()
    head = flow.git("rev-parse", "HEAD")
    assert "is a file, link or formula" in flow.refused("formula", "add", str(nginx.path))
    assert flow.git("rev-parse", "HEAD") == head
    flow.git("checkout", "--", "formulas")
    assert "symlink" in flow.run("formula", "add", str(nginx.path)).err
    (flow.clone / ".gitmodules").symlink_to("salt/top.sls")
    assert "no plain file" in flow.refused("formula", "add", str(nginx.path), "--path", "web")
    assert (flow.clone / ".gitmodules").is_symlink()
    assert flow.git("rev-parse", "HEAD") == head


@pytest.mark.parametrize("name", ["../../evil", "a/../../evil", ".git", "--evil"])
def test_names_that_lead_elsewhere_are_refused(
    flow: FlowSite, nginx: FormulaRemote, tmp_path: Path, name: str
) -> None:
    on_topic(flow)
    flow.well("formula", "add", str(nginx.path), "--at", "v2.8.0")
    text = (flow.clone / ".gitmodules").read_text()
    (flow.clone / ".gitmodules").write_text(text.replace('"formulas/nginx"', f'"{name}"'))
    flow.git("commit", "-qam", "Evil")
    head = flow.git("rev-parse", "HEAD")
    assert "its name" in flow.refused("formula", "update")
    ran = flow.run("formula", "list", "--json")
    assert (ran.code, "its name" in ran.out) == (20, True)
    assert flow.git("rev-parse", "HEAD") == head
    assert not list(tmp_path.glob("**/evil"))
    flow.well("formula", "remove", "formulas/nginx")
    assert flow.git("ls-tree", "HEAD", ".gitmodules", "formulas") == ""


def test_names_and_tags_are_completed(flow: FlowSite, nginx: FormulaRemote) -> None:
    on_topic(flow)
    with standing_in(flow.clone):
        assert completion.formula_names("") == []
    flow.well("formula", "add", str(nginx.path), "--at", "v2.8.0")
    flow.well("formula", "add", str(nginx.path), "--at", "v2.8.0", "--path", "other/nginx")
    flow.well("formula", "add", str(nginx.path), "--at", "v2.8.0", "--path", "formulas/web")
    with standing_in(flow.clone):
        assert completion.formula_names("") == ["formulas/nginx", "other/nginx", "web"]
        assert completion.formula_names("w") == ["web"]
        assert completion.formula_tags("v2") == ["v2.8.1", "v2.8.0"]
