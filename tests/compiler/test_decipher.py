"""Encrypted pillar: deciphered outside of the sandbox as Salt would, and in no output or file."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from saltbranch.compiler import pgp
from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.decipher import Keys
from saltbranch.compiler.inside.mask import plain
from saltbranch.compiler.pool import Frame
from tests.support import budget
from tests.support.compiling import GROUPS, Lab, Pair, minion
from tests.support.remote import Content

TOP = "base:\n  '*':\n    - all\n"
SECRET = "marker-of-gpg-0815"


class Keyring:
    """A throw-away folder of GnuPG with one key in it."""

    def __init__(self, folder: str, name: str) -> None:
        self.folder, self.name = folder, name
        self.gpg("--passphrase", "", "--quick-generate-key", name, "default", "default", "never")

    def gpg(self, *words: str, stdin: bytes = b"") -> bytes:
        argv = ["gpg", "--homedir", self.folder, "--batch", "--quiet", *words]
        return subprocess.run(argv, input=stdin, capture_output=True, check=True).stdout

    def message(self, text: str) -> str:
        argv = ["--armor", "--trust-model", "always", "--encrypt", "-r", self.name]
        return self.gpg(*argv, stdin=text.encode()).decode().strip()

    def stop(self) -> None:
        argv = ["gpgconf", "--homedir", self.folder, "--kill", "gpg-agent"]
        subprocess.run(argv, check=True)

    def names(self) -> list[str]:
        return sorted(os.listdir(self.folder))


@pytest.fixture(scope="module")
def keyring() -> Iterator[Keyring]:
    with tempfile.TemporaryDirectory(prefix="sb-k-", dir="/tmp") as folder:
        made = Keyring(folder, "master@example.com")
        yield made
        made.stop()


@pytest.fixture(scope="module")
def stranger() -> Iterator[Keyring]:
    with tempfile.TemporaryDirectory(prefix="sb-k-", dir="/tmp") as folder:
        made = Keyring(folder, "stranger@example.com")
        yield made
        made.stop()


def indented(message: str, by: int) -> str:
    return message.replace("\n", "\n" + " " * by)


def files(keyring: Keyring, pillar: str) -> dict[str, Content]:
    return {
        "salt/top.sls": TOP,
        "salt/all.sls": "uses:\n  file.managed:\n    - name: /etc/x\n"
        "    - contents: {{ pillar.get('password', '') | json }}\n",
        "pillar/top.sls": TOP,
        "pillar/all.sls": pillar,
    }


def with_keys(lab: Lab, folder: str | None) -> Lab:
    lab.frame = Frame("salt", "pillar", GROUPS, keys=Keys(folder))
    return lab


def pillars(keyring: Keyring) -> dict[str, str]:
    plain, lines = keyring.message(SECRET), keyring.message(f"{SECRET}\n  two\n\n")
    quoted = json.dumps(keyring.message("quoted ü"))
    return {
        "yaml": f"#!yaml|gpg\npassword: |\n    {indented(plain, 4)}\n",
        "jinja": "#!jinja|yaml|gpg\n{% for n in (1, 2) %}\nkey{{ n }}:\n  deep:\n    - |\n"
        f"        {indented(lines, 8)}\n{{% endfor %}}\npassword: in-plain\n",
        "quoted": f"#!yaml|gpg\npassword: {quoted}\nmixed: |\n    a {indented(plain, 4)} b\n",
        "twice": f"#!yaml|gpg\npassword: |\n    {indented(plain, 4)}\n    {indented(lines, 4)}\n",
        "translated": f"#!yaml|gpg translate_newlines=True\npassword: '{json.dumps(plain)[1:-1]}'\n",
    }


@pytest.mark.parametrize("name", ["yaml", "jinja", "quoted", "twice", "translated"])
def test_it_is_what_salt_makes_of_it(tmp_path: Path, keyring: Keyring, name: str) -> None:
    lab = with_keys(Lab(tmp_path, files(keyring, pillars(keyring)[name])), keyring.folder)
    who = minion("m1")
    before = keyring.names()
    ours = lab.one(who)
    assert keyring.names() == before
    lab.options = {"gpg_keydir": keyring.folder}
    Pair(ours, lab.salts_own([who])["m1"]).assert_equal()
    if budget.IS_NIGHTLY or name == "jinja":
        assert ours.low == plain(lab.salt_call(who, "state.show_lowstate"))
    assert "PGP MESSAGE" not in json.dumps(ours.plain_pillar)
    assert not ours.notes


def test_without_keys_nothing_is_deciphered(tmp_path: Path, keyring: Keyring) -> None:
    result = with_keys(Lab(tmp_path, files(keyring, pillars(keyring)["yaml"])), None).one(
        minion("m1")
    )
    assert "PGP MESSAGE" in result.plain_pillar["password"]
    assert result.notes == ("GPG values are not decrypted and are compared by their ciphertext",)


def test_a_value_for_another_key_stays_and_is_counted(
    tmp_path: Path, keyring: Keyring, stranger: Keyring
) -> None:
    two = f"{pillars(keyring)['yaml']}other: |\n    {indented(stranger.message('x'), 4)}\n"
    result = with_keys(Lab(tmp_path, files(keyring, two)), keyring.folder).one(minion("m1"))
    assert result.plain_pillar["password"] == SECRET
    assert "PGP MESSAGE" in result.plain_pillar["other"]
    assert result.result == "ok"
    assert result.notes == (
        f"1 GPG values could not be deciphered with the keys in {keyring.folder}",
    )


def test_code_of_a_branch_finds_no_keys_and_no_way_to_decipher(
    tmp_path: Path, keyring: Keyring
) -> None:
    hidden = keyring.message(SECRET).replace("\n", "~")
    program = (
        "#!py\nimport os, subprocess\ndef run():\n"
        f"    message = {hidden!r}.replace('~', chr(10))\n"
        "    out = subprocess.run(['gpg', '--homedir', FOLDER, '-d'], input=message.encode(),\n"
        "        capture_output=True).stdout.decode()\n"
        "    return {'gpg': out, 'seen': os.path.exists(FOLDER), 'rendered':\n"
        "        __salt__['slsutil.renderer'](string='#!yaml|gpg' + chr(10) + 'x: |' + chr(10) +\n"
        "            '  ' + message.replace(chr(10), chr(10) + '  '))}\n"
    ).replace("FOLDER", repr(keyring.folder))
    result = with_keys(Lab(tmp_path, files(keyring, program)), keyring.folder).one(minion("m1"))
    assert result.plain_pillar["gpg"] == "" and result.plain_pillar["seen"] is False
    assert SECRET not in json.dumps(result.plain_pillar)


def test_a_cached_result_counts_until_a_key_comes_or_goes(tmp_path: Path, keyring: Keyring) -> None:
    lab = Lab(tmp_path, files(keyring, pillars(keyring)["yaml"]))
    cache = CompileCache(str(tmp_path / "cache"))
    digests = []
    for folder in (None, keyring.folder, None, keyring.folder):
        with_keys(lab, folder)
        result = lab.one(minion("m1"), cache=cache, plain=False)
        digests.append((result.cached, result.pillar["password"]))
    assert [cached for cached, _ in digests] == [False, False, True, True]
    assert digests[0][1] == digests[2][1] != digests[1][1] == digests[3][1]
    for path in (tmp_path / "cache").rglob("*"):
        assert not path.is_file() or SECRET not in path.read_text()


def test_no_agent_and_no_folder_is_left(keyring: Keyring) -> None:
    keyring.stop()
    found = Keys(keyring.folder).decipher(pgp.messages(keyring.message("once")))
    assert list(found.values()) == [b"once"]
    keyring.stop()
    agents = subprocess.run(["pgrep", "-af", "gpg-agent"], capture_output=True, text=True)
    own = f"sb-keys-{os.getpid()}-"
    assert own not in agents.stdout
    assert not [name for name in os.listdir("/tmp") if name.startswith(own)]
    assert "S.gpg-agent" not in keyring.names()


def test_a_folder_that_is_not_there_is_said(tmp_path: Path, keyring: Keyring) -> None:
    keys = Keys(str(tmp_path / "none"))
    assert keys.decipher(pgp.messages(keyring.message("x"))) == {}
    assert keys.trouble and "No such file" in keys.trouble


def test_a_message_that_unpacks_to_too_much_stays_closed(keyring: Keyring) -> None:
    keys = Keys(keyring.folder)
    large, small = keyring.message("x" * 3_000_000), keyring.message("small")
    assert len(large) < 20_000
    found = keys.decipher({*pgp.messages(large), *pgp.messages(small)})
    assert [*found.values()] == [b"small"]


def test_a_message_is_the_same_whatever_its_indentation() -> None:
    text = "-----BEGIN PGP MESSAGE-----\n\nabc\n=de\n-----END PGP MESSAGE-----"
    names = {pgp.name_of(m) for t in (text, indented(text, 7), json.dumps(text), f"a {text} b")
             for m in pgp.messages(t)}  # fmt: skip
    assert names == {pgp.name_of(text)}
    assert pgp.name_of(text.replace("\n\n", "\n")) not in names


def test_decrypt_pillar_of_the_master_is_taken_over(tmp_path: Path, keyring: Keyring) -> None:
    """With it, the files have no gpg in their first line."""
    message = indented(keyring.message(SECRET), 4)
    pillar = f"password: |\n    {message}\nother: |\n    {message}\n"
    options = {"decrypt_pillar": [{"password": "gpg"}]}
    lab = Lab(tmp_path, files(keyring, pillar))
    lab.frame = Frame("salt", "pillar", GROUPS, keys=Keys(keyring.folder), master=options)
    lab.options = {"gpg_keydir": keyring.folder, **options}
    who = minion("m1")
    ours = lab.one(who)
    Pair(ours, lab.salts_own([who])["m1"]).assert_equal()
    assert ours.plain_pillar["password"] == SECRET
    assert "PGP MESSAGE" in ours.plain_pillar["other"]
