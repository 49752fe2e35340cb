"""Public control repositories as input: which commits and minions, and what is left out to compile at all.

A repository is a git clone in the folder that SALTBRANCH_REPOSITORIES names; `NAME.yaml` beside it says what
cannot be guessed: `states_dir` and `pillar_dir`, `minions` (ID to grains), `nodegroups`, `pairs` of commits,
`copies` (path to the one whose content it gets, for pillar that has several roots).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from saltbranch.compiler.model import Minion
from tests.support import plainly
from tests.support.remote import Remote

SALTENV = "base"
_TARGET = re.compile(r"^  ['\"]?([\w.*-]+)['\"]?:\s*$", re.MULTILINE)
_MOST_MINIONS, _APART, _ROUNDS = 4, 6, 5
_NAMED = re.compile(
    r"No matching sls found for '([\w./-]+)'|"
    r"Specified SLS '?([\w./-]+)'? in|(?:Rendering|Render) SLS '?(?:base:)?([\w./-]+)'? failed"
    r"|SLS '?(?:base:)?([\w./-]+?)'?(?: does not|, render| is not|,|\.| failed|\n)|in SLS \[([\w./-]+)\]"
    r"|in 'base:([\w./-]+)'|and SLS '?(?:base:)?([\w./-]+)'?|SLS '?(?:base:)?([\w./-]+)'?"
)
_KINDS = ("modules", "states", "grains", "renderers", "utils", "pillar", "matchers", "serializers")


@dataclass
class Repository:
    """One, in a copy of its own. inner: where states and pillar stand in it, if in no folders of their own."""

    name: str
    remote: Remote
    states_dir: str
    pillar_dir: str
    minions: list[Minion]
    pairs: list[tuple[str, str]]
    master: dict[str, Any] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    inner: dict[str, str] = field(default_factory=dict)

    def commit(self, commit: str, left_out: Mapping[str, bytes]) -> str:
        """`commit` with the states in salt/ and the pillar in pillar/, where they are not in folders of their
        own, and with other content for the files `left_out`.
        """
        files: dict[str, Any] = {**self._copied(commit), **left_out}
        if self.inner:
            commit = self._laid_out(commit)
        return self.remote.commit(f"s{commit[:12]}", files, parents=(), tree=commit)

    def _copied(self, commit: str) -> dict[str, str]:
        found = {}
        for path, other in self.copies.items():
            if self.remote.git("ls-tree", commit, "--", other):
                found[path] = self.remote.git("show", f"{commit}:{other}") + "\n"
        return found

    def _laid_out(self, commit: str) -> str:
        lines = []
        for name, inner in self.inner.items():
            where = f"{commit}:{'' if inner == '.' else inner}"
            try:
                lines.append(f"040000 tree {self.remote.git('rev-parse', where)}\t{name}\n")
            except subprocess.CalledProcessError:
                continue  # it came later
        tree = self.remote.git("mktree", stdin="".join(lines).encode())
        return self.remote.git("commit-tree", "-m", "laid out", tree)

    def salts(self, folder: Path, commit: str) -> dict[str, Any]:
        """What Salt makes of every minion: with the repository's own top file, as a minion has its roots."""
        tree = folder / "tree"
        # Salt's own cache, too: a minion asks it for lists of files some seconds long.
        gone = [str(tree), *map(str, folder.glob("plain*"))]
        subprocess.run(["rm", "-rf", "--", *gone], check=True)
        for made in (tree / self.states_dir, tree / self.pillar_dir, folder / "extmods"):
            made.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["git", f"--git-dir={self.remote.path}", f"--work-tree={tree}", "checkout", "-qf",
             commit, "--", "."],
            check=True,
        )  # fmt: skip
        for kind in _KINDS:
            link = folder / "extmods" / kind
            link.unlink(missing_ok=True)
            if (tree / self.states_dir / f"_{kind}").is_dir():
                link.symlink_to(tree / self.states_dir / f"_{kind}")
        options = {
            "file_client": "local",
            "enable_fqdns_grains": False,
            "saltenv": SALTENV,
            "pillarenv": SALTENV,
            "file_roots": {SALTENV: [str(tree / self.states_dir)]},
            "pillar_roots": {SALTENV: [str(tree / self.pillar_dir)]},
            **self.master,
        }
        # As one of its own options it would be taken for a folder below root_dir.
        own = {"options": {"extension_modules": str(folder / "extmods")}}
        jobs = [
            {"id": m.id, "grains": dict(m.grains), "states": True, "contents": True, **own}
            for m in self.minions
        ]
        seen = {"/srv/salt": tree / self.states_dir, "/srv/pillar": tree / self.pillar_dir}
        return plainly.compiled(folder, options, jobs, seen=seen)

    def compilable(
        self, folder: Path, commit: str, found: Mapping[str, Any]
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        """What has to be left out for Salt to compile `commit` (it refuses a minion wholly for one missing
        pillar file), and what it then makes of it. found: what it made of the commit as it is.
        """
        left: dict[str, bytes] = {}
        for _ in range(_ROUNDS):
            new = {p: b"{}\n" for p in self._broken(commit, found) if p not in left}
            if not new:
                break
            left.update(new)
            found = self.salts(folder, self.commit(commit, left))
        return left, dict(found)

    def _broken(self, commit: str, found: Mapping[str, Any]) -> Iterator[str]:
        paths = set(self.remote.git("ls-tree", "-r", "--name-only", commit).splitlines())
        for result in found.values():
            for folder, errors in (
                (self.pillar_dir, result["pillar"].get("_errors", ())),
                (self.states_dir, [*filter(_is_text, result["low"]), *result["broken"]]),
            ):
                for error in errors:
                    if name := _named(str(error)):
                        inner = f"{folder}/{name.strip('.').replace('.', '/')}"
                        whole = f"{inner}/init.sls"
                        yield whole if whole in paths else f"{inner}.sls"


def _is_text(item: Any) -> bool:
    return isinstance(item, str) and not item.startswith("Pillar failed")


def _named(error: str) -> str:
    """The sls file that Salt's error is about."""
    names = [next(filter(None, groups), "") for groups in _NAMED.findall(error[:600])]
    return names[-1 if "conflicting" in error else 0] if names else ""


def found(clones: Path, folder: Path, grains: Mapping[str, Any]) -> Iterator[Repository]:
    """Every repository below `clones`, copied to `folder`. grains: what all minions have."""
    for path in sorted(p for p in clones.iterdir() if p.is_dir()):
        copy = folder / path.name
        argv = ["git", "clone", "-q", "--bare", "--shared", "--", str(path.resolve()), str(copy)]
        subprocess.run(argv, check=True)
        said_file = clones / f"{path.name}.yaml"
        said = yaml.safe_load(said_file.read_text()) if said_file.exists() else {}
        yield _described(path.name, Remote(copy), said, grains)


def _described(
    name: str, remote: Remote, said: Mapping[str, Any], grains: Mapping[str, Any]
) -> Repository:
    states, pillar = said.get("states_dir", "salt"), said.get("pillar_dir", "pillar")
    minions = said.get("minions") or _guessed(remote, f"{states}/top.sls".removeprefix("./"))
    nodegroups, inner = {"nodegroups": said["nodegroups"]} if "nodegroups" in said else {}, {}
    pairs = [tuple(pair) for pair in said.get("pairs") or _pairs(remote, (states, pillar))]
    if states == ".":
        inner = {"salt": states, "pillar": pillar}
        states, pillar = "salt", "pillar"
    return Repository(
        name,
        remote,
        states,
        pillar,
        [Minion(n, SALTENV, {**grains, **(own or {}), "id": n}) for n, own in minions.items()],
        pairs,
        nodegroups,
        dict(said.get("copies") or {}),
        inner,
    )


def _guessed(remote: Remote, top: str) -> dict[str, Any]:
    """Minions that the top file names."""
    text = remote.git("show", f"HEAD:{top}")
    names = [target.replace("*", "1") for target in _TARGET.findall(text) if target != "*"]
    return dict.fromkeys([*dict.fromkeys(names)][: _MOST_MINIONS - 1] + ["other1"], {})


def _pairs(remote: Remote, folders: tuple[str, str]) -> list[tuple[str, str]]:
    """Three pairs, one after the other, some changes apart, from the last one on."""
    log = remote.git("log", "--first-parent", "--format=%H", "-n", "60", "--", *folders)
    found = log.split()
    commits = found[:: max(1, min(_APART, (len(found) - 1) // 3))][:4]
    return list(zip(commits[1:], commits[:-1], strict=True))[::-1]
