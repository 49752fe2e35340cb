"""What holds for every test: nothing of the machine's git or Salt configuration reaches it."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

import salt
import tests.boobytrap.sitecustomize  # noqa: F401 - sets the trap in this process, too
from saltbranch.config import locate
from tests.support import brisk_salt, needs, warm, warm_daemons, warm_offers, warm_salt
from tests.support.daemons import cluster, layout, master, pillar, states  # noqa: F401
from tests.support.fixtures import (  # noqa: F401
    _flow_template,
    _template,
    faulty_git,
    flow,
    remote,
    served,
    server,
    site,
)

# Salt's import hook is of a kind that Python 3.12 dropped and that pytest cannot work with.
sys.meta_path[:] = [hook for hook in sys.meta_path if hasattr(hook, "find_spec")]
assert salt

gc.disable()  # thousands of tests are collected, and nothing of that is garbage

PROJECT = Path(__file__).parents[1]
BOOBYTRAP = PROJECT / "tests" / "boobytrap"

ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.com",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.com",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
    "PYTHONPATH": f"{PROJECT}:{BOOBYTRAP}",
    "LC_ALL": "C.UTF-8",
}


# The same examples each time: whether a change is good depends on no luck. A nightly run looks for new ones.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None)
hypothesis.settings.register_profile("nightly", deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


_offers = contextlib.ExitStack()


def _environment() -> dict[str, str]:
    """That of the tests. Hundreds of children would compile the package anew without bytecode."""
    own = {n: v for n, v in os.environ.items() if not n.startswith(("GIT_", "SALTBRANCH_"))}
    own.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**own, **ENVIRONMENT}


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # what starts the workers, or is the only process
        _offers.enter_context(warm_offers.made(_environment()))


def pytest_unconfigure() -> None:
    _offers.close()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before pytest chooses by markers."""
    needs.mark(items)
    needs.spread(items)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _no_outside_configuration() -> Iterator[None]:
    umask = os.umask(0o022)
    # Whoever runs the tests in the background of a script hands down an ignored SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch:
        env = _environment()
        for name in os.environ.keys() - env.keys():
            patch.delenv(name)
        for name, value in env.items():
            patch.setenv(name, value)
        patch.setattr(locate, "SYSTEM_FILE", "/nonexistent/saltbranch.yaml")
        brisk_salt.use()
        with warm_salt.offered():
            warm_salt.use()
            warm.use_for_children()
            warm_daemons.use()
            yield
    os.umask(umask)


@pytest.fixture(autouse=True)
def _sandbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """See warm_salt.py and warm.py."""
    if request.node.get_closest_marker("real_sandbox"):
        monkeypatch.setattr(warm_salt, "is_used", False)
    else:
        monkeypatch.setattr(warm, "is_used", True)
