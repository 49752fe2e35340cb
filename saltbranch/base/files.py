"""The few things done to files: atomic writes, the lock, our mark on a root."""

from __future__ import annotations

import _thread
import fcntl
import os
import sys
import time

from saltbranch.base.errors import LockedError, RootError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Our mark on a root: its name says how the root is laid out, so whoever lists the folder knows. A saltbranch that
# knows only older layouts finds no mark of its own and touches nothing.
_MARKS = ".saltbranch-layout-"
LAYOUT = 2
MARKER = f"{_MARKS}{LAYOUT}"
FIRST_MARKER = ".saltbranch"  # of layout 1, which serve/relayout.py moves over

# What is to be renamed into place. No name that saltbranch gives to a folder or file holds a '~'.
ASIDE = "~.saltbranch-new"

_CHUNK = 1 << 16  # bytes


class _umask:  # noqa: N801 - reads like a function
    """The one place that changes the mask of the process, which all of its threads share.

    While several threads want one, what any of them forbids is forbidden; the last one out puts back what the first
    one found.
    """

    _lock = _thread.allocate_lock()  # `threading` would be one module more
    _wanted: list[int] = []  # noqa: RUF012 - of all threads
    _begun = 0  # how often anybody asked for one
    _before = 0
    mask = 0

    def __enter__(self) -> None:
        with _umask._lock:
            _umask._begun += 1
            self.was_alone = not _umask._wanted
            self.number = _umask._begun
            _umask._wanted.append(self.mask)
            before = os.umask(self._strictest())
            if self.was_alone:
                _umask._before = before

    def __exit__(self, *_exc: object) -> None:
        with _umask._lock:
            self.was_alone = self.was_alone and self.number == _umask._begun
            _umask._wanted.remove(self.mask)
            os.umask(self._strictest() if _umask._wanted else _umask._before)

    @staticmethod
    def _strictest() -> int:
        found = 0
        for mask in _umask._wanted:
            found |= mask
        return found


class private_umask(_umask):  # noqa: N801 - reads like the function it wraps
    """Make files for owner and group only, while it lasts: they hold pillar.

    The reactor of a master calls runners in several threads.
    """

    mask = 0o027


class readable_umask(_umask):  # noqa: N801 - reads like the function it wraps
    """Make what is made in `folder` readable for everybody who gets there, whatever other threads want meanwhile."""

    mask = 0o022

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        if not self.was_alone and exc[:1] == (None,):
            _make_readable(self.folder)


def _make_readable(folder: str) -> None:
    for place, _, names in os.walk(folder):
        if place != folder:
            os.chmod(place, 0o755)
        for name in names:
            path = f"{place}/{name}"
            if not os.path.islink(path):
                mode = os.stat(path).st_mode & 0o777
                os.chmod(path, mode | 0o444 | (0o111 if mode & 0o100 else 0))


def choices_path(root: str) -> str:
    """What each saltenv is to serve, as it was found out last (serve/decision_cache.py); a cache."""
    return f"{root}/state/choices"


def pending_path(root: str) -> str:
    """The holds of this master alone, until the journal has them (journal/pending_holds.py)."""
    return f"{root}/state/pending-holds"


def lent_path(root: str) -> str:
    """Which minions have a lab: the file that all generated top files read (labs/lent.py)."""
    return f"{root}/labs/lent"


def write_atomic(path: str, text: str, *, mode: int = 0o640, durable: bool = True) -> bool:
    """Replace `path` by `text` in one rename unless it holds just that; True when it was written.

    mode: permission bits, whatever the umask says. durable: the data are on disk before the rename, so
    that a power cut leaves the old file or the new one (a cache can do without).
    """
    data = text.encode("utf-8", "surrogateescape")
    if read_or_none(path) == data:
        return False
    temporary = path + ASIDE
    unlink(temporary)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        unlink(temporary)
        raise
    return True


def read_or_none(path: str) -> bytes | None:
    """The bytes of `path`, None when there is no such file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    # A quiet sync reads a few files for each saltenv: a file object asks the kernel twice as much.
    try:
        data = os.read(fd, _CHUNK)
        while more := os.read(fd, _CHUNK):
            data += more
        return data
    finally:
        os.close(fd)


def holds_anything(folder: str) -> bool:
    """Whether anything lies in `folder`; a folder that cannot be read may hold something."""
    try:
        return bool(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def unlink(path: str) -> None:
    """Remove the file `path` if it is there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def replace_symlink(target: str, path: str) -> None:
    """Make `path` a symlink to `target` by one rename(2), which readers never see half done."""
    temporary = path + ASIDE
    unlink(temporary)
    os.symlink(target, temporary)
    try:
        os.replace(temporary, path)
    except OSError:
        unlink(temporary)
        raise


