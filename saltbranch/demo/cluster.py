"""A real salt-master and real minions on loopback, in one folder, without root.

Everything they write is below that folder, except that a folder with a path too long for sockets
gets short symlinks in /tmp. The configuration and the folders of the system's own Salt are
neither read nor written.

The daemons do not outlive their starter, however it ends: a small guard process ends them when
its pipe from the starter is closed, unless ``outlive=True``. What is left to the caller is the
folder, and to turn SIGTERM into an exception, so that the ``with`` block is left in order; ^C
does that by itself.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import yaml

from saltbranch import proc
from saltbranch.errors import SaltError

START_SECONDS: Final = 90
STOP_SECONDS: Final = 2  # a minion whose master has gone takes six, over nothing
CALL_SECONDS: Final = 120

_OUTPUT: Final = "daemon.out"
_SUN_PATH: Final = 107  # unix(7), less the closing NUL
_LONGEST_SOCKET: Final = len("/run/minion_event_0123456789_publish_pull.ipc")
_MASTER: Final = ""  # no minion can be called so

# Salt's console scripts without their files, which need not be beside this Python.
_SCRIPT: Final = """\
import sys
from salt.scripts import {name} as script
sys.argv[0] = {title!r}
sys.exit(script())
"""

# Told on stdin which process groups there are; stdin ends when the starter has gone.
_GUARD: Final = """\
import os, signal, sys, time
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for last in (signal.SIGTERM, signal.SIGKILL) if groups else ():
    for group in groups:
        try:
            os.killpg(group, last)
        except OSError:
            pass
    time.sleep({seconds})
"""

# What a small machine can do without while it starts; nothing here changes what is served.
_QUICK_MASTER: Final[Mapping[str, object]] = {
    "worker_threads": 3,
    "enable_fqdns_grains": False,
    "enable_gpu_grains": False,
    "timeout": 30,
    "gather_job_timeout": 20,
}
_QUICK_MINION: Final[Mapping[str, object]] = {
    "multiprocessing": False,
    "enable_fqdns_grains": False,
    "enable_gpu_grains": False,
    "mine_enabled": False,
    "master_alive_interval": 0,
    "random_reauth_delay": 1,
    "acceptance_wait_time": 1,
    "auth_timeout": 5,
    "auth_tries": 20,
    "recon_default": 100,
    "recon_max": 500,
    "recon_randomize": False,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one of Salt's programs gave back; `value` is its parsed JSON, None without any."""

    code: int
    value: Any
    out: str
    err: str


