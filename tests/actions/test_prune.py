"""prune removes what saltbranch made for what is no longer configured, and nothing else."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from saltbranch.actions import prune as pruning
from saltbranch.actions.prune import PrunePlan, apply_prune, plan_prune
from saltbranch.base import files
from saltbranch.base.errors import ConfigError, LockedError, RefusedError
from saltbranch.git import mirror
from saltbranch.repository import prepared
from tests.serve.test_formulas import pin
from tests.support.remote import Remote
from tests.support.site import Ran, Site, run


@pytest.fixture
def retired(served: Site) -> Site:
    """A master whose stage was taken out of the configuration, and which has synced since."""
    served.keep_only("test", "prod")
    assert served.sync_here().exit_code == 0
    return served


def everything(root: Path) -> dict[str, str | bytes | None]:
    """All below `root` but the lock: folders, links and contents."""
    found: dict[str, str | bytes | None] = {}
    for folder, folders, names in os.walk(root):
        for name in [*folders, *names]:
            path = Path(folder, name)
            if path.is_symlink():
                found[str(path)] = str(path.readlink())
            elif path.is_dir():
                found[str(path)] = None
            elif path != root / "lock":
                found[str(path)] = path.read_bytes()
    return found


def planned(plan: PrunePlan) -> list[tuple[str, str]]:
    return [(item.kind, os.path.relpath(item.path, plan.root)) for item in plan.items]


def plan_of(site: Site) -> PrunePlan:
    return plan_prune(str(site.config))


def prune(site: Site, *, force: bool = False) -> None:
    apply_prune(str(site.config), plan_of(site), force=force)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def registrations(site: Site) -> list[Path]:
    """The worktrees that git knows of."""
    argv = ["git", f"--git-dir={site.root}/mirror.git", "worktree", "list", "--porcelain"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    paths = [
        Path(line.split(" ", 1)[1]) for line in said.splitlines() if line.startswith("worktree ")
    ]
    return sorted(path for path in paths if path.name != "mirror.git")


def slots(site: Site, *branches: str) -> list[Path]:
    """The worktrees of branches."""
    return [site.root / "slots" / branch / name / "tree" for branch in branches for name in "ab"]


def test_nothing_to_remove(served: Site) -> None:
    before = everything(served.root)
    assert served.run("prune") == Ran(0, f"{served.root}: nothing to remove\n", "")
    assert served.run("prune", "--plan", "--yes").code == 0
    assert everything(served.root) == before


def test_plan_shows_what_goes_and_changes_nothing(retired: Site) -> None:
    before = everything(retired.root)
    root, config = retired.root, retired.config
    ran = retired.run("prune", "--plan")
    no_saltenv = f"({config} names no saltenv 'stage')"
    no_branch = f"({config} names no branch with the folder 'stage')"
    kept = {path.name for path in (root / "mirror.git" / "worktrees").iterdir()}
    gone = [path for path in sorted(kept) if _slot_of(retired, path).parents[1].name == "stage"]
    assert ran == Ran(
        3,
        f"tops      {root}/tops/stage  {no_saltenv}\n"
        f"checkout  {root}/checkouts/stage  {no_branch}\n"
        f"slots     {root}/slots/stage  {no_branch}\n"
        + "".join(f"worktree  {root}/mirror.git/worktrees/{n}  (its slot goes)\n" for n in gone),
        "",
    )
    assert len(gone) == 2
    assert everything(root) == before


def _slot_of(site: Site, registration: str) -> Path:
    gitdir = site.root / "mirror.git" / "worktrees" / registration / "gitdir"
    return Path(gitdir.read_text().strip()).parent


def test_removes_the_plan_and_nothing_else(retired: Site) -> None:
    before = everything(retired.root)
    going = tuple(item.path for item in plan_of(retired).items)
    ran = retired.run("prune", "--yes")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[-1] == "removed these 5 things"

    after = everything(retired.root)
    served = str(retired.root / "state" / "served")
    left = {path: what for path, what in before.items() if not path.startswith(going)}
    record = left.pop(served)
    assert isinstance(record, bytes)
    kept = [line for line in record.splitlines(keepends=True) if not line.startswith(b"stage\t")]
    assert after.pop(served) == b"".join(kept)
    assert after == left
    assert registrations(retired) == slots(retired, "develop", "master")
    assert plan_of(retired).items == ()
    for branch in ("develop", "master"):
        retired.assert_serves(branch, retired.remote.head(branch))


def test_deploy_28_what_was_pruned_is_served_again_when_it_comes_back(retired: Site) -> None:
    settings = {"branch": "stage", "minions": ["stage*"]}
    prune(retired)
    assert not retired.checkout("stage").exists()
    retired.configure(saltenvs={**retired.settings["saltenvs"], "stage": settings})
    retired.remote.commit("develop", {"salt/new.sls": "new:\n  test.nop: []\n"})
    retired.sync_well()


def test_network_is_not_touched(retired: Site) -> None:
    shutil.rmtree(retired.remote.path)
    prune(retired)
    assert plan_of(retired).items == ()


def test_json_is_the_same_for_plan_and_result(retired: Site) -> None:
    (retired.root / "notes.txt").write_text("mine\n")
    plan: dict[str, Any] = json.loads(retired.run("prune", "--plan", "--json").out)
    assert (plan["version"], plan["plan"], plan["root"]) == (1, True, str(retired.root))
    assert [item["kind"] for item in plan["items"]] == [
        "tops",
        "checkout",
        "slots",
        "worktree",
        "worktree",
    ]
    assert plan["foreign"] == [str(retired.root / "notes.txt")]
    assert plan["doubts"] == []

    ran = retired.run("prune", "--yes", "--json")
    result: dict[str, Any] = json.loads(ran.out)
    assert ran.code == 0
    assert result.pop("plan") is False
    assert all(item.pop("removed") for item in result["items"])
    assert not any(item.pop("removed") for item in plan["items"])
    del plan["plan"]
    assert result == plan


# Refused


def test_without_a_terminal_nobody_can_be_asked(retired: Site) -> None:
    before = everything(retired.root)
    ran = retired.run("prune")
    assert ran.code == 4
    assert ran.err == (
        "saltbranch: nothing was removed: these 5 things would go, and there is no terminal to ask"
        " on\n"
        "  -> look at saltbranch prune --plan, then: saltbranch prune --yes\n"
    )
    assert everything(retired.root) == before


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("y", 0)])
def test_asks_on_a_terminal(retired: Site, answer: str, code: int) -> None:
    terminal, inside = pty.openpty()
    os.write(terminal, f"{answer}\n".encode())
    argv = retired.argv("prune")
    done = subprocess.run(argv, stdin=inside, stderr=inside, stdout=subprocess.PIPE, timeout=60)
    os.close(inside)
    shown = os.read(terminal, 10_000).decode()
    os.close(terminal)
    assert done.returncode == code
    assert "Remove these 5 things? [y/N]:" in shown
    assert (retired.root / "slots" / "stage").exists() == (answer == "n")


def test_deploy_12_more_than_one_saltenv_needs_force(served: Site) -> None:
    served.keep_only("prod")
    served.sync_here()
    before = everything(served.root)
    ran = served.run("prune", "--yes")
    assert ran.code == 4
    assert ran.err == (
        "saltbranch: nothing was removed, there is doubt that this is meant:\n"
        "  2 saltenvs would go at once\n"
        "  -> if it is meant: saltbranch prune --force\n"
    )
    assert everything(served.root) == before
    assert served.run("prune", "--yes", "--force").code == 0
    assert names(served.root / "checkouts") == ["master"]
    served.assert_serves("master", served.remote.head("master"))


def test_deploy_12_never_removes_all_that_is_served(served: Site) -> None:
    served.remote.set_branch("main", served.remote.head("master"))
    served.configure(saltenvs={"prod": {"branch": "main", "minions": ["prod*"]}})
    plan = plan_of(served)
    assert plan.doubts[0] == "nothing of what is served now would remain"
    before = everything(served.root)
    with pytest.raises(RefusedError, match="nothing of what is served"):
        apply_prune(str(served.config), plan)
    assert everything(served.root) == before


def test_renamed_branch_is_synced_first(served: Site) -> None:
    served.remote.set_branch("main", served.remote.head("master"))
    saltenvs = dict(served.settings["saltenvs"])
    saltenvs["prod"] = {"branch": "main", "minions": ["prod*"]}
    served.configure(saltenvs=saltenvs)
    doubts = plan_of(served).doubts
    assert doubts == (
        "not served yet: prod; do this first: saltbranch sync",
        f"{served.master_config} is out of date; do this first: saltbranch sync",
    )
    served.sync_here()
    plan = plan_of(served)
    assert (plan.doubts, [kind for kind, _ in planned(plan)]) == (
        (),
        ["checkout", "slots", "worktree", "worktree"],
    )
    prune(served)
    served.assert_serves("main", served.remote.head("main"))


def test_master_that_still_serves_it_is_restarted_first(served: Site) -> None:
    pidfile = served.folder / "master.pid"
    pidfile.write_text(str(os.getpid()))  # a process that started before what the sync writes now
    served.salt_config.write_text(f"root_dir: {served.folder}\npidfile: {pidfile}\n")
    served.keep_only("test", "prod")
    served.sync_here()
    (doubt,) = plan_of(served).doubts
    assert doubt.startswith("the salt-master may still serve it, restart it first: ")
    with pytest.raises(RefusedError, match="restart it first"):
        prune(served)


@pytest.mark.parametrize(
    "broken", ["saltenvs: {}\n", "remote: [\n", "remote: x\nsaltenv: {}\n", "\0"], ids=repr
)
def test_configuration_that_cannot_be_read_removes_nothing(retired: Site, broken: str) -> None:
    root_line = f"root: {retired.root}\n"
    retired.config.write_text(root_line + broken)
    before = everything(retired.root)
    ran = retired.run("prune", "--yes", "--force")
    assert (ran.code, ran.out) == (1, "")
    assert str(retired.config) in ran.err
    assert everything(retired.root) == before


def test_model_in_the_repository_says_what_is_left(retired: Site) -> None:
    saltenvs = retired.settings["saltenvs"]
    retired.remote.commit("master", {"saltbranch.yaml": json.dumps({"saltenvs": saltenvs})})
    retired.configure(saltenvs=None)
    retired.sync_here()
    assert [kind for kind, _ in planned(plan_of(retired))][:3] == ["tops", "checkout", "slots"]
    # Without the mirror nobody knows the saltenvs, and nothing goes.
    (retired.root / "mirror.git").rename(retired.folder / "away")
    with pytest.raises(ConfigError, match="names no saltenvs"):
        plan_of(retired)


def test_root_of_somebody_else_is_left_alone(retired: Site) -> None:
    (retired.root / files.MARKER).unlink()
    before = everything(retired.root)
    ran = retired.run("prune", "--yes")
    assert ran.code == 1
    assert "was not made by saltbranch" in ran.err
    assert everything(retired.root) == before


def test_waits_for_nobody_unasked(retired: Site) -> None:
    plan = plan_of(retired)
    with files.Lock(f"{retired.root}/lock"):
        assert retired.run("prune", "--plan").code == 75
        with pytest.raises(LockedError):
            apply_prune(str(retired.config), plan)
    assert (retired.root / "slots" / "stage").exists()


def test_plan_that_is_no_longer_true_is_not_applied(retired: Site) -> None:
    plan = plan_of(retired)
    (retired.root / "mirror.git.saltbranch-new").mkdir()
    with pytest.raises(RefusedError, match="changed since the plan was made"):
        apply_prune(str(retired.config), plan)
    assert (retired.root / "slots" / "stage").exists()


# Not ours


def _file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("somebody's\n")


def _folder(path: Path) -> None:
    path.mkdir(parents=True)


def _link(path: Path) -> None:
    path.symlink_to(path.parents[2] / "outside")


FOREIGN: dict[str, Callable[[Path], None]] = {
    "notes.txt": _file,
    "mirror.git.damaged-yesterday": _folder,
    "mirror.git.damaged-20260101T000000": _link,
    "slots/notes.txt": _file,
    "slots/linked": _link,
    "slots/empty/c": _folder,
    "slots/files/a/precious.txt": _file,
    "slots/more/a/.git": _file,
    "slots/unlike/a/tree/.git": _file,
    "slots/stranger/served": _file,
    "slots/develop/c": _folder,
    "checkouts/somewhere": _link,
    "checkouts/stage2": lambda path: path.symlink_to("../slots/stage/a"),
    "checkouts/folder": _folder,
    "tops/linked": _link,
    "tops/mine/states/top.sls": _file,
    "tops/more/states/more.sls": _file,
    "tops/other/formulas": _folder,
    "mirror.git/worktrees/linked": _link,
}


def test_deploy_12_never_deletes_what_it_did_not_create(retired: Site) -> None:
    outside = retired.folder / "outside"
    _file(outside / "precious.txt")
    for name, make in FOREIGN.items():
        make(retired.root / name)
    before = everything(outside)
    plan = plan_of(retired)
    assert len(plan.items) == 5
    left_alone = [f"{path}/" for path in plan.foreign]
    for name in FOREIGN:
        assert [f for f in left_alone if f"{retired.root}/{name}/".startswith(f)], name
    assert len(left_alone) == len(FOREIGN)
    prune(retired)
    assert everything(outside) == before
    assert [name for name in FOREIGN if not os.path.lexists(retired.root / name)] == []
    assert plan_of(retired).foreign == plan.foreign


def test_symlinks_in_a_slot_are_not_followed(retired: Site) -> None:
    outside = retired.folder / "outside"
    _file(outside / "precious.txt")
    for slot in slots(retired, "stage"):
        (slot / "salt" / "away").symlink_to(outside)
    prune(retired)
    assert not (retired.root / "slots" / "stage").exists()
    assert (outside / "precious.txt").read_text() == "somebody's\n"


@pytest.mark.parametrize("folder", ["slots", "tops", "checkouts"])
def test_folder_moved_elsewhere_by_a_symlink_is_left_alone(retired: Site, folder: str) -> None:
    away = retired.folder / "away"
    (retired.root / folder).rename(away)
    (retired.root / folder).symlink_to(away)
    before = everything(away)
    plan = plan_of(retired)
    assert str(retired.root / folder) in plan.foreign
    prune(retired, force=True)
    assert everything(away) == before


@pytest.mark.parametrize("mounted", [True, False])
def test_worktree_that_a_person_made_is_left_alone(retired: Site, mounted: bool) -> None:
    mine, away = retired.folder / "mine", retired.folder / "away"
    git = ["git", f"--git-dir={retired.root}/mirror.git", "worktree", "add", "--quiet", "--detach"]
    subprocess.run([*git, mine, "master"], check=True)
    if not mounted:
        mine.rename(away)
    prune(retired)
    if not mounted:
        away.rename(mine)
    assert mine in registrations(retired)
    assert run(["git", "-C", str(mine), "status", "--short"]) == Ran(0, "", "")


# What is left over


def test_mirror_that_was_put_aside_goes(served: Site) -> None:
    for head in (served.root / "mirror.git" / "refs" / "heads").iterdir():
        head.write_text("garbage\n")
    (served.root / "mirror.git" / "packed-refs").write_text("garbage\n")
    notes = served.sync_here().notes
    assert any("the mirror was damaged" in note for note in notes)
    plan = plan_of(served)
    (aside,) = [path for kind, path in planned(plan) if kind == "mirror"]
    assert aside.startswith("mirror.git.damaged-")
    prune(served)
    assert not (served.root / aside).exists()
    served.sync_well()


def test_registration_without_a_slot_goes(served: Site) -> None:
    idle = next(slot for slot in slots(served, "stage") if slot != served.slot("stage"))
    shutil.rmtree(idle)
    plan = plan_of(served)
    assert [(item.kind, item.why) for item in plan.items] == [("worktree", "no slot uses it")]
    assert plan.doubts == ()
    prune(served)
    assert idle not in registrations(served)
    served.remote.commit("stage", {"salt/new.sls": "new:\n  test.nop: []\n"})
    served.sync_well()


def test_links_and_mirrors_of_stopped_runs_go(served: Site) -> None:
    (served.root / "mirror.git.saltbranch-new").mkdir()
    (served.root / "checkouts" / "stage.saltbranch-new").symlink_to("../slots/stage/b")
    assert planned(plan_of(served)) == [
        ("leftover", "checkouts/stage.saltbranch-new"),
        ("leftover", "mirror.git.saltbranch-new"),
    ]
    prune(served)
    assert names(served.root / "checkouts") == ["develop", "master", "stage"]
    served.sync_well()


class _Killed(BaseException):
    """The power is gone."""


@pytest.mark.parametrize("steps", range(12))
def test_killed_at_any_step_the_next_run_finishes(
    retired: Site, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = steps

    def count(real: Callable[..., None]) -> Callable[..., None]:
        def stepped(*args: Any) -> None:
            nonlocal left
            if left == 0:
                raise _Killed
            left -= 1
            real(*args)

        return stepped

    plan = plan_of(retired)
    total = len(plan.items)
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", count(os.rename))
        patch.setattr(files, "unlink", count(files.unlink))
        patch.setattr(pruning, "remove_tree", count(mirror.remove_tree))
        patch.setattr(prepared, "save_served", count(prepared.save_served))
        try:
            apply_prune(str(retired.config), plan)
            assert steps > total
        except _Killed:
            assert left == 0
    for branch in ("develop", "master"):
        retired.assert_serves(branch, retired.remote.head(branch))
    retired.sync_well()
    prune(retired)
    assert plan_of(retired).items == ()
    assert registrations(retired) == slots(retired, "develop", "master")
    assert not list(retired.root.rglob(pruning.GONE))
    assert names(retired.root / "slots") == ["develop", "master"]


def formulas(site: Site, tmp_path: Path, *names: str) -> dict[str, Remote]:
    """A site that serves test with these submodules."""
    site.configure(submodules=[str(tmp_path / "formulas")])
    found = {name: Remote(tmp_path / "formulas" / f"{name}.git") for name in names}
    for name, remote in found.items():
        remote.commit("main", {f"{name}/init.sls": f"{name}: 1\n"})
    pin(site, "develop", {f"salt/{n}": (r, r.head("main")) for n, r in found.items()})
    assert site.sync_here().exit_code == 0
    return found


def mirrors(site: Site, suffix: str = ".git") -> list[str]:
    """The names of the formulas that have a mirror."""
    found = (p.name for p in (site.root / "formulas").iterdir() if p.name.endswith(suffix))
    return sorted(name.removesuffix(suffix).rpartition("+")[2] for name in found)


def unpin(site: Site, branch: str, *gone: str, **kept: Remote) -> None:
    pin(
        site,
        branch,
        {f"salt/{n}": (r, r.head("main")) for n, r in kept.items()},
        **{f"salt/{name}": None for name in gone},
    )
    assert site.sync_here().exit_code == 0


def test_mirrors_of_formulas_go_once_nothing_serves_or_pins_them(
    site: Site, tmp_path: Path
) -> None:
    made = formulas(site, tmp_path, "nginx", "redis")
    assert not plan_of(site).items and not plan_of(site).foreign
    site.remote.set_branch("feature/old", site.remote.head("develop"))
    site.sync_here()
    unpin(site, "develop", "redis", nginx=made["nginx"])
    site.remote.commit("develop", {"salt/more.sls": ""})
    assert site.sync_here().exit_code == 0  # now neither slot has it
    assert not plan_of(site).items, "a branch that is not served pins it"
    site.remote.git("branch", "-D", "feature/old")
    site.sync_here()
    (item,) = plan_of(site).items
    assert (item.kind, Path(item.path).name.endswith("+redis.git")) == ("mirror", True)
    before = everything(site.root / "slots")
    prune(site)
    assert everything(site.root / "slots") == before
    assert mirrors(site) == ["nginx"]
    assert not plan_of(site).items
    unpin(site, "develop", **made)  # it comes back where it is pinned again
    assert mirrors(site) == ["nginx", "redis"]


def test_mirror_of_the_idle_slot_stays(site: Site, tmp_path: Path) -> None:
    made = formulas(site, tmp_path, "nginx", "redis")
    unpin(site, "develop", "redis", nginx=made["nginx"])
    assert not plan_of(site).items, "the idle slot still has its files"


def test_what_lies_beside_the_mirrors_of_formulas(site: Site, tmp_path: Path) -> None:
    formulas(site, tmp_path, "nginx")
    folder = site.root / "formulas"
    (mirror,) = (p for p in folder.iterdir() if p.name.endswith(".git"))
    shutil.copytree(mirror, f"{mirror}.damaged")
    (folder / "other.git.saltbranch-new").mkdir()
    (folder / "mine.git").mkdir()
    (folder / "notes.txt").write_text("mine\n")
    (folder / "link.git").symlink_to(mirror)
    plan = plan_of(site)
    assert [(i.kind, Path(i.path).name.rpartition("+")[2]) for i in plan.items] == [
        ("mirror", "nginx.git.damaged"),
        ("leftover", "other.git.saltbranch-new"),
    ]
    assert [Path(path).name for path in plan.foreign] == ["link.git", "mine.git", "notes.txt"]
    shutil.rmtree(mirror)
    assert [i.kind for i in plan_of(site).items] == ["leftover"], "nothing is in its place yet"
    assert site.sync_here(verify=True).exit_code in (0, 20)


def test_mirror_that_somebody_fetches_into_is_not_removed(site: Site, tmp_path: Path) -> None:
    made = formulas(site, tmp_path, "nginx", "redis")
    unpin(site, "develop", "redis", nginx=made["nginx"])
    site.remote.commit("develop", {"salt/more.sls": ""})
    site.sync_here()
    (item,) = plan_of(site).items
    before = everything(site.root)
    with files.Lock(f"{item.path}.lock"), pytest.raises(LockedError):
        prune(site)
    assert {p: v for p, v in everything(site.root).items() if not p.endswith(".lock")} == {
        p: v for p, v in before.items() if not p.endswith(".lock")
    }
