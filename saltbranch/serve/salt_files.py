"""What Salt reads from us beside the branches: its configuration file and the generated top files."""

from __future__ import annotations

import os

from saltbranch.base import files
from saltbranch.base.errors import RefusedError
from saltbranch.config.lab_places import (
    LENT_FILE,
    lab_saltenvs,
    pillar_link,
    pillar_target,
)
from saltbranch.config.model import Config, Saltenv
from saltbranch.config.roots import KINDS, PILLAR, STATES
from saltbranch.labs import lent
from saltbranch.salt_master import config_file, option_file, top_file

# Among the states of each saltenv: the commit that it serves, for minions. It leads into the served slot, so it
# switches with it.
SERVED_COMMIT = "saltbranch_commit"
_FOLDERS = ("state", "checkouts", "slots", "tops")


def refuse_foreign(path: str) -> None:
    """Leave a file at `path` alone that somebody else wrote. Raises RefusedError."""
    data = files.read_or_none(path)
    if data is not None and not config_file.is_ours(data.decode("utf-8", "replace")):
        raise RefusedError(
            f"{path} was not written by saltbranch and is left alone",
            hint="move it away, or name another file as master_config: in saltbranch.yaml",
        )


def wanted_files(config: Config) -> dict[str, str]:
    """Path to text of everything that Salt reads from us."""
    wanted = {config.master_config: option_file.wanted(config)}
    for saltenv in config.saltenvs:
        wanted |= top_files(config, saltenv)
    for lab in lab_saltenvs(config):
        wanted |= top_files(config, lab)
    return wanted


def top_files(config: Config, saltenv: Saltenv) -> dict[str, str]:
    """Path to text of the generated top files of a saltenv or a lab."""
    own = None
    if saltenv.name in config.groups:
        own = top_file.render_top(saltenv.name, config.groups, has_labs=config.labs > 0)
    return {
        f"{config.root}/tops/{saltenv.name}/{kind}/top.sls": own
        or top_file.render_lab_top(saltenv.name, config.groups, kind)
        for kind in KINDS
    }


def _wanted_links(config: Config) -> dict[str, str]:
    """Path to target of the links by which the generated top files find the branches' own."""
    links: dict[str, str] = {}
    for saltenv in (*config.saltenvs, *lab_saltenvs(config)):
        links |= top_links(config, saltenv)
    return links


def top_links(config: Config, saltenv: Saltenv) -> dict[str, str]:
    """Path to target of the links beside the generated top files of a saltenv or a lab."""
    links = {}
    for kind in KINDS:
        links[_top_link(config, saltenv, kind)] = branch_top(config, saltenv, kind)
        if config.labs:
            links[f"{config.root}/tops/{saltenv.name}/{kind}/{top_file.LENT}"] = (
                f"../../../{LENT_FILE}"
            )
    links[f"{config.root}/tops/{saltenv.name}/{STATES}/{SERVED_COMMIT}"] = served_commit(saltenv)
    return links


def _top_link(config: Config, saltenv: Saltenv, kind: str) -> str:
    return f"{config.root}/tops/{saltenv.name}/{kind}/{top_file.BRANCH_TOP}"


def branch_top(config: Config, saltenv: Saltenv, kind: str) -> str:
    """Where the link to the branch's own top file leads: of several roots, to the first that has one."""
    folder = config.salt_root(saltenv, kind)
    if kind == PILLAR and saltenv.name not in config.groups:
        folder = pillar_link(config.root, saltenv.name)
    return f"../../..{folder[len(config.root) :]}/top.sls"


def served_commit(saltenv: Saltenv) -> str:
    """Where the link to the commit of what is served leads."""
    return f"../../../slots/{saltenv.dirname}/served/commit"


def former_folders(config: Config, saltenv: Saltenv) -> dict[str, str]:
    """The folder of each kind that Salt was told until now, where that was one word. Raises OSError."""
    found, begin = {}, f"../../../checkouts/{saltenv.dirname}/"
    for kind in KINDS:
        target = files.readlink_or_none(_top_link(config, saltenv, kind)) or ""
        if target.startswith(begin) and target.endswith("/top.sls"):
            found[kind] = target[len(begin) : -len("/top.sls")]
    return found


def outdated(config: Config) -> list[str]:
    """What `write_all` would do. Raises OSError."""
    return [
        f"would write {path}"
        for path, text in wanted_files(config).items()
        if files.read_or_none(path) != text.encode()
    ]


def write_all(config: Config, gid: int) -> list[str]:
    """Write what differs; what was written. gid: the group that may read it, -1 for none. Raises OSError."""
    root = config.root
    for name in _FOLDERS:
        os.makedirs(f"{root}/{name}", exist_ok=True)
    if gid != -1 and os.stat(root).st_gid != gid:
        _give_to_group(root, gid)
    if config.labs:
        _begin_labs(config)
    for path, target in _wanted_links(config).items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if files.readlink_or_none(path) != target:
            files.replace_symlink(target, path)
    os.makedirs(os.path.dirname(config.master_config), exist_ok=True)
    wanted = wanted_files(config)
    notes = []
    for path, text in wanted.items():
        inside = path.startswith(f"{root}/")
        if files.write_atomic(path, text, mode=0o640 if inside else 0o644, durable=not inside):
            notes.append(f"wrote {path}")
    return notes


def _begin_labs(config: Config) -> None:
    """What all top files read has to be there before them: a branch may have a file of that name. Raises OSError."""
    path = f"{config.root}/{LENT_FILE}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.exists(path):
        files.write_atomic(path, lent.NOBODY)
    for lab in lab_saltenvs(config):
        link = pillar_link(config.root, lab.name)
        os.makedirs(os.path.dirname(link), exist_ok=True)
        if files.readlink_or_none(link) is None:
            files.replace_symlink(pillar_target(config, config.saltenvs[0]), link)


def _give_to_group(root: str, gid: int) -> None:
    """Let group `gid` read everything; set-gid folders hand it on to what is made later."""
    # The root comes last: its group says that all below it is done.
    for folder, folders, names in os.walk(root, topdown=False):
        for name in [*names, *(f for f in folders if os.path.islink(f"{folder}/{f}"))]:
            os.chown(f"{folder}/{name}", -1, gid, follow_symlinks=False)
        os.chmod(folder, 0o2750)
        os.chown(folder, -1, gid)
