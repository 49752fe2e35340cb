"""The files of allowed signers that a model names."""

from __future__ import annotations

from collections.abc import Iterator

from saltbranch.config.gates import ApprovalsGate, parse_gates
from saltbranch.config.keys import FileModel
from saltbranch.config.signers import parse_required


def named(model: FileModel) -> Iterator[tuple[str, str]]:
    """The key that names it, and its path. The model is valid."""
    for name, saltenv in (model.saltenvs or {}).items():
        where = f"saltenvs.{name}"
        required = parse_required(saltenv.require_signed, f"{where}.require_signed")
        if required and required.file:
            yield f"{where}.require_signed", required.file
        for gate in parse_gates(saltenv.gates, name):
            if isinstance(gate, ApprovalsGate) and gate.file:
                yield f"{where}.gates: approvals: from", gate.file
