"""Which verb asks which gate, and why it does not ask the others. The reference's table is made from this."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from saltbranch.config.gates import BUILT_IN, KINDS, OF_THE_SALTENV_BEFORE, Gate
from saltbranch.journal.facts import PromotionKind

Kind = PromotionKind | Literal["feature", "back-merge"]
"""What a verb that merges does."""

# Kind of merge -> what its verb is called.
VERBS: dict[Kind, str] = {
    "promotion": "promote",
    "release": "release finish",
    "hotfix": "hotfix finish",
    "feature": "feature finish",
    "back-merge": "backmerge",
}

_ABOVE = "what it brings already passed the gates further up"
# Kind of merge -> gate -> why it is not asked.
_NOT_ASKED: dict[Kind, dict[str, str]] = {
    "promotion": {},
    "release": {},
    "hotfix": {
        "debts": "a fix of production does not wait for an older one to be merged below",
        **dict.fromkeys(("soak", "verified"), "no saltenv has served it before production does"),
        "identical": "it goes on top of what production serves, so no other saltenv has that tree",
    },
    "feature": {
        "hold": "a hold is about what is served; the branch goes on",
        "debts": "a debt stops what is promoted from and to the branch",
        **dict.fromkeys(OF_THE_SALTENV_BEFORE, "no saltenv comes before the first one"),
    },
    "back-merge": {k: _ABOVE for k in KINDS if k not in ("debts", "model")}
    | {"debts": "it is what pays them"},
}
# Verbs that merge nothing ask no gate.
WITHOUT = {
    "hold": "it moves no branch, and is needed when something is wrong",
    "rollback": "it goes back to what passed them before",
    "unhold": "it serves what is on the branch, which they let in",
}


def why_not(kind: Kind, gate: str) -> str:
    """Why a merge of `kind` does not ask a gate of that kind; empty where it does."""
    return _NOT_ASKED[kind].get(gate, "")


def unasked(kind: Kind, gates: Iterable[Gate]) -> list[str]:
    """One line for each gate of saltbranch.yaml that a merge of `kind` does not ask."""
    return [
        f"gate {g.name}: not asked by {VERBS[kind]}: {why}"
        for g in gates
        if g.kind not in BUILT_IN and (why := why_not(kind, g.kind))
    ]


def table() -> str:
    """Verb by gate, in Markdown; below it the reasons."""
    lines = [f"| | {' | '.join(f'`{k}`' for k in KINDS)} |", f"|---|{'---|' * len(KINDS)}"]
    for kind, verb in VERBS.items():
        cells = ["" if why_not(kind, k) else "yes" for k in KINDS]
        lines.append(f"| `{verb}` | {' | '.join(cells)} |")
    names = ", ".join(f"`{verb}`" for verb in WITHOUT)
    lines.append(f"| {names} | {' | '.join([''] * len(KINDS))} |")
    lines.append("")
    for kind, verb in VERBS.items():
        if reasons := _NOT_ASKED[kind]:
            by_reason: dict[str, list[str]] = {}
            for gate, why in reasons.items():
                by_reason.setdefault(why, []).append(f"`{gate}`")
            said = "; ".join(f"{', '.join(gates)}: {why}" for why, gates in by_reason.items())
            lines.append(f"* `{verb}` does not ask {said}.")
    lines += [f"* `{verb}` asks none: {why}." for verb, why in WITHOUT.items()]
    return "\n".join(lines)
