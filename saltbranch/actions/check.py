"""check: what is wrong with a ref, before anything is promoted or served."""

from __future__ import annotations

from collections.abc import Sequence

from saltbranch.base.errors import ConfigError, UsageError
from saltbranch.base.text import many
from saltbranch.check.checked_repository import CheckedRepository, open_place
from saltbranch.check.commit import Checker
from saltbranch.check.finding import SEVERITIES, Severity
from saltbranch.check.highstates import Compiling
from saltbranch.check.result import CheckResult
from saltbranch.config import locate
from saltbranch.config.model import Config
from saltbranch.repository.clone_or_mirror import Given
from saltbranch.serve import notices

WORK_TREE = "work tree"
_TOLD = 5  # findings of a ref that people are told of


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
    result = CheckResult(tuple(checker.result(n, c, base) for n, c in commits), fail_on)
    if every_branch and result.exit_code and place.clone is None and place.config:
        _tell(place.config, result)
    return result


def _tell(config: Config, result: CheckResult) -> None:
    """Let people be told of what the nightly check of a master found, if anybody wants that."""
    counting = SEVERITIES[: SEVERITIES.index(result.fail_on) + 1]
    refs = []
    for ref in result.refs:
        found = [f for f in ref.findings if f.severity in counting]
        if found:
            first = [
                f"{f.file}{f':{f.line}' if f.line else ''}: {f.rule} {f.message}" for f in found
            ]
            told = f"{ref.name} at {(ref.commit or '')[:12]}: {many(len(found), 'finding')}"
            about = {"name": ref.name, "commit": ref.commit, "told": told}
            refs.append({**about, "findings": len(found), "first": first[:_TOLD]})
    notices.check_found(config.root, config.path, refs)


def _branches(place: CheckedRepository) -> list[str]:
    if place.config is None:
        raise ConfigError(
            "no saltenvs are configured here, so there are no branches to check",
            hint=f"name refs, or write {locate.FILE_NAME} with saltenvs",
        )
    return [saltenv.name for saltenv in place.config.saltenvs]
