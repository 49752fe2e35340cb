"""What is right is not called wrong: one example for each kind that once was, and what stays a finding."""
# ruff: noqa: E501 - an example to a line reads best

from __future__ import annotations

import time

import pytest

from saltbranch.check.blame import blame
from saltbranch.check.compiled import findings as compile_findings
from saltbranch.check.compiled import told_once
from saltbranch.check.project import Source
from saltbranch.check.rules import lint, secret_lines
from saltbranch.check.rules.secret_words import is_name, is_strong, is_value
from saltbranch.check.template import plain
from saltbranch.compiler.model import Compiled
from saltbranch.git import links
from tests.support.checking import TOOLS, findings, project, told

TOP, SLS = "salt/top.sls", "salt/a.sls"
TOP_A = "base:\n  '*': [a]\n"
BAD = "x:\n  file.manage: []\n"
NEWER = 'print(f"{x["y"]}")\n'
LOOSE_ANCHOR = "{% include 'anchors.jinja' %}\nx:\n  test.nop:\n    - name: *there\n"
PUBLIC_KEY = "AAAAB3NzaC1yc2EAAAADAQAB" + "AAABAQDTPilqWfeYXAz3Mt" * 12 + "=="
TWICE = "{% set name = 1 %}\n{{ name }}: {test.nop: []}\n{% set name = 2 %}\n{{ name }}: {test.nop: []}\n"


