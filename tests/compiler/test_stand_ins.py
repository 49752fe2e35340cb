"""Files that stand in for what a commit has only encrypted, or not at all: in diff and in check, never when served."""

from __future__ import annotations

import json
import subprocess

import pytest

from saltbranch.actions.check import check
from saltbranch.base.errors import ConfigError
from saltbranch.check.commit import cache_folder
from saltbranch.check.highstates import Compiling
from saltbranch.check.result import RefResult
from saltbranch.cli.app import build
from saltbranch.compiler.pgp import sealed_by
from tests.actions.test_diff import TOP, Clone, clone  # noqa: F401 - a fixture
from tests.support.remote import Content, Link, Submodule

SECRET = b"\0GITCRYPT\0" + bytes(range(256))
SOPS = (
    "db:\n    password: ENC[AES256_GCM,data:abc,iv:x,tag:y,type:str]\nsops:\n    version: 3.8.1\n"
)
PLAIN = "db: {password: stands-in-4711, port: 5432}\n"
WEB = """\
include: [formula]
nginx:
  test.nop:
    - port: {{ pillar.db.port }}
    - require: [{pkg: formula}]
"""
FORMULA = "formula:\n  pkg.installed: []\n"
FILES: dict[str, Content] = {
    "salt/web.sls": WEB,
    "salt/formula": Submodule(),
    "pillar/top.sls": f"{TOP}    - secrets.db\n",
    "pillar/secrets/db.sls": SECRET,
}
STAND_INS: dict[str, Content] = {
    "stand-in/pillar/secrets/db.sls": PLAIN,
    "stand-in/salt/formula/init.sls": FORMULA,
    "stand-in/README": "made up\n",
}


@pytest.fixture
def private(clone: Clone) -> Clone:  # noqa: F811
    """Its pillar is encrypted, and a formula is a submodule."""
    clone.commit(FILES, "master")
    even(clone)
    clone.configure(stand_in="stand-in")
    return clone


def whole(made: Clone) -> Clone:
    """With stand-ins on every branch."""
    made.commit(STAND_INS, "master")
    even(made)
    return made


def even(made: Clone) -> None:
    """Let develop be what master is."""
    made.remote.set_branch("develop", made.remote.head("master"))
    subprocess.run(["git", "fetch", "-q"], cwd=made.folder, check=True)


def looked(made: Clone, ref: str = "develop", *, compiled: bool = True) -> RefResult:
    how = Compiling(jobs=1) if compiled else None
    (found,) = check(made.path, [ref], compiling=how, cache=cache_folder()).refs
    return found


def test_without_them_the_encrypted_file_is_named_as_that(private: Clone) -> None:
    errors = [c.text for c in private.diff("prod", "test").causes]
    assert any("secrets.db" in e and "encrypted with git-crypt" in e for e in errors), errors
    told = [f.message for f in looked(private, "prod").findings if f.rule == "compile"]
    assert any("encrypted with git-crypt" in t and "stand_in:" in t for t in told), told
    assert not any("codec" in e or "YAML" in e for e in (*errors, *told))


def test_with_them_minions_are_whole_on_both_sides_and_it_is_told(private: Clone) -> None:
    whole(private).commit({"salt/common.sls": "more:\n  test.nop: []\n"})
    found = private.diff()
    assert (found.exit_code, found.incomplete) == (3, ())
    line = (
        "2 files stand in for what is encrypted or missing (stand_in: stand-in):"
        " pillar/secrets/db.sls, salt/formula/init.sls"
    )
    assert line in found.warnings
    assert "stands-in-4711" not in json.dumps(found.as_dict())


def test_what_they_hold_counts_and_what_is_readable_is_not_replaced(private: Clone) -> None:
    whole(private)
    private.commit({"stand-in/pillar/secrets/db.sls": PLAIN.replace("5432", "1")})
    port = private.diff().groups[-1].difference
    assert port.pillar_changed == ("db:port",)
    private.commit({"pillar/secrets/db.sls": "db: {port: 2}\n"})
    found = private.diff()
    assert "before: pillar/secrets/db.sls cannot be read, and its stand-in is compared" in (
        found.warnings
    )
    assert "db:password" in found.groups[-1].difference.pillar_removed


def test_a_new_secret_comes_with_its_stand_in_and_old_commits_take_productions(
    private: Clone,
) -> None:
    bare = private.remote.head("master")
    whole(private)
    more: dict[str, Content] = {
        "pillar/top.sls": f"{TOP}    - secrets.db\n    - secrets.new\n",
        "pillar/secrets/new.sls": SECRET,
        "stand-in/pillar/secrets/new.sls": "new: 1\n",
    }
    private.commit(more)
    assert private.diff().incomplete == ()
    assert private.diff(bare, "develop").incomplete == ()
    assert not [f for f in looked(private).findings if f.severity == "error"]
    assert looked(private, bare).stand_ins == ("pillar/secrets/db.sls", "salt/formula/init.sls")


