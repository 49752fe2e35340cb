"""Which commits allowed signers vouch for (`require_signed:`): each by its signature, or as a clean merge of such.

A merge that none of them signed counts where merging its two parents again gives exactly its tree, and everything that
the second one brings is vouched for, too. So what somebody signed stays good however it is merged, and whoever resolves
a conflict, or changes anything beside, signs for it. A commit is judged by the signers that counted before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import takewhile

from saltbranch.base.errors import GitError, RefusedError
from saltbranch.base.text import one_line
from saltbranch.git import merge, signed_commit
from saltbranch.git.program import Git
from saltbranch.git.signed_commit import SignedCommit
from saltbranch.repository.signers import Allowed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from saltbranch.git.ssh_signature import Verifier

MERGED = "clean merge"
"""Who vouches for a merge that was made again."""
KEPT = "clean merge that keeps owned paths"
"""The same where it, or a merge that it brings, left owned paths as its first parent has them."""
NAMESPACE = "git"
MOST = 5000  # commits that are looked at in one go
_DEEPEST = 50  # merges of merges, each the second parent of the next
_LONGEST = 100  # characters of a subject or a name

Rule = Callable[[str | None], Allowed | None]
"""The signers that count after a commit (None: after nothing that is trusted); None where nobody has to vouch for what
comes then. Raises RefusedError, GitError."""
Moment = Callable[[str], float]
"""When a commit was first seen here, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Voucher:
    """Who vouches for a commit: the principals of a key, or MERGED; `signers`: `Allowed.id` by which it was judged."""

    commit: str
    by: str
    signers: str


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a question. vouchers: the oldest commit first, up to `refused`, which is not vouched for.

    refusal: why not; empty where all are.
    """

    vouchers: tuple[Voucher, ...] = ()
    refused: str = ""
    refusal: str = ""
    hint: str = ""

    @property
    def people(self) -> list[str]:
        """Each that signed one of them, once."""
        return list(dict.fromkeys(v.by for v in self.vouchers if v.by not in ("", MERGED, KEPT)))

    def told(self) -> str:
        """In a few words: who vouches for them."""
        people = self.people
        more = f" and {len(people) - 3} more" if len(people) > 3 else ""
        if people:
            return f"signed by {', '.join(people[:3])}{more}"
        return MERGED if any(v.by in (MERGED, KEPT) for v in self.vouchers) else ""


class _Unvouched(Exception):  # noqa: N818 - it is an answer
    def __init__(self, commit: SignedCommit, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.commit = commit
        self.why = why
        self.hint = hint


def _now(_commit: str) -> float:
    return time.time()


@dataclass(slots=True)
class Judge:
    """Says who vouches for commits.

    keeps: paths that promotions may leave as their target has them, as many at a time as belong together. known: what
    was found out before, by commit and `Allowed.id`. seen: when a commit was first seen; its own date is its author's
    word.
    """

    git: Git
    rule: Rule
    keeps: tuple[tuple[str, ...], ...] = ()
    known: dict[tuple[str, str], str] = field(default_factory=dict)
    seen: Moment = _now
    _read: dict[str, SignedCommit] = field(default_factory=dict)
    _verifiers: dict[str, Verifier] = field(default_factory=dict)
    _looked_at: int = 0
    _there: list[str] = field(default_factory=list)
    _anchor: str | None = None
    _production: str | None = None
    _line: set[str] | None = None

    def judge(
        self,
        new: str,
        anchor: str | None,
        trusted: Iterable[str | None] = (),
        production: str | None = None,
    ) -> Found:
        """Whether all first parents of `new` are vouched for that neither `anchor` nor `trusted` contain, and itself.

        anchor: the last commit of this branch that was accepted. Its signers count; those of what comes after count
        only for what is built right on it, for the first parents of a merge may be old, or anybody's. Where nothing is
        trusted yet, or `new` is in what is trusted and was never its head, only `new` is asked about.
        production: the commit that production accepted last. What was its head may be merged into other branches, and a
        branch that is new here counts from what it contains.
        Raises GitError, SaltbranchError where ssh-keygen is not there.
        """
        there = [c for c in (anchor, *trusted) if c and self.git.commit_or_none(c)]
        if new in there:
            return Found()
        self._there, self._production, self._line = there, production, None
        self._anchor = anchor if anchor in there else None
        chain = _after(self.git, new, there)[::-1] if there else []
        if not chain and any(self._is_on_line(new, old) for old in there):
            return Found()
        done: list[Voucher] = []
        refused = new
        with ExitStack() as stack:
            try:
                at = self._anchor
                if not there and production:
                    chain = self._newest(new, production, stack)
                commits = self._commits(chain or [new])
                is_straight = at is not None and commits[0].parents[:1] == (at,)
                for commit in commits:
                    refused = commit.id
                    done.append(self._vouched(commit, at, stack))
                    at = commit.id if is_straight else at
            except _Unvouched as err:
                return Found(tuple(done), refused, _told(err), _hint(err, refused))
            except _TooManyError:
                why = f"more than {MOST} commits would have to be judged at once"
                hint = (
                    "hold it at one in between first, then let it go (saltbranch hold --at, unhold)"
                )
                return Found(tuple(done), refused, why, hint)
            finally:
                self._verifiers.clear()
        return Found(tuple(done))

    def _newest(self, new: str, production: str, stack: ExitStack) -> list[str]:
        """From the newest commit that somebody signed on, what production does not contain: anybody can make a clean
        merge of what is old, whose first parent is theirs.
        """
        found: list[str] = []
        for name in _after(self.git, new, [production]):
            found.insert(0, name)
            try:
                if self._vouched(self._commits([name])[0], None, stack).by not in (MERGED, KEPT):
                    break
            except _Unvouched:
                break
        return found

    def _is_on_line(self, commit: str, old: str) -> bool:
        args = ("rev-list", "--first-parent", "--end-of-options", old, f"^{commit}^@")
        return commit in self.git.out(*args).split()

    def _commits(self, names: Sequence[str]) -> list[SignedCommit]:
        self._looked_at += len(names)
        if self._looked_at > MOST:
            raise _TooManyError
        self._read |= signed_commit.read(self.git, [n for n in names if n not in self._read])
        return [self._read[name] for name in names]

    def _vouched(self, commit: SignedCommit, at: str | None, stack: ExitStack) -> Voucher:
        try:
            allowed = self.rule(at)
        except GitError:
            raise
        except RefusedError as err:
            raise _Unvouched(commit, err.message, err.hint) from err
        if allowed is None:
            return Voucher(commit.id, "", "")
        if allowed.id not in self._verifiers:
            from saltbranch.git.ssh_signature import Verifier  # only where somebody has to vouch

            verifier = stack.enter_context(Verifier(allowed.text, NAMESPACE))
            self._verifiers[allowed.id] = verifier
        return Voucher(commit.id, self._by(commit, allowed, 0), allowed.id)

    def _by(self, commit: SignedCommit, allowed: Allowed, depth: int) -> str:
        """Who vouches for `commit`. depth: of how many merges it is a second parent. Raises _Unvouched."""
        key = commit.id, allowed.id
        if key in self.known and (depth or self.known[key] != KEPT):
            return self.known[key]
        if commit.problem:
            raise _Unvouched(commit, commit.problem)
        by, why = self._signer(commit, allowed)
        if not by and len(commit.parents) != 2:
            raise _Unvouched(commit, why)
        if not by:  # whoever signed it besides, such as the server whose button it was
            keeps = self._refuse_other_tree(commit, why)
            brought = self._second(commit, allowed, depth)
            by = KEPT if keeps or brought else MERGED
            if depth == 0:
                self._refuse_rollback(commit, why, keeps=keeps, brought=brought)
        self.known[key] = by
        return by

    def _signer(self, commit: SignedCommit, allowed: Allowed) -> tuple[str, str]:
        """Who signed it, empty where that does not count, and why not."""
        if not commit.signature:
            return "", "it is not signed"
        found = self._verifiers[allowed.id].judge(
            commit.payload, commit.signature, self.seen(commit.id)
        )
        if found.who is None:
            whose = (
                f"its signature by {found.fingerprint}" if found.fingerprint else "its signature"
            )
            return "", f"{whose} does not count by {allowed.where}: {found.why}"
        return ", ".join(sorted(found.who.principals)), ""

    def _refuse_other_tree(self, commit: SignedCommit, why: str) -> bool:
        """Refuse a merge whose tree is not that of its parents merged; whether it is only with paths kept.

        Raises _Unvouched, GitError.
        """
        ours, theirs = commit.parents
        try:
            for keep in ((), *self.keeps):
                merged = merge.merge_trees(self.git, ours, theirs, keep)
                if merged.kind == merge.MERGE and merged.tree == commit.tree:
                    return bool(keep)
        except RefusedError as err:
            raise _Unvouched(commit, f"{why}, and {err.message}") from err
        if merged.kind == merge.CONFLICT:
            raise _Unvouched(commit, f"{why}, and it merges what conflicts")
        raise _Unvouched(commit, f"{why}, and merging its parents gives other files")

    def _refuse_rollback(
        self, commit: SignedCommit, why: str, *, keeps: bool, brought: bool
    ) -> None:
        """Refuse a merge by which owned paths would go back to what they were before, or anywhere else.

        keeps: it leaves them as its first parent has them, so that has to be the newer one. brought: another merge that
        comes with it does so, and this one has to leave them as they are. Raises _Unvouched, GitError.
        """
        ours, theirs = commit.parents
        last = self._anchor
        if (
            keeps
            and last
            and self.git.is_ancestor(last, theirs)
            and not self.git.is_ancestor(last, ours)
        ):
            raise _Unvouched(commit, f"{why}, and it keeps owned paths of an older commit")
        paths = tuple(dict.fromkeys(path for keep in self.keeps for path in keep))
        if brought and merge.listed(self.git, ours, paths) != merge.listed(
            self.git, commit.id, paths
        ):
            raise _Unvouched(
                commit, f"{why}, and it brings owned paths that another merge left as they were"
            )

    def _second(self, commit: SignedCommit, allowed: Allowed, depth: int) -> bool:
        """Refuse a merge that brings what nobody vouches for; whether one that it brings keeps owned paths.

        Raises _Unvouched, GitError.
        """
        if depth >= _DEEPEST:
            raise _Unvouched(commit, f"it is one of over {_DEEPEST} nested merges")
        ours, theirs = commit.parents
        found = takewhile(
            lambda name: name not in self._old_heads(), _after(self.git, theirs, [ours])
        )
        keeps = False
        for part in self._commits([*found][::-1]):
            try:
                keeps |= self._by(part, allowed, depth + 1) == KEPT
            except _Unvouched as err:
                if err.why.endswith(_BROUGHT):
                    raise
                raise _Unvouched(err.commit, f"{err.why}{_BROUGHT}") from err
        return keeps

    def _old_heads(self) -> set[str]:
        """What the branch, and production, had as heads and accepted: whoever merges it back brings nothing new."""
        if self._line is None:
            self._line = set()
            for old in filter(None, (*self._there, self._production)):
                args = ("rev-list", "--first-parent", f"--max-count={MOST}", "--end-of-options")
                self._line.update(self.git.out(*args, old).split())
        return self._line


class _TooManyError(Exception):
    pass


_BROUGHT = ", and a merge that no allowed signer signed brings it"


def _after(git: Git, new: str, old: Sequence[str]) -> list[str]:
    """The first parents of `new`, and itself, that none of `old` contains; the newest first."""
    args = ("rev-list", "--first-parent", f"--max-count={MOST + 1}", "--stdin")
    lines = "".join(f"{line}\n" for line in (new, *(f"^{c}" for c in old)))
    return git.out(*args, stdin=lines.encode()).split()


def _told(err: _Unvouched) -> str:
    commit = err.commit
    subject = f" {_short(commit.subject)!r}" if commit.subject else ""
    author = f" by {_short(commit.author)}" if commit.author else ""
    return f"nobody vouches for commit {commit.id[:12]}{subject}{author}: {err.why}"


def _hint(err: _Unvouched, refused: str) -> str:
    """refused: the commit of the branch itself that is not served; it may be a merge that brings the one of `err`."""
    if err.hint:
        return err.hint
    if err.why.endswith(_BROUGHT):
        return (
            "let an allowed signer look at what it brings, put a signed merge in its place and push the branch again:"
            f" git switch --detach {refused[:12]}, git commit --amend --no-edit -S"
        )
    return (
        "let an allowed signer put a signed commit in its place and push the branch again, which loses nothing that was"
        f" served: git rebase --rebase-merges --exec 'git commit --amend --no-edit -S' {err.commit.id[:12]}^"
    )


def _short(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
