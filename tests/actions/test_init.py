"""init: flags that count or are refused, and a salt-master that serves already."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.remote import Remote
from tests.support.site import Site

MODEL = {
    "saltenvs": {
        "test": {"branch": "develop", "minions": ["t*"]},
        "prod": {"branch": "master", "promote_from": "test", "minions": ["p*"]},
    }
}


@pytest.fixture
def fresh(site: Site) -> Iterator[Site]:
    """Nothing of ours is there yet."""
    site.config.unlink()
    yield site


def words(site: Site, *more: str) -> list[str]:
    return [
        "init", "--remote", str(site.remote.path), "--root", str(site.root), "--config",
        str(site.config), "--master-config", str(site.master_config), "--salt-config",
        str(site.salt_config), *more,
    ]  # fmt: skip


def with_model(remote: Remote) -> None:
    remote.commit("master", {"saltbranch.yaml": yaml.safe_dump(MODEL)})


def living(site: Site, **options: object) -> dict[str, bytes]:
    """A master with a configuration and minions of its own; every file that is there."""
    folder = site.salt_config.parent
    keys = folder / "pki" / "minions"
    keys.mkdir(parents=True)
    for name in ("test1", "old-mail", "old-db"):
        (keys / name).write_text("key")
    roots = {"file_roots": {"base": ["/srv/states"]}, "pillar_roots": {"base": ["/srv/secret"]}}
    have = {"pki_dir": str(folder / "pki"), **roots, **options}
    site.salt_config.write_text(yaml.safe_dump(have))
    return everything(site)


def everything(site: Site) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in site.folder.rglob("*") if p.is_file()}


def saltenvs(site: Site) -> dict[str, str]:
    found = yaml.safe_load(site.config.read_text())["saltenvs"]
    return {name: saltenv["branch"] for name, saltenv in found.items()}


# Flags


def test_one_branch_keeps_the_other_saltenvs(fresh: Site, remote: Remote) -> None:
    remote.set_branch("main", remote.head("master"))
    assert fresh.run_here(*words(fresh, "--branch", "prod=main")).code == 0
    assert saltenvs(fresh) == {"test": "develop", "stage": "stage", "prod": "main"}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["stage="], {"test": "develop", "prod": "master"}),
        (["dev=develop", "live=master"], {"dev": "develop", "live": "master"}),
    ],
)
def test_defaults_can_be_left_out(fresh: Site, flags: list[str], expected: dict[str, str]) -> None:
    given = [word for flag in flags for word in ("--branch", flag)]
    assert fresh.run_here(*words(fresh, *given)).code == 0
    assert saltenvs(fresh) == expected


@pytest.mark.parametrize(
    "flags",
    [
        ["--branch", "test=stage"],
        ["--branch", "stage=stage"],
        ["--minions", "test=x*"],
        ["--states-dir", "states"],
        ["--pillar-dir", "secrets"],
        ["--in-this-file"],
    ],
)
def test_a_flag_that_the_model_overrules_is_refused(
    fresh: Site, remote: Remote, flags: list[str]
) -> None:
    with_model(remote)
    before = everything(fresh)
    for plan in (["--plan"], []):
        ran = fresh.run_here(*words(fresh, *flags, *plan))
        assert ran.code == 4 and flags[0] in ran.err and "no effect" in ran.err, ran
        assert everything(fresh) == before


def test_a_flag_that_says_what_the_model_says_is_fine(fresh: Site, remote: Remote) -> None:
    with_model(remote)
    ran = fresh.run_here(*words(fresh, "--branch", "test=develop", "--minions", "prod=p*"))
    assert ran.code == 0, ran
    assert "saltenvs" not in yaml.safe_load(fresh.config.read_text())


@pytest.mark.parametrize(
    "flags",
    [
        ["--root", "/srv/other"],
        ["--group", "wheel"],
        ["--minions", "test=x*"],
        ["--branch", "qa=stage"],
        ["--salt-config", "/etc/other"],
    ],
)
def test_a_flag_that_the_kept_file_overrules_is_refused(served: Site, flags: list[str]) -> None:
    before = everything(served)
    ran = served.run_here("init", "--config", str(served.config), *flags)
    assert ran.code == 4 and flags[0] in ran.err and "no effect" in ran.err, ran
    assert everything(served) == before


def test_a_plan_changes_nothing_where_the_file_is_there(served: Site, remote: Remote) -> None:
    remote.commit("develop", {"salt/new.sls": ""})
    ran = served.run_here("init", "--config", str(served.config), "--plan")
    assert ran.code == 3 and "to be switched" in ran.out, ran
    assert served.run_here("sync", "--plan", "--config", str(served.config)).code == 3


# A living master


def test_what_ends_is_named_and_nothing_is_written(fresh: Site) -> None:
    before = living(fresh, top_file_merging_strategy="same", default_top="base")
    for plan in ([], ["--plan"]):
        ran = fresh.run_here(*words(fresh, *plan))
        assert ran.code == 4, ran
        said = ran.out + ran.err
        for text in (
            "file_roots of saltenv base: /srv/states",
            "pillar_roots of saltenv base: /srv/secret",
            "top_file_merging_strategy: 'same' becomes 'merge'",
            "old-db, old-mail",
            "--replace-roots",
            str(fresh.salt_config),
        ):
            assert text in said, (text, said)
        assert "test1" not in said.replace("test1.", "")
        assert everything(fresh) == before
        assert not fresh.root.exists()


def test_what_ends_as_json(fresh: Site) -> None:
    living(fresh)
    ran = fresh.run_here(*words(fresh, "--plan", "--json"))
    found = json.loads(ran.out)["replaces"]
    assert ran.code == 4 and found["unclaimed"] == ["old-db", "old-mail"]
    assert [(r["option"], r["folder"]) for r in found["roots"]] == [
        ("file_roots", "/srv/states"), ("pillar_roots", "/srv/secret")]  # fmt: skip


def test_it_may_end_once_and_is_not_asked_again(fresh: Site) -> None:
    living(fresh)
    assert fresh.run_here(*words(fresh, "--replace-roots", "--plan")).code == 3
    assert not fresh.root.exists()
    ran = fresh.run_here(*words(fresh, "--replace-roots"))
    assert ran.code == 0 and "/srv/secret ends" in ran.out and "old-db, old-mail" in ran.out
    again = fresh.run_here("init", "--config", str(fresh.config))
    assert again.code == 0, again


def test_a_model_in_the_repository_decides_who_is_unclaimed(fresh: Site, remote: Remote) -> None:
    saltenvs = {**MODEL["saltenvs"], "test": {"branch": "develop", "minions": ["old-*"]}}
    remote.commit("master", {"saltbranch.yaml": yaml.safe_dump({"saltenvs": saltenvs})})
    living(fresh)
    said = fresh.run_here(*words(fresh, "--plan")).out
    assert "no saltenv claims (1)" in said and "test1" in said, said


def test_roots_of_other_files_in_master_d_stay(fresh: Site) -> None:
    living(fresh)
    fresh.salt_config.write_text("{}\n")
    other = fresh.master_config.parent / "a.conf"
    other.parent.mkdir(exist_ok=True)
    other.write_text("file_roots: {base: [/srv/states]}\n")
    if other.parent != fresh.salt_config.parent / "master.d":
        fresh.salt_config.write_text(f"default_include: {other.parent}/*.conf\n")
    ran = fresh.run_here(*words(fresh))
    assert ran.code == 0, ran
    assert yaml.safe_load(fresh.master_config.read_text())["env_order"][:1] == ["base"]


def test_the_option_file_of_another_set_up_is_not_ours(fresh: Site, tmp_path: Path) -> None:
    fresh.salt_config.write_text(f"default_include: {fresh.master_config.parent}/*.conf\n")
    assert fresh.run_here(*words(fresh)).code == 0
    other = [w.replace(str(fresh.root), str(tmp_path / "second")) for w in words(fresh)]
    other[other.index("--config") + 1] = str(tmp_path / "second.yaml")
    ran = fresh.run_here(*other)
    assert ran.code == 4 and f"{fresh.root}/" in ran.err and "--replace-roots" in ran.err, ran


def test_a_file_that_cannot_be_read_is_no_guess(fresh: Site) -> None:
    living(fresh)
    fresh.salt_config.write_text("a: [\n")
    ran = fresh.run_here(*words(fresh, "--replace-roots"))
    assert ran.code in (1, 4) and "not valid YAML" in ran.err, ran
    assert not fresh.config.exists() and not fresh.root.exists()


def test_a_model_that_came_after_the_last_sync_is_looked_at_too(
    fresh: Site, remote: Remote
) -> None:
    living(fresh)
    keys = {"remote": str(remote.path), "root": str(fresh.root), "salt_config": str(fresh.salt_config),
            "master_config": str(fresh.master_config)}  # fmt: skip
    fresh.config.write_text(yaml.safe_dump(keys))
    assert fresh.run_here("sync", "--config", str(fresh.config)).code == 1, "no model yet"
    with_model(remote)

    ran = fresh.run_here("init", "--config", str(fresh.config))

    assert ran.code == 4 and "file_roots of saltenv base: /srv/states" in ran.err, ran
    assert not fresh.master_config.exists()


def test_a_killed_first_look_is_swept_by_the_next(fresh: Site, remote: Remote) -> None:
    """It holds all that the remote has, pillar too."""
    place = Path(tempfile.gettempdir())
    left = place / "saltbranch-scratch-init-left"
    left.mkdir(exist_ok=True)
    (left / "pillar.sls").write_text("password: x\n")
    with_model(remote)

    assert fresh.run_here(*words(fresh, "--plan")).code in (3, 4)

    assert not left.exists()
    assert not list(place.glob("saltbranch-init-*"))
