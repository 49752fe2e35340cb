"""Two compiled highstates compared: keys, order, ignored noise, groups; and what may be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltbranch.compiler.inside import mask as masking
from saltbranch.compiler.inside import neutral
from saltbranch.compiler.model import Chunk, Compiled, compiled_from_json
from saltbranch.config.keys import IgnoreModel
from saltbranch.preview import difference, low_diff
from saltbranch.preview import groups as grouping
from saltbranch.preview.difference import MinionDiff
from saltbranch.preview.fleet_diff import CustomCode, FleetDiff


@dataclass(frozen=True)
class Contents:
    """A tree of which only the content of sources is asked."""

    files: tuple[tuple[str, str], ...] = ()

    def source(self, path: str) -> str | None:
        return dict(self.files).get(path)


def chunk(key: str, **arguments: Any) -> Chunk:
    return Chunk(f"{key} | test.nop", "a.b", "salt/a/b.sls", 3, arguments, ("files/x",))


def compiled(*chunks: Chunk, name: str = "m1", **more: Any) -> Compiled:
    """What is written down as it runs, where nothing else is said."""
    placed = tuple(
        replace(c, place=float(n)) if c.place is None else c for n, c in enumerate(chunks)
    )
    return Compiled(name, more.pop("result", "ok"), chunks=placed, **more)


def in_order(written: Sequence[str], needs: Mapping[str, set[str]]) -> Compiled:
    """The states `written` down, in the order in which Salt runs them: the first that has all that it
    needs, again and again. needs: what a state requires, which shows in its arguments.
    """
    rest = [*written]
    found: list[Chunk] = []
    while rest:
        done = {c.key.partition(" ")[0] for c in found}
        free = next(key for key in rest if needs.get(key, set()) & {*written} <= done)
        rest.remove(free)
        made = chunk(free, require=sorted(needs.get(free, set())))
        found.append(replace(made, place=float(written.index(free))))
    return compiled(*found)


def diff(old: Compiled, new: Compiled, *ignore: IgnoreModel, **trees: Contents) -> MinionDiff:
    sides = (trees.get("before", Contents()), trees.get("after", Contents()))
    return low_diff.compare("test", old, new, sides, states_dir="salt", ignore=ignore)


def test_ignore_filters_by_state_sls_and_argument() -> None:
    old, new = compiled(chunk("s", a=1, b=1)), compiled(chunk("s", a=2, b=2), chunk("t"))
    for rule, left in (
        (IgnoreModel(argument="a"), {"b"}),
        (IgnoreModel(state="test.*", sls="a.*", argument="?"), set()),
        (IgnoreModel(state="test.*", sls="z", argument="?"), {"a", "b"}),
    ):
        found = diff(old, new, rule).difference
        assert found is not None
        assert {n for c in found.changed for n in c.arguments} == left
        assert [s.key for s in found.added] == ["t | test.nop"]
    found = diff(old, new, IgnoreModel(state="? | *")).difference
    assert found is not None and not found and found.ignored == 3


@given(st.permutations(range(7)), st.integers(0, 6), st.integers(0, 6))
def test_one_moved_state_is_one_reordering(order: list[int], start: int, end: int) -> None:
    old = [chunk(str(n)) for n in order]
    new = [*old]
    moved = new.pop(start)
    new.insert(end, moved)
    found = diff(compiled(*old), compiled(*new)).difference
    assert found is not None and len(found.reordered) == (0 if start == end else 1)


letters = st.lists(st.sampled_from("abcdefg"), min_size=2, unique=True)
chains = st.lists(st.tuples(st.sampled_from("abcdefg"), st.sampled_from("abcdefg")), max_size=6)


def needing(pairs: list[tuple[str, str]], rank: list[str]) -> dict[str, set[str]]:
    """Requisites without a circle: only from what stands later in `rank` to what stands earlier."""
    found: dict[str, set[str]] = {}
    for pair in pairs:
        first, second = sorted(pair, key=rank.index)
        if first != second:
            found.setdefault(second, set()).add(first)
    return found


@given(letters, letters, chains, chains, st.permutations("abcdefg"), st.permutations("abcdefg"))
def test_what_requisites_move_is_no_reordering(
    gone: list[str],
    come: list[str],
    before: list[tuple[str, str]],
    after: list[tuple[str, str]],
    rank: list[str],
    other: list[str],
) -> None:
    old = in_order([n for n in "abcdefg" if n not in gone[1:]], needing(before, rank))
    new = in_order([n for n in "abcdefg" if n not in come[1:]], needing(after, other))
    found = diff(old, new).difference
    assert found is not None and found.reordered == ()


@given(st.permutations("abcdefg"), chains, st.permutations("abcdefg"))
def test_what_is_said_to_be_moved_was_moved_and_runs_elsewhere(
    written: list[str], pairs: list[tuple[str, str]], rank: list[str]
) -> None:
    needs = needing(pairs, rank)
    old, new = in_order([*"abcdefg"], needs), in_order(written, needs)
    found = diff(old, new).difference
    assert found is not None
    said = {key.partition(" ")[0] for key in found.reordered}
    same = [c.key for c in old.chunks] == [c.key for c in new.chunks]
    assert not said if same else True
    left = [name for name in written if name not in said]
    if not needs:
        assert left == sorted(left) and (said or same)


def test_keys_are_compared_between_machines_without_their_digests() -> None:
    def added(*keys: str) -> str:
        new = compiled(*(Chunk(key, "s", "p", 1, {}) for key in keys))
        difference = diff(compiled(), new).difference
        assert difference is not None
        return difference.signature()

    assert added("*** ~0123abcd | test.nop", "a | b.c #~0123abcd") == added(
        "*** ~ffffffff | test.nop", "a | b.c #~ffffffff"
    )
    assert added("a ~x | b.c") != added("a ~y | b.c")


def test_a_changed_source_shows_although_the_state_is_the_same() -> None:
    both = compiled(chunk("s"))
    one, other = Contents((("salt/files/x", "1"),)), Contents((("salt/files/x", "2"),))
    found = diff(both, both, before=one, after=other).difference
    assert found is not None and found.files[0].source == "salt://files/x"
    assert not diff(both, both, before=one, after=one).difference


def test_minions_with_different_secrets_from_one_edit_are_one_group() -> None:
    diffs = [
        diff(
            compiled(chunk("s", p={"masked": f"{n}"}), name=f"m{n}"),
            compiled(chunk("s", p={"masked": f"x{n}"}), name=f"m{n}"),
        )
        for n in range(3)
    ]
    groups = grouping.group(diffs)
    assert [g.minions for g in groups] == [("m0", "m1", "m2")]


def test_errors_of_both_sides_are_told_apart() -> None:
    old = compiled(chunk("s"), errors=("both", "old"), result="partial")
    new = compiled(chunk("s"), errors=("both", "new"), result="partial")
    found = diff(old, new)
    assert (found.result, found.error) == ("partial", "both\nbefore: old\nafter: new")
    assert diff(replace(old, result="failed"), new).difference is None


@pytest.mark.parametrize("text", ["e", "h\u00e4lf \ud800 a sign", "\0 \u2028"])
def test_a_result_survives_being_written_down(text: str) -> None:
    result = compiled(chunk("s", a=[1, {"masked": "x"}]), errors=(text,), pillar={"a:b": text})
    assert compiled_from_json(result.as_json()) == result
    for damaged in (result.as_json()[:-9], b"[1]", b'{"minion": 1}', b"\\ud800"):
        with pytest.raises(ValueError):
            compiled_from_json(damaged)


plain_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner)
    ),
)


@given(plain_data)
def test_plain_data_is_json_and_stays_what_it_is(value: Any) -> None:
    mask = masking.Mask(b"k")
    once = masking.plain(value)
    assert masking.plain(once) == once or any("\0" in k for k in masking.keys(once))
    assert mask.digest(once) == mask.digest(masking.plain(value))


def test_only_what_stands_in_the_sls_may_be_shown() -> None:
    source = "x:\n  file.managed:\n    - mode: '0644'\n    - port: 80\n    - pw: hunter22\n"
    secrets = frozenset({"hunter22"})
    for value, may in (
        ("0644", True), (80, True), (True, True), ("0640", False), (8081, False), ("hunter22", False),
        ([{"mode": "0644"}], True), ({"other": "0644"}, False),
    ):  # fmt: skip
        assert masking.may_show(value, source, secrets) is may


@given(st.text(min_size=4).filter(lambda s: len(s.strip()) >= 4 and "***" not in s))
def test_nothing_of_a_secret_is_left_as_it_is(secret: str) -> None:
    said = masking.redact(f"a {secret} b", masking.secrets_of({"k": secret}))
    for part in [p for p in secret.splitlines() if len(p.strip()) >= 4]:
        assert part.strip() not in said


def test_recorded_returns_go_by_arguments_first() -> None:
    returns = {"cmd.run": "any", 'cmd.run("id")': "one"}
    assert neutral.recorded(returns, "cmd.shell", ("id",), {}) == (True, "one")
    assert neutral.recorded(returns, "cmd.run", ("x",), {"cwd": "/"}) == (True, "any")
    assert neutral.recorded(returns, "mine.get", (), {}) == (False, None)


# The digest of a whole diff


def whole(*diffs: MinionDiff, code: tuple[CustomCode, ...] = ()) -> FleetDiff:
    return FleetDiff({}, {}, diffs, grouping.group(diffs), code)


def test_the_digest_leaves_out_what_differs_from_machine_to_machine() -> None:
    def found(key: str, folder: str, address: str) -> FleetDiff:
        new = Chunk(
            "x | pkg.installed", "a", "salt/a.sls", 1, {"name": {"masked": key * 4}}, ("f",)
        )
        error = f"Rendering SLS a failed: {folder}/salt/a.sls has no x at 0x{address}"
        return whole(
            diff(compiled(result="partial"), compiled(new, result="partial", errors=(error,)))
        )

    one = found("0123abcd", "/srv", "7f00")
    other = found("9876fedc", "/tmp/saltbranch-scratch-compile-x1/tree", "8abc")
    assert one.digest == other.digest
    assert one.minions[0].has_new_errors
    assert one.digest != found("0123abcd", "/srv", "7f00 in b.sls").digest


def test_the_digest_covers_the_content_of_files_and_of_code() -> None:
    same = chunk("x")

    def with_file(content: str) -> str:
        trees = {
            "before": Contents((("salt/files/x", "0"),)),
            "after": Contents((("salt/files/x", content),)),
        }
        return whole(diff(compiled(same), compiled(same), **trees)).digest

    assert with_file("1") == with_file("1") != with_file("2")
    one, other = (whole(code=(CustomCode("salt/_modules/m.py", "changed", (), c),)) for c in "12")
    assert one.digest != other.digest
    assert one.as_dict()["code"] == other.as_dict()["code"]


def test_errors_that_the_old_side_has_too_are_not_new() -> None:
    bad = {"result": "partial", "errors": ("e1",)}
    worse = {"result": "partial", "errors": ("e1", "e2")}
    state = chunk("x")
    assert not diff(compiled(state, **bad), compiled(state, **bad)).has_new_errors
    assert not diff(compiled(state, **worse), compiled(state, **bad)).has_new_errors
    assert not diff(compiled(state, **bad), compiled(state)).has_new_errors
    assert diff(compiled(state, **bad), compiled(state, **worse)).has_new_errors
    assert diff(compiled(state), compiled(state, **bad)).has_new_errors


def test_one_result_for_both_sides_differs_only_in_the_files_that_moved() -> None:
    class Counting(Contents):
        asked = 0

        def source(self, path: str) -> str | None:
            Counting.asked += 1
            return super().source(path)

    one = compiled(*(chunk(f"s{n}") for n in range(50)))
    held = Counting((("salt/files/x", "1"),))
    same = diff(one, one, before=held, after=held)
    assert same.difference == difference.Difference()
    assert same.compared == 50
    assert Counting.asked == 2, "each file once on either side, not once for each state"
    moved = diff(one, one, before=held, after=Contents((("salt/files/x", "2"),)))
    assert moved.difference is not None
    assert [f.source for f in moved.difference.files] == ["salt://files/x"]
    assert len(moved.difference.files[0].keys) == 50
