"""What only follows from pillar that did not come out, or from an answer that nobody recorded, is no error."""

from __future__ import annotations

import pytest

from saltbranch.check.compiled import findings as compile_findings
from saltbranch.check.finding import Finding
from saltbranch.compiler.model import Compiled
from tests.support.checking import project

STATES = "x:\n  test.nop:\n    - name: {{ pillar['db']['password'] }}\n"
FILES: dict[str, str | bytes] = {
    "salt/top.sls": "base:\n  '*': [a, b]\n",
    "salt/a.sls": STATES,
    "salt/b.sls": "y:\n  test.nop:\n    - name: {{ grains.oss }}\n",
    "pillar/top.sls": "base:\n  '*': [db, site, secrets.db]\n",
    "pillar/db.sls": "db: {{ salt['x.y']() }}\n",
    "pillar/site.sls": "site:\n  name: one\n   other: two\n",
}
BROKEN = "pillar: Rendering SLS 'db' failed: Jinja: something is undefined; line 1"
UNREADABLE = "pillar: Rendering SLS 'site' failed: YAML: the indentation does not fit; line 3"
GONE = (
    "pillar: Specified SLS 'secrets.db' in environment 'base' is not available on the salt master"
)
DECLARED = "missing, as declared: secrets.db"
CIPHERTEXT = "GPG values are not decrypted and are compared by their ciphertext"
LACKS = "Rendering SLS 'base:a' failed: Jinja variable 'dict object' has no attribute 'password'; line 3"
NO_COLON = "Rendering SLS 'base:a' failed: could not find expected ':'"
NO_LIST = "The require statement in state 'x' in SLS 'a' needs to be formed as a list"
NONE = "Rendering SLS 'base:a' failed: Jinja error: 'NoneType' object is not iterable; line 3"
OF_GRAIN = (
    "Rendering SLS 'base:b' failed: Jinja variable 'dict object' has no attribute 'oss'; line 3"
)
UNDEFINED = "Rendering SLS 'base:a' failed: Jinja variable 'naem' is undefined; line 3"
SYNTAX = "Rendering SLS 'base:a' failed: Jinja syntax error: unexpected '}'; line 3"


def told(*errors: str, notes: tuple[str, ...] = ()) -> list[Finding]:
    result = Compiled("m", "partial", errors=errors, notes=notes, states_matched=True)
    return list(compile_findings([result], project(FILES)))


def about_states(found: list[Finding]) -> list[str]:
    return [f.severity for f in found if f.file.startswith("salt/")]


@pytest.mark.parametrize("pillar", [BROKEN, GONE])
@pytest.mark.parametrize("error", [LACKS, NO_COLON, NO_LIST, NONE])
def test_what_follows_from_pillar_is_one_note(pillar: str, error: str) -> None:
    found = told(pillar, error)
    assert not about_states(found)
    (note,) = [f for f in found if f.severity == "note"]
    assert "salt/a.sls" in note.message and "stand_in:" in note.fix
    assert [f.severity for f in found if f is not note] == ["error"]


OF_PYTHON_2 = LACKS.replace("password", "iteritems")


@pytest.mark.parametrize("error", [UNDEFINED, SYNTAX, OF_GRAIN, OF_PYTHON_2])
def test_what_is_no_matter_of_pillar_is_an_error_all_the_same(error: str) -> None:
    assert about_states(told(BROKEN, error)) == ["error"]


@pytest.mark.parametrize("error", [LACKS, NO_COLON, NO_LIST, NONE])
def test_with_all_of_the_pillar_each_is_an_error(error: str) -> None:
    assert about_states(told(error)) == ["error"]


def test_a_file_that_can_be_read_lacks_the_key_itself() -> None:
    assert about_states(told(UNREADABLE, LACKS)) == ["error"]
    other = LACKS.replace("password", "other")
    assert about_states(told(UNREADABLE, other)) == []


def test_pillar_that_is_declared_to_be_missing_is_missing() -> None:
    assert about_states(told(LACKS, notes=(DECLARED,))) == []
    assert about_states(told(LACKS, notes=(DECLARED.replace("secrets.db", "formula"),))) == [
        "error"
    ]


def test_a_text_that_ciphertext_was_put_into_is_not_judged() -> None:
    assert about_states(told(NO_COLON, notes=(CIPHERTEXT,))) == []
    assert about_states(told(LACKS, notes=(CIPHERTEXT,))) == ["error"]


def test_a_message_that_only_the_master_deciphers_is_ciphertext() -> None:
    files: dict[str, str | bytes] = {
        **FILES,
        "pillar/db.sls": "db: |\n  -----BEGIN PGP MESSAGE-----\n  x\n",
    }
    for error, severities in ((NO_COLON, []), (LACKS, ["error"]), (UNDEFINED, ["error"])):
        result = Compiled("m", "partial", errors=(error,), states_matched=True)
        assert about_states(list(compile_findings([result], project(files)))) == severities


def test_states_that_pillar_would_have_made() -> None:
    made: dict[str, str | bytes] = {**FILES, "salt/a.sls": "{% for n in pillar.get('c', []) %}\n/etc/{{ n }}.crt:\n"
                                    "  file.managed: []\n{% endfor %}\nz: {test.nop: []}\n"}  # fmt: skip
    wants = (
        "Referenced state does not exist for requisite [watch: (file: {})] in state [z] in SLS [a]"
    )
    for name, severities in (("/etc/*.crt", []), ("/opt/x", ["error"])):
        result = Compiled("m", "partial", errors=(BROKEN, wants.format(name)), states_matched=True)
        assert about_states(list(compile_findings([result], project(made)))) == severities


def test_after_a_neutral_answer_it_is_a_warning() -> None:
    hint = (
        " (before that, publish.publish answered neutrally; in the minion's file of the fleet, returns:"
        " {publish.publish: ...} settles it); line 3"
    )
    text = LACKS.removesuffix("; line 3")
    assert about_states(told(text + hint)) == ["warning"]
