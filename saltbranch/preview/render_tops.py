"""Which minions' top files, or highstates, a commit renders: the program that `serve.verify` starts.

A process of its own: it imports Salt and the compiler, which a sync does without, it may be stopped when its time
is over, and whatever goes wrong in it leaves the sync unharmed. Questions come on stdin, answers go to stdout.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from saltbranch.base import files
from saltbranch.base.errors import ConfigError, SaltbranchError
from saltbranch.compiler import cache as compile_cache
from saltbranch.compiler import pool
from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.custom_code import changed, custom_code
from saltbranch.compiler.error_texts import TOP_BROKEN, TOP_FILE, is_of_pillar, without_area
from saltbranch.compiler.model import Compiled, Minion
from saltbranch.compiler.pool import Frame
from saltbranch.compiler.sandbox import SandboxError
from saltbranch.compiler.tree import Tree
from saltbranch.config import minions as targets
from saltbranch.config.keys import VERIFY_FLEET
from saltbranch.config.minions import Matcher
from saltbranch.config.model import Config
from saltbranch.config.roots import PILLAR, STATES
from saltbranch.git.mirror import Mirror
from saltbranch.preview import known_fleet
from saltbranch.preview.compare import external_pillar, frame_of
from saltbranch.preview.repository_and_master import RepositoryAndMaster
from saltbranch.repository.commit_source import CommitSource
from saltbranch.repository.machine import load_config
from saltbranch.repository.root import root_of
from saltbranch.salt_master import options as master_options
from saltbranch.salt_master import top_file
from saltbranch.serve.verify import Question

_SECONDS = 20  # for one minion; a tenth of one is usual
_GRAINS = "it may depend on grains that are not known here"
_PILLAR_TOP = re.compile(r"Rendering Primary Top file failed, render error:\s*")
_STATE_TOP = re.compile(f"{re.escape(TOP_BROKEN)}|{re.escape(TOP_FILE)}")


def main() -> None:
    """Answer the questions on stdin, each by what `answered` returns, on stdout."""
    os.closerange(3, 1024)  # the lock of the root, for one: nothing in the sandbox may have it
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever else writes to stdout must not get into the answer
    asked = json.load(sys.stdin)
    questions = [Question(**item) for item in asked["questions"]]
    try:
        place = _place(asked["config"])
        answers = [answered(place, question) for question in questions]
    except SaltbranchError as err:
        answers = [_nothing(err)] * len(questions)
    with open(answer, "w", encoding="utf-8", errors="replace") as out:
        json.dump(answers, out)


def _place(config_path: str) -> RepositoryAndMaster:
    mirror = Mirror(root_of(config_path))
    config = load_config(config_path, mirror, mirror.branches())
    return RepositoryAndMaster(
        config, CommitSource(mirror.git), master_options.read(config.salt_config)
    )


def _nothing(err: SaltbranchError) -> dict[str, Any]:
    why = f"{err.message} ({err.hint})" if err.hint else err.message
    return {"why": why, "sandbox": not isinstance(err, SandboxError)}


def answered(place: RepositoryAndMaster, question: Question) -> dict[str, Any]:
    """What `serve.verify.decide` takes. Raises nothing that is expected."""
    try:
        return _answer(place, question)
    except SaltbranchError as err:
        return _nothing(err)


def _answer(place: RepositoryAndMaster, question: Question) -> dict[str, Any]:
    # Folders in which a change means that the fleet may be another one; as they were before it was read.
    folders = [f"{place.master.cachedir}/grains"] if place.config.fleet == "cache" else []
    watch = [(folder, files.signature(folder)) for folder in folders]
    minions, known = _minions(place, question)
    if not minions:
        return {"why": f"no minion of {question.saltenv} has grains that are known here"}
    renderer = _Renderer(place, question)
    new = renderer.render(question.commit, minions)
    if not known or renderer.brings_grains():
        _doubt(new, renderer.tops(question.commit))
    told = {"why": "", "new": new, "served": [], "watch": watch}
    if question.served and all(row["errors"] and not row["doubt"] for row in new):
        told["served"] = renderer.render(question.served, minions)
    return told


def _minions(place: RepositoryAndMaster, question: Question) -> tuple[list[Minion], bool]:
    """For whom it is rendered, and whether their grains are known."""
    saltenv = question.saltenv
    try:
        known = [m for m in known_fleet.load(place, [saltenv]).minions if m.saltenv == saltenv]
    except ConfigError:
        if not question.sample:
            raise
        known = []
    if not question.sample:
        return known, True
    if known:
        return known[:1], True
    found = next(_claimed(place, saltenv), None)
    return [Minion(found, saltenv, {"id": found})] if found else [], False


def _claimed(place: RepositoryAndMaster, saltenv: str) -> Iterator[str]:
    """Ids that `saltenv` claims, those with an accepted key first."""
    matchers = place.config.saltenv(saltenv).minions
    for minion_id in (*place.master.accepted_minions(), *map(_example, matchers)):
        claims = targets.claimed_by(minion_id, place.groups, place.master.nodegroups)
        if [name for name, _ in claims] == [saltenv]:
            yield minion_id


def _example(matcher: Matcher) -> str:
    """An id that it may claim."""
    first = matcher.target.split(",")[0] if matcher.kind == "list" else matcher.target
    return re.sub(r"\[!?(.)[^]]*\]|[*?]", lambda found: found[1] or "x", first)


def _doubt(rows: Sequence[dict[str, Any]], tops: Sequence[str]) -> None:
    """Where grains are not known, only a top file that asks for nothing is surely broken."""
    asks = any(top_file.may_ask(text, "grains|include|import") for text in tops)
    for row in rows:
        if asks or not row["of_tops"]:
            row["doubt"] = row["doubt"] or _GRAINS


class _Renderer:
    """Compiles commits for one question."""

    def __init__(self, place: RepositoryAndMaster, question: Question) -> None:
        self.place, self.question = place, question
        self.git = place.repository.git
        # What is served has no stand-ins.
        self.frame = replace(frame_of(place), seconds=_SECONDS, offer=None)
        folder = compile_cache.folder_of(place.config.root)
        self.cache = CompileCache(folder, write=not question.sample)  # doctor changes nothing
        self.trees: dict[str, Tree] = {}

    def tree(self, commit: str) -> Tree:
        if commit not in self.trees:
            self.trees[commit] = self.frame.tree(self.git, commit)
        return self.trees[commit]

    def tops(self, commit: str) -> list[str]:
        """The text of the branch's own top files."""
        tree = self.tree(commit)
        paths = [f"{folder}/top.sls" for folder in self.frame.dirs.values()]
        return [
            tree.git.out("cat-file", "blob", tree.entries[p][1]) for p in paths if p in tree.entries
        ]

    def render(self, commit: str, minions: Sequence[Minion]) -> list[dict[str, Any]]:
        """Every minion with its errors, and why these may not be the commit's. Raises SandboxError, GitError."""
        foreign = bool(external_pillar(self.place))
        rows = self._compiled(replace(self.frame, tops_only=True), commit, minions, foreign=foreign)
        if self.question.mode == VERIFY_FLEET and any(not row["errors"] for row in rows):
            whole = self._compiled(self.frame, commit, minions, foreign=foreign)
            rows = [row if row["errors"] else full for row, full in zip(rows, whole, strict=True)]
        self.cache.tidy()
        return rows

    def brings_grains(self) -> bool:
        """Whether the commit changes custom grains, which minions have only once it is served."""
        if not self.question.served:
            return False
        old, new = (
            custom_code(self.tree(commit), self.frame.states_dir)
            for commit in (self.question.served, self.question.commit)
        )
        begin = f"{self.frame.states_dir}/_grains/"
        return any(path.startswith(begin) for path in changed(old, new))

    def _compiled(
        self, frame: Frame, commit: str, minions: Sequence[Minion], *, foreign: bool
    ) -> list[dict[str, Any]]:
        tree = self.tree(commit)
        results = pool.compile_each(
            frame, tree, minions, jobs=os.cpu_count() or 1, cache=self.cache
        )
        return [
            {**_row(result, self.place.config, tree, foreign=foreign), "of_tops": frame.tops_only}
            for result in results
        ]


def _row(result: Compiled, config: Config, tree: Tree, *, foreign: bool) -> dict[str, Any]:
    """foreign: the pillar that the minion really has may hold more than what is compiled here."""
    doubt = ""
    if result.unsure:
        doubt = "; ".join(result.notes) or "it was not compiled to its end"
    elif foreign and result.needs_pillar:
        doubt = "it may depend on the external pillar, which only the master has"
    return {
        "id": result.minion,
        "errors": [_placed(error, config, tree) for error in result.errors],
        "doubt": doubt,
        "matched": result.states_matched,
    }


def _placed(error: str, config: Config, tree: Tree) -> Mapping[str, str]:
    """The file that an error is about, and what is wrong with it."""
    kind, folder = STATES, config.states_dir
    if is_of_pillar(error):
        kind, folder, error = PILLAR, config.pillar_dir, without_area(error)
    for pattern in (_PILLAR_TOP, _STATE_TOP):
        if found := pattern.match(error):
            return {"file": tree.place_of(f"{folder}/top.sls"), "error": error[found.end() :]}
    return {"file": config.roots.told(kind), "error": error}
