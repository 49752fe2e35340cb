"""How many arguments may be told apart by their place alone: a sixth is easily taken for the fifth."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support.modules import MODULES

MOST = 5

# Signatures that others call, or that stand in for others'.
INTERFACES = {
    "ext.runners.",  # what salt-run takes
    "compiler.inside.salt_patches",  # Salt's own functions
}
# Calls of what is not ours, or of a command line.
FOREIGN = {"_call", "_bound", "_real", "real", "shebang", "out", "run", "_plain", "_say"}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All of them, those inside of others, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_option(argument: ast.arg) -> bool:
    """Whether it is an option or an argument of a command line, which typer passes by name."""
    text = ast.unparse(argument.annotation) if argument.annotation else ""
    return text.startswith("Annotated[") or text.split(" ")[0].endswith(("Option", "Argument"))


def positional(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """The parameters that a caller may give by their place."""
    found = [*function.args.posonlyargs, *function.args.args]
    if found and found[0].arg in ("self", "cls"):
        found = found[1:]
    return [argument.arg for argument in found if not is_option(argument)]


def called(node: ast.Call) -> str:
    """The last name of what is called."""
    return ast.unparse(node.func).rpartition(".")[2]


@pytest.mark.parametrize("module", MODULES)
def test_nobody_has_to_count_arguments(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text())
    if not any(module == name or module.startswith(name) for name in INTERFACES):
        for function in functions(tree):
            names = positional(function)
            assert len(names) <= MOST, f"{module}.{function.name}: {', '.join(names)}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) not in FOREIGN:
            assert len(node.args) <= MOST, f"{module}:{node.lineno} {called(node)}"


def test_the_check_finds_what_it_is_for() -> None:
    text = "def f(self, a, b, c, d, e, g): ...\ndef h(a, *, b, c, d, e, f): ...\n"
    assert [len(positional(f)) for f in functions(ast.parse(text))] == [6, 1]
