"""Submodules that are served: which ones, from where, and what becomes of a saltenv whose submodule cannot be had."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from saltbranch.git.program import Git
from saltbranch.repository.pinned import Formula
from saltbranch.serve.formulas import Formulas
from saltbranch.serve.pins import Pins, Source
from tests.support.remote import Content, Link, Remote, Submodule, Tree
from tests.support.site import Site, build_template, result_of


def entry(name: str, path: str, url: str) -> str:
    """One entry of a .gitmodules."""
    return f'[submodule "{name}"]\n\tpath = {path}\n\turl = {url}\n'


@pytest.fixture
def formula(tmp_path: Path) -> Remote:
    made = Remote(tmp_path / "formulas" / "nginx.git")
    made.commit("main", {"nginx/init.sls": "v: 1\n", "nginx/files/conf": "one\n", "gone.sls": ""})
    return made


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path, build_template(tmp_path / "remote.git"))
    made.configure(submodules=[str(tmp_path / "formulas")])
    return made


def pin(site: Site, branch: str, pins: Mapping[str, tuple[Remote, str]], **more: Content) -> str:
    """A commit on `branch` that pins these and nothing else: path to repository and commit."""
    text = "".join(entry(p, p, str(remote.path)) for p, (remote, _) in pins.items())
    files: dict[str, Content] = {".gitmodules": text or None}
    files |= {path: Submodule(commit) for path, (_, commit) in pins.items()}
    return site.remote.commit(branch, {**files, **more})


def expected(site: Site, branch: str, pins: Mapping[str, tuple[Remote, str]]) -> Tree:
    """What git itself would have on disk after `submodule update`."""
    found = site.remote.tree(site.remote.head(branch))
    for path, (remote, commit) in pins.items():
        found |= {f"{path}/{name}": entry for name, entry in remote.tree(commit).items()}
    return found


PATH = "salt/formulas/nginx"


def test_pinned_files_are_served_and_switch_with_the_commit(site: Site, formula: Remote) -> None:
    first = {PATH: (formula, formula.head("main"))}
    pin(site, "develop", first)
    assert site.sync_here().exit_code == 0
    assert site.shown("develop") == expected(site, "develop", first)
    assert not (site.slot("develop") / PATH / ".git").exists()
    untouched = os.stat(site.slot("develop") / PATH / "nginx/files/conf")
    second = {
        PATH: (formula, formula.commit("main", {"nginx/init.sls": "v: 2\n", "gone.sls": None}))
    }
    pin(site, "develop", second)
    assert site.sync_here().exit_code == 0
    assert site.shown("develop") == expected(site, "develop", second)
    now = os.stat(site.slot("develop") / PATH / "nginx/files/conf")
    assert now.st_mtime_ns == untouched.st_mtime_ns  # not written anew
    pins = (site.slot("develop").parent / "pins").read_text()
    assert second[PATH][1] in pins and str(formula.path) in pins
    assert (site.slot("develop").parent / "commit").read_text().strip() == site.remote.head(
        "develop"
    )
    for verify in (False, True):
        assert not site.sync_here(verify=verify).changed


def test_moved_removed_and_replaced_by_plain_files_and_back(site: Site, formula: Remote) -> None:
    head = formula.head("main")
    steps: list[tuple[dict[str, tuple[Remote, str]], dict[str, Content]]] = [
        ({PATH: (formula, head)}, {}),
        ({"salt/moved": (formula, head)}, {PATH: None}),
        ({}, {"salt/moved": None, "salt/moved/nginx/own.sls": "own: 1\n"}),
        ({"salt/moved": (formula, head)}, {"salt/moved/nginx/own.sls": None}),
        ({}, {"salt/moved": "a file\n"}),
        ({"salt/moved": (formula, head), "salt/again": (formula, head)}, {}),
        ({}, {"salt/moved": Link("app"), "salt/again": None}),
        ({"salt/moved/deep": (formula, head)}, {"salt/moved": None}),
        ({}, {"salt/moved/deep": None}),
    ]
    for pins, more in steps:
        text = "".join(entry(p, p, str(remote.path)) for p, (remote, _) in pins.items())
        site.remote.commit(
            "develop",
            {
                **more,
                ".gitmodules": text or None,
                **{path: Submodule(commit) for path, (_, commit) in pins.items()},
            },
        )
        for _ in range(2):  # both slots come by each step
            assert site.sync_here().exit_code == 0
            assert site.shown("develop") == expected(site, "develop", pins), (pins, more)
            site.remote.commit("develop", {"salt/beside": str(_)})
        assert not site.sync_here("test", verify=True).problems


def test_without_a_list_they_stay_empty_and_are_named(site: Site, formula: Remote) -> None:
    site.configure(submodules=None)
    pin(site, "develop", {PATH: (formula, formula.head("main"))})
    result = site.sync_here()
    assert result.exit_code == 0
    assert f"submodules are not checked out: {PATH!r}" in result.saltenvs[0].message
    site.assert_serves("develop", site.remote.head("develop"))
    assert not (site.root / "formulas").exists()


def test_list_that_comes_and_goes_counts_for_what_is_served(site: Site, formula: Remote) -> None:
    pins = {PATH: (formula, formula.head("main"))}
    listed = site.settings["submodules"]
    site.configure(submodules=None)
    pin(site, "develop", pins)
    site.sync_here()
    site.configure(submodules=listed)
    away = formula.path.rename(formula.path.with_name("away.git"))
    for _ in range(2):  # also the second one, which finds nothing new
        result = site.sync_here()
        assert result.exit_code == 20 and "still serving" in result.saltenvs[0].message
    away.rename(formula.path)
    assert site.sync_here().exit_code == 0
    assert site.shown("develop") == expected(site, "develop", pins)
    assert not site.sync_here().changed
    site.configure(submodules=[str(site.folder / "elsewhere")])
    assert not site.sync_here().changed  # what was let in once is not taken away
    assert site.shown("develop") == expected(site, "develop", pins)
    site.remote.commit("develop", {"new": "1\n"})  # not beside the submodule
    refused(site, "does not let in")
    site.remote.set_branch("develop", site.remote.git("rev-parse", "develop^"))
    told = site.run_here("doctor", "--config", str(site.config))
    assert f"no longer lists: {PATH!r} of test from {formula.path}" in " ".join(told.out.split())
    site.configure(submodules=None)
    site.sync_here()
    site.assert_serves("develop", site.remote.head("develop"))


def test_new_list_counts_for_saltenvs_that_the_first_sync_leaves_alone(
    site: Site, formula: Remote
) -> None:
    listed, pins = site.settings["submodules"], {PATH: (formula, formula.head("main"))}
    site.configure(submodules=None)
    for branch in ("develop", "master"):
        pin(site, branch, pins)
    site.sync_here()
    site.configure(submodules=listed)
    assert site.sync_here("test").exit_code == 0
    assert site.shown("develop") == expected(site, "develop", pins)
    assert site.sync_here().exit_code == 0
    assert site.shown("master") == expected(site, "master", pins)
    assert not site.sync_here().changed


def refused(site: Site, words: str) -> None:
    """That test keeps what it serves, is told why, and that the others go on."""
    before = site.shown("develop")
    site.remote.commit("master", {"salt/goes-on": site.remote.head("develop")})
    result = site.sync_here()
    assert result.exit_code == 20, [s.message for s in result.saltenvs]
    states = {s.saltenv: s for s in result.saltenvs}
    assert states["test"].state == "failed" and words in states["test"].message, states[
        "test"
    ].message
    assert "still serving" in states["test"].message
    assert site.shown("develop") == before
    site.assert_serves("master", site.remote.head("master"))
    assert words in site.run_here("status", "--config", str(site.config)).out


def test_commit_that_the_formula_lacks(site: Site, formula: Remote) -> None:
    site.sync_well()
    pin(site, "develop", {PATH: (formula, "2" * 40)})
    refused(site, "does not have the commit 222222222222")


def test_place_that_is_not_listed(site: Site, tmp_path: Path) -> None:
    site.sync_well()
    other = Remote(tmp_path / "formulas-of-others" / "x.git")
    pin(site, "develop", {PATH: (other, other.commit("main", {"a": "1"}))})
    refused(site, "does not let in")
    assert not (site.root / "formulas").exists()


def test_server_that_is_away(site: Site, formula: Remote) -> None:
    site.sync_well()
    pin(site, "develop", {PATH: (formula, formula.head("main"))})
    away = formula.path.rename(formula.path.with_name("away.git"))
    refused(site, "cannot read the remote")
    away.rename(formula.path)
    assert site.sync_here().exit_code == 0
    assert (site.slot("develop") / PATH / "nginx/init.sls").exists()


def test_entry_that_gets_lost_does_not_empty_what_is_served(site: Site, formula: Remote) -> None:
    pin(site, "develop", {PATH: (formula, formula.head("main"))})
    assert site.sync_here().exit_code == 0
    site.remote.commit("develop", {".gitmodules": None})
    refused(site, "has no entry for it")


def test_pin_of_a_commit_of_the_control_repository_itself(site: Site, formula: Remote) -> None:
    """It is here, but not where the pin says that it comes from: no pillar of prod in the states of test."""
    site.sync_well()
    secret = site.remote.commit("master", {"pillar/secret.sls": "password: x\n"})
    pin(site, "develop", {PATH: (formula, secret)})
    refused(site, "does not have the commit")


def test_links_in_formulas_are_judged_by_where_they_stand(site: Site, formula: Remote) -> None:
    fine = formula.commit(
        "main", {"nginx/link": Link("files/conf"), "nginx/over": Link("../../../app")}
    )
    pin(site, "develop", {PATH: (formula, fine)})
    assert site.sync_here().exit_code == 0
    before = site.shown("develop")
    for target in (
        "/etc/passwd",
        "../../../../pillar",
        "../../../../../..",
        "../../../../.git/config",
    ):
        bad = formula.commit("main", {"nginx/link": Link(target)})
        pin(site, "develop", {PATH: (formula, bad)})
        result = site.sync_here()
        assert result.exit_code == 4 and "symlink" in result.saltenvs[0].message
        assert site.shown("develop") == before


def test_submodules_of_submodules_stay_empty_and_are_named(site: Site, formula: Remote) -> None:
    inner = formula.commit(
        "main", {".gitmodules": entry("x", "lib", str(formula.path)), "lib": Submodule("1" * 40)}
    )
    pins = {PATH: (formula, inner)}
    pin(site, "develop", pins)
    result = site.sync_here()
    assert result.exit_code == 0
    assert f"not checked out: '{PATH}/lib'" in result.saltenvs[0].message
    assert site.shown("develop") == expected(site, "develop", pins)
    assert list((site.slot("develop") / PATH / "lib").iterdir()) == []


def test_relative_and_changed_urls(site: Site, formula: Remote, tmp_path: Path) -> None:
    head = formula.head("main")
    site.remote.commit(
        "develop",
        {".gitmodules": entry("n", PATH, "../formulas/nginx.git"), PATH: Submodule(head)},
    )
    assert site.sync_here().exit_code == 0
    twin = formula.copy(tmp_path / "formulas" / "twin.git")
    shutil.rmtree(formula.path)
    site.remote.commit("develop", {".gitmodules": entry("n", PATH, str(twin.path))})
    assert site.sync_here().exit_code == 0
    assert str(twin.path) in (site.slot("develop").parent / "pins").read_text()
    assert len(list((site.root / "formulas").glob("*.git"))) == 2


def test_one_mirror_serves_all_saltenvs(site: Site, formula: Remote) -> None:
    heads = [formula.commit("main", {"n": str(n)}) for n in range(3)]
    branches = ("develop", "stage", "master")
    for branch, head in zip(branches, heads, strict=True):
        pin(site, branch, {PATH: (formula, head), "salt/twice": (formula, heads[0])})
    assert site.sync_here().exit_code == 0
    for branch, head in zip(branches, heads, strict=True):
        pins = {PATH: (formula, head), "salt/twice": (formula, heads[0])}
        assert site.shown(branch) == expected(site, branch, pins)
    assert len(list((site.root / "formulas").glob("*.git"))) == 1


def test_damaged_mirror_of_a_formula_is_made_anew(site: Site, formula: Remote) -> None:
    pin(site, "develop", {PATH: (formula, formula.head("main"))})
    assert site.sync_here().exit_code == 0
    (mirror,) = (site.root / "formulas").glob("*.git")
    shutil.rmtree(mirror / "objects")
    (mirror / "objects").mkdir()
    pins = {PATH: (formula, formula.head("main"))}
    pin(site, "develop", pins, **{"salt/new": "1"})
    site.remote.commit(
        "stage",
        {".gitmodules": entry("n", PATH, str(formula.path)), PATH: Submodule(formula.head("main"))},
    )
    result = site.sync_here()
    assert result.exit_code == 0, [s.message for s in result.saltenvs]
    assert any("is damaged" in note for note in result.notes)
    assert site.shown("develop") == expected(site, "develop", pins)
    assert site.shown("stage") == expected(site, "stage", pins)


def test_verify_and_doctor_see_what_was_changed_by_hand(site: Site, formula: Remote) -> None:
    pins = {PATH: (formula, formula.head("main"))}
    pin(site, "develop", pins)
    site.sync_here()
    slot = site.slot("develop")
    (slot / PATH / "nginx/init.sls").write_text("edited\n")
    (slot / PATH / "strange").write_text("x\n")
    told = site.run_here("doctor", "--config", str(site.config))
    assert "differs" in told.out + told.err or PATH in told.out + told.err
    result = site.sync_here(verify=True)
    assert {s.saltenv: s.state for s in result.saltenvs}["test"] == "repaired"
    assert site.shown("develop") == expected(site, "develop", pins)


def test_strange_files_in_an_idle_slot_go(site: Site, formula: Remote) -> None:
    pins = {PATH: (formula, formula.head("main"))}
    pin(site, "develop", pins)
    site.sync_here()
    idle = site.idle("develop")
    (idle / PATH / "nginx/init.sls").write_text("edited\n")
    (idle / PATH / "strange").mkdir()
    (idle / PATH / "strange" / ".git").mkdir()
    (idle / PATH / ".git").write_text("gitdir: /etc\n")
    pin(site, "develop", pins, **{"salt/new": "1"})
    assert site.sync_here().exit_code == 0
    assert site.shown("develop") == expected(site, "develop", pins)
    assert not (site.slot("develop") / PATH / ".git").exists()


def test_plan_fetches_and_changes_nothing(site: Site, formula: Remote) -> None:
    site.sync_well()
    pin(site, "develop", {PATH: (formula, formula.head("main"))})
    result = site.sync_here(plan=True)
    assert f"submodules that will be fetched: {PATH!r}" in result.saltenvs[0].message
    assert not (site.root / "formulas").exists()
    assert result.exit_code == 3


def test_pillar_and_states_may_be_submodules(site: Site, formula: Remote) -> None:
    pillar = formula.commit("pillar", {"top.sls": "base: {}\n"}, parents=())
    site.remote.commit(
        "develop",
        {
            "pillar/top.sls": None,
            "pillar/app.sls": None,
            ".gitmodules": entry("p", "pillar", str(formula.path)),
            "pillar": Submodule(pillar),
        },
    )
    result = site.sync_here()
    assert result.exit_code == 0, [s.message for s in result.saltenvs]
    assert (site.slot("develop") / "pillar/top.sls").exists()


def test_gc_of_the_mirror_minds_what_slots_hold(site: Site, formula: Remote) -> None:
    pins = {PATH: (formula, formula.head("main"))}
    pin(site, "develop", pins)
    site.sync_here()
    for n in range(60):
        site.remote.commit("develop", {"salt/n": str(n)})
        if n % 20 == 0:
            assert site.sync_here().exit_code == 0
    from saltbranch.git import collect

    git = collect.seeing(f"{site.root}/mirror.git")
    git.out("gc", "--quiet", "--prune=now")
    assert site.sync_here(verify=True).exit_code == 0
    assert site.shown("develop") == expected(site, "develop", pins)


def test_server_that_does_not_answer_is_asked_once_in_a_sync(site: Site, formula: Remote) -> None:
    site.sync_well()
    dead = "http://127.0.0.1:9"
    site.configure(submodules=[dead])
    for branch in ("develop", "master"):
        text = "".join(entry(f"m{n}", f"salt/m{n}", f"{dead}/m{n}") for n in range(3))
        pins: dict[str, Content] = {f"salt/m{n}": Submodule(formula.head("main")) for n in range(3)}
        site.remote.commit(branch, {".gitmodules": text, **pins})
    result = site.sync_here()
    assert result.exit_code == 20
    told = " ".join(s.message for s in result.saltenvs)
    assert told.count("Failed to connect") + told.count("Connection refused") in (1, 2), told
    assert told.count("did not answer") >= 4


@pytest.mark.parametrize("what", ["", "salt", "salt/formulas"])
@pytest.mark.parametrize("torn", [True, False])
def test_what_was_composed_and_is_damaged_is_made_anew(
    site: Site, formula: Remote, what: str, *, torn: bool
) -> None:
    """No ref names these objects, and git writes none that it finds in place."""
    pins = {PATH: (formula, formula.head("main"))}
    pin(site, "develop", pins)
    assert site.sync_here().exit_code == 0
    tree = (site.slot("develop").parent / "pins").read_text().split("\n")[1]
    git = Git(str(site.root / "mirror.git"))
    oid = git.out("rev-parse", f"{tree}:{what}").strip() if what else tree
    lost = site.root / "mirror.git" / "objects" / oid[:2] / oid[2:]
    lost.unlink()
    if torn:
        lost.write_bytes(b"")
    site.remote.commit("develop", {"pillar/beside": "1"})
    assert result_of(site.sync_here(), "test").state == "switched"
    assert site.shown("develop") == expected(site, "develop", pins)


def damaged(site: Site, formula: Remote) -> tuple[Path, dict[str, tuple[Remote, str]], Path]:
    """The mirror that has what develop pins whole and what stage pins not, that pin, and where its remote went."""
    pin(site, "develop", {PATH: (formula, formula.head("main"))})
    assert site.sync_here().exit_code == 0
    (mirror,) = (site.root / "formulas").glob("*.git")
    whole = set((mirror / "objects/pack").glob("*.pack"))
    newer = {PATH: (formula, formula.commit("main", {"nginx/init.sls": "v: 2\n"}))}
    pin(site, "stage", newer)
    assert site.sync_here().exit_code == 0
    (pack,) = set((mirror / "objects/pack").glob("*.pack")) - whole
    pack.chmod(0o644)
    pack.write_bytes(pack.read_bytes()[:12] + bytes(len(pack.read_bytes()) - 12))
    away = formula.path.with_suffix(".away")
    formula.path.rename(away)
    shutil.rmtree(site.idle("stage").parent)
    site.remote.commit("stage", {"pillar/n": "1"})
    return mirror, newer, away


def test_a_damaged_mirror_stays_as_long_as_its_remote_is_away(site: Site, formula: Remote) -> None:
    """Other saltenvs are served from what is whole in it."""
    mirror, newer, away = damaged(site, formula)
    assert result_of(site.sync_here(), "stage").state == "failed"
    site.remote.commit("develop", {"pillar/n": "1"})
    assert result_of(site.sync_here(), "test").state == "switched"
    away.rename(formula.path)
    assert result_of(site.sync_here(), "stage").state == "switched"
    assert site.shown("stage") == expected(site, "stage", newer)
    assert list(mirror.parent.glob("*.damaged")) == []


def test_a_saltenv_that_comes_while_a_damaged_mirror_is_aside_is_served(
    site: Site, formula: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged(site, formula)
    site.remote.commit("develop", {"pillar/n": "1"})
    is_aside = threading.Event()
    drop, unchanged = Formula.drop, Formulas.unchanged

    def dropped(self: Formula) -> None:
        drop(self)
        is_aside.set()

    def late(self: Formulas, served: Pins, before: str, commit: str, changes: Any) -> Source | None:
        if commit == site.remote.head("develop"):
            assert is_aside.wait(60)
        return unchanged(self, served, before, commit, changes)

    monkeypatch.setattr(Formula, "drop", dropped)
    monkeypatch.setattr(Formulas, "unchanged", late)
    result = site.sync_here()
    assert is_aside.is_set()
    assert result_of(result, "test").state == "switched", result_of(result, "test").message
    assert result_of(result, "stage").state == "failed"


@pytest.mark.parametrize("kind", ["salt", "pillar"])
@pytest.mark.parametrize("composed", [False, True])
def test_nothing_but_submodules_is_served_by_nobody(
    site: Site, formula: Remote, kind: str, *, composed: bool
) -> None:
    """Whoever has only the commit, and so its model, could not tell it from one that lost its states."""
    if composed:
        site.configure(states_dir=["salt"], pillar_dir=["pillar"])
    assert site.sync_here().exit_code == 0
    head = site.remote.head("develop")
    gone: dict[str, Content] = {
        path: None for path in site.remote.tree("develop") if path.startswith(f"{kind}/")
    }
    text = {".gitmodules": entry("n", kind, str(formula.path))}
    site.remote.commit("develop", {**gone, **text, kind: Submodule(formula.head("main"))})
    for plan in (True, False):
        result = result_of(site.sync_here(plan=plan), "test")
        assert (result.state, "a submodule or a link is none" in result.message) == (
            "refused",
            True,
        )
    site.assert_serves("develop", head)
