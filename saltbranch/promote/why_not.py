"""What stands in the way of a promotion."""

from __future__ import annotations

from dataclasses import dataclass

from saltbranch.base.durations import iso
from saltbranch.base.errors import RefusedError
from saltbranch.promote import gates
from saltbranch.promote.gates import GateResult
from saltbranch.promote.plan import Plan


@dataclass(frozen=True, slots=True)
class WhyNot:
    """The plan of the next promotion, and when all that can pass by itself will have passed."""

    plan: Plan
    passes_at: float | None

    @classmethod
    def of(cls, plan: Plan) -> WhyNot:
        """What stands in the way of `plan`."""
        return cls(plan, gates.passes_at(plan.gates))

    @property
    def closed(self) -> list[GateResult]:
        """The gates that stop it."""
        return self.plan.closed_gates

    @property
    def never(self) -> list[GateResult]:
        """Those of them that do not pass by themselves, as far as is known."""
        return [gate for gate in self.closed if gate.passes_at is None]

    @property
    def is_possible(self) -> bool:
        """Whether a promotion would go through now."""
        return not self.plan.is_empty and not self.plan.is_conflict and not self.closed

    @property
    def exit_code(self) -> int:
        """0, or 4 when something stands in the way."""
        return 0 if self.plan.is_empty or self.is_possible else RefusedError.exit_code

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {
            "version": 1,
            "saltenv": self.plan.saltenv,
            "possible": self.is_possible,
            "nothing_to_promote": self.plan.is_empty,
            "conflicts": [c.path for c in self.plan.target.conflicts],
            "gates": [g.as_dict() for g in self.plan.gates],
            "passes_at": iso(self.passes_at) if self.passes_at is not None else None,
        }
