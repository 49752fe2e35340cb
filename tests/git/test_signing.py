"""Signatures and identity: what git is configured to do counts for the commits and tags of a promotion."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from saltbranch.git import identity
from saltbranch.git.mirror import JOURNAL_REF
from tests.support.flow_site import FlowSite

WEB = {"salt/web.sls": "web: {test.nop: []}\n"}


@pytest.fixture
def gpg_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A key ring; its sockets want a short path."""
    home = Path(tempfile.mkdtemp(prefix="g"))
    monkeypatch.setenv("GNUPGHOME", str(home))
    yield home
    subprocess.run(["gpgconf", "--kill", "all"], check=False, capture_output=True)
    shutil.rmtree(home, ignore_errors=True)


def gpg_key(passphrase: str = "") -> str:
    """A new OpenPGP key; its fingerprint."""
    words = ["--batch", "--pinentry-mode", "loopback", "--passphrase", passphrase]
    make = ["--quick-gen-key", "Ann <ann@example.com>", "ed25519", "sign", "never"]
    subprocess.run(["gpg", "--quiet", *words, *make], check=True, capture_output=True)
    listed = ["gpg", "--batch", "--with-colons", "--list-secret-keys"]
    done = subprocess.run(listed, check=True, capture_output=True, text=True)
    return next(line.split(":")[9] for line in done.stdout.splitlines() if line.startswith("fpr:"))


