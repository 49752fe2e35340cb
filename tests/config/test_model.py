"""saltbranch.yaml: what is read from it, and that nothing but ConfigError ever comes of it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from saltbranch.base.errors import ConfigError
from saltbranch.config import locate
from saltbranch.config.check import build_config
from saltbranch.config.keys import FileModel, SaltenvModel
from saltbranch.config.minions import Matcher
from saltbranch.config.model import Source, dirname
from saltbranch.config.read import parse_file, read_file
from saltbranch.git.program import branch_name_problem

WHOLE = """\
remote: git@git.example.com:ops/salt.git
root: /srv/sb
saltenvs:
  test:  {branch: develop, minions: ["test-*", {list: [web1, web2]}]}
  stage: {branch: stage, promote_from: test, minions: {pcre: "stage[0-9]+"}}
  prod:  {branch: release/prod, promote_from: stage, protected: true, minions: {nodegroup: prod}}
"""


def test_every_key_is_read() -> None:
    found = build_config(parse_file(WHOLE, "f"), "f")
    assert (found.remote, found.root) == ("git@git.example.com:ops/salt.git", "/srv/sb")
    assert (found.states_dir, found.pillar_dir) == ("salt", "pillar")
    assert (found.fetch_timeout, found.source) == (300, Source("f"))
    assert found.model_branch == "release/prod"
    test, stage, prod = found.saltenvs
    assert test.minions == (Matcher("glob", "test-*"), Matcher("list", "web1,web2"))
    assert (stage.promote_from, stage.protected) == ("test", False)
    assert (prod.branch, prod.dirname, prod.protected) == ("release/prod", "release_prod", True)
    assert found.checkout(prod) == "/srv/sb/checkouts/release_prod"


@pytest.mark.parametrize(
    ("written", "protected", "found"),
    [
        ("", "true", "top"),
        ("", "false", "off"),
        (", verify_switch: top", "false", "top"),
        (", verify_switch: fleet", "true", "fleet"),
        (", verify_switch: off", "true", "off"),  # a flag, for YAML
        (", verify_switch: 'off'", "true", "off"),
    ],
)
def test_protected_saltenvs_are_verified_unless_the_file_says_otherwise(
    written: str, protected: str, found: str
) -> None:
    entry = f"{{branch: b, minions: m, protected: {protected}{written}}}"
    (saltenv,) = build_config(
        parse_file(f"remote: /r\nsaltenvs: {{t: {entry}}}", "f"), "f"
    ).saltenvs
    assert saltenv.verify_switch == found


def test_saltenv_by_name_and_the_nearest_one() -> None:
    found = build_config(parse_file(WHOLE, "f"), "f")
    assert found.saltenv("prod").branch == "release/prod"
    with pytest.raises(ConfigError, match="no saltenv 'prd'") as caught:
        found.saltenv("prd")
    assert caught.value.hint == "did you mean 'prod'?"


def test_machine_and_model_may_live_apart() -> None:
    machine = parse_file("remote: /r\nroot: /a\nstates_dir: mine\n", "machine")
    model = parse_file(
        "remote: /other\nroot: /other\nstates_dir: theirs\nsaltenvs: {t: {branch: b, minions: [m]}}",
        "model",
    )
    source = Source("theirs", "main", "c" * 40, "b" * 40)
    found = build_config(machine, "machine", model, source=source)
    assert (found.remote, found.root, found.states_dir) == ("/r", "/a", "theirs")
    assert (found.source, found.model_branch) == (source, "main")


def test_keys_and_external_pillars_are_the_machines_own() -> None:
    machine = parse_file(
        "remote: /r\ngpg_keys: /etc/salt/gpgkeys/\next_pillar: [nodegroups]\n", "machine"
    )
    model = parse_file(
        "gpg_keys: /home/theirs\next_pillar: [cmd_yaml]\nsaltenvs: {t: {branch: b, minions: [m]}}",
        "model",
    )
    found = build_config(machine, "machine", model)
    assert (found.gpg_keys, found.ext_pillar) == ("/etc/salt/gpgkeys", ("nodegroups",))
    found = build_config(parse_file("remote: /r\n", "machine"), "machine", model)
    assert (found.gpg_keys, found.ext_pillar) == (None, ())


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("gpg_keys: gpgkeys", "gpg_keys: 'gpgkeys' is not an absolute path"),
        ("gpg_keys: /a/../b", "gpg_keys: '/a/../b' is not an absolute path"),
        ("gpg_keys: /", "gpg_keys cannot be /"),
        ("ext_pillar: ['../x']", "'../x' is not a name of an external pillar"),
    ],
)
def test_keys_and_names_that_cannot_be_used_are_refused(line: str, word: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(word)):
        build_config(parse_file(f"{WHOLE}{line}\n", "f"), "f")


def test_origin_counts_where_no_remote_is_named() -> None:
    text = "saltenvs: {t: {branch: b, minions: [m]}}"
    assert build_config(parse_file(text, "f"), "f", origin="/o").remote == "/o"
    assert build_config(parse_file(f"remote: /r\n{text}", "f"), "f", origin="/o").remote == "/r"
    with pytest.raises(ConfigError, match="f: no remote"):
        build_config(parse_file(text, "f"), "f")
    with pytest.raises(ConfigError, match="remote helper"):
        build_config(parse_file(text, "f"), "f", origin="ext::x")


def test_paths_are_normalised() -> None:
    text = WHOLE.replace("/srv/sb", "/srv//sb/./") + "states_dir: ./a//b/\npillar_dir: a/pillar\n"
    found = build_config(parse_file(text, "f"), "f")
    assert (found.root, found.states_dir, found.pillar_dir) == ("/srv/sb", "a/b", "a/pillar")


def test_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "saltbranch.yaml"
    for number in (1, 2):
        path.write_text(f"root: /{number}\n")
        assert read_file(str(path)).root == f"/{number}"


def test_merged_keys_are_no_duplicates() -> None:
    text = "saltenvs:\n  a: &a {branch: x, minions: [x]}\n  b:\n    <<: *a\n    branch: y\n"
    found = parse_file(text, "f")
    assert found.saltenvs and (found.saltenvs["b"].branch, found.saltenvs["b"].minions) == (
        "y",
        ["x"],
    )


# Whatever stands in the file

_WORDS = st.sampled_from(
    [
        "remote", "root", "states_dir", "saltenvs", "branch", "minions", "protected", "promote_from",
        "list", "pcre", "nodegroup", "fetch_timeout", ": ", ":\n  ", "\n", "\n  ", "- ", "[", "]", "{", "}", ", ",
        "'", '"', "&a ", "*a", "<<: ", "!!binary ", "!!set ", "!!omap ", "!!python/name:os.system ", "!!timestamp ",
        "? ", "|\n", ">\n ", "#", "%YAML 1.1\n", "---\n", "...\n", "2026-13-45", "0x_", "1e999", ".nan", "~", "0o9",
        "1:99:99", "yes", "\\ud800", "\t", "\0", "\ufeff", "\x85", "\u2028", "test", "/srv/x", "web*", "=", "!", "@",
        "`",
    ]
)  # fmt: skip
_YAMLISH = st.lists(st.one_of(_WORDS, st.text(max_size=5)), max_size=30).map("".join)


@given(_YAMLISH)
@example("fetch_timeout: 190:20:30.15")
@example("saltenvs: {? [a]: b}")
@example("saltenvs: {? {a: b} : c}")
@example("&a [*a]")
@example("a: &a {b: *a}")
@example("remote: !!binary '!'")
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_configuration_or_a_configuration_error(text: str) -> None:
    try:
        build_config(parse_file(text, "f"), "f", origin="/o")
    except ConfigError as err:
        assert err.message.startswith("f")
        assert len(err.message) < 5000


_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.binary(max_size=4),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
_KEYS = st.sampled_from(list(FileModel.__struct_fields__))
_ENTRY = st.dictionaries(st.sampled_from(list(SaltenvModel.__struct_fields__)), _VALUES)
_MODEL = st.dictionaries(_KEYS, _VALUES, max_size=4).flatmap(
    lambda data: st.dictionaries(st.text(max_size=5), _ENTRY, max_size=3).map(
        lambda saltenvs: {**data, "saltenvs": saltenvs}
    )
)


@given(_MODEL)
@settings(max_examples=80, deadline=None)
def test_any_values_are_a_configuration_or_a_configuration_error(data: dict[str, object]) -> None:
    try:
        found = build_config(parse_file(yaml.safe_dump(data), "f"), "f", origin="/o")
    except ConfigError as err:
        assert err.message.startswith("f")
        return
    assert all(s.branch and s.dirname for s in found.saltenvs)


@given(st.text())
@example("")
@example("..")
@example("a/../../b")
@example("n" * 300)
def test_folder_of_a_branch_is_one_safe_name(branch: str) -> None:
    name = dirname(branch)
    assert name not in ("", ".", "..") and not name.startswith(("-", "."))
    assert "/" not in name and "~" not in name and name.isascii() and name.isprintable()
    assert " " not in name
    assert len(os.fsencode(f"{name}~.saltbranch-new")) <= 255


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_plain_branches_keep_their_name(branch: str) -> None:
    if (
        branch_name_problem(branch) is None
        and branch.isascii()
        and branch.isalnum()
        and len(branch) <= 200
    ):
        assert dirname(branch) == branch


# Where the file and its root are


@pytest.mark.parametrize(
    "text",
    [
        "root: /a/b\n", "root:   /a/b/  # comment\n", "root: /a/b#no comment\n", "root : /a/b\n",
        "# root: /c\nroot: /a/b\n", "rooted: x\n", 'root: "/a/b"\n', "root: '/a/b'\n", '"root": /a/b\n',
        "{root: /a/b}\n", '{\n"root": "/a/b"}\n', "? root\n: /a/b\n", "root: &x /a/b\n", "root: !!str /a/b\n",
        "root: |\n  /a/b\n", "root: /a//b/../c\n", "root: relative\n", "root: ~\n", "\ufeffroot: /a/b\n",
        "remote: x\nroot: /a/b\nstates_dir: y\n", "--- {root: /a/b}\n", "remote: |\n  root: /c\nroot: /a/b\n", "",
        "%YAML 1.1\n---\nroot: /a/b\n", "remote:\n  root: /c\n", "root: /a b\n", "root: /a\tb\n", "root:/a\n",
    ],
)  # fmt: skip
def test_plain_look_for_the_root_never_sees_another_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "saltbranch.yaml"
    path.write_text(text)
    seen = locate.plain_root(str(path))
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError:
        return
    if seen is not None and isinstance(data, dict):
        assert seen == os.path.normpath(data.get("root") or "/srv/saltbranch")


def test_the_machines_file_is_never_that_of_the_clone_one_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = tmp_path / "system.yaml"
    monkeypatch.setattr(locate, "SYSTEM_FILE", str(system))
    (tmp_path / ".git").mkdir()
    (tmp_path / "saltbranch.yaml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no configuration of this machine: neither --config"):
        locate.machine_file(None, {})
    system.touch()
    assert locate.machine_file(None, {}) == str(system)
    assert locate.machine_file(None, {"SALTBRANCH_CONFIG": "/e.yaml"}) == "/e.yaml"
    found = locate.machine_file("mine.yaml", {"SALTBRANCH_CONFIG": "/e.yaml"})
    assert found == str(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("keys", "refused"),
    [
        ({"stage": {"mode": "fast-forward"}}, False),
        ({"stage": {"mode": "fast-forward", "saltenv_owned": ["conf"]}}, True),
        ({"stage": {"mode": "fast-forward"}, "test": {"saltenv_owned": ["conf"]}}, True),
        ({"stage": {"mode": "fast-forward"}, "prod": {"saltenv_owned": ["conf"]}}, False),
        ({"stage": {"mode": "merge", "saltenv_owned": ["conf"]}}, False),
    ],
)
def test_a_fast_forward_can_keep_no_path_of_the_target(
    keys: dict[str, dict[str, object]], refused: bool
) -> None:
    data = yaml.safe_load(WHOLE)
    for name, more in keys.items():
        data["saltenvs"][name].update(more)
    text = yaml.safe_dump(data)
    if not refused:
        build_config(parse_file(text, "f"), "f")
        return
    with pytest.raises(ConfigError, match="fast-forward does not go with saltenv_owned"):
        build_config(parse_file(text, "f"), "f")


@pytest.mark.parametrize(
    "path",
    ["pillar/prod/*", "pillar/p?od", "pillar/[p]rod", ":(icase)PILLAR", ":/pillar", ":!pillar", "!pillar", "^pillar",
     "pillar\\\\*", "/pillar", "pillar/../pillar/prod", "..", ".", "", "/"],
)  # fmt: skip
def test_an_owned_path_is_a_path(path: str) -> None:
    data = yaml.safe_load(WHOLE)
    data["saltenvs"]["prod"]["saltenv_owned"] = [path]
    with pytest.raises(ConfigError, match="saltenv_owned") as error:
        build_config(parse_file(yaml.safe_dump(data), "f"), "f")
    assert "pillar/prod" in error.value.hint


def test_an_owned_path_may_be_spelt_at_length() -> None:
    data = yaml.safe_load(WHOLE)
    data["saltenvs"]["prod"]["saltenv_owned"] = ["./pillar//prod/", "pillar/./new", "pillar/a (b)"]
    config = build_config(parse_file(yaml.safe_dump(data), "f"), "f")
    assert config.saltenv("prod").owned == ("pillar/prod", "pillar/new", "pillar/a (b)")


# Pushes by hand


def test_direct_pushes_are_reported_unless_the_model_says_otherwise() -> None:
    text = """
        saltenvs:
          test: {branch: develop, minions: [t]}
          stage: {branch: stage, minions: [s], promote_from: test}
          prod: {branch: master, minions: [p], promote_from: stage, direct_pushes: refuse}
    """
    found = build_config(
        parse_file("remote: /r\n", "machine"), "machine", parse_file(text, "model")
    )
    assert [s.direct_pushes for s in found.saltenvs] == ["allow", "report", "refuse"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("promote_from: a, direct_pushes: Refuse", "'Refuse' is unknown"),
        ("direct_pushes: report", "nothing is promoted to it"),
    ],
)
def test_direct_pushes_without_effect_are_an_error(keys: str, message: str) -> None:
    text = f"""
        saltenvs:
          a: {{branch: a, minions: [a]}}
          b: {{branch: b, minions: [b], {keys}}}
    """
    with pytest.raises(ConfigError, match="saltenvs.b.direct_pushes: " + message):
        build_config(parse_file("remote: /r\n", "machine"), "machine", parse_file(text, "model"))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("saltenvs:\n  test:\n    branch: develop\nbranch: x\n", "4: unknown key branch"),
        ("saltenvs:\n  test: {branch: a}\n  prod:\n    root: b\nroot: /x\n", "4: unknown key saltenvs.prod.root"),
        ("# flow:\n'flow':\n  ? \"branch\"\n  : 1\n", "3: unknown key flow.branch"),
        ("saltenvs: {test: {branch: a, follow: {\n tag: b}}}\n", "2: unknown key saltenvs.test.follow.tag"),
        ("x: &x {nope: 1}\nflow: {<<: *x}\n", "1: unknown key x"),
        ("flow: {<<: {nope: 1}}\n", "unknown key flow.nope"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_named_with_its_own_line(text: str, place: str) -> None:
    with pytest.raises(ConfigError, match=f"^f.yaml:?.?{re.escape(place)}$"):
        parse_file(text, "f.yaml")
