"""URLs in one form, the list of allowed ones, and relative ones as git itself resolves them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from saltbranch.git import address
from saltbranch.git.address import BadAddress


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://git.example.com/a/b.git", "HTTPS://GIT.Example.com:443/a//b/"),
        ("git@git.example.com:a/b.git", "ssh://git@git.example.com:22/a/b"),
        ("git@git:a/b", "ssh://git@git/a/b"),
        ("git@git.example.com:/a/b", "ssh://git@GIT.example.com./a/b.git/"),
        ("https://git.example.com/a%2Db/c%20d", "https://git.example.com/a-b/c%20d.git"),
        ("https://user:token@git.example.com/a", "https://git.example.com/a"),
        ("file:///srv/git/a.git", "/srv/git/a"),
        ("ssh://[2001:DB8::1]/a", "ssh://[2001:db8::1]:22/a.git"),
        ("/srv/git/a/.git", "/srv/git/a"),
        ("file:///srv/b%C3%A4r/a%20b", "/srv/b\u00e4r/a b.git"),
    ],
)
def test_spellings_of_one_place_are_one(one: str, other: str) -> None:
    assert address.parse(one).identity == address.parse(other).identity


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://git.example.com/a/b", "https://git.example.com/a/c"),
        ("https://git.example.com/a", "http://git.example.com/a"),
        ("https://git.example.com/a", "https://git.example.com:8443/a"),
        ("https://git.example.com/A", "https://git.example.com/a"),
        ("git@git.example.com:a", "root@git.example.com:a"),
        ("https://git.example.com/a%252Fb", "https://git.example.com/a%25b"),
    ],
)
def test_other_places_are_others(one: str, other: str) -> None:
    assert address.parse(one).identity != address.parse(other).identity


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.com/a/b.git",
        "git@git.example.com:a/b.git",
        "git@git.example.com:/a/b.git",
        "ssh://git@git.example.com:2222/~ann/b.git",
        "https://oauth2:token@git.example.com/a",
        "https://git.example.com/a%20b",
        "/srv/git/a b.git",
        "git://git.example.com/a",
    ],
)
def test_git_is_given_what_was_written(url: str) -> None:
    assert address.parse(url).url == url


@pytest.mark.parametrize(
    "path", ["/srv/git", "/srv/b\u00e4r/a b", "/srv/100%20/a\u2003b", "/srv/a,b"]
)
def test_a_listed_path_is_one_word_that_stands_for_the_same(path: str) -> None:
    word = address.one_word(path)
    assert word.split() == [word]
    assert address.parse(word).path == address.parse(path).path
    assert (word == path) is (path in ("/srv/git", "/srv/a,b"))


def test_password_is_not_shown() -> None:
    told = address.parse("https://oauth2:s3cret@git.example.com/a")
    assert "s3cret" in told.url and "s3cret" not in told.shown + told.identity


REFUSED = [
    "",
    "-u./payload",
    "--upload-pack=touch x",
    "ext::sh -c touch% x",
    "ext::sh",
    "fd::17",
    "foo::bar",
    "https://git.example.com/a b",
    "https://git.example.com/a\nb",
    "https://git.example.com/a\x7fb",
    "https://git.example.com/a%0ab",
    "https://git.example.com/a%00b",
    "https://git.example.com/a%zz",
    "https://git.example.com/a%+1",
    "https://git.example.com/a%2F..%2F..%2Fb",
    "https://git.example.com/a%ff",
    "https://git.example.com/../b",
    "https://git.example.com/%2e%2e/b",
    "https://git.example.com\\@evil.example.com/b",
    "https://git.example.com/a?x",
    "https://git.example.com/a#x",
    "https://-oProxyCommand=x/a",
    "ssh://-oProxyCommand=touch/a",
    "ssh://git@-oProxyCommand=touch/a",
    "ssh://-l@git.example.com/a",
    "-oProxyCommand=x:a",
    "git@-oProxyCommand:a",
    "git:a",
    "https:example.com/a",
    "ssh://git@git.example.com/-a",
    "ssh://git@git.example.com:99999/a",
    "ssh://git@git.example.com:x/a",
    "ssh://git:secret@git.example.com/a",
    "https://git.ex\u0430mple.com/a",
    "file://git.example.com/a",
    "file:///srv/../etc",
    "/srv/git/../../etc",
    "/srv/git/a\nb",
    "/srv/git/a\udcff",
    "srv/git",
    "./a",
    "../a",
    "ftp://git.example.com/a",
    "git+ssh://git.example.com/a",
    "https:///a",
    "https://git.example.com@:80/a",
    "[git.example.com:22]:a",
    "https://" + "a" * 3000,
]


@pytest.mark.parametrize("url", REFUSED)
def test_refused(url: str) -> None:
    with pytest.raises(BadAddress):
        address.parse(url)


@pytest.mark.parametrize(
    ("url", "entry", "allowed"),
    [
        ("https://git.example.com/formulas/nginx.git", "https://git.example.com/formulas", True),
        ("https://git.example.com/formulas/nginx.git", "https://git.example.com/formulas/", True),
        ("https://git.example.com/formulas/nginx.git", "https://git.example.com", True),
        (
            "https://git.example.com/formulas/nginx",
            "https://git.example.com/formulas/nginx.git",
            True,
        ),
        ("https://git.example.com/formulas-evil/nginx", "https://git.example.com/formulas", False),
        ("https://git.example.com/form", "https://git.example.com/formulas", False),
        ("https://git.example.com.evil.example/formulas/x", "https://git.example.com", False),
        ("https://evil.example/git.example.com/formulas", "https://git.example.com", False),
        ("http://git.example.com/formulas/x", "https://git.example.com/formulas", False),
        ("https://git.example.com:444/formulas/x", "https://git.example.com/formulas", False),
        ("https://u:p@git.example.com/formulas/x", "https://git.example.com/formulas", True),
        ("git@git.example.com:formulas/x", "ssh://git@git.example.com/formulas", True),
        ("root@git.example.com:formulas/x", "ssh://git@git.example.com/formulas", False),
        ("git.example.com:formulas/x", "ssh://git@git.example.com/formulas", False),
        ("file:///srv/formulas/x", "/srv/formulas", True),
        ("/srv/formulas-private", "/srv/formulas", False),
        ("/srv/formulas/x", "https://git.example.com", False),
    ],
)
def test_whole_parts_are_compared(url: str, entry: str, allowed: bool) -> None:  # noqa: FBT001
    assert address.is_allowed(address.parse(url), [entry]) is allowed


REMOTES = [
    "https://git.example.com/ops/salt.git",
    "https://git.example.com/ops/salt/",
    "git@git.example.com:ops/salt.git",
    "git@git.example.com:salt.git",
    "ssh://git@git.example.com:2222/ops/salt",
    "/srv/git/ops/salt.git",
]


@pytest.mark.parametrize("remote", REMOTES)
@pytest.mark.parametrize(
    "url", ["../nginx.git", "./nginx", "../../x/nginx", "./../nginx/", ".././nginx"]
)
def test_relative_urls_are_resolved_as_git_does(tmp_path: Path, remote: str, url: str) -> None:
    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", tmp_path, *words], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q")
    git("remote", "add", "origin", remote)
    commit = "1" * 40
    git("update-index", "--add", "--cacheinfo", f"160000,{commit},m")
    (tmp_path / ".gitmodules").write_text(f'[submodule "m"]\n\tpath = m\n\turl = {url}\n')
    done = subprocess.run(["git", "-C", tmp_path, "submodule", "init"], capture_output=True)
    resolved = git("config", "submodule.m.url") if done.returncode == 0 else ""
    if resolved and not resolved.startswith("."):
        assert address.resolve(url, remote) == resolved
    else:  # more folders than the remote has: git makes a path of it, or gives up
        with pytest.raises(BadAddress):
            address.resolve(url, remote)
