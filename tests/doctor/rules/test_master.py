"""Each rule about the master's options finds its mistake, and nothing in a set-up as we write it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from saltbranch.config.minions import Matcher
from saltbranch.doctor.finding import Finding
from saltbranch.doctor.rules import master as rules
from saltbranch.doctor.rules import master_roots
from saltbranch.doctor.rules.seen_master import Master

OURS = "/etc/salt/master.d/saltbranch.conf"
THEIRS = "/etc/salt/master.d/zz.conf"
FILE_ROOTS = {
    "test": ["/srv/sb/tops/test/states", "/srv/sb/checkouts/develop/salt"],
    "prod": ["/srv/sb/tops/prod/states", "/srv/sb/checkouts/master/salt"],
}
PILLAR_ROOTS = {
    "test": ["/srv/sb/tops/test/pillar", "/srv/sb/checkouts/develop/pillar"],
    "prod": ["/srv/sb/tops/prod/pillar", "/srv/sb/checkouts/master/pillar"],
}
OPTS: Mapping[str, Any] = {
    "file_roots": FILE_ROOTS,
    "pillar_roots": PILLAR_ROOTS,
    "top_file_merging_strategy": "merge",
    "pillarenv_from_saltenv": True,
    "pillarenv": None,
    "state_top": "top.sls",
    "state_top_saltenv": None,
    "default_top": "base",
    "env_order": [],
    "saltenv": None,
    "fileserver_backend": ["roots"],
    "fileserver_followsymlinks": True,
    "fileserver_ignoresymlinks": False,
    "gitfs_remotes": [],
    "ext_pillar": [],
    "master_tops": {},
    "file_ignore_regex": [],
    "file_ignore_glob": [],
    "renderer_blacklist": [],
    "renderer_whitelist": [],
    "nodegroups": {"web": "L@web1,web2"},
    "auto_accept": False,
    "open_mode": False,
    "pillar_cache": False,
    "pillar_source_merging_strategy": None,
}
KNOWN = frozenset({*OPTS, "user"})
SERVED = (
    ("/srv/sb/checkouts/develop/salt/web/init.sls", "web/init.sls"),
    ("/srv/sb/tops/test/states/top.sls", "top.sls"),
)


def described(**changes: Any) -> Master:
    """A healthy master with `changes` that another file makes."""
    return Master(
        opts={**OPTS, **changes},
        places={
            **dict.fromkeys(("file_roots", "pillar_roots"), (OURS,)),
            **dict.fromkeys(changes, (THEIRS,)),
        },
        known=KNOWN,
        file_roots=FILE_ROOTS,
        pillar_roots=PILLAR_ROOTS,
        groups={"test": [Matcher("glob", "test*")], "prod": [Matcher("nodegroup", "web")]},
        served=SERVED,
        master_config=OURS,
    )


def test_a_master_as_we_write_it_has_nothing_to_find() -> None:
    assert rules.check(described()) == []


CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"top_file_merging_strategy": "same"}, "top-merging-strategy", "warning"),
    ({"top_file_merging_strategy": "merge_all"}, "top-merging-strategy", "warning"),
    ({"top_file_merging_strategy": "same", "default_top": ""}, "top-merging-strategy", "error"),
    ({"state_top_saltenv": "prod"}, "state-top-saltenv", "error"),
    ({"default_top": "prod"}, "default-top", "note"),
    ({"env_order": ["prod"]}, "env-order", "error"),
    ({"jinja_env": {"line_statement_prefix": "%"}}, "jinja-syntax", "error"),
    ({"jinja_sls_env": {"Block_Start_String": "<%"}}, "jinja-syntax", "error"),
    ({"pillarenv": "prod"}, "pillarenv", "warning"),
    ({"pillarenv": "prod", "pillarenv_from_saltenv": False}, "pillarenv", "error"),
    ({"pillarenv_from_saltenv": False}, "pillarenv-from-saltenv", "warning"),
    ({"state_top": "main.sls"}, "state-top", "error"),
    ({"pillar_source_merging_strategy": "none"}, "pillar-merging", "error"),
    ({"pillar_cache": True, "pillar_cache_ttl": 3600}, "pillar-cache", "warning"),
    ({"saltenv": "prod"}, "master-saltenv", "note"),
    ({"file_roots": {**FILE_ROOTS, "test": [*FILE_ROOTS["test"], "/srv/salt"]}}, "file-roots", "error"),
    ({"file_roots": {**FILE_ROOTS, "test": FILE_ROOTS["test"][1:]}}, "file-roots", "error"),
    ({"file_roots": {**FILE_ROOTS, "test": FILE_ROOTS["test"][::-1]}}, "file-roots", "error"),
    ({"file_roots": {"prod": FILE_ROOTS["prod"]}}, "file-roots", "error"),
    ({"pillar_roots": {"prod": PILLAR_ROOTS["prod"]}}, "pillar-roots", "error"),
    ({"file_roots": {**FILE_ROOTS, "base": ["/srv/salt"]}}, "other-saltenv", "note"),
    ({"file_roots": {**FILE_ROOTS, "__env__": ["/srv/__env__"]}}, "literal-env", "error"),
    ({"file_roots": {**FILE_ROOTS, "base": ["/srv"]}}, "pillar-as-files", "error"),
    ({"file_roots": {**FILE_ROOTS, "x": ["/srv/sb/checkouts/master/pillar/"]}}, "pillar-as-files", "error"),
    ({"fileserver_backend": ["roots", "gitfs"]}, "file-server-backend", "warning"),
    ({"fileserver_backend": ["roots", "minionfs"]}, "file-server-backend", "warning"),
    ({"fileserver_backend": ["gitfs"]}, "file-server-backend", "error"),
    ({"gitfs_remotes": ["https://git/x"]}, "gitfs-remotes", "note"),
    ({"ext_pillar": [{"git": ["master https://git/x"]}]}, "git-pillar", "warning"),
    ({"ext_pillar": [{"vault": "conf: path=secret"}]}, "ext-pillar", "note"),
    ({"master_tops": {"ext_nodes": "cobbler"}}, "master-tops", "warning"),
    ({"fileserver_followsymlinks": False}, "symlinks", "error"),
    ({"fileserver_ignoresymlinks": True}, "symlinks", "error"),
    ({"file_ignore_regex": ["/web($|/)"]}, "files-ignored", "error"),
    ({"file_ignore_glob": ["*/develop/*"]}, "files-ignored", "error"),
    ({"file_ignore_glob": "top.*"}, "files-ignored", "error"),
    ({"renderer_blacklist": ["json"]}, "renderers", "error"),
    ({"renderer_whitelist": ["jinja", "yaml"]}, "renderers", "error"),
    ({"state-top": "x"}, "dashed-option", "warning"),
    ({"pillarenv-from-saltenv": True}, "dashed-option", "warning"),
    ({"nodegroups": {"web": "G@role:web"}}, "nodegroup", "error"),
    ({"nodegroups": {}}, "nodegroup", "error"),
    ({"auto_accept": True}, "key-acceptance", "warning"),
    ({"open_mode": True}, "key-acceptance", "warning"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "found", "severity"), CASES, ids=str)
def test_what_breaks_saltenvs_is_found(changes: dict[str, Any], found: str, severity: str) -> None:
    (finding,) = [
        finding
        for finding in rules.check(described(**changes))
        if (finding.id, finding.severity) == (found, severity)
    ]

    assert finding.why.endswith(".")
    assert finding.fix


@pytest.mark.parametrize("option", sorted({next(iter(changes)) for changes, _, _ in CASES}))
def test_a_finding_names_the_file_that_sets_the_option(option: str) -> None:
    changes, found, _ = next(case for case in CASES if next(iter(case[0])) == option)
    finding = next(f for f in rules.check(described(**changes)) if f.id == found)

    assert THEIRS in finding.message or found in ("nodegroup", "pillar-as-files")


HARMLESS: list[dict[str, Any]] = [
    {"env_order": ["prod", "test"]},
    {"jinja_env": {"trim_blocks": True, "block_start_string": "{%"}, "jinja_trim_blocks": True},
    {"env_order": ["base", "test", "prod"]},
    {"state_top": "salt://top.sls"},
    {"fileserver_backend": []},
    {"file_ignore_regex": [r"/\.git($|/)"], "file_ignore_glob": ["*.pyc", "*.swp"]},
    {"renderer_whitelist": ["jinja", "json", "yaml", "gpg"]},
    {"renderer_blacklist": ["py"]},
    {"my-own-key": 1},
    {"user": "salt"},
    {"nodegroups": {"web": "E@web.*", "other": "G@os:Debian"}},
    {"pillar_source_merging_strategy": "smart"},
    {"file_roots": {**FILE_ROOTS, "base": []}},
    {"file_roots": {"test": ["/srv/sb/tops/test/states/", *FILE_ROOTS["test"][1:]], "prod": FILE_ROOTS["prod"]}},
]  # fmt: skip


@pytest.mark.parametrize("changes", HARMLESS, ids=str)
def test_what_breaks_nothing_is_passed_over(changes: dict[str, Any]) -> None:
    assert rules.check(described(**changes)) == []


def test_another_saltenv_with_a_top_file_is_a_warning() -> None:
    roots = {**FILE_ROOTS, "base": ["/srv/salt"]}
    master = described(file_roots=roots)
    master = Master(**{name: getattr(master, name) for name in Master.__slots__ if name != "with_top"},
                    with_top=frozenset({"/srv/salt"}))  # fmt: skip

    (finding,) = rules.check(master)

    assert (finding.id, finding.severity) == ("other-saltenv", "warning")
    assert "/srv/salt" in finding.why


def test_each_odd_root_is_named() -> None:
    roots = {"test": ["/x", FILE_ROOTS["test"][0]], "prod": FILE_ROOTS["prod"]}

    (finding,) = rules.check(described(file_roots=roots))

    assert finding.items == (
        "saltenv test has /x too",
        "saltenv test lacks /srv/sb/checkouts/develop/salt",
    )


def test_what_may_be_a_password_is_never_in_a_finding() -> None:
    secret = "hunter2"
    changes = {
        "ext_pillar": [{"mysql": {"pass": secret}}, {"git": [f"https://u:{secret}@git/x"]}],
        "master_tops": {"cobbler": {"password": secret}},
        "gitfs_remotes": [f"https://u:{secret}@git/x"],
        "state-password": secret,
    }

    findings = rules.check(described(**changes))

    assert {"ext-pillar", "git-pillar", "master-tops", "gitfs-remotes"} <= {f.id for f in findings}
    assert secret not in repr(findings)


def test_without_our_configuration_the_options_alone_are_judged() -> None:
    master = Master(
        opts={**OPTS, "file_roots": {"base": ["/srv/salt"]}, "state_top_saltenv": "prod"}
    )

    assert [finding.id for finding in rules.check(master)] == ["state-top-saltenv"]


@pytest.mark.parametrize("used", [True, False])
def test_only_locks_of_dead_processes_are_stale(used: bool) -> None:
    locks = [("/c/gitfs/a/update.lk", True), ("/c/gitfs/b/update.lk", False)]

    (finding,) = master_roots.gitfs_locks(locks, used=used)

    assert finding.items == ("/c/gitfs/b/update.lk",)
    assert finding.severity == ("warning" if used else "note")
    assert list(master_roots.gitfs_locks(locks[:1], used=used)) == []


def test_every_rule_has_a_case() -> None:
    """A rule that no case above reaches could be empty."""

    def finds(rule: Callable[[Master], Iterator[Finding]]) -> bool:
        return any(list(rule(described(**changes))) for changes, _, _ in CASES)

    assert [rule.__name__ for rule in rules.RULES if not finds(rule)] == []
