"""Salt made ready once for all minions: changed, rehearsed, with what the branch holds listed."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import salt._logging
import salt.fileclient
import salt.loader
import salt.utils.files
import salt.version

from saltbranch.compiler import message_words
from saltbranch.compiler.hiding import words_of
from saltbranch.compiler.inside import highstate, salt_patches, shortcuts, templates, tracking
from saltbranch.compiler.inside.current_minion import BASE, HOST
from saltbranch.compiler.inside.tracking import Tracker, Wire
from saltbranch.salt_master import top_file

# How Salt lists the folders of its loaders (salt/loader/__init__.py).
_LOADERS: tuple[tuple[str, str | None, dict[str, Any]], ...] = (
    ("modules", "module", {}), ("states", None, {}), ("matchers", None, {}), ("serializers", None, {}),
    ("pillar", None, {}), ("fileserver", None, {}), ("renderers", "render", {"ext_type_dirs": "render_dirs"}),
    ("utils", None, {"ext_type_dirs": "utils_dirs", "load_extensions": False}),
)  # fmt: skip
CUSTOM = tuple(kind for kind, _, _ in _LOADERS)
# Which files Salt looks for by itself; file_tree (salt/pillar/file_tree.py) is an external pillar.
_SALTS_NAMES = "init.sls top.sls jinja hosts nodegroups"
# Folders that every system has.
_SYSTEMS_NAMES = "etc gshadow home opt pki private proc root salt shadow srv ssh ssl tmp usr var"
_TEMPORARY = f"{tempfile.gettempdir()}/{salt.utils.files.TEMPFILE_PREFIX}"
"""What Salt writes down itself while it renders."""
# A saltenv that cannot be anybody's: what is remembered of it must be found for no other.
_NOBODYS = "saltbranch rehearsal"
# A few states and templates of ours: what they need most highstates need.
_REHEARSAL = {
    "top.sls": f"{_NOBODYS}:\n  'comp*':\n    - match: compound\n    - one\n",
    "one.sls": "{% set x = salt['grains.filter_by']({'Debian': {'a': 1}}, default='Debian') %}\n"
    "{% from 'map.jinja' import y with context %}\n{% set z = salt['pillar.get']('a:b', 1) %}\n"
    "a:\n  test.nop:\n    - name: {{ x.a }}{{ y | json }}\n",
    "map.jinja": "{% import_yaml 'data.yaml' as y %}\n",
    "data.yaml": "a: {b: c}\n",
}
_LIKELY = 4
"""Sls files for each minion that most of them are still wanted."""
_ROOM = 8 << 20
"""Signs of texts that are kept."""
_GRAINS = {"kernel": "Linux", "os": "Debian", "os_family": "Debian", "osmajorrelease": 12}


class PreparedSalt:
    """Salt made ready, in a process that never compiles anything itself, and knows of no minion."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        """Import and change Salt. job: see `pool`."""
        self.job = job
        self.texts: dict[str, str | None] = {}
        self.room = _ROOM
        self.folders: dict[str, str] = job["folders"]
        self.writable: list[str] = job["writable"]
        self.harmless = _harmless(self.folders)
        self.libraries = _libraries()
        self.salt_version = str(salt.version.__version__)
        salt._logging.shutdown_temp_handler()
        logging.disable(logging.CRITICAL)
        logging.root.setLevel(100)
        shortcuts.install()
        salt_patches.install()
        self.base = highstate.base_options(self.folders, job["master"])
        self.paths = frozenset(_names(self.folders, job["inside"]))
        self.names = "\n".join(self.paths)
        self.modules: dict[str, str] = {}
        self._rehearse()
        shortcuts.forget_listings()
        HOST.forget()
        HOST.kinds = job["inside"]
        HOST.tops = self.folders["tops"]
        self.words = message_words.salts_words() | words_of(self.names)
        own = (
            *tracking.TRIED.values(),
            tracking.UNHEARD,
            *CUSTOM,
            *job["inside"].values(),
            top_file.BRANCH_TOP,
        )
        own = (
            *own,
            job["saltenv"],
            *(job["master"].get("nodegroups") or ()),
            _SALTS_NAMES,
            _SYSTEMS_NAMES,
        )
        self.words |= words_of(" ".join(own))
        HOST.is_plain = self._is_plain()
        self.links = self._links(job["saltenv"])
        if HOST.is_plain:
            self._list(job["saltenv"])
        kinds = ("states", "pillar")
        self.tops = [f"{self.folders['tops']}/{job['saltenv']}/{kind}/top.sls" for kind in kinds]
        tops = [*self.tops, *(f"{self.folders[kind]}/top.sls" for kind in kinds)]
        names = [self.names.replace("/", "."), *(text_or_none(path) or "" for path in tops)]
        self.known = "\n".join(names).lower()
        self.learn("patterns", [])

    def _rehearse(self) -> None:
        """Go through all of it with next to nothing in it, so that the forks find Salt's own parts loaded.

        Nothing of the branch runs here: the files are ours, and custom modules are only listed.
        """
        nothing = f"{self.folders['cache']}/nothing"
        os.makedirs(f"{nothing}/{_NOBODYS}/states")
        for name, text in _REHEARSAL.items():
            with open(f"{nothing}/{_NOBODYS}/states/{name}", "w", encoding="utf-8") as file:
                file.write(text)
        os.symlink("states", f"{nothing}/{_NOBODYS}/pillar")
        folders = {**self.folders, "states": nothing, "pillar": nothing, "tops": nothing}
        minion = {"id": "compile", "saltenv": _NOBODYS, "grains": _GRAINS}
        base = copy.deepcopy(self.base)
        opts = {**highstate.minion_options(base, minion, folders), "module_dirs": []}
        HOST.grains = _GRAINS
        highstate.compile_minion(opts, {})
        for kind, tag, options in _LOADERS:
            found = salt.loader._module_dirs(self.base, kind, tag, **options)
            salt.loader.lazy.LazyLoader(found, self.base, tag=tag or kind, pack={})
            self.modules.update(shortcuts.own_modules(found, tag or kind))

    def _links(self, saltenv: str) -> list[tuple[str, str]]:
        """The minion's cache of files, as it would be with all of them in it: where links lead, and names."""
        found: dict[str, str] = {}
        for source in (f"{self.folders['tops']}/{saltenv}/states", self.folders["states"]):
            for name in os.listdir(source):
                found.setdefault(name, f"{source}/{name}")
        return [(target, name) for name, target in found.items()]

    def _lay_out(self, saltenv: str) -> None:
        """The folders that Salt writes to: this fork's own, so that no other finds anything there."""
        folder = f"{self.folders['cache']}/files/{saltenv}"
        for made in (folder, *(f"{self.folders['cache']}/{n}" for n in ("extmods", "run", "pki"))):
            os.makedirs(made)
        for target, name in self.links:
            os.symlink(target, f"{folder}/{name}")

    def _is_plain(self) -> bool:
        """Whether Salt's own file server shows the tree as it is on disk."""
        if self.base.get("file_ignore_regex") or self.base.get("file_ignore_glob"):
            return False
        return not os.path.exists(f"{self.folders['states']}/_fileserver") and not any(
            os.path.islink(f"{folder}/{name}")
            for kind in ("states", "pillar")
            for folder, folders, names in os.walk(self.folders[kind])
            for name in (*folders, *names)
        )

    def _list(self, saltenv: str) -> None:
        """Have Salt list the tree once; forks take the lists over (`shortcuts`)."""
        minion = {"id": "compile", "saltenv": saltenv, "grains": {}}
        opts = highstate.minion_options(copy.deepcopy(self.base), minion, self.folders)
        for is_pillar in (True, False):
            client = salt.fileclient.get_file_client({**opts, "module_dirs": []}, is_pillar)
            client.list_states(saltenv)

    def likely(self) -> list[list[str]]:
        """The sls files, as `learn` takes them, where the minions are so many that most will be wanted."""
        known = self.job["likely"]
        paths = self.paths if known is None else self.paths & {*known}
        names = sorted(path for path in paths if path.endswith(".sls"))
        if self.job["tops_only"] or len(names) > int(self.job["minions"]) * _LIKELY:
            return []
        return [[path, "", ""] for path in names if self._text(path) is not None]

    def learn(self, kind: str, items: list[Any]) -> None:
        """Make what a fork had to make for the first time, for the forks to come."""
        if kind == "modules":
            shortcuts.learn({n: self.modules[n] for n in items if n in self.modules})
        elif kind == "patterns":
            shortcuts.learn_patterns(p for p in items if p.lower() in self.known)
        templates.learn(items if kind == "templates" else (), self.tops, self._text)

    def _text(self, path: str) -> str | None:
        """The text of a file of the tree, by its path in the repository, unless it is a large one.

        Kept: nobody can write there, and what a fork asks for the worker has read by then (`learn`).
        """
        if path in self.texts:
            return self.texts[path]
        text = self._read(path)
        if self.room > 0:
            self.room -= len(text or "")
            self.texts[path] = text
        return text

    def _read(self, path: str) -> str | None:
        for kind, inner in self.job["inside"].items():
            if path.startswith(f"{inner}/"):
                return text_or_none(f"{self.folders[kind]}{path[len(inner) :]}")
        return text_or_none(path) if path in self.tops else None

    def _tracker(self, saltenv: str, wire: Wire) -> Tracker:
        inside = self.job["inside"]
        roots = {self.folders[kind]: inside[kind] for kind in ("states", "pillar")}
        roots.update({outside: inner for outside, inner in self.job["mapped"]})
        roots[f"{self.folders['cache']}/files/{saltenv}"] = inside["states"]
        for kind in ("states", "pillar"):
            link = f"{self.folders['tops']}/{saltenv}/{kind}/{top_file.BRANCH_TOP}"
            roots[link] = f"{inside[kind]}/top.sls"
        link = f"{self.folders['cache']}/files/{saltenv}/{top_file.BRANCH_TOP}"
        roots[link] = f"{inside['states']}/top.sls"
        return Tracker(roots, self.harmless, self.job["refused"], self.libraries, wire.tell)


