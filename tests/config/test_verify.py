"""verify:, before_batch: and after_batch: in the model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltbranch.base.errors import ConfigError
from saltbranch.config import entries
from saltbranch.config.batch_hooks import ProgramHook, RunnerHook, SaltHook, parse_hooks
from saltbranch.config.keys import json_schema
from saltbranch.config.read import check_model
from saltbranch.config.verify import (
    HttpCheck,
    ProgramCheck,
    SaltCheck,
    TcpCheck,
    parse_checks,
)

MODEL = """\
saltenvs:
  prod:
    branch: master
    minions: ['prod*']
    verify:
      - salt: service.status
        args: [nginx]
        on: one
      - salt: test.version
        expect: {matches: '^3'}
        name: the version
      - {http: 'http://{minion}:8080/health?token=abc', contains: Welcome, timeout: 5s, retries: 0}
      - {tcp: '{minion}:443', on: changed}
      - {command: [/usr/local/bin/smoke, prod]}
    before_batch:
      - {salt: haproxy.disable_server, args: ['{minion}', web], on: lb1}
    after_batch:
      - {runner: balancer.put_back, kwargs: {pool: web}}
      - command: /usr/local/bin/back
"""


def refusal(entry: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_checks([{"salt": "test.ping"}, entry], "M: saltenvs.prod.verify")
    return caught.value


def test_a_model_says_how_its_servers_are_proven_to_work() -> None:
    (prod,) = check_model(MODEL, "M")[1].saltenvs
    service, version, page, port, program = prod.verify
    assert isinstance(service, SaltCheck) and (service.on, service.expect) == ("one", None)
    assert (service.name, service.call.arguments()) == ("service.status nginx", (["nginx"], {}))
    assert isinstance(version, SaltCheck) and version.expect and version.expect.wanted == "^3"
    assert isinstance(page, HttpCheck)
    assert (page.name, page.status, page.retries, page.timeout) == (
        "http://{minion}:8080/health?...",
        200,
        0,
        5,
    )
    assert page.of("web1").url == "http://web1:8080/health?token=abc"
    assert isinstance(port, TcpCheck) and (port.of("web1").host, port.port) == ("web1", 443)
    assert isinstance(program, ProgramCheck) and program.argv == ("/usr/local/bin/smoke", "prod")
    assert program.retries == 3
    hash(prod)  # saltenvs stand in sets


def test_hooks_of_a_batch() -> None:
    (prod,) = check_model(MODEL, "M")[1].saltenvs
    (out,) = prod.before_batch
    assert isinstance(out, SaltHook) and out.on == "lb1"
    assert out.call.arguments("web1") == (["web1", "web"], {})
    back, program = prod.after_batch
    assert isinstance(back, RunnerHook) and back.argv == (
        "salt-run",
        "balancer.put_back",
        "pool=web",
    )
    assert isinstance(program, ProgramHook) and program.argv == ("/usr/local/bin/back",)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("x", "check 2: not a check"),
        ({}, "not a check"),
        ({"salt": "a.b", "http": "http://h/"}, "not a check"),
        ({"salt": "a.b", "retires": 1}, "unknown key 'retires'"),
        ({"salt": "a.b", "retries": "x"}, "retries: expected `int`, got `str`"),
        ({"salt": "a.b", "retries": True}, "retries: expected `int`, got `bool`"),
        ({"salt": "a.b", "retries": 101}, "retries: expected `int` <= 100"),
        ({"salt": "a.b", "timeout": "2h"}, "timeout: 2h is not from 1s to 1h"),
        ({"salt": "a.b", "timeout": "x"}, "timeout: 'x' is not a length of time"),
        ({"salt": "a.b", "timeout": "0s"}, "timeout: 0s"),
        ({"salt": "a.b", "on": "some"}, "on: invalid enum value 'some'"),
        ({"salt": "a b"}, "salt: 'a b' is not a function"),
        ({"salt": "ab"}, "salt: 'ab' is not a function"),
        ({"salt": "a.b", "args": "x"}, "args: expected `array`"),
        ({"salt": "a.b", "args": [{1, 2}]}, "args: not plain data"),
        ({"salt": "a.b", "args": ["x" * 20_000]}, "args: 20004 characters"),
        ({"salt": "a.b", "args": ["{minion}"]}, "{minion} means nothing"),
        ({"salt": "a.b", "expect": {}}, "expect: 0 conditions"),
        ({"salt": "a.b", "expect": {"equals": 1, "at_most": 2}}, "expect: 2 conditions"),
        ({"salt": "a.b", "expect": {"matches": "("}}, "expect: matches: not a regular expression"),
        ({"salt": "a.b", "expect": {"equals": float("nan")}}, "expect: equals: not plain data"),
        ({"salt": "a.b", "expect": {"at_most": "3"}}, "expect.at_most: expected"),
        ({"salt": "a.b", "expect": {"contains": ""}}, "expect: contains: nothing"),
        ({"salt": "a.b", "expect": {"is": 1}}, "unknown field `is`"),
        ({"salt": "a.b", "name": "a\nb"}, "name: not usable"),
        ({"http": "ftp://h/"}, "http: not an address"),
        ({"http": "http:///x"}, "http: not an address"),
        ({"http": "http://h:99999/"}, "http: not an address"),
        ({"http": "http://h/\r\nX: y"}, "http: it has characters that no URL has"),
        ({"http": "http://h/a b"}, "http: it has characters that no URL has"),
        ({"http": "http://h/#x"}, "http: it has a fragment"),
        ({"http": "http://h/{id}"}, "http: only {minion} may stand in braces"),
        ({"http": "http://h/", "status": 99}, "status: expected `int` >= 100"),
        ({"http": "http://h/", "on": "one"}, "on: one: it is asked once"),
        ({"http": "http://[::1/"}, "http: not an address"),
        ({"tcp": "h"}, "tcp: not a host and a port"),
        ({"tcp": "h:0"}, "tcp: not a host and a port"),
        ({"tcp": "h:65536"}, "tcp: not a host and a port"),
        ({"tcp": "h:\u0663"}, "tcp: not a host and a port"),
        ({"tcp": "a b:1"}, "tcp: not a host and a port"),
        ({"command": "bin/x"}, "command: 'bin/x' is a relative path"),
        ({"command": []}, "command: [] is not a command"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(entry: Any, said: str) -> None:
    err = refusal(entry)
    assert err.message.startswith("M: saltenvs.prod.verify, check 2: "), err.message
    assert said in err.message
    assert err.hint


@pytest.mark.parametrize(
    "url",
    [
        "http://admin:hunter2@h/",
        "http://hunter2@h/",
        "gopher://h/?hunter2",
        "http://h/?hunter2#x",
        "http://h:x/?hunter2",
    ],
)
def test_a_secret_of_a_url_is_not_said(url: str) -> None:
    err = refusal({"http": url})
    assert "hunter2" not in f"{err.message} {err.hint} {err.__cause__}"


def test_the_name_of_a_check_hides_the_query_and_odd_arguments() -> None:
    checks = parse_checks(
        [
            {"http": "http://h/x?key=hunter2"},
            {"salt": "mysql.query", "args": ["db", "select 'hunter2'"]},
            {"salt": "a.b", "kwargs": {"password": "hunter2"}},
            {"salt": "a.b"},
        ],
        "M",
    )
    names = [check.name for check in checks]
    assert names == ["http://h/x?...", "mysql.query", "a.b", "a.b (check 4)"]


def test_two_checks_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two checks are called 'x'"):
        parse_checks([{"salt": "a.b", "name": "x"}, {"salt": "a.c", "name": "x"}], "M")


def test_a_pattern_that_takes_for_ever_is_refused() -> None:
    text = MODEL.replace("'^3'", "'(a+)+$'")
    with pytest.raises(ConfigError, match="takes too long"):
        check_model(text, "M")


def test_too_many_checks() -> None:
    with pytest.raises(ConfigError, match="101 checks"):
        parse_checks([{"salt": "a.b"}] * 101, "M")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"salt": "a.b"}, "missing required field `on`"),
        ({"salt": "a.b", "on": "*"}, "on: not the id of one minion"),
        ({"salt": "a.b", "on": "{minion}"}, "on: not the id of one minion"),
        ({"salt": "a.b", "on": ""}, "on: expected `str` of length >= 1"),
        ({"runner": "x"}, "runner: 'x' is not a function"),
        ({"runner": "a.b", "on": "lb1"}, "unknown key 'on'"),
        ({"command": "./x"}, "relative path"),
        ({"state": "x"}, "not a hook"),
    ],
)
def test_hooks_that_cannot_be(entry: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_hooks([entry], "M: saltenvs.prod.before_batch")
    assert said in caught.value.message
    assert caught.value.message.startswith("M: saltenvs.prod.before_batch, hook 1: ")


def test_yaml_that_reads_on_as_true_is_understood() -> None:
    (prod,) = check_model(MODEL, "M")[1].saltenvs
    assert [check.on for check in prod.verify] == ["one", "all", "all", "changed", "all"]


def test_the_schema_for_editors_knows_the_keys() -> None:
    schema: Any = json_schema()
    check = schema["$defs"]["SaltenvModel"]["properties"]["verify"]["items"]["anyOf"][0]
    assert check["$ref"] == "#/$defs/SaltCheckModel"
    assert "expect" in schema["$defs"]["SaltCheckModel"]["properties"]
    assert "RunnerHookModel" in schema["$defs"]
    json.dumps(schema)


@pytest.mark.parametrize("minion", ["web1", "web1.example.com", "a_b-c", "1", "x" * 253])
def test_ids_that_may_stand_in_an_address(minion: str) -> None:
    assert entries.fits(minion)


@pytest.mark.parametrize(
    "minion",
    ["", "a:80", "a/b", "a@b", "a#", "a?x", "a b", "a\n", "-a", "a-", ".", "..", "a=b", "é", "[::1]",
     "a%2e", "a\\b", "x" * 254, "a,b", "{minion}"],
)  # fmt: skip
def test_ids_that_would_lead_elsewhere(minion: str) -> None:
    assert not entries.fits(minion)


@given(st.text(max_size=30))
def test_an_id_that_fits_keeps_the_host_of_an_address(minion: str) -> None:
    from urllib.parse import urlsplit

    if entries.fits(minion):
        parts = urlsplit(f"http://{minion}:80/{minion}/x")
        assert (parts.hostname, parts.port) == (minion.lower(), 80)
        assert parts.path == f"/{minion}/x" and not parts.query


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
keys = st.sampled_from(
    [
        "salt",
        "http",
        "tcp",
        "command",
        "args",
        "kwargs",
        "expect",
        "on",
        "name",
        "retries",
        "timeout",
    ]
)


@given(st.lists(st.dictionaries(keys, json_values, max_size=4) | json_values, max_size=3))
def test_whatever_stands_there_is_taken_or_refused(value: list[Any]) -> None:
    for parse in (parse_checks, parse_hooks):
        try:
            parse(value, "M")
        except ConfigError as err:
            assert err.message.startswith("M")
