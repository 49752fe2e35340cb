"""The findings in the formats of other programs."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

from saltbranch.check.catalogue import RULES
from saltbranch.check.finding import Finding, Severity
from saltbranch.check.report import FORMATS
from saltbranch.check.result import CheckResult, RefResult

ODD = Finding(
    "salt/a b\x1b,:%.sls",
    3,
    "symlink",
    "warning",
    "one\n::error::two <&>\x07",
    "fix",
    "hidden-line",
)
RESULT = CheckResult(
    (
        RefResult("develop", "1" * 40, None, 2, 0, 0, (
            ODD,
            Finding("salt/b.sls", 0, "salt-lint-204", "note", "long", "shorten"),
            Finding("salt/b.sls", 0, "salt-lint-204", "note", "long", "shorten"),
            Finding("salt/\udcff.sls", 1, "not-utf-8", "error", "bad", "fix"),
        )),
        RefResult("master", "2" * 40, None, 2, 0, 0, ()),
    ),
    "warning",
)  # fmt: skip


def test_sarif_has_a_run_for_each_ref_and_distinct_fingerprints() -> None:
    log: dict[str, Any] = json.loads(FORMATS["sarif"](RESULT))
    assert log["version"] == "2.1.0" and len(log["runs"]) == 2
    run = log["runs"][0]
    names = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    marks = set()
    for result in run["results"]:
        assert names[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        marks.add(result["partialFingerprints"]["saltbranch/v1"])
    assert len(marks) == len(run["results"]) == 4
    first = run["results"][0]["locations"][0]["physicalLocation"]
    assert first["artifactLocation"]["uri"] == "salt/a%20b%1B%2C%3A%25.sls"
    assert first["region"] == {"startLine": 3}
    assert "region" not in run["results"][1]["locations"][0]["physicalLocation"]
    assert log["runs"][1]["results"] == []


def test_junit_is_xml_and_counts_notes_as_passed() -> None:
    text = FORMATS["junit"](RESULT).encode("utf-8", "replace")
    suites = list(ET.fromstring(text))
    assert [suite.get("name") for suite in suites] == ["develop", "master"]
    assert (suites[0].get("tests"), suites[0].get("failures")) == ("4", "2")
    assert len(suites[0].findall("testcase/failure")) == 2
    assert (suites[1].get("tests"), suites[1].get("failures")) == ("1", "0")


def test_github_annotations_cannot_be_forged() -> None:
    lines = FORMATS["github"](RESULT).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(
        "::warning file=salt/a b\N{REPLACEMENT CHARACTER}%2C%3A%25.sls,line=3,"
    )
    assert "one%0A::error::two" in lines[0]
    assert [line.split(" ")[0] for line in lines[1:]] == ["::notice", "::notice", "::error"]
    assert "\x1b" not in "".join(lines) and "\x07" not in "".join(lines)


def test_no_format_shows_the_line_itself() -> None:
    for write in FORMATS.values():
        assert "hidden-line" not in write(RESULT)
    assert "hidden-line" not in json.dumps(RESULT.as_dict()) + repr(RESULT)


def test_exit_code_follows_the_severity_that_counts() -> None:
    def code(severity: Severity, fail_on: Severity) -> int:
        found = (Finding("a", 1, "yaml-syntax", severity, "m", "f"),)
        return CheckResult((RefResult("x", None, None, 1, 0, 0, found),), fail_on).exit_code

    assert [code(s, "warning") for s in ("error", "warning", "note")] == [3, 3, 0]
    assert [code(s, "error") for s in ("error", "warning", "note")] == [3, 0, 0]
    assert [code(s, "note") for s in ("error", "warning", "note")] == [3, 3, 3]


def test_every_rule_says_what_to_do() -> None:
    for rule in RULES.values():
        assert rule.title and rule.fix and not rule.fix.endswith(".")
