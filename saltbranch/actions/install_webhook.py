"""install webhook: let the master's reactor sync when the git server says that something was pushed."""

from __future__ import annotations

import glob
import os
import pwd
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

from saltbranch.actions.install import read_machine, run_by
from saltbranch.base import files
from saltbranch.base.errors import EXIT_PENDING, ConfigError, RefusedError, os_error
from saltbranch.config.keys import FileModel
from saltbranch.salt_master import option_files
from saltbranch.salt_master import options as master_options
from saltbranch.salt_master.options import MasterOptions
from saltbranch.schedule import files as own_files
from saltbranch.schedule import reactor
from saltbranch.schedule import texts as timer
from saltbranch.schedule.files import TimerFile, TimerFileData
from saltbranch.schedule.texts import Kind
from saltbranch.webhook import secret, texts


class WebhookData(TypedDict):
    """What `install webhook --json` and `uninstall webhook --json` write.

    secret: only where it was asked for. reactors: the tags of others' that requests from outside call, too.
    """

    version: Literal[1]
    kind: Literal["webhook"]
    plan: bool
    files: list[TimerFileData]
    url: str | None
    secret_file: str
    secret: str | None
    reactors: list[str]
    left: list[str]


@dataclass(frozen=True, slots=True)
class WebhookInstall:
    """What was done, or with `plan` would be. left: what a person has to do now, one sentence each.

    url: what to enter at the git server, empty where salt-api is not set up.
    """

    plan: bool
    files: tuple[TimerFile, ...]
    secret_file: str
    url: str = ""
    secret: str | None = None
    reactors: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """3 for a plan with something in it."""
        return EXIT_PENDING if self.plan and any(file.changed for file in self.files) else 0

    def as_dict(self) -> WebhookData:
        """Plain data, the shape of `--json`."""
        return {
            "version": 1,
            "kind": "webhook",
            "plan": self.plan,
            "files": [file.as_dict() for file in self.files],
            "url": self.url or None,
            "secret_file": self.secret_file,
            "secret": self.secret,
            "reactors": list(self.reactors),
            "left": list(self.left),
        }


def install_webhook(
    config_path: str, *, open_hooks: bool = False, show_secret: bool = False, plan: bool = False
) -> WebhookInstall:
    """Write reactor file, option file and secret; what is there stays, the secret above all.

    open_hooks: although salt-api will then let anybody call other reactors, too. show_secret: return it. Raises
    RefusedError, ConfigError, SaltError, SaltbranchError.
    """
    config_path = timer.check_path(os.path.abspath(config_path))
    machine = read_machine(config_path)
    master = master_options.read(machine.salt_config)
    if not master.exists:
        raise ConfigError(
            f"there is no salt-master here ({machine.salt_config})",
            hint="install it first; without salt-api, see docs/how-to/webhook.md",
        )
    user = run_by(Kind.SCHEDULE, machine.root, None, master, elsewhere=False)
    others = [tag for tag, _ in reactor.reactors(master.opts) if texts.listens_outside(tag)]
    if others and not open_hooks and not _is_open(master.opts):
        raise RefusedError(
            f"other reactors listen to requests from outside: {', '.join(others)}; for webhooks salt-api needs"
            " webhook_disable_auth, and with that anybody who reaches salt-api calls them without a login",
            hint="look at what they do with a stranger's request; then: saltbranch install webhook --open-hooks",
        )
    option_path, reactor_path, secret_path = _paths(machine, config_path)
    own = reactor.entry(texts.TAG, reactor_path)
    option_text = reactor.options("webhook", config_path, own)
    own_files.refuse_lost_reactors(master, machine.salt_config, option_path, option_text)
    wanted = [
        own_files.compare(reactor_path, texts.reactor(config_path)),
        own_files.compare(option_path, option_text),
    ]
    made = not os.path.lexists(secret_path)
    done = [*wanted, TimerFile(secret_path, own_files.WRITTEN if made else own_files.UNCHANGED)]
    if not plan:
        if made:
            secret.make(secret_path, uid=pwd.getpwnam(user).pw_uid)
        own_files.write(wanted)
        own_files.refuse_unread_reactor(machine.salt_config, option_path, own)
    known = secret.load(secret_path) if os.path.lexists(secret_path) else []
    result = WebhookInstall(
        plan,
        tuple(done),
        secret_path,
        url=texts.url(master.opts, _host(master.opts)),
        secret=known[-1] if known and show_secret else None,
        reactors=tuple(others),
    )
    return _with_left(result, master, machine)


