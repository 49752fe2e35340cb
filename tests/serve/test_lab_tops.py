"""The generated top files where there are labs, rendered by Salt: who gets what while the file of the lent changes."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import salt._logging
import salt.config
import salt.pillar
import salt.state

from saltbranch.labs import lent
from saltbranch.labs.lent import Lent, Move, Place
from tests.support.labs import FEATURE, Labs, master_options_of, short_gap, with_labs
from tests.support.remote import Link
from tests.support.site import Site, build_template

KINDS = pytest.mark.parametrize("kind", ["states", "pillar"])
GREEDY = "".join(
    f"{name}:\n  '*': [app, secret]\n" for name in ("base", "test", "prod", "lab1", "lab2")
)
TWO = ["what two saltenvs have"]
PLACE = Place("id", FEATURE, "test", "../../checkouts/develop/pillar", open=False)


@pytest.fixture(scope="module", autouse=True)
def _quiet_salt() -> Iterator[None]:
    """Salt sets the root logger to its lowest level at import, and keeps its lines for the exit."""
    salt._logging.shutdown_temp_handler()
    level = logging.root.level
    logging.root.setLevel(logging.CRITICAL)
    yield
    logging.root.setLevel(level)


def _files(branch: str) -> dict[str, object]:
    files: dict[str, object] = {}
    for folder, value in (("salt", "{test.nop: []}"), ("pillar", "1")):
        files[f"{folder}/top.sls"] = GREEDY
        name = "app/init" if folder == "salt" else "app"
        files[f"{folder}/{name}.sls"] = f"{branch}:app: {value}\n"
        files[f"{folder}/secret.sls"] = f"{branch}:secret: {value}\n"
    files["pillar/secret.sls"] = f"{branch}:secret: 1\nin-{{{{ saltenv }}}}: 1\n"
    return files


class Rendered:
    """What Salt makes of the tops of a synced site, for one minion."""

    def __init__(self, labs: Labs) -> None:
        self.labs = labs
        self.site = labs.site
        options = master_options_of(self.site)
        self.roots = options["file_roots"], options["pillar_roots"]
        self.after: Callable[[int], None] = lambda count: None

    def say(self, said: Lent) -> None:
        """Write the file as a sync does."""
        (self.site.root / "labs" / "lent").write_text(lent.dumps(said))

    def pillar(
        self, minion: str, pillarenv: str | None = None, saltenv: str | None = None
    ) -> list[str]:
        """The keys of a pillar; `_errors` alone where there is one."""
        options = {
            **salt.config.master_config(None),
            "root_dir": str(self.site.folder),
            "cachedir": str(self.site.folder / "cache"),
            "extension_modules": str(self.site.folder / "cache" / "extmods"),
            "pillarenv_from_saltenv": True,
            "file_roots": self.roots[0],
            "pillar_roots": self.roots[1],
        }
        compiler = salt.pillar.Pillar(options, {"id": minion}, minion, saltenv, pillarenv=pillarenv)
        found = compiler.compile_pillar()
        saltenvs = [key for key in found if key.startswith("in-")]
        if "_errors" in found:
            return ["_errors"]
        return TWO if len(saltenvs) > 1 else sorted(found.keys() - {*saltenvs})

    def states(self, minion: str, saltenv: str | None = None) -> list[str]:
        """The ids of a highstate; `_errors` where its top files fail."""
        options = {
            **salt.config.minion_config(None),
            "id": minion,
            "saltenv": saltenv,
            "grains": {"id": minion},
            "file_client": "local",
            "root_dir": str(self.site.folder),
            "cachedir": str(self.site.folder / minion),
            "extension_modules": str(self.site.folder / minion / "extmods"),
            "file_roots": self.roots[0],
            "pillar_roots": {},
        }
        with salt.state.HighState(options, initial_pillar={}) as highstate:
            try:
                found = sorted(chunk["__id__"] for chunk in highstate.compile_low_chunks())
                return TWO if len({name.partition(":")[0] for name in found}) > 1 else found
            except (salt.exceptions.SaltException, AttributeError):
                return ["_errors"]

    def of(self, kind: str, minion: str, asked: str | None = None) -> list[str]:
        """Either of them. asked: the saltenv that is asked for, of pillar by pillarenv."""
        return self.states(minion, asked) if kind == "states" else self.pillar(minion, asked)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    folder = tmp_path_factory.mktemp("tops")
    site = Site(folder, build_template(folder / "remote.git"))
    for branch in ("develop", "stage", "master"):
        site.remote.commit(branch, _files(branch))
    site.remote.set_branch(FEATURE, site.remote.head("develop"))
    site.remote.commit(FEATURE, _files("feature"))
    labs = with_labs(site)
    labs.claim(1)
    site.sync_well()
    return Rendered(labs)


@pytest.fixture
def rendered(made: Rendered) -> Iterator[Rendered]:
    """It has the lab lab1, and serves it."""
    yield made
    made.say(Lent({"lab1": PLACE}))


def _own(branch: str) -> list[str]:
    return [f"{branch}:app", f"{branch}:secret"]


def _nothing(kind: str) -> list[str]:
    """What comes of top files that fail: states say so in the log, and in the answer of state.apply."""
    return [] if kind == "states" else ["_errors"]


def _in_lab(kind: str) -> list[str]:
    return _own("feature" if kind == "states" else "develop")


@KINDS
def test_a_lent_minion_has_the_lab_and_nothing_else(rendered: Rendered, kind: str) -> None:
    rendered.say(Lent({"lab1": PLACE}, {"test7": "lab1"}))
    assert rendered.of(kind, "test7") == _in_lab(kind)
    assert rendered.of(kind, "test7", "lab1") == _in_lab(kind)
    for other in ("test", "prod", "stage", "lab2"):
        assert rendered.of(kind, "test7", other) == []
    assert rendered.of(kind, "test8") == _own("develop")
    assert rendered.of(kind, "prod1") == _own("master")
    for minion, asked in itertools.product(("test8", "prod1", "nobody"), ("lab1", "lab2")):
        assert rendered.of(kind, minion, asked) == []


@KINDS
def test_an_open_lab_is_for_who_asks_and_is_of_its_saltenv(rendered: Rendered, kind: str) -> None:
    rendered.say(Lent({"lab1": replace(PLACE, open=True)}, {"test9": "lab2"}))
    assert rendered.of(kind, "test7", "lab1") == _in_lab(kind)
    assert rendered.of(kind, "test7") == _own("develop")
    for minion in ("prod1", "stage1", "nobody"):
        assert rendered.of(kind, minion, "lab1") == []
    assert rendered.of(kind, "test7", "lab2") == []
    # Of a minion that another lab has, which does not exist here.
    assert rendered.of(kind, "test9", "lab1") == _nothing(kind)


@KINDS
def test_a_minion_that_is_moved_gets_nothing_from_anywhere(rendered: Rendered, kind: str) -> None:
    rendered.say(
        Lent({"lab1": replace(PLACE, open=True)}, moving={"test7": Move("", 1.0)}, boot="b")
    )
    for asked in (None, "test", "lab1", "prod"):
        assert rendered.of(kind, "test7", asked) == _nothing(kind)
    assert rendered.of(kind, "test8") == _own("develop")


@KINDS
def test_a_minion_that_is_not_of_the_saltenv_gets_nothing(rendered: Rendered, kind: str) -> None:
    """Whatever the file says: the model may have given the minion to another saltenv since."""
    rendered.say(Lent({"lab1": PLACE}, {"prod1": "lab1", "nobody": "lab1"}))
    assert rendered.of(kind, "prod1") == _nothing(kind)
    assert rendered.of(kind, "nobody") == _nothing(kind)


STATES = {
    "free": Lent({"lab1": PLACE}),
    "moving": Lent({"lab1": PLACE}, moving={"test7": Move("", 1.0)}, boot="b"),
    "lent": Lent({"lab1": PLACE}, {"test7": "lab1"}),
    "leaving": Lent({"lab1": PLACE}, moving={"test7": Move("lab1", 1.0)}, boot="b"),
}
STEPS = [("free", "moving"), ("moving", "lent"), ("lent", "leaving"), ("leaving", "free")]


def _between(
    rendered: Rendered, monkeypatch: pytest.MonkeyPatch, kind: str, before: str, after: str
) -> list[list[str]]:
    """What test7 gets where the file changes after so many of the saltenvs' top files are rendered."""
    module = salt.state if kind == "states" else salt.pillar
    compile_template = module.compile_template
    found = []
    for place in range(6):
        count = itertools.count(1)

        def render(*args: Any, place: int = place, count: Any = count, **kwargs: Any) -> Any:
            done = compile_template(*args, **kwargs)
            if next(count) == place:
                rendered.say(STATES[after])
            return done

        rendered.say(STATES[before])
        with monkeypatch.context() as patch:
            patch.setattr(module, "compile_template", render)
            found.append(rendered.of(kind, "test7"))
    return found


