"""The generated top files, rendered by Salt itself: who gets what, and who gets nothing."""

from __future__ import annotations

import copy
import itertools
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import salt._logging
import salt.config
import salt.loader
import salt.pillar
import salt.state
import salt.template
import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from saltbranch.base.errors import ConfigError
from saltbranch.config import minions as targets
from saltbranch.config.minions import Matcher
from saltbranch.salt_master.top_file import BRANCH_TOP, render_top

SALTENVS = {"test": "develop", "stage": "stage", "prod": "master"}
GROUPS: Mapping[str, Sequence[Matcher]] = {
    "test": [Matcher("glob", "test*"), Matcher("list", "web1,web2")],
    "stage": [Matcher("pcre", r"stage\d+$")],
    "prod": [Matcher("nodegroup", "production")],
}
NODEGROUPS = {"production": "L@prod1,prod2 or N@more", "more": "prod9*", "webs": "E@web(1|2)"}
GRAINS = {
    "os": "Debian",
    "osfullname": "Debian GNU/Linux",
    "ipv4": ["127.0.0.1", "10.1.2.3"],
    "roles": ["web"],
}
SLS = ("common", "web", "db", "secret", "more.sub")
KINDS = pytest.mark.parametrize("kind", ["states", "pillar"])


@pytest.fixture(scope="module", autouse=True)
def _quiet_salt() -> Iterator[None]:
    """Salt sets the root logger to its lowest level at import, and keeps its lines for the exit."""
    salt._logging.shutdown_temp_handler()
    level = logging.root.level
    logging.root.setLevel(logging.CRITICAL)
    yield
    logging.root.setLevel(level)


