"""install reactor writes what lets the master hear of minions that start, and displaces nothing."""

from __future__ import annotations

import json
from pathlib import Path

import jinja2
import pytest
import yaml

from saltbranch.actions.install_reactor import install_reactor, uninstall_reactor
from saltbranch.actions.new_minions import _reader
from saltbranch.base.errors import RefusedError
from saltbranch.new_minions import known
from saltbranch.new_minions.known import KNOWN, Entry, Known
from saltbranch.salt_master import options as master_options
from tests.support.site import Site


def with_master(site: Site, text: str = "", minions: tuple[str, ...] = ()) -> None:
    """Give the site's master a configuration, and keys that it has accepted."""
    base = f"default_include: master.d/*.conf\npki_dir: {site.folder}/pki\nuser: root\n"
    site.salt_config.write_text(base + text)
    folder = site.folder / "pki" / "minions"
    folder.mkdir(parents=True)
    for minion in minions:
        (folder / minion).write_text(f"key of {minion}\n")


def folder_of(site: Site) -> Path:
    return site.master_config.parent


def reactors(site: Site) -> object:
    """What the master makes of its files."""
    return master_options.read(str(site.salt_config)).opts["reactor"]


def test_it_is_written_once_and_taken_away_again(site: Site) -> None:
    with_master(site, minions=("test1", "web, 2"))
    site.sync_well()
    planned = install_reactor(str(site.config), plan=True)
    assert planned.exit_code == 3
    assert known.load(str(site.root)) is None

    done = install_reactor(str(site.config))

    reaction = f"{folder_of(site)}/saltbranch-new-minion.sls"
    assert reactors(site) == [{"salt/minion/*/start": [reaction]}]
    assert [file.state for file in done.files] == ["written", "written"]
    assert done.notes == ("2 accepted minions are known: none of them is new",)
    found = known.load(str(site.root))
    assert found and {e.stage for e in found.minions.values()} == {KNOWN}
    assert [f.state for f in install_reactor(str(site.config)).files] == ["unchanged"] * 2

    gone = uninstall_reactor(str(site.config))
    assert [file.state for file in gone.files] == ["removed", "removed"]
    assert reactors(site) == []
    assert known.load(str(site.root)) == found


def test_minions_that_came_since_stay_new_when_it_is_installed_again(site: Site) -> None:
    with_master(site, minions=("test1",))
    site.sync_well()
    install_reactor(str(site.config))
    (site.folder / "pki" / "minions" / "test2").write_text("key\n")

    install_reactor(str(site.config))

    found = known.load(str(site.root))
    assert found and list(found.minions) == ["test1"]


def test_reactors_of_other_files_stay(site: Site) -> None:
    with_master(site)
    site.sync_well()
    (folder_of(site) / "own.conf").write_text("reactor:\n- own/*: [/srv/own.sls]\n")

    install_reactor(str(site.config))

    assert {"own/*": ["/srv/own.sls"]} in reactors(site)  # type: ignore[operator]
    assert len(reactors(site)) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("reactor:\n- own/*: [/srv/own.sls]\n", "which Salt forgets"),
        ("reactor: /etc/salt/reactor.map\n", "would forget it for a list"),
    ],
)
def test_reactors_of_the_main_file_are_not_displaced(site: Site, text: str, said: str) -> None:
    with_master(site, text)
    site.sync_well()
    before = reactors(site)

    with pytest.raises(RefusedError, match=said):
        install_reactor(str(site.config))

    assert reactors(site) == before
    assert known.load(str(site.root)) is None


@pytest.mark.parametrize("name", ["saltbranch-reactor.conf", "saltbranch-new-minion.sls"])
def test_a_file_of_somebody_else_is_left_alone(site: Site, name: str) -> None:
    with_master(site)
    site.sync_well()
    (folder_of(site) / name).write_text("# mine\n")

    with pytest.raises(RefusedError, match="was not written by saltbranch"):
        install_reactor(str(site.config))
    with pytest.raises(RefusedError, match="was not written by saltbranch"):
        uninstall_reactor(str(site.config))

    assert (folder_of(site) / name).read_text() == "# mine\n"


def test_the_command_line_shows_it_and_takes_no_option_of_a_timer(site: Site) -> None:
    with_master(site)
    site.sync_well()

    shown = site.run_here("install", "reactor", "--config", str(site.config), "--print", "--json")
    refused = site.run_here("install", "reactor", "--config", str(site.config), "--every", "5")
    done = site.run_here("install", "reactor", "--config", str(site.config))

    assert json.loads(shown.out)["kind"] == "reactor"
    assert not json.loads(shown.out)["commands"]
    assert (refused.code, "does not take --every" in refused.err) == (2, True)
    assert "none of them is new" in done.out
    assert site.run_here("uninstall", "reactor", "--config", str(site.config)).code == 0


def test_the_reaction_hands_over_a_text_and_nothing_else(site: Site) -> None:
    with_master(site)
    site.sync_well()
    text = install_reactor(str(site.config), plan=True).files[0].text
    body = text.split("\n", 1)[1]
    environment = jinja2.Environment(autoescape=False)  # noqa: S701 - JSON goes out
    environment.filters["json"] = json.dumps
    for word in ('x"}]}', "{{ 7 * 7 }}", "a\nb", "é\u2028", ["l"], {"k": 1}, None, 7):
        made = json.loads(environment.from_string(body).render(data={"id": word}))
        (args,) = made["saltbranch_new_minion"]["runner.saltbranch.new_minions"]
        expected = "" if word is None else str(word)
        assert args == {"args": [{"minion": expected}]}


def test_two_saltenvs_that_claim_one_minion_are_told(site: Site) -> None:
    with_master(site, "nodegroups:\n  both: L@test1\n")
    site.settings["saltenvs"]["stage"]["minions"] = {"nodegroup": "both"}
    site.configure()
    site.sync_well()

    home_of = _reader(str(site.config), str(site.root), {"both": "L@test1"})

    assert (home_of("test1").saltenvs, home_of("test1").problem) == (
        ("test", "stage"),
        "2 saltenvs claim it",
    )
    assert home_of("test2").problem == ""
    assert home_of("web1").problem == "no saltenv claims it"


def test_a_record_that_is_damaged_makes_nobody_new(site: Site) -> None:
    site.sync_well()
    known.save(str(site.root), Known({"test1": Entry("k", KNOWN)}))
    path = Path(known.path(str(site.root)))
    whole = yaml.safe_load(path.read_text())
    for broken in ("", "{", "[]", json.dumps({**whole, "version": 2}), '{"version": 1}'):
        path.write_text(broken)
        assert known.load(str(site.root)) is None
