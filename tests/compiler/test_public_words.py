"""Which words are public, as it is kept from run to run: the same as if nothing were."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from saltbranch.base.errors import GitError
from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.dispatcher import derived
from saltbranch.compiler.inside.mask import Mask
from saltbranch.compiler.public_words import Public
from tests.support.compiling import Lab
from tests.support.remote import Content

WORDS = ["zebrafish", "wolverine", "porcupine", "armadillo", "chinchilla"]


def told(trees: list[Any], cache: CompileCache, words: list[str]) -> list[str]:
    mask = Mask(bytes.fromhex(derived(cache.key(), "words")))
    public = Public(trees, cache)
    found = [public.text(f"\0{mask.digest(word)}\0") for word in words]
    public.keep()
    return found


def test_a_word_is_told_only_where_the_trees_at_hand_have_it(tmp_path: Path) -> None:
    choice = random.Random(1)
    lab = Lab(tmp_path, {"salt/top.sls": "base: {}\n", "pillar/top.sls": f"# {WORDS}\n"})
    commits = []
    for _ in range(12):
        own = [word for word in WORDS if choice.random() < 0.4]
        files: dict[str, Content] = {"salt/a.sls": f"# {' '.join(own[:2])}\n"}
        files["salt/b.sls"] = f"# {' '.join(own[2:])}\n"
        commits.append((own, lab.commit(files)))
    folder = str(tmp_path / "cache")
    seen = set()
    for _ in range(40):
        chosen = choice.sample(commits, choice.choice((1, 2)))
        asked = [word for word in WORDS if choice.random() < 0.5]
        public = {word for own, _ in chosen for word in own}
        trees = [lab.tree(commit) for _, commit in chosen]
        wanted = [word if word in public else "***" for word in asked]
        assert told(trees, CompileCache(folder), asked) == wanted
        seen.update(wanted)
    assert seen == {*WORDS, "***"}


def test_what_is_new_only_is_searched(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"salt/a.sls": "# zebrafish\n", "salt/b.sls": "# wolverine\n"})
    asked = [word for word in WORDS if word != "wolverine"]
    folder = str(tmp_path / "cache")
    before = lab.tree()
    told([before], CompileCache(folder), asked)
    lab.commit({"salt/b.sls": "# armadillo\n"})
    after = lab.tree()
    (old,) = before.public_blobs & after.public_blobs
    objects = tmp_path / "repo.git" / "objects"
    (objects / old[:2] / old[2:]).unlink()  # who reads it fails
    wanted = ["zebrafish", "***", "armadillo", "***"]
    assert told([after], CompileCache(folder), asked) == wanted
    with pytest.raises(GitError):
        told([after], CompileCache(None), asked)


def test_what_others_keep_there_is_not_believed(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"salt/a.sls": "# zebrafish\n"})
    folder = tmp_path / "cache"
    for text in (
        "[]",
        "{",
        '{"blobs": 1, "words": {}}',
        '{"blobs": [], "words": {"a": [1]}}',
        "{}",
    ):
        told([lab.tree()], CompileCache(str(folder)), WORDS[:1])
        (place,) = folder.glob("words-*")
        place.write_text(text)
        assert told([lab.tree()], CompileCache(str(folder)), WORDS[:2]) == ["zebrafish", "***"]


def test_digests_that_a_branch_makes_up_do_not_fill_the_cache(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"salt/a.sls": "# zebrafish\n"})
    cache = CompileCache(str(tmp_path / "cache"))
    public = Public([lab.tree()], cache)
    assert public.text("".join(f"\0{n:032x}\0" for n in range(20_001))) == "***" * 20_001
    public.keep()
    assert not [*(tmp_path / "cache").glob("words-*")]
