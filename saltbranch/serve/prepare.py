"""The slow road of a sync: check the configuration, write what Salt reads, note it for the quick road."""

from __future__ import annotations

import grp
import json
import os
import pwd
from collections.abc import Mapping

from saltbranch.base import files
from saltbranch.base.errors import ConfigError, RefusedError, os_error
from saltbranch.config import minions as targets
from saltbranch.config.check import build_config
from saltbranch.config.keys import VERIFY_OFF
from saltbranch.config.lab_places import lab_saltenvs
from saltbranch.config.model import Config, Source
from saltbranch.config.signers import as_text, kept_together
from saltbranch.git.address import one_word
from saltbranch.git.mirror import JOURNAL_REF, Mirror, Refs, ref_name
from saltbranch.git.program import mask
from saltbranch.journal.accepted import believed
from saltbranch.labs import judge
from saltbranch.notify import gather, outbox
from saltbranch.repository import decision, model, model_file, prepared, promotions_due
from saltbranch.repository.accepted import IN_MIRROR
from saltbranch.repository.machine import load_config, read_machine_file
from saltbranch.repository.prepared import Prepared, Served, ServedSaltenv
from saltbranch.salt_master import options as master_options
from saltbranch.salt_master import top_file
from saltbranch.salt_master.options import MasterOptions
from saltbranch.serve import lab_rules, relayout, salt_files
from saltbranch.serve.decide import Facts


def prepare(
    config_path: str, mirror: Mirror, branches: dict[str, str], *, write: bool
) -> tuple[Prepared, list[str]]:
    """Check everything, write the top files and the master's configuration where they differ.

    Returns what a sync needs, and what was written (with `write` false: what would be).
    Raises ConfigError, RefusedError, SaltError.
    """
    config = load_config(config_path, mirror, branches, write=write)
    master = master_options.read(config.salt_config)
    newest = config.source
    config = _servable(config, master, mirror)
    asked, config = config, lab_rules.still_needed(config)
    check_jinja(master)
    salt_files.refuse_foreign(config.master_config)
    gid = _group(config, master)
    try:
        notes = _compose_first(config, mirror) if write and config.roots.composed else []
        notes += salt_files.write_all(config, gid) if write else salt_files.outdated(config)
        notes += relayout.move_over(config.root, mirror) if write else []
        notes += _want_notices(config, mirror) if write else []
        if write:
            promotions_due.want(config)
    except OSError as err:
        raise os_error(err) from err
    ref = f"{IN_MIRROR}{ref_name(config.model_branch)}"
    accepted = mirror.git.commit_or_none(ref) or ""
    if config.source.problem:  # what is refused may be accepted by what the journal says
        accepted += f" {mirror.git.commit_or_none(JOURNAL_REF) or ''}"
    ready = _reduce(config, master, gid, branches, accepted)
    rules = judge.rules_of(asked, master.nodegroups) if config.labs else None
    ready.labs, ready.lab_rules = lab_rules.told(config, rules) if rules else ("", "")
    ready.lab_signed = _lab_signed(asked) if config.labs else ""
    if config.labs != asked.labs:
        ready.signatures.append((config.path, f"{prepared.AGAIN}labs that are no longer there"))
    if config.source is not newest:
        ready.signatures.append(
            (config.path, f"{prepared.AGAIN}other minions may be accepted by then")
        )
    if write:
        prepared.save(ready)
    return ready, notes


def _want_notices(config: Config, mirror: Mirror) -> list[str]:
    """Remember what people and hooks are to be told of; what is to be noted, for a sync does not fail by it."""
    try:
        names = gather.wanted(config)
        outbox.want(
            config.root, names, believed(mirror.git, mirror.refs()).head or "" if names else ""
        )
    except OSError as err:
        return [f"what people are told of stays as it was: {os_error(err).message}"]
    return []


def last_facts(
    config: Config, mirror: Mirror, refs: Refs, served: Mapping[str, Served], *, now: float
) -> Facts:
    """What the last sync chose by, for whoever looks without a sync. now: seconds since 1970. Raises GitError."""
    return Facts(
        root=config.root,
        mirror=mirror,
        refs=refs,
        saltenvs=served_saltenvs(config),
        served=served,
        now=now,
        production=config.source.branch,
        unread=prepared.load_unread(config.root),
        last=decision.load(config.root, None, now),
    )


def _compose_first(config: Config, mirror: Mirror) -> list[str]:
    """Before Salt is told to look there: see compose.lay_first; what else was done. Raises OSError."""
    from saltbranch.serve import compose
    from saltbranch.serve.slots import Slots

    os.makedirs(f"{config.root}/slots", exist_ok=True)
    notes = relayout.move_over(config.root, mirror)
    for saltenv in (*config.saltenvs, *lab_saltenvs(config)):
        former = salt_files.former_folders(config, saltenv)
        compose.lay_first(Slots(config.root, saltenv.dirname, mirror), config.roots, former)
    return notes


def _servable(config: Config, master: MasterOptions, mirror: Mirror) -> Config:
    """`config`, or with a model that cannot be served on this machine the one before it. Raises ConfigError.

    Which minions there are, and what a nodegroup is, only this master knows: the model itself is valid.
    """
    try:
        check_minions(config, master)
    except ConfigError as err:
        machine = read_machine_file(config.path)
        found = model_file.older(mirror.git, config.source) if config.source.commit else None
        if found is None or machine.saltenvs is not None:
            raise
        place = config.source.place
        problem = (
            f"{place}: that of {(config.source.commit or '')[:12]} cannot be served here: {err.message} ({err.hint});"
            f" this machine serves by that of {found.commit[:12]}"
        )
        source = Source(
            place, config.source.branch, config.source.commit, config.source.blob, problem
        )
        old = build_config(machine, config.path, found.model, source=source)
        served = model.serving(old, machine, config.path)
        check_minions(served, master)
        return served
    return config


