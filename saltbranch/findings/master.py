"""What in the salt-master's options lets saltenvs reach into one another, or hides what is served.

Each rule takes the options as Salt made them of all files, and yields findings. The sources of the
rules are named at each; `state.py` and the like are places in the salt package.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saltbranch import targets, topfile
from saltbranch.errors import ConfigError
from saltbranch.findings import Finding, some
from saltbranch.targets import Matcher

Roots = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Master:
    """The options of a salt-master, and what saltbranch needs of them.

    opts: as Salt made them. places: option to the files that set it. known: every option that Salt
    knows. file_roots, pillar_roots: what saltbranch writes. groups: saltenv to its minions.
    with_top: folders that hold a top file. served: (path as the master opens it, path below its
    root) of every served sls file. config: saltbranch.yaml. master_config: the file that saltbranch
    writes.
    """

    opts: Mapping[str, Any]
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    file_roots: Roots = field(default_factory=dict)
    pillar_roots: Roots = field(default_factory=dict)
    groups: Mapping[str, Sequence[Matcher]] = field(default_factory=dict)
    with_top: frozenset[str] = frozenset()
    served: tuple[tuple[str, str], ...] = ()
    config: str = "saltbranch.yaml"
    master_config: str = ""

    def seen(self, option: str) -> str:
        """The option with its value and where that comes from."""
        where = some(self.places.get(option, ())) or "Salt's default"
        return f"{option} is {self.opts.get(option)!r} ({where})"

    def remove(self, option: str) -> str:
        """The fix for an option that somebody set beside us."""
        others = [place for place in self.places.get(option, ()) if place != self.master_config]
        if others:
            return f"remove {option} from {some(others)} and restart the salt-master"
        return "run saltbranch sync, which writes it, and restart the salt-master"


def check(master: Master) -> list[Finding]:
    """Everything that the rules below find."""
    return [finding for rule in RULES for finding in rule(master)]


def top_merging_strategy(master: Master) -> Iterator[Finding]:
    """state.py, BaseHighState.get_tops and merge_tops."""
    strategy = master.opts.get("top_file_merging_strategy", "merge")
    if strategy == "merge":
        return
    refuses = strategy == "same" and not master.opts.get("default_top")
    yield Finding(
        "top-merging-strategy",
        "error" if refuses else "warning",
        master.seen("top_file_merging_strategy"),
        "With same and no default_top Salt refuses every highstate of a minion without a pinned"
        " saltenv."
        if refuses
        else "Only with merge does each saltenv's top file speak for its own saltenv and no other.",
        master.remove("top_file_merging_strategy"),
    )


def state_top_saltenv(master: Master) -> Iterator[Finding]:
    """state.py, BaseHighState.get_tops: then it is the only saltenv whose top file is read."""
    if master.opts.get("state_top_saltenv"):
        yield Finding(
            "state-top-saltenv",
            "error",
            master.seen("state_top_saltenv"),
            "The top files of all other saltenvs are not read, so their minions get an empty"
            " highstate.",
            master.remove("state_top_saltenv"),
        )


def default_top(master: Master) -> Iterator[Finding]:
    """state.py, BaseHighState._merge_tops_same."""
    if (master.opts.get("default_top") or "base") == "base":
        return
    acts = master.opts.get("top_file_merging_strategy") == "same"
    yield Finding(
        "default-top",
        "warning" if acts else "note",
        master.seen("default_top"),
        "A saltenv without a top file gets the one of this saltenv."
        if acts
        else "It does nothing unless top_file_merging_strategy becomes same; then it mixes them.",
        master.remove("default_top"),
    )


def jinja_syntax(master: Master) -> Iterator[Finding]:
    """utils/templates.py, render_jinja_tmpl."""
    for option, key, value in topfile.foreign_syntax(master.opts):
        yield Finding(
            "jinja-syntax",
            "error",
            f"{master.seen(option)}: {key} is {value!r}",
            "Jinja does not understand the generated top files with it, so no minion gets any pillar.",
            f"remove {key} from {option}; what is about white space may stay",
        )


def env_order(master: Master) -> Iterator[Finding]:
    """state.py, BaseHighState._get_envs: a saltenv that is not in the list is not looked at."""
    order = master.opts.get("env_order") or []
    forgotten = [saltenv for saltenv in master.file_roots if saltenv not in order]
    if order and not forgotten:
        yield from _left_out(master, order)
    if order and forgotten:
        yield Finding(
            "env-order",
            "error",
            f"{master.seen('env_order')}, without {some(forgotten)}",
            "Minions of a saltenv that env_order leaves out get an empty highstate.",
            master.remove("env_order"),
            tuple(forgotten),
        )


def _left_out(master: Master, order: Sequence[str]) -> Iterator[Finding]:
    """Saltenvs of others; what saltbranch writes names all that there were."""
    others = tuple(str(name) for name in master.opts.get("file_roots") or () if name not in order)
    if others:
        yield Finding(
            "env-order",
            "warning",
            f"{master.seen('env_order')}, without {some(others)}",
            "Their top files are not read, so they give no states to a minion by themselves.",
            f"add them to env_order, or take them out of file_roots; where {master.master_config or 'saltbranch'} alone"
            " sets it, run saltbranch sync and restart the salt-master",
            others,
        )


def pillarenv(master: Master) -> Iterator[Finding]:
    """pillar/__init__.py, Pillar.__init__ and __gen_opts."""
    if not master.opts.get("pillarenv"):
        return
    shielded = master.opts.get("pillarenv_from_saltenv") is True
    yield Finding(
        "pillarenv",
        "warning" if shielded else "error",
        master.seen("pillarenv"),
        "Only pillarenv_from_saltenv keeps it from being the pillar of every minion."
        if shielded
        else "Every minion gets its pillar from this saltenv, so those of others get none.",
        master.remove("pillarenv"),
    )


def pillarenv_from_saltenv(master: Master) -> Iterator[Finding]:
    """pillar/__init__.py, Pillar.__init__; it acts in the master's configuration only."""
    if master.opts.get("pillarenv_from_saltenv") is not True:
        yield Finding(
            "pillarenv-from-saltenv",
            "warning",
            master.seen("pillarenv_from_saltenv"),
            "A run with saltenv=NAME then takes its states from NAME and its pillar from"
            " elsewhere.",
            master.remove("pillarenv_from_saltenv"),
        )


