"""adopt on masters that serve plain folders which cron pulls."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from saltbranch.actions import adopt_switch
from saltbranch.actions.adopt import Request, adopt, asked_for, move
from saltbranch.actions.adopt_model import Given, Wanted
from saltbranch.actions.adopt_roots import Layout
from saltbranch.base.errors import RefusedError, SaltbranchError, UsageError
from saltbranch.preview import plain_side
from saltbranch.preview.minions_of_tops import Proposal
from tests.support.former_master import FormerMaster, clone
from tests.support.remote import Remote
from tests.support.site import Ran, run

SECRET = "correct horse battery staple"


def control(path: Path) -> Remote:
    """Two branches whose top files have a saltenv of their own each."""
    remote = Remote(path)
    for branch, saltenv in (("master", "base"), ("develop", "dev")):
        remote.commit(
            branch,
            {
                "README.md": "Control repository\n",
                "salt/top.sls": f"{saltenv}:\n  '{'web*' if saltenv == 'base' else 'dev*'}':\n    - app\n",
                "salt/app/init.sls": "app:\n  file.managed:\n    - name: /app\n    - source: salt://app/conf\n"
                "    - template: jinja\n    - context: {word: {{ pillar['word'] | json }}}\n",
                "salt/app/conf": f"{branch}\n",
                "pillar/top.sls": f"{saltenv}:\n  '{'web*' if saltenv == 'base' else 'dev*'}':\n    - app\n",
                "pillar/app.sls": f"word: {SECRET} of {branch}\nlevels: {{one: 1}}\n",
            },
        )
    return remote


@pytest.fixture
def former(tmp_path: Path) -> FormerMaster:
    """A master of two clones."""
    remote = control(tmp_path / "remote.git")
    base, dev = (clone(remote, tmp_path / name, name) for name in ("master", "develop"))
    options = {
        "file_roots": {"base": [f"{base}/salt"], "dev": [f"{dev}/salt"]},
        "pillar_roots": {"base": [f"{base}/pillar"], "dev": [f"{dev}/pillar"]},
    }
    return FormerMaster(tmp_path / "site", options, ("web1", "web2", "dev1"))


def adopted(former: FormerMaster, *arguments: str) -> tuple[int, Any, Ran]:
    """Exit code, JSON and all that it said."""
    ran = run([sys.executable, "-m", "saltbranch", *former.adopt_arguments(*arguments, "--json")])
    assert SECRET not in ran.out + ran.err
    return ran.code, json.loads(ran.out), ran


def test_plain_folders_are_proven_moved_over_and_moved_back(former: FormerMaster) -> None:
    before, served = former.everything(), former.served()
    code, told, _ = adopted(former)
    assert told["proof"]["differences"] == [], told
    assert code == 0
    assert told["proof"]["unproven"] == {}
    assert told["proof"]["compared"] == {
        "files": 6, "minions": 3, "pillar_keys": 6, "low_chunks": 3,
    }  # fmt: skip
    assert former.everything() == before

    code, moved, _ = adopted(former, "--switch")
    assert code == 0
    assert str(former.salt_config) in moved["changed"]
    after = former.served()
    for saltenv in ("base", "dev"):
        ours = {k: v for k, v in after[saltenv].items() if k != "saltbranch_commit"}
        assert {k: v for k, v in ours.items() if "top" not in k} == {
            k: v for k, v in served[saltenv].items() if "top" not in k
        }
        assert after[saltenv]["branch_top.jinja"] == served[saltenv]["top.sls"]
    code, told, _ = adopted(former)
    assert (code, told["switched"], told["proof"]["differences"]) == (0, True, [])

    assert adopted(former, "--back")[0] == 0
    assert former.everything() == before
    assert former.served() == served


def by_kind(told: Any) -> dict[str, list[tuple[str, str, str]]]:
    """Kind of difference to where, what and why."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for row in told["proof"]["differences"]:
        found.setdefault(row["kind"], []).append((row["where"], row["what"], row["cause"]))
    return found


