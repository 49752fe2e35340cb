"""From bytes to a parsed file, with the findings that parsing brings."""

from __future__ import annotations

import ast
import dataclasses
import re
import warnings
from collections.abc import Callable, Mapping

import jinja2
import yaml
from jinja2 import nodes as jinja

from saltbranch.base.time_limit import TooSlow, limited
from saltbranch.check import catalogue as rules
from saltbranch.check import sls, yaml_nodes
from saltbranch.check.finding import Finding
from saltbranch.check.project import JINJA_NAMES, Catalogue, Source, Tools
from saltbranch.check.template import ANY, Plain, plain, shown
from saltbranch.salt_master.pillar_errors import NO_MAPPING, NO_RENDERER

# Structure is not read from larger files: PyYAML takes about 10 s for a MiB.
_LARGEST_YAML = 256 << 10
_DEFAULT = ("jinja", "yaml")
# Custom modules (salt/utils/extmods.py, sync): below salt://_modules, _states and so on.
_EXTENSION = re.compile(r"_[a-z]\w*/.*\.py\Z", re.DOTALL)
_VIRTUAL_NAME = re.compile(rb"^__virtualname__\s*=\s*['\"](\w+)['\"]", re.MULTILINE)
_ALIAS = re.compile(r"(?<![\w*\"'])\*([\w-]+)(?=[ \t]*(?:$|[,\]}#]))", re.MULTILINE)
_PYTHON = frozenset({"py", "pydsl"})


def read(source: Source, data: bytes | None, tools: Tools) -> Source:
    """`source` with its content parsed, as far as that goes."""
    if source.link is not None or data is None:
        return _unread(source)
    try:
        text = data.decode("utf-8-sig" if data.startswith(b"\xef\xbb\xbf") else "utf-8")
    except UnicodeDecodeError as err:
        return _no_text(source, data, err)
    source = dataclasses.replace(source, text=text.replace("\r\n", "\n"))
    if not (source.is_sls or source.name.endswith(JINJA_NAMES) or _is_extension(source)):
        return source
    try:
        with limited():
            return _parsed(source, tools)
    except TooSlow:
        return _with(source, rules.TOO_LARGE.at(source.path, 0, "it takes too long to parse"))
    except (RecursionError, MemoryError):
        return _with(source, rules.TOO_LARGE.at(source.path, 0, "it is nested too deeply to parse"))


def _is_extension(source: Source) -> bool:
    """Whether Salt itself imports it: other Python is for programs and interpreters unknown here."""
    return source.area == "states" and _EXTENSION.match(source.name) is not None


def _unread(source: Source) -> Source:
    if source.link is None and source.is_sls:
        what = f"it has {source.size >> 10} KiB, too much to be checked"
        return _with(source, rules.TOO_LARGE.at(source.path, 0, what))
    return source


def _no_text(source: Source, data: bytes, err: UnicodeDecodeError) -> Source:
    if source.name.endswith((".sls", *JINJA_NAMES)) and not data.startswith(b"\0GITCRYPT\0"):
        line = data.count(b"\n", 0, err.start) + 1
        return _with(source, rules.NOT_TEXT.at(source.path, line, "it is not UTF-8 text"))
    return source  # git-crypt, an archive, a picture


def _with(source: Source, *problems: Finding) -> Source:
    return dataclasses.replace(source, problems=(*source.problems, *problems))


def _parsed(source: Source, tools: Tools) -> Source:
    if _is_extension(source):
        return _with(source, *_python(source, source.text or ""))
    if not source.is_sls:
        return parse_jinja(source, tools)
    renderers, problem = _renderers(source, tools.catalogue)
    source = dataclasses.replace(source, renderers=renderers)
    if problem:
        return _with(source, problem)
    if _PYTHON & set(renderers):
        return _with(source, *_python(source, source.text or ""))
    if "jinja" in renderers:
        source = parse_jinja(source, tools)
        if source.template is None:
            return source
    return _structure(source) if "yaml" in renderers else source


def with_renderers(tools: Tools, files: Mapping[str, bytes]) -> Tools:
    """`tools` that know the branch's own renderers. files: name below the states and content of each."""
    own: set[str] = set()
    for name, data in files.items():
        folder, _, file = name.rpartition("/")
        if folder == "_renderers" and file.endswith(".py"):
            own.add(file.removesuffix(".py"))
            own.update(m[1].decode("ascii") for m in _VIRTUAL_NAME.finditer(data))
    catalogue = tools.catalogue
    return dataclasses.replace(
        tools,
        catalogue=dataclasses.replace(catalogue, renderers=catalogue.renderers | frozenset(own)),
    )


