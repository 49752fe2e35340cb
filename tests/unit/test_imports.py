"""Which module may import what, and what the sync that finds nothing new does without."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.git.site import Journal, Site, build_template

pytestmark = pytest.mark.core
PACKAGE = Path(__file__).parents[2] / "saltbranch"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
    if path != PACKAGE / "__init__.py"
}

# Who may import a package of somebody else; what is not named here everybody may.
RESERVED = {
    "git": ("history",),
    "gitdb": ("history",),
    "salt": (
        "saltmaster",
        "saltsyntax",
        "compiler.highstate",
        "compiler.host",
        "compiler.memory",
        "compiler.external",
        "compiler.onefork",
        "compiler.patches",
        "compiler.pillarcauses",
        "compiler.templates",
        "compiler.inside.",
        "ext.",
        "demo.",
    ),  # fmt: skip
    "typer": ("cli.",),
    "click": ("cli.",),
    "rich": ("cli.",),
    "subprocess": ("demo.", "compiler.patches"),
    "multiprocessing": (),
    "msgspec": (
        "config.",
        "journalcache",
        "compiler.model",
        "fleetcache",
        "cli.options",
        "repository.model",
    ),
    "saltlint": ("scanners",),
    "detect_secrets": ("scanners",),
}

# Arrows point down: a layer may import from itself and from those below it.
LAYERS = (
    ("entry", "__main__", "ext."),
    ("cli.",),
    ("demo.",),
    ("actions.",),
    ("",),
)
# They stand in actions/ and serve a sync: of the lowest layer by what they import.
SERVING = (
    "actions.localhold",
    "actions.outcome",
    "actions.prepare",
    "actions.reporting",
    "actions.switching",
)
# The lowest layer in detail. What is pure uses no disk, no git and no Salt.
PURE = ("targets", "topfile", "masterconf", "timer", "nightly", "findings.", "doctor.", "errors", "locate", "config.",
        "asking", "events", "promote.gates", "serving", "tickets", "versions", "durations", "lineage", "fates",
        "markdown", "strictyaml", "checks.", "checkreport.",
        "lowdiff", "compiler.model", "compiler.masking", "compiler.pillarerrors", "compiler.neutral",
         "compiler.ciphertext", "compiler.functions", "compiler.masteroptions", "compiler.inside.debversion",
         "compiler.askable",
         "compiler.inside.settling", "promote.gates_asked", "preview.leftovers", "preview.origins",
         "preview.causes", "preview.gaps", "preview.contents", "compiler.inside.told", "base.patterns", "base.limit",
         "base.text",
         "repository.tips")  # fmt: skip
FOUNDATIONS = {
    "errors": set(),
    "locate": {"errors"},
    "files": {"errors"},
    "proc": {"errors"},
    "targets": {"errors"},
    "saltmaster": {"errors"},
    "git": {"errors", "proc"},
    "topfile": {"targets"},
    "prepared": {"files"},
    "serve.decision": {"files"},
    "serve.run": set(),
    "salt_master.process": {"errors", "files", "git", "proc"},
    "history": {"errors", "git", "base.text"},
    "mirror": {"errors", "files", "git", "partfetch", "proc"},
    "partfetch": {"errors", "git", "proc"},
    "slots": {"errors", "files", "git", "mirror"},
    "scratch": set(),
    "tree": {"errors", "git", "scratch"},
}


def is_in(module: str, names: tuple[str, ...]) -> bool:
    """Whether `module` is one of `names`; a name with a dot at its end stands for a package."""
    return any(
        module == n.rstrip(".") or (n.endswith((".", "/")) and module.startswith(n)) for n in names
    )


def imports(path: Path) -> Iterator[str]:
    """The full names of what a file imports, also inside functions, but not for type checkers only."""
    tree = ast.parse(path.read_text())
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}:{node.lineno}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(name: str) -> str | None:
    """The module of ours that an imported name belongs to."""
    words = name.split(".")
    for end in range(len(words), 1, -1):
        if ".".join(words[1:end]) in MODULES:
            return ".".join(words[1:end])
    return None


def own_imports(module: str) -> set[str]:
    """The modules of ours that `module` imports."""
    names = [name for name in imports(MODULES[module]) if name.startswith("saltbranch.")]
    return {found for found in map(own, names) if found}


def layer_of(module: str) -> int:
    """The number of the layer that `module` is in, from the top."""
    if module in SERVING:
        return len(LAYERS) - 1
    return next((n for n, names in enumerate(LAYERS) if is_in(module, names)), len(LAYERS) - 1)


@pytest.mark.parametrize("module", MODULES)
def test_reserved_packages_are_imported_where_they_may_be(module: str) -> None:
    for name in imports(MODULES[module]):
        package = name.split(".")[0]
        assert package not in RESERVED or is_in(module, RESERVED[package]), (
            f"{module} imports {name}"
        )


@pytest.mark.parametrize("module", MODULES)
def test_arrows_point_down(module: str) -> None:
    for found in own_imports(module):
        assert layer_of(found) >= layer_of(module), f"{module} imports {found}"


@pytest.mark.parametrize("module", FOUNDATIONS)
def test_foundations_stand_on_little(module: str) -> None:
    assert own_imports(module) <= FOUNDATIONS[module]


@pytest.mark.parametrize("module", [m for m in MODULES if is_in(m, PURE)])
def test_pure_modules_need_no_disk_no_git_and_no_salt(module: str) -> None:
    # Constants, a question about a name and how a shell reads one are all that they take from an edge.
    allowed = {
        "git": {"branch_name_problem", "GIT_MINIMUM", "quoted"},
        "files": {"signature"},
        "base.ownership": {"ownership"},
    }
    for name in imports(MODULES[module]):
        found = own(name) if name.startswith("saltbranch.") else None
        if found is not None and not is_in(found, PURE):
            assert found in allowed and (name.split(".")[-1] in allowed[found] | {found}), name


def test_every_rule_speaks_of_modules_that_exist() -> None:
    named = [
        n for names in (*RESERVED.values(), *LAYERS, PURE, tuple(FOUNDATIONS)) for n in names if n
    ]
    for name in named:
        assert any(is_in(module, (name,)) for module in MODULES), name


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
    site.configure()
    site.sync_well()
    (site.root / "state" / "choices").unlink()  # nothing is asked of it
    program = "from saltbranch.entry import main; main()"
    for options in ([], ["--quiet"], ["test", "prod"]):
        bare = modules_of("-c", "pass")
        found = modules_of("-c", program, "sync", "--config", str(site.config), *options) - bare
        foreign = {name for name in found if name.split(".")[0] != "saltbranch"}
        assert foreign <= {"fcntl", "select", "signal", "time", "__future__"}
        assert "saltbranch.actions.sync" in found and "saltbranch.serve.prepare" not in found
        assert "saltbranch.config" not in found


def test_sync_without_news_imports_no_more_for_holds_tags_and_the_journal(tmp_path: Path) -> None:
    remote = build_template(tmp_path / "remote.git")
    site = Site(tmp_path, remote)
    site.settings["saltenvs"]["stage"]["follow"] = {"tags": "^v"}
    site.settings["saltenvs"]["stage"]["promote_from"] = "test"
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
        "saltbranch", "actions", "actions.outcome", "actions.sync", "cli", "cli.sync_text", "entry",
        "errors", "files", "git", "locate", "mirror", "prepared", "proc", "serve", "serve.decision",
        "serve.fetch", "serve.reconcile", "serve.run", "slots",
    }  # fmt: skip


def test_sync_with_news_needs_no_salt_no_gitpython_and_no_typer(tmp_path: Path) -> None:
    remote = build_template(tmp_path / "remote.git")
    site = Site(tmp_path, remote)
    site.sync_well()
    remote.commit("develop", {"salt/new.sls": ""})
    program = "from saltbranch.entry import main; main()"
    found = modules_of("-c", program, "sync", "--config", str(site.config))
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
