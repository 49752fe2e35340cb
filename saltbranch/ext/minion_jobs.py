"""The running salt-master as new_minions/place.py needs it: jobs for minions, and what these return."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from saltbranch.new_minions import known
from saltbranch.salt_master.job_client import JobClient


class SaltMaster(JobClient):
    """The master with the options `opts`, in a process of its user."""

    def key_of(self, minion: str) -> str | None:
        """The digest of an accepted key."""
        return known.key_of(str(self._opts["pki_dir"]), minion)

    def publish(
        self, minions: Sequence[str], calls: Sequence[tuple[str, Mapping[str, Any]]], jid: str = ""
    ) -> str:
        """Publish functions for `minions`; the id of the job. Raises SaltError."""
        return self.publish_calls(minions, [(name, (), kwargs) for name, kwargs in calls], jid)

    def returns(self, jid: str, but: Collection[str] = ()) -> dict[str, Any]:
        """What minions returned of a job."""
        return {name: one.get("return") for name, one in super().returns(jid, but).items()}
