"""Symlinks in a served tree: none leads out of it, into git's files, or from states to pillar."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from saltbranch.config.roots import plain
from saltbranch.repository.servable import link_problem


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("salt/l", "app/init.sls"),
        ("salt/l", "."),
        ("salt/a/l", "../b"),
        ("salt/a/l", "../../README"),
        ("salt/a/l", "..//./b/"),
        ("salt/l", "dangling/for/now"),
        ("salt/l", "..."),
        ("salt/l", ".git"),
        ("l", "salt"),
        ("pillar/l", "../salt/app"),
        ("pillar/l", "app.sls"),
        ("pillar/l", "../pillar/app.sls"),
        ("salt/pillar", "../salt"),
    ],
)
def test_harmless(path: str, target: str) -> None:
    assert link_problem(path, target, plain("salt", "pillar")) is None


@pytest.mark.parametrize(
    ("path", "target", "pillar_dir", "why"),
    [
        ("salt/l", "/etc/shadow", "pillar", "absolute"),
        ("l", "..", "pillar", "leaves the checkout"),
        ("salt/l", "../../x", "pillar", "leaves the checkout"),
        ("salt/l", "./../../x", "pillar", "leaves the checkout"),
        ("salt/l", "a/../../x", "pillar", "climbs up again"),
        ("salt/l", "", "pillar", "points nowhere"),
        ("salt/l", "a\0b", "pillar", "points nowhere"),
        ("salt/l", "../.git/config", "pillar", "git's own files"),
        ("salt/l", "../pillar", "pillar", "would show pillar"),
        ("salt/l", "../pillar/app.sls", "pillar", "would show pillar"),
        ("salt/l", "..", "pillar", "would show pillar"),
        ("l", ".", "pillar", "would show pillar"),
        ("other/l", "../pillar", "pillar", "would show pillar"),
        ("salt/l", "../data", "data/pillar", "would show pillar"),
        ("salt/l", "../data/pillar/x", "data/pillar", "would show pillar"),
        ("pillar2/l", "../pillar/x", "pillar", "would show pillar"),
    ],
)
def test_refused(path: str, target: str, pillar_dir: str, why: str) -> None:
    assert why in (link_problem(path, target, plain("salt", pillar_dir)) or "")


_NAMES = st.sampled_from(["salt", "pillar", "a", "b", ".git"])
_PATHS = st.lists(_NAMES.filter(lambda name: name != ".git"), min_size=1, max_size=3).map("/".join)
_PARTS = st.sampled_from(["salt", "pillar", "a", "b", ".git", "..", ".", ""])
_TARGETS = st.lists(_PARTS, min_size=1, max_size=5).map("/".join).filter(bool)


@given(
    st.dictionaries(_PATHS, _TARGETS, min_size=1, max_size=8),
    st.sampled_from(["pillar", "a/pillar"]),
)
@example({"salt/a": "..", "salt/b": "a/pillar"}, "pillar")
@example({"salt/a": "../a", "a/b": "../pillar"}, "pillar")
@example({"a": "b", "b/a": "../../x"}, "pillar")
@settings(max_examples=120, deadline=None)
def test_no_set_of_accepted_links_leads_astray(links: dict[str, str], pillar_dir: str) -> None:
    """Each link is judged alone, so the kernel is asked where all the accepted ones lead together."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "outside" / "checkout"
        for name in ("salt", pillar_dir, ".git"):
            (root / name).mkdir(parents=True)
        made = []
        for path, target in sorted(links.items()):
            link = root / path
            if link_problem(path, target, plain("salt", pillar_dir)) is None and _is_free(
                root, link
            ):
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(target)
                made.append(link)
        secret = root / pillar_dir
        for link in made:
            try:
                end = Path(os.path.realpath(link, strict=True))
            except OSError:
                continue  # dangling, or a loop
            assert end.is_relative_to(root)
            assert not end.is_relative_to(root / ".git")
            if not link.is_relative_to(secret):
                assert not end.is_relative_to(secret) and not secret.is_relative_to(end)


def _is_free(root: Path, link: Path) -> bool:
    """Whether a commit could hold `link`: nothing is there, and what it is in are real folders."""
    inside = [parent for parent in link.parents if parent.is_relative_to(root)]
    return not os.path.lexists(link) and all(
        not parent.is_symlink() and (parent.is_dir() or not parent.exists()) for parent in inside
    )
