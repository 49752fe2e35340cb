"""A pillar file that is wrong: where and how is told, and nothing of what stands there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.hiding import Hider, Known, unhidden, words_of
from saltbranch.compiler.inside.mask import Mask
from saltbranch.salt_master import pillar_errors
from tests.actions.test_diff import Clone
from tests.check.test_highstates import clone, run_check  # noqa: F401 - a fixture
from tests.support.compiling import Lab, minion
from tests.support.remote import Content

WORD = "hunter2Secret9x"
TOP = "base:\n  '*':\n    - app\n"
BROKEN = {
    "alias": (f"name: *{WORD}\n", "YAML: an alias (`*`) of nothing", 1),
    "tag": (f"a: 1\nname: !{WORD}\n", "YAML: a tag (`!`) that Salt does not know", 2),
    "two marks": (f"name: !!{WORD} x\n", "YAML: a tag", 1),
    "handle": (f"name: !{WORD}!x y\n", "YAML: a tag", 1),
    "anchor": (f"name: &{WORD} x\ny: &{WORD} z\nz: *{WORD}x\n", "YAML: an a", 2),
    "colon": (f"name: {WORD}: x: y\n", "YAML: mapping values are not allowed here", None),
    "percent": (f"name: %{WORD}\n", "YAML: a character that no text without quotes begins with", None),
    "at": (f"name: @{WORD}\n", "YAML: a character that no text without quotes begins with", None),
    "bracket": (f"name: [{WORD}\n", "YAML: a list or mapping in brackets", None),
    "quote": (f"name: '{WORD}\n", "YAML: a quote that does not end", None),
    "bare line": (f"name: x\n{WORD}\nother: y\n", "YAML: a `:` is missing", None),
    "double key": (f"{WORD}: 1\n{WORD}: 2\n", "YAML: a key appears twice", None),
    "indent": (f"name:\n    a: {WORD}\n  b: {WORD}\n", "YAML: the indentation does not fit", None),
    "variable": (f"name: {{{{ {WORD} }}}}\n", "Jinja: something is undefined", 1),
    "attribute": (f"name: {{{{ grains.{WORD}.x }}}}\n", "Jinja: something is undefined", 1),
    "filter": (f"name: {{{{ 'x' | {WORD} }}}}\n", "Jinja: a filter or test", None),
    "statement": (f"{{% {WORD} %}}\n", "Jinja that cannot be parsed", None),
    "expression": (f"name: {{{{ 1 {WORD} }}}}\n", "Jinja that cannot be parsed", None),
    "raises": (f"name: {{{{ raise('{WORD}') }}}}\n", "Jinja", 1),
    "joined": ("{% set a = 'hunter2' ~ 'Secret9x' %}\nx: {{ raise(a) }}\n", "Jinja", 2),
    "python": (f"#!py\ndef run():\n    raise ValueError('{WORD}')\n", "Python: ValueError", 3),
    "own exception": (f"#!py\nclass {WORD}Error(Exception): pass\ndef run():\n"
                      f"    raise {WORD}Error('x')\n", "", None),
    "no python": (f"#!py\ndef run():\n    return {{'x': '{WORD}'\n", "Python", None),
    "key error": (f"#!py\ndef run():\n    return {{}}['{WORD}']\n", "Python: KeyError", 3),
    "list": (f"- {WORD}\n", "it does not come out as a mapping", None),
    "renderer": (f"#!{WORD}\nname: x\n", "its first line names a renderer", None),
}  # fmt: skip
FORMS = ("", "--json", "--sarif", "--junit", "--github")


def files(text: str) -> dict[str, Content]:
    return {
        "salt/top.sls": TOP,
        "salt/app.sls": "app:\n  test.nop: []\n",
        "pillar/top.sls": TOP,
        "pillar/app.sls": text,
    }


@pytest.mark.parametrize("name", BROKEN)
def test_compiling_tells_the_kind_and_the_place(tmp_path: Path, name: str) -> None:
    text, kind, line = BROKEN[name]
    result = Lab(tmp_path, files(text)).one(minion("m1"))
    said = "\n".join([*result.errors, *result.notes])
    assert result.result != "ok"
    assert WORD not in said and "hunter2" not in said
    [error] = [e for e in result.errors if e.startswith("pillar: ")]
    assert error.startswith("pillar: Rendering SLS 'app' failed: ") and kind in error
    if line is not None:
        assert error.endswith(f"; line {line}")


def test_no_form_of_check_tells_more(clone: Clone) -> None:  # noqa: F811
    """Each mistake is in a file of its own, which one minion has."""
    for number in range(len(BROKEN)):
        clone.minion(f"test-{number}")
    top = {f"test-{number}": [f"b{number}"] for number in range(len(BROKEN))}
    texts = {f"pillar/b{number}.sls": text for number, (text, _, _) in enumerate(BROKEN.values())}
    clone.commit({"pillar/top.sls": json.dumps({"base": top}), **texts})
    for words in (["--static", "--json"], ["--no-cache", "--json"]):
        ran = run_check(clone, "test", *words)
        assert WORD not in ran.out + ran.err, words
    findings = json.loads(ran.out)["refs"][0]["findings"]
    assert ran.code == 3 and set(texts) <= {found["file"] for found in findings}
    for form in FORMS:
        assert WORD not in run_check(clone, "test", *filter(None, [form])).out


def test_the_place_of_a_mistake_is_told_without_compiling(clone: Clone) -> None:  # noqa: F811
    clone.commit({"pillar/app.sls": BROKEN["tag"][0]})
    out = run_check(clone, "test", "--static").out
    assert "pillar/app.sls:2: error yaml-syntax YAML: a tag (`!`) that Salt does not know" in out


def told(error: str, whole: str) -> str:
    """What is told where only the name x is public."""
    return pillar_errors.told(error, whole, lambda sls: sls == "x", lambda _: None)


@given(st.text(st.characters(categories=("L", "N", "P")), min_size=6, max_size=30))
def test_no_word_of_an_error_comes_through(word: str) -> None:
    known = told("Rendering SLS 'x' failed, render error:", "") + " ".join(
        kind for _, kind in pillar_errors._KINDS
    )
    for text in (
        f"Rendering SLS 'x' failed, render error: {word}; line 3",
        f"Rendering SLS 'x' failed, render error: found undefined alias '{word}'",
        f"Rendering Primary Top file failed, render error: {word}",
        f"{word}",
    ):
        said = told(text, text)
        assert word not in said or word in known or word in "; line 3 Python: ValueError"
    name = word.replace("'", "")
    missing = f"Specified SLS '{name}' in environment 'x' is not available on the salt master"
    if name not in ("", "x"):
        assert told(missing, missing) == missing.replace(f"'{name}'", "'***'")
    assert pillar_errors.told(missing, missing, lambda _: True, lambda _: None) == missing


# What is public is shown


PUBLIC: dict[str, Content] = {
    "salt/top.sls": "base:\n  '*':\n    - gone\n    - consul.agent\n",
    "salt/app.sls": "{{ salt['postgres.no_such']() }}\n",
    "pillar/top.sls": TOP,
    "pillar/app.sls": f"db: postgres\nkind: consul\nother: agent\nsecret: {WORD}\n"
    "hidden: pillaronlyword\n",
}


def test_words_of_the_states_show_in_errors_though_the_pillar_has_them_too(tmp_path: Path) -> None:
    lab = Lab(tmp_path, PUBLIC)
    said = lab.one(minion("m1"), plain=False).error or ""
    assert "'consul.agent'" in said and "'gone'" in said and "***" not in said
    lab.commit({"salt/top.sls": TOP, "salt/app.sls": "{{ grains.postgres.x }}\n"})
    said = lab.one(minion("m1"), plain=False).error or ""
    assert "postgres" in said and "***" not in said
    lab.commit(
        {"salt/app.sls": "{{ raise(pillar.db ~ ' ' ~ pillar.hidden ~ ' ' ~ pillar.secret) }}\n"}
    )
    # `postgres` stands in the pillar alone by now.
    said = lab.one(minion("m1"), plain=False).error or ""
    assert "*** *** ***" in said and WORD not in said and "pillaronlyword" not in said


def test_a_word_of_either_side_is_public_for_both(clone: Clone) -> None:  # noqa: F811
    text = "{% set x = 'postgres' %}\napp:\n  test.nop: []\n"
    raises = "{{ raise('no ' ~ pillar.db) }}\n"
    pillar = "name: x\ndb: postgres\n"
    clone.commit({"salt/app.sls": raises, "pillar/app.sls": pillar}, "develop")
    clone.commit({"salt/app.sls": text, "pillar/app.sls": pillar}, "master")

    def said_of() -> str:
        return "\n".join(
            m.error or ""
            for m in clone.diff(*map(clone.remote.head, ("master", "develop"))).minions
        )

    said = said_of()
    assert "no postgres" in said
    # Once neither has it, it is hidden, also in what was kept from before.
    clone.commit({"salt/app.sls": "app:\n  test.nop: []\n"}, "master")
    said = said_of()
    assert "no ***" in said and "no postgres" not in said


def test_what_a_parser_leaves_of_a_value_is_hidden_too(tmp_path: Path) -> None:
    for value in (f"*{WORD}", f"!{WORD}", f"&{WORD} x", f"%{WORD}", f"x: {WORD}: y", f"@{WORD}"):
        lab = Lab(tmp_path / value[:2].replace(":", "c"), {
            **PUBLIC,
            "salt/top.sls": TOP,
            "salt/app.sls": "a:\n  test.nop:\n    - name: {{ pillar.v }}\n",
            "pillar/app.sls": f"v: '{value}'\n",
        })  # fmt: skip
        assert WORD not in (lab.one(minion("m1"), plain=False).error or "")


@given(st.text(), st.lists(st.text(min_size=4), max_size=5))
def test_hiding_and_showing(text: str, secrets: list[str]) -> None:
    mask = Mask(b"k" * 32)
    said = unhidden(Hider(mask, Known(), frozenset(secrets)).hide(text), lambda _: None)
    assert "\0" not in said
    assert not [word for word in words_of(said) if len(word) >= 4 and word.isalnum()]
    everything = {mask.digest(word): word for word in (*words_of(text), *secrets)}
    shown = unhidden(Hider(mask, Known(), frozenset()).hide(text), everything.get)
    assert shown == text.replace("\0", "") or "***" in shown  # short ones in a row


# A file of the pillar that wants to be believed


def test_what_a_pillar_calls_errors_is_not_salts(tmp_path: Path) -> None:
    for text in (
        f"_errors: ['Failed to load ext_pillar {WORD}']\nx: y\n",
        f"_errors: [\"Specified SLS '{WORD}' in environment 'x' is not available on the salt master\"]\nx: y\n",
        f"_errors: {WORD}\nx: y\n", f"#!py\ndef run():\n    return {{'_errors': ['{WORD}'], 'x': 'y'}}\n",
    ):  # fmt: skip
        lab = Lab(tmp_path / str(len(text)), files(text))
        result = lab.one(minion("m1"))
        assert result.errors == (
            "pillar: it has a key `_errors`, which Salt takes for its own errors",
        )
        assert result.plain_pillar == {"x": "y"}
        assert lab.salts_own([minion("m1")])["m1"]["pillar"]["_errors"]  # and stops the highstate


def test_a_missing_file_is_named_as_it_is_written_down_and_no_other(tmp_path: Path) -> None:
    for text, named in (
        ("include:\n  - gone.one\n", "gone.one"), ("include: [gone.one, 'x']\n", "gone.one"),
        ("include:\n  # all\n\n  - 'gone.one'\n  - two:\n      key: x\n", "two"),
        (f"{{% set x = '{WORD}' %}}\ninclude: [gone.{{{{ x }}}}]\n", "***"),
        (f"{{% set x = '{WORD}' %}}\nlist:\n  - {WORD}\ninclude: [{{{{ x }}}}]\n", "***"),
    ):  # fmt: skip
        lab = Lab(tmp_path / str(abs(hash(text))), files(text))
        cache = CompileCache(str(tmp_path / "cache"))
        said = lab.one(minion("m1"), plain=False, cache=cache).error or ""
        assert f"Specified SLS '{named}' in environment" in said and WORD not in said
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and WORD in p.read_text()]


def test_what_a_pillar_file_tries_is_named_by_what_is_public(tmp_path: Path) -> None:
    for text in (
        f"#!py\ndef run():\n    open('/root/{WORD}').read()\n",
        f"{{% import_yaml '/srv/{WORD}' as x %}}\nx: {{{{ x }}}}\n",
        f"#!py\ndef run():\n    open('/root/{WORD}', 'w')\n",
    ):
        result = Lab(tmp_path / str(abs(hash(text))), files(text)).one(minion("m1"), plain=False)
        said = "\n".join([*result.errors, *result.notes])
        assert WORD not in said and result.errors
        if "/root" in text:
            assert "code of the branch tried to " in said


TOPS = (
    ("base:\n{{ raise('x') }}\n", 2), ("base:\n  '*':\n    - [app\n", 3), ("base:\n  '*':\n    - *x\n", 3),
    ("base:\n  '*':\n    - {{ x.y }}\n", 3), ("base:\n\n", None), ("- x\n", None), ("x\n", None),
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(TOPS)))
def test_a_place_is_a_line_of_the_file(tmp_path: Path, number: int) -> None:
    text, line = TOPS[number]
    lab = Lab(tmp_path, {**files("x: y\n"), "pillar/top.sls": text})
    errors = lab.one(minion("m1"), plain=False).errors
    places = [int(e.rpartition("; line ")[2]) for e in errors if "; line " in e]
    assert places == ([line] if line else [])


def test_functions_that_only_a_pillar_file_names_are_not_named(clone: Clone) -> None:  # noqa: F811
    text = f"a: {{{{ salt['cmd.{WORD}']() }}}}\nb: {{{{ salt['cmd.run']('id') }}}}\nc: {{{{ salt.state.{WORD}() }}}}\n"
    clone.commit({"pillar/app.sls": text})
    for form in FORMS:
        out = run_check(clone, "test", "--static", *filter(None, [form])).out
        assert WORD not in out
        assert "rendering calls a function of cmd on the master" in out
        assert "rendering calls cmd.run on the master" in out
    clone.commit(
        {"pillar/app.sls": f"#!py\nimport subprocess.{WORD}\ndef run():\n    return {{}}\n"}
    )
    out = run_check(clone, "test", "--static").out
    assert "the Python module subprocess on the master" in out and WORD not in out


def test_an_id_with_an_expression_is_shown_as_one(clone: Clone) -> None:  # noqa: F811
    clone.commit({"salt/app.sls": "app-{{ grains.os }}: [1]\nb-{{ grains.os }}: text\n"})
    out = run_check(clone, "test", "--static").out
    assert "'app-{{...}}' holds no state" in out and "\\ue0" not in out


def test_a_recorded_answer_does_not_make_a_pillar_value_public(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {
        **PUBLIC, "salt/top.sls": TOP,
        "salt/app.sls": "{{ raise(pillar.secret ~ ' ' ~ salt['status.version']().free) }}\n",
    })  # fmt: skip
    answer = {"one": f"at {WORD}", "free": "recordedword7x"}
    who = minion("m1", returns={"status.version": answer})
    said = lab.one(who, plain=False).error or ""
    assert WORD not in said and "*** recordedword7x" in said