class Site:
    """Three saltenvs, as a sync leaves them; what a minion gets is named ``saltenv:sls``."""

    def __init__(self, folder: Path, groups: Mapping[str, Sequence[Matcher]] = GROUPS) -> None:
        self.folder = folder
        self.generated = True
        self.master: dict[str, Any] = {"nodegroups": NODEGROUPS, "id": "test-master"}
        for saltenv, branch in SALTENVS.items():
            for kind, source in (("states", "salt"), ("pillar", "pillar")):
                tops = folder / "tops" / saltenv / kind
                tops.mkdir(parents=True)
                (tops / "top.sls").write_text(render_top(saltenv, groups))
                target = f"../../../checkouts/{branch}/{source}/top.sls"
                (tops / BRANCH_TOP).symlink_to(target)
                checkout = folder / "checkouts" / branch / source
                checkout.mkdir(parents=True)
                for sls in SLS:
                    content: dict[str, Any] = {f"{saltenv}:{sls}": {"test.nop": []}}
                    self.write(saltenv, sls.replace(".", "/"), content, kind)

    def write(self, saltenv: str, name: str, content: object, kind: str) -> None:
        """Put an sls file into a branch, from data or from text."""
        source = "salt" if kind == "states" else "pillar"
        path = self.folder / "checkouts" / SALTENVS[saltenv] / source / f"{name}.sls"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
        )

    def top(self, content: object, *saltenvs: str) -> None:
        """Give branches a top file of their own, the same for states and pillar."""
        for saltenv in saltenvs or SALTENVS:
            for kind in ("states", "pillar"):
                self.write(saltenv, "top", content, kind)

    def roots(self, kind: str) -> dict[str, list[str]]:
        """``file_roots`` or ``pillar_roots``."""
        source = "salt" if kind == "states" else "pillar"
        return {
            saltenv: [str(self.folder / "tops" / saltenv / kind)] * self.generated
            + [str(self.folder / "checkouts" / branch / source)]
            for saltenv, branch in SALTENVS.items()
        }

    def options(self) -> dict[str, Any]:
        """The master's options, with ``file_client: local`` as every master has."""
        return {
            **salt.config.master_config(None),
            "root_dir": str(self.folder),
            "cachedir": str(self.folder / "master"),
            "extension_modules": str(self.folder / "master" / "extmods"),
            "pillarenv_from_saltenv": True,
            "file_roots": self.roots("states"),
            "pillar_roots": self.roots("pillar"),
            **self.master,
        }

    def pillar(
        self, minion: str, saltenv: str | None = None, grains: Mapping[str, Any] = GRAINS
    ) -> dict[str, Any]:
        """The pillar as the master compiles it for an authenticated minion."""
        compiler = salt.pillar.Pillar(self.options(), dict(grains), minion, saltenv)
        pillar: dict[str, Any] = compiler.compile_pillar()
        return pillar

    def minion_options(
        self, minion: str, saltenv: str | None, grains: Mapping[str, Any] = GRAINS
    ) -> dict[str, Any]:
        """A minion's options, its files fetched from the roots directly."""
        return {
            **salt.config.minion_config(None),
            "id": minion,
            "saltenv": saltenv,
            "grains": {"id": minion, **grains},
            "file_client": "local",
            "root_dir": str(self.folder),
            "cachedir": str(self.folder / minion),
            "extension_modules": str(self.folder / minion / "extmods"),
            "file_roots": self.roots("states"),
            "pillar_roots": {},
            **{key: value for key, value in self.master.items() if key != "id"},
        }

    def chunks(
        self,
        minion: str,
        saltenv: str | None = None,
        grains: Mapping[str, Any] = GRAINS,
        pillar: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """The low chunks of the highstate as the minion compiles it."""
        options = self.minion_options(minion, saltenv, grains)
        with salt.state.HighState(options, initial_pillar=pillar or {}) as highstate:
            return [chunk["__id__"] for chunk in highstate.compile_low_chunks()]

    def apply(self, minion: str, saltenv: str | None = None) -> dict[str, Any]:
        """Run the highstate, which does nothing but return."""
        options = self.minion_options(minion, saltenv)
        with salt.state.HighState(options, initial_pillar={}) as highstate:
            result: dict[str, Any] = highstate.call_highstate()
            return result

    def roles(self, kind: str, minion: str, saltenv: str | None = None) -> list[str]:
        """What a minion gets; fails the test when its pillar has errors."""
        if kind == "states":
            return self.chunks(minion, saltenv)
        pillar = self.pillar(minion, saltenv)
        assert "_errors" not in pillar
        return list(pillar)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@KINDS
@pytest.mark.parametrize("section", ["base", "'{{ saltenv }}'", "own"])
def test_a_member_gets_the_roles_of_its_own_branch(site: Site, kind: str, section: str) -> None:
    for saltenv in SALTENVS:
        name = saltenv if section == "own" else section
        site.top(f"{name}:\n  '*':\n    - common\n    - web\n", saltenv)

    for pinned in (False, True):
        for minion, saltenv in (("test7", "test"), ("stage1", "stage"), ("prod2", "prod")):
            roles = site.roles(kind, minion, saltenv if pinned else None)
            assert roles == [f"{saltenv}:common", f"{saltenv}:web"]


@KINDS
@pytest.mark.parametrize(
    ("minion", "saltenv"),
    [
        ("test1", "test"),
        ("test", "test"),
        ("web2", "test"),
        ("stage12", "stage"),
        ("prod1", "prod"),
        ("prod93", "prod"),
        ("atest1", None),
        ("web3", None),
        ("web1,web2", None),
        ("stage", None),
        ("stage1x", None),
        ("prod3", None),
        ("*", None),
    ],
)
def test_only_members_get_anything(site: Site, kind: str, minion: str, saltenv: str | None) -> None:
    site.top({"base": {"*": ["common"]}})

    assert site.roles(kind, minion) == ([f"{saltenv}:common"] if saltenv else [])


WHITE_SPACE = [
    {"jinja_trim_blocks": True},
    {"jinja_lstrip_blocks": True},
    {"jinja_trim_blocks": True, "jinja_lstrip_blocks": True},
    *(
        {option: dict.fromkeys(keys, True)}
        for option in ("jinja_env", "jinja_sls_env")
        for number in range(1, 4)
        for keys in itertools.combinations(
            ("trim_blocks", "lstrip_blocks", "keep_trailing_newline"), number
        )
    ),
    {"jinja_env": {"TRIM_BLOCKS": True, "newline_sequence": "\r\n"}},
    {"jinja_env": {"trim_blocks": True, "newline_sequence": "\r"}},
]


@KINDS
@pytest.mark.parametrize("options", WHITE_SPACE, ids=json.dumps)
def test_white_space_options_of_jinja_change_nothing(
    site: Site, kind: str, options: dict[str, Any]
) -> None:
    """They are the master's for pillar and the minion's for states; here each has them."""
    site.master |= copy.deepcopy(options)  # Salt writes into it
    text = "#!jinja|yaml\n{% set names = ['common', 'web'] %}\nbase:\n  '*':\n"
    text += "    {% for name in names %}\n    - {{ name }}\n    {% endfor %}\n"
    site.top(text)
    for minion, saltenv in (("test7", "test"), ("stage1", "stage"), ("prod2", "prod")):
        assert site.roles(kind, minion) == [f"{saltenv}:common", f"{saltenv}:web"]
    assert site.roles(kind, "nobody") == []
    site.top("#!py\ndef run():\n    return {}\n", "test")
    if kind == "pillar":
        assert "must be jinja|yaml" in str(site.pillar("test7")["_errors"])


@KINDS
@pytest.mark.parametrize(("minion", "saltenv"), [("test1", "test"), ("prod1", "prod")])
def test_asking_for_another_saltenv_gives_nothing(
    site: Site, kind: str, minion: str, saltenv: str
) -> None:
    site.top({"base": {"*": ["common"]}})

    for asked in SALTENVS:
        assert site.roles(kind, minion, asked) == ([f"{asked}:common"] if asked == saltenv else [])


@KINDS
def test_sections_are_merged_in_order_and_those_of_others_ignored(site: Site, kind: str) -> None:
    site.top(
        {
            "prod": {"*": ["secret"]},
            "test": {"*": ["db"], "test*": ["more.sub", "web"]},
            "base": {"os:Debian": [{"match": "grain"}, "web"], "*": ["common", "web"]},
            "elsewhere": {"*": ["secret"]},
        },
        "test",
    )

    assert site.roles(kind, "test1") == ["test:web", "test:common", "test:db", "test:more.sub"]


@KINDS
def test_a_section_named_by_a_variable_may_stand_beside_base(site: Site, kind: str) -> None:
    site.top("base:\n  '*': [common]\n'{{ saltenv }}':\n  '*': [web]\n")

    assert site.roles(kind, "prod1") == ["prod:common", "prod:web"]


MATCHING = [
    ("web*", None),
    ("web?", "glob"),
    ("web* and G@os:Debian", None),
    ("web* and not G@os:RedHat", "compound"),
    ("( db* or E@web(1|2) ) and P@os:(Debian|Ubuntu)", "compound"),
    ("G@osfullname:Debian?GNU/Linux", None),
    ("osfullname:Debian GNU/Linux", "grain"),
    ("roles:web", "grain"),
    ("osfullname:^Debian (GNU|BSD)/.*$", "grain_pcre"),
    ("web(1|2)", "pcre"),
    ("db1,web1", "list"),
    ("webs", "nodegroup"),
    ("N@webs", None),
    ("10.0.0.0/8", "ipcidr"),
    ("10.1.2.3", "ipcidr"),
]
BY_PILLAR = [
    ("tier:front", "pillar"),
    ("site:Ber lin*(east)", "pillar"),
    ("tier:fr(o|u)nt", "pillar_pcre"),
    ("site:Ber lin (east)", "pillar_exact"),
    ("I@tier:fr* and J@site:Ber.*", None),
]
MISSING = [
    ("db*", None),
    ("web* and G@os:RedHat", None),
    ("G@osfullname:Debian GNU/Linux", None),  # Salt splits it at the blank
    ("osfullname:Debian", "grain"),
    ("os:^Red", "grain_pcre"),
    ("(web)$", "pcre"),
    ("db1,db2", "list"),
    ("production", "nodegroup"),
    ("192.168.0.0/16", "ipcidr"),
    ("tier:back", "pillar"),
]


def _top_of(section: str, rows: Sequence[tuple[str, str | None]]) -> dict[str, Any]:
    return {
        section: {
            target: [*([{"match": kind}] if kind else []), f"r{index}"]
            for index, (target, kind) in enumerate(rows)
        }
    }


@KINDS
@pytest.mark.parametrize("section", ["base", "test"])
@pytest.mark.parametrize("generated", [True, False])
def test_every_target_type_works_as_in_salt_itself(
    site: Site, kind: str, section: str, generated: bool
) -> None:
    """Without the generated top, the plain one: what is expected here is what Salt does there."""
    pillar = {"tier": "front", "site": "Ber lin (east)"}
    good = MATCHING + (BY_PILLAR if kind == "states" else [])
    rows = [*good, *MISSING]
    for index in range(len(rows)):
        site.write("test", f"r{index}", {f"test:r{index}": {"test.nop": []}}, kind)
    site.top(_top_of(section if generated else "test", rows), "test")
    site.generated = generated

    got = (
        site.chunks("web1", "test", pillar=pillar)
        if kind == "states"
        else list(site.pillar("web1", "test"))
    )

    assert [rows[int(role.removeprefix("test:r"))] for role in got] == good


@KINDS
@pytest.mark.parametrize("shebang", ["", "#!jinja|yaml\n", "#!jinja | yaml\n"])
def test_jinja_in_a_branch_top_sees_grains_and_files(site: Site, kind: str, shebang: str) -> None:
    site.write("test", "names", "{% set wanted = 'db' %}", kind)
    site.top(
        shebang
        + "{% from 'names.sls' import wanted %}\n{% set here = saltenv %}\n"
        + "{{ here }}:\n  '{{ grains['id'] }}':\n"
        + "    {% if grains['os'] == 'Debian' %}\n    - common\n    {% else %}\n    - secret\n"
        + "    {% endif %}\n    - {{ wanted }}\n"
        + "    {% if salt['grains.get']('roles') == ['web'] %}\n    - web\n    {% endif %}\n",
        "test",
    )
    grains = {**GRAINS, "id": "test1"}

    got = site.chunks("test1") if kind == "states" else list(site.pillar("test1", grains=grains))

    assert got == ["test:common", "test:db", "test:web"]


@KINDS
def test_a_top_may_include_other_top_files(site: Site, kind: str) -> None:
    site.write("test", "more/init", "include: [top, more.last]\nbase:\n  '*': [web]\n", kind)
    site.write("test", "more/last", "base:\n  'test*': [db]\nprod:\n  '*': [secret]\n", kind)
    site.top("include: [more]\nbase:\n  '*': [common]\n", "test")

    assert site.roles(kind, "test1") == ["test:common", "test:web", "test:db"]


@KINDS
def test_order_and_ignore_missing_are_kept(site: Site, kind: str) -> None:
    site.top({"base": {"*": [{"order": 5}, "web"], "test*": [{"order": 1}, "db"]}}, "test")
    by_order = kind == "pillar"  # states have no such option

    assert site.roles(kind, "test1") == ["test:db", "test:web"][:: 1 if by_order else -1]

    site.top({"base": {"*": [{"ignore_missing": True}, "web", "nowhere"]}}, "test")
    if kind == "pillar":
        assert site.roles(kind, "test1") == ["test:web"]


@KINDS
def test_a_branch_without_a_top_file_gives_nothing_and_no_error(site: Site, kind: str) -> None:
    site.top({"base": {"*": ["common"]}}, "prod")

    assert site.roles(kind, "test1") == []
    assert site.roles(kind, "test1", "test") == []
    assert site.roles(kind, "prod1") == ["prod:common"]


@pytest.mark.parametrize(
    "top",
    ["", "\n", "# nothing yet\n", "{}\n", "prod:\n  '*': [secret]\n", "base:\n  '*': {}\n"],
)
def test_a_top_file_without_roles_gives_nothing_and_no_error(site: Site, top: str) -> None:
    site.top(top, "test")

    assert site.roles("pillar", "test1") == []
    assert site.roles("states", "test1") == []


BROKEN = {
    "a syntax error": "base:\n  '*': [common]\n{% if %}\n",
    "an undefined name": "base:\n  '*': [common]\n  '{{ nothing }}': [web]\n",
    "an expression that fails": "base:\n  '*': [common]\n{{ 1 // 0 }}\n",
    "a missing include": "{% include 'nowhere.sls' %}\nbase:\n  '*': [common]\n",
    "a missing top include": "include: [nowhere]\nbase:\n  '*': [common]\n",
    "no YAML": "base:\n  '*': [common\n",
    "a key twice": "base:\n  '*': [common]\nbase:\n  '*': [web]\n",
    "a list": "- common\n",
    "a text": "common\n",
    "a section without targets": "base:\ntest:\n  '*': [common]\n",
    "a section that is a list": "base: [common]\n",
    "a target without a list": "base:\n  '*': common\n",
    "a target with nothing": "base:\n  '*':\n",
    "an item that is a list": "base:\n  '*': [[common]]\n",
    "another renderer, valid as YAML": "#!py\ndef run():\n  return dict(base=TOP)\n",
    "two match types": "base:\n  'web*': [{match: pcre}, common]\ntest:\n  'web*': [web]\n",
}


@pytest.mark.parametrize("top", BROKEN.values(), ids=BROKEN)
def test_a_broken_branch_top_is_an_error_for_its_members_alone(site: Site, top: str) -> None:
    site.top({"base": {"*": ["common"]}})
    site.top(top, "test")

    for saltenv in (None, "test"):
        pillar = site.pillar("test1", saltenv)
        assert list(pillar) == ["_errors"]
        assert "Rendering Primary Top file failed" in pillar["_errors"][0]
    (run,) = site.apply("test1").values()
    assert run["result"] is False
    assert site.roles("pillar", "prod1") == ["prod:common"]


def test_states_of_another_saltenv_work_beside_a_broken_branch_top(site: Site) -> None:
    site.top({"base": {"*": ["common"]}})
    site.top("{% if %}", "test")

    assert site.chunks("prod1") == ["prod:common"]


TRICKS = {
    "an item that names a saltenv": [{"prod": "secret"}],
    "an item with a match beside it": [{"match": "glob", "prod": "secret"}],
    "an item inside an item": [{"test": {"prod": "secret"}}, {"base": {"prod": "secret"}}],
    "a subfilter": [{"subfilter": {"*": [{"prod": "secret"}]}, "x": "y"}],
}


@KINDS
@pytest.mark.parametrize("items", TRICKS.values(), ids=TRICKS)
def test_no_item_reaches_another_saltenv(site: Site, kind: str, items: list[Any]) -> None:
    site.top({"base": {"test*": ["common", *items, {"test": "web"}]}}, "test")

    assert site.roles(kind, "test1") == ["test:common", "test:web"]


def test_without_the_generated_top_an_item_reaches_another_saltenv(site: Site) -> None:
    site.generated = False
    site.top({"test": {"test*": ["common", {"prod": "secret"}]}}, "test")

    assert site.chunks("test1", "test") == ["test:common", "prod:secret"]


@KINDS
@pytest.mark.parametrize("strategy", ["merge", "same", "merge_all"])
def test_no_merging_strategy_mixes_saltenvs(site: Site, kind: str, strategy: str) -> None:
    site.master |= {"top_file_merging_strategy": strategy, "default_top": "prod"}
    site.top({name: {"*": ["common", "secret"]} for name in ("base", *SALTENVS)})

    for minion, saltenv in (("test1", "test"), ("prod1", "prod")):
        assert site.roles(kind, minion) == [f"{saltenv}:common", f"{saltenv}:secret"]
    assert site.roles(kind, "stranger") == []


@KINDS
def test_without_the_generated_top_a_saltenv_section_leaks(site: Site, kind: str) -> None:
    """What the other tests would see if the generated top did nothing."""
    site.generated = False
    site.top("'{{ saltenv }}':\n  '*': [secret]\n")

    assert sorted(site.roles(kind, "test1")) == ["prod:secret", "stage:secret", "test:secret"]
    assert site.roles(kind, "test1", "prod") == ["prod:secret"]


def test_the_id_is_the_one_the_master_authenticated(site: Site) -> None:
    """Neither the grain the minion sent nor the id of the master, which is in its own options."""
    site.top({"base": {"*": ["common"]}})
    lie = {"id": "prod1", "roles": ["production"], "host": "prod1"}

    assert list(site.pillar("test1", grains=lie)) == ["test:common"]
    assert site.pillar("test1", "prod", grains=lie) == {}
    assert site.pillar("stranger", grains={"id": "test1"}) == {}


def test_a_minion_that_two_saltenvs_claim_gets_an_error_that_names_both(tmp_path: Path) -> None:
    groups = {**GROUPS, "prod": [Matcher("glob", "*1")], "stage": []}
    site = Site(tmp_path, groups)
    site.top({"base": {"*": ["common"]}})

    for saltenv in (None, "test", "prod"):
        pillar = site.pillar("test1", saltenv)
        assert list(pillar) == ["_errors"]
        assert "minion test1 is claimed by more than one saltenv: test, prod" in str(pillar)
        assert site.chunks("test1", saltenv) == []
    assert site.roles("pillar", "test2") == ["test:common"]


@pytest.mark.parametrize(
    ("definition", "word"),
    [
        ("G@role:prod", "G@role:prod"),
        ("prod1 or G|@role|prod", "G|@role|prod"),
        (["L@prod1", "or", "S@10.0.0.0/8"], "S@10.0.0.0/8"),
        ("N@inner", "P@role:.*"),
    ],
)
def test_a_nodegroup_that_goes_by_grains_lets_nobody_in(
    site: Site, definition: object, word: str
) -> None:
    """It was refused when the configuration was read; the master's may have changed since."""
    inner = ["prod1", "or", "P@role:.*"]
    site.master["nodegroups"] = {"production": definition, "inner": inner}
    site.top({"base": {"*": ["secret"]}})
    grains = {**GRAINS, "role": "prod"}

    for minion in ("prod1", "liar"):
        pillar = site.pillar(minion, "prod", grains)
        assert list(pillar) == ["_errors"]
        assert f"does not go by minion id alone: {word}" in pillar["_errors"][0]
    assert site.pillar("stranger", "prod", {}) == {}


def test_an_unknown_nodegroup_has_no_members(site: Site) -> None:
    site.master["nodegroups"] = {}
    site.top({"base": {"*": ["common"]}})

    assert site.roles("pillar", "prod1") == []
    assert site.roles("pillar", "test1") == ["test:common"]


class Renderer:
    """Salt's renderers, the functions loaded once, to render generated tops for many minions."""

    def __init__(self, folder: Path) -> None:
        self.site = Site(folder)
        self.site.top({"base": {"*": ["common"]}})
        self.functions = salt.loader.minion_mods(self.site.options())

    def render(
        self,
        groups: Mapping[str, Sequence[Matcher]],
        minion: str,
        saltenv: str,
        functions: Any = None,
    ) -> Any:
        """As ``Pillar.get_tops`` does: the functions of the master, the id of the minion."""
        top = self.site.folder / "top.sls"
        top.write_text(render_top(saltenv, groups))
        options = {**self.site.options(), "id": minion, "grains": dict(GRAINS)}
        options["pillar_roots"] = {saltenv: options["pillar_roots"]["test"]}
        return salt.template.compile_template(
            str(top),
            salt.loader.render(options, functions or self.functions),
            "jinja|yaml",
            None,
            None,
            saltenv=saltenv,
            _pillar_rend=True,
        )


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    return Renderer(tmp_path_factory.mktemp("renderer"))


HOSTILE = [
    "'", '"', "\\", "\\'", "' or true or '", "')) or (('", "{{ 7 }}", "{% raw %}", "%}{{ 7 }}{%",
    "#}", "{#", "a\nb", "\n", "\r\n", "\t", "a\u2028b", "\x85", "né", "🧂", "\x00", "\\x41",
    "\\U0001f9c2", "-%}", "##", "% set own = 'prod'",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("kind", targets.KINDS)
def test_no_text_gets_out_of_its_quotes(renderer: Renderer, kind: targets.Kind, text: str) -> None:
    functions = None
    if kind == "nodegroup":
        renderer.site.master["nodegroups"] = {text: [f"L@{text}"]}
        functions = salt.loader.minion_mods(renderer.site.options())
    target = {
        "list": f"other,{text}",
        "pcre": re.escape(text) + "$",
        "glob": "".join(f"[{character}]" for character in text),
        "nodegroup": text,
    }[kind]
    groups = {text: [Matcher(kind, target)], "stage": [Matcher("list", "nobody")]}
    # A nodegroup's name that holds a line end is none to salt.utils.minions.parse_target.
    known = kind != "nodegroup" or "\n" not in text

    got = renderer.render(groups, text, text, functions)

    assert got == ({text: {"*": ["common"]}} if known else {})
    assert renderer.render(groups, "stranger", text, functions) == {}


SLOW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PIECES = ["web", "db", "1", "-", ".", "é", "'", '"', "{{", "%}", "\\", "(", " "]
IDS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join)


def _texts(*pieces: str) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from([*PIECES, *pieces]), min_size=1, max_size=4).map("".join)