def state_top(master: Master) -> Iterator[Finding]:
    """The name of the top file, for states and pillar alike."""
    value = str(master.opts.get("state_top", "top.sls"))
    if value.removeprefix("salt://").lstrip("/") != "top.sls":
        yield Finding(
            "state-top",
            "error",
            master.seen("state_top"),
            "Salt does not read the top files of saltbranch, so nothing keeps a branch's own from"
            " assigning anything to anybody.",
            master.remove("state_top"),
        )


def pillar_merging(master: Master) -> Iterator[Finding]:
    """pillar/__init__.py, Pillar.get_tops."""
    if master.opts.get("pillar_source_merging_strategy") == "none":
        yield Finding(
            "pillar-merging",
            "error",
            master.seen("pillar_source_merging_strategy"),
            "A minion without a pinned saltenv gets its pillar from the saltenv base only, that"
            " is none.",
            master.remove("pillar_source_merging_strategy"),
        )


def pillar_cache(master: Master) -> Iterator[Finding]:
    """pillar/__init__.py, CachedPillar."""
    if master.opts.get("pillar_cache"):
        yield Finding(
            "pillar-cache",
            "warning",
            f"{master.seen('pillar_cache')}, for {master.opts.get('pillar_cache_ttl')} seconds",
            "After a sync minions get the new states together with the old pillar until that time"
            " is over.",
            f"{master.remove('pillar_cache')}, or run salt-run pillar.clear_pillar_cache after"
            " each sync",
        )


def default_saltenv(master: Master) -> Iterator[Finding]:
    """salt/config/__init__.py, apply_master_config."""
    option = "saltenv" if master.opts.get("saltenv") else "environment"
    if master.opts.get(option):
        yield Finding(
            "master-saltenv",
            "note",
            master.seen(option),
            "Orchestrations and pillar compiled on the master use this saltenv unless another is"
            " named.",
            f"remove {option}, and name the saltenv in each call instead",
        )