def errors(files: dict[str, str | bytes]) -> list[str]:
    return [f"{f.file}:{f.line} {f.rule}" for f in findings(files) if f.severity != "note"]


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({TOP: TOP_A, SLS: "", "salt/other.sls": BAD}, id="not reached"),
        pytest.param({TOP: TOP_A, SLS: "", "salt/other.sls": "{% if"}, id="not reached, no Jinja"),
        pytest.param({TOP: TOP_A, SLS: "x: {file.managed: [{name: /x}, {source: 'salt://r.sls'}]}", "salt/r.sls": BAD}, id="an sls file as a source"),
        pytest.param({TOP: "{% include 'm.jinja' %}\n" + TOP_A, SLS: "", "salt/m.jinja": "{# no text #}", "salt/other.sls": BAD}, id="a top that includes nothing"),
        pytest.param({TOP: "{% include 'm.jinja' %}\n", SLS: "", "salt/m.jinja": TOP_A, "salt/other.sls": BAD}, id="a top that is included"),
        pytest.param({TOP: "base:\n  '*': ['{{ r }}']", "salt/win/repo-ng/v/init.sls": "v:\n  '9.1':\n    installer: x\n"}, id="winrepo beside a computed top"),
        pytest.param({TOP: TOP_A, SLS: "", "salt/x.j2": "{% if"}, id="another program's template"),
        pytest.param({"salt/r.sls": "x:\n  local.state.apply: [{tgt: a}]\n  cmd.state.apply: [{tgt: a}]"}, id="reactor"),
        pytest.param({TOP: "base:\n  '*': ['{{ r }}']", "salt/r.sls": "x:\n  cmd.state.apply: [{tgt: a}]"}, id="reactor beside a computed top"),
        pytest.param({TOP: "base:\n  '*': [d/a]\n", "salt/d/a.sls": "include: [d/b]", "salt/d/b.sls": ""}, id="slashes"),
        pytest.param({SLS: "include: [d.init]", "salt/d/init.sls": ""}, id="init by name"),
        pytest.param({SLS: LOOSE_ANCHOR, "salt/anchors.jinja": ""}, id="anchor of an include"),
        pytest.param({SLS: TWICE}, id="name set anew"),
        pytest.param({SLS: "{{ n() }}: {test.nop: []}\n{{ n() }}: {test.nop: []}\n"}, id="a call gives another name"),
        pytest.param({SLS: "x: {file.managed: [{source: 'salt:///t'}]}", "salt/t": ""}, id="three slashes"),
        pytest.param({SLS: "", "salt/files/bot.py": NEWER}, id="newer Python for minions"),
        pytest.param({SLS: "", "salt/files/conf.py": "{% if x %}\na = {{ b }}\n"}, id="Python template"),
        pytest.param({SLS: "#!mine\nx", "salt/_renderers/mine.py": ""}, id="renderer of the branch"),
        pytest.param({SLS: "#!mine\nx", "salt/_renderers/m.py": "__virtualname__ = 'mine'\n"}, id="renderer by virtual name"),
        pytest.param({SLS: "x: {service.dead: [{enabled: 1}]}"}, id="documented argument"),
        pytest.param({SLS: "x:\n  test.nop:\n    - require:\n        {{ wanted() }}\n"}, id="requisites of a macro"),
        pytest.param({SLS: "x:\n  file.symlink:\n    - name: y\n{% if z %}\n    - target: a\n{% else %}\n    - target: b\n{% endif %}\n"}, id="an argument in either case"),
        pytest.param({SLS: "include:\n{% if x %}\n- b\n{% else %}\n- c\n{% endif %}\n", "salt/b.sls": "y: {test.nop: []}", "salt/c.sls": "y: {test.nop: []}"}, id="one include or the other"),
        pytest.param({SLS: "", "pillar/a.sls": "{{ salt.saltutil.runner('mine.get', tgt='*') }}: 1"}, id="a runner that reads"),
        pytest.param({SLS: "x:\n  file.managed:\n    - context:\n        pillar_roots:\n          base: ['/srv/pillar']\n"}, id="a master's folders in a state"),
        pytest.param({SLS: "x:\n  file.managed:\n    - context:\n        file_roots:\n          base:\n" + "          - /srv/salt\n          {% if x %}\n          - /srv/formulas\n          {% endif %}\n" * 4}, id="many folders of a master"),
        pytest.param({SLS: "{% set c = {\n  'file_tree': {'root_dir': '/srv/pillar'}} %}\n"}, id="a folder of an external pillar"),
        pytest.param({SLS: "", "pillar/a.sls": "roots: [/srv/salt]"}, id="a master's folders as data"),
        pytest.param({SLS: "", "pillar/a.sls": f"ssh: {{key: {PUBLIC_KEY}}}"}, id="a public key of SSH's"),
        pytest.param({SLS: "{{ n }}:\n  test.nop: []\nextend:\n  y:\n    test.nop: []\n"}, id="an id that may be extended"),
        pytest.param({SLS: "", "pillar/a.sls": "ssl: {private_key: undef}"}, id="a key that is not set"),
        pytest.param({SLS: "{% for p in v %}\nx:\n  file.symlink:\n  {% for q in p %}\n    - {{ q }}\n  {% endfor %}\n{% endfor %}\n"}, id="arguments of a loop"),
        pytest.param({SLS: "x: {unreadable.x: [{source: 'salt://d/'}]}", "salt/d/t": ""}, id="a folder as a source"),
        pytest.param({TOP: "base:\n  '*': ['{{ r }}']", "salt/x.example.sls": BAD}, id="a file that Salt has no name for"),
    ],
)  # fmt: skip
def test_right_is_not_called_wrong(files: dict[str, str | bytes]) -> None:
    assert errors(files) == []


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({TOP: TOP_A, SLS: "include: [b]", "salt/b.sls": BAD}, "salt/b.sls:2 unknown-state-function"),
        ({TOP: "base:\n  '*': ['b*']", "salt/b.sls": BAD}, "salt/b.sls:2 unknown-state-function"),
        ({TOP: "base:\n  '*': ['{{ r }}']", "salt/b.sls": BAD}, "salt/b.sls:2 unknown-state-function"),
        ({TOP: "base:\n  '*':\n{% include 'more' %}\n", "salt/b.sls": BAD}, "salt/b.sls:2 unknown-state-function"),
        ({TOP: TOP_A, SLS: "{% from d ~ '/m.jinja' import y %}", "salt/x/m.jinja": "{% if"}, "salt/x/m.jinja:1 jinja-syntax"),
        ({TOP: TOP_A, SLS: "x: {file.managed: [{source: 'salt://t.j2'}]}", "salt/t.j2": "{% if"}, "salt/t.j2:1 jinja-syntax"),
        ({SLS: "{% for n in y %}  # a comment\n{{ n }}:\n  file.manage: []\n{% endfor %}{# x #} # another\n"}, f"{SLS}:3 unknown-state-function"),
        ({SLS: "{{ n }}: {test.nop: []}\n{{ n }}: {test.nop: []}\n"}, f"{SLS}:2 yaml-duplicate-key"),
        ({SLS: "x: {test.nop: [*there]}"}, f"{SLS}:1 yaml-syntax"),
        ({SLS: "", "salt/_modules/m.py": NEWER + "("}, "salt/_modules/m.py:1 python-syntax"),
        ({SLS: "#!other\nx", "salt/_renderers/mine.py": ""}, f"{SLS}:1 unknown-renderer"),
        ({SLS: "", "pillar/a.sls": "{{ salt.saltutil.runner('state.orch') }}: 1"}, "pillar/a.sls:1 render-time-call"),
        ({SLS: "", "pillar/a.sls": "a: {{ '/srv/salt/x' | load }}"}, "pillar/a.sls:1 absolute-path"),
        ({SLS: "{% if y %}\nz: {test.nop: []}\n{% endif %}\nx: {file.symlink: []}"}, f"{SLS}:4 missing-argument"),
        ({SLS: "x: {pkg.installed: [{pgks: [a]}]}"}, f"{SLS}:1 unknown-argument"),
        ({SLS: "x: {test.nop: [{require: [{sls: d.b}]}]}", "salt/d/c.sls": ""}, f"{SLS}:1 requisite-missing"),
        ({SLS: "x:\n  test.nop:\n    - name: {{ n }}\nextend:\n  y:\n    test.nop: []\n"}, f"{SLS}:5 extend-missing"),
        ({SLS: "x: {file.managed: [{source: 'salt://d'}]}", "salt/d/t": ""}, f"{SLS}:1 source-missing"),
    ],
)  # fmt: skip
def test_wrong_is_found_where_it_stands(files: dict[str, str | bytes], place: str) -> None:
    assert place in [f"{f.file}:{f.line} {f.rule}" for f in findings(files)]


