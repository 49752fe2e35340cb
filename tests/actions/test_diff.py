"""saltbranch diff as people and programs call it: layers, groups, exit codes, and no secret anywhere."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from saltbranch.actions import diff as action
from saltbranch.actions import fleet as fleet_action
from saltbranch.base.errors import ConfigError, RefusedError, UsageError
from saltbranch.cli.app import build
from saltbranch.preview import compare
from saltbranch.preview.fleet_diff import FleetDiff
from saltbranch.preview.repository_and_master import open_place
from tests.support import own_cache
from tests.support.remote import Content, Remote

pytestmark = pytest.mark.core

TOP = "base:\n  '*':\n    - common\n  'prod-web*':\n    - web\n"
COMMON = """\
/etc/motd:
  file.managed:
    - source: salt://files/motd.j2
    - template: jinja
    - mode: '0644'

ann:
  user.present:
    - uid: 1000

second:
  test.nop: []
"""
FILES: dict[str, Content] = {
    "salt/top.sls": TOP,
    "salt/common.sls": COMMON,
    "salt/web.sls": "nginx:\n  service.running:\n    - enable: {{ pillar.web.enable }}\n",
    "salt/files/motd.j2": "{% from 'files/lib.jinja' import x %}{{ x }}\n",
    "salt/files/lib.jinja": "{% set x = 1 %}\n",
    "salt/_modules/own.py": "def f():\n    return 1\n",
    "pillar/top.sls": TOP,
    "pillar/common.sls": "common: {a: 1, b: {c: 2}}\n",
    "pillar/web.sls": "web: {enable: True}\n",
}
GRAINS = {"kernel": "Linux", "os": "Debian", "os_family": "Debian", "osmajorrelease": 12}


class Clone:
    """A clone of a control repository with a fleet in it, on a machine without a master, with a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clone"
        self.remote = Remote(folder / "repo.git")
        self.remote.commit("master", FILES)
        self.remote.set_branch("develop", self.remote.head("master"))
        subprocess.run(["git", "clone", "-q", self.remote.path, self.folder], check=True)
        (self.folder / "fleet").mkdir()
        for name in ("prod-db1", "prod-web1", "prod-web2", "test-web1"):
            self.minion(name)
        self.config: dict[str, Any] = {
            "remote": str(self.remote.path),
            "root": str(folder / "no-root"),
            "salt_config": str(folder / "no-master"),
            "fleet": "fleet",
            "saltenvs": {
                "test": {"branch": "develop", "minions": ["test*"]},
                "prod": {"branch": "master", "promote_from": "test", "minions": ["prod*"]},
            },
        }
        self.configure()

    @property
    def path(self) -> str:
        return str(self.folder.parent / "own.yaml")

    def configure(self, **more: Any) -> None:
        self.config.update(more)
        Path(self.path).write_text(yaml.safe_dump(self.config))

    def minion(self, name: str, **more: Any) -> None:
        data = {"grains": GRAINS, **more}
        (self.folder / "fleet" / f"{name}.yaml").write_text(yaml.safe_dump(data))

    def commit(self, files: Mapping[str, Content], branch: str = "develop") -> str:
        commit = self.remote.commit(branch, files)
        subprocess.run(["git", "fetch", "-q"], cwd=self.folder, check=True)
        return commit

    def diff(self, *refs: str, **options: Any) -> FleetDiff:
        return action.diff(self.path, refs or ("prod",), jobs=1, **options)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    own_cache.use(monkeypatch, tmp_path / "cache")
    made = Clone(tmp_path)
    monkeypatch.chdir(made.folder)
    monkeypatch.setenv("SALTBRANCH_CONFIG", made.path)
    return made


def test_the_same_is_the_same(clone: Clone) -> None:
    clone.commit({"README": "new\n"})
    result = clone.diff()
    assert (result.exit_code, result.differs) == (0, False)
    assert [m.minion for m in result.minions] == ["prod-db1", "prod-web1", "prod-web2"]
    assert clone.diff().cached == 6


