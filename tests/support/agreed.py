"""A person's word that the programs of a model may run in a clone, given as a terminal would ask for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saltbranch.base.errors import ConfigError
from saltbranch.config.read import check_model
from saltbranch.notify import hooks
from saltbranch.repository.programs import Programs


def agree(clone: Path, keys: Mapping[str, Any]) -> None:
    """Agree to all programs that the model `keys` names; a model that is not valid names none."""
    try:
        _, config = check_model(json.dumps(keys), "saltbranch.yaml")
    except ConfigError:
        return
    programs = Programs(git_dir=str(clone / ".git"))
    programs.ask = lambda _: True
    gates = [g.argv for s in config.saltenvs for g in s.gates if g.kind == "command"]
    programs.settle([*gates, *(argv for _, argv in hooks.configured(config))])


def agree_in_all(folder: Path, keys: Mapping[str, Any]) -> None:
    """The same in every clone right below `folder`."""
    for git_dir in folder.glob("*/.git"):
        agree(git_dir.parent, keys)
