"""One model for all: of the last accepted commit of production, or the last good one before it."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
import salt.config
import salt.loader
import yaml

from saltbranch import __version__
from saltbranch.base import patterns
from saltbranch.base.errors import ConfigError
from saltbranch.config.check import build_config
from saltbranch.config.model import Source
from saltbranch.config.read import parse_file
from saltbranch.git.program import Git
from saltbranch.repository import model
from tests.serve.test_bad_refs import bad_commit
from tests.support.flow_site import FlowSite, as_yaml
from tests.support.remote import Content, Link, Remote, Submodule
from tests.support.site import Ran, Site

BROKEN = "saltenvs: {prod: {branch: master, minions: [p], gates: [ticket, {soak: 2x}]}}\n"
Everyone = dict[str, dict[str, str]]


class Machines:
    """Two masters, a laptop and a runner on one remote. own: the second master has saltenvs in its own file."""

    def __init__(self, flow: FlowSite) -> None:
        self.flow = flow
        self.masters = {name: self.master(name, own=name == "own") for name in ("plain", "own")}

    def master(self, name: str, *, own: bool = False) -> Site:
        folder = self.flow.folder / name
        folder.mkdir()
        site = Site(folder, self.flow.remote)
        if own:
            for saltenv, before in (("stage", "test"), ("prod", "stage")):
                site.settings["saltenvs"][saltenv]["promote_from"] = before
            site.configure()
        else:
            site.configure(saltenvs=None)
        return site

    def sync(self) -> dict[str, Ran]:
        return {name: site.sync() for name, site in self.masters.items()}

    def verdicts(self, saltenv: str, fresh: str = "") -> Everyone:
        """Gate to verdict, of everybody; fresh: the name of a master that was never there before, too."""
        if fresh:
            self.masters[fresh] = self.master(fresh)
            self.masters[fresh].sync()
        found = {
            name: self.gates(
                site.run_here("why-not", saltenv, "--json", "--config", str(site.config))
            )
            for name, site in self.masters.items()
        }
        found["laptop"] = self.gates(self.flow.run("why-not", saltenv, "--json"))
        opts = dict(salt.config.DEFAULT_MASTER_OPTS)
        opts["saltbranch_config"] = str(self.masters["plain"].config)
        said = salt.loader.runner(opts)["saltbranch.why_not"](saltenv)
        found["runner"] = {g["gate"]: g["verdict"] for g in said["gates"]}
        return found

    @staticmethod
    def gates(ran: Ran) -> dict[str, str]:
        assert ran.code in (0, 4), ran
        return {g["gate"]: g["verdict"] for g in json.loads(ran.out)["gates"]}

    def agreed(self, saltenv: str, fresh: str = "") -> dict[str, str]:
        """The verdict of every gate, which has to be everybody's."""
        found = self.verdicts(saltenv, fresh)
        assert len({json.dumps(gates, sort_keys=True) for gates in found.values()}) == 1, found
        return found["laptop"]


@pytest.fixture
def machines(flow: FlowSite) -> Machines:
    """Production asks for tickets, and is protected."""
    flow.configure(stage={"gates": ["ticket"]}, prod={"gates": ["ticket"], "protected": True})
    made = Machines(flow)
    assert {r.code for r in made.sync().values()} == {0}
    return made


# One model


def test_gates_come_from_production_for_masters_clones_and_runners_alike(
    machines: Machines,
) -> None:
    machines.flow.push("develop", subject="No ticket")
    assert machines.agreed("stage", fresh="new")["ticket"] == "fail"


def test_a_master_with_saltenvs_of_its_own_says_that_another_model_decides(
    machines: Machines,
) -> None:
    site = machines.masters["own"]
    said = json.loads(site.run_here("status", "--json", "--config", str(site.config)).out)["model"]
    assert said["branch"] == "master" and said["commit"] == machines.flow.head("master")
    assert {"prod.gates", "stage.gates"} <= {*said["differs"]}
    machines.flow.push("develop")
    plan = site.run_here("promote", "stage", "--plan", "--config", str(site.config))
    assert (
        f"model: saltbranch.yaml on branch 'master' at {machines.flow.head('master')[:12]}"
        in plan.out
    )
    assert "by which this machine serves, differ: " in plan.out


