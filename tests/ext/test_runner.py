"""saltbranch inside a running salt-master: runner, events, reactor and schedule."""

from __future__ import annotations

import json
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from saltbranch.actions.install import install
from saltbranch.demo.cluster import Answer
from saltbranch.salt_master import options as master_options
from saltbranch.schedule.texts import SYNC, Kind
from tests.support.running import HOOK, Master
from tests.support.site import BRANCHES, Ran, Site, build_template


def states(answer: Answer) -> dict[str, str]:
    """saltenv to state."""
    return {s["saltenv"]: s["state"] for s in answer.value["saltenvs"]}


def outcome(ran: Ran) -> tuple[int, Any]:
    """Exit status and JSON of a command line."""
    return ran.code, json.loads(ran.out)


# sync


def test_sync_switches_and_returns_plain_data(master: Master, tmp_path: Path) -> None:
    site = master.another_site(tmp_path)

    first = master.runner("sync", site=site)
    old = site.remote.head("develop")
    new = site.remote.commit("develop", {"pillar/app.sls": "branch: new\n"})
    second = master.runner("sync", site=site)

    assert (first.code, states(first)) == (0, dict.fromkeys(BRANCHES, "first"))
    assert (second.code, second.value["retcode"]) == (0, 0)
    assert second.value["saltenvs"][0] == {
        "saltenv": "test",
        "branch": "develop",
        "old": old,
        "new": new,
        "changed": True,
        "state": "switched",
        "message": "",
        "why": "branch",
        "tag": None,
        "held": None,
        "refused": None,
        "runs": [],
        "signed_by": [],
    }
    assert states(second) == {"test": "switched", "stage": "unchanged", "prod": "unchanged"}
    site.assert_serves("develop", new)


def test_plan_changes_nothing_and_ends_with_3(master: Master, tmp_path: Path) -> None:
    site = master.another_site(tmp_path)
    site.sync_well()
    old = site.remote.head("develop")
    site.remote.commit("develop", {"pillar/app.sls": "branch: new\n"})

    answer = master.runner("sync", "plan=True", site=site)

    assert (answer.code, answer.value["retcode"], answer.value["plan"]) == (3, 3, True)
    assert states(answer)["test"] == "switched"
    site.assert_serves("develop", old)


def test_a_refused_commit_ends_with_4_and_the_job_counts_as_failed(
    master: Master, tmp_path: Path
) -> None:
    site = master.another_site(tmp_path)
    site.sync_well()
    old = site.remote.head("master")
    site.remote.rewrite("master", {"pillar/app.sls": "branch: rewritten\n"})

    with master.listening("salt/run/") as heard:
        answer = master.runner("sync", site=site)
        job = next(event["data"] for event in heard(2) if event["tag"].endswith("/ret"))

    assert (answer.code, answer.value["retcode"]) == (4, 4)
    assert states(answer) == {"test": "unchanged", "stage": "unchanged", "prod": "refused"}
    assert "was rewritten" in answer.value["saltenvs"][2]["message"]
    assert (job["fun"], job["success"]) == ("runner.saltbranch.sync", False)
    site.assert_serves("master", old)


def test_a_commit_whose_top_file_fails_for_the_running_minion_is_refused(
    master: Master, tmp_path: Path
) -> None:
    site = master.another_site(tmp_path)
    site.settings["saltenvs"]["test"]["protected"] = True
    site.configure()
    site.sync_well()
    old = site.remote.head("develop")
    site.remote.commit("develop", {"salt/top.sls": "base:\n  '*': [app\n"})

    answer = master.runner("sync", site=site)

    assert (answer.code, states(answer)["test"]) == (4, "refused")
    assert "test1: salt/top.sls: " in answer.value["saltenvs"][0]["message"]
    site.assert_serves("develop", old)
    row = master.runner("status", site=site).value["saltenvs"][0]
    assert (row["verified"]["outcome"], row["verified"]["minions"]) == ("refused", 1)

    site.remote.commit("develop", {"salt/top.sls": "base:\n  '*': [app]\n"})
    assert states(master.runner("sync", site=site))["test"] == "switched"


