"""Questions to, and orders for, the git program.

Everything that changes a repository goes through here; reading commits for people is describe.py.
Minimal versions are named with their reason: nothing else compares versions.
"""

from __future__ import annotations

import os
import sys

from saltbranch.base import proc
from saltbranch.base.errors import GitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeVar

    T = TypeVar("T")

# `git merge-tree --write-tree`, with which promotions merge without a work tree (git 2.38 notes).
GIT_MINIMUM = (2, 38)

# Variables that an administrator sets on purpose to reach the remote. Every other GIT_* variable
# is dropped: hooks and wrappers export GIT_DIR and friends, which redirect git to another repository.
_KEEP = frozenset(
    "GIT_SSH GIT_SSH_COMMAND GIT_SSH_VARIANT GIT_ASKPASS GIT_PROXY_COMMAND GIT_SSL_CAINFO GIT_SSL_CAPATH"
    " GIT_SSL_CERT GIT_SSL_KEY GIT_SSL_NO_VERIFY GIT_HTTP_PROXY_AUTHMETHOD GIT_HTTP_USER_AGENT"
    " GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL"
    " GIT_CONFIG_GLOBAL GIT_CONFIG_SYSTEM GIT_CONFIG_NOSYSTEM GIT_EXEC_PATH GIT_ALLOW_PROTOCOL".split()
)

# A dead peer is noticed after a minute also where saltbranch itself was killed and cannot stop git.
_SSH = "ssh -oBatchMode=yes -oConnectTimeout=15 -oServerAliveInterval=15 -oServerAliveCountMax=3"

# On every call, because the administrator's global configuration must not weaken it: no hook and no
# file system monitor named by somebody else runs, submodules are left alone, link counts (which
# change ctime) do not make git read every file again, and what is read of commits is as we asked for it.
_ALWAYS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.trustctime=false",
    "core.untrackedCache=false",
    "core.symlinks=true",
    "core.quotePath=false",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "log.showSignature=false",
    "log.follow=false",
    "log.mailmap=false",
    "i18n.logOutputEncoding=UTF-8",
    "trailer.separators=:",
)


