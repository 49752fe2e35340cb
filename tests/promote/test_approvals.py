"""The gate `approvals`: who signed exactly this plan counts; forged, replayed and foreign signatures do not."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from saltbranch.base import ssh_keys
from saltbranch.base.errors import ConfigError
from saltbranch.base.proc import Finished
from saltbranch.config.gates import ApprovalsGate, parse_gates
from saltbranch.git import allowed_signers, ssh_signature
from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.git.program import Git
from saltbranch.git.ssh_signature import Vouched
from saltbranch.journal import store as journal
from saltbranch.journal.approvals import signed_text
from saltbranch.promote.approvals import People, people_of, together
from tests.support.flow_site import FlowSite, as_yaml
from tests.support.site import event

# The site's commits are of ann@example.com.
DORA, BOB, CID = "dora@example.com", "bob@example.com", "cid@example.com"


class Keys:
    """Keys of people, made when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> str:
        path = self.folder / name
        if not path.exists():
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
            subprocess.run(words, check=True)
        return str(path)

    def line(self, principals: str, name: str, options: str = "") -> str:
        kind, key, *_ = Path(f"{self.path(name)}.pub").read_text().split()
        return " ".join(filter(None, (principals, options, kind, key)))


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    folder = tmp_path / "keys"
    folder.mkdir()
    return Keys(folder)


def asking(flow: FlowSite, lines: list[str], *, count: int = 2, **rule: Any) -> None:
    """A site whose prod wants approvals, with something to promote."""
    rule = {"count": count, "from": lines, **rule}
    flow.configure(prod={"gates": [{"approvals": rule}], "overridable": ["approvals"]})
    flow.push("develop")
    flow.promoted("stage")


def digest(flow: FlowSite) -> str:
    found = str(flow.plan("promote", "prod")["digest"])
    assert len(found) == 16
    return found


def approve(flow: FlowSite, key: str, *words: str, expect: str = "") -> None:
    flow.well("approve", "prod", "--expect", expect or digest(flow), "--key", key, "--yes", *words)


def gate(flow: FlowSite) -> tuple[str, str]:
    return flow.gates("promote", "prod")["approvals"]


def undated(reason: str) -> str:
    """What a gate says, without when people approved."""
    return re.sub(r" \(20[0-9TZ:-]+\)", "", reason)


def whole(flow: FlowSite) -> str:
    """The digest that the gate names for `approve`."""
    return gate(flow)[1].rpartition(" ")[2]


def forge(flow: FlowSite, key: str, **changes: str) -> None:
    """Write an approval into the journal by hand, with some of it changed."""
    told = {"id": "x1", "saltenv": "prod", "digest": whole(flow), **changes}
    text = signed_text(told["id"], told["saltenv"], told.get("signed", told["digest"]))
    signature = told.get("signature") or ssh_signature.sign(Git(str(flow.remote.path)), text, key)
    flow.record(
        "approval",
        action="approve",
        saltenv="prod",
        digest=told["digest"],
        signature=signature,
    )


# As configured


@pytest.mark.parametrize(
    "rule",
    [
        5,
        {"count": 2, "from": None},
        {"from": "a"},
        {"count": 0, "from": "a"},
        {"count": True, "from": "a"},
        {"count": 21, "from": "a"},
        {"count": 1, "from": ""},
        {"count": 1, "from": "../a"},
        {"count": 1, "from": "/etc/a"},
        {"count": 1, "from": ".git/a"},
        {"count": 1, "from": []},
        {"count": 1, "from": ["ann@example.com"]},
        {"count": 1, "from": [f"-n ssh-ed25519 {'A' * 68}"]},
        {"count": 1, "from": [f"ann ssh-ed25519 {'A' * 68}\nbob ssh-ed25519 {'A' * 68}"]},
        {"count": 1, "from": "a", "not_author": "no"},
        {"count": 1, "from": "a", "of": "b"},
    ],
)
def test_what_is_no_such_gate_is_refused(rule: Any) -> None:
    with pytest.raises(ConfigError, match=r"x\.yaml: approvals"):
        parse_gates([{"approvals": rule}], "x.yaml")


def test_authors_are_left_out_unless_it_says_otherwise() -> None:
    *_, found = parse_gates([{"approvals": {"count": 2, "from": "ops/signers"}}], "x.yaml")
    assert found == ApprovalsGate(2, "ops/signers", (), not_author=True)


# Persons