def roots(master: Master) -> Iterator[Finding]:
    """The folders of each saltenv: exactly ours, or a stranger's files are served in it."""
    for option, wanted in (
        ("file_roots", master.file_roots),
        ("pillar_roots", master.pillar_roots),
    ):
        have = master.opts.get(option) or {}
        odd = [text for name in wanted for text in _odd_roots(name, wanted[name], have.get(name))]
        if odd:
            yield Finding(
                option.replace("_", "-"),
                "error",
                f"{option} is not what saltbranch writes: {'; '.join(odd)}"
                f" ({some(master.places.get(option, ())) or 'no file sets it'})",
                "Minions of that saltenv get other files than those of its branch, or none.",
                f"let only {master.master_config or 'the file of saltbranch'} name these saltenvs"
                " (Salt"
                " joins the lists of all files in master.d), then restart the salt-master",
                tuple(odd),
            )


def _odd_roots(saltenv: str, wanted: Sequence[str], have: object) -> Iterator[str]:
    if not isinstance(have, list):
        yield f"saltenv {saltenv} is missing"
        return
    paths = [os.path.normpath(str(path)) for path in have]
    if more := [path for path in paths if path not in wanted]:
        yield f"saltenv {saltenv} has {some(more)} too"
    if less := [path for path in wanted if path not in paths]:
        yield f"saltenv {saltenv} lacks {some(less)}"
    if not more and not less and paths != list(wanted):
        yield f"the folders of saltenv {saltenv} are in another order"


def other_saltenvs(master: Master) -> Iterator[Finding]:
    """A saltenv beside ours, for example base: its top file is read for every unpinned minion."""
    for option, wanted in (
        ("file_roots", master.file_roots),
        ("pillar_roots", master.pillar_roots),
    ):
        for saltenv, folders in (master.opts.get(option) or {}).items():
            if saltenv in wanted or saltenv == "__env__" or not wanted or not folders:
                continue
            leaks = [str(folder) for folder in folders if str(folder) in master.with_top]
            what = "pillar" if option == "pillar_roots" else "states"
            yield Finding(
                "other-saltenv",
                "warning" if leaks else "note",
                f"{option} names the saltenv {saltenv} beside those of saltbranch:"
                f" {some(map(str, folders))}"
                f" ({some(master.places.get(option, ())) or 'no file sets it'})",
                f"Its top file in {some(leaks)} is read for the minions of all saltenvs and may"
                " give any of"
                f" them {what}."
                if leaks
                else f"It has no top file, so it gives no minion {what} by itself.",
                f"remove {saltenv} from {option}, or its top file, or see to it that it matches"
                " none of the"
                " minions of saltbranch",
                tuple(map(str, folders)),
            )


def literal_env(master: Master) -> Iterator[Finding]:
    """fileserver/roots.py, find_file: the name that the minion sends is put in unchecked."""
    for option in ("file_roots", "pillar_roots"):
        if "__env__" in (master.opts.get(option) or {}):
            yield Finding(
                "literal-env",
                "error",
                f"{option} holds __env__ ({some(master.places.get(option, ()))})",
                "Salt puts the saltenv that a minion asks for into the path unchecked, so"
                " saltenv=../x reads"
                " files outside of it.",
                f"remove __env__ from {option}; saltbranch names each saltenv",
            )


def pillar_as_files(master: Master) -> Iterator[Finding]:
    """Every minion may read every file below file_roots, of any saltenv."""
    secret = {
        os.path.normpath(str(folder))
        for folders in (master.opts.get("pillar_roots") or {}).values()
        for folder in folders or ()
    }
    for saltenv, folders in (master.opts.get("file_roots") or {}).items():
        for folder in folders or ():
            public = os.path.normpath(str(folder))
            shown = sorted(
                s for s in secret if s == public or s.startswith(f"{public.rstrip('/')}/")
            )
            if shown:
                yield Finding(
                    "pillar-as-files",
                    "error",
                    f"file_roots of saltenv {saltenv} holds {public}, in which pillar lies:"
                    f" {some(shown)}",
                    "Every minion can read the pillar of all others as salt:// files.",
                    f"take {public} out of file_roots, or move the pillar elsewhere",
                    tuple(shown),
                )


_OTHER_BACKENDS = {
    "gitfs": "It serves every branch and tag as a saltenv of its own, top files included.",
    "hgfs": "It serves every branch and tag as a saltenv of its own, top files included.",
    "svnfs": "It serves every branch and tag as a saltenv of its own, top files included.",
    "minionfs": "It serves files that minions have pushed.",
}