class Cluster:
    """One salt-master and its minions, started and stopped together."""

    def __init__(
        self,
        folder: Path,
        *,
        minions: Mapping[str, Mapping[str, object]],
        master_options: Mapping[str, object] | None = None,
        minion_options: Mapping[str, Mapping[str, object]] | None = None,
        progress: Callable[[str], None] | None = None,
        outlive: bool = False,
    ) -> None:
        """Describe a cluster; nothing is written yet.

        minions: minion id -> grains of its own. minion_options: minion id -> more options.
        outlive: leave the daemons running when the starter ends without `stop`.
        """
        self.root = Path(folder).resolve()
        self.minions = minions
        self._master_options = dict(master_options or {})
        self._minion_options = dict(minion_options or {})
        self._progress = progress or (lambda message: None)
        self._outlive = outlive
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._guard: subprocess.Popen[bytes] | None = None
        self._aliases: Path | None = None
        self._ports = (0, 0)
        self._client: Any = None

    @property
    def config_dir(self) -> Path:
        """Folder of the master's configuration, for ``-c`` of Salt's programs."""
        return self.root / "etc"

    @property
    def master_config_file(self) -> Path:
        """The master's main file; it includes ``master.d/*.conf`` beside it."""
        return self.config_dir / "master"

    def minion_log(self, minion: str) -> Path:
        """Where that minion writes warnings and errors."""
        return self._folder(minion) / "log"

    @property
    def cache_dir(self) -> Path:
        """The master's cachedir."""
        return self.root / "master" / "cache"

    def write_config(self) -> None:
        """Write keys and the configuration of all daemons, with free ports, and start nothing."""
        self._ports = _free_ports()
        (self.config_dir / "master.d").mkdir(parents=True, exist_ok=True)
        for name in ("salt", "pillar"):
            (self.root / "srv" / name).mkdir(parents=True, exist_ok=True)
        _write_yaml(self.master_config_file, self._master_config())
        for minion in self.minions:
            _write_yaml(self._folder(minion) / "minion", self._minion_config(minion))
            self._seed_keys(minion)

    def start(self) -> None:
        """Start everything and wait until every minion answers.

        Raises SaltError with the ends of the logs when that takes more than START_SECONDS.
        """
        self.write_config()
        self._progress("starting salt-master")
        try:
            self._start_master()
            for minion in self.minions:
                self._progress(f"starting minion {minion}")
                self._spawn(minion, "salt-minion", self._folder(minion))
            self._wait()
        except BaseException:
            self.stop()
            raise

    def restart_master(self) -> None:
        """Stop and start the salt-master alone, and wait until every minion answers again."""
        self._close_client()
        self._progress("restarting salt-master")
        self._end([_MASTER])
        self._start_master()
        self._wait()

    def stop(self) -> None:
        """End all daemons and what they have started; may be called at any time, and again."""
        self._end(list(self._daemons))
        _kill_leftovers(self.root)
        if self._guard:
            self._guard.communicate()
            self._guard = None
        self._close_client()
        if self._aliases:
            shutil.rmtree(self._aliases, ignore_errors=True)
            self._aliases = None

    def __enter__(self) -> Cluster:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()

    def run(self, program: str, *arguments: str, timeout: float = CALL_SECONDS) -> Answer:
        """Run ``salt``, ``salt-run`` or ``salt-key`` on this master, as an operator would.

        Raises SaltError when it takes longer than `timeout` seconds.
        """
        options = ["-c", str(self.config_dir), "--out=json"]
        options += ["--static"] if program == "salt" else []
        argv = [sys.executable, "-c", _script(program), *options, *arguments]
        done = proc.run(argv, self._environment(), timeout=timeout)
        if done.timed_out:
            raise SaltError(f"{program} {' '.join(arguments)} took longer than {timeout:g} s")
        out = done.out.decode("utf-8", "replace")
        return Answer(done.code, _json_or_none(out), out, done.err.decode("utf-8", "replace"))

    def local(self, minion: str, function: str, *args: object, **kwargs: object) -> Any:
        """Call `function` on one minion and return what it returns.

        Raises SaltError when the minion does not answer.
        """
        return self.local_all(function, *args, minions=[minion], **kwargs)[minion]

    def local_all(
        self, function: str, *args: object, minions: Sequence[str] = (), **kwargs: object
    ) -> dict[str, Any]:
        """Call `function` on `minions`, or all, and return minion id -> what it returned.

        Raises SaltError when one of them does not answer.
        """
        wanted = list(minions or self.minions)
        answers = self._call(wanted, function, args, kwargs, seconds=CALL_SECONDS)
        silent = sorted(set(wanted) - set(answers))
        if silent:
            raise SaltError(f"no answer to {function} from {', '.join(silent)}\n{self._logs()}")
        return answers

    def _call(
        self,
        minions: Sequence[str],
        function: str,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        *,
        seconds: int,
    ) -> dict[str, Any]:
        import salt.client  # half a second, and only here

        if self._client is None:
            self._client = salt.client.LocalClient(str(self.master_config_file))
        answers: dict[str, Any] = self._client.cmd(
            list(minions),
            function,
            list(args),
            tgt_type="list",
            kwarg=dict(kwargs),
            timeout=seconds,
            gather_job_timeout=min(seconds, 20),
        )
        return answers

    def _close_client(self) -> None:
        if self._client is not None:
            self._client.destroy()
            self._client = None

    def _start_master(self) -> None:
        self._spawn(_MASTER, "salt-master", self.config_dir)

    def _spawn(self, name: str, program: str, config: Path) -> None:
        argv = [sys.executable, "-c", _script(program), "-c", str(config)]
        if program == "salt-minion":
            argv.append("--disable-keepalive")
        with (self._folder(name) / _OUTPUT).open("ab") as out:
            daemon = subprocess.Popen(
                argv,
                env=self._environment(),
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._daemons[name] = daemon
        self._tell_guard("+", daemon)

    def _end(self, names: Sequence[str]) -> None:
        daemons = [self._daemons[name] for name in names]
        _stop(daemons)
        for name, daemon in zip(names, daemons, strict=True):
            del self._daemons[name]
            self._tell_guard("-", daemon)

    def _tell_guard(self, sign: str, daemon: subprocess.Popen[bytes]) -> None:
        if self._outlive:
            return
        if self._guard is None:
            argv = [sys.executable, "-I", "-S", "-c", _GUARD.format(seconds=STOP_SECONDS)]
            self._guard = subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)
        assert self._guard.stdin
        with contextlib.suppress(BrokenPipeError):
            self._guard.stdin.write(f"{sign}{daemon.pid}\n".encode())
            self._guard.stdin.flush()

    def _environment(self) -> dict[str, str]:
        """The starter's environment without what leads Salt elsewhere, and with this package."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("SALT_")}
        package = str(Path(__file__).resolve().parents[2])
        if package != sysconfig.get_path("purelib"):
            path = [entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry]
            env["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*path, package]))
        return env

    def _wait(self) -> None:
        """Return when every minion answers; the pings that fail are cheap."""
        deadline = time.monotonic() + START_SECONDS
        missing = set(self.minions)
        while missing:
            self._check(deadline, missing)
            time.sleep(0.2)
            if self._master_is_up():
                answers = self._ping(sorted(missing))
                for minion in sorted(missing & answers):
                    self._progress(f"minion {minion} answers")
                missing -= answers

    def _check(self, deadline: float, missing: set[str]) -> None:
        dead = [
            name or "salt-master"
            for name, daemon in self._daemons.items()
            if daemon.poll() is not None
        ]
        if dead:
            raise SaltError(f"ended while starting: {', '.join(dead)}\n{self._logs()}")
        if time.monotonic() > deadline:
            late = ", ".join(sorted(missing))
            raise SaltError(f"no answer from {late} in {START_SECONDS} s\n{self._logs()}")

    def _master_is_up(self) -> bool:
        """Whether the port for requests is open; before that a ping is a waste of a second."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._ports[1])) == 0

    def _ping(self, minions: Sequence[str]) -> set[str]:
        import salt.exceptions

        # Salt logs every ping that comes too early as an error on the terminal.
        logging.disable(logging.CRITICAL)
        try:
            return set(self._call(minions, "test.ping", [], {}, seconds=1))
        except (salt.exceptions.SaltClientError, salt.exceptions.SaltReqTimeoutError):
            self._close_client()
            return set()
        finally:
            logging.disable(logging.NOTSET)

    def _logs(self, lines: int = 15) -> str:
        """The ends of all logs, oldest first, for a message."""
        ends = []
        for log in (
            self._folder(name) / file for name in self._daemons for file in (_OUTPUT, "log")
        ):
            text = log.read_text("utf-8", "replace") if log.exists() else ""
            ends += [f"--- {log}", *text.splitlines()[-lines:]] if text else []
        return "\n".join(ends)

    def _folder(self, name: str) -> Path:
        """Where the daemon `name` has its own files; the master has no name."""
        return self.root / "master" if name == _MASTER else self.root / "minions" / name

    def _home(self, name: str) -> Path:
        """A daemon's folder by a name short enough for the sockets in it.

        Salt puts every path that is not below ``root_dir`` there (``prepend_root_dir`` in
        salt/config), the sockets too, so a long folder gets a short symlink for all of it.
        """
        folder = self._folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        if len(os.fsencode(folder)) + _LONGEST_SOCKET <= _SUN_PATH:
            return folder
        self._aliases = self._aliases or Path(tempfile.mkdtemp(prefix="sb-", dir="/tmp"))
        alias = self._aliases / str([_MASTER, *self.minions].index(name))
        if not alias.is_symlink():
            alias.symlink_to(folder)
        return alias

    def _common(self, home: Path) -> dict[str, object]:
        """Every path that Salt would otherwise look for in /etc, /var or /srv."""
        return {
            "user": pwd.getpwuid(os.getuid()).pw_name,
            "root_dir": str(home),
            "pki_dir": str(home / "pki"),
            "cachedir": str(home / "cache"),
            "extension_modules": str(home / "cache" / "extmods"),
            "sock_dir": str(home / "run"),
            "pidfile": str(home / "pid"),
            "log_file": str(home / "log"),
            "log_level": "critical",
            "log_level_logfile": "warning",
            "file_roots": {"base": [str(self.root / "srv" / "salt")]},
            "pillar_roots": {"base": [str(self.root / "srv" / "pillar")]},
        }

    def _master_config(self) -> dict[str, object]:
        return {
            **self._common(self._home(_MASTER)),
            **_QUICK_MASTER,
            "id": "master",
            "interface": "127.0.0.1",
            "publish_port": self._ports[0],
            "ret_port": self._ports[1],
            "default_include": "master.d/*.conf",
            **self._master_options,
        }

    def _minion_config(self, minion: str) -> dict[str, object]:
        return {
            **self._common(self._home(minion)),
            **_QUICK_MINION,
            "id": minion,
            "master": "127.0.0.1",
            "publish_port": self._ports[0],
            "master_port": self._ports[1],
            "grains": dict(self.minions[minion]),
            **self._minion_options.get(minion, {}),
        }

    def _seed_keys(self, minion: str) -> None:
        """Give a minion its key, and the master the other half: nobody else is let in."""
        own = self._folder(minion) / "pki"
        accepted = self.root / "master" / "pki" / "minions" / minion
        if accepted.exists():
            return
        private, public = _key_pair()
        own.mkdir(parents=True, mode=0o700)
        accepted.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        (own / "minion.pem").touch(mode=0o600)
        (own / "minion.pem").write_bytes(private)
        (own / "minion.pub").write_bytes(public)
        accepted.write_bytes(public)


