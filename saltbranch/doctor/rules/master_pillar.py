"""What gives a minion the pillar of another saltenv, an old one, or none."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from saltbranch.base.text import some
from saltbranch.doctor.finding import Finding
from saltbranch.doctor.rules.seen_master import Master


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
                    why="Every minion can read the pillar of all others as salt:// files.",
                    fix=f"take {public} out of file_roots, or move the pillar elsewhere",
                    items=tuple(shown),
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
            why="What it gives is the same for every saltenv unless it looks at the pillarenv itself.",
            fix="nothing, if that is meant",
            items=tuple(others),
        )