def test_tags_are_followed_as_production_says_and_the_mapping_stays_the_machines(
    machines: Machines,
) -> None:
    flow, site = machines.flow, machines.masters["own"]
    flow.model["saltenvs"]["prod"] |= {"follow": {"tags": "^v"}, "minions": ["other*"]}
    head = flow.remote.commit("master", {"saltbranch.yaml": as_yaml(flow.model)})
    flow.tag("v1", head)
    ran = site.sync()
    assert "tag v1" in ran.out, ran
    top = (site.root / "tops" / "prod" / "states" / "top.sls").read_text()
    assert "prod*" in top and "other*" not in top


def test_without_a_model_in_the_repository_the_machines_own_decides(
    remote: Remote, tmp_path: Path
) -> None:
    site = Site(tmp_path, remote)
    assert site.sync().code == 0
    said = json.loads(site.run_here("status", "--json", "--config", str(site.config)).out)["model"]
    assert said["place"] == str(site.config) and said["branch"] is None


def test_a_machine_may_serve_fewer_saltenvs_and_keeps_the_others_minions_out(
    flow: FlowSite, tmp_path: Path
) -> None:
    site = Machines(flow).masters["plain"]
    site.configure(serves=["test", "stage"])
    assert site.sync().code == 0
    assert sorted(p.name for p in (site.root / "checkouts").iterdir()) == ["develop", "stage"]
    roots = yaml.safe_load(site.master_config.read_text())["file_roots"]
    assert sorted(roots) == ["stage", "test"]
    assert "prod*" in (site.root / "tops" / "test" / "states" / "top.sls").read_text()
    site.configure(serves=["tset"])
    ran = site.sync()
    assert ran.code == 1 and "there is no saltenv 'tset'" in ran.err


def test_a_production_branch_called_main(flow: FlowSite) -> None:
    flow.remote.set_branch("main", flow.head("master"))
    flow.remote.delete_branch("master")
    model_ = {**flow.model, "saltenvs": {**flow.model["saltenvs"]}}
    model_["saltenvs"]["prod"] = {
        **model_["saltenvs"]["prod"],
        "branch": "main",
        "gates": ["ticket"],
    }
    for branch in ("main", "stage", "develop"):
        flow.remote.commit(branch, {"saltbranch.yaml": as_yaml(model_)}, message="KEY-3 main")
    flow.push("stage", subject="No ticket")
    assert flow.gates("promote", "prod")["ticket"][0] == "fail"
    site = Machines(flow).masters["plain"]
    site.configure(model_branch="main")
    assert site.sync().code == 0
    ran = site.run_here("why-not", "prod", "--json", "--config", str(site.config))
    assert {g["gate"]: g["verdict"] for g in json.loads(ran.out)["gates"]}["ticket"] == "fail"


# Which branch is production, in a clone


def test_two_branches_that_say_it_of_themselves_are_a_question(flow: FlowSite) -> None:
    evil = json.loads(json.dumps(flow.model))
    evil["saltenvs"]["prod"]["branch"] = "feature/evil"
    flow.push_branch("feature/evil", "master", {"saltbranch.yaml": as_yaml(evil)})
    said = flow.refused("promote", "stage", "--yes", code=1)
    assert "feature/evil and master both say of themselves that they are production" in said
    assert "git config saltbranch.modelBranch BRANCH" in said
    asked = flow.run("why-not", "stage", answer="feature/nothing")
    assert asked.code == 1
    assert flow.run("why-not", "stage", answer="master").code == 0
    assert flow.git("config", "saltbranch.modelBranch") == "master"
    assert flow.run("why-not", "stage").code == 0


def test_a_clone_that_has_known_production_does_not_ask_because_of_a_new_branch(
    flow: FlowSite,
) -> None:
    assert flow.run("why-not", "stage").code == 0
    evil = json.loads(json.dumps(flow.model))
    evil["saltenvs"]["prod"]["branch"] = "feature/evil"
    flow.push_branch("feature/evil", "master", {"saltbranch.yaml": as_yaml(evil)})
    assert flow.run("why-not", "stage").code == 0


