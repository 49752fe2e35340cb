"""Submodules by somebody who means harm: nothing is run, nothing outside is read or written, the saltenv serves on."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from saltbranch.serve.run import SyncResult
from tests.support.remote import Content, Link, Remote, Script, Submodule
from tests.support.site import Site, build_template

GOOD = "salt/formulas/nginx"


@pytest.fixture
def formula(tmp_path: Path) -> Remote:
    made = Remote(tmp_path / "formulas" / "nginx.git")
    made.commit("main", {"init.sls": "a: {}\n"})
    return made


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site that serves, and a folder beside it that nobody may look into or change."""
    made = Site(tmp_path, build_template(tmp_path / "remote.git"))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret\n")
    made.configure(submodules=[str(tmp_path / "formulas"), "https://git.example.invalid/ok"])
    made.sync_well()
    return made


def seen(folder: Path) -> dict[str, tuple[int, int, int]]:
    """What is outside of the root: path to mode, size and time."""
    found = {}
    for path in folder.rglob("*"):
        state = path.lstat()
        if not stat.S_ISSOCK(state.st_mode):
            found[str(path)] = (state.st_mode, state.st_size, state.st_mtime_ns)
    return found


def entry(name: str, path: str, url: str, *more: str) -> str:
    """One entry of a .gitmodules, as it is written."""
    lines = [
        f'[submodule "{name}"]',
        f"\tpath = {path}",
        f"\turl = {url}",
        *(f"\t{m}" for m in more),
    ]
    return "\n".join(lines) + "\n"


URLS = {
    "option": "-u./payload",
    "upload-pack": "--upload-pack=touch CANARY",
    "ext": "ext::sh -c touch% CANARY",
    "ext quoted": "\"ext::sh -c 'touch CANARY'\"",
    "fd": "fd::7",
    "unknown helper": "evil::CANARY",
    "file url": "file://OUTSIDE",
    "path": "OUTSIDE",
    "path that climbs": "FORMULAS/../outside",
    "path that climbs encoded": "file://FORMULAS/%2e%2e/outside",
    "relative": "../outside",
    "relative that climbs": "../../../../../../../../etc",
    "ssh option as host": "ssh://-oProxyCommand=touch%20CANARY/x",
    "ssh option as user": "ssh://-oProxyCommand=touch@git.example.invalid/x",
    "scp option": "-oProxyCommand=touch:x",
    "newline": '"https://git.example.invalid/ok\\nhost=evil"',
    "encoded newline": "https://git.example.invalid/ok%0ahost=evil",
    "carriage return": '"https://git.example.invalid/ok\\rx"',
    "other host after a login": "https://git.example.invalid@evil.invalid/ok/x",
    "backslash": '"https://git.example.invalid\\\\@evil.invalid/ok/x"',
    "beside what is listed": "https://git.example.invalid/ok-not/x",
    "climbing below what is listed": "https://git.example.invalid/ok/../private",
    "http": "http://git.example.invalid/ok/x",
    "other port": "https://git.example.invalid:444/ok/x",
}


@pytest.mark.parametrize("kind", URLS)
def test_url(site: Site, formula: Remote, tmp_path: Path, kind: str) -> None:
    url = URLS[kind].replace("OUTSIDE", str(tmp_path / "outside"))
    url = url.replace("CANARY", str(tmp_path / "canary")).replace(
        "FORMULAS", str(formula.path.parent)
    )
    # git knows no \\r in a value: the whole file counts for nothing, and nothing was served of it before.
    torn = kind == "carriage return"
    attack(site, formula, {".gitmodules": entry("m", GOOD, url)}, stays_empty=torn)


ENTRIES = {
    "name that climbs": entry("../../hooks", GOOD, "URL"),
    "name of the git folder": entry("a/../../.git/hooks", GOOD, "URL"),
    "program as update": entry("m", GOOD, "URL", "update = !touch CANARY"),
    "path that climbs": entry("m", "../outside", "URL") + entry("n", GOOD, "ext::x"),
    "two of one path": entry("m", GOOD, "URL") + entry("n", GOOD, "OTHER"),
    "include": "[include]\n\tpath = OUTSIDE/secret\n" + entry("m", GOOD, "ext::x"),
    "torn": '[submodule "m"\n\tpath = ' + GOOD,
}


@pytest.mark.parametrize("kind", ENTRIES)
def test_entry(site: Site, formula: Remote, tmp_path: Path, kind: str) -> None:
    text = (
        ENTRIES[kind]
        .replace("OUTSIDE", str(tmp_path / "outside"))
        .replace("URL", str(formula.path))
    )
    text = text.replace("CANARY", str(tmp_path / "canary")).replace(
        "OTHER", f"{formula.path}/other"
    )
    attack(site, formula, {".gitmodules": text}, stays_empty=kind == "torn")


