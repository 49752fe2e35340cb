"""saltbranch.yaml as the model that it would be once it is on the production branch."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from saltbranch.base.errors import ConfigError, NoSaltenvsError
from saltbranch.check import catalogue as rules
from saltbranch.check.finding import Finding
from saltbranch.config import signer_files
from saltbranch.config.check import roots_of
from saltbranch.config.keys import MACHINE_KEYS, FileModel
from saltbranch.config.locate import FILE_NAME
from saltbranch.config.read import check_model
from saltbranch.config.roots import KEYS, Roots, is_in
from saltbranch.git import allowed_signers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from saltbranch.git.tree import Blob

_PLACE = re.compile(rf"{re.escape(FILE_NAME)}(?::(\d+))?(?::\d+)?: (.*)", re.DOTALL)


def check(
    data: bytes | None, branches: Collection[str], *, roots: Roots, paths: Collection[str]
) -> Iterator[Finding]:
    """What is wrong with the file: a promotion with it is refused.

    data: None where it is not a file. branches: of the remote; none known when empty. paths: of the files that are
    read by `roots`.
    """
    if data is None:
        yield rules.MODEL.at(
            FILE_NAME, 0, "it is a link or a submodule, and no file", fix="write it as a plain file"
        )
        return
    try:
        text = data.decode()
    except UnicodeDecodeError as err:
        yield rules.MODEL.at(
            FILE_NAME, 0, f"it is not UTF-8 text: {err.reason}", fix="save it as UTF-8"
        )
        return
    try:
        model, _ = check_model(text, FILE_NAME)
    except NoSaltenvsError:
        return  # nobody's model
    except ConfigError as err:
        found = _PLACE.fullmatch(err.message)
        line = int(found[1] or 0) if found else 0
        yield rules.MODEL.at(FILE_NAME, line, found[2] if found else err.message, fix=err.hint)
        return
    for name, saltenv in (model.saltenvs or {}).items():
        if branches and saltenv.branch not in branches:
            message = f"saltenvs.{name}.branch: the remote has no branch {saltenv.branch!r}"
            yield rules.MODEL.at(
                FILE_NAME, _line_of(text, name), message, fix="push it first, or fix the name"
            )
    yield from _empty_globs(model, text, roots, paths)
    yield from _other_roots(model, text, roots)
    plain = FileModel()
    for key in MACHINE_KEYS:
        if getattr(model, key) != getattr(plain, key):
            message = f"{key}: has no effect here: only a machine's own file says that"
            yield rules.MACHINE_KEY.at(FILE_NAME, _line_of(text, key), message)


def check_signers(data: bytes, blobs: Mapping[str, Blob]) -> Iterator[Finding]:
    """Files of allowed signers, named by the model in `data`, by which nobody could sign. blobs: the files by path."""
    try:
        text = data.decode()
        model, _ = check_model(text, FILE_NAME)
    except (UnicodeDecodeError, ConfigError):
        return  # which is told for itself
    for key, path in signer_files.named(model):
        blob = blobs.get(path)
        if blob is None:
            problem = "there is no such file"
        elif blob.kind != "file":
            problem = f"it is a {blob.kind} and no file"
        else:
            known = blob.data.decode("utf-8", "replace") if blob.data is not None else None
            problem = "it is empty" if not blob.size else ""
            problem = problem or (allowed_signers.problem_of(known) if known is not None else "")
        if problem:
            message = f"{key}: {path}: {problem}: nobody can sign by it"
            fix = "add a line for each signer (ssh-keygen(1), ALLOWED SIGNERS)"
            yield rules.MODEL.at(FILE_NAME, _line_of(text, key.split(".")[1]), message, fix=fix)


def _other_roots(model: FileModel, text: str, roots: Roots) -> Iterator[Finding]:
    """Roots that are not those in force, by which the files are read."""
    own = roots_of(model, FILE_NAME)
    for kind, key in KEYS.items():
        if own.written(kind) != roots.written(kind):
            message = (
                f"{key}: {own.told(kind)} counts once this file is on the production branch; here files are read by"
                f" what is in force: {roots.told(kind)}"
            )
            fix = f"nothing, if that is meant; until then keep files where {key}: {roots.told(kind)} has them"
            yield rules.MODEL.at(
                FILE_NAME, _line_of(text, key), message, fix=fix, severity="warning"
            )


def _empty_globs(
    model: FileModel, text: str, roots: Roots, paths: Collection[str]
) -> Iterator[Finding]:
    """Globs of roots that no folder is of, where it was by them that files were read."""
    if not roots.composed or roots_of(model, FILE_NAME) != roots:
        return
    parts = [tuple(path.split("/")) for path in paths]
    for kind, key in KEYS.items():
        for root in roots.of(kind):
            if root.is_glob and not any(is_in(path, [root.parts]) for path in parts):
                message = f"{key}: no folder with files is one of {root.folder!r}"
                fix = "fix the name, or leave it for what is to come"
                at = _line_of(text, key)
                yield rules.MODEL.at(FILE_NAME, at, message, fix=fix, severity="warning")


def _line_of(text: str, key: str) -> int:
    found = re.search(rf"^[ ]*['\"]?{re.escape(key)}['\"]?[ ]*:", text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else 0
