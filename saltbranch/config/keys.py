"""The keys of saltbranch.yaml as they stand in the file; also the source of its JSON schema."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from saltbranch.config import batch_hooks, drain, signers, verify
from saltbranch.config.direct_pushes import POLICIES
from saltbranch.config.gates import MODELS, SCHEMA
from saltbranch.config.labs import MOST as MOST_LABS
from saltbranch.config.labs import PILLAR_OF_SALTENV
from saltbranch.config.minions import KINDS
from saltbranch.config.notify import TARGETS_SCHEMA, NotifyModel

_TARGETS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_MATCHERS = {
    "type": "object",
    "properties": dict.fromkeys(KINDS, _TARGETS),
    "additionalProperties": False,
}
# What parse_minions takes, in the words of a JSON schema; the precise messages are its own.
_MINIONS = {
    "anyOf": [
        {"type": "string"},
        _MATCHERS,
        {"type": "array", "items": {"anyOf": [{"type": "string"}, _MATCHERS]}},
    ]
}


# What config/roots.py takes: a folder, or a list of folders, globs, and folders with the names in them that count.
_NAMES = {"type": "object", "additionalProperties": _TARGETS}
_ROOTS = {
    "anyOf": [
        {"type": "string"},
        _NAMES,
        {"type": "array", "items": {"anyOf": [{"type": "string"}, _NAMES]}},
    ]
}
_GATES = {"type": "array", "items": SCHEMA}


_PROGRAMS = {"type": "array", "items": _TARGETS}
_DIRECT = {"anyOf": [{"enum": list(POLICIES)}, {"type": "null"}]}

# What a machine says of itself: in the model, which stands in the repository, these have no effect.
MACHINE_KEYS = (
    "remote", "root", "master_config", "salt_config", "group", "fetch_timeout", "model_branch", "record_syncs",
    "gpg_keys", "ext_pillar", "serves", "programs", "extra_roots", "submodules", "notify_targets",
    "labs", "lab_open", "lab_auto", "lab_pillar", "promotes",
)  # fmt: skip
_MODEL_BRANCH = "master"
# What is compiled of a commit before a master switches to it: the top files, whole highstates, nothing.
VERIFY_TOP, VERIFY_FLEET, VERIFY_OFF = "top", "fleet", "off"
# YAML reads an unquoted off as false.
_VERIFY: dict[str, object] = {"enum": [VERIFY_TOP, VERIFY_FLEET, VERIFY_OFF, False, None]}


def _key(text: str, *, default: str = "", schema: dict[str, object] | None = None) -> msgspec.Meta:
    """What a key is for; it stands in the JSON schema and in docs/reference/configuration.md.

    default: in words, where the value says little. schema: of a value whose type does not say what is taken.
    """
    extra = {"default": default} if default else None
    return msgspec.Meta(description=text, extra=extra, extra_json_schema=schema)


class FollowModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a saltenv serves instead of the head of its branch."""

    tags: Annotated[str, _key("a regular expression that the whole name of a version tag matches")]


class FlowModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What git-flow's branches and tags begin with."""

    feature: str = "feature/"
    release: str = "release/"
    hotfix: str = "hotfix/"
    version_tag: str = "v"


class HooksModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Programs that are told of what happens, as a list of words or one line of them.

    The first two where a promotion is made; the others on masters, whatever it was that a sync found.
    """

    before_promote: str | list[str] | None = None
    after_promote: str | list[str] | None = None
    after_sync: str | list[str] | None = None
    after_switch: str | list[str] | None = None
    after_hold: str | list[str] | None = None


class SaltenvModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry below `saltenvs:` as it stands in the file."""

    branch: Annotated[str, _key("the branch that it serves")]
    minions: Annotated[
        Any,
        _key(
            "ids: globs, `{list: [...]}`, `{pcre: ...}`, `{nodegroup: ...}`, or a list of these",
            schema=_MINIONS,
        ),
    ]
    promote_from: Annotated[str | None, _key("the saltenv before it")] = None
    protected: Annotated[bool, _key("a rewritten branch is not followed")] = False
    verify_switch: Annotated[
        Any,
        _key(
            "what is compiled before a master switches: `top` (the top files), `fleet` (complete highstates) or `off`",
            default="`top` if protected, else `off`",
            schema=_VERIFY,
        ),
    ] = None
    direct_pushes: Annotated[
        Any,
        _key(
            "how to treat commits that were pushed to the branch by hand, not promoted: `report`, `refuse` or"
            " `allow`; only with `promote_from`",
            default="`report`",
            schema=_DIRECT,
        ),
    ] = None
    drain: Annotated[
        Any,
        _key(
            "how long a switch waits for state runs of its minions, such as `120s`; an hour at most:"
            " [consistent runs](../how-to/drain.md)",
            default="no waiting",
            schema={"type": ["string", "null"]},
        ),
    ] = None
    drain_then: Annotated[
        Any,
        _key(
            "when that time is over and runs are under way still: `switch`, or `wait`, which leaves the switch to the"
            " next sync, for a day at most",
            default="`switch`",
            schema={"enum": [*drain.POLICIES, None]},
        ),
    ] = None
    lend: Annotated[
        bool | None,
        _key(
            "whether a [lab](../how-to/labs.md) may have minions of it for a while",
            default="`true`, of a protected one `false`",
        ),
    ] = None
    first_highstate: Annotated[
        bool,
        _key(
            "a minion that comes up for the first time applies its highstate once, where the master has"
            " [the reactor](../how-to/new-servers.md)"
        ),
    ] = False
    follow: Annotated[
        FollowModel | None,
        _key("`{tags: REGEX}`: serve the highest matching version tag of the branch, not its head"),
    ] = None
    auto_promote: Annotated[
        bool,
        _key(
            "what the saltenv before it serves is promoted to it by itself when all gates pass, by masters with"
            " `promotes: true`: [promotions that move by themselves](../how-to/auto-promote.md); only with"
            " `promote_from`"
        ),
    ] = False
    gates: Annotated[
        list[Any],
        _key(
            "conditions that a promotion to it must meet: [gates](gates.md)",
            default="`hold`, `debts`, `model`",
            schema=_GATES,
        ),
    ] = []
    overridable: Annotated[list[str], _key("gates that `--override` may pass over")] = []
    require_signed: Annotated[Any, signers.KEY] = None
    verify: Annotated[list[Any], verify.KEY] = []
    before_batch: Annotated[list[Any], batch_hooks.BEFORE_KEY] = []
    after_batch: Annotated[list[Any], batch_hooks.AFTER_KEY] = []
    mode: Annotated[str, _key("or `fast-forward`")] = "merge"
    saltenv_owned: Annotated[list[str], _key("paths that no promotion changes")] = []
    back_merge: Annotated[
        bool, _key("merge commits that only this branch has into the branches below it")
    ] = True


class IgnoreModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry below `ignore:`: differences that all of its globs match are not shown."""

    state: str = "*"
    sls: str = "*"
    argument: str | None = None


class FileModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of saltbranch.yaml; also the source of its JSON schema."""

    remote: Annotated[str | None, _key("URL of the control repository")] = None
    root: Annotated[str, _key("folder of mirror, slots and checkouts")] = "/srv/saltbranch"
    master_config: Annotated[str, _key("the file saltbranch writes for the master")] = (
        "/etc/salt/master.d/saltbranch.conf"
    )
    salt_config: Annotated[str, _key("the master's own file, only read")] = "/etc/salt/master"
    group: Annotated[
        str | None,
        _key(
            "may read the checkouts; apart from the owner, nobody else can",
            default="that of the master's user",
        ),
    ] = None
    fetch_timeout: Annotated[int, _key("seconds")] = 300
    model_branch: Annotated[
        str | None,
        _key("the production branch, which contains the model", default=f"`{_MODEL_BRANCH}`"),
    ] = None
    serves: Annotated[
        list[str] | None,
        _key("names of the saltenvs that this machine serves, if not all", default="all"),
    ] = None
    programs: Annotated[
        list[Any],
        _key(
            "gate commands, checks and hooks that run here without asking, each a list of words or one line, exactly as"
            " the model has it",
            schema=_PROGRAMS,
        ),
    ] = []
    notify_targets: Annotated[
        dict[str, Any],
        _key(
            "where the names in `notify:` of the model lead, from this machine: a URL each, or `{env: VARIABLE,"
            " format: text, markdown or html}`; these URLs are secrets",
            schema=TARGETS_SCHEMA,
        ),
    ] = {}
    record_syncs: Annotated[
        bool,
        _key(
            "after each switch, this master records in the journal what it now serves; needs push access to refs below"
            " `refs/saltbranch/`. `init` sets it if the remote allows that"
        ),
    ] = False
    promotes: Annotated[
        bool,
        _key(
            "this machine may promote to saltenvs with `auto_promote`; it needs push access to their branches:"
            " [promotions that move by themselves](../how-to/auto-promote.md)"
        ),
    ] = False
    submodules: Annotated[
        list[str],
        _key(
            "URLs that [submodules](../how-to/formulas.md) may come from, each a repository or what is above it, such"
            " as `https://git.example.com/formulas`; others are refused. Without it submodules stay empty"
        ),
    ] = []
    labs: Annotated[
        int,
        _key(
            f"how many spare saltenvs, `lab1` and so on, this master has for branches that are not merged yet, at most"
            f" {MOST_LABS}: [labs](../how-to/labs.md). Another number wants a restart of the master"
        ),
    ] = 0
    lab_open: Annotated[
        bool,
        _key(
            "minions of the first saltenv may run the states of a lab that has no minions of its own, by `salt ID"
            " state.apply saltenv=lab1 test=True`"
        ),
    ] = False
    lab_auto: Annotated[
        str | None,
        _key(
            "a glob, such as `feature/*`: branches that get a lab, for trying only, as soon as they are pushed, while"
            " there are free ones"
        ),
    ] = None
    lab_pillar: Annotated[
        str,
        _key(
            "whose pillar a lab has: of the `saltenv` that its minions come from, or of the `branch` itself, which lets"
            " everybody who may push such a branch run code on this master"
        ),
    ] = PILLAR_OF_SALTENV
    gpg_keys: Annotated[
        str | None, _key("the GnuPG folder with the keys for encrypted pillar, for compiling")
    ] = None
    ext_pillar: Annotated[
        list[str], _key("names of the master's external pillars to include when compiling")
    ] = []
    extra_roots: Annotated[
        list[str],
        _key(
            "folders of this machine outside of the repository, such as those of a package with formulas, that Salt"
            " looks for states in last, for every saltenv"
        ),
    ] = []
    requires: Annotated[
        Any,
        _key(
            "the oldest saltbranch that understands the file, such as `'0.3'`",
            schema={"type": ["string", "number"]},
        ),
    ] = None
    states_dir: Annotated[
        Any,
        _key(
            "folder of the states inside the repository, or a list of folders: [several roots](#several-roots)",
            schema=_ROOTS,
        ),
    ] = "salt"
    pillar_dir: Annotated[
        Any,
        _key(
            "folder of the pillar inside the repository, or a list of folders: [several roots](#several-roots)",
            schema=_ROOTS,
        ),
    ] = "pillar"
    saltenvs: Annotated[
        dict[str, SaltenvModel] | None, _key("name to what is served under it; see below")
    ] = None
    tickets: Annotated[
        str | None, _key("a regular expression", default="`KEY-123` and the like")
    ] = None
    flow: Annotated[
        FlowModel,
        _key(
            "`{feature, release, hotfix, version_tag}`: prefixes",
            default="`feature/`, `release/`, `hotfix/`, `v`",
        ),
    ] = FlowModel()
    hooks: Annotated[
        HooksModel,
        _key(
            "`{before_promote, after_promote, after_sync, after_switch, after_hold}`: programs that get what"
            " happened as JSON on stdin; the first may veto it: [hooks](../how-to/notifications.md#hooks)"
        ),
    ] = HooksModel()
    notify: Annotated[
        list[NotifyModel],
        _key(
            "who is told of what: a list of `{events: [...], saltenvs: [...], to: [...], template: ...}`:"
            " [notifications](../how-to/notifications.md)"
        ),
    ] = []
    fleet: Annotated[
        str,
        _key(
            "the minions of `diff`, `check` and of a plan's diff: the master's cache, or a folder of files"
        ),
    ] = "cache"
    shown_pillar: Annotated[
        list[str],
        _key(
            "globs of pillar paths (`users:*`) whose values `diff` may show, such as names that states are"
            " generated from. `*` matches within one key, `users:**` everything below it; all other values are hidden"
        ),
    ] = []
    missing: Annotated[
        list[str],
        _key(
            "what is kept out of the repository on purpose: globs of sls names (`secrets.*`) and of files"
            " (`salt://keys/*`); a minion that lacks only these counts as completely compiled"
        ),
    ] = []
    stand_in: Annotated[
        str | None,
        _key(
            "a folder of the repository that mirrors it, with files that stand in for encrypted and missing ones in"
            " `diff` and `check`"
        ),
    ] = None
    ignore: Annotated[
        list[IgnoreModel],
        _key(
            "noise that `diff` leaves out: a list of `{state: ..., sls: ..., argument: ...}`, each a glob; `state`"
            " means `ID | module.function` or `module.function`"
        ),
    ] = []


def model_branch(machine: FileModel) -> str:
    """Which branch is production for this machine: `model_branch:`, else the end of its own saltenvs, else master."""
    if machine.model_branch is not None or not machine.saltenvs:
        return machine.model_branch or _MODEL_BRANCH
    before = {s.promote_from for s in machine.saltenvs.values()}
    last = [s.branch for n, s in machine.saltenvs.items() if s.promote_from and n not in before]
    return last[0] if len(last) == 1 else _MODEL_BRANCH


def json_schema() -> dict[str, object]:
    """A JSON schema of saltbranch.yaml, for editors."""
    models = (FileModel, *MODELS, *verify.MODELS, *batch_hooks.MODELS)
    (file, *_), all_of_them = msgspec.json.schema_components(models, ref_template="#/$defs/{name}")
    return {**file, "$defs": all_of_them}
