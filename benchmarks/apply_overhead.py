"""What `saltbranch apply` costs beside `salt -L ... state.apply`, for one batch of minions on which nothing changes.

    PYTHONPATH=. python benchmarks/apply_overhead.py [--minions 12] [--rounds 5]

A salt-master and light minions of its own, on loopback. Wall seconds of whole processes, in turn; only ratios within
one run say something. `apply` is what comes after the plan (from the event `plan` to the end of the process);
`with start` adds the time up to the first event, so Python's start and the import of Salt count as they do for salt.
Plan (test run, preview) and checks are aside: there are no checks, and the plan is told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from saltbranch.demo.cluster import Cluster
from tests.support.site import Site, build_template


def salt(cluster: Cluster, ids: list[str]) -> float:
    begun = time.perf_counter()
    answer = cluster.run("salt", "-L", ",".join(ids), "state.apply")
    assert answer.code == 0, answer
    return time.perf_counter() - begun


def apply(site: Site, ids: list[str]) -> tuple[float, float, float]:
    """Seconds up to the first event, of the plan after that, and of the rest."""
    argv = site.argv("apply", "prod", "--yes", "--json")
    begun = time.perf_counter()
    first = planned = 0.0
    last: dict[str, object] = {}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            last = json.loads(line)
            first = first or time.perf_counter() - begun
            if last["event"] == "plan":
                planned = time.perf_counter() - begun
    total = time.perf_counter() - begun
    counts = last["passes"][0]["counts"]  # type: ignore[index]
    assert process.returncode == 0 and counts == {"applied": len(ids)}, last
    return first, planned - first, total - planned


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minions", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="where it works; a temporary folder otherwise")
    options = parser.parse_args()
    ids = [f"prod{number:02}" for number in range(1, options.minions + 1)]
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        site = Site(folder, build_template(folder / "remote.git"))
        top = "prod:\n  '*': [app]\n"
        site.remote.commit("master", {"salt/top.sls": top, "salt/app/init.sls": "a:\n  test.nop\n"})
        cluster = Cluster(folder / "salt", minions={minion: {} for minion in ids})
        cluster.write_config()
        site.master_config = cluster.config_dir / "master.d" / "saltbranch.conf"
        site.configure(
            salt_config=str(cluster.master_config_file), master_config=str(site.master_config)
        )
        site.sync_well()
        with cluster:
            salt(cluster, ids)
            apply(site, ids)  # warm: modules, caches
            ratios, withs = [], []
            for number in range(1, options.rounds + 1):
                plain = salt(cluster, ids)
                first, plan, rest = apply(site, ids)
                ratios.append(rest / plain)
                withs.append((first + rest) / plain)
                print(
                    f"round {number}: salt {plain:5.2f} s, apply {rest:5.2f} s ({ratios[-1]:.2f}),"
                    f" with start {first + rest:5.2f} s ({withs[-1]:.2f}), plan {plan:5.2f} s,"
                    f" load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
            for what, found in (("apply", ratios), ("with start", withs)):
                told = f"{min(found):.2f} to {max(found):.2f}"
                print(f"{what}: median {statistics.median(found):.2f} ({told})")


if __name__ == "__main__":
    sys.exit(main())
