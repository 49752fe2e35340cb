"""The sls files and the sls texts of Salt's own tests, as input: nothing of them is in this repository."""

from __future__ import annotations

import ast
import hashlib
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

_STATE = re.compile(r"^\s+(- )?[a-z_0-9]+\.[a-z_0-9]+:?\s*(\[\])?$", re.MULTILINE)
_KEY = re.compile(r"^[\w{'\"./ -]+:( .*)?$", re.MULTILINE)
_JINJA = re.compile(r"\{[%{].*[%}]\}", re.DOTALL)
_PROGRAM = re.compile(r"^(import|from|def|class|async def|@pytest|    def) ?", re.MULTILINE)
_LARGEST = 20_000
_LARGEST_FILE = 1 << 18
BASE = "tests/integration/files/file/base"


def texts(source: Path) -> dict[str, str]:
    """The sls texts inside of the tests' Python files, by the first characters of their hash."""
    found: dict[str, str] = {}
    for path in sorted((source / "tests").rglob("*.py")):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = textwrap.dedent(node.value)
                if _is_sls(text):
                    found[f"t{hashlib.sha256(text.encode()).hexdigest()[:10]}"] = text
    return found


def _is_sls(text: str) -> bool:
    if "\n" not in text.strip() or len(text) > _LARGEST:
        return False
    if text.startswith("#!"):
        return not text.startswith(("#!/", "#!python"))
    if _PROGRAM.search(text):
        return False
    return bool(
        _STATE.search(text) or (_KEY.search(text) and (_JINJA.search(text) or "- " in text))
    )


def sls_files(root: Path) -> Iterator[str]:
    """What Salt calls the sls files below a folder."""
    for path in sorted(root.rglob("*.sls")):
        name = str(path.relative_to(root))[: -len(".sls")].replace("/", ".")
        yield name.removesuffix(".init")


def root_files(root: Path) -> dict[str, bytes]:
    """The files of a folder that are not large."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.stat().st_size < _LARGEST_FILE
    }
