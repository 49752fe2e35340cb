"""SARIF 2.1.0 (OASIS), as code hosts take it for their security pages."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any
from urllib.parse import quote

from saltbranch import __version__
from saltbranch.check.catalogue import RULES
from saltbranch.check.finding import Finding
from saltbranch.check.result import CheckResult, RefResult

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(result: CheckResult) -> str:
    """One run for each ref."""
    runs = [_run(ref) for ref in result.refs]
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": runs}, indent=2) + "\n"


def _run(ref: RefResult) -> dict[str, Any]:
    names = sorted({finding.rule for finding in ref.findings})
    seen: Counter[str] = Counter()
    return {
        "tool": {
            "driver": {
                "name": "saltbranch",
                "version": __version__,
                "rules": [_rule(name) for name in names],
            }
        },
        "automationDetails": {"id": f"saltbranch/check/{ref.name}/"},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, names, seen) for finding in ref.findings],
    }


def _rule(name: str) -> dict[str, Any]:
    known = RULES.get(name)
    title = known.title if known else f"Rule {name.rpartition('-')[2]} of salt-lint"
    return {"id": name, "shortDescription": {"text": title}}


def _result(finding: Finding, names: list[str], seen: Counter[str]) -> dict[str, Any]:
    # Of what is shown only: a hash of the line would tell a short secret to whoever guesses.
    told = f"{finding.rule}\n{finding.file}\n{finding.message}"
    seen[told] += 1
    mark = hashlib.sha256(f"{told}\n{seen[told]}".encode("utf-8", "surrogatepass")).hexdigest()
    location: dict[str, Any] = {
        "artifactLocation": {"uri": quote(finding.file.encode("utf-8", "surrogateescape"))}
    }
    if finding.line > 0:
        location["region"] = {"startLine": finding.line}
    return {
        "ruleId": finding.rule,
        "ruleIndex": names.index(finding.rule),
        "level": finding.severity,
        "message": {"text": f"{finding.message}. {finding.fix}"},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"saltbranch/v1": mark},
    }