@pytest.mark.parametrize(
    "text",
    [
        "x:\n  cmd.run:\n    - name: cp /srv/salt/x /y\n",
        "x:\n  file.append:\n    - text: 'root_dir: /srv/pillar/own'\n",
        "x:\n  cmd.run:\n    - name: ls /srv/pillar\n",
        # An option that is set beside it, or only spoken of.
        "x:\n  file.append:\n    - text: 'root_dir: /x'\nb:\n  cmd.run:\n    - name: tar c /srv/salt\n",
        "x:\n  cmd.run:\n    # file_roots: elsewhere\n    - name: ls /srv/salt\n",
        "x:\n  cmd.run:\n    - name: grep file_roots /srv/salt\n",
        "x:\n  cmd.run:\n    - name: ls /srv/salt # file_roots: that\n",
    ],
)
def test_paths_into_the_served_tree_are_told(text: str) -> None:
    assert "absolute-path" in {f.rule for f in findings({SLS: text})}


@pytest.mark.parametrize(
    ("argument", "rule"),
    [
        ("source: salt:/t", "source-missing"),
        ("source: salt:t", "source-missing"),
        ("template: jinj", "unknown-renderer"),
        ("source: salt://t", ""),
        ("source: '{{ x }}:/t'", ""),
        ("template: false", ""),
        ("template: jinja", ""),
        ("template: '{{ engine }}'", ""),
    ],
)
def test_what_a_file_is_made_of(argument: str, rule: str) -> None:
    files = {SLS: f"x:\n  file.managed:\n    - {argument}\n", "salt/t": ""}
    assert [f.rule for f in findings(files)] == ([rule] if rule else [])


def test_user_of_a_command_is_called_runas() -> None:
    (found,) = findings({SLS: "x: {cmd.run: [{user: www}]}"})
    assert (found.rule, found.fix) == ("unknown-argument", "did you mean 'runas'?")


def test_what_is_not_reached_is_one_note() -> None:
    files: dict[str, str | bytes] = {f"salt/r{n}.sls": BAD for n in range(9)}
    (found,) = findings({TOP: TOP_A, SLS: "", **files})
    assert found.severity == "note"
    assert "salt/r0.sls, salt/r1.sls, salt/r2.sls and 6 more" in found.message


