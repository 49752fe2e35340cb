"""Why a master would serve something else once it is moved over."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

from saltbranch.actions.adopt_roots import is_same
from saltbranch.base import files
from saltbranch.base.errors import SaltbranchError
from saltbranch.config import minions as targets
from saltbranch.config.model import Config
from saltbranch.config.roots import STATES
from saltbranch.git import tree
from saltbranch.git.mirror import Mirror
from saltbranch.preview.plain_side import Seen, Served
from saltbranch.salt_master.served_now import Found, Source


class Causes:
    """Looks for causes in the mirror, in what was found of the former sources, and in the model."""

    def __init__(
        self,
        config: Config,
        found: Found,
        sides: tuple[Served, Served],
        nodegroups: Mapping[str, object],
    ) -> None:
        """sides: what is served now, and afterwards."""
        self._config, self._found = config, found
        self._now, self._then = sides
        self._nodegroups = nodegroups
        self._edited: dict[str, bool] = {}
        self._git = Mirror(config.root).git

    def of_file(self, saltenv: str, path: str, old: str, new: str) -> str:
        """Why the file `path` is another one. old, new: hashes, empty where there is none."""
        own = self._config.saltenv(saltenv)
        served = served_commit(self._config, saltenv)
        sources = [s for s in self._found.states if s.saltenv in ("", saltenv)]
        paths = self._config.roots.paths_of(STATES, path)
        here = [s for s in sources if is_same(s.url, self._config.remote)]
        if path.startswith(".git/") or "/.git/" in path:
            return "the files of git itself are not served"
        if old and not new and self._is_barred(here, path, served):
            return "no pillar, tests, documents, hidden files and other roots are served from the top of the repository"
        foreign = [s for s in sources if s not in here and s.url]
        if foreign and not any(self._hash(served, p) for p in paths):
            names = ", ".join(s.name for s in foreign)
            return f"its submodule on branch {own.branch} may be at another commit than {names}"
        for source in here or sources:
            if source.kind == "folder":
                return self._of_folder(source, paths, old, own.branch, served)
        if old and new and any(old == self._hash(served, p) for p in paths):
            return "gitfs serves it as it is stored, and .gitattributes says how it is checked out"
        return ""

    def _is_barred(self, sources: list[Source], path: str, served: str) -> bool:
        """Whether the commit has the file where it was served from, and our roots leave it out."""
        own = self._config.roots
        tried = [path if s.root == "." else f"{s.root}/{path}" for s in sources]
        return any(own.name_of(STATES, p) != path and self._hash(served, p) for p in tried)

    def _of_folder(
        self, source: Source, paths: list[str], old: str, branch: str, served: str
    ) -> str:
        if not source.commit:
            return f"branch {branch} has something else than {source.place}, which is in no clone"
        if old != next((h for p in paths if (h := self._hash(source.commit, p))), ""):
            return f"{source.place} was changed there, and that is not committed"
        if source.commit != served:
            return (
                f"{source.place} has the commit {source.commit[:12]}, and branch {branch} is at {served[:12]}:"
                " pull or push there"
            )
        return ""

    def of_minion(self, now: Seen, then: Seen, what: str) -> str:
        """Why `what`, top or pillar, is another one for a minion."""
        claims = [
            name
            for name, _ in targets.claimed_by(now.minion, self._config.groups, self._nodegroups)
        ]
        if not claims:
            return "no saltenv of the model claims it: give it one with --minions"
        if len(claims) > 1:
            return f"more than one saltenv claims it: {', '.join(claims)}"
        own = claims[0]
        used = [saltenv for saltenv, sls in now.top.items() if sls]
        if what == "top" and set(used) - {own}:
            others = ", ".join(used)
            return f"it gets states of {others} now, and a minion belongs to one saltenv: {own}"
        if now.saltenv and now.saltenv != own:
            return f"it is pinned to saltenv {now.saltenv}, and the model has it in {own}"
        branch = self._config.saltenv(own).branch
        if what == "top":
            if "top.sls" not in self._now.saltenvs.get(own, {}):
                return f"branch {branch} has no top file; that of another saltenv says what it gets now"
            return "another saltenv's top file says what it gets now, or says more"
        if self._found.only_base and not now.saltenv and own != "base":
            return (
                f"pillar_source_merging_strategy is none: pinned to no saltenv, it gets pillar of base alone,"
                f" none of {own}; remove the option, or set its pillarenv"
            )
        return self._of_pillar(own, branch)

    def _of_pillar(self, own: str, branch: str) -> str:
        folders = [s for s in self._found.pillar if s.kind == "folder"]
        others = sorted({s.saltenv for s in folders} - {own})
        remotes = [s for s in self._found.pillar if s.kind == "git_pillar"]
        branches = list(dict.fromkeys(s.branch or "__env__" for s in remotes))
        if remotes and branches != [branch]:
            return f"git_pillar has {', '.join(branches)}, and afterwards its pillar is that of branch {branch} alone"
        for source in folders:
            if source.commit and self._is_edited(source):
                return f"{source.place} was changed there, and that is not committed"
        for source in folders:
            if source.saltenv == own and source.commit != served_commit(self._config, own):
                return f"{source.place} has the commit {source.commit[:12]}, which is not that of branch {branch}"
        if others:
            return f"pillar of saltenv {', '.join(others)} may reach it now, and afterwards that of {own} alone does"
        return ""

    def _is_edited(self, source: Source) -> bool:
        """Whether a folder of pillar has other files than its commit."""
        if source.place not in self._edited:
            found = {}
            for folder, _, names in os.walk(source.place):
                for name in names:
                    path = os.path.relpath(f"{folder}/{name}", source.place)
                    data = files.read_or_none(f"{folder}/{name}") or b""
                    found[path] = hashlib.sha256(data).hexdigest()
            self._edited[source.place] = any(
                digest != self._hash(source.commit, os.path.normpath(f"{source.root}/{path}"))
                for path, digest in found.items()
                if ".git" not in path.split("/")
            )
        return self._edited[source.place]

    def _hash(self, commit: str, path: str) -> str:
        """Of the file `path` of `commit` as Salt takes it by default; empty where there is none."""
        try:
            oid = self._git.blob_or_none(commit, path) if commit else None
            if oid is None:
                return ""
            return hashlib.sha256(tree.contents(self._git, [oid])[oid]).hexdigest()
        except (SaltbranchError, KeyError, ValueError):
            return ""


def served_commit(config: Config, saltenv: str) -> str:
    """The commit that our root serves for `saltenv`; empty where there is none yet."""
    path = f"{config.root}/slots/{config.saltenv(saltenv).dirname}/served/commit"
    return (files.read_or_none(path) or b"").decode("utf-8", "replace").strip()
