"""What may become of commits that were pushed to a saltenv's branch by hand: the words of `direct_pushes:`."""

from __future__ import annotations

REPORT, REFUSE, ALLOW = "report", "refuse", "allow"
POLICIES = (REPORT, REFUSE, ALLOW)
STRICTNESS = (ALLOW, REPORT, REFUSE)