def test_a_broken_model_on_production_makes_no_other_branch_production(flow: FlowSite) -> None:
    evil = json.loads(json.dumps(flow.model))
    evil["saltenvs"]["prod"]["branch"] = "feature/evil"
    flow.push_branch("feature/evil", "master", {"saltbranch.yaml": as_yaml(evil)})
    flow.remote.commit("master", {"saltbranch.yaml": BROKEN})
    assert "both say of themselves" in flow.refused("promote", "stage", "--yes", code=1)


# The last good one


def test_while_the_model_is_broken_everybody_goes_by_the_last_good_one(machines: Machines) -> None:
    flow = machines.flow
    flow.push("develop", subject="No ticket")
    broken = flow.remote.commit("master", {"saltbranch.yaml": BROKEN}, message="KEY-4 break it")
    for ran in machines.sync().values():
        assert ran.code == 20 and f"that of {broken[:12]} does not count" in ran.err
    site = machines.masters["plain"]
    said = site.run_here("status", "--config", str(site.config)).out
    assert "does not count" in said and "failed since" not in said
    findings = json.loads(site.run_here("doctor", "--json", "--config", str(site.config)).out)
    assert {"model"} <= {f["id"] for f in findings["findings"]}
    assert "sync-failed" not in {f["id"] for f in findings["findings"]}
    assert "saltenvs.prod.gates: soak" in ran.err and "2x" in ran.err
    agreed = machines.agreed("stage", fresh="new")
    assert agreed["ticket"] == "fail" and agreed["model"] == "fail"


def test_the_verbs_of_an_emergency_work_with_a_broken_model(machines: Machines) -> None:
    flow = machines.flow
    flow.push("develop")
    flow.to_prod()
    flow.remote.commit("master", {"saltbranch.yaml": BROKEN}, message="KEY-4 break it")
    for words in (["status"], ["history"], ["where", "KEY-1"], ["diff", "prod", "stage"]):
        ran = flow.run(*words)
        assert ran.code in (0, 1, 3), (words, ran)
        assert "no configuration" not in ran.err
    assert flow.run("rollback", "prod", "--reason", "x", "--yes").code == 0
    assert flow.run("unhold", "prod", "--yes").code == 0
    assert flow.run("hold", "stage", "--reason", "x", "--yes").code == 0
    site = machines.masters["plain"]
    assert site.sync().code == 20
    config = ["--config", str(site.config)]
    done = site.run_here("rollback", "prod", "--reason", "y", "--local", "--yes", *config)
    assert done.code in (0, 20), done
    assert site.run_here("status", *config).code == 0


def test_a_broken_model_is_repaired_through_the_tool_alone(machines: Machines) -> None:
    flow = machines.flow
    good = flow.show("master", "saltbranch.yaml")
    assert good
    flow.remote.commit("master", {"saltbranch.yaml": BROKEN}, message="KEY-4 break it")
    flow.push("develop", subject="KEY-5 Nothing to do with it")
    assert "model: fail" in flow.refused("promote", "stage", "--yes")
    flow.well("hotfix", "start", "fix")
    flow.commit({"saltbranch.yaml": good}, "KEY-6 Fix the model")
    flow.well("hotfix", "finish", "--yes", "--no-tag")
    for ran in machines.sync().values():
        assert ran.code == 0, ran
    flow.promoted("stage")
    assert "model" not in machines.agreed("prod", fresh="new")


