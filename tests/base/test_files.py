"""What is done to files, as far as no other test looks at it."""

from __future__ import annotations

import os
import threading

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
