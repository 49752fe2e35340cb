"""The git repository that a promoting verb works in, and the remote as it was last read.

It is an ordinary clone, or the mirror of a master. Only its object database is used, and refs of our own
(`refs/saltbranch-remote/`): no branch, index or work tree of anybody is touched. What is shared moves by one
atomic push with a lease for every ref (git-push(1)): either all of them, and only from where they were seen, or none.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from saltbranch.base import proc
from saltbranch.base.errors import RefusedError
from saltbranch.base.files import Lock
from saltbranch.git.mirror import (
    FETCH_CONFIG,
    JOURNAL_REF,
    KEPT_BY_VERBS,
    KEPT_REF,
    Refs,
    remote_error,
)
from saltbranch.git.program import HINTS, Git, branch_name_problem, hint_for, quoted
from saltbranch.journal import accepted
from saltbranch.repository import prepared
from saltbranch.repository.clone import Clone, require_history

_SEEN = "refs/saltbranch-remote"
_FETCH = (
    "fetch", "--no-tags", "--prune", "--force", "--no-write-fetch-head", "--no-auto-maintenance",
    "--no-recurse-submodules", "--no-show-forced-updates", "--refmap=", "--update-head-ok",
)  # fmt: skip
_REFSPECS = tuple(f"+refs/{kind}/*:{_SEEN}/{kind}/*" for kind in ("heads", "tags", "saltbranch"))


class Repository:
    """``Repository("/srv/saltbranch/mirror.git", "git@git.example.com:ops/salt.git", timeout=300)``."""

    def __init__(
        self, git_dir: str, remote: str, *, timeout: float, clone: Clone | None = None
    ) -> None:
        """remote: a URL or the name of one; empty for a clone without any, whose own branches count then."""
        self.git = Git(git_dir)
        self.remote = remote
        self.timeout = timeout
        self.place = clone
        self.refs = Refs()
        self.seen = (
            _SEEN if remote else "refs"
        )  # below it the branches, tags and journal of the remote
        self.problem: RefusedError | None = None  # with the journal of the remote
        self.unread: dict[str, str] = {}  # what could not be read of it: full ref to reason
        self.outdated: dict[str, str] = {}  # such branches, as they were when they were last read
        # The branches that come first where not everything can be read.
        self.first: Callable[[], Sequence[str]] = tuple

    @property
    def clone(self) -> str | None:
        """The root of the work tree; None in a mirror."""
        return self.place.folder if self.place else None

    @property
    def is_foreign(self) -> bool:
        """Whether it is somebody else's clone, where nothing is fetched or written."""
        return self.place is not None and bool(self.place.foreign)

    def fetch(self, progress: Callable[[str], None] | None = None, *, wait: float = 60) -> Refs:
        """Read the remote: branches, tags and journal. Raises RemoteError, GitError, LockedError.

        In somebody else's clone, and in one without a remote, what is there already counts.
        """
        if self.is_foreign or not self.remote:
            self.refs = self.read_last()
            self.judge_journal(keep=True)
            return self.refs
        with Lock(f"{self.git.directory}/saltbranch.lock", wait=wait, waiting=progress):
            begun = time.time()
            done = self._fetch(_REFSPECS, self.timeout, progress)
            self.unread = {} if done.code == 0 else self._fetch_parts(done, begun, progress)
            prepared.keep_unread(self._unread_path, self.unread)
            self.refs = self.read_last()
            self.judge_journal(keep=True)
        return self.refs

    def ask_journal(self, *, timeout: float) -> str | None:
        """The head of the remote's journal, nothing of which is fetched. timeout: seconds. Raises RemoteError."""
        words = ("ls-remote", "--quiet", "--", self.remote, JOURNAL_REF)
        done = self.git.run(*words, config=FETCH_CONFIG, timeout=timeout)
        if done.code != 0:
            raise remote_error(self.remote, done, timeout)
        return next(
            (line[:40] for line in done.text.splitlines() if line.endswith(JOURNAL_REF)), None
        )

    def fetch_journal(self, *, timeout: float) -> None:
        """Read only the journal of the remote. timeout: seconds. Raises RemoteError, GitError, LockedError."""
        begun = time.monotonic()
        with Lock(f"{self.git.directory}/saltbranch.lock", wait=timeout):
            left = max(1.0, timeout - (time.monotonic() - begun))
            done = self._fetch((f"+{JOURNAL_REF}:{self.seen}/saltbranch/journal",), left, None)
            if done.code != 0:
                raise remote_error(self.remote, done, left)
            self.refs = self.read_last()
            self.judge_journal(keep=True)

    @property
    def _unread_path(self) -> str:
        return f"{self.git.directory}/saltbranch-unread"

    def read_last(self) -> Refs:
        """What the remote had when it was last read, without what could not be read then. Raises GitError."""
        if self.seen == _SEEN:
            self.unread = prepared.read_unread(self._unread_path)
        return self._without_unread(self.last_seen())

    def _without_unread(self, refs: Refs) -> Refs:
        """`refs` without the branches that could not be read: what they were is not an answer."""
        lost = [b for b in refs.branches if f"refs/heads/{b}" in self.unread]
        self.outdated = {b: refs.branches.pop(b) for b in lost}
        return refs

    def _fetch(
        self, refspecs: Sequence[str], timeout: float, progress: Callable[[str], None] | None
    ) -> proc.Finished:
        talk = "--progress" if progress else "--quiet"
        return self.git.run(
            *_FETCH, talk, "--", self.remote, *refspecs,
            config=FETCH_CONFIG, timeout=timeout, progress=progress,
        )  # fmt: skip

    def _fetch_parts(
        self, done: proc.Finished, begun: float, progress: Callable[[str], None] | None
    ) -> dict[str, str]:
        """Read all but what stopped the fetch `done`, of the time `begun`; that, full ref to reason."""
        from saltbranch.git import partial_fetch  # rarely needed

        parts = partial_fetch.PartFetch(
            self.git,
            self.remote,
            fetch=lambda specs, seconds: self._fetch(specs, seconds, progress),
            below=_SEEN,
            kinds=("heads", "tags", "saltbranch"),
            before_all=JOURNAL_REF,
            seconds=self.timeout,
        )
        unread = None if hint_for(done.complaint, HINTS) else parts.run(self.first())
        partial_fetch.remove_cut_off(self.git.directory, since=begun)
        if unread is None:
            raise remote_error(self.remote, done, self.timeout)
        return unread

    def judge_journal(self, *, keep: bool) -> None:
        """Let the journal count that is believed (journal/accepted.py); `problem`: with that of the remote.

        keep: remember it. Raises GitError.
        """
        root = None if self.place else os.path.dirname(self.git.directory)
        found = accepted.believed(self.git, self.refs, root=root)
        self.refs.journal, self.problem = found.head, None
        if why := self.unread.get(JOURNAL_REF):
            old = found.before
            back = f": git push --force REMOTE {old}:{JOURNAL_REF}" if old else ""
            self.problem = RefusedError(
                f"the journal of the remote cannot be read: {why}",
                hint=f"fix {JOURNAL_REF} there, which says what was promoted and what is held{back}",
            )
        elif found.problem:
            self.problem = RefusedError(found.problem, hint=found.hint)
        elif keep and found.head and found.head != found.before and not self.is_foreign:
            self.git.out("update-ref", KEPT_BY_VERBS, found.head)
            self.refs.kept_by_verbs = found.head

    def last_seen(self) -> Refs:
        """What the remote had when it was last read, without asking it. Raises GitError."""
        lines, commits = [], {}
        form = "--format=%(objectname) %(objecttype) %(*objectname) %(*objecttype) %(refname)"
        where = [f"{self.seen}/{kind}/" for kind in ("heads", "tags", "saltbranch")]
        # A mirror's syncs believe one, too.
        kept = [KEPT_BY_VERBS] if self.place else [KEPT_BY_VERBS, KEPT_REF]
        for line in self.git.out("for-each-ref", form, *where, *kept).splitlines():
            oid, kind, peeled, peeled_kind, ref = line.split(" ", 4)
            name = ref if ref in kept else f"refs{ref[len(self.seen) :]}"
            if name.startswith("refs/tags/"):
                if peeled_kind == "tag":  # a tag of a tag: git before 2.45 peels it once
                    peeled = self.git.commit_or_none(ref) or ""
                    peeled_kind = "commit" if peeled else ""
                if "commit" not in (kind, peeled_kind):
                    continue
                commits[name[10:]] = peeled or oid
            lines.append(f"{oid} {name}")
        found = Refs("\n".join(lines))
        found.tag_commits = commits
        if not found.branches and self.place and self.remote:
            self._take_what_git_fetched(found)
        return found

    def _take_what_git_fetched(self, found: Refs) -> None:
        """Put what the person's own `git fetch` brought into `found`, where we have not read the remote yet."""
        found.journal, found.tags, found.tag_commits = None, {}, {}
        found.branches = known_heads(self.git, self.remote)
        form = "--format=%(objectname) %(*objectname) %(refname:lstrip=2)"
        for line in self.git.out("for-each-ref", form, "refs/tags/").splitlines():
            name, peeled, tag = line.split(" ", 2)
            if commit := self.git.commit_or_none(peeled or name):
                found.tags[tag], found.tag_commits[tag] = name, commit

    def log_command(self, branch: str) -> str:
        """What a person types here to see the commits of a branch of the remote."""
        if self.place and not self.remote:
            return f"git log {quoted(branch)}"
        if self.place and self.place.has_remote(self.remote):
            return f"git log {quoted(f'{self.remote}/{branch}')}"
        return f"git --git-dir={quoted(self.git.directory)} log {quoted(f'{self.seen}/heads/{branch}')}"