def test_three_layers_and_groups(clone: Clone) -> None:
    clone.commit(
        {
            "salt/common.sls": COMMON.replace("0644", "0600").replace(
                "ann:\n  user.present:\n    - uid: 1000\n", "new:\n  test.nop: []\n"
            ),
            "salt/files/lib.jinja": "{% set x = 2 %}\n",
            "pillar/common.sls": "common: {a: 9, b: {d: 2}}\n",
            "pillar/web.sls": "web: {enable: False}\n",
            "salt/_modules/own.py": "def f():\n    return 2\n",
        }
    )
    result = clone.diff()
    assert result.exit_code == 3
    assert [g.minions for g in result.groups] == [("prod-web1", "prod-web2"), ("prod-db1",)]
    data = result.as_dict()["minions"]["prod-web1"]
    assert data["result"] == "ok" and data["error"] is None
    states = data["states"]
    assert states["added"] == ["new | test.nop"]
    assert states["removed"] == states["stays"] == ["ann | user.present"]
    changed = {c["key"]: c for c in states["changed"]}
    motd = changed["/etc/motd | file.managed"]
    assert (motd["sls"], motd["line"], motd["path"]) == ("common", 1, "salt/common.sls")
    assert motd["arguments"] == {"mode": ["0644", "0600"]}
    assert set(changed["nginx | service.running"]["arguments"]) == {"enable"}
    assert data["files"] == [
        {"source": "salt://files/lib.jinja", "keys": ["/etc/motd | file.managed"]}
    ]
    assert data["pillar"] == {
        "added": ["common:b:d"],
        "removed": ["common:b:c"],
        "changed": ["common:a", "web:enable"],
    }
    assert [c.path for c in result.code] == ["salt/_modules/own.py"]


def test_an_inserted_state_changes_no_other_and_a_moved_one_is_told_apart(clone: Clone) -> None:
    clone.commit({"salt/common.sls": "zero:\n  test.nop: []\n\n" + COMMON})
    found = clone.diff().groups[0].difference
    assert [s.key for s in found.added] == ["zero | test.nop"]
    assert not found.changed and not found.reordered
    clone.commit(
        {"salt/common.sls": "second:\n  test.nop: []\n\n" + COMMON.rpartition("\nsecond")[0]}
    )
    found = clone.diff().groups[0].difference
    assert found.reordered == ("second | test.nop",)
    assert not found.added and not found.removed and not found.changed


def test_what_a_requisite_moves_is_no_reordering_and_an_order_is_an_argument(clone: Clone) -> None:
    needs = COMMON.replace(
        "    - uid: 1000\n", "    - uid: 1000\n    - require: [{test: second}]\n"
    )
    clone.commit({"salt/common.sls": needs})
    found = clone.diff().groups[0].difference
    assert [s.key for s in found.changed] == ["ann | user.present"]
    assert found.reordered == ()
    clone.commit({"salt/common.sls": COMMON.replace("test.nop: []", "test.nop: [{order: 1}]")})
    found = clone.diff().groups[0].difference
    assert [(s.key, s.arguments) for s in found.changed] == [
        ("second | test.nop", {"order": (None, 1)})
    ]
    assert found.reordered == ()


def test_ignored_differences_are_counted_and_not_shown(clone: Clone) -> None:
    clone.configure(ignore=[{"state": "file.managed", "argument": "mode"}, {"state": "new*"}])
    clone.commit({"salt/common.sls": COMMON.replace("0644", "0600") + "\nnew:\n  test.nop: []\n"})
    result = clone.diff()
    assert (result.exit_code, result.ignored) == (0, 6)


def test_a_minion_that_cannot_be_compiled_is_named_with_the_reason(clone: Clone) -> None:
    clone.commit({"salt/web.sls": "nginx:\n  service.running:\n    - x: {{ pillar.nosuch.y }}\n"})
    result = clone.diff()
    assert result.exit_code == 20
    assert [(m.minion, m.result) for m in result.incomplete] == [
        ("prod-web1", "partial"), ("prod-web2", "partial"),
    ]  # fmt: skip
    assert "nosuch" in str(result.incomplete[0].error)
    clone.commit({"salt/top.sls": "base: {{ nothing.x }}\n"})
    result = clone.diff()
    assert result.exit_code == 1 and len(result.failed) == 3
    assert "after: the top file does not render" in str(result.failed[0].error)


@pytest.mark.parametrize("top", ["base: {}\n", "base:\n  nobody:\n    - common\n", None])
def test_an_empty_side_is_never_everything_removed(clone: Clone, top: str | None) -> None:
    clone.commit({"salt/top.sls": top})
    result = clone.diff()
    assert result.exit_code == 1
    assert not result.groups and "no states are left of" in str(result.minions[0].error)


