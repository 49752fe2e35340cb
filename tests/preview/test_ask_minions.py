"""What `fleet record --returns` asks a minion for by itself."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping

import pytest
import salt.modules

from saltbranch.compiler import read_only_functions
from saltbranch.compiler.functions import TABLE
from saltbranch.compiler.read_only_functions import ACTS, BY_ARGUMENTS, NOT_LISTED
from saltbranch.preview.ask_minions import HIDDEN, SECRET, _reason, _without_password


@pytest.mark.parametrize(
    "call",
    ["disk.usage()", 'file.stats("/etc/hosts")', 'user.info("root")', 'file.file_exists("/etc/secret")',
     'file.find("/srv", name="*.sls", type="f")', 'pkg.latest_version("vim", refresh=false)', "pip.freeze()"],
)  # fmt: skip
def test_what_only_looks_is_asked(call: str) -> None:
    assert _reason(call, acting=False) is None


@pytest.mark.parametrize(
    "call",
    ['cmd.run("id")', 'pkg.latest_version("vim")', 'pkg.upgrade_available("vim")', "pkg.list_upgrades()",
     'pkg.latest_version("vim", refresh=0)', "pkg.list_upgrades(true, refresh=false)"],
)  # fmt: skip
def test_what_may_change_something_is_asked_only_where_that_was_agreed_to(call: str) -> None:
    assert _reason(call, acting=False) == ACTS
    assert _reason(call, acting=True) is None


@pytest.mark.parametrize(
    "call",
    ['file.find("/srv", delete="f")', 'file.find("/srv", "delete")', 'file.find("/srv", exec="id")',
     'file.find("/srv", grep="x")', 'pip.list(bin_env="/tmp/x")', 'pip.is_installed("x", "/tmp/y")'],
)  # fmt: skip
@pytest.mark.parametrize("acting", [False, True])
def test_an_argument_can_make_a_question_an_order(call: str, acting: bool) -> None:
    assert _reason(call, acting=acting) == BY_ARGUMENTS


@pytest.mark.parametrize(
    "call",
    ['shadow.info("root")', "environ.items()", "ssh.host_keys()", 'file.read("/etc/shadow")',
     'git.status("/srv", opts="-c core.fsmonitor=id")', 'status.ping_master("m")', "status.procs()",
     'publish.publish("*", "cmd.run", "id")', 'saltutil.runner("x")', "no.such()", "mod_of_mine.answer()",
     'http.query("http://x", method="POST")', 'service.restart("x")', 'cp.get_file("salt://x", "/etc/x")',
     'slsutil.renderer("/tmp/x")', 'mine.get("*", "x")', "random.get_str()", 'hashutil.base64_encodefile("/x")'],
)  # fmt: skip
@pytest.mark.parametrize("acting", [False, True])
def test_what_is_not_listed_is_never_asked(call: str, acting: bool) -> None:
    assert _reason(call, acting=acting) == NOT_LISTED


@pytest.mark.parametrize("call", ['cmd.run("vault read x")', 'cmd.run("cat /etc/shadow")'])
def test_a_command_that_speaks_of_a_secret_is_never_asked(call: str) -> None:
    assert _reason(call, acting=True) == SECRET
    assert _reason("cmd.run", acting=True) == HIDDEN


def test_what_may_be_a_password_is_not_recorded() -> None:
    told = [{"name": "ann", "passwd": "$6$abc", "uid": 1}]
    assert _without_password(told) == [{"name": "ann", "passwd": "x", "uid": 1}]


def _modules() -> Mapping[str, set[str]]:
    """The functions that Salt's modules have, by the name that they go by."""
    found: dict[str, set[str]] = {}
    for info in pkgutil.iter_modules(salt.modules.__path__):
        try:
            module = importlib.import_module(f"salt.modules.{info.name}")
        except Exception:  # another platform, or a library that is missing
            continue
        names = {getattr(module, "__virtualname__", info.name), info.name}
        alias = getattr(module, "__func_alias__", {})
        own = {
            alias.get(n, n)
            for n, f in vars(module).items()
            if inspect.isfunction(f) and n[0] != "_"
        }
        for name in names:
            found.setdefault(name, set()).update(own)
    return found


# Names under which modules of a platform go without having them as `__virtualname__` alone.
_PLATFORMS = {"user": "useradd", "group": "groupadd", "service": "systemd_service", "lvm": "linux_lvm",
              "sysctl": "linux_sysctl", "kmod": "kmod", "lowpkg": "dpkg_lowpkg", "pkg": "aptpkg",
              "locale": "localemod", "cmd": "cmdmod", "ip": "debian_ip", "raid": "mdadm_raid",
              "timezone": "timezone", "test": "test"}  # fmt: skip


@pytest.mark.parametrize(
    "function", sorted(read_only_functions.LOOKING | read_only_functions.ACTING)
)
def test_every_function_of_the_list_is_one_of_salt(function: str) -> None:
    module, _, name = function.partition(".")
    known = MODULES.get(module, set()) | MODULES.get(_PLATFORMS.get(module, ""), set())
    assert name in known, f"Salt has no {function}"
    assert TABLE[function].kind in ("asks", "reads") or function in read_only_functions.ACTING


MODULES = _modules()
