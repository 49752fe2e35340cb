"""adopt --switch and --back: move a salt-master over to what was proven, and back to what it was, byte for byte."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from typing import Any

from saltbranch.actions.adopt_causes import served_commit
from saltbranch.base import files
from saltbranch.base.errors import RefusedError, SaltbranchError, os_error
from saltbranch.config.model import Config
from saltbranch.git.mirror import Mirror
from saltbranch.preview.same_served import Proof
from saltbranch.repository.machine import load_config, read_machine_file
from saltbranch.repository.root import root_of
from saltbranch.salt_master import moved_options, moving, option_files, process
from saltbranch.salt_master import options as master_options
from saltbranch.serve.salt_files import refuse_foreign

RESTART = "Restart the salt-master: systemctl restart salt-master"
_KEY = re.compile(r"^master_config:.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MoveResult:
    """action: switch or back. changed: files that were written or restored. left: what a person has to do now.

    edited: path to where what somebody wrote into it since the switch is kept.
    """

    action: str
    changed: tuple[str, ...]
    left: tuple[str, ...]
    edited: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, the shape of ``--json``."""
        return {
            "version": 1,
            "action": self.action,
            "changed": list(self.changed),
            "edited": self.edited,
            "left": list(self.left),
        }


def aside(root: str) -> str:
    """Where the option file of saltbranch stands before the switch: nowhere that Salt looks."""
    return f"{os.path.normpath(root)}{process.ASIDE}"


def _backup(root: str) -> str:
    return f"{root}/adopt/backup"


def _root(config_path: str) -> str:
    return os.path.normpath(read_machine_file(config_path).root)


def former_options(config_path: str) -> dict[str, Any] | None:
    """The options of the master before it was moved over; None where it was not, or not wholly."""
    if not os.path.exists(config_path):
        return None
    data = files.read_or_none(f"{_root(config_path)}/adopt/former")
    return dict(json.loads(data)) if data else None


def refuse_half_done(config_path: str) -> None:
    """Refuse to prove anything where a switch or a way back was cut off. Raises RefusedError."""
    if os.path.exists(config_path) and moving.has_begun(_backup(_root(config_path))):
        raise RefusedError(
            "a switch of this master was cut off in the middle",
            hint="go back first: saltbranch adopt --back",
        )


def record(config: Config, proof: Proof, inputs: dict[str, str]) -> str:
    """Remember what was proven of `inputs`, as they were before that; its digest. Raises SaltbranchError."""
    told = {"inputs": inputs, "proof": proof.as_dict()}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
    is_same = not proof.differences and not proof.unproven
    text = json.dumps({"version": 1, "digest": digest, "same": is_same, "inputs": inputs}, indent=1)
    try:
        os.makedirs(f"{config.root}/adopt", mode=0o750, exist_ok=True)
        files.write_atomic(f"{config.root}/adopt/proof", text, mode=0o600)
    except OSError as err:
        raise os_error(err) from err
    return digest


def inputs_of(config: Config) -> dict[str, str]:
    """What a proof is about: files of options, our configuration, commits; each with what tells its version."""
    found = {**_digests([config.path]), **options_now(config.salt_config)}
    return found | {f"commit of {s.name}": served_commit(config, s.name) for s in config.saltenvs}


def options_now(salt_config: str) -> dict[str, str]:
    """The master's files of options, each with a digest of what it holds."""
    found = option_files.read(salt_config, option_files.MASTER_INCLUDE)
    return _digests([file.path for file in found])


def _digests(paths: list[str]) -> dict[str, str]:
    return {path: hashlib.sha256(files.read_or_none(path) or b"").hexdigest() for path in paths}


def target_of(config: Config) -> str:
    """Where the option file of saltbranch goes: beside those that the master includes by default."""
    main = option_files.read(config.salt_config, option_files.MASTER_INCLUDE)[0]
    pattern = str(main.options.get("default_include", option_files.MASTER_INCLUDE))
    folder = os.path.dirname(os.path.join(os.path.dirname(config.salt_config), pattern))
    return f"{folder}/saltbranch.conf"