def _key_pair() -> tuple[bytes, bytes]:
    """What ``salt.crypt.gen_keys`` makes, whose arguments differ from release to release."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public


def _script(program: str) -> str:
    name = "salt_main" if program == "salt" else program.replace("-", "_")
    return _SCRIPT.format(name=name, title=program)


def _free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on now; both are held until both are known."""
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _write_yaml(path: Path, value: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(value), sort_keys=False))


def _json_or_none(text: str) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(text)
    return None


def _stop(daemons: Sequence[subprocess.Popen[bytes]]) -> None:
    """TERM to every process group at once, KILL to what is left of them after STOP_SECONDS."""
    for daemon in daemons:
        _signal_group(daemon.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline and any(_alive(daemon) for daemon in daemons):
        time.sleep(0.05)
    for daemon in daemons:
        _signal_group(daemon.pid, signal.SIGKILL)
        daemon.wait()


def _alive(daemon: subprocess.Popen[bytes]) -> bool:
    """Whether any process of the daemon's group is there; a dead leader is reaped on the way."""
    daemon.poll()
    return _signal_group(daemon.pid, 0)


def _signal_group(group: int, signum: int) -> bool:
    try:
        os.killpg(group, signum)
    except ProcessLookupError:
        return False
    return True


def _kill_leftovers(root: Path) -> None:
    """End jobs that left their daemon's process group (``salt.utils.process.daemonize``)."""
    for process in processes_of(root):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def processes_of(root: Path) -> list[int]:
    """The ids of all processes whose output goes where a daemon of the cluster in `root` writes.

    Empty where there is no /proc. Their environment would say more, but Salt overwrites it with
    the title of the process.
    """
    return [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if any(_is_output(folder / "fd" / number, root) for number in "12")
    ]


def _is_output(descriptor: Path, root: Path) -> bool:
    try:
        path = descriptor.readlink()
    except OSError:  # gone, or somebody else's
        return False
    return path.name == _OUTPUT and root in path.parents