def test_what_would_be_another_is_told_with_its_cause_and_without_pillar(
    former: FormerMaster, tmp_path: Path
) -> None:
    base, dev = tmp_path / "master", tmp_path / "develop"
    (base / "salt" / "extra.sls").write_text("extra:\n  test.nop: []\n")
    (base / "salt" / "top.sls").write_text("base:\n  'web*':\n    - app\n    - extra\n")
    (base / "pillar" / "app.sls").write_text("word: another secret word\nmore: 2\n")
    Remote(tmp_path / "remote.git").commit("develop", {"salt/app/conf": "newer\n"})
    former.accept("web3", color="red")
    (former.folder / "master" / "pki" / "minions" / "silent").write_text("a key\n")
    code, told, ran = adopted(former)
    assert code == 20
    assert told["proof"]["unproven"] == {
        "silent": "no saltenv claims it, and the master knows no grains of it"
    }
    assert "another secret word" not in ran.out + ran.err
    assert told["proof"]["unexplained"] == 0, told["proof"]
    assert "the master knows no grains of them: silent" in told["notes"][-1]
    assert told["undecided"] == {"silent": "the master knows no grains of it"}
    found = by_kind(told)
    committed = f"{base}/salt was changed there, and that is not committed"
    assert found["file"] == [
        ("dev", "app/conf differs", found["file"][0][2]),
        ("base", "extra.sls is gone", committed),
        ("base", "top.sls differs", committed),
    ]
    head = Remote(tmp_path / "remote.git").head("develop")[:12]
    assert f"and branch develop is at {head}: pull or push there" in found["file"][0][2]
    assert dev.name == "develop"
    assert [where for where, *_ in found["top"]] == ["web1", "web2", "web3"]
    assert found["top"][0][1] == "base: app, extra becomes base: app"
    assert found["pillar"][0][:2] == ("web1", "gone: more; new: levels:one; changed: word")
    pillar = f"{base}/pillar was changed there, and that is not committed"
    assert {why for *_, why in found["pillar"]} == {pillar}
    assert found["states"][0][0] == "web1"
    assert "gone: file.managed app, test.nop extra" in found["states"][0][1]
    assert found["states"][0][2] == "follows from its top files and its pillar"
    refused, _, ran = adopted(former, "--switch")
    assert refused == 4 and "has differences" in ran.err
    kept = [p for p in (former.root / "adopt").rglob("*") if p.is_file()]
    assert kept and not any(SECRET in p.read_text() for p in kept)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"file_roots": {"__env__": ["/etc"]}}, "__env__ stands for any name"),
        ({"state_top": "main.sls"}, "state_top: main.sls: rename it to top.sls"),
        ({"master_tops": {"ext_nodes": "x"}}, "master_tops: ext_nodes"),
        (
            {"file_roots": {"base": ["{base}/salt", "{base}/pillar"]}},
            "could read the pillar of all",
        ),
        ({"file_roots": {"base": ["{loose}", "{base}/salt"]}}, "put it last, or commit its files"),
        (
            {"pillar_roots": {"base": ["{base}/pillar", "{loose}"]}},
            "pillar folder {loose} is in no clone",
        ),
        ({"file_roots": {"base": ["{loose}"]}, "pillar_roots": {}}, "name it with --remote URL"),
        (
            {"file_roots": {"base": ["{base}/salt"], "two": ["{base}/salt"]}},
            "are both branch master",
        ),
        (
            {"pillar_roots": {"base": ["{dev}/pillar"]}},
            "its states are on master: they must be on one",
        ),
        (
            {
                "fileserver_backend": ["roots", "gitfs"],
                "gitfs_remotes": [
                    {"https://ann:hunter2@git.invalid/x": [{"mountpoint": "salt://y"}]}
                ],
            },
            "git.invalid/x formulas/x/y && git add -- formulas/x/y",
        ),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(tmp_path: Path, change: Any, said: str) -> None:
    remote = control(tmp_path / "remote.git")
    folders = {name: clone(remote, tmp_path / name, name) for name in ("master", "develop")}
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / "top.sls").write_text("")
    places = {"base": folders["master"], "dev": folders["develop"], "loose": tmp_path / "loose"}
    plain = {"file_roots": {"base": ["{base}/salt"]}, "pillar_roots": {"base": ["{base}/pillar"]}}
    options = json.dumps(plain | change)
    for name, place in places.items():
        options = options.replace(f"{{{name}}}", str(place))
    former = FormerMaster(tmp_path / "site", json.loads(options), ())
    before = former.everything()
    request = Request(str(former.config), str(former.salt_config), str(former.root))
    with pytest.raises(SaltbranchError) as refused:
        adopt(request)
    said = said.replace("{loose}", str(places["loose"]))
    assert said in refused.value.message
    assert "hunter2" not in refused.value.message
    assert not former.config.exists() and not former.root.exists()
    assert former.everything() == before


def test_minions_are_asked_for_where_nobody_has_said_them() -> None:
    proposal = Proposal({"dev": ("dev*",), "base": ("*",)}, {})
    model = Wanted("/x", {"dev": "develop", "base": "master"}, Layout(), proposal)
    asked: list[tuple[str, tuple[str, ...]]] = []

    def ask(saltenv: str, proposed: tuple[str, ...]) -> tuple[str, ...]:
        asked.append((saltenv, proposed))
        return ("web*", "db1")

    told = asked_for(model, Given(minions={"dev": ("test*",)}), ask)
    assert asked == [("base", ("*",))]
    assert told.proposal.minions == {"dev": ("dev*",), "base": ("web*", "db1")}


