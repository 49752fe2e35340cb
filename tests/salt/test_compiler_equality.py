"""Ours and Salt's own answer are the same: pillar and low chunks, arguments and order included."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from saltbranch.compilecache import CompileCache
from saltbranch.compiler.model import Minion
from tests.git.remote import Content
from tests.salt.compiling import Lab, Pair, minion, sample_files, sample_minions


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("equality"))


def test_the_sample_is_what_salt_call_says(lab: Lab) -> None:
    minions = sample_minions()
    ours = lab.compile(minions)
    for who in minions:
        low = lab.salt_call(who, "state.show_lowstate")
        assert ours[who.id].result == "ok", ours[who.id].error
        assert ours[who.id].low == low
        pillar = lab.salt_call(who, "pillar.items", "unmask=True")
        assert ours[who.id].plain_pillar == pillar


def test_the_same_process_gives_the_same_answer_in_any_order(lab: Lab) -> None:
    minions = sample_minions()
    forward = lab.compile(minions)
    back = lab.compile(minions[::-1])
    alone = {who.id: lab.one(who) for who in minions[:2]}
    for who in minions:
        assert forward[who.id].low == back[who.id].low
    for name, result in alone.items():
        assert result.low == forward[name].low


# Random edits


Files = dict[str, Content]
Edit = Callable[[random.Random, Files], None]


def _texts(files: Files, pattern: str) -> list[str]:
    return [p for p, c in files.items() if isinstance(c, bytes) and re.search(pattern, p)]


def _lines(rng: random.Random, files: Files, pattern: str) -> tuple[str, list[str], int]:
    path = rng.choice(_texts(files, pattern))
    content = files[path]
    assert isinstance(content, bytes)
    lines = content.decode().splitlines()
    return path, lines, rng.randrange(len(lines)) if lines else 0


def _put(files: Files, path: str, lines: list[str]) -> None:
    files[path] = ("\n".join(lines) + "\n").encode()


def drop_a_line(rng: random.Random, files: Files) -> None:
    path, lines, n = _lines(rng, files, r"\.(sls|jinja)$")
    del lines[n : n + 1]
    _put(files, path, lines)


def double_a_line(rng: random.Random, files: Files) -> None:
    path, lines, n = _lines(rng, files, r"\.sls$")
    lines[n:n] = lines[n : n + 1]
    _put(files, path, lines)


def change_a_number(rng: random.Random, files: Files) -> None:
    path = rng.choice(_texts(files, r"\.(sls|jinja)$"))
    content = files[path]
    assert isinstance(content, bytes)
    files[path] = re.sub(rb"\d+", lambda f: str(int(f[0]) + rng.randrange(3)).encode(), content)


def add_a_state(rng: random.Random, files: Files) -> None:
    path = rng.choice([p for p in _texts(files, r"^salt/.*\.sls$") if p != "salt/top.sls"])
    content = files[path]
    assert isinstance(content, bytes)
    name = f"random-{rng.randrange(10**6)}"
    body = rng.choice(
        (
            f"{name}:\n  test.nop:\n    - order: {rng.choice(['first', 'last', '7'])}\n",
            f"{name}:\n  file.managed:\n    - names: [/a, /b: [{{mode: '0600'}}]]\n"
            "    - watch_in:\n      - file: motd\n",
            f"{name}:\n  cmd.run:\n    - name: {{{{ grains['id'] }}}} {{{{ saltenv }}}}\n"
            "    - require:\n      - file: motd\n",
            f"extend:\n  motd:\n    file:\n      - mode: '06{rng.randrange(8)}0'\n",
            f"exclude:\n  - id: motd\n{name}:\n  test.nop\n",
            f"{name}:\n  user.present:\n    - uid: {{{{ pillar.app.workers }}}}\n    - use:\n"
            "      - file: motd\n",
            f"{name}:\n  test.nop:\n    - value: {{{{ tpldir }}}} {{{{ slspath }}}} {{{{ sls }}}}\n",
        )
    )
    files[path] = content + b"\n" + body.encode()


def add_a_pillar_key(rng: random.Random, files: Files) -> None:
    path = rng.choice([p for p in _texts(files, r"^pillar/.*\.sls$") if p != "pillar/top.sls"])
    content = files[path]
    assert isinstance(content, bytes)
    keys = (
        f"random_{rng.randrange(99)}: {{a: [1, x], b: 2026-01-02, c: 0o17, 3: y}}\n",
        f"common:\n  motd: other {rng.randrange(9)}\n",
        "app:\n  token: {{ grains.get('roles') | json }}\n",
        "nginx:\n  lookup: {conf_dir: /elsewhere}\n",
        "include:\n  - common\n",
    )
    files[path] = content + rng.choice(keys).encode()


def change_the_top(rng: random.Random, files: Files) -> None:
    folder = rng.choice(("salt", "pillar"))
    path = f"{folder}/top.sls"
    content = files[path]
    assert isinstance(content, bytes)
    name = "common" if folder == "pillar" else rng.choice(("app", "role.*", "nginx.config"))
    target = rng.choice(("'*1'", "'E@web.*'", "'web1,db1'", "'roles:db'", "'os:Debian'"))
    match = {"'web1,db1'": "list", "'E@web.*'": "compound"}.get(target, "glob")
    if ":" in target:
        match = "grain"
    entry = f"  {target}:\n    - match: {match}\n    - {name}\n"
    files[path] = content.replace(b"base:\n", f"base:\n{entry}".encode(), 1)


def remove_a_file(rng: random.Random, files: Files) -> None:
    path = rng.choice(_texts(files, r"\.(sls|jinja|j2)$"))
    files[path] = None


EDITS: tuple[Edit, ...] = (
    drop_a_line, double_a_line, change_a_number, add_a_state, add_a_state, add_a_state,
    add_a_pillar_key, add_a_pillar_key, change_the_top, remove_a_file,
)  # fmt: skip


def _random_minion(rng: random.Random) -> Minion:
    roles = rng.sample(["web", "db", "salt-master"], rng.randrange(3))
    family = rng.choice((("Debian", "Debian"), ("Ubuntu", "Debian"), ("Rocky", "RedHat")))
    name = rng.choice(("web1", "db1", "master1", "x-9"))
    more = {"saltbranch_demo_dir": "/tmp/d"} if rng.random() < 0.3 else {}
    return minion(name, roles, grains={"os": family[0], "os_family": family[1], **more})


def _compare_after_edits(lab: Lab, seed: int) -> bool:
    """Whether Salt had an error, after both were found to agree."""
    rng = random.Random(seed)
    files: Files = sample_files()
    for _ in range(rng.randrange(1, 4)):
        edit = rng.choice(EDITS)
        living = {p: c for p, c in files.items() if c is not None}
        edit(rng, living)
        files = {**files, **living}
    tree = lab.remote.git("rev-parse", "master~0")
    lab.remote.commit("master", files)
    who = _random_minion(rng)
    pair = Pair(lab.one(who), lab.salts_own([who])[who.id])
    try:
        pair.assert_equal()
    except AssertionError as err:
        raise AssertionError(f"seed {seed}, after {tree}: {err}") from err
    return pair.salt_failed


def _run(tmp_path: Path, seeds: range) -> None:
    failed = 0
    for seed in seeds:
        failed += _compare_after_edits(Lab(tmp_path / str(seed)), seed)
    # Were nearly all of them errors, little would have been compared.
    assert failed < 0.7 * len(seeds)


def test_random_edits_give_what_salt_gives(tmp_path: Path) -> None:
    _run(tmp_path, range(1000, 1012))


@pytest.mark.slow
def test_many_random_edits_give_what_salt_gives(tmp_path: Path) -> None:
    _run(tmp_path, range(200))


# The cache


def test_cached_results_are_the_fresh_ones_whatever_is_edited(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    cache = CompileCache(str(tmp_path / "cache"))
    minions = sample_minions()[:3]
    rng = random.Random(7)
    hits = 0
    for _ in range(8):
        files: Files = dict(sample_files())
        rng.choice(EDITS)(rng, files)
        lab.commit(files)
        kept = lab.compile(minions, cache=cache, plain=False)
        key = cache.key()
        fresh_cache = CompileCache(None)
        fresh_cache._key = key
        fresh = lab.compile(minions, cache=fresh_cache, plain=False)
        for who in minions:
            hits += kept[who.id].cached
            assert kept[who.id].chunks == fresh[who.id].chunks
            assert kept[who.id].pillar == fresh[who.id].pillar
            assert kept[who.id].errors == fresh[who.id].errors
    assert hits > 0


def test_a_custom_module_that_appears_is_noticed(tmp_path: Path) -> None:
    """The highstate asked for a function that was not there: no file says so, only a listing does."""
    lab = Lab(tmp_path, {"salt/top.sls": b"base:\n  '*':\n    - one\n", "pillar/top.sls": b"{}\n"})
    asks = b"{{ salt['later.value']() if 'later.value' in salt else 'none' }}:\n  test.nop\n"
    lab.commit({"salt/one.sls": asks, "salt/_modules/other.py": b"def value():\n    return 1\n"})
    cache, who = CompileCache(str(tmp_path / "cache")), minion("web1")
    assert lab.one(who, cache=cache, plain=False).chunks[0].key == "none | test.nop"
    lab.commit({"salt/_modules/later.py": b"def value():\n    return 'there'\n"})
    after = lab.one(who, cache=cache, plain=False)
    assert not after.cached
    assert after.chunks[0].key == "there | test.nop"
