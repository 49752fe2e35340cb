"""The list of files that the master's file server keeps of each saltenv."""

from __future__ import annotations

import os
import time

from saltbranch.base import files


def clear_file_list(cachedir: str, saltenv: str) -> None:
    """Let the master list the files of `saltenv` anew (salt/fileserver/__init__.py, check_file_list_cache).

    Otherwise a new sls file is unknown for `fileserver_list_cache_time` (20 s). A list being made just now,
    marked by the folder `.<saltenv>.w`, may be of the old tree: wait until it is written, then drop it.
    """
    folder = f"{cachedir}/file_lists/roots"
    cache, busy = f"{folder}/{saltenv}.p", f"{folder}/.{saltenv}.w"
    files.unlink(cache)
    deadline = time.monotonic() + 5
    while os.path.exists(busy) and time.monotonic() < deadline:
        time.sleep(0.02)
    files.unlink(cache)  # always: it may have been finished between any two looks
