"""Findings that a repository lets pass, and the baseline of detect-secrets."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest

from saltbranch.check import allow, scanners
from tests.support.checking import TOOLS, findings

FILES: dict[str, str | bytes] = {
    "salt/x": "", "pillar/a.sls": "token: hunter2hunter2\npassword: hunter2hunter3\n",
}  # fmt: skip


def test_an_entry_lets_its_findings_pass_and_no_others() -> None:
    entries, wrong = allow.parse(
        "allow:\n- {rule: plaintext-secret, file: 'pillar/*.sls', match: \"'token'\", reason: a sample}\n"
    )
    kept, allowed, idle = allow.apply(findings(FILES), entries)
    assert not wrong and allowed == 1 and not idle
    assert [(f.line, f.rule) for f in kept] == [(2, "plaintext-secret")]


def test_skip_leaves_a_rule_out_everywhere() -> None:
    entries, _ = allow.parse("skip: [plaintext-secret]")
    assert allow.apply(findings(FILES), entries) == ([], 2, [])


def test_an_entry_that_allows_nothing_is_noted() -> None:
    entries, _ = allow.parse("allow: [{rule: x, file: y, reason: z}]")
    _, _, idle = allow.apply(findings(FILES), entries)
    assert [(f.file, f.severity) for f in idle] == [(allow.FILE, "note")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("allow: [{rule: x, file: y}]", "an entry without reason"),
        ("allow: [{rule: x, reason: y}]", "an entry without file"),
        ("allow: [{rule: x, file: y, reason: z, line: 3}]", "unknown key 'line'"),
        ("alow: []", "unknown key 'alow'"),
        ("allow: [", "YAML: "),
    ],
)
def test_what_cannot_be_used_allows_nothing_and_is_said(text: str, message: str) -> None:
    entries, wrong = allow.parse(text)
    assert entries == [] and wrong[0].message.startswith(message)


def test_baseline_of_detect_secrets_is_honoured() -> None:
    key = "AKIA" + "QWERTYUIOPASDFGH"
    digest = hashlib.sha1(key.encode()).hexdigest()
    files: dict[str, str | bytes] = {"salt/x": f"a = {key}\n", "salt/y": f"a = {key}\n"}
    baseline = json.dumps({"results": {"salt/x": [{"hashed_secret": digest}]}})
    scanner = scanners.SecretScanner(baseline.encode())
    found = findings(files, tools=dataclasses.replace(TOOLS, secrets=scanner.scan))
    assert {f.file for f in findings(files)} == {"salt/x", "salt/y"}
    assert {f.file for f in found} == {"salt/y"}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"results": 3}', '{"results": {"a": [{}]}}'])
def test_a_damaged_baseline_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a baseline"):
        scanners.SecretScanner(text.encode())
