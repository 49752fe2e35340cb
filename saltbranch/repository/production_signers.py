"""Who has to vouch for commits of the production branch, by the model that stands on it."""

from __future__ import annotations

from dataclasses import dataclass, field

from saltbranch.config.keys import FileModel
from saltbranch.config.signers import Signers, kept_together, parse_required
from saltbranch.git.program import Git
from saltbranch.repository import signers
from saltbranch.repository.model_file import Nothing, newest_valid
from saltbranch.repository.signers import Allowed


def required(model: FileModel, branch: str) -> Signers | None:
    """The signers of the commits of `branch`; None where nobody has to vouch for them."""
    for name, saltenv in (model.saltenvs or {}).items():
        if saltenv.branch == branch:
            return parse_required(saltenv.require_signed, f"saltenvs.{name}.require_signed")
    return None


@dataclass(slots=True)
class ProductionRule:
    """The rule of `branch` after a commit of it, by the model and the signers of that commit. head: of the branch.

    So a change of either counts for what comes after it. Where nothing is trusted yet, the first parent of the head
    says it.
    """

    git: Git
    branch: str
    head: str
    _models: dict[str, FileModel | None] = field(default_factory=dict)

    def __call__(self, at: str | None) -> Allowed | None:
        """As vouched.Rule. Raises RefusedError, GitError."""
        commit = at or self._before_head()
        model = self._model(commit)
        needed = required(model, self.branch) if model else None
        return signers.read(self.git, commit, needed, self.branch) if needed else None

    def is_needed(self, at: str) -> bool:
        """Whether commits after `at`, or some before the head, have to be vouched for. Raises GitError."""
        models = (self._model(at), self._model(self.head))
        return any(model is not None and required(model, self.branch) for model in models)

    def keeps(self, at: str | None) -> tuple[tuple[str, ...], ...]:
        """As config/signers.py, kept_together."""
        model = self._model(at or self._before_head())
        return (
            kept_together([s.saltenv_owned for s in (model.saltenvs or {}).values()])
            if model
            else ()
        )

    def _before_head(self) -> str:
        return self.git.commit_or_none(f"{self.head}^") or self.head

    def _model(self, commit: str) -> FileModel | None:
        if commit not in self._models:
            found = newest_valid(self.git, commit, self.branch)
            self._models[commit] = None if isinstance(found, Nothing) else found.model
        return self._models[commit]
