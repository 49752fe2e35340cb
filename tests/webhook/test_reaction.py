"""A request is judged before anything runs: what is proven and followed starts a sync, all else nothing."""

from __future__ import annotations

import base64
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from saltbranch.webhook import reaction, secret
from tests.support import requests
from tests.support.labs import FEATURE, with_labs
from tests.support.requests import Request, as_event, body_of, github
from tests.support.site import Site, build_template

ZEROS = "0" * 40


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A root that is served, and a secret; all tests here share it."""
    folder = tmp_path_factory.mktemp("place")
    site = Site(folder, build_template(folder / "remote.git"))
    site.sync_well()
    secret.make(secret.path_of(str(site.config)), uid=os.geteuid())
    return site


@pytest.fixture
def own_place(served: Site) -> Site:
    """One that a test may change."""
    secret.make(secret.path_of(str(served.config)), uid=os.geteuid())
    return served


def secret_of(site: Site) -> str:
    return secret.load(secret.path_of(str(site.config)))[0]


def react(site: Site, request: Request | dict[str, Any]) -> dict[str, Any]:
    event = request if isinstance(request, dict) else as_event(request)
    return reaction.react(event, str(site.config))


def starts(ref: str, commit: str) -> dict[str, Any]:
    """What the reactor runs for a push."""
    arguments = [{"ref": ref}, {"commit": commit}]
    return {"saltbranch_webhook": {"runner.saltbranch.webhook": [{"args": arguments}]}}


def push(site: Site, ref: str = "refs/heads/develop", commit: str = "a" * 40) -> bytes:
    return body_of(ref, commit, str(site.remote.path))


def test_pushes_of_all_servers_start_the_runner(place: Site) -> None:
    own, url, head = secret_of(place), str(place.remote.path), "a" * 40
    body = push(place)
    lab = requests.gitlab_body("refs/heads/develop", head, url)
    token = "whsec_" + base64.b64encode(b"k" * 32).decode()
    path = Path(secret.path_of(str(place.config)))
    kept = path.read_text()
    path.write_text(f"{kept}{token}\n")

    for request in (
        requests.github(own, body),
        requests.form(own, body),
        requests.gitea(own, body),
        requests.gitlab(own, lab),
        requests.gitlab(token, lab),
        requests.gitlab_signed(token, lab),
        requests.github(token, body),
    ):
        assert react(place, request) == starts("refs/heads/develop", head), request[0]
    body = requests.gitlab_body("refs/heads/develop", head, url)
    assert react(place, requests.gitlab_signed(token, body, of=b"{}")) == {}
    path.write_text(kept)


def test_names_of_headers_are_read_in_any_case(place: Site) -> None:
    event = as_event(github(secret_of(place), push(place)))
    for change in (str.lower, str.upper):
        headers = {change(name): value for name, value in event["headers"].items()}
        assert react(place, event | {"headers": headers}) == starts("refs/heads/develop", "a" * 40)
    twice = {**event["headers"], "x-hub-signature-256": "sha256=0"}
    assert react(place, event | {"headers": twice}) == {}


def test_a_deleted_branch_has_no_commit_to_wait_for(place: Site) -> None:
    own, url = secret_of(place), str(place.remote.path)
    gone = starts("refs/heads/stage", "")

    assert react(place, github(own, push(place, "refs/heads/stage", ZEROS))) == gone
    body = body_of("refs/heads/stage", "0" * 64, url, deleted=True)
    assert react(place, github(own, body)) == gone
    body = body_of("stage", None, url, ref_type="branch", after="")
    assert react(place, requests.gitea(own, body, "delete")) == gone


def test_tags_that_are_followed(own_place: Site) -> None:
    own = secret_of(own_place)
    request = github(own, push(own_place, "refs/tags/v1.0"))
    assert react(own_place, request) == {}

    own_place.settings["saltenvs"]["stage"]["follow"] = {"tags": "^v[0-9.]+$"}
    own_place.configure()
    own_place.remote.git("tag", "v0.9", own_place.remote.head("stage"))
    own_place.sync_here()

    assert react(own_place, request) == starts("refs/tags/v1.0", "a" * 40)
    assert react(own_place, github(own, push(own_place, "refs/tags/w1"))) == {}


def test_branches_of_labs(own_place: Site) -> None:
    labs = with_labs(own_place, lab_auto="try/*")
    labs.claim(1)
    own_place.remote.set_branch("other", own_place.remote.head("develop"))
    own_place.sync_well()
    own = secret_of(own_place)

    for branch in (FEATURE, "try/new"):  # it has one; it will have one, and is not known yet
        ref = f"refs/heads/{branch}"
        assert react(own_place, github(own, push(own_place, ref))) == starts(ref, "a" * 40)
    for ref in (
        "refs/heads/other",
        "refs/heads/try",
        "refs/heads/x/try/new",
        f"refs/tags/{FEATURE}",
    ):
        assert react(own_place, github(own, push(own_place, ref))) == {}, ref


def test_where_lab_auto_is_not_set_a_branch_without_a_lab_starts_nothing(own_place: Site) -> None:
    labs = with_labs(own_place)
    own_place.sync_well()
    request = github(secret_of(own_place), push(own_place, f"refs/heads/{FEATURE}"))
    assert react(own_place, request) == {}

    labs.claim(1)
    own_place.sync_well()
    assert react(own_place, request) == starts(f"refs/heads/{FEATURE}", "a" * 40)


def test_where_the_configuration_is_new_a_sync_finds_out_what_is_followed(own_place: Site) -> None:
    own = secret_of(own_place)
    own_place.configure(fetch_timeout=77)  # what was prepared is stale
    request = github(own, push(own_place, "refs/heads/new"))
    assert react(own_place, request) == starts("refs/heads/new", "a" * 40)
    assert react(own_place, github(own, push(own_place, "refs/heads/-x"))) == {}
    assert react(own_place, github(own, push(own_place, "refs/notes/x"))) == {}


def test_a_replay_starts_the_same_harmless_sync(place: Site) -> None:
    head = place.remote.head("develop")
    request = github(secret_of(place), push(place, commit=head))
    assert react(place, request) == react(place, request) == starts("refs/heads/develop", head)


def _hostile_names() -> list[str]:
    body = b"{}"
    names = [*requests.unproven("s" * 64, body), *requests.hostile("s" * 64, "/x", "a" * 40, "/x")]
    assert len(names) == len(set(names)) >= 40
    return names


@pytest.mark.parametrize("name", _hostile_names())
def test_hostile_requests_start_nothing(
    place: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    own, url = secret_of(place), str(place.remote.path)
    canary = tmp_path / "canary"
    head = place.remote.head("develop")
    request = {
        **requests.unproven(own, push(place, commit=head)),
        **requests.hostile(own, url, head, str(canary)),
    }[name]

    with caplog.at_level(logging.INFO):
        assert react(place, request) == {}

    assert len(caplog.records) == 1 and caplog.records[0].getMessage().startswith("webhook: ")
    assert caplog.records[0].levelno < logging.ERROR, caplog.text
    assert own not in caplog.text
    assert caplog.records[0].getMessage().isprintable()
    assert not canary.exists() and not (place.root / "state" / "pings").exists()


@pytest.mark.parametrize(
    "event",
    [None, [], {}, {"body": 7, "headers": {}}, {"headers": ["x"], "body": "{}"}, {"body": "{}"},
     {"body": "{}", "headers": {"X-Hub-Signature-256": ["sha256=1"]}}],
)  # fmt: skip
def test_an_event_of_another_shape_starts_nothing(place: Site, event: Any) -> None:
    assert reaction.react(event, str(place.config)) == {}


@pytest.mark.parametrize("fault", ["missing", "readable", "empty", "short", "a link"])
def test_without_a_secret_that_is_one_nothing_counts(
    place: Site, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    request = github(secret_of(place), push(place))
    path = Path(secret.path_of(str(place.config)))
    kept = path.read_text()
    if fault == "missing":
        path.unlink()
    elif fault == "readable":
        path.chmod(0o640)
    elif fault == "a link":
        path.rename(path.with_name("elsewhere"))
        path.symlink_to(path.with_name("elsewhere"))
    else:
        path.write_text("# nothing\n" if fault == "empty" else "short\n")
        request = github("" if fault == "empty" else "short", push(place))

    assert react(place, request) == {}
    assert [r.levelno for r in caplog.records] == [logging.ERROR]
    assert str(path) in caplog.text
    path.unlink(missing_ok=True)
    path.with_name("elsewhere").unlink(missing_ok=True)
    path.write_text(kept)
    path.chmod(0o600)


def test_only_a_ping_that_is_signed_is_noted(place: Site) -> None:
    own = secret_of(place)
    for number in range(7):
        assert react(place, github(own, b'{"saltbranch_ping": "%016d"}' % number)) == {}
    assert react(place, github(requests.OTHER, b'{"saltbranch_ping": "%016d"}' % 99)) == {}
    assert reaction.pings(str(place.root)) == [f"{number:016}" for number in range(2, 7)]
    assert react(place, github(own, b'{"zen": "Keep it simple."}', event="ping")) == {}
