"""Gather the top files: the generated ones, and those of the served branches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from saltbranch.base import files
from saltbranch.config.model import Config, Saltenv
from saltbranch.config.roots import KINDS, STATES
from saltbranch.doctor.finding import Finding
from saltbranch.doctor.rules import setup, tops
from saltbranch.salt_master import top_file
from saltbranch.serve import salt_files


def look(config: Config) -> Iterator[Finding]:
    """Both kinds, for every saltenv."""
    yield from look_generated(config, config.saltenvs)
    for saltenv in config.saltenvs:
        yield from look_branch(config, saltenv)


def look_generated(config: Config, saltenvs: Iterable[Saltenv]) -> Iterator[Finding]:
    """The generated top files of `saltenvs`, and the links beside them."""
    wanted: dict[str, str] = {}
    links: dict[str, str] = {}
    for saltenv in saltenvs:
        texts, targets = generated(config, saltenv)
        wanted |= texts
        links |= targets
    yield from setup.generated_tops(
        wanted,
        {path: _text_or_none(path) for path in wanted},
        links,
        {path: files.readlink_or_none(path) for path in links},
    )


def look_branch(config: Config, saltenv: Saltenv) -> Iterator[Finding]:
    """The top files of one served branch."""
    checkout = config.checkout(saltenv)
    if files.readlink_or_none(checkout) is None:
        return
    for kind in KINDS:
        text = _text_or_none(f"{config.salt_root(saltenv, kind)}/top.sls")
        yield from tops.check(saltenv.name, saltenv.branch, kind, text)


def generated(config: Config, saltenv: Saltenv) -> tuple[dict[str, str], dict[str, str]]:
    """What a sync writes: path to text of the top files, path to target of the links beside
    them.
    """
    groups = config.groups
    wanted, links = {}, {}
    for kind in KINDS:
        place = f"{config.root}/tops/{saltenv.name}/{kind}"
        wanted[f"{place}/top.sls"] = top_file.render_top(saltenv.name, groups)
        links[f"{place}/{top_file.BRANCH_TOP}"] = salt_files.branch_top(config, saltenv, kind)
    commit = f"{config.root}/tops/{saltenv.name}/{STATES}/{salt_files.SERVED_COMMIT}"
    links[commit] = salt_files.served_commit(saltenv)
    return wanted, links


def _text_or_none(path: str) -> str | None:
    data = files.read_or_none(path)
    return data.decode("utf-8", "replace") if data is not None else None
