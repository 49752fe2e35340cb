"""Secrets that nobody chose, in places that nobody chose, used as people use pillar: in no output, and in no
byte of what is kept.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import signal
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from saltbranch import entry
from saltbranch.base import scratch
from saltbranch.compiler import sandbox
from tests.actions.test_diff import GRAINS, Clone
from tests.support import own_cache
from tests.support.compiling import PROJECT
from tests.support.remote import Content

OUTPUTS = (
    ("diff", "side-master", "side-develop"),
    ("diff", "side-master", "side-develop", "--json"),
    ("diff", "side-master", "side-develop", "--markdown"),
    ("diff", "side-master", "side-develop", "--html"),
    ("check", "side-develop"),
    ("check", "side-develop", "--json"),
    ("check", "side-develop", "--sarif"),
    ("check", "side-develop", "--junit"),
    ("check", "side-develop", "--github"),
    ("check", "side-develop", "--static", "--json"),
)
# What people do with a value: as it is, cut, put together, encoded.
EXPRESSIONS = (
    "VV", "VV | string | upper", "VV | string | lower", "VV | string | title", "VV | string | replace('a', 'b')",
    "VV | string | base64_encode", "VV | string | urlencode", "VV | string | escape", "VV | json", "VV | yaml_dquote",
    "VV | yaml_squote", "(VV | string)[:7]", "(VV | string)[2:]", "VV | string | reverse",
    "VV | string | list | join(', ')",
    "VV | string | join('-')", "VV | string | md5", "VV | string | sha256", "'pre' ~ VV ~ 'post'",
    "VV ~ '@' ~ grains.id",
    "(VV | string).split('-')[0]", "pillar | string", "pillar | json", "pillar.items() | list",
)  # fmt: skip
# Where they put it; EE is what came of it, as a text in double quotes, and RR the expression alone.
USES = (
    "EE:\n  test.nop: []\n",
    "x:\n  test.nop:\n    - name: EE\n    - text: EE\n    - names: [EE, other]\n",
    "/etc/x:\n  file.managed:\n    - source: {{ ('salt://' ~ (RR)) | yaml_dquote }}\n    - contents: EE\n",
    "x:\n  test.nop:\n    - require:\n      - test: EE\n",
    "x:\n  test.nop:\n    - require: EE\n",
    "include:\n  - {{ ('no.' ~ (RR)) | yaml_dquote }}\n",
    "include: EE\n",
    "extend:\n  EE:\n    test.nop: []\n",
    "x:\n  {{ ('test.' ~ (RR)) | yaml_dquote }}: []\n",
    "x:\n  EE: []\n",
    "x: EE\n",
    "x: {{ raise('no value for ' ~ (RR)) }}\n",
    "x: {{ pillar[(RR) | string] }}\n",
    "x: {{ salt['test.' ~ (RR)]() }}\n",
    "x: {{ salt['cmd.' ~ (RR)]() }}\n",
    "x: {{ (RR) + 1 }}\n",
    "x: {{ (RR) | int(base='x') }}\n",
    "x: *{{ RR }}\n", "x: !{{ RR }} y\n", "{{ RR }}: {{ RR }}: x\n", "x: [{{ RR }}\n", "x: '{{ RR }}\n", "&{{ RR }}\n",
    "EE:\n  test.nop: []\nEE:\n  test.nop: []\n",
    "{% import_yaml '/srv/' ~ (RR) as x %}\n", "{% include 'sub/' ~ (RR) ignore missing %}\n",
    "{% from 'maps/' ~ (RR) ~ '.jinja' import x %}\n",
    "#!jinja|py\ndef run():\n    raise ValueError({{ (RR) | string | json }})\n",
    "#!jinja|py\ndef run():\n    return {{ (RR) | string | json }}\n",
    "#!jinja|py\ndef run():\n    open('/root/' + {{ (RR) | string | json }})\n",
    "#!jinja|py\ndef run():\n    return {{{ (RR) | string | json }}: {'test.nop': [{'name': 'x'}]}}\n",
    "x:\n  test.nop:\n    - name: !!binary {{ RR }}\n",
    "x:\n  test.nop:\n    - EE: y\n    - text: z\n",
)  # fmt: skip
# How a pillar file itself goes wrong with a value SS in it.
BROKEN = (
    "v: *SS\n", "v: !SS x\n", "v: [SS\n", "v: 'SS\n", "v: {{ raise('SS') }}\n", "v: {{ SS }}\n",
    "v: {{ salt['cmd.SS']() }}\n",
    "v: {{ salt['SS.run']() }}\n", "{% set x = 'SS' %}include: [no.{{ x }}]\n",
    "{% set x = 'SS' %}{% import_yaml '/srv/' ~ x as y %}\n",
    "#!py\ndef run():\n    open('/root/SS')\n",
    "_errors: ['Failed to load ext_pillar SS', 'Specified SLS SS in environment x']\n",
    "#!py\ndef run():\n    raise ValueError('SS')\n", "#!SS\nv: w\n",
    "#!py\nimport subprocess.SS\ndef run():\n    return {}\n",
    "{% from 'SS' import x %}\n", "v: {{ 'a' | SS }}\n", "- SS\n",
)  # fmt: skip

words = st.text(string.ascii_letters + string.digits, min_size=7, max_size=12).filter(
    lambda s: any(c.isdigit() for c in s) and sum(c.isalpha() for c in s) > 3
)
secrets = st.one_of(
    words,
    st.lists(words, min_size=2, max_size=3).map("-".join),
    st.lists(words, min_size=2, max_size=3).map(" ".join),
    words.map(lambda w: f"*{w}"),
    words.map(lambda w: f"{w} # {w}"),
    words.map(lambda w: f'it\'s \\{w}\\ "{w}"'),
    st.integers(10**9, 10**10).filter(
        lambda n: len(set(str(n))) > 5
    ),  # no run of zeros: times end so, too
)


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[Any], dict[str, Content], dict[str, Content]]:
    """The secrets, and the files of one side and of the other."""
    values = [[draw(secrets) for _ in range(4)] for _ in range(2)]
    uses = draw(st.lists(st.tuples(st.sampled_from(USES), st.sampled_from(EXPRESSIONS),
                                   st.sampled_from(("plain", "deep.list[1]", "lines", "deep.x.y"))),
                         min_size=10, max_size=10))  # fmt: skip
    broken = draw(st.lists(st.sampled_from(BROKEN), min_size=4, max_size=4))
    sides = []
    for side in values:
        plain, listed, lines, deep = side
        pillar = {
            "plain": plain,
            "deep": {"list": ["a", listed], "x": {"y": deep}},
            "lines": f"{lines}\nb\n",
        }
        files: dict[str, Content] = {
            "pillar/common.sls": yaml.safe_dump(pillar, allow_unicode=True)
        }
        top = {"*": ["common"]}
        for n, text in enumerate(broken):
            word = "".join(c for c in str(plain) if c.isalnum())
            files[f"pillar/broken{n}.sls"] = text.replace("SS", word)
            top[f"prod-broken{n}"] = [f"broken{n}"]
        files["pillar/top.sls"] = yaml.safe_dump({"base": top})
        top = {"*": ["fine"]}
        for n, (use, expression, where) in enumerate(uses):
            code = expression.replace("VV", f"pillar.{where}")
            quoted = f"{{{{ ({code}) | string | yaml_dquote }}}}"
            text = use.replace("EE", quoted).replace("RR", code)
            files[f"salt/use{n}.sls"] = text
            top[f"prod-use{n}"] = [f"use{n}"]
        files["salt/top.sls"] = yaml.safe_dump({"base": top})
        sides.append(files)
    return [v for side in values for v in side], sides[0], sides[1]


def windows(secret: Any) -> set[str]:
    """Every part of it that tells something, in some forms."""
    text = str(secret)
    size = 9 if text.isdigit() else 6
    found = set()
    for form in (text, text.upper(), text.lower(), text.title(), text[::-1], quote(text), json.dumps(text)[1:-1],
                 base64.b64encode(text.encode()).decode().rstrip("=")[:-1]):  # fmt: skip
        found |= {form[n : n + size] for n in range(len(form) - size + 1)}
    # What is mostly signs, or a word of ours by chance, tells nothing.
    return {w for w in found if sum(map(str.isalnum, w)) >= 5}


def said(*argv: str) -> str:
    out = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
    ):
        patch.setattr(sys, "argv", ["saltbranch", *argv])
        code = entry.guarded(entry._ordinary)
    assert code in (0, 1, 3, 20), out.getvalue()
    return out.getvalue()


@contextlib.contextmanager
def place(before: dict[str, Content], after: dict[str, Content]) -> Iterator[Clone]:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        own_cache.use(patch, Path(name, "cache"))
        patch.delenv("TMPDIR", raising=False)
        clone = Clone(Path(name))
        os.chmod(name, 0o755)  # noqa: S103
        for old in (clone.folder / "fleet").iterdir():
            old.unlink()
        minions = [p[5:-4] for p in before if "/use" in p] + [
            p[7:-4] for p in before if "/broken" in p
        ]
        data = yaml.safe_dump({"grains": GRAINS})
        for minion in minions:
            (clone.folder / "fleet" / f"prod-{minion}.yaml").write_text(data)
        base: dict[str, Content] = {
            "salt/fine.sls": "fine:\n  test.nop: []\n", "salt/common.sls": None, "salt/web.sls": None,
            "pillar/web.sls": None,
        }  # fmt: skip
        clone.commit({**base, **before}, "master")
        clone.remote.set_branch("develop", clone.remote.head("master"))
        clone.commit(after, "develop")
        for branch in ("master", "develop"):
            clone.remote.git("branch", f"side-{branch}", branch)
        git = ["git", "-C", str(clone.folder)]
        subprocess.run([*git, "fetch", "-q"], check=True)
        patch.chdir(clone.folder)
        yield clone


@settings(max_examples=2, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate),
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(trees())
def test_no_secret_comes_out_anywhere(
    made: tuple[list[Any], dict[str, Content], dict[str, Content]],
) -> None:
    values, before, after = made
    forbidden = {window: value for value in values for window in windows(value)}
    with place(before, after) as clone:
        texts = {}
        for words_ in OUTPUTS:
            texts[" ".join(words_)] = said(*words_, "--config", clone.path)
        for path in (clone.folder.parent / "cache").rglob("*"):
            if path.is_file():
                texts[f"kept {path.name}"] = f"{path.name}\n{path.read_text(errors='replace')}"
        found = [
            (what, window, value, text[max(0, text.find(window) - 200) : text.find(window) + 100])
            for what, text in texts.items()
            for window, value in forbidden.items()
            if window in text
        ]
        assert found == []


def test_no_secret_comes_out_as_the_name_of_an_argument() -> None:
    before: dict[str, Content] = {
        "pillar/common.sls": "pw: qhzkwvA8rt\n",
        "pillar/top.sls": "base:\n  '*':\n    - common\n",
        "salt/top.sls": "base:\n  'prod-use*':\n    - use0\n",
        "salt/use0.sls": "x:\n  test.nop:\n    - text: a\n",
    }
    after: dict[str, Content] = {
        "salt/use0.sls": "x:\n  test.nop:\n    - text: a\n    - {{ pillar.pw }}: fine\n"
    }
    with place(before, after) as clone:
        for how in ([], ["--json"], ["--markdown"], ["--html"]):
            text = said("diff", "side-master", "side-develop", *how, "--config", clone.path)
            assert "qhzkwv" not in text and "***" in text


# What is public is told.


def test_what_is_public_is_told_of_every_kind(tmp_path: Path) -> None:
    """Words of the states of either side, of Salt's messages, of names, keys of pillar and grains."""
    del tmp_path
    pillar = "db: postgres\nnote: Debian\nusers:\n  margarete: {shell: wunderlich}\n"
    before: dict[str, Content] = {
        "pillar/common.sls": pillar,
        "pillar/top.sls": "base:\n  '*':\n    - common\n",
        "salt/top.sls": "base:\n  'prod-use*':\n    - use0\n",
        "salt/use0.sls": "x: {{ pillar[pillar.db ~ '-' ~ grains.os] }}\n",
        "salt/use1.sls": "{% set unused = 'postgres wunderlich' %}\n",
    }
    after: dict[str, Content] = {
        "salt/use0.sls": "{% for name in pillar.users %}\n"
        "user-{{ name }}-{{ pillar.db }}-{{ grains.os }}-{{ loop.index }}:\n"
        "  test.nop:\n    - require: [{test: gone-{{ name }}}]\n{% endfor %}\n",
        "salt/use1.sls": None,
    }
    with place(before, after) as clone:
        text = said("diff", "side-master", "side-develop", "--config", clone.path)
        assert "has no attribute 'postgres-Debian'" in text
        assert "gone-margarete" in text and "user-margarete-postgres-Debian-1" in text
        assert "***" not in text


