"""Remotes and sites, each test with its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.flow_site import FlowSite, FlowTemplate, build_flow_template
from tests.support.kill_server import KillServer
from tests.support.remote import Remote
from tests.support.site import FaultyGit, Site, build_template


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Remote:
    return build_template(tmp_path_factory.mktemp("template") / "remote.git")


@pytest.fixture
def remote(_template: Remote, tmp_path: Path) -> Remote:
    """A control repository with develop, stage and master."""
    return _template.copy(tmp_path / "remote.git")


@pytest.fixture
def site(remote: Remote, tmp_path: Path) -> Site:
    """A master that was told of `remote` and has not synced yet."""
    return Site(tmp_path, remote)


@pytest.fixture
def served(site: Site) -> Site:
    """A master that serves all three branches."""
    site.sync_well()
    return site


@pytest.fixture
def faulty_git(tmp_path: Path) -> FaultyGit:
    """A git that can be told to go wrong."""
    return FaultyGit(tmp_path / "bin")


@pytest.fixture(scope="session")
def _flow_template(tmp_path_factory: pytest.TempPathFactory) -> FlowTemplate:
    return build_flow_template(tmp_path_factory.mktemp("flow"))


@pytest.fixture
def flow(_flow_template: FlowTemplate, tmp_path: Path) -> FlowSite:
    """A clone of a control repository whose branches are one."""
    return FlowSite(tmp_path, _flow_template)


@pytest.fixture(scope="session")
def server() -> Iterator[KillServer]:
    """What runs and kills saltbranch."""
    with KillServer() as server:
        yield server
