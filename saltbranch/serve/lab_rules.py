"""By what the labs of this machine are judged, in a form that a sync keeps, so that it need not read the model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from saltbranch.base import files
from saltbranch.base.errors import SaltbranchError
from saltbranch.config import labs
from saltbranch.config.lab_places import LENT_FILE, lab_saltenvs, pillar_target, with_labs
from saltbranch.config.minions import Matcher
from saltbranch.config.model import Config
from saltbranch.labs import lent
from saltbranch.labs.judge import Rules
from saltbranch.repository import prepared


def still_needed(config: Config) -> Config:
    """`config` with the labs that its file does not name any more, as long as a minion or a link is left there."""
    said = lent.loads(files.read_or_none(f"{config.root}/{LENT_FILE}"))
    names = {*said.labs, *said.lent.values(), *(move.source for move in said.moving.values())}
    count = max([config.labs, *(labs.number_of(name) or 0 for name in names)])
    return with_labs(config, count)


def told(config: Config, rules: Rules) -> tuple[str, str]:
    """`Prepared.labs` and `Prepared.lab_rules`. rules: of the labs that the file names."""
    pillars = {s.name: pillar_target(config, s) for s in (*config.saltenvs, *lab_saltenvs(config))}
    text = json.dumps({"rules": _plain(rules), "pillars": pillars})
    ends = ",".join(sorted(set(rules.ends.values())))
    begin = rules.auto.translate({ord(sign): "*" for sign in "?[ "}).partition("*")[0]
    auto = f"{begin}*" if rules.auto else ""
    return f"{config.labs} {ends} {auto} {_digest(text)}", text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(rules: Rules) -> dict[str, Any]:
    found: dict[str, Any] = {f.name: getattr(rules, f.name) for f in fields(rules)}
    found["ends"] = dict(rules.ends)
    found["groups"] = {n: [[m.kind, m.target] for m in group] for n, group in rules.groups.items()}
    for key in ("here", "lends", "served"):
        found[key] = sorted(found[key])
    found["nodegroups"] = dict(rules.nodegroups)
    return found


def read(root: str, told_labs: str, text: str) -> tuple[Rules, Mapping[str, str]]:
    """The rules, and saltenv or lab to where a link to its pillar leads. told_labs: `Prepared.labs`; text: of
    `lab_rules`, empty where they are kept. Raises SaltbranchError.
    """
    text = text or (files.read_or_none(prepared.lab_rules_path(root)) or b"").decode()
    if _digest(text) != told_labs.split(" ")[3]:
        raise SaltbranchError(
            f"{prepared.lab_rules_path(root)} is not what the last sync wrote",
            hint="saltbranch sync --verify",
        )
    data = json.loads(text)
    kept = data["rules"]
    for key in ("here", "lends", "served"):
        kept[key] = frozenset(kept[key])
    kept["groups"] = {n: tuple(Matcher(*m) for m in group) for n, group in kept["groups"].items()}
    return Rules(**kept), data["pillars"]
