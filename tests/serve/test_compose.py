"""Several roots of states and pillar: what a saltenv serves of them, and what no minion is ever served."""

from __future__ import annotations

import grp
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.former_layout import lay_out_as_before
from tests.support.remote import Content, Link
from tests.support.site import Site, result_of

FORMULA = {
    "formulas/nginx-formula/nginx/init.sls": "nginx: {pkg.installed: []}\n",
    "formulas/nginx-formula/nginx/map.jinja": "{% set a = 1 %}\n",
    "formulas/nginx-formula/_modules/nginx_info.py": "def x(): return 1\n",
    "formulas/nginx-formula/README.rst": "nginx\n",
    "formulas/nginx-formula/test/salt/pillar/default.sls": "made: up\n",
    "formulas/nginx-formula/.rubocop.yml": "a: 1\n",
    "formulas/redis-formula/redis/init.sls": "redis: {pkg.installed: []}\n",
    "formulas/redis-formula/_modules/redis_info.py": "def x(): return 2\n",
    "formulas/redis-formula/README.rst": "redis\n",
    "formulas/redis-formula/test/salt/pillar/default.sls": "made: up, too\n",
}
AT_ROOT = {
    "top.sls": "base:\n  '*':\n    - web\n",
    "web/init.sls": "web: {test.nop: []}\n",
    "macros.jinja": "{% macro a() %}{% endmacro %}\n",
    "fleet/web1.yaml": "secret grains: yes\n",
    "tests/web.yaml": "[]\n",
    "saltbranch.yaml": "remote: /\n",
    ".gitlab-ci.yml": "stages: []\n",
    "README.md": "all\n",
}


def composed(site: Site, branch: str, kind: str = "states") -> dict[str, str]:
    """Name to content of all that Salt finds in what is composed."""
    top = site.root / "slots" / branch / "served" / "roots" / kind
    return {
        os.path.relpath(f"{folder}/{name}", top): Path(folder, name).read_text()
        for folder, _, names in os.walk(top, followlinks=True)
        for name in names
    }


def roots_of(site: Site, kind: str = "states") -> list[str]:
    """What Salt is told of saltenv test."""
    options = yaml.safe_load(site.master_config.read_text())
    return list(options["file_roots" if kind == "states" else "pillar_roots"]["test"])


def served(site: Site, tree: dict[str, Content], *, all_of_it: bool = False, **keys: Any) -> Site:
    """A site whose branches have `tree` beside what they have, with the keys set; synced."""
    for branch in ("master", "stage", "develop"):
        site.remote.commit(branch, tree)
    if not all_of_it:
        site.keep_only("test")
    site.configure(**keys)
    site.sync_well()
    return site


def test_the_first_folder_that_has_a_file_wins(site: Site) -> None:
    tree = {"more/app/init.sls": "hidden\n", "more/app/extra.sls": "shown\n", "more/x.sls": "x\n"}
    served(site, tree, states_dir=["salt", "more"])
    found = composed(site, "develop")
    assert found["app/init.sls"] == "app:\n  test.nop: []\n"
    assert (found["app/extra.sls"], found["x.sls"]) == ("shown\n", "x\n")
    assert "app/files/run.sh" in found and "top.sls" in found
    assert roots_of(site)[1:] == [f"{site.root}/slots/develop/served/roots/states"]
    assert roots_of(site, "pillar")[1:] == [f"{site.root}/checkouts/develop/pillar"]


def test_the_first_top_file_of_several_roots_is_the_branchs(site: Site) -> None:
    served(site, {"more/top.sls": "of more\n"}, states_dir=["more", "salt"])
    link = site.root / "tops" / "test" / "states" / "branch_top.jinja"
    assert link.read_text() == "of more\n"


def test_a_glob_follows_the_commit_without_another_word_to_the_master(site: Site) -> None:
    served(site, FORMULA, all_of_it=True, states_dir=["salt", "formulas/*"])
    found, told = composed(site, "develop"), site.master_config.read_text()
    assert {"nginx/init.sls", "nginx/map.jinja", "redis/init.sls"} <= {*found}
    assert {"_modules/nginx_info.py", "_modules/redis_info.py"} <= {*found}
    assert not any("README" in n or "test" in n or "rubocop" in n for n in found)
    site.remote.commit("develop", {"formulas/new/new/init.sls": "new\n"})
    site.sync_well()
    assert composed(site, "develop")["new/init.sls"] == "new\n"
    assert "new/init.sls" not in composed(site, "stage")
    assert site.master_config.read_text() == told


