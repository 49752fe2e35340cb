"""Whether the top files that are served render, and what was found out before a switch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from saltbranch.doctor.finding import Finding

_NOTHING = "A state.apply of such a minion fails, and nothing is applied."


@dataclass(frozen=True, slots=True)
class Rendered:
    """What is known of one saltenv, each in words and empty where there is nothing to say.

    failing: of what is served, found now for one minion. known: the same, found before it was switched to. unsure: it
    fails now, perhaps for another reason. unknown: why nothing is known now. unverified: why nothing was known before
    the switch. refused: a commit that was not switched to; fix: what to do about that.
    """

    saltenv: str
    failing: str = ""
    known: str = ""
    unsure: str = ""
    unknown: str = ""
    unverified: str = ""
    refused: str = ""
    fix: str = ""


def check(rendered: Rendered) -> Iterator[Finding]:
    """What is wrong with the top files of one saltenv."""
    saltenv = rendered.saltenv
    if rendered.refused:
        yield Finding(
            "switch-refused",
            "error",
            rendered.refused,
            f"{saltenv} serves what it served before.",
            rendered.fix,
        )
    if failing := rendered.known or rendered.failing:
        yield Finding(
            "tops-fail",
            "error",
            failing,
            _NOTHING,
            "push a commit that fixes it, or serve an earlier one:"
            f" saltbranch hold {saltenv} --at COMMIT --reason TEXT",
        )
    elif rendered.unsure:
        yield Finding(
            "tops-unsure",
            "note",
            f"the top files that {saltenv} serves do not render here: {rendered.unsure}",
            "Whether they do for its minions is unknown.",
            f"salt-call state.show_top on a minion of {saltenv} tells",
        )
    if rendered.unknown:
        yield Finding(
            "not-checked",
            "warning",
            f"whether the top files that {saltenv} serves render could not be found out: {rendered.unknown}",
            "What is wrong there remains unknown.",
            "fix what is named; if that is a missing right: run saltbranch doctor as the user who runs the sync",
        )
    if rendered.unverified:
        yield Finding(
            "not-verified",
            "note",
            f"what {saltenv} serves was {rendered.unverified}",
            "A commit whose top files fail would have been served all the same.",
            "where a systemd timer of an older saltbranch runs the sync: saltbranch install systemd; to switch without"
            f" it: verify_switch: 'off' for {saltenv}",
        )
