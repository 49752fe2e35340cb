"""Random edits of a control repository: of states, pillar, tops, links, macros and managed templates."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from saltbranch.compiler.model import Minion
from tests.support.compiling import minion
from tests.support.remote import Content, Link

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
    content = files.get(path)
    if not isinstance(content, bytes):  # an earlier edit removed it
        return
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


def change_a_template(rng: random.Random, files: Files) -> None:
    path, lines, n = _lines(rng, files, r"/files/.*\.j2$|^shared/.*\.j2$")
    more = (
        f"# {rng.randrange(99)}",
        "{# said to nobody #}",
        "{{ grains['id'] }} {{ pillar['app'] | json }}",
        "{% from 'common/paths.jinja' import prefix with context %}{{ prefix }}",
        "{% if grains['os'] == 'Rocky' %}only there{% endif %}",
        "{{ salt['pillar.get']('common:motd', 'none') }} {{ salt['cp.get_file_str']('salt://note') }}",
    )
    lines.insert(n, rng.choice(more))
    _put(files, path, lines)


def change_a_macro(rng: random.Random, files: Files) -> None:
    path = rng.choice(_texts(files, r"^salt/.*\.jinja$"))
    content = files[path]
    assert isinstance(content, bytes)
    more = (
        "{% set prefix = prefix ~ '/other' %}\n",
        "{# a comment #}\n",
        "{% macro named(name) %}{{ name }}-{{ grains['os'] }}{% endmacro %}\n",
    )
    files[path] = content + rng.choice(more).encode()


def link_a_file(rng: random.Random, files: Files) -> None:
    """A managed template becomes a link to one outside of the states, or what the link leads to changes."""
    name = rng.choice(("common/files/motd.j2", "nginx/files/site.conf.j2"))
    content = files.get(f"salt/{name}")
    shared = f"shared/{name.replace('/', '-')}"
    if isinstance(content, bytes):
        files[shared] = content + rng.choice((b"", b"# shared\n"))
        files[f"salt/{name}"] = Link(f"{'../' * (name.count('/') + 1)}{shared}")
    elif isinstance(files.get(shared), bytes):
        files[shared] = b"# another one\n"


def link_a_folder(rng: random.Random, files: Files) -> None:
    """A formula beside the states, linked into them under a name of its own."""
    body = f"from-formula:\n  test.nop:\n    - value: {rng.randrange(9)} {{{{ tpldir }}}}\n"
    files["formulas/one/one/init.sls"] = body.encode()
    files["salt/one"] = Link(rng.choice(("../formulas/one/one", "app")))
    content = files.get("salt/top.sls")
    if isinstance(content, bytes) and b"- one\n" not in content:
        files["salt/top.sls"] = content.replace(b"    - common\n", b"    - common\n    - one\n", 1)


def give_a_host_pillar(rng: random.Random, files: Files) -> None:
    """A file that the pillar's top asks for, of which no line of a top or an sls file changes the second time."""
    name = rng.choice(("web1", "db1", "x-9"))
    files[f"pillar/host/{name}.sls"] = f"host:\n  number: {rng.randrange(9)}\n".encode()
    content = files.get("pillar/top.sls")
    asks = (
        "{% if salt['pillar.file_exists']('host/' ~ grains['id'] ~ '.sls') %}\n"
        "  '{{ grains['id'] }}':\n    - host.{{ grains['id'] }}\n{% endif %}\n"
    )
    if isinstance(content, bytes) and asks.encode() not in content:
        files["pillar/top.sls"] = content + asks.encode()


def change_names(rng: random.Random, files: Files) -> None:
    """One state becomes several of the same ID, or fewer."""
    path = "salt/common/init.sls"
    content = files.get(path)
    if not isinstance(content, bytes):
        return
    names = rng.sample(["/a", "/b", "/c"], rng.randrange(1, 4))
    state = f"\nsome:\n  file.directory:\n    - names: [{', '.join(names)}]\n"
    files[path] = re.sub(rb"\nsome:\n.*\n.*\n", b"", content) + state.encode()


EDITS: tuple[Edit, ...] = (
    drop_a_line, double_a_line, change_a_number, add_a_state, add_a_state, add_a_state,
    add_a_pillar_key, add_a_pillar_key, change_the_top, remove_a_file,
)  # fmt: skip
"""What leaves most repositories one that compiles, and many that do not."""
MORE_EDITS: tuple[Edit, ...] = (
    *EDITS, change_a_template, change_a_template, change_a_macro, link_a_file, link_a_folder,
    give_a_host_pillar, change_names,
)  # fmt: skip


def random_minion(rng: random.Random) -> Minion:
    roles = rng.sample(["web", "db", "salt-master"], rng.randrange(3))
    family = rng.choice((("Debian", "Debian"), ("Ubuntu", "Debian"), ("Rocky", "RedHat")))
    name = rng.choice(("web1", "db1", "master1", "x-9"))
    more = {"saltbranch_demo_dir": "/tmp/d"} if rng.random() < 0.3 else {}
    return minion(name, roles, grains={"os": family[0], "os_family": family[1], **more})
