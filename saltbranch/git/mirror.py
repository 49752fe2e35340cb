"""The bare local copy of the remote, the only thing that talks to the network.

Its branches are forced to what the remote says; what is served stays reachable through the HEAD of
each slot, so nothing that a saltenv shows is ever collected as garbage.
"""

from __future__ import annotations

import os
import time

from saltbranch.base import proc
from saltbranch.base.errors import DamagedMirrorError, GitError, LockedError, RemoteError
from saltbranch.git.program import HINTS, Git, failed, hint_for, indent, mask, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FETCH_FLAGS = (
    "fetch",
    "--no-tags",
    "--prune",
    "--force",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--no-recurse-submodules",
    "--no-show-forced-updates",
    "--update-head-ok",  # no branch is checked out here, so do not look through every slot for one
)
# Objects are checked on arrival, so a damaged or hostile repository is refused at the door. The
# four exceptions are old mistakes in real histories that harm nobody.
FETCH_CONFIG = (
    "fetch.fsckObjects=true",
    "fetch.fsck.zeroPaddedFilemode=ignore",
    "fetch.fsck.badTimezone=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.fsck.missingEmail=ignore",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "fetch.recurseSubmodules=false",
)
_CONFIG_TEXT = """\
[gc]
\tauto = 0
[maintenance]
\tauto = false
[core]
\ttrustctime = false
\tlogAllRefUpdates = false
"""
_HINTS = (
    ("Permission denied (publickey", "give this user a deploy key that may read the repository"),
    ("Host key verification failed", "add the server to known_hosts: ssh-keyscan HOST >> ~/.ssh/known_hosts"),
    ("Could not resolve host", "check the host in that URL and this machine's DNS"),
    ("Authentication failed", "check the credential helper or token of this user"),
    ("could not read Username", "configure a credential helper, or use an ssh URL with a deploy key"),
    ("does not appear to be a git repository", "check the path in that URL"),
    ("Repository not found", "check that URL and that this user may read it"),
    *HINTS,
)  # fmt: skip


_BRANCHES = "+refs/heads/*:refs/heads/*"
_JOURNAL = "+refs/saltbranch/*:refs/saltbranch/*"
_TAGS = "+refs/tags/*:refs/tags/*"
# The folder of the mirrors of submodules, beside that of the control repository (repository/pinned.py).
FORMULAS = "formulas"
WORKTREES = "worktrees"
# Where git keeps what it knows of the slots of labs. `git fetch` reads all that is below WORKTREES, each time.
LABS = "labs"
JOURNAL_REF = "refs/saltbranch/journal"
# The last journal that was accepted, where no fetch moves or prunes it.
KEPT_REF = "refs/kept/journal"
# The same of the verbs that work in a clone, or in a mirror beside its syncs; a fetch never prunes it.
KEPT_BY_VERBS = "refs/saltbranch-kept/journal"
# Below it the last accepted commit of the production branch, by its name (repository/model.py).
PRODUCTION = "refs/kept/production/"


def ref_name(branch: str) -> str:
    """`branch` as one part of a ref: ``a`` and ``a/b`` may follow one another, but exclude each other as refs."""
    return branch.replace("%", "%25").replace("/", "%2F")


class Refs:
    """What the remote had when it was read, and what was accepted of it before.

    branches: name to commit. tags: name to the object that the ref names, tag_commits: to the commit in the end; a
    look that does not need them leaves them empty. journal, kept, kept_by_verbs: commits. accepted: as below
    PRODUCTION. in_the_way: refs below the journal's, which exclude it.
    """

    __slots__ = (
        "accepted", "branches", "in_the_way", "journal", "kept", "kept_by_verbs", "tag_commits", "tags",
    )  # fmt: skip

    def __init__(self, listing: str = "") -> None:
        """listing: lines of object name and full ref; others than those above are passed over."""
        branches: dict[str, str] = {}
        tags: dict[str, str] = {}
        self.branches, self.tags = branches, tags
        self.tag_commits: dict[str, str] = {}
        self.accepted: dict[str, str] = {}
        self.in_the_way: list[str] = []
        self.journal: str | None = None
        self.kept: str | None = None
        self.kept_by_verbs: str | None = None
        for line in listing.split("\n"):  # a name may hold what else splitlines() splits at
            oid, _, ref = line.partition(" ")
            if ref.startswith("refs/heads/"):
                branches[ref[11:]] = oid
            elif ref.startswith("refs/tags/"):
                tags[ref[10:]] = oid
            elif ref == JOURNAL_REF:
                self.journal = oid
            elif ref == KEPT_REF:
                self.kept = oid
            elif ref == KEPT_BY_VERBS:
                self.kept_by_verbs = oid
            elif ref.startswith(f"{JOURNAL_REF}/"):
                self.in_the_way.append(ref)
            elif ref.startswith(PRODUCTION):
                self.accepted[ref[len(PRODUCTION) :]] = oid

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refs) and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )


