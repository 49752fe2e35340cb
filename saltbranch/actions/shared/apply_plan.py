"""What the plan of an apply says beside its test run: hooks and checks, the preview, and what a rollback leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from saltbranch.actions.shared.taking_back import stays_at
from saltbranch.apply import run_state
from saltbranch.apply.ask_preview import Preview
from saltbranch.apply.deviations import Deviations, Found, deviates, grouped
from saltbranch.apply.make_plan import ApplyPlan
from saltbranch.apply.options import STOP
from saltbranch.apply.outcome import APPLIED
from saltbranch.apply.stays import first_error
from saltbranch.base.errors import SaltbranchError
from saltbranch.config.model import Saltenv
from saltbranch.preview.difference import MinionDiff
from saltbranch.repository.workplace import Workplace
from saltbranch.verify.around import around

Tell = Callable[[int, int], None]


def looked_at(work: Workplace, saltenv: Saltenv, plan: ApplyPlan, tell: Tell) -> ApplyPlan:
    """`plan` with all of that. tell: how many minions are compared. Raises OSError."""
    plan = replace(plan, around=around(work.config, saltenv, work.programs.why_not))
    if not plan.minions:
        return plan
    plan = replace(plan, preview=_deviations(work, plan, tell))
    if plan.options.on_failure == STOP:
        return plan
    try:
        stays = stays_at(work, saltenv.name, plan.commit, plan.minions, tell=tell)
        return replace(plan, stays=stays)
    except SaltbranchError as err:
        return replace(plan, no_way_back=err.message)


def _deviations(work: Workplace, plan: ApplyPlan, tell: Tell) -> Deviations:
    """Where the test runs differ from what the commit changes, on each minion since its last apply."""
    last = run_state.last_by_minion(run_state.of_saltenv(work.config.root, plan.saltenv))
    unknown: dict[str, str] = {}
    found: dict[str, Found] = {}
    formers: dict[str, list[str]] = {}
    for minion, run in plan.runs.items():
        commit, outcome, _ = last.get(minion, ("", None, 0.0))
        if run.problem:
            unknown[minion] = "its test run failed"
        elif outcome is None:
            unknown[minion] = "nothing was applied there from here yet"
        elif outcome.state != APPLIED:
            unknown[minion] = f"its last apply ended as {outcome.state}"
        elif commit == plan.commit:
            found[minion] = deviates(run, None)
        else:
            formers.setdefault(commit, []).append(minion)
    preview = Preview(work.place, plan.saltenv, tell=tell)
    for former in sorted(formers, key=lambda commit: -len(formers[commit])):
        compared = preview.compare(former, plan.commit, formers[former])
        unknown |= compared.unknown
        sure = {}
        for minion, diff in compared.diffs.items():
            if diff.result == "ok":
                sure[minion] = diff
            else:
                unknown[minion] = f"the preview cannot compile it: {first_error(diff)}"
        found |= _of_diffs(plan, preview, sure)
    return grouped(found, unknown)


def _of_diffs(plan: ApplyPlan, preview: Preview, diffs: dict[str, MinionDiff]) -> dict[str, Found]:
    found = {m: deviates(plan.runs[m], diff) for m, diff in diffs.items()}
    # What only follows from a change, a restart for example, can be told by the requisites.
    asked = [m for m, one in found.items() if one.more and diffs[m].difference]
    for minion, chunks in preview.chunks(plan.commit, asked).items():
        found[minion] = deviates(plan.runs[minion], diffs[minion], chunks)
    return found
