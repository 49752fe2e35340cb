"""What in a minion's own configuration keeps it from getting what its saltenv serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saltbranch.base.text import some
from saltbranch.doctor.finding import Finding
from saltbranch.doctor.rules.master import dashed
from saltbranch.salt_master import top_file

# state.py, BaseHighState.__gen_opts: the master's values replace the minion's.
# pillarenv_from_saltenv is read by the master alone (pillar/__init__.py, Pillar.__init__).
_MASTER_DECIDES = (
    "state_top", "state_top_saltenv", "top_file_merging_strategy", "default_top", "env_order",
    "pillarenv_from_saltenv",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Minion:
    """The configuration of one minion.

    path: its main file. options: as they stand in the files. places: option to the files that set
    it. known: every option that Salt knows. own: the saltenv that claims it, None when none or
    nobody knows. saltenvs: all there are.
    """

    path: str
    options: Mapping[str, Any]
    id: str | None = None
    own: str | None = None
    saltenvs: Sequence[str] = ()
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    known: frozenset[str] = frozenset()

    def seen(self, option: str) -> str:
        """The option with its value and where that comes from."""
        who = f"minion {self.id}: " if self.id else ""
        where = some(self.places.get(option, (self.path,)))
        return f"{who}{option} is {self.options[option]!r} ({where})"

    def foreign(self, saltenv: object) -> bool:
        """Whether `saltenv` is surely not the minion's own."""
        return saltenv != self.own if self.own else saltenv not in self.saltenvs


def check(minion: Minion) -> list[Finding]:
    """Everything that the rules below find."""
    return [finding for rule in RULES for finding in rule(minion)]


def pinned_saltenv(minion: Minion) -> Iterator[Finding]:
    """state.py, BaseHighState.get_tops: of a pinned minion only that saltenv's top file is read."""
    for option in ("saltenv", "environment"):
        value = minion.options.get(option)
        if value is not None and minion.foreign(value):
            yield Finding(
                "minion-saltenv",
                "error",
                minion.seen(option),
                "Its highstate and its pillar come from that saltenv, which does not claim it and"
                " gives it"
                " nothing.",
                _right(minion, "saltenv"),
            )


def pinned_pillarenv(minion: Minion) -> Iterator[Finding]:
    """pillar/__init__.py, Pillar.get_tops."""
    value = minion.options.get("pillarenv")
    if value is not None and minion.foreign(value):
        yield Finding(
            "minion-pillarenv",
            "error",
            minion.seen("pillarenv"),
            "Its pillar comes from that saltenv, which does not claim it and gives it none.",
            _right(minion, "pillarenv"),
        )


def _right(minion: Minion, option: str) -> str:
    if minion.own:
        return f"remove it, or write {option}: {minion.own}; then restart the salt-minion"
    return "remove it, then restart the salt-minion"


def jinja_syntax(minion: Minion) -> Iterator[Finding]:
    """The minion renders the top files of states (utils/templates.py, render_jinja_tmpl)."""
    for option, key, value in top_file.foreign_syntax(minion.options):
        yield Finding(
            "minion-jinja-syntax",
            "error",
            f"{minion.seen(option)}: {key} is {value!r}",
            "Its Jinja does not understand the generated top files, so no highstate runs.",
            f"remove {key} from {option}, then restart the salt-minion",
        )


def own_files(minion: Minion) -> Iterator[Finding]:
    """fileclient.py, get_file_client."""
    if minion.options.get("file_client") == "local":
        yield Finding(
            "minion-file-client",
            "warning",
            minion.seen("file_client"),
            "It takes states and pillar from its own disk and never from the master.",
            "remove file_client, then restart the salt-minion",
        )


def without_effect(minion: Minion) -> Iterator[Finding]:
    """Options that look as if they did something."""
    if minion.options.get("file_client") == "local":
        return
    for option in _MASTER_DECIDES:
        if minion.options.get(option) not in (None, []):
            yield Finding(
                "minion-option-ignored",
                "note",
                minion.seen(option),
                why="It does nothing in a minion's configuration: the master's value counts.",
                fix=f"remove {option}, so that nobody relies on it",
                items=(option,),
            )


def lock_alone(minion: Minion) -> Iterator[Finding]:
    """utils/state.py, get_sls_opts: any saltenv= but the pinned one is refused."""
    if minion.options.get("lock_saltenv") and minion.options.get("saltenv") is None:
        yield Finding(
            "minion-lock-alone",
            "note",
            minion.seen("lock_saltenv"),
            "Without a saltenv beside it, the minion refuses every run that names one, its own"
            " included.",
            f"add saltenv: {minion.own or 'NAME'} beside it",
        )


def dashed_options(minion: Minion) -> Iterator[Finding]:
    """As in the master's configuration."""
    yield from dashed(minion.places, minion.known)


RULES = (
    pinned_saltenv, pinned_pillarenv, jinja_syntax, own_files, without_effect, lock_alone, dashed_options,
)  # fmt: skip
