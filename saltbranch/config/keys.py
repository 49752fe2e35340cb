"""The keys of saltbranch.yaml as they stand in the file; also the source of its JSON schema."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from saltbranch.config.direct_pushes import POLICIES
from saltbranch.config.gates import MODELS, SCHEMA
from saltbranch.targets import KINDS

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


_GATES = {"type": "array", "items": SCHEMA}


_PROGRAMS = {"type": "array", "items": _TARGETS}
_DIRECT = {"anyOf": [{"enum": list(POLICIES)}, {"type": "null"}]}

# What a machine says of itself: in the model, which stands in the repository, these have no effect.
MACHINE_KEYS = (
    "remote", "root", "master_config", "salt_config", "group", "fetch_timeout", "model_branch", "record_syncs",
    "gpg_keys", "ext_pillar", "serves", "programs",
)  # fmt: skip
_MODEL_BRANCH = "master"
# What is compiled of a commit before a master switches to it: the top files, whole highstates, nothing.
VERIFY_TOP, VERIFY_FLEET, VERIFY_OFF = "top", "fleet", "off"
# YAML reads an unquoted off as false.
_VERIFY: dict[str, object] = {"enum": [VERIFY_TOP, VERIFY_FLEET, VERIFY_OFF, False, None]}


class FollowModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a saltenv serves instead of the head of its branch."""

    tags: str


class FlowModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What git-flow's branches and tags begin with."""

    feature: str = "feature/"
    release: str = "release/"
    hotfix: str = "hotfix/"
    version_tag: str = "v"


class HooksModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Programs that are told of each promotion, as a list of words or one line of them."""

    before_promote: str | list[str] | None = None
    after_promote: str | list[str] | None = None


class SaltenvModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry below `saltenvs:` as it stands in the file."""

    branch: str
    minions: Annotated[Any, msgspec.Meta(extra_json_schema=_MINIONS)]
    promote_from: str | None = None
    protected: bool = False
    verify_switch: Annotated[Any, msgspec.Meta(extra_json_schema=_VERIFY)] = None
    follow: FollowModel | None = None
    mode: str = "merge"
    saltenv_owned: list[str] = []
    back_merge: bool = True
    gates: Annotated[list[Any], msgspec.Meta(extra_json_schema=_GATES)] = []
    overridable: list[str] = []
    direct_pushes: Annotated[str | None, msgspec.Meta(extra_json_schema=_DIRECT)] = None


class IgnoreModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry below `ignore:`: differences that all of its globs match are not shown."""

    state: str = "*"
    sls: str = "*"
    argument: str | None = None


class FileModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of saltbranch.yaml; also the source of its JSON schema.

    requires: the oldest saltbranch that understands the file.
    """

    requires: Annotated[Any, msgspec.Meta(extra_json_schema={"type": ["string", "number"]})] = None
    remote: str | None = None
    root: str = "/srv/saltbranch"
    states_dir: str = "salt"
    pillar_dir: str = "pillar"
    master_config: str = "/etc/salt/master.d/saltbranch.conf"
    salt_config: str = "/etc/salt/master"
    group: str | None = None
    fetch_timeout: int = 300
    model_branch: str | None = None
    record_syncs: bool = False
    serves: list[str] | None = None
    programs: Annotated[list[Any], msgspec.Meta(extra_json_schema=_PROGRAMS)] = []
    tickets: str | None = None
    flow: FlowModel = FlowModel()
    hooks: HooksModel = HooksModel()
    fleet: str = "cache"
    gpg_keys: str | None = None
    ext_pillar: list[str] = []
    ignore: list[IgnoreModel] = []
    shown_pillar: list[str] = []
    missing: list[str] = []
    stand_in: str | None = None
    saltenvs: dict[str, SaltenvModel] | None = None


def model_branch(machine: FileModel) -> str:
    """Which branch is production for this machine: `model_branch:`, else the end of its own saltenvs, else master."""
    if machine.model_branch is not None or not machine.saltenvs:
        return machine.model_branch or _MODEL_BRANCH
    before = {s.promote_from for s in machine.saltenvs.values()}
    last = [s.branch for n, s in machine.saltenvs.items() if s.promote_from and n not in before]
    return last[0] if len(last) == 1 else _MODEL_BRANCH


def json_schema() -> dict[str, object]:
    """A JSON schema of saltbranch.yaml, for editors."""
    models = (FileModel, *MODELS)
    (file, *_), all_of_them = msgspec.json.schema_components(models, ref_template="#/$defs/{name}")
    return {**file, "$defs": all_of_them}