def test_a_repair_may_come_by_promotions_and_passes_the_gates_on_its_way(
    machines: Machines,
) -> None:
    flow = machines.flow
    good = flow.show("master", "saltbranch.yaml")
    assert good
    broken = flow.remote.commit("master", {"saltbranch.yaml": BROKEN}, message="KEY-4 break it")
    for branch in ("stage", "develop"):
        flow.remote.set_branch(branch, broken)
    flow.push("develop", {"saltbranch.yaml": good}, "No ticket")
    said = flow.refused("promote", "stage", "--yes")
    assert "ticket: fail" in said and "model: fail" not in said
    flow.push("develop", {"salt/x.sls": "x: test.nop\n"}, "Neither")
    flow.model["saltenvs"]["stage"]["overridable"] = ["ticket"]
    assert "may not be overridden" in flow.refused(
        "promote", "stage", "--yes", "--override", "ticket", "--reason", "r"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("saltenvs: {prod: {branch: master, gates: [{soak: 2x}], minions: [p]}}", "2x"),
        ("saltenvs: {prod: {branch: master, minions: {grain: os}}}", "grain"),
        ("saltenvs: {prod: {branch: master, minions: [p], promote_from: prod}}", "circle"),
        ("saltenvs: {prod: {branch: master, minions: [p], promote_from: nope}}", "nope"),
        (
            "saltenvs: {prod: {branch: master, minions: [p], promote_from: x}, x: {branch: gone, minions: [x]}}",
            "the remote has no branch 'gone'",
        ),
        ("saltenvs: {prod: {branch: master, minions: [p], follow: {tags: '('}}}", "not a regular"),
        ("tickets: '('\nsaltenvs: {prod: {branch: master, minions: [p]}}", "ticket"),
        (
            "hooks: {after_promote: ./x}\nsaltenvs: {prod: {branch: master, minions: [p]}}",
            "relative path",
        ),
        (
            "saltenvs: {prod: {branch: master, minions: [p], overridable: [model]}}",
            "cannot be overridden",
        ),
        (
            "requires: '99'\nsaltenvs: {prod: {branch: master, minions: [p]}}",
            "requires saltbranch 99",
        ),
        ("saltenvs: {prod: {branch: master, minions: [p], x: 1}}", "unknown key"),
        ("a: [", "not valid YAML"),
    ],
)
def test_no_wrong_model_is_ever_promoted_and_check_finds_it(
    flow: FlowSite, text: str, said: str
) -> None:
    flow.push("develop", {"saltbranch.yaml": f"{text}\n"}, "KEY-9 Model")
    refused = flow.refused("promote", "stage", "--yes")
    assert "model: fail" in refused and said in refused
    flow.git("fetch", "--quiet")
    flow.git("checkout", "--quiet", "--detach", "origin/develop")
    found = flow.run("check", "--static", "--json")
    assert found.code == 3
    (finding,) = [f for f in json.loads(found.out)["refs"][0]["findings"] if f["rule"] == "model"]
    assert said in finding["message"] and finding["file"] == "saltbranch.yaml"
    by_ref = json.loads(flow.run("check", "--static", "--json", "test").out)
    assert [f["rule"] for f in by_ref["refs"][0]["findings"]].count("model") == 1


def test_a_feature_with_a_wrong_model_is_not_finished(flow: FlowSite) -> None:
    flow.well("feature", "start", "x")
    flow.commit({"saltbranch.yaml": BROKEN}, "KEY-9 x")
    assert "model: fail" in flow.refused("feature", "finish", "--yes")


def test_a_merge_that_takes_the_model_away_is_refused(flow: FlowSite) -> None:
    flow.push("develop", {"saltbranch.yaml": None}, "KEY-9 x")
    assert "takes saltbranch.yaml away" in flow.refused("promote", "stage", "--yes")


def test_a_model_for_a_newer_saltbranch_is_no_mistake(machines: Machines) -> None:
    flow = machines.flow
    text = f"requires: '99.0'\nlabs: 3\n{as_yaml(flow.model)}"
    flow.remote.commit("master", {"saltbranch.yaml": text})
    for ran in machines.sync().values():
        assert ran.code == 20
        assert f"requires saltbranch 99.0, and this is {__version__}" in ran.err
        assert "unknown key" not in ran.err
    assert parse_file(f"requires: '{__version__}'\n", "f").requires == __version__
    flow.push("develop", subject="No ticket")
    assert machines.agreed("stage")["ticket"] == "fail"


def test_a_model_that_was_removed_is_not_forgotten(machines: Machines) -> None:
    flow = machines.flow
    flow.push("develop", subject="No ticket")
    flow.remote.commit("master", {"saltbranch.yaml": None})
    for ran in machines.sync().values():
        assert ran.code == 20 and "does not have it" in ran.err
    assert machines.agreed("stage", fresh="new")["ticket"] == "fail"


