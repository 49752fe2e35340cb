"""What a test needs, as markers: found out by what its module imports and its fixtures use, not by its folder."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

_TESTS = Path(__file__).parents[1]
_IMPORT = re.compile(r"^\s*(?:from (\S+) import \(?([\w, ]*)|import (\S+))", re.MULTILINE)
# Helpers, and what a module needs that imports one or takes something out of a module of tests that does.
_IMPORTS = {
    "salt": {"compiling", "former_master", "rendering", "plain_files", "plain_many", "plainly",
             "public_repositories", "diffs"},
    "daemons": {"running", "layout", "salt_api"},
    "git": {"agreed", "clone", "flow_site", "kill_server", "project", "reader", "remote", "site", "machine"},
}  # fmt: skip
_FIXTURES = {
    "daemons": {"cluster", "master"},
    "git": {"remote", "site", "served", "flow", "machine"},
}

_CHEAP = {"_quiet_salt", "_real", "_template", "template"}


def mark(items: list[pytest.Item]) -> None:
    """Give every test the markers `daemons`, `git` and `salt` that fit."""
    for item in items:
        fixtures = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
        homes = {name: found[-1].func.__module__ for name, found in fixtures.items()}
        more = {
            need
            for need, known in _FIXTURES.items()
            if any(homes.get(name, "").startswith("tests.support.") for name in known)
        }
        for name in sorted(_needs(item.path) | more):
            item.add_marker(name)
        if "daemons" in more:
            # On one worker of ``--dist loadgroup``, so that one cluster will do.
            item.add_marker(pytest.mark.xdist_group("daemons"))
        elif _shares(item) or (
            item.get_closest_marker("daemons") and not item.get_closest_marker("xdist_group")
        ):
            item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(_TESTS))))


def spread(items: list[pytest.Item]) -> None:
    """Put groups with daemons, which are mostly waited for, between the others, which keep a processor busy: evenly
    among the first three quarters of them, so that nothing is waited for at the end. Large groups come first.
    """
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        mark = item.get_closest_marker("xdist_group")
        groups.setdefault(mark.args[0] if mark else item.nodeid, []).append(item)
    large = sorted(groups.values(), key=lambda group: -len(group))
    waiting = [group for group in large if _waits(group)]
    others = [item for group in large if not _waits(group) for item in group]
    step = len(others) * 3 // 4 // max(1, len(waiting))
    items.clear()
    for number, group in enumerate(waiting):
        items += [*group, *others[number * step : (number + 1) * step]]
    items += others[len(waiting) * step :]


def _waits(group: list[pytest.Item]) -> bool:
    return group[0].get_closest_marker("daemons") is not None


def _shares(item: pytest.Item) -> bool:
    """Whether something dear is made once for the module: once, then, and not by every worker."""
    fixtures = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    return any(
        found[-1].scope == "module"
        and name not in _CHEAP
        and item.get_closest_marker("xdist_group") is None
        for name, found in fixtures.items()
    )


@functools.cache
def _needs(path: Path) -> frozenset[str]:
    """The markers for all tests of a module."""
    found: set[str] = set()
    for source, names, module in _IMPORT.findall(path.read_text()):
        for full in (module, source, *(f"{source}.{name.strip()}" for name in names.split(","))):
            parts = full.split(".")
            if parts[0] == "salt":
                found.add("salt")
            elif parts[0] == "tests" and (_TESTS.joinpath(*parts[1:]).with_suffix(".py")).is_file():
                found |= {need for need, known in _IMPORTS.items() if parts[-1] in known}
                if parts[-1].startswith("test_"):
                    found |= _needs(_TESTS.joinpath(*parts[1:]).with_suffix(".py"))
    return frozenset(found)
