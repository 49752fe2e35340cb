"""What is known to be missing makes no minion incomplete; what nobody declared, or what is there, does."""

from __future__ import annotations

import pytest

from saltbranch.compiler.model import Compiled
from saltbranch.preview import missing

PILLAR = (
    "pillar: Specified SLS 'secrets.db' in environment 'prod' is not available on the salt master"
)
INCLUDE = (
    "Specified SLS secrets.gone in saltenv prod is not available on the salt master or through a"
    " configured fileserver"
)
TOP = "No matching sls found for 'lib.thing' in env 'prod'"
TEMPLATE = "Rendering SLS 'prod:b' failed: Jinja error: keys/id.pub"
ERRORS = (PILLAR, INCLUDE, TOP, TEMPLATE)
NAMES = ("secrets.db", "secrets.gone", "lib.thing", "salt://keys/id.pub")


def nothing(name: str, in_pillar: bool) -> str:
    return "absent"


@pytest.mark.parametrize(("error", "name"), list(zip(ERRORS, NAMES, strict=True)))
def test_what_is_missing_is_named(error: str, name: str) -> None:
    assert missing.gap(error) == name
    partial = Compiled("m", "partial", (error,))
    whole = missing.declared(partial, [name], nothing)
    assert (whole.result, whole.errors) == ("ok", ())
    area = "pillar: " if error.startswith("pillar: ") else ""
    assert whole.notes == (f"missing, as declared: {area}{name}",)
    assert missing.declared(partial, ["other"], nothing) is partial
    assert missing.declared(partial, [name], lambda name, in_pillar: "there") is partial


def test_slashes_are_dots() -> None:
    error = "pillar: Specified SLS 'secrets/db' in environment 'prod' is not available"
    found = missing.declared(Compiled("m", "partial", (error,)), ["secrets.*"], nothing)
    assert (found.result, found.notes) == ("ok", ("missing, as declared: pillar: secrets.db",))


EXTEND = "Cannot extend ID 'x' in 'prod:web'. It is not part of the high state."
REQUIRE = (
    "Referenced state does not exist for requisite [require: (pkg: x)] in state [y] in SLS [web]"
)


def test_what_names_a_missing_state_cannot_be_judged_and_is_told() -> None:
    found = missing.declared(
        Compiled("m", "partial", (INCLUDE, EXTEND, REQUIRE)), ["secrets.*"], nothing
    )
    assert (found.result, found.errors) == ("ok", ())
    assert found.notes[1:] == (
        f"not judged without what is missing: {EXTEND}",
        f"not judged without what is missing: {REQUIRE}",
    )
    for gap in (PILLAR, TOP):  # of the pillar only, or not declared
        partial = Compiled("m", "partial", (gap, EXTEND))
        assert EXTEND in missing.declared(partial, ["secrets.*"], nothing).errors


def test_a_new_gap_is_news() -> None:
    found = missing.declared(
        Compiled("m", "partial", ERRORS), ["secrets.*", "salt://keys/*"], nothing
    )
    assert (found.result, found.errors) == ("partial", (TOP,))
    assert found.notes == (
        "missing, as declared: pillar: secrets.db, secrets.gone, salt://keys/id.pub",
    )


@pytest.mark.parametrize(
    "error",
    [
        "Rendering SLS 'prod:b' failed: Jinja error: keys/id.pub is broken",
        "Rendering SLS 'prod:b' failed: Jinja syntax error: keys/id.pub",
        "Rendering SLS 'prod:secrets.db' failed: could not find expected ':'; line 3",
        "secrets.db",
    ],
)
def test_other_errors_about_it_are_no_gaps(error: str) -> None:
    partial = Compiled("m", "partial", (error,))
    assert missing.declared(partial, ["*", "salt://*"], nothing) is partial


def test_whether_it_is_there_is_asked_on_the_side_of_the_error() -> None:
    asked = []

    def look(name: str, in_pillar: bool) -> str:
        asked.append((name, in_pillar))
        return "there"

    missing.declared(Compiled("m", "partial", ERRORS), ["*"], look)
    assert asked == [("secrets.db", True), *((name, False) for name in NAMES[1:])]


def test_a_minion_of_which_nothing_came_out_stays_failed() -> None:
    failed = Compiled("m", "failed", (PILLAR,))
    assert missing.declared(failed, ["*"], nothing) is failed


def test_who_lists_errors_does_not_hear_of_a_declared_one_again() -> None:
    failed = Compiled("m", "failed", (TOP, PILLAR))
    found = missing.news(failed, ["lib.*"], nothing)
    assert (found.result, found.errors) == ("failed", (PILLAR,))


def test_what_did_not_come_out_is_named_on_both_sides_once() -> None:
    errors = [PILLAR, f"after: {TEMPLATE}", f"before: {TEMPLATE}", "states: other"]
    assert missing.lacking(errors) == ("pillar: secrets.db", "b")


@pytest.mark.parametrize(
    "prefix", ["pillar: Rendering SLS 'secrets.db'", "Rendering SLS 'prod:secrets.db'"]
)
def test_what_git_crypt_wrote_can_be_declared_and_what_is_plain_and_broken_cannot(
    prefix: str,
) -> None:
    partial = Compiled(
        "m", "partial", (f"{prefix} failed: YAML: a character that YAML does not allow",)
    )
    found = missing.declared(partial, ["secrets.*"], lambda name, in_pillar: "git-crypt")
    area = "pillar: " if prefix.startswith("pillar: ") else ""
    assert (found.result, found.notes) == ("ok", (f"missing, as declared: {area}secrets.db",))
    for presence in ("there", "absent"):
        assert (
            missing.declared(partial, ["secrets.*"], lambda name, in_pillar, p=presence: p)
            is partial
        )  # type: ignore[misc]