# What no master serves changes no gate


def loosened(flow: FlowSite) -> str:
    model_ = json.loads(json.dumps(flow.model))
    for saltenv in model_["saltenvs"].values():
        saltenv.pop("gates", None)
        saltenv.pop("protected", None)
    return as_yaml(model_)


def test_a_rewritten_protected_branch_changes_no_gate(machines: Machines) -> None:
    flow = machines.flow
    flow.push("develop")
    flow.to_prod()
    machines.sync()
    assert flow.run("status").code == 0
    flow.push("develop", subject="No ticket")
    parents = tuple(flow.parents(flow.head("master"))[:1])
    flow.remote.commit("master", {"saltbranch.yaml": loosened(flow)}, parents=parents)
    for ran in machines.sync().values():
        assert ran.code == 4, ran
        assert "was rewritten" in ran.err
    # The one that never saw the old head knows it from the journal.
    agreed = machines.agreed("stage", fresh="new")
    assert agreed["ticket"] == "fail" and agreed["model"] == "fail"


def test_a_commit_with_a_link_out_of_the_tree_changes_no_gate(machines: Machines) -> None:
    flow = machines.flow
    flow.push("develop", subject="No ticket")
    files: dict[str, Any] = {
        "saltbranch.yaml": loosened(flow),
        "salt/passwd": Link("/etc/passwd"),
    }
    flow.remote.commit("master", files)
    for ran in machines.sync().values():
        assert ran.code == 4 and "does not count: commit" in ran.err and "salt/passwd" in ran.err, (
            ran
        )
    assert machines.agreed("stage", fresh="new")["ticket"] == "fail"
    flow.remote.commit("master", {"salt/passwd": None})  # served again, and so it counts
    machines.sync()
    assert machines.agreed("stage")["hold"] == "pass"
    assert "ticket" not in machines.agreed("stage")


@pytest.mark.parametrize("states", [Submodule(), Link("README.md")], ids=["submodule", "link"])
def test_a_commit_whose_states_would_be_empty_changes_no_gate(
    machines: Machines, states: Content
) -> None:
    flow = machines.flow
    flow.push("develop", subject="No ticket")
    paths = flow.remote.git("ls-tree", "-r", "--name-only", "master", "salt/").split()
    flow.remote.commit("master", {"saltbranch.yaml": loosened(flow), **dict.fromkeys(paths)})
    flow.remote.commit("master", {"salt": states})
    for ran in machines.sync().values():
        assert ran.code == 4 and "does not count: commit" in ran.err, ran
    assert machines.agreed("stage", fresh="new")["ticket"] == "fail"


def test_while_production_cannot_be_read_its_last_model_counts(machines: Machines) -> None:
    flow = machines.flow
    flow.push("develop", subject="No ticket")
    machines.sync()
    assert machines.agreed("stage")["ticket"] == "fail"
    flow.remote.set_branch("master", bad_commit(flow.remote, flow.head("master")))
    for ran in machines.sync().values():
        assert ran.code == 20 and "cannot be read" in ran.err, ran
    assert machines.agreed("stage")["ticket"] == "fail"


def test_an_unprotected_branch_that_was_rewritten_is_followed(flow: FlowSite) -> None:
    flow.configure(stage={"gates": ["ticket"]})
    machines = Machines(flow)
    machines.masters.pop("own")
    machines.sync()
    flow.push("develop", subject="No ticket")
    parents = tuple(flow.parents(flow.head("master"))[:1])
    flow.remote.commit("master", {"saltbranch.yaml": loosened(flow)}, parents=parents)
    assert machines.sync()["plain"].code == 0
    assert "ticket" not in machines.agreed("stage")


def test_a_rollback_does_not_take_the_model_back_and_says_so(machines: Machines) -> None:
    flow = machines.flow
    flow.push(
        "develop", {"saltbranch.yaml": as_yaml({**flow.model, "shown_pillar": ["x"]})}, "KEY-9 x"
    )
    flow.to_prod()
    ran = flow.well("rollback", "prod", "--reason", "x", "--yes")
    assert "a hold or rollback does not take the model back" in ran.out
    machines.sync()
    site = machines.masters["plain"]
    said = json.loads(site.run_here("status", "--json", "--config", str(site.config)).out)
    assert said["model"]["commit"] == flow.head("master")
    assert said["saltenvs"][2]["served"]["commit"] != flow.head("master")


