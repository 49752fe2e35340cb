"""The clone that a person stands in: found by git, used as far as git itself, and for root a little more, would.

Whose `.git` it is decides whether its configuration may choose programs (core.sshCommand, remote.*.uploadpack ...)
and whether anything is written there. git asks that (safe.directory, git-config(1)) only where it finds a
repository by itself: ``--git-dir`` skips the question, so it is asked here before anything uses that.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from dataclasses import dataclass, field

from saltbranch.base import ownership, proc
from saltbranch.base.errors import ConfigError, GitError, RefusedError
from saltbranch.config.locate import FILE_NAME
from saltbranch.git.program import Git, environment, failed, quoted

MODEL_BRANCH = "saltbranch.modelBranch"
REMOTE = "saltbranch.remote"
_OWN_ONLY = "only their owner should: let others not write there (chmod go-w), or work in a clone of your own"


@dataclass(frozen=True, slots=True)
class Clone:
    """A clone. folder: the root of its work tree. git_dir: where its objects and refs are.

    foreign: why nothing is written there, nothing fetched and no program of its configuration run; empty where
    it is this user's own. Then `git_dir` is a private view of it.
    """

    folder: str
    git_dir: str
    foreign: str = ""
    # By folder: what git's configuration says there, read once.
    _read: dict[str, list[tuple[str, str | None]]] = field(
        default_factory=dict, compare=False, repr=False
    )

    @property
    def git(self) -> Git:
        """git in the work tree."""
        return Git(self.folder, work_tree=True)

    @property
    def objects(self) -> Git:
        """git by its git folder alone: no attribute of a work tree counts."""
        return Git(self.git_dir)

    @property
    def reading(self) -> Git:
        """git that knows the HEAD and the files of the work tree; in a foreign clone by the view of it."""
        git = self.git
        if self.foreign:
            git.env |= {"GIT_DIR": self.git_dir, "GIT_WORK_TREE": self.folder}
        return git

    def refuse_writing(self) -> None:
        """Raises RefusedError where nothing may be written."""
        if self.foreign:
            raise RefusedError(
                f"nothing is written in {self.folder}: {self.foreign}",
                hint="run saltbranch as its owner, or in a clone of your own; verbs that read work here",
            )

    def setting(self, key: str) -> str:
        """A value of git's configuration; empty where there is none."""
        # Of somebody else's clone only what the person has set for all repositories counts.
        values = self._values("/" if self.foreign else self.folder, key)
        return (values[-1] or "").strip() if values else ""

    def remote(self) -> str:
        """The name of the remote that counts; empty for a repository without any. Raises ConfigError.

        Never that of a branch (branch.*.remote): a pull request that was checked out has its author's.
        """
        names = self._remotes()
        chosen = self.setting(REMOTE)
        if chosen:
            if chosen in names:
                return chosen
            raise ConfigError(
                f"{self.folder}: git config {REMOTE} names {chosen!r}, which is not a remote of it",
                hint=f"its remotes: {', '.join(names) or 'none'}",
            )
        if not names:
            return ""
        if "origin" in names or len(names) == 1:
            name = "origin" if "origin" in names else next(iter(names))
            if name.startswith("-"):
                raise ConfigError(
                    f"{self.folder}: its remote is called {name!r}, which git would take for an option",
                    hint="rename it: git remote add origin URL",
                )
            return name
        raise ConfigError(
            f"{self.folder} has several remotes and none is called origin: {', '.join(names)}",
            hint=f"say which is the control repository: git config {REMOTE} NAME",
        )

    def has_remote(self, remote: str | None) -> bool:
        """Whether `remote`, a URL or a name, is one of its remotes; None stands for any."""
        known = self._remotes()
        return remote is None or remote in known or remote in known.values()

    def fetches_all(self, remote: str) -> bool:
        """Whether a plain `git fetch` brings every branch of the remote."""
        values = self._values(self.folder, f"remote.{remote}.fetch")
        return not remote or any("refs/heads/*" in (value or "") for value in values)

    def name_of(self, remote: str) -> str:
        """The name of the remote that `remote`, a URL or a name, stands for; `remote` itself where there is none."""
        known = self._remotes()
        return next((name for name, url in known.items() if remote in (name, url)), remote)

    def _remotes(self) -> dict[str, str]:
        """Name to URL. Not by `git remote`, which knows the retired files below .git/remotes as well."""
        begin, end = "remote.", ".url"
        found = sorted(
            (key[len(begin) : -len(end)], url)
            for key, url in self._settings(self.folder)
            if url is not None and key.startswith(begin) and key[len(begin) :].endswith(end)
        )
        return dict(found)

    def _values(self, folder: str, key: str) -> list[str | None]:
        """All values of a key, the one that counts last; None where it stands alone, without a ``=``."""
        section, _, rest = key.partition(".")
        between, dot, name = rest.rpartition(".")
        known = f"{section.lower()}.{between}{dot}{name.lower()}"
        return [value for found, value in self._settings(folder) if found == known]

    def _settings(self, folder: str) -> list[tuple[str, str | None]]:
        """Key, as git writes it, and value of all that git's configuration says in `folder`."""
        if folder not in self._read:
            done = _plain(folder, "config", "--null", "--list")
            entries = done.text.split("\0") if done.code == 0 else []
            pairs = (entry.partition("\n") for entry in entries if entry)
            self._read[folder] = [(key, value if sign else None) for key, sign, value in pairs]
        return self._read[folder]


