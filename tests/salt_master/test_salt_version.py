"""Salt's version is told without importing Salt, and by no folder of states."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.compiling import PROJECT, environment


def _said(program: str, cwd: Path, *options: str) -> str:
    argv = [sys.executable, *options, "-c", program]
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={**environment(), "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_it_is_salts_own_and_costs_no_import(tmp_path: Path) -> None:
    program = "import salt.version; print(salt.version.__version__)"
    own = _said(program, tmp_path)
    program = """
import sys
from saltbranch.salt_master import options
print(options.version(), "salt" in sys.modules, "asyncio" in sys.modules)
"""
    assert _said(program, tmp_path) == f"{own} False False"
    assert _said(f"import salt.version\n{program}", tmp_path).startswith(f"{own} True")


def test_a_folder_of_states_is_no_salt(tmp_path: Path) -> None:
    (tmp_path / "salt").mkdir()
    (tmp_path / "salt" / "top.sls").write_text("{}\n")
    program = """
import sys
from saltbranch.salt_master import options
sys.path[:] = [p for p in sys.path if "site-packages" not in p]
sys.path.insert(0, ".")
print(repr(options.version()))
"""
    assert _said(program, tmp_path) == "''"