def test_a_model_that_this_master_cannot_serve_leaves_the_one_before_in_force(
    machines: Machines,
) -> None:
    """Which minions are accepted only the master knows."""
    flow, site = machines.flow, machines.masters["plain"]
    pki = site.folder / "pki"
    (pki / "minions").mkdir(parents=True)
    (pki / "minions" / "prod-test1").touch()
    site.salt_config.write_text(yaml.safe_dump({"pki_dir": str(pki), "root_dir": str(site.folder)}))
    assert site.sync().code == 0
    flow.model["saltenvs"]["test"]["minions"] = ["test*", "*-test1"]
    flow.remote.commit("master", {"saltbranch.yaml": as_yaml(flow.model)})
    new = flow.push("develop")
    for _ in range(2):
        ran = site.sync()
        assert ran.code == 20 and "prod-test1 is claimed by test" in ran.err, ran
        site.assert_serves("develop", new)
        assert "*-test1" not in (site.root / "tops" / "test" / "states" / "top.sls").read_text()
    (pki / "minions" / "prod-test1").unlink()
    assert site.sync().code == 0
    assert "*-test1" in (site.root / "tops" / "test" / "states" / "top.sls").read_text()


def test_differences_are_named() -> None:
    own = parse_file("remote: /r\nsaltenvs: {a: {branch: x, minions: [a]}}", "f")
    other = parse_file(
        "pillar_dir: p\nsaltenvs: {a: {branch: y, minions: [a]}, b: {branch: z, minions: [b]}}", "g"
    )
    one, two = (
        build_config(own, "f"),
        build_config(own, "f", other, source=Source("g")),
    )
    assert model.differences(one, two) == ("b", "a.branch", "pillar_dir")
    assert model.differences(one, one) == ()


# Wrong in other ways than by its text


@pytest.mark.parametrize("kind", ["folder", "link", "submodule"])
def test_what_is_no_file_is_no_model_and_locks_nobody_out(machines: Machines, kind: str) -> None:
    flow = machines.flow
    flow.push("develop", subject="No ticket")
    files: dict[str, Any] = {"saltbranch.yaml": None}
    if kind == "folder":
        files["saltbranch.yaml/x"] = "x\n"
    elif kind == "link":
        files["saltbranch.yaml"] = Link("salt/app/init.sls")
    else:
        files["saltbranch.yaml"] = Submodule(flow.head("develop"))
    flow.remote.commit("master", files)
    for ran in machines.sync().values():
        assert (
            ran.code == 20
            and f"is a {'symlink' if kind == 'link' else kind} and no file" in ran.err
        )
    assert machines.agreed("stage", fresh="new")["ticket"] == "fail"
    assert flow.run("rollback", "prod", "--reason", "x", "--plan").code in (3, 4)
    site = machines.masters["plain"]
    held = ["hold", "prod", "--local", "--reason", "x", "--yes", "--config", str(site.config)]
    assert site.run_here(*held).code in (0, 20)


@pytest.mark.parametrize(
    "text",
    [
        "tickets: '(a+)+[0-9]'\n",
        "saltenvs: {prod: {branch: master, minions: [p], follow: {tags: '^(a+)+$'}}}\n",
        "saltenvs: {prod: {branch: master, minions: {pcre: '(x+x+)+y'}},"
        f" a: {{branch: stage, minions: [{'x' * 60}]}}}}\n",
    ],
)
def test_an_expression_that_takes_for_ever_is_no_model(
    machines: Machines, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "_SECONDS", 0.1)  # which everybody here takes whole, often
    flow = machines.flow
    flow.push("develop", subject="KEY-1 " + "a" * 60)
    flow.tag("a" * 60 + "!", flow.head("master"))
    whole = text if "saltenvs" in text else text + as_yaml(flow.model)
    flow.remote.commit("master", {"saltbranch.yaml": whole})
    for ran in machines.sync().values():
        assert ran.code == 20 and "takes too long on some texts" in ran.err
    assert machines.agreed("stage")["model"] == "fail"
    assert flow.run("status").code == 0


