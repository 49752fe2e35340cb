"""Completion of words: from what the local repository knows; the network is not touched, and nothing is said."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from saltbranch.base.errors import SaltbranchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from saltbranch.git.submodules import Pin
    from saltbranch.repository.workplace import Workplace


def tags(incomplete: str) -> list[str]:
    """The remote's tags, as last read."""
    work = _workplace()
    return _fitting(work.refs.tags, incomplete) if work else []


def branches(incomplete: str) -> list[str]:
    """The remote's branches, as last read."""
    work = _workplace()
    return _fitting(work.refs.branches, incomplete) if work else []


def labs_and_branches(incomplete: str) -> list[str]:
    """The labs that the journal says are in use, and their branches."""
    from saltbranch.config.labs import name_of

    work = _workplace()
    if work is None:
        return []
    claims = [c for c in work.state.labs.values() if work.now < c.until]
    names = [name_of(claim.number) for claim in claims]
    return _fitting([*names, *(claim.branch for claim in claims)], incomplete)


def minion_ids(incomplete: str) -> list[str]:
    """The minions whose keys the master of this machine has accepted."""
    from saltbranch.salt_master import options

    work = _workplace()
    if work is None or not work.serves:
        return []
    with contextlib.suppress(SaltbranchError, OSError):
        return _fitting(options.read(work.config.salt_config).accepted_minions(), incomplete)
    return []


def promotions(incomplete: str) -> list[str]:
    """The ids of promotions in the journal, the newest first."""
    work = _workplace()
    return _fitting(_ids(work), incomplete) if work else []


def formula_names(incomplete: str) -> list[str]:
    """The formulas of what is checked out, as people call them; where that is not enough, by their paths."""
    from saltbranch.history.pins import short_name

    paths = [pin.path for pin in _pins()]
    names = [short_name(path) for path in paths]
    return _fitting(
        [n if names.count(n) == 1 else p for n, p in zip(names, paths, strict=True)], incomplete
    )


def formula_tags(incomplete: str) -> list[str]:
    """The version tags of formulas that are here, the newest first."""
    from saltbranch.base.versions import ordered
    from saltbranch.repository.formulas import formulas_of

    work = _workplace()
    if work is None:
        return []
    with contextlib.suppress(SaltbranchError, OSError):
        formulas = formulas_of(work)
        return _fitting(ordered({tag for pin in _pins() for tag in formulas.tags(pin)}), incomplete)
    return []


def _pins() -> list[Pin]:
    """The formulas of what is checked out."""
    from saltbranch.repository.formulas import formulas_of

    work = _workplace()
    if work is None or work.repo.clone is None:
        return []
    with contextlib.suppress(SaltbranchError, OSError):
        return list(formulas_of(work).pins("HEAD").values())
    return []


def points(incomplete: str) -> list[str]:
    """Whatever names a commit: tags, branches, promotions."""
    work = _workplace()
    return _fitting([*work.refs.tags, *work.refs.branches, *_ids(work)], incomplete) if work else []


def _workplace() -> Workplace | None:
    """What a verb without --config would work in; None where there is nothing of the kind."""
    from saltbranch.repository.workplace import open_workplace

    with contextlib.suppress(SaltbranchError, OSError):
        return open_workplace(None, fetch=False)
    return None


def _ids(work: Workplace) -> list[str]:
    return [p.id for p in reversed(work.state.promotions)]


def _fitting(words: Iterable[str], incomplete: str) -> list[str]:
    """A name with a character that the shell or the terminal would act on is left out."""
    return [w for w in words if w.startswith(incomplete) and w.isprintable() and " " not in w]
