"""What is changed in Salt inside a compiling process: what it asks of the host, and what it only logs.

*Grains decide*: which of several modules is ``pkg`` or ``service`` must not depend on the platform that
compiles, nor on programs that happen to be installed here. Who answers when a template calls a function
is in `inside.execution_functions`. What Salt need not do again
for every minion is in `memory`.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import salt.fileclient
import salt.loader.lazy as lazy
import salt.pillar
import salt.state
import salt.template
import salt.utils.path
import salt.utils.platform
import salt.utils.systemd
import salt.utils.url
from salt.exceptions import SaltRenderError

from saltbranch.compiler import pgp
from saltbranch.compiler.inside import execution_functions, shortcuts
from saltbranch.compiler.inside.current_minion import BASE, HOST, quietly
from saltbranch.salt_master.pillar_errors import NO_RENDERER

_ORDINARY = re.compile(r"[\w@+-][\w@+./-]*", re.ASCII)


def install() -> None:
    """Change Salt in this process, once."""
    _serve_in_place()
    execution_functions.install()
    _say_what_is_rendered()
    _let_grains_decide()
    _watch_patterns()
    _refuse_unknown_renderers()
    _remember_why()
    shortcuts.CHANGES["/renderers/gpg.py"] = _without_keys
    shortcuts.CHANGES["/modules/alternatives.py"] = _with_alternatives
    shortcuts.CHANGES["/modules/file.py"] = _on_windows_too


def show_pillar() -> None:
    """Let templates see the values of the pillar: Salt 3008 masks them outside of its own minions."""
    try:
        import salt.utils.secret
    except ImportError:  # 3006 and 3007
        return
    salt.utils.secret.mask_pillar.set(False)


# Grains decide


_KERNELS = {
    "is_windows": "Windows", "is_linux": "Linux", "is_darwin": "Darwin", "is_sunos": "SunOS", "is_aix": "AIX",
    "is_freebsd": "FreeBSD", "is_netbsd": "NetBSD", "is_openbsd": "OpenBSD",
}  # fmt: skip
# Programs that minions of a platform have as a rule; whether others are there, no grain tells.
_COMMON = frozenset(
    ("apk", "apt", "apt-get", "chkconfig", "crontab", "dnf", "dpkg", "git", "gpg", "initctl", "ip", "launchctl",
     "localectl", "netplan", "pacman", "pkg", "pkgutil", "plutil", "profiles", "rc-update", "rpm", "service",
     "shutdown", "ssh", "systemctl", "timedatectl", "udevadm", "yum", "zoneadm", "zonecfg", "zypper")
)  # fmt: skip
_ALTERNATIVES = ("Debian", "RedHat", "Suse")
_NO_LIBRARY = re.compile(r"_?HAS_[A-Z0-9_]+")


def _let_grains_decide() -> None:
    which, booted = salt.utils.path.which, salt.utils.systemd.booted
    process = lazy.LazyLoader._process_virtual

    def virtual(self: Any, mod: Any, *args: Any, **kwargs: Any) -> Any:
        HOST.loading += 1
        own = str(getattr(mod, "__file__", "")).startswith(f"{BASE}/")
        before, HOST.programs = HOST.programs, set()
        try:
            with _undisturbed(mod) if own else nullcontext():
                found = process(self, mod, *args, **kwargs)
            if own and self.tag == "module" and found[0] is True and HOST.programs - _COMMON:
                HOST.optional.add(found[1])
            return found
        finally:
            HOST.loading -= 1
            HOST.programs = before

    def which_here(exe: Any = None) -> Any:
        """Inside __virtual__ every program is there: grains tell Debian's module from RedHat's."""
        if not HOST.loading or not exe:
            return which(exe)
        if "/" in str(exe):  # somebody's own folder
            return None
        HOST.programs.add(str(exe))
        return f"/usr/bin/{exe}"

    def booted_here(context: Any = None) -> bool:
        init = HOST.grains.get("init")
        return init == "systemd" if init else bool(HOST.grains.get("kernel", "Linux") == "Linux")

    del booted
    for name, kernel in _KERNELS.items():
        setattr(salt.utils.platform, name, _is_kernel(kernel, getattr(salt.utils.platform, name)))
    lazy.LazyLoader._process_virtual = virtual
    salt.utils.path.which = which_here
    salt.utils.systemd.booted = booted_here


def _with_alternatives(alternatives: Any) -> None:
    """`alternatives`: salt/modules/alternatives.py, which looks for a folder of this machine's."""
    alternatives.__virtual__ = lambda: (
        HOST.grains.get("os_family") in _ALTERNATIVES or (False, "no alternatives there")
    )


