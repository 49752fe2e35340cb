"""explain, against what Salt itself gives the same minion through the same top files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import salt.cache
import salt.config
import salt.pillar
import salt.state
import yaml

from saltbranch.actions.explain import Explanation
from saltbranch.actions.explain import explain as explain_action
from saltbranch.base.errors import ConfigError, UsageError
from saltbranch.salt_master.top_view import Entry, TopView
from tests.support.remote import Remote
from tests.support.site import Site, build_template

PROJECT = Path(__file__).parents[2]
SECRET = "hunter2"
NODEGROUPS = {
    "webs": "E@.*web.* or L@test1",
    "debians": "G@os:Debian",
    "both": "N@webs and N@debians",
}
GRAINS: dict[str, Any] = {
    "os": "Debian",
    "osfullname": "Debian GNU/Linux",
    "ipv4": ["127.0.0.1", "10.1.2.3"],
    "roles": ["web"],
    "fqdn": "test1.example.com",
}


class Place:
    """A site, its master's cache, and Salt's own answers."""

    def __init__(self, site: Site) -> None:
        self.site = site
        options = {
            "root_dir": str(site.folder),
            "pki_dir": "/pki",
            "cachedir": "/cache",
            "default_include": "master.d/*.conf",
            "nodegroups": NODEGROUPS,
            "user": "root",
        }
        site.salt_config.write_text(yaml.safe_dump(options))
        keys = site.folder / "pki" / "minions"
        keys.mkdir(parents=True)
        for minion in ("test1", "stage1", "prod1"):
            (keys / minion).write_text("key")

    @property
    def master(self) -> dict[str, Any]:
        """The master's options, read anew."""
        return dict(salt.config.master_config(str(self.site.salt_config)))

    def tops(self, states: object, pillar: object | None = None, branch: str = "develop") -> None:
        """Give a branch top files of its own, from data or text, and serve them."""
        texts = [
            t if isinstance(t, str) else yaml.safe_dump(t, sort_keys=False)
            for t in (states, pillar)
        ]
        self.site.remote.commit(
            branch, {"salt/top.sls": texts[0], "pillar/top.sls": texts[1] if pillar else texts[0]}
        )
        assert self.site.sync_here().exit_code == 0

    def remember(
        self, minion: str, grains: Mapping[str, Any], pillar: Mapping[str, Any] | None = None
    ) -> None:
        """Put a minion's data into the master's cache, as the master does."""
        cache = salt.cache.factory(self.master)
        cache.store("grains", minion, {**grains, "id": minion})
        if pillar is not None:
            cache.store("pillar", minion, dict(pillar))

    def explain(self, minion: str, **options: Any) -> Explanation:
        """The verb, here."""
        return explain_action(str(self.site.config), minion, **options)

    def real(
        self, minion: str, grains: Mapping[str, Any], pillar: Mapping[str, Any] | None = None
    ) -> tuple[list[str], list[str]]:
        """The sls files that Salt matches for states and for pillar."""
        master, grains = self.master, {**grains, "id": minion}
        options = {
            **salt.config.minion_config(None),
            "file_roots": master["file_roots"],
            "nodegroups": NODEGROUPS,
            "id": minion,
            "grains": grains,
            "pillar": dict(pillar or {}),
            "file_client": "local",
            "cachedir": str(self.site.folder / "minion"),
            "extension_modules": str(self.site.folder / "minion" / "extmods"),
        }
        with salt.state.HighState(options, initial_pillar=dict(pillar or {})) as highstate:
            states = highstate.top_matches(highstate.get_top())
        compiler = salt.pillar.Pillar(master, grains, minion, None)
        top, errors = compiler.get_top()
        assert not errors
        matched = compiler.top_matches(top)
        return [s for m in states.values() for s in m], [s for m in matched.values() for s in m]


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Remote:
    return build_template(tmp_path_factory.mktemp("template") / "remote.git")


@pytest.fixture
def place(_template: Remote, tmp_path: Path) -> Place:
    """A machine that serves three branches."""
    folder = tmp_path / "m"
    folder.mkdir()
    made = Place(Site(folder, _template.copy(tmp_path / "remote.git")))
    made.site.sync_well()
    return made


