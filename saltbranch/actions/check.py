"""check: what is wrong with a ref, before anything is promoted or served."""

from __future__ import annotations

from collections.abc import Sequence

from saltbranch.base.errors import ConfigError, UsageError
from saltbranch.check.checked_repository import CheckedRepository, open_place
from saltbranch.check.commit import Checker
from saltbranch.check.finding import Severity
from saltbranch.check.highstates import Compiling
from saltbranch.check.result import CheckResult
from saltbranch.config import locate
from saltbranch.repository.clone_or_mirror import Given

WORK_TREE = "work tree"


def check(
    config: Given,
    refs: Sequence[str] = (),
    *,
    every_branch: bool = False,
    since: str | None = None,
    fail_on: Severity = "warning",
    compiling: Compiling | None = None,
    cache: str | None = None,
    style: bool = False,
) -> CheckResult:
    """Check `refs` (saltenvs, branches, tags, commits).

    config: --config, a place, or None to look around. every_branch: the branches of all
    saltenvs. since: only what is new against this ref. compiling: None for the static rules alone.
    cache: a folder of ours for what Salt knows. style: also what salt-lint finds. Without refs: the
    work tree of the clone one stands in, elsewhere every branch. Raises ConfigError, UsageError, GitError,
    SaltError, SandboxError.
    """
    place = open_place(config)
    if every_branch and refs:
        raise UsageError(
            "--all and names of refs exclude one another", hint="leave out one of them"
        )
    wanted = list(refs)
    if every_branch or (not wanted and place.clone is None):
        wanted = _branches(place)
    checker = Checker(place, compiling, cache, style=style)
    base = place.commit(since) if since is not None else None
    if not wanted:
        return CheckResult((checker.result(WORK_TREE, None, base),), fail_on)
    commits = [(name, place.commit(name)) for name in wanted]
    return CheckResult(tuple(checker.result(n, c, base) for n, c in commits), fail_on)


def _branches(place: CheckedRepository) -> list[str]:
    if place.config is None:
        raise ConfigError(
            "no saltenvs are configured here, so there are no branches to check",
            hint=f"name refs, or write {locate.FILE_NAME} with saltenvs",
        )
    return [saltenv.name for saltenv in place.config.saltenvs]
