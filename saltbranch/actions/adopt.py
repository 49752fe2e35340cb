"""adopt: set saltbranch up beside what a salt-master serves now, and prove that it would serve the same.

Nothing that the master reads is changed: the option file that saltbranch writes for it stands aside, in the root,
until `adopt_switch.switch` moves it over.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from saltbranch.actions import adopt_causes, adopt_model, adopt_switch, init_ahead
from saltbranch.actions.adopt_model import Given, Wanted
from saltbranch.actions.adopt_switch import MoveResult
from saltbranch.actions.init import look_ahead
from saltbranch.actions.init_ahead import FirstLook
from saltbranch.actions.init_text import ROOT, SALT_CONFIG, Answers
from saltbranch.actions.sync import sync
from saltbranch.base import files
from saltbranch.base.errors import (
    EXIT_PARTIAL,
    EXIT_PENDING,
    ConfigError,
    RefusedError,
    SaltbranchError,
    UsageError,
    os_error,
)  # fmt: skip
from saltbranch.config.model import Config
from saltbranch.git.mirror import Mirror
from saltbranch.git.program import mask
from saltbranch.preview import plain_side, same_served
from saltbranch.preview.plain_side import Served
from saltbranch.preview.same_served import Proof
from saltbranch.repository.machine import load_config, read_machine_file
from saltbranch.repository.root import make_root, root_of
from saltbranch.salt_master import moved_options, process, replacing, served_now
from saltbranch.salt_master import options as master_options

Say = Callable[[str], None]
Ask = Callable[[str, tuple[str, ...]], tuple[str, ...]]
"""Asks for the minions of a saltenv; what is proposed comes with it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be adopted, by the salt-master's file, and where saltbranch is to be; None for the usual places.

    given: what somebody has decided.
    """

    config_path: str
    salt_config: str | None = None
    root: str | None = None
    group: str | None = None
    given: Given = field(default_factory=Given)


@dataclass(frozen=True, slots=True)
class AdoptResult:
    """text: of the saltbranch.yaml that would be, or was, written; None where one was kept.

    proof: None where it is only a plan. digest: of what was proven, for --accept. undecided: accepted minions that no
    saltenv has, and why. edits: the master's files that --switch would change.
    """

    config_path: str
    text: str | None
    notes: tuple[str, ...] = ()
    undecided: Mapping[str, str] = field(default_factory=dict)
    proof: Proof | None = None
    digest: str = ""
    edits: tuple[str, ...] = ()
    switched: bool = False

    @property
    def exit_code(self) -> int:
        """3 for a plan and for differences, 20 where some minion could not be compared whole."""
        if self.proof is None:
            return EXIT_PENDING
        if self.proof.unproven:
            return EXIT_PARTIAL
        return EXIT_PENDING if self.proof.differences else 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data, the shape of ``--json``."""
        return {
            "version": 1,
            "config": self.config_path,
            "text": None if self.text is None else mask(self.text),
            "notes": list(self.notes),
            "undecided": dict(self.undecided),
            "proof": self.proof.as_dict() if self.proof else None,
            "digest": self.digest or None,
            "changes": list(self.edits),
            "switched": self.switched,
        }


def adopt(
    request: Request, *, plan: bool = False, ask: Ask | None = None, say: Say | None = None
) -> AdoptResult:
    """Write the configuration unless it is there, set everything up beside what runs, and prove it.

    Where the master was moved over already, it is proven against what it was. plan: only show the configuration.
    Raises what `init` raises; RefusedError where what is served cannot be expressed.
    """
    key = secrets.token_bytes(32)
    path, salt_config = request.config_path, request.salt_config or SALT_CONFIG
    options = adopt_switch.options_now(salt_config)  # before anything is asked
    master = master_options.read(salt_config)
    if not master.exists:
        raise ConfigError(
            f"there is no salt-master here: no {salt_config}",
            hint="name the master's file with --salt-config",
        )
    former = adopt_switch.former_options(path)
    if former is None:
        adopt_switch.refuse_half_done(path)
    now = plain_side.ask(salt_config, former or {}, key, say)
    found = served_now.find({**master.opts, **(former or {})})
    accepted = master.accepted_minions()
    text: str | None = None
    undecided: Mapping[str, str] = {}
    if not os.path.exists(path):
        with FirstLook(say) as first:
            model = adopt_model.wanted(found, now, accepted, request.given, first)
            if ask and not plan:
                model = asked_for(model, request.given, ask)
            undecided = model.proposal.undecided
            text = look_ahead(path, _answers(model, request), {}, first).text
            if not plan and text:
                _set_up(request, text, first, say)
    if plan:
        return AdoptResult(path, text, (*found.notes, *now.problems), undecided)
    if former is None and text is None:
        _sync(path, say)
    config = _config(path)
    if text is None:
        init_ahead.refuse_without_effect(_flags(request), read_machine_file(path), config, path)
    _refuse_another_master(config, salt_config, is_moved=former is not None)
    inputs = {**adopt_switch.inputs_of(config), **options}
    then = plain_side.ask(salt_config, {} if former else moved_options.changes(config), key, say)
    proof = _proof(config, found, (now, then), request.given, master)
    no_grains = sorted(set(accepted) - {seen.minion for seen in now.seen.values()})
    proof = _with_unclaimed(proof, no_grains, config, master)
    notes = (*found.notes, *dict.fromkeys((*now.problems, *then.problems)), *_without(no_grains))
    edits = () if former else tuple(moved_options.edits(config))
    digest = "" if former else adopt_switch.record(config, proof, inputs)
    return AdoptResult(
        config_path=path,
        text=text,
        notes=notes,
        undecided=undecided,
        proof=proof,
        digest=digest,
        edits=edits,
        switched=former is not None,
    )