def check_minions(config: Config, master: MasterOptions) -> None:
    """Refuse nodegroups that go by grains, and minions with an accepted key that two saltenvs claim.

    Raises ConfigError.
    """
    groups = config.groups
    for name, matchers in groups.items():
        where = f"{config.path}: saltenvs.{name}.minions"
        targets.check_nodegroups(matchers, master.nodegroups, where)
    for minion_id in master.accepted_minions():
        claims = targets.claimed_by(minion_id, groups, master.nodegroups)
        if len(claims) > 1:
            who = " and ".join(f"{saltenv} ({matcher})" for saltenv, matcher in claims)
            raise ConfigError(
                f"{config.path}: minion {minion_id} is claimed by {who}",
                hint="every minion belongs to one saltenv: narrow one of the `minions:`",
            )


def check_jinja(master: MasterOptions) -> None:
    """Refuse options with which Jinja would not understand the generated top files. Raises RefusedError."""
    for option, key, value in top_file.foreign_syntax(master.opts):
        raise RefusedError(
            f"the salt-master's option {option} sets {key} to {value!r}: the top files that saltbranch writes, and what"
            " it checks and compares, are in Jinja's own syntax",
            hint=f"remove {key} from {option} in {master.path} or what it includes (those about white space may stay)",
        )


def _group(config: Config, master: MasterOptions) -> int:
    """The group that may read checkouts: the configured one, else that of the master's user; -1: none."""
    if config.group is not None:
        try:
            return grp.getgrnam(config.group).gr_gid
        except KeyError as err:
            raise ConfigError(
                f"{config.path}: group: there is no group {config.group!r} on this machine",
                hint="name the group that the salt-master runs with, or leave the key out",
            ) from err
    try:
        user = pwd.getpwnam(master.user)
    except KeyError:
        return -1
    return -1 if user.pw_uid in (0, os.geteuid()) else user.pw_gid


def _reduce(
    config: Config, master: MasterOptions, gid: int, branches: dict[str, str], accepted: str
) -> Prepared:
    ready = Prepared()
    ready.root = config.root
    ready.remote = config.remote
    ready.roots = config.roots.text()
    ready.composed = config.roots.identity
    ready.master_config = config.master_config
    ready.salt_config = config.salt_config
    ready.cachedir = master.cachedir
    ready.socket = master.event_socket
    ready.pidfile = master.pidfile
    ready.boot = files.boot_id()
    ready.reporter = _reporter(config, master)
    ready.gid = gid
    ready.fetch_timeout = config.fetch_timeout
    ready.model = _model_source(config, branches)
    ready.problem = " ".join(config.source.problem.split())
    ready.accepted = accepted
    ready.submodules = " ".join(map(one_word, config.submodules))
    ready.labs = ready.lab_rules = ""
    ready.vouched = "1" if config.source.signed else ""
    ready.lab_signed = ""
    ready.saltenvs = served_saltenvs(config)
    sources = [
        config.path,
        *master_options.source_files(config.salt_config),
        *salt_files.wanted_files(config),
    ]
    ready.signatures = [(path, files.signature(path)) for path in dict.fromkeys(sources)]
    return ready


def _lab_signed(config: Config) -> str:
    """Who vouches for what labs serve: whoever does for each saltenv whose minions may run it."""
    first = judge.first_of(config)
    ours = [s for s in config.saltenvs if s.lend or s.name == first.name]
    keeps = kept_together([s.owned for s in (*config.saltenvs, *config.elsewhere)])
    texts = dict.fromkeys(as_text(s.require_signed, keeps) for s in ours if s.require_signed)
    return json.dumps([*texts]) if texts else ""


def served_saltenvs(config: Config) -> list[ServedSaltenv]:
    """The saltenvs as a sync sees them."""
    keeps = kept_together([s.owned for s in (*config.saltenvs, *config.elsewhere)])
    nobody = bool(master_options.no_fleet(config.fleet, config.salt_config))
    return [
        ServedSaltenv(
            s.name,
            s.branch,
            s.dirname,
            protected=s.protected,
            follow=s.follow,
            verify_switch="" if nobody or s.verify_switch == VERIFY_OFF else s.verify_switch,
            pushes=s.direct_pushes if s.promote_from else "",
            drain=s.drain,
            drain_then=s.drain_then,
            signed=as_text(s.require_signed, keeps) if s.require_signed else "",
        )
        for s in config.saltenvs
    ]


def _reporter(config: Config, master: MasterOptions) -> str:
    """The name under which this master tells the journal what it serves; empty where it does not."""
    if not config.record_syncs:
        return ""
    name = str(master.opts.get("id") or os.uname().nodename)
    return "".join(c if c.isprintable() else "_" for c in name)[:200]


def _model_source(config: Config, branches: dict[str, str]) -> tuple[str, str, str]:
    """The branch of the model, its head as it was judged, and the file that counts; see sync._is_model_current."""
    blob = config.source.blob if config.source.branch is not None else None
    return config.model_branch, branches.get(config.model_branch, ""), blob or ""


def last_failure(config: Config) -> str | None:
    """Why the last sync failed, if it did; what is wrong with the newest model is told for itself."""
    text = (files.read_or_none(f"{config.root}/state/failure") or b"").decode("utf-8", "replace")
    problem = " ".join(config.source.problem.split())
    lines = [line for line in text.strip().split("\n") if line and line != problem]
    return "\n".join(lines) or None


def shown_remote(config: Config) -> str:
    """The remote's URL as it may be shown."""
    return mask(config.remote)
