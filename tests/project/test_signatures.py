"""How many arguments may be told apart by their place alone: a sixth is easily taken for the fifth."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from tests.support.modules import MODULES, nodes

MOST = 5

# Signatures that others call, or that stand in for others'.
INTERFACES = {
    "ext.runners.",  # what salt-run takes
    "compiler.inside.salt_patches",  # Salt's own functions
}
# Calls of what is not ours, or of a command line.
FOREIGN = {"_call", "_bound", "_real", "real", "shebang", "out", "run", "_plain", "_say"}


def functions(
    of: Iterable[ast.AST],
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All of them, those inside of others, too."""
    for node in of:
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


def test_nobody_has_to_count_arguments() -> None:
    wrong = []
    for module in MODULES:
        found = nodes(module)
        if not any(module == name or module.startswith(name) for name in INTERFACES):
            for function in functions(found):
                names = positional(function)
                if len(names) > MOST:
                    wrong.append(f"{module}.{function.name}: {', '.join(names)}")
        for node in found:
            if isinstance(node, ast.Call) and len(node.args) > MOST and called(node) not in FOREIGN:
                wrong.append(f"{module}:{node.lineno} {called(node)}")
    assert wrong == []


def test_the_check_finds_what_it_is_for() -> None:
    text = "def f(self, a, b, c, d, e, g): ...\ndef h(a, *, b, c, d, e, f): ...\n"
    assert [len(positional(f)) for f in functions(ast.walk(ast.parse(text)))] == [6, 1]
