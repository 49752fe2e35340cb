"""Which package may import what, how large a file may be, and what the sync that finds nothing new does without."""

from __future__ import annotations

import ast
import functools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.flow_site import FlowSite, as_yaml
from tests.support.modules import MODULES, PACKAGE, nodes
from tests.support.receiver import until
from tests.support.site import Journal, Site, build_template

# Arrows point down: a package imports from those that stand before it.
ORDER = (
    "base",
    "git",
    "config",
    "journal",
    "salt_master",
    "history",
    "repository",
    "labs",
    "notify",
    "serve",
    "new_minions",
    "compiler",
    "preview",
    "check",
    "promote",
    "verify",
    "apply",
    "schedule",
    "webhook",
    "doctor",
    "actions",
    "demo",
    "ext",
    "cli",
    "entry",
    "__main__",
)
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60

# Who may import a package of somebody else; what is not named here everybody may.
RESERVED = {
    "git": ("git.describe",),
    "gitdb": ("git.describe",),
    "salt": (
        "salt_master.options",
        "salt_master.job_client",
        "salt_master.state_runs",
        "check.salt_language",
        "compiler.pillar_causes",
        "salt_master.served_files",
        "compiler.inside.",
        "ext.",
        "demo.",
    ),
    "typer": ("cli.",),
    "click": ("cli.",),
    "rich": ("cli.",),
    "subprocess": ("demo.", "compiler.inside.salt_patches"),
    "multiprocessing": (),
    "msgspec": (
        "config.",
        "journal.cache",
        "compiler.model",
        "preview.fleet_cache",
        "cli.options.common",
        "repository.model",
    ),
    "saltlint": ("check.scanners",),
    "apprise": ("notify.deliver",),
    "detect_secrets": ("check.scanners",),
}

# What is pure uses no disk, no git and no Salt.
PURE = (
    "base.asked_by",
    "base.durations",
    "base.errors",
    "base.time_limit",
    "base.markdown",
    "base.patterns",
    "base.ssh_keys",
    "base.strict_yaml",
    "base.text",
    "base.tickets",
    "base.versions",
    "config.",
    "git.address",
    "git.allowed_signers",
    "git.links",
    "journal.approvals",
    "journal.events",
    "journal.facts",
    "journal.masters",
    "journal.state",
    "journal.tips",
    "labs.judge",
    "labs.lab",
    "notify.escape",
    "notify.texts",
    "salt_master.config_file",
    "salt_master.pillar_errors",
    "salt_master.top_file",
    "history.graph",
    "history.reverts",
    "repository.served_commit",
    "compiler.read_only_functions",
    "compiler.error_texts",
    "compiler.functions",
    "compiler.master_options",
    "compiler.model",
    "compiler.pgp",
    "compiler.inside.debversion",
    "compiler.inside.mask",
    "compiler.inside.neutral",
    "compiler.inside.neutral_hint",
    "compiler.inside.rendered_lines",
    "preview.causes",
    "preview.contents",
    "preview.difference",
    "preview.groups",
    "preview.missing",
    "preview.leftovers",
    "preview.low_diff",
    "preview.reordered",
    "preview.pillar_paths",
    "check.allow",
    "check.blame",
    "check.catalogue",
    "check.compiled",
    "check.compiled_states",
    "check.consequences",
    "check.expectations",
    "check.finding",
    "check.other_salt",
    "check.yaml_nodes",
    "check.project",
    "check.questions",
    "check.reach",
    "check.reading",
    "check.report.",
    "check.result",
    "check.sls",
    "check.static",
    "check.template",
    "check.rules.",
    "promote.gate_verified",
    "promote.gates",
    "verify.judge",
    "apply.stays",
    "promote.gates_by_verb",
    "schedule.nightly",
    "schedule.texts",
    "doctor.finding",
    "doctor.rules.",
    "webhook.payload",
    "webhook.signature",
    "webhook.texts",
)