def view(top: TopView | None) -> TopView:
    assert top is not None
    return top


def both(place: Place, minion: str, grains: Mapping[str, Any], **options: Any) -> None:
    """What explain says is sure, and is what Salt does."""
    place.remember(minion, grains, options.get("pillar"))
    explained = place.explain(minion)
    states, pillar = view(explained.states), view(explained.pillar)
    real_states, real_pillar = place.real(minion, grains, options.get("pillar"))

    assert states.is_sure, states
    assert pillar.is_sure, pillar
    assert list(states.sls) == list(dict.fromkeys(real_states))
    assert list(pillar.sls) == real_pillar


TARGETS = [
    ("*", None),
    ("test*", None),
    ("test?", "glob"),
    ("prod*", "glob"),
    ("test(1|2)", "pcre"),
    ("est1", "pcre"),
    ("db1,test1", "list"),
    ("db1,test12", "list"),
    ("webs", "nodegroup"),
    ("both", "nodegroup"),
    ("debians", "nodegroup"),
    ("nowhere", "nodegroup"),
    ("N@webs and not N@debians", None),
    ("os:Debian", "grain"),
    ("os:Red*", "grain"),
    ("osfullname:Debian GNU/Linux", "grain"),
    ("osfullname:^Debian (GNU|BSD)/.*$", "grain_pcre"),
    ("roles:web", "grain"),
    ("10.0.0.0/8", "ipcidr"),
    ("192.168.0.1", "ipcidr"),
    ("test* and G@os:Debian", None),
    ("test* and not G@os:Debian", "compound"),
    ("( db* or E@test(1|2) ) and P@os:(Debian|Ubuntu)", "compound"),
    ("S@10.0.0.0/8 or db*", None),
    ("not test1", None),
    ("L@test1,test2 and", None),
    ("tier:front", "pillar"),
    ("tier:fr(o|u)nt", "pillar_pcre"),
    ("tier:front", "pillar_exact"),
    ("I@tier:fr* and G@os:Debian", None),
]


def top_of(section: str = "base") -> dict[str, Any]:
    """A top file with all kinds of targets; each gives an sls file of its own."""
    rows: dict[str, list[Any]] = {}
    for number, (target, kind) in enumerate(TARGETS):
        rows.setdefault(target, [*([{"match": kind}] if kind else []), f"r{number}"])
    return {section: rows}


@pytest.mark.parametrize("minion", ["test1", "test2", "testweb"])
@pytest.mark.parametrize("grains", [GRAINS, {"os": "RedHat", "ipv4": ["192.168.0.1"]}])
def test_every_kind_of_target_is_matched_as_salt_does(
    place: Place, minion: str, grains: Mapping[str, Any]
) -> None:
    place.tops(top_of())

    both(place, minion, grains, pillar={"tier": "front"})


def test_of_a_pillar_by_pillar_salt_itself_gives_nothing(place: Place) -> None:
    place.tops({"base": {"tier:front": [{"match": "pillar"}, "a"], "*": ["b"]}})
    place.remember("test1", GRAINS, {"tier": "front"})

    explained = place.explain("test1")

    assert view(explained.states).sls == ("a", "b")
    assert view(explained.pillar).sls == ("b",)