# What is shown and judged is what is pushed: neither replacements (git-replace(1)) nor grafts
# (gitglossary(7)) of a clone, which stay in it, say what a commit holds. git grumbles about a file of
# grafts that is there, even an empty one.
AS_IT_IS = {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": "/dev/null/none"}

HINTS = (
    ("No space left on device", "free some space below the root; nothing was lost"),
    ("Out of diskspace", "free some space below the root; nothing was lost"),
    ("Read-only file system", "mount the root for writing"),
)  # fmt: skip


_MOST_KEPT = 500  # answers

_kept: dict[tuple[object, ...], object] = {}


def let_go() -> None:
    """Forget what was answered, and end what answers: when a verb begins, and when it has ended."""
    _kept.clear()
    if objects := sys.modules.get("saltbranch.git.objects"):
        objects.close_all()


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """`base` without what would redirect git, and with what keeps it from asking questions."""
    env = {k: v for k, v in base.items() if not k.startswith("GIT_") or k in _KEEP}
    env |= AS_IT_IS
    env["LC_ALL"] = "C"
    env["GIT_TERMINAL_PROMPT"] = "0"
    env["GIT_OPTIONAL_LOCKS"] = "0"
    if "GIT_SSH" not in env:
        env.setdefault("GIT_SSH_COMMAND", _SSH)
    return env


class Git:
    """git on one repository: ``Git("/srv/saltbranch/mirror.git")``."""

    __slots__ = ("_prefix", "directory", "env")

    def __init__(self, directory: str, *, work_tree: bool = False) -> None:
        self.directory = directory
        self.env = environment(os.environ)
        self._prefix = ["git", "-C", directory] if work_tree else ["git", f"--git-dir={directory}"]
        for item in _ALWAYS:
            self._prefix += ["-c", item]

    @property
    def is_limited(self) -> bool:
        """Whether another program starts git, and limits what that may use."""
        return self._prefix[0] != "git"

    @property
    def is_bare(self) -> bool:
        """Whether `directory` is the git folder, and not that of the work tree."""
        return self._prefix[1] != "-C"

    def with_env(self, **variables: str) -> Git:
        """The same git, with these variables in its environment."""
        twin = Git.__new__(Git)
        twin.directory, twin._prefix = self.directory, self._prefix
        twin.env = {**self.env, **variables}
        return twin

    def with_index(self, index: str) -> Git:
        """The same repository with an index of its own, at the path `index`, and paths that are no patterns."""
        found = Git(self.directory)
        found._prefix = [*self._prefix]
        found.env = {**self.env, "GIT_INDEX_FILE": index, "GIT_LITERAL_PATHSPECS": "1"}
        return found

    def start_with(self, words: Sequence[str]) -> None:
        """From now on `words` is the program that starts git: it limits what that may use."""
        self._prefix = [*words, *self._prefix]

    def run(
        self,
        *args: str,
        config: tuple[str, ...] = (),
        timeout: float | None = None,
        progress: Callable[[str], None] | None = None,
        stdin: bytes = b"",
    ) -> proc.Finished:
        """Run ``git args`` and return what it left, whatever its exit code."""
        argv = self.command(*args, config=config)
        return proc.run(argv, self.env, timeout=timeout, progress=progress, stdin=stdin)

    def command(self, *args: str, config: tuple[str, ...] = ()) -> list[str]:
        """The words of ``git args``."""
        return [*self._prefix, *(part for item in config for part in ("-c", item)), *args]

    def out(self, *args: str, config: tuple[str, ...] = (), stdin: bytes = b"") -> str:
        """stdout of ``git args``. Raises GitError when it does not end with 0."""
        done = self.run(*args, config=config, stdin=stdin)
        if done.code != 0:
            raise failed(done, self.directory)
        return done.text

    def commit_or_none(self, name: str) -> str | None:
        """The full hash of the commit that `name` (a full ref or a hash) stands for. Raises GitError."""
        from saltbranch.git import objects  # where something is new

        try:
            return objects.commit_or_none(self, name)
        except objects.NoAnswer:
            pass
        done = self.run(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"
        )
        if done.code < 0:
            raise failed(done, self.directory)  # killed: that is not an answer
        return done.text.strip() if done.code == 0 else None

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Whether `ancestor` is contained in `descendant`. Raises GitError when git cannot tell."""
        return self.once(
            ("ancestor", ancestor, descendant), lambda: self._is_ancestor(ancestor, descendant)
        )

    def once(self, question: tuple[object, ...], find: Callable[[], T]) -> T:
        """What `find` answers, asked once in a verb where only objects answer it and no ref.

        question: its name, and everything that the answer follows from; names of commits in full.
        """
        from saltbranch.git.objects import is_hash

        key = (self.directory, *question)
        if key in _kept:
            return _kept[key]  # type: ignore[return-value]
        found = find()
        if all(is_hash(word) for word in question[1:] if isinstance(word, str)):
            if len(_kept) >= _MOST_KEPT:
                _kept.clear()
            _kept[key] = found
        return found

    def _is_ancestor(self, ancestor: str, descendant: str) -> bool:
        from saltbranch.git import objects

        try:
            return objects.is_ancestor(self, ancestor, descendant)
        except objects.NoAnswer:
            pass
        done = self.run("merge-base", "--is-ancestor", "--end-of-options", ancestor, descendant)
        # Before git 2.44 a commit missing in between is complained of, and then answered with "no".
        if done.code not in (0, 1) or (done.code == 1 and b"error:" in done.err):
            raise failed(done, self.directory)
        return done.code == 0

    def entry_or_none(self, tree: str, path: str) -> tuple[str, str] | None:
        """Mode (``100644``) and hash of what is at `path` in a commit or tree. Raises GitError."""
        from saltbranch.git import objects

        try:
            return objects.entry_or_none(self, tree, path)
        except objects.NoAnswer:
            literal = self.with_env(GIT_LITERAL_PATHSPECS="1")
            listed = literal.out(
                "ls-tree", "-z", "--full-tree", "--end-of-options", tree, "--", path
            )
            words = listed.partition("\t")[0].split(" ")
            return (words[0], words[2]) if len(words) == 3 else None

    def objects_named(self, names: Sequence[str]) -> list[tuple[str, str] | None]:
        """Hash and kind of what each of `names`, ``HASH`` or ``HASH:PATH``, stands for. Raises GitError."""
        from saltbranch.git import objects

        if len(names) <= objects.FEW:
            try:
                return [objects.info_or_none(self, name) for name in names]
            except objects.NoAnswer:
                pass
        asked = "".join(f"{name}\n" for name in names)
        form = "--batch-check=%(objectname) %(objecttype)"
        told = self.out("cat-file", form, stdin=os.fsencode(asked)).split("\n")[: len(names)]
        words = (line.split(" ") for line in told)
        return [
            (w[0], w[1])
            if len(w) == 2 and objects.is_hash(w[0]) and w[1] in objects.KINDS
            else None
            for w in words
        ]

    def tree_of(self, name: str) -> str:
        """The tree of a commit, or the tree itself. Raises GitError."""
        from saltbranch.git import objects

        try:
            return objects.tree_of(self, name)
        except objects.NoAnswer:
            words = ("rev-parse", "--verify", "--end-of-options", f"{name}^{{tree}}")
            return self.out(*words).strip()

    def blob(self, oid: str) -> bytes:
        """The content of the blob `oid`. Raises GitError."""
        from saltbranch.git import objects

        try:
            return objects.blob(self, oid)
        except objects.NoAnswer:
            done = self.run("cat-file", "blob", oid)
            if done.code != 0:
                raise failed(done, self.directory) from None
            return done.out

    def blob_or_none(self, commit: str, path: str) -> str | None:
        """The object id of the file `path` in `commit`. Raises GitError."""
        from saltbranch.git import objects

        try:
            entry = objects.entry_or_none(self, commit, path)
            return entry[1] if entry else None
        except objects.NoAnswer:
            pass
        done = self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}:{path}")
        if done.code < 0:
            raise failed(done, self.directory)
        return done.text.strip() if done.code == 0 else None


def failed(done: proc.Finished, where: str) -> GitError:
    """The error for a git command that failed on the repository `where`."""
    args = list(done.argv[1:])
    while args and args[0].startswith("-"):
        args = args[2:] if args[0] in ("-c", "-C") else args[1:]
    verb = args[0] if args else "git"
    why = f"signal {-done.code}" if done.code < 0 else f"exit {done.code}"
    complaint = mask(done.complaint) or "(git said nothing)"
    hint = hint_for(complaint, HINTS)
    return GitError(f"git {verb} failed in {where} ({why}):\n{indent(complaint)}", hint=hint)


def hint_for(complaint: str, hints: tuple[tuple[str, str], ...]) -> str:
    """What to do about it, of the first pair in `hints` whose sign stands in `complaint`."""
    return next((hint for sign, hint in hints if sign in complaint), "")


def mask(text: str) -> str:
    """`text` with the password or token of every URL in it replaced."""
    import re  # only where something is shown

    def hide(found: re.Match[str]) -> str:
        scheme, credentials = found[1], found[2]
        user, colon, _ = credentials.partition(":")
        if colon:
            return f"{scheme}{user}:***@"
        return f"{scheme}***@" if scheme.startswith("http") else found[0]

    return re.sub(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/\s]*)@", hide, text)


def quoted(word: str) -> str:
    """`word` as a shell takes it for one: what a hint shows can be pasted."""
    plain = word and all(c.isalnum() and c.isascii() or c in "@%+=:,./-_" for c in word)
    return word if plain else "'" + word.replace("'", "'\"'\"'") + "'"


def indent(text: str) -> str:
    """`text` set off below a message of ours."""
    return "\n".join(f"  {line}" for line in text.splitlines())


def version() -> tuple[int, ...]:
    """The git that PATH finds, for example (2, 39, 5)."""
    words = proc.run(["git", "version"], environment(os.environ)).text.split()
    digits = (words[2] if len(words) > 2 else "").split(".")
    return tuple(int(part) for part in digits if part.isdigit())


def require_version() -> None:
    """Raise GitError when git is too old for saltbranch."""
    have = version()
    if have < GIT_MINIMUM:
        raise GitError(
            f"git {'.'.join(map(str, have)) or '(unknown)'} is too old:"
            f" saltbranch needs {'.'.join(map(str, GIT_MINIMUM))} or newer",
            hint="install a newer git (Debian 12, Ubuntu 23.04 and RHEL 9.2 have one)",
        )


def branch_of_remote(word: str, remote: str) -> str | None:
    """The branch that `word` means as people write those of the remote: develop for origin/develop.

    remote: its name in a clone; empty, or a URL, where it has none and is called origin.
    """
    name = remote if remote and ":" not in remote and "/" not in remote else "origin"
    return word.removeprefix(f"{name}/") if word.startswith(f"{name}/") else None


def branch_name_problem(name: str) -> str | None:
    """Why git would refuse `name` as a branch, None when it is fine (git-check-ref-format(1))."""
    if not name or name == "@" or name.startswith("-"):
        return "it is empty, '@' or starts with '-'"
    if any(len(os.fsencode(part)) > 250 for part in name.split("/")):
        return "a part of it is longer than a file name can be"
    if any(ord(c) <= 32 or ord(c) == 127 or c in "~^:?*[\\" for c in name):
        return "it holds a space, a control character or one of ~^:?*[\\"
    if ".." in name or "@{" in name or "//" in name or name.endswith((".", "/")):
        return "it holds '..', '@{' or '//', or ends in '.' or '/'"
    if name.startswith("/") or any(
        p.startswith(".") or p.endswith(".lock") for p in name.split("/")
    ):
        return "a part of it is empty, starts with '.' or ends in '.lock'"
    return None
