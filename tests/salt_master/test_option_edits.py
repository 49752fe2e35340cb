"""Options are taken out of a file as comments; all else in it stays to the byte."""

from __future__ import annotations

import pytest
import yaml

from saltbranch.base.errors import RefusedError
from saltbranch.salt_master.option_edits import MARK, without

TEXT = """\
# The master.
interface: 127.0.0.1  # here only

file_roots:
  base:
    # the states
    - /srv/salt

# About gitfs.
gitfs_remotes: [a,
  b]
ext_pillar:
- git:
  - master file:///x
- cmd_yaml: |
    echo 'a: 1'

    echo 'b: 2'

# The end.
"""


def test_only_lines_of_the_options_change() -> None:
    made = without(TEXT, "/etc/salt/master", {"file_roots": None, "gitfs_remotes": None})
    assert made.replace(MARK, "") == TEXT
    assert yaml.safe_load(made) == {
        "interface": "127.0.0.1",
        "ext_pillar": yaml.safe_load(TEXT)["ext_pillar"],
    }
    assert "\n\n# About gitfs.\n" in made


def test_a_value_that_stays_follows_what_was_taken_out() -> None:
    kept = [{"cmd_yaml": "echo 'a: 1'\n\necho 'b: 2'\n"}]
    made = without(TEXT, "/etc/salt/master", {"ext_pillar": kept})
    assert yaml.safe_load(made)["ext_pillar"] == kept
    assert made.endswith("\n\n# The end.\n")
    assert made.count(f"{MARK}ext_pillar") == 1


def test_a_file_without_the_options_is_the_same() -> None:
    assert without(TEXT, "/etc/salt/master", {"pillar_roots": None}) is TEXT
    assert without("", "/etc/salt/master", {"pillar_roots": None}) == ""


@pytest.mark.parametrize(
    "text",
    [
        "{file_roots: {base: [/srv]}, interface: 127.0.0.1}\n",
        "file_roots: &roots\n  base: [/srv]\npillar_roots: *roots\n",
        "? file_roots\n: base: [/srv]\ninterface: x\n",
    ],
)
def test_what_cannot_be_taken_out_line_by_line_is_refused_or_right(text: str) -> None:
    wanted = {k: v for k, v in yaml.safe_load(text).items() if k != "file_roots"}
    try:
        made = without(text, "/etc/salt/master", {"file_roots": None})
    except RefusedError as err:
        assert "file_roots" in err.message
    else:
        assert (yaml.safe_load(made) or {}) == wanted


def test_a_text_without_a_line_end_and_with_documents_marks() -> None:
    made = without("---\nfile_roots:\n  base: [/srv]\na: 1", "x", {"file_roots": None})
    assert yaml.safe_load(made) == {"a": 1}
    made = without("a: 1\nfile_roots: {base: [/srv]}\n...\n", "x", {"file_roots": None})
    assert made == f"a: 1\n{MARK}file_roots: {{base: [/srv]}}\n...\n"
    made = without("file_roots: 1\na: 2\nfile_roots: 3\n", "x", {"file_roots": None})
    assert yaml.safe_load(made) == {"a": 2}
