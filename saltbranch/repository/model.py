"""The model: which saltenvs there are, and their gates, hooks and limits. One loader for masters, clones and runners.

It stands in `saltbranch.yaml` on the production branch, so nobody loosens a gate in the change that it should stop.
What counts is the file of the last *accepted* commit of that branch, and where that is broken the newest valid one
before it on its first parents. Accepted is what a master would serve: a rewritten protected branch, a link out of the
tree, a commit without states change no gate anywhere. Only git is asked, so all machines get one answer.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from saltbranch import admission, events, journal
from saltbranch import config as configuration
from saltbranch.config import MACHINE_KEYS, Config, FileModel, Saltenv, Source
from saltbranch.errors import ConfigError, NoSaltenvsError
from saltbranch.git import Git
from saltbranch.locate import FILE_NAME
from saltbranch.mirror import PRODUCTION

# Below it, in a mirror and in a clone, the last accepted commit of production, by the name of the branch.
IN_MIRROR, IN_CLONE = PRODUCTION, "refs/saltbranch-kept/production/"
# How far back on the first parents an acceptable commit, or a version of the file, is looked for.
_FAR = 200
_COMPARED = ("branch", "minions", "promote_from", "protected", "follow", "mode", "owned", "back_merge", "gates",
             "overridable")  # fmt: skip
_ALSO_COMPARED = (
    "states_dir",
    "pillar_dir",
    "tickets",
    "flow",
    "hooks",
    "fleet",
    "ignore",
    "shown_pillar",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where it is read. heads: branch to commit, of the remote. memory: IN_MIRROR or IN_CLONE.

    journal: the head of the journal that is believed. write: remember what was accepted.
    """

    git: Git
    heads: Mapping[str, str]
    memory: str
    journal: str | None = None
    write: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A valid file. commit: where it was looked up. problem: why newer ones do not count."""

    commit: str
    blob: str
    model: FileModel
    problem: str = ""


def load(place: Place, machine: FileModel, path: str, *, branch: str, remote: str) -> Config:
    """The configuration with the model of `branch`; with that of `machine` where the repository has none.

    machine: the machine's part, of the file `path`. Raises ConfigError, GitError.
    """
    nothing_yet = not os.path.isdir(place.git.directory)  # before the first sync
    commit, refusal = (None, "") if nothing_yet else _accepted(place, machine, branch)
    found = newest_valid(place.git, commit) if commit else Nothing("")
    name = f"{FILE_NAME} on branch {branch!r}"
    if isinstance(found, Nothing):
        return _without(machine, path, name, branch, remote, found)
    problem = _about_refused(place, branch, found, refusal) or found.problem
    source = Source(
        name,
        branch,
        found.commit,
        found.blob,
        f"{name}: {problem}" if problem else "",
        _ignored(found.model),
    )
    if machine.saltenvs is not None:
        own = configuration.build(machine, path, origin=remote)
        model = configuration.build(machine, path, found.model, origin=remote, source=source)
        source = msgspec.structs.replace(source, differs=differences(own, model))
    built = configuration.build(machine, path, found.model, origin=remote, source=source)
    if place.write and commit:
        _remember(place, branch, commit)
    return built


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is no valid file. problem: what is wrong with the one that there is."""

    problem: str


def _without(
    machine: FileModel, path: str, name: str, branch: str, remote: str, nothing: Nothing
) -> Config:
    problem = f"{name}: {nothing.problem}" if nothing.problem else ""
    if machine.saltenvs is not None:
        source = Source(path, problem=problem)
        return configuration.build(machine, path, origin=remote, source=source)
    if problem:
        raise ConfigError(problem, hint="mend that file; no earlier version of it is valid")
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
        own = configuration.build(machine, path, origin=config.remote)
        follow = {s.name: s.follow for s in config.saltenvs}
        saltenvs = tuple(
            msgspec.structs.replace(s, follow=follow[s.name]) if s.name in follow else s
            for s in own.saltenvs
        )
        return msgspec.structs.replace(
            config, saltenvs=saltenvs, states_dir=own.states_dir, pillar_dir=own.pillar_dir
        )
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


# Which commit is accepted


def _accepted(place: Place, machine: FileModel, branch: str) -> tuple[str | None, str]:
    """The newest commit of `branch` that a master would serve, and why the head is none."""
    git, head, last = place.git, place.heads.get(branch), _last(place, branch)
    if head is None or head == last:
        return last, ""
    if last and git.is_ancestor(last, head):
        chain = _first_parents(git, head, last)
    elif last and _is_protected(git, machine, branch, last):
        how = f"git --git-dir={git.directory} update-ref {place.memory}{branch} {head}"
        return last, (
            f"the branch was rewritten: {head[:12]} does not contain {last[:12]}, and its saltenv is protected"
            f" (push the branch back or, if it is meant: {how})"
        )
    else:
        chain, last = _first_parents(git, head, None), None
    refusal = ""
    for commit in chain:
        problem = _refused(git, commit, last)
        if problem is None:
            return commit, refusal
        refusal = refusal or problem
    return last, refusal


