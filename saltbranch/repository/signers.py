"""The file of allowed signers as it stands in a commit of the repository: for approvals, and for signed commits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from saltbranch.base.errors import RefusedError
from saltbranch.config import signer_files
from saltbranch.config.keys import FileModel
from saltbranch.config.signers import Signers
from saltbranch.git import allowed_signers
from saltbranch.git.program import Git

_KINDS = {"120000": "a symlink", "160000": "a submodule", "040000": "a folder"}


@dataclass(frozen=True, slots=True)
class Allowed:
    """Lines of allowed signers. where: what messages call them. id: another one for other lines."""

    text: str
    where: str
    id: str


def of_lines(lines: tuple[str, ...], where: str) -> Allowed:
    """Those that stand in the model itself."""
    text = "".join(f"{line}\n" for line in lines)
    return Allowed(text, where, hashlib.sha256(text.encode("utf-8", "replace")).hexdigest())


def read(git: Git, commit: str | None, signers: Signers, branch: str | None = None) -> Allowed:
    """Those that `signers` names, as of `commit` of production. Raises RefusedError where there are none, GitError.

    branch: what messages call the commit's branch.
    """
    if not signers.file:
        return of_lines(signers.lines, "the model")
    if commit is None:
        raise RefusedError(
            f"{signers.file} of the production branch counts, and the model is not from a repository",
            hint="name the signers in the model itself, as a list of lines",
        )
    where = f"{branch} at {commit[:12]}" if branch else commit[:12]
    oid, problem = _find(git, commit, signers.file)
    if problem:
        raise RefusedError(
            f"nobody vouches for anything by {signers.file} of {where}: {problem}",
            hint="promote one there with a line for each signer (ssh-keygen(1), ALLOWED SIGNERS)",
        )
    return Allowed(git.out("cat-file", "blob", oid), f"{signers.file} of {where}", oid)


def _find(git: Git, tree: str, path: str) -> tuple[str, str]:
    """The blob at `path` of a tree or commit, and what is wrong with it."""
    literal = git.with_env(GIT_LITERAL_PATHSPECS="1")
    listed = literal.out("ls-tree", "-l", "-z", "--full-tree", tree, "--", path).rstrip("\0")
    words = listed.partition("\t")[0].split()
    if len(words) != 4:
        return "", "there is no such file"
    mode, _, oid, size = words
    if mode in _KINDS:
        return "", f"it is {_KINDS[mode]} and no file"
    if int(size) > allowed_signers.LARGEST:
        return "", f"it is larger than {allowed_signers.LARGEST} bytes"
    problem = allowed_signers.problem_of(git.out("cat-file", "blob", oid))
    return oid, problem


def problem_of(git: Git, tree: str, model: FileModel) -> str:
    """What is wrong with the files of signers that `model`, of the same tree, names: nobody could pass by them.

    Raises GitError.
    """
    for where, path in signer_files.named(model):
        _, problem = _find(git, tree, path)
        if problem:
            return f"{where}: {path}: {problem}"
    return ""