def test_data_is_no_state_because_a_name_that_only_rendering_tells_might_mean_it() -> None:
    def told(text: str, **more: str | bytes) -> list[str]:
        any_name = {TOP: "base: {'*': [a, '{{ grains.role }}']}", SLS: "", "salt/data.sls": text}
        return [f.rule for f in findings({**any_name, **more})]

    data = "mine_functions: {k3s_node: [path]}\n"
    assert told(data) == ["not-reached"]
    assert told("debian: {service: [nginx], gui: [gnome]}\n") == ["not-reached"]
    # Where it is named, where a state is meant, and where the branch has such a module.
    assert told(data, **{SLS: "include: [data]"}) == ["unknown-state-module"]
    assert told("x: {fiel.managed: []}") == ["unknown-state-module"]
    assert told(data, **{"salt/_states/k3s_node.py": "def path():\n    pass\n"}) == []


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (1, "bindpw: b1nd-Pa55-Zq81"),
        (1, "conn: 'Data Source=db1;User ID=svc;Password=svc-Pa55-Kw72;'"),
        (2, "passwords:\n- first-Passw0rd-Lm30"),
        (2, "env:\n- {name: APP_API_KEY, value: Qa1dmZ35QKc3sr7h}"),
        (1, "hook: https://hooks.slack.com/services/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"),
        (1, "url: https://api.example.com/v1?apiKey=182663ae3ccb20c310973a15d0fb45aa"),
        (1, "{% set dbpass = 'jinja-Secret-99x' %}"),
        (3, "x:\n  cmd.run:\n    - name: mysql -uroot -pR00t-Pw-12345 -e 'select 1'"),
        (4, "x:\n  cmd.run:\n    - env:\n      - PGPASSWORD: pg-Secret-12-abc"),
        (5, "x:\n  file.managed:\n    - contents: |\n        user = app\n        password = inline-Secret-7-xyz"),
        (1, "{% set smtpPass = 'jinja-Secret-99x' %}"),
        (4, "x:\n  file.managed:\n    - contents: |\n        smtpPass = in1ine-Pa55$x-Kw72\n"),
        (1, "dbPwd: b1nd-Pa55-Zq81"),
        (3, "x:\n  cmd.run:\n    - name: htpasswd -bc /etc/nginx/ht admin Gh7kLq29Zx"),
        (3, "x:\n  cmd.run:\n    - name: \"curl -H 'Authorization: Bearer 8f2kQz71LmXv09Tt' https://x.org\""),
        (1, "auth: 'curl -u app:curl-Pa55-Kw72 https://x.org'"),
    ],
)  # fmt: skip
def test_secret_is_found_in_running_text(line: int, text: str) -> None:
    assert (
        told({"salt/a.sls": text, "salt/x": ""}).count(f"salt/a.sls:{line} plaintext-secret") == 1
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.xml", 'publicKeyToken="31bf3856ad364e35"'),
        ("main.cf", "smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd9"),
        ("app.conf", "# password = example-Passw0rd-1x"),
        ("app.conf", "#   http://user:passw0rd-99x@node1:9200"),
        ("a.html", "<a href='http://user:passw0rd-99x@host.example.com/'>"),
        ("app.py", "password = os.environ['PASSWORD1']"),
        ("app.py", "token = fields[1] if fields else None"),
        ("app.conf", "password = {{ pillar['db9']['password'] }}"),
        ("app.conf", "password = changeme123"),
        ("a.sh", "htpasswd -b /etc/ht admin $PASS1word"),
        ("a.sh", "htpasswd -c /etc/ht admin9x"),
        ("a.sh", "curl -H 'Authorization: Bearer $TOKEN12345678'"),
        ("a.py", "headers = {'Authorization': 'Bearer ' + token12345678}"),
        ("a.sls", "#!yaml\ntoken: __vault__::secret-ops/global/chat/token>data>value"),
        ("a.sls", "#!yaml\nprivate_key: __vault__:cache:secret-ops/Wild1>key"),
        ("a.sls", "#!yaml\npassword: ref+vault://secret/Path9#/value1"),
        ("a.sls", "#!yaml\npassword: arn:aws:secretsmanager:eu-west-1:1:secret:Db9x"),
        ("a.sls", "#!yaml\nadmin_password: aaaaabbbbbccccc"),
        ("a.sls", "#!yaml\nbot_token: abcde-Vae2kooB_OhWohz1k"),
        ("a.sls", "#!yaml\nsecret_key: randomsecretkey"),
        ("a.sls", "#!yaml\nkey_secret: supersecret"),
        ("app.conf", "encompass = T0Y462R07B62Y71VL"),
        ("a.sls", "x: {test.nop: [{uwsgi_pass: helios1}]}"),
        ("a.sls", "#!yaml\nx: {test.nop: [{password: TEST_APP_PASSWORD}]}"),
        ("README.md", "password = example-Passw0rd-1x"),
    ],
)  # fmt: skip
def test_no_secret_is_called_one(name: str, text: str) -> None:
    assert not [f for f in findings({f"salt/{name}": text}) if f.rule == "plaintext-secret"]


