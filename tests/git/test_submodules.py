"""What a commit says of its submodules, and a tree with their files in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from saltbranch.base.errors import GitError
from saltbranch.config import roots
from saltbranch.git import pinned_tree, submodules
from saltbranch.git.program import Git
from saltbranch.repository.servable import refuse_unsafe_links
from saltbranch.serve import pins
from tests.support.remote import Content, Link, Remote, Script, Submodule

ORIGIN = "https://git.example.com/ops/salt.git"


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path / "remote.git")


def entry(name: str, path: str, url: str, *more: str) -> str:
    """One entry of a .gitmodules."""
    lines = [
        f'[submodule "{name}"]',
        f"\tpath = {path}",
        f"\turl = {url}",
        *(f"\t{m}" for m in more),
    ]
    return "\n".join(lines) + "\n"


def read(remote: Remote, files: dict[str, Content], *, whole: bool = True) -> submodules.Submodules:
    commit = remote.commit("master", files)
    return submodules.read(Git(str(remote.path)), commit, ORIGIN, whole=whole)


def test_pins_are_told_from_what_lacks_one_half(remote: Remote) -> None:
    text = (
        entry("nginx", "formulas/nginx", "../nginx.git", "update = !touch x", "branch = main")
        + entry("gone", "formulas/gone", "https://git.example.com/gone.git")
        + entry("plain", "salt", "https://git.example.com/salt.git")
    )
    found = read(
        remote,
        {
            ".gitmodules": text,
            "formulas/nginx": Submodule("a" * 40),
            "formulas/bare": Submodule("b" * 40),
            "salt/top.sls": "",
        },
    )
    pin = found.pins["formulas/nginx"]
    assert (pin.name, pin.commit, pin.url, pin.problem) == ("nginx", "a" * 40, "../nginx.git", "")
    assert pin.address and pin.address.url == "https://git.example.com/ops/nginx.git"
    assert list(found.pins) == ["formulas/nginx"]
    assert found.unnamed == {"formulas/bare": "b" * 40}
    assert found.absent == {"formulas/gone": "gone", "salt": "plain"}
    assert not found.problem


def test_pins_of_entries_are_found_without_listing_the_tree(remote: Remote) -> None:
    files: dict[str, Content] = {
        ".gitmodules": entry("a[b]*", "formulas/a[b]*", "https://h/a"),
        "formulas/a[b]*": Submodule(),
        "formulas/abc": Submodule(),
    }
    found = read(remote, files, whole=False)
    assert list(found.pins) == ["formulas/a[b]*"] and found.unnamed == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (Link("../../etc/passwd"), "symlink"),
        (Submodule(), "submodule"),
        ('[submodule "a"\n', "cannot read"),
        ("x" * (1 << 21), "bytes"),
        ("".join(entry(f"m{n}", f"m{n}", "https://h/a") for n in range(1001)), "entries"),
    ],
    ids=["link", "submodule", "torn", "large", "many"],
)
def test_gitmodules_that_counts_for_nothing(remote: Remote, content: Content, said: str) -> None:
    found = read(remote, {".gitmodules": content, "m": Submodule()})
    assert found.pins == {} and said in found.problem and "m" in found.unnamed


def test_addresses_are_not_looked_for_in_a_file_that_is_too_large_to_be_read(
    remote: Remote,
) -> None:
    text = entry("nginx", "formulas/nginx", "https://example.com/nginx.git")
    commits = [
        remote.commit("develop", {".gitmodules": text + filler}) for filler in ("", "#" * (1 << 20))
    ]
    git = Git(str(remote.path))
    small, large = (
        submodules.addresses_in(git, git.out("rev-parse", f"{c}:.gitmodules").strip(), ORIGIN)
        for c in commits
    )

    assert len(small) == 1
    assert large == []


def test_gitmodules_that_is_a_folder_is_none(remote: Remote) -> None:
    found = read(remote, {".gitmodules/config": entry("m", "m", "https://h/a"), "m": Submodule()})
    assert found.pins == {} and "folder" in found.problem


def test_included_files_are_not_read(remote: Remote, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text(entry("m", "m", "https://h/a"))
    found = read(remote, {".gitmodules": f"[include]\n\tpath = {outside}\n", "m": Submodule()})
    assert found.pins == {} and found.unnamed == {"m": "1" * 40}


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "..", "a/./b", ".git", "a/.git/b", "-x", "/a", "a\\\\..\\\\b"]
)
def test_names_that_lead_elsewhere(remote: Remote, name: str) -> None:
    found = read(remote, {".gitmodules": entry(name, "m", "https://h/a"), "m": Submodule()})
    assert found.pins["m"].problem and found.pins["m"].address is None


@pytest.mark.parametrize(
    "path", ["../x", "a/../b", ".git", "a/.GIT", "a/git~1", "-x", "/a", "a//b", "a\nb", "a\udcff"]
)
def test_paths_that_lead_elsewhere(path: str) -> None:
    assert submodules.path_problem(path)


@pytest.mark.parametrize("url", ["-ux", "ext::sh -c id", "../../../../x", "", "relative/path"])
def test_urls_that_are_refused(remote: Remote, url: str) -> None:
    found = read(remote, {".gitmodules": entry("m", "m", f'"{url}"'), "m": Submodule()})
    assert found.pins["m"].problem and found.pins["m"].address is None


def test_two_entries_of_one_path_are_none(remote: Remote) -> None:
    text = entry("a", "m", "https://h/a") + entry("b", "m", "https://h/b")
    found = read(remote, {".gitmodules": text, "m": Submodule()})
    assert "two entries" in found.pins["m"].problem


def test_password_of_a_url_is_not_shown(remote: Remote) -> None:
    files: dict[str, Content] = {
        ".gitmodules": entry("m", "m", "https://u:s3cret@h/a b")
        + entry("n", "n", "https://u:s3cret@h/a"),
        "m": Submodule(),
        "n": Submodule(),
    }
    found = read(remote, files)
    assert all("s3cret" not in pin.where + pin.problem for pin in found.pins.values())


# A tree with the files of submodules in it


def test_composed_tree_is_what_git_would_have_on_disk(remote: Remote, tmp_path: Path) -> None:
    formula, other = Remote(tmp_path / "nginx.git"), Remote(tmp_path / "other.git")
    inner = formula.commit(
        "main",
        {
            "nginx/init.sls": "x: {}\n",
            "bin/run": Script("#!\n"),
            "link": Link("nginx"),
            "deep/m": Submodule("c" * 40),
        },
    )
    top = other.commit("main", {"a": "1", "b/c": "2"})
    commit = remote.commit(
        "master",
        {
            "salt/top.sls": "base: {}\n",
            "formulas/nginx": Submodule(inner),
            "formulas/nginx-x": "a file that sorts between\n",
            "formulas/nginx.x/y": "",
            "other": Submodule(top),
            "other.d/x": "",
            "left": Submodule("d" * 40),
        },
    )
    git = pinned_tree.with_objects(Git(str(remote.path)), [str(formula.path), str(other.path)])
    tree = pinned_tree.compose(git, commit, {"formulas/nginx": inner, "other": top}).tree
    expected = remote.tree(commit)
    for path in ("formulas/nginx", "other"):
        expected.pop(path, None)
    expected |= {f"formulas/nginx/{p}": e for p, e in formula.tree(inner).items()}
    expected |= {f"other/{p}": e for p, e in other.tree(top).items()}
    listed = git.out("ls-tree", "-r", "-z", tree)
    found = {}
    for line in filter(None, listed.split("\0")):
        meta, _, path = line.partition("\t")
        found[path] = (meta.split()[0], meta.split()[2])
    assert found.pop("left") == ("160000", "d" * 40)
    assert found.pop("formulas/nginx/deep/m") == ("160000", "c" * 40)
    assert found == expected
    env = {**git.env}
    index = {"GIT_INDEX_FILE": str(tmp_path / "index")}
    subprocess.run(
        ["git", f"--git-dir={remote.path}", "read-tree", tree], env=env | index, check=True
    )
    again = subprocess.run(
        ["git", f"--git-dir={remote.path}", "write-tree"],
        env=env | index,
        check=True,
        capture_output=True,
        text=True,
    )
    assert again.stdout.strip() == tree  # git itself would write the same one, so it is in order


def test_nothing_pinned_is_the_tree_itself(remote: Remote) -> None:
    commit = remote.commit("master", {"a": "1"})
    git = Git(str(remote.path))
    assert pinned_tree.compose(git, commit, {}).tree == remote.git(
        "rev-parse", f"{commit}^{{tree}}"
    )


def test_missing_commit_and_path_that_is_no_submodule_are_errors(remote: Remote) -> None:
    commit = remote.commit("master", {"a": "1", "m": Submodule("e" * 40), "f/x": "1"})
    git = Git(str(remote.path))
    with pytest.raises(GitError, match="no tree"):
        pinned_tree.compose(git, commit, {"m": "e" * 40})
    for path in ("a", "f", "nothing"):
        with pytest.raises(GitError):
            pinned_tree.compose(git, commit, {path: commit})


def test_tree_is_moved_on_by_what_changed_and_only_where_nothing_pinned_changed(
    remote: Remote, tmp_path: Path
) -> None:
    formula = Remote(tmp_path / "nginx.git")
    head, next_head = (formula.commit("main", {"init.sls": str(n)}) for n in range(2))
    text = entry("n", "salt/lib/n", "https://h/n") + entry("later", "lib/later", "https://h/n")
    first = remote.commit(
        "master",
        {".gitmodules": text, "salt/lib/n": Submodule(head), "lib/x": "", "salt/a/top.sls": ""}
        | {"salt/lib/x": ""},
    )
    git = pinned_tree.with_objects(Git(str(remote.path)), [str(formula.path)])
    pinned = {"salt/lib/n": head}
    made = pinned_tree.compose(git, first, pinned)

    def after(files: dict[str, Content]) -> tuple[pinned_tree.TreeWithPins | None, str]:
        new = remote.commit("other", files, parents=(first,), tree=first)
        changed = refuse_unsafe_links(git, new, first, roots.plain("salt", "pillar"))
        return pinned_tree.moved_on(git, made, pinned, changed.entries or []), new

    for files in (
        {"salt/a/top.sls": "x"},
        {"lib": None},
        {"new": "x"},
        {"a/b/c": "x", "salt/a/b/c": "x"},
        {"salt/a": Link("lib")},
        {"salt/a/top.sls": None, "salt/a/x/y": ""},
        {"lib/x": None, "lib": "a file"},
        {"salt/lib/x": None},
        {"salt/lib/beside/x": "x"},
        {"salt/lib/n.": "x", "salt/lib/n-": "", "salt/lib/n0/x": ""},
        {},
    ):
        moved, new = after(files)  # type: ignore[arg-type]
        wanted = pinned_tree.compose(git, new, pinned)
        assert moved, files
        assert moved.tree == wanted.tree, files
        again = pinned_tree.moved_on(git, moved, pinned, [])
        assert again and again.tree == wanted.tree
        known = pins.loads(pins.Pins(moved.tree, {}, moved, new, "https://h a").dumps().encode())
        assert known and known.made and known.made.folders == moved.folders, "read as written"
        assert (known.commit, known.allowed) == (new, "https://h a")
    for files in (
        {"salt/lib/n": Submodule(next_head)},
        {"salt/lib/n": None},
        {"salt/lib/n": None, "salt/lib/n/x": "plain"},
        {"salt/lib": None, "salt/lib/n/x": "plain"},
        {"salt/lib": "a file"},
        {"salt": None},
        {".gitmodules": entry("n", "salt/lib/n", "https://evil/n")},
        {".gitmodules": None},
    ):
        assert after(files)[0] is None, files  # type: ignore[arg-type]