def test_the_same_state_is_the_same_though_one_side_hides_its_id(tmp_path: Path) -> None:
    """What one side's pillar holds as a value the other's need not."""
    del tmp_path
    uses = (
        "run worker-{{ grains['os'] }}-{{ 'wunder' ~ 'lich' }}:\n  test.nop:\n    - name: fine wine\n"
        "second:\n  test.nop:\n    - order: 1\n    - require: [{test: 'run worker-{{ grains['os'] }}-wunderlich'}]\n"
    )
    before: dict[str, Content] = {
        "pillar/common.sls": "note: Debian\nother: wunderlich\nlast: fine wine\n",
        "pillar/top.sls": "base:\n  '*':\n    - common\n",
        "salt/top.sls": "base:\n  'prod-use*':\n    - use0\n",
        "salt/use0.sls": uses,
    }
    after: dict[str, Content] = {
        "pillar/common.sls": "note: x\n",
        "salt/use0.sls": f"# new\n{uses}",
    }
    for one, other in ((before, after), ({**before, **after}, {k: before[k] for k in after})):
        with place(one, other) as clone:
            data = json.loads(
                said("diff", "side-master", "side-develop", "--json", "--config", clone.path)
            )
            states = data["minions"]["prod-use0"]["states"]
            assert states["added"] == states["removed"] == states["changed"] == []
            assert data["minions"]["prod-use0"]["result"] == "ok"
            assert data["minions"]["prod-use0"]["pillar"]["changed"] == ["note"]


