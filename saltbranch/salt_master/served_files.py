"""What a salt-master gives to its minions, by Salt's own functions: files, and pillar.

For a process that does nothing else (preview/plain_side.py): Salt is told of a cache of its own, so a running master
is not disturbed, and gitfs fetches into that one. Salt is imported inside the functions: it takes a second.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pwd
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saltbranch.base.errors import SaltError
from saltbranch.git.program import mask
from saltbranch.salt_master import options as master_options

# The file servers whose files are compared; what another one gives stays as it is.
COMPARED = ("roots", "gitfs")
_CANNOT_RUN = 3
_LARGEST = 8 << 20
"""Bytes of a file that a template may read."""

Say = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class View:
    """A minion as the master sees it. saltenv: where it is pinned to one, as far as the master's cache tells."""

    minion: str
    saltenv: str | None
    grains: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.minion} (saltenv {self.saltenv})" if self.saltenv else self.minion


class Server:
    """The file server and the pillar of one set of options."""

    def __init__(self, salt_config: str, changes: Mapping[str, Any], folder: str) -> None:
        """changes: options that take the place of what the files say. folder: an empty one of ours.

        Raises SaltError.
        """
        self.master = master_options.read(salt_config)
        self.folder = folder
        self.problems: list[str] = []
        self.opts: dict[str, Any] = {**self.master.opts, **changes}
        self.others = [b for b in backends(self.opts) if b not in COMPARED]
        self.opts |= {
            "fileserver_backend": [b for b in backends(self.opts) if b in COMPARED],
            "cachedir": f"{folder}/cache",
            "sock_dir": f"{folder}/run",
            "fileserver_events": False,
            "fileserver_list_cache_time": 3600,
            "pillar_cache": False,
            "minion_data_cache": False,
            "__role": "master",
        }
        os.makedirs(self.opts["cachedir"], exist_ok=True)
        logging.disable(logging.NOTSET)
        logger = logging.getLogger()
        logger.handlers[:] = [_Kept(self.problems)]
        logger.setLevel(logging.ERROR)

    def files(self, export: str, say: Say) -> dict[str, dict[str, str]]:
        """Saltenv to path to hash of everything that the file server lists. export: gets all of it, as folders
        named like the saltenvs, for whoever compiles.
        """
        import salt.fileserver

        server = salt.fileserver.Fileserver(self.opts)
        server.update(back=self.opts["fileserver_backend"])
        found: dict[str, dict[str, str]] = {}
        for saltenv in sorted(server.envs()):
            paths = server.file_list({"saltenv": saltenv})
            found[saltenv] = {}
            os.makedirs(f"{export}/{saltenv}", mode=0o755, exist_ok=True)
            for number, path in enumerate(paths):
                say(f"Files of {saltenv}", number, len(paths))
                told = server.file_hash({"path": path, "saltenv": saltenv})
                found[saltenv][path] = told.get("hsum", "") if isinstance(told, Mapping) else ""
                where = server.find_file(path, saltenv).get("path")
                if where:
                    _export(str(where), f"{export}/{saltenv}/{path}", f"{export}/.blobs")
        return found

    def pillar(self, view: View) -> dict[str, Any]:
        """The pillar that `view` gets. Raises whatever Salt raises."""
        import salt.pillar

        _show_values()
        opts = dict(self.opts)
        made = salt.pillar.get_pillar(
            opts, dict(view.grains), view.minion, view.saltenv, pillarenv=view.saltenv
        )
        return dict(made.compile_pillar())

    def fetch_pillar(self) -> None:
        """Fetch what git_pillar is made of."""
        import salt.pillar.git_pillar as code
        import salt.utils.gitfs

        for entry in self.opts.get("ext_pillar") or ():
            if isinstance(entry, Mapping) and isinstance(entry.get("git"), list):
                salt.utils.gitfs.GitPillar(
                    dict(self.opts),
                    list(entry["git"]),
                    per_remote_overrides=code.PER_REMOTE_OVERRIDES,
                    per_remote_only=code.PER_REMOTE_ONLY,
                    global_only=code.GLOBAL_ONLY,
                ).fetch_remotes()

    def views(self) -> Iterator[View]:
        """The accepted minions whose grains the master remembers.

        A minion whose pillar is remembered for a saltenv alone is pinned to that one.
        """
        import salt.cache

        known = set(master_options.cached_minions(self.master.opts))
        cache = salt.cache.factory(self.master.opts)
        pillars = [str(name) for name in cache.list("pillar") or ()]
        for minion in self.master.accepted_minions():
            grains = None
            if minion in known:
                grains, _ = master_options.cached(self.master.opts, minion, "")
            if grains:
                pinned = [
                    p.removeprefix(f"{minion}:") for p in pillars if p.startswith(f"{minion}:")
                ]
                for saltenv in [None] if minion in pillars or not pinned else sorted(pinned):
                    yield View(minion, saltenv, grains)


