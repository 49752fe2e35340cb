"""Two compiled highstates compared: keys, order, ignored noise, groups; and what may be shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from saltbranch import lowdiff
from saltbranch.compiler import masking, neutral
from saltbranch.compiler.model import Chunk, Compiled, compiled_from
from saltbranch.config import IgnoreModel
from saltbranch.fleetdiff import CustomCode, FleetDiff
from saltbranch.lowdiff import MinionDiff


@dataclass(frozen=True)
class Contents:
    """A tree of which only the content of sources is asked."""

    files: tuple[tuple[str, str], ...] = ()

    def source(self, path: str) -> str | None:
        return dict(self.files).get(path)


def chunk(key: str, **arguments: Any) -> Chunk:
    return Chunk(f"{key} | test.nop", "a.b", "salt/a/b.sls", 3, arguments, ("files/x",))


def compiled(*chunks: Chunk, name: str = "m1", **more: Any) -> Compiled:
    return Compiled(name, more.pop("result", "ok"), chunks=chunks, **more)


def diff(old: Compiled, new: Compiled, *ignore: IgnoreModel, **trees: Contents) -> MinionDiff:
    sides = (trees.get("before", Contents()), trees.get("after", Contents()))
    return lowdiff.compare("test", old, new, sides, "salt", ignore)


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
    groups = lowdiff.group(diffs)
    assert [g.minions for g in groups] == [("m0", "m1", "m2")]


def test_errors_of_both_sides_are_told_apart() -> None:
    old = compiled(chunk("s"), errors=("both", "old"), result="partial")
    new = compiled(chunk("s"), errors=("both", "new"), result="partial")
    found = diff(old, new)
    assert (found.result, found.error) == ("partial", "both\nbefore: old\nafter: new")
    assert diff(replace(old, result="failed"), new).difference is None


def test_a_result_survives_being_written_down() -> None:
    result = compiled(chunk("s", a=[1, {"masked": "x"}]), errors=("e",), pillar={"a:b": "d"})
    assert compiled_from(result.as_dict()) == result


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


def test_recorded_returns_go_by_arguments_first() -> None:
    returns = {"cmd.run": "any", 'cmd.run("id")': "one"}
    assert neutral.recorded(returns, "cmd.shell", ("id",), {}) == (True, "one")
    assert neutral.recorded(returns, "cmd.run", ("x",), {"cwd": "/"}) == (True, "any")
    assert neutral.recorded(returns, "mine.get", (), {}) == (False, None)


def test_nothing_that_acts_on_the_host_runs() -> None:
    for function in ("cmd.run", "file.read", "file.write", "http.query", "state.apply", "vault.read",
                     "pillar_x.get", "saltutil.runner", "network.ip_addrs", "pkg.install"):  # fmt: skip
        assert not neutral.runs(function)
        assert neutral.default(function) in ("", [], {}, False, None, 0)


# The digest of a whole diff


def whole(*diffs: MinionDiff, code: tuple[CustomCode, ...] = ()) -> FleetDiff:
    return FleetDiff({}, {}, diffs, lowdiff.group(diffs), code)


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
    other = found("9876fedc", "/tmp/saltbranch-compile-x1/tree", "8abc")
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
