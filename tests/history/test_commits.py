"""Commits are read in one place: every verb says the same author and subject, whatever git is configured to show."""

from __future__ import annotations

import json

from tests.support.flow_site import FlowSite

SETTINGS = {
    "i18n.logOutputEncoding": "ISO-8859-1",
    "log.showSignature": "true",
    "log.follow": "true",
    "log.mailmap": "true",
    "trailer.separators": "=:",
}


def test_author_and_subject_are_the_same_for_all_verbs(flow: FlowSite) -> None:
    flow.git("config", "user.name", "Jörg Müßig")
    for key, value in SETTINGS.items():
        flow.git("config", key, value)
    flow.git("checkout", "-q", "develop")
    flow.git("-c", "user.email=j@example.com", "commit", "-q", "--allow-empty", "--author",
             "Jörg Müßig <j@example.com>", "-m", "KEY-77 größere Dateien")  # fmt: skip
    flow.git("push", "-q", "origin", "develop")

    plan = flow.plan("promote", "stage")
    planned = [c for g in plan["groups"] for c in g["commits"]]
    flow.promoted("stage")
    changes = json.loads(flow.well("changelog", "stage", "--json").out)
    logged = [c for g in changes["groups"] for c in g["commits"]]

    for commits in (planned, logged):
        (found,) = [c for c in commits if "KEY-77" in c["subject"]]
        assert (found["author"], found["subject"]) == ("Jörg Müßig", "KEY-77 größere Dateien")
    assert "KEY-77 größere Dateien" in flow.well("where", "KEY-77").out