def _last(place: Place, branch: str) -> str | None:
    """The commit accepted last: as remembered here, else the newest that the journal says was promoted."""
    kept = place.git.commit_or_none(f"{place.memory}{branch}")
    if kept or not place.journal:
        return kept
    for event in reversed(journal.read(place.git, place.journal)):
        if event.kind == events.PROMOTION and event.text("branch") == branch:
            new = event.commit_of("new")
            return place.git.commit_or_none(new) if new else None
    return None


def _first_parents(git: Git, head: str, since: str | None) -> list[str]:
    args = ["rev-list", "--first-parent", f"--max-count={_FAR}", "--end-of-options", head]
    return git.out(*args, *([f"^{since}"] if since else [])).split()


def _is_protected(git: Git, machine: FileModel, branch: str, last: str) -> bool:
    found = newest_valid(git, last)
    models = [machine] if isinstance(found, Nothing) else [found.model, machine]
    saltenvs = [s for m in models for s in (m.saltenvs or {}).values() if s.branch == branch]
    return any(s.protected for s in saltenvs)


def _refused(git: Git, commit: str, proven: str | None) -> str | None:
    """Why no master serves `commit`, by its own folders; None where one would. proven: a commit accepted before."""
    found = newest_valid(git, commit)
    model = FileModel() if isinstance(found, Nothing) else found.model
    return admission.refusal(git, commit, proven, model.states_dir, model.pillar_dir)


def _about_refused(place: Place, branch: str, found: Found, refusal: str) -> str:
    """What is to be said of a head that is not accepted: only where its file would be another one."""
    head = place.heads.get(branch)
    if not refusal or head is None or place.git.blob_or_none(head, FILE_NAME) == found.blob:
        return ""
    return f"that of {head[:12]} does not count, for no master serves that commit: {refusal}"


def _remember(place: Place, branch: str, commit: str) -> None:
    if place.git.commit_or_none(f"{place.memory}{branch}") != commit:
        place.git.out("update-ref", f"{place.memory}{branch}", commit)


# Which file is valid


def newest_valid(git: Git, commit: str) -> Found | Nothing:
    """The file of `commit`, or the newest valid one before it on its first parents. Raises GitError."""
    problem, removed = "", ""
    seen: set[str] = set()
    for number, at in enumerate(_versions(git, commit)):
        blob = git.blob_or_none(at, FILE_NAME)
        if blob is None:
            removed = removed if number else f"{at[:12]} does not have it"
        if blob is None or blob in seen:
            continue
        seen.add(blob)
        try:
            model = read(git, blob)
        except NoSaltenvsError:
            removed = removed or f"that of {at[:12]} names no saltenvs"
        except ConfigError as err:
            hint = f" ({err.hint})" if err.hint else ""
            problem = problem or f"that of {at[:12]} does not count: {err.message}{hint}"
        else:
            why = problem or removed
            return Found(at, blob, model, f"{why}; that of {at[:12]} does" if why else "")
    return Nothing(problem)


def older(git: Git, source: Source) -> Found | None:
    """The newest valid file before the one of `source`, that is another one. Raises GitError."""
    for at in _versions(git, source.commit or ""):
        blob = git.blob_or_none(at, FILE_NAME)
        if blob is None or blob == source.blob:
            continue
        try:
            return Found(at, blob, read(git, blob))
        except ConfigError:
            continue
    return None


def _versions(git: Git, commit: str) -> Iterator[str]:
    """`commit`, then those on its first parents that changed the file; git is asked only when one is needed."""
    yield commit
    args = ("rev-list", "--first-parent", f"--max-count={_FAR}", "--end-of-options", commit)
    yield from git.out(*args, "--", FILE_NAME).split()


def read(git: Git, blob: str) -> FileModel:
    """The valid model that the object `blob` holds. Raises ConfigError, GitError."""
    return _read(git.out("cat-file", "blob", blob))


@functools.lru_cache(maxsize=64)
def _read(text: str) -> FileModel:
    try:
        text.encode()
    except UnicodeEncodeError as err:
        raise ConfigError(f"{FILE_NAME} is not UTF-8 text", hint="save it as UTF-8") from err
    return configuration.check_model(text, FILE_NAME)[0]


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
    return (*found, *(key for key in _ALSO_COMPARED if getattr(own, key) != getattr(model, key)))
