"""Two answers of what is served compared, and minions proposed from one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saltbranch.preview.minions_of_tops import propose
from saltbranch.preview.plain_side import Low, Seen, Served
from saltbranch.preview.same_served import as_branch_has_it, compare

FILES = {"app/init.sls": "1", "top.sls": "2"}
OURS = {"app/init.sls": "1", "top.sls": "generated", "branch_top.jinja": "2"}
LOW = Low("test.nop app", "app", "exact", "loose")


def seen(minion: str = "web1", **changes: Any) -> Seen:
    values = {"top": {"base": ("app",)}, "pillar": {"a:b": "1"}, "low": (LOW,), **changes}
    return Seen(minion, values.pop("saltenv", None), **values)


def compared(now: Served, then: Served, *left_out: str) -> list[tuple[str, str, str, str]]:
    proof = compare(
        now,
        then,
        ("base",),
        left_out=lambda saltenv: saltenv in left_out,
        file_cause=lambda *_: "a cause",
        minion_cause=lambda *_: "",
    )
    return [(d.kind, d.where, d.what, d.cause) for d in proof.differences]


def served(files: Mapping[str, str], *minions: Seen, **more: Mapping[str, str]) -> Served:
    return Served({"base": files, **more}, {}, {m.minion: m for m in minions})


def test_the_generated_top_file_stands_for_that_of_the_branch() -> None:
    assert as_branch_has_it(OURS) == FILES
    assert as_branch_has_it({"top.sls": "generated", "branch_top.jinja": ""}) == {}
    assert compared(served(FILES, seen()), served(OURS, seen())) == []


def test_each_kind_of_difference() -> None:
    low = Low("test.nop new", "app", "exact2", "loose2")
    then = seen(top={"base": ("app", "new")}, pillar={"a:b": "2", "c": "1"}, low=(LOW, low))
    found = compared(
        served(FILES, seen(), v1={"a": "1"}, old={"a": "1"}),
        served({**OURS, "app/init.sls": "3", "more": "1"}, then),
        "old",
    )
    assert found == [
        ("saltenv", "v1", "ends, with 1 file", "the model has no such saltenv; --leave-out lets it end"),
        ("file", "base", "app/init.sls differs", "a cause"),
        ("file", "base", "more is new", "a cause"),
        ("top", "web1", "base: app becomes base: app, new", ""),
        ("pillar", "web1", "new: c; changed: a:b", ""),
        ("states", "web1", "new: test.nop new", "follows from its top files and its pillar"),
    ]  # fmt: skip


def test_a_file_that_cannot_be_hashed_is_a_difference() -> None:
    found = compared(served({**FILES, "x": ""}), served({**OURS, "x": ""}))
    assert found == [("file", "base", "x cannot be read", "a cause")]


def test_order_alone_and_errors() -> None:
    moved = Low("test.nop app", "app", "exact9", "loose")
    found = compared(served(FILES, seen()), served(OURS, seen(low=(moved,))))
    assert found == [("states", "web1", "the same in another saltenv or order", "")]
    proof = compare(
        served(FILES, seen(), seen("db1")),
        served(OURS, seen(low=None, error="Rendering SLS 'app' failed")),
        ("base",),
        left_out=lambda _: False,
        file_cause=lambda *_: "",
        minion_cause=lambda *_: "",
    )
    assert proof.differences == ()
    assert proof.unproven == {
        "web1": "Rendering SLS 'app' failed afterwards",
        "db1": "the master's cache of it went away meanwhile",
    }


def test_globs_of_top_files_are_proposed_where_they_mean_one_saltenv() -> None:
    minions = (
        seen("web1"),
        seen("web2"),
        seen("odd", top={"base": ("app",), "dev": ("app",)}),
        seen("dev1", top={"dev": ("app",)}),
        seen("pin1", saltenv="dev"),
        seen("both", top={"dev": ("app",), "qa": ("app",)}),
        seen("idle", top={}),
    )
    now = Served(
        {"base": {}, "dev": {}},
        {"base": ("*", "web*", "none*"), "dev": ("dev*",)},
        {m.minion: m for m in minions},
    )
    accepted = [m.minion for m in minions] + ["web3", "silent"]
    found = propose(now, accepted, ["dev", "base"])
    assert found.minions == {"dev": ("dev*", "odd", "pin1"), "base": ("web*",)}
    assert found.undecided == {
        "both": "it gets states of dev, qa",
        "idle": "no top file gives it anything",
        "silent": "the master knows no grains of it",
    }
