"""Whatever happens in whatever order: what is served was on the branch, and one more sync settles it."""

from __future__ import annotations

import logging
import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import salt.config
import salt.loader
import salt.utils.minions
from hypothesis import HealthCheck, assume, example, given, note, settings
from hypothesis import strategies as st

from saltbranch.base.errors import ConfigError
from saltbranch.config import minions as targets
from saltbranch.config.minions import Matcher
from tests.support import budget
from tests.support.kill_server import KillServer
from tests.support.remote import Content, Link, Remote
from tests.support.site import BRANCHES, Site, build_template, result_of

# Histories


@dataclass
class World:
    """A site, and what its branches ever were."""

    site: Site
    server: KillServer
    ever: dict[str, set[str]] = field(default_factory=dict)
    edited: set[str] = field(default_factory=set)

    @property
    def remote(self) -> Remote:
        """The control repository."""
        return self.site.remote

    def __post_init__(self) -> None:
        self.ever = {branch: {self.remote.head(branch)} for branch in BRANCHES.values()}

    def remember(self, branch: str) -> None:
        """Note where the branch is now."""
        self.ever[branch].add(self.remote.head(branch))

    def check(self) -> None:
        """What is served is one of the commits that the branch ever was, whole."""
        for branch, commits in self.ever.items():
            shown = self.site.shown(branch)
            if shown is not None and branch not in self.edited:
                assert shown in [self.remote.tree(commit) for commit in commits], branch

    def settle(self) -> None:
        """One more sync: equal to the remote, or what is documented to be refused or missing."""
        result = self.site.sync_here(wait=30, verify=bool(self.edited))
        for saltenv, branch in BRANCHES.items():
            found = result_of(result, saltenv)
            head = self.remote.head_or_none(branch)
            if head is None:
                assert found.state == "missing"
            elif found.state == "refused":
                assert "was rewritten" in found.message and saltenv == "prod"
            else:
                assert found.new == head
                self.site.assert_serves(branch, head)
        assert not self.site.sync_here().changed


def push(world: World, branch: str, number: int) -> None:
    """A commit on top, the branch made anew where it is missing."""
    if world.remote.head_or_none(branch) is None:
        world.remote.set_branch(branch, world.remote.head_or_none("keep") or "")
    files: dict[str, Content] = {
        f"salt/{number % 3}.sls": f"{number}\n",
        f"pillar/{number % 2}/x.sls": f"{branch}\n",
        "salt/link": Link(f"{number % 3}.sls"),
        f"salt/{(number + 1) % 3}.sls": None if number % 2 else "same size\n",
    }
    world.remote.commit(branch, files)
    world.remember(branch)


def rewrite(world: World, branch: str, number: int) -> None:
    """Another commit in place of the last one."""
    if world.remote.head_or_none(branch):
        world.remote.rewrite(branch, {"salt/rewritten.sls": f"{number}\n"})
        world.remember(branch)


def set_back(world: World, branch: str, number: int) -> None:
    """Let the branch be what it or another one once was."""
    commits = sorted(world.ever[branch if number % 2 else "stage"])
    world.remote.set_branch(branch, commits[number % len(commits)])
    world.remember(branch)


def delete(world: World, branch: str, number: int) -> None:
    """Remove the branch."""
    world.remote.delete_branch(branch)


def sync(world: World, branch: str, number: int) -> None:
    """A plain sync, or one that looks closely."""
    result = world.site.sync_here(wait=30, verify=number % 4 == 0)
    if number % 4 == 0:
        # Where there is nothing to go to, what is served stays as it is.
        world.edited -= {s.branch for s in result.saltenvs if s.state not in ("missing", "refused")}


def killed_sync(world: World, branch: str, number: int) -> None:
    """A sync that is killed at one of its steps, if it gets so far."""
    options = ["--wait", "30"] if number % 2 else []
    argv = ["sync", *options, "--config", str(world.site.config)]
    code = world.server.run(world.site.folder / "steps", "any", number, *argv)
    assert code in (0, 1, 4, 20, 75, -signal.SIGKILL)


def edit_by_hand(world: World, branch: str, number: int) -> None:
    """Somebody works in a served folder."""
    if not world.site.checkout(branch).exists():
        return
    slot = world.site.slot(branch)
    world.edited.add(branch)
    if number % 3 == 0:
        (slot / "salt" / "top.sls").write_text("base: {}\n")
    elif number % 3 == 1:
        shutil.rmtree(slot / "pillar", ignore_errors=True)
    else:
        (slot / "salt" / "strange").mkdir(exist_ok=True)
        (slot / "salt" / "strange" / "file").write_text("strange\n")


def lose_state(world: World, branch: str, number: int) -> None:
    """Somebody tidied up."""
    root = world.site.root
    victims = [root / "state" / "served", root / "state" / "prepared", root / "mirror.git" / "worktrees",
               root / "mirror.git" / "HEAD", root / "tops", root / "slots" / branch / "b" / "tree" / ".git",
               root / "slots" / branch / "served", root / "slots" / branch / "a" / "commit"]  # fmt: skip
    victim = victims[number % len(victims)]
    if victim.is_dir() and not victim.is_symlink():
        shutil.rmtree(victim)
    else:
        victim.unlink(missing_ok=True)


Deed = Callable[[World, str, int], None]
_DEEDS: list[Deed] = [
    push,
    push,
    rewrite,
    set_back,
    delete,
    sync,
    sync,
    killed_sync,
    killed_sync,
    edit_by_hand,
    lose_state,
]
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(_DEEDS), st.sampled_from(list(BRANCHES.values())), st.integers(0, 40)
    ),
    min_size=3,
    max_size=14,
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Remote:
    remote = build_template(tmp_path_factory.mktemp("template") / "remote.git")
    remote.set_branch("keep", remote.head("master"))
    return remote