@pytest.mark.parametrize(
    "value",
    [
        "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ9xK2",
        "q8Zr00000Kx7Lm2Vt9",
        "abcdeZ9kq7x2Lw81",
    ],
)
def test_a_secret_is_no_placeholder_for_some_signs_of_it(value: str) -> None:
    assert is_strong(value)


@pytest.mark.parametrize("value", ["aaaaabbbbbccccc", "00000000-0000-0000-0000-000000000000", "abcde-Vae2kooB_OhWohz1k"])  # fmt: skip
def test_placeholders(value: str) -> None:
    assert not is_value(value)


def test_lines_made_to_be_slow_take_no_long_time() -> None:
    text = f"htpasswd -{'b' * 1980}\n" * 100
    began = time.process_time()
    assert not list(secret_lines.find("a.conf", text, structured=False))
    assert time.process_time() - began < 1  # 0.1, and 3 where each b is tried


def test_export_of_a_secret_is_found() -> None:
    assert told({"salt/e.sh": 'export DB_PASSWORD="env-Secret-66abc"'}) == [
        "salt/e.sh:1 plaintext-secret"
    ]


def test_words_of_secrets() -> None:
    assert all(map(is_name, ["bindpw", "DB_PASSWORD", "apiKey", "passwords", "client-secret"]))
    assert not any(map(is_name, ["proxy_pass", "password_file", "compass", "max_tokens", "key"]))
    assert is_value("plain") and not is_strong("plainword")
    assert not any(map(is_value, ["vault://x", "$6$abc$def", "{{ x }}", "changeme", "/etc/x"]))


def test_braces_of_another_language_are_no_tight_variable() -> None:
    loose = "{%- do h.update({'tls': {'key': '/k'}}) %}\nx: '${lc:${domain:$h_from:}} {{ h }}'\n"
    source = Source("salt/a.sls", "states", "a.sls", 1, text=loose)
    tight = Source("salt/a.sls", "states", "a.sls", 1, text="x: {{h}}\n")
    assert "salt-lint-206" not in {f.rule for f in lint.check_file(source, TOOLS)}
    assert "salt-lint-206" in {f.rule for f in lint.check_file(tight, TOOLS)}


def result(*errors: str, notes: tuple[str, ...] = ()) -> Compiled:
    return Compiled(
        "m", "failed" if errors else "ok", errors=errors, notes=notes, states_matched=True
    )


def test_loop_of_requisites_stands_in_its_own_file() -> None:
    made = project({TOP: TOP_A, SLS: "\nb: {test.nop: []}"})
    text = "Recursive requisites were found: ({'SLS': 'a', 'ID': 'b'}, 'require', {'SLS': 'a', 'ID': 'b'})"
    assert (blame(text, made).file, blame(text, made).line) == (SLS, 2)


def test_names_with_slashes_have_a_place() -> None:
    top = "base:\n  '*': [d/a, d/gone]\n"
    made = project({TOP: top, "salt/d/a.sls": "\n\nx"})
    broken = blame("Rendering SLS 'base:d/a' failed: Jinja error; line 3", made)
    assert (broken.file, broken.line) == ("salt/d/a.sls", 3)
    gone = blame("No matching sls found for 'd.gone' in env 'base'", made)
    assert (gone.file, gone.line) == (TOP, 2)


