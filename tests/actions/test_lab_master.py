"""lab on a master: it knows how many there are, what it has given by itself, and serves a claim at once."""

from __future__ import annotations

import json
from typing import Any

from saltbranch.labs import lent
from tests.support.site import Journal, Site


def labs_of(site: Site, count: int, **keys: Any) -> None:
    """Give the master labs, and the remote two features to try."""
    for saltenv, before in (("stage", "test"), ("prod", "stage")):
        site.settings["saltenvs"][saltenv]["promote_from"] = before
    site.configure(labs=count, **keys)
    for name in "ab":
        site.remote.set_branch(f"feature/{name}", site.remote.head("develop"))
        site.remote.commit(f"feature/{name}", {f"salt/{name}.sls": "x: {test.nop: []}\n"})


def said(site: Site, *words: str, code: int = 0) -> dict[str, Any]:
    """What ``saltbranch lab words --json`` says."""
    ran = site.run_here("lab", *words, "--config", str(site.config), "--json")
    assert ran.code == code, ran
    found: dict[str, Any] = json.loads(ran.out)
    return found


def test_a_claim_on_a_master_is_served_by_a_sync_at_once(served: Site) -> None:
    labs_of(served, 1)
    done = said(served, "claim", "a", "--yes")
    assert (done["lab"], done["notes"]) == ("lab1", [])
    assert done["sync"]["exit_code"] == 0 if "exit_code" in done["sync"] else done["sync"]
    error = said(served, "claim", "b", "--yes", code=4)["error"]
    assert "no lab is free: feature/a has lab1 by " in error["message"]
    assert "there is no lab2: labs: in" in said(served, "claim", "b", "--lab", "lab2", code=2)[
        "error"
    ]["message"]  # fmt: skip
    assert said(served, "list")["count"] == 1
    said(served, "release", "lab1", "--yes")
    assert not Journal(served.remote).state().labs


def test_a_master_without_labs_says_where_to_set_them(served: Site) -> None:
    labs_of(served, 0)
    error = said(served, "claim", "a", "--yes", code=4)["error"]
    assert error["message"] == f"this master has no labs: there is no labs: in {served.config}"
    assert said(served, "list")["labs"] == []


def test_what_lab_auto_gave_is_shown_and_free_for_a_claim(served: Site) -> None:
    """By the file that the master's top files read."""
    labs_of(served, 2, lab_auto="feature/*")
    served.sync()
    path = served.root / "labs" / "lent"
    path.parent.mkdir(exist_ok=True)
    place = lent.Place("", "feature/b", "test", "", open=False)
    path.write_text(lent.dumps(lent.Lent({"lab1": place, "labX": place})))
    rows = said(served, "list")["labs"]
    assert [(r["state"], r["claim"]["branch"]) for r in rows] == [
        ("auto", "feature/b"),
        ("auto", "feature/a"),
    ]
    error = said(served, "release", "lab1", "--yes", code=4)["error"]["message"]
    assert error == "lab1 was given to feature/b by lab_auto of this master"
    served.remote.set_branch("hotfix/c", served.remote.head("master"))
    assert said(served, "claim", "hotfix/c", "--plan", code=3)["lab"] == "lab1"
    for damaged in ("", "[]", '{"labs": 3}', '{"labs": {"lab1": []}}', "{" * 9999):
        path.write_text(damaged)
        assert [r["state"] for r in said(served, "list")["labs"]] == ["auto", "auto"]


def test_nodegroups_say_whose_a_minion_is(served: Site) -> None:
    served.settings["saltenvs"]["test"]["minions"] = {"nodegroup": "testing"}
    labs_of(served, 1)
    with open(served.settings["salt_config"], "a", encoding="utf-8") as file:
        file.write("nodegroups:\n  testing: 'L@t1,t2'\n")
    done = said(served, "claim", "a", "--minions", "t1", "--plan", code=3)
    assert done["saltenv"] == "test"
    error = said(served, "claim", "a", "--minions", "t3", "--plan", code=4)["error"]
    assert "t3 is of no saltenv" in error["message"]