def move(
    request: Request,
    *,
    back: bool,
    accept: str | None = None,
    agree: Callable[[str], None] | None = None,
) -> MoveResult:
    """Move the master over to what was proven, or `back`. agree: asked before, raises where the answer is no.

    Raises UsageError where `request` names what is given by the proof, and what `adopt_switch` raises.
    """
    given = request.given
    typed = {
        "--salt-config": request.salt_config, **_flags(request), "--leave-out": given.leave_out,
    }  # fmt: skip
    if useless := [flag for flag, value in typed.items() if value]:
        raise UsageError(
            f"{', '.join(useless)} would have no effect with --switch or --back",
            hint="both go by what was proven: leave it out, or prove again without --switch",
        )
    if agree:
        agree("Restore the master's files" if back else "Change the master's files")
    path = request.config_path
    return adopt_switch.back(path) if back else adopt_switch.switch(path, accept=accept)


def _flags(request: Request) -> dict[str, object]:
    """What somebody has typed, as init calls it."""
    given = request.given
    flags: dict[str, object] = {
        "--remote": given.remote,
        "--root": request.root,
        "--group": request.group,
        "--states-dir": given.states_dir,
        "--pillar-dir": given.pillar_dir,
        "--branch": given.branches,
        "--minions": given.minions,
    }
    return {flag: value for flag, value in flags.items() if value}


def _set_up(request: Request, text: str, first: FirstLook, say: Say | None) -> None:
    """Write the configuration, and make mirror and checkouts. Raises what `sync` raises."""
    root = request.root or ROOT
    make_root(root)
    try:
        with files.private_umask():
            first.hand_over(root)
            os.makedirs(os.path.dirname(request.config_path), exist_ok=True)
            files.write_atomic(request.config_path, text, mode=0o640)
    except OSError as err:
        raise os_error(err) from err
    _sync(request.config_path, say)


def _sync(config_path: str, say: Say | None) -> None:
    result = sync(config_path, say=say)
    if result.exit_code:
        raise SaltbranchError(
            f"not every saltenv could be checked out: {'; '.join(s.message for s in result.saltenvs if s.message)}",
            hint="nothing that the master reads was changed; fix that, then run it again",
        )


def _with_unclaimed(
    proof: Proof, minions: Sequence[str], config: Config, master: master_options.MasterOptions
) -> Proof:
    """The proof with those of `minions` that would get nothing, and nobody knows what they get now."""
    why = "no saltenv claims it, and the master knows no grains of it"
    unclaimed = replacing.unclaimed(minions, config, master.nodegroups)
    return replace(proof, unproven={**proof.unproven, **dict.fromkeys(unclaimed, why)})


def _without(minions: Sequence[str]) -> list[str]:
    if not minions:
        return []
    return [f"not compared, since the master knows no grains of them: {', '.join(minions)}"]


def asked_for(model: Wanted, given: Given, ask: Ask) -> Wanted:
    """The model with the minions that somebody says, of each saltenv for which nobody has said them already."""
    minions = {
        saltenv: globs if saltenv in given.minions else ask(saltenv, globs)
        for saltenv, globs in model.proposal.minions.items()
    }
    return replace(model, proposal=replace(model.proposal, minions=minions))


def _answers(model: Wanted, request: Request) -> Answers:
    return Answers(
        remote=model.remote,
        root=request.root or ROOT,
        master_config=adopt_switch.aside(request.root or ROOT),
        salt_config=request.salt_config or SALT_CONFIG,
        states_dir=model.layout.states,
        pillar_dir=model.layout.pillar,
        group=request.group,
        extra_roots=model.layout.extra_roots,
        submodules=model.layout.submodules,
        branches=model.branches,
        minions=model.proposal.minions,
    )


def _config(path: str) -> Config:
    mirror = Mirror(root_of(path))
    return load_config(path, mirror, mirror.branches())


def _refuse_another_master(config: Config, salt_config: str, *, is_moved: bool) -> None:
    if not is_moved and not config.master_config.endswith(process.ASIDE):
        raise RefusedError(
            f"{config.path} is there already, and serves by {config.master_config}: there is nothing to adopt",
            hint="see what it serves with: saltbranch status",
        )
    if os.path.realpath(config.salt_config) != os.path.realpath(salt_config):
        raise RefusedError(
            f"{config.path} is there already, for the salt-master of {config.salt_config}",
            hint=f"name that one with --salt-config {config.salt_config}, or another file with --config",
        )


def _proof(
    config: Config,
    found: served_now.Found,
    sides: tuple[Served, Served],
    given: Given,
    master: master_options.MasterOptions,
) -> Proof:
    causes = adopt_causes.Causes(config, found, sides, master.nodegroups)
    return same_served.compare(
        *sides,
        tuple(s.name for s in config.saltenvs),
        left_out=given.leaves_out,
        file_cause=causes.of_file,
        minion_cause=causes.of_minion,
    )
