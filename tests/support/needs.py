"""What a test needs, as markers: found out by what its module and its fixtures use, not by its folder."""

from __future__ import annotations

from types import ModuleType

import pytest

# Modules of helpers, by their last name: whose module holds one of them or something out of one needs it.
_HELPERS = {
    "salt": {"compiling", "rendering", "plain_files", "plain_many", "plainly", "public_repositories", "diffs"},
    "daemons": {"running", "layout"},
    "git": {"agreed", "clone", "flow_site", "kill_server", "project", "reader", "remote", "site", "machine"},
}  # fmt: skip
_FIXTURES = {
    "daemons": {"cluster", "master"},
    "git": {"remote", "site", "served", "flow", "machine"},
}


def mark(items: list[pytest.Item]) -> None:
    """Give every test the markers `daemons`, `git` and `salt` that fit."""
    found: dict[ModuleType, set[str]] = {}
    for item in items:
        module = getattr(item, "module", None)
        if module is None:
            continue
        if module not in found:
            found[module] = _needs(module)
        fixtures = set(getattr(item, "fixturenames", ()))
        more = {name for name, known in _FIXTURES.items() if fixtures & known}
        for name in sorted(found[module] | more):
            item.add_marker(name)
        if item.get_closest_marker("daemons"):
            # On one worker of ``-n 2 --dist loadgroup``, so that one cluster will do.
            item.add_marker(pytest.mark.xdist_group("daemons"))


def _needs(module: ModuleType) -> set[str]:
    """The markers for all tests of a module."""
    used = set()
    for value in vars(module).values():
        home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
        if isinstance(home, str) and home.startswith("tests.") and home != module.__name__:
            used.add(home.rpartition(".")[2])
    return {name for name, helpers in _HELPERS.items() if used & helpers}