def ssh_key(folder: Path, passphrase: str = "") -> Path:
    path = folder / "key"
    words = ["-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)]
    subprocess.run(["ssh-keygen", *words], check=True)
    return path


def sign_with(flow: FlowSite, form: str, key: str, **more: str) -> None:
    settings = {"gpg.format": form, "user.signingKey": key, **more}
    for name, value in settings.items():
        flow.git("config", name, value)


def raw(flow: FlowSite, name: str) -> str:
    flow.git("fetch", "--quiet", "--tags", "--force", "origin", "+refs/*:refs/seen/*")
    return flow.git("cat-file", "-p", name)


@pytest.mark.parametrize("form", ["openpgp", "ssh"])
def test_merge_commits_and_tags_are_signed(flow: FlowSite, form: str, gpg_home: Path) -> None:
    if form == "ssh":
        key = ssh_key(flow.folder)
        allowed = flow.folder / "allowed"
        allowed.write_text(f"ann@example.com {key.with_suffix('.pub').read_text()}")
        sign_with(flow, "ssh", f"{key}.pub", **{"gpg.ssh.allowedSignersFile": str(allowed)})
    else:
        sign_with(flow, "openpgp", gpg_key())
    flow.git("config", "commit.gpgSign", "true")
    flow.git("config", "tag.gpgSign", "yes")
    flow.push("develop", WEB, "KEY-5 Web")
    flow.push("stage", {"salt/own.sls": "x\n"}, "KEY-6 So that a back-merge follows")
    refs = set(flow.git("for-each-ref", "--format=%(refname)").split())
    flow.well("promote", "stage", "--yes", "--tag", "v1.0.0-rc.1", "--no-diff")
    assert set(flow.git("for-each-ref", "--format=%(refname)").split()) >= refs
    assert "gpgsig" in raw(flow, flow.head("stage"))
    tag = raw(flow, "refs/seen/tags/v1.0.0-rc.1")
    assert "-----BEGIN" in tag and f"object {flow.head('stage')}" in tag
    flow.git("verify-commit", flow.head("stage"))
    flow.git("verify-tag", "v1.0.0-rc.1")
    head = flow.remote.git("rev-parse", JOURNAL_REF)
    assert "gpgsig" not in raw(flow, head)
    assert flow.trailers(flow.head("stage"))["Promotion-Kind"] == "promotion"


def test_each_is_signed_only_where_it_is_asked_for(flow: FlowSite) -> None:
    key = ssh_key(flow.folder)
    sign_with(flow, "ssh", f"{key}.pub", **{"tag.gpgSign": "true", "commit.gpgSign": "false"})
    flow.push("develop", WEB, "KEY-5 Web")
    flow.well("promote", "stage", "--yes", "--tag", "v1.0.0-rc.1", "--no-diff")
    assert "gpgsig" not in raw(flow, flow.head("stage"))
    assert "BEGIN SSH SIGNATURE" in raw(flow, "refs/seen/tags/v1.0.0-rc.1")
    flow.git("config", "tag.gpgSign", "false")
    flow.git("config", "commit.gpgSign", "1")
    flow.push("develop", {"salt/b.sls": "b\n"}, "KEY-6 B")
    flow.well("promote", "stage", "--yes", "--tag", "v1.0.0-rc.2", "--no-diff")
    assert "gpgsig" in raw(flow, flow.head("stage"))
    assert "BEGIN SSH SIGNATURE" not in raw(flow, "refs/seen/tags/v1.0.0-rc.2")


@pytest.mark.parametrize("form", ["openpgp", "ssh"])
@pytest.mark.parametrize("option", ["commit.gpgSign", "tag.gpgSign"])
def test_nobody_is_asked_for_a_passphrase_and_nothing_is_pushed(
    flow: FlowSite, form: str, option: str, gpg_home: Path
) -> None:
    asked = flow.folder / "asked"
    pinentry = flow.folder / "pinentry"
    pinentry.write_text(f"#!/bin/sh\ntouch {asked}\nsleep 60\n")
    pinentry.chmod(0o755)
    (gpg_home / "gpg-agent.conf").write_text(f"pinentry-program {pinentry}\n")
    key = str(ssh_key(flow.folder, "secret")) if form == "ssh" else gpg_key("secret")
    subprocess.run(["gpgconf", "--kill", "all"], check=False)  # it remembers the passphrase
    sign_with(flow, form, key, **{option: "true"})
    flow.push("develop", WEB, "KEY-5 Web")
    before, begun = flow.refs(), time.monotonic()
    said = flow.refused("promote", "stage", "--yes", "--tag", "v1.0.0-rc.1", "--no-diff")
    assert time.monotonic() - begun < 30
    assert f"cannot be signed, which {option} asks for" in said
    assert "no prompt is possible here" in said
    assert flow.refs() == before
    assert not asked.exists()
    flow.well("hold", "stage", "--reason", "the journal needs no key", "--yes")


def test_a_plan_needs_no_key_and_asks_for_none(flow: FlowSite) -> None:
    sign_with(flow, "ssh", "/nowhere/key", **{"commit.gpgSign": "true"})
    flow.push("develop", WEB, "KEY-5 Web")
    assert flow.plan("promote", "stage")["steps"][0]["kind"] == "merge"


@pytest.fixture
def nobody(flow: FlowSite, monkeypatch: pytest.MonkeyPatch) -> FlowSite:
    """A user whom git may not guess."""
    flow.push("develop", WEB, "KEY-5 Web")
    for name in [n for n in os.environ if n.startswith("GIT_") and n.endswith(("_NAME", "_EMAIL"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("EMAIL", raising=False)
    for key in ("user.name", "user.email"):
        subprocess.run(["git", "-C", str(flow.clone), "config", "--unset-all", key], check=False)
    flow.git("config", "user.useConfigOnly", "true")
    return flow


@pytest.mark.parametrize(
    "words", [("promote", "stage"), ("hold", "stage", "--reason", "it breaks")], ids=lambda w: w[0]
)
def test_without_an_identity_it_is_refused_as_git_does(
    nobody: FlowSite, words: tuple[str, ...]
) -> None:
    before = nobody.refs()
    said = nobody.refused(*words, "--yes")
    assert "user.useConfigOnly forbids to guess" in said
    assert nobody.refs() == before
    nobody.plan("promote", "stage")  # looking is no writing
    nobody.git("config", "user.email", "ann@example.com")
    nobody.git("config", "user.name", "Ann")
    identity._who.cache_clear()
    nobody.well(*words, "--yes")
