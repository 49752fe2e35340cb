"""Mirrors of formulas: one for each place, fetched into only where something is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from saltbranch.git import address, submodules
from saltbranch.git.program import Git
from saltbranch.repository import pinned
from tests.support.remote import Remote


@pytest.fixture
def formula(tmp_path: Path) -> Remote:
    made = Remote(tmp_path / "nginx.git")
    made.commit("main", {"nginx/init.sls": "a: {}\n"})
    return made


def mirror(tmp_path: Path, remote: Remote) -> pinned.Formula:
    return pinned.Store(str(tmp_path / "formulas")).of(address.parse(str(remote.path)))


def test_it_is_fetched_into_only_where_a_commit_is_missing(tmp_path: Path, formula: Remote) -> None:
    held, first = mirror(tmp_path, formula), formula.head("main")
    assert not held.has(first)
    assert held.bring_in([first], timeout=30) == {} and held.has(first)
    moved = formula.path.rename(tmp_path / "away.git")
    assert held.bring_in([first], timeout=30) == {}
    assert list(held.bring_in(["1" * 40], timeout=30)) == ["1" * 40]
    moved.rename(formula.path)
    second = formula.commit("main", {"nginx/init.sls": "b: {}\n"})
    assert held.bring_in([first, second], timeout=30) == {} and held.has(second)


def test_spellings_of_one_url_share_a_mirror(tmp_path: Path, formula: Remote) -> None:
    store = pinned.Store(str(tmp_path / "formulas"))
    spelled = (str(formula.path), f"file://{formula.path}/", str(formula.path).removesuffix(".git"))
    assert len({store.of(address.parse(url)).path for url in spelled}) == 1


def test_commit_that_no_branch_has_is_asked_for_by_name(tmp_path: Path, formula: Remote) -> None:
    lost = formula.commit("main", {"nginx/init.sls": "lost: {}\n"})
    formula.set_branch("main", formula.git("rev-parse", f"{lost}~1"))
    held = mirror(tmp_path, formula)
    assert held.bring_in([lost], timeout=30) == {} and held.has(lost)


def test_missing_commit_is_said_with_what_to_do(tmp_path: Path, formula: Remote) -> None:
    held = mirror(tmp_path, formula)
    why = held.bring_in(["2" * 40, formula.head("main")], timeout=30)
    assert list(why) == ["2" * 40] and "does not have the commit 222222222222" in why["2" * 40]
    assert held.has(formula.head("main"))


def test_pinned_commit_survives_a_rewritten_branch_and_gc(tmp_path: Path, formula: Remote) -> None:
    held, first = mirror(tmp_path, formula), formula.head("main")
    held.bring_in([first], timeout=30)
    second = formula.rewrite("main", {"nginx/init.sls": "new: {}\n"})
    held.bring_in([second], timeout=30)
    held.git.out("gc", "--quiet", "--prune=now")
    assert held.has(first) and held.is_whole(first)


def test_server_that_is_a_shallow_clone(tmp_path: Path, formula: Remote) -> None:
    formula.commit("main", {"nginx/init.sls": "b: {}\n"})
    head = formula.commit("main", {"nginx/init.sls": "c: {}\n"})
    shallow = tmp_path / "shallow.git"
    subprocess.run(
        [
            "git",
            "clone",
            "-q",
            "--bare",
            "--depth=1",
            "-b",
            "main",
            f"file://{formula.path}",
            shallow,
        ],
        check=True,
    )
    held = mirror(tmp_path, Remote(shallow))
    assert held.bring_in([head], timeout=30) == {} and held.has(head)


def test_damaged_mirror_is_made_anew(tmp_path: Path, formula: Remote) -> None:
    held, first = mirror(tmp_path, formula), formula.head("main")
    held.bring_in([first], timeout=30)
    shutil.rmtree(f"{held.path}/objects")
    os.mkdir(f"{held.path}/objects")
    second = formula.commit("main", {"nginx/init.sls": "b: {}\n"})
    assert held.bring_in([first, second], timeout=30) == {}
    assert held.is_whole(first) and held.is_whole(second)


def test_more_than_a_formula_may_be(tmp_path: Path, formula: Remote) -> None:
    noise = formula.commit("main", {"noise": os.urandom(300_000)})
    held = mirror(tmp_path, formula)
    why = held.bring_in([noise], timeout=30, largest=100_000)
    assert "larger than a formula may be" in why[noise] and not held.has(noise)
    assert not any("tmp_" in name for name in os.listdir(f"{held.path}/objects/pack"))
    zeros = formula.commit("bomb", {"zeros": b"\0" * 3_000_000}, parents=())
    formula.delete_branch("main")
    why = held.bring_in([zeros], timeout=30, largest=1_000_000)
    assert "more than a formula may have" in why[zeros] and not held.has(zeros)


def test_two_at_once_do_not_disturb_each_other(tmp_path: Path, formula: Remote) -> None:
    found: list[dict[str, str]] = []
    head = formula.head("main")
    threads = [
        threading.Thread(
            target=lambda: found.append(mirror(tmp_path, formula).bring_in([head], timeout=60))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{}] * 4


def test_only_the_transport_of_the_url_is_used(tmp_path: Path, formula: Remote) -> None:
    """An insteadOf of the administrator may lead elsewhere, but to no program."""
    held = mirror(tmp_path, formula)
    held.create() if (tmp_path / "formulas").mkdir() is None else None
    with open(f"{held.path}/config", "a") as file:
        file.write(f'[url "ext::touch {tmp_path}/canary #"]\n\tinsteadOf = {formula.path}\n')
    why = held.bring_in([formula.head("main")], timeout=30)
    assert "transport 'ext' not allowed" in why[formula.head("main")]
    assert not (tmp_path / "canary").exists()


def test_objects_of_a_clone_are_found_by_the_name_of_the_submodule(
    tmp_path: Path, formula: Remote
) -> None:
    control, head = tmp_path / "control", formula.head("main")

    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-C", control, "-c", "protocol.file.allow=always", *words], check=True
        )

    subprocess.run(["git", "init", "-q", control], check=True)
    formula.git("symbolic-ref", "HEAD", "refs/heads/main")
    git("submodule", "--quiet", "add", "--name", "formulas/nginx", str(formula.path), "nginx")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x")
    repository = Git(f"{control}/.git")
    commit = repository.commit_or_none("HEAD") or ""
    pin = submodules.read(repository, commit, "").pins["nginx"]
    store = pinned.Store(str(tmp_path / "cache"))
    assert (
        pinned.git_folder_of(pin, [store], f"{control}/.git")
        == f"{control}/.git/modules/formulas/nginx"
    )
    assert pinned.git_folder_of(pin, [store]) is None
    assert store.of(address.parse(pin.url)).bring_in([head], timeout=30) == {}
    assert pinned.git_folder_of(pin, [store]) == store.of(address.parse(pin.url)).path
    modules = control / ".git" / "modules"
    (modules / "formulas" / "nginx").rename(tmp_path / "moved")
    (modules / "formulas" / "nginx").symlink_to(tmp_path / "moved")
    assert pinned.module_of(f"{control}/.git", "formulas/nginx", head) is None
