"""What Salt reads from us beside the branches: its configuration file and the generated top files."""

from __future__ import annotations

import os

from saltbranch.base import files
from saltbranch.base.errors import RefusedError
from saltbranch.config.model import Config, Saltenv
from saltbranch.config.roots import KINDS, STATES
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
        text = top_file.render_top(saltenv.name, config.groups)
        for kind in ("states", "pillar"):
            wanted[f"{config.root}/tops/{saltenv.name}/{kind}/top.sls"] = text
    return wanted


def _wanted_links(config: Config) -> dict[str, str]:
    """Path to target of the links beside the generated top files: to the branches' own, and to the served commit."""
    links = {}
    for saltenv in config.saltenvs:
        for kind in KINDS:
            links[_top_link(config, saltenv, kind)] = branch_top(config, saltenv, kind)
        links[f"{config.root}/tops/{saltenv.name}/{STATES}/{SERVED_COMMIT}"] = served_commit(
            saltenv
        )
    return links


def _top_link(config: Config, saltenv: Saltenv, kind: str) -> str:
    return f"{config.root}/tops/{saltenv.name}/{kind}/{top_file.BRANCH_TOP}"


def branch_top(config: Config, saltenv: Saltenv, kind: str) -> str:
    """Where the link to the branch's own top file leads: of several roots, to the first that has one."""
    return f"../../..{config.salt_root(saltenv, kind)[len(config.root) :]}/top.sls"


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


def _give_to_group(root: str, gid: int) -> None:
    """Let group `gid` read everything; set-gid folders hand it on to what is made later."""
    # The root comes last: its group says that all below it is done.
    for folder, folders, names in os.walk(root, topdown=False):
        for name in [*names, *(f for f in folders if os.path.islink(f"{folder}/{f}"))]:
            os.chown(f"{folder}/{name}", -1, gid, follow_symlinks=False)
        os.chmod(folder, 0o2750)
        os.chown(folder, -1, gid)