def test_some_failed_others_done_ends_with_20(master: Master, tmp_path: Path) -> None:
    site = master.another_site(tmp_path)
    site.sync_well()
    new = site.remote.commit("develop", {"pillar/app.sls": "branch: new\n"})
    site.remote.delete_branch("stage")

    answer = master.runner("sync", site=site)

    assert (answer.code, answer.value["retcode"]) == (20, 20)
    assert states(answer) == {"test": "switched", "stage": "missing", "prod": "unchanged"}
    site.assert_serves("develop", new)


def test_an_expected_failure_is_data_with_its_exit_status(master: Master, tmp_path: Path) -> None:
    site = master.another_site(tmp_path)
    site.sync_well()

    unknown = master.runner("sync", "tset", site=site)
    site.remote.path.rename(tmp_path / "away.git")
    unreachable = master.runner("sync", site=site)

    for answer, code, text in ((unknown, 2, "tset"), (unreachable, 1, "remote.git")):
        assert set(answer.value) == {"retcode", "error", "hint"}
        assert (answer.code, answer.value["retcode"]) == (code, code)
        assert text in answer.value["error"]
    for saltenv, branch in BRANCHES.items():
        assert saltenv and site.shown(branch)


def test_saltenvs_are_named_in_one_text_or_a_list(master: Master, tmp_path: Path) -> None:
    site = master.another_site(tmp_path)

    text = master.runner("sync", "test, prod", "plan=True", site=site)
    words = master.runner("sync", "saltenvs=[prod]", "plan=True", site=site)

    assert list(states(text)) == ["test", "prod"]
    assert list(states(words)) == ["prod"]


def test_words_that_look_like_numbers_are_words(master: Master, tmp_path: Path) -> None:
    site = master.another_site(tmp_path)
    site.sync_well()

    saltenv = master.runner("sync", "2024", site=site)
    commit = master.runner("sync", "expect=1234567", "expect_timeout=0", site=site)
    minion = master.runner("explain", "1001", site=site)
    seconds = master.runner("sync", "wait=soon", site=site)

    assert (saltenv.code, "2024" in saltenv.value["error"]) == (2, True)
    assert (commit.code, "contains 1234567" in commit.value["error"]) == (1, True)
    assert (minion.code, minion.value["minion"]) == (1, "1001")
    assert (seconds.code, "wait='soon'" in seconds.value["error"]) == (2, True)


# status, explain, doctor


def test_the_master_names_the_configuration_and_the_runner_says_what_the_command_says(
    master: Master,
) -> None:
    master.site.sync_well()
    for function, args in (("status", []), ("explain", ["test1"]), ("explain", ["nobody"]),
                           ("doctor", [])):  # fmt: skip
        answer = master.runner(function, *args)
        code, said = outcome(master.site.run(function, *args, "--json"))

        assert answer.code == answer.value.pop("retcode") == code
        assert answer.value == said
    assert code == 0


def test_a_wrong_configuration_is_data_too(master: Master, tmp_path: Path) -> None:
    (tmp_path / "saltbranch.yaml").write_text("remoot: x\n")

    for function, args in (("status", []), ("explain", ["test1"])):
        with master.configured(tmp_path / "saltbranch.yaml"):
            answer = master.runner(function, *args)

        assert answer.code == answer.value["retcode"] == 1
        assert answer.value["hint"] == "did you mean 'remote'?"


# Events


def by_command(master: Master, site: Site) -> None:
    """``saltbranch sync``, as cron runs it."""
    ran = site.sync("--quiet")
    assert (ran.code, ran.err) == (0, "")


def by_command_with_json(master: Master, site: Site) -> None:
    """``saltbranch sync`` over the ordinary road."""
    code, said = outcome(site.sync("--json"))
    assert (code, said["notes"]) == (0, [])


