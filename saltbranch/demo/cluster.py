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
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from saltbranch.base.errors import SaltError
from saltbranch.demo.cluster_config import MASTER, ClusterConfig
from saltbranch.demo.processes import (
    GUARD,
    OUTPUT,
    STOP_SECONDS,
    call_program,
    free_ports,
    kill_leftovers,
    start_program,
    stop,
)

START_SECONDS: Final = 90
CALL_SECONDS: Final = 120


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
        later: Collection[str] = (),
    ) -> None:
        """Describe a cluster; nothing is written yet.

        minions: minion id -> grains of its own. minion_options: minion id -> more options. later: minions that come
        up, and whose keys are accepted, when `start_minion` says so.
        outlive: leave the daemons running when the starter ends without `stop`.
        """
        self.root = Path(folder).resolve()
        self.minions = {name: grains for name, grains in minions.items() if name not in later}
        self._config = ClusterConfig(
            self.root,
            minions=minions,
            master_options=master_options or {},
            minion_options=minion_options or {},
            later=later,
        )
        self._progress = progress or (lambda message: None)
        self._outlive = outlive
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._guard: subprocess.Popen[bytes] | None = None
        self._ports = (0, 0)
        self._client: Any = None

    @property
    def config_dir(self) -> Path:
        """Folder of the master's configuration, for ``-c`` of Salt's programs."""
        return self._config.folder

    @property
    def master_config_file(self) -> Path:
        """The master's main file; it includes ``master.d/*.conf`` beside it."""
        return self._config.master_file

    def minion_log(self, minion: str) -> Path:
        """Where that minion writes warnings and errors."""
        return self._config.folder_of(minion) / "log"

    @property
    def cache_dir(self) -> Path:
        """The master's cachedir."""
        return self.root / "master" / "cache"

    def write_config(self) -> None:
        """Write keys and the configuration of all daemons, with free ports, and start nothing."""
        self._ports = free_ports()
        self._config.write(self._ports)

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
                self.start_minion(minion)
            self._wait()
        except BaseException:
            self.stop()
            raise

    def start_minion(self, minion: str) -> None:
        """Accept its key, where that is not done, and start it."""
        self._config.seed_keys(minion)
        self._spawn(minion, "salt-minion", self._config.folder_of(minion))

    def stop_minion(self, minion: str) -> None:
        """End one minion."""
        self._end([minion])

    def stop_master(self) -> None:
        """End the salt-master alone; its minions stay."""
        self._close_client()
        self._end([MASTER])

    def answering(self, minions: Sequence[str]) -> set[str]:
        """Those of `minions` that answer this master now."""
        return self._ping(minions)

    def restart_master(self) -> None:
        """Stop and start the salt-master alone, and wait until every minion answers again."""
        self._close_client()
        self._progress("restarting salt-master")
        self._end([MASTER])
        self._start_master()
        self._wait()

    def stop(self) -> None:
        """End all daemons and what they have started; may be called at any time, and again."""
        self._end(list(self._daemons))
        kill_leftovers(self.root)
        if self._guard:
            self._guard.communicate()
            self._guard = None
        self._close_client()
        self._config.remove_aliases()

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
        words = [*options, *arguments]
        done = call_program(program, words, env=self._environment(), timeout=timeout)
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
        self._spawn(MASTER, "salt-master", self.config_dir)

    def _spawn(self, name: str, program: str, config: Path) -> None:
        words = ["-c", str(config)]
        if program == "salt-minion":
            words.append("--disable-keepalive")
        with (self._config.folder_of(name) / OUTPUT).open("ab") as out:
            daemon = start_program(
                program, words, env=self._environment(), folder=self.root, out=out
            )
        self._daemons[name] = daemon
        self._tell_guard("+", daemon)

    def _end(self, names: Sequence[str]) -> None:
        daemons = {name: self._daemons.pop(name) for name in names}
        # Minions take seconds to end, over nothing; what the master has written is whole when it ends by itself.
        minions = [daemon for name, daemon in daemons.items() if name != MASTER]
        stop([daemon for name, daemon in daemons.items() if name == MASTER], minions)
        for daemon in daemons.values():
            self._tell_guard("-", daemon)

    def _tell_guard(self, sign: str, daemon: subprocess.Popen[bytes]) -> None:
        if self._outlive:
            return
        if self._guard is None:
            argv = [sys.executable, "-I", "-S", "-c", GUARD.format(seconds=STOP_SECONDS)]
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
            self._config.folder_of(name) / file
            for name in self._daemons
            for file in (OUTPUT, "log")
        ):
            text = log.read_text("utf-8", "replace") if log.exists() else ""
            ends += [f"--- {log}", *text.splitlines()[-lines:]] if text else []
        return "\n".join(ends)


def _json_or_none(text: str) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(text)
    return None
