"""The remotes and clones of the git tests."""

from __future__ import annotations

from tests.git.conftest import *  # noqa: F403
from tests.git.conftest import _flow_template, _template  # noqa: F401
