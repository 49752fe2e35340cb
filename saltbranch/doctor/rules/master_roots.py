"""Which files the salt-master serves in each saltenv."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Sequence

from saltbranch.base.text import some
from saltbranch.doctor.finding import Finding
from saltbranch.doctor.rules.seen_master import Master, texts


def roots(master: Master) -> Iterator[Finding]:
    """The folders of each saltenv: exactly ours, or a stranger's files are served in it."""
    for option, wanted in (
        ("file_roots", master.file_roots),
        ("pillar_roots", master.pillar_roots),
    ):
        have = master.opts.get(option) or {}
        odd = [text for name in wanted for text in _odd_roots(name, wanted[name], have.get(name))]
        if odd:
            yield Finding(
                option.replace("_", "-"),
                "error",
                f"{option} is not what saltbranch writes: {'; '.join(odd)}"
                f" ({some(master.places.get(option, ())) or 'no file sets it'})",
                why="Minions of that saltenv get other files than those of its branch, or none.",
                fix=f"let only {master.master_config or 'the file of saltbranch'} name these saltenvs"
                " (Salt"
                " joins the lists of all files in master.d), then restart the salt-master",
                items=tuple(odd),
            )


def _odd_roots(saltenv: str, wanted: Sequence[str], have: object) -> Iterator[str]:
    if not isinstance(have, list):
        yield f"saltenv {saltenv} is missing"
        return
    paths = [os.path.normpath(str(path)) for path in have]
    if more := [path for path in paths if path not in wanted]:
        yield f"saltenv {saltenv} has {some(more)} too"
    if less := [path for path in wanted if path not in paths]:
        yield f"saltenv {saltenv} lacks {some(less)}"
    if not more and not less and paths != list(wanted):
        yield f"the folders of saltenv {saltenv} are in another order"


def other_saltenvs(master: Master) -> Iterator[Finding]:
    """A saltenv beside ours, for example base: its top file is read for every unpinned minion."""
    for option, wanted in (
        ("file_roots", master.file_roots),
        ("pillar_roots", master.pillar_roots),
    ):
        for saltenv, folders in (master.opts.get(option) or {}).items():
            if saltenv in wanted or saltenv == "__env__" or not wanted or not folders:
                continue
            leaks = [str(folder) for folder in folders if str(folder) in master.with_top]
            what = "pillar" if option == "pillar_roots" else "states"
            yield Finding(
                "other-saltenv",
                "warning" if leaks else "note",
                f"{option} names the saltenv {saltenv} beside those of saltbranch:"
                f" {some(map(str, folders))}"
                f" ({some(master.places.get(option, ())) or 'no file sets it'})",
                why=f"Its top file in {some(leaks)} is read for the minions of all saltenvs and may"
                " give any of"
                f" them {what}."
                if leaks
                else f"It has no top file, so it gives no minion {what} by itself.",
                fix=f"remove {saltenv} from {option}, or its top file, or see to it that it matches"
                " none of the"
                " minions of saltbranch",
                items=tuple(map(str, folders)),
            )


def literal_env(master: Master) -> Iterator[Finding]:
    """fileserver/roots.py, find_file: the name that the minion sends is put in unchecked."""
    for option in ("file_roots", "pillar_roots"):
        if "__env__" in (master.opts.get(option) or {}):
            yield Finding(
                "literal-env",
                "error",
                f"{option} holds __env__ ({some(master.places.get(option, ()))})",
                "Salt puts the saltenv that a minion asks for into the path unchecked, so"
                " saltenv=../x reads"
                " files outside of it.",
                f"remove __env__ from {option}; saltbranch names each saltenv",
            )


_OTHER_BACKENDS = {
    "gitfs": "It serves every branch and tag as a separate saltenv, top files included.",
    "hgfs": "It serves every branch and tag as a separate saltenv, top files included.",
    "svnfs": "It serves every branch and tag as a separate saltenv, top files included.",
    "minionfs": "It serves files that minions have pushed.",
}


