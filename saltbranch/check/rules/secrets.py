"""Secrets in plain text. What was found is never shown, only where, and what kind it is.

Ciphertext (PGP messages, git-crypt, ansible-vault, NaCl) and references (vault, sdb, pillar lookups)
are what secrets should look like, and no findings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from saltbranch.check import catalogue as rules
from saltbranch.check.finding import Finding, Severity
from saltbranch.check.project import Source, Tools
from saltbranch.check.rules import secret_lines
from saltbranch.check.rules.secret_words import is_name, is_strong, is_value
from saltbranch.check.template import literal
from saltbranch.check.yaml_nodes import line_of, pairs, text_of, walk

_LONGEST_LINE = 4096
_CIPHER_BEGIN = re.compile(r"-----BEGIN (PGP (?!PRIVATE)[A-Z ]+|AGE ENCRYPTED FILE)-----")
_CIPHER_END = re.compile(r"-----END (PGP [A-Z ]+|AGE ENCRYPTED FILE)-----")


def check_file(source: Source, tools: Tools) -> Iterator[Finding]:
    """The secrets of one file, at most one for a line."""
    text = without_ciphertext(source.text or "")
    lines = text.split("\n")
    allowed = set(_allowed(lines)) if "pragma: allowlist" in text else set()
    found: dict[int, tuple[Severity, str]] = {}
    for line, what, severity in _named(source):
        found.setdefault(line, (severity, what))
    # Of a file that is no YAML, or whose YAML only rendering shows, every line is looked at.
    for line, what in secret_lines.find(source.path, text, structured=source.root is not None):
        found.setdefault(line, ("warning", what))
    for line, what, severity in tools.secrets(source.path, text):
        if line not in found or severity == "error":
            found.setdefault(line, (severity, what))
    for line, (severity, what) in sorted(found.items()):
        if line not in allowed:
            content = lines[line - 1].strip() if 0 < line <= len(lines) else ""
            yield rules.SECRET.at(source.path, line, what, severity=severity, content=content)


def _allowed(lines: list[str]) -> Iterator[int]:
    for number, line in enumerate(lines, 1):
        if "pragma: allowlist secret" in line:
            yield number
        if "pragma: allowlist nextline secret" in line:
            yield number + 1


def without_ciphertext(text: str) -> str:
    """`text` with PGP messages emptied and long lines cut; lines keep their numbers."""
    if "-----BEGIN" not in text and (
        len(text) <= _LONGEST_LINE or all(len(line) <= _LONGEST_LINE for line in text.split("\n"))
    ):
        return text
    out, inside = [], False
    for line in text.split("\n"):
        begins = _CIPHER_BEGIN.search(line) is not None
        ends = _CIPHER_END.search(line) is not None
        hidden = inside or begins
        inside = (inside or begins) and not ends
        out.append("" if hidden else line[:_LONGEST_LINE])
    return "\n".join(out)


def _named(source: Source) -> Iterator[tuple[int, str, Severity]]:
    """Values of keys that are called password, token and the like."""
    if source.name == "top.sls":
        return  # its keys are targets
    for path, node in walk(source.root):
        value = text_of(node)
        if value is None:
            yield from _entry(node)
            continue
        # An item of a list has the path of the list.
        if not path or not literal(value) or not is_name(path[-1]):
            continue
        if is_value(value) and "BEGIN PGP MESSAGE" not in value:
            what = f"the value of the key {path[-1][:60]!r} is in plain text"
            yield line_of(node), what, "error" if is_strong(value) else "warning"


def _entry(node: yaml.Node) -> Iterator[tuple[int, str, Severity]]:
    """{name: X_API_KEY, value: ...}, the way containers take their environment."""
    known = {key: value for key, _, value in pairs(node)}
    name, value = text_of(known.get("name")), text_of(known.get("value"))
    if name and value and literal(value) and is_name(name) and is_strong(value):
        what = f"the value beside the name {name[:60]!r} is in plain text"
        yield line_of(known["value"]), what, "error"
