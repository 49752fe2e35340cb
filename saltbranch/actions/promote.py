"""promote: move state code from the branch of one saltenv to that of the next."""

from __future__ import annotations

from saltbranch.actions.shared import merge_verb
from saltbranch.actions.shared.caller import Caller
from saltbranch.actions.shared.merge_verb import FlowVerb, MergeOptions, Outcome
from saltbranch.promote import promotion
from saltbranch.promote.plan import Plan
from saltbranch.promote.request import Request
from saltbranch.repository.workplace import Workplace


def promote(
    caller: Caller[Plan],
    options: MergeOptions,
    saltenv: str,
    *,
    commit: str | None = None,
    tag: str | None = None,
) -> Outcome:
    """Merge what the saltenv before `saltenv` serves into its branch, by one atomic push, and sync.

    commit: an earlier commit of the source. tag: a name, or `auto`. Raises SaltbranchError.
    """
    work = caller.open(fetch=not options.abort)

    def build(work: Workplace, resolved: str | None) -> Request:
        return promotion.request(
            work,
            saltenv,
            commit=resolved or commit,
            tag=tag,
            overrides=options.overrides,
            via_branch=options.via_branch,
        )

    return merge_verb.run(caller, options, FlowVerb(work, build, f"promote {saltenv}"))