def file_server_backend(master: Master) -> Iterator[Finding]:
    """fileserver/__init__.py, Fileserver.backends."""
    backends = [str(name) for name in master.opts.get("fileserver_backend") or ["roots"]]
    if "roots" not in backends:
        yield Finding(
            "file-server-backend",
            "error",
            f"{master.seen('fileserver_backend')}, without roots",
            "Nothing of what saltbranch serves reaches a minion.",
            "write fileserver_backend: [roots]",
        )
    for name in backends:
        if name in ("roots", "file_roots"):
            continue
        yield Finding(
            "file-server-backend",
            "warning",
            master.seen("fileserver_backend"),
            why=_OTHER_BACKENDS.get(
                name, "It adds files and saltenvs that saltbranch knows nothing of."
            ),
            fix=f"take {name} out of fileserver_backend, when its files have moved to the control"
            " repository",
            items=(name,),
        )
    if master.opts.get("gitfs_remotes") and "gitfs" not in backends:
        yield Finding(
            "gitfs-remotes",
            "note",
            f"gitfs_remotes is set ({some(master.places.get('gitfs_remotes', ()))}), but gitfs is"
            " not used",
            "It does nothing until gitfs is in fileserver_backend.",
            "remove gitfs_remotes",
        )


def symlinks(master: Master) -> Iterator[Finding]:
    """fileserver/roots.py, find_file (clean_path with realpath) and _file_lists."""
    bad = [
        option
        for option, value in (
            ("fileserver_followsymlinks", True),
            ("fileserver_ignoresymlinks", False),
        )
        if bool(master.opts.get(option, value)) is not value
    ]
    for option in bad:
        yield Finding(
            "symlinks",
            "error",
            master.seen(option),
            "The branches' top files are reached through symlinks, so every highstate would be"
            " empty.",
            master.remove(option),
        )


def ignored_files(master: Master) -> Iterator[Finding]:
    """fileserver/__init__.py, is_file_ignored: asked with the whole path, and in lists with its
    end.
    """
    regexes = [re.compile(regex) for regex in texts(master.opts.get("file_ignore_regex"))]
    globs = texts(master.opts.get("file_ignore_glob"))
    hidden = tuple(
        path
        for path, below in master.served
        if any(regex.search(name) for regex in regexes for name in (path, below))
        or any(fnmatch.fnmatch(name, glob) for glob in globs for name in (path, below))
    )
    if hidden:
        options = [
            name for name in ("file_ignore_regex", "file_ignore_glob") if master.opts.get(name)
        ]
        yield Finding(
            "files-ignored",
            "error",
            f"{' and '.join(map(master.seen, options))} hides {len(hidden)} sls files:"
            f" {some(hidden)}",
            why="The master answers as if these files were not there.",
            fix=f"narrow {' and '.join(options)}",
            items=hidden,
        )


def gitfs_locks(locks: Iterable[tuple[str, bool]], *, used: bool) -> Iterator[Finding]:
    """Lock files that a killed gitfs left (salt/utils/gitfs.py, ``_get_lock_file``).

    locks: path, and whether the process named in it still runs. used: gitfs or git_pillar is
    configured.
    """
    stale = tuple(path for path, alive in locks if not alive)
    if stale:
        yield Finding(
            "stale-gitfs-lock",
            "warning" if used else "note",
            f"{len(stale)} locks of gitfs or git_pillar belong to no running process:"
            f" {some(stale, 3)}",
            why="While they lie there, that repository is never updated again, and nothing says so."
            if used
            else "They are left-overs: no git backend is configured any more.",
            fix="salt-run cache.clear_git_lock gitfs type=update (also git_pillar; types checkout,"
            " mountpoint)"
            if used
            else "remove the gitfs and git_pillar folders in the master's cachedir",
            items=stale,
        )
