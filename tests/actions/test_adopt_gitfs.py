"""adopt on masters that serve by gitfs and git_pillar, fetched by Salt itself from real repositories."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.actions.test_adopt import SECRET, adopted, by_kind, control
from tests.support.former_master import FormerMaster
from tests.support.remote import Remote
from tests.support.site import run

pytest.importorskip("git")  # one of Salt's ways to gitfs


def by_environment(remote: Remote) -> dict[str, Any]:
    """Top files in each branch, a ref for one saltenv, pillar of two branches with an env each."""
    url = f"file://{remote.path}"
    return {
        "fileserver_backend": ["gitfs"],
        "gitfs_remotes": [{url: [{"root": "salt"}]}],
        "gitfs_base": "master",
        "gitfs_saltenv": [{"dev": [{"ref": "develop"}]}],
        "ext_pillar": [
            {
                "git": [
                    {f"master {url}": [{"root": "pillar"}, {"env": "base"}]},
                    {f"develop {url}": [{"root": "pillar"}, {"env": "dev"}]},
                ]
            },
            {"cmd_yaml": "echo 'external: 1'"},
        ],
    }


def test_gitfs_with_top_files_by_environment(tmp_path: Path) -> None:
    remote = control(tmp_path / "remote.git")
    remote.set_branch("feature/x", remote.head("master"))
    remote.git("tag", "v1", remote.head("master"))
    former = FormerMaster(tmp_path / "site", by_environment(remote), ("web1", "web2", "dev1"))
    before = former.everything()
    code, told, _ = adopted(former)
    assert code == 3
    ends = {where: why for where, _, why in by_kind(told)["saltenv"]}
    assert set(ends) == {"feature/x", "v1"}, told["proof"]
    assert len(told["proof"]["differences"]) == 2
    assert "--leave-out" in ends["v1"]

    code, told, _ = adopted(former, "--leave-out", "feature/*", "--leave-out", "v1")
    assert (code, told["proof"]["differences"], told["proof"]["unproven"]) == (0, [], {})
    assert told["proof"]["compared"] == {
        "files": 6, "minions": 3, "pillar_keys": 9, "low_chunks": 3,
    }  # fmt: skip
    assert former.everything() == before
    assert adopted(former, "--switch")[0] == 0
    code, told, _ = adopted(former, "--leave-out", "*")
    assert (code, told["switched"], told["proof"]["differences"]) == (0, True, [])
    assert adopted(former, "--back")[0] == 0
    assert former.everything() == before


def test_tops_in_base_only_and_pillar_of_the_environment(tmp_path: Path) -> None:
    remote = Remote(tmp_path / "remote.git")
    tops = "base:\n  'web*': [app]\ndev:\n  'dev*': [app]\n"
    for branch in ("master", "dev"):
        has_top = branch == "master"
        remote.commit(
            branch,
            {
                "salt/top.sls": tops if has_top else None,
                "salt/app/init.sls": f"app of {branch}:\n  test.nop: []\n",
                "pillar/top.sls": "'{{ saltenv }}':\n  '*': [app]\n",
                "pillar/app.sls": f"word: {SECRET} of {branch}\n",
            },
            parents=None if has_top else (),
        )
    url = f"file://{remote.path}"
    options = {
        "fileserver_backend": ["git"],
        "gitfs_remotes": [url],
        "gitfs_root": "salt",
        "gitfs_base": "master",
        "git_pillar_base": "master",
        "git_pillar_root": "pillar",
        "ext_pillar": [{"git": [f"__env__ {url}"]}],
        "pillarenv_from_saltenv": True,
    }
    former = FormerMaster(tmp_path / "site", options, ("web1",))
    former.accept("dev1", pillarenv="dev")
    former.accept("dev2")
    code, told, _ = adopted(former)
    assert code == 3
    assert "saltenvs:\n  dev:" in told["text"] and 'minions: ["dev*"]' in told["text"]
    found = by_kind(told)
    # A pinned minion has nothing from a top file in base, neither now nor then.
    assert found == {
        "top": [
            (
                "dev2",
                "dev: app becomes nothing",
                "branch dev has no top file; that of another saltenv says what it gets now",
            )
        ],
        "pillar": [
            (
                "dev2",
                "changed: word",
                "git_pillar has __env__, and afterwards its pillar is that of branch dev alone",
            )
        ],
        "states": [
            ("dev2", "gone: test.nop app of dev", "follows from its top files and its pillar")
        ],
    }
    remote.commit("dev", {"salt/top.sls": tops})
    (former.folder / "master" / "cache" / "pillar" / "dev2.p").unlink()
    former.accept("dev2", pillarenv="dev")
    code, told, _ = adopted(former)
    assert (code, told["proof"]["differences"]) == (0, [])


def git(*words: str) -> None:
    subprocess.run(["git", *words], check=True)


def test_credentials_are_named_with_what_to_do_and_never_printed(tmp_path: Path) -> None:
    remote = control(tmp_path / "remote.git")
    options = by_environment(remote)
    options |= {
        "gitfs_privkey": "/etc/salt/hidden-one",
        "gitfs_pubkey": "/etc/salt/hidden-one.pub",
        "git_pillar_user": "hidden-two",
        "git_pillar_password": "hidden-three",
    }
    former = FormerMaster(tmp_path / "site", options, ("web1",))
    ran = run([sys.executable, "-m", "saltbranch", *former.adopt_arguments("--plan", "--json")])
    assert "hidden-" not in ran.out + ran.err
    notes = [n for n in json.loads(ran.out)["notes"] if "not taken over" in n]
    assert [n.partition(":")[0] for n in notes] == [
        "gitfs_privkey, gitfs_pubkey",
        "git_pillar_user, git_pillar_password",
    ]
    assert all(str(remote.path) in n and "git ls-remote" in n for n in notes)


def test_another_remote_becomes_a_submodule(tmp_path: Path) -> None:
    remote, formula = control(tmp_path / "remote.git"), Remote(tmp_path / "nginx-formula.git")
    head = formula.commit("main", {"nginx/init.sls": "nginx:\n  test.nop: []\n", "x/a": "1\n"})
    formula.git("symbolic-ref", "HEAD", "refs/heads/main")
    top = "base:\n  'web*': [app, up.nginx]\n"
    remote.commit("master", {"salt/top.sls": top})
    options = by_environment(remote)
    options["gitfs_remotes"] += [
        {f"file://{formula.path}": [{"mountpoint": "salt://up"}, {"fallback": "main"}]},
    ]
    former = FormerMaster(tmp_path / "site", options, ("web1", "dev1"))
    before = former.everything()
    code, told, _ = adopted(former, "--leave-out", "main")
    assert code == 4
    path = "formulas/nginx-formula/up"
    for branch in ("master", "develop"):
        wanted = f"git -C {path} checkout --quiet --detach {head}"
        assert f"on branch {branch}, make it a submodule" in told["error"]["message"]
        assert wanted in told["error"]["message"]
    assert not former.config.exists() and former.everything() == before

    # What was printed, in a clone of the control repository.
    clone = tmp_path / "clone"
    env = {
        **os.environ,
        **{
            f"GIT_{who}_{what}": "a@example.com"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
        "GIT_ALLOW_PROTOCOL": "file",
    }
    git("clone", "--quiet", str(remote.path), str(clone))
    said = re.findall(r"in a clone of that: (git checkout .* origin \S+)", told["error"]["message"])
    assert len(said) == 2
    for command in said:
        subprocess.run(["bash", "-ec", command], cwd=clone, env=env, check=True)
    for branch in ("master", "develop"):
        assert remote.git("rev-parse", f"{branch}:{path}") == head
    code, told, _ = adopted(former, "--leave-out", "main")
    assert (code, told["proof"]["differences"]) == (0, []), told
    model = yaml.safe_load(told["text"])
    assert model["states_dir"] == ["salt", {"formulas/nginx-formula": ["up"]}]
    assert model["submodules"] == [f"file://{formula.path.with_suffix('')}"]
    assert adopted(former, "--switch")[0] == 0
    assert (
        former.served()["dev"]["up/nginx/init.sls"] == former.served()["base"]["up/nginx/init.sls"]
    )
    assert adopted(former, "--back")[0] == 0
    assert former.everything() == before


def test_a_strategy_by_which_only_base_has_pillar_is_named(tmp_path: Path) -> None:
    """git_pillar fills the pillar whatever it says; afterwards the option would leave most minions without any."""
    remote = control(tmp_path / "remote.git")
    local = tmp_path / "local"
    local.mkdir()
    (local / "site.sls").write_text("site: {test.nop: []}\n")
    options = by_environment(remote) | {
        "fileserver_backend": ["git", "roots"],
        "file_roots": {"base": [str(local)], "dev": [str(local)]},
        "pillar_source_merging_strategy": "none",
    }
    former = FormerMaster(tmp_path / "site", options, ("web1", "dev1"))
    before = former.everything()
    code, told, _ = adopted(former)
    assert code == 20, told  # its states do not render without pillar
    differences = told["proof"]["differences"]
    assert {d["where"] for d in differences} == {"dev1"}
    (pillar,) = (d for d in differences if d["kind"] == "pillar")
    assert pillar["cause"].startswith(
        "pillar_source_merging_strategy is none: pinned to no saltenv"
    )
    code, _, ran = adopted(former, "--switch", "--accept", told["digest"])
    assert code == 0, ran
    assert adopted(former, "--back")[0] == 0
    assert former.everything() == before
