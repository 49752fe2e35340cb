"""Which top files the salt-master reads, and what decides beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from saltbranch.base.text import some
from saltbranch.doctor.finding import Finding
from saltbranch.doctor.rules.seen_master import Master


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
            why="Minions of a saltenv that env_order leaves out get an empty highstate.",
            fix=master.remove("env_order"),
            items=tuple(forgotten),
        )


def _left_out(master: Master, order: Sequence[str]) -> Iterator[Finding]:
    """Saltenvs of others; what saltbranch writes names all that there were."""
    others = tuple(str(name) for name in master.opts.get("file_roots") or () if name not in order)
    if others:
        yield Finding(
            "env-order",
            "warning",
            f"{master.seen('env_order')}, without {some(others)}",
            why="Their top files are not read, so they give no states to a minion by themselves.",
            fix="add them to env_order, or take them out of file_roots;"
            f" where {master.master_config or 'saltbranch'} alone sets it,"
            " run saltbranch sync and restart the salt-master",
            items=others,
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


def master_tops(master: Master) -> Iterator[Finding]:
    """state.py, BaseHighState.top_matches and _master_tops."""
    names = tuple(map(str, master.opts.get("master_tops") or ()))
    if names:
        yield Finding(
            "master-tops",
            "warning",
            f"master_tops uses {some(names)} ({some(master.places.get('master_tops', ()))})",
            why="It gives states to minions beside their top file, and gives none without a word when"
            " it fails.",
            fix="move what it assigns into the branches' top files, then remove master_tops",
            items=names,
        )
