"""Who else may change a file: what somebody else can write must not decide what root does.

The kind of CVE-2022-24765: a file planted above, or in, the folder that root happens to stand in.
"""

from __future__ import annotations

import os
import stat

from saltbranch.base.errors import RefusedError

_MOST_LINKS = 40
# Folders of a git folder that are looked into.
_DEEP = ("refs", "info", "worktrees", "logs")


def writer_or_none(path: str) -> str | None:
    """Who, beside root, may change `path` or put something else in its place; None when nobody may.

    Every folder on the way is judged, and what each link leads through, up to ``/``. In a sticky folder of
    root, such as /tmp, only the owner of an entry may replace it (inode(7), S_ISVTX), so what root made
    there counts. Raises FileNotFoundError.
    """
    place, rest = "/", [part for part in os.path.abspath(path).split("/") if part]
    links = 0
    found = _writer_of("/", is_last=not rest)
    while rest and not found:
        part = rest.pop(0)
        if part == "..":
            place = os.path.dirname(place)
            continue
        place = os.path.join(place, part)
        found = _writer_of(place, is_last=not rest)
        if os.path.islink(place):
            links += 1
            if links > _MOST_LINKS:
                return f"{place} is a link without an end"
            target = os.readlink(place)
            rest = [p for p in target.split("/") if p not in ("", ".")] + rest
            place = "/" if target.startswith("/") else os.path.dirname(place)
    return found


def _writer_of(place: str, *, is_last: bool) -> str | None:
    st = os.lstat(place)
    if st.st_uid != 0:
        return f"{place} belongs to {owner_name(st.st_uid)}"
    is_shared = not is_last and stat.S_ISDIR(st.st_mode) and bool(st.st_mode & stat.S_ISVTX)
    if stat.S_ISLNK(st.st_mode) or is_shared:
        return None
    who = _who_may_write(place, st)
    return f"{place} may be written to by {who}" if who else None


def _who_may_write(place: str, st: os.stat_result) -> str:
    """Of a file of root. Its group, gid 0, is root's; with an access list the group's bits are a mask (acl(5))."""
    if st.st_mode & stat.S_IWOTH:
        return "everybody"
    if not st.st_mode & stat.S_IWGRP:
        return ""
    if "system.posix_acl_access" in _attributes(place):
        return "those on its access list (getfacl)"
    return f"the group {st.st_gid}" if st.st_gid != 0 else ""


def _attributes(place: str) -> list[str]:
    try:
        return os.listxattr(place, follow_symlinks=False)
    except OSError:
        return []


def writer_inside_or_none(folder: str) -> str | None:
    """Who, beside root, may change a git folder or what decides in it: its configuration, refs and the like.

    The objects themselves are named by their content. Raises FileNotFoundError.
    """
    if found := writer_or_none(folder):
        return found
    queue = [folder, f"{folder}/objects/info"]
    for place in filter(os.path.isdir, queue):
        for entry in os.scandir(place):
            if found := _writer_of(entry.path, is_last=True):
                return found
            is_deep = place != folder or entry.name in _DEEP
            if is_deep and entry.is_dir(follow_symlinks=False):
                queue.append(entry.path)
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
            f"{what} {path} is not trusted by root: {found}",
            hint="make root the owner of it and its folders, not writable by others (chown root, chmod go-w),"
            " or run saltbranch as its owner",
        )