def switch(config_path: str, *, accept: str | None = None, wait: float = 0) -> MoveResult:
    """Move the master's files over to what was proven. accept: digest of a proof with differences that may be.

    Raises RefusedError where that is not what was proven, ConfigError, SaltError, LockedError; nothing is changed then.
    """
    root = root_of(config_path)
    with files.Lock(f"{root}/lock", wait=wait):
        if former_options(config_path) is not None:
            raise RefusedError(
                "this master was moved over already", hint="to go back: saltbranch adopt --back"
            )
        if moving.has_begun(_backup(root)):
            moving.restore(_backup(root))  # one that was cut off: begin anew
        mirror = Mirror(root)
        config = load_config(config_path, mirror, mirror.branches())
        _check_proof(config, accept)
        try:
            changed = _move(config)
        except (OSError, SaltbranchError) as err:
            if moving.has_begun(_backup(root)):
                moving.restore(_backup(root))
            raise os_error(err) if isinstance(err, OSError) else err from err
    left = (
        RESTART,
        "Let a timer run the sync: saltbranch install",
        "To go back: saltbranch adopt --back",
    )
    return MoveResult("switch", tuple(changed), left)


def _check_proof(config: Config, accept: str | None) -> None:
    data = files.read_or_none(f"{config.root}/adopt/proof")
    if not data:
        raise RefusedError("nothing was proven yet", hint="prove it first: saltbranch adopt")
    proof = json.loads(data)
    now = inputs_of(config)
    keys = dict.fromkeys((*proof["inputs"], *now))
    other = [key for key in keys if proof["inputs"].get(key) != now.get(key)]
    if other:
        raise RefusedError(
            f"since the proof this changed: {', '.join(other)}",
            hint="prove it again: saltbranch adopt",
        )
    if not proof["same"] and accept != proof["digest"]:
        raise RefusedError(
            "the proof has differences"
            + (f", and its digest is {proof['digest']}, not {accept}" if accept else ""),
            hint="see them with: saltbranch adopt; if they are meant: saltbranch adopt --switch --accept DIGEST",
        )


def _move(config: Config) -> list[str]:
    """Write everything; the paths. Raises OSError, RefusedError."""
    target, root = target_of(config), config.root
    refuse_foreign(target)
    if os.path.lexists(target):
        raise RefusedError(
            f"{target} is there already, from another set-up of saltbranch", hint="move it away"
        )
    edits = moved_options.edits(config)
    ours, proven = moved_options.our_text(config), moved_options.changes(config)
    own = (files.read_or_none(config.path) or b"").decode("utf-8", "surrogateescape")
    new_own = _KEY.sub(lambda _: f"master_config: {json.dumps(target)}", own, count=1)
    before = master_options.read(config.salt_config).opts
    former = {key: before.get(key) for key in (*proven, "gitfs_remotes")}
    wanted = {target: [ours], **{path: [text] for path, text in edits.items()}}
    moving.keep(_backup(root), {**wanted, config.path: [new_own]})
    # Ours comes first: a master that is started in between serves both, and never nothing.
    moving.write(target, ours, 0o644)
    for path, text in edits.items():
        moving.write(path, text, 0o644)
    moving.write(config.path, new_own, 0o640)
    after = master_options.read(config.salt_config).opts
    other = [key for key, value in proven.items() if (after.get(key) or None) != (value or None)]
    if other:
        raise RefusedError(
            f"with its files moved over, the master would have other options than were proven: {', '.join(other)};"
            " everything is as it was",
            hint="another file of the master sets them, too: take them out there, then prove it again",
        )
    files.write_atomic(f"{root}/adopt/former", json.dumps(former, default=str), mode=0o600)
    files.unlink(aside(root))
    return [*wanted, config.path]


def back(config_path: str, *, wait: float = 0) -> MoveResult:
    """Make the master's files what they were before the switch. Raises RefusedError where there was none."""
    root = root_of(config_path)
    with files.Lock(f"{root}/lock", wait=wait):
        if not moving.has_begun(_backup(root)):
            raise RefusedError(
                "there is nothing to go back to: this master was not moved over",
                hint="the switch is: saltbranch adopt --switch",
            )
        try:
            files.unlink(f"{root}/adopt/former")
            restored = moving.restore(_backup(root))
        except OSError as err:
            raise os_error(err) from err
    return MoveResult("back", restored.paths, (RESTART,), dict(restored.edited))