def by_runner(master: Master, site: Site) -> None:
    """``salt-run saltbranch.sync``."""
    answer = master.runner("sync", site=site)
    assert (answer.code, answer.value["notes"]) == (0, [])


@pytest.mark.parametrize("sync", [by_command, by_command_with_json, by_runner])
def test_each_switch_is_an_event_on_the_masters_bus(
    master: Master, tmp_path: Path, sync: Callable[[Master, Site], None]
) -> None:
    site = master.another_site(tmp_path)
    site.sync_well()
    old = {branch: site.remote.head(branch) for branch in BRANCHES.values()}
    new = {b: site.remote.commit(b, {"salt/new.sls": f"# {b}\n"}) for b in ("develop", "stage")}

    with master.listening("saltbranch/") as heard:
        sync(master, site)
        events = {event["tag"]: event["data"] for event in heard(2)}

    assert list(events) == ["saltbranch/sync/test", "saltbranch/sync/stage"]
    for data, branch in zip(events.values(), new, strict=True):
        assert data.pop("_stamp")
        saltenv = next(s for s, b in BRANCHES.items() if b == branch)
        assert data == {
            "saltenv": saltenv,
            "branch": branch,
            "old": old[branch],
            "new": new[branch],
        }


def test_the_first_sync_has_no_old_commit(master: Master, tmp_path: Path) -> None:
    site = master.another_site(tmp_path)
    site.keep_only("prod")

    with master.listening("saltbranch/") as heard:
        ran = site.sync()
        assert (ran.code, ran.err) == (0, "")
        assert "no event" not in ran.out
        (event,) = heard(1)

    assert (event["data"]["old"], event["data"]["new"]) == (None, site.remote.head("master"))


def test_a_sync_that_switches_nothing_says_nothing(master: Master, tmp_path: Path) -> None:
    site = master.another_site(tmp_path)
    site.sync_well()

    with master.listening("saltbranch/") as heard:
        by_command(master, site)
        assert heard(0) == []


def seconds_of_a_switch(site: Site, number: int) -> float:
    """Of the quickest of five."""
    times = []
    for attempt in range(5):
        site.remote.commit("develop", {"salt/new.sls": f"# {number} {attempt}\n"})
        begun = time.monotonic()
        ran = site.sync()
        times.append(time.monotonic() - begun)
        assert (ran.code, ran.err) == (0, "")
        assert "no event" not in ran.out
        assert "switched" in ran.out
    return min(times)


