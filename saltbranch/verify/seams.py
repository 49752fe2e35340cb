"""What the model wants done around each batch of an apply: hooks before, checks, hooks after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from saltbranch.base.errors import RefusedError
from saltbranch.config.batch_hooks import AFTER, BEFORE, Hook, Which
from saltbranch.config.model import Config, Saltenv
from saltbranch.repository.programs import Programs
from saltbranch.verify import batch_hooks
from saltbranch.verify.batch_hooks import run_hooks
from saltbranch.verify.run import Say, Subject, run
from saltbranch.verify.salt import Salt


class OneBatch(Protocol):
    """Some minions that are changed together. number: from 1 on."""

    @property
    def commit(self) -> str:
        """What is applied."""

    @property
    def number(self) -> int:
        """From 1 on."""

    @property
    def minions(self) -> tuple[str, ...]:
        """Their ids."""


class ModelSeams:
    """Hooks and checks of `saltenv`, for whoever applies. Each may be called again for the same batch."""

    def __init__(
        self,
        config: Config,
        saltenv: Saltenv,
        salt: Salt,
        programs: Programs,
        say: Say | None = None,
    ) -> None:
        """config: by which programs of the model may run here. say: told of each hook and check."""
        self._saltenv = saltenv
        self._salt = salt
        self._programs = frozenset(config.programs)
        self._why_not = programs.why_not
        self._say = say or (lambda text: None)

    def before(self, batch: OneBatch) -> None:
        """The hooks before the batch. Raises RefusedError where one fails."""
        self._hooks(BEFORE, batch, batch.minions, self._saltenv.before_batch)

    def verify(
        self, batch: OneBatch, good: Sequence[str], changed: Sequence[str]
    ) -> Mapping[str, str]:
        """Those of `good`, to which it was applied, that did not pass the checks, and why. Raises SaltError.

        changed: those of them on which a state changed something; checks `on: changed` are about these. What the
        master asked itself, once, speaks for all of them.
        """
        if not good or not self._saltenv.verify:
            return {}
        subject = Subject(
            self._saltenv.name,
            batch.commit,
            tuple(sorted(good)),
            changed=tuple(changed),
            programs=self._programs,
            why_not=self._why_not,
        )
        found = run(self._salt, self._saltenv.verify, subject, say=self._say)
        wrong: dict[str, str] = {}
        for row in found.failed:
            for minion in [row.minion] if row.minion else sorted(good):
                wrong.setdefault(minion, f"{row.check}: {row.reason}")
        return wrong

    def after(self, batch: OneBatch, good: Sequence[str]) -> None:
        """The hooks after the batch, for `good` alone: who is not well stays out. Raises RefusedError."""
        if good:
            self._hooks(AFTER, batch, tuple(good), self._saltenv.after_batch)

    def _hooks(
        self, which: Which, batch: OneBatch, minions: tuple[str, ...], hooks: Sequence[Hook]
    ) -> None:
        told = batch_hooks.Batch(
            saltenv=self._saltenv.name,
            commit=batch.commit,
            number=batch.number,
            minions=minions,
            programs=self._programs,
            why_not=self._why_not,
        )
        for done in run_hooks(which, told, hooks, self._salt):
            self._say(done.said)
            if not done.passed:
                raise RefusedError(done.said, hint=f"{which}: of {self._saltenv.name} in the model")
