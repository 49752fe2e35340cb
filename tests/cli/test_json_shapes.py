"""What verbs really write is what their JSON schemas say: no key is missing, and none is unknown."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any, get_args, get_type_hints

import jsonschema
import pytest

from saltbranch.cli.json_shapes import SHAPES, serving
from saltbranch.cli.options.common import json_text
from saltbranch.serve import run
from tests.actions.test_diff import COMMON, Clone, clone  # noqa: F401 - a fixture
from tests.support.flow_site import FlowSite
from tests.support.remote import Remote
from tests.support.site import Journal, Site

SCHEMAS = Path(__file__).parents[2] / "docs" / "reference" / "schemas"


def closed(schema: Any) -> Any:
    """`schema` without room for keys that it does not name."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if "properties" in found:
        found["additionalProperties"] = False
    return found


def conforms(name: str, data: Any) -> Any:
    schema = closed(json.loads((SCHEMAS / f"{name}.json").read_text()))
    jsonschema.validate(data, schema)
    return data


def out(ran: Any) -> Any:
    assert ran.out, ran
    return json.loads(ran.out)


def test_a_key_too_many_and_one_too_few_are_noticed(served: Site) -> None:
    good = out(served.run_here("sync", "--config", str(served.config), "--json"))
    conforms("sync", good)
    more, less = copy.deepcopy(good), copy.deepcopy(good)
    more["saltenvs"][0]["x"] = 1
    del less["saltenvs"][0]["tag"]
    for bad in (more, less, good | {"plan": "yes"}):
        with pytest.raises(jsonschema.ValidationError):
            conforms("sync", bad)


def test_every_schema_is_of_a_shape() -> None:
    names = {path.stem for path in SCHEMAS.glob("*.json")}
    assert names == {*SHAPES, "doctor", "install", "install-webhook"}


def test_the_states_of_a_sync_are_those_that_it_knows() -> None:
    known = {
        value for name, value in vars(run).items() if name.isupper() and isinstance(value, str)
    }
    (told,) = (h for n, h in get_type_hints(serving.SyncedSaltenv).items() if n == "state")
    assert set(get_args(told)) == known


def test_a_master_syncs_and_tells_its_status(served: Site, remote: Remote) -> None:
    for saltenv, before in (("stage", "test"), ("prod", "stage")):
        served.settings["saltenvs"][saltenv]["promote_from"] = before
    served.configure()
    config = ("--config", str(served.config), "--json")
    conforms("sync", out(served.run_here("sync", *config)))
    Journal(remote).hold("prod", remote.head("master"), until="2999-01-01T00:00:00Z")
    remote.commit("develop", {"salt/new.sls": "new:\n  test.nop: []\n"})
    remote.commit("stage", {"salt/hand.sls": "hand:\n  test.nop: []\n"})
    conforms("sync", out(served.run_here("sync", "--plan", *config)))
    served.sync()
    told = conforms("status", out(served.run_here("status", *config)))
    rows = {row["saltenv"]: row for row in told["saltenvs"]}
    assert rows["prod"]["hold"] and rows["stage"]["pushed"] and rows["stage"]["next"]
    plan = served.run_here("promote", "stage", "--plan", *config)
    conforms("promote-plan", out(plan))


def test_a_clone_promotes_and_holds(flow: FlowSite) -> None:
    flow.configure(prod={"gates": [{"soak": "1h"}, "ticket"]})
    flow.push("develop", {"salt/app/init.sls": "app:\n  test.nop: []\n"})
    conforms("promote-plan", out(flow.run("promote", "stage", "--plan", "--json")))
    conforms(
        "promote", out(flow.well("promote", "stage", "--tag", "v1.0.0-rc.1", "--yes", "--json"))
    )
    plan = conforms("promote-plan", out(flow.run("promote", "prod", "--plan", "--json")))
    assert {gate["gate"] for gate in plan["gates"]} >= {"soak", "ticket"}
    held = ("hold", "stage", "--reason", "x", "--until", "2d")
    conforms("hold-plan", out(flow.run(*held, "--plan", "--json")))
    conforms("hold", out(flow.well(*held, "--yes", "--json")))
    rows = conforms("status-clone", out(flow.well("status", "--json")))["saltenvs"]
    assert [row["hold"] is not None for row in rows] == [False, True, False]
    conforms("hold", out(flow.well("unhold", "stage", "--reason", "x", "--yes", "--json")))


