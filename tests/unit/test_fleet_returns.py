"""What `fleet record --returns` asks a minion for by itself."""

import pytest

from saltbranch.actions.fleet_returns import ACTS, SECRET, _reason


@pytest.mark.parametrize("call", ["disk.usage()", 'file.stats("/etc/hosts")', 'user.info("root")'])
def test_what_only_looks_is_asked(call: str) -> None:
    assert _reason(call, acting=False) is None


@pytest.mark.parametrize(
    "call",
    ['file.find("/srv", delete="f")', 'publish.publish("*", "cmd.run", "id")', 'saltutil.runner("x")',
     'http.query("http://x", method="POST")', 'cmd.run("id")', "no.such()"],
)  # fmt: skip
def test_what_can_act_is_asked_only_where_that_was_asked_for(call: str) -> None:
    assert _reason(call, acting=False) == ACTS
    assert _reason(call, acting=True) is None


@pytest.mark.parametrize("call", ['shadow.info("root")', "environ.items()", "ssh.host_keys()"])
def test_what_answers_with_secrets_is_never_asked(call: str) -> None:
    assert _reason(call, acting=True) == SECRET
