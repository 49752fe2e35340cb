"""The remotes and sites of the git tests, on machines with a salt-master."""

from __future__ import annotations

from tests.git.conftest import *  # noqa: F403
from tests.git.conftest import _flow_template, _template  # noqa: F401
