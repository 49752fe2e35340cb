"""A control repository and a fleet for the compiler's tests, and what Salt itself makes of them."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.model import Compiled, Minion
from saltbranch.compiler.pool import Frame, compile_fleet
from saltbranch.config.minions import Matcher
from saltbranch.git.program import Git
from saltbranch.salt_master import top_file
from tests.support import warm
from tests.support.remote import Content, Remote

PROJECT = Path(__file__).parents[2]
SAMPLE_GRAINS = {
    "kernel": "Linux",
    "os": "Debian",
    "os_family": "Debian",
    "osmajorrelease": 12,
    "init": "systemd",
    "pythonexecutable": "/opt/saltstack/salt/bin/python3.10",
}
ROLES = {
    "web1": ["web"],
    "db1": ["db"],
    "master1": ["salt-master"],
    "master-all": ["web", "db", "salt-master"],
    "plain1": [],
}
GROUPS = {"test": (Matcher("glob", "*"),)}


def sample_files() -> dict[str, Content]:
    """The sample control repository as paths and texts."""
    return {
        str(path.relative_to(PROJECT)): path.read_bytes()
        for folder in ("salt", "pillar")
        for path in sorted((PROJECT / folder).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def minion(minion_id: str, roles: Sequence[str] = (), **more: Any) -> Minion:
    """A minion of the sample."""
    grains = {**SAMPLE_GRAINS, "roles": list(roles), **more.pop("grains", {})}
    return Minion(minion_id, "test", {**grains, "id": minion_id}, **more)


def sample_minions() -> list[Minion]:
    """One for each role, one with all roles, one with none."""
    return [minion(name, roles) for name, roles in ROLES.items()]


class Lab:
    """A repository whose commits are compiled."""

    def __init__(self, folder: Path, files: Mapping[str, Content] | None = None) -> None:
        """Start with the sample, or with `files`."""
        self.folder = folder
        self.remote = Remote(folder / "repo.git")
        self.frame = Frame("salt", "pillar", GROUPS)
        self.options: dict[str, Any] = {}
        """What real Salt is configured with beside the rest."""
        self.commit(sample_files() if files is None else files)

    def copy(self, folder: Path) -> Lab:
        """The same once more, to go its own way."""
        twin = copy.copy(self)
        twin.folder = folder
        twin.remote = self.remote.copy(folder / "repo.git")
        return twin

    def commit(self, files: Mapping[str, Content]) -> str:
        """Change `files` on master; the commit."""
        return self.remote.commit("master", files)

    def tree(self, commit: str = "master") -> Any:
        """The tree of a commit."""
        git = Git(str(self.remote.path))
        return self.frame.tree(git, self.remote.git("rev-parse", commit))

    def compile(
        self, minions: Sequence[Minion], commit: str = "master", **options: Any
    ) -> dict[str, Compiled]:
        """Ours, with low chunks and pillar as they are unless `plain` says otherwise."""
        options = {"plain": True, "jobs": 1, "cache": CompileCache(None), **options}
        return compile_fleet(self.frame, self.tree(commit), minions, **options)

    def one(self, who: Minion, **options: Any) -> Compiled:
        """The same for one minion."""
        return self.compile([who], **options)[who.id]

    def config_folder(self, who: Minion, commit: str = "master") -> Path:
        """A masterless minion's configuration for real Salt."""
        folder = self.folder / "minions" / who.id
        tree = self.folder / "checkout"
        tree.mkdir(exist_ok=True, parents=True)
        argv = ["git", f"--git-dir={self.remote.path}", f"--work-tree={tree}"]
        subprocess.run([*argv, "read-tree", commit], check=True)
        subprocess.run([*argv, "clean", "-fdqx"], check=True, cwd=tree)
        subprocess.run([*argv, "checkout-index", "-afu"], check=True)
        roots = {}
        for kind, inside in (("file_roots", "salt"), ("pillar_roots", "pillar")):
            top = folder / "tops" / inside
            top.mkdir(parents=True, exist_ok=True)
            (top / "top.sls").write_text(top_file.render_top(who.saltenv, GROUPS))
            link = top / top_file.BRANCH_TOP
            link.unlink(missing_ok=True)
            link.symlink_to(tree / inside / "top.sls")
            roots[kind] = {who.saltenv: [str(top), str(tree / inside)]}
        options = {
            "id": who.id,
            "root_dir": str(folder / "root"),
            "file_client": "local",
            "saltenv": who.saltenv,
            "pillarenv": who.saltenv,
            "grains": dict(who.grains),
            "enable_fqdns_grains": False,
            "module_dirs": [str(tree / "salt")],
            **roots,
            **self.options,
        }
        (folder / "minion").write_text(yaml.safe_dump(options))
        return folder

    def salt_call(self, who: Minion, *words: str) -> Any:
        """What ``salt-call --local`` answers."""
        self.config_folder(who)
        return self.called(who, *words)

    def called(self, who: Minion, *words: str) -> Any:
        """The same with the folder of an earlier call."""
        folder = self.folder / "minions" / who.id
        program = "from salt.scripts import salt_call; salt_call()"
        argv = [sys.executable, "-c", program, "--local", "--config-dir", str(folder)]
        argv += ["--out", "json", "--log-level", "quiet", *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
        return json.loads(done.stdout)["local"]

    def salts_own(self, minions: Sequence[Minion]) -> dict[str, Any]:
        """Low chunks (or errors) and pillar by Salt's classes, unchanged, in another process."""
        folders = [str(self.config_folder(who)) for who in minions]
        found: dict[str, Any] = json.loads(
            warm.program(str(Path(__file__).with_name("plain_salt.py")), *folders)
        )
        return found


@dataclass(frozen=True, slots=True)
class Pair:
    """What the two say of one minion."""

    ours: Compiled
    salts: Mapping[str, Any]

    @property
    def salt_failed(self) -> bool:
        """Salt has errors instead of chunks, or errors in the pillar."""
        low = self.salts["low"]
        if not low and self.ours.error:
            # Salt logs that a top file does not render, and goes on with no states at all.
            return "top file" in self.ours.error
        return "_errors" in self.salts["pillar"] or not all(isinstance(c, dict) for c in low)

    def assert_equal(self) -> None:
        """Chunk by chunk, arguments and order too, and the pillar; or both see an error."""
        if self.salt_failed:
            assert self.ours.result != "ok", self.salts
            assert self.ours.error
            return
        assert self.ours.error is None, self.ours.error
        assert self.ours.plain_pillar == self.salts["pillar"]
        assert self.ours.low == self.salts["low"]


def environment() -> dict[str, str]:
    """For children that must not see the tests' own settings."""
    return {k: v for k, v in os.environ.items() if not k.startswith("SALT")}
