"""Who else may change a file: what somebody else can write must not decide what root does.

The kind of CVE-2022-24765: a file planted above, or in, the folder that root happens to stand in.
"""

from __future__ import annotations

import os
import stat

from saltbranch.errors import RefusedError

_GROUP_OR_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def writer_or_none(path: str) -> str | None:
    """Who, beside root, may change `path` or put something else in its place; None when nobody may.

    Looks at the path as it is written and at what its links lead to, up to ``/``. In a sticky folder of
    root, such as /tmp, only the owner of an entry may replace it (inode(7), S_ISVTX), so what root made
    there counts. Raises FileNotFoundError.
    """
    whole = os.path.abspath(path)
    for start in dict.fromkeys((whole, os.path.realpath(whole))):
        if found := _writer_of_chain(start):
            return found
    return None


def _writer_of_chain(path: str) -> str | None:
    place = path
    while True:
        st = os.lstat(place)
        if st.st_uid != 0:
            return f"{place} belongs to {owner_name(st.st_uid)}"
        is_shared = place != path and stat.S_ISDIR(st.st_mode) and bool(st.st_mode & stat.S_ISVTX)
        if not stat.S_ISLNK(st.st_mode) and not is_shared and (who := _who_may_write(st)):
            return f"{place} may be written to by {who}"
        if place == "/":
            return None
        place = os.path.dirname(place)


def _who_may_write(st: os.stat_result) -> str:
    """Of a file of root: its own group, gid 0, is root's."""
    if st.st_mode & stat.S_IWOTH:
        return "everybody"
    return f"the group {st.st_gid}" if st.st_mode & stat.S_IWGRP and st.st_gid != 0 else ""


def writer_inside_or_none(folder: str) -> str | None:
    """Who, beside root, may change the folder or what lies right in it, such as a git folder's config and refs.

    Raises FileNotFoundError.
    """
    if found := writer_or_none(folder):
        return found
    for entry in os.scandir(folder):
        st = entry.stat(follow_symlinks=False)
        if st.st_uid != 0:
            return f"{entry.path} belongs to {owner_name(st.st_uid)}"
        if not entry.is_symlink() and (who := _who_may_write(st)):
            return f"{entry.path} may be written to by {who}"
    return None


def owner_name(uid: int) -> str:
    """The user of a number, for people."""
    import pwd

    try:
        return f"{pwd.getpwuid(uid).pw_name} (user id {uid})"
    except KeyError:
        return f"user id {uid}"


def refuse_for_root(path: str, what: str) -> None:
    """Refuse `path` where root would be led by what somebody else can write. Raises RefusedError.

    what: how messages call it, for example ``the configuration``. Does nothing for other users, and
    where there is no such file.
    """
    if os.geteuid() != 0:
        return
    try:
        found = writer_or_none(path)
    except OSError:
        return  # whoever opens it says what is wrong
    if found:
        raise RefusedError(
            f"{what} {path} is not believed by root: {found}",
            hint="let root own it and its folders, and nobody else write there (chown root, chmod go-w),"
            " or run saltbranch as its owner",
        )