def test_diff_of_one_saltenv_is_what_the_merge_would_make(clone: Clone) -> None:
    clone.commit({"salt/web.sls": None, "salt/top.sls": TOP.rpartition("  'prod-web")[0]}, "master")
    clone.commit({"salt/common.sls": COMMON.replace("0644", "0600")})
    found = clone.diff().groups[0].difference
    assert not found.added  # what only master did is no part of it
    assert [s.key for s in found.changed] == ["/etc/motd | file.managed"]
    assert [s.key for s in clone.diff("prod", "test").groups[0].difference.added] == [
        "nginx | service.running"
    ]
    clone.commit({"salt/common.sls": COMMON.replace("0644", "0666")}, "master")
    with pytest.raises(RefusedError, match=r"both changed 'salt/common.sls'"):
        clone.diff()


def test_refs_minions_and_saltenvs_that_do_not_exist_are_named(clone: Clone) -> None:
    for refs, word in (
        (("nosuch",), "nosuch"),
        (("test",), "promote_from"),
        (("a", "b", "c"), "two"),
    ):
        with pytest.raises(UsageError, match=word):
            clone.diff(*refs)
    with pytest.raises(UsageError, match="no minion"):
        clone.diff(minions=["x*"])
    with pytest.raises(ConfigError, match="no saltenv 'prd'"):
        clone.diff(saltenv="prd")
    (clone.folder / "ids").write_text("# some\nprod-web2\n")
    clone.commit({"salt/common.sls": COMMON.replace("0644", "0600")})
    chosen = clone.diff(minions=[f"@{clone.folder}/ids", "prod-db*"])
    assert [m.minion for m in chosen.minions] == ["prod-db1", "prod-web2"]
    assert [m.minion for m in clone.diff(saltenv="test").minions] == ["test-web1"]


