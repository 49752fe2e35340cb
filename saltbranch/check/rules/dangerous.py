"""Calls that act on, or ask, the machine that renders: a minion for states, the master for pillar."""

from __future__ import annotations

import ast
import fnmatch
import warnings
from collections.abc import Iterator

from jinja2 import nodes as jinja

from saltbranch.check import catalogue as rules
from saltbranch.check.finding import Finding, Severity
from saltbranch.check.project import Project, Source, Tools

# They run programs, change the machine, or reach over the network, each time something is rendered.
_DANGEROUS = """
    cmd.* cmdmod.* shell.* pkg.install pkg.remove pkg.purge pkg.upgrade pkg.refresh_db service.start
    service.stop service.restart service.reload service.enable service.disable state.* saltutil.* system.*
    file.write file.append file.remove file.rename file.copy file.move file.mkdir file.makedirs file.touch
    file.symlink file.chown file.set_mode file.replace file.line file.sed file.blockreplace file.managed
    file.recurse_dir user.add user.delete user.chshell group.add group.delete cron.set_job cron.rm_job
    event.send event.fire event.fire_master publish.publish publish.runner publish.full_data module.run
    http.query cp.push cp.push_dir ssh.set_auth_key mount.mount mount.umount kmod.load grains.set
    grains.setval grains.append grains.delval git.clone git.pull git.fetch pip.install minion.kill
    minion.restart schedule.add cmd_subset network.connect salt_proxy.*
"""
# They ask elsewhere, and leave everything as it is.
_ASKING = ("http.query", "publish.*", "saltutil.runner")
# Runners that only read what the master has.
_READING = (
    "mine.get cache.* pillar.show_* manage.* config.get sdb.get vault.* salt.cmd test.*".split()
)
_PATTERNS = tuple(_DANGEROUS.split())
# Functions of modules that are dangerous as a whole: those that people use.
_WELL_KNOWN = frozenset(
    """
    cmd.exec_code cmd.exec_code_all cmd.has_exec cmd.powershell cmd.retcode cmd.run cmd.run_all cmd.run_bg
    cmd.run_stderr cmd.run_stdout cmd.script cmd.script_retcode cmd.shell cmd.tty cmd.which state.apply
    state.highstate state.orchestrate state.single state.sls saltutil.cmd saltutil.refresh_pillar saltutil.runner
    saltutil.sync_all saltutil.wheel system.halt system.poweroff system.reboot system.shutdown
""".split()
)
_PYTHON = {"system", "popen", "fork", "remove", "unlink", "rmtree", "execv", "spawnv", "kill"}
_PYTHON_MODULES = frozenset({"subprocess", "socket", "ctypes", "multiprocessing", "pty"})
_MODULE = "the Python module "
_NODES = (jinja.Compare, jinja.Call, jinja.Getitem, jinja.Getattr, jinja.Name)
_RENDERED = frozenset({"py", "pydsl", "pyobjects"})


def check(project: Project, _tools: Tools) -> Iterator[Finding]:
    """Templates and Python of states and pillar."""
    for area in ("states", "pillar"):
        for source in project.of(area):
            yield from _template(source)
            if _RENDERED & set(source.renderers) and source.text:
                yield from _python(source)


def _template(source: Source) -> Iterator[Finding]:
    if source.template is None or "salt" not in (source.text or ""):
        return
    nodes = list(source.template.find_all(_NODES))
    # 'mod.fun' in salt: a name that is written out, and nothing is called.
    seen = {
        id(side.expr)
        for question in nodes
        if isinstance(question, jinja.Compare) and isinstance(question.expr, jinja.Const)
        for side in question.ops
        if side.op in ("in", "notin")
    }
    calls = (node for node in nodes if isinstance(node, jinja.Call))
    reading = {id(call.node) for call in calls if _only_reads(call)}
    for node in nodes:
        name = _called(node, seen)
        if name == "":
            yield _indirect(source, node.lineno)
        elif name and is_dangerous(name) and id(node) not in reading:
            yield _found(source, node.lineno, name)
    for leaf in nodes:
        if not isinstance(leaf, jinja.Name):
            continue
        if leaf.name == "salt" and leaf.ctx == "load" and id(leaf) not in seen:
            yield _indirect(source, leaf.lineno)


