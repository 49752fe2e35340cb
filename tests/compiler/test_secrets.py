"""Markers in every place where a pillar value can be, looked for in everything that comes out."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from tests.compiler.test_decipher import Keyring, indented
from tests.support.remote import Content, Remote
from tests.support.site import run

TOP = "base:\n  '*':\n    - common\n"
GRAINS = {"kernel": "Linux", "os": "Debian", "os_family": "Debian", "osmajorrelease": 12}
MARKERS = {
    "plain": "mk-plain-q7",
    "nested": "mk-nested-q7",
    "lines": "mk-line-one-q7",
    "other line": "mk-line-two-q7",
    "quoted": 'mk-"quo\\ted"-ü-q7',
    "short": "Zq7x",
    "number": "48151623",
    "stand-in": "mk-standin-q7",
    "returned": "mk-returned-q7",
    "ciphered": "mk-ciphered-q7",
    "ciphered state": "mk-cipherstate-q7",
    "broken pillar": "mk-broken-pillar-q7",
    "external": "mk-external-q7",
}
FORMATS: tuple[tuple[str, ...], ...] = ((), ("--json",), ("--markdown",), ("--html",))


@pytest.fixture(scope="module")
def keyring() -> Iterator[Keyring]:
    with tempfile.TemporaryDirectory(prefix="sb-k-", dir="/tmp") as folder:
        made = Keyring(folder, "master@example.com")
        yield made
        made.stop()


def pillar(keyring: Keyring, edition: str) -> dict[str, Content]:
    """edition: what the values of the one commit and of the other differ in."""
    data: dict[str, Any] = {
        "plain": MARKERS["plain"] + edition,
        "deep": {"list": [{"x": [MARKERS["nested"] + edition]}]},
        "lines": f"{MARKERS['lines']}{edition}\n{MARKERS['other line']}{edition}\n",
        "quoted": MARKERS["quoted"] + edition,
        "short": MARKERS["short"],
        "number": int(MARKERS["number"]),
    }
    cipher = indented(keyring.message(MARKERS["ciphered"] + edition), 4)
    return {
        "pillar/top.sls": "base:\n  '*':\n    - common\n  'prod-broken':\n    - broken\n    - raises\n",
        "pillar/common.sls": f"#!yaml|gpg\n{yaml.safe_dump(data)}cipher: |\n    {cipher}\n",
        "pillar/broken.sls": f"a: [ {MARKERS['broken pillar']}\n",
        "pillar/raises.sls": f"{{% set x = '{MARKERS['broken pillar']}' %}}\n"
        "x: {{ salt['test.exception'](x) }}{{ raise(x) }}\n",
    }


def states(keyring: Keyring, edition: str) -> dict[str, Content]:
    names = "".join(
        f"{text}:\n  test.nop: []\n\n"
        for text in (
            "{{ pillar.plain }}", "/etc/{{ pillar.plain }}/x.conf", "id-{{ pillar.short }}",
            "port-{{ pillar.number }}", "'{{ pillar.plain | base64_encode }}'",
            "{{ pillar.cipher.strip() }}", "{{ salt['vault.read_secret']('x') }}",
            "{{ pillar.private.key }}", "{{ pillar.get('outside', 'none') }}", "x{{ pillar.deep.list[0].x[0] }}",
            "{{ pillar.quoted | yaml_encode }}",
        )
    )  # fmt: skip
    more = (
        "uses:\n  file.managed:\n    - name: /etc/{{ pillar.plain }}\n"
        "    - contents: {{ pillar.lines | json }}\n    - context: {{ pillar | json }}\n"
        "    - require:\n      - test: {{ pillar.plain }}\n"
        "    - names: [ {{ pillar.plain }}-a, {{ pillar.plain }}-b ]\n"
    )
    cipher = indented(keyring.message(MARKERS["ciphered state"] + edition), 6)
    failing = {
        "looks": "{% include 'sub/' ~ pillar.plain ignore missing %}\n"
        "x:\n  file.managed:\n    - source: salt://{{ pillar.plain }}.txt\n",
        "raised": "x: {{ raise('no ' ~ pillar.plain) }}\n",
        "undefined": "x: {{ pillar[pillar.plain].x }}\n",
        "unparsed": "a: b: {{ pillar.quoted }}\n",
        "twice": "{{ pillar.plain }}:\n  test.nop: []\n{{ pillar.plain }}:\n  test.nop: []\n",
        "python": "#!py\ndef run():\n    raise ValueError(repr(__pillar__))\n",
        "number": "x: {{ pillar.plain | int + pillar.plain }}\n",
        "missing": "include: [ 'gone.{{ pillar.plain }}' ]\n",
        "requires": "a:\n  test.nop:\n    - require: [{test: '{{ pillar.plain }}-none'}]\n",
        "prints": "#!py\nimport os, sys\ndef run():\n    print(__pillar__['plain'], file=sys.stderr, flush=True)\n"
        "    os.write(1, __pillar__['plain'].encode())\n    os.kill(os.getppid(), 9)\n",
        "reads": "#!py\ndef run():\n    open('/' + __pillar__['plain'])\n    return {}\n",
    }
    top = "".join(f"  'prod-{name}':\n    - {name}\n" for name in failing)
    return {
        "salt/top.sls": f"{TOP}{top}  'prod-cipher':\n    - cipher\n",
        "salt/common.sls": names + more,
        "salt/cipher.sls": f"#!jinja|yaml|gpg\nx:\n  test.nop:\n    - v: |\n      {cipher}\n",
        **{f"salt/{name}.sls": text for name, text in failing.items()},
    }


class Place:
    """A clone with a configuration of the machine's own, outside of it."""

    def __init__(self, folder: Path, keyring: Keyring) -> None:
        self.folder, self.clone = folder, folder / "clone"
        remote = Remote(folder / "repo.git")
        remote.commit("master", {**pillar(keyring, ""), **states(keyring, "")})
        remote.set_branch("develop", remote.head("master"))
        remote.commit("develop", {**pillar(keyring, "-new"), **states(keyring, "-new")})
        subprocess.run(["git", "clone", "-q", remote.path, self.clone], check=True)
        fleet = folder / "fleet"
        fleet.mkdir()
        data = {
            "grains": GRAINS,
            "pillar": {"private": {"key": MARKERS["stand-in"]}},
            "returns": {"vault.read_secret": MARKERS["returned"]},
        }
        own = [name[5:-4] for name in states(keyring, "")]
        for name in ("fine", "broken", *own):
            (fleet / f"prod-{name}.yaml").write_text(yaml.safe_dump(data))
        master = folder / "master"
        command = f"echo 'outside: {MARKERS['external']}'"
        options = {"root_dir": str(folder / "root"), "ext_pillar": [{"cmd_yaml": command}]}
        master.write_text(yaml.safe_dump(options))
        config = {
            "remote": str(remote.path), "root": str(folder / "none"), "salt_config": str(master),
            "fleet": str(fleet), "gpg_keys": keyring.folder, "ext_pillar": ["cmd_yaml"],
            "saltenvs": {
                "test": {"branch": "develop", "minions": ["test*"]},
                "prod": {"branch": "master", "promote_from": "test", "minions": ["prod*"]},
            },
        }  # fmt: skip
        self.config = folder / "saltbranch.yaml"
        self.config.write_text(yaml.safe_dump(config))
        self.scratch = folder / "tmp"
        self.scratch.mkdir(mode=0o755)

    def run(self, *words: str) -> str:
        """Both outputs, with the file of --output where it is written; in the current folder."""
        env = {"XDG_CACHE_HOME": str(self.folder / "cache"), "TMPDIR": str(self.scratch)}
        argv = [sys.executable, "-m", "saltbranch", *words, "--config", str(self.config)]
        done = run(argv, env)
        assert done.code in (0, 3, 20), done.err
        return done.out + done.err


