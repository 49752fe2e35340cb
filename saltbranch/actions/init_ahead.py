"""What init would come to, found out before anything is written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping

import yaml

from saltbranch.base import files, scratch
from saltbranch.base.errors import ConfigError, RefusedError
from saltbranch.config import locate
from saltbranch.config.keys import FileModel
from saltbranch.config.model import Config
from saltbranch.config.roots import PILLAR, STATES
from saltbranch.doctor.rules import master_pillar, master_roots, master_tops
from saltbranch.doctor.rules.seen_master import Master
from saltbranch.git.mirror import Mirror
from saltbranch.git.program import indent, mask, quoted
from saltbranch.journal.accepted import believed
from saltbranch.repository import accepted, model
from saltbranch.salt_master import (
    config_file,
    option_file,
    option_files,
    replacing,
)
from saltbranch.salt_master import (
    options as master_options,
)
from saltbranch.salt_master.replacing import Replacing

FIRST_FETCH = 3600  # seconds
# Of what doctor looks for, what an administrator has to know before the master is somebody else's.
_BESIDE = (
    master_roots.roots,
    master_roots.other_saltenvs,
    master_roots.literal_env,
    master_roots.file_server_backend,
    master_pillar.ext_pillar,
    master_tops.master_tops,
)


class FirstLook:
    """The remote, read into a temporary folder when first asked for. A context manager."""

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        """say: told what takes time."""
        self._say = say
        self._folders = contextlib.ExitStack()
        self._mirror: Mirror | None = None

    def __enter__(self) -> FirstLook:
        """Nothing is read yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the folder."""
        self._folders.close()

    def mirror(self, remote: str) -> Mirror:
        """All that `remote` has; it is read once. Raises RemoteError, GitError."""
        if self._mirror is None:
            made = self._folders.enter_context(scratch.folder("saltbranch-scratch-init-"))
            self._mirror = Mirror(made.path)
            self._mirror.fetch(remote, timeout=FIRST_FETCH, progress=self._say)
        return self._mirror

    def has_model(self, remote: str, branch: str) -> bool:
        """Whether there is a saltbranch.yaml on `branch`. Raises RemoteError, GitError."""
        mirror = self.mirror(remote)
        head = mirror.branches().get(branch)
        return head is not None and mirror.git.blob_or_none(head, locate.FILE_NAME) is not None

    def hand_over(self, root: str) -> None:
        """Let `root` have what was read, where that takes no copying: it need not be read again."""
        place = Mirror(root)
        if self._mirror and not place.exists():
            try:
                os.rename(self._mirror.path, place.path)
                self._mirror = place
            except OSError:
                pass  # another file system: it is fetched


def config_ahead(machine: FileModel, config_path: str, branch: str, mirror: Mirror) -> Config:
    """The configuration with the model of `branch`, where the repository has one; else with that of `machine`.

    Its `source.branch` is None where the model is that of `machine`. Raises ConfigError, also for a model of the
    repository that is not valid; GitError.
    """
    git, refs = mirror.git, mirror.refs()
    heads = refs.branches
    place = accepted.ModelRefs(git, heads, accepted.IN_MIRROR, believed(git, refs).head)
    found = model.load(place, machine, config_path, branch=branch, remote=machine.remote or "")
    head = heads.get(branch)
    there = head is not None and git.blob_or_none(head, locate.FILE_NAME) is not None
    if found.source.branch is None and there:
        raise ConfigError(
            found.source.problem or f"{locate.FILE_NAME} on branch {branch!r} cannot be used",
            hint="fix that file; no earlier version of it is valid",
        )
    return found


def refuse_without_effect(
    given: Mapping[str, object], machine: FileModel, config: Config | None, config_path: str
) -> None:
    """Refuse flags that say something else than what counts. Raises RefusedError.

    given: flag to its value; --branch and --minions to saltenv and branch, saltenv and globs. machine: the file that
    is kept, or is to be written. config: with the model that counts; None where there is none yet.
    """
    have: dict[str, tuple[str, object]] = {
        "--remote": ("remote", machine.remote),
        "--root": ("root", os.path.normpath(machine.root)),
        "--master-config": ("master_config", machine.master_config),
        "--salt-config": ("salt_config", machine.salt_config),
        "--group": ("group", machine.group),
    }
    for flag, (key, value) in have.items():
        if flag in given and given[flag] != value:
            _refuse(flag, given[flag], f"{key}: {value}", config_path, config_path)
    if config is not None:
        _refuse_other_model(given, config, config_path)


def _refuse_other_model(given: Mapping[str, object], config: Config, config_path: str) -> None:
    branch = config.source.branch
    place = config_path if branch is None else f"{locate.FILE_NAME} on branch {branch!r}"
    for flag, key, value in (
        ("--states-dir", "states_dir", config.roots.told(STATES)),
        ("--pillar-dir", "pillar_dir", config.roots.told(PILLAR)),
    ):
        if flag in given and given[flag] != value:
            _refuse(flag, given[flag], f"{key}: {value}", place, config_path)
    saltenvs = {s.name: s for s in (*config.saltenvs, *config.elsewhere)}
    branches, minions = given.get("--branch"), given.get("--minions")
    for name, wanted in (branches if isinstance(branches, Mapping) else {}).items():
        has = saltenvs[name].branch if name in saltenvs else ""
        if wanted != has:
            what = f"{name} is {has}" if has else f"saltenvs: {', '.join(saltenvs)}"
            _refuse("--branch", f"{name}={wanted}", what, place, config_path)
    for name, globs in (minions if isinstance(minions, Mapping) else {}).items():
        own = [str(m) for m in saltenvs[name].minions] if name in saltenvs else []
        for glob in globs:
            if f"glob {glob}" not in own:
                what = f"minions of {name}: {', '.join(own) or 'none'}"
                _refuse("--minions", f"{name}={glob}", what, place, config_path)


def _refuse(flag: str, value: object, what: str, place: str, config_path: str) -> None:
    shown = mask(str(value))
    raise RefusedError(
        f"{flag} {quoted(shown)} would have no effect: {place} is there already and counts ({mask(what)})",
        hint=f"leave {flag} out; to change it, edit that file"
        + (", or name another one with --config" if place == config_path else " by a commit"),
    )


def look_at_master(config: Config) -> Replacing:
    """What of the salt-master's present configuration would end. Raises RefusedError where that cannot be told,
    SaltError where Salt refuses its files.
    """
    conf_files = option_files.read(config.salt_config, option_files.MASTER_INCLUDE)
    if not os.path.exists(config.salt_config):
        return Replacing()
    for file in conf_files:
        if file.problem:
            raise RefusedError(
                f"{file.path}: {file.problem}: so it is unknown which of the salt-master's roots would end",
                hint="fix that file, and see that this user can read it",
            )
    master = master_options.read(config.salt_config)
    text = (files.read_or_none(config.master_config) or b"").decode("utf-8", "replace")
    ours = text.startswith(f"{config_file.HEADER} from {config.path}:")
    own = yaml.safe_load(text) if ours else {}
    path, include = config.salt_config, option_files.MASTER_INCLUDE
    before = option_files.effective(path, include, config.master_config, text or None)
    after = option_files.effective(path, include, config.master_config, option_file.wanted(config))
    others = [f for f in conf_files if not ours or not _is_same(f.path, config.master_config)]
    places, defaults = option_files.places(others), master_options.default_options()
    unclaimed, problem = _unclaimed(config, master)
    return Replacing(
        replacing.find_roots(
            before, after, own=own, places=places, defaults=defaults, is_used=files.holds_anything
        ),
        replacing.find_options(before, after, places),
        unclaimed,
        (*problem, *_beside(config, {**defaults, **after}, option_files.places(conf_files))),
    )


def _beside(
    config: Config, opts: Mapping[str, object], places: Mapping[str, tuple[str, ...]]
) -> list[str]:
    """What others have that stays as it is, and matters."""
    roots = [opts.get(option) for option in replacing.ROOTS]
    folders = [
        str(folder)
        for found in roots
        for listed in (found.values() if isinstance(found, Mapping) else ())
        for folder in listed or ()
    ]
    judged = Master(
        opts=opts,
        places=places,
        file_roots=config_file.file_roots(config),
        pillar_roots=config_file.pillar_roots(config),
        with_top=frozenset(f for f in folders if os.path.exists(f"{f}/top.sls")),
        config=config.path,
        master_config=config.master_config,
    )
    found = (finding for rule in _BESIDE for finding in rule(judged))
    return [f"{f.message}. {f.why}" for f in found if f.severity != "note"]


def _unclaimed(
    config: Config, master: master_options.MasterOptions
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The accepted minions that nothing claims, and why they could not be read."""
    try:
        os.listdir(f"{master.pki_dir}/minions")
    except FileNotFoundError:
        return (), ()  # a master that never ran
    except OSError as err:
        what = f"{master.pki_dir}/minions cannot be read ({err.strerror}), so accepted minions that no saltenv claims"
        return (), (f"{what} are not named",)
    return replacing.unclaimed(master.accepted_minions(), config, master.nodegroups), ()


def refuse_ending(found: Replacing, config: Config) -> None:
    """Refuse to end what nobody has agreed to end. Raises RefusedError."""
    if found.ends_anything:
        raise RefusedError(
            f"the salt-master of this machine has its own configuration, of which {config.master_config} would end"
            f" a part; nothing was written:\n{indent(chr(10).join(found.lines()))}",
            hint="saltbranch adopt moves it over, with a proof; or bring what is still needed into the control"
            " repository, then say --replace-roots (no folder is removed); a saltenv to keep beside those of"
            " saltbranch belongs in a separate file in master.d: the roots of those files are joined",
        )


def _is_same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
