"""The slow road of a sync: check the configuration, write what Salt reads, note it for the quick road."""

from __future__ import annotations

import grp
import os
import pwd
import tempfile
import time
from collections.abc import Sequence

from saltbranch import files, masterconf, prepared, proc, saltmaster, targets, topfile
from saltbranch.actions.outcome import FIRST, MISSING, SaltenvResult, SyncResult
from saltbranch.actions.sync import select
from saltbranch.choices import BY_NOTHING, Choice, Choices
from saltbranch.config.check import build_config
from saltbranch.config.keys import VERIFY_OFF, model_branch
from saltbranch.config.model import Config, Source
from saltbranch.errors import ConfigError, RefusedError, os_error
from saltbranch.git import environment, mask, require_version
from saltbranch.mirror import JOURNAL_REF, KEPT_REF, Mirror, Refs, ref_name, remote_error
from saltbranch.prepared import Prepared, ServedSaltenv
from saltbranch.repository import model
from saltbranch.repository.place import read_machine_file
from saltbranch.repository.root import check_owner, owner_of, take_over
from saltbranch.salt_master import option_file
from saltbranch.saltmaster import MasterOptions

_FOLDERS = ("state", "checkouts", "slots", "tops")


def open_root(config_path: str, *, write: bool) -> str | None:
    """The root that the configuration names, made ready to be locked; None when it is not there
    and `write` forbids to make it.

    Raises ConfigError, RootError.
    """
    require_version()
    machine = read_machine_file(config_path)
    root = os.path.normpath(machine.root)
    if not files.check_root(root):
        if not write:
            return None
        make_root(root)
    check_owner(root, config_path)
    if write and not owner_of(root):
        try:
            take_over(root, config_path)
        except OSError as err:
            raise os_error(err) from err
    return root


