"""Which version of each formula there is where, and which are newer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from saltbranch.base.errors import RefusedError, RemoteError, SaltbranchError
from saltbranch.git.submodules import Pin
from saltbranch.history import pins
from saltbranch.history.pins import Pinned
from saltbranch.repository import formula_remote
from saltbranch.repository.formula_remote import RemoteRefs
from saltbranch.repository.formulas import Formulas, formulas_of
from saltbranch.repository.workplace import Say, Workplace


@dataclass(frozen=True, slots=True)
class FormulaRow:
    """A formula. here: its pin on what is checked out; None on a master, or where there is none.

    saltenvs: saltenv to its pin in what it is to serve; None where it has none. refs: the same of other commits.
    """

    path: str
    url: str
    here: Pinned | None
    saltenvs: dict[str, Pinned | None] = field(default_factory=dict)
    refs: dict[str, Pinned | None] = field(default_factory=dict)
    problem: str = ""

    @property
    def name(self) -> str:
        """The last part of its path."""
        return pins.short_name(self.path)

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "formula": self.name,
            "path": self.path,
            "url": self.url,
            "here": self.here.as_dict() if self.here else None,
            "saltenvs": {s: p.as_dict() if p else None for s, p in self.saltenvs.items()},
            "refs": {ref: p.as_dict() if p else None for ref, p in self.refs.items()},
            "problem": self.problem or None,
        }


@dataclass(frozen=True, slots=True)
class Outdated:
    """A formula, and the version tags that are newer than its pin, the newest first. problem: why that is not known.

    where: the saltenvs whose pin it is, or "here".
    """

    path: str
    url: str
    pin: Pinned
    newer: tuple[str, ...]
    where: tuple[str, ...]
    problem: str = ""

    @property
    def name(self) -> str:
        """The last part of its path."""
        return pins.short_name(self.path)

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "formula": self.name,
            "path": self.path,
            "url": self.url,
            "pin": self.pin.as_dict(),
            "newest": self.newer[0] if self.newer else None,
            "newer": list(self.newer),
            "where": list(self.where),
            "problem": self.problem or None,
        }


def listed(
    work: Workplace, refs: Sequence[str] = (), say: Say | None = None, *, fetch: bool = True
) -> list[FormulaRow]:
    """Every formula of what is checked out, of what the saltenvs are to serve, and of `refs`.

    fetch: pins that are not here yet are fetched. Raises UsageError, GitError.
    """
    formulas = formulas_of(work)
    source = work.place.source()
    sides = _sides(work, formulas)
    others = {ref: formulas.pins(source.find(work.config, ref).commit) for ref in refs}
    here = formulas.pins("HEAD") if work.repo.clone else {}
    every = [here, *sides.values(), *others.values()]
    rows = []
    for path in sorted({path for found in every for path in found}):
        known = [found[path] for found in every if path in found]
        problem = _bring(formulas, known, say) if fetch else ""
        looked = {pin.commit + pin.url: formulas.look(pin) for pin in _different(known)}

        def pinned(found: Mapping[str, Pin], path: str = path) -> Pinned | None:
            pin = found.get(path)
            return looked[pin.commit + pin.url] if pin else None  # noqa: B023 - called at once

        rows.append(
            FormulaRow(
                path=path,
                url=known[0].where,
                here=pinned(here),
                saltenvs={saltenv: pinned(found) for saltenv, found in sides.items()},
                refs={ref: pinned(found) for ref, found in others.items()},
                problem=problem or next((f for p in known if (f := formulas.missing(p))), ""),
            )
        )
    return rows


def _different(known: Sequence[Pin]) -> list[Pin]:
    """Each commit of each URL once."""
    return list({(pin.url, pin.commit): pin for pin in known}.values())


def _bring(formulas: Formulas, known: Sequence[Pin], say: Say | None) -> str:
    """Fetch what is missing of the pins `known`; why that failed."""
    for pin in _different(known):
        if not formulas.missing(pin):
            continue
        if pin.problem:
            return pin.problem
        try:
            formulas.fetched(pin, say)
        except (RefusedError, RemoteError) as err:
            return err.message
    return ""


def outdated(work: Workplace) -> list[Outdated]:
    """Each pin, and the version tags of its remote that are newer. In a clone those of what is checked out, on a
    master those of what the saltenvs are to serve. Raises GitError.
    """
    formulas = formulas_of(work)
    sides = {"here": formulas.pins("HEAD")} if work.repo.clone else _sides(work, formulas)
    where: dict[tuple[str, str, str], tuple[Pin, list[str]]] = {}
    for name, found in sides.items():
        for pin in found.values():
            where.setdefault((pin.path, pin.url, pin.commit), (pin, []))[1].append(name)
    asked: dict[str, RemoteRefs | str] = {}
    for pin, _ in where.values():
        if pin.url not in asked:
            asked[pin.url] = _refs_or_problem(work, formulas, pin.url)
    return [_outdated(formulas, pin, asked[pin.url], names) for pin, names in where.values()]


def _refs_or_problem(work: Workplace, formulas: Formulas, url: str) -> RemoteRefs | str:
    try:
        return formula_remote.read(work.git, formulas.address(url), work.repo.timeout)
    except SaltbranchError as err:
        return err.message


def _outdated(
    formulas: Formulas, pin: Pin, refs: RemoteRefs | str, names: Sequence[str]
) -> Outdated:
    look = formulas.look(pin)
    if isinstance(refs, str):
        return Outdated(
            path=pin.path, url=pin.where, pin=look, newer=(), where=tuple(names), problem=refs
        )
    tagged = [tag for tag, commit in refs.tags.items() if commit == pin.commit]
    own = formula_remote.newest(tagged) or formula_remote.version_in(look.name)
    newer = formula_remote.newer(refs.tags, own)
    if not tagged and formulas.missing(pin) and newer:
        return Outdated(
            path=pin.path,
            url=pin.where,
            pin=look,
            newer=(),
            where=tuple(names),
            problem=formulas.missing(pin),
        )
    return Outdated(pin.path, pin.where, look, newer, tuple(names))


def _sides(work: Workplace, formulas: Formulas) -> dict[str, dict[str, Pin]]:
    """Saltenv to the pins of what it is to serve."""
    found = {}
    for saltenv in work.config.saltenvs:
        commit = work.wanted(saltenv).commit
        known = commit is not None and work.git.commit_or_none(commit) is not None
        found[saltenv.name] = formulas.pins(commit) if commit and known else {}
    return found