def test_the_digest_is_of_the_difference_on_any_machine(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone.commit({"salt/web.sls": "nginx:\n  test.nop:\n    - v: {{ pillar.common.a }}\n"})
    first = clone.diff().digest
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert clone.diff().digest == first
    clone.commit({"salt/web.sls": "nginx:\n  test.nop:\n    - w: {{ pillar.common.a }}\n"})
    assert clone.diff().digest != first


# Secrets

MARKERS = ("s3cr3t-PLAIN-marker", "s3cr3t-LIST-marker", "s3cr3t-NEW-marker", "s3cr3t-STAND-IN")
CIPHER = "-----BEGIN PGP MESSAGE-----\n\nhQEMAs3cr3tCIPHERmarker\n=abcd\n-----END PGP MESSAGE-----"


def _secret_files(marker: str) -> dict[str, Content]:
    indented = CIPHER.replace("\n", "\n    ")
    return {
        "pillar/common.sls": "#!jinja|yaml|gpg\n"
        f"common:\n  password: {marker}\n  list: [{MARKERS[1]}]\n  a: 1\n  cipher: |\n    {indented}\n",
        "salt/common.sls": COMMON
        + "\nuses:\n  file.managed:\n    - name: /etc/x\n    - contents: {{ pillar.common.password }}\n"
        "    - context: {{ pillar.common | json }}\n    - hashed: {{ pillar.common.password | md5 }}\n"
        "\n{{ pillar.common.password }}:\n  test.nop: []\n"
        "\ntried:\n  cmd.run:\n    - name: run {{ salt['cmd.run'](pillar.common.password) }}\n",
        "salt/broken.sls": "x: {{ raise('no ' ~ pillar.common.password) }}\n",
        "salt/unparsed.sls": "a: b: {{ pillar.common.password }}\n",
        "salt/top.sls": "base:\n  '*':\n    - common\n  'prod-web1':\n    - broken\n  'prod-web2':\n"
        "    - unparsed\n",
    }


def test_no_secret_in_any_output_or_file(
    clone: Clone, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("prod-db1", "prod-web1", "prod-web2"):
        clone.minion(name, pillar={"private": {"key": MARKERS[3]}})
    clone.commit(_secret_files(MARKERS[0]), "master")
    clone.remote.set_branch("develop", clone.remote.head("master"))
    clone.commit({**_secret_files(MARKERS[2]), "pillar/web.sls": f"web: [ {MARKERS[0]}\n"})
    texts = []
    for words in ((), ("--json",), ("--markdown",), ("--html",), ("--no-cache",)):
        output = tmp_path / "output"
        arguments = ["diff", "prod", "--config", clone.path, *words, "--output", str(output)]
        code = build()(args=arguments, standalone_mode=False)
        assert code in (3, 20)
        texts += [output.read_text(), *capfd.readouterr()]
    arguments = ["diff", "prod", "--json", "--config", clone.path]
    build()(args=arguments, standalone_mode=False)
    data = json.loads(capfd.readouterr().out)
    texts.append(json.dumps(data))
    cache = tmp_path / "cache" / "saltbranch" / "compiled"
    kept = [path for path in cache.rglob("*") if path.is_file()]
    assert kept
    texts += [path.read_text() for path in kept]
    for text in texts:
        for marker in (*MARKERS, "CIPHERmarker"):
            assert marker not in text
    for path in [cache, *kept]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    web = data["minions"]["prod-db1"]
    assert "common:password" in web["pillar"]["changed"]
    assert "common:cipher" not in web["pillar"]["changed"]
    assert any("ciphertext" in note for note in web["notes"])


def test_names_in_the_pillar_show_where_the_model_allows_it_and_nothing_else_does(
    clone: Clone, capfd: pytest.CaptureFixture[str]
) -> None:
    users = (
        "{% for name, user in pillar.users.items() %}\n{{ user.login }}:\n  user.present:\n"
        "    - home: /home/{{ user.login }}\n    - gid_from_name: True\n"
        "    - fullname: {{ user.login }}\n    - password: {{ user.hash }}\n{% endfor %}\n"
    )
    pillar = "common: {}\nusers: {one: {login: alice, hash: hunter22}, two: {login: bobby, hash: hunter33}}\n"
    clone.commit({"salt/common.sls": COMMON + users, "pillar/common.sls": pillar})
    hidden = clone.diff(cache=False).groups[0].difference.added
    assert all(re.fullmatch(r"\*\*\* ~[0-9a-f]{8} \| user\.present", s.key) for s in hidden)
    clone.configure(shown_pillar=["users:*:login"])
    build()(args=["diff", "prod", "--json", "--config", clone.path], standalone_mode=False)
    told = capfd.readouterr().out
    assert "alice | user.present" in told and "bobby | user.present" in told
    assert "hunter22" not in told and "hunter33" not in told
    shown = clone.diff().groups[0].difference.added[0].arguments
    assert (shown["fullname"], set(shown["password"])) == ("alice", {"masked"})


def test_changed_ciphertext_is_a_changed_pillar_key(clone: Clone) -> None:
    clone.commit(_secret_files(MARKERS[0]), "master")
    clone.remote.set_branch("develop", clone.remote.head("master"))
    files = _secret_files(MARKERS[0])
    pillar = str(files["pillar/common.sls"]).replace("hQEMA", "hQEMB")
    clone.commit({"pillar/common.sls": pillar})
    assert "common:cipher" in clone.diff(minions=["prod-db1"]).groups[0].difference.pillar_changed


def test_keys_named_by_a_branch_do_not_count(clone: Clone) -> None:
    keys = {"gpg_keys": "/etc/salt/gpgkeys", "ext_pillar": ["cmd_yaml"]}
    place = open_place(clone.path)
    model = {k: v for k, v in clone.config.items() if k in ("saltenvs", "fleet")} | keys
    clone.commit({"saltbranch.yaml": yaml.safe_dump(model)}, "master")
    place = open_place(clone.path)
    assert compare.frame_of(place).keys.folder is None and place.config.ext_pillar == ()
    assert "they are a machine's own" in compare.warnings(place)[0]
    clone.commit(
        {"saltbranch.yaml": yaml.safe_dump({**model, "gpg_keys": None, "ext_pillar": []})}, "master"
    )
    clone.configure(**keys)
    place = open_place(clone.path)
    assert compare.frame_of(place).keys.folder == "/etc/salt/gpgkeys"
    assert compare.warnings(place) == []


def test_a_folder_of_keys_that_is_not_there_is_a_warning(clone: Clone, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    config = {**clone.config, "remote": str(clone.remote.path), "gpg_keys": str(tmp_path / "none")}
    own.write_text(yaml.safe_dump({**config, "fleet": str(clone.folder / "fleet")}))
    clone.commit(_secret_files(MARKERS[0]))
    result = action.diff(str(own), ["prod"], minions=["prod-db1"], jobs=1)
    assert result.warnings == (
        f"gpg_keys: {tmp_path}/none cannot be used: No such file or directory",
    )


# Fleet and command line


def test_fleet_list_says_who_belongs_where(clone: Clone) -> None:
    clone.minion("nobodys")
    found = fleet_action.show(clone.path)
    assert [(m.id, m.saltenv) for m in found.minions][-1] == ("test-web1", "test")
    assert found.unclaimed == ("nobodys",)
    (clone.folder / "fleet" / "prod-bad.yaml").write_text("grains: [x]\n")
    with pytest.raises(ConfigError, match=r"prod-bad\.yaml: no grains"):
        fleet_action.show(clone.path)


def test_fleet_record_writes_what_the_master_knows_less_secrets(
    clone: Clone, tmp_path: Path
) -> None:
    import salt.cache
    import salt.config

    master = tmp_path / "master"
    master.write_text(
        yaml.safe_dump({"root_dir": str(tmp_path / "root"), "cachedir": str(tmp_path / "mc")})
    )
    opts = salt.config.master_config(str(master))
    grains = {
        **GRAINS,
        "id": "prod-new",
        "ec2_password": "hide-me",
        "deep": {"token": "hide-me", "x": 1},
    }
    salt.cache.factory(opts).store("grains", "prod-new", grains)
    clone.configure(salt_config=str(master))
    folder = tmp_path / "recorded"
    done = fleet_action.record(clone.path, str(folder))
    assert done.written == ("prod-new",)
    text = (folder / "prod-new.yaml").read_text()
    assert "hide-me" not in text and yaml.safe_load(text)["grains"]["deep"] == {"x": 1}
    (folder / "prod-new.yaml").write_text(text + "returns: {cmd.run: x}\n")
    assert fleet_action.record(clone.path, str(folder)).unchanged == 1
    salt.cache.factory(opts).store("grains", "prod-new", {**grains, "os": "Ubuntu"})
    fleet_action.record(clone.path, str(folder))
    kept = yaml.safe_load((folder / "prod-new.yaml").read_text())
    assert kept["returns"] == {"cmd.run": "x"} and kept["grains"]["os"] == "Ubuntu"
    clone.configure(fleet="cache")
    assert [m.id for m in fleet_action.show(clone.path).minions] == ["prod-new"]


def test_pillar_keys_that_only_the_master_knows_are_named_on_the_old_side(
    clone: Clone, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import salt.cache
    import salt.config

    master = tmp_path / "master"
    master.write_text(
        yaml.safe_dump({"root_dir": str(tmp_path / "root"), "cachedir": str(tmp_path / "mc")})
    )
    cache = salt.cache.factory(salt.config.master_config(str(master)))
    pillar = {"common": {"a": 1}, "vault": {"token": "cached-marker-1"}, "ldap": "cached-marker-2"}
    for name in ("prod-db1", "prod-web1"):
        cache.store("grains", name, {**GRAINS, "id": name})
    cache.store("pillar", "prod-db1", pillar)
    cache.store("pillar", "prod-web1:prod", {**pillar, "web": {}})
    clone.configure(fleet="cache", salt_config=str(master))
    clone.commit({"pillar/top.sls": "base: {}\n"})
    result = clone.diff()
    note = (
        "before: the master's cache has pillar keys that are not compiled here: ldap, vault"
        " (external pillar, or not in this commit)"
    )
    assert [[n for n in m.notes if "cache" in n] for m in result.minions] == [[note], [note]]
    listed = [m["cached_pillar"] for m in fleet_action.show(clone.path).as_dict()["minions"]]
    assert listed == [["common", "ldap", "vault"], ["common", "ldap", "vault", "web"]]
    for words in (["diff", "prod", "--json"], ["fleet", "list", "--json"], ["fleet", "list"]):
        build()(args=[*words, "--config", clone.path], standalone_mode=False)
        assert "cached-marker" not in "".join(capfd.readouterr())


def test_markdown_is_cut_where_the_limit_is_and_names_the_whole(
    clone: Clone, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from saltbranch.cli.show import diff_html, diff_markdown

    states = "".join(f"s{n}:\n  test.nop: []\n" for n in range(300))
    clone.commit({"salt/web.sls": states})
    result = clone.diff()
    short = diff_markdown.markdown(result, limit=2000, whole="all.md")
    whole = diff_markdown.markdown(result, limit=None)
    assert len(short) <= 2000 < len(whole)
    assert "<code>all&#46;md</code>" in short and short.count("```") % 2 == 0
    page = diff_html.page(result)
    assert "s299 | test.nop" in page
    assert build()(args=["diff", "prod", "--config", clone.path], standalone_mode=False) == 3
    out = capfd.readouterr().out
    assert "+ s0 | test.nop  (salt/web.sls:1)" in out
    assert os.path.isfile(clone.path)


def test_what_is_known_to_be_missing_leaves_a_minion_whole_and_a_new_gap_does_not(
    clone: Clone,
) -> None:
    gaps = {
        "salt/web.sls": "{% import_text 'keys/id.pub' as key %}\nweb:\n  test.nop: []\n",
        "pillar/top.sls": f"{TOP}    - secrets.db\n",
    }
    clone.commit(gaps, "master")
    clone.remote.set_branch("develop", clone.remote.head("master"))
    clone.commit({"salt/common.sls": f"{COMMON}\nmore:\n  test.nop: []\n"})
    assert clone.diff().exit_code == 20
    clone.configure(missing=["secrets.*", "salt://keys/*"])
    found = clone.diff()
    assert (found.exit_code, found.incomplete, found.changed) == (3, (), 3)
    notes = {m.minion: m.notes for m in found.minions}
    assert notes["prod-web1"] == ("missing, as declared: pillar: secrets.db, salt://keys/id.pub",)
    clone.commit({"salt/common.sls": f"include:\n  - other\n{COMMON}"})
    news = clone.diff()
    assert news.exit_code == 20 and [c.side for c in news.causes] == ["after"]
    assert "other" in news.causes[0].text and len(news.causes[0].minions) == 3
    # What git-crypt wrote is as good as missing; what is there and does not render is not.
    secret = b"\0GITCRYPT\0" + bytes(range(256))
    clone.commit({"salt/common.sls": COMMON, "pillar/secrets/db.sls": secret})
    assert clone.diff().incomplete == ()
    clone.commit({"salt/common.sls": COMMON, "pillar/secrets/db.sls": "a: [\n"})
    assert [c.side for c in clone.diff().causes] == ["after"]


def test_where_both_sides_come_from(clone: Clone) -> None:
    before = clone.remote.head("master")
    clone.remote.commit("develop", {"salt/new.sls": "a: {}\n"}, message="KEY-7 new")
    head = clone.remote.commit("develop", {"salt/new.sls": None}, message="KEY-8 gone\n\nKEY-9")
    subprocess.run(["git", "fetch", "-q"], cwd=clone.folder, check=True)
    url = "https://ann:hunter22@git.example.com/salt.git"
    subprocess.run(["git", "remote", "set-url", "origin", url], cwd=clone.folder, check=True)
    clone.configure(remote=url)
    promoted, plain, back = (
        clone.diff(),
        clone.diff("master", "develop"),
        clone.diff("develop", "master"),
    )
    for found in (promoted, plain):
        origin = found.origin
        assert origin is not None and "hunter22" not in json.dumps(found.as_dict())
        assert origin.repository == "https://ann:***@git.example.com/salt.git"
        assert (origin.before.commit, origin.after.commit) == (before, head)
        assert (origin.after.subject, origin.after.author) == ("KEY-8 gone", "Ann")
        assert origin.after.date.startswith("2026-01-01T00:")
        assert set(origin.tickets) == {"KEY-7", "KEY-8", "KEY-9"}
        assert (origin.brought, origin.gone, origin.lost) == (2, 0, ())
    assert promoted.after["merged"] == head and plain.after["merged"] is None
    assert back.origin is not None and (back.origin.brought, back.origin.gone) == (0, 2)
    assert [c.subject for c in back.origin.lost] == ["KEY-8 gone", "KEY-7 new"]


def test_a_user_who_becomes_absent_does_not_stay(clone: Clone) -> None:
    absent = COMMON.replace("user.present:\n    - uid: 1000", "user.absent: []")
    assert absent != COMMON
    clone.commit({"salt/common.sls": absent})
    removed = clone.diff().groups[0].difference.removed
    assert [(s.key, s.stays) for s in removed] == [("ann | user.present", False)]
    clone.commit(
        {"salt/common.sls": COMMON.replace("ann:\n  user.present:\n    - uid: 1000\n", "")}
    )
    removed = clone.diff().groups[0].difference.removed
    assert [(s.key, s.stays) for s in removed] == [("ann | user.present", True)]
