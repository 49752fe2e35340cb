"""What the salt-master of this machine has configured and knows: read through Salt itself.

Salt is imported inside the functions: that takes a third of a second.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saltbranch.base.errors import SaltError
from saltbranch.config.roots import is_composed
from saltbranch.salt_master import pillar_errors


@dataclass(frozen=True, slots=True)
class MasterOptions:
    """The master's options that saltbranch uses; `path` is its configuration file.

    `opts` is everything Salt makes of it, empty where there is no such file.
    """

    path: str
    exists: bool
    cachedir: str = "/var/cache/salt/master"
    sock_dir: str = "/var/run/salt/master"
    pki_dir: str = "/etc/salt/pki/master"
    pidfile: str = "/var/run/salt-master.pid"
    user: str = "root"
    nodegroups: Mapping[str, object] = field(default_factory=dict)
    opts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def event_socket(self) -> str:
        """Where the master takes events from programs on its machine."""
        return f"{self.sock_dir}/master_event_pull.ipc"

    def accepted_minions(self) -> list[str]:
        """The ids of the minions whose key the master accepted; none when it hides them."""
        try:
            return sorted(n for n in os.listdir(f"{self.pki_dir}/minions") if not n.startswith("."))
        except OSError:
            return []


def read(path: str) -> MasterOptions:
    """The options in `path` and the files it includes. Raises SaltError when Salt refuses them."""
    if not os.path.exists(path):
        return MasterOptions(path=path, exists=False)
    try:
        import salt.config
        import salt.exceptions
    except ImportError as err:
        raise SaltError(
            f"cannot import Salt: {err}", hint="install saltbranch into the Python that runs Salt"
        ) from err
    try:
        opts = salt.config.master_config(path, exit_on_config_errors=True)
    except (salt.exceptions.SaltException, SystemExit, OSError) as err:
        raise SaltError(f"Salt cannot read {path}: {err}", hint="fix that file") from err
    return MasterOptions(
        path=path,
        exists=True,
        cachedir=str(opts["cachedir"]),
        sock_dir=str(opts["sock_dir"]),
        pki_dir=str(opts["pki_dir"]),
        pidfile=str(opts["pidfile"]),
        user=str(opts["user"]),
        nodegroups=opts.get("nodegroups") or {},
        opts=opts,
    )


def no_fleet(fleet: str, path: str) -> str:
    """Why there is nobody to compile for, where that is nobody's mistake; empty when there may be somebody.

    fleet: as configured. path: the master's configuration file.
    """
    if fleet == "cache" and not os.path.exists(path):
        return f"fleet: cache, but there is no salt-master here ({path})"
    return ""


def source_files(path: str) -> list[str]:
    """The files and folders that decide what `read` returns, for noticing a change."""
    folder = os.path.dirname(path)
    include = f"{folder}/master.d"
    try:
        names = sorted(n for n in os.listdir(include) if n.endswith(".conf"))
    except OSError:
        names = []
    return [path, include, *(f"{include}/{name}" for name in names)]


def fire(opts: Mapping[str, Any], tag: str, data: Mapping[str, object]) -> bool:
    """Put an event on the running master's bus; False when no master took it."""
    import logging

    import salt.utils.event

    logger = logging.getLogger("salt")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # a master that is down is not an error of ours
    try:
        with salt.utils.event.get_master_event(opts, opts["sock_dir"], listen=False) as bus:
            return bool(bus.fire_event(dict(data), tag, timeout=2000))
    finally:
        logger.setLevel(level)


def known_options() -> frozenset[str]:
    """Every option that Salt knows for a master or a minion; none without Salt."""
    try:
        import salt.config as config
    except ImportError:
        return frozenset()
    known = (config.VALID_OPTS, config.DEFAULT_MASTER_OPTS, config.DEFAULT_MINION_OPTS)
    return frozenset(str(option) for options in known for option in options)


