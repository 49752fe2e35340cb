"""Where the sample control repository is: inside the wheel, or at the root of the source tree."""

from __future__ import annotations

import os

from saltbranch.base.errors import SaltbranchError

FOLDERS = ("salt", "pillar")


def folder() -> str:
    """The folder that holds the sample's ``salt/`` and ``pillar/``. Raises SaltbranchError."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for candidate in (f"{package}/sample", os.path.dirname(package)):
        # By its top files: beside an installed package the folder `salt` is Salt itself.
        if all(os.path.isfile(f"{candidate}/{name}/top.sls") for name in FOLDERS):
            return candidate
    raise SaltbranchError(
        f"the sample control repository is missing: no {package}/sample",
        hint="install saltbranch again, from its wheel or its source tree",
    )
