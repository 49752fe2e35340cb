"""Moves a salt-master's option files over to saltbranch, and back: what they were is kept until then.

The order is what makes it safe to be killed anywhere: first all that is going to change is kept, then it is written
down that a move has begun (`MANIFEST`), and only then files change. Going back is the same whatever was reached.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saltbranch.base import files
from saltbranch.base.errors import SaltbranchError

MANIFEST = "manifest.json"
_NEW = "~.saltbranch-new"
_XATTRS_LEFT = ("system.nfs4", "trusted.")


@dataclass(frozen=True, slots=True)
class Restored:
    """paths: what was made as it was. edited: path to where what somebody has written since is kept."""

    paths: tuple[str, ...]
    edited: Mapping[str, str]


def has_begun(folder: str) -> bool:
    """Whether files are moved over, or somebody was killed while they were."""
    return os.path.exists(f"{folder}/{MANIFEST}")


def keep(folder: str, wanted: Mapping[str, list[str]]) -> None:
    """Keep in `folder` what will be written over. wanted: path to the texts that it may get. Raises OSError."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, mode=0o700)
    os.chmod(folder, 0o700)
    rows = [
        _kept(folder, number, path, texts) for number, (path, texts) in enumerate(wanted.items())
    ]
    parents = sorted({os.path.dirname(row["real"]) for row in rows})
    times = {p: _times(os.stat(p)) for p in parents if os.path.isdir(p)}
    text = json.dumps({"version": 1, "files": rows, "folders": times}, indent=1)
    for name in os.listdir(folder):
        _flush(f"{folder}/{name}")
    files.write_atomic(f"{folder}/{MANIFEST}", text, mode=0o600)
    _flush(folder)


def _kept(folder: str, number: int, path: str, texts: list[str]) -> dict[str, Any]:
    real = os.path.realpath(path)
    row: dict[str, Any] = {
        "path": path,
        "real": real,
        "after": [_digest(t.encode()) for t in texts],
    }
    data = files.read_or_none(real)
    if data is None:
        return {**row, "copy": None}
    found = os.stat(real)
    copy = f"{folder}/{number}"
    fd = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(data)
    row |= {"copy": copy, "digest": _digest(data), "mode": found.st_mode & 0o7777}
    return {
        **row,
        "uid": found.st_uid,
        "gid": found.st_gid,
        "times": _times(found),
        "xattrs": _xattrs(real),
    }


def write(path: str, text: str, mode: int) -> None:
    """Let the file `path` hold `text`; one that is there keeps owner, mode and attributes. Raises OSError."""
    real = os.path.realpath(path)
    try:
        found = os.stat(real)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(real), exist_ok=True)
        files.write_atomic(real, text, mode=mode)
        return
    if files.read_or_none(real) != text.encode():
        row = {"mode": found.st_mode & 0o7777, "uid": found.st_uid, "gid": found.st_gid}
        _replace(real, text.encode(), {**row, "times": None, "xattrs": _xattrs(real)})


def restore(folder: str) -> Restored:
    """Make everything as it was when it was kept, and end the move. Raises OSError, SaltbranchError."""
    manifest = json.loads(files.read_or_none(f"{folder}/{MANIFEST}") or b"{}")
    rows = manifest.get("files", [])
    for row in rows:
        if row["copy"] and _digest(files.read_or_none(row["copy"]) or b"") != row["digest"]:
            raise SaltbranchError(
                f"{row['copy']}, which is what {row['path']} was, is damaged; nothing was restored",
                hint=f"restore {row['path']} from a backup of this machine",
            )
    edited = {}
    for row in reversed(rows):  # what was written last goes first, as if it had been cut off there
        if place := _keep_edited(folder, row):
            edited[row["path"]] = place
        if row["copy"] is None:
            files.unlink(row["real"])
            files.unlink(row["real"] + _NEW)
        else:
            _replace(row["real"], files.read_or_none(row["copy"]) or b"", row)
    for parent, times in manifest.get("folders", {}).items():
        with contextlib.suppress(FileNotFoundError):
            os.utime(parent, ns=(times[0], times[1]))
    files.unlink(f"{folder}/{MANIFEST}")
    shutil.rmtree(folder, ignore_errors=True)
    return Restored(tuple(row["path"] for row in rows), edited)


def _keep_edited(folder: str, row: Mapping[str, Any]) -> str:
    """Where the present text is kept, if neither we wrote it nor it is the old one; else empty."""
    data = files.read_or_none(row["real"])
    if data is None or _digest(data) in (row.get("digest"), *row["after"]):
        return ""
    place = f"{os.path.dirname(folder)}/edited"
    os.makedirs(place, mode=0o700, exist_ok=True)
    path = f"{place}/{os.path.basename(row['path'])}.{_digest(data)[:12]}"
    if not os.path.exists(path):
        fd = os.open(f"{path}{_NEW}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(data)
        os.replace(f"{path}{_NEW}", path)
    return path


def _replace(path: str, data: bytes, row: Mapping[str, Any]) -> None:
    """Put a file with `data`, and owner, mode, times and attributes as in `row`, into the place of `path`."""
    temporary = path + _NEW
    files.unlink(temporary)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            if (row["uid"], row["gid"]) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), row["uid"], row["gid"])
            os.fchmod(file.fileno(), row["mode"])
            for name, value in row["xattrs"].items():
                with contextlib.suppress(OSError):
                    os.setxattr(file.fileno(), name, base64.b64decode(value))
            file.flush()
            os.fsync(file.fileno())
        if row["times"]:
            os.utime(temporary, ns=(row["times"][0], row["times"][1]))
        os.replace(temporary, path)
    except BaseException:
        files.unlink(temporary)
        raise


def _xattrs(path: str) -> dict[str, str]:
    found = {}
    with contextlib.suppress(OSError):
        for name in os.listxattr(path):
            if not name.startswith(_XATTRS_LEFT):
                found[name] = base64.b64encode(os.getxattr(path, name)).decode()
    return found


def _times(found: os.stat_result) -> list[int]:
    return [found.st_atime_ns, found.st_mtime_ns]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _flush(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
