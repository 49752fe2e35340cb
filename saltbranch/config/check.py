"""The whole configuration checked: of what stands in the file, values that can be used."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from saltbranch.base import tickets
from saltbranch.base.errors import ConfigError, NoSaltenvsError
from saltbranch.config import labs, notify, verify
from saltbranch.config.gates import split_command
from saltbranch.config.keys import FileModel, FlowModel, model_branch
from saltbranch.config.minions import parse_minions
from saltbranch.config.model import Config, Saltenv, Source
from saltbranch.config.roots import KINDS, Roots, is_above, is_in
from saltbranch.config.roots_keys import parse as parse_roots
from saltbranch.config.saltenvs import check_saltenvs, follow_pattern, saltenv_of
from saltbranch.config.values import (
    check_labs,
    check_path,
    check_remote,
    check_submodules,
    inside,
    no_branch,
)
from saltbranch.git.program import branch_name_problem


def build_config(
    machine: FileModel,
    path: str,
    model: FileModel | None = None,
    *,
    origin: str = "",
    source: Source | None = None,
) -> Config:
    """The configuration that `machine`, the file `path`, stands for.

    model: the file of the production branch, which `source` describes; its machine keys do not count. Without
    it the saltenvs are those of `machine`. origin: the remote to use where `machine` names none. Raises ConfigError.
    """
    told = source or Source(path)
    place = told.place
    file = model if model is not None else machine
    remote = machine.remote or origin
    if not remote:
        raise ConfigError(
            f"{path}: no remote", hint="add `remote: <URL of the control repository>`"
        )
    check_remote(remote, path)
    check_machine(machine, path)
    roots = roots_of(file, place)
    saltenvs = _saltenvs(file, place)
    _check_lab_names(machine, path, saltenvs, place)
    tickets.compile_pattern(file.tickets, place)
    check_flow(file.flow, place)
    notify.check_hooks(file.hooks, file.hooks.__struct_fields__, place)
    notify.check_rules(file.notify, list(file.saltenvs or ()), place)
    return Config(
        path=path,
        remote=remote,
        root=os.path.normpath(machine.root),
        roots=roots,
        master_config=os.path.normpath(machine.master_config),
        salt_config=os.path.normpath(machine.salt_config),
        group=machine.group,
        fetch_timeout=machine.fetch_timeout,
        model_branch=told.branch or model_branch(machine),
        source=told,
        saltenvs=saltenvs,
        programs=_programs(machine.programs, path),
        record_syncs=machine.record_syncs,
        promotes=machine.promotes,
        submodules=tuple(machine.submodules),
        tickets=file.tickets,
        flow=file.flow,
        hooks=file.hooks,
        notify=tuple(file.notify),
        notify_targets=tuple(machine.notify_targets),
        fleet=file.fleet,
        gpg_keys=os.path.normpath(machine.gpg_keys) if machine.gpg_keys else None,
        ext_pillar=tuple(machine.ext_pillar),
        ignore=tuple(file.ignore),
        shown_pillar=tuple(file.shown_pillar),
        missing=tuple(file.missing),
        stand_in=_stand_in(file.stand_in, roots, place),
        extra_roots=tuple(os.path.normpath(folder) for folder in machine.extra_roots),
        labs=machine.labs,
        lab_open=machine.lab_open,
        lab_auto=machine.lab_auto,
        lab_pillar=machine.lab_pillar,
    )


def roots_of(file: FileModel, place: str) -> Roots:
    """The folders of states and pillar inside the repository, by the file `place`. Raises ConfigError."""
    return parse_roots(
        file.states_dir, file.pillar_dir, place, fleet=file.fleet, stand_in=file.stand_in
    )


def _saltenvs(file: FileModel, place: str) -> tuple[Saltenv, ...]:
    if not file.saltenvs:
        raise NoSaltenvsError(
            f"{place}: no saltenvs",
            hint="add `saltenvs:` with a branch and minions for each; saltbranch init writes an example",
        )
    saltenvs = tuple(saltenv_of(name, entry, place) for name, entry in file.saltenvs.items())
    check_saltenvs(saltenvs, place)
    return saltenvs


def _check_lab_names(
    machine: FileModel, path: str, saltenvs: tuple[Saltenv, ...], place: str
) -> None:
    """A saltenv of the model cannot be a lab, too. Raises ConfigError."""
    for saltenv in saltenvs:
        number = labs.number_of(saltenv.name)
        if number is not None and number <= machine.labs:
            raise ConfigError(
                f"{place}: saltenvs.{saltenv.name}: with labs: {machine.labs} in {path}, {saltenv.name} is the name of"
                " a lab",
                hint=f"call the saltenv something else, or set labs: below {number}",
            )


def patterns_of(model: FileModel, place: str) -> Iterator[tuple[str, re.Pattern[str]]]:
    """Every regular expression of a model, and where it stands. Raises ConfigError."""
    yield f"{place}: tickets", tickets.compile_pattern(model.tickets, place)
    for name, entry in (model.saltenvs or {}).items():
        where = f"{place}: saltenvs.{name}"
        if follow := follow_pattern(entry.follow, f"{where}.follow.tags"):
            yield f"{where}.follow.tags", re.compile(follow)
        for matcher in parse_minions(entry.minions, f"{where}.minions"):
            if matcher.kind == "pcre":
                yield f"{where}.minions", re.compile(matcher.target)
        verify.parse_checks(entry.verify, f"{where}.verify")
        for pattern in verify.patterns(entry.verify):
            yield f"{where}.verify: matches", pattern


def _programs(entries: list[Any], path: str) -> tuple[tuple[str, ...], ...]:
    return tuple(split_command(entry, f"{path}: programs") for entry in entries)


def check_machine(machine: FileModel, path: str) -> None:
    """Refuse values of the machine's own keys that cannot be used. Raises ConfigError."""
    if machine.remote:
        check_remote(machine.remote, path)
    for key in ("root", "master_config", "salt_config"):
        check_path(key, getattr(machine, key), path)
    if machine.gpg_keys is not None:
        check_path("gpg_keys", machine.gpg_keys, path)
    for folder in machine.extra_roots:
        check_path("extra_roots", folder, path)
        _check_outside(folder, machine.root, path)
    for name in machine.ext_pillar:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ConfigError(
                f"{path}: ext_pillar: {name!r} is not a name of an external pillar",
                hint="the names only, for example ext_pillar: [nodegroups]; their settings are the master's",
            )
    if not 1 <= machine.fetch_timeout <= 86400:
        raise ConfigError(
            f"{path}: fetch_timeout: {machine.fetch_timeout} is not from 1 to 86400",
            hint="it is in seconds; the default is 300",
        )
    branch = machine.model_branch
    if branch is not None and (problem := branch_name_problem(branch)):
        raise no_branch("model_branch", branch, problem, path)
    _programs(machine.programs, path)
    notify.targets_of(machine.notify_targets, path)
    check_submodules(machine.submodules, path)
    check_labs(machine.labs, machine.lab_auto, machine.lab_pillar, path)
    if machine.serves == []:
        raise ConfigError(
            f"{path}: serves: names no saltenv", hint="leave the key out to serve all of them"
        )


