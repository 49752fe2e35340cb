"""The model: which saltenvs there are, and their gates, hooks and limits. One loader for masters, clones and runners.

It stands in `saltbranch.yaml` on the production branch, so nobody loosens a gate in the change that it should stop.
What counts is the file of the last *accepted* commit of that branch, and where that is broken the newest valid one
before it on its first parents. Accepted is what a master would serve: a rewritten protected branch, a link out of the
tree, a commit without states, a push by hand that is refused change no gate anywhere. Only git is asked, so all
machines get one answer.
"""

from __future__ import annotations

import os

import msgspec

from saltbranch.base.errors import ConfigError
from saltbranch.config.check import build_config
from saltbranch.config.keys import MACHINE_KEYS, FileModel
from saltbranch.config.locate import FILE_NAME
from saltbranch.config.model import Config, Saltenv, Source
from saltbranch.config.roots import KEYS
from saltbranch.repository.accepted import ModelRefs, accepted, remember
from saltbranch.repository.model_file import Found, Nothing, file_of, newest_valid
from saltbranch.repository.production_signers import required

_COMPARED = ("branch", "minions", "promote_from", "protected", "verify_switch", "follow", "mode", "owned",
             "back_merge", "gates", "overridable", "direct_pushes")  # fmt: skip
_ALSO_COMPARED = (
    "tickets",
    "flow",
    "hooks",
    "notify",
    "fleet",
    "ignore",
    "shown_pillar",
    "missing",
    "stand_in",
)


def load(refs: ModelRefs, machine: FileModel, path: str, *, branch: str, remote: str) -> Config:
    """The configuration with the model of `branch`; with that of `machine` where the repository has none.

    machine: the machine's part, of the file `path`. Raises ConfigError, GitError.
    """
    nothing_yet = not os.path.isdir(refs.git.directory)  # before the first sync
    commit, refusal = (None, "") if nothing_yet else accepted(refs, branch)
    found = newest_valid(refs.git, commit, branch) if commit else Nothing(refusal)
    name = f"{FILE_NAME} on branch {branch!r}"
    if isinstance(found, Nothing):
        return _without(machine, path, name, branch=branch, remote=remote, nothing=found)
    problem = _about_refused(refs, branch, found, refusal) or found.problem
    source = Source(
        place=name,
        branch=branch,
        commit=found.commit,
        blob=found.blob,
        problem=f"{name}: {problem}" if problem else "",
        ignored=_ignored(found.model),
        signed=required(found.model, branch) is not None,
    )
    if machine.saltenvs is not None:
        own = build_config(machine, path, origin=remote)
        model = build_config(machine, path, found.model, origin=remote, source=source)
        source = msgspec.structs.replace(source, differs=differences(own, model))
    built = build_config(machine, path, found.model, origin=remote, source=source)
    if refs.write and commit:
        remember(refs, branch, commit)
    return built


def _without(
    machine: FileModel, path: str, name: str, *, branch: str, remote: str, nothing: Nothing
) -> Config:
    problem = f"{name}: {nothing.problem}" if nothing.problem else ""
    if machine.saltenvs is not None:
        source = Source(path, problem=problem)
        return build_config(machine, path, origin=remote, source=source)
    if problem:
        raise ConfigError(problem, hint="fix that file; no earlier version of it is valid")
    raise ConfigError(
        f"no model: {path} names no saltenvs, and there is no {name} of the remote",
        hint=f"commit a {FILE_NAME} with saltenvs: to {branch!r} (model_branch: in a machine's file, and"
        " git config saltbranch.modelBranch in a clone, say which branch is production)",
    )


def serving(config: Config, machine: FileModel, path: str) -> Config:
    """`config` as this machine serves it: by the saltenvs of its own file, or fewer (`serves:`).

    What tags a saltenv follows is always the model's. Raises ConfigError.
    """
    if config.source.branch is not None and machine.saltenvs is not None:
        own = build_config(machine, path, origin=config.remote)
        follow = {s.name: s.follow for s in config.saltenvs}
        saltenvs = tuple(
            msgspec.structs.replace(s, follow=follow[s.name]) if s.name in follow else s
            for s in own.saltenvs
        )
        return msgspec.structs.replace(config, saltenvs=saltenvs, roots=own.roots)
    if machine.serves is None:
        return config
    known = [s.name for s in config.saltenvs]
    unknown = [name for name in machine.serves if name not in known]
    if unknown:
        raise ConfigError(
            f"{path}: serves: there is no saltenv {unknown[0]!r} in {config.source.place}",
            hint=f"known ones: {', '.join(known)}",
        )
    here = tuple(s for s in config.saltenvs if s.name in machine.serves)
    elsewhere = tuple(s for s in config.saltenvs if s.name not in machine.serves)
    return msgspec.structs.replace(config, saltenvs=here, elsewhere=elsewhere)


def _about_refused(refs: ModelRefs, branch: str, found: Found, refusal: str) -> str:
    """What is to be said of a head that is not accepted: only where its file would be another one."""
    head = refs.heads.get(branch)
    if not refusal or (head and file_of(refs.git, head) == found.blob):
        return ""
    return f"that of {head[:12]} does not count: {refusal}" if head else refusal


def _ignored(model: FileModel) -> tuple[str, ...]:
    plain = FileModel()
    return tuple(key for key in MACHINE_KEYS if getattr(model, key) != getattr(plain, key))


def differences(own: Config, model: Config) -> tuple[str, ...]:
    """In what the saltenvs of a machine's own file are others than those of the model: ``prod.gates``."""
    ours: dict[str, Saltenv] = {s.name: s for s in own.saltenvs}
    theirs: dict[str, Saltenv] = {s.name: s for s in model.saltenvs}
    found = [
        name for name in dict.fromkeys((*ours, *theirs)) if name not in ours or name not in theirs
    ]
    found += [
        f"{name}.{key}"
        for name in ours
        if name in theirs
        for key in _COMPARED
        if getattr(ours[name], key) != getattr(theirs[name], key)
    ]
    found += [
        key for kind, key in KEYS.items() if own.roots.written(kind) != model.roots.written(kind)
    ]
    return (*found, *(key for key in _ALSO_COMPARED if getattr(own, key) != getattr(model, key)))
