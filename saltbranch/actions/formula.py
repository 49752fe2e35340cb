"""formula: state code of other repositories, each pinned by a git submodule of the control repository."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from saltbranch.actions.shared import formula_versions
from saltbranch.actions.shared.caller import Caller, Opener
from saltbranch.actions.shared.formula_versions import FormulaRow, Outdated
from saltbranch.base.errors import RefusedError, SaltbranchError, UsageError
from saltbranch.base.text import many, one_line, some
from saltbranch.git import identity, signing
from saltbranch.git.program import Git, quoted
from saltbranch.git.submodules import Pin
from saltbranch.history import pins
from saltbranch.history.pins import FORWARD, FormulaChange
from saltbranch.promote import topic_branch
from saltbranch.repository import formula_remote, formula_work_tree, pin_commit
from saltbranch.repository.formula_remote import RemoteRefs
from saltbranch.repository.formulas import Formulas, formulas_of
from saltbranch.repository.pin_commit import PinEdit
from saltbranch.repository.workplace import Say, Workplace

FOLDER = "formulas"
_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Changed:
    """A pin that was committed. commit: None where nothing had to change. notes: what is left to do or to know."""

    verb: str
    branch: str
    commit: str | None
    change: FormulaChange
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {
            "version": 1,
            "verb": self.verb,
            "branch": self.branch,
            "commit": self.commit,
            **self.change.as_dict(),
            "notes": list(self.notes),
        }


def add(
    caller: Caller[None], url: str, *, path: str | None = None, at: str | None = None
) -> Changed:
    """Pin the repository `url` at `path` and commit that on the topic branch that is checked out.

    at: a tag, a branch or a commit; else the newest version tag, else the head of the default branch.
    Raises SaltbranchError.
    """
    work = caller.open()
    with caller.watching() as watcher:
        return _add(work, url, path=path, at=at, say=watcher.say, ask=caller.has_person)


def _add(
    work: Workplace, url: str, *, path: str | None, at: str | None, say: Say | None, ask: bool
) -> Changed:
    clone, branch = _topic(work)
    formulas = formulas_of(work)
    address = formulas.address(url)
    path = path.rstrip("/") if path else f"{FOLDER}/{_name_of(url)}"
    if problem := pin_commit.path_problem(clone, path):
        raise UsageError(f"{path!r} is no place for a formula: {problem}", hint="name one: --path")
    known = formulas.pins("HEAD")
    there = known.get(path)
    if there is None:
        _refuse_taken(clone, known, path)
    elif there.url != url:
        raise RefusedError(
            f"there is a formula at {path} already, of {there.url}",
            hint="choose another --path, or remove that one: saltbranch formula remove "
            + quoted(path),
        )
    commit = formula_remote.chosen(formula_remote.read(clone, address, work.repo.timeout), at)
    name = there.name if there else formulas.free_name(path, address.url)
    pin = Pin(path, commit, name, url, address)
    new = formulas.fetched(pin, say)
    if there is not None and there.commit != commit:
        raise RefusedError(
            f"there is a formula at {path} already, pinned to another commit",
            hint=f"saltbranch formula update {pins.short_name(path)}",
        )
    change = FormulaChange(path, url, None, new, pins.ADDED)
    made = None
    if there is None:
        edit = PinEdit(path, pin.name, commit, url)
        made = _commit(
            work, clone, edit, _message(change, f"Formula {change.name}: {new.name}"), ask=ask
        )
    notes = formula_work_tree.check_out(clone, pin, work.repo.timeout, say)
    return Changed("add", branch, made, change, (*change.warnings, *notes))


def update(
    caller: Caller[None], name: str | None = None, *, to: str | None = None
) -> list[Changed]:
    """Move the pin of the formula `name`, of all where there is none, to its newest version tag or to `to`.

    A commit each, whose message lists what came. Raises SaltbranchError.
    """
    work = caller.open()
    with caller.watching() as watcher:
        return _update_each(work, name, to=to, say=watcher.say, ask=caller.has_person)


def _update_each(
    work: Workplace, name: str | None, *, to: str | None, say: Say | None, ask: bool
) -> list[Changed]:
    clone, branch = _topic(work)
    formulas = formulas_of(work)
    known = formulas.pins("HEAD")
    if to and not name and len(known) != 1:
        raise UsageError("--to is for one formula", hint=f"which one? {some(_names(known))}")
    chosen = [_named(known, name)] if name else list(known.values())
    for pin in chosen:  # before anything is committed
        if pin.problem:
            raise RefusedError(
                f"the formula {pin.path}: {pin.problem}", hint="fix its entry in .gitmodules first"
            )
        formula_work_tree.refuse_own_changes(clone, pin)
    found: list[Changed] = []
    for pin in chosen:
        try:
            found.append(_update(work, formulas, clone, branch, pin, to=to, say=say, ask=ask))
        except SaltbranchError as err:
            if done := [c.change.name for c in found if c.commit]:
                begin = f"{err.hint}; " if err.hint else ""
                err.hint = f"{begin}committed before that: {some(done)}"
            raise
    return found


def _update(
    work: Workplace, formulas: Formulas, clone: Git, branch: str, pin: Pin, *, to: str | None,
    say: Say | None, ask: bool,
) -> Changed:  # fmt: skip
    refs = formula_remote.read(clone, formulas.address(pin.url), work.repo.timeout)
    commit = formula_remote.chosen(refs, to)
    moved = pin.moved(commit)
    formulas.fetched(moved, say)
    formulas.fetched(pin, say, optional=True)
    change = formulas.change(pin, moved)
    if commit == pin.commit or (to is None and change.move not in (FORWARD, pins.UNKNOWN)):
        same = FormulaChange(pin.path, pin.url, change.old, change.old, FORWARD)
        why = (
            ""
            if commit == pin.commit
            else f"{change.text}: not taken without --to {_said(to, refs)}"
        )
        return Changed("update", branch, None, same, (why,) if why else ())
    edit = PinEdit(pin.path, pin.name, commit)
    text = _message(change, f"Formula {change.text.partition(',')[0]}")
    made = _commit(work, clone, edit, text, ask=ask)
    notes: Sequence[str] = ()
    if formula_work_tree.is_checked_out(clone, pin.path):
        notes = formula_work_tree.check_out(clone, moved, work.repo.timeout, say)
    return Changed("update", branch, made, change, (*change.warnings, *notes))


def _said(to: str | None, refs: RemoteRefs) -> str:
    return quoted(to or formula_remote.newest(refs.tags) or "COMMIT")


def remove(caller: Caller[None], name: str) -> Changed:
    """Take the formula `name` out of the branch that is checked out. Raises SaltbranchError."""
    work, ask = caller.open(), caller.has_person
    clone, branch = _topic(work)
    formulas = formulas_of(work)
    pin = _named(formulas.pins("HEAD"), name)
    formula_work_tree.refuse_own_changes(clone, pin)
    change = FormulaChange(pin.path, pin.url, formulas.look(pin), None, pins.REMOVED)
    edit = PinEdit(pin.path, pin.name, None)
    pin_commit.check(clone, work.git, edit)
    formula_work_tree.leave(clone, pin.path)
    made = _commit(work, clone, edit, _message(change, f"Formula {change.name}: removed"), ask=ask)
    formula_work_tree.remove_folder(clone, pin.path)
    links = _links_to(clone, pin.path)
    notes = [f"links still lead there: {some(links)}"] if links else []
    return Changed("remove", branch, made, change, tuple(notes))


def listed(
    opener: Opener, refs: Sequence[str] = (), *, fetch: bool = True
) -> tuple[Workplace, list[FormulaRow]]:
    """Every formula, and its versions in saltenvs and `refs`. Raises SaltbranchError."""
    work = opener.open(fetch=fetch)
    with opener.watching() as watcher:
        return work, formula_versions.listed(work, refs, watcher.say, fetch=fetch)


def outdated(opener: Opener) -> list[Outdated]:
    """The formulas, and which version tags of their remotes are newer. Raises SaltbranchError."""
    return formula_versions.outdated(opener.open(fetch=False))


# What is committed


def _topic(work: Workplace) -> tuple[Git, str]:
    """git in the clone, and the branch to commit on. Raises RefusedError."""
    clone = topic_branch.writable_clone(work)
    branch = topic_branch.current_branch(clone)
    prefix = work.config.flow.feature
    hint = f"saltbranch feature start formula (makes {prefix}formula), then again"
    if branch is None:
        raise RefusedError(
            f"HEAD is detached in {clone.directory}: no branch to commit on", hint=hint
        )
    kept = {s.branch for s in work.config.saltenvs} | {work.config.source.branch}
    if branch in kept:
        raise RefusedError(
            f"{branch} is what a saltenv gets: formulas change on a branch of their own", hint=hint
        )
    return clone, branch


def _commit(work: Workplace, clone: Git, edit: PinEdit, message: str, *, ask: bool) -> str:
    identity.check_person(work.git)
    with signing.signer(work.git, ask=ask) as signed:
        return pin_commit.write(clone, work.git, edit, message, signed)


def _message(change: FormulaChange, subject: str) -> str:
    """What was decided, and what comes with it; its lines are set off, for they are another repository's."""
    lines = [one_line(subject), ""]
    if change.commits:
        lines.append(f"{many(change.count, 'commit')}:")
        lines += [f"  {c.commit[:12]} {c.subject} ({c.author})" for c in change.commits[:_SHOWN]]
        if change.count > len(change.commits[:_SHOWN]):
            lines.append(f"  and {change.count - len(change.commits[:_SHOWN])} more")
        lines.append("")
    pin = change.new
    lines.append(f"Formula: {one_line(change.path)} {pin.commit if pin else 'removed'}")
    return "\n".join(lines) + "\n"


