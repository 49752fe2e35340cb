"""Other projects' scanners, given text and asked for places: salt-lint and detect-secrets.

Both read files by path of their own accord; here they get text of a commit. Neither reads the
configuration of the current folder, loads rules from a branch, or asks a network.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from saltbranch.check.finding import Severity
from saltbranch.check.rules.secret_lines import is_comment, is_prose
from saltbranch.check.rules.secret_words import is_value

# Detectors of a token with a form of its own. Left out are those that take any word for one
# (keywords, high entropy), which were wrong more often than right, and those that look at addresses.
_DETECTORS = (
    "ArtifactoryDetector AWSKeyDetector AzureStorageKeyDetector BasicAuthDetector CloudantDetector"
    " DiscordBotTokenDetector GitHubTokenDetector GitLabTokenDetector IbmCloudIamDetector"
    " IbmCosHmacDetector JwtTokenDetector MailchimpDetector NpmDetector OpenAIDetector"
    " PrivateKeyDetector PypiTokenDetector SendGridDetector SlackDetector SoftlayerDetector"
    " SquareOAuthDetector StripeDetector TelegramBotTokenDetector TwilioKeyDetector"
).split()
# What these find is an example as often as not.
_DOUBTFUL = frozenset({"BasicAuthDetector", "PrivateKeyDetector"})
# No detector takes a line without one of these: a long run of such letters, a name in an address, a key's head.
_MAYBE = re.compile(r"[A-Za-z0-9_-]{12}|://[^\s]*@|BEGIN|PuTTY|xox")
# A public key of SSH's: in base64 the length of its kind comes first (RFC 4253, 6.6).
_PUBLIC_KEY = re.compile(r"AAAA[A-Z][A-Za-z0-9+/]{40,}={0,3}")
_SAMPLE_ADDRESS = re.compile(
    r"@(?:[\w-]+\.)*(?:example|invalid|test|host(?:name)?|domain)\b", re.IGNORECASE
)


@functools.lru_cache(maxsize=1)
def _lint_rules() -> list[Any]:
    from saltlint.config import Configuration, default_rulesdir
    from saltlint.linter.collection import RulesCollection

    # /dev/null: not the `.salt-lint` of the folder that somebody stands in.
    configuration = Configuration({"c": "/dev/null"})
    found = list(RulesCollection.create_from_directory(default_rulesdir, configuration))
    # 205 is about files without .sls, and would find every template.
    return sorted((rule for rule in found if rule.id != "205"), key=lambda rule: str(rule.id))


def lint(path: str, text: str) -> Iterator[tuple[int, str, str, str]]:
    """What salt-lint finds in `text`: line, rule, its grade, message."""
    file = {"path": path, "type": "state" if path.endswith(".sls") else "jinja"}
    for rule in _lint_rules():
        for match in (*rule.matchlines(file, text), *rule.matchfulltext(file, text)):
            yield (
                int(match.linenumber),
                str(rule.id),
                str(rule.severity),
                str(match.message or rule.shortdesc),
            )


@functools.lru_cache(maxsize=1)
def _detectors() -> list[Any]:
    """The detectors alone: with its settings the library would read files, and might ask a network."""
    from detect_secrets.core.plugins.initialize import from_plugin_classname

    return [from_plugin_classname(name) for name in _DETECTORS]


def _may_find(plugin: Any, text: str) -> bool:
    """Whether some line of `text` may match, told by a look at the whole of it."""
    return any(_is_anchored(rule.pattern) or rule.search(text) for rule in plugin.denylist)


@functools.lru_cache(maxsize=1000)
def _is_anchored(pattern: str) -> bool:
    """Whether `pattern` speaks of the begin or the end of a line, which a longer text has in other places."""
    return "$" in pattern or re.search(r"(?<!\[)\^|\\[AZ]", pattern) is not None


class SecretScanner:
    """detect-secrets with fixed detectors, and what a baseline of it allows."""

    def __init__(self, baseline: bytes | None = None) -> None:
        """baseline: the content of a `.secrets.baseline` file. Raises ValueError."""
        self.allowed = _hashes(baseline) if baseline else frozenset()

    def scan(self, path: str, text: str) -> Iterator[tuple[int, str, Severity]]:
        """What looks like a secret: line, what it is, severity. Never the value."""
        if _MAYBE.search(text) is None:  # none of it goes beyond a line
            return
        lines = text.split("\n")
        wanted = [
            (number, _PUBLIC_KEY.sub("", line))
            for number, line in enumerate(lines, 1)
            if _MAYBE.search(line)
        ]
        some = "\n".join(line for _, line in wanted)
        plugins = [plugin for plugin in _detectors() if _may_find(plugin, some)] if some else []
        for number, line in wanted if plugins else ():
            following = lines[number] if number < len(lines) else ""
            for plugin in plugins:
                kind = type(plugin).__name__
                for value in sorted(set(plugin.analyze_string(line))):
                    if kind in _DOUBTFUL and _unlikely(kind, value, path, line, following):
                        continue
                    if "EXAMPLE" in value or self._is_allowed(path, value):
                        continue
                    what = f"this looks like a secret ({plugin.secret_type})"
                    yield number, what, "warning" if kind == "BasicAuthDetector" else "error"

    def _is_allowed(self, path: str, value: str) -> bool:
        digest = hashlib.sha1(value.encode(), usedforsecurity=False).hexdigest()
        return (path, digest) in self.allowed


def _unlikely(kind: str, value: str, path: str, line: str, following: str) -> bool:
    """Whether it is only an example."""
    if is_comment(line) or is_prose(path):
        return True
    if kind == "PrivateKeyDetector":
        # A key goes on with its content; a line on its own is a pattern or a heading.
        return not (_KEY_TEXT.match(following) or "\\n" in line)
    own_name = f"//{value}:{value}@" in line  # the name again, as on a machine of one's own
    return own_name or not is_value(value) or _SAMPLE_ADDRESS.search(line) is not None


_KEY_TEXT = re.compile(r"[\s\"'+]*(?:[A-Za-z0-9+/=]{3,}[\"']?$|[A-Za-z0-9+/=]{16,}|[\w-]+: )")


def _hashes(baseline: bytes) -> frozenset[tuple[str, str]]:
    try:
        results = json.loads(baseline)["results"]
        return frozenset(
            (str(path), str(entry["hashed_secret"]))
            for path, entries in results.items()
            for entry in entries
            if not (isinstance(entry, Mapping) and entry.get("is_secret") is True)
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
        raise ValueError(f"it is not a baseline of detect-secrets: {type(err).__name__}") from err