def is_in(module: str, names: tuple[str, ...]) -> bool:
    """Whether `module` is one of `names`; a name with a dot at its end stands for a package."""
    return any(module == n.rstrip(".") or (n.endswith(".") and module.startswith(n)) for n in names)


@functools.cache
def imports(module: str) -> tuple[str, ...]:
    """The full names of what a module imports, also inside functions, but not for type checkers only."""
    return tuple(_imports(module))


def _imports(module: str) -> Iterator[str]:
    found = nodes(module)
    skipped = {
        inner
        for node in found
        if isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in found:
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{module}:{node.lineno}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(name: str) -> str | None:
    """The module of ours that an imported name belongs to."""
    words = name.split(".")
    for end in range(len(words), 1, -1):
        if ".".join(words[1:end]) in MODULES:
            return ".".join(words[1:end])
    return None


@functools.cache
def own_imports(module: str) -> frozenset[str]:
    """The modules of ours that `module` imports."""
    names = [name for name in imports(module) if name.startswith("saltbranch.")]
    return frozenset(found for found in map(own, names) if found) - {module}


def package_of(module: str) -> str:
    """The folder at the top that `module` is in."""
    return module.split(".")[0]


def circle(arrows: Mapping[str, AbstractSet[str]]) -> list[str]:
    """A circle of `arrows`, empty where there is none."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as err:
        return list(err.args[1])
    return []


# Each looks at all modules and names all that is wrong: hundreds of tests would cost more than what they do.


def test_reserved_packages_are_imported_where_they_may_be() -> None:
    wrong = [
        f"{module} imports {name}"
        for module in MODULES
        for name in imports(module)
        for package in [name.split(".")[0]]
        if package in RESERVED and not is_in(module, RESERVED[package])
    ]
    assert wrong == []


def test_arrows_point_down() -> None:
    wrong = [
        f"{module} imports {found}"
        for module in MODULES
        for found in own_imports(module)
        if ORDER.index(package_of(found)) > ORDER.index(package_of(module))
    ]
    assert wrong == []


def test_no_circle_of_files() -> None:
    assert circle({module: own_imports(module) for module in MODULES}) == []


def test_no_circle_of_folders() -> None:
    arrows: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        folder = str(path.parent.relative_to(PACKAGE))
        for found in own_imports(module):
            other = str(MODULES[found].parent.relative_to(PACKAGE))
            # What is inside a folder may use what lies beside it, and is used by it.
            if not other.startswith((folder, "..")) and not folder.startswith(other):
                arrows.setdefault(folder, set()).add(other)
    assert circle(arrows) == []


def test_nothing_is_too_long() -> None:
    wrong = []
    for module, path in MODULES.items():
        lines = len(path.read_text().splitlines())
        if lines > MOST_LINES:
            wrong.append(f"{module}: {lines} lines")
        for node in nodes(module):
            # Options with their help texts are the signature and the docstring of a verb's function.
            if isinstance(node, ast.FunctionDef):
                first = node.body[1 if ast.get_docstring(node) and node.body[1:] else 0]
                if (node.end_lineno or 0) - first.lineno >= MOST_LINES_OF_A_FUNCTION:
                    wrong.append(f"{module}.{node.name}: too many lines")
    assert wrong == []


def test_pure_modules_need_no_disk_no_git_and_no_salt() -> None:
    # Constants, a question about a name and how a shell reads one are all that they take from an edge.
    allowed = {
        "git.program": {"branch_name_problem", "GIT_MINIMUM", "quoted"},
        "base.files": {"signature"},
        "base.ownership": {"ownership"},
    }
    wrong = []
    for module in (m for m in MODULES if is_in(m, PURE)):
        for name in imports(module):
            found = own(name) if name.startswith("saltbranch.") else None
            if found is None or is_in(found, PURE):
                continue
            last = name.split(".")[-1]
            if last not in allowed.get(found, ()) and (
                found not in allowed or last != found.split(".")[-1]
            ):
                wrong.append(f"{module} imports {name}")
    assert wrong == []


# Where the command line opens a repository: for verbs that merge or record, for those that look back, for completion.
OPENERS = ("cli.run_merge", "cli.show.commits", "cli.options.completion")


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("cli.")])
def test_a_verb_is_put_together_by_its_action(module: str) -> None:
    names = [name.rpartition(".")[2] for name in imports(module)]
    assert module in OPENERS or not any(name.startswith("open_") for name in names)
    if module in OPENERS:
        return
    for node in nodes(module):
        if isinstance(node, ast.ImportFrom):
            assert "workplace" not in {alias.name for alias in node.names}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            words = {keyword.arg for keyword in node.keywords}
            assert node.func.attr != "workplace"
            is_own = isinstance(node.func.value, ast.Call)  # of super()
            assert is_own or not (node.func.attr == "open" and "fetch" in words)


def test_every_rule_speaks_of_modules_that_exist() -> None:
    for name in (*(n for names in RESERVED.values() for n in names), *PURE):
        assert any(is_in(module, (name,)) for module in MODULES), name
    assert {package_of(module) for module in MODULES} == set(ORDER)


# The road of a sync that finds nothing new


def modules_of(*argv: str) -> set[str]:
    """What a Python of its own imports while it runs `argv`."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *argv],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines} - {"imported package"}


def test_sync_without_news_imports_next_to_nothing(tmp_path: Path) -> None:
    remote = build_template(tmp_path / "remote.git")
    site = Site(tmp_path, remote)
    site.settings["saltenvs"]["stage"]["promote_from"] = "test"
    site.settings["saltenvs"]["prod"]["drain"] = "120s"
    site.settings["notify"] = [{"events": ["switched", "promotion"], "to": ["ops"]}]
    site.settings["hooks"] = {"after_sync": ["/bin/true"]}
    site.settings |= {"notify_targets": {"ops": "env-less://x"}, "programs": [["/bin/true"]]}
    site.configure()
    site.sync_well()
    pause = (
        site.root / "state" / "outbox" / "pause"
    )  # a target cannot be reached, so something waits
    assert until(lambda: pause.stat().st_mtime > time.time() + 30)
    assert any((site.root / "state" / "outbox" / "queue").iterdir())
    (site.root / "state" / "choices").unlink()  # nothing is asked of it
    program = "from saltbranch.entry import main; main()"
    for options in ([], ["--quiet"], ["test", "prod"]):
        bare = modules_of("-c", "pass")
        found = modules_of("-c", program, "sync", "--config", str(site.config), *options) - bare
        foreign = {name for name in found if name.split(".")[0] != "saltbranch"}
        assert foreign <= {"fcntl", "select", "signal", "time", "__future__"}
        assert "saltbranch.actions.sync" in found and "saltbranch.serve.prepare" not in found
        assert "saltbranch.config.model" not in found


def test_sync_without_news_imports_no_more_for_holds_tags_and_the_journal(tmp_path: Path) -> None:
    remote = build_template(tmp_path / "remote.git")
    site = Site(tmp_path, remote)
    site.settings["saltenvs"]["stage"]["follow"] = {"tags": "^v"}
    site.settings["saltenvs"]["stage"]["promote_from"] = "test"
    site.settings["saltenvs"]["prod"] |= {"drain": "120s", "drain_then": "wait"}
    remote.git("tag", "v1", remote.head("stage"))
    Journal(remote).hold("prod", remote.head("master"), until="2999-01-01T00:00:00Z")
    site.configure(record_syncs=True)
    assert site.sync_here().exit_code == 0
    program = "from saltbranch.entry import main; main()"
    bare = modules_of("-c", "pass")
    found = modules_of("-c", program, "sync", "--config", str(site.config)) - bare
    foreign = {name for name in found if name.split(".")[0] != "saltbranch"}
    assert foreign <= {"fcntl", "select", "signal", "time", "__future__"}
    mine = {name.removeprefix("saltbranch.") for name in found - foreign}
    assert mine <= {
        "saltbranch", "actions", "actions.sync", "base", "base.errors", "base.files", "base.proc", "cli", "cli.show",
        "cli.show.sync", "config", "config.locate", "entry", "git", "git.mirror", "git.program", "repository",
        "repository.decision", "repository.prepared", "serve", "serve.fetch", "serve.reconcile", 
        "serve.run", "serve.slots",
    }  # fmt: skip


def test_sync_with_news_needs_no_salt_no_gitpython_and_no_typer(tmp_path: Path) -> None:
    remote = build_template(tmp_path / "remote.git")
    site = Site(tmp_path, remote)
    site.sync_well()
    remote.commit("develop", {"salt/new.sls": ""})
    program = "from saltbranch.entry import main; main()"
    found = modules_of("-c", program, "sync", "--config", str(site.config))
    assert not any(name.startswith("saltbranch.serve.drain") for name in found)
    packages = {name.split(".")[0] for name in found}
    assert not packages & {"salt", "git", "typer", "click", "rich", "yaml", "msgspec", "subprocess"}
    site.assert_serves("develop", remote.head("develop"))


def test_environment_of_the_tests_reaches_children() -> None:
    """Otherwise the two tests above would look at another saltbranch."""
    program = "import saltbranch; print(saltbranch.__file__)"
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert Path(said.stdout.strip()) == PACKAGE / "__init__.py"
    assert os.environ["GIT_CONFIG_GLOBAL"] == os.devnull


LEAVES_WELL = """
from saltbranch import entry
try:
    entry.main()
except SystemExit:
    pass
"""

NEEDS = {
    "window": {"saltbranch.promote.windows", "croniter"},
    "approvals": {"saltbranch.promote.approvals"},
}
"""Gate to what only a model with such a gate has to import."""
POLICY = {
    *NEEDS["window"], *NEEDS["approvals"], "zoneinfo", "saltbranch.git.ssh_signature",
    "saltbranch.actions.approve", "saltbranch.actions.auto_promote", "saltbranch.promote.wait_gates",
    "saltbranch.promote.wait_masters", "saltbranch.serve.promoter", "saltbranch.verify.run",
}  # fmt: skip


@pytest.mark.parametrize("verb", ["promote", "why-not", "status"])
def test_who_has_no_policy_imports_none(
    flow: FlowSite, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """And who has, what it needs: what is asked of the other ones is no dead letter."""
    line = f"ann@example.com ssh-ed25519 {'A' * 68}"
    monkeypatch.chdir(flow.clone)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    words = {"promote": ["promote", "stage", "--plan"], "why-not": ["why-not", "stage"]}
    argv = ["-c", LEAVES_WELL, *words.get(verb, ["status"])]
    flow.configure(stage={"gates": ["ticket", {"soak": "1h"}]})
    flow.push("develop")
    assert not modules_of(*argv) & POLICY
    rule = {"allow": [{"cron": "0 9 * * *", "for": "1h"}], "zone": "Europe/Berlin"}
    flow.model["saltenvs"]["stage"]["gates"] = [
        {"window": rule}, {"approvals": {"count": 1, "from": [line]}},
    ]  # fmt: skip
    flow.push("master", {"saltbranch.yaml": as_yaml(flow.model)})
    found = modules_of(*argv)
    assert found >= NEEDS["window"] | NEEDS["approvals"]


def test_a_rollback_loads_no_compiler() -> None:
    """It may be an emergency, and only its plan says what stays."""
    found = modules_of("-c", LEAVES_WELL, "rollback", "prod", "--reason", "x", "--yes")
    assert "saltbranch.actions.rollback" in found
    assert not any(
        name.startswith(("saltbranch.compiler.pool", "saltbranch.preview.compare"))
        for name in found
    )