def file_server_backend(master: Master) -> Iterator[Finding]:
    """fileserver/__init__.py, Fileserver.backends."""
    backends = [str(name) for name in master.opts.get("fileserver_backend") or ["roots"]]
    if "roots" not in backends:
        yield Finding(
            "file-server-backend",
            "error",
            f"{master.seen('fileserver_backend')}, without roots",
            "Nothing of what saltbranch serves reaches a minion.",
            "write fileserver_backend: [roots]",
        )
    for name in backends:
        if name in ("roots", "file_roots"):
            continue
        yield Finding(
            "file-server-backend",
            "warning",
            master.seen("fileserver_backend"),
            _OTHER_BACKENDS.get(
                name, "It adds files and saltenvs that saltbranch knows nothing of."
            ),
            f"take {name} out of fileserver_backend, when its files have moved to the control"
            " repository",
            (name,),
        )
    if master.opts.get("gitfs_remotes") and "gitfs" not in backends:
        yield Finding(
            "gitfs-remotes",
            "note",
            f"gitfs_remotes is set ({some(master.places.get('gitfs_remotes', ()))}), but gitfs is"
            " not used",
            "It does nothing until gitfs is in fileserver_backend.",
            "remove gitfs_remotes",
        )


def ext_pillar(master: Master) -> Iterator[Finding]:
    """pillar/__init__.py, Pillar.ext_pillar. Names only: the settings may hold passwords."""
    entries = [entry for entry in master.opts.get("ext_pillar") or [] if isinstance(entry, Mapping)]
    names = [str(name) for entry in entries for name in entry]
    where = some(master.places.get("ext_pillar", ()))
    if "git" in names:
        yield Finding(
            "git-pillar",
            "warning",
            f"ext_pillar uses git ({where})",
            "Its branches bring top files of their own, which give pillar to the minions of any"
            " saltenv.",
            "move that pillar into the control repository, then remove git from ext_pillar",
        )
    if others := [name for name in names if name != "git"]:
        yield Finding(
            "ext-pillar",
            "note",
            f"ext_pillar uses {some(others)} ({where})",
            "What it gives is the same for every saltenv unless it looks at the pillarenv itself.",
            "nothing, if that is meant",
            tuple(others),
        )


def master_tops(master: Master) -> Iterator[Finding]:
    """state.py, BaseHighState.top_matches and _master_tops."""
    names = tuple(map(str, master.opts.get("master_tops") or ()))
    if names:
        yield Finding(
            "master-tops",
            "warning",
            f"master_tops uses {some(names)} ({some(master.places.get('master_tops', ()))})",
            "It gives states to minions beside their top file, and gives none without a word when"
            " it fails.",
            "move what it assigns into the branches' top files, then remove master_tops",
            names,
        )


def symlinks(master: Master) -> Iterator[Finding]:
    """fileserver/roots.py, find_file (clean_path with realpath) and _file_lists."""
    bad = [
        option
        for option, value in (
            ("fileserver_followsymlinks", True),
            ("fileserver_ignoresymlinks", False),
        )
        if bool(master.opts.get(option, value)) is not value
    ]
    for option in bad:
        yield Finding(
            "symlinks",
            "error",
            master.seen(option),
            "The branches' top files are reached through symlinks, so every highstate would be"
            " empty.",
            master.remove(option),
        )


def ignored_files(master: Master) -> Iterator[Finding]:
    """fileserver/__init__.py, is_file_ignored: asked with the whole path, and in lists with its
    end.
    """
    regexes = [re.compile(regex) for regex in _texts(master.opts.get("file_ignore_regex"))]
    globs = _texts(master.opts.get("file_ignore_glob"))
    hidden = tuple(
        path
        for path, below in master.served
        if any(regex.search(name) for regex in regexes for name in (path, below))
        or any(fnmatch.fnmatch(name, glob) for glob in globs for name in (path, below))
    )
    if hidden:
        options = [
            name for name in ("file_ignore_regex", "file_ignore_glob") if master.opts.get(name)
        ]
        yield Finding(
            "files-ignored",
            "error",
            f"{' and '.join(map(master.seen, options))} hides {len(hidden)} sls files:"
            f" {some(hidden)}",
            "The master answers as if these files were not there.",
            f"narrow {' and '.join(options)}",
            hidden,
        )


