"""The remotes and sites of the git tests, on machines with a salt-master."""

from __future__ import annotations

from typing import Any

import pytest

from saltbranch.serve import verify
from saltbranch.serve.verify import Question
from tests.support.machine import Machine
from tests.support.site import Site


@pytest.fixture
def machine(site: Site) -> Machine:
    """A master that serves what it should."""
    made = Machine(site)
    site.sync_well()
    return made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Question]:
    """The questions for which a process was started."""
    found: list[Question] = []
    real = verify.ask

    def ask(config: str, questions: list[Question]) -> list[dict[str, Any]]:
        found.extend(questions)
        return real(config, questions)

    monkeypatch.setattr(verify, "ask", ask)
    return found
