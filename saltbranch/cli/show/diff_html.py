"""A diff as one HTML page that needs nothing else: no script, no picture, nothing from elsewhere.

Whatever strangers wrote goes through `printable`, so nothing steers the direction of the text, and is escaped by Jinja.
"""

from __future__ import annotations

import os
from typing import Any

from saltbranch import __version__
from saltbranch.base.text import many, printable
from saltbranch.cli.show import diff, diff_view
from saltbranch.preview.fleet_diff import FleetDiff

_TEMPLATE = "diff.html.jinja"
# Groups beyond these, and the states of more than so many files in one, are folded to begin with.
_OPEN_GROUPS, _OPEN_FILES, _OPEN_MINIONS = 10, 12, 8


def page(result: FleetDiff) -> str:
    """The page."""
    import jinja2  # for this page only

    folder = os.path.dirname(os.path.abspath(__file__))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    return environment.get_template(_TEMPLATE).render(
        result=result,
        summary=diff.summary(result),
        groups=diff_view.groups(result),
        causes=result.causes,
        partial=[m for m in result.incomplete if m.result != "failed"],
        notes=diff.notes(result),
        hint=diff.hint(result.groups),
        rendered=diff.rendered(result),
        holds=diff.holds,
        side_of=diff.side,
        many=many,
        version=__version__,
        open_groups=_OPEN_GROUPS,
        open_files=_OPEN_FILES,
        open_minions=_OPEN_MINIONS,
    )


def _finalized(value: Any) -> Any:
    return printable(value) if type(value) is str else value