def _texts(value: object) -> list[str]:
    return [str(item) for item in (value if isinstance(value, (list, tuple)) else [value]) if item]


def renderers(master: Master) -> Iterator[Finding]:
    """template.py, check_render_pipe_str: a renderer that is not allowed is left out of the
    pipe.
    """
    blocked = set(_texts(master.opts.get("renderer_blacklist"))) & {"jinja", "json"}
    if allowed := _texts(master.opts.get("renderer_whitelist")):
        blocked |= {"jinja", "json"} - set(allowed)
    if blocked:
        options = ("renderer_blacklist", "renderer_whitelist")
        where = [place for option in options for place in master.places.get(option, ())]
        yield Finding(
            "renderers",
            "error",
            f"the renderers {some(sorted(blocked))} are not allowed ({some(where)})",
            "The top files of saltbranch need jinja and json; without them no minion gets"
            " anything.",
            "allow jinja and json in renderer_whitelist and renderer_blacklist",
            tuple(sorted(blocked)),
        )


def dashed_options(master: Master) -> Iterator[Finding]:
    """Salt takes any key, and never looks at one that is written with dashes."""
    yield from dashed(master.places, master.known)


def dashed(places: Mapping[str, Sequence[str]], known: frozenset[str]) -> Iterator[Finding]:
    """Options whose name with underscores is one of `known`. places: option to the files that set
    it.
    """
    for key, files in places.items():
        right = key.replace("-", "_")
        if right != key and right in known and key not in known:
            yield Finding(
                "dashed-option",
                "warning",
                f"{key} in {some(files)} is not an option of Salt",
                f"Salt ignores it without a word; its name is {right}.",
                f"rename it to {right}, if it is what you want",
                (key,),
            )


def nodegroups(master: Master) -> Iterator[Finding]:
    """Minions belong to a saltenv by id; a nodegroup may go by grains, which a minion chooses."""
    for saltenv, matchers in master.groups.items():
        where = f"{master.config}: saltenvs.{saltenv}.minions"
        try:
            targets.check_nodegroups(matchers, master.opts.get("nodegroups") or {}, where)
        except ConfigError as err:
            yield Finding(
                "nodegroup",
                "error",
                err.message,
                "The saltenv, and with it the pillar of a minion, must not depend on its own word.",
                err.hint,
                (saltenv,),
            )


def key_acceptance(master: Master) -> Iterator[Finding]:
    """Pillar is given out by id, and an id is worth what the acceptance of its key is worth."""
    for option in ("auto_accept", "open_mode"):
        if master.opts.get(option):
            yield Finding(
                "key-acceptance",
                "warning",
                master.seen(option),
                "Whoever reaches the master can take a minion id of any saltenv, and gets its"
                " pillar.",
                f"set {option}: False, and accept keys with salt-key",
                (option,),
            )


RULES = (
    top_merging_strategy, state_top_saltenv, default_top, jinja_syntax, env_order, pillarenv,
    pillarenv_from_saltenv, state_top, pillar_merging, pillar_cache, default_saltenv, roots,
    other_saltenvs, literal_env, pillar_as_files, file_server_backend, ext_pillar, master_tops,
    symlinks, ignored_files, renderers, dashed_options, nodegroups, key_acceptance,
)  # fmt: skip


def gitfs_locks(locks: Iterable[tuple[str, bool]], *, used: bool) -> Iterator[Finding]:
    """Lock files that a killed gitfs left (salt/utils/gitfs.py, ``_get_lock_file``).

    locks: path, and whether the process named in it still runs. used: gitfs or git_pillar is
    configured.
    """
    stale = tuple(path for path, alive in locks if not alive)
    if stale:
        yield Finding(
            "stale-gitfs-lock",
            "warning" if used else "note",
            f"{len(stale)} locks of gitfs or git_pillar belong to no running process:"
            f" {some(stale, 3)}",
            "While they lie there, that repository is never updated again, and nothing says so."
            if used
            else "They are left-overs: no git backend is configured any more.",
            "salt-run cache.clear_git_lock gitfs type=update (also git_pillar; types checkout,"
            " mountpoint)"
            if used
            else "remove the gitfs and git_pillar folders in the master's cachedir",
            stale,
        )
