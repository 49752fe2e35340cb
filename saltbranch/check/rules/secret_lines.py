"""Secrets that stand in running text: commands, addresses, configuration files, Jinja."""

from __future__ import annotations

import re
from collections.abc import Iterator

from saltbranch.check.rules.secret_words import is_name, is_strong

_COMMENT = re.compile(r"\s*(?:#|;|//|--\s|%%|\*\s|\{#|<!--|rem\s)", re.IGNORECASE)
# Examples and manuals are not configuration.
_PROSE = (".md", ".rst", ".txt", ".example", ".sample", ".dist", ".html", ".htm")

_SET = re.compile(r"\{%[-+]?\s*set\s+(\w+)\s*=\s*(['\"])((?:(?!\2).)+)\2")
_ASSIGNED = re.compile(
    r"""(?<![\w$/.-])(?:export\s+|set\s+|define\(\s*)?['"]?([\w.-]{2,60})['"]?\s*
        (?:=>|:=|==|=|:|,(?=\s*['"]))\s*(?:(['"])((?:(?!\2).)+)\2|([^\s'",;&()\[\]{}<]+)(?![(\[]))""",
    re.VERBOSE,
)
_QUERY = re.compile(
    r"[?&](?:api[_-]?key|access[_-]?token|auth[_-]?token|token|secret|password|passwd|sig)=([^&\s'\"<>]+)",
    re.IGNORECASE,
)
_OPTION = re.compile(
    r"""\b(?:mysql\w*|mariadb\w*|sshpass|smbclient)\b[^|;&\n]*?\s-p\s?([^\s'"|;&-][^\s'"|;&]{3,})
      | \s--?(?:password|passwd|pass|token|secret|api-key)[=\s]['"]?([^\s'"|;&-][^\s'"|;&]{3,})
      | \bcurl\b[^|;&\n]*?\s(?:-u|--user)\s*['"]?[\w.@-]+:([^\s'"|;&]{4,})
      | \bhtpasswd\s+-(?=\w*b)\w+\s+\S+\s+\S+\s+['"]?([^\s'"|;&]{4,})
      | \bAuthorization['"]?\s*[:=,]\s*['"]?(?:Bearer|Token|Basic)\s+([\w.~+/=-]{12,})""",
    re.VERBOSE,
)  # fmt: skip
_TOKENS = re.compile(
    r"""hooks\.slack\.com/services/T\w+/B\w+/\w{20,} | \bAIza[0-9A-Za-z_-]{35}\b | \bglpat-[\w-]{20,}
      | \bSG\.[\w-]{20,}\.[\w-]{20,} | \bgh[pousr]_[A-Za-z0-9]{36} | \bhvs\.[\w-]{24,}
      | \bdiscord(?:app)?\.com/api/webhooks/\d+/[\w-]{40,}""",
    re.VERBOSE,
)  # fmt: skip
# A command line, a connection string or the like is long; what is longer is not a line that somebody wrote.
_LONGEST = 2000


def is_comment(line: str) -> bool:
    """Whether a line is a comment in one of the usual languages."""
    return _COMMENT.match(line) is not None


def is_prose(path: str) -> bool:
    """Whether a file is an example or a manual by its name."""
    return path.lower().endswith(_PROSE)


def find(path: str, text: str, *, structured: bool) -> Iterator[tuple[int, str]]:
    """Line and what it is, for each line of `text` with a secret.

    structured: the values of keys are read as YAML by somebody else.
    """
    small = text.lower()
    if not any(word in small for word in _NEEDLES):
        return
    prose = is_prose(path)
    block = -1  # the indent of the key that a block of text belongs to
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.isspace():
            continue
        if structured:
            indent = len(line) - len(line.lstrip())
            if indent <= block:
                block = -1
            inside = block >= 0
            if not inside and _BLOCK.search(line):
                block = indent
        else:
            inside = True
        if _TOKENS.search(line[:_LONGEST]) is not None:
            yield number, "this looks like a secret (a token of a service)"
        elif not prose and not is_comment(line):
            what = _in_line(line[:_LONGEST], assigned=inside)
            if what is not None:
                yield number, what


_BLOCK = re.compile(r":\s*[|>][+-]?\d?\s*(?:#.*)?$")
# One of these stands in whatever _QUICK or _TOKENS finds, in small letters.
_NEEDLES = (
    "pass", "pwd", "pw", "secret", "token", "key", "-p", "psk", "sig=", "curl", "authorization",
    "hooks.slack.com/", "aiza", "glpat-", "sg.", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "hvs.", "discord",
)  # fmt: skip
_QUICK = re.compile(r"pass|pwd|pw\b|secret|token|key|-p|psk|sig=|curl|authorization", re.IGNORECASE)
_CONNECTION = re.compile(
    r"(?:^|[;\s'\"])(?:password|pwd)\s*=\s*([^;'\"\s&]+)\s*(?:;|['\"]?$)", re.IGNORECASE
)


def _in_line(line: str, *, assigned: bool) -> str | None:
    if _QUICK.search(line) is None:
        return None
    for name, _, value in _SET.findall(line):
        if is_name(name) and is_strong(value):
            return f"the variable {name[:60]!r} is set to a secret"
    return _in_words(line) or (_assigned(line) if assigned else None)


def _in_words(line: str) -> str | None:
    """A secret in an address, a command or a connection string."""
    if any(is_strong(match[1]) for match in _QUERY.finditer(line)):
        return "an address holds a secret"
    for match in _OPTION.finditer(line):
        if is_strong(next(filter(None, match.groups()))):
            return "a command line holds a password"
    if ";" in line and any(is_strong(match[1]) for match in _CONNECTION.finditer(line)):
        return "a connection string holds a password"
    return None


def _assigned(line: str) -> str | None:
    if "{%" in line or "{{" in line:
        return None
    for name, _, quoted, bare in _ASSIGNED.findall(line):
        if is_name(name) and is_strong(quoted or bare):
            return f"{name[:60]!r} is set to what looks like a secret"
    return None
