"""One minion's pillar and low chunks, made by Salt's own classes with nothing left from before.

The steps are those of `salt.state.BaseHighState.compile_low_chunks`, taken apart so that a mistake in
one sls file costs that file and is named, and so that a top file that fails to render is an error
(Salt logs it and goes on with no states).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import salt.config
import salt.exceptions
import salt.pillar
import salt.state
import salt.utils.dictupdate

from saltbranch.compiler.error_texts import (
    NO_STATES,
    PILLAR,
    PILLAR_UNMATCHED,
    TOP_BROKEN,
    TOP_FILE,
    UNMATCHED,
)
from saltbranch.compiler.inside import ext_pillar as external
from saltbranch.compiler.master_options import TAKEN_OVER

# Stands in a pillar that would be empty, so that Salt takes it for one.
_NOBODYS_KEY = "saltbranch nothing"


def base_options(folders: Mapping[str, str], master: Mapping[str, Any]) -> dict[str, Any]:
    """The options that all minions share. folders: `states`, `pillar`, `tops` and `cache`."""
    overrides = {
        "id": "compile",
        "root_dir": "/",
        "conf_file": f"{folders['cache']}/minion",
        "cachedir": folders["cache"],
        "extension_modules": f"{folders['cache']}/extmods",
        "pki_dir": f"{folders['cache']}/pki",
        "sock_dir": f"{folders['cache']}/run",
        "file_client": "local",
        "local": True,
        "module_dirs": [folders["states"]],
        "autoload_dynamic_modules": False,
        "enable_fqdns_grains": False,
        "gpg_decrypt_must_succeed": False,
        "ext_pillar": [],
        "pillar_cache": False,
        "multiprocessing": False,
        **{key: master[key] for key in (*TAKEN_OVER, "ext_pillar") if key in master},
    }
    opts: dict[str, Any] = salt.config.apply_minion_config(
        overrides, salt.config.DEFAULT_MINION_OPTS.copy(), minion_id="compile"
    )
    return opts


def minion_options(
    base: Mapping[str, Any], minion: Mapping[str, Any], folders: Mapping[str, str]
) -> dict[str, Any]:
    """The options of one minion. What is inside `base` is shared: for a fork that ends after it."""
    opts = dict(base)
    saltenv = minion["saltenv"]
    opts.update(
        id=minion["id"],
        saltenv=saltenv,
        pillarenv=saltenv,
        grains={**minion["grains"], "id": minion["id"]},
        file_roots={saltenv: [f"{folders['tops']}/{saltenv}/states", folders["states"]]},
        pillar_roots={saltenv: [f"{folders['tops']}/{saltenv}/pillar", folders["pillar"]]},
    )
    return opts


@dataclass(slots=True)
class Outcome:
    """What Salt made of it. chunks: None when there are none to speak of.

    broken_pillar: errors of pillar files, each with its traceback: what of them is told says `pillar_errors`.
    needs_pillar: what the states are may depend on the pillar.
    """

    pillar: dict[str, Any] = field(default_factory=dict)
    chunks: list[dict[str, Any]] | None = None
    broken_pillar: list[tuple[str, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    states_matched: bool = True
    needs_pillar: bool = True


NAMES_ERRORS = f"{PILLAR}it has a key `_errors`, which Salt takes for its own errors"


class _Pillar(salt.pillar.Pillar):  # type: ignore[misc]
    """Salt's, with the stand-in for what external pillars would add, and with reasons."""

    def __init__(self, *args: Any, stand_in: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stand_in = stand_in
        self.matched: dict[str, Any] = {}
        self.external: list[str] = []
        self.names_errors = False

    def render_pillar(self, matches: Any, errors: Any = None) -> Any:
        pillar, errors = super().render_pillar(matches, errors=errors)
        self._drop_errors(pillar)
        return pillar, errors

    def _drop_errors(self, pillar: Any) -> None:
        """What a pillar file or a program calls errors would pass for Salt's own."""
        if isinstance(pillar, dict) and "_errors" in pillar:
            del pillar["_errors"]
            self.names_errors = True

    def top_matches(self, top: Any, reload: bool = False) -> Any:  # noqa: FBT001, FBT002
        self.matched = super().top_matches(top, reload)
        return self.matched

    def ext_pillar(self, pillar: Any, errors: Any = None) -> Any:
        # Salt's own code, for the names of the master's option that the configuration allows.
        with external.asked(self) as problems:
            pillar, found = super().ext_pillar(pillar, [])
        self.external += [*found, *problems]
        if self.stand_in:
            pillar = salt.utils.dictupdate.merge(
                pillar,
                copy.deepcopy(dict(self.stand_in)),
                self.merge_strategy,
                self.opts.get("renderer", "yaml"),
                self.opts.get("pillar_merge_lists", False),
            )
        self._drop_errors(pillar)
        return pillar, errors or []


def compile_minion(
    opts: dict[str, Any],
    stand_in: Mapping[str, Any],
    after: Callable[[Any, Outcome], None] | None = None,
) -> Outcome:
    """Pillar and low chunks of the minion that `opts` are about. after: called with Salt's highstate, while it can
    still be used, and what came out. Raises nothing of Salt's.
    """
    outcome = Outcome()
    _compile_pillar(opts, stand_in, outcome)
    if opts.get("pillar") is None:
        return outcome
    try:
        with salt.state.HighState(opts, initial_pillar=outcome.pillar) as highstate:
            _compile_states(highstate, outcome)
            if after is not None and outcome.chunks:
                after(highstate, outcome)
    except Exception as err:
        outcome.errors.append(f"states: {reason(err)}")
    return outcome


def compile_tops(
    opts: dict[str, Any], stand_in: Mapping[str, Any], asks_pillar: Callable[[], bool]
) -> Outcome:
    """Whether the two top files render for the minion that `opts` are about; no sls file is looked at.

    asks_pillar: whether what was read of the states by now may ask for pillar, which is compiled only then.
    Raises nothing of Salt's.
    """
    outcome = Outcome(needs_pillar=False)
    try:
        compiler = _compiler_of(opts, stand_in)
        top, errors = compiler.get_top()
        compiler.top_matches(top)
    except Exception as err:
        outcome.broken_pillar.append((reason(err), str(err)))
    else:
        outcome.broken_pillar += map(_broken, errors)
    # One that is not empty, or Salt would compile it.
    found = _state_top(opts, {_NOBODYS_KEY: None})
    if asks_pillar():
        compiled = Outcome()
        _compile_pillar(opts, stand_in, compiled)
        outcome.pillar, outcome.needs_pillar = compiled.pillar, True
        found = _state_top(opts, compiled.pillar or {_NOBODYS_KEY: None})
    outcome.errors += found.errors
    outcome.states_matched = found.states_matched
    return outcome


def _state_top(opts: Mapping[str, Any], pillar: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    try:
        with salt.state.HighState({**opts, "pillar": pillar}, initial_pillar=pillar) as highstate:
            found = _matches_of(highstate, outcome)
    except Exception as err:
        outcome.errors.append(f"states: {reason(err)}")
    else:
        outcome.states_matched = found is None or any(found[1].values())
    return outcome


def _broken(error: object) -> tuple[str, str]:
    return shortened(str(error)), str(error)


def _compiler_of(opts: dict[str, Any], stand_in: Mapping[str, Any]) -> _Pillar:
    compiler = _Pillar(
        opts,
        opts["grains"],
        opts["id"],
        opts["saltenv"],
        pillarenv=opts["pillarenv"],
        stand_in=stand_in,
    )
    compiler.opts["pillar_safe_render_error"] = False  # say why; only the kind is told
    return compiler


def _compile_pillar(opts: dict[str, Any], stand_in: Mapping[str, Any], outcome: Outcome) -> None:
    try:
        compiler = _compiler_of(opts, stand_in)
        pillar = compiler.compile_pillar()
    except Exception as err:
        outcome.broken_pillar.append((reason(err), str(err)))
        pillar = copy.deepcopy(dict(stand_in))
    else:
        if not any(compiler.matched.values()):
            outcome.notes.append(f"{PILLAR_UNMATCHED}matches this minion")
        outcome.errors += [f"{PILLAR}{shortened(problem)}" for problem in compiler.external]
        if compiler.names_errors:
            outcome.errors.append(NAMES_ERRORS)
    outcome.broken_pillar += map(_broken, pillar.pop("_errors", []))
    outcome.pillar = pillar
    opts["pillar"] = pillar


def _compile_states(highstate: Any, outcome: Outcome) -> None:
    found = _matches_of(highstate, outcome)
    if found is None:
        return
    tops, matches = found
    if not any(matches.values()):
        outcome.states_matched = False
        empty = not any(body for env in tops.values() for page in env for body in page.values())
        outcome.notes.append(
            f"{NO_STATES}for any minion of this saltenv"
            if empty
            else f"{UNMATCHED}matches this minion"
        )
    high, errors = highstate.render_highstate(matches)
    _finish(highstate.state, high, errors, outcome)


def _matches_of(highstate: Any, outcome: Outcome) -> tuple[Any, Any] | None:
    """The top files, and what they name for this minion; None where they do not render."""
    try:
        tops = highstate.get_tops()
        top = highstate.merge_tops(tops)
        problems = highstate.verify_tops(top)
    except Exception as err:
        outcome.errors.append(f"{TOP_BROKEN}{reason(err)}")
        return None
    outcome.errors += [f"{TOP_FILE}{shortened(str(problem))}" for problem in problems]
    try:
        return tops, highstate.top_matches(top)
    except Exception as err:
        outcome.errors.append(f"{TOP_FILE}{reason(err)}")
        return None


def _finish(state: Any, high: Any, errors: list[Any], outcome: Outcome) -> None:
    """From high data to low chunks (salt/state.py, compile_low_chunks), going on after errors."""
    said = [*errors]
    try:
        high, more = state.reconcile_extend(high)
        said += more
        said += state.verify_high(high)
        high, more = state.requisite_in(high)
        said += more
        high = state.apply_exclude(high)
        chunks = state.compile_high_data(high)
        if isinstance(chunks, tuple):  # Salt 3008 finds requisites that are missing here
            chunks, more = chunks
            said += more
    except Exception as err:
        if not said:
            said.append(f"states: {reason(err)}")
        chunks = []
    outcome.errors += list(dict.fromkeys(shortened(str(error)) for error in said))
    if chunks or not said:
        outcome.chunks = chunks


def reason(err: BaseException) -> str:
    """The first thing that says what is wrong, without the text around it, which may be secret."""
    return shortened(str(err) or type(err).__name__)


def shortened(text: str) -> str:
    """An error of Salt's without the excerpt of rendered text and without tracebacks."""
    head, _, trace = text.partition("Traceback (most recent call last):")
    lines = []
    for line in head.splitlines():
        if line.strip() == "---":
            break
        if "Traceback (most recent" in line:  # of the py renderer: what it ends with says it
            place = re.findall(r'File "[^"]+\.sls", line ([0-9]+)', text)
            lines.append(line.partition("Traceback")[0] + text.strip().splitlines()[-1].strip())
            return " ".join(lines) + (f"; line {place[-1]}" if place else "")
        if line.strip():
            lines.append(line.strip())
    if trace.strip() and (not lines or lines[-1].endswith(":")):
        lines.append(trace.strip().splitlines()[-1].strip())  # which says it
    return " ".join(lines)
