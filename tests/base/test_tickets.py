"""Tickets named in commits, and commits grouped by them."""

from __future__ import annotations

import re

import pytest

from saltbranch.base import tickets
from saltbranch.base.errors import ConfigError
from saltbranch.base.tickets import CommitLine

PATTERN = tickets.compile_pattern(None, "x")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("KEY-12 Tune the app", ("KEY-12",)),
        ("key-12: tune", ("KEY-12",)),
        ("feature/key-12-login", ("KEY-12",)),
        ("KEY-12 and OPS2-7, KEY-12 again", ("KEY-12", "OPS2-7")),
        ("MONKEY-12x KEY-12_3", ("KEY-12",)),
        ("x86-64 is one by its looks", ("X86-64",)),
        ("read as utf-8, sha-256, see RFC-2119 and CVE-2024", ()),
        ("v1.2.0-rc-1", ()),
        ("4-5, -5, KEY-, KEY 12", ()),
        ("", ()),
    ],
)
def test_tickets_in_a_text(text: str, found: tuple[str, ...]) -> None:
    assert tickets.find(text, PATTERN) == found


def test_a_pattern_of_ones_own_means_what_it_says() -> None:
    pattern = tickets.compile_pattern("#[0-9]+|UTF-[0-9]+", "x")
    assert tickets.find("fix #12 in UTF-8, not KEY-1", pattern) == ("#12", "UTF-8")


def test_a_bad_pattern_is_refused_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"saltbranch.yaml: tickets: '\(' is not a regular"):
        tickets.compile_pattern("(", "saltbranch.yaml")


def test_only_the_beginning_of_a_huge_text_is_read() -> None:
    assert tickets.find("x " * 20_000 + "KEY-1", PATTERN) == ()


@pytest.mark.parametrize(
    ("subject", "branch"),
    [
        ("Merge branch 'feature/key-1'", "feature/key-1"),
        ("Merge branch 'feature/key-1' into develop", "feature/key-1"),
        ("Merge branch 'feature/key-1' into 'develop'", "feature/key-1"),
        ("Merge branch 'develop' into feature/key-1", "develop"),
        ("Merge remote-tracking branch 'origin/feature/key-1'", "origin/feature/key-1"),
        ("Merge pull request #12 from ann/feature/key-1", "ann/feature/key-1"),
        ("Merge tag 'v1.0' into develop", "v1.0"),
        ("Merge branch 'feature/key-1' of git.example.com:ops/salt into develop", "feature/key-1"),
        ("Merged in feature/key-1 (pull request #3)", "feature/key-1"),
        ("Merge branches 'a' and 'b'", ""),
        ("Merge commit '1a2b3c4'", ""),
        ("Merge two lists", ""),
        ("KEY-1 Merge branch 'x'", ""),
    ],
)
def test_the_branch_that_a_merge_merged(subject: str, branch: str) -> None:
    assert tickets.merged_branch(subject) == branch


def line(
    commit: str, subject: str, *parents: str, pattern: re.Pattern[str] = PATTERN
) -> CommitLine:
    merge = len(parents) > 1
    return CommitLine(
        commit, subject, "Ann", merge=merge, parents=parents,
        tickets=tickets.of_message(subject, "", pattern, merge=merge),
    )  # fmt: skip


def groups(*lines: CommitLine) -> list[tuple[str, str]]:
    return [(g.name, "".join(c.commit for c in g.commits)) for g in tickets.group(lines)]


def test_commits_come_together_by_ticket_then_by_feature_then_the_rest() -> None:
    assert groups(
        line("m", "Merge branch 'feature/login' into develop", "d", "f"),
        line("f", "Style", "e"),
        line("e", "KEY-2 Form", "a"),
        line("d", "KEY-1 More", "c"),
        line("c", "Typo", "b"),
        line("b", "KEY-1 App", "a"),
    ) == [("login", "f"), ("KEY-2", "e"), ("KEY-1", "db"), ("", "c")]


def test_a_feature_named_by_a_ticket_takes_its_commits_along() -> None:
    assert groups(
        line("m", "Merge branch 'feature/key-7-login' into develop", "d", "f"),
        line("f", "Style", "e"),
        line("e", "KEY-7 Form", "a"),
        line("d", "Typo", "a"),
    ) == [("KEY-7", "fe"), ("", "d")]


def test_what_was_merged_into_a_feature_is_not_of_it() -> None:
    # m merges the feature f, which merged develop (d) before
    assert groups(
        line("m", "Merge branch 'feature/key-7' into develop", "d", "n"),
        line("n", "Merge branch 'develop' into feature/key-7", "f", "d"),
        line("f", "Form", "a"),
        line("d", "Typo", "a"),
    ) == [("KEY-7", "f"), ("", "d")]


def test_merges_are_not_listed() -> None:
    assert groups(line("m", "Merge branch 'x'", "a", "b")) == []


def test_a_commit_that_moves_a_pin_has_no_tickets_of_the_other_repository() -> None:
    pattern = tickets.compile_pattern(None, "x")
    body = "2 commits:\n  abc KEY-7 Theirs (Ann)\n\nFor KEY-12\n\nFormula: formulas/nginx 1234\n"
    found = tickets.of_message("Formula nginx: rel-1 -> rel-2", body, pattern, merge=False)
    assert found == ("KEY-12",)