def test_approvals(flow: FlowSite) -> None:
    key = flow.folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    line = "dora@example.com " + " ".join(Path(f"{key}.pub").read_text().split()[:2])
    flow.configure(stage={"gates": [{"approvals": {"count": 1, "from": [line]}}]})
    flow.push("develop")
    digest = conforms("promote-plan", out(flow.run("promote", "stage", "--plan", "--json")))[
        "digest"
    ]
    words = ("approve", "stage", "--expect", digest, "--key", str(key), "--json")
    conforms("approve", out(flow.run(*words, "--plan")))
    made = conforms("approve", out(flow.well(*words, "--yes")))
    told = conforms("approve-list", out(flow.well("approve", "stage", "--list", "--json")))
    assert (told["persons"], [row["id"] for row in told["approvals"]]) == (1, [made["id"]])
    flow.push("develop")
    told = conforms("approve-list", out(flow.well("approve", "stage", "--list", "--json")))
    assert [row["id"] for row in told["other_plans"]] == [made["id"]]
    words = ("approve", "stage", "--revoke", made["id"], "--yes", "--json")
    conforms("approve", out(flow.well(*words)))


def test_all_are_held(flow: FlowSite) -> None:
    held = ("hold", "--all", "--reason", "x")
    conforms("hold-all-plan", out(flow.run(*held, "--plan", "--json")))
    conforms("hold-all", out(flow.well(*held, "--yes", "--json")))
    conforms("status-clone", out(flow.well("status", "--json")))
    conforms("history", out(flow.well("history", "--json")))
    conforms("hold-all", out(flow.well("unhold", "--all", "--yes", "--json")))


def test_labs(flow: FlowSite) -> None:
    flow.record("sync", master="m1", saltenvs=[], labs=2)
    flow.push_branch("feature/a", "develop")
    words = ("feature/a", "--minions", "test1")
    conforms("lab-plan", out(flow.run("lab", "claim", *words, "--plan", "--json")))
    conforms("lab", out(flow.well("lab", "claim", *words, "--yes", "--json")))
    conforms("lab", out(flow.well("lab", "extend", "lab1", "--for", "9d", "--yes", "--json")))
    told = conforms("lab-list", out(flow.well("lab", "list", "--json")))
    assert [row["state"] for row in told["labs"]] == ["claimed", "free"]
    conforms("lab", out(flow.well("lab", "release", "lab1", "--yes", "--json")))
    conforms("lab", out(flow.well("lab", "release", "lab1", "--yes", "--json")))


def test_a_plan_with_a_conflict(flow: FlowSite) -> None:
    flow.push("develop", {"salt/app/init.sls": "app:\n  test.nop: [{name: one}]\n"})
    flow.push("stage", {"salt/app/init.sls": "app:\n  test.nop: [{name: two}]\n"})
    plan = conforms("promote-plan", out(flow.run("promote", "stage", "--plan", "--json")))
    (conflict,) = plan["steps"][0]["conflicts"]
    assert conflict["ours"] and conflict["theirs"]


def test_looking_back(flow: FlowSite) -> None:
    new = flow.push("develop", {"salt/app/init.sls": "app:\n  test.nop: []\n"}, "KEY-7 Change")
    flow.to_prod()
    flow.push("stage")
    flow.well("hold", "prod", "--reason", "x", "--until", "2d", "--yes")
    told = conforms("history", out(flow.well("history", "--json")))
    assert {entry["what"] for entry in told["entries"]} >= {"promotion", "hold"}
    found = conforms("where-commit", out(flow.well("where", new, "--json")))
    assert found["saltenvs"][-1]["arrival"]["promotion"]
    assert conforms("where-ticket", out(flow.well("where", "KEY-7", "--json")))["commits"]
    conforms("where-path", out(flow.well("where", "salt/app/init.sls", "--json")))


def test_what_check_finds(flow: FlowSite) -> None:
    flow.push("develop", {"salt/app/init.sls": "app:\n  test.nop: [\n"})
    flow.git("fetch", "--quiet")
    told = conforms("check", out(flow.run("check", "test", "--static", "--json")))
    assert told["refs"][0]["findings"], told


def test_a_compiled_diff(clone: Clone) -> None:  # noqa: F811
    clone.commit(
        {
            "salt/common.sls": COMMON.replace("0644", "0600").replace(
                "ann:\n  user.present:\n    - uid: 1000\n", "new:\n  test.nop: []\n"
            ),
            "salt/files/lib.jinja": "{% set x = 2 %}\n",
            "salt/web.sls": "nginx: {{ nothing.x }}\n",
            "salt/_modules/own.py": "def f():\n    return 2\n",
        }
    )
    told = conforms("diff", json.loads(json_text(clone.diff().as_dict())))
    assert told["groups"] and told["causes"] and told["code"]
    assert any(group["contents"] for group in told["groups"])
