"""changelog: what came between two points, grouped, with nothing that strangers wrote taking effect."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from saltbranch.actions.changelog import Changelog, changelog
from saltbranch.base.errors import UsageError
from saltbranch.base.markdown import escape
from saltbranch.cli.options import completion
from tests.support.clone import Clone


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def change(clone: Clone, name: str, message: str) -> str:
    made = clone.commit({f"salt/{name}.sls": f"{name}\n"}, message, on="develop")
    clone.push("develop")
    return made


def groups(found: Changelog) -> list[tuple[str, list[str]]]:
    return [(g.name, [c.subject for c in g.commits]) for g in found.groups]


def of(clone: Clone, saltenv: str, old: str | None = None, new: str | None = None) -> Changelog:
    return changelog(clone.work(), saltenv, old=old, new=new)


def test_by_default_the_last_promotion(clone: Clone) -> None:
    change(clone, "a", "KEY-1 A")
    clone.promote("stage")
    change(clone, "b", "KEY-2 B")
    clone.checkout("feature/login", "develop")
    clone.commit({"salt/c.sls": "c"}, "Form")
    clone.merge("feature/login", "develop")
    change(clone, "d", "Typo")
    change(clone, "e", "KEY-2 E")
    id_ = clone.promote("stage")
    found = of(clone, "stage")
    assert found.promotion and found.promotion.id == id_
    assert groups(found) == [("KEY-2", ["KEY-2 E", "KEY-2 B"]), ("login", ["Form"]), ("", ["Typo"])]


def test_what_promotions_say_of_themselves_does_not_group(clone: Clone) -> None:
    """The merge into stage names KEY-1 and is what brought the typo to master, too."""
    change(clone, "a", "KEY-1 A")
    change(clone, "b", "Typo")
    clone.promote("stage")
    plan = json.loads(clone.run("promote", "prod", "--plan", "--json").out)
    clone.promote("prod")
    assert groups(of(clone, "prod")) == [("KEY-1", ["KEY-1 A"]), ("", ["Typo"])]
    planned = [[c["subject"] for c in g["commits"]] for g in plan["groups"]]
    assert planned == [["KEY-1 A"], ["Typo"]]


def test_the_markdown(clone: Clone) -> None:
    made = change(clone, "a", "KEY-1 A *b*")
    rest = change(clone, "b", "Typo")
    id_ = clone.promote("stage", "--tag", "v1.0.0-rc.1")
    done = clone.run("changelog", "stage")
    assert done.code == 0, done
    head, *lines = done.out.splitlines()
    assert head.startswith("## stage: v1.0.0-rc.1 (20")
    assert lines == [
        "", f"Since {clone.head('master')[:12]}.", "",
        "### KEY-1", "", f"- KEY-1 A \\*b\\* (Ann, `{made[:12]}`)", "",
        "### Other", "", f"- Typo (Ann, `{rest[:12]}`)", "",
    ][: len(lines)]  # fmt: skip
    assert len(lines) >= 10
    data = json.loads(clone.run("changelog", "stage", "--json").out)
    assert (data["version"], data["promotion"]["id"], data["to"]) == (1, id_, clone.head("stage"))


def test_between_commits_tags_and_promotions(clone: Clone) -> None:
    one = change(clone, "a", "KEY-1 A")
    first = clone.promote("stage")
    clone.git("tag", "-a", "-m", "x", "v1", clone.head("stage"))
    clone.push("v1")
    change(clone, "b", "KEY-2 B")
    second = clone.promote("stage")
    change(clone, "c", "KEY-3 C")
    third = clone.promote("stage")

    def names(old: str | None, new: str | None) -> list[str]:
        return sorted(g.name for g in of(clone, "stage", old, new).groups)

    assert names(first, second) == names("v1", second) == ["KEY-2"]
    assert names(None, second) == ["KEY-2"]
    assert names("v1", None) == names(one, third) == ["KEY-2", "KEY-3"]
    assert names(None, "v1") == names(None, one[:10]) == ["KEY-1"]


def test_backwards_says_what_is_not_there_any_more(clone: Clone) -> None:
    change(clone, "a", "KEY-1 A")
    first = clone.promote("stage")
    change(clone, "b", "KEY-2 B")
    second = clone.promote("stage")
    found = of(clone, "stage", second, first)
    assert groups(found) == []
    assert [c.subject for c in found.removed] == ["KEY-2 B"]
    assert "No changes." in found.markdown() and "### Not there any more" in found.markdown()


def test_known_by_trailers_alone(clone: Clone) -> None:
    change(clone, "a", "KEY-1 A")
    id_ = clone.promote("stage")
    clone.lose_journal()
    assert (
        groups(of(clone, "stage"))
        == groups(of(clone, "stage", None, id_))
        == [("KEY-1", ["KEY-1 A"])]
    )


def test_without_a_promotion_one_says_where_to_begin(clone: Clone) -> None:
    with pytest.raises(UsageError, match="nothing was promoted to prod yet") as err:
        of(clone, "prod")
    assert "--from" in err.value.hint
    with pytest.raises(UsageError, match="no promotion brought develop to prod"):
        of(clone, "prod", None, "develop")
    with pytest.raises(UsageError, match="--from v9: there is no such"):
        of(clone, "prod", "v9")


NASTY = [
    "<script>alert(1)</script>",
    "![x](http://e.example/t.png)",
    "[x]: http://e.example",
    "`code` *a* _b_ ~c~ | d |",
    "# heading",
    "1. list",
    "- item",
    "+ item",
    "=====",
    "> quote",
    "&lt;b&gt; &#60;",
    "a\\",
    "\u202eevil\u2066 \x1b[31m \x07",
]


@pytest.mark.parametrize("text", NASTY)
def test_text_of_strangers_has_no_effect(text: str) -> None:
    """Each sign with a meaning has a backslash in front, whatever stood before it."""
    escaped = escape(text)
    assert all(c.isprintable() for c in escaped)
    plain = escaped
    while "\\" in plain:
        place = plain.index("\\")
        assert len(plain) > place + 1, "a backslash at the end would escape what follows"
        plain = plain[:place] + plain[place + 2 :]
    assert not set(plain) & set("`*_[]<>()#!|~&"), plain
    assert not escaped.startswith(("-", "+", "=", "1."))


def test_ordinary_text_stays_readable() -> None:
    assert (
        escape("KEY-1 Tune the app, v1.2 - 50 % faster.")
        == "KEY-1 Tune the app, v1.2 - 50 % faster."
    )
    assert escape("  two\nlines\tand  more ") == "two lines and more"


def test_nasty_subjects_and_branches_go_through_the_verb(clone: Clone) -> None:
    for number, text in enumerate(NASTY):
        change(clone, str(number), text)
    clone.git("branch", "feature/<b>x", "develop")
    clone.checkout("feature/<b>x")
    clone.commit({"salt/x.sls": "x"}, "Form")
    clone.merge("feature/<b>x", "develop")
    clone.push("develop")
    clone.promote("stage")
    out = clone.run("changelog", "stage").out
    assert "### \\<b\\>x" in out and "<script" not in out.replace("\\<", "") and "\x1b" not in out


# Completion


def test_completion_knows_what_was_last_read(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    change(clone, "a", "KEY-1 A")
    first = clone.promote("stage", "--tag", "v1.0.0")
    second = clone.promote("prod")
    clone.push("develop:refs/heads/feature/x")
    clone.work()
    clone.remote.path.rename(clone.remote.path.with_name("gone"))
    monkeypatch.chdir(clone.path / "salt")
    assert completion.promotions("") == [second, first]
    assert completion.promotions(first) == [first]
    assert completion.tags("v") == ["v1.0.0"]
    assert completion.branches("f") == ["feature/x"]
    assert {"v1.0.0", "develop", first} <= set(completion.points(""))


def test_completion_outside_of_everything_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert completion.points("") == completion.tags("") == completion.promotions("") == []
