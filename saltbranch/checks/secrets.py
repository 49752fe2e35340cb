"""Secrets in plain text. What was found is never shown, only where, and what kind it is.

Ciphertext (PGP messages, git-crypt, ansible-vault, NaCl) and references (vault, sdb, pillar lookups)
are what secrets should look like, and no findings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from saltbranch.checks import Finding, Severity, rules
from saltbranch.checks.nodes import line_of, text_of, walk
from saltbranch.checks.project import Source, Tools
from saltbranch.checks.template import literal

_LONGEST_LINE = 4096
_CIPHER_BEGIN = re.compile(r"-----BEGIN (PGP (?!PRIVATE)[A-Z ]+|AGE ENCRYPTED FILE)-----")
_CIPHER_END = re.compile(r"-----END (PGP [A-Z ]+|AGE ENCRYPTED FILE)-----")
_KEY_NAMES = re.compile(
    r"(?:^|[_.-])(?:pass(?:word|wd|phrase)?|pwd|secret|token|api_?key|apikey|auth_?key|secret_?key"
    r"|private_?key|access_?key|client_?secret|credentials?|psk|preshared_?key|community)$",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(
    r"""(?:true|false|yes|no|on|off|none|null|absent|present|locked|[!*x.#-]+|\d{1,4})?$
      | (?:vault|sdb|aws|env|file|https?|salt|pillar|gpg)://?|vault:|\$ANSIBLE_VAULT|NACL\[|ENC\[
      | ENC\(|\$\(|\$\{|%\(|<|__slot__:|/|~/|ssh-(?:rsa|ed25519|dss)\s|ecdsa-sha2
      | \$(?:1|2[aby]|5|6|y|argon2\w*)\$ | \{(?:SSHA|CRYPT|SHA)\d*\} | -----BEGIN\ (?:PGP\ MESSAGE|PUBLIC|CERT)
      | (?:change|replace)[-_ ]?me|example|placeholder|dummy|fake|redacted""",
    re.IGNORECASE | re.VERBOSE,
)  # fmt: skip


def check_file(source: Source, tools: Tools) -> Iterator[Finding]:
    """The secrets of one file, at most one for a line."""
    text = without_ciphertext(source.text or "")
    lines = text.split("\n")
    allowed = {n for n, line in enumerate(lines, 1) if "pragma: allowlist secret" in line}
    allowed |= {
        n + 1 for n, line in enumerate(lines, 1) if "pragma: allowlist nextline secret" in line
    }
    found: dict[int, tuple[Severity, str]] = {}
    for line, what in _named(source):
        found.setdefault(line, ("error", what))
    for line, what, severity in tools.secrets(source.path, text):
        if line not in found or severity == "error":
            found.setdefault(line, (severity, what))
    for line, (severity, what) in sorted(found.items()):
        if line not in allowed:
            content = lines[line - 1].strip() if 0 < line <= len(lines) else ""
            yield rules.SECRET.at(source.path, line, what, severity=severity, content=content)


def without_ciphertext(text: str) -> str:
    """`text` with PGP messages and over-long lines emptied; lines keep their numbers."""
    out, inside = [], False
    for line in text.split("\n"):
        begins = _CIPHER_BEGIN.search(line) is not None
        ends = _CIPHER_END.search(line) is not None
        hidden = inside or begins
        inside = (inside or begins) and not ends
        out.append("" if hidden else line[:_LONGEST_LINE])
    return "\n".join(out)


def _named(source: Source) -> Iterator[tuple[int, str]]:
    """Values of keys that are called password, token and the like."""
    gpg = "gpg" in source.renderers
    for path, node in walk(source.root):
        value = text_of(node)
        if not path or value is None or not literal(value) or not _KEY_NAMES.search(path[-1]):
            continue
        if len(value) < 4 or _NO_SECRET.match(value.strip()):
            continue
        if gpg and "BEGIN PGP MESSAGE" in value:
            continue
        yield line_of(node), f"the value of the key {path[-1][:60]!r} stands there in plain text"
