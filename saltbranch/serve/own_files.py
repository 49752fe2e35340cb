"""What lies in a root, read without following links: whether saltbranch made it."""

from __future__ import annotations

import os

from saltbranch.base import files
from saltbranch.salt_master import top_file
from saltbranch.serve.salt_files import SERVED_COMMIT

TOP_MARK = b"Written by saltbranch"


def entries_of(folder: str) -> list[os.DirEntry[str]]:
    """What is in `folder`, by name; nothing where there is none."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []


def is_own_top(file: os.DirEntry[str]) -> bool:
    """Whether it is a top file that saltbranch generated."""
    if not file.is_file(follow_symlinks=False):
        return False
    return TOP_MARK in (files.read_or_none(file.path) or b"")[:200]


def gitdir_of(path: str) -> str | None:
    """Where the file `.git` of a worktree leads; None when there is no such file."""
    text = content_of(path)
    if not text.startswith("gitdir: "):
        return None
    return os.path.realpath(os.path.join(os.path.dirname(path), text.removeprefix("gitdir: ")))


def content_of(path: str) -> str:
    """The text of a short file; empty where it cannot be read."""
    return os.fsdecode(files.read_or_none(path) or b"").strip()


def is_own_tops(entry: os.DirEntry[str]) -> bool:
    """Whether it is as salt_files makes it: states and pillar, each with our top file. Raises OSError."""
    if not entry.is_dir(follow_symlinks=False):
        return False
    for kind in entries_of(entry.path):
        if kind.name not in ("states", "pillar") or not kind.is_dir(follow_symlinks=False):
            return False
        for file in entries_of(kind.path):
            name = file.name.removesuffix(".saltbranch-new")
            known = (top_file.BRANCH_TOP, top_file.LENT, SERVED_COMMIT)
            link = name in known and file.is_symlink()
            if not link and not (name == "top.sls" and is_own_top(file)):
                return False
    return True
