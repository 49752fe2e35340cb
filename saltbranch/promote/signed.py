"""Whether what a plan makes would be served where `require_signed` asks who vouches for it: told as the gate `signed`.

Both ends are asked: nothing is taken from a saltenv that its masters would refuse to serve, nor made for one that would
not serve it. The masters ask again (serve/signed.py); here it is found out before anything is pushed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from saltbranch.base import files
from saltbranch.base.errors import GitError, RefusedError, SaltbranchError
from saltbranch.base.ssh_keys import fingerprint_of
from saltbranch.config.model import Saltenv
from saltbranch.config.signers import kept_together
from saltbranch.git import signing
from saltbranch.git.allowed_signers import keys_of
from saltbranch.git.merge import MERGE
from saltbranch.git.program import Git
from saltbranch.promote.gates import CANNOT_TELL, FAIL, PASS, GateResult
from saltbranch.promote.plan import Plan
from saltbranch.promote.request import Request, provisional
from saltbranch.repository import prepared, signers
from saltbranch.repository.production_signers import ProductionRule
from saltbranch.repository.signers import Allowed
from saltbranch.repository.vouched import Found, Judge, Rule
from saltbranch.repository.workplace import Workplace
from saltbranch.serve import signed as memory

NAME = "signed"


def gate(work: Workplace, request: Request, found: Plan) -> GateResult | None:
    """What it says; None where neither end asks for signatures. Raises GitError."""
    source, target = request.source_saltenv, request.saltenv
    needed = [s for s in (source, target) if s and s.require_signed]
    if not needed:
        return None
    if found.is_conflict:
        return GateResult(
            NAME, CANNOT_TELL, "the merge conflicts; whoever resolves it has to sign it"
        )
    told: list[Found] = []
    try:
        if source and source.require_signed:
            told.append(_of_source(work, source, request.source, found.target.old))
        if target and target.require_signed:
            told.append(_of_result(work, target, found))
    except GitError:
        raise
    except SaltbranchError as err:
        return GateResult(NAME, CANNOT_TELL, f"{err.message} ({err.hint})")
    for saltenv, one in zip(needed, told, strict=True):
        if one.refusal:
            return GateResult(NAME, FAIL, f"{saltenv.name} would not serve it: {_told(one)}")
    vouchers = [v for one in told for v in one.vouchers]
    return GateResult(NAME, PASS, Found(tuple(vouchers)).told() or "nothing new has to be signed")


def refuse(work: Workplace, plan: Plan, new: str) -> None:
    """Refuse to push `new`, the result of `plan`, where its saltenv would not serve it.

    Raises RefusedError, GitError.
    """
    target = work.config.saltenv(plan.saltenv) if plan.saltenv else None
    if target is None or target.require_signed is None or new == plan.target.old:
        return
    found = _judge(work, target, new, _accepted(work, target) or [plan.target.old])
    if found.refusal:
        raise RefusedError(
            f"{target.name} would not serve the result; nothing was changed: {_told(found)}",
            hint="sign it with a key of an allowed signer: git config gpg.format ssh, user.signingKey FILE and"
            " commit.gpgSign true",
        )


def _told(found: Found) -> str:
    return f"{found.refusal} ({found.hint})"


def _of_source(work: Workplace, source: Saltenv, commit: str, target_has: str) -> Found:
    """Whether `source` serves `commit`: who vouches for what its masters are not known to have served."""
    return _judge(work, source, commit, _accepted(work, source), target_has)


def _of_result(work: Workplace, target: Saltenv, found: Plan) -> Found:
    """Whether `target` would serve what the plan makes; a merge is signed by whoever promotes, where git does that."""
    result, accepted = provisional(work, found.target), _accepted(work, target)
    trusted = accepted or [found.target.old]
    judged = _judge(work, target, result, trusted)
    if judged.refused != result or found.target.kind != MERGE:
        return judged
    below = _judge(work, target, found.target.old, trusted)
    if below.refusal:
        return below
    return Found() if _signs(work.git, _rule(work, target, result)(_first(trusted))) else judged


def _judge(
    work: Workplace, saltenv: Saltenv, commit: str, trusted: list[str], other: str | None = None
) -> Found:
    """trusted: of its own branch; other: of another one."""
    keeps = kept_together([s.owned for s in (*work.config.saltenvs, *work.config.elsewhere)])
    judge = Judge(work.git, _rule(work, saltenv, commit), keeps)
    is_production = saltenv.branch == work.config.source.branch
    production = None if is_production else work.config.source.commit
    return judge.judge(commit, _first(trusted), [*trusted[1:], other], production)


def _first(trusted: list[str]) -> str | None:
    return trusted[0] if trusted else None


def _rule(work: Workplace, saltenv: Saltenv, head: str) -> Rule:
    source, required = work.config.source, saltenv.require_signed
    if source.branch == saltenv.branch and source.commit:
        return ProductionRule(work.git, saltenv.branch, head)

    def fixed(_at: str | None) -> Allowed | None:
        return signers.read(work.git, source.commit, required, source.branch) if required else None

    return fixed


def _accepted(work: Workplace, saltenv: Saltenv) -> list[str]:
    """The commit that `saltenv` is known to have accepted last: by this master's own memory, by the model that counts,
    or by what masters recorded. None where nobody knows.
    """
    found: Iterable[str | None] = ()
    if saltenv.branch == work.config.source.branch:
        found = [work.config.source.commit]
    elif work.serves:
        root = os.path.normpath(work.place.machine.root)
        record = prepared.load_served(root).get(saltenv.dirname)
        found = [memory.load(root, saltenv.name).accepted, record.commit if record else None]
    else:
        rows = [r for r in work.state.residences if r.saltenv == saltenv.name]
        found = [max(rows, key=lambda r: r.since).commit] if rows else []
    return [commit for commit in found if commit and work.git.commit_or_none(commit)]


def _signs(git: Git, allowed: Allowed | None) -> bool:
    """Whether git is configured to sign with the ssh key of one of `allowed`, as far as that can be told beforehand."""
    settings = signing.settings(git)
    key = settings.get("user.signingkey") or ""
    if (
        allowed is None
        or settings.get("gpg.format") != "ssh"
        or not signing.signs_commits(settings)
    ):
        return False
    literal = key.removeprefix("key::")
    if not literal.startswith(("ssh-", "ecdsa-", "sk-")):
        path = os.path.expanduser(key)
        path = path if path.endswith(".pub") else f"{path}.pub"
        literal = (files.read_or_none(path) or b"").decode("utf-8", "replace")
    words = literal.split()
    return len(words) > 1 and fingerprint_of(words[1]) in keys_of(allowed.text)
