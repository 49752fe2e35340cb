"""Diffs as `compare_trees` returns them, with names that strangers chose."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from saltbranch.base.tickets import CommitLine, Group
from saltbranch.compiler.model import Chunk, Compiled
from saltbranch.preview import difference, groups, low_diff
from saltbranch.preview.before_and_after import Provenance, SideCommit
from saltbranch.preview.contents import ChangedContent
from saltbranch.preview.fleet_diff import CustomCode, FleetDiff

HOSTILE = (
    "<script>window.pwned = 1</script>",
    "</style><style>body{display:none}</style>",
    '"><img src=x onerror="window.pwned=2">',
    "</details></section>&lt;b&gt;",
    "a | b || c",
    "`code` ``` ~~~ **bold** _it_ [x](http://example.com) ![p](http://example.com/p)",
    "@octocat and #123 and deadbeefdeadbeef www.example.com https://example.com",
    "\u202egnp.exe \u2066x\u200f",
    "one\n::error::two\r\n# three",
    "{{ 7 * 7 }}{% raw %}",
    "n" * 300,
    "\u05e9\u05dc\u05d5\u05dd / \u0645\u0631\u062d\u0628\u0627",
)


class Sources:
    """No file has a content."""

    def source(self, path: str) -> str | None:
        """None."""
        return None


def chunk(key: str, line: int = 1, module: str = "test.nop", **arguments: Any) -> Chunk:
    """A state."""
    return Chunk(f"{key} | {module}", "app.web", "salt/app/web.sls", line, arguments, place=line)


def minion(name: str, old: Compiled, new: Compiled) -> difference.MinionDiff:
    """What one minion's two sides differ in."""
    sides = (replace(old, minion=name), replace(new, minion=name))
    return low_diff.compare("prod", *sides, (Sources(), Sources()), states_dir="salt")


def fleet(*diffs: difference.MinionDiff, **more: Any) -> FleetDiff:
    """A diff of the whole."""
    side = {"tree": "a" * 40, "saltenv": "prod", "merged": None}
    return FleetDiff(
        {"name": "prod", **side}, {"name": "develop", **side}, tuple(diffs), groups.group(diffs),
        **{"code": (), **more},
    )  # fmt: skip


def contents(text: str) -> tuple[ChangedContent, ...]:
    """A rendered file with hostile lines, and one whose lines are not told."""
    lines = (
        "@@ -1,3 +1,12 @@",
        " ***",
        f"-{text}",
        *(f"+{t}" for t in HOSTILE),
        " \tsame",
        "-***",
        "+***",
    )
    return (
        ChangedContent(f"salt://app/{text}", (f"{text} | file.managed",), lines, 7),
        ChangedContent("", ("/etc/x | file.managed",)),
    )


def hostile() -> FleetDiff:
    """A fleet of several dozen minions, with a hostile name wherever there can be one."""
    same = chunk("same", 1, mode="0600", user="a")
    old = Compiled("", "ok", chunks=(same, chunk("old", 2, "file.managed", name="/etc/x")),
                   pillar={"a:b": "0" * 32})  # fmt: skip
    diffs = []
    for number in range(36):
        text = HOSTILE[number % len(HOSTILE)]
        changed = replace(same, arguments={"mode": text, text: {"masked": "1" * 32}})
        new = Compiled(
            "", "ok", chunks=(changed, *(chunk(f"{t}{n}", 3 + n, text=t) for n, t in enumerate(HOSTILE))),
            pillar={"a:b": "1" * 32, text: "2" * 32}, notes=(text,),
        )  # fmt: skip
        diffs.append(
            minion(f"m{number:02}.{text}" if number % 3 == 0 else f"m{number:02}", old, new)
        )
    broken = Compiled("", "failed", errors=tuple(HOSTILE))
    diffs += [minion(f"broken{n}", old, broken) for n in range(9)]
    line = CommitLine("c" * 40, HOSTILE[0] + HOSTILE[6], HOSTILE[2], tickets=("KEY-1", HOSTILE[4]))
    origin = Provenance(
        "https://git.example.com/ops/salt.git",
        SideCommit("a" * 40, "2026-01-01T00:00:00Z", HOSTILE[7], HOSTILE[1]),
        SideCommit("c" * 40, "2026-01-02T00:00:00Z", HOSTILE[0], HOSTILE[5]),
        (Group(HOSTILE[3], (line,)),), (replace(line, commit="d" * 40),), 1, 1,
    )  # fmt: skip
    diffs = [
        replace(d, difference=replace(d.difference, contents=contents(HOSTILE[n % len(HOSTILE)])))
        if d.difference
        else d
        for n, d in enumerate(diffs)
    ]
    code = (CustomCode(f"salt/_modules/{HOSTILE[0]}", "changed", ("m01",)),)
    found = fleet(*diffs, origin=origin, code=code, warnings=(HOSTILE[2],))
    return replace(
        found,
        before={**found.before, "name": HOSTILE[0]},
        after={**found.after, "name": HOSTILE[5]},
    )
