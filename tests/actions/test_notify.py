"""`notify`, and what `status` and `doctor` say of notifications: never a secret."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from saltbranch.doctor.gather import notifications
from saltbranch.git.mirror import Mirror
from saltbranch.notify import outbox
from saltbranch.repository.machine import load_config
from tests.support.receiver import Receiver, until
from tests.support.remote import Remote
from tests.support.site import Site, build_template

RULES = [{"events": ["switched", "gate_closed", "check_found"], "to": ["ops"]}]


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return build_template(tmp_path / "remote.git")


@pytest.fixture
def server() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


@pytest.fixture
def site(tmp_path: Path, remote: Remote, server: Receiver) -> Site:
    found = Site(tmp_path, remote)
    found.configure(notify=RULES, notify_targets={"ops": server.url()})
    return found


def found_by_doctor(site: Site) -> dict[str, str]:
    """Findings about notifications: id to message."""
    mirror = Mirror(str(site.root))
    config = load_config(str(site.config), mirror, mirror.branches())
    return {f.id: f.message for f in notifications.look(config)}


def test_a_message_is_sent_at_once_and_tried_targets_are_told(site: Site, server: Receiver) -> None:
    site.sync_well()
    assert until(lambda: server.got)
    done = site.run_here("notify", "--test", "--config", str(site.config))
    assert (done.code, done.out) == (0, "ops: sent\n")
    assert server.got[-1]["event"] == "test"
    server.status = 404
    done = site.run_here("notify", "--test", "ops", "--json", "--config", str(site.config))
    assert done.code == 20
    assert json.loads(done.out)["tried"] == [
        {"target": "ops", "problem": "the server answered 404"}
    ]


def test_a_target_that_is_not_there(site: Site) -> None:
    site.sync_well()
    done = site.run_here("notify", "--test", "nobody", "--config", str(site.config))
    assert done.code == 2 and "'nobody'" in done.err and "known: ops" in done.err


def test_a_failure_is_said_everywhere_and_the_secret_nowhere(site: Site, server: Receiver) -> None:
    server.status = 500
    site.sync_well()
    assert until(lambda: "notify-failed" in found_by_doctor(site))
    words = ["--config", str(site.config)]
    said = site.run_here("status", *words).out + site.run_here("notify", *words).out
    data = site.run_here("status", "--json", *words).out
    assert said.count("target ops: the server answered 500") == 2
    assert said.count("1 message not sent yet") == 2
    assert json.loads(data)["notifications"]["failures"][0]["channel"] == "to-ops"
    assert "s3cret" not in said + data + str(found_by_doctor(site))
    for path in (site.root / "state").rglob("*"):
        assert not path.is_file() or b"s3cret" not in path.read_bytes(), path


def test_what_was_dropped_is_said(site: Site, server: Receiver) -> None:
    site.sync_well()
    assert until(lambda: server.got)
    outbox._drop(str(site.root), 3)
    assert "3 messages dropped" in site.run_here("status", "--config", str(site.config)).out
    assert "3 messages" in found_by_doctor(site)["notify-dropped"]


def test_doctor_looks_at_names_modes_and_hooks(site: Site) -> None:
    site.configure(
        notify=[{"events": ["switched"], "to": ["ops", "elsewhere", "unset"]}],
        notify_targets=site.settings["notify_targets"] | {"unset": {"env": "SALTBRANCH_NO_SUCH"}},
        hooks={"after_sync": ["/bin/true", "x"]},
    )
    site.config.chmod(0o644)
    site.sync_well()
    found = found_by_doctor(site)
    assert "elsewhere" in found["notify-no-target"] and "unset" in found["notify-no-url"]
    assert "after_sync" in found["hook-not-listed"] and "notify-secrets-readable" in found
    site.config.chmod(0o640)
    assert "notify-secrets-readable" not in found_by_doctor(site)


BAD = [
    ({"notify": [{"events": ["swiched"], "to": ["ops"]}]}, "swiched"),
    ({"notify": [{"events": ["switched"], "to": []}]}, "names no target"),
    ({"notify": [{"events": ["switched"], "to": ["https://chat/s3cret"]}]}, "not the name of a target"),
    ({"notify": [{"events": ["switched"], "to": ["../../x"]}]}, "not the name of a target"),
    ({"notify": [{"events": ["switched"], "to": ["ops"], "saltenvs": ["prd"]}]}, "'prod'"),
    ({"notify": [{"event": ["switched"], "to": ["ops"]}]}, "unknown key notify.event"),
    ({"notify_targets": {"ops": "s3cret no url"}}, "not a URL"),
    ({"notify_targets": {"ops": {"url": "x://s3cret", "env": "X"}}}, "one url"),
    ({"notify_targets": {"a@b": "x://s3cret"}}, "not the name of a target"),
    ({"notify_targets": {"ops": {"url": "x://s3cret", "format": "pdf"}}}, "format"),
    ({"hooks": {"after_sync": ["bin/x"]}}, "relative path"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "said"), BAD)
def test_a_mistake_in_the_configuration_is_said_without_the_url(
    site: Site, keys: dict[str, object], said: str
) -> None:
    site.configure(**keys)
    done = site.sync()
    assert done.code != 0 and said in done.err
    if "notify_targets" in keys:
        assert "s3cret" not in done.err


def test_a_check_of_the_night_is_told_with_one_id_a_day(site: Site, server: Receiver) -> None:
    site.sync_well()
    assert until(lambda: server.got)
    site.remote.commit("develop", {"salt/app/init.sls": "app:\n  file.managd: []\n"})
    site.sync_well()
    assert until(lambda: len(server.got) == 2)
    words = ["check", "--all", "--static", "--quiet", "--config", str(site.config)]
    assert site.run_here(*words).code == 3
    assert until(lambda: server.got[-1]["event"] == "check_found")
    assert "test" in server.got[-1]["text"] and "init.sls" in server.got[-1]["text"]
    ids = {server.got[-1]["id"]}
    site.run_here(*words)
    assert until(lambda: not os.listdir(site.root / "state" / "outbox" / "queue"))
    time.sleep(0.2)
    assert {m["id"] for m in server.got if m["event"] == "check_found"} == ids


def test_a_promotion_that_a_gate_refused_on_the_master_is_told(
    site: Site, server: Receiver
) -> None:
    saltenvs = site.settings["saltenvs"]
    saltenvs["prod"] |= {"promote_from": "stage", "gates": [{"soak": "1h"}]}
    model = {"saltenvs": saltenvs, "notify": RULES}
    new = site.remote.commit("master", {"saltbranch.yaml": json.dumps(model)})
    site.configure(saltenvs=None, notify=None)
    site.sync_here()
    assert until(lambda: server.got)
    assert site.run_here("promote", "prod", "--yes", "--config", str(site.config)).code == 4
    assert until(lambda: server.got[-1]["event"] == "gate_closed")
    assert server.got[-1]["saltenvs"] == ["prod"] and "soak" in server.got[-1]["text"]
    assert site.remote.head("master") == new