@KINDS
@pytest.mark.parametrize(("before", "after"), STEPS)
def test_no_step_shows_two_saltenvs_wherever_a_rendering_meets_it(
    rendered: Rendered, monkeypatch: pytest.MonkeyPatch, kind: str, before: str, after: str
) -> None:
    allowed = ([], ["_errors"], _own("develop"), _in_lab(kind))
    assert all(got in allowed for got in _between(rendered, monkeypatch, kind, before, after))


@KINDS
def test_in_one_step_there_would_be_two(
    rendered: Rendered, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """What the two steps are for; the test above would see it."""
    assert TWO in _between(rendered, monkeypatch, kind, "free", "lent")


@KINDS
def test_a_branch_cannot_say_who_is_lent(rendered: Rendered, kind: str) -> None:
    claim = lent.dumps(Lent({"lab1": PLACE}, {"prod1": "lab1", "test8": "lab1"}))
    for branch in (FEATURE, "develop"):
        rendered.site.remote.commit(
            branch,
            {
                "salt/lent_minions.jinja": claim,
                "pillar/lent_minions.jinja": claim,
                "salt/top.sls": GREEDY
                + "{% do labs['lent'].update({'prod1': own}) %}{% do claims.append('lab1') %}",
            },
        )
    rendered.site.sync_here()
    assert rendered.of(kind, "test8") == _own("develop")
    assert rendered.of(kind, "test8", "lab1") == []
    assert rendered.of(kind, "prod1") == _own("master")


def test_the_pillar_of_the_branch_reaches_nobody(rendered: Rendered) -> None:
    rendered.site.remote.commit(
        FEATURE, {"pillar/secret.sls": "x: {{ raise('rendered') }}\n", "salt/p": Link("../pillar")}
    )
    labs = rendered.labs
    with short_gap(0):
        result = labs.site.sync_here()
    assert "lab1" in {row.saltenv for row in result.saltenvs if row.state == "refused"}
    rendered.say(Lent({"lab1": PLACE}, {"test7": "lab1"}))
    assert rendered.pillar("test7") == _own("develop")


def test_what_the_file_says_can_start_no_tag() -> None:
    odd = "{{ raise('x') }}{% set y %}{# \" \\ \u2028"
    said = Lent({"lab1": replace(PLACE, branch=odd, pillar=odd)}, {odd: "lab1"}, tell={odd: odd})
    text = lent.dumps(said)
    assert not any(sign in text for sign in ("{{", "{%", "{#")) and text.isascii()
    assert lent.loads(text) == said
