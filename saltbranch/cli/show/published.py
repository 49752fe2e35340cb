"""What a verb that merges did, for people."""

from __future__ import annotations

from saltbranch.base.text import printable
from saltbranch.cli.show import sync
from saltbranch.cli.terminal import block, echo
from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.promote.apply_plan import Published


def show(done: Published) -> None:
    """Say what moved, and what came of it."""
    plan = done.plan
    for update in done.moved:
        name = printable(update.ref.removeprefix("refs/heads/"))
        if update.ref == JOURNAL_REF:
            continue
        if update.new is None:
            echo(f"{name}: removed")
        else:
            echo(f"{name}: {update.old[:12] if update.old else 'new'} -> {update.new[:12]}")
    if plan.via_branch:
        echo(
            f"open a pull request from promote/{plan.saltenv}/{done.id} into {plan.target.branch}, and merge it with a"
            " merge commit: a squash would lose what was promoted"
        )
    elif plan.kind in ("promotion", "release", "hotfix"):
        echo(f"{plan.kind if plan.target.moves else 'recorded as'} {done.id}")
    for note in done.notes:
        echo(printable(note))
    for debt in plan.debts:
        where = printable(debt.branch)
        echo(f"debt: {where} lacks it; saltbranch backmerge {where} --resolve DIR")
    if done.sync is not None:
        sync.show(done.sync, quiet=False)
    show_problems(done)


def show_problems(done: Published) -> None:
    """Say on stderr what went wrong after the push."""
    for problem in done.problems:
        lines = [printable(line) for line in problem.splitlines()]
        block("saltbranch: " + "\n".join(lines) + "\n", err=True)