def test_an_encrypted_file_that_changes_is_a_difference(private: Clone) -> None:
    whole(private)
    assert private.diff("prod", "test").exit_code == 0
    private.commit({"pillar/secrets/db.sls": SECRET + b"x"})
    found = private.diff()
    assert (found.exit_code, found.groups, found.sealed) == (3, (), ("pillar/secrets/db.sls",))
    assert any("not the same on both sides: pillar/secrets/db.sls" in w for w in found.warnings)
    assert found.digest != private.diff("prod", "prod").digest


@pytest.mark.parametrize("compiled", [True, False])
def test_check_takes_them_and_tells_where_they_are_wrong(private: Clone, compiled: bool) -> None:
    whole(private)
    found = looked(private, compiled=compiled)
    assert not [f for f in found.findings if f.severity == "error"], found.findings
    assert found.stand_ins == ("pillar/secrets/db.sls", "salt/formula/init.sls")
    private.commit({"stand-in/salt/formula/init.sls": "formula:\n  pkg.instaled: []\n"})
    wrong = [f for f in looked(private, compiled=compiled).findings if f.severity == "error"]
    assert {f.file for f in wrong} == {"stand-in/salt/formula/init.sls"}


def test_the_work_tree_takes_its_own(
    private: Clone, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, text in STAND_INS.items():
        (private.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (private.folder / path).write_text(str(text))
    subprocess.run(["git", "merge", "-q", "--ff-only", "origin/master"], check=True)
    monkeypatch.setattr("sys.argv", ["saltbranch"])
    with pytest.raises(SystemExit) as done:
        build()(["check", "--jobs", "1"])
    out = capfd.readouterr().out
    assert done.value.code in (0, None), out
    assert "2 stand-ins" in out and "2 files stand in for" in out


def test_nothing_stands_in_through_links_or_for_folders(private: Clone) -> None:
    odd: dict[str, Content] = {
        "salt/out": Link("../formulas"),
        "stand-in/salt/out/x.sls": "x: {}\n",
        "stand-in/salt/files": "a file\n",
        "stand-in/salt/common.sls/x": "below a file\n",
        "stand-in/salt/.gitattributes": "* eol=crlf\n",
        "stand-in/salt/link": Link("/etc/shadow"),
    }
    whole(private)
    private.commit(odd)
    found = private.diff()
    assert found.incomplete == ()
    assert [w for w in found.warnings if "stand in" in w] == [
        "2 files stand in for what is encrypted or missing (stand_in: stand-in):"
        " pillar/secrets/db.sls, salt/formula/init.sls"
    ]
    assert looked(private).stand_ins == ("pillar/secrets/db.sls", "salt/formula/init.sls")


def test_where_git_deciphers_the_file_it_counts_itself(private: Clone) -> None:
    whole(private)
    private.commit({".gitattributes": "pillar/secrets/* filter=git-crypt\n"})
    decipher = "sed 1d >/dev/null; echo 'db: {port: 1}'"
    config = ["config", "filter.git-crypt.smudge", decipher]
    subprocess.run(["git", *config], cwd=private.folder, check=True)
    found = private.diff("prod", "test")
    assert any("1 file stands in" in w and "formula" in w for w in found.warnings), found.warnings


def test_the_rules_that_read_know_what_is_declared(private: Clone) -> None:
    whole(private)
    private.commit({"pillar/top.sls": f"{TOP}    - secrets.db\n    - secrets.gone\n"})
    told = [f.rule for f in looked(private, compiled=False).findings if f.severity == "error"]
    assert told == ["top-missing-sls"]
    private.configure(missing=["secrets.*"])
    assert not [f for f in looked(private).findings if f.severity == "error"]


@pytest.mark.parametrize(
    ("data", "program"),
    [
        (SECRET, "git-crypt"),
        (SOPS.encode(), "sops"),
        (b"U2FsdGVkX1+abc\n", "transcrypt"),
        (b"age-encryption.org/v1\n-> X", "age"),
        (PLAIN.encode(), None),
        (b"a: ENC[AES256_GCM,x]\n", None),
        (b"", None),
    ],
)
def test_encrypted_files_are_known(data: bytes, program: str | None) -> None:
    assert sealed_by(data) == program


def test_sops_is_stood_in_for(private: Clone) -> None:
    whole(private)
    private.commit({"pillar/secrets/db.sls": SOPS})
    found = private.diff()
    assert found.incomplete == () and found.sealed == ("pillar/secrets/db.sls",)


@pytest.mark.parametrize("value", ["../x", "/etc", "pillar/stand-in", "salt", ""])
def test_it_is_a_folder_of_the_repository_beside_what_is_served(private: Clone, value: str) -> None:
    private.configure(stand_in=value)
    with pytest.raises(ConfigError, match="stand_in"):
        private.diff()