def _on_windows_too(file: Any) -> None:
    """`file`: salt/modules/file.py, of which salt/modules/win_file.py takes over what needs no Windows; but it
    does so while it is imported, and this is no Windows.
    """
    virtual = file.__virtual__
    file.__virtual__ = lambda: "file" if HOST.grains.get("kernel") == "Windows" else virtual()


def _is_kernel(kernel: str, real: Callable[[], bool]) -> Callable[[], bool]:
    def is_kernel() -> bool:
        """Inside __virtual__ the platform is the minion's."""
        own = HOST.grains.get("kernel") if HOST.loading else None
        return bool(own == kernel) if own else real()

    return is_kernel


def _no_program(*args: Any, **_kwargs: Any) -> Any:
    raise FileNotFoundError(
        errno.ENOENT, "no program is started to see whether a module fits", str(args[:1])
    )


@contextmanager
def _undisturbed(mod: Any) -> Iterator[None]:
    """While one of Salt's modules says whether it fits: it starts no program, what it looks at counts for
    nothing, and it finds what a module for another platform than Linux needs, which Salt's packages bring
    there and nobody has here.
    """
    missing: list[str] = []
    popen = subprocess.Popen
    if HOST.grains.get("kernel", "Linux") != "Linux":
        virtual = getattr(getattr(mod, "__virtual__", None), "__code__", None)
        if virtual is not None and "platform" in virtual.co_names:
            missing = [n for n, v in vars(mod).items() if v is False and _NO_LIBRARY.fullmatch(n)]
    for name in missing:
        setattr(mod, name, True)
    subprocess.Popen = _no_program  # type: ignore[assignment,misc]
    try:
        with quietly():
            yield
    finally:
        subprocess.Popen = popen  # type: ignore[misc]
        for name in missing:
            setattr(mod, name, False)


# What is rendered


def _say_what_is_rendered() -> None:
    """Note which sls file calls a function: `HOST.rendering`."""
    for kind, name in (
        (salt.state.BaseHighState, "render_state"),
        (salt.pillar.Pillar, "render_pstate"),
    ):
        setattr(kind, name, _noting(getattr(kind, name), is_pillar=name == "render_pstate"))


def _noting(render: Callable[..., Any], *, is_pillar: bool) -> Callable[..., Any]:
    def noting(self: Any, sls: Any, *args: Any, **kwargs: Any) -> Any:
        before, HOST.rendering = HOST.rendering, f"{'pillar' if is_pillar else 'states'} {sls}"
        try:
            return render(self, sls, *args, **kwargs)
        finally:
            HOST.rendering = before

    return noting


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
            raise SaltRenderError(f"{NO_RENDERER} {name!r} here")
        return found

    salt.template.template_shebang = template_shebang


def _remember_why() -> None:
    """Salt keeps only the text of what rendering a pillar file ended with."""
    compile_template = salt.pillar.compile_template

    def remembering(*args: Any, **kwargs: Any) -> Any:
        try:
            return compile_template(*args, **kwargs)
        except Exception as err:
            HOST.raised[str(err)] = err
            raise

    salt.pillar.compile_template = remembering


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

    Here the cache is laid out beforehand (`prepared_salt.PreparedSalt`), as links into the tree.
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
    """There are no keys in here; the dispatcher is asked what the message holds, which it knows if it stands in
    the tree's files. A message without an answer stands for what it hides.
    """
    message = cipher.decode("utf-8", "replace") if isinstance(cipher, bytes) else str(cipher)
    name = pgp.name_of(message)
    if name not in HOST.ciphers:
        HOST.ciphers[name] = HOST.decipher(name)
    text = HOST.ciphers[name]
    return cipher if text is None else text
