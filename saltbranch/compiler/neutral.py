"""Which execution functions run while compiling, and what the others answer instead.

A function that looks at the host would speak of the machine that compiles, and one that acts on it
must not run. The recorded `returns` of the minion answer for both. Where there are none, a neutral
value does, and the result says that it did.
"""

from __future__ import annotations

import fnmatch
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

# They compute, or look at grains, pillar, options and salt:// files, all of which are the minion's.
_RUN = """
    grains.get grains.filter_by grains.item grains.items grains.ls grains.has_value grains.equals
    grains.fetch pillar.* match.* slsutil.* defaults.* config.* jinja.* hashutil.*
    random.hash random.seed random.str_encode
    dictupdate.* data_util.* test.echo test.ping test.true test.true_ test.false test.false_ test.arg
    test.args test.arg_repr test.kwarg test.opts_pkg test.version test.versions_information
    test.versions_report test.random_hash test.collatz test.fib test.not_loaded test.none
    cp.get_file_str cp.get_file cp.get_template cp.cache_file cp.cache_files cp.cache_dir cp.hash_file
    cp.hash_file_str cp.list_states cp.list_master cp.list_master_dirs cp.list_master_symlinks
    cp.is_cached cp.envs cp.get_dir cp.get_url cp.stat_file
    file.join file.basename file.dirname file.normpath file.expand_user
    state.sls_exists state.id_exists baredoc.* sys.doc sys.list_functions sys.list_modules
    sys.list_state_functions sys.list_state_modules sys.argspec sys.state_argspec
""".split()

# Where the name does not tell what kind of value comes back.
_KNOWN: dict[str, Any] = {
    "cmd.retcode": 0,
    "cmd.run_all": {"pid": 0, "retcode": 0, "stdout": "", "stderr": ""},
    "cmd.which": None,
    "cmd.which_bin": None,
    "data.get": None,
    "environ.get": "",
    "mine.get": {},
    "network.default_route": [],
    "network.get_hostname": "",
    "network.interface": [],
    "network.interface_ip": "",
    "network.interfaces": {},
    "network.ip_addrs": [],
    "network.ip_addrs6": [],
    "network.ipaddrs": [],
    "network.subnets": [],
    "pkg.latest_version": "",
    "pkg.list_pkgs": {},
    "pkg.version": "",
    "publish.publish": {},
    "publish.runner": {},
    "saltutil.runner": {},
    "sdb.get": "",
    "ssh.host_keys": {},
    "user.info": {},
    "group.info": {},
    "vault.read_secret": "",
}
_RULES: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("*exists*", "is_*", "has_*", "*available*", "*enabled*", "*running*", "*installed*",
      "check_*", "contains*", "*.status"), False),
    (("list_*", "ls*", "*addrs*", "find*", "get_all", "readdir", "subnets*"), []),
    (("get_*", "*info*", "interfaces", "stats", "show*", "items", "publish*"), {}),
)  # fmt: skip


def prepare() -> None:
    """Have all patterns compiled that `runs` and `default` use."""
    runs("no.such")
    default("no.such")


@functools.cache
def runs(function: str) -> bool:
    """Whether Salt's own `function` is really called."""
    return any(fnmatch.fnmatchcase(function, pattern) for pattern in _RUN)


def default(function: str) -> Any:
    """A value of the kind that `function` returns, which says nothing."""
    if function in _KNOWN:
        known = _KNOWN[function]
        return json.loads(json.dumps(known))
    name = function.rpartition(".")[2]
    for patterns, value in _RULES:
        if any(
            fnmatch.fnmatchcase(name, p.removeprefix("*.") if "." in p else p) for p in patterns
        ):
            return json.loads(json.dumps(value))
    return ""


# Jinja's cmd.run is cmd.shell (salt/utils/templates.py, AliasedLoader); people write cmd.run.
_ALIASES = {"cmd.shell": "cmd.run"}


def recorded(
    returns: Mapping[str, Any], function: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[bool, Any]:
    """Whether `returns` answers this call, and what it says; with the arguments goes first."""
    for name in (function, _ALIASES.get(function, function)):
        for key in (call(name, args, kwargs), call(name, args, {}), name):
            if key in returns:
                return True, json.loads(json.dumps(returns[key]))
    return False, None


def answers(returns: Mapping[str, Any], function: str) -> bool:
    """Whether `returns` speaks of `function` at all."""
    names = {function, _ALIASES.get(function, function)}
    return any(key.partition("(")[0] in names for key in returns)


def call(function: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """The key of a call in `returns`: ``fun("arg", 1, key=true)``, arguments as JSON."""
    words = [json.dumps(arg, default=str) for arg in args]
    words += [
        f"{k}={json.dumps(v, default=str)}" for k, v in sorted(kwargs.items()) if k[:2] != "__"
    ]
    return f"{function}({', '.join(words)})"