def user_of(salt_config: str) -> str:
    """Whom the master runs as. Raises SaltError."""
    return master_options.read(salt_config).user


def make_folder(path: str, user: str) -> None:
    """A folder for `user` alone."""
    os.mkdir(path, 0o700)
    if os.geteuid() == 0:
        found = _account(user)
        os.chown(path, found.pw_uid, found.pw_gid)


def as_user(user: str, function: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `function` returns, plain data, in a process with the rights of `user` where root can give up its own.

    Else what is rendered here would leave files of root's behind, in the master's folder of keys for one, that the
    master cannot use. Raises SaltError where the process ends without an answer.
    """
    if os.geteuid() != 0 or _account(user).pw_uid == 0:
        return function()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            found = _account(user)
            os.initgroups(user, found.pw_gid)
            os.setresgid(found.pw_gid, found.pw_gid, found.pw_gid)
            os.setresuid(found.pw_uid, found.pw_uid, found.pw_uid)
            os.environ["HOME"] = found.pw_dir
            code = 0 if os.access(os.__file__, os.R_OK) else _CANNOT_RUN
            if code:
                return {}
            with os.fdopen(write, "w", encoding="utf-8", errors="replace") as answer:
                code = 1
                json.dump(function(), answer, default=str)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as answer:
        told = answer.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == _CANNOT_RUN:
        raise SaltError(
            f"the salt-master's user {user} cannot read {sys.prefix}, by which saltbranch runs",
            hint="install saltbranch into the Python that runs Salt",
        )
    if status != 0 or not told:
        raise SaltError(f"what the master gives out could not be found out as its user {user}")
    return dict(json.loads(told))


def _account(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError as err:
        raise SaltError(f"the salt-master's user {user!r} does not exist here") from err


def backends(opts: Mapping[str, Any]) -> list[str]:
    """The file servers in use, by one name each (salt/fileserver/__init__.py, backends)."""
    value = opts.get("fileserver_backend") or ["roots"]
    names = value.split(",") if isinstance(value, str) else list(value)
    plain = {"file_roots": "roots", "git": "gitfs"}
    return list(dict.fromkeys(plain.get(str(n), str(n)) for n in names))


class _Kept(logging.Handler):
    """Errors that Salt only logs, without the passwords in URLs."""

    def __init__(self, into: list[str]) -> None:
        super().__init__()
        self._into = into

    def emit(self, record: logging.LogRecord) -> None:
        try:
            first = (record.getMessage().strip().splitlines() or [""])[0]
        except Exception:  # noqa: BLE001 - a log line is no reason to fail
            first = str(record.msg)
        # Lines of pillar rendering may quote the pillar.
        if record.name.startswith(
            ("salt.utils.gitfs", "salt.fileserver", "salt.loaded.int.fileserver")
        ):
            self._into.append(mask(first)[:300])


def _show_values() -> None:
    """Salt 3008 hides what is pillar from whoever looks at it; here nobody does but our digests."""
    try:
        from salt.utils.secret import mask_pillar
    except ImportError:
        return
    mask_pillar.set(False)


def _export(source: str, target: str, blobs: str) -> None:
    """Let `target` have what `source` holds; the same content is there once."""
    os.makedirs(blobs, mode=0o755, exist_ok=True)
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    with open(source, "rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        data = b""  # no template reads it
    blob = f"{blobs}/{hashlib.sha256(data).hexdigest()}"
    if not os.path.exists(blob):
        with open(blob, "wb") as file:
            file.write(data)
        os.chmod(blob, 0o644)
    try:
        os.link(blob, target)
    except FileExistsError:
        raise SaltError(f"the file server lists {target} twice") from None
    except OSError:  # too many links
        with open(target, "wb") as file:
            file.write(data)


MINION_OPTIONS: Sequence[str] = (
    "nodegroups", "renderer", "failhard", "state_top", "state_top_saltenv", "default_top", "env_order",
    "top_file_merging_strategy", "state_auto_order", "state_aggregate", "jinja_env", "jinja_sls_env",
    "jinja_trim_blocks", "jinja_lstrip_blocks",
)  # fmt: skip
"""What minions take from their master for a highstate (salt/state.py, BaseHighState.__gen_opts)."""