def _harmless(folders: Mapping[str, str]) -> list[str]:
    """Where opening a file means nothing: the beginnings of names, with links in them and without."""
    names = [sys.prefix, sys.base_prefix, BASE, folders["cache"], folders["tops"], "/usr/", "/lib", "/dev/null",
             "/dev/urandom", "/proc/self", _TEMPORARY, "/opt/saltbranch", "/etc/localtime",
             "/etc/ld.so.cache"]  # fmt: skip
    names += [path for path in sys.path if path.startswith("/")]
    own = (sys.prefix, sys.base_prefix, BASE, *names[14:])
    return [*dict.fromkeys((*names, *map(os.path.realpath, own)))]


def _libraries() -> list[str]:
    """Where Python's, Salt's and our own modules are: the beginnings of their names."""
    names = [sys.prefix, sys.base_prefix, BASE, "/usr/lib", "/opt/saltbranch", *sys.path]
    return [f"{name.rstrip('/')}/" for name in dict.fromkeys(names) if name.count("/") > 1]


def text_or_none(path: str) -> str | None:
    """The text of a file, unless it is a large one."""
    with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
        text = file.read(templates.LARGEST + 1)
        return text if len(text) <= templates.LARGEST else None
    return None


def _names(folders: Mapping[str, str], inside: Mapping[str, str]) -> Iterator[str]:
    """The path of every file of the tree, as the repository has it."""
    for kind, inner in inside.items():
        for folder, _, names in os.walk(folders[kind]):
            for name in names:
                yield f"{inner}{folder[len(folders[kind]) :]}/{name}"