def _compiles(pattern: str) -> bool:
    try:
        targets.parse_minions({"pcre": pattern}, "minions")
    except ConfigError:
        return False
    return True


MATCHERS = st.one_of(
    _texts("*", "?", "[a-z]", "[!w]").map(lambda text: Matcher("glob", text)),
    st.lists(IDS, min_size=1, max_size=3).map(lambda ids: Matcher("list", ",".join(ids))),
    _texts(".*", "\\d", "(1|2)", "^", "$", "+").filter(_compiles).map(lambda t: Matcher("pcre", t)),
)


@SLOW
@given(
    minion=IDS,
    test=st.lists(MATCHERS, max_size=3),
    prod=st.lists(MATCHERS, max_size=2),
)
@example(minion="web1", test=[Matcher("list", "web1")], prod=[Matcher("glob", "*")])
def test_a_minion_has_roles_if_and_only_if_it_is_a_member(
    renderer: Renderer, minion: str, test: list[Matcher], prod: list[Matcher]
) -> None:
    renderer.site.top({"base": {"*": ["common"]}})
    claims = [name for name, _ in targets.claimed_by(minion, {"test": test, "prod": prod})]
    groups = {"test": test, "prod": prod}

    if claims == ["test", "prod"]:
        with pytest.raises(Exception, match="claimed by more than one saltenv: test, prod"):
            renderer.render(groups, minion, "test")
    else:
        expected = {"test": {"*": ["common"]}} if claims == ["test"] else {}
        assert renderer.render(groups, minion, "test") == expected


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1)
ITEMS = st.lists(st.one_of(NAMES, st.builds(lambda n: {"order": n}, st.integers())), min_size=1)


@SLOW
@given(st.dictionaries(NAMES, ITEMS, min_size=1))
def test_targets_and_names_come_out_as_they_went_in(
    renderer: Renderer, section: dict[str, list[Any]]
) -> None:
    text = yaml.safe_dump({"base": section}, allow_unicode=True, sort_keys=False)
    assume("endraw" not in text)
    renderer.site.top("{% raw %}" + text + "{% endraw %}")

    rendered = renderer.render({"test": [Matcher("glob", "*")]}, "web1", "test")

    assert json.dumps(rendered) == json.dumps({"test": section})