def test_a_second_is_enough_to_tell() -> None:
    begin = time.process_time()
    with pytest.raises(ConfigError, match="here: .* takes too long on some texts"):
        patterns.check(re.compile("^(a+)+$"), "here")
    assert time.process_time() - begin < 3


def test_usual_expressions_are_quick(flow: FlowSite) -> None:
    for pattern in (
        r"^v[0-9]+(\.[0-9]+)*$", r"^v[0-9]+(\.[0-9]+)*-rc\.[0-9]+$", "[A-Z][A-Z0-9]+-[0-9]+", "(KEY|OPS)-[0-9]+",
        r"web[0-9]+\.(dev|prod)\.example\.com", r"^(?!test).*\.example\.com$", r".*-(db|web)[0-9]{1,3}",
    ):  # fmt: skip
        patterns.check(re.compile(pattern), "here")


def changed(flow: FlowSite, **saltenvs: Any) -> str:
    """The model with other keys; None takes a saltenv or a key away."""
    model_ = json.loads(json.dumps(flow.model))
    for name, keys in saltenvs.items():
        if keys is None:
            model_["saltenvs"].pop(name)
            continue
        model_["saltenvs"][name].update(keys)
        model_["saltenvs"][name] = {
            k: v for k, v in model_["saltenvs"][name].items() if v is not None
        }
    return as_yaml(model_)


@pytest.mark.parametrize(
    "change",
    [
        {"prod": None},
        {"prod": {"branch": "main"}},
        {"prod": {"branch": "stage"}, "stage": {"branch": "master"}},
        {"prod": {"promote_from": None}},
    ],
)
def test_a_model_by_which_nobody_could_promote_the_repair_is_not_promoted(
    flow: FlowSite, change: dict[str, Any]
) -> None:
    flow.remote.set_branch("main", flow.head("master"))
    flow.push("develop", {"saltbranch.yaml": changed(flow, **change)}, "KEY-9 x")
    assert "model: fail" in flow.refused("promote", "stage", "--yes")


@pytest.mark.parametrize(
    "change", [{"prod": None}, {"prod": {"branch": "main"}}, {"prod": {"promote_from": None}}]
)
def test_pushed_by_hand_it_leaves_production_where_it_is_and_can_be_repaired(
    machines: Machines, change: dict[str, Any]
) -> None:
    flow = machines.flow
    flow.remote.set_branch("main", flow.head("stage"))
    good = flow.show("master", "saltbranch.yaml")
    assert good
    head = flow.remote.commit("master", {"saltbranch.yaml": changed(flow, **change)})
    for name, ran in machines.sync().items():
        assert ran.code in (0, 20), (name, ran)
        machines.masters[name].assert_serves("master", head)
    assert flow.run("status").code == 0
    flow.well("hotfix", "start", "fix")
    flow.commit({"saltbranch.yaml": f"{good}# fixed\n"}, "KEY-6 Fix the model")
    flow.well("hotfix", "finish", "--yes", "--no-tag")
    assert {ran.code for ran in machines.sync().values()} == {0}
    flow.push("develop")
    flow.to_prod()


@pytest.mark.parametrize("key", ["states_dir", "pillar_dir"])
def test_a_folder_that_is_not_there_takes_nobodys_pillar(machines: Machines, key: str) -> None:
    flow = machines.flow
    text = f"{key}: nope\n{as_yaml(flow.model)}"
    flow.push("develop", {"saltbranch.yaml": text}, "KEY-9 x")
    assert f"{key}: there is no folder 'nope'" in flow.refused("promote", "stage", "--yes")
    roots = machines.masters["plain"].master_config.read_text()
    head = flow.remote.commit("master", {"saltbranch.yaml": text})
    for name, ran in machines.sync().items():
        assert ran.code == 20 and "there is no folder 'nope'" in ran.err, ran
        machines.masters[name].assert_serves("master", head)
    assert machines.masters["plain"].master_config.read_text() == roots


