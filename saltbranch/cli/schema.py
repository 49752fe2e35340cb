"""``saltbranch schema``."""

from __future__ import annotations

import typer

from saltbranch.cli.options.common import print_json
from saltbranch.config.keys import json_schema


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("schema")(_schema)


def _schema() -> int:
    """Write the JSON schema of saltbranch.yaml, for editors.

    \b
    Example:
      saltbranch schema > saltbranch.schema.json
      # first line of saltbranch.yaml, for editors with the YAML language server:
      # yaml-language-server: $schema=saltbranch.schema.json
    """
    print_json(json_schema())
    return 0