def cached(opts: Mapping[str, Any], minion_id: str, pillarenv: str) -> tuple[Any, Any]:
    """What the master remembers of a minion: its grains and its pillar, each None when there is
    none.

    opts: the master's. Raises SaltError when the cache cannot be read.
    """
    import salt.cache
    import salt.exceptions

    try:
        cache = salt.cache.factory(opts)
        grains = cache.fetch("grains", minion_id)
        pillar = cache.fetch("pillar", f"{minion_id}:{pillarenv}") or cache.fetch(
            "pillar", minion_id
        )
        old = {} if grains else cache.fetch(f"minions/{minion_id}", "data")  # before 3008
    except (salt.exceptions.SaltException, OSError, ValueError) as err:
        raise SaltError(
            f"cannot read what the master remembers of {minion_id}: {err}",
            hint="run saltbranch as the user of the salt-master, or name a file with --grains",
        ) from err
    old = old if isinstance(old, dict) else {}
    return grains or old.get("grains") or None, pillar or old.get("pillar") or None


def cached_minions(opts: Mapping[str, Any]) -> list[str]:
    """The ids of the minions whose grains the master remembers. Raises SaltError."""
    import salt.cache
    import salt.exceptions

    try:
        cache = salt.cache.factory(opts)
        old = [m for m in cache.list("minions") if cache.contains(f"minions/{m}", "data")]
        return sorted({*cache.list("grains"), *old})
    except (salt.exceptions.SaltException, OSError, ValueError) as err:
        raise SaltError(
            f"cannot read which minions the master remembers: {err}",
            hint="run saltbranch as the user of the salt-master, or set fleet: to a folder",
        ) from err


def version() -> str:
    """Salt's version, "" without Salt."""
    known: Any = sys.modules.get("salt.version")
    if known is None:
        # Its file alone: the package around it takes 60 ms, a fifth of a diff that finds nothing new.
        package = importlib.util.find_spec("salt")
        if package is None or package.origin is None:  # a folder of states is no Salt
            return ""
        spec = importlib.util.spec_from_file_location(
            "saltbranch_salt_version", f"{os.path.dirname(package.origin)}/version.py"
        )
        assert spec is not None and spec.loader is not None  # of a .py file it is never None
        known = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(known)
    return str(known.__version__)


class TopEvaluator:
    """A top file evaluated for one minion by Salt's own template and match code.

    For a process that does nothing else (top_view_child.py): it narrows what Salt's templates can do for
    good. Nothing is written but below `folder`.
    """

    def __init__(
        self,
        opts: Mapping[str, Any],
        *,
        minion_id: str,
        saltenv: str,
        roots: list[str],
        grains: Mapping[str, Any],
        pillar: Mapping[str, Any],
        folder: str,
        functions_id: str,
        lent_file: str = "",
    ) -> None:
        """Take the master's options, and where the saltenv's files are.

        functions_id: whose id the functions called in Jinja go by. lent_file: what is read beside the saltenv's own.
        """
        self.lent_file = lent_file
        self.saltenv = saltenv
        self.roots = roots
        self.opts: dict[str, Any] = {
            **dict(opts or default_options()),
            "id": minion_id,
            "minion_id": minion_id,
            "saltenv": saltenv,
            "grains": dict(grains),
            "pillar": dict(pillar),
            "file_client": "local",
            "file_roots": {saltenv: roots},
            "pillar_roots": {saltenv: roots},
            "cachedir": folder,
            "extension_modules": f"{folder}/extmods",
            "module_dirs": [],
        }
        self._functions_opts = {**self.opts, "id": functions_id}
        del self._functions_opts["minion_id"]

    def functions(self, names: Iterable[str]) -> dict[str, Callable[..., Any]]:
        """Salt's execution functions of these names."""
        import salt.loader

        modules = sorted({name.partition(".")[0] for name in names})
        loaded = salt.loader.minion_mods(self._functions_opts, whitelist=modules)
        return {name: _bare(loaded[name]) for name in names}

    def render(
        self,
        path: str,
        context: Mapping[str, Any],
        filters: frozenset[str],
        refusal: Callable[[str], Callable[..., Any]],
    ) -> Any:
        """The data that the file `path` stands for. Raises whatever Salt or `context` raises.

        context: the variables of its Jinja, ``opts`` among them. filters: those of Salt's own
        filters that it may use. refusal: what stands in for another one.
        """
        import io

        import salt.fileclient
        import salt.loader
        import salt.template
        import salt.utils.jinja
        import salt.utils.templates as templates
        from salt.utils.decorators.jinja import JinjaFilter, JinjaGlobal

        JinjaFilter.salt_jinja_filters = {
            name: function if name in filters else refusal(f"the filter {name}")
            for name, function in JinjaFilter.salt_jinja_filters.items()
        }
        JinjaGlobal.salt_jinja_globals["ifelse"] = refusal("ifelse")
        salt.utils.jinja.SaltCacheLoader = _bounded(
            salt.utils.jinja.SaltCacheLoader, self.lent_file
        )
        client = salt.fileclient.PillarClient(self.opts)
        loaded = salt.loader.render(self.opts, {})

        def jinja(data: Any, saltenv: str, sls: str, **kwargs: Any) -> Any:
            # _pillar_rend: look into the roots themselves, for states too, instead of a cache to be
            # filled.
            done = templates.JINJA(
                data,
                to_str=True,
                saltenv=saltenv,
                sls=sls,
                tmplpath=kwargs.get("tmplpath"),
                _pillar_rend=True,
                fileclient=client,
                **context,
            )
            if not done["result"]:
                raise SaltError(str(done["data"]).strip().splitlines()[-1])
            return io.StringIO(done["data"])

        renderers = {"jinja": jinja, "json": loaded["json"], "yaml": loaded["yaml"]}
        return salt.template.compile_template(
            path, renderers, "jinja|yaml", None, None, saltenv=self.saltenv
        )

    def matches(self, target: str, items: list[Any]) -> bool:
        """Whether the minion is meant by `target`, as a top file has it. Raises whatever Salt
        raises.
        """
        import salt.loader

        matchers = salt.loader.matchers(self.opts)
        nodegroups = self.opts.get("nodegroups") or {}
        return bool(matchers["confirm_top.confirm_top"](target, items, nodegroups))


