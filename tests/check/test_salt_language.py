"""What Salt's own loader and templates say."""

from __future__ import annotations

import inspect
import os
import time
from pathlib import Path

import jinja2
import pytest
import salt.states.file
import salt.version

from saltbranch.check import salt_language


def test_catalogue_has_salts_own_signatures() -> None:
    found = salt_language.catalogue()
    assert found.version == str(salt.version.__version__)
    managed = found.states["file"]["managed"]
    parameters = inspect.signature(salt.states.file.managed).parameters
    assert managed.arguments == tuple(
        n for n, p in parameters.items() if p.kind.name != "VAR_KEYWORD"
    )
    assert managed.required == ("name",) and managed.open
    assert (
        not found.states["file"]["symlink"].open
        or "target" in found.states["file"]["symlink"].arguments
    )
    assert {"installed", "latest", "removed"} <= set(found.states["pkg"])
    assert {"require", "watch_in", "onfail_any", "prereq"} <= found.requisites
    assert {"onlyif", "order", "retry", "failhard"} <= found.keywords
    assert {"jinja", "yaml", "py", "gpg"} <= found.renderers
    assert {"yaml_encode", "to_bool", "regex_match", "tojson"} <= found.filters
    assert {"match", "equalto", "defined"} <= found.tests


def test_what_a_function_takes_to_refuse_it_is_no_argument() -> None:
    running = salt_language.catalogue(None).states["service"]["running"]
    assert running.open and "enabled" not in running.documented


def test_modules_for_other_systems_are_known() -> None:
    """__virtual__ asks what this machine is; the minion may be another."""
    states = salt_language.catalogue().states
    assert any(name.startswith("win_") for name in states) or "chocolatey" in states


def test_second_call_reads_the_cache(tmp_path: Path) -> None:
    first = salt_language.catalogue(str(tmp_path / "cache"))
    (file,) = (tmp_path / "cache").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    before = time.process_time()
    assert salt_language.catalogue(str(tmp_path / "cache")) == first
    assert time.process_time() - before < 0.5
    file.write_text("{")
    assert salt_language.catalogue(str(tmp_path / "cache")) == first


def test_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert salt_language.catalogue(str(tmp_path / "cache")).states


@pytest.mark.parametrize(
    "text",
    [
        "{% import_yaml 'a.yaml' as a %}",
        "{% load_yaml as x %}\na: 1\n{% endload %}",
        "{% do x.update({}) %}",
        "{% for a in b %}{% continue %}{% endfor %}",
        "{% profile as 'x' %}{% endprofile %}",
        "{% set x %}a{% endset %}",
    ],
)
def test_salts_own_statements_are_parsed(text: str) -> None:
    assert salt_language.parser()(text).body


def test_other_statements_are_refused() -> None:
    with pytest.raises(jinja2.TemplateSyntaxError):
        salt_language.parser()("{% nonsense %}")


def test_parsing_runs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    salt_language.parser()(
        f"{{{{ salt['cmd.run']('touch {mark}') }}}}{{% import_text '/etc/passwd' as x %}}"
    )
    assert not os.path.exists(mark)
