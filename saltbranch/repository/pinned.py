"""The repositories that submodules come from: a bare mirror for each URL, shared by all that pin a commit of it.

On a master they are below its root, in a clone below the user's cache. A mirror is fetched into only where a wanted
commit is not in it yet. A commit counts as here once it was looked at: all of it is here and it is not too large; then
a ref of its own keeps it, whatever its remote does with its branches later.
"""

from __future__ import annotations

import os
import time

from saltbranch.base import files, proc
from saltbranch.base.errors import GitError, LockedError, os_error
from saltbranch.git.address import Address
from saltbranch.git.mirror import (
    FETCH_CONFIG,
    FETCH_FLAGS,
    FORMULAS,
    Mirror,
    is_locked,
    remote_error,
    remove_tree,
)
from saltbranch.git.program import HINTS, Git, hint_for, mask
from saltbranch.git.submodules import Pin, name_problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# Bytes of what one fetch brings, and of the files of one commit: more is no formula.
LARGEST = 512 << 20
MOST_FILES = 50_000
_PINS = "refs/pins"
_REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
# git's words for a server that was not reached: asking it for one commit would take as long again.
_NOT_REACHED = (
    "Could not read from remote repository",
    "unable to access",
    "does not appear to be a git repository",
    "transport '",
)
# Of a server that does not answer at all: nor will it for another repository.
_SILENT = (
    "timed out",
    "Connection refused",
    "Could not resolve host",
    "No route to host",
    "Failed to connect",
    "Network is unreachable",
)
_PLAIN = {c: c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-"}
_PLAIN["/"] = "+"
_LIMITER = (
    # A credential helper that stays in memory must not keep a lock of ours.
    "import os, resource; os.closerange(3, 1024); limit = int(sys.argv[1]);"
    " hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]; limit = min(limit, hard) if hard > 0 else limit;"
    " resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)); os.execvp(sys.argv[2], sys.argv[2:])"
)


def is_kept(mirror: str, commit: str) -> bool:
    """Whether `commit` was found to be in the mirror at the path `mirror`, whole and not too large."""
    return os.path.exists(f"{mirror}/{_PINS}/{commit}")


class Formula(Mirror):
    """The mirror of one URL. address: where that is."""

    __slots__ = ("address", "reached", "silent")
    config_text = Mirror.config_text.replace("[gc]\n", "[gc]\n\tpackRefs = false\n")  # see `has`

    def __init__(self, folder: str, address: Address) -> None:
        super().__init__(folder, f"{_folder_name(address.identity)}.git")
        self.address = address
        self.reached = True  # false once a fetch could not read there at all
        self.silent = False  # true once its server did not even answer

    def has(self, commit: str) -> bool:
        """Whether `commit` was found to be here; no git is asked."""
        return is_kept(self.path, commit)

    def bring_in(
        self,
        commits: Iterable[str],
        *,
        timeout: float,
        say: Callable[[str], None] | None = None,
        largest: int | None = None,
    ) -> dict[str, str]:
        """Fetch those of `commits` that are not here; why one is not here afterwards, by commit.

        timeout: seconds for all. largest: bytes, as LARGEST. Raises nothing that is expected.
        """
        missing = [commit for commit in dict.fromkeys(commits) if not self.has(commit)]
        if not missing:
            return {}
        deadline = time.monotonic() + timeout
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            with files.Lock(f"{self.path}.lock", wait=timeout):
                return self._bring(missing, deadline, largest or LARGEST, say)
        except (GitError, LockedError) as err:
            return dict.fromkeys(missing, _told(err))
        except OSError as err:
            return dict.fromkeys(missing, _told(os_error(err)))

    def refresh(self, *, timeout: float, say: Callable[[str], None] | None = None) -> str:
        """Make branches and tags here those of the remote; why that failed, empty where it did not.

        timeout: seconds. Raises nothing that is expected.
        """
        deadline = time.monotonic() + timeout
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            with files.Lock(f"{self.path}.lock", wait=timeout):
                self._make_ready()
                done = self._ask(_REFSPECS, deadline, LARGEST, say)
        except (GitError, LockedError) as err:
            return _told(err)
        except OSError as err:
            return _told(os_error(err))
        return "" if done.code == 0 else self._reason("", done, deadline)

    def _make_ready(self) -> None:
        if not self.exists():
            remove_tree(self.path)
            self.create()
        elif not self.is_healthy():
            self._start_anew()
        self._remove_cut_off()

    def _bring(
        self,
        missing: Sequence[str],
        deadline: float,
        largest: int,
        say: Callable[[str], None] | None,
    ) -> dict[str, str]:
        missing = [commit for commit in missing if not self.has(commit)]
        if not missing:  # another was quicker
            return {}
        self._make_ready()
        missing = [c for c in missing if not self._is_here(c) or self._keep(c, largest)]
        if not missing:  # came along with another one
            return {}
        done = self._ask(_REFSPECS, deadline, largest, say)
        left = [commit for commit in missing if not self._is_here(commit)]
        if done.code != 0 and left and not self.is_healthy():
            self._start_anew()
            done = self._ask(_REFSPECS, deadline, largest, say)
            left = [commit for commit in missing if not self._is_here(commit)]
        self.reached = not any(sign in done.complaint for sign in _NOT_REACHED)
        self.silent = done.timed_out or any(sign in done.complaint for sign in _SILENT)
        why: dict[str, str] = {}
        for commit in left:  # no branch and no tag has it: many servers give it all the same
            if self.reached and not done.timed_out and time.monotonic() < deadline:
                ref = f"refs/asked/{commit}"
                done = self._ask([f"+{commit}:{ref}"], deadline, largest, say)
                self.git.run("update-ref", "-d", ref)
            if not self._is_here(commit):
                why[commit] = self._reason(commit, done, deadline)
        for commit in missing:
            if commit not in why:
                why |= self._keep(commit, largest)
        self._remove_cut_off()
        return why

    def _start_anew(self) -> None:
        remove_tree(self.path)
        self.create()

    def _ask(
        self,
        refspecs: Sequence[str],
        deadline: float,
        largest: int,
        say: Callable[[str], None] | None,
    ) -> proc.Finished:
        done = self._ask_once(refspecs, deadline, largest, say)
        if done.code != 0 and is_locked(done.complaint):
            self.remove_stale_locks()
            done = self._ask_once(refspecs, deadline, largest, say)
        return done

    def _ask_once(
        self,
        refspecs: Sequence[str],
        deadline: float,
        largest: int,
        say: Callable[[str], None] | None,
    ) -> proc.Finished:
        scheme = self.address.scheme
        git = Git(self.path)
        allowed = git.env.get("GIT_ALLOW_PROTOCOL")
        if allowed is None or scheme in allowed.split(":"):
            git.env["GIT_ALLOW_PROTOCOL"] = scheme
        git.start_with(proc.python(_LIMITER, str(largest)))
        return git.run(
            *FETCH_FLAGS,
            "--update-shallow",
            "--progress" if say else "--quiet",
            "--",
            self.address.url,
            *refspecs,
            config=(*FETCH_CONFIG, "fetch.unpackLimit=1"),
            timeout=max(1, deadline - time.monotonic()),
            progress=say,
        )

    def _reason(self, commit: str, done: proc.Finished, deadline: float) -> str:
        """Why `commit` is not here after the fetch `done`, in one line with what to do."""
        text = done.complaint
        shown = self.address.shown
        if done.code == 0 or "not our ref" in text or "unadvertised object" in text:
            return f"{shown} does not have the commit {commit[:12]} (was it pushed there? pin one that it has)"
        if "File too large" in text or "signal 25" in text:
            return f"what {shown} sends is larger than a formula may be (pin a smaller repository)"
        if hint := hint_for(text, HINTS):
            return f"{_one_line(mask(text))} ({hint})"
        return _told(remote_error(self.address.url, done, max(1, deadline - time.monotonic())))

    def _is_here(self, commit: str) -> bool:
        return self.git.run("cat-file", "-e", f"{commit}^{{commit}}").code == 0

    def _keep(self, commit: str, largest: int) -> dict[str, str]:
        """Look at `commit` once and keep it by a ref; why that is not done."""
        listed = self.git.run("ls-tree", "-r", "-l", "-z", "--full-tree", commit)
        if listed.code != 0 or not self.is_whole(commit):
            return {
                commit: f"the copy of {self.address.shown} lacks files of {commit[:12]} (run it again)"
            }
        sizes = [line.partition("\t")[0].split()[-1] for line in listed.text.split("\0") if line]
        if len(sizes) > MOST_FILES or sum(int(size) for size in sizes if size.isdigit()) > largest:
            return {
                commit: f"the files of {commit[:12]} of {self.address.shown} are more than a formula may have"
                f" ({MOST_FILES} files, {largest >> 20} MiB; pin a smaller commit)"
            }
        self.git.out("update-ref", f"{_PINS}/{commit}", commit)
        return {}

    def tidy(self) -> None:
        """Pack what many small fetches left; refs stay files of their own."""
        try:
            packs = [n for n in os.listdir(f"{self.path}/objects/pack") if n.endswith(".pack")]
        except OSError:
            return
        if len(packs) > 50:
            self.git.run("gc", "--quiet", config=("gc.autoDetach=false",), timeout=3600)

    def drop(self) -> None:
        """Put the mirror, which turned out to be damaged, aside; the next fetch makes it anew."""
        with files.Lock(f"{self.path}.lock", wait=60):
            if os.path.isdir(self.path):
                remove_tree(self._aside)
                os.rename(self.path, self._aside)

    def decide_aside(self, *, put_back: bool) -> None:
        """Take again what was put aside, where its remote did not give all: other commits in it may be whole.
        Else remove it.
        """
        with files.Lock(f"{self.path}.lock", wait=60):
            if put_back and os.path.isdir(self._aside):
                remove_tree(self.path)
                os.rename(self._aside, self.path)
            remove_tree(self._aside)

    @property
    def _aside(self) -> str:
        return f"{self.path}.damaged"


def _folder_name(identity: str) -> str:
    """Of one place, and readable: ``https+git.example.com+formulas+nginx``."""
    scheme, _, rest = identity.partition("://")
    name = "".join(_PLAIN.get(c) or _escaped(c) for c in rest)
    if len(name) <= 200:
        return f"{scheme}+{name}"
    import hashlib  # costs more than all the rest here

    return f"{scheme}+{name[:100]}-{hashlib.sha256(identity.encode()).hexdigest()}"


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def git_folder_of(pin: Pin, stores: Iterable[Store], clone: str | None = None) -> str | None:
    """The git folder whose objects have the commit of `pin` and its files; None where none has.

    clone: the git folder of a clone, whose own submodules are looked at first. Nothing is fetched.
    """
    if clone and (found := module_of(clone, pin.name, pin.commit)):
        return found
    if pin.address is None:
        return None
    mirrors = (store.of(pin.address) for store in stores)
    return next((mirror.path for mirror in mirrors if mirror.has(pin.commit)), None)


class Store:
    """The mirrors below one folder: ``root/formulas`` of a master, or the user's cache."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def of(self, address: Address) -> Formula:
        """The mirror of `address`, which need not be there yet."""
        return Formula(self.folder, address)


def of_root(root: str) -> Store:
    """The mirrors of a master."""
    return Store(f"{root}/{FORMULAS}")


def of_user() -> Store:
    """The mirrors in the cache of the user (XDG base directory specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Store(f"{base}/saltbranch/{FORMULAS}")


def module_of(git_folder: str, name: str, commit: str) -> str | None:
    """The git folder of the submodule `name` in a clone where it has the objects of `commit`.

    git_folder: the clone's own (git rev-parse --git-common-dir). Only the objects in it are ever read.
    """
    if name_problem(name):
        return None
    folder = f"{git_folder}/modules/{name}"
    below = os.path.realpath(f"{git_folder}/modules")
    objects = os.path.realpath(f"{folder}/objects")
    if objects != os.path.join(below, *name.split("/"), "objects") or not os.path.isdir(objects):
        return None
    from saltbranch.git.pinned_tree import with_objects

    seeing = with_objects(Git(git_folder), [folder])
    # The repository itself may have it as well; that is the same commit.
    return folder if seeing.run("cat-file", "-e", f"{commit}^{{tree}}").code == 0 else None


def _told(err: Exception) -> str:
    hint = getattr(err, "hint", "")
    return _one_line(f"{getattr(err, 'message', err)}{f' ({hint})' if hint else ''}")


def _one_line(text: str) -> str:
    from saltbranch.base.text import one_line  # only where something went wrong

    return one_line(text)
