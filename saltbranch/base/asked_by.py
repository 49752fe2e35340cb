"""Who asked for what a machine did: the name that Salt tells a runner, and one that its caller claims.

The machine writes the journal in its own name. Salt knows who called a runner: the user of external_auth, also behind a
token, or the one who typed `salt-run` (salt/client/mixins.py, `low`). What comes through a reactor has no such name,
only one that the event brought; that is a claim, and is recorded as one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from saltbranch.base.errors import UsageError

ASKED_BY, CLAIMED_BY = "asked_by", "claimed_by"
ITSELF = "auto_promote"
"""What a machine claims of what nobody asked for; no caller may claim it."""
LONGEST_REASON = 1000  # characters; a longer text belongs into a ticket
_LONGEST = 200  # characters of a name
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+\\-]*")


@dataclass(frozen=True, slots=True)
class Asked:
    """user: as Salt tells it, empty where no Salt was asked. claimed: for whom, as the caller says."""

    user: str = ""
    claimed: str = ""

    def details(self) -> dict[str, str]:
        """What an event and a promotion say of it; nothing where nobody is known."""
        found = ((ASKED_BY, name(self.user)), (CLAIMED_BY, name(self.claimed)))
        return {key: value for key, value in found if value}


NOBODY = Asked()


def name(value: object) -> str:
    """A name that anybody may have written: one line, nothing that steers a terminal, not too long; else empty."""
    if not isinstance(value, str):
        return ""
    text = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(value.split()))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def reason(text: str, option: str = "--reason") -> str:
    """Why somebody does something, for the journal. Raises UsageError where it is longer than everybody reads."""
    found = text.strip()
    if len(found) > LONGEST_REASON:
        raise UsageError(
            f"{option} has {len(found):,} characters, and {LONGEST_REASON:,} is the most",
            hint="say it in a sentence, and name the ticket that has the rest",
        )
    return found


def shortened(text: str) -> str:
    """A reason as somebody else may have written it into the journal, cut where ours would end."""
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."


def named_in(details: Mapping[str, object]) -> dict[str, str]:
    """Both names of an event, or of other data, as keyword arguments."""
    return {key: name(details.get(key)) for key in (ASKED_BY, CLAIMED_BY)}


def told(by: str, details: Mapping[str, object]) -> dict[str, object]:
    """The same as plain data, beside the machine or person `by`."""
    return {"by": by or None, **{key: value or None for key, value in named_in(details).items()}}


def shown(by: str, asked_by: str, claimed_by: str) -> str:
    """All of it for people: `ann through Salt on Master <root@m1>`. by: the machine, or the person at it.

    A name that could be taken for more than a name stands in quotes.
    """
    if not (asked_by or claimed_by):
        return by
    if claimed_by == ITSELF and not asked_by:
        return f"{by} by itself ({ITSELF})"
    user = _quoted(asked_by) if asked_by else "somebody"
    claim = f" (who says: for {_quoted(claimed_by)})" if claimed_by else ""
    return f"{user}{claim} through Salt on {by}"


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