def _only_reads(call: jinja.Call) -> bool:
    """Whether it runs a runner that reads: saltutil.runner('mine.get', ...)."""
    first = call.args[0] if call.args else None
    if _called(call.node, set()) != "saltutil.runner" or not isinstance(first, jinja.Const):
        return False
    return any(fnmatch.fnmatchcase(str(first.value), pattern) for pattern in _READING)


def is_dangerous(name: str) -> bool:
    """Whether the execution function `name` acts or asks elsewhere."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in _PATTERNS)


def _called(node: jinja.Node, seen: set[int]) -> str | None:
    """The function that `node` takes from ``salt``: "" where its name is computed, None if none."""
    match node:
        case jinja.Getitem(node=jinja.Name(name="salt") as leaf, arg=index):
            seen.add(id(leaf))
            return str(index.value) if isinstance(index, jinja.Const) else ""
        case jinja.Call(node=jinja.Getattr(node=jinja.Name(name="salt") as leaf, attr="get")):
            seen.add(id(leaf))
            first = node.args[0] if node.args else None
            return str(first.value) if isinstance(first, jinja.Const) else ""
        case jinja.Getattr(node=jinja.Getattr(node=jinja.Name(name="salt") as leaf) as inner):
            seen.add(id(leaf))
            return f"{inner.attr}.{node.attr}"
        case jinja.Getitem(node=jinja.Getattr(node=jinja.Name(name="salt") as leaf) as inner):
            seen.add(id(leaf))
            return f"{inner.attr}.{node.arg.value}" if isinstance(node.arg, jinja.Const) else ""
    return None


def _python(source: Source) -> Iterator[Finding]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source.text or "")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        for name in _python_names(node):
            line = getattr(node, "lineno", 0)
            yield _found(source, line, name) if name else _indirect(source, line)


def _python_names(node: ast.AST) -> list[str]:
    """What `node` uses that acts; "" where the function's name is computed."""
    match node:
        case ast.Subscript(value=ast.Name(id="__salt__"), slice=ast.Constant(value=str() as name)):
            return [name] if is_dangerous(name) else []
        case ast.Subscript(value=ast.Name(id="__salt__")):
            return [""]
        case ast.Attribute(value=ast.Name(id="os" | "shutil" as module), attr=attribute):
            return [f"{module}.{attribute}"] if attribute in _PYTHON else []
        case ast.Import(names=aliases):
            return [f"{_MODULE}{a.name}" for a in aliases if _acts(a.name)]
        case ast.ImportFrom(module=str() as module):
            return [f"{_MODULE}{module}"] if _acts(module) else []
        case ast.Call(func=ast.Name(id="eval" | "exec" | "__import__" as name)):
            return [name]
    return []


def _acts(module: str) -> bool:
    return module.partition(".")[0] in _PYTHON_MODULES


def _found(source: Source, line: int, name: str) -> Finding:
    where = "the master" if source.area == "pillar" else "the minion"
    asks = any(fnmatch.fnmatchcase(name, pattern) for pattern in _ASKING)
    severity: Severity = "error" if source.area == "pillar" and not asks else "warning"
    if source.area == "pillar":
        name = _public(name)
    message = f"rendering calls {name[:80]} on {where}"
    return rules.DANGER.at(source.path, line, message, severity=severity)


def _public(name: str) -> str:
    """`name`, which stands in a pillar file, as far as everybody knows it."""
    module = name.partition(".")[0]
    if (
        name in _WELL_KNOWN
        or name in _PATTERNS
        or module in ("os", "shutil", "eval", "exec", "__import__")
    ):
        return name
    if name.startswith(_MODULE):
        return f"{_MODULE}{name.removeprefix(_MODULE).partition('.')[0]}"
    return f"a function of {module}" if f"{module}.*" in _PATTERNS else "a function"


def _indirect(source: Source, line: int) -> Finding:
    message = "it passes on, or looks into, salt by a name that is not written out"
    severity: Severity = "warning" if source.area == "pillar" else "note"
    return rules.INDIRECT.at(source.path, line, message, severity=severity)