def test_a_person_counts_once_by_any_key_and_by_any_name() -> None:
    def who(names: str, key: str) -> Vouched:
        return Vouched(frozenset(names.split(",")), key)

    assert len(together([who("dora", "k1"), who("dora", "k2")])) == 1
    assert len(together([who("dora", "k1"), who("Dora", "k2")])) == 1
    assert len(together([who("dora", "k1"), who("bob", "k1")])) == 1
    assert len(together([who("dora", "k1"), who("bob", "k2"), who("dora,bob", "k3")])) == 1
    assert len(together([who("dora", "k1"), who("bob", "k2")])) == 2


@pytest.mark.parametrize(
    ("principals", "is_author"),
    [("ann@example.com", True), ("Ann@Example.com,a", True), ("*@example.com", True)]
    + [("a?n@example.com", True), ("bob@example.com", False), ("[a]nn@example.com", False)],
)
def test_an_author_is_found_by_every_name_and_pattern(principals: str, is_author: bool) -> None:
    people = People(frozenset({"ann@example.com"}), frozenset({"k9"}))
    assert people.has(Vouched(frozenset(principals.split(",")), "k1")) is is_author
    assert people.has(Vouched(frozenset({"x"}), "k9"))


def test_authors_committers_promoters_and_signers_of_every_commit_are_people(
    flow: FlowSite, keys: Keys
) -> None:
    flow.git("fetch", "--quiet")
    old = flow.git("rev-parse", "origin/master")
    new = flow.git(
        "-c", "user.name=C", "-c", "user.email=C@x.org", "-c", "gpg.format=ssh",
        "-c", f"user.signingkey={keys.path('cid')}", "commit-tree", "-S", "-p", old,
        "-m", "A\n\nPromoted-By: Pat <pat@x.org>\nAsked-By: tim", f"{old}^{{tree}}",
    )  # fmt: skip
    found = people_of(Git(str(flow.clone / ".git")), old, new)
    kind, key, *_ = Path(f"{keys.path('cid')}.pub").read_text().split()
    assert {"pat@x.org", "tim"} <= found.names
    assert found.keys == {ssh_keys.fingerprint_of(key)}, kind
    assert people_of(Git(str(flow.clone / ".git")), new, new).names == frozenset()


# By the verbs


def test_two_people_approve_and_it_is_promoted_once(flow: FlowSite, keys: Keys) -> None:
    asking(flow, [keys.line(DORA, "dora"), keys.line(BOB, "bob")])
    assert "approvals: fail: 0 of 2" in flow.refused("promote", "prod", "--yes")
    first = digest(flow)
    approve(flow, keys.path("dora"))
    verdict, reason = gate(flow)
    assert (verdict, undated(reason).split(";")[0]) == ("fail", f"1 of 2: {DORA}")
    approve(flow, keys.path("bob"))
    assert digest(flow) == first  # approvals do not change what is approved
    assert gate(flow)[0] == "pass"
    assert undated(gate(flow)[1]) == f"2 of 2: {BOB}; {DORA}"
    listed = json.loads(flow.well("approve", "prod", "--list", "--json").out)
    assert [row["counts"] for row in listed["approvals"]] == [True, True]
    told = json.loads(flow.well("history", "--json").out)["entries"]
    assert [e["reason"] for e in told if e["what"] == "approval"] == [f"approve plan {first}"] * 2
    flow.promoted("prod")
    flow.push("develop")
    flow.promoted("stage")
    assert gate(flow)[1].startswith("0 of 2; ")


def test_a_plan_that_changed_wants_new_approvals(flow: FlowSite, keys: Keys) -> None:
    asking(flow, [keys.line(DORA, "dora")], count=1)
    old = digest(flow)
    approve(flow, keys.path("dora"))
    assert gate(flow)[0] == "pass"
    flow.push("develop")
    flow.promoted("stage")
    assert gate(flow)[0] == "fail"
    said = flow.refused("approve", "prod", "--expect", old, "--key", keys.path("dora"), "--yes")
    assert f"the next promotion to prod is {digest(flow)}, not {old}" in said
    assert "is of another plan" in flow.well("approve", "prod", "--list").out