# Machines that were away


def test_a_laptop_that_was_away_learns_from_the_journal_what_masters_had_accepted(
    machines: Machines,
) -> None:
    flow = machines.flow
    flow.push("develop")
    flow.to_prod()
    assert flow.run("status").code == 0
    for site in machines.masters.values():
        site.configure(record_syncs=True)
    loose = flow.head("master")
    strict = as_yaml({**flow.model, "saltenvs": {**flow.model["saltenvs"]}})
    flow.remote.commit("master", {"saltbranch.yaml": f"{strict}# stricter\n"})
    machines.sync()
    flow.push("develop", subject="No ticket")
    flow.remote.commit("master", {"saltbranch.yaml": loosened(flow)}, parents=(loose,))
    assert {ran.code for ran in machines.sync().values()} == {4}
    assert machines.agreed("stage", fresh="new")["ticket"] == "fail"


def test_a_commit_without_pillar_is_judged_alike_by_old_and_new(machines: Machines) -> None:
    flow = machines.flow
    flow.push("develop", subject="No ticket")
    gone: dict[str, Any] = {
        p: None for p in flow.files(flow.head("master")) if p.startswith("pillar/")
    }
    flow.remote.commit("master", {**gone, "saltbranch.yaml": loosened(flow)})
    for ran in machines.sync().values():
        assert ran.code == 4
    assert machines.agreed("stage", fresh="new")["ticket"] == "fail"


def test_what_a_person_accepts_counts_at_the_next_sync(machines: Machines) -> None:
    flow, site = machines.flow, machines.masters["plain"]
    flow.push("develop")
    flow.to_prod()
    machines.sync()
    parents = tuple(flow.parents(flow.head("master"))[:1])
    new = flow.remote.commit("master", {"saltbranch.yaml": loosened(flow)}, parents=parents)
    said = site.sync().err
    found = re.search(r"git --git-dir=(\S+) update-ref (\S+) (\S+)\)", said)
    assert found and found[3] == new
    Git(found[1]).out("update-ref", found[2], found[3])
    assert "does not count" not in site.sync().err


def test_production_may_move_to_a_branch_below_itself(machines: Machines) -> None:
    flow, site = machines.flow, machines.masters["plain"]
    head = flow.head("master")
    flow.remote.delete_branch("master")
    model_ = json.loads(json.dumps(flow.model))
    model_["saltenvs"]["prod"]["branch"] = "master/main"
    flow.remote.set_branch("master/main", head)
    flow.remote.commit("master/main", {"saltbranch.yaml": as_yaml(model_)})
    site.configure(model_branch="master/main")
    assert site.sync().code == 0
    assert flow.run("status").code == 0


def test_rewriting_and_protecting_in_one_push_is_followed_once(flow: FlowSite) -> None:
    machines = Machines(flow)
    site = machines.masters["plain"]
    flow.push("master")
    assert site.sync().code == 0
    text = changed(flow, prod={"protected": True})
    parents = tuple(flow.parents(flow.head("master"))[:1])
    new = flow.remote.commit("master", {"saltbranch.yaml": text}, parents=parents)
    assert site.sync().code == 0
    site.assert_serves("master", new)


def test_a_mirror_that_lacks_the_model_is_made_anew(machines: Machines) -> None:
    flow, site = machines.flow, machines.masters["plain"]
    flow.remote.commit("master", {"saltbranch.yaml": as_yaml(flow.model) + "# x\n"})
    assert site.sync().code == 0
    mirror = site.root / "mirror.git"
    git = Git(str(mirror))
    blob = git.blob_or_none(flow.head("master"), "saltbranch.yaml")
    assert blob
    for pack in (mirror / "objects" / "pack").glob("*.pack"):
        data = pack.read_bytes()
        for part in (mirror / "objects" / "pack").glob(f"{pack.stem}.*"):
            part.unlink()
        git.out("unpack-objects", "-q", stdin=data)
    (mirror / "objects" / blob[:2] / blob[2:]).unlink()
    os.utime(site.config)
    ran = site.sync()
    assert ran.code == 0 and "the mirror was damaged: rebuilt" in ran.out, ran