def uninstall_webhook(config_path: str, *, plan: bool = False) -> WebhookInstall:
    """Take away what install wrote, and nothing else. Raises RefusedError, ConfigError, SaltbranchError."""
    machine = read_machine(config_path)
    *paths, secret_path = _paths(machine, os.path.abspath(config_path))
    done = [own_files.removal(path) for path in paths]
    if secret.is_ours(secret_path):
        done.append(TimerFile(secret_path, own_files.REMOVED))
    else:
        there = os.path.lexists(secret_path)
        done.append(TimerFile(secret_path, own_files.UNCHANGED if there else own_files.ABSENT))
    if not plan:
        own_files.remove([file for file in done if file.changed])
        _remove_bytecode(paths[1])
    left = []
    if any(file.changed for file in done):
        left = ["Restart the salt-master, and remove the webhook at the git server"]
        left.append("If nothing else needs it, take webhook_disable_auth out of rest_cherrypy:")
    return WebhookInstall(plan, tuple(done), secret_path, left=tuple(left))


def _paths(machine: FileModel, config_path: str) -> tuple[str, str, str]:
    """Of the option file, the reactor file and the secret."""
    folder = os.path.dirname(config_path)
    return (
        f"{os.path.dirname(machine.master_config)}/{texts.OPTION_FILE}",
        f"{folder}/{texts.REACTOR_FILE}",
        secret.path_of(config_path),
    )


def _remove_bytecode(reactor_path: str) -> None:
    """What Python keeps beside a file that Salt imports."""
    folder, name = os.path.split(reactor_path)
    cache = f"{folder}/__pycache__"
    try:
        for path in glob.glob(f"{glob.escape(cache)}/{name.removesuffix('.sls')}.*.pyc"):
            files.unlink(path)
        if os.path.isdir(cache) and not os.listdir(cache):
            os.rmdir(cache)
    except OSError as err:
        raise os_error(err) from err


def _is_open(opts: Mapping[str, Any]) -> bool:
    api = opts.get(texts.API)
    return isinstance(api, Mapping) and bool(api.get("webhook_disable_auth"))


def _host(opts: Mapping[str, Any]) -> str:
    api = opts.get(texts.API)
    named = str(api.get("host") or "") if isinstance(api, Mapping) else ""
    return named if named not in ("", "0.0.0.0", "::") else socket.getfqdn()  # noqa: S104 - compared


def _with_left(result: WebhookInstall, master: MasterOptions, machine: FileModel) -> WebhookInstall:
    left = []
    api = master.opts.get(texts.API)
    if not result.url:
        left.append(
            "Set up salt-api: rest_cherrypy: with port, ssl_crt, ssl_key and webhook_disable_auth: True in a file"
            f" of {os.path.dirname(machine.master_config)}"
        )
    elif not _is_open(master.opts):
        found = option_files.places(
            option_files.read(machine.salt_config, option_files.MASTER_INCLUDE)
        )
        place = (found.get(texts.API) or (machine.salt_config,))[-1]
        left.append(
            f"Add webhook_disable_auth: True to rest_cherrypy: in {place}, and restart salt-api"
        )
    if isinstance(api, Mapping) and api.get("disable_ssl"):
        left.append("salt-api speaks no TLS (disable_ssl): let a proxy in front of it do that")
    if result.reactors:
        left.append(
            f"Anybody who reaches salt-api calls these reactors, too: {', '.join(result.reactors)}"
        )
    option = result.files[1]
    left += own_files.restart(master, option.path, changed=option.changed, what="reactors")
    where = result.url or "https://THIS-MASTER:PORT/hook/saltbranch"
    left.append(
        f"Enter at the git server: URL {where}, JSON, push and tag events, and the secret in {result.secret_file}"
    )
    left.append("Then try it: saltbranch doctor")
    return replace(result, left=tuple(left))
