"""The model: which saltenvs there are, and their gates, hooks and limits. One loader for masters, clones and runners.

It stands in `saltbranch.yaml` on the production branch, so nobody loosens a gate in the change that it should stop.
What counts is the file of the last *accepted* commit of that branch, and where that is broken the newest valid one
before it on its first parents. Accepted is what a master would serve: a rewritten protected branch, a link out of the
tree, a commit without states, a push by hand that is refused change no gate anywhere. Only git is asked, so all
machines get one answer.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from saltbranch import admission, events, journal, journalcache
from saltbranch.config.check import build_config
from saltbranch.config.direct_pushes import ALLOW, REFUSE, REPORT
from saltbranch.config.keys import MACHINE_KEYS, FileModel
from saltbranch.config.model import Config, Saltenv, Source, end_branches
from saltbranch.config.read import check_model
from saltbranch.errors import ConfigError, NoSaltenvsError
from saltbranch.git import Git
from saltbranch.locate import FILE_NAME
from saltbranch.mirror import PRODUCTION, ref_name
from saltbranch.repository import pushes, tips

# Below it, in a mirror and in a clone, the last accepted commit of production, by the name of the branch.
IN_MIRROR, IN_CLONE = PRODUCTION, "refs/saltbranch-kept/production/"
# How far back on the first parents an acceptable commit, or a version of the file, is looked for.
_FAR = 200
# So many of the journal's newest events are looked at for it.
_RECENT = 500
_COMPARED = ("branch", "minions", "promote_from", "protected", "verify_switch", "follow", "mode", "owned",
             "back_merge", "gates", "overridable", "direct_pushes")  # fmt: skip
_ALSO_COMPARED = (
    "states_dir",
    "pillar_dir",
    "tickets",
    "flow",
    "hooks",
    "fleet",
    "ignore",
    "shown_pillar",
    "missing",
    "stand_in",
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
    commit, refusal = (None, "") if nothing_yet else _accepted(place, branch)
    found = newest_valid(place.git, commit, branch) if commit else Nothing("")
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
        own = build_config(machine, path, origin=remote)
        model = build_config(machine, path, found.model, origin=remote, source=source)
        source = msgspec.structs.replace(source, differs=differences(own, model))
    built = build_config(machine, path, found.model, origin=remote, source=source)
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


def _accepted(place: Place, branch: str) -> tuple[str | None, str]:
    """The newest commit of `branch` that a master would serve, and why the head is none."""
    git, head, last = place.git, place.heads.get(branch), _last(place, branch)
    if head is None:
        return last, "the remote does not have the branch any more" if last else ""
    counted = _counted_head(place, branch, head, last)
    refusal = "" if counted == head else "it was pushed by hand, which is refused (direct_pushes)"
    if counted == last or (refusal and last and git.is_ancestor(counted, last)):
        return last, refusal
    head = counted
    if last and git.is_ancestor(last, head):
        chain = _first_parents(git, head, last)
    elif last and _is_protected(git, branch, last):
        how = f"git --git-dir={git.directory} update-ref {place.memory}{ref_name(branch)} {head}"
        return last, (
            f"the branch was rewritten: {head[:12]} does not contain {last[:12]}, and its saltenv is protected"
            f" (push the branch back or, if it is meant: {how})"
        )
    else:
        chain, last = _first_parents(git, head, None), None
    for commit, parent in zip(chain, [*chain[1:], last], strict=True):
        problem = _refused(git, commit, last, parent)
        if problem is None:
            return commit, refusal
        refusal = refusal or problem
    return last, refusal


def _counted_head(place: Place, branch: str, head: str, last: str | None) -> str:
    """The commit up to which the branch counts, by the model of `last`, which was accepted before, and the journal."""
    if last is None or last == head:
        return head
    state = journalcache.state(place.git, place.journal, write=False)
    tip = state.tips.get(branch)
    if tip is None or not tip.head:
        # Nobody says up to where it was promoted: what was accepted here is the beginning.
        tip = tips.Tip(last, last)
    if tip.head == head:
        return tip.good
    before = tip.promoted if place.git.commit_or_none(tip.promoted) else last
    name, policy = "", ALLOW
    for commit in dict.fromkeys((before, last, head)):
        found = newest_valid(place.git, commit, branch)
        saltenvs = {} if isinstance(found, Nothing) else found.model.saltenvs or {}
        for mine, saltenv in saltenvs.items():
            if saltenv.branch == branch and saltenv.promote_from:
                name = name or mine
                policy = pushes.stricter(policy, saltenv.direct_pushes or REPORT)
    if policy != REFUSE and not tip.is_refused:
        return head
    watched = pushes.Watched(name, branch, policy)
    now, _ = pushes.Finder(place.git, lambda: list(state.events), 0).look(watched, tip, head)
    return pushes.served_head(place.git, now, head)


def _last(place: Place, branch: str) -> str | None:
    """The commit accepted last: as remembered here or, if that is newer, as the journal tells.

    The journal has promotions and, where masters record it, what they switched to: so a clone that was away, or one
    that is new, does not take a branch for whole that all masters refuse.
    """
    git = place.git
    kept = git.commit_or_none(f"{place.memory}{ref_name(branch)}")
    head = place.heads.get(branch)
    told = _told(git, place.journal, branch, head, kept) if place.journal else None
    if kept and told and told != kept:
        return told if git.is_ancestor(kept, told) else kept
    return kept or told


def _told(git: Git, head: str, branch: str, now_at: str | None, kept: str | None) -> str | None:
    names: set[str] = set()
    found = journal.read(git, head, limit=_RECENT)
    served = {_switched(event, branch) for event in found if event.kind == events.SYNC}
    for event in reversed(found):
        if event.kind == events.PROMOTION and event.text("branch") == branch:
            new = event.commit_of("new")
            if new != kept and new not in served and now_at and now_at == event.commit_of("old"):
                continue  # the server put the branch back: no master has ever served it
        elif event.kind == events.SYNC:
            new = _switched(event, branch)
        else:
            continue
        if new and new not in names:
            names.add(new)
            if commit := git.commit_or_none(new):
                return commit
    return None


def _switched(event: events.Event, branch: str) -> str | None:
    """What a master that records its switches has come to serve of `branch`."""
    rows = event.details.get("saltenvs")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, Mapping) and row.get("branch") == branch:
            new = row.get("new")
            return new if isinstance(new, str) and events.is_hash(new) else None
    return None


def _first_parents(git: Git, head: str, since: str | None) -> list[str]:
    args = ["rev-list", "--first-parent", f"--max-count={_FAR}", "--end-of-options", head]
    return git.out(*args, *([f"^{since}"] if since else [])).split()


def _is_protected(git: Git, branch: str, last: str) -> bool:
    """By the model alone, as every machine reads it."""
    found = newest_valid(git, last, branch)
    if isinstance(found, Nothing):
        return False
    return any(s.protected for s in (found.model.saltenvs or {}).values() if s.branch == branch)


def _refused(git: Git, commit: str, proven: str | None, parent: str | None) -> str | None:
    """Why no master serves `commit`; None where one would.

    proven: a commit accepted before. parent: what it came after; whether its pillar is gone is asked by the folder
    that it had there.
    """
    before = newest_valid(git, parent) if parent else Nothing("")
    model = FileModel() if isinstance(before, Nothing) else before.model
    found = newest_valid(git, commit)
    now = model if isinstance(found, Nothing) else found.model
    had_pillar = parent is not None and admission.commit_has_files(git, parent, model.pillar_dir)
    return admission.refusal(
        git, commit, proven, now.states_dir, now.pillar_dir, had_pillar=had_pillar
    )


def _about_refused(place: Place, branch: str, found: Found, refusal: str) -> str:
    """What is to be said of a head that is not accepted: only where its file would be another one."""
    head = place.heads.get(branch)
    if not refusal or (head and file_of(place.git, head) == found.blob):
        return ""
    return f"that of {head[:12]} does not count: {refusal}" if head else refusal


def _remember(place: Place, branch: str, commit: str) -> None:
    ref = f"{place.memory}{ref_name(branch)}"
    if place.git.commit_or_none(ref) != commit:
        # Not remembering stops nothing: the journal, or the head, is the beginning then.
        place.git.run("update-ref", ref, commit)


# Which file is valid


def newest_valid(git: Git, commit: str, branch: str = "") -> Found | Nothing:
    """The file of `commit`, or the newest valid one before it on its first parents. Raises GitError.

    branch: it has to be the end of the promotions there, for it is the one that the model stands on.
    """
    problem, removed = "", ""
    seen: set[str] = set()
    for number, at in enumerate(_versions(git, commit)):
        blob = file_of(git, at)
        if blob is None:
            removed = removed if number else f"{at[:12]} does not have it"
        if blob is None or blob in seen:
            continue
        seen.add(blob)
        try:
            model = read_at(git, at, branch)
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
        blob = file_of(git, at)
        if blob is None or blob == source.blob:
            continue
        try:
            return Found(at, blob, read_at(git, at, source.branch or ""))
        except ConfigError:
            continue
    return None


def _versions(git: Git, commit: str) -> Iterator[str]:
    """`commit`, then those on its first parents that changed the file; git is asked only when one is needed."""
    yield commit
    args = ("rev-list", "--first-parent", f"--max-count={_FAR}", "--end-of-options", commit)
    yield from git.out(*args, "--", FILE_NAME).split()


def file_of(git: Git, tree: str) -> str | None:
    """The object at saltbranch.yaml of a commit or tree, whatever it is; None where there is none. Raises GitError."""
    return git.blob_or_none(tree, FILE_NAME)


def read_at(git: Git, tree: str, branch: str = "") -> FileModel:
    """The valid model of a commit or tree. branch: the end of its promotions.

    Raises ConfigError, also for what is not a file, and for folders that are not there; GitError.
    """
    listed = git.out("ls-tree", "-z", "--end-of-options", tree, FILE_NAME).rstrip("\0")
    mode, _, rest = listed.partition(" ")
    if mode not in ("100644", "100755"):
        what = {"120000": "a symlink", "160000": "a submodule"}.get(mode, "a folder")
        raise ConfigError(f"{FILE_NAME} is {what} and no file", hint="write it as a plain file")
    model = read(git, rest.split("\t")[0].split(" ")[1])
    _check_folders(git, tree, model)
    if branch and branch not in ends_of(model):
        ends = " or ".join(sorted(ends_of(model)))
        raise ConfigError(
            f"{FILE_NAME}: {branch} is not the end of its promotions, that is {ends}",
            hint="the model stands on the branch of production, so it has to name that",
        )
    return model


def _check_folders(git: Git, tree: str, model: FileModel) -> None:
    """A folder that is not there would take all states, or all pillar, from everybody. Raises ConfigError."""
    plain = FileModel()
    for key in ("states_dir", "pillar_dir"):
        folder = getattr(model, key)
        if folder != getattr(plain, key) and not admission.commit_has_files(git, tree, folder):
            raise ConfigError(
                f"{FILE_NAME}: {key}: there is no folder {folder!r} with files in that tree",
                hint="fix the name",
            )


def ends_of(model: FileModel) -> set[str]:
    """The branches at the end of its promotions. Raises ConfigError."""
    return end_branches(build_config(FileModel(remote="/"), FILE_NAME, model))


def read(git: Git, blob: str) -> FileModel:
    """The valid model that the object `blob` holds. Raises ConfigError, GitError."""
    return _read(git.out("cat-file", "blob", blob))


@functools.lru_cache(maxsize=64)
def _read(text: str) -> FileModel:
    try:
        text.encode()
    except UnicodeEncodeError as err:
        raise ConfigError(f"{FILE_NAME} is not UTF-8 text", hint="save it as UTF-8") from err
    return check_model(text, FILE_NAME)[0]


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
