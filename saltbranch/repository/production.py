"""Which branch is production, where no machine's file says so: in a clone.

The person's own word (`git config saltbranch.modelBranch`), else the one branch whose model names itself as the end
of the promotions. Anybody can push a branch that says so of itself: where there are two, a person decides.
"""

from __future__ import annotations

from collections.abc import Mapping

from saltbranch.base.errors import ConfigError, UnknownProductionError
from saltbranch.config.locate import FILE_NAME
from saltbranch.git.program import Git
from saltbranch.repository import model_file
from saltbranch.repository.accepted import IN_CLONE
from saltbranch.repository.clone import MODEL_BRANCH, Clone

# Of so many branches the history is looked at where none has a valid file; more would take too long.
_MANY = 100


def branch_of(clone: Clone, heads: Mapping[str, str]) -> str:
    """The branch of production. heads: of the remote. Raises UnknownProductionError, GitError."""
    chosen = clone.setting(MODEL_BRANCH)
    if chosen:
        return chosen
    found = _candidates(clone.objects, heads)
    if len(found) == 1:
        return found[0]
    known = [branch for branch in _remembered(clone.objects) if branch in found or not found]
    if len(known) == 1:
        return known[0]
    if found:
        what = f"{' and '.join(found[:5])} both say of themselves that they are production"
    else:
        what = f"no branch has a valid {FILE_NAME} that names it as the end of the promotions"
        what += _mistakes(clone.objects, heads)
    raise UnknownProductionError(
        f"which branch is production? {what}",
        hint=f"say it once in this clone: git config {MODEL_BRANCH} BRANCH"
        if found
        else f"push a {FILE_NAME} with saltenvs: to the production branch; until then --config FILE names one of your"
        " own outside of the clone",
        candidates=tuple(found),
    )


def _candidates(git: Git, heads: Mapping[str, str]) -> list[str]:
    """The branches whose newest valid model names them as the end of the promotions."""
    blobs = _blobs(git, heads)
    ends = {blob: _ends_or_none(git, blob) for blob in set(blobs.values())}
    named = {branch for found in ends.values() for branch in found or ()}
    result = []
    for number, (branch, head) in enumerate(heads.items()):
        of_head = ends.get(blobs.get(branch, ""))
        is_named = branch in named and branch not in (of_head or ())
        if is_named or (of_head is None and not named and number < _MANY):
            # Broken or removed there, or of another mind: what was there before counts.
            found = model_file.newest_valid(git, head, branch)
            of_head = (
                model_file.ends_of(found.model) if isinstance(found, model_file.Found) else None
            )
        if of_head and branch in of_head:
            result.append(branch)
    return sorted(result)


def _mistakes(git: Git, heads: Mapping[str, str]) -> str:
    """What is wrong with the files that there are, in a few words each."""
    found: dict[str, str] = {}
    for branch, blob in _blobs(git, heads).items():
        try:
            model_file.read(git, blob)
        except ConfigError as err:
            found.setdefault(err.message, f"{branch}: {err.message}")
    return "".join(f"; {text}" for text in list(found.values())[:3])


def _blobs(git: Git, heads: Mapping[str, str]) -> dict[str, str]:
    """Branch to the object of its saltbranch.yaml, in one question."""
    answers = git.objects_named([f"{head}:{FILE_NAME}" for head in heads.values()])
    return {
        branch: answer[0]
        for branch, answer in zip(heads, answers, strict=True)
        if answer and answer[1] == "blob"
    }


def _ends_or_none(git: Git, blob: str) -> set[str] | None:
    try:
        return model_file.ends_of(model_file.read(git, blob))
    except ConfigError:
        return None


def _remembered(git: Git) -> list[str]:
    """The branches whose model was believed in this clone before."""
    text = git.out("for-each-ref", "--format=%(refname)", IN_CLONE)
    names = (line[len(IN_CLONE) :] for line in text.splitlines())
    return [name.replace("%2F", "/").replace("%25", "%") for name in names]