def _renderers(source: Source, catalogue: Catalogue) -> tuple[tuple[str, ...], Finding | None]:
    """The renderers of an sls file: its first line (salt/template.py, template_shebang)."""
    first = (source.text or "").split("\n", 1)[0].strip()
    if not first.startswith("#!") or first.startswith("#!/"):
        return _DEFAULT, None
    found = tuple(part.split()[0] for part in first[2:].split("|") if part.split())
    for name in found:
        if name not in catalogue.renderers:
            message = f"{NO_RENDERER} {shown(name)[:60]!r} in Salt {catalogue.version}"
            return found, rules.RENDERER.at(source.path, 1, message)
    return found, None


def parse_jinja(source: Source, tools: Tools) -> Source:
    """`source` with its Jinja parsed; with a finding where that fails."""
    try:
        template = tools.parse(source.text or "")
    except jinja2.TemplateSyntaxError as err:
        message = f"Jinja: {(err.message or 'syntax error').splitlines()[0][:200]}"
        return _with(source, rules.JINJA.at(source.path, err.lineno, message))
    unknown = []
    for node in template.find_all((jinja.Filter, jinja.Test)):
        is_filter = isinstance(node, jinja.Filter)
        if node.name not in (tools.catalogue.filters if is_filter else tools.catalogue.tests):
            what = f"there is no {'filter' if is_filter else 'test'} {node.name[:60]!r}"
            unknown.append(rules.JINJA_FILTER.at(source.path, node.lineno, what))
    return _with(dataclasses.replace(source, template=template), *unknown)


def _python(source: Source, text: str) -> list[Finding]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as err:
        return [rules.PYTHON.at(source.path, err.lineno or 0, f"Python: {err.msg}")]
    except ValueError as err:
        return [rules.PYTHON.at(source.path, 0, f"Python: {err}")]
    return []


def _structure(source: Source) -> Source:
    """`source` with its YAML read, of every branch of its templates where that works."""
    text = source.text or ""
    if len(text) > _LARGEST_YAML:
        what = f"it has {len(text) >> 10} KiB of YAML, too much to be checked"
        return _with(source, rules.TOO_LARGE.at(source.path, 0, what))
    with_jinja = "jinja" in source.renderers
    whole = plain(text) if with_jinja else Plain(text)
    try:
        filled = _filled(source, whole, _composed(source, whole), certain=not whole.controlled)
        return dataclasses.replace(filled, whole=True)
    except yaml_nodes.YamlProblem as err:
        if not whole.controlled:
            message = f"YAML: {shown(err.message)[:200]}"
            return _with(source, rules.YAML.at(source.path, err.line, message))
    try:
        # Both sides of an if may not stand below one another; one of them often does alone.
        first = plain(text, first_only=True)
        return _filled(source, first, _composed(source, first), certain=False)
    except yaml_nodes.YamlProblem:
        return source  # only rendering can tell


def _composed(source: Source, text: Plain) -> yaml.Node | None:
    """The root of `text`. An anchor may be defined in a template that is included. Raises YamlProblem."""
    try:
        return yaml_nodes.compose(text.text)
    except yaml_nodes.YamlProblem as err:
        included = source.template is not None and any(source.template.find_all(jinja.Include))
        if not included or "undefined alias" not in err.message:
            raise
        return yaml_nodes.compose(_ALIAS.sub(ANY, text.text))


def _filled(source: Source, text: Plain, root: yaml.Node | None, *, certain: bool) -> Source:
    read: Callable[[yaml.Node | None], sls.Declared] = sls.read
    if source.area == "pillar" or source.name == "top.sls":
        read = _includes_only
    return dataclasses.replace(
        source, plain=text, root=root, certain=certain, readable=True, declared=read(root)
    )


def _includes_only(root: yaml.Node | None) -> sls.Declared:
    wrong: tuple[sls.Misshapen, ...] = ()
    if isinstance(root, yaml.SequenceNode):
        wrong = (sls.Misshapen(f"it {NO_MAPPING}", yaml_nodes.line_of(root)),)
    return sls.Declared(includes=tuple(sls.includes(root)), misshapen=wrong)
