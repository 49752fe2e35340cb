"""Promotions of saltenvs with `require_signed`: nothing is taken, and nothing made, that a master would refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from saltbranch.repository import prepared
from tests.support.flow_site import FlowSite, as_yaml
from tests.support.remote import Content, Link
from tests.support.signing import Keys, Signing
from tests.support.site import Site


class Signed:
    """A flow of which some saltenvs ask for signatures, and a master that serves all of them."""

    def __init__(self, flow: FlowSite, folder: Path, *names: str) -> None:
        self.flow = flow
        self.keys = Keys(folder / "keys")
        self.by = Signing(flow.remote, self.keys)
        lines = "".join(f"{self.keys.line(name)}\n" for name in ("ann", "bob"))
        self.everywhere(self.by.commit("master", {"allowed_signers": lines}, "ann"))
        flow.configure(**{name: {"require_signed": True} for name in names})
        self.everywhere(self.by.sign("master", flow.head("master"), "ann"))
        (folder / "master").mkdir()
        self.site = Site(folder / "master", flow.remote)
        self.site.configure(saltenvs=None)
        self.sync()

    def everywhere(self, head: str) -> None:
        for branch in ("stage", "develop"):
            self.flow.remote.set_branch(branch, head)

    def sync(self) -> None:
        result = self.site.sync_here()
        assert result.exit_code == 0, [s.message for s in result.saltenvs]

    def served(self, branch: str) -> str:
        return prepared.load_served(str(self.site.root))[branch].commit

    def push(self, key: str = "", branch: str = "develop") -> str:
        number = len(self.flow.refs()) + hash(key) % 1000
        files: dict[str, Content] = {f"salt/{key}{number}.sls": f"x{number}:\n  test.nop: []\n"}
        return self.by.commit(branch, files, key)

    def sign_here(self, key: str) -> None:
        """The person in the clone signs with that key."""
        for name, value in (
            ("gpg.format", "ssh"),
            ("user.signingkey", self.keys.path(key)),
            ("commit.gpgsign", "true"),
        ):
            self.flow.git("config", name, value)

    def gate(self, saltenv: str) -> tuple[str, str]:
        return self.flow.gates("promote", saltenv)["signed"]


@pytest.mark.parametrize("key", ["", "ann", "eve"])
def test_promotions_are_served_whether_git_signs_them_or_not(
    flow: FlowSite, tmp_path: Path, key: str
) -> None:
    signed = Signed(flow, tmp_path, "test", "stage", "prod")
    if key:
        signed.sign_here(key)
    signed.push("bob")
    assert signed.gate("stage") == ("pass", "signed by bob@example.com")
    flow.to_prod()
    signed.sync()
    for branch in ("develop", "stage", "master"):
        assert signed.served(branch) == flow.head(branch)
    signed.push("bob")  # and once more: the back-merge is below
    flow.to_prod()
    signed.sync()
    assert signed.served("master") == flow.head("master")


def test_nothing_is_taken_that_the_source_does_not_serve(flow: FlowSite, tmp_path: Path) -> None:
    signed = Signed(flow, tmp_path, "test")
    bad = signed.push()
    verdict, reason = signed.gate("stage")
    assert verdict == "fail" and "test would not serve it" in reason and bad[:12] in reason
    assert "signed: fail" in flow.refused("promote", "stage", "--yes")
    assert "signed" in flow.run("why-not", "stage").out
    assert "there is no gate 'signed'" in flow.refused(
        "promote", "stage", "--yes", "--override", "signed", "--reason", "x", code=2
    )


def test_nothing_is_made_that_the_target_does_not_serve(flow: FlowSite, tmp_path: Path) -> None:
    signed = Signed(flow, tmp_path, "stage")
    bad = signed.push()
    verdict, reason = signed.gate("stage")
    assert verdict == "fail" and "stage would not serve it" in reason and bad[:12] in reason
    signed.sign_here("eve")
    assert signed.gate("stage")[0] == "fail"
    signed.sign_here("ann")  # who signs the merge vouches for what it brings
    assert signed.gate("stage")[0] == "pass"
    flow.promoted("stage")
    signed.sync()
    assert signed.served("stage") == flow.head("stage")


def test_what_git_signs_otherwise_than_it_says_is_not_pushed(
    flow: FlowSite, tmp_path: Path
) -> None:
    """The result itself is judged once more before it is pushed."""
    signed = Signed(flow, tmp_path, "stage")
    signed.push()
    signed.sign_here("ann")
    other = signed.keys.path("eve")
    program = tmp_path / "sign"
    program.write_text(
        f'#!/bin/sh\nfor last; do :; done\nexec ssh-keygen -Y sign -n git -f {other} "$last"\n'
    )
    program.chmod(0o755)
    flow.git("config", "gpg.ssh.program", str(program))
    said = flow.refused("promote", "stage", "--yes")
    assert "would not serve the result; nothing was changed" in said


def test_the_master_itself_promotes_what_it_accepted(flow: FlowSite, tmp_path: Path) -> None:
    """What was served before the key was turned on needs no signature there."""
    signed = Signed(flow, tmp_path)
    bad = signed.push()
    signed.sync()
    model = {"allowed_signers": signed.keys.line("ann")}
    flow.model["saltenvs"]["test"]["require_signed"] = True
    signed.by.commit("master", {"saltbranch.yaml": as_yaml(flow.model), **model})
    signed.sync()
    config = str(signed.site.config)
    ran = signed.site.run_here("promote", "stage", "--config", config, "--plan")
    assert "signed" in ran.out and "would not serve" not in ran.out, ran
    assert signed.served("develop") == bad
    assert signed.gate("stage")[0] == "fail"  # a clone does not know that


@pytest.mark.parametrize("content", [None, "", Link("salt/top.sls")], ids=["none", "empty", "link"])
def test_a_model_whose_signers_are_not_there_is_not_merged(
    flow: FlowSite, content: Content
) -> None:
    flow.model["saltenvs"]["prod"]["require_signed"] = True
    flow.push("develop", {"saltbranch.yaml": as_yaml(flow.model), "allowed_signers": content})
    verdict, reason = flow.gates("promote", "stage")["model"]
    assert verdict == "fail" and "saltenvs.prod.require_signed: allowed_signers: " in reason


def test_signers_in_the_very_change_do_not_count(flow: FlowSite, tmp_path: Path) -> None:
    signed = Signed(flow, tmp_path, "stage", "prod")
    eve = signed.keys.line("eve") + "\n"
    signed.by.commit("develop", {"allowed_signers": eve}, "eve")
    assert "allowed_signers of master at" in signed.gate("stage")[1]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "there is no such file"),
        ("", "it is empty"),
        ("# nobody\n", "it names nobody"),
        (Link("salt/top.sls"), "it is a link"),
    ],
    ids=["none", "empty", "nobody", "link"],
)
def test_check_tells_of_signers_that_are_not_there(
    flow: FlowSite, content: Content, why: str
) -> None:
    flow.model["saltenvs"]["prod"]["require_signed"] = True
    flow.push("develop", {"saltbranch.yaml": as_yaml(flow.model), "allowed_signers": content})
    flow.git("fetch", "--quiet")
    ran = flow.run("check", "origin/develop", "--static")
    assert ran.code != 0 and f"saltenvs.prod.require_signed: allowed_signers: {why}" in ran.out, ran


def test_owned_paths_stay_through_hotfix_and_promotions_without_a_signature_of_the_tool(
    flow: FlowSite, tmp_path: Path
) -> None:
    """The back-merge keeps what develop and stage own, and the next promotions bring it to production again."""
    for saltenv in ("test", "stage", "prod"):
        flow.model["saltenvs"][saltenv]["saltenv_owned"] = ["pillar/own.sls"]
    signed = Signed(flow, tmp_path, "test", "stage", "prod")
    for branch in ("develop", "stage", "master"):
        signed.by.commit(branch, {"pillar/own.sls": f"own: {branch}\n"}, "bob")
    signed.sync()
    signed.push("bob")
    flow.to_prod()
    signed.sync()
    flow.well("hotfix", "start", "KEY-9-fix")
    signed.sign_here("ann")
    flow.git("commit", "--quiet", "--allow-empty", "-m", "KEY-9 Nothing")
    flow.commit({"salt/h.sls": "h:\n  test.nop: []\n", "pillar/own.sls": "own: x\n"}, "KEY-9 fix")
    flow.git("config", "commit.gpgsign", "false")
    flow.well("hotfix", "finish", "--yes")
    signed.sync()
    signed.push("ann")
    flow.to_prod()
    signed.sync()
    for branch in ("develop", "stage", "master"):
        assert signed.served(branch) == flow.head(branch)
        assert flow.show(branch, "pillar/own.sls") == f"own: {branch}\n"