JINJA = {
    "grains": "base:\n  '*':\n    - {{ grains['os'] | lower }}\n    - {{ grains.get('no', 'x') }}\n",
    "functions": "base:\n  '*': [{{ salt['grains.get']('roles')[0] }}, {{ salt.grains.get('os') }}]\n",
    "filter_by": "{% set m = salt['grains.filter_by']({'Debian': {'a': 'deb'}}, grain='os') %}\n"
    "base:\n  '*': [{{ m.a }}]\n",
    "matches": "base:\n  '*':\n    - all\n{% if salt['match.compound']('test1 and G@os:Debian') %}\n"
    "    - one\n{% endif %}\n{% if salt.match.glob('prod*') %}\n    - two\n{% endif %}\n",
    "match an id": "base:\n  '*': [{{ salt['match.glob']('test*', opts['id']) | string }}s]\n",
    "saltenv": "{{ saltenv }}:\n  '*': [{{ opts.id }}]\nprod:\n  '*': [secret]\n",
    "order": "base:\n  'test*': [{order: 5}, late]\n  '*': [{order: 2}, early]\n",
    "set": "{% set names = ['a', 'b'] | union(['c']) %}\nbase:\n  '*': {{ names | tojson }}\n",
    "import": "{% from 'names.sls' import wanted with context %}\nbase:\n  '*': [{{ wanted }}]\n",
    "raw": "#!jinja|yaml\n{% raw %}\nbase:\n  '*': ['{{ a }}']\n{% endraw %}\n",
    "nothing": "{% if grains.os == 'RedHat' %}\nbase:\n  '*': [a]\n{% endif %}\n",
}


@pytest.mark.parametrize("top", JINJA.values(), ids=JINJA)
def test_jinja_gives_what_it_gives_in_salt(place: Place, top: str) -> None:
    names = "{% set wanted = grains['os'] ~ saltenv %}"
    place.site.remote.commit("develop", {"salt/names.sls": names, "pillar/names.sls": names})
    place.tops(top)

    both(place, "test1", GRAINS)