def make_root(root: str) -> None:
    """Make the folder `root`, with our mark in it, for its owner only. Raises RootError."""
    if files.check_root(root):
        return
    try:
        os.makedirs(root, mode=0o700, exist_ok=True)
        os.chmod(root, 0o700)
        # Before anything else and in one call: whoever is killed here leaves an empty folder or a marked one.
        os.close(os.open(f"{root}/{files.MARKER}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        os.makedirs(f"{root}/state", mode=0o750, exist_ok=True)
    except OSError as err:
        raise os_error(err) from err


def remote_of(config_path: str) -> tuple[str, int, bool]:
    """URL of the remote, how many seconds a fetch may take, and whether it has to bring tags.

    Where the saltenvs stand in the repository, the last is not known yet, so it is false. Raises ConfigError.
    """
    machine = read_machine_file(config_path)
    if not machine.remote:
        raise ConfigError(
            f"{config_path}: no remote", hint="add `remote: <URL of the control repository>`"
        )
    return (
        machine.remote,
        machine.fetch_timeout,
        any(s.follow for s in (machine.saltenvs or {}).values()),
    )


def load_config(
    config_path: str, mirror: Mirror, branches: dict[str, str], *, write: bool = False
) -> Config:
    """The checked configuration, with the saltenvs that this machine serves. write: remember what was accepted.

    Raises ConfigError, GitError.
    """
    machine = read_machine_file(config_path)
    git, believed = mirror.git, None
    if mirror.exists():
        believed, told = git.commit_or_none(KEPT_REF), git.commit_or_none(JOURNAL_REF)
        if told and (believed is None or git.is_ancestor(believed, told)):
            believed = told  # the sync is about to accept it
    where = model.Place(git, branches, model.IN_MIRROR, believed, write=write)
    branch = model_branch(machine)
    found = model.load(where, machine, config_path, branch=branch, remote=machine.remote or "")
    return model.serving(found, machine, config_path)


def prepare(
    config_path: str, mirror: Mirror, branches: dict[str, str], *, write: bool
) -> tuple[Prepared, list[str]]:
    """Check everything, write the top files and the master's configuration where they differ.

    Returns what a sync needs, and what was written (with `write` false: what would be).
    Raises ConfigError, RefusedError, SaltError.
    """
    config = load_config(config_path, mirror, branches, write=write)
    master = saltmaster.read(config.salt_config)
    newest = config.source
    config = _servable(config, master, mirror)
    check_jinja(master)
    _refuse_foreign(config.master_config)
    gid = _group(config, master)
    try:
        notes = _write_all(config, gid) if write else _outdated(config)
    except OSError as err:
        raise os_error(err) from err
    ref = f"{model.IN_MIRROR}{ref_name(config.model_branch)}"
    accepted = mirror.git.commit_or_none(ref) or ""
    if config.source.problem:  # what is refused may be accepted by what the journal says
        accepted += f" {mirror.git.commit_or_none(JOURNAL_REF) or ''}"
    ready = _reduce(config, master, gid, branches, accepted)
    if config.source is not newest:
        ready.signatures.append((config.path, "look again: other minions may be accepted by then"))
    if write:
        prepared.save(ready)
    return ready, notes


def _servable(config: Config, master: MasterOptions, mirror: Mirror) -> Config:
    """`config`, or with a model that cannot be served on this machine the one before it. Raises ConfigError.

    Which minions there are, and what a nodegroup is, only this master knows: the model itself is valid.
    """
    try:
        check_minions(config, master)
    except ConfigError as err:
        machine = read_machine_file(config.path)
        found = model.older(mirror.git, config.source) if config.source.commit else None
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


def plan_first(config_path: str, only: Sequence[str]) -> SyncResult:
    """What the first sync would do, without making anything that stays.

    The remote is only asked for its refs where these tell; else it is fetched into a temporary folder.
    """
    remote, timeout, tags = remote_of(config_path)
    refs, unread = _remote_refs(remote, timeout), {}
    if not _is_known(refs, config_path) or tags or refs.journal:
        with tempfile.TemporaryDirectory(prefix="saltbranch-plan-") as folder:
            mirror = Mirror(folder)
            unread = mirror.fetch(remote, timeout=timeout, tags=True)
            config = load_config(config_path, mirror, mirror.branches())
            found = _first_choices(folder, mirror, config)
            refs = mirror.refs(tags=True)
    else:
        config = build_config(read_machine_file(config_path), config_path)
        found = Choices()
    master = saltmaster.read(config.salt_config)
    check_minions(config, master)
    check_jinja(master)
    _refuse_foreign(config.master_config)
    results = [
        _first_result(saltenv, refs, found.by_saltenv.get(saltenv.name), unread)
        for saltenv in select(served_saltenvs(config), only)
    ]
    problems = [found.problem] if found.problem else []
    return SyncResult(
        results,
        plan=True,
        restart_needed=None,
        notes=_outdated(config),
        problems=problems,
        model_problem=config.source.problem,
        unread=unread,
    )


def _is_known(refs: Refs, config_path: str) -> bool:
    """Whether the model can be told without fetching: the machine's own, and no branch that could have one."""
    machine = read_machine_file(config_path)
    return machine.saltenvs is not None and model_branch(machine) not in refs.branches


def _first_choices(folder: str, mirror: Mirror, config: Config) -> Choices:
    from saltbranch import choosing

    refs, saltenvs = mirror.refs(tags=True), served_saltenvs(config)
    return choosing.choose(
        choosing.Facts(folder, mirror, refs, saltenvs, {}, time.time(), config.source.branch)
    )


def _first_result(
    saltenv: ServedSaltenv, refs: Refs, choice: Choice | None, unread: dict[str, str]
) -> SaltenvResult:
    head = refs.branches.get(saltenv.branch)
    result = SaltenvResult(saltenv.name, saltenv.branch, None, head)
    if choice and choice.why != result.why:
        result.why, result.tag, result.held = choice.why, choice.tag, choice.held
        result.new = choice.commit
    result.changed = result.new is not None and not (choice and choice.level)
    if result.changed:
        result.state = FIRST
    elif choice and choice.level:
        result.state, result.message = choice.level, choice.message
    else:
        result.state, result.why = MISSING, BY_NOTHING
        why = unread.get(f"refs/heads/{saltenv.branch}")
        what = f"the remote has no branch {saltenv.branch!r}"
        result.message = (
            f"branch {saltenv.branch!r} of the remote cannot be read: {why}" if why else what
        )
    return result


def remote_heads(remote: str, timeout: float) -> dict[str, str]:
    """Branch to commit, asked from the remote without keeping anything. Raises RemoteError."""
    return _remote_refs(remote, timeout).branches


def _remote_refs(remote: str, timeout: float) -> Refs:
    argv = ["git", "ls-remote", "--", remote, "refs/heads/*", JOURNAL_REF]
    done = proc.run(argv, environment(os.environ), timeout=timeout)
    if done.code != 0:
        raise remote_error(remote, done, timeout)
    return Refs(done.text.replace("\t", " "))


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
    for option, key, value in topfile.foreign_syntax(master.opts):
        raise RefusedError(
            f"the salt-master's option {option} sets {key} to {value!r}: the top files that saltbranch writes, and what"
            " it checks and compares, are in Jinja's own syntax",
            hint=f"remove {key} from {option} in {master.path} or what it includes (those about white space may stay)",
        )


def _refuse_foreign(path: str) -> None:
    data = files.read_or_none(path)
    if data is not None and not masterconf.is_ours(data.decode("utf-8", "replace")):
        raise RefusedError(
            f"{path} was not written by saltbranch and is left alone",
            hint="move it away, or name another file as master_config: in saltbranch.yaml",
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


def _wanted_files(config: Config) -> dict[str, str]:
    """Path to text of everything that Salt reads from us."""
    wanted = {config.master_config: option_file.wanted(config)}
    for saltenv in config.saltenvs:
        text = topfile.render_top(saltenv.name, config.groups)
        for kind in ("states", "pillar"):
            wanted[f"{config.root}/tops/{saltenv.name}/{kind}/top.sls"] = text
    return wanted


def _wanted_links(config: Config) -> dict[str, str]:
    """Path to target of the links by which the generated top files find the branches' own."""
    links = {}
    for saltenv in config.saltenvs:
        for kind, folder in (("states", config.states_dir), ("pillar", config.pillar_dir)):
            path = f"{config.root}/tops/{saltenv.name}/{kind}/{topfile.BRANCH_TOP}"
            links[path] = f"../../../checkouts/{saltenv.dirname}/{folder}/top.sls"
    return links


def _outdated(config: Config) -> list[str]:
    """What `_write_all` would do."""
    return [
        f"would write {path}"
        for path, text in _wanted_files(config).items()
        if files.read_or_none(path) != text.encode()
    ]


def _write_all(config: Config, gid: int) -> list[str]:
    """Write what differs; what was written."""
    root = config.root
    for name in _FOLDERS:
        os.makedirs(f"{root}/{name}", exist_ok=True)
    if gid != -1 and os.stat(root).st_gid != gid:
        _give_to_group(root, gid)
    for path, target in _wanted_links(config).items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if files.readlink_or_none(path) != target:
            files.replace_symlink(target, path)
    os.makedirs(os.path.dirname(config.master_config), exist_ok=True)
    wanted = _wanted_files(config)
    notes = []
    for path, text in wanted.items():
        inside = path.startswith(f"{root}/")
        if files.write_atomic(path, text, mode=0o640 if inside else 0o644, durable=not inside):
            notes.append(f"wrote {path}")
    return notes


def _give_to_group(root: str, gid: int) -> None:
    """Let group `gid` read everything; set-gid folders hand it on to what is made later."""
    # The root comes last: its group says that all below it is done.
    for folder, folders, names in os.walk(root, topdown=False):
        for name in [*names, *(f for f in folders if os.path.islink(f"{folder}/{f}"))]:
            os.chown(f"{folder}/{name}", -1, gid, follow_symlinks=False)
        os.chmod(folder, 0o2750)
        os.chown(folder, -1, gid)


def _reduce(
    config: Config, master: MasterOptions, gid: int, branches: dict[str, str], accepted: str
) -> Prepared:
    ready = Prepared()
    ready.root = config.root
    ready.remote = config.remote
    ready.states_dir = config.states_dir
    ready.pillar_dir = config.pillar_dir
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
    ready.saltenvs = served_saltenvs(config)
    sources = [config.path, *saltmaster.source_files(config.salt_config), *_wanted_files(config)]
    ready.signatures = [(path, files.signature(path)) for path in dict.fromkeys(sources)]
    return ready


def served_saltenvs(config: Config) -> list[ServedSaltenv]:
    """The saltenvs as a sync sees them."""
    nobody = bool(saltmaster.no_fleet(config.fleet, config.salt_config))
    return [
        ServedSaltenv(
            s.name,
            s.branch,
            s.dirname,
            protected=s.protected,
            follow=s.follow,
            verify_switch="" if nobody or s.verify_switch == VERIFY_OFF else s.verify_switch,
            pushes=s.direct_pushes if s.promote_from else "",
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


def root_of(config_path: str) -> str:
    """The root that the configuration names, which an earlier sync must have made. Raises ConfigError."""
    root = open_root(config_path, write=False)
    if root is None:
        raise ConfigError(
            f"there is nothing at the root that {config_path} names yet",
            hint="make it with: saltbranch sync",
        )
    return root


def last_failure(config: Config) -> str | None:
    """Why the last sync failed, if it did; what is wrong with the newest model is told for itself."""
    text = (files.read_or_none(f"{config.root}/state/failure") or b"").decode("utf-8", "replace")
    problem = " ".join(config.source.problem.split())
    lines = [line for line in text.strip().split("\n") if line and line != problem]
    return "\n".join(lines) or None


def shown_remote(config: Config) -> str:
    """The remote's URL as it may be shown."""
    return mask(config.remote)