def test_what_was_revoked_never_comes_back(flow: FlowSite, keys: Keys) -> None:
    asking(flow, [keys.line(DORA, "dora")], count=1)
    approve(flow, keys.path("dora"))
    (event,) = [e for e in flow.state().events if e.kind == "approval"]
    flow.well("approve", "prod", "--revoke", event.id[:20], "--yes")
    assert gate(flow)[1].startswith("0 of 1")
    git = Git(str(flow.remote.path))
    again = journal.append(git, flow.refs()[JOURNAL_REF], [event])[0]
    flow.remote.git("update-ref", JOURNAL_REF, again)  # somebody tells the same once more
    assert gate(flow)[1].startswith("0 of 1")
    approve(flow, keys.path("dora"))
    assert gate(flow)[0] == "pass"


def test_strangers_authors_and_expired_keys_are_told_before_they_sign(
    flow: FlowSite, keys: Keys
) -> None:
    author = flow.git("log", "-1", "--format=%ae", "origin/develop")
    asking(
        flow,
        [
            keys.line(author.upper(), "author"),
            keys.line(CID, "old", 'valid-before="20200101"'),
            keys.line(BOB, "other-use", 'namespaces="git"'),
        ],
        count=1,
    )
    words = ("approve", "prod", "--expect", digest(flow), "--yes", "--key")
    assert "made or promoted a commit of it" in flow.refused(*words, keys.path("author"))
    for name in ("stranger", "old", "other-use"):
        assert "no valid signature by an allowed signer" in flow.refused(*words, keys.path(name))
    assert "cannot be signed" in flow.refused(*words, str(keys.folder / "none"))
    assert "not configured to sign with an ssh key" in flow.refused(*words[:-1])


def test_what_is_written_into_the_journal_by_hand_does_not_count(
    flow: FlowSite, keys: Keys
) -> None:
    asking(
        flow, [keys.line(DORA, "dora"), keys.line(CID, "old", 'valid-before="20200101"')], count=1
    )
    flow.record("approval", action="approve", saltenv="prod", digest=whole(flow), signature="yes")
    flow.record("approval", action="approve", saltenv="prod", digest=5, signature=["x"])
    flow.record("approval", action=["approve"], saltenv={}, digest=None)
    flow.record("approval", action="revoke", approval="x" * 5000)
    forge(flow, keys.path("dora"))  # signed for another event
    forge(flow, keys.path("dora"), signed="0" * 64)  # signed for another plan
    forge(flow, keys.path("stranger"))
    forge(flow, keys.path("old"))
    verdict, reason = gate(flow)
    assert verdict == "fail"
    assert reason.startswith("0 of 1; not counted: Bob <bob@example.com> (no valid signature")


def test_two_keys_of_one_person_are_one_person(flow: FlowSite, keys: Keys) -> None:
    asking(
        flow,
        [keys.line(DORA, "dora"), keys.line(DORA, "dora2"), keys.line(BOB, "shared")]
        + [keys.line(CID, "shared")],
    )
    approve(flow, keys.path("dora"))
    approve(flow, keys.path("dora2"))
    assert undated(gate(flow)[1]).startswith(f"1 of 2: {DORA}; ")
    approve(flow, keys.path("shared"))
    approve(flow, keys.path("shared"))
    assert gate(flow)[0] == "pass"
    assert undated(gate(flow)[1]) == f"2 of 2: {BOB}, {CID}; {DORA}"


def test_signers_are_those_of_production_and_never_of_the_change(
    flow: FlowSite, keys: Keys
) -> None:
    rule = {"approvals": {"count": 1, "from": "ops/signers"}}
    flow.model["saltenvs"]["prod"]["gates"] = [rule]
    files = {"saltbranch.yaml": as_yaml(flow.model), "ops/signers": keys.line(DORA, "dora") + "\n"}
    flow.push("develop", files, "KEY-3 Signers")
    flow.to_prod()
    flow.push("develop", {"ops/signers": keys.line(CID, "cid") + "\n"}, "KEY-4 Other signers")
    flow.promoted("stage")
    words = ("approve", "prod", "--expect", digest(flow), "--yes", "--key")
    assert "no valid signature by an allowed signer" in flow.refused(*words, keys.path("cid"))
    approve(flow, keys.path("dora"))
    flow.promoted("prod")
    flow.push("develop")
    flow.promoted("stage")
    words = ("approve", "prod", "--expect", digest(flow), "--yes", "--key")
    assert "no valid signature by an allowed signer" in flow.refused(*words, keys.path("dora"))
    approve(flow, keys.path("cid"))
    assert (gate(flow)[0], undated(gate(flow)[1])) == ("pass", f"1 of 1: {CID}")


