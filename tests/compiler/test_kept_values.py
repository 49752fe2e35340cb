"""An entry of the cache is what was put there, whole, or none at all; and is decoded only where somebody looks."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.kept_values import Chunks, DamagedError, checksum
from saltbranch.compiler.model import Chunk, Compiled, Content, Reads, brief_of
from saltbranch.compiler.tree import Tree
from saltbranch.preview import low_diff
from tests.support.compiling import Lab

BASE = "ab" * 20
READS = Reads(
    files=("salt/a.sls", "salt/none.sls", "salt/x y.conf"),
    globs=(("pillar", "a.*"), ("salt", "a")),
    listings=("salt/_modules",),
    whole=True,
)


def state(name: str, *sources: str, template: str = "", **arguments: object) -> Chunk:
    return Chunk(
        f"{name} | file.managed", "a", "salt/a.sls", 3, arguments, sources, 0.0, f"{name:0<32}",
        template, (Content("a.conf", "1f", ("x",)),) if template else (),
    )  # fmt: skip


def result(text: str = "one") -> Compiled:
    chunks = (
        state("a", "x y.conf", "b.conf", mode=text),
        state("a", "b.conf", template="or", names=[1, {"masked": "ff"}]),
        state("b", template="p"),
    )
    return Compiled(
        "m1", "ok", ("error",), (text,), chunks=chunks, pillar={"a:b": text}, functions=("x.y",),
        asked=("f()",), reads=READS, cpu=0.25,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tree, Tree]:
    """Two that differ in what was read."""
    lab = Lab(tmp_path_factory.mktemp("lab"), {"salt/a.sls": "a", "salt/x y.conf": "1"})
    one = lab.tree()
    lab.commit({"salt/x y.conf": "2"})
    return one, lab.tree()


def entry(cache: Path) -> Path:
    (found,) = (p for p in cache.rglob("*") if p.is_file() and p.name != "key")
    return found


@pytest.mark.parametrize("text", ["e", "h\u00e4lf \ud800 a sign", "\0 \u2028\n"])
def test_a_kept_result_is_the_one_that_was_put_there(
    tmp_path: Path, trees: tuple[Tree, Tree], text: str
) -> None:
    CompileCache(str(tmp_path)).put(BASE, trees[0], result(text))
    cache = CompileCache(str(tmp_path))
    kept = cache.get(BASE, trees[0])
    assert kept is not None and cache.get(BASE, trees[0]) is kept
    assert kept.brief == brief_of(result(text).chunks)
    assert kept.reads == READS
    assert len(kept.chunks) == 3 and kept.chunks == result(text).chunks
    assert kept == replace(result(text), cached=True)
    assert kept.as_json() == replace(result(text), cached=True).as_json()
    assert cache.get(BASE, trees[1]) is None and cache.get("cd" * 20, trees[0]) is None


def test_each_tree_gets_its_own(tmp_path: Path, trees: tuple[Tree, Tree]) -> None:
    cache = CompileCache(str(tmp_path))
    for again in range(2):
        for number, tree in enumerate(trees):
            cache.put(BASE, tree, result(f"{number} {again}"))
            kept = [c.get(BASE, tree) for c in (cache, CompileCache(str(tmp_path)))]
            assert [k and k.notes for k in kept] == [(f"{number} {again}",)] * 2


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda whole: whole[:-1],
    "cut in the middle": lambda whole: whole[: len(whole) // 2],
    "zeros at the end": lambda whole: whole[:-20] + bytes(20),
    "zeros": lambda whole: bytes(len(whole)),
    "as it was before": lambda whole: whole.split(b"\n", 1)[1],
    "no chunks": lambda whole: whole[: whole.rindex(b"\n")] + b"\n[]",
    "no chunks, summed up": lambda whole: summed(whole.split(b"\n")[1:3]),
    "nonsense, summed up": lambda _: summed([b"[]", b"{}", b"[]"]),
    **{
        f"one bit in line {line}": lambda whole, line=line: flipped(whole, line)
        for line in range(4)
    },
}


def summed(lines: list[bytes]) -> bytes:
    text = b"\n".join(lines)
    return checksum(BASE.encode(), text) + b"\n" + text


def flipped(whole: bytes, line: int) -> bytes:
    lines = [bytearray(text) for text in whole.split(b"\n")]
    lines[line][len(lines[line]) // 2] ^= 1
    return b"\n".join(lines)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_entry_is_none(tmp_path: Path, trees: tuple[Tree, Tree], how: str) -> None:
    CompileCache(str(tmp_path)).put(BASE, trees[0], result())
    path = entry(tmp_path)
    path.write_bytes(DAMAGES[how](path.read_bytes()))
    cache = CompileCache(str(tmp_path))
    assert cache.get(BASE, trees[0]) is None
    cache.put(BASE, trees[0], result("anew"))
    kept = cache.get(BASE, trees[0])
    assert kept is not None and kept.chunks == result("anew").chunks


def test_an_entry_of_another_minion_is_none(tmp_path: Path, trees: tuple[Tree, Tree]) -> None:
    bases = (BASE, "cd" * 20)
    for base in bases:
        CompileCache(str(tmp_path)).put(base, trees[0], result(base))
    one, other = (p for p in tmp_path.rglob("*") if len(p.name) == 32)
    assert one.name == other.name
    one.write_bytes(other.read_bytes())
    found = [CompileCache(str(tmp_path)).get(base, trees[0]) for base in bases]
    assert sorted(kept.notes[0] for kept in found if kept) in ([bases[0]], [bases[1]])
    assert all(
        kept is None or kept.notes == (base,) for base, kept in zip(bases, found, strict=True)
    )


@pytest.mark.parametrize("text", [b"", b"\xff" * 64, b"x" * 64, b"ab" * 31, b"ab" * 33])
def test_a_damaged_key_is_made_anew_once(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "key").write_bytes(text)
    assert CompileCache(str(tmp_path), write=False).key() != text.decode("latin-1")
    assert (tmp_path / "key").read_bytes() == text
    first, again = (CompileCache(str(tmp_path)).key() for _ in range(2))
    assert first == again and len(bytes.fromhex(first)) == 32
    assert [p.name for p in tmp_path.iterdir()] == ["key"]
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0


def test_what_cannot_be_written_whole_is_not_left_there(
    tmp_path: Path, trees: tuple[Tree, Tree]
) -> None:
    cache = CompileCache(str(tmp_path))
    cache.key()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (99, hard))
    try:
        cache.put(BASE, trees[0], result("x" * 999))
        cache.note("words", {"x": "x" * 999})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["key"]
    assert cache.get(BASE, trees[0]) is None
    cache.put(BASE, trees[0], result())
    assert cache.get(BASE, trees[0])


@pytest.mark.parametrize("chunks", [b"[]", b"[1]", b"{", b"null"])
def test_chunks_that_cannot_be_those_are_no_empty_ones(
    tmp_path: Path, trees: tuple[Tree, Tree], chunks: bytes
) -> None:
    CompileCache(str(tmp_path)).put(BASE, trees[0], result())
    path = entry(tmp_path)
    path.write_bytes(summed([*path.read_bytes().split(b"\n")[1:3], chunks]))
    kept = CompileCache(str(tmp_path)).get(BASE, trees[0])
    assert kept is not None
    with pytest.raises(DamagedError, match=path.name):
        low_diff.compare("test", kept, result(), trees, states_dir="salt")
    with pytest.raises(DamagedError):
        list(kept.chunks)


@pytest.mark.parametrize("text", ["one", "two"])
def test_a_kept_side_differs_in_what_the_whole_one_does(
    tmp_path: Path, trees: tuple[Tree, Tree], text: str
) -> None:
    CompileCache(str(tmp_path)).put(BASE, trees[0], result())
    kept = CompileCache(str(tmp_path)).get(BASE, trees[0])
    assert kept is not None and isinstance(kept.chunks, Chunks)
    whole, other = replace(result(), cached=True), result(text)
    for sides in ((trees[0], trees[0]), trees):
        found = [
            low_diff.compare("test", *pair, sides, states_dir="salt")
            for pair in ((kept, other), (whole, other), (other, kept), (other, whole))
        ]
        assert found[0] == found[1] and found[2] == found[3]
        assert bool(found[0].difference) == (text != "one" or sides == trees)
        same = [low_diff.compare("test", c, c, sides, states_dir="salt") for c in (kept, whole)]
        assert same[0] == same[1] and bool(same[0].difference) == (sides == trees)


def test_what_equal_sides_need_is_not_decoded(trees: tuple[Tree, Tree]) -> None:
    brief = brief_of(result().chunks)
    lazy = replace(result(), chunks=Chunks(b"nothing of the kind", brief, "/there"))
    pair = trees[0], trees[0]
    found = low_diff.compare("test", lazy, lazy, pair, states_dir="salt")
    assert found == low_diff.compare("test", result(), result(), pair, states_dir="salt")
    assert found.compared == 2