class Mirror:
    """``root/mirror.git``, or another one below `root`."""

    __slots__ = ("git", "path")
    config_text = _CONFIG_TEXT

    def __init__(self, root: str, name: str = "mirror.git") -> None:
        self.path = f"{root}/{name}"
        self.git = Git(self.path)

    def exists(self) -> bool:
        """Whether it was made; it is renamed into place when it is whole."""
        return os.path.exists(f"{self.path}/config")

    def gitdir_of(self, slot: str, *, of_lab: bool) -> str:
        """Where git keeps index and HEAD of the slot of that name, ``<dirname>-a`` or ``-b``."""
        return f"{self.path}/{LABS if of_lab else WORKTREES}/{slot}"

    def create(self) -> None:
        """Make an empty one. Raises GitError."""
        fresh = f"{self.path}.saltbranch-new"
        remove_tree(fresh)
        done = proc.run(
            ["git", "init", "--quiet", "--bare", "--template=", "--", fresh], self.git.env
        )
        if done.code != 0:
            raise failed(done, fresh)
        with open(f"{fresh}/config", "a", encoding="utf-8") as file:
            file.write(self.config_text)
        os.makedirs(f"{fresh}/info", exist_ok=True)
        os.rename(fresh, self.path)

    def fetch(
        self,
        remote: str,
        *,
        timeout: float,
        tags: bool = False,
        first: Sequence[str] = (),
        progress: Callable[[str], None] | None = None,
    ) -> dict[str, str]:
        """Make the branches and the journal here those of `remote`, and with `tags` the tags, too.

        timeout: seconds. first: branches that come first where not everything can be read. Returns what could
        not: full ref to reason. Raises RemoteError when the remote cannot be read, GitError when the
        mirror itself is at fault.
        """
        if not self.exists():
            if os.path.lexists(self.path):
                raise DamagedMirrorError(
                    f"the mirror {self.path} is damaged:\n  it has no config file"
                )
            self.create()
        self._remove_cut_off()
        refspecs = [_BRANCHES, _JOURNAL, *([_TAGS] if tags else [])]
        done = self._fetch(remote, refspecs, timeout, progress)
        if done.code == 0:
            return {}
        if is_locked(done.complaint):
            self.remove_stale_locks()
            done = self._fetch(remote, refspecs, timeout, progress)
        if done.code == 0:
            return {}
        self._remove_cut_off()
        if not self.is_healthy() or self._lacks_objects(done.complaint):
            raise DamagedMirrorError(
                f"the mirror {self.path} is damaged:\n{indent(mask(done.complaint))}"
            )
        if not hint_for(done.complaint, HINTS):  # on a full disk nothing can be read
            unread = self._fetch_parts(remote, timeout, first, progress, tags=tags)
            if unread is not None:
                return unread
        raise remote_error(remote, done, timeout)

    def _fetch_parts(
        self,
        remote: str,
        timeout: float,
        first: Sequence[str],
        progress: Callable[[str], None] | None,
        *,
        tags: bool,
    ) -> dict[str, str] | None:
        from saltbranch.git.partial_fetch import PartFetch  # rarely needed

        parts = PartFetch(
            self.git,
            remote,
            fetch=lambda specs, seconds: self._fetch(remote, specs, seconds, progress),
            below="refs",
            kinds=("heads", "saltbranch", *(("tags",) if tags else ())),
            before_all=JOURNAL_REF,
            seconds=timeout,
        )
        try:
            return parts.run(first)
        finally:
            self._remove_cut_off()

    def fetch_journal(self, remote: str, *, timeout: float) -> None:
        """Make only the journal here that of `remote`. Raises RemoteError."""
        done = self._fetch(remote, [_JOURNAL], timeout, None)
        if done.code != 0:
            raise remote_error(remote, done, timeout)

    def _fetch(
        self,
        remote: str,
        refspecs: list[str],
        timeout: float,
        progress: Callable[[str], None] | None,
    ) -> proc.Finished:
        talk = "--progress" if progress else "--quiet"
        return self.git.run(
            *FETCH_FLAGS,
            talk,
            "--",
            remote,
            *refspecs,
            config=FETCH_CONFIG,
            timeout=timeout,
            progress=progress,
        )

    def branches(self) -> dict[str, str]:
        """Branch name to full commit hash, as last fetched. Raises GitError."""
        text = self.git.out("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads")
        return Refs(text).branches

    def refs(self, *, tags: bool = False) -> Refs:
        """What was last fetched: branches, journal and, where asked for, tags. Raises GitError."""
        patterns = [
            "refs/heads",
            JOURNAL_REF,
            "refs/kept",
            KEPT_BY_VERBS,
            *(["refs/tags"] if tags else []),
        ]
        return Refs(self.git.out("for-each-ref", "--format=%(objectname) %(refname)", *patterns))

    def is_healthy(self) -> bool:
        """Whether git can read its refs and the commits that these name."""
        done = self.git.run("for-each-ref", "--format=%(objecttype) %(tree)")
        return done.code == 0 and not done.err

    def has_history(self, commit: str) -> bool:
        """Whether all commits that `commit` contains are here."""
        return self.git.run("rev-list", "--quiet", "--end-of-options", commit).code == 0

    def is_whole(self, commit: str) -> bool:
        """Whether the history of `commit` is here, and all its files (reads every one of them)."""
        for args in (
            ("rev-list", "--quiet", "--end-of-options"),
            ("archive", "--output=/dev/null"),
        ):
            if self.git.run(*args, commit).code != 0:
                return False
        return True

    def _lacks_objects(self, complaint: str) -> bool:
        """Whether `complaint` is about objects, and some that should be here are missing."""
        refused = "fsck error in" in complaint  # what came was bad, not what is here
        return "object" in complaint and not refused and not self._has_all_files()

    def _has_all_files(self) -> bool:
        refs = self.refs()
        journals = (head for head in (refs.journal, refs.kept) if head)
        return all(map(self.has_history, journals)) and all(
            map(self.is_whole, refs.branches.values())
        )

    def rebuild(self) -> str:
        """Put a damaged mirror aside, for a look at it, and start an empty one; its new path."""
        aside = f"{self.path}.damaged-{time.strftime('%Y%m%dT%H%M%S')}"
        remove_tree(aside)
        if os.path.lexists(self.path):
            os.rename(self.path, aside)
        self.create()
        return aside

    def _remove_cut_off(self) -> None:
        """Remove the packs of fetches that were cut off, which git would keep for ever."""
        if not any(n.startswith("tmp_") for n in _names(f"{self.path}/objects/pack")):
            return
        from saltbranch.base import files
        from saltbranch.git import partial_fetch

        try:
            # Whoever promotes here fetches into the mirror without the root's lock, but with this one.
            with files.Lock(f"{self.path}/saltbranch.lock"):
                partial_fetch.remove_cut_off(self.path)
        except (LockedError, OSError):
            pass  # the next run will

    def remove_stale_locks(self) -> None:
        """Remove ref locks that a killed git left; the caller holds the lock of what is fetched into.

        Raises GitError when a git process still works here.
        """
        for pid in _names("/proc"):
            if pid.isdigit() and self._is_ours(pid):
                raise GitError(
                    f"git (process {pid}) still works on {self.path}, left by a saltbranch that was killed",
                    hint=f"wait for it, or end it: kill {pid}",
                )
        for folder, folders, names in os.walk(self.path):
            if "objects" in folders:
                folders.remove("objects")
            for name in names:
                if name.endswith(".lock"):
                    os.unlink(f"{folder}/{name}")

    def _is_ours(self, pid: str) -> bool:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                return os.fsencode(f"--git-dir={self.path}") in file.read().split(b"\0")
        except OSError:
            return False


def is_locked(complaint: str) -> bool:
    """Whether a lock was in the way, which a git that was killed may have left."""
    if "File name too long" in complaint:
        return False
    return ".lock': File exists" in complaint or "cannot lock ref" in complaint


def remote_error(remote: str, done: proc.Finished, timeout: float) -> RemoteError:
    """The error for a git command, `done`, that could not read `remote`."""
    text = mask(done.complaint)
    if done.timed_out:
        why = f"no end after {timeout:g} s"
        hint = "check the network; fetch_timeout: in saltbranch.yaml gives it longer"
    else:
        why = f"git ended with {done.code}"
        hint = (
            hint_for(text, _HINTS)
            or f"try by hand, as this user: git ls-remote {quoted(mask(remote))}"
        )
    tail = f":\n{indent(text)}" if text else ""
    return RemoteError(f"cannot read the remote {mask(remote)} ({why}){tail}", hint=hint)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def remove_tree(path: str) -> None:
    """Remove the folder `path` with all in it, never following a symlink; fine when it is not there."""
    if not os.path.lexists(path):
        return
    import shutil  # rarely needed

    shutil.rmtree(path)
