"""``saltbranch hold``, ``unhold``, ``rollback`` and ``accept``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from saltbranch.actions.accept import plan_accept
from saltbranch.actions.hold import plan_hold, plan_hold_all
from saltbranch.actions.rollback import plan_rollback, with_stays
from saltbranch.actions.shared import recording
from saltbranch.actions.shared.recording import Recorded
from saltbranch.actions.unhold import plan_unhold, plan_unhold_all
from saltbranch.apply.stays import stays_from_dict
from saltbranch.base.durations import parse_until, shown_duration
from saltbranch.base.errors import RemoteError, UsageError
from saltbranch.base.text import printable
from saltbranch.cli import run_merge
from saltbranch.cli.options.common import (
    ConfigOption,
    JsonOption,
    PlanOption,
    SaltenvArgument,
    YesOption,
    print_json,
    saltenv_names,
)
from saltbranch.cli.options.completion import points, promotions
from saltbranch.cli.options.merging import ReasonOption
from saltbranch.cli.show import beside_apply, sync
from saltbranch.cli.terminal import echo
from saltbranch.promote.hold_all_plan import HoldAllPlan, Row
from saltbranch.promote.hold_plan import HoldPlan
from saltbranch.repository.workplace import Workplace

LocalOption = Annotated[
    bool,
    typer.Option(
        "--local",
        help="On a master whose remote is out of reach: serve it here at once, publish it when the remote is back.",
    ),
]
SomeSaltenvArgument = Annotated[
    str | None,
    typer.Argument(metavar="[SALTENV]", autocompletion=saltenv_names, show_default=False),
]
AllOption = Annotated[
    bool, typer.Option("--all", help="Every saltenv of the model, by one entry of the journal.")
]
AnyPlan = HoldPlan | HoldAllPlan


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    app.command("hold")(_hold)
    app.command("unhold")(_unhold)
    app.command("rollback")(_rollback)
    app.command("accept")(_accept)


def _hold(
    saltenv: SomeSaltenvArgument = None,
    config: ConfigOption = None,
    every: AllOption = False,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="COMMIT|TAG|PROMOTION",
            help="What it is to serve; what it serves now otherwise (a freeze).",
            autocompletion=points,
            show_default=False,
        ),
    ] = None,
    reason: ReasonOption = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="When it ends: 2h, 3d, 2026-12-24T18:00.", show_default=False
        ),
    ] = None,
    local: LocalOption = False,
    plan: PlanOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> int:
    """Let SALTENV serve a certain commit, whatever its branch says. Every master follows at its next sync.

    Promotions to it wait until unhold, or until the hold ends. A hotfix goes on top of it. With --all every saltenv
    stays at what it serves now, until unhold --all: the emergency stop.

    \b
    Examples:
      saltbranch hold --all --reason "incident 4711"
      saltbranch hold prod --reason "end of quarter" --until 2026-12-31T18:00
      saltbranch hold stage --at v1.3.0 --reason "KEY-77 is being looked at"
    """

    name = _one_or_all(saltenv, every=every)
    if every and at:
        raise UsageError("--at and --all exclude each other", hint="hold them one by one")

    def build(work: Workplace) -> AnyPlan:
        ends = parse_until(until, work.now) if until else None
        if name is None:
            return plan_hold_all(work, reason=reason or "", until=ends)
        return plan_hold(work, name, at=at, reason=reason or "", until=ends)

    return _run(build, config, local=local, plan=plan, yes=yes, as_json=as_json)


def _unhold(
    saltenv: SomeSaltenvArgument = None,
    config: ConfigOption = None,
    every: AllOption = False,
    reason: ReasonOption = None,
    local: LocalOption = False,
    plan: PlanOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> int:
    """Let SALTENV follow its branch (or tags) again.

    While all are held (hold --all) no single one is let go: unhold --all ends that, and whatever was held before, or
    was held or rolled back since, stays so.

    \b
    Examples:
      saltbranch unhold prod --plan         what would it serve then?
      saltbranch unhold prod --reason "KEY-131 is fixed"
    """

    name = _one_or_all(saltenv, every=every)

    def build(work: Workplace) -> AnyPlan:
        if name is None:
            return plan_unhold_all(work, reason=reason or "")
        return plan_unhold(work, name, reason=reason or "")

    return _run(build, config, local=local, plan=plan, yes=yes, as_json=as_json)


def _one_or_all(saltenv: str | None, *, every: bool) -> str | None:
    """The saltenv, None for all. Raises UsageError where both or neither are named."""
    if every == (saltenv is not None):
        raise UsageError("name one SALTENV, or all of them by --all", hint="not both")
    return saltenv


def _rollback(
    saltenv: SaltenvArgument,
    config: ConfigOption = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="PROMOTION",
            help="To what this promotion brought; what was served before the last one otherwise.",
            autocompletion=promotions,
            show_default=False,
        ),
    ] = None,
    reason: ReasonOption = None,
    local: LocalOption = False,
    plan: PlanOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> int:
    """Let SALTENV serve again what it served before its last promotion.

    It is a hold: no branch is touched, so the next promotion brings everything back with the fix, and
    lifts the hold. With --plan it says what stays on minions that applied it, where a fleet is known here.

    \b
    Examples:
      saltbranch rollback prod --reason "KEY-123 breaks sshd" --plan
      saltbranch rollback prod --to 20261121T044002Z --reason "two bad ones"
    """

    def build(work: Workplace) -> HoldPlan:
        found = plan_rollback(work, saltenv, to=to, reason=reason or "")
        return with_stays(work, found) if plan else found

    return _run(build, config, local=local, plan=plan, yes=yes, as_json=as_json)


def _accept(
    saltenv: SaltenvArgument,
    config: ConfigOption = None,
    reason: ReasonOption = None,
    plan: PlanOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> int:
    """Let what was pushed to the branch of SALTENV by hand count as if it had been promoted.

    With `direct_pushes: refuse` it is not served before that; every master follows at its next sync. Otherwise it
    says that somebody has looked at it. A promotion does both, too.

    \b
    Examples:
      saltbranch accept prod --plan --reason "KEY-123, agreed with Ann"
      saltbranch accept prod --reason "KEY-123, agreed with Ann" --yes
    """

    def build(work: Workplace) -> HoldPlan:
        return plan_accept(work, saltenv, reason=reason or "")

    return _run(build, config, local=False, plan=plan, yes=yes, as_json=as_json)


def _run(
    build: Callable[[Workplace], AnyPlan],
    config: str | None,
    *,
    local: bool,
    plan: bool,
    yes: bool,
    as_json: bool,
) -> int:
    caller = _HoldTerminal(config=config, as_json=as_json, yes=yes)
    done = recording.run(caller, build, local=local, plan=plan)
    if isinstance(done, Recorded):
        if as_json:
            print_json(done.as_dict())
        else:
            _tell(done, local=local)
        if done.problem:
            echo(f"saltbranch: {printable(done.problem)}", err=True)
    return done.exit_code


class _HoldTerminal(run_merge.Terminal[AnyPlan]):
    def open(self, *, fetch: bool = True) -> Workplace:
        try:
            return super().open(fetch=fetch)
        except RemoteError as err:
            err.hint += "; on a master, --local does it at once without the remote"
            raise

    def show(self, work: Workplace, plan: AnyPlan, *, is_result: bool) -> None:
        if not self.as_json and isinstance(plan, HoldAllPlan):
            _show_all(plan, work.now)
        elif isinstance(plan, HoldPlan) and not self.as_json:
            _show(plan, work.now)
        elif is_result:
            print_json(plan.as_dict())


def _change(row: HoldPlan | Row) -> str:
    before, after = ((commit or "nothing")[:12] for commit in (row.serves, row.will_serve))
    return f"serves {before}, will serve {after}" if before != after else f"goes on serving {after}"


def _show(found: HoldPlan, now: float) -> None:
    ends = f", for {shown_duration(found.until - now)}" if found.until is not None else ""
    echo(printable(f"{found.verb}: {found.saltenv} {_change(found)}{ends}"))
    if found.reason:
        echo(f"  reason: {printable(found.reason)}")
    if found.note:
        echo(f"  note: {printable(found.note)}")
    if found.promotion:
        what = "push by hand" if found.promotion.startswith("push-") else "promotion"
        echo(f"  {what}: {printable(found.promotion)}")
    if found.stays and (left := stays_from_dict(found.stays)):
        beside_apply.stays(left, "going back to {} does not undo")


def _show_all(found: HoldAllPlan, now: float) -> None:
    ends = f", for {shown_duration(found.until - now)}" if found.until is not None else ""
    echo(f"{found.verb}: {len(found.rows)} saltenvs{ends}")
    for row in found.rows:
        echo(printable(f"  {row.saltenv} {_change(row)}{f' ({row.note})' if row.note else ''}"))
    if found.reason:
        echo(f"  reason: {printable(found.reason)}")


def _tell(done: Recorded[AnyPlan], *, local: bool) -> None:
    where = "" if done.serves else "; every master follows at its next sync"
    what = f"recorded as {done.plan.event.id}{where}"
    if local:
        what = "on this master only, until a sync reaches the remote"
    echo(f"{done.plan.verb}: {what}")
    if done.followed.sync:
        sync.show(done.followed.sync, quiet=False)
