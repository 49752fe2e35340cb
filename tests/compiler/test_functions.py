"""Execution functions: which are really called, what the others answer, and what is not there."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import salt.loader

from saltbranch.compiler import functions, read_only_functions
from saltbranch.compiler.inside import answer_types, neutral, neutral_hint

MODULES = Path(salt.loader.SALT_BASE_PATH) / "modules"
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "functions.md"


def _salts() -> dict[str, list[ast.arguments]]:
    """Every public function of Salt's modules, under its virtual name, with its parameters."""
    found: dict[str, list[ast.arguments]] = {}
    for path in [*MODULES.glob("*.py"), *MODULES.glob("*/__init__.py")]:
        tree = ast.parse(path.read_text())
        virtual, alias = path.stem if path.stem != "__init__" else path.parent.name, {}
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if name == "__virtualname__" and isinstance(node.value, ast.Constant):
                    virtual = str(node.value.value)
                elif name == "__func_alias__":
                    alias = ast.literal_eval(node.value)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name[0] != "_":
                found.setdefault(f"{virtual}.{alias.get(node.name, node.name)}", []).append(
                    node.args
                )
    return found


SALTS = _salts()


def _parameters(arguments: ast.arguments) -> dict[str, bool]:
    """Name of each parameter, and whether it has a default."""
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    given = [False] * (len(names) - len(arguments.defaults)) + [True] * len(arguments.defaults)
    inner = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return {**dict(zip(names, given, strict=True)), **{a.arg: d is not None for a, d in inner}}


@pytest.mark.parametrize("name", functions.TABLE)
def test_every_function_in_the_table_is_one_of_salts(name: str) -> None:
    assert name in SALTS
    for parameter in functions.TABLE[name].needs:
        for arguments in SALTS[name]:
            assert parameter in _parameters(arguments), f"{name} has no {parameter}"


def test_what_computes_once_an_argument_is_given_does_not_ask_for_it() -> None:
    """Were it required, naming it in the table would say nothing."""
    for name, entry in functions.TABLE.items():
        if entry.kind == "computes":
            for parameter in entry.needs:
                assert all(_parameters(a)[parameter] for a in SALTS[name]), (name, parameter)


def test_each_function_is_in_one_class() -> None:
    names = [word.partition("(")[0] for _, _, words in functions.groups() for word in words]
    assert len(names) == len(set(names)) == len(functions.TABLE)
    for name in functions._VALUES:
        assert not functions.TABLE[name].runs or functions.TABLE[name].needs, name


def test_what_a_value_is_changed_to_changes_it_for_nobody_else() -> None:
    _, value = functions.value_of("cmd.run_all")
    value["retcode"] = 1
    assert functions.value_of("cmd.run_all")[1]["retcode"] == 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [("mount.active", dict), ("disk.usage", dict), ("status.uptime", dict), ("network.get_fqdn", str),
     ("network.active_tcp", dict), ("git.list_branches", list), ("hosts.has_pair", bool), ("hosts.get_ip", str),
     ("network.ip_addrs", list), ("cmd.run", str), ("user.list_groups", list), ("ps.num_cpus", int)],
)  # fmt: skip
def test_a_neutral_answer_is_of_the_type_that_salts_source_gives(name: str, kind: type) -> None:
    module, _, function = name.partition(".")
    found = _module({"cmd": "cmdmod", "user": "useradd"}.get(module, module))
    value = answer_types.neutral_of(function, found[function])
    assert type(value) is kind and not value


def _module(name: str) -> dict[str, Any]:
    module = __import__(f"salt.modules.{name}", fromlist=["_"])
    return dict(inspect.getmembers(module, inspect.isfunction))


def test_a_name_tells_the_type_where_there_is_no_source() -> None:
    for name, value in (("list_things", []), ("is_it", False), ("info", {}), ("whatever", "")):
        assert answer_types.neutral_of(name, None) == value


def test_the_reference_has_the_whole_table() -> None:
    text = REFERENCE.read_text()
    for kind, why, words in functions.groups():
        section = re.search(rf"^\| {kind} \| {re.escape(why)} \| (.*) \|$", text, re.MULTILINE)
        assert section, f"{REFERENCE.name} does not have: {kind}, {why}"
        assert section[1].split(", ") == [f"`{word}`" for word in words]
    assert len(re.findall(r"^\| (?:computes|reads|asks|acts) \|", text, re.MULTILINE)) == len(
        list(functions.groups())
    )


def test_the_reference_has_what_minions_are_asked_for() -> None:
    rows = [line for line in REFERENCE.read_text().splitlines() if line.startswith("| ")]
    for why, words in read_only_functions.groups():
        assert f"| {why} | {', '.join(f'`{word}`' for word in words)} |" in rows


def test_an_error_after_a_neutral_answer_says_how_to_settle_it() -> None:
    asked = {
        ('network.ip_addrs("eth0")', "states app"): "network.ip_addrs",
        ('cmd.run("hunter2")', "pillar app"): "cmd.run",
        ("mine.get()", "states other"): "mine.get",
    }
    error = "Rendering SLS 'test:app' failed: Jinja error: list index out of range; line 3"
    text = neutral_hint.settled(error, asked)
    assert text.endswith("; line 3") and "mine.get" not in text
    assert 'network.ip_addrs("eth0") answered neutrally' in text
    assert r'returns: {"network.ip_addrs(\"eth0\")": ...}' in text
    pillar = neutral_hint.settled("pillar: Rendering SLS 'app' failed: YAML; line 1", asked)
    assert "returns: {cmd.run: ...}" in pillar and "hunter2" not in pillar
    assert neutral_hint.settled("No matching sls found for 'x' in env 'test'", asked).endswith(
        "'test'"
    )


def test_a_call_that_was_written_down_is_read_back() -> None:
    for args, kwargs in (
        ((), {}), (("eth0",), {}), ((1, "a, b", ["x", {"k": 'q"(='}]), {"cidr": True, "z": None}),
        (("name=1",), {"b": "=)"}),
    ):  # fmt: skip
        text = neutral.call("mod.fun", args, kwargs)
        assert neutral.parsed(text) == ("mod.fun", list(args), kwargs)
    for text in ("mod.fun", "mod.fun(", "mod.fun(x)", 'mod.fun("a" "b")', 'mod.fun("a"'):
        assert neutral.parsed(text) is None
