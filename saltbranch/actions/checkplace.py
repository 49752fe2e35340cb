"""Where `check` finds commits: the clone one stands in, or the mirror of a master."""

from __future__ import annotations

import os
from dataclasses import dataclass

from saltbranch import config as configuration
from saltbranch import locate
from saltbranch.actions import prepare
from saltbranch.actions.workplace import load_model
from saltbranch.commitsource import CommitSource
from saltbranch.config import Config
from saltbranch.errors import ConfigError, UsageError
from saltbranch.git import Git, branch_of_remote
from saltbranch.mirror import Mirror
from saltbranch.repository import ask_for_tag


@dataclass(frozen=True, slots=True)
class Place:
    """Where the commits are. clone: the folder of a work tree; config: None where there is none."""

    git: Git
    clone: str | None
    config: Config | None
    states_dir: str
    pillar_dir: str


def open_place(config_path: str | None, cwd: str) -> Place:
    """The clone around `cwd`, or the mirror of the configuration that was named or found."""
    named = config_path or os.environ.get(locate.ENVIRONMENT_VARIABLE)
    clone = locate.clone_root(cwd)
    if clone and (named is None or _inside(os.path.abspath(named), clone)):
        return _of_clone(clone, os.path.abspath(named) if named else f"{clone}/{locate.FILE_NAME}")
    path = locate.find(config_path, os.environ, cwd)
    machine = configuration.read_file(path)
    mirror = Mirror(os.path.normpath(machine.root))
    if not mirror.exists():
        raise ConfigError(
            f"there is no mirror {mirror.path} yet",
            hint="run saltbranch sync first, or stand in a clone of the control repository",
        )
    config = prepare.load_config(path, mirror, mirror.branches())
    return Place(mirror.git, None, config, config.states_dir, config.pillar_dir)


def _of_clone(clone: str, path: str) -> Place:
    """A clone with the model of a promotion, so that a check finds what the gate would; path: its file."""
    git = Git(clone, work_tree=True)
    machine = configuration.FileModel()
    if os.path.exists(path) or path != f"{clone}/{locate.FILE_NAME}":
        machine = configuration.read_file(path)
    head = CommitSource(git, is_clone=True).branch_or_none(machine.model_branch)
    committed = head and git.run("cat-file", "-e", f"{head}:{locate.FILE_NAME}").code == 0
    if machine.saltenvs is None and not committed:
        return Place(git, clone, None, machine.states_dir, machine.pillar_dir)
    remote = machine.remote or "origin"
    config = load_model(git, head, machine, path, clone=clone, remote=remote)
    return Place(git, clone, config, config.states_dir, config.pillar_dir)


def _inside(path: str, folder: str) -> bool:
    return os.path.realpath(path).startswith(f"{os.path.realpath(folder)}/")


def resolve(place: Place, name: str) -> str:
    """The commit that `name` stands for: a saltenv's branch, a branch, a tag, whatever git knows.

    Raises UsageError.
    """
    branches = [s.branch for s in place.config.saltenvs if s.name == name] if place.config else []
    # A saltenv serves what the remote has; the name of a branch means one's own.
    refs = [f"refs/{kind}/{b}" for b in branches for kind in ("remotes/origin", "heads")]
    refs += [f"refs/{kind}/{name}" for kind in ("heads", "remotes/origin", "tags")]
    if place.clone is None and (branch := branch_of_remote(name)):
        refs.append(f"refs/heads/{branch}")
    for ref in refs:
        if (commit := place.git.commit_or_none(ref)) is not None:
            return commit
    # `:/text` and the like are git's searches; a name is no search.
    if not name.startswith((":", "-")) and (commit := place.git.commit_or_none(name)) is not None:
        return commit
    if place.clone is None and place.config is not None:
        config = place.config
        tag = ask_for_tag(place.git, config.remote, name, timeout=config.fetch_timeout)
        if tag is not None:
            return tag
    raise UsageError(
        f"{name!r} is no saltenv, branch, tag or commit in {place.git.directory}",
        hint="git branch --all and git tag show what there is",
    )
