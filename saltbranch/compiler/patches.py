"""What is changed in Salt inside a compiling process: what it asks of the host, and what it only logs.

*Answers*: execution functions that would look at this machine or act on it answer from what was
recorded of the minion, or neutrally. *Grains decide*: which of several modules is ``pkg`` or
``service`` must not depend on programs that happen to be installed here. What Salt need not do again
for every minion is in `memory`.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import salt.fileclient
import salt.loader.lazy as lazy
import salt.pillar
import salt.state
import salt.template
import salt.utils.path
import salt.utils.systemd
import salt.utils.url
from salt.exceptions import SaltRenderError

from saltbranch.compiler import ciphertext, memory, neutral
from saltbranch.compiler.host import BASE, HOST, quietly

_ORDINARY = re.compile(r"[\w@+-][\w@+./-]*", re.ASCII)
_LISTING = ("cp.list_states", "cp.list_master", "cp.list_master_dirs", "cp.get_dir", "cp.cache_dir",
            "slsutil.findup", "state.sls_exists", "cp.list_master_symlinks")  # fmt: skip


def install() -> None:
    """Change Salt in this process, once."""
    _serve_in_place()
    _answer_for_the_host()
    _let_grains_decide()
    _watch_patterns()
    _refuse_unknown_renderers()
    memory.CHANGES["/renderers/gpg.py"] = _without_keys


def show_pillar() -> None:
    """Let templates see the values of the pillar: Salt 3008 masks them outside of its own minions."""
    try:
        import salt.utils.secret
    except ImportError:  # 3006 and 3007
        return
    salt.utils.secret.mask_pillar.set(False)


# Answers


def _answer_for_the_host() -> None:
    real = lazy.LazyLoader.__getitem__

    def getitem(self: Any, item: Any) -> Any:
        if self.tag != "module" or HOST.loading or HOST.external or not isinstance(item, str):
            return real(self, item)
        if neutral.answers(HOST.returns, item):
            return _answer(item, None)
        if neutral.runs(item):
            if item in _LISTING and HOST.tracker:
                for kind in HOST.kinds.values():
                    HOST.tracker.listing(kind)
            return real(self, item)
        try:
            found = real(self, item)
        except KeyError:
            if not _is_known(self, item):
                raise
            return _answer(item, None)
        if not _is_salts_own(found):
            HOST.custom[item] = None
            return found
        return _answer(item, found)

    lazy.LazyLoader.__getitem__ = getitem


def _is_salts_own(function: Any) -> bool:
    code = getattr(getattr(function, "func", function), "__code__", None)
    return code is None or code.co_filename.startswith(BASE)


def _is_known(loader: Any, item: str) -> bool:
    """Whether Salt has such a module at all, though it refused to load here."""
    module = item.partition(".")[0]
    return module in loader.file_mapping or module in ("pkg", "service", "user", "group", "shadow")


def _answer(function: str, like: Any) -> Callable[..., Any]:
    def answer(*args: Any, **kwargs: Any) -> Any:
        known, value = neutral.recorded(HOST.returns, function, args, kwargs)
        if known:
            return value
        HOST.neutral[function] = None
        if function in ("config.get", "environ.get", "mine.get") and "default" in kwargs:
            return kwargs["default"]
        return neutral.default(function)

    answer.__name__ = function.rpartition(".")[2]
    answer.__doc__ = getattr(like, "__doc__", None)
    return answer


# Grains decide


def _let_grains_decide() -> None:
    which, booted = salt.utils.path.which, salt.utils.systemd.booted
    process = lazy.LazyLoader._process_virtual

    def virtual(self: Any, mod: Any, *args: Any, **kwargs: Any) -> Any:
        HOST.loading += 1
        own = str(getattr(mod, "__file__", "")).startswith(f"{BASE}/")
        try:
            with quietly() if own else nullcontext():
                return process(self, mod, *args, **kwargs)
        finally:
            HOST.loading -= 1

    def which_here(exe: Any = None) -> Any:
        """Inside __virtual__ every program is there: grains tell Debian's module from RedHat's."""
        return f"/usr/bin/{exe}" if HOST.loading and exe else which(exe)

    def booted_here(context: Any = None) -> bool:
        init = HOST.grains.get("init")
        return init == "systemd" if init else bool(HOST.grains.get("kernel", "Linux") == "Linux")

    del booted
    lazy.LazyLoader._process_virtual = virtual
    salt.utils.path.which = which_here
    salt.utils.systemd.booted = booted_here


# What Salt only logs


def _refuse_unknown_renderers() -> None:
    """Salt renders a file with a renderer that it does not have to nothing at all."""
    shebang = salt.template.template_shebang

    def template_shebang(
        template: Any, renderers: Any, default: Any, blacklist: Any, whitelist: Any, input_data: Any
    ) -> Any:
        found = shebang(template, renderers, default, blacklist, whitelist, input_data)
        if not found:
            line = str(input_data).strip().partition("\n")[0]
            name = line[2:].strip() if line.startswith("#!") else default
            raise SaltRenderError(f"there is no renderer {name!r} here")
        return found

    salt.template.template_shebang = template_shebang


# What the names of files decide


def _watch_patterns() -> None:
    def watched(kind: str) -> SimpleNamespace:
        def filter_(names: Any, pattern: str) -> list[str]:
            if HOST.tracker:
                HOST.tracker.pattern(HOST.kinds.get(kind, kind), pattern)
            return fnmatch.filter(names, pattern)

        return SimpleNamespace(
            filter=filter_, fnmatch=fnmatch.fnmatch, fnmatchcase=fnmatch.fnmatchcase
        )

    salt.state.fnmatch = watched("states")
    salt.pillar.fnmatch = watched("pillar")


# Files


def _serve_in_place() -> None:
    """A minion copies each file that it is served into its cache, and compares hashes every time.

    Here the cache is laid out beforehand (`onefork.Shop`), as links into the tree.
    """
    real = salt.fileclient.FSClient.get_file

    def get_file(
        self: Any,
        path: str,
        dest: str = "",
        makedirs: bool = False,  # noqa: FBT001, FBT002
        saltenv: str = "base",
        gzip: Any = None,
        cachedir: str | None = None,
    ) -> Any:
        plain, env = salt.utils.url.split_env(path)
        env = env or saltenv
        folder = f"{self.opts['cachedir']}/files/{env}"
        if dest != "" or cachedir is not None or not os.path.isdir(folder):
            return real(self, path, dest, makedirs, saltenv, gzip, cachedir)
        name = self._check_proto(plain)
        if HOST.is_plain and _ORDINARY.fullmatch(name) and "/../" not in f"/{name}/":
            # What Salt's file server finds, for it looks in the same folders in the same order.
            return f"{folder}/{name}" if os.path.isfile(f"{folder}/{name}") else False
        found = self._channel.fs.find_file(name, env)
        return f"{folder}/{found['rel']}" if found.get("path") else False

    salt.fileclient.FSClient.get_file = get_file


# Keys


def _without_keys(gpg: Any) -> None:
    """`gpg`: salt/renderers/gpg.py."""
    gpg._decrypt_ciphertext = _deciphered
    gpg._get_gpg_exec = lambda: "gpg"  # none is asked, and none has to be here


def _deciphered(cipher: Any, *_args: Any) -> Any:
    """There are no keys in here; the desk is asked what the message holds, which it knows if it stands in
    the tree's files. A message without an answer stands for what it hides.
    """
    message = cipher.decode("utf-8", "replace") if isinstance(cipher, bytes) else str(cipher)
    name = ciphertext.name_of(message)
    if name not in HOST.ciphers:
        HOST.ciphers[name] = HOST.decipher(name)
    text = HOST.ciphers[name]
    return cipher if text is None else text