def test_an_approval_of_somebody_who_left_is_void(flow: FlowSite, keys: Keys) -> None:
    rule = {"approvals": {"count": 1, "from": "ops/signers"}}
    flow.model["saltenvs"]["prod"]["gates"] = [rule]
    both = f"{keys.line(DORA, 'dora')}\n{keys.line(BOB, 'bob')}\n"
    flow.push("develop", {"saltbranch.yaml": as_yaml(flow.model), "ops/signers": both}, "KEY-3 S")
    flow.to_prod()
    flow.push("develop", {"ops/signers": keys.line(BOB, "bob") + "\n"}, "KEY-4 Dora leaves")
    flow.promoted("stage")
    approve(flow, keys.path("bob"))
    flow.promoted("prod")
    flow.push("develop")
    flow.promoted("stage")
    forge(flow, keys.path("dora"))
    assert gate(flow)[0] == "fail"


def test_who_signed_a_commit_of_it_is_an_author_whatever_it_says(
    flow: FlowSite, keys: Keys
) -> None:
    asking(flow, [keys.line(CID, "cid")], count=1)
    flow.git("fetch", "--quiet")
    flow.git("checkout", "--quiet", "-B", "develop", "origin/develop")
    flow.git("config", "gpg.format", "ssh")
    flow.git("config", "user.signingkey", keys.path("cid"))
    (flow.clone / "salt" / "x.sls").write_text("x:\n  test.nop: []\n")
    flow.git("add", "-A")
    flow.git("commit", "--quiet", "-S", "-m", "KEY-5 Signed")
    flow.git("push", "--quiet", "origin", "develop")
    flow.promoted("stage")
    said = flow.refused("approve", "prod", "--expect", digest(flow), "--yes")
    assert "made or promoted a commit of it" in said


def test_a_plan_of_another_verb_is_approved_by_its_whole_digest(flow: FlowSite, keys: Keys) -> None:
    asking(flow, [keys.line(DORA, "dora")], count=1)
    flow.well("hotfix", "start", "1.0.1")
    flow.commit({"salt/fix.sls": "fix:\n  test.nop: []\n"}, "KEY-3 Fix")
    said = flow.refused("hotfix", "finish", "--yes")
    assert "approvals: fail: 0 of 1" in said
    name = said.split("--expect ")[1].split()[0]
    assert len(name) == 64
    ran = flow.well("approve", "prod", "--expect", name, "--key", keys.path("dora"), "--yes")
    assert "was not made on this machine" in ran.out
    flow.well("hotfix", "finish", "--yes")


def test_an_override_is_recorded(flow: FlowSite, keys: Keys) -> None:
    asking(flow, [keys.line(DORA, "dora")], count=1)
    flow.promoted("prod", "--override", "approvals", "--reason", "Dora is ill")
    (event,) = [e for e in flow.state().events if e.kind == "override"]
    assert (event.details["gate"], event.details["reason"]) == ("approvals", "Dora is ill")


def test_an_approval_that_is_revoked_during_the_push_stops_it(flow: FlowSite, keys: Keys) -> None:
    asking(flow, [keys.line(DORA, "dora")], count=1)
    approve(flow, keys.path("dora"))
    (event,) = [e for e in flow.state().events if e.kind == "approval"]
    revoked = flow.prepared("approval", action="revoke", saltenv="prod", approval=event.id)
    before = flow.head("master")
    once = flow.race(JOURNAL_REF, revoked)
    ran = flow.run("promote", "prod", "--yes")
    assert once.exists()
    assert (ran.code, flow.head("master")) == (4, before), ran
    assert "approvals: fail: 0 of 1" in ran.err


def test_an_approval_goes_on_where_somebody_else_wrote_first(flow: FlowSite, keys: Keys) -> None:
    asking(flow, [keys.line(DORA, "dora")], count=1)
    other = flow.prepared("hold", saltenv="test", commit=flow.head("develop"), reason="x")
    expect = digest(flow)
    once = flow.race(JOURNAL_REF, other)
    approve(flow, keys.path("dora"), expect=expect)
    assert once.exists()
    assert flow.kinds().count("approval") == 1
    assert gate(flow)[0] == "pass"


def test_a_model_whose_signers_are_not_there_is_not_merged(flow: FlowSite) -> None:
    rule = {"approvals": {"count": 1, "from": "ops/signers"}}
    flow.model["saltenvs"]["prod"]["gates"] = [rule]
    flow.push("develop", {"saltbranch.yaml": as_yaml(flow.model)}, "KEY-3 Model")
    verdict, reason = flow.gates("promote", "stage")["model"]
    assert (verdict, "ops/signers: there is no such file" in reason) == ("fail", True)