NEVER = {"fleet/web1.yaml", "tests/web.yaml", "saltbranch.yaml", ".gitlab-ci.yml", "pillar/app.sls"}


@pytest.mark.parametrize("names", [["*"], ["web", "top.sls"], ["w*", "*.sls"]])
def test_states_at_the_root_of_the_repository(site: Site, names: list[str]) -> None:
    served(site, AT_ROOT, states_dir=[{".": names}], fleet="fleet")
    found = composed(site, "develop")
    assert {"top.sls", "web/init.sls"} <= {*found}
    assert not NEVER & {*found} and "README.md" not in found


@pytest.mark.parametrize(
    "name", ["pillar", "fleet", "tests", "saltbranch.yaml", "Pillar", "SALTBRANCH.yaml", "stand*"]
)
def test_what_no_minion_is_to_read_cannot_be_named(site: Site, name: str) -> None:
    tree = {**AT_ROOT, "Pillar/x.sls": "s\n", "SALTBRANCH.yaml": "s\n", "stand-in/a.sls": "s\n"}
    keys = {"fleet": "fleet", "stand_in": "stand-in"}
    served(site, tree, states_dir=[{".": ["web", "top.sls", name]}], **keys)
    assert {*composed(site, "develop")} == {"top.sls", "web/init.sls"}


def test_pillar_inside_of_the_states_is_left_out_of_them(site: Site) -> None:
    tree = {
        "infra/web/init.sls": "w\n",
        "infra/web/pillar/a.sls": "secret\n",
        "infra/top.sls": "{}\n",
    }
    served(site, tree, states_dir=[{"infra": ["*"]}], pillar_dir="infra/web/pillar")
    assert {*composed(site, "develop")} == {"web/init.sls", "top.sls"}


def test_pillar_of_several_folders(site: Site) -> None:
    tree = {"secrets/top.sls": "hidden\n", "secrets/keys.sls": "k\n"}
    served(site, tree, pillar_dir=["pillar", "secrets"], states_dir=[{".": ["*"]}])
    assert {*composed(site, "develop", "pillar")} == {"top.sls", "app.sls", "keys.sls"}
    assert not any("secrets" in name or "pillar" in name for name in composed(site, "develop"))
    link = site.root / "tops" / "test" / "pillar" / "branch_top.jinja"
    assert link.read_text().startswith("base:")


def test_two_folders_of_a_glob_with_one_file_are_refused_by_name(site: Site) -> None:
    served(site, FORMULA, states_dir=["salt", "formulas/*"])
    old = site.remote.head("develop")
    site.remote.commit("develop", {"formulas/other/nginx/init.sls": "mine\n"})
    result = result_of(site.sync_here(), "test")
    assert result.state == "refused"
    assert (
        "'formulas/nginx-formula/nginx/init.sls' and 'formulas/other/nginx/init.sls'"
        in result.message
    )
    site.assert_serves("develop", old)
    assert composed(site, "develop")["nginx/init.sls"].startswith("nginx:")


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("web/grains", "../fleet/web1.yaml"),
        ("web/all", "../tests"),
        ("web/model", "../saltbranch.yaml"),
        ("docs/ci", "../.gitlab-ci.yml"),
        ("web/secret", "../pillar/app.sls"),
        ("everything", "."),
    ],
)
def test_links_to_what_no_minion_is_to_read(site: Site, path: str, target: str) -> None:
    served(site, AT_ROOT, states_dir=[{".": ["*"]}], fleet="fleet")
    site.remote.commit("develop", {path: Link(target)})
    assert result_of(site.sync_here(), "test").state == "refused"
    assert not any("secret" in text for text in composed(site, "develop").values())


def test_names_with_odd_characters(site: Site) -> None:
    tree = {"formulas/a b/x\ny/init.sls": "1\n", "formulas/[c]/ü'\"/init.sls": "2\n"}
    served(site, tree, states_dir=["salt", "formulas/*"])
    found = composed(site, "develop")
    assert (found["x\ny/init.sls"], found["ü'\"/init.sls"]) == ("1\n", "2\n")


def test_a_folder_that_leads_out_of_the_tree(site: Site) -> None:
    served(site, FORMULA, states_dir=["salt", "formulas/*"])
    site.remote.commit("develop", {"formulas/etc": Link("/etc")})
    result = result_of(site.sync_here(), "test")
    assert result.state == "refused" and "absolute" in result.message