def find(cwd: str) -> Clone | None:
    """The clone around `cwd`, None where there is none that is a control repository's for this user.

    Raises RefusedError for one with a saltbranch.yaml that somebody else could have written.
    """
    try:
        done = _plain(
            cwd,
            "rev-parse",
            "--path-format=absolute",
            "--show-toplevel",
            "--git-common-dir",
            "--git-dir",
        )
    except OSError:
        return None
    if done.code != 0:
        _refuse_strangers(cwd, done)
        return None
    lines = done.text.removesuffix("\n").split("\n")
    if len(lines) != 3:
        return None  # a line break in a folder's name
    folder, common, git_dir = lines
    common = os.path.normpath(common)
    if foreign := _foreign(folder, common, git_dir):
        return Clone(folder, _view(folder, common, git_dir), foreign)
    return Clone(folder, common)


def _plain(folder: str, *args: str) -> proc.Finished:
    """git as it finds the repository around `folder` by itself; a bare one inside a work tree is none."""
    argv = [
        "git",
        "-C",
        folder,
        "-c",
        "safe.bareRepository=explicit",
        "-c",
        "core.fsmonitor=false",
        *args,
    ]
    return proc.run(argv, environment(os.environ))


def _refuse_strangers(cwd: str, done: proc.Finished) -> None:
    """git refuses this place: say so where it looks like a control repository; elsewhere it is of no concern."""
    if "dubious ownership" not in done.complaint and "safe.directory" not in done.complaint:
        return
    folder = _lexical_root(cwd)
    if folder is None or not os.path.lexists(f"{folder}/{FILE_NAME}"):
        return
    owner = _owner_of_others(folder)
    raise RefusedError(
        f"{folder}/{FILE_NAME} and {folder}/.git are not trusted: {owner}, and git refuses a repository of"
        " another user (safe.directory)",
        hint=f"run saltbranch as its owner, work in a clone of your own or, to read there only:"
        f" git config --global --add safe.directory {quoted(folder)}",
    )


def _owner_of_others(folder: str) -> str:
    for path in (f"{folder}/.git", folder, f"{folder}/{FILE_NAME}"):
        uid = os.lstat(path).st_uid
        if uid != os.geteuid():
            return f"{path} belongs to {ownership.owner_name(uid)}"
    return "they belong to another user"