HANGS = """
import sys
from pathlib import Path
from tests.support.compiling import Lab, minion
lab = Lab(Path(sys.argv[1]), {
    "salt/top.sls": "base:\\n  '*':\\n    - a\\n", "pillar/a.sls": "x: mk-on-disk-4711\\n",
    "salt/a.sls": "#!py\\nimport time\\ndef run():\\n    time.sleep(60)\\n",
})
lab.one(minion("m1"))
"""


def test_a_killed_compile_leaves_no_pillar_on_a_disk(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if k != "TMPDIR"}
    if scratch.in_memory(1 << 20) is None and "TMPDIR" not in os.environ:
        pytest.skip("there is no room in memory")
    if sandbox.find().kind != "bubblewrap" and not sandbox.find().are_forks_apart:
        pytest.skip("trees are where forks could fill the memory")
    before = {*trees_in("/tmp"), *trees_in("/dev/shm")}  # noqa: S108
    process = subprocess.Popen(
        [sys.executable, "-c", HANGS, str(tmp_path)], env={**env, "PYTHONPATH": str(PROJECT)}
    )
    end = time.monotonic() + 60
    while not (made := {*trees_in("/dev/shm")} - before) and time.monotonic() < end:  # noqa: S108
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    [left] = made
    assert not {*trees_in("/tmp")} - before  # noqa: S108
    end = time.monotonic() + 20  # until git has ended, too
    while left.exists() and time.monotonic() < end:
        scratch.sweep()
        time.sleep(0.1)
    assert not left.exists()


def trees_in(folder: str) -> list[Path]:
    return [
        path.parents[2]
        for path in Path(folder).glob("saltbranch-scratch-compile-*/tree/pillar/a.sls")
    ]
