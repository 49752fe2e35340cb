"""Minions whose difference looks the same are one group, and the group tells what is true of all of them."""

from __future__ import annotations

from dataclasses import replace

from saltbranch.compiler.model import Compiled
from saltbranch.preview import groups as grouping
from tests.support import diffs

OLD = Compiled("", "ok", chunks=(diffs.chunk("same", mode="0600"),))
MASKED = {"masked": "1" * 32}
OTHER = {"masked": "2" * 32}


def groups(*news: Compiled) -> tuple[grouping.Group, ...]:
    found = [diffs.minion(f"m{n}", OLD, new) for n, new in enumerate(news)]
    assert len({d.difference.signature() for d in found if d.difference}) == len(news)
    return grouping.group(found)


def side(*chunks: object, **arguments: object) -> Compiled:
    return replace(OLD, chunks=(*OLD.chunks, diffs.chunk("new", 2, **arguments)))


def test_a_word_that_one_pillar_happens_to_hold_makes_no_group() -> None:
    found = groups(side(user="root", x=1), side(user=MASKED, x=1))
    assert [g.minions for g in found] == [("m0", "m1")]
    assert found[0].difference.added[0].arguments == {"user": {"masked": ""}, "x": 1}


def test_a_change_that_is_hidden_on_either_side_looks_the_same() -> None:
    def changed(value: object) -> Compiled:
        return replace(OLD, chunks=(diffs.chunk("same", mode=value),))

    pairs = [("0600", MASKED), (MASKED, OTHER), (MASKED, "0600"), ("0600", "0644")]
    new = [diffs.minion(f"m{n}", changed(a), changed(b)) for n, (a, b) in enumerate(pairs)]
    found = grouping.group(new)
    assert [g.minions for g in found] == [("m0", "m1", "m2"), ("m3",)]
    assert found[0].difference.changed[0].arguments == {"mode": ({"masked": ""}, {"masked": ""})}
    assert found[1].difference.changed[0].arguments == {"mode": ("0600", "0644")}


def test_other_changes_stay_other_groups() -> None:
    one = replace(OLD, chunks=(diffs.chunk("same", mode="0644"),))
    two = replace(OLD, chunks=(diffs.chunk("same", mode="0640"),))
    assert len(groups(one, two, side(x=1))) == 3


def test_a_path_of_the_pillar_is_told_where_it_is_that_of_all() -> None:
    def new(digit: str, path: str) -> Compiled:
        return replace(
            OLD,
            chunks=(*OLD.chunks, diffs.chunk(f"*** ~{digit * 8}", 2)),
            pillar={path: digit * 32},
        )

    old = replace(OLD, pillar={"a:b": "0" * 32})
    both = [diffs.minion("m1", old, new("1", "a:b")), diffs.minion("m2", old, new("2", "a:b"))]
    (group,) = grouping.group(both)
    assert group.difference.origins == {"*** ~11111111 | test.nop": {"": ("a:b",)}}
    (group,) = grouping.group([diffs.minion("m1", replace(old, pillar={}), new("1", "a:b")),
                              diffs.minion("m2", replace(old, pillar={}), new("2", "a:b"))])  # fmt: skip
    assert group.difference.origins == {"*** ~11111111 | test.nop": {"": ("a:b",)}}


def test_removed_is_not_sure_where_the_new_side_has_an_error_of_its_own() -> None:
    old = replace(OLD, chunks=(*OLD.chunks, diffs.chunk("bob", 2, "user.present", name="bob")))
    gone = diffs.minion("m", old, OLD).difference
    assert gone is not None and gone.removed[0].stays
    broken = replace(OLD, result="partial", errors=("Rendering SLS 'prod:x' failed: no",))
    unsure = diffs.minion("m", old, broken).difference
    assert unsure is not None and unsure.removed and not unsure.removed[0].stays
    same = diffs.minion(
        "m", replace(old, result="partial", errors=broken.errors), broken
    ).difference
    assert same is not None and same.removed[0].stays