def _check_outside(folder: str, root: str, path: str) -> None:
    """Refuse a root of Salt's in which saltbranch keeps all branches, pillar too. Raises ConfigError."""
    one, two = f"{os.path.normpath(folder)}/", f"{os.path.normpath(root)}/"
    if one.startswith(two) or two.startswith(one):
        raise ConfigError(
            f"{path}: extra_roots: {folder!r} and root {root!r} contain one another",
            hint="it is for folders that saltbranch has nothing to do with, such as those of a package",
        )


def check_flow(flow: FlowModel, path: str) -> None:
    """Refuse prefixes that cannot begin a branch or be told apart. Raises ConfigError."""
    prefixes = [flow.feature, flow.release, flow.hotfix]
    for prefix in prefixes:
        if not prefix or branch_name_problem(f"{prefix}x"):
            raise ConfigError(
                f"{path}: flow: branch names cannot begin with {prefix!r}",
                hint="for example flow: {feature: feature/}",
            )
    if (
        any(a != b and a.startswith(b) for a in prefixes for b in prefixes)
        or len(set(prefixes)) < 3
    ):
        raise ConfigError(
            f"{path}: flow: the prefixes {', '.join(prefixes)} cannot be told apart",
            hint="give features, releases and hotfixes prefixes of their own",
        )
    if flow.version_tag and branch_name_problem(f"{flow.version_tag}1"):
        raise ConfigError(
            f"{path}: flow.version_tag: tags cannot begin with {flow.version_tag!r}",
            hint="for example version_tag: v",
        )


def _stand_in(value: str | None, roots: Roots, place: str) -> str | None:
    """A folder inside the repository, apart from what Salt serves."""
    if value is None:
        return None
    try:
        folder = inside("stand_in", value.rstrip("/") or "/", place)
    except ConfigError as err:
        raise ConfigError(err.message, hint="for example stand_in: fleet/stand-in") from err
    parts = tuple(folder.split("/"))
    for kind in KINDS:
        # What is composed of what is named leaves it out.
        folders = [root for root in roots.of(kind) if not root.names]
        for root in folders:
            if is_in(parts, [root.parts]) or is_above(parts, [root.parts]):
                raise ConfigError(
                    f"{place}: stand_in: {folder!r} and {root.folder!r} contain one another, so minions would be"
                    " served what stands in",
                    hint="keep it beside the states and the pillar: stand_in: fleet/stand-in",
                )
    return folder
