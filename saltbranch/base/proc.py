"""Start programs, and collect what they say, without importing ``subprocess``.

A sync that finds nothing new spends most of its time starting Python; ``subprocess`` alone
would double that. ``posix_spawn`` and ``poll`` do all that is needed here: no shell, stdin as bytes,
both outputs captured, a time limit for the whole process group.
"""

from __future__ import annotations

import _thread
import os
import select
import sys
import time

from saltbranch.base.errors import SaltbranchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# signal(7); the module `signal` would bring `enum` with it.
_TERM, _KILL = 15, 9

_running: set[int] = set()
_left: set[int] = set()
_paths: dict[str, str] = {}


class Finished:
    """What a program left: exit ``code`` (negative: the signal), ``out`` and ``err``."""

    __slots__ = ("argv", "code", "err", "out", "timed_out")

    def __init__(
        self, argv: Sequence[str], code: int, out: bytes, err: bytes, *, timed_out: bool
    ) -> None:
        self.argv = argv
        self.code = code
        self.out = out
        self.err = err
        self.timed_out = timed_out

    @property
    def text(self) -> str:
        """stdout as text, undecodable bytes kept as surrogates."""
        return os.fsdecode(self.out)

    @property
    def complaint(self) -> str:
        """stderr as text, without progress lines."""
        lines = self.err.decode("utf-8", "replace").replace("\r", "\n").splitlines()
        return "\n".join(line.rstrip() for line in lines if line.strip())


def run(
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    timeout: float | None = None,
    progress: Callable[[str], None] | None = None,
    stdin: bytes = b"",
    third: int | None = None,
    folder: str = "",
) -> Finished:
    """Run `argv` to its end.

    stdin: what it reads. third: what it gets as descriptor 3. folder: where it starts; the current one
    otherwise. timeout: seconds; afterwards the process group gets TERM, then KILL. progress: called with
    each line of stderr as it comes, those ending in CR too. Raises SaltbranchError when the program does not
    exist.
    """
    out_r, out_w = os.pipe()
    err_r, err_w = os.pipe()
    given = _open_stdin(stdin)
    actions = [
        (os.POSIX_SPAWN_DUP2, given, 0),
        (os.POSIX_SPAWN_DUP2, out_w, 1),
        (os.POSIX_SPAWN_DUP2, err_w, 2),
    ]
    if third is not None:
        actions.append((os.POSIX_SPAWN_DUP2, third, 3))
    try:
        with _standing_in(folder):
            pid = os.posix_spawn(
                _which(argv[0]), list(argv), env, file_actions=actions, setpgroup=0
            )
    except OSError as err:
        os.close(out_r)
        os.close(err_r)
        raise SaltbranchError(
            f"cannot start {argv[0]!r}: {err.strerror}", hint=f"install {argv[0]} or fix PATH"
        ) from err
    finally:
        for fd in (given, out_w, err_w):
            os.close(fd)
    _running.add(pid)
    try:
        listeners = {out_r: None, err_r: _by_line(progress) if progress else None}
        out, err_text, timed_out = _collect(pid, (out_r, err_r), timeout, listeners)
        status = os.waitpid(pid, 0)[1]
    except BaseException:
        _kill_group(pid)
        raise
    finally:
        _running.discard(pid)
        os.close(out_r)
        os.close(err_r)
    return Finished(argv, os.waitstatus_to_exitcode(status), out, err_text, timed_out=timed_out)