def _name_of(url: str) -> str:
    """The last part of a URL as people call the formula. Raises UsageError."""
    last = url.rstrip("/").replace(":", "/").rpartition("/")[2].removesuffix(".git")
    name = last.removesuffix("-formula") or last
    if not name.strip("."):
        raise UsageError(
            f"{url!r} does not say what to call it", hint="name a place: --path formulas/NAME"
        )
    return name


def _refuse_taken(clone: Git, known: dict[str, Pin], path: str) -> None:
    for other in known:
        if path.startswith(f"{other}/") or other.startswith(f"{path}/"):
            raise RefusedError(f"{path} and the formula {other} exclude each other", hint="--path")
    at = f"{clone.directory}/{path}"
    staged = clone.out("ls-files", "--stage", "-z", "--full-name", "--", f":(top,literal){path}")
    if staged.startswith("160000 ") and formula_work_tree.is_checked_out(clone, path):
        return  # a run that was killed before its commit
    if os.path.lexists(at) and (os.path.islink(at) or not os.path.isdir(at) or os.listdir(at)):
        raise RefusedError(f"{at} is there already", hint="choose another --path, or move it away")


def _names(known: dict[str, Pin]) -> list[str]:
    return [pins.short_name(path) for path in known]


def _named(known: dict[str, Pin], name: str) -> Pin:
    """The formula that `name` means: its path, the last part of it, or the submodule's name. Raises UsageError."""
    name = name.rstrip("/")
    if name in known:
        return known[name]
    fitting = [p for p in known.values() if name in (pins.short_name(p.path), p.name)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UsageError(
            f"{name!r} may be each of {some([p.path for p in fitting])}", hint="name its path"
        )
    raise UsageError(
        f"there is no formula {name!r} on what is checked out",
        hint=f"there is: {some(_names(known))}" if known else "saltbranch formula add URL",
    )


def _links_to(clone: Git, path: str) -> list[str]:
    """The symlinks of HEAD that lead to what was at `path`."""
    return sorted(link for link, end in _links(clone) if f"{end}/".startswith(f"{path}/"))


def _links(clone: Git) -> Iterator[tuple[str, str]]:
    from saltbranch.git import links, tree

    rows = clone.out("ls-tree", "-r", "-z", "--full-tree", "HEAD", "--").split("\0")
    parsed = [row.partition("\t") for row in rows if row.startswith("120000 ")]
    found = {path: meta.split(" ")[2] for meta, _, path in parsed}
    held = tree.contents(clone, found.values()) if found else {}
    for path, oid in found.items():
        end = links.target(path, os.fsdecode(held[oid]))
        if end is not None:
            yield path, end