def ask_for_tag(git: Git, remote: str, name: str, *, timeout: float) -> str | None:
    """The commit of a tag of `remote`, for a mirror, which keeps no tags that nobody follows.

    Where the remote cannot be read it is what is known of it here. Raises GitError.
    """
    if branch_name_problem(name):
        return None
    ref = f"{_SEEN}/tags/{name}"
    try:
        with Lock(f"{git.directory}/saltbranch.lock", wait=60):
            done = git.run(
                *_FETCH, "--quiet", "--", remote, f"+refs/tags/{name}:{ref}",
                config=FETCH_CONFIG, timeout=timeout,
            )  # fmt: skip
    except OSError:
        return None  # somebody else's mirror
    if "couldn't find remote ref" in done.complaint:
        return None
    return git.commit_or_none(ref)


def known_heads(git: Git, remote: str) -> dict[str, str]:
    """Branch to commit of the remote as far as it is known in a clone: by saltbranch's reading or by git's, the newer.

    remote: its name; empty for a clone without any. Raises GitError.
    """
    if not remote:
        return _heads(git, "refs/heads/")
    seen, fetched = _heads(git, f"{_SEEN}/heads/"), _heads(git, f"refs/remotes/{remote}/")
    found = {**fetched, **seen}
    for branch, commit in fetched.items():
        other = seen.get(branch, commit)
        if other != commit and branch != "HEAD" and git.is_ancestor(other, commit):
            found[branch] = commit
    found.pop("HEAD", None)
    return found


def _heads(git: Git, prefix: str) -> dict[str, str]:
    text = git.out("for-each-ref", "--format=%(objectname) %(refname)", prefix)
    pairs = (line.split(" ", 1) for line in text.splitlines())
    return {ref[len(prefix) :]: commit for commit, ref in pairs}


def open_clone(clone: Clone, *, timeout: float, remote: str) -> Repository:
    """The repository of a clone. remote: the name of the one that counts. Raises RefusedError."""
    require_history(clone)
    return Repository(clone.git_dir, remote, timeout=timeout, clone=clone)
