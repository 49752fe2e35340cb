"""Jobs for minions, through Salt's own client, in the process of the master's user that has Salt imported.

Returns come from the job cache, where the master puts each under the id that was proven by its key: the event bus,
where any minion may put what it likes, only says that it is time to look.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from saltbranch.base.errors import SaltError
from saltbranch.salt_master import options as master_options

Call = tuple[str, Sequence[Any], Mapping[str, Any]]
"""A function, its arguments, and those with names."""

TOO_LARGE = "its return is too large"
UNREADABLE = "its return cannot be read"
_LARGEST = 16 << 20  # bytes of one return that are read
_UNWRITTEN = 0.5  # seconds between the event of a return and its place in the job cache
_PAUSE = 0.02


class JobClient:
    """The master with the options `opts`. What fails raises SaltError."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = opts
        self._made: Any = None
        self._bus: Any = None

    def client(self) -> Any:
        """Salt's own."""
        import salt.client

        self._made = self._made or salt.client.LocalClient(mopts=dict(self._opts))
        return self._made

    def close(self) -> None:
        """Let go of its sockets."""
        for one in (self._made, self._bus):
            if one:
                one.destroy()
        self._made = self._bus = None

    def accepted(self) -> list[str]:
        """The ids whose keys it has accepted."""
        pki_dir = str(self._opts["pki_dir"])
        return master_options.MasterOptions("", exists=True, pki_dir=pki_dir).accepted_minions()

    def new_jid(self) -> str:
        """An id for a job."""
        import salt.utils.jid

        return str(salt.utils.jid.gen_jid(dict(self._opts)))

    def publish_calls(self, minions: Sequence[str], calls: Sequence[Call], jid: str = "") -> str:
        """Publish functions for `minions`; the id of the job, `jid` where it is given."""
        names = [name for name, _, _ in calls]
        words = [[*a, {"__kwarg__": True, **kw}] if kw else list(a) for _, a, kw in calls]
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

    def is_published(self, jid: str) -> bool:
        """Whether the job cache has the job."""
        cache = self._opts["master_job_cache"]
        return bool(
            self._try(lambda c: c.returners[f"{cache}.get_load"](jid), "cannot read the job cache")
        )

    def returns(self, jid: str, but: Collection[str] = ()) -> dict[str, dict[str, Any]]:
        """What minions returned of a job: ``return``, ``retcode``, ``success``; ``problem`` where it is not known.

        but: those that are not wanted.
        """
        if self._opts["master_job_cache"] == "local_cache":
            return {name: self._read(path) for name, path in self._kept(jid) if name not in but}
        cache = self._opts["master_job_cache"]
        found = self._try(lambda c: c.returners[f"{cache}.get_jid"](jid), "cannot read returns")
        return {
            str(name): dict(one) if isinstance(one, Mapping) else {"problem": UNREADABLE}
            for name, one in (found or {}).items()
            if name not in but
        }

    def _kept(self, jid: str) -> list[tuple[str, str]]:
        """The ids that returned, and the files; Salt's default cache as it lies on the disk."""
        import salt.utils.jid

        folder = salt.utils.jid.jid_dir(
            jid, f"{self._opts['cachedir']}/jobs", str(self._opts["hash_type"])
        )
        try:
            names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as err:
            raise SaltError(f"cannot read returns: {err}") from err
        paths = ((name, f"{folder}/{name}/return.p") for name in names)
        return [(name, path) for name, path in paths if os.path.isfile(path)]

    def _read(self, path: str) -> dict[str, Any]:
        import salt.exceptions
        import salt.payload

        try:
            if os.stat(path).st_size > _LARGEST:
                return {"problem": TOO_LARGE}
            with open(path, "rb") as file:
                found = salt.payload.loads(file.read())
        except (salt.exceptions.SaltDeserializationError, OSError, ValueError):
            return {"problem": UNREADABLE}
        return found if isinstance(found, dict) and "return" in found else {"return": found}

    def wait(self, jid: str, have: int, seconds: float) -> None:
        """Return when more than `have` minions have returned, as far as that is cheap to see, or after `seconds`."""
        end = time.monotonic() + seconds
        local = self._opts["master_job_cache"] == "local_cache"
        while (left := end - time.monotonic()) > 0:
            if local and len(self._kept(jid)) > have:
                return
            if self._heard(jid, left):
                # The master says so first and writes it down afterwards.
                soon = min(end, time.monotonic() + _UNWRITTEN)
                while local and len(self._kept(jid)) <= have and time.monotonic() < soon:
                    time.sleep(_PAUSE)
                if not local:
                    time.sleep(_UNWRITTEN / 2)
                return

    def _heard(self, jid: str, seconds: float) -> bool:
        """Whether the bus said in that time that somebody returned; without a bus the time just passes."""
        import salt.exceptions
        import salt.utils.event

        begun = time.monotonic()
        with contextlib.suppress(salt.exceptions.SaltException, OSError):
            if self._bus is None:
                self._bus = salt.utils.event.get_event("master", opts=dict(self._opts), listen=True)
                return True  # what was said before is not heard: look once
            if self._bus.get_event(tag=f"salt/job/{jid}/ret/", wait=min(seconds, 0.5)):
                return True
        if time.monotonic() - begun < _PAUSE:
            time.sleep(min(seconds, 0.5))
        return False

    def runner(self, function: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What a runner on the master returns."""
        import salt.runner

        def call(_client: Any) -> Any:
            client = salt.runner.RunnerClient(dict(self._opts))
            if function not in client.functions:
                raise SaltError(f"there is no runner {function!r} here")
            return client.cmd(
                function, list(args), kwarg=dict(kwargs), print_event=False, full_return=True
            )

        done = self._try(call, f"the runner {function} failed")
        if not done.get("success"):
            lines = str(done.get("return")).strip().splitlines() or ["it says nothing"]
            raise SaltError(f"the runner {function} failed: {lines[-1][:500]}")
        return done.get("return")

    def fire(self, tag: str, data: Mapping[str, Any]) -> None:
        """Put an event on the bus. Raises SaltError where nobody takes it."""
        if not master_options.fire(self._opts, tag, data):
            raise SaltError(f"the master did not take the event {tag}")

    def _try(self, do: Any, what: str) -> Any:
        import salt.exceptions

        try:
            return do(self.client())
        except SaltError:
            raise
        except (salt.exceptions.SaltException, OSError, SystemExit) as err:
            raise SaltError(
                f"{what}: {err or type(err).__name__}",
                hint="run it on the master, as the master's user, while the master runs",
            ) from err
