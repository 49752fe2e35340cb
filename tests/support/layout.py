"""What a cluster serves where no sync made it: checkouts and generated tops."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from saltbranch.config.minions import Matcher
from saltbranch.salt_master.top_file import BRANCH_TOP, render_top

# saltenv -> its branch; the minions are assigned in three different ways.
BRANCHES = {"test": "develop", "stage": "stage", "prod": "master"}
GROUPS = {
    "test": [Matcher("glob", "test*")],
    "stage": [Matcher("nodegroup", "staging")],
    "prod": [Matcher("list", "prod1,prod2")],
}
MEMBERS = {"test1": "test", "stage1": "stage", "prod1": "prod"}


@dataclass
class Layout:
    """What the cluster serves: checkouts and generated tops, laid out as a sync leaves them."""

    root: Path
    cache_dir: Path
    _slots: Iterator[int] = field(default_factory=itertools.count)

    def create(self) -> None:
        """Make the fixed part, which no switch touches."""
        (self.root / "checkouts").mkdir(parents=True)
        for saltenv, branch in BRANCHES.items():
            for kind, source in (("states", "salt"), ("pillar", "pillar")):
                tops = self.root / "tops" / saltenv / kind
                tops.mkdir(parents=True)
                (tops / "top.sls").write_text(render_top(saltenv, GROUPS))
                (tops / BRANCH_TOP).symlink_to(f"../../../checkouts/{branch}/{source}/top.sls")

    def roots(self, kind: str, source: str) -> dict[str, list[str]]:
        """``file_roots`` or ``pillar_roots``."""
        return {
            saltenv: [
                str(self.root / "tops" / saltenv / kind),
                str(self.root / "checkouts" / branch / source),
            ]
            for saltenv, branch in BRANCHES.items()
        }

    def build(self, saltenv: str, files: Mapping[str, object]) -> Path:
        """Write a new slot for the branch of `saltenv`; data become YAML, text stays as it is."""
        slot = self.root / "slots" / BRANCHES[saltenv] / str(next(self._slots))
        for name, content in files.items():
            path = slot / name
            path.parent.mkdir(parents=True, exist_ok=True)
            text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
            path.write_text(text)
        for source in ("salt", "pillar"):
            (slot / source).mkdir(parents=True, exist_ok=True)
        return slot

    def switch(self, saltenv: str, slot: Path, *, forget_list: bool = True) -> None:
        """Serve `slot`: one rename, then the list of files that the master remembers for 20 s."""
        checkout = self.root / "checkouts" / BRANCHES[saltenv]
        new = checkout.with_suffix(".new")
        new.symlink_to(os.path.relpath(slot, checkout.parent))
        new.replace(checkout)
        if forget_list:
            self.forget_list(saltenv)

    def forget_list(self, saltenv: str) -> None:
        """Drop the file server's list of what a saltenv holds."""
        (self.cache_dir / "file_lists" / "roots" / f"{saltenv}.p").unlink(missing_ok=True)

    def serve(self, saltenv: str, files: Mapping[str, object]) -> None:
        """Build and switch."""
        self.switch(saltenv, self.build(saltenv, files))

    def serve_tops(self, top: object, *saltenvs: str) -> None:
        """Serve one top file for states and pillar, and beside it sls files that say where from.

        top: data or text, or None for a branch without.
        """
        for saltenv in saltenvs or BRANCHES:
            files: dict[str, object] = {}
            for sls in ("role", "secret"):
                files[f"salt/{sls}.sls"] = {f"{saltenv}:{sls}": {"test.nop": []}}
                files[f"pillar/{sls}.sls"] = {f"{saltenv}:{sls}": "value"}
            if top is not None:
                files |= {"salt/top.sls": top, "pillar/top.sls": top}
            self.serve(saltenv, files)
