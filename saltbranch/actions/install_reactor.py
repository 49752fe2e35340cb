"""install reactor: let the salt-master put new minions where their ids say; uninstall takes that away."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial

from saltbranch.actions.install import InstallResult, read_machine, run_by
from saltbranch.base.errors import os_error
from saltbranch.config.keys import FileModel
from saltbranch.new_minions import known
from saltbranch.salt_master import options as master_options
from saltbranch.salt_master.options import MasterOptions
from saltbranch.schedule import files as timer_files
from saltbranch.schedule import reactor
from saltbranch.schedule import texts as timer
from saltbranch.schedule.reactor import Reaction
from saltbranch.schedule.texts import Kind


def install_reactor(config_path: str, *, directory: str = "", plan: bool = False) -> InstallResult:
    """Write the reaction and the master's configuration of it; all minions that are accepted by now count as known.

    directory: a folder to write below, for images: nothing else is done then.
    Raises ConfigError, UsageError, SaltError, SaltbranchError; RefusedError for a file of others, and where the
    master would forget reactors that it has.
    """
    machine = read_machine(config_path)
    master = master_options.read(machine.salt_config)
    run_by(Kind.SCHEDULE, machine.root, None, master, elsewhere=bool(directory))
    own_config, reaction = _paths(machine)
    own = reactor.entry(reactor.EVENT, reaction)
    config_path = timer.check_path(os.path.abspath(config_path))
    text = reactor.options(Reaction.REACTOR.value, config_path, own)
    if not directory:
        timer_files.refuse_lost_reactors(master, machine.salt_config, own_config, text)
    texts = {reaction: reactor.reaction(), own_config: text}
    done = [timer_files.compare(directory + path, text) for path, text in texts.items()]
    notes: list[str] = []
    if not directory:
        notes = _begin(machine.root, master, plan=plan)  # first: who starts from now on may be new
    if not plan:
        timer_files.write(done)
        if not directory:
            timer_files.refuse_unread_reactor(machine.salt_config, own_config, own)
    result = InstallResult(Reaction.REACTOR, plan, tuple(done), (), notes=tuple(notes))
    left = () if directory else tuple(_left(machine, master, own_config, changed=result.changed))
    return replace(result, left=left)


def uninstall_reactor(
    config_path: str | None, *, directory: str = "", plan: bool = False
) -> InstallResult:
    """Take away what `install_reactor` wrote, and nothing else; which minions are known stays recorded.

    Raises ConfigError, SaltbranchError; RefusedError for a file of others.
    """
    machine = read_machine(config_path) if config_path else FileModel()
    paths = _paths(machine)
    done = [timer_files.removal(directory + path) for path in paths]
    if not plan:
        timer_files.remove(done)
    result = InstallResult(Reaction.REACTOR, plan, tuple(done), ())
    if directory or not result.changed:
        return result
    master = master_options.read(machine.salt_config)
    left = _left(machine, master, paths[0], changed=True)
    return replace(result, left=tuple(left))


def _paths(machine: FileModel) -> tuple[str, str]:
    folder = os.path.dirname(machine.master_config)
    return f"{folder}/{reactor.CONFIG_FILE}", f"{folder}/{reactor.REACTION_FILE}"


def _begin(root: str, master: MasterOptions, *, plan: bool) -> list[str]:
    """Record who is known already, where nothing is recorded."""
    if not os.path.isdir(f"{root}/state"):
        return []
    found = known.load(root)
    if found is None:
        found = known.begin(master.accepted_minions(), partial(known.key_of, master.pki_dir))
        if not plan:
            try:
                known.save(root, found)
                owner = os.stat(root)
                for path in (known.folder(root), known.path(root)):
                    os.chown(path, owner.st_uid, owner.st_gid)
            except OSError as err:
                raise os_error(err) from err
    count = sum(entry.stage == known.KNOWN for entry in found.minions.values())
    return [f"{count} accepted minions are known: none of them is new"]


def _left(machine: FileModel, master: MasterOptions, path: str, *, changed: bool) -> list[str]:
    if not master.exists:
        return [f"There is no {master.path} here: install the salt-master first"]
    left = []
    if not os.path.isdir(f"{machine.root}/checkouts"):
        left.append(
            "Do the first sync by hand (saltbranch sync), and this once more: it records which"
            " minions are known"
        )
    return left + timer_files.restart(master, path, changed=changed, what="reactors")
