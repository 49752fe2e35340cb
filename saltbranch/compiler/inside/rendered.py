"""What the managed files of one minion hold, rendered as Salt's states do it, after its highstate was compiled.

The arguments of a state go through Salt's own `format_call`, and what comes out to Salt's own renderers, with what
salt/states/file.py and salt/modules/file.py give them. What needs the host while it is rendered is answered as in
sls files (`execution_functions`); it is noted with the file. Nothing is written and nothing leaves this module but
bytes and reasons: `inside.contents` hides what is not public.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import salt.utils.args
import salt.utils.files
import salt.utils.stringutils
import salt.utils.templates
from salt.state import STATE_INTERNAL_KEYWORDS

from saltbranch.compiler.inside.current_minion import BASE, HOST
from saltbranch.compiler.inside.rendered_lines import BROKEN, CHANCE
from saltbranch.compiler.inside.sources import local, template_of

MOST_FILES, MOST_BYTES = 1000, 16 << 20
"""Files of one minion, and bytes of all of them together."""
_LARGEST = 1 << 20
_SHARE = 0.6
"""Of a minion's seconds: the rest is for its highstate."""
_RECURSED = ("keep_symlinks", "merge", "maxdepth")
_TOO_LARGE = "it is larger than 1 MiB"


class NotRendered(Exception):
    """Why a file is not. Its text is ours."""


@contextmanager
def aside() -> Iterator[None]:
    """What is called in here is told of the files alone, not of the highstate."""
    before = HOST.neutral, HOST.custom, HOST.asked, HOST.broken
    HOST.neutral, HOST.custom = dict(HOST.neutral), dict(HOST.custom)
    HOST.asked, HOST.broken = dict(HOST.asked), dict(HOST.broken)
    try:
        yield
    finally:
        HOST.neutral, HOST.custom, HOST.asked, HOST.broken = before


@dataclass(slots=True)
class File:
    """One file. source: below states_dir, or empty. data: what it holds, None where that is not known: then
    `problem` says why; error: what Salt says of it. asked: functions that were answered neutrally meanwhile.
    """

    source: str
    data: bytes | None = None
    problem: str = ""
    error: str = ""
    asked: list[str] = field(default_factory=list)