def readlink_or_none(path: str) -> str | None:
    """Where the symlink `path` points, None when it is not a symlink."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def signature(path: str) -> str:
    """What tells one version of a file from another without reading it."""
    try:
        st = os.stat(path)
    except OSError:
        return "-"
    return f"{st.st_mtime_ns}:{st.st_size}:{st.st_ino}"


def boot_id() -> str:
    """Changes with every start of the machine (proc(5), random/boot_id)."""
    return (read_or_none("/proc/sys/kernel/random/boot_id") or b"-").decode().strip()


class Lock:
    """The one lock of a root: flock(2), so it ends with its holder, however that dies.

    What the file says is for people to read, it decides nothing.
    """

    def __init__(
        self, path: str, *, wait: float = 0, waiting: Callable[[str], None] | None = None
    ) -> None:
        self.path = path
        self.wait = wait
        self.waiting = waiting
        self.fd = -1

    def __enter__(self) -> Lock:
        try:
            self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except (
            PermissionError
        ):  # of another user, in a shared clone: flock(2) needs no right to write
            self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._acquire()
        except BaseException:
            os.close(self.fd)
            raise
        text = f"pid {os.getpid()}, since {time.strftime('%Y-%m-%dT%H:%M:%S%z')}: {_command()}\n"
        try:
            os.ftruncate(self.fd, 0)
            os.pwrite(self.fd, text.encode("utf-8", "replace"), 0)
        except OSError:
            pass  # on a full disk it is held all the same
        return self

    def keep_with_children(self) -> None:
        """From now on the lock lasts until also every program started from here has ended."""
        os.set_inheritable(self.fd, True)  # noqa: FBT003

    def keep_from_children(self) -> None:
        """From now on programs started from here do not keep it: a credential helper may outlive us."""
        os.set_inheritable(self.fd, False)  # noqa: FBT003

    def __exit__(self, *_exc: object) -> None:
        os.close(self.fd)

    def _acquire(self) -> None:
        deadline = time.monotonic() + self.wait
        told = False
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                pass
            holder = os.pread(self.fd, 500, 0).decode("utf-8", "replace").strip() or "unknown"
            if time.monotonic() >= deadline:
                raise LockedError(
                    f"another saltbranch works on {os.path.dirname(self.path)} ({holder})",
                    hint="try again later, or wait for it with --wait SECONDS",
                )
            if self.waiting and not told:
                self.waiting(holder)
                told = True
            time.sleep(0.05)


def _command() -> str:
    return " ".join(sys.argv)[:300]


def refuse_newer(root: str, names: Iterable[str]) -> None:
    """Refuse a root whose mark, among the `names` in it, is of a later layout. Raises RootError."""
    for name in names:
        if name.startswith(_MARKS) and name != MARKER:
            raise RootError(
                f"root {root} was laid out by a newer saltbranch ({name}), and this one knows layout {LAYOUT}",
                hint="install the newer release again; to go back, name an empty or new folder as root:"
                " in saltbranch.yaml",
            )


def mark_of(root: str) -> str:
    """The file that is our mark on `root`, also where that is of the layout before, or not there yet."""
    first = f"{root}/{FIRST_MARKER}"
    return first if os.path.exists(first) else f"{root}/{MARKER}"


def check_root(root: str) -> bool:
    """True when `root` carries our mark and is ours to write; False when it does not exist or is empty.

    Raises RootError for a folder of somebody else, and for one owned by another user: git refuses
    such a repository, and files of two owners end in a checkout that nobody can update.
    """
    try:
        st = os.stat(root)
        names = os.listdir(root)
    except FileNotFoundError:
        return False
    except NotADirectoryError as err:
        raise RootError(
            f"root {root} is not a folder", hint="fix root: in saltbranch.yaml"
        ) from err
    except PermissionError as err:
        raise RootError(
            f"root {root} cannot be read by user id {os.geteuid()}",
            hint="run saltbranch as the owner of that folder",
        ) from err
    except OSError as err:
        raise RootError(
            f"root {root} cannot be used: {err.strerror}", hint="fix root: in saltbranch.yaml"
        ) from err
    if st.st_uid != os.geteuid():
        raise RootError(
            f"root {root} belongs to user id {st.st_uid}, this process runs as {os.geteuid()}",
            hint=f"run as the owner (sudo -u '#{st.st_uid}' saltbranch ...), or chown -R the root",
        )
    if MARKER in names or FIRST_MARKER in names:
        return True
    refuse_newer(root, names)
    if names:
        raise RootError(
            f"root {root} is not empty and was not made by saltbranch (no {MARKER} in it)",
            hint="name an empty or new folder as root: in saltbranch.yaml",
        )
    return False
