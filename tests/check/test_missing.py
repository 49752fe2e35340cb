"""What is declared as missing is no error of the rules that read; what nobody declared is."""

from __future__ import annotations

import pytest

from saltbranch.check.finding import Finding
from tests.support import checking

FILES = {
    "salt/top.sls": "base:\n  '*': [web, secrets.keys, formula/web]\n",
    "salt/web.sls": """\
{% from 'formula/map.jinja' import x with context %}
include: [formula]
extend:
  formula-service:
    service.running:
      - enable: true
/etc/key:
  file.managed:
    - source: salt://keys/id.pub
/etc/keys:
  file.recurse:
    - source: salt://keys
    - require: [{sls: formula}, {pkg: formula-package}]
""",
    "pillar/top.sls": "base:\n  '*': [secrets.db, 'private.*']\n",
}
MISSING = ("secrets.*", "private.*", "formula", "formula.*", "salt://formula/*", "salt://keys/*")
ERRORS = {
    ("salt/top.sls", "top-missing-sls"),
    ("salt/web.sls", "include-missing"),
    ("salt/web.sls", "template-missing"),
    ("salt/web.sls", "source-missing"),
    ("salt/web.sls", "requisite-missing"),
    ("salt/web.sls", "extend-missing"),
    ("pillar/top.sls", "top-missing-sls"),
}


def errors(found: tuple[Finding, ...]) -> set[tuple[str, str]]:
    return {(f.file, f.rule) for f in found if f.severity == "error"}


def test_without_it_each_is_an_error() -> None:
    assert errors(checking.findings(FILES)) == ERRORS


def test_declared_it_is_none() -> None:
    assert errors(checking.findings(FILES, missing=MISSING)) == set()


@pytest.mark.parametrize("number", range(len(MISSING)))
def test_each_that_is_not_declared_is_one(number: int) -> None:
    rest = tuple(p for n, p in enumerate(MISSING) if n != number)
    found = errors(checking.findings(FILES, missing=rest))
    assert found and found < ERRORS


def test_what_is_there_is_judged_all_the_same() -> None:
    files = {**FILES, "salt/formula/init.sls": "formula-service:\n  service.runing: []\n"}
    found = errors(checking.findings(files, missing=MISSING))
    assert found == {("salt/formula/init.sls", "unknown-state-function")}