def test_one_broken_sls_is_not_told_with_all_that_follows() -> None:
    made = project({TOP: TOP_A, SLS: "x: {pkg.installed: []}\n{{ gone() }}\n"})
    broken = "Rendering SLS 'base:a' failed: Jinja error; line 1"
    follows = (
        "Referenced state does not exist for requisite [require: (pkg: x)] in state [y] in SLS [a]"
    )
    assert len(list(compile_findings([result(broken, follows)], made))) == 1
    assert len(list(compile_findings([result(follows)], made))) == 1


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("z: {pkg.installed: []}", True),
        ("z: {pkg.installed: [{name: x}]}", False),
        ("'x{{ pillar.n }}': {pkg.installed: []}", False),
        ("{% from 'm.jinja' import m %}\n{{ m('x') }}\n", False),
        ("include: [b]", False),
        ("include: [c]", True),
        ("include: [nosuch]", False),
        ("#!py\ndef run():\n    return {}\n", False),
    ],
)
def test_what_a_broken_sls_cannot_have_declared_is_told(text: str, is_told: bool) -> None:
    made = project({TOP: TOP_A, SLS: text, "salt/b.sls": "x: {pkg.installed: []}",
                    "salt/c.sls": "y: {pkg.installed: []}"})  # fmt: skip
    broken = "Rendering SLS 'base:a' failed: Jinja error; line 1"
    wants = (
        "Referenced state does not exist for requisite [require: (pkg: x)] in state [y] in SLS [c]",
        "Cannot extend ID 'x' in 'base:c'. It is not part of the high state.\nThis is",
    )
    for error in wants:
        found = list(compile_findings([result(broken, error)], made))
        assert len(found) == 1 + is_told, found


GUARDED = [
    ("pillar/top.sls", "base:\n  '*':\n    - a\n{IF}    - gone\n{END}"),
    (TOP, "base:\n  '*':\n    - a\n{IF}    - gone\n{END}"),
    (SLS, "include:\n{IF}  - gone\n{END}  - b\n"),
    (SLS, "{IF}{% import 'gone.jinja' as m %}\n{END}"),
    (SLS, "x:\n  file.managed:\n    - name: /x\n{IF}    - source: salt://gone\n{END}"),
]


@pytest.mark.parametrize(("file", "text"), GUARDED)
@pytest.mark.parametrize(
    "asks",
    [
        "{% if salt['pillar.file_exists']('gone.sls') %}\n",
        "{% if salt.cp.list_states() and 'gone' in salt['cp.list_states']() %}\n",
        "{% if other %}\n{% elif salt.cp.hash_file('salt://gone') %}\n",
        "{% set there = salt.file.file_exists('/srv/x/gone.sls') %}\n{% if other and there %}\n{% if x %}\n{% endif %}\n",
    ],
)
def test_what_a_template_asks_for_first_may_be_missing(file: str, text: str, asks: str) -> None:
    files: dict[str, str | bytes] = {
        TOP: TOP_A, SLS: "", "salt/b.sls": "", "pillar/top.sls": "base: {}\n", "pillar/a.sls": ""
    }  # fmt: skip
    missing = {"top-missing-sls", "include-missing", "template-missing", "source-missing"}

    def told_of(begin: str, end: str) -> set[str]:
        made = {**files, file: text.replace("{IF}", begin).replace("{END}", end)}
        return {f.rule for f in findings(made) if f.rule in missing}

    assert not told_of(asks, "{% endif %}\n")
    # What stands in the other branch, after it, or under another question, is judged.
    assert told_of(f"{asks}{{% else %}}\n", "{% endif %}\n")
    assert told_of(f"{asks}{{% endif %}}\n", "")
    assert told_of("{% if grains.os == 'x' %}\n", "{% endif %}\n")


@pytest.mark.parametrize(
    ("question", "name", "may_be_missing"),
    [
        ("salt['pillar.file_exists']('roles/gone.sls')", "roles.gone", True),
        ("salt['pillar.file_exists'](path)", "gone", True),
        ("'gone' in salt['cp.list_states']()", "gone.client", True),
        ("salt['file.file_exists']('/var/cache/salt/minion/files/base/gone.sls')", "gone", True),
        # What a machine has is no matter of the tree.
        ("salt['file.file_exists']('/usr/bin/docker')", "docker", False),
        ("salt.file.file_exists('/etc/gone/init.sls')", "gone", False),
        ("salt.cp.hash_file('salt://own.sls')", "gone", False),
        ("grains.there == 'x'", "gone", False),
        # Where it is not there something else stands in for it.
        ("not salt['pillar.file_exists']('gone.sls')", "gone", False),
        ("'gone' not in salt['cp.list_states']()", "gone", False),
    ],
)  # fmt: skip
def test_only_what_is_asked_for_may_be_missing(
    question: str, name: str, may_be_missing: bool
) -> None:
    begin = "{% set there = salt.cp.list_states() %}\n"
    text = f"{begin}{{% if {question} %}}\ninclude: [{name}]\n{{% endif %}}\n"
    rules = {f.rule for f in findings({TOP: TOP_A, SLS: text})}
    assert ("include-missing" not in rules) == may_be_missing


