"""``saltbranch sync``."""

from __future__ import annotations

from typing import Annotated

import typer

from saltbranch.actions.sync import restart_if_needed
from saltbranch.actions.sync import sync as sync_action
from saltbranch.base.errors import SaltError
from saltbranch.cli.options.common import (
    ConfigOption,
    JsonOption,
    PlanOption,
    SaltenvsArgument,
    config_path,
    print_json,
)
from saltbranch.cli.show import progress, sync
from saltbranch.config.saltenvs import drain_seconds
from saltbranch.serve import bus_event


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("sync")(_sync)


def _sync(
    saltenvs: SaltenvsArgument = None,
    config: ConfigOption = None,
    plan: PlanOption = False,
    as_json: JsonOption = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Say nothing unless something changed or went wrong."),
    ] = False,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Wait for another saltbranch to finish.")
    ] = 0,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="COMMIT",
            help="Ask the remote again until a branch contains this commit (for webhooks).",
            show_default=False,
        ),
    ] = None,
    expect_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to ask for it.")
    ] = 60,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Look at every served file, and replace what was changed by hand."
        ),
    ] = False,
    drain: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Wait so long for state runs before a saltenv is switched, instead of its drain: in"
            " saltbranch.yaml; 0s waits for none.",
            show_default=False,
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Restart the salt-master (systemd) if it needs it.")
    ] = False,
) -> int:
    """Make what every saltenv serves equal to its branch on the remote.

    One fetch; then each saltenv whose branch moved is switched in one step. What is served is never
    edited: a reader sees the old commit or the new one.

    \b
    Examples:
      saltbranch sync                    all saltenvs
      saltbranch sync test --plan        what would change?
      saltbranch sync --quiet            from cron
      saltbranch sync --expect 1a2b3c4d  from a webhook
      saltbranch sync prod --drain 10m   not during state runs
    """
    with progress.shown(enabled=not (quiet or as_json)) as say:
        result = sync_action(
            config_path(config),
            only=saltenvs or (),
            plan=plan,
            wait=wait,
            expect=expect,
            expect_timeout=expect_timeout,
            verify=verify,
            drain=drain_seconds(drain, "--drain") if drain else None,
            say=say,
            notify=bus_event.tell,
        )
    # What was served by then is told, too.
    code = result.exit_code
    restarted = not restart or restart_if_needed(result)
    if as_json:
        print_json(result.as_dict())
    else:
        sync.show(result, quiet=quiet)
    return code if restarted else code or SaltError.exit_code