@pytest.fixture
def event_socket(tmp_path: Path) -> Iterator[Path]:
    """Where the master of a site in `tmp_path` would listen; no master runs."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # sockets have short names
        names = ("cachedir", "pki_dir", "pidfile")
        options = {name: str(tmp_path / name) for name in names} | {"sock_dir": short}
        (tmp_path / "master").write_text(yaml.safe_dump(options))
        path = Path(master_options.read(str(tmp_path / "master")).event_socket)
        assert path.parent == Path(short)
        yield path


def test_a_master_that_is_down_delays_nothing(tmp_path: Path, event_socket: Path) -> None:
    """With and without the socket that a killed master leaves behind."""
    site = Site(tmp_path, build_template(tmp_path / "remote.git"))
    options = site.salt_config.read_text()
    site.salt_config.unlink()
    site.sync_well()
    without_master = seconds_of_a_switch(site, 1)
    site.salt_config.write_text(options)
    site.sync_well()

    without_socket = seconds_of_a_switch(site, 2)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(event_socket))
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(str(event_socket))
    stale_socket = seconds_of_a_switch(site, 3)

    # Importing Salt to tell somebody takes longer than that, a call that waits even more so.
    assert max(without_socket, stale_socket) < without_master + 0.5


def test_a_master_that_does_not_answer_fails_nothing(tmp_path: Path, event_socket: Path) -> None:
    """Somebody holds the socket, and reads nothing from it."""
    site = Site(tmp_path, build_template(tmp_path / "remote.git"))
    site.sync_well()
    site.remote.commit("develop", {"salt/new.sls": "# new\n"})

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(event_socket))
        listener.listen(1)
        ran = site.sync()

    assert (ran.code, ran.err) == (0, "")
    assert "test: develop switched" in ran.out
    site.assert_serves("develop", site.remote.head("develop"))
    assert site.sync("--plan").code == 0


# What a running master does on its own


def test_a_new_sls_file_works_in_the_state_run_after_the_sync(
    master: Master, tmp_path: Path
) -> None:
    """The file server keeps its list of files for 20 seconds (fileserver_list_cache_time)."""
    target = tmp_path / "greeting"
    state = {"greet": {"file.managed": [{"name": str(target)}, {"source": "salt://hello/text"}]}}
    listed = master.cluster.local("test1", "cp.list_states", saltenv="test")
    assert listed and "hello" not in listed
    for text in ("one\n", "two\n"):
        master.site.remote.commit(
            "develop",
            {
                "salt/hello/init.sls": yaml.safe_dump(state),
                "salt/hello/text": text,
                "salt/top.sls": "base:\n  '*':\n    - app\n    - hel*\n",
            },
        )

        ran = master.site.sync()
        applied = master.cluster.local("test1", "state.apply")

        assert (ran.code, ran.err) == (0, "")
        assert {run["__id__"]: run["result"] for run in applied.values()} == {
            "app": True,
            "greet": True,
        }
        assert target.read_text() == text


def test_a_reactor_behind_a_webhook_syncs(master: Master) -> None:
    new = master.site.remote.commit("stage", {"salt/pushed.sls": "# by the hook\n"})

    with master.listening("saltbranch/sync/") as heard:
        assert master_options.fire(master.opts, HOOK, {"post": {"after": new}})
        (event,) = heard(1)

    assert event["tag"] == "saltbranch/sync/stage"
    assert event["data"]["new"] == new
    master.site.assert_serves("stage", new)


def test_a_reactor_that_is_told_of_a_commit_too_early_waits_for_it(master: Master) -> None:
    twin = master.site.remote.copy(master.site.folder / "twin.git")
    new = twin.commit("stage", {"salt/early.sls": "# told before it is there\n"})

    with master.listening("saltbranch/sync/") as heard:
        assert master_options.fire(master.opts, HOOK, {"post": {"after": new}})
        assert heard(0) == []
        twin.git("push", "--quiet", str(master.site.remote.path), "stage")
        (event,) = heard(1)

    assert event["data"]["new"] == new
    master.site.assert_serves("stage", new)


@pytest.fixture
def scheduled(master: Master) -> Iterator[Path]:
    """The master's own schedule, as installed, with seconds in the place of its minutes."""
    result = install(Kind.SCHEDULE, str(master.site.config), minutes=1)
    path = master.site.master_config.parent / SYNC.schedule_file
    assert [file.path for file in result.files] == [str(path)]
    options = yaml.safe_load(path.read_text())
    job = options["schedule"][SYNC.job]
    assert job.pop("minutes") == 1
    job["seconds"] = 2
    path.write_text(yaml.safe_dump(options))
    master.cluster.restart_master()
    yield path
    path.unlink()


def test_the_schedule_that_install_writes_syncs(master: Master, scheduled: Path) -> None:
    """Last, because from here on the master syncs by itself."""
    for text in ("one", "two"):
        with master.listening("saltbranch/sync/prod") as heard:
            new = master.site.remote.commit("master", {"salt/scheduled.sls": f"# {text}\n"})
            (event,) = heard(1)
        assert event["data"]["new"] == new
        master.site.assert_serves("master", new)
    log = master.cluster.root / "master" / "log"
    assert "Exception" not in log.read_text()
