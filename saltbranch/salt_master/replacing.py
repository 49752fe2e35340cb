"""What of the salt-master's present configuration ends with the option file that saltbranch would write. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saltbranch.base.text import some
from saltbranch.config import minions as targets
from saltbranch.config.model import Config
from saltbranch.salt_master import config_file

Options = Mapping[str, Any]
Roots = Mapping[str, tuple[str, ...]]
Places = Mapping[str, Sequence[str]]

ROOTS = ("file_roots", "pillar_roots")
_MOST = 50  # minions that are named to people


@dataclass(frozen=True, slots=True)
class EndingRoot:
    """A folder that Salt serves now and would not serve afterwards. option: file_roots or pillar_roots.

    files: those that name it; none: it is Salt's default.
    """

    option: str
    saltenv: str
    folder: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChangedOption:
    """An option that somebody has set, and that would be another one afterwards."""

    option: str
    old: object
    new: object
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Replacing:
    """What would end. unclaimed: ids of accepted minions that no saltenv claims. notes: what stays beside it.

    unclaimed is empty too where it could not be found out, which is among the notes.
    """

    roots: tuple[EndingRoot, ...] = ()
    options: tuple[ChangedOption, ...] = ()
    unclaimed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ends_anything(self) -> bool:
        """Whether somebody has to agree to it."""
        return bool(self.roots or self.options)

    def lines(self) -> list[str]:
        """For people: one line each."""
        found = [
            f"{r.option} of saltenv {r.saltenv}: {r.folder} ends ({some(r.files) or 'by default'})"
            for r in self.roots
        ]
        found += [
            f"{o.option}: {o.old!r} becomes {o.new!r} ({some(o.files)})" for o in self.options
        ]
        if self.unclaimed:
            found.append(
                f"accepted minions that no saltenv claims ({len(self.unclaimed)}), with neither states nor pillar from"
                f" saltbranch: {some(self.unclaimed, _MOST)}"
            )
        return [*found, *self.notes]

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "roots": [
                {"option": r.option, "saltenv": r.saltenv, "folder": r.folder, "files": [*r.files]}
                for r in self.roots
            ],
            "options": [
                {"option": o.option, "old": o.old, "new": o.new, "files": [*o.files]}
                for o in self.options
            ],
            "unclaimed": list(self.unclaimed),
            "notes": list(self.notes),
        }


def find_roots(
    before: Options,
    after: Options,
    *,
    own: Options,
    places: Places,
    defaults: Options,
    is_used: Callable[[str], bool],
) -> tuple[EndingRoot, ...]:
    """The folders of `before` that `after` lacks in the same saltenv.

    before, after: the options that the files give, merged. own: those of a file of this set-up that is there
    already, whose folders are nobody else's. places: option to the files that set it. defaults: Salt's own options.
    is_used: whether there is anything in a folder that nobody has named, but Salt serves by default.
    """
    found = []
    for option in ROOTS:
        explicit = option in places
        default = _roots(defaults.get(option), {})
        later = _roots(after.get(option), default)
        mine = _roots(own.get(option), {})
        for saltenv, folder in _pairs(_roots(before.get(option), default)):
            if folder in later.get(saltenv, ()) or folder in mine.get(saltenv, ()):
                continue
            if explicit or is_used(folder):
                found.append(EndingRoot(option, saltenv, folder, tuple(places.get(option, ()))))
    return tuple(found)


def find_options(before: Options, after: Options, places: Places) -> tuple[ChangedOption, ...]:
    """The options that saltbranch sets where somebody has set something else. places: without saltbranch's file."""
    return tuple(
        ChangedOption(option, before[option], after.get(option), tuple(places[option]))
        for option in config_file.OPTIONS
        if option in places and option in before and before[option] != after.get(option)
    )


def unclaimed(accepted: Sequence[str], config: Config, nodegroups: Options) -> tuple[str, ...]:
    """The ids of `accepted` that no saltenv of the model claims, those of other machines included."""
    groups = {s.name: s.minions for s in (*config.saltenvs, *config.elsewhere)}
    return tuple(m for m in accepted if not targets.claimed_by(m, groups, nodegroups))


def _pairs(roots: Roots) -> Iterator[tuple[str, str]]:
    for saltenv, folders in roots.items():
        for folder in folders:
            yield saltenv, folder


def _roots(value: object, default: Roots) -> Roots:
    """saltenv to folders, as Salt takes them (config/__init__.py, _validate_file_roots and _normalize_roots)."""
    if not isinstance(value, Mapping):
        return default
    return {
        str(saltenv): tuple(map(str, folders))
        for saltenv, folders in value.items()
        if isinstance(folders, (list, tuple))
    }