class Renderer:
    """Renders for one minion. state: Salt's, with its loaders. below: the files in a folder of the states."""

    def __init__(
        self, state: Any, client: Any, below: Callable[[str], list[str]], seconds: float
    ) -> None:
        self.state, self.client, self.below = state, client, below
        self.deadline = time.process_time() + seconds * _SHARE
        self.count = self.size = 0
        self.accumulated: dict[str, dict[str, list[Any]]] = {}

    def all(self, chunks: list[dict[str, Any]], flags: list[str]) -> list[list[File]]:
        """The files of each of `chunks`, in their order, as far as `flags` (`sources.Used`) say that it has any."""
        found = []
        for chunk, own in zip(chunks, flags, strict=True):
            function = f"{chunk.get('state')}.{chunk.get('fun')}"
            if function == "file.accumulated":
                self._accumulate(chunk)
            found.append(self._files(function, chunk, own) if own else [])
        return found

    def _accumulate(self, chunk: Mapping[str, Any]) -> None:
        text = chunk.get("text")
        texts = [text] if isinstance(text, str) else list(text or ())
        own = self.accumulated.setdefault(str(chunk.get("filename")), {})
        lines = own.setdefault(str(chunk.get("name")), [])
        lines += [line for line in texts if line not in lines]

    def _files(self, function: str, chunk: Mapping[str, Any], flags: str) -> list[File]:
        if CHANCE in flags:
            return [
                File(
                    "",
                    problem="what it holds may differ each time: it asks for the time or for chance",
                )
            ]
        try:
            wanted = list(self._wanted(function, chunk))
        except NotRendered as err:
            return [File("", problem=str(err))]
        except Exception as err:
            return [File("", problem="its state does not run", error=_first_line(err))]
        return [self._file(source, render) for source, render in wanted]

    def _file(self, source: str, render: Callable[[], bytes]) -> File:
        self.count += 1
        if self.count > MOST_FILES:
            return File(
                source, problem=f"only the first {MOST_FILES} files of a minion are rendered"
            )
        if self.size > MOST_BYTES:
            return File(
                source, problem=f"only {MOST_BYTES >> 20} MiB of a minion's files are rendered"
            )
        if time.process_time() > self.deadline:
            return File(source, problem="rendering the files before it took too long")
        HOST.neutral = {}
        rendering, HOST.rendering = HOST.rendering, f"file {source}"
        result = File(source)
        try:
            result.data = render()
        except NotRendered as err:
            result.problem = str(err)
        except MemoryError:
            raise
        except Exception as err:
            result.problem, result.error = BROKEN, _first_line(err)
        finally:
            result.asked = list(HOST.neutral)
            HOST.rendering = rendering
        if result.data is not None:
            self.size += len(result.data)
            if len(result.data) > _LARGEST:
                result.data, result.problem = None, _TOO_LARGE
        return result

    # Which files, and how

    def _wanted(
        self, function: str, chunk: Mapping[str, Any]
    ) -> Iterator[tuple[str, Callable[[], bytes]]]:
        template = template_of(function, chunk)
        if function not in _STATES:
            raise NotRendered(f"how {function} renders it is not known here")
        if template and template not in salt.utils.templates.TEMPLATE_REGISTRY:
            raise NotRendered("Salt has no such renderer")
        given, extra = self._arguments(function, chunk)
        saltenv = str(chunk.get("__env__"))
        yield from _STATES[function](self, given, extra, saltenv)

    def _arguments(
        self, function: str, chunk: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arguments that the state's function is called with, those by name and the others."""
        found = self.state.states[function]
        code = getattr(getattr(found, "func", found), "__code__", None)
        if code is None or not code.co_filename.startswith(BASE):
            raise NotRendered("its state module is the branch's own")
        call = salt.utils.args.format_call(
            found, dict(chunk), expected_extra_kws=STATE_INTERNAL_KEYWORDS
        )
        spec = salt.utils.args.get_function_argspec(found)
        names = [name for name in spec.args if name in chunk or name in call["kwargs"]]
        required = [n for n in spec.args if n not in call["kwargs"]]
        given = {**dict(zip(required, call["args"], strict=True)), **call["kwargs"]}
        # What a template changes in its context must not reach other files, nor what is described.
        given = {
            k: copy.deepcopy(v) if k in ("context", "defaults") else v for k, v in given.items()
        }
        return {n: given[n] for n in names}, {n: v for n, v in given.items() if n not in names}

    def _managed(
        self, given: dict[str, Any], extra: dict[str, Any], saltenv: str
    ) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """salt/states/file.py, managed."""
        given.setdefault("user", None)
        given["user"] = given["user"] or extra.get("owner")
        extra = {k: v for k, v in extra.items() if k != "env"}
        name = os.path.expanduser(given["name"])
        mode = given.get("mode")
        if str(mode).lower() == "keep":
            mode = None
        mode = salt.utils.files.normalize_mode(mode)
        context = given.get("context") or {}
        template, contents = given.get("template"), self._contents(given)
        if contents is not None:
            yield "", lambda: self._of_contents(contents, given, saltenv)
            return
        if name in self.accumulated:
            context["accumulator"] = self.accumulated[name]
        source = self._picked(given.get("source"), saltenv)
        path = _path(source, saltenv)
        keywords = {
            "name": name, "source": source, "user": given["user"], "group": given.get("group"),
            "mode": mode, "attrs": given.get("attrs"), **extra,
        }  # fmt: skip
        context = {**(given.get("defaults") or {}), **context}
        yield path, lambda: self._render(path, template, saltenv, context, keywords)

    def _contents(self, given: Mapping[str, Any]) -> Any:
        """The text that stands in the state, in pillar or in grains; None for none."""
        for kind, function in (("pillar", "pillar.get"), ("grains", "grains.get")):
            key = given.get(f"contents_{kind}")
            if key is None:
                continue
            keys = key if isinstance(key, list) else [key]
            more = {"delimiter": given.get("contents_delimiter", ":")}
            nothing = object()
            found = [self.state.functions[function](k, nothing, **more) for k in keys]
            if any(item is nothing for item in found):
                raise NotRendered(f"its {kind} is missing")
            return os.linesep.join(found) if isinstance(key, list) else found[0]
        return given.get("contents")

    def _of_contents(self, contents: Any, given: Mapping[str, Any], saltenv: str) -> bytes:
        if isinstance(contents, bytes):
            parts = [salt.utils.stringutils.to_unicode(contents, encoding=given.get("encoding"))]
        elif isinstance(contents, (list, tuple)):
            parts = [item if isinstance(item, str) else str(item) for item in contents]
        elif isinstance(contents, Mapping):
            parts = [str(contents)]
        else:
            parts = [contents if isinstance(contents, str) else str(contents)]
        text = "".join(f"{line}{os.linesep}" for part in parts for line in part.splitlines())
        if given.get("contents_newline") is False:
            text = text.rstrip("\n").rstrip("\r")
        template = given.get("template")
        if template:
            context = {**(given.get("defaults") or {}), **(given.get("context") or {})}
            done = salt.utils.templates.TEMPLATE_REGISTRY[template](
                text, from_str=True, to_str=True, context=context, saltenv=saltenv, **self._common()
            )
            text = _checked(done)
        return text.encode()

    def _recurse(
        self, given: dict[str, Any], extra: dict[str, Any], saltenv: str
    ) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """salt/states/file.py, recurse: each file of the folder, managed."""
        if any(given.get(name) for name in _RECURSED):
            raise NotRendered("it merges folders, keeps links or has a depth")
        sources = given["source"] if isinstance(given["source"], list) else [given["source"]]
        folders = [_path(str(source).rstrip("/"), saltenv) for source in sources]
        folder = next((f for f in folders if self.below(f)), None)
        if folder is None:
            raise NotRendered("no folder of that name is there")
        chosen = [given.get(name) for name in ("include_pat", "exclude_pat")]
        check = salt.utils.stringutils.check_include_exclude
        for path in self.below(folder):
            relative = path[len(folder) + 1 :]
            if not check(relative, *chosen):
                continue
            own = {
                "name": os.path.join(given["name"], relative),
                "source": f"salt://{path}?saltenv={saltenv}",
                "mode": given.get("file_mode"),
                **{n: given.get(n) for n in ("user", "group", "template")},
                **{n: copy.deepcopy(given.get(n)) for n in ("context", "defaults")},
            }
            yield from self._managed(own, {**extra}, saltenv)

    def _parts(
        self, given: dict[str, Any], extra: dict[str, Any], saltenv: str
    ) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """salt/states/file.py, _get_template_texts: what append, prepend and blockreplace put in."""
        several = given.get("sources") or ([given["source"]] if given.get("source") else [])
        template = given.get("template")
        context = {**(given.get("defaults") or {}), **(given.get("context") or {})}
        for item in several:
            path = _path(str(next(iter(item)) if isinstance(item, dict) else item), saltenv)
            yield path, _bound(self._render, path, template, saltenv, context, {})

    def _script(
        self, given: dict[str, Any], extra: dict[str, Any], saltenv: str
    ) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """salt/states/cmd.py, script."""
        path = _path(str(given.get("source") or given["name"]), saltenv)
        context = {**(given.get("defaults") or {}), **(given.get("context") or {})}
        template = given.get("template")
        yield path, lambda: self._render(path, template, saltenv, context, {**extra})

    def _picked(self, source: Any, saltenv: str) -> str:
        """The first of a list that is there (salt/modules/file.py, source_list)."""
        if not isinstance(source, list):
            return str(source)
        for item in source:
            url = str(next(iter(item)) if isinstance(item, dict) else item)
            if (path := local(url, saltenv)) is None:
                raise NotRendered("which of its sources is there, the minion decides")
            if self.client.cache_file(f"salt://{path}", saltenv):
                return url
        raise NotRendered("none of its sources is there")

    # Rendering

    def _common(self) -> dict[str, Any]:
        """What every template of a file is given."""
        opts = self.state.opts
        return {
            "salt": self.state.functions,
            "pillar": opts["pillar"],
            "grains": opts["grains"],
            "opts": opts,
        }

    def _render(
        self,
        path: str,
        template: Any,
        saltenv: str,
        context: dict[str, Any],
        keywords: Mapping[str, Any],
    ) -> bytes:
        file = self.client.cache_file(f"salt://{path}", saltenv)
        if not file or not os.path.isfile(file):
            raise NotRendered("it is not there")
        if os.path.getsize(file) > _LARGEST:
            raise NotRendered(_TOO_LARGE)
        if not template:
            return _bytes_of(file)
        how = {"string": True} if template == "py" else {"to_str": True}
        done = salt.utils.templates.TEMPLATE_REGISTRY[template](
            file, saltenv=saltenv, context=context, **{**self._common(), **keywords, **how}
        )
        text = _checked(done)
        if text == file and salt.utils.files.is_binary(file):  # Salt hands such a file on as it is
            return _bytes_of(file)
        return text.encode()


_STATES: Mapping[str, Callable[..., Iterator[tuple[str, Callable[[], bytes]]]]] = {
    "file.managed": Renderer._managed,
    "file.recurse": Renderer._recurse,
    "file.append": Renderer._parts,
    "file.prepend": Renderer._parts,
    "file.blockreplace": Renderer._parts,
    "cron.file": Renderer._managed,
    "cmd.script": Renderer._script,
}


def _bound(function: Callable[..., bytes], *args: Any) -> Callable[[], bytes]:
    return lambda: function(*args)


def _path(source: str, saltenv: str) -> str:
    path = local(source, saltenv)
    if path is None:
        raise NotRendered("it is none of this saltenv's files")
    return path


def _checked(done: Mapping[str, Any]) -> str:
    """What a renderer of Salt's made. Raises its error."""
    if not done or not done["result"]:
        text = str(done.get("data", "")).strip() if done else ""
        raise ValueError(text.splitlines()[-1] if text else "nothing was rendered")
    data = done["data"]
    return data if isinstance(data, str) else salt.utils.stringutils.to_unicode(data)


def _bytes_of(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _first_line(err: BaseException) -> str:
    lines = (str(err) or type(err).__name__).strip().splitlines()
    return lines[0] if lines else type(err).__name__
