"""Where a master's states and pillar come from, read from its options; what cannot be expressed is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from saltbranch.salt_master import served_now

URL = "https://ann:hunter2@git.example.com/salt.git"


def problems(**options: Any) -> str:
    """All that cannot be expressed; never a password."""
    found = served_now.find(options)
    said = "\n".join((*found.problems, *found.notes, *(s.name for s in found.states)))
    assert "hunter2" not in said
    return said


def gitfs(*own: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"fileserver_backend": ["gitfs"], "gitfs_remotes": [{URL: list(own)}], **options}


def test_a_remote_with_its_own_options_and_the_defaults_of_all() -> None:
    options = gitfs(
        {"root": "/states/"}, {"mountpoint": "salt://up/"}, {"saltenv": [{"dev": [{"ref": "d"}]}]},
        gitfs_root="other", gitfs_fallback="main", gitfs_base="trunk",
    )  # fmt: skip
    found = served_now.find(options)
    (source,) = found.states
    assert (source.url, source.root, source.mountpoint) == (URL, "states", "up")
    assert (source.fallback, dict(source.refs), found.base) == ("main", {"dev": "d"}, "trunk")
    assert not found.problems
    bare = served_now.find({"fileserver_backend": "git", "gitfs_remotes": [URL]})
    assert (bare.states[0].root, bare.base) == (".", "master")


def test_git_pillar_with_env_and_without_a_branch() -> None:
    entries = [{f"develop {URL}": [{"root": "pillar"}, {"env": "dev"}]}, f"__env__ {URL}"]
    found = served_now.find({"ext_pillar": [{"git": entries}, {"stack": "/x"}], "pillar_roots": {}})
    assert [(s.kind, s.branch, s.saltenv, s.root) for s in found.pillar] == [
        ("git_pillar", "develop", "dev", "pillar"),
        ("git_pillar", "", "", "."),
    ]
    password, stack = sorted(found.notes)
    assert (
        password.startswith("a password in the URL: not taken over") and "hunter2" not in password
    )
    assert stack == "ext_pillar stack: stays as it is, and is rendered on both sides"


def test_the_file_servers_come_in_the_order_in_which_salt_asks_them(tmp_path: Path) -> None:
    (tmp_path / "x.sls").write_text("{}\n")
    for order in (["roots", "git"], ["gitfs", "file_roots"]):
        options = gitfs() | {"fileserver_backend": order, "file_roots": {"base": [str(tmp_path)]}}
        kinds = ["folder", "gitfs"] if order[0] == "roots" else ["gitfs", "folder"]
        assert [s.kind for s in served_now.find(options).states] == kinds


def test_a_user_name_alone_is_no_password() -> None:
    url = URL.replace("hunter2", "").replace(":@", "@")
    (said,) = served_now.find(gitfs() | {"gitfs_remotes": [url]}).notes
    assert said.startswith("a user name or token in the URL: not taken over")


def test_what_cannot_be_expressed(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    assert "all_saltenvs is set" in problems(**gitfs({"all_saltenvs": "main"}))
    assert "disable_saltenv_mapping" in problems(**gitfs(gitfs_disable_saltenv_mapping=True))
    assert "dev has a root of its own" in problems(**gitfs({"saltenv": [{"dev": [{"root": "x"}]}]}))
    said = problems(ext_pillar=[{"git": [{f"main {URL}": [{"mountpoint": "x"}]}]}])
    assert "mountpoint is set" in said
    assert "__env__" in problems(file_roots={"__env__": [str(tmp_path)]})
    assert "master_tops" in problems(master_tops={"reclass": {}})
    assert "state_top" in problems(state_top="salt://main.sls")
    assert "file server s3fs: stays as it is" in problems(fileserver_backend=["s3fs", "roots"])


def test_folders_that_are_empty_or_gone_count_for_nothing(tmp_path: Path) -> None:
    roots = {"base": [str(tmp_path), str(tmp_path / "gone")], "none": []}
    found = served_now.find({"file_roots": roots, "pillar_roots": roots})
    assert (found.states, found.pillar, found.problems) == ((), (), ())
    assert served_now.find({"file_roots": "no mapping"}).states == ()
