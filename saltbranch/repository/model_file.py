"""The file of the model as it stands in commits, and the newest valid one."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass

from saltbranch.base.errors import ConfigError, NoSaltenvsError
from saltbranch.config.check import build_config, roots_of
from saltbranch.config.keys import FileModel
from saltbranch.config.locate import FILE_NAME
from saltbranch.config.model import Source, end_branches
from saltbranch.config.read import check_model
from saltbranch.config.roots import KEYS, Root, is_above, is_in
from saltbranch.git.program import Git
from saltbranch.repository import servable

# How far back on the first parents an acceptable commit, or a version of the file, is looked for.
FAR = 200


@dataclass(frozen=True, slots=True)
class Found:
    """A valid file. commit: where it was looked up. problem: why newer ones do not count."""

    commit: str
    blob: str
    model: FileModel
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is no valid file. problem: what is wrong with the one that there is."""

    problem: str


def newest_valid(git: Git, commit: str, branch: str = "") -> Found | Nothing:
    """The file of `commit`, or the newest valid one before it on its first parents. Raises GitError.

    branch: it has to be the end of the promotions there, for it is the one that the model stands on.
    """
    problem, removed = "", ""
    seen: set[str] = set()
    for number, at in enumerate(_versions(git, commit)):
        blob = file_of(git, at)
        if blob is None:
            removed = removed if number else f"{at[:12]} does not have it"
        if blob is None or blob in seen:
            continue
        seen.add(blob)
        try:
            model = read_at(git, at, branch)
        except NoSaltenvsError:
            removed = removed or f"that of {at[:12]} names no saltenvs"
        except ConfigError as err:
            hint = f" ({err.hint})" if err.hint else ""
            problem = problem or f"that of {at[:12]} does not count: {err.message}{hint}"
        else:
            why = problem or removed
            return Found(at, blob, model, f"{why}; that of {at[:12]} does" if why else "")
    return Nothing(problem)


def older(git: Git, source: Source) -> Found | None:
    """The newest valid file before the one of `source`, that is another one. Raises GitError."""
    for at in _versions(git, source.commit or ""):
        blob = file_of(git, at)
        if blob is None or blob == source.blob:
            continue
        try:
            return Found(at, blob, read_at(git, at, source.branch or ""))
        except ConfigError:
            continue
    return None


def _versions(git: Git, commit: str) -> Iterator[str]:
    """`commit`, then those on its first parents that changed the file; git is asked only when one is needed."""
    yield commit
    args = ("rev-list", "--first-parent", f"--max-count={FAR}", "--end-of-options", commit)
    yield from git.out(*args, "--", FILE_NAME).split()


def file_of(git: Git, tree: str) -> str | None:
    """The object at saltbranch.yaml of a commit or tree, whatever it is; None where there is none. Raises GitError."""
    return git.blob_or_none(tree, FILE_NAME)


def read_at(git: Git, tree: str, branch: str = "") -> FileModel:
    """The valid model of a commit or tree. branch: the end of its promotions.

    Raises ConfigError, also for what is not a file, and for folders that are not there; GitError.
    """
    mode, oid = git.entry_or_none(tree, FILE_NAME) or ("", "")
    if mode not in ("100644", "100755"):
        what = {"120000": "a symlink", "160000": "a submodule"}.get(mode, "a folder")
        raise ConfigError(f"{FILE_NAME} is {what} and no file", hint="write it as a plain file")
    model = read(git, oid)
    _check_folders(git, tree, model)
    if branch and branch not in ends_of(model):
        ends = " or ".join(sorted(ends_of(model)))
        raise ConfigError(
            f"{FILE_NAME}: {branch} is not the end of its promotions, that is {ends}",
            hint="the model is on the production branch, so it must name that branch",
        )
    return model


def _check_folders(git: Git, tree: str, model: FileModel) -> None:
    """A folder that is not there would take all states, or all pillar, from everybody. Raises ConfigError."""
    plain, roots = FileModel(), roots_of(model, FILE_NAME)
    for kind, key in KEYS.items():
        if getattr(model, key) == getattr(plain, key):
            continue
        named = [root for root in roots.of(kind) if not root.is_glob]
        # What a glob is for comes and goes: it may stand for nothing, where something else is named.
        lacking = [root for root in named or roots.of(kind) if not _has_files(git, tree, root)]
        if lacking and (named or len(lacking) == len(roots.of(kind))):
            what = "folder" if named else "folder of"
            raise ConfigError(
                f"{FILE_NAME}: {key}: there is no {what} {lacking[0].folder!r} with files in that tree",
                hint="fix the name",
            )


def _has_files(git: Git, tree: str, root: Root) -> bool:
    """Whether a folder of `root` has files, or a submodule, whose files are elsewhere."""
    if not root.is_glob and root.parts and servable.commit_has_files(git, tree, root.folder):
        return True
    for line in git.out("ls-tree", "-r", "-z", "--full-tree", tree).split("\0"):
        meta, _, path = line.partition("\t")
        parts, is_pinned = tuple(path.split("/")), " commit " in meta
        if is_pinned and is_above(parts, [root.parts]):
            return True
        if is_in(parts, [root.parts]) and (is_pinned or len(parts) > len(root.parts)):
            return True
    return False


def ends_of(model: FileModel) -> set[str]:
    """The branches at the end of its promotions. Raises ConfigError."""
    return end_branches(build_config(FileModel(remote="/"), FILE_NAME, model))


def read(git: Git, blob: str) -> FileModel:
    """The valid model that the object `blob` holds. Raises ConfigError, GitError."""
    return _read(os.fsdecode(git.blob(blob)))


@functools.lru_cache(maxsize=64)
def _read(text: str) -> FileModel:
    try:
        text.encode()
    except UnicodeEncodeError as err:
        raise ConfigError(f"{FILE_NAME} is not UTF-8 text", hint="save it as UTF-8") from err
    return check_model(text, FILE_NAME)[0]