def leave(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Start `argv` and leave it alone: a session of its own, in ``/``, with no input and nowhere to write; its pid.

    Those that were left before and have ended are forgotten here, so none remains of them. Raises SaltbranchError.
    """
    for pid in list(_left):
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                _left.discard(pid)
        except ChildProcessError:
            _left.discard(pid)
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    actions = [(os.POSIX_SPAWN_DUP2, nowhere, fd) for fd in (0, 1, 2)]
    try:
        with _standing_in("/"):
            pid = os.posix_spawn(
                _which(argv[0]), list(argv), env, file_actions=actions, setsid=True
            )
    except OSError as err:
        raise SaltbranchError(f"cannot start {argv[0]!r}: {err.strerror}") from err
    finally:
        os.close(nowhere)
    _left.add(pid)
    return pid


class _standing_in:  # noqa: N801 - reads like the function it wraps
    """The current folder is another one while a program starts: posix_spawn(3) cannot be told one.

    It is the process's, so programs that other threads start meanwhile wait.
    """

    _lock = _thread.allocate_lock()

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        self._lock.acquire()
        self.before = -1
        try:
            if self.folder:
                # It may be one without reading.
                self.before = os.open(".", os.O_PATH | os.O_CLOEXEC)
                os.chdir(self.folder)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_exc: object) -> None:
        try:
            if self.before >= 0:
                os.fchdir(self.before)
                os.close(self.before)
        finally:
            self._lock.release()


def _open_stdin(data: bytes) -> int:
    """A descriptor that reads `data`; a file in memory, so nobody has to feed a pipe meanwhile."""
    if not data:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    fd = os.memfd_create("saltbranch-stdin")
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def python(code: str, *arguments: str) -> list[str]:
    """The command that runs `code` in a Python of its own, which finds this saltbranch.

    Neither `-m` nor a bare `-c`: both would look for modules in the current folder first, which may be
    a clone with anybody's files in it.
    """
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    boot = f"import sys; sys.path[0] = sys.argv.pop(1); {code}"
    return [sys.executable, "-c", boot, package, *arguments]


def _which(name: str) -> str:
    """Where `name` is, looked for once: as if the caller's PATH stood in front of every call."""
    if name not in _paths:
        # os.get_exec_path would import `warnings`.
        folders = [] if "/" in name else os.environ.get("PATH", os.defpath).split(os.pathsep)
        found = (f"{folder}/{name}" for folder in folders)
        _paths[name] = next((path for path in found if os.access(path, os.X_OK)), name)
    return _paths[name]


def spawn(
    argv: Sequence[str], env: Mapping[str, str], actions: Sequence[tuple[int, int, int]]
) -> int:
    """Start `argv` in a group of its own and return; its pid, which `end` is to be told.

    actions: of os.posix_spawn; they give it its descriptors 0 to 2. It has no others, so no lock lasts longer for it
    (files.Lock), and it stands in ``/``, so it keeps no folder busy. Raises SaltbranchError.
    """
    closed = [(os.POSIX_SPAWN_CLOSE, fd) for fd in _inherited()]
    try:
        with _standing_in("/"):
            pid = os.posix_spawn(
                _which(argv[0]), list(argv), env, file_actions=[*actions, *closed], setpgroup=0
            )
    except OSError as err:
        raise SaltbranchError(f"cannot start {argv[0]!r}: {err.strerror}") from err
    _running.add(pid)
    return pid


def _inherited() -> list[int]:
    """The descriptors after the first three that a program which is started would get."""
    found = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if fd > 2 and os.get_inheritable(fd):
                found.append(fd)
        except OSError:
            pass  # that of the folder itself, which is closed again
    return found


def end(pid: int, signum: int) -> None:
    """Send what `spawn` started, and what that has started, a signal that ends it, and wait for it."""
    _signal_group(pid, signum)
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass
    _running.discard(pid)


class Companion:
    """A program that answers each line with a line until its stdin is closed, so it ends with us, however we do."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Start it. It inherits the descriptors that are inheritable. Raises SaltbranchError."""
        self._in = -1
        in_r, self._in = os.pipe()
        self._out, out_w = os.pipe()
        self._said = os.memfd_create("saltbranch-stderr")
        self._pid = 0
        self._rest = b""
        actions = [(os.POSIX_SPAWN_DUP2, fd, to) for to, fd in enumerate((in_r, out_w, self._said))]
        try:
            self._pid = os.posix_spawn(
                _which(argv[0]), list(argv), env, file_actions=actions, setpgroup=0
            )
        except OSError as err:
            self.close()
            raise SaltbranchError(f"cannot start {argv[0]!r}: {err.strerror}") from err
        finally:
            os.close(in_r)
            os.close(out_w)
        _running.add(self._pid)

    def ask(self, line: str, timeout: float) -> str:
        """Its answer to `line`. timeout: in seconds. Raises SaltbranchError; nothing can be asked afterwards."""
        deadline = time.monotonic() + timeout
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        try:
            os.write(self._in, f"{line}\n".encode())  # shorter than a pipe is long
            while b"\n" not in self._rest:
                if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
                    raise SaltbranchError(f"no answer in {timeout:g} s")
                data = os.read(self._out, 1 << 16)
                if not data:
                    raise BrokenPipeError
                self._rest += data
        except BrokenPipeError as err:
            said = os.pread(self._said, 1 << 16, 0).decode("utf-8", "replace").strip()
            raise SaltbranchError(said.splitlines()[-1] if said else "it ended") from err
        answer, _, self._rest = self._rest.partition(b"\n")
        return answer.decode("utf-8", "replace")

    def close(self) -> None:
        """End it; may be called again."""
        if self._in < 0:
            return
        for fd in (self._in, self._out, self._said):
            os.close(fd)
        self._in = -1
        if self._pid:
            _kill_group(self._pid)
            _running.discard(self._pid)

    def __del__(self) -> None:
        """It is not left behind in a process that goes on."""
        self.close()


def kill_all() -> None:
    """End every program that is still running (another thread's, after an interrupt)."""
    for pid in list(_running):
        _signal_group(pid, _TERM)


def _collect(
    pid: int,
    pipes: tuple[int, int],
    timeout: float | None,
    listeners: Mapping[int, Callable[[bytes], None] | None],
) -> tuple[bytes, bytes, bool]:
    """Read both pipes until the process has ended; a daemon it left behind may keep them open."""
    chunks: dict[int, list[bytes]] = {fd: [] for fd in pipes}
    gone = os.pidfd_open(pid)
    poll = select.poll()
    for fd in pipes:
        os.set_blocking(fd, False)
        poll.register(fd, select.POLLIN)
    poll.register(gone, select.POLLIN)
    deadline = None if timeout is None else time.monotonic() + timeout
    timed_out = False
    try:
        while True:
            wait = None if deadline is None else max(0, deadline - time.monotonic()) * 1000
            ready = [fd for fd, _ in poll.poll(wait)]
            if not ready:
                # TERM first, so that git removes its lock files; KILL when it does not listen.
                _signal_group(pid, _KILL if timed_out else _TERM)
                timed_out, deadline = True, time.monotonic() + 5
                continue
            for fd in pipes:
                if fd in ready and not _drain(fd, chunks[fd], listeners[fd]):
                    poll.unregister(fd)
            if gone in ready:
                if timed_out:
                    _signal_group(pid, _KILL)  # what it started may not have listened
                for fd in pipes:
                    _drain(fd, chunks[fd], listeners[fd])
                break
    finally:
        os.close(gone)
    out, err = (b"".join(chunks[fd]) for fd in pipes)
    return out, err, timed_out


def _by_line(progress: Callable[[str], None]) -> Callable[[bytes], None]:
    def heard(data: bytes) -> None:
        for line in data.decode("utf-8", "replace").replace("\r", "\n").splitlines():
            progress(line)

    return heard


def _drain(fd: int, into: list[bytes], heard: Callable[[bytes], None] | None) -> bool:
    """Read what is there; False at the end of the file."""
    while True:
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return True
        if not data:
            return False
        into.append(data)
        if heard:
            heard(data)


def _signal_group(pid: int, signum: int) -> None:
    try:
        os.killpg(pid, signum)
    except (ProcessLookupError, PermissionError):
        pass


def _kill_group(pid: int) -> None:
    _signal_group(pid, _TERM)
    for _ in range(50):
        try:
            # Not reaped yet: while it is there, no other process gets its number.
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
        except ChildProcessError:
            return
        time.sleep(0.02)
    _signal_group(pid, _KILL)
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass
