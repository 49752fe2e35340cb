"""What is composed is one thing on disk and in a commit, and nothing of it is what no minion is to read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from saltbranch.base.errors import ConfigError, RefusedError
from saltbranch.config.roots import KINDS, STATES
from saltbranch.config.roots_keys import parse
from saltbranch.git import links as symlinks
from saltbranch.repository.composition import InCommit, OnDisk, compose, names
from saltbranch.repository.servable import link_problem

_NAMES = ["a", "b", "salt", "pillar", "tests", "fleet", ".h", "x.sls", "docs", "A", "formulas"]
_PATHS = st.lists(st.sampled_from(_NAMES), min_size=1, max_size=4).map("/".join)
_FOLDERS = st.sampled_from(["salt", "a", "formulas", "formulas/*", "*", "a/b", "salt/a", "b/*/a"])
_ENTRIES = st.one_of(
    _FOLDERS,
    st.tuples(
        st.one_of(_FOLDERS, st.just(".")),
        st.lists(st.sampled_from([*_NAMES[:6], "*", "?", "*.sls"]), min_size=1, max_size=3),
    ).map(lambda pair: {pair[0]: [n for n in pair[1] if not n.startswith(".")] or ["a"]}),
)
_PARTS = st.sampled_from([*_NAMES, "..", ".."])
_TARGETS = st.lists(_PARTS, min_size=1, max_size=4).map("/".join)


def _made(top: Path, files: list[str], links: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Those that can be, one of another's way left out."""
    done: list[str] = []
    for path in sorted(files):
        if not any(f"{path}/".startswith(f"{other}/") for other in done):
            (top / path).parent.mkdir(parents=True, exist_ok=True)
            (top / path).write_text(path)
            done.append(path)
    kept = {}
    for path, target in sorted(links.items()):
        place = top / path
        way = [*place.relative_to(top).parents][:-1]
        if not os.path.lexists(place) and not any(
            (top / p).is_symlink() or (top / p).is_file() for p in way
        ):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)
            kept[path] = target
    return done, kept


def _on_disk(top: Path, found: dict[str, str]) -> dict[str, str]:
    """Name to what is read there, through the links."""
    seen = {}
    for name, path in found.items():
        if (top / path).is_file():
            seen[name] = (top / path).read_text()
        for folder, _, inner in os.walk(top / path, followlinks=True):
            for file in inner:
                if os.path.exists(f"{folder}/{file}"):
                    text = Path(folder, file).read_text()
                    seen[f"{name}{folder[len(str(top / path)) :]}/{file}"] = text
    return seen


@given(
    st.lists(_PATHS, min_size=1, max_size=12),
    st.dictionaries(_PATHS, _TARGETS, max_size=3),
    st.lists(_ENTRIES, min_size=1, max_size=3),
    st.lists(_ENTRIES, min_size=1, max_size=2),
)
@example(["a/b/x.sls", "a/pillar/x.sls"], {}, [{"a": ["*"]}], ["a/pillar"])
@example(["salt/a/x.sls", "b/x.sls"], {"salt/b": "../b"}, ["salt"], ["pillar"])
@example(["a/x.sls", "tests/x.sls", "fleet/x.sls"], {"a/b": "../tests"}, [{".": ["*"]}], ["pillar"])
@settings(max_examples=300, deadline=None)
def test_disk_and_commit_agree_and_nothing_secret_shows(
    files: list[str], links: dict[str, str], states: list[object], pillar: list[object]
) -> None:
    try:
        roots = parse(states, pillar, "x", fleet="fleet")
    except ConfigError:
        return
    links = {p: t for p, t in links.items() if link_problem(p, t, roots) is None}
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder).resolve()
        files, links = _made(top, files, links)
        shown = symlinks.names(files, links)
        listing = InCommit([*files, *links, *shown])
        for kind in KINDS:
            try:
                found = compose(roots, kind, OnDisk(str(top))).entries
            except RefusedError:
                with pytest.raises(RefusedError):
                    compose(roots, kind, listing)
                continue
            seen = _on_disk(top, found)
            told = names(roots, kind, listing)
            assert seen == {n: shown.get(p, p) for n, p in told.items() if p in shown or p in files}
            for text in seen.values() if kind == STATES else ():
                first = text.split("/")[0]
                assert first not in ("tests", "fleet") and not first.startswith("."), text
                owner = {shown.get(p, p) for p in names_of_pillar(roots, listing).values()}
                assert text not in owner


def names_of_pillar(roots: object, listing: InCommit) -> dict[str, str]:
    try:
        return names(roots, "pillar", listing)  # type: ignore[arg-type]
    except RefusedError:
        return {}
