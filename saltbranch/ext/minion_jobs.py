"""The running salt-master as new_minions/place.py needs it: jobs for minions, and what these return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from saltbranch.base.errors import SaltError
from saltbranch.new_minions import known
from saltbranch.salt_master import options as master_options


class SaltMaster:
    """The master with the options `opts`, in a process of its user."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = opts
        self._made: Any = None

    def _client(self) -> Any:
        import salt.client

        self._made = self._made or salt.client.LocalClient(mopts=dict(self._opts))
        return self._made

    def close(self) -> None:
        """Let go of its sockets."""
        if self._made:
            self._made.destroy()
            self._made = None

    def accepted(self) -> Sequence[str]:
        """The ids whose keys it has accepted."""
        pki_dir = str(self._opts["pki_dir"])
        return master_options.MasterOptions("", exists=True, pki_dir=pki_dir).accepted_minions()

    def key_of(self, minion: str) -> str | None:
        """The digest of an accepted key."""
        return known.key_of(str(self._opts["pki_dir"]), minion)

    def publish(
        self, minions: Sequence[str], calls: Sequence[tuple[str, Mapping[str, Any]]], jid: str = ""
    ) -> str:
        """Publish functions for `minions`; the id of the job. Raises SaltError."""
        names = [name for name, _ in calls]
        words = [[{"__kwarg__": True, **kwargs}] if kwargs else [] for _, kwargs in calls]
        function, arguments = (names, words) if len(calls) > 1 else (names[0], words[0])
        told = self._try(
            lambda client: client.pub(
                list(minions), function, arguments, tgt_type="list", jid=jid, listen=False
            ),
            "cannot publish a job",
        )
        if not told or not told.get("jid"):
            raise SaltError("cannot publish a job: the master does not answer")
        return str(told["jid"])

    def returns(self, jid: str) -> Mapping[str, Any]:
        """What minions returned of a job, from the job cache: the bus believes whoever speaks."""
        found = self._try(lambda client: client.get_cache_returns(jid), "cannot read returns")
        return {str(minion): answer.get("ret") for minion, answer in found.items()}

    def is_published(self, jid: str) -> bool:
        """Whether the job cache has the job."""
        cache = self._opts["master_job_cache"]
        return bool(
            self._try(lambda c: c.returners[f"{cache}.get_load"](jid), "cannot read the job cache")
        )

    def new_jid(self) -> str:
        """An id for a job."""
        import salt.utils.jid

        return str(salt.utils.jid.gen_jid(dict(self._opts)))

    def fire(self, tag: str, data: Mapping[str, Any]) -> None:
        """Put an event on the bus. Raises SaltError where nobody takes it."""
        if not master_options.fire(self._opts, tag, data):
            raise SaltError(f"the master did not take the event {tag}")

    def _try(self, do: Any, what: str) -> Any:
        import salt.exceptions

        try:
            return do(self._client())
        except (salt.exceptions.SaltException, OSError, SystemExit) as err:
            raise SaltError(f"{what}: {err or type(err).__name__}") from err
