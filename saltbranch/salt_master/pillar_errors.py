"""What may be told of an error in a pillar file: its kind and its place.

What a parser stumbles over is what stands in the file, so a password that begins with ``*`` or ``!`` would
be in its message, and so would whatever a template puts into an exception. Hence none of the message is
told: it is only looked at for which kind of error it is, in words of ours.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import yaml

from saltbranch.salt_master.top_file import BRANCH_TOP, NO_SECTIONS, NO_TARGETS, OTHER_RENDERER

# Words of our own errors, for those who raise them; the rest of the patterns are words of Salt, Jinja and PyYAML.
OUTSIDE: Final = "outside its saltenv"
NO_RENDERER: Final = "there is no renderer"
NO_TAG: Final = "knows no YAML tag"
NO_MAPPING: Final = "holds a list and no mapping"
TWICE: Final = "appears twice"
TOO_DEEP: Final = "nested too deeply"
NO_CHARACTER: Final = "character that YAML does not allow"
OURS: Final = (OUTSIDE, NO_RENDERER, NO_TAG, NO_MAPPING, TWICE, TOO_DEEP, NO_CHARACTER)

_KINDS: tuple[tuple[str, str], ...] = (
    (rf"of the top file of saltenv \S+ {NO_TARGETS}$", f"a section of it {NO_TARGETS}"),
    (rf"^.*?(?:Jinja error: )?the top file of saltenv \S+ {NO_SECTIONS}", f"it {NO_SECTIONS}"),
    (rf"the top file of saltenv \S+ {re.escape(OTHER_RENDERER)}", f"it {OTHER_RENDERER}"),
    (OUTSIDE, f"it includes a file {OUTSIDE}"),
    (r"undefined alias", "YAML: an alias (`*`) of nothing; quote a text that begins with `*`"),
    (rf"could not determine a constructor|{NO_TAG}|undefined tag handle|expected the URI",
     "YAML: a tag (`!`) that Salt does not know; quote a text that begins with `!`"),
    (r"duplicate anchor", "YAML: an anchor (`&`) appears twice"),
    (r"while scanning an (?:anchor|alias)|while scanning a tag|while parsing a tag",
     "YAML: `*`, `&` or `!` with no name after it; quote a text that begins with one of them"),
    (r"mapping values are not allowed", "YAML: mapping values are not allowed here; quote a text with `: ` in it"),
    (r"could not find expected ':'|while scanning a simple key", "YAML: a `:` is missing"),
    (r"cannot start any token", "YAML: a character that no text without quotes begins with"),
    (r"unexpected end of stream|quoted scalar", "YAML: a quote that does not end"),
    (r"while parsing a flow|expected ',' or", "YAML: a list or mapping in brackets that does not end"),
    (r"expected <block end>|block (?:mapping|collection|sequence)|indentation",
     "YAML: the indentation does not fit"),
    (rf"[Cc]onflicting ID|duplicate key|{TWICE}", f"YAML: a key {TWICE}"),
    (r"unhashable|unacceptable key|found unhashable",
     "YAML: a key that is not text; quote {{ }} where a value begins with it"),
    (rf"special characters are not allowed|{NO_CHARACTER}|unacceptable character",
     f"YAML: a {NO_CHARACTER}"),
    (rf"{TOO_DEEP}|maximum recursion", f"it is {TOO_DEEP}"),
    (r"for merging", "YAML: `<<` of what is not a mapping"),
    (r"Unknown yaml render error|\bYAML\b|\byaml\b|expected the node content|while (?:parsing|scanning)",
     "YAML that cannot be read"),
    (r"[Jj]inja variable|is undefined|has no attribute", "Jinja: something is undefined"),
    (r"No filter named|No test named|there is no (?:filter|test)",
     "Jinja: a filter or test that Salt does not have"),
    (r"Jinja syntax error|expected token|unknown tag|unexpected|end of template|end of print|Missing end"
     r"|^Jinja: |Encountered", "Jinja that cannot be parsed"),
    (r"running salt function", "Jinja: a function of Salt's that it calls failed"),
    (NO_RENDERER, "its first line names a renderer that Salt does not have"),
    (r"Jinja error", "Jinja: something failed while it was rendered"),
    (r"[Gg][Pp][Gg]|decrypt", "a value that cannot be deciphered"),
    (r"^Python: |\.sls, line [0-9]+\)$", "Python that cannot be parsed"),
    (rf"does not render to a dictionary|{NO_MAPPING}", "it does not come out as a mapping"),
    (r"Include Declaration", "its include: is not a list"),
)  # fmt: skip
_EXCEPTION = re.compile(
    r"\b([A-Z]\w*(?:Error|Exception|Interrupt|Exit|Iteration|Warning)|KeyError)\b"
)
_RENDER = re.compile(
    r"Rendering SLS '([^']*)' failed|Rendering SLS (\S+) failed|(?:Include Declaration in )?SLS '([^']*)'"
)
_PRIMARY = "Rendering Primary Top file failed"
# Where Salt and Python write down the place, the surest way first. A top file is brought in by one of ours.
_OF_OURS = re.compile(r'File "<template>", line ([0-9]{1,6})')
_PLACES = (
    re.compile(rf'File "[^"\n]+/{re.escape(BRANCH_TOP)}", line ([0-9]{{1,6}})'),
    re.compile(r'File "[^"\n]+\.sls", line ([0-9]{1,6})'),
    _OF_OURS,
    re.compile(r'in "<unicode string>", line ([0-9]{1,6})'),
    re.compile(r"; line ([0-9]{1,6})(?=\n|$)"),
    re.compile(r"\.sls, line ([0-9]{1,6})\)"),
)
_MISSING = re.compile(
    r"Specified SLS '(?P<sls>[^']*)' in environment '[^']*' is not available on the salt master"
)
_INCLUDE = re.compile(r"^include:[ \t]*(\[.*\]|(?:\n[ \t]*(?:-.*|#.*)?)+)", re.MULTILINE)
_IMPORT = re.compile(r"\{%[-+]?\s*(?:from|import|include|extends|import_\w+)\s+([^%]*)%\}")
_QUOTED = re.compile(r"""(['"])([\w.-][\w./-]*)\1""")
_ENTRY = re.compile(
    r"""(?<=[-\[,])[ \t]*(['"]?)([\w./*-]+)\1[ \t]*:?[ \t]*(?=[\],#\n]|$)""", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Cause:
    """What an exception says. line: of the file that was rendered. inner: the place in one that it imports."""

    kind: str
    line: int | None = None
    inner: str = ""


def kind_of(message: str) -> str:
    """Which kind of error `message` tells of, without any of its own words."""
    for pattern, kind in _KINDS:
        if re.search(pattern, message):
            return kind
    found = _EXCEPTION.search(message)
    if found and isinstance(getattr(builtins, found[1], None), type):
        return f"Python: {found[1]}"
    return "it cannot be rendered"


def kind_of_yaml(err: Exception) -> str:
    """Which kind of error a text of YAML has for which PyYAML raised `err`."""
    if isinstance(err, yaml.YAMLError):
        return kind_of(str(err))
    return "YAML: a value that is not what its tag or its form says; quote it"


def named(text: str, *, is_top: bool = False) -> set[str]:
    """The sls files that `text`, a pillar file, names in so many words: to be included, or in a top file."""
    parts = [text] if is_top else _INCLUDE.findall(text)
    return {entry for part in parts for _, entry in _ENTRY.findall(part)}


def imported(text: str) -> set[str]:
    """The templates that `text`, a pillar file, imports or includes in so many words."""
    return {name for tag in _IMPORT.findall(text) for _, name in _QUOTED.findall(tag)}


def told(
    error: str,
    whole: str,
    is_public: Callable[[str], bool],
    length: Callable[[str], int | None],
    cause: Cause | None = None,
) -> str:
    """`error`, of a pillar file, as Salt words it, with nothing but kind and place.

    whole: the same with its traceback. is_public: whether the name of an sls file may be told. length: how many
    lines the sls file of a name has ("top" is the top file), None where that is not known. cause: what the exception
    says that the error tells of.
    """
    if found := _MISSING.fullmatch(error):
        return error if is_public(found["sls"]) else error.replace(found["sls"], "***", 1)
    if error.startswith(_PRIMARY):
        line = place(whole, length("top"), is_top=True)
        return f"{_PRIMARY}, render error: {kind_of(error[len(_PRIMARY) :])}{line}"
    found = _RENDER.match(error)
    if found is None:
        return f"{kind_of(error)}{place(whole, None)}"
    name = next(group for group in found.groups() if group is not None)
    shown = name if is_public(name) else "***"
    if cause is None:
        kind = kind_of(error.replace(found[0], found[0].split(" SLS")[0], 1))
        return f"Rendering SLS '{shown}' failed: {kind}{place(whole, length(name))}"
    lines = length(name)
    line = place(whole, lines)
    if cause.line is not None and (not lines or cause.line <= lines + 1):
        line = f"; line {min(cause.line, lines) if lines else cause.line}"
    inner = f", in {cause.inner}" if cause.inner else ""
    return f"Rendering SLS '{shown}' failed: {cause.kind}{inner}{line}"


def place(whole: str, lines: int | None, *, is_top: bool = False) -> str:
    """The line that an error names, of a file of so many lines; nothing where it names none of that file."""
    others = set(_OF_OURS.findall(whole)) if is_top else set()
    for pattern in _PLACES:
        if is_top and pattern is _OF_OURS:
            continue
        named = [int(n) for n in pattern.findall(whole) if pattern is _PLACES[0] or n not in others]
        # The end of a text is the line after its last one to YAML.
        named = [min(n, lines) if lines else n for n in named if not lines or n <= lines + 1]
        if named:
            return f"; line {named[-1]}"
    return ""
