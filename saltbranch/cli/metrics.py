"""``saltbranch metrics``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saltbranch.actions.metrics import metrics
from saltbranch.base import files, openmetrics
from saltbranch.base.errors import os_error
from saltbranch.cli.options.common import (
    ConfigOption,
    JsonOption,
    config_path,
    print_for_program,
    print_json,
)

_READABLE = 0o644  # node_exporter is another user


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("metrics")(_metrics)


def _metrics(
    config: ConfigOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Replace FILE by them, in one rename, readable for all; stdout otherwise.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Write what `status` knows of this master as OpenMetrics, for node_exporter's textfile collector.

    \b
    Examples:
      saltbranch metrics
      saltbranch metrics --output /var/lib/node_exporter/saltbranch.prom
    """
    found = metrics(config_path(config))
    text = openmetrics.text(found)
    if output is not None:
        try:
            files.write_atomic(str(output.absolute()), text, mode=_READABLE, durable=False)
        except OSError as err:
            raise os_error(err) from err
    if as_json:
        print_json({"version": 1, "metrics": [gauge.as_dict() for gauge in found if gauge.samples]})
    elif output is None:
        print_for_program(text)
    return 0
