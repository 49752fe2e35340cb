"""JUnit XML, in the shape that GitLab, Jenkins and others read."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import groupby

from saltbranch.check.result import CheckResult, RefResult

# What XML 1.0 cannot hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(result: CheckResult) -> str:
    """A suite for each ref, a case for each file with findings; notes are not failures."""
    root = ET.Element("testsuites", name="saltbranch check")
    for ref in result.refs:
        root.append(_suite(ref))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(ref: RefResult) -> ET.Element:
    suite = ET.Element("testsuite", name=_clean(ref.name))
    failures = 0
    for file, group in groupby(ref.findings, key=lambda finding: finding.file):
        for finding in group:
            case = ET.SubElement(
                suite,
                "testcase",
                classname=_clean(file),
                name=_clean(f"{finding.rule} line {finding.line}"),
                file=_clean(file),
            )
            text = _clean(f"{file}:{finding.line}: {finding.message}\n-> {finding.fix}")
            if finding.severity == "note":
                ET.SubElement(case, "system-out").text = text
            else:
                failures += 1
                failure = ET.SubElement(
                    case, "failure", type=finding.severity, message=_clean(finding.message)
                )
                failure.text = text
    if not ref.findings:
        ET.SubElement(suite, "testcase", classname="saltbranch", name="no findings")
    suite.set("tests", str(max(1, len(ref.findings))))
    suite.set("failures", str(failures))
    suite.set("errors", "0")
    return suite


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
