"""One message to one URL: what arrives, what is said when it does not, and that the URL is never said."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
from typing import Any

import pytest

from saltbranch.config.notify import FORMATS, Format
from saltbranch.notify.deliver import Undelivered, deliver, hidden
from saltbranch.notify.escape import escaped
from tests.support.receiver import Receiver

NOTICE = {"event": "test", "id": "i1", "time": "2026-11-29T10:00:00Z", "saltenvs": []}
HAS_APPRISE = importlib.util.find_spec("apprise") is not None


def message(body: str = "text", form: Format = "text") -> dict[str, Any]:
    return {"title": "saltbranch: title", "body": body, "format": form, "notice": NOTICE}


def refusal(url: str) -> Undelivered:
    with pytest.raises(Undelivered) as info:
        deliver(url, message())
    return info.value


def test_a_webhook_gets_json_with_the_id() -> None:
    with Receiver() as server:
        deliver(server.url(), message("a\nb"))
    assert server.got == [{**NOTICE, "version": 1, "title": "saltbranch: title", "text": "a\nb"}]
    assert server.keys == ["i1"]


def test_who_answers_no_has_refused_and_others_may_get_through() -> None:
    for status, refused in ((400, True), (404, True), (429, False), (500, False), (302, False)):
        with Receiver(status) as server:
            err = refusal(server.url())
        assert err.refused is refused and str(status) in err.reason
        assert "s3cret" not in err.reason


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        err = refusal(f"http://user:s3cret-word@127.0.0.1:{port}/s3cret-path?token=s3cret-token")
    assert not err.refused and err.reason and "s3cret" not in err.reason


def test_what_is_no_address_at_all() -> None:
    for url in (
        "http://",
        "http://[::1",
        "http://127.0.0.1:notaport/s3cret-x",
        "http://a b/s3cret-x",
    ):
        assert "s3cret" not in refusal(url).reason


def test_the_parts_of_a_url_are_hidden_and_its_host_is_not() -> None:
    url = "mailtos://ann:pa55%24word@mail.example.com/?to=ops@example.org&key=abcdef"
    said = hidden(
        url, f"could not open {url}: login ann pa55$word to mail.example.com with abcdef failed"
    )
    assert said == "could not open ***: login ann *** to mail.example.com with *** failed"
    slack = "slack://TokenA123/TokenB123/TokenC123/#general"
    told = hidden(
        slack, "POST https://hooks.slack.com/services/TokenA123/TokenB123/TokenC123 failed"
    )
    assert told == "POST https://hooks.slack.com/services/***/***/*** failed"


def test_a_url_is_on_no_command_line() -> None:
    """Every user of the machine can read these."""
    with Receiver(None) as server:
        code = "import sys, json; from saltbranch.notify.deliver import deliver; deliver(*json.load(sys.stdin))"
        given = json.dumps([server.url(), message()]).encode()
        running = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
        assert running.stdin
        running.stdin.write(given)
        running.stdin.close()
        while not server.asked:
            assert running.poll() is None
        shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
        running.kill()
        running.wait()
    assert "s3cret-t0ken" not in shown.stdout


@pytest.mark.skipif(HAS_APPRISE, reason="it is about a machine without apprise")
def test_without_apprise_it_says_what_to_install() -> None:
    err = refusal("mmost://127.0.0.1/s3cret-t0ken")
    assert "saltbranch[notify]" in err.reason and not err.refused and "s3cret" not in err.reason


@pytest.mark.skipif(not HAS_APPRISE, reason="needs the extra saltbranch[notify]")
@pytest.mark.parametrize("form", FORMATS)
def test_apprise_brings_it_and_strangers_mention_nobody(form: Format) -> None:
    hostile = "@everyone <!channel> [click](https://evil.example) <https://evil.example|x>"
    with Receiver() as server:
        deliver(
            f"mmost://127.0.0.1:{server.port}/abcdefghijklmnop1234",
            message(escaped(hostile, form), form),
        )
    text = server.bodies[0].decode()
    assert "title" in text
    shown = json.loads(text)["text"]
    for bad in ("@everyone", "<!channel>", "https://evil", "](https"):
        assert bad not in shown, shown


@pytest.mark.skipif(not HAS_APPRISE, reason="needs the extra saltbranch[notify]")
def test_what_apprise_cannot_do_is_said_without_the_url() -> None:
    assert "s3cret" not in refusal("nosuch://s3cret-t0ken/").reason
    with Receiver(500) as server:
        err = refusal(f"mmost://127.0.0.1:{server.port}/s3crett0kens3crett0ken")
    assert err.reason and "s3cret" not in err.reason