FORMULAS: dict[str, dict[str, Content]] = {
    "link to a file of the master": {"x": Link("/etc/shadow")},
    "link that climbs": {"x": Link("../../../../../../etc/shadow")},
    "link into the pillar": {"x": Link("../../../pillar/app.sls")},
    "link into git": {"x": Link("../../../.git")},
    "link into the folder above": {"x": Link("../../..")},
    "link that goes down and up": {"x": Link("a/../../../../../pillar"), "a/b": ""},
}


@pytest.mark.parametrize("kind", FORMULAS)
def test_files_of_a_formula(site: Site, formula: Remote, kind: str) -> None:
    head = formula.commit("main", FORMULAS[kind])
    files: dict[str, Content] = {
        ".gitmodules": entry("m", GOOD, str(formula.path)),
        GOOD: Submodule(head),
    }
    attack(site, formula, files)


def attack(
    site: Site, formula: Remote, files: dict[str, Content], *, stays_empty: bool = False
) -> SyncResult:
    """Push it to develop: test serves on as before, prod goes on, and outside of the root nothing changes."""
    before, elsewhere = site.shown("develop"), site.folder / "outside"
    site.remote.commit("develop", {GOOD: Submodule(formula.head("main")), **files})
    new = site.remote.commit("master", {"salt/goes-on": "1"})
    around = seen(elsewhere) | seen(formula.path) | seen(site.folder / "formulas")
    result = site.sync_here()
    assert seen(elsewhere) | seen(formula.path) | seen(site.folder / "formulas") == around
    assert not (site.folder / "canary").exists()
    states = {s.saltenv: s for s in result.saltenvs}
    site.assert_serves("master", new)
    if stays_empty:
        assert "secret" not in str(site.shown("develop"))
        return result
    assert states["test"].state in ("failed", "refused"), states["test"].message
    assert result.exit_code in (4, 20)
    assert site.shown("develop") == before
    assert "secret" not in states["test"].message
    return result


def test_configuration_and_hooks_of_a_formula_are_not_used(
    site: Site, formula: Remote, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    script = f"#!/bin/sh\ntouch {canary}\n"
    head = formula.commit(
        "main",
        {
            ".gitattributes": "* filter=evil\n",
            ".gitconfig": f'[filter "evil"]\n\tsmudge = touch {canary}\n',
            "config": f"[core]\n\tfsmonitor = touch {canary}\n",
            "hooks/post-checkout": Script(script),
            "HEAD": "ref: refs/heads/main\n",
            "objects/x": "",
            "refs/x": "",
        },
    )
    for name in (
        "post-checkout",
        "post-index-change",
        "reference-transaction",
        "fsmonitor-watchman",
    ):
        (formula.path / "hooks").mkdir(exist_ok=True)
        (formula.path / "hooks" / name).write_text(script)
        (formula.path / "hooks" / name).chmod(0o755)
    files: dict[str, Content] = {
        ".gitmodules": entry("m", GOOD, str(formula.path), "branch = .", "shallow = true"),
        GOOD: Submodule(head),
    }
    site.remote.commit("develop", files)
    for verify in (False, True):
        result = site.sync_here(verify=verify)
        assert result.exit_code == 0, [s.message for s in result.saltenvs]
    assert not canary.exists()
    assert (site.slot("develop") / GOOD / "hooks/post-checkout").exists()


def test_folder_of_a_slot_that_was_made_a_link_is_not_followed(
    site: Site, formula: Remote, tmp_path: Path
) -> None:
    """Somebody with rights in the idle slot, or a run of another time, leaves links where folders belong."""
    files: dict[str, Content] = {
        ".gitmodules": entry("m", GOOD, str(formula.path)),
        GOOD: Submodule(formula.head("main")),
    }
    for number in range(2):
        site.remote.commit("develop", {**files, "salt/number": str(number)})
        assert site.sync_here().exit_code == 0
    idle, outside = site.idle("develop"), tmp_path / "outside"
    (idle / "salt/formulas").rename(tmp_path / "moved")
    os.symlink(outside, idle / "salt/formulas")
    before = seen(outside)
    site.remote.commit("develop", {"salt/new": "1"})
    assert site.sync_here().exit_code == 0
    assert seen(outside) == before
    assert (site.slot("develop") / GOOD / "init.sls").read_text() == "a: {}\n"
    assert not (site.slot("develop") / "salt/formulas").is_symlink()


def test_hardly_any_memory_for_many_entries(site: Site, formula: Remote) -> None:
    many = "".join(entry(f"m{n}", f"m{n}", str(formula.path)) for n in range(3000))
    site.remote.commit("develop", {".gitmodules": many})
    result = site.sync_here()
    assert result.exit_code == 0 and "3000 entries" in result.saltenvs[0].message
