"""Debian's order of versions is dpkg's."""

from __future__ import annotations

import random
import shutil
import subprocess

import pytest

from saltbranch.compiler.inside import debversion

KNOWN = [
    ("1.0", "1.0", 0), ("1.0~rc1", "1.0", -1), ("1:0.9", "2.0", 1), ("1.0-1", "1.0-1.1", -1), ("1.0", "1.0-0", 0),
    ("", "246", -1), ("", "", 0), ("1.0a", "1.0+", -1), ("1.10", "1.9", 1), ("0:1", "1", 0), ("1-2-3", "1-2-4", -1),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other", "wanted"), KNOWN)
def test_known_orders(one: str, other: str, wanted: int) -> None:
    assert debversion.compare(one, other) == wanted
    assert debversion.compare(other, one) == -wanted


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="there is no dpkg here")
def test_dpkg_says_the_same_of_any_two_versions() -> None:
    rng = random.Random(3)
    for _ in range(150):
        one, other = ("".join(rng.choices("01239ab~+.-:", k=rng.randrange(8))) for _ in range(2))
        argv = ["dpkg", "--compare-versions", one, rng.choice(("lt", "eq", "gt")), other]
        done = subprocess.run(argv, capture_output=True, check=False)
        assert debversion.status(argv) == done.returncode, argv


def test_only_the_command_that_salt_makes_is_answered() -> None:
    assert debversion.is_question(["dpkg", "--compare-versions", "1", "lt", "2"])
    for argv in ("dpkg --compare-versions 1 lt 2", ["dpkg", "-l"], None, 3):
        assert not debversion.is_question(argv)
