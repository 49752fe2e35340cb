"""metrics: what a master tells a monitoring system."""

from __future__ import annotations

import stat
import time
from pathlib import Path

from tests.base.test_openmetrics import read
from tests.cli.test_json_shapes import conforms, out
from tests.support.remote import Remote
from tests.support.site import Journal, Site


def told(site: Site) -> dict[str, list[tuple[dict[str, str], float]]]:
    ran = site.run_here("metrics", "--config", str(site.config))
    assert ran.code == 0, ran
    return read(ran.out)


def of(site: Site, name: str, saltenv: str, **more: str) -> float | None:
    rows = told(site).get(f"saltbranch_saltenv_{name}", [])
    wanted = {"saltenv": saltenv, **more}
    found = [value for labels, value in rows if wanted.items() <= labels.items()]
    return found[0] if found else None


def test_what_is_served_and_what_is_not(served: Site, remote: Remote) -> None:
    served.settings["saltenvs"]["stage"]["promote_from"] = "test"
    served.settings["saltenvs"]["stage"]["gates"] = [{"soak": "1h"}]
    served.settings["saltenvs"]["prod"]["promote_from"] = "stage"
    served.configure()
    served.sync()
    before = remote.head("develop")
    found = told(served)
    good = found["saltbranch_last_good_sync_timestamp_seconds"][0][1]
    assert abs(time.time() - good) < 600
    assert found["saltbranch_sync_failed"] == [({}, 0.0)]
    rows = {labels["saltenv"]: labels for labels, _ in found["saltbranch_saltenv_info"]}
    assert rows["test"]["served"] == before
    assert (rows["test"]["branch"], rows["test"]["state"], rows["test"]["why"]) == (
        "develop",
        "in_sync",
        "branch",
    )
    made = float(remote.git("log", "-1", "--format=%ct", before))
    assert of(served, "served_commit_timestamp_seconds", "test") == made
    assert of(served, "unpromoted_commits", "stage") == 1
    assert of(served, "gate_open", "stage", gate="debts") == 1
    assert of(served, "gate_open", "stage", gate="soak") == 0
    assert of(served, "promotion_possible", "stage") == 0
    assert of(served, "held_since_timestamp_seconds", "test") is None

    hold = Journal(remote).hold("test", before, until="2999-01-01T00:00:00Z")
    remote.commit("develop", {"salt/new.sls": "new:\n  test.nop: []\n"})
    served.sync()
    assert of(served, "held", "test") == 1
    assert of(served, "held_since_timestamp_seconds", "test") == int(hold.time)
    assert of(served, "hold_ends_timestamp_seconds", "test") == 32472144000
    assert of(served, "unserved_commits", "test") == 1
    assert of(served, "in_sync", "test") == 1, "the hold says what it is to serve"
    assert told(served)["saltbranch_held_all"] == [({}, 0.0)]
    rows_ = [{"saltenv": "test", "commit": before}]
    Journal(remote).add("hold", all=True, saltenvs=rows_, reason="fire")
    served.sync()
    assert told(served)["saltbranch_held_all"] == [({}, 1.0)]
    conforms("metrics", out(served.run_here("metrics", "--config", str(served.config), "--json")))


def test_a_sync_that_fails(served: Site, remote: Remote, tmp_path: Path) -> None:
    remote.path.rename(tmp_path / "away.git")
    assert served.sync().code != 0
    assert told(served)["saltbranch_sync_failed"] == [({}, 1.0)]


def test_the_file_is_whole_and_readable_and_stays_where_it_fails(
    served: Site, tmp_path: Path
) -> None:
    file = tmp_path / "saltbranch.prom"
    words = ("metrics", "--config", str(served.config), "--output", str(file))
    ran = served.run_here(*words)
    assert (ran.code, ran.out) == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert list(tmp_path.glob("saltbranch.prom*")) == [file]
    before = file.read_text()
    assert read(before)["saltbranch_saltenv_in_sync"]
    served.config.write_text("remote: [\n")
    assert served.run_here(*words).code == 1
    assert file.read_text() == before
    missing = tmp_path / "no" / "such.prom"
    assert served.run_here("metrics", "--config", str(served.config), "-o", str(missing)).code != 0