def _lexical_root(cwd: str) -> str | None:
    folder = os.path.abspath(cwd)
    while not os.path.lexists(f"{folder}/.git"):
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent
    return folder


def _foreign(folder: str, common: str, git_dir: str) -> str:
    """Why root only reads there; empty where it is root's own, and for everybody else: git has looked.

    Raises RefusedError where others may write to what is root's by name and nobody has said that this is fine.
    """
    if os.geteuid() != 0:
        return ""
    places = [folder, f"{folder}/.git", f"{folder}/{FILE_NAME}"]
    found = next(
        (w for p in places if os.path.lexists(p) and (w := ownership.writer_or_none(p))), None
    )
    for place in dict.fromkeys((common, git_dir)):
        found = found or ownership.writer_inside_or_none(place)
    if not found:
        return ""
    is_roots = all(os.lstat(p).st_uid == 0 for p in (folder, f"{folder}/.git", common))
    if is_roots and not _is_safe_directory(folder):
        raise RefusedError(
            f"{folder}/{FILE_NAME} and {folder}/.git are not trusted by root: {found}",
            hint=f"{_OWN_ONLY}; to read there only: git config --global --add safe.directory {quoted(folder)}",
        )
    return found


def _is_safe_directory(folder: str) -> bool:
    """Whether safe.directory names it (git-config(1)); only what no repository says counts, so ask outside of any."""
    argv = ["git", "-C", "/", "config", "--null", "--get-all", "safe.directory"]
    values: list[str] = []
    for value in proc.run(argv, environment(os.environ)).text.split("\0")[:-1]:
        values = [*values, value] if value else []
    return any(
        v in ("*", folder) or (v.endswith("/*") and folder.startswith(v[:-1])) for v in values
    )


def _view(folder: str, common: str, git_dir: str) -> str:
    """A git folder of our own with the refs and objects of `common` and nothing of its configuration.

    Reading there runs no program that the clone names, and writes nothing into it. Raises GitError.
    """
    listed = _plain(folder, "for-each-ref", "--format=%(objectname) %(refname)")
    head = _plain(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if listed.code != 0:
        raise failed(listed, folder)
    view = tempfile.mkdtemp(prefix="saltbranch-view-")
    atexit.register(shutil.rmtree, view, ignore_errors=True)
    made = proc.run(
        ["git", "init", "--quiet", "--bare", "--template=", "--", view], environment(os.environ)
    )
    if made.code != 0:
        raise failed(made, view)
    lines = [line for line in listed.text.splitlines() if len(line.split(" ")) == 2]
    with open(f"{view}/packed-refs", "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("".join(f"{line}\n" for line in lines))
    os.makedirs(f"{view}/objects/info", exist_ok=True)
    with open(
        f"{view}/objects/info/alternates", "w", encoding="utf-8", errors="surrogateescape"
    ) as file:
        file.write(f"{common}/objects\n")
    if head.code == 0:
        with open(f"{view}/HEAD", "w", encoding="ascii") as file:
            file.write(head.text)
    for source in (f"{common}/shallow", f"{git_dir}/index"):
        if os.path.isfile(source) and not os.path.islink(source):
            shutil.copyfile(source, f"{view}/{os.path.basename(source)}")
    return view


def require_history(clone: Clone) -> None:
    """Refuse a shallow clone. Raises RefusedError."""
    if os.path.exists(f"{clone.git_dir}/shallow"):
        raise RefusedError(
            f"the clone {clone.folder} is shallow: without the complete history it is unknown what a branch contains",
            hint="git fetch --unshallow",
        )


def remember(clone: Clone, branch: str) -> None:
    """Keep in the clone which branch is production. Raises GitError, RefusedError."""
    clone.refuse_writing()
    done = clone.git.run("config", MODEL_BRANCH, branch)
    clone._read.clear()
    if done.code != 0:
        raise GitError(f"cannot write git's configuration of {clone.folder}: {done.complaint}")
