"""Times `saltbranch check --static` of a generated repository of many files, beside `git archive` of the same commit.

    PYTHONPATH=. python benchmarks/check_files.py --files 100000

One file in ten is an sls file (half of them reached from the top file), one in twenty a template, the others are what
states hand out: configuration, scripts, a few large ones. CPU seconds of the whole process; the ratio to git's own
reading of the files is what says something.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_SLS = """\
{{% set port = salt['pillar.get']('app{n}:port', 80) %}}
include:
  - group{group}.common

app{n}-packages:
  pkg.installed:
    - pkgs: [app{n}, app{n}-tools]

/etc/app{n}/app.conf:
  file.managed:
    - source: salt://group{group}/files/app{n}.conf.j2
    - template: jinja
    - mode: '0644'
    - context: {{port: {{{{ port }}}}}}
    - require:
      - pkg: app{n}-packages

app{n}:
  service.running:
    - enable: true
    - watch:
      - file: /etc/app{n}/app.conf
"""
_TEMPLATE = """\
# {{{{ grains['id'] }}}}
listen {{{{ port }}}}
{{% for h in hosts %}}
server {{{{ h }}}} # {n}
{{% endfor %}}
"""
_CONF = "# setting {n}\n" + "".join(f"option_{k} = value {k} of {{n}}\n" for k in range(25))


def files(count: int) -> Iterator[tuple[str, str]]:
    """Path and content of each."""
    groups = max(1, count // 1000)
    tops = [f"    - group{g}.app{n}" for n in range(0, count // 10, 2) for g in [n % groups]]
    yield "salt/top.sls", "base:\n  '*':\n" + "\n".join(tops) + "\n"
    yield "pillar/top.sls", "base:\n  '*':\n    - common\n"
    yield "pillar/common.sls", "common: {workers: 2}\n"
    for group in range(groups):
        yield f"salt/group{group}/common.sls", f"common{group}:\n  test.nop: []\n"
    for n in range(count // 10):
        yield f"salt/group{n % groups}/app{n}.sls", _SLS.format(n=n, group=n % groups)
    for n in range(count // 20):
        yield f"salt/group{n % groups}/files/app{n}.conf.j2", _TEMPLATE.format(n=n)
    for n in range(count - count // 10 - count // 20 - groups - 3):
        yield f"salt/group{n % groups}/files/{n % 50}/setting{n}.conf", _CONF.format(n=n)


def repository(folder: Path, count: int) -> None:
    """One commit with `count` files, on master."""
    subprocess.run(["git", "init", "--quiet", "-b", "master", folder], check=True)
    lines = [b"commit refs/heads/master\ncommitter A <a@example.com> 1700000000 +0000\ndata 1\nx\n"]
    for path, text in files(count):
        data = text.encode()
        lines.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data))
    command = ["git", "-C", folder, "fast-import", "--quiet"]
    subprocess.run(command, input=b"".join(lines), check=True)


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode in (0, 3), done
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, cpu


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--against", metavar="PYTHONPATH", help="another version, in the same run")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        repository(folder, given.files)
        check = [sys.executable, "-m", "saltbranch", "check", "master", "--static", "--json"]
        runs = [("git archive", ["git", "archive", "master"], None)]
        runs += [("against", check, given.against)] if given.against else []
        runs += [("check", check, os.environ.get("PYTHONPATH"))]
        for name, command, path in runs:
            if path:
                os.environ["PYTHONPATH"] = path
            wall, cpu = timed(command, folder)
            print(f"{name:12} wall {wall:7.2f} s  CPU {cpu:7.2f} s")


if __name__ == "__main__":
    main()
