"""Findings that a repository allows: `.saltbranch-check.yaml` at its root.

allow:
  - rule: plaintext-secret
    file: pillar/dev/*.sls
    match: token            # optional: must be part of the message
    reason: only on developers' own machines
skip: [salt-lint-204]
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass

from saltbranch.check import catalogue as rules
from saltbranch.check import yaml_nodes
from saltbranch.check.finding import Finding
from saltbranch.check.yaml_nodes import items, line_of, pairs, text_of

FILE = ".saltbranch-check.yaml"
BASELINE = ".secrets.baseline"
_KEYS = frozenset({"rule", "file", "match", "reason"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One allowed kind of finding; `file` and `rule` are globs."""

    rule: str
    file: str
    match: str
    line: int

    def allows(self, finding: Finding) -> bool:
        """Whether it speaks of `finding`."""
        return (
            fnmatch.fnmatchcase(finding.rule, self.rule)
            and fnmatch.fnmatchcase(finding.file, self.file)
            and self.match in finding.message
        )


def parse(text: str) -> tuple[list[Entry], list[Finding]]:
    """The entries of the file, and what is wrong with it: then that part allows nothing."""
    try:
        root = yaml_nodes.compose(text)
    except yaml_nodes.YamlProblem as err:
        return [], [rules.ALLOW.at(FILE, err.line, f"YAML: {err.message[:200]}")]
    entries, wrong = [], []
    for key, key_node, value in pairs(root):
        if key == "skip":
            names = [(text_of(n) or "", line_of(n)) for n in items(value)]
            entries += [Entry(name, "*", "", line) for name, line in names if name]
        elif key == "allow":
            for node in items(value):
                problem = _entry(node, entries)
                if problem:
                    wrong.append(rules.ALLOW.at(FILE, line_of(node), problem))
        else:
            wrong.append(rules.ALLOW.at(FILE, line_of(key_node), f"unknown key {key[:60]!r}"))
    return entries, wrong


def _entry(node: object, entries: list[Entry]) -> str | None:
    values = {key: text_of(value) or "" for key, _, value in pairs(node)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - _KEYS):
        return f"unknown key {unknown[0][:60]!r}"
    if missing := [key for key in ("rule", "file", "reason") if not values.get(key)]:
        return f"an entry without {missing[0]}"
    line = line_of(node)  # type: ignore[arg-type]
    entries.append(Entry(values["rule"], values["file"], values.get("match", ""), line))
    return None


def apply(
    findings: Iterable[Finding], entries: list[Entry]
) -> tuple[list[Finding], int, list[Finding]]:
    """The findings that stay, how many were allowed, and a note for each entry that allows none."""
    kept, used, allowed = [], set(), 0
    for finding in findings:
        hits = [entry for entry in entries if entry.allows(finding)]
        used.update(hits)
        if hits:
            allowed += 1
        else:
            kept.append(finding)
    idle = [
        rules.ALLOW.at(FILE, e.line, f"nothing to allow: {e.rule[:60]} in {e.file[:80]}", severity="note")
        for e in entries
        if e not in used and e.file != "*"
    ]  # fmt: skip
    return kept, allowed, idle
