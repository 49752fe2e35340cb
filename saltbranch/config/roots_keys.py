"""`states_dir:` and `pillar_dir:` as they stand in a file, checked."""

from __future__ import annotations

from saltbranch.base.errors import ConfigError
from saltbranch.config.roots import (
    ALL,
    HERE,
    KEYS,
    NOT_SERVED,
    PILLAR,
    STATES,
    Root,
    Roots,
    is_in,
    is_inner,
)
from saltbranch.config.values import inside

_MOST = 200


def parse(
    states: object, pillar: object, place: str, *, fleet: str = "cache", stand_in: str | None = None
) -> Roots:
    """`states_dir:` and `pillar_dir:` as they stand in the file `place`, checked. Raises ConfigError."""
    of_states, of_pillar = _entries(STATES, states, place), _entries(PILLAR, pillar, place)
    apart = [*NOT_SERVED, *(path for path in (stand_in,) if path)]
    if fleet != "cache" and (own := fleet.strip("/")):
        apart.append(own.removeprefix("./"))
    found = Roots(
        of_states,
        of_pillar,
        of_states[0].folder if isinstance(states, str) else "",
        of_pillar[0].folder if isinstance(pillar, str) else "",
        tuple(dict.fromkeys(apart)),
    )
    _check_apart(found, place)
    return found


def _entries(kind: str, value: object, place: str) -> tuple[Root, ...]:
    key = KEYS[kind]
    if isinstance(value, str):
        return (Root(inside(key, value, place)),)
    listed = value if isinstance(value, list) else [value]
    found = [root for entry in listed for root in _entry(key, entry, place)]
    if not found or len(found) > _MOST:
        raise ConfigError(
            f"{place}: {key}: {'names no folder' if not found else f'names more than {_MOST} folders'}",
            hint=f"for example {key}: {'pillar' if kind == PILLAR else '[salt, formulas/*]'}",
        )
    twice = [root.folder for root in found if [r.folder for r in found].count(root.folder) > 1]
    if twice:
        raise ConfigError(f"{place}: {key}: names {twice[0]!r} twice", hint="name it once")
    return tuple(found)


def _entry(key: str, entry: object, place: str) -> list[Root]:
    if isinstance(entry, str):
        if entry.rstrip("/") in (HERE, ""):
            raise ConfigError(
                f"{place}: {key}: all of the repository cannot be served",
                hint=f"say what of it: {key}: [{{.: [nginx, 'role-*', top.sls]}}], or {{.: ['*']}} for all"
                " folders but those of pillar, tests and the fleet",
            )
        root = Root(inside(key, entry, place))
        return [Root(root.folder, (ALL,)) if root.is_glob else root]
    if not isinstance(entry, dict):
        raise _no_entry(key, entry, place)
    return [_named(key, folder, names, place) for folder, names in entry.items()]


def _named(key: str, folder: object, names: object, place: str) -> Root:
    wanted = [names] if isinstance(names, str) else names
    if not isinstance(folder, str) or not isinstance(wanted, list) or not wanted:
        raise _no_entry(key, {folder: names}, place)
    for name in wanted:
        if (
            not isinstance(name, str)
            or "/" in name
            or name.startswith(".")
            or not name
            or any(ord(c) < 32 for c in name)
        ):
            raise ConfigError(
                f"{place}: {key}: {name!r} is no name right inside {folder!r}",
                hint="name folders and files of it, or globs of them; what begins with a dot is never served",
            )
    clean = folder.rstrip("/") or HERE
    return Root(clean if clean == HERE else inside(key, clean, place), tuple(wanted))


def _no_entry(key: str, entry: object, place: str) -> ConfigError:
    return ConfigError(
        f"{place}: {key}: {entry!r} is no folder of the repository",
        hint=f"a folder, a glob of folders, or FOLDER: [NAMES], for example {key}: [salt, formulas/*]",
    )


def _check_apart(roots: Roots, place: str) -> None:
    """Refuse pillar in what minions may read; what is composed leaves out what lies inside of it."""
    for states in roots.states:
        for pillar in roots.pillar:
            outer = is_in(states.parts, [pillar.parts]) and not pillar.names
            if outer or (roots.states_word and is_inner(states.parts, pillar.parts)):
                raise ConfigError(
                    f"{place}: states_dir {states.folder!r} and pillar_dir {pillar.folder!r} contain one another, so"
                    " every minion could read the pillar of all as salt:// files",
                    hint="keep states and pillar in two folders side by side, or say what is served:"
                    f" states_dir: [{{{states.folder}: ['*']}}]",
                )
