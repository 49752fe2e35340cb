"""Why a pillar file does not render: the exception itself says it better than the message that Salt makes of it.

Nothing of the exception's text is told, nor the name of a class that is not Python's own.
"""

from __future__ import annotations

import builtins
import json
import re
import traceback
from collections.abc import Callable, Iterator

import jinja2
import salt.exceptions
import yaml

from saltbranch.compiler.error_texts import NOT_THERE
from saltbranch.salt_master import pillar_errors
from saltbranch.salt_master.pillar_errors import Cause

_TEMPLATE = "<template>"
"""How Jinja calls a text that it renders."""
_ARGUMENTS = re.compile(
    r"unexpected keyword argument|required positional argument|required keyword-only|positional arguments? but"
    r"|takes no (?:arguments|keyword)|multiple values for"
    r"|takes (?:exactly|at most|at least|from) |takes no \w+ argument"
)
_RAISED = re.compile(r"(\w+)(?:: .*)?", re.DOTALL)
_FRAME = re.compile(r'  File "[^"\n]+", line ([0-9]{1,6})(?:, in .*)?\n(?: .*\n)*', re.MULTILINE)
_LOADER = "/salt/utils/jinja.py"
_NO_TEXT = "Jinja: a file that it imports is encrypted, or no UTF-8 text"
_SYNTAX = "Python that cannot be parsed"


def cause_of(
    err: BaseException,
    file_of: Callable[[str], str | None],
    imports: Callable[[], set[str]],
) -> Cause | None:
    """Why rendering ended with `err`; None where its class does not say.

    file_of: the path in the repository of a file that may be named, by its path here. imports: the templates
    that pillar files import in so many words.
    """
    first, root, is_jinja = _root(err)
    if isinstance(root, salt.exceptions.SaltRenderError):
        return _of_program(str(root))
    place = _place(first, file_of)
    kind = _jinja(root, imports) or _data(root)
    if kind is None and isinstance(root, ValueError) and _is_of_yaml(root) and not is_jinja:
        kind = pillar_errors.kind_of_yaml(root)
    if kind is None and isinstance(root, (SyntaxError, *_PYTHONS)):
        kind = _python(root, is_jinja=is_jinja)
    if isinstance(root, json.JSONDecodeError) and not is_jinja:
        place = root.lineno + 1, ""  # the renderer's line was cut off
    elif isinstance(root, yaml.MarkedYAMLError) and root.problem_mark and not is_jinja:
        place = root.problem_mark.line + 1, ""
    return None if kind is None else Cause(kind, *place)


_PYTHONS = tuple(
    c for c in vars(builtins).values() if isinstance(c, type) and issubclass(c, Exception)
    and c is not Exception
)  # fmt: skip


def _root(err: BaseException) -> tuple[BaseException, BaseException, bool]:
    """What Salt made `err` of, what Jinja made that of, and whether Jinja was at work."""
    is_jinja, first = False, None
    while isinstance(err, (salt.exceptions.SaltRenderError, jinja2.TemplateRuntimeError)):
        is_jinja = is_jinja or str(err).startswith(("Jinja ", "Problem running salt function"))
        if first is None and not isinstance(err, salt.exceptions.SaltRenderError):
            first = err
        inner = err.__cause__ or err.__context__
        if inner is None or isinstance(err, jinja2.UndefinedError):
            break
        err = inner
    return first or err, err, is_jinja


def _jinja(err: BaseException, imports: Callable[[], set[str]]) -> str | None:
    if isinstance(err, jinja2.TemplateNotFound):
        name = str(err.name)
        shown = name if name in imports() else "***"
        return f"Jinja: salt://{shown}{NOT_THERE}"
    if isinstance(err, jinja2.TemplateSyntaxError):
        text = str(err.message)
        if text.startswith(("No filter named", "No test named")):
            return pillar_errors.kind_of(text[:15])
        return "Jinja that cannot be parsed"
    if isinstance(err, jinja2.UndefinedError):
        return "Jinja: something is undefined"
    if isinstance(err, jinja2.exceptions.SecurityError):
        return "Jinja: something that templates may not do"
    if isinstance(
        err, (salt.exceptions.CommandExecutionError, salt.exceptions.SaltInvocationError)
    ):
        return "Jinja: a function of Salt's that it calls failed"
    if isinstance(err, salt.exceptions.TemplateError):
        return "Jinja: the template raises an error itself"
    return None


def _data(err: BaseException) -> str | None:
    if isinstance(err, yaml.YAMLError):
        return pillar_errors.kind_of_yaml(err)
    return "JSON that cannot be read" if isinstance(err, json.JSONDecodeError) else None


def _is_of_yaml(err: BaseException) -> bool:
    """Whether PyYAML made a value of a text when it happened."""
    return _raised_in(err, "/yaml/constructor.py")


def _raised_in(err: BaseException, module: str) -> bool:
    """module: the end of its path."""
    return any(name.endswith(module) for name, _ in _frames(err))


def _python(err: BaseException, *, is_jinja: bool) -> str:
    """Of an exception that Python itself raises."""
    if isinstance(err, SyntaxError) and not is_jinja:
        return _SYNTAX
    if isinstance(err, UnicodeDecodeError) and is_jinja and _raised_in(err, _LOADER):
        return _NO_TEXT
    if isinstance(err, TypeError) and _ARGUMENTS.search(str(err)):
        kind = "a function is called with arguments that it does not take"
    else:
        own = next(c for c in type(err).__mro__ if c in _PYTHONS)
        if own is FileNotFoundError and not is_jinja:
            return "Python: FileNotFoundError"
        kind = own.__name__
    return f"Jinja: {kind}" if is_jinja else f"Python: {kind}"


def _of_program(text: str) -> Cause | None:
    """Of the traceback that Salt's renderer for Python makes of what `run()` raises."""
    if not text.startswith("Traceback (most recent call last):\n"):
        return None
    ends = [found.end() for found in _FRAME.finditer(text)]
    found = _RAISED.match(text, ends[-1]) if ends else None
    known = getattr(builtins, found[1], None) if found else None
    if found is None or not isinstance(known, type) or known not in _PYTHONS:
        return None
    if issubclass(known, SyntaxError):
        return Cause(_SYNTAX)
    is_call = known is TypeError and _ARGUMENTS.search(text, ends[-1])
    kind = "a function is called with arguments that it does not take" if is_call else found[1]
    return Cause(f"Python: {kind}")


def _place(err: BaseException, file_of: Callable[[str], str | None]) -> tuple[int | None, str]:
    """The line of the pillar file that was rendered, and the place in another file of the tree where it went on
    from there.
    """
    line, inner = None, ""
    for path, number in _frames(err):
        if path == _TEMPLATE:
            line, inner = number, ""
        elif (name := file_of(path)) and not path.endswith(".sls"):
            inner = f"{name}:{number}"
        elif path.endswith(".sls"):
            line = number
    return line, inner


def _frames(err: BaseException) -> Iterator[tuple[str, int]]:
    for frame in traceback.extract_tb(err.__traceback__):
        yield frame.filename, frame.lineno or 0
    if isinstance(err, jinja2.TemplateSyntaxError):
        yield err.filename or _TEMPLATE, err.lineno
    elif isinstance(err, SyntaxError) and err.filename and err.lineno:
        yield err.filename, err.lineno