def default_options() -> dict[str, Any]:
    """The options of a master without a configuration file."""
    import salt.config

    return dict(salt.config.DEFAULT_MASTER_OPTS)


def _bare(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` without the attributes of a loaded one, which lead to the loader and its
    options.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


def _ends(root: str) -> list[str]:
    """The real folders and files that a root of Salt's is made of."""
    found = [os.path.realpath(root)]
    leads = os.readlink(root) if os.path.islink(root) else root  # a lab's, to a saltenv's
    for folder, folders, names in os.walk(root) if is_composed(leads) else ():
        paths = (f"{folder}/{name}" for name in (*folders, *names))
        found += [os.path.realpath(path) for path in paths if os.path.islink(path)]
    return found


def _bounded(loader: Any, lent_file: str) -> Any:
    """A template loader of Salt's, less the files outside of its roots, which it would open as
    well. lent_file: the one that may be read all the same; empty for none.
    """
    beside = f"{os.path.realpath(lent_file)}/" if lent_file else ""

    class Bounded(loader):  # type: ignore[misc]
        def get_source(self, environment: Any, template: str) -> Any:
            source = super().get_source(environment, template)
            real = f"{os.path.realpath(source[1])}/"
            if real != beside and not any(
                real.startswith(f"{end}/") for r in self.searchpath for end in _ends(r)
            ):
                raise SaltError(f"it includes {template!r}, which is {pillar_errors.OUTSIDE}")
            return source

    return Bounded


def ask(
    master: MasterOptions,
    minions: Sequence[str],
    function: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    seconds: int,
) -> dict[str, Any]:
    """What `function` returns on each of `minions` that answers in time and without an error.

    Raises SaltError when the master cannot be asked.
    """
    import salt.client
    import salt.exceptions

    try:
        client = salt.client.LocalClient(master.path)
        answers = client.cmd(
            list(minions),
            function,
            list(args),
            tgt_type="list",
            kwarg=dict(kwargs),
            timeout=seconds,
            full_return=True,
        )
    except (salt.exceptions.SaltException, OSError, SystemExit) as err:
        raise SaltError(
            f"cannot ask minions through the master of {master.path}: {err}",
            hint=f"run it on the master, as root or {master.user}, while the master runs",
        ) from err
    return {
        str(minion): answer["ret"]
        for minion, answer in answers.items()
        if isinstance(answer, Mapping) and "ret" in answer and not answer.get("retcode")
    }
