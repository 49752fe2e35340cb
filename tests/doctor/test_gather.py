"""What the rules are given: Salt's files as they stand, timers, and what a top file's targets need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from saltbranch.doctor.gather import timers
from saltbranch.salt_master import option_files
from saltbranch.salt_master.top_view import needs


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_every_file_that_sets_an_option_is_found(tmp_path: Path) -> None:
    main = write(tmp_path / "master", "state_top: a\nuser: x\ninclude: [more/*.yaml, /nowhere]\n")
    first = write(tmp_path / "master.d/a.conf", "state_top: b\ninclude: inner\n")
    inner = write(tmp_path / "master.d/inner", "env-order: []\n")
    last = write(tmp_path / "more/z.yaml", "state_top: c\n")
    write(tmp_path / "master.d/ignored.txt", "state_top: d\n")

    found = option_files.read(main, "master.d/*.conf")

    assert [file.path for file in found] == [main, first, inner, last]
    assert option_files.places(found)["state_top"] == (main, first, last)
    assert option_files.places(found)["env-order"] == (inner,)
    assert option_files.merged(found)["state_top"] == "c"


def test_another_default_include_is_followed(tmp_path: Path) -> None:
    main = write(tmp_path / "master", "default_include: conf/*\n")
    write(tmp_path / "master.d/a.conf", "user: x\n")
    other = write(tmp_path / "conf/b", "user: y\n")

    assert [f.path for f in option_files.read(main, "master.d/*.conf")] == [main, other]


@pytest.mark.parametrize("text", ["a: [", "- list\n", "word", "\xff: \x00"])
def test_a_file_that_is_no_configuration_is_said_without_its_text(
    tmp_path: Path, text: str
) -> None:
    main = write(tmp_path / "master", f"{text}")

    (file,) = option_files.read(main, "master.d/*.conf")

    assert file.problem
    assert file.options == {}


def test_a_file_that_includes_itself_ends(tmp_path: Path) -> None:
    main = write(tmp_path / "master", "include: master\n")

    assert len(option_files.read(main, "master.d/*.conf")) < 20


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("etc/cron.d/saltbranch", "*/5 * * * * root saltbranch sync --quiet\n", True),
        ("etc/crontab", "# root saltbranch sync\n", False),
        ("var/spool/cron/crontabs/root", "* * * * * /opt/x/saltbranch  sync -q\n", True),
        ("etc/cron.d/other", "* * * * * root true\n", False),
        ("etc/systemd/system/saltbranch-sync.timer", "[Timer]\n", True),
        ("etc/systemd/system/saltbranch-sync.service", "[Service]\n", False),
        ("etc/systemd/system/saltbranch-check.timer", "[Timer]\n", False),
        ("etc/cron.d/saltbranch-check", "1 1 * * * root saltbranch check --all\n", False),
    ],
)
def test_what_calls_sync_is_found(tmp_path: Path, path: str, text: str, found: bool) -> None:
    write(tmp_path / path, text)

    assert bool(timers.find({}, str(tmp_path))) is found


@pytest.mark.parametrize(
    ("schedule", "found"),
    [
        ({"sb": {"function": "saltbranch.sync", "minutes": 5}}, ["schedule sb"]),
        ({"other": {"function": "state.orchestrate"}, "odd": 1}, []),
    ],
)
def test_the_masters_schedule_is_looked_at(
    tmp_path: Path, schedule: dict[str, Any], found: list[str]
) -> None:
    assert timers.find({"schedule": schedule}, str(tmp_path)) == found


@pytest.mark.parametrize(
    ("target", "kind", "wanted"),
    [
        ("web*", "glob", set()),
        ("G@os:x", "glob", set()),
        ("os:Debian", "grain", {"grains"}),
        ("10.0.0.0/8", "ipcidr", {"grains"}),
        ("a:b", "pillar_exact", {"pillar"}),
        ("web* or E@db.* and not L@a,b", "compound", set()),
        ("web* and G@os:Debian", "compound", {"grains"}),
        ("( J|@a|b or P@os:x )", "compound", {"pillar", "grains"}),
        ("(I@a:b)", "compound", {"pillar"}),
        ("N@byid", "compound", set()),
        ("N@outer", "compound", {"grains"}),
        ("outer", "nodegroup", {"grains"}),
        ("byid", "nodegroup", set()),
        ("loop", "nodegroup", set()),
        ("nowhere", "nodegroup", set()),
        ("G@x:y", "compound_pillar_exact", {"grains"}),
    ],
)
def test_what_a_target_looks_at_is_known_beforehand(
    target: str, kind: str, wanted: set[str]
) -> None:
    nodegroups = {
        "byid": "L@a,b or c*",
        "outer": ["web*", "and", "N@inner"],
        "inner": "S@10.0.0.1",
        "loop": "N@loop or web1",
    }

    assert needs(target, kind, nodegroups) == wanted
