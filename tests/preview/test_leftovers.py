"""What stays on a minion is what nothing else takes back."""

from __future__ import annotations

from typing import Any

import pytest

from saltbranch.compiler.model import Chunk
from saltbranch.preview.leftovers import Leftovers


def state(key: str, **arguments: Any) -> Chunk:
    """``ID | module.function``, with its ID as its name where no other is given."""
    identity = key.rpartition(" | ")[0]
    return Chunk(key, "a", "salt/a.sls", 1, {"name": identity, **arguments})


MASKED = {"masked": "1" * 32}


@pytest.mark.parametrize(
    ("gone", "after", "stays"),
    [
        (state("bob | user.present"), [], True),
        (state("bob | user.present"), [state("bob | user.absent")], False),
        (state("bob | user.present"), [state("remove bob | user.absent", name="bob")], False),
        (state("bob | user.present"), [state("ann | user.absent")], True),
        (state("bob | user.present"), [state("bob | group.absent")], True),
        (state("a | user.present", name=MASKED), [state("b | user.absent", name=MASKED)], False),
        (state("old | user.present", name="bob"), [state("new | user.present", name="bob")], False),
        (state("/etc/x | file.managed"), [state("/etc/x | file.absent")], False),
        (state("/etc/d/x | file.managed"), [state("/etc/d | file.absent")], False),
        (state("/etc/dd/x | file.managed"), [state("/etc/d | file.absent")], True),
        (state("/etc/x | file.managed"), [state("/etc/x | file.symlink")], False),
        (state("/etc/x | file.managed"), [state("more | file.append", name="/etc/x")], True),
        (state("one | file.append", name="/x"), [state("two | file.append", name="/x")], True),
        (state("one | file.append", name="/x"), [state("all | file.managed", name="/x")], False),
        (state("nginx | service.running"), [state("nginx | service.dead")], False),
        (state("nginx | service.running"), [state("nginx | service.enabled")], True),
        (state("t | pkg.installed", pkgs=["vim", {"git": "2"}]),
         [state("u | pkg.purged", pkgs=["git", "vim"])], False),
        (state("t | pkg.installed", pkgs=["vim", "git"]), [state("vim | pkg.removed")], True),
        (state("vim | pkg.installed"), [state("vim | pkg.latest")], False),
        (state("db | mysql_database.present"), [state("db | mysql_database.absent")], False),
        (state("bob | user.absent"), [], False),
        (state("x | cmd.run"), [], False),
    ],
)  # fmt: skip
def test_only_what_nothing_takes_back_stays(gone: Chunk, after: list[Chunk], stays: bool) -> None:
    assert Leftovers(after).stay(gone) is stays