def test_states_at_the_top_several_roots_and_a_folder_outside(tmp_path: Path) -> None:
    remote = Remote(tmp_path / "remote.git")
    remote.commit(
        "main",
        {
            "README.md": "Control repository\n",
            "top.sls": "base:\n  '*': [app, nginx, extra]\n",
            "app/init.sls": "app:\n  test.nop: []\n",
            "map.jinja": "{% set word = 1 %}\n",
            "formulas/nginx/nginx/init.sls": "nginx:\n  test.nop: []\n",
            "pillar/top.sls": "base:\n  '*': [word]\n",
            "pillar/word.sls": f"word: {SECRET}\n",
        },
    )
    base = clone(remote, tmp_path / "srv", "main")
    loose = tmp_path / "share" / "formulas"
    (loose / "extra").mkdir(parents=True)
    (loose / "extra" / "init.sls").write_text("extra:\n  test.nop: []\n")
    options = {
        "file_roots": {"base": [str(base), f"{base}/formulas/nginx", str(loose)]},
        "pillar_roots": {"base": [f"{base}/pillar"]},
    }
    former = FormerMaster(tmp_path / "site", options, ("web1",))
    code, told, _ = adopted(former)
    assert code == 3, told
    model = yaml.safe_load(told["text"])
    assert model["states_dir"] == [{".": ["*", "map.jinja"]}, "formulas/nginx"]
    assert model["extra_roots"] == [str(loose)]
    assert model["pillar_dir"] == "pillar"
    found = by_kind(told)
    assert set(found) == {"file"} and told["proof"]["unexplained"] == 0, told["proof"]
    gone = {what.removesuffix(" is gone"): why for _, what, why in found["file"]}
    assert gone.pop("README.md") == gone["pillar/word.sls"]
    assert "no pillar, tests, documents, hidden files and other roots" in gone.pop(
        "pillar/word.sls"
    )
    assert gone.pop(".git/config") == "the files of git itself are not served"
    assert told["proof"]["compared"]["low_chunks"] == 3
    code, _, ran = adopted(former, "--switch", "--accept", told["digest"])
    assert code == 0, ran
    after = former.served()["base"]
    assert {"extra/init.sls", "nginx/init.sls", "app/init.sls", "map.jinja"} <= set(after)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("--upload-pack=touch {flag}", "starts with '-'"),
        ("ext::sh -c touch% {flag}", "git remote helper"),
        ("file:///x\n[core]", "control character"),
    ],
)
def test_urls_that_are_options_or_commands(tmp_path: Path, url: str, said: str) -> None:
    flag = tmp_path / "flag"
    base = clone(control(tmp_path / "remote.git"), tmp_path / "master", "master")
    given = url.replace("{flag}", str(flag))
    subprocess.run(["git", "-C", base, "config", "remote.origin.url", given], check=True)
    options = {"file_roots": {"base": [f"{base}/salt"]}}
    former = FormerMaster(tmp_path / "site", options, ())
    ran = run([sys.executable, "-m", "saltbranch", *former.adopt_arguments("--plan")])
    assert ran.code == 1 and said in ran.err, ran
    assert not flag.exists() and not former.root.exists()


def test_a_password_in_a_url_is_in_one_file_and_in_no_message(former: FormerMaster) -> None:
    url = "https://ann:hunter2@127.0.0.1:9/salt.git"
    for name in ("master", "develop"):
        folder = former.folder.parent / name
        subprocess.run(["git", "-C", folder, "config", "remote.origin.url", url], check=True)
    for words in (("--plan",), (), ("--json",)):
        ran = run([sys.executable, "-m", "saltbranch", *former.adopt_arguments(*words)])
        assert ran.code == 1 and "127.0.0.1:9" in ran.out + ran.err, ran
        assert "hunter2" not in ran.out + ran.err
    assert not former.config.exists() and not former.root.exists()


def test_what_is_edited_while_it_is_proven_is_not_what_was_proven(
    former: FormerMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = plain_side.ask, [0]

    def ask(*args: Any, **options: Any) -> Any:
        answer = real(*args, **options)
        asked[0] += 1
        if asked[0] == 2:
            text = former.salt_config.read_text()
            former.salt_config.write_text(f"{text}jinja_trim_blocks: true\n")
        return answer

    monkeypatch.setattr(plain_side, "ask", ask)
    adopt(Request(str(former.config), str(former.salt_config), str(former.root)))
    with pytest.raises(RefusedError, match="since the proof this changed"):
        adopt_switch.switch(str(former.config))


@pytest.mark.parametrize("back", [False, True])
def test_what_a_proof_gives_cannot_be_typed_with_a_move(tmp_path: Path, back: bool) -> None:
    given = Given(minions={"prod": ("web*",)}, leave_out=("x*",))
    request = Request(str(tmp_path / "none.yaml"), "/etc/other", given=given)
    asked: list[str] = []
    with pytest.raises(UsageError, match="^--salt-config, --minions, --leave-out would have no"):
        move(request, back=back, agree=asked.append)
    assert asked == []
