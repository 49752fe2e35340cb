"""What is done to files, as far as no other test looks at it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from saltbranch.base import files


def test_the_umask_of_a_process_outlasts_the_thread_that_leaves_first() -> None:
    before = os.umask(0o022)
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with files.private_umask():
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=other)
    try:
        with files.private_umask():
            thread.start()
            assert inside.wait(30)
        seen = os.umask(0o027)  # the first one is out, the other still makes files
        leave.set()
        thread.join(30)
        after = os.umask(before)
    finally:
        leave.set()
        os.umask(before)
    assert (oct(seen), oct(after)) == ("0o27", "0o22")


def test_what_is_to_be_readable_takes_nothing_from_a_thread_that_hides(tmp_path: Path) -> None:
    """Two threads: pillar stays private, and the compiler's tree is readable all the same."""
    before = os.umask(0o077)
    hidden, tree = tmp_path / "hidden", tmp_path / "tree"
    tree.mkdir(mode=0o700)
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with files.private_umask():
            inside.set()
            leave.wait(30)
            hidden.write_text("pillar")

    thread = threading.Thread(target=other)
    try:
        with files.readable_umask(str(tree)):
            (tree / "early").mkdir()
            thread.start()
            assert inside.wait(30)
            (tree / "early" / "late").write_text("")
            (tree / "link").symlink_to(hidden)
            leave.set()
            thread.join(30)
        after = os.umask(0o077)
    finally:
        leave.set()
        os.umask(before)
    modes = [p.stat().st_mode & 0o777 for p in (tree / "early", tree / "early" / "late", hidden)]
    assert ([oct(m) for m in modes], oct(after)) == (["0o755", "0o644", "0o640"], "0o77")
