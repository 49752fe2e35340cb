"""No secret comes out by way of a managed file: in no output, and in no byte of what is kept."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.compiler.test_secrets_anywhere import (
    EXPRESSIONS,
    OUTPUTS,
    place,
    said,
    secrets,
    windows,
)
from tests.support.remote import Content

# How a template writes what comes of a value.
LINES = (
    "EE", "key = EE", "  - EE # fine", "fineEEfine", "<a>EE</a><b>EE</b>",
    "{% for c in (RR) | string %}EC\n{% endfor %}",
    "{% for c in (RR) | string %}c EC {% endfor %}", "{% for c in (RR) | string %}fine EC wine\n{% endfor %}",
    "{{ raise('no value for ' ~ (RR)) }}", "{{ pillar[(RR) | string] }}", "{{ (RR) + 1 }}",
    "{% include 'sub/' ~ (RR) ignore missing %}", "{% import_yaml '/srv/' ~ (RR) as x %}",
    "{{ salt['cp.get_file_str']('salt://' ~ (RR)) }}", "{{ salt['cmd.run'](RR) }}", "{% set fine = RR %}{{ fine }}",
    "{{ v }}", "{{ v | string | upper }} and EE", "{% do salt['test.' ~ (RR)]() %}", "{{ salt['own.f'](RR) }}",
)  # fmt: skip
WAYS = ("source", "contents", "append", "script", "recurse", "py", "contents_pillar", "accumulated")


def states(way: str, number: int, text: str, where: str) -> tuple[str, dict[str, Content]]:
    """The states for one template, and its file."""
    name, files = f"salt/t/f{number}", {f"salt/t/f{number}": text}
    own: dict[str, Any] = {"context": {"v": "VALUE", "own": "fine"}}
    function = "file.managed"
    if way == "contents":
        own, files = (
            {"contents": f"{{% raw %}}{text}{{% endraw %}}", "template": "jinja", **own},
            {},
        )
    elif way == "append":
        function, own = "file.append", {"source": f"salt://t/f{number}", **own}
    elif way == "script":
        function, own = "cmd.script", {"source": f"salt://t/f{number}", "template": "jinja", **own}
    elif way == "recurse":
        function, own = (
            "file.recurse",
            {"source": f"salt://t/f{number}", "template": "jinja", **own},
        )
        files = {f"{name}/inner": text}
    elif way == "py":
        own = {"source": f"salt://t/f{number}", "template": "py", **own}
        files = {
            name: "def run():\n    return repr(__pillar__) + '\\n' + '\\n'.join(str(__pillar__['plain']))\n"
        }
    elif way == "contents_pillar":
        own = {"contents_pillar": where.split("[")[0].replace(".", ":")}
    else:
        own = {"source": f"salt://t/f{number}", "template": "jinja", **own}
    sls = yaml.safe_dump({f"/etc/f{number}": {function: [{k: v} for k, v in own.items()]}})
    value = f"{{{{ pillar.{where} | string | yaml_dquote }}}}"
    sls = sls.replace("VALUE", value)
    if way == "accumulated":
        sls += f"a{number}:\n  file.accumulated:\n    - filename: /etc/f{number}\n    - text: [{value}]\n"
    return sls, files


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[Any], dict[str, Content], dict[str, Content]]:
    values = [[draw(secrets) for _ in range(4)] for _ in range(2)]
    places = st.sampled_from(("plain", "deep.list[1]", "lines", "deep.x.y"))
    drawn = st.tuples(st.sampled_from(EXPRESSIONS), places, st.sampled_from(WAYS))
    uses = [(line, *draw(drawn)) for line in LINES]
    sides = []
    for n, side in enumerate(values):
        plain, listed, lines, deep = side
        pillar = {
            "plain": plain,
            "deep": {"list": ["a", listed], "x": {"y": deep}},
            "lines": f"{lines}\nb\n",
        }
        files: dict[str, Content] = {
            "pillar/common.sls": yaml.safe_dump(pillar, allow_unicode=True),
            "pillar/top.sls": "base:\n  '*': [common]\n",
            "salt/_modules/own.py": "def f(x):\n    return [x, str(x)[:3]]\n",
        }
        top: dict[str, list[str]] = {}
        for number, (line, expression, where, way) in enumerate(uses):
            code = expression.replace("VV", f"pillar.{where}")
            text = (
                line.replace("EE", f"{{{{ {code} }}}}").replace("RR", code).replace("EC", "{{ c }}")
            )
            sls, more = states(way, number, f"first\nfine\n{text}\nlast {n}\n", where)
            files[f"salt/s{number % 4}/f{number}.sls"] = sls
            files.update(more)
            top.setdefault(f"prod-use{number % 4}", []).append(f"s{number % 4}.f{number}")
        files["salt/top.sls"] = yaml.safe_dump({"base": top})
        sides.append(files)
    return [v for side in values for v in side], sides[0], sides[1]


@settings(max_examples=2, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate),
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(trees())
def test_no_secret_comes_out_of_a_rendered_file(
    made: tuple[list[Any], dict[str, Content], dict[str, Content]],
) -> None:
    values, before, after = made
    forbidden = {window: value for value in values for window in windows(value)}
    fine: dict[str, Content] = {f"salt/use{n}.sls": "fine: test.nop\n" for n in range(4)}
    with place({**fine, **before}, after) as clone:
        texts = {" ".join(o): said(*o, "--config", clone.path) for o in OUTPUTS[:4]}
        assert '"contents"' in texts["diff side-master side-develop --json"]
        assert "+last 1" in texts["diff side-master side-develop"]
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
