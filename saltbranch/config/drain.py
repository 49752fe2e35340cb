"""What becomes of a switch whose drain is over while state runs are under way. Imported by a sync that switches."""

from __future__ import annotations

SWITCH = "switch"
WAIT = "wait"
"""It is left to the next sync."""
POLICIES = (SWITCH, WAIT)
LONGEST = 3600
"""Seconds that a switch may wait for state runs."""