def test_a_list_takes_the_place_of_a_word_while_nothing_can_be_composed(site: Site) -> None:
    """Salt finds what it found before, whatever it is told and whenever it is restarted."""
    site.sync_well()
    before = site.checkout("develop").joinpath("salt/top.sls").read_text()
    site.configure(states_dir=["formulas/*"])
    assert result_of(site.sync_here(), "test").state == "refused"
    assert composed(site, "develop")["top.sls"] == before
    link = site.root / "tops" / "test" / "states" / "branch_top.jinja"
    assert link.read_text() == before


def test_a_word_takes_the_place_of_a_list_under_a_running_master(site: Site) -> None:
    """It reads the old folder until it is restarted, through all switches."""
    served(site, FORMULA, states_dir=["salt", "formulas/*"])
    site.configure(states_dir="salt")
    site.sync_well()
    for text in ("one\n", "two\n", "three\n"):
        site.remote.commit("develop", {"salt/new.sls": text})
        site.sync_well()
        assert composed(site, "develop")["new.sls"] == text


def test_a_changed_list_counts_at_the_same_commit(site: Site) -> None:
    served(site, {"more/x.sls": "x\n"}, states_dir=["salt"])
    assert "x.sls" not in composed(site, "develop")
    told = site.master_config.read_text()
    site.configure(states_dir=["salt", "more"])
    site.sync_well()
    assert composed(site, "develop")["x.sls"] == "x\n"
    assert site.master_config.read_text() == told
    assert site.sync_here().changed is False


def test_what_somebody_changed_in_it_is_made_anew_by_verify(site: Site) -> None:
    served(site, FORMULA, states_dir=["salt", "formulas/*"])
    top = site.root / "slots" / "develop" / "served" / "roots" / "states"
    (top / "nginx").unlink()
    (top / "passwd.sls").symlink_to("/etc/passwd")
    assert site.sync_here().changed is False
    assert result_of(site.sync_here(verify=True), "test").state == "repaired"
    assert "nginx/init.sls" in composed(site, "develop")
    assert "passwd.sls" not in composed(site, "develop")


def test_a_file_that_comes_to_light_has_a_time_of_its_own(site: Site) -> None:
    """Salt's hash cache goes by the name and trusts equal times."""
    served(site, {"more/app/init.sls": "hidden\n"}, states_dir=["salt", "more"])
    slot = site.slot("develop")
    for name in ("salt", "more"):  # as git leaves it, within one step of the clock
        os.utime(slot / name / "app/init.sls", ns=(10**18, 10**18))
        os.utime(site.idle("develop") / name / "app/init.sls", ns=(10**18, 10**18))
    site.remote.commit("develop", {"more/other.sls": "1\n"})
    site.sync_well()
    place = site.root / "slots" / "develop" / "served" / "roots" / "states" / "app" / "init.sls"
    before = place.stat().st_mtime_ns
    site.remote.commit("develop", {"salt/app/init.sls": None})
    site.sync_well()
    assert place.read_text() == "hidden\n"
    assert abs(place.stat().st_mtime_ns - before) >= 1000


def test_folders_of_the_machine_come_last(site: Site, tmp_path: Path) -> None:
    site.configure(extra_roots=[str(tmp_path / "package")])
    site.sync_well()
    assert roots_of(site)[1:] == [f"{site.root}/checkouts/develop/salt", str(tmp_path / "package")]
    assert len(roots_of(site, "pillar")) == 2


def test_a_root_of_the_layout_before_is_moved_over_first(site: Site) -> None:
    """A list that comes with a new release leaves no moment in which a branch's top file is away."""
    site.sync_well()
    lay_out_as_before(site)
    site.configure(states_dir=["salt"])
    link = site.root / "tops" / "test" / "states" / "branch_top.jinja"
    site.sync_well()
    assert link.read_text().startswith("base:") and "roots" in os.readlink(link)
    assert "top.sls" in composed(site, "develop")


def test_all_of_it_is_of_the_group_that_may_read(site: Site) -> None:
    gid = next(entry.gr_gid for entry in grp.getgrall() if entry.gr_gid not in (0, os.getegid()))
    site.keep_only("test")
    site.configure(group=grp.getgrgid(gid).gr_name)
    site.sync_well()
    site.remote.commit("develop", {"more/app/x.sls": "x\n"})
    site.configure(states_dir=["salt", "more"])
    site.sync_well()
    below = [site.root, *site.root.rglob("*")]
    assert {path.lstat().st_gid for path in below} == {gid}
    assert not any(path.lstat().st_mode & 0o007 for path in below if not path.is_symlink())
