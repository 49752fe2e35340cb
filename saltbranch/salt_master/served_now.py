"""Where a master's states and pillar come from now, by its options: folders, gitfs, git_pillar.

Nothing is left out silently: whatever is no folder of one branch of one repository is among the problems.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saltbranch.base import files, text
from saltbranch.git import foreign
from saltbranch.git.program import mask
from saltbranch.salt_master.served_files import backends

Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """One folder of a repository. saltenv: empty for all those that are branches of `url`.

    kind: folder, gitfs or git_pillar. branch: empty for the one that is called like the saltenv. root: the folder
    inside the repository, "." for all of it. mountpoint: below which files are served. place: on this disk, for a
    folder. commit: what a folder's clone has checked out. fallback: branch where there is none of the saltenv. refs:
    saltenv to its branch, where somebody has said it.
    """

    kind: str
    saltenv: str
    url: str
    branch: str
    root: str
    mountpoint: str = ""
    place: str = ""
    commit: str = ""
    fallback: str = ""
    refs: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What people call it; no password in it."""
        return self.place or f"{self.kind} {mask(self.url)}"


@dataclass(frozen=True, slots=True)
class Found:
    """The sources of states and of pillar in Salt's order; problems: what cannot be expressed; notes: what stays.

    base: the branch that gitfs calls `base`. only_base: who is pinned to no saltenv gets pillar of `base` alone.
    """

    states: tuple[Source, ...] = ()
    pillar: tuple[Source, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    base: str = field(default="base")
    only_base: bool = False


def find(opts: Options) -> Found:
    """Read it from a master's options, and where those name folders, from their clones."""
    problems: list[str] = []
    notes = [
        f"file server {name}: stays as it is, and is not compared"
        for name in backends(opts)
        if name not in ("roots", "gitfs")
    ]
    states: list[Source] = []
    for name in backends(
        opts
    ):  # the first that has a file wins (salt/fileserver/__init__.py, find_file)
        if name == "roots":
            states += _folders("file_roots", opts, problems)
        elif name == "gitfs":
            states += _gitfs(opts, problems)
    pillar = [*_folders("pillar_roots", opts, problems), *_git_pillar(opts, problems, notes)]
    _check_top(opts, problems)
    notes += _credentials(opts)
    base = str(opts.get("gitfs_base") or "master")
    # salt/pillar/__init__.py, get_tops
    only_base = opts.get("pillar_source_merging_strategy") == "none"
    return Found(
        tuple(states), tuple(pillar), tuple(problems), tuple(notes), base, only_base=only_base
    )


def _folders(option: str, opts: Options, problems: list[str]) -> Iterator[Source]:
    kind = "folder"
    roots = opts.get(option)
    for saltenv, folders in roots.items() if isinstance(roots, Mapping) else ():
        for folder in folders or ():
            place = os.path.normpath(str(folder))
            if not files.holds_anything(place):
                continue
            if saltenv == "__env__" or "__env__" in place:
                problems.append(
                    f"{option}: {saltenv}: {place}: __env__ stands for any name that a minion gives"
                )
                continue
            found = foreign.read(place)
            if found is None:
                yield Source(kind, str(saltenv), "", "", "", place=place)
                continue
            root = os.path.relpath(os.path.realpath(place), found.folder)
            yield Source(
                kind, str(saltenv), found.url, found.branch, root, place=place, commit=found.commit
            )  # fmt: skip


def _gitfs(opts: Options, problems: list[str]) -> Iterator[Source]:
    for entry in opts.get("gitfs_remotes") or ():
        url, own = _entry(entry)
        given = {**{k: opts.get(f"gitfs_{k}") for k in _GITFS}, **own}
        name = f"gitfs remote {mask(url)}"
        problems += [
            f"{name}: {key} is set: {why}" for key, why in _NOT_GITFS.items() if given.get(key)
        ]
        yield Source(
            "gitfs",
            "",
            url,
            "",
            _root(given.get("root")),
            mountpoint=str(given.get("mountpoint") or "").removeprefix("salt://").strip("/"),
            fallback=str(given.get("fallback") or ""),
            refs=_refs(own.get("saltenv") or opts.get("gitfs_saltenv"), name, problems),
        )


def _refs(value: object, name: str, problems: list[str]) -> dict[str, str]:
    """The refs of gitfs_saltenv; a root or mountpoint of one saltenv alone cannot be expressed."""
    found: dict[str, str] = {}
    for entry in value if isinstance(value, list) else ():
        saltenv, own = _entry(entry)
        if own.get("ref"):
            found[saltenv] = str(own["ref"])
        for key in ("root", "mountpoint"):
            if key in own:
                problems.append(
                    f"{name}: saltenv {saltenv} has a {key} of its own: move its files in that branch"
                )
    return found


_GITFS = ("root", "mountpoint", "fallback", "all_saltenvs", "disable_saltenv_mapping", "refspecs")
_NOT_GITFS = {
    "all_saltenvs": "one branch for all saltenvs; commit its files to each branch instead, or pin it there as a"
    " submodule",
    "disable_saltenv_mapping": "its saltenvs are those of gitfs_saltenv",
}


def _git_pillar(opts: Options, problems: list[str], notes: list[str]) -> Iterator[Source]:
    for entry in opts.get("ext_pillar") or ():
        for kind, value in entry.items() if isinstance(entry, Mapping) else ():
            if kind != "git" or not isinstance(value, list):
                notes.append(f"ext_pillar {kind}: stays as it is, and is rendered on both sides")
                continue
            for remote in value:
                words, own = _entry(remote)
                branch, _, url = words.partition(" ")
                root = _root(own.get("root") or opts.get("git_pillar_root"))
                saltenv = str(own.get("env") or opts.get("git_pillar_env") or "")
                if branch == "__env__":
                    branch = ""
                if own.get("mountpoint"):
                    problems.append(
                        f"git_pillar {mask(url)}: mountpoint is set: merge its files into that folder"
                    )
                yield Source("git_pillar", saltenv, url.strip(), branch, root)


_CREDENTIALS = ("privkey", "pubkey", "passphrase", "user", "password")


def _credentials(opts: Options) -> Iterator[str]:
    """What Salt reaches remotes with, by the names of its options: never what stands there."""
    pillar: list[object] = []
    for entry in opts.get("ext_pillar") or ():
        if isinstance(entry, Mapping) and isinstance(entry.get("git"), list):
            pillar += entry["git"]
    states = opts.get("gitfs_remotes") if "gitfs" in backends(opts) else ()
    told: dict[tuple[str, ...], dict[str, None]] = {}
    for kind, entries in (("gitfs", states), ("git_pillar", pillar)):
        for entry in entries or ():
            words, own = _entry(entry)
            keys = tuple(
                f"{kind}_{key}" for key in _CREDENTIALS if own.get(key) or opts.get(f"{kind}_{key}")
            )
            url = words.rpartition(" ")[2]
            shown = mask(url)
            if shown != url:
                keys = (*keys, f"{_held(url)} in the URL")
            if keys:
                told.setdefault(keys, {})[shown] = None
    for keys, urls in told.items():
        yield (
            f"{', '.join(keys)}: not taken over; let git of the user that syncs reach {', '.join(urls)} by itself,"
            " with a key in that user's ssh configuration (Host, IdentityFile), or a credential helper for https; git"
            " ls-remote URL tells whether it can"
        )


def _held(url: str) -> str:
    """What stands before the host in a URL that cannot be shown whole."""
    credentials = url.partition("://")[2].partition("/")[0].rpartition("@")[0]
    return "a password" if credentials.partition(":")[2] else "a user name or token"


def _entry(entry: object) -> tuple[str, dict[str, Any]]:
    """The words of a remote and its own options (salt/utils/gitfs.py, GitProvider)."""
    if not isinstance(entry, Mapping):
        return str(entry), {}
    words, listed = next(iter(entry.items()), ("", []))
    own: dict[str, Any] = {}
    for item in listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ():
        own.update({str(k): v for k, v in item.items()} if isinstance(item, Mapping) else {})
    return str(words), own


def _root(value: object) -> str:
    return str(value or "").strip("/") or "."


def _check_top(opts: Options, problems: list[str]) -> None:
    top = str(opts.get("state_top") or "top.sls").removeprefix("salt://")
    if top != "top.sls":
        problems.append(f"state_top: {text.printable(top)}: rename it to top.sls in the repository")
    if opts.get("master_tops"):
        problems.append(
            f"master_tops: {', '.join(map(str, opts['master_tops']))}: it goes past saltenvs and branches"
        )