@pytest.mark.parametrize("question", ["not salt.cp.hash_file('salt://gone')", "'gone' not in salt.cp.list_states()"])  # fmt: skip
def test_after_a_negated_question_the_rest_is_asked_for(question: str) -> None:
    text = f"{{% if {question} %}}\n{{% else %}}\ninclude: [gone]\n{{% endif %}}\n"
    assert "include-missing" not in {f.rule for f in findings({TOP: TOP_A, SLS: text})}


def test_many_questions_take_no_long_time() -> None:
    asks = "".join(f"{{% set a{n} = salt['pillar.file_exists']('x') %}}\n" for n in range(700))
    began = time.process_time()
    plain(asks + "{% if z %}\n{% endif %}\n" * 1000)
    assert time.process_time() - began < 3  # 0.1, and 8 where each is looked for by itself


LIKE_A_MESSAGE = "x ends with a colon and has no arguments; leave the colon out, or write []"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (2, "x:\n  pkg.installed: {name: y}\n"),
        (2, "x:\n  pkg.installed: y\n"),
        (2, "x:\n  pkg: installed\n"),
        (2, "x:\n  pkg.installed:\n"),
        (3, "x:\n  pkg.installed:\n    - name y\n"),
        (3, "x:\n  pkg.installed: []\n  require:\n    - file: x\n"),
        (4, "{% if z %}\nx:\n  pkg.installed: []\n  onlyif:\n    - 'true'\n{% endif %}\n"),
        (3, "x:\n  pkg.installed: []\n  order: 1\n"),
        (3, "x:\n  pkg.installed: []\n  require:\n"),
        (2, "x:\n  pkg.installed:\n    name: y\n{% if z %}\nb: {test.nop: []}\n{% endif %}\n"),
        # What an id is called decides nothing, not even where a template may bring in what is missing.
        (
            2,
            f"{LIKE_A_MESSAGE}:\n  pkg.installed: {{name: y}}\n{{% include 'b.jinja' ignore missing %}}\n",
        ),
    ],
)
def test_what_salt_says_is_not_formed_as_a_list(line: int, text: str) -> None:
    assert [(f.line, f.rule) for f in findings({SLS: text})] == [(line, "sls-shape")]


@pytest.mark.parametrize(
    "text",
    [
        "x:\n  pkg.installed: []\n",
        "x: pkg.installed\n",
        "x:\n  pkg:\n    - installed\n",
        "x:\n  pkg.installed:\n{{ arguments() }}\n",
        "x:\n  pkg.installed: {{ arguments }}\n",
        "x:\n  pkg.installed:\n{% if y %}\n    - name: y\n{% endif %}\n",
        "{% if y %}\nx:\n  pkg.installed:\n{% endif %}\n    - name: y\n",
        "x:\n  pkg.installed:\n    - name {{ y }}\n",
        "base: &b\n  pkg.installed: []\nx:\n  <<: *b\n",
        "{% macro m() %}\nx:\n  pkg.installed:\n{% endmacro %}\n",
    ],
)
def test_what_may_become_a_list_is_not_misshapen(text: str) -> None:
    assert "sls-shape" not in {f.rule for f in findings({SLS: text})}


def test_a_requisite_is_told_once() -> None:
    text = "x:\n  test.nop:\n    - require:\n      - pkg: gone\n      - pkg: made-{{ pillar.n }}\n"
    files = {TOP: TOP_A, SLS: text}
    unmet = (
        "Referenced state does not exist for requisite [require: (pkg: {})] in state [x] in SLS [a]"
    )
    compiled = compile_findings(
        [result(unmet.format("gone"), unmet.format("made-1"))], project(files)
    )
    found = told_once([*findings(files), *compiled])
    assert sorted((f.rule, f.line) for f in found) == [("compile", 1), ("requisite-missing", 4)]


