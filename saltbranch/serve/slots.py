"""The two slots of a branch, and the symlinks that Salt follows.

    checkouts/<dirname>     -> ../slots/<dirname>/served/tree    what Salt is told; made once
    slots/<dirname>/served  -> a                                 renamed by every switch
    slots/<dirname>/a, b    tree: the branch's files, a linked git worktree
                            commit: the full hash of what is in `tree`, for whoever looks
                            pins: what is in `tree` of submodules, where there is any
                            roots: for what is composed beside the branch's files

Only the idle slot is ever changed; it becomes the served one by renaming a symlink. Files keep the
time at which git wrote them: Salt's hash cache trusts equal mtimes (salt/fileserver/roots.py).

In the layout before (files.FIRST_MARKER) a slot was the worktree itself and `checkouts/<dirname>` led
to it. It is read here as long as it is served; serve/relayout.py moves it over.
"""

from __future__ import annotations

import os

from saltbranch.base import files
from saltbranch.base.errors import GitError, RootError
from saltbranch.git.mirror import Mirror, remove_tree
from saltbranch.git.program import Git, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from saltbranch.git.pinned_tree import Change
    from saltbranch.serve.pins import Pins

NAMES = ("a", "b")
# What a slot holds. `roots` is made by whoever composes something: an empty folder would say nothing.
TREE, COMMIT, PINS, ROOTS = PARTS = ("tree", "commit", "pins", "roots")
SERVED = "served"  # the symlink beside the slots


