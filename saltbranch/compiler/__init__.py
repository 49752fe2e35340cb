"""Compiles pillar and low chunks of minions on a commit, in a sandbox, as Salt itself would.

`pool.compile_fleet` is the way in. What runs inside the sandbox is `worker` (one process for each
share of the minions, a fork of it for each minion) and, below it, the modules that import Salt:
`highstate`, `patches`. Nothing that a branch contains is ever run outside of it.
"""