def play(template: Remote, server: KillServer, steps: list[tuple[Deed, str, int]]) -> None:
    """Do what `steps` say, looking after each, and settle at the end."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Site(Path(folder), template.copy(Path(folder) / "remote.git")), server)
        for deed, branch, number in steps:
            note(f"{deed.__name__} {branch} {number}")
            deed(world, branch, number)
            world.check()
        world.settle()


@given(steps=_STEPS)
@example(steps=[(sync, "develop", 1), (push, "develop", 1), (killed_sync, "develop", 25), (push, "develop", 2),
                (killed_sync, "develop", 25), (set_back, "develop", 0)])  # fmt: skip
@example(steps=[(sync, "develop", 0), (rewrite, "develop", 0), (lose_state, "develop", 27),
                (killed_sync, "develop", 6)])  # fmt: skip
@settings(
    max_examples=budget.examples(12, 5), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
def test_any_history_ends_well(
    template: Remote, server: KillServer, steps: list[tuple[Deed, str, int]]
) -> None:
    play(template, server, steps)


@pytest.mark.slow
@given(steps=_STEPS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_of_many_histories_ends_well(
    template: Remote, server: KillServer, steps: list[tuple[Deed, str, int]]
) -> None:
    play(template, server, steps)


# Targets, against Salt's own matchers

_IDS = st.text("abw1-.", min_size=1, max_size=6)
_GLOBS = st.text("abw1-.*?[]!", min_size=1, max_size=6)
_PATTERNS = st.text(r"abw1-.*+?[]()|^$\d", min_size=1, max_size=6)
_WORDS = st.one_of(
    st.sampled_from(["and", "or", "not", "(", ")", "and", "or", "N@other", "N@x"]),
    _GLOBS,
    st.lists(_IDS, min_size=1, max_size=3).map(lambda ids: "L@" + ",".join(ids)),
    _PATTERNS.filter(lambda p: " " not in p).map(lambda p: f"E@{p}"),
)
_DEFINITIONS = st.lists(_WORDS, min_size=1, max_size=6)


@pytest.fixture(scope="module")
def matchers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[..., bool]]:
    opts = salt.config.minion_config(None)
    opts["cachedir"] = str(tmp_path_factory.mktemp("cache"))
    opts["id"] = "somebody-else"
    logging.getLogger("salt").setLevel(logging.CRITICAL)  # it complains of what makes no sense
    loaded: dict[str, Callable[..., bool]] = salt.loader.matchers(opts)
    return loaded


@given(minion_id=_IDS, target=_GLOBS)
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_globs_match_as_in_salt(
    matchers: dict[str, Callable[..., bool]], minion_id: str, target: str
) -> None:
    theirs = matchers["glob_match.match"](target, minion_id=minion_id)
    assert targets.matches(Matcher("glob", target), minion_id) == theirs


@given(minion_id=_IDS, ids=st.lists(_IDS, min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_lists_match_as_in_salt(
    matchers: dict[str, Callable[..., bool]], minion_id: str, ids: list[str]
) -> None:
    theirs = matchers["list_match.match"](",".join(ids), minion_id=minion_id)
    assert targets.matches(Matcher("list", ",".join(ids)), minion_id) == theirs


@pytest.mark.filterwarnings("ignore::FutureWarning")
@given(minion_id=_IDS, target=_PATTERNS)
@settings(max_examples=200, deadline=None)
def test_expressions_match_as_in_salt(
    matchers: dict[str, Callable[..., bool]], minion_id: str, target: str
) -> None:
    try:
        (matcher,) = targets.parse_minions({"pcre": target}, "w")
    except ConfigError:
        assume(False)
    theirs = matchers["pcre_match.match"](target, minion_id=minion_id)
    assert targets.matches(matcher, minion_id) == theirs


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::SyntaxWarning")
@given(minion_id=_IDS, definition=_DEFINITIONS, other=_DEFINITIONS, as_text=st.booleans())
@example("a", ["a*", "and", "not", "b"], ["x"], True)
@example("a", ["not", "not", "a"], ["x"], True)
@example("a", ["a", "b"], ["x"], False)
@example("a", ["a*", "b"], ["x"], False)
@example("a", ["(", "a*"], ["x"], True)
@example("a", ["N@other", "and", "b*"], ["a*", "or", "b"], True)
@settings(max_examples=200, deadline=None)
def test_nodegroups_match_as_in_salt(
    matchers: dict[str, Callable[..., bool]],
    minion_id: str,
    definition: list[str],
    other: list[str],
    as_text: bool,
) -> None:
    nodegroups: dict[str, object] = {
        "x": " ".join(definition) if as_text else definition,
        "other": " ".join(other) if as_text else other,
    }
    matcher = Matcher("nodegroup", "x")
    try:
        targets.check_nodegroups([matcher], nodegroups, "w")
    except ConfigError:
        assume(False)
    assert targets.matches(matcher, minion_id, nodegroups) == in_salt(
        matchers, nodegroups, minion_id
    )


OPTS = salt.config.minion_config(None)


def in_salt(
    matchers: dict[str, Callable[..., bool]], nodegroups: dict[str, object], minion_id: str
) -> bool:
    """What Salt makes of the nodegroup x where a generated top file asks for it."""
    opts = {**OPTS, "nodegroups": nodegroups, "id": "somebody-else"}
    try:
        return bool(matchers["compound_match.match"](["N@x"], opts, minion_id))
    except Exception:
        return False
