"""install webhook writes what the reactor reads, keeps the secret, and opens nothing unasked."""

from __future__ import annotations

import glob
import json
import os
import stat
from pathlib import Path

import pytest
import yaml

from saltbranch.actions.install_webhook import install_webhook, uninstall_webhook
from saltbranch.base.errors import ConfigError, RefusedError, SaltbranchError
from saltbranch.salt_master import options as master_options
from saltbranch.schedule import reactor
from saltbranch.webhook import secret, texts
from tests.support.site import Site

API = {"port": 8000, "host": "salt.example.com", "ssl_crt": "/x", "ssl_key": "/y"}


@pytest.fixture
def place(site: Site) -> Site:
    configure(site)
    return site


def configure(site: Site, **options: object) -> None:
    """A master that runs as whoever runs the tests."""
    paths = {
        n: str(site.folder / n) for n in ("pki_dir", "cachedir", "sock_dir", "log_file", "pidfile")
    }
    user = {"user": "root", "root_dir": "/"}
    site.salt_config.write_text(yaml.safe_dump({**user, **paths, "rest_cherrypy": API, **options}))


def secret_file(site: Site) -> Path:
    return Path(secret.path_of(str(site.config)))


def install(site: Site, **options: bool) -> str:
    return "\n".join(install_webhook(str(site.config), **options).left)


def test_writes_three_files_that_salt_reads_and_may_be_run_again(place: Site) -> None:
    result = install_webhook(str(place.config))

    assert [file.state for file in result.files] == ["written"] * 3
    assert stat.S_IMODE(secret_file(place).stat().st_mode) == 0o600
    (found,) = reactor.reactors(master_options.read(str(place.salt_config)).opts)
    assert found == ("salt/netapi/hook/saltbranch", [str(place.folder / texts.REACTOR_FILE)])
    assert result.url == "https://salt.example.com:8000/hook/saltbranch"
    kept = secret.load(str(secret_file(place)))
    assert kept[0] not in json.dumps(result.as_dict()) and len(kept[0]) == 64

    again = install_webhook(str(place.config), show_secret=True)
    assert {file.state for file in again.files} == {"unchanged"}
    assert again.secret == kept[0]


def test_the_command_line_shows_the_secret_only_when_it_is_asked_for(place: Site) -> None:
    words = ["install", "webhook", "--config", str(place.config)]
    plan = place.run_here(*words, "--plan")
    assert plan.code == 3 and not secret_file(place).exists()
    said = place.run_here(*words)
    own = secret.load(str(secret_file(place)))[0]
    assert said.code == 0 and own not in said.out + said.err
    assert f"the secret in {secret_file(place)}" in said.out
    assert "Add webhook_disable_auth: True to rest_cherrypy: in " in said.out
    assert f"secret: {own}\n" in place.run_here(*words, "--show-secret").out
    for odd in (["--every", "5"], ["--nightly"], ["--directory", "/x"]):
        assert place.run_here(*words, *odd).code == 2
    gone = place.run_here(
        "uninstall", "webhook", "--config", str(place.config), "--directory", "/x"
    )
    assert gone.code == 2 and secret_file(place).exists()  # those of this machine are not meant
    assert place.run_here("install", "cron", "--show-secret", "-c", str(place.config)).code == 2


@pytest.mark.parametrize(
    "tag", ["salt/netapi/hook/deploy", "salt/netapi/*", "*", "salt/net[a]pi/hook"]
)
def test_other_reactors_that_would_be_opened_are_named(place: Site, tag: str) -> None:
    folder = place.master_config.parent
    folder.mkdir(exist_ok=True)
    (folder / "other.conf").write_text(yaml.safe_dump({"reactor": [{tag: ["/srv/x.sls"]}]}))
    with pytest.raises(RefusedError) as caught:
        install_webhook(str(place.config))
    assert f": {tag}; " in caught.value.message and not secret_file(place).exists()

    assert tag in install(place, open_hooks=True)
    tags = [t for t, _ in reactor.reactors(master_options.read(str(place.salt_config)).opts)]
    assert sorted(tags) == sorted([tag, texts.TAG])


@pytest.mark.parametrize("tag", ["salt/minion/*/start", "salt/job/*", "salt/netapi/hookx", "x*"])
def test_reactors_that_no_request_reaches_are_no_matter(place: Site, tag: str) -> None:
    (place.master_config.parent).mkdir(exist_ok=True)
    other = place.master_config.parent / "other.conf"
    other.write_text(yaml.safe_dump({"reactor": [{tag: "/srv/x.sls"}]}))
    assert tag not in install(place)


def test_reactors_of_the_main_file_are_not_lost(place: Site) -> None:
    configure(place, reactor=[{"salt/minion/*/start": ["/srv/x.sls"]}])
    with pytest.raises(RefusedError) as caught:
        install_webhook(str(place.config))
    assert "which Salt forgets" in caught.value.message
    configure(place, reactor=str(place.folder / "reactors.yaml"))
    with pytest.raises(RefusedError, match="names the file"):
        install_webhook(str(place.config))
    assert not secret_file(place).exists()


def test_files_of_others_are_left_alone(place: Site) -> None:
    for name in (texts.REACTOR_FILE, secret.FILE):
        path = place.folder / name
        path.write_text("mine\n")
        with pytest.raises(SaltbranchError):
            install_webhook(str(place.config))
        if name == secret.FILE:
            assert uninstall_webhook(str(place.config)).files[-1].state == "unchanged"
        else:
            with pytest.raises(RefusedError):
                uninstall_webhook(str(place.config))
        assert path.read_text() == "mine\n"
        path.unlink()


def test_a_folder_whose_name_salt_would_take_for_a_glob(place: Site) -> None:
    folder = place.folder / "a[1]*"
    folder.mkdir()
    place.config = place.config.rename(folder / place.config.name)
    install_webhook(str(place.config))
    (found,) = reactor.reactors(master_options.read(str(place.salt_config)).opts)
    (folder.with_name("a11")).mkdir()
    (folder.with_name("a11") / texts.REACTOR_FILE).write_text("# somebody else's\n")
    assert glob.glob(found[1][0]) == [str(folder / texts.REACTOR_FILE)]


def test_an_address_of_ipv6_is_written_as_urls_have_it(place: Site) -> None:
    configure(place, rest_cherrypy={**API, "host": "2001:db8::7"})
    result = install_webhook(str(place.config))
    assert result.url == "https://[2001:db8::7]:8000/hook/saltbranch"


def test_without_a_master_there_is_nothing_to_install(site: Site) -> None:
    with pytest.raises(ConfigError, match="no salt-master"):
        install_webhook(str(site.config))


def test_uninstall_takes_away_what_was_written_and_nothing_else(place: Site) -> None:
    before = sorted(path for path in place.folder.rglob("*") if path.is_file())
    install_webhook(str(place.config))
    cache = place.folder / "__pycache__"
    cache.mkdir()
    (cache / "saltbranch-webhook.cpython-311.pyc").write_bytes(b"")

    uninstall_webhook(str(place.config))

    after = sorted(path for path in place.folder.rglob("*") if path.is_file())
    assert after == before and not cache.exists()
    assert os.path.exists(place.config)