@pytest.mark.parametrize("saltenv", ["test", "stage", "prod"])
def test_the_sample_repository_is_explained_as_salt_does(place: Place, saltenv: str) -> None:
    files = {
        str(path.relative_to(PROJECT)): path.read_bytes()
        for folder in ("salt", "pillar")
        for path in (PROJECT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    for branch in ("master", "stage", "develop"):
        place.site.remote.commit(branch, files)
    assert place.site.sync_here().exit_code == 0

    for roles in (["web"], ["db"], ["salt-master"], []):
        both(place, f"{saltenv}1", {**GRAINS, "roles": roles})


def test_without_grains_what_goes_by_id_is_sure_and_the_rest_is_said_to_depend(
    place: Place,
) -> None:
    place.tops(top_of())

    top = view(place.explain("test1").states)

    unsure = {entry.target for entry in top.entries if entry.matches is None}
    assert unsure == {
        target
        for target, kind in dict(TARGETS).items()
        if kind in ("grain", "grain_pcre", "ipcidr", "pillar", "pillar_pcre", "pillar_exact")
        or any(word in target for word in ("@os", "S@", "I@", "debians", "both"))
    }
    assert "os:Debian" in unsure and "test*" not in unsure
    by_grain = next(entry for entry in top.entries if entry.target == "os:Debian")
    assert by_grain.why == "depends on grains, not known here"
    assert not top.is_sure
    real, _ = place.real("test1", {})
    assert set(top.sls) <= set(real)


def test_grains_of_a_file_are_used_as_salt_writes_them(place: Place, tmp_path: Path) -> None:
    place.tops({"base": {"os:Debian": [{"match": "grain"}, "deb"]}})
    place.remember("test1", {"os": "RedHat"})
    plain, printed = tmp_path / "plain.yaml", tmp_path / "printed.yaml"
    plain.write_text("os: Debian\n")
    printed.write_text(yaml.safe_dump({"test1": GRAINS}))

    assert view(place.explain("test1").states).sls == ()
    for path in (plain, printed):
        explained = place.explain("test1", grains=str(path))
        assert view(explained.states).sls == ("deb",)
        assert explained.grains_from == str(path)
    plain.write_text("- no\n")
    with pytest.raises(ConfigError, match="no mapping of grains"):
        place.explain("test1", grains=str(plain))


REFUSED = {
    "a command": ("{{ salt['cmd.run']('touch MARK') }}\n", "salt['cmd.run']"),
    "a command, dotted": ("{{ salt.cmd.run('touch MARK') }}\n", "salt['cmd.run']"),
    "grains that are set": ("{{ salt['grains.setval']('a', 'b') }}\n", "salt['grains.setval']"),
    "a file": ("{{ salt['file.touch']('MARK') }}\n", "salt['file.touch']"),
    "a method": ("{{ '' | method_call('__class__') }}\n", "method_call"),
    "a request": ("{{ 'http://127.0.0.1:1/' | http_query }}\n", "http_query"),
    "a hash of a file": ("{{ '/etc/passwd' | file_hashsum }}\n", "file_hashsum"),
    "options": ("{{ opts['pki_dir'] }}\n", "opts['pki_dir']"),
    "options, dotted": ("{{ opts.get('user') }}\n", "opts['user']"),
    "a file outside": ("{% include 'OUTSIDE' %}\n", "outside its saltenv"),
    "a listing": ("{{ '.' | list_files }}\n", "list_files"),
    "ifelse": ("{{ ifelse('*', 'a') }}\n", "ifelse"),
    "a test for functions": ("{{ 'cmd.run' in salt }}\n", "asks whether salt has"),
}

# What a template wrote down may be a secret in a pillar's.
OF_PILLAR = {
    **{f"salt['{name}']": "calls a function, which" for name in ("cmd.run", "grains.setval", "file.touch")},
    "asks whether salt has": "asks which functions there are",
}  # fmt: skip


@pytest.mark.parametrize(("code", "told"), REFUSED.values(), ids=REFUSED)
def test_a_top_file_that_asks_for_more_is_not_evaluated(
    place: Place, tmp_path: Path, code: str, told: str
) -> None:
    mark, outside = tmp_path / "mark", tmp_path / "outside"
    outside.write_text("x: y\n")
    code = code.replace("MARK", str(mark)).replace("OUTSIDE", str(outside))
    place.tops(f"base:\n  '*': [common]\n{code}")
    place.remember("test1", GRAINS)

    explained = place.explain("test1")

    for top in (explained.states, explained.pillar):
        problem = view(top).problem
        assert problem is not None
        assert (told if top is explained.states else OF_PILLAR.get(told, told)) in problem
        assert "cannot be evaluated here" in problem
        assert view(top).entries == ()
    assert explained.exit_code == 0
    assert not mark.exists()


ESCAPES = [
    "{{ ().__class__.__base__.__subclasses__() }}",
    "{{ salt['match.glob'].__globals__ }}",
    "{{ salt['match.glob'].loader['cmd.run']('id') }}",
    "{{ salt._functions }}",
    "{{ salt.wrapped._functions }}",
    "{{ opts._names }}",
    "{{ grains.__init__.__globals__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.system('id') }}",
    "{% for a in range(10 ** 9) %}{% endfor %}",
]


@pytest.mark.parametrize("code", ESCAPES)
def test_no_way_out_of_the_sandbox_is_open(place: Place, code: str) -> None:
    place.tops(f"base:\n  '*': [common]\n  'x{code}': [b]\n")
    place.remember("test1", GRAINS)

    explained = place.explain("test1")

    for top in (explained.states, explained.pillar):
        assert view(top).problem is not None
        assert view(top).entries == ()


def test_modules_in_the_current_folder_are_not_loaded(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("json", "yaml", "salt", "jinja2", "resource"):
        (clone / f"{name}.py").write_text(f"open({str(clone / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(clone)

    assert view(place.explain("test1").states).sls == ("app",)
    assert not (clone / "ran").exists()


def test_no_pillar_value_is_shown(place: Place) -> None:
    place.tops(
        {"base": {f"password:{SECRET[:3]}*": [{"match": "pillar"}, "by_pillar"], "*": ["app"]}},
        "base:\n  '*': [app]\n",
    )
    place.remember("test1", GRAINS, {"password": SECRET})

    assert view(place.explain("test1").states).sls == ("by_pillar", "app")
    place.tops("base:\n  '*': [{{ pillar['password'] }}]\n")
    explained = place.explain("test1")
    assert "reads pillar" in str(view(explained.states).problem)
    place.tops("base:\n  '*': [{{ salt['pillar.get']('password') }}]\n")
    for text in (explained, place.explain("test1"), place.site.run("explain", "test1").out):
        assert SECRET not in repr(text)


def test_everything_about_the_place_is_said(place: Place) -> None:
    head = place.site.remote.head("master")

    explained = place.explain("prod1")

    assert [(c.saltenv, c.matcher) for c in explained.claims] == [("prod", "glob prod*")]
    data = explained.as_dict()
    assert data["version"] == 1
    assert (data["saltenv"], data["branch"], data["pillarenv"]) == ("prod", "master", "prod")
    assert (data["commit"], data["subject"]) == (head, "change")
    assert data["folder"] == str(place.site.checkout("master"))
    assert data["slot"] == str(place.site.slot("master"))
    assert data["accepted"] is True
    assert data["snippet"] == "saltenv: prod\nlock_saltenv: True\n"
    assert explained.findings == ()
    assert json.loads(json.dumps(data)) == data


def test_a_minion_of_no_saltenv_ends_with_1_and_one_of_two_with_4(place: Place) -> None:
    nobodys = place.explain("web1")
    assert (nobodys.exit_code, nobodys.claims, nobodys.states) == (1, (), None)
    assert nobodys.accepted is False

    place.site.settings["saltenvs"]["prod"]["minions"] = ["prod*", {"pcre": ".*9$"}]
    place.site.settings["saltenvs"]["stage"]["minions"] = [{"pcre": "stage.$"}]
    place.site.configure()
    assert place.site.sync_here().exit_code == 0
    twice = place.explain("stage9")
    assert twice.exit_code == 4
    assert [claim.saltenv for claim in twice.claims] == ["stage", "prod"]
    done = place.site.run("explain", "stage9")
    assert done.code == 4
    assert "stage (pcre stage.$), prod (pcre .*9$)" in done.out


def test_a_minion_of_no_saltenv_hears_where_the_saltenvs_stand(place: Place) -> None:
    own = place.site.run("explain", "web1")
    assert f"(minions: in {place.site.config})" in own.out

    model = yaml.safe_dump({"saltenvs": place.site.settings.pop("saltenvs")})
    head = place.site.remote.commit("master", {"saltbranch.yaml": model})
    place.site.configure(model_branch="master")
    assert place.site.sync_here().exit_code == 0
    told = place.site.run("explain", "web1")
    assert f"(minions: in saltbranch.yaml on branch 'master' at {head[:12]})" in told.out


@pytest.mark.parametrize("minion", ["", "../test1", "a/b", "..", "x\0y"])
def test_what_is_no_minion_id_is_refused(place: Place, minion: str) -> None:
    with pytest.raises(UsageError, match="not a minion id"):
        place.explain(minion)


def test_what_would_change_it_is_said(place: Place) -> None:
    (place.site.master_config.parent / "zz.conf").write_text("state_top_saltenv: prod\n")
    (place.site.folder / "minion").write_text("id: test1\nsaltenv: prod\npillarenv: stage\n")

    mine = [finding.id for finding in place.explain("test1").findings]
    others = [finding.id for finding in place.explain("prod1").findings]

    assert mine == ["state-top-saltenv", "minion-saltenv", "minion-pillarenv"]
    assert others == ["state-top-saltenv"]
    elsewhere = place.site.folder / "other"
    elsewhere.write_text("saltenv: test\n")
    given = place.explain("prod1", minion_config=str(elsewhere))
    assert [finding.id for finding in given.findings] == ["state-top-saltenv"]


def test_a_top_file_that_is_gone_or_broken_is_said(place: Place) -> None:
    place.tops("base:\n  '*': [common\n")
    assert "Salt cannot render it" in str(view(place.explain("test1").states).problem)

    place.tops({"base": {"x": [{"match": "nonsense"}, "a"]}})
    assert "Salt fails on the target 'x' (nonsense)" in str(
        view(place.explain("test1").states).problem
    )

    (place.site.root / "tops" / "test" / "states" / "top.sls").unlink()
    explained = place.explain("test1")
    assert "does not exist" in str(view(explained.states).problem)
    assert "top-missing" in [finding.id for finding in explained.findings]


def test_before_the_first_sync_there_is_nothing_to_explain(
    _template: Remote, tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    new = Place(Site(folder, _template.copy(tmp_path / "remote.git")))

    with pytest.raises(ConfigError, match="nothing at the root"):
        new.explain("test1")


def test_without_a_master_here_the_rest_is_explained(place: Place) -> None:
    place.site.salt_config.unlink()

    explained = place.explain("test1")

    assert view(explained.states).entries == (Entry("*", "compound", ("app",), True),)
    assert explained.grains_from is None


def test_top_files_of_several_roots_are_evaluated(place: Place) -> None:
    place.site.remote.commit(
        "develop",
        {
            "more/top.sls": "{% include 'more.jinja' %}",
            "more/more.jinja": "base: {'*': [of_more]}\n",
        },
    )
    place.site.configure(states_dir=["more", "salt"])
    place.site.sync_well()
    assert view(place.explain("test1").states).entries == (
        Entry("*", "compound", ("of_more",), True),
    )


def test_the_command_line_tells_the_story(place: Place) -> None:
    place.tops({"base": {"*": ["app"], "os:Debian": [{"match": "grain"}, "deb"]}})
    root = place.site.root

    done = place.site.run("explain", "test1")
    data = place.site.run("explain", "test1", "--json")

    assert (done.code, data.code) == (0, 0)
    commit = place.site.remote.head("develop")[:12]
    assert done.out.splitlines()[:8] == [
        "test1 belongs to test (glob test*)",
        f"branch: develop, serving {commit} change (Ann)",
        f"folder: {root}/checkouts/develop -> {os.path.realpath(root / 'checkouts' / 'develop')}",
        "pillar: only from test, whether pillarenv is set to that or not at all",
        f"states by {root}/tops/test/states/top.sls and the branch's own top file",
        "  yes * (compound): app",
        "  ?   os:Debian (grain): deb  depends on grains, not known here",
        f"pillar by {root}/tops/test/pillar/top.sls and the branch's own top file",
    ]
    assert json.loads(data.out) == place.explain("test1").as_dict()


def test_nothing_that_steers_a_terminal_gets_through(place: Place) -> None:
    place.tops({"base": {"*\x1b[31m": ["[bold]app\x1b]0;title\x07"]}})

    out = place.site.run("explain", "test1").out

    assert "\x1b" not in out and "\x07" not in out
    assert "[bold]app" in out


BROKEN_PILLAR_TOPS = {
    "tag": ("base:\n  '*': !SS\n", "a tag (`!`) that Salt does not know", "; line 2"),
    "alias": ("base:\n  '*': [common]\npw: *SS\n", "an alias (`*`) of nothing", "; line 3"),
    "a name": ("base:\n  '*': [{{ SS }}]\n", "Jinja: something is undefined", ""),
    "an option": ("{{ opts['SS' ~ 1] }}\nbase: {}\n", "reads an option", ""),
    "a function": ("base:\n  '*': [{{ salt['test.SS']() }}]\n", "calls a function, which", ""),
    "asks for a function": ("base:\n  '*': [{{ 'SS' in salt }}]\n", "asks which functions there", ""),
    "a value of a target": ("base:\n  '*': SS\n", "", ""),
    "how a target matches": ("base:\n  '*':\n    - match: SS\n    - common\n", "", ""),
    "a target that is wrong": ("base:\n  'x':\n    - match: nodegroup SS\n    - common\n", "", ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN_PILLAR_TOPS)
def test_of_a_pillars_top_file_only_kind_and_place_are_told(place: Place, kind: str) -> None:
    text, told, line = BROKEN_PILLAR_TOPS[kind]
    word = "hunter2Secret9Zq"
    place.tops(top_of(), text.replace("SS", word))
    place.remember("test1", GRAINS)
    for more in ((), ("--json",)):
        done = place.site.run("explain", "test1", *more)
        assert "hunter" not in f"{done.out}{done.err}"
    problem = view(place.explain("test1").pillar).problem
    assert told in str(problem) and line in str(problem)
    assert "cannot be evaluated" in str(problem) or "cannot render" in str(problem) or not told
