"""People with ssh keys, and commits that they sign."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.remote import Content, Remote

_PERSON = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")


class Keys:
    """Keys of people, made when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def path(self, name: str) -> str:
        """The file of the secret key."""
        path = self.folder / name
        if not path.exists():
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
            subprocess.run(words, check=True)
        return str(path)

    def line(self, name: str, options: str = "", principals: str = "") -> str:
        """A line of allowed signers."""
        kind, key, *_ = Path(f"{self.path(name)}.pub").read_text().split()
        return " ".join(filter(None, (principals or f"{name}@example.com", options, kind, key)))


class Signing:
    """A remote that people push signed commits to. key: whose; empty for none."""

    def __init__(self, remote: Remote, keys: Keys) -> None:
        self.remote = remote
        self.keys = keys

    def commit(
        self,
        branch: str,
        files: Mapping[str, Content],
        key: str = "",
        *,
        parents: tuple[str, ...] | None = None,
        tree: str | None = None,
    ) -> str:
        """A commit on `branch`; its hash."""
        new = self.remote.commit(branch, files, parents=parents, tree=tree)
        return self.sign(branch, new, key) if key else new

    def sign(self, branch: str, commit: str, key: str) -> str:
        """Put a signed twin of `commit` on the branch."""
        parents = self.remote.git("rev-list", "--parents", "-1", commit).split()[1:]
        new = self.make(self.remote.git("rev-parse", f"{commit}^{{tree}}"), parents, key)
        self.remote.set_branch(branch, new)
        return new

    def make(self, tree: str, parents: list[str] | tuple[str, ...], key: str = "") -> str:
        """A commit on no branch."""
        words = [word for parent in parents for word in ("-p", parent)]
        sign: list[str] = []
        if key:
            sign = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={self.keys.path(key)}"]
        flag = ["-S"] if key else []
        return self.remote.git(
            *_PERSON, *sign, "commit-tree", *flag, *words, tree, stdin=b"KEY-1 Change\n"
        )

    def merge(self, branch: str, theirs: str, key: str = "", tree: str = "") -> str:
        """Merge a commit into a branch, as git does it without a conflict. tree: of the result instead."""
        ours = self.remote.head(branch)
        tree = tree or self.remote.git("merge-tree", "--write-tree", ours, theirs)
        new = self.make(tree, (ours, theirs), key)
        self.remote.set_branch(branch, new)
        return new