def test_wrong_usage(flow: FlowSite, keys: Keys) -> None:
    assert "asks for no approvals" in flow.refused("approve", "prod", "--expect", "0" * 16)
    assert "is required" in flow.refused("approve", "prod", code=2)
    assert "no approval of prod" in flow.refused("approve", "prod", "--revoke", "x", code=2)


def test_all_names_of_a_certificate_are_its_owners(keys: Keys) -> None:
    """Else whoever has two could approve by one what they wrote by the other."""
    words = [
        "ssh-keygen",
        "-q",
        "-s",
        keys.path("ca"),
        "-I",
        "x",
        "-n",
        f"alias@example.com,{DORA}",
    ]
    subprocess.run([*words, f"{keys.path('dora')}.pub"], check=True)
    signed = keys.folder / "signed"
    signed.write_bytes(Path(keys.path("dora")).read_bytes())
    signed.chmod(0o600)
    Path(f"{signed}.pub").write_bytes((keys.folder / "dora-cert.pub").read_bytes())
    text = signed_text("x1", "prod", "d" * 64)
    signature = ssh_signature.sign(Git(str(keys.folder)), text, str(signed))
    signers = f"{keys.line('*@example.com', 'ca', 'cert-authority')}\n"
    who = ssh_signature.verify(text, signature, signers)
    assert who and who.principals == {"alias@example.com", DORA}
    assert People(frozenset({DORA})).has(who)
    assert ssh_signature.verify(text, signature, signers.replace("*@", "x@")) is None


# Many


def test_a_flood_costs_no_process_and_hides_nobody(
    flow: FlowSite, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking(flow, [keys.line(DORA, "dora"), keys.line(BOB, "bob")])
    approve(flow, keys.path("dora"))
    plan = whole(flow)
    git = Git(str(flow.remote.path))
    foreign = ssh_signature.sign(git, b"x", keys.path("eve"))
    named = ssh_signature.sign(git, signed_text("other", "prod", plan), keys.path("dora"))
    told = {"action": "approve", "saltenv": "prod", "digest": plan}
    flood = [named if number % 60 == 0 else foreign for number in range(120)]
    rows = [event("approval", **told, signature=signature) for signature in flood]
    head = journal.append(git, flow.refs().get(JOURNAL_REF), rows)[0]
    flow.remote.git("update-ref", JOURNAL_REF, head)
    approve(flow, keys.path("bob"), expect=plan)
    asked: list[bytes] = []
    real = ssh_signature._keygen

    def keygen(*words: str, stdin: bytes = b"") -> Finished:
        asked.append(stdin)
        return real(*words, stdin=stdin)

    monkeypatch.setattr(ssh_signature, "_keygen", keygen)
    assert undated(gate(flow)[1]) == f"2 of 2: {BOB}; {DORA}"
    assert len(asked) <= 4, "bob, what names dora's key, and dora"
    assert len(flow.state().approvals) == 100
    flow.promoted("prod")


def test_only_the_newest_of_a_person_is_verified_and_enough_is_enough(
    flow: FlowSite, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [(DORA, "dora"), (BOB, "bob"), (CID, "cid")]
    asking(flow, [keys.line(*name) for name in names])
    for key in ("dora", "dora", "bob", "cid", "cid"):
        approve(flow, keys.path(key))
    asked: list[str] = []
    real = ssh_signature.verify

    def verify(text: bytes, signature: str, signers: str) -> Vouched | None:
        asked.append(ssh_keys.signing_key(signature))
        return real(text, signature, signers)

    monkeypatch.setattr(ssh_signature, "verify", verify)
    assert undated(gate(flow)[1]) == f"2 of 2: {BOB}; {CID}"
    assert len(asked) == len(set(asked)) == 2
    assert len(json.loads(flow.well("approve", "prod", "--list", "--json").out)["approvals"]) == 5


@pytest.mark.parametrize(
    ("line", "knows"),
    [("{}", True), ("# a comment", True), ("", True), ("{} cert", True)]
    + [("*@example.com cert-authority {}", False), ("strange", False)],
)
def test_which_keys_may_sign_is_known_or_said_not_to_be(keys: Keys, line: str, knows: bool) -> None:
    text = line.format(keys.line(DORA, "dora"))
    lines = f"{keys.line(BOB, 'bob')}\n{text}\n"
    assert allowed_signers.knows_all_keys(lines) is knows