class Slots:
    """The slots of one branch: ``root/slots/<dirname>/a`` and ``b``."""

    __slots__ = ("_flat", "checkout", "dirname", "folder", "mirror", "root")

    def __init__(self, root: str, dirname: str, mirror: Mirror) -> None:
        self.root = root
        self.dirname = dirname
        self.mirror = mirror
        self.folder = f"{root}/slots/{dirname}"
        self.checkout = f"{root}/checkouts/{dirname}"
        self._flat: str | None = None

    def served(self) -> str | None:
        """The name of the served slot; None before the first sync, or when a symlink is not ours."""
        target = files.readlink_or_none(self.checkout)
        self._flat = None
        if target == self._target():
            name = self._linked()
            return name if name and os.path.isdir(self.path(name)) else None
        for name in NAMES:
            if target == f"../slots/{self.dirname}/{name}" and os.path.isdir(self.folder_of(name)):
                self._flat = name
                return name
        return None

    def serves(self, name: str, commit: str) -> bool:
        """Whether the slot `name` is served and at `commit`, by as few looks as that takes; see `served`, `head`."""
        folder = self.folder
        try:
            if (
                os.readlink(self.checkout) != self._target()
                or os.readlink(f"{folder}/{SERVED}") != name
            ):
                return False
        except OSError:
            return False
        gitdir, read = self.gitdir_path(name), files.read_or_none
        return read(f"{gitdir}/HEAD") == f"{commit}\n".encode() and (
            read(f"{folder}/{name}/{TREE}/.git") == os.fsencode(f"gitdir: {gitdir}\n")
        )

    def flat(self) -> str | None:
        """The name of the slot that is served in the layout before, and has to be moved over."""
        self.served()
        return self._flat

    def idle(self) -> str:
        """The name of the slot that may be changed."""
        return "b" if (self.served() or self._linked()) == "a" else "a"

    def folder_of(self, name: str) -> str:
        """The folder of the slot `name`."""
        return f"{self.folder}/{name}"

    def path(self, name: str) -> str:
        """The folder of the branch's files in the slot `name`."""
        folder = f"{self.folder}/{name}"
        return folder if name == self._flat else f"{folder}/{TREE}"

    def head(self, name: str) -> str | None:
        """The commit that the slot `name` was moved to; None when git does not know the slot."""
        gitdir = self.gitdir_path(name)
        head = self._leads_to(gitdir, name) and files.read_or_none(f"{gitdir}/HEAD")
        text = head.decode("ascii", "replace").strip() if head else ""
        return text if len(text) in (40, 64) else None

    def _target(self) -> str:
        return f"../slots/{self.dirname}/{SERVED}/{TREE}"

    def _linked(self) -> str | None:
        name = files.readlink_or_none(f"{self.folder}/{SERVED}")
        return name if name in NAMES else None

    def _gitdir(self, name: str) -> str | None:
        """Where git keeps index and HEAD of the slot; None when the slot is not registered there."""
        gitdir = self.gitdir_path(name)
        is_known = self._leads_to(gitdir, name) and os.path.exists(f"{gitdir}/gitdir")
        return gitdir if is_known else None

    def _leads_to(self, gitdir: str, name: str) -> bool:
        return files.read_or_none(f"{self.path(name)}/.git") == os.fsencode(f"gitdir: {gitdir}\n")

    def gitdir_path(self, name: str) -> str:
        """Where git keeps index and HEAD of the slot `name`, if it is registered."""
        of_lab = self.dirname.endswith("+")  # as config/lab_places.py
        return self.mirror.gitdir_of(f"{self.dirname}-{name}", of_lab=of_lab)

    def pins(self, name: str) -> Pins | None:
        """What the slot `name` holds of submodules; None where it holds none."""
        data = files.read_or_none(f"{self.folder_of(name)}/{PINS}")
        if data is None:
            return None
        from saltbranch.serve import pins  # only where there are submodules

        return pins.loads(data)

    def _git(self, name: str, pins: Pins | None) -> Git:
        """git at work in the slot `name`, seeing the files of `pins`."""
        git = Git(self.path(name), work_tree=True)
        return pins.seen_by(git, self.root) if pins else git

    def bring(
        self,
        name: str,
        commit: str,
        progress: Callable[[str], None] | None = None,
        pins: Pins | None = None,
        changes: tuple[str, Sequence[Change]] | None = None,
    ) -> None:
        """Make the slot `name` hold `commit`, with the submodules `pins`, nothing else and nothing less.

        changes: a commit, and all that changes from it to what this slot is to hold. Whatever a killed run or a
        person left in it is overwritten. Raises GitError.
        """
        from saltbranch.serve import finished  # where something is switched

        if self.idle() != name:
            raise AssertionError(f"slot {name} of {self.dirname} is served")
        known = self._gitdir(name)
        gitdir = known or self._register(name, commit)
        for lock in ("index.lock", "HEAD.lock"):
            files.unlink(f"{gitdir}/{lock}")
        untouched = known is None or self._is_untouched(name, gitdir)
        files.unlink(f"{gitdir}/{finished.STAMP}")
        files.unlink(f"{self.folder_of(name)}/{COMMIT}")
        self._tell_pins(name, pins)
        git = self._git(name, pins)
        self._checkout(git, gitdir, commit, progress, pins)
        if not untouched:
            self._clean(git, name, gitdir, commit)
        served = self.served()
        folders = None
        if changes and served:
            folders = finished.after(self.gitdir_path(served), *changes)
        if folders is None:
            folders = finished.folders_of(git, pins.tree if pins else commit)
        self.tell_commit(name, commit)
        finished.mark(gitdir, commit, folders)

    def tell_commit(self, name: str, commit: str) -> None:
        """Leave the full hash beside the files of the slot `name`, whose files are those of `commit`."""
        files.write_atomic(f"{self.folder_of(name)}/{COMMIT}", f"{commit}\n", durable=False)

    def _tell_pins(self, name: str, pins: Pins | None) -> None:
        path = f"{self.folder_of(name)}/{PINS}"
        if pins:
            files.write_atomic(path, pins.dumps(), durable=False)
        else:
            files.unlink(path)

    def _is_untouched(self, name: str, gitdir: str) -> bool:
        """Whether nothing was created or removed in any folder of the slot since `bring` finished it.

        Looking at the folders is several times cheaper than looking for strange files. What was changed
        inside files is none of its business, `git checkout --force` compares each with its index.
        """
        from saltbranch.serve import finished

        head = self.head(name)
        try:
            marked = os.stat(f"{gitdir}/{finished.STAMP}").st_mtime_ns
            folders = finished.noted(gitdir, head) if head else None
            if folders is None:
                return False
            slot = self.path(name)
            return all(os.stat(f"{slot}/{f}").st_mtime_ns < marked for f in folders)
        except OSError:
            return False

    def _clean(self, git: Git, name: str, gitdir: str, commit: str) -> None:
        """Remove what is not of `commit`, ignored files too. Raises GitError when something stays."""
        for path in self._inner_repositories(name):
            if os.path.isdir(path) and not os.path.islink(path):
                remove_tree(path)
            else:
                files.unlink(path)
        odd = self._odd_files(name)
        if odd:
            cleaned = git.run("clean", "-ffdxq")
            if cleaned.code != 0:
                raise failed(cleaned, self.path(name))
            self._checkout(git, gitdir, commit, None, self.pins(name))
            odd = self._odd_files(name)
        if odd:
            raise GitError(
                f"{self.path(name)} does not come out as {commit[:12]}: {odd[0]!r} differs"
                + (f" and {len(odd) - 1} more" if len(odd) > 1 else ""),
                hint="does another program write there, or does a git filter change files?",
            )

    def _checkout(
        self,
        git: Git,
        gitdir: str,
        commit: str,
        progress: Callable[[str], None] | None,
        pins: Pins | None,
    ) -> None:
        talk = "--progress" if progress else "--quiet"
        args = ("checkout", talk, "--detach", "--force", "--no-recurse-submodules", commit, "--")
        if pins:  # compares every file with its index as `checkout --force` does, and moves no HEAD
            args = ("read-tree", *(("-v",) if progress else ()), "--reset", "-u", pins.tree)
        done = git.run(*args, progress=progress)
        if done.code != 0 and "index" in done.complaint:
            files.unlink(f"{gitdir}/index")  # a torn one, from a power cut; it is only a cache here
            done = git.run(*args, progress=progress)
        if done.code != 0:
            raise failed(done, git.directory)
        if pins:
            files.write_atomic(f"{gitdir}/HEAD", f"{commit}\n", durable=False)

    def differences(self, name: str) -> list[str]:
        """Files of the slot that are changed, missing or not of its commit, ignored ones included.

        Paths below that of the branch's files, so that the file beside them is ``../commit``.
        """
        odd = self._odd_files(name)
        if name != self._flat:
            told = files.read_or_none(f"{self.folder_of(name)}/{COMMIT}")
            if told != f"{self.head(name)}\n".encode():
                odd.append(f"../{COMMIT}")
        return odd

    def _odd_files(self, name: str) -> list[str]:
        git = self._git(name, self.pins(name))
        out = git.out("ls-files", "-z", "--modified", "--others")
        odd = [path for path in out.split("\0") if path]
        found = self._not_as_git_writes(git, name, odd) if odd else []
        top = len(self.path(name)) + 1
        return found + [path[top:] for path in self._inner_repositories(name)]

    def _inner_repositories(self, name: str) -> list[str]:
        """What somebody's `git submodule update` leaves in the slot; git looks past it."""
        pins = self.pins(name)
        paths = (f"{self.path(name)}/{path}/.git" for path in (pins.placed if pins else ()))
        return [path for path in paths if os.path.lexists(path)]

    def _not_as_git_writes(self, git: Git, name: str, odd: list[str]) -> list[str]:
        """Those of `odd` that differ from what git makes of the same file in a moment.

        A file whose line ends .gitattributes wants otherwise counts as modified right after its checkout.
        """
        scratch = f"{self.gitdir_path(name)}/as-git-writes"
        found = []
        for start in range(0, len(odd), 500):
            some = odd[start : start + 500]
            remove_tree(scratch)
            git.run("checkout-index", "--quiet", f"--prefix={scratch}/", "--", *some)
            found += [p for p in some if not _are_equal(f"{self.path(name)}/{p}", f"{scratch}/{p}")]
        remove_tree(scratch)
        return found

    def _register(self, name: str, commit: str) -> str:
        """Make a slot with an empty worktree in place of whatever lies there; its git folder.

        By hand and not by `git worktree add`, which takes several processes, picks a name of its own
        and leaves a locked registration behind when it is killed. The files are those of
        gitrepository-layout(5); the slot counts as registered once its `.git` is there, written last.
        """
        slot, gitdir = self.path(name), self.gitdir_path(name)
        remove_tree(self.folder_of(name))
        remove_tree(gitdir)
        os.makedirs(gitdir)
        os.makedirs(slot)
        for path, text in (
            (f"{gitdir}/HEAD", commit),
            (f"{gitdir}/commondir", "../.."),
            (f"{gitdir}/gitdir", f"{slot}/.git"),
            (f"{slot}/.git", f"gitdir: {gitdir}"),
        ):
            files.write_atomic(path, f"{text}\n", durable=False)
        return gitdir

    def switch(self, name: str) -> None:
        """Serve the slot `name` from now on: one rename(2).

        Where Salt's link does not lead here yet, that link is the last to be renamed.
        """
        is_linked = files.readlink_or_none(self.checkout) == self._target()
        if not is_linked and os.path.isdir(self.checkout) and not os.path.islink(self.checkout):
            raise RootError(
                f"{self.checkout} is not a symlink, so saltbranch did not make it",
                hint="move it away",
            )
        files.replace_symlink(name, f"{self.folder}/{SERVED}")
        if not is_linked:
            os.makedirs(os.path.dirname(self.checkout), exist_ok=True)
            files.replace_symlink(self._target(), self.checkout)

    def make_sibling(self, name: str, commit: str) -> None:
        """Make the other slot, of the same files as `name` by hard links, if it is not there yet.

        It costs folders but no file content, and makes the next switch as cheap as any later one.
        """
        other = "b" if name == "a" else "a"
        if self._gitdir(other) is None and self._link_files(name, other, commit):
            self._tell_pins(other, self.pins(name))
            self.tell_commit(other, commit)
            from saltbranch.serve import finished

            folders = finished.noted(self.gitdir_path(name), commit)
            if folders is not None:
                finished.mark(self.gitdir_path(other), commit, folders)

    def copy(self, name: str, other: str) -> None:
        """Make the slot `other` anew, of what lies in `name`: hard links, with what somebody edited there.

        It is not marked as finished, so the next `bring` looks at every file of it.
        """
        commit = self.head(name)
        self._link_files(name, other, commit or "0" * 40)
        if commit:
            self.tell_commit(other, commit)
        else:  # nobody can tell of which commit these files are
            files.unlink(f"{self.path(other)}/.git")

    def _link_files(self, name: str, other: str, commit: str) -> bool:
        """Whether git knows the files of the new slot `other`, which are those of `name`.

        git replaces files and never writes into them, so links of one branch's slots are safe.
        """
        source = self.gitdir_path(name)
        target = self._register(other, commit)
        with os.scandir(self.path(name)) as entries:
            for entry in entries:
                if entry.name != ".git":
                    _link(entry, f"{self.path(other)}/{entry.name}")
        index = files.read_or_none(f"{source}/index")
        if index is None:
            return False
        with open(f"{target}/index", "wb") as file:
            file.write(index)
        return True


def _are_equal(one: str, other: str) -> bool:
    """Whether two files are of one kind and hold the same; false when one of them is missing."""
    try:
        modes = os.lstat(one).st_mode, os.lstat(other).st_mode
        if modes[0] != modes[1]:
            return False
        if os.path.islink(one):
            return os.readlink(one) == os.readlink(other)
        return files.read_or_none(one) == files.read_or_none(other)
    except OSError:
        return False


def _link(entry: os.DirEntry[str], target: str) -> None:
    if not entry.is_dir(follow_symlinks=False):
        os.link(entry.path, target, follow_symlinks=False)
        return
    os.mkdir(target)
    with os.scandir(entry.path) as entries:
        for child in entries:
            _link(child, f"{target}/{child.name}")