def test_two_mistakes_of_one_place_are_both_told() -> None:
    text = "x: {fiel.managed: [], test.nop: [{require: [{pkg: gone}, lost]}]}\n"
    files = {TOP: TOP_A, SLS: text}
    unmet = "Referenced state does not exist for requisite [require: ({})] in state [x] in SLS [a]"
    errors = [unmet.format(what) for what in ("pkg: gone", "id: lost", "pkg: made-1")]
    compiled = compile_findings([result(*errors)], project(files))
    found = [f for f in told_once([*findings(files), *compiled]) if f.rule == "compile"]
    assert len(found) == 1 and "made-1" in found[0].message


def test_what_salt_says_of_a_state_of_the_wrong_shape_is_told_once() -> None:
    text = "x:\n  test.nop:\n    - require: b\n  order: 1\n{{ more }}\n"
    files = {TOP: TOP_A, SLS: text}
    unmet = "Referenced state does not exist for requisite [require: ({})] in state [{}] in SLS [a]"
    errors = (
        "State 'x' in SLS 'a' is not formed as a list",
        "The require statement in state 'x' in SLS 'a' needs to be formed as a list",
        unmet.format("id: b", "x"),
        unmet.format("pkg: gone", "made"),  # another mistake
    )
    assert "sls-shape" in {f.rule for f in findings(files)}
    compiled = compile_findings([result(*errors)], project(files))
    found = [f for f in told_once([*findings(files), *compiled]) if f.rule == "compile"]
    assert len(found) == 1 and "pkg: gone" in found[0].message


def test_a_requisite_of_a_loop_is_told_once() -> None:
    unmet = "Referenced state does not exist for requisite [require: (sls: {})] in state [{}] in SLS [a]"
    errors = [unmet.format("gone", f"x{n}") for n in range(9)] + [unmet.format("other", "x1")]
    found = list(compile_findings([result(*errors)], project({TOP: TOP_A, SLS: ""})))
    assert len(found) == 2
    assert "state [x0]" in found[0].message and "others" in found[0].message
    assert "others" not in found[1].message


def test_no_mapping_is_told_once() -> None:
    made = project({TOP: TOP_A, SLS: ""})
    errors = (
        "SLS a does not render to a dictionary",
        "Error when rendering state with contents: ['b']",
    )
    (found,) = compile_findings([result(*errors)], made)
    assert found.file == SLS and "contents" not in found.message


@pytest.mark.parametrize(
    ("what", "rule"),
    [
        ("read /etc/hostname", "reads-outside"),
        ("read /srv/data/x.yaml", "reads-outside"),
        ("read /etc/shadow", "escape-attempt"),
        ("read /root/.ssh/id_rsa", "escape-attempt"),
        ("write /tmp/x", "escape-attempt"),
        ("start a program", "escape-attempt"),
        ("look up a host name", "render-time-call"),
        ("open a network connection", "render-time-call"),
    ],
)
def test_what_people_do_in_good_faith_is_no_escape(what: str, rule: str) -> None:
    made = project({TOP: TOP_A, SLS: "x: {test.nop: []}"})
    note = f"code of the branch tried to {what}"
    found = [f.rule for f in compile_findings([result(notes=(note,))], made)]
    assert rule in found


def test_links_add_the_names_that_salt_sees() -> None:
    files = ["f/apache/init.sls", "f/apache/sub/x.sls", "salt/one.sls"]
    held = {
        "salt/apache": "../f/apache",
        "salt/two.sls": "one.sls",
        "salt/out": "../../etc",
        "salt/loop": ".",
    }
    found = links.names(files, held, ["salt"])
    assert found["salt/apache/init.sls"] == "f/apache/init.sls"
    assert found["salt/apache/sub/x.sls"] == "f/apache/sub/x.sls"
    assert found["salt/two.sls"] == "salt/one.sls"
    assert not any(name.startswith("salt/out") for name in found)
    assert len(found) < 1000


def test_links_lead_through_links() -> None:
    held = {"salt/a": "../b/c", "b": "d"}
    assert links.names(["d/c/x.sls"], held, ["salt"]) == {"salt/a/x.sls": "d/c/x.sls"}