def spellings(marker: str) -> set[str]:
    found = {marker, json.dumps(marker)[1:-1], repr(marker)[1:-1], quote(marker), marker[::-1]}
    data = marker.encode()
    for shift in range(3):  # wherever it stands in what was encoded
        code = base64.b64encode(b"x" * shift + data).decode().rstrip("=")
        found.add(code[-(-shift * 4 // 3) : -1])
    return {word for word in found if len(word) >= 4}


def leaks(text: str) -> list[str]:
    return [name for name, mark in MARKERS.items() if any(s in text for s in spellings(mark))]


def test_no_value_comes_out_in_any_spelling(
    tmp_path: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path, keyring)
    monkeypatch.chdir(place.clone)
    said: dict[str, str] = {}
    for words in FORMATS:
        output = tmp_path / "output"
        said[f"diff {words}"] = place.run("diff", "prod", *words, "--output", str(output))
        said[f"file {words}"] = output.read_text()
    said["fleet"] = place.run("fleet", "list", "--json") + place.run("fleet", "list")
    data = json.loads(said["file ('--json',)"])
    assert {name: m["result"] for name, m in data["minions"].items()}["prod-fine"] == "ok"
    assert sum(m["result"] != "ok" for m in data["minions"].values()) >= 10
    changed = data["minions"]["prod-fine"]["pillar"]["changed"]
    assert {"plain", "deep:list", "lines", "cipher"} <= {*changed}
    for what, text in said.items():
        assert leaks(text) == [], what
    # What a program of an external pillar had a part in is not kept.
    config = yaml.safe_load(place.config.read_text())
    place.config.write_text(yaml.safe_dump({**config, "ext_pillar": []}))
    assert leaks(place.run("diff", "prod", "--json")) == []
    cache = tmp_path / "cache"
    kept = [path for path in cache.rglob("*") if path.is_file()]
    assert len(kept) > 5
    for path in kept:
        assert leaks(path.read_text()) == [], path.read_text()
        assert leaks(path.name) == []
    assert list(place.scratch.iterdir()) == []


def test_names_made_of_values_stay_apart_and_the_same(
    tmp_path: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path, keyring)
    monkeypatch.chdir(place.clone)
    data = json.loads(place.run("diff", "master", "develop", "--json", "--minions", "prod-fine"))
    states = data["minions"]["prod-fine"]["states"]
    shown = [key.partition(" ~")[0] for key in states["added"]]
    assert "/etc/***/x.conf" in shown and "***" in shown
    assert len({*states["added"], *states["removed"]}) == len(states["added"]) + len(
        states["removed"]
    )
    # What both sides have is no difference: the number and the short word are the same in both.
    assert not [key for key in shown if key.startswith(("port-", "id-"))]
    other = json.loads(
        place.run("diff", "master", "develop", "--json", "--minions", "prod-fine", "--no-cache")
    )
    assert other["digest"] == data["digest"]
    assert other["minions"]["prod-fine"]["states"]["added"] != states["added"]
