"""Templates of a model come from strangers: what they can reach, how long they take and what their values do."""

from __future__ import annotations

import json
import time

import pytest

from saltbranch.base.errors import ConfigError
from saltbranch.config.notify import Format, NotifyModel, check_rules
from saltbranch.notify import render

NOTICE = {
    "event": "switched", "id": "i1", "saltenvs": ["prod"], "master": "m1",
    "rows": [{"saltenv": "prod", "about": {"subjects": ["<b>@everyone</b> *x*"], "link": "https://git.example.com/a/b/compare/1...2"}}],
}  # fmt: skip


def body(template: str | None, form: Format = "text") -> str:
    return render.body(NOTICE, "saltbranch: t", ["a <b>line</b> @here"], template, form)


def test_values_are_escaped_and_letters_of_the_template_are_not() -> None:
    template = "<b>{{ saltenvs|join(', ') }}</b>: {{ rows[0].about.subjects[0] }}"
    told = body(template, "html")
    assert told.startswith("<b>prod</b>: &lt;b&gt;") and "@everyone" not in told
    assert "<b>@" not in body("{{ rows[0].about.subjects[0]|safe }}", "html")
    assert "<b>" not in body("{{ (rows[0].about.subjects|join)|upper|lower }}", "html").replace(
        "&lt;b&gt;", ""
    )


def test_the_default_text_can_be_part_of_a_template() -> None:
    told = body("**{{ title }}**\n{{ text }}", "markdown")
    assert "a &lt;b&gt;line" in told and "https://git.example.com/a/b/compare/1...2" in told


def test_the_link_of_the_default_text_can_be_followed() -> None:
    assert '<a href="https://git.example.com/a/b/compare/1...2">' in body(None, "html")


HOSTILE = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ self._TemplateReference__context }}{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ rows.append(1) }}",
    "{% include '/etc/passwd' %}",
    "{% import 'x' as y %}",
    "{{ 'x' * 10**10 }}",
    "{{ no.such.value }}",
    "{{ 1 / 0 }}",
]


@pytest.mark.parametrize("template", HOSTILE)
def test_a_hostile_template_gets_nothing_and_the_message_comes(template: str) -> None:
    told = body(template)
    assert "a " in told and "line" in told and "the template of this message failed" in told
    assert "root:" not in told and "uid=" not in told


def test_a_template_without_end_is_ended_and_the_message_comes() -> None:
    loop = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3
    started = time.monotonic()
    told = body(loop)
    assert "failed" in told and "line" in told and time.monotonic() - started < 15


def test_a_template_sees_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_URL", "s3cret-t0ken")
    assert "s3cret" not in body("{{ environ }}{{ os }}{{ url }}{{ title }}")


def test_a_long_message_is_cut() -> None:
    assert len(body("{% for a in range(9999) %}xxxxxxxxxx{% endfor %}")) == render.LONGEST


def test_a_broken_template_is_an_error_of_the_model() -> None:
    with pytest.raises(ConfigError, match="template"):
        check_rules([NotifyModel(events=["switched"], to=["ops"], template="{% if %}")], [], "m")
    with pytest.raises(ConfigError, match="characters"):
        check_rules([NotifyModel(events=["switched"], to=["ops"], template="x" * 5000)], [], "m")


def test_a_notice_is_plain_data() -> None:
    assert json.loads(json.dumps(NOTICE)) == NOTICE
